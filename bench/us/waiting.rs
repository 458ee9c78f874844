//! Messages that a consumer has read and cannot give out yet, and what each costs in memory: in a process of its own,
//! what is resident before a receive and after it. All have keys of their own; `--delayed 1` lets them wait for their
//! time, otherwise they wait behind one of the highest priority that was put last.

use std::process::{Command, Stdio};
use std::time::Duration;

use repliq::{ConsumerOptions, Message, Rules, Store, StoreOptions};

use super::Plan;
use super::contest::{Contestant, Done, Stint, Times, failed};

/// How long what is delayed is: longer than any run.
const DELAY_MS: u64 = 86_400_000;

/// A store with a backlog, made once.
pub struct Waiting {
    plan: Plan,
}

impl Waiting {
    pub fn open(plan: Plan) -> Done<Waiting> {
        if plan.once {
            one(&plan)?;
            std::process::exit(0);
        }
        let store = plan.store("store")?;
        let queue = store.queue("waiting").map_err(failed("make the queue"))?;
        plan.fill(&store, queue, plan.backlog, plan.size)?;
        let urgent = Message { priority: 9, ..Message::new(b"first") };
        store.put(queue, &[urgent]).map_err(failed("put"))?;
        store.close().map_err(failed("close"))?;
        Ok(Waiting { plan })
    }
}

/// When what is delayed comes; 0 where nothing is.
pub fn deliver_at_ms(delayed: bool) -> Done<u64> {
    if !delayed {
        return Ok(0);
    }
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_err(failed("read the clock"))?;
    Ok(now.as_millis() as u64 + DELAY_MS)
}

/// Bytes of this process that are in memory and not of files.
fn resident() -> Done<u64> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(failed("read the memory"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no RssAnon is told")?;
    Ok(kib.parse::<u64>().map_err(failed("read the memory"))? << 10)
}

/// In the process of its own: opens, receives what comes first, and says how much more is resident.
fn one(plan: &Plan) -> Done {
    let options = StoreOptions { create: false, ..plan.options() };
    let store = Store::open(plan.dir.join("store"), &options).map_err(failed("open the store"))?;
    let queue = store.queue("waiting").map_err(failed("find the queue"))?;
    let rules = Rules { keyed: true, ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let consumer = store.consumer("waits", queue, &options).map_err(failed("open a consumer"))?;
    let before = resident()?;
    let found = consumer.receive(1, Duration::ZERO).map_err(failed("receive"))?;
    let after = resident()?;
    if found.first().is_none_or(|one| one.payload() != b"first") {
        return Err("the message of the highest priority did not come first".to_string());
    }
    println!("{}", after.saturating_sub(before));
    Ok(())
}

impl Contestant for Waiting {
    fn stint(&mut self, mut stint: Stint) -> Done {
        let program = std::env::current_exe().map_err(failed("find this program"))?;
        stint.begin();
        let out = Command::new(program)
            .args(["waiting", "--once", "1", "--dir"])
            .arg(&self.plan.dir)
            // The allocator gives large pieces back as soon as they are free, which are not what is asked for.
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .stderr(Stdio::inherit())
            .output()
            .map_err(failed("start a process"))?;
        let text = String::from_utf8_lossy(&out.stdout);
        let bytes: f64 = text.trim().parse().map_err(failed("read its memory"))?;
        let more = format!(",\"bytes_each\":{:.2}", bytes / self.plan.backlog.max(1) as f64);
        stint.end(self.plan.backlog, 0, Times::default(), &more);
        Ok(())
    }
}
