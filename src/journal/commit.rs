//! Group commit: many callers, one sync.
//!
//! Whoever needs durability leads: the leader hands everything appended so far to the files, syncs every file
//! touched since the last sync, in order, and wakes its group; who arrives meanwhile forms the next group and
//! leads it. In a crowd the leader first lets the just-released callers come back (it yields at most a quarter
//! of a sync and 100 microseconds); alone it syncs at once. There is no timer and no sync thread.
//!
//! Promises: when [`Journal::commit`] returns `Ok`, every byte before that transaction's end survives a power
//! cut. A write or a sync that fails poisons the journal: the kernel may have dropped the pages, and a second
//! sync would lie. What was handed to a file by then is of unknown outcome, what was not is lost.
//!
//! *attempted* is stored in the lock page before each sync, *done* after its success; the watermark frame that
//! says the same on disk is written behind the group, unsynced, once the group was woken.

use super::chain::Chain;
use super::key::veiled;
use super::receivers::Watcher;
use super::seal::Sealer;
use super::slot::{FRAMES_AT, Role};
use super::tail::{Appended, Part, Tail};
use super::times::{SyncTimes, Times};
use super::window::Reach;
use super::{Journal, Segment};
use crate::error::{Code, Error, Result};
use crate::sync::{
    AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, thread,
};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A closure that waits for durability.
pub type Waiter = Box<dyn FnOnce(Result<()>) + Send>;

/// Who hands bytes to the files; held while they are written, so that they go out in order.
pub struct Writer {
    pub chain: Chain,
    buffer: Vec<u8>,
    /// What is read back of what was stored.
    pub(super) back: Vec<u8>,
    /// A write failed: what came after it must not be written, and nothing is durable any more.
    failed: bool,
    sealer: Option<Sealer>,
}

impl Writer {
    pub fn new(chain: Chain, sealer: Option<Sealer>) -> Writer {
        Writer { chain, buffer: Vec::new(), back: Vec::new(), failed: false, sealer }
    }

    /// Folds the chain over frames that begin at `at` of a segment and, in an encrypted store, seals them.
    fn make_ready(&mut self, segment: &Segment, at: u64, frames: &mut [u8]) -> io::Result<()> {
        let Some(sealer) = &mut self.sealer else {
            self.chain.fold(frames);
            return Ok(());
        };
        sealer.seal(frames, at - FRAMES_AT + segment.first, &mut self.chain)
    }
}

/// What a flush takes to be synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    Nothing,
    /// The segments before the tail.
    Sealed,
    /// Everything: the group that is led.
    All,
}

/// What a group commit covers.
pub(super) struct Taken {
    end: u64,
    sequence: u64,
    group: u64,
    touched: Vec<Arc<Segment>>,
    unmarked: Option<Arc<Segment>>,
}

/// Where the durable horizon stands, and who waits for it.
pub struct Gate {
    pub(super) state: Mutex<State>,
    groups: [Condvar; 2],
    pub(super) moved: Condvar,
    durable: AtomicU64,
    /// How far others may see: journal offset and sequence.
    pub(super) shown: AtomicU64,
    pub(super) shown_sequence: AtomicU64,
    /// What had come to wait for the writer when it last handed all to the files; see `Tail::waits`.
    pub(super) flushed: AtomicU64,
    poisoned: AtomicBool,
    pub(super) receivers: AtomicUsize,
    arrived: AtomicUsize,
    waiting: AtomicUsize,
    syncs: AtomicU64,
    times: Times,
    pub(super) nudges: AtomicU64,
    pub(super) watched: AtomicUsize,
    pub(super) watchers: Mutex<BTreeMap<u64, Watcher>>,
}

pub(super) struct State {
    durable: u64,
    sequence: u64,
    leading: bool,
    /// How many wait for the leader's turn to end, without one of their own to wait for.
    resting: usize,
    pub(super) poisoned: Option<Error>,
    /// The group led last.
    led_group: u64,
    /// The newest group of which bytes may have reached a file.
    written_group: u64,
    last_group: usize,
    sync_time: Duration,
    /// Who waits for which offset, in the order of these, and the group that decides about its fate.
    waiters: VecDeque<(u64, u64, Waiter)>,
    /// Waiters whose wait is over; called when no turn is held.
    ended: Vec<(Waiter, Result<()>)>,
}

