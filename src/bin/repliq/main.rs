//! The command line: `repliq VERB STORE …`, one file a noun.
//!
//! Every verb is a few calls of the library and the printing of what they returned; no decision of the library
//! lives here. Results go to stdout, progress and errors to stderr, and the exit status is the number of the
//! code (`docs/CLI.md`), so that a script branches on what a program branches on.

mod backup;
mod bench;
mod config;
mod conn;
mod consumer;
mod copied;
mod exec;
mod export;
mod fail;
mod feed;
mod format;
mod get;
mod http;
mod input;
mod logging;
mod manual;
mod metrics;
mod notify;
mod option;
mod output;
mod passwd;
mod place;
mod progress;
mod put;
mod queue;
mod replicate;
mod secret;
mod serve;
mod session;
mod signal;
mod status;
mod target;
mod token;
mod transaction;
mod user;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use repliq::Code;

/// Persistent queues that replicate: one journal a store, every message once, in order, whatever crashes.
///
/// STORE is a directory, or the URL of a live server: repliq://user@host:port, repliq+unix:///path.
/// The exit status is the number of the error, 0 for success; docs/CLI.md has the table.
#[derive(Parser)]
#[command(name = "repliq", version, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Put(put::Put),
    Get(get::Get),
    #[command(subcommand)]
    Queue(queue::Queue),
    #[command(subcommand)]
    Consumer(consumer::Consumer),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Session(session::Session),
    #[command(subcommand, name = "tx")]
    Transaction(transaction::Transaction),
    Status(status::Status),
    Verify(verify::Verify),
    Passwd(passwd::Passwd),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Repair(backup::Repair),
    Export(export::Export),
    Import(export::Import),
    Claim(copied::Claim),
    Fork(copied::Fork),
    Serve(serve::Serve),
    Replicate(replicate::Replicate),
    #[command(subcommand)]
    Target(target::Target),
    #[command(subcommand)]
    User(user::User),
    #[command(subcommand)]
    Conn(conn::Conn),
    #[command(subcommand)]
    Config(config::Config),
    Bench(bench::Bench),
    Completions(manual::Completions),
    Manual(manual::Manual),
}

fn run(verb: Verb) -> fail::Done {
    match verb {
        Verb::Put(verb) => verb.run(),
        Verb::Get(verb) => verb.run(),
        Verb::Queue(verb) => verb.run(),
        Verb::Consumer(verb) => verb.run(),
        Verb::Token(verb) => verb.run(),
        Verb::Session(verb) => verb.run(),
        Verb::Transaction(verb) => verb.run(),
        Verb::Status(verb) => verb.run(),
        Verb::Verify(verb) => verb.run(),
        Verb::Passwd(verb) => verb.run(),
        Verb::Backup(verb) => verb.run(),
        Verb::Restore(verb) => verb.run(),
        Verb::Repair(verb) => verb.run(),
        Verb::Export(verb) => verb.run(),
        Verb::Import(verb) => verb.run(),
        Verb::Claim(verb) => verb.run(),
        Verb::Fork(verb) => verb.run(),
        Verb::Serve(verb) => verb.run(),
        Verb::Replicate(verb) => verb.run(),
        Verb::Target(verb) => verb.run(),
        Verb::User(verb) => verb.run(),
        Verb::Conn(verb) => verb.run(),
        Verb::Config(verb) => verb.run(),
        Verb::Bench(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
        Verb::Manual(verb) => verb.run(),
    }
}

fn main() -> ExitCode {
    // Keys, passwords and messages must not end in a core. A kernel that refuses is no reason to stop.
    repliq::disk::keep_memory_private();
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(text) => {
            // Help and version are asked for and go to stdout; the rest is a bad argument.
            let wanted = !text.use_stderr();
            let printed = text.print().is_ok();
            return if wanted && printed { ExitCode::SUCCESS } else { fail::status(Code::Invalid) };
        }
    };
    match run(line.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => fail.report(),
    }
}
