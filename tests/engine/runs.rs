//! State runs: what changed since the run before, merged into bases; rows that are in no memory are found in them.

use crate::lives::Life;
use crate::oracle::small;
use repliq::disk::model::{Cut, ModelDisk, Op};
use repliq::{
    Code, Commit, ConsumerOptions, Message, Outcome, Result, SessionOptions, Store, StoreOptions,
    Token, TransactionId,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const PRODUCERS: usize = 24;
const ROUNDS: u64 = 6;

fn open(disk: &ModelDisk) -> Result<Store> {
    Store::open_on(Arc::new(disk.clone()), &small(crate::SEGMENT))
}

fn name(number: usize) -> String {
    format!("producer {number:03}")
}

/// What each producer was told, and what it may have put besides.
#[derive(Clone, Debug, Default)]
struct Told {
    done: BTreeMap<usize, (u64, Option<Token>)>,
    doubtful: Option<usize>,
    /// By name of the session: its last transaction.
    committed: BTreeMap<String, (TransactionId, Token)>,
    /// A transaction of a session that may have come after what is known.
    under_way: Option<TransactionId>,
}

fn put(store: &Store, producer: usize, sequence: u64) -> Result<Commit> {
    let queue = store.queue("q")?;
    let (producer, payload) = (name(producer), vec![b'.'; 200]);
    let message = Message {
        producer: &producer,
        producer_sequence: sequence,
        payload: &payload,
        ..Message::default()
    };
    store.put(queue, &[message])
}

/// A session of this name commits something.
fn commit(store: &Store, told: &mut Told, name: &str) -> Result<()> {
    let options = SessionOptions { name: name.into(), ..SessionOptions::default() };
    let mut session = store.session_with(&options)?;
    session.put(store.queue("q")?, &Message::new(b"of a session"))?;
    let id = session.id()?;
    told.under_way = Some(id);
    let token = session.commit()?.token;
    told.under_way = None;
    told.committed.insert(name.into(), (id, token));
    Ok(())
}

/// Each producer puts in its turn, and everything is acknowledged, so that segments go.
fn live(store: &Store, told: &mut Told, rounds: std::ops::RangeInclusive<u64>) -> Result<()> {
    let queue = store.queue("q")?;
    let consumer = store.consumer("c", queue, &ConsumerOptions::default())?;
    for round in rounds {
        for producer in 0..PRODUCERS {
            // The higher ones are silent for long.
            if producer as u64 * 2 / 3 > round * 5 {
                continue;
            }
            let last = told.done.get(&producer).map_or(0, |(last, _)| *last);
            told.doubtful = Some(producer);
            let commit = put(store, producer, last + 1)?;
            told.doubtful = None;
            told.done.insert(producer, (last + 1, Some(commit.token)));
        }
        // The one of the last name is silent for long.
        commit(store, told, &format!("session {}", if round == 1 { 9 } else { round % 3 }))?;
        let got = consumer.receive(1_000, Duration::ZERO)?;
        let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
        consumer.ack(&sequences)?;
        store.reclaim()?;
    }
    Ok(())
}

/// Everybody who was told something finds it so; returns how many could not be looked up for damage.
fn check(store: &Store, told: &Told, what: &dyn Fn() -> String) -> usize {
    let mut damaged = 0;
    for producer in 0..PRODUCERS {
        let (last, token) = told.done.get(&producer).copied().unwrap_or_default();
        // Where the last put has no outcome, it may have come after what is known.
        let again = if told.doubtful == Some(producer) { last + 1 } else { last };
        if again > 0 {
            match put(store, producer, again) {
                Ok(commit) if again == last => assert_eq!(Some(commit.token), token, "{}", what()),
                Ok(_) => {}
                Err(error) if error.code() == Code::Corrupt => damaged += 1,
                Err(error) => panic!("{}: producer {producer} repeats {again}: {error}", what()),
            }
        }
        if told.doubtful != Some(producer) {
            match put(store, producer, last + 2) {
                Err(error) if error.code() == Code::OutOfOrder => {}
                Err(error) if error.code() == Code::Corrupt => damaged += 1,
                other => panic!("{}: producer {producer} after {last}: {other:?}", what()),
            }
        }
    }
    for (name, (id, token)) in &told.committed {
        let outcome =
            store.resolve(id).unwrap_or_else(|error| panic!("{}: {name}: {error}", what()));
        let later = told.under_way.is_some_and(|other| other.session == id.session);
        let known = outcome == Outcome::Committed(*token) || (later && outcome == Outcome::Expired);
        assert!(known, "{}: {name}: {outcome:?}", what());
    }
    damaged
}

fn files(disk: &ModelDisk, end: &str) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(end)).collect()
}

