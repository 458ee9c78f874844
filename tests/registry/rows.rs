//! The rows about transactions, looking and recipients.

use crate::{NOW, Place, SOON, take, texts};
use repliq::disk::model::{Cut, ModelDisk, Op};
use repliq::{Code, ConsumerOptions, From, Level, Message, Queue, Store, StoreOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// A store whose disk is used by its caller alone.
fn alone(disk: &ModelDisk) -> repliq::Result<Store> {
    let options = StoreOptions { helper: false, segment_bytes: 1 << 20, ..StoreOptions::default() };
    Store::open_on(Arc::new(disk.clone()), &options)
}

fn seen(store: &Store, queue: Queue) -> Vec<String> {
    texts(&store.snapshot().unwrap().browse(queue, 1, 10_000).unwrap())
}

fn by(producer: &str, producer_sequence: u64) -> Message<'_> {
    Message { producer, producer_sequence, ..Message::new(b"a change") }
}

#[test]
fn reg_01_what_is_enqueued_in_a_transaction_is_there_with_its_commit_and_leaves_no_trace_without() {
    let place = Place::new();
    let notices = place.store.queue("notices").unwrap();
    let worker = place.store.consumer("other", notices, &ConsumerOptions::default()).unwrap();
    let mut session = place.store.session().unwrap();
    session.put(place.queue, &Message::new(b"a record")).unwrap();
    session.put(notices, &Message::new(b"its notice")).unwrap();
    session.rollback().unwrap();
    assert_eq!((seen(&place.store, place.queue).len(), take(&worker, 9).len()), (0, 0));
    session.put(place.queue, &Message::new(b"a record")).unwrap();
    session.put(notices, &Message::new(b"its notice")).unwrap();
    assert_eq!(take(&worker, 9), [""; 0]);
    session.commit().unwrap();
    assert_eq!(seen(&place.store, place.queue), ["a record"]);
    let got = worker.receive(9, SOON).unwrap();
    assert_eq!((texts(&got), got[0].sequence()), (vec!["its notice".into()], 1), "no gap is left");
}

/// Work is taken, done, and noted in two queues; the machine stops at each of its steps in turn.
#[test]
fn reg_01_a_crash_between_leaves_the_work_done_and_noted_or_neither() {
    for step in 0.. {
        let (disk, cut) = (ModelDisk::new(), Cut::Random(step));
        let store = alone(&disk).unwrap();
        let names = ["work", "done", "log"];
        let [work, done, log] = names.map(|name| store.queue(name).unwrap());
        store.put(work, &[Message::new(b"a record")]).unwrap();
        let worker = store.consumer("worker", work, &ConsumerOptions::default()).unwrap();
        let mut session = store.session().unwrap();
        match step % 2 {
            0 => disk.stop_at(disk.ops() + 1 + step / 2),
            _ => disk.stop_in(disk.ops() + 1 + step / 2),
        }
        let transaction = session.receive(&worker, 1, NOW).and_then(|taken| {
            session.put(done, &Message::new(taken[0].payload()))?;
            session.put(log, &Message::new(b"one more"))?;
            session.commit()
        });
        let stopped = disk.is_stopped();
        drop((session, worker, store));
        let disk = if step % 3 == 0 { disk.kill() } else { disk.power_cut(cut) };
        let store = alone(&disk).unwrap();
        let [work, done, log] = names.map(|name| store.queue(name).unwrap());
        let worker = store.consumer("worker", work, &ConsumerOptions::default()).unwrap();
        let left = (take(&worker, 9).len(), seen(&store, done).len(), seen(&store, log).len());
        assert!(left == (1, 0, 0) || left == (0, 1, 1), "step {step}: {left:?}");
        assert!(transaction.is_err() || left.0 == 0, "step {step}: what was committed is lost");
        if !stopped {
            assert!(step >= 4, "the transaction has {step} steps only");
            break;
        }
    }
}

#[test]
fn reg_02_what_is_put_outside_a_session_survives_its_rollback() {
    let place = Place::new();
    let audit = place.store.queue("audit").unwrap();
    let mut session = place.store.session().unwrap();
    session.put(place.queue, &Message::new(b"a record")).unwrap();
    place.store.put(audit, &[Message::new(b"was tried")]).unwrap();
    place.store.put(place.queue, &[Message::new(b"at once")]).unwrap();
    assert_eq!(seen(&place.store, audit), ["was tried"], "visible before the end of the session");
    session.rollback().unwrap();
    drop(session);
    let place = place.killed();
    let audit = place.store.queue("audit").unwrap();
    assert_eq!((seen(&place.store, audit), seen(&place.store, place.queue)), {
        (vec!["was tried".to_string()], vec!["at once".to_string()])
    });
}

