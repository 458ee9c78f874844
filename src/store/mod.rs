//! Transactions and state: the inside of an open store.
//!
//! [`Core`] holds the journal and the state its records add up to. [`Core::transact`] is the way in, and
//! [`Core::put`] the same for one message alone: it checks a transaction, gives its messages their sequences,
//! appends it and applies it, all under the state's lock; the caller then waits for the level it asked for. Nothing
//! becomes visible to a reader before it is durable, unless the store was opened with another
//! horizon.

mod admit;
mod attempts;
mod backup;
mod committer;
mod evacuate;
mod fence;
mod finish;
mod identity;
mod import;
mod large;
mod letters;
mod open;
mod pins;
mod prepared;
mod producers;
mod ranges;
mod received;
mod record;
mod remembered;
mod repair;
mod sessions;
mod state;
mod stream;
mod targets;
mod unheard;
mod versions;

use crate::error::{Code, Error, Result};
use crate::journal::{self, Appended, Front, Journal, Parts, Record, Rows, Space, Type};
use crate::position::{Answer, Token, check};
use crate::secret::Password;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use finish::Large;
use std::any::Any;
use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;

pub use attempts::Attempts;
pub use backup::{BackupInfo, restore};
pub use committer::{Committer, Watch};
pub use fence::OnFenced;
pub use finish::Verdict;
pub use letters::{Hold, Letters};
pub use open::Options;
pub use pins::{Pin, PinKind};
pub use prepared::{End, Phase, PreparedRow, Work};
pub use ranges::{Ranges, ranges_of};
pub use received::{Arrival, LinkClaim, Received, StreamId, is_path, path_behind};
pub use record::{Change, Delivery};
pub use repair::{RepairInfo, repair};
pub use sessions::{
    Identity, KnownSession, OpenSessions, Outcome, TRANSACTION_ID_SIZE, TransactionId,
};
pub use state::{QueueState, State, check_name};
pub use stream::{Begin, Keep, Stream, StreamChange};

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Level {
    /// The end of this process (`kill -9`), but not a power cut.
    Process,
    /// A power cut.
    #[default]
    Power,
}

/// What a commit answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where the transaction is in the order of commits.
    pub token: Token,
    /// What it survives.
    pub level: Level,
}

/// A message, checked and encoded, that waits for its commit.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// Number of its queue.
    pub queue: u32,
    /// Its body: front, key, headers, payload.
    pub parts: Parts<'a>,
    /// Sum of the body.
    pub sum: u32,
    /// The fields of the front.
    pub front: Front<'a>,
}

impl<'a> Entry<'a> {
    #[inline]
    fn record(&self, sequence: u64) -> Record<'a> {
        Record {
            kind: Type::Message,
            queue: self.queue,
            sequence,
            expires_ms: self.front.expires_ms,
            sum: self.sum,
            parts: self.parts,
        }
    }
}

/// The inside of an open store.
pub struct Core {
    journal: Arc<Journal>,
    state: Mutex<State>,
    damage: Option<Error>,
    level: Level,
    helped: bool,
    closed: AtomicBool,
    /// Held by who gives back.
    reclaiming: Mutex<evacuate::Tried>,
    committer: Committer,
    readers: Mutex<Readers>,
    keep: Keep,
    live: stream::Live,
    /// How it was opened, where it only looks.
    looks: Option<Options>,
    sessions: OpenSessions,
}

/// What the open readers of one name share; its type is the affair of those who read.
pub type Shared = Arc<dyn Any + Send + Sync>;

/// By queue and name: what they share, and how many they are.
type Readers = BTreeMap<(u32, String), (Shared, usize)>;

/// A transaction that was appended, or needed no appending.
pub struct Staged {
    /// Whom to wait for; `None` when nothing had to be written.
    pub appended: Option<Appended>,
    /// Its token.
    pub token: Token,
    level: Level,
}

impl Staged {
    /// The level it asked for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What its commit answers.
    #[inline]
    pub fn commit(&self) -> Commit {
        Commit { token: self.token, level: self.level }
    }
}

