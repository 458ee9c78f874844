//! Sessions: transactions over any queues of one store.

use std::ffi::c_void;
use std::ptr::NonNull;

use crate::error::{Code, Error, Result};
use crate::limits::XID_BYTES_MAX;
use crate::session::{Session, SessionOptions};
use crate::store::Level;

use super::argument::{self, Out, OutArray, array, bytes, level, maybe_text, wait, yes};
use super::boundary::boundary;
use super::handle::{self, Face, pin};
use super::message::{self, Views};
use super::transaction;
use super::types::*;

/// A session as C holds it. One thread at a time; a second one is told so and does not wait.
pub struct Seat {
    session: Held,
    level: Option<Level>,
    views: Views,
}

enum Held {
    /// Opened by the program.
    Own(Session),
    /// Lent by a listener to its handler, which may put and nothing else.
    Lent(NonNull<Session>),
}

// SAFETY: a lent session is only touched by the one thread inside the seat, and the listener's thread, which lent
// it, waits in the handler meanwhile and takes the seat away afterwards.
unsafe impl Send for Held {}

// SAFETY: handles of this kind are entered alone, so no two threads ever look at a seat together.
unsafe impl Sync for Seat {}

impl Face for repliq_session {
    type Object = Seat;
    const KIND: u8 = 2;
    const NAME: &'static str = "session";
    const ALONE: bool = true;
}

impl Seat {
    fn new(session: Held, level: Option<Level>) -> Seat {
        Seat { session, level, views: Views::default() }
    }

    /// A seat for a session that goes back when the seat is closed.
    pub(super) fn lend(session: &mut Session) -> Seat {
        Seat::new(Held::Lent(NonNull::from(session)), None)
    }

    #[inline]
    fn session(&mut self) -> &mut Session {
        match &mut self.session {
            Held::Own(session) => session,
            // SAFETY: the session is lent as long as the seat has not been closed, to one thread at a time.
            Held::Lent(session) => unsafe { session.as_mut() },
        }
    }

    /// The session, where the program is its owner.
    fn own(&mut self) -> Result<(&mut Session, &mut Views, Option<Level>)> {
        match &mut self.session {
            Held::Own(session) => Ok((session, &mut self.views, self.level)),
            Held::Lent(_) => {
                let text =
                    "the session is lent by a listener, which receives, commits and closes it";
                Err(Error::new(Code::Busy, text))
            }
        }
    }
}

/// Opens a session on a store and stores it in `*session`.
///
/// A session is one transaction after the other: puts and receives, then commit or rollback, and the next one
/// begins by itself. One thread at a time. One with a name is remembered, and open once at a time. `options` may be
/// NULL. Close with repliq_session_close.
///
/// At a server, puts are staged there while the program goes on: what it refuses, also for the queue, is told by a
/// later call, with REPLIQ_ROLLBACK_ONLY and the first cause; a connection that is lost takes the open transaction with
/// it (REPLIQ_ROLLED_BACK), and the session goes on with the next one.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (the name), REPLIQ_EXISTS (open already, and no takeover), REPLIQ_DENIED
/// (another user's), REPLIQ_QUOTA (too many remembered), REPLIQ_READ_ONLY, REPLIQ_CLOSED; at a server with
/// REPLIQ_UNREACHABLE, REPLIQ_TIMEOUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_open(
    store: *mut repliq_store,
    options: *const repliq_session_options,
    session: *mut *mut repliq_session,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: options or NULL, and a place for the handle.
        let (options, out) =
            unsafe { (argument::options(options)?, Out::needed(session, "session")?) };
        let Some(options) = options else {
            out.put(handle::open(Seat::new(Held::Own(store.session()?), None))?);
            return Ok(());
        };
        let level = level(options.level, "level")?;
        // SAFETY: the caller's contract: a text or NULL.
        let chosen = unsafe { session_options(options)? };
        let session = store.session_with(&chosen)?;
        out.put(handle::open(Seat::new(Held::Own(session), level))?);
        Ok(())
    })
}

