//! Asking a live server what the command line asks a directory.

use crate::place::{PASSWORD, Place, connect, plain, url};
use crate::raw::{Came, Raw, frame};
use repliq::{Code, Level, Message, ServerOptions, StoreOptions};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn what_was_put_over_the_network_is_stored_and_seen_with_all_its_fields() {
    let place = Place::new();
    let server = place.plain();
    let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let headers: [(&str, &[u8]); 2] = [("colour", b"red"), ("empty", b"")];
    let message = Message {
        kind: 0x2002,
        key: b"key",
        headers: &headers,
        payload: b"payload",
        expires_ms: 4_000_000_000_000,
        producer: "maker",
        producer_sequence: 1,
        ..Message::default()
    };
    let commit = client.put("orders", &[message, Message::new(b"second")]).unwrap();
    assert_eq!(commit.level, Level::Power);
    place.store.wait("", &[commit.token], Duration::ZERO).unwrap();
    client.wait("", &[commit.token], Duration::ZERO).unwrap();
    let seen = client.browse("orders", 1, 10).unwrap();
    assert_eq!(seen.len(), 2);
    let first = &seen[0];
    assert_eq!(
        (first.kind(), first.key(), first.payload()),
        (0x2002, &b"key"[..], &b"payload"[..])
    );
    assert_eq!(first.headers().collect::<Vec<_>>(), headers);
    assert_eq!((first.producer(), first.producer_sequence()), ("maker", 1));
    assert_eq!((first.sequence(), first.expires_ms()), (1, 4_000_000_000_000));
    assert_eq!(seen[1].sequence(), 2);
    assert_eq!(first.transaction(), seen[1].transaction());
    assert!(first.committed_ms() > 1_600_000_000_000);
    assert_eq!(client.browse("orders", 2, 10).unwrap().len(), 1);
    let repeated = client.put("orders", &[message]).unwrap();
    assert_eq!(repeated.token, commit.token);
    assert!(client.queues().unwrap().contains("\"name\":\"orders\""));
}

#[test]
fn a_refused_put_changes_nothing_and_says_which_message() {
    let place = Place::new();
    let server = place.plain();
    let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let bad = Message { priority: 10, ..Message::new(b"x") };
    let error = client.put("orders", &[Message::new(b"x"), bad]).unwrap_err();
    assert_eq!((error.code(), error.message_index()), (Code::Invalid, Some(1)));
    let twice = Message { producer: "maker", producer_sequence: 2, ..Message::new(b"x") };
    assert_eq!(client.put("orders", &[twice]).unwrap_err().code(), Code::OutOfOrder);
    assert_eq!(client.put("a\nb", &[Message::new(b"x")]).unwrap_err().code(), Code::Invalid);
    assert_eq!(
        client.put(&"q".repeat(300), &[Message::new(b"x")]).unwrap_err().code(),
        Code::TooLarge
    );
    let large = vec![0; 17 << 20];
    assert_eq!(client.put("orders", &[Message::new(&large)]).unwrap_err().code(), Code::TooLarge);
    assert_eq!(client.browse("missing", 1, 1).unwrap_err().code(), Code::NoSuchName);
    assert_eq!(client.browse("orders", 1, 10).unwrap().len(), 0);
}

#[test]
fn messages_of_sixteen_mebibytes_fit_and_many_small_ones_are_browsed_in_parts() {
    let place = Place::new();
    let server = place.plain();
    let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let large = vec![7; (16 << 20) - 1024];
    client.put("large", &[Message::new(&large)]).unwrap();
    assert_eq!(client.browse("large", 1, 10).unwrap()[0].payload(), large);
    let payload = [7; 1000];
    let many = vec![Message::new(&payload); 5000];
    client.put("small", &many).unwrap();
    let (mut next, mut calls) = (1, 0);
    loop {
        let part = client.browse("small", next, usize::MAX).unwrap();
        let Some(last) = part.last() else { break };
        assert_eq!(part[0].sequence(), next);
        (next, calls) = (last.sequence() + 1, calls + 1);
    }
    assert!(next == 5001 && calls > 3, "{next} {calls}");
}

