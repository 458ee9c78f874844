//! What a transaction may have, and for how long.

use crate::place::{
    NOW, Place, SOON, by_url, connect, deliveries, everywhere, payloads, put, until, waiting,
};
use repliq::{Code, ConsumerOptions, Message, ServerLimits, ServerOptions, SessionOptions};
use std::time::Duration;

/// Bytes that each message counts beside its body.
const RECORD: u64 = 64;

fn of_bytes(bytes_max: u64) -> SessionOptions {
    SessionOptions { bytes_max, ..SessionOptions::default() }
}

#[test]
fn txs_08_the_put_beyond_the_limit_is_refused_at_once_and_the_commit_rolls_back_and_says_why() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["in"]);
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session_with(&of_bytes(10_000)).unwrap();
        for _ in 0..2 {
            assert_eq!(session.receive(&reader, 9, SOON).unwrap().len(), 1, "{}", place.name);
            let mut count = 0;
            let error = loop {
                assert!(count <= 10, "{}: there is no limit", place.name);
                match session.put(queue, &Message::new(&[7; 900])) {
                    Ok(()) => count += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!((error.code(), error.message_index()), (Code::Quota, Some(0)), "{error}");
            assert_eq!(count, 10, "{}", place.name);
            let error = session.put(queue, &Message::new(b"x")).unwrap_err();
            assert_eq!((error.code(), error.cause()), (Code::RollbackOnly, Code::Quota), "{error}");
            let error = session.receive(&reader, 1, NOW).unwrap_err();
            assert_eq!((error.code(), error.cause()), (Code::RollbackOnly, Code::Quota), "{error}");
            let error = session.commit().unwrap_err();
            assert_eq!((error.code(), error.cause()), (Code::RolledBack, Code::Quota), "{error}");
            // The next transaction has begun.
            assert!(session.commit().unwrap().token.is_empty());
        }
        session.put(queue, &Message::new(b"out")).unwrap();
        session.commit().unwrap();
        let again = reader.receive(9, SOON).unwrap();
        assert_eq!((again[0].payload(), again[0].deliveries()), (&b"in"[..], 3), "{}", place.name);
        assert_eq!(waiting(&place.store, queue), ["in", "out"]);
    });
}

#[test]
fn txs_08_the_limit_is_exact_counts_each_transaction_anew_and_holds_for_what_is_staged_in_files() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let payload = vec![1; 100_000];
        // What a body has beside its payload is found out, not assumed.
        let mut session = place.store.session_with(&of_bytes(1)).unwrap();
        assert_eq!(session.put(queue, &Message::new(b"")).unwrap_err().code(), Code::Quota);
        session.rollback().unwrap();
        let mut front = 0;
        while front < 64 {
            let most = of_bytes(payload.len() as u64 + RECORD + front);
            let mut session = place.store.session_with(&most).unwrap();
            if session.put(queue, &Message::new(&payload)).is_ok() {
                break;
            }
            front += 1;
        }
        let one = payload.len() as u64 + RECORD + front;
        for (most, fits) in [(25 * one, 25), (25 * one - 1, 24)] {
            let mut session = place.store.session_with(&of_bytes(most)).unwrap();
            for _ in 0..2 {
                for n in 0..fits {
                    session.put(queue, &Message::new(&payload)).unwrap_or_else(|error| {
                        panic!("{}: message {n} of {most} bytes: {error}", place.name)
                    });
                }
                session.commit().unwrap();
            }
            let many = vec![Message::new(&payload); fits + 1];
            let error = session.put_many(queue, &many).unwrap_err();
            assert_eq!(error.code(), Code::Quota, "{}", place.name);
            assert_eq!(error.message_index(), Some(fits as u32));
            session.rollback().unwrap();
            session.put_many(queue, &many[..fits]).unwrap();
            session.commit().unwrap();
        }
        assert_eq!(place.own.queues().unwrap()[0].next_sequence, 3 * (25 + 24) + 1);
    });
}

