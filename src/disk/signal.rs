//! Signals stay away from the library's own threads.
//!
//! A program's handlers run on the program's threads, and a socket that the other side closed is an error
//! here and not a SIGPIPE: that signal goes to the thread that wrote, and ends a program that does not expect
//! it.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

/// Blocks every signal for the calling thread and those it starts. A fault of the thread itself still ends
/// the process.
pub fn keep_signals_away() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` is writable and has the size of a set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` was filled above, and no place for the old set is a null pointer by the call's contract.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut()) };
}
