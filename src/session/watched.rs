//! Sessions whose transactions may be ended by others than their owners: those that may not be idle for long, and those that
//! are remembered, which another owner may take over.
//!
//! The session stands under a lock, which each call holds until it returns. A transaction that is open and was not used
//! for the time given is rolled back by the watch, one thread for all sessions of the process, which exists while such a
//! transaction is open. That of a session that is taken over is rolled back by who takes it, or by the call that is under
//! way.
//!
//! Promises: a transaction is rolled back between two calls, never within one; the owner is told once, by the next call;
//! what was received goes back at once.

use super::session::LocalSession;
use crate::error::{Code, Error, Result};
use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// A session that is watched.
pub struct Watched(Arc<Place>);

/// Where its owner and the watch find it.
struct Place {
    /// How long a transaction may be idle, where there is a bound.
    idle: Option<Duration>,
    /// Whether another owner has the session.
    lost: AtomicBool,
    held: Mutex<Held>,
}

struct Held {
    session: LocalSession,
    used: Instant,
    /// Whether the watch looks after it.
    watched: bool,
    /// Whether its transaction was rolled back and its owner does not know.
    ended: bool,
}

impl Watched {
    /// Watches a session, whose transactions may be idle for so long, 0 = for ever.
    pub fn new(session: LocalSession, idle_ms: u32) -> Watched {
        let held = Held { session, used: Instant::now(), watched: false, ended: false };
        let idle = (idle_ms > 0).then(|| Duration::from_millis(idle_ms.into()));
        let place = Arc::new(Place { idle, lost: AtomicBool::new(false), held: Mutex::new(held) });
        let watched = Watched(place);
        watched.hears();
        watched
    }

    /// Hears of it when another owner takes the session over, as soon as it is remembered.
    pub fn hears(&self) {
        let theirs = Arc::downgrade(&self.0);
        let tell = move || {
            if let Some(place) = theirs.upgrade() {
                place.lost.store(true, Ordering::SeqCst);
                place.give_back();
            }
        };
        self.0.held.lock().session.on_fenced(Box::new(tell));
        self.go_back();
    }

    /// Whoever took the session over may have found a call under way.
    fn go_back(&self) {
        if self.0.lost.load(Ordering::SeqCst) {
            self.0.give_back();
        }
    }

    /// Does something with the session; ROLLED_BACK when its transaction was idle for too long.
    pub fn work<T, E: From<Error>>(
        &self,
        act: impl FnOnce(&mut LocalSession) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut held = self.0.held.lock();
        if std::mem::take(&mut held.ended) {
            let idle = self.0.idle.unwrap_or_default().as_millis();
            let text =
                format!("the transaction was rolled back: nobody went on with it for {idle} ms");
            return Err(Error::new(Code::RolledBack, text).caused_by(Code::Timeout).into());
        }
        let done = act(&mut held.session);
        held.used = Instant::now();
        let begun = self.0.idle.filter(|_| !held.watched && !held.session.is_empty());
        let at = begun.map(|idle| held.used + idle);
        held.watched |= begun.is_some();
        drop(held);
        if let Some(at) = at {
            watch(at, &self.0);
        }
        self.go_back();
        done
    }

    /// Does something that ends with the transaction as it is.
    pub fn held<T>(&self, act: impl FnOnce(&mut LocalSession) -> T) -> T {
        act(&mut self.0.held.lock().session)
    }

    /// Rolls back, also what is rolled back already.
    pub fn rollback(&self) -> Result<()> {
        let mut held = self.0.held.lock();
        held.ended = false;
        held.session.rollback()
    }

    /// Whether nothing was put or received since the last commit or roll back that its owner knows of.
    pub fn is_empty(&self) -> bool {
        let held = self.0.held.lock();
        !held.ended && held.session.is_empty()
    }
}

impl Place {
    /// Rolls back what a session holds that was taken away; a call that is under way does it at its end.
    fn give_back(&self) {
        if let Some(mut held) = self.held.try_lock() {
            // A store that was closed meanwhile has nothing to give back to.
            let _ = held.session.rollback();
        }
    }
}

impl Held {
    /// Rolls back what is idle; when to look again, if ever.
    fn look(&mut self, idle: Duration, now: Instant) -> Option<Instant> {
        if self.session.is_empty() {
            self.watched = false;
            return None;
        }
        let over = self.used + idle;
        if over > now || sabotage!("idle transaction kept") {
            return Some(over.max(now + idle));
        }
        // A store that was closed meanwhile has nothing to give back to.
        let _ = self.session.rollback();
        (self.watched, self.ended) = (false, true);
        None
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The watch may hold the place for a moment; what was received goes back now.
        let _ = self.0.held.lock().session.rollback();
    }
}

/// What the watch looks after.
#[derive(Default)]
struct Watch {
    plan: Mutex<Plan>,
    changed: Condvar,
}

#[derive(Default)]
struct Plan {
    next: u64,
    at: BTreeMap<(Instant, u64), Weak<Place>>,
    running: bool,
}

fn the_watch() -> &'static Arc<Watch> {
    static WATCH: OnceLock<Arc<Watch>> = OnceLock::new();
    WATCH.get_or_init(Arc::default)
}

/// Looks after a session from this time on.
fn watch(at: Instant, place: &Arc<Place>) {
    let watch = the_watch();
    let mut plan = watch.plan.lock();
    plan.add(at, Arc::downgrade(place));
    if plan.running {
        watch.changed.notify_one();
        return;
    }
    let run = || run(the_watch());
    let begun = std::thread::Builder::new().name("repliq-idle".into()).spawn(run);
    match begun {
        Ok(_) => plan.running = true,
        // Without a thread nothing is rolled back; the next call tries again.
        Err(_) => {
            plan.at.clear();
            place.held.lock().watched = false;
        }
    }
}

impl Plan {
    fn add(&mut self, at: Instant, place: Weak<Place>) {
        self.next += 1;
        self.at.insert((at, self.next), place);
    }

    /// The first whose time has come.
    fn due(&mut self, now: Instant) -> Option<Weak<Place>> {
        let first = self.at.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}

fn run(watch: &Watch) {
    let mut plan = watch.plan.lock();
    loop {
        let now = Instant::now();
        if let Some(due) = plan.due(now) {
            drop(plan);
            let again = due.upgrade().and_then(|place| match place.held.try_lock() {
                // A call is under way: the transaction is not idle.
                None => place.idle.map(|idle| now + idle),
                Some(mut held) => place.idle.and_then(|idle| held.look(idle, now)),
            });
            plan = watch.plan.lock();
            if let Some(at) = again {
                plan.add(at, due);
            }
            continue;
        }
        let Some(at) = plan.at.keys().next().map(|first| first.0) else { break };
        watch.changed.wait_until(&mut plan, at);
    }
    plan.running = false;
}
