//! The tutorials, run as their readers run them: every sender with every server, one server killed in between
//! and one that is late.

#![allow(clippy::unwrap_used)]

#[path = "examples/banks.rs"]
mod banks;
#[path = "examples/build.rs"]
mod build;
#[path = "examples/ledgers.rs"]
mod ledgers;
#[allow(dead_code)] // Read back here, and written by the tutorials.
#[path = "../examples/hello_world/rust/pack.rs"]
mod pack;
#[path = "examples/packing.rs"]
mod packing;
#[path = "examples/registry.rs"]
mod registry;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use build::Programs;
use pack::Packer;
use repliq::{
    ConnectOptions, ConsumerOptions, Received, Replication, ReplicationOptions, Store,
    StoreOptions, TargetOptions,
};

const ROOT_QUEUE: &str = "hw_root_queue_name";
const REPLIES: [&str; 4] = [
    "Hello David Young",
    "Echo null null 1700000000000000 1234.567 true Unicode ASCII true test [Hello world] [1 76890]",
    "Hello Jack Smith",
    "Sleep 5",
];
/// Pairs at a time: most of what they do is waiting.
const AT_ONCE: usize = 4;

/// A running server of some language.
struct Server {
    child: Child,
    // Closing it ends the server.
    input: Option<ChildStdin>,
    lines: Option<BufReader<ChildStdout>>,
}

