//! One sender with two roots and three servers, and everything that can happen to them, from a seed.
//!
//! Links are cut at every frame, what was said is said again on old and on new links, every machine is killed and
//! loses its power, also in the middle of a write or a sync, and servers go back to older states. In the end
//! every server must have every transaction of its roots, once, in order and whole.

use crate::checker::check;
use crate::seeds;
use crate::world::*;
use repliq::disk::model::Cut;
use repliq::{Message, StoreOptions};
use std::fmt::Write as _;

const ROOTS: [&str; 2] = ["a", "b"];
/// Root and server of each stream.
const STREAMS: [(usize, usize); 5] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)];

struct World {
    dice: Dice,
    sender: Node,
    servers: Vec<Node>,
    links: Vec<Option<Link>>,
    /// What was said to each server on links that are gone.
    past: Vec<Vec<Frame>>,
    /// Older states of the servers.
    copies: Vec<Option<repliq::disk::model::ModelDisk>>,
    clock: Clock,
    next: u64,
    history: String,
    faults: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let options = StoreOptions { segment_bytes_max: 8192, ..options() };
        World {
            dice: Dice::new(seed),
            sender: Node::with(seed * 10 + 1, options.clone()),
            servers: (0..3).map(|n| Node::with(seed * 10 + 2 + n, options.clone())).collect(),
            links: STREAMS.iter().map(|_| None).collect(),
            past: vec![Vec::new(); 3],
            copies: vec![None, None, None],
            clock: Clock::new(),
            next: 1,
            history: String::new(),
            faults: 0,
        }
    }

    fn plan(stream: usize) -> Plan {
        let (root, server) = STREAMS[stream];
        Plan::new(ROOTS[root], &format!("server {server}"), ROOTS[root])
    }

    fn say(&mut self, line: &str) {
        self.history.push_str(line);
        self.history.push('\n');
    }

    /// A transaction of one to four messages, in one root or in both.
    fn put(&mut self) {
        let transaction = self.next;
        self.next += 10;
        let both = self.dice.one_in(4);
        let count = 1 + self.dice.below(4);
        let root = self.dice.below(2) as usize;
        let pad = "x".repeat(self.dice.below(200) as usize);
        let mut puts: Vec<(usize, u64)> = (0..count).map(|n| (root, transaction + n)).collect();
        if both {
            puts.push((1 - root, transaction + 9));
        }
        for (at, queue) in ROOTS.iter().enumerate() {
            let values: Vec<String> = puts
                .iter()
                .filter(|(to, _)| *to == at)
                .map(|(_, value)| value.to_string())
                .collect();
            if !values.is_empty() {
                let values = values.join(",");
                self.say(&format!(
                    r#"{{"process":1,"op":"put","kind":"invoke","transaction":{transaction},"queue":"{queue}","values":[{values}]}}"#
                ));
            }
        }
        let outcome = self.commit(&puts, &pad);
        let kind = if outcome.is_ok() { "ok" } else { "unknown" };
        self.say(&format!(
            r#"{{"process":1,"op":"put","kind":"{kind}","transaction":{transaction}}}"#
        ));
        if outcome.is_err() {
            self.crash(None);
        }
    }

    fn commit(&self, puts: &[(usize, u64)], pad: &str) -> repliq::Result<()> {
        let store = self.sender.up();
        let queues = [store.queue(ROOTS[0])?, store.queue(ROOTS[1])?];
        let mut session = store.session()?;
        for (root, value) in puts {
            let payload = format!("{value} {pad}");
            session.put(queues[*root], &Message::new(payload.as_bytes()))?;
        }
        session.commit().map(|_| ())
    }

    /// The machine stops and comes up again; `None` is the sender.
    fn crash(&mut self, server: Option<usize>) {
        self.faults += 1;
        for (stream, link) in self.links.iter_mut().enumerate() {
            if server.is_none_or(|server| STREAMS[stream].1 == server) {
                let said = link.take().map(|link| link.said).into_iter().flatten();
                self.past[STREAMS[stream].1].extend(said);
            }
        }
        let (power, cut) = (self.dice.one_in(2), Cut::Random(self.dice.next()));
        let node = match server {
            None => &mut self.sender,
            Some(server) => &mut self.servers[server],
        };
        if power {
            node.power_cut(cut)
        } else {
            node.kill()
        }
        node.start().unwrap();
    }

    fn hang_up(&mut self, stream: usize) {
        if let Some(link) = self.links[stream].take() {
            let (past, most) = (&mut self.past[STREAMS[stream].1], 400);
            past.extend(link.said);
            if past.len() > most {
                past.drain(..past.len() - most);
            }
        }
    }

    fn connect(&mut self, stream: usize) {
        self.hang_up(stream);
        let server = STREAMS[stream].1;
        match Link::open(&self.sender, &self.servers[server], &World::plan(stream)) {
            Ok(link) => self.links[stream] = Some(link),
            Err(_) => self.crash(None),
        }
    }

    /// A few frames on one link.
    fn talk(&mut self, stream: usize) {
        if self.links[stream].is_none() {
            self.connect(stream);
        }
        let steps = 1 + self.dice.below(12);
        let Some(link) = &mut self.links[stream] else { return };
        for _ in 0..steps {
            if link.is_over() {
                break;
            }
            link.speak(self.clock.now);
            if !link.is_over() && self.dice.below(3) > 0 {
                link.deliver(self.clock.now);
            }
        }
        if link.is_over() {
            self.hang_up(stream);
            self.restart_stopped();
        }
    }

    /// Whoever met a planned stop of its disk is gone.
    fn restart_stopped(&mut self) {
        if self.sender.disk.is_stopped() {
            self.crash(None);
        }
        for server in 0..3 {
            if self.servers[server].disk.is_stopped() {
                self.crash(Some(server));
            }
        }
    }

    /// Something that was said before, on this link or another, arrives again.
    fn repeat(&mut self, stream: usize) {
        let past = &self.past[STREAMS[stream].1];
        if past.is_empty() {
            return;
        }
        self.faults += 1;
        let at = self.dice.below(past.len() as u64) as usize;
        let again: Vec<Frame> = past[at..].iter().take(6).cloned().collect();
        let (kind, body) = again[0].clone();
        if self.dice.one_in(2) {
            // On a new connection: a greeting of old, and what followed it.
            let server = STREAMS[stream].1;
            let store = self.servers[server].up();
            let rights = Box::new(|_: &str| true);
            let mut receiver = repliq::replicate::receiver(
                store,
                "replication",
                rights,
                std::sync::Arc::new(|| {}),
            );
            for (kind, body) in again {
                let mut out = Vec::new();
                if receiver.on_frame(kind, &body, self.clock.now).is_err() {
                    break;
                }
                if receiver.next_frame(self.clock.now, &mut out).is_err() {
                    break;
                }
            }
        } else if let Some(link) = &mut self.links[stream]
            && let Err(error) = link.receiver.on_frame(kind, &body, self.clock.now)
        {
            link.error.get_or_insert(error);
            self.hang_up(stream);
        }
        self.restart_stopped();
    }

    fn go_back(&mut self, server: usize) {
        match self.copies[server].take() {
            // A server from before its streams began cannot be told from an empty one, and is stopped.
            None => {
                let begun = repliq::replicate::received(self.servers[server].up()).len();
                if begun == STREAMS.iter().filter(|(_, to)| *to == server).count() {
                    self.copies[server] = Some(self.servers[server].copy());
                }
            }
            Some(copy) => {
                self.faults += 1;
                (0..STREAMS.len())
                    .filter(|s| STREAMS[*s].1 == server)
                    .for_each(|s| self.hang_up(s));
                let seed = self.dice.next();
                self.servers[server].restore(&copy, seed);
                self.servers[server].start().unwrap();
            }
        }
    }

    fn step(&mut self) {
        let stream = self.dice.below(STREAMS.len() as u64) as usize;
        let server = self.dice.below(3) as usize;
        match self.dice.below(40) {
            0..10 => self.put(),
            10..28 => self.talk(stream),
            28..30 => self.hang_up(stream),
            30 => self.connect(stream),
            31..33 => self.repeat(stream),
            33 => self.crash(None),
            34 => self.crash(Some(server)),
            35 => {
                let ahead = 1 + self.dice.below(30);
                let node = if self.dice.one_in(2) { &self.sender } else { &self.servers[server] };
                node.disk.stop_in(ahead);
            }
            36 => self.go_back(server),
            37 => {
                let ms = self.dice.below(1_500);
                self.clock.pass(ms);
            }
            38 => {
                let _ = self.sender.up().reclaim();
                self.restart_stopped();
            }
            _ => {
                let _ = self.servers[server].up().reclaim();
                self.restart_stopped();
            }
        }
    }

    /// Everything comes up and to rest.
    fn settle(&mut self) {
        for stream in 0..STREAMS.len() {
            self.hang_up(stream);
        }
        // Also those who met their stop in the last step, before anybody looked.
        self.restart_stopped();
        self.sender.disk.clear_faults();
        self.servers.iter().for_each(|server| server.disk.clear_faults());
        self.crash(None);
        for (stream, (_, server)) in STREAMS.into_iter().enumerate() {
            let plan = World::plan(stream);
            let error = ship(&self.sender, &self.servers[server], &plan, &mut self.clock);
            assert!(error.is_none(), "stream {stream} ended with {error:?}");
        }
    }

    fn read(&mut self, place: &str, root: usize, server: Option<usize>) -> Vec<Vec<u64>> {
        let node = server.map_or(&self.sender, |server| &self.servers[server]);
        let transactions = node.transactions(ROOTS[root]);
        let value = |payload: &String| payload.split(' ').next().unwrap().parse::<u64>().unwrap();
        let values: Vec<Vec<u64>> =
            transactions.iter().map(|payloads| payloads.iter().map(value).collect()).collect();
        let (mut rows, mut sequence) = (String::new(), 0);
        for (number, values) in values.iter().enumerate() {
            for value in values {
                sequence += 1;
                let comma = if rows.is_empty() { "" } else { "," };
                write!(rows, "{comma}[{sequence},{value},{number}]").unwrap();
            }
        }
        let queue = ROOTS[root];
        self.say(&format!(
            r#"{{"process":9,"op":"final","place":"{place}","queue":"{queue}","rows":[{rows}]}}"#
        ));
        values
    }

    fn judge(&mut self) {
        let mut own = Vec::new();
        for root in 0..2 {
            own.push(self.read("sender", root, None));
        }
        for (root, server) in STREAMS {
            let there = self.read(&format!("server {server}"), root, Some(server));
            assert_eq!(there, own[root], "server {server}, root {}", ROOTS[root]);
        }
        if seeds::number("REPLIQ_SEED").is_some() {
            println!("{}", self.history);
        }
        let report = check(&self.history);
        assert!(report.anomalies.is_empty(), "{:?}", report.anomalies);
    }
}

fn simulate(seed: u64, steps: usize) -> u64 {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.settle();
    world.judge();
    world.faults
}

#[test]
fn everything_arrives_once_in_order_and_whole_whatever_happens() {
    let (mut seeds, mut faults) = (0, 0);
    let test =
        "replication simulation::everything_arrives_once_in_order_and_whole_whatever_happens";
    seeds::run("T7 streams", test, 400, |seed| {
        let count = simulate(seed, 250);
        (seeds, faults) = (seeds + 1, faults + count);
        count
    });
    assert!(seeds == 1 || faults > seeds, "hardly anything went wrong");
}
