//! Streams: what one outside reader gets from one queue, and how far it has it.
//!
//! A stream belongs to a queue and is called like its target; its id is drawn at its creation. The cursor is
//! the stamp up to which the target has confirmed everything; it is written lazily, as a rider of whatever
//! commit comes next, because a target that has more says so itself when the stream goes on.
//!
//! ```text
//! stream    op (1), id (8), then by op; the number of the queue stands in the frame's header
//!             1 create  stamp (20), message (8), bytes (8), length of the name (1), name, URL
//!             2 move    stamp (20), message (8), bytes (8)
//!             3 remove
//!             4 rewind  stamp (20), message (8), bytes (8): the target went back, and the cursor with it
//!             5 skip    stamp (20) of a transaction that was set aside
//!             6 gap     stamp (20) the target had, all zero = none, and stamp (20) it goes on from
//!             7 orphan  epoch (4), first (8), last (8) the target has and nobody else, stamp (20) it goes on from
//!             8 URL     the target moved to another place
//! ```
//!
//! `message` is the sequence of the queue's last message at the stamp, `bytes` the bytes of all its bodies up
//! to there.
//!
//! A segment stays until every stream of the store is beyond its last transaction, whatever queue it is of:
//! only then the chain between what a target has and what it gets next can be proven.

use super::state::{QueueState, State};
use super::{Core, Level, record::unread};
use crate::error::{Code, Error, Result};
use crate::journal::{Candidate, Rows, Type, u32_at, u64_at};
use crate::limits;
use crate::position::{STAMP_SIZE, Stamp};
use crate::sync::{AtomicBool, Mutex, Ordering};
use std::collections::{BTreeMap, HashMap};

/// A stream as its records left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Drawn at its creation.
    pub id: u64,
    /// Where the target was found last.
    pub url: String,
    /// It begins behind this stamp.
    pub start: Stamp,
    /// The target has confirmed everything up to here.
    pub cursor: Stamp,
    /// Sequence of the queue's last message at the cursor.
    pub message: u64,
    /// Bytes of the queue's bodies up to the cursor.
    pub bytes: u64,
    /// How often the target went back.
    pub rewinds: u64,
    /// Transactions that were set aside.
    pub skipped: u64,
    /// Gaps that were accepted.
    pub gaps: u64,
    /// Transactions the target has and this history has not.
    pub orphans: u64,
    /// Transactions, first to last, that were set aside or lie in a gap that was accepted, in order: the newest
    /// [`limits::MISSING_MAX`] such ranges.
    pub missing: Vec<(u64, u64)>,
}

/// What happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamChange<'a> {
    /// It begins.
    Create {
        /// Behind this stamp.
        stamp: Stamp,
        /// The queue's last message there.
        message: u64,
        /// The queue's bytes there.
        bytes: u64,
        /// Name of the target.
        name: &'a [u8],
        /// Where it is.
        url: &'a [u8],
    },
    /// The cursor moved to a stamp, a message and a count of bytes.
    Move(Stamp, u64, u64),
    /// The stream is gone.
    Remove,
    /// The cursor moved back.
    Rewind(Stamp, u64, u64),
    /// The transaction with this stamp was set aside.
    Skip(Stamp),
    /// What lies between the stamps is missing at the target.
    Gap(Stamp, Stamp),
    /// The target has transactions first to last of an epoch that are not in this history, and goes on here.
    Orphan(u32, u64, u64, Stamp),
    /// The target is somewhere else.
    Url(&'a [u8]),
}

