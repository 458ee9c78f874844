//! The sessions and consumers of one connection.
//!
//! They live on a thread of their own, which begins with the first of them and ends with the connection: what they
//! do may touch the disk. What a client may wait for, messages to come and commits to be durable, holds up nobody:
//! a receive that finds nothing is tried again after each commit, and a commit is answered by whoever syncs.
//!
//! Promises: requests are worked on in the order in which they came; when the connection ends, what was not committed
//! is rolled back and what was received goes back to its queue; a transaction that is idle for too long is rolled
//! back, and its client is told by the next request.

use super::AUDIT;
use super::connection::Shared;
use super::desk::{Desk, Frame};
use super::hosted::Hosted;
use super::readers::{self, Readers};
use super::table::Seat;
use super::users::{User, Verb};
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::link::{panicked, spawn};
use crate::queue::{Queue, Received, Return};
use crate::session::{Consumer, ConsumerOptions, SessionOptions};
use crate::store::{Commit, Level, Outcome, Staged, TransactionId, Verdict, Watch};
use crate::sync::Ordering;
use crate::wire::{Answer, Request, SessionAnswer, SessionRequest, Undo, Waker, Which};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least time between two looks for a message whose time has come.
const BREATH: Duration = Duration::from_millis(10);

/// The network's end.
pub struct Sessions {
    desk: Arc<Desk>,
    begin: Option<Worker>,
}

/// The thread's end.
struct Worker {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    name: String,
    desk: Arc<Desk>,
    sessions: BTreeMap<u32, Hosted>,
    consumers: Readers,
    next: u32,
    waits: Vec<Wait>,
    watch: Option<Watch>,
}

/// A receive that found nothing yet.
struct Wait {
    number: u32,
    session: u32,
    transaction: u64,
    consumer: u32,
    max: usize,
    /// Whether all of one transaction are wanted.
    job: bool,
    until: Instant,
}

/// What became of a request.
enum Told {
    Answer(SessionAnswer<'static>),
    /// Messages are staged, which nobody waits for by itself.
    Arrived,
    Messages(Vec<Received>),
    Stored(Commit),
    /// It is answered when the transaction is durable.
    Staged(Staged),
    Later,
}

impl Sessions {
    /// None yet.
    pub fn new(shared: &Arc<Shared>, seat: &Arc<Seat>, name: &str, waker: Waker) -> Sessions {
        let desk = Arc::new(Desk::new(waker));
        let begin = Worker {
            shared: shared.clone(),
            seat: seat.clone(),
            name: name.into(),
            desk: desk.clone(),
            sessions: BTreeMap::new(),
            consumers: Readers::default(),
            next: 1,
            waits: Vec::new(),
            watch: None,
        };
        Sessions { desk, begin: Some(begin) }
    }

    /// Takes a request.
    pub fn take(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        if let Some(worker) = self.begin.take() {
            worker.seat.does("sessions");
            let failed = |error| Error::io("cannot start a thread for sessions", &error);
            spawn("repliq-sessions", move || worker.live()).map_err(failed)?;
        }
        self.desk.take(kind, body)
    }

    /// Takes a word about an earlier request, where there was one.
    pub fn pass_on(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        if self.begin.is_some() { Ok(()) } else { self.take(kind, body) }
    }

    /// The next answer.
    pub fn answer(&self) -> Option<Frame> {
        self.desk.next_answer()
    }

    /// Requests that are not answered, without those that wait for messages.
    pub fn open(&self) -> usize {
        self.desk.open()
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.desk.end();
    }
}

impl Worker {
    fn live(mut self) {
        let seat = self.seat.clone();
        let worked = catch_unwind(AssertUnwindSafe(|| {
            while let Some(job) = self.desk.next(self.deadline()) {
                let worked = match job {
                    Some((kind, body)) => self.work(kind, &body),
                    None => self.look_again(),
                };
                if let Err(error) = worked {
                    // What cannot be read ends the connection, which ends this.
                    self.seat.wakeup.stop(error);
                }
            }
            // Messages go back before the connection counts as gone.
            self.sessions.clear();
            self.consumers.clear();
        }));
        if let Err(panic) = worked {
            seat.wakeup.stop(panicked(&*panic));
        }
    }

