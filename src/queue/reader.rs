//! A durable reader of one queue: what it was given, what came back, what it acknowledged.
//!
//! The acknowledgements are the store's state; a reader is a handle on what the readers of its name share, see `feed`.
//! What was given out and not acknowledged comes again after a reopen, from the first message that is not acknowledged
//! on.
//!
//! Promises: one reader of a name is open at a time, unless it is opened to be shared; what one acknowledges it was
//! given, where messages have leases, and nobody else was given it since.

use super::Received;
use super::feed::{Feed, Return};
use super::rules::Rules;
use crate::error::{Code, Error, Result};
use crate::journal::{Appended, Type};
use crate::store::{
    Change, Commit, Core, Level, QueueState, Shared, Staged, check_name, ranges_of,
};
use crate::sync::{AtomicBool, Ordering};
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
    feed: Arc<Feed>,
    /// Tells its leases from those of other readers.
    owner: u64,
    closed: AtomicBool,
}

/// Who is at work for a consumer in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtWork {
    /// How often it is open.
    pub workers: usize,
    /// Messages that somebody has a lease on; `None` where there are no leases.
    pub out: Option<usize>,
    /// How long a lease lasts, in milliseconds; 0 for ever.
    pub lease_ms: u64,
}

impl AtWork {
    /// Those of this consumer.
    pub fn of(core: &Core, queue: u32, name: &str) -> AtWork {
        let Some((shared, workers)) = core.open_readers(queue, name) else {
            return AtWork::default();
        };
        let Some(feed) = shared.downcast_ref::<Feed>() else {
            return AtWork { workers, ..AtWork::default() };
        };
        // A consumer that was deleted meanwhile has nothing out.
        let out = feed.with(|place| Ok(place.leases.out())).unwrap_or(0);
        AtWork { workers, out: feed.is_leased().then_some(out), lease_ms: feed.rules.lease_ms }
    }
}

impl Reader {
    /// Opens the consumer of this name, which is made when there is none.
    pub fn open(
        core: &Arc<Core>,
        queue: u32,
        name: &str,
        from: From,
        rules: Rules,
    ) -> Result<Reader> {
        check_name("consumer", name)?;
        rules.check()?;
        core.journal().check_fork()?;
        core.look(|state| {
            state.queue(queue)?;
            rules.dead_letters.map_or(Ok(()), |dead| state.queue(dead.number()).map(|_| ()))
        })?;
        let fresh: Shared = Arc::new(Feed::new(core, queue, name, rules));
        let join = |shared: &Shared| {
            let theirs = shared.downcast_ref::<Feed>().map(|feed| feed.rules);
            may_join(name, theirs.unwrap_or_default(), rules)
        };
        let shared = core.join_readers(queue, name, fresh, join)?;
        let Ok(feed) = shared.downcast::<Feed>() else {
            return Err(Error::new(Code::Panic, "the open readers of a name share something else"));
        };
        let owner = feed.join();
        let reader = Reader { feed, owner, closed: AtomicBool::new(false) };
        reader.feed.begin(|| reader.create(from))?;
        Ok(reader)
    }

    /// Makes the consumer where there is none.
    fn create(&self, from: From) -> Result<()> {
        let (core, name) = (&self.feed.core, self.name());
        let known = core.look(|state| {
            let of = state.queue(self.queue())?;
            Ok::<_, Error>((of.consumers.contains_key(name), of.next))
        })?;
        if known.0 {
            return Ok(());
        }
        let floor = match from {
            From::Oldest => 0,
            From::Now => known.1 - 1,
            From::Sequence(sequence) => sequence.saturating_sub(1).min(known.1 - 1),
        };
        let change = Change::CreateConsumer(name.as_bytes(), floor);
        core.change(Type::Consumer, self.queue(), &change).map(|_| ())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.feed.name
    }

    /// Number of its queue.
    pub fn queue(&self) -> u32 {
        self.feed.queue
    }

    /// The store it belongs to.
    pub fn core(&self) -> &Arc<Core> {
        &self.feed.core
    }

    /// Gives out at most `max` messages, waiting at most `wait` for the first; none when the time is over.
    pub fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>> {
        self.wait_for(wait, || self.feed.receive(self.owner, max, false))
    }

    /// Gives out the messages of the next transaction that has any, all of them. TOO_LARGE when these are more than
    /// memory should hold; they come by [`Reader::receive`] then.
    pub fn receive_job(&self, wait: Duration) -> Result<Vec<Received>> {
        self.wait_for(wait, || self.feed.receive(self.owner, 1, true))
    }

