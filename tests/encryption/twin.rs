//! The same work on a plain store and on an encrypted one, answer by answer, and what encryption costs.

use crate::nonce::Dice;
use crate::{open, other, password, payloads, small};
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{Consumer, ConsumerOptions, Level, Message, Port, Store, StoreOptions};
use std::time::{Duration, Instant};

const QUEUES: [&str; 3] = ["a", "b", "c"];

/// A store and what was opened on it.
struct Side {
    disk: ModelDisk,
    encrypted: bool,
    store: Option<Store>,
    consumers: Vec<Consumer>,
}

impl Side {
    fn new(encrypted: bool) -> Side {
        let mut side =
            Side { disk: ModelDisk::new(), encrypted, store: None, consumers: Vec::new() };
        side.open();
        side
    }

    fn open(&mut self) {
        let password = if self.encrypted { password() } else { None };
        let store = open(&self.disk, password).unwrap();
        self.consumers = QUEUES
            .map(|name| {
                let queue = store.queue(name).unwrap();
                store.consumer("reader", queue, &ConsumerOptions::default()).unwrap()
            })
            .into();
        self.store = Some(store);
    }

    fn end(&mut self, kill: bool) {
        // What the work asked for is durable: both sides keep the same.
        if !kill {
            self.store.as_ref().unwrap().close().unwrap();
        }
        self.disk = if kill { self.disk.kill() } else { self.disk.power_cut(Cut::Nothing) };
        self.consumers.clear();
        self.store = None;
        self.open();
    }

    /// Does one thing and tells what came of it.
    fn act(&mut self, what: u64, size: usize, count: usize, at: usize) -> String {
        let store = self.store.clone().unwrap();
        let queue = store.find_queue(QUEUES[at]).unwrap();
        match what {
            0..=4 => {
                let payload: Vec<u8> = (0..size).map(|n| (n * 7 + count) as u8).collect();
                let messages = vec![Message { key: b"key", ..Message::new(&payload) }; count];
                format!("{:?}", store.put(queue, &messages).map(|commit| commit.level))
            }
            5 | 6 => {
                let got = self.consumers[at].receive(count * 3, Duration::ZERO).unwrap();
                let sequences: Vec<u64> = got.iter().map(|message| message.sequence()).collect();
                let bytes: Vec<&[u8]> = got.iter().map(|message| message.payload()).collect();
                let acked = self.consumers[at].ack(&sequences).is_ok();
                format!("{sequences:?} {bytes:?} {acked}")
            }
            7 => {
                let mut session = store.session().unwrap();
                let got = session.receive(&self.consumers[at], count, Duration::ZERO).unwrap();
                let to = store.find_queue(QUEUES[(at + 1) % 3]).unwrap();
                for message in &got {
                    session.put(to, &Message::new(message.payload())).unwrap();
                }
                let level = session.commit().map(|commit| commit.level);
                format!("{} {level:?}", got.len())
            }
            8 => format!("{:?}", payloads(&store, queue).map(|found| found.concat())),
            9 if size.is_multiple_of(5) => {
                format!("{:?}", store.queue_purge(queue).map(|one| one.level))
            }
            _ => {
                let infos = store.queues().unwrap();
                format!("{infos:?}")
            }
        }
    }
}

#[test]
fn an_encrypted_store_answers_like_a_plain_one_through_rolls_reclaims_and_restarts() {
    for seed in 1..=6 {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let (mut plain, mut sealed) = (Side::new(false), Side::new(true));
        for step in 0..400 {
            let (what, at) = (dice.below(11), dice.below(3) as usize);
            let (size, count) = (dice.below(500) as usize, 1 + dice.below(3) as usize);
            let answers = [&mut plain, &mut sealed].map(|side| side.act(what, size, count, at));
            assert_eq!(answers[0], answers[1], "step {step}: act {what}");
            if dice.below(40) == 0 {
                let kill = dice.below(2) == 0;
                plain.end(kill);
                sealed.end(kill);
            }
        }
        let runs = |side: &Side| side.disk.names().iter().any(|name| name.ends_with(".run"));
        assert!(runs(&plain) && runs(&sealed));
    }
}

