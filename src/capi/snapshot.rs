//! Snapshots: browsing queues as they were, without taking anything.

use crate::error::{Code, Error};
use crate::session::Snapshot;
use crate::sync::Mutex;

use super::argument::{Out, OutArray};
use super::boundary::boundary;
use super::handle::{self, Face, pin};
use super::message::{self, Views};
use super::types::*;

/// A snapshot as C holds it.
pub struct Look {
    snapshot: Snapshot,
    views: Mutex<Views>,
}

impl Face for repliq_snapshot {
    type Object = Look;
    const KIND: u8 = 4;
    const NAME: &'static str = "snapshot";
}

/// Opens a look at all queues of a store as they are now and stores it in `*snapshot`.
///
/// It keeps the disk space of what it can see. Close with repliq_snapshot_close.
///
/// Fails with REPLIQ_INVALID, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_snapshot_open(
    store: *mut repliq_store,
    snapshot: *mut *mut repliq_snapshot,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: a place for the handle.
        let out = unsafe { Out::needed(snapshot, "snapshot")? };
        let views = Mutex::new(Views::default());
        out.put(handle::open(Look { snapshot: store.snapshot()?, views })?);
        Ok(())
    })
}

/// Reads at most `max` messages of a queue, beginning with the sequence `from`, and stores their number in `*n`;
/// 0 at the end. Go on with the last sequence plus 1.
///
/// What the messages point to lives until the next browse or close of the snapshot; therefore one thread at a
/// time.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_CORRUPT (with the range), REPLIQ_BUSY (another thread
/// browses), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_snapshot_browse(
    snapshot: *mut repliq_snapshot,
    queue: repliq_queue,
    from: u64,
    messages: *mut repliq_message,
    max: usize,
    n: *mut usize,
) -> repliq_code {
    boundary(|| {
        let look = pin(snapshot)?;
        // SAFETY: the caller's contract: room for `max` messages and a place for their number.
        let (messages, n) =
            unsafe { (OutArray::new(messages, max, "messages")?, Out::needed(n, "n")?) };
        let text = "another thread is browsing the snapshot";
        let mut views = look.views.try_lock().ok_or_else(|| Error::new(Code::Busy, text))?;
        *views = Views::default();
        let found = look.snapshot.browse(message::queue(queue), from, messages.max())?;
        *views = Views::new(found);
        n.put(views.put(messages));
        Ok(())
    })
}

/// Closes a snapshot. Waits for a call inside. NULL is fine.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the snapshot).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_snapshot_close(snapshot: *mut repliq_snapshot) -> repliq_code {
    boundary(|| {
        if !snapshot.is_null() {
            drop(handle::close(snapshot, |_| Ok(()))?);
        }
        Ok(())
    })
}
