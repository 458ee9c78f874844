//! How often a consumer was given messages that it has not acknowledged, when they may come again, and which of them were
//! put to the end of the queue.
//!
//! Of messages in a row of which the same is known there is one run, in memory and on disk: what a consumer takes at
//! once costs one, however much it is. One that was put to the end is a run of its own.
//!
//! Row of a run in a state run: sequence of its first message (8) and of its last (8), how often they were given out (4),
//! not to be given out again before (8), when they were first noted (8), the last message of the queue when it was put to
//! the end (8), 0 = it never was, and the how many-th it was behind that one (8). Runs stand in order.

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

/// Messages in a row of which the same is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u64,
    attempt: Attempt,
}

/// The attempts of one consumer. Runs that could be one are one, so that what is equal is known in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// By their last: acknowledged in order, a run loses its head and stays where it is.
    runs: BTreeMap<u64, Run>,
    /// Those that were put to the end.
    ends: BTreeMap<End, u64>,
}

/// Bytes of a row of a state run.
const ROW: usize = 52;

impl Attempts {
    /// What is known of a message.
    pub fn get(&self, sequence: u64) -> Option<&Attempt> {
        let (_, run) = self.runs.range(sequence..).next()?;
        (run.first <= sequence).then_some(&run.attempt)
    }

