//! A durable reader of one queue: what it was given, what came back, what it acknowledged.
//!
//! The acknowledgements are the store's state; a reader only remembers how far it has read and what was given
//! back to it. What was given out and not acknowledged comes again after a reopen, from the first message
//! that is not acknowledged on, in order.
//!
//! Promises: nothing is given out before it is durable; messages that came back are given out first, in
//! order; one reader of a name is open at a time; an acknowledged message is never given out again.
//! Relies on: the store's lock for the acknowledgements; its own lock is never held while that one is taken
//! for writing.

use super::{Received, visible};
use crate::error::{Code, Error, Result};
use crate::journal::{Cursor, Found, Type};
use crate::limits;
use crate::store::{Change, Commit, Core, Level, QueueState, Ranges, check_name, ranges_of};
use crate::sync::{AtomicBool, Mutex, Ordering};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a new consumer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// With the oldest message that is still there.
    #[default]
    Oldest,
    /// With the first message put after the consumer was made.
    Now,
    /// With this sequence.
    Sequence(u64),
}

/// An open consumer.
pub struct Reader {
    core: Arc<Core>,
    queue: u32,
    name: String,
    closed: AtomicBool,
    place: Mutex<Place>,
}

struct Place {
    cursor: Cursor,
    /// Read and not yet given out.
    ahead: VecDeque<Found>,
    /// Given back and waiting, with the number of times they were given out.
    back: BTreeMap<u64, u32>,
    /// Given out more than once.
    again: BTreeMap<u64, u32>,
    /// Passed over because they are gone; every acknowledgement takes them along until one was committed.
    gone: Ranges,
}

impl Reader {
    /// Opens the consumer of this name, which is made when there is none.
    pub fn open(core: &Arc<Core>, queue: u32, name: &str, from: From) -> Result<Reader> {
        check_name("consumer", name)?;
        core.journal().check_fork()?;
        let known = core.look(|state| {
            let of = state.queue(queue)?;
            Ok::<_, Error>((of.consumers.contains_key(name), of.next))
        })?;
        if !core.claim_reader(queue, name) {
            let text = format!("consumer {name:?} is open already in this process");
            return Err(Error::new(Code::Busy, text));
        }
        let reader = Reader {
            core: core.clone(),
            queue,
            name: name.to_string(),
            closed: AtomicBool::new(false),
            place: Mutex::new(Place::at(queue, 1)),
        };
        if !known.0 {
            let floor = match from {
                From::Oldest => 0,
                From::Now => known.1 - 1,
                From::Sequence(sequence) => sequence.saturating_sub(1).min(known.1 - 1),
            };
            core.change(Type::Consumer, queue, &Change::CreateConsumer(name.as_bytes(), floor))?;
        }
        let floor = core.look(|state| state.consumer(queue, name).map(Ranges::floor))?;
        *reader.place.lock() = Place::at(queue, floor + 1);
        Ok(reader)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of its queue.
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// The store it belongs to.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Gives out at most `max` messages, waiting at most `wait` for the first; none when the time is over.
    pub fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>> {
        self.wait_for(wait, |place| self.next(place, max))
    }

    /// Gives out the messages of the next transaction that has any, all of them. TOO_LARGE when these are more than
    /// memory should hold; they come by [`Reader::receive`] then.
    pub fn receive_job(&self, wait: Duration) -> Result<Vec<Received>> {
        self.wait_for(wait, |place| self.next_job(place))
    }

    fn wait_for(
        &self,
        wait: Duration,
        take: impl Fn(&mut Place) -> Result<Vec<Received>>,
    ) -> Result<Vec<Received>> {
        let deadline = Instant::now().checked_add(wait);
        let journal = self.core.journal();
        loop {
            journal.check_fork()?;
            let seen = journal.seen();
            self.check_open()?;
            self.check_flowing()?;
            let taken = take(&mut self.place.lock())?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(taken);
            }
            if seen.is_behind() {
                journal.commit_all()?;
            } else if !journal.wait_beyond(seen, left)? {
                return Ok(taken);
            }
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) || self.core.is_closed() {
            let text = format!("consumer {:?} is closed", self.name);
            return Err(Error::new(Code::Closed, text));
        }
        Ok(())
    }

    fn check_flowing(&self) -> Result<()> {
        self.core.look(|state| {
            let queue = state.queue(self.queue)?;
            state.consumer(self.queue, &self.name)?;
            if queue.paused {
                return Err(Error::new(Code::Paused, format!("queue {:?} is paused", queue.name)));
            }
            Ok(())
        })
    }

    fn next(&self, place: &mut Place, max: usize) -> Result<Vec<Received>> {
        let mut out = Vec::new();
        match self.fill(place, max.clamp(1, limits::RECEIVE_MESSAGES_MAX), &mut out) {
            // What was found is given out; the next call meets the error again.
            Err(_) if !out.is_empty() => Ok(out),
            outcome => outcome.map(|()| out),
        }
    }

