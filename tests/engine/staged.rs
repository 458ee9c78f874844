//! Transactions that outgrow memory: staged in files of their own, seen as a whole or not at all.

use crate::oracle::small;
use repliq::disk::model::{Cut, Mode, ModelDisk};
use repliq::{
    Code, Consumer, ConsumerOptions, Level, Message, Queue, Received, Session, Store, StoreOptions,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A transaction above a quarter of this is staged, in files of at most as much.
const SEGMENT: u64 = 8192;

fn open(disk: &ModelDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), &small(SEGMENT)).unwrap()
}

fn staged(disk: &ModelDisk) -> Vec<String> {
    disk.snapshot().into_keys().filter(|name| name.ends_with(".stg")).collect()
}

/// Puts so many messages of 200 bytes that begin with their numbers.
fn fill(session: &mut Session, queue: Queue, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let text = format!("{number:06}{}", "x".repeat(194));
        session.put(queue, &Message::new(text.as_bytes())).unwrap();
    }
}

fn numbers(messages: &[Received]) -> Vec<usize> {
    let number =
        |one: &Received| std::str::from_utf8(&one.payload()[..6]).unwrap().parse().unwrap();
    messages.iter().map(number).collect()
}

fn consumer(store: &Store, name: &str, queue: Queue) -> Consumer {
    store.consumer(name, queue, &ConsumerOptions::default()).unwrap()
}

fn receive(consumer: &Consumer) -> Vec<Received> {
    consumer.receive(1000, Duration::ZERO).unwrap()
}

#[test]
fn it_is_seen_as_a_whole_in_its_place_and_after_a_reopen() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let (a, b) = (store.queue("a").unwrap(), store.queue("b").unwrap());
    let mut large = store.session().unwrap();
    for at in 0..50 {
        fill(&mut large, a, 100 + at..101 + at);
        fill(&mut large, b, 500 + at..501 + at);
        // Others commit meanwhile, before it and into the same queues.
        if at % 10 == 0 {
            let mut other = store.session().unwrap();
            fill(&mut other, a, at / 10..at / 10 + 1);
            other.commit().unwrap();
        }
    }
    assert!(staged(&disk).len() > 1, "{:?}", staged(&disk));
    let readers = (consumer(&store, "c", a), consumer(&store, "c", b));
    assert_eq!(numbers(&receive(&readers.0)), [0, 1, 2, 3, 4]);
    assert_eq!(receive(&readers.1).len(), 0);
    let commit = large.commit().unwrap();
    fill(&mut large, a, 900..901);
    large.commit().unwrap();
    let expected: Vec<usize> = (100..150).chain([900]).collect();
    let check = |got: &[Received]| {
        assert_eq!(numbers(got), expected);
        let sequences: Vec<u64> = got.iter().map(Received::sequence).collect();
        assert_eq!(sequences, (6..57).collect::<Vec<u64>>());
        let of = commit.token.position().sequence;
        assert!(got[..50].iter().all(|one| one.transaction() == of && one.committed_ms() > 0));
        let indexes = got[..50].iter().map(|one| one.index() as usize);
        assert!(indexes.eq((0..50).map(|n| 2 * n)), "their places in the transaction");
        assert_eq!(got[50].transaction(), of + 1);
    };
    check(&receive(&readers.0));
    assert_eq!(numbers(&receive(&readers.1)), (500..550).collect::<Vec<usize>>());
    store.wait("", &[commit.token], Duration::ZERO).unwrap();
    drop((readers, large, store));
    for disk in [disk.kill(), disk.power_cut(Cut::Nothing)] {
        let store = open(&disk);
        let info = store.queues().unwrap();
        assert_eq!((info[0].next_sequence, info[1].next_sequence), (57, 51));
        let reader = consumer(&store, "c", store.queue("a").unwrap());
        let job = |reader: &Consumer| {
            let mut session = store.session().unwrap();
            let job = session.receive_job(reader, Duration::ZERO).unwrap();
            session.commit().unwrap();
            job
        };
        for number in 0..5 {
            assert_eq!(numbers(&job(&reader)), [number]);
        }
        let got = [job(&reader), job(&reader)].concat();
        check(&got);
        // Of one that only looks, too.
        let looks = StoreOptions { read_only: true, ..small(SEGMENT) };
        let looking = Store::open_on(Arc::new(disk.clone()), &looks).unwrap();
        let seen = looking.snapshot().unwrap().browse(Queue::from_number(2), 1, 100).unwrap();
        assert_eq!(numbers(&seen), (500..550).collect::<Vec<usize>>());
    }
}

