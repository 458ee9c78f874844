//! The public faces of a local store: what a program sees.

#![allow(clippy::unwrap_used)]

use repliq::{
    Code, ConsumerOptions, From, Handled, Level, Listener, ListenerOptions, Message, Policy, Port,
    Queue, Received, Store, StoreOptions, Token, Unit,
};
use std::sync::mpsc;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_secs(10);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Store {
        self.open_with(StoreOptions::default())
    }

    fn open_with(&self, options: StoreOptions) -> Store {
        Store::open(self.0.path().join("store"), &options).unwrap()
    }
}

fn put(store: &Store, queue: Queue, payloads: &[&str]) {
    for payload in payloads {
        store.put(queue, &[Message::new(payload.as_bytes())]).unwrap();
    }
}

fn payloads(messages: &[Received]) -> Vec<String> {
    messages.iter().map(|m| String::from_utf8(m.payload().to_vec()).unwrap()).collect()
}

fn sequences(messages: &[Received]) -> Vec<u64> {
    messages.iter().map(Received::sequence).collect()
}

#[test]
fn every_field_of_a_message_comes_back_after_a_reopen() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("a/b ü").unwrap();
    let message = Message {
        kind: 0x2004,
        key: b"key",
        headers: &[("one", b"1"), ("two", b"")],
        payload: b"payload",
        expires_ms: u64::MAX / 2,
        deliver_at_ms: 1_700_000_000_000,
        priority: 9,
        producer: "maker",
        producer_sequence: 1,
    };
    let commit = store.put(queue, &[message]).unwrap();
    assert_eq!(commit.level, Level::Power);
    store.close().unwrap();
    let store = place.open();
    let queue = store.find_queue("a/b ü").unwrap();
    let all = store.snapshot().unwrap().browse(queue, 1, 10).unwrap();
    assert_eq!(all.len(), 1);
    let one = &all[0];
    assert_eq!((one.kind(), one.key(), one.payload()), (0x2004, &b"key"[..], &b"payload"[..]));
    let headers: Vec<_> = one.headers().collect();
    assert_eq!(headers, [("one", &b"1"[..]), ("two", &b""[..])]);
    assert_eq!(
        (one.expires_ms(), one.producer(), one.producer_sequence()),
        (u64::MAX / 2, "maker", 1)
    );
    assert_eq!((one.deliver_at_ms(), one.priority()), (1_700_000_000_000, 9));
    assert_eq!((one.sequence(), one.transaction()), (1, commit.token.position().sequence));
    store.wait("", &[commit.token], NOW).unwrap();
}

#[test]
fn a_consumer_goes_on_where_it_acknowledged_and_gets_the_rest_again() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    put(&store, queue, &["a", "b", "c", "d"]);
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let got = consumer.receive(10, NOW).unwrap();
    assert_eq!(payloads(&got), ["a", "b", "c", "d"]);
    consumer.ack(&[1, 3]).unwrap();
    assert!(consumer.receive(10, NOW).unwrap().is_empty());
    drop((consumer, got));
    store.close().unwrap();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    assert_eq!(sequences(&consumer.receive(10, NOW).unwrap()), [2, 4]);
    consumer.reject(&[4, 2]).unwrap();
    let again = consumer.receive(1, NOW).unwrap();
    assert_eq!((again[0].sequence(), again[0].deliveries()), (2, 2));
    consumer.seek(3).unwrap();
    assert_eq!(sequences(&consumer.receive(10, NOW).unwrap()), [3, 4]);
    assert_eq!(store.queues().unwrap()[0].consumers[0].waiting, 2);
}

#[test]
fn a_receive_takes_what_came_back_and_what_is_new_in_one_call() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    put(&store, queue, &["a"]);
    assert_eq!(sequences(&consumer.receive(9, NOW).unwrap()), [1]);
    put(&store, queue, &["b", "c"]);
    consumer.reject(&[1]).unwrap();
    assert_eq!(sequences(&consumer.receive(2, NOW).unwrap()), [1, 2]);
    put(&store, queue, &["d"]);
    assert_eq!(sequences(&consumer.receive(9, NOW).unwrap()), [3, 4]);
}

