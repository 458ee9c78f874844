//! A consumer with a handler: messages are worked on as they come, and acknowledged by the commit of the work.
//!
//! The handler runs on a thread of the listener, or on several, and gets a session; what it puts there commits together with
//! the acknowledgement. When it says [`Handled::Done`] the session is committed. When it fails, the session is
//! rolled back, and the policy decides: try again for ever, set the key aside, or give up after some tries
//! and keep the messages in another queue.
//!
//! Several threads share the consumer: each works on one unit at a time, and while it waits to try one again it keeps it, so
//! that nobody else is given it, nor, where the consumer is keyed, what comes behind it in its key.
//!
//! Promises: messages come after they are durable, in order, on several threads in the order of their key; an effect inside the session happens exactly
//! once, an effect outside at least once, so that the position of the message is the key to tell repetitions
//! apart; no lock is held while the handler runs.

use super::consumer::Consumer;
use super::store::Store;
use super::transaction::Session;
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::queue::{Death, Queue, Received, with_letter};
use crate::sync::thread::{self, JoinHandle, ThreadId};
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
    /// Threads that call the handler, 1 to 1,024. With several of them there is no order but that of a keyed consumer, and
    /// `Block` holds up nothing but the key.
    pub threads: u32,
    /// Milliseconds before the first new try; doubled with each.
    pub retry_ms: u64,
    /// Milliseconds between two tries at most.
    pub retry_ms_max: u64,
}

impl Default for ListenerOptions {
    fn default() -> Self {
        let (unit, policy) = (Unit::default(), Policy::default());
        ListenerOptions { unit, policy, threads: 1, retry_ms: 100, retry_ms_max: 10_000 }
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
    /// Who calls the handler.
    callers: Mutex<Vec<ThreadId>>,
    /// Those that nobody has waited for; locked until they have ended.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    consumer: Consumer,
    closing: AtomicBool,
    status: Mutex<ListenerStatus>,
    wake: Condvar,
    /// How often the units that are tried have failed, by the first sequence of each.
    tries: Mutex<BTreeMap<u64, u32>>,
}

impl Listener {
    /// Starts to work on the messages of a consumer, on one thread; [`Listener::open_shared`] takes several.
    ///
    /// Fails with INVALID for options that contradict each other.
    pub fn open(
        store: &Store,
        consumer: Consumer,
        options: &ListenerOptions,
        handler: impl FnMut(&mut Session, &[Received]) -> Handled + Send + 'static,
    ) -> Result<Listener> {
        if options.threads != 1 {
            let text =
                format!("threads is {}, and the handler is one for one thread", options.threads);
            return Err(Error::new(Code::Invalid, text));
        }
        Listener::prepare(store, consumer, options, vec![Box::new(handler)])?.start()
    }

    /// The same with a handler that several threads may call at once.
    pub fn open_shared(
        store: &Store,
        consumer: Consumer,
        options: &ListenerOptions,
        handler: impl Fn(&mut Session, &[Received]) -> Handled + Send + Sync + 'static,
    ) -> Result<Listener> {
        Listener::prepare(store, consumer, options, copies(options, handler)?)?.start()
    }

    /// The same without threads: the handler runs on those that call [`Work::run`], each with a work of its own. This is for
    /// languages whose handlers run on threads of their own. A close then does not wait for the handler.
    pub fn here(
        store: &Store,
        consumer: Consumer,
        options: &ListenerOptions,
        handler: impl Fn(&mut Session, &[Received]) -> Handled + Send + Sync + 'static,
    ) -> Result<(Listener, Vec<Work>)> {
        let prepared = Listener::prepare(store, consumer, options, copies(options, handler)?)?;
        Ok((prepared.listener, prepared.work))
    }

    fn prepare(
        store: &Store,
        consumer: Consumer,
        options: &ListenerOptions,
        handlers: Vec<Handler>,
    ) -> Result<Prepared> {
        let dead = match &options.policy {
            Policy::DeadLetter { after: 0, .. } => {
                let text = "a dead letter after 0 failures: at least 1";
                return Err(Error::new(Code::Invalid, text));
            }
            Policy::DeadLetter { queue, .. } => Some(store.queue(queue)?),
            _ => None,
        };
        let sessions: Vec<Session> =
            handlers.iter().map(|_| store.session()).collect::<Result<_>>()?;
        let shared = Arc::new(Shared {
            consumer,
            closing: AtomicBool::new(false),
            status: Mutex::default(),
            wake: Condvar::new(),
            tries: Mutex::default(),
        });
        let work = |(session, handler)| {
            let (shared, options) = (shared.clone(), options.clone());
            Work { shared, session, dead, options, handler, tries: 0 }
        };
        let work = sessions.into_iter().zip(handlers).map(work).collect();
        let (callers, threads) = (Mutex::default(), Mutex::default());
        Ok(Prepared { listener: Listener { shared, callers, threads }, work })
    }

