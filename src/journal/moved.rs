//! Messages that were moved out of nearly dead segments, so that those can be given back.
//!
//! A sealed segment in which little is alive gives it to the tail: each message once more in an *evacuated* frame,
//! which has the fields and the body of the message's own, its transaction and its time included, under another
//! type and at another place. The frame is local: it has no number in the order of commits, is in no chain, and
//! never leaves. Once the copies are durable the segment is released as one in which nothing is alive.
//!
//! Where a moved message stands is known by its queue and its sequence, as a journal offset, which stays the same
//! when a segment is copied or renumbered. A message of which the old place is there as well is read there. The
//! places of all moved messages are a part of every state run, and an open adds those of the frames it replays; a
//! place whose segment was given back is nobody's any more.

use super::Journal;
use super::format::{HEAD, Head, LAST, Type, frame_bytes, u32_at, u64_at};
use super::reader::{Cursor, Found, Plan};
use super::reclaim::{Judged, Stretch};
use super::slot::FRAMES_AT;
use super::tail::{Row, Tail};
use crate::error::Result;
use crate::sync::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where moved messages stand, by queue and sequence.
pub type Moved = BTreeMap<(u32, u64), Home>;

/// Where a moved message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Journal offset of its frame, or of the block that holds it.
    pub offset: u64,
    /// Journal offset behind it.
    pub end: u64,
    /// The seed in force there.
    pub seed: u32,
    /// When it expires, 0 = never.
    pub expires_ms: u64,
}

/// Number, first offset and end of a segment, places in it with their seeds, and the sequence that stands at the first.
type MovedPlaces = (u64, (u64, u64), Vec<(u32, u32)>, u64);

/// Bytes of a row of a state run: queue (4), seed (4), sequence, offset, end, expiry (8 each).
pub const ROW: usize = 40;

/// A row of a state run.
pub fn row_of((queue, sequence): (u32, u64), home: &Home) -> [u8; ROW] {
    let mut row = [0; ROW];
    row[..4].copy_from_slice(&queue.to_le_bytes());
    row[4..8].copy_from_slice(&home.seed.to_le_bytes());
    let words = [sequence, home.offset, home.end, home.expires_ms];
    for (at, word) in words.iter().enumerate() {
        row[8 + 8 * at..16 + 8 * at].copy_from_slice(&word.to_le_bytes());
    }
    row
}

/// What a row of a state run says; it has the right length.
pub fn read_row(row: &[u8]) -> ((u32, u64), Home) {
    let word = |at: usize| u64_at(row, 8 * at);
    let home = Home { offset: word(2), end: word(3), seed: u32_at(row, 4), expires_ms: word(4) };
    ((u32_at(row, 0), word(1)), home)
}

/// Only what stands in a segment of the table, or from the offset `tail` on.
pub fn still_there(moved: &mut Moved, table: &BTreeMap<u64, Row>, tail: u64) {
    let mut rows: Vec<(u64, u64)> = table.values().map(|row| (row.first, row.end)).collect();
    rows.sort_unstable();
    moved.retain(|_, home| {
        let at = rows.partition_point(|(first, _)| *first <= home.offset);
        let inside = at.checked_sub(1).is_some_and(|at| home.offset < rows[at].1);
        inside || home.offset >= tail
    });
}

impl Journal {
    /// The messages that were moved into sealed segments, by segment, each as a stretch, with its expiry.
    pub(super) fn moved_by_segment(&self) -> BTreeMap<u64, Vec<(Stretch, u64)>> {
        let tail = self.tail.lock();
        let mut found: BTreeMap<u64, Vec<(Stretch, u64)>> = BTreeMap::new();
        let mut rows: Vec<(u64, u64, u64)> =
            tail.table.iter().map(|(number, row)| (row.first, row.end, *number)).collect();
        rows.sort_unstable();
        for ((queue, sequence), home) in &tail.moved {
            let behind = rows.partition_point(|(first, ..)| *first <= home.offset);
            let Some((_, end, number)) = behind.checked_sub(1).map(|at| rows[at]) else { continue };
            if home.offset < end {
                let (queue, first, last) = (*queue, *sequence, *sequence);
                let one = (Stretch { queue, first, last }, home.expires_ms);
                found.entry(number).or_default().push(one);
            }
        }
        found
    }

    /// Forgets moved messages that nobody waits for; `alive` says of each.
    pub fn forget_moved(&self, alive: &mut dyn FnMut(u32, u64) -> bool) {
        let keys: Vec<(u32, u64)> = self.tail.lock().moved.keys().copied().collect();
        let dead: Vec<_> = keys.into_iter().filter(|(queue, at)| !alive(*queue, *at)).collect();
        let mut tail = self.tail.lock();
        for key in dead {
            tail.moved.remove(&key);
        }
    }

    /// How many messages were moved and are not forgotten.
    pub fn moved_messages(&self) -> usize {
        self.tail.lock().moved.len()
    }

