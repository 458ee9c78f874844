//! The transaction in a store of this process: puts and receives, then commit or roll back; the next one begins by
//! itself.
//!
//! Promises: nothing of a transaction is visible before its commit, and all of it after. Dropping a session
//! rolls back. What is refused before it was staged leaves the transaction as it was. Received messages are
//! acknowledged by the commit, and after a roll back come again, in order, before newer ones.
//!
//! What is put gathers in memory up to a bound, and beyond it in staged files of the session's own. When those
//! cannot be written, or the transaction is larger than its session allows, it can only be rolled back, and its commit does
//! that.

use super::consumer::Consumer;
use super::port::Port;
use super::store::Inner;
use super::transaction::SessionOptions;
use crate::error::{Code, Error, Result};
use crate::journal::{Front, Staging, Type, whole};
use crate::limits;
use crate::queue::{Message, Queue, Reader, Received};
use crate::store::{Commit, Entry, Identity, Level, OnFenced, Staged, TransactionId};
use std::borrow::Borrow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// An open session. One thread uses it at a time.
pub struct LocalSession {
    inner: Arc<Inner>,
    /// Bytes that may gather in memory.
    memory: usize,
    /// Bytes that may gather before anybody has to look: what is left of `memory` and of `bytes_max`.
    room: usize,
    /// Bytes a transaction may have.
    bytes_max: u64,
    /// Bytes of it that are in staged files.
    staged_bytes: u64,
    bodies: Vec<u8>,
    puts: Vec<(u32, Range<usize>, u32)>,
    /// What was put before, once that was too much for memory.
    staging: Option<Box<Staging>>,
    /// Why the transaction can only be rolled back.
    failed: Option<Error>,
    received: Vec<(Arc<Reader>, Vec<u64>)>,
    /// Who it is, where it is remembered.
    identity: Option<Box<Identity>>,
    /// Percent of all prepared transactions that may be of its user.
    prepared_share: u32,
    /// Whether commits were started of which nobody has heard here.
    unheard: bool,
}

impl LocalSession {
    pub(super) fn open(inner: &Arc<Inner>, options: &SessionOptions) -> Result<LocalSession> {
        let mut session = LocalSession::open_unnamed(inner)?;
        if options.bytes_max > 0 {
            session.bytes_max = options.bytes_max;
            session.measure();
        }
        if options.prepared_share > 0 {
            session.prepared_share = options.prepared_share;
        }
        let SessionOptions { name, takeover, user, resume, .. } = options;
        let identity = match resume {
            Some((session, epoch)) => inner.core.session_resume(user, *session, *epoch)?,
            None if name.is_empty() && user.is_empty() => return Ok(session),
            None => inner.core.session_open(user, name, *takeover)?,
        };
        session.identity = Some(Box::new(identity));
        Ok(session)
    }

    pub(super) fn open_unnamed(inner: &Arc<Inner>) -> Result<LocalSession> {
        inner.check()?;
        let inner = inner.clone();
        let (bodies, puts, received) = (Vec::new(), Vec::new(), Vec::new());
        let memory = inner.core.memory_bytes();
        Ok(LocalSession {
            inner,
            memory,
            room: memory,
            bytes_max: u64::MAX,
            staged_bytes: 0,
            bodies,
            puts,
            staging: None,
            failed: None,
            received,
            identity: None,
            prepared_share: 100,
            unheard: false,
        })
    }

    /// Stages a message. The bytes are copied.
    ///
    /// Fails with INVALID, UNSUPPORTED or TOO_LARGE for what the message is, NO_SUCH_NAME without such a queue;
    /// the transaction is then as it was. A queue that is deleted after the first put may be told by the commit. A
    /// transaction above 1 MiB is written to files as it grows; when that fails, with NO_SPACE or IO, the transaction
    /// can only be rolled back, and answers ROLLBACK_ONLY until it is; a commit rolls it back and says so, with the
    /// first cause. The same after QUOTA, for a transaction that has more than the session's `bytes_max`.
    pub fn put(&mut self, queue: Queue, message: &Message<'_>) -> Result<()> {
        self.check_queue(queue)?;
        self.stage(queue, message).map_err(|error| error.at_message(0))
    }

