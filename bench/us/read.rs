//! Reading: a consumer that takes everything, and a browse over everything.

use std::time::Duration;

use repliq::{ConsumerOptions, Queue, Rules, Store};

use super::Plan;
use super::contest::{Contestant, Done, Stint, Times, failed};

/// Messages one call asks for.
const BATCH: usize = 1_000;
/// Messages acknowledged at once.
const ACKNOWLEDGED: usize = 10_000;

/// A store that is filled anew before each stint.
pub struct Reads {
    plan: Plan,
    store: Store,
    queue: Queue,
}

impl Reads {
    pub fn open(plan: Plan) -> Done<Reads> {
        let store = plan.store("store")?;
        let queue = store.queue("bench").map_err(failed("make the queue"))?;
        Ok(Reads { plan, store, queue })
    }

    fn drain(&self, mut stint: Stint) -> Done {
        let rules = Rules { shared: self.plan.shared, keyed: self.plan.keyed, ..Rules::default() };
        let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
        let consumer = self
            .store
            .consumer("bench", self.queue, &options)
            .map_err(failed("open a consumer"))?;
        self.plan.fill(&self.store, self.queue, stint.messages, self.plan.size)?;
        stint.begin();
        let mut open: Vec<u64> = Vec::with_capacity(ACKNOWLEDGED + BATCH);
        let (mut done, mut bytes, mut acknowledged) = (0, 0, 0);
        while done < stint.messages && !stint.over() {
            let messages =
                consumer.receive(BATCH, Duration::from_secs(10)).map_err(failed("receive"))?;
            if messages.is_empty() {
                return Err(format!("{done} of {} messages came", stint.messages));
            }
            bytes += messages.iter().map(|message| message.payload().len()).sum::<usize>();
            open.extend(messages.iter().map(|message| message.sequence()));
            done += messages.len() as u64;
            if open.len() >= ACKNOWLEDGED || done >= stint.messages {
                consumer.ack(&open).map_err(failed("acknowledge"))?;
                acknowledged += 1;
                open.clear();
            }
        }
        std::hint::black_box(bytes);
        stint.end(done, acknowledged, Times::default(), "");
        consumer.close();
        Ok(())
    }

    fn scan(&self, mut stint: Stint) -> Done {
        let queues = self.store.queues().map_err(failed("list the queues"))?;
        let ours = queues.iter().find(|one| one.queue == self.queue);
        let first = ours.map_or(1, |one| one.next_sequence);
        self.plan.fill(&self.store, self.queue, stint.messages, self.plan.size)?;
        let snapshot = self.store.snapshot().map_err(failed("take a snapshot"))?;
        stint.begin();
        let (mut next, mut done, mut bytes) = (first, 0, 0);
        while !stint.over() {
            let found = snapshot.browse(self.queue, next, BATCH).map_err(failed("browse"))?;
            let Some(last) = found.last() else { break };
            next = last.sequence() + 1;
            done += found.len() as u64;
            bytes += found.iter().map(|message| message.payload().len()).sum::<usize>();
        }
        std::hint::black_box(bytes);
        stint.end(done, 0, Times::default(), "");
        Ok(())
    }
}

impl Contestant for Reads {
    fn stint(&mut self, stint: Stint) -> Done {
        self.store.queue_purge(self.queue).map_err(failed("purge"))?;
        match self.plan.workload.as_str() {
            "drain" => self.drain(stint),
            _ => self.scan(stint),
        }
    }
}
