//! S11: at the quota and on a full disk puts say so, what frees goes on, and putting resumes by itself.

use crate::oracle::{Client, End, small};
use crate::world::{Clock, Node, Plan, options, ship};
use repliq::disk::Disk;
use repliq::disk::model::{Cut, Mode, ModelDisk};
use repliq::{Code, ConsumerOptions, Level, Message, Store, StoreOptions};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const QUOTA: u64 = 16 * crate::SEGMENT;

fn bounded() -> StoreOptions {
    StoreOptions { quota_bytes: QUOTA, ..small(crate::SEGMENT) }
}

/// Bytes of all segment files, under whatever name.
fn bytes_of(disk: &dyn Disk) -> u64 {
    let names = disk.list().unwrap().into_iter();
    let names = names.filter(|name| [".seg", ".new", ".tmp"].iter().any(|end| name.ends_with(end)));
    names.map(|name| disk.open(&name, false).unwrap().len().unwrap()).sum()
}

/// Puts until the quota says no; returns how many went in.
fn fill(client: &mut Client) -> usize {
    client.codes.clear();
    let (mut count, before) = (0, bytes_of(&client.disk));
    while client.put("a", &[900], Level::Power) {
        assert!(bytes_of(&client.disk) <= QUOTA.max(before));
        count += 1;
        assert!(count < 1_000, "the quota is never reached");
    }
    assert!(client.codes.contains("NO_SPACE"), "{:?}", client.codes);
    assert!(client.last.contains("quota of 65536 bytes"), "{}", client.last);
    count
}

#[test]
fn at_the_quota_puts_say_so_and_go_on_once_something_was_acknowledged() {
    let mut client = Client::new(ModelDisk::new(), bounded());
    assert!(client.open() && client.consumer("a", "c").is_some());
    let first = fill(&mut client);
    assert!(first >= 24, "only {first} messages");
    for round in 0..20 {
        let mut consumed = 0;
        while client.now().queues["a"].waiting("c", 1).len() == 1 && consumed < first / 2 {
            assert!(client.consume("a", "c", 1, |_| true), "round {round}: {}", client.last);
            consumed += 1;
        }
        assert!(fill(&mut client) * 2 >= consumed, "round {round}");
        assert!(bytes_of(&client.disk) <= QUOTA);
    }
    assert!(client.purge("a") && fill(&mut client) >= 20, "{}", client.last);
    // The check puts something.
    client.options = small(crate::SEGMENT);
    client.check(&client.disk.kill(), End::Kill);
    client.check(&client.disk.power_cut(Cut::Random(5)), End::Power);
}

#[test]
fn a_refused_transaction_stands_and_its_cause_is_the_quota() {
    let disk = ModelDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), &bounded()).unwrap();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let payload = [7; 900];
    let full = loop {
        if let Err(error) = store.put(queue, &[Message::new(&payload)]) {
            break error;
        }
    };
    assert_eq!((full.code(), full.cause()), (Code::NoSpace, Code::Quota), "{full:?}");
    let mut session = store.session().unwrap();
    let large = [8; 3_000];
    session.put(queue, &Message::new(&large)).unwrap();
    for _ in 0..3 {
        let error = session.commit().unwrap_err();
        assert_eq!((error.code(), error.cause()), (Code::NoSpace, Code::Quota), "{error:?}");
    }
    let next = store.queues().unwrap()[0].next_sequence;
    let received = consumer.receive(1_000, Duration::ZERO).unwrap();
    assert_eq!(received.len() as u64 + 1, next);
    consumer.ack(&(1..next).collect::<Vec<u64>>()).unwrap();
    session.commit().unwrap();
    let received = consumer.receive(10, Duration::ZERO).unwrap();
    assert_eq!(received.iter().map(repliq::Received::payload).collect::<Vec<_>>(), [&large[..]]);
}

