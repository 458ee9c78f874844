//! The horizon: how far others may see.
//!
//! What consumers and targets are given, what an upstream sender is told and what is said of a token lies below it. It is
//! the durable horizon, so what was seen is never lost. In a journal that *shows early* it is what was handed to the
//! files: that survives `kill -9` and not a power cut. The life in force says so first, durably; an open that may
//! lack what was shown then begins another epoch, so a position has one meaning also here.
//!
//! Promises: it lies between two transactions, never below what is durable, and never goes back while the journal is
//! open. Without that option it is what is durable. What a power cut must not take (segments that are given back, state
//! runs, copies, the commits of level `power`) goes by the durable horizon in either case.

use super::Journal;
use super::tail::Appended;
use crate::error::Result;
use crate::sync::Ordering;

impl Journal {
    /// Whether others see what is published and not durable yet. Where the life in force could not say so, they wait.
    #[inline]
    pub(super) fn shows_early(&self) -> bool {
        self.options.shows_early && self.is_early()
    }

    /// Whether a life that says "positions are handed out early" is wanted for every append.
    #[inline]
    pub fn wants_early(&self) -> bool {
        self.options.shows_early
    }

    /// The horizon as a journal offset, without a lock.
    pub fn shown_offset(&self) -> u64 {
        self.gate.shown.load(Ordering::Acquire)
    }

    /// Sequence of the last transaction that may be seen.
    pub fn shown_sequence(&self) -> u64 {
        self.gate.shown_sequence.load(Ordering::Acquire)
    }

    /// Lets everything appended so far be seen: makes it durable, or hands it to the files where that is enough. Fails as
    /// [`Journal::commit_all`] does.
    pub fn show_all(&self) -> Result<()> {
        if !self.shows_early() {
            return self.commit_all();
        }
        let at = {
            let tail = self.tail.lock();
            self.all_of(&tail)
        };
        self.publish(&at).map_err(|error| self.of_others(error))
    }

    /// Leads for those who cannot wait themselves: makes durable what somebody waits for, and lets the rest be seen.
    pub fn lead_for_others(&self) -> Result<()> {
        if self.waiting() > 0 && self.appended() > self.durable_offset() {
            return self.commit_all();
        }
        if self.seen().is_behind() { self.show_all() } else { Ok(()) }
    }

    /// All up to the end of this transaction was handed to the files.
    #[inline]
    pub(super) fn published(&self, at: &Appended) {
        if self.shows_early() {
            self.raise(at.end, at.sequence);
        }
    }

    /// Moves the horizon.
    #[inline]
    pub(super) fn raise(&self, offset: u64, sequence: u64) {
        // Who knows the sequence finds its bytes below the offset.
        self.gate.shown.fetch_max(offset, Ordering::AcqRel);
        self.gate.shown_sequence.fetch_max(sequence, Ordering::AcqRel);
    }
}
