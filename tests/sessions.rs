//! Transacted sessions: the rows of the scenarios under their numbers, and what stands behind them.

#![allow(clippy::unwrap_used)]

#[path = "sessions/identity.rs"]
mod identity;
#[path = "sessions/place.rs"]
mod place;
#[path = "sessions/remote.rs"]
mod remote;
#[path = "sessions/rows.rs"]
mod rows;
