//! Who works on what: leases, retries, what is counted.

use crate::{NOW, Place, SOON, keyed, take, texts};
use repliq::disk::model::Cut;
use repliq::{Code, ConsumerOptions, Level, Message, Rules, Store};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A lease that is over by the next look.
const SHORT: Rules = Rules {
    shared: true,
    parallel: 0,
    keyed: true,
    per_key: 0,
    conflate: false,
    key_versions: false,
    lease_ms: 20,
    retry_delay_ms: 0,
    retry_multiplier: 0,
    retry_delay_ms_max: 0,
    max_deliveries: 0,
    dead_letters: None,
    after_dead_letter: repliq::Hold::Skip,
};

#[test]
fn reg_04_sixteen_workers_keep_the_order_of_each_key() {
    let place = Place::new();
    for at in 0..600u32 {
        place.put(&format!("k{}", at % 37), &at.to_string());
    }
    let seen: Arc<Mutex<BTreeMap<Vec<u8>, Vec<u64>>>> = Arc::default();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let (worker, seen) = (place.open(keyed()), seen.clone());
            let mut session = place.store.session().unwrap();
            scope.spawn(move || {
                loop {
                    let batch = session.receive(&worker, 3, Duration::from_millis(200)).unwrap();
                    if batch.is_empty() {
                        break;
                    }
                    for one in &batch {
                        let mut seen = seen.lock().unwrap();
                        seen.entry(one.key().to_vec()).or_default().push(one.sequence());
                    }
                    session.commit().unwrap();
                }
            });
        }
    });
    let seen = seen.lock().unwrap();
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 600);
    for (key, of) in seen.iter() {
        assert!(of.is_sorted(), "{key:?}: {of:?}");
    }
}

#[test]
fn reg_09_who_comes_late_is_told_stale_and_its_effects_are_rolled_back() {
    let place = Place::new();
    let out = place.store.queue("out").unwrap();
    place.put("K", "K1");
    let (slow, quick) = (place.open(SHORT), place.open(SHORT));
    let mut late = place.store.session().unwrap();
    late.receive(&slow, 1, NOW).unwrap();
    late.put(out, &Message::new(b"late")).unwrap();
    let again = quick.receive(1, SOON).unwrap();
    assert_eq!((texts(&again), again[0].deliveries()), (vec!["K1".into()], 2));
    assert_eq!(late.commit().unwrap_err().code(), Code::Stale);
    assert!(late.is_empty(), "it was rolled back");
    assert_eq!(slow.ack(&[1]).unwrap_err().code(), Code::Stale);
    assert_eq!(slow.reject(&[1]).unwrap_err().code(), Code::Stale);
    let mut in_time = place.store.session().unwrap();
    in_time.put(out, &Message::new(b"in time")).unwrap();
    quick.ack(&[1]).unwrap();
    in_time.commit().unwrap();
    let looked = place.store.snapshot().unwrap().browse(out, 1, 9).unwrap();
    assert_eq!(texts(&looked), ["in time"]);
}

#[test]
fn reg_09_time_alone_takes_nothing_away_and_a_renewal_keeps_it() {
    let place = Place::new();
    place.put("K", "K1");
    place.put("K", "K2");
    let one = place.open(SHORT);
    assert_eq!(take(&one, 1), ["K1"]);
    std::thread::sleep(Duration::from_millis(40));
    // Nobody came for it.
    one.ack(&[1]).unwrap();
    let rules = Rules { lease_ms: 60_000, ..SHORT };
    drop(one);
    let (one, two) = (place.open(rules), place.open(rules));
    assert_eq!(take(&one, 1), ["K2"]);
    one.renew(&[2]).unwrap();
    assert_eq!(take(&two, 1), [""; 0]);
    assert_eq!(two.renew(&[2]).unwrap_err().code(), Code::Stale);
    one.ack(&[2]).unwrap();
    assert_eq!(one.renew(&[2]).unwrap_err().code(), Code::Stale);
}

#[test]
fn reg_10_a_worker_that_starts_anew_has_none_of_its_old_leases() {
    let place = Place::new();
    place.put("K", "K1");
    let rules = Rules { lease_ms: 60_000, ..SHORT };
    let old = place.open(rules);
    assert_eq!(take(&old, 1), ["K1"]);
    drop(old);
    let (new, other) = (place.open(rules), place.open(rules));
    assert_eq!(new.ack(&[1]).unwrap_err().code(), Code::Stale);
    assert_eq!(take(&other, 1), ["K1"]);
    assert_eq!(new.ack(&[1]).unwrap_err().code(), Code::Stale);
    other.ack(&[1]).unwrap();
}

