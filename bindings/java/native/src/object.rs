//! What a handle stands for. Java keeps it as a number, guards it, and gives it back to be freed.

use std::sync::{Mutex, MutexGuard, TryLockError};

use jni::sys::jlong;
use repliq::{
    Code, Consumer, ListenerStopper, Port, Replication, Server, Session, Snapshot, Store, Worker,
};

use crate::failure::Failure;

/// What a handle stands for.
pub enum Object {
    Store(Store),
    Consumer(Consumer),
    Snapshot(Snapshot),
    Port(Port),
    Replication(Replication),
    Server(Server),
    Session(Mutex<Lane>),
    Listener(Mutex<Lane>, ListenerStopper),
}

/// A session, of its own or of a listener, and room for what is put into it.
pub struct Lane {
    pub body: Body,
    pub scratch: Vec<i8>,
}

/// Whose session it is.
pub enum Body {
    Own(Session),
    Of(Worker),
}

impl Body {
    pub fn session(&mut self) -> &mut Session {
        match self {
            Body::Own(session) => session,
            Body::Of(worker) => worker.session(),
        }
    }

    pub fn worker(&mut self) -> Result<&mut Worker, Failure> {
        match self {
            Body::Of(worker) => Ok(worker),
            Body::Own(_) => Err(foreign("listener")),
        }
    }
}

impl Object {
    /// Gives it to Java.
    pub fn hand_over(self) -> u64 {
        Box::into_raw(Box::new(self)) as u64
    }

    /// The session of a session or listener, for this call alone.
    pub fn lane(&self) -> Result<MutexGuard<'_, Lane>, Failure> {
        let (Object::Session(lane) | Object::Listener(lane, _)) = self else {
            return Err(foreign("session"));
        };
        match lane.try_lock() {
            Ok(lane) => Ok(lane),
            Err(TryLockError::Poisoned(_)) => {
                Err(Failure::Own(Code::Panic, "an earlier call on the session panicked".into()))
            }
            Err(TryLockError::WouldBlock) => {
                Err(Failure::Own(Code::Busy, "another thread is using the session".into()))
            }
        }
    }

    /// A new session.
    pub fn session(body: Body) -> Mutex<Lane> {
        Mutex::new(Lane { body, scratch: Vec::new() })
    }
}

/// What a handle stands for, for the time of a call.
pub fn object<'call>(handle: jlong) -> Result<&'call Object, Failure> {
    let at = handle as *const Object;
    if at.is_null() {
        return Err(foreign("handle"));
    }
    // SAFETY: `Handle.java` holds what `hand_over` gave it, and frees it only when no call is inside.
    Ok(unsafe { &*at })
}

/// Ends what a handle stands for.
pub fn free(handle: jlong) {
    let at = handle as *mut Object;
    if !at.is_null() {
        // SAFETY: `Handle.java` frees what `hand_over` gave it once, when no call is inside and none can begin.
        drop(unsafe { Box::from_raw(at) });
    }
}

/// The complaint about a handle of another kind.
pub fn foreign(wanted: &str) -> Failure {
    Failure::Own(Code::BadHandle, format!("this is not the handle of a {wanted}"))
}
