//! Opening a store with a backlog, in a process of its own each time: after a clean close, or after `kill -9` with
//! `--killed 1`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use repliq::{Message, Store, StoreOptions};

use super::Plan;
use super::contest::{Contestant, Done, Stint, Times, failed};

/// Opens a stint.
const OPENS: u64 = 5;
/// Messages that each of them leaves behind what it found.
const LEFT: u64 = 1_000;

/// A backlog that lies there.
pub struct Opens {
    plan: Plan,
}

impl Opens {
    pub fn open(plan: Plan) -> Done<Opens> {
        if plan.once {
            one(&plan)?;
            std::process::exit(0);
        }
        let store = plan.store("store")?;
        let queue = store.queue("backlog").map_err(failed("make the queue"))?;
        plan.fill(&store, queue, plan.backlog, plan.backlog_size)?;
        store.close().map_err(failed("close"))?;
        Ok(Opens { plan })
    }

    fn child(&self) -> Done<(Child, Duration, f64)> {
        let program = std::env::current_exe().map_err(failed("find this program"))?;
        let mut child = Command::new(program)
            .args(["open", "--once", "1", "--size", &self.plan.size.to_string(), "--dir"])
            .arg(&self.plan.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed("start a process"))?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("the process has no output")?;
        BufReader::new(out).read_line(&mut line).map_err(failed("read its output"))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [nanoseconds, kib] = words[..] else {
            return Err(format!("the opening process said {line:?}"));
        };
        let took = Duration::from_nanos(nanoseconds.parse().map_err(failed("read its time"))?);
        let kib: f64 = kib.parse().map_err(failed("read its memory"))?;
        Ok((child, took, kib / 1024.0))
    }
}

/// In the process of its own: opens, says how long it took and how much memory is resident, and waits to be let go.
fn one(plan: &Plan) -> Done {
    let options = StoreOptions { create: false, ..plan.options() };
    let start = Instant::now();
    let store = Store::open(plan.dir.join("store"), &options).map_err(failed("open the store"))?;
    let took = start.elapsed();
    let status = std::fs::read_to_string("/proc/self/status").map_err(failed("read the memory"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    let kib = resident.split_whitespace().next().unwrap_or("0");
    let queue = store.queue("backlog").map_err(failed("find the queue"))?;
    let payload = vec![b'm'; plan.size];
    for _ in 0..LEFT {
        store
            .put_at(queue, &[Message::new(&payload)], repliq::Level::Process)
            .map_err(failed("put"))?;
    }
    println!("{} {kib}", took.as_nanos());
    std::io::stdin().lock().lines().for_each(drop);
    store.close().map_err(failed("close"))
}

impl Contestant for Opens {
    fn stint(&mut self, mut stint: Stint) -> Done {
        let (mut times, mut took, mut resident) = (Times::default(), Duration::ZERO, 0.0f64);
        stint.begin();
        for _ in 0..OPENS {
            let (mut child, one, mib) = self.child()?;
            times.add(one);
            took += one;
            resident = resident.max(mib);
            if self.plan.killed {
                child.kill().map_err(failed("kill the process"))?;
            }
            drop(child.stdin.take());
            child.wait().map_err(failed("wait for the process"))?;
        }
        let more = format!(",\"resident_mib\":{resident:.1}");
        stint.report(OPENS, OPENS, took.as_secs_f64(), &mut times, &more);
        Ok(())
    }
}
