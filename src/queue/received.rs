//! A message read back: its bytes in a buffer shared with its neighbours.

use crate::error::{Code, Error, Result};
use crate::journal::{Body, Found, headers};
use crate::store::QueueState;
use std::fmt;

use super::Queue;
use super::lanes::Waiting;

/// A message read back. Cloning is cheap: the bytes are shared and live as long as any clone.
#[derive(Clone)]
pub struct Received {
    found: Found,
    deliveries: u32,
    priority: u8,
    /// The hash of its key for the readers that gave it out; 0 where that is not asked for.
    key_hash: u64,
}

impl Received {
    /// Takes a frame whose sums held.
    pub fn new(found: Found, deliveries: u32) -> Result<Received> {
        let Some(body) = Body::decode(&found.buffer[found.body.clone()]) else {
            let text = format!("message {} cannot be taken apart", found.head.sequence);
            return Err(Error::new(Code::Corrupt, text));
        };
        let priority = body.front.priority;
        Ok(Received { found, deliveries, priority, key_hash: 0 })
    }

    /// The same that waited in this way.
    pub(super) fn waited(found: Found, deliveries: u32, one: Waiting) -> Result<Received> {
        if one.key == 0 {
            return Received::new(found, deliveries);
        }
        // Whoever knows its key has taken it apart.
        Ok(Received { found, deliveries, priority: one.lane, key_hash: one.key })
    }

    /// As what it comes again.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting { sequence: self.sequence(), key: self.key_hash, lane: self.priority }
    }

    /// The same of another queue, where the answer of a server did not name it.
    pub fn of_queue(mut self, queue: Queue) -> Received {
        self.found.head.queue = queue.number();
        self
    }

    fn body(&self) -> Body<'_> {
        // What `new` accepted is decoded the same way again.
        Body::decode(&self.found.buffer[self.found.body.clone()]).unwrap_or_default()
    }

    /// The application's request id, 0 = none.
    pub fn kind(&self) -> u16 {
        self.body().front.kind
    }

    /// The key, empty = none.
    pub fn key(&self) -> &[u8] {
        self.body().key
    }

    /// The headers, in the order they were given.
    pub fn headers(&self) -> Headers<'_> {
        Headers(self.body().headers)
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.body().payload
    }

    /// When it loses its worth, in milliseconds since 1970 UTC; 0 = never.
    pub fn expires_ms(&self) -> u64 {
        self.body().front.expires_ms
    }

    /// Not received earlier, in milliseconds since 1970 UTC; 0 = at once.
    pub fn deliver_at_ms(&self) -> u64 {
        self.body().front.deliver_at_ms
    }

    /// 0 to 9.
    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// Who made it, "" = nobody said.
    pub fn producer(&self) -> &str {
        std::str::from_utf8(self.body().front.producer).unwrap_or("")
    }

    /// The producer's number of it, 0 without a producer.
    pub fn producer_sequence(&self) -> u64 {
        self.body().front.producer_sequence
    }

    /// The queue it lies in.
    pub fn queue(&self) -> Queue {
        Queue::from_number(self.found.head.queue)
    }

    /// Its place in its queue: from 1, without gaps, in the order of commits, kept for ever.
    pub fn sequence(&self) -> u64 {
        self.found.head.sequence
    }

    /// The sequence of the transaction that brought it into this store.
    pub fn transaction(&self) -> u64 {
        self.found.head.transaction
    }

    /// Its place among the records of that transaction; 0 where a server does not say.
    pub fn index(&self) -> u32 {
        self.found.head.index
    }

    /// How often this consumer was given it, this time included. What was given out once to an exclusive consumer that
    /// keeps no count is 1 again after a reopen; from the second time on it is kept.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// When it was committed here, in milliseconds since 1970 UTC.
    pub fn committed_ms(&self) -> u64 {
        self.found.head.time_ms
    }

    /// The bytes of its body as they are stored and sent, and their sum.
    pub fn stored(&self) -> (&[u8], u32) {
        (&self.found.buffer[self.found.body.clone()], self.found.head.body_sum)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queue, sequence) = (self.found.head.queue, self.found.head.sequence);
        write!(out, "message {sequence} of queue {queue}, {} bytes", self.payload().len())
    }
}

/// The headers of a message, one by one.
#[derive(Clone, Debug)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = headers(self.0).next()?;
        self.0 = &self.0[3 + name.len() + value.len()..];
        Some((std::str::from_utf8(name).unwrap_or(""), value))
    }
}

/// Whether a message may still be shown: neither purged nor expired.
pub fn visible(found: &Found, queue: &QueueState, now_ms: u64) -> bool {
    let expires = crate::journal::expires_of(&found.buffer[found.body.clone()]);
    found.head.sequence > queue.purged && (expires == 0 || expires > now_ms)
}
