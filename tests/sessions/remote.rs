//! What only a store at a server can get wrong.

use crate::place::{NOW, Place, SOON, by_url, connect, deliveries, payloads, put, until, waiting};
use repliq::{
    Client, Code, ConnectOptions, ConsumerOptions, Endpoint, Handled, Level, Listener,
    ListenerOptions, Message, Outcome, Policy, Port, SessionOptions, StoreOptions,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// A wire between a client and its server that can be cut, held, and told to cut at a certain byte.
pub struct Cable {
    address: String,
    shared: Arc<Wire>,
}

#[derive(Default)]
struct Wire {
    /// Bytes towards the server that still pass before everything is cut.
    left_up: AtomicU64,
    /// The same towards the client.
    left_down: AtomicU64,
    held: AtomicBool,
    ends: Mutex<Vec<TcpStream>>,
}

const UNCUT: u64 = u64::MAX / 2;

impl Cable {
    pub fn to(place: &Place) -> Cable {
        let server = place.server.as_ref().unwrap().addresses()[0].to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Wire::default());
        shared.left_up.store(UNCUT, Ordering::SeqCst);
        shared.left_down.store(UNCUT, Ordering::SeqCst);
        let wire = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { break };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let of = |stream: &TcpStream| stream.try_clone().unwrap();
                wire.ends.lock().unwrap().extend([of(&client), of(&server)]);
                let (up, down) = (wire.clone(), wire.clone());
                let (from, to) = (of(&client), of(&server));
                std::thread::spawn(move || carry(from, to, &up, |wire| &wire.left_up));
                std::thread::spawn(move || carry(server, client, &down, |wire| &wire.left_down));
            }
        });
        Cable { address, shared }
    }

    pub fn url(&self) -> String {
        format!("repliq://ann@{}", self.address)
    }

    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Lets so many bytes more through to the client before everything is cut.
    pub fn let_down(&self, bytes: u64) {
        self.shared.left_down.store(bytes, Ordering::SeqCst);
    }

    /// The same towards the server.
    pub fn let_up(&self, bytes: u64) {
        self.shared.left_up.store(bytes, Ordering::SeqCst);
    }

    /// Lets everything through again.
    pub fn let_all(&self) {
        self.shared.left_up.store(UNCUT, Ordering::SeqCst);
        self.shared.left_down.store(UNCUT, Ordering::SeqCst);
    }

    pub fn hold(&self, held: bool) {
        self.shared.held.store(held, Ordering::SeqCst);
    }
}

