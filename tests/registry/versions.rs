//! "Already processed", made exact: versions of keys.

use crate::{NOW, Place, SOON, keyed, take, texts};
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{Code, Consumer, ConsumerOptions, Message, Rules, Store, StoreOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

fn versioned() -> Rules {
    Rules { key_versions: true, ..keyed() }
}

fn put(place: &Place, key: &str, version: u64) {
    let (value, payload) = (version.to_string(), format!("{key}{version}"));
    let headers = [("repliq-version", value.as_bytes())];
    let payload = payload.as_bytes();
    place.put_one(&Message { key: key.as_bytes(), headers: &headers, ..Message::new(payload) });
}

/// What is given out now, and is acknowledged at once.
fn work(worker: &Consumer) -> Vec<String> {
    let got = worker.receive(1_000, NOW).unwrap();
    if !got.is_empty() {
        worker.ack(&got.iter().map(|one| one.sequence()).collect::<Vec<_>>()).unwrap();
    }
    texts(&got)
}

/// All that is left, as long as something comes.
fn drain(worker: &Consumer) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let got = work(worker);
        if got.is_empty() {
            return all;
        }
        all.extend(got);
    }
}

/// What was left out, and what waits.
fn counted(place: &Place) -> (u64, u64) {
    let queues = place.store.queues().unwrap();
    let queue = queues.iter().find(|queue| queue.name == "records").unwrap();
    let worker = queue.consumers.iter().find(|consumer| consumer.name == "worker").unwrap();
    (worker.already_processed, worker.waiting)
}

#[test]
fn reg_06_a_notice_of_a_version_that_was_processed_is_acknowledged_counted_and_worked_on_by_nobody()
{
    let place = Place::new();
    let worker = place.open(versioned());
    put(&place, "K", 1);
    put(&place, "L", 1);
    assert_eq!(work(&worker), ["K1", "L1"]);
    put(&place, "K", 1);
    assert_eq!((take(&worker, 9), counted(&place)), (vec![], (1, 0)));
    // Out of date is processed, too; another key is not.
    put(&place, "K", 3);
    put(&place, "K", 2);
    put(&place, "M", 2);
    put(&place, "K", 3);
    put(&place, "K", 4);
    assert_eq!(drain(&worker), ["K3", "M2", "K4"]);
    assert_eq!(counted(&place), (3, 0));
}

#[test]
fn reg_06_only_what_was_acknowledged_is_processed() {
    let place = Place::new();
    let worker = place.open(versioned());
    put(&place, "K", 1);
    put(&place, "K", 1);
    let mut session = place.store.session().unwrap();
    assert_eq!(texts(&session.receive(&worker, 9, NOW).unwrap()), ["K1"]);
    session.rollback().unwrap();
    let got = session.receive(&worker, 9, SOON).unwrap();
    assert_eq!((got[0].sequence(), got[0].deliveries()), (1, 2));
    session.commit().unwrap();
    assert_eq!((take(&worker, 9), counted(&place)), (vec![], (1, 0)));
}

#[test]
fn reg_06_what_was_processed_is_known_after_a_year_and_a_power_cut_and_forgotten_by_a_seek() {
    let mut place = Place::new();
    let worker = place.open(versioned());
    let keys: Vec<String> = (0..50).map(|key| format!("key {key}, ")).collect();
    keys.iter().for_each(|key| put(&place, key, 5));
    assert_eq!(work(&worker).len(), 50);
    drop(worker);
    // Everything else may be gone by then, and the versions are in state runs.
    let filler = place.store.queue("filler").unwrap();
    for _ in 0..100 {
        place.store.put(filler, &[Message::new(&[0; 20_000])]).unwrap();
    }
    place.store.queue_purge(filler).unwrap();
    place.own.reclaim().unwrap();
    place.disk.advance_ms(365 * 24 * 60 * 60 * 1_000);
    place = Place::on(place.disk.power_cut(Cut::Nothing));
    let worker = place.open(versioned());
    keys.iter().for_each(|key| put(&place, key, 5));
    put(&place, &keys[7], 6);
    assert_eq!(drain(&worker), ["key 7, 6"]);
    assert_eq!(counted(&place), (50, 0));
    drop(worker);
    place = place.killed();
    assert_eq!(counted(&place), (50, 0), "the count is kept, too");
    let worker = place.open(versioned());
    put(&place, &keys[7], 6);
    assert_eq!((drain(&worker), counted(&place).0), (vec![], 51));
    let last = place.own.queues().unwrap()[0].next_sequence - 1;
    worker.seek(last).unwrap();
    assert_eq!((drain(&worker), counted(&place)), (vec!["key 7, 6".into()], (0, 0)));
}

#[test]
fn reg_06_what_a_prepared_transaction_holds_is_processed_once_that_is_committed() {
    for (commit, restarts, moved) in [
        (true, false, false),
        (false, false, false),
        (true, true, false),
        (false, true, false),
        (true, false, true),
        (true, true, true),
    ] {
        let what = format!("commit {commit}, restarts {restarts}, moved {moved}");
        let mut place = Place::new();
        let mut worker = place.open(versioned());
        let mut session = place.store.session().unwrap();
        put(&place, "M", 1);
        assert_eq!(work(&worker), ["M1"]);
        put(&place, "K", 2);
        assert_eq!(texts(&session.receive(&worker, 9, NOW).unwrap()), ["K2"]);
        let id = session.prepare(b"x").unwrap();
        put(&place, "K", 2);
        put(&place, "L", 1);
        // Its key waits, and it is processed by nobody yet.
        assert_eq!(work(&worker), ["L1"], "{what}");
        assert_eq!(counted(&place).0, 0, "{what}");
        if moved {
            worker.seek(2).unwrap();
        }
        if restarts {
            drop((session, worker));
            place = place.killed();
            worker = place.open(versioned());
        }
        let again: &[&str] = if moved { &["L1"] } else { &[] };
        assert_eq!(work(&worker), again, "{what}");
        place.store.finish(&id, commit).unwrap();
        let given: &[&str] = if commit { &[] } else { &["K2"] };
        assert_eq!(drain(&worker), given, "{what}");
        assert_eq!(counted(&place), (1, 0), "{what}");
        // The versions of before a move are forgotten, and the one committed behind it is known.
        put(&place, "M", 1);
        put(&place, "K", 1);
        let given: &[&str] = if moved { &["M1"] } else { &[] };
        assert_eq!(drain(&worker), given, "{what}");
    }
}

