//! What is asked of a store at a server as a whole.
//!
//! A put outside a session runs in one of the handle's hidden sessions: it has an identity, and when its answer does
//! not come, what became of it is asked for as soon as there is a connection again.

use super::asker::{Asker, Lost, Manner, OnAnswer, Raw};
use super::interrupt::Patience;
use super::session::RemoteSession;
use crate::error::{Code, Error, Result};
use crate::journal::{Found, Head, LAST, Type, body_sum};
use crate::link::{ConnectOptions, Endpoint};
use crate::position::Token;
use crate::queue::{Message, Queue, Received};
use crate::session::info::{ConsumerInfo, QueueInfo};
use crate::session::port::Port;
use crate::session::prepared::PreparedInfo;
use crate::session::redrive::Worked;
use crate::session::remembered::{SessionInfo, session_text};
use crate::session::transaction::SessionOptions;
use crate::store::{Commit, Level, Outcome, TransactionId};
use crate::sync::{Condvar, Mutex};
use crate::wire::{Answer, Given, Request, SessionAnswer, SessionRequest, TOKENS_MAX, Which};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of messages on their way to be staged, of all sessions together; a larger message goes alone.
const WINDOW_BYTES: usize = 8 << 20;
/// Hidden sessions that are kept for the next put.
const HIDDEN_MAX: usize = 64;
/// The longest wait one request names; a longer one is several.
pub(super) const WAIT_MS_MAX: u32 = 3_600_000;

/// A store at a server.
pub struct RemoteStore {
    line: Arc<Line>,
    names: Mutex<HashMap<u32, String>>,
    hidden: Mutex<Vec<RemoteSession>>,
}

/// The connection, which sessions and consumers share with their store.
pub struct Line {
    asker: Asker,
    window: Mutex<usize>,
    room: Condvar,
}

/// An answer that owns its bytes.
pub enum Reply {
    Done,
    Numbered(u32),
    Opened(u32, TransactionId),
    Resolved(Outcome),
    Messages(Vec<Received>),
    Stored(Commit),
    Text(String),
}

/// Why a request was not done.
pub enum Failure {
    /// The server says why.
    Refused(Error),
    /// Nobody said anything.
    Lost(Lost),
}

impl Failure {
    /// The error, whatever became of the request.
    pub fn error(self) -> Error {
        match self {
            Failure::Refused(error) => error,
            Failure::Lost(lost) => lost.error(),
        }
    }
}

/// A message of an answer as if it were read here.
pub fn shown(given: &Given<'_>) -> Result<Received> {
    let head = Head {
        length: u32::try_from(given.body.len()).unwrap_or(u32::MAX),
        kind: Type::Message,
        flags: LAST,
        transaction: given.transaction,
        sequence: given.sequence,
        time_ms: given.committed_ms,
        queue: given.queue,
        index: given.index,
        body_sum: body_sum(&[given.body]),
    };
    let found = Found { head, buffer: Arc::new(given.body.to_vec()), body: 0..given.body.len() };
    Received::new(found, given.deliveries)
}

