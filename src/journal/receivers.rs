//! Who waits for the journal to grow, or for the horizon to move, and who is called when it does.
//!
//! Promises: what was appended or shown behind a [`Seen`], and every nudge, ends the wait that was begun with it.

use super::Journal;
use crate::error::Result;
use crate::sync::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A closure that is told of every change of the horizon.
pub(super) type Watcher = Arc<dyn Fn() + Send + Sync>;

/// What a reader knew when it looked; see [`Journal::wait_beyond`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    shown: u64,
    appended: u64,
    nudges: u64,
}

impl Seen {
    /// Whether records wait for somebody to show them.
    pub fn is_behind(&self) -> bool {
        self.appended > self.shown
    }
}

impl Journal {
    /// What there is to see now; taken before looking, so that nothing is missed in between.
    pub fn seen(&self) -> Seen {
        let nudges = self.gate.nudges.load(Ordering::SeqCst);
        Seen { shown: self.shown_offset(), appended: self.appended(), nudges }
    }

    /// Waits until records were appended or may be seen beyond `seen`, or somebody nudged, at most `wait`;
    /// false when the time is over.
    pub fn wait_beyond(&self, seen: Seen, wait: Duration) -> Result<bool> {
        let deadline = Instant::now().checked_add(wait);
        self.gate.receivers.fetch_add(1, Ordering::SeqCst);
        let mut state = self.gate.state.lock();
        let outcome = loop {
            if let Some(poison) = &state.poisoned {
                break Err(self.lost(poison, u64::MAX, 0));
            }
            if self.seen() != seen {
                break Ok(true);
            }
            let timed_out = match deadline {
                Some(deadline) => self.gate.moved.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.gate.moved.wait(&mut state);
                    false
                }
            };
            if timed_out {
                break Ok(self.seen() != seen);
            }
        };
        drop(state);
        self.gate.receivers.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    /// Wakes those in [`Journal::wait_beyond`], so that they look again.
    #[inline]
    pub fn nudge(&self) {
        self.gate.nudges.fetch_add(1, Ordering::SeqCst);
        if self.gate.receivers.load(Ordering::SeqCst) > 0 {
            self.wake_receivers();
        }
    }

    #[cold]
    fn wake_receivers(&self) {
        drop(self.gate.state.lock());
        self.gate.moved.notify_all();
    }

    /// Calls `call` after every move of the durable horizon and every publication, on the thread that made
    /// it; no lock of the journal is held. Returns the number to end it with.
    pub fn watch(&self, call: Watcher) -> u64 {
        let mut watchers = self.gate.watchers.lock();
        let id = watchers.keys().next_back().map_or(1, |last| last + 1);
        watchers.insert(id, call);
        self.gate.watched.store(watchers.len(), Ordering::SeqCst);
        id
    }

    /// Ends a watch.
    pub fn unwatch(&self, id: u64) {
        let mut watchers = self.gate.watchers.lock();
        watchers.remove(&id);
        self.gate.watched.store(watchers.len(), Ordering::SeqCst);
    }
}