impl StreamChange<'_> {
    /// The body of the record.
    pub fn encode(&self, id: u64) -> Vec<u8> {
        let id = id.to_le_bytes();
        let place = |op: u8, stamp: &Stamp, message: &u64, bytes: &u64| {
            let words = [message.to_le_bytes(), bytes.to_le_bytes()].concat();
            [&[op][..], &id, &stamp.to_bytes(), &words].concat()
        };
        match self {
            StreamChange::Create { stamp, message, bytes, name, url } => {
                let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
                [&place(1, stamp, message, bytes)[..], &[length], name, url].concat()
            }
            StreamChange::Move(stamp, message, bytes) => place(2, stamp, message, bytes),
            StreamChange::Remove => [&[3][..], &id].concat(),
            StreamChange::Rewind(stamp, message, bytes) => place(4, stamp, message, bytes),
            StreamChange::Skip(stamp) => [&[5][..], &id, &stamp.to_bytes()].concat(),
            StreamChange::Gap(from, to) => {
                [&[6][..], &id, &from.to_bytes(), &to.to_bytes()].concat()
            }
            StreamChange::Orphan(epoch, first, last, stamp) => {
                let words = [first.to_le_bytes(), last.to_le_bytes()].concat();
                [&[7][..], &id, &epoch.to_le_bytes(), &words, &stamp.to_bytes()].concat()
            }
            StreamChange::Url(url) => [&[8][..], &id, url].concat(),
        }
    }
}

/// Decodes a stream record: the id and what happened.
pub fn decode(body: &[u8]) -> Result<(u64, StreamChange<'_>)> {
    parse(body).ok_or_else(|| unread("stream"))
}

fn parse(body: &[u8]) -> Option<(u64, StreamChange<'_>)> {
    let (op, rest) = body.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let stamp = |at: usize| rest.get(at..).and_then(Stamp::from_bytes);
    let word = |at: usize| rest.get(at..at + 8).map(|bytes| u64_at(bytes, 0));
    let exactly = |length: usize| (rest.len() == length).then_some(());
    let change = match op {
        1 => {
            let length = usize::from(*rest.get(STAMP_SIZE + 16)?);
            let (name, url) = rest[STAMP_SIZE + 17..].split_at_checked(length)?;
            let (message, bytes) = (word(STAMP_SIZE)?, word(STAMP_SIZE + 8)?);
            StreamChange::Create { stamp: stamp(0)?, message, bytes, name, url }
        }
        2 | 4 => {
            exactly(STAMP_SIZE + 16)?;
            let (stamp, message, bytes) = (stamp(0)?, word(STAMP_SIZE)?, word(STAMP_SIZE + 8)?);
            match op {
                2 => StreamChange::Move(stamp, message, bytes),
                _ => StreamChange::Rewind(stamp, message, bytes),
            }
        }
        3 => exactly(0).map(|()| StreamChange::Remove)?,
        5 => exactly(STAMP_SIZE).and_then(|()| Some(StreamChange::Skip(stamp(0)?)))?,
        6 => {
            exactly(2 * STAMP_SIZE)?;
            StreamChange::Gap(stamp(0)?, stamp(STAMP_SIZE)?)
        }
        7 => {
            exactly(20 + STAMP_SIZE)?;
            StreamChange::Orphan(u32_at(rest, 0), word(4)?, word(12)?, stamp(20)?)
        }
        8 => StreamChange::Url(rest),
        _ => return None,
    };
    Some((u64::from_le_bytes(*id), change))
}

impl State {
    /// The stream of a queue to a target.
    pub fn stream(&self, queue: u32, target: &str) -> Result<&Stream> {
        let of = self.queue(queue)?;
        of.streams.get(target).ok_or_else(|| {
            let text = format!("queue {:?} has no target {target:?}", of.name);
            Error::new(Code::NoSuchName, text)
        })
    }

    /// All streams: number of the queue, name of the target, stream.
    pub fn streams(&self) -> impl Iterator<Item = (u32, &str, &Stream)> {
        self.queues().flat_map(|(number, queue)| {
            queue.streams.iter().map(move |(name, stream)| (number, name.as_str(), stream))
        })
    }

