//! A client that asks a server: status, queues, puts, looks at messages, waits for tokens.
//!
//! Calls block and may come from several threads at once. A connection that was lost comes back by itself; what
//! was under way then fails with UNREACHABLE, a put with OUTCOME_UNKNOWN.

use super::orders::Order;
use super::users::{Right, verifier_text};
use crate::error::{Code, Error, Result};
use crate::journal::{Found, Head, LAST, Type, body_sum};
use crate::link::{ConnectOptions, Endpoint, Link, LinkState};
use crate::position::Token;
use crate::queue::{From, Message, Received};
use crate::secret::Password;
use crate::store::{Commit, Level};
use crate::sync::{Condvar, Mutex};
use crate::wire::{Answer, Machine, REQUESTS_MAX, Request, Row, TOKENS_MAX, Waker};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection to a server for requests.
pub struct Client {
    link: Link,
    shared: Arc<Shared>,
    endpoint: Endpoint,
    patience: Duration,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    link: Option<LinkState>,
    waker: Option<Waker>,
    next: u32,
    unsent: VecDeque<(u8, Vec<u8>)>,
    asked: HashMap<u32, Asked>,
}

/// A request under way.
enum Asked {
    Open,
    Answered(Result<Reply>),
    /// The connection ended before the answer.
    Lost(Error),
}

/// An answer that owns its bytes.
enum Reply {
    Text(String),
    Stored(Token, Level),
    Messages(Vec<Received>),
    Reached,
}

