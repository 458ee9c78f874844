//! What is put to the end of the queue.

use crate::{NOW, Place, keyed, take, texts};
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{Code, Consumer, ConsumerOptions, Message, Received, Rules, Store, StoreOptions};
use std::sync::Arc;

fn sequences(got: &[Received]) -> Vec<u64> {
    got.iter().map(Received::sequence).collect()
}

fn fill(place: &Place, from: usize, to: usize) {
    let texts: Vec<String> = (from..=to).map(|number| number.to_string()).collect();
    let messages: Vec<_> = texts.iter().map(|text| Message::new(text.as_bytes())).collect();
    place.store.put(place.queue, &messages).unwrap();
}

/// All that is left, one by one, each acknowledged before the next.
fn drain(worker: &Consumer) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(one) = worker.receive(1, NOW).unwrap().first() {
        all.extend(texts(std::slice::from_ref(one)));
        worker.ack(&[one.sequence()]).unwrap();
    }
    all
}

#[test]
fn what_is_put_to_the_end_comes_behind_what_was_there_and_before_what_came_later() {
    for rules in [Rules::default(), Rules { shared: true, ..Rules::default() }, keyed()] {
        let place = Place::new();
        let worker = place.open(rules);
        fill(&place, 1, 5);
        let got = worker.receive(2, NOW).unwrap();
        worker.reject_to_end(&sequences(&got), None, "").unwrap();
        fill(&place, 6, 8);
        assert_eq!(drain(&worker), ["3", "4", "5", "1", "2", "6", "7", "8"], "{rules:?}");
        // One alone comes again at once, and who goes round does so in turns.
        fill(&place, 9, 11);
        let mut seen = Vec::new();
        for _ in 0..9 {
            let got = worker.receive(1, NOW).unwrap();
            seen.extend(texts(&got));
            worker.reject_to_end(&sequences(&got), None, "").unwrap();
        }
        assert_eq!(seen, ["9", "10", "11", "9", "10", "11", "9", "10", "11"], "{rules:?}");
    }
}

#[test]
fn a_place_at_the_end_outlasts_the_process_and_state_runs_and_other_ways_of_coming_back() {
    for rules in [Rules::default(), keyed()] {
        let mut place = Place::new();
        let mut worker = place.open(rules);
        fill(&place, 1, 6);
        let got = worker.receive(3, NOW).unwrap();
        worker.reject_to_end(&[3, 1], None, "").unwrap();
        worker.ack(&[2]).unwrap();
        fill(&place, 7, 8);
        assert_eq!(got.len(), 3);
        for round in 0..3 {
            drop(worker);
            if round == 1 {
                // The rows are in a run by then.
                let filler = place.store.queue("filler").unwrap();
                for _ in 0..60 {
                    place.store.put(filler, &[Message::new(&[0; 20_000])]).unwrap();
                }
            }
            place = if round == 2 {
                Place::on(place.disk.power_cut(Cut::Nothing))
            } else {
                place.killed()
            };
            worker = place.open(rules);
            let got = worker.receive(99, NOW).unwrap();
            assert_eq!(texts(&got), ["4", "5", "6", "3", "1", "7", "8"], "{rules:?} {round}");
            let mut session = place.store.session().unwrap();
            worker.reject(&sequences(&got)).unwrap();
            assert_eq!(session.receive(&worker, 99, NOW).unwrap().len(), 7);
            session.rollback().unwrap();
        }
        assert_eq!(drain(&worker), ["4", "5", "6", "3", "1", "7", "8"], "{rules:?}");
    }
}

#[test]
fn at_the_end_priorities_and_times_hold_and_the_rest_of_a_key_goes_on() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    let worker = place.open(keyed());
    let record = |key, priority, payload| Message { key, priority, ..Message::new(payload) };
    place.put_one(&record(b"K", 5, b"K1"));
    place.put_one(&record(b"K", 0, b"K2"));
    place.put_one(&record(b"L", 0, b"L1"));
    place.put_one(&record(b"M", 9, b"M1"));
    assert_eq!(take(&worker, 1), ["M1"]);
    assert_eq!(take(&worker, 1), ["K1"]);
    worker.reject_to_end(&[1, 4], Some(500), "not now").unwrap();
    assert_eq!(take(&worker, 9), ["K2", "L1"]);
    worker.ack(&[2, 3]).unwrap();
    assert_eq!(take(&worker, 9), [""; 0], "their times are not over");
    place.put("K", "K3");
    place.disk.advance_ms(500);
    assert_eq!(take(&worker, 9), ["M1", "K1"]);
    worker.reject_to_end(&[1], None, "").unwrap();
    worker.reject(&[4]).unwrap();
    assert_eq!(take(&worker, 1), ["M1"]);
    assert_eq!(take(&worker, 9), ["K3"], "K1 stands behind it now");
    worker.ack(&[5]).unwrap();
    assert_eq!(drain(&worker), ["K1"]);
}