impl Core {
    /// The journal.
    #[inline]
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The level of commits that do not name one.
    #[inline]
    pub fn level(&self) -> Level {
        self.level
    }

    /// What survives of what others have seen.
    pub fn horizon(&self) -> Level {
        if self.journal.wants_early() { Level::Process } else { Level::Power }
    }

    /// Fails in a forked child and after a close.
    #[inline]
    pub fn check_open(&self) -> Result<()> {
        self.journal.check_fork()?;
        if self.is_closed() { Err(self.over()) } else { Ok(()) }
    }

    #[cold]
    fn over(&self) -> Error {
        Error::new(Code::Closed, format!("the store {} is closed", self.describe()))
    }

    /// Fails when the store cannot be written to.
    #[inline]
    pub fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.damage.as_ref().map_or(Ok(()), |damage| Err(self.reads_only(damage)))
    }

    #[cold]
    fn reads_only(&self, damage: &Error) -> Error {
        let what = format!("{} is open for reading only", self.describe());
        Error::because(Code::ReadOnly, what, damage)
    }

    /// Fails when the store cannot be written to, or a sync failed.
    pub fn check_sound(&self) -> Result<()> {
        self.check_writable()?;
        self.journal.poisoned()
    }

    /// What error texts call the store.
    pub fn describe(&self) -> String {
        self.journal.disk().describe()
    }

    /// Joins the open readers of this name: what they share, which is `fresh` where this is the first. `join` may
    /// refuse, and then nothing has changed.
    pub fn join_readers(
        &self,
        queue: u32,
        name: &str,
        fresh: Shared,
        join: impl FnOnce(&Shared) -> Result<()>,
    ) -> Result<Shared> {
        let mut readers = self.readers.lock();
        let row = readers.entry((queue, name.to_string()));
        if let btree_map::Entry::Occupied(row) = &row {
            join(&row.get().0)?;
        }
        let (shared, count) = row.or_insert((fresh, 0));
        *count += 1;
        Ok(shared.clone())
    }

    /// Takes the one place of a reader of this name; false when it is taken.
    pub fn claim_reader(&self, queue: u32, name: &str) -> bool {
        let taken = |_: &Shared| Err(Error::new(Code::Busy, "there is one already"));
        self.join_readers(queue, name, Arc::new(()), taken).is_ok()
    }

    /// Leaves them; what they share goes with the last.
    pub fn leave_readers(&self, queue: u32, name: &str) {
        let mut readers = self.readers.lock();
        let btree_map::Entry::Occupied(mut row) = readers.entry((queue, name.to_string())) else {
            return;
        };
        row.get_mut().1 -= 1;
        if row.get().1 == 0 {
            row.remove();
        }
    }

    /// What the open readers of this name share, and how many they are; `None` without any.
    pub fn open_readers(&self, queue: u32, name: &str) -> Option<(Shared, usize)> {
        self.readers.lock().get(&(queue, name.to_string())).cloned()
    }

    /// Whether the store was closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Looks at the state under its lock.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    /// Appends messages and changes as one transaction and applies it.
    ///
    /// A message whose producer sequence was the last one already is left out; when nothing else is left, the
    /// token is that of the transaction that brought it.
    ///
    /// On a full disk, or at the quota, segments in which nothing is alive are given back first.
    pub fn transact(
        &self,
        entries: &[Entry<'_>],
        changes: &[(Type, u32, Vec<u8>)],
        level: Level,
    ) -> Result<Staged> {
        self.transact_checked(entries, changes, level, false, &|_| Ok(()))
    }

    /// Appends one message alone, the shortest way: what is known of it on the way is moved as little as possible.
    #[inline(always)]
    pub fn put(&self, entry: &Entry<'_>, level: Level) -> Result<Staged> {
        self.check_writable()?;
        if level == Level::Process || self.journal.wants_early() {
            self.journal.hand_out_early()?;
        }
        let mut state = self.state.lock();
        if self.live.has_riders() {
            drop(state);
            return self.transact(&[*entry], &[], level);
        }
        let admitted = self.admit(&state, &mut Vec::new(), entry, false);
        let (next, repeated) = admitted.map_err(|error| error.at_message(0))?;
        if let Some(transaction) = repeated {
            return Ok(Staged { appended: None, token: state.token(transaction), level });
        }
        let record = entry.record(next);
        let (now, mut rolled) = (self.journal.disk().tick_ms(), false);
        let mut freeze = |rows: &mut Rows| {
            rolled = true;
            state.hand_over(rows);
        };
        let at = match self.journal.append_one(&record, now, &mut freeze) {
            Ok(at) => at,
            Err(error) if error.code() == Code::NoSpace => {
                // Room has to be made first.
                drop(state);
                return self.transact(&[*entry], &[], level);
            }
            Err(error) => return Err(error),
        };
        state.message(at.sequence, entry.queue, next, record.length(), &entry.front);
        let token = state.token(at.sequence);
        self.appended(state, rolled);
        Ok(Staged { appended: Some(at), token, level })
    }

    /// The same with a last look at the state under the lock under which it changes: where that fails, nothing does.
    pub fn transact_if(
        &self,
        entries: &[Entry<'_>],
        changes: &[(Type, u32, Vec<u8>)],
        check: &dyn Fn(&State) -> Result<()>,
    ) -> Result<Staged> {
        self.transact_checked(entries, changes, self.level, false, check)
    }

    /// The same, with a last look at the state under the lock under which it changes; what `arrives` by a
    /// stream is not checked against its producer's row.
    fn transact_checked(
        &self,
        entries: &[Entry<'_>],
        changes: &[(Type, u32, Vec<u8>)],
        level: Level,
        arrives: bool,
        check: &dyn Fn(&State) -> Result<()>,
    ) -> Result<Staged> {
        self.transact_all((entries, None), changes, level, arrives, check)
    }

    /// The same with messages from memory, or staged and prepared ones.
    fn transact_all(
        &self,
        messages: (&[Entry<'_>], Option<&Large<'_>>),
        changes: &[(Type, u32, Vec<u8>)],
        level: Level,
        arrives: bool,
        check: &dyn Fn(&State) -> Result<()>,
    ) -> Result<Staged> {
        let frees = changes.iter().any(|(kind, ..)| *kind == Type::Ack);
        let empty = messages.0.is_empty()
            && messages.1.is_none_or(|one| !one.is_new())
            && !changes.iter().any(prepared::prepares);
        let space = match () {
            () if empty => Space::Freeing,
            () if frees => Space::Exchanging,
            () => Space::Ordinary,
        };
        let full = match self.stage(messages, changes, (level, space), arrives, check) {
            Err(error) if error.code() == Code::NoSpace => error,
            staged => return staged,
        };
        for renew in [false, true] {
            // Somebody else may have given back what this call would.
            if self.make_room().is_err() || (renew && !self.renew_runs().unwrap_or(false)) {
                break;
            }
            let again = self.stage(messages, changes, (level, space), arrives, check);
            if !again.as_ref().is_err_and(|error| error.code() == Code::NoSpace) {
                return again;
            }
        }
        if space == Space::Freeing {
            // Nobody is kept from freeing space by a quota.
            return self.stage(messages, changes, (level, Space::Beyond), arrives, check);
        }
        Err(full)
    }

    fn stage(
        &self,
        (entries, large): (&[Entry<'_>], Option<&Large<'_>>),
        changes: &[(Type, u32, Vec<u8>)],
        (level, space): (Level, Space),
        arrives: bool,
        check: &dyn Fn(&State) -> Result<()>,
    ) -> Result<Staged> {
        self.check_writable()?;
        if level == Level::Process || self.journal.wants_early() {
            self.journal.hand_out_early()?;
        }
        let mut state = self.state.lock();
        check(&state)?;
        let adoption = match large {
            None => None,
            Some(Large::Staged(staging)) => self.adoption(&state, staging, arrives)?,
            Some(Large::Prepared(work)) => state.placed(work)?,
        };
        let adopt = adoption.as_ref().map(journal::Adoption::encode);
        let mut all = Vec::with_capacity(entries.len() + changes.len() + 1);
        all.extend(adopt.iter().map(|body| Record::control(Type::Adopt, 0, body)));
        let adopted = all.len();
        let (put, mut repeated) = self.number(&state, entries, arrives, &mut all)?;
        repeated = repeated.or(large.and_then(Large::repeated));
        if all.is_empty() && changes.is_empty() {
            let token = match repeated {
                Some(transaction) => state.token(transaction),
                None => Token::empty(state.group_id()),
            };
            return Ok(Staged { appended: None, token, level });
        }
        let first = repeated.filter(|_| all.is_empty());
        let again = first.and_then(|first| sessions::repeating(changes, first));
        let changes = again.as_ref().map_or(changes, std::slice::from_ref);
        let riders = self.live.take_riders();
        let bodies = || changes.iter().chain(&riders);
        all.extend(bodies().map(|(kind, queue, body)| Record::control(*kind, *queue, body)));
        let (appended, rolled) = self.append(&mut state, &all, space);
        let appended = match appended {
            Ok(appended) => appended,
            Err(error) => {
                self.live.put_back(riders);
                return Err(error);
            }
        };
        for (record, entry) in all[adopted..].iter().zip(&put) {
            let (queue, sequence, length) = (record.queue, record.sequence, record.length());
            state.message(appended.sequence, queue, sequence, length, &entry.front);
        }
        if let Some(adoption) = &adoption {
            state.adopt(appended.sequence, adoption);
        }
        for (kind, queue, body) in bodies() {
            state.apply(appended.sequence, *kind, *queue, body)?;
        }
        // Who repeats itself in a session hears of the first time, as outside of one.
        let told = again.and(first).unwrap_or(appended.sequence);
        let token = state.token(told);
        self.appended(state, rolled);
        Ok(Staged { appended: Some(appended), token, level })
    }

    /// Appends the records of a transaction, whose time may be some milliseconds old; the second value is whether a
    /// segment was begun for it.
    fn append(
        &self,
        state: &mut State,
        records: &[Record<'_>],
        space: Space,
    ) -> (Result<Appended>, bool) {
        let (now, mut rolled) = (self.journal.disk().tick_ms(), false);
        let mut freeze = |rows: &mut Rows| {
            rolled = true;
            state.hand_over(rows);
        };
        let appended = self.journal.append(records, space, now, &mut freeze);
        (appended, rolled)
    }

    /// What was appended is applied: wakes those who wait for it.
    #[inline]
    fn appended(&self, mut state: MutexGuard<'_, State>, rolled: bool) {
        // The helper looks after each roll; without one it is done here, where it may be worth it.
        let many = rolled && !self.helped && self.journal.segments().len() > evacuate::WORTH_A_LOOK;
        let due = state.take_reclaim_due() || many;
        drop(state);
        self.journal.nudge();
        if due {
            self.reclaim_soon();
        }
    }

    /// Waits until the transaction reached its level.
    #[inline]
    pub fn finish(&self, staged: &Staged) -> Result<Commit> {
        if let Some(appended) = &staged.appended {
            self.reach(appended, staged.level)?;
        }
        Ok(staged.commit())
    }

    #[inline]
    fn reach(&self, appended: &Appended, level: Level) -> Result<()> {
        match level {
            Level::Process if self.journal.is_early() => self.journal.publish(appended),
            _ => self.journal.commit(appended),
        }
    }

    /// One change as a transaction of its own, at the store's level.
    pub fn change(&self, kind: Type, queue: u32, change: &Change<'_>) -> Result<Commit> {
        let staged = self.transact(&[], &[(kind, queue, change.encode())], self.level)?;
        self.finish(&staged)
    }

    /// The number of a queue, which is created when there is none of that name.
    pub fn queue(&self, name: &str) -> Result<u32> {
        self.check_open()?;
        check_name("queue", name)?;
        let mut state = self.state.lock();
        if let Some(number) = state.number_of(name) {
            return Ok(number);
        }
        self.check_writable()?;
        let number = state.next_queue();
        if number as usize > crate::limits::QUEUES_MAX {
            let text = format!("{} has {} queues already", self.describe(), number - 1);
            return Err(Error::new(Code::Quota, text));
        }
        let body = Change::CreateQueue(name.as_bytes()).encode();
        let record = [Record::control(Type::Queue, number, &body)];
        let now = self.journal.disk().now_ms();
        self.journal.append(&record, Space::Ordinary, now, &mut |rows| state.hand_over(rows))?;
        state.change(Type::Queue, number, &body)?;
        Ok(number)
    }

    /// What this store can say about a token.
    pub fn answer(&self, token: &Token) -> Answer {
        let shown = self.journal.shown_sequence();
        self.look(|state| check(token, &state.group_id(), &state.history, shown, shown))
    }

    /// Whether what is written is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.journal.is_encrypted()
    }

    /// Replaces the password of an encrypted store.
    pub fn change_password(&self, password: &Password) -> Result<()> {
        self.check_writable()?;
        self.journal.change_password(password)
    }

    /// Gives back segments in which nothing is alive, and some in which little is; returns how many.
    pub fn reclaim(&self) -> Result<usize> {
        self.give_back(false)
    }

    /// The same where room is needed now: every segment in which little is alive.
    fn make_room(&self) -> Result<usize> {
        self.give_back(true)
    }

    fn give_back(&self, needed: bool) -> Result<usize> {
        let mut tried = self.reclaiming.lock();
        if self.is_closed() {
            return Ok(0);
        }
        let now = self.journal.disk().now_ms();
        let mut kept = |candidates: &[_]| self.keep_segments(candidates);
        let shipped = self.look(|state| state.streams().next().is_some());
        let mut alive = |stretches: &[_]| self.state.lock().alive(stretches);
        let (gone, held) = self.journal.reclaim((now, needed), &mut kept, &mut alive)?;
        let adopted = self.journal.release_adopted((now, shipped), &mut kept, &mut alive)?;
        tried.forget_before(self.journal.oldest_segment());
        Ok(adopted + gone + self.evacuate(&mut tried, &held, (now, needed))?)
    }

    /// On a full disk no segment is begun, and so no state run: what an open would read, and what may go, stands
    /// still. Where segments are dead that only the runs hold, this begins segments from the reserve, and refills
    /// it from what may go then. Returns whether anything went.
    fn renew_runs(&self) -> Result<bool> {
        let now = self.journal.disk().now_ms();
        for _ in 0..2 {
            let mut kept = |candidates: &[_]| self.keep_segments(candidates);
            let mut alive = |stretches: &[_]| self.state.lock().alive(stretches);
            if self.journal.held_by_runs(now, &mut kept, &mut alive)? < 2 {
                break;
            }
            self.renew_run()?;
        }
        Ok(self.make_room()? > 0)
    }

    /// Begins another segment, and with it a run of the state as it is now.
    fn renew_run(&self) -> Result<()> {
        {
            let mut state = self.state.lock();
            self.journal.renew_run(&mut |rows| state.hand_over(rows))?;
        }
        self.journal.settle_renewed()
    }

    fn reclaim_soon(&self) {
        if !self.helped || !self.journal.ask_reclaim() {
            // Space that could not be given back now is found again at the next roll.
            let _ = self.reclaim();
        }
    }

    /// Ends the use of the store: everything appended becomes durable.
    pub fn close(&self) -> Result<()> {
        if !self.journal.is_here() {
            return Ok(());
        }
        // Without the last moves of the cursors the targets say themselves how far they are.
        let _ = self.flush_riders();
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.journal.announce();
        if self.damage.is_some() {
            return Ok(());
        }
        drop(self.reclaiming.lock());
        let stopped = self.committer.stop();
        self.journal.close().and(stopped)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the next open finds what is durable.
        let _ = self.close();
    }
}