impl Wire {
    fn cut(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
        self.left_up.store(UNCUT, Ordering::SeqCst);
        self.left_down.store(UNCUT, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, wire: &Wire, left: fn(&Wire) -> &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while wire.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let allowed = left(wire).load(Ordering::SeqCst);
        let pass = (count as u64).min(allowed) as usize;
        if to.write_all(&buffer[..pass]).is_err() {
            break;
        }
        if pass < count {
            wire.cut();
            break;
        }
        left(wire).fetch_sub(pass as u64, Ordering::SeqCst);
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_store_is_opened_by_url_over_tcp_and_a_socket_and_says_what_it_cannot_do() {
    let place = Place::remote();
    for url in [place.url("ann"), place.socket()] {
        let options = StoreOptions {
            password: Some("secret".into()),
            connect: ConnectOptions { plain: true, ..ConnectOptions::default() },
            ..StoreOptions::default()
        };
        let store = repliq::Store::open(&url, &options).unwrap();
        let queue = store.queue("q").unwrap();
        assert_eq!(store.find_queue("q").unwrap(), queue);
        assert_eq!(store.queue_name(queue).unwrap(), "q");
        let token = put(&store, queue, &["1"]).token;
        store.wait("", &[token], SOON).unwrap();
        assert_eq!(store.queues().unwrap(), place.own.queues().unwrap());
        assert!(store.status().unwrap().contains("\"queues\""));
        store.queue_pause(queue).unwrap();
        let error = store.put(queue, &[Message::new(b"x")]).unwrap_err();
        assert_eq!(error.code(), Code::Paused);
        store.queue_resume(queue).unwrap();
        let purged = store.queue_purge(queue).unwrap();
        place.own.wait("", &[purged.token], SOON).unwrap();
        assert!(waiting(&store, queue).is_empty());
        assert_eq!(store.find_queue("none").unwrap_err().code(), Code::NoSuchName);
        let refused = [
            store.backup("x").map(|_| ()),
            store.change_password(&"x".into()),
            store.claim().map(|_| ()),
            store.metrics().map(|_| ()),
            repliq::Server::open(&store, &repliq::ServerOptions::default()).map(|_| ()),
            repliq::Replication::open(&store, queue, &Default::default()).map(|_| ()),
        ];
        for outcome in refused {
            assert_eq!(outcome.unwrap_err().code(), Code::Unsupported);
        }
        store.queue_delete(queue).unwrap();
        store.close().unwrap();
        assert_eq!(store.put(queue, &[Message::new(b"x")]).unwrap_err().code(), Code::Closed);
    }
    let error = by_url(&format!("{}/orders", place.url("ann")), connect()).err().unwrap();
    assert_eq!(error.code(), Code::Invalid);
    let wrong = ConnectOptions { password: Some("no".into()), ..connect() };
    assert_eq!(by_url(&place.url("ann"), wrong).err().unwrap().code(), Code::Denied);
}

#[test]
fn an_enqueue_wakes_a_consumer_that_waits_at_a_server_at_once() {
    let place = Place::remote();
    let queue = place.store.queue("q").unwrap();
    let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let (told, hears) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                told.send(()).unwrap();
                let got = reader.receive(1, Duration::from_secs(60)).unwrap();
                reader.ack(&[got[0].sequence()]).unwrap();
            }
            told.send(()).unwrap();
        });
        let since = Instant::now();
        for n in 0..20 {
            hears.recv_timeout(SOON).unwrap();
            std::thread::sleep(Duration::from_millis(5));
            let level = if n % 2 == 0 { Level::Power } else { Level::Process };
            place.own.put_at(queue, &[Message::new(b"x")], level).unwrap();
        }
        hears.recv_timeout(SOON).unwrap();
        assert!(since.elapsed() < SOON, "twenty messages took as long as a wait");
    });
}

#[test]
fn rights_are_asked_for_every_queue_of_a_transaction() {
    let place = Place::remote();
    let (from, to) = (place.own.queue("in").unwrap(), place.own.queue("out").unwrap());
    let other = place.own.queue("other").unwrap();
    put(&place.own, from, &["1"]);
    let cid = by_url(&place.url("cid"), connect()).unwrap();
    assert_eq!(cid.queue("in").unwrap(), from);
    assert_eq!(cid.queue("other").unwrap_err().code(), Code::Denied);
    assert_eq!(cid.queue("new").unwrap_err().code(), Code::Denied);
    let mut session = cid.session().unwrap();
    let reader = cid.consumer("r", from, &ConsumerOptions::default()).unwrap();
    assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
    session.put(to, &Message::new(b"moved")).unwrap();
    session.commit().unwrap();
    for denied in [from, other] {
        session.put(denied, &Message::new(b"x")).unwrap();
        let error = session.commit().unwrap_err();
        assert_eq!((error.code(), error.cause()), (Code::RolledBack, Code::Denied));
    }
    let error = cid.consumer("r", to, &ConsumerOptions::default()).err().unwrap();
    assert_eq!(error.code(), Code::Denied);
    assert_eq!(waiting(&place.own, to), ["moved"]);
    assert!(waiting(&place.own, other).is_empty());
}

