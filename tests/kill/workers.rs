//! Workers that share a consumer at a server, keyed and with leases, killed again and again, and their server, too. What
//! they said they took and put is a history, and the checker reads what is there at the end.

use super::child::{options, say};
use super::movers::{far, path, port, way};
use super::proxy::{self, Direction, Weather};
use super::{Harness, Random, Running, checker, seeds};
use crate::authority::{Authority, Leaf};
use repliq::{Code, ConsumerOptions, Message, Received, Rules, Store};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Messages to be worked on in one cycle.
const MESSAGES: u64 = 4_000;
const KEYS: u64 = 11;
const WORKERS: usize = 3;
/// Kills of one cycle.
const KILLS: u32 = 60;
const LEASE_MS: u64 = 300;

/// What happens on the way in one cycle.
const FAULTS: u32 = 25;

/// Nanoseconds on the clock that all processes share: a number no other transaction has, and when it received.
fn number() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: is given a struct that lives as long as the call.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Moves messages until it is killed, or until there are none for longer than a lease.
pub fn work(folder: &Path, to_the_end: bool) {
    let store = far(folder);
    let (from, to) = (store.queue("from").unwrap(), store.queue("to").unwrap());
    let rules = Rules { shared: true, keyed: true, lease_ms: LEASE_MS, ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let worker = store.consumer("worker", from, &options).unwrap();
    let mut session = store.session().unwrap();
    loop {
        let got = match session.receive(&worker, 4, Duration::from_millis(5 * LEASE_MS)) {
            Ok(got) if got.is_empty() && to_the_end => break,
            Ok(got) if got.is_empty() => continue,
            Ok(got) => got,
            Err(error) => {
                let lost = [Code::RolledBack, Code::Unreachable, Code::Timeout, Code::Protocol];
                assert!(lost.contains(&error.code()), "{error:?}");
                continue;
            }
        };
        let (number, process) = (number(), std::process::id());
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().to_string();
        let told = |one: &Received| {
            format!("{}:{}:{}", text(one.payload()), text(one.key()), one.deliveries())
        };
        let told: Vec<String> = got.iter().map(told).collect();
        say(&format!("take {number} {process} {}", told.join(" ")));
        // Now and then it is too slow for its lease.
        if number.is_multiple_of(40) {
            std::thread::sleep(Duration::from_millis(2 * LEASE_MS));
        }
        let moved = got
            .iter()
            .try_for_each(|one| {
                session.put(to, &Message { key: one.key(), ..Message::new(one.payload()) })
            })
            .and_then(|()| session.commit());
        let end = match moved {
            Ok(_) => "ok",
            Err(error) => match error.code() {
                Code::RolledBack | Code::Stale => "fail",
                Code::OutcomeUnknown | Code::OutcomeExpired => "unknown",
                Code::Unreachable | Code::Timeout | Code::Protocol => {
                    session.rollback().unwrap();
                    "unknown"
                }
                _ => panic!("{error:?}"),
            },
        };
        say(&format!("{end} {number}"));
    }
}

fn fill(folder: &Path) {
    let store = Store::open(path(folder), &options()).unwrap();
    let from = store.queue("from").unwrap();
    store.queue("to").unwrap();
    for first in (1..=MESSAGES).step_by(500) {
        let texts: Vec<(String, String)> =
            (first..first + 500).map(|n| ((n % KEYS).to_string(), n.to_string())).collect();
        let messages: Vec<Message<'_>> = texts
            .iter()
            .map(|(key, n)| Message { key: key.as_bytes(), ..Message::new(n.as_bytes()) })
            .collect();
        store.put(from, &messages).unwrap();
    }
    store.close().unwrap();
}

/// What was said of the messages of a take: value, key and deliveries of each.
fn taken(words: &[&str]) -> [Vec<u64>; 3] {
    let mut all = [const { Vec::new() }; 3];
    for word in words {
        for (one, text) in all.iter_mut().zip(word.split(':')) {
            one.push(text.parse().unwrap());
        }
    }
    all
}

/// What the workers said, as the checker reads it.
fn history(said: &[String]) -> String {
    let mut lines = String::new();
    let mut add = |event: serde_json::Value| lines += &format!("{event}\n");
    let all: Vec<u64> = (1..=MESSAGES).collect();
    add(json!({"process": 0, "op": "put", "kind": "invoke", "transaction": 0, "queue": "from",
        "values": all}));
    add(json!({"process": 0, "op": "put", "kind": "ok", "transaction": 0}));
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        let number: u64 = words[2].parse().unwrap();
        if words[1] != "take" {
            add(json!({"process": 1, "op": "put", "kind": words[1], "transaction": number}));
            continue;
        }
        let process: u64 = words[3].parse().unwrap();
        // What it puts are the same values again, and names of events are unique: `judge` looks after those.
        let [values, keys, deliveries] = taken(&words[4..]);
        add(json!({"process": process, "op": "take", "transaction": number, "queue": "from",
            "values": values, "keys": keys, "deliveries": deliveries, "time": number}));
    }
    lines
}