    /// Stages messages; all or none. A refusal names the index of the message.
    pub fn put_many(&mut self, queue: Queue, messages: &[Message<'_>]) -> Result<()> {
        self.put_each(queue, messages.iter())
    }

    /// The same for messages that are made as they are asked for, twice each: there is no list of them.
    pub fn put_each<'m, M: Borrow<Message<'m>>>(
        &mut self,
        queue: Queue,
        messages: impl Iterator<Item = M> + Clone,
    ) -> Result<()> {
        self.check_queue(queue)?;
        let (mut count, mut bytes) = (0, 0);
        for message in messages.clone() {
            (count, bytes) = (count + 1, bytes + message.borrow().bytes_max());
        }
        self.make_room(bytes)?;
        if count > 1 && bytes > self.memory {
            // What is in a file is not taken out again: everything is looked at before.
            for (index, message) in messages.clone().enumerate() {
                message.borrow().check().map_err(|error| error.at_message(index))?;
            }
        }
        self.bodies.reserve(bytes.min(self.memory));
        self.puts.reserve(count.min(self.memory / limits::RECORD_BYTES));
        let (bodies, puts) = (self.bodies.len(), self.puts.len());
        for (index, message) in messages.enumerate() {
            if let Err(error) = self.stage(queue, message.borrow()) {
                if self.failed.is_some() {
                    return Err(error.at_message(index));
                }
                self.bodies.truncate(bodies);
                self.puts.truncate(puts);
                return Err(error.at_message(index));
            }
        }
        Ok(())
    }

    /// Stages a message whose payload, of `length` bytes, `fill` writes straight into the transaction; its own
    /// must be empty. One copy less for bytes that may change while they are read.
    ///
    /// Fails as [`LocalSession::put`] does, and as `fill` does; the transaction is then as it was.
    pub fn put_filled<E: std::convert::From<Error>>(
        &mut self,
        queue: Queue,
        message: &Message<'_>,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if !message.payload.is_empty() {
            let text = "a payload is given beside the call that writes it";
            return Err(Error::new(Code::Invalid, text).into());
        }
        self.check_queue(queue)?;
        let start = self.bodies.len();
        let staged = message.append_filled(length, &mut self.bodies, fill).and_then(|sum| {
            Ok(self.add(queue, start, sum).map_err(|error| error.at_message(0))?)
        });
        if staged.is_err() && self.failed.is_none() {
            self.bodies.truncate(start);
        }
        staged
    }

    /// Whether anything may be put into this queue.
    fn check_queue(&self, queue: Queue) -> Result<()> {
        self.inner.check_writable()?;
        self.check_whole()?;
        // The commit looks again, so within a transaction the first of a run of puts does for all.
        if self.puts.last().is_some_and(|(last, ..)| *last == queue.number()) {
            return Ok(());
        }
        self.inner.core.look(|state| state.queue(queue.number()).map(|_| ()))
    }

    fn stage(&mut self, queue: Queue, message: &Message<'_>) -> Result<()> {
        let start = self.bodies.len();
        let sum = message.append_to(&mut self.bodies)?;
        self.add(queue, start, sum)
    }

    /// Adds the body from `start` on; what is too much for memory then, and is not one message, is staged.
    #[inline]
    fn add(&mut self, queue: Queue, start: usize, sum: u32) -> Result<()> {
        self.puts.push((queue.number(), start..self.bodies.len(), sum));
        self.make_room(0)
    }

    /// Makes sure that so many bytes more are not too much for memory, and that the transaction is not too large.
    #[inline]
    fn make_room(&mut self, more: usize) -> Result<()> {
        let bytes = self.bodies.len() + self.puts.len() * limits::RECORD_BYTES + more;
        if bytes <= self.room { Ok(()) } else { self.find_room(bytes, more) }
    }

    fn find_room(&mut self, bytes: usize, more: usize) -> Result<()> {
        let whole = self.staged_bytes + (bytes - more) as u64;
        if whole > self.bytes_max && !sabotage!("bytes of a transaction not bounded") {
            let error = Error::new(
                Code::Quota,
                format!(
                    "the transaction is larger than the {} bytes of its session",
                    self.bytes_max
                ),
            );
            self.failed = Some(error.clone());
            return Err(error);
        }
        if bytes <= self.memory || self.puts.len() + usize::from(more > 0) < 2 {
            return Ok(());
        }
        self.spill()
    }

