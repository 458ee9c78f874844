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

#[path = "seeds/mod.rs"]
mod seeds;

use repliq::{ConsumerOptions, Level, Message, Store, StoreOptions};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Power cuts of one cycle, on one file system.
const CUTS: u64 = 20;
/// `EXT4_IOC_SHUTDOWN`, and: without writing the journal of the file system out.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
const NO_LOG_FLUSH: u32 = 2;
const QUEUE: &str = "q";

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 64 << 10,
        segment_bytes_max: 256 << 10,
        ..StoreOptions::default()
    }
}

fn tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program}: {}", said.trim()))
}

/// A file system that can lose its power.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_string()
    }

    /// An empty one, mounted; or why there is none on this machine.
    fn new() -> Result<Disk, String> {
        // SAFETY: takes no pointer; it concerns this thread alone, and the children it starts.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(format!("no mounts of one's own: {}", std::io::Error::last_os_error()));
        }
        tool("mount", &["--make-rprivate", "/"])?;
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let disk = Disk { folder: folder.unwrap() };
        let image = std::fs::File::create(disk.path("image")).unwrap();
        image.set_len(64 << 20).unwrap();
        std::fs::create_dir(disk.path("mounted")).unwrap();
        tool("mkfs.ext4", &["-q", "-F", &disk.path("image")])?;
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        tool("mount", &["-o", "loop", &self.path("image"), &self.path("mounted")])
    }

    fn store(&self) -> PathBuf {
        Path::new(&self.path("mounted")).join("store")
    }

    /// Writes some ranges of some files out early, so that what is lost is not only the end.
    fn write_some_early(&self, random: &mut Random) {
        for entry in std::fs::read_dir(self.store()).into_iter().flatten().flatten() {
            if random.below(2) == 0 {
                continue;
            }
            let Ok(file) = std::fs::File::open(entry.path()) else { continue };
            let (at, length) = (random.below(64) * 4096, (1 + random.below(4)) * 4096);
            let how = libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
            // SAFETY: the descriptor is open, and nothing else is pointed to.
            unsafe { libc::sync_file_range(file.as_raw_fd(), at as i64, length as i64, how) };
        }
    }

    /// The power goes.
    fn cut(&self) {
        let root = std::fs::File::open(self.path("mounted")).unwrap();
        let how = NO_LOG_FLUSH;
        // SAFETY: the request reads one word.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const how) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// And comes back.
    fn restart(&self) {
        tool("umount", &[&self.path("mounted")]).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = tool("umount", &["-l", &self.path("mounted")]);
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
    let outcome = write(Path::new(&path), first);
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

fn start(store: &Path, next: u64) -> Running {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env("REPLIQ_STORE", store)
        .env("REPLIQ_NEXT", next.to_string())
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
            "ok" => {
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

    /// Compares with what is there.
    fn judge(&mut self, path: &Path) {
        let store = Store::open(path, &options()).unwrap_or_else(|error| panic!("{error}"));
        let Ok(queue) = store.find_queue(QUEUE) else {
            assert!(self.safe.is_empty(), "the queue is gone, {} jobs were safe", self.safe.len());
            return;
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
        let first_lost = life.clone().find(|job| self.lost.contains(job)).unwrap_or(u64::MAX);
        let later = life.clone().find(|job| *job > first_lost && !self.lost.contains(job));
        assert_eq!(later, None, "job {first_lost} is lost and a later one is not");
        for (job, index) in &self.seen {
            assert!(holds(*job, *index), "({job}, {index}) was handed out and is lost");
        }
        self.judged = self.begun.keys().next_back().map_or(0, |last| last + 1);
        store.close().unwrap();
    }
}

fn cut_again_and_again(disk: &Disk, seed: u64) -> u64 {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut told = Told::default();
    for _ in 0..CUTS {
        let next = told.begun.keys().next_back().map_or(1, |last| last + 1);
        let mut running = start(&disk.store(), next);
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
