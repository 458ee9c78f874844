//! `repliq get --exec`: a shell command for each message, whose exit status says whether it was taken.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use repliq::{Code, Consumer, Received};

use super::fail::{Done, Fail};
use super::output::base64;

/// Messages one call asks for.
const BATCH: usize = 100;

/// What runs for each message, and what happens when it fails.
#[derive(clap::Args, Debug)]
pub struct Exec {
    /// Run this command through `sh -c` for each message, with the payload on its stdin, and
    /// REPLIQ_QUEUE, REPLIQ_SEQUENCE, REPLIQ_TRANSACTION, REPLIQ_KIND, REPLIQ_KEY, REPLIQ_DELIVERIES in its
    /// environment; exit status 0 acknowledges
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["browse", "json", "format"])]
    exec: Option<String>,
    /// How often a message comes again whose command failed, before this one fails, too
    #[arg(long, value_name = "N", requires = "exec", default_value_t = 3)]
    retries: u32,
    /// How long to wait before it comes again
    #[arg(long, value_name = "SECONDS", requires = "exec", default_value_t = 1.0)]
    pause: f64,
}

impl Exec {
    /// Whether there is a command.
    pub fn is_asked_for(&self) -> bool {
        self.exec.is_some()
    }

    /// Runs the command for each message until the queue is empty, `max` is reached or nothing came for `wait`.
    pub fn take(&self, consumer: &Consumer, queue: &str, max: Option<u64>, wait: Duration) -> Done {
        let Some(command) = &self.exec else { return Ok(()) };
        let pause = Duration::try_from_secs_f64(self.pause).map_err(|error| {
            Fail::new(Code::Invalid, format!("cannot pause {} seconds: {error}", self.pause))
        })?;
        let mut left = max.unwrap_or(u64::MAX);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BATCH).min(BATCH);
            let start = Instant::now();
            let messages = consumer.receive(most, wait)?;
            if messages.is_empty() && start.elapsed() >= wait {
                break;
            }
            for message in &messages {
                self.try_out(command, queue, message, pause)?;
                consumer.ack(&[message.sequence()])?;
            }
            left -= messages.len() as u64;
        }
        Ok(())
    }

    /// Runs the command for a message until it ends well, or too often did not. Nothing overtakes the message.
    fn try_out(&self, command: &str, queue: &str, message: &Received, pause: Duration) -> Done {
        let mut tries = 0;
        loop {
            let deliveries = message.deliveries().saturating_add(tries);
            let status = run(command, queue, message, deliveries)
                .map_err(|error| Fail::io(format!("cannot run {command:?}"), &error))?;
            if status.success() {
                return Ok(());
            }
            tries += 1;
            if tries > self.retries {
                let text = format!(
                    "{command:?} did not take message {} of {queue}: {status}, {tries} times; it comes again",
                    message.sequence(),
                );
                return Err(Fail::new(Code::Target, text));
            }
            std::thread::sleep(pause);
        }
    }
}

/// Runs the command once. One that ends without having read everything may still have taken the message.
fn run(command: &str, queue: &str, message: &Received, deliveries: u32) -> io::Result<ExitStatus> {
    let mut child = Command::new("sh");
    child
        .arg("-c")
        .arg(command)
        .env("REPLIQ_QUEUE", queue)
        .env("REPLIQ_SEQUENCE", message.sequence().to_string())
        .env("REPLIQ_TRANSACTION", message.transaction().to_string())
        .env("REPLIQ_KIND", message.kind().to_string())
        .env("REPLIQ_DELIVERIES", deliveries.to_string())
        .env_remove("REPLIQ_KEY")
        .env_remove("REPLIQ_KEY_BASE64")
        .stdin(Stdio::piped());
    let (name, key) = variable(message.key());
    let mut child = child.env(name, key).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(message.payload()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                // Nobody knows what it got: it is not left running with half a message.
                drop(input);
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
            _ => {}
        }
    }
    child.wait()
}

/// A key as a variable: no environment can hold a zero byte, and few scripts bytes that are no text.
fn variable(key: &[u8]) -> (&'static str, OsString) {
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains('\0') => ("REPLIQ_KEY", OsStr::from_bytes(key).to_os_string()),
        _ => ("REPLIQ_KEY_BASE64", base64(key).into()),
    }
}
