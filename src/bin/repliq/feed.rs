//! From an input into a queue: what `put` and `replicate` share.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use repliq::{Client, Code, Commit, Message, Queue, Store};

use super::fail::{Done, Fail};
use super::input::{CsvOptions, Inputs, Record};
use super::place::queues_of;
use super::progress::Progress;

/// What to read and which messages to make of it.
#[derive(clap::Args, Clone, Debug)]
pub struct Feed {
    /// Messages are the records of CSV; line breaks inside quoted fields stay
    #[arg(long)]
    csv: bool,
    /// Column that is the key, counted from 1
    #[arg(long, value_name = "N", requires = "csv", conflicts_with = "key")]
    key_column: Option<usize>,
    /// The first CSV record is a message and no line of titles
    #[arg(long, requires = "csv")]
    no_titles: bool,
    /// Leave out the first N records: those a former run has put
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u64,
    /// Go on after a stop: leave out as many records as were ever put into the queue
    #[arg(long, conflicts_with = "skip")]
    resume: bool,
    /// Kind of the messages, 0 to 65535
    #[arg(long, value_name = "N", default_value_t = 0)]
    kind: u16,
    /// Key of the messages
    #[arg(long)]
    key: Option<String>,
    /// Header of the messages; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// Messages a transaction
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Put at most so many messages a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Show no progress bar on a terminal
    #[arg(long)]
    no_progress: bool,
}

/// `NAME=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_string(), value.to_string()))
}

/// What was put.
#[derive(Default)]
pub struct Sum {
    /// Messages committed.
    pub messages: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// The last of them.
    pub last: Option<Commit>,
}

/// Where messages are put.
pub enum Into<'a> {
    /// A queue of a store of this process.
    Here(&'a Store, Queue),
    /// A queue behind a server.
    There(&'a Client, &'a str),
}

impl Into<'_> {
    /// Messages ever put into the queue.
    fn held(&self) -> Done<u64> {
        let next = match self {
            Into::Here(store, queue) => {
                let mut infos = store.queues()?.into_iter();
                infos.find(|info| info.queue == *queue).map(|info| info.next_sequence)
            }
            Into::There(client, queue) => {
                let mut rows = queues_of(client)?.into_iter();
                rows.find(|row| row.name == *queue).map(|row| row.next_sequence)
            }
        };
        Ok(next.map_or(0, |next| next - 1))
    }

    /// One transaction.
    fn put(&mut self, messages: &[Message<'_>]) -> repliq::Result<Commit> {
        match self {
            Into::Here(store, queue) => store.put(*queue, messages),
            Into::There(client, queue) => client.put(queue, messages),
        }
    }
}

impl Feed {
    /// Opens the input, so that a missing file is met before a store is made.
    pub fn open(&self, files: &[PathBuf]) -> Done<Inputs> {
        if self.key_column == Some(0) {
            let text = "cannot take column 0 as the key: the first column is 1";
            return Err(Fail::new(Code::Invalid, text));
        }
        let csv = CsvOptions { key_column: self.key_column, titles: !self.no_titles };
        Inputs::open(files.to_vec(), self.csv.then_some(csv))
    }

    /// Whether a bar is wanted where somebody looks.
    pub fn shows_progress(&self) -> bool {
        !self.no_progress
    }

    /// Puts everything. A bad record ends it and rolls its transaction back; those before stay, counted in `sum`.
    ///
    /// `stop` is asked after each transaction, and ends it where it answers true.
    pub fn put(
        &self,
        into: &mut Into<'_>,
        input: &mut Inputs,
        sum: &mut Sum,
        stop: &mut dyn FnMut() -> bool,
    ) -> Done {
        let progress = Progress::bytes(input.bytes(), self.shows_progress());
        let skip = if self.resume { into.held()? } else { self.skip };
        for _ in 0..skip {
            if input.next()?.is_none() {
                return Ok(());
            }
        }
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let start = Instant::now();
        let mut job = Vec::new();
        loop {
            let record = input.next()?;
            let end = record.is_none();
            job.extend(record);
            if job.len() as u64 == self.batch || end && !job.is_empty() {
                let messages: Vec<Message<'_>> =
                    job.iter().map(|record| self.message(record, &headers)).collect();
                sum.last = Some(into.put(&messages)?);
                sum.messages += messages.len() as u64;
                sum.transactions += 1;
                job.clear();
                progress.at(input.done());
                self.pace(start, sum.messages);
                if stop() {
                    return Ok(());
                }
            }
            if end {
                return Ok(());
            }
        }
    }

    fn message<'a>(
        &'a self,
        record: &'a Record,
        headers: &'a [(&'a str, &'a [u8])],
    ) -> Message<'a> {
        let key = self.key.as_ref().map_or(record.key.as_slice(), |key| key.as_bytes());
        Message { kind: self.kind, key, headers, ..Message::new(&record.payload) }
    }

    /// Sleeps until so many messages may have been put.
    fn pace(&self, start: Instant, messages: u64) {
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(messages as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
}
