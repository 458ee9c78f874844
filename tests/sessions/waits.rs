//! Waiting at a server: what it costs, and what is left behind when somebody is called away from it.

use crate::place::{
    NOW, Place, SOON, by_url, connect, deliveries, everywhere, payloads, put, until, waiting,
};
use crate::remote::Cable;
use repliq::{Code, ConnectOptions, ConsumerOptions, Message, Port, SessionOptions, Store};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3_600);

/// Looks and is never called away.
fn is_called() -> bool {
    false
}

/// Requests that have come on all connections.
fn requests(place: &Place) -> u64 {
    let status = place.server.as_ref().unwrap().status().unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let connections = status["connections"].as_array().unwrap();
    connections.iter().map(|one| one["requests"].as_u64().unwrap()).sum()
}

#[test]
fn reg_03_who_waits_at_a_server_asks_once_also_where_a_binding_looks_for_interrupts() {
    let place = Place::remote();
    let queue = place.store.queue("q").unwrap();
    let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let other = place.store.consumer("o", queue, &ConsumerOptions::default()).unwrap();
    let token = put(&place.own, place.own.queue("other").unwrap(), &["1"]).token;
    place.own.consumer("slow", place.own.queue("other").unwrap(), &Default::default()).unwrap();
    let mut session = place.store.session().unwrap();
    let before = requests(&place);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| repliq::interruptible(is_called, || reader.receive(1, HOUR)));
        let receives =
            scope.spawn(|| repliq::interruptible(is_called, || session.receive(&other, 1, HOUR)));
        let late = Duration::from_millis(1_500);
        let missed =
            repliq::interruptible(is_called, || place.store.wait("consumer:slow", &[token], late));
        assert_eq!(missed.unwrap_err().code(), Code::Timeout);
        let asked = requests(&place) - before;
        assert!(asked <= 3, "{asked} requests of three waits");
        put(&place.own, queue, &["x"]);
        assert_eq!(payloads(&waits.join().unwrap().unwrap()), ["x"]);
        assert_eq!(payloads(&receives.join().unwrap().unwrap()), ["x"]);
    });
}

/// A client whose calls are called away.
struct Called {
    store: Store,
    cable: Cable,
}

/// Calls away whoever waits; it belongs to no test, of which others run beside this one.
fn is_away() -> bool {
    true
}

impl Called {
    fn of(place: &Place) -> Called {
        let cable = Cable::to(place);
        let patient =
            ConnectOptions { connect_timeout_ms: 60_000, heartbeat_ms: 20_000, ..connect() };
        Called { store: by_url(&cable.url(), patient).unwrap(), cable }
    }

    /// Does something that is called away while it waits.
    fn away<T>(call: impl FnOnce() -> repliq::Result<T>) {
        let outcome = repliq::interruptible(is_away, call);
        assert_eq!(outcome.err().unwrap().code(), Code::Cancelled);
    }
}

#[test]
fn who_is_called_away_from_a_wait_leaves_nothing_behind_and_goes_on() {
    let place = Place::remote();
    let client = Called::of(&place);
    let store = &client.store;
    let queue = store.queue("q").unwrap();
    let reader = store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let mut session = store.session().unwrap();
    session.put(queue, &Message::new(b"mine")).unwrap();
    // More often than a connection may wait at one time.
    for _ in 0..5 {
        Called::away(|| session.receive(&reader, 1, HOUR));
        Called::away(|| reader.receive(1, HOUR));
    }
    let port = Port::open().unwrap();
    for tag in 0..600 {
        reader.watch(&port, tag).unwrap();
        port.cancel(tag).unwrap();
        assert_eq!(port.drain(9, SOON).unwrap().len(), 1);
    }
    store.queue("q").unwrap();
    let before = requests(&place);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(requests(&place), before);
    // The transaction is as it was, and nothing was given out to nobody.
    session.commit().unwrap();
    let got = session.receive(&reader, 9, SOON).unwrap();
    assert_eq!((payloads(&got), deliveries(&got)), (vec!["mine".into()], vec![1]));
    session.commit().unwrap();
    put(store, queue, &["next"]);
    let got = reader.receive(9, SOON).unwrap();
    assert_eq!((payloads(&got), deliveries(&got)), (vec!["next".into()], vec![1]));
    assert!(port.drain(9, NOW).unwrap().is_empty());
}