#[test]
fn a_roll_back_a_drop_and_the_next_open_leave_no_file() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    fill(&mut session, queue, 0..60);
    assert!(!staged(&disk).is_empty() && !session.is_empty());
    session.rollback().unwrap();
    assert!(session.is_empty());
    assert_eq!(staged(&disk), [""; 0]);
    fill(&mut session, queue, 0..60);
    drop(session);
    assert_eq!(staged(&disk), [""; 0]);
    assert_eq!(store.queues().unwrap()[0].next_sequence, 1);
    // What is open when the store is closed is the next open's to remove.
    let mut late = store.session().unwrap();
    fill(&mut late, queue, 0..60);
    store.close().unwrap();
    let left = staged(&disk);
    assert!(!left.is_empty());
    let again = open(&disk);
    assert_eq!(staged(&disk), [""; 0]);
    let mut session = again.session().unwrap();
    fill(&mut session, queue, 0..60);
    let new = staged(&disk);
    drop(late);
    assert_eq!(staged(&disk), new, "it removed what is not its own");
    session.commit().unwrap();
    let got = again.snapshot().unwrap().browse(queue, 1, 100).unwrap();
    assert_eq!(numbers(&got), (0..60).collect::<Vec<usize>>());
}

#[test]
fn a_refused_commit_leaves_it_as_it_is() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    fill(&mut session, queue, 0..60);
    store.queue_pause(queue).unwrap();
    assert_eq!(session.commit().unwrap_err().code(), Code::Paused);
    store.queue_resume(queue).unwrap();
    fill(&mut session, queue, 60..90);
    session.commit().unwrap();
    let got = store.snapshot().unwrap().browse(queue, 1, 100).unwrap();
    assert_eq!(numbers(&got), (0..90).collect::<Vec<usize>>());
    // All or none of one call, also where what came before it is in a file.
    let (large, ok) = (vec![0; 17 << 20], vec![b'0'; 3000]);
    fill(&mut session, queue, 90..100);
    let messages = [Message::new(&ok), Message::new(&ok), Message::new(&large)];
    let error = session.put_many(queue, &messages).unwrap_err();
    assert_eq!((error.code(), error.message_index()), (Code::TooLarge, Some(2)));
    fill(&mut session, queue, 100..101);
    session.commit().unwrap();
    let got = store.snapshot().unwrap().browse(queue, 91, 100).unwrap();
    assert_eq!(numbers(&got), (90..101).collect::<Vec<usize>>());
}

#[test]
fn a_producer_goes_on_where_it_was() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let queue = store.queue("q").unwrap();
    let body = [7; 300];
    let one =
        |sequence| Message { producer: "p", producer_sequence: sequence, ..Message::new(&body) };
    store.put(queue, &[one(1)]).unwrap();
    // The last one repeated is left out; what follows is taken.
    store.put(queue, &(1..=20).map(one).collect::<Vec<_>>()).unwrap();
    assert_eq!(store.queues().unwrap()[0].next_sequence, 21);
    store.put(queue, &(21..=39).map(one).collect::<Vec<_>>()).unwrap();
    let error = store.put(queue, &(22..=40).map(one).collect::<Vec<_>>()).unwrap_err();
    assert_eq!((error.code(), error.range()), (Code::OutOfOrder, Some((22, 40))));
    let mut gap: Vec<_> = (40..=60).map(one).collect();
    gap.remove(5);
    let error = store.put(queue, &gap).unwrap_err();
    assert_eq!((error.code(), error.range()), (Code::OutOfOrder, Some((46, 45))));
    drop(store);
    let store = open(&disk.power_cut(Cut::Nothing));
    assert_eq!(store.put(queue, &[one(41)]).unwrap_err().code(), Code::OutOfOrder);
    store.put(queue, &[one(40)]).unwrap();
}

