//! Replication to servers of ours over loopback, each with a store of its own.

use std::time::{Duration, Instant};

use repliq::{
    Message, Queue, Replication, ReplicationOptions, Server, Store, TargetOptions, Token, Verb,
};

use super::Plan;
use super::contest::{Contestant, Done, Stint, Times, failed};
use super::put::in_flight;
use super::serve::{USER, connecting, serve};

/// Longest wait for a server; a run that stands still must end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Servers, and the replication that feeds them.
pub struct Replicas {
    replication: Replication,
    servers: Vec<(Server, Store)>,
}

impl Drop for Replicas {
    fn drop(&mut self) {
        // At the end of a bench nobody can be told.
        _ = self.replication.close();
        for (server, store) in &self.servers {
            server.close();
            _ = store.close();
        }
    }
}

/// So many servers that get what is put into the queue.
pub fn replicas(plan: &Plan, store: &Store, queue: Queue, count: u64) -> Done<Replicas> {
    let replication = Replication::open(store, queue, &ReplicationOptions::default())
        .map_err(failed("open the replication"))?;
    let mut servers = Vec::new();
    for number in 0..count {
        let there = plan.store(&format!("server-{number}"))?;
        let server =
            serve(&there, "127.0.0.1:0", &[Verb::Replicate]).map_err(failed("open the server"))?;
        let address = *server.addresses().first().ok_or("the server listens nowhere")?;
        let options = TargetOptions { connect: connecting(), ..TargetOptions::default() };
        replication
            .add(&format!("server-{number}"), &format!("repliq://{USER}@{address}"), &options)
            .map_err(failed("add the target"))?;
        servers.push((server, there));
    }
    Ok(Replicas { replication, servers })
}

/// A store whose commits are over when all servers have them.
pub struct Replicated {
    plan: Plan,
    store: Store,
    queue: Queue,
    replicas: Replicas,
}

impl Replicated {
    pub fn open(plan: Plan) -> Done<Replicated> {
        let store = plan.store("store")?;
        let queue = store.queue("bench").map_err(failed("make the queue"))?;
        let replicas = replicas(&plan, &store, queue, plan.targets.max(1))?;
        Ok(Replicated { plan, store, queue, replicas })
    }

    fn arrive(&self, token: Token) -> Done {
        self.store.wait("target:*", &[token], PATIENCE).map_err(failed("wait for the servers"))
    }

    fn one_by_one(&self, mut stint: Stint) -> Done {
        let payload = vec![b'm'; self.plan.size];
        let message = [Message::new(&payload)];
        let act = || -> Done { self.arrive(self.put(&message)?) };
        for _ in 0..20 {
            act()?;
        }
        stint.begin();
        let (mut done, mut times) = (0, Times::default());
        while done < stint.messages && !stint.over() {
            let start = Instant::now();
            act()?;
            times.add(start.elapsed());
            done += 1;
        }
        stint.end(done, done, times, "");
        Ok(())
    }

    fn put(&self, message: &[Message<'_>]) -> Done<Token> {
        Ok(self.store.put(self.queue, message).map_err(failed("put"))?.token)
    }

    fn pipelined(&self, mut stint: Stint) -> Done {
        let run = |count: u64, stint: &Stint| -> Done<(u64, Times)> {
            let (done, times, last) = in_flight(&self.plan, &self.store, self.queue, count, stint)?;
            last.map_or(Ok(()), |token| self.arrive(token))?;
            Ok((done, times))
        };
        run(stint.messages / 20, &stint)?;
        stint.begin();
        let (done, times) = run(stint.messages, &stint)?;
        stint.end(done, done, times, "");
        Ok(())
    }
}

impl Contestant for Replicated {
    fn stint(&mut self, stint: Stint) -> Done {
        // What the servers have is thrown away at both ends; a purge here does not go to them.
        for (_, there) in &self.replicas.servers {
            if let Ok(queue) = there.find_queue("bench") {
                there.queue_purge(queue).map_err(failed("purge"))?;
            }
        }
        match self.plan.window {
            1 => self.one_by_one(stint),
            _ => self.pipelined(stint),
        }
    }
}
