//! Conflation: of the messages of a key that wait, the newest alone.

use crate::{NOW, Place, SOON, keyed, take, texts};
use repliq::disk::model::{Cut, ModelDisk, Op};
use repliq::{
    Code, Consumer, ConsumerOptions, Hold, Message, Received, Rules, Store, StoreOptions,
};
use std::collections::BTreeMap;
use std::sync::Arc;

fn newest() -> Rules {
    Rules { conflate: true, ..keyed() }
}

/// What is given out now, and is acknowledged at once.
fn work(worker: &Consumer) -> Vec<String> {
    let got = worker.receive(1_000, NOW).unwrap();
    if !got.is_empty() {
        worker.ack(&got.iter().map(|one| one.sequence()).collect::<Vec<_>>()).unwrap();
    }
    texts(&got)
}

fn floor(place: &Place) -> (u64, u64) {
    let queues = place.own.queues().unwrap();
    let queue = queues.iter().find(|queue| queue.name == "records").unwrap();
    let worker = queue.consumers.iter().find(|consumer| consumer.name == "worker").unwrap();
    (worker.acknowledged, worker.waiting)
}

#[test]
fn reg_05_a_record_that_changed_a_hundred_times_comes_once_with_its_newest_version_or_a_hundred_times_in_order()
 {
    let place = Place::new();
    let every = place.store.consumer("every", place.queue, &ConsumerOptions::default()).unwrap();
    let worker = place.open(newest());
    for version in 1..=100 {
        place.put("K", &format!("K{version}"));
        if version % 50 == 1 {
            place.put("L", &format!("L{version}"));
        }
    }
    assert_eq!(work(&worker), ["K100", "L51"], "in the turn of the oldest");
    assert_eq!(floor(&place), (102, 0), "what was left out is acknowledged, too");
    let all = texts(&every.receive(1_000, NOW).unwrap());
    let of_k: Vec<String> = all.into_iter().filter(|text| text.starts_with('K')).collect();
    assert_eq!(of_k, (1..=100).map(|version| format!("K{version}")).collect::<Vec<_>>());
    // It stays so over the end of the process.
    drop((worker, every));
    let place = place.killed();
    let worker = place.open(newest());
    assert_eq!(work(&worker), [""; 0]);
    place.put("K", "K101");
    assert_eq!(work(&worker), ["K101"]);
}

#[test]
fn reg_05_what_came_while_one_of_its_key_was_worked_on_comes_once_after_it() {
    let place = Place::new();
    let (one, two) = (place.open(newest()), place.open(newest()));
    place.put("K", "K1");
    let got = one.receive(9, NOW).unwrap();
    for version in 2..=9 {
        place.put("K", &format!("K{version}"));
        assert_eq!(take(&two, 9), [""; 0], "K1 is out");
    }
    one.ack(&[got[0].sequence()]).unwrap();
    assert_eq!(work(&two), ["K9"]);
    // Messages without a key replace nothing.
    place.put("", "none");
    place.put("", "other");
    assert_eq!(work(&one), ["none", "other"]);
    assert_eq!(floor(&place), (11, 0));
}

#[test]
fn reg_05_what_comes_back_makes_way_for_what_is_newer_and_else_comes_again() {
    let place = Place::new();
    let dead = place.store.queue("dead").unwrap();
    let rules = Rules { max_deliveries: 2, dead_letters: Some(dead), ..newest() };
    let worker = place.open(rules);
    place.put("K", "K1");
    place.put("L", "L1");
    assert_eq!(take(&worker, 9), ["K1", "L1"]);
    place.put("K", "K2");
    place.put("K", "K3");
    worker.reject(&[1, 2]).unwrap();
    let got = worker.receive(9, NOW).unwrap();
    assert_eq!(texts(&got), ["K3", "L1"]);
    assert_eq!((got[0].deliveries(), got[1].deliveries()), (1, 2));
    assert_eq!(worker.ack(&[1]).unwrap_err().code(), Code::Stale, "K1 is nobody's any more");
    // From the last time on it is a dead letter only where nothing newer waits.
    let mut session = place.store.session().unwrap();
    worker.reject(&[got[0].sequence()]).unwrap();
    assert_eq!(texts(&session.receive(&worker, 1, NOW).unwrap()), ["K3"]);
    place.put("K", "K4");
    session.rollback().unwrap();
    assert_eq!(work(&worker), ["K4"]);
    worker.reject(&[got[1].sequence()]).unwrap();
    assert_eq!(work(&worker), [""; 0]);
    let letters = place.store.snapshot().unwrap().browse(dead, 1, 9).unwrap();
    assert_eq!(texts(&letters), ["L1"]);
}

