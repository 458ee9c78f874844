//! The public face of a durable reader of a queue.

use super::port::Port;
use super::remote::{RemoteConsumer, RemoteStore};
use super::store::Inner;
use crate::disk::{Disk, RealDisk};
use crate::error::{Code, Error, Result};
use crate::queue::{From, Queue, Reader, Received, Return, Rules};
use crate::store::{Commit, Level, Staged};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
///
/// At a server, what it has goes back to its queue as soon as the connection is lost, whatever is left of a lease: an
/// acknowledgement of it is STALE then, where messages have leases. The next call opens the consumer anew.
pub struct Consumer {
    home: Home,
}

enum Home {
    Local { reader: Arc<Reader>, inner: Arc<Inner>, level: Level },
    Remote(RemoteConsumer),
}

impl Consumer {
    pub(super) fn open(
        inner: &Arc<Inner>,
        name: &str,
        queue: Queue,
        options: &ConsumerOptions,
    ) -> Result<Consumer> {
        inner.check_writable()?;
        let number = queue.number();
        let reader = Reader::open(&inner.core, number, name, options.from, options.rules)?;
        let reader = Arc::new(reader);
        let level = options.ack_level.unwrap_or(inner.core.level());
        Ok(Consumer { home: Home::Local { reader, inner: inner.clone(), level } })
    }

    pub(super) fn open_remote(
        store: &Arc<RemoteStore>,
        name: &str,
        queue: Queue,
        options: &ConsumerOptions,
    ) -> Result<Consumer> {
        let consumer = RemoteConsumer::open(store.line(), name, queue, options)?;
        Ok(Consumer { home: Home::Remote(consumer) })
    }

    /// The reader, where the store is a directory.
    pub(super) fn reader(&self) -> Option<&Arc<Reader>> {
        match &self.home {
            Home::Local { reader, .. } => Some(reader),
            Home::Remote(_) => None,
        }
    }

    /// The consumer at a server.
    pub(super) fn remote(&self) -> Option<&RemoteConsumer> {
        match &self.home {
            Home::Local { .. } => None,
            Home::Remote(consumer) => Some(consumer),
        }
    }

