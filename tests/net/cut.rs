//! A stream whose connection is cut at every byte, in each direction: it goes on, with nothing lost, nothing
//! twice and no job torn.

use crate::place::{Authority, Leaf, PASSWORD, Place, plain, trusting, url};
use repliq::{
    ConnectOptions, Message, Replication, ReplicationOptions, Store, StoreOptions, TargetOptions,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Nobody waits so long but in a test that hangs: the machine may be busy.
const SOON: Duration = Duration::from_secs(150);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Sender,
    Receiver,
}

/// Hands on at most so many bytes.
fn hand_on(mut from: &TcpStream, mut to: &TcpStream, mut left: usize) {
    let mut buffer = [0; 16 << 10];
    while left > 0 {
        let most = left.min(buffer.len());
        let Ok(count @ 1..) = from.read(&mut buffer[..most]) else { return };
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
        left -= count;
    }
}

/// A way to a server whose n-th connection breaks after n bytes of one side; tells how many it had, and from
/// `cuts` on it holds.
fn cutting(server: SocketAddr, side: Side, cuts: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let bound = if number < cuts { number } else { usize::MAX };
            let (up, down) = match side {
                Side::Sender => (bound, usize::MAX),
                Side::Receiver => (usize::MAX, bound),
            };
            let both = |from: &TcpStream, to: &TcpStream, left| {
                hand_on(from, to, left);
                // Whichever side ends, the other goes with it.
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            };
            std::thread::scope(|scope| {
                scope.spawn(|| both(&client, &server, up));
                both(&server, &client, down);
            });
        }
    });
    (address, seen)
}

fn sender(place: &Place) -> Store {
    Store::open(place.path("sender"), &StoreOptions::default()).unwrap()
}

fn payloads(store: &Store, queue: &str) -> Vec<String> {
    let Ok(queue) = store.find_queue(queue) else { return Vec::new() };
    let snapshot = store.snapshot().unwrap();
    let (mut all, mut next) = (Vec::new(), 1);
    loop {
        let part = snapshot.browse(queue, next, 10_000).unwrap();
        let Some(last) = part.last() else { return all };
        next = last.sequence() + 1;
        all.extend(part.iter().map(|one| String::from_utf8(one.payload().to_vec()).unwrap()));
    }
}

fn cut_everywhere(side: Side, cuts: usize) {
    let place = Place::new();
    let server = place.plain();
    let (way, seen) = cutting(server.addresses()[0], side, cuts);
    let store = sender(&place);
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let connect = ConnectOptions { reconnect_ms_max: 1, ..plain(PASSWORD) };
    let options = TargetOptions { connect, ..TargetOptions::default() };
    replication.add("target", &format!("repliq://ann@{way}"), &options).unwrap();
    let (mut sent, mut token) = (Vec::new(), None);
    let since = Instant::now();
    while seen.load(Ordering::SeqCst) <= cuts {
        assert!(since.elapsed() < SOON, "{} connections", seen.load(Ordering::SeqCst));
        // Jobs of two, so that a torn one would show.
        let job = [format!("{} a", sent.len()), format!("{} b", sent.len())];
        let messages = [Message::new(job[0].as_bytes()), Message::new(job[1].as_bytes())];
        token = Some(store.put(root, &messages).unwrap().token);
        sent.extend(job);
        std::thread::sleep(Duration::from_millis(2));
        let arrived = payloads(&place.store, "root");
        assert!(arrived.len().is_multiple_of(2) && arrived[..] == sent[..arrived.len()]);
    }
    store.wait("target:target", &[token.unwrap()], SOON).unwrap();
    assert_eq!(payloads(&place.store, "root"), sent, "{side:?}");
    replication.close().unwrap();
}

#[test]
fn a_stream_cut_at_every_byte_of_the_sender_loses_and_repeats_nothing() {
    cut_everywhere(Side::Sender, 800);
}

#[test]
fn a_stream_cut_at_every_byte_of_the_receiver_loses_and_repeats_nothing() {
    cut_everywhere(Side::Receiver, 500);
}

#[test]
fn a_stream_over_tls_brings_large_and_small_transactions() {
    let (place, authority) = (Place::new(), Authority::new());
    let server = place.open(&place.secured(&authority, Leaf::Good));
    let store = sender(&place);
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let connect = trusting(&place, &authority);
    let options = TargetOptions { connect, ..TargetOptions::default() };
    replication.add("target", &url(&server), &options).unwrap();
    let large = vec![7; 8 << 20];
    store.put(root, &[Message::new(&large)]).unwrap();
    let token = store.put(root, &[Message::new(b"small")]).unwrap().token;
    store.wait("target:target", &[token], SOON).unwrap();
    let queue = place.store.find_queue("root").unwrap();
    let first = place.store.snapshot().unwrap().browse(queue, 1, 1).unwrap();
    assert_eq!(first[0].payload(), large);
    let status = server.status().unwrap();
    assert!(status.contains("\"target\": \"target\""), "{status}");
    replication.close().unwrap();
}