#[test]
fn reg_17_what_expired_is_a_dead_letter_where_these_are_kept_and_not_counted_as_a_retry() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    let dead = place.store.queue("dead").unwrap();
    let rules = repliq::Rules {
        max_deliveries: 3,
        dead_letters: Some(dead),
        keyed: true,
        ..repliq::Rules::default()
    };
    let (kept, other) = (place.open(rules), {
        place.store.consumer("other", place.queue, &ConsumerOptions::default()).unwrap()
    });
    let record =
        |expires_ms, payload| Message { key: b"K", kind: 7, expires_ms, ..Message::new(payload) };
    place.put_one(&record(1_000_500, b"never given out"));
    place.put_one(&record(1_002_000, b"given back"));
    place.put_one(&record(0, b"stays"));
    place.disk.advance_ms(500);
    assert_eq!(
        texts(&kept.receive(9, SOON).unwrap()),
        ["given back"],
        "the rest of the key goes on"
    );
    kept.reject_with(&[2], None, "not now").unwrap();
    assert_eq!(kept.receive(9, NOW).unwrap()[0].deliveries(), 2);
    place.disk.advance_ms(1_500);
    kept.reject(&[2]).unwrap();
    assert_eq!(texts(&kept.receive(9, SOON).unwrap()), ["stays"]);
    let letters = place.store.snapshot().unwrap().browse(dead, 1, 9).unwrap();
    let told = letters.iter().map(|one| {
        let find = |name: &str| one.headers().find(|(known, _)| *known == name).unwrap().1.to_vec();
        (one.kind(), one.expires_ms(), find("repliq-reason"), find("repliq-failures"))
    });
    let told: Vec<_> = told.collect();
    assert_eq!(texts(&letters), ["never given out", "given back"]);
    let expired = |failures: &[u8]| (7, 0, b"it expired".to_vec(), failures.to_vec());
    assert_eq!(told, [expired(b"0"), expired(b"2")]);
    // One without a place for them passes over it.
    assert_eq!(take(&other, 9), ["stays"]);
    // What was purged is nobody's letter.
    place.put_one(&record(1_003_000, b"purged"));
    place.store.queue_purge(place.queue).unwrap();
    place.disk.advance_ms(10_000);
    assert_eq!(take(&kept, 9), [""; 0]);
    assert_eq!(seen(&place.store, dead).len(), 2);
}

#[test]
fn reg_19_who_looks_sees_what_is_committed_once_and_in_order_while_others_put_take_and_purge() {
    let place = Place::new();
    let (store, queue, over) = (&place.store, place.queue, AtomicBool::new(false));
    let look = || {
        let mut looks = 0;
        while !over.load(Ordering::SeqCst) || looks == 0 {
            let snapshot = store.snapshot().unwrap();
            let pass = || {
                let (mut next, mut all) = (1, Vec::new());
                loop {
                    let page = snapshot.browse(queue, next, 7).unwrap();
                    let Some(last) = page.last() else { break all };
                    next = last.sequence() + 1;
                    all.extend(page.iter().map(|one| (one.sequence(), one.payload().to_vec())));
                }
            };
            let first = pass();
            assert!(first.is_sorted_by(|one, other| one.0 < other.0), "{first:?}");
            assert!(first.iter().all(|(_, payload)| payload == b"committed"));
            assert_eq!(first, pass(), "a snapshot stays as it is");
            looks += 1;
        }
    };
    let work = || {
        let worker = place.open(repliq::Rules::default());
        let mut session = store.session().unwrap();
        for round in 0..60 {
            let messages = [Message::new(b"committed"); 25];
            session.put_many(queue, &messages).unwrap();
            session.commit().unwrap();
            session.put_many(queue, &[Message::new(b"uncommitted"); 5]).unwrap();
            session.receive(&worker, 11, NOW).unwrap();
            session.rollback().unwrap();
            session.receive(&worker, 20, NOW).unwrap();
            session.commit().unwrap();
            if round % 20 == 19 {
                store.queue_purge(queue).unwrap();
                place.own.reclaim().unwrap();
            }
        }
        over.store(true, Ordering::SeqCst);
    };
    std::thread::scope(|scope| {
        scope.spawn(look);
        scope.spawn(look);
        scope.spawn(work);
    });
}

