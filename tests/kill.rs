//! Kill -9, again and again: a sender with two servers, each its own process, ended at any instant.
//!
//! The parent starts three children of this same binary: two servers (TCP and a Unix socket) and a sender that
//! puts jobs, single messages and aborted jobs, and says on a pipe what it begins and what was acknowledged. A
//! seed decides who is killed when. At the end everything runs undisturbed until both servers have all, and a
//! history checker, itself tested elsewhere against bad histories, reads what each server holds.
//!
//! A cycle has a hundred kills; `tests/seeds` says how many cycles there are. `chaos` does the same to the network
//! between them.

#![allow(clippy::unwrap_used, unsafe_code)]

#[allow(dead_code)] // tests/net.rs uses the rest.
#[path = "net/authority.rs"]
mod authority;
#[path = "kill/chaos.rs"]
mod chaos;
mod checker;
#[path = "kill/child.rs"]
mod child;
#[path = "kill/history.rs"]
mod history;
#[path = "kill/movers.rs"]
mod movers;
#[path = "kill/namespaces.rs"]
mod namespaces;
#[path = "kill/proxy.rs"]
mod proxy;
#[path = "kill/rivals.rs"]
mod rivals;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "kill/workers.rs"]
mod workers;

use history::judge;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Kills of one cycle.
const KILLS: u32 = 100;

/// A child, and the thread that keeps what it says.
struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    reader: std::thread::JoinHandle<()>,
}

struct Harness {
    folder: tempfile::TempDir,
    said: Vec<String>,
    next_job: u64,
}

impl Harness {
    fn new() -> Harness {
        // A crash loop that tests no disk belongs into memory.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        Harness { folder, said: Vec::new(), next_job: 1 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, role: &str) -> Running {
        self.start_as(Command::new(std::env::current_exe().unwrap()), role)
    }

    /// The same with a command that ends in this program.
    fn start_as(&self, mut command: Command, role: &str) -> Running {
        let mut child = command
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env("REPLIQ_ROLE", role)
            .env("REPLIQ_FOLDER", self.folder.path())
            .env("REPLIQ_NEXT", self.next_job.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (out, heard) = (child.stdout.take().unwrap(), said.clone());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Running { child, said, reader }
    }

    /// Kills a child, checks that it was the signal that ended it, and keeps what it had said.
    fn kill(&mut self, mut running: Running) {
        running.child.kill().unwrap();
        self.ended(running, Some(9));
    }

    /// The same for one that may have done all its work before.
    fn kill_or_done(&mut self, mut running: Running) {
        let done = running.child.try_wait().unwrap().is_some();
        // It may end by itself just now; then the signal reaches nobody.
        let _ = running.child.kill();
        let status = running.child.wait().unwrap();
        let signal = if done || status.success() { None } else { Some(9) };
        self.ended(running, signal);
    }

    /// One that ends itself, unless it has done all its work before.
    fn ended_or_done(&mut self, mut running: Running) {
        let status = running.child.wait().unwrap();
        self.ended(running, if status.success() { None } else { Some(9) });
    }

    fn ended(&mut self, mut running: Running, signal: Option<i32>) {
        let status = running.child.wait().unwrap();
        let mut text = String::new();
        running.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        running.reader.join().unwrap();
        let said = std::mem::take(&mut *running.said.lock().unwrap());
        assert_eq!(status.signal(), signal, "a child ended by itself: {status}\n{text}\n{said:#?}");
        assert!(signal.is_some() || status.success(), "{status}\n{text}");
        self.said.extend(said.into_iter().filter(|line| line.starts_with("history ")));
        let begun = self.said.iter().filter_map(|line| line.strip_prefix("history begin "));
        let jobs = begun.map(|rest| rest.split(' ').next().unwrap().parse::<u64>().unwrap());
        self.next_job = jobs.max().map_or(1, |last| last + 1);
    }
}

/// A small stream of numbers; the seed is printed with every failure.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}

#[test]
fn a_sender_and_two_servers_killed_at_any_instant_lose_repeat_and_tear_nothing() {
    let test = "kill a_sender_and_two_servers_killed_at_any_instant_lose_repeat_and_tear_nothing";
    seeds::run("T5 kill -9", test, 3, |seed| {
        kill_again_and_again(seed);
        u64::from(KILLS)
    });
}

fn kill_again_and_again(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut harness = Harness::new();
    let begun = Instant::now();
    let mut running: BTreeMap<&str, Running> = BTreeMap::new();
    for role in ["tcp", "unix", "sender"] {
        running.insert(role, harness.start(role));
    }
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(5 + random.below(60)));
        let role = ["sender", "tcp", "unix", "sender"][random.below(4) as usize];
        let victim = running.remove(role).unwrap();
        harness.kill(victim);
        running.insert(role, harness.start(role));
    }
    let sender = running.remove("sender").unwrap();
    harness.kill(sender);
    let last = harness.start("drain");
    harness.ended(last, None);
    for (_, server) in running {
        harness.kill(server);
    }
    let servers = ["tcp", "unix"].map(|name| (name, harness.path(name)));
    let (jobs, acked) = judge(&harness.said, &servers, seed);
    println!("{KILLS} kills, {jobs} jobs begun, {acked} acknowledged, in {:?}", begun.elapsed());
    assert!(acked as u32 > KILLS, "{acked} acknowledged: the test has tested next to nothing");
}

#[test]
fn child() {
    child::run();
}
