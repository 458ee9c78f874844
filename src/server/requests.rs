//! The side of a requests connection that answers.
//!
//! Requests wait in the order in which they came and are worked on while the socket has room for answers, so
//! a client that asks and does not read costs bounded memory. A put is appended in that order and answered
//! when it is durable; nobody here waits for the disk.

use super::AUDIT;
use super::connection::Shared;
use super::orders::Order;
use super::sessions::Sessions;
use super::snapshots::Snapshots;
use super::table::Seat;
use super::users::{User, Verb};
use crate::error::{Code, Error, Result};
use crate::journal::{Body, headers};
use crate::limits::RECEIVE_MESSAGES_MAX;
use crate::position::Token;
use crate::queue::{Batch, Message, Queue, Received};
use crate::session::{QueueInfo, Snapshot, Waited};
use crate::store::Watch;
use crate::sync::{Mutex, Ordering};
use crate::wire::{Answer, Machine, REQUESTS_MAX, Request, Row, SessionRequest, Waker};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of requests that wait.
const WAITING_BYTES_MAX: usize = 64 << 20;

type Stored = Arc<Mutex<VecDeque<(u32, Result<(Token, crate::store::Level)>)>>>;

/// The answer to an order, once its thread has it.
type Ordered = Arc<Mutex<Option<(u32, Result<String>)>>>;

/// Tells the status of the server.
pub type ServerStatus = Arc<dyn Fn() -> Result<String> + Send + Sync>;

/// The requests of one connection.
pub struct Requests {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    name: String,
    user: Arc<User>,
    waker: Waker,
    waiting: VecDeque<(u8, Vec<u8>)>,
    waiting_bytes: usize,
    under_way: usize,
    stored: Stored,
    ordered: Ordered,
    ordering: bool,
    waits: Vec<Wait>,
    watch: Option<Watch>,
    snapshots: Snapshots,
    sessions: Sessions,
}

struct Wait {
    number: u32,
    waited: Waited,
    until: Instant,
}

impl Requests {
    /// Answers what this user may ask.
    pub fn new(
        shared: Arc<Shared>,
        seat: Arc<Seat>,
        name: &str,
        user: Arc<User>,
        waker: Waker,
    ) -> Requests {
        let sessions = Sessions::new(&shared, &seat, name, waker.clone());
        Requests {
            sessions,
            shared,
            seat,
            name: name.into(),
            user,
            waker,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: 0,
            stored: Stored::default(),
            ordered: Ordered::default(),
            ordering: false,
            waits: Vec::new(),
            watch: None,
            snapshots: Snapshots::default(),
        }
    }

    /// Works on one request; what it answers at once goes into `body`.
    fn work(
        &mut self,
        kind: u8,
        asked: &[u8],
        now: Instant,
        body: &mut Vec<u8>,
    ) -> Result<Option<u8>> {
        let (number, request) = Request::decode(kind, asked)?;
        let outcome = match request {
            Request::Status => self.status(number, body),
            Request::Server => self.server(number, body),
            Request::Queues => self.queues(number, body),
            Request::Order { text } => match self.order(number, text) {
                Ok(()) => return Ok(None),
                Err(error) => Err(error),
            },
            Request::Browse { queue, from, max } => self.browse(number, queue, from, max, body),
            Request::Put { queue, messages } => match self.put(number, queue, &messages) {
                Ok(()) => return Ok(None),
                Err(error) => Err(error),
            },
            Request::Hurry(of) => {
                self.hurry(of, (kind, asked), now)?;
                return Ok(None);
            }
            Request::Wait { at, timeout_ms, tokens } => {
                let until = now + Duration::from_millis(u64::from(timeout_ms));
                match self.wait(number, (at, &tokens), until, now) {
                    Ok(true) => Answer::Done.encode(number, body),
                    Ok(false) => return Ok(None),
                    Err(error) => Err(error),
                }
            }
            Request::Snapshot => self.snapshot(number, now, body),
            Request::Look { snapshot, queue, from, max } => {
                self.look((snapshot, now), queue, (from, max)).and_then(|found| {
                    Answer::Messages(found.iter().map(row).collect()).encode(number, body)
                })
            }
            Request::GiveUp(snapshot) => {
                self.snapshots.give_up(snapshot);
                Answer::Done.encode(number, body)
            }
        };
        if let Err(error) = &outcome
            && error.code() == Code::Denied
        {
            log::warn!(target: AUDIT, "{:?} was denied {}", self.name, Request::name(kind));
        }
        outcome.or_else(|error| refuse(number, error, body)).map(Some)
    }