#[test]
fn reg_21_a_thousand_at_once_are_one_transaction_and_one_sync_each_way_and_one_bad_item_fails_all()
{
    let disk = ModelDisk::new();
    let store = alone(&disk).unwrap();
    let queue = store.queue("records").unwrap();
    let worker = store.consumer("worker", queue, &ConsumerOptions::default()).unwrap();
    let mut messages = vec![Message { key: b"key", ..Message::new(b"a record") }; 1_000];
    messages[617].priority = 10;
    let refused = store.put(queue, &messages).unwrap_err();
    assert_eq!((refused.code(), refused.message_index()), (Code::Invalid, Some(617)));
    assert!(worker.receive(9, NOW).unwrap().is_empty());
    messages[617].priority = 0;
    let before = disk.calls(Op::Sync);
    store.put(queue, &messages).unwrap();
    assert_eq!(disk.calls(Op::Sync), before + 1);
    let mut session = store.session().unwrap();
    let taken = session.receive(&worker, 1_000, NOW).unwrap();
    assert_eq!(taken.len(), 1_000);
    assert!(taken.iter().all(|one| one.transaction() == taken[0].transaction()));
    let before = disk.calls(Op::Sync);
    session.commit().unwrap();
    assert_eq!(disk.calls(Op::Sync), before + 1);
    assert!(seen(&store, queue).is_empty());
}

#[test]
fn reg_23_three_recipients_have_one_payload_which_goes_with_the_last_and_a_later_one_sees_new_ones()
{
    let disk = ModelDisk::new();
    let store = alone(&disk).unwrap();
    let queue = store.queue("records").unwrap();
    let open = |name: &str, from| {
        store.consumer(name, queue, &ConsumerOptions { from, ..ConsumerOptions::default() })
    };
    let three = ["billing", "search", "mail"].map(|name| open(name, From::Oldest).unwrap());
    let payload = vec![b'x'; 100_000];
    let before = disk.bytes(Op::WriteAt);
    store.put(queue, &[Message::new(&payload)]).unwrap();
    let written = disk.bytes(Op::WriteAt) - before;
    assert!(written < 150_000, "{written} bytes were written for a payload of 100000");
    for (at, recipient) in three.iter().enumerate() {
        let got = recipient.receive(9, NOW).unwrap();
        assert_eq!(got.len(), 1, "{at}");
        assert_eq!(seen(&store, queue).len(), 1, "it stays for the others");
        recipient.ack(&[1]).unwrap();
    }
    assert!(seen(&store, queue).is_empty(), "it goes with the last");
    let later = open("audit", From::Now).unwrap();
    assert!(later.receive(9, NOW).unwrap().is_empty());
    store.put(queue, &[Message::new(b"new")]).unwrap();
    assert_eq!(take(&later, 9), ["new"]);
}

#[test]
fn reg_26_what_a_producer_repeats_is_stored_once_however_late() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    let put = |place: &Place, number| {
        place.store.put(place.queue, &[by("registry", number)]).map(|commit| commit.token)
    };
    put(&place, 1).unwrap();
    let token = put(&place, 2).unwrap();
    let worker = place.open(repliq::Rules::default());
    worker.receive(9, NOW).unwrap();
    worker.ack(&[1, 2]).unwrap();
    drop(worker);
    // Everything else may be gone by then.
    place.store.queue_purge(place.queue).unwrap();
    let filler = place.store.queue("filler").unwrap();
    for _ in 0..100 {
        place.store.put(filler, &[Message::new(&[0; 20_000])]).unwrap();
    }
    place.own.reclaim().unwrap();
    place.disk.advance_ms(YEAR_MS);
    let place = Place::on(place.disk.power_cut(Cut::Nothing));
    let again = put(&place, 2).unwrap();
    // A server notes who committed, in a transaction of its own.
    assert!(
        again == token || place._served.is_some(),
        "{again:?} is not the first token, {token:?}"
    );
    assert_eq!(put(&place, 1).unwrap_err().code(), Code::OutOfOrder);
    assert_eq!(put(&place, 4).unwrap_err().code(), Code::OutOfOrder);
    assert!(seen(&place.store, place.queue).is_empty());
    // In one transaction with the next it is left out.
    let mut session = place.store.session().unwrap();
    session.put(place.queue, &by("registry", 2)).unwrap();
    session.put(place.queue, &by("registry", 3)).unwrap();
    session.commit().unwrap();
    assert_eq!(seen(&place.store, place.queue).len(), 1);
    drop(session);
    let place = place.killed();
    put(&place, 3).unwrap();
    assert_eq!(seen(&place.store, place.queue).len(), 1);
}

