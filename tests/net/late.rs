//! Packets that come late: every COMMIT, ROLLBACK and RESOLVE of up to four transactions in every later slot, alone and
//! in pairs, sent again instead of late, and from a connection that was resumed elsewhere; PREPARE and FINISH among those
//! of up to three. What is answered must be what readers see, for ever.

use crate::place::{PASSWORD, Place};
use crate::raw::Raw;
use crate::sessions::{Asking, long, refused};
use repliq::disk::model::ModelDisk;
use repliq::{Code, Message, Queue, Server, Store, StoreOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

const TRANSACTIONS: u64 = 4;
const DONE: u8 = 112;
const OPENED: u8 = 114;
const RESOLVED: u8 = 115;
const REFUSED: u8 = 80;
const STORED: u8 = 82;

/// A packet about a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packet {
    Stage(u64),
    Commit(u64),
    Rollback(u64),
    Resolve(u64),
    Prepare(u64),
    /// To commit it, or to roll it back.
    Finish(u64, bool),
}

impl Packet {
    /// The transaction it is about.
    fn number(self) -> u64 {
        match self {
            Packet::Stage(number)
            | Packet::Commit(number)
            | Packet::Rollback(number)
            | Packet::Resolve(number)
            | Packet::Prepare(number)
            | Packet::Finish(number, _) => number,
        }
    }
}

/// What was said of a transaction.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Committed(Vec<u8>),
    /// A commit of nothing.
    Empty,
    RolledBack,
    /// It is prepared, and somebody has to end it.
    Pending,
    /// A later one of its session is committed, or prepared.
    Expired,
}

/// What a refusal says of a transaction; `None` where it says nothing.
fn said_by(code: u16) -> Option<Said> {
    match code {
        code if code == Code::RolledBack as u16 => Some(Said::RolledBack),
        code if code == Code::OutcomeExpired as u16 => Some(Said::Expired),
        code if code == Code::NoSuchName as u16 => None,
        code => panic!("refused with {code}"),
    }
}

struct Office {
    store: Store,
    queue: Queue,
    body: Vec<u8>,
    _server: Server,
    address: std::net::SocketAddr,
}

impl Office {
    fn new() -> Office {
        // Nobody wants to wait for a disk some ten thousand times.
        let disk = Arc::new(ModelDisk::new());
        let store = Store::open_on(disk, &StoreOptions::default()).unwrap();
        let place = Place::new();
        let server = Server::open(&store, &place.options()).unwrap();
        let queue = store.queue("to").unwrap();
        store.put(queue, &[Message::new(b"0")]).unwrap();
        let looked = store.snapshot().unwrap().browse(queue, 1, 1).unwrap();
        let address = server.addresses()[0];
        let body = looked[0].stored().0.to_vec();
        Office { store, queue, body, _server: server, address }
    }

    fn client(&self) -> Asking {
        Asking::new(Raw::log_in(self.address, "ann", PASSWORD, 5_000))
    }

    /// Sends a packet, and gives what was said of its transaction.
    fn send(&self, client: &mut Asking, at: &Seat, packet: Packet) -> Option<Said> {
        let session = &at.session;
        match packet {
            Packet::Stage(number) => {
                // The payload, one byte, stands last.
                let mut body = self.body.clone();
                *body.last_mut().unwrap() = b'0' + number as u8;
                let head = [self.queue.number().to_le_bytes(), (body.len() as u32).to_le_bytes()];
                let one = 1u32.to_le_bytes();
                let answer = client.ask(98, &[session, &long(number), &one, &head.concat(), &body]);
                assert!([DONE, REFUSED].contains(&answer.0));
                None
            }
            Packet::Commit(number) => {
                let answer = client.ask(100, &[session, &long(number), &[255], &long(number - 1)]);
                if answer.0 == STORED {
                    let token = answer.1[..40].to_vec();
                    let empty = token[8..16] == [0; 8];
                    return Some(if empty { Said::Empty } else { Said::Committed(token) });
                }
                let said = said_by(refused(answer).0);
                assert!(said.is_some(), "{packet:?} was refused without a word on its outcome");
                said
            }
            Packet::Prepare(number) => {
                let xid = [&at.id[..], &long(number)].concat();
                let answer = client.ask(110, &[session, &long(number), &[xid.len() as u8], &xid]);
                if answer.0 == DONE { None } else { said_by(refused(answer).0) }
            }
            Packet::Finish(number, commit) => {
                let answer = client.ask(111, &[&at.identity(number), &[u8::from(commit), 0]]);
                match answer.0 {
                    STORED if commit => Some(Said::Committed(answer.1[..40].to_vec())),
                    STORED => Some(Said::RolledBack),
                    _ => said_by(refused(answer).0),
                }
            }
            Packet::Rollback(number) => {
                assert_eq!(client.ask(101, &[session, &long(number), &[0]]).0, DONE);
                None
            }
            Packet::Resolve(number) => {
                let (kind, body) = client.ask(103, &[&at.identity(number)]);
                assert_eq!(kind, RESOLVED);
                Some(match body[0] {
                    1 => Said::Committed(body[1..].to_vec()),
                    2 => Said::RolledBack,
                    3 => Said::Pending,
                    4 => Said::Expired,
                    other => panic!("outcome {other}"),
                })
            }
        }
    }

