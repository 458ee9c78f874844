//! What a consumer has read and cannot be given yet, or not before other messages: lanes by priority, messages that wait
//! for their time, and chains of messages behind a key.
//!
//! A key is *taken* from the moment a message of it is read until the last one that is out comes to its end: then the
//! first of the chain behind it goes on. So two messages of a key are never given out at once, except those that
//! [`Lanes::follow`] adds to a predecessor on purpose. Keys are known by a hash that differs from process to process;
//! two keys that meet in one wait for each other, and nothing else.
//!
//! A message may stand elsewhere than at its sequence: at an earlier place of its key, or behind a later message of the
//! queue, at the *end*, which is that message and the how many-th behind it.
//!
//! Promises: within a lane the lowest sequence comes first; of what may come, the highest lane; the order of a key wins
//! over lanes and times. Costs at most 64 bytes for each message that waits: a place in a lane 16, in a chain 16, a
//! message that waits for its time 24, a key 17, each with what its container keeps free.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Lanes: priorities 0 to 9.
const LANES: usize = 10;
/// No node.
const NONE: u32 = u32::MAX;

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its sequence.
    pub sequence: u64,
    /// The hash of its key, 0 = none.
    pub key: u64,
    /// Its priority.
    pub lane: u8,
}

/// A message behind others of its key.
#[derive(Clone, Copy)]
struct Node {
    sequence: u64,
    next: u32,
    lane: u8,
}