/// What an answer says; the error when it is a refusal.
pub fn reply(raw: &Raw) -> Result<Reply> {
    if !SessionAnswer::is_one(raw.kind) {
        return match Answer::decode(raw.kind, &raw.body)?.1 {
            Answer::Refused(error) => Err(error),
            Answer::Stored(token, level) => Ok(Reply::Stored(Commit { token, level })),
            Answer::Text(text) => Ok(Reply::Text(text.into())),
            Answer::Done => Ok(Reply::Done),
            Answer::Held(number) => Ok(Reply::Numbered(number)),
            Answer::Messages(rows) => {
                let row = |row: &crate::wire::Row<'_>| {
                    shown(&Given {
                        queue: 0,
                        index: 0,
                        deliveries: 1,
                        sequence: row.sequence,
                        transaction: row.transaction,
                        committed_ms: row.committed_ms,
                        body: row.body,
                    })
                };
                rows.iter().map(row).collect::<Result<_>>().map(Reply::Messages)
            }
        };
    }
    Ok(match SessionAnswer::decode(raw.kind, &raw.body)?.1 {
        SessionAnswer::Done => Reply::Done,
        SessionAnswer::Numbered(number) => Reply::Numbered(number),
        SessionAnswer::Opened(session, id) => Reply::Opened(session, id),
        SessionAnswer::Resolved(outcome) => Reply::Resolved(outcome),
        SessionAnswer::Received(last) => {
            let mut messages = Vec::new();
            for part in &raw.parts {
                for one in &SessionAnswer::decode_part(part)? {
                    messages.push(shown(one)?);
                }
            }
            for one in &last {
                messages.push(shown(one)?);
            }
            Reply::Messages(messages)
        }
        SessionAnswer::Part(_) => return Err(odd()),
    })
}

/// What becomes of such a request when nobody waits for its answer any more.
fn manner(request: &SessionRequest<'_>) -> Manner {
    match request {
        SessionRequest::Receive { .. } => Manner::Waits,
        SessionRequest::Consumer { .. } => Manner::Opens(|raw| match reply(raw) {
            Ok(Reply::Numbered(consumer)) => Some(SessionRequest::Detach(consumer)),
            _ => None,
        }),
        SessionRequest::Session { which: Which::New, .. } => Manner::Opens(|raw| leave(raw, true)),
        SessionRequest::Session { .. } => Manner::Opens(|raw| leave(raw, false)),
        _ => Manner::Plain,
    }
}

/// Closes the session that an answer says was opened.
fn leave(raw: &Raw, forget: bool) -> Option<SessionRequest<'static>> {
    match reply(raw) {
        Ok(Reply::Opened(session, _)) => Some(SessionRequest::Leave { session, forget }),
        _ => None,
    }
}

/// An answer to another question.
pub fn odd() -> Error {
    Error::new(Code::Protocol, "the server answered another question than the one asked")
}

/// So many milliseconds, as a request says them.
pub fn wait_ms(wait: Duration) -> u32 {
    // Rounded up, so that nobody asks again for less than a millisecond.
    let ms = wait.as_nanos().div_ceil(1_000_000);
    u32::try_from(ms).unwrap_or(WAIT_MS_MAX).min(WAIT_MS_MAX)
}

impl RemoteStore {
    /// Connects and logs in; fails with what the first try failed with.
    pub fn open(url: &str, options: &ConnectOptions) -> Result<RemoteStore> {
        let endpoint = Endpoint::parse(url)?;
        if let Some(queue) = endpoint.queue() {
            let text = format!("{url:?} names the queue {queue:?}: a store is opened without one");
            return Err(Error::new(Code::Invalid, text));
        }
        let asker = Asker::connect(&endpoint, options)?;
        let line = Arc::new(Line { asker, window: Mutex::new(0), room: Condvar::new() });
        Ok(RemoteStore { line, names: Mutex::default(), hidden: Mutex::default() })
    }

    /// The connection.
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// What error texts call the store.
    pub fn describe(&self) -> String {
        self.line.describe()
    }

    /// Leaves the server; what is open there is rolled back.
    pub fn close(&self) {
        let hidden = std::mem::take(&mut *self.hidden.lock());
        drop(hidden);
        self.line.asker.close();
    }

    /// Asks what may be asked twice, and waits as long as a call may take: what is lost with a connection is asked in
    /// the next one.
    fn simple(&self, request: &SessionRequest<'_>) -> Result<Reply> {
        let until = self.line.asker.until(Duration::ZERO);
        loop {
            let life = self.line.asker.life(until)?;
            match self.line.ask(Some(life), request, until) {
                Ok(reply) => return Ok(reply),
                Err(Failure::Lost(_))
                    if self.line.asker.current_life() != life && Instant::now() < until => {}
                Err(failure) => return Err(failure.error()),
            }
            self.line.asker.check()?;
        }
    }

