//! `repliq queue …`: what queues a store has, and what can be done to one.

use repliq::{Client, RedriveOptions, Store};
use serde_json::json;
use std::num::NonZeroU64;

use super::fail::Done;
use super::format::Format;
use super::get;
use super::logging::time_text;
use super::output::Output;
use super::place::{List, Place, QueueRow};

/// List, look into, pause, resume, purge and remove queues
#[derive(clap::Subcommand, Debug)]
pub enum Queue {
    /// List the queues
    Ls(List),
    /// Print the oldest messages, and take none
    Peek(Peek),
    /// Refuse puts and hand nothing out until resumed
    Pause(One),
    /// End a pause
    Resume(One),
    /// Remove all messages; sequences go on
    Purge(One),
    /// Put dead letters back where they came from, the oldest first
    Redrive(Redrive),
    /// Remove the queue with its messages and consumers
    Rm(One),
}

/// A store and the queue in it.
#[derive(clap::Args, Debug)]
pub struct One {
    #[command(flatten)]
    place: Place,
    /// Name of the queue
    queue: String,
}

/// Dead letters, and what happens to them.
#[derive(clap::Args, Debug)]
pub struct Redrive {
    #[command(flatten)]
    place: Place,
    /// Name of the queue of dead letters
    queue: String,
    /// How many letters at most; all of them otherwise
    #[arg(long, value_name = "N")]
    max: Option<NonZeroU64>,
    /// Remove them instead; the rest of their keys goes on without them
    #[arg(long)]
    drop: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A look into a queue.
#[derive(clap::Args, Debug)]
pub struct Peek {
    #[command(flatten)]
    place: Place,
    /// Name of the queue
    queue: String,
    /// How many messages
    #[arg(long, value_name = "N", default_value_t = 10)]
    max: u64,
    /// As in `repliq get`
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Queue {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            Queue::Ls(list) => ls(&list),
            Queue::Peek(peek) => {
                let format = Format::new(peek.json, peek.format.as_deref())?;
                get::browse(&peek.place.look()?, &peek.queue, 1, Some(peek.max), &format)
            }
            Queue::Pause(one) => one.act(Store::queue_pause, Client::queue_pause),
            Queue::Resume(one) => one.act(Store::queue_resume, Client::queue_resume),
            Queue::Purge(one) => one.act(Store::queue_purge, Client::queue_purge),
            Queue::Redrive(redrive) => redrive.run(),
            Queue::Rm(one) => one.act(Store::queue_delete, Client::queue_delete),
        }
    }
}

impl One {
    fn act(
        &self,
        act: impl FnOnce(&Store, repliq::Queue) -> repliq::Result<repliq::Commit>,
        order: impl FnOnce(&Client, &str) -> repliq::Result<()>,
    ) -> Done {
        if self.place.folder.is_url() {
            return Ok(order(&self.place.connect()?, &self.queue)?);
        }
        let store = self.place.folder.change()?;
        act(&store, store.find_queue(&self.queue)?)?;
        Ok(store.close()?)
    }
}

impl Redrive {
    fn run(&self) -> Done {
        let options = RedriveOptions { max: self.max.map_or(0, NonZeroU64::get), drop: self.drop };
        let store = self.place.change()?;
        let redriven = store.redrive(store.find_queue(&self.queue)?, &options)?;
        store.close()?;
        let mut output = Output::open();
        if self.json {
            let refused = redriven.refused.iter();
            let refused =
                refused.map(|(sequence, reason)| json!({"sequence": sequence, "reason": reason}));
            output.json(&json!({"done": redriven.done, "refused": refused.collect::<Vec<_>>()}))?;
        } else {
            let done = if self.drop { "removed" } else { "put back" };
            output.line(&format!("{done}: {}", redriven.done))?;
            for (sequence, reason) in &redriven.refused {
                output.line(&format!("stays: {sequence}: {reason}"))?;
            }
        }
        output.flush()
    }
}

fn ls(list: &List) -> Done {
    let queues = list.place.look()?.queues()?;
    let mut output = Output::open();
    if list.json {
        for queue in &queues {
            output.json(&json!(queue))?;
        }
    } else {
        let titles =
            ["queue", "messages", "bytes", "next", "consumers", "state", "pinned", "since"];
        let rows: Vec<Vec<String>> = queues.iter().map(row).collect();
        output.table(&titles, &rows)?;
    }
    output.flush()
}

fn row(queue: &QueueRow) -> Vec<String> {
    vec![
        queue.name.clone(),
        queue.messages.to_string(),
        queue.bytes.to_string(),
        queue.next_sequence.to_string(),
        queue.consumers.len().to_string(),
        if queue.paused { "paused" } else { "open" }.to_string(),
        queue.pinned_bytes.to_string(),
        queue.pinned_since_ms.map_or("-".to_string(), time_text),
    ]
}
