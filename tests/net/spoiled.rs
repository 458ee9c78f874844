//! T10: requests of sessions and consumers that somebody spoiled, and answers to them, with right sums. Nobody panics,
//! everybody comes to an end, and a good client is served meanwhile.

use crate::fuzz::{SOON, count_panics, hear, panics};
use crate::mangle::Random;
use crate::place::{PASSWORD, Place, plain, url};
use crate::raw::{Raw, frame};
use crate::seeds;
use crate::sessions::{Asking, long};
use repliq::{
    Code, ConnectOptions, ConsumerOptions, Message, Server, SessionOptions, Store, StoreOptions,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Conversations of one seed.
const CONVERSATIONS: u64 = 60;
/// What stands where a length, a count or a number is.
const NUMBERS: [&[u8]; 5] = [&[0; 4], &[255; 4], &[1, 0, 0, 0], &[255, 255, 255, 127], &[0; 8]];
const NUMBERED: u8 = 113;

/// What a connection may speak of.
struct Seat {
    queue: [u8; 4],
    session: [u8; 4],
    id: Vec<u8>,
    epoch: u32,
    consumer: [u8; 4],
}

impl Seat {
    fn take(client: &mut Asking) -> Seat {
        let queue = client.number_of("q");
        let (session, id, epoch) = client.session();
        let since = Instant::now();
        loop {
            // How it gives out is all zeros: as a consumer does that nobody asked for more.
            let how = [&queue[..], &[1], b"c", &[0], &long(0), &[255], &[0; 45]];
            let (kind, body) = client.ask(104, &how);
            if kind == NUMBERED {
                return Seat { queue, session, id, epoch, consumer: body.try_into().unwrap() };
            }
            // That of the connection before is not gone yet.
            assert!(since.elapsed() < SOON, "the consumer is never free");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// One request of each kind, right as it stands.
    fn requests(&self, message: &[u8], transaction: u64) -> Vec<(u8, Vec<u8>)> {
        let (session, consumer) = (&self.session[..], &self.consumer[..]);
        let (number, one) = (long(transaction), 1u32.to_le_bytes());
        let place = [&self.epoch.to_be_bytes()[..], &transaction.to_be_bytes()].concat();
        let identity = [&self.id[..], &place].concat();
        let length = (message.len() as u32).to_le_bytes();
        let requests: [(u8, &[&[u8]]); 17] = [
            (96, &[&[1], b"q", &[1]]),
            (97, &[&[0], &[0; 12], &[0]]),
            (97, &[&[2], &[0; 12], &[1], b"n"]),
            (97, &[&[3], &[0; 12], &[0], &self.id, &self.epoch.to_le_bytes()]),
            (98, &[session, &number, &one, &self.queue, &length, message]),
            (99, &[session, &number, consumer, &one, &[0; 5]]),
            (100, &[session, &number, &[255], &long(transaction - 1)]),
            (101, &[session, &number, &[0]]),
            (102, &[session, &[0]]),
            (103, &[&identity]),
            (105, &[consumer, &one, &long(1)]),
            (106, &[consumer, &long(0), &[0], &[2, 0], b"no", &one, &long(1)]),
            (107, &[consumer, &long(1)]),
            (108, &[consumer]),
            (109, &[consumer, &one, &long(1)]),
            (110, &[session, &number, &[1], b"x"]),
            (111, &[&identity, &[1, 0]]),
        ];
        requests.iter().map(|(kind, parts)| (*kind, parts.concat())).collect()
    }
}

/// A user who asks for what he may ask for, in any order, and half of it wrongly.
fn work_badly(random: &mut Random, address: SocketAddr, message: &[u8]) {
    let mut client = Asking::new(Raw::log_in(address, "ann", PASSWORD, 5_000));
    let seat = Seat::take(&mut client);
    let mut raw = client.into_raw();
    for number in 0..=random.below(14) as u32 {
        let requests = seat.requests(message, 1 + random.below(4) as u64);
        let (mut kind, mut body) = requests[random.below(requests.len())].clone();
        if random.below(2) == 0 {
            body = random.change(&body, &NUMBERS);
        }
        if random.below(8) == 0 {
            kind = random.below(128) as u8;
        }
        raw.send(&frame(kind, &[&(1_000 + number).to_le_bytes()[..], &body].concat()));
    }
    hear(&mut raw);
}

/// A store with a message, its server, and the body of such a message.
fn office() -> (Place, Server, Vec<u8>) {
    let place = Place::new();
    let queue = place.store.queue("q").unwrap();
    place.store.put(queue, &[Message { key: b"k", ..Message::new(b"payload") }]).unwrap();
    let looked = place.store.snapshot().unwrap().browse(queue, 1, 1).unwrap();
    let server = place.plain();
    (place, server, looked[0].stored().0.to_vec())
}

fn far(url: &str, connect: ConnectOptions) -> repliq::Result<Store> {
    Store::open(url, &StoreOptions { connect, ..StoreOptions::default() })
}

#[test]
fn no_request_of_a_session_makes_a_server_panic_hang_or_store_what_cannot_be_read() {
    count_panics();
    let (place, server, message) = office();
    let test = "net spoiled::no_request_of_a_session_makes_a_server_panic_hang_or_store_what_cannot_be_read";
    seeds::run("T10 sessions", test, 4, |seed| {
        let mut random = Random::new(seed);
        for _ in 0..CONVERSATIONS {
            work_badly(&mut random, server.addresses()[0], &message);
        }
        assert_eq!(panics(), 0, "a thread of the server panicked");
        let store = far(&url(&server), plain(PASSWORD)).unwrap();
        let after = store.queue(&format!("after {seed}")).unwrap();
        let mut session = store.session().unwrap();
        session.put(after, &Message::new(b"good")).unwrap();
        session.commit().unwrap();
        drop(session);
        store.close().unwrap();
        place.store.verify(&mut |_| Ok(())).unwrap();
        CONVERSATIONS
    });
}

/// Hands on what both say, and spoils an answer of the server now and then, with its sum.
fn between(seed: u64, server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            let random = Random::new(seed.wrapping_mul(1_000).wrapping_add(number as u64));
            std::thread::spawn(move || spoil(random, &server, &client));
        }
    });
    address
}