impl Gate {
    pub fn new(durable: u64, sequence: u64) -> Gate {
        Gate {
            state: Mutex::new(State {
                durable,
                sequence,
                leading: false,
                resting: 0,
                poisoned: None,
                led_group: 0,
                written_group: 0,
                last_group: 0,
                sync_time: Duration::from_micros(200),
                waiters: VecDeque::new(),
                ended: Vec::new(),
            }),
            groups: [Condvar::new(), Condvar::new()],
            moved: Condvar::new(),
            durable: AtomicU64::new(durable),
            shown: AtomicU64::new(durable),
            shown_sequence: AtomicU64::new(sequence),
            flushed: AtomicU64::new(0),
            poisoned: AtomicBool::new(false),
            receivers: AtomicUsize::new(0),
            arrived: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            syncs: AtomicU64::new(0),
            times: Times::default(),
            nudges: AtomicU64::new(0),
            watched: AtomicUsize::new(0),
            watchers: Mutex::new(BTreeMap::new()),
        }
    }
}

/// The leader's turn; given back when dropped, whatever happened.
struct Turn<'a>(&'a Gate);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.leading = false;
        let (next, rested) = ((state.led_group + 1) & 1, state.resting > 0);
        drop(state);
        self.0.groups[next as usize].notify_one();
        if rested {
            self.0.moved.notify_all();
        }
    }
}

impl Gate {
    /// Waits until nobody leads, or `over` says that this is not waited for any more.
    fn rest(&self, state: &mut MutexGuard<'_, State>, over: impl Fn(&State) -> bool) {
        state.resting += 1;
        while state.leading && !over(state) {
            self.moved.wait(state);
        }
        state.resting -= 1;
    }
}

impl Journal {
    /// Returns when the transaction is durable.
    pub fn commit(&self, at: &Appended) -> Result<()> {
        self.gate.arrived.fetch_add(1, Ordering::Relaxed);
        let mut state = self.gate.state.lock();
        loop {
            if state.durable >= at.end || sabotage!("confirmed before the sync") {
                // Woken to lead a group that needs no leader any more: somebody else of it may need one.
                if at.group > state.led_group && !state.leading {
                    self.gate.groups[(at.group & 1) as usize].notify_one();
                }
                return Ok(());
            }
            if let Some(poison) = &state.poisoned {
                return Err(self.lost(poison, at.fate(), state.written_group));
            }
            if state.leading {
                self.gate.groups[(at.group & 1) as usize].wait(&mut state);
                continue;
            }
            state.leading = true;
            self.lead(state);
            state = self.gate.state.lock();
        }
    }

    /// Makes everything appended so far durable. It is nobody's own transaction: where that fails the store is POISONED, and
    /// only who waits for what he appended hears that an outcome is unknown.
    pub fn commit_all(&self) -> Result<()> {
        self.confirm_all().map_err(|error| self.of_others(error))
    }

    /// The same for who asks what became of a transaction among them: that is unknown when this fails.
    pub fn confirm_all(&self) -> Result<()> {
        if self.is_looking() {
            // It appends nothing, and what it looks at is durable.
            return Ok(());
        }
        let at = {
            let tail = self.tail.lock();
            self.all_of(&tail)
        };
        self.commit(&at)
    }

    /// A failure to bring others' transactions to the disk, as it is told to who appended none.
    pub(super) fn of_others(&self, error: Error) -> Error {
        self.poisoned().err().unwrap_or(error)
    }

    /// Hands everything appended so far to the files, without a sync: the transaction survives `kill -9`.
    /// Where it was stored through the window, and all before it is in the files, nothing is left to do.
    ///
    /// Where a whole segment waits for its sync, and nobody works ahead, the sync is done here: what an open
    /// has to read must not grow with what was never synced.
    #[inline]
    pub fn publish(&self, at: &Appended) -> Result<()> {
        if at.reach == Reach::File && !self.gate.poisoned.load(Ordering::Acquire) {
            self.published(at);
            if self.gate.watched.load(Ordering::SeqCst) > 0 {
                self.call_ended();
            }
            return Ok(());
        }
        self.publish_written(at)
    }

    /// The same where it waits to be written.
    #[inline(never)]
    fn publish_written(&self, at: &Appended) -> Result<()> {
        let outcome = self.poisoned().and_then(|()| self.flush(Take::Nothing).map(|_| ()));
        self.call_ended();
        if outcome.is_err() {
            return self.outcome_of(at);
        }
        if self.sync_is_due() && !self.options.helper {
            return self.commit(at);
        }
        Ok(())
    }