    fn fill(&self, place: &mut Place, max: usize, out: &mut Vec<Received>) -> Result<()> {
        let (mut bytes, mut read) = (0, false);
        while out.len() < max && bytes < limits::RECEIVE_BYTES_MAX {
            let before = out.len();
            if !self.take_back(place, out)? {
                if place.ahead.is_empty() {
                    // Once a call, unless it brought nothing: what comes meanwhile is for the next one.
                    if (read && !out.is_empty()) || !self.read_ahead(place)? {
                        break;
                    }
                    read = true;
                }
                let count = place.ahead.len().min(max - out.len());
                let found: Vec<Found> = place.ahead.drain(..count).collect();
                self.give(place, found, out)?;
            }
            bytes += out[before..].iter().map(|one| one.stored().0.len()).sum::<usize>();
        }
        Ok(())
    }

    /// Reads on; false when there is nothing more.
    fn read_ahead(&self, place: &mut Place) -> Result<bool> {
        let journal = self.core.journal();
        let mut found = Vec::new();
        let bytes = limits::RECEIVE_BYTES_MAX;
        let horizon = if sabotage!("handed out before it is durable") {
            journal.appended()
        } else {
            journal.durable_offset()
        };
        journal.read(
            &mut place.cursor,
            horizon,
            limits::RECEIVE_MESSAGES_MAX,
            bytes,
            &mut found,
        )?;
        place.ahead.extend(found);
        Ok(!place.ahead.is_empty())
    }

    /// The first message that came back, if there is one.
    fn take_back(&self, place: &mut Place, out: &mut Vec<Received>) -> Result<bool> {
        let Some((sequence, count)) = place.back.first_key_value().map(|(s, c)| (*s, *c)) else {
            return Ok(false);
        };
        let mut found = Vec::new();
        let mut cursor = Cursor::new(self.queue, sequence);
        let horizon = self.core.journal().durable_offset();
        self.core.journal().read(&mut cursor, horizon, 1, 1, &mut found)?;
        place.back.remove(&sequence);
        place.again.insert(sequence, count);
        found.retain(|found| found.head.sequence == sequence);
        self.give(place, found, out)?;
        Ok(true)
    }

    fn next_job(&self, place: &mut Place) -> Result<Vec<Received>> {
        let mut job = self.next(place, 1)?;
        if let Err(error) = self.whole(place, &mut job) {
            // A part of a job is none.
            job.iter().for_each(|one| place.return_one(one));
            return Err(error);
        }
        Ok(job)
    }

    /// Adds the rest of the transaction of the first message.
    fn whole(&self, place: &mut Place, job: &mut Vec<Received>) -> Result<()> {
        let Some(transaction) = job.first().map(Received::transaction) else { return Ok(()) };
        let (mut bytes, mut counted) = (0, 0);
        loop {
            let sizes =
                job[counted..].iter().map(|one| one.stored().0.len() + limits::RECORD_BYTES);
            bytes += sizes.sum::<usize>();
            if bytes > limits::JOB_BYTES_MAX {
                return Err(self.too_large(transaction));
            }
            counted = job.len();
            let before = job.len();
            if self.take_back(place, job)? {
                if job.len() > before && job[before].transaction() != transaction {
                    place.return_one(&job.remove(before));
                    return Ok(());
                }
                continue;
            }
            if place.ahead.is_empty() && !self.read_ahead(place)? {
                return Ok(());
            }
            let same = place.ahead.iter().take_while(|one| one.head.transaction == transaction);
            let count = same.count();
            if count == 0 {
                return Ok(());
            }
            let found: Vec<Found> = place.ahead.drain(..count).collect();
            self.give(place, found, job)?;
        }
    }

    fn too_large(&self, transaction: u64) -> Error {
        let text = format!(
            "transaction {transaction} has more than {} bytes for consumer {:?}, too much for one job: receive its \
             messages in pieces",
            limits::JOB_BYTES_MAX,
            self.name
        );
        Error::new(Code::TooLarge, text).over(transaction, transaction)
    }

    /// Of what was read, what is to be given out.
    fn give(&self, place: &mut Place, found: Vec<Found>, out: &mut Vec<Received>) -> Result<()> {
        let now = self.core.journal().disk().now_ms();
        self.core.look(|state| {
            let queue = state.queue(self.queue)?;
            let acked = state.consumer(self.queue, &self.name)?;
            for found in found {
                let sequence = found.head.sequence;
                if acked.contains(sequence) {
                    place.again.remove(&sequence);
                } else if !visible(&found, queue, now) {
                    place.gone.insert(sequence, sequence);
                } else {
                    let count = place.again.get_mut(&sequence).map_or(1, |count| {
                        *count += 1;
                        *count
                    });
                    out.push(Received::new(found, count)?);
                }
            }
            Ok(())
        })
    }

