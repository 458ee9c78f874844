//! The command line, run as its users run it: arguments in, lines and an exit status out.

#![allow(clippy::unwrap_used)]

#[path = "net/authority.rs"]
mod authority;
#[path = "cli/backups.rs"]
mod backups;
#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/core.rs"]
mod core;
#[path = "cli/exec.rs"]
mod exec;
#[path = "cli/hole.rs"]
mod hole;
#[path = "cli/messages.rs"]
mod messages;
#[path = "cli/passwords.rs"]
mod passwords;
#[path = "cli/replication.rs"]
mod replication;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/servers.rs"]
mod servers;
#[path = "cli/sessions.rs"]
mod sessions;
#[path = "cli/stopped.rs"]
mod stopped;
#[path = "cli/stores.rs"]
mod stores;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/tls.rs"]
mod tls;
