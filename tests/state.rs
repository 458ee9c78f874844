//! What a store of many producers and queues costs in memory, on a real disk.
//!
//! `REPLIQ_STATE_PRODUCERS` is how many producers put one message of 100 bytes each.

#![allow(clippy::unwrap_used)]

use repliq::{ConsumerOptions, Level, Message, Store, StoreOptions};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CHILD: &str = "REPLIQ_STATE_CHILD";
const QUEUES: usize = 99_000;
/// Memory for so many producers: rows that changed in two segments, an index and a filter; see `limits`.
const PRODUCERS_MEMORY: u64 = 64 << 20;
/// Memory for so many queues, each with a consumer's name or not.
const QUEUES_MEMORY: u64 = 64 << 20;

fn producers() -> usize {
    let given = std::env::var("REPLIQ_STATE_PRODUCERS").ok();
    given.map_or(300_000, |text| text.parse().unwrap())
}

fn field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn options() -> StoreOptions {
    StoreOptions { level: Level::Process, segment_bytes_max: 8 << 20, ..StoreOptions::default() }
}

fn name(number: usize) -> String {
    format!("producer-{number:010}")
}

/// Puts a message of each producer; what is put is received and given back.
fn produce(store: &Store) {
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let payload = [b'.'; 100];
    for first in (0..producers()).step_by(1_000) {
        let names: Vec<String> = (first..(first + 1_000).min(producers())).map(name).collect();
        let message =
            |name| Message { producer: name, producer_sequence: 1, ..Message::new(&payload) };
        let messages: Vec<Message<'_>> = names.iter().map(|name| message(name)).collect();
        store.put(queue, &messages).unwrap();
        let got = consumer.receive(1_000, Duration::from_secs(9)).unwrap();
        let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
        consumer.ack(&sequences).unwrap();
    }
}

fn run(place: &Path) {
    let store = Store::open(place, &options()).unwrap();
    let before = field("VmHWM:");
    produce(&store);
    let many = field("VmHWM:") - before;
    store.close().unwrap();
    drop(store);
    let store = Store::open(place, &options()).unwrap();
    let queue = store.queue("q").unwrap();
    for number in (0..producers()).step_by(producers() / 100) {
        let producer = name(number);
        let message = |sequence| Message {
            producer: &producer,
            producer_sequence: sequence,
            ..Message::new(b"")
        };
        let again = store.put(queue, &[message(1)]).unwrap();
        assert_eq!(store.put(queue, &[message(1)]).unwrap().token, again.token, "{producer}");
        store.put(queue, &[message(2)]).unwrap();
    }
    let before = field("VmRSS:");
    for number in 0..QUEUES {
        store.queue(&format!("queue/of/a/tenant/{number:06}")).unwrap();
    }
    let queues = field("VmRSS:").saturating_sub(before);
    store.close().unwrap();
    println!(
        "{} producers cost {many} bytes of memory at most, {QUEUES} queues {queues}",
        producers()
    );
    assert!(many < PRODUCERS_MEMORY && queues < QUEUES_MEMORY, "{many} {queues}");
}

#[test]
fn producers_and_queues_cost_what_the_limits_say_whatever_the_history() {
    if let Ok(place) = std::env::var(CHILD) {
        return run(Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--test-threads", "1"])
        .env(CHILD, place.path().join("store"))
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out} {}", String::from_utf8_lossy(&output.stderr));
    println!("{}", out.lines().find(|line| line.contains("producers cost")).unwrap_or(""));
}
