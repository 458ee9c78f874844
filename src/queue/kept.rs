//! The bytes of what was read last and waits: a message that is given out soon is not read again.
//!
//! They are kept by sequence, which is how they were read, and mostly how they go.

use crate::journal::Found;
use std::collections::VecDeque;

/// Messages of which the bytes are at hand.
#[derive(Default)]
pub struct Kept {
    /// In the order of sequences; what was taken from the middle leaves a hole until those before it went.
    found: VecDeque<(u64, Option<Found>)>,
}

impl Kept {
    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.found.clear();
    }

    /// Keeps one more; those that were read come in order.
    pub fn insert(&mut self, found: Found) {
        let sequence = found.head.sequence;
        if self.found.back().is_none_or(|(last, _)| *last < sequence) {
            return self.found.push_back((sequence, Some(found)));
        }
        match self.place(sequence) {
            Ok(at) => self.found[at].1 = Some(found),
            Err(at) => self.found.insert(at, (sequence, Some(found))),
        }
    }

    /// One of them, which stays.
    pub fn get(&self, sequence: u64) -> Option<&Found> {
        let at = self.place(sequence).ok()?;
        self.found[at].1.as_ref()
    }

    /// Takes one out.
    pub fn remove(&mut self, sequence: u64) -> Option<Found> {
        let at = match self.found.front() {
            Some((first, _)) if *first == sequence => 0,
            _ => self.place(sequence).ok()?,
        };
        let found = self.found[at].1.take();
        while self.found.front().is_some_and(|(_, found)| found.is_none()) {
            self.found.pop_front();
        }
        found
    }

    fn place(&self, sequence: u64) -> Result<usize, usize> {
        self.found.binary_search_by_key(&sequence, |(of, _)| *of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Head, Type};
    use std::sync::Arc;

    fn found(sequence: u64) -> Found {
        let head = Head {
            length: 0,
            kind: Type::Message,
            flags: 0,
            transaction: 1,
            sequence,
            time_ms: 0,
            queue: 1,
            index: 0,
            body_sum: 0,
        };
        Found { head, buffer: Arc::default(), body: 0..0 }
    }

    #[test]
    fn what_is_kept_is_taken_once_in_any_order_and_may_be_kept_again() {
        let mut kept = Kept::default();
        [3, 5, 9].into_iter().for_each(|sequence| kept.insert(found(sequence)));
        let take = |kept: &mut Kept, sequence| kept.remove(sequence).map(|it| it.head.sequence);
        assert_eq!(take(&mut kept, 4), None);
        assert_eq!(take(&mut kept, 5), Some(5));
        assert_eq!(take(&mut kept, 5), None);
        assert_eq!(take(&mut kept, 3), Some(3));
        assert_eq!(kept.found.len(), 1, "the hole behind it went, too");
        [3, 9, 10, 4].into_iter().for_each(|sequence| kept.insert(found(sequence)));
        for sequence in [9, 3, 10, 4] {
            assert_eq!(take(&mut kept, sequence), Some(sequence));
        }
        assert_eq!(kept.found.len(), 0);
    }
}
