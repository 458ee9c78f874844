//! Locks of `parking_lot`'s shape on those of a scheduler that runs one thread at a time and chooses at every
//! operation who goes on.
//!
//! Time does not pass here. A timed wait of less than a second ends at once, after the others had their chance; a
//! longer one is a wait for ever, so that a wake-up that got lost ends the test as a deadlock.

use shuttle::sync as inner;
use shuttle::thread;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// A wait of this length is one for ever.
const LONG: Duration = Duration::from_secs(1);

/// A lock that no panic poisons.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(inner::Mutex<T>);

/// Who holds it.
pub(crate) struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    /// Away only while the holder waits.
    held: Option<inner::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(inner::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard { lock: self, held: Some(held) }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = match self.0.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { lock: self, held: Some(held) })
    }
}

impl<T> MutexGuard<'_, T> {
    /// Gives the lock away for the length of a call.
    pub(crate) fn unlocked<U>(guard: &mut Self, call: impl FnOnce() -> U) -> U {
        guard.held = None;
        let answer = call();
        guard.held = guard.lock.lock().held;
        answer
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("cannot be missed: it is away only while its holder waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("cannot be missed: it is away only while its holder waits")
    }
}

/// What ended a timed wait.
pub(crate) struct TimedWait(bool);

impl TimedWait {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(inner::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Condvar {
        Condvar(inner::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, wait: Duration) -> TimedWait {
        if wait >= LONG {
            self.wait(guard);
            return TimedWait(false);
        }
        MutexGuard::unlocked(guard, thread::yield_now);
        TimedWait(true)
    }

    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, until: Instant) -> TimedWait {
        self.wait_for(guard, until.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