#[test]
fn a_receive_looks_past_any_number_of_acknowledged_messages() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let large = vec![7; 64 << 10];
    let some: Vec<Message<'_>> = (0..64).map(|_| Message::new(&large)).collect();
    store.put(queue, &some).unwrap();
    put(&store, queue, &["last"]);
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    consumer.ack(&(2..=64).collect::<Vec<u64>>()).unwrap();
    assert_eq!(sequences(&consumer.receive(1, NOW).unwrap()), [1]);
    assert_eq!(sequences(&consumer.receive(9, NOW).unwrap()), [65]);
}

#[test]
fn a_session_commits_puts_and_receives_as_one_and_rolls_both_back() {
    let place = Place::new();
    let store = place.open();
    let (from, to) = (store.queue("from").unwrap(), store.queue("to").unwrap());
    put(&store, from, &["x", "y"]);
    let consumer = store.consumer("mover", from, &ConsumerOptions::default()).unwrap();
    let mut session = store.session().unwrap();
    let got = session.receive(&consumer, 1, NOW).unwrap();
    session.put(to, &Message::new(got[0].payload())).unwrap();
    session.rollback().unwrap();
    assert!(session.is_empty());
    assert!(store.snapshot().unwrap().browse(to, 1, 10).unwrap().is_empty());
    let got = session.receive(&consumer, 2, NOW).unwrap();
    assert_eq!(payloads(&got), ["x", "y"]);
    assert_eq!(got[0].deliveries(), 2);
    session.put_many(to, &[Message::new(b"1"), Message::new(b"2")]).unwrap();
    let token = session.commit().unwrap().token;
    store.wait("consumer:mover", &[token], NOW).unwrap();
    let moved = store.snapshot().unwrap().browse(to, 1, 10).unwrap();
    assert_eq!(payloads(&moved), ["1", "2"]);
    assert_eq!(moved[0].transaction(), moved[1].transaction());
    drop(session);
    assert!(consumer.receive(1, NOW).unwrap().is_empty());
}

#[test]
fn a_token_is_handled_when_the_consumer_acknowledged_all_of_its_transaction() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    put(&store, queue, &["before"]);
    let both = store.put(queue, &[Message::new(b"1"), Message::new(b"2")]).unwrap().token;
    consumer.receive(10, NOW).unwrap();
    let late = |token| store.wait("consumer:c", &[token], NOW).unwrap_err().code();
    consumer.ack(&[2]).unwrap();
    assert_eq!(late(both), Code::Timeout);
    let port = Port::open().unwrap();
    store.watch("consumer:c", &[both], &port, 7).unwrap();
    assert!(port.drain(1, Duration::from_millis(20)).unwrap().is_empty());
    consumer.ack(&[3]).unwrap();
    store.wait("consumer:c", &[both], NOW).unwrap();
    let events = port.drain(1, SOON).unwrap();
    assert_eq!((events[0].tag, events[0].outcome.as_ref().unwrap().token), (7, both));
    assert_eq!(store.wait("consumer:d", &[both], NOW).unwrap_err().code(), Code::NoSuchName);
    assert_eq!(store.wait("nowhere", &[both], NOW).unwrap_err().code(), Code::Invalid);
}

#[test]
fn a_thousand_commits_in_flight_end_once_each_on_three_threads_at_most() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let port = Port::open().unwrap();
    let before = threads();
    let mut most = 0;
    for tag in 0..1000u64 {
        store.put_start(queue, &[Message::new(&tag.to_le_bytes())], &port, tag).unwrap();
        most = most.max(threads() - before);
    }
    let mut ended = Vec::new();
    while ended.len() < 1000 {
        for event in port.drain(64, SOON).unwrap() {
            assert_eq!(event.outcome.unwrap().level, Level::Power);
            ended.push(event.tag);
        }
        most = most.max(threads() - before);
    }
    ended.sort_unstable();
    assert_eq!(ended, (0..1000).collect::<Vec<u64>>());
    assert!(most <= 3, "{most} threads");
    let all = store.snapshot().unwrap().browse(queue, 1, 2000).unwrap();
    assert_eq!(all.len(), 1000);
    assert!(all.iter().enumerate().all(|(n, m)| m.payload() == (n as u64).to_le_bytes()));
}