    /// Begins an order on a thread of its own.
    fn order(&mut self, number: u32, text: &str) -> Result<()> {
        let order = Order::parse(text)?;
        if !order.is_allowed(&self.user) {
            return Err(denied());
        }
        if self.ordering {
            return Err(Error::new(Code::Busy, "an order of this connection is under way already"));
        }
        let (shared, by) = (self.shared.clone(), self.name.clone());
        let (ordered, waker) = (self.ordered.clone(), self.waker.clone());
        let work = move || {
            let outcome = order.run(&shared, &by);
            *ordered.lock() = Some((number, outcome));
            waker();
        };
        let failed = |error| Error::io("cannot start a thread for an order", &error);
        crate::link::spawn("repliq-order", work).map_err(failed)?;
        self.ordering = true;
        Ok(())
    }

    /// How many requests are not answered, for who wants to close.
    fn tell_open(&self) {
        let ordering = usize::from(self.ordering);
        let open = self.waiting.len() + self.under_way + ordering + self.sessions.open();
        self.seat.open.store(open, Ordering::SeqCst);
    }

    fn allow(&self, verb: Verb, queue: &str) -> Result<()> {
        let may = self.user.may(verb, queue) || sabotage!("right of a request not asked");
        if may { Ok(()) } else { Err(denied()) }
    }

    fn status(&self, number: u32, body: &mut Vec<u8>) -> Result<u8> {
        self.allow(Verb::Admin, "*")?;
        Answer::Text(&self.shared.store.status()?).encode(number, body)
    }

    fn server(&self, number: u32, body: &mut Vec<u8>) -> Result<u8> {
        self.allow(Verb::Admin, "*")?;
        Answer::Text(&(self.shared.status)()?).encode(number, body)
    }

    fn queues(&self, number: u32, body: &mut Vec<u8>) -> Result<u8> {
        let (queues, pins) = (self.shared.store.queues()?, self.shared.store.pins()?);
        let seen = queues.iter().filter(|info| self.user.may_see(&info.name));
        let row = |info: &QueueInfo| info.to_json_with(&pins);
        let text = Value::Array(seen.map(row).collect()).to_string();
        Answer::Text(&text).encode(number, body)
    }

    fn browse(
        &self,
        number: u32,
        queue: &str,
        from: u64,
        max: u32,
        body: &mut Vec<u8>,
    ) -> Result<u8> {
        self.allow(Verb::Browse, queue)?;
        let queue = self.shared.store.find_queue(queue)?;
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(RECEIVE_MESSAGES_MAX);
        let found = Snapshot::of_queue(&self.shared.store, queue)?.browse(queue, from, max)?;
        Answer::Messages(found.iter().map(row).collect()).encode(number, body)
    }

    fn snapshot(&mut self, number: u32, now: Instant, body: &mut Vec<u8>) -> Result<u8> {
        // What it shows is asked of each look.
        if !self.user.may_anything() {
            return Err(denied());
        }
        let held = self.snapshots.take(&self.shared.store, now)?;
        Answer::Held(held).encode(number, body)
    }

    fn look(
        &mut self,
        (snapshot, now): (u32, Instant),
        queue: u32,
        (from, max): (u64, u32),
    ) -> Result<Vec<Received>> {
        let snapshot = self.snapshots.of(snapshot, now)?;
        let queue = Queue::from_number(queue);
        let named = snapshot.queue_name(queue);
        // Whether there is such a queue is for those who may see all.
        if !self.user.may(Verb::Browse, named.as_ref().map_or("*", |name| name)) {
            return Err(denied());
        }
        named?;
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(RECEIVE_MESSAGES_MAX);
        snapshot.browse(queue, from, max)
    }

