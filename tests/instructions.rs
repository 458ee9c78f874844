//! A guard of speed that no busy machine disturbs: the instructions of the hot paths, counted by callgrind and
//! compared with those in `tests/instructions.txt`, five per cent more or less.
//!
//! Fewer is no failure to be proud of unless it is written down, too: `BLESS=1 cargo test --test instructions` writes
//! the file anew, and the commit says why. Counts are those of the build of the tests, a message each.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // What only the tests of replication need.
#[path = "replication/world.rs"]
mod world;

use repliq::{ConsumerOptions, Level, Message, Store, StoreOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use world::{Clock, Link, Node, Plan, ROOT};

/// Plain stores.
fn password() -> Option<repliq::Password> {
    None
}

/// A path: its name, messages, and what is done.
type Hot = (&'static str, u64, fn(u64));

const PATHS: [Hot; 7] = [
    ("put_process", 2_000, put_process),
    ("put_mapped", 20_000, put_mapped),
    ("put_256_mapped", 256 * 80, put_256_mapped),
    ("put_256_power", 256 * 20, put_power),
    ("receive_and_acknowledge", 5_000, receive),
    ("browse", 5_000, browse),
    ("replicate", 2_000, replicate),
];

/// The share a count may be off by.
const OFF_MAX: f64 = 0.05;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/instructions.txt");

/// What callgrind counts begins and ends with this.
#[inline(never)]
fn measured_by_callgrind(work: &mut dyn FnMut()) {
    work();
    std::hint::black_box(());
}

fn store(folder: &Path) -> Store {
    store_at(folder, Level::Power)
}

fn store_at(folder: &Path, level: Level) -> Store {
    let options = StoreOptions {
        level,
        segment_bytes: 16 << 20,
        segment_bytes_max: 16 << 20,
        helper: false,
        ..StoreOptions::default()
    };
    Store::open(folder.join("store"), &options).unwrap()
}

fn put_process(messages: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let queue = store.queue("q").unwrap();
    let put = |count: u64| {
        for _ in 0..count {
            store.put_at(queue, &[Message::new(&[7; 100])], Level::Process).unwrap();
        }
    };
    put(10);
    measured_by_callgrind(&mut || put(messages));
}

/// In a store whose level it is: stored through the window.
fn put_mapped(messages: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = store_at(folder.path(), Level::Process);
    let queue = store.queue("q").unwrap();
    let put = |count: u64| {
        for _ in 0..count {
            store.put(queue, &[Message::new(&[7; 100])]).unwrap();
        }
    };
    put(10);
    measured_by_callgrind(&mut || put(messages));
}

fn put_256_mapped(messages: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = store_at(folder.path(), Level::Process);
    let queue = store.queue("q").unwrap();
    let batch = vec![Message::new(&[7; 100]); 256];
    store.put(queue, &batch).unwrap();
    measured_by_callgrind(&mut || {
        for _ in 0..messages / 256 {
            store.put(queue, &batch).unwrap();
        }
    });
}

fn put_power(messages: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let queue = store.queue("q").unwrap();
    let batch = vec![Message::new(&[7; 100]); 256];
    store.put(queue, &batch).unwrap();
    measured_by_callgrind(&mut || {
        for _ in 0..messages / 256 {
            store.put(queue, &batch).unwrap();
        }
    });
}

/// A store with so many messages of 100 bytes in `q`.
fn filled(folder: &Path, messages: u64) -> Store {
    let store = store(folder);
    let queue = store.queue("q").unwrap();
    for _ in 0..messages / 250 {
        store.put(queue, &vec![Message::new(&[7; 100]); 250]).unwrap();
    }
    store
}

fn receive(messages: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), messages);
    let queue = store.find_queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let mut left = messages;
    measured_by_callgrind(&mut || {
        while left > 0 {
            let got = consumer.receive(100, Duration::ZERO).unwrap();
            let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
            consumer.ack(&sequences).unwrap();
            left -= got.len() as u64;
        }
    });
}

fn browse(messages: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), messages);
    let queue = store.find_queue("q").unwrap();
    let (snapshot, mut from) = (store.snapshot().unwrap(), 1);
    measured_by_callgrind(&mut || {
        while from <= messages {
            from += snapshot.browse(queue, from, 1_000).unwrap().len() as u64;
        }
    });
}

/// Both sides of a stream in one thread, without sockets.
fn replicate(messages: u64) {
    let (from, to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    for n in 0..messages / 10 {
        from.put(ROOT, &vec![format!("{n:0100}"); 10]).unwrap();
    }
    let mut link = Link::open(&from, &to, &Plan::new(ROOT, "one", ROOT)).unwrap();
    measured_by_callgrind(&mut || link.run(&mut clock));
    assert!(link.error.is_none());
    assert_eq!(to.payloads(ROOT).len() as u64, messages);
}

#[test]
fn child() {
    let Ok(name) = std::env::var("REPLIQ_PATH") else { return };
    let (_, messages, work) = PATHS.into_iter().find(|path| path.0 == name).unwrap();
    work(messages);
}

/// Instructions of a path, a message.
fn count((name, messages, _): Hot) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*measured_by_callgrind*")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--test-threads=1"])
        .env("REPLIQ_PATH", name)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let collected: f64 = collected.unwrap_or_else(|| panic!("{said}")).1.trim().parse().unwrap();
    assert!(collected > 0.0, "nothing was counted:\n{said}");
    collected / messages as f64
}

/// The rows of the file.
fn committed() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(FILE).unwrap_or_default();
    let rows = text.lines().filter_map(|line| line.split_once(' '));
    rows.map(|(name, count)| (name.to_string(), count.trim().parse().unwrap())).collect()
}

/// What is wrong with a count, if anything is.
fn judge(name: &str, now: f64, before: Option<&f64>) -> Option<String> {
    let Some(before) = before else {
        return Some(format!("{name}: {now:.0}, never counted before"));
    };
    let off = now / before - 1.0;
    (off.abs() > OFF_MAX)
        .then(|| format!("{name}: {now:.0} for {before:.0}, {:+.1} %", off * 100.0))
}

#[test]
fn the_hot_paths_take_as_many_instructions_as_they_did() {
    let counts: Vec<(&str, f64)> = std::thread::scope(|scope| {
        let running = PATHS.map(|path| (path.0, scope.spawn(move || count(path))));
        running.into_iter().map(|(name, thread)| (name, thread.join().unwrap())).collect()
    });
    let rows: Vec<String> = counts.iter().map(|(name, now)| format!("{name} {now:.0}\n")).collect();
    print!("{}", rows.concat());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(FILE, rows.concat()).unwrap();
    }
    let committed = committed();
    let wrong = counts.iter().filter_map(|(name, now)| judge(name, *now, committed.get(*name)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "instructions a message:\n  {}", wrong.join("\n  "));
    assert_eq!(committed.len(), PATHS.len());
}

#[test]
fn a_path_that_takes_a_tenth_more_or_less_is_found() {
    assert_eq!(judge("a", 1_040.0, Some(&1_000.0)), None);
    assert_eq!(judge("a", 960.0, Some(&1_000.0)), None);
    assert_eq!(judge("a", 1_100.0, Some(&1_000.0)).unwrap(), "a: 1100 for 1000, +10.0 %");
    assert_eq!(judge("a", 900.0, Some(&1_000.0)).unwrap(), "a: 900 for 1000, -10.0 %");
    assert!(judge("b", 1.0, None).is_some());
}
