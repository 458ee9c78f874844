//! Where the messages of one segment stand, by queue.
//!
//! While a segment is the tail this is a flat array in commit order; at the seal it is sorted by queue and
//! written as the segment's last frame, so that a reader of one queue never walks over the others.
//!
//! ```text
//! offset  size  body of an index frame
//!      0     4  queues       Q
//!      4     4  lives        L
//!      8     4  messages     N
//!     12     4  zero
//!     16   8*L  lives        place (4) from which on this seed (4) is in force, in order
//!          24*Q queues       queue (4), messages (4), first sequence (8), start in places (4), zero (4)
//!           4*N places       of message frames, by queue, in order
//! ```
//!
//! A *place* is a file offset divided by 8. The sequences of a queue's messages in one row have no gap; a queue
//! has several rows where an `adopt` record stands between its messages.

use super::format::{u32_at, u64_at};
use super::slot::FRAMES_AT;
use crate::limits::NUMBERS_END;

const FIXED: usize = 16;
const LIFE: usize = 8;
const QUEUE: usize = 24;

/// The flat array of the tail.
#[derive(Default)]
pub struct Flat {
    entries: Vec<Entry>,
    lives: Vec<(u32, u32)>,
    /// By queue: the sequence behind its last message, 0 = none yet.
    next: Vec<u64>,
    queues: usize,
    expires_ms: u64,
}

/// One message frame of the tail.
#[derive(Clone, Copy)]
pub struct Entry {
    pub queue: u32,
    pub place: u32,
    pub sequence: u64,
}

impl Flat {
    /// What a message takes in the index, at most.
    pub const ROOM: usize = QUEUE + 4;

    /// Notes a message frame; `expires_ms` 0 means never.
    #[inline]
    pub fn push(&mut self, queue: u32, sequence: u64, file_offset: u64, expires_ms: u64) {
        let at = queue as usize;
        if self.next.len() <= at {
            self.next.resize(at + 1, 0);
        }
        let next = std::mem::replace(&mut self.next[at], sequence + 1);
        self.queues += usize::from(next != sequence || next == 0);
        self.entries.push(Entry { queue, place: place(file_offset), sequence });
        let expires_ms = if expires_ms == 0 { u64::MAX } else { expires_ms };
        self.expires_ms = self.expires_ms.max(expires_ms);
    }

    /// From this file offset on frames are seeded by `seed`.
    pub fn live(&mut self, file_offset: u64, seed: u32) {
        self.lives.push((place(file_offset), seed));
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn lives(&self) -> &[(u32, u32)] {
        &self.lives
    }

    /// When the last message expires; 0 where there is none, all ones = never.
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// An upper bound of the body's size after `messages` more were noted.
    pub fn bytes_with(&self, messages: usize) -> usize {
        FIXED
            + LIFE * (self.lives.len() + 1)
            + QUEUE * self.queues
            + 4 * self.entries.len()
            + Flat::ROOM * messages
    }

    /// The same sorted, as it is written. A roll waits for this, so nothing is compared that need not be: a queue's
    /// messages are in order here, and counting them says where each belongs.
    pub fn sealed(&self) -> Sealed {
        if self.queues == 1 {
            // One row: its messages follow each other.
            return Sealed::of(&self.entries, &self.lives);
        }
        let follows = |a: &Entry, b: &Entry| a.queue != b.queue || a.sequence < b.sequence;
        let one = self.entries.windows(2).all(|pair| pair[0].queue <= pair[1].queue);
        if one && self.entries.windows(2).all(|pair| follows(&pair[0], &pair[1])) {
            return Sealed::of(&self.entries, &self.lives);
        }
        let mut at: Vec<usize> = vec![0; self.next.len() + 1];
        for entry in &self.entries {
            at[entry.queue as usize + 1] += 1;
        }
        for queue in 1..at.len() {
            at[queue] += at[queue - 1];
        }
        let mut sorted = self.entries.clone();
        for entry in &self.entries {
            let to = &mut at[entry.queue as usize];
            sorted[*to] = *entry;
            *to += 1;
        }
        if !sorted.windows(2).all(|pair| follows(&pair[0], &pair[1])) {
            // What is walked after damage may be in any order.
            sorted.sort_by_key(|entry| (entry.queue, entry.sequence));
        }
        Sealed::of(&sorted, &self.lives)
    }

    /// Begins the array of another segment in the memory of this one.
    pub fn renew(&mut self) {
        self.entries.clear();
        self.lives.clear();
        self.next.clear();
        (self.queues, self.expires_ms) = (0, 0);
    }
}

fn place(file_offset: u64) -> u32 {
    u32::try_from(file_offset / 8).unwrap_or(u32::MAX)
}

/// What one queue has in a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub queue: u32,
    pub count: u32,
    pub first: u64,
    start: u32,
}

