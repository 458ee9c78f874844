//! Running a server: its options, its signals, what it says of itself, and what an administrator can do to it.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)] // tests/net.rs uses the rest.
#[path = "net/authority.rs"]
mod authority;
#[path = "serve/child.rs"]
mod child;
#[path = "serve/config.rs"]
mod config;
#[path = "serve/installed.rs"]
mod installed;
#[path = "serve/logs.rs"]
mod logs;
mod mangle;
#[path = "serve/mangled.rs"]
mod mangled;
#[path = "serve/metrics.rs"]
mod metrics;
#[path = "serve/options.rs"]
mod options;
#[path = "serve/orders.rs"]
mod orders;
#[path = "serve/poison.rs"]
mod poison;
#[allow(dead_code)] // It has more than this tier needs.
#[path = "cli/run.rs"]
mod run;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "serve/signals.rs"]
mod signals;
#[path = "serve/space.rs"]
mod space;
