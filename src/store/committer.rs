//! The commit thread: leads the commits that nobody waits for in a call.
//!
//! It exists from the first asynchronous commit on and is gone when it had nothing to do for a second. It also wakes those
//! who wait for a time on a port. It
//! holds the journal and not the store, so that an open store never depends on it.

use super::Core;
use crate::error::{Code, Error, Result};
use crate::journal::{Appended, Journal, Waiter};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the thread stays without work.
const IDLE: Duration = Duration::from_secs(1);

/// What the commit thread is asked to do, and the thread.
#[derive(Default)]
pub struct Committer {
    thread: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Default)]
struct Work {
    asked: bool,
    /// When those who wait for a time look again.
    alarm: Option<Instant>,
    asleep: bool,
    running: bool,
    stop: bool,
}

/// A watch on the horizon; ends when dropped.
pub struct Watch {
    journal: Arc<Journal>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.journal.unwatch(self.id);
    }
}

impl Core {
    /// Calls `waiter` once the transaction is durable, or with the error that makes it never so; on the
    /// thread that leads the sync, or at once. Somebody leads it without being asked again.
    pub fn when_durable(&self, appended: &Appended, waiter: Waiter) {
        self.journal.when_durable(appended, waiter);
        self.lead_soon();
    }

    /// Makes everything appended so far durable soon, on the commit thread; where nobody waits for that, it is only shown.
    /// Without a helper there is no such thread either, and the caller leads.
    pub fn lead_soon(&self) {
        if !self.helped {
            lead(&self.journal);
            return;
        }
        self.committer.ask(&self.journal);
    }

    /// Lets those who wait look again at this time. Without a helper nobody does.
    pub fn wake_at(&self, at: Instant) {
        if self.helped {
            self.committer.wake_at(&self.journal, at);
        }
    }

    /// Calls `call` after every move of the durable horizon and every `process` commit, without a lock held.
    pub fn watch(&self, call: Arc<dyn Fn() + Send + Sync>) -> Watch {
        Watch { journal: self.journal.clone(), id: self.journal.watch(call) }
    }
}

impl Committer {
    fn ask(&self, journal: &Arc<Journal>) {
        let mut work = self.shared.work.lock();
        work.asked = true;
        self.run(journal, work);
    }

    fn wake_at(&self, journal: &Arc<Journal>, at: Instant) {
        let mut work = self.shared.work.lock();
        if work.alarm.is_some_and(|earlier| earlier <= at) {
            return;
        }
        work.alarm = Some(at);
        self.run(journal, work);
    }

    /// Wakes the thread, or begins one.
    fn run(&self, journal: &Arc<Journal>, mut work: MutexGuard<'_, Work>) {
        if work.running {
            if work.asleep {
                self.shared.wake.notify_one();
            }
            return;
        }
        if work.stop {
            return;
        }
        work.running = true;
        drop(work);
        let named = thread::Builder::new().name("repliq-commit".into());
        let spawned = named.spawn({
            let (journal, shared) = (journal.clone(), self.shared.clone());
            move || run(&journal, &shared)
        });
        match spawned {
            Ok(thread) => {
                // The one before has ended by itself; its handle is of no use any more.
                *self.thread.lock() = Some(thread);
            }
            Err(_) => {
                // Without a thread the caller leads; a failure reaches whoever waits.
                self.shared.work.lock().running = false;
                lead(journal);
            }
        }
    }

    /// Ends the thread and waits for it.
    pub fn stop(&self) -> Result<()> {
        self.shared.work.lock().stop = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock().take();
        match thread {
            Some(thread) if thread.thread().id() != thread::current().id() => thread
                .join()
                .map_err(|_| Error::new(Code::Panic, "the commit thread of the store panicked")),
            _ => Ok(()),
        }
    }
}

fn run(journal: &Journal, shared: &Shared) {
    let mut work = shared.work.lock();
    while !work.stop {
        if !work.asked {
            let now = Instant::now();
            if work.alarm.is_some_and(|at| at <= now) {
                work.alarm = None;
                drop(work);
                journal.announce();
                work = shared.work.lock();
                continue;
            }
            let nap = work.alarm.map_or(IDLE, |at| at.duration_since(now));
            work.asleep = true;
            let timed_out = shared.wake.wait_for(&mut work, nap).timed_out();
            work.asleep = false;
            if timed_out && !work.asked && work.alarm.is_none() {
                break;
            }
            continue;
        }
        work.asked = false;
        drop(work);
        lead(journal);
        work = shared.work.lock();
    }
    work.running = false;
}

/// Makes what was appended durable where somebody waits for that, and shows it. Behind the last record there may be a watermark, which waits for the next sync:
/// whoever asks while the group is synced that has his record would sync that alone.
fn lead(journal: &Journal) {
    // A failure poisons the journal, and everybody who waits was told.
    let _ = journal.lead_for_others();
}
