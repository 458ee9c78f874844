//! The mapped tail: a `process` commit without a system call.
//!
//! In a store whose level is `process` the tail is mapped, where the file system lets it be, and frames are
//! stored right where they belong. Storing ends at what is *ready*: a segment that was prepared is ready as a
//! whole, of the first one the helper populates a little ahead, and where it is late, or there is none, the caller
//! populates a step itself. What cannot be stored gathers in memory and is written, as in every other store; so does
//! what comes after it, until it is written, for the order of bytes in the file is the order of the journal. Where
//! mapping or populating fails, the segment is written to until the next one begins.
//!
//! Neither the bytes nor what is believed of them depend on the way they went. An encrypted store is not mapped:
//! its frames are sealed together when they are handed over.
//!
//! Promises: what a commit found at [`Reach::File`] is in the page cache, and all before it is. A journal offset
//! is stored to once. The chain is folded when the writer has its turn, over what is read back.

use super::commit::{Take, Writer};
use super::format::{Words, frame_bytes, u32_at};
use super::tail::{Appended, Tail};
use super::{Journal, Segment};
use crate::sync::Ordering;
use std::io;

/// How far the helper works ahead of the tail.
const AHEAD: u64 = 4 << 20;
/// What a caller populates that finds nothing ready.
const STEP: u64 = 256 << 10;
/// Bytes read back at a time.
const READ: usize = 64 << 10;

/// How far the bytes of a transaction came when it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// They gather in memory.
    Memory,
    /// The tail is mapped, and something before them, or of them, waits to be written.
    Window,
    /// They and all before them are in the page cache.
    File,
}

impl Appended {
    /// The group that decides about its fate when the journal is poisoned; 0 where a part of it is in the file.
    pub(super) fn fate(&self) -> u64 {
        if self.reach == Reach::Memory { self.group } else { 0 }
    }
}

impl Tail {
    /// Stores a frame where it belongs; false where it must be written instead.
    #[inline]
    pub(super) fn store(&mut self, head: &Words, parts: [&[u8]; 2], size: usize) -> bool {
        let at = self.segment.at(self.end);
        self.window.as_mut().is_some_and(|window| window.store(head, parts, size, at))
    }

    /// Bytes of the file from the end of the tail on that can be stored, as far as anybody has looked; without a window
    /// nothing has to be ready.
    pub(super) fn ready(&self) -> u64 {
        let used = self.segment.at(self.end);
        self.window.as_ref().map_or(u64::MAX, |window| {
            // The helper is asked from time to time for more.
            window.ready().saturating_sub(used).min(AHEAD / 2)
        })
    }
}

impl Journal {
    /// Whether the tail is mapped where it can be.
    pub(super) fn is_mapped(&self) -> bool {
        self.options.mapped && self.keys.is_none()
    }

    /// Maps the tail, if it is to be mapped and is not yet.
    pub(super) fn map_tail(&self, tail: &mut Tail) {
        let wanted = self.is_mapped() && tail.window.is_none();
        // Where it cannot be mapped it is written to.
        if wanted && tail.segment.file.map(tail.segment.length).is_ok_and(|mapped| mapped) {
            tail.window = tail.segment.file.window();
            (tail.ample, tail.asked) = (0, 0);
        }
    }

    /// Maps a segment that is prepared, and gets it ready: it has its size because it is filled in a moment.
    pub(super) fn map_early(&self, segment: &Segment) {
        if self.is_mapped() && segment.file.map(segment.length).is_ok_and(|mapped| mapped) {
            for from in (0..segment.length).step_by(AHEAD as usize) {
                // What is not ready now is asked for again.
                if segment.file.populate(from, segment.length.min(from + AHEAD)).is_err() {
                    break;
                }
            }
        }
    }

    /// Fills a file that only has its length with zeros, unsynced: pages that come into the cache in large pieces
    /// are made ready at a third of the cost.
    pub(super) fn warm(&self, name: &str, length: u64) -> io::Result<()> {
        let file = self.disk.open(name, true)?;
        let zeros = vec![0; STEP.min(length) as usize];
        for at in (0..length).step_by(zeros.len().max(1)) {
            let rest = zeros.len().min((length - at) as usize);
            file.write_at(&zeros[..rest], at)?;
        }
        Ok(())
    }

    /// Sees to it that the next `bytes` bytes can be stored, and asks for more in good time.
    pub(super) fn keep_ahead(&self, tail: &mut Tail, bytes: usize) {
        let Some(window) = &tail.window else { return };
        let (at, length) = (tail.segment.at(tail.end), tail.segment.length);
        let need = at + bytes as u64;
        if need > window.ready() {
            let to = (need + STEP).min(length);
            if tail.segment.file.populate(at.max(window.ready()), to).is_err() {
                tail.window = None;
                return;
            }
        }
        if at >= tail.asked {
            tail.asked = at + AHEAD / 2;
            self.ask_ahead();
        }
    }

    /// Gets the tail ready some way ahead, and folds the chain over what was stored since the last time.
    pub(super) fn get_ready(&self) {
        let (file, at, length) = {
            let tail = self.tail.lock();
            if tail.window.is_none() {
                return;
            }
            let segment = &tail.segment;
            (segment.file.clone(), segment.at(tail.end), segment.length)
        };
        // Who finds nothing ready tries it again, and does without.
        let _ = file.populate(at, length.min(at + AHEAD));
        // A failure poisons the journal, and is told where somebody commits.
        let _ = self.flush(Take::Nothing);
    }

    /// Everything appended so far.
    pub(super) fn all_of(&self, tail: &Tail) -> Appended {
        let (end, group) = (tail.end, tail.taken + 1);
        Appended { sequence: tail.next - 1, end, group, reach: self.reach(tail) }
    }

    /// How far the bytes came that were just appended.
    #[inline]
    pub(super) fn reach(&self, tail: &Tail) -> Reach {
        if tail.window.is_none() {
            return Reach::Memory;
        }
        let all = self.gate.flushed.load(Ordering::Acquire) == tail.waits;
        if all { Reach::File } else { Reach::Window }
    }

    /// Ends appending: nothing is stored any more.
    pub(super) fn end_tail(&self) {
        let mut tail = self.tail.lock();
        tail.closed = true;
        (tail.window, tail.ample) = (None, 0);
    }
}

impl Writer {
    /// Folds the chain over frames that were stored between these journal offsets, which ends what is done to them in the
    /// mapping.
    pub(super) fn fold_stored(&mut self, segment: &Segment, from: u64, to: u64) -> io::Result<()> {
        let (mut at, mut size) = (from, READ);
        while at < to {
            self.back.resize(size.min((to - at) as usize), 0);
            let read = segment.file.read_at(&mut self.back, segment.at(at))?;
            let back = &self.back[..read];
            let folded = self.chain.fold_whole(back);
            at += folded as u64;
            if folded > 0 {
                continue;
            }
            // One frame that is larger than what was read; or it is not what was stored.
            let whole = back.get(..4).map_or(0, |four| frame_bytes(u32_at(four, 0) as usize));
            if whole <= size || whole as u64 > to - at {
                let text = "what was stored was changed by somebody else";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            size = whole;
        }
        if size > READ {
            self.back = Vec::new();
        }
        segment.file.retire(segment.at(to));
        Ok(())
    }
}
