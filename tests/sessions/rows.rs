//! The rows of the scenarios that need one process.

use crate::place::{NOW, SOON, deliveries, everywhere, payloads, put, until, waiting};
use repliq::{
    Code, ConsumerOptions, Handled, Listener, ListenerOptions, Message, Outcome, SessionOptions,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

fn named(name: &str) -> SessionOptions {
    SessionOptions { name: name.into(), ..SessionOptions::default() }
}

#[test]
fn txs_01_a_transaction_is_always_open_and_an_empty_one_commits_to_an_empty_token() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let mut session = place.store.session().unwrap();
        assert!(session.commit().unwrap().token.is_empty(), "{}", place.name);
        session.put(queue, &Message::new(b"one")).unwrap();
        assert!(!session.commit().unwrap().token.is_empty());
        session.put(queue, &Message::new(b"two")).unwrap();
        session.rollback().unwrap();
        session.put(queue, &Message::new(b"three")).unwrap();
        session.commit().unwrap();
        assert!(session.commit().unwrap().token.is_empty());
        assert_eq!(waiting(&place.store, queue), ["one", "three"]);
    });
}

#[test]
fn txs_02_what_is_put_into_two_queues_is_seen_at_the_commit_all_of_it_and_in_order() {
    everywhere(|place| {
        let (a, b) = (place.store.queue("a").unwrap(), place.store.queue("b").unwrap());
        let reader = place.store.consumer("r", a, &ConsumerOptions::default()).unwrap();
        let other = place.store.consumer("r", b, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        session.put(a, &Message::new(b"1")).unwrap();
        session.put(b, &Message::new(b"2")).unwrap();
        session.put(a, &Message::new(b"3")).unwrap();
        assert!(reader.receive(9, NOW).unwrap().is_empty(), "{}", place.name);
        assert!(other.receive(9, NOW).unwrap().is_empty());
        let token = session.commit().unwrap().token;
        place.store.wait("", &[token], SOON).unwrap();
        let (first, second) = (reader.receive(9, SOON).unwrap(), other.receive(9, SOON).unwrap());
        assert_eq!(
            (payloads(&first), payloads(&second)),
            (vec!["1".into(), "3".into()], vec!["2".into()])
        );
        assert_eq!(first[0].transaction(), second[0].transaction());
        assert_eq!(first[0].transaction(), token.position().sequence);
    });
}

#[test]
fn txs_03_what_was_put_and_rolled_back_is_never_delivered() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let mut session = place.store.session().unwrap();
        let payload = vec![7; 300_000];
        for _ in 0..20 {
            session.put(queue, &Message::new(&payload)).unwrap();
        }
        session.rollback().unwrap();
        session.put(queue, &Message::new(b"after")).unwrap();
        session.commit().unwrap();
        assert_eq!(waiting(&place.store, queue), ["after"], "{}", place.name);
        until("the staged files go", || place.own.status().unwrap().contains("\"files\": 0"));
    });
}

#[test]
fn txs_04_received_and_rolled_back_messages_come_again_in_order_before_newer_ones() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["1", "2", "3"]);
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        let first = session.receive(&reader, 3, SOON).unwrap();
        assert_eq!((payloads(&first).concat(), deliveries(&first)), ("123".into(), vec![1, 1, 1]));
        put(&place.store, queue, &["4"]);
        session.rollback().unwrap();
        let again = session.receive(&reader, 9, SOON).unwrap();
        let rest = session.receive(&reader, 9, NOW).unwrap();
        let all = [again, rest].concat();
        assert_eq!(payloads(&all).concat(), "1234", "{}", place.name);
        assert_eq!(deliveries(&all), [2, 2, 2, 1]);
        session.commit().unwrap();
        assert!(session.receive(&reader, 9, NOW).unwrap().is_empty());
    });
}

#[test]
fn txs_06_what_a_session_received_is_acknowledged_by_its_commit_alone() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["1", "2"]);
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        session.receive(&reader, 2, SOON).unwrap();
        session.commit().unwrap();
        drop((session, reader));
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        assert!(reader.receive(9, NOW).unwrap().is_empty(), "{}", place.name);
    });
}

