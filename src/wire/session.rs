//! The bodies of what sessions and consumers at a server are asked and answer. All integers are little-endian.
//!
//! As with other requests, every body begins with the request's number (4), which the client chooses and the answer
//! repeats. A *name* is its length (1) and so many bytes of UTF-8; a *session* and a *consumer* are numbers the server
//! gave out on this connection (4), and end with it; a *transaction* is its number within its session (8).
//!
//! ```text
//! kind  request   behind the number
//!   96  QUEUE     name of the queue, 1 to make it where there is none, else 0 (1): NUMBERED
//!   97  SESSION   how (1): 0 new, 1 the one of this name, 2 the same and take it over, 3 resume; idle time in ms (4),
//!                 bytes a transaction may have (8), name; for 3 then the session's id (16) and epoch (4): OPENED
//!   98  STAGE     session, transaction, count (4), then each message: number of the queue (4), length (4), body: DONE
//!   99  RECEIVE   session or 0, transaction, consumer, at most so many (4), timeout in ms (4): RECEIVED; with 0
//!                 messages at most it only waits until there are some; what (1): 0 messages, 1 all of the next
//!                 transaction that has any, however many, in a session only
//!  100  COMMIT    session, transaction, level (1): 0 process, 1 power, 255 the store's; the last transaction of the
//!                 session's epoch up to which the client has heard of all (8): STORED
//!  101  ROLLBACK  session, transaction, what (1): 0 all, 1 what was put, 2 all but without giving back what was
//!                 received: DONE
//!  102  LEAVE     session, 1 to forget it, else 0 (1): DONE
//!  103  RESOLVE   identity of the transaction (28): RESOLVED
//!  104  CONSUMER  number of the queue (4), name, where a new one begins (1): 0 oldest, 1 now, 2 at the sequence (8);
//!                 level of ACK (1) as in COMMIT; how it gives out, as `giving` says: NUMBERED
//!  105  ACK       consumer, count (4), sequences (8 each): STORED
//!  106  REJECT    consumer, not to be given out again for so many ms (8), 2^64 - 1 = as the consumer's retries say;
//!                 1 to the end of the queue, else 0 (1); length of the reason (2), reason, UTF-8; count (4), sequences (8 each): DONE
//!  107  SEEK      consumer, sequence (8): STORED
//!  108  DETACH    consumer: DONE
//!  109  RENEW     consumer, count (4), sequences (8 each): DONE
//!  110  PREPARE   session, transaction, length of the xid (1), xid: DONE
//!  111  FINISH    identity of a prepared transaction (28), 1 to commit it, 0 to roll it back (1), 1 where that is done by
//!                 hand, else 0 (1): STORED
//!
//! kind  answer    behind the number
//!  112  DONE      nothing
//!  113  NUMBERED  number of the queue or consumer (4)
//!  114  OPENED    session, id (16), epoch (4), number of its first transaction (8)
//!  115  RESOLVED  outcome (1): 1 committed, 2 rolled back, 3 pending, 4 expired; token (40), zeros but for 1
//!  116  RECEIVED  count (4), then each: number of the queue (4), index (4), deliveries (4), sequence (8),
//!                 transaction (8), committed at in ms since 1970 UTC (8), length (4), body
//!  117  PART      the same, and more with this number follows: of a transaction that is too much for one frame
//! ```
//!
//! REFUSED and STORED are those of `request`; the identity of a transaction is described in `store/sessions.rs`.
//! The idle time is 0 for the server's own, the bytes are 0 for no bound but the server's own.

mod parts;

use super::giving::Giving;
use super::request::{Rest, length, put_name};
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::position::{TOKEN_SIZE, Token};
use crate::store::{Level, Outcome, TRANSACTION_ID_SIZE, TransactionId};

pub use parts::{Given, Start, Undo, Which};

const QUEUE: u8 = 96;
const SESSION: u8 = 97;
const STAGE: u8 = 98;
const RECEIVE: u8 = 99;
const COMMIT: u8 = 100;
const ROLLBACK: u8 = 101;
const LEAVE: u8 = 102;
const RESOLVE: u8 = 103;
const CONSUMER: u8 = 104;
const ACK: u8 = 105;
const REJECT: u8 = 106;
const SEEK: u8 = 107;
const DETACH: u8 = 108;
const RENEW: u8 = 109;
const PREPARE: u8 = 110;
const FINISH: u8 = 111;
const DONE: u8 = 112;
const NUMBERED: u8 = 113;
const OPENED: u8 = 114;
const RESOLVED: u8 = 115;
const RECEIVED: u8 = 116;
const PART: u8 = 117;

