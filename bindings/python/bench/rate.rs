//! The calls of speed.py as Rust, in turn with those of Python.
//!
//! Usage: python_rate FOLDER       FOLDER is empty; for each line on the standard input, `put_many` or `receive`,
//! it prints the nanoseconds that a message took

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use repliq::{
    Consumer, ConsumerOptions, Level, Message, Queue, Result, Session, Store, StoreOptions,
};

const BATCH: usize = 256;
const PUTS: usize = 40;
const MESSAGES: usize = 256 * 200;

fn put_many(session: &mut Session, queue: Queue) -> Result<f64> {
    let payload = [0; 100];
    let batch = [Message::new(black_box(&payload)); BATCH];
    let began = Instant::now();
    for _ in 0..PUTS {
        session.put_many(black_box(queue), black_box(&batch))?;
    }
    let took = began.elapsed();
    session.rollback()?;
    Ok(took.as_nanos() as f64 / (PUTS * BATCH) as f64)
}

fn receive(reader: &Consumer) -> Result<f64> {
    reader.seek(1)?;
    let (began, mut seen) = (Instant::now(), 0);
    while seen < MESSAGES {
        let received = reader.receive(BATCH, Duration::ZERO)?;
        seen += received.len();
        received.iter().for_each(|one| _ = black_box(one.payload().len()));
    }
    Ok(began.elapsed().as_nanos() as f64 / MESSAGES as f64)
}

fn run(folder: &str) -> Result<()> {
    let store = Store::open(folder, &StoreOptions::default())?;
    let queue = store.queue("orders")?;
    for _ in 0..MESSAGES / BATCH {
        store.put_at(queue, &[Message::new(&[0; 100]); BATCH], Level::Process)?;
    }
    store.put(queue, &[])?;
    let mut session = store.session()?;
    let reader = store.consumer("reader", queue, &ConsumerOptions::default())?;
    for line in std::io::stdin().lines() {
        let taken = match line.as_deref() {
            Ok("put_many") => put_many(&mut session, queue)?,
            Ok("receive") => receive(&reader)?,
            _ => break,
        };
        println!("{taken:.1}");
        _ = std::io::stdout().flush();
    }
    drop((session, reader));
    store.close()
}

fn main() {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: python_rate FOLDER");
        std::process::exit(2);
    };
    if let Err(error) = run(&folder) {
        eprintln!("python_rate: {error}");
        std::process::exit(1);
    }
}
