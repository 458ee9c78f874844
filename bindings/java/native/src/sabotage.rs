//! Planted panics, in a build of their own: a test proves with them that each function stops one. Never shipped.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use jni::EnvUnowned;
use jni::objects::JClass;
use jni::sys::jint;

/// Where the next panic of this thread is: nowhere, at the edge, or behind the first handle that is looked up.
pub const AT_THE_EDGE: i32 = 1;
pub const INSIDE_A_HANDLE: i32 = 2;
/// Where the next listener begins its work, on whatever thread.
const IN_A_LISTENER: i32 = 3;

thread_local!(static ARMED: Cell<i32> = const { Cell::new(0) });

pub fn strike(place: i32) {
    if ARMED.get() == place {
        ARMED.set(0);
        panic!("planted");
    }
}

static LISTENER: AtomicBool = AtomicBool::new(false);

pub fn strike_listener() {
    if LISTENER.swap(false, Ordering::SeqCst) {
        panic!("planted");
    }
}

/// The method of a class of the tests.
#[unsafe(no_mangle)]
extern "system" fn Java_repliq_Sabotage_panic(_: EnvUnowned<'_>, _: JClass<'_>, place: jint) {
    match place {
        IN_A_LISTENER => LISTENER.store(true, Ordering::SeqCst),
        place => ARMED.set(place),
    }
}
