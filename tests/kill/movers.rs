//! A process that moves what it receives to another queue, ended at any instant and at each step of a transaction, in a
//! directory and at a server that is ended, too: what was consumed is there, once, in order. And a client whose server
//! is ended inside a commit: what it is told is what readers see.

use super::child::{open_server, options, say};
use super::{Harness, Random, seeds};
use repliq::{
    Code, ConnectOptions, ConsumerOptions, Message, Outcome, Right, SessionOptions, Store,
    StoreOptions, TransactionId, Users, Verb,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const USER: &str = "mover";
const SECRET: &str = "a secret of the test";
/// Messages to be moved in one cycle.
const MESSAGES: u64 = 2_000;
/// Kills of one cycle.
const KILLS: u32 = 40;
/// Commits of one cycle during which the server is ended.
const COMMITS: u64 = 40;
/// How long a client looks for its server.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the store is that everybody works on.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("bank")
}

/// The server of the bank, at a socket, or where a way is asked for, at a port with TLS.
pub fn serve(folder: &Path, at_port: bool) {
    let store = Store::open(path(folder), &options()).unwrap();
    let users = folder.join("bank.users");
    if !users.exists() {
        let mut made = Users::new();
        // The work of a verifier is no part of this test.
        made.add_with(USER, &SECRET.into(), 4_096).unwrap();
        let right = Right { verbs: Verb::ALL.to_vec(), queues: vec!["*".into()] };
        made.set_rights(USER, &[right]).unwrap();
        made.save(&users).unwrap();
    }
    let listen = if at_port {
        std::fs::read_to_string(port(folder)).unwrap_or_else(|_| "127.0.0.1:0".into())
    } else {
        format!("unix:{}", socket(folder).display())
    };
    let server = open_server(&store, &listen, &users);
    if let Some(address) = server.addresses().first() {
        let new = folder.join("bank.port.new");
        std::fs::write(&new, address.to_string()).unwrap();
        std::fs::rename(&new, port(folder)).unwrap();
    }
    std::thread::sleep(Duration::from_secs(3600));
}

/// Where the port of the bank stands.
pub fn port(folder: &Path) -> PathBuf {
    folder.join("bank.port")
}

/// Where the address of a way to it stands, if there is one.
pub fn way(folder: &Path) -> PathBuf {
    folder.join("bank.way")
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("bank.socket")
}

