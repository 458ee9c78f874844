//! How a store is opened.

use crate::error::Result;
use crate::limits;
use crate::link::ConnectOptions;
use crate::secret::Password;
use crate::store::{self, Level};

/// How a store is opened. `StoreOptions::default()` is what most programs want.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The password of an encrypted store. A store that is created with one is encrypted from its first byte
    /// on; one that was created without is never encrypted, and the other way round.
    pub password: Option<Password>,
    /// Creates the store when there is none.
    pub create: bool,
    /// Opens for reading only: also while another process has it, and also when it is damaged; what was
    /// durable up to the damage can be read.
    pub read_only: bool,
    /// The level of commits that do not name one.
    pub level: Level,
    /// What that survives which others have seen: consumers, targets, who sent it here, and who waits for a token. With
    /// [`Level::Process`] they see it once it is in the page cache, without a sync. A power cut may then take back what
    /// was seen; the store goes on in a new epoch, so that no position gets a second meaning, and a token of what is
    /// lost answers NOT_FOUND.
    pub horizon: Level,
    /// Bytes of the first segment file: a power of two from 4 KiB on. Segments grow with the rate of puts.
    pub segment_bytes: u64,
    /// Bytes of the largest class: a power of two up to 64 MiB. Transactions above 1 MiB, or a quarter of it where
    /// that is less, are staged in files of their own.
    pub segment_bytes_max: u64,
    /// Milliseconds for which data stays after the slowest target acknowledged it.
    pub keep_ms: u64,
    /// Bytes up to which data stays after the slowest target acknowledged it.
    pub keep_bytes: u64,
    /// Bytes that all segment files of the store may have together, those prepared and kept back included; 0 for no
    /// bound but the disk, otherwise 16 times `segment_bytes` at least. At the bound puts answer NO_SPACE, with QUOTA
    /// as its cause, until something was acknowledged, purged or deleted, and what targets have confirmed is kept no
    /// longer. A transaction then fits into a quarter of it.
    pub quota_bytes: u64,
    /// Lets a thread prepare segments ahead and give dead ones back; it exists while there is work.
    pub helper: bool,
    /// How to connect, where the store is opened by a URL.
    pub connect: ConnectOptions,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            password: None,
            create: true,
            read_only: false,
            level: Level::Power,
            horizon: Level::Power,
            segment_bytes: limits::SEGMENT_BYTES_FIRST,
            segment_bytes_max: limits::SEGMENT_BYTES_MAX,
            keep_ms: limits::KEEP_MS,
            keep_bytes: limits::KEEP_BYTES,
            quota_bytes: 0,
            helper: true,
            connect: ConnectOptions::default(),
        }
    }
}

impl StoreOptions {
    pub(super) fn inner(&self) -> Result<store::Options> {
        let options = store::Options {
            password: self.password.clone(),
            create: self.create,
            read_only: self.read_only,
            level: self.level,
            horizon: self.horizon,
            keep_ms: self.keep_ms,
            keep_bytes: self.keep_bytes,
            quota: self.quota_bytes,
            segment_first: self.segment_bytes,
            segment_max: self.segment_bytes_max,
            helper: self.helper,
        };
        options.check()?;
        Ok(options)
    }
}
