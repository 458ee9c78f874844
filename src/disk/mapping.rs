//! A file in memory, to store to without a system call.
//!
//! Owns the mapping of one file, and how far of it is *ready*: populated by the kernel, so that a store meets a
//! page that exists, has its blocks and was read. Populating fails with an error where a store would end the
//! process by a signal, so a [`Window`] stores to what is ready only. What is *retired* is not stored to any more and
//! leaves the mapping in large pieces: page by page, as the kernel does it when it writes a page out, each costs an
//! interrupt on every processor that this process runs on.
//!
//! Relies on: nobody making the file shorter. What is left is a file system that shuts down under a running
//! process: a page the kernel has written back since must be made writable again by it.

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::sync::Arc;

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};

use super::{Head, Window};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// What leaves the mapping at a time, at least.
const PIECE: u64 = 128 << 10;

/// The first bytes of a file, mapped.
pub struct Mapping {
    pages: MmapRaw,
    ready: AtomicU64,
    retired: AtomicU64,
    taken: AtomicBool,
}

impl Mapping {
    /// Maps the first `length` bytes of a file that has as many.
    pub fn of(file: &fs::File, length: u64) -> io::Result<Mapping> {
        let too_long = |_| io::Error::from_raw_os_error(libc::EFBIG);
        let length = usize::try_from(length).map_err(too_long)?;
        let pages = MmapOptions::new().len(length).map_raw(file)?;
        let (ready, retired) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Mapping { pages, ready, retired, taken: AtomicBool::new(false) })
    }

    /// Takes what lies before `to` out of the mapping, in whole pieces.
    pub fn retire(&self, to: u64) {
        let to = to.min(self.pages.len() as u64) / PIECE * PIECE;
        let from = self.retired.fetch_max(to, Ordering::Relaxed);
        if from >= to {
            return;
        }
        // SAFETY: the pages are those of a shared mapping of a file: what was stored is in the file and stays there, and
        // there is no reference into them. A failure changes nothing but what writing them out costs.
        let _ = unsafe {
            let (from, length) = (from as usize, (to - from) as usize);
            self.pages.unchecked_advise_range(UncheckedAdvice::DontNeed, from, length)
        };
    }

    /// Makes `from` to `to` ready.
    pub fn populate(&self, from: u64, to: u64) -> io::Result<()> {
        let to = to.min(self.pages.len() as u64);
        if from >= to {
            return Ok(());
        }
        loop {
            match self.pages.advise_range(
                Advice::PopulateWrite,
                from as usize,
                (to - from) as usize,
            ) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.ready.fetch_max(to, Ordering::Release);
        Ok(())
    }

    /// The one who may store to it; `None` while there is one.
    pub fn window(mapping: &Arc<Mapping>) -> Option<Box<dyn Window>> {
        let free = !mapping.taken.swap(true, Ordering::AcqRel);
        free.then(|| Box::new(Open { mapping: mapping.clone() }) as Box<dyn Window>)
    }
}

/// The window of a mapping; there is one at a time.
struct Open {
    mapping: Arc<Mapping>,
}

impl Window for Open {
    fn ready(&self) -> u64 {
        self.mapping.ready.load(Ordering::Acquire)
    }

    fn store(&mut self, head: &Head, parts: [&[u8]; 2], length: usize, offset: u64) -> bool {
        let [first, second] = parts;
        let bytes = size_of::<Head>() + first.len() + second.len();
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.ready() && bytes <= length => {}
            _ => return false,
        }
        // SAFETY: the mapping is as long as `ready` at least and lives as long as `self`; there is one window of it,
        // which is borrowed here for itself alone, and no reference into the mapping; so nobody else in this process
        // stores here meanwhile, and the parts, which together are no longer than `length`, lie elsewhere.
        unsafe {
            let to = self.mapping.pages.as_mut_ptr().add(offset as usize);
            let words = to.cast::<u64>();
            for (at, word) in head.iter().enumerate() {
                // One by one, as they were written a moment ago: a processor waits where it reads two of them at once.
                let word = std::ptr::read_volatile(word);
                std::ptr::write_unaligned(words.add(at), word.to_le());
            }
            let mut to = to.add(size_of::<Head>());
            // The length of short fields is told apart, so that no function is called for them.
            match first.len() {
                0 => {}
                8 => std::ptr::copy_nonoverlapping(first.as_ptr(), to, 8),
                length => std::ptr::copy_nonoverlapping(first.as_ptr(), to, length),
            }
            to = to.add(first.len());
            std::ptr::copy_nonoverlapping(second.as_ptr(), to, second.len());
            to = to.add(second.len());
            match length - bytes {
                0 => {}
                4 => std::ptr::write_bytes(to, 0, 4),
                rest => std::ptr::write_bytes(to, 0, rest),
            }
        }
        true
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.mapping.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use crate::disk::{Disk, RealDisk};

    const HEAD: super::Head = [0x0807_0605_0403_0201, 2, 3, 4, 5, 6];

    #[test]
    fn what_is_stored_is_read_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(folder.path());
        let file = disk.create("a").unwrap();
        file.allocate(16384).unwrap();
        if !file.map(16384).unwrap() {
            println!("SKIPPED files of this file system are not mapped");
            return;
        }
        let mut window = file.window().unwrap();
        assert!(file.window().is_none(), "two windows of one mapping");
        assert!(!window.store(&HEAD, [b"early", b""], 53, 0), "stored where nothing is ready");
        file.populate(0, 8192).unwrap();
        assert_eq!(window.ready(), 8192);
        assert!(window.store(&HEAD, [b"hel", b"lo"], 54, 4046));
        assert!(!window.store(&HEAD, [b"beyond", b""], 54, 8139));
        assert!(!window.store(&HEAD, [b"longer", b" than told"], 56, 0));
        let mut bytes = [0; 56];
        file.read_at(&mut bytes, 4045).unwrap();
        assert_eq!(bytes[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 2]);
        assert_eq!(bytes[41..], *b"\x06\0\0\0\0\0\0\0hello\0\0");
        file.write_at(b"J", 4094).unwrap();
        drop((window, file));
        let file = disk.open("a", false).unwrap();
        file.read_at(&mut bytes, 4045).unwrap();
        assert_eq!(&bytes[48..], b"\0Jello\0\0");
    }

    #[test]
    fn what_is_retired_stays_and_what_lies_behind_it_is_stored_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk::new(folder.path()).create("a").unwrap();
        let length = 4 * super::PIECE;
        file.allocate(length).unwrap();
        file.retire(length);
        if !file.map(length).unwrap() {
            println!("SKIPPED files of this file system are not mapped");
            return;
        }
        let mut window = file.window().unwrap();
        file.populate(0, length).unwrap();
        for at in (0..length).step_by(4096) {
            assert!(window.store(&[at, 0, 0, 0, 0, 0], [b"", b""], 48, at));
            // Also the piece that is not whole yet.
            file.retire(at);
        }
        file.retire(length + 1);
        let mut bytes = [0; 8];
        for at in (0..length).step_by(4096) {
            file.read_at(&mut bytes, at).unwrap();
            assert_eq!(u64::from_le_bytes(bytes), at);
        }
        file.sync().unwrap();
    }

    #[test]
    fn what_does_not_exist_is_not_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk::new(folder.path()).create("a").unwrap();
        file.allocate(4096).unwrap();
        assert!(!file.map(8192).unwrap());
        assert!(file.window().is_none());
        assert!(file.populate(0, 4096).is_err());
    }
}