#[test]
fn txs_07_a_put_refused_before_it_was_staged_leaves_the_transaction_as_it_was() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let mut session = place.store.session().unwrap();
        session.put(queue, &Message::new(b"good")).unwrap();
        let long = vec![0; repliq::limits::MESSAGE_BYTES_MAX + 1];
        let error = session.put(queue, &Message::new(&long)).unwrap_err();
        assert_eq!(error.code(), Code::TooLarge, "{}", place.name);
        let bad = Message { priority: 10, ..Message::new(b"bad") };
        let error = session.put_many(queue, &[Message::new(b"x"), bad]).unwrap_err();
        assert_eq!((error.code(), error.message_index()), (Code::Invalid, Some(1)));
        session.put(queue, &Message::new(b"better")).unwrap();
        session.commit().unwrap();
        assert_eq!(waiting(&place.store, queue), ["good", "better"]);
    });
}

#[test]
fn txs_09_a_queue_paused_or_deleted_meanwhile_refuses_the_commit_as_a_whole() {
    everywhere(|place| {
        let (a, b) = (place.store.queue("a").unwrap(), place.store.queue("b").unwrap());
        let mut session = place.store.session().unwrap();
        session.put(a, &Message::new(b"1")).unwrap();
        session.put(b, &Message::new(b"2")).unwrap();
        place.own.queue_pause(b).unwrap();
        assert_eq!(session.commit().unwrap_err().code(), Code::Paused, "{}", place.name);
        assert!(waiting(&place.store, a).is_empty());
        place.own.queue_resume(b).unwrap();
        session.commit().unwrap();
        assert_eq!(waiting(&place.store, b), ["2"]);
        session.put(a, &Message::new(b"3")).unwrap();
        session.put(b, &Message::new(b"4")).unwrap();
        place.own.queue_delete(b).unwrap();
        // A server hears of the put with the commit, and says that it cannot be one any more.
        let error = session.commit().unwrap_err();
        let codes = (error.code(), error.cause());
        assert!(
            codes.0 == Code::NoSuchName || codes == (Code::RolledBack, Code::NoSuchName),
            "{error}"
        );
        session.rollback().unwrap();
        assert_eq!(waiting(&place.store, a), ["1"]);
        session.put(a, &Message::new(b"5")).unwrap();
        session.commit().unwrap();
    });
}

#[test]
fn txs_11_a_consumed_message_that_expires_before_the_commit_does_not_fail_it() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let expires_ms = now.as_millis() as u64 + 700;
        let message = Message { expires_ms, ..Message::new(b"short") };
        place.store.put(queue, &[message]).unwrap();
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        if session.receive(&reader, 1, SOON).unwrap().is_empty() {
            // A machine this slow has nothing to show here.
            println!("the message expired before it was received");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(900));
        session.commit().unwrap();
        assert!(waiting(&place.store, queue).is_empty(), "{}", place.name);
    });
}

#[test]
fn txs_12_a_consumed_message_that_is_purged_before_the_commit_does_not_fail_it() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["1", "2"]);
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
        place.own.queue_purge(queue).unwrap();
        session.put(queue, &Message::new(b"3")).unwrap();
        session.commit().unwrap();
        assert_eq!(payloads(&reader.receive(9, SOON).unwrap()), ["3"], "{}", place.name);
    });
}

#[test]
fn txs_13_a_session_that_goes_with_its_transaction_open_gives_back_what_it_received() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["1", "2"]);
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        assert_eq!(session.receive(&reader, 2, SOON).unwrap().len(), 2);
        session.put(queue, &Message::new(b"never")).unwrap();
        drop(session);
        let again = reader.receive(9, SOON).unwrap();
        assert_eq!((payloads(&again).concat(), deliveries(&again)), ("12".into(), vec![2, 2]));
        assert_eq!(waiting(&place.store, queue), ["1", "2"], "{}", place.name);
    });
}

#[test]
fn txs_21_a_receive_without_time_on_an_empty_queue_gives_none_and_a_closed_consumer_is_closed() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        assert!(session.receive(&reader, 1, NOW).unwrap().is_empty(), "{}", place.name);
        put(&place.store, queue, &["1"]);
        assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
        reader.close();
        assert_eq!(session.receive(&reader, 1, NOW).unwrap_err().code(), Code::Closed);
        session.rollback().unwrap();
    });
}

