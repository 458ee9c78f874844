//! What the records of a journal add up to: queues, consumers, producers, history.
//!
//! There is one way in, [`State::message`] and [`State::change`]: a live commit, a replay after a crash and,
//! later, a batch from another store all go through it. The same state is written to runs row by row and read
//! back from them.
//!
//! A run holds the rows of what changed since the one before. All rows of a queue (2, 3, 6, 7, 11, 12, 14, 16) stand under its
//! number and are written together; of history, origins, files and counters all are, when one changed.
//!
//! | table | row |
//! |---|---|
//! | 1 history | as in its record |
//! | 2 queue | number (4), next sequence (8), purged (8), bytes (8), ranked (8), flags (1: paused), name |
//! | 3 consumer | queue (4), floor (8), name length (1), name, ranges (16 each) |
//! | 4 producer | id, sequence (8), transaction (8); in the cold section 64 |
//! | 5 counters | number of the next queue (4) |
//! | 6 deleted | number of a queue that was deleted (4), name: the chain has it for ever |
//! | 7 stream | queue (4), id (8), start (20), cursor (20), message, bytes, rewinds, skipped, gaps, orphans (8 each), name length (1), name, URL |
//! | 8 received | group (16), stream (8), queue (4), stamp (20), orphans, gaps, skipped (8 each), begun (1), user length (1), user, target |
//! | 9 origin | group (16), rows of its history |
//! | 10 file | as in its record |
//! | 11 missing | queue (4), stream (8), then first and last transaction (8 each) of what its target never gets |
//! | 12 attempts | queue (4), name length (1), name of the consumer, then rows as `attempts` describes them |
//! | 13 session | as `sessions` describes it |
//! | 14 letters | as `letters` describes it |
//! | 15 prepared | as `prepared` describes it |
//! | 16 versions | as `versions` describes it |
//! | 17 version | the same; in the cold section 65 |

use super::attempts::Attempts;
use super::letters::{Letters, Version};
use super::prepared::Prepared;
use super::producers::{ProducerRow, Producers};
use super::ranges::Ranges;
use super::received::{Received, StreamId};
use super::record::{self, Change};
use super::remembered::Remembered;
use super::stream::Stream;
use super::versions::{KeyVersions, Versions};
use crate::error::{Code, Error, Result};
use crate::journal::{Adoption, COLD, Front, Held, Rows, Stretch, Type, u32_at, u64_at};
use crate::limits;
use crate::position::{GroupId, HistoryRow, Position, Token};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A queue as its records left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Its name.
    pub name: String,
    /// Sequence of the next message.
    pub next: u64,
    /// All up to here is purged.
    pub purged: u64,
    /// Puts and receives are refused.
    pub paused: bool,
    /// Bytes of all bodies ever put.
    pub bytes: u64,
    /// Sequence of the last message with a priority, 0 = none.
    pub ranked: u64,
    /// Its consumers.
    pub consumers: BTreeMap<String, Ranges>,
    /// What its consumers were given and have not acknowledged, as far as it was noted.
    pub attempts: BTreeMap<String, Attempts>,
    /// What its consumers have given up, by consumer.
    pub letters: BTreeMap<String, Letters>,
    /// Which of them that is.
    pub letters_version: Version,
    /// Its consumers that go by versions of keys.
    pub versions: BTreeMap<String, Versions>,
    /// Its streams, by the name of the target.
    pub streams: BTreeMap<String, Stream>,
    /// A message that keeps a segment: when it is acknowledged, segments may go.
    pub watch: Option<u64>,
    /// Whether it, or what belongs to it, changed since the state was last handed over.
    changed: bool,
}