fn threads() -> usize {
    // Other tests run beside this one, so only threads of the library are counted, by name.
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let named = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(|task| named(task.unwrap())).filter(|n| n.starts_with("repliq-commit")).count()
}

#[test]
fn a_port_can_be_polled_and_a_cancelled_tag_ends_once() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let port = Port::open().unwrap();
    let readable = |fd| {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // A test may call what the library may not.
        #[allow(unsafe_code)]
        // SAFETY: one valid entry, no wait.
        let count = unsafe { libc::poll(&mut poll, 1, 5_000 * i32::from(fd >= 0)) };
        count == 1
    };
    let fd = port.fd().unwrap();
    store.put_start(queue, &[Message::new(b"1")], &port, 1).unwrap();
    assert!(readable(fd));
    assert_eq!(port.drain(10, NOW).unwrap()[0].tag, 1);
    let never = store.put(queue, &[Message::new(b"2")]).unwrap().token;
    let ahead = repliq::Token::parse(&never.to_bytes()).unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    store.watch("consumer:c", &[ahead], &port, 2).unwrap();
    port.cancel(2).unwrap();
    let events = port.drain(10, SOON).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].outcome.as_ref().unwrap_err().code(), Code::Cancelled);
    assert_eq!(port.cancel(3).unwrap_err().code(), Code::NoSuchName);
    consumer.receive(10, NOW).unwrap();
    consumer.ack(&[1, 2]).unwrap();
    assert!(port.drain(10, Duration::from_millis(50)).unwrap().is_empty());
    port.close();
    assert_eq!(port.drain(1, SOON).unwrap_err().code(), Code::Closed);
}

#[test]
fn a_producers_repetition_returns_the_first_token_and_a_gap_is_out_of_order() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let message = |sequence| Message {
        payload: b"p",
        producer: "maker",
        producer_sequence: sequence,
        ..Message::default()
    };
    let first = store.put(queue, &[message(1)]).unwrap().token;
    assert_eq!(store.put(queue, &[message(1)]).unwrap().token, first);
    assert_eq!(store.put(queue, &[message(3)]).unwrap_err().code(), Code::OutOfOrder);
    store.close().unwrap();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    assert_eq!(store.put(queue, &[message(1)]).unwrap().token, first);
    store.put(queue, &[message(2), message(3)]).unwrap();
    assert_eq!(store.put(queue, &[message(1)]).unwrap_err().code(), Code::OutOfOrder);
    assert_eq!(store.snapshot().unwrap().browse(queue, 1, 10).unwrap().len(), 3);
}

#[test]
fn a_paused_queue_refuses_and_a_purged_one_is_empty_and_a_deleted_one_is_gone() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    put(&store, queue, &["a", "b"]);
    store.queue_pause(queue).unwrap();
    assert_eq!(store.put(queue, &[Message::new(b"c")]).unwrap_err().code(), Code::Paused);
    assert_eq!(consumer.receive(1, NOW).unwrap_err().code(), Code::Paused);
    store.queue_resume(queue).unwrap();
    store.queue_purge(queue).unwrap();
    assert!(consumer.receive(1, NOW).unwrap().is_empty());
    put(&store, queue, &["c"]);
    assert_eq!(sequences(&consumer.receive(5, NOW).unwrap()), [3]);
    store.queue_delete(queue).unwrap();
    assert_eq!(consumer.receive(1, NOW).unwrap_err().code(), Code::NoSuchName);
    assert_eq!(store.find_queue("q").unwrap_err().code(), Code::NoSuchName);
    let again = store.queue("q").unwrap();
    assert_ne!(again, queue);
    put(&store, again, &["d"]);
    assert_eq!(sequences(&store.snapshot().unwrap().browse(again, 1, 9).unwrap()), [1]);
}

