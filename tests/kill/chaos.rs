//! T11: chaos on the network. A server and a sender, each a process in a network namespace of its own, talk TLS over
//! a cable and a way that a seed makes slow, breaks at a byte, swallows, changes and repeats on; the cable is pulled
//! out, the server is frozen, either is killed, strangers come in storms. In the end everything must be there once,
//! in order and whole; no wait may have outlasted its deadline, and neither process may have grown.
//!
//! Needs the superuser; without network namespaces it prints SKIPPED.

use super::child::DEADLINE;
use super::namespaces::{Cable, NEAR};
use super::proxy::{self, Direction, Weather};
use super::{Harness, Random, Running, history, seeds};
use crate::authority::{Authority, Leaf};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens in one cycle.
const FAULTS: usize = 40;
/// What a wait may take beyond its deadline; the promise is a tenth of it.
const BEYOND: Duration = Duration::from_millis(1_000);
/// More than either process may ever hold.
const MEMORY_KIB_MAX: u64 = 192 << 10;

/// Connections without a word, and what they may take together.
const IDLE: usize = 10_000;
const IDLE_KIB_MAX: u64 = 32 << 10;

const KINDS: [&str; 14] = [
    "cut at a byte of the sender",
    "cut at a byte of the server",
    "break",
    "delay",
    "throttle",
    "hole up",
    "hole down",
    "hole",
    "flip",
    "double",
    "replay",
    "cable out",
    "frozen server",
    "storm",
];

struct Chaos<'a> {
    harness: Harness,
    cable: &'a Cable,
    weather: Arc<Weather>,
    server: Arc<Mutex<SocketAddr>>,
    random: Random,
    fired: BTreeMap<&'static str, u64>,
    memory_kib: u64,
}

