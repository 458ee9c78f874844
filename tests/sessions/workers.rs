//! Consumers that are shared, have leases and retries, and whole transactions: the same wherever the store is.

use crate::place::{
    NOW, Place, SOON, connect, deliveries, everywhere, payloads, put, until, waiting,
};
use crate::remote::Cable;
use repliq::{
    Code, Consumer, ConsumerOptions, Handled, Listener, ListenerOptions, Message, Policy, Queue,
    Received, Rules, Session, Store, Unit,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn open(store: &Store, queue: Queue, rules: Rules) -> Consumer {
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    store.consumer("worker", queue, &options).unwrap()
}

fn leased(lease_ms: u64) -> Rules {
    Rules { shared: true, lease_ms, ..Rules::default() }
}

fn sequences(messages: &[Received]) -> Vec<u64> {
    messages.iter().map(Received::sequence).collect()
}

#[test]
fn txs_26_what_was_fetched_ahead_and_not_shown_keeps_its_count_and_its_place() {
    everywhere(|place| {
        for rules in [Rules::default(), leased(0)] {
            let queue = place.store.queue(&format!("q{}", rules.shared)).unwrap();
            let texts: Vec<String> = (0..50).map(|n| format!("{n:02}")).collect();
            put(&place.store, queue, &texts.iter().map(String::as_str).collect::<Vec<_>>());
            let reader = open(&place.store, queue, rules);
            let mut session = place.store.session().unwrap();
            // All fifty are read; ten are shown.
            assert_eq!(payloads(&session.receive(&reader, 10, SOON).unwrap()), texts[..10]);
            session.rollback().unwrap();
            let mut again = Vec::new();
            while again.len() < 50 {
                let more = session.receive(&reader, 50, SOON).unwrap();
                assert!(!more.is_empty(), "{}: {} came", place.name, again.len());
                again.extend(more);
            }
            assert_eq!(payloads(&again), texts, "{}", place.name);
            assert_eq!(deliveries(&again), [[2; 10].as_slice(), &[1; 40]].concat());
            session.commit().unwrap();
        }
    });
}

#[test]
fn txs_27_after_the_last_delivery_a_message_is_a_dead_letter_with_its_cause() {
    everywhere(|place| {
        let (queue, dead) = (place.store.queue("q").unwrap(), place.store.queue("dead").unwrap());
        put(&place.store, queue, &["bad", "good"]);
        let rules = Rules { max_deliveries: 3, dead_letters: Some(dead), ..leased(0) };
        let reader = open(&place.store, queue, rules);
        let other = place.store.consumer("other", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        for delivery in 1..=2 {
            let got = session.receive(&reader, 1, SOON).unwrap();
            assert_eq!((payloads(&got), deliveries(&got)), (vec!["bad".into()], vec![delivery]));
            session.rollback().unwrap();
        }
        let got = reader.receive(1, SOON).unwrap();
        assert_eq!((payloads(&got), deliveries(&got)), (vec!["bad".into()], vec![3]));
        reader.reject_with(&sequences(&got), None, "it ſmells").unwrap();
        assert_eq!(payloads(&reader.receive(9, SOON).unwrap()), ["good"], "{}", place.name);
        let letters = place.store.snapshot().unwrap().browse(dead, 1, 9).unwrap();
        assert_eq!(payloads(&letters), ["bad"]);
        let reason = letters[0].headers().find(|(name, _)| *name == "repliq-reason").unwrap();
        assert_eq!(reason.1, "it ſmells".as_bytes(), "{}", place.name);
        // Others who read the queue are not touched.
        assert_eq!(payloads(&other.receive(9, SOON).unwrap()), ["bad", "good"]);
    });
}

#[test]
fn txs_27_a_retry_waits_longer_each_time_up_to_a_bound_and_delays_nobody_else() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["1", "2"]);
        let rules = Rules {
            retry_delay_ms: 150,
            retry_multiplier: 2,
            retry_delay_ms_max: 300,
            ..leased(0)
        };
        let reader = open(&place.store, queue, rules);
        let other = place.store.consumer("other", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        assert_eq!(payloads(&session.receive(&reader, 1, SOON).unwrap()), ["1"]);
        for delay in [150, 300, 300] {
            session.rollback().unwrap();
            let begun = std::time::Instant::now();
            let mut got = Vec::new();
            while got.is_empty() {
                let one = session.receive(&reader, 1, SOON).unwrap();
                match payloads(&one)[0].as_str() {
                    "1" => got = one,
                    // What is behind it does not wait for it, and is done with.
                    _ => drop(session.commit().unwrap()),
                }
            }
            assert!(begun.elapsed() >= Duration::from_millis(delay - 20), "{}", place.name);
        }
        session.commit().unwrap();
        assert_eq!(payloads(&other.receive(9, SOON).unwrap()), ["1", "2"]);
    });
}

