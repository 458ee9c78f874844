//! Stores that hold the records nobody sees every day: rewinds, gaps, orphans, skipped transactions, moved and
//! removed targets, claims. Each comes about the way it does in life.
//!
//! The descriptions of the records say which kinds there are; a kind that no store of these tests holds fails
//! here, so that a new one does not go without damage.

use crate::oracle::{Model, observe};
use crate::world::{Clock, Link, Node, Plan, ROOT, ship, ship_with};
use repliq::replicate::{Target, received};
use repliq::{
    Code, ConsumerOptions, Message, Queue, RedriveOptions, Replication, ReplicationOptions, Rules,
    Store,
};
use std::collections::BTreeMap;
use std::time::Duration;

fn plan() -> Plan {
    Plan::new(ROOT, "target", "there")
}

fn put(node: &Node, from: usize, to: usize) {
    (from..=to).for_each(|n| {
        node.put_one(&format!("message {n}"));
    });
}

fn shipped(from: &Node, to: &Node, clock: &mut Clock) {
    let error = ship(from, to, &plan(), clock);
    assert!(error.is_none(), "{error:?}");
}

/// The target refuses a transaction for ever, and is told to set it aside.
fn skip(from: &Node, to: &Node, clock: &mut Clock) {
    let there = to.queue("there");
    to.up().queue_pause(there).unwrap();
    put(from, 90, 90);
    let mut link = Link::open(from, to, &plan()).unwrap();
    link.run(clock);
    assert_eq!(link.error.as_ref().map(repliq::Error::code), Some(Code::Paused));
    link.target.skip().unwrap();
    let mut again = Link::again(from, to, &plan(), link.target.clone()).unwrap();
    again.run(clock);
    assert!(again.error.is_none(), "{:?}", again.error);
    to.up().queue_resume(there).unwrap();
    assert_eq!(again.status(from).skipped, 1);
}

/// A dead letter that is dropped, when the rest of its key has gone on, and one that is put back; returns what the
/// store was before that one was acknowledged, which was the last to wait for it.
fn letters(store: &Store, work: Queue, dead: Queue) -> Model {
    let put = |key: &str, payload: &str| {
        let message = Message { key: key.as_bytes(), ..Message::new(payload.as_bytes()) };
        store.put(work, &[message]).unwrap();
    };
    // With whom nothing that was put is ever gone.
    for queue in [work, dead] {
        store.consumer("witness", queue, &ConsumerOptions::default()).unwrap();
    }
    let rules = Rules {
        shared: true,
        keyed: true,
        max_deliveries: 1,
        dead_letters: Some(dead),
        ..Rules::default()
    };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let worker = store.consumer("worker", work, &options).unwrap();
    let take = || worker.receive(1, Duration::ZERO).unwrap().pop().map(|one| one.sequence());
    // The receive that moves a letter brings nothing.
    let next = || take().or_else(take).unwrap();
    let fails = || worker.reject(&[next()]).unwrap();
    put("K", "K1");
    put("K", "K2");
    fails();
    worker.ack(&[next()]).unwrap();
    let dropped = store.redrive(dead, &RedriveOptions { drop: true, max: 0 }).unwrap();
    put("L", "L1");
    fails();
    assert_eq!(take(), None);
    let back = store.redrive(dead, &RedriveOptions { drop: false, max: 0 }).unwrap();
    assert_eq!((dropped.done, back.done), (1, 1));
    let before = observe(store).unwrap().model();
    worker.ack(&[next()]).unwrap();
    before
}

