//! The public face of a durable reader of a queue.

use super::port::Port;
use super::store::Inner;
use crate::error::{Code, Error, Result};
use crate::queue::{From, Queue, Reader, Received, Rules};
use crate::store::{Commit, Level};
use std::sync::Arc;
use std::time::Duration;

/// How a consumer is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsumerOptions {
    /// Where it begins when it is made; where it stands otherwise.
    pub from: From,
    /// The level of [`Consumer::ack`]; the store's when `None`. With `process` an acknowledgement rides with
    /// the next sync, and a power cut before it delivers the messages again.
    pub ack_level: Option<Level>,
    /// How its messages are given out.
    pub rules: Rules,
}

/// An open consumer: messages in order, each until it is acknowledged. Usable from several threads.
///
/// With [`Rules::shared`] several may be open under one name; each message goes to one of them.
pub struct Consumer {
    reader: Arc<Reader>,
    inner: Arc<Inner>,
    level: Level,
}

impl Consumer {
    pub(super) fn open(
        inner: &Arc<Inner>,
        name: &str,
        queue: Queue,
        options: &ConsumerOptions,
    ) -> Result<Consumer> {
        inner.check_writable()?;
        let reader = Reader::open(&inner.core, queue.number(), name, options.from, options.rules)?;
        let level = options.ack_level.unwrap_or(inner.core.level());
        Ok(Consumer { reader: Arc::new(reader), inner: inner.clone(), level })
    }

    pub(super) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.reader.name()
    }

    /// Its queue.
    pub fn queue(&self) -> Queue {
        Queue::from_number(self.reader.queue())
    }

    /// At most `max` messages, waiting at most `wait` for the first; none when the time is over.
    ///
    /// Fails with PAUSED, with NO_SUCH_NAME when the queue or the consumer was deleted, CLOSED after a close,
    /// CORRUPT with the range when stored bytes are damaged.
    pub fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>> {
        self.reader.receive(max, wait)
    }

    /// Ends on the port under this tag once a receive may give something, or would fail, and with that error;
    /// its token is empty. Nothing is received by it.
    pub fn watch(&self, port: &Port, tag: u64) -> Result<()> {
        super::place::watch_reader(&self.inner.core, &self.reader, port, tag)
    }

    /// Acknowledges messages, in any order, as a transaction of its own.
    pub fn ack(&self, sequences: &[u64]) -> Result<Commit> {
        self.inner.check_writable()?;
        if sequences.is_empty() {
            return Err(Error::new(Code::Invalid, "no message was named to acknowledge"));
        }
        self.reader.ack(sequences, self.level)
    }

    /// Gives messages back: they come again, in order, before newer ones, at once or as `retry_delay_ms` says.
    ///
    /// Fails with STALE where messages have leases and one is not this handle's any more.
    pub fn reject(&self, sequences: &[u64]) -> Result<()> {
        self.inner.check_writable()?;
        self.reader.reject(sequences, None, "")
    }

    /// The same for a reason, and after so many milliseconds, which outlast a reopen; `None` as `retry_delay_ms` says. The
    /// reason is kept in the dead letter, where the message becomes one.
    pub fn reject_with(
        &self,
        sequences: &[u64],
        delay_ms: Option<u64>,
        reason: &str,
    ) -> Result<()> {
        self.inner.check_writable()?;
        self.reader.reject(sequences, delay_ms, reason)
    }

    /// Keeps messages for another `lease_ms` from now on.
    ///
    /// Fails with STALE for one whose time was over, INVALID without `lease_ms`.
    pub fn renew(&self, sequences: &[u64]) -> Result<()> {
        self.inner.check_writable()?;
        self.reader.renew(sequences)
    }

    /// Goes on with this sequence: all before counts as acknowledged, nothing from it on.
    pub fn seek(&self, sequence: u64) -> Result<Commit> {
        self.inner.check_writable()?;
        self.reader.seek(sequence)
    }

    /// Ends the use; who waits in a receive gets CLOSED. What was not acknowledged comes again.
    pub fn close(&self) {
        self.reader.close();
    }
}
