//! The thread that works ahead: writes frozen state, merges it, prepares the next segment, gives dead ones back.
//!
//! It exists from the first roll on and is gone when it had nothing to do for a second. What it did not get
//! done is done by the caller that needs it, so nothing depends on it but speed; its errors are met there.

use super::Journal;
use crate::error::{Error, Result};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// How long the thread stays without work.
const IDLE: Duration = Duration::from_secs(1);

/// What the helper is asked to do, and its thread.
#[derive(Default)]
pub struct Helper {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    journal: OnceLock<Weak<Journal>>,
    reclaim: OnceLock<Arc<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Default)]
struct Work {
    prepare: Option<u64>,
    asked: bool,
    ahead: bool,
    running: bool,
    stop: bool,
}

impl Journal {
    /// Lets a helper thread work for this journal; `reclaim` gives dead segments back.
    pub fn employ(self: &Arc<Journal>, reclaim: Arc<dyn Fn() + Send + Sync>) {
        let helper = self.helper.lock();
        // A second call would find both set, and there is none.
        let _ = helper.journal.set(Arc::downgrade(self));
        let _ = helper.reclaim.set(reclaim);
    }

    /// Asks for the next segment of `length` bytes and everything else that can be done ahead.
    pub(super) fn work_ahead(&self, length: u64) {
        if !self.options.helper {
            // Without a helper only the reserve is kept; a full disk is met when it is needed.
            let turn = self.preparing.lock();
            let _ = self.keep_reserve();
            drop(turn);
            let _ = self.merge_a_piece();
            return;
        }
        self.ask(|work| (work.asked, work.prepare) = (true, Some(length)));
    }

    /// Asks the helper to get more of the mapped tail ready.
    pub(super) fn ask_ahead(&self) {
        if self.options.helper {
            self.ask(|work| work.ahead = true);
        }
    }

    /// Asks the helper to look for dead segments; false when there is no helper.
    pub fn ask_reclaim(&self) -> bool {
        self.options.helper && self.ask(|work| work.asked = true)
    }

    fn ask(&self, what: impl FnOnce(&mut Work)) -> bool {
        let mut helper = self.helper.lock();
        let Some(journal) = helper.journal.get().cloned() else { return false };
        let shared = helper.shared.clone();
        let mut work = shared.work.lock();
        if work.stop {
            return false;
        }
        what(&mut work);
        if work.running {
            shared.wake.notify_one();
            return true;
        }
        let theirs = shared.clone();
        let named = thread::Builder::new().name("repliq-helper".into());
        let Ok(thread) = named.spawn(move || run(&journal, &theirs)) else { return false };
        work.running = true;
        drop(work);
        helper.thread = Some(thread);
        true
    }

    /// Ends the helper thread and waits for it.
    pub(super) fn stop_helper(&self) -> Result<()> {
        let (thread, shared) = {
            let mut helper = self.helper.lock();
            (helper.thread.take(), helper.shared.clone())
        };
        self.hurry();
        shared.work.lock().stop = true;
        shared.wake.notify_one();
        match thread {
            Some(thread) if thread.thread().id() != thread::current().id() => {
                thread.join().map_err(|_| {
                    Error::new(crate::error::Code::Panic, "the helper thread of the store panicked")
                })
            }
            _ => Ok(()),
        }
    }

    fn work(&self, prepare: Option<u64>) {
        // What fails here fails again, and is reported, where somebody needs it.
        if let Some(length) = prepare {
            let _ = self.prepare(length);
        }
        if self.is_mapped() {
            let _ = self.commit_sealed();
            self.get_ready();
        } else if self.sync_is_due() {
            let _ = self.commit_all();
        }
        let _ = self.settle_run();
        let _ = self.merge_runs();
    }
}

fn run(journal: &Weak<Journal>, shared: &Shared) {
    let mut work = shared.work.lock();
    loop {
        if work.stop {
            break;
        }
        if !work.asked && !work.ahead {
            let idle = shared.wake.wait_for(&mut work, IDLE).timed_out();
            if idle && !work.asked && !work.ahead {
                break;
            }
            continue;
        }
        let (ahead, asked) = (std::mem::take(&mut work.ahead), std::mem::take(&mut work.asked));
        let prepare = work.prepare.take();
        drop(work);
        let Some(journal) = journal.upgrade() else { return };
        if ahead {
            journal.get_ready();
        }
        if asked {
            journal.work(prepare);
            let reclaim = journal.helper.lock().reclaim.get().cloned();
            if let Some(reclaim) = reclaim {
                reclaim();
            }
        }
        drop(journal);
        work = shared.work.lock();
    }
    work.running = false;
}