    /// When something is to be done without being asked.
    fn deadline(&self) -> Option<Instant> {
        let times = |wait: &Wait| self.consumers.of(wait.consumer).ok()?.next_time();
        // One that is over and gives nothing is looked at again, but not at once.
        let least = Instant::now() + BREATH;
        let times = self.waits.iter().filter_map(times).map(|time| time.max(least));
        let waits = self.waits.iter().map(|wait| wait.until).chain(times);
        let busy = self.sessions.iter().filter(|(number, one)| self.may_idle(**number, one));
        waits.chain(busy.map(|(_, one)| one.used + one.idle)).min()
    }

    fn may_idle(&self, number: u32, hosted: &Hosted) -> bool {
        !hosted.session.is_empty() && !self.waits.iter().any(|wait| wait.session == number)
    }

    fn work(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        if !SessionRequest::is_one(kind) {
            return match Request::decode(kind, body)?.1 {
                Request::Hurry(of) => self.hurry(of),
                _ => Err(Error::new(
                    Code::Panic,
                    "a request went to the sessions that is none of theirs",
                )),
            };
        }
        let (number, request) = SessionRequest::decode(kind, body)?;
        let told = self.answer(number, request);
        if let Err(error) = &told
            && error.code() == Code::Denied
        {
            log::warn!(target: AUDIT, "{:?} was denied a request of sessions", self.name);
        }
        self.tell(number, told)
    }

    fn tell(&mut self, number: u32, told: Result<Told>) -> Result<()> {
        let mut body = Vec::new();
        let kind = match told {
            Ok(Told::Later) => {
                self.desk.put_aside();
                return Ok(());
            }
            Ok(Told::Stored(commit)) => {
                self.desk.stored(number, Ok(commit));
                return Ok(());
            }
            Ok(Told::Staged(staged)) => {
                self.tell_when_durable(number, staged);
                return Ok(());
            }
            Ok(Told::Arrived) => {
                let kind = SessionAnswer::Done.encode(number, &mut body)?;
                self.desk.answer_by_the_way(kind, body);
                return Ok(());
            }
            Ok(Told::Answer(answer)) => answer.encode(number, &mut body)?,
            Ok(Told::Messages(messages)) => {
                let answers = readers::answers(&messages);
                let Some((last, parts)) = answers.split_last() else { return Ok(()) };
                for part in parts {
                    let mut body = Vec::new();
                    let kind = part.encode(number, &mut body)?;
                    self.desk.answer(kind, body, 0);
                }
                last.encode(number, &mut body)?
            }
            Err(error) => Answer::Refused(error).encode(number, &mut body)?,
        };
        self.desk.answer(kind, body, 1);
        Ok(())
    }

    fn tell_when_durable(&self, number: u32, staged: Staged) {
        let (core, desk) = (self.shared.store.core(), self.desk.clone());
        match staged.appended.as_ref().filter(|_| staged.level() == Level::Power) {
            Some(appended) => {
                let commit = staged.commit();
                desk.begin_commit();
                let told =
                    move |outcome: Result<()>| desk.end_commit(number, outcome.map(|()| commit));
                core.when_durable(appended, Box::new(told));
            }
            None => desk.stored(number, core.finish(&staged)),
        }
    }

