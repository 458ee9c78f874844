//! `repliq put`: one message a line, or a CSV record, in transactions of a wished size.

use std::path::PathBuf;

use repliq::{Code, Level, StoreOptions};
use serde_json::json;

use super::fail::{Done, Fail};
use super::feed::{Feed, Into, Sum};
use super::input::Inputs;
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
    /// What a commit survives: process (kill -9) or power, the default; a server decides itself
    #[arg(long, value_parser = level)]
    level: Option<Level>,
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
        let mut sum = Sum::default();
        let put = self.put(&mut input, &mut sum);
        if put.is_ok() || sum.last.is_some() {
            print(&sum, self.json)?;
        }
        put
    }

    fn put(&self, input: &mut Inputs, sum: &mut Sum) -> Done {
        if self.place.folder.is_url() {
            if self.level.is_some() {
                let text = "cannot put at a level of one's own: the level is the server's";
                return Err(Fail::new(Code::Unsupported, text));
            }
            let client = self.place.connect()?;
            return self
                .feed
                .put(&mut Into::There(&client, &self.queue), input, sum, &mut || false);
        }
        let level = self.level.unwrap_or_default();
        let store = self.place.folder.open(StoreOptions { level, ..StoreOptions::default() })?;
        let queue = store.queue(&self.queue)?;
        let put = self.feed.put(&mut Into::Here(&store, queue), input, sum, &mut || false);
        let closed = store.close();
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
