//! The calls of Speed.java as Rust.
//!
//! Usage: java_rate FOLDER       FOLDER is empty; prints `NAME NANOSECONDS`, for one message, a line

use std::hint::black_box;
use std::time::{Duration, Instant};

use repliq::{ConsumerOptions, Level, Message, Result, Store, StoreOptions};

const ROUNDS: usize = 200;
const BATCH: usize = 256;
const MESSAGES: usize = 256 * 200;

fn least(mut call: impl FnMut() -> Result<()>, messages: usize) -> Result<f64> {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        call()?;
        least = least.min(began.elapsed().as_nanos() as f64 / messages as f64);
    }
    Ok(least)
}

fn run(folder: &str) -> Result<()> {
    let store = Store::open(folder, &StoreOptions::default())?;
    let (queue, payload) = (store.queue("orders")?, [0; 100]);
    let mut session = store.session()?;
    let batch = [Message::new(black_box(&payload)); BATCH];
    let put = || {
        for _ in 0..4 * BATCH {
            session.put(black_box(queue), black_box(&batch[0]))?;
        }
        session.rollback()
    };
    println!("put {:.1}", least(put, 4 * BATCH)?);
    let put_many = || {
        for _ in 0..4 {
            session.put_many(black_box(queue), black_box(&batch))?;
        }
        session.rollback()
    };
    println!("put_many {:.1}", least(put_many, 4 * BATCH)?);
    for _ in 0..MESSAGES / BATCH {
        store.put_at(queue, &batch, Level::Process)?;
    }
    store.put(queue, &[])?;
    let reader = store.consumer("reader", queue, &ConsumerOptions::default())?;
    let mut best = f64::MAX;
    for _ in 0..5 {
        reader.seek(1)?;
        let (began, mut seen) = (Instant::now(), 0);
        while seen < MESSAGES {
            let received = reader.receive(BATCH, Duration::ZERO)?;
            seen += received.len();
            received.iter().for_each(|one| _ = black_box(one.payload().len()));
        }
        best = best.min(began.elapsed().as_nanos() as f64 / MESSAGES as f64);
    }
    println!("receive {best:.1}");
    store.close()
}

fn main() {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: java_rate FOLDER");
        std::process::exit(2);
    };
    if let Err(error) = run(&folder) {
        eprintln!("java_rate: {error}");
        std::process::exit(1);
    }
}