    /// The transactions whose messages are there, and where, behind this sequence.
    fn seen(&self, from: u64) -> Vec<(u64, u64)> {
        let found = self.store.snapshot().unwrap().browse(self.queue, from, 99).unwrap();
        found.iter().map(|one| (u64::from(one.payload()[0] - b'0'), one.transaction())).collect()
    }

    fn next(&self) -> u64 {
        self.store.queues().unwrap()[0].next_sequence
    }
}

/// A session as a client knows it.
struct Seat {
    session: [u8; 4],
    id: Vec<u8>,
    epoch: u32,
}

impl Seat {
    fn open(client: &mut Asking) -> Seat {
        let (session, id, epoch) = client.session();
        Seat { session, id, epoch }
    }

    fn identity(&self, number: u64) -> Vec<u8> {
        [&self.id[..], &self.epoch.to_be_bytes(), &number.to_be_bytes()].concat()
    }
}

/// The packets of transactions one after the other; the bits say which are rolled back.
fn in_order(count: u64, rolled_back: u64) -> Vec<Packet> {
    let of = |number: u64| {
        let end = match rolled_back >> (number - 1) & 1 {
            0 => Packet::Commit(number),
            _ => Packet::Rollback(number),
        };
        [Packet::Stage(number), end, Packet::Resolve(number)]
    };
    (1..=count).flat_map(of).collect()
}

/// Compares what was said with what is there.
fn judge(said: &BTreeMap<u64, Vec<Said>>, seen: &[(u64, u64)], packets: &[Packet]) {
    let text = || format!("{packets:?}: {said:?}, and {seen:?} is there");
    let prepared = |number: u64| packets.contains(&Packet::Prepare(number));
    // What was prepared comes when it is committed, behind whatever was meanwhile.
    assert!(seen.iter().filter(|one| !prepared(one.0)).is_sorted(), "order: {}", text());
    for (number, all) in said {
        let there: Vec<u64> = seen.iter().filter(|one| one.0 == *number).map(|one| one.1).collect();
        assert!(there.len() <= 1, "twice: {}", text());
        for (at, one) in all.iter().enumerate() {
            match one {
                Said::Committed(token) => {
                    let place = u64::from_be_bytes(token[8..16].try_into().unwrap());
                    assert_eq!(there, [place], "transaction {number}: {}", text());
                }
                Said::Empty | Said::RolledBack => {
                    assert!(there.is_empty(), "transaction {number}: {}", text());
                }
                Said::Expired => {
                    let later = seen.iter().any(|(other, _)| other > number)
                        || (number + 1..=TRANSACTIONS).any(prepared);
                    assert!(later, "transaction {number}: {}", text());
                }
                // Who asks later may hear something else.
                Said::Pending => {
                    let last = at + 1 == all.len();
                    assert!(prepared(*number) && (!last || there.is_empty()), "{}", text());
                }
            }
        }
    }
}

/// Sends packets in a session of their own.
fn try_out(office: &Office, client: &mut Asking, packets: &[Packet]) {
    let from = office.next();
    let seat = Seat::open(client);
    let mut said: BTreeMap<u64, Vec<Said>> = BTreeMap::new();
    for packet in packets {
        let number = packet.number();
        said.entry(number).or_default().extend(office.send(client, &seat, *packet));
    }
    // What they all became is asked for once more, the last first, so that nothing is expired by the asking.
    for number in (1..=TRANSACTIONS).rev() {
        let outcome = office.send(client, &seat, Packet::Resolve(number));
        said.entry(number).or_default().extend(outcome);
    }
    judge(&said, &office.seen(from), packets);
    for (number, _) in said.iter().filter(|(_, all)| all.last() == Some(&Said::Pending)) {
        for packet in [Packet::Finish(*number, false), Packet::Resolve(*number)] {
            let outcome = office.send(client, &seat, packet);
            assert_eq!(outcome, Some(Said::RolledBack), "{packet:?} after {packets:?}");
        }
    }
    assert_eq!(client.ask(102, &[&seat.session, &[1]]).0, DONE);
}

/// Every order in which one of the packets, but no STAGE, comes in a later slot.
fn delayed(packets: &[Packet]) -> Vec<Vec<Packet>> {
    let mut all = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        if matches!(packet, Packet::Stage(_)) {
            continue;
        }
        for slot in at + 1..packets.len() {
            let mut order = packets.to_vec();
            order.remove(at);
            order.insert(slot, *packet);
            all.push(order);
        }
    }
    all
}

#[test]
fn a_commit_abort_or_resolve_in_any_later_slot_is_answered_as_readers_see_it() {
    let office = Office::new();
    let mut client = office.client();
    let mut tried = 0;
    for count in 1..=TRANSACTIONS {
        for rolled_back in 0..1 << count {
            let packets = in_order(count, rolled_back);
            for order in std::iter::once(packets.clone()).chain(delayed(&packets)) {
                try_out(&office, &mut client, &order);
                tried += 1;
            }
        }
    }
    println!("{tried} orders");
}

