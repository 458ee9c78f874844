//! The way bytes go: which commits store and which write, what is left when the one way fails, and that both end
//! in the same file.

use repliq::disk::model::{Cut, Mode, ModelDisk, Op};
use repliq::{Code, ConsumerOptions, Level, Message, Queue, Result, Store, StoreOptions};
use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Where the child of the kill test has its store; without it the test that is its role does nothing.
const FOLDER: &str = "REPLIQ_WINDOW";

fn options(level: Level) -> StoreOptions {
    let (segment_bytes, segment_bytes_max) = (16 << 10, 64 << 10);
    StoreOptions {
        level,
        segment_bytes,
        segment_bytes_max,
        helper: false,
        ..StoreOptions::default()
    }
}

fn open(disk: &ModelDisk, level: Level) -> Result<Store> {
    Store::open_on(Arc::new(disk.clone()), &options(level))
}

fn fresh(level: Level) -> (ModelDisk, Store, Queue) {
    let disk = ModelDisk::new();
    let store = open(&disk, level).unwrap();
    let queue = store.queue("q").unwrap();
    store.put(queue, &[Message::new(b"the first one")]).unwrap();
    (disk, store, queue)
}

/// What a queue holds.
fn held(store: &Store) -> Vec<Vec<u8>> {
    let queue = store.queue("q").unwrap();
    let snapshot = store.snapshot().unwrap();
    let mut all = Vec::new();
    loop {
        let page = snapshot.browse(queue, all.len() as u64 + 1, 1_000).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().map(|one| one.payload().to_vec()));
    }
}

fn number(n: usize) -> Vec<u8> {
    n.to_string().into_bytes().into_iter().chain(vec![b'.'; n % 700]).collect()
}

#[test]
fn a_process_commit_stores_and_makes_no_other_call() {
    let (disk, store, queue) = fresh(Level::Process);
    let (ops, stores) = (disk.ops(), disk.calls(Op::Store));
    for _ in 0..20 {
        let commit = store.put(queue, &[Message::new(b"hello")]).unwrap();
        assert_eq!(commit.level, Level::Process);
    }
    assert!(disk.calls(Op::Store) >= stores + 20);
    assert_eq!(disk.ops() - ops, disk.calls(Op::Store) - stores, "something else was asked");
    assert_eq!(held(&open(&disk.kill(), Level::Process).unwrap()).len(), 21);
}

#[test]
fn a_power_store_and_an_unmappable_disk_are_written_to() {
    let (disk, store, queue) = fresh(Level::Power);
    store.put_at(queue, &[Message::new(b"hello")], Level::Process).unwrap();
    assert_eq!((disk.calls(Op::Map), disk.calls(Op::Store)), (0, 0));
    let disk = ModelDisk::new();
    disk.set_mappable(false);
    let store = open(&disk, Level::Process).unwrap();
    let queue = store.queue("q").unwrap();
    store.put(queue, &[Message::new(b"hello")]).unwrap();
    assert_eq!(disk.calls(Op::Store), 0);
    assert_eq!(held(&open(&disk.kill(), Level::Process).unwrap()), [b"hello"]);
}

#[test]
fn an_encrypted_store_is_written_to() {
    let disk = ModelDisk::new();
    let password = Some(repliq::Password::from("a word").at_cost(repliq::Cost::LEAST));
    let options = StoreOptions { password, ..options(Level::Process) };
    let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    let queue = store.queue("q").unwrap();
    for n in 0..100 {
        store.put(queue, &[Message::new(&number(n))]).unwrap();
    }
    assert_eq!((disk.calls(Op::Map), disk.calls(Op::Store)), (0, 0));
    drop(store);
    let store = Store::open_on(Arc::new(disk.kill()), &options).unwrap();
    assert_eq!(held(&store).len(), 100);
}

/// A store that has seen both levels and many rolls, by one of the ways.
fn long(mappable: bool) -> (ModelDisk, Vec<Vec<u8>>) {
    let disk = ModelDisk::new();
    disk.set_mappable(mappable);
    let store = open(&disk, Level::Process).unwrap();
    let queue = store.queue("q").unwrap();
    let mut all = Vec::new();
    for n in 0..400 {
        let level = if n % 37 == 0 { Level::Power } else { Level::Process };
        let payloads = [number(n), number(n * 7)];
        let messages: Vec<_> = payloads.iter().map(|one| Message::new(one)).collect();
        store.put_at(queue, &messages, level).unwrap();
        all.extend(payloads);
    }
    assert_eq!(disk.calls(Op::Store) > 0, mappable);
    store.close().unwrap();
    (disk, all)
}

#[test]
fn both_ways_lead_to_the_same_bytes() {
    let (stored, all) = long(true);
    let (written, _) = long(false);
    let (one, other) = (stored.snapshot(), written.snapshot());
    assert_eq!(stored.names(), written.names());
    for name in stored.names().iter().filter(|name| *name != "lock") {
        assert!(one[name] == other[name], "{name} differs");
    }
    let store = open(&stored.power_cut(Cut::Nothing), Level::Process).unwrap();
    assert_eq!(held(&store), all);
}

#[test]
fn a_power_commit_takes_along_what_was_stored_before_it() {
    let (disk, store, queue) = fresh(Level::Process);
    for n in 0..50 {
        store.put(queue, &[Message::new(&number(n))]).unwrap();
    }
    store.put_at(queue, &[Message::new(b"sure")], Level::Power).unwrap();
    store.put(queue, &[Message::new(b"not sure")]).unwrap();
    let found = held(&open(&disk.power_cut(Cut::Nothing), Level::Process).unwrap());
    assert_eq!((found.len(), &found[51][..]), (52, &b"sure"[..]));
}

