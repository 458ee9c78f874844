//! `repliq export` and `repliq import`: messages as JSON lines.
//!
//! One object a line. Key, payload and the values of headers are strings where they are UTF-8 and
//! `{"base64": "…"}` where not; headers are a list of pairs, since a name may come twice.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use repliq::{Code, Importing, Message, Queue, Received, Store, StoreOptions, limits};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::fail::{Done, Fail};
use super::output::{Output, base64, unbase64};
use super::place::{Folder, Place, View};
use super::progress::Progress;

/// Messages one call reads.
const BATCH: usize = 1_000;
/// Bytes of the longest line of an import: every byte of the largest message in six, and its headers.
const LINE_BYTES_MAX: u64 = 8 * limits::MESSAGE_BYTES_MAX as u64;

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
/// Each job of --batch lines is one transaction, or with --whole all of them are, however many: what is too much for
/// memory is staged on the disk. A message that names a producer is left out when the store has
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
    /// Put all messages as one transaction: all of them or none
    #[arg(long, conflicts_with = "batch")]
    whole: bool,
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
        "deliver_at_ms": message.deliver_at_ms(),
        "priority": message.priority(),
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
    deliver_at_ms: u64,
    priority: u8,
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
            deliver_at_ms: number("deliver_at_ms")?,
            priority: u8::try_from(number("priority")?).map_err(|_| "\"priority\" is above 255")?,
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
        let most = if self.whole { u64::MAX } else { self.batch };
        let mut job = Job::begin(store)?;
        let (mut number, mut last) = (0, HashMap::new());
        for input in inputs {
            let mut input = BufReader::with_capacity(1 << 16, input);
            while let Some(text) = next_line(&mut input, number + 1)? {
                number += 1;
                if text.trim().is_empty() {
                    continue;
                }
                let bad =
                    |why| Fail::new(Code::Invalid, format!("cannot import line {number}: {why}"));
                let line = self.line(&text, number).map_err(bad)?;
                if let Some(why) = goes_back(&mut last, &line) {
                    return Err(bad(why));
                }
                job.put(&line)?;
                if job.lines == most {
                    job = job.commit(sum)?;
                    progress.at(sum.messages + sum.left_out);
                }
            }
        }
        job.commit(sum).map(|_| ())
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

/// The next line without its end; `None` behind the last.
fn next_line(input: &mut dyn BufRead, number: u64) -> Done<Option<String>> {
    let what = || format!("cannot read line {number} of the input");
    let mut bytes = Vec::new();
    // A line without an end must not be taken into memory whole before it is refused.
    let read = input.take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes);
    if read.map_err(|error| Fail::io(what(), &error))? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 > LINE_BYTES_MAX {
        let text = format!("{}: it has more than {LINE_BYTES_MAX} bytes", what());
        return Err(Fail::new(Code::TooLarge, text));
    }
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| Fail::new(Code::Invalid, format!("{}: it is no UTF-8", what())))
}

/// Why a line is refused whose producer was further before: it would be left out as one that is there already. Of a
/// producer no more is remembered than a number that no other one has.
fn goes_back(last: &mut HashMap<u128, u64>, line: &Line) -> Option<String> {
    if line.producer.is_empty() {
        return None;
    }
    let before = last.insert(xxh3_128(line.producer.as_bytes()), line.producer_sequence);
    let back = before.is_some_and(|before| before >= line.producer_sequence);
    back.then(|| format!("the sequence of producer {:?} goes back", line.producer))
}

/// The lines that become one transaction.
struct Job<'a> {
    store: &'a Store,
    importing: Importing,
    /// The queue of the line before.
    queue: Option<(String, Queue)>,
    lines: u64,
}

impl<'a> Job<'a> {
    fn begin(store: &'a Store) -> Done<Job<'a>> {
        Ok(Job { store, importing: store.importing()?, queue: None, lines: 0 })
    }

    fn put(&mut self, line: &Line) -> Done {
        let queue = match &self.queue {
            Some((name, queue)) if *name == line.queue => *queue,
            _ => self.store.queue(&line.queue)?,
        };
        self.queue = Some((line.queue.clone(), queue));
        let headers: Vec<(&str, &[u8])> =
            line.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let message = Message {
            kind: line.kind,
            key: &line.key,
            headers: &headers,
            expires_ms: line.expires_ms,
            deliver_at_ms: line.deliver_at_ms,
            priority: line.priority,
            producer: &line.producer,
            producer_sequence: line.producer_sequence,
            ..Message::new(&line.payload)
        };
        self.importing.put(queue, &message)?;
        self.lines += 1;
        Ok(())
    }

    /// Commits it and begins the next one.
    fn commit(self, sum: &mut Sum) -> Done<Job<'a>> {
        let put = self.importing.messages();
        if put > 0 {
            self.importing.commit()?;
        }
        sum.messages += put;
        sum.left_out += self.lines - put;
        sum.transactions += u64::from(put > 0);
        Job::begin(self.store)
    }
}
