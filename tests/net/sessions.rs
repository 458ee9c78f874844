//! Sessions and consumers by a client that was written from the page, and by one that talks nonsense.

use crate::place::{PASSWORD, Place};
use crate::raw::{Came, Raw, frame};
use repliq::{Code, Message};

const DONE: u8 = 112;
const NUMBERED: u8 = 113;
const OPENED: u8 = 114;
const RESOLVED: u8 = 115;
const RECEIVED: u8 = 116;
const REFUSED: u8 = 80;
const STORED: u8 = 82;

/// A client that asks one thing after the other.
pub struct Asking {
    raw: Raw,
    number: u32,
}

impl Asking {
    pub fn new(raw: Raw) -> Asking {
        Asking { raw, number: 7 }
    }

    pub fn into_raw(self) -> Raw {
        self.raw
    }

    /// Asks and gives kind and body of the answer, without the number.
    pub fn ask(&mut self, kind: u8, body: &[&[u8]]) -> (u8, Vec<u8>) {
        self.number += 1;
        let number = self.number.to_le_bytes();
        self.raw.send(&frame(kind, &[&number[..], &body.concat()].concat()));
        match self.raw.word() {
            Came::Frame(kind, body) => {
                assert_eq!(body[..4], number, "another request was answered");
                (kind, body[4..].to_vec())
            }
            came => panic!("{came:?}"),
        }
    }

    pub fn number_of(&mut self, name: &str) -> [u8; 4] {
        let (kind, body) = self.ask(96, &[&[name.len() as u8], name.as_bytes(), &[1]]);
        assert_eq!(kind, NUMBERED);
        body.try_into().unwrap()
    }

    /// A new session: its number, id and epoch.
    pub fn session(&mut self) -> ([u8; 4], Vec<u8>, u32) {
        let (kind, body) = self.ask(97, &[&[0], &[0; 12], &[0]]);
        assert_eq!((kind, body.len()), (OPENED, 32));
        let epoch = u32::from_le_bytes(body[20..24].try_into().unwrap());
        assert_eq!(body[24..], 1u64.to_le_bytes());
        (body[..4].try_into().unwrap(), body[4..20].to_vec(), epoch)
    }
}

pub fn refused(answer: (u8, Vec<u8>)) -> (u16, u16) {
    assert_eq!(answer.0, REFUSED);
    let word = |at: usize| u16::from_le_bytes([answer.1[at], answer.1[at + 1]]);
    (word(0), word(2))
}

