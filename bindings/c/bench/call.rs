//! The calls of call.c as Rust: what they cost without the C ABI.
//!
//! Usage: call FOLDER       FOLDER is empty; prints `NAME NANOSECONDS` a line

use std::hint::black_box;
use std::time::Instant;

use repliq::{Message, Port, Result, Session, Store, StoreOptions};

const ROUNDS: usize = 300;
const CALLS: u32 = 1000;

fn measure(
    name: &str,
    session: &mut Session,
    mut call: impl FnMut(&mut Session) -> Result<()>,
) -> Result<()> {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..CALLS {
            call(session)?;
        }
        least = least.min(began.elapsed().as_nanos() as f64 / f64::from(CALLS));
        session.rollback()?;
    }
    println!("{name} {least:.1}");
    Ok(())
}

fn run(folder: &str) -> Result<()> {
    let store = Store::open(folder, &StoreOptions::default())?;
    let queue = store.queue("orders")?;
    let (mut session, port) = (store.session()?, Port::open()?);
    let payload = [0; 100];
    measure("session_put", &mut session, |session| {
        session.put_many(black_box(queue), &[Message::new(black_box(&payload))])
    })?;
    measure("store_queue", &mut session, |_| store.queue(black_box("orders")).map(drop))?;
    measure("port_fd", &mut session, |_| port.fd().map(|fd| _ = black_box(fd)))?;
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