    fn put(&mut self, number: u32, queue: &str, bodies: &[&[u8]]) -> Result<()> {
        self.allow(Verb::Publish, queue)?;
        if self.seat.draining.load(Ordering::SeqCst) {
            return Err(Error::new(Code::Closed, "the server closes and takes nothing more"));
        }
        if self.under_way >= REQUESTS_MAX {
            let text = format!("{REQUESTS_MAX} puts of this connection are under way already");
            return Err(Error::new(Code::Quota, text));
        }
        let queue = self.shared.store.queue(queue)?;
        let taken: Vec<Taken<'_>> = taken_apart(bodies)?;
        let messages: Vec<Message<'_>> = taken.iter().map(Taken::message).collect();
        let batch = Batch::pack(&messages)?;
        let core = self.shared.store.core();
        let staged = core.transact(&batch.entries(queue.number()), &[], core.level())?;
        self.under_way += 1;
        let (stored, waker) = (self.stored.clone(), self.waker.clone());
        let commit = staged.commit();
        match staged.appended.as_ref().filter(|_| staged.level() == crate::store::Level::Power) {
            Some(appended) => core.when_durable(
                appended,
                Box::new(move |outcome: Result<()>| {
                    let outcome = outcome.map(|()| (commit.token, commit.level));
                    stored.lock().push_back((number, outcome));
                    waker();
                }),
            ),
            None => {
                let outcome = core.finish(&staged).map(|commit| (commit.token, commit.level));
                stored.lock().push_back((number, outcome));
                waker();
            }
        }
        Ok(())
    }

    /// Whether it is reached already; otherwise it is looked at again after each commit.
    fn wait(
        &mut self,
        number: u32,
        (at, tokens): (&str, &[Token]),
        until: Instant,
        now: Instant,
    ) -> Result<bool> {
        if at.is_empty() {
            // Whoever may do anything here may ask whether it is done.
            if !self.user.may_anything() {
                return Err(denied());
            }
        } else {
            self.allow(Verb::Admin, "*")?;
        }
        if tokens.is_empty() {
            return Err(Error::new(Code::Invalid, "no token was given to wait for"));
        }
        if self.waits.len() >= REQUESTS_MAX {
            let text = format!("{REQUESTS_MAX} waits of this connection are under way already");
            return Err(Error::new(Code::Quota, text));
        }
        let core = self.shared.store.core();
        if self.watch.is_none() {
            self.watch = Some(core.watch(self.waker.clone()));
        }
        let mut waited = Waited::new(core, at, tokens)?;
        if waited.reached(core)? {
            return Ok(true);
        }
        if until <= now {
            return Err(waited.late());
        }
        self.waits.push(Wait { number, waited, until });
        // Nobody may be waiting for the commit it is about.
        core.lead_soon();
        Ok(false)
    }

    /// Ends a wait: here, or that of a receive.
    fn hurry(&mut self, of: u32, (kind, asked): (u8, &[u8]), now: Instant) -> Result<()> {
        match self.waits.iter_mut().find(|wait| wait.number == of) {
            Some(wait) => {
                wait.until = now;
                Ok(())
            }
            None => self.sessions.pass_on(kind, asked),
        }
    }

    /// The first wait that is over, answered.
    fn end_of_wait(&mut self, now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        for index in 0..self.waits.len() {
            let wait = &mut self.waits[index];
            let outcome = match wait.waited.reached(self.shared.store.core()) {
                Ok(true) => Ok(()),
                Ok(false) if wait.until > now => continue,
                Ok(false) => Err(wait.waited.late()),
                Err(error) => Err(error),
            };
            let wait = self.waits.swap_remove(index);
            return match outcome {
                Ok(()) => Answer::Done.encode(wait.number, body),
                Err(error) => refuse(wait.number, error, body),
            }
            .map(Some);
        }
        if self.waits.is_empty() {
            self.watch = None;
        }
        Ok(None)
    }
}