#[test]
fn txs_22_a_handler_may_commit_and_roll_back_and_not_close_and_is_called_for_one_after_the_other() {
    everywhere(|place| {
        let (from, to) = (place.store.queue("from").unwrap(), place.store.queue("to").unwrap());
        let reader = place.store.consumer("r", from, &ConsumerOptions::default()).unwrap();
        let own: Arc<Mutex<Option<Arc<Listener>>>> = Arc::default();
        let (inside, seen) = (AtomicBool::new(false), Arc::new(Mutex::new(Vec::new())));
        let (known, calls) = (own.clone(), seen.clone());
        let options = ListenerOptions { retry_ms: 1, ..ListenerOptions::default() };
        let handler = move |session: &mut repliq::Session, unit: &[repliq::Received]| {
            assert!(!inside.swap(true, Ordering::SeqCst), "the next one came too early");
            let (one, again) = (&unit[0], unit[0].deliveries() > 1);
            calls.lock().unwrap().push((one.sequence(), one.deliveries()));
            match one.payload() {
                b"commits" => {
                    session.put(to, &Message::new(b"of the handler")).unwrap();
                    session.commit().unwrap();
                    session.put(to, &Message::new(b"of the listener")).unwrap();
                }
                b"rolls back" if !again => {
                    session.put(to, &Message::new(b"never")).unwrap();
                    session.rollback().unwrap();
                }
                b"closes" => {
                    let listener = known.lock().unwrap().clone().unwrap();
                    assert_eq!(listener.close().unwrap_err().code(), Code::Busy);
                    session.put(to, &Message::new(b"goes on")).unwrap();
                }
                _ => session.put(to, &Message::new(one.payload())).unwrap(),
            }
            inside.store(false, Ordering::SeqCst);
            Handled::Done
        };
        let listener = Arc::new(Listener::open(&place.store, reader, &options, handler).unwrap());
        *own.lock().unwrap() = Some(listener.clone());
        put(&place.store, from, &["commits", "rolls back", "closes", "last"]);
        until("all are worked on", || waiting(&place.own, to).len() == 5);
        own.lock().unwrap().take();
        listener.close().unwrap();
        let expected = ["of the handler", "of the listener", "rolls back", "goes on", "last"];
        assert_eq!(waiting(&place.own, to), expected, "{}", place.name);
        assert_eq!(*seen.lock().unwrap(), [(1, 1), (2, 1), (2, 2), (3, 1), (4, 1)]);
        let info = place.own.queues().unwrap();
        let from = info.iter().find(|info| info.name == "from").unwrap();
        assert_eq!(from.consumers[0].acknowledged, 4, "{}", place.name);
    });
}

#[test]
fn txs_22_a_close_from_outside_and_one_from_the_handler_do_not_wait_for_each_other() {
    everywhere(|place| {
        let from = place.store.queue("from").unwrap();
        let reader = place.store.consumer("r", from, &ConsumerOptions::default()).unwrap();
        let (called, hears) = std::sync::mpsc::channel();
        let (go_on, waits) = std::sync::mpsc::channel::<Arc<Listener>>();
        let (answers, inside) = std::sync::mpsc::channel();
        let handler = move |_: &mut repliq::Session, _: &[repliq::Received]| {
            called.send(()).unwrap();
            let listener = waits.recv_timeout(SOON).unwrap();
            // The one outside is in its close by then, and waits for this handler.
            std::thread::sleep(std::time::Duration::from_millis(100));
            answers.send(listener.close().map_err(|error| error.code())).unwrap();
            Handled::Done
        };
        let options = ListenerOptions::default();
        let listener = Arc::new(Listener::open(&place.store, reader, &options, handler).unwrap());
        put(&place.store, from, &["1"]);
        hears.recv_timeout(SOON).unwrap();
        let (ended, hears) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            go_on.send(listener.clone()).unwrap();
            ended.send(listener.close()).unwrap();
        });
        let closed = hears.recv_timeout(SOON);
        assert!(closed.is_ok_and(|closed| closed.is_ok()), "{}: they wait", place.name);
        assert_eq!(inside.try_recv().unwrap(), Err(Code::Busy), "{}", place.name);
    });
}

#[test]
fn a_listener_whose_last_handle_is_dropped_by_its_handler_ends_behind_it() {
    everywhere(|place| {
        let from = place.store.queue("from").unwrap();
        let reader = || place.store.consumer("r", from, &ConsumerOptions::default());
        let (give, take) = std::sync::mpsc::channel::<Listener>();
        let handler = move |_: &mut repliq::Session, _: &[repliq::Received]| {
            drop(take.recv_timeout(SOON));
            Handled::Done
        };
        let options = ListenerOptions::default();
        let listener = Listener::open(&place.store, reader().unwrap(), &options, handler).unwrap();
        put(&place.store, from, &["1", "2"]);
        give.send(listener).unwrap();
        until("the consumer is free", || reader().is_ok());
        until("the work is done or given back", || {
            let left = reader().and_then(|reader| reader.receive(9, NOW));
            left.is_ok_and(|left| !left.is_empty() && payloads(&left).concat().ends_with('2'))
        });
    });
}