#[test]
fn txs_28_a_commit_under_a_lease_that_somebody_else_has_is_stale_and_the_new_owner_unharmed() {
    everywhere(|place| {
        let (queue, out) = (place.store.queue("q").unwrap(), place.store.queue("out").unwrap());
        put(&place.store, queue, &["1"]);
        let another = place.another();
        let (slow, quick) =
            (open(&place.store, queue, leased(30)), open(&another, queue, leased(30)));
        let mut late = place.store.session().unwrap();
        assert_eq!(late.receive(&slow, 1, SOON).unwrap().len(), 1);
        late.put(out, &Message::new(b"late")).unwrap();
        let mut session = another.session().unwrap();
        let again = session.receive(&quick, 1, SOON).unwrap();
        assert_eq!((payloads(&again), deliveries(&again)), (vec!["1".into()], vec![2]));
        session.put(out, &Message::new(b"in time")).unwrap();
        assert_eq!(late.commit().unwrap_err().code(), Code::Stale, "{}", place.name);
        assert_eq!(slow.ack(&[1]).unwrap_err().code(), Code::Stale);
        assert_eq!(slow.renew(&[1]).unwrap_err().code(), Code::Stale);
        assert_eq!(slow.reject_with(&[1], Some(5), "no").unwrap_err().code(), Code::Stale);
        session.commit().unwrap();
        assert_eq!(waiting(&place.store, out), ["in time"], "{}", place.name);
        // The session of the late one goes on with its next transaction.
        late.put(out, &Message::new(b"next")).unwrap();
        late.commit().unwrap();
        assert_eq!(waiting(&place.store, out), ["in time", "next"]);
        assert!(slow.receive(1, NOW).unwrap().is_empty());
    });
}

#[test]
fn a_lease_is_renewed_and_one_without_a_time_is_not() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["1"]);
        let another = place.another();
        let (one, two) =
            (open(&place.store, queue, leased(900)), open(&another, queue, leased(900)));
        let got = one.receive(1, SOON).unwrap();
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(250));
            one.renew(&sequences(&got)).unwrap();
            assert!(two.receive(1, NOW).unwrap().is_empty(), "{}", place.name);
        }
        one.ack(&sequences(&got)).unwrap();
        drop((one, two));
        let reader = open(&place.store, queue, Rules::default());
        assert_eq!(reader.renew(&[1]).unwrap_err().code(), Code::Invalid, "{}", place.name);
    });
}

#[test]
fn a_transaction_is_received_as_a_whole_also_where_it_is_large() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let large = vec![3; 700_000];
        place.store.put(queue, &vec![Message::new(&large); 40]).unwrap();
        put(&place.store, queue, &["a", "b"]);
        put(&place.store, queue, &["c"]);
        let reader = open(&place.store, queue, Rules::default());
        let mut session = place.store.session().unwrap();
        let first = session.receive_job(&reader, SOON).unwrap();
        assert_eq!(first.len(), 40, "{}", place.name);
        assert!(first.iter().all(|one| one.payload() == large));
        session.rollback().unwrap();
        let again = session.receive_job(&reader, SOON).unwrap();
        assert_eq!(deliveries(&again), [2; 40], "{}", place.name);
        session.commit().unwrap();
        assert_eq!(payloads(&session.receive_job(&reader, SOON).unwrap()), ["a", "b"]);
        assert_eq!(payloads(&session.receive_job(&reader, SOON).unwrap()), ["c"]);
        session.commit().unwrap();
        assert!(session.receive_job(&reader, NOW).unwrap().is_empty());
        let keyed = place.store.consumer(
            "keyed",
            queue,
            &ConsumerOptions {
                rules: Rules { keyed: true, ..Rules::default() },
                ..Default::default()
            },
        );
        let error = session.receive_job(&keyed.unwrap(), NOW).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported, "{}", place.name);
    });
}

