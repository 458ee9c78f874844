//! The one place that picks the lock and atomic types of the whole crate, so that a checker of interleavings
//! can put its own in their stead.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
