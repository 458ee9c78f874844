//! A session, wherever its store is.
//!
//! Promises: nothing of a transaction is visible before its commit, and all of it after. Dropping a session rolls
//! back. What is refused before it was staged leaves the transaction as it was. Received messages are acknowledged by
//! the commit, and after a roll back come again, in order, before newer ones.

use super::consumer::Consumer;
use super::port::Port;
use super::remote::{RemoteConsumer, RemoteSession, RemoteStore};
use super::session::LocalSession;
use super::store::Inner;
use super::watched::Watched;
use crate::error::{Code, Error, Result};
use crate::queue::{Message, Queue, Received};
use crate::store::{Commit, Level, OnFenced, Staged, TransactionId};
use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;

/// How a session is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Its name, of which one is open at a time; empty for none.
    pub name: String,
    /// Takes the session of this name over from whoever has it open: that one is FENCED from then on.
    pub takeover: bool,
    /// Milliseconds a transaction may be open without a call before it is rolled back; the next call then answers
    /// ROLLED_BACK, caused by TIMEOUT, and the one after it is about the next transaction. 0 for no bound, at a server for
    /// the server's own, 60,000.
    pub idle_ms: u32,
    /// Bytes a transaction may put, 64 more for each message; 0 for no bound. The put that goes beyond is refused with
    /// QUOTA, and the transaction can only be rolled back.
    pub bytes_max: u64,
    /// Who opens it, where that is not whoever opened the store.
    #[doc(hidden)]
    pub user: String,
    /// The session and epoch to go on with, whose owner lost its connection.
    #[doc(hidden)]
    pub resume: Option<([u8; 16], u32)>,
    /// Percent of the prepared transactions of the store that its user may have; 0 for all.
    #[doc(hidden)]
    pub prepared_share: u32,
}

/// An open session: transactions over any number of queues, one after the other. One thread uses it at a time.
pub struct Session {
    home: Home,
    /// Whether it is opened for somebody else, by who looks after it himself.
    hosted: bool,
}

#[allow(clippy::large_enum_variant)] // The local one is the one that is to be fast.
enum Home {
    Local(LocalSession),
    Watched(Watched),
    Remote(Box<RemoteSession>),
}

impl Session {
    pub(super) fn open(inner: &Arc<Inner>) -> Result<Session> {
        Ok(Session { home: Home::Local(LocalSession::open_unnamed(inner)?), hosted: false })
    }

    pub(super) fn open_with(inner: &Arc<Inner>, options: &SessionOptions) -> Result<Session> {
        let session = LocalSession::open(inner, options)?;
        let home = match options.idle_ms {
            0 => Home::Local(session),
            idle_ms => Home::Watched(Watched::new(session, idle_ms)),
        };
        let mut session = Session { home, hosted: !options.user.is_empty() };
        session.look_after();
        Ok(session)
    }

    pub(super) fn open_remote(
        store: &Arc<RemoteStore>,
        options: &SessionOptions,
    ) -> Result<Session> {
        Ok(Session { home: Home::Remote(Box::new(store.session(options)?)), hosted: false })
    }

    /// Whoever is remembered may lose the session to another owner: then what it holds goes back at once.
    fn look_after(&mut self) {
        if let Home::Local(session) = &mut self.home
            && !self.hosted
            && let Some(session) = session.move_remembered()
        {
            self.home = Home::Watched(Watched::new(session, 0));
        }
    }

    /// The identity of the transaction that is open: what became of it is told by
    /// [`Store::resolve`](crate::Store::resolve), also after a crash, for 24 hours after the session's last use.
    ///
    /// In this process a session without a name is remembered from the first call on, which is a small transaction of
    /// its own; its later commits write a line more.
    pub fn id(&mut self) -> Result<TransactionId> {
        match &mut self.home {
            Home::Local(session) => {
                let id = session.id();
                self.look_after();
                id
            }
            Home::Watched(session) => {
                let id = session.work(LocalSession::id);
                session.hears();
                id
            }
            Home::Remote(session) => session.id(),
        }
    }

    /// Stages a message. The bytes are copied.
    ///
    /// Fails with INVALID, UNSUPPORTED or TOO_LARGE for what the message is, NO_SUCH_NAME without such a queue;
    /// the transaction is then as it was. A queue that is deleted after the first put may be told by the commit. A
    /// transaction above 1 MiB is written to files as it grows; when that fails, with NO_SPACE or IO, the transaction
    /// can only be rolled back, and answers ROLLBACK_ONLY until it is.
    ///
    /// At a server messages are staged while this goes on: what it refuses, also for the queue, is told by a later
    /// call, with ROLLBACK_ONLY and the first cause. When the connection is lost the transaction is ROLLED_BACK.
    #[inline]
    pub fn put(&mut self, queue: Queue, message: &Message<'_>) -> Result<()> {
        match &mut self.home {
            Home::Local(session) => session.put(queue, message),
            Home::Watched(session) => session.work(|session| session.put(queue, message)),
            Home::Remote(session) => session.put(queue, message),
        }
    }