#[test]
fn a_wait_for_a_token_that_was_called_away_or_cancelled_ends_at_the_server() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    let _slow = place.own.consumer("slow", queue, &ConsumerOptions::default()).unwrap();
    let token = put(&place.own, queue, &["1"]).token;
    let port = Port::open().unwrap();
    // More than a connection may have under way.
    for tag in 0..5_000 {
        place.store.watch("consumer:slow", &[token], &port, tag).unwrap();
        port.cancel(tag).unwrap();
        if tag % 100 == 0 {
            // The client may not have more under way, either.
            place.store.queues().unwrap();
        }
        assert_eq!(port.drain(9, SOON).unwrap().len(), 1);
    }
    let since = Instant::now();
    Called::away(|| place.store.wait("consumer:slow", &[token], HOUR));
    assert!(since.elapsed() < SOON);
    place.store.watch("", &[token], &port, 9_999).unwrap();
    assert!(port.drain(9, SOON).unwrap()[0].outcome.is_ok());
}

#[test]
fn what_was_opened_for_somebody_who_was_called_away_is_closed_when_the_answer_comes() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    let client = Called::of(&place);
    let named = SessionOptions { name: "mover".into(), ..SessionOptions::default() };
    client.store.queue("q").unwrap();
    client.cable.hold(true);
    Called::away(|| client.store.consumer("r", queue, &ConsumerOptions::default()));
    Called::away(|| client.store.session_with(&named));
    Called::away(|| client.store.session());
    client.cable.hold(false);
    // The connection goes on, and what was opened on it is free for others.
    until("the consumer is closed", || {
        place.store.consumer("r", queue, &ConsumerOptions::default()).is_ok()
    });
    until("the session is closed", || place.store.session_with(&named).is_ok());
    until("the sessions are closed", || {
        client.store.queue("q").unwrap();
        place.own.remembered_sessions().unwrap().iter().all(|one| !one.open)
    });
    client.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    client.store.session_with(&named).unwrap();
}

#[test]
fn a_session_that_is_killed_or_taken_over_gives_back_at_once_what_it_held() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let named =
            |takeover| SessionOptions { name: "mover".into(), takeover, ..Default::default() };
        for (killed, name) in [(true, true), (false, true), (true, false)] {
            put(&place.own, queue, &["held"]);
            let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
            let mut session = match name {
                true => place.store.session_with(&named(false)).unwrap(),
                false => place.store.session().unwrap(),
            };
            assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
            session.put(queue, &Message::new(b"never")).unwrap();
            let id = session.id().unwrap();
            let other = match killed {
                true => place.own.session_kill(id.session).map(|()| None).unwrap(),
                false => Some(place.another().session_with(&named(true)).unwrap()),
            };
            // Its owner makes no call meanwhile, and the consumer is open as before.
            let again = reader.receive(1, SOON).unwrap();
            assert_eq!((payloads(&again), deliveries(&again)), (vec!["held".into()], vec![2]));
            reader.ack(&[again[0].sequence()]).unwrap();
            assert_eq!(session.commit().unwrap_err().code(), Code::Fenced, "{}", place.name);
            drop((session, other));
            until("the session is free", || place.store.session_with(&named(false)).is_ok());
            reader.close();
        }
    });
}

#[test]
fn a_receive_that_is_under_way_when_its_session_is_taken_over_keeps_nothing_it_gets() {
    let place = Place::local();
    let queue = place.store.queue("q").unwrap();
    let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let named = |takeover| SessionOptions { name: "mover".into(), takeover, ..Default::default() };
    let mut session = place.store.session_with(&named(false)).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let got = session.receive(&reader, 1, HOUR);
            assert_eq!(session.commit().unwrap_err().code(), Code::Fenced);
            got.map(|got| got.len()).map_err(|error| error.code())
        });
        // Should it begin later than this, it finds the session gone.
        std::thread::sleep(Duration::from_millis(100));
        let other = place.store.session_with(&named(true)).unwrap();
        put(&place.store, queue, &["1"]);
        let got = waits.join().unwrap();
        assert!([Ok(1), Err(Code::Fenced)].contains(&got), "{got:?}");
        let count = if got.is_ok() { 2 } else { 1 };
        assert_eq!(deliveries(&reader.receive(1, SOON).unwrap()), [count]);
        drop(other);
    });
}

