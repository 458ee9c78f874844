//! Progress bars on stderr, and only where stderr is a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar, or nothing where nobody looks.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar over `total` bytes, or a counter without an end; `wanted` is false under `--no-progress`.
    pub fn bytes(total: Option<u64>, wanted: bool) -> Progress {
        Progress::open(total, wanted, "{bytes}/{total_bytes} {binary_bytes_per_sec}", "{bytes}")
    }

    /// A bar over `total` messages.
    pub fn messages(total: Option<u64>, wanted: bool) -> Progress {
        Progress::open(total, wanted, "{human_pos}/{human_len} {per_sec}", "{human_pos} {per_sec}")
    }

    fn open(total: Option<u64>, wanted: bool, known: &str, unknown: &str) -> Progress {
        if !wanted || !io::stderr().is_terminal() {
            return Progress(None);
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), format!("[{{wide_bar}}] {known} {{eta}}")),
            None => (ProgressBar::new_spinner(), format!("{{spinner}} {unknown}")),
        };
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress(Some(bar.with_style(style.progress_chars("=> "))))
    }

    /// So much is done.
    pub fn at(&self, position: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(position);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
