//! A root queue, replicated to any number of servers: the public face.
//!
//! A put never waits for a network. Each target is a stream of the root with a link of its own, which connects,
//! goes on where the target is, and comes back by itself; targets come and go while the replication is open,
//! and a target that is gone for a week gets everything when it is back.
//!
//! A *job* is one transaction that belongs to the replication and not to a thread: what any thread sends while a
//! job is open falls into it. A send outside a job is a transaction of its own.

use super::select::Select;
use super::sender::Sender;
use super::target::{Target, TargetStatus};
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::link::{ConnectOptions, Endpoint, Link, LinkState};
use crate::position::Token;
use crate::queue::{From, Message, Queue};
use crate::session::{Session, Store};
use crate::store::{Begin, Commit, Core, Level};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::wire::{Machine, Waker};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Under which name a replication holds its root: no consumer can be called so.
const HOLDER: &str = "\u{1}replication";

/// How a replication works.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplicationOptions {
    /// The level of its commits; `None` = that of the store.
    pub level: Option<Level>,
}

/// How a target is reached and what it gets.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    /// How to connect.
    pub connect: ConnectOptions,
    /// The queue at the target; `None` = the one the URL names, or else the root's name.
    pub queue: Option<String>,
    /// Which messages it gets.
    pub select: Select,
    /// Where a new target begins: at the oldest message alive, or now. A sequence is UNSUPPORTED.
    pub from: From,
}

/// An open replication of one root queue. Clones are the same one; the last closes it.
#[derive(Clone)]
pub struct Replication {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    root: Queue,
    name: String,
    level: Level,
    running: Mutex<BTreeMap<String, Running>>,
    job: Mutex<Option<Session>>,
    closed: AtomicBool,
}

/// A target and its link.
struct Running {
    target: Arc<Target>,
    endpoint: Endpoint,
    connect: ConnectOptions,
    link: Link,
}

/// Opening, targets, closing.
/// Where a target of this name is, and where its stream begins. Fails with INVALID, TOO_LARGE or UNSUPPORTED.
pub(crate) fn planned(name: &str, url: &str, from: From) -> Result<(Endpoint, Begin)> {
    let endpoint = Endpoint::parse(url)?;
    crate::store::check_name("target", name)?;
    if url.len() > limits::URL_BYTES_MAX {
        let text = format!("the URL of target {name:?} has {} bytes", url.len());
        return Err(Error::new(Code::TooLarge, text));
    }
    match from {
        From::Oldest => Ok((endpoint, Begin::Oldest)),
        From::Now => Ok((endpoint, Begin::Now)),
        From::Sequence(_) => {
            let text = format!("target {name:?} cannot begin at a sequence: oldest or now");
            Err(Error::new(Code::Unsupported, text))
        }
    }
}

impl Replication {
    /// Opens the replication of a root queue; its targets are added one by one.
    ///
    /// Fails with BUSY while one of this root is open.
    pub fn open(store: &Store, root: Queue, options: &ReplicationOptions) -> Result<Replication> {
        let core = store.inside()?;
        core.check_writable()?;
        let name = core.look(|state| state.queue(root.number()).map(|queue| queue.name.clone()))?;
        if !core.claim_reader(root.number(), HOLDER) {
            let text =
                format!("queue {name:?} is replicated already, by another handle of this store");
            return Err(Error::new(Code::Busy, text));
        }
        let inner = Inner {
            store: store.clone(),
            root,
            name,
            level: options.level.unwrap_or(core.level()),
            running: Mutex::new(BTreeMap::new()),
            job: Mutex::new(None),
            closed: AtomicBool::new(false),
        };
        Ok(Replication { inner: Arc::new(inner) })
    }

    /// Adds a target and starts its link; returns at once, connected or not. A target of this name that the
    /// store knows goes on where it was.
    ///
    /// Fails with EXISTS when it is added already, INVALID for a bad URL or name or a missing user or password,
    /// CERTIFICATE or IO for a file of authorities that cannot be used; then nothing was begun.
    pub fn add(&self, name: &str, url: &str, options: &TargetOptions) -> Result<()> {
        self.check()?;
        options.select.check()?;
        let (endpoint, begin) = planned(name, url, options.from)?;
        let named = options.queue.as_deref().or(endpoint.queue());
        let destination = named.unwrap_or(&self.inner.name);
        crate::store::check_name("queue", destination)?;
        let mut running = self.inner.running.lock();
        if running.contains_key(name) {
            let text = format!("queue {:?} has a target {name:?} already", self.inner.name);
            return Err(Error::new(Code::Exists, text));
        }
        // A stream that begins is written down: nothing may be wrong with its target by then.
        Link::check_options(&endpoint, &options.connect)?;
        let core = self.inner.store.core();
        // What the log and the status show holds no password, whatever the URL held.
        let shown = endpoint.to_string();
        core.stream_open(self.inner.root.number(), name, &shown, begin)?;
        let number = self.inner.root.number();
        let target = Target::new(number, name, &shown, destination, options.select.clone());
        let target = Arc::new(target);
        let link = connect(core, &target, &endpoint, &options.connect)?;
        let connect = options.connect.clone();
        running.insert(name.to_string(), Running { target, endpoint, connect, link });
        Ok(())
    }