/// A store that had many runs and some bases, and what its producers were told; it was killed.
fn grown() -> (ModelDisk, Told) {
    let (disk, mut told) = (ModelDisk::new(), Told::default());
    let store = open(&disk).unwrap();
    live(&store, &mut told, 1..=3 * ROUNDS).unwrap();
    assert_eq!(check(&store, &told, &|| "alive".into()), 0);
    let (runs, bases) = (files(&disk, ".run"), files(&disk, ".base"));
    assert!(bases.len() == 2, "{bases:?}");
    assert!(runs.len() > 1 && runs.len() < 30, "{runs:?}");
    (disk.kill(), told)
}

#[test]
fn a_producer_of_long_ago_is_known_after_any_number_of_runs() {
    let (disk, mut told) = grown();
    let first = files(&disk, ".base");
    for life in 0..4 {
        let store = open(&disk).unwrap();
        assert_eq!(check(&store, &told, &|| format!("life {life}")), 0);
        live(&store, &mut told, 3 * ROUNDS..=4 * ROUNDS).unwrap();
        assert_eq!(check(&store, &told, &|| format!("life {life}, later")), 0);
        store.verify(&mut |_| Ok(())).unwrap();
        store.close().unwrap();
    }
    assert_ne!(files(&disk, ".base"), first, "runs were merged again");
    assert_eq!(files(&disk, ".base").len(), 2);
    let looking = StoreOptions { read_only: true, ..small(crate::SEGMENT) };
    let store = Store::open_on(Arc::new(disk.clone()), &looking).unwrap();
    assert_eq!(store.damage(), None);
}

#[test]
fn a_session_that_was_forgotten_stays_so_through_runs_and_merges() {
    let (disk, mut told) = grown();
    let mut forgotten = told.committed.clone();
    let old: Vec<TransactionId> = forgotten.values().map(|(id, _)| *id).collect();
    disk.advance_ms(repliq::limits::SESSION_KEEP_MS + 1);
    for life in 0..3 {
        let store = open(&disk).unwrap();
        if life > 0 {
            // Nobody has opened a session yet, which would have what came back forgotten anew.
            let listed = store.sessions().unwrap();
            assert_eq!(
                listed.len(),
                told.committed.len() - forgotten.len(),
                "life {life}: {listed:?}"
            );
            for id in &old {
                assert_eq!(store.resolve(id).unwrap(), Outcome::Expired, "life {life}: {id}");
            }
        }
        // Whoever opens a session has those of age forgotten.
        live(&store, &mut told, 3 * ROUNDS..=3 * ROUNDS + 7).unwrap();
        forgotten.retain(|name, (id, _)| told.committed[name].0 == *id);
        for (name, (id, _)) in &forgotten {
            assert_eq!(store.resolve(id).unwrap(), Outcome::Expired, "life {life}: {name}");
            told.committed.remove(name);
        }
        assert_eq!(check(&store, &told, &|| format!("life {life}")), 0);
        assert_eq!(store.sessions().unwrap().len(), told.committed.len(), "life {life}");
        for (name, known) in &forgotten {
            told.committed.insert(name.clone(), *known);
        }
        store.close().unwrap();
    }
    assert_eq!(forgotten.len(), 1, "{forgotten:?}");
}

