//! Queues as a whole: pause, resume, purge, delete; dead letters put back.

use crate::error::Result;
use crate::queue::Queue;
use crate::session::{RedriveOptions, Store};
use crate::store::Commit;

use super::argument::{self, Out, yes};
use super::boundary::{boundary, fill};
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

/// Puts the dead letters of a queue back where they came from, the oldest first, at most `max` of them, 0 for all; or drops
/// them, with `drop` REPLIQ_YES. What became of them is stored in `*redriven`.
///
/// One that was worked on in the order of its key comes again at its place, for the consumer that gave it up alone; it is
/// refused, and stays, where something newer of its key was acknowledged since. `redriven` may be NULL.
/// At a server this needs the right admin on the queue and on those its letters came from. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_BUSY (another call is at it), REPLIQ_DENIED, REPLIQ_READ_ONLY,
/// REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_queue_redrive(
    store: *mut repliq_store,
    queue: repliq_queue,
    max: u64,
    drop: i32,
    redriven: *mut repliq_redriven,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: NULL or a place for what was done.
        let out = unsafe { Out::maybe(redriven, "redriven")? };
        let options = RedriveOptions { max, drop: yes(drop, false, "drop")? };
        let done = store.redrive(message::queue(queue), &options)?;
        let mut told = repliq_redriven {
            done: done.done,
            refused: done.refused.len() as u64,
            sequence: 0,
            reason: [0; REPLIQ_ERROR_TEXT_SIZE],
        };
        if let Some((sequence, reason)) = done.refused.first() {
            told.sequence = *sequence;
            fill(&mut told.reason, reason);
        }
        out.put(told);
        Ok(())
    })
}