unsafe fn session_options(options: &repliq_session_options) -> Result<SessionOptions> {
    // SAFETY: the caller's contract of `repliq_session_open`.
    let name = unsafe { maybe_text(options.name, "name")? };
    Ok(SessionOptions {
        name: name.unwrap_or_default().into(),
        takeover: yes(options.takeover, false, "takeover")?,
        idle_ms: options.idle_ms,
        bytes_max: options.bytes_max,
        ..SessionOptions::default()
    })
}

/// Stores the identity of the open transaction in `*id`: repliq_store_resolve tells what became of it, also after a
/// crash, for 24 hours after the session's last use.
///
/// In this process a session without a name is remembered from the first call on, which is a small transaction of its
/// own; its later commits write a line more.
///
/// Fails with REPLIQ_INVALID, REPLIQ_QUOTA (too many sessions are remembered), REPLIQ_READ_ONLY, REPLIQ_NO_SPACE,
/// REPLIQ_FENCED, REPLIQ_BUSY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_id(
    session: *mut repliq_session,
    id: *mut repliq_transaction_id,
) -> repliq_code {
    boundary(|| {
        let mut seat = pin(session)?;
        let (session, _, _) = seat.own()?;
        // SAFETY: the caller's contract: a place for the identity.
        let out = unsafe { Out::needed(id, "id")? };
        out.put(transaction::put(&session.id()?));
        Ok(())
    })
}

/// Adds `n` messages for a queue to the transaction. They are visible after the commit, not before.
///
/// The bytes are copied. After an error none of the `n` was added.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE, REPLIQ_NO_SUCH_NAME, REPLIQ_UNSUPPORTED, REPLIQ_QUOTA (`bytes_max` of the
/// session: roll back), REPLIQ_BUSY (another thread), REPLIQ_ROLLBACK_ONLY (an earlier put failed: roll back),
/// REPLIQ_ROLLED_BACK, REPLIQ_FENCED, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_put(
    session: *mut repliq_session,
    queue: repliq_queue,
    messages: *const repliq_message,
    n: usize,
) -> repliq_code {
    boundary(|| {
        let mut seat = pin(session)?;
        // SAFETY: the caller's contract: `n` messages.
        let messages = unsafe { array(messages, n, "messages")? };
        let (session, queue) = (seat.session(), message::queue(queue));
        // SAFETY: the caller's contract: what the messages point to is readable.
        unsafe { message::with(messages, |messages| session.put_many(queue, messages)) }
    })
}

/// Receives at most `max` messages of a consumer into the transaction, waiting at most `timeout_ms` for the
/// first, and stores their number in `*n`; 0 when the time was over. The commit acknowledges them.
///
/// What the messages point to lives until the next receive, commit, rollback or close of the session.
///
/// Fails with REPLIQ_INVALID (also: a consumer of another store), REPLIQ_PAUSED, REPLIQ_NO_SUCH_NAME (deleted),
/// REPLIQ_CORRUPT (with the range), REPLIQ_ROLLBACK_ONLY, REPLIQ_ROLLED_BACK, REPLIQ_FENCED, REPLIQ_BUSY,
/// REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_receive(
    session: *mut repliq_session,
    consumer: *mut repliq_consumer,
    messages: *mut repliq_message,
    max: usize,
    timeout_ms: u64,
    n: *mut usize,
) -> repliq_code {
    boundary(|| {
        let mut seat = pin(session)?;
        let consumer = pin(consumer)?;
        let (session, views, _) = seat.own()?;
        // SAFETY: the caller's contract: room for `max` messages and a place for their number.
        let (messages, n) =
            unsafe { (OutArray::new(messages, max, "messages")?, Out::needed(n, "n")?) };
        *views = Views::default();
        let received = session.receive(consumer.consumer(), messages.max(), wait(timeout_ms))?;
        *views = Views::new(received);
        n.put(views.put(messages));
        Ok(())
    })
}

