//! A running `repliq serve`, started and ended as a script would.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::run::{Place, command};

/// A server child; killed when it is dropped.
pub struct Served {
    pub child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Served {
    /// Serves `store` of this place on any port, or on one that is known already.
    pub fn start(place: &Place, store: &str, port: Option<&str>) -> Served {
        Served::start_with(place, store, port, &["--plain"])
    }

    /// The same, with other words than `--plain`.
    pub fn start_with(place: &Place, store: &str, port: Option<&str>, words: &[&str]) -> Served {
        let listen = format!("127.0.0.1:{}", port.unwrap_or("0"));
        let mut child = command()
            .arg("serve")
            .arg(place.path(store))
            .args(words)
            .args(["--listen", &listen, "--users-file"])
            .arg(place.path("users"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap_or_default().to_string();
        assert!(address.starts_with("127.0.0.1:"), "{line:?}");
        Served { child, address }
    }

    pub fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    pub fn url(&self, user: &str) -> String {
        format!("repliq://{user}@{}", self.address)
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, at most 20 seconds.
    pub fn end(mut self) -> std::process::ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// A place with the password file `pw`, and a users file whose user `ann` may do all.
pub fn place_with_users() -> Place {
    let place = Place::new();
    place.file("pw", "secret of ann\n");
    let rights = "--right replicate,publish,browse,consume,admin:*";
    place.run(&format!("user add @users ann {rights} --password-file @pw")).text();
    place
}