#[test]
fn its_files_go_when_nobody_waits_for_any_of_it() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let (a, b) = (store.queue("a").unwrap(), store.queue("b").unwrap());
    let readers = [consumer(&store, "c", a), consumer(&store, "d", a), consumer(&store, "c", b)];
    let mut session = store.session().unwrap();
    fill(&mut session, a, 0..60);
    fill(&mut session, b, 0..30);
    session.commit().unwrap();
    let files = staged(&disk);
    let status: serde_json::Value = serde_json::from_str(&store.status().unwrap()).unwrap();
    assert_eq!(status["staged"]["files"], files.len());
    let pinned = status["pins"].as_array().unwrap().iter().filter(|pin| pin["bytes"] != 0);
    assert_eq!(pinned.count(), 3, "{}", status["pins"]);
    let snapshot = store.snapshot().unwrap();
    for reader in &readers {
        assert_eq!(staged(&disk), files);
        let got = receive(reader);
        let sequences: Vec<u64> = got.iter().map(Received::sequence).collect();
        reader.ack(&sequences).unwrap();
    }
    assert_eq!(staged(&disk), files, "a snapshot shows it");
    assert_eq!(snapshot.browse(a, 1, 100).unwrap().len(), 60);
    drop(snapshot);
    store.reclaim().unwrap();
    assert_eq!(staged(&disk), [""; 0]);
    for n in 0..40 {
        fill(&mut session, a, n..n + 1);
        session.commit().unwrap();
    }
    drop((session, readers, store));
    let store = open(&disk.power_cut(Cut::Nothing));
    let got = receive(&consumer(&store, "c", a));
    assert_eq!((got.len(), got[0].sequence()), (40, 61));
}

#[test]
fn it_is_there_after_any_number_of_rolls() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    let mut expected = Vec::new();
    for round in 0..6 {
        fill(&mut session, queue, round * 1000..round * 1000 + 40);
        session.commit_at(if round % 2 == 0 { Level::Power } else { Level::Process }).unwrap();
        expected.extend(round * 1000..round * 1000 + 40);
        for n in 0..60 {
            fill(&mut session, queue, n..n + 1);
            session.commit().unwrap();
            expected.push(n);
        }
    }
    drop((session, store));
    let looked = |disk: &ModelDisk| {
        let store = open(disk);
        let mut got = Vec::new();
        loop {
            let from = got.len() as u64 + 1;
            let more = store.snapshot().unwrap().browse(queue, from, 1000).unwrap();
            if more.is_empty() {
                break;
            }
            got.extend(numbers(&more));
        }
        assert_eq!(got, expected);
        store
    };
    let disk = disk.kill();
    drop(looked(&disk));
    let store = looked(&disk.power_cut(Cut::Nothing));
    let (bytes, _) = store.verify(&mut |_| Ok(())).unwrap();
    assert!(bytes > 6 * 40 * 200);
}

#[test]
fn a_backup_has_it_and_the_next_one_copies_it_no_more() {
    let (disk, backup) = (ModelDisk::new(), ModelDisk::with_seed(2));
    let store = open(&disk);
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    fill(&mut session, queue, 0..60);
    session.commit().unwrap();
    fill(&mut session, queue, 60..120);
    let first = store.backup_on(&backup).unwrap();
    session.commit().unwrap();
    let second = store.backup_on(&backup).unwrap();
    let all = staged(&disk).len() as u64;
    assert!(second.files > first.files && second.files_copied < second.files - all / 3);
    let restored = ModelDisk::with_seed(3);
    Store::restore_on(&backup, Arc::new(restored.clone()), &small(SEGMENT)).unwrap();
    let store = open(&restored);
    let got = store.snapshot().unwrap().browse(queue, 1, 200).unwrap();
    assert_eq!(numbers(&got), (0..120).collect::<Vec<usize>>());
    store.verify(&mut |_| Ok(())).unwrap();
    assert_eq!(staged(&restored).len() as u64, all);
}

#[test]
fn damage_is_told_and_a_repair_gives_it_up_as_a_whole() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    fill(&mut session, queue, 0..1);
    session.commit().unwrap();
    fill(&mut session, queue, 1..90);
    let lost = session.commit().unwrap().token;
    fill(&mut session, queue, 90..91);
    session.commit().unwrap();
    store.close().unwrap();
    let files = staged(&disk);
    assert!(files.len() > 1);
    for what in ["flipped", "cut", "missing"] {
        let disk = disk.clone_image();
        let mut bytes = disk.bytes_of(&files[1]).unwrap();
        match what {
            "flipped" => {
                bytes[2000] ^= 1;
                disk.put_file(&files[1], &bytes);
            }
            "cut" => disk.put_file(&files[1], &bytes[..bytes.len() - 1]),
            _ => assert!(disk.remove_file(&files[1])),
        }
        let options = small(SEGMENT);
        let opened = Store::open_on(Arc::new(disk.clone()), &options);
        match opened {
            Ok(store) => {
                assert_eq!(what, "flipped");
                let error = store.verify(&mut |_| Ok(())).unwrap_err();
                assert_eq!(error.code(), Code::Corrupt, "{error}");
                store.close().unwrap();
            }
            Err(error) => assert_eq!((error.code(), what == "flipped"), (Code::Corrupt, false)),
        }
        let told = Store::repair_on(Arc::new(disk.clone()), &options, false).unwrap();
        let sequence = lost.position().sequence;
        assert_eq!(told.segments, [(sequence, sequence)], "{what}");
        let done = Store::repair_on(Arc::new(disk.clone()), &options, true).unwrap();
        assert_eq!(done.aside.len(), files.len() - usize::from(what == "missing"), "{what}");
        let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
        let got = store.snapshot().unwrap().browse(queue, 1, 200).unwrap();
        assert_eq!(numbers(&got), [0, 90], "{what}");
        store.verify(&mut |_| Ok(())).unwrap();
        assert_eq!(staged(&disk), [""; 0]);
    }
}

