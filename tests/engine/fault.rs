//! T4: every disk call fails, once or from then on, and the disk is full.
//!
//! A call that fails is an error with a code or is made good; what was confirmed stays; after a sync that
//! failed nothing is confirmed any more until the store was opened anew, and then nothing that was confirmed
//! is lost, also when the power goes next.

use crate::oracle::{Client, End, small};
use crate::work::{self, Act, Work};
use repliq::disk::model::{Cut, Mode, ModelDisk, Op};
use repliq::{Code, ConsumerOptions, Level, Message, Store, StoreOptions};
use std::sync::Arc;
use std::time::Duration;

/// Lives one life with a fault at this operation.
pub fn faulty(work: &Work, life: usize, ready: &Client, at: u64, errno: i32, mode: Mode) -> Client {
    let mut client = ready.at(ready.disk.clone_image());
    client.disk.fail_at(at, errno, mode);
    if work::open(&mut client, work::end_of(&work.lives[life])) {
        for act in &work.lives[life].acts {
            let syncs = client.disk.calls(Op::Sync);
            let doubtful = client.doubtful;
            work::act(&mut client, act);
            if doubtful && client.store.is_some() && client.doubtful {
                assert_eq!(client.disk.calls(Op::Sync), syncs, "a sync was tried again");
            }
        }
    }
    client
}

/// What is left must be what was confirmed: at once, after a kill, and after the power went.
pub fn check(client: &mut Client) -> usize {
    client.store = None;
    client.disk.clear_faults();
    client.check(&client.disk.kill(), End::Kill);
    client.check(&client.disk.power_cut(Cut::Nothing), End::Power);
    client.check(&client.disk.power_cut(Cut::All), End::Power);
    client.check(&client.disk.power_cut(Cut::Random(client.disk.ops())), End::Power);
    4
}

#[test]
fn every_call_that_fails_is_an_error_with_a_code_or_made_good() {
    let (mut runs, mut checked) = (0, 0);
    let mut codes = std::collections::BTreeSet::new();
    for work in work::all() {
        for life in 0..work.lives.len() {
            let ready = work::live_until(&work, life);
            let whole = faulty(&work, life, &ready, u64::MAX, libc::EIO, Mode::Once);
            assert!(whole.codes.iter().all(|code| *code == "PAUSED"), "{:?}", whole.codes);
            // Where not all are tried, other ones in each life.
            let first = 1 + life as u64 % crate::SAMPLE as u64;
            for at in (first..=whole.disk.ops()).step_by(crate::SAMPLE) {
                for (errno, mode) in [
                    (libc::EIO, Mode::Once),
                    (libc::EIO, Mode::Sticky),
                    (libc::ENOSPC, Mode::Once),
                    (libc::ENOSPC, Mode::Sticky),
                ] {
                    let say = Say(work.name, life, at, errno, mode);
                    let mut client = faulty(&work, life, &ready, at, errno, mode);
                    codes.extend(client.codes.iter().copied());
                    runs += 1;
                    checked += check(&mut client);
                    std::mem::forget(say);
                }
            }
        }
    }
    println!("T4: {runs} runs with a fault, {checked} recoveries, codes {codes:?}");
    assert!(runs >= 20_000 / crate::SAMPLE, "only {runs} runs");
    for code in ["IO", "NO_SPACE", "OUTCOME_UNKNOWN", "POISONED"] {
        assert!(codes.contains(code), "no fault led to {code}: {codes:?}");
    }
}

