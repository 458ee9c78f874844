//! Transactions that are staged at a server.
//!
//! Puts gather here up to a bound and go to the server without waiting for it; what it refuses dooms the transaction,
//! and the next call says so. A connection that is lost takes the open transaction with it. A commit whose answer does
//! not come is asked for by its identity as soon as there is a connection again, within the time of the call; behind
//! that it is OUTCOME_UNKNOWN.
//!
//! Promises: a commit is done once or not at all, whatever is lost on the way, and what it says is final; a message
//! that was not shown is not acknowledged.

use super::asker::{Lost, OnAnswer, OwnEncode};
use super::consumer::RemoteConsumer;
use super::interrupt;
use super::store::{Failure, Line, Reply, odd, reply, wait_ms};
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::queue::{Message, Queue, Received};
use crate::session::port::{Port, Started as Operation};
use crate::session::transaction::SessionOptions;
use crate::store::{Commit, Level, Outcome, TransactionId};
use crate::sync::Mutex;
use crate::wire::{STAGED_HEAD, SessionRequest, Undo, Which, begin_stage, put_staged};
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that gather before they are sent.
const GATHER_BYTES: usize = 64 << 10;
/// The pause between two tries to find out what became of a commit.
const PAUSE: Duration = Duration::from_millis(20);

/// A session at a server.
pub struct RemoteSession {
    line: Arc<Line>,
    options: SessionOptions,
    /// The life of the connection it is open in, and its number there.
    place: Option<(u64, u32)>,
    /// The identity of the transaction that is open; its session is zero before the first connection.
    id: TransactionId,
    /// Whether the server has, or gets, something of the transaction.
    sent: bool,
    /// Whether somebody knows the identity of the open transaction, so that it must not become another one.
    told: bool,
    gathered: Vec<u8>,
    count: u32,
    /// What the transaction has put so far.
    bytes: u64,
    failed: Option<Error>,
    /// What the server refused of what was sent without waiting.
    refused: Arc<Mutex<Option<Error>>>,
    /// Whether somebody may ask later what became of its transactions.
    known: bool,
    /// Commits that were started and of which nobody has heard.
    started: Started,
}

/// Commits that were started and of which nobody has heard.
type Started = Arc<Mutex<BTreeSet<TransactionId>>>;

impl RemoteSession {
    /// Opens a session.
    pub fn open(line: &Arc<Line>, options: &SessionOptions) -> Result<RemoteSession> {
        let mut session = RemoteSession {
            line: line.clone(),
            options: options.clone(),
            place: None,
            id: TransactionId { session: [0; 16], epoch: 0, number: 1 },
            sent: false,
            told: false,
            gathered: Vec::new(),
            count: 0,
            bytes: 0,
            failed: None,
            refused: Arc::default(),
            known: !options.name.is_empty(),
            started: Arc::default(),
        };
        session.connect(line.asker().until(Duration::ZERO))?;
        Ok(session)
    }

    /// The identity of the transaction that is open.
    pub fn id(&mut self) -> Result<TransactionId> {
        self.line.asker().check()?;
        // Of a transaction that has not begun another identity may be told than before.
        self.told &= !self.is_empty();
        self.connect(self.line.asker().until(Duration::ZERO))?;
        (self.known, self.told) = (true, true);
        Ok(self.id)
    }

    /// Where it is noted what the server refused of what the open transaction puts.
    pub fn refusal(&self) -> Arc<Mutex<Option<Error>>> {
        self.refused.clone()
    }

    /// Whether this session belongs to that store.
    pub fn is_of(&self, line: &Arc<Line>) -> bool {
        Arc::ptr_eq(&self.line, line)
    }

    /// Whether nothing was put or received since the last commit or roll back.
    pub fn is_empty(&self) -> bool {
        !self.sent && self.count == 0 && self.failed.is_none()
    }

