//! Where a token's transaction can be waited for.

use super::port::{Port, Started};
use crate::error::{Code, Error, Result};
use crate::journal::Cursor;
use crate::position::{Answer, Token};
use crate::queue::Reader;
use crate::store::{Commit, Core, Level, Watch};
use crate::sync::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A place a transaction can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Applied and durable in this store.
    Here,
    /// Acknowledged by the consumer of this name, on every queue that has one.
    Consumer(String),
    /// Stored durably at a target, or at all of them (`*`).
    Target(String),
}

impl Place {
    fn parse(core: &Core, at: &str) -> Result<Place> {
        match at.split_once(':') {
            None if at.is_empty() => Ok(Place::Here),
            Some(("consumer", name)) => {
                let known = core.look(|state| {
                    state.queues().any(|(_, queue)| queue.consumers.contains_key(name))
                });
                if known {
                    return Ok(Place::Consumer(name.to_string()));
                }
                let text = format!("{} has no consumer {name:?}", core.describe());
                Err(Error::new(Code::NoSuchName, text))
            }
            Some(("target", name)) => {
                core.check_target(name)?;
                Ok(Place::Target(name.to_string()))
            }
            Some(("sink" | "replicas", _)) => {
                let text = format!("waiting at {at:?} is not built in yet");
                Err(Error::new(Code::Unsupported, text))
            }
            _ => {
                let text =
                    format!("{at:?} is no place to wait at: \"\", target:NAME, consumer:NAME");
                Err(Error::new(Code::Invalid, text))
            }
        }
    }

    /// Whether the transaction is there.
    fn reached(&self, core: &Core, token: &Token) -> Result<bool> {
        let name = |what: &str| format!("the transaction of token {token} {what}");
        match core.answer(token) {
            Answer::Applied => {}
            Answer::Wait => return Ok(false),
            Answer::Empty => return Err(Error::new(Code::Empty, name("wrote nothing"))),
            Answer::NotFound => return Err(Error::new(Code::NotFound, name("is lost"))),
            Answer::WrongGroup => {
                let text = name(&format!("belongs to another group than {}", core.describe()));
                return Err(Error::new(Code::WrongGroup, text));
            }
        }
        let sequence = token.position().sequence;
        match self {
            Place::Here => Ok(true),
            Place::Consumer(consumer) => handled(core, consumer, sequence),
            Place::Target(target) => core.confirmed(target, sequence),
        }
    }
}

/// Whether a consumer has acknowledged everything a transaction put into its queues.
fn handled(core: &Core, consumer: &str, transaction: u64) -> Result<bool> {
    let queues: Vec<(u32, u64)> = core.look(|state| {
        let of = state.queues();
        let all = of.filter_map(|(n, queue)| Some((n, queue.consumers.get(consumer)?.floor())));
        all.collect()
    });
    let horizon = core.journal().durable_offset();
    for (queue, floor) in queues {
        let mut cursor = Cursor::new(queue, floor + 1);
        loop {
            let mut found = Vec::new();
            core.journal().read(&mut cursor, horizon, 4096, 1 << 20, &mut found)?;
            let Some(last) = found.last() else { break };
            let past = last.head.transaction > transaction;
            let waiting = core.look(|state| {
                let Ok(acked) = state.consumer(queue, consumer) else { return false };
                let of = found.iter().filter(|one| one.head.transaction == transaction);
                of.map(|one| one.head.sequence).any(|sequence| !acked.contains(sequence))
            });
            if waiting {
                return Ok(false);
            }
            if past {
                break;
            }
        }
    }
    Ok(true)
}

/// Waits until all tokens are there.
pub fn wait(core: &Arc<Core>, at: &str, tokens: &[Token], timeout: Duration) -> Result<()> {
    core.check_open()?;
    let place = Place::parse(core, at)?;
    let deadline = Instant::now().checked_add(timeout);
    for token in tokens {
        loop {
            core.check_open()?;
            let seen = core.journal().seen();
            if place.reached(core, token)? {
                break;
            }
            let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            if left.is_zero() {
                return Err(late(token, at));
            }
            if seen.is_behind() {
                core.journal().commit_all()?;
            } else if !core.journal().wait_beyond(seen, left)? {
                return Err(late(token, at));
            }
        }
    }
    Ok(())
}

fn late(token: &Token, at: &str) -> Error {
    let place = if at.is_empty() { "here" } else { at };
    let text =
        format!("the transaction of token {token} has not reached {place} in the time given");
    Error::new(Code::Timeout, text)
}

/// What a wait on a port looks at: `None` while it goes on.
type Look = Box<dyn Fn() -> Option<Result<Commit>> + Send + Sync>;

/// A wait that ends on a port.
struct Waiting {
    look: Look,
    started: Mutex<Option<Started>>,
    watch: Mutex<Option<Watch>>,
}

impl Waiting {
    /// Looks whether it is over.
    fn look(&self) {
        let Some(outcome) = (self.look)() else { return };
        let started = self.started.lock().take();
        if let Some(started) = started {
            started.end(outcome);
        }
        let watch = self.watch.lock().take();
        drop(watch);
    }
}

/// Looks now, and whenever something moved.
fn begin(core: &Arc<Core>, look: Look, started: Started) {
    let started = Mutex::new(Some(started));
    let waiting = Arc::new(Waiting { look, started, watch: Mutex::new(None) });
    let theirs = waiting.clone();
    let watch = core.watch(Arc::new(move || theirs.look()));
    *waiting.watch.lock() = Some(watch);
    waiting.look();
}

/// Ends on a port once a reader has something to give out, or fails.
pub fn watch_reader(core: &Arc<Core>, reader: &Arc<Reader>, port: &Port, tag: u64) -> Result<()> {
    core.check_open()?;
    let started = port.start(core, tag)?;
    let (of, reader) = (Arc::downgrade(core), Arc::downgrade(reader));
    let empty = Commit { token: Token::empty(core.look(|s| s.group_id())), level: Level::Process };
    let ready = move || {
        let Some((core, reader)) = of.upgrade().zip(reader.upgrade()) else {
            let text = "the consumer was dropped while it was watched";
            return Some(Err(Error::new(Code::Closed, text)));
        };
        match reader.is_ready() {
            Ok(false) => {
                if let Some(at) = reader.next_time() {
                    core.wake_at(at);
                }
                None
            }
            Ok(true) => Some(Ok(empty)),
            Err(error) => Some(Err(error)),
        }
    };
    begin(core, Box::new(ready), started);
    Ok(())
}

/// Ends on a port once all tokens are there.
pub fn watch(core: &Arc<Core>, at: &str, tokens: &[Token], port: &Port, tag: u64) -> Result<()> {
    core.check_open()?;
    if tokens.is_empty() {
        return Err(Error::new(Code::Invalid, "no token was given to wait for"));
    }
    let place = Place::parse(core, at)?;
    let started = port.start(core, tag)?;
    let (of, tokens) = (Arc::downgrade(core), tokens.to_vec());
    let there = move || {
        let core = of.upgrade()?;
        let last = *tokens.last()?;
        let outcome = core.check_open().and_then(|()| {
            for token in &tokens {
                if !place.reached(&core, token)? {
                    return Ok(None);
                }
            }
            Ok(Some(Commit { token: last, level: Level::Power }))
        });
        outcome.transpose()
    };
    begin(core, Box::new(there), started);
    Ok(())
}