#[test]
fn a_transaction_is_told_to_its_own_user_and_to_an_administrator_only() {
    let place = Place::remote();
    let cid = by_url(&place.url("cid"), connect()).unwrap();
    let ben = by_url(&place.url("ben"), connect()).unwrap();
    let of_cid = cid.session().unwrap().id().unwrap();
    let mut session = place.store.session().unwrap();
    let of_ann = session.id().unwrap();
    assert_eq!(cid.resolve(&of_ann).unwrap_err().code(), Code::Denied);
    assert_eq!(ben.resolve(&of_cid).unwrap(), Outcome::RolledBack);
    assert_eq!(place.store.resolve(&of_ann).unwrap(), Outcome::RolledBack);
    let named = SessionOptions { name: "x".into(), ..SessionOptions::default() };
    let _held = place.store.session_with(&named).unwrap();
    let takeover = SessionOptions { takeover: true, ..named };
    assert_eq!(ben.session_with(&takeover).err().unwrap().code(), Code::Denied);
}

#[test]
fn txs_10_a_put_that_was_refused_and_ignored_dooms_the_commit() {
    let place = Place::remote();
    let (queue, gone) = (place.store.queue("q").unwrap(), place.store.queue("gone").unwrap());
    place.own.queue_delete(gone).unwrap();
    let mut session = place.store.session().unwrap();
    session.put(queue, &Message::new(b"1")).unwrap();
    // The server may tell at the put or later, but never commits a part.
    let _ignored = session.put(gone, &Message::new(b"2"));
    let _ignored = session.put(queue, &Message::new(b"3"));
    let error = session.commit().unwrap_err();
    assert_eq!((error.code(), error.cause()), (Code::RolledBack, Code::NoSuchName));
    assert!(session.commit().unwrap().token.is_empty(), "the next transaction has begun");
    assert!(waiting(&place.own, queue).is_empty());
    session.put(queue, &Message::new(b"4")).unwrap();
    session.commit().unwrap();
    assert_eq!(waiting(&place.own, queue), ["4"]);
}

#[test]
fn txs_13_a_lost_connection_rolls_back_and_gives_back_and_the_session_goes_on() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    put(&place.own, queue, &["1", "2"]);
    let cable = Cable::to(&place);
    let store = by_url(&cable.url(), connect()).unwrap();
    let reader = store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let mut session = store.session().unwrap();
    let id = session.id().unwrap();
    assert_eq!(session.receive(&reader, 2, SOON).unwrap().len(), 2);
    session.put(queue, &Message::new(b"never")).unwrap();
    cable.cut();
    let error = loop {
        match session
            .put(queue, &Message::new(&[7; 70_000]))
            .and_then(|()| session.receive(&reader, 1, NOW).map(|_| ()))
        {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::RolledBack, "{error}");
    let again = session.receive(&reader, 9, SOON).unwrap();
    assert_eq!((payloads(&again).concat(), deliveries(&again).len()), ("12".into(), 2));
    session.put(queue, &Message::new(b"3")).unwrap();
    session.commit().unwrap();
    let later = session.id().unwrap();
    assert_eq!(later.session, id.session, "the session is the same");
    assert!(later > id);
    assert_eq!(place.own.resolve(&id).unwrap(), Outcome::Expired);
    let seen: Vec<String> = waiting(&place.own, queue);
    assert_eq!(seen, ["3"]);
}

#[test]
fn txs_15_a_connection_cut_at_any_byte_of_a_commit_gives_the_outcome_readers_see() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    let cable = Cable::to(&place);
    let store = by_url(&cable.url(), connect()).unwrap();
    let mut session = store.session().unwrap();
    let (mut committed, mut rolled_back) = (0, 0);
    let mut expected = Vec::new();
    for step in 0..60 {
        let payload = format!("message {step}");
        let id = session.id().unwrap();
        let (left, bytes) = match step % 2 {
            0 => (&cable.shared.left_up, step * 3),
            _ => (&cable.shared.left_down, step * 2),
        };
        left.store(bytes, Ordering::SeqCst);
        session.put(queue, &Message::new(payload.as_bytes())).unwrap();
        let outcome = session.commit();
        cable.shared.left_up.store(UNCUT, Ordering::SeqCst);
        cable.shared.left_down.store(UNCUT, Ordering::SeqCst);
        match outcome {
            Ok(commit) => {
                committed += 1;
                expected.push(payload);
                let told = place.own.resolve(&id).unwrap();
                assert_eq!(told, Outcome::Committed(commit.token), "step {step}");
            }
            Err(error) => {
                rolled_back += 1;
                assert_eq!(error.code(), Code::RolledBack, "step {step}: {error}");
                assert_eq!(place.own.resolve(&id).unwrap(), Outcome::RolledBack, "step {step}");
            }
        }
    }
    assert_eq!(waiting(&place.own, queue), expected);
    assert!(committed > 5 && rolled_back > 5, "{committed} committed, {rolled_back} rolled back");
}

