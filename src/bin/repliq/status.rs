//! `repliq status`: what a store says about itself.

use std::io::IsTerminal;
use std::time::Duration;

use repliq::Code;
use serde_json::Value;

use super::fail::{Done, Fail};
use super::output::Output;
use super::place::{At, Place};
use super::signal::{Asked, Signals};

/// Print the state of a store; another process may be writing
///
/// Of a live server its connections, its streams and what it counted are shown, too.
#[derive(clap::Args, Debug)]
pub struct Status {
    #[command(flatten)]
    place: Place,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Print again and again, every so many seconds, until a signal
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    watch: Option<f64>,
}

impl Status {
    /// Prints the library's own text, or the same as lines.
    pub fn run(self) -> Done {
        let Some(seconds) = self.watch else {
            let value = self.read(&self.place.look()?)?;
            return self.show(&value, false);
        };
        let pause = Duration::try_from_secs_f64(seconds).map_err(|error| {
            Fail::new(Code::Invalid, format!("cannot watch every {seconds} seconds: {error}"))
        })?;
        let mut signals = Signals::open()?;
        let mut at: Option<At> = None;
        loop {
            if at.is_none() {
                at = Some(self.place.look()?);
            }
            if let Some(open) = &at {
                match self.read(open) {
                    Ok(value) => self.show(&value, true)?,
                    // A server that restarts is met again; it was there when the watch began.
                    Err(fail) if self.place.folder.is_url() => eprintln!("repliq: {fail}"),
                    Err(fail) => return Err(fail),
                }
            }
            if !self.place.folder.is_url() {
                // A directory shows what was durable when it was opened.
                at = None;
            }
            if signals.wait(pause) == Some(Asked::End) {
                return Ok(());
            }
        }
    }

    fn read(&self, at: &At) -> Done<Value> {
        let parse = |text: &str| {
            serde_json::from_str::<Value>(text).map_err(|error| {
                let store = &self.place.folder.store;
                Fail::new(Code::Protocol, format!("cannot read the status of {store}: {error}"))
            })
        };
        let mut status = parse(&at.status()?)?;
        if let Some(server) = at.server()? {
            status["server"] = parse(&server)?;
        }
        Ok(status)
    }

    fn show(&self, value: &Value, again: bool) -> Done {
        let mut output = Output::open();
        match (self.json, again) {
            (true, true) => output.json(value)?,
            (true, false) => output.line(&format!("{value:#}"))?,
            (false, _) => {
                if again && std::io::stdout().is_terminal() {
                    // Clears the screen and goes to its first line.
                    output.bytes(b"\x1b[2J\x1b[H")?;
                }
                print(&mut output, value)?;
                tables(&mut output, "server.", &value["server"])?;
            }
        }
        output.flush()
    }
}

/// Plain fields as lines, then a table for each list of objects.
fn print(output: &mut Output, value: &Value) -> Done {
    let mut plain = Vec::new();
    flatten("", value, &mut plain);
    output.table(&["field", "value"], &plain)?;
    tables(output, "", value)
}

/// The lists of objects in an object.
fn tables(output: &mut Output, prefix: &str, value: &Value) -> Done {
    for (name, list) in value.as_object().into_iter().flatten() {
        let Some(list) = list.as_array().filter(|list| list.iter().any(Value::is_object)) else {
            continue;
        };
        output.line("")?;
        output.line(&format!("{prefix}{name}"))?;
        let titles: Vec<&str> =
            list[0].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let rows: Vec<Vec<String>> = list
            .iter()
            .map(|item| titles.iter().map(|title| cell(&item[*title])).collect())
            .collect();
        output.table(&titles, &rows)?;
    }
    Ok(())
}

fn flatten(prefix: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        match value {
            Value::Object(_) => flatten(&format!("{name}."), value, rows),
            Value::Array(list) if list.iter().any(Value::is_object) => {}
            value => rows.push(vec![name, cell(value)]),
        }
    }
}

/// A JSON value as a cell of a table.
pub fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_string(),
        Value::Array(list) if list.is_empty() => "-".to_string(),
        Value::Array(list) => list.len().to_string(),
        value => value.to_string(),
    }
}
