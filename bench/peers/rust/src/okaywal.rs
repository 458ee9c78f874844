//! okaywal: a preallocated segment of 1 GiB, a buffer of 256 KiB, one entry a commit, a chunk a message. It never
//! checkpoints, so that nothing disturbs it, and knows durable commits alone.

use std::process::ExitCode;

use contest::{Contestant, Done, Options, Stint, failed};
use okaywal::{Configuration, LogVoid, WriteAheadLog};

struct Log {
    log: WriteAheadLog,
    size: usize,
    threads: u64,
    batch: u64,
}

impl Contestant for Log {
    fn stint(&mut self, stint: Stint) -> Done {
        contest::commits(stint, self.threads, self.batch, true, |_| {
            let (log, batch) = (&self.log, self.batch);
            let payload = vec![b'x'; self.size];
            Ok(move || {
                let mut entry = log.begin_entry().map_err(failed("begin an entry"))?;
                for _ in 0..batch {
                    entry.write_chunk(&payload).map_err(failed("write a chunk"))?;
                }
                entry.commit().map(|_| ()).map_err(failed("commit"))
            })
        })
    }
}

fn open(options: &Options) -> Done<Box<dyn Contestant>> {
    if options.workload != "put" || !options.power() {
        return Err("okaywal has durable commits only".to_string());
    }
    let log = Configuration::default_for(&options.dir)
        .preallocate_bytes(1 << 30)
        .checkpoint_after_bytes(u64::MAX)
        .buffer_bytes(256 << 10)
        .open(LogVoid)
        .map_err(failed("open the log"))?;
    Ok(Box::new(Log {
        log,
        size: options.size()?,
        threads: options.number("threads", 1)?,
        batch: options.number("batch", 1)?,
    }))
}

fn main() -> ExitCode {
    contest::contest("0.3.1", open)
}
