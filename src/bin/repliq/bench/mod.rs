//! `repliq bench`: how fast this store is on this disk, beside the floor of the same moment.
//!
//! Each run prints two rows: the floor in absolute figures, and ours with its share of it. `docs/BENCHMARKS.md`
//! says what each name measures.

mod commit;
mod counting;
mod floor;
mod read;
mod replicate;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use repliq::{Code, Level, Message, Queue, Store, StoreOptions};
use serde_json::{Value, json};

use super::fail::{Done, Fail};
use super::output::Output;
use super::progress::Progress;
use super::put::{level, level_name};
use counting::CountingDisk;
use floor::{CopyFloor, SyncFloor};

/// The longest time told apart from longer ones, in nanoseconds: a minute.
const TIME_NS_MAX: u64 = 60_000_000_000;

/// Measure this store on a disk, beside the floor of the same moment
///
/// A directory of its own is made below D and removed at the end.
#[derive(clap::Args, Debug)]
pub struct Bench {
    /// What to measure
    name: Name,
    /// Directory on the disk to measure
    #[arg(long, value_name = "D")]
    dir: PathBuf,
    /// Bytes of a payload
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Messages; for open, messages of backlog
    #[arg(long)]
    count: Option<u64>,
    /// Threads that put
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    threads: u64,
    /// What a commit survives: process (kill -9) or power
    #[arg(long, value_parser = level, default_value = "power")]
    durability: Level,
    /// Commits started and not yet waited for, by each thread (commit, replicate)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=65536))]
    in_flight: u64,
    /// Messages a transaction (transaction)
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=65536))]
    batch: u64,
    /// Queues the messages go to, in turn (commit)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    queues: u64,
    /// Commits a second of each thread, each timed from when it was due; 0 = as many as there can be (commit)
    #[arg(long, value_name = "N", default_value_t = 0)]
    rate: u64,
    /// Print one JSON object a row
    #[arg(long)]
    json: bool,
    /// Show no progress bar on a terminal
    #[arg(long)]
    no_progress: bool,
}

/// What can be measured.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// Raw write and sync, and raw checksum and copy
    Floor,
    /// One message a commit
    Commit,
    /// Many messages a commit
    Transaction,
    /// A consumer that takes everything
    Drain,
    /// Browsing everything
    Scan,
    /// Opening a store with a backlog
    Open,
    /// Putting until a server has it, too
    Replicate,
}

/// A measured row.
struct Row {
    name: &'static str,
    threads: u64,
    durability: Level,
    messages: u64,
    took: Duration,
    /// Nanoseconds a call.
    times: Histogram<u64>,
    syncs: u64,
    floor_per_s: f64,
}

impl Row {
    fn rate(&self) -> f64 {
        per_second(self.messages, self.took)
    }

    fn json(&self, size: usize) -> Value {
        let us = |share: f64| round(self.times.value_at_quantile(share) as f64 / 1e3, 1e2);
        let of_floor = if self.floor_per_s > 0.0 { self.rate() / self.floor_per_s } else { 0.0 };
        json!({
            "name": self.name,
            "size_bytes": size,
            "threads": self.threads,
            "durability": level_name(self.durability),
            "messages": self.messages,
            "seconds": round(self.took.as_secs_f64(), 1e6),
            "rate_per_s": round(self.rate(), 1e1),
            "p50_us": us(0.5),
            "p99_us": us(0.99),
            "p9999_us": us(0.9999),
            "syncs": self.syncs,
            "floor_per_s": round(self.floor_per_s, 1e1),
            "of_floor": round(of_floor, 1e4),
        })
    }
}

fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

fn times() -> Done<Histogram<u64>> {
    Histogram::new_with_max(TIME_NS_MAX, 3)
        .map_err(|error| Fail::new(Code::Invalid, format!("cannot count times: {error}")))
}

fn record(times: &mut Histogram<u64>, took: Duration) {
    times.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
}

/// The directory of one run, removed with everything in it.
struct Room(PathBuf);

impl Room {
    fn make(dir: &Path) -> Done<Room> {
        let path = dir.join(format!("repliq-bench-{}", std::process::id()));
        let made = fs::create_dir_all(dir).and_then(|()| fs::create_dir(&path));
        made.map_err(|error| Fail::io(format!("cannot make {}", path.display()), &error))?;
        Ok(Room(path))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("repliq: cannot remove {}: {error}", self.0.display());
        }
    }
}

