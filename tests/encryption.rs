//! Encryption at rest: an encrypted store behaves like a plain one, and its directory tells nothing.
//!
//! | file | owns |
//! |---|---|
//! | `key` | passwords, the file `key`, `passwd` under crashes and damage |
//! | `tamper` | bytes changed on purpose, moved, swapped and played again |
//! | `nonce` | no pair of key and nonce seals two texts, whatever kills and power cuts do |
//! | `canary` | what goes in is found nowhere: files, texts, memory |
//! | `twin` | the same work on a plain store and on an encrypted one |
//! | `decoder` | the descriptions of the bytes are enough to read a store from |
//! | `engine/…`, `replication/…` | the tiers of plain stores, run on encrypted ones |

#![allow(clippy::unwrap_used)]

#[path = "engine/backup.rs"]
mod backup;
#[path = "encryption/bytes.rs"]
mod bytes;
#[path = "encryption/canary.rs"]
mod canary;
#[path = "engine/chance.rs"]
mod chance;
#[path = "engine/crash.rs"]
mod crash;
#[path = "engine/damage.rs"]
mod damage;
#[path = "encryption/decoder.rs"]
mod decoder;
#[path = "engine/evacuate.rs"]
mod evacuate;
#[path = "engine/fault.rs"]
mod fault;
#[path = "replication/handshake.rs"]
mod handshake;
#[path = "encryption/key.rs"]
mod key;
#[path = "engine/lives.rs"]
mod lives;
#[path = "engine/model.rs"]
mod model;
#[path = "encryption/nonce.rs"]
mod nonce;
#[path = "engine/oracle.rs"]
mod oracle;
#[path = "engine/rare.rs"]
mod rare;
#[path = "engine/repair.rs"]
mod repair;
#[path = "engine/runs.rs"]
mod runs;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "engine/shipped.rs"]
mod shipped;
#[path = "engine/staged.rs"]
mod staged;
#[path = "replication/streams.rs"]
mod streams;
#[path = "encryption/tamper.rs"]
mod tamper;
#[path = "encryption/twin.rs"]
mod twin;
#[path = "engine/work.rs"]
mod work;
#[allow(dead_code)] // What only the simulation of replication needs.
#[path = "replication/world.rs"]
mod world;

use repliq::disk::model::ModelDisk;
use repliq::{Cost, Message, Password, Queue, Result, Store, StoreOptions};
use std::sync::{Arc, OnceLock};

/// The level of commits that do not name one.
const LEVEL: repliq::Level = repliq::Level::Power;
/// Of the many cases of the plain tiers, one in so many is run here.
const SAMPLE: usize = 7;
/// Blocks need more room than bare frames, where the work must fit into so many segments.
const SEGMENT: u64 = 8192;

/// The password of the stores here: one value, so that its key is derived once.
fn password() -> Option<Password> {
    static PASSWORD: OnceLock<Password> = OnceLock::new();
    Some(PASSWORD.get_or_init(|| other("the right one")).clone())
}

/// Another password, as cheap as is allowed.
fn other(text: &str) -> Password {
    Password::from(text).at_cost(Cost::LEAST)
}

/// Options of a small store without a helper.
fn small(password: Option<Password>) -> StoreOptions {
    StoreOptions {
        password,
        segment_bytes: 4096,
        segment_bytes_max: 4096,
        helper: false,
        ..StoreOptions::default()
    }
}

fn open(disk: &ModelDisk, password: Option<Password>) -> Result<Store> {
    Store::open_on(Arc::new(disk.clone()), &small(password))
}

/// All payloads of a queue that can be seen.
fn payloads(store: &Store, queue: Queue) -> Result<Vec<Vec<u8>>> {
    let (mut found, snapshot) = (Vec::new(), store.snapshot()?);
    let mut next = 1;
    loop {
        let batch = snapshot.browse(queue, next, 7)?;
        let Some(last) = batch.last() else { return Ok(found) };
        next = last.sequence() + 1;
        found.extend(batch.iter().map(|message| message.payload().to_vec()));
    }
}

/// Puts a few messages, so that there are several segments and a state run.
fn fill(store: &Store, messages: usize) -> Queue {
    let queue = store.queue("orders").unwrap();
    for n in 0..messages {
        store.put(queue, &[Message::new(text(n).as_bytes())]).unwrap();
    }
    queue
}

fn text(n: usize) -> String {
    format!("message number {n} {}", "x".repeat(n * 37 % 300))
}