/// The state of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The group this store belongs to; all zero before the first record.
    pub group: [u8; 16],
    /// Rows by epoch.
    pub history: Vec<HistoryRow>,
    queues: Vec<Option<QueueState>>,
    names: HashMap<String, u32>,
    /// Producers whose rows changed.
    pub(super) producers: Producers,
    /// Versions of keys that changed.
    pub(super) key_versions: KeyVersions,
    /// Streams this store receives.
    pub received: BTreeMap<StreamId, Received>,
    /// The history of each group streams come from.
    pub origins: BTreeMap<[u8; 16], Vec<HistoryRow>>,
    /// By store id: the identity of the directory a member lives in.
    pub files: BTreeMap<[u8; 16], Vec<u8>>,
    /// Sessions that are remembered, by id.
    pub(super) sessions: Remembered,
    /// Transactions that are prepared, and how those ended that were.
    pub prepared: Prepared,
    deleted: BTreeMap<u32, String>,
    /// Queues that changed since the state was last handed over, those that were deleted included.
    changed: Vec<u32>,
    /// The same for streams that are received.
    pub(super) arrived: BTreeSet<StreamId>,
    /// The same for sessions that are remembered, those that were forgotten included.
    pub(super) used: BTreeSet<[u8; 16]>,
    /// The same for history, origins, files and the number of the next queue: few rows, and all of them.
    pub(super) others_changed: bool,
    pub(super) reclaim_due: bool,
    /// When every stream is beyond this sequence, segments may go.
    pub(super) pin_watch: Option<u64>,
}

const HISTORY: u32 = 1;
const QUEUE: u32 = 2;
const CONSUMER: u32 = 3;
pub(super) const PRODUCER: u32 = 4;
const COUNTERS: u32 = 5;
const DELETED: u32 = 6;
const STREAM: u32 = 7;
const RECEIVED: u32 = 8;
const ORIGIN: u32 = 9;
const FILE: u32 = 10;
const MISSING: u32 = 11;
const ATTEMPTS: u32 = 12;
const SESSION: u32 = 13;
const LETTERS: u32 = 14;
const PREPARED: u32 = 15;
const LIVES: u32 = 16;
pub(super) const VERSION: u32 = 17;

/// The sections of a run are named after the table of their first row; rows of a queue, its number being their key, are
/// written together.
const NUMBER: usize = 4;
/// The cold section of the producers.
pub(super) const PRODUCERS: u32 = COLD;
/// The one of the versions of keys.
pub(super) const VERSIONS: u32 = COLD + 1;

impl State {
    /// The queue with this number.
    #[inline]
    pub fn queue(&self, number: u32) -> Result<&QueueState> {
        let queue = self.queues.get(number as usize).and_then(Option::as_ref);
        queue.ok_or_else(|| no_queue(number))
    }

    /// The same, to be changed.
    pub fn queue_mut(&mut self, number: u32) -> Option<&mut QueueState> {
        self.queues.get_mut(number as usize).and_then(Option::as_mut)
    }