    /// Takes messages back: they are given out again, before newer ones.
    pub fn put_back(&self, sequences: &[u64]) {
        let mut place = self.place.lock();
        let next = place.next();
        for sequence in sequences.iter().filter(|sequence| (1..next).contains(*sequence)) {
            let count = place.again.get(sequence).copied().unwrap_or(1);
            place.back.insert(*sequence, count);
        }
        drop(place);
        self.core.journal().announce();
    }

    /// Whether a receive may give something now. Fails as a receive would.
    pub fn is_ready(&self) -> Result<bool> {
        self.core.journal().check_fork()?;
        self.check_open()?;
        self.check_flowing()?;
        let mut place = self.place.lock();
        Ok(!place.back.is_empty() || !place.ahead.is_empty() || self.read_ahead(&mut place)?)
    }

    /// The change that acknowledges these messages, and what was passed over and not acknowledged yet. Nothing is
    /// forgotten before the change is applied, which the caller says with [`Reader::acknowledged`].
    pub fn acknowledge(&self, sequences: &[u64]) -> Result<(Type, u32, Vec<u8>)> {
        let mut place = self.place.lock();
        let (fragments, floor, gone) = self.core.look(|state| {
            let next = state.queue(self.queue)?.next;
            if let Some(bad) = sequences.iter().find(|sequence| !(1..next).contains(*sequence)) {
                let text = format!("there is no message {bad} to acknowledge: the next is {next}");
                return Err(Error::new(Code::Invalid, text));
            }
            let acked = state.consumer(self.queue, &self.name)?;
            Ok((acked.fragments(), acked.floor(), place.gone.beyond(acked)))
        })?;
        place.gone = gone;
        if fragments >= limits::ACK_RANGES_MAX && !sequences.contains(&(floor + 1)) {
            let text = format!(
                "consumer {:?} has {fragments} acknowledged ranges behind message {}, which it \
                 never acknowledged: acknowledge that one first",
                self.name,
                floor + 1
            );
            return Err(Error::new(Code::Quota, text));
        }
        let mut ranges = ranges_of(sequences);
        if place.gone.floor() > 0 {
            ranges.push((1, place.gone.floor()));
        }
        ranges.extend(place.gone.above());
        let body = Change::Ack(self.name.as_bytes(), ranges).encode();
        Ok((Type::Ack, self.queue, body))
    }

    /// What [`Reader::acknowledge`] made of these messages is applied: they do not come back.
    pub fn acknowledged(&self, sequences: &[u64]) {
        let mut place = self.place.lock();
        for sequence in sequences {
            place.again.remove(sequence);
            place.back.remove(sequence);
        }
    }

    /// Acknowledges messages as a transaction of its own.
    pub fn ack(&self, sequences: &[u64], level: Level) -> Result<Commit> {
        self.check_open()?;
        let change = self.acknowledge(sequences)?;
        let staged = self.core.transact(&[], &[change], level)?;
        self.acknowledged(sequences);
        self.core.finish(&staged)
    }

    /// Goes on with this sequence: everything before counts as acknowledged, nothing from it on.
    pub fn seek(&self, sequence: u64) -> Result<Commit> {
        self.check_open()?;
        let next = self.core.look(|state| state.queue(self.queue).map(|queue| queue.next))?;
        if sequence == 0 || sequence > next {
            let text =
                format!("cannot seek to message {sequence}: there are 1 to {next}, the next");
            return Err(Error::new(Code::Invalid, text));
        }
        let change = Change::MoveConsumer(self.name.as_bytes(), sequence - 1);
        let mut place = self.place.lock();
        let committed = self.core.change(Type::Consumer, self.queue, &change)?;
        *place = Place::at(self.queue, sequence);
        Ok(committed)
    }

    /// Ends the use; who waits in a receive is told.
    pub fn close(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.core.free_reader(self.queue, &self.name);
            self.core.journal().announce();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

impl Place {
    fn at(queue: u32, next: u64) -> Place {
        Place {
            cursor: Cursor::new(queue, next),
            ahead: VecDeque::new(),
            back: BTreeMap::new(),
            again: BTreeMap::new(),
            gone: Ranges::default(),
        }
    }

    /// The first sequence that was not given out yet.
    fn next(&self) -> u64 {
        self.ahead.front().map_or(self.cursor.next(), |found| found.head.sequence)
    }

    fn return_one(&mut self, one: &Received) {
        self.back.insert(one.sequence(), one.deliveries() - 1);
        self.again.insert(one.sequence(), one.deliveries() - 1);
    }
}

/// Whether every consumer has acknowledged a message; a queue without consumers keeps all.
pub fn consumed(queue: &QueueState, sequence: u64) -> bool {
    !queue.consumers.is_empty() && queue.consumers.values().all(|acked| acked.contains(sequence))
}
