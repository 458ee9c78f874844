//! Our side of `make bench`: the same turns as the programs of `bench/peers` take, with the public API alone, and the
//! floors that they are all held against. What a contestant says and hears stands in `contest.rs`.
//!
//!     put         commits: --level --threads --window (in flight) --batch --queues --backlog (messages before it begins, of
//!                 --backlog_size bytes)
//!                 --encrypted 1 --targets N (servers of ours that get everything, too)
//!     transaction the same through a session, --batch messages each
//!     paired      one thread's commits, and the floor's write and sync call by call in turn
//!     paced       --rate a second for the seconds of the stint; times from when each was due
//!     drain, scan: --keys N messages have keys, of N; --shared 1, --keyed 1 as the consumer's rules say
//!     open        --backlog messages, --killed 1
//!     replicate   commits until --targets servers have them: --window as for `put`, 1 waits for each
//!     transform   --threads sessions that take --batch messages and put as many; produce: that only put
//!     workers     --threads that share a consumer by key: one message, a build of --build_ms, a commit
//!     wake        from a put until a consumer that waits has the message; --lazy 1: whose acknowledgements are not synced
//!     waiting     --backlog messages with keys of their own that wait in memory; --delayed 1 for their time
//!     serve       a store at --port, at which `transform` to `wake` work with the same --port
//!     floor-sync, floor-copy, floor-read, floor-write

#[path = "../peers/rust/src/contest.rs"]
mod contest;
mod floor;
mod open;
mod put;
mod read;
mod replicate;
mod serve;
mod sessions;
mod waiting;
mod wake;
mod workers;

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
    keys: u64,
    keyed: bool,
    shared: bool,
    delayed: bool,
    lazy: bool,
    build_ms: u64,
    port: u64,
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
            keys: options.number("keys", 0)?,
            keyed: options.number("keyed", 0)? == 1,
            shared: options.number("shared", 0)? == 1,
            delayed: options.number("delayed", 0)? == 1,
            lazy: options.number("lazy", 0)? == 1,
            build_ms: options.number("build_ms", 0)?,
            port: options.number("port", 0)?,
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

    /// The key of a message; empty where they have none.
    fn key(&self, number: u64) -> Vec<u8> {
        match self.keys {
            0 => Vec::new(),
            keys => (number % keys).to_le_bytes().to_vec(),
        }
    }

    /// Puts so many messages in transactions of a thousand, without a sync a transaction.
    fn fill(&self, store: &Store, queue: Queue, count: u64, size: usize) -> Done {
        let payload = vec![b'm'; size];
        let deliver_at_ms = waiting::deliver_at_ms(self.delayed)?;
        let mut done = 0;
        while done < count {
            let end = count.min(done + 1_000);
            let keys: Vec<Vec<u8>> = (done..end).map(|at| self.key(at)).collect();
            let messages: Vec<Message<'_>> = keys
                .iter()
                .map(|key| Message { key, deliver_at_ms, ..Message::new(&payload) })
                .collect();
            store.put_at(queue, &messages, Level::Process).map_err(failed("fill the queue"))?;
            done = end;
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
        "transform" | "produce" => Box::new(sessions::Sessions::open(plan)?),
        "workers" => Box::new(workers::Workers::open(plan)?),
        "wake" => Box::new(wake::Wakes::open(plan)?),
        "waiting" => Box::new(waiting::Waiting::open(plan)?),
        "serve" => match serve::alone(&plan)? {},
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