#[test]
fn reg_05_a_message_that_may_not_come_yet_or_has_expired_replaces_nothing() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    let worker = place.open(newest());
    let record = |deliver_at_ms, expires_ms, payload| Message {
        key: b"K",
        deliver_at_ms,
        expires_ms,
        ..Message::new(payload)
    };
    place.put_one(&record(0, 0, b"now"));
    place.put_one(&record(1_005_000, 0, b"later"));
    place.put_one(&record(0, 1_000_000, b"expired"));
    assert_eq!(work(&worker), ["now"]);
    assert_eq!(work(&worker), [""; 0]);
    place.disk.advance_ms(5_000);
    assert_eq!(texts(&worker.receive(9, SOON).unwrap()), ["later"]);
    // Once its time has come it replaces others, and is replaced.
    place.put_one(&record(1_010_000, 0, b"much later"));
    place.put_one(&record(0, 0, b"newer"));
    worker.reject(&[2]).unwrap();
    place.disk.advance_ms(5_000);
    assert_eq!(work(&worker), ["newer"]);
    assert_eq!(floor(&place).1, 0);
}

#[test]
fn reg_05_who_is_late_with_what_was_replaced_meanwhile_is_told_stale() {
    let place = Place::new();
    let rules = Rules { lease_ms: 20, ..newest() };
    let (slow, quick) = (place.open(rules), place.open(rules));
    place.put("K", "K1");
    let mut session = place.store.session().unwrap();
    session.receive(&slow, 1, NOW).unwrap();
    place.put("K", "K2");
    assert_eq!(texts(&quick.receive(9, SOON).unwrap()), ["K2"]);
    assert_eq!(session.commit().unwrap_err().code(), Code::Stale);
    quick.ack(&[2]).unwrap();
    assert_eq!(floor(&place), (2, 0));
}

#[test]
fn reg_05_behind_a_dead_letter_the_newest_waits_and_replaces_it_when_it_is_put_back() {
    let place = Place::new();
    let dead = place.store.queue("dead").unwrap();
    let after_dead_letter = Hold::Block;
    let rules =
        Rules { max_deliveries: 1, dead_letters: Some(dead), after_dead_letter, ..newest() };
    let worker = place.open(rules);
    place.put("K", "K1");
    assert_eq!(take(&worker, 9), ["K1"]);
    worker.reject(&[1]).unwrap();
    assert_eq!(take(&worker, 9), [""; 0]);
    place.put("K", "K2");
    place.put("K", "K3");
    assert_eq!(take(&worker, 9), [""; 0], "it is held");
    let own = place.own.queue("dead").unwrap();
    assert_eq!(place.own.redrive(own, &repliq::RedriveOptions::default()).unwrap().done, 1);
    assert_eq!(work(&worker), ["K3"]);
    assert_eq!(work(&worker), [""; 0]);
    assert_eq!(floor(&place).1, 0);
}

#[test]
fn reg_05_conflation_goes_with_keys_one_at_a_time() {
    let place = Place::new();
    for rules in [
        Rules { conflate: true, ..Rules::default() },
        Rules { conflate: true, shared: true, ..Rules::default() },
        Rules { per_key: 2, ..newest() },
    ] {
        let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
        let refused = place.store.consumer("other", place.queue, &options).map(|_| ());
        assert_eq!(refused.unwrap_err().code(), Code::Invalid);
    }
}

#[test]
fn reg_05_ten_thousand_changes_of_a_hundred_keys_come_as_a_hundred_messages() {
    const KEYS: usize = 100;
    let place = Place::new();
    let worker = place.open(newest());
    let keys: Vec<String> = (0..KEYS).map(|key| key.to_string()).collect();
    let messages: Vec<Message<'_>> = (0..100 * KEYS)
        .map(|at| Message { key: keys[at % KEYS].as_bytes(), ..Message::new(b"a change") })
        .collect();
    place.store.put(place.queue, &messages).unwrap();
    let got = worker.receive(10 * KEYS, NOW).unwrap();
    assert_eq!(got.len(), KEYS);
    assert!(got.iter().all(|one| one.sequence() > 99 * KEYS as u64), "each is the newest");
    worker.ack(&got.iter().map(|one| one.sequence()).collect::<Vec<_>>()).unwrap();
    assert_eq!(floor(&place), (100 * KEYS as u64, 0));
}