    /// What became of a transaction, once the journal is poisoned.
    fn outcome_of(&self, at: &Appended) -> Result<()> {
        let state = self.gate.state.lock();
        match &state.poisoned {
            Some(poison) if state.durable < at.end => {
                Err(self.lost(poison, at.fate(), state.written_group))
            }
            _ => Ok(()),
        }
    }

    /// Whether a segment before the tail is not durable yet.
    pub(super) fn sync_is_due(&self) -> bool {
        self.durable_offset() < self.tail.lock().segment.first
    }

    /// Calls `waiter` once the transaction is durable, or with the error that makes it never so. It is called
    /// on the thread that leads the sync, or at once.
    pub fn when_durable(&self, at: &Appended, waiter: Waiter) {
        let mut state = self.gate.state.lock();
        if state.durable < at.end && state.poisoned.is_none() {
            let last = state.waiters.back().is_none_or(|(end, ..)| *end <= at.end);
            let place = match last {
                true => state.waiters.len(),
                false => state.waiters.partition_point(|(end, ..)| *end <= at.end),
            };
            state.waiters.insert(place, (at.end, at.fate(), waiter));
            self.gate.waiting.fetch_add(1, Ordering::Release);
            return;
        }
        drop(state);
        let outcome = self.outcome_of(at);
        waiter(outcome);
    }

    /// Closures that wait for durability.
    pub fn waiting(&self) -> usize {
        self.gate.waiting.load(Ordering::Acquire)
    }

    /// The durable horizon: journal offset and sequence of the last durable transaction.
    pub fn durable(&self) -> (u64, u64) {
        let state = self.gate.state.lock();
        (state.durable, state.sequence)
    }

    /// The durable horizon as a journal offset, without a lock.
    pub fn durable_offset(&self) -> u64 {
        self.gate.durable.load(Ordering::Acquire)
    }

    /// Syncs of records since the open.
    pub fn syncs(&self) -> u64 {
        self.gate.syncs.load(Ordering::Relaxed)
    }

    /// How long the syncs of records took since the open, each with all files it was over.
    pub fn sync_times(&self) -> SyncTimes {
        self.gate.times.read()
    }

    /// Fails when a write or a sync failed earlier.
    #[inline]
    pub fn poisoned(&self) -> Result<()> {
        if self.gate.poisoned.load(Ordering::Acquire) { self.look_poisoned() } else { Ok(()) }
    }

    #[cold]
    fn look_poisoned(&self) -> Result<()> {
        match &self.gate.state.lock().poisoned {
            None => Ok(()),
            Some(poison) => Err(self.lost(poison, u64::MAX, 0)),
        }
    }

    /// Lets everybody who waits or watches look again: something other than the horizon moved.
    pub fn announce(&self) {
        self.nudge();
        self.call_ended();
    }

    /// Calls the waiters whose wait is over, and the watchers; the caller holds no lock and no turn, so that
    /// they may do what they like.
    fn call_ended(&self) {
        let ended = std::mem::take(&mut self.gate.state.lock().ended);
        self.gate.waiting.fetch_sub(ended.len(), Ordering::AcqRel);
        for (waiter, outcome) in ended {
            waiter(outcome);
        }
        if self.gate.watched.load(Ordering::SeqCst) == 0 {
            return;
        }
        let calls: Vec<Watcher> = self.gate.watchers.lock().values().cloned().collect();
        for call in calls {
            call();
        }
    }

    pub(super) fn lost(&self, poison: &Error, group: u64, written: u64) -> Error {
        let store = self.disk.describe();
        if group <= written {
            let what = format!("the commit was handed to the disk of {store} and not confirmed");
            return Error::because(Code::OutcomeUnknown, what, poison);
        }
        Error::because(Code::Poisoned, format!("the store {store} must be opened anew"), poison)
    }

    /// Makes the segments before the tail durable, and leaves the tail alone: its pages are stored to.
    pub(super) fn commit_sealed(&self) -> Result<()> {
        let first = self.tail.lock().segment.first;
        let mut state = self.gate.state.lock();
        // Whoever leads syncs them as well.
        let over = |state: &State| state.durable >= first || state.poisoned.is_some();
        self.gate.rest(&mut state, over);
        if over(&state) {
            return Ok(());
        }
        state.leading = true;
        let crowd = state.last_group;
        drop(state);
        let turn = Turn(&self.gate);
        let outcome = self.flush(Take::Sealed).and_then(|taken| {
            self.sync_files(&taken, crowd)?;
            self.mark(&taken);
            Ok(())
        });
        drop(turn);
        self.call_ended();
        outcome
    }

