//! The C ABI: what `include/repliq.h` declares, and nothing else.
//!
//! The doc comments of the exported functions and structs are the text of the header, so they speak to readers
//! of C. A function checks its arguments, calls the library and stores the answer; no decision lives here.
//!
//! Promises: nothing a caller passes as a handle is ever an address, so a stale, foreign or twice closed one is
//! an error and never a crash ([`handle`]); nothing unwinds into the caller ([`boundary`]); outputs are written
//! on success only. Relies on: pointers that are no handles being readable or writable as the header says.
//!
//! The one room beside `disk` with `unsafe`: each block stands for what the header asks of the caller.

#![allow(unsafe_code)]
#![allow(non_camel_case_types)]
#![expect(clippy::missing_safety_doc, reason = "the doc comments are the C header")]

mod argument;
mod boundary;
mod consumer;
mod error;
mod handle;
mod listener;
mod message;
mod port;
mod queue;
mod replication;
mod server;
mod session;
mod snapshot;
mod store;
mod token;
mod transaction;
mod types;

pub use consumer::*;
pub use error::*;
pub use listener::*;
pub use port::*;
pub use queue::*;
pub use replication::*;
pub use server::*;
pub use session::*;
pub use snapshot::*;
pub use store::*;
pub use token::*;
pub use transaction::*;
pub use types::*;