    /// A stream record.
    pub(super) fn stream_change(&mut self, number: u32, body: &[u8]) -> Result<()> {
        let (id, change) = decode(body)?;
        let Some(queue) = self.changing(number) else { return Ok(()) };
        let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| unread("stream"));
        if let StreamChange::Create { stamp, message, bytes, name, url } = change {
            let (start, cursor, url) = (stamp, stamp, utf8(url)?);
            let made = Stream { id, url, start, cursor, message, bytes, ..Stream::default() };
            queue.streams.insert(utf8(name)?, made);
            return Ok(());
        }
        let Some(name) = queue.streams.iter().find(|(_, s)| s.id == id).map(|(n, _)| n.clone())
        else {
            return Ok(());
        };
        if change == StreamChange::Remove {
            queue.streams.remove(&name);
            self.reclaim_due = true;
            return Ok(());
        }
        if let Some(stream) = queue.streams.get_mut(&name) {
            stream.apply(change, utf8)?;
        }
        if self.pin_watch.is_some_and(|last| self.pin().is_none_or(|pin| pin >= last)) {
            self.pin_watch = None;
            self.reclaim_due = true;
        }
        Ok(())
    }

    /// The sequence up to which every stream has everything; `None` when there is no stream.
    fn pin(&self) -> Option<u64> {
        self.streams().map(|(_, _, stream)| stream.cursor.sequence).min()
    }

    /// The first of these segments that is kept, with all behind it: for a stream that has not all of it, or
    /// for the time and the bytes after that, so that a target that went back can be served again.
    pub fn kept_from(&mut self, candidates: &[Candidate], now_ms: u64, keep: Keep) -> u64 {
        let Some(pin) = self.pin() else { return u64::MAX };
        let pinned = candidates.iter().find(|candidate| candidate.last > pin);
        self.pin_watch = pinned.map(|candidate| candidate.last);
        let mut kept = pinned.map_or(u64::MAX, |candidate| candidate.number);
        let mut bytes = 0;
        for candidate in candidates.iter().rev().filter(|candidate| candidate.last <= pin) {
            bytes += candidate.length;
            let young = now_ms.saturating_sub(candidate.ended_ms) < keep.ms;
            if !young || bytes > keep.bytes {
                break;
            }
            kept = candidate.number;
        }
        kept
    }

    pub(super) fn thaw_missing(&mut self, row: &[u8]) -> bool {
        if row.len() < 28 || row.len() % 16 != 12 || row.len() > 12 + 16 * limits::MISSING_MAX {
            return false;
        }
        let id = u64_at(row, 4);
        let Some(queue) = self.queue_mut(u32_at(row, 0)) else { return false };
        let Some(stream) = queue.streams.values_mut().find(|stream| stream.id == id) else {
            return false;
        };
        let pairs = row[12..].chunks_exact(16);
        stream.missing = pairs.map(|pair| (u64_at(pair, 0), u64_at(pair, 8))).collect();
        true
    }

    pub(super) fn thaw_stream(&mut self, row: &[u8]) -> bool {
        const WORDS: usize = 12 + 2 * STAMP_SIZE;
        const NAME: usize = WORDS + 6 * 8;
        let Some(length) = row.get(NAME).copied().map(usize::from) else { return false };
        let Some((name, url)) = row[NAME + 1..].split_at_checked(length) else { return false };
        let (Ok(name), Ok(url)) = (std::str::from_utf8(name), std::str::from_utf8(url)) else {
            return false;
        };
        let stamp = |at: usize| Stamp::from_bytes(&row[at..]).unwrap_or_default();
        let word = |n: usize| u64_at(row, WORDS + 8 * n);
        let stream = Stream {
            id: u64_at(row, 4),
            url: url.to_string(),
            start: stamp(12),
            cursor: stamp(12 + STAMP_SIZE),
            message: word(0),
            bytes: word(1),
            rewinds: word(2),
            skipped: word(3),
            gaps: word(4),
            orphans: word(5),
            missing: Vec::new(),
        };
        let queue = self.queue_mut(u32_at(row, 0));
        queue.is_some_and(|queue| queue.streams.insert(name.to_string(), stream).is_none())
    }
}