#[test]
fn txs_16_a_commit_that_is_asked_for_many_times_is_one_effect_and_one_token() {
    let place = Place::remote();
    let queue = place.store.queue("q").unwrap();
    let mut session = place.store.session().unwrap();
    let id = session.id().unwrap();
    session.put(queue, &Message::new(b"1")).unwrap();
    let token = session.commit().unwrap().token;
    let other = by_url(&place.url("ann"), connect()).unwrap();
    for store in [&place.store, &other, &place.own] {
        for _ in 0..10 {
            assert_eq!(store.resolve(&id).unwrap(), Outcome::Committed(token));
        }
    }
    assert_eq!(waiting(&place.store, queue), ["1"]);
}

#[test]
fn txs_19_a_commit_without_an_answer_in_time_is_unknown_and_is_told_later() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    let cable = Cable::to(&place);
    let patient = ConnectOptions { connect_timeout_ms: 1_000, heartbeat_ms: 5_000, ..connect() };
    let store = by_url(&cable.url(), patient).unwrap();
    let mut session = store.session().unwrap();
    let id = session.id().unwrap();
    session.put(queue, &Message::new(b"1")).unwrap();
    cable.hold(true);
    let error = session.commit().unwrap_err();
    assert_eq!(error.code(), Code::OutcomeUnknown, "{error}");
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    cable.hold(false);
    let outcome = place.own.resolve(&id).unwrap();
    let there = waiting(&place.own, queue) == ["1"];
    assert_eq!(matches!(outcome, Outcome::Committed(_)), there);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(place.own.resolve(&id).unwrap(), outcome, "a late packet changed it");
    assert_eq!(waiting(&place.own, queue) == ["1"], there);
}

#[test]
fn who_waits_for_a_server_that_is_silent_can_be_called_away() {
    static AWAY: AtomicBool = AtomicBool::new(false);
    let look = || AWAY.load(Ordering::SeqCst);
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    put(&place.own, queue, &["1"]);
    let cable = Cable::to(&place);
    let patient = ConnectOptions { connect_timeout_ms: 60_000, heartbeat_ms: 20_000, ..connect() };
    let store = by_url(&cable.url(), patient).unwrap();
    let reader = store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let (mut session, mut other) = (store.session().unwrap(), store.session().unwrap());
    let id = session.id().unwrap();
    session.put(queue, &Message::new(b"2")).unwrap();
    AWAY.store(true, Ordering::SeqCst);
    // Outside of such a call nobody looks.
    store.queue("q").unwrap();
    cable.hold(true);
    let since = Instant::now();
    repliq::interruptible(look, || {
        assert_eq!(store.queue("another").unwrap_err().code(), Code::Cancelled);
        let error = other.receive(&reader, 1, Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.code(), Code::Cancelled);
        let error = reader.receive(1, Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.code(), Code::Cancelled);
        let error = store.wait("", &[], Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.code(), Code::Cancelled);
        let error = session.commit().unwrap_err();
        assert_eq!((error.code(), error.cause()), (Code::OutcomeUnknown, Code::Cancelled));
    });
    assert!(since.elapsed() < SOON, "it took as long as a wait");
    cable.hold(false);
    let committed = matches!(store.resolve(&id).unwrap(), Outcome::Committed(_));
    assert_eq!(waiting(&store, queue).contains(&"2".into()), committed);
    // What the server gave out meanwhile was seen by nobody, and comes again.
    other.rollback().unwrap();
    assert_eq!(payloads(&other.receive(&reader, 1, SOON).unwrap()), ["1"]);
    other.commit().unwrap();
}

