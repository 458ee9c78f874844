//! The record by which staged files become part of the journal, and the table of those that did.
//!
//! A transaction that outgrew memory lies in staged files of its own, see `staged`; one `adopt` record, the
//! first of its transaction, says which files these are and which places in their queues the messages have. It
//! says all that a replay needs, so an open reads none of them.
//!
//! ```text
//! offset  size  body
//!      0     8  digest     XXH3-64 over the messages in order: XXH3-64 of the queue's name (8), sum of the body (4)
//!      8     4  queues     Q
//!     12     4  producers  P
//!     16     4  files      F
//!     20     4  zero
//!     24  32*Q  queues     queue (4), ranked (4), sequence of the first message (8), messages (8), bytes of
//!                      bodies (8)
//!            P  producers  last sequence (8), length of the id (1), id
//!            F  files      number (8), end (8), index (8), expires (8), salt (16), rows R (4), zero (4), then
//!                          R rows: queue (4), messages (4), sequence of the first (8)
//! ```
//!
//! *Ranked* is 1 where any of the queue's messages has a priority. *End* and *index* count bytes of frames from the beginning of the file, as its frames do; *expires* is when
//! its last message does, all ones = never. The digest is what the chain takes of the record: queue numbers and
//! files are this store's own.
//!
//! A *prepared* transaction has files, too, and no record that adopts them yet: its sequences count from 0. It stands in
//! the store's state and is told to the journal, which keeps, copies and checks its files like the others.
//!
//! The files stay until nobody waits for any message in them, and so long the segment of the record stays, too.
//! A transaction leaves the table with a local frame of type `reclaim` whose body is its sequence (8), and its
//! files are removed once that frame is durable; what is left is known as *hollow* as long as the segment of the
//! record is there. A state run has one row for each transaction of the table and each hollow one: sequence (8),
//! time (8), segment of the record (8), journal offset behind the transaction (8), then the body, of a hollow one
//! without queues, producers and files.

use super::format::{u32_at, u64_at};
use crate::limits::NUMBERS_END;
use std::collections::BTreeMap;
use std::sync::Arc;

const FIXED: usize = 24;
const QUEUE: usize = 32;
const FILE: usize = 56;
const ROW: usize = 16;
/// Bytes of a row of a state run before the body.
const PLACE: usize = 32;
/// Bytes of the body of a frame that gives staged files back.
pub const RELEASE: usize = 8;

/// What a queue gets from a staged transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Number of the queue.
    pub queue: u32,
    /// Sequence of the first message.
    pub first: u64,
    /// Messages.
    pub count: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Whether any of them has a priority.
    pub ranked: bool,
}

impl Share {
    /// Sequence of the last message; there is one.
    pub fn last(&self) -> u64 {
        self.first + self.count - 1
    }
}

/// What one queue has in one staged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub queue: u32,
    pub count: u32,
    pub first: u64,
}

impl Row {
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// A staged file, as its record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedFile {
    pub number: u64,
    pub end: u64,
    pub index: u64,
    pub expires_ms: u64,
    pub salt: [u8; 16],
    pub rows: Vec<Row>,
}

/// The body of an `adopt` record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    pub digest: u64,
    /// By queue.
    pub shares: Vec<Share>,
    /// Each producer's id and its last sequence.
    pub producers: Vec<(Vec<u8>, u64)>,
    pub files: Vec<StagedFile>,
}

impl Adoption {
    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = self.digest.to_le_bytes().to_vec();
        let word = |body: &mut Vec<u8>, word: usize| {
            body.extend_from_slice(&u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
        };
        for count in [self.shares.len(), self.producers.len(), self.files.len(), 0] {
            word(&mut body, count);
        }
        for share in &self.shares {
            word(&mut body, share.queue as usize);
            word(&mut body, usize::from(share.ranked));
            for long in [share.first, share.count, share.bytes] {
                body.extend_from_slice(&long.to_le_bytes());
            }
        }
        for (id, last) in &self.producers {
            body.extend_from_slice(&last.to_le_bytes());
            body.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
            body.extend_from_slice(id);
        }
        for file in &self.files {
            for long in [file.number, file.end, file.index, file.expires_ms] {
                body.extend_from_slice(&long.to_le_bytes());
            }
            body.extend_from_slice(&file.salt);
            word(&mut body, file.rows.len());
            word(&mut body, 0);
            for row in &file.rows {
                word(&mut body, row.queue as usize);
                word(&mut body, row.count as usize);
                body.extend_from_slice(&row.first.to_le_bytes());
            }
        }
        body
    }