impl QueueState {
    /// The rows of its streams, and then what their targets never get. Both begin with the number of the queue.
    pub(super) fn freeze_streams(
        &self,
        number: u32,
        (key, [table, missing]): ((u32, usize), [u32; 2]),
        rows: &mut Rows,
    ) {
        let number = number.to_le_bytes();
        for (name, stream) in &self.streams {
            let head = [&number[..], &stream.id.to_le_bytes()].concat();
            let stamps = [stream.start.to_bytes(), stream.cursor.to_bytes()].concat();
            let words = [
                stream.message,
                stream.bytes,
                stream.rewinds,
                stream.skipped,
                stream.gaps,
                stream.orphans,
            ];
            let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let length = [u8::try_from(name.len()).unwrap_or(u8::MAX)];
            let tail = [&length[..], name.as_bytes(), stream.url.as_bytes()].concat();
            rows.put(key, table, &[&head, &stamps, &words, &tail]);
        }
        for stream in self.streams.values().filter(|one| !one.missing.is_empty()) {
            let pairs = stream.missing.iter().flat_map(|(first, last)| [*first, *last]);
            let pairs: Vec<u8> = pairs.flat_map(u64::to_le_bytes).collect();
            rows.put(key, missing, &[&number, &stream.id.to_le_bytes(), &pairs]);
        }
    }
}

impl Stream {
    fn apply(
        &mut self,
        change: StreamChange<'_>,
        utf8: impl Fn(&[u8]) -> Result<String>,
    ) -> Result<()> {
        match change {
            StreamChange::Move(stamp, message, bytes) => {
                (self.cursor, self.message, self.bytes) = (stamp, message, bytes);
            }
            StreamChange::Rewind(stamp, message, bytes) => {
                (self.cursor, self.message, self.bytes) = (stamp, message, bytes);
                self.rewinds = self.rewinds.saturating_add(1);
                self.goes_on_behind(stamp.sequence);
            }
            StreamChange::Skip(stamp) => {
                self.skipped = self.skipped.saturating_add(1);
                self.goes_on_behind(stamp.sequence.saturating_sub(1));
                self.miss(stamp.sequence, stamp.sequence);
            }
            StreamChange::Gap(from, to) => {
                self.cursor = to;
                self.gaps = self.gaps.saturating_add(1);
                self.goes_on_behind(from.sequence);
                self.miss(from.sequence.max(self.start.sequence).saturating_add(1), to.sequence);
            }
            StreamChange::Orphan(_, first, last, stamp) => {
                self.cursor = stamp;
                self.goes_on_behind(stamp.sequence);
                let orphans = last.saturating_sub(first).saturating_add(1);
                self.orphans = self.orphans.saturating_add(orphans);
            }
            StreamChange::Url(url) => self.url = utf8(url)?,
            StreamChange::Create { .. } | StreamChange::Remove => {}
        }
        Ok(())
    }

    /// What comes behind this transaction is sent again, so it is not missing for good.
    fn goes_on_behind(&mut self, sequence: u64) {
        self.missing.retain(|(first, _)| *first <= sequence);
        if let Some((_, last)) = self.missing.last_mut() {
            *last = (*last).min(sequence);
        }
    }

    fn miss(&mut self, first: u64, last: u64) {
        if self.missing.len() == limits::MISSING_MAX {
            self.missing.remove(0);
        }
        if first <= last {
            self.missing.push((first, last));
        }
    }

    /// Whether this transaction was set aside, or lies in a gap that was accepted.
    pub fn misses(&self, transaction: u64) -> bool {
        self.missing.iter().any(|(first, last)| (*first..=*last).contains(&transaction))
    }
}

/// How long data stays after the slowest stream has it: until it is older, or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Milliseconds.
    pub ms: u64,
    /// Bytes of segments.
    pub bytes: u64,
}

/// What a stream's live half knows and the records need not say at once.
#[derive(Default)]
pub struct Live {
    /// By id: what the target has confirmed, as a sequence.
    confirmed: Mutex<HashMap<u64, u64>>,
    /// Moves that wait for a commit to ride with: body by queue and id.
    riders: Mutex<BTreeMap<(u32, u64), Vec<u8>>>,
    /// Whether there are any, for every commit to look at without a lock.
    ride: AtomicBool,
    /// By group and id: the newest link of a received stream.
    pub(super) links: Mutex<HashMap<([u8; 16], u64), u64>>,
}

