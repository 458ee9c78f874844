//! Messages of another store on their way into this one.
//!
//! Promises: all of an import is one transaction, there as a whole or not at all, however large it is and wherever it is
//! stopped; what is too much for memory is staged on the disk on its way.

use super::store::Inner;
use crate::error::{Code, Error, Result};
use crate::journal::{Front, Staging, whole};
use crate::limits;
use crate::queue::{Message, Queue};
use crate::store::{Commit, Entry};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A transaction of messages from another store, see [`Store::importing`](crate::Store::importing). Dropping it leaves
/// nothing behind.
pub struct Importing {
    inner: Arc<Inner>,
    bodies: Vec<u8>,
    puts: Vec<(u32, Range<usize>, u32)>,
    /// What was put before, once that was too much for memory.
    staging: Option<Box<Staging>>,
    /// The last sequence of each producer in it.
    producers: BTreeMap<Vec<u8>, u64>,
    messages: u64,
}

impl Importing {
    pub(super) fn begin(inner: &Arc<Inner>) -> Importing {
        Importing {
            inner: inner.clone(),
            bodies: Vec::new(),
            puts: Vec::new(),
            staging: None,
            producers: BTreeMap::new(),
            messages: 0,
        }
    }

    /// Messages in it, without those that were left out.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Adds a message; false where it is left out, since its producer's sequence, or a higher one, is here already.
    ///
    /// Fails with OUT_OF_ORDER where the sequence of its producer does not rise within the transaction; with NO_SPACE, IO
    /// and such where it has to be staged and cannot be, and then nothing of the transaction can be committed.
    pub fn put(&mut self, queue: Queue, message: &Message<'_>) -> Result<bool> {
        self.inner.check_writable()?;
        self.inner.core.look(|state| state.queue(queue.number()).map(|_| ()))?;
        let start = self.bodies.len();
        let sum = message.append_to(&mut self.bodies)?;
        let admitted = self.admit(start);
        if !admitted.as_ref().is_ok_and(|fresh| *fresh) {
            self.bodies.truncate(start);
            return admitted;
        }
        self.puts.push((queue.number(), start..self.bodies.len(), sum));
        self.messages += 1;
        let bytes = self.bodies.len() + self.puts.len() * limits::RECORD_BYTES;
        if bytes > self.inner.core.memory_bytes() && self.puts.len() > 1 {
            self.spill()?;
        }
        Ok(true)
    }

    /// Whether the message whose body begins at `start` belongs to it, and is not here already.
    fn admit(&mut self, start: usize) -> Result<bool> {
        let front = Front::decode(&self.bodies[start..]).unwrap_or_default();
        if front.producer.is_empty() {
            return Ok(true);
        }
        let (producer, sequence) = (front.producer, front.producer_sequence);
        if let Some(last) = self.producers.get_mut(producer) {
            if *last < sequence {
                *last = sequence;
                return Ok(true);
            }
            let name = String::from_utf8_lossy(producer);
            let text =
                format!("the sequence of producer {name:?} goes back from {last} to {sequence}");
            return Err(Error::new(Code::OutOfOrder, text));
        }
        if self.inner.core.is_imported(&front)? {
            return Ok(false);
        }
        self.producers.insert(producer.to_vec(), sequence);
        Ok(true)
    }

    /// Commits all of it, at the store's level.
    pub fn commit(mut self) -> Result<Commit> {
        if self.staging.is_some() {
            self.spill()?;
        }
        let core = self.inner.core.clone();
        let staged = match &mut self.staging {
            Some(staging) => core.import_staged(staging)?,
            None => core.import(&self.entries())?,
        };
        core.finish(&staged)
    }

    fn entries(&self) -> Vec<Entry<'_>> {
        let entry = |(queue, body, sum): &(u32, Range<usize>, u32)| {
            let body = &self.bodies[body.clone()];
            let front = Front::decode(body).unwrap_or_default();
            Entry { queue: *queue, parts: whole(body), sum: *sum, front }
        };
        self.puts.iter().map(entry).collect()
    }

    /// Moves what gathered in memory to staged files.
    fn spill(&mut self) -> Result<()> {
        let core = self.inner.core.clone();
        let mut staging = self.staging.take().unwrap_or_else(|| Box::new(core.staging()));
        let put = core.put_staged(&mut staging, &self.entries(), true);
        // After a failure it stays as it is, and refuses to be committed.
        self.staging = Some(staging);
        put?;
        self.puts.clear();
        self.bodies.clear();
        Ok(())
    }
}