impl Client {
    /// Connects and logs in; fails with what the first try failed with.
    pub fn connect(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Client> {
        let shared = Arc::new(Shared::default());
        let (of_machine, of_state) = (shared.clone(), shared.clone());
        let link = Link::connect(
            endpoint.clone(),
            options.clone(),
            Box::new(move |waker| {
                of_machine.state.lock().waker = Some(waker);
                Box::new(Asking { shared: of_machine.clone() })
            }),
            Arc::new(move |state| of_state.on_state(state)),
        )?;
        let patience = Duration::from_millis(options.connect_timeout_ms);
        let client = Client { link, shared, endpoint: endpoint.clone(), patience };
        client.ready(Instant::now() + patience)?;
        Ok(client)
    }

    /// Where the server is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The status of the store, as JSON.
    pub fn status(&self) -> Result<String> {
        self.text(&Request::Status)
    }

    /// The status of the server, as JSON.
    pub fn server(&self) -> Result<String> {
        self.text(&Request::Server)
    }

    /// The queues this user may see, as JSON.
    pub fn queues(&self) -> Result<String> {
        self.text(&Request::Queues)
    }

    /// Puts messages as one transaction at the level of the server's store; all or none.
    ///
    /// A put is one frame, so that all of its messages together are at most a little above 16 MiB. Fails with
    /// OUTCOME_UNKNOWN when the connection broke before the answer.
    pub fn put(&self, queue: &str, messages: &[Message<'_>]) -> Result<Commit> {
        let mut bodies = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let packed = message.pack().map_err(|error| error.at_message(index))?;
            bodies.push(packed.entry(0).parts.concat());
        }
        let messages = bodies.iter().map(Vec::as_slice).collect();
        match self.ask(&Request::Put { queue, messages }, None)? {
            Reply::Stored(token, level) => Ok(Commit { token, level }),
            _ => Err(odd()),
        }
    }

    /// At most `max` messages of a queue from this sequence on; see [`Snapshot`](crate::Snapshot). Each call
    /// looks at the queue as it is then.
    pub fn browse(&self, queue: &str, from: u64, max: usize) -> Result<Vec<Received>> {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        match self.ask(&Request::Browse { queue, from, max }, None)? {
            Reply::Messages(messages) => Ok(messages),
            _ => Err(odd()),
        }
    }

    /// Waits until the transactions of all tokens have reached a place at the server; see
    /// [`Store::wait`](crate::Store::wait).
    pub fn wait(&self, at: &str, tokens: &[Token], timeout: Duration) -> Result<()> {
        if tokens.len() > TOKENS_MAX {
            let text = format!("{} tokens in one wait, more than {TOKENS_MAX}", tokens.len());
            return Err(Error::new(Code::TooLarge, text));
        }
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let request = Request::Wait { at, timeout_ms, tokens: tokens.to_vec() };
        match self.ask(&request, Some(timeout))? {
            Reply::Reached => Ok(()),
            _ => Err(odd()),
        }
    }

    /// Pauses a queue, as [`Store::queue_pause`](crate::Store::queue_pause); needs the right admin on it.
    pub fn queue_pause(&self, queue: &str) -> Result<()> {
        self.order(&Order::QueuePause { queue: queue.into() }).map(|_| ())
    }

    /// Ends a pause.
    pub fn queue_resume(&self, queue: &str) -> Result<()> {
        self.order(&Order::QueueResume { queue: queue.into() }).map(|_| ())
    }

    /// Drops every message that is in the queue now.
    pub fn queue_purge(&self, queue: &str) -> Result<()> {
        self.order(&Order::QueuePurge { queue: queue.into() }).map(|_| ())
    }

    /// Deletes the queue, its messages and its consumers.
    pub fn queue_delete(&self, queue: &str) -> Result<()> {
        self.order(&Order::QueueRm { queue: queue.into() }).map(|_| ())
    }

    /// Moves a consumer to another place in its queue. Fails with BUSY while it is open.
    pub fn consumer_reset(&self, consumer: &str, queue: &str, to: From) -> Result<()> {
        let (queue, consumer) = (queue.into(), consumer.into());
        self.order(&Order::ConsumerReset { queue, consumer, to: to.into() }).map(|_| ())
    }

    /// Deletes a consumer; what only it kept may go.
    pub fn consumer_delete(&self, consumer: &str, queue: &str) -> Result<()> {
        let (queue, consumer) = (queue.into(), consumer.into());
        self.order(&Order::ConsumerRm { queue, consumer }).map(|_| ())
    }

    /// Adds a target to a root queue: what is put from now on is kept for it, and from `Oldest` what is there, too. It
    /// is reached by whoever replicates the queue. A target of this name goes on where it was.
    ///
    /// Fails with INVALID for a bad name or URL, NO_SUCH_NAME without that queue, UNSUPPORTED to begin at a sequence.
    pub fn target_add(&self, root: &str, name: &str, url: &str, from: From) -> Result<()> {
        let (root, name, url) = (root.into(), name.into(), url.into());
        self.order(&Order::TargetAdd { root, name, url, from: from.into() }).map(|_| ())
    }

    /// Ends a target of a root queue for good; what only it kept may go.
    pub fn target_remove(&self, root: &str, name: &str) -> Result<()> {
        self.order(&Order::TargetRm { root: root.into(), name: name.into() }).map(|_| ())
    }

    /// Ends the connection with this number in the status of the server. A client that is set to comes back.
    pub fn disconnect(&self, connection: u64) -> Result<()> {
        self.order(&Order::ConnKill { connection }).map(|_| ())
    }

    /// The users with their rights, as JSON.
    pub fn users(&self) -> Result<String> {
        self.order(&Order::UserLs {})
    }

    /// Adds a user to the server's file. The password stays here; what is made of it goes.
    pub fn user_add(&self, name: &str, password: &Password, rights: &[Right]) -> Result<()> {
        let verifier = verifier_text(password)?;
        let (name, rights) = (name.into(), rights.to_vec());
        self.order(&Order::UserAdd { name, verifier, rights }).map(|_| ())
    }

    /// Removes a user; its connections end.
    pub fn user_remove(&self, name: &str) -> Result<()> {
        self.order(&Order::UserRm { name: name.into() }).map(|_| ())
    }

    /// Replaces all rights of a user; its connections end.
    pub fn user_rights(&self, name: &str, rights: &[Right]) -> Result<()> {
        let order = Order::UserRights { name: name.into(), rights: rights.to_vec() };
        self.order(&order).map(|_| ())
    }

    /// Gives a user another password; its connections end.
    pub fn user_password(&self, name: &str, password: &Password) -> Result<()> {
        let verifier = verifier_text(password)?;
        self.order(&Order::UserPasswd { name: name.into(), verifier }).map(|_| ())
    }

    fn order(&self, order: &Order) -> Result<String> {
        self.text(&Request::Order { text: &order.to_text()? })
    }

    /// Leaves the server. Calls under way and later ones fail.
    pub fn close(&self) {
        self.link.close();
    }

    fn text(&self, request: &Request<'_>) -> Result<String> {
        match self.ask(request, None)? {
            Reply::Text(text) => Ok(text),
            _ => Err(odd()),
        }
    }

    /// Waits until the link is up.
    fn ready(&self, until: Instant) -> Result<()> {
        let mut state = self.shared.state.lock();
        loop {
            match &state.link {
                Some(LinkState::Connected) => return Ok(()),
                Some(LinkState::Failed(error)) => return Err(error.clone()),
                Some(LinkState::Closed) => return Err(closed()),
                _ => {}
            }
            if self.shared.changed.wait_until(&mut state, until).timed_out() {
                let text = format!("no connection to {} in the time given", self.endpoint);
                return Err(Error::new(Code::Timeout, text));
            }
        }
    }

    /// Sends a request and waits for its answer; a server that waits itself gets that time on top.
    fn ask(&self, request: &Request<'_>, extra: Option<Duration>) -> Result<Reply> {
        let until =
            Instant::now().checked_add(self.patience.saturating_add(extra.unwrap_or_default()));
        let until =
            until.unwrap_or_else(|| Instant::now() + Duration::from_secs(u64::from(u32::MAX)));
        self.link.check()?;
        self.ready(until)?;
        let mut state = self.shared.state.lock();
        if state.asked.len() >= REQUESTS_MAX {
            let text = format!("{REQUESTS_MAX} requests are under way already");
            return Err(Error::new(Code::Quota, text));
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        let mut body = Vec::new();
        let kind = request.encode(number, &mut body)?;
        if body.len() > crate::wire::FRAME_BYTES_MAX {
            let text = format!("a request of {} bytes is above the bound of a frame", body.len());
            return Err(Error::new(Code::TooLarge, text));
        }
        state.unsent.push_back((kind, body));
        state.asked.insert(number, Asked::Open);
        if let Some(waker) = state.waker.clone() {
            drop(state);
            waker();
            state = self.shared.state.lock();
        }
        let is_put = matches!(request, Request::Put { .. });
        let lost = |error: Error| match is_put {
            // An answer that never came leaves a put open.
            true => {
                Error::because(Code::OutcomeUnknown, "the answer to a put did not come", &error)
            }
            false => error,
        };
        loop {
            match state.asked.remove(&number) {
                Some(Asked::Answered(outcome)) => return outcome,
                Some(Asked::Lost(error)) => return Err(lost(error)),
                _ => state.asked.insert(number, Asked::Open),
            };
            if self.shared.changed.wait_until(&mut state, until).timed_out() {
                state.asked.remove(&number);
                let text = format!("{} did not answer in the time given", self.endpoint);
                return Err(lost(Error::new(Code::Timeout, text)));
            }
        }
    }
}

fn closed() -> Error {
    Error::new(Code::Closed, "the client was closed")
}

fn odd() -> Error {
    Error::new(Code::Protocol, "the server answered another question than the one asked")
}

impl Shared {
    fn on_state(&self, link: &LinkState) {
        let mut state = self.state.lock();
        if let Some(why) = match link {
            LinkState::Failed(error) => Some(error.clone()),
            LinkState::Closed => Some(closed()),
            _ => None,
        } {
            state.waker = None;
            state.unsent.clear();
            for asked in state.asked.values_mut().filter(|asked| matches!(asked, Asked::Open)) {
                *asked = Asked::Lost(why.clone());
            }
        }
        // A failure stays to be seen until the next try succeeds.
        if !matches!(link, LinkState::Connecting) || state.link.is_none() {
            state.link = Some(link.clone());
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// The machine at the client's end.
struct Asking {
    shared: Arc<Shared>,
}

impl Machine for Asking {
    fn on_frame(&mut self, kind: u8, body: &[u8], _now: Instant) -> Result<()> {
        let (number, answer) = Answer::decode(kind, body)?;
        let reply = match answer {
            Answer::Refused(error) => Err(error),
            Answer::Text(text) => Ok(Reply::Text(text.into())),
            Answer::Stored(token, level) => Ok(Reply::Stored(token, level)),
            Answer::Messages(rows) => {
                rows.iter().map(received).collect::<Result<_>>().map(Reply::Messages)
            }
            Answer::Reached => Ok(Reply::Reached),
        };
        if let Some(asked) = self.shared.state.lock().asked.get_mut(&number) {
            *asked = Asked::Answered(reply);
        }
        self.shared.changed.notify_all();
        Ok(())
    }

    fn next_frame(&mut self, _now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        let Some((kind, asked)) = self.shared.state.lock().unsent.pop_front() else {
            return Ok(None);
        };
        *body = asked;
        Ok(Some(kind))
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// A message of an answer as if it were read here.
fn received(row: &Row<'_>) -> Result<Received> {
    let head = Head {
        length: u32::try_from(row.body.len()).unwrap_or(u32::MAX),
        kind: Type::Message,
        flags: LAST,
        transaction: row.transaction,
        sequence: row.sequence,
        time_ms: row.committed_ms,
        queue: 0,
        index: 0,
        body_sum: body_sum(&[row.body]),
    };
    let found = Found { head, buffer: Arc::new(row.body.to_vec()), body: 0..row.body.len() };
    Received::new(found, 1)
}