    /// The frames of these messages of a segment, all of them, where together they have one in `part` of its bytes; `None`
    /// where they are more, or where one cannot be found.
    pub fn few_of(
        &self,
        segment: &Judged,
        keys: &[(u32, u64)],
        now_ms: u64,
        part: u64,
    ) -> Result<Option<Vec<Found>>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (queue, sequence) in keys {
            let mut cursor = Cursor::new(*queue, *sequence).beginning_in(segment.number);
            let mut one = Vec::new();
            self.read(&mut cursor, self.durable_offset(), 1, 1, &mut one)?;
            let Some(one) = one.pop().filter(|one| one.head.sequence == *sequence) else {
                return Ok(None);
            };
            let expires_ms = super::expires_of(&one.buffer[one.body.clone()]);
            if expires_ms != 0 && expires_ms <= now_ms {
                continue;
            }
            bytes += frame_bytes(one.body.len()) as u64;
            if bytes > segment.length / part {
                return Ok(None);
            }
            found.push(one);
        }
        Ok(Some(found))
    }

    /// Appends these messages once more, as evacuated frames; false when the tail has no room for them.
    pub fn move_to_tail(&self, messages: &[Found]) -> Result<bool> {
        let frames = messages.iter().map(|one| frame_bytes(one.body.len()));
        let frames: usize = frames.sum();
        let mut tail = self.tail.lock();
        let full = |tail: &Tail| {
            let kept = frames + tail.release_room();
            tail.end_with(2 * HEAD, kept, 0) > tail.segment.length
        };
        if tail.closed || !self.is_alive(&mut tail)? || full(&tail) {
            return Ok(false);
        }
        for one in messages {
            let body = &one.buffer[one.body.clone()];
            let expires_ms = super::expires_of(body);
            let head = Head { kind: Type::Evacuated, flags: one.head.flags & LAST, ..one.head };
            let at = tail.put_frame(head, [body, &[]]);
            let offset = at - FRAMES_AT + tail.segment.first;
            let home = Home { offset, end: tail.end, seed: tail.seed(), expires_ms };
            tail.moved.insert((head.queue, head.sequence), home);
        }
        self.appended.store(tail.end, Ordering::Release);
        Ok(true)
    }

    /// Where the next moved messages of the cursor's queue stand, in one segment, before the sequence `before`.
    ///
    /// The caller has looked into the segments already: a copy is durable before its segment goes, so what was not
    /// there is found here.
    pub(super) fn plan_moved(
        &self,
        cursor: &Cursor,
        max: usize,
        before: u64,
    ) -> Result<Option<Plan>> {
        loop {
            let Some((number, span, places, sequence)) = self.moved_places(cursor, max, before)
            else {
                return Ok(None);
            };
            let file = match self.tail_file(number) {
                Some(file) => Ok(file),
                None => self.open_segment(number, span),
            };
            let file = match file {
                Ok(file) => file,
                // What it held was moved once more meanwhile, or nobody waits for it.
                Err(_) if self.was_given_back(number) => continue,
                Err(error) => return Err(error),
            };
            let (kind, staged, first) = (Type::Evacuated, None, span.0);
            return Ok(Some(Plan { file, number, first, places, sequence, kind, staged }));
        }
    }

    /// Number, first offset and end of that segment, the places in it, and the sequence of the first.
    fn moved_places(&self, cursor: &Cursor, max: usize, before: u64) -> Option<MovedPlaces> {
        let tail = self.tail.lock();
        // All that a look knows of is durable, also what lies behind its horizon.
        let durable = if self.is_looking() { u64::MAX } else { self.durable_offset() };
        let from = (cursor.queue(), cursor.next());
        let mut homes = tail.moved.range(from..(cursor.queue(), before.max(from.1)));
        let there = |home: &Home| home.end <= durable && tail.segment_of(home.offset).is_some();
        let mut homes = homes.by_ref().filter(|(_, home)| there(home));
        let (key, home) = homes.next()?;
        let (number, first, end) = tail.segment_of(home.offset)?;
        let place = |home: &Home| ((home.offset - first + FRAMES_AT) / 8) as u32;
        let mut places = vec![(place(home), home.seed)];
        // In a block they stand in any order, and are looked for one by one.
        let more = if self.keys.is_some() { 0 } else { max.saturating_sub(1) };
        for (_, next) in homes.take(more) {
            let here = (first..end).contains(&next.offset);
            if !here || places.last().is_some_and(|(last, _)| place(next) < *last) {
                break;
            }
            places.push((place(next), next.seed));
        }
        Some((number, (first, end), places, key.1))
    }

    fn tail_file(&self, number: u64) -> Option<Arc<dyn crate::disk::File>> {
        let tail = self.tail.lock();
        (tail.segment.number == number).then(|| tail.segment.file.clone())
    }
}

impl Tail {
    /// The segment that holds a journal offset: number, first offset, end.
    fn segment_of(&self, offset: u64) -> Option<(u64, u64, u64)> {
        if offset >= self.segment.first {
            return Some((self.segment.number, self.segment.first, self.end));
        }
        let rows = self.table.iter().rev();
        let mut rows = rows.filter(|(_, row)| (row.first..row.end).contains(&offset));
        rows.next().map(|(number, row)| (*number, row.first, row.end))
    }
}
