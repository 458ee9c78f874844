//! A set of sequences kept as ranges above a floor.

use crate::limits::NUMBERS_END;
use std::collections::BTreeMap;

/// All sequences up to `floor`, and the ranges above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    floor: u64,
    above: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Everything up to `floor`.
    pub fn up_to(floor: u64) -> Ranges {
        Ranges { floor, above: BTreeMap::new() }
    }

    /// The same with a floor that was read; `None` where it is no sequence.
    pub fn read(floor: u64) -> Option<Ranges> {
        (floor < NUMBERS_END).then(|| Ranges::up_to(floor))
    }

    /// The sequence up to which everything is in the set.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The ranges above the floor, first and last, in order.
    pub fn above(&self) -> impl Iterator<Item = (u64, u64)> {
        self.above.iter().map(|(first, last)| (*first, *last))
    }

    /// How many ranges there are above the floor.
    pub fn fragments(&self) -> usize {
        self.above.len()
    }

    /// How many sequences are in the ranges above the floor.
    pub fn count_above(&self) -> u64 {
        self.above.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether a sequence is in the set.
    pub fn contains(&self, sequence: u64) -> bool {
        self.covers(sequence, sequence)
    }

    /// Whether every sequence from `first` to `last` is in the set.
    pub fn covers(&self, first: u64, last: u64) -> bool {
        let first = first.max(self.floor + 1);
        first > last || self.above.range(..=first).next_back().is_some_and(|(_, end)| *end >= last)
    }

    /// The ranges of the set between `first` and `last`, in order.
    pub fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
        let floor = (self.floor >= first).then_some((first, self.floor));
        let before = self.above.range(..first).next_back().filter(|(_, end)| **end >= first);
        let above = before.into_iter().chain(self.above.range(first..));
        let all = floor.into_iter().chain(above.map(|(start, end)| (*start, *end)));
        let inside = all.take_while(move |(start, _)| *start <= last);
        inside.map(move |(start, end)| (start.max(first), end.min(last)))
    }

    /// The last sequence from `first` to `last` that is not in the set.
    pub fn last_missing(&self, first: u64, last: u64) -> Option<u64> {
        let covering = self.above.range(..=last).next_back().filter(|(_, end)| **end >= last);
        let missing = covering.map_or(last, |(start, _)| start - 1);
        (missing >= first && missing > self.floor).then_some(missing)
    }

    /// Those of its ranges that the other set does not cover.
    pub fn beyond(&self, other: &Ranges) -> Ranges {
        let mut left = Ranges::default();
        let floor = (self.floor > 0).then_some((1, self.floor));
        for (first, last) in floor.into_iter().chain(self.above()) {
            if !other.covers(first, last) {
                left.insert(first, last);
            }
        }
        left
    }

    /// Adds the sequences from `first` to `last`.
    pub fn insert(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        if last <= self.floor || first > last {
            return;
        }
        if let Some((start, end)) = self.above.range(..=first).next_back().map(|(a, b)| (*a, *b))
            && end + 1 >= first
        {
            first = start;
            last = last.max(end);
        }
        while let Some((start, end)) = self.above.range(first..).next().map(|(a, b)| (*a, *b)) {
            if start > last + 1 {
                break;
            }
            last = last.max(end);
            self.above.remove(&start);
        }
        if first <= self.floor + 1 {
            self.floor = last;
        } else {
            self.above.insert(first, last);
        }
    }
}

/// Sequences in order as ranges.
pub fn ranges_of(sequences: &[u64]) -> Vec<(u64, u64)> {
    let mut sorted = sequences.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for sequence in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == sequence => *last = sequence,
            _ => ranges.push((sequence, sequence)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_between_two_sequences_are_those_of_the_set_without_what_stands_outside() {
        let mut ranges = Ranges::up_to(4);
        ranges.insert(7, 9);
        ranges.insert(12, 20);
        let within = |first, last| ranges.within(first, last).collect::<Vec<_>>();
        assert_eq!(within(1, 30), [(1, 4), (7, 9), (12, 20)]);
        assert_eq!(within(3, 8), [(3, 4), (7, 8)]);
        assert_eq!(within(8, 13), [(8, 9), (12, 13)]);
        assert_eq!(within(14, 15), [(14, 15)]);
        assert_eq!(within(5, 6), []);
        assert_eq!(within(21, 30), []);
    }
}