/// A delay that is left to the consumer.
const AS_RETRIES: u64 = u64::MAX;

/// Bytes of a staged message beside its body.
pub const STAGED_HEAD: usize = 8;
/// Bytes of a received message beside its body.
pub const RECEIVED_HEAD: usize = super::frame::MESSAGE_HEAD;

/// What a session or consumer is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionRequest<'a> {
    /// The number of a queue.
    Queue {
        /// Its name.
        name: &'a str,
        /// Whether to make it.
        make: bool,
    },
    /// Open a session.
    Session {
        /// Which.
        which: Which<'a>,
        /// How long a transaction may be idle.
        idle_ms: u32,
        /// How many bytes it may have.
        bytes_max: u64,
    },
    /// Stage messages.
    Stage {
        /// The session.
        session: u32,
        /// The transaction.
        transaction: u64,
        /// Numbers of their queues, and their bodies.
        messages: Vec<(u32, &'a [u8])>,
    },
    /// Receive messages; outside a session when that is 0.
    Receive {
        /// The session, or 0.
        session: u32,
        /// The transaction.
        transaction: u64,
        /// From which consumer.
        consumer: u32,
        /// How many at most.
        max: u32,
        /// How long to wait for the first.
        timeout_ms: u32,
        /// Whether all messages of one transaction are wanted.
        job: bool,
    },
    /// Commit.
    Commit {
        /// The session.
        session: u32,
        /// The transaction.
        transaction: u64,
        /// The level, or the store's.
        level: Option<Level>,
        /// The client has heard what became of all up to this transaction.
        heard: u64,
    },
    /// Roll back.
    Rollback {
        /// The session.
        session: u32,
        /// The transaction.
        transaction: u64,
        /// What of it.
        what: Undo,
    },
    /// Close a session.
    Leave {
        /// The session.
        session: u32,
        /// Whether nobody will ask about it.
        forget: bool,
    },
    /// What became of a transaction.
    Resolve(TransactionId),
    /// Open a consumer.
    Consumer {
        /// Number of its queue.
        queue: u32,
        /// Its name.
        name: &'a str,
        /// Where it begins when it is made.
        from: Start,
        /// The level of its acknowledgements, or the store's.
        level: Option<Level>,
        /// How it gives out.
        giving: Giving,
    },
    /// Acknowledge.
    Ack(u32, Vec<u64>),
    /// Give back.
    Reject {
        /// The consumer.
        consumer: u32,
        /// Which messages.
        sequences: Vec<u64>,
        /// Not to be given out again for so long; `None` as its retries say.
        delay_ms: Option<u64>,
        /// Why.
        reason: &'a str,
        /// Whether they go to the end of the queue.
        to_end: bool,
    },
    /// Keep messages for another while.
    Renew(u32, Vec<u64>),
    /// Go on elsewhere.
    Seek(u32, u64),
    /// Close a consumer.
    Detach(u32),
    /// Prepare.
    Prepare {
        /// The session.
        session: u32,
        /// The transaction.
        transaction: u64,
        /// What its coordinator calls it.
        xid: &'a [u8],
    },
    /// End what is prepared.
    Finish {
        /// The transaction.
        id: TransactionId,
        /// Whether to commit it.
        commit: bool,
        /// Whether an operator wants it so.
        by_hand: bool,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionAnswer<'a> {
    /// It is done.
    Done,
    /// A queue or consumer has this number.
    Numbered(u32),
    /// A session is open: its number here, its id and epoch, and the number of its first transaction.
    Opened(u32, TransactionId),
    /// What became of a transaction.
    Resolved(Outcome),
    /// Messages.
    Received(Vec<Given<'a>>),
    /// Messages, and more follow.
    Part(Vec<Given<'a>>),
}

fn level_byte(level: Option<Level>) -> u8 {
    match level {
        Some(Level::Process) => 0,
        Some(Level::Power) => 1,
        None => u8::MAX,
    }
}

fn level_of(byte: u8) -> Result<Option<Level>> {
    match byte {
        0 => Ok(Some(Level::Process)),
        1 => Ok(Some(Level::Power)),
        u8::MAX => Ok(None),
        _ => Err(Error::new(Code::Unsupported, format!("a level {byte} this version lacks"))),
    }
}

fn flag(byte: u8) -> Result<bool> {
    match byte {
        0 | 1 => Ok(byte == 1),
        _ => Err(Error::new(Code::Protocol, format!("{byte} is neither yes nor no"))),
    }
}

fn put_sequences(sequences: &[u64], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&length(sequences.len())?.to_le_bytes());
    sequences.iter().for_each(|sequence| out.extend_from_slice(&sequence.to_le_bytes()));
    Ok(())
}

fn put_place(session: u32, transaction: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&session.to_le_bytes());
    out.extend_from_slice(&transaction.to_le_bytes());
}

/// The body of a STAGE request up to its messages, which [`put_staged`] appends.
pub fn begin_stage(
    number: u32,
    session: u32,
    transaction: u64,
    count: u32,
    out: &mut Vec<u8>,
) -> u8 {
    out.extend_from_slice(&number.to_le_bytes());
    put_place(session, transaction, out);
    out.extend_from_slice(&count.to_le_bytes());
    STAGE
}

/// Appends a message of a STAGE request, whose body `append` writes; what that leaves when it fails is taken back.
pub fn put_staged(
    queue: u32,
    out: &mut Vec<u8>,
    append: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&queue.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let appended = append(out).and_then(|()| length(out.len() - start - STAGED_HEAD));
    match appended {
        Ok(length) => {
            out[start + 4..start + STAGED_HEAD].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

impl SessionRequest<'_> {
    /// Whether frames of this kind are these.
    pub fn is_one(kind: u8) -> bool {
        (QUEUE..=FINISH).contains(&kind)
    }

    /// Appends the body and returns the kind.
    pub fn encode(&self, number: u32, out: &mut Vec<u8>) -> Result<u8> {
        if !matches!(self, SessionRequest::Stage { .. }) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        Ok(match self {
            SessionRequest::Queue { name, make } => {
                put_name(out, name)?;
                out.push(u8::from(*make));
                QUEUE
            }
            SessionRequest::Session { which, idle_ms, bytes_max } => {
                put_which(*which, (*idle_ms, *bytes_max), out)?;
                SESSION
            }
            SessionRequest::Stage { session, transaction, messages } => {
                let count = length(messages.len())?;
                begin_stage(number, *session, *transaction, count, out);
                for (queue, body) in messages {
                    put_staged(*queue, out, |out| {
                        out.extend_from_slice(body);
                        Ok(())
                    })?;
                }
                STAGE
            }
            SessionRequest::Receive { session, transaction, consumer, max, timeout_ms, job } => {
                put_place(*session, *transaction, out);
                for word in [consumer, max, timeout_ms] {
                    out.extend_from_slice(&word.to_le_bytes());
                }
                out.push(u8::from(*job));
                RECEIVE
            }
            SessionRequest::Commit { session, transaction, level, heard } => {
                put_place(*session, *transaction, out);
                out.push(level_byte(*level));
                out.extend_from_slice(&heard.to_le_bytes());
                COMMIT
            }
            SessionRequest::Rollback { session, transaction, what } => {
                put_place(*session, *transaction, out);
                out.push(*what as u8);
                ROLLBACK
            }
            SessionRequest::Leave { session, forget } => {
                out.extend_from_slice(&session.to_le_bytes());
                out.push(u8::from(*forget));
                LEAVE
            }
            SessionRequest::Resolve(id) => {
                out.extend_from_slice(&id.to_bytes());
                RESOLVE
            }
            SessionRequest::Consumer { queue, name, from, level, giving } => {
                out.extend_from_slice(&queue.to_le_bytes());
                put_name(out, name)?;
                let (how, sequence) = match from {
                    Start::Oldest => (0, 0),
                    Start::Now => (1, 0),
                    Start::At(sequence) => (2, *sequence),
                };
                out.push(how);
                out.extend_from_slice(&u64::to_le_bytes(sequence));
                out.push(level_byte(*level));
                giving.put(out);
                CONSUMER
            }
            SessionRequest::Ack(consumer, sequences) => {
                out.extend_from_slice(&consumer.to_le_bytes());
                put_sequences(sequences, out)?;
                ACK
            }
            SessionRequest::Reject { consumer, sequences, delay_ms, reason, to_end } => {
                out.extend_from_slice(&consumer.to_le_bytes());
                out.extend_from_slice(&delay_ms.unwrap_or(AS_RETRIES).to_le_bytes());
                out.push(u8::from(*to_end));
                put_reason(reason, out);
                put_sequences(sequences, out)?;
                REJECT
            }
            SessionRequest::Renew(consumer, sequences) => {
                out.extend_from_slice(&consumer.to_le_bytes());
                put_sequences(sequences, out)?;
                RENEW
            }
            SessionRequest::Seek(consumer, sequence) => {
                put_place(*consumer, *sequence, out);
                SEEK
            }
            SessionRequest::Detach(consumer) => {
                out.extend_from_slice(&consumer.to_le_bytes());
                DETACH
            }
            SessionRequest::Prepare { session, transaction, xid } => {
                put_place(*session, *transaction, out);
                out.push(xid_length(xid)?);
                out.extend_from_slice(xid);
                PREPARE
            }
            SessionRequest::Finish { id, commit, by_hand } => {
                out.extend_from_slice(&id.to_bytes());
                out.extend_from_slice(&[u8::from(*commit), u8::from(*by_hand)]);
                FINISH
            }
        })
    }

    /// The number and the request in a body.
    pub fn decode(kind: u8, body: &[u8]) -> Result<(u32, SessionRequest<'_>)> {
        let mut rest = Rest(body);
        let number = rest.word()?;
        let request = match kind {
            QUEUE => SessionRequest::Queue { name: rest.name()?, make: flag(rest.byte()?)? },
            SESSION => take_session(&mut rest)?,
            STAGE => {
                let (session, transaction, count) = (rest.word()?, rest.long()?, rest.word()?);
                // Each message takes eight bytes at least, so the count cannot lie about the memory.
                let room = rest.0.len() / STAGED_HEAD;
                let mut messages = Vec::with_capacity(room.min(count as usize));
                for _ in 0..count {
                    let (queue, length) = (rest.word()?, rest.word()?);
                    messages.push((queue, rest.take(length as usize)?));
                }
                SessionRequest::Stage { session, transaction, messages }
            }
            RECEIVE => SessionRequest::Receive {
                session: rest.word()?,
                transaction: rest.long()?,
                consumer: rest.word()?,
                max: rest.word()?,
                timeout_ms: rest.word()?,
                job: flag(rest.byte()?)?,
            },
            COMMIT => SessionRequest::Commit {
                session: rest.word()?,
                transaction: rest.long()?,
                level: level_of(rest.byte()?)?,
                heard: rest.long()?,
            },
            ROLLBACK => {
                let (session, transaction) = (rest.word()?, rest.long()?);
                let what = match rest.byte()? {
                    0 => Undo::All,
                    1 => Undo::Puts,
                    2 => Undo::Keep,
                    what => {
                        let text = format!("a roll back of {what}, which this version lacks");
                        return Err(Error::new(Code::Unsupported, text));
                    }
                };
                SessionRequest::Rollback { session, transaction, what }
            }
            LEAVE => SessionRequest::Leave { session: rest.word()?, forget: flag(rest.byte()?)? },
            RESOLVE => {
                let id = TransactionId::parse(&rest.array::<TRANSACTION_ID_SIZE>()?)?;
                SessionRequest::Resolve(id)
            }
            CONSUMER => {
                let (queue, name, how, sequence) =
                    (rest.word()?, rest.name()?, rest.byte()?, rest.long()?);
                let from = match how {
                    0 => Start::Oldest,
                    1 => Start::Now,
                    2 => Start::At(sequence),
                    _ => {
                        let text = format!("a consumer cannot begin at place {how}");
                        return Err(Error::new(Code::Unsupported, text));
                    }
                };
                let (level, giving) = (level_of(rest.byte()?)?, Giving::take(&mut rest)?);
                SessionRequest::Consumer { queue, name, from, level, giving }
            }
            ACK => SessionRequest::Ack(rest.word()?, take_sequences(&mut rest)?),
            REJECT => {
                let (consumer, delay_ms) = (rest.word()?, rest.long()?);
                let (to_end, reason) = (flag(rest.byte()?)?, rest.reason()?);
                let delay_ms = Some(delay_ms).filter(|delay| *delay != AS_RETRIES);
                let sequences = take_sequences(&mut rest)?;
                SessionRequest::Reject { consumer, sequences, delay_ms, reason, to_end }
            }
            RENEW => SessionRequest::Renew(rest.word()?, take_sequences(&mut rest)?),
            SEEK => SessionRequest::Seek(rest.word()?, rest.long()?),
            DETACH => SessionRequest::Detach(rest.word()?),
            PREPARE => {
                let (session, transaction, length) = (rest.word()?, rest.long()?, rest.byte()?);
                let xid = rest.take(usize::from(length))?;
                SessionRequest::Prepare { session, transaction, xid }
            }
            FINISH => {
                let id = TransactionId::parse(&rest.array::<TRANSACTION_ID_SIZE>()?)?;
                let (commit, by_hand) = (flag(rest.byte()?)?, flag(rest.byte()?)?);
                SessionRequest::Finish { id, commit, by_hand }
            }
            _ => {
                let text =
                    format!("a request of kind {kind} arrived, which this version does not know");
                return Err(Error::new(Code::Unsupported, text));
            }
        };
        rest.end()?;
        Ok((number, request))
    }
}

fn xid_length(xid: &[u8]) -> Result<u8> {
    u8::try_from(xid.len()).map_err(|_| {
        let text = format!("an xid of {} bytes, more than {}", xid.len(), limits::XID_BYTES_MAX);
        Error::new(Code::TooLarge, text)
    })
}

/// A reason as long as is kept of one.
fn put_reason(reason: &str, out: &mut Vec<u8>) {
    let end = reason.char_indices().nth(limits::REASON_CHARS_MAX).map_or(reason.len(), |at| at.0);
    // Four bytes a character at most.
    out.extend_from_slice(&u16::try_from(end).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

fn put_which(which: Which<'_>, (idle_ms, bytes_max): (u32, u64), out: &mut Vec<u8>) -> Result<()> {
    let (how, name) = match which {
        Which::New => (0, ""),
        Which::Named(name, takeover) => (1 + u8::from(takeover), name),
        Which::Resumed(..) => (3, ""),
    };
    out.push(how);
    out.extend_from_slice(&idle_ms.to_le_bytes());
    out.extend_from_slice(&bytes_max.to_le_bytes());
    put_name(out, name)?;
    if let Which::Resumed(session, epoch) = which {
        out.extend_from_slice(&session);
        out.extend_from_slice(&epoch.to_le_bytes());
    }
    Ok(())
}

fn take_session<'a>(rest: &mut Rest<'a>) -> Result<SessionRequest<'a>> {
    let (how, idle_ms, bytes_max, name) = (rest.byte()?, rest.word()?, rest.long()?, rest.name()?);
    let which = match how {
        0 => Which::New,
        1 | 2 => Which::Named(name, how == 2),
        3 => Which::Resumed(rest.array()?, rest.word()?),
        _ => {
            let text = format!("a session cannot be opened in way {how}");
            return Err(Error::new(Code::Unsupported, text));
        }
    };
    Ok(SessionRequest::Session { which, idle_ms, bytes_max })
}

fn take_sequences(rest: &mut Rest<'_>) -> Result<Vec<u64>> {
    let count = rest.word()?;
    let mut sequences = Vec::with_capacity((rest.0.len() / 8).min(count as usize));
    for _ in 0..count {
        sequences.push(rest.long()?);
    }
    Ok(sequences)
}

impl SessionAnswer<'_> {
    /// Whether frames of this kind are these.
    pub fn is_one(kind: u8) -> bool {
        (DONE..=PART).contains(&kind)
    }

    /// Whether more follows a frame of this kind.
    pub fn is_part(kind: u8) -> bool {
        kind == PART
    }

    /// The messages of the body of a part.
    pub fn decode_part(body: &[u8]) -> Result<Vec<Given<'_>>> {
        let mut rest = Rest(body);
        rest.word()?;
        let given = take_given(&mut rest)?;
        rest.end()?;
        Ok(given)
    }

    /// Appends the body and returns the kind.
    pub fn encode(&self, number: u32, out: &mut Vec<u8>) -> Result<u8> {
        out.extend_from_slice(&number.to_le_bytes());
        Ok(match self {
            SessionAnswer::Done => DONE,
            SessionAnswer::Numbered(of) => {
                out.extend_from_slice(&of.to_le_bytes());
                NUMBERED
            }
            SessionAnswer::Opened(session, id) => {
                out.extend_from_slice(&session.to_le_bytes());
                out.extend_from_slice(&id.session);
                out.extend_from_slice(&id.epoch.to_le_bytes());
                out.extend_from_slice(&id.number.to_le_bytes());
                OPENED
            }
            SessionAnswer::Resolved(outcome) => {
                let (byte, token) = match outcome {
                    Outcome::Committed(token) => (1, token.to_bytes()),
                    Outcome::RolledBack => (2, [0; TOKEN_SIZE]),
                    Outcome::Pending => (3, [0; TOKEN_SIZE]),
                    Outcome::Expired => (4, [0; TOKEN_SIZE]),
                };
                out.push(byte);
                out.extend_from_slice(&token);
                RESOLVED
            }
            SessionAnswer::Received(given) => {
                put_given(given, out)?;
                RECEIVED
            }
            SessionAnswer::Part(given) => {
                put_given(given, out)?;
                PART
            }
        })
    }

    /// The number and the answer in a body.
    pub fn decode(kind: u8, body: &[u8]) -> Result<(u32, SessionAnswer<'_>)> {
        let mut rest = Rest(body);
        let number = rest.word()?;
        let answer = match kind {
            DONE => SessionAnswer::Done,
            NUMBERED => SessionAnswer::Numbered(rest.word()?),
            OPENED => {
                let (session, id, epoch) = (rest.word()?, rest.array()?, rest.word()?);
                let id = TransactionId { session: id, epoch, number: rest.long()? };
                SessionAnswer::Opened(session, id)
            }
            RESOLVED => {
                let (byte, token) = (rest.byte()?, rest.array::<TOKEN_SIZE>()?);
                SessionAnswer::Resolved(match byte {
                    1 => Outcome::Committed(Token::parse(&token)?),
                    2 => Outcome::RolledBack,
                    3 => Outcome::Pending,
                    4 => Outcome::Expired,
                    _ => {
                        let text = format!("an outcome {byte} arrived that this version lacks");
                        return Err(Error::new(Code::Protocol, text));
                    }
                })
            }
            RECEIVED => SessionAnswer::Received(take_given(&mut rest)?),
            PART => SessionAnswer::Part(take_given(&mut rest)?),
            _ => {
                let text =
                    format!("an answer of kind {kind} arrived, which this version does not know");
                return Err(Error::new(Code::Protocol, text));
            }
        };
        rest.end()?;
        Ok((number, answer))
    }
}

fn put_given(given: &[Given<'_>], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&length(given.len())?.to_le_bytes());
    for one in given {
        for word in [one.queue, one.index, one.deliveries] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for long in [one.sequence, one.transaction, one.committed_ms] {
            out.extend_from_slice(&long.to_le_bytes());
        }
        out.extend_from_slice(&length(one.body.len())?.to_le_bytes());
        out.extend_from_slice(one.body);
    }
    Ok(())
}

fn take_given<'a>(rest: &mut Rest<'a>) -> Result<Vec<Given<'a>>> {
    let count = rest.word()?;
    let mut given = Vec::with_capacity((rest.0.len() / RECEIVED_HEAD).min(count as usize));
    for _ in 0..count {
        let (queue, index, deliveries) = (rest.word()?, rest.word()?, rest.word()?);
        let (sequence, transaction, committed_ms) = (rest.long()?, rest.long()?, rest.long()?);
        let length = rest.word()?;
        let body = rest.take(length as usize)?;
        given.push(Given { queue, index, deliveries, sequence, transaction, committed_ms, body });
    }
    Ok(given)
}

#[cfg(test)]
mod tests;