#[test]
fn txs_30_one_user_fills_its_share_of_the_prepared_transactions_and_others_go_on() {
    let limits = ServerLimits { user_share: 1, ..ServerLimits::default() };
    let place = Place::local().served_with(limits);
    let queue = place.own.queue("q").unwrap();
    let prepare = |store: &repliq::Store| {
        let mut session = store.session().unwrap();
        session.put(queue, &Message::new(b"one")).unwrap();
        session.prepare(b"")
    };
    let most = repliq::limits::PREPARED_MAX / 100;
    let ids: Vec<_> = (0..most).map(|_| prepare(&place.store).unwrap()).collect();
    let mut session = place.store.session().unwrap();
    session.put(queue, &Message::new(b"refused")).unwrap();
    let error = session.prepare(b"").unwrap_err();
    assert_eq!(error.code(), Code::Quota);
    assert!(error.to_string().contains("\"ann\" has 10 prepared"), "{error}");
    // It is as it was: it may be committed.
    session.commit().unwrap();
    let ben = by_url(&place.url("ben"), connect()).unwrap();
    prepare(&ben).unwrap();
    // Whoever has the directory has all of it.
    (0..=most).for_each(|_| _ = prepare(&place.own).unwrap());
    place.store.finish(&ids[0], true).unwrap();
    prepare(&place.store).unwrap();
    assert_eq!(waiting(&place.own, queue), ["refused", "one"]);
}

#[test]
fn txs_29_a_transaction_that_is_idle_is_rolled_back_and_its_owner_is_told_once() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["mine"]);
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let options = SessionOptions { idle_ms: 300, ..SessionOptions::default() };
        let mut session = place.store.session_with(&options).unwrap();
        assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1, "{}", place.name);
        session.put(queue, &Message::new(b"late")).unwrap();
        // What it had comes to others without a call of its owner.
        let again = reader.receive(9, SOON).unwrap();
        assert_eq!((payloads(&again), deliveries(&again)), (vec!["mine".into()], vec![2]));
        let error = session.commit().unwrap_err();
        let codes = (error.code(), error.cause());
        assert_eq!(codes, (Code::RolledBack, Code::Timeout), "{}: {error}", place.name);
        // One that is used goes on for as long as it likes, and an empty one is not looked at.
        for _ in 0..6 {
            session.put(queue, &Message::new(b"next")).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        session.commit().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        assert!(session.commit().unwrap().token.is_empty());
        session.put(queue, &Message::new(b"rolled back by itself")).unwrap();
        std::thread::sleep(Duration::from_millis(600));
        session.rollback().unwrap();
        session.put(queue, &Message::new(b"last")).unwrap();
        session.commit().unwrap();
        assert_eq!(waiting(&place.store, queue).len(), 8, "{}", place.name);
    });
}

#[test]
fn a_watched_session_that_waits_in_a_receive_is_not_idle_and_a_dropped_one_gives_back_at_once() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let options = SessionOptions { idle_ms: 200, ..SessionOptions::default() };
        let mut session = place.store.session_with(&options).unwrap();
        session.put(queue, &Message::new(b"kept")).unwrap();
        let nothing = session.receive(&reader, 1, Duration::from_millis(700)).unwrap();
        assert!(nothing.is_empty(), "{}", place.name);
        session.commit().unwrap();
        assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
        drop(session);
        until("it comes back", || !reader.receive(1, NOW).unwrap().is_empty());
    });
}

/// What all sessions of a server take.
fn taken(place: &Place) -> serde_json::Value {
    let status = place.server.as_ref().unwrap().status().unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["sessions"].clone()
}

