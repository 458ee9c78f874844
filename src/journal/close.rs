//! The end of an open journal.
//!
//! Promises: what was appended is durable when a close returns without an error, and the journal then says of itself
//! that nothing follows; the directory is given free in any case, once nobody writes to it any more.

use super::Journal;
use super::format::CLEAN;
use crate::error::Result;

impl Journal {
    /// Ends appending: syncs what there is, says on disk that nothing follows, and gives the directory free,
    /// also when it fails.
    pub fn close(&self) -> Result<()> {
        let outcome = self.end_appending();
        self.end_tail();
        let stopped = self.stop_helper();
        self.close_staged();
        self.give_up_merge(&mut self.merging.lock());
        self.rest();
        self.lock.release();
        outcome.and(stopped)
    }

    fn end_appending(&self) -> Result<()> {
        {
            let tail = self.tail.lock();
            if tail.closed || tail.untouched {
                return Ok(());
            }
        }
        self.commit_all()?;
        self.stop_helper()?;
        let (durable, sequence) = self.durable();
        let marked = {
            let mut tail = self.tail.lock();
            let marked = tail.put_watermark(self.secret, durable, sequence, CLEAN);
            (tail.closed, tail.ample) = (true, 0);
            marked
        };
        if marked { self.commit_all() } else { Ok(()) }
    }
}