#[test]
fn reg_05_the_first_of_a_large_backlog_comes_without_reading_all_of_it_and_the_last_of_each_key_comes()
 {
    const KEYS: usize = 100;
    for (count, length) in [(160_000, 1), (120_000, 400)] {
        let place = Place::new();
        let keys: Vec<String> = (0..KEYS).map(|key| key.to_string()).collect();
        let payload = vec![b'.'; length];
        let key = |at: usize| keys[at % KEYS].as_bytes();
        for first in (0..count).step_by(2_000) {
            let messages: Vec<Message<'_>> = (first..first + 2_000)
                .map(|at| Message { key: key(at), ..Message::new(&payload) })
                .collect();
            place.store.put(place.queue, &messages).unwrap();
        }
        let place = place.killed();
        let worker = place.open(newest());
        let read = || place.disk.bytes(Op::ReadAt);
        let all = count * (48 + 20 + length);
        let before = read();
        let first = worker.receive(1, NOW).unwrap();
        let looked = read() - before;
        println!("{looked} bytes were read of at least {all} for the first of {count}");
        assert!(looked < all as u64 * 2 / 3, "{looked} bytes of {all}");
        // As far as it looked the newest came.
        assert!(first[0].sequence() > 20_000, "{}", first[0].sequence());
        let mut last = vec![0; KEYS];
        let mut note = |got: &[Received]| {
            for one in got {
                let last = &mut last[(one.sequence() as usize - 1) % KEYS];
                assert!(one.sequence() > *last, "{} after {last}", one.sequence());
                *last = one.sequence();
            }
            worker.ack(&got.iter().map(|one| one.sequence()).collect::<Vec<_>>()).unwrap();
            got.len()
        };
        let mut given = note(&first);
        loop {
            let got = worker.receive(KEYS, NOW).unwrap();
            if got.is_empty() {
                break;
            }
            given += note(&got);
        }
        assert!(given < 10 * KEYS, "{given} came");
        assert!(last.iter().all(|last| *last > (count - KEYS) as u64), "the newest of each came");
        assert_eq!(floor(&place), (count as u64, 0));
    }
}

/// A key of one letter and its version.
fn versioned(text: &str) -> (String, u64) {
    (text[..1].to_string(), text[1..].parse().unwrap())
}

/// Changes are put and worked on; the machine stops at each step in turn.
#[test]
fn reg_05_a_crash_at_any_step_loses_no_newest_version_and_brings_back_none_before_it() {
    for step in 0.. {
        let disk = ModelDisk::new();
        let open = |disk: &ModelDisk| {
            let options =
                StoreOptions { helper: false, segment_bytes: 1 << 16, ..StoreOptions::default() };
            let store = Store::open_on(Arc::new(disk.clone()), &options)?;
            let queue = store.queue("records")?;
            let options = ConsumerOptions { rules: newest(), ..ConsumerOptions::default() };
            let worker = store.consumer("worker", queue, &options)?;
            Ok::<_, repliq::Error>((store, queue, worker))
        };
        let (store, queue, worker) = open(&disk).unwrap();
        match step % 2 {
            0 => disk.stop_at(disk.ops() + 1 + step / 2),
            _ => disk.stop_in(disk.ops() + 1 + step / 2),
        }
        // By key: the newest that was put, that was worked on as a commit said, or as nobody could say any more.
        let (mut put, mut done, mut perhaps) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let course = (|| {
            for round in 1..=3u64 {
                for key in ["K", "L", "K"] {
                    let version = put.get(key).copied().unwrap_or(0) + 1;
                    let payload = format!("{key}{version}");
                    let message =
                        Message { key: key.as_bytes(), ..Message::new(payload.as_bytes()) };
                    store.put(queue, &[message])?;
                    put.insert(key, version);
                }
                let got = worker.receive(if round == 2 { 1 } else { 9 }, NOW)?;
                let sequences: Vec<u64> = got.iter().map(|one| one.sequence()).collect();
                if round == 1 {
                    worker.reject(&sequences)?;
                    continue;
                }
                perhaps.extend(texts(&got).iter().map(|one| versioned(one)));
                worker.ack(&sequences)?;
                done.append(&mut perhaps);
            }
            Ok::<_, repliq::Error>(())
        })();
        let stopped = disk.is_stopped();
        drop((worker, store));
        let disk = if step % 3 == 0 { disk.kill() } else { disk.power_cut(Cut::Random(step)) };
        let (_store, _, worker) = open(&disk).unwrap();
        let mut again = BTreeMap::new();
        for one in texts(&worker.receive(9, NOW).unwrap()) {
            let (key, version) = versioned(&one);
            assert_eq!(again.insert(key, version), None, "step {step}: {one}");
        }
        for (key, version) in &put {
            let of = |map: &BTreeMap<String, u64>| map.get(*key).copied();
            let (done, again) = (of(&done), of(&again));
            let newest = done.max(again).max(of(&perhaps)).unwrap_or(0);
            assert!(newest >= *version, "step {step}: {key}{version} is lost, {newest} is there");
            assert!(again.is_none_or(|again| Some(again) > done), "step {step}: {key} again");
        }
        if !stopped {
            assert!(course.is_ok() && step >= 20, "{step} steps: {course:?}");
            break;
        }
    }
}