impl Live {
    /// By id: what the targets have confirmed.
    pub(super) fn confirmed(&self) -> HashMap<u64, u64> {
        self.confirmed.lock().clone()
    }

    /// By id: message and bytes of the moves that wait.
    pub(super) fn moves(&self) -> HashMap<u64, (u64, u64)> {
        let riders = self.riders.lock();
        let moved = riders.values().filter_map(|body| match parse(body)? {
            (id, StreamChange::Move(_, message, bytes)) => Some((id, (message, bytes))),
            _ => None,
        });
        moved.collect()
    }

    /// Whether moves wait; one that comes at the same moment rides with the next commit.
    #[inline]
    pub(super) fn has_riders(&self) -> bool {
        self.ride.load(Ordering::Acquire)
    }

    /// Changes the moves that wait.
    fn with_riders<T>(&self, change: impl FnOnce(&mut BTreeMap<(u32, u64), Vec<u8>>) -> T) -> T {
        let mut riders = self.riders.lock();
        let changed = change(&mut riders);
        self.ride.store(!riders.is_empty(), Ordering::Release);
        changed
    }

    /// Takes the moves that wait, for the transaction that is appended now.
    pub(super) fn take_riders(&self) -> Vec<(Type, u32, Vec<u8>)> {
        if !self.has_riders() {
            return Vec::new();
        }
        let all = self.with_riders(std::mem::take);
        all.into_iter().map(|((queue, _), body)| (Type::Stream, queue, body)).collect()
    }

    /// Puts moves back whose transaction was not appended, unless newer ones came.
    pub(super) fn put_back(&self, riders: Vec<(Type, u32, Vec<u8>)>) {
        self.with_riders(|waiting| {
            for (_, queue, body) in riders {
                let id = u64_at(&body[1..9], 0);
                waiting.entry((queue, id)).or_insert(body);
            }
        });
    }
}

/// Where a new stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Begin {
    /// At the oldest message alive.
    #[default]
    Oldest,
    /// Behind what is there.
    Now,
}

impl Core {
    /// The stream of a queue to a target; begun, durably, when there is none of that name.
    pub fn stream_open(&self, queue: u32, target: &str, url: &str, begin: Begin) -> Result<Stream> {
        super::check_name("target", target)?;
        let known = self.look(|state| {
            state.queue(queue).map(|of| (of.streams.get(target).cloned(), state.streams().count()))
        })?;
        if let Some(stream) = known.0 {
            if stream.url != url {
                let body = StreamChange::Url(url.as_bytes()).encode(stream.id);
                self.append_stream(queue, body)?;
            }
            return Ok(stream);
        }
        if known.1 >= limits::STREAMS_MAX {
            let text = format!("{} has {} targets already", self.describe(), known.1);
            return Err(Error::new(Code::Quota, text));
        }
        self.journal.show_all()?;
        let (stamp, message, bytes) = self.beginning(queue, begin)?;
        let id = self.draw_id()?;
        let name = target.as_bytes();
        let body =
            StreamChange::Create { stamp, message, bytes, name, url: url.as_bytes() }.encode(id);
        let staged = self.transact(&[], &[(Type::Stream, queue, body)], Level::Power)?;
        self.finish(&staged)?;
        self.look(|state| state.stream(queue, target).cloned())
    }

    pub(super) fn draw_id(&self) -> Result<u64> {
        let mut id = [0; 8];
        let failed = |error| Error::io("cannot draw the id of a stream", &error);
        self.journal.disk().random(&mut id).map_err(failed)?;
        Ok(u64::from_le_bytes(id))
    }