#[test]
fn a_queue_that_was_deleted_stays_so_through_runs_and_merges() {
    let (disk, mut told) = grown();
    for life in 0..6 {
        let store = open(&disk).unwrap();
        let name = format!("queue of life {life}");
        let queue = store.queue(&name).unwrap();
        store.put(queue, &[Message::new(b"of a queue")]).unwrap();
        live(&store, &mut told, 3 * ROUNDS..=3 * ROUNDS).unwrap();
        store.queue_delete(queue).unwrap();
        live(&store, &mut told, 3 * ROUNDS..=3 * ROUNDS + life % 3).unwrap();
        store.close().unwrap();
        let store = open(&disk).unwrap();
        let names: Vec<String> =
            store.queues().unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["q"], "life {life}");
        store.close().unwrap();
    }
}

#[test]
fn a_full_disk_keeps_no_run_from_being_written_as_long_as_something_can_be_given_back() {
    for beside in [8_000, 12_000, 20_000, 40_000] {
        let (disk, mut told) = grown();
        let store = open(&disk).unwrap();
        disk.capacity(16 * crate::SEGMENT + beside);
        let queue = store.queue("q").unwrap();
        let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
        for round in 0..8 {
            let mut count = 0;
            let full = loop {
                match store.put(queue, &[Message::new(&[7; 1_000])]) {
                    Ok(_) => count += 1,
                    Err(error) => break error,
                }
                assert!(count < 1_000, "{beside}: the disk never got full");
            };
            let what = || format!("{beside} bytes beside, round {round}, {count} messages");
            assert_eq!(full.code(), Code::NoSpace, "{}: {full}", what());
            assert!(count > 0, "{}", what());
            loop {
                let got = consumer.receive(3, Duration::ZERO).unwrap();
                if got.is_empty() {
                    break;
                }
                let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
                consumer.ack(&sequences).unwrap_or_else(|error| panic!("{}: {error}", what()));
            }
        }
        disk.capacity(u64::MAX);
        assert_eq!(check(&store, &told, &|| format!("{beside} bytes beside")), 0);
        drop((consumer, store));
        let store = open(&disk.kill()).unwrap();
        told.doubtful = None;
        for producer in 0..PRODUCERS {
            let sequence = told.done.get(&producer).map_or(0, |(last, _)| *last);
            assert!(sequence == 0 || put(&store, producer, sequence).is_ok(), "{producer}");
        }
    }
}

