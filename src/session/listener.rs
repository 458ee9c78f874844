//! A consumer with a handler: messages are worked on as they come, and acknowledged by the commit of the work.
//!
//! The handler runs on one thread of the listener and gets a session; what it puts there commits together with
//! the acknowledgement. When it says [`Handled::Done`] the session is committed. When it fails, the session is
//! rolled back, and the policy decides: try again for ever, set the key aside, or give up after some tries
//! and keep the messages in another queue.
//!
//! Promises: messages come after they are durable, in order; an effect inside the session happens exactly
//! once, an effect outside at least once, so that the position of the message is the key to tell repetitions
//! apart; no lock is held while the handler runs.

use super::consumer::Consumer;
use super::store::Store;
use super::transaction::Session;
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::queue::{Death, Queue, Received, with_letter};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How long a listener waits in one receive before it looks whether it was closed.
const WAIT: Duration = Duration::from_secs(60);

/// What one call of the handler gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// One message.
    #[default]
    Message,
    /// All messages that came with one transaction.
    Job,
}

/// What happens when the handler fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing behind the failed unit is worked on before it succeeded.
    #[default]
    Block,
    /// The keys of the failed unit are set aside: it and later messages of these keys stay in the queue, not
    /// acknowledged, and come again when the listener is opened anew. Messages without a key share one.
    Park,
    /// After so many failures the unit moves to another queue of the store, with the reason.
    DeadLetter {
        /// Failures before it moves, at least 1.
        after: u32,
        /// Name of the queue it moves to.
        queue: String,
    },
}

/// How a listener works.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// What one call of the handler gets.
    pub unit: Unit,
    /// What happens when it fails.
    pub policy: Policy,
    /// Milliseconds before the first new try; doubled with each.
    pub retry_ms: u64,
    /// Milliseconds between two tries at most.
    pub retry_ms_max: u64,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        let (unit, policy) = (Unit::default(), Policy::default());
        ListenerOptions { unit, policy, retry_ms: 100, retry_ms_max: 10_000 }
    }
}

/// What a handler answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Commit.
    Done,
    /// Roll back and go on as the policy says.
    Retry(String),
    /// Roll back and set the keys aside at once, whatever the policy.
    Park(String),
}

/// What a listener has done.
#[derive(Clone, Debug, Default)]
pub struct ListenerStatus {
    /// Units committed.
    pub done: u64,
    /// Failures of the handler.
    pub failed: u64,
    /// Units moved to the queue of dead letters.
    pub dead: u64,
    /// Keys set aside, and why.
    pub parked: Vec<(Vec<u8>, String)>,
    /// Why the listener ended by itself, if it did.
    pub ended: Option<Error>,
}

type Handler = Box<dyn FnMut(&mut Session, &[Received]) -> Handled + Send>;

/// A running listener. Dropping it closes it.
pub struct Listener {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    consumer: Consumer,
    closing: AtomicBool,
    status: Mutex<ListenerStatus>,
    wake: Condvar,
}

impl Listener {
    /// Starts to work on the messages of a consumer.
    pub fn open(
        store: &Store,
        consumer: Consumer,
        options: &ListenerOptions,
        handler: impl FnMut(&mut Session, &[Received]) -> Handled + Send + 'static,
    ) -> Result<Listener> {
        let (listener, mut work) = Listener::here(store, consumer, options, handler)?;
        let thread = thread::Builder::new()
            .name("repliq-listener".into())
            .spawn(move || work.run())
            .map_err(|error| Error::io("cannot start the thread of a listener", &error))?;
        *listener.thread.lock() = Some(thread);
        Ok(listener)
    }

    /// The same without a thread: the handler runs on the one that calls [`Work::run`]. This is for languages
    /// whose handlers run on threads of their own. A close then does not wait for the handler.
    pub fn here(
        store: &Store,
        consumer: Consumer,
        options: &ListenerOptions,
        handler: impl FnMut(&mut Session, &[Received]) -> Handled + Send + 'static,
    ) -> Result<(Listener, Work)> {
        let dead = match &options.policy {
            Policy::DeadLetter { after: 0, .. } => {
                let text = "a dead letter after 0 failures: at least 1";
                return Err(Error::new(Code::Invalid, text));
            }
            Policy::DeadLetter { queue, .. } => Some(store.queue(queue)?),
            _ => None,
        };
        let session = store.session()?;
        let shared = Arc::new(Shared {
            consumer,
            closing: AtomicBool::new(false),
            status: Mutex::default(),
            wake: Condvar::new(),
        });
        let work = Work {
            shared: shared.clone(),
            session,
            dead,
            options: options.clone(),
            handler: Box::new(handler),
            tries: 0,
        };
        Ok((Listener { shared, thread: Mutex::new(None) }, work))
    }

    /// What it has done so far.
    pub fn status(&self) -> ListenerStatus {
        self.shared.status.lock().clone()
    }