#[test]
fn what_is_purged_or_acknowledged_meanwhile_is_not_waited_for() {
    let place = Place::new();
    let (worker, other) = (place.open(keyed()), place.open(keyed()));
    fill(&place, 1, 4);
    assert_eq!(take(&worker, 1), ["1"]);
    worker.reject_to_end(&[1], None, "").unwrap();
    let got = other.receive(3, NOW).unwrap();
    assert_eq!(texts(&got), ["2", "3", "4"]);
    assert_eq!(take(&worker, 9), ["1"], "all before it is out");
    worker.reject_to_end(&[1], None, "").unwrap();
    place.store.queue_purge(place.queue).unwrap();
    fill(&place, 5, 5);
    assert_eq!(take(&worker, 9), ["5"]);
    worker.reject_to_end(&[5], None, "").unwrap();
    worker.seek(5).unwrap();
    fill(&place, 6, 6);
    assert_eq!(drain(&worker), ["5", "6"], "a seek forgets where they stood");
    assert_eq!(worker.reject_to_end(&[6], None, "").unwrap_err().code(), Code::Stale);
}

#[test]
fn a_whole_transaction_is_received_of_what_is_there_also_where_some_stands_at_the_end() {
    let place = Place::new();
    let worker = place.open(Rules::default());
    fill(&place, 1, 3);
    fill(&place, 4, 6);
    assert_eq!(take(&worker, 1), ["1"]);
    worker.reject_to_end(&[1], None, "").unwrap();
    let mut session = place.store.session().unwrap();
    for whole in [&["2", "3"][..], &["4", "5", "6"], &["1"]] {
        assert_eq!(texts(&session.receive_job(&worker, NOW).unwrap()), whole);
        session.commit().unwrap();
    }
}

/// Messages are taken, put to the end and acknowledged; the machine stops at each step in turn.
#[test]
fn a_crash_at_any_step_leaves_each_message_where_it_was_or_at_the_end_and_loses_none() {
    for step in 0.. {
        let disk = ModelDisk::new();
        let open = |disk: &ModelDisk| {
            let options =
                StoreOptions { helper: false, segment_bytes: 1 << 16, ..StoreOptions::default() };
            let store = Store::open_on(Arc::new(disk.clone()), &options)?;
            let queue = store.queue("records")?;
            let options = ConsumerOptions { rules: keyed(), ..ConsumerOptions::default() };
            let worker = store.consumer("worker", queue, &options)?;
            Ok::<_, repliq::Error>((store, queue, worker))
        };
        let (store, queue, worker) = open(&disk).unwrap();
        let texts_of = ["1", "2", "3", "4"].map(|text| Message::new(text.as_bytes()));
        store.put(queue, &texts_of).unwrap();
        match step % 2 {
            0 => disk.stop_at(disk.ops() + 1 + step / 2),
            _ => disk.stop_in(disk.ops() + 1 + step / 2),
        }
        let course = (|| {
            worker.receive(1, NOW)?;
            worker.reject_to_end(&[1], None, "")?;
            worker.receive(1, NOW)?;
            worker.ack(&[2])?;
            worker.receive(1, NOW)?;
            worker.reject_to_end(&[3], None, "")?;
            store.put(queue, &[Message::new(b"5")])?;
            Ok::<_, repliq::Error>(())
        })();
        let stopped = disk.is_stopped();
        drop((worker, store));
        let disk = if step % 3 == 0 { disk.kill() } else { disk.power_cut(Cut::Random(step)) };
        let (_store, _, worker) = open(&disk).unwrap();
        let got = take(&worker, 9).concat();
        let may = ["1234", "2341", "341", "413", "12345", "23415", "3415", "4135"];
        assert!(may.contains(&got.as_str()), "step {step}: {got}");
        // What a synced commit stands behind is there, too.
        assert!(course.is_err() || got == "4135", "step {step}: {got}");
        if !stopped {
            assert!(course.is_ok() && step >= 8, "{step} steps: {course:?}");
            break;
        }
    }
}