/// How a transaction is ended.
const ENDS: [fn(u64) -> Vec<Packet>; 4] = [
    |number| vec![Packet::Commit(number)],
    |number| vec![Packet::Rollback(number)],
    |number| vec![Packet::Prepare(number), Packet::Finish(number, true)],
    |number| vec![Packet::Prepare(number), Packet::Finish(number, false)],
];

#[test]
fn a_prepare_or_its_end_in_any_later_slot_is_answered_as_readers_see_it() {
    let office = Office::new();
    let mut client = office.client();
    let mut tried = 0;
    for count in 1..=3u64 {
        for ends in 0..ENDS.len().pow(count as u32) {
            let end = |number: u64| ends / ENDS.len().pow(number as u32 - 1) % ENDS.len();
            // Those without a prepared one are tried elsewhere.
            if (1..=count).all(|number| end(number) < 2) {
                continue;
            }
            let packets: Vec<Packet> = (1..=count)
                .flat_map(|number| {
                    let mut of = ENDS[end(number)](number);
                    of.insert(0, Packet::Stage(number));
                    of.push(Packet::Resolve(number));
                    of
                })
                .collect();
            for order in std::iter::once(packets.clone()).chain(delayed(&packets)) {
                try_out(&office, &mut client, &order);
                tried += 1;
            }
        }
    }
    println!("{tried} orders");
    assert!(tried > 2_000, "only {tried}");
}

#[test]
fn two_late_packets_at_once_are_answered_as_readers_see_it() {
    let office = Office::new();
    let mut client = office.client();
    let mut tried = 0;
    for count in 2..=3 {
        for rolled_back in 0..1 << count {
            for once in delayed(&in_order(count, rolled_back)) {
                for twice in delayed(&once) {
                    try_out(&office, &mut client, &twice);
                    tried += 1;
                }
            }
        }
    }
    println!("{tried} orders");
}

#[test]
fn a_packet_sent_again_in_any_later_slot_has_no_second_effect() {
    let office = Office::new();
    let mut client = office.client();
    for rolled_back in 0..1 << TRANSACTIONS {
        let packets = in_order(TRANSACTIONS, rolled_back);
        // A STAGE says what is new each time.
        let again = packets.iter().enumerate().filter(|(_, one)| !matches!(one, Packet::Stage(_)));
        for (at, packet) in again {
            for slot in at + 1..=packets.len() {
                let mut order = packets.clone();
                order.insert(slot, *packet);
                try_out(&office, &mut client, &order);
            }
        }
    }
}

#[test]
fn whatever_a_connection_still_brings_after_its_session_was_resumed_elsewhere_is_refused() {
    let office = Office::new();
    for rolled_back in [0, 5] {
        let packets = in_order(TRANSACTIONS, rolled_back);
        for cut in 1..packets.len() {
            let (mut old, mut new) = (office.client(), office.client());
            let from = office.next();
            let seat = Seat::open(&mut old);
            let mut said: BTreeMap<u64, Vec<Said>> = BTreeMap::new();
            for packet in &packets[..cut] {
                office.send(&mut old, &seat, *packet);
            }
            let resume = [&[3][..], &[0; 12], &[0], &seat.id, &seat.epoch.to_le_bytes()].concat();
            let (kind, opened) = new.ask(97, &[&resume]);
            assert_eq!(kind, OPENED);
            assert_eq!(opened[20..24], (seat.epoch + 1).to_le_bytes());
            // The highest first: what is asked of a later one says nothing of those before.
            for number in (1..=TRANSACTIONS).rev() {
                let outcome = office.send(&mut new, &seat, Packet::Resolve(number));
                said.entry(number).or_default().extend(outcome);
            }
            let before = office.seen(from);
            for packet in &packets[cut..] {
                let number = packet.number();
                match packet {
                    Packet::Resolve(_) => {
                        let outcome = office.send(&mut old, &seat, *packet);
                        said.entry(number).or_default().extend(outcome);
                    }
                    Packet::Commit(_) => {
                        let answer = old
                            .ask(100, &[&seat.session, &long(number), &[255], &long(number - 1)]);
                        let code = refused(answer).0;
                        let final_ones = [Code::Fenced as u16, Code::RolledBack as u16];
                        assert!(final_ones.contains(&code), "{packet:?} after {cut}: {code}");
                    }
                    Packet::Prepare(_) | Packet::Finish(..) => unreachable!("nothing is prepared"),
                    Packet::Stage(_) | Packet::Rollback(_) => {
                        let kind = if matches!(packet, Packet::Stage(_)) { 98 } else { 101 };
                        let nothing = 0u32.to_le_bytes();
                        let what: &[u8] = if kind == 98 { &nothing } else { &[0] };
                        let (answer, _) = old.ask(kind, &[&seat.session, &long(number), what]);
                        assert!([DONE, REFUSED].contains(&answer));
                    }
                }
            }
            assert_eq!(office.seen(from), before, "cut at {cut}: a late packet changed something");
            judge(&said, &before, &packets);
        }
    }
}