impl Server {
    fn start(program: &[String], store: &Path, port: &str) -> Server {
        let mut child = Command::new(&program[0])
            .args(&program[1..])
            .arg(store)
            .arg(format!("127.0.0.1:{port}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, lines) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Server { child, input, lines }
    }

    /// Waits until it says that it listens. What a killed server had begun may be printed before.
    fn listening(mut self) -> Server {
        let mut lines = self.lines.take().unwrap();
        let mut line = String::new();
        while !line.starts_with("listening on ") {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "a server ended");
        }
        std::thread::spawn(move || lines.lines().count());
        self
    }

    /// Ends it as a reader would.
    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    /// SIGKILL.
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A second consumer that takes nothing: what the server has worked on stays to be looked at.
fn keep_all(store: &Path) {
    let store = Store::open(store, &StoreOptions::default()).unwrap();
    for queue in [ROOT_QUEUE, "Tolocal"] {
        let queue = store.queue(queue).unwrap();
        store.consumer("witness", queue, &ConsumerOptions::default()).unwrap();
    }
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

fn sender(program: &[String], directory: &Path, ports: [&str; 2]) -> Child {
    Command::new(&program[0])
        .args(&program[1..])
        .arg(directory)
        .args(ports.map(|port| format!("127.0.0.1:{port}")))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A port nobody listens on.
fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// The requests of the tutorial, as they must arrive at each server.
fn requests() -> Vec<(u16, Vec<u8>)> {
    let hello = |first, last| Packer::default().string(Some(first)).string(Some(last)).0;
    vec![
        (0x2002, hello("David", "Young")),
        (0x2004, packing::eleven()),
        (0x2002, hello("Jack", "Smith")),
        (0x2003, Packer::default().i32(5).0),
    ]
}

/// The requests in a server's store are those of so many senders, byte for byte and job by job.
fn check_requests(store: &Path, senders: usize) {
    let arrived = messages(store, ROOT_QUEUE);
    let bytes = arrived.iter().map(|one| (one.kind(), one.payload().to_vec()));
    let expected: Vec<_> = (0..senders).flat_map(|_| requests()).collect();
    assert!(bytes.eq(expected), "{}", store.display());
    for four in arrived.chunks(4) {
        let jobs: Vec<u64> = four.iter().map(Received::transaction).collect();
        assert!(jobs[0] == jobs[1] && jobs[1] < jobs[2] && jobs[2] < jobs[3], "{jobs:?}");
    }
}

/// The whole story with one pair.
fn story(server: &[String], send: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { folder.path().join(name) };
    let (port, late) = (free_port(), free_port());
    keep_all(&place("first"));
    keep_all(&place("second"));
    let mut child = sender(send, &place("queues"), [&port, &late]);
    let first = Server::start(server, &place("first"), &port).listening();
    wait_for("the first server begins to work", || !replies(&place("first")).is_empty());

    drop(first); // killed, whatever it is doing
    let first = Server::start(server, &place("first"), &port);
    let second = Server::start(server, &place("second"), &late).listening();
    let first = first.listening();
    assert!(child.wait().unwrap().success(), "{send:?}");
    for store in ["first", "second"] {
        wait_for("a server works on all", || replies(&place(store)).len() >= 4);
        assert_eq!(replies(&place(store)), REPLIES, "{store}");
        check_requests(&place(store), 1);
    }
    first.end();
    second.end();
}

#[test]
fn every_sender_works_with_every_server() {
    let programs = build::programs();
    assert!(programs.len() >= 3, "Rust, C and C++");
    let pairs: Vec<(&Programs, &Programs)> = programs
        .iter()
        .flat_map(|server| programs.iter().map(move |send| (server, send)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((server, send)) = pairs.get(next.fetch_add(1, Ordering::SeqCst)) {
            let start = Instant::now();
            println!("{} sends to {}", send.language, server.language);
            story(&server.hello_world, &send.replication);
            println!("{} sent to {} in {:?}", send.language, server.language, start.elapsed());
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_root_goes_on_in_another_language() {
    let programs = build::programs();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { folder.path().join(name) };
    let ports = [free_port(), free_port()];
    keep_all(&place("first"));
    keep_all(&place("second"));
    let first = Server::start(&programs[0].hello_world, &place("first"), &ports[0]).listening();
    let last = programs.last().unwrap();
    let second = Server::start(&last.hello_world, &place("second"), &ports[1]).listening();
    for send in programs {
        let mut child = sender(&send.replication, &place("queues"), [&ports[0], &ports[1]]);
        assert!(child.wait().unwrap().success(), "{}", send.language);
    }
    for store in ["first", "second"] {
        let all = REPLIES.repeat(programs.len());
        wait_for("a server works on all", || replies(&place(store)).len() >= all.len());
        assert_eq!(replies(&place(store)), all, "{store}");
        check_requests(&place(store), programs.len());
    }
    first.end();
    second.end();
}

#[test]
fn the_first_program_goes_on_where_it_stood_in_every_language() {
    let programs = build::programs();
    let folder = tempfile::tempdir().unwrap();
    for (number, program) in programs.iter().enumerate() {
        let output = Command::new(&program.first[0])
            .args(&program.first[1..])
            .arg(folder.path().join("shop"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", program.language);
        let (tea, sugar) = (2 * number + 1, 2 * number + 2);
        let expected = format!(
            "{tea} one pound of tea\n{sugar} two pounds of sugar\nthe clerk has taken everything\n"
        );
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{}", program.language);
    }
    let invoices = messages(&folder.path().join("shop"), "invoices");
    let texts = invoices.iter().map(|one| String::from_utf8_lossy(one.payload()).into_owned());
    let once = ["invoice: one pound of tea", "invoice: two pounds of sugar"];
    assert!(texts.eq(once.repeat(programs.len())), "each order is invoiced once");
}

/// Sends requests to the queue `Tolocal` of a server, as a sender with one target would.
fn send_to(port: &str, folder: &Path, requests: &[(u16, Vec<u8>)]) {
    let store = Store::open(folder, &StoreOptions::default()).unwrap();
    let root = store.queue("Tolocal").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let connect = ConnectOptions {
        password: Some("p4localhost".into()),
        plain: true,
        ..ConnectOptions::default()
    };
    let options = TargetOptions { connect, ..TargetOptions::default() };
    replication
        .add("Tolocal", &format!("repliq://replication@127.0.0.1:{port}"), &options)
        .unwrap();
    for (kind, payload) in requests {
        replication.send(*kind, payload).unwrap();
    }
    replication.stop(Duration::from_secs(30)).unwrap();
    store.close().unwrap();
}

#[test]
fn a_request_that_is_an_error_goes_to_the_errors_and_those_behind_it_go_on() {
    let string = |text| Packer::default().string(text);
    let requests = [
        (0x2002, string(Some("")).string(Some("Young")).0),
        (0x2002, string(None).string(Some("Young")).0),
        (0x2002, string(Some("David")).0),
        (0x2003, Packer::default().i32(-1).0),
        (0x2003, vec![1, 2, 3]),
        (0x2004, packing::eleven()[1..].to_vec()),
        (0x2004, [packing::eleven(), vec![0]].concat()),
        (0x2005, Vec::new()),
        (0x2002, string(Some("Jack")).string(Some("Smith")).0),
        (0x2003, Packer::default().i32(0).0),
    ];
    for programs in build::programs() {
        let folder = tempfile::tempdir().unwrap();
        let (store, port) = (folder.path().join("server"), free_port());
        let server = Server::start(&programs.hello_world, &store, &port).listening();
        send_to(&port, &folder.path().join("root"), &requests);
        wait_for("the good ones are done", || replies(&store).len() >= 2);
        assert_eq!(replies(&store), ["Hello Jack Smith", "Sleep 0"], "{}", programs.language);
        let errors = messages(&store, "errors");
        let moved = errors.iter().map(|one| (one.kind(), one.payload().to_vec()));
        assert!(moved.eq(requests[..8].iter().cloned()), "{}", programs.language);
        server.end();
    }
}