/// The most memory a child ever had.
fn peak_kib(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn signal(running: &Running, signal: libc::c_int) {
    // SAFETY: takes numbers only; the child is ours and was not waited for.
    let done = unsafe { libc::kill(running.child.id() as i32, signal) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

impl Chaos<'_> {
    fn pause(&mut self, ms_max: u64) {
        std::thread::sleep(Duration::from_millis(20 + self.random.below(ms_max)));
    }

    fn start_server(&self) -> Running {
        let program = std::env::current_exe().unwrap();
        let command = self.cable.near.command(program.to_str().unwrap());
        let running = self.harness.start_as(command, "tls");
        let address = loop {
            match std::fs::read_to_string(self.harness.path("port")) {
                Ok(text) if !text.is_empty() => break text,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        *self.server.lock().unwrap() = address.parse().unwrap();
        running
    }

    fn start_sender(&self, role: &str) -> Running {
        let program = std::env::current_exe().unwrap();
        self.harness.start_as(self.cable.far.command(program.to_str().unwrap()), role)
    }

    fn kill(&mut self, running: Running) {
        self.memory_kib = self.memory_kib.max(peak_kib(&running));
        self.harness.kill(running);
    }

    /// One thing that goes wrong, and ends.
    fn strike(&mut self, server: &Running) {
        let kind = KINDS[self.random.below(KINDS.len() as u64) as usize];
        *self.fired.entry(kind).or_default() += 1;
        let weather = self.weather.clone();
        let set = |flag: &std::sync::atomic::AtomicBool| flag.store(true, Ordering::SeqCst);
        match kind {
            "cut at a byte of the sender" | "cut at a byte of the server" => {
                let up = kind.ends_with("sender");
                let direction = if up { Direction::Up } else { Direction::Down };
                // The connection that comes next is the one that is cut.
                set(&weather.breaks);
                std::thread::sleep(Duration::from_millis(30));
                weather.breaks.store(false, Ordering::SeqCst);
                weather.cut_next(direction, self.random.below(4_000) as usize);
            }
            "break" => set(&weather.breaks),
            "delay" => weather.delay_ms.store(1 + self.random.below(30), Ordering::SeqCst),
            "throttle" => {
                weather.portion.store(1 + self.random.below(200) as usize, Ordering::SeqCst);
            }
            "hole up" => set(&weather.hole[0]),
            "hole down" => set(&weather.hole[1]),
            "hole" => weather.hole.iter().for_each(set),
            "flip" => set(&weather.flips),
            "double" => set(&weather.doubles),
            "replay" => self.replay(),
            "cable out" => self.cable.plug(false),
            "frozen server" => signal(server, libc::SIGSTOP),
            "storm" => self.storm(),
            other => unreachable!("{other}"),
        }
        self.pause(if kind.ends_with("break") || kind.starts_with("cut") { 40 } else { 500 });
        match kind {
            "cable out" => self.cable.plug(true),
            "frozen server" => signal(server, libc::SIGCONT),
            _ => {}
        }
        // What waits to be cut goes on waiting.
        weather.breaks.store(false, Ordering::SeqCst);
        if !kind.starts_with("cut") {
            weather.clear();
        }
    }

    /// Says once more, to the server, all that was said on a connection before.
    fn replay(&self) {
        let (said, server) = (self.weather.said(), *self.server.lock().unwrap());
        self.cable.near.within(move || {
            let Ok(mut stream) = TcpStream::connect(server) else { return };
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            let _ = stream.write_all(&said);
            let _ = stream.read_to_end(&mut Vec::new());
        });
    }

    /// Many who come and go, and say nothing or nonsense.
    fn storm(&self) {
        let server = *self.server.lock().unwrap();
        self.cable.near.within(move || {
            let mut open = Vec::new();
            for number in 0..300 {
                let Ok(mut stream) = TcpStream::connect(server) else { return };
                if number % 3 == 0 {
                    let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
                }
                open.push(stream);
            }
        });
    }
}

impl<'a> Chaos<'a> {
    fn new(cable: &'a Cable, seed: u64) -> Chaos<'a> {
        let harness = Harness::new();
        let authority = Authority::new();
        authority.file(harness.folder.path());
        authority.leaf(harness.folder.path(), Leaf::Good);
        let server = Arc::new(Mutex::new(SocketAddr::from(([127, 0, 0, 1], 1))));
        let weather = Arc::new(Weather::default());
        let way = cable.near.within(|| proxy::open(NEAR, server.clone(), weather.clone()));
        std::fs::write(harness.path("way"), way.to_string()).unwrap();
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Chaos { harness, cable, weather, server, random, fired: BTreeMap::new(), memory_kib: 0 }
    }
}

fn rage(cable: &Cable, seed: u64) -> u64 {
    let mut chaos = Chaos::new(cable, seed);
    let mut server = chaos.start_server();
    let mut sender = chaos.start_sender("far");
    for _ in 0..FAULTS {
        chaos.pause(150);
        match chaos.random.below(10) {
            0 => {
                chaos.kill(server);
                server = chaos.start_server();
                *chaos.fired.entry("killed server").or_default() += 1;
            }
            1 => {
                chaos.kill(sender);
                sender = chaos.start_sender("far");
                *chaos.fired.entry("killed sender").or_default() += 1;
            }
            _ => chaos.strike(&server),
        }
    }
    chaos.weather.clear();
    let acked = finish(&mut chaos, server, sender, seed);
    let connections = chaos.weather.connections.load(Ordering::SeqCst);
    assert!(acked > FAULTS && connections > 5, "the test has tested next to nothing");
    chaos.fired.values().sum()
}

/// Lets everything arrive and judges it; how much was acknowledged.
fn finish(chaos: &mut Chaos<'_>, server: Running, sender: Running, seed: u64) -> usize {
    chaos.kill(sender);
    let last = chaos.start_sender("far drain");
    chaos.harness.ended(last, None);
    chaos.kill(server);
    let said = &chaos.harness.said;
    let (waits, said): (Vec<String>, Vec<String>) =
        said.iter().cloned().partition(|line| line.starts_with("history waited "));
    let waits = waits.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap());
    let longest = Duration::from_millis(waits.max().unwrap_or(0));
    let (jobs, acked) = history::judge(&said, &[("tls", chaos.harness.path("tls"))], seed);
    let fired: u64 = chaos.fired.values().sum();
    let connections = chaos.weather.connections.load(Ordering::SeqCst);
    let cut = chaos.weather.met.load(Ordering::SeqCst);
    println!(
        "{fired} faults, {connections} connections, {cut} of them cut, {jobs} jobs begun, {acked} \
         acknowledged; the longest wait of {DEADLINE:?} took {longest:?}; {} MiB at most; {:?}",
        chaos.memory_kib >> 10,
        chaos.fired
    );
    assert!(longest < DEADLINE + BEYOND, "seed {seed}: a wait of {DEADLINE:?} took {longest:?}");
    assert!(chaos.memory_kib < MEMORY_KIB_MAX, "seed {seed}: {} KiB", chaos.memory_kib);
    acked
}

/// Lets this process, and its children, have so many files open.
fn allow_files(count: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given a struct that lives as long as they do.
    let done = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_cur.max(count.min(limit.rlim_max));
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    let enough = done == 0 && limit.rlim_cur >= count;
    enough.then_some(()).ok_or_else(|| format!("only {} open files are allowed", limit.rlim_max))
}

#[test]
fn ten_thousand_connections_that_say_nothing_take_no_memory_and_hold_nobody_up() {
    let cable = match allow_files(IDLE as u64 + 1_000).and_then(|()| Cable::new()) {
        Ok(cable) => cable,
        Err(why) => {
            println!("SKIPPED ten thousand connections: {why}");
            return;
        }
    };
    let mut chaos = Chaos::new(&cable, 1);
    let server = chaos.start_server();
    let sender = chaos.start_sender("far");
    let before = peak_kib(&server);
    let address = *chaos.server.lock().unwrap();
    let idle: Vec<TcpStream> = cable.near.within(move || {
        let knock = |number: usize| {
            // Who comes while the queue at the door is full is let in a second later, by the kernel's clock.
            if number.is_multiple_of(64) {
                std::thread::sleep(Duration::from_millis(10));
            }
            TcpStream::connect(address).unwrap()
        };
        (0..IDLE).map(knock).collect()
    });
    std::thread::sleep(Duration::from_secs(1));
    let grown = peak_kib(&server).saturating_sub(before);
    println!("{} connections, {grown} KiB more", idle.len());
    assert!(grown < IDLE_KIB_MAX, "the server took {grown} KiB for them");
    let acked = finish(&mut chaos, server, sender, 1);
    assert!(acked > 10, "{acked} acknowledged while they were there");
}

#[test]
fn on_a_network_in_which_everything_goes_wrong_all_arrives_once_in_order_and_whole() {
    let cable = match Cable::new() {
        Ok(cable) => cable,
        Err(why) => {
            println!("SKIPPED chaos on the network: {why}");
            return;
        }
    };
    let test = "kill chaos::on_a_network_in_which_everything_goes_wrong_all_arrives_once_in_order_and_whole";
    seeds::run("T11 chaos", test, 1, |seed| rage(&cable, seed));
}
