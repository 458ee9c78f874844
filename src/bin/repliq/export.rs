//! `repliq export` and `repliq import`: messages as JSON lines.
//!
//! One object a line. Key, payload and the values of headers are strings where they are UTF-8 and
//! `{"base64": "…"}` where not; headers are a list of pairs, since a name may come twice.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use repliq::{Code, Message, Received, Store, StoreOptions};
use serde_json::{Value, json};

use super::fail::{Done, Fail};
use super::output::{Output, base64, unbase64};
use super::place::{Folder, Place, View};
use super::progress::Progress;

/// Messages one call reads.
const BATCH: usize = 1_000;

/// Print all messages of a store, or of one queue, as JSON lines
///
/// What is expired, purged or acknowledged by every consumer is left out.
#[derive(clap::Args, Debug)]
pub struct Export {
    #[command(flatten)]
    place: Place,
    /// Name of the queue; all queues without
    queue: Option<String>,
    /// Show no progress bar on a terminal
    #[arg(long)]
    no_progress: bool,
}

/// Put the messages of an export into a store
///
/// Each job of --batch lines is one transaction. A message that names a producer is left out when the store has
/// that producer's sequence already; with --producer those that name none get one, so an import that is
/// repeated puts nothing twice.
#[derive(clap::Args, Debug)]
pub struct Import {
    #[command(flatten)]
    folder: Folder,
    /// Files to read one after the other; - or none is stdin
    files: Vec<PathBuf>,
    /// Put all messages into this queue instead of the one they name
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Producer of messages that name none; their sequence is the number of the line
    #[arg(long, value_name = "ID")]
    producer: Option<String>,
    /// Messages a transaction
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    /// Show no progress bar on a terminal
    #[arg(long)]
    no_progress: bool,
}

impl Export {
    /// Walks the queues in the order of their names.
    pub fn run(self) -> Done {
        let at = self.place.look()?;
        let mut queues = at.queues()?;
        if let Some(name) = &self.queue {
            queues.retain(|queue| queue.name == *name);
            if queues.is_empty() {
                let text = format!("{} has no queue {name:?}", self.place.folder.store);
                return Err(Fail::new(Code::NoSuchName, text));
            }
        }
        let total = queues.iter().map(|queue| queue.messages).sum();
        let progress = Progress::messages(Some(total), !self.no_progress);
        let mut output = Output::open();
        let mut sources = Vec::new();
        for queue in &queues {
            let view = at.view(&queue.name)?;
            let mut source = Source { name: &queue.name, view, next: 1, ahead: VecDeque::new() };
            source.fill()?;
            sources.push(source);
        }
        // In the order of commits, so that no message of a producer comes before an earlier one.
        let mut done = 0;
        while let Some(source) = sources.iter_mut().min_by_key(|source| source.place()) {
            let Some(message) = source.ahead.pop_front() else { break };
            output.json(&to_json(source.name, &message))?;
            source.fill()?;
            done += 1;
            progress.at(done);
        }
        drop(progress);
        output.flush()
    }
}

/// A queue that is read ahead.
struct Source<'a> {
    name: &'a str,
    view: View<'a>,
    next: u64,
    ahead: VecDeque<Received>,
}

impl Source<'_> {
    /// Reads on where nothing is left.
    fn fill(&mut self) -> Done {
        if self.ahead.is_empty() {
            self.ahead.extend(self.view.browse(self.next, BATCH)?);
            self.next = self.ahead.back().map_or(self.next, |last| last.sequence() + 1);
        }
        Ok(())
    }

    /// Where its next message stands in the order of commits; behind all others at its end.
    fn place(&self) -> (u64, u32, u64) {
        let place = |m: &Received| (m.transaction(), m.index(), m.producer_sequence());
        self.ahead.front().map_or((u64::MAX, u32::MAX, u64::MAX), place)
    }
}

fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": base64(bytes) }),
    }
}

fn to_json(queue: &str, message: &Received) -> Value {
    let headers = message.headers().map(|(name, value)| json!([name, bytes(value)]));
    json!({
        "queue": queue,
        "sequence": message.sequence(),
        "transaction": message.transaction(),
        "committed_ms": message.committed_ms(),
        "kind": message.kind(),
        "key": bytes(message.key()),
        "headers": headers.collect::<Vec<Value>>(),
        "payload": bytes(message.payload()),
        "expires_ms": message.expires_ms(),
        "producer": message.producer(),
        "producer_sequence": message.producer_sequence(),
    })
}

/// A line of an export, taken apart.
struct Line {
    queue: String,
    kind: u16,
    key: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    payload: Vec<u8>,
    expires_ms: u64,
    producer: String,
    producer_sequence: u64,
}