    /// Makes sure that the session is open in the present life of the connection.
    fn connect(&mut self, until: Instant) -> Result<(u64, u32)> {
        if let Some((life, number)) = self.place {
            if life == self.line.asker().current_life() {
                return Ok((life, number));
            }
            self.place = None;
            if self.sent || self.told {
                self.next();
                self.line.asker().check()?;
                return Err(gone());
            }
        }
        loop {
            let life = self.line.asker().life(until)?;
            let SessionOptions { idle_ms, bytes_max, ref name, .. } = self.options;
            let which = match self.id.epoch {
                0 if name.is_empty() => Which::New,
                0 => Which::Named(name, self.options.takeover),
                epoch => Which::Resumed(self.id.session, epoch),
            };
            let request = SessionRequest::Session { which, idle_ms, bytes_max };
            match self.line.ask(Some(life), &request, until) {
                Ok(Reply::Opened(number, id)) => {
                    (self.place, self.id) = (Some((life, number)), id);
                    return Ok((life, number));
                }
                Ok(_) => return Err(odd()),
                // One without a name is nobody else's: it was forgotten.
                Err(Failure::Refused(error))
                    if error.code() == Code::Fenced && name.is_empty() && self.id.epoch > 0 =>
                {
                    self.id.epoch = 0;
                }
                Err(Failure::Lost(lost)) if !lost.is_cancelled() && Instant::now() < until => {
                    interrupt::pause(PAUSE)?;
                }
                Err(failure) => return Err(failure.error()),
            }
        }
    }

    /// Why the transaction can only be rolled back.
    fn why(&mut self) -> Option<Error> {
        if self.failed.is_none() {
            self.failed = self.refused.lock().clone();
        }
        self.failed.clone()
    }

    /// Fails when the transaction can only be rolled back, or is, and when the store is closed.
    fn check(&mut self) -> Result<()> {
        self.line.asker().check()?;
        let Some(why) = self.why() else { return Ok(()) };
        match why.code() {
            Code::Fenced | Code::RollbackOnly => Err(why),
            // It was idle for too long before it was staged.
            Code::RolledBack => {
                self.next();
                Err(why)
            }
            _ => {
                let what = "the transaction could not be staged and can only be rolled back";
                Err(Error::because(Code::RollbackOnly, what, &why))
            }
        }
    }

    /// Rolls back and fails when the transaction cannot be committed.
    fn end_doomed(&mut self) -> Result<()> {
        match self.why() {
            None => Ok(()),
            Some(why) if matches!(why.code(), Code::Fenced | Code::RolledBack) => self.check(),
            Some(why) => {
                self.undo(Undo::All);
                self.next();
                Err(Error::doomed(&why))
            }
        }
    }

    /// Begins the next transaction.
    fn next(&mut self) {
        self.id.number += 1;
        (self.sent, self.told) = (false, false);
        self.forget_gathered();
        self.bytes = 0;
        self.failed = None;
        // What is refused of the one that is over reaches nobody.
        self.refused = Arc::default();
    }

    fn forget_gathered(&mut self) {
        (self.gathered, self.count) = (Vec::new(), 0);
    }

    /// Stages a message.
    pub fn put(&mut self, queue: Queue, message: &Message<'_>) -> Result<()> {
        self.put_each(queue, std::iter::once(message)).map(|_| ())
    }

