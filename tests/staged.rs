//! Transactions larger than any memory should be: what they cost, on a real disk.
//!
//! `REPLIQ_STAGED_MESSAGES` is how many messages of 1 KiB one has; 1,000,000 is a gibibyte.

#![allow(clippy::unwrap_used)]

use repliq::{Code, ConsumerOptions, Message, Store, StoreOptions};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Memory a process may use for it beyond what it had before, in bytes.
const MEMORY: u64 = 64 << 20;
const CHILD: &str = "REPLIQ_STAGED_CHILD";

fn messages() -> usize {
    let given = std::env::var("REPLIQ_STAGED_MESSAGES").ok();
    given.map_or(150_000, |text| text.parse().unwrap())
}

/// The most memory this process ever had resident, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn payload(number: usize) -> Vec<u8> {
    let mut bytes = format!("{number:08}").into_bytes();
    bytes.resize(1024, b'.');
    bytes
}

/// Puts them as one transaction and receives them, in a process of its own.
fn put_and_receive(place: &Path) {
    let store = Store::open(place, &StoreOptions::default()).unwrap();
    let queue = store.queue("q").unwrap();
    store.put(queue, &[Message::new(b"before")]).unwrap();
    let before = peak();
    let mut session = store.session().unwrap();
    for number in 0..messages() {
        session.put(queue, &Message::new(&payload(number))).unwrap();
    }
    assert_eq!(store.snapshot().unwrap().browse(queue, 1, 9).unwrap().len(), 1);
    session.commit().unwrap();
    let put = peak() - before;
    drop((session, store));
    let store = Store::open(place, &StoreOptions::default()).unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    assert_eq!(consumer.receive(1, Duration::ZERO).unwrap()[0].payload(), b"before");
    let mut session = store.session().unwrap();
    let mut number = 0;
    while number < messages() {
        let got = session.receive(&consumer, 4096, Duration::ZERO).unwrap();
        assert!(!got.is_empty(), "{number} came");
        for one in &got {
            assert_eq!(one.payload(), payload(number));
            number += 1;
        }
        session.commit().unwrap();
    }
    let all = peak() - before;
    println!("{} messages: put with {put} bytes of memory, all with {all}", messages());
    assert!(all < MEMORY, "{put} bytes to put, {all} with what it took to receive");
}

#[test]
fn a_transaction_of_any_size_is_put_and_received_in_64_mib() {
    if let Some(place) = std::env::var_os(CHILD) {
        return put_and_receive(Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_transaction_of_any_size_is_put_and_received_in_64_mib", "--nocapture"])
        .env(CHILD, place.path().join("store"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{text}{}", String::from_utf8_lossy(&child.stderr));
    println!("{text}");
}

#[test]
fn a_job_above_its_bound_is_refused_by_name_and_comes_in_pieces() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path().join("store"), &StoreOptions::default()).unwrap();
    let queue = store.queue("q").unwrap();
    let body = vec![7; 1 << 20];
    let mut session = store.session().unwrap();
    for count in [63, 64] {
        for _ in 0..count {
            session.put(queue, &Message::new(&body)).unwrap();
        }
        session.commit().unwrap();
    }
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    assert_eq!(session.receive_job(&consumer, Duration::ZERO).unwrap().len(), 63);
    session.commit().unwrap();
    let error = session.receive_job(&consumer, Duration::ZERO).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge, "{error}");
    assert_eq!(session.receive(&consumer, 1, Duration::ZERO).unwrap()[0].sequence(), 64);
    session.commit().unwrap();
    // What is left of it fits.
    assert_eq!(session.receive_job(&consumer, Duration::ZERO).unwrap().len(), 63);
}
