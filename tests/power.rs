//! T6: real power cuts. A store on an ext4 file system of its own, in a file on a loop device, is written by a child;
//! at any instant the file system is shut down as if the power went (`EXT4_IOC_SHUTDOWN`: what was not synced is lost,
//! also of its journal), often after some random ranges were written early, and what is found after the next mount is
//! compared with what the child was told.
//!
//! Acknowledged and lost: 0. Torn transactions: 0. Handed out and not durable: 0. Positions with two meanings: 0.
//!
//! Needs the superuser and loop devices; without them it prints SKIPPED. The mounts are in a namespace of the test's
//! thread, and are gone with it, however it ends.

#![allow(clippy::unwrap_used, unsafe_code)]

#[path = "power/disk.rs"]
mod disk;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "power/thin.rs"]
mod thin;

use disk::Disk;
use repliq::{ConsumerOptions, Level, Message, Store, StoreOptions};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Power cuts of one cycle, on one file system.
const CUTS: u64 = 20;
const QUEUE: &str = "q";

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 64 << 10,
        segment_bytes_max: 256 << 10,
        ..StoreOptions::default()
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % bound
    }
}

// ---- the child

fn payload(job: u64, index: u64, count: u64) -> Vec<u8> {
    let filler = "x".repeat((job * 37 + index * 11) as usize % 900);
    format!("{job}:{index}:{count}:{filler}").into_bytes()
}

fn payload_of(bytes: &[u8]) -> (u64, u64, u64) {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut words = text.splitn(4, ':').map(|word| word.parse::<u64>().unwrap_or(0));
    let mut word = || words.next().unwrap();
    let (job, index, count) = (word(), word(), word());
    assert_eq!(bytes, payload(job, index, count), "bytes of job {job} changed");
    (job, index, count)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\nhistory {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Puts, receives and acknowledges until the disk is gone.
fn write(path: &Path, first: u64) -> repliq::Result<()> {
    let store = Store::open(path, &options())?;
    let queue = store.queue(QUEUE)?;
    let consumer = store.consumer("c", queue, &ConsumerOptions::default())?;
    for job in first.. {
        let count = 1 + job % 4;
        let level = if job % 3 == 0 { Level::Process } else { Level::Power };
        let payloads: Vec<Vec<u8>> = (0..count).map(|at| payload(job, at, count)).collect();
        let messages: Vec<Message<'_>> = payloads.iter().map(|one| Message::new(one)).collect();
        say(&format!("begin {job} {count}"));
        let commit = store.put_at(queue, &messages, level)?;
        let level = if commit.level == Level::Power { "power" } else { "process" };
        say(&format!("ok {job} {level} {:?}", commit.token.position()));
        if job % 5 == 0 {
            let got = consumer.receive(6, Duration::ZERO)?;
            let Some(last) = got.last().map(repliq::Received::sequence) else { continue };
            for one in &got {
                let (job, index, _) = payload_of(one.payload());
                say(&format!("seen {job} {index}"));
            }
            if job % 2 == 0 {
                say(&format!("acks {last}"));
                let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
                consumer.ack(&sequences)?;
                say(&format!("acked {last}"));
            } else {
                let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
                consumer.reject(&sequences)?;
            }
        }
    }
    Ok(())
}

#[test]
fn child() {
    let Some(path) = std::env::var_os("REPLIQ_STORE") else { return };
    let first = seeds::number("REPLIQ_NEXT").unwrap();
    let outcome = if std::env::var_os("REPLIQ_HOPE").is_some() {
        thin::hope(Path::new(&path), first)
    } else {
        write(Path::new(&path), first)
    };
    say(&format!("end {:?}", outcome.err()));
    // Its handles go when the parent says so, like those of a machine that has lost its power.
    std::thread::sleep(Duration::from_secs(60));
}

// ---- the parent

struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    reader: std::thread::JoinHandle<()>,
}

fn start(store: &Path, next: u64, hopes: bool) -> Running {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env("REPLIQ_STORE", store)
        .env("REPLIQ_NEXT", next.to_string())
        .envs(hopes.then_some(("REPLIQ_HOPE", "1")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let (out, heard) = (child.stdout.take().unwrap(), said.clone());
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(line) = line.strip_prefix("history ") {
                heard.lock().unwrap().push(line.to_string());
            }
        }
    });
    Running { child, said, reader }
}