#[test]
fn browsing_goes_on_behind_a_long_stretch_of_purged_messages() {
    let place = Place::new();
    // Without a helper no segment is given back, so that what was purged still lies there.
    let store = place.open_with(StoreOptions { helper: false, ..StoreOptions::default() });
    let queue = store.queue("q").unwrap();
    let large = vec![b'x'; 1_000];
    for _ in 0..5 {
        store.put(queue, &vec![Message::new(&large); 500]).unwrap();
    }
    store.queue_purge(queue).unwrap();
    put(&store, queue, &["alive"]);
    assert_eq!(payloads(&store.snapshot().unwrap().browse(queue, 1, 9).unwrap()), ["alive"]);
}

#[test]
fn expired_messages_are_passed_over_and_acknowledged_with_the_next_ones() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let old = Message { payload: b"old", expires_ms: 1, ..Message::default() };
    store.put(queue, &[old, Message::new(b"new"), old, Message::new(b"newer")]).unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let got = consumer.receive(10, NOW).unwrap();
    assert_eq!(payloads(&got), ["new", "newer"]);
    consumer.ack(&[2, 4]).unwrap();
    assert_eq!(store.queues().unwrap()[0].consumers[0].acknowledged, 4);
}

#[test]
fn what_was_passed_over_is_acknowledged_also_when_the_first_commit_fails() {
    let place = Place::new();
    let store = place.open();
    let (queue, other) = (store.queue("q").unwrap(), store.queue("other").unwrap());
    let old = Message { payload: b"old", expires_ms: 1, ..Message::default() };
    store.put(queue, &[old, Message::new(b"new"), old]).unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let mut session = store.session().unwrap();
    assert_eq!(payloads(&session.receive(&consumer, 10, NOW).unwrap()), ["new"]);
    session.put(other, &Message::new(b"out")).unwrap();
    store.queue_pause(other).unwrap();
    assert_eq!(session.commit().unwrap_err().code(), Code::Paused);
    store.queue_resume(other).unwrap();
    session.commit().unwrap();
    assert_eq!(store.queues().unwrap()[0].consumers[0].acknowledged, 3);
}

#[test]
fn a_message_that_came_back_counts_its_deliveries_also_when_a_commit_fails() {
    let place = Place::new();
    let store = place.open();
    let (queue, other) = (store.queue("q").unwrap(), store.queue("other").unwrap());
    put(&store, queue, &["a"]);
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let mut session = store.session().unwrap();
    session.receive(&consumer, 1, NOW).unwrap();
    session.rollback().unwrap();
    assert_eq!(session.receive(&consumer, 1, NOW).unwrap()[0].deliveries(), 2);
    session.put(other, &Message::new(b"out")).unwrap();
    store.queue_pause(other).unwrap();
    assert_eq!(session.commit().unwrap_err().code(), Code::Paused);
    session.rollback().unwrap();
    assert_eq!(session.receive(&consumer, 1, NOW).unwrap()[0].deliveries(), 3);
}

#[test]
fn a_receive_is_woken_by_a_put_and_ended_by_a_close() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| consumer.receive(10, SOON));
        std::thread::sleep(Duration::from_millis(20));
        put(&store, queue, &["a"]);
        assert_eq!(payloads(&waits.join().unwrap().unwrap()), ["a"]);
        let waits = scope.spawn(|| consumer.receive(10, Duration::from_secs(3600)));
        std::thread::sleep(Duration::from_millis(20));
        consumer.close();
        assert_eq!(waits.join().unwrap().unwrap_err().code(), Code::Closed);
    });
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let second = store.consumer("c", queue, &ConsumerOptions::default());
    assert_eq!(second.err().unwrap().code(), Code::Busy);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            consumer.receive(10, NOW).unwrap();
            consumer.receive(10, Duration::from_secs(3600))
        });
        std::thread::sleep(Duration::from_millis(20));
        store.close().unwrap();
        assert_eq!(waits.join().unwrap().unwrap_err().code(), Code::Closed);
    });
    assert_eq!(store.put(queue, &[Message::new(b"x")]).unwrap_err().code(), Code::Closed);
    store.close().unwrap();
}

