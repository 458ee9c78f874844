//! Log lines on their way to Java: a thread of Java takes them, so that no foreign thread has to enter Java.
//!
//! Promises: a line costs its writer a lock and never a wait; where nobody takes them, the oldest are dropped and
//! counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};

use crate::bytes::Writer;

/// Lines that wait at most.
const LINES_MAX: usize = 1_000;

struct Line {
    level: u8,
    target: String,
    text: String,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    dropped: u64,
}

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { lines: VecDeque::new(), dropped: 0 });
static ARRIVED: Condvar = Condvar::new();

struct Forward;

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            push(record.level() as u8, record.target(), record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn push(level: u8, target: &str, text: String) {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting.lines.len() == LINES_MAX {
        waiting.lines.pop_front();
        waiting.dropped += 1;
    }
    waiting.lines.push_back(Line { level, target: target.to_owned(), text });
    drop(waiting);
    ARRIVED.notify_one();
}

/// Collects lines of this level (1 error … 5 trace, 0 none) and more important ones from now on. What panics is
/// told as a line, too, instead of being printed.
pub fn set_level(level: u8) {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // Another logger can only be there when somebody linked this library into a program of Rust.
        let _ = log::set_logger(&Forward);
        std::panic::set_hook(Box::new(|info| log::error!("a bug of this library: {info}")));
    });
    let level = match level {
        0 => LevelFilter::Off,
        1 => LevelFilter::Error,
        2 => LevelFilter::Warn,
        3 => LevelFilter::Info,
        4 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    log::set_max_level(level);
}

/// The lines that wait, waiting at most so long for the first.
pub fn take(wait: Duration) -> Vec<u8> {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting.lines.is_empty() {
        let woken = ARRIVED.wait_timeout(waiting, wait);
        waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
    let Waiting { lines, dropped } = std::mem::take(&mut *waiting);
    drop(waiting);
    let count = u32::try_from(lines.len()).unwrap_or(0);
    let head = Writer::default().u64(dropped).u32(count);
    lines.iter().fold(head, |to, line| to.u8(line.level).text(&line.target).text(&line.text)).0
}