    fn wait_for(
        &self,
        wait: Duration,
        take: impl Fn() -> Result<Vec<Received>>,
    ) -> Result<Vec<Received>> {
        let deadline = Instant::now().checked_add(wait);
        let journal = self.core().journal();
        loop {
            journal.check_fork()?;
            let seen = journal.seen();
            self.check_open()?;
            self.check_flowing()?;
            let taken = take()?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(taken);
            }
            if seen.is_behind() && self.feed.waits_for_horizon() {
                journal.show_all()?;
            } else {
                journal.wait_beyond(seen, self.feed.nap(left))?;
            }
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) || self.core().is_closed() {
            let text = format!("consumer {:?} is closed", self.name());
            return Err(Error::new(Code::Closed, text));
        }
        Ok(())
    }

    fn check_flowing(&self) -> Result<()> {
        self.core().look(|state| {
            let queue = state.queue(self.queue())?;
            state.consumer(self.queue(), self.name())?;
            if queue.paused {
                return Err(Error::new(Code::Paused, format!("queue {:?} is paused", queue.name)));
            }
            Ok(())
        })
    }

    /// Takes messages back: they are given out again, before newer ones, when the rules say so.
    pub fn put_back(&self, sequences: &[u64]) {
        self.feed.put_back(self.owner, sequences, Return::because("rolled back"));
    }

    /// The same as `how` says. STALE for one that it does not have any more; the others come back all the same.
    pub fn reject(&self, sequences: &[u64], how: Return<'_>) -> Result<()> {
        self.check_open()?;
        if how.to_end && self.feed.rules.conflate {
            let text = format!(
                "consumer {:?} conflates: what it gives back is replaced by what is newer, and does not go to the end",
                self.name()
            );
            return Err(Error::new(Code::Invalid, text));
        }
        match self.feed.put_back(self.owner, sequences, how) {
            Some(lost) => Err(self.stale(lost)),
            None => Ok(()),
        }
    }

    /// Has messages for another while of the lease. STALE for one whose time was over.
    pub fn renew(&self, sequences: &[u64]) -> Result<()> {
        self.check_open()?;
        if self.feed.rules.lease_ms == 0 {
            let text = format!(
                "consumer {:?} was opened without lease_ms: nothing it has is given to others",
                self.name()
            );
            return Err(Error::new(Code::Invalid, text));
        }
        match self.feed.renew(self.owner, sequences)? {
            Some(lost) => Err(self.stale(lost)),
            None => Ok(()),
        }
    }

    fn stale(&self, sequence: u64) -> Error {
        let text = format!(
            "message {sequence} is not leased to this handle of consumer {:?}: it was never given out here, or its time \
             was over and somebody else has it",
            self.name()
        );
        Error::new(Code::Stale, text).over(sequence, sequence)
    }

    /// The time as the store has it, in milliseconds since 1970 UTC.
    pub fn now_ms(&self) -> u64 {
        self.feed.now_ms()
    }

    /// Whether a receive may give something now. Fails as a receive would.
    pub fn is_ready(&self) -> Result<bool> {
        self.core().journal().check_fork()?;
        self.check_open()?;
        self.check_flowing()?;
        self.feed.is_ready()
    }

    /// Whether the horizon keeps back what it waits for.
    pub fn waits_for_horizon(&self) -> bool {
        self.feed.waits_for_horizon()
    }

    /// When a message may come by itself, because a time is over.
    pub fn next_time(&self) -> Option<Instant> {
        let nap = self.feed.nap(Duration::MAX);
        (nap < Duration::MAX).then(|| Instant::now() + nap)
    }

    /// The changes that acknowledge these messages, and what was passed over and not acknowledged yet. Nothing is
    /// forgotten before the change is applied, which the caller says with [`Reader::settled`], and until that or
    /// [`Reader::unsettled`] nobody else is given them.
    ///
    /// Fails with STALE where a message has a lease and it is not this reader's.
    pub fn acknowledge(&self, sequences: &[u64]) -> Result<Vec<(Type, u32, Vec<u8>)>> {
        self.noted(sequences, true)
    }

    /// The same for these messages alone, of a transaction that is prepared: [`Reader::held`] says that it was appended.
    pub fn hold(&self, sequences: &[u64]) -> Result<Vec<(Type, u32, Vec<u8>)>> {
        self.noted(sequences, false)
    }

    fn noted(&self, sequences: &[u64], with_gone: bool) -> Result<Vec<(Type, u32, Vec<u8>)>> {
        self.feed.with(|place| {
            let (fragments, gone) = self.core().look(|state| {
                let next = state.queue(self.queue())?.next;
                if let Some(bad) = sequences.iter().find(|sequence| !(1..next).contains(*sequence))
                {
                    let text =
                        format!("there is no message {bad} to acknowledge: the next is {next}");
                    return Err(Error::new(Code::Invalid, text));
                }
                let acked = state.consumer(self.queue(), self.name())?;
                Ok(((acked.fragments(), acked.floor()), place.gone.beyond(acked)))
            })?;
            place.gone = gone;
            self.feed.check_fragments(fragments, sequences)?;
            let processed = self.feed.process(place, sequences, !with_gone)?;
            let mut ranges = ranges_of(sequences);
            if self.feed.is_leased() {
                let lost = place.leases.missing(self.owner, &ranges);
                if let Some(lost) = lost.filter(|_| !sabotage!("stale lease accepted")) {
                    return Err(self.stale(lost));
                }
                place.leases.settle(&ranges, true);
            }
            if with_gone {
                if place.gone.floor() > 0 {
                    ranges.push((1, place.gone.floor()));
                }
                ranges.extend(place.gone.above());
            }
            let mut changes = processed;
            changes.extend(self.feed.go_on(place, sequences));
            let ack = Change::Ack(self.name().as_bytes(), ranges).encode();
            changes.push((Type::Ack, self.queue(), ack));
            Ok(changes)
        })
    }

    /// The acknowledgement was appended: its messages need nobody any more once it is durable.
    pub fn settled(&self, sequences: &[u64], appended: Option<&Appended>) {
        let leased = self.feed.is_leased();
        let end = appended.map_or_else(|| self.core().journal().appended(), |at| at.end);
        // A consumer that was deleted meanwhile waits for nothing.
        let _ = self.feed.with(|place| {
            place.end(sequences);
            if leased {
                place.leases.end(&ranges_of(sequences), end);
            }
            Ok(())
        });
        if leased {
            // Who waits may have looked between the append and this.
            self.core().journal().announce();
        }
    }

    /// A prepared transaction holds the messages: they are this reader's no more.
    pub fn held(&self, sequences: &[u64]) {
        self.feed.hold(self.owner, sequences);
    }

    /// The acknowledgement was not appended.
    pub fn unsettled(&self, sequences: &[u64]) {
        if self.feed.is_leased() {
            let _ = self.feed.with(|place| {
                place.leases.settle(&ranges_of(sequences), false);
                Ok(())
            });
        }
    }

    /// Acknowledges messages as a transaction of its own.
    pub fn ack(&self, sequences: &[u64], level: Level) -> Result<Commit> {
        let staged = self.ack_staged(sequences, level)?;
        self.core().finish(&staged)
    }

    /// The same up to the wait for the level.
    pub fn ack_staged(&self, sequences: &[u64], level: Level) -> Result<Staged> {
        self.check_open()?;
        let changes = self.acknowledge(sequences)?;
        let staged = self.core().transact(&[], &changes, level);
        match &staged {
            Ok(staged) => self.settled(sequences, staged.appended.as_ref()),
            Err(_) => self.unsettled(sequences),
        }
        staged
    }

    /// Goes on with this sequence: everything before counts as acknowledged, nothing from it on. What other readers of
    /// the name have is theirs no more.
    pub fn seek(&self, sequence: u64) -> Result<Commit> {
        self.check_open()?;
        let next = self.core().look(|state| state.queue(self.queue()).map(|queue| queue.next))?;
        if sequence == 0 || sequence > next {
            let text =
                format!("cannot seek to message {sequence}: there are 1 to {next}, the next");
            return Err(Error::new(Code::Invalid, text));
        }
        let change = Change::MoveConsumer(self.name().as_bytes(), sequence - 1);
        self.feed.restart(|| self.core().change(Type::Consumer, self.queue(), &change))
    }

    /// Ends the use; who waits in a receive is told, and what it has comes to other readers of the name.
    pub fn close(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.feed.leave(self.owner);
            self.core().leave_readers(self.queue(), self.name());
            self.core().journal().announce();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

/// Whether a reader with these rules may join those that are open.
fn may_join(name: &str, theirs: Rules, ours: Rules) -> Result<()> {
    if !theirs.shared || !ours.shared {
        let text = format!("consumer {name:?} is open already in this process");
        return Err(Error::new(Code::Busy, text));
    }
    if theirs != ours {
        let text = format!(
            "consumer {name:?} is open already with other options: those who share one open it with the same"
        );
        return Err(Error::new(Code::Invalid, text));
    }
    Ok(())
}

/// Whether every consumer has acknowledged a message; a queue without consumers keeps all.
pub fn consumed(queue: &QueueState, sequence: u64) -> bool {
    !queue.consumers.is_empty() && queue.consumers.values().all(|acked| acked.contains(sequence))
}