    /// Decodes a body whose sum held; `None` when its counts do not fit its length, or its numbers each other.
    pub fn decode(body: &[u8]) -> Option<Adoption> {
        let (fixed, mut rest) = body.split_at_checked(FIXED)?;
        let mut take = |length: usize| {
            let (taken, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(taken)
        };
        let mut adoption = Adoption { digest: u64_at(fixed, 0), ..Adoption::default() };
        for _ in 0..u32_at(fixed, 8) {
            let row = take(QUEUE)?;
            let (first, count, bytes) = (u64_at(row, 8), u64_at(row, 16), u64_at(row, 24));
            let (queue, ranked) = (u32_at(row, 0), u32_at(row, 4) != 0);
            adoption.shares.push(Share { queue, first, count, bytes, ranked });
        }
        for _ in 0..u32_at(fixed, 12) {
            let row = take(9)?;
            let id = take(usize::from(row[8]))?.to_vec();
            adoption.producers.push((id, u64_at(row, 0)));
        }
        for _ in 0..u32_at(fixed, 16) {
            let head = take(FILE)?;
            let mut file = StagedFile {
                number: u64_at(head, 0),
                end: u64_at(head, 8),
                index: u64_at(head, 16),
                expires_ms: u64_at(head, 24),
                salt: *head[32..].first_chunk()?,
                rows: Vec::new(),
            };
            for _ in 0..u32_at(head, 48) {
                let row = take(ROW)?;
                let (queue, count, first) = (u32_at(row, 0), u32_at(row, 4), u64_at(row, 8));
                file.rows.push(Row { queue, count, first });
            }
            adoption.files.push(file);
        }
        (rest.is_empty() && adoption.is_sound()).then_some(adoption)
    }

    /// Whether its numbers are in their range, its queues in order, and what files hold is what queues get.
    fn is_sound(&self) -> bool {
        let small = |number: u64| number < NUMBERS_END;
        let share = |share: &Share| small(share.first) && small(share.count) && small(share.bytes);
        let row = |row: &Row| {
            let share = self.find(row.queue);
            let inside = |share: &Share| share.first <= row.first && row.last() <= share.last();
            small(row.first)
                && row.count > 0
                && share.is_some_and(|share| share.count > 0 && inside(share))
        };
        let file = |file: &StagedFile| {
            small(file.number)
                && small(file.end)
                && file.index <= file.end
                && file.rows.iter().all(row)
        };
        self.shares.iter().all(share)
            && self.shares.is_sorted_by(|one, other| one.queue < other.queue)
            && self.files.iter().all(file)
    }

    /// Gives places to one whose sequences count from 0: `next` tells the next sequence of a queue.
    pub fn go_to<E>(&mut self, next: &dyn Fn(u32) -> Result<u64, E>) -> Result<(), E> {
        for share in &mut self.shares {
            share.first = next(share.queue)?;
        }
        let Adoption { shares, files, .. } = self;
        for row in files.iter_mut().flat_map(|file| &mut file.rows) {
            let share = shares.binary_search_by_key(&row.queue, |share| share.queue);
            row.first += share.map_or(0, |at| shares[at].first);
        }
        Ok(())
    }

    /// Sequence of a queue's first message in it.
    pub fn first_of(&self, queue: u32) -> Option<u64> {
        self.find(queue).map(|share| share.first)
    }

    /// What a queue has in it, if that is anything.
    pub fn share_of(&self, queue: u32) -> Option<&Share> {
        self.find(queue).filter(|share| share.count > 0)
    }

    fn find(&self, queue: u32) -> Option<&Share> {
        let at = self.shares.binary_search_by_key(&queue, |share| share.queue).ok()?;
        Some(&self.shares[at])
    }
}

/// A staged transaction that was adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Its sequence in the journal.
    pub transaction: u64,
    /// When it was committed.
    pub time_ms: u64,
    /// Number of the segment its record lies in.
    pub segment: u64,
    /// Journal offset behind the transaction.
    pub end: u64,
    pub body: Adoption,
}

impl Adopted {
    /// The row of a state run.
    pub fn encode(&self) -> Vec<u8> {
        let words = [self.transaction, self.time_ms, self.segment, self.end];
        let place: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        [place, self.body.encode()].concat()
    }

    /// Takes a row of a state run back; `None` when it cannot be taken apart.
    pub fn decode(row: &[u8]) -> Option<Adopted> {
        let (place, body) = row.split_at_checked(PLACE)?;
        if [0, 16, 24].iter().any(|at| u64_at(place, *at) >= NUMBERS_END) {
            return None;
        }
        Some(Adopted {
            transaction: u64_at(place, 0),
            time_ms: u64_at(place, 8),
            segment: u64_at(place, 16),
            end: u64_at(place, 24),
            body: Adoption::decode(body)?,
        })
    }

