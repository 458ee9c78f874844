//! Transacted sessions: the rows of the scenarios under their numbers, and what stands behind them.

#![allow(clippy::unwrap_used, unsafe_code)]

#[cfg(feature = "capi")]
#[path = "sessions/busy.rs"]
mod busy;
#[path = "sessions/identity.rs"]
mod identity;
#[path = "sessions/limits.rs"]
mod limits;
#[path = "sessions/place.rs"]
mod place;
#[path = "sessions/prepared.rs"]
mod prepared;
#[path = "sessions/pressure.rs"]
mod pressure;
#[path = "sessions/process.rs"]
mod process;
#[path = "sessions/redrive.rs"]
mod redrive;
#[path = "sessions/remote.rs"]
mod remote;
#[path = "sessions/rows.rs"]
mod rows;
#[path = "sessions/snapshots.rs"]
mod snapshots;
#[path = "sessions/waits.rs"]
mod waits;
#[path = "sessions/workers.rs"]
mod workers;