#[test]
fn txs_23_messages_of_many_consumers_belong_to_one_transaction_and_return_to_their_queues() {
    everywhere(|place| {
        let queues: Vec<_> = (0..8).map(|n| place.store.queue(&format!("q{n}")).unwrap()).collect();
        let readers: Vec<_> = queues
            .iter()
            .map(|queue| place.store.consumer("r", *queue, &ConsumerOptions::default()).unwrap())
            .collect();
        for (n, queue) in queues.iter().enumerate() {
            put(&place.store, *queue, &[&format!("{n}")]);
        }
        let mut session = place.store.session().unwrap();
        for again in [1, 2] {
            for (n, reader) in readers.iter().enumerate() {
                let got = session.receive(reader, 5, SOON).unwrap();
                assert_eq!((payloads(&got), deliveries(&got)), (vec![n.to_string()], vec![again]));
                assert_eq!(got[0].queue(), queues[n], "{}", place.name);
            }
            if again == 1 {
                session.rollback().unwrap();
            }
        }
        session.commit().unwrap();
        for reader in &readers {
            assert!(session.receive(reader, 5, NOW).unwrap().is_empty());
        }
    });
}

#[test]
fn txs_24_a_message_put_in_a_transaction_is_not_received_in_it() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        session.put(queue, &Message::new(b"1")).unwrap();
        assert!(session.receive(&reader, 1, NOW).unwrap().is_empty(), "{}", place.name);
        session.commit().unwrap();
        assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
    });
}

#[test]
fn txs_25_a_name_in_use_is_refused_and_a_takeover_fences_the_former_owner() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let mut old = place.store.session_with(&named("mover")).unwrap();
        let first = old.id().unwrap();
        old.put(queue, &Message::new(b"1")).unwrap();
        let error = place.store.session_with(&named("mover")).err().unwrap();
        assert_eq!(error.code(), Code::Exists, "{}", place.name);
        let options = SessionOptions { takeover: true, ..named("mover") };
        let mut new = place.store.session_with(&options).unwrap();
        let second = new.id().unwrap();
        assert_eq!((second.session, second.epoch), (first.session, first.epoch + 1));
        // A put to a server does not wait for what it says.
        let put = old.put(queue, &Message::new(b"2")).map_err(|error| error.code());
        assert!(put == Err(Code::Fenced) || (place.name == "remote" && put == Ok(())));
        assert_eq!(old.commit().unwrap_err().code(), Code::Fenced);
        new.put(queue, &Message::new(b"3")).unwrap();
        new.commit().unwrap();
        drop(old);
        assert_eq!(waiting(&place.store, queue), ["3"]);
        let error = place.store.session_with(&named("mover")).err().unwrap();
        assert_eq!(error.code(), Code::Exists, "the drop of the former owner frees nothing");
        drop(new);
        place.store.session_with(&named("mover")).unwrap();
    });
}

#[test]
fn what_a_producer_repeats_has_the_token_of_the_first_time_wherever_it_is_put() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let one = |producer_sequence| Message {
            producer: "till",
            producer_sequence,
            ..Message::new(b"1")
        };
        let first = place.store.put(queue, &[one(1)]).unwrap().token;
        put(&place.store, queue, &["between"]);
        assert_eq!(place.store.put(queue, &[one(1)]).unwrap().token, first, "{}", place.name);
        let mut session = place.store.session().unwrap();
        let id = session.id().unwrap();
        session.put(queue, &one(1)).unwrap();
        assert_eq!(session.commit().unwrap().token, first, "{}", place.name);
        assert_eq!(place.store.resolve(&id).unwrap(), Outcome::Committed(first), "{}", place.name);
        place.own.wait("", &[first], SOON).unwrap();
        // Beside something else it is a transaction of its own.
        session.put(queue, &one(1)).unwrap();
        session.put(queue, &one(2)).unwrap();
        let second = session.commit().unwrap().token;
        assert!(second != first, "{}", place.name);
        assert_eq!(place.store.put(queue, &[one(2)]).unwrap().token, second, "{}", place.name);
        assert_eq!(waiting(&place.store, queue), ["1", "between", "1"], "{}", place.name);
    });
}