fn spoil(mut random: Random, mut server: &TcpStream, mut client: &TcpStream) {
    let (mut heard, mut said, mut greeted) = (Vec::new(), Vec::new(), false);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        heard.extend_from_slice(&buffer[..count]);
        if !greeted && heard.len() >= 8 {
            said.extend(heard.drain(..8));
            greeted = true;
        }
        while greeted && heard.len() >= 12 {
            let length = u32::from_le_bytes(heard[..4].try_into().unwrap()) as usize;
            if heard.len() < 12 + length {
                break;
            }
            let whole: Vec<u8> = heard.drain(..12 + length).collect();
            // The login has a test of its own.
            match whole[8] >= 64 && random.below(12) == 0 {
                true => said.extend(frame(whole[8], &random.change(&whole[12..], &NUMBERS))),
                false => said.extend(whole),
            }
        }
        if client.write_all(&said).is_err() {
            break;
        }
        said.clear();
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// What a program does with a store at a server.
fn use_store(store: &Store) -> repliq::Result<()> {
    let short = Duration::from_millis(20);
    let queue = store.queue("q")?;
    let named = SessionOptions { name: "mover".into(), takeover: true, ..Default::default() };
    let mut session = store.session_with(&named)?;
    let reader = store.consumer("c", queue, &ConsumerOptions::default())?;
    let got = session.receive(&reader, 3, short)?;
    for one in &got {
        session.put(queue, &Message { key: one.key(), ..Message::new(one.payload()) })?;
    }
    let id = session.id()?;
    let commit = session.commit()?;
    store.resolve(&id)?;
    let sequences: Vec<u64> = reader.receive(3, short)?.iter().map(|one| one.sequence()).collect();
    reader.ack(&sequences)?;
    store.put(queue, &[Message::new(b"one more")])?;
    store.snapshot()?.browse(queue, 1, 9)?;
    store.queues()?;
    store.prepared()?;
    match store.wait("", &[commit.token], short) {
        Err(error) if error.code() != Code::Timeout => Err(error),
        _ => Ok(()),
    }
}

#[test]
fn no_answer_to_a_session_makes_a_client_panic_or_hang() {
    count_panics();
    let (_place, server, _) = office();
    let test = "net spoiled::no_answer_to_a_session_makes_a_client_panic_or_hang";
    seeds::run("T10 answers", test, 3, |seed| {
        let address = between(seed, server.addresses()[0]);
        let options = ConnectOptions { connect_timeout_ms: 1_000, ..plain(PASSWORD) };
        let mut failed = 0;
        for _ in 0..20 {
            let since = Instant::now();
            let used = far(&format!("repliq://ann@{address}"), options.clone()).and_then(|store| {
                let used = use_store(&store);
                store.close()?;
                used
            });
            if let Err(error) = used {
                failed += 1;
                assert!(error.code() != Code::Panic, "{error}");
            }
            assert!(since.elapsed() < 4 * SOON, "it took {:?}", since.elapsed());
        }
        println!("seed {seed}: {failed} of 20 failed");
        assert_eq!(panics(), 0, "a thread of the client panicked");
        20
    });
}
