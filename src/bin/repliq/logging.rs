//! What a server says while it runs: one line an event on stderr, as text or as JSON.
//!
//! Under systemd, which says so by `JOURNAL_STREAM`, a line of text begins with the importance in angle brackets,
//! as its journal reads it, and has no time, which the journal adds. What happened to whom (logins, refusals,
//! purges, users) has the target `repliq::audit`. No line holds a payload, a key or a secret.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Metadata, Record};
use repliq::Code;
use serde_json::json;

use super::config::Settings;
use super::fail::{Done, Fail};

/// Where lines about who did what come from.
const AUDIT: &str = "repliq::audit";

/// The log of a server.
pub struct Log {
    level: LevelFilter,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Journal,
    Json,
}

impl Log {
    /// As the settings ask for it.
    pub fn new(settings: &Settings) -> Done<Log> {
        let word = settings.text("log_level").unwrap_or("info");
        let level = word
            .parse()
            .map_err(|_| Fail::new(Code::Invalid, format!("cannot log at the level {word:?}")))?;
        let form = match settings.text("log_format") {
            Some("json") => Form::Json,
            _ if std::env::var_os("JOURNAL_STREAM").is_some() => Form::Journal,
            _ => Form::Text,
        };
        Ok(Log { level, form })
    }

    /// Hears of everything from now on.
    pub fn start(self) -> Done {
        log::set_max_level(self.level);
        log::set_boxed_logger(Box::new(self))
            .map_err(|error| Fail::new(Code::Exists, format!("cannot log: {error}")))
    }

    fn line(&self, record: &Record<'_>) -> String {
        let text = record.args().to_string();
        match self.form {
            Form::Json => json!({
                "time": time_text(now_ms()),
                "level": record.level().as_str().to_lowercase(),
                "target": record.target(),
                "message": text,
            })
            .to_string(),
            Form::Journal => {
                format!("<{}>{}{}", importance(record.level()), audit(record), one_line(&text))
            }
            Form::Text => {
                let level = record.level().as_str().to_lowercase();
                format!("{} {level:5} {}{}", time_text(now_ms()), audit(record), one_line(&text))
            }
        }
    }
}

impl log::Log for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries below tell more than an operator wants to know, and not under our promise.
        metadata.level() <= self.level && metadata.target().starts_with("repliq")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Nobody is left to be told where stderr is gone.
            let _ =
                std::io::stderr().lock().write_all(format!("{}\n", self.line(record)).as_bytes());
        }
    }

    fn flush(&self) {}
}

fn audit(record: &Record<'_>) -> &'static str {
    if record.target() == AUDIT { "audit: " } else { "" }
}

/// The number of the level in the journal.
fn importance(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// One event, one line: nobody who names a queue or a file forges the next line.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment in UTC as RFC 3339 has it, with milliseconds.
pub fn time_text(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    // Years from March on, so that the day that leaps is the last one: 400 years have 146,097 days.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, early) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + early;
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, rest) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z")
}

#[cfg(test)]
mod tests {
    use super::{one_line, time_text};

    #[test]
    fn a_moment_is_written_as_the_rfc_has_it() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time_text(ms), text);
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line("a\nb\u{1b}[31m\r\tc ä"), "a b [31m  c ä");
    }
}