    /// Finds out how much may gather before the next look.
    fn measure(&mut self) {
        let left = self.bytes_max.saturating_sub(self.staged_bytes);
        self.room = usize::try_from(left).unwrap_or(usize::MAX).min(self.memory);
    }

    /// Moves what gathered in memory to the session's staged files.
    fn spill(&mut self) -> Result<()> {
        let mut staging =
            self.staging.take().unwrap_or_else(|| Box::new(self.inner.core.staging()));
        let entries: Vec<Entry<'_>> = self.puts.iter().map(|put| self.entry(put)).collect();
        if let Err(error) = self.inner.core.put_staged(&mut staging, &entries, false) {
            self.failed = Some(error.clone());
            return Err(error);
        }
        self.staging = Some(staging);
        self.staged_bytes += (self.bodies.len() + self.puts.len() * limits::RECORD_BYTES) as u64;
        self.forget_memory();
        self.measure();
        Ok(())
    }

    /// Fails when the transaction can only be rolled back, or another owner took the session over.
    #[inline]
    fn check_whole(&self) -> Result<()> {
        self.check_owned()?;
        match &self.failed {
            None => Ok(()),
            Some(why) => {
                let what = "the transaction could not be staged and can only be rolled back";
                Err(Error::because(Code::RollbackOnly, what, why))
            }
        }
    }

    #[inline]
    fn check_owned(&self) -> Result<()> {
        self.identity.as_ref().map_or(Ok(()), |identity| identity.check())
    }

    /// The identity of the transaction that is open: what became of it is told by
    /// [`Store::resolve`](crate::Store::resolve), also after a crash, for 24 hours after the session's last use.
    ///
    /// A session without a name is remembered from the first call on, which is a small transaction of its own; its
    /// later commits write a line more.
    pub fn id(&mut self) -> Result<TransactionId> {
        self.inner.check_writable()?;
        self.check_owned()?;
        let known = match self.identity.take() {
            Some(known) => known,
            None => Box::new(self.inner.core.session_open("", "", false)?),
        };
        Ok(self.identity.insert(known).id)
    }

    /// The session, for another place; `None` where nobody remembers it, and it stays here.
    pub(super) fn move_remembered(&mut self) -> Option<LocalSession> {
        self.identity.as_ref()?;
        let nothing = LocalSession::open_unnamed(&self.inner).ok()?;
        Some(std::mem::replace(self, nothing))
    }

