//! Waking up: a consumer waits, a message is put, and the time from before the put until the consumer has it is taken.
//! In a store of this process, or with `--port` at a server over two connections.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use repliq::{Code, Consumer, ConsumerOptions, Level, Message, Queue, Store};

use super::Plan;
use super::contest::{Contestant, Done, Stint, Times, failed};
use super::serve;

/// How long everybody is idle before a message is put.
const IDLE: Duration = Duration::from_millis(1);
/// Longest wait for a message that was put.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages before anything counts.
const WARMING: u64 = 20;

/// The two ends.
pub struct Wakes {
    plan: Plan,
    putting: Store,
    /// The other connection, where the store is at a server.
    waiting: Option<Store>,
    queue: Queue,
}

impl Wakes {
    pub fn open(plan: Plan) -> Done<Wakes> {
        let (putting, waiting) = match plan.port {
            0 => (plan.store("store")?, None),
            port => (serve::connect(port)?, Some(serve::connect(port)?)),
        };
        let queue = putting.queue("wake").map_err(failed("make a queue"))?;
        Ok(Wakes { plan, putting, waiting, queue })
    }

    /// Puts a message when all have been idle for a while; how long it took to arrive.
    fn one(&self, arrivals: &Receiver<Instant>) -> Done<Duration> {
        let payload = vec![b'm'; self.plan.size];
        std::thread::sleep(IDLE);
        let start = Instant::now();
        self.putting.put(self.queue, &[Message::new(&payload)]).map_err(failed("put"))?;
        let arrived = arrivals.recv_timeout(PATIENCE).map_err(failed("see it arrive"))?;
        Ok(arrived.duration_since(start))
    }

    fn measure(&self, mut stint: Stint, arrivals: &Receiver<Instant>) -> Done {
        for _ in 0..WARMING {
            self.one(arrivals)?;
        }
        let (mut times, mut done) = (Times::default(), 0);
        stint.begin();
        while done < stint.messages && !stint.over() {
            times.add(self.one(arrivals)?);
            done += 1;
        }
        stint.end(done, done, times, "");
        Ok(())
    }
}

/// Takes messages until the consumer is closed, and tells when each came.
fn wait(consumer: &Consumer, arrivals: &Sender<Instant>) -> Done {
    loop {
        let one = consumer.receive(1, PATIENCE).and_then(|found| {
            let now = Instant::now();
            let Some(one) = found.first() else { return Ok(()) };
            // Nobody listens any more where the turn failed.
            _ = arrivals.send(now);
            consumer.ack(&[one.sequence()]).map(|_| ())
        });
        match one {
            Err(error) if error.code() == Code::Closed => return Ok(()),
            one => one.map_err(failed("receive and acknowledge"))?,
        }
    }
}

impl Contestant for Wakes {
    fn stint(&mut self, stint: Stint) -> Done {
        self.putting.queue_purge(self.queue).map_err(failed("purge"))?;
        let store = self.waiting.as_ref().unwrap_or(&self.putting);
        let ack_level = self.plan.lazy.then_some(Level::Process);
        let options = ConsumerOptions { ack_level, ..ConsumerOptions::default() };
        let consumer =
            store.consumer("waits", self.queue, &options).map_err(failed("open a consumer"))?;
        let (sender, arrivals) = mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(&consumer, &sender));
            let measured = self.measure(stint, &arrivals);
            consumer.close();
            let waited = waiting.join().unwrap_or_else(|_| Err("a thread failed".to_string()));
            measured.and(waited)
        })
    }
}