#[test]
fn reg_06_more_than_a_receive_hands_out_may_be_left_out_at_once() {
    let place = Place::new();
    let worker = place.open(versioned());
    put(&place, "K", 5);
    assert_eq!(work(&worker), ["K5"]);
    let headers = [("repliq-version", &b"5"[..])];
    let again = Message { key: b"K", headers: &headers, ..Message::new(b"again") };
    let many = repliq::limits::RECEIVE_MESSAGES_MAX + 10;
    for _ in 0..many / 10 {
        place.store.put(place.queue, &[again; 10]).unwrap();
    }
    put(&place, "K", 6);
    assert_eq!(work(&worker), ["K6"]);
    assert_eq!(counted(&place), (many as u64 / 10 * 10, 0));
}

#[test]
fn reg_06_with_conflation_the_newest_is_the_highest_version() {
    let place = Place::new();
    let worker = place.open(Rules { conflate: true, ..versioned() });
    for version in [1, 4, 2, 5, 3] {
        put(&place, "K", version);
    }
    assert_eq!(drain(&worker), ["K5"]);
    put(&place, "K", 4);
    put(&place, "K", 6);
    put(&place, "K", 6);
    assert_eq!(drain(&worker), ["K6"]);
    put(&place, "K", 6);
    assert_eq!((drain(&worker), counted(&place)), (vec![], (1, 0)));
}

#[test]
fn reg_06_versions_go_with_keys_one_at_a_time() {
    let place = Place::new();
    for rules in
        [Rules { key_versions: true, ..Rules::default() }, Rules { per_key: 2, ..versioned() }]
    {
        let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
        let refused = place.store.consumer("other", place.queue, &options).map(|_| ());
        assert_eq!(refused.unwrap_err().code(), Code::Invalid);
    }
}

/// Notices come twice and are worked on; the machine stops at each step in turn.
#[test]
fn reg_06_a_crash_at_any_step_works_on_each_version_once_as_far_as_commits_tell() {
    for step in 0.. {
        let disk = ModelDisk::new();
        let open = |disk: &ModelDisk| {
            let options =
                StoreOptions { helper: false, segment_bytes: 1 << 13, ..StoreOptions::default() };
            let store = Store::open_on(Arc::new(disk.clone()), &options)?;
            let (queue, done) = (store.queue("records")?, store.queue("done")?);
            let options = ConsumerOptions { rules: versioned(), ..ConsumerOptions::default() };
            let worker = store.consumer("worker", queue, &options)?;
            Ok::<_, repliq::Error>((store, queue, done, worker))
        };
        // What is done is put into another queue, in the transaction of the work.
        let work = |store: &Store, done, worker: &Consumer| {
            let mut session = store.session()?;
            loop {
                let got = session.receive(worker, 9, NOW)?;
                if got.is_empty() {
                    return Ok::<_, repliq::Error>(());
                }
                for one in &got {
                    session.put(done, &Message::new(one.payload()))?;
                }
                session.commit()?;
            }
        };
        let put = |store: &Store, queue, version: u64| {
            for key in ["K", "L"] {
                let (value, payload) = (version.to_string(), format!("{key}{version}"));
                let headers = [("repliq-version", value.as_bytes())];
                let message = Message {
                    key: key.as_bytes(),
                    headers: &headers,
                    ..Message::new(payload.as_bytes())
                };
                store.put(queue, &[message])?;
            }
            Ok::<_, repliq::Error>(())
        };
        let (store, queue, done, worker) = open(&disk).unwrap();
        match step % 2 {
            0 => disk.stop_at(disk.ops() + 1 + step / 2),
            _ => disk.stop_in(disk.ops() + 1 + step / 2),
        }
        let course = (|| {
            for version in [1, 1, 2, 1, 3] {
                put(&store, queue, version)?;
                work(&store, done, &worker)?;
            }
            Ok::<_, repliq::Error>(())
        })();
        let stopped = disk.is_stopped();
        drop((worker, store));
        let disk = if step % 3 == 0 { disk.kill() } else { disk.power_cut(Cut::Random(step)) };
        let (store, queue, done, worker) = open(&disk).unwrap();
        for version in [1, 2, 3] {
            put(&store, queue, version).unwrap();
        }
        work(&store, done, &worker).unwrap();
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for one in texts(&store.snapshot().unwrap().browse(done, 1, 99).unwrap()) {
            *times.entry(one).or_default() += 1;
        }
        assert_eq!(times.len(), 6, "step {step}: {times:?}");
        assert!(times.values().all(|times| *times == 1), "step {step}: {times:?}");
        if !stopped {
            assert!(course.is_ok() && step >= 20, "{step} steps: {course:?}");
            break;
        }
    }
}
