//! raft-engine: no compression, one raft group a thread, `write` with `sync` on for `power`: what its own documentation
//! names for a log that must survive a power cut. At `process` the same without `sync`.
//!
//! `put`; `drain`, which fetches 10,000 entries and writes a synced command that compacts up to there; `scan`, which fetches everything.

use std::process::ExitCode;

use contest::{Contestant, Done, Options, Stint, Times, failed};
use protobuf::well_known_types::Any;
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};

/// Entries a step of a reader.
const STEP: u64 = 10_000;

#[derive(Clone)]
struct Entries;

/// An entry is its index in eight bytes, then the payload.
impl MessageExt for Entries {
    type Entry = Any;

    fn index(entry: &Any) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&entry.value[..8]);
        u64::from_le_bytes(bytes)
    }
}

struct Log {
    engine: Engine,
    workload: String,
    size: usize,
    power: bool,
    threads: u64,
    batch: u64,
}

fn entry(size: usize, index: u64) -> Any {
    let mut value = index.to_le_bytes().to_vec();
    value.resize(8.max(size), b'x');
    Any { value, ..Any::default() }
}

impl Log {
    /// The index behind its last entry. Removing leaves that one: an empty group would begin anew.
    fn next(&self, group: u64) -> u64 {
        self.engine.last_index(group).map_or(1, |last| last + 1)
    }

    fn put(&mut self, stint: Stint) -> Done {
        for group in 1..=self.threads {
            self.engine.compact_to(group, self.next(group) - 1);
        }
        self.engine.purge_expired_files().map_err(failed("purge"))?;
        contest::commits(stint, self.threads, self.batch, self.power, |thread| {
            let (group, engine) = (thread + 1, &self.engine);
            let (size, count, power) = (self.size, self.batch, self.power);
            let mut index = self.next(group);
            let mut batch = LogBatch::default();
            Ok(move || {
                let entries: Vec<Any> = (index..index + count).map(|at| entry(size, at)).collect();
                index += count;
                batch.add_entries::<Entries>(group, &entries).map_err(failed("add"))?;
                engine.write(&mut batch, power).map(|_| ()).map_err(failed("write"))
            })
        })
    }

    fn read(&mut self, mut stint: Stint, remove: bool) -> Done {
        let (first, end) = (self.next(1), self.next(1) + stint.messages);
        let mut batch = LogBatch::default();
        for start in (first..end).step_by(1_000) {
            let entries: Vec<Any> =
                (start..end.min(start + 1_000)).map(|at| entry(self.size, at)).collect();
            batch.add_entries::<Entries>(1, &entries).map_err(failed("add"))?;
            self.engine.write(&mut batch, start + 1_000 >= end).map_err(failed("fill"))?;
        }
        stint.begin();
        let mut found: Vec<Any> = Vec::new();
        let (mut at, mut bytes) = (first, 0);
        while at < end && !stint.over() {
            let some = end.min(at + STEP);
            found.clear();
            self.engine
                .fetch_entries_to::<Entries>(1, at, some, None, &mut found)
                .map_err(failed("fetch"))?;
            bytes += found.iter().map(|one| one.value.len()).sum::<usize>();
            if remove {
                // Its own compact_to syncs nothing, and sync() after it neither.
                batch.add_command(1, Command::Compact { index: some - 1 });
                self.engine.write(&mut batch, true).map_err(failed("compact"))?;
            }
            at = some;
        }
        std::hint::black_box(bytes);
        stint.end(at - first, (at - first) / STEP, Times::default(), "");
        self.engine.compact_to(1, end - 1);
        self.engine.purge_expired_files().map(|_| ()).map_err(failed("purge"))
    }
}

impl Contestant for Log {
    fn stint(&mut self, stint: Stint) -> Done {
        match self.workload.as_str() {
            "put" => self.put(stint),
            "drain" => self.read(stint, true),
            "scan" => self.read(stint, false),
            other => Err(format!("there is no workload {other:?}")),
        }
    }
}

fn open(options: &Options) -> Done<Box<dyn Contestant>> {
    let config = Config {
        dir: options.dir.display().to_string(),
        batch_compression_threshold: ReadableSize(0),
        ..Config::default()
    };
    Ok(Box::new(Log {
        engine: Engine::open(config).map_err(failed("open the engine"))?,
        workload: options.workload.clone(),
        size: options.size()?,
        power: options.power(),
        threads: options.number("threads", 1)?,
        batch: options.number("batch", 1)?,
    }))
}

fn main() -> ExitCode {
    contest::contest("0.4.2", open)
}