#[test]
fn reg_11_a_crash_before_the_commit_delivers_again_and_counts_and_after_it_never() {
    let place = Place::new();
    place.put("K", "K1");
    place.put("L", "L1");
    let mut place = place;
    for deliveries in 1..5 {
        let worker = place.open(keyed());
        let got = worker.receive(9, NOW).unwrap();
        assert_eq!(got.len(), 2);
        assert!(got.iter().all(|one| one.deliveries() == deliveries), "{deliveries}");
        std::mem::forget(worker);
        place = place.killed();
    }
    place.open(keyed()).receive(9, NOW).unwrap();
    let worker = place.open(keyed());
    let got = worker.receive(9, NOW).unwrap();
    worker.ack(&[got[0].sequence(), got[1].sequence()]).unwrap();
    std::mem::forget(worker);
    let place = place.killed();
    assert_eq!(take(&place.open(keyed()), 9), [""; 0]);
}

#[test]
fn reg_11_from_the_second_delivery_on_a_power_cut_takes_no_count_away() {
    for rules in [keyed(), Rules::default()] {
        let place = Place::new();
        place.put("K", "K1");
        let worker = place.open(rules);
        worker.receive(1, NOW).unwrap();
        worker.reject(&[1]).unwrap();
        assert_eq!(worker.receive(1, NOW).unwrap()[0].deliveries(), 2);
        std::mem::forget(worker);
        let place = Place::on(place.disk.power_cut(Cut::Nothing));
        let worker = place.open(rules);
        assert_eq!(worker.receive(1, NOW).unwrap()[0].deliveries(), 3, "{rules:?}");
    }
}

#[test]
fn counts_and_delays_outlast_state_runs() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    place.put("K", "K1");
    place.put("L", "L1");
    let worker = place.open(keyed());
    worker.receive(9, NOW).unwrap();
    worker.reject(&[2]).unwrap();
    worker.reject_with(&[1], Some(60_000), "").unwrap();
    assert_eq!(worker.receive(9, NOW).unwrap()[0].deliveries(), 2);
    let filler = place.store.queue("filler").unwrap();
    let body = vec![0; 20_000];
    for _ in 0..100 {
        place.store.put(filler, &[Message::new(&body)]).unwrap();
    }
    std::mem::forget(worker);
    let place = place.killed();
    let worker = place.open(keyed());
    let got = worker.receive(9, NOW).unwrap();
    assert_eq!((texts(&got), got[0].deliveries()), (vec!["L1".into()], 3));
    place.disk.advance_ms(60_000);
    let got = worker.receive(9, NOW).unwrap();
    assert_eq!((texts(&got), got[0].deliveries()), (vec!["K1".into()], 2));
}

#[test]
fn reg_12_a_retry_waits_longer_each_time_and_only_its_key_waits() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    for (key, payload) in [("K", "K1"), ("K", "K2"), ("L", "L1"), ("M", "M1")] {
        place.put(key, payload);
    }
    let rules =
        Rules { retry_delay_ms: 1_000, retry_multiplier: 3, retry_delay_ms_max: 5_000, ..keyed() };
    let worker = place.open(rules);
    assert_eq!(take(&worker, 1), ["K1"]);
    worker.reject(&[1]).unwrap();
    assert_eq!(take(&worker, 9), ["L1", "M1"]);
    for (deliveries, delay) in [(2, 1_000), (3, 3_000), (4, 5_000), (5, 5_000)] {
        place.disk.advance_ms(delay - 1);
        assert_eq!(take(&worker, 9), [""; 0], "delivery {deliveries}");
        place.disk.advance_ms(1);
        let mut session = place.store.session().unwrap();
        let got = session.receive(&worker, 9, NOW).unwrap();
        assert_eq!((texts(&got), got[0].deliveries()), (vec!["K1".into()], deliveries));
        // A roll back is a failure like any other.
        session.rollback().unwrap();
    }
}

#[test]
fn a_consumer_without_workers_delays_what_is_rejected_and_goes_on() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    (1..=3).for_each(|at| place.put("", &at.to_string()));
    let clerk = place.open(Rules::default());
    assert_eq!(take(&clerk, 9), ["1", "2", "3"]);
    clerk.reject_with(&[1], Some(500), "").unwrap();
    clerk.reject(&[2]).unwrap();
    clerk.reject(&[2]).unwrap();
    assert_eq!(take(&clerk, 9), ["2"]);
    place.disk.advance_ms(500);
    let got = clerk.receive(9, NOW).unwrap();
    assert_eq!((texts(&got), got[0].deliveries()), (vec!["1".into()], 2));
    clerk.reject_with(&[1], Some(500), "").unwrap();
    drop(clerk);
    let place = place.killed();
    assert_eq!(take(&place.open(Rules::default()), 9), ["2", "3"]);
}