    /// The last message that something is known of; 0 = there is none.
    pub fn last(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(last, _)| *last)
    }

    /// Whether nothing is known of any.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether any was put to the end.
    pub fn has_ends(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Takes over what a record says; `last` is the last message of the queue now.
    pub(super) fn note(&mut self, row: &Delivery, time_ms: u64, last: u64) {
        let (deliveries, not_before_ms) = (row.deliveries, row.not_before_ms);
        let mut next = row.first;
        while next <= row.last {
            // Each that is put to the end has a place of its own there.
            let (until, known) = self.piece(next, if row.to_end { next } else { row.last });
            self.cut(next, until);
            let first_ms = known.map_or(time_ms, |known| known.first_ms);
            let stands = known.and_then(|known| known.end);
            let end = if row.to_end { Some(self.end_behind(last)) } else { stands };
            self.put(next, until, Attempt { deliveries, not_before_ms, first_ms, end });
            next = until + 1;
        }
    }

    /// Up to where, at most `last`, the same is known as of `first`, and what.
    fn piece(&self, first: u64, last: u64) -> (u64, Option<Attempt>) {
        match self.runs.range(first..).next() {
            Some((end, run)) if run.first <= first => (last.min(*end), Some(run.attempt)),
            Some((_, run)) => (last.min(run.first - 1), None),
            None => (last, None),
        }
    }

    /// The next place behind this message.
    fn end_behind(&self, last: u64) -> End {
        let behind = self.ends.range((last, 0)..=(last, u64::MAX)).next_back();
        (last, behind.map_or(0, |((_, turn), _)| *turn) + 1)
    }

    /// Adds a run where there is none, to its neighbours where the same is known of them.
    fn put(&mut self, first: u64, last: u64, attempt: Attempt) {
        let mut run = Run { first, attempt };
        if let Some(end) = attempt.end {
            self.ends.insert(end, first);
            self.runs.insert(last, run);
            return;
        }
        let before = first.saturating_sub(1);
        if let Some(known) = self.runs.get(&before).filter(|of| of.attempt == attempt) {
            run.first = known.first;
            self.runs.remove(&before);
        }
        if let Some((_, behind)) = self.runs.range_mut(last + 1..).next()
            && behind.first == last + 1
            && behind.attempt == attempt
        {
            behind.first = run.first;
            return;
        }
        self.runs.insert(last, run);
    }

    /// Takes these messages out of their runs.
    fn cut(&mut self, first: u64, last: u64) {
        while let Some((end, run)) = self.runs.range_mut(first..).next() {
            if run.first > last {
                return;
            }
            let (end, whole) = (*end, *run);
            if end > last {
                run.first = last + 1;
            } else {
                self.runs.remove(&end);
            }
            if whole.first < first {
                self.runs.insert(first - 1, whole);
            }
            if let Some(place) = whole.attempt.end {
                self.ends.remove(&place);
            }
        }
    }

    /// Forgets messages that were acknowledged or purged; none where nothing was purged.
    pub(super) fn forget(&mut self, first: u64, last: u64) {
        if first <= last {
            self.cut(first, last);
        }
    }

    /// The rows of a state run.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.runs.len() * ROW);
        for (last, Run { first, attempt }) in &self.runs {
            let (behind, turn) = attempt.end.unwrap_or_default();
            rows.extend_from_slice(&first.to_le_bytes());
            rows.extend_from_slice(&last.to_le_bytes());
            rows.extend_from_slice(&attempt.deliveries.to_le_bytes());
            rows.extend_from_slice(&attempt.not_before_ms.to_le_bytes());
            rows.extend_from_slice(&attempt.first_ms.to_le_bytes());
            rows.extend_from_slice(&behind.to_le_bytes());
            rows.extend_from_slice(&turn.to_le_bytes());
        }
        rows
    }

    /// Takes rows of a state run back; `None` when they do not fit their length, name no messages, some twice or not in
    /// order, or stand at one place.
    pub(super) fn decode(rows: &[u8]) -> Option<Attempts> {
        if !rows.len().is_multiple_of(ROW) {
            return None;
        }
        let mut attempts = Attempts::default();
        let mut before = 0;
        for row in rows.chunks_exact(ROW) {
            let (first, last) = (u64_at(row, 0), u64_at(row, 8));
            let (deliveries, not_before_ms) = (u32_at(row, 16), u64_at(row, 20));
            let (first_ms, end) = (u64_at(row, 28), (u64_at(row, 36), u64_at(row, 44)));
            let small = [last, end.0, end.1].iter().all(|number| *number < NUMBERS_END);
            if !small || first <= before || last < first || (end.0 == 0) != (end.1 == 0) {
                return None;
            }
            let end = (end.0 > 0).then_some(end);
            if end.is_some_and(|end| first < last || attempts.ends.contains_key(&end)) {
                return None;
            }
            attempts.put(first, last, Attempt { deliveries, not_before_ms, first_ms, end });
            before = last;
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
            let over = acked.within(row.first, row.last);
            over.for_each(|(first, last)| attempts.forget(first, last));
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
    fn runs_say_what_rows_would_say_of_each_message_and_what_could_be_one_is_one() {
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let (mut attempts, mut rows) = (Attempts::default(), BTreeMap::<u64, Attempt>::new());
        for step in 0..5_000 {
            let (first, spread) = (1 + draw(60), 1 << draw(5));
            let last = first + draw(spread);
            if draw(3) == 0 {
                attempts.forget(first, last);
                rows.retain(|sequence, _| !(first..=last).contains(sequence));
            } else {
                let (deliveries, to_end) = (1 + draw(2) as u32, draw(8) == 0);
                let row = Delivery { first, last, deliveries, not_before_ms: 0, to_end };
                let (time_ms, newest) = (draw(2), 100 + draw(3));
                attempts.note(&row, time_ms, newest);
                for sequence in first..=last {
                    let mut one = rows.get(&sequence).copied().unwrap_or(Attempt {
                        deliveries,
                        not_before_ms: 0,
                        first_ms: time_ms,
                        end: None,
                    });
                    one.deliveries = deliveries;
                    if to_end {
                        rows.remove(&sequence);
                        let of = |one: &Attempt| one.end.filter(|end| end.0 == newest);
                        let turn = rows.values().filter_map(of).map(|end| end.1).max();
                        one.end = Some((newest, turn.unwrap_or(0) + 1));
                    }
                    rows.insert(sequence, one);
                }
            }
            for sequence in 0..80 {
                let (run, row) = (attempts.get(sequence), rows.get(&sequence));
                assert_eq!(run, row, "message {sequence} after step {step}");
            }
            let of = |(sequence, one): (&u64, &Attempt)| Some((one.end?, *sequence));
            let mut placed: Vec<_> = rows.iter().filter_map(of).collect();
            placed.sort_unstable();
            assert_eq!(ends(&attempts), placed, "after step {step}");
            let runs: Vec<_> = attempts.runs.iter().collect();
            let two = |pair: &[(&u64, &Run)]| {
                pair[0].0 + 1 == pair[1].1.first && pair[0].1.attempt == pair[1].1.attempt
            };
            assert!(!runs.windows(2).any(two), "{runs:?} after step {step}");
            assert_eq!(Attempts::decode(&attempts.encode()).as_ref(), Some(&attempts));
        }
    }

    #[test]
    fn what_a_consumer_takes_at_once_is_one_run_and_loses_its_head_as_it_is_acknowledged() {
        let mut attempts = Attempts::default();
        let taken = Delivery { last: 65_536, ..Delivery::one(1, 1, 0) };
        attempts.note(&taken, 5, 70_000);
        assert_eq!(attempts.encode().len(), ROW);
        for sequence in 1..=65_535 {
            attempts.forget(sequence, sequence);
            assert_eq!(attempts.encode().len(), ROW);
        }
        assert_eq!(attempts.get(65_535), None);
        assert_eq!(attempts.get(65_536).unwrap().deliveries, 1);
        attempts.forget(65_536, 65_536);
        assert!(attempts.is_empty());
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
        let fourth = [4u64.to_le_bytes(), 4u64.to_le_bytes()].concat();
        twice.extend_from_slice(&with(0, &fourth));
        let bad = [
            good[..51].to_vec(),
            with(0, &[0; 16]),
            with(0, &[0xff; 16]),
            // To the end go single messages, and a run does not end before it begins.
            with(8, &4u64.to_le_bytes()),
            with(8, &2u64.to_le_bytes()),
            with(36, &[0xff; 8]),
            with(36, &[0; 8]),
            with(44, &[0; 8]),
            twice,
        ];
        for rows in bad {
            assert_eq!(Attempts::decode(&rows), None, "{rows:?}");
        }
    }
}
