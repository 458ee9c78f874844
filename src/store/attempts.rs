//! How often a consumer was given messages that it has not acknowledged, and when they may come again.

use super::record::Delivery;
use crate::journal::{u32_at, u64_at};
use crate::limits::NUMBERS_END;
use std::collections::BTreeMap;

/// What is known of a message that was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How often it was given out.
    pub deliveries: u32,
    /// Not to be given out again before, in milliseconds since 1970 UTC; 0 = at any time.
    pub not_before_ms: u64,
    /// When that was first noted, in milliseconds since 1970 UTC.
    pub first_ms: u64,
}

/// The attempts of one consumer, by sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts(BTreeMap<u64, Attempt>);

/// Bytes of a row of a state run.
const ROW: usize = 28;

impl Attempts {
    /// What is known of a message.
    pub fn get(&self, sequence: u64) -> Option<&Attempt> {
        self.0.get(&sequence)
    }

    /// How many messages something is known of.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them were given out more than once.
    pub fn retried(&self) -> usize {
        self.0.values().filter(|attempt| attempt.deliveries > 1).count()
    }

    /// Takes over what a record says.
    pub(super) fn note(&mut self, row: &Delivery, time_ms: u64) {
        for sequence in row.first..=row.last {
            let (deliveries, not_before_ms) = (row.deliveries, row.not_before_ms);
            let attempt = self.0.entry(sequence).or_insert(Attempt {
                deliveries,
                not_before_ms,
                first_ms: time_ms,
            });
            (attempt.deliveries, attempt.not_before_ms) = (deliveries, not_before_ms);
        }
    }

    /// Forgets messages that were acknowledged or purged; none where nothing was purged.
    pub(super) fn forget(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        while let Some(sequence) = self.0.range(first..=last).next().map(|(sequence, _)| *sequence)
        {
            self.0.remove(&sequence);
        }
    }

    /// The rows of a state run.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.0.len() * ROW);
        for (sequence, attempt) in &self.0 {
            rows.extend_from_slice(&sequence.to_le_bytes());
            rows.extend_from_slice(&attempt.deliveries.to_le_bytes());
            rows.extend_from_slice(&attempt.not_before_ms.to_le_bytes());
            rows.extend_from_slice(&attempt.first_ms.to_le_bytes());
        }
        rows
    }

    /// Takes rows of a state run back; `None` when they do not fit their length, or name no message.
    pub(super) fn decode(rows: &[u8]) -> Option<Attempts> {
        let read = |row: &[u8]| {
            let (deliveries, not_before_ms) = (u32_at(row, 8), u64_at(row, 12));
            let first_ms = u64_at(row, 20);
            (u64_at(row, 0), Attempt { deliveries, not_before_ms, first_ms })
        };
        let small = |row: &[u8]| u64_at(row, 0) < NUMBERS_END;
        let whole = rows.len().is_multiple_of(ROW) && rows.chunks_exact(ROW).all(small);
        whole.then(|| Attempts(rows.chunks_exact(ROW).map(read).collect()))
    }
}
