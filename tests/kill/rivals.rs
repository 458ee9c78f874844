//! T14: eight processes at one store. Six of them want to write, again and again: one at a time does, the others are
//! told LOCKED, and a lock goes with its process, however it ends. Two look on and must never see less than before,
//! other bytes or a gap.

use super::child::{ROOT, options, payload, payload_of, say};
use super::{Harness, Random, Running, seeds};
use repliq::{Code, Message, Store, StoreOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const WRITERS: u64 = 6;
const READERS: u64 = 2;
/// Kills of one cycle.
const KILLS: u32 = 30;
/// Jobs of one writer have numbers of their own.
const APART: u64 = 1 << 32;

/// Opens, puts a few jobs, closes; as long as it lives.
pub fn write(folder: &Path, rival: u64) {
    let first: u64 = std::env::var("REPLIQ_NEXT").unwrap().parse().unwrap();
    let mut job = rival * APART + first;
    loop {
        let store = match Store::open(folder.join("shared"), &options()) {
            Ok(store) => store,
            Err(error) => {
                assert_eq!(error.code(), Code::Locked, "{error}");
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
        };
        let queue = store.queue(ROOT).unwrap();
        for _ in 0..3 {
            let count = 1 + job % 3;
            let payloads: Vec<Vec<u8>> = (0..count).map(|at| payload(job, at, count)).collect();
            let messages: Vec<Message<'_>> = payloads.iter().map(|one| Message::new(one)).collect();
            say(&format!("begin {job} {count}"));
            store.put(queue, &messages).unwrap();
            say(&format!("ok {job}"));
            job += 1;
        }
        store.close().unwrap();
        std::thread::sleep(Duration::from_millis(job % 5));
    }
}

/// Looks again and again.
pub fn look_on(folder: &Path) {
    let looking = StoreOptions { read_only: true, ..options() };
    let mut most = 0;
    loop {
        std::thread::sleep(Duration::from_millis(3));
        let store = match Store::open(folder.join("shared"), &looking) {
            Ok(store) => store,
            Err(error) => {
                // Nobody has made it yet, or whoever writes was just changing what is read.
                let expected = [Code::NotFound, Code::Locked, Code::Busy];
                assert!(expected.contains(&error.code()), "{error}");
                continue;
            }
        };
        let Ok(queue) = store.find_queue(ROOT) else { continue };
        let some = store.snapshot().unwrap().browse(queue, 1, 1_000_000).unwrap();
        for (at, message) in some.iter().enumerate() {
            assert_eq!(message.sequence(), at as u64 + 1, "a gap");
            payload_of(message.payload());
        }
        assert!(some.len() >= most, "{} messages after {most}", some.len());
        most = some.len();
    }
}

fn judge(harness: &Harness, seed: u64) -> usize {
    let (mut begun, mut confirmed) = (BTreeMap::new(), BTreeSet::new());
    for line in &harness.said {
        let words: Vec<&str> = line.split(' ').collect();
        let job: u64 = words[2].parse().unwrap();
        match words[1] {
            "begin" => _ = begun.insert(job, words[3].parse::<u64>().unwrap()),
            _ => assert!(confirmed.insert(job), "seed {seed}: job {job} was confirmed twice"),
        }
    }
    let store = Store::open(harness.path("shared"), &options()).unwrap();
    let queue = store.find_queue(ROOT).unwrap();
    let all = store.snapshot().unwrap().browse(queue, 1, 1_000_000).unwrap();
    let (mut there, mut last) = (BTreeMap::<u64, u64>::new(), BTreeMap::new());
    for message in &all {
        let (job, index, count) = payload_of(message.payload());
        assert_eq!(begun.get(&job), Some(&count), "seed {seed}: job {job} was never begun");
        let place = last.insert(job / APART, (job, index));
        assert!(place < Some((job, index)), "seed {seed}: {place:?} before ({job}, {index})");
        *there.entry(job).or_default() += 1;
    }
    for (job, count) in &there {
        assert_eq!(begun[job], *count, "seed {seed}: job {job} is torn");
    }
    let lost: Vec<_> = confirmed.iter().filter(|job| !there.contains_key(job)).collect();
    assert!(lost.is_empty(), "seed {seed}: {lost:?} were confirmed and are lost");
    confirmed.len()
}

fn contend(seed: u64) -> u64 {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut harness = Harness::new();
    let roles: Vec<String> = (0..WRITERS)
        .map(|rival| format!("writer {rival}"))
        .chain((0..READERS).map(|_| "reader".to_string()))
        .collect();
    let mut running: Vec<Running> = roles.iter().map(|role| harness.start(role)).collect();
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(10 + random.below(60)));
        let at = random.below(roles.len() as u64) as usize;
        let victim = running.swap_remove(at);
        // What it put next gets a number nobody has used.
        harness.kill(victim);
        harness.next_job = u64::from(kill + 1) * 100_000;
        let role = &roles[at];
        running.push(harness.start(role));
        let end = running.len() - 1;
        running.swap(at, end);
    }
    for one in running {
        harness.kill(one);
    }
    let confirmed = judge(&harness, seed);
    println!("{KILLS} kills of {} processes, {confirmed} jobs confirmed", roles.len());
    assert!(confirmed > 50, "{confirmed} confirmed: the test has tested next to nothing");
    u64::from(KILLS)
}

#[test]
fn of_eight_processes_one_writes_at_a_time_and_nobody_is_shut_out_by_the_dead() {
    let test =
        "kill rivals::of_eight_processes_one_writes_at_a_time_and_nobody_is_shut_out_by_the_dead";
    seeds::run("T14 processes", test, 2, contend);
}
