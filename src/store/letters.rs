//! What a consumer has given up, by key, and what was put back of it.
//!
//! A message that became a dead letter has a *place*, its sequence, in the order of its key. It is noted here as long as its
//! letter may be put back, with the last place of the key that was acknowledged since. One that is put back is a new message
//! that stands at the place of the old one until it is acknowledged.
//!
//! Row of a state run, for each key: number of the queue (4), length of the consumer's name (1), name, hold (1), place that
//! was acknowledged last since (8), 0 = none, how many are given up (4), their places (8 each), how many are back (4), of
//! each its sequence and its place (8 each), the key.

use super::state::{QueueState, State, text};
use crate::journal::{Rows, u32_at, u64_at};
use crate::limits::{self, NUMBERS_END};
use std::collections::{BTreeMap, BTreeSet};

/// What happens to the rest of a key of which a message became a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// It goes on.
    #[default]
    Skip,
    /// It waits until the letter is put back, or dropped.
    Block,
    /// It becomes dead letters, too, until these are put back, or dropped.
    Park,
}

impl Hold {
    /// Every kind, by number.
    pub const ALL: [Hold; 3] = [Hold::Skip, Hold::Block, Hold::Park];

    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Hold> {
        Hold::ALL.get(usize::from(number)).copied()
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        ["skip", "block", "park"][self as usize]
    }
}

/// What is known of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyLetters {
    hold: Hold,
    /// The last place that was acknowledged since, 0 = none.
    went_on: u64,
    given_up: BTreeSet<u64>,
    back: BTreeMap<u64, u64>,
}

/// How often letters were put back or dropped, or forgotten. It is not kept, and does not count when states are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Version(u64);

impl Version {
    /// Grows with each change.
    pub fn number(self) -> u64 {
        self.0
    }

    pub(super) fn advance(&mut self) {
        self.0 += 1;
    }
}

impl PartialEq for Version {
    fn eq(&self, _: &Version) -> bool {
        true
    }
}

impl Eq for Version {}

/// The letters of one consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    keys: BTreeMap<Box<[u8]>, KeyLetters>,
    /// The key of each message that is back.
    back: BTreeMap<u64, Box<[u8]>>,
    given_up: usize,
    bytes: usize,
}

impl KeyLetters {
    /// What the rest of the key does now.
    pub fn hold(&self) -> Hold {
        if self.given_up.is_empty() { Hold::Skip } else { self.hold }
    }

    /// Whether a message of this place may come, which none of a later place has overtaken.
    pub fn may_come(&self, place: u64) -> bool {
        self.went_on <= place
    }

    /// The last place that was acknowledged since, 0 = none.
    pub fn went_on(&self) -> u64 {
        self.went_on
    }

    /// The first of those that are given up and were not overtaken.
    pub fn first(&self) -> Option<u64> {
        self.given_up.range(self.went_on..).next().copied()
    }

    /// Whether the message of this place is given up.
    pub fn has(&self, place: u64) -> bool {
        self.given_up.contains(&place)
    }

    fn is_over(&self) -> bool {
        self.given_up.is_empty() && self.back.is_empty()
    }
}

