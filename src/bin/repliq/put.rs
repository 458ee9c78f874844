//! `repliq put`: one message a line, or a CSV record, in transactions of a wished size.

use std::path::PathBuf;

use repliq::{Level, StoreOptions};
use serde_json::json;

use super::fail::Done;
use super::feed::{Feed, Sum};
use super::output::Output;
use super::place::Place;

/// Put messages into a queue: one a line from FILE or stdin, or one a CSV record
///
/// A store or queue that does not exist is created; with a password option the new store is encrypted.
/// The token of the last transaction is printed at the end.
#[derive(clap::Args, Debug)]
pub struct Put {
    #[command(flatten)]
    place: Place,
    /// Name of the queue
    queue: String,
    /// Files to read one after the other; - or none is stdin
    files: Vec<PathBuf>,
    #[command(flatten)]
    feed: Feed,
    /// What a commit survives: process (kill -9) or power
    #[arg(long, value_parser = level, default_value = "power")]
    level: Level,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// `process` or `power`.
pub fn level(text: &str) -> Result<Level, String> {
    match text {
        "process" => Ok(Level::Process),
        "power" => Ok(Level::Power),
        _ => Err("process or power is expected".to_string()),
    }
}

/// The name of a level.
pub fn level_name(level: Level) -> &'static str {
    match level {
        Level::Process => "process",
        _ => "power",
    }
}

impl Put {
    /// Reads to the end of the input; prints what was put even where something fails then.
    pub fn run(self) -> Done {
        let mut input = self.feed.open(&self.files)?;
        let store =
            self.place.open(StoreOptions { level: self.level, ..StoreOptions::default() })?;
        let queue = store.queue(&self.queue)?;
        let mut sum = Sum::default();
        let put = self.feed.put(&store, queue, &mut input, &mut sum);
        let closed = store.close();
        print(&sum, self.json)?;
        put?;
        Ok(closed?)
    }
}

/// The last token, or all that was done.
pub fn print(sum: &Sum, as_json: bool) -> Done {
    let mut output = Output::open();
    let token = sum.last.map(|commit| commit.token.to_string());
    if as_json {
        output.json(&json!({
            "messages": sum.messages,
            "transactions": sum.transactions,
            "token": token,
            "level": sum.last.map(|commit| level_name(commit.level)),
        }))?;
    } else if let Some(token) = token {
        output.line(&token)?;
    }
    output.flush()
}
