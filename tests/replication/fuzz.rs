//! T10: what a peer must never be able to do, whatever it says: frames of a real conversation, changed by chance, at
//! either end. Nobody panics, nothing is stored that was not put, and the store goes on.

use crate::seeds;
use crate::world::*;
use repliq::Machine;

/// A conversation: what the sender and what the receiver said.
fn conversation(dice: &mut Dice) -> (Node, Node, Vec<Frame>, Vec<Frame>) {
    let (from, to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    for n in 0..2 + dice.below(4) {
        let pad = "x".repeat(dice.below(300) as usize);
        let count = 1 + dice.below(3);
        let payloads: Vec<String> = (0..count).map(|at| format!("{n}.{at} {pad}")).collect();
        from.put(ROOT, &payloads).unwrap();
    }
    let mut link = Link::open(&from, &to, &Plan::new(ROOT, "one", ROOT)).unwrap();
    let mut answers = Vec::new();
    for _ in 0..30 {
        link.speak(clock.now);
        answers.extend(link.back.iter().cloned());
        link.deliver(clock.now);
    }
    link.run(&mut clock);
    assert!(link.error.is_none() && !answers.is_empty());
    let said = link.said.clone();
    (from, to, said, answers)
}

/// Changes a frame: bits, lengths, numbers at their ends, pieces of others.
fn change(dice: &mut Dice, (kind, body): &mut Frame, others: &[Frame]) {
    for _ in 0..1 + dice.below(3) {
        let at = if body.is_empty() { 0 } else { dice.below(body.len() as u64) as usize };
        match dice.below(8) {
            0 => *kind = dice.below(64) as u8,
            1 => body.truncate(at),
            2 => body.extend((0..dice.below(40)).map(|n| n as u8)),
            3 => {
                let ends = [0_u64, 1, u64::MAX, u64::MAX >> 1, u64::from(u32::MAX), 1 << 40];
                let number = ends[dice.below(6) as usize].to_le_bytes();
                let width = [1, 2, 4, 8][dice.below(4) as usize].min(body.len() - at);
                body[at..at + width].copy_from_slice(&number[..width]);
            }
            4 => {
                let other = &others[dice.below(others.len() as u64) as usize].1;
                let end = dice.below(other.len() as u64 + 1) as usize;
                body.splice(at..at, other[..end].iter().copied());
            }
            _ if body.is_empty() => {}
            _ => body[at] ^= 1 << dice.below(8),
        }
    }
}

/// Lets a machine hear frames, some of them changed, until it has had enough.
fn hear(dice: &mut Dice, machine: &mut dyn Machine, said: &[Frame], clock: &mut Clock) {
    let mut out = Vec::new();
    for frame in said {
        // It may have something to say first.
        for _ in 0..8 {
            out.clear();
            match machine.next_frame(clock.now, &mut out) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        let mut frame = frame.clone();
        if dice.one_in(3) {
            change(dice, &mut frame, said);
        }
        let times = if dice.one_in(10) { 2 } else { 1 };
        for _ in 0..times {
            if machine.on_frame(frame.0, &frame.1, clock.now).is_err() {
                return;
            }
        }
        clock.pass(dice.below(300));
    }
}

fn talk_nonsense(seed: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let (from, _, said, answers) = conversation(&mut dice);
    let put = from.payloads(ROOT);
    let mut stored = 0;
    let mut clock = Clock::new();
    for _ in 0..20 {
        let fresh = Node::new(3);
        let rights = Box::new(|_: &str| true);
        let waker = std::sync::Arc::new(|| {});
        let mut receiver =
            repliq::replicate::receiver(fresh.up(), "replication", rights, waker.clone());
        hear(&mut dice, &mut *receiver, &said, &mut clock);
        drop(receiver);
        for queue in fresh.up().queues().unwrap() {
            let got = fresh.payloads(&queue.name);
            let stray = got.iter().find(|one| !put.contains(one));
            assert!(stray.is_none(), "{stray:?} was never put");
            stored += got.len() as u64;
        }
        fresh.put_one("goes on");
    }
    for _ in 0..10 {
        let to = Node::new(4);
        let mut link = Link::open(&from, &to, &Plan::new(ROOT, "two", ROOT)).unwrap();
        hear(&mut dice, &mut *link.sender, &answers, &mut clock);
        drop(link);
        assert_eq!(from.payloads(ROOT), put);
    }
    stored
}

#[test]
fn no_frame_of_a_stream_makes_either_end_panic_or_store_what_was_never_put() {
    let test =
        "replication fuzz::no_frame_of_a_stream_makes_either_end_panic_or_store_what_was_never_put";
    let mut stored = 0;
    seeds::run("T10 stream", test, 300, |seed| {
        stored += talk_nonsense(seed);
        30
    });
    assert!(stored > 30, "hardly anything got through: the changes are too wild");
}
