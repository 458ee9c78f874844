//! The bytes of session requests and answers, and that nothing else is one.

use super::*;
use crate::position::{GroupId, Position};

const ID: TransactionId = TransactionId { session: *b"0123456789abcdef", epoch: 2, number: 7 };

const GIVING: Giving = Giving {
    shared: true,
    keyed: true,
    parallel: 1,
    per_key: 2,
    conflate: true,
    key_versions: true,
    lease_ms: 3,
    retry_delay_ms: 4,
    retry_multiplier: 5,
    retry_delay_ms_max: 6,
    max_deliveries: 7,
    dead_letters: 8,
    after_dead_letter: crate::store::Hold::Park,
};

fn requests() -> Vec<SessionRequest<'static>> {
    vec![
        SessionRequest::Queue { name: "ä", make: true },
        SessionRequest::Session { which: Which::New, idle_ms: 0, bytes_max: 0 },
        SessionRequest::Session { which: Which::Named("x", true), idle_ms: 9, bytes_max: 7 },
        SessionRequest::Session { which: Which::Resumed(ID.session, 2), idle_ms: 9, bytes_max: 0 },
        SessionRequest::Stage { session: 1, transaction: 2, messages: vec![(3, b"ab"), (4, b"")] },
        SessionRequest::Receive {
            session: 1,
            transaction: 2,
            consumer: 3,
            max: 4,
            timeout_ms: 5,
            job: true,
        },
        SessionRequest::Commit { session: 1, transaction: 2, level: None, heard: 1 },
        SessionRequest::Commit {
            session: 1,
            transaction: 2,
            level: Some(Level::Process),
            heard: 0,
        },
        SessionRequest::Rollback { session: 1, transaction: 2, what: Undo::Keep },
        SessionRequest::Leave { session: 1, forget: true },
        SessionRequest::Resolve(ID),
        SessionRequest::Consumer {
            queue: 1,
            name: "c",
            from: Start::At(8),
            level: None,
            giving: Giving::default(),
        },
        SessionRequest::Ack(1, vec![2, 3]),
        SessionRequest::Reject {
            consumer: 1,
            sequences: vec![4],
            delay_ms: Some(9),
            reason: "ä",
            to_end: true,
        },
        SessionRequest::Seek(1, 2),
        SessionRequest::Detach(1),
        SessionRequest::Renew(1, vec![4, 5]),
        SessionRequest::Consumer {
            queue: 1,
            name: "c",
            from: Start::Oldest,
            level: None,
            giving: GIVING,
        },
        SessionRequest::Reject {
            consumer: 1,
            sequences: vec![],
            delay_ms: None,
            reason: "",
            to_end: false,
        },
        SessionRequest::Prepare { session: 1, transaction: 2, xid: b"\0x" },
        SessionRequest::Finish { id: ID, commit: true, by_hand: false },
    ]
}

fn answers() -> Vec<SessionAnswer<'static>> {
    let position = Position { epoch: 1, sequence: 2 };
    let token = Token::new(GroupId::from_bytes(*b"0123456789abcdef"), 3, position);
    let given = Given {
        queue: 1,
        index: 2,
        deliveries: 3,
        sequence: 4,
        transaction: 5,
        committed_ms: 6,
        body: b"xyz",
    };
    vec![
        SessionAnswer::Done,
        SessionAnswer::Numbered(5),
        SessionAnswer::Opened(1, ID),
        SessionAnswer::Resolved(Outcome::Committed(token)),
        SessionAnswer::Resolved(Outcome::Expired),
        SessionAnswer::Received(vec![given, given]),
        SessionAnswer::Part(vec![given]),
    ]
}