#[test]
fn any_damage_of_one_run_or_base_loses_nothing_and_a_missing_one_neither() {
    let (image, told) = grown();
    let all: Vec<String> = [files(&image, ".run"), files(&image, ".base")].concat();
    let (mut cases, mut damaged) = (0, 0);
    for name in &all {
        let disk = image.clone_image();
        assert!(disk.remove_file(name));
        let what = || format!("without {name}");
        damaged +=
            check(&open(&disk).unwrap_or_else(|error| panic!("{}: {error}", what())), &told, &what);
        let bytes = image.bytes_of(name).unwrap();
        for at in (0..bytes.len()).step_by(23 * crate::SAMPLE) {
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
    println!("T2, runs: {cases} flips in {} files, {damaged} lookups told damage", all.len());
    assert!(cases * crate::SAMPLE >= 500, "only {cases} cases");
    assert_eq!(damaged, 0, "one damaged file is made good by the others");
}

/// The work of the tiers below: a store that has bases already, and goes on until the next ones.
fn go_on(disk: &ModelDisk, told: &mut Told) -> Result<()> {
    let store = open(disk)?;
    live(&store, told, 3 * ROUNDS..=3 * ROUNDS + 2)
}

fn one_more_life() -> Life<Told> {
    let (image, told) = grown();
    Life { name: "runs", image, told, open, go_on, check }
}

#[test]
fn a_stop_at_every_operation_of_runs_and_merges_forgets_no_producer() {
    let life = one_more_life();
    assert_ne!(files(&life.whole(), ".base"), files(&life.image, ".base"), "a merge is among it");
    let (stopped, recoveries) = life.stop_everywhere();
    // The last ones are the end of the handle, which nobody hears of.
    assert!(stopped * crate::SAMPLE > 300, "only {stopped} were stopped");
    assert!(recoveries * crate::SAMPLE >= 300, "only {recoveries}");
}

#[test]
fn a_call_that_fails_while_runs_are_written_or_merged_forgets_no_producer() {
    one_more_life().fail_everywhere();
}

/// Bytes that were read and written so far.
fn moved(disk: &ModelDisk) -> u64 {
    disk.bytes(Op::ReadAt) + disk.bytes(Op::WriteAt)
}

#[test]
fn without_a_helper_no_commit_pays_for_a_whole_merge() {
    if crate::SAMPLE > 1 {
        // The twins write the same rows.
        return;
    }
    let disk = ModelDisk::new();
    let store = open(&disk).unwrap();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let (mut most, mut merges, mut newest) = (0, 0, Vec::new());
    for producer in 0..5_000 {
        let before = moved(&disk);
        put(&store, producer, 1).unwrap();
        most = most.max(moved(&disk) - before);
        if producer % 8 == 0 {
            let got = consumer.receive(8, Duration::ZERO).unwrap();
            consumer
                .ack(&got.iter().map(repliq::Received::sequence).collect::<Vec<u64>>())
                .unwrap();
        }
        let bases = files(&disk, ".base");
        merges += usize::from(bases != newest);
        newest = bases;
    }
    let whole = disk.bytes_of(newest.last().unwrap()).unwrap().len() as u64;
    println!("{merges} merges, the last of {whole} bytes; the dearest commit moved {most}");
    assert!(merges > 20 && whole > 300_000, "{merges} merges, {whole} bytes");
    // A quarter of it, and what is read ahead and written at a time; a whole merge moves twice as much as there is.
    assert!(most < whole / 4 + (320 << 10), "a commit moved {most} bytes of a state of {whole}");
    assert!(files(&disk, ".run").len() <= 40, "{:?}", files(&disk, ".run"));
    for producer in [0, 1, 2_500, 4_998] {
        let error = put(&store, producer, 3).unwrap_err();
        assert_eq!(error.code(), Code::OutOfOrder, "producer {producer}");
    }
}

#[test]
fn a_merge_that_rests_is_seen_by_nobody_and_leaves_nothing() {
    let disk = ModelDisk::new();
    let store = open(&disk).unwrap();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let resting = |disk: &ModelDisk| files(disk, ".base.tmp").len();
    let (mut rested, mut seen) = (0, String::new());
    for producer in 0..1_000 {
        put(&store, producer, 1).unwrap();
        let got = consumer.receive(8, Duration::ZERO).unwrap();
        consumer.ack(&got.iter().map(repliq::Received::sequence).collect::<Vec<u64>>()).unwrap();
        let Some(name) = files(&disk, ".base.tmp").pop().filter(|name| *name != seen) else {
            continue;
        };
        (rested, seen) = (rested + 1, name);
        store.verify(&mut |_| Ok(())).unwrap();
        let looking = StoreOptions { read_only: true, ..small(crate::SEGMENT) };
        let look = Store::open_on(Arc::new(disk.clone()), &looking).unwrap();
        look.verify(&mut |_| Ok(())).unwrap();
        let backup = ModelDisk::new();
        look.backup_on(&backup).unwrap();
        assert!(backup.names().iter().all(|name| !name.contains(".tmp")), "{:?}", backup.names());
        let left = disk.clone_image();
        for image in [left.kill(), left.power_cut(Cut::All)] {
            let again = open(&image).unwrap();
            assert_eq!(resting(&image), 0, "rest {rested}");
            for known in [0, producer / 2, producer] {
                let error = put(&again, known, 3).unwrap_err();
                assert_eq!(error.code(), Code::OutOfOrder, "rest {rested}, {known}");
                assert!(put(&again, known, 1).is_ok(), "rest {rested}, {known}");
            }
        }
    }
    assert!(rested >= 5, "only {rested} merges rested");
    for producer in 1_000.. {
        if resting(&disk) > 0 {
            break;
        }
        put(&store, producer, 1).unwrap();
    }
    store.close().unwrap();
    assert_eq!(resting(&disk), 0, "a close leaves it");
}
