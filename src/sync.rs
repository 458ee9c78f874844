//! The one place that picks the lock, atomic and thread types of the engine, so that a checker of interleavings
//! can put its own in their stead: with the feature `interleave` they are those of [`stepped`], which let a test
//! decide at each of them who goes on.

#[cfg(feature = "interleave")]
mod stepped;

#[cfg(not(feature = "interleave"))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(all(feature = "capi", not(feature = "interleave")))]
pub(crate) use std::sync::atomic::AtomicU32;
#[cfg(not(feature = "interleave"))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(feature = "interleave"))]
pub(crate) use std::thread;

#[cfg(feature = "interleave")]
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(feature = "interleave")]
pub(crate) use shuttle::thread;
#[cfg(feature = "interleave")]
pub(crate) use stepped::{Condvar, Mutex, MutexGuard};

/// Atomics that lie over memory of the kernel or of a file: their layout is part of what they are.
pub(crate) mod mapped {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}