/// What the child was told, over all lives.
#[derive(Default)]
struct Told {
    /// Messages of each job begun.
    begun: BTreeMap<u64, u64>,
    safe: BTreeSet<u64>,
    seen: BTreeSet<(u64, u64)>,
    positions: HashMap<String, u64>,
    /// Jobs that failed for certain.
    failed: BTreeSet<u64>,
    /// The store said that it is poisoned, in this life.
    poisoned: bool,
    /// Sequences up to which an acknowledgement was asked for, and was confirmed.
    asked: u64,
    acknowledged: u64,
    /// Jobs before this one were looked at after a cut: they are there for good, or lost for good.
    judged: u64,
    lost: BTreeSet<u64>,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "begin" => {
                self.begun.insert(number(1), number(2));
            }
            "failed" => {
                if words[2] != "OutcomeUnknown" {
                    self.failed.insert(number(1));
                }
                self.poisoned |= words[2] == "Poisoned" || words[2] == "OutcomeUnknown";
            }
            "ok" => {
                assert!(!self.poisoned, "job {} was confirmed by a poisoned store", words[1]);
                if words[2] == "power" {
                    self.safe.insert(number(1));
                }
                let known = self.positions.insert(words[3].to_string(), number(1));
                assert_eq!(known, None, "{} means two jobs, {known:?} and {}", words[3], words[1]);
            }
            "seen" => {
                self.seen.insert((number(1), number(2)));
            }
            "acks" => self.asked = self.asked.max(number(1)),
            "acked" => self.acknowledged = self.acknowledged.max(number(1)),
            "end" => {}
            other => panic!("a child said {other:?}"),
        }
    }

    /// Compares with what is there; all that is shown.
    fn judge(&mut self, path: &Path) -> BTreeSet<(u64, u64)> {
        let store = Store::open(path, &options()).unwrap_or_else(|error| panic!("{error}"));
        let Ok(queue) = store.find_queue(QUEUE) else {
            assert!(self.safe.is_empty(), "the queue is gone, {} jobs were safe", self.safe.len());
            return BTreeSet::new();
        };
        let floor = store.queues().unwrap()[0].consumers.first().map_or(0, |one| one.acknowledged);
        assert!(floor >= self.acknowledged, "{floor} of {} acknowledged", self.acknowledged);
        assert!(floor <= self.asked, "{floor} acknowledged, {} asked for", self.asked);
        let (mut there, mut last) = (BTreeMap::<u64, BTreeSet<u64>>::new(), (0, 0));
        let (snapshot, mut from, mut first) = (store.snapshot().unwrap(), 1, None);
        loop {
            let some = snapshot.browse(queue, from, 1000).unwrap();
            if some.is_empty() {
                break;
            }
            for one in &some {
                let (job, index, count) = payload_of(one.payload());
                assert_eq!(self.begun.get(&job), Some(&count), "job {job} was never begun");
                assert!((job, index) > last, "({job}, {index}) behind {last:?}");
                if first.is_none() {
                    // Only what is acknowledged may be gone.
                    assert!(
                        one.sequence() <= floor + 1,
                        "{floor} acknowledged, {} is first",
                        one.sequence()
                    );
                    first = Some((job, index));
                }
                last = (job, index);
                there.entry(job).or_default().insert(index);
                from = one.sequence() + 1;
            }
        }
        // All before the first one shown is acknowledged and may be gone.
        let gone =
            |job: u64, index: u64| first.is_none_or(|first| (job, index) < first) && floor > 0;
        let holds = |job: u64, index: u64| {
            there.get(&job).is_some_and(|all| all.contains(&index)) || gone(job, index)
        };
        for job in &self.failed {
            assert!(!there.contains_key(job), "job {job} failed and is there");
        }
        for (&job, &count) in &self.begun {
            if self.lost.contains(&job) {
                assert!(!there.contains_key(&job), "job {job} was lost and came back");
                continue;
            }
            let held = (0..count).filter(|index| holds(job, *index)).count() as u64;
            assert!(held == 0 || held == count, "job {job} is torn: {held} of {count}");
            assert!(
                held > 0 || !self.safe.contains(&job),
                "job {job} was acknowledged and is lost"
            );
            if held == 0 {
                self.lost.insert(job);
            }
        }
        // Within one life what is lost is the end.
        let life = self.begun.range(self.judged..).map(|(job, _)| *job);
        // What failed for certain never began, as far as the store is concerned.
        let lost = |job: &u64| self.lost.contains(job) && !self.failed.contains(job);
        let first_lost = life.clone().find(lost).unwrap_or(u64::MAX);
        let later = life.clone().find(|job| *job > first_lost && !self.lost.contains(job));
        assert_eq!(later, None, "job {first_lost} is lost and a later one is not");
        for (job, index) in &self.seen {
            assert!(holds(*job, *index), "({job}, {index}) was handed out and is lost");
        }
        self.judged = self.begun.keys().next_back().map_or(0, |last| last + 1);
        store.close().unwrap();
        let one = |(job, all): (u64, BTreeSet<u64>)| all.into_iter().map(move |at| (job, at));
        there.into_iter().flat_map(one).collect()
    }
}

fn cut_again_and_again(disk: &Disk, seed: u64) -> u64 {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut told = Told::default();
    for _ in 0..CUTS {
        let next = told.begun.keys().next_back().map_or(1, |last| last + 1);
        let mut running = start(&disk.store(), next, false);
        std::thread::sleep(Duration::from_millis(10 + random.below(90)));
        if random.below(2) == 0 {
            disk.write_some_early(&mut random);
        }
        disk.cut();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        running.reader.join().unwrap();
        let said = std::mem::take(&mut *running.said.lock().unwrap());
        said.iter().for_each(|line| told.hear(line));
        disk.restart();
        if disk.store().exists() {
            told.judge(&disk.store());
        } else {
            assert!(told.safe.is_empty(), "the store is gone");
        }
    }
    let (begun, safe, lost) = (told.begun.len(), told.safe.len(), told.lost.len());
    println!("{CUTS} cuts: {begun} jobs begun, {safe} acknowledged, {lost} others lost");
    assert!(safe as u64 > CUTS, "{safe} acknowledged: the test has tested next to nothing");
    CUTS
}

#[test]
fn what_was_acknowledged_survives_a_real_power_cut_at_any_instant() {
    if let Err(why) = Disk::new() {
        println!("SKIPPED real power cuts: {why}");
        return;
    }
    let test = "power what_was_acknowledged_survives_a_real_power_cut_at_any_instant";
    seeds::run("T6 power cut", test, 15, |seed| cut_again_and_again(&Disk::new().unwrap(), seed));
}
