//! Log lines, until a thread of Python takes them; see `repliq/_log.py`.
//!
//! The threads of the core never enter the interpreter: they leave their lines here, and go on. Where nobody
//! takes them, the oldest go, and are counted.

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::error::Answer;
use crate::wait::wait;

/// Lines that wait at most.
const LINES_MAX: usize = 10_000;

/// A line: the level as `logging` numbers it, the name of the logger, and the text.
type Line = (u8, String, String);

#[derive(Default)]
struct Lines {
    waiting: VecDeque<Line>,
    lost: u64,
}

struct Buffer {
    lines: Mutex<Lines>,
    more: Condvar,
}

static BUFFER: Buffer =
    Buffer { lines: Mutex::new(Lines { waiting: VecDeque::new(), lost: 0 }), more: Condvar::new() };

impl Log for Buffer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => 40,
            Level::Warn => 30,
            Level::Info => 20,
            Level::Debug => 10,
            Level::Trace => 5,
        };
        let line = (level, record.target().replace("::", "."), record.args().to_string());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.waiting.len() >= LINES_MAX {
            lines.waiting.pop_front();
            lines.lost += 1;
        }
        lines.waiting.push_back(line);
        drop(lines);
        self.more.notify_one();
    }

    fn flush(&self) {}
}

#[doc = stub!("log_level")]
#[pyfunction]
#[pyo3(signature = (level))]
pub fn log_level(level: Option<u32>) {
    let filter = match level {
        None => LevelFilter::Off,
        Some(0..=9) => LevelFilter::Trace,
        Some(10..=19) => LevelFilter::Debug,
        Some(20..=29) => LevelFilter::Info,
        Some(30..=39) => LevelFilter::Warn,
        Some(40..) => LevelFilter::Error,
    };
    if filter != LevelFilter::Off {
        // It fails where it was set before, by this very function.
        let _ = log::set_logger(&BUFFER);
    }
    log::set_max_level(filter);
}

#[doc = stub!("log_drain")]
#[pyfunction]
#[pyo3(signature = (timeout=None))]
pub fn log_drain(py: Python<'_>, timeout: Option<f64>) -> Answer<(Vec<Line>, u64)> {
    let taken = wait(py, timeout, |slice| Ok(take(slice)))?;
    Ok(taken.unwrap_or_default())
}

fn take(wait: Duration) -> Option<(Vec<Line>, u64)> {
    let lines = BUFFER.lines.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = BUFFER.more.wait_timeout_while(lines, wait, |lines| lines.waiting.is_empty());
    let (mut lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
    if lines.waiting.is_empty() {
        return None;
    }
    let lost = std::mem::take(&mut lines.lost);
    Some((lines.waiting.drain(..).collect(), lost))
}
