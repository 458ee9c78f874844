//! The only room that touches files, the clock and the random source.
//!
//! A [`Disk`] is one directory: the directory of one store. Everything above it speaks in names inside that
//! directory, so that a store on a real file system ([`RealDisk`]) and one on a disk that loses, tears and
//! reorders what was not synced ([`model`]) run the same code.
//!
//! Promises: a call that returns `Ok` did all of what was asked (short reads and writes are resumed, `EINTR`
//! is never seen); a failed [`File::sync`] is reported once and never retried here.

mod fork;
mod mapping;
pub mod model;
mod private;
mod real;
mod signal;

use crate::error::{Code, Error};
use std::io;
use std::sync::Arc;

pub use fork::Birth;
pub use private::keep_memory_private;
pub use real::RealDisk;
pub use signal::keep_signals_away;

/// A directory that holds one store.
///
/// Names are plain file names. A name exists durably only after [`Disk::sync_dir`].
pub trait Disk: Send + Sync + 'static {
    /// What error texts call this directory.
    fn describe(&self) -> String;

    /// The names in the directory, in no order. `NotFound` when the directory does not exist.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates the directory itself (mode 0700) and makes its own name durable; fine when it exists.
    fn create_dir(&self) -> io::Result<()>;

    /// Creates a file for reading and writing; `AlreadyExists` when the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file; `writable` asks for writing, too.
    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn File>>;

    /// Renames a file over whatever `to` was.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every creation, rename and removal so far durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the directory for writing: the kernel's lock of the open file description on the file `lock`,
    /// which is created when missing. Refused with [`LockError::Held`] while anybody else, this process
    /// included, has it.
    fn lock(&self) -> Result<Box<dyn Lock>, LockError>;

    /// The second word of the lock page (*done*) as a looker may read it, without the lock; `None` where
    /// there is no lock file yet.
    fn peek_done(&self) -> io::Result<Option<u64>>;

    /// What tells this directory from a copy of it: file system, inode and time of birth of the lock file, which
    /// must exist. `None` where the file system has no stable ones (network, overlay).
    fn identity(&self) -> io::Result<Option<Vec<u8>>>;

    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> u64;

    /// The same, some milliseconds old at most and never ahead of it, for a third of its cost: it is asked with
    /// every commit.
    fn tick_ms(&self) -> u64 {
        self.now_ms()
    }

    /// Fills `bytes` from the operating system's random source.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// An open file. All calls are positioned and may come from any thread.
#[allow(clippy::len_without_is_empty)] // The length of a file is asked of the system, and asking may fail.
pub trait File: Send + Sync {
    /// Reads at `offset` until `bytes` is full or the file ends; returns what was read.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The same in place of what `bytes` held, until there are `most` or the file ends; nobody fills them first, so a large
    /// `most` costs nothing where the file is short.
    fn read_into(&self, bytes: &mut Vec<u8>, most: usize, offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Gives the file `length` bytes whose blocks exist: a full disk is an error here and not later.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// The same with blocks that are only reserved: the first sync of what is written to them costs more.
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.allocate(length)
    }

    /// Makes the data written so far durable (fdatasync). Once it failed, nothing written before is sure any
    /// more, and calling it again proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Brings what was written from `from` to `to` to the disk and waits for it, without making it durable: so it does not
    /// lie in front of a later sync. What fails here would have failed at the sync, and must be taken as if it had.
    fn write_back(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Maps the first `length` bytes, which must exist, for stores through a [`Window`]; a second call changes
    /// nothing. `false` where such stores are not safe: on network, copy-on-write and overlay file systems.
    fn map(&self, _length: u64) -> io::Result<bool> {
        Ok(false)
    }

    /// Gets the mapped bytes from `from` to `to` ready to be stored to without a fault. What has no blocks, or
    /// cannot be read, is an error here and not a signal later.
    fn populate(&self, _from: u64, _to: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Tells that the mapped bytes before `to` are not stored to any more. What lies in them stays; it only need not be
    /// taken out of the mapping page by page, at the cost of every thread, when it goes to the disk.
    fn retire(&self, _to: u64) {}

    /// Takes the one window of the mapping; `None` without a mapping, and while somebody has it.
    fn window(&self) -> Option<Box<dyn Window>> {
        None
    }
}

/// What a frame that is stored begins with: words, each stored from its lowest byte.
pub type Head = [u64; 6];

/// Who may store into a mapped file. What is stored is seen by [`File::read_at`] at once, survives a kill and
/// is made durable by [`File::sync`], as what is written is.
pub trait Window: Send {
    /// Offset up to which the file was populated; stores reach up to there.
    fn ready(&self) -> u64;

    /// Copies `head` and `parts`, one behind the other, to `offset`, and zeros behind them up to `length` bytes in all,
    /// without a system call; `false` when that does not lie in what is ready, or cannot be stored. Then any of it may have
    /// been stored, and must be written.
    fn store(&mut self, head: &Head, parts: [&[u8]; 2], length: usize, offset: u64) -> bool;
}

/// The lock of a directory, held until dropped, and the two words that live beside it.
///
/// The words are stored in a mapped page of the lock file that is never synced: they share the fate of the
/// page cache. A killed process leaves them as they were; a power cut leaves some earlier value of both.
pub trait Lock: Send + Sync {
    /// Journal offset up to which a sync was tried.
    fn attempted(&self) -> u64;
    /// Journal offset up to which a sync succeeded.
    fn done(&self) -> u64;
    /// Stores *attempted*; never lowers it below what recovery found.
    fn set_attempted(&self, offset: u64);
    /// Stores *done*.
    fn set_done(&self, offset: u64);
    /// Gives the directory free before the drop. Nothing may be written to it any more.
    fn release(&self);
}

/// Why [`Disk::lock`] refused.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it; pid and host as the owner wrote them (0 and "" when unreadable).
    Held {
        /// Process id of the owner.
        pid: u32,
        /// Host name of the owner.
        host: String,
    },
    /// The file system refused.
    Io(io::Error),
}

impl LockError {
    /// As an error: LOCKED with the owner where `what` is held, as `held` puts it.
    pub fn told(self, what: &str, held: &str) -> Error {
        match self {
            LockError::Held { pid, host } => {
                Error::new(Code::Locked, format!("{what} {held}, by process {pid} on {host}"))
            }
            LockError::Io(error) => Error::io(format!("cannot lock {what}"), &error),
        }
    }
}

/// Puts a file with these bytes in the place of whatever `name` was, durably: at any time there is the old one or
/// the new one, whole. It is written as `draft` before.
pub fn replace(disk: &dyn Disk, draft: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(draft)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.rename(draft, name)?;
    disk.sync_dir()
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        LockError::Io(error)
    }
}
