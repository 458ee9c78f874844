//! A durable reader of a queue at a server.
//!
//! A connection that is lost closes it there, and what it had given out and was not acknowledged comes again: the
//! next call opens it anew. An acknowledgement of what was given out before says the same on another connection.

use super::asker::OnAnswer;
use super::store::{Failure, Line, Reply, odd, reply, wait_ms};
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::position::{GroupId, Token};
use crate::queue::{From, Queue, Received};
use crate::session::port::Port;
use crate::store::{Commit, Level};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::wire::{SessionRequest, Start};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// A consumer at a server.
pub struct RemoteConsumer {
    line: Arc<Line>,
    name: String,
    queue: Queue,
    from: From,
    level: Option<Level>,
    /// The life of the connection it is open in, and its number there.
    place: Mutex<Option<(u64, u32)>>,
    closed: AtomicBool,
}

impl RemoteConsumer {
    /// Opens it. Fails with BUSY while it is open elsewhere.
    pub fn open(
        line: &Arc<Line>,
        name: &str,
        queue: Queue,
        from: From,
        level: Option<Level>,
    ) -> Result<RemoteConsumer> {
        let consumer = RemoteConsumer {
            line: line.clone(),
            name: name.into(),
            queue,
            from,
            level,
            place: Mutex::default(),
            closed: AtomicBool::new(false),
        };
        let until = line.asker().until(Duration::ZERO);
        let life = line.asker().life(until)?;
        let number = consumer.attach(life, until).map_err(Failure::error)?;
        *consumer.place.lock() = Some((life, number));
        Ok(consumer)
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
        let from = match self.from {
            From::Oldest => Start::Oldest,
            From::Now => Start::Now,
            From::Sequence(sequence) => Start::At(sequence),
        };
        let request = SessionRequest::Consumer { queue, name, from, level: self.level };
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
                    std::thread::sleep(PAUSE);
                }
                Err(failure) => return Err(failure.error()),
            }
        }
    }

    /// Asks about this consumer; what was lost with a connection is asked again in the next one.
    fn ask(
        &self,
        until: Instant,
        request: &dyn Fn(u32) -> SessionRequest<'static>,
    ) -> Result<Reply> {
        loop {
            let life = self.line.asker().life(until)?;
            let number = match self.place(life, until) {
                Err(_) if self.line.asker().current_life() != life => continue,
                number => number?,
            };
            match self.line.ask(Some(life), &request(number), until) {
                Ok(reply) => return Ok(reply),
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Lost(lost)) => {
                    let error = lost.error();
                    if Instant::now() >= until {
                        self.detach_late(life, number);
                        return Err(error);
                    }
                    self.check()?;
                    if self.line.asker().current_life() == life {
                        return Err(error);
                    }
                }
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
        let _ = self.line.asker().start(life, &encode, ended);
        Ok(())
    }

    /// Acknowledges messages as a transaction of its own.
    pub fn ack(&self, sequences: &[u64]) -> Result<Commit> {
        if sequences.is_empty() {
            return Err(Error::new(Code::Invalid, "no message was named to acknowledge"));
        }
        let request = |consumer: u32| SessionRequest::Ack(consumer, sequences.to_vec());
        self.stored(&request)
    }

    /// Gives messages back.
    pub fn reject(&self, sequences: &[u64]) -> Result<()> {
        let request = |consumer: u32| SessionRequest::Reject(consumer, sequences.to_vec());
        self.ask(self.line.asker().until(Duration::ZERO), &request).map(|_| ())
    }

    /// Goes on with this sequence.
    pub fn seek(&self, sequence: u64) -> Result<Commit> {
        self.stored(&|consumer: u32| SessionRequest::Seek(consumer, sequence))
    }

    fn stored(&self, request: &dyn Fn(u32) -> SessionRequest<'static>) -> Result<Commit> {
        match self.ask(self.line.asker().until(Duration::ZERO), request)? {
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

impl Drop for RemoteConsumer {
    fn drop(&mut self) {
        self.close();
    }
}