#[test]
fn workers_and_their_server_killed_at_any_instant_work_on_each_message_once_and_keep_each_key() {
    let test = "kill workers::workers_and_their_server_killed_at_any_instant_work_on_each_message_once_and_keep_each_key";
    seeds::run("T5 workers", test, 1, |seed| {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut harness = Harness::new();
        let folder = harness.path("");
        fill(&folder);
        let mut bank = harness.start("bank");
        let mut workers: Vec<Running> = (0..WORKERS).map(|_| harness.start("worker")).collect();
        for _ in 0..KILLS {
            std::thread::sleep(Duration::from_millis(20 + random.below(60)));
            if random.below(4) == 0 {
                harness.kill(bank);
                bank = harness.start("bank");
            } else {
                let victim = workers.swap_remove(random.below(WORKERS as u64) as usize);
                harness.kill(victim);
                workers.push(harness.start("worker"));
            }
        }
        workers.into_iter().for_each(|worker| harness.kill(worker));
        let last = harness.start("last worker");
        harness.ended(last, None);
        harness.kill(bank);
        judge(&harness, &folder, seed);
        u64::from(KILLS)
    });
}

/// Stops a process, or lets it go on.
fn signal(running: &Running, signal: libc::c_int) {
    // SAFETY: takes numbers only; the child is ours and was not waited for.
    let done = unsafe { libc::kill(running.child.id() as i32, signal) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Says to the server once more all that was said on a connection before.
fn replay(weather: &Weather, server: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(server) else { return };
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    // It hangs up as soon as it hears what that is.
    let _ = stream.write_all(&weather.said());
    let _ = stream.read_to_end(&mut Vec::new());
}

/// One thing that goes wrong on the way, or with one of those who talk on it, and ends.
fn strike(
    weather: &Weather,
    random: &mut Random,
    (bank, server): (&Running, SocketAddr),
    worker: &Running,
) {
    let on = |flag: &std::sync::atomic::AtomicBool| flag.store(true, Ordering::SeqCst);
    let mut frozen = None;
    match random.below(11) {
        cut @ 0..2 => {
            on(&weather.breaks);
            std::thread::sleep(Duration::from_millis(30));
            weather.breaks.store(false, Ordering::SeqCst);
            let direction = if cut == 0 { Direction::Up } else { Direction::Down };
            weather.cut_next(direction, random.below(6_000) as usize);
        }
        2 => on(&weather.breaks),
        3 => weather.delay_ms.store(1 + random.below(30), Ordering::SeqCst),
        4 => weather.portion.store(1 + random.below(200) as usize, Ordering::SeqCst),
        5 => on(&weather.hole[random.below(2) as usize]),
        6 => on(&weather.flips),
        7 => on(&weather.doubles),
        8 => replay(weather, server),
        // For longer than its leases, now and then.
        9 => frozen = Some(worker),
        _ => frozen = Some(bank),
    }
    if let Some(one) = frozen {
        signal(one, libc::SIGSTOP);
    }
    std::thread::sleep(Duration::from_millis(50 + random.below(400)));
    if let Some(one) = frozen {
        signal(one, libc::SIGCONT);
    }
    weather.clear();
}

#[test]
fn workers_whose_network_does_everything_wrong_work_on_each_message_once_and_keep_each_key() {
    let test = "kill workers::workers_whose_network_does_everything_wrong_work_on_each_message_once_and_keep_each_key";
    seeds::run("T11 workers", test, 1, |seed| {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut harness = Harness::new();
        let folder = harness.path("");
        fill(&folder);
        let authority = Authority::new();
        authority.file(&folder);
        authority.leaf(&folder, Leaf::Good);
        let mut bank = harness.start("bank at a port");
        while !port(&folder).exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let address: SocketAddr = std::fs::read_to_string(port(&folder)).unwrap().parse().unwrap();
        let weather = Arc::new(Weather::default());
        let there = proxy::open("127.0.0.1", Arc::new(Mutex::new(address)), weather.clone());
        std::fs::write(way(&folder), there.to_string()).unwrap();
        let mut workers: Vec<Running> = (0..WORKERS).map(|_| harness.start("worker")).collect();
        for _ in 0..FAULTS {
            std::thread::sleep(Duration::from_millis(20 + random.below(100)));
            match random.below(8) {
                0 => {
                    harness.kill(bank);
                    bank = harness.start("bank at a port");
                }
                1 => {
                    let victim = workers.swap_remove(random.below(WORKERS as u64) as usize);
                    harness.kill(victim);
                    workers.push(harness.start("worker"));
                }
                _ => strike(&weather, &mut random, (&bank, address), &workers[0]),
            }
        }
        workers.into_iter().for_each(|worker| harness.kill(worker));
        let last = harness.start("last worker");
        harness.ended(last, None);
        harness.kill(bank);
        println!("{} connections", weather.connections.load(Ordering::SeqCst));
        judge(&harness, &folder, seed);
        u64::from(FAULTS)
    });
}

fn judge(harness: &Harness, folder: &Path, seed: u64) {
    let store = Store::open(path(folder), &options()).unwrap();
    let to = store.find_queue("to").unwrap();
    let there = store.snapshot().unwrap().browse(to, 1, 1_000_000).unwrap();
    let value = |text: &[u8]| std::str::from_utf8(text).unwrap().parse::<u64>().unwrap();
    // Each once, and of each key in order.
    let mut last: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for one in &there {
        let value = value(one.payload());
        assert!(seen.insert(value), "seed {seed}: {value} twice");
        let before = last.insert(one.key().to_vec(), value).unwrap_or(0);
        assert!(before < value, "seed {seed}: {value} behind {before}");
    }
    assert_eq!(seen.len() as u64, MESSAGES, "seed {seed}");
    let queues = store.queues().unwrap();
    let from = queues.iter().find(|info| info.name == "from").unwrap();
    assert_eq!(from.consumers[0].acknowledged, MESSAGES, "seed {seed}");
    // Whole transactions, none of them refused, each of what they took consumed by one.
    let mut of: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for one in &there {
        of.entry(one.transaction()).or_default().insert(value(one.payload()));
    }
    let (mut takes, mut ends, mut again) = (BTreeMap::new(), BTreeMap::new(), 0);
    for line in &harness.said {
        let words: Vec<&str> = line.split(' ').collect();
        let number: u64 = words[2].parse().unwrap();
        match words[1] {
            "take" => {
                let [values, _, deliveries] = taken(&words[4..]);
                takes.insert(number, values.into_iter().collect::<BTreeSet<u64>>());
                again += deliveries.iter().filter(|count| **count > 1).count();
            }
            end => _ = ends.insert(number, end.to_string()),
        }
    }
    let whole: BTreeSet<&BTreeSet<u64>> = of.values().collect();
    for (number, taken) in &takes {
        let end = ends.get(number).map_or("unknown", String::as_str);
        if end == "ok" {
            assert!(whole.contains(taken), "seed {seed}: {taken:?} of {number} is not there whole");
        }
    }
    let mut lines = history(&harness.said);
    lines += &format!(
        "{}\n",
        json!({"process": 2, "op": "consumed", "place": "bank", "queue": "from",
            "values": seen.iter().collect::<Vec<_>>()})
    );
    let report = checker::check(&lines);
    assert!(report.is_good(), "seed {seed}: {report:#?}");
    println!(
        "{} transactions, {again} messages not for the first time, {} unknown, {} refused",
        takes.len(),
        report.unknown,
        ends.values().filter(|end| *end == "fail").count()
    );
}
