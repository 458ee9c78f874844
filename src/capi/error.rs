//! Errors, versions and log lines.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::sync::OnceLock;

use crate::error::{Code, Error, Result};
use crate::sync::{Condvar, Mutex};

use super::argument::{Out, invalid};
use super::boundary::{boundary, last, quiet_panics};
use super::types::*;

/// The number of the ABI; the soname carries it, too.
const ABI: u32 = 0;

/// Stores in `*error` what the last call of this thread that failed had to say. Calls that succeed leave it as
/// it is.
///
/// Fails with REPLIQ_INVALID (NULL, unknown size).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_error_last(error: *mut repliq_error) -> repliq_code {
    let mut kept = last();
    boundary(|| {
        // SAFETY: the caller's contract: `error` is NULL or points to a struct as long as it says.
        let out = unsafe { Out::sized(error, "error", "repliq_error")? };
        kept.size = size_of::<repliq_error>();
        out.put(kept);
        Ok(())
    })
}

/// The name of a code without REPLIQ_, such as "TOO_LARGE"; "UNKNOWN" for a number without a name. Never freed.
#[unsafe(no_mangle)]
pub extern "C" fn repliq_code_name(code: repliq_code) -> *const c_char {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let names = Code::ALL.iter().map(|code| code.name());
        names.map(|name| CString::new(name).unwrap_or_default()).collect()
    });
    let name = usize::try_from(code).ok().and_then(|number| names.get(number));
    name.map_or(c"UNKNOWN".as_ptr(), |name| name.as_ptr())
}

/// The flags of a code, REPLIQ_FLAG_* or'ed; 0 for a number without a name.
#[unsafe(no_mangle)]
pub extern "C" fn repliq_code_flags(code: repliq_code) -> u32 {
    let known = usize::try_from(code).ok().and_then(|number| Code::ALL.get(number));
    known.map_or(0, |code| code.flags())
}

/// The version of the library, such as "0.1.0". Never freed.
#[unsafe(no_mangle)]
pub extern "C" fn repliq_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The number of the ABI the library has; REPLIQ_ABI_VERSION is the header's.
#[unsafe(no_mangle)]
pub extern "C" fn repliq_abi_version() -> u32 {
    ABI
}

#[derive(Clone, Copy)]
struct Sink {
    function: unsafe extern "C" fn(*mut c_void, i32, *const c_char, *const c_char),
    user: *mut c_void,
}

// SAFETY: the header asks for a function that may be called from any thread with this `user`.
unsafe impl Send for Sink {}

struct Logging {
    sink: Option<Sink>,
    calls: usize,
}

static LOGGING: Mutex<Logging> = Mutex::new(Logging { sink: None, calls: 0 });
static QUIET: Condvar = Condvar::new();

thread_local!(static LOGS: Cell<bool> = const { Cell::new(false) });

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        // A line that is written while one is written is left out: the function of the user is no
        // place to come back to.
        if !self.enabled(record.metadata()) || LOGS.replace(true) {
            return;
        }
        let sink = {
            let mut logging = LOGGING.lock();
            logging.calls += usize::from(logging.sink.is_some());
            logging.sink
        };
        if let Some(sink) = sink {
            let line = |text: String| CString::new(text.replace('\0', "?")).unwrap_or_default();
            let (target, text) = (line(record.target().into()), line(record.args().to_string()));
            let level = record.level() as i32;
            // SAFETY: the caller's contract of `repliq_log_set`; it waits for calls before it returns.
            unsafe { (sink.function)(sink.user, level, target.as_ptr(), text.as_ptr()) };
            LOGGING.lock().calls -= 1;
            QUIET.notify_all();
        }
        LOGS.set(false);
    }

    fn flush(&self) {}
}

/// Sends log lines of `level` and more important ones to `function`, with `user`; NULL ends that. When it
/// returns, the function that was set before is not running and will not be called any more.
///
/// `function` may be NULL, `user` may be NULL. Without a function the library logs nothing.
///
/// Fails with REPLIQ_INVALID (no such level), REPLIQ_BUSY (called from the function itself), REPLIQ_EXISTS (a
/// Rust program around this library has a logger already).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_log_set(
    function: repliq_log_function,
    user: *mut c_void,
    level: i32,
) -> repliq_code {
    boundary(|| {
        let filter = match (function.is_some(), level) {
            (false, _) => log::LevelFilter::Off,
            (true, REPLIQ_LOG_ERROR) => log::LevelFilter::Error,
            (true, REPLIQ_LOG_WARN) => log::LevelFilter::Warn,
            (true, REPLIQ_LOG_INFO) => log::LevelFilter::Info,
            (true, REPLIQ_LOG_DEBUG) => log::LevelFilter::Debug,
            (true, REPLIQ_LOG_TRACE) => log::LevelFilter::Trace,
            _ => return Err(invalid(format!("{level} is no level of log lines"))),
        };
        if LOGS.get() {
            return Err(Error::new(Code::Busy, "the log function cannot replace itself"));
        }
        install()?;
        quiet_panics();
        log::set_max_level(filter);
        let mut logging = LOGGING.lock();
        logging.sink = function.map(|function| Sink { function, user });
        while logging.calls > 0 {
            QUIET.wait(&mut logging);
        }
        Ok(())
    })
}

fn install() -> Result<()> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    match INSTALLED.get_or_init(|| log::set_logger(&Logger).is_ok()) {
        true => Ok(()),
        false => Err(Error::new(Code::Exists, "the program has a logger already")),
    }
}