pub fn long(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

#[test]
fn a_client_from_the_page_moves_a_message_and_a_repeated_commit_says_the_same() {
    let place = Place::new();
    let server = place.plain();
    let own = place.store.queue("from").unwrap();
    place.store.put(own, &[Message::new(b"payload")]).unwrap();
    let mut client = Asking::new(Raw::log_in(server.addresses()[0], "ann", PASSWORD, 5_000));
    let (from, to) = (client.number_of("from"), client.number_of("to"));
    assert_eq!(from, own.number().to_le_bytes());
    let (session, id, epoch) = client.session();
    let (kind, consumer) = client.ask(104, &[&from, &[1], b"c", &[0], &long(0), &[255], &[0; 45]]);
    assert_eq!(kind, NUMBERED);
    let receive = [&session[..], &long(1), &consumer, &9u32.to_le_bytes(), &[0; 5]].concat();
    let (kind, body) = client.ask(99, &[&receive]);
    assert_eq!((kind, &body[..4]), (RECEIVED, &1u32.to_le_bytes()[..]));
    assert_eq!((&body[4..8], &body[12..16]), (&from[..], &1u32.to_le_bytes()[..]));
    let length = u32::from_le_bytes(body[40..44].try_into().unwrap()) as usize;
    let message = &body[44..];
    assert_eq!(message.len(), length);
    let staged = [&to[..], &(length as u32).to_le_bytes(), message].concat();
    let (kind, _) = client.ask(98, &[&session, &long(1), &1u32.to_le_bytes(), &staged]);
    assert_eq!(kind, DONE);
    assert!(place.store.queues().unwrap().iter().all(|info| info.next_sequence < 3));
    let commit = [&session[..], &long(1), &[255], &long(0)].concat();
    let (kind, stored) = client.ask(100, &[&commit]);
    assert_eq!((kind, stored.len(), stored[40]), (STORED, 41, 1));
    let big = [&id[..], &epoch.to_be_bytes(), &1u64.to_be_bytes()].concat();
    for _ in 0..10 {
        assert_eq!(client.ask(100, &[&commit]), (STORED, stored.clone()));
        let (kind, outcome) = client.ask(103, &[&big]);
        assert_eq!((kind, outcome[0], &outcome[1..]), (RESOLVED, 1, &stored[..40]));
    }
    let (kind, none) = client.ask(99, &[&session, &long(2), &consumer, &[9, 0, 0, 0], &[0; 5]]);
    assert_eq!((kind, &none[..]), (RECEIVED, &[0; 4][..]));
    // A transaction that was given up by a later number is refused for ever.
    let stage = |number: u64| [&session[..], &long(number), &1u32.to_le_bytes(), &staged].concat();
    assert_eq!(client.ask(98, &[&stage(5)]).0, DONE);
    assert_eq!(client.ask(98, &[&stage(6)]).0, DONE);
    let late = [&session[..], &long(5), &[255], &long(4)].concat();
    assert_eq!(refused(client.ask(100, &[&late])).0, Code::RolledBack as u16);
    assert_eq!(refused(client.ask(98, &[&stage(5)])).0, Code::RolledBack as u16);
    assert_eq!(client.ask(101, &[&session, &long(6), &[0]]).0, DONE);
    assert_eq!(client.ask(102, &[&session, &[1]]).0, DONE);
    assert_eq!(refused(client.ask(100, &[&commit])).0, Code::BadHandle as u16);
    let to = place.store.find_queue("to").unwrap();
    let seen = place.store.snapshot().unwrap().browse(to, 1, 9).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].payload(), b"payload");
}

#[test]
fn a_stage_refused_for_one_message_dooms_its_transaction_and_no_other() {
    let place = Place::new();
    let server = place.plain();
    let mut client = Asking::new(Raw::log_in(server.addresses()[0], "ann", PASSWORD, 5_000));
    let to = client.number_of("to");
    let (session, ..) = client.session();
    let nonsense = [&to[..], &3u32.to_le_bytes(), b"abc"].concat();
    let stage = [&session[..], &long(1), &1u32.to_le_bytes(), &nonsense].concat();
    assert_eq!(refused(client.ask(98, &[&stage])).0, Code::Invalid as u16);
    let commit = |number: u64| [&session[..], &long(number), &[255], &long(number - 1)].concat();
    let outcome = refused(client.ask(100, &[&commit(1)]));
    assert_eq!(outcome, (Code::RolledBack as u16, Code::Invalid as u16));
    let empty = client.ask(100, &[&commit(2)]);
    assert_eq!(empty.0, STORED);
    assert_eq!(place.store.queues().unwrap()[0].next_sequence, 1);
}

#[test]
fn a_request_of_sessions_that_cannot_be_read_ends_the_connection_and_rolls_back() {
    for (kind, body) in [
        (98, &b"\0\0\0\0\x01"[..]),
        (100, b"\0"),
        (109, b"\0\0\0\0"),
        (110, b"\0\0\0\0"),
        (112, b""),
    ] {
        let place = Place::new();
        let server = place.plain();
        let mut client = Asking::new(Raw::log_in(server.addresses()[0], "ann", PASSWORD, 5_000));
        client.session();
        client.raw.send(&frame(kind, body));
        let (code, _) = client.raw.error();
        let expected = [Code::Protocol as u16, Code::Unsupported as u16];
        assert!(expected.contains(&code), "kind {kind}: {code}");
    }
}
