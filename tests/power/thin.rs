//! T6f: syncs that really fail. The device below the file system has promised more memory than it has and runs out
//! under a writer: `fdatasync` answers EIO once, and the page cache goes on to show what never reached the device.
//! The store must be poisoned and stay so; after a restart over that warm cache, what it shows must survive the
//! power cut that follows.

use super::{Disk, QUEUE, Random, Running, Told, options, payload, payload_of, say, seeds, start};
use repliq::{Code, ConsumerOptions, Level, Message, Store};
use std::path::Path;
use std::time::Duration;

/// Memory of the device: what the file system writes at its making, and room for a few segments.
const MEMORY_BYTES: u64 = 24 << 20;
/// How often the child tries again before it gives up hope.
const TRIES: u32 = 6;

/// Puts and receives as a program does that hopes for better times.
pub fn hope(path: &Path, first: u64) -> repliq::Result<()> {
    let store = Store::open(path, &options())?;
    let queue = store.queue(QUEUE)?;
    let consumer = store.consumer("c", queue, &ConsumerOptions::default())?;
    let mut failures = 0;
    for job in first.. {
        let count = 1 + job % 4;
        let level = if job % 3 == 0 { Level::Process } else { Level::Power };
        let payloads: Vec<Vec<u8>> = (0..count).map(|at| payload(job, at, count)).collect();
        let messages: Vec<Message<'_>> = payloads.iter().map(|one| Message::new(one)).collect();
        say(&format!("begin {job} {count}"));
        match store.put_at(queue, &messages, level) {
            Ok(commit) => {
                let level = if commit.level == Level::Power { "power" } else { "process" };
                say(&format!("ok {job} {level} {:?}", commit.token.position()));
            }
            Err(error) => {
                failures += 1;
                say(&format!("failed {job} {:?}", error.code()));
            }
        }
        // What is handed out must be durable, before the failure and behind it.
        for one in consumer.receive(3, Duration::ZERO).unwrap_or_default() {
            let (job, index, _) = payload_of(one.payload());
            say(&format!("seen {job} {index}"));
        }
        if failures == TRIES {
            say(&format!("poisoned {}", is_poisoned(&store, queue)));
            return Ok(());
        }
    }
    Ok(())
}

fn is_poisoned(store: &Store, queue: repliq::Queue) -> bool {
    let put = store.put(queue, &[Message::new(b"1:0:1:")]);
    put.is_err_and(|error| error.code() == Code::Poisoned)
}

fn signal(running: &Running, signal: libc::c_int) {
    // SAFETY: takes numbers only; the child is ours and was not waited for.
    let done = unsafe { libc::kill(running.child.id() as i32, signal) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Waits until all threads of a child stand still.
fn stand_still(running: &Running) {
    signal(running, libc::SIGSTOP);
    let tasks = format!("/proc/{}/task", running.child.id());
    loop {
        let states = std::fs::read_dir(&tasks).unwrap().flatten().map(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('T')
        });
        if states.into_iter().all(|stopped| stopped) {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What one device came to.
#[derive(Default)]
struct Met {
    poisoned: bool,
    opened_warm: bool,
}

fn run_out(seed: u64) -> Met {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let disk = Disk::thin(MEMORY_BYTES).unwrap();
    let (mut told, mut met) = (Told::default(), Met::default());
    let mut running = start(&disk.store(), 1, true);
    while running.said.lock().unwrap().len() < 20 {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(random.below(40)));
    let ended = || running.said.lock().unwrap().iter().any(|line| line.starts_with("end "));
    let mut tries = 0;
    while !ended() {
        tries += 1;
        assert!(tries < 100, "the device never ran out");
        // At the end of a segment there is nothing to take away, and the next one is whole: so, again and again.
        stand_still(&running);
        disk.thin_out();
        disk.exhaust();
        signal(&running, libc::SIGCONT);
        // A machine that is busy gives it more of a chance each time.
        std::thread::sleep(Duration::from_millis(50 * tries));
    }
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    running.reader.join().unwrap();
    for line in std::mem::take(&mut *running.said.lock().unwrap()) {
        match line.strip_prefix("poisoned ") {
            Some(answer) => met.poisoned = answer == "true",
            None => told.hear(&line),
        }
    }
    disk.relieve();
    told.poisoned = false;
    // Where the file system itself has given up there is nothing to open before it is mounted anew.
    let warm = Store::open(disk.store(), &options()).and_then(|store| store.close());
    if let Err(error) = &warm {
        println!("seed {seed}: not opened before the file system was mounted anew: {error}");
    }
    let shown = warm.is_ok().then(|| told.judge(&disk.store()));
    met.opened_warm = shown.is_some();
    disk.cut();
    disk.restart();
    let there = told.judge(&disk.store());
    for one in shown.into_iter().flatten() {
        assert!(there.contains(&one), "{one:?} was shown after the restart and was not durable");
    }
    met
}

#[test]
fn what_a_device_took_and_never_had_is_not_believed_after_a_restart() {
    if let Err(why) = Disk::thin(MEMORY_BYTES) {
        println!("SKIPPED syncs that really fail: {why}");
        return;
    }
    let test = "power thin::what_a_device_took_and_never_had_is_not_believed_after_a_restart";
    let (mut poisoned, mut warm, mut all) = (0, 0, 0);
    seeds::run("T6f real EIO", test, 20, |seed| {
        let met = run_out(seed);
        all += 1;
        poisoned += u64::from(met.poisoned);
        warm += u64::from(met.opened_warm);
        1
    });
    println!("{all} devices ran out, {poisoned} stores poisoned, {warm} opened over a warm cache");
    // A few are no measure.
    let enough = |count: u64| all < 10 || count * 2 > all;
    assert!(enough(poisoned), "{poisoned} of {all} poisoned: the test has tested next to nothing");
    assert!(enough(warm), "{warm} of {all} opened warm");
}