#[test]
fn its_files_count_for_the_quota() {
    let disk = ModelDisk::new();
    let quota = 64 * SEGMENT;
    let options = StoreOptions { quota_bytes: quota, ..small(SEGMENT) };
    let mut store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    let queue = store.queue("q").unwrap();
    let (body, mut adopted) = ([7; 500], 0);
    for round in 0..2 {
        let (mut session, mut most) = (store.session().unwrap(), 0);
        let error = loop {
            if let Err(error) = session.put(queue, &Message::new(&body)) {
                break error;
            }
            most = most.max(staged(&disk).len());
            let files = disk.snapshot().into_values().map(|bytes| bytes.len() as u64);
            assert!(files.sum::<u64>() < quota + 2 * SEGMENT, "more than the quota");
        };
        assert_eq!((error.code(), error.cause()), (Code::NoSpace, Code::Quota), "{error}");
        assert!(most > 20, "{most} files");
        assert_eq!(staged(&disk).len(), adopted, "they go at once");
        for _ in 0..2 {
            let more = session.put(queue, &Message::new(b"more")).unwrap_err();
            assert_eq!((more.code(), more.cause()), (Code::RollbackOnly, Code::NoSpace), "{more}");
        }
        let over = session.commit().unwrap_err();
        assert_eq!((over.code(), over.cause()), (Code::RolledBack, Code::NoSpace), "{over}");
        // What was given back is there for others, and what is adopted counts also after a reopen.
        for _ in 0..150 {
            session.put(queue, &Message::new(&body)).unwrap();
        }
        session.commit().unwrap();
        adopted = staged(&disk).len();
        assert_eq!(store.queues().unwrap()[0].next_sequence, 150 * (round + 1) + 1);
        drop((session, store));
        store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    }
}

#[test]
fn damage_of_a_prepared_one_is_told_and_a_repair_rolls_it_back() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let (queue, from) = (store.queue("q").unwrap(), store.queue("from").unwrap());
    let reader = consumer(&store, "c", from);
    let mut session = store.session().unwrap();
    fill(&mut session, from, 0..2);
    session.commit().unwrap();
    assert_eq!(session.receive(&reader, 1, Duration::ZERO).unwrap().len(), 1);
    fill(&mut session, queue, 1..90);
    let id = session.prepare(b"x").unwrap();
    drop((session, reader));
    store.close().unwrap();
    let files = staged(&disk);
    assert!(files.len() > 1);
    for what in ["whole", "flipped", "cut", "missing"] {
        let disk = disk.clone_image();
        let mut bytes = disk.bytes_of(&files[1]).unwrap();
        match what {
            "whole" => {}
            "flipped" => {
                bytes[2000] ^= 1;
                disk.put_file(&files[1], &bytes);
            }
            "cut" => disk.put_file(&files[1], &bytes[..bytes.len() - 1]),
            _ => assert!(disk.remove_file(&files[1])),
        }
        let options = small(SEGMENT);
        match Store::open_on(Arc::new(disk.clone()), &options) {
            Ok(store) => {
                let checked = store.verify(&mut |_| Ok(()));
                match what {
                    "whole" => _ = checked.unwrap(),
                    _ => assert_eq!(checked.unwrap_err().code(), Code::Corrupt, "{what}"),
                }
                store.close().unwrap();
            }
            Err(error) => {
                assert!(matches!(what, "cut" | "missing"), "{what}: {error}");
                assert_eq!(error.code(), Code::Corrupt);
            }
        }
        let told = Store::repair_on(Arc::new(disk.clone()), &options, true).unwrap();
        assert_eq!((told.prepared, told.segments.len()), (u64::from(what != "whole"), 0), "{what}");
        let store = open(&disk);
        store.verify(&mut |_| Ok(())).unwrap();
        let left = receive(&consumer(&store, "c", from)).len();
        if what == "whole" {
            assert_eq!(left, 1);
            store.finish(&id, true).unwrap();
            assert_eq!(store.snapshot().unwrap().browse(queue, 1, 100).unwrap().len(), 89);
        } else {
            assert_eq!((left, staged(&disk)), (2, Vec::new()), "{what}");
            assert_eq!(store.finish(&id, true).unwrap_err().code(), Code::RolledBack);
        }
    }
}