#[test]
fn a_wait_ends_when_the_transaction_comes_and_not_before() {
    let place = Place::new();
    let server = place.plain();
    let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let orders = place.store.queue("orders").unwrap();
    let clerk = place.store.consumer("clerk", orders, &Default::default()).unwrap();
    let commit = place.store.put(orders, &[Message::new(b"tea")]).unwrap();
    let error =
        client.wait("consumer:clerk", &[commit.token], Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| client.wait("consumer:clerk", &[commit.token], Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        // Others are answered meanwhile.
        client.queues().unwrap();
        clerk.ack(&[1]).unwrap();
        let since = Instant::now();
        waiting.join().unwrap().unwrap();
        assert!(since.elapsed() < Duration::from_secs(1));
    });
    assert_eq!(
        client.wait("nowhere", &[commit.token], Duration::ZERO).unwrap_err().code(),
        Code::Invalid
    );
    assert_eq!(client.wait("", &[], Duration::ZERO).unwrap_err().code(), Code::Invalid);
}

#[test]
fn many_threads_share_one_client() {
    let place = Place::new();
    let server = place.plain();
    let client = Arc::new(connect(&url(&server), &plain(PASSWORD)).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let client = client.clone();
            scope.spawn(move || {
                for number in 0..50 {
                    let payload = format!("{thread}-{number}");
                    client.put("orders", &[Message::new(payload.as_bytes())]).unwrap();
                }
            });
        }
    });
    let orders = place.store.find_queue("orders").unwrap();
    let seen = place.store.snapshot().unwrap().browse(orders, 1, 1000).unwrap();
    assert_eq!(seen.len(), 400);
    for thread in 0..8 {
        let mine = seen
            .iter()
            .filter(|message| message.payload().starts_with(format!("{thread}-").as_bytes()));
        let expected: Vec<String> = (0..50).map(|number| format!("{thread}-{number}")).collect();
        let mine: Vec<String> =
            mine.map(|m| String::from_utf8(m.payload().to_vec()).unwrap()).collect();
        assert_eq!(mine, expected);
    }
}

#[test]
fn a_put_at_a_store_that_cannot_be_written_says_so() {
    let place = Place::new();
    let orders = place.store.queue("orders").unwrap();
    place.store.put(orders, &[Message::new(b"tea")]).unwrap();
    let options = place.options();
    let path = place.path("store");
    place.store.close().unwrap();
    let looking =
        repliq::Store::open(path, &StoreOptions { read_only: true, ..Default::default() });
    let server = repliq::Server::open(&looking.unwrap(), &options).unwrap();
    let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
    assert_eq!(client.put("orders", &[Message::new(b"x")]).unwrap_err().code(), Code::ReadOnly);
    assert_eq!(client.browse("orders", 1, 10).unwrap().len(), 1);
}

#[test]
fn requests_that_are_malformed_or_unknown_end_the_connection() {
    let place = Place::new();
    let server = place.plain();
    let rows: [(u8, &[u8], Code); 4] = [
        (64, b"\0\0\0", Code::Protocol),
        (67, b"\0\0\0\0\x01q\xff\xff\xff\xff", Code::Protocol),
        (79, b"\0\0\0\0", Code::Unsupported),
        (66, b"\0\0\0\0more", Code::Protocol),
    ];
    for (kind, body, code) in rows {
        let mut raw = Raw::log_in(server.addresses()[0], "ann", PASSWORD, 5000);
        raw.send(&frame(kind, body));
        assert_eq!(i32::from(raw.error().0), code as i32, "{kind} {body:?}");
    }
}

#[test]
fn who_asks_and_does_not_read_costs_bounded_memory_and_disturbs_nobody() {
    let place = Place::new();
    let server = place.open(&ServerOptions { heartbeat_ms: 5000, ..place.options() });
    let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let payload = vec![7; 1 << 20];
    client.put("orders", &[Message::new(&payload)]).unwrap();
    let mut raw = Raw::log_in(server.addresses()[0], "ann", PASSWORD, 5000);
    let mut browse = 7_u32.to_le_bytes().to_vec();
    browse.extend(b"\x06orders\x01\0\0\0\0\0\0\0\x01\0\0\0");
    // Each asks for a mebibyte; there is room for 4,096 of them to wait.
    for _ in 0..10_000 {
        raw.send(&frame(68, &browse));
    }
    client.queues().unwrap();
    let mut answers = 0;
    let code = loop {
        match raw.word() {
            Came::Frame(83, _) => answers += 1,
            Came::Frame(6, body) => break i32::from(body[0]),
            came => panic!("{came:?} after {answers}"),
        }
    };
    assert_eq!(code, Code::Quota as i32);
    assert!(answers < 100, "{answers}");
}