#[test]
fn a_listener_works_on_whole_transactions() {
    everywhere(|place| {
        let (from, to) = (place.store.queue("from").unwrap(), place.store.queue("to").unwrap());
        put(&place.store, from, &["1", "2"]);
        put(&place.store, from, &["3"]);
        let reader = open(&place.store, from, Rules::default());
        let options = ListenerOptions { unit: Unit::Job, ..ListenerOptions::default() };
        let listener = Listener::open(&place.store, reader, &options, move |session, messages| {
            session.put(to, &Message::new(payloads(messages).concat().as_bytes())).unwrap();
            Handled::Done
        })
        .unwrap();
        until("both are worked on", || listener.status().done == 2);
        listener.close().unwrap();
        assert_eq!(waiting(&place.store, to), ["12", "3"], "{}", place.name);
    });
}

#[test]
fn a_listener_of_several_threads_works_side_by_side_and_keeps_the_order_of_keys() {
    everywhere(|place| {
        let (from, to) = (place.store.queue("from").unwrap(), place.store.queue("to").unwrap());
        let rules = Rules { keyed: true, ..Rules::default() };
        let reader = open(&place.store, from, rules);
        let options = ListenerOptions {
            threads: 4,
            retry_ms: 1,
            retry_ms_max: 5,
            ..ListenerOptions::default()
        };
        let (inside, met) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let (most, failures) = (met.clone(), Mutex::new(BTreeMap::<u64, u32>::new()));
        let handler = move |session: &mut Session, unit: &[Received]| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            let sequence = unit[0].sequence();
            let mut failures = failures.lock().unwrap();
            let tries = failures.entry(sequence).or_default();
            *tries += 1;
            let fails = sequence.is_multiple_of(7) && *tries < 3;
            drop(failures);
            let key = unit[0].key();
            session.put(to, &Message { key, ..Message::new(unit[0].payload()) }).unwrap();
            inside.fetch_sub(1, Ordering::SeqCst);
            if fails { Handled::Retry("not yet".into()) } else { Handled::Done }
        };
        let listener = Listener::open_shared(&place.store, reader, &options, handler).unwrap();
        for turn in 0..25u8 {
            let keys = [b"a", b"b", b"c", b"d"];
            let batch =
                keys.map(|key| Message { key, ..Message::new(std::slice::from_ref(&turn)) });
            place.store.put(from, &batch).unwrap();
        }
        until("all are worked on", || listener.status().done == 100);
        listener.close().unwrap();
        listener.close().unwrap();
        let status = listener.status();
        assert_eq!((status.failed, status.ended.map(|_| ())), (28, None), "{}", place.name);
        assert!(met.load(Ordering::SeqCst) > 1, "{}: never two at once", place.name);
        let mut of_keys: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for one in place.own.snapshot().unwrap().browse(to, 1, 1_000).unwrap() {
            of_keys.entry(one.key().to_vec()).or_default().push(one.payload()[0]);
        }
        let in_order: Vec<u8> = (0..25).collect();
        assert_eq!(of_keys.len(), 4);
        assert!(of_keys.values().all(|of| *of == in_order), "{}: {of_keys:?}", place.name);
    });
}

