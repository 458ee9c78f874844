//! A look at all queues as they were at one moment; nobody is slowed and nothing is consumed.
//!
//! Promises: what a snapshot shows does not change while it is open; the segments it may show are kept.

use super::remote::{RemoteSnapshot, RemoteStore};
use super::store::{Inner, Store};
use crate::error::{Code, Error, Result};
use crate::journal::Cursor;
use crate::limits;
use crate::queue::{Queue, Received, consumed, visible};
use crate::store::QueueState;
use std::collections::HashMap;
use std::sync::Arc;

/// An open snapshot. Dropping it lets the segments go.
///
/// At a server it goes with the connection: a browse after that fails with CLOSED, and so does one of a snapshot that
/// nobody looked at for ten minutes.
pub struct Snapshot {
    home: Home,
}

enum Home {
    Local(Moment),
    Remote(RemoteSnapshot),
}

/// A store of this process as it was.
struct Moment {
    inner: Arc<Inner>,
    pin: u64,
    horizon: u64,
    now_ms: u64,
    queues: HashMap<u32, QueueState>,
}

impl Snapshot {
    pub(super) fn open(inner: &Arc<Inner>) -> Result<Snapshot> {
        Ok(Snapshot { home: Home::Local(Moment::now(inner, |_| true)?) })
    }

    /// The same of this queue alone, whatever others there are; of a store of this process.
    pub(crate) fn of_queue(store: &Store, queue: Queue) -> Result<Snapshot> {
        let moment = Moment::now(store.inner()?, |number| number == queue.number())?;
        Ok(Snapshot { home: Home::Local(moment) })
    }

    pub(super) fn open_remote(store: &Arc<RemoteStore>) -> Result<Snapshot> {
        Ok(Snapshot { home: Home::Remote(RemoteSnapshot::open(store.line())?) })
    }

    /// At most `max` messages of a queue from this sequence on, in order: what is neither expired nor purged
    /// nor acknowledged by every consumer. The next call goes on behind the last sequence returned.
    pub fn browse(&self, queue: Queue, from: u64, max: usize) -> Result<Vec<Received>> {
        match &self.home {
            Home::Local(moment) => moment.browse(queue, from, max),
            Home::Remote(snapshot) => snapshot.browse(queue, from, max),
        }
    }

    /// What a queue was called then; of a store of this process.
    pub(crate) fn queue_name(&self, queue: Queue) -> Result<&str> {
        match &self.home {
            Home::Local(moment) => moment.queue(queue).map(|of| of.name.as_str()),
            Home::Remote(_) => Err(Error::new(Code::Unsupported, "a server keeps the names")),
        }
    }
}

impl Moment {
    /// Keeps those queues whose numbers are wanted.
    fn now(inner: &Arc<Inner>, wanted: impl Fn(u32) -> bool) -> Result<Moment> {
        inner.check()?;
        let core = &inner.core;
        let pin = core.journal().pin(core.journal().oldest_segment());
        let horizon = core.journal().shown_offset();
        let queues = core.look(|state| {
            let wanted = state.queues().filter(|(number, _)| wanted(*number));
            wanted.map(|(number, queue)| (number, queue.clone())).collect()
        });
        let now_ms = core.journal().disk().now_ms();
        Ok(Moment { inner: inner.clone(), pin, horizon, now_ms, queues })
    }

    fn queue(&self, queue: Queue) -> Result<&QueueState> {
        self.queues.get(&queue.number()).ok_or_else(|| {
            let text = format!("there is no queue {} in this snapshot", queue.number());
            Error::new(Code::NoSuchName, text)
        })
    }

    fn browse(&self, queue: Queue, from: u64, max: usize) -> Result<Vec<Received>> {
        self.inner.check()?;
        let of = self.queue(queue)?;
        let max = max.clamp(1, limits::RECEIVE_MESSAGES_MAX);
        let mut cursor = Cursor::new(queue.number(), from.max(1));
        let (mut out, mut bytes) = (Vec::new(), 0);
        while out.len() < max && bytes < limits::RECEIVE_BYTES_MAX {
            let mut found = Vec::new();
            let room = limits::RECEIVE_BYTES_MAX - bytes;
            let journal = self.inner.core.journal();
            journal.read(&mut cursor, self.horizon, max - out.len(), room, &mut found)?;
            if found.is_empty() {
                break;
            }
            for found in found {
                let gone = consumed(of, found.head.sequence);
                if visible(&found, of, self.now_ms) && !gone {
                    // What is gone takes no room: a long stretch of it must not look like the end.
                    bytes += found.body.len();
                    out.push(Received::new(found, 1)?);
                }
            }
        }
        Ok(out)
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        self.inner.core.journal().unpin(self.pin);
    }
}
