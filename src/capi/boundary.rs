//! The edge between C and the library: nothing unwinds over it, and what went wrong stays readable behind it.
//!
//! The last error of a thread is a fixed buffer of that thread, so its text cannot dangle; it has no destructor,
//! so it can be used while the thread ends.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::{Code, Error, Result};

use super::types::{REPLIQ_ERROR_TEXT_SIZE, REPLIQ_NO_INDEX, repliq_code, repliq_error};

thread_local! {
    /// How many calls of C this thread is inside of: more than one when a callback calls back.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static LAST: RefCell<repliq_error> = const { RefCell::new(NONE) };
}

const NONE: repliq_error = repliq_error {
    size: 0,
    code: 0,
    cause_code: 0,
    os_errno: 0,
    flags: 0,
    message_index: REPLIQ_NO_INDEX,
    sequence_from: 0,
    sequence_to: 0,
    text: [0; REPLIQ_ERROR_TEXT_SIZE],
};

/// Runs the body of an exported function and turns what comes out of it into a code.
#[inline(always)]
pub(super) fn boundary(body: impl FnOnce() -> Result<()>) -> repliq_code {
    let body = || {
        #[cfg(feature = "sabotage")]
        sabotage::strike(sabotage::AT_THE_EDGE);
        body()
    };
    // Looking a thread's own data up is a good part of what a call costs, so it is done once.
    let depth = DEPTH.with(std::ptr::from_ref);
    // SAFETY: it is this thread's, needs no drop, and so lives as long as the thread.
    let depth = unsafe { &*depth };
    depth.set(depth.get() + 1);
    let outcome = panic::catch_unwind(AssertUnwindSafe(body));
    let code = match outcome {
        Ok(Ok(())) => Code::Ok as repliq_code,
        Ok(Err(error)) => remember(error),
        Err(payload) => remember(panicked(payload)),
    };
    depth.set(depth.get() - 1);
    code
}

/// Whether this thread is inside a call that called back.
pub(super) fn is_nested() -> bool {
    DEPTH.get() > 1
}

/// Called when a handle was entered.
#[inline]
pub(super) fn entered() {
    #[cfg(feature = "sabotage")]
    sabotage::strike(sabotage::INSIDE_A_HANDLE);
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "of an unknown kind".to_owned(),
    };
    // Dropping what was thrown may throw again.
    std::mem::forget(payload);
    Error::new(Code::Panic, format!("a bug of repliq, please report it: {text}"))
}

/// Keeps the error for `repliq_error_last`.
#[cold]
#[inline(never)]
fn remember(error: Error) -> repliq_code {
    let code = error.code();
    let (sequence_from, sequence_to) = error.range().unwrap_or((0, 0));
    let mut last = repliq_error {
        code: code as repliq_code,
        cause_code: error.cause() as repliq_code,
        os_errno: error.os_errno(),
        flags: code.flags(),
        message_index: error.message_index().unwrap_or(REPLIQ_NO_INDEX),
        sequence_from,
        sequence_to,
        ..NONE
    };
    fill(&mut last.text, &error.to_string());
    LAST.with_borrow_mut(|kept| *kept = last);
    code as repliq_code
}

/// Writes as much of a text as has room to an array of zeros, and leaves one at its end.
pub(super) fn fill(array: &mut [std::ffi::c_char; REPLIQ_ERROR_TEXT_SIZE], text: &str) {
    let end = text.floor_char_boundary(REPLIQ_ERROR_TEXT_SIZE - 1);
    for (to, from) in array.iter_mut().zip(&text.as_bytes()[..end]) {
        *to = if *from == 0 { b'?' } else { *from } as std::ffi::c_char;
    }
}

/// The error of the last call of this thread that failed.
pub(super) fn last() -> repliq_error {
    LAST.with_borrow(|kept| *kept)
}

/// Keeps panics that this file catches off the standard error stream of the host: they become errors and log
/// lines. Others go on to the hook that was there before.
pub(super) fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| match DEPTH.get() {
            0 => before(info),
            _ => log::error!("{info}"),
        }));
    });
}

/// Planted panics, in a build of their own: the tests prove with them that each export stops one.
#[cfg(feature = "sabotage")]
mod sabotage {
    use std::cell::Cell;

    /// Where the next panic of this thread is: nowhere, at the edge, or behind the first handle entered.
    pub(super) const AT_THE_EDGE: u32 = 1;
    pub(super) const INSIDE_A_HANDLE: u32 = 2;

    thread_local!(static ARMED: Cell<u32> = const { Cell::new(0) });

    pub(super) fn strike(place: u32) {
        if ARMED.get() == place {
            ARMED.set(0);
            panic!("planted");
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn repliq_sabotage_panic(place: u32) {
        ARMED.set(place);
    }
}
