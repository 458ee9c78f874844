//! The tutorials, run as their readers run them: every sender with every server, one server killed in between
//! and one that is late.

#![allow(clippy::unwrap_used)]

#[path = "examples/build.rs"]
mod build;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use repliq::{ConsumerOptions, Received, Store, StoreOptions};

const ROOT_QUEUE: &str = "hw_root_queue_name";
const REPLIES: [&str; 4] = [
    "Hello David Young",
    "Echo null null 1700000000000000 1234.567 true Unicode ASCII true test [Hello world] [1 76890]",
    "Hello Jack Smith",
    "Sleep 5",
];

/// A running server of some language.
struct Server {
    child: Child,
    // Closing it ends the server.
    _input: ChildStdin,
}

impl Server {
    fn start(program: &Path, store: &Path, port: &str) -> Server {
        let mut child = Command::new(program)
            .arg(store)
            .arg(format!("127.0.0.1:{port}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        // What a killed server had begun may be printed before it says that it listens.
        while !line.starts_with("listening on ") {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "{} ended", program.display());
        }
        std::thread::spawn(move || lines.lines().count());
        let input = child.stdin.take().unwrap();
        Server { child, _input: input }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A second consumer that takes nothing: what the server has worked on stays to be looked at.
fn keep_all(store: &Path) {
    let store = Store::open(store, &StoreOptions::default()).unwrap();
    let queue = store.queue(ROOT_QUEUE).unwrap();
    store.consumer("witness", queue, &ConsumerOptions::default()).unwrap();
    store.close().unwrap();
}

/// What a queue of a store holds, looked at from outside; nothing where it is not there yet.
fn messages(store: &Path, queue: &str) -> Vec<Received> {
    let options = StoreOptions { create: false, read_only: true, ..StoreOptions::default() };
    let look = || {
        let store = Store::open(store, &options)?;
        store.snapshot()?.browse(store.find_queue(queue)?, 1, 1_000)
    };
    look().unwrap_or_default()
}

fn replies(store: &Path) -> Vec<String> {
    let text = |one: &Received| String::from_utf8(one.payload().to_vec()).unwrap();
    messages(store, "replies").iter().map(text).collect()
}

fn sender(program: &Path, store: &Path, ports: [&str; 2]) -> Child {
    let [local, linux] = ports;
    Command::new(program)
        .arg(store)
        .arg(format!("repliq://replication@127.0.0.1:{local}"))
        .arg(format!("repliq://remote_rep@127.0.0.1:{linux}"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A port nobody listens on.
fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// The whole story with one pair.
fn story(server: &Path, send: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { folder.path().join(name) };
    let (port, late) = (free_port(), free_port());
    keep_all(&place("first"));
    keep_all(&place("second"));
    let first = Server::start(server, &place("first"), &port);
    let mut child = sender(send, &place("root"), [&port, &late]);
    wait_for("the first server works on all", || replies(&place("first")) == REPLIES);

    drop(first);
    let first = Server::start(server, &place("first"), &port);
    let second = Server::start(server, &place("second"), &late);
    assert!(child.wait().unwrap().success(), "{}", send.display());
    wait_for("the late server works on all", || replies(&place("second")) == REPLIES);
    assert_eq!(replies(&place("first")), REPLIES);

    for store in ["first", "second"] {
        let requests = messages(&place(store), ROOT_QUEUE);
        let kinds: Vec<u16> = requests.iter().map(Received::kind).collect();
        assert_eq!(kinds, [0x2002, 0x2004, 0x2002, 0x2003], "{store}");
        let jobs: Vec<u64> = requests.iter().map(Received::transaction).collect();
        assert!(jobs[0] == jobs[1] && jobs[1] < jobs[2] && jobs[2] < jobs[3], "{jobs:?}");
        let nobody = |one: &Received| one.payload().windows(6).any(|bytes| bytes == b"Nobody");
        assert!(!requests.iter().any(nobody), "an aborted job left something in {store}");
    }

    // The same sender again: its store goes on where it was.
    assert!(sender(send, &place("root"), [&port, &late]).wait().unwrap().success());
    let twice = [REPLIES, REPLIES].concat();
    for store in ["first", "second"] {
        wait_for("the second run arrives", || replies(&place(store)) == twice);
    }
    drop((first, second));
}

#[test]
fn every_sender_works_with_every_server() {
    let programs = build::programs();
    assert!(programs.len() >= 3, "Rust, C and C++");
    for server in &programs {
        for send in &programs {
            println!("{} sends to {}", send.language, server.language);
            story(&server.hello_world, &send.replication);
        }
    }
}