#[test]
fn golden_bytes_of_session_requests_and_answers() {
    let coded = |one: &SessionRequest<'_>| {
        let mut out = Vec::new();
        (one.encode(0x0102, &mut out).unwrap(), out)
    };
    let all = requests();
    let giving = b"\x3b\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\x06\0\0\0\0\0\0\0\x07\0\0\0\x08\0\0\0";
    let consumer = [&b"\x02\x01\0\0\x01\0\0\0\x01c\0\0\0\0\0\0\0\0\0\xff"[..], giving].concat();
    let plain = [&b"\x02\x01\0\0\x01\0\0\0\x01c\x02\x08\0\0\0\0\0\0\0\xff"[..], &[0; 45]].concat();
    let rows: [(usize, u8, &[u8]); 13] = [
        (0, 96, b"\x02\x01\0\0\x02\xc3\xa4\x01"),
        (2, 97, b"\x02\x01\0\0\x02\x09\0\0\0\x07\0\0\0\0\0\0\0\x01x"),
        (3, 97, b"\x02\x01\0\0\x03\x09\0\0\0\0\0\0\0\0\0\0\0\x000123456789abcdef\x02\0\0\0"),
        (4, 98, b"\x02\x01\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0\x02\0\0\0ab\x04\0\0\0\0\0\0\0"),
        (6, 100, b"\x02\x01\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\xff\x01\0\0\0\0\0\0\0"),
        (10, 103, b"\x02\x01\0\x000123456789abcdef\0\0\0\x02\0\0\0\0\0\0\0\x07"),
        (5, 99, b"\x02\x01\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x05\0\0\0\x01"),
        (11, 104, &plain),
        (13, 106, b"\x02\x01\0\0\x01\0\0\0\x09\0\0\0\0\0\0\0\x01\x02\0\xc3\xa4\x01\0\0\0\x04\0\0\0\0\0\0\0"),
        (16, 109, b"\x02\x01\0\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0"),
        (17, 104, &consumer),
        (19, 110, b"\x02\x01\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x02\0x"),
        (20, 111, b"\x02\x01\0\x000123456789abcdef\0\0\0\x02\0\0\0\0\0\0\0\x07\x01\0"),
    ];
    for (at, kind, golden) in rows {
        assert_eq!(coded(&all[at]), (kind, golden.to_vec()), "{:?}", all[at]);
    }
    let mut out = Vec::new();
    assert_eq!(answers()[2].encode(1, &mut out).unwrap(), 114);
    assert_eq!(out, b"\x01\0\0\0\x01\0\0\x000123456789abcdef\x02\0\0\0\x07\0\0\0\0\0\0\0");
    out.clear();
    assert_eq!(answers()[5].encode(1, &mut out).unwrap(), 116);
    let one = b"\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x03\0\0\0xyz";
    assert_eq!(out, [&b"\x01\0\0\0\x02\0\0\0"[..], one, one].concat());
}

#[test]
fn requests_and_answers_come_out_as_they_went_in_and_cut_ones_are_refused() {
    for request in requests() {
        let mut body = Vec::new();
        let kind = request.encode(5, &mut body).unwrap();
        assert!(SessionRequest::is_one(kind));
        assert_eq!(SessionRequest::decode(kind, &body).unwrap(), (5, request.clone()));
        for cut in 0..body.len() {
            assert!(SessionRequest::decode(kind, &body[..cut]).is_err(), "{request:?} {cut}");
        }
        body.push(0);
        assert_eq!(SessionRequest::decode(kind, &body).unwrap_err().code(), Code::Protocol);
    }
    for answer in answers() {
        let mut body = Vec::new();
        let kind = answer.encode(5, &mut body).unwrap();
        assert_eq!(SessionAnswer::decode(kind, &body).unwrap(), (5, answer.clone()));
        for cut in 0..body.len() {
            assert!(SessionAnswer::decode(kind, &body[..cut]).is_err(), "{answer:?} {cut}");
        }
    }
    let wild = b"\0\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\xff\xff\xff\xff";
    assert_eq!(SessionRequest::decode(98, wild).unwrap_err().code(), Code::Protocol);
    assert_eq!(
        SessionAnswer::decode(116, b"\0\0\0\0\xff\xff\xff\xff").unwrap_err().code(),
        Code::Protocol
    );
}
