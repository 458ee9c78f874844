//! redb: a cache of 1 GiB, `Durability::Immediate` for `power`; at `process` `Durability::None` and 1,000 messages a
//! transaction, which is what makes it fast. Keys are ascending numbers.
//!
//! `put`; `drain`, which pops 10,000 a transaction; `scan`, which iterates over everything.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use contest::{Contestant, Done, Options, Stint, Times, failed};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

const QUEUE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("queue");
/// Messages of a transaction where no power cut must be survived.
const UNSYNCED: u64 = 1_000;

struct Store {
    database: Database,
    workload: String,
    size: usize,
    power: bool,
    threads: u64,
    batch: u64,
    next: AtomicU64,
}

impl Store {
    fn put(&self, batch: u64, power: bool, payload: &[u8]) -> Done {
        let mut write = self.database.begin_write().map_err(failed("begin"))?;
        let durability = if power { Durability::Immediate } else { Durability::None };
        write.set_durability(durability).map_err(failed("set the durability"))?;
        {
            let mut table = write.open_table(QUEUE).map_err(failed("open the table"))?;
            let first = self.next.fetch_add(batch, Ordering::Relaxed);
            for key in first..first + batch {
                table.insert(key, payload).map_err(failed("insert"))?;
            }
        }
        write.commit().map_err(failed("commit"))
    }

    fn clear(&self) -> Done {
        let write = self.database.begin_write().map_err(failed("begin"))?;
        write.delete_table(QUEUE).map_err(failed("delete the table"))?;
        write.open_table(QUEUE).map_err(failed("open the table"))?;
        write.commit().map_err(failed("commit"))
    }

    fn pop(&self) -> Done<u64> {
        let mut popped = 0;
        let write = self.database.begin_write().map_err(failed("begin"))?;
        {
            let mut table = write.open_table(QUEUE).map_err(failed("open the table"))?;
            while popped < 10_000 {
                match table.pop_first().map_err(failed("pop"))? {
                    Some(found) => _ = std::hint::black_box(found.1.value().len()),
                    None => break,
                }
                popped += 1;
            }
        }
        write.commit().map_err(failed("commit"))?;
        Ok(popped)
    }

    fn walk(&self) -> Done<u64> {
        let read = self.database.begin_read().map_err(failed("begin"))?;
        let table = read.open_table(QUEUE).map_err(failed("open the table"))?;
        let (mut seen, mut bytes) = (0, 0);
        for found in table.iter().map_err(failed("iterate"))? {
            bytes += found.map_err(failed("read"))?.1.value().len();
            seen += 1;
        }
        std::hint::black_box(bytes);
        Ok(seen)
    }
}

impl Contestant for Store {
    fn stint(&mut self, mut stint: Stint) -> Done {
        self.clear()?;
        let payload = vec![b'x'; self.size];
        if self.workload == "put" {
            let batch = if self.power { self.batch } else { self.batch.max(UNSYNCED) };
            let (store, payload, power) = (&*self, &payload[..], self.power);
            return contest::commits(stint, self.threads, batch, power, |_| {
                Ok(move || store.put(batch, power, payload))
            });
        }
        for _ in (0..stint.messages).step_by(UNSYNCED as usize) {
            self.put(UNSYNCED, false, &payload)?;
        }
        stint.begin();
        let mut done = 0;
        if self.workload == "scan" {
            done = self.walk()?;
        } else {
            while !stint.over() {
                match self.pop()? {
                    0 => break,
                    some => done += some,
                }
            }
        }
        stint.end(done, done / 10_000, Times::default(), "");
        Ok(())
    }
}

fn open(options: &Options) -> Done<Box<dyn Contestant>> {
    if !["put", "drain", "scan"].contains(&options.workload.as_str()) {
        return Err(format!("there is no workload {:?}", options.workload));
    }
    let database = redb::Builder::new()
        .set_cache_size(1 << 30)
        .create(options.dir.join("redb"))
        .map_err(failed("create the database"))?;
    Ok(Box::new(Store {
        database,
        workload: options.workload.clone(),
        size: options.size()?,
        power: options.power(),
        threads: options.number("threads", 1)?,
        batch: options.number("batch", 1)?,
        next: AtomicU64::new(0),
    }))
}

fn main() -> ExitCode {
    contest::contest("4.6.0", open)
}
