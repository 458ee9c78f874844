//! Signals: SIGINT and SIGTERM end a command in order, SIGHUP asks a server to read its files again.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{self, SignalKind};

use super::fail::{Done, Fail};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT or SIGTERM.
    End,
    /// SIGHUP.
    Reload,
}

/// Catches the signals from when it is opened.
pub struct Signals {
    runtime: Runtime,
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    /// Begins to catch.
    pub fn open() -> Done<Signals> {
        let failed = |error: std::io::Error| Fail::io("cannot catch signals", &error);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let inside = runtime.enter();
        let interrupt = unix::signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = unix::signal(SignalKind::terminate()).map_err(failed)?;
        let hangup = unix::signal(SignalKind::hangup()).map_err(failed)?;
        drop(inside);
        Ok(Signals { runtime, interrupt, terminate, hangup })
    }

    /// The next one, or `None` when the time is over.
    pub fn wait(&mut self, at_most: Duration) -> Option<Asked> {
        let (interrupt, terminate, hangup) =
            (&mut self.interrupt, &mut self.terminate, &mut self.hangup);
        let asked = poll_fn(|context| {
            // All are asked, so that each wakes this.
            let end = [interrupt.poll_recv(context), terminate.poll_recv(context)];
            let reload = hangup.poll_recv(context);
            match (end.iter().any(Poll::is_ready), reload.is_ready()) {
                (true, _) => Poll::Ready(Asked::End),
                (false, true) => Poll::Ready(Asked::Reload),
                (false, false) => Poll::Pending,
            }
        });
        self.runtime.block_on(async { tokio::time::timeout(at_most, asked).await.ok() })
    }
}
