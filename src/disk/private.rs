//! The memory of a program stays out of core dumps.
//!
//! A core holds what the program held: keys, passwords, messages. A library may not decide that for the program
//! it is in, so only the command line asks for it; another program calls `prctl(PR_SET_DUMPABLE, 0)` itself.

#![allow(unsafe_code)]

/// Asks the kernel to write no core of this process, and to let no other one of this user read its memory.
/// Programs it starts are not affected. False where the kernel refuses.
pub fn keep_memory_private() -> bool {
    // SAFETY: this operation takes a number and no memory.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 }
}