#[test]
fn a_handler_that_moves_messages_on_in_a_full_store_comes_to_an_end() {
    let disk = ModelDisk::new();
    let quota = 16 * 4 * crate::SEGMENT;
    let options = StoreOptions { quota_bytes: quota, ..small(4 * crate::SEGMENT) };
    let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    let (from, to) = (store.queue("from").unwrap(), store.queue("to").unwrap());
    let there = store.consumer("there", from, &ConsumerOptions::default()).unwrap();
    let back = store.consumer("back", to, &ConsumerOptions::default()).unwrap();
    let mut count = 0;
    while store.put(from, &[Message::new(&[7; 300])]).is_ok() {
        count += 1;
    }
    for round in 0..6 {
        let (consumer, into) = if round % 2 == 0 { (&there, to) } else { (&back, from) };
        let (mut moved, mut session) = (0, store.session().unwrap());
        loop {
            let received = session.receive(consumer, 8, Duration::ZERO).unwrap();
            if received.is_empty() {
                break;
            }
            let messages: Vec<Message<'_>> =
                received.iter().map(|one| Message::new(one.payload())).collect();
            session.put_many(into, &messages).unwrap();
            let committed = session.commit();
            assert!(committed.is_ok(), "round {round}, {moved} of {count}: {committed:?}");
            assert!(bytes_of(&disk) <= quota);
            moved += received.len();
        }
        assert_eq!(moved, count, "round {round}");
    }
}

#[test]
fn what_is_kept_for_targets_is_inside_the_quota() {
    let quota = 16 * crate::SEGMENT;
    let bounded = StoreOptions {
        keep_ms: 1_000_000,
        keep_bytes: 1 << 30,
        segment_bytes_max: crate::SEGMENT,
        quota_bytes: quota,
        ..options()
    };
    let (from, to) = (Node::with(1, bounded), Node::new(2));
    let plan = Plan::new("root", "t", "q");
    let mut clock = Clock::new();
    let payload = "x".repeat(900);
    for round in 0..100 {
        from.put("root", std::slice::from_ref(&payload)).unwrap_or_else(|error| {
            panic!("round {round}: {error:?}");
        });
        assert!(ship(&from, &to, &plan, &mut clock).is_none());
        assert!(bytes_of(&from.disk) <= quota);
    }
    let kept = bytes_of(&from.disk);
    assert!(kept >= quota / 2, "only {kept} bytes are kept: more was given up than was needed");
}

#[test]
fn what_arrives_is_refused_at_the_quota_and_goes_on_by_itself() {
    let bounded = StoreOptions {
        segment_bytes_max: crate::SEGMENT,
        quota_bytes: 16 * crate::SEGMENT,
        ..options()
    };
    let (from, to) = (Node::new(1), Node::with(2, bounded));
    let plan = Plan::new("root", "t", "q");
    let queue = to.queue("q");
    let consumer = to.up().consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let mut clock = Clock::new();
    let payloads: Vec<String> = (0..100).map(|at| format!("{at:0900}")).collect();
    for one in &payloads {
        from.put("root", std::slice::from_ref(one)).unwrap();
    }
    let (mut got, mut full) = (Vec::new(), 0);
    for _ in 0..100 {
        let error = ship(&from, &to, &plan, &mut clock);
        assert!(bytes_of(&to.disk) <= 16 * crate::SEGMENT);
        full += usize::from(error.is_some_and(|error| {
            assert_eq!(error.code(), Code::NoSpace, "{error:?}");
            true
        }));
        let received = consumer.receive(10, Duration::from_millis(1)).unwrap();
        let sequences: Vec<u64> = received.iter().map(repliq::Received::sequence).collect();
        got.extend(received.iter().map(|one| String::from_utf8(one.payload().to_vec()).unwrap()));
        if sequences.is_empty() {
            break;
        }
        consumer.ack(&sequences).unwrap();
    }
    assert!(full >= 2, "the target was never full");
    assert!(got == payloads, "{} of {} arrived", got.len(), payloads.len());
}

#[test]
fn a_quota_too_small_is_refused_and_a_transaction_that_never_fits_is_too_large() {
    let options = StoreOptions { quota_bytes: QUOTA - 1, ..bounded() };
    let refused = Store::open_on(Arc::new(ModelDisk::new()), &options).err().unwrap();
    assert_eq!(refused.code(), Code::Invalid, "{refused:?}");
    let store = Store::open_on(Arc::new(ModelDisk::new()), &bounded()).unwrap();
    let queue = store.queue("q").unwrap();
    let fits = vec![1; 14_000];
    for _ in 0..20 {
        store.put(queue, &[Message::new(&fits)]).unwrap();
        store.queue_purge(queue).unwrap();
    }
    let error = store.put(queue, &[Message::new(&vec![1; 17_000])]).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge, "{error:?}");
}

#[test]
fn a_smaller_quota_at_the_next_open_keeps_nobody_from_consuming() {
    let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
    assert!(client.open() && client.consumer("a", "c").is_some());
    for _ in 0..100 {
        assert!(client.put("a", &[900], Level::Power));
    }
    assert!(client.close());
    client.options = bounded();
    assert!(client.open());
    assert!(fill(&mut client) < 4, "more went into a store that is over its quota");
    for _ in 0..100 {
        assert!(client.consume("a", "c", 1, |_| true), "{}", client.last);
    }
    let more = fill(&mut client);
    assert!(more >= 20, "only {more}, {:?}", client.disk.names());
    client.options = small(crate::SEGMENT);
    client.check(&client.disk.kill(), End::Kill);
}