    fn answer(&mut self, number: u32, request: SessionRequest<'_>) -> Result<Told> {
        let done = |()| Told::Answer(SessionAnswer::Done);
        match request {
            SessionRequest::Queue { name, make } => self.queue(name, make),
            SessionRequest::Session { which, idle_ms, bytes_max } => {
                self.open(which, idle_ms, bytes_max)
            }
            SessionRequest::Stage { session, transaction, messages } => {
                self.stage(session, transaction, &messages).map(|()| Told::Arrived)
            }
            SessionRequest::Receive { session, transaction, consumer, max, timeout_ms, job } => {
                let max = usize::try_from(max).unwrap_or(usize::MAX);
                let until = Instant::now() + Duration::from_millis(timeout_ms.into());
                self.receive(Wait { number, session, transaction, consumer, max, job, until })
            }
            SessionRequest::Commit { session, transaction, level, heard } => {
                self.commit(session, (transaction, heard), level)
            }
            SessionRequest::Rollback { session, transaction, what } => {
                self.roll_back(session, transaction, what).map(done)
            }
            SessionRequest::Leave { session, forget } => self.leave(session, forget).map(done),
            SessionRequest::Resolve(id) => self.resolve(&id),
            SessionRequest::Consumer { queue, name, from, level, giving } => {
                let options =
                    ConsumerOptions { ack_level: level, ..readers::options(from, giving) };
                self.consumer(queue, name, &options)
            }
            SessionRequest::Ack(consumer, sequences) => {
                self.consumers.of(consumer)?.ack_staged(&sequences).map(Told::Staged)
            }
            SessionRequest::Reject { consumer, sequences, delay_ms, reason, to_end } => {
                let of = self.consumers.of(consumer)?;
                of.give_back(&sequences, Return { delay_ms, reason, to_end }).map(done)
            }
            SessionRequest::Renew(consumer, sequences) => {
                self.consumers.of(consumer)?.renew(&sequences).map(done)
            }
            SessionRequest::Seek(consumer, sequence) => {
                self.consumers.of(consumer)?.seek(sequence).map(Told::Stored)
            }
            SessionRequest::Prepare { session, transaction, xid } => {
                self.prepare(session, transaction, xid).map(done)
            }
            SessionRequest::Finish { id, commit, by_hand } => self.finish(&id, commit, by_hand),
            SessionRequest::Detach(consumer) => {
                self.consumers.close(consumer)?;
                // Who waits for its messages is told.
                self.desk.ring();
                Ok(done(()))
            }
        }
    }

    /// The user as the rights are now.
    fn user(&self) -> Result<Arc<User>> {
        self.shared.users.lock().get(&self.name).cloned().ok_or_else(denied)
    }

    fn allow(&self, verb: Verb, queue: u32) -> Result<()> {
        let name = self.shared.store.queue_name(Queue::from_number(queue))?;
        let may = self.user()?.may(verb, &name) || sabotage!("right of a session not asked");
        if may { Ok(()) } else { Err(denied()) }
    }

    fn check_open(&self) -> Result<()> {
        if self.seat.draining.load(Ordering::SeqCst) {
            return Err(Error::new(Code::Closed, "the server closes and takes nothing more"));
        }
        Ok(())
    }