/// A version of a key that is processed, and comes again; returns what the store was when nothing was processed yet.
fn versions(store: &Store, queue: Queue) -> Model {
    let rules = Rules { keyed: true, key_versions: true, ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let worker = store.consumer("versions", queue, &options).unwrap();
    let headers = [("repliq-version", &b"7"[..])];
    let message = Message { key: b"K", headers: &headers, ..Message::new(b"K7") };
    store.put(queue, &[message; 2]).unwrap();
    let before = observe(store).unwrap().model();
    loop {
        let got = worker.receive(9, Duration::ZERO).unwrap();
        if got.is_empty() {
            break;
        }
        worker.ack(&got.iter().map(repliq::Received::sequence).collect::<Vec<_>>()).unwrap();
    }
    let info = store.queues().unwrap().into_iter().find(|info| info.queue == queue).unwrap();
    assert!(info.consumers.iter().any(|one| one.name == "versions" && one.already_processed == 1));
    drop(worker);
    before
}

/// Everything that happens to a queue and a consumer without a message; returns what the store was before.
fn manage(store: &Store) -> Model {
    let queue = store.queue("managed").unwrap();
    store.put(queue, &[Message::new(b"one"), Message::new(b"two")]).unwrap();
    let consumer = store.consumer("reader", queue, &ConsumerOptions::default()).unwrap();
    let got = consumer.receive(1, Duration::ZERO).unwrap();
    consumer.ack(&[got[0].sequence()]).unwrap();
    consumer.seek(1).unwrap();
    let gone = store.queue("gone").unwrap();
    store.put(gone, &[Message::new(b"with it")]).unwrap();
    let unprocessed = versions(store, gone);
    let (work, dead) = (store.queue("work").unwrap(), store.queue("dead").unwrap());
    let earlier = letters(store, work, dead);
    let mut before = observe(store).unwrap().model();
    for (name, queue) in unprocessed.queues.into_iter().chain(earlier.queues) {
        before.queue(&name).messages.extend(queue.messages);
    }
    drop(consumer);
    for (queue, name) in [(work, "worker"), (dead, "redrive"), (work, "witness"), (dead, "witness")]
    {
        store.consumer_delete(name, queue).unwrap();
        store.queue_purge(queue).unwrap();
    }
    store.consumer_delete("reader", queue).unwrap();
    store.queue_pause(queue).unwrap();
    store.queue_resume(queue).unwrap();
    store.queue_purge(queue).unwrap();
    store.queue_delete(gone).unwrap();
    before
}

/// A sender, a receiver that went back, and one that came late: what is rare has happened to each of them.
/// The model says what the first of them once was.
pub fn nodes() -> ([Node; 3], Model) {
    let (mut from, mut to, late) = (Node::new(11), Node::new(12), Node::new(13));
    let mut clock = Clock::new();
    put(&from, 1, 2);
    from.put("other", &["not for the target".to_string()]).unwrap();
    shipped(&from, &to, &mut clock);
    let old = to.copy();
    put(&from, 3, 4);
    shipped(&from, &to, &mut clock);
    to.restore(&old, 77);
    to.start().unwrap();
    shipped(&from, &to, &mut clock);
    skip(&from, &to, &mut clock);
    from.stop();
    let old = from.copy();
    from.start().unwrap();
    put(&from, 5, 6);
    shipped(&from, &to, &mut clock);
    from.restore(&old, 99);
    from.start().unwrap();
    from.up().claim().unwrap();
    put(&from, 1005, 1006);
    shipped(&from, &to, &mut clock);
    assert_eq!(received(to.up())[0].2.map(|count| count.min(1)), [1, 0, 1]);
    let before = manage(from.up());
    let accept = |target: &Target| target.accept_gap(true);
    assert!(ship_with(&from, &late, &plan(), &mut clock, accept).is_none());
    assert_eq!(received(late.up())[0].2, [0, 1, 0]);
    let elsewhere = Plan { user: "another".to_string(), ..plan() };
    // It has moved, and whoever is there now does not let the stream in.
    assert!(ship(&from, &late, &elsewhere, &mut clock).is_some());
    let second = Plan { name: "second".to_string(), ..plan() };
    drop(Link::open(&from, &Node::new(14), &second).unwrap());
    let root = from.queue(ROOT);
    let replication = Replication::open(from.up(), root, &ReplicationOptions::default()).unwrap();
    replication.remove("second").unwrap();
    drop(replication);
    ([from, to, late], before)
}

/// The frames that begin in a segment file: type and body.
fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut at, mut found) = (1536, Vec::new());
    while let Some(head) = bytes.get(at..at + 48) {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = at + 48..at + 48 + length;
        if head[4] == 0 || body.end > bytes.len() {
            break;
        }
        found.push((head[4], bytes[body].to_vec()));
        at += (48 + length + 7) & !7;
    }
    found
}