#[test]
fn txs_29_an_open_transaction_slows_nobody_and_is_rolled_back_when_it_is_idle() {
    let place = Place::remote();
    let queue = place.store.queue("q").unwrap();
    put(&place.store, queue, &["mine"]);
    let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let options = SessionOptions { idle_ms: 300, ..SessionOptions::default() };
    let mut session = place.store.session_with(&options).unwrap();
    assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
    session.put(queue, &Message::new(b"late")).unwrap();
    let other = place.store.consumer("other", queue, &ConsumerOptions::default()).unwrap();
    assert_eq!(other.receive(9, SOON).unwrap().len(), 1);
    std::thread::sleep(Duration::from_millis(800));
    let again = reader.receive(9, SOON).unwrap();
    assert_eq!((payloads(&again), deliveries(&again)), (vec!["mine".into()], vec![2]));
    let error = session.commit().unwrap_err();
    assert_eq!(error.code(), Code::RolledBack, "{error}");
    session.put(queue, &Message::new(b"next")).unwrap();
    session.commit().unwrap();
    assert_eq!(waiting(&place.own, queue), ["mine", "next"]);
}

#[test]
fn a_large_transaction_is_staged_at_the_server_and_no_part_of_it_is_seen_before() {
    let place = Place::remote();
    let queue = place.store.queue("q").unwrap();
    let mut session = place.store.session().unwrap();
    let payload = vec![1; 100_000];
    for n in 0..100 {
        session.put(queue, &Message::new(&payload)).unwrap();
        if n % 25 == 0 {
            assert_eq!(place.own.queues().unwrap()[0].next_sequence, 1);
        }
    }
    assert_eq!(place.own.queues().unwrap()[0].next_sequence, 1);
    session.commit().unwrap();
    assert_eq!(place.own.queues().unwrap()[0].next_sequence, 101);
    // A message of the largest size goes alone.
    let largest = vec![2; repliq::limits::MESSAGE_BYTES_MAX - 512];
    session.put(queue, &Message::new(b"small")).unwrap();
    session.put(queue, &Message::new(&largest)).unwrap();
    session.commit().unwrap();
    let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let mut count = 0;
    while count < 102 {
        let got = reader.receive(50, SOON).unwrap();
        count += got.len();
        reader.ack(&got.iter().map(repliq::Received::sequence).collect::<Vec<_>>()).unwrap();
    }
    assert!(reader.receive(1, NOW).unwrap().is_empty());
}

#[test]
fn many_sessions_of_one_connection_commit_beside_each_other_and_none_is_lost() {
    let place = Place::remote();
    let (from, to) = (place.store.queue("from").unwrap(), place.store.queue("to").unwrap());
    let texts: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    put(&place.store, from, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let reader = place.store.consumer("r", from, &ConsumerOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (store, reader) = (place.store.clone(), &reader);
            scope.spawn(move || {
                let mut session = store.session().unwrap();
                for turn in 0.. {
                    let got = session.receive(reader, 5, Duration::from_millis(200)).unwrap();
                    if got.is_empty() {
                        break;
                    }
                    for one in &got {
                        session.put(to, &Message::new(one.payload())).unwrap();
                    }
                    if (turn + worker) % 7 == 0 {
                        session.rollback().unwrap();
                    } else {
                        session.commit().unwrap();
                    }
                }
            });
        }
    });
    // What the last roll backs gave back.
    let mut session = place.store.session().unwrap();
    loop {
        let got = session.receive(&reader, 50, NOW).unwrap();
        if got.is_empty() {
            break;
        }
        for one in &got {
            session.put(to, &Message::new(one.payload())).unwrap();
        }
        session.commit().unwrap();
    }
    let mut seen: Vec<u32> =
        waiting(&place.own, to).iter().map(|text| text.parse().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..400).collect::<Vec<_>>());
}

