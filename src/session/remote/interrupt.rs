//! Who waits for a server may be called away.
//!
//! Languages call a thread away in ways of their own: a signal handler of Python, the interrupt of a thread of Java.
//! Both are flags that somebody has to look at. A binding makes its calls in [`interruptible`] and says how to look;
//! what waits for a server in such a call looks now and then, with no lock held.
//!
//! Promises: a call that is called away fails with CANCELLED, or with OUTCOME_UNKNOWN where it is a commit that was
//! sent. One whose answer comes within [`CALM`] is not disturbed, so nothing is given up where a binding waits in
//! shorter slices and looks between them by itself.

use crate::error::{Code, Error, Result};
use crate::sync::{Condvar, MutexGuard};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The time before the first look.
const CALM: Duration = Duration::from_millis(60);
/// The time between two looks.
const SLICE: Duration = Duration::from_millis(20);

thread_local!(static LOOK: Cell<Option<fn() -> bool>> = const { Cell::new(None) });

/// Runs a call; what waits for a server in it ends soon after `look` says so.
pub fn interruptible<T>(look: fn() -> bool, call: impl FnOnce() -> T) -> T {
    struct Back(Option<fn() -> bool>);
    impl Drop for Back {
        fn drop(&mut self) {
            LOOK.set(self.0);
        }
    }
    let _back = Back(LOOK.replace(Some(look)));
    call()
}

/// A wait that somebody may be called away from.
pub struct Patience {
    look: Option<(fn() -> bool, Instant)>,
}

impl Patience {
    /// For a wait that begins now.
    pub fn new() -> Patience {
        Patience { look: LOOK.get().map(|look| (look, Instant::now() + CALM)) }
    }

    /// Waits for a change; false when the time is over. Fails with CANCELLED.
    pub fn wait<T>(
        &mut self,
        until: Instant,
        changed: &Condvar,
        guard: &mut MutexGuard<'_, T>,
    ) -> Result<bool> {
        let next = self.look.map_or(until, |(_, at)| at.min(until));
        if !changed.wait_until(guard, next).timed_out() {
            return Ok(true);
        }
        let now = Instant::now();
        if let Some((look, at)) = &mut self.look
            && now >= *at
        {
            *at = now + SLICE;
            let look = *look;
            if MutexGuard::unlocked(guard, look) {
                return Err(away());
            }
        }
        Ok(now < until)
    }
}

/// Sleeps between two tries. Fails with CANCELLED.
pub fn pause(time: Duration) -> Result<()> {
    std::thread::sleep(time);
    match LOOK.get() {
        Some(look) if look() => Err(away()),
        _ => Ok(()),
    }
}

fn away() -> Error {
    Error::new(Code::Cancelled, "the call was interrupted while it waited for the server")
}