#[test]
fn what_is_stored_is_received_once_it_is_durable() {
    let (disk, store, queue) = fresh(Level::Process);
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    store.put(queue, &[Message::new(b"second")]).unwrap();
    let got = consumer.receive(10, Duration::from_secs(5)).unwrap();
    assert_eq!(got.len(), 2);
    assert_eq!(held(&open(&disk.power_cut(Cut::Nothing), Level::Process).unwrap()).len(), 2);
}

#[test]
fn where_mapping_or_populating_or_storing_fails_it_is_written() {
    let (whole, ..) = long(true);
    let ops = whole.ops();
    let (mut met, mut runs) = (0, 0);
    for at in (1..ops).step_by(7) {
        let disk = ModelDisk::new();
        disk.fail_at(at, libc::EIO, Mode::Once);
        let Ok(store) = open(&disk, Level::Process) else { continue };
        let Ok(queue) = store.queue("q") else { continue };
        let mut confirmed = 0;
        for n in 0..60 {
            let before = disk.ops();
            let outcome = store.put(queue, &[Message::new(&number(n))]);
            let hit = (before + 1..=disk.ops()).contains(&at);
            met += usize::from(hit && outcome.is_ok());
            if outcome.is_err() {
                break;
            }
            confirmed += 1;
        }
        let found = held(&open(&disk.kill(), Level::Process).unwrap());
        assert!(found.len() >= confirmed, "fault at {at}: {} of {confirmed}", found.len());
        assert!(found.iter().enumerate().all(|(n, one)| *one == number(n)), "fault at {at}");
        runs += 1;
    }
    assert!(runs > 50 && met > 20, "{runs} runs, {met} made good");
}

#[test]
fn a_failed_sync_leaves_stored_commits_of_unknown_outcome() {
    let (disk, store, queue) = fresh(Level::Process);
    let before = disk.ops();
    store.put_at(queue, &[Message::new(b"tried")], Level::Power).unwrap();
    // The same again: the sync is as many operations away as it was, counted from its end.
    let length = disk.ops() - before;
    let synced = (1..=length).find(|ahead| {
        let image = disk.clone_image();
        let store = open(&image, Level::Process).unwrap();
        let queue = store.queue("q").unwrap();
        store.put(queue, &[Message::new(b"warm")]).unwrap();
        let syncs = image.calls(Op::Sync);
        image.fail_at(image.ops() + ahead, libc::EIO, Mode::Once);
        let outcome = store.put_at(queue, &[Message::new(b"in doubt")], Level::Power);
        if outcome.is_ok() || image.calls(Op::Sync) == syncs {
            return false;
        }
        let error = outcome.unwrap_err();
        assert_eq!((error.code(), error.cause()), (Code::OutcomeUnknown, Code::Io), "{error:?}");
        let error = store.put(queue, &[Message::new(b"too late")]).unwrap_err();
        assert_eq!(error.code(), Code::Poisoned, "{error:?}");
        true
    });
    assert!(synced.is_some(), "no sync was met");
}

/// Not a test: what the child does that is killed. It says each number once it is committed.
#[test]
fn role_of_the_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let options = StoreOptions { helper: true, ..options(Level::Process) };
    let store = Store::open(folder, &options).unwrap();
    let queue = store.queue("q").unwrap();
    for n in held(&store).len().. {
        store.put(queue, &[Message::new(&number(n))]).unwrap();
        println!("put {n}");
    }
}

#[test]
fn what_was_stored_survives_a_kill_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut confirmed = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "way::role_of_the_child", "--nocapture"])
            .env(FOLDER, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut met = 0;
        for line in out.lines().map_while(std::result::Result::ok) {
            let Some((_, n)) = line.split_once("put ") else { continue };
            confirmed = n.parse::<usize>().unwrap() + 1;
            met += 1;
            if met == 300 + 411 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(met > 0, "round {round}: the child committed nothing");
        let options = options(Level::Process);
        let store = Store::open(&path, &options).unwrap();
        let found = held(&store);
        assert!(found.len() >= confirmed, "round {round}: {} of {confirmed}", found.len());
        assert!(found.iter().enumerate().all(|(n, one)| *one == number(n)), "round {round}");
    }
}

#[test]
fn what_the_helper_syncs_behind_the_tail_is_durable_and_a_prefix() {
    let mut sealed = 0;
    for seed in 0..60 {
        let disk = ModelDisk::with_seed(seed);
        let options = StoreOptions { helper: true, ..options(Level::Process) };
        let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
        let queue = store.queue("q").unwrap();
        let (mut sure, count) = (0, 100 + seed as usize * 7);
        for n in 0..count {
            let level = if n % 53 == 52 { Level::Power } else { Level::Process };
            store.put_at(queue, &[Message::new(&number(n))], level).unwrap();
            sure = if level == Level::Power { n + 1 } else { sure };
        }
        let choice = if seed % 3 == 0 { Cut::Nothing } else { Cut::Random(seed) };
        let cut = disk.power_cut(choice);
        drop(store);
        let found = held(&open(&cut, Level::Process).unwrap());
        assert!(found.len() >= sure, "seed {seed}: {} of {sure}", found.len());
        assert!(found.iter().enumerate().all(|(n, one)| *one == number(n)), "seed {seed}");
        sealed += usize::from(found.len() > sure);
    }
    assert!(sealed > 0, "the helper synced nothing");
}