    /// Receives at most `max` messages, waiting at most `wait` for the first; the commit acknowledges them.
    pub fn receive(
        &mut self,
        from: &Consumer,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Received>> {
        self.inner.check_writable()?;
        self.check_whole()?;
        let reader = self.of_this_store(from)?;
        let messages = reader.receive(max, wait)?;
        self.note(reader, &messages);
        Ok(messages)
    }

    /// The same for all messages of the next transaction that has any.
    ///
    /// Fails with TOO_LARGE where these have more than 64 MiB: they are not lost, and come by
    /// [`LocalSession::receive`], piece by piece.
    pub fn receive_job(&mut self, from: &Consumer, wait: Duration) -> Result<Vec<Received>> {
        self.inner.check_writable()?;
        self.check_whole()?;
        let reader = self.of_this_store(from)?;
        let messages = reader.receive_job(wait)?;
        self.note(reader, &messages);
        Ok(messages)
    }

    fn of_this_store<'c>(&self, consumer: &'c Consumer) -> Result<&'c Arc<Reader>> {
        let reader = consumer.reader();
        if let Some(reader) = reader.filter(|reader| Arc::ptr_eq(reader.core(), &self.inner.core)) {
            return Ok(reader);
        }
        let name = consumer.name();
        let text = format!("consumer {name:?} belongs to another store than the session");
        Err(Error::new(Code::Invalid, text))
    }

    fn note(&mut self, reader: &Arc<Reader>, messages: &[Received]) {
        let sequences = messages.iter().map(Received::sequence);
        match self.received.iter_mut().find(|(known, _)| Arc::ptr_eq(known, reader)) {
            Some((_, known)) => known.extend(sequences),
            None => self.received.push((reader.clone(), sequences.collect())),
        }
    }

    /// Commits at the store's level and begins the next transaction.
    ///
    /// An error before anything was written (PAUSED, OUT_OF_ORDER, NO_SPACE …) leaves the transaction as it
    /// is, to be tried again or rolled back. STALE rolls it back: a message it received was given to somebody else since
    /// its lease was over. OUTCOME_UNKNOWN ends it: it is committed or not, as the next open
    /// finds.
    pub fn commit(&mut self) -> Result<Commit> {
        self.commit_at(self.inner.core.level())
    }

    /// The same at another level.
    pub fn commit_at(&mut self, level: Level) -> Result<Commit> {
        if let Some(identity) = self.identity.as_ref().filter(|_| !self.unheard) {
            identity.heard_all();
        }
        let staged = self.hand_over(level)?;
        self.inner.core.finish(&staged)
    }

    /// Commits without waiting; the port gets the outcome under this tag, and the next transaction begins.
    pub fn commit_start(&mut self, port: &Port, tag: u64) -> Result<()> {
        let started = port.start(&self.inner.core, tag)?;
        match self.hand_over(self.inner.core.level()) {
            Ok(staged) => {
                self.unheard = true;
                super::store::finish_later(&self.inner.core, staged, started, port);
                Ok(())
            }
            Err(error) => {
                started.forget();
                Err(error)
            }
        }
    }

    /// Goes on with this transaction where it comes later than the one that is open; for who numbers them himself.
    pub(crate) fn go_to(&mut self, number: u64) {
        if let Some(identity) = &mut self.identity {
            identity.go_to(number);
        }
    }

    /// Whether another owner took the session over.
    pub(crate) fn is_fenced(&self) -> bool {
        self.check_owned().is_err()
    }

    /// Calls `hook` when another owner took the session over, or now where one did.
    pub(crate) fn on_fenced(&self, hook: OnFenced) {
        if let Some(identity) = &self.identity {
            identity.on_fenced(hook);
        }
    }

    /// Nobody will ask what became of its transactions.
    pub(crate) fn forget_identity(&mut self) -> Result<()> {
        self.identity.take().map_or(Ok(()), |identity| identity.forget())
    }

    /// Prepares the transaction and begins the next one.
    pub fn prepare(&mut self, xid: &[u8]) -> Result<TransactionId> {
        self.inner.check_writable()?;
        self.check_owned()?;
        if let Some(why) = self.failed.clone() {
            // It needs no identity any more, which is a transaction of its own and may fail otherwise.
            self.rollback()?;
            return Err(Error::doomed(&why));
        }
        let id = self.id().map_err(unremembered)?;
        let staged = self.prepare_staged(&id, xid)?;
        self.inner.core.finish(&staged)?;
        Ok(id)
    }

    fn prepare_staged(&mut self, id: &TransactionId, xid: &[u8]) -> Result<Staged> {
        if !self.puts.is_empty() {
            self.spill()?;
        }
        self.settle_staged()?;
        let changes = self.note_received(Reader::hold)?;
        let core = self.inner.core.clone();
        let staged =
            core.prepare(id, xid, self.staging.as_deref_mut(), changes, self.prepared_share);
        for (reader, sequences) in &self.received {
            match &staged {
                Ok(_) => reader.held(sequences),
                Err(_) => reader.unsettled(sequences),
            }
        }
        self.went(staged)
    }

    /// Commits up to the wait for the level.
    pub(crate) fn hand_over(&mut self, level: Level) -> Result<Staged> {
        self.inner.check_writable()?;
        self.check_owned()?;
        if let Some(why) = self.failed.clone() {
            self.rollback()?;
            return Err(Error::doomed(&why));
        }
        let changes = self.note_received(Reader::acknowledge)?;
        let staged = match self.staging.is_some() {
            true => self.hand_over_staged(&changes, level),
            false => {
                let entries: Vec<Entry<'_>> = self.puts.iter().map(|put| self.entry(put)).collect();
                match &self.identity {
                    None => self.inner.core.transact(&entries, &changes, level),
                    Some(known) => {
                        self.inner.core.transact_as(&known.id, &entries, &changes, level)
                    }
                }
            }
        };
        for (reader, sequences) in &self.received {
            match &staged {
                Ok(staged) => reader.settled(sequences, staged.appended.as_ref()),
                Err(_) => reader.unsettled(sequences),
            }
        }
        self.went(staged)
    }

    /// Begins the next transaction where this one went, or is over.
    fn went(&mut self, staged: Result<Staged>) -> Result<Staged> {
        match &staged {
            Err(error) if is_over(error) => self.rollback()?,
            Err(_) => {}
            Ok(_) => {
                self.forget();
                self.next_number();
            }
        }
        staged
    }

    fn next_number(&mut self) {
        if let Some(identity) = &mut self.identity {
            identity.advance();
        }
    }

    /// The changes that acknowledge what was received, as `note` makes them. Where somebody else was given some of it
    /// meanwhile, the transaction is rolled back.
    fn note_received(
        &mut self,
        note: impl Fn(&Reader, &[u64]) -> Result<Vec<(Type, u32, Vec<u8>)>>,
    ) -> Result<Vec<(Type, u32, Vec<u8>)>> {
        let mut changes = Vec::with_capacity(self.received.len());
        for (at, (reader, sequences)) in self.received.iter().enumerate() {
            if sequences.is_empty() {
                continue;
            }
            match note(reader, sequences) {
                Ok(of) => changes.extend(of),
                Err(error) => {
                    let before = &self.received[..at];
                    before.iter().for_each(|(reader, sequences)| reader.unsettled(sequences));
                    if error.code() == Code::Stale {
                        self.rollback()?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(changes)
    }

    fn hand_over_staged(
        &mut self,
        changes: &[(Type, u32, Vec<u8>)],
        level: Level,
    ) -> Result<Staged> {
        if !self.puts.is_empty() {
            self.spill()?;
        }
        self.settle_staged()?;
        let Some(staging) = &mut self.staging else {
            return self.inner.core.transact(&[], changes, level);
        };
        match &self.identity {
            None => self.inner.core.transact_staged(staging, changes, level),
            Some(known) => self.inner.core.transact_staged_as(&known.id, staging, changes, level),
        }
    }

    /// Makes what was staged durable. Where that fails, what is there must not be adopted: the transaction can only be
    /// rolled back.
    fn settle_staged(&mut self) -> Result<()> {
        let Some(staging) = &mut self.staging else { return Ok(()) };
        let settled = staging.settle();
        if let Err(error) = &settled {
            self.failed = Some(error.clone());
        }
        settled
    }

    fn entry(&self, (queue, body, sum): &(u32, Range<usize>, u32)) -> Entry<'_> {
        let body = &self.bodies[body.clone()];
        let front = Front::decode(body).unwrap_or_default();
        Entry { queue: *queue, parts: whole(body), sum: *sum, front }
    }

    fn forget(&mut self) {
        self.forget_puts();
        self.received.clear();
    }

    fn forget_memory(&mut self) {
        self.puts.clear();
        self.bodies.clear();
        if self.bodies.capacity() > limits::RECEIVE_BYTES_MAX {
            self.bodies = Vec::new();
        }
    }

    /// Drops what was staged and gives back what was received; begins the next transaction.
    pub fn rollback(&mut self) -> Result<()> {
        if !self.is_empty() {
            self.next_number();
        }
        for (reader, sequences) in &self.received {
            reader.put_back(sequences);
        }
        self.forget();
        self.inner.check()
    }

    /// Drops what was staged and keeps what was received.
    pub(super) fn forget_puts(&mut self) {
        self.forget_memory();
        (self.staging, self.failed) = (None, None);
        if self.staged_bytes > 0 {
            self.staged_bytes = 0;
            self.measure();
        }
    }

    /// Forgets what was received: it is neither acknowledged nor given back, and comes again when its
    /// consumer is opened anew.
    pub(super) fn pass_over(&mut self) {
        self.forget();
    }

    /// Whether nothing was put or received since the last commit or roll back.
    pub fn is_empty(&self) -> bool {
        let put = !self.puts.is_empty() || self.staging.is_some() || self.failed.is_some();
        !put && self.received.is_empty()
    }
}

/// Why a transaction was not prepared whose session could not be remembered: where the outcome of that is unknown, it is
/// known that nothing of the transaction itself was written.
fn unremembered(error: Error) -> Error {
    if error.code() != Code::OutcomeUnknown {
        return error;
    }
    let what = "the transaction was not prepared, for its session could not be remembered";
    Error::because(error.cause(), what, &error).caused_by(error.cause())
}

/// Whether a refused commit ended its transaction.
fn is_over(error: &Error) -> bool {
    matches!(error.code(), Code::RolledBack | Code::Fenced)
}

impl Drop for LocalSession {
    fn drop(&mut self) {
        // Nobody is left to hear that the store was closed meanwhile.
        let _ = self.rollback();
    }
}