/// Commits the transaction; the next one begins.
///
/// `result` may be NULL.
///
/// Fails with REPLIQ_PAUSED, REPLIQ_OUT_OF_ORDER, REPLIQ_NO_SUCH_NAME, REPLIQ_NO_SPACE: nothing was written, the
/// transaction stands and can be tried again or rolled back. REPLIQ_STALE, REPLIQ_FENCED and REPLIQ_ROLLED_BACK end it,
/// the last with the first cause where something of it had failed before. REPLIQ_OUTCOME_UNKNOWN ends it, too: it is
/// committed or not, as repliq_store_resolve tells, or after a failed disk the next open. REPLIQ_BUSY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_commit(
    session: *mut repliq_session,
    result: *mut repliq_result,
) -> repliq_code {
    boundary(|| {
        let mut seat = pin(session)?;
        let (session, views, level) = seat.own()?;
        // SAFETY: the caller's contract: NULL or a place for the result.
        let out = unsafe { Out::maybe(result, "result")? };
        let commit = match level {
            None => session.commit()?,
            Some(level) => session.commit_at(level)?,
        };
        *views = Views::default();
        out.put(argument::result(&commit));
        Ok(())
    })
}

/// Commits the transaction at the store's level without waiting; `port` gets the outcome under `tag`, and the
/// next transaction begins.
///
/// Fails as repliq_session_commit does for what can be told at once; then the port gets nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_commit_start(
    session: *mut repliq_session,
    port: *mut repliq_port,
    tag: u64,
) -> repliq_code {
    boundary(|| {
        let (mut seat, port) = (pin(session)?, pin(port)?);
        let (session, views, _) = seat.own()?;
        session.commit_start(port.port(), tag)?;
        *views = Views::default();
        Ok(())
    })
}

/// Prepares the transaction for a coordinator outside, and stores its identity in `*id`; the next transaction begins.
///
/// What it put is durable and seen by nobody, and what it received is given to nobody, until repliq_store_finish commits
/// it or rolls it back, from wherever and whenever that comes: also after a crash, and whatever becomes of this session.
/// `xid` is what the coordinator calls it, at most 255 bytes of any kind; NULL with a `len` of 0 for nothing.
///
/// Fails as repliq_session_commit does, and with REPLIQ_QUOTA (1,024 are prepared already), REPLIQ_EXISTS (one that waits
/// has the same xid), REPLIQ_BUSY (one that waits has messages of the same producer), REPLIQ_TOO_LARGE (xid): the
/// transaction stands. After REPLIQ_OUTCOME_UNKNOWN repliq_store_resolve tells: pending where it is prepared.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_prepare(
    session: *mut repliq_session,
    xid: *const c_void,
    len: usize,
    id: *mut repliq_transaction_id,
) -> repliq_code {
    boundary(|| {
        let mut seat = pin(session)?;
        let (session, views, _) = seat.own()?;
        // SAFETY: the caller's contract: `xid` readable for `len`, and a place for the identity.
        let (xid, out) = unsafe {
            let xid = bytes(xid, len, XID_BYTES_MAX, "xid")?;
            (xid, Out::needed(id, "id")?)
        };
        let prepared = session.prepare(xid)?;
        *views = Views::default();
        out.put(transaction::put(&prepared));
        Ok(())
    })
}

/// Forgets what was put and gives back what was received; the next transaction begins.
///
/// Fails with REPLIQ_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_rollback(session: *mut repliq_session) -> repliq_code {
    boundary(|| {
        let mut seat = pin(session)?;
        let (session, views, _) = seat.own()?;
        *views = Views::default();
        session.rollback()
    })
}

/// Closes a session; what was not committed is rolled back. NULL is fine.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (another thread is inside, or a listener lent it).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_session_close(session: *mut repliq_session) -> repliq_code {
    boundary(|| {
        if session.is_null() {
            return Ok(());
        }
        drop(handle::close_alone(session, |seat| seat.own().map(drop))?);
        Ok(())
    })
}