#[test]
fn puts_and_commits_that_are_started_end_on_their_port() {
    let place = Place::remote();
    let queue = place.store.queue("q").unwrap();
    let port = Port::open().unwrap();
    for tag in 0..100 {
        place.store.put_start(queue, &[Message::new(b"x")], &port, tag).unwrap();
    }
    let mut session = place.store.session().unwrap();
    session.put(queue, &Message::new(b"y")).unwrap();
    session.commit_start(&port, 100).unwrap();
    let mut ended = Vec::new();
    while ended.len() < 101 {
        let events = port.drain(200, SOON).unwrap();
        assert!(!events.is_empty());
        ended.extend(events);
    }
    let last = ended.last().unwrap().outcome.clone().unwrap().token;
    assert!(ended.iter().all(|event| event.outcome.is_ok()));
    let mut tags: Vec<u64> = ended.iter().map(|event| event.tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..=100).collect::<Vec<_>>());
    place.store.watch("", &[last], &port, 7).unwrap();
    assert_eq!(port.drain(1, SOON).unwrap()[0].outcome.clone().unwrap().token, last);
    let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    assert_eq!(reader.receive(200, SOON).unwrap().len(), 101);
    reader.watch(&port, 8).unwrap();
    assert!(port.drain(1, Duration::from_millis(100)).unwrap().is_empty());
    put(&place.own, queue, &["z"]);
    assert_eq!(port.drain(1, SOON).unwrap()[0].tag, 8);
    assert_eq!(payloads(&reader.receive(1, NOW).unwrap()), ["z"]);
}

#[test]
fn txs_22_a_listener_works_on_the_messages_of_a_server_and_commits_with_them() {
    let place = Place::remote();
    let (from, to) = (place.store.queue("from").unwrap(), place.store.queue("to").unwrap());
    put(&place.store, from, &["1", "bad", "2"]);
    let reader = place.store.consumer("r", from, &ConsumerOptions::default()).unwrap();
    let policy = Policy::DeadLetter { after: 2, queue: "dead".into() };
    let options = ListenerOptions { policy, retry_ms: 1, ..ListenerOptions::default() };
    let listener = Listener::open(&place.store, reader, &options, move |session, messages| {
        session.put(to, &Message::new(messages[0].payload())).unwrap();
        match messages[0].payload() {
            b"bad" => Handled::Retry("it is bad".into()),
            _ => Handled::Done,
        }
    })
    .unwrap();
    until("all are worked on", || listener.status().done + listener.status().dead == 3);
    listener.close().unwrap();
    assert_eq!(waiting(&place.own, to), ["1", "2"]);
    let dead = place.own.find_queue("dead").unwrap();
    assert_eq!(waiting(&place.own, dead), ["bad"]);
}

#[test]
fn a_client_without_patience_and_a_server_that_ends_its_connection_lose_nothing() {
    let place = Place::remote();
    let queue = place.own.queue("q").unwrap();
    let endpoint = Endpoint::parse(&place.url("ann")).unwrap();
    let admin = Client::connect(&endpoint, &connect()).unwrap();
    let store = by_url(&place.url("ben"), connect()).unwrap();
    let mut done = 0;
    for turn in 0..10 {
        if turn % 3 == 1 {
            let status: serde_json::Value = serde_json::from_str(&admin.server().unwrap()).unwrap();
            let of_ben = status["connections"].as_array().unwrap().iter();
            for row in of_ben.filter(|row| row["user"] == "ben") {
                admin.disconnect(row["connection"].as_u64().unwrap()).unwrap();
            }
        }
        let payload = turn.to_string();
        loop {
            match store.put(queue, &[Message::new(payload.as_bytes())]) {
                Ok(_) => break,
                Err(error) => assert_eq!(error.code(), Code::RolledBack, "{error}"),
            }
        }
        done += 1;
    }
    let expected: Vec<String> = (0..done).map(|n: u32| n.to_string()).collect();
    assert_eq!(waiting(&place.own, queue), expected);
}
