//! How a command ends when it fails: the code of the table is the exit status, the sentence one line on stderr.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use repliq::{Code, Error};

/// The result of a verb, or of a step of one.
pub type Done<T = ()> = Result<T, Fail>;

/// A code and what was done, to what, and why it failed.
#[derive(Debug)]
pub struct Fail {
    code: Code,
    text: String,
}

impl Fail {
    /// A failure of the command line's own.
    pub fn new(code: Code, text: impl Into<String>) -> Fail {
        Fail { code, text: text.into() }
    }

    /// The operating system refused `what`, told apart as the library does.
    pub fn io(what: impl Display, error: &io::Error) -> Fail {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Code::Permission,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
            io::ErrorKind::NotFound => Code::NoSuchName,
            io::ErrorKind::BrokenPipe => Code::Closed,
            _ => Code::Io,
        };
        Fail::new(code, format!("{what}: {error}"))
    }

    /// Prints the sentence and returns the exit status.
    pub fn report(&self) -> ExitCode {
        // One error, one line: a file's name may hold a line break.
        let line = self.text.replace(['\n', '\r'], " ");
        eprintln!("repliq: {line}");
        status(self.code)
    }
}

impl Display for Fail {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Fail::new(error.code(), error.to_string())
    }
}

/// The exit status of a code: its number.
pub fn status(code: Code) -> ExitCode {
    ExitCode::from(u8::try_from(code as i32).unwrap_or(u8::MAX))
}