    fn request(&self, request: &Request<'_>, extra: Duration) -> Result<Reply> {
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        let manner = match request {
            Request::Wait { .. } => Manner::Waits,
            _ => Manner::Plain,
        };
        let until = self.line.asker.until(extra);
        let raw = self.line.asker.ask_so(manner, None, &encode, until).map_err(Lost::error)?;
        reply(&raw)
    }

    fn text(&self, request: &Request<'_>) -> Result<String> {
        match self.request(request, Duration::ZERO)? {
            Reply::Text(text) => Ok(text),
            _ => Err(odd()),
        }
    }

    /// The status of the store.
    pub fn status(&self) -> Result<String> {
        self.text(&Request::Status)
    }

    /// The queue of this name.
    pub fn queue(&self, name: &str, make: bool) -> Result<Queue> {
        match self.simple(&SessionRequest::Queue { name, make })? {
            Reply::Numbered(number) => {
                self.names.lock().insert(number, name.into());
                Ok(Queue::from_number(number))
            }
            _ => Err(odd()),
        }
    }

    /// The name of a queue.
    pub fn queue_name(&self, queue: Queue) -> Result<String> {
        if let Some(name) = self.names.lock().get(&queue.number()) {
            return Ok(name.clone());
        }
        let found = self.queues()?.into_iter().find(|info| info.queue == queue);
        found.map(|info| info.name).ok_or_else(|| {
            let text = format!("{} has no queue {}", self.describe(), queue.number());
            Error::new(Code::NoSuchName, text)
        })
    }

    /// The queues this user may see.
    pub fn queues(&self) -> Result<Vec<QueueInfo>> {
        let text = self.text(&Request::Queues)?;
        let rows: Vec<Value> = serde_json::from_str(&text).map_err(|_| odd())?;
        let infos = rows.iter().map(info).collect::<Option<Vec<_>>>().ok_or_else(odd)?;
        let mut names = self.names.lock();
        names.extend(infos.iter().map(|info| (info.queue.number(), info.name.clone())));
        drop(names);
        Ok(infos)
    }

    /// Gives an order about a queue; `server/orders.rs` says which there are.
    pub fn order(&self, order: &str, queue: Queue, consumer: Option<&str>) -> Result<Commit> {
        let mut text = json!({ "order": order, "queue": self.queue_name(queue)? });
        if let Some(consumer) = consumer {
            text["consumer"] = json!(consumer);
        }
        let answer = self.text(&Request::Order { text: &text.to_string() })?;
        let answer: Value = serde_json::from_str(&answer).map_err(|_| odd())?;
        let token = answer["token"].as_str().ok_or_else(odd)?.parse()?;
        Ok(Commit { token, level: Level::Power })
    }

    /// Redrives letters behind one, for a moment.
    pub fn redrive(&self, dead: Queue, drop: bool, after: u64, max: u64) -> Result<Worked> {
        let queue = self.queue_name(dead)?;
        let order = json!({
            "order": "queue_redrive", "queue": queue, "drop": drop, "after": after, "max": max,
        });
        let answer = self.text(&Request::Order { text: &order.to_string() })?;
        let answer: Value = serde_json::from_str(&answer).map_err(|_| odd())?;
        Worked::from_json(&answer).ok_or_else(odd)
    }

    /// The remembered sessions behind one.
    pub fn sessions_behind(&self, after: Option<[u8; 16]>) -> Result<Vec<SessionInfo>> {
        let after = after.map(|session| session_text(&session));
        let text = json!({ "order": "session_ls", "after": after }).to_string();
        let answer = self.text(&Request::Order { text: &text })?;
        let rows: Vec<Value> = serde_json::from_str(&answer).map_err(|_| odd())?;
        rows.iter().map(SessionInfo::from_json).collect::<Option<_>>().ok_or_else(odd)
    }