    /// What it has done so far.
    pub fn status(&self) -> ListenerStatus {
        self.shared.status.lock().clone()
    }

    /// Ends the work after the unit under way and closes the consumer. BUSY from inside the handler.
    pub fn close(&self) -> Result<()> {
        // Asked without the lock under which somebody else may wait for this very handler.
        if self.callers.lock().contains(&thread::current().id()) {
            return Err(Error::new(Code::Busy, "a listener cannot be closed by its own handler"));
        }
        self.shared.close();
        let mut threads = self.threads.lock();
        let ended: Vec<_> = threads.drain(..).map(JoinHandle::join).collect();
        match ended.iter().any(std::result::Result::is_err) {
            true => Err(Error::new(Code::Panic, "the thread of a listener panicked")),
            false => Ok(()),
        }
    }
}

impl Shared {
    /// Ends the work after the units under way.
    fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.consumer.close();
        drop(self.status.lock());
        self.wake.notify_all();
    }
}

/// A listener whose threads do not run yet.
struct Prepared {
    listener: Listener,
    work: Vec<Work>,
}

impl Prepared {
    fn start(self) -> Result<Listener> {
        // A handler that closes it at once waits until all of them are known.
        let mut callers = self.listener.callers.lock();
        for mut work in self.work {
            let thread = thread::Builder::new()
                .name("repliq-listener".into())
                .spawn(move || work.run())
                .map_err(|error| Error::io("cannot start a thread of a listener", &error))?;
            callers.push(thread.thread().id());
            self.listener.threads.lock().push(thread);
        }
        drop(callers);
        Ok(self.listener)
    }
}

/// A handler for each thread, all of which are the same.
fn copies(
    options: &ListenerOptions,
    handler: impl Fn(&mut Session, &[Received]) -> Handled + Send + Sync + 'static,
) -> Result<Vec<Handler>> {
    let most = limits::LISTENER_THREADS_MAX;
    if !(1..=most).contains(&options.threads) {
        let text = format!("threads is {}, which is not between 1 and {most}", options.threads);
        return Err(Error::new(Code::Invalid, text));
    }
    let handler = Arc::new(handler);
    let copy = |_| -> Handler {
        let handler = handler.clone();
        Box::new(move |session: &mut Session, unit: &[Received]| handler(session, unit))
    };
    Ok((0..options.threads).map(copy).collect())
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.close().is_err() {
            // Its own handler held the last handle: the threads end by themselves.
            self.shared.close();
        }
    }
}

/// The work of a listener.
pub struct Work {
    shared: Arc<Shared>,
    session: Session,
    dead: Option<Queue>,
    options: ListenerOptions,
    handler: Handler,
    /// Failures of the unit under way.
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
                        self.shared.status.lock().ended.get_or_insert(error);
                        if self.options.threads > 1 {
                            // The others would go on without one of them, and nobody would see it.
                            self.shared.close();
                        }
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
        self.tries = self.shared.tries.lock().get(&unit[0].sequence()).copied().unwrap_or(0);
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
                self.forget_tries(&unit);
                self.shared.status.lock().done += 1;
            }
            Handled::Retry(reason) => self.failed(&unit, &reason)?,
            Handled::Park(reason) => self.park(&unit, &reason)?,
        }
        Ok(())
    }

    fn failed(&mut self, unit: &[Received], reason: &str) -> Result<()> {
        self.tries += 1;
        self.note_tries(unit);
        self.shared.status.lock().failed += 1;
        match self.options.policy {
            Policy::Park => self.park(unit, reason),
            Policy::DeadLetter { after, .. } if self.tries >= after => self.bury(unit, reason),
            _ if self.options.threads > 1 => {
                // Another thread would be given it at once.
                self.pause();
                self.session.rollback()
            }
            _ => {
                self.session.rollback()?;
                self.pause();
                Ok(())
            }
        }
    }

    fn note_tries(&self, unit: &[Received]) {
        let mut tries = self.shared.tries.lock();
        tries.insert(unit[0].sequence(), self.tries);
        // Of units that others finished nobody hears.
        if tries.len() > limits::PARKED_KEYS_MAX + limits::LISTENER_THREADS_MAX as usize {
            tries.pop_first();
        }
    }

    fn forget_tries(&mut self, unit: &[Received]) {
        self.tries = 0;
        self.shared.tries.lock().remove(&unit[0].sequence());
    }

    fn is_parked(&self, unit: &[Received]) -> bool {
        let status = self.shared.status.lock();
        unit.iter().any(|one| status.parked.iter().any(|(key, _)| key == one.key()))
    }

    fn park(&mut self, unit: &[Received], reason: &str) -> Result<()> {
        self.session.forget_puts();
        self.forget_tries(unit);
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
        self.forget_tries(unit);
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