/// Passes hashes on as they are.
#[derive(Default)]
pub struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = (self.0 << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// What messages are sorted by: a sequence, and 0, or for one at the end the how many-th behind it.
type Order = (u64, u64);

/// A key that is taken.
#[derive(Clone, Copy)]
struct Key {
    /// The last of the chain behind it, whose `next` is the first.
    last: u32,
    /// How many messages of it are out.
    out: u32,
}

type Keys = HashMap<u64, Key, BuildHasherDefault<Same>>;

/// Sequences and keys of one priority: those that came in order, and others.
#[derive(Default)]
struct Lane {
    in_order: VecDeque<(u64, u64)>,
    others: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Lane {
    fn len(&self) -> usize {
        self.in_order.len() + self.others.len()
    }

    fn push(&mut self, one: (u64, u64)) {
        match self.in_order.back() {
            Some(last) if *last > one => self.others.push(Reverse(one)),
            _ => {
                if self.in_order.len() == self.in_order.capacity() {
                    self.in_order.reserve_exact(growth(self.in_order.len()));
                }
                self.in_order.push_back(one);
            }
        }
    }

    /// The lowest sequence, and its key.
    fn first(&self) -> Option<(u64, u64)> {
        let other = self.others.peek().map(|Reverse(one)| *one);
        self.in_order.front().copied().into_iter().chain(other).min()
    }

    fn pop(&mut self) -> Option<(u64, u64)> {
        match (self.in_order.front(), self.others.peek()) {
            (Some(first), Some(Reverse(other))) if first < other => self.in_order.pop_front(),
            (_, Some(_)) => self.others.pop().map(|Reverse(one)| one),
            _ => self.in_order.pop_front(),
        }
    }
}

/// How much a container of so many grows: not to twice as much, since the bound on a waiting message is a small one.
fn growth(len: usize) -> usize {
    len / 8 + 64
}

/// Messages that wait.
#[derive(Default)]
pub struct Lanes {
    ready: [Lane; LANES],
    /// What stands at an end, by it: the sequence and the key.
    ends: [BTreeMap<Order, (u64, u64)>; LANES],
    /// When, the sequence with its lane in the lowest four bits, the key.
    later: BinaryHeap<Reverse<(u64, u64, u64)>>,
    keys: Keys,
    /// Places of those that stand elsewhere than at their sequences.
    moved: BTreeMap<u64, Order>,
    nodes: Vec<Node>,
    free: u32,
    chained: usize,
}

impl Lanes {
    pub fn new() -> Lanes {
        Lanes { free: NONE, ..Lanes::default() }
    }

    /// Messages that wait here.
    pub fn len(&self) -> usize {
        let ready = self.ready.iter().map(Lane::len).sum::<usize>();
        let ends = self.ends.iter().map(BTreeMap::len).sum::<usize>();
        ready + ends + self.later.len() + self.chained
    }

    /// Whether a message waits that nothing is in the way of.
    pub fn has_ready(&self) -> bool {
        self.ready.iter().any(|lane| lane.len() > 0) || self.ends.iter().any(|of| !of.is_empty())
    }

    /// Takes in a message that was just read; they come in the order of sequences.
    pub fn add(&mut self, one: Waiting) {
        if one.key == 0 {
            return self.put_ready(one);
        }
        match self.keys.entry(one.key) {
            Entry::Vacant(free) => _ = free.insert(Key { last: NONE, out: 0 }),
            Entry::Occupied(mut of) if sabotage!("key order broken by prefetch") => {
                of.get_mut().last = NONE;
            }
            Entry::Occupied(of) => {
                let last = of.get().last;
                return self.chain_last(last, one);
            }
        }
        self.put_ready(one);
    }

    /// Adds a message to a chain that ends with `last`.
    fn chain_last(&mut self, last: u32, one: Waiting) {
        let node = self.node(one);
        let first = if last == NONE { node } else { self.nodes[last as usize].next };
        self.nodes[node as usize].next = first;
        if last != NONE {
            self.nodes[last as usize].next = node;
        }
        self.set_last(one.key, node);
    }

    fn last_of(&self, key: u64) -> Option<u32> {
        self.keys.get(&key).map(|of| of.last).filter(|last| *last != NONE)
    }

    fn set_last(&mut self, key: u64, last: u32) {
        self.keys.entry(key).or_insert(Key { last, out: 0 }).last = last;
    }

    /// Takes a key for a message that goes out without having waited; false when it is taken already.
    pub fn take(&mut self, key: u64) -> bool {
        if key == 0 {
            return true;
        }
        match self.keys.entry(key) {
            Entry::Vacant(free) => {
                free.insert(Key { last: NONE, out: 1 });
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// The same in place of the last one that waits behind its key, which waits no more: it is named.
    pub fn add_instead(&mut self, one: Waiting) -> Option<u64> {
        let Some(last) = self.last_of(one.key) else {
            self.add(one);
            return None;
        };
        let node = &mut self.nodes[last as usize];
        node.lane = one.lane;
        Some(std::mem::replace(&mut node.sequence, one.sequence))
    }

    /// The first message behind a key that is taken.
    pub fn behind(&self, key: u64) -> Option<Waiting> {
        let last = self.last_of(key)?;
        let Node { sequence, lane, .. } = self.nodes[self.nodes[last as usize].next as usize];
        Some(Waiting { sequence, key, lane })
    }

    /// Takes in a message that stands in the order of its key at this place, and not at that of its sequence.
    pub fn add_at(&mut self, one: Waiting, place: u64) {
        self.add_moved(one, (place, 0));
    }

    /// Takes in a message that stands at an end.
    pub fn add_last(&mut self, one: Waiting, end: (u64, u64)) {
        self.add_moved(one, end);
    }

    fn add_moved(&mut self, one: Waiting, order: Order) {
        self.moved.insert(one.sequence, order);
        if one.key != 0 && self.keys.contains_key(&one.key) {
            self.chain_first(one);
            return;
        }
        if one.key != 0 {
            self.set_last(one.key, NONE);
        }
        self.put_ready(one);
    }

    /// It is at its end.
    pub fn forget_place(&mut self, sequence: u64) {
        if !self.moved.is_empty() {
            self.moved.remove(&sequence);
        }
    }

    /// None of a key that waits nowhere comes before [`Lanes::done`] of it.
    pub fn hold(&mut self, key: u64) {
        self.went_out(key);
    }

    /// The next message; its key stays taken until [`Lanes::done`], [`Lanes::back`] or [`Lanes::later`].
    pub fn next(&mut self) -> Option<Waiting> {
        for lane in (0..LANES).rev() {
            if let Some((sequence, key)) = self.pop(lane) {
                let one = self.first_of(Waiting { sequence, key, lane: lane as u8 });
                self.went_out(key);
                return Some(one);
            }
        }
        None
    }

    /// The first of a lane.
    fn pop(&mut self, lane: usize) -> Option<(u64, u64)> {
        let ready = self.ready[lane].first().map(|(sequence, _)| sequence);
        let end = self.ends[lane].first_key_value().map(|((behind, _), _)| *behind);
        if end.is_some_and(|behind| ready.is_none_or(|ready| ready > behind)) {
            return self.ends[lane].pop_first().map(|(_, one)| one);
        }
        self.ready[lane].pop()
    }

    /// This message, or one of its key that stands before it and came later.
    fn first_of(&mut self, one: Waiting) -> Waiting {
        if self.moved.is_empty() || one.key == 0 {
            return one;
        }
        let last = self.last_of(one.key);
        let first = last.map(|last| self.nodes[self.nodes[last as usize].next as usize].sequence);
        if first.is_none_or(|first| self.order(first) > self.order(one.sequence)) {
            return one;
        }
        self.chain_first(one);
        self.unchain(one.key).unwrap_or(one)
    }

    /// Where a message stands in the order of its key.
    fn order(&self, sequence: u64) -> Order {
        if self.moved.is_empty() {
            return (sequence, 0);
        }
        self.moved.get(&sequence).copied().unwrap_or((sequence, 0))
    }

    /// The next of a key of which one is out, to go out with it.
    pub fn follow(&mut self, key: u64) -> Option<Waiting> {
        let one = self.unchain(key)?;
        self.went_out(key);
        Some(one)
    }

    /// A message that is out comes not before this time.
    pub fn later(&mut self, one: Waiting, at_ms: u64) {
        self.came_in(one.key);
        let packed = (one.sequence << 4) | u64::from(one.lane);
        self.later.push(Reverse((at_ms, packed, one.key)));
    }

    /// The same for one that was just read and has no key.
    pub fn add_later(&mut self, one: Waiting, at_ms: u64) {
        let packed = (one.sequence << 4) | u64::from(one.lane);
        self.later.push(Reverse((at_ms, packed, one.key)));
    }

    /// When the next message comes whose time is not over.
    pub fn next_due(&self) -> Option<u64> {
        self.later.peek().map(|Reverse((at, ..))| *at)
    }

    /// Lets messages come whose time is over.
    pub fn wake(&mut self, now_ms: u64) {
        while self.next_due().is_some_and(|at| at <= now_ms) {
            let Some(Reverse((_, packed, key))) = self.later.pop() else { return };
            self.put_ready(Waiting { sequence: packed >> 4, key, lane: (packed & 15) as u8 });
        }
    }

    /// A message that was out comes again, before later ones of its key.
    pub fn back(&mut self, one: Waiting) {
        if one.key == 0 {
            self.put_ready(one);
            return;
        }
        self.chain_first(one);
        self.done(one.key);
    }

    /// A message of this key that was out has come to its end: the next of it may come.
    pub fn done(&mut self, key: u64) {
        if key == 0 {
            return;
        }
        let Entry::Occupied(mut of) = self.keys.entry(key) else { return };
        let known = of.get_mut();
        known.out = known.out.saturating_sub(1);
        if known.out > 0 {
            return;
        }
        if known.last == NONE {
            of.remove();
            return;
        }
        if let Some(next) = self.unchain(key) {
            self.put_ready(next);
        }
    }

    fn put_ready(&mut self, one: Waiting) {
        let lane = usize::from(one.lane).min(LANES - 1);
        let order = self.order(one.sequence);
        if order.1 > 0 {
            self.ends[lane].insert(order, (one.sequence, one.key));
            return;
        }
        self.ready[lane].push((one.sequence, one.key));
    }

    fn went_out(&mut self, key: u64) {
        if key != 0 {
            self.keys.entry(key).or_insert(Key { last: NONE, out: 0 }).out += 1;
        }
    }

    /// One less is out.
    fn came_in(&mut self, key: u64) {
        if let Some(of) = self.keys.get_mut(&key) {
            of.out = of.out.saturating_sub(1);
        }
    }

    fn node(&mut self, one: Waiting) -> u32 {
        self.chained += 1;
        let node = Node { sequence: one.sequence, next: NONE, lane: one.lane };
        if self.free != NONE {
            let at = self.free;
            self.free = self.nodes[at as usize].next;
            self.nodes[at as usize] = node;
            return at;
        }
        if self.nodes.len() == self.nodes.capacity() {
            self.nodes.reserve_exact(growth(self.nodes.len()));
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// Puts a message into the chain of its key where it belongs; that is at the end, or near the beginning.
    fn chain_first(&mut self, one: Waiting) {
        let node = self.node(one);
        let Some(last) = self.last_of(one.key) else {
            self.nodes[node as usize].next = node;
            self.set_last(one.key, node);
            return;
        };
        let (mut before, order) = (last, self.order(one.sequence));
        if self.order(self.nodes[last as usize].sequence) < order {
            self.nodes[node as usize].next = self.nodes[last as usize].next;
            self.nodes[last as usize].next = node;
            self.set_last(one.key, node);
            return;
        }
        loop {
            let next = self.nodes[before as usize].next;
            if self.order(self.nodes[next as usize].sequence) > order {
                break;
            }
            before = next;
            if next == last {
                self.set_last(one.key, node);
                break;
            }
        }
        self.nodes[node as usize].next = self.nodes[before as usize].next;
        self.nodes[before as usize].next = node;
    }

    /// Takes the first message out of a chain.
    fn unchain(&mut self, key: u64) -> Option<Waiting> {
        let last = self.last_of(key)?;
        let first = self.nodes[last as usize].next;
        let node = self.nodes[first as usize];
        if first == last {
            self.set_last(key, NONE);
        } else {
            self.nodes[last as usize].next = node.next;
        }
        self.nodes[first as usize].next = self.free;
        self.free = first;
        self.chained -= 1;
        if self.chained == 0 {
            (self.nodes, self.free) = (Vec::new(), NONE);
        }
        Some(Waiting { sequence: node.sequence, key, lane: node.lane })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn one(sequence: u64, key: u64, lane: u8) -> Waiting {
        Waiting { sequence, key, lane }
    }

    #[test]
    fn the_highest_lane_comes_first_and_within_it_the_oldest() {
        let mut lanes = Lanes::new();
        for (sequence, lane) in [(1, 0), (2, 9), (3, 4), (4, 9), (5, 0)] {
            lanes.add(one(sequence, 0, lane));
        }
        let order: Vec<u64> = std::iter::from_fn(|| lanes.next()).map(|one| one.sequence).collect();
        assert_eq!(order, [2, 4, 3, 1, 5]);
    }

    #[test]
    fn the_order_of_a_key_wins_over_lanes_and_times() {
        let mut lanes = Lanes::new();
        lanes.add(one(1, 7, 0));
        lanes.add(one(2, 7, 9));
        lanes.add(one(3, 8, 1));
        assert_eq!(lanes.next(), Some(one(3, 8, 1)));
        assert_eq!(lanes.next(), Some(one(1, 7, 0)));
        assert_eq!(lanes.next(), None, "message 2 waits for its key");
        lanes.later(one(1, 7, 0), 50);
        lanes.wake(49);
        assert_eq!(lanes.next(), None);
        lanes.wake(50);
        assert_eq!(lanes.next(), Some(one(1, 7, 0)));
        lanes.done(7);
        assert_eq!(lanes.next(), Some(one(2, 7, 9)));
    }

    #[test]
    fn what_comes_back_comes_before_what_waits_behind_it() {
        let mut lanes = Lanes::new();
        (1..=6).for_each(|sequence| lanes.add(one(sequence, 7, 0)));
        assert_eq!(lanes.next(), Some(one(1, 7, 0)));
        assert_eq!(lanes.follow(7), Some(one(2, 7, 0)));
        assert_eq!(lanes.follow(7), Some(one(3, 7, 0)));
        lanes.back(one(3, 7, 0));
        lanes.back(one(1, 7, 0));
        assert_eq!(lanes.next(), None, "message 2 is still out");
        lanes.back(one(2, 7, 0));
        for sequence in 1..=6 {
            assert_eq!(lanes.next(), Some(one(sequence, 7, 0)));
            lanes.done(7);
        }
        assert_eq!((lanes.next(), lanes.len(), lanes.keys.len()), (None, 0, 0));
    }

    #[test]
    fn what_stands_at_an_end_comes_behind_the_message_that_was_the_last_and_before_the_next() {
        let mut lanes = Lanes::new();
        for (sequence, key) in [(3, 7), (4, 0), (5, 7), (6, 0), (7, 7)] {
            lanes.add(one(sequence, key, 0));
        }
        lanes.add_last(one(1, 7, 0), (5, 2));
        lanes.add_last(one(2, 0, 0), (5, 1));
        lanes.add_last(one(8, 0, 9), (5, 3));
        assert_eq!(lanes.len(), 8);
        let mut order = Vec::new();
        while let Some(next) = lanes.next() {
            order.push(next.sequence);
            // Given back once each, it stands where it stood.
            if order.len() % 2 == 1 && next.sequence < 3 {
                lanes.back(next);
                order.pop();
                assert_eq!(lanes.next(), Some(next));
                order.push(next.sequence);
            }
            lanes.forget_place(next.sequence);
            lanes.done(next.key);
        }
        assert_eq!(order, [8, 3, 4, 5, 2, 1, 6, 7]);
        assert_eq!((lanes.len(), lanes.keys.len(), lanes.moved.len()), (0, 0, 0));
    }

    #[test]
    fn the_last_of_a_chain_makes_way_for_a_newer_one_and_nothing_else_does() {
        let mut lanes = Lanes::new();
        assert_eq!(lanes.add_instead(one(1, 7, 0)), None, "nothing is there");
        assert_eq!(lanes.add_instead(one(2, 7, 0)), None, "message 1 is ready");
        assert_eq!(lanes.add_instead(one(3, 7, 4)), Some(2));
        assert_eq!(lanes.add_instead(one(4, 8, 0)), None, "another key");
        assert_eq!(lanes.add_instead(one(5, 0, 0)), None, "no key");
        assert_eq!(lanes.add_instead(one(6, 0, 0)), None, "no key");
        assert_eq!((lanes.behind(7), lanes.behind(8)), (Some(one(3, 7, 4)), None));
        for sequence in [1, 4, 5, 6] {
            assert_eq!(lanes.next().map(|one| one.sequence), Some(sequence));
        }
        lanes.done(7);
        assert_eq!((lanes.next(), lanes.len()), (Some(one(3, 7, 4)), 0));
    }

    #[test]
    fn what_stands_at_an_earlier_place_comes_before_what_was_there_and_a_held_key_waits() {
        let mut lanes = Lanes::new();
        (4..=6).for_each(|sequence| lanes.add(one(sequence, 7, 0)));
        lanes.add_at(one(9, 7, 0), 2);
        lanes.add_at(one(8, 7, 0), 1);
        assert_eq!(lanes.next(), Some(one(8, 7, 0)), "message 4 was ready, and waits");
        lanes.back(one(8, 7, 0));
        for sequence in [8, 9, 4, 5, 6] {
            assert_eq!(lanes.next(), Some(one(sequence, 7, 0)));
            lanes.forget_place(sequence);
            lanes.done(7);
        }
        assert_eq!((lanes.len(), lanes.keys.len(), lanes.moved.len()), (0, 0, 0));
        lanes.hold(7);
        lanes.add(one(10, 7, 0));
        assert_eq!(lanes.next(), None);
        lanes.add_at(one(11, 7, 0), 3);
        lanes.done(7);
        assert_eq!(lanes.next(), Some(one(11, 7, 0)));
    }

    #[test]
    fn any_course_gives_every_message_once_and_each_key_in_order() {
        let seed = std::process::id();
        let mut random = u64::from(seed) | 1;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        let mut lanes = Lanes::new();
        let (mut out, mut ended): (Vec<Waiting>, BTreeMap<u64, u64>) =
            (Vec::new(), BTreeMap::new());
        let (mut added, mut done, mut now) = (0, 0, 0);
        while done < 5_000 {
            match below(6) {
                0 | 1 if added < 5_000 => {
                    added += 1;
                    lanes.add(one(added, below(9), below(10) as u8));
                }
                2 | 3 => {
                    let Some(next) = lanes.next() else { continue };
                    let twice = out.iter().any(|other| next.key != 0 && other.key == next.key);
                    assert!(!twice, "seed {seed}: key {} is out twice", next.key);
                    let last = ended.get(&next.key).copied().unwrap_or(0);
                    let in_order = next.key == 0 || next.sequence > last;
                    assert!(in_order, "seed {seed}: {next:?} comes after {last}");
                    out.push(next);
                }
                _ if out.is_empty() => (now, _) = (now + 1, lanes.wake(now + 1)),
                what => {
                    let next = out.swap_remove(below(out.len() as u64) as usize);
                    match what {
                        4 if below(2) == 0 => lanes.back(next),
                        4 => lanes.later(next, now + below(5)),
                        _ => {
                            ended.insert(next.key, next.sequence);
                            lanes.done(next.key);
                            done += 1;
                        }
                    }
                    now += 1;
                    lanes.wake(now);
                }
            }
        }
        assert_eq!((lanes.len(), lanes.keys.len()), (0, 0), "seed {seed}");
    }
}
