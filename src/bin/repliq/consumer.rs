//! `repliq consumer …`: the durable readers of a store.

use repliq::From;
use serde_json::json;

use super::fail::Done;
use super::output::Output;
use super::place::{List, Place};

/// List, reset and remove consumers
#[derive(clap::Subcommand, Debug)]
pub enum Consumer {
    /// List the consumers of all queues
    Ls(List),
    /// Move a consumer to another place in its queue
    Reset(Reset),
    /// Remove a consumer
    Rm(One),
}

/// A consumer of a queue.
#[derive(clap::Args, Debug)]
pub struct One {
    #[command(flatten)]
    place: Place,
    /// Name of the queue
    queue: String,
    /// Name of the consumer
    consumer: String,
}

/// A consumer and where it goes.
#[derive(clap::Args, Debug)]
pub struct Reset {
    #[command(flatten)]
    one: One,
    /// The sequence it receives next, oldest or now
    #[arg(long, value_name = "N", value_parser = from)]
    to: From,
}

/// `oldest`, `now` or a sequence.
pub fn from(text: &str) -> Result<From, String> {
    match text {
        "oldest" => Ok(From::Oldest),
        "now" => Ok(From::Now),
        _ => text
            .parse()
            .map(From::Sequence)
            .map_err(|_| "a sequence, oldest or now is expected".to_string()),
    }
}

impl Consumer {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            Consumer::Ls(list) => ls(&list),
            Consumer::Reset(reset) => reset.run(),
            Consumer::Rm(one) if one.place.folder.is_url() => {
                Ok(one.place.connect()?.consumer_delete(&one.consumer, &one.queue)?)
            }
            Consumer::Rm(one) => {
                let store = one.place.folder.change()?;
                store.consumer_delete(&one.consumer, store.find_queue(&one.queue)?)?;
                Ok(store.close()?)
            }
        }
    }
}

impl Reset {
    fn run(&self) -> Done {
        let one = &self.one;
        if one.place.folder.is_url() {
            let client = one.place.connect()?;
            return Ok(client.consumer_reset(&one.consumer, &one.queue, self.to)?);
        }
        let store = one.place.folder.change()?;
        let queue = store.find_queue(&one.queue)?;
        store.consumer_reset(&one.consumer, queue, self.to)?;
        Ok(store.close()?)
    }
}

fn ls(list: &List) -> Done {
    let queues = list.place.look()?.queues()?;
    let mut output = Output::open();
    let mut rows = Vec::new();
    for queue in &queues {
        for consumer in &queue.consumers {
            if list.json {
                let mut row = json!(consumer);
                row["queue"] = json!(queue.name);
                output.json(&row)?;
            } else {
                let known =
                    |count: Option<u64>| count.map_or("-".to_string(), |count| count.to_string());
                rows.push(vec![
                    queue.name.clone(),
                    consumer.name.clone(),
                    consumer.acknowledged.to_string(),
                    consumer.waiting.to_string(),
                    known(consumer.workers),
                    known(consumer.out),
                    known(consumer.lease_ms),
                    consumer.already_processed.to_string(),
                ]);
            }
        }
    }
    if !list.json {
        let titles = [
            "queue",
            "consumer",
            "acknowledged",
            "waiting",
            "workers",
            "out",
            "lease_ms",
            "already_processed",
        ];
        output.table(&titles, &rows)?;
    }
    output.flush()
}
