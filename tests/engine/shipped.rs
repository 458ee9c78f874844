//! T2 and T3 for the two ends of a stream: journals that hold stream, received and advance records, damaged and
//! cut off at every operation.
//!
//! The receiver's stamp and what came with it are one transaction: at any time it has exactly the messages the
//! sender put up to its stamp. What it confirmed to the sender, a power cut does not take away; and what the
//! sender shipped, a power cut does not take from the sender.

use crate::damage::{Counts, Subject, streams};
use crate::oracle::observe;
use crate::world::{Clock, Link, Node, Plan, ROOT, options};
use repliq::disk::model::{Cut, ModelDisk};
use repliq::replicate::received;
use repliq::{Result, Store, StoreOptions};
use std::sync::Arc;

/// Where the messages go.
const DESTINATION: &str = "there";

fn plan() -> Plan {
    Plan::new(ROOT, "target", DESTINATION)
}

fn payloads(round: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{round}.{n} {}", "x".repeat(60 * n + 20 * round))).collect()
}

/// A node on a disk whose store is not open yet.
fn node(disk: ModelDisk) -> Node {
    let options = StoreOptions { keep_bytes: 0, ..options() };
    Node { disk, store: None, options, life: 0 }
}

/// Two stores that know nothing yet.
fn pair() -> (Node, Node) {
    let fresh = |seed| {
        let node = Node::new(seed);
        node.store.as_ref().unwrap().close().unwrap();
        node
    };
    let (from, to) = (fresh(1), fresh(2));
    (node(from.disk.kill()), node(to.disk.kill()))
}

/// Opens both stores and ships rounds of transactions until all is there or a machine stops: some for the
/// target, some for nobody, and queues that are consumed, so that segments go.
fn live(from: &mut Node, to: &mut Node, rounds: usize) -> Result<()> {
    from.start()?;
    to.start()?;
    let mut clock = Clock::new();
    let mut link = Link::open(from, to, &plan())?;
    for round in 0..rounds {
        from.put(ROOT, &payloads(round, 1 + round % 4))?;
        from.put("other", &payloads(round, 1))?;
        link.run(&mut clock);
        if let Some(error) = link.error.take() {
            return Err(error);
        }
        from.put("other", &payloads(round, 2))?;
    }
    Ok(())
}

/// Transactions of a queue by their sequence, with their payloads.
fn sent(from: &Node) -> Vec<(u64, String)> {
    let queue = from.queue(ROOT);
    let all = from.up().snapshot().unwrap().browse(queue, 1, 10_000).unwrap();
    let one =
        |m: &repliq::Received| (m.transaction(), String::from_utf8(m.payload().to_vec()).unwrap());
    all.iter().map(one).collect()
}

/// The stamp a receiver has; what it shows must be what belongs to it.
fn stamp_with_its_data(to: &Node, sent: &[(u64, String)]) -> u64 {
    let rows = received(to.up());
    assert!(rows.len() <= 1, "{rows:?}");
    let stamp = rows.first().map_or(0, |row| row.1);
    let expected = sent.iter().filter(|one| one.0 <= stamp).map(|one| one.1.clone());
    let shown =
        if to.up().find_queue(DESTINATION).is_ok() { to.payloads(DESTINATION) } else { vec![] };
    assert_eq!(shown, expected.collect::<Vec<_>>(), "a stamp of {stamp} and its messages");
    stamp
}

/// How far the target is, as the sender knows without asking.
fn cursor(from: &Node) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&from.up().status().unwrap()).unwrap();
    status["targets"][0]["position"].as_u64().unwrap_or(0)
}

/// Ships what is left; both must have the same then, and nobody has lost anything.
fn goes_on(from: &Node, to: &Node) {
    let error = crate::world::ship(from, to, &plan(), &mut Clock::new());
    assert!(error.is_none(), "{error:?}");
    let sent = sent(from);
    let stamp = stamp_with_its_data(to, &sent);
    assert!(stamp >= sent.last().map_or(0, |last| last.0), "{stamp}");
    assert!(received(to.up()).iter().all(|row| row.2 == [0; 3]), "{:?}", received(to.up()));
}

/// What the power may leave of a disk, by the number of the stop.
fn ends(disk: &ModelDisk, at: u64) -> Vec<ModelDisk> {
    let random = (0..4).map(|n| Cut::Random(at * 17 + n));
    let cuts = [Cut::Nothing, Cut::All].into_iter().chain(random);
    let cut = |cut| disk.power_cut(cut);
    std::iter::once(disk.kill()).chain(cuts.map(cut)).collect()
}