#[test]
fn strictly_one_at_a_time_over_all_workers() {
    let place = Place::new();
    (0..40).for_each(|at| place.put("", &at.to_string()));
    let rules = Rules { shared: true, parallel: 1, ..Rules::default() };
    let busy = Arc::new(Mutex::new(()));
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (worker, busy, seen) = (place.open(rules), busy.clone(), seen.clone());
            scope.spawn(move || {
                loop {
                    let got = worker.receive(9, Duration::from_millis(300)).unwrap();
                    let Some(one) = got.first() else { break };
                    assert_eq!(got.len(), 1);
                    let alone = busy.try_lock().expect("another worker is at it");
                    seen.lock().unwrap().push(one.sequence());
                    std::thread::yield_now();
                    drop(alone);
                    worker.ack(&[one.sequence()]).unwrap();
                }
            });
        }
    });
    assert_eq!(*seen.lock().unwrap(), (1..=40).collect::<Vec<u64>>());
}

#[test]
fn workers_without_keys_share_a_queue_and_none_gets_what_another_has() {
    let place = Place::new();
    (0..10).for_each(|at| place.put("", &at.to_string()));
    let rules = Rules { shared: true, ..Rules::default() };
    let (one, two) = (place.open(rules), place.open(rules));
    assert_eq!(take(&one, 3), ["0", "1", "2"]);
    assert_eq!(take(&two, 3), ["3", "4", "5"]);
    assert_eq!(two.ack(&[1]).unwrap_err().code(), Code::Stale);
    one.close();
    assert_eq!(take(&two, 4), ["0", "1", "2", "6"]);
    two.ack(&[1, 2, 3, 4, 5, 6, 7]).unwrap();
    two.seek(2).unwrap();
    assert_eq!(take(&two, 2), ["1", "2"]);
}

#[test]
fn a_failed_commit_leaves_a_session_its_leases() {
    let place = Place::new();
    place.put("K", "K1");
    let other: &Store = &place.store;
    let paused = other.queue("paused").unwrap();
    let worker = place.open(SHORT);
    let mut session = other.session().unwrap();
    session.receive(&worker, 1, NOW).unwrap();
    session.put(paused, &Message::new(b"x")).unwrap();
    other.queue_pause(paused).unwrap();
    assert_eq!(session.commit().unwrap_err().code(), Code::Paused);
    other.queue_resume(paused).unwrap();
    session.commit().unwrap();
    assert_eq!(take(&worker, 1), [""; 0]);
}

#[test]
fn a_note_of_a_delivery_that_finds_no_room_gives_the_message_back() {
    let place = Place::new();
    place.put("K", "K1");
    place.put("K", "K2");
    let worker = place.open(keyed());
    assert_eq!(take(&worker, 1), ["K1"]);
    place.disk.fail_at(place.disk.ops() + 1, 5, repliq::disk::model::Mode::Once);
    worker.reject(&[1]).unwrap();
    let _ = worker.receive(1, NOW);
    place.disk.clear_faults();
    std::mem::forget(worker);
    let place = place.killed();
    assert_eq!(take(&place.open(keyed()), 9), ["K1"]);
}

/// How often records were synced since the open.
fn syncs(place: &Place) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&place.own.status().unwrap()).unwrap();
    status["syncs"].as_u64().unwrap()
}

#[test]
fn who_waits_has_nothing_synced_that_others_do_and_everything_that_he_waits_for() {
    const MOMENT: Duration = Duration::from_millis(100);
    let place = Place::new();
    let quiet = place.store.queue("quiet").unwrap();
    let (none, level) = (ConsumerOptions::default(), Level::Process);
    let waits = place.store.consumer("waits", quiet, &none).unwrap();
    let lazy = ConsumerOptions { rules: keyed(), ack_level: Some(level), ..none };
    let works = place.store.consumer("worker", place.queue, &lazy).unwrap();
    let colleague = place.open(keyed());
    for at in 1..=10 {
        place.put(&format!("k{at}"), &at.to_string());
    }
    place.put("k10", "11");
    // The first commit of level `process` has the store say so, durably.
    assert_eq!(take(&works, 1), ["1"]);
    works.ack(&[1]).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| texts(&waits.receive(1, SOON).unwrap()));
        std::thread::sleep(MOMENT);
        let before = syncs(&place);
        for at in 2..=10 {
            assert_eq!(take(&works, 1), [at.to_string()]);
        }
        assert_eq!(texts(&colleague.receive(1, MOMENT).unwrap()), [""; 0]);
        works.ack(&[2, 3]).unwrap();
        std::thread::sleep(MOMENT);
        assert_eq!(syncs(&place), before, "notes of deliveries and lazy acknowledgements");
        // Behind the key of one that is done, though nobody said that it is to be durable.
        let behind = scope.spawn(|| texts(&colleague.receive(1, SOON).unwrap()));
        std::thread::sleep(MOMENT);
        works.ack(&[10]).unwrap();
        assert_eq!(behind.join().unwrap(), ["11"]);
        place.own.put_at(quiet, &[Message::new(b"unsynced")], level).unwrap();
        assert_eq!(waiting.join().unwrap(), ["unsynced"]);
        assert!(syncs(&place) > before);
    });
}