#[test]
fn reg_27_a_transaction_that_began_first_and_commits_last_is_not_skipped() {
    let place = Place::new();
    let worker = place.open(repliq::Rules::default());
    let (mut first, mut second) = (place.store.session().unwrap(), place.store.session().unwrap());
    first.put(place.queue, &Message::new(b"began first")).unwrap();
    second.put(place.queue, &Message::new(b"began second")).unwrap();
    second.commit().unwrap();
    let got = worker.receive(9, NOW).unwrap();
    assert_eq!((texts(&got), got[0].sequence()), (vec!["began second".into()], 1));
    worker.ack(&[1]).unwrap();
    first.commit().unwrap();
    let got = worker.receive(9, NOW).unwrap();
    assert_eq!((texts(&got), got[0].sequence()), (vec!["began first".into()], 2));
}

#[test]
fn reg_27_a_reader_beside_many_writers_gets_every_sequence_and_each_writer_in_order() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 100;
    let place = Place::new();
    let worker = place.open(repliq::Rules::default());
    let (store, queue) = (&place.store, place.queue);
    let got = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mut session = store.session().unwrap();
                for number in 0..EACH {
                    let (key, level) = (writer.to_string(), [Level::Power, Level::Process]);
                    let payload = number.to_string();
                    let message =
                        Message { key: key.as_bytes(), ..Message::new(payload.as_bytes()) };
                    session.put(queue, &message).unwrap();
                    session.commit_at(level[(number % 2) as usize]).unwrap();
                }
            });
        }
        let mut got = Vec::new();
        while got.len() < (WRITERS * EACH) as usize {
            let more = worker.receive(50, SOON).unwrap();
            assert!(!more.is_empty(), "{} came and no more", got.len());
            got.extend(more);
        }
        got
    });
    let mut of: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (one, sequence) in got.iter().zip(1..) {
        assert_eq!(one.sequence(), sequence);
        let number = of.entry(one.key()).or_default();
        assert_eq!(one.payload(), number.to_string().as_bytes());
        *number += 1;
    }
}

#[test]
fn reg_30_a_store_that_somebody_writes_to_refuses_at_once_or_takes_and_strands_nothing() {
    let place = Place::new();
    // Another process is told at once who has it, and may come again.
    let other = alone(&place.disk).map(|_| ()).unwrap_err();
    assert_eq!(other.code(), Code::Locked);
    // A transaction that is open, and large, keeps nobody waiting.
    let mut open = place.store.session().unwrap();
    let worker = place.open(crate::keyed());
    (0..40).for_each(|_| open.put(place.queue, &Message::new(&[0; 100_000])).unwrap());
    let (store, queue) = (&place.store, place.queue);
    let mut done: Vec<String> = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            scope.spawn(move || {
                for number in 0..25 {
                    let job = format!("{writer}/{number}");
                    store.put(queue, &[Message::new(job.as_bytes())]).unwrap();
                }
            });
        }
        while done.len() < 200 {
            let jobs = worker.receive(9, Duration::from_secs(60)).unwrap();
            assert!(!jobs.is_empty(), "{} jobs came, the others are stranded", done.len());
            let sequences: Vec<u64> = jobs.iter().map(|one| one.sequence()).collect();
            done.extend(texts(&jobs));
            worker.ack(&sequences).unwrap();
        }
    });
    open.rollback().unwrap();
    done.sort();
    done.dedup();
    assert_eq!((done.len(), take(&worker, 9).len()), (200, 0));
}

#[test]
fn reg_30_an_enqueue_that_finds_no_room_is_refused_and_the_jobs_before_and_behind_it_are_done() {
    let place = Place::new();
    let worker = place.open(crate::keyed());
    place.put("a", "1");
    let used: u64 = place.disk.snapshot().values().map(|bytes| bytes.len() as u64).sum();
    place.disk.capacity(used);
    let mut taken = 0;
    let refused = loop {
        match place.store.put(place.queue, &[Message::new(&[0; 30_000])]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), Code::NoSpace);
    while let Some(one) = worker.receive(1, NOW).unwrap().first() {
        worker.ack(&[one.sequence()]).unwrap();
        taken -= i32::from(one.payload().len() == 30_000);
    }
    assert_eq!(taken, 0);
    place.put("a", "2");
    assert_eq!(take(&worker, 9), ["2"]);
}
