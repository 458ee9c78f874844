//! What each queue has in the sealed segments, as far as it is remembered.
//!
//! A sealed segment never changes, so its index is read once, or not at all where it was sealed by this process, and what
//! a reclaim needs of it is remembered: which messages of which queues, not where they stand. Memory is bounded, so a
//! store with many queues in each of many segments does not remember all of them. Then a reclaim that need not find
//! everything reads a few indexes and the next one goes on behind them, so that what one costs does not grow with the
//! backlog. Where messages stand is kept for as long as somebody reads a segment, once for all who do.

use super::Journal;
use super::index::Sealed;
use super::reclaim::{Candidate, Stretch};
use crate::error::Result;
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

/// What is remembered, by segment.
#[derive(Default)]
pub struct Contents {
    known: BTreeMap<u64, Arc<Vec<Stretch>>>,
    /// Indexes that somebody reads by.
    indexes: BTreeMap<u64, Weak<Sealed>>,
    /// Of the segments that are not remembered, the first that was not looked at for longest.
    next: u64,
    /// Stretches remembered, and one more for each segment.
    stretches: usize,
}

impl Contents {
    /// Remembers what a segment holds, where there is room for it.
    pub fn remember(&mut self, number: u64, stretches: &Arc<Vec<Stretch>>) {
        let more = stretches.len() + 1;
        if self.stretches + more > limits::STRETCHES_MAX || self.known.contains_key(&number) {
            return;
        }
        self.known.insert(number, stretches.clone());
        self.stretches += more;
    }

    /// The index of a segment, where somebody has it.
    pub fn index(&self, number: u64) -> Option<Arc<Sealed>> {
        self.indexes.get(&number).and_then(Weak::upgrade)
    }

    /// Lets others have an index for as long as somebody has it.
    pub fn share(&mut self, number: u64, index: &Arc<Sealed>) {
        self.indexes.retain(|_, one| one.strong_count() > 0);
        self.indexes.insert(number, Arc::downgrade(index));
    }

    /// Forgets a segment that was given back.
    pub fn forget(&mut self, number: u64) {
        if let Some(gone) = self.known.remove(&number) {
            self.stretches -= gone.len() + 1;
        }
    }

    /// Those of the candidates that are looked at now: what is remembered or has expired, and `most` others.
    fn choose(&mut self, candidates: &[Candidate], now_ms: u64, most: usize) -> BTreeSet<u64> {
        let cheap =
            |one: &&Candidate| one.expires_ms <= now_ms || self.known.contains_key(&one.number);
        let (cheap, others): (Vec<&Candidate>, Vec<&Candidate>) =
            candidates.iter().partition(cheap);
        let mut chosen: BTreeSet<u64> = cheap.iter().map(|one| one.number).collect();
        let at = others.partition_point(|one| one.number < self.next);
        let turn = others[at..].iter().chain(&others[..at]).take(most);
        for one in turn {
            chosen.insert(one.number);
            self.next = one.number + 1;
        }
        chosen
    }
}

/// What an index says of queues.
pub fn stretches_of(sealed: &Sealed) -> Arc<Vec<Stretch>> {
    Arc::new(sealed.spans.iter().map(Stretch::from).collect())
}

impl Journal {
    /// What each queue had in a segment when it was sealed; `None` where it is gone.
    pub(super) fn contents_of(&self, number: u64) -> Result<Option<Arc<Vec<Stretch>>>> {
        if let Some(known) = self.contents.lock().known.get(&number) {
            return Ok(Some(known.clone()));
        }
        let Some(sealed) = self.sealed_index(number)? else { return Ok(None) };
        let stretches = stretches_of(&sealed);
        let tail = self.tail.lock();
        if tail.table.contains_key(&number) {
            self.contents.lock().remember(number, &stretches);
        }
        Ok(Some(stretches))
    }

    /// Those of the candidates that a reclaim looks at; all of them, where it must find what there is.
    pub(super) fn looked_at(
        &self,
        candidates: &[Candidate],
        now_ms: u64,
        all: bool,
    ) -> BTreeSet<u64> {
        let most = if all { usize::MAX } else { limits::INDEXES_READ_MAX };
        self.contents.lock().choose(candidates, now_ms, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(count: u64) -> Vec<Candidate> {
        let one = |number| Candidate { number, length: 1, last: 1, ended_ms: 0, expires_ms: 9 };
        (1..=count).map(one).collect()
    }

    #[test]
    fn what_is_not_remembered_has_its_turn_a_few_at_a_time() {
        let (mut contents, all) = (Contents::default(), candidates(5));
        contents.remember(2, &Arc::new(Vec::new()));
        let mut turns = Vec::new();
        for _ in 0..4 {
            let chosen = contents.choose(&all, 1, 2);
            turns.push(chosen.into_iter().collect::<Vec<u64>>());
        }
        assert_eq!(turns, [[1, 2, 3], [2, 4, 5], [1, 2, 3], [2, 4, 5]]);
        assert_eq!(contents.choose(&all, 1, usize::MAX).len(), 5);
        assert_eq!(contents.choose(&all, 9, 0).len(), 5, "what has expired needs no index");
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_is_forgotten() {
        let mut contents = Contents::default();
        let stretch = Stretch { queue: 1, first: 1, last: 1 };
        let many = Arc::new(vec![stretch; limits::STRETCHES_MAX / 4]);
        for number in 1..=5 {
            contents.remember(number, &many);
            contents.remember(number, &many);
        }
        assert_eq!(contents.known.keys().copied().collect::<Vec<u64>>(), [1, 2, 3]);
        contents.forget(2);
        contents.forget(5);
        contents.remember(5, &many);
        assert_eq!(contents.known.keys().copied().collect::<Vec<u64>>(), [1, 3, 5]);
        assert!(contents.stretches <= limits::STRETCHES_MAX);
    }
}