#[test]
fn a_full_store_refuses_to_prepare_and_lets_what_is_prepared_end() {
    let disk = ModelDisk::new();
    let options = StoreOptions { quota_bytes: 64 * SEGMENT, ..small(SEGMENT) };
    let opened = |disk: &ModelDisk| Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    let store = opened(&disk);
    let (queue, from) = (store.queue("q").unwrap(), store.queue("from").unwrap());
    let reader = consumer(&store, "c", from);
    let mut session = store.session().unwrap();
    fill(&mut session, from, 0..2);
    session.commit().unwrap();
    let mut prepared = Vec::new();
    for _ in 0..2 {
        assert_eq!(session.receive(&reader, 1, Duration::ZERO).unwrap().len(), 1);
        fill(&mut session, queue, 0..60);
        prepared.push(session.prepare(b"").unwrap());
    }
    drop(session);
    let filler = store.queue("filler").unwrap();
    while store.put(filler, &[Message::new(&[7; 200])]).is_ok() {}
    let mut session = store.session().unwrap();
    fill(&mut session, queue, 0..1);
    assert_eq!(session.prepare(b"").unwrap_err().code(), Code::NoSpace);
    session.rollback().unwrap();
    store.finish(&prepared[0], true).unwrap();
    store.finish(&prepared[1], false).unwrap();
    assert_eq!(store.snapshot().unwrap().browse(queue, 1, 100).unwrap().len(), 60);
    assert_eq!(receive(&reader).len(), 1);
    drop((session, reader, store));
    let store = opened(&disk.power_cut(Cut::Nothing));
    assert_eq!(store.snapshot().unwrap().browse(queue, 1, 100).unwrap().len(), 60);
}

#[test]
fn a_prepare_that_fails_says_rightly_whether_it_may_be_prepared() {
    let ready = ModelDisk::new();
    let store = open(&ready);
    let queue = store.queue("q").unwrap();
    store.put(queue, &[Message::new(b"before")]).unwrap();
    store.close().unwrap();
    let mut told = BTreeSet::new();
    for at in 1.. {
        let disk = ready.clone_image();
        let store = open(&disk);
        let mut session = store.session().unwrap();
        fill(&mut session, queue, 0..3);
        disk.fail_at(disk.ops() + at, libc::EIO, Mode::Once);
        let Err(error) = session.prepare(b"x") else { break };
        told.insert((error.code().name(), error.cause().name()));
        let count = store.prepared().unwrap().len();
        // What is of unknown outcome is there until the next open finds out.
        assert_eq!(count == 1, error.code() == Code::OutcomeUnknown, "call {at}: {error:?}");
        drop((session, store));
        disk.clear_faults();
        for left in [disk.kill(), disk.power_cut(Cut::Nothing), disk.power_cut(Cut::All)] {
            let after = open(&left).prepared().unwrap().len();
            assert!(after <= count, "call {at}: {error:?}");
        }
    }
    assert!(told.contains(&("IO", "IO")) && told.contains(&("OUTCOME_UNKNOWN", "IO")), "{told:?}");
}

#[test]
fn a_prepare_of_what_could_not_be_staged_is_rolled_back_though_the_disk_stays_bad() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    disk.fail_at(disk.ops() + 1, libc::EIO, Mode::Sticky);
    let message = [0; 200];
    let failed = (0..1000).find_map(|_| session.put(queue, &Message::new(&message)).err());
    assert_eq!(failed.map(|error| error.code()), Some(Code::Io));
    let error = session.prepare(b"x").unwrap_err();
    assert_eq!((error.code(), error.cause()), (Code::RolledBack, Code::Io), "{error:?}");
    assert!(session.is_empty() && store.prepared().unwrap().is_empty());
}