    /// The number of a queue.
    pub fn number_of(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// All queues with their numbers.
    pub fn queues(&self) -> impl Iterator<Item = (u32, &QueueState)> {
        let numbered = self.queues.iter().enumerate();
        numbered.filter_map(|(number, queue)| Some((number as u32, queue.as_ref()?)))
    }

    /// The names of all queues there ever were.
    pub fn names_ever(&self) -> Vec<(u32, Vec<u8>)> {
        let alive = self.queues().map(|(number, queue)| (number, &queue.name));
        let all = alive.chain(self.deleted.iter().map(|(number, name)| (*number, name)));
        all.map(|(number, name)| (number, name.clone().into_bytes())).collect()
    }

    /// The number the next queue gets; numbers are not used twice.
    pub fn next_queue(&self) -> u32 {
        (self.queues.len() as u32).max(1)
    }

    /// The acknowledgements of a consumer.
    pub fn consumer(&self, queue: u32, name: &str) -> Result<&Ranges> {
        let of = self.queue(queue)?;
        of.consumers.get(name).ok_or_else(|| {
            let text = format!("queue {:?} has no consumer {name:?}", of.name);
            Error::new(Code::NoSuchName, text)
        })
    }

    /// The group this store belongs to.
    pub fn group_id(&self) -> GroupId {
        GroupId::from_bytes(self.group)
    }

    /// The token of a transaction.
    #[inline]
    pub fn token(&self, transaction: u64) -> Token {
        let row = self.history.iter().rev().find(|row| row.first <= transaction);
        let (epoch, owner) = row.map_or((0, 0), |row| (row.epoch, row.owner));
        Token::new(self.group_id(), owner, Position { epoch, sequence: transaction })
    }

    /// Whether segments may have become free since the last call.
    #[inline]
    pub fn take_reclaim_due(&mut self) -> bool {
        std::mem::take(&mut self.reclaim_due)
    }

    /// A message was put.
    #[inline]
    pub fn message(
        &mut self,
        transaction: u64,
        queue: u32,
        sequence: u64,
        length: usize,
        front: &Front<'_>,
    ) {
        if let Some(of) = self.changing(queue) {
            of.next = sequence + 1;
            of.bytes = of.bytes.wrapping_add(length as u64);
            if front.priority > 0 {
                of.ranked = sequence;
            }
        }
        if !front.producer.is_empty() {
            let row = ProducerRow { sequence: front.producer_sequence, transaction };
            self.producers.set(front.producer, row);
        }
    }

    /// A queue that is about to change.
    #[inline]
    pub(super) fn changing(&mut self, number: u32) -> Option<&mut QueueState> {
        let queue = self.queues.get_mut(number as usize).and_then(Option::as_mut)?;
        if !queue.changed {
            queue.changed = true;
            self.changed.push(number);
        }
        Some(queue)
    }

    /// Fails where a message that is read back is not the next one of its queue.
    pub(super) fn check_next(&self, queue: u32, sequence: u64) -> Result<()> {
        let next = self.queue(queue).map_or(sequence, |queue| queue.next);
        if next == sequence {
            return Ok(());
        }
        let text =
            format!("message {sequence} of queue {queue} stands where message {next} follows");
        Err(Error::new(Code::Corrupt, text).over(0, 0))
    }

    /// A staged transaction was adopted: what is waited for of it is looked at at once, since nothing rolls for it.
    pub fn adopt(&mut self, transaction: u64, adoption: &Adoption) {
        for share in &adoption.shares {
            if let Some(queue) = self.changing(share.queue) {
                queue.next = share.first + share.count;
                queue.bytes = queue.bytes.wrapping_add(share.bytes);
                if share.ranked && share.count > 0 {
                    queue.ranked = share.last();
                }
            }
        }
        for (id, sequence) in &adoption.producers {
            let row = ProducerRow { sequence: *sequence, transaction };
            self.producers.set(id, row);
        }
        self.reclaim_due = true;
    }

    /// A record that is no message, of this transaction.
    pub fn apply(&mut self, transaction: u64, kind: Type, number: u32, body: &[u8]) -> Result<()> {
        match kind {
            Type::Session => self.session_change(transaction, body),
            Type::Prepared => self.prepared_change(transaction, body),
            _ => self.change(kind, number, body),
        }
    }

    /// The same where it does not matter which one it is.
    pub fn change(&mut self, kind: Type, number: u32, body: &[u8]) -> Result<()> {
        let change = match kind {
            Type::Queue => record::queue(body)?,
            Type::Consumer => record::consumer(body)?,
            Type::Ack => record::ack(body)?,
            Type::Delivery => record::delivery(body)?,
            Type::History => record::history(body)?,
            Type::Stream => return self.stream_change(number, body),
            Type::Received | Type::Advance => return self.arrival(kind, number, body),
            Type::Members => {
                self.others_changed = true;
                return self.member(body);
            }
            _ => return Ok(()),
        };
        match change {
            Change::CreateQueue(name) => {
                self.create_queue(number, text(name)?)?;
                self.changing(number);
                self.others_changed = true;
            }
            Change::History(row, group) => {
                self.others_changed = true;
                self.group = group.to_bytes();
                self.history.push(row);
            }
            change => self.change_queue(number, change)?,
        }
        Ok(())
    }

    fn create_queue(&mut self, number: u32, name: String) -> Result<()> {
        let at = number as usize;
        if at > limits::QUEUES_MAX {
            let text = format!("the journal holds a queue {number}, more than there can be");
            return Err(Error::new(Code::Corrupt, text).over(0, 0));
        }
        if self.queues.len() <= at {
            self.queues.resize(at + 1, None);
        }
        self.names.insert(name.clone(), number);
        self.queues[at] = Some(QueueState { name, next: 1, ..QueueState::default() });
        Ok(())
    }

    fn change_queue(&mut self, number: u32, change: Change<'_>) -> Result<()> {
        if let Some(done) = self.change_versions(number, &change) {
            return done;
        }
        let Some(queue) = self.changing(number) else { return Ok(()) };
        let mut ended = None;
        match change {
            Change::Pause => queue.paused = true,
            Change::Resume => queue.paused = false,
            Change::Purge(last) => {
                queue.purged = queue.purged.max(last);
                for ranges in queue.consumers.values_mut() {
                    ranges.insert(1, last);
                }
                queue.attempts.values_mut().for_each(|attempts| attempts.forget(1, last));
                let names: Vec<String> = queue.letters.keys().cloned().collect();
                names.iter().for_each(|name| queue.change_letters(name, |of| of.forget(1, last)));
                queue.letters_version.advance();
            }
            Change::CreateConsumer(name, floor) => ended = queue.place(text(name)?, floor, false),
            Change::MoveConsumer(name, floor) => ended = queue.place(text(name)?, floor, true),
            Change::DeleteConsumer(name) => {
                let name = text(name)?;
                ended = queue.place(name.clone(), 0, false);
                queue.consumers.remove(&name);
            }
            Change::GiveUp(name, place, hold, key) => {
                let name = text(name)?;
                queue.letters.entry(name.clone()).or_default();
                queue.change_letters(&name, |letters| letters.give_up(key, place, hold));
            }
            Change::GoOn(name, place, key) => {
                queue.change_letters(&text(name)?, |letters| letters.go_on(key, place));
            }
            Change::Back(name, place, key) => queue.put_back(&text(name)?, place, key),
            Change::Drop(name, place, key) => {
                queue.change_letters(&text(name)?, |letters| letters.take(key, place, None));
                queue.letters_version.advance();
            }
            Change::Ack(name, ranges) => {
                let name = text(name)?;
                if let Some(consumer) = queue.consumers.get_mut(&name) {
                    ranges.iter().for_each(|(first, last)| consumer.insert(*first, *last));
                }
                if let Some(attempts) = queue.attempts.get_mut(&name) {
                    ranges.iter().for_each(|(first, last)| attempts.forget(*first, *last));
                }
                queue.change_letters(&name, |letters| {
                    ranges.iter().for_each(|(first, last)| letters.forget(*first, *last));
                });
            }
            Change::Delivery(name, time_ms, rows) => queue.deliver(text(name)?, time_ms, &rows),
            Change::DeleteQueue => {
                let name = std::mem::take(&mut queue.name);
                let lives: Vec<u64> = queue.versions.values().map(|of| of.life).collect();
                self.end_lives(lives);
                self.names.remove(&name);
                self.deleted.insert(number, name);
                self.queues[number as usize] = None;
                self.reclaim_due = true;
                return Ok(());
            }
            // Changed elsewhere.
            Change::CreateQueue(_)
            | Change::History(..)
            | Change::BeginVersions(..)
            | Change::Processed(..)
            | Change::LeftOut(..) => {}
        }
        if queue.watch.is_some_and(|sequence| queue.last_waited_for(sequence, sequence).is_none()) {
            queue.watch = None;
            self.reclaim_due = true;
        }
        self.end_lives(ended);
        Ok(())
    }

    /// A message in these stretches that somebody still waits for.
    pub fn alive(&mut self, stretches: &[Stretch]) -> Option<Held> {
        for stretch in stretches {
            let Some(queue) = self.queue_mut(stretch.queue) else { continue };
            // The last one and not the first: acknowledged in order, it is the one that ends the stretch.
            if let Some(last) = queue.last_waited_for(stretch.first, stretch.last)
                && !sabotage!("given back while somebody waits")
            {
                let watch = queue.watch.unwrap_or(u64::MAX).min(last);
                queue.watch = Some(watch);
                return Some(Held { queue: stretch.queue, sequence: last });
            }
        }
        None
    }

    /// All messages in these stretches that a consumer still waits for; `None` when there are more than `most`, or
    /// some of a queue that has neither consumers nor streams: a target that comes gets whole transactions.
    pub fn all_alive(&self, stretches: &[Stretch], most: usize) -> Option<Vec<(u32, u64)>> {
        let mut found = BTreeSet::new();
        for stretch in stretches {
            let Ok(queue) = self.queue(stretch.queue) else { continue };
            let first = stretch.first.max(queue.purged + 1);
            if queue.consumers.is_empty() && queue.streams.is_empty() && first <= stretch.last {
                return None;
            }
            for acked in queue.consumers.values() {
                let mut last = stretch.last;
                while let Some(missing) = acked.last_missing(first, last) {
                    found.insert((stretch.queue, missing));
                    if found.len() > most {
                        return None;
                    }
                    last = missing - 1;
                }
            }
        }
        Some(found.into_iter().collect())
    }

    /// Puts what changed since the last hand-over into a run; it still counts as changed.
    pub fn freeze(&self, rows: &mut Rows) {
        self.freeze_memory(rows);
        self.producers.copy_to(rows);
        self.key_versions.copy_to(rows);
    }

    /// Puts what changed since the last call into a run; what is not kept in memory is found there from now on.
    pub fn hand_over(&mut self, rows: &mut Rows) {
        self.freeze_memory(rows);
        self.producers.move_to(rows);
        self.key_versions.move_to(rows);
        for number in std::mem::take(&mut self.changed) {
            if let Some(queue) = self.queue_mut(number) {
                queue.changed = false;
            }
        }
        self.arrived.clear();
        self.used.clear();
        self.prepared.handed_over();
        self.others_changed = false;
    }

    /// The rows of what is kept in memory and changed.
    fn freeze_memory(&self, rows: &mut Rows) {
        for number in &self.changed {
            self.freeze_queue(*number, rows);
        }
        self.freeze_received(RECEIVED, rows);
        self.freeze_sessions(SESSION, rows);
        self.prepared.freeze(PREPARED, rows);
        if self.others_changed {
            for row in &self.history {
                let row = Change::History(*row, self.group_id()).encode();
                rows.put((HISTORY, NUMBER), HISTORY, &[&row]);
            }
            rows.put((COUNTERS, 0), COUNTERS, &[&self.next_queue().to_le_bytes()]);
            self.freeze_origins([ORIGIN, FILE], rows);
        }
    }

    fn freeze_queue(&self, number: u32, rows: &mut Rows) {
        let key = (QUEUE, NUMBER);
        let Ok(queue) = self.queue(number) else {
            if let Some(name) = self.deleted.get(&number) {
                rows.put(key, DELETED, &[&number.to_le_bytes(), name.as_bytes()]);
            }
            return;
        };
        let words = [queue.next, queue.purged, queue.bytes, queue.ranked];
        let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let flags = [u8::from(queue.paused)];
        let number = number.to_le_bytes();
        rows.put(key, QUEUE, &[&number, &words, &flags, queue.name.as_bytes()]);
        for (name, ranges) in &queue.consumers {
            let pairs = ranges.above().flat_map(|(first, last)| [first, last]);
            let mut pairs: Vec<u8> = pairs.flat_map(u64::to_le_bytes).collect();
            if sabotage!("acknowledgements lost at a roll") {
                pairs.clear();
            }
            let length = [u8::try_from(name.len()).unwrap_or(u8::MAX)];
            let floor = ranges.floor().to_le_bytes();
            rows.put(key, CONSUMER, &[&number, &floor, &length, name.as_bytes(), &pairs]);
        }
        for (name, attempts) in queue.attempts.iter().filter(|(_, of)| !of.is_empty()) {
            if sabotage!("delivery counts lost at a roll") {
                break;
            }
            let length = [u8::try_from(name.len()).unwrap_or(u8::MAX)];
            let of = attempts.encode();
            rows.put(key, ATTEMPTS, &[&number, &length, name.as_bytes(), &of]);
        }
        for (name, letters) in &queue.letters {
            if sabotage!("dead letters forgotten at a roll") {
                break;
            }
            letters.freeze((key, LETTERS), (u32::from_le_bytes(number), name), rows);
        }
        queue.freeze_versions(u32::from_le_bytes(number), (key, LIVES), rows);
        queue.freeze_streams(u32::from_le_bytes(number), (key, [STREAM, MISSING]), rows);
    }

    /// Takes a row of a run back.
    pub fn thaw(&mut self, table: u32, row: &[u8]) -> Result<()> {
        let sound = match table {
            HISTORY => self.thaw_history(row)?,
            QUEUE => self.thaw_queue(row),
            CONSUMER => self.thaw_consumer(row),
            ATTEMPTS => self.thaw_attempts(row),
            LETTERS => self.thaw_letters(row),
            LIVES => self.thaw_versions(row),
            DELETED if row.len() > 4 => {
                let number = u32_at(row, 0);
                // No queue had a higher one; who learns names makes room up to it.
                number as usize <= limits::QUEUES_MAX && {
                    self.deleted.insert(number, text(&row[4..])?);
                    true
                }
            }
            STREAM => self.thaw_stream(row),
            MISSING => self.thaw_missing(row),
            SESSION => self.thaw_session(row),
            PREPARED => self.prepared.thaw(row),
            RECEIVED => self.thaw_received(row),
            ORIGIN => self.thaw_origin(row),
            FILE => {
                self.member(row)?;
                true
            }
            COUNTERS => {
                row.len() == 4 && u32_at(row, 0) as usize <= limits::QUEUES_MAX + 1 && {
                    self.queues.resize(u32_at(row, 0) as usize, None);
                    true
                }
            }
            _ => false,
        };
        if sound {
            return Ok(());
        }
        let text =
            format!("a state run holds a row of table {table} that this version does not read");
        Err(Error::new(Code::Version, text))
    }

    fn thaw_history(&mut self, row: &[u8]) -> Result<bool> {
        let Change::History(row, group) = record::history(row)? else { return Ok(false) };
        self.group = group.to_bytes();
        // Keys are in no order of numbers.
        let at = self.history.partition_point(|known| known.epoch < row.epoch);
        self.history.insert(at, row);
        Ok(true)
    }

    fn thaw_queue(&mut self, row: &[u8]) -> bool {
        if row.len() < 37 {
            return false;
        }
        let Ok(name) = text(&row[37..]) else { return false };
        let number = u32_at(row, 0);
        let numbers = [u64_at(row, 4), u64_at(row, 12), u64_at(row, 28)];
        let small = numbers.iter().all(|number| *number < limits::NUMBERS_END) && numbers[0] > 0;
        if !small || self.create_queue(number, name).is_err() {
            return false;
        }
        if let Some(queue) = self.queue_mut(number) {
            (queue.next, queue.purged, queue.bytes) =
                (u64_at(row, 4), u64_at(row, 12), u64_at(row, 20));
            (queue.ranked, queue.paused) = (u64_at(row, 28), row[36] & 1 != 0);
        }
        true
    }

    fn thaw_consumer(&mut self, row: &[u8]) -> bool {
        let name_end = 13 + row.get(12).copied().map_or(0, usize::from);
        let Some(name) = row.get(13..name_end).and_then(|name| text(name).ok()) else {
            return false;
        };
        let Some(mut ranges) = Ranges::read(u64_at(row, 4)) else { return false };
        for pair in row[name_end..].chunks_exact(16) {
            if u64_at(pair, 8) >= limits::NUMBERS_END {
                return false;
            }
            ranges.insert(u64_at(pair, 0), u64_at(pair, 8));
        }
        let queue = self.queue_mut(u32_at(row, 0));
        queue.is_some_and(|queue| queue.consumers.insert(name, ranges).is_none())
    }
}

impl QueueState {
    /// A consumer begins at a place, or goes on there where it was `moved`; the life of its versions that this ends.
    fn place(&mut self, name: String, floor: u64, moved: bool) -> Option<u64> {
        self.attempts.remove(&name);
        self.forget_letters(&name);
        let ended = self.end_versions(&name, moved);
        self.consumers.insert(name, Ranges::up_to(floor));
        ended
    }