    /// Ends a target for good: it gets nothing more, and what only it kept may go.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.check()?;
        let running = self.inner.running.lock().remove(name);
        if let Some(running) = running {
            running.target.removed.store(true, Ordering::SeqCst);
            running.link.close();
        }
        self.inner.store.core().stream_remove(self.inner.root.number(), name)
    }

    /// Sets the transaction aside that this target refuses, for this target only. It is counted on both sides.
    pub fn skip(&self, name: &str) -> Result<()> {
        self.with_target(name, |target| target.skip())?;
        self.connect_again(name)
    }

    /// Lets a target go on that is behind what is still kept. What it misses is recorded on both sides.
    pub fn accept_gap(&self, name: &str) -> Result<()> {
        self.with_target(name, |target| {
            target.accept_gap(true);
            Ok(())
        })?;
        self.connect_again(name)
    }

    /// The targets as they are: those added here, and those the store knows from before.
    pub fn targets(&self) -> Result<Vec<TargetStatus>> {
        self.check()?;
        let core = self.inner.store.core();
        let number = self.inner.root.number();
        let known: Vec<(String, String)> = core.look(|state| {
            let of = state.queue(number)?;
            Ok::<_, Error>(of.streams.iter().map(|(n, s)| (n.clone(), s.url.clone())).collect())
        })?;
        let running: BTreeMap<String, Arc<Target>> = {
            let running = self.inner.running.lock();
            running.iter().map(|(name, running)| (name.clone(), running.target.clone())).collect()
        };
        let status = known.iter().map(|(name, url)| match running.get(name) {
            Some(target) => target.status(core),
            None => {
                let target = Target::new(number, name, url, "", Select::default());
                target.set_link("closed");
                target.status(core)
            }
        });
        status.collect()
    }

    /// One of the targets of [`targets`](Replication::targets). Fails with NO_SUCH_NAME.
    pub fn target(&self, name: &str) -> Result<TargetStatus> {
        let found = self.targets()?.into_iter().find(|target| target.name == name);
        found.ok_or_else(|| self.no_target(name))
    }

    /// Root, targets and whether a job is open, as JSON.
    pub fn status(&self) -> Result<String> {
        let targets: Vec<Value> = self.targets()?.iter().map(TargetStatus::to_json).collect();
        let open = self.inner.job.lock().is_some();
        let status = json!({ "root": self.inner.name, "job_open": open, "targets": targets });
        Ok(status.to_string())
    }

    /// Waits until every target has everything that is committed now, at most `timeout`, and ends the links.
    ///
    /// Fails with TIMEOUT when the time was over before; the rest goes out when the root is replicated again.
    pub fn stop(&self, timeout: Duration) -> Result<()> {
        let outcome = self.settle(timeout);
        self.close()?;
        outcome
    }

    /// Waits as [`Replication::stop`] does, and lets the links go on.
    pub fn settle(&self, timeout: Duration) -> Result<()> {
        self.check()?;
        let core = self.inner.store.core();
        core.journal().show_all()?;
        let (deadline, last) =
            (Instant::now().checked_add(timeout), core.journal().shown_sequence());
        loop {
            self.check()?;
            let seen = core.journal().seen();
            if self.reached(last)? {
                return Ok(());
            }
            let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            if left.is_zero() || !core.journal().wait_beyond(seen, left)? {
                let text = format!(
                    "not every target of {:?} had everything in the time given",
                    self.inner.name
                );
                return Err(Error::new(Code::Timeout, text));
            }
        }
    }

    /// Ends the links; an open job is rolled back. Later calls answer CLOSED.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    /// Whether every target added here has everything of the root up to this transaction.
    fn reached(&self, last: u64) -> Result<bool> {
        let (core, number) = (self.inner.store.core(), self.inner.root.number());
        let names: Vec<String> = self.inner.running.lock().keys().cloned().collect();
        for name in names {
            let position = core.stream_position(number, &name)?;
            if position < last && !core.is_quiet_behind(number, position)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        self.inner.store.core().check_open()?;
        if self.inner.closed.load(Ordering::SeqCst) {
            let text = format!("the replication of {:?} is closed", self.inner.name);
            return Err(Error::new(Code::Closed, text));
        }
        Ok(())
    }

    fn with_target<T>(&self, name: &str, call: impl FnOnce(&Target) -> Result<T>) -> Result<T> {
        self.check()?;
        let target = self.inner.running.lock().get(name).map(|running| running.target.clone());
        call(&*target.ok_or_else(|| self.no_target(name))?)
    }

    fn no_target(&self, name: &str) -> Error {
        let text = format!("queue {:?} has no target {name:?} here", self.inner.name);
        Error::new(Code::NoSuchName, text)
    }

    /// Tries again at once, whatever the pause between tries, and whatever stopped it before.
    fn connect_again(&self, name: &str) -> Result<()> {
        let mut running = self.inner.running.lock();
        let Some(one) = running.get_mut(name) else { return Ok(()) };
        // The old link ends first: what it says last must not stand for the new one.
        one.link.close();
        one.target.set_link("connecting");
        let core = self.inner.store.core();
        one.link = connect(core, &one.target, &one.endpoint, &one.connect)?;
        Ok(())
    }
}