    /// Stages messages; all or none. A refusal names the index of the message.
    #[inline]
    pub fn put_many(&mut self, queue: Queue, messages: &[Message<'_>]) -> Result<()> {
        match &mut self.home {
            Home::Local(session) => session.put_many(queue, messages),
            Home::Watched(session) => session.work(|session| session.put_many(queue, messages)),
            Home::Remote(session) => session.put_many(queue, messages),
        }
    }

    /// The same for messages that are made as they are asked for, twice each: there is no list of them.
    #[inline]
    pub fn put_each<'m, M: Borrow<Message<'m>>>(
        &mut self,
        queue: Queue,
        messages: impl Iterator<Item = M> + Clone,
    ) -> Result<()> {
        match &mut self.home {
            Home::Local(session) => session.put_each(queue, messages),
            Home::Watched(session) => session.work(|session| session.put_each(queue, messages)),
            Home::Remote(session) => session.put_each(queue, messages),
        }
    }

    /// Stages a message whose payload, of `length` bytes, `fill` writes straight into the transaction; its own
    /// must be empty. One copy less for bytes that may change while they are read.
    ///
    /// Fails as [`Session::put`] does, and as `fill` does; the transaction is then as it was.
    #[inline]
    pub fn put_filled<E: From<Error>>(
        &mut self,
        queue: Queue,
        message: &Message<'_>,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let session = match &mut self.home {
            Home::Local(session) => return session.put_filled(queue, message, length, fill),
            Home::Watched(session) => {
                return session.work(|session| session.put_filled(queue, message, length, fill));
            }
            Home::Remote(session) => session,
        };
        if !message.payload.is_empty() {
            let text = "a payload is given beside the call that writes it";
            return Err(Error::new(Code::Invalid, text).into());
        }
        if length > crate::limits::MESSAGE_BYTES_MAX {
            let text = format!("a payload of {length} bytes is above the bound of a message");
            return Err(Error::new(Code::TooLarge, text).at_message(0).into());
        }
        let mut payload = vec![0; length];
        fill(&mut payload)?;
        Ok(session.put(queue, &Message { payload: &payload, ..*message })?)
    }