    /// Where a new stream of a queue begins: stamp, message and bytes before it.
    fn beginning(&self, queue: u32, begin: Begin) -> Result<(Stamp, u64, u64)> {
        let names = self.queue_names();
        let (next, purged, bytes) =
            self.look(|state| state.queue(queue).map(|of| (of.next, of.purged, of.bytes)))?;
        if begin == Begin::Now {
            let sequence = self.journal.shown_sequence();
            let stamp = self.journal.walk_from(sequence, &names)?.stamp();
            return Ok((stamp, next - 1, bytes));
        }
        let stamp = self.journal.oldest()?;
        let mut found = Vec::new();
        let mut cursor = crate::journal::Cursor::new(queue, purged + 1);
        self.journal.read(&mut cursor, self.journal.shown_offset(), 1, 1, &mut found)?;
        let message = found.first().map_or(next, |found| found.head.sequence) - 1;
        // What was before the first message was counted in bytes as the average of all.
        let before = u128::from(bytes) * u128::from(message) / u128::from((next - 1).max(1));
        Ok((stamp, message, u64::try_from(before).unwrap_or(bytes)))
    }

    /// The names of all queues there ever were, for a walk through the journal.
    pub fn queue_names(&self) -> Vec<(u32, Vec<u8>)> {
        self.look(State::names_ever)
    }

    /// Ends a stream: its target gets nothing more, and it holds nothing any more.
    pub fn stream_remove(&self, queue: u32, target: &str) -> Result<()> {
        let id = self.look(|state| state.stream(queue, target).map(|stream| stream.id))?;
        self.live.confirmed.lock().remove(&id);
        self.live.with_riders(|riders| riders.remove(&(queue, id)));
        let body = StreamChange::Remove.encode(id);
        let staged = self.transact(&[], &[(Type::Stream, queue, body)], Level::Power)?;
        self.finish(&staged).map(|_| ())
    }

    /// Appends a stream record as a transaction of its own that nobody waits for.
    pub fn append_stream(&self, queue: u32, body: Vec<u8>) -> Result<()> {
        // A move that waits is older than what is said now.
        self.live.with_riders(|riders| riders.remove(&(queue, u64_at(&body[1..9], 0))));
        self.transact(&[], &[(Type::Stream, queue, body)], self.level).map(|_| ())
    }

    /// The target has everything up to `sequence`: those who wait for it may go on. With a move, the cursor
    /// is written with whatever is committed next.
    pub fn stream_confirmed(
        &self,
        queue: u32,
        id: u64,
        sequence: u64,
        moved: Option<StreamChange<'_>>,
    ) {
        self.live.confirmed.lock().insert(id, sequence);
        if let Some(change) = moved {
            let body = change.encode(id);
            self.live.with_riders(|riders| riders.insert((queue, id), body));
        }
        self.journal.announce();
    }

    /// Writes the moves that found nothing to ride with; not synced.
    pub fn flush_riders(&self) -> Result<()> {
        let riders = self.live.take_riders();
        if riders.is_empty() {
            return Ok(());
        }
        let appended = self.transact(&[], &riders, self.level);
        if appended.is_err() {
            self.live.put_back(riders);
        }
        appended.map(|_| ())
    }

    /// The sequence up to which every target of this name has everything durably; `*` names all targets.
    pub fn confirmed_by(&self, target: &str) -> Result<u64> {
        let streams: Vec<(u64, u64)> = self.look(|state| {
            let named = state.streams().filter(|(_, name, _)| target == "*" || *name == target);
            named.map(|(_, _, stream)| (stream.id, stream.cursor.sequence)).collect()
        });
        let confirmed = self.live.confirmed.lock();
        let reached =
            streams.iter().map(|(id, cursor)| confirmed.get(id).copied().unwrap_or(*cursor));
        reached.min().ok_or_else(|| {
            let text = format!("{} has no target {target:?}", self.describe());
            Error::new(Code::NoSuchName, text)
        })
    }

    /// Fails with DIVERGED where a target of this name, or any for `*`, does not get this transaction.
    pub fn check_not_missing(&self, target: &str, transaction: u64) -> Result<()> {
        let missing = self.look(|state| {
            let mut named = state.streams().filter(|(_, name, _)| target == "*" || *name == target);
            let found = named.find(|(.., stream)| stream.misses(transaction));
            found.map(|(_, name, _)| name.to_string())
        });
        let Some(name) = missing else { return Ok(()) };
        let text = format!(
            "target {name:?} does not get transaction {transaction}: it was set aside or lies in a gap that was \
             accepted; the target goes on behind it"
        );
        Err(Error::new(Code::Diverged, text).over(transaction, transaction))
    }

