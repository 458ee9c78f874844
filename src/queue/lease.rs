//! Who works on which message, and until when.
//!
//! A lease is a message that was given out and its owner, the handle that got it. Time alone takes nothing away: a lease
//! whose time is over lets the message be given to somebody else, and only that ends it. Its owner is told STALE then.
//! Leases live as long as the handles that own them; none outlives the process.
//!
//! Promises: a message has one owner; what is acknowledged counts as out until that is durable.

use super::lanes::{Same, Waiting};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasherDefault;

/// Room for leases that is kept while there are none.
const ROOM_KEPT: usize = 1 << 16;

/// A message that is out.
#[derive(Clone, Copy, Debug)]
struct Lease {
    owner: u64,
    key: u64,
    lane: u8,
    until_ms: u64,
    /// Its acknowledgement is being committed: nobody else gets it.
    settling: bool,
    /// Its time is over, and it waits for whoever comes.
    overdue: bool,
}

/// What is out.
#[derive(Default)]
pub struct Leases {
    /// By sequence, which is spread well enough by itself.
    of: HashMap<u64, Lease, BuildHasherDefault<Same>>,
    until: BTreeSet<(u64, u64)>,
    /// Acknowledged, durable from this journal offset on, and the key.
    ending: VecDeque<(u64, u64)>,
    overdue: usize,
}

impl Leases {
    /// Messages that somebody works on, and those whose acknowledgement is not durable yet.
    pub fn out(&self) -> usize {
        self.of.len() - self.overdue + self.ending.len()
    }

    /// Notes who got a message; who had it before has lost it. `until_ms` 0 = for ever.
    pub fn give(&mut self, one: Waiting, owner: u64, until_ms: u64) {
        let Waiting { sequence, key, lane } = one;
        self.remove(sequence);
        let (settling, overdue) = (false, false);
        self.of.insert(sequence, Lease { owner, key, lane, until_ms, settling, overdue });
        if until_ms > 0 {
            self.until.insert((until_ms, sequence));
        }
    }

    /// The first of these messages that the owner does not have.
    pub fn missing(&self, owner: u64, sequences: &[u64]) -> Option<u64> {
        let has = |sequence: &u64| self.of.get(sequence).is_some_and(|lease| lease.owner == owner);
        sequences.iter().copied().find(|sequence| !has(sequence))
    }

    /// The key of a message that is out.
    pub fn key_of(&self, sequence: u64) -> Option<u64> {
        self.of.get(&sequence).map(|lease| lease.key)
    }

    /// Their acknowledgement is being committed, or is not any more.
    pub fn settle(&mut self, sequences: &[u64], settling: bool) {
        for sequence in sequences {
            if let Some(lease) = self.of.get_mut(sequence) {
                lease.settling = settling;
            }
        }
    }

    /// They were acknowledged, durable from this journal offset on.
    pub fn end(&mut self, sequences: &[u64], offset: u64) {
        for sequence in sequences {
            // One that is overdue waits in a lane, which holds its key; it is passed over there.
            if let Some(lease) = self.remove(*sequence)
                && !lease.overdue
            {
                self.ending.push_back((offset, lease.key));
            }
        }
    }

    /// Its owner has a message no more.
    pub fn revoke(&mut self, sequence: u64) {
        self.remove(sequence);
    }

    /// A message of this key needs nobody any more, as soon as the journal is durable up to the offset.
    pub fn end_key(&mut self, key: u64, offset: u64) {
        self.ending.push_back((offset, key));
    }

    /// The keys of messages whose acknowledgement is durable now.
    pub fn ended(&mut self, durable: u64) -> Option<u64> {
        let (offset, key) = self.ending.front().copied()?;
        if offset > durable {
            return None;
        }
        self.ending.pop_front();
        Some(key)
    }

    /// Takes a message from its owner; `None` when that has it no more. A message that is overdue waits already.
    pub fn take(&mut self, owner: u64, sequence: u64) -> Option<Option<Waiting>> {
        self.of.get(&sequence).filter(|lease| lease.owner == owner)?;
        let lease = self.remove(sequence)?;
        let one = Waiting { sequence, key: lease.key, lane: lease.lane };
        Some((!lease.overdue).then_some(one))
    }

    /// A message whose time is over: it may be given to somebody else.
    pub fn overdue(&mut self, now_ms: u64) -> Option<Waiting> {
        while let Some((until, sequence)) = self.until.first().copied().filter(|at| at.0 <= now_ms)
        {
            self.until.remove(&(until, sequence));
            let Some(lease) = self.of.get_mut(&sequence) else { continue };
            if lease.settling {
                // Its commit is under way; should it fail, there is another time.
                lease.until_ms = now_ms + 1_000;
                self.until.insert((lease.until_ms, sequence));
                continue;
            }
            lease.overdue = true;
            self.overdue += 1;
            return Some(Waiting { sequence, key: lease.key, lane: lease.lane });
        }
        None
    }

    /// When the next time is over.
    pub fn next_until(&self) -> Option<u64> {
        self.until.first().map(|(until, _)| *until)
    }

    /// Their owner has these messages until then. One whose time is over waits for whoever comes and stays there; the
    /// first such is named.
    pub fn renew(&mut self, sequences: &[u64], until_ms: u64) -> Option<u64> {
        let mut late = None;
        for sequence in sequences {
            let Some(lease) = self.of.get_mut(sequence) else { continue };
            if lease.overdue {
                late = late.or(Some(*sequence));
            } else if lease.until_ms > 0 {
                self.until.remove(&(lease.until_ms, *sequence));
                lease.until_ms = until_ms;
                self.until.insert((until_ms, *sequence));
            }
        }
        late
    }

    /// What an owner has, in order.
    pub fn of(&self, owner: u64) -> Vec<u64> {
        let of = self.of.iter().filter(|(_, lease)| lease.owner == owner);
        let mut sequences: Vec<u64> = of.map(|(sequence, _)| *sequence).collect();
        sequences.sort_unstable();
        sequences
    }

    fn remove(&mut self, sequence: u64) -> Option<Lease> {
        let lease = self.of.remove(&sequence)?;
        if lease.until_ms > 0 {
            self.until.remove(&(lease.until_ms, sequence));
        }
        self.overdue -= usize::from(lease.overdue);
        if self.of.is_empty() && self.of.capacity() > ROOM_KEPT {
            self.of = HashMap::default();
        }
        Some(lease)
    }
}
