//! What waits for room must not wait for each other: windows, full stores, and commits that were started on a connection
//! that goes.

use crate::place::{NOW, Place, SOON, by_url, connect, put, waiting};
use crate::remote::Cable;
use repliq::{
    Code, ConsumerOptions, Message, Outcome, Port, Received, SessionOptions, StoreOptions,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Ends the test where its threads wait for each other.
fn within(limit: Duration, what: &str, work: impl FnOnce() + Send) {
    let (done, hears) = mpsc::channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            work();
            // Where nobody hears it, the limit is over.
            let _ = done.send(());
        });
        if hears.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("{what} still goes on after {limit:?}");
            std::process::exit(101);
        }
        worker.join().unwrap();
    });
}

#[test]
fn sessions_of_one_connection_that_stage_more_than_it_holds_do_not_wait_for_each_other() {
    within(Duration::from_secs(120), "staging", || {
        let place = Place::remote();
        let queue = place.store.queue("q").unwrap();
        let jobs = place.store.queue("jobs").unwrap();
        let payload = vec![5; 500_000];
        place.store.put(jobs, &vec![Message::new(&payload); 40]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut session = place.store.session().unwrap();
                    for _ in 0..30 {
                        session.put(queue, &Message::new(&payload)).unwrap();
                    }
                    session.commit().unwrap();
                });
            }
            // What comes back on the same connection is large, too.
            scope.spawn(|| {
                let reader = place.store.consumer("r", jobs, &ConsumerOptions::default()).unwrap();
                let mut session = place.store.session().unwrap();
                for _ in 0..4 {
                    assert_eq!(session.receive_job(&reader, SOON).unwrap().len(), 40);
                    session.rollback().unwrap();
                }
            });
        });
        let all = place.own.queues().unwrap();
        assert_eq!(all.iter().find(|info| info.name == "q").unwrap().next_sequence, 181);
    });
}

#[test]
fn a_full_store_refuses_what_is_put_and_goes_on_once_something_was_consumed() {
    within(Duration::from_secs(120), "a full store", || {
        let options = StoreOptions {
            segment_bytes: 4_096,
            segment_bytes_max: 16 << 10,
            quota_bytes: 512 << 10,
            ..StoreOptions::default()
        };
        let place = Place::with(&options).served();
        let queue = place.store.queue("q").unwrap();
        let (put_in, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..4u64 {
                let (place, put_in, refused) = (&place, &put_in, &refused);
                scope.spawn(move || {
                    let mut session = place.store.session().unwrap();
                    let payload = vec![worker as u8; 3_000];
                    let mut left = 150;
                    while left > 0 {
                        let done = (0..3)
                            .try_for_each(|_| session.put(queue, &Message::new(&payload)))
                            .and_then(|()| session.commit());
                        match done {
                            Ok(_) => {
                                left -= 1;
                                put_in.fetch_add(3, Ordering::SeqCst);
                            }
                            Err(error) => {
                                let codes = [error.code(), error.cause()];
                                let full = [Code::NoSpace, Code::Quota];
                                assert!(codes.iter().any(|code| full.contains(code)), "{error}");
                                refused.fetch_add(1, Ordering::SeqCst);
                                session.rollback().unwrap();
                                std::thread::sleep(Duration::from_millis(5));
                            }
                        }
                    }
                });
            }
            // It begins late, so that the store is full before.
            std::thread::sleep(Duration::from_millis(300));
            let mut session = place.store.session().unwrap();
            let mut taken = 0;
            while taken < 4 * 150 * 3 {
                taken += session.receive(&reader, 20, SOON).unwrap().len();
                session.commit().unwrap();
            }
        });
        assert_eq!(put_in.load(Ordering::SeqCst), 4 * 150 * 3);
        assert!(refused.load(Ordering::SeqCst) > 0, "it never was full");
        assert!(reader.receive(1, NOW).unwrap().is_empty());
    });
}

