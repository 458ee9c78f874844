//! What went wrong: one opaque [`Error`], one flat [`Code`].
//!
//! Callers branch on the code; the text is for people and says what was done, to what, and why it failed.
//! The numbers are part of the ABI of every language: never reused, never renumbered; 0 is success.

use std::fmt;
use std::io;

/// The result of every fallible call.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $flags:expr;)*) => {
        /// The number of an error, the same in every language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant = $number,)* }

        impl Code {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name as the C header spells it, without `REPLIQ_`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// [`RETRIABLE`], [`REQUIRES_ROLLBACK`] and [`FATAL`], or'ed.
            pub fn flags(self) -> u32 {
                match self { $(Code::$variant => $flags,)* }
            }
        }
    };
}

/// Flag of a code: the same call may succeed later, as it is.
pub const RETRIABLE: u32 = 1;
/// Flag of a code: the transaction must be rolled back before anything else.
pub const REQUIRES_ROLLBACK: u32 = 2;
/// Flag of a code: the handle is finished; close it.
pub const FATAL: u32 = 4;

codes! {
    /// Success.
    Ok = 0, "OK", 0;
    /// An argument was NULL, out of range or not UTF-8. The call changed nothing.
    Invalid = 1, "INVALID", 0;
    /// The handle is stale, foreign or closed twice.
    BadHandle = 2, "BAD_HANDLE", 0;
    /// Closed here, or by the other side with nothing left.
    Closed = 3, "CLOSED", FATAL;
    /// A handle of the parent was used in a forked child.
    Forked = 4, "FORKED", FATAL;
    /// A second thread in a session, re-entry, or close from the handle's own callback.
    Busy = 5, "BUSY", RETRIABLE;
    /// The feature is not built in, or reserved and not yet written.
    Unsupported = 6, "UNSUPPORTED", 0;
    /// The name is in use.
    Exists = 7, "EXISTS", 0;
    /// No queue, consumer, target or user of that name.
    NoSuchName = 8, "NO_SUCH_NAME", 0;
    /// A message, a name or a transaction is above its limit; nothing was staged.
    TooLarge = 9, "TOO_LARGE", 0;
    /// A configured bound is reached.
    Quota = 10, "QUOTA", RETRIABLE | REQUIRES_ROLLBACK;
    /// The disk is full; consuming still works.
    NoSpace = 11, "NO_SPACE", RETRIABLE | REQUIRES_ROLLBACK;
    /// The operating system refused.
    Io = 12, "IO", FATAL;
    /// A sync failed: reopen the store.
    Poisoned = 13, "POISONED", FATAL;
    /// Stored bytes fail their checksum somewhere other than in the torn tail; the range is attached.
    Corrupt = 14, "CORRUPT", 0;
    /// The checksum is right and the seal is wrong: somebody changed the bytes on purpose.
    Tampered = 15, "TAMPERED", FATAL;
    /// The password of the store is wrong.
    BadPassword = 16, "BAD_PASSWORD", 0;
    /// The directory or file is not a store.
    NotAStore = 17, "NOT_A_STORE", 0;
    /// A newer format, protocol or ABI.
    Version = 18, "VERSION", 0;
    /// The directory or the address is in use; the owner is named.
    Locked = 19, "LOCKED", RETRIABLE;
    /// Owner, mode or a read-only mount.
    Permission = 20, "PERMISSION", 0;
    /// The store is damaged or was opened for reading only.
    ReadOnly = 21, "READ_ONLY", 0;
    /// An earlier operation of this transaction failed; roll back.
    RollbackOnly = 22, "ROLLBACK_ONLY", REQUIRES_ROLLBACK;
    /// The transaction is gone, the cause is attached; the session is usable.
    RolledBack = 23, "ROLLED_BACK", RETRIABLE;
    /// The commit was handed on and no answer came.
    OutcomeUnknown = 24, "OUTCOME_UNKNOWN", 0;
    /// The outcome of an older number is not kept any more.
    OutcomeExpired = 25, "OUTCOME_EXPIRED", 0;
    /// The lease is gone, the message was handed to another.
    Stale = 26, "STALE", REQUIRES_ROLLBACK;
    /// A newer owner, epoch, link or session took over.
    Fenced = 27, "FENCED", FATAL;
    /// The queue is paused.
    Paused = 28, "PAUSED", RETRIABLE;
    /// The time given is over.
    Timeout = 29, "TIMEOUT", RETRIABLE;
    /// Interrupted, or closed while waiting.
    Cancelled = 30, "CANCELLED", 0;
    /// The token of a transaction that wrote nothing.
    Empty = 31, "EMPTY", 0;
    /// The token's transaction is lost; final.
    NotFound = 32, "NOT_FOUND", 0;
    /// The token belongs to another group of stores.
    WrongGroup = 33, "WRONG_GROUP", 0;
    /// This member is not the primary.
    NotPrimary = 34, "NOT_PRIMARY", RETRIABLE;
    /// Refused, reset, no route, or an unknown host name.
    Unreachable = 35, "UNREACHABLE", RETRIABLE;
    /// The other side speaks something else.
    Protocol = 36, "PROTOCOL", 0;
    /// Login or right refused; it says no more.
    Denied = 37, "DENIED", 0;
    /// The other side's certificate does not hold.
    Certificate = 38, "CERTIFICATE", 0;
    /// A database or an engine refused.
    Target = 39, "TARGET", 0;
    /// A bug of this library.
    Panic = 40, "PANIC", FATAL;
    /// One target or source has another history; both stamps are attached.
    Diverged = 41, "DIVERGED", 0;
    /// The producer sequence is not the next one.
    OutOfOrder = 42, "OUT_OF_ORDER", 0;
}

