//! Queues as a whole: pause, resume, purge, delete.

use crate::error::Result;
use crate::queue::Queue;
use crate::session::Store;
use crate::store::Commit;

use super::argument::{self, Out};
use super::boundary::boundary;
use super::handle::pin;
use super::message;
use super::types::*;

unsafe fn change(
    store: *mut repliq_store,
    queue: repliq_queue,
    result: *mut repliq_result,
    change: impl FnOnce(&Store, Queue) -> Result<Commit>,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: NULL or a place for the result.
        let out = unsafe { Out::maybe(result, "result")? };
        out.put(argument::result(&change(&store, message::queue(queue))?));
        Ok(())
    })
}

/// Refuses puts and receives with REPLIQ_PAUSED until repliq_queue_resume.
///
/// `result` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_queue_pause(
    store: *mut repliq_store,
    queue: repliq_queue,
    result: *mut repliq_result,
) -> repliq_code {
    // SAFETY: the caller's contract.
    unsafe { change(store, queue, result, Store::queue_pause) }
}

/// Accepts puts and receives again.
///
/// `result` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_queue_resume(
    store: *mut repliq_store,
    queue: repliq_queue,
    result: *mut repliq_result,
) -> repliq_code {
    // SAFETY: the caller's contract.
    unsafe { change(store, queue, result, Store::queue_resume) }
}

/// Drops every message that is in the queue now. Sequences go on.
///
/// `result` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_queue_purge(
    store: *mut repliq_store,
    queue: repliq_queue,
    result: *mut repliq_result,
) -> repliq_code {
    // SAFETY: the caller's contract.
    unsafe { change(store, queue, result, Store::queue_purge) }
}

/// Deletes the queue with its messages and consumers. A queue made later under its name is another one.
///
/// `result` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_queue_delete(
    store: *mut repliq_store,
    queue: repliq_queue,
    result: *mut repliq_result,
) -> repliq_code {
    // SAFETY: the caller's contract.
    unsafe { change(store, queue, result, Store::queue_delete) }
}