impl Span {
    /// Sequence of its last message here.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// The index of a sealed segment, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    pub spans: Vec<Span>,
    pub lives: Vec<(u32, u32)>,
    places: Vec<u32>,
}

impl Sealed {
    /// Of entries sorted by queue and sequence.
    fn of(sorted: &[Entry], lives: &[(u32, u32)]) -> Sealed {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let follows = |a: &Entry, b: &Entry| (a.queue, a.sequence + 1) == (b.queue, b.sequence);
        let mut start = 0;
        let spans = sorted.chunk_by(follows).map(|run| {
            let (queue, first) = (run[0].queue, run[0].sequence);
            let span = Span { queue, count: count(run.len()), first, start };
            start += span.count;
            span
        });
        let spans = spans.collect();
        let places = sorted.iter().map(|entry| entry.place).collect();
        Sealed { spans, lives: lives.to_vec(), places }
    }

    /// The body of the index frame.
    pub fn encode(&self) -> Vec<u8> {
        let (spans, lives, places) = (self.spans.len(), self.lives.len(), self.places.len());
        let mut body = Vec::with_capacity(FIXED + LIFE * lives + QUEUE * spans + 4 * places);
        let word = |body: &mut Vec<u8>, word: usize| {
            body.extend_from_slice(&u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
        };
        for count in [spans, lives, places, 0] {
            word(&mut body, count);
        }
        for (at, seed) in &self.lives {
            body.extend_from_slice(&at.to_le_bytes());
            body.extend_from_slice(&seed.to_le_bytes());
        }
        for span in &self.spans {
            body.extend_from_slice(&span.queue.to_le_bytes());
            body.extend_from_slice(&span.count.to_le_bytes());
            body.extend_from_slice(&span.first.to_le_bytes());
            body.extend_from_slice(&span.start.to_le_bytes());
            word(&mut body, 0);
        }
        let at = body.len();
        body.resize(at + 4 * places, 0);
        for (to, place) in body[at..].as_chunks_mut::<4>().0.iter_mut().zip(&self.places) {
            *to = place.to_le_bytes();
        }
        body
    }

    /// Decodes a body whose sum held; `None` when its counts do not fit its length, and when its places are in no
    /// order or lie before the first frame.
    pub fn decode(body: &[u8]) -> Option<Sealed> {
        if body.len() < FIXED {
            return None;
        }
        let (queues, lives, messages) =
            (u32_at(body, 0) as usize, u32_at(body, 4) as usize, u32_at(body, 8) as usize);
        let spans_at = FIXED + LIFE * lives;
        let places_at = spans_at + QUEUE * queues;
        if body.len() != places_at + 4 * messages {
            return None;
        }
        let span = |at: usize| Span {
            queue: u32_at(body, at),
            count: u32_at(body, at + 4),
            first: u64_at(body, at + 8),
            start: u32_at(body, at + 16),
        };
        let sealed = Sealed {
            spans: (0..queues).map(|n| span(spans_at + QUEUE * n)).collect(),
            lives: (0..lives)
                .map(|n| (u32_at(body, FIXED + LIFE * n), u32_at(body, FIXED + LIFE * n + 4)))
                .collect(),
            places: (0..messages).map(|n| u32_at(body, places_at + 4 * n)).collect(),
        };
        let whole = sealed.spans.iter().all(|span| {
            let inside = u64::from(span.start) + u64::from(span.count) <= messages as u64;
            let numbers = span.count > 0 && span.first < NUMBERS_END;
            inside && numbers && sealed.places(span).is_sorted()
        });
        let whole = whole && sealed.places.iter().all(|place| u64::from(*place) * 8 >= FRAMES_AT);
        whole.then_some(sealed)
    }

    /// The same from a segment that was walked because its index could not be read.
    pub fn from_flat(flat: &Flat) -> Sealed {
        Sealed::decode(&flat.sealed().encode()).unwrap_or_default()
    }

    /// What `queue` has here from this sequence on: the first row that reaches so far.
    pub fn span_from(&self, queue: u32, sequence: u64) -> Option<&Span> {
        let before = |span: &Span| (span.queue, span.last()) < (queue, sequence);
        let span = self.spans.get(self.spans.partition_point(before))?;
        (span.queue == queue).then_some(span)
    }

    /// The places of a span's frames.
    pub fn places(&self, span: &Span) -> &[u32] {
        let start = span.start as usize;
        &self.places[start..start + span.count as usize]
    }
}

/// The seed in force at a place.
pub fn seed_at(lives: &[(u32, u32)], place: u32) -> u32 {
    let after = lives.partition_point(|(from, _)| *from <= place);
    after.checked_sub(1).map_or(0, |at| lives[at].1)
}
