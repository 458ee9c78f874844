//! A snapshot that a server keeps. It is part of its connection: what another one would show is another moment.

use super::asker::Lost;
use super::store::{Line, Reply, odd, reply};
use crate::error::{Code, Error, Result};
use crate::queue::{Queue, Received};
use crate::wire::Request;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A snapshot at a server. Dropping it lets it go there.
pub struct RemoteSnapshot {
    line: Arc<Line>,
    /// The life of the connection it was taken in, and its number there.
    life: u64,
    number: u32,
}

impl RemoteSnapshot {
    /// Takes one.
    pub fn open(line: &Arc<Line>) -> Result<RemoteSnapshot> {
        let until = line.asker().until(Duration::ZERO);
        loop {
            let life = line.asker().life(until)?;
            let encode = |number: u32, out: &mut Vec<u8>| Request::Snapshot.encode(number, out);
            match line.asker().ask(Some(life), &encode, until) {
                Ok(raw) => {
                    let Reply::Numbered(number) = reply(&raw)? else { return Err(odd()) };
                    return Ok(RemoteSnapshot { line: line.clone(), life, number });
                }
                Err(lost) if line.asker().current_life() == life || Instant::now() >= until => {
                    return Err(lost.error());
                }
                // It went with its connection.
                Err(_) => line.asker().check()?,
            }
        }
    }

    /// Looks at a queue as it was.
    pub fn browse(&self, queue: Queue, from: u64, max: usize) -> Result<Vec<Received>> {
        let asker = self.line.asker();
        asker.check()?;
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let (snapshot, queue_number) = (self.number, queue.number());
        let request = Request::Look { snapshot, queue: queue_number, from, max };
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        let raw = asker.ask(Some(self.life), &encode, asker.until(Duration::ZERO));
        match reply(&raw.map_err(|lost| self.gone(lost))?)? {
            Reply::Messages(messages) => {
                Ok(messages.into_iter().map(|one| one.of_queue(queue)).collect())
            }
            _ => Err(odd()),
        }
    }

    fn gone(&self, lost: Lost) -> Error {
        let error = lost.error();
        if self.line.asker().current_life() == self.life || error.code() == Code::Closed {
            return error;
        }
        let text = format!("the snapshot went with its connection to {}", self.line.describe());
        Error::because(Code::Closed, text, &error)
    }
}

impl Drop for RemoteSnapshot {
    fn drop(&mut self) {
        let request = Request::GiveUp(self.number);
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        // A connection that is gone did it.
        let _ = self.line.asker().start(self.life, &encode, Box::new(|_| {}));
    }
}
