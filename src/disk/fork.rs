//! In which process a handle was born.
//!
//! Owns one private page of the process that the kernel wipes in every forked child. While the page holds
//! the number a handle took with it, the handle is at home; in a child the page reads 0, and later a number
//! of the child's own.
//!
//! Promises: [`Birth::here`] is `false` in every process but the one that called [`Birth::now`], whatever
//! process ids are used again; neither of the two takes a lock, so a lock that another thread held at the
//! fork cannot stop the child. Where the kernel cannot wipe pages, process ids are compared instead.

#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use crate::sync::mapped::{AtomicU32, Ordering};
use std::sync::atomic::AtomicPtr;

/// The wiped page; null before the first use, [`NO_PAGE`] where the kernel refused it.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// Stands in for the page where there is none, so that the decision is taken once.
static NO_PAGE: AtomicU32 = AtomicU32::new(0);

/// The highest generation given out here or in any ancestor: ordinary memory, which a child inherits.
static LAST: AtomicU32 = AtomicU32::new(0);

const PAGE_SIZE: usize = 4096;

/// The process in which a handle was born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth(u32);

impl Birth {
    /// This process.
    pub fn now() -> Birth {
        let Some(generation) = page() else { return Birth(std::process::id()) };
        loop {
            let seen = generation.load(Ordering::Acquire);
            if seen != 0 {
                return Birth(seen);
            }
            let fresh = LAST.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
            // Losing this race is fine: the next turn of the loop reads the winner's number.
            let _ = generation.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// It as a number, for those who keep it in an atomic.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The birth with this number.
    pub fn from_number(number: u32) -> Birth {
        Birth(number)
    }

    /// Whether this process is the one of the birth: `false` in a forked child of it.
    #[inline]
    pub fn here(self) -> bool {
        match known_page() {
            Some(generation) => generation.load(Ordering::Relaxed) == self.0,
            None => self.0 == std::process::id(),
        }
    }
}

/// The page if it was already made; `None` also where the kernel refused it.
#[inline]
fn known_page() -> Option<&'static AtomicU32> {
    let page = PAGE.load(Ordering::Acquire);
    if page.is_null() || ptr::eq(page, &NO_PAGE) {
        return None;
    }
    // SAFETY: any other value of PAGE is a mapping that is aligned, readable, writable and never unmapped.
    Some(unsafe { &*page })
}

/// The page, made at the first call.
fn page() -> Option<&'static AtomicU32> {
    if PAGE.load(Ordering::Acquire).is_null() {
        let made = map_wiped_page();
        let offered = made.map_or(ptr::from_ref(&NO_PAGE).cast_mut(), NonNull::as_ptr);
        let outcome =
            PAGE.compare_exchange(ptr::null_mut(), offered, Ordering::AcqRel, Ordering::Acquire);
        if let (Err(_), Some(unused)) = (outcome, made) {
            unmap(unused);
        }
    }
    known_page()
}

fn map_wiped_page() -> Option<NonNull<AtomicU32>> {
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            PAGE_SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return None;
    }
    let page = NonNull::new(address.cast::<AtomicU32>())?;
    // SAFETY: the range is the mapping made above, which nobody else knows yet.
    if unsafe { libc::madvise(address, PAGE_SIZE, libc::MADV_WIPEONFORK) } != 0 {
        unmap(page);
        return None;
    }
    Some(page)
}

fn unmap(page: NonNull<AtomicU32>) {
    // SAFETY: the caller made this mapping and never published it, so no reference into it exists.
    unsafe { libc::munmap(page.as_ptr().cast(), PAGE_SIZE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `question` in a forked child and returns its answer.
    ///
    /// The child shares the table of descriptors: with a copy of it, it would hold for a moment the locks
    /// that other tests of this process are just giving back.
    fn in_a_child(question: impl FnOnce() -> bool) -> bool {
        let flags = libc::c_long::from(libc::CLONE_FILES | libc::SIGCHLD);
        // SAFETY: without a stack of its own the child is a fork; it runs only `question`, which loads and
        // stores atomics, and then `_exit`.
        let child =
            unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
        let child = libc::pid_t::try_from(child).unwrap();
        assert!(child >= 0, "fork failed");
        if child == 0 {
            let answer = i32::from(question());
            // SAFETY: `_exit` ends the child without running anything of the parent's.
            unsafe { libc::_exit(answer) };
        }
        let mut status = 0;
        // SAFETY: `child` is our own child and `status` is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status), "the child did not exit by itself");
        libc::WEXITSTATUS(status) == 1
    }

    #[test]
    fn a_birth_is_here_in_its_own_process_and_in_every_thread_of_it() {
        let birth = Birth::now();
        assert!(birth.here());
        assert_eq!(birth, Birth::now());
        assert!(std::thread::spawn(move || birth.here()).join().unwrap());
    }

    #[test]
    fn a_birth_of_the_parent_is_not_here_in_a_child() {
        let birth = Birth::now();
        assert!(in_a_child(move || !birth.here()));
        assert!(birth.here());
    }

    #[test]
    fn a_child_has_a_birth_of_its_own_and_the_parents_stays_foreign() {
        let parents = Birth::now();
        assert!(in_a_child(move || {
            let own = Birth::now();
            own != parents && own.here() && !parents.here() && Birth::now() == own
        }));
    }
}
