//! Calls into an open session as Rust: what Speed.java and speed.py are compared with, in turn with theirs.
//!
//! Usage: rate FOLDER       FOLDER is empty; for each line `NAME BATCHES` on the standard input, where the name is `put`,
//! `put_many` or `receive`, it calls for so many times 256 messages and prints the nanoseconds that a message took

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use repliq::{
    Consumer, ConsumerOptions, Level, Message, Queue, Result, Session, Store, StoreOptions,
};

const BATCH: usize = 256;
/// What lies in the queue to be received.
const BATCHES: usize = 200;

fn put(session: &mut Session, queue: Queue, batches: usize, many: bool) -> Result<f64> {
    let payload = [0; 100];
    let batch = [Message::new(black_box(&payload)); BATCH];
    let began = Instant::now();
    for _ in 0..batches {
        if many {
            session.put_many(black_box(queue), black_box(&batch))?;
        } else {
            for _ in 0..BATCH {
                session.put(black_box(queue), black_box(&batch[0]))?;
            }
        }
    }
    let took = began.elapsed();
    session.rollback()?;
    Ok(took.as_nanos() as f64 / (batches * BATCH) as f64)
}

fn receive(reader: &Consumer, batches: usize) -> Result<f64> {
    reader.seek(1)?;
    let (began, mut seen) = (Instant::now(), 0);
    while seen < batches * BATCH {
        let received = reader.receive(BATCH, Duration::ZERO)?;
        seen += received.len();
        received.iter().for_each(|one| _ = black_box(one.payload().len()));
    }
    Ok(began.elapsed().as_nanos() as f64 / seen as f64)
}

fn run(folder: &str) -> Result<()> {
    let store = Store::open(folder, &StoreOptions::default())?;
    let queue = store.queue("orders")?;
    for _ in 0..BATCHES {
        store.put_at(queue, &[Message::new(&[0; 100]); BATCH], Level::Process)?;
    }
    store.put(queue, &[])?;
    let mut session = store.session()?;
    let reader = store.consumer("reader", queue, &ConsumerOptions::default())?;
    for line in std::io::stdin().lines().map_while(|line| line.ok()) {
        let Some((name, Ok(batches))) =
            line.split_once(' ').map(|(name, count)| (name, count.parse::<usize>()))
        else {
            break;
        };
        let taken = match name {
            "put" => put(&mut session, queue, batches, false)?,
            "put_many" => put(&mut session, queue, batches, true)?,
            "receive" => receive(&reader, batches.min(BATCHES))?,
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
        eprintln!("usage: rate FOLDER");
        std::process::exit(2);
    };
    if let Err(error) = run(&folder) {
        eprintln!("rate: {error}");
        std::process::exit(1);
    }
}