/// Sending.
impl Replication {
    /// Sends a message of a kind; see [`Replication::send_message`].
    pub fn send(&self, kind: u16, payload: &[u8]) -> Result<Commit> {
        self.send_message(&Message { kind, ..Message::new(payload) })
    }

    /// Puts a message into the root: into the open job, or as a transaction of its own that is durable when the
    /// call returns. In a job the token is empty; it comes with the end of the job.
    pub fn send_message(&self, message: &Message<'_>) -> Result<Commit> {
        self.send_many(std::slice::from_ref(message))
    }

    /// The same for several messages, all or none.
    pub fn send_many(&self, messages: &[Message<'_>]) -> Result<Commit> {
        self.check()?;
        if let Some(job) = &mut *self.inner.job.lock() {
            job.put_many(self.inner.root, messages)?;
            let group = self.inner.store.core().look(|state| state.group_id());
            return Ok(Commit { token: Token::empty(group), level: Level::Process });
        }
        self.inner.store.put_at(self.inner.root, messages, self.inner.level)
    }

    /// Begins a job. Fails with EXISTS while one is open.
    pub fn start_job(&self) -> Result<()> {
        self.check()?;
        let mut job = self.inner.job.lock();
        if job.is_some() {
            let text = format!("a job of {:?} is open already", self.inner.name);
            return Err(Error::new(Code::Exists, text));
        }
        *job = Some(self.inner.store.session()?);
        Ok(())
    }

    /// Commits the job: everything sent since its start, as one transaction. Fails with INVALID when none is open.
    pub fn end_job(&self) -> Result<Commit> {
        let mut job = self.take_job()?;
        job.commit_at(self.inner.level)
    }

    /// Drops the job: nothing sent since its start is left.
    pub fn abort_job(&self) -> Result<()> {
        let mut job = self.take_job()?;
        job.rollback()
    }

    fn take_job(&self) -> Result<Session> {
        self.check()?;
        self.inner.job.lock().take().ok_or_else(|| {
            Error::new(Code::Invalid, format!("no job of {:?} is open", self.inner.name))
        })
    }

    /// Sees to it that everything committed goes out now. It does so by itself; this exists for those who are
    /// used to asking.
    pub fn push(&self) -> Result<()> {
        self.check()?;
        self.inner.store.core().lead_soon();
        Ok(())
    }

    /// The root queue.
    pub fn root(&self) -> Queue {
        self.inner.root
    }
}

impl Inner {
    fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let running = std::mem::take(&mut *self.running.lock());
        for one in running.values() {
            one.link.close();
        }
        let job = self.job.lock().take();
        drop(job);
        self.store.core().leave_readers(self.root.number(), HOLDER);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nothing can be lost here: what was committed is in the store.
        let _ = self.close();
    }
}

/// A machine for a sender that could not be made: the link ends with the reason and tries again later.
struct Unmade(Error);

impl Machine for Unmade {
    fn on_frame(&mut self, _: u8, _: &[u8], _: Instant) -> Result<()> {
        Err(self.0.clone())
    }

    fn next_frame(&mut self, _: Instant, _: &mut Vec<u8>) -> Result<Option<u8>> {
        Err(self.0.clone())
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

fn connect(
    core: &Arc<Core>,
    target: &Arc<Target>,
    endpoint: &Endpoint,
    options: &ConnectOptions,
) -> Result<Link> {
    let (core, of_link) = (core.clone(), target.clone());
    let make = move |waker: Waker| -> Box<dyn Machine> {
        match Sender::new(core.clone(), of_link.clone(), waker) {
            Ok(sender) => Box::new(sender),
            Err(error) => Box::new(Unmade(error)),
        }
    };
    let of_state = target.clone();
    let on_state = move |state: &LinkState| match state {
        LinkState::Connecting => of_state.set_trying(),
        LinkState::Connected => of_state.set_link("connected"),
        LinkState::Failed(error) => of_state.set_error(error),
        _ => of_state.set_link("closed"),
    };
    Link::connect(endpoint.clone(), options.clone(), Box::new(make), Arc::new(on_state))
}
