//! How often a consumer was given messages that it has not acknowledged, when they may come again, and which of them were
//! put to the end of the queue.
//!
//! Row of a message in a state run: sequence (8), how often it was given out (4), not to be given out again before (8),
//! when it was first noted (8), the last message of the queue when it was put to the end (8), 0 = it never was, and the
//! how many-th it was behind that one (8).

use super::record::Delivery;
use super::state::{QueueState, State, text};
use crate::journal::{u32_at, u64_at};
use crate::limits::NUMBERS_END;
use std::collections::BTreeMap;

/// A place at the end of a queue: the message that was the last then, and the how many-th behind it, from 1.
pub type End = (u64, u64);

/// What is known of a message that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How often it was given out.
    pub deliveries: u32,
    /// Not to be given out again before, in milliseconds since 1970 UTC; 0 = at any time.
    pub not_before_ms: u64,
    /// When that was first noted, in milliseconds since 1970 UTC.
    pub first_ms: u64,
    /// Where it stands, if it was put to the end.
    pub end: Option<End>,
}

/// The attempts of one consumer, by sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    rows: BTreeMap<u64, Attempt>,
    /// Those that were put to the end.
    ends: BTreeMap<End, u64>,
}

/// Bytes of a row of a state run.
const ROW: usize = 44;

impl Attempts {
    /// What is known of a message.
    pub fn get(&self, sequence: u64) -> Option<&Attempt> {
        self.rows.get(&sequence)
    }

    /// How many messages something is known of.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many of them were given out more than once.
    pub fn retried(&self) -> usize {
        self.rows.values().filter(|attempt| attempt.deliveries > 1).count()
    }

    /// Whether any was put to the end.
    pub fn has_ends(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Takes over what a record says; `last` is the last message of the queue now.
    pub(super) fn note(&mut self, row: &Delivery, time_ms: u64, last: u64) {
        for sequence in row.first..=row.last {
            let (deliveries, not_before_ms) = (row.deliveries, row.not_before_ms);
            let first = Attempt { deliveries, not_before_ms, first_ms: time_ms, end: None };
            let attempt = self.rows.entry(sequence).or_insert(first);
            (attempt.deliveries, attempt.not_before_ms) = (deliveries, not_before_ms);
            if row.to_end {
                if let Some(end) = attempt.end {
                    self.ends.remove(&end);
                }
                let behind = self.ends.range((last, 0)..=(last, u64::MAX)).next_back();
                let end = (last, behind.map_or(0, |((_, turn), _)| *turn) + 1);
                attempt.end = Some(end);
                self.ends.insert(end, sequence);
            }
        }
    }

    /// Forgets messages that were acknowledged or purged; none where nothing was purged.
    pub(super) fn forget(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        while let Some(sequence) = self.rows.range(first..=last).next().map(|(one, _)| *one) {
            if let Some(end) = self.rows.remove(&sequence).and_then(|attempt| attempt.end) {
                self.ends.remove(&end);
            }
        }
    }

    /// The rows of a state run.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.rows.len() * ROW);
        for (sequence, attempt) in &self.rows {
            let (behind, turn) = attempt.end.unwrap_or_default();
            rows.extend_from_slice(&sequence.to_le_bytes());
            rows.extend_from_slice(&attempt.deliveries.to_le_bytes());
            rows.extend_from_slice(&attempt.not_before_ms.to_le_bytes());
            rows.extend_from_slice(&attempt.first_ms.to_le_bytes());
            rows.extend_from_slice(&behind.to_le_bytes());
            rows.extend_from_slice(&turn.to_le_bytes());
        }
        rows
    }