pub fn far(folder: &Path) -> Store {
    let way = std::fs::read_to_string(way(folder)).ok();
    let connect = ConnectOptions {
        password: Some(SECRET.into()),
        plain: way.is_none(),
        ca_file: way.is_some().then(|| folder.join("authority.pem")),
        heartbeat_ms: 500,
        reconnect_ms_max: 20,
        connect_timeout_ms: 30_000,
        ..ConnectOptions::default()
    };
    let url = match &way {
        Some(way) => format!("repliq://{USER}@{way}"),
        None => format!("repliq+unix://{USER}@{}", socket(folder).display()),
    };
    let begun = Instant::now();
    loop {
        let options = StoreOptions { connect: connect.clone(), ..StoreOptions::default() };
        match Store::open(&url, &options) {
            Ok(store) => return store,
            Err(error) => {
                // On a way where bytes are changed, the first words may be any nonsense.
                assert!(way.is_some() || error.code() == Code::Unreachable, "{error}");
                assert!(begun.elapsed() < PATIENCE, "{error}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Moves messages, in the directory or at the server, until there are none; with a step of a transaction at which it
/// ends itself, if any.
pub fn work(folder: &Path, role: &str) {
    let (at, step) = role.split_once(' ').unwrap();
    let step: Option<u64> = step.parse().ok();
    let store = match at {
        "here" => Store::open(path(folder), &options()).unwrap(),
        _ => far(folder),
    };
    let (from, to) = (store.queue("from").unwrap(), store.queue("to").unwrap());
    let reader = loop {
        match store.consumer("mover", from, &ConsumerOptions::default()) {
            Ok(reader) => break reader,
            // The server has not seen yet that the one before is gone.
            Err(error) => assert_eq!(error.code(), Code::Busy, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let named = SessionOptions { name: "mover".into(), takeover: true, ..Default::default() };
    let mut session = store.session_with(&named).unwrap();
    let mut ends = Ends { left: step };
    loop {
        let moved = session.receive(&reader, 3, Duration::from_millis(200)).and_then(|got| {
            ends.here();
            for one in &got {
                session.put(to, &Message::new(one.payload()))?;
            }
            ends.here();
            ends.inside();
            session.commit()?;
            ends.here();
            Ok(got.len())
        });
        match moved {
            Ok(0) => break,
            Ok(count) => say(&format!("moved {count}")),
            // Its server was ended: what was received comes again.
            Err(error) => assert!(
                matches!(error.code(), Code::RolledBack | Code::Unreachable | Code::Busy),
                "{error}"
            ),
        }
    }
    say("done");
}

/// The step at which a process ends itself.
struct Ends {
    left: Option<u64>,
}

impl Ends {
    fn here(&mut self) {
        match &mut self.left {
            Some(0) => end(),
            Some(left) => *left -= 1,
            None => {}
        }
    }

    /// The end comes within the next call, some microseconds from now.
    fn inside(&mut self) {
        if let Some(left) = self.left
            && left % 4 == 3
        {
            let wait = Duration::from_micros(left * 7 % 400);
            if left < 4 {
                std::thread::spawn(move || {
                    std::thread::sleep(wait);
                    end();
                });
            }
        }
        self.here();
    }
}

fn end() {
    // SAFETY: sends a signal to this very process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// The messages that are to be moved.
fn fill(folder: &Path) {
    let store = Store::open(path(folder), &options()).unwrap();
    let from = store.queue("from").unwrap();
    store.queue("to").unwrap();
    store.consumer("mover", from, &ConsumerOptions::default()).unwrap();
    let texts: Vec<String> = (1..=MESSAGES).map(|n| n.to_string()).collect();
    let messages: Vec<Message<'_>> = texts.iter().map(|n| Message::new(n.as_bytes())).collect();
    store.put(from, &messages).unwrap();
    store.close().unwrap();
}

/// What was consumed is there, once and in order; how much that is.
fn judge(folder: &Path, seed: u64) -> u64 {
    let store = Store::open(path(folder), &options()).unwrap();
    let to = store.find_queue("to").unwrap();
    let queues = store.queues().unwrap();
    let from = queues.iter().find(|info| info.name == "from").unwrap();
    let consumed = from.consumers[0].acknowledged;
    let moved = store.snapshot().unwrap().browse(to, 1, 1_000_000).unwrap();
    let numbers: Vec<u64> = moved
        .iter()
        .map(|one| std::str::from_utf8(one.payload()).unwrap().parse().unwrap())
        .collect();
    let expected: Vec<u64> = (1..=consumed).collect();
    assert!(numbers == expected, "seed {seed}: {consumed} consumed, and there are {numbers:?}");
    store.close().unwrap();
    consumed
}

#[test]
fn txs_05_a_mover_killed_at_any_instant_and_at_each_step_moves_each_message_once() {
    let test = "kill movers::txs_05_a_mover_killed_at_any_instant_and_at_each_step_moves_each_message_once";
    seeds::run("T5 mover", test, 2, |seed| {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut harness = Harness::new();
        let folder = harness.path("");
        fill(&folder);
        let mut before = 0;
        for kill in 0..KILLS {
            if kill % 2 == 0 {
                let mover = harness.start("mover here -");
                std::thread::sleep(Duration::from_millis(5 + random.below(40)));
                harness.kill_or_done(mover);
            } else {
                let mover = harness.start(&format!("mover here {}", random.below(40)));
                harness.ended_or_done(mover);
            }
            let now = judge(&folder, seed);
            assert!(now >= before, "seed {seed}: {now} consumed after {before}");
            before = now;
        }
        let mover = harness.start("mover here -");
        harness.ended(mover, None);
        assert_eq!(judge(&folder, seed), MESSAGES, "seed {seed}");
        u64::from(KILLS)
    });
}

#[test]
fn txs_05_a_mover_and_its_server_killed_at_any_instant_move_each_message_once() {
    let test =
        "kill movers::txs_05_a_mover_and_its_server_killed_at_any_instant_move_each_message_once";
    seeds::run("T5 mover at a server", test, 2, |seed| {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut harness = Harness::new();
        let folder = harness.path("");
        fill(&folder);
        let mut bank = harness.start("bank");
        let mut mover = harness.start("mover far -");
        for _ in 0..KILLS {
            std::thread::sleep(Duration::from_millis(5 + random.below(50)));
            match random.below(3) {
                0 => {
                    harness.kill(bank);
                    bank = harness.start("bank");
                }
                1 => {
                    harness.kill_or_done(mover);
                    mover = harness.start("mover far -");
                }
                _ => {
                    harness.kill_or_done(mover);
                    let ends = harness.start(&format!("mover far {}", random.below(40)));
                    harness.ended_or_done(ends);
                    mover = harness.start("mover far -");
                }
            }
        }
        harness.ended(mover, None);
        harness.kill(bank);
        assert_eq!(judge(&folder, seed), MESSAGES, "seed {seed}");
        u64::from(KILLS)
    });
}

#[test]
fn txs_15_a_server_killed_inside_a_commit_leaves_an_outcome_that_is_what_readers_see() {
    let test = "kill movers::txs_15_a_server_killed_inside_a_commit_leaves_an_outcome_that_is_what_readers_see";
    seeds::run("T5 commit", test, 1, |seed| {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut harness = Harness::new();
        let folder = harness.path("");
        fill(&folder);
        let mut bank = Some(harness.start("bank"));
        let store = far(&folder);
        let to = store.queue("to").unwrap();
        let mut session = store.session().unwrap();
        let mut expected = Vec::new();
        let mut told = [0, 0];
        for n in 0..COMMITS {
            let id: TransactionId = session.id().unwrap();
            let payload = format!("commit {n}");
            session.put(to, &Message::new(payload.as_bytes())).unwrap();
            let wait = Duration::from_micros(random.below(1_500));
            let running = bank.take().unwrap();
            let outcome = std::thread::scope(|scope| {
                let commit = scope.spawn(|| session.commit());
                std::thread::sleep(wait);
                harness.kill(running);
                bank = Some(harness.start("bank"));
                commit.join().unwrap()
            });
            let resolved = loop {
                match store.resolve(&id) {
                    Ok(outcome) => break outcome,
                    Err(error) => assert_eq!(error.code(), Code::Unreachable, "{error}"),
                }
            };
            let committed = matches!(resolved, Outcome::Committed(_));
            match &outcome {
                Ok(commit) => assert_eq!(resolved, Outcome::Committed(commit.token), "seed {seed}"),
                Err(error) if error.code() == Code::RolledBack => {
                    assert_eq!(resolved, Outcome::RolledBack, "seed {seed}: {error}");
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
            told[usize::from(committed)] += 1;
            if committed {
                expected.push(payload);
            }
        }
        store.close().unwrap();
        harness.kill(bank.take().unwrap());
        let store = Store::open(path(&folder), &options()).unwrap();
        let to = store.find_queue("to").unwrap();
        let seen: Vec<String> = store
            .snapshot()
            .unwrap()
            .browse(to, 1, 1_000)
            .unwrap()
            .iter()
            .map(|one| String::from_utf8(one.payload().to_vec()).unwrap())
            .collect();
        assert_eq!(seen, expected, "seed {seed}");
        println!("{} rolled back, {} committed", told[0], told[1]);
        COMMITS
    });
}
