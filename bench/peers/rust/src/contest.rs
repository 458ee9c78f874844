//! What a contestant says and hears, in Rust; `bench/c/contest.h` and `bench/java/contest/Contest.java` say the same.
//!
//!     PROGRAM WORKLOAD --dir D [--size N] [--level power|process] [--threads N] [--window N] [--batch N] …
//!
//! opens what it measures in the directory, prints `ready VERSION`, and does one *stint* for each line
//! `go MESSAGES SECONDS` of its standard input: it throws away what the stint before left, warms up, prints `begin`,
//! does its work until so many messages or seconds are over, and prints one line of JSON. It ends with its input.
//!
//! So a server is started once and a virtual machine stays warm, while contestants take turns as often as one likes.
//! Device flushes are counted outside, between `begin` and the line.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What goes wrong is a sentence.
pub type Done<T = ()> = Result<T, String>;

/// Says what was tried when it fails.
pub fn failed<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |error| format!("cannot {what}: {error}")
}

/// The words of the command line.
pub struct Options {
    /// What to do.
    pub workload: String,
    /// Where to do it; empty when the contestant begins.
    pub dir: PathBuf,
    named: HashMap<String, String>,
}

impl Options {
    fn read() -> Done<Options> {
        let mut words = std::env::args().skip(1);
        let workload = words.next().ok_or("the workload is missing")?;
        let mut named = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or(format!("{word:?} is no option"))?;
            let value = words.next().ok_or(format!("--{name} needs a value"))?;
            named.insert(name.to_string(), value);
        }
        let dir = named.get("dir").ok_or("--dir is missing")?.into();
        Ok(Options { workload, dir, named })
    }

    /// The number of this name.
    pub fn number(&self, name: &str, otherwise: u64) -> Done<u64> {
        match self.named.get(name) {
            Some(text) => text.parse().map_err(|error| format!("--{name} {text}: {error}")),
            None => Ok(otherwise),
        }
    }

    /// Bytes of a payload.
    pub fn size(&self) -> Done<usize> {
        Ok(self.number("size", 100)? as usize)
    }

    /// Whether a commit must survive a power cut.
    pub fn power(&self) -> bool {
        self.named.get("level").is_none_or(|level| level == "power")
    }
}

/// Times of calls in nanoseconds; as many as there were.
#[derive(Default)]
pub struct Times(Vec<u32>);

impl Times {
    /// One call.
    pub fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
    }

    /// Those of another thread.
    pub fn merge(&mut self, mut other: Times) {
        self.0.append(&mut other.0);
    }

    fn us(&self, share: f64) -> f64 {
        let at = ((self.0.len() as f64 * share) as usize).min(self.0.len().saturating_sub(1));
        f64::from(self.0.get(at).copied().unwrap_or(0)) / 1e3
    }

    /// `"p50_us":…` and its fellows behind a prefix, sorted for it.
    pub fn json(&mut self, prefix: &str) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        self.0.sort_unstable();
        format!(
            ",\"{prefix}p50_us\":{:.3},\"{prefix}p99_us\":{:.3},\"{prefix}p9999_us\":{:.3}",
            self.us(0.5),
            self.us(0.99),
            self.us(0.9999)
        )
    }
}

/// One turn.
pub struct Stint {
    /// At most so many messages.
    pub messages: u64,
    /// At most so long.
    pub limit: Duration,
    begun: Option<Instant>,
}

impl Stint {
    fn parse(line: &str) -> Done<Stint> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [go, messages, seconds] = words[..] else {
            return Err(format!("{line:?} is not `go MESSAGES SECONDS`"));
        };
        let messages = messages.parse().map_err(failed("read the messages"))?;
        let seconds: f64 = seconds.parse().map_err(failed("read the seconds"))?;
        if go != "go" {
            return Err(format!("{go:?} is no command"));
        }
        Ok(Stint { messages, limit: Duration::from_secs_f64(seconds), begun: None })
    }

    /// From here on it counts.
    pub fn begin(&mut self) -> Instant {
        say("begin");
        let now = Instant::now();
        self.begun = Some(now);
        now
    }

    /// Whether the time is over.
    pub fn over(&self) -> bool {
        self.begun.is_some_and(|begun| begun.elapsed() >= self.limit)
    }

    /// Up to here it counted. `more` is further JSON that begins with a comma.
    pub fn end(self, messages: u64, commits: u64, mut times: Times, more: &str) {
        let seconds = self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        self.report(messages, commits, seconds, &mut times, more);
    }

    /// The same where the seconds were counted apart.
    pub fn report(self, messages: u64, commits: u64, seconds: f64, times: &mut Times, more: &str) {
        let times = times.json("");
        say(&format!(
            "{{\"messages\":{messages},\"commits\":{commits},\"seconds\":{seconds:.9}{times}{more}}}"
        ));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: the input will end, too.
    _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A contestant, open.
pub trait Contestant {
    /// One turn, as the head of this file says.
    fn stint(&mut self, stint: Stint) -> Done;
}

/// The whole of `main`.
pub fn contest(
    version: &str,
    open: impl FnOnce(&Options) -> Done<Box<dyn Contestant>>,
) -> ExitCode {
    let run = || {
        let options = Options::read()?;
        let mut contestant = open(&options)?;
        say(&format!("ready {version}"));
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(failed("read the standard input"))?;
            contestant.stint(Stint::parse(&line)?)?;
        }
        Ok::<(), String>(())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{}: {text}", std::env::args().next().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// Commits of `batch` messages by so many threads, each waiting for each of its own; `make` opens a thread's calls.
///
/// `timed` is whether each call is timed: a clock's call takes as long as the shortest of commits.
pub fn commits<F>(
    mut stint: Stint,
    threads: u64,
    batch: u64,
    timed: bool,
    make: impl Fn(u64) -> Done<F> + Sync,
) -> Done
where
    F: FnMut() -> Done + Send,
{
    let share = stint.messages.div_ceil(threads * batch);
    let mut calls: Vec<F> = Vec::new();
    for thread in 0..threads {
        let mut call = make(thread)?;
        for _ in 0..(share / 10).clamp(1, if timed { 20 } else { 20_000 }) {
            call()?;
        }
        calls.push(call);
    }
    stint.begin();
    let (mut done, mut times) = (0, Times::default());
    if threads == 1 {
        (done, times) = one(&stint, share, timed, &mut calls[0])?;
    } else {
        let stint = &stint;
        let parts: Vec<Done<(u64, Times)>> = std::thread::scope(|scope| {
            let running: Vec<_> = calls
                .into_iter()
                .map(|mut call| scope.spawn(move || one(stint, share, timed, &mut call)))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Done<(u64, Times)>>| {
                thread.join().unwrap_or_else(|_| Err("a thread failed".to_string()))
            };
            running.into_iter().map(join).collect()
        });
        for part in parts {
            let (some, more) = part?;
            done += some;
            times.merge(more);
        }
    }
    stint.end(done * batch, done, times, "");
    Ok(())
}

fn one(
    stint: &Stint,
    share: u64,
    timed: bool,
    call: &mut impl FnMut() -> Done,
) -> Done<(u64, Times)> {
    let (mut done, mut times) = (0, Times::default());
    while done < share && !stint.over() {
        if timed {
            let start = Instant::now();
            call()?;
            times.add(start.elapsed());
            done += 1;
        } else {
            let some = (share - done).min(64);
            for _ in 0..some {
                call()?;
            }
            done += some;
        }
    }
    Ok((done, times))
}