    fn number(&mut self) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1).max(1);
        number
    }

    fn queue(&mut self, name: &str, make: bool) -> Result<Told> {
        let user = self.user()?;
        let store = &self.shared.store;
        if make && !user.may(Verb::Publish, name) && !user.may(Verb::Consume, name) {
            return Err(denied());
        }
        if !user.may_see(name) {
            return Err(denied());
        }
        let queue = if make { store.queue(name)? } else { store.find_queue(name)? };
        Ok(Told::Answer(SessionAnswer::Numbered(queue.number())))
    }

    fn open(&mut self, which: Which<'_>, idle_ms: u32, bytes_max: u64) -> Result<Told> {
        self.check_open()?;
        if !self.user()?.may_anything() {
            return Err(denied());
        }
        if self.sessions.len() >= limits::SESSIONS_OF_CONNECTION_MAX {
            let count = limits::SESSIONS_OF_CONNECTION_MAX;
            let text = format!("this connection has {count} sessions open already");
            return Err(Error::new(Code::Quota, text));
        }
        // It counts from here on, so that two of them cannot be the last one.
        let share = self.shared.usage.session(&self.name)?;
        self.check_remembered(which)?;
        let own = SessionOptions {
            user: self.name.clone(),
            bytes_max,
            prepared_share: self.shared.limits.user_share,
            ..SessionOptions::default()
        };
        let options = match which {
            Which::New => own,
            Which::Named(name, takeover) => SessionOptions { name: name.into(), takeover, ..own },
            Which::Resumed(session, epoch) => {
                SessionOptions { resume: Some((session, epoch)), ..own }
            }
        };
        let mut session = self.shared.store.session_with(&options)?;
        let id = session.id()?;
        let idle = match idle_ms {
            0 => Duration::from_millis(limits::SESSION_IDLE_MS),
            ms => Duration::from_millis(ms.into()),
        };
        let desk = self.desk.clone();
        session.on_fenced(Box::new(move || desk.ring()));
        let number = self.number();
        self.sessions.insert(number, Hosted::new(session, idle, share));
        Ok(Told::Answer(SessionAnswer::Opened(number, id)))
    }

    /// Fails where a new session would be one more than a user's share of those a store remembers.
    fn check_remembered(&self, which: Which<'_>) -> Result<()> {
        if matches!(which, Which::Resumed(..)) {
            return Ok(());
        }
        let most = limits::SESSIONS_MAX * self.shared.limits.user_share as usize / 100;
        let known = self.shared.store.core().sessions_of(&self.name);
        if known < most {
            return Ok(());
        }
        let hours = limits::SESSION_KEEP_MS / 3_600_000;
        let text = format!(
            "{known} sessions of user {:?} are remembered, the most of one user; each is forgotten {hours} hours after \
             its last use",
            self.name
        );
        Err(Error::new(Code::Quota, text))
    }

    /// The session, with this transaction open in it.
    fn hosted(&mut self, session: u32, transaction: u64) -> Result<&mut Hosted> {
        let hosted = self.sessions.get_mut(&session).ok_or_else(|| no_session(session))?;
        let id = hosted.session.id()?;
        if transaction < id.number {
            let late = TransactionId { number: transaction, ..id };
            let text = format!("transaction {late} was rolled back");
            let error = Error::new(Code::RolledBack, text);
            return Err(match hosted.idled == Some(transaction) {
                true => error.caused_by(Code::Timeout),
                false => error,
            });
        }
        if transaction > id.number {
            // Its client gave up what was open before.
            hosted.session.rollback()?;
            hosted.begin(transaction);
        }
        hosted.used = Instant::now();
        Ok(hosted)
    }

    fn stage(&mut self, session: u32, transaction: u64, messages: &[(u32, &[u8])]) -> Result<()> {
        self.check_open()?;
        let queues: BTreeSet<u32> = messages.iter().map(|(queue, _)| *queue).collect();
        let hosted = self.hosted(session, transaction)?;
        let new = queues.iter().filter(|queue| !hosted.touched.contains(&(true, **queue)));
        let new: Vec<u32> = new.copied().collect();
        let allowed = new.iter().try_for_each(|queue| {
            let first = messages.iter().position(|(of, _)| of == queue).unwrap_or_default();
            self.allow(Verb::Publish, *queue).map_err(|error| error.at_message(first))
        });
        let hosted = self.hosted(session, transaction)?;
        hosted.check()?;
        let staged = allowed.and_then(|()| {
            hosted.touched.extend(queues.iter().map(|queue| (true, *queue)));
            hosted.put(messages)
        });
        if let Err(error) = &staged {
            // The client did not wait, and may have sent more behind it.
            hosted.failed = Some(error.clone());
        }
        staged
    }

    fn receive(&mut self, wait: Wait) -> Result<Told> {
        self.check_open()?;
        let found = self.try_receive(&wait)?;
        if found.is_some() || wait.until <= Instant::now() {
            return Ok(Told::Messages(found.unwrap_or_default()));
        }
        if self.waits.len() >= limits::SESSIONS_OF_CONNECTION_MAX {
            let text = "too many receives of this connection wait for messages already";
            return Err(Error::new(Code::Quota, text));
        }
        if self.watch.is_none() {
            let desk = self.desk.clone();
            self.watch = Some(self.shared.store.core().watch(Arc::new(move || desk.ring())));
        }
        // What came since the first look rang nobody.
        if let Some(found) = self.try_receive(&wait)? {
            return Ok(Told::Messages(found));
        }
        self.waits.push(wait);
        self.lead_for_waits();
        Ok(Told::Later)
    }

    /// What came at level `process` is given out when it is durable, and nobody else may see to that.
    fn lead_for_waits(&self) {
        let core = self.shared.store.core();
        let kept_back =
            |wait: &Wait| self.consumers.of(wait.consumer).is_ok_and(Consumer::waits_for_horizon);
        if core.journal().seen().is_behind() && self.waits.iter().any(kept_back) {
            core.lead_soon();
        }
    }

    /// Answers a receive that waits as if its time were over. It is not an answer of its own.
    fn hurry(&mut self, of: u32) -> Result<()> {
        let Some(at) = self.waits.iter().position(|wait| wait.number == of) else {
            // It was answered already.
            self.desk.put_aside();
            return Ok(());
        };
        self.waits.remove(at);
        if self.waits.is_empty() {
            self.watch = None;
        }
        self.tell(of, Ok(Told::Messages(Vec::new())))
    }

    /// `None` while there is nothing to say.
    fn try_receive(&mut self, wait: &Wait) -> Result<Option<Vec<Received>>> {
        if wait.session == 0 {
            let consumer = self.consumers.of(wait.consumer)?;
            if wait.max == 0 {
                return Ok(consumer.is_ready()?.then(Vec::new));
            }
            if wait.job {
                let text = "the messages of a whole transaction are received in a session only";
                return Err(Error::new(Code::Invalid, text));
            }
            let found = consumer.receive(wait.max, Duration::ZERO)?;
            return Ok(Some(found).filter(|found| !found.is_empty()));
        }
        self.hosted(wait.session, wait.transaction)?.check()?;
        let consumer = self.consumers.of(wait.consumer)?;
        let hosted = self.sessions.get_mut(&wait.session);
        let hosted = hosted.ok_or_else(|| no_session(wait.session))?;
        let found = hosted.receive(consumer, wait.max, wait.job)?;
        if !found.is_empty() {
            hosted.touched.insert((false, consumer.queue().number()));
        }
        Ok(Some(found).filter(|found| !found.is_empty()))
    }

    /// Tries what waits again, answers what is over, and rolls back what is idle.
    fn look_again(&mut self) -> Result<()> {
        let now = Instant::now();
        for wait in std::mem::take(&mut self.waits) {
            let found = match self.consumers.has(wait.consumer) {
                true => self.try_receive(&wait),
                false => Err(Error::new(Code::Closed, "the consumer was closed")),
            };
            if matches!(found, Ok(None)) && wait.until > now {
                self.waits.push(wait);
                continue;
            }
            self.desk.take_up();
            let messages = |found: Option<_>| Told::Messages(found.unwrap_or_default());
            self.tell(wait.number, found.map(messages))?;
        }
        if self.waits.is_empty() {
            self.watch = None;
        }
        self.lead_for_waits();
        // What somebody else took over, or an administrator ended, holds nothing until its client notices.
        let lost = self.sessions.values_mut().filter(|one| one.session.is_fenced());
        lost.for_each(Hosted::give_back);
        let idle: Vec<u32> = self
            .sessions
            .iter()
            .filter(|(number, one)| self.may_idle(**number, one) && one.used + one.idle <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in idle {
            let Some(hosted) = self.sessions.get_mut(&number) else { continue };
            hosted.idled = hosted.session.id().ok().map(|id| id.number);
            hosted.give_back();
        }
        Ok(())
    }

    fn commit(
        &mut self,
        session: u32,
        (transaction, heard): (u64, u64),
        level: Option<Level>,
    ) -> Result<Told> {
        let known = self.sessions.get_mut(&session).ok_or_else(|| no_session(session))?;
        let open = known.session.id()?;
        let late = transaction < open.number && sabotage!("commit applied to the next transaction");
        let transaction = if late { open.number } else { transaction };
        let id = TransactionId { number: transaction, ..open };
        if transaction < open.number && known.idled != Some(transaction) {
            // It was answered before, and the answer was lost.
            let user = self.name.clone();
            return match self.shared.store.core().resolve(&id, Some(&user))? {
                Outcome::Committed(token) => {
                    Ok(Told::Stored(Commit { token, level: Level::Power }))
                }
                Outcome::Expired => {
                    let text = format!("the outcome of transaction {id} is not known any more");
                    Err(Error::new(Code::OutcomeExpired, text))
                }
                Outcome::Pending => {
                    let text = format!("transaction {id} is prepared, and nobody has ended it");
                    Err(Error::new(Code::OutcomeUnknown, text))
                }
                _ => Err(Error::new(Code::RolledBack, format!("transaction {id} was rolled back"))),
            };
        }
        if heard > 0 && heard < transaction {
            self.shared.store.core().session_heard(&TransactionId { number: heard, ..open });
        }
        let level = level.unwrap_or(self.shared.store.core().level());
        let hosted = self.allowed(session, transaction)?;
        let staged = hosted.session.hand_over(level);
        if staged.is_err() && hosted.session.is_empty() {
            // It was rolled back, and another one begins.
            hosted.forget();
        }
        let staged = staged?;
        hosted.forget();
        hosted.session.go_to(transaction + 1);
        Ok(Told::Staged(staged))
    }

    /// The session with this transaction open in it, where it may be committed by the rights as they are now.
    fn allowed(&mut self, session: u32, transaction: u64) -> Result<&mut Hosted> {
        let touched = self.hosted(session, transaction)?.touched.clone();
        let allowed = touched.iter().try_for_each(|(puts, queue)| {
            self.allow(if *puts { Verb::Publish } else { Verb::Consume }, *queue)
        });
        let hosted = self.hosted(session, transaction)?;
        hosted.end_doomed(transaction)?;
        allowed?;
        Ok(hosted)
    }

    fn prepare(&mut self, session: u32, transaction: u64, xid: &[u8]) -> Result<()> {
        self.check_open()?;
        self.allowed(session, transaction)?.prepare(transaction, xid)
    }

    fn finish(&mut self, id: &TransactionId, commit: bool, by_hand: bool) -> Result<Told> {
        let user = self.user()?;
        let of = (!user.may(Verb::Admin, "*")).then_some(self.name.as_str());
        let verdict = Verdict { id: *id, commit, of, by: &self.name, by_hand };
        let stored = self.shared.store.decide(&verdict)?;
        if by_hand {
            let what = if commit { "commit" } else { "rollback" };
            log::info!(target: AUDIT, "{:?} did tx {what} {id}", self.name);
        }
        Ok(Told::Stored(stored))
    }

    fn roll_back(&mut self, session: u32, transaction: u64, what: Undo) -> Result<()> {
        let hosted = self.sessions.get_mut(&session).ok_or_else(|| no_session(session))?;
        if transaction < hosted.session.id()?.number {
            return Ok(());
        }
        match what {
            Undo::All => hosted.session.rollback()?,
            Undo::Keep => hosted.session.pass_over(),
            Undo::Puts => {
                hosted.forget_puts();
                return Ok(());
            }
        }
        hosted.begin(transaction + 1);
        Ok(())
    }

    fn leave(&mut self, session: u32, forget: bool) -> Result<()> {
        let mut hosted = self.sessions.remove(&session).ok_or_else(|| no_session(session))?;
        hosted.session.rollback()?;
        if forget { hosted.session.forget_identity() } else { Ok(()) }
    }

    fn resolve(&mut self, id: &TransactionId) -> Result<Told> {
        let user = self.user()?;
        let own = (!user.may(Verb::Admin, "*")).then_some(self.name.as_str());
        let outcome = self.shared.store.core().resolve(id, own)?;
        Ok(Told::Answer(SessionAnswer::Resolved(outcome)))
    }

    fn consumer(&mut self, queue: u32, name: &str, options: &ConsumerOptions) -> Result<Told> {
        self.check_open()?;
        self.allow(Verb::Consume, queue)?;
        options.rules.check()?;
        if let Some(dead) = options.rules.dead_letters {
            self.allow(Verb::Publish, dead.number())?;
        }
        self.consumers.check_room()?;
        let consumer = self.shared.store.consumer(name, Queue::from_number(queue), options)?;
        let number = self.number();
        self.consumers.add(number, consumer);
        Ok(Told::Answer(SessionAnswer::Numbered(number)))
    }
}

fn denied() -> Error {
    Error::new(Code::Denied, "this user may not do that")
}

fn no_session(number: u32) -> Error {
    Error::new(Code::BadHandle, format!("this connection has no session {number}"))
}