/// The types of records the format names, without those it reserves.
fn types() -> Vec<(u8, String)> {
    let text = include_str!("../../src/journal/format.rs");
    let mut types = Vec::new();
    let mut said = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with("///") {
            said = line;
        }
        let Some((name, rest)) = line.split_once(" = ") else { continue };
        let Some((number, text)) = rest.split_once(", \"") else { continue };
        let Ok(number) = number.parse::<u8>() else { continue };
        let unused = said.starts_with("/// Reserved:") || said.starts_with("/// Stands for");
        // A producer's row comes with its message; nothing writes it alone. Blocks belong to encrypted stores.
        if !unused && !["Producer", "Sealed"].contains(&name) {
            types.push((number, text.trim_end_matches("\";").to_string()));
        }
    }
    types
}

/// The kinds a table of a description names: "1 create", "2 move", each at the beginning of a line or behind
/// a semicolon.
fn kinds(text: &str, record: &str) -> Vec<(u8, String)> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let begins = |line: &&str| !line.trim_start().starts_with(record);
    let mut lines = lines.skip_while(begins);
    let first = lines.next().unwrap_or_else(|| panic!("no description of {record}"));
    let indented = lines.take_while(|line| line.starts_with("    ") && line.trim() != "```");
    let table: Vec<&str> = std::iter::once(first).chain(indented).collect();
    let mut kinds = Vec::new();
    let pieces = table.iter().flat_map(|line| line.split([';', ':']));
    for piece in pieces.flat_map(|piece| piece.split(" and ")) {
        let mut words = piece.split_whitespace();
        let number = words.find_map(|word| word.parse::<u8>().ok());
        if let (Some(number), Some(name)) = (number, words.next()) {
            kinds.push((number, name.trim_matches(['.', ',', ';']).to_string()));
        }
    }
    kinds
}

#[test]
fn every_record_type_and_every_kind_of_it_is_in_a_store_that_is_damaged() {
    if crate::password().is_some() {
        // The frames of an encrypted store cannot be read from its files; what it holds is the same.
        return;
    }
    let mut seen: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut files: Vec<Vec<u8>> = Vec::new();
    files.extend(crate::damage::subject(4096, 300, 12).files.into_values());
    for node in nodes().0 {
        files.extend(node.disk.kill().snapshot().into_values());
    }
    for (kind, body) in files.iter().flat_map(|file| frames(file)) {
        seen.entry(kind).or_default().extend(body.first());
    }
    let types = types();
    assert!(types.len() >= 14, "{} types are described: {types:?}", types.len());
    let rows = files.iter().any(|file| file.get(516) == Some(&66));
    for (number, name) in &types {
        // The rows of state stand in files of their own.
        assert!(
            seen.contains_key(number) || (*number == 66 && rows),
            "no {name} is in any subject"
        );
    }
    let record = include_str!("../../src/store/record.rs");
    let stream = include_str!("../../src/store/stream.rs");
    let arrived = include_str!("../../src/store/received.rs");
    let tables = [
        (record, "queue ", 5),
        (record, "consumer ", 10),
        (stream, "stream ", 8),
        (arrived, "received ", 7),
    ];
    let number_of = |name: &str| types.iter().find(|(_, text)| text == name.trim()).unwrap().0;
    let prepared = number_of("prepared");
    let ops = files.iter().flat_map(|file| frames(file)).filter(|(kind, _)| *kind == prepared);
    let ops: Vec<u8> = ops.filter_map(|(_, body)| body.get(8).copied()).collect();
    assert!(
        [1, 2, 3].iter().all(|op| ops.contains(op)),
        "prepared, committed, rolled back: {ops:?}"
    );
    for (text, name, least) in tables {
        let kinds = kinds(text, name);
        assert!(kinds.len() >= least, "{name}: {kinds:?}");
        let there = &seen[&number_of(name)];
        for (op, kind) in kinds {
            assert!(there.contains(&op), "no {name}record {op} ({kind}) is in any subject");
        }
    }
}