impl Letters {
    /// What is known of a key.
    pub fn key(&self, key: &[u8]) -> Option<&KeyLetters> {
        self.keys.get(key)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = (&[u8], &KeyLetters)> {
        self.keys.iter().map(|(key, of)| (&**key, of))
    }

    /// Messages that are back, in order, with their places.
    pub fn back(&self) -> impl Iterator<Item = (u64, u64)> {
        self.back.iter().map(|(sequence, key)| {
            let place = self.keys.get(key).and_then(|of| of.back.get(sequence));
            (*sequence, place.copied().unwrap_or(*sequence))
        })
    }

    /// The place of a message that is back.
    pub fn back_at(&self, sequence: u64) -> Option<u64> {
        let of = self.back.get(&sequence).and_then(|key| self.keys.get(key));
        of.and_then(|of| of.back.get(&sequence)).copied()
    }

    /// The place of a message in the order of its key.
    pub fn place_of(&self, sequence: u64) -> u64 {
        self.back_at(sequence).unwrap_or(sequence)
    }

    /// Whether nothing is noted.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether no more can be noted.
    pub fn is_full(&self) -> bool {
        self.given_up >= limits::LETTERS_MAX || self.bytes >= limits::LETTER_KEYS_BYTES_MAX
    }

    /// A message of this place became a letter. One of a key that goes on is not noted where there are too many: it cannot be
    /// put back then.
    pub(super) fn give_up(&mut self, key: &[u8], place: u64, hold: Hold) {
        if key.is_empty() || (hold == Hold::Skip && self.is_full()) {
            return;
        }
        if !self.keys.contains_key(key) {
            self.bytes += key.len();
        }
        let of = self.keys.entry(key.into()).or_default();
        // What expires behind a letter that holds its key lets nothing go.
        let stronger = of.given_up.is_empty() || hold as u8 > of.hold as u8;
        of.hold = if stronger { hold } else { of.hold };
        self.given_up += usize::from(of.given_up.insert(place));
    }

    /// A message of this place was acknowledged.
    pub(super) fn go_on(&mut self, key: &[u8], place: u64) {
        if let Some(of) = self.keys.get_mut(key) {
            of.went_on = of.went_on.max(place);
        }
    }

    /// The message of this place is dropped; or put back, with this sequence.
    pub(super) fn take(&mut self, key: &[u8], place: u64, back: Option<u64>) {
        let Some(of) = self.keys.get_mut(key) else { return };
        self.given_up -= usize::from(of.given_up.remove(&place));
        if let Some(sequence) = back {
            of.back.insert(sequence, place);
            self.back.insert(sequence, key.into());
        }
        self.forget_key(key);
    }

    /// Messages were acknowledged: those of them that were back need their places no more.
    pub(super) fn forget(&mut self, first: u64, last: u64) {
        while first <= last
            && let Some((sequence, key)) = self.back.range(first..=last).next()
        {
            let (sequence, key) = (*sequence, key.clone());
            self.back.remove(&sequence);
            if let Some(of) = self.keys.get_mut(&key) {
                of.back.remove(&sequence);
            }
            self.forget_key(&key);
        }
    }

    fn forget_key(&mut self, key: &[u8]) {
        if self.keys.get(key).is_some_and(KeyLetters::is_over) {
            self.keys.remove(key);
            self.bytes -= key.len();
        }
    }

    /// Puts a row for each key into a run.
    pub(super) fn freeze(
        &self,
        (key_of, table): ((u32, usize), u32),
        (queue, name): (u32, &str),
        rows: &mut Rows,
    ) {
        let length = [u8::try_from(name.len()).unwrap_or(u8::MAX)];
        for (key, of) in &self.keys {
            let mut row = vec![of.hold as u8];
            row.extend_from_slice(&of.went_on.to_le_bytes());
            row.extend_from_slice(&(of.given_up.len() as u32).to_le_bytes());
            of.given_up.iter().for_each(|place| row.extend_from_slice(&place.to_le_bytes()));
            row.extend_from_slice(&(of.back.len() as u32).to_le_bytes());
            for (sequence, place) in &of.back {
                row.extend_from_slice(&sequence.to_le_bytes());
                row.extend_from_slice(&place.to_le_bytes());
            }
            rows.put(key_of, table, &[&queue.to_le_bytes(), &length, name.as_bytes(), &row, key]);
        }
    }

    /// Takes the row of a key back, from its hold on; false when it does not fit its length, or names no message.
    pub(super) fn thaw(&mut self, row: &[u8]) -> bool {
        let Some((of, key)) = read(row) else { return false };
        if key.is_empty() || of.is_over() || self.keys.contains_key(key) {
            return false;
        }
        self.given_up += of.given_up.len();
        self.bytes += key.len();
        of.back.keys().for_each(|sequence| _ = self.back.insert(*sequence, key.into()));
        self.keys.insert(key.into(), of).is_none()
    }
}

fn read(row: &[u8]) -> Option<(KeyLetters, &[u8])> {
    let (head, rest) = row.split_at_checked(13)?;
    let numbers =
        |bytes: &[u8]| bytes.chunks_exact(8).map(|one| u64_at(one, 0)).collect::<Vec<_>>();
    let (places, rest) = rest.split_at_checked(8 * u32_at(head, 9) as usize)?;
    let (count, rest) = rest.split_at_checked(4)?;
    let (pairs, key) = rest.split_at_checked(16 * u32_at(count, 0) as usize)?;
    let of = KeyLetters {
        hold: Hold::from_u8(head[0])?,
        went_on: u64_at(head, 1),
        given_up: numbers(places).into_iter().collect(),
        back: numbers(pairs).chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(),
    };
    let all = numbers(places).into_iter().chain(numbers(pairs)).chain([of.went_on]);
    all.into_iter().all(|number| number < NUMBERS_END).then_some((of, key))
}

impl State {
    /// Takes the row of a key back; false when it does not fit its length, or is the second.
    pub(super) fn thaw_letters(&mut self, row: &[u8]) -> bool {
        let name_end = 5 + row.get(4).copied().map_or(0, usize::from);
        let Some(name) = row.get(5..name_end).and_then(|name| text(name).ok()) else {
            return false;
        };
        let queue = self.queue_mut(u32_at(row, 0));
        queue.is_some_and(|queue| queue.letters.entry(name).or_default().thaw(&row[name_end..]))
    }
}

impl QueueState {
    /// The last message is a letter that is put back for one consumer: the others have no need of it.
    pub(super) fn put_back(&mut self, name: &str, place: u64, key: &[u8]) {
        let sequence = self.next.saturating_sub(1);
        let others = self.consumers.iter_mut().filter(|(other, _)| **other != name);
        others.for_each(|(_, acked)| acked.insert(sequence, sequence));
        self.change_letters(name, |letters| letters.take(key, place, Some(sequence)));
        self.letters_version.advance();
    }