/// Says where a test was when it panics.
struct Say(&'static str, usize, u64, i32, Mode);

impl Drop for Say {
    fn drop(&mut self) {
        let Say(name, life, at, errno, mode) = self;
        eprintln!("{name}: life {life}, fault at {at}, errno {errno}, {mode:?}");
    }
}

#[test]
fn a_fault_while_recovering_from_a_fault_changes_nothing() {
    let mut runs = 0;
    for work in work::all() {
        let life = work.lives.len() - 1;
        let ready = work::live_until(&work, life);
        let ops = faulty(&work, life, &ready, u64::MAX, libc::EIO, Mode::Once).disk.ops();
        for at in (1..=ops).step_by(1 + ops as usize / 40) {
            let mut client = faulty(&work, life, &ready, at, libc::EIO, Mode::Sticky);
            client.store = None;
            client.disk.clear_faults();
            let left = client.disk.kill();
            let whole = left.clone_image();
            drop(Store::open_on(Arc::new(whole.clone()), &client.options).unwrap());
            let first = 1 + at % crate::SAMPLE as u64;
            for second in (first..=whole.ops()).step_by(crate::SAMPLE) {
                let say = Say(work.name, life, at, second as i32, Mode::Once);
                let image = left.clone_image();
                image.fail_at(second, libc::EIO, Mode::Once);
                drop(Store::open_on(Arc::new(image.clone()), &client.options));
                image.clear_faults();
                client.check(&image.kill(), End::Kill);
                client.check(&image.power_cut(Cut::Random(second)), End::Power);
                std::mem::forget(say);
                runs += 1;
            }
        }
    }
    println!("T4, twice: {runs} runs");
    assert!(runs >= 15_000 / crate::SAMPLE, "only {runs} runs");
}

#[test]
fn a_sync_that_fails_is_never_tried_again_and_what_waited_for_it_is_of_unknown_outcome() {
    if crate::LEVEL == Level::Process {
        // What is stored makes other operations; `window/way` counts those.
        return;
    }
    let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
    assert!(client.open());
    assert!(client.put("a", &[100], Level::Power));
    let store = client.store.clone().unwrap();
    let queue = store.find_queue("a").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let next = client.disk.ops() + 2;
    client.disk.fail_at(next, libc::EIO, Mode::Once);
    let error = store.put(queue, &[Message::new(b"in doubt")]).unwrap_err();
    assert_eq!((error.code(), error.cause()), (Code::OutcomeUnknown, Code::Io), "{error:?}");
    let syncs = client.disk.calls(Op::Sync);
    for _ in 0..3 {
        let error = store.put(queue, &[Message::new(b"too late")]).unwrap_err();
        assert_eq!(error.code(), Code::Poisoned, "{error:?}");
    }
    let got = consumer.receive(10, Duration::ZERO).unwrap();
    assert_eq!(got.len(), 1, "what is not durable was handed out");
    assert_eq!(consumer.ack(&[1]).unwrap_err().code(), Code::Poisoned);
    assert!(store.close().is_err());
    assert_eq!(client.disk.calls(Op::Sync), syncs, "a sync was tried again");
    drop((consumer, store));
    // The process starts anew with a warm page cache, and then the power goes.
    let store = Store::open_on(Arc::new(client.disk.clone()), &client.options);
    drop(store.err());
    client.store = None;
    let warm = client.disk.kill();
    let store = Store::open_on(Arc::new(warm.clone()), &client.options).unwrap();
    let messages = store.queues().unwrap()[0].next_sequence - 1;
    assert_eq!(messages, 2, "what the page cache shows is believed after it was copied");
    drop(store);
    let store = Store::open_on(Arc::new(warm.power_cut(Cut::Nothing)), &client.options).unwrap();
    assert_eq!(store.queues().unwrap()[0].next_sequence - 1, messages);
}

/// Found by chance with seed 187: a queue that stayed was told to be gone, perhaps.
#[test]
fn what_wants_a_life_that_hands_out_early_and_fails_with_it_is_not_of_unknown_outcome() {
    let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
    assert!(client.open());
    assert!(client.put("a", &[100], Level::Power));
    client.store = None;
    let ready = client.disk.kill();
    for (horizon, level) in [(Level::Process, Level::Power), (Level::Power, Level::Process)] {
        let (mut lost, mut unknown) = (0, 0);
        for at in 1.. {
            let disk = ready.clone_image();
            // A store whose own level is `process` begins such a life when it is opened.
            let options = StoreOptions { horizon, level: Level::Power, ..client.options.clone() };
            let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
            let queue = store.find_queue("a").unwrap();
            disk.fail_at(disk.ops() + at, libc::EIO, Mode::Once);
            let outcome = store.put_at(queue, &[Message::new(b"second")], level);
            let put = store.queues().unwrap()[0].next_sequence == 3;
            let Err(error) = outcome else {
                assert!(put, "call {at}");
                break;
            };
            assert_eq!(put, error.code() == Code::OutcomeUnknown, "call {at}: {error:?}");
            lost += usize::from(!put);
            unknown += usize::from(put);
            drop(store);
            disk.clear_faults();
            for left in [disk.kill(), disk.power_cut(Cut::All)] {
                let store = Store::open_on(Arc::new(left), &client.options).unwrap();
                let next = store.queues().unwrap()[0].next_sequence;
                assert!(next == 2 || put, "call {at}: what was lost is there");
            }
        }
        assert!(lost >= 2, "{horizon:?}: {lost} lost, {unknown} unknown");
    }
}

#[test]
fn a_read_that_fails_passes_no_message_over() {
    // The messages lie in many segments, so that one read opens several files.
    let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
    assert!(client.open());
    for _ in 0..12 {
        assert!(client.put("a", &[300, 300, 300, 300], Level::Power));
    }
    client.store = None;
    let (mut met, ready) = (0, client.disk.kill());
    for at in 1.. {
        let disk = ready.clone_image();
        let store = Store::open_on(Arc::new(disk.clone()), &client.options).unwrap();
        let queue = store.find_queue("a").unwrap();
        let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
        let opened = disk.ops();
        disk.fail_at(opened + at, libc::EMFILE, Mode::Once);
        let (mut got, mut failed) = (Vec::new(), 0);
        while got.len() < 48 {
            match consumer.receive(5, Duration::ZERO) {
                Ok(some) => {
                    assert!(!some.is_empty(), "call {at}: nothing behind {got:?}");
                    got.extend(some.iter().map(repliq::Received::sequence));
                }
                Err(error) => {
                    assert_eq!(error.code(), Code::Io, "{error:?}");
                    failed += 1;
                }
            }
        }
        assert_eq!(got, (1..=48).collect::<Vec<u64>>(), "call {at} failed");
        if disk.ops() < opened + at {
            break;
        }
        met += 1;
        assert!(failed <= 1, "one fault, and {failed} receives failed");
    }
    assert!(met > 10, "only {met} faults");
}

/// Fills a disk of this many bytes; returns how many messages of one segment's half fit.
fn fill(client: &mut Client, bytes: u64) -> usize {
    client.disk.capacity(bytes);
    let mut count = 0;
    loop {
        let syncs = client.codes.contains("NO_SPACE");
        if !client.put("a", &[1000], Level::Power) {
            assert!(client.codes.contains("NO_SPACE") && !syncs, "{:?}", client.codes);
            return count;
        }
        count += 1;
        assert!(count < 1000, "the disk never got full");
    }
}

/// Bytes of the disk beside the segments: what state runs take, of which each has a row of every segment.
const BESIDE: u64 = 10_000;

#[test]
fn on_a_full_disk_puts_say_so_and_consuming_gives_room_without_a_reopen() {
    for segments in [5, 6, 8, 12, 20] {
        let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
        client.disk.capacity((segments + 1) * crate::SEGMENT + BESIDE);
        assert!(client.open());
        assert!(client.consumer("a", "c").is_some());
        let first = fill(&mut client, (segments + 1) * crate::SEGMENT + BESIDE);
        assert!(first >= 2, "{segments}: only {first} messages");
        for round in 0..6 {
            let mut consumed = 0;
            while client.now().queues["a"].waiting("c", 1).len() == 1 {
                assert!(
                    client.consume("a", "c", 1, |_| true),
                    "{segments}, round {round}: {}, {:?}",
                    client.last,
                    client.disk.names()
                );
                consumed += 1;
            }
            client.codes.clear();
            let count = fill(&mut client, (segments + 1) * crate::SEGMENT + BESIDE);
            assert!(
                count >= 1,
                "{segments}, round {round}: no room after {consumed} were consumed"
            );
        }
        assert!(client.purge("a"), "a purge works on a full disk");
        client.codes.clear();
        assert!(fill(&mut client, (segments + 1) * crate::SEGMENT + BESIDE) >= 1);
        client.disk.capacity(u64::MAX);
        client.check(&client.disk.kill(), End::Kill);
        client.check(&client.disk.power_cut(Cut::Random(3)), End::Power);
    }
}

#[test]
fn a_full_disk_does_not_keep_a_store_from_being_opened() {
    for segments in [3, 5, 8] {
        let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
        client.disk.capacity((segments + 1) * crate::SEGMENT + 3000);
        assert!(client.open());
        assert!(client.put("a", &[100], Level::Process));
        fill(&mut client, (segments + 1) * crate::SEGMENT + 3000);
        for seed in 0..8 {
            let mut next = client.at(client.disk.clone_image());
            let (disk, end) = match seed {
                0 => (next.disk.kill(), End::Kill),
                _ => (next.disk.power_cut(Cut::Random(seed)), End::Power),
            };
            assert!(
                next.go_on(disk, end),
                "{segments}, {seed}: {}, {:?}",
                next.last,
                next.disk.names()
            );
            assert!(
                next.consume("a", "c", 100, |_| true),
                "{segments}, {seed}: {}, {:?}",
                next.last,
                next.disk.names()
            );
        }
    }
}

#[test]
fn a_full_disk_at_any_size_loses_nothing() {
    let mut runs = 0;
    for work in work::all() {
        let ready = work::live_until(&work, 0);
        for bytes in (4096..64 << 10).step_by(2048) {
            let mut client = ready.at(ready.disk.clone_image());
            client.disk.capacity(bytes);
            if work::open(&mut client, None) {
                for act in work.lives[0].acts.iter().chain([&Act::Reopen]) {
                    work::act(&mut client, act);
                }
            }
            client.store = None;
            client.disk.capacity(u64::MAX);
            let say = Say(work.name, 0, bytes, libc::ENOSPC, Mode::Sticky);
            runs += check(&mut client);
            std::mem::forget(say);
        }
    }
    println!("T4, full: {runs} recoveries");
    assert!(runs >= 1_000, "only {runs} recoveries");
}