/// What went wrong; see [`Code`].
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    cause: Code,
    os_errno: i32,
    message_index: Option<u32>,
    sequences: Option<(u64, u64)>,
    text: String,
}

impl Error {
    /// An error with this code and text.
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            code,
            cause: Code::Ok,
            os_errno: 0,
            message_index: None,
            sequences: None,
            text: text.into(),
        }))
    }

    /// An operating-system error met while doing `what`, told apart by errno.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Error {
        let errno = error.raw_os_error().unwrap_or(0);
        let code = match errno {
            libc::ENOSPC | libc::EDQUOT => Code::NoSpace,
            libc::EACCES | libc::EPERM | libc::EROFS => Code::Permission,
            _ if error.kind() == io::ErrorKind::PermissionDenied => Code::Permission,
            _ if error.kind() == io::ErrorKind::StorageFull => Code::NoSpace,
            _ => Code::Io,
        };
        let mut made = Error::new(code, format!("{what}: {error}"));
        made.0.os_errno = errno;
        made
    }

    /// The same error as the consequence of `cause`, whose text follows.
    pub(crate) fn because(code: Code, what: impl fmt::Display, cause: &Error) -> Error {
        let mut made = Error(cause.0.clone());
        made.0.text = format!("{what}: {}", cause.0.text);
        made.0.cause = cause.0.code;
        made.0.code = code;
        made
    }

    /// The answer to the commit of a transaction that could only be rolled back, for this first reason: it is.
    pub(crate) fn doomed(why: &Error) -> Error {
        let cause = if why.code() == Code::RollbackOnly { why.cause() } else { why.code() };
        let what = "the transaction could only be rolled back, and was";
        Error::because(Code::RolledBack, what, why).caused_by(cause)
    }

    /// The same error, caused by one of this code whose text is part of its own.
    pub(crate) fn caused_by(mut self, cause: Code) -> Error {
        self.0.cause = cause;
        self
    }

    pub(crate) fn at_message(mut self, index: usize) -> Error {
        self.0.message_index = Some(u32::try_from(index).unwrap_or(u32::MAX));
        self
    }

    pub(crate) fn over(mut self, from: u64, to: u64) -> Error {
        self.0.sequences = Some((from, to));
        self
    }

    /// The number to branch on.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Where this error was caused by another one: that one's code; otherwise [`Code::Ok`].
    pub fn cause(&self) -> Code {
        self.0.cause
    }

    /// The operating system's number, or 0.
    pub fn os_errno(&self) -> i32 {
        self.0.os_errno
    }

    /// The message of a batch that was refused, counted from 0.
    pub fn message_index(&self) -> Option<u32> {
        self.0.message_index
    }

    /// The range of sequences or journal offsets it is about, first and last.
    pub fn range(&self) -> Option<(u64, u64)> {
        self.0.sequences
    }
}

impl Clone for Error {
    fn clone(&self) -> Self {
        Error(self.0.clone())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.0.code.name(), self.0.text)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gap_free_and_names_are_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        for (number, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as i32, number as i32);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 43);
    }

    #[test]
    fn a_full_disk_and_a_refused_permission_have_codes_of_their_own() {
        let full = Error::io("cannot write", &io::Error::from_raw_os_error(libc::ENOSPC));
        let refused = Error::io("cannot open", &io::Error::from_raw_os_error(libc::EROFS));
        assert_eq!((full.code(), full.os_errno()), (Code::NoSpace, libc::ENOSPC));
        assert_eq!(refused.code(), Code::Permission);
    }
}
