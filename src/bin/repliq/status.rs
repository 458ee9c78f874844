//! `repliq status`: what a store says about itself.

use repliq::Code;
use serde_json::Value;

use super::fail::{Done, Fail};
use super::output::Output;
use super::place::Place;

/// Print the state of a store; another process may be writing
#[derive(clap::Args, Debug)]
pub struct Status {
    #[command(flatten)]
    place: Place,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Prints the library's own text, or the same as lines.
    pub fn run(self) -> Done {
        let text = self.place.look()?.status()?;
        let mut output = Output::open();
        if self.json {
            output.line(text.trim_end())?;
        } else {
            let value: Value = serde_json::from_str(&text).map_err(|error| {
                Fail::new(
                    Code::Protocol,
                    format!("cannot read the status of {}: {error}", self.place.folder.store),
                )
            })?;
            print(&mut output, &value)?;
        }
        output.flush()
    }
}

/// Plain fields as lines, then a table for each list of objects.
fn print(output: &mut Output, value: &Value) -> Done {
    let mut plain = Vec::new();
    flatten("", value, &mut plain);
    output.table(&["field", "value"], &plain)?;
    for (name, list) in value.as_object().into_iter().flatten() {
        let Some(list) = list.as_array().filter(|list| list.iter().any(Value::is_object)) else {
            continue;
        };
        output.line("")?;
        output.line(name)?;
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