    /// One that is prepared: it has no place yet, and its sequences count from 0.
    fn prepared(body: Adoption) -> Adopted {
        Adopted { transaction: 0, time_ms: 0, segment: 0, end: 0, body }
    }

    /// Whether it has no place yet.
    pub fn is_prepared(&self) -> bool {
        self.transaction == 0
    }

    /// Bytes of its files.
    pub fn length(&self) -> u64 {
        self.body.files.iter().map(StagedFile::length).sum()
    }
}

/// Where a queue's next staged messages are: the transaction and the number of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    pub transaction: u64,
    pub file: u64,
    pub row: Row,
}

/// The adopted transactions that have files.
#[derive(Clone, Debug, Default)]
pub struct Adoptions {
    by_sequence: BTreeMap<u64, Arc<Adopted>>,
    /// Transactions whose files were given back, and the segment of the record.
    hollow: BTreeMap<u64, u64>,
    /// By queue and the last sequence of a row: where its messages are.
    spots: BTreeMap<(u32, u64), Spot>,
    /// Given back, to be removed once the journal is durable up to an offset.
    pub released: Vec<(u64, Arc<Adopted>)>,
    /// Prepared transactions, by the number of the first file: nobody has adopted them yet.
    prepared: BTreeMap<u64, Arc<Adopted>>,
    /// Prepared ones that were rolled back, whose files go as soon as nobody may be copying them.
    pub over: Vec<Arc<Adopted>>,
    /// The highest number of a staged file that any of them named.
    pub newest: u64,
}

impl Adoptions {
    pub fn is_empty(&self) -> bool {
        self.by_sequence.is_empty()
    }

    /// The transactions, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Adopted>> {
        self.by_sequence.values()
    }

    pub fn get(&self, transaction: u64) -> Option<&Arc<Adopted>> {
        self.by_sequence.get(&transaction)
    }

    /// The transactions, in order, and those that were given back while the segment of the record is there:
    /// what a state run knows of them. `oldest` is the number of the oldest segment.
    pub fn rows(&self, oldest: u64) -> impl Iterator<Item = Vec<u8>> {
        let hollow = self.hollow.iter().filter(move |(_, segment)| **segment >= oldest);
        let hollow = hollow.map(|(transaction, segment)| {
            let (transaction, segment, body) = (*transaction, *segment, Adoption::default());
            Adopted { transaction, time_ms: 0, segment, end: 0, body }.encode()
        });
        self.iter().map(|adopted| adopted.encode()).chain(hollow)
    }

    /// The segment of the newest record whose files were given back.
    pub fn newest_hollow(&self) -> Option<u64> {
        self.hollow.values().next_back().copied()
    }

    /// Adds a transaction, which may have been a prepared one before.
    pub fn insert(&mut self, adopted: Adopted) {
        if let Some(file) = adopted.body.files.first() {
            self.prepared.remove(&file.number);
        }
        if adopted.body.files.is_empty() {
            self.hollow.insert(adopted.transaction, adopted.segment);
            return;
        }
        for file in &adopted.body.files {
            self.newest = self.newest.max(file.number);
            for row in &file.rows {
                let spot = Spot { transaction: adopted.transaction, file: file.number, row: *row };
                self.spots.insert((row.queue, row.last()), spot);
            }
        }
        self.by_sequence.insert(adopted.transaction, Arc::new(adopted));
    }

    /// Takes in a prepared transaction.
    pub fn prepare(&mut self, body: Adoption) {
        let Some(first) = body.files.first().map(|file| file.number) else { return };
        let numbers = body.files.iter().map(|file| file.number);
        self.newest = numbers.fold(self.newest, u64::max);
        self.prepared.insert(first, Arc::new(Adopted::prepared(body)));
    }

    /// The prepared transactions.
    pub fn prepared(&self) -> impl Iterator<Item = &Arc<Adopted>> {
        self.prepared.values()
    }

    /// A prepared transaction is not one any more: it never became one, or was rolled back.
    pub fn leave(&mut self, first: u64) -> Option<Arc<Adopted>> {
        self.prepared.remove(&first)
    }

    /// All transactions whose files are there.
    pub fn with_files(&self) -> impl Iterator<Item = &Arc<Adopted>> {
        self.iter().chain(self.prepared()).chain(&self.over)
    }

    /// Whether any transaction counts on a file.
    pub fn knows(&self, number: u64) -> bool {
        self.with_files().any(|one| one.body.files.iter().any(|file| file.number == number))
    }

    /// Forgets a transaction and returns what it had; `None` when it is not there.
    pub fn forget(&mut self, transaction: u64) -> Option<Arc<Adopted>> {
        let adopted = self.by_sequence.remove(&transaction)?;
        self.hollow.insert(transaction, adopted.segment);
        for row in adopted.body.files.iter().flat_map(|file| &file.rows) {
            self.spots.remove(&(row.queue, row.last()));
        }
        Some(adopted)
    }

    /// Where the first messages of a queue from this sequence on are.
    pub fn spot(&self, queue: u32, sequence: u64) -> Option<Spot> {
        let mut from = self.spots.range((queue, sequence)..=(queue, u64::MAX));
        from.next().map(|(_, spot)| *spot)
    }

    /// The file of a spot and its transaction.
    pub fn find(&self, transaction: u64, number: u64) -> Option<(&Arc<Adopted>, &StagedFile)> {
        let adopted = self.by_sequence.get(&transaction)?;
        let file = adopted.body.files.iter().find(|file| file.number == number)?;
        Some((adopted, file))
    }
}

