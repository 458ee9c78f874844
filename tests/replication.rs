//! Replication over pipes in memory: the two sides of a stream on model disks, driven by one thread, with every
//! cut, crash and copy chosen from a seed.

#![allow(clippy::unwrap_used)]

#[path = "checker/mod.rs"]
mod checker;
#[path = "replication/fuzz.rs"]
mod fuzz;
#[path = "replication/handshake.rs"]
mod handshake;
#[path = "replication/histories.rs"]
mod histories;
#[path = "replication/large.rs"]
mod large;
#[path = "replication/network.rs"]
mod network;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "replication/simulation.rs"]
mod simulation;
#[path = "replication/skip.rs"]
mod skip;
#[path = "replication/streams.rs"]
mod streams;
#[allow(dead_code)] // tests/engine.rs uses the rest.
#[path = "replication/world.rs"]
mod world;

/// The stores here are plain; `tests/encryption.rs` runs streams and handshakes on encrypted twins.
fn password() -> Option<repliq::Password> {
    None
}