/// What every measurement needs.
struct Run<'a> {
    bench: &'a Bench,
    room: Room,
    count: u64,
    progress: Progress,
}

impl Run<'_> {
    /// A store whose syncs are counted, and a queue in it.
    fn store(&self) -> Done<(Store, Queue, Arc<AtomicU64>)> {
        let (disk, syncs) = CountingDisk::open(&self.room.0.join("store"));
        let options = StoreOptions { level: self.bench.durability, ..StoreOptions::default() };
        let store = Store::open_on(disk, &options)?;
        let queue = store.queue("bench")?;
        Ok((store, queue, syncs))
    }

    /// As many queues as are asked for, `first` among them.
    fn queues(&self, store: &Store, first: Queue) -> Done<Vec<Queue>> {
        let mut queues = vec![first];
        for number in 1..self.bench.queues {
            queues.push(store.queue(&format!("bench {number}"))?);
        }
        Ok(queues)
    }

    fn sync_floor(&self, messages: u64) -> Done<SyncFloor> {
        SyncFloor::prepare(&self.room.0, self.bench.size, messages as usize)
    }

    /// Fills the queue, in large transactions.
    fn fill(&self, store: &Store, queue: Queue) -> Done {
        let payload = vec![b'm'; self.bench.size];
        let batch = (1u64 << 20).div_ceil(self.bench.size as u64 + 64).min(1_000);
        let messages = vec![Message::new(&payload); batch as usize];
        let mut left = self.count;
        while left > 0 {
            let some = left.min(batch);
            store.put(queue, &messages[..some as usize])?;
            left -= some;
        }
        Ok(())
    }

    /// The rows of a measurement: the floor's own, and ours beside it.
    fn rows(&self, ours: Row, floor: Row) -> Vec<Row> {
        let ours = Row { floor_per_s: floor.rate(), ..ours };
        let floor = Row { floor_per_s: floor.rate(), ..floor };
        vec![floor, ours]
    }

    fn row(&self, name: &'static str, messages: u64, took: Duration, times: Histogram<u64>) -> Row {
        let durability = self.bench.durability;
        Row { name, threads: 1, durability, messages, took, times, syncs: 0, floor_per_s: 0.0 }
    }
}

impl Bench {
    /// Measures and prints.
    pub fn run(self) -> Done {
        let count = self.count.unwrap_or(match self.name {
            Name::Drain | Name::Scan | Name::Open => 1_000_000,
            Name::Commit | Name::Replicate
                if self.in_flight > 1 || self.durability == Level::Process =>
            {
                500_000
            }
            _ => 10_000,
        });
        if count == 0 {
            return Err(Fail::new(Code::Invalid, "cannot measure 0 messages"));
        }
        let room = Room::make(&self.dir)?;
        let progress = Progress::messages(Some(count), !self.no_progress);
        let run = Run { bench: &self, room, count, progress };
        let rows = match self.name {
            Name::Floor => commit::floor(&run)?,
            Name::Commit => commit::commit(&run)?,
            Name::Transaction => commit::transaction(&run)?,
            Name::Drain => read::drain(&run)?,
            Name::Scan => read::scan(&run)?,
            Name::Open => read::open(&run)?,
            Name::Replicate => replicate::replicate(&run)?,
        };
        drop(run);
        print(&self, &rows)
    }
}

fn print(bench: &Bench, rows: &[Row]) -> Done {
    let mut output = Output::open();
    let rows: Vec<Value> = rows.iter().map(|row| row.json(bench.size)).collect();
    if bench.json {
        for row in &rows {
            output.json(row)?;
        }
    } else {
        let titles = [
            "name",
            "threads",
            "durability",
            "messages",
            "rate_per_s",
            "p50_us",
            "p99_us",
            "p9999_us",
            "syncs",
            "floor_per_s",
            "of_floor",
        ];
        let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| titles.iter().map(|title| cell(&row[*title])).collect())
            .collect();
        output.table(&titles, &rows)?;
    }
    output.flush()
}

/// The number of syncs since the last look.
fn syncs_since(syncs: &AtomicU64, before: u64) -> u64 {
    syncs.load(Ordering::Relaxed) - before
}
