//! raft-engine at the durability of our `power` commit, measured and printed as `repliq bench commit` prints.
//!
//! Usage: peer-raft-engine --dir D [--size N] [--count N] [--threads N]
//!
//! One raft group a thread, no compression, one entry a write, `sync` on: the setting its own documentation gives
//! for a log that must survive a power cut.

use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use protobuf::well_known_types::Any;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

#[derive(Clone)]
struct Entries;

/// An entry is its index in eight bytes, then the payload.
impl MessageExt for Entries {
    type Entry = Any;

    fn index(entry: &Any) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&entry.value[..8]);
        u64::from_le_bytes(bytes)
    }
}

struct Options {
    dir: String,
    size: usize,
    count: u64,
    threads: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options { dir: String::new(), size: 100, count: 10_000, threads: 1 };
    let mut words = env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or(format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--dir" => options.dir = value,
            "--size" => options.size = number()? as usize,
            "--count" => options.count = number()?,
            "--threads" => options.threads = number()?.max(1),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    if options.dir.is_empty() { Err("--dir is missing".into()) } else { Ok(options) }
}

fn write(engine: &Engine, group: u64, size: usize, count: u64, first: u64) -> Histogram<u64> {
    let mut times =
        Histogram::new_with_max(60_000_000_000, 3).expect("three digits are a valid precision");
    let mut batch = LogBatch::default();
    for index in first..first + count {
        let mut value = index.to_le_bytes().to_vec();
        value.resize(8.max(size), b'x');
        let entry = Any { value, ..Any::default() };
        let start = Instant::now();
        batch.add_entries::<Entries>(group, &[entry]).expect("an entry of this size is accepted");
        engine.write(&mut batch, true).expect("the log is writable");
        times.saturating_record(start.elapsed().as_nanos() as u64);
    }
    times
}

fn run(options: &Options) -> Result<(), String> {
    let config = Config {
        dir: options.dir.clone(),
        batch_compression_threshold: ReadableSize(0),
        ..Config::default()
    };
    let engine = Engine::open(config).map_err(|error| format!("cannot open: {error}"))?;
    let share = options.count / options.threads;
    let warm = (share / 10).clamp(1, 200);
    for group in 1..=options.threads {
        write(&engine, group, options.size, warm, 1);
    }
    let done = AtomicU64::new(0);
    let start = Instant::now();
    let mut times =
        Histogram::<u64>::new_with_max(60_000_000_000, 3).map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=options.threads)
            .map(|group| {
                let (engine, done) = (&engine, &done);
                scope.spawn(move || {
                    let times = write(engine, group, options.size, share, warm + 1);
                    done.fetch_add(share, Ordering::Relaxed);
                    times
                })
            })
            .collect();
        for writer in writers {
            let part = writer.join().map_err(|_| "a writer failed".to_string())?;
            times.add(part).map_err(|error| error.to_string())?;
        }
        Ok::<(), String>(())
    })?;
    let seconds = start.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
    let us = |share: f64| times.value_at_quantile(share) as f64 / 1e3;
    println!(
        "{{\"name\":\"peer-raft-engine\",\"size_bytes\":{},\"threads\":{},\"durability\":\"power\",\
         \"messages\":{},\"seconds\":{seconds:.6},\"rate_per_s\":{:.1},\"p50_us\":{:.1},\
         \"p99_us\":{:.1},\"p9999_us\":{:.1}}}",
        options.size,
        options.threads,
        done.load(Ordering::Relaxed),
        done.load(Ordering::Relaxed) as f64 / seconds,
        us(0.5),
        us(0.99),
        us(0.9999),
    );
    Ok(())
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("peer-raft-engine: {text}");
            ExitCode::FAILURE
        }
    }
}