#[test]
fn txs_15_started_commits_whose_answers_are_lost_find_out_by_themselves() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    let cable = Cable::to(&place);
    let store = by_url(&cable.url(), connect()).unwrap();
    let port = Port::open().unwrap();
    let named = SessionOptions { name: "starter".into(), ..SessionOptions::default() };
    let mut session = store.session_with(&named).unwrap();
    let (mut sure, mut never, mut open) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for turn in 0..40u64 {
        let mut begun = BTreeMap::new();
        // Three of one session, one behind the other; the wire is cut somewhere among them.
        for at in 0..3 {
            let (tag, payload) = (turn * 3 + at, format!("{turn}.{at}"));
            if at == 1 {
                // On its way there a commit is lost with the wire, and back only its answer.
                if turn % 2 == 0 { cable.let_down(turn * 4) } else { cable.let_up(turn * 4) }
            }
            let started = session
                .put(queue, &Message::new(payload.as_bytes()))
                .and_then(|()| session.commit_start(&port, tag));
            match started {
                Ok(()) => _ = begun.insert(tag, payload),
                // The connection went before.
                Err(error) => {
                    assert_eq!(error.code(), Code::RolledBack, "{error}");
                    session.rollback().unwrap();
                }
            }
        }
        let mut ended = 0;
        while ended < begun.len() {
            let events = port.drain(9, SOON).unwrap();
            assert!(!events.is_empty(), "turn {turn}: {ended} of {} ended", begun.len());
            for event in events {
                ended += 1;
                match event.outcome {
                    Ok(commit) => {
                        place.own.wait("", &[commit.token], SOON).unwrap();
                        sure.insert(event.tag, begun[&event.tag].clone());
                    }
                    Err(error) => {
                        let payload = begun[&event.tag].clone();
                        match error.code() {
                            Code::RolledBack => never.push(payload),
                            Code::OutcomeExpired => _ = open.insert(event.tag, payload),
                            _ => panic!("turn {turn}: {error}"),
                        }
                    }
                }
            }
        }
        cable.let_all();
    }
    let seen = waiting(&place.own, queue);
    assert!(sure.values().all(|payload| seen.contains(payload)), "{sure:?}, and there is {seen:?}");
    assert!(
        never.iter().all(|payload| !seen.contains(payload)),
        "{never:?}, and there is {seen:?}"
    );
    for tag in open.keys() {
        // A session remembers the last one: a later one of the three is told.
        assert!(sure.keys().any(|other| other > tag && other / 3 == tag / 3), "{tag}: {sure:?}");
    }
    let in_order = |texts: &[String]| {
        let number = |text: &String| {
            let (turn, at) = text.split_once('.').unwrap();
            turn.parse::<u64>().unwrap() * 3 + at.parse::<u64>().unwrap()
        };
        texts.iter().map(number).collect::<Vec<_>>().is_sorted()
    };
    assert!(in_order(&seen), "{seen:?}");
    println!("{} told, {} rolled back, {} not known", sure.len(), never.len(), open.len());
    // How many fall on which side of the cut is the affair of the machine.
    assert!(sure.len() > 20 && never.len() + open.len() > 5);
}

#[test]
fn a_started_commit_without_a_connection_again_is_unknown_and_is_told_later() {
    let mut place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    put(&place.own, queue, &["0"]);
    let cable = Cable::to(&place);
    let impatient = repliq::ConnectOptions { connect_timeout_ms: 600, ..connect() };
    let store = by_url(&cable.url(), impatient).unwrap();
    let port = Port::open().unwrap();
    let mut session = store.session().unwrap();
    let id = session.id().unwrap();
    session.put(queue, &Message::new(b"1")).unwrap();
    cable.hold(true);
    session.commit_start(&port, 7).unwrap();
    place.server = None;
    cable.hold(false);
    cable.cut();
    let events = port.drain(1, SOON).unwrap();
    let error = events[0].outcome.clone().unwrap_err();
    assert_eq!(error.code(), Code::OutcomeUnknown, "{error}");
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    let outcome = place.own.resolve(&id).unwrap();
    let there = waiting(&place.own, queue).len() == 2;
    assert_eq!(matches!(outcome, Outcome::Committed(_)), there);
    let reader = place.own.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let got: Vec<Received> = reader.receive(9, SOON).unwrap();
    assert_eq!(got.len(), 1 + usize::from(there));
}
