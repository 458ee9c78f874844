//! What the open readers of one consumer share: how far was read, what waits, what is out.
//!
//! An exclusive reader of a queue without priorities is given messages as they are read, in order. Everything else goes
//! through [`Lanes`]: what has a time, came back, has a key, or a priority, or is older than something with a priority.
//! Where readers share a consumer, or ask for keys, each message that is out has a lease.
//!
//! How often a message was given out is noted in the journal before it is given out: for readers that share, have keys
//! or a bound on deliveries from the first time on, else from the second. The note is handed to the files, so that it
//! survives the end of the process, and from the second time on it is synced, so that a message that takes the machine
//! down with it is counted, too.
//!
//! Promises: nothing is given out before it is durable; what is acknowledged is never given out again; what came back
//! comes before newer messages of its lane.
//! Relies on: the store's lock for the acknowledgements; the lock of a feed comes before it.

use super::Received;
use super::giving::{Judgement, front_of};
use super::kept::Kept;
use super::lanes::{Lanes, Same, Waiting};
use super::lease::Leases;
use super::rules::Rules;
use crate::error::{Code, Error, Result};
use crate::journal::{Cursor, Found, Type};
use crate::limits;
use crate::store::{Change, Core, Delivery, Level, Ranges, Staged, ranges_of};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The longest sleep of a receive that waits for a time: a clock that was set is noticed within it.
const NAP: Duration = Duration::from_secs(60);

/// What the readers of one name share.
pub struct Feed {
    pub core: Arc<Core>,
    pub queue: u32,
    pub name: String,
    pub rules: Rules,
    seed: u64,
    begun: Instant,
    /// Readers that there were; each has the number it was counted as.
    readers: AtomicU64,
    place: Mutex<Option<Place>>,
}

/// Where a consumer is.
pub struct Place {
    pub cursor: Cursor,
    /// Read and not yet given out.
    pub ahead: VecDeque<Found>,
    pub lanes: Lanes,
    pub leases: Leases,
    /// Of what waits in the lanes, the bytes of what was read last.
    pub kept: Kept,
    /// Given out once without a note of it, and came back.
    pub again: BTreeSet<u64>,
    /// Came back from a reader without leases, and waits.
    pub back: BTreeSet<u64>,
    /// Put to the end of the queue, by the place there; they come once all before it was looked at.
    pub behind: BTreeMap<(u64, u64), Waiting>,
    /// Why the last try of messages failed that move to the dead letters next.
    pub reasons: BTreeMap<u64, String>,
    /// Processed before, left out, and not acknowledged yet.
    pub processed: BTreeSet<u64>,
    /// Of what was given out, key and version.
    pub versions: BTreeMap<u64, (Box<[u8]>, u64)>,
    /// Dead letters that were put and nobody waited for yet; the last of them.
    pub burial: Option<Staged>,
    /// Passed over because they are gone; every acknowledgement takes them along until one was committed.
    pub gone: Ranges,
    /// By hash, the keys that have dead letters.
    pub lettered: HashMap<u64, Box<[u8]>, BuildHasherDefault<Same>>,
    /// Of these, the ones whose rest waits.
    pub held: BTreeSet<u64>,
    /// Put back from the dead letters, taken into the lanes, and not acknowledged.
    pub taken_in: BTreeSet<u64>,
    /// Which state of the letters that is.
    pub letters_version: Option<u64>,
    /// Held by prepared transactions, and in no lane.
    pub prepared: BTreeMap<u64, Waiting>,
}

/// How a message is given back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Return<'a> {
    /// Milliseconds before it comes again; `None` as the rules say.
    pub delay_ms: Option<u64>,
    /// Why.
    pub reason: &'a str,
    /// Whether it comes behind all that is in the queue, and not before newer messages.
    pub to_end: bool,
}

impl Return<'_> {
    /// For this reason, and otherwise as the rules say.
    pub fn because(reason: &str) -> Return<'_> {
        Return { reason, ..Return::default() }
    }
}

/// What a receive has found, the note that must be on its way before it is shown, and dead letters put meanwhile.
type Given = (Vec<Received>, Option<(Staged, bool)>, Option<Staged>);