fn refused<T>(outcome: repliq::Result<T>, what: &str) {
    let error = outcome.err().unwrap();
    assert_eq!(error.code(), Code::Quota, "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn a_user_that_opens_sessions_for_ever_is_refused_and_others_go_on() {
    let limits = ServerLimits { sessions_max: 40, ..ServerLimits::default() };
    let place = Place::local().served_with(limits);
    let queue = place.own.queue("q").unwrap();
    let mut greedy = Vec::new();
    // Over several connections, since the bound is the server's.
    let clients = [place.another(), place.another()];
    let refusal = loop {
        match clients[greedy.len() % 2].session() {
            Ok(session) => greedy.push(session),
            Err(refusal) => break Err::<(), _>(refusal),
        }
    };
    refused(refusal, "user \"ann\" has 20 sessions");
    assert_eq!((greedy.len(), &taken(&place)["open"]), (20, &serde_json::json!(20)));
    // A put of its own needs one, too.
    refused(clients[0].put(queue, &[Message::new(b"x")]), "sessions");
    let ben = by_url(&place.url("ben"), connect()).unwrap();
    put(&ben, queue, &["his"]);
    let mut session = ben.session().unwrap();
    session.put(queue, &Message::new(b"his, too")).unwrap();
    session.commit().unwrap();
    drop(greedy.pop());
    until("one is free again", || clients[0].session().is_ok());
    drop((greedy, clients, session, ben));
    place.store.close().unwrap();
    until("all are given back", || taken(&place)["open"] == 0);
    assert_eq!(waiting(&place.own, queue), ["his", "his, too"]);
}

#[test]
fn open_transactions_and_what_they_stage_are_bounded_and_given_back_however_they_end() {
    let limits = ServerLimits {
        transactions_max: 4,
        staged_bytes_max: 100_000,
        user_share: 100,
        ..ServerLimits::default()
    };
    let place = Place::local().served_with(limits);
    let queue = place.own.queue("q").unwrap();
    let large = vec![7; 60_000];
    let idle = SessionOptions { idle_ms: 300, ..SessionOptions::default() };
    let mut first = place.store.session_with(&idle).unwrap();
    first.put(queue, &Message::new(&large)).unwrap();
    first.put(queue, &Message::new(&[1; 10_000])).unwrap();
    let mut second = place.store.session().unwrap();
    second.put(queue, &Message::new(&large)).unwrap();
    let error = second.commit().unwrap_err();
    assert_eq!((error.code(), error.cause()), (Code::RolledBack, Code::Quota), "{error}");
    assert!(error.to_string().contains("bytes of open transactions"), "{error}");
    // Nobody goes on with the first one.
    until("it is rolled back", || taken(&place)["transactions"] == 0);
    assert_eq!(taken(&place)["staged_bytes"], 0);
    second.put(queue, &Message::new(&large)).unwrap();
    second.commit().unwrap();
    second.put(queue, &Message::new(&large)).unwrap();
    second.rollback().unwrap();
    assert_eq!(taken(&place)["staged_bytes"], 0);
    let mut held = Vec::new();
    for n in 0..4 {
        let name = format!("q{n}");
        let own = place.own.queue(&name).unwrap();
        put(&place.own, own, &["1"]);
        let reader = place.store.consumer("r", own, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
        held.push((session, reader));
    }
    let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    refused(second.receive(&reader, 1, SOON), "4 open transactions");
    held[0].0.commit().unwrap();
    assert_eq!(second.receive(&reader, 1, SOON).unwrap().len(), 1);
    held[1].0.rollback().unwrap();
    place.store.close().unwrap();
    until("a lost connection gives all back", || taken(&place)["open"] == 0);
    assert_eq!(taken(&place)["transactions"], 0);
    assert_eq!(taken(&place)["users"], serde_json::json!([]));
}

#[test]
fn limits_of_sessions_have_bounds_of_their_own() {
    let place = Place::local();
    let wrong = [
        ServerLimits { sessions_max: 0, ..ServerLimits::default() },
        ServerLimits { transactions_max: 0, ..ServerLimits::default() },
        ServerLimits { staged_bytes_max: 0, ..ServerLimits::default() },
        ServerLimits { user_share: 0, ..ServerLimits::default() },
        ServerLimits { user_share: 101, ..ServerLimits::default() },
    ];
    for limits in wrong {
        let options = ServerOptions { limits, ..ServerOptions::default() };
        let refused = repliq::Server::open(&place.own, &options).err().unwrap();
        assert_eq!(refused.code(), Code::Invalid, "{limits:?}");
    }
}
