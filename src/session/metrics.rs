//! What a store counts, for those who watch it; `docs/METRICS.md` has the names under which a server shows it.

use super::store::Store;
use crate::error::Result;
use crate::journal::{Cursor, SyncTimes};
use crate::store::{Core, Pin};

/// What a store counts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Its queues, by number.
    pub queues: Vec<QueueMetrics>,
    /// The targets it knows.
    pub targets: Vec<TargetMetrics>,
    /// Who keeps segments.
    pub pins: Vec<Pin>,
    /// Its segment files.
    pub segments: SegmentMetrics,
    /// Transactions that are prepared.
    pub prepared: PreparedMetrics,
    /// How long syncs took since the open.
    pub syncs: SyncTimes,
    /// Whether a sync failed.
    pub poisoned: bool,
    /// Whether it can be written to.
    pub writable: bool,
    /// Sequence of the last durable transaction.
    pub sequence: u64,
}

/// A queue, counted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueueMetrics {
    /// Its name.
    pub name: String,
    /// Messages that somebody still waits for.
    pub messages: u64,
    /// Their bytes, from the mean of all messages ever put.
    pub bytes: u64,
    /// Age of the oldest of them in seconds, 0 when there is none.
    pub oldest_seconds: f64,
    /// Messages ever put.
    pub put_messages: u64,
    /// Bytes of them.
    pub put_bytes: u64,
    /// Whether puts and receives are refused.
    pub paused: bool,
}

/// A target, counted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TargetMetrics {
    /// The root queue.
    pub root: String,
    /// Its name.
    pub name: String,
    /// Messages of the root it has not confirmed.
    pub lag_messages: u64,
    /// Bytes of them.
    pub lag_bytes: u64,
    /// Age of the oldest of them in seconds, 0 when there is none.
    pub lag_seconds: f64,
}

/// Segment files by their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentMetrics {
    /// Prepared for their use.
    pub spare: u64,
    /// Kept back, so that consuming works on a full disk.
    pub reserve: u64,
    /// Growing: 1.
    pub tail: u64,
    /// Full.
    pub sealed: u64,
    /// Bytes of those that grow and are full.
    pub bytes: u64,
}

/// Transactions that are prepared and wait for their coordinators.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PreparedMetrics {
    /// How many.
    pub count: u64,
    /// Bytes of what they put.
    pub bytes: u64,
    /// Age of the oldest in seconds, 0 when there is none.
    pub oldest_seconds: f64,
}

impl Store {
    /// Counts everything. Reads a message of each queue and each target that has some left, for its age, which
    /// is 0 where that message is damaged.
    pub fn metrics(&self) -> Result<Metrics> {
        let core = self.inside()?;
        core.check_open()?;
        let (spare, reserve) = core.journal().waiting_segments();
        let used = core.journal().segments();
        let (_, staged) = core.journal().staged_files();
        Ok(Metrics {
            queues: queues(core),
            targets: targets(core),
            pins: core.pins()?,
            segments: SegmentMetrics {
                spare: spare as u64,
                reserve: reserve as u64,
                tail: 1,
                sealed: used.len() as u64 - 1,
                bytes: used.iter().map(|(_, length)| length).sum::<u64>() + staged,
            },
            prepared: prepared(core),
            syncs: core.journal().sync_times(),
            poisoned: core.journal().poisoned().is_err(),
            writable: core.check_writable().is_ok(),
            sequence: core.journal().durable().1,
        })
    }

    /// Who keeps segments from being given back, and since when.
    pub fn pins(&self) -> Result<Vec<Pin>> {
        self.inside()?.pins()
    }

    /// Fails when the store cannot be written to (READ_ONLY), a sync failed (POISONED), or it is closed.
    pub fn check(&self) -> Result<()> {
        self.inside()?.check_sound()
    }
}

fn queues(core: &Core) -> Vec<QueueMetrics> {
    let rows: Vec<(u32, u64, QueueMetrics)> = core.look(|state| {
        let row = |(number, queue): (u32, &crate::store::QueueState)| {
            let (messages, put_messages) = (queue.waiting(), queue.next - 1);
            let mean = u128::from(queue.bytes) * u128::from(messages);
            let bytes = mean.checked_div(u128::from(put_messages)).unwrap_or(0);
            let metrics = QueueMetrics {
                name: queue.name.clone(),
                messages,
                bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
                oldest_seconds: 0.0,
                put_messages,
                put_bytes: queue.bytes,
                paused: queue.paused,
            };
            (number, queue.floor() + 1, metrics)
        };
        state.queues().map(row).collect()
    });
    let aged = rows.into_iter().map(|(number, oldest, mut metrics)| {
        if metrics.messages > 0 {
            metrics.oldest_seconds = age(core, number, oldest);
        }
        metrics
    });
    aged.collect()
}

fn prepared(core: &Core) -> PreparedMetrics {
    let (count, bytes, oldest_ms) = super::prepared::waiting(core);
    let now = core.journal().disk().now_ms();
    let oldest_seconds = oldest_ms.map_or(0.0, |oldest| now.saturating_sub(oldest) as f64 / 1e3);
    PreparedMetrics { count, bytes, oldest_seconds }
}

fn targets(core: &Core) -> Vec<TargetMetrics> {
    let rows = core.target_lags();
    let aged = rows.into_iter().map(|lag| {
        let lag_seconds = match lag.messages {
            0 => 0.0,
            _ => age(core, lag.queue, lag.confirmed + 1),
        };
        TargetMetrics {
            root: lag.root,
            name: lag.name,
            lag_messages: lag.messages,
            lag_bytes: lag.bytes,
            lag_seconds,
        }
    });
    aged.collect()
}

/// How long ago the message with this sequence, or the first one after it, was committed, in seconds.
fn age(core: &Core, queue: u32, sequence: u64) -> f64 {
    let mut found = Vec::new();
    let mut cursor = Cursor::new(queue, sequence);
    let journal = core.journal();
    let horizon = journal.shown_offset();
    if journal.read(&mut cursor, horizon, 1, 1, &mut found).is_err() {
        return 0.0;
    }
    let now = journal.disk().now_ms();
    let ms = found.first().map_or(0, |found| now.saturating_sub(found.head.time_ms));
    ms as f64 / 1e3
}