/// Stops one of the two at every operation; returns how many recoveries were checked.
fn enumerate(stop_receiver: bool, rounds: usize) -> usize {
    let (ready_from, ready_to) = pair();
    let mut checked = 0;
    for at in (1..).step_by(crate::SAMPLE) {
        let mut from = node(ready_from.disk.clone_image());
        let mut to = node(ready_to.disk.clone_image());
        let stopped = if stop_receiver { to.disk.clone() } else { from.disk.clone() };
        if at % 2 == 0 {
            stopped.stop_in(at)
        } else {
            stopped.stop_at(at)
        }
        let outcome = live(&mut from, &mut to, rounds);
        if !stopped.is_stopped() {
            outcome.unwrap();
            return checked;
        }
        let other = if stop_receiver { &from } else { &to };
        if other.store.is_none() {
            continue;
        }
        let confirmed = if stop_receiver { cursor(&from) } else { 0 };
        let rest = other.disk.kill();
        for end in ends(&stopped, at) {
            let (disk_from, disk_to) =
                if stop_receiver { (rest.clone_image(), end) } else { (end, rest.clone_image()) };
            let (mut from, mut to) = (node(disk_from), node(disk_to));
            from.start().unwrap();
            to.start().unwrap();
            let stamp = stamp_with_its_data(&to, &sent(&from));
            assert!(
                stamp >= confirmed,
                "stop at {at}: {confirmed} was confirmed, {stamp} is there"
            );
            assert!(cursor(&from) <= stamp, "stop at {at}: the cursor is ahead of {stamp}");
            goes_on(&from, &to);
            checked += 1;
        }
    }
    checked
}

#[test]
fn a_receiver_has_its_stamp_with_its_data_after_a_stop_at_every_operation() {
    let checked = enumerate(true, 12);
    println!("T3, receiver: {checked} recoveries");
    assert!(checked >= 600 / crate::SAMPLE, "only {checked} recoveries");
}

#[test]
fn a_sender_keeps_what_it_shipped_after_a_stop_at_every_operation() {
    let checked = enumerate(false, 12);
    println!("T3, sender: {checked} recoveries");
    assert!(checked >= 600 / crate::SAMPLE, "only {checked} recoveries");
}

/// What a node holds and shows.
fn subject_of(node: &Node) -> Subject {
    let seen = observe(node.up()).unwrap();
    let disk = node.disk.kill();
    let options = node.options.clone();
    let store = Store::open_on(Arc::new(disk.clone_image()), &options).unwrap();
    assert_eq!(observe(&store).unwrap(), seen);
    let (model, streams) = (seen.model(), streams(&store));
    assert!(streams.contains("target"), "{streams}");
    let ever = model.clone();
    Subject {
        files: disk.snapshot(),
        options,
        model,
        ever,
        steps: Vec::new(),
        streams,
        sessions: None,
    }
}

/// The journals of a sender and of a receiver, and of those to whom everything rare happened.
fn subjects() -> Vec<Subject> {
    let (mut from, mut to) = pair();
    live(&mut from, &mut to, 6).unwrap();
    let mut all = vec![subject_of(&from), subject_of(&to)];
    let (nodes, before) = crate::rare::nodes();
    let mut rare = nodes.each_ref().map(subject_of);
    for (name, queue) in before.queues {
        let all = rare[0].ever.queue(&name);
        all.next = all.next.max(queue.next);
        all.messages.extend(queue.messages);
    }
    all.extend(rare);
    all
}

#[test]
fn every_byte_of_a_sender_and_of_a_receiver_flipped_is_harmless_or_told() {
    let mut counts = Counts::default();
    for subject in subjects() {
        let disk = subject.disk();
        for (name, bytes) in &subject.files {
            let written = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
            let mut damaged = bytes.clone();
            for at in (0..written).step_by(crate::SAMPLE) {
                let bit = (at * 5 + at / 8) % 8;
                damaged[at] ^= 1 << bit;
                disk.put_file(name, &damaged);
                subject.judge(&disk, &mut counts, &|| format!("bit {bit} of byte {at} of {name}"));
                damaged[at] ^= 1 << bit;
            }
            disk.put_file(name, bytes);
        }
    }
    counts.report("bits of both ends of a stream", 8_000);
}

#[test]
fn a_sender_and_a_receiver_cut_short_are_harmless_or_told() {
    let mut counts = Counts::default();
    for subject in subjects() {
        let disk = subject.disk();
        for (name, bytes) in &subject.files {
            for length in (0..bytes.len()).step_by(crate::SAMPLE) {
                disk.put_file(name, &bytes[..length]);
                subject.judge(&disk, &mut counts, &|| format!("{name} cut to {length} bytes"));
            }
            disk.put_file(name, bytes);
        }
    }
    counts.report("truncations of both ends of a stream", 2_000);
}