impl Line {
    fn parse(text: &str) -> Result<Line, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !value.is_object() {
            return Err("it is no object".to_string());
        }
        let number = |name: &str| match &value[name] {
            Value::Null => Ok(0),
            other => other.as_u64().ok_or_else(|| format!("{name:?} is no number from 0 on")),
        };
        let text = |name: &str| match &value[name] {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            _ => Err(format!("{name:?} is no string")),
        };
        Ok(Line {
            queue: text("queue")?,
            kind: u16::try_from(number("kind")?).map_err(|_| "\"kind\" is above 65535")?,
            key: unbytes("key", &value["key"])?,
            headers: pairs(&value["headers"])?,
            payload: unbytes("payload", &value["payload"])?,
            expires_ms: number("expires_ms")?,
            producer: text("producer")?,
            producer_sequence: number("producer_sequence")?,
        })
    }
}

fn pairs(value: &Value) -> Result<Vec<(String, Vec<u8>)>, String> {
    let wrong = || "\"headers\" is no list of pairs".to_string();
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        value => value.as_array().ok_or_else(wrong)?,
    };
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(name), value]) => Ok((name.clone(), unbytes(name, value)?)),
        _ => Err(wrong()),
    };
    list.iter().map(pair).collect()
}

fn unbytes(name: &str, value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(text.clone().into_bytes()),
        value => value["base64"]
            .as_str()
            .and_then(unbase64)
            .ok_or_else(|| format!("{name:?} is neither a string nor {{\"base64\": …}}")),
    }
}

/// What an import did.
#[derive(Default)]
struct Sum {
    messages: u64,
    left_out: u64,
    transactions: u64,
}

impl Import {
    /// Puts job by job; a line that cannot be read ends it, and what was put stays.
    pub fn run(self) -> Done {
        let mut inputs: Vec<Box<dyn Read>> = Vec::new();
        for file in &self.files {
            let opened: Box<dyn Read> = match file.as_os_str() == "-" {
                true => Box::new(std::io::stdin()),
                false => Box::new(std::fs::File::open(file).map_err(|error| {
                    Fail::io(format!("cannot read {}", file.display()), &error)
                })?),
            };
            inputs.push(opened);
        }
        if inputs.is_empty() {
            inputs.push(Box::new(std::io::stdin()));
        }
        let store = self.folder.open(StoreOptions::default())?;
        let mut sum = Sum::default();
        let put = self.put_all(&store, inputs, &mut sum);
        let closed = store.close();
        let mut output = Output::open();
        if self.json {
            output.json(&json!({
                "messages": sum.messages,
                "left_out": sum.left_out,
                "transactions": sum.transactions,
            }))?;
        } else {
            let Sum { messages, left_out, .. } = sum;
            output.line(&format!("{messages} messages put, {left_out} were there already"))?;
        }
        output.flush()?;
        put?;
        Ok(closed?)
    }

    fn put_all(&self, store: &Store, inputs: Vec<Box<dyn Read>>, sum: &mut Sum) -> Done {
        let progress = Progress::messages(None, !self.no_progress);
        let (mut job, mut number) = (Vec::new(), 0);
        let mut last: HashMap<String, u64> = HashMap::new();
        for input in inputs {
            for text in BufReader::new(input).lines() {
                let text = text.map_err(|error| Fail::io("cannot read the input", &error))?;
                number += 1;
                if text.trim().is_empty() {
                    continue;
                }
                let bad =
                    |why| Fail::new(Code::Invalid, format!("cannot import line {number}: {why}"));
                let line = self.line(&text, number).map_err(bad)?;
                if !line.producer.is_empty() {
                    let before = last.insert(line.producer.clone(), line.producer_sequence);
                    // It would be left out as one that is there already.
                    if before.is_some_and(|before| before >= line.producer_sequence) {
                        let why = format!("the sequence of producer {:?} goes back", line.producer);
                        return Err(bad(why));
                    }
                }
                job.push(line);
                if job.len() as u64 == self.batch {
                    put(store, &mut job, sum)?;
                    progress.at(sum.messages + sum.left_out);
                }
            }
        }
        put(store, &mut job, sum)
    }

    fn line(&self, text: &str, number: u64) -> Result<Line, String> {
        let mut line = Line::parse(text)?;
        if let Some(queue) = &self.queue {
            line.queue.clone_from(queue);
        }
        if let Some(producer) = &self.producer
            && line.producer.is_empty()
        {
            (line.producer, line.producer_sequence) = (producer.clone(), number);
        }
        Ok(line)
    }
}

fn put(store: &Store, job: &mut Vec<Line>, sum: &mut Sum) -> Done {
    if job.is_empty() {
        return Ok(());
    }
    let headers: Vec<Vec<(&str, &[u8])>> = job
        .iter()
        .map(|line| line.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect())
        .collect();
    let mut messages = Vec::with_capacity(job.len());
    for (line, headers) in job.iter().zip(&headers) {
        let message = Message {
            kind: line.kind,
            key: &line.key,
            headers,
            expires_ms: line.expires_ms,
            producer: &line.producer,
            producer_sequence: line.producer_sequence,
            ..Message::new(&line.payload)
        };
        messages.push((store.queue(&line.queue)?, message));
    }
    let (put, _) = store.import(&messages)?;
    sum.messages += put;
    sum.left_out += messages.len() as u64 - put;
    sum.transactions += u64::from(put > 0);
    drop(messages);
    job.clear();
    Ok(())
}