    /// Receives at most `max` messages, waiting at most `wait` for the first; the commit acknowledges them.
    pub fn receive(
        &mut self,
        from: &Consumer,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Received>> {
        match &mut self.home {
            Home::Local(session) => session.receive(from, max, wait),
            Home::Watched(session) => session.work(|session| session.receive(from, max, wait)),
            Home::Remote(session) => session.receive(of_server(session, from)?, max, wait),
        }
    }

    /// The same for all messages of the next transaction that has any.
    ///
    /// Fails with TOO_LARGE where these have more than 64 MiB: they are not lost, and come by
    /// [`Session::receive`], piece by piece.
    pub fn receive_job(&mut self, from: &Consumer, wait: Duration) -> Result<Vec<Received>> {
        match &mut self.home {
            Home::Local(session) => session.receive_job(from, wait),
            Home::Watched(session) => session.work(|session| session.receive_job(from, wait)),
            Home::Remote(session) => session.receive_job(of_server(session, from)?, wait),
        }
    }

    /// Commits at the store's level and begins the next transaction.
    ///
    /// An error before anything was written (PAUSED, OUT_OF_ORDER, NO_SPACE …) leaves the transaction as it
    /// is, to be tried again or rolled back. ROLLED_BACK, with the first cause where something of it had failed, STALE and
    /// FENCED end it. OUTCOME_UNKNOWN ends it, too: it is
    /// committed or not, as [`Store::resolve`](crate::Store::resolve) tells.
    ///
    /// At a server, a commit whose answer is lost with the connection is asked for again, within the time a call to
    /// the server may take.
    #[inline]
    pub fn commit(&mut self) -> Result<Commit> {
        match &mut self.home {
            Home::Local(session) => session.commit(),
            Home::Watched(session) => session.work(LocalSession::commit),
            Home::Remote(session) => session.commit(None),
        }
    }

    /// The same at another level.
    pub fn commit_at(&mut self, level: Level) -> Result<Commit> {
        match &mut self.home {
            Home::Local(session) => session.commit_at(level),
            Home::Watched(session) => session.work(|session| session.commit_at(level)),
            Home::Remote(session) => session.commit(Some(level)),
        }
    }

    /// Commits without waiting; the port gets the outcome under this tag, and the next transaction begins.
    ///
    /// At a server, one whose answer is lost with the connection is asked for in the next one, as by
    /// [`Session::commit`]; so is each of several of one session that are lost together.
    pub fn commit_start(&mut self, port: &Port, tag: u64) -> Result<()> {
        match &mut self.home {
            Home::Local(session) => session.commit_start(port, tag),
            Home::Watched(session) => session.work(|session| session.commit_start(port, tag)),
            Home::Remote(session) => session.commit_start(port, tag),
        }
    }

    /// Prepares the transaction for a coordinator outside, and begins the next one.
    ///
    /// What it put is durable and seen by nobody, what it received is acknowledged by nobody and given to nobody, until
    /// [`Store::finish`](crate::Store::finish) commits it or rolls it back, from wherever and whenever that comes: also
    /// after a crash, and whatever becomes of this session. Nothing decides by itself. `xid` is what the coordinator calls
    /// it, at most 255 bytes, or nothing: [`Store::prepared`](crate::Store::prepared) shows it. One call is enough for what
    /// a commit could still be refused for: a commit of what is prepared fails for want of space at most, and waits on then.
    ///
    /// Fails as [`Session::commit`] does; with QUOTA where 1,024 are prepared already, or at a server the share of its user,
    /// EXISTS where one that waits has the same xid, BUSY where one that waits has messages of the same producer, TOO_LARGE
    /// for the xid: the transaction is as it was. After OUTCOME_UNKNOWN [`Store::resolve`](crate::Store::resolve) tells: PENDING where it is prepared.
    pub fn prepare(&mut self, xid: &[u8]) -> Result<TransactionId> {
        match &mut self.home {
            Home::Local(session) => {
                let prepared = session.prepare(xid);
                self.look_after();
                prepared
            }
            Home::Watched(session) => {
                let prepared = session.work(|session| session.prepare(xid));
                session.hears();
                prepared
            }
            Home::Remote(session) => session.prepare(xid),
        }
    }

    /// Drops what was staged and gives back what was received; begins the next transaction.
    pub fn rollback(&mut self) -> Result<()> {
        match &mut self.home {
            Home::Local(session) => session.rollback(),
            Home::Watched(session) => session.rollback(),
            Home::Remote(session) => session.rollback(),
        }
    }

    /// Whether nothing was put or received since the last commit or roll back.
    pub fn is_empty(&self) -> bool {
        match &self.home {
            Home::Local(session) => session.is_empty(),
            Home::Watched(session) => session.is_empty(),
            Home::Remote(session) => session.is_empty(),
        }
    }

    /// Drops what was staged and keeps what was received.
    pub(crate) fn forget_puts(&mut self) {
        match &mut self.home {
            Home::Local(session) => session.forget_puts(),
            Home::Watched(session) => session.held(LocalSession::forget_puts),
            Home::Remote(session) => session.forget_puts(),
        }
    }

    /// Whether another owner took the session over; for who serves it to somebody else.
    pub(crate) fn is_fenced(&self) -> bool {
        match &self.home {
            Home::Local(session) => session.is_fenced(),
            Home::Watched(session) => session.held(|session| session.is_fenced()),
            Home::Remote(_) => false,
        }
    }

    /// Calls `hook` when another owner took the session over, or now where one did; not at a server.
    pub(crate) fn on_fenced(&self, hook: OnFenced) {
        match &self.home {
            Home::Local(session) => session.on_fenced(hook),
            Home::Watched(session) => session.held(|session| session.on_fenced(hook)),
            Home::Remote(_) => {}
        }
    }

    /// Forgets what was received: it is neither acknowledged nor given back, and comes again when its
    /// consumer is opened anew.
    pub(crate) fn pass_over(&mut self) {
        match &mut self.home {
            Home::Local(session) => session.pass_over(),
            Home::Watched(session) => session.held(LocalSession::pass_over),
            Home::Remote(session) => session.pass_over(),
        }
    }

    /// The session, where nobody but its owner ends its transactions: a server hosts no other.
    fn local(&mut self) -> Result<&mut LocalSession> {
        match &mut self.home {
            Home::Local(session) => Ok(session),
            Home::Watched(_) | Home::Remote(_) => {
                Err(Error::new(Code::Unsupported, "the session is watched, or at a server"))
            }
        }
    }

    /// Commits up to the wait for the level.
    pub(crate) fn hand_over(&mut self, level: Level) -> Result<Staged> {
        self.local()?.hand_over(level)
    }

    /// Goes on with this transaction where it comes later than the one that is open.
    pub(crate) fn go_to(&mut self, number: u64) {
        if let Home::Local(session) = &mut self.home {
            session.go_to(number);
        }
    }

    /// Nobody will ask what became of its transactions.
    pub(crate) fn forget_identity(&mut self) -> Result<()> {
        self.local()?.forget_identity()
    }
}

fn of_server<'c>(session: &RemoteSession, consumer: &'c Consumer) -> Result<&'c RemoteConsumer> {
    let remote = consumer.remote().filter(|remote| session.is_of(remote.line()));
    remote.ok_or_else(|| {
        let name = consumer.name();
        let text = format!("consumer {name:?} belongs to another store than the session");
        Error::new(Code::Invalid, text)
    })
}