    /// Ends the work after the unit under way and closes the consumer. BUSY from inside the handler.
    pub fn close(&self) -> Result<()> {
        let mut thread = self.thread.lock();
        let here = thread::current().id();
        if thread.as_ref().is_some_and(|thread| thread.thread().id() == here) {
            return Err(Error::new(Code::Busy, "a listener cannot be closed by its own handler"));
        }
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.consumer.close();
        drop(self.shared.status.lock());
        self.shared.wake.notify_all();
        match thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(Error::new(Code::Panic, "the thread of a listener panicked")),
            _ => Ok(()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Its own handler may hold the last handle; then the thread ends by itself.
        let _ = self.close();
    }
}

/// The work of a listener.
pub struct Work {
    shared: Arc<Shared>,
    session: Session,
    dead: Option<Queue>,
    options: ListenerOptions,
    handler: Handler,
    tries: u32,
}

impl Work {
    /// Works until the listener is closed, or ends by itself.
    pub fn run(&mut self) {
        while !self.shared.closing.load(Ordering::SeqCst) {
            if let Err(error) = self.one() {
                // Nobody is left to hear that the store was closed meanwhile.
                let _ = self.session.rollback();
                match error.code() {
                    Code::Closed | Code::Forked => return,
                    Code::Paused | Code::NoSpace | Code::Quota | Code::RollbackOnly => {
                        self.pause();
                    }
                    // What it had comes again, to this one or to another; a commit of unknown outcome, too, or never.
                    Code::Stale
                    | Code::RolledBack
                    | Code::Unreachable
                    | Code::Timeout
                    | Code::OutcomeUnknown => self.pause(),
                    _ => {
                        self.shared.status.lock().ended = Some(error);
                        return;
                    }
                }
            }
        }
    }

    /// Works on one unit.
    fn one(&mut self) -> Result<()> {
        let consumer = &self.shared.consumer;
        let unit = match self.options.unit {
            Unit::Message => self.session.receive(consumer, 1, WAIT)?,
            Unit::Job => self.session.receive_job(consumer, WAIT)?,
        };
        if unit.is_empty() {
            return Ok(());
        }
        if self.is_parked(&unit) {
            self.session.pass_over();
            return Ok(());
        }
        let (session, handler) = (&mut self.session, &mut self.handler);
        let handled = catch_unwind(AssertUnwindSafe(|| handler(session, &unit)))
            .unwrap_or_else(|_| Handled::Retry("the handler panicked".into()));
        match handled {
            Handled::Done => {
                self.session.commit()?;
                self.tries = 0;
                self.shared.status.lock().done += 1;
            }
            Handled::Retry(reason) => self.failed(&unit, &reason)?,
            Handled::Park(reason) => self.park(&unit, &reason)?,
        }
        Ok(())
    }

    fn failed(&mut self, unit: &[Received], reason: &str) -> Result<()> {
        self.tries += 1;
        self.shared.status.lock().failed += 1;
        match self.options.policy {
            Policy::Park => self.park(unit, reason),
            Policy::DeadLetter { after, .. } if self.tries >= after => self.bury(unit, reason),
            _ => {
                self.session.rollback()?;
                self.pause();
                Ok(())
            }
        }
    }

    fn is_parked(&self, unit: &[Received]) -> bool {
        let status = self.shared.status.lock();
        unit.iter().any(|one| status.parked.iter().any(|(key, _)| key == one.key()))
    }

    fn park(&mut self, unit: &[Received], reason: &str) -> Result<()> {
        self.session.forget_puts();
        self.tries = 0;
        let mut status = self.shared.status.lock();
        if status.parked.len() >= limits::PARKED_KEYS_MAX {
            drop(status);
            self.session.rollback()?;
            self.pause();
            return Ok(());
        }
        let keys: BTreeMap<&[u8], ()> = unit.iter().map(|one| (one.key(), ())).collect();
        for key in keys.into_keys() {
            if status.parked.iter().all(|(known, _)| known != key) {
                status.parked.push((key.to_vec(), reason.to_string()));
            }
        }
        drop(status);
        self.session.pass_over();
        Ok(())
    }

    /// Moves a unit to the queue of dead letters, in the transaction that acknowledges it.
    fn bury(&mut self, unit: &[Received], reason: &str) -> Result<()> {
        let Some(dead) = self.dead else { return Ok(()) };
        self.session.forget_puts();
        let last_ms = self.shared.consumer.now_ms();
        let session = &mut self.session;
        for one in unit {
            let death = Death {
                reason,
                failures: self.tries,
                consumer: self.shared.consumer.name(),
                place: one.sequence(),
                after: None,
                first_ms: 0,
                last_ms,
            };
            with_letter(one, &death, |letter| session.put(dead, letter))?;
        }
        self.session.commit()?;
        self.tries = 0;
        self.shared.status.lock().dead += 1;
        Ok(())
    }

    /// Waits before the next try, or until the listener is closed.
    fn pause(&self) {
        let doubled =
            self.options.retry_ms.saturating_mul(1 << self.tries.saturating_sub(1).min(20));
        let wait = Duration::from_millis(doubled.min(self.options.retry_ms_max).max(1));
        let mut status = self.shared.status.lock();
        if !self.shared.closing.load(Ordering::SeqCst) {
            self.shared.wake.wait_for(&mut status, wait);
        }
    }
}
