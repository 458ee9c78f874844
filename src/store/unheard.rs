//! Commits of sessions whose owners may not have heard of them yet.
//!
//! A session may start several commits before it hears of the first. Its row remembers the last one alone; those before it are
//! here, until their owner says that it has heard of them, or so many came since.
//!
//! Promises: memory for [`COMMITS_UNHEARD_MAX`] of them and no more. They are in no run: behind a crash those are known again
//! that are replayed, and of the others nothing is said.

use super::remembered::SessionId;
use crate::limits::COMMITS_UNHEARD_MAX;
use std::collections::{BTreeMap, VecDeque};

/// A session, its epoch and a number in it.
type Place = (SessionId, u32, u64);

/// The commits, and the transactions they are.
#[derive(Clone, Debug, Default)]
pub struct Unheard {
    rows: BTreeMap<Place, u64>,
    /// In the order in which they came; those that were heard of, too.
    order: VecDeque<Place>,
}

impl Unheard {
    /// A commit, and its transaction.
    pub fn note(&mut self, session: SessionId, (epoch, number): (u32, u64), transaction: u64) {
        while self.order.len() >= COMMITS_UNHEARD_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.rows.remove(&oldest);
            }
        }
        let place = (session, epoch, number);
        self.rows.insert(place, transaction);
        self.order.push_back(place);
    }

    /// The transaction of a commit.
    pub fn find(&self, session: &SessionId, (epoch, number): (u32, u64)) -> Option<u64> {
        self.rows.get(&(*session, epoch, number)).copied()
    }

    /// The owner has heard of all commits of the session up to this one.
    pub fn heard(&mut self, session: &SessionId, (epoch, number): (u32, u64)) {
        let last = (*session, epoch, number);
        while let Some(place) = self.rows.range((*session, 0, 0)..=last).next().map(|row| *row.0) {
            self.rows.remove(&place);
        }
    }
}

/// What is known beside the rows is no part of what a store is.
impl PartialEq for Unheard {
    fn eq(&self, _: &Unheard) -> bool {
        true
    }
}

impl Eq for Unheard {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_known_until_they_were_heard_of_or_many_came_since() {
        let (mut unheard, one, two) = (Unheard::default(), [1; 16], [2; 16]);
        for number in 1..=5 {
            unheard.note(one, (3, number), 100 + number);
            unheard.note(two, (1, number), 200 + number);
        }
        unheard.heard(&one, (3, 3));
        assert_eq!((unheard.find(&one, (3, 3)), unheard.find(&one, (3, 4))), (None, Some(104)));
        assert_eq!(unheard.find(&two, (1, 1)), Some(201), "another session");
        unheard.heard(&one, (4, 1));
        assert_eq!(unheard.find(&one, (3, 5)), None, "an earlier epoch");
        for number in 0..COMMITS_UNHEARD_MAX as u64 {
            unheard.note(one, (5, number), number);
        }
        assert_eq!(unheard.find(&two, (1, 5)), None);
        assert_eq!(
            (unheard.rows.len(), unheard.order.len()),
            (COMMITS_UNHEARD_MAX, COMMITS_UNHEARD_MAX)
        );
    }
}
