//! `repliq get`: takes messages as a consumer, or browses without taking.

use std::time::{Duration, Instant};

use repliq::{Code, Consumer, ConsumerOptions};

use super::exec::Exec;
use super::fail::{Done, Fail};
use super::format::Format;
use super::output::Output;
use super::place::{At, Place};

/// Messages one call asks for.
const BATCH: usize = 1_000;

/// Take messages from a queue as a consumer, or browse it without taking
///
/// Each batch is acknowledged after it was printed and handed on: a command that is killed in between prints
/// it again next time, and none is lost. Without --wait it ends when nothing is left. With --exec each message is
/// acknowledged by itself, when the command for it has ended with 0.
#[derive(clap::Args, Debug)]
pub struct Get {
    #[command(flatten)]
    place: Place,
    /// Name of the queue
    queue: String,
    /// Name of the durable consumer; created on first use
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "browse",
        conflicts_with = "browse"
    )]
    consumer: Option<String>,
    /// Look at the messages and take none
    #[arg(long)]
    browse: bool,
    /// First sequence to browse
    #[arg(long, value_name = "N", requires = "browse", default_value_t = 1)]
    from: u64,
    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Wait up to so long for the next message
    #[arg(long, value_name = "SECONDS", conflicts_with = "browse", default_value_t = 0.0)]
    wait: f64,
    /// %s payload, %S its length, %k key, %K its length, %o sequence, %x transaction, %t queue, %h headers,
    /// %i kind, %d deliveries, %P producer, %T time of the commit in ms, %%; \n \r \t \xNN \\
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    exec: Exec,
}

impl Get {
    /// Prints until the queue is empty, `--max` is reached or nothing came for `--wait`.
    pub fn run(self) -> Done {
        let format = Format::new(self.json, self.format.as_deref())?;
        let wait = Duration::try_from_secs_f64(self.wait).map_err(|error| {
            Fail::new(Code::Invalid, format!("cannot wait {} seconds: {error}", self.wait))
        })?;
        if let Some(name) = &self.consumer {
            let store = self.place.change()?;
            let queue = store.find_queue(&self.queue)?;
            let consumer = store.consumer(name, queue, &ConsumerOptions::default())?;
            let taken = if self.exec.is_asked_for() {
                self.exec.take(&consumer, &self.queue, self.max, wait)
            } else {
                self.take(&consumer, &format, wait)
            };
            consumer.close();
            let closed = store.close();
            taken?;
            return Ok(closed?);
        }
        let store = self.place.look()?;
        browse(&store, &self.queue, self.from, self.max, &format)
    }

    fn take(&self, consumer: &Consumer, format: &Format, wait: Duration) -> Done {
        let mut output = Output::open();
        let mut left = self.max.unwrap_or(u64::MAX);
        while left > 0 {
            let max = usize::try_from(left).unwrap_or(BATCH).min(BATCH);
            let start = Instant::now();
            let messages = consumer.receive(max, wait)?;
            if messages.is_empty() && start.elapsed() >= wait {
                break;
            }
            for message in &messages {
                format.print(&mut output, &self.queue, message)?;
            }
            output.flush()?;
            let sequences: Vec<u64> = messages.iter().map(|message| message.sequence()).collect();
            if !sequences.is_empty() {
                consumer.ack(&sequences)?;
            }
            left -= messages.len() as u64;
        }
        Ok(())
    }
}

/// Prints what a queue holds from a sequence on.
pub fn browse(at: &At, name: &str, from: u64, max: Option<u64>, format: &Format) -> Done {
    let view = at.view(name)?;
    let mut output = Output::open();
    let mut left = max.unwrap_or(u64::MAX);
    let mut next = from;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(BATCH).min(BATCH);
        let messages = view.browse(next, most)?;
        let Some(last) = messages.last() else { break };
        next = last.sequence() + 1;
        for message in &messages {
            format.print(&mut output, name, message)?;
        }
        left -= messages.len() as u64;
    }
    output.flush()
}
