//! Our side of `make bench`: the same turns as the programs of `bench/peers` take, with the public API alone, and the
//! floors that they are all held against. What a contestant says and hears stands in `contest.rs`.
//!
//!     put         commits: --level --threads --window (in flight) --batch --queues --backlog (messages before it begins, of
//!                 --backlog_size bytes)
//!                 --encrypted 1 --targets N (servers of ours that get everything, too)
//!     transaction the same through a session, --batch messages each
//!     paired      one thread's commits, and the floor's write and sync call by call in turn
//!     paced       --rate a second for the seconds of the stint; times from when each was due
//!     drain, scan
//!     open        --backlog messages, --killed 1
//!     replicate   commits until --targets servers have them: --window as for `put`, 1 waits for each
//!     floor-sync, floor-copy, floor-read, floor-write

#[path = "../peers/rust/src/contest.rs"]
mod contest;
mod floor;
mod open;
mod put;
mod read;
mod replicate;

use std::path::PathBuf;
use std::process::ExitCode;

use contest::{Contestant, Done, Options, failed};
use repliq::{Level, Message, Password, Queue, Store, StoreOptions};

/// What every workload is told.
struct Plan {
    workload: String,
    dir: PathBuf,
    size: usize,
    level: Level,
    threads: u64,
    window: u64,
    batch: u64,
    queues: u64,
    backlog: u64,
    backlog_size: usize,
    encrypted: bool,
    targets: u64,
    rate: u64,
    killed: bool,
    once: bool,
}

impl Plan {
    fn read(options: &Options) -> Done<Plan> {
        Ok(Plan {
            workload: options.workload.clone(),
            dir: options.dir.clone(),
            size: options.size()?,
            level: if options.power() { Level::Power } else { Level::Process },
            threads: options.number("threads", 1)?.max(1),
            window: options.number("window", 1)?.max(1),
            batch: options.number("batch", 1)?.max(1),
            queues: options.number("queues", 1)?.max(1),
            backlog: options.number("backlog", 0)?,
            backlog_size: options.number("backlog_size", options.number("size", 100)?)? as usize,
            encrypted: options.number("encrypted", 0)? == 1,
            targets: options.number("targets", 0)?,
            rate: options.number("rate", 100_000)?.max(1),
            killed: options.number("killed", 0)? == 1,
            once: options.number("once", 0)? == 1,
        })
    }

    /// How its store is opened.
    fn options(&self) -> StoreOptions {
        let password = self.encrypted.then(|| Password::from("a bench has no secret"));
        StoreOptions { level: self.level, password, ..StoreOptions::default() }
    }

    /// A store below its directory.
    fn store(&self, name: &str) -> Done<Store> {
        Store::open(self.dir.join(name), &self.options()).map_err(failed("open the store"))
    }

    /// Puts so many messages in transactions of a thousand, without a sync a transaction.
    fn fill(&self, store: &Store, queue: Queue, count: u64, size: usize) -> Done {
        let payload = vec![b'm'; size];
        let messages = vec![Message::new(&payload); 1_000];
        let mut left = count;
        while left > 0 {
            let some = left.min(1_000);
            store
                .put_at(queue, &messages[..some as usize], Level::Process)
                .map_err(failed("fill the queue"))?;
            left -= some;
        }
        // A durable commit makes all before it durable; an empty one would write nothing.
        let other = store.queue("filled").map_err(failed("make a queue"))?;
        let synced = store.put_at(other, &[Message::new(b"")], Level::Power);
        synced.map(|_| ()).map_err(failed("sync"))
    }
}

fn open(options: &Options) -> Done<Box<dyn Contestant>> {
    let plan = Plan::read(options)?;
    Ok(match plan.workload.as_str() {
        "put" | "transaction" | "paired" | "paced" => Box::new(put::Puts::open(plan)?),
        "drain" | "scan" => Box::new(read::Reads::open(plan)?),
        "open" => Box::new(open::Opens::open(plan)?),
        "replicate" => Box::new(replicate::Replicated::open(plan)?),
        "floor-sync" | "floor-copy" | "floor-read" | "floor-write" => {
            Box::new(floor::Floors::open(plan)?)
        }
        other => return Err(format!("there is no workload {other:?}")),
    })
}

fn main() -> ExitCode {
    contest::contest(repliq::VERSION, open)
}