    /// Stages messages; all or none.
    pub fn put_many(&mut self, queue: Queue, messages: &[Message<'_>]) -> Result<()> {
        self.put_each(queue, messages.iter())
    }

    /// The same for messages that are made as they are asked for.
    pub fn put_each<'m, M: Borrow<Message<'m>>>(
        &mut self,
        queue: Queue,
        messages: impl Iterator<Item = M> + Clone,
    ) -> Result<()> {
        self.check()?;
        for (index, message) in messages.clone().enumerate() {
            message.borrow().check().map_err(|error| error.at_message(index))?;
        }
        for (index, message) in messages.enumerate() {
            self.gather(queue, message.borrow()).map_err(|error| error.at_message(index))?;
        }
        Ok(())
    }

    fn gather(&mut self, queue: Queue, message: &Message<'_>) -> Result<()> {
        let most = self.gathered.len() + STAGED_HEAD + message.bytes_max();
        if self.count > 0 && most > GATHER_BYTES {
            self.send()?;
        }
        let start = self.gathered.len();
        put_staged(queue.number(), &mut self.gathered, |out| message.append_unsummed(out))?;
        self.count += 1;
        let body = self.gathered.len() - start - STAGED_HEAD;
        self.bytes += (body + limits::RECORD_BYTES) as u64;
        let most = self.options.bytes_max;
        if most > 0 && self.bytes > most {
            let text = format!("the transaction is larger than the {most} bytes of its session");
            let error = Error::new(Code::Quota, text);
            // Nothing of it needs to go to the server any more.
            self.forget_gathered();
            self.failed = Some(error.clone());
            return Err(error);
        }
        Ok(())
    }

    /// Sends what gathered.
    fn send(&mut self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let until = self.line.asker().until(Duration::ZERO);
        loop {
            let (life, session) = self.connect(until)?;
            let Err(lost) = self.start_stage(life, session, until)? else { break };
            let again = !self.sent && !self.told && Instant::now() < until;
            if !again || self.line.asker().current_life() == life {
                return Err(self.lost(life, lost.error()));
            }
        }
        self.sent = true;
        self.forget_gathered();
        Ok(())
    }

    /// Sends what gathered in this life of the connection.
    fn start_stage(
        &self,
        life: u64,
        session: u32,
        until: Instant,
    ) -> Result<std::result::Result<(), Lost>> {
        let bytes = self.gathered.len();
        if !self.line.take_room(bytes, until)? {
            let what = self.line.describe();
            let text = format!("{what} does not take what was put in the time given");
            return Err(Error::new(Code::Timeout, text));
        }
        let (number, count, gathered) = (self.id.number, self.count, &self.gathered);
        let encode = |of: u32, out: &mut Vec<u8>| {
            out.reserve(32 + gathered.len());
            let kind = begin_stage(of, session, number, count, out);
            out.extend_from_slice(gathered);
            Ok(kind)
        };
        let (line, refused) = (self.line.clone(), self.refused.clone());
        let arrived: OnAnswer = Box::new(move |answer| {
            line.give_room(bytes);
            // A connection that is lost says so by itself.
            let Ok(raw) = answer else { return };
            if let Err(error) = reply(&raw) {
                refused.lock().get_or_insert(error);
            }
        });
        let begun = self.line.asker().start(life, &encode, arrived);
        if begun.is_err() {
            self.line.give_room(bytes);
        }
        Ok(begun)
    }

    /// What a request that was lost means for the transaction.
    fn lost(&mut self, life: u64, why: Error) -> Error {
        if self.line.asker().current_life() == life {
            return why;
        }
        self.place = None;
        if !self.sent {
            return why;
        }
        self.next();
        Error::because(Code::RolledBack, "the transaction is gone with its connection", &why)
    }

    /// Receives at most `max` messages, waiting at most `wait` for the first.
    pub fn receive(
        &mut self,
        from: &RemoteConsumer,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Received>> {
        self.receive_some(from, (max, false), wait)
    }

    /// Receives all messages of the next transaction that has any.
    pub fn receive_job(&mut self, from: &RemoteConsumer, wait: Duration) -> Result<Vec<Received>> {
        self.receive_some(from, (1, true), wait)
    }

    fn receive_some(
        &mut self,
        from: &RemoteConsumer,
        (max, job): (usize, bool),
        wait: Duration,
    ) -> Result<Vec<Received>> {
        self.check()?;
        let max = u32::try_from(max.clamp(1, limits::RECEIVE_MESSAGES_MAX)).unwrap_or(u32::MAX);
        let deadline = Instant::now().checked_add(wait);
        loop {
            let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            let timeout_ms = wait_ms(left);
            let until = self.line.asker().until(Duration::from_millis(timeout_ms.into()));
            let (life, session) = self.connect(until)?;
            let consumer = from.place(life, until)?;
            let transaction = self.id.number;
            let request =
                SessionRequest::Receive { session, transaction, consumer, max, timeout_ms, job };
            match self.line.ask(Some(life), &request, until) {
                Ok(Reply::Messages(messages)) => {
                    self.sent |= !messages.is_empty();
                    if !messages.is_empty() || Duration::from_millis(timeout_ms.into()) >= left {
                        return Ok(messages);
                    }
                }
                Ok(_) => return Err(odd()),
                Err(Failure::Refused(error)) => return Err(self.over(error)),
                // Nothing was given out, and the transaction is as it was.
                Err(Failure::Lost(Lost::Unsent(error))) if error.code() == Code::Cancelled => {
                    return Err(error);
                }
                Err(Failure::Lost(lost)) => {
                    let error = self.lost(life, lost.error());
                    if self.place.is_some() {
                        // The server is there and may have given what nobody saw.
                        self.sent = true;
                        self.failed = Some(error.clone());
                        return Err(error);
                    }
                    if error.code() == Code::RolledBack || left.is_zero() {
                        return Err(error);
                    }
                    self.line.asker().check()?;
                    interrupt::pause(PAUSE.min(left))?;
                }
            }
        }
    }

    /// Takes note of a refusal that ends the transaction.
    fn over(&mut self, error: Error) -> Error {
        match error.code() {
            Code::RolledBack | Code::Stale => self.next(),
            Code::RollbackOnly => self.failed = Some(error.clone()),
            _ => {}
        }
        error
    }

    /// Commits and begins the next transaction.
    pub fn commit(&mut self, level: Option<Level>) -> Result<Commit> {
        self.end_doomed()?;
        self.send()?;
        let until = self.line.asker().until(Duration::ZERO);
        let (life, session) = self.connect(until)?;
        let id = self.id;
        let heard = self.heard();
        let request = SessionRequest::Commit { session, transaction: id.number, level, heard };
        match self.line.ask(Some(life), &request, until) {
            Ok(Reply::Stored(commit)) => {
                self.next();
                Ok(commit)
            }
            Ok(_) => Err(odd()),
            Err(Failure::Refused(error)) => Err(self.over(error)),
            Err(Failure::Lost(Lost::Unsent(why))) => Err(self.lost(life, why)),
            Err(Failure::Lost(Lost::Open(why))) => {
                self.known = true;
                self.next();
                self.in_doubt(&id, why, (life, until), |reply, why| told(&id, reply, why))
            }
        }
    }

    /// Finds out what became of a transaction whose answer did not come in that life; `says` tells what the answer to RESOLVE
    /// means, `None` when that is nothing final.
    fn in_doubt<T>(
        &self,
        id: &TransactionId,
        why: Error,
        (life, until): (u64, Instant),
        says: impl Fn(&Reply, &Error) -> Option<Result<T>>,
    ) -> Result<T> {
        // An administrator who ended the connection called nobody away.
        let away = why.code() == Code::Cancelled && self.line.asker().current_life() == life;
        while !away && Instant::now() < until {
            match self.line.ask(None, &SessionRequest::Resolve(*id), until) {
                Ok(reply) => {
                    if let Some(outcome) = says(&reply, &why) {
                        return outcome;
                    }
                }
                Err(Failure::Lost(lost)) if lost.is_cancelled() => break,
                Err(Failure::Lost(_)) => {}
                Err(Failure::Refused(_)) => break,
            }
            if self.line.asker().check().is_err() || interrupt::pause(PAUSE).is_err() {
                break;
            }
        }
        Err(unknown(id, &why))
    }

    /// Prepares and begins the next transaction.
    pub fn prepare(&mut self, xid: &[u8]) -> Result<TransactionId> {
        self.end_doomed()?;
        self.send()?;
        let until = self.line.asker().until(Duration::ZERO);
        let (life, session) = self.connect(until)?;
        let id = self.id;
        let request = SessionRequest::Prepare { session, transaction: id.number, xid };
        match self.line.ask(Some(life), &request, until) {
            Ok(Reply::Done) => {
                self.next();
                Ok(id)
            }
            Ok(_) => Err(odd()),
            Err(Failure::Refused(error)) => Err(self.over(error)),
            Err(Failure::Lost(Lost::Unsent(why))) => Err(self.lost(life, why)),
            Err(Failure::Lost(Lost::Open(why))) => {
                self.known = true;
                self.next();
                self.in_doubt(&id, why, (life, until), |reply, why| match reply {
                    // Nobody commits what was not prepared: somebody was faster.
                    Reply::Resolved(Outcome::Pending | Outcome::Committed(_)) => Some(Ok(id)),
                    reply => told(&id, reply, why).map(|outcome| outcome.map(|_| id)),
                })
            }
        }
    }

    /// Commits without waiting; the port gets the outcome. One whose answer is lost is asked for in the next life of the
    /// connection, where that comes within the time of a call.
    pub fn commit_start(&mut self, port: &Port, tag: u64) -> Result<()> {
        self.end_doomed()?;
        self.send()?;
        let (life, session) = self.connect(self.line.asker().until(Duration::ZERO))?;
        let (id, heard) = (self.id, self.heard());
        let transaction = id.number;
        let request = SessionRequest::Commit { session, transaction, level: None, heard };
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        let (operation, line) = (port.start_elsewhere(tag)?, self.line.clone());
        let started = self.started.clone();
        started.lock().insert(id);
        let ended: OnAnswer = Box::new(move |answer| {
            let outcome = match answer {
                Ok(raw) => match reply(&raw) {
                    Ok(Reply::Stored(commit)) => Ok(commit),
                    Ok(_) => Err(odd()),
                    Err(error) => Err(error),
                },
                Err(Lost::Unsent(why)) => {
                    let text = "the transaction is gone with its connection";
                    Err(Error::because(Code::RolledBack, text, &why))
                }
                Err(Lost::Open(why)) => return resolve_later(&line, id, why, (operation, started)),
            };
            started.lock().remove(&id);
            operation.end(outcome);
        });
        self.known = true;
        // One that did not begin ends on the port, too: what was started is over.
        self.line.asker().begin(life, &encode, ended);
        self.next();
        Ok(())
    }

    /// Up to which transaction of this epoch it was heard of all.
    fn heard(&self) -> u64 {
        match self.started.lock().first() {
            Some(first) if first.epoch < self.id.epoch => 0,
            Some(first) => first.number - 1,
            None => self.id.number - 1,
        }
    }

    /// Drops what was staged and gives back what was received.
    pub fn rollback(&mut self) -> Result<()> {
        let sent = self.sent || self.failed.is_some();
        if sent {
            // Without the connection the server does it by itself.
            self.undo(Undo::All);
        }
        if !self.is_empty() {
            self.next();
        }
        self.line.asker().check()
    }

    /// Drops what was staged and keeps what was received.
    pub fn forget_puts(&mut self) {
        self.forget_gathered();
        self.bytes = 0;
        self.undo(Undo::Puts);
        self.failed = None;
        self.refused = Arc::default();
    }

    /// Forgets what was received, without giving it back.
    pub fn pass_over(&mut self) {
        self.undo(Undo::Keep);
        self.next();
    }

    fn undo(&mut self, what: Undo) {
        let Some((life, session)) = self.place else { return };
        let request = SessionRequest::Rollback { session, transaction: self.id.number, what };
        let until = self.line.asker().until(Duration::ZERO);
        // A connection that is lost undoes more.
        let _ = self.line.ask(Some(life), &request, until);
    }
}

/// What an answer to RESOLVE says of a commit; `None` when that is nothing final.
fn told(id: &TransactionId, reply: &Reply, why: &Error) -> Option<Result<Commit>> {
    let Reply::Resolved(outcome) = reply else { return Some(Err(odd())) };
    match outcome {
        Outcome::Committed(token) => Some(Ok(Commit { token: *token, level: Level::Power })),
        Outcome::RolledBack => {
            let text = "the transaction did not reach its commit before the connection was lost";
            Some(Err(Error::because(Code::RolledBack, text, why)))
        }
        Outcome::Expired => {
            let text = format!("the outcome of transaction {id} is not known any more");
            Some(Err(Error::because(Code::OutcomeExpired, text, why)))
        }
        Outcome::Pending => None,
    }
}

fn unknown(id: &TransactionId, why: &Error) -> Error {
    let text = format!("the answer to the commit of transaction {id} did not come");
    Error::because(Code::OutcomeUnknown, text, why)
}

/// Asks what became of a commit once there is a connection again, before anything else is asked there: a later
/// transaction of the session must not come first.
fn resolve_later(
    line: &Line,
    id: TransactionId,
    why: Error,
    (operation, started): (Operation, Started),
) {
    let encode: OwnEncode =
        Box::new(move |number, out| SessionRequest::Resolve(id).encode(number, out));
    let ended: OnAnswer = Box::new(move |answer| {
        let told = match answer.as_ref().ok().map(reply) {
            Some(Ok(reply)) => told(&id, &reply, &why),
            Some(Err(_)) | None => None,
        };
        started.lock().remove(&id);
        operation.end(told.unwrap_or_else(|| Err(unknown(&id, &why))));
    });
    line.asker().start_later(encode, ended, line.asker().until(Duration::ZERO));
}

fn gone() -> Error {
    let text = "the connection to the server was lost, and with it the open transaction";
    Error::new(Code::RolledBack, text).caused_by(Code::Unreachable)
}

impl Drop for RemoteSession {
    fn drop(&mut self) {
        let Some((life, session)) = self.place else { return };
        let request = SessionRequest::Leave { session, forget: !self.known };
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        // Nobody is left to hear of it; without the connection the server does the same.
        let _ = self.line.asker().start(life, &encode, Box::new(|_| {}));
    }
}