    /// Takes rows of a state run back; `None` when they do not fit their length, name no message, or stand at one place.
    pub(super) fn decode(rows: &[u8]) -> Option<Attempts> {
        if !rows.len().is_multiple_of(ROW) {
            return None;
        }
        let mut attempts = Attempts::default();
        for row in rows.chunks_exact(ROW) {
            let (sequence, deliveries) = (u64_at(row, 0), u32_at(row, 8));
            let (not_before_ms, first_ms) = (u64_at(row, 12), u64_at(row, 20));
            let end = (u64_at(row, 28), u64_at(row, 36));
            let small = [sequence, end.0, end.1].iter().all(|number| *number < NUMBERS_END);
            if !small || (end.0 == 0) != (end.1 == 0) {
                return None;
            }
            let end = (end.0 > 0).then_some(end);
            if end.is_some_and(|end| attempts.ends.insert(end, sequence).is_some()) {
                return None;
            }
            let attempt = Attempt { deliveries, not_before_ms, first_ms, end };
            attempts.rows.insert(sequence, attempt);
        }
        Some(attempts)
    }
}

impl State {
    /// Takes the row of a consumer back; false when it does not fit its length, or is the second.
    pub(super) fn thaw_attempts(&mut self, row: &[u8]) -> bool {
        let name_end = 5 + row.get(4).copied().map_or(0, usize::from);
        let Some(name) = row.get(5..name_end).and_then(|name| text(name).ok()) else {
            return false;
        };
        let queue = self.queue_mut(u32_at(row, 0));
        let of = queue.zip(Attempts::decode(&row[name_end..]));
        of.is_some_and(|(queue, attempts)| queue.attempts.insert(name, attempts).is_none())
    }
}

impl QueueState {
    /// Notes what a consumer was given; what it has acknowledged meanwhile is of no interest.
    pub(super) fn deliver(&mut self, name: String, time_ms: u64, rows: &[Delivery]) {
        let Some(acked) = self.consumers.get(&name) else { return };
        let attempts = self.attempts.entry(name).or_default();
        for row in rows {
            attempts.note(row, time_ms, self.next.saturating_sub(1));
            (row.first..=row.last)
                .filter(|sequence| acked.contains(*sequence))
                .for_each(|sequence| attempts.forget(sequence, sequence));
        }
    }

    /// What is known of a message that a consumer was given.
    pub fn attempt(&self, consumer: &str, sequence: u64) -> Option<&Attempt> {
        self.attempts.get(consumer)?.get(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(attempts: &mut Attempts, sequence: u64, to_end: bool, last: u64) {
        let row = Delivery { to_end, ..Delivery::one(sequence, 1, 0) };
        attempts.note(&row, 5, last);
    }

    fn ends(attempts: &Attempts) -> Vec<(End, u64)> {
        attempts.ends.iter().map(|(end, sequence)| (*end, *sequence)).collect()
    }

    #[test]
    fn what_is_put_to_the_end_stands_there_in_the_order_in_which_it_was_put_until_it_is_forgotten()
    {
        let mut attempts = Attempts::default();
        note(&mut attempts, 3, true, 9);
        note(&mut attempts, 1, true, 9);
        note(&mut attempts, 2, false, 9);
        note(&mut attempts, 3, true, 9);
        assert_eq!(ends(&attempts), [((9, 2), 1), ((9, 3), 3)]);
        note(&mut attempts, 1, true, 10);
        note(&mut attempts, 3, false, 12);
        assert_eq!(ends(&attempts), [((9, 3), 3), ((10, 1), 1)], "a delivery moves nothing");
        assert_eq!(Attempts::decode(&attempts.encode()), Some(attempts.clone()));
        attempts.forget(2, 3);
        assert_eq!(ends(&attempts), [((10, 1), 1)]);
        attempts.forget(1, 1);
        assert_eq!(attempts, Attempts::default());
    }

    #[test]
    fn rows_that_name_no_message_or_no_place_are_refused() {
        let mut attempts = Attempts::default();
        note(&mut attempts, 3, true, 9);
        let good = attempts.encode();
        let with = |at: usize, bytes: &[u8]| {
            let mut row = good.clone();
            row[at..at + bytes.len()].copy_from_slice(bytes);
            row
        };
        let mut twice = good.clone();
        twice.extend_from_slice(&with(0, &4u64.to_le_bytes()));
        let bad = [
            good[..43].to_vec(),
            with(0, &[0xff; 8]),
            with(28, &[0xff; 8]),
            with(28, &[0; 8]),
            with(36, &[0; 8]),
            twice,
        ];
        for rows in bad {
            assert_eq!(Attempts::decode(&rows), None, "{rows:?}");
        }
    }
}
