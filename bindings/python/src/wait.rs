//! Calls that wait: without the GIL, interrupted by Ctrl-C, and safe while the interpreter ends.
//!
//! A wait is cut into slices; after each one Python may handle its signals, so that Ctrl-C ends every wait
//! within a slice. A wait for a server is one piece, since each slice of it would be a request: there it is looked at the
//! signals in the middle. A thread that comes back while the interpreter ends does not ask for the GIL any more, which
//! it would never get: it sleeps until the process is gone.

use pyo3::prelude::*;
use repliq::Code;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::error::{Answer, Raised, own};

/// The longest time without a look at the signals.
const SLICE: Duration = Duration::from_millis(40);
/// A wait for a server, which is looked after in the middle.
const WHOLE: Duration = Duration::MAX;
/// How long the end of the interpreter waits for threads that ask for the GIL already.
const LEAVE: Duration = Duration::from_secs(1);

/// The thread that ends the interpreter.
static LEAVING: OnceLock<ThreadId> = OnceLock::new();
/// Threads between their call and the GIL.
static RETURNING: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    /// What the handler of a signal raised in the middle of a call.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Runs a call without the GIL.
pub fn without_gil<T: Send>(
    py: Python<'_>,
    call: impl FnOnce() -> repliq::Result<T> + Send,
) -> Answer<T> {
    let outcome = py.detach(|| {
        let outcome = repliq::interruptible(is_signalled, || caught(call));
        come_back();
        outcome
    });
    RETURNING.fetch_sub(1, Ordering::SeqCst);
    match RAISED.take() {
        None => outcome,
        Some(raised) => Err(interrupted(py, raised, outcome.err())),
    }
}

/// Whether a handler of a signal raised something, which the end of the call brings to light.
fn is_signalled() -> bool {
    if RAISED.with_borrow(Option::is_some) {
        return true;
    }
    let raised = with_gil(|py| py.check_signals().err());
    let signalled = raised.is_some();
    RAISED.set(raised);
    signalled
}

/// What a handler raised; where the call knows more than that it was interrupted, it is the cause.
fn interrupted(py: Python<'_>, raised: PyErr, answer: Option<Raised>) -> Raised {
    match answer {
        None => {}
        Some(Raised::Core(error)) if error.code() == Code::Cancelled => {}
        Some(answer) => raised.set_cause(py, Some(answer.into())),
    }
    Raised::Python(raised)
}

/// Runs a call of the core: a panic in it is a code, like what else goes wrong there.
#[inline]
pub fn caught<T, E: Into<Raised>>(call: impl FnOnce() -> Result<T, E>) -> Answer<T> {
    let call = || {
        #[cfg(feature = "sabotage")]
        crate::sabotage::strike();
        call()
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(panic) => own(Code::Panic, format!("a bug of this library: {}", text(&*panic))),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked")
}

/// Enters Python from a call that is outside of it.
pub fn with_gil<T>(call: impl FnOnce(Python<'_>) -> T) -> T {
    come_back();
    Python::attach(|py| {
        RETURNING.fetch_sub(1, Ordering::SeqCst);
        call(py)
    })
}

/// Sleeps for ever where there is no interpreter to come back to.
fn come_back() {
    RETURNING.fetch_add(1, Ordering::SeqCst);
    if LEAVING.get().is_some_and(|main| *main != thread::current().id()) {
        RETURNING.fetch_sub(1, Ordering::SeqCst);
        loop {
            thread::park();
        }
    }
}

#[doc = stub!("leave")]
#[pyfunction]
pub fn leave(py: Python<'_>) {
    LEAVING.get_or_init(|| thread::current().id());
    py.detach(|| {
        let since = Instant::now();
        while RETURNING.load(Ordering::SeqCst) > 0 && since.elapsed() < LEAVE {
            thread::sleep(Duration::from_millis(1));
        }
    });
}

/// A time in seconds; `None` and infinity are for ever, what is below 0 is 0.
pub fn seconds(time: Option<f64>, name: &str) -> Answer<Option<Duration>> {
    let Some(time) = time else { return Ok(None) };
    if time.is_nan() {
        return own(Code::Invalid, format!("{name} is not a number of seconds"));
    }
    Ok(Duration::try_from_secs_f64(time.max(0.0)).ok())
}

/// A time in seconds as the milliseconds of an option.
pub fn milliseconds(time: f64, name: &str) -> Answer<u64> {
    let time = (time * 1000.0).round();
    if !(0.0..=9e15).contains(&time) {
        return own(Code::Invalid, format!("{name} is {}, no time in seconds", time / 1000.0));
    }
    Ok(time as u64)
}

/// Waits at most `timeout` seconds, slice by slice: `step` gives `None` when its slice is over.
pub fn wait<T: Send>(
    py: Python<'_>,
    timeout: Option<f64>,
    step: impl FnMut(Duration) -> repliq::Result<Option<T>> + Send,
) -> Answer<Option<T>> {
    wait_at(py, false, timeout, step)
}

/// The same; in one piece where `remote` says that a server is waited for.
pub fn wait_at<T: Send>(
    py: Python<'_>,
    remote: bool,
    timeout: Option<f64>,
    mut step: impl FnMut(Duration) -> repliq::Result<Option<T>> + Send,
) -> Answer<Option<T>> {
    let deadline = seconds(timeout, "timeout")?.and_then(|wait| Instant::now().checked_add(wait));
    let most = if remote { WHOLE } else { SLICE };
    loop {
        let left = deadline.map_or(most, |at| at.saturating_duration_since(Instant::now()));
        let slice = left.min(most);
        if let Some(found) = without_gil(py, || step(slice))? {
            return Ok(Some(found));
        }
        py.check_signals()?;
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return Ok(None);
        }
    }
}

/// The same for a call that fails with TIMEOUT when its time is over.
pub fn wait_or_fail(
    py: Python<'_>,
    remote: bool,
    timeout: Option<f64>,
    mut step: impl FnMut(Duration) -> repliq::Result<()> + Send,
) -> Answer<()> {
    let mut late = None;
    let done = wait_at(py, remote, timeout, |slice| match step(slice) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.code() == Code::Timeout => {
            late = Some(error);
            Ok(None)
        }
        Err(error) => Err(error),
    })?;
    match (done, late) {
        (None, Some(error)) => Err(Raised::Core(error)),
        _ => Ok(()),
    }
}

/// Runs a call that ends something, on a thread of its own: Ctrl-C ends the waiting for it, and not the call.
pub fn ending(py: Python<'_>, call: impl FnOnce() + Send + 'static) -> Answer<()> {
    let (done, ended) = mpsc::channel::<()>();
    let run = move || {
        call();
        drop(done);
    };
    if let Err(error) = thread::Builder::new().name("repliq-close".into()).spawn(run) {
        return own(Code::Io, format!("the thread of a close cannot be started: {error}"));
    }
    let step = move |slice| match ended.recv_timeout(slice) {
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(Some(())),
    };
    wait(py, None, step).map(|_| ())
}
