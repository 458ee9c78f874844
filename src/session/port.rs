//! The one asynchronous mechanism: a queue of completions, each with the caller's tag.
//!
//! An operation started on a port ends there as one event, in the order in which the operations ended. Whoever
//! is in [`Port::drain`] leads the commits; where nobody is, the store's commit thread does. [`Port::fd`] can
//! be polled: it is readable while events wait.
//!
//! Promises: each started operation gives exactly one event, also after [`Port::cancel`], which ends the
//! waiting and not the commit; no call of the library runs on a thread of the caller but inside `drain`.

use crate::error::{Code, Error, Result};
use crate::store::{Commit, Core};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How an operation ended.
#[derive(Clone, Debug)]
pub struct Event {
    /// The tag it was started with.
    pub tag: u64,
    /// What it answered.
    pub outcome: Result<Commit>,
}

/// A queue of completions. Clones are the same port; the last one closes it.
#[derive(Clone)]
pub struct Port {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Event>,
    pending: HashMap<u64, Pending, BuildHasherDefault<Spread>>,
    started: u64,
    drainers: usize,
    closed: bool,
    stores: Vec<Weak<Core>>,
    /// What to do when the operations of a tag are cancelled.
    hooks: HashMap<u64, Vec<Hook>>,
    pipe: Option<(PipeReader, PipeWriter)>,
}

/// The hash of a tag: one multiplication. Who chose tags that meet would be slow by himself alone.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 << 8 | u64::from(*byte)));
    }

    fn write_u64(&mut self, tag: u64) {
        let wide = u128::from(tag) * 0x9e37_79b9_7f4a_7c15;
        self.0 = wide as u64 ^ (wide >> 64) as u64;
    }
}

/// Hears that an operation was cancelled.
type Hook = Box<dyn FnOnce() + Send>;

/// Operations with one tag that have not ended, and of these, how many were cancelled.
#[derive(Clone, Copy, Default)]
struct Pending {
    waiting: u32,
    cancelled: u32,
}

/// An operation under way; ends as an event, whatever happens to it.
pub struct Started {
    inner: Arc<Inner>,
    tag: u64,
    ended: bool,
}

impl Port {
    /// A new port. It has no thread; the descriptor is made when it is asked for.
    pub fn open() -> Result<Port> {
        let inner = Inner { state: Mutex::new(State::default()), wake: Condvar::new() };
        Ok(Port { inner: Arc::new(inner) })
    }

    /// A descriptor that is readable while events wait; it belongs to the port.
    pub fn fd(&self) -> Result<RawFd> {
        let mut state = self.inner.state.lock();
        if state.pipe.is_none() {
            let failed = |error| Error::io("cannot make a descriptor for a port", &error);
            let (reader, mut writer) = std::io::pipe().map_err(failed)?;
            if !state.ready.is_empty() {
                writer.write_all(&[1]).map_err(failed)?;
            }
            state.pipe = Some((reader, writer));
        }
        Ok(state.pipe.as_ref().map_or(-1, |(reader, _)| reader.as_raw_fd()))
    }

    /// Takes at most `max` events, waiting at most `wait` for the first.
    pub fn drain(&self, max: usize, wait: Duration) -> Result<Vec<Event>> {
        let deadline = Instant::now().checked_add(wait);
        let mut state = self.inner.state.lock();
        state.drainers += 1;
        let events = loop {
            if !state.ready.is_empty() {
                break state.take(max.max(1));
            }
            if state.closed {
                state.drainers -= 1;
                return Err(closed());
            }
            let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            if left.is_zero() {
                break Vec::new();
            }
            if self.lead(&mut state) {
                continue;
            }
            match deadline {
                Some(at) => drop(self.inner.wake.wait_until(&mut state, at)),
                None => self.inner.wake.wait(&mut state),
            }
        };
        state.drainers -= 1;
        let left_alone = state.drainers == 0 && !state.pending.is_empty();
        let stores: Vec<_> = if left_alone { state.stores.clone() } else { Vec::new() };
        drop(state);
        for store in stores.iter().filter_map(Weak::upgrade) {
            if store.journal().waiting() > 0 {
                store.lead_soon();
            }
        }
        Ok(events)
    }

    /// Leads the commits of the stores this port waits for; false when there is none to lead.
    fn lead(&self, state: &mut MutexGuard<'_, State>) -> bool {
        state.stores.retain(|store| store.strong_count() > 0);
        let stores: Vec<Arc<Core>> = state.stores.iter().filter_map(Weak::upgrade).collect();
        let waiting: Vec<_> = stores.into_iter().filter(|s| s.journal().waiting() > 0).collect();
        if waiting.is_empty() {
            return false;
        }
        MutexGuard::unlocked(state, || {
            for store in waiting {
                // A failure reaches everybody who waits, as the outcome of the operation.
                let _ = store.journal().commit_all();
            }
        });
        true
    }

