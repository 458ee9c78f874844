//! Where a token's transaction can be waited for.
//!
//! Promises: who waits for a consumer reads each message of its queues once at most, however often it is woken: what a
//! transaction has put there is remembered, and whether it is acknowledged is told by the state.

use super::port::{Port, Started};
use crate::error::{Code, Error, Result};
use crate::journal::Cursor;
use crate::position::{Answer, Token};
use crate::queue::Reader;
use crate::store::{Commit, Core, Level, Watch};
use crate::sync::Mutex;
use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A place a transaction can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Applied in this store, and durable unless its horizon is another.
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
                if readers(core, name).is_empty() {
                    return Err(no_consumer(core, name));
                }
                Ok(Place::Consumer(name.to_string()))
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

    /// Whether the transaction is there; what was found out on the way stays in `seen`.
    fn reached(&self, core: &Core, token: &Token, seen: &mut Seen) -> Result<bool> {
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
            Place::Consumer(consumer) => seen.handled(core, consumer, sequence),
            Place::Target(target) => core.confirmed(target, sequence),
        }
    }
}

/// The queues that have a consumer of this name, and up to where it has acknowledged each.
fn readers(core: &Core, consumer: &str) -> Vec<(u32, u64)> {
    core.look(|state| {
        let of = state.queues();
        let all = of.filter_map(|(n, queue)| Some((n, queue.consumers.get(consumer)?.floor())));
        all.collect()
    })
}

fn no_consumer(core: &Core, name: &str) -> Error {
    Error::new(Code::NoSuchName, format!("{} has no consumer {name:?}", core.describe()))
}

/// What a wait knows of the messages of one transaction, by queue.
#[derive(Default)]
struct Seen(HashMap<u32, Put>);

/// What a transaction put into a queue.
enum Put {
    /// It is looked for from here on.
    Sought(Cursor),
    /// Its messages have these sequences.
    Here(RangeInclusive<u64>),
    /// Nothing, or nothing that the consumer has to acknowledge.
    Nothing,
}

/// Messages that one read takes: few first, since what is waited for is often the next.
const READS: [usize; 4] = [1, 16, 256, 4_096];
/// Bytes that one read takes.
const READ_BYTES: usize = 1 << 20;

impl Seen {
    /// Whether a consumer has acknowledged everything a transaction put into its queues.
    fn handled(&mut self, core: &Core, consumer: &str, transaction: u64) -> Result<bool> {
        let queues = readers(core, consumer);
        if queues.is_empty() {
            // It was deleted meanwhile.
            return Err(no_consumer(core, consumer));
        }
        for (queue, floor) in queues {
            let put = self.0.entry(queue);
            let put = put.or_insert_with(|| Put::Sought(Cursor::new(queue, floor + 1)));
            if let Put::Sought(cursor) = put {
                *put = find(core, cursor, transaction)?;
            }
            let Put::Here(sequences) = put else { continue };
            let waiting = core.look(|state| {
                let Ok(acked) = state.consumer(queue, consumer) else { return false };
                let (floor, last) = (acked.floor(), *sequences.end());
                floor < last && sequences.clone().any(|sequence| !acked.contains(sequence))
            });
            if waiting {
                return Ok(false);
            }
            *put = Put::Nothing;
        }
        Ok(true)
    }
}

/// Reads on until the messages of a transaction are found, or what is behind them.
fn find(core: &Core, cursor: &mut Cursor, transaction: u64) -> Result<Put> {
    let horizon = core.journal().shown_offset();
    let mut reads = READS.iter().copied().chain(std::iter::repeat(READS[READS.len() - 1]));
    let mut range: Option<RangeInclusive<u64>> = None;
    loop {
        let mut found = Vec::new();
        let most = reads.next().unwrap_or(1);
        core.journal().read(cursor, horizon, most, READ_BYTES, &mut found)?;
        let of = found.iter().filter(|one| one.head.transaction == transaction);
        for sequence in of.map(|one| one.head.sequence) {
            let first = range.as_ref().map_or(sequence, |range| *range.start());
            range = Some(first..=sequence);
        }
        // The transaction is durable, so that nothing of it comes behind what is there now.
        if found.last().is_none_or(|last| last.head.transaction > transaction) {
            return Ok(range.map_or(Put::Nothing, Put::Here));
        }
    }
}

/// A wait for transactions at a place, which is looked at again and again.
pub struct Waited {
    at: String,
    place: Place,
    /// Those that are not there yet, the first of them first.
    tokens: VecDeque<(Token, Seen)>,
}

impl Waited {
    /// Fails with INVALID or NO_SUCH_NAME for a place that is none.
    pub fn new(core: &Core, at: &str, tokens: &[Token]) -> Result<Waited> {
        let place = Place::parse(core, at)?;
        let tokens = tokens.iter().map(|token| (*token, Seen::default())).collect();
        Ok(Waited { at: at.into(), place, tokens })
    }

    /// Whether all of them are there.
    pub fn reached(&mut self, core: &Core) -> Result<bool> {
        core.check_open()?;
        while let Some((token, seen)) = self.tokens.front_mut() {
            if !self.place.reached(core, token, seen)? {
                return Ok(false);
            }
            self.tokens.pop_front();
        }
        Ok(true)
    }

    /// What is said when the time is over.
    pub fn late(&self) -> Error {
        let place = if self.at.is_empty() { "here" } else { &self.at };
        let token = self.tokens.front().map(|(token, _)| token.to_string()).unwrap_or_default();
        let text =
            format!("the transaction of token {token} has not reached {place} in the time given");
        Error::new(Code::Timeout, text)
    }
}

/// Waits until all tokens are there.
pub fn wait(core: &Arc<Core>, at: &str, tokens: &[Token], timeout: Duration) -> Result<()> {
    core.check_open()?;
    let mut waited = Waited::new(core, at, tokens)?;
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let seen = core.journal().seen();
        if waited.reached(core)? {
            return Ok(());
        }
        let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
        if left.is_zero() {
            return Err(waited.late());
        }
        if seen.is_behind() {
            core.journal().show_all()?;
        } else if !core.journal().wait_beyond(seen, left)? {
            return Err(waited.late());
        }
    }
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
                if core.journal().seen().is_behind() && reader.waits_for_horizon() {
                    // Nobody else may see to it that it may be seen.
                    core.lead_soon();
                }
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
    let last = tokens[tokens.len() - 1];
    let waited = Mutex::new(Waited::new(core, at, tokens)?);
    let started = port.start(core, tag)?;
    let of = Arc::downgrade(core);
    let there = move || {
        let core = of.upgrade()?;
        let outcome = waited.lock().reached(&core);
        let done = || Commit { token: last, level: Level::Power };
        outcome.map(|there| there.then(done)).transpose()
    };
    begin(core, Box::new(there), started);
    Ok(())
}