#[test]
fn messages_and_transactions_larger_than_a_block_come_back() {
    let disk = ModelDisk::new();
    let options = StoreOptions { segment_bytes_max: 16 << 20, ..small(password()) };
    let open = |disk: &ModelDisk| Store::open_on(std::sync::Arc::new(disk.clone()), &options);
    let store = open(&disk).unwrap();
    let queue = store.queue("large").unwrap();
    let sizes = [0, 1, 65_400, 65_536, 70_000, 131_072, 1_000_000, 3];
    let bodies: Vec<Vec<u8>> = sizes.iter().map(|size| vec![*size as u8; *size]).collect();
    for body in &bodies {
        store.put(queue, &[Message::new(body)]).unwrap();
    }
    // One transaction over many blocks, of which some hold one message and some many.
    let messages: Vec<Message<'_>> = bodies.iter().map(|body| Message::new(body)).collect();
    store.put(queue, &messages).unwrap();
    let small = vec![Message::new(&[7; 100]); 3_000];
    store.put(queue, &small).unwrap();
    let check = |store: &Store| {
        let found = payloads(store, queue).unwrap();
        assert_eq!(found.len(), 16 + 3_000);
        assert!(found[..8] == bodies[..] && found[8..16] == bodies[..]);
        assert!(found[16..].iter().all(|body| body == &[7; 100]));
    };
    check(&store);
    let disk = disk.kill();
    check(&open(&disk).unwrap());
    let disk = disk.power_cut(Cut::Nothing);
    check(&open(&disk).unwrap());
}

/// Messages a second through a port, committed in groups.
fn rate(encrypted: bool, size: usize, count: u64) -> f64 {
    let place = tempfile::tempdir().unwrap();
    let password = encrypted.then(|| other("bench"));
    let options = StoreOptions { password, ..StoreOptions::default() };
    let store = Store::open(place.path().join("store"), &options).unwrap();
    let queue = store.queue("q").unwrap();
    let (port, payload) = (Port::open().unwrap(), vec![1; size]);
    let began = Instant::now();
    let (mut sent, mut done) = (0, 0);
    while done < count {
        while sent < count && sent - done < 512 {
            store.put_start(queue, &[Message::new(&payload)], &port, sent).unwrap();
            sent += 1;
        }
        for event in port.drain(512, Duration::from_secs(10)).unwrap() {
            event.outcome.unwrap();
            done += 1;
        }
    }
    count as f64 / began.elapsed().as_secs_f64()
}

#[test]
fn what_encryption_costs_is_printed() {
    for (size, count) in [(100, 40_000), (1_000, 20_000)] {
        let mut best = [0.0_f64; 2];
        for _ in 0..3 {
            for (at, encrypted) in [false, true].into_iter().enumerate() {
                best[at] = best[at].max(rate(encrypted, size, count));
            }
        }
        println!(
            "{size} bytes, 512 commits in flight: plain {:.0}/s, encrypted {:.0}/s, {:.2} of plain",
            best[0],
            best[1],
            best[1] / best[0]
        );
        assert!(best[1] > 0.0);
    }
}

#[test]
fn process_commits_of_an_encrypted_store_survive_a_kill() {
    let disk = ModelDisk::new();
    let store = open(&disk, password()).unwrap();
    let queue = store.queue("q").unwrap();
    for n in 0..20_u8 {
        store.put_at(queue, &[Message::new(&[n; 90])], Level::Process).unwrap();
    }
    let disk = disk.kill();
    let found = payloads(&open(&disk, password()).unwrap(), queue).unwrap();
    assert_eq!(found, (0..20_u8).map(|n| vec![n; 90]).collect::<Vec<_>>());
}