    /// The reader, and the level of acknowledgements; for what only a store in a directory can do.
    fn local(&self) -> Result<(&Arc<Reader>, Level)> {
        match &self.home {
            Home::Local { reader, inner, level } => {
                inner.check_writable()?;
                Ok((reader, *level))
            }
            Home::Remote(consumer) => {
                let text = format!("consumer {:?} is at a server", consumer.name());
                Err(Error::new(Code::Unsupported, text))
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match &self.home {
            Home::Local { reader, .. } => reader.name(),
            Home::Remote(consumer) => consumer.name(),
        }
    }

    /// Its queue.
    pub fn queue(&self) -> Queue {
        match &self.home {
            Home::Local { reader, .. } => Queue::from_number(reader.queue()),
            Home::Remote(consumer) => consumer.queue(),
        }
    }

    /// At most `max` messages, waiting at most `wait` for the first; none when the time is over.
    ///
    /// Fails with PAUSED, with NO_SUCH_NAME when the queue or the consumer was deleted, CLOSED after a close,
    /// CORRUPT with the range when stored bytes are damaged.
    pub fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>> {
        match &self.home {
            Home::Local { reader, .. } => reader.receive(max, wait),
            Home::Remote(consumer) => consumer.receive(max, wait),
        }
    }

    /// Whether a receive may give something now. Fails as a receive would.
    pub(crate) fn is_ready(&self) -> Result<bool> {
        self.local()?.0.is_ready()
    }

    /// Whether something appended has to be shown before it can be given what it waits for.
    pub(crate) fn waits_for_horizon(&self) -> bool {
        self.reader().is_some_and(|reader| reader.waits_for_horizon())
    }

    /// When a message may come by itself, because a time is over.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        self.reader()?.next_time()
    }

    /// The clock of its store, or the one of this machine.
    pub(super) fn now_ms(&self) -> u64 {
        match &self.home {
            Home::Local { reader, .. } => reader.now_ms(),
            Home::Remote(_) => RealDisk::new("").now_ms(),
        }
    }

    /// Ends on the port under this tag once a receive may give something, or would fail, and with that error;
    /// its token is empty. Nothing is received by it.
    pub fn watch(&self, port: &Port, tag: u64) -> Result<()> {
        match &self.home {
            Home::Local { reader, inner, .. } => {
                super::place::watch_reader(&inner.core, reader, port, tag)
            }
            Home::Remote(consumer) => consumer.watch(port, tag),
        }
    }

    /// Acknowledges messages, in any order, as a transaction of its own.
    ///
    /// Fails with STALE where messages have leases and one is not this handle's any more; nothing is acknowledged then. At
    /// a server, OUTCOME_UNKNOWN when the answer was lost with the connection and their leases with it: they are
    /// acknowledged, or come again.
    pub fn ack(&self, sequences: &[u64]) -> Result<Commit> {
        match &self.home {
            Home::Remote(consumer) => consumer.ack(sequences),
            Home::Local { inner, level, reader } => {
                inner.check_writable()?;
                check_named(sequences)?;
                reader.ack(sequences, *level)
            }
        }
    }

    /// The same up to the wait for the level.
    pub(crate) fn ack_staged(&self, sequences: &[u64]) -> Result<Staged> {
        let (reader, level) = self.local()?;
        check_named(sequences)?;
        reader.ack_staged(sequences, level)
    }

    /// Gives messages back: they come again, in order, before newer ones, at once or as `retry_delay_ms` says.
    ///
    /// Fails with STALE where messages have leases and one is not this handle's any more.
    pub fn reject(&self, sequences: &[u64]) -> Result<()> {
        self.reject_with(sequences, None, "")
    }

    /// The same for a reason, and after so many milliseconds, which outlast a reopen; `None` as `retry_delay_ms` says. The
    /// reason is kept in the dead letter, where the message becomes one.
    pub fn reject_with(
        &self,
        sequences: &[u64],
        delay_ms: Option<u64>,
        reason: &str,
    ) -> Result<()> {
        self.give_back(sequences, Return { delay_ms, reason, to_end: false })
    }

    /// The same, but they come behind all that is in the queue now, in the order in which they are named, and not before
    /// newer ones: with keys, those behind it of its key go on. Their place there outlasts a reopen.
    ///
    /// What was given out for the last time is a dead letter all the same. Fails with INVALID for a consumer that conflates.
    pub fn reject_to_end(
        &self,
        sequences: &[u64],
        delay_ms: Option<u64>,
        reason: &str,
    ) -> Result<()> {
        self.give_back(sequences, Return { delay_ms, reason, to_end: true })
    }

    pub(crate) fn give_back(&self, sequences: &[u64], how: Return<'_>) -> Result<()> {
        match &self.home {
            Home::Remote(consumer) => consumer.reject(sequences, how),
            Home::Local { inner, reader, .. } => {
                inner.check_writable()?;
                reader.reject(sequences, how)
            }
        }
    }

    /// Keeps messages for another `lease_ms` from now on.
    ///
    /// Fails with STALE for one whose time was over, INVALID without `lease_ms`.
    pub fn renew(&self, sequences: &[u64]) -> Result<()> {
        match &self.home {
            Home::Remote(consumer) => consumer.renew(sequences),
            Home::Local { inner, reader, .. } => {
                inner.check_writable()?;
                reader.renew(sequences)
            }
        }
    }

    /// Goes on with this sequence: all before counts as acknowledged, nothing from it on.
    pub fn seek(&self, sequence: u64) -> Result<Commit> {
        match &self.home {
            Home::Remote(consumer) => consumer.seek(sequence),
            Home::Local { inner, reader, .. } => {
                inner.check_writable()?;
                reader.seek(sequence)
            }
        }
    }

    /// Ends the use; who waits in a receive gets CLOSED. What was not acknowledged comes again.
    pub fn close(&self) {
        match &self.home {
            Home::Local { reader, .. } => reader.close(),
            Home::Remote(consumer) => consumer.close(),
        }
    }
}

fn check_named(sequences: &[u64]) -> Result<()> {
    match sequences.is_empty() {
        false => Ok(()),
        true => Err(Error::new(Code::Invalid, "no message was named to acknowledge")),
    }
}