#[test]
fn a_process_commit_is_visible_after_the_next_sync_and_begins_an_epoch_after_a_loss() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let commit = store.put_at(queue, &[Message::new(b"a")], Level::Process).unwrap();
    assert_eq!(commit.level, Level::Process);
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    assert_eq!(payloads(&consumer.receive(1, SOON).unwrap()), ["a"]);
    store.wait("", &[commit.token], SOON).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_the_transaction_goes_on() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    session.put(queue, &Message::new(b"fine")).unwrap();
    let large = vec![0; 17 << 20];
    let key = vec![b'k'; 70_000];
    let wrong = [
        (Message::new(&large), Code::TooLarge),
        (Message { key: &key, ..Message::default() }, Code::TooLarge),
        (Message { priority: 10, ..Message::default() }, Code::Invalid),
        (Message { producer: "p", ..Message::default() }, Code::Invalid),
        (Message { headers: &[("", b"")], ..Message::default() }, Code::Invalid),
    ];
    for (message, code) in wrong {
        let error = session.put_many(queue, &[Message::new(b"ok"), message]).unwrap_err();
        assert_eq!((error.code(), error.message_index()), (code, Some(1)), "{error}");
    }
    let long = "n".repeat(256);
    for (name, code) in [("", Code::Invalid), ("a\0b", Code::Invalid), (&long, Code::TooLarge)] {
        assert_eq!(store.queue(name).unwrap_err().code(), code);
    }
    assert_eq!(
        session.put(Queue::from_number(99), &Message::new(b"")).unwrap_err().code(),
        Code::NoSuchName
    );
    session.commit().unwrap();
    assert_eq!(payloads(&store.snapshot().unwrap().browse(queue, 1, 9).unwrap()), ["fine"]);
}

#[test]
fn a_new_consumer_may_begin_now_or_at_a_sequence() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    put(&store, queue, &["a", "b", "c"]);
    let open = |name, from| {
        let options = ConsumerOptions { from, ..ConsumerOptions::default() };
        store.consumer(name, queue, &options).unwrap()
    };
    let (now, two) = (open("now", From::Now), open("two", From::Sequence(2)));
    put(&store, queue, &["d"]);
    assert_eq!(payloads(&now.receive(9, NOW).unwrap()), ["d"]);
    assert_eq!(payloads(&two.receive(9, NOW).unwrap()), ["b", "c", "d"]);
}

fn listen(
    options: &ListenerOptions,
    transactions: &[&[(&str, &str)]],
    mut handler: impl FnMut(&[Received]) -> Handled + Send + 'static,
) -> (Place, Store, Listener, mpsc::Receiver<Vec<String>>) {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("work").unwrap();
    for transaction in transactions {
        let message = |(key, payload): &(&'static str, &'static str)| Message {
            key: key.as_bytes(),
            payload: payload.as_bytes(),
            ..Message::default()
        };
        // The test's texts live for ever; only the slices around them do not.
        let all: Vec<(&'static str, &'static str)> =
            transaction.iter().map(|(k, p)| (leak(k), leak(p))).collect();
        let messages: Vec<Message<'_>> = all.iter().map(message).collect();
        store.put(queue, &messages).unwrap();
    }
    let consumer = store.consumer("worker", queue, &ConsumerOptions::default()).unwrap();
    let (tell, told) = mpsc::channel();
    let listener = Listener::open(&store, consumer, options, move |_, unit| {
        let handled = handler(unit);
        if handled == Handled::Done {
            tell.send(payloads(unit)).unwrap();
        }
        handled
    })
    .unwrap();
    (place, store, listener, told)
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_string().into_boxed_str())
}

#[test]
fn a_listener_gets_messages_or_whole_jobs_in_order() {
    let jobs: &[&[(&str, &str)]] = &[&[("", "a"), ("", "b")], &[("", "c")]];
    let (_place, _store, listener, told) =
        listen(&ListenerOptions::default(), jobs, |_| Handled::Done);
    for expected in ["a", "b", "c"] {
        assert_eq!(told.recv_timeout(SOON).unwrap(), [expected]);
    }
    listener.close().unwrap();
    let options = ListenerOptions { unit: Unit::Job, ..ListenerOptions::default() };
    let mut first = true;
    let (_place, _store, _listener, told) = listen(&options, jobs, move |_| {
        let failed = std::mem::take(&mut first);
        if failed { Handled::Retry("once".into()) } else { Handled::Done }
    });
    assert_eq!(told.recv_timeout(SOON).unwrap(), ["a", "b"]);
    assert_eq!(told.recv_timeout(SOON).unwrap(), ["c"]);
}