#[test]
fn a_full_store_in_which_all_is_dead_goes_on_after_it_was_opened_again() {
    for level in [Level::Power, Level::Process] {
        let mut client = Client::new(ModelDisk::new(), bounded());
        assert!(client.open() && client.consumer("a", "c").is_some());
        for round in 0..5 {
            let mut count = 0;
            while client.put("a", &[600], level) {
                count += 1;
            }
            assert!(count >= 12, "{level:?}, round {round}: only {count}, {}", client.last);
            assert!(client.consume("a", "c", 1_000, |_| true), "{}", client.last);
            assert!(client.close() && client.open());
        }
    }
}

/// Fills a store, consumes a part and goes on, until a stop.
fn live(client: &mut Client) {
    if !client.open() || client.consumer("a", "c").is_none() {
        return;
    }
    for round in 0..3 {
        for _ in 0..60 {
            if !client.put("a", &[900, 300], Level::Power) {
                break;
            }
        }
        client.consume("a", "c", 20 + round, |_| true);
    }
}

#[test]
fn a_stop_at_every_operation_of_a_store_at_its_quota_loses_nothing() {
    let mut whole = Client::new(ModelDisk::new(), bounded());
    live(&mut whole);
    assert!(whole.codes.contains("NO_SPACE"), "{:?}", whole.codes);
    let (ops, mut runs) = (whole.disk.ops(), 0);
    for at in 1..=ops {
        let mut client = Client::new(ModelDisk::new(), bounded());
        client.disk.fail_at(at, libc::EIO, Mode::Sticky);
        live(&mut client);
        client.store = None;
        client.disk.clear_faults();
        for (disk, end) in [
            (client.disk.kill(), End::Kill),
            (client.disk.power_cut(Cut::Nothing), End::Power),
            (client.disk.power_cut(Cut::Random(at)), End::Power),
        ] {
            client.check(&disk, end);
            runs += 1;
        }
    }
    println!("S11: {runs} recoveries of a store at its quota");
    assert!(runs >= 500, "only {runs} recoveries");
}

/// A small file system in memory; `None` where this user may not mount one.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Option<Small> {
        std::fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        let made = mount.args(["-t", "tmpfs", "-o", "size=2m", "none"]).arg(&at).output();
        made.is_ok_and(|output| output.status.success()).then_some(Small(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A store that a failed run left open must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_real_disk_that_is_full_lets_consuming_go_on_and_putting_resume() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(folder.path().join("small")) else {
        println!("SKIPPED a real full disk: this user may not mount one");
        return;
    };
    let options = StoreOptions { password: crate::password(), ..StoreOptions::default() };
    let store = Store::open(small.0.join("shop"), &options).unwrap();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    // Somebody else takes a part of the disk, and gives it back.
    let other = small.0.join("other");
    std::fs::write(&other, vec![1; 512 << 10]).unwrap();
    let payload = vec![5; 9_000];
    let fill = || loop {
        if let Err(error) = store.put(queue, &[Message::new(&payload)]) {
            return error;
        }
    };
    let full = fill();
    assert_eq!(full.code(), Code::NoSpace, "{full:?}");
    assert_eq!(full.os_errno(), libc::ENOSPC, "{full:?}");
    std::fs::remove_file(&other).unwrap();
    store.put(queue, &[Message::new(&payload)]).unwrap();
    for _ in 0..5 {
        assert_eq!(fill().code(), Code::NoSpace);
        let mut taken = 0;
        while let [one] = &consumer.receive(1, Duration::ZERO).unwrap()[..] {
            consumer.ack(&[one.sequence()]).unwrap();
            taken += 1;
        }
        assert!(taken >= 20, "only {taken}");
        store.put(queue, &[Message::new(&payload)]).unwrap();
    }
    assert_eq!(fill().code(), Code::NoSpace);
    store.queue_purge(queue).unwrap();
    store.put(queue, &[Message::new(&payload)]).unwrap();
    assert_eq!(fill().code(), Code::NoSpace);
    store.queue_delete(queue).unwrap();
    let other = store.queue("other").unwrap();
    store.put(other, &[Message::new(&payload)]).unwrap();
    store.close().unwrap();
}