    pub(super) fn change_letters(&mut self, name: &str, change: impl FnOnce(&mut Letters)) {
        let Some(letters) = self.letters.get_mut(name) else { return };
        change(letters);
        if letters.is_empty() {
            self.letters.remove(name);
        }
    }

    pub(super) fn forget_letters(&mut self, name: &str) {
        self.letters.remove(name);
        self.letters_version.advance();
    }

    /// What a consumer has given up.
    pub fn letters(&self, consumer: &str) -> Option<&Letters> {
        self.letters.get(consumer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_until_its_last_letter_is_back_or_dropped_and_forgotten_when_that_is_acknowledged()
     {
        let mut letters = Letters::default();
        letters.give_up(b"K", 4, Hold::Park);
        letters.give_up(b"K", 6, Hold::Park);
        assert_eq!(letters.key(b"K").unwrap().hold(), Hold::Park);
        letters.take(b"K", 4, Some(9));
        assert_eq!((letters.place_of(9), letters.place_of(8)), (4, 8));
        assert_eq!(letters.key(b"K").unwrap().hold(), Hold::Park, "6 is given up still");
        letters.take(b"K", 6, None);
        assert_eq!(letters.key(b"K").unwrap().hold(), Hold::Skip);
        letters.go_on(b"K", 5);
        assert!(!letters.key(b"K").unwrap().may_come(4) && letters.key(b"K").unwrap().may_come(6));
        letters.forget(1, 8);
        assert!(letters.key(b"K").is_some());
        letters.forget(9, 9);
        assert_eq!(letters, Letters::default());
    }

    #[test]
    fn rows_come_back_as_they_were_and_damaged_ones_are_refused() {
        let of = |hold: u8, went_on: u64, places: &[u64], pairs: &[u64], key: &[u8]| {
            let words = |all: &[u64]| all.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
            let counts = [places.len() as u32, pairs.len() as u32 / 2].map(u32::to_le_bytes);
            let parts = [
                &[hold][..],
                &words(&[went_on]),
                &counts[0],
                &words(places),
                &counts[1],
                &words(pairs),
                key,
            ];
            parts.concat()
        };
        let good = of(1, 3, &[2, 5], &[9, 4], b"K");
        let mut letters = Letters::default();
        assert!(letters.thaw(&good));
        assert_eq!(letters.place_of(9), 4);
        assert_eq!((letters.given_up, letters.bytes), (2, 1));
        assert!(!letters.thaw(&good), "a key has one row");
        let bad = [
            of(3, 3, &[2], &[], b"K"),
            of(0, u64::MAX, &[2], &[], b"K"),
            of(0, 0, &[u64::MAX], &[], b"K"),
            of(0, 0, &[2], &[9, u64::MAX], b"K"),
            of(0, 0, &[], &[], b"K"),
            of(0, 0, &[2], &[], b""),
            good[..12].to_vec(),
            good[..20].to_vec(),
            good[..40].to_vec(),
        ];
        for row in bad {
            assert!(!Letters::default().thaw(&row), "{row:?}");
        }
    }
}