impl Feed {
    pub fn new(core: &Arc<Core>, queue: u32, name: &str, rules: Rules) -> Feed {
        Feed {
            core: core.clone(),
            queue,
            name: name.to_string(),
            rules,
            seed: RandomState::new().build_hasher().finish(),
            begun: Instant::now(),
            readers: AtomicU64::new(0),
            place: Mutex::new(None),
        }
    }

    /// Whether each message that is out has a lease.
    pub fn is_leased(&self) -> bool {
        self.rules.shared || self.rules.keyed
    }

    /// Calls `act` with the place, which begins behind what is acknowledged.
    pub fn with<T>(&self, act: impl FnOnce(&mut Place) -> Result<T>) -> Result<T> {
        let mut place = self.place.lock();
        let place = match &mut *place {
            Some(place) => place,
            none => {
                let floor =
                    self.core.look(|s| s.consumer(self.queue, &self.name).map(Ranges::floor))?;
                none.insert(Place::at(self.queue, floor + 1))
            }
        };
        act(place)
    }

    /// Makes sure that there is a consumer before anybody reads.
    pub fn begin(&self, create: impl FnOnce() -> Result<()>) -> Result<()> {
        let place = self.place.lock();
        if place.is_some() {
            return Ok(());
        }
        create()?;
        drop(place);
        self.with(|_| Ok(()))
    }

    /// A number for one more reader, which its leases carry.
    pub fn join(&self) -> u64 {
        self.readers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What this owner has comes to others.
    pub fn leave(&self, owner: u64) {
        if !self.is_leased() {
            return;
        }
        let has = self.with(|place| Ok(place.leases.of(owner)));
        let how = Return { delay_ms: Some(0), ..Return::because("its worker was closed") };
        self.put_back(owner, &has.unwrap_or_default(), how);
    }

    /// Begins anew behind what is acknowledged; `act` changes that before.
    pub fn restart<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut place = self.place.lock();
        let done = act()?;
        *place = None;
        Ok(done)
    }

    /// At most `max` messages for this owner, or all of the next transaction that has any.
    pub fn receive(&self, owner: u64, max: usize, job: bool) -> Result<Vec<Received>> {
        let (out, note, burial) = self.with(|place| {
            let out = if job { self.next_job(place) } else { self.next(place, max) }?;
            self.note_versions(place, &out);
            self.give_out(place, owner, out)
        })?;
        let noted = note.map_or(Ok(()), |(staged, synced)| self.settle_note(&staged, synced));
        let buried = burial.map_or(Ok(()), |staged| self.core.finish(&staged).map(|_| ()));
        if let Err(error) = noted.and(buried) {
            let sequences: Vec<u64> = out.iter().map(Received::sequence).collect();
            self.put_back(owner, &sequences, Return::default());
            return Err(error);
        }
        Ok(out)
    }

    /// Fails where acknowledging these messages would leave too many ranges behind one that is not acknowledged; there
    /// are so many `fragments` already, behind this floor.
    pub(super) fn check_fragments(
        &self,
        (fragments, floor): (usize, u64),
        sequences: &[u64],
    ) -> Result<()> {
        if fragments < limits::ACK_RANGES_MAX || sequences.contains(&(floor + 1)) {
            return Ok(());
        }
        let text = format!(
            "consumer {:?} has {fragments} acknowledged ranges behind message {}, which it never acknowledged: acknowledge \
             that one first",
            self.name,
            floor + 1
        );
        Err(Error::new(Code::Quota, text))
    }

    pub(super) fn settle_note(&self, staged: &Staged, synced: bool) -> Result<()> {
        let Some(appended) = &staged.appended else { return Ok(()) };
        let journal = self.core.journal();
        if synced && !sabotage!("delivery count lost at a power cut") {
            journal.commit(appended)
        } else {
            journal.publish(appended)
        }
    }

