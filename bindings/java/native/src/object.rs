//! What a handle stands for. Java keeps a number for it, guards it, and gives it back to be freed.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use jni::sys::jlong;
use repliq::{Code, Consumer, Port, Replication, Server, Session, Snapshot, Store};

use crate::failure::Failure;
use crate::listener::Listener;
#[cfg(feature = "sabotage")]
use crate::sabotage;
use crate::table;

/// What a handle stands for.
pub enum Object {
    Store(Store),
    Consumer(Consumer),
    Snapshot(Snapshot),
    Port(Port),
    Replication(Replication),
    Server(Server),
    Session(Arc<Mutex<Lane>>),
    Listener(Listener),
}

/// A session, and room for what is put into it.
pub struct Lane {
    pub session: Session,
    pub scratch: Vec<i8>,
    pub room: Option<Room>,
    pub seat: Seat,
    /// Whether its store is at a server.
    pub remote: bool,
}

/// A direct buffer of Java.
pub struct Room {
    pub at: *mut u8,
    pub size: usize,
}

// SAFETY: it is memory of the process, which Java writes only while no call is inside of the session.
unsafe impl Send for Room {}

impl Room {
    /// The first so many bytes of it.
    pub fn take(&self, length: usize) -> Option<&[u8]> {
        // SAFETY: `Session.java` keeps the buffer for as long as a call can be inside; it has `size` bytes.
        (length <= self.size).then(|| unsafe { std::slice::from_raw_parts(self.at, length) })
    }
}

/// Whose session lies in a lane.
pub enum Seat {
    /// It was opened for it.
    Own,
    /// A listener lent it to its handler, which is running.
    Lent,
    /// A listener will lend it.
    Empty,
}

/// What somebody wants of a lane.
#[derive(Clone, Copy, PartialEq)]
pub enum Use {
    /// To put, as handlers may.
    Put,
    /// Everything.
    All,
}

impl Lane {
    /// A lane of its own for a session.
    pub fn new(session: Session, seat: Seat, store: &Store) -> Arc<Mutex<Lane>> {
        let (scratch, remote) = (Vec::new(), store.is_remote());
        Arc::new(Mutex::new(Lane { session, scratch, room: None, seat, remote }))
    }
}

impl Object {
    /// Gives it to Java.
    pub fn hand_over(self) -> Result<u64, Failure> {
        table::insert(self).ok_or_else(|| {
            let text = "a million objects of this library are open in this JVM";
            Failure::Own(Code::Quota, text.into())
        })
    }

    /// The lane of a session, for this call alone.
    pub fn lane(&self, wanted: Use) -> Result<MutexGuard<'_, Lane>, Failure> {
        let Object::Session(lane) = self else { return Err(foreign("session")) };
        let lane = match lane.try_lock() {
            Ok(lane) => lane,
            Err(TryLockError::Poisoned(_)) => {
                let text = "an earlier call on the session panicked";
                return Err(Failure::Own(Code::Panic, text.into()));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::Own(Code::Busy, "another thread is in the session".into()));
            }
        };
        #[cfg(feature = "sabotage")]
        sabotage::strike(sabotage::INSIDE_A_HANDLE);
        match (&lane.seat, wanted) {
            (Seat::Own, _) | (Seat::Lent, Use::Put) => Ok(lane),
            (Seat::Lent, Use::All) => {
                let text =
                    "the session is lent by a listener, which receives, commits and closes it";
                Err(Failure::Own(Code::Busy, text.into()))
            }
            (Seat::Empty, _) => {
                let text = "the session was lent by a listener, for the call of its handler";
                Err(Failure::Own(Code::Closed, text.into()))
            }
        }
    }
}

/// What a handle stands for, for the time of a call.
pub fn object<'call>(handle: jlong) -> Result<&'call Object, Failure> {
    let object = table::get(handle.cast_unsigned()).ok_or_else(stale)?;
    // The panic of a session strikes behind its lock.
    #[cfg(feature = "sabotage")]
    if !matches!(object, Object::Session(_)) {
        sabotage::strike(sabotage::INSIDE_A_HANDLE);
    }
    Ok(object)
}

/// What a handle stands for, which it does no more. Dropping it ends it.
pub fn take(handle: jlong) -> Result<Object, Failure> {
    table::take(handle.cast_unsigned()).ok_or_else(stale)
}

fn stale() -> Failure {
    Failure::Own(Code::BadHandle, "this is no handle, or one of something that is gone".into())
}

/// The complaint about a handle of another kind.
pub fn foreign(wanted: &str) -> Failure {
    Failure::Own(Code::BadHandle, format!("this is not the handle of a {wanted}"))
}