#[test]
fn a_wait_for_a_consumer_is_over_with_its_last_acknowledgement_behind_any_backlog() {
    for place in [Place::local(), Place::remote()] {
        let (first, second) = (place.store.queue("a").unwrap(), place.store.queue("b").unwrap());
        let open = |queue| place.store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
        let (one, two) = (open(first), open(second));
        let many: Vec<String> = (0..9_000).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        put(&place.store, first, &many);
        let mut session = place.store.session().unwrap();
        for text in [b"x", b"y"] {
            session.put(first, &Message::new(text)).unwrap();
            session.put(second, &Message::new(text)).unwrap();
        }
        let token = session.commit().unwrap().token;
        put(&place.store, first, &many);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| place.store.wait("consumer:c", &[token], HOUR));
            let late = || {
                let waited = place.own.wait("consumer:c", &[token], Duration::from_millis(20));
                waited.err().map(|error| error.code())
            };
            assert_eq!(late(), Some(Code::Timeout), "{}", place.name);
            one.seek(9_002).unwrap();
            two.receive(9, SOON).unwrap();
            two.ack(&[1]).unwrap();
            assert_eq!(late(), Some(Code::Timeout), "{}", place.name);
            one.seek(9_003).unwrap();
            assert_eq!(late(), Some(Code::Timeout), "{}", place.name);
            two.ack(&[2]).unwrap();
            waits.join().unwrap().unwrap();
        });
        place.store.wait("consumer:c", &[token], NOW).unwrap();
    }
}

#[test]
fn of_several_commits_that_were_started_and_lost_together_each_is_told() {
    let place = Place::remote();
    let cable = Cable::to(&place);
    let store = by_url(&cable.url(), connect()).unwrap();
    let queue = store.queue("q").unwrap();
    let port = Port::open().unwrap();
    let mut session = store.session().unwrap();
    let id = session.id().unwrap();
    session.put(queue, &Message::new(b"first")).unwrap();
    session.commit().unwrap();
    let mut started = 0;
    // The server gets all of them, and the client no answer.
    cable.let_down(0);
    for text in ["0", "1", "2", "3", "4"] {
        session.put(queue, &Message::new(text.as_bytes())).unwrap();
        let tag = text.parse().unwrap();
        if session.commit_start(&port, tag).is_err() {
            break;
        }
        started += 1;
    }
    let mut told = std::collections::BTreeMap::new();
    let heard = std::sync::Mutex::new(Vec::new());
    until("each is told", || {
        for event in port.drain(9, Duration::from_millis(100)).unwrap() {
            heard.lock().unwrap().push((event.tag, event.outcome.map(|commit| commit.token)));
        }
        heard.lock().unwrap().len() >= started
    });
    for (tag, outcome) in heard.lock().unwrap().drain(..) {
        match outcome {
            Ok(token) => _ = told.insert(tag.to_string(), token),
            Err(error) => assert_eq!(error.code(), Code::RolledBack, "{error}"),
        }
    }
    let there = waiting(&place.own, queue);
    let committed: Vec<String> = told.keys().cloned().collect();
    assert_eq!(there[1..], committed[..], "what was told is what readers see");
    let tokens: std::collections::BTreeSet<String> =
        told.values().map(ToString::to_string).collect();
    assert_eq!(tokens.len(), committed.len());
    let tokens: Vec<repliq::Token> = told.into_values().collect();
    if !tokens.is_empty() {
        place.own.wait("", &tokens, SOON).unwrap();
    }
    // Once it has heard of them the server keeps the last one alone.
    cable.let_all();
    session.put(queue, &Message::new(b"last")).unwrap();
    session.commit().unwrap();
    session.put(queue, &Message::new(b"and another")).unwrap();
    session.commit().unwrap();
    assert_eq!(store.resolve(&id).unwrap(), repliq::Outcome::Expired);
}