#[test]
fn several_threads_of_a_listener_give_up_together_what_fails_and_have_bounds() {
    everywhere(|place| {
        let from = place.store.queue("from").unwrap();
        let policy = Policy::DeadLetter { after: 3, queue: "dead".into() };
        let options = ListenerOptions { policy, threads: 3, retry_ms: 1, ..Default::default() };
        put(&place.store, from, &["1", "2", "3", "4", "5"]);
        let fails = |_: &mut Session, _: &[Received]| Handled::Retry("no".into());
        let reader = open(&place.store, from, Rules::default());
        let listener = Listener::open_shared(&place.store, reader, &options, fails).unwrap();
        until("all are dead letters", || listener.status().dead == 5);
        assert_eq!(listener.status().failed, 15, "{}: after three failures each", place.name);
        listener.close().unwrap();
        for threads in [0, 1_025] {
            let wrong = ListenerOptions { threads, ..Default::default() };
            let reader = open(&place.store, from, Rules::default());
            let refused = Listener::open_shared(&place.store, reader, &wrong, fails).err().unwrap();
            assert_eq!(refused.code(), Code::Invalid);
        }
        let reader = open(&place.store, from, Rules::default());
        let refused = Listener::open(&place.store, reader, &options, fails).err().unwrap();
        assert_eq!(refused.code(), Code::Invalid);
    });
}

#[test]
fn priorities_and_times_hold_for_what_is_put_and_received_at_a_server() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let later =
            Message { deliver_at_ms: now.as_millis() as u64 + 600, ..Message::new(b"later") };
        let urgent = Message { priority: 9, ..Message::new(b"urgent") };
        place.store.put(queue, &[Message::new(b"plain"), later, urgent]).unwrap();
        let reader = open(&place.store, queue, leased(0));
        let first = reader.receive(9, SOON).unwrap();
        assert_eq!(payloads(&first)[..2], ["urgent", "plain"], "{}", place.name);
        assert_eq!(first[0].priority(), 9);
        if first.len() == 2 {
            assert_eq!(payloads(&reader.receive(9, SOON).unwrap()), ["later"]);
        }
    });
}

#[test]
fn workers_over_several_connections_share_a_queue_with_parallel_and_none_gets_what_another_has() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let texts: Vec<String> = (0..60).map(|n| n.to_string()).collect();
        put(&place.store, queue, &texts.iter().map(String::as_str).collect::<Vec<_>>());
        let rules = Rules { parallel: 1, ..leased(60_000) };
        let (busy, seen) = (std::sync::Mutex::new(()), std::sync::Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let store = place.another();
                let (busy, seen) = (&busy, &seen);
                scope.spawn(move || {
                    let worker = open(&store, queue, rules);
                    loop {
                        let got = worker.receive(9, Duration::from_millis(500)).unwrap();
                        let Some(one) = got.first() else { break };
                        let alone = busy.try_lock().expect("another worker is at it");
                        seen.lock().unwrap().push(one.sequence());
                        std::thread::yield_now();
                        drop(alone);
                        worker.ack(&[one.sequence()]).unwrap();
                    }
                });
            }
        });
        assert_eq!(*seen.lock().unwrap(), (1..=60).collect::<Vec<u64>>(), "{}", place.name);
    });
}

#[test]
fn the_rights_of_a_consumer_are_asked_for_its_dead_letters_too() {
    let place = Place::remote();
    let (from, to) = (place.own.queue("in").unwrap(), place.own.queue("out").unwrap());
    let other = place.own.queue("other").unwrap();
    let cid = crate::place::by_url(&place.url("cid"), connect()).unwrap();
    let with = |dead| ConsumerOptions {
        rules: Rules { max_deliveries: 2, dead_letters: Some(dead), ..Rules::default() },
        ..ConsumerOptions::default()
    };
    assert_eq!(cid.consumer("r", from, &with(other)).err().unwrap().code(), Code::Denied);
    cid.consumer("r", from, &with(to)).unwrap();
    let wrong = Rules { parallel: 2, ..Rules::default() };
    let options = ConsumerOptions { rules: wrong, ..ConsumerOptions::default() };
    assert_eq!(cid.consumer("r", from, &options).err().unwrap().code(), Code::Invalid);
}

