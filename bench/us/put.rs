//! Committing: many threads, many in flight, many messages a commit, many queues; in turn with the floor; at a pace.

use std::time::{Duration, Instant};

use repliq::{Message, Port, Queue, Store, Token};

use super::Plan;
use super::contest::{self, Contestant, Done, Stint, Times, failed};
use super::floor::SyncFloor;
use super::replicate::{self, Replicas};

/// An open store, and what is put into it.
pub struct Puts {
    plan: Plan,
    store: Store,
    queues: Vec<Queue>,
    payload: Vec<u8>,
    /// Holds the backlog, which a stint leaves alone.
    _replicas: Option<Replicas>,
    floor: Option<SyncFloor>,
}

impl Puts {
    pub fn open(plan: Plan) -> Done<Puts> {
        let store = plan.store("store")?;
        let queues = (0..plan.queues)
            .map(|number| store.queue(&format!("queue-{number}")))
            .collect::<repliq::Result<Vec<Queue>>>()
            .map_err(failed("make the queues"))?;
        if plan.backlog > 0 {
            let behind = store.queue("backlog").map_err(failed("make the queue"))?;
            plan.fill(&store, behind, plan.backlog, plan.backlog_size)?;
        }
        let replicas = match plan.targets {
            0 => None,
            targets => Some(replicate::replicas(&plan, &store, queues[0], targets)?),
        };
        let floor = match plan.workload.as_str() {
            "paired" => Some(SyncFloor::prepare(&plan.dir, plan.size, plan.batch)?),
            _ => None,
        };
        let payload = vec![b'm'; plan.size];
        Ok(Puts { plan, store, queues, payload, _replicas: replicas, floor })
    }

    fn messages(&self) -> Vec<Message<'_>> {
        vec![Message::new(&self.payload); self.plan.batch as usize]
    }

    /// Commits that are waited for; each thread takes the queues in turn.
    fn put(&self, stint: Stint) -> Done {
        let timed = self.plan.level == repliq::Level::Power;
        contest::commits(stint, self.plan.threads, self.plan.batch, timed, |thread| {
            let (messages, mut at) = (self.messages(), thread as usize);
            let (store, queues) = (&self.store, &self.queues[..]);
            Ok(move || {
                let queue = if queues.len() == 1 { queues[0] } else { queues[at % queues.len()] };
                at += 1;
                store.put(queue, &messages).map(|_| ()).map_err(failed("put"))
            })
        })
    }

    fn transaction(&self, stint: Stint) -> Done {
        let timed = self.plan.level == repliq::Level::Power;
        contest::commits(stint, self.plan.threads, self.plan.batch, timed, |_| {
            let messages = self.messages();
            Ok(move || {
                let mut session = self.store.session().map_err(failed("open a session"))?;
                session.put_many(self.queues[0], &messages).map_err(failed("put"))?;
                session.commit().map(|_| ()).map_err(failed("commit"))
            })
        })
    }

    fn in_flight(&self, mut stint: Stint) -> Done {
        in_flight(&self.plan, &self.store, self.queues[0], stint.messages / 20, &stint)?;
        stint.begin();
        let (done, times, _) =
            in_flight(&self.plan, &self.store, self.queues[0], stint.messages, &stint)?;
        stint.end(done, done, times, "");
        Ok(())
    }

    /// Call by call, the floor's and ours; who goes first changes each time.
    fn paired(&mut self, mut stint: Stint) -> Done {
        let floor = self.floor.as_mut().ok_or("the floor is missing")?;
        let messages = vec![Message::new(&self.payload); self.plan.batch as usize];
        let act = || -> Done<Duration> {
            let start = Instant::now();
            if self.plan.batch == 1 {
                self.store.put(self.queues[0], &messages).map_err(failed("put"))?;
            } else {
                let mut session = self.store.session().map_err(failed("open a session"))?;
                session.put_many(self.queues[0], &messages).map_err(failed("put"))?;
                session.commit().map_err(failed("commit"))?;
            }
            Ok(start.elapsed())
        };
        for _ in 0..20 {
            floor.call()?;
            act()?;
        }
        stint.begin();
        let (mut ours, mut theirs) = (Times::default(), Times::default());
        let (mut took, mut calls) = (Duration::ZERO, 0);
        while calls * self.plan.batch < stint.messages && !stint.over() {
            if calls % 2 == 0 {
                theirs.add(floor.call()?);
            }
            let one = act()?;
            ours.add(one);
            took += one;
            if calls % 2 == 1 {
                theirs.add(floor.call()?);
            }
            calls += 1;
        }
        let more = theirs.json("floor_");
        stint.report(calls * self.plan.batch, calls, took.as_secs_f64(), &mut ours, &more);
        Ok(())
    }

    /// One message every so often, the time of each counted from when it was due: a stall counts for all it delays.
    fn paced(&self, mut stint: Stint) -> Done {
        let message = [Message::new(&self.payload)];
        let gap = Duration::from_secs_f64(1.0 / self.plan.rate as f64);
        let end = (stint.limit.as_secs_f64() * self.plan.rate as f64) as u64;
        let end = end.min(stint.messages);
        let mut times = Times::default();
        let begun = stint.begin();
        for number in 0..end {
            let due = begun + Duration::from_nanos(gap.as_nanos() as u64 * number);
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            self.store.put(self.queues[0], &message).map_err(failed("put"))?;
            times.add(due.elapsed());
        }
        stint.end(end, end, times, "");
        Ok(())
    }
}

/// Keeps `window` commits started until so many are over; the time of one is from its start to its arrival.
pub fn in_flight(
    plan: &Plan,
    store: &Store,
    queue: Queue,
    count: u64,
    stint: &Stint,
) -> Done<(u64, Times, Option<Token>)> {
    let payload = vec![b'm'; plan.size];
    let message = [Message::new(&payload)];
    let port = Port::open().map_err(failed("open a port"))?;
    let mut times = Times::default();
    let mut starts = vec![Instant::now(); plan.window as usize];
    let (mut started, mut arrived, mut last) = (0u64, 0u64, None);
    while arrived < count {
        let over = stint.over();
        if over && arrived == started {
            break;
        }
        while !over && started < count && started - arrived < plan.window {
            starts[(started % plan.window) as usize] = Instant::now();
            store.put_start(queue, &message, &port, started).map_err(failed("put"))?;
            started += 1;
        }
        let events = port.drain(plan.window as usize, Duration::from_secs(60));
        for event in events.map_err(failed("wait"))? {
            let token = event.outcome.map_err(failed("commit"))?.token;
            if event.tag + 1 == started {
                last = Some(token);
            }
            times.add(starts[(event.tag % plan.window) as usize].elapsed());
            arrived += 1;
        }
    }
    port.close();
    Ok((arrived, times, last))
}

impl Contestant for Puts {
    fn stint(&mut self, stint: Stint) -> Done {
        // What was put in the turn before is thrown away, so that a stint begins as the first one did.
        if self.plan.targets == 0 {
            for queue in &self.queues {
                self.store.queue_purge(*queue).map_err(failed("purge"))?;
            }
        }
        match self.plan.workload.as_str() {
            "transaction" => self.transaction(stint),
            "paired" => self.paired(stint),
            "paced" => self.paced(stint),
            _ if self.plan.window > 1 => self.in_flight(stint),
            _ => self.put(stint),
        }
    }
}