    /// One group commit. `state` has `leading` set by the caller.
    fn lead(&self, state: MutexGuard<'_, State>) {
        let (crowd, sync_time) = (state.last_group, state.sync_time);
        drop(state);
        let turn = Turn(&self.gate);
        self.gather(crowd, sync_time);
        let released = self.gate.arrived.swap(0, Ordering::Relaxed);
        // A failure has poisoned the journal, and everybody who waits was woken with it.
        if let Ok(taken) = self.flush(Take::All)
            && self.sync_files(&taken, released).is_ok()
        {
            self.mark(&taken);
        }
        drop(turn);
        self.call_ended();
    }

    /// Lets the callers released by the last group come back, so that they share this sync.
    fn gather(&self, crowd: usize, sync_time: Duration) {
        if crowd < 2 {
            return;
        }
        let patience = (sync_time / 4).min(Duration::from_micros(100));
        let begun = Instant::now();
        while self.gate.arrived.load(Ordering::Relaxed) < crowd && begun.elapsed() < patience {
            thread::yield_now();
        }
    }

    /// Hands what gathered to the files, in order, and takes the files to be synced.
    pub(super) fn flush(&self, take: Take) -> Result<Taken> {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        if writer.failed {
            return Err(self.poisoned().err().unwrap_or_else(|| {
                Error::new(Code::Poisoned, format!("{} must be opened anew", self.disk.describe()))
            }));
        }
        let mut tail = self.tail.lock();
        let mut parts = std::mem::take(&mut tail.parts);
        let spare = std::mem::take(&mut writer.buffer);
        tail.close_block();
        if tail.stored_from < tail.pending_from {
            parts.push(Part::Stored(tail.segment.clone(), tail.stored_from, tail.pending_from));
        }
        let mut bytes = std::mem::replace(&mut tail.pending, spare);
        let (segment, at) = (tail.segment.clone(), tail.segment.at(tail.pending_from));
        (tail.pending_from, tail.stored_from) = (tail.end, tail.end);
        let (waits, all) = (tail.waits, self.all_of(&tail));
        let written = parts.iter().map(|part| match part {
            Part::Bytes(segment, ..) | Part::Stored(segment, ..) | Part::Slot(segment, _) => {
                segment
            }
        });
        let now: Vec<_> = written.chain((!bytes.is_empty()).then_some(&segment)).cloned().collect();
        touch(&mut tail, now);
        let lead = take == Take::All;
        let taken = taken(&mut tail, take);
        // What is appended from now on belongs to a later group or to later bytes of this one.
        let written = tail.taken + u64::from(!lead);
        drop(tail);
        {
            let mut state = self.gate.state.lock();
            if lead {
                state.led_group = taken.group;
            }
            if lead || !bytes.is_empty() || !parts.is_empty() {
                state.written_group = state.written_group.max(written);
            }
        }
        let outcome = self.write(writer, parts, &segment, at, &mut bytes);
        writer.buffer = bytes;
        writer.buffer.clear();
        writer.failed = outcome.is_err();
        if outcome.is_ok() {
            self.gate.flushed.store(waits, Ordering::Release);
            self.published(&all);
        }
        outcome.map(|()| taken).map_err(|error| {
            self.poison(&Error::io(format!("cannot write to {}", self.disk.describe()), &error))
        })
    }

    fn write(
        &self,
        writer: &mut Writer,
        parts: Vec<Part>,
        segment: &Segment,
        at: u64,
        bytes: &mut [u8],
    ) -> io::Result<()> {
        for part in parts {
            match part {
                Part::Bytes(segment, at, mut bytes) => {
                    writer.make_ready(&segment, at, &mut bytes)?;
                    segment.file.write_at(&bytes, at)?;
                }
                Part::Stored(segment, from, to) => writer.fold_stored(&segment, from, to)?,
                Part::Slot(segment, mut slot) => {
                    match slot.role {
                        Role::Begun => segment.chain.store(writer.chain.value(), Ordering::Relaxed),
                        _ => slot.chain_end = writer.chain.value(),
                    }
                    slot.chain = segment.chain.load(Ordering::Relaxed);
                    let slot = veiled(slot, self.keys.as_deref());
                    segment.file.write_at(&slot.encode(), slot.place())?;
                }
            }
        }
        if !bytes.is_empty() {
            writer.make_ready(segment, at, bytes)?;
            segment.file.write_at(bytes, at)?;
        }
        Ok(())
    }