#[test]
fn a_worker_whose_connection_is_lost_gives_its_leases_back_at_once_and_is_late_itself() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    put(&place.own, queue, &["1", "2"]);
    let cable = Cable::to(&place);
    let far = crate::place::by_url(&cable.url(), connect()).unwrap();
    let (worker, near) =
        (open(&far, queue, leased(600_000)), open(&place.own, queue, leased(600_000)));
    assert_eq!(payloads(&worker.receive(1, SOON).unwrap()), ["1"]);
    assert_eq!(payloads(&near.receive(1, SOON).unwrap()), ["2"]);
    cable.cut();
    // Ten minutes are left of the lease.
    let again = near.receive(1, SOON).unwrap();
    assert_eq!((payloads(&again), deliveries(&again)), (vec!["1".into()], vec![2]));
    assert_eq!(worker.ack(&[1]).unwrap_err().code(), Code::Stale);
    assert_eq!(worker.renew(&[1]).unwrap_err().code(), Code::Stale);
    near.ack(&[1, 2]).unwrap();
    put(&place.own, queue, &["3"]);
    drop(near);
    assert_eq!(payloads(&worker.receive(1, SOON).unwrap()), ["3"]);
    worker.ack(&[3]).unwrap();
}

#[test]
fn an_acknowledgement_under_a_lease_whose_answer_is_lost_is_unknown_and_never_said_to_be_late() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    let cable = Cable::to(&place);
    let far = crate::place::by_url(&cable.url(), connect()).unwrap();
    let worker = open(&far, queue, leased(600_000));
    let (mut done, mut unknown) = (0, 0);
    for n in 0..40 {
        put(&place.own, queue, &[&n.to_string()]);
        let got = worker.receive(1, SOON).unwrap();
        let sequence = got[0].sequence();
        // From nothing of the answer to more than all of it.
        cable.let_down(n * 4);
        let outcome = worker.ack(&[sequence]);
        cable.let_all();
        let acknowledged = || place.own.queues().unwrap()[0].consumers[0].acknowledged;
        match outcome {
            Ok(_) => {
                done += 1;
                assert!(acknowledged() >= sequence);
            }
            Err(error) => {
                assert_eq!(error.code(), Code::OutcomeUnknown, "{n}: {error}");
                unknown += 1;
                // Either it is done, or it comes again to whoever is there.
                until("it is done or comes again", || {
                    for again in worker.receive(1, Duration::from_millis(50)).unwrap() {
                        assert_eq!(again.sequence(), sequence);
                        worker.ack(&[sequence]).unwrap();
                    }
                    acknowledged() >= sequence
                });
            }
        }
    }
    assert!(done > 0 && unknown > 0, "{done} done, {unknown} unknown");
}

#[test]
fn a_listener_outlives_lost_connections_and_handles_each_message_once() {
    for rules in [Rules::default(), leased(60_000)] {
        let place = Place::remote();
        let (from, to) = (place.own.queue("from").unwrap(), place.own.queue("to").unwrap());
        let texts: Vec<String> = (0..150).map(|n| n.to_string()).collect();
        put(&place.own, from, &texts.iter().map(String::as_str).collect::<Vec<_>>());
        let cable = Cable::to(&place);
        let far = crate::place::by_url(&cable.url(), connect()).unwrap();
        let options = ListenerOptions { retry_ms: 1, ..ListenerOptions::default() };
        let listener =
            Listener::open(&far, open(&far, from, rules), &options, move |session, got| {
                match session.put(to, &Message::new(got[0].payload())) {
                    Ok(()) => Handled::Done,
                    Err(error) => Handled::Retry(error.to_string()),
                }
            })
            .unwrap();
        for bytes in (0..4_000).step_by(200) {
            // Cut at a byte of what the server says, so also within the answer to a commit.
            cable.let_down(bytes);
            std::thread::sleep(Duration::from_millis(25));
            cable.cut();
        }
        until("all are worked on", || waiting(&place.own, to).len() >= 150);
        assert!(listener.status().ended.is_none(), "{:?}", listener.status());
        listener.close().unwrap();
        assert_eq!(waiting(&place.own, to), texts);
    }
}
