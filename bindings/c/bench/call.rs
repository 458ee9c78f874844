//! The calls of call.c as Rust: what they cost without the C ABI.
//!
//! Usage: call FOLDER       FOLDER is empty; prints `NAME NANOSECONDS` a line

use std::hint::black_box;
use std::time::Instant;

use repliq::{Message, Port, Queue, Result, Session, Store, StoreOptions};

const ROUNDS: usize = 300;
const CALLS: u32 = 1000;

fn measure(session: &mut Session, mut call: impl FnMut(&mut Session) -> Result<()>) -> Result<f64> {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..CALLS {
            call(session)?;
        }
        least = least.min(began.elapsed().as_nanos() as f64 / f64::from(CALLS));
        session.rollback()?;
    }
    Ok(least)
}

fn puts(session: &mut Session, queue: Queue) -> Result<f64> {
    let payload = [0; 100];
    measure(session, |session| {
        session.put_many(black_box(queue), &[Message::new(black_box(&payload))])
    })
}

fn two(store: &Store, queue: Queue) -> Result<f64> {
    let one = || puts(&mut store.session()?, queue);
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(one);
        (one(), other.join().unwrap_or(Ok(0.0)))
    });
    Ok((first? + second?) / 2.0)
}

fn run(folder: &str) -> Result<()> {
    let store = Store::open(folder, &StoreOptions::default())?;
    let queue = store.queue("orders")?;
    let (mut session, port) = (store.session()?, Port::open()?);
    println!("session_put {:.1}", puts(&mut session, queue)?);
    let find = |_: &mut Session| store.queue(black_box("orders")).map(drop);
    println!("store_queue {:.1}", measure(&mut session, find)?);
    let look = |_: &mut Session| port.fd().map(|fd| _ = black_box(fd));
    println!("port_fd {:.1}", measure(&mut session, look)?);
    println!("two_puts {:.1}", two(&store, queue)?);
    store.close()
}

fn main() {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: call FOLDER");
        std::process::exit(2);
    };
    if let Err(error) = run(&folder) {
        eprintln!("call: {error}");
        std::process::exit(1);
    }
}
