//! A durable reader of a queue at a server.
//!
//! A connection that is lost closes it there, and what it had given out and was not acknowledged comes again: the
//! next call opens it anew. An acknowledgement of what was given out before says the same on another connection, but
//! where messages have leases: these end with the connection, and what is done under one of them is STALE.

use super::asker::{Lost, OnAnswer};
use super::interrupt;
use super::store::{Failure, Line, Reply, odd, reply, wait_ms};
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::position::{GroupId, Token};
use crate::queue::{From, Queue, Received, Return, Rules};
use crate::session::consumer::ConsumerOptions;
use crate::session::port::Port;
use crate::store::{Commit, Level};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::wire::{Giving, SessionRequest, Start};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// A consumer at a server.
pub struct RemoteConsumer {
    line: Arc<Line>,
    name: String,
    queue: Queue,
    options: ConsumerOptions,
    /// The life of the connection it is open in, and its number there.
    place: Mutex<Option<(u64, u32)>>,
    closed: AtomicBool,
}

impl RemoteConsumer {
    /// Opens it. Fails with BUSY while it is open elsewhere, unless both are to share it.
    pub fn open(
        line: &Arc<Line>,
        name: &str,
        queue: Queue,
        options: &ConsumerOptions,
    ) -> Result<RemoteConsumer> {
        let consumer = RemoteConsumer {
            line: line.clone(),
            name: name.into(),
            queue,
            options: *options,
            place: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        let until = line.asker().until(Duration::ZERO);
        let mut life = line.asker().life(until)?;
        let mut lost = match consumer.attach(life, until) {
            Ok(number) => {
                *consumer.place.lock() = Some((life, number));
                return Ok(consumer);
            }
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Lost(lost)) => lost.error(),
        };
        // What was asked on a connection that went may be open there for a moment.
        while line.asker().current_life() != life && Instant::now() < until {
            life = line.asker().life(until)?;
            match consumer.place(life, until) {
                Ok(_) => return Ok(consumer),
                Err(error) => lost = error,
            }
        }
        Err(lost)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its queue.
    pub fn queue(&self) -> Queue {
        self.queue
    }

    /// The connection it uses.
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }

    fn attach(&self, life: u64, until: Instant) -> std::result::Result<u32, Failure> {
        let (queue, name) = (self.queue.number(), self.name.as_str());
        let ConsumerOptions { from, ack_level: level, rules } = self.options;
        let from = match from {
            From::Oldest => Start::Oldest,
            From::Now => Start::Now,
            From::Sequence(sequence) => Start::At(sequence),
        };
        let giving = giving(rules);
        let request = SessionRequest::Consumer { queue, name, from, level, giving };
        match self.line.ask(Some(life), &request, until)? {
            Reply::Numbered(number) => Ok(number),
            _ => Err(Failure::Refused(odd())),
        }
    }

    fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            let text = format!("consumer {:?} is closed", self.name);
            return Err(Error::new(Code::Closed, text));
        }
        self.line.asker().check()
    }

    /// Its number in this life of the connection.
    pub fn place(&self, life: u64, until: Instant) -> Result<u32> {
        self.check()?;
        let mut place = self.place.lock();
        if let Some((of, number)) = *place
            && of == life
        {
            return Ok(number);
        }
        loop {
            match self.attach(life, until) {
                Ok(number) => {
                    *place = Some((life, number));
                    return Ok(number);
                }
                // The server may not have seen yet that the connection before this one is gone.
                Err(Failure::Refused(error))
                    if error.code() == Code::Busy && Instant::now() < until =>
                {
                    interrupt::pause(PAUSE)?;
                }
                Err(failure) => return Err(failure.error()),
            }
        }
    }

    /// Asks about this consumer; what was lost with a connection is asked again in the next one.
    fn ask<'r>(
        &self,
        until: Instant,
        request: &dyn Fn(u32) -> SessionRequest<'r>,
    ) -> Result<Reply> {
        self.ask_once(until, request).map_err(|(error, _)| error)
    }

    /// The same; an error comes with the one that a request before it was lost with, which may have been done.
    fn ask_once<'r>(
        &self,
        until: Instant,
        request: &dyn Fn(u32) -> SessionRequest<'r>,
    ) -> std::result::Result<Reply, (Error, Option<Error>)> {
        let mut open = None;
        loop {
            let life = self.line.asker().life(until).map_err(|error| (error, open.clone()))?;
            let number = match self.place(life, until) {
                Ok(number) => number,
                Err(_) if self.line.asker().current_life() != life => continue,
                Err(error) => return Err((error, open)),
            };
            let lost = match self.line.ask(Some(life), &request(number), until) {
                Ok(reply) => return Ok(reply),
                Err(Failure::Refused(error)) => return Err((error, open)),
                Err(Failure::Lost(lost)) => lost,
            };
            if let Lost::Open(why) = &lost {
                open = Some(why.clone());
            }
            let unasked = matches!(lost, Lost::Unsent(_));
            let error = lost.error();
            if error.code() == Code::Cancelled || Instant::now() >= until {
                if !unasked {
                    self.detach_late(life, number);
                }
                return Err((error, open));
            }
            self.check().map_err(|error| (error, open.clone()))?;
            if self.line.asker().current_life() == life {
                return Err((error, open));
            }
        }
    }

    /// What the server gave out and nobody saw comes again once it is opened anew.
    fn detach_late(&self, life: u64, number: u32) {
        let mut place = self.place.lock();
        if *place == Some((life, number)) {
            *place = None;
            let request = SessionRequest::Detach(number);
            let encode = |of: u32, out: &mut Vec<u8>| request.encode(of, out);
            // A connection that is gone did it.
            let _ = self.line.asker().start(life, &encode, Box::new(|_| {}));
        }
    }

    /// At most `max` messages, waiting at most `wait` for the first.
    pub fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Received>> {
        let max = u32::try_from(max.clamp(1, limits::RECEIVE_MESSAGES_MAX)).unwrap_or(u32::MAX);
        let deadline = Instant::now().checked_add(wait);
        loop {
            let left = deadline.map_or(Duration::MAX, |at| at.duration_since(Instant::now()));
            let timeout_ms = wait_ms(left);
            let asked = Duration::from_millis(timeout_ms.into());
            let request = |consumer: u32| SessionRequest::Receive {
                session: 0,
                transaction: 0,
                consumer,
                max,
                timeout_ms,
                job: false,
            };
            match self.ask(self.line.asker().until(asked), &request)? {
                Reply::Messages(messages) if !messages.is_empty() || asked >= left => {
                    return Ok(messages);
                }
                Reply::Messages(_) => {}
                _ => return Err(odd()),
            }
        }
    }

    /// Ends on the port once a receive may give something, or would fail.
    pub fn watch(&self, port: &Port, tag: u64) -> Result<()> {
        let until = self.line.asker().until(Duration::ZERO);
        let life = self.line.asker().life(until)?;
        let consumer = self.place(life, until)?;
        let request = SessionRequest::Receive {
            session: 0,
            transaction: 0,
            consumer,
            max: 0,
            timeout_ms: u32::MAX,
            job: false,
        };
        let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
        let started = port.start_elsewhere(tag)?;
        let ended: OnAnswer = Box::new(move |answer| {
            // A lost connection is a reason to look: the receive says what there is.
            let outcome = answer.map_or(Ok(()), |raw| reply(&raw).map(|_| ()));
            let token = Token::empty(GroupId::from_bytes([0; 16]));
            started.end(outcome.map(|()| Commit { token, level: Level::Process }));
        });
        // An operation that did not begin ends on the port like one that did.
        if let Some(number) = self.line.asker().begin(life, &encode, ended) {
            self.line.hurry_when_cancelled(port, tag, (life, number));
        }
        Ok(())
    }

    /// Acknowledges messages as a transaction of its own.
    pub fn ack(&self, sequences: &[u64]) -> Result<Commit> {
        if sequences.is_empty() {
            return Err(Error::new(Code::Invalid, "no message was named to acknowledge"));
        }
        let request = |consumer: u32| SessionRequest::Ack(consumer, sequences.to_vec());
        match self.ask_once(self.line.asker().until(Duration::ZERO), &request) {
            Ok(Reply::Stored(commit)) => Ok(commit),
            Ok(_) => Err(odd()),
            Err((error, Some(lost))) if error.code() == Code::Stale => {
                let text = format!(
                    "the answer to an acknowledgement of consumer {:?} did not come, and the leases ended with the \
                     connection: the messages are acknowledged, or come again",
                    self.name
                );
                Err(Error::because(Code::OutcomeUnknown, text, &lost))
            }
            Err((error, _)) => Err(error),
        }
    }

    /// Gives messages back.
    pub fn reject(&self, sequences: &[u64], how: Return<'_>) -> Result<()> {
        let until = self.line.asker().until(Duration::ZERO);
        let request = |consumer: u32| {
            let sequences = sequences.to_vec();
            let Return { delay_ms, reason, to_end } = how;
            SessionRequest::Reject { consumer, sequences, delay_ms, reason, to_end }
        };
        self.ask(until, &request).map(|_| ())
    }

    /// Keeps messages for another while of the lease.
    pub fn renew(&self, sequences: &[u64]) -> Result<()> {
        let request = |consumer: u32| SessionRequest::Renew(consumer, sequences.to_vec());
        self.ask(self.line.asker().until(Duration::ZERO), &request).map(|_| ())
    }

    /// Goes on with this sequence.
    pub fn seek(&self, sequence: u64) -> Result<Commit> {
        let request = |consumer: u32| SessionRequest::Seek(consumer, sequence);
        match self.ask(self.line.asker().until(Duration::ZERO), &request)? {
            Reply::Stored(commit) => Ok(commit),
            _ => Err(odd()),
        }
    }

    /// Ends the use.
    pub fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let place = self.place.lock().take();
        if let Some((life, number)) = place {
            let until = self.line.asker().until(Duration::ZERO);
            // A connection that is gone closed it.
            let _ = self.line.ask(Some(life), &SessionRequest::Detach(number), until);
        }
    }
}

/// The rules as they travel.
fn giving(rules: Rules) -> Giving {
    let Rules {
        shared,
        parallel,
        keyed,
        per_key,
        conflate,
        key_versions,
        lease_ms,
        retry_delay_ms,
        retry_multiplier,
        retry_delay_ms_max,
        max_deliveries,
        dead_letters,
        after_dead_letter,
    } = rules;
    Giving {
        shared,
        keyed,
        parallel,
        per_key,
        conflate,
        key_versions,
        lease_ms,
        retry_delay_ms,
        retry_multiplier,
        retry_delay_ms_max,
        max_deliveries,
        dead_letters: dead_letters.map_or(0, Queue::number),
        after_dead_letter,
    }
}

impl Drop for RemoteConsumer {
    fn drop(&mut self) {
        self.close();
    }
}
