//! Workers that share a consumer by key: each takes a message, builds for a while, puts what it built and commits.
//! In a store of this process, or with `--port` at a server over a connection a worker.

use std::time::Duration;

use repliq::{Consumer, ConsumerOptions, Message, Queue, Rules, Store};

use super::Plan;
use super::contest::{self, Contestant, Done, Stint, failed};
use super::serve;

/// Longest wait for what is there already.
const PATIENCE: Duration = Duration::from_secs(10);
/// Builds of a worker before anything counts, at most; `contest::commits` makes them.
const WARMING_MAX: u64 = 20;

/// What the workers work on.
pub struct Workers {
    plan: Plan,
    /// One for all, or one a worker.
    stores: Vec<Store>,
    from: Queue,
    to: Queue,
}

impl Workers {
    pub fn open(plan: Plan) -> Done<Workers> {
        let stores = serve::stores(&plan)?;
        let queue = |name| stores[0].queue(name).map_err(failed("make a queue"));
        let (from, to) = (queue("feed")?, queue("built")?);
        Ok(Workers { plan, stores, from, to })
    }

    fn store(&self, worker: u64) -> &Store {
        &self.stores[worker as usize % self.stores.len()]
    }

    fn consumer(&self, worker: u64) -> Done<Consumer> {
        let rules = Rules { shared: true, keyed: true, ..Rules::default() };
        let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
        self.store(worker)
            .consumer("workers", self.from, &options)
            .map_err(failed("open a consumer"))
    }
}

impl Contestant for Workers {
    fn stint(&mut self, stint: Stint) -> Done {
        let workers = self.plan.threads;
        for queue in [self.from, self.to] {
            self.stores[0].queue_purge(queue).map_err(failed("purge"))?;
        }
        let count = stint.messages + workers * WARMING_MAX;
        self.plan.fill(&self.stores[0], self.from, count, self.plan.size)?;
        let build = Duration::from_millis(self.plan.build_ms);
        contest::commits(stint, workers, 1, true, |worker| {
            let mut session = self.store(worker).session().map_err(failed("open a session"))?;
            let (consumer, to) = (self.consumer(worker)?, self.to);
            Ok(move || {
                let found = session.receive(&consumer, 1, PATIENCE).map_err(failed("receive"))?;
                let one = found.first().ok_or("the messages ran out")?;
                std::thread::sleep(build);
                let built = Message { key: one.key(), ..Message::new(one.payload()) };
                session.put(to, &built).map_err(failed("put"))?;
                session.commit().map(|_| ()).map_err(failed("commit"))
            })
        })
    }
}
