//! Versions of keys that a consumer has processed: rows that are in no memory, through runs and merges, stops and failing
//! calls, and gone with their consumer.

use crate::lives::Life;
use crate::oracle::small;
use repliq::disk::model::ModelDisk;
use repliq::{Code, Consumer, ConsumerOptions, Message, Queue, Received, Result, Rules, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const KEYS: usize = 8;
const ROUNDS: u64 = 24;

fn open(disk: &ModelDisk) -> Result<Store> {
    Store::open_on(Arc::new(disk.clone()), &small(crate::SEGMENT))
}

fn worker(store: &Store, name: &str) -> Result<(Queue, Consumer)> {
    let queue = store.queue("q")?;
    let rules = Rules { keyed: true, key_versions: true, ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    Ok((queue, store.consumer(name, queue, &options)?))
}

fn key_of(number: usize) -> String {
    format!("key {number:03}")
}

/// What the worker was told it has processed: the last version of each key, and one it may have processed besides.
#[derive(Clone, Debug, Default)]
struct Told {
    done: BTreeMap<usize, u64>,
    doubtful: Vec<(usize, u64)>,
}

fn put(store: &Store, queue: Queue, key: &str, version: u64) -> Result<()> {
    let (version, payload) = (version.to_string(), [b'.'; 400]);
    let headers = [("repliq-version", version.as_bytes())];
    let message = Message { key: key.as_bytes(), headers: &headers, ..Message::new(&payload) };
    store.put(queue, &[message]).map(|_| ())
}

/// Key and version of what was given out.
fn of(one: &Received) -> (usize, u64) {
    let key = std::str::from_utf8(one.key()).unwrap().strip_prefix("key ").unwrap();
    let (_, version) = one.headers().find(|(name, _)| *name == "repliq-version").unwrap();
    (key.parse().unwrap(), std::str::from_utf8(version).unwrap().parse().unwrap())
}

/// Works on all that is there.
fn drain(worker: &Consumer, told: &mut Told) -> Result<()> {
    loop {
        let got = worker.receive(1_000, Duration::ZERO)?;
        if got.is_empty() {
            return Ok(());
        }
        for one in &got {
            let (key, version) = of(one);
            let known = told.done.get(&key).copied().unwrap_or(0);
            assert!(version > known, "key {key}: {version} comes, and {known} was processed");
        }
        told.doubtful = got.iter().map(of).collect();
        worker.ack(&got.iter().map(Received::sequence).collect::<Vec<_>>())?;
        told.done.extend(std::mem::take(&mut told.doubtful));
    }
}

/// Keys change, some of them seldom, and every notice comes again; another consumer passes, and is deleted.
fn live(store: &Store, told: &mut Told, rounds: std::ops::RangeInclusive<u64>) -> Result<()> {
    let (queue, consumer) = worker(store, "worker")?;
    for round in rounds {
        for key in 0..KEYS {
            // The higher ones are silent for long.
            if round.is_multiple_of(key as u64 + 1) {
                let next = told.done.get(&key).map_or(1, |version| version + 1);
                put(store, queue, &key_of(key), next)?;
                put(store, queue, &key_of(key), next)?;
            }
        }
        drain(&consumer, told)?;
        pass(store, round)?;
        store.reclaim()?;
    }
    Ok(())
}

/// A consumer that stays, or one that is moved and deleted behind its work; their keys are nobody else's.
fn pass(store: &Store, round: u64) -> Result<()> {
    let queue = store.queue("passing")?;
    let rules = Rules { keyed: true, key_versions: true, ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let name = if round.is_multiple_of(2) { "stays" } else { "goes" };
    let consumer = store.consumer(name, queue, &options)?;
    for key in 0..3 {
        put(store, queue, &format!("passing key {key}"), round + 1)?;
    }
    // In a round that comes again they were processed before.
    let got = consumer.receive(1_000, Duration::ZERO)?;
    if !got.is_empty() {
        consumer.ack(&got.iter().map(Received::sequence).collect::<Vec<_>>())?;
    }
    if name == "goes" {
        let next = store.queues()?.into_iter().find(|info| info.queue == queue);
        consumer.seek(next.map_or(1, |info| info.next_sequence))?;
        store.consumer_delete(name, queue)?;
    }
    drop(consumer);
    store.queue_purge(queue).map(|_| ())
}

/// What was processed comes to nobody again, and what is newer does; returns how many receives told damage.
fn check(store: &Store, told: &Told, what: &dyn Fn() -> String) -> usize {
    let failed = |error: repliq::Error| -> ! { panic!("{}: {error}", what()) };
    let (queue, worker) = worker(store, "worker").unwrap_or_else(|error| failed(error));
    let mut last = told.clone();
    // Of what has no outcome nobody knows.
    for (key, version) in std::mem::take(&mut last.doubtful) {
        last.done.insert(key, version.max(last.done.get(&key).copied().unwrap_or(0)));
    }
    for (key, version) in &told.done {
        put(store, queue, &key_of(*key), *version).unwrap_or_else(|error| failed(error));
    }
    let mut damaged = 0;
    for _ in 0..2 {
        let mut known = told.clone();
        match drain(&worker, &mut known) {
            Ok(()) => {}
            Err(error) if error.code() == Code::Corrupt => damaged += 1,
            Err(error) => failed(error),
        }
        for (key, version) in last.done.iter_mut() {
            *version = known.done.get(key).copied().unwrap_or(0).max(*version) + 1;
            put(store, queue, &key_of(*key), *version).unwrap_or_else(|error| failed(error));
        }
    }
    let mut known = told.clone();
    if damaged == 0 {
        drain(&worker, &mut known).unwrap_or_else(|error| failed(error));
        assert_eq!(known.done, last.done, "{}: what is newer comes", what());
    }
    damaged
}

fn files(disk: &ModelDisk, end: &str) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(end)).collect()
}

/// A store that had many runs and some bases, and what its worker was told; it was killed.
fn grown() -> (ModelDisk, Told) {
    let (disk, mut told) = (ModelDisk::new(), Told::default());
    let store = open(&disk).unwrap();
    live(&store, &mut told, 1..=ROUNDS).unwrap();
    assert_eq!(files(&disk, ".base").len(), 2);
    assert!(files(&disk, ".run").len() > 1 && told.done.len() == KEYS);
    (disk.kill(), told)
}

#[test]
fn a_version_of_long_ago_is_known_after_any_number_of_runs() {
    let (image, told) = grown();
    assert_eq!(check(&open(&image.clone_image()).unwrap(), &told, &|| "killed".into()), 0);
    let (disk, mut told) = (image, told);
    for life in 0..3 {
        let store = open(&disk).unwrap();
        live(&store, &mut told, ROUNDS..=ROUNDS + 8).unwrap();
        store.verify(&mut |_| Ok(())).unwrap();
        store.close().unwrap();
        let looked = open(&disk.clone_image()).unwrap();
        assert_eq!(check(&looked, &told, &|| format!("life {life}")), 0);
    }
}

#[test]
fn what_a_deleted_consumer_processed_is_gone_from_the_disk() {
    let (disk, _) = grown();
    let holds = |disk: &ModelDisk, text: &str| {
        let rows = [files(disk, ".run"), files(disk, ".base")].concat();
        let bytes = rows.iter().map(|name| disk.bytes_of(name).unwrap());
        bytes.filter(|file| file.windows(text.len()).any(|at| at == text.as_bytes())).count()
    };
    assert!(holds(&disk, "passing key 1") > 0, "it was there");
    assert!(holds(&disk, "key 007") > 0);
    let store = open(&disk).unwrap();
    for name in ["stays", "worker"] {
        let queue = store.queue(if name == "worker" { "q" } else { "passing" }).unwrap();
        store.consumer_delete(name, queue).unwrap();
    }
    // Nothing is said of versions any more; the runs go on, and are merged, until those of before are of no use.
    let queue = store.queue("q").unwrap();
    store.queue_delete(store.queue("passing").unwrap()).unwrap();
    for _ in 0..400 {
        store.put(queue, &[Message::new(&[b'.'; 1_500])]).unwrap();
        store.queue_purge(queue).unwrap();
        store.reclaim().unwrap();
    }
    for text in ["passing key 1", "key 007"] {
        assert_eq!(holds(&disk, text), 0, "{text}");
    }
    // Nobody has processed anything.
    store.close().unwrap();
    let store = open(&disk).unwrap();
    let (queue, consumer) = worker(&store, "worker").unwrap();
    put(&store, queue, &key_of(1), 1).unwrap();
    let mut told = Told::default();
    drain(&consumer, &mut told).unwrap();
    assert_eq!(told.done, [(1, 1)].into());
}

#[test]
fn damage_of_one_run_or_base_lets_no_version_come_again() {
    let (image, told) = grown();
    let all: Vec<String> = [files(&image, ".run"), files(&image, ".base")].concat();
    let (mut cases, mut damaged) = (0, 0);
    for name in &all {
        let disk = image.clone_image();
        assert!(disk.remove_file(name));
        let what = || format!("without {name}");
        damaged += check(&open(&disk).unwrap(), &told, &what);
        let bytes = image.bytes_of(name).unwrap();
        for at in (0..bytes.len()).step_by(61 * crate::SAMPLE) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let disk = image.clone_image();
            disk.put_file(name, &changed);
            let what = || format!("{name}, byte {at}");
            let store = open(&disk).unwrap_or_else(|error| panic!("{}: {error}", what()));
            damaged += check(&store, &told, &what);
            cases += 1;
        }
    }
    println!("T2, versions: {cases} flips in {} files", all.len());
    assert!(cases * crate::SAMPLE >= 100, "only {cases} cases");
    assert_eq!(damaged, 0, "one damaged file is made good by the others");
}

/// The work of the tiers below: a store that has bases already, and goes on.
fn go_on(disk: &ModelDisk, told: &mut Told) -> Result<()> {
    live(&open(disk)?, told, ROUNDS..=ROUNDS)
}

fn one_more_life() -> Life<Told> {
    let (image, told) = grown();
    Life { name: "versions", image, told, open, go_on, check }
}

#[test]
fn a_stop_at_every_operation_lets_no_version_come_again_that_was_processed() {
    let (stopped, _) = one_more_life().stop_everywhere();
    assert!(stopped * crate::SAMPLE > 100, "only {stopped} were stopped");
}

#[test]
fn a_call_that_fails_lets_no_version_come_again_that_was_processed() {
    one_more_life().fail_everywhere();
}
