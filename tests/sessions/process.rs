//! Clients that are processes of their own, and end.

use crate::place::{NOW, Place, SOON, by_url, connect, deliveries, payloads, put, until, waiting};
use repliq::{Consumer, ConsumerOptions, Message, Rules, Store, StoreOptions};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The store a child opens: a URL or a directory.
const STORE: &str = "REPLIQ_SESSIONS_STORE";
/// Milliseconds of the leases of its consumer; 0 for an exclusive one.
const LEASE: &str = "REPLIQ_SESSIONS_LEASE";

fn open(store: &Store, lease_ms: u64) -> Consumer {
    let rules = Rules { shared: lease_ms > 0, lease_ms, ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    store.consumer("r", store.queue("q").unwrap(), &options).unwrap()
}

/// What a child does: it receives, puts, says so, and waits for its end.
#[test]
fn child() {
    let Some(at) = std::env::var_os(STORE) else { return };
    let lease_ms = std::env::var(LEASE).unwrap().parse().unwrap();
    let store = match at.to_str() {
        Some(url) if url.contains("://") => by_url(url, connect()).unwrap(),
        _ => Store::open(&at, &StoreOptions::default()).unwrap(),
    };
    let reader = open(&store, lease_ms);
    let mut session = store.session().unwrap();
    assert_eq!(session.receive(&reader, 2, SOON).unwrap().len(), 2);
    session.put(reader.queue(), &Message::new(&[7; 100_000])).unwrap();
    println!("\nhas them");
    std::thread::sleep(std::time::Duration::from_secs(3600));
}

/// A child that has received two messages and put one.
fn started(at: &str, lease_ms: u64) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::child", "--nocapture", "--test-threads=1"])
        .env(STORE, at)
        .env(LEASE, lease_ms.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.map_while(Result::ok).any(|line| line == "has them");
    assert!(said, "the child ended: {:?}", child.wait());
    child
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn txs_14_what_a_client_had_when_its_process_died_is_rolled_back_and_there_for_others() {
    let place = Place::remote();
    for (n, url) in [place.url("ann"), place.socket()].iter().enumerate() {
        for lease_ms in [0, 600_000] {
            let queue = place.own.queue("q").unwrap();
            put(&place.own, queue, &["1", "2"]);
            let child = started(url, lease_ms);
            kill(child);
            let mut got = Vec::new();
            // An exclusive consumer is free once the server has seen that the other is gone.
            until("the messages come back", || {
                let options = ConsumerOptions {
                    rules: Rules { shared: lease_ms > 0, lease_ms, ..Rules::default() },
                    ..ConsumerOptions::default()
                };
                place.own.consumer("r", queue, &options).is_ok()
            });
            let reader = open(&place.own, lease_ms);
            while got.len() < 2 {
                got.extend(reader.receive(9, SOON).unwrap());
            }
            // An exclusive consumer keeps no count of the first time.
            let counts = if lease_ms > 0 { vec![2, 2] } else { vec![1, 1] };
            assert_eq!((payloads(&got).concat(), deliveries(&got)), ("12".into(), counts), "{n}");
            reader.ack(&[got[0].sequence(), got[1].sequence()]).unwrap();
            assert!(reader.receive(9, NOW).unwrap().is_empty());
            drop(reader);
            place.own.queue_delete(queue).unwrap();
        }
    }
}

#[test]
fn txs_14_a_process_that_died_with_its_store_open_leaves_nothing_of_its_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let open_here = || Store::open(&path, &StoreOptions::default()).unwrap();
    let store = open_here();
    let queue = store.queue("q").unwrap();
    put(&store, queue, &["1", "2"]);
    drop(store);
    kill(started(path.to_str().unwrap(), 600_000));
    let store = open_here();
    let got = open(&store, 600_000).receive(9, SOON).unwrap();
    assert_eq!((payloads(&got).concat(), deliveries(&got)), ("12".into(), vec![2, 2]));
    assert_eq!(waiting(&store, store.queue("q").unwrap()), ["1", "2"]);
}