    /// Notes what is given out, and to whom.
    fn give_out(&self, place: &mut Place, owner: u64, out: Vec<Received>) -> Result<Given> {
        let counted = self.is_leased() || self.rules.max_deliveries > 0;
        let noted = || out.iter().filter(|one| counted || one.deliveries() > 1);
        let rows =
            Delivery::rows(noted().map(|one| Delivery::one(one.sequence(), one.deliveries(), 0)));
        let mut note = None;
        if !rows.is_empty() {
            let synced = noted().any(|one| one.deliveries() > 1);
            match self.note(rows) {
                Ok(staged) => note = Some((staged, synced)),
                Err(error) => {
                    out.iter().for_each(|one| self.return_one(place, one));
                    return Err(error);
                }
            }
        }
        if self.is_leased() {
            let until = match self.rules.lease_ms {
                0 => 0,
                lease => self.steady_ms() + lease,
            };
            place.leases.give(out.iter().map(Received::waiting), owner, until);
        }
        Ok((out, note, place.burial.take()))
    }

    fn note(&self, rows: Vec<Delivery>) -> Result<Staged> {
        let now = self.now_ms();
        let body = Change::Delivery(self.name.as_bytes(), now, rows).encode();
        self.core.transact(&[], &[(Type::Delivery, self.queue, body)], Level::Power)
    }

    /// Takes messages back from their owner: they come again, before newer ones or behind all, after the delay or as the
    /// rules say. Returns the first of them the owner did not have.
    pub fn put_back(&self, owner: u64, sequences: &[u64], how: Return<'_>) -> Option<u64> {
        // At the end they stand in the order in which they are named.
        let mut sorted = sequences.to_vec();
        if !how.to_end {
            sorted.sort_unstable();
        }
        let missing = self.with(|place| {
            let missing = match self.is_leased() {
                true => place.leases.missing(owner, &ranges_of(sequences)),
                false => None,
            };
            let mut moved = Vec::new();
            for sequence in sorted {
                moved.extend(self.put_back_one(place, owner, sequence, how));
            }
            Ok((missing, self.note_return(place, &moved)))
        });
        let (missing, note) = missing.unwrap_or((None, None));
        if let Some(note) = note {
            // Should that fail, who reads on is told of it.
            let _ = self.settle_note(&note, false);
        }
        self.core.journal().announce();
        missing
    }

    /// Notes what comes again later, or at the end, and puts it into the lanes, or behind all.
    pub(super) fn note_return(
        &self,
        place: &mut Place,
        moved: &[(Waiting, Delivery)],
    ) -> Option<Staged> {
        let rows = Delivery::rows(moved.iter().map(|(_, row)| *row));
        // Without room for the note they come at once.
        let note = if rows.is_empty() { None } else { self.note(rows).ok() };
        for (one, row) in moved {
            let end = if row.to_end && note.is_some() { self.end_of(one.sequence) } else { None };
            match end {
                Some(end) => place.move_to_end(*one, end),
                // It goes through the lanes like all that is out, so that those behind its key wait, too.
                None => place.lanes.back(*one),
            }
        }
        note
    }

    /// Takes one back; what is to be noted before it waits again.
    fn put_back_one(
        &self,
        place: &mut Place,
        owner: u64,
        sequence: u64,
        how: Return<'_>,
    ) -> Option<(Waiting, Delivery)> {
        let one = if self.is_leased() {
            place.leases.take(owner, sequence)??
        } else {
            // Twice given back is once.
            if !(1..place.next()).contains(&sequence) || !place.back.insert(sequence) {
                return None;
            }
            Waiting { sequence, key: 0, lane: self.lane_of(sequence) }
        };
        self.come_back(place, one, how)
    }