    /// Ends the waiting for the operations with this tag: each gives an event with CANCELLED now. What was
    /// started goes on and may still be committed.
    pub fn cancel(&self, tag: u64) -> Result<()> {
        let mut state = self.inner.state.lock();
        let Some(pending) = state.pending.get_mut(&tag) else {
            let text = format!("no operation with tag {tag} is under way on this port");
            return Err(Error::new(Code::NoSuchName, text));
        };
        let count = std::mem::take(&mut pending.waiting);
        pending.cancelled += count;
        for _ in 0..count {
            let text = format!("the operation with tag {tag} is not waited for any more");
            state.push(Event { tag, outcome: Err(Error::new(Code::Cancelled, text)) });
        }
        let hooks = state.hooks.remove(&tag).unwrap_or_default();
        drop(state);
        self.inner.wake.notify_all();
        hooks.into_iter().for_each(|hook| hook());
        Ok(())
    }

    /// Ends the port: those who wait are told, and events of operations under way are dropped.
    pub fn close(&self) {
        self.inner.state.lock().closed = true;
        self.inner.wake.notify_all();
    }

    /// Begins an operation on a store.
    pub(crate) fn start(&self, core: &Arc<Core>, tag: u64) -> Result<Started> {
        let mut state = self.inner.state.lock();
        state.begin(tag)?;
        if !state.stores.iter().any(|store| std::ptr::eq(store.as_ptr(), Arc::as_ptr(core))) {
            state.stores.push(Arc::downgrade(core));
        }
        Ok(Started { inner: self.inner.clone(), tag, ended: false })
    }

    /// The same at a server, which leads by itself.
    pub(crate) fn start_elsewhere(&self, tag: u64) -> Result<Started> {
        self.inner.state.lock().begin(tag)?;
        Ok(Started { inner: self.inner.clone(), tag, ended: false })
    }

    /// Calls `hook` when the operations with this tag are cancelled, or now where they were; never where they ended.
    pub(crate) fn when_cancelled(&self, tag: u64, hook: Hook) {
        let mut state = self.inner.state.lock();
        match state.pending.get(&tag) {
            None => {}
            Some(pending) if pending.waiting == 0 => {
                drop(state);
                hook();
            }
            Some(_) => state.hooks.entry(tag).or_default().push(hook),
        }
    }

    /// Whether somebody is in [`Port::drain`] and leads.
    pub(crate) fn is_drained(&self) -> bool {
        self.inner.state.lock().drainers > 0
    }

    /// Wakes who drains, so that commits just started are led.
    pub(crate) fn wake(&self) {
        self.inner.wake.notify_one();
    }
}

impl Started {
    /// Ends the operation.
    pub fn end(mut self, outcome: Result<Commit>) {
        self.finish(outcome);
    }

    /// Takes the beginning back: the caller is told in another way.
    pub fn forget(mut self) {
        self.ended = true;
        self.inner.state.lock().ended(self.tag);
    }

    fn finish(&mut self, outcome: Result<Commit>) {
        self.ended = true;
        let mut state = self.inner.state.lock();
        if state.ended(self.tag) {
            let tag = self.tag;
            state.push(Event { tag, outcome });
        }
        let wake = state.drainers > 0;
        drop(state);
        if wake {
            self.inner.wake.notify_one();
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.ended {
            let text = "the operation was dropped before it ended; its outcome is not known";
            self.finish(Err(Error::new(Code::OutcomeUnknown, text)));
        }
    }
}

impl State {
    fn begin(&mut self, tag: u64) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        self.pending.entry(tag).or_default().waiting += 1;
        self.started += 1;
        Ok(())
    }

    /// Counts an operation as ended; false when it was cancelled before.
    fn ended(&mut self, tag: u64) -> bool {
        let Some(pending) = self.pending.get_mut(&tag) else { return false };
        let wanted = pending.waiting > 0;
        if wanted {
            pending.waiting -= 1;
        } else {
            pending.cancelled -= 1;
        }
        if pending.waiting + pending.cancelled == 0 {
            self.pending.remove(&tag);
            self.hooks.remove(&tag);
        }
        wanted && !self.closed
    }

    fn push(&mut self, event: Event) {
        if self.ready.is_empty()
            && let Some((_, writer)) = &mut self.pipe
        {
            // The pipe holds one byte at most, so it is never full.
            let _ = writer.write_all(&[1]);
        }
        self.ready.push_back(event);
    }

    fn take(&mut self, max: usize) -> Vec<Event> {
        let count = max.min(self.ready.len());
        let events = self.ready.drain(..count).collect();
        if self.ready.is_empty()
            && let Some((reader, _)) = &mut self.pipe
        {
            // There is exactly one byte, written with the first event.
            let _ = reader.read(&mut [0]);
        }
        events
    }
}

fn closed() -> Error {
    Error::new(Code::Closed, "the port is closed")
}