#[test]
fn a_parked_key_waits_and_the_others_go_on() {
    let options = ListenerOptions { policy: Policy::Park, ..ListenerOptions::default() };
    let work: &[&[(&str, &str)]] = &[&[("x", "1")], &[("y", "2")], &[("x", "3")], &[("z", "4")]];
    let (_place, store, listener, told) = listen(&options, work, |unit| {
        if unit[0].payload() == b"1" { Handled::Retry("no".into()) } else { Handled::Done }
    });
    assert_eq!(told.recv_timeout(SOON).unwrap(), ["2"]);
    assert_eq!(told.recv_timeout(SOON).unwrap(), ["4"]);
    assert_eq!(listener.status().parked, [(b"x".to_vec(), "no".to_string())]);
    listener.close().unwrap();
    let queue = store.queue("work").unwrap();
    let consumer = store.consumer("worker", queue, &ConsumerOptions::default()).unwrap();
    assert_eq!(payloads(&consumer.receive(9, NOW).unwrap()), ["1", "3"]);
}

#[test]
fn a_dead_letter_moves_with_its_reason_after_its_failures() {
    let policy = Policy::DeadLetter { after: 2, queue: "dead".into() };
    let options = ListenerOptions { policy, retry_ms: 1, ..ListenerOptions::default() };
    let work: &[&[(&str, &str)]] = &[&[("x", "bad")], &[("y", "good")]];
    let (_place, store, listener, told) = listen(&options, work, |unit| {
        assert_ne!(unit[0].payload(), b"bad", "the handler panics on this one");
        Handled::Done
    });
    assert_eq!(told.recv_timeout(SOON).unwrap(), ["good"]);
    let dead = store.find_queue("dead").unwrap();
    let letters = store.snapshot().unwrap().browse(dead, 1, 9).unwrap();
    assert_eq!(payloads(&letters), ["bad"]);
    let headers: Vec<_> = letters[0].headers().collect();
    assert_eq!(headers[0], ("repliq-reason", &b"the handler panicked"[..]));
    assert_eq!(headers[1], ("repliq-failures", &b"2"[..]));
    assert_eq!((listener.status().failed, listener.status().dead), (2, 1));
}

#[test]
fn a_payload_is_written_straight_into_the_transaction() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("orders").unwrap();
    let mut session = store.session().unwrap();
    let fill = |room: &mut [u8]| -> Result<(), repliq::Error> {
        assert_eq!(room, [0; 5]);
        room.copy_from_slice(b"first");
        Ok(())
    };
    let message = Message { kind: 7, key: b"key", ..Message::default() };
    session.put_filled(queue, &message, 5, fill).unwrap();
    session.put_filled(queue, &Message::default(), 0, |_| Ok::<(), repliq::Error>(())).unwrap();
    // What is refused, and what `fill` itself refuses, leaves nothing behind.
    let refusal = || Token::parse(b"no token").map(|_| ());
    let given = session.put_filled(queue, &Message::new(b"x"), 5, fill).unwrap_err();
    let key = Message { key: &[0; 70_000], ..Message::default() };
    let large = session.put_filled(queue, &key, 5, fill).unwrap_err();
    let filled = session.put_filled(queue, &message, 5, |_| refusal()).unwrap_err();
    assert_eq!(
        [given.code(), large.code(), filled.code()],
        [Code::Invalid, Code::TooLarge, Code::Invalid]
    );
    assert_eq!(large.message_index(), Some(0));
    session.put(queue, &Message::new(b"last")).unwrap();
    session.commit().unwrap();
    store.close().unwrap();
    let store = place.open();
    let found = store.snapshot().unwrap().browse(queue, 1, 10).unwrap();
    assert_eq!(payloads(&found), ["first", "", "last"]);
    assert_eq!((found[0].kind(), found[0].key()), (7, b"key".as_slice()));
}

