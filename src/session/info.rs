//! Queues and their consumers as they are, for those who look.

use crate::queue::Queue;
use crate::store::{Pin, QueueState};
use serde_json::{Value, json};

/// A queue as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Its value.
    pub queue: Queue,
    /// Messages that somebody still waits for.
    pub messages: u64,
    /// Bytes of all messages ever put.
    pub bytes: u64,
    /// Sequence of the next message.
    pub next_sequence: u64,
    /// Whether puts and receives are refused.
    pub paused: bool,
    /// Its consumers, by name.
    pub consumers: Vec<ConsumerInfo>,
}

/// A consumer as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// Its name.
    pub name: String,
    /// All up to this sequence is acknowledged.
    pub acknowledged: u64,
    /// Messages it has not acknowledged.
    pub waiting: u64,
    /// How often it is open in the process that has the store: its workers, or the one that uses it.
    pub workers: u64,
    /// Of what waits, the messages that a worker has a lease on; `None` where there are no leases.
    pub out: Option<u64>,
    /// How long a lease lasts, in milliseconds; 0 for ever, or without leases.
    pub lease_ms: u64,
    /// Messages that were left out because their version of their key was processed before; see `key_versions`.
    pub already_processed: u64,
}

impl QueueInfo {
    /// The same as JSON, with what it keeps on the disk.
    pub(crate) fn to_json_with(&self, pins: &[Pin]) -> Value {
        let mut row = self.to_json();
        let (bytes, since_ms) = self.pinned(pins);
        row["pinned_bytes"] = json!(bytes);
        row["pinned_since_ms"] = json!(since_ms);
        row
    }

    /// Of these pins, those that are for this queue: the bytes of the one that keeps most, and since when the
    /// oldest is there.
    pub fn pinned(&self, pins: &[Pin]) -> (u64, Option<u64>) {
        let ours = || pins.iter().filter(|pin| pin.queue == self.name);
        let bytes = ours().map(|pin| pin.bytes).max().unwrap_or(0);
        (bytes, ours().map(|pin| pin.since_ms).min())
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let consumers = self.consumers.iter().map(|consumer| {
            json!({
                "name": consumer.name,
                "acknowledged": consumer.acknowledged,
                "waiting": consumer.waiting,
                "workers": consumer.workers,
                "out": consumer.out,
                "lease_ms": consumer.lease_ms,
                "already_processed": consumer.already_processed,
            })
        });
        json!({
            "name": self.name,
            "number": self.queue.number(),
            "messages": self.messages,
            "bytes": self.bytes,
            "next_sequence": self.next_sequence,
            "paused": self.paused,
            "consumers": consumers.collect::<Vec<Value>>(),
        })
    }
}

/// The consumers of a queue; who is at work is not the state's to tell.
pub(super) fn consumers(queue: &QueueState) -> Vec<ConsumerInfo> {
    let infos = queue.consumers.iter().map(|(name, acked)| ConsumerInfo {
        name: name.clone(),
        acknowledged: acked.floor(),
        waiting: (queue.next - 1).saturating_sub(acked.floor() + acked.count_above()),
        workers: 0,
        out: None,
        lease_ms: 0,
        already_processed: queue.versions.get(name).map_or(0, |of| of.left_out),
    });
    infos.collect()
}
