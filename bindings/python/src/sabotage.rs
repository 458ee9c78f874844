//! Planted panics, in a build of their own: a test proves with them that each call stops one. Never shipped.

use pyo3::prelude::*;
use std::cell::Cell;

thread_local!(static ARMED: Cell<bool> = const { Cell::new(false) });

/// The next call of this thread into the core panics.
#[pyfunction]
pub fn sabotage_panic() {
    ARMED.set(true);
}

pub fn strike() {
    if ARMED.replace(false) {
        panic!("planted");
    }
}
