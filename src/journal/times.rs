//! How long syncs took: a histogram that costs two additions a sync.
//!
//! The classes are powers of two of a microsecond; class `n` holds what took less than 2^n microseconds and at
//! least half of that.

use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// Classes; the last one is open, beyond a quarter of a minute.
const CLASSES: usize = 26;

/// How long syncs took, while they are counted.
#[derive(Default)]
pub struct Times {
    counts: [AtomicU64; CLASSES],
    nanos: AtomicU64,
}

/// How long syncs took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncTimes {
    /// Upper bound in seconds, exclusive, and how many syncs took less than that and more than the bound before;
    /// the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Seconds of all of them together.
    pub seconds: f64,
}

impl Times {
    /// Counts a sync.
    pub fn count(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = (u64::BITS - micros.leading_zeros()) as usize;
        self.counts[class.min(CLASSES - 1)].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn read(&self) -> SyncTimes {
        let bound = |class: usize| match class {
            last if last == CLASSES - 1 => f64::INFINITY,
            class => (1u64 << class) as f64 / 1e6,
        };
        let counts = self.counts.iter().enumerate();
        SyncTimes {
            buckets: counts
                .map(|(class, count)| (bound(class), count.load(Ordering::Relaxed)))
                .collect(),
            seconds: self.nanos.load(Ordering::Relaxed) as f64 / 1e9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_below_the_bound_of_its_class_and_not_below_the_one_before() {
        for nanos in [0, 999, 1_000, 1_999, 2_000, 3_999_999, 16_777_215_999, u64::MAX] {
            let times = Times::default();
            times.count(Duration::from_nanos(nanos));
            let read = times.read();
            let at = read.buckets.iter().position(|(_, count)| *count == 1).unwrap();
            let seconds = nanos as f64 / 1e9;
            assert!(seconds < read.buckets[at].0, "{nanos} in class {at}");
            assert!(at == 0 || seconds >= read.buckets[at - 1].0, "{nanos} in class {at}");
            assert!((read.seconds - seconds).abs() <= seconds / 1e9, "{nanos}");
        }
    }
}