    /// Lets a message that nobody has come again; what is to be noted before it waits again.
    pub(super) fn come_back(
        &self,
        place: &mut Place,
        one: Waiting,
        how: Return<'_>,
    ) -> Option<(Waiting, Delivery)> {
        let sequence = one.sequence;
        place.versions.remove(&sequence);
        let noted = self.core.look(|state| {
            let queue = state.queue(self.queue).ok()?;
            Some(queue.attempt(&self.name, sequence)?.deliveries)
        });
        if noted.is_none() {
            place.again.insert(sequence);
        }
        let deliveries = noted.unwrap_or(1);
        let last = self.rules.is_last(deliveries);
        if last && !how.reason.is_empty() && place.reasons.len() < limits::PARKED_KEYS_MAX {
            let reason = how.reason.chars().take(limits::REASON_CHARS_MAX).collect();
            place.reasons.insert(sequence, reason);
        }
        let delay = match how.delay_ms {
            Some(delay) if !last => delay,
            _ => self.rules.retry_delay(deliveries),
        };
        let to_end = how.to_end && !last;
        if delay == 0 && !to_end {
            if sabotage!("redelivery out of order") {
                place.lanes.later(one, self.now_ms() + 1);
            } else {
                place.lanes.back(one);
            }
            return None;
        }
        let due = if delay == 0 { 0 } else { self.now_ms().saturating_add(delay) };
        Some((one, Delivery { to_end, ..Delivery::one(sequence, deliveries, due) }))
    }

    /// The lane of a message that was given out without a lease.
    pub(super) fn lane_of(&self, sequence: u64) -> u8 {
        let ranked = self.core.look(|state| state.queue(self.queue).map_or(0, |of| of.ranked));
        if ranked < sequence {
            return 0;
        }
        let found = self.read_one(sequence).ok().flatten();
        found.map_or(0, |found| front_of(&found).1)
    }

    /// Shown to nobody after all: it comes again, and does not count.
    pub(super) fn return_one(&self, place: &mut Place, one: &Received) {
        if one.deliveries() == 2 {
            place.again.insert(one.sequence());
        }
        place.lanes.back(one.waiting());
    }

    pub(super) fn key_of(&self, key: &[u8]) -> u64 {
        if !self.rules.keyed || key.is_empty() {
            return 0;
        }
        xxh3_64_with_seed(key, self.seed).max(1)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.core.journal().disk().now_ms()
    }

    /// Milliseconds on a clock that nobody sets.
    pub(super) fn steady_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The owner has these messages for another while; the first that it cannot have is named.
    pub fn renew(&self, owner: u64, sequences: &[u64]) -> Result<Option<u64>> {
        let (ranges, until) = (ranges_of(sequences), self.steady_ms() + self.rules.lease_ms);
        self.with(|place| {
            let missing = place.leases.missing(owner, &ranges);
            Ok(missing.or_else(|| place.leases.renew(&ranges, until)))
        })
    }

    /// How long nothing comes by itself: until a time is over, at most `left`.
    pub fn nap(&self, left: Duration) -> Duration {
        let place = self.place.lock();
        let Some(place) = &*place else { return left };
        let until = |at: u64, now: u64| Duration::from_millis(at.saturating_sub(now).max(1));
        let due = place.lanes.next_due().map(|at| until(at, self.now_ms()));
        let over = place.leases.next_until().map(|at| until(at, self.steady_ms()));
        due.into_iter().chain(over).map(|nap| nap.min(NAP)).min().unwrap_or(left).min(left)
    }

    /// Whether the horizon keeps back what its readers wait for: messages that nobody has read, or the end of others whose
    /// keys, or places among those that are out, the next ones need. What else was appended is no affair of theirs.
    pub fn waits_for_horizon(&self) -> bool {
        let waits = self.with(|place| {
            let next = self.core.look(|state| state.queue(self.queue).map(|queue| queue.next))?;
            Ok(place.cursor.next() < next || (place.leases.are_ending() && place.needs_an_end()))
        });
        // A receive says what is wrong.
        waits.unwrap_or(true)
    }

    /// Whether a receive may give something now.
    pub fn is_ready(&self) -> Result<bool> {
        // Who has the place may be committing, and a commit asks here: then a receive finds out.
        let Some(place) = self.place.try_lock() else { return Ok(true) };
        drop(place);
        self.with(|place| {
            self.wake(place)?;
            if !self.may_give(place, 0) {
                return Ok(false);
            }
            if self.sorts(place) {
                self.sort(place)?;
            }
            loop {
                if self.finds_one(place)? {
                    return Ok(true);
                }
                if self.release(place)? {
                    continue;
                }
                if place.lanes.len() >= limits::WAITING_MAX || !self.read_ahead(place)? {
                    return Ok(false);
                }
                if self.sorts(place) {
                    self.sort(place)?;
                }
            }
        })
    }

