//! Sessions: transactions over any queues of one store.

use std::ptr::NonNull;

use crate::error::{Code, Error, Result};
use crate::session::Session;
use crate::store::Level;

use super::argument::{self, Out, OutArray, array, level, wait};
use super::boundary::boundary;
use super::handle::{self, Face, pin};
use super::message::{self, Views};
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
/// begins by itself. One thread at a time. `options` may be NULL. Close with repliq_session_close.
///
/// Fails with REPLIQ_INVALID, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
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
        let level = options.map_or(Ok(None), |options| level(options.level, "level"))?;
        out.put(handle::open(Seat::new(Held::Own(store.session()?), level))?);
        Ok(())
    })
}

/// Adds `n` messages for a queue to the transaction. They are visible after the commit, not before.
///
/// The bytes are copied. After an error none of the `n` was added.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE, REPLIQ_NO_SUCH_NAME, REPLIQ_UNSUPPORTED, REPLIQ_BUSY (another
/// thread), REPLIQ_CLOSED.
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
/// REPLIQ_CORRUPT (with the range), REPLIQ_BUSY, REPLIQ_CLOSED.
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
/// transaction stands and can be tried again or rolled back. REPLIQ_OUTCOME_UNKNOWN: the disk failed, the next
/// open decides. REPLIQ_BUSY, REPLIQ_CLOSED.
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
