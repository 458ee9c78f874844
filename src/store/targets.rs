//! What is known of the targets a store's queues are replicated to.

use super::Core;
use crate::error::Result;
use crate::journal::Cursor;
use serde_json::{Value, json};

/// How far behind a target is.
pub struct Lag {
    /// Number of the root.
    pub queue: u32,
    /// Its name.
    pub root: String,
    /// Name of the target.
    pub name: String,
    /// Sequence of the last message it has confirmed, as far as that was counted.
    pub confirmed: u64,
    /// Messages it has not confirmed.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Core {
    /// How far behind each target is.
    pub fn target_lags(&self) -> Vec<Lag> {
        let moves = self.live.moves();
        self.look(|state| {
            let rows = state.streams().filter_map(|(number, name, stream)| {
                let queue = state.queue(number).ok()?;
                let written = (stream.message, stream.bytes);
                let (confirmed, bytes) = moves.get(&stream.id).copied().unwrap_or(written);
                let messages = (queue.next - 1).saturating_sub(confirmed);
                let bytes = if messages == 0 { 0 } else { queue.bytes.saturating_sub(bytes) };
                let (root, name) = (queue.name.clone(), name.to_string());
                Some(Lag { queue: number, root, name, confirmed, messages, bytes })
            });
            rows.collect()
        })
    }

    /// Fails when no queue is replicated to a target of this name; `*` is any.
    pub fn check_target(&self, name: &str) -> Result<()> {
        self.confirmed_by(name).map(|_| ())
    }

    /// Whether everything a transaction has for this target, or for all (`*`), is stored there durably; DIVERGED
    /// where it never will be, since it was set aside or lies in a gap that was accepted.
    pub fn confirmed(&self, name: &str, transaction: u64) -> Result<bool> {
        self.check_not_missing(name, transaction)?;
        Ok(self.confirmed_by(name)? >= transaction)
    }

    /// The targets for the status.
    pub fn targets(&self) -> Vec<Value> {
        let confirmed = self.live.confirmed();
        self.look(|state| {
            let rows = state.streams().map(|(number, name, stream)| {
                let root = state.queue(number).map_or("", |queue| &queue.name);
                let next = state.queue(number).map_or(1, |queue| queue.next);
                let position = confirmed.get(&stream.id).copied();
                json!({
                    "root": root,
                    "name": name,
                    "url": stream.url,
                    "position": position.unwrap_or(stream.cursor.sequence),
                    "lag_messages": (next - 1).saturating_sub(stream.message),
                    "rewinds": stream.rewinds,
                    "skipped": stream.skipped,
                    "gaps": stream.gaps,
                    "orphans": stream.orphans,
                })
            });
            rows.collect()
        })
    }

    /// How far the target of a queue is, as a sequence.
    pub fn stream_position(&self, queue: u32, target: &str) -> Result<u64> {
        let (id, cursor) = self.look(|state| {
            state.stream(queue, target).map(|stream| (stream.id, stream.cursor.sequence))
        })?;
        Ok(self.live.confirmed().get(&id).copied().unwrap_or(cursor))
    }

    /// Whether nothing was put into a queue by transactions behind this one.
    pub fn is_quiet_behind(&self, queue: u32, transaction: u64) -> Result<bool> {
        let last = self.look(|state| state.queue(queue).map(|queue| queue.next - 1))?;
        let mut found = Vec::new();
        let mut cursor = Cursor::new(queue, last.max(1));
        let journal = &self.journal;
        journal.read(&mut cursor, journal.shown_offset(), 1, 1, &mut found)?;
        Ok(found.last().is_none_or(|found| found.head.transaction <= transaction))
    }
}