    /// What every segment holds that a stream or `keep` still wants: see [`State::kept_from`].
    pub(super) fn keep_segments(&self, candidates: &[Candidate]) -> u64 {
        let now = self.journal.disk().now_ms();
        let missing = self.journal.missing_bytes();
        let mut state = self.state.lock();
        let mut keep = self.keep;
        if missing > 0 {
            // What is kept is inside the quota: as much of it is given up as is needed.
            let pin = state.pin().unwrap_or(0);
            let known = candidates.iter().filter(|candidate| candidate.last <= pin);
            let all: u64 = known.map(|candidate| candidate.length).sum();
            keep.bytes = keep.bytes.min(all.saturating_sub(missing));
        }
        state.kept_from(candidates, now, keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> Stamp {
        Stamp { epoch: 1, sequence, chain: sequence }
    }

    fn apply(stream: &mut Stream, change: StreamChange<'_>) {
        stream.apply(change, |_| unreachable!()).unwrap();
    }

    #[test]
    fn what_a_target_never_gets_is_known_until_the_stream_goes_back_before_it() {
        let mut stream = Stream { start: at(2), ..Stream::default() };
        apply(&mut stream, StreamChange::Skip(at(5)));
        apply(&mut stream, StreamChange::Gap(at(8), at(12)));
        assert_eq!(stream.missing, [(5, 5), (9, 12)]);
        assert!(stream.misses(5) && stream.misses(9) && stream.misses(12));
        assert!(!stream.misses(4) && !stream.misses(6) && !stream.misses(8) && !stream.misses(13));
        apply(&mut stream, StreamChange::Move(at(13), 0, 0));
        apply(&mut stream, StreamChange::Rewind(at(10), 0, 0));
        assert_eq!(stream.missing, [(5, 5), (9, 10)]);
        apply(&mut stream, StreamChange::Orphan(1, 5, 10, at(4)));
        assert_eq!(stream.missing, []);
        // A target without anything begins where the stream did.
        apply(&mut stream, StreamChange::Gap(Stamp::default(), at(4)));
        assert_eq!(stream.missing, [(3, 4)]);
        for sequence in 10..=10 + limits::MISSING_MAX as u64 {
            apply(&mut stream, StreamChange::Skip(at(sequence)));
        }
        assert_eq!(stream.missing.len(), limits::MISSING_MAX, "the oldest are forgotten");
        assert_eq!(stream.missing[0], (11, 11));
    }

    #[test]
    fn what_a_target_never_gets_comes_back_from_a_run() {
        let mut state = State::default();
        let queue = crate::store::record::Change::CreateQueue(b"q").encode();
        state.change(Type::Queue, 1, &queue).unwrap();
        let (stamp, name, url) = (at(1), &b"t"[..], &b"u"[..]);
        let create = StreamChange::Create { stamp, message: 0, bytes: 0, name, url };
        for change in [create, StreamChange::Skip(at(5)), StreamChange::Gap(at(8), at(12))] {
            state.stream_change(1, &change.encode(7)).unwrap();
        }
        let rows = [1_u32.to_le_bytes().to_vec(), 7_u64.to_le_bytes().to_vec()].concat();
        let words: Vec<u8> = [5_u64, 5, 9, 12].iter().flat_map(|word| word.to_le_bytes()).collect();
        let row = [rows, words].concat();
        let expected = state.stream(1, "t").unwrap().missing.clone();
        if let Some(stream) = state.queue_mut(1).and_then(|queue| queue.streams.get_mut("t")) {
            stream.missing.clear();
        }
        assert!(state.thaw_missing(&row));
        assert_eq!(state.stream(1, "t").unwrap().missing, expected);
        assert!(!state.thaw_missing(&row[..row.len() - 1]) && !state.thaw_missing(&row[..12]));
    }
}