impl StagedFile {
    /// Bytes its file has.
    pub fn length(&self) -> u64 {
        self.end + super::slot::FRAMES_AT
    }
}

/// The name of a staged file.
pub fn staged_name(number: u64) -> String {
    format!("{number:016x}.stg")
}

/// The number in the name of a staged file.
pub fn staged_number(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".stg")?;
    super::number_in(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adoption() -> Adoption {
        let row = |queue, count, first| Row { queue, count, first };
        let file = |number, rows| StagedFile {
            number,
            end: 0x1122,
            index: 0x1100,
            expires_ms: u64::MAX,
            salt: [7; 16],
            rows,
        };
        Adoption {
            digest: 0x0102_0304_0506_0708,
            shares: vec![
                Share { queue: 1, first: 10, count: 5, bytes: 50, ranked: true },
                Share { queue: 2, first: 1, count: 1, bytes: 9, ranked: false },
            ],
            producers: vec![(b"p".to_vec(), 3)],
            files: vec![file(4, vec![row(1, 3, 10), row(2, 1, 1)]), file(5, vec![row(1, 2, 13)])],
        }
    }

    #[test]
    fn a_body_is_these_bytes_and_comes_back_from_them_alone() {
        let adoption = adoption();
        let body = adoption.encode();
        let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        let queues = "01000000010000000a0000000000000005000000000000003200000000000000\
                      0200000000000000010000000000000001000000000000000900000000000000";
        let places = "22110000000000000011000000000000ffffffffffffffff\
                      07070707070707070707070707070707";
        let expected = format!(
            "080706050403020102000000010000000200000000000000{queues}03000000000000000170\
             0400000000000000{places}0200000000000000\
             01000000030000000a0000000000000002000000010000000100000000000000\
             0500000000000000{places}010000000000000001000000020000000d00000000000000"
        );
        assert_eq!(hex, expected);
        assert_eq!(Adoption::decode(&body), Some(adoption.clone()));
        for cut in 0..body.len() {
            assert_eq!(Adoption::decode(&body[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Adoption::decode(&[&body[..], &[0]].concat()), None);
        let adopted = Adopted { transaction: 9, time_ms: 8, segment: 7, end: 6, body: adoption };
        assert_eq!(Adopted::decode(&adopted.encode()), Some(adopted));
    }

    #[test]
    fn the_table_knows_where_a_queue_goes_on_until_it_is_given_back() {
        let mut table = Adoptions::default();
        table.insert(Adopted { transaction: 9, time_ms: 8, segment: 7, end: 6, body: adoption() });
        let at = |table: &Adoptions, queue, from| table.spot(queue, from).map(|spot| spot.file);
        let ahead = (at(&table, 1, 1), at(&table, 1, 12), at(&table, 1, 13));
        assert_eq!(ahead, (Some(4), Some(4), Some(5)));
        assert_eq!((at(&table, 1, 15), at(&table, 2, 1), at(&table, 3, 1)), (None, Some(4), None));
        assert!(table.forget(8).is_none() && table.forget(9).is_some());
        assert_eq!((at(&table, 1, 1), at(&table, 2, 1)), (None, None));
        assert!(table.is_empty());
        let rows = |table: &Adoptions, oldest| table.rows(oldest).collect::<Vec<_>>();
        assert_eq!((rows(&table, 8), rows(&table, 7).len()), (vec![], 1));
        let mut again = Adoptions::default();
        again.insert(Adopted::decode(&rows(&table, 7)[0]).unwrap());
        assert_eq!((again.newest_hollow(), again.is_empty()), (Some(7), true));
    }
}