    /// Takes a session away from whoever has it open.
    pub fn session_kill(&self, session: [u8; 16]) -> Result<()> {
        let order = json!({ "order": "session_kill", "session": session_text(&session) });
        self.text(&Request::Order { text: &order.to_string() }).map(|_| ())
    }

    /// The prepared transactions behind one.
    pub fn prepared_behind(&self, after: Option<TransactionId>) -> Result<Vec<PreparedInfo>> {
        let after = after.map(|id| id.to_string());
        let text = json!({ "order": "tx_ls", "after": after }).to_string();
        let answer = self.text(&Request::Order { text: &text })?;
        let rows: Vec<Value> = serde_json::from_str(&answer).map_err(|_| odd())?;
        rows.iter().map(PreparedInfo::from_json).collect::<Option<_>>().ok_or_else(odd)
    }

    /// Ends a prepared transaction; asked twice it says the same.
    pub fn finish(&self, id: &TransactionId, commit: bool, by_hand: bool) -> Result<Commit> {
        match self.simple(&SessionRequest::Finish { id: *id, commit, by_hand })? {
            Reply::Stored(commit) => Ok(commit),
            _ => Err(odd()),
        }
    }

    /// Waits until all tokens are there.
    pub fn wait(&self, at: &str, tokens: &[Token], timeout: Duration) -> Result<()> {
        check_tokens(tokens)?;
        let until = Instant::now().checked_add(timeout);
        loop {
            let left = until.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            let timeout_ms = wait_ms(left);
            let request = Request::Wait { at, timeout_ms, tokens: tokens.to_vec() };
            match self.request(&request, Duration::from_millis(timeout_ms.into())) {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Code::Timeout && timeout_ms == WAIT_MS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The same, ending on a port.
    pub fn watch(&self, at: &str, tokens: &[Token], port: &Port, tag: u64) -> Result<()> {
        check_tokens(tokens)?;
        let last = *tokens
            .last()
            .ok_or_else(|| Error::new(Code::Invalid, "no token was given to wait for"))?;
        let life = self.line.asker.life(self.line.asker.until(Duration::ZERO))?;
        let started = port.start_elsewhere(tag)?;
        let tokens = tokens.to_vec();
        let request = Request::Wait { at, timeout_ms: u32::MAX, tokens };
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        let ended: OnAnswer = Box::new(move |answer| {
            let outcome = answer.map_err(Lost::error).and_then(|raw| reply(&raw));
            started.end(outcome.map(|_| Commit { token: last, level: Level::Power }));
        });
        // An operation that did not begin ends on the port like one that did.
        if let Some(number) = self.line.asker.begin(life, &encode, ended) {
            self.line.hurry_when_cancelled(port, tag, (life, number));
        }
        Ok(())
    }

    /// What became of a transaction.
    pub fn resolve(&self, id: &TransactionId) -> Result<Outcome> {
        match self.simple(&SessionRequest::Resolve(*id))? {
            Reply::Resolved(outcome) => Ok(outcome),
            _ => Err(odd()),
        }
    }

    /// Puts messages as one transaction.
    pub fn put(
        &self,
        queue: Queue,
        messages: &[Message<'_>],
        level: Option<Level>,
    ) -> Result<Commit> {
        self.with_hidden(|session| {
            session.put_many(queue, messages)?;
            session.commit(level)
        })
    }

    /// The same, ending on a port.
    pub fn put_start(
        &self,
        queue: Queue,
        messages: &[Message<'_>],
        port: &Port,
        tag: u64,
    ) -> Result<()> {
        self.with_hidden(|session| {
            session.put_many(queue, messages)?;
            session.commit_start(port, tag)
        })
    }

    fn with_hidden<T>(&self, work: impl FnOnce(&mut RemoteSession) -> Result<T>) -> Result<T> {
        let kept = self.hidden.lock().pop();
        let mut session = match kept {
            Some(session) => session,
            None => RemoteSession::open(&self.line, &SessionOptions::default())?,
        };
        let refusal = session.refusal();
        let outcome = match work(&mut session) {
            // What was there before the connection was lost was nothing.
            Err(error) => {
                // Without the connection the server does it by itself.
                let _ = session.rollback();
                // Nobody knows of a transaction that was doomed: what doomed it is what is wrong with the put.
                Err(refusal.lock().take().unwrap_or(error))
            }
            done => done,
        };
        let mut hidden = self.hidden.lock();
        if hidden.len() < HIDDEN_MAX {
            hidden.push(session);
        }
        outcome
    }

    /// Opens a session; see [`SessionOptions`].
    pub fn session(&self, options: &SessionOptions) -> Result<RemoteSession> {
        RemoteSession::open(&self.line, options)
    }
}

impl Line {
    /// The connection.
    pub fn asker(&self) -> &Asker {
        &self.asker
    }

    /// What error texts call the store.
    pub fn describe(&self) -> String {
        self.asker.endpoint().to_string()
    }

    /// Asks, in any life or in this one, and waits until then.
    pub fn ask(
        &self,
        life: Option<u64>,
        request: &SessionRequest<'_>,
        until: Instant,
    ) -> std::result::Result<Reply, Failure> {
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        let raw =
            self.asker.ask_so(manner(request), life, &encode, until).map_err(Failure::Lost)?;
        reply(&raw).map_err(Failure::Refused)
    }

    /// Has the server wait no longer for an operation once it is cancelled on its port.
    pub fn hurry_when_cancelled(
        self: &Arc<Line>,
        port: &Port,
        tag: u64,
        (life, number): (u64, u32),
    ) {
        let line = Arc::downgrade(self);
        let hook = move || {
            if let Some(line) = line.upgrade() {
                line.asker.hurry(life, number);
            }
        };
        port.when_cancelled(tag, Box::new(hook));
    }

    /// Takes room for so many bytes on their way; false when there is none before then.
    pub fn take_room(&self, bytes: usize, until: Instant) -> Result<bool> {
        let mut patience = Patience::new();
        let mut taken = self.window.lock();
        while *taken > 0 && *taken + bytes > WINDOW_BYTES {
            if !patience.wait(until, &self.room, &mut taken)? {
                return Ok(false);
            }
        }
        *taken += bytes;
        Ok(true)
    }

    /// They have arrived, or never will.
    pub fn give_room(&self, bytes: usize) {
        *self.window.lock() -= bytes;
        self.room.notify_all();
    }
}

fn check_tokens(tokens: &[Token]) -> Result<()> {
    if tokens.len() <= TOKENS_MAX {
        return Ok(());
    }
    let text = format!("{} tokens in one wait, more than {TOKENS_MAX}", tokens.len());
    Err(Error::new(Code::TooLarge, text))
}

/// A queue in the answer to QUEUES.
fn info(row: &Value) -> Option<QueueInfo> {
    let consumer = |row: &Value| {
        Some(ConsumerInfo {
            name: row["name"].as_str()?.into(),
            acknowledged: row["acknowledged"].as_u64()?,
            waiting: row["waiting"].as_u64()?,
            workers: row["workers"].as_u64()?,
            out: row["out"].as_u64(),
            lease_ms: row["lease_ms"].as_u64()?,
            already_processed: row["already_processed"].as_u64()?,
        })
    };
    Some(QueueInfo {
        name: row["name"].as_str()?.into(),
        queue: Queue::from_number(row["number"].as_u64()?.try_into().ok()?),
        messages: row["messages"].as_u64()?,
        bytes: row["bytes"].as_u64()?,
        next_sequence: row["next_sequence"].as_u64()?,
        paused: row["paused"].as_bool()?,
        consumers: row["consumers"].as_array()?.iter().map(consumer).collect::<Option<_>>()?,
    })
}