impl Machine for Requests {
    fn on_frame(&mut self, kind: u8, body: &[u8], _now: Instant) -> Result<()> {
        self.seat.requests.fetch_add(1, Ordering::Relaxed);
        if SessionRequest::is_one(kind) {
            self.sessions.take(kind, body)?;
            self.tell_open();
            return Ok(());
        }
        self.waiting_bytes += body.len();
        if self.waiting.len() >= REQUESTS_MAX || self.waiting_bytes > WAITING_BYTES_MAX {
            let text =
                format!("more than {REQUESTS_MAX} requests or 64 MiB of them wait for answers");
            return Err(Error::new(Code::Quota, text));
        }
        self.waiting.push_back((kind, body.to_vec()));
        self.tell_open();
        Ok(())
    }

    fn next_frame(&mut self, now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        let answered = self.next_answer(now, body);
        self.tell_open();
        answered
    }

    fn deadline(&self) -> Option<Instant> {
        let waits = self.waits.iter().map(|wait| wait.until);
        waits.chain(self.snapshots.deadline()).min()
    }
}

impl Requests {
    fn next_answer(&mut self, now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        self.snapshots.tidy(now);
        if let Some((kind, answer)) = self.sessions.answer() {
            *body = answer;
            return Ok(Some(kind));
        }
        let ordered = self.ordered.lock().take();
        if let Some((number, outcome)) = ordered {
            self.ordering = false;
            return match outcome {
                Ok(text) => Answer::Text(&text).encode(number, body),
                Err(error) => refuse(number, error, body),
            }
            .map(Some);
        }
        let stored = self.stored.lock().pop_front();
        if let Some((number, outcome)) = stored {
            self.under_way -= 1;
            return match outcome {
                Ok((token, level)) => Answer::Stored(token, level).encode(number, body),
                Err(error) => refuse(number, error, body),
            }
            .map(Some);
        }
        while let Some((kind, asked)) = self.waiting.pop_front() {
            self.waiting_bytes -= asked.len();
            if let Some(kind) = self.work(kind, &asked, now, body)? {
                return Ok(Some(kind));
            }
        }
        self.end_of_wait(now, body)
    }
}

fn denied() -> Error {
    Error::new(Code::Denied, "this user may not do that")
}

fn refuse(number: u32, error: Error, body: &mut Vec<u8>) -> Result<u8> {
    body.clear();
    Answer::Refused(error).encode(number, body)
}

/// A message as an answer shows it.
fn row(message: &Received) -> Row<'_> {
    Row {
        sequence: message.sequence(),
        transaction: message.transaction(),
        committed_ms: message.committed_ms(),
        body: message.stored().0,
    }
}

/// A message as it came, with its headers listed.
pub(super) struct Taken<'a> {
    body: Body<'a>,
    producer: &'a str,
    headers: Vec<(&'a str, &'a [u8])>,
}

impl Taken<'_> {
    pub(super) fn message(&self) -> Message<'_> {
        let front = &self.body.front;
        Message {
            kind: front.kind,
            key: self.body.key,
            headers: &self.headers,
            payload: self.body.payload,
            expires_ms: front.expires_ms,
            deliver_at_ms: front.deliver_at_ms,
            priority: front.priority,
            producer: self.producer,
            producer_sequence: front.producer_sequence,
        }
    }
}

pub(super) fn taken_apart<'a>(bodies: &[&'a [u8]]) -> Result<Vec<Taken<'a>>> {
    let malformed = |index: usize| {
        Error::new(Code::Invalid, "a message arrived that is malformed").at_message(index)
    };
    let one = |(index, bytes): (usize, &&'a [u8])| {
        let body = Body::decode(bytes).ok_or_else(|| malformed(index))?;
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| malformed(index));
        let mut listed = Vec::new();
        let mut length = 0;
        for (name, value) in headers(body.headers) {
            listed.push((text(name)?, value));
            length += 3 + name.len() + value.len();
        }
        if length != body.headers.len() {
            return Err(malformed(index));
        }
        Ok(Taken { body, producer: text(body.front.producer)?, headers: listed })
    };
    bodies.iter().enumerate().map(one).collect()
}