    fn sync_files(&self, taken: &Taken, released: usize) -> Result<()> {
        let begun = Instant::now();
        if !sabotage!("attempted not stored") {
            self.lock.set_attempted(taken.end);
        }
        for segment in &taken.touched {
            self.gate.syncs.fetch_add(1, Ordering::Relaxed);
            if sabotage!("sync skipped") {
                continue;
            }
            if sabotage!("done before the sync") {
                self.lock.set_done(taken.end);
            }
            let synced = match segment.file.sync() {
                Err(_) if sabotage!("sync tried again") => segment.file.sync(),
                synced => synced,
            };
            synced.map_err(|error| {
                let name = super::file_name(segment.number);
                let what = format!("cannot sync {name} in {}", self.disk.describe());
                self.poison(&Error::io(what, &error))
            })?;
        }
        self.lock.set_done(taken.end);
        let took = begun.elapsed();
        self.gate.times.count(took);
        let mut state = self.gate.state.lock();
        state.sync_time = (state.sync_time * 7 + took) / 8;
        state.last_group = released;
        state.durable = taken.end;
        state.sequence = taken.sequence;
        self.gate.durable.store(taken.end, Ordering::Release);
        self.raise(taken.end, taken.sequence);
        let over = state.waiters.partition_point(|(end, ..)| *end <= taken.end);
        let State { waiters, ended, .. } = &mut *state;
        ended.extend(waiters.drain(..over).map(|(.., waiter)| (waiter, Ok(()))));
        drop(state);
        self.gate.groups[(taken.group & 1) as usize].notify_all();
        self.nudge();
        Ok(())
    }

    /// Says on disk, unsynced, how far the disk is sure.
    fn mark(&self, taken: &Taken) {
        let marked = {
            let mut tail = self.tail.lock();
            if tail.closed {
                return;
            }
            if let Some(segment) = &taken.unmarked {
                let slot = self.slot_of(segment, &tail, Role::Marked);
                tail.hand_over(Part::Slot(segment.clone(), slot));
            }
            tail.put_watermark(self.secret, taken.end, taken.sequence, 0)
                || taken.unmarked.is_some()
        };
        if marked {
            // A failure poisons the journal; the group that was just released is durable all the same.
            let _ = self.flush(Take::Nothing);
        }
    }

    /// Refuses everything from now on and wakes everybody with the reason.
    fn poison(&self, error: &Error) -> Error {
        if sabotage!("poison ignored") {
            return error.clone();
        }
        let mut state = self.gate.state.lock();
        let first = state.poisoned.get_or_insert_with(|| error.clone()).clone();
        self.gate.poisoned.store(true, Ordering::Release);
        let written = state.written_group;
        for (_, group, waiter) in std::mem::take(&mut state.waiters) {
            state.ended.push((waiter, Err(self.lost(&first, group, written))));
        }
        drop(state);
        for group in &self.gate.groups {
            group.notify_all();
        }
        self.gate.moved.notify_all();
        first
    }

    /// Waits until nobody leads or writes.
    pub(super) fn rest(&self) {
        let mut state = self.gate.state.lock();
        self.gate.rest(&mut state, |_| false);
        drop(state);
        drop(self.writer.lock());
    }
}

/// Notes files that hold bytes not yet synced, each once, in order.
fn touch(tail: &mut Tail, segments: Vec<Arc<Segment>>) {
    for segment in segments {
        if tail.touched.iter().all(|known| known.number != segment.number) {
            tail.touched.push(segment);
        }
    }
}

fn taken(tail: &mut Tail, take: Take) -> Taken {
    let mut taken = Taken {
        end: tail.end,
        sequence: tail.next - 1,
        group: tail.taken,
        touched: Vec::new(),
        unmarked: None,
    };
    if take == Take::Nothing {
        return taken;
    }
    taken.touched = std::mem::take(&mut tail.touched);
    taken.unmarked = tail.unmarked.take();
    if let (Take::Sealed, Some(slot)) = (take, &tail.segment.slot) {
        (taken.end, taken.sequence) = (tail.segment.first, slot.next - 1);
        let own = |segment: &Arc<Segment>| segment.number == tail.segment.number;
        tail.touched = taken.touched.extract_if(.., |segment| own(segment)).collect();
        return taken;
    }
    tail.taken += 1;
    taken.group = tail.taken;
    taken
}