    /// Whether there is a message to give out in what was read. What is in the way goes where it belongs.
    fn finds_one(&self, place: &mut Place) -> Result<bool> {
        while let Some(one) = place.lanes.next() {
            let Some(found) = self.found(place, one)? else { continue };
            let verdict = self.core.look(|state| self.judge(state, &found, place));
            if matches!(verdict, Ok(Judgement::Give(_) | Judgement::Bury)) {
                place.kept.insert(found);
            }
            match verdict {
                Ok(Judgement::Over) => self.pass_over(place, one),
                Ok(Judgement::Held) => _ = place.prepared.insert(one.sequence, one),
                Ok(Judgement::Later(at)) => place.lanes.later(one, at),
                given => {
                    place.lanes.back(one);
                    return given.map(|_| true);
                }
            }
        }
        while let Some(found) = place.ahead.front().cloned() {
            if self.core.look(|state| self.goes_to_end(state, place, &found)) {
                place.ahead.pop_front();
                continue;
            }
            match self.core.look(|state| self.judge(state, &found, place))? {
                Judgement::Over => {}
                Judgement::Held => place.add_held(&found),
                Judgement::Later(at) => place.add_later(&found, at),
                Judgement::Give(_) | Judgement::Bury => return Ok(true),
            }
            place.ahead.pop_front();
        }
        Ok(false)
    }
}

impl Place {
    fn at(queue: u32, next: u64) -> Place {
        Place {
            cursor: Cursor::new(queue, next),
            ahead: VecDeque::new(),
            lanes: Lanes::new(),
            leases: Leases::default(),
            kept: Kept::default(),
            again: BTreeSet::new(),
            back: BTreeSet::new(),
            behind: BTreeMap::new(),
            reasons: BTreeMap::new(),
            processed: BTreeSet::new(),
            versions: BTreeMap::new(),
            burial: None,
            gone: Ranges::default(),
            lettered: HashMap::default(),
            held: BTreeSet::new(),
            taken_in: BTreeSet::new(),
            letters_version: None,
            prepared: BTreeMap::new(),
        }
    }

    /// The first sequence that was not looked at yet.
    pub fn next(&self) -> u64 {
        self.ahead.front().map_or(self.cursor.next(), |found| found.head.sequence)
    }

    /// A message that was read and is given out not before its time, to a reader without keys.
    pub fn add_later(&mut self, found: &Found, at_ms: u64) {
        let (sequence, lane) = (found.head.sequence, front_of(found).1);
        self.lanes.add_later(Waiting { sequence, key: 0, lane }, at_ms);
    }

    /// A message that was read and is held by a prepared transaction, of a reader without keys.
    pub fn add_held(&mut self, found: &Found) {
        let (sequence, lane) = (found.head.sequence, front_of(found).1);
        self.prepared.insert(sequence, Waiting { sequence, key: 0, lane });
    }

    /// Messages are acknowledged.
    pub fn end(&mut self, sequences: &[u64]) {
        self.forget(sequences);
        for sequence in sequences {
            self.lanes.forget_place(*sequence);
            self.taken_in.remove(sequence);
            self.versions.remove(sequence);
        }
    }

    /// Lets the keys go on of which the last message was acknowledged, durable up to this journal offset.
    pub fn free_keys(&mut self, durable: u64) {
        while let Some(keys) = self.leases.ended(durable) {
            keys.iter().for_each(|key| self.lanes.done(key));
        }
    }

    /// Whether the end of a message may let another one come.
    fn needs_an_end(&self) -> bool {
        let free = self.lanes.has_ready() || !self.ahead.is_empty() || !self.behind.is_empty();
        free || self.leases.ending_keys().any(|key| self.lanes.behind(key).is_some())
    }

    /// Forgets that messages came back.
    pub fn forget(&mut self, sequences: &[u64]) {
        if !self.again.is_empty() {
            sequences.iter().for_each(|sequence| _ = self.again.remove(sequence));
        }
    }
}