#[test]
fn an_open_starts_no_thread_and_opens_no_socket() {
    // In a process of its own, where no other test starts anything.
    if std::env::var_os("REPLIQ_TEST_ALONE").is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "an_open_starts_no_thread_and_opens_no_socket", "--test-threads=1"])
            .env("REPLIQ_TEST_ALONE", "1")
            .output()
            .unwrap();
        assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
        return;
    }
    let count = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = count();
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    put(&store, queue, &["a"]);
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    assert_eq!(consumer.receive(1, NOW).unwrap().len(), 1);
    assert_eq!(count(), before);
    let targets = std::fs::read_dir("/proc/self/fd").unwrap();
    let sockets = targets
        .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count();
    assert_eq!(sockets, 0);
}

#[test]
#[allow(unsafe_code)]
fn a_forked_child_is_refused_and_its_end_unlocks_nothing() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    put(&store, queue, &["parent"]);
    // SAFETY: the child calls nothing that another thread of the parent could hold a lock of for ever, and
    // ends without running anything of the parent.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = [
            store.put(queue, &[Message::new(b"child")]).err(),
            store.snapshot().err(),
            store.consumer("c", queue, &ConsumerOptions::default()).err(),
            store.queue("other").err(),
        ];
        let all = refused.iter().all(|e| e.as_ref().is_some_and(|e| e.code() == Code::Forked));
        drop(store);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if all { 7 } else { 8 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:#x}");
    let second = Store::open(place.0.path().join("store"), &StoreOptions::default());
    assert_eq!(second.err().unwrap().code(), Code::Locked);
    put(&store, queue, &["still here"]);
    assert_eq!(payloads(&store.snapshot().unwrap().browse(queue, 1, 9).unwrap()).len(), 2);
}

#[test]
fn a_second_opener_looks_and_does_not_write() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    put(&store, queue, &["a", "b"]);
    let locked = Store::open(place.0.path().join("store"), &StoreOptions::default()).err().unwrap();
    assert_eq!(locked.code(), Code::Locked);
    assert!(locked.to_string().contains(&std::process::id().to_string()), "{locked}");
    let looker = place.open_with(StoreOptions { read_only: true, ..StoreOptions::default() });
    let seen = looker.find_queue("q").unwrap();
    let all = looker.snapshot().unwrap().browse(seen, 1, 9).unwrap();
    assert_eq!(payloads(&all), ["a", "b"]);
    assert_eq!(looker.put(seen, &[Message::new(b"c")]).unwrap_err().code(), Code::ReadOnly);
    assert!(looker.status().unwrap().contains("\"writable\": false"));
    looker.close().unwrap();
    put(&store, queue, &["c"]);
    let path = place.0.path().join("none");
    let missing = StoreOptions { create: false, ..StoreOptions::default() };
    assert_eq!(Store::open(&path, &missing).err().unwrap().code(), Code::NotAStore);
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("letter.txt"), "not yours").unwrap();
    let foreign = Store::open(&path, &StoreOptions::default()).err().unwrap();
    assert_eq!(foreign.code(), Code::NotAStore, "{foreign}");
    assert_eq!(std::fs::read(path.join("letter.txt")).unwrap(), b"not yours");
}

#[test]
fn sixteen_threads_share_their_syncs() {
    let place = Place::new();
    let store = place.open();
    let queue = store.queue("q").unwrap();
    let syncs = || {
        let status: serde_json::Value = serde_json::from_str(&store.status().unwrap()).unwrap();
        status["syncs"].as_u64().unwrap()
    };
    let before = syncs();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    store.put(queue, &[Message::new(&[0; 100])]).unwrap();
                }
            });
        }
    });
    let shared = syncs() - before;
    assert!(shared < 800 / 2, "{shared} syncs for 800 commits of 16 threads");
    assert_eq!(store.queues().unwrap()[0].messages, 800);
}
