//! A client that asks a server: status, queues, puts, looks at messages, waits for tokens.
//!
//! Calls block and may come from several threads at once. A connection that was lost comes back by itself; what
//! was under way then fails with UNREACHABLE, a put with OUTCOME_UNKNOWN.

use super::orders::Order;
use super::users::{Right, verifier_text};
use crate::error::{Code, Error, Result};
use crate::link::{ConnectOptions, Endpoint};
use crate::position::Token;
use crate::queue::{From, Message, Received};
use crate::secret::Password;
use crate::session::{Asker, Lost, Reply, odd, reply};
use crate::store::Commit;
use crate::wire::{Request, TOKENS_MAX};
use std::time::Duration;

/// A connection to a server for requests.
pub struct Client {
    asker: Asker,
}

impl Client {
    /// Connects and logs in; fails with what the first try failed with.
    pub fn connect(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Client> {
        Ok(Client { asker: Asker::connect(endpoint, options)? })
    }

    /// Where the server is.
    pub fn endpoint(&self) -> &Endpoint {
        self.asker.endpoint()
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
    /// A put is one frame, so that all of its messages together are at most some 19 MiB. Fails with
    /// OUTCOME_UNKNOWN when the connection broke before the answer.
    pub fn put(&self, queue: &str, messages: &[Message<'_>]) -> Result<Commit> {
        let mut bodies = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let mut body = Vec::new();
            message.append_unsummed(&mut body).map_err(|error| error.at_message(index))?;
            bodies.push(body);
        }
        let messages = bodies.iter().map(Vec::as_slice).collect();
        match self.ask(&Request::Put { queue, messages }, None)? {
            Reply::Stored(commit) => Ok(commit),
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
            Reply::Done => Ok(()),
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
        self.asker.close();
    }

    fn text(&self, request: &Request<'_>) -> Result<String> {
        match self.ask(request, None)? {
            Reply::Text(text) => Ok(text),
            _ => Err(odd()),
        }
    }

    /// Sends a request and waits for its answer; a server that waits itself gets that time on top.
    fn ask(&self, request: &Request<'_>, extra: Option<Duration>) -> Result<Reply> {
        if let Some(error) = self.asker.failed() {
            return Err(error);
        }
        let until = self.asker.until(extra.unwrap_or_default());
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        let is_put = matches!(request, Request::Put { .. });
        match self.asker.ask(None, &encode, until) {
            Ok(raw) => reply(&raw),
            // An answer that never came leaves a put open.
            Err(Lost::Open(error)) if is_put => {
                let text = "the answer to a put did not come";
                Err(Error::because(Code::OutcomeUnknown, text, &error))
            }
            Err(lost) => Err(lost.error()),
        }
    }
}