    /// Whether somebody waits for a message.
    pub fn is_waited_for(&self, sequence: u64) -> bool {
        self.last_waited_for(sequence, sequence).is_some()
    }

    /// The last of these messages that somebody waits for: a consumer that has not acknowledged it, or, in a
    /// queue with neither consumers nor streams, whoever comes. What a stream waits for is kept as a whole.
    fn last_waited_for(&self, first: u64, last: u64) -> Option<u64> {
        let first = first.max(self.purged + 1);
        if first > last {
            return None;
        }
        if self.consumers.is_empty() {
            return self.streams.is_empty().then_some(last);
        }
        self.consumers.values().filter_map(|acked| acked.last_missing(first, last)).max()
    }

    /// Messages that somebody still waits for, at most: from the lowest floor on.
    pub fn waiting(&self) -> u64 {
        let floor = self.lowest(|acked| acked.floor() + acked.count_above());
        (self.next - 1).saturating_sub(floor)
    }

    /// Nobody waits for a message up to this sequence.
    pub fn floor(&self) -> u64 {
        self.lowest(Ranges::floor)
    }

    /// The lowest of the consumers as `of` counts them; without any, of the targets.
    fn lowest(&self, of: impl Fn(&Ranges) -> u64) -> u64 {
        let consumers = self.consumers.values().map(of);
        let streams = self.streams.values().map(|stream| stream.message);
        consumers.min().or(streams.min()).unwrap_or(0).max(self.purged)
    }
}

#[cold]
fn no_queue(number: u32) -> Error {
    Error::new(Code::NoSuchName, format!("there is no queue {number}; it was deleted"))
}

pub(super) fn text(name: &[u8]) -> Result<String> {
    String::from_utf8(name.to_vec())
        .map_err(|_| Error::new(Code::Corrupt, "the journal holds a name that is not UTF-8"))
}

/// Checks the name of a queue or consumer.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    if name.len() > limits::NAME_BYTES_MAX {
        let text = format!(
            "the name of a {what} has {} bytes, more than {}",
            name.len(),
            limits::NAME_BYTES_MAX
        );
        return Err(Error::new(Code::TooLarge, text));
    }
    if name.is_empty() || name.chars().any(char::is_control) {
        let text = format!("{name:?} is no name for a {what}: empty, or with control characters");
        return Err(Error::new(Code::Invalid, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(state: &mut State, kind: Type, change: &Change<'_>) {
        state.change(kind, 1, &change.encode()).unwrap();
    }

    #[test]
    fn the_watch_is_a_message_that_is_still_waited_for() {
        let mut state = State::default();
        change(&mut state, Type::Queue, &Change::CreateQueue(b"q"));
        change(&mut state, Type::Consumer, &Change::CreateConsumer(b"c", 0));
        let stretches = [Stretch { queue: 1, first: 1, last: 10 }];
        change(&mut state, Type::Ack, &Change::Ack(b"c", vec![(8, 10)]));
        assert_eq!(state.alive(&stretches), Some(Held { queue: 1, sequence: 7 }));
        for range in [(1, 1), (2, 4), (5, 6)] {
            change(&mut state, Type::Ack, &Change::Ack(b"c", vec![range]));
            assert!(!state.take_reclaim_due(), "{range:?} frees nothing");
        }
        change(&mut state, Type::Ack, &Change::Ack(b"c", vec![(7, 7)]));
        assert!(state.take_reclaim_due());
        assert_eq!(state.alive(&stretches), None);
        change(&mut state, Type::Consumer, &Change::CreateConsumer(b"late", 3));
        assert_eq!(state.alive(&stretches), Some(Held { queue: 1, sequence: 10 }));
        change(&mut state, Type::Queue, &Change::Purge(9));
        assert!(!state.take_reclaim_due());
        change(&mut state, Type::Queue, &Change::Purge(10));
        assert!(state.take_reclaim_due());
    }
}
