//! Transactions of sessions, each of a thread: messages are taken from one queue and others put into another, or only
//! put. In a store of this process, or with `--port` at a server over a connection a thread.

use std::time::Duration;

use repliq::{Consumer, ConsumerOptions, Message, Queue, Session, Store};

use super::Plan;
use super::contest::{self, Contestant, Done, Stint, failed};
use super::serve;

/// Longest wait for what is there already.
const PATIENCE: Duration = Duration::from_secs(10);
/// Transactions of a thread before anything counts, at most; `contest::commits` makes them.
const WARMING_MAX: u64 = 20;

/// Queues of a thread.
struct Hand {
    from: Queue,
    to: Queue,
}

/// Stores, and what the threads work on.
pub struct Sessions {
    plan: Plan,
    /// One for all, or one a thread.
    stores: Vec<Store>,
    hands: Vec<Hand>,
}

impl Sessions {
    pub fn open(plan: Plan) -> Done<Sessions> {
        let stores = serve::stores(&plan)?;
        let queue = |what: &str, number: u64| {
            stores[0].queue(&format!("{what}-{number}")).map_err(failed("make a queue"))
        };
        let hand = |number| Ok(Hand { from: queue("from", number)?, to: queue("to", number)? });
        let hands = (0..plan.threads).map(hand).collect::<Done<Vec<Hand>>>()?;
        Ok(Sessions { plan, stores, hands })
    }

    fn store(&self, thread: u64) -> &Store {
        &self.stores[thread as usize % self.stores.len()]
    }

    /// Throws away what the turn before left, and puts what this one takes.
    fn prepare(&self, transactions: u64) -> Done<Vec<Option<Consumer>>> {
        let mut consumers = Vec::new();
        for (number, hand) in self.hands.iter().enumerate() {
            let store = self.store(number as u64);
            for queue in [hand.from, hand.to] {
                store.queue_purge(queue).map_err(failed("purge"))?;
            }
            if self.plan.workload != "transform" {
                consumers.push(None);
                continue;
            }
            let options = ConsumerOptions::default();
            let consumer = store.consumer("bench", hand.from, &options);
            consumers.push(Some(consumer.map_err(failed("open a consumer"))?));
            self.plan.fill(store, hand.from, transactions * self.plan.batch, self.plan.size)?;
        }
        Ok(consumers)
    }
}

/// Takes so many messages and puts as many.
fn transform(session: &mut Session, consumer: &Consumer, to: Queue, count: usize) -> Done {
    let mut left = count;
    while left > 0 {
        let some = session.receive(consumer, left, PATIENCE).map_err(failed("receive"))?;
        if some.is_empty() {
            return Err("the messages ran out".to_string());
        }
        left -= some.len();
        let made = some.iter().map(|one| Message::new(one.payload()));
        session.put_each(to, made).map_err(failed("put"))?;
    }
    Ok(())
}

impl Contestant for Sessions {
    fn stint(&mut self, stint: Stint) -> Done {
        let Plan { threads, batch, .. } = self.plan;
        let share = stint.messages.div_ceil(threads * batch);
        let consumers = self.prepare(share + WARMING_MAX)?;
        let payload = vec![b'm'; self.plan.size];
        let messages = vec![Message::new(&payload); batch as usize];
        contest::commits(stint, threads, batch, true, |thread| {
            let mut session = self.store(thread).session().map_err(failed("open a session"))?;
            let (consumer, to) = (&consumers[thread as usize], self.hands[thread as usize].to);
            let messages = &messages;
            Ok(move || {
                match consumer {
                    Some(from) => transform(&mut session, from, to, batch as usize)?,
                    None => session.put_many(to, messages).map_err(failed("put"))?,
                }
                session.commit().map(|_| ()).map_err(failed("commit"))
            })
        })
    }
}
