//! A running `repliq serve`, with all that it prints kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use repliq::{Right, Users, Verb};

use super::run::{Place, command};

/// A server child; killed when it is dropped.
pub struct Running {
    pub child: Child,
    /// `127.0.0.1:PORT`, of the first TCP address.
    pub address: String,
    /// `127.0.0.1:PORT` of health and metrics, or nothing.
    pub http: String,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Serves `@s` with the users `@users` on free ports.
    pub fn start(place: &Place, words: &[&str]) -> Running {
        let mut serve = command();
        serve.arg("serve").arg(place.path("s")).arg("--users-file").arg(place.path("users"));
        serve.args(["--plain", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]).args(words);
        Running::of(&mut serve)
    }

    /// Runs a command that serves, and waits until it listens.
    pub fn of(serve: &mut Command) -> Running {
        let serve = serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = serve.spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let kept = log.clone();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while err.read_line(&mut line).unwrap() > 0 {
                kept.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim_end().to_string()
        };
        let listening = line();
        let http = line().strip_prefix("health and metrics on http://").unwrap_or("").to_string();
        let mut running =
            Running { child, address: String::new(), http, log, reader: Some(reader) };
        let addresses = listening.strip_prefix("listening on ");
        let addresses = addresses.unwrap_or_else(|| panic!("{listening:?}, {}", running.log()));
        let tcp = addresses.split(' ').find(|address| !address.starts_with("unix:"));
        running.address = tcp.unwrap_or_default().to_string();
        running
    }

    /// URL and how to get in, as words of a command.
    pub fn with(&self, user: &str) -> String {
        format!("repliq://{user}@{} --plain --password-file @pw", self.address)
    }

    /// What it said on stderr.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log holds these words.
    pub fn wait_for(&self, words: &str) {
        wait_until(&format!("{words:?} in the log"), || self.log().contains(words));
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end, at most 20 seconds, and for the last line.
    pub fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.reader.take().into_iter().for_each(|reader| reader.join().unwrap());
        status
    }

    /// Asks for a path: the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        ask(&self.http, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// Sends a request and reads the answer to its end.
pub fn ask(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |parts| parts.1);
    (status, body.to_string())
}

/// Waits until something is so, at most 20 seconds.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A place with the password file `pw`, and a users file whose user `ann` may do all.
pub fn place_with_users() -> Place {
    let place = Place::new();
    place.file("pw", "secret of ann\n");
    let mut users = Users::new();
    // Few iterations: these tests log in hundreds of times.
    users.add_with("ann", &"secret of ann".into(), 4_096).unwrap();
    let right = Right { verbs: Verb::ALL.to_vec(), queues: vec!["*".into()] };
    users.set_rights("ann", &[right]).unwrap();
    users.save(place.path("users")).unwrap();
    place
}
