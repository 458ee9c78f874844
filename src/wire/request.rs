//! The bodies of requests and answers. All integers are little-endian.
//!
//! Every body begins with the request's number (4), which the client chooses and the answer repeats; answers
//! may come in another order than the requests. A *name* is its length (1) and so many bytes of UTF-8.
//!
//! ```text
//! kind  request   behind the number
//!   64  STATUS    nothing: the status of the store, answered by TEXT
//!   65  SERVER    nothing: the status of the server, answered by TEXT
//!   66  QUEUES    nothing: the queues this user may see, answered by TEXT
//!   67  PUT       queue (name), count (4), then each message: length (4), body; answered by STORED
//!   68  BROWSE    queue (name), from sequence (8), at most so many messages (4); answered by MESSAGES
//!   69  WAIT      place (name), timeout in ms (4), count (1), tokens (40 each); answered by DONE
//!   70  ORDER     JSON, UTF-8: what an administrator orders; answered by TEXT
//!   71  SNAPSHOT  nothing: all queues as they are now, until it is given up; answered by HELD
//!   72  LOOK      snapshot (4), number of a queue (4), from sequence (8), at most so many messages (4); answered by
//!                 MESSAGES
//!   73  GIVE_UP   snapshot (4); answered by DONE
//!   74  HURRY     number of an earlier WAIT or RECEIVE of this connection (4): its time is over now. Not answered
//!                 itself; what it is about is answered as ever, once
//!
//! kind  answer    behind the number
//!   80  REFUSED   the body of an ERROR frame
//!   81  TEXT      JSON, UTF-8
//!   82  STORED    token (40), level reached (1): 0 process, 1 power
//!   83  MESSAGES  count (4), then each: sequence (8), transaction (8), committed at (8), length (4), body
//!   84  DONE      nothing
//!   85  HELD      number of the snapshot on this connection (4), which ends with it
//! ```
//!
//! The body of a message is the one that is stored; `journal/body.rs` describes it. Committed at is in
//! milliseconds since 1970 UTC. A put is one transaction: all of its messages or none.

use super::fault::Fault;
use crate::error::{Code, Error, Result};
use crate::position::{TOKEN_SIZE, Token};
use crate::store::Level;

/// Requests one connection may have under way: a thousand puts that nobody waits for are two thousand.
pub const REQUESTS_MAX: usize = 4_096;
/// Tokens one wait may name.
pub const TOKENS_MAX: usize = u8::MAX as usize;

const STATUS: u8 = 64;
const SERVER: u8 = 65;
const QUEUES: u8 = 66;
const PUT: u8 = 67;
const BROWSE: u8 = 68;
const WAIT: u8 = 69;
const ORDER: u8 = 70;
const SNAPSHOT: u8 = 71;
const LOOK: u8 = 72;
const GIVE_UP: u8 = 73;
const HURRY: u8 = 74;
const REFUSED: u8 = 80;
const TEXT: u8 = 81;
const STORED: u8 = 82;
const MESSAGES: u8 = 83;
const DONE: u8 = 84;
const HELD: u8 = 85;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// The status of the store.
    Status,
    /// The status of the server.
    Server,
    /// The queues this user may see.
    Queues,
    /// Put these messages as one transaction.
    Put {
        /// Name of the queue.
        queue: &'a str,
        /// The bodies.
        messages: Vec<&'a [u8]>,
    },
    /// Look at messages.
    Browse {
        /// Name of the queue.
        queue: &'a str,
        /// The first sequence of interest.
        from: u64,
        /// How many at most.
        max: u32,
    },
    /// Wait until transactions have reached a place.
    Wait {
        /// The place.
        at: &'a str,
        /// How long at most.
        timeout_ms: u32,
        /// The transactions.
        tokens: Vec<Token>,
    },
    /// Change something; `server/orders.rs` says what.
    Order {
        /// The order, as JSON.
        text: &'a str,
    },
    /// Keep all queues as they are now.
    Snapshot,
    /// Look at messages of a snapshot.
    Look {
        /// The snapshot.
        snapshot: u32,
        /// Number of the queue.
        queue: u32,
        /// The first sequence of interest.
        from: u64,
        /// How many at most.
        max: u32,
    },
    /// Let a snapshot go.
    GiveUp(u32),
    /// What the request of this number waits for is not waited for any more.
    Hurry(u32),
}

/// A message in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its place in its queue.
    pub sequence: u64,
    /// The transaction that brought it.
    pub transaction: u64,
    /// When that was.
    pub committed_ms: u64,
    /// Its body.
    pub body: &'a [u8],
}

/// What a server answers.
#[derive(Debug)]
pub enum Answer<'a> {
    /// It could not be done.
    Refused(Error),
    /// A text.
    Text(&'a str),
    /// The messages are stored.
    Stored(Token, Level),
    /// Messages.
    Messages(Vec<Row<'a>>),
    /// It is done, or there.
    Done,
    /// A snapshot has this number.
    Held(u32),
}

impl Request<'_> {
    /// What the log calls a request of this kind.
    pub fn name(kind: u8) -> &'static str {
        match kind {
            STATUS => "STATUS",
            SERVER => "SERVER",
            QUEUES => "QUEUES",
            PUT => "PUT",
            BROWSE => "BROWSE",
            WAIT => "WAIT",
            ORDER => "ORDER",
            SNAPSHOT => "SNAPSHOT",
            LOOK => "LOOK",
            GIVE_UP => "GIVE_UP",
            HURRY => "HURRY",
            _ => "a request",
        }
    }

    /// Appends the body and returns the kind.
    pub fn encode(&self, number: u32, out: &mut Vec<u8>) -> Result<u8> {
        out.extend_from_slice(&number.to_le_bytes());
        Ok(match self {
            Request::Status => STATUS,
            Request::Server => SERVER,
            Request::Queues => QUEUES,
            Request::Put { queue, messages } => {
                put_name(out, queue)?;
                out.extend_from_slice(&length(messages.len())?.to_le_bytes());
                for message in messages {
                    out.extend_from_slice(&length(message.len())?.to_le_bytes());
                    out.extend_from_slice(message);
                }
                PUT
            }
            Request::Browse { queue, from, max } => {
                put_name(out, queue)?;
                out.extend_from_slice(&from.to_le_bytes());
                out.extend_from_slice(&max.to_le_bytes());
                BROWSE
            }
            Request::Wait { at, timeout_ms, tokens } => {
                put_name(out, at)?;
                out.extend_from_slice(&timeout_ms.to_le_bytes());
                out.push(u8::try_from(tokens.len()).map_err(|_| {
                    let text = format!("{} tokens in one wait, more than 255", tokens.len());
                    Error::new(Code::TooLarge, text)
                })?);
                tokens.iter().for_each(|token| out.extend_from_slice(&token.to_bytes()));
                WAIT
            }
            Request::Order { text } => {
                out.extend_from_slice(text.as_bytes());
                ORDER
            }
            Request::Snapshot => SNAPSHOT,
            Request::Look { snapshot, queue, from, max } => {
                out.extend_from_slice(&snapshot.to_le_bytes());
                out.extend_from_slice(&queue.to_le_bytes());
                out.extend_from_slice(&from.to_le_bytes());
                out.extend_from_slice(&max.to_le_bytes());
                LOOK
            }
            Request::GiveUp(snapshot) => {
                out.extend_from_slice(&snapshot.to_le_bytes());
                GIVE_UP
            }
            Request::Hurry(of) => {
                out.extend_from_slice(&of.to_le_bytes());
                HURRY
            }
        })
    }

    /// The number and the request in a body.
    pub fn decode(kind: u8, body: &[u8]) -> Result<(u32, Request<'_>)> {
        let mut rest = Rest(body);
        let number = rest.word()?;
        let request = match kind {
            STATUS => Request::Status,
            SERVER => Request::Server,
            ORDER => return Ok((number, Request::Order { text: text(rest.0)? })),
            QUEUES => Request::Queues,
            HURRY => Request::Hurry(rest.word()?),
            PUT => {
                let queue = rest.name()?;
                let count = rest.word()?;
                // Each message takes four bytes at least, so the count cannot lie about the memory.
                let mut messages = Vec::with_capacity(rest.0.len().min(count as usize * 4) / 4);
                for _ in 0..count {
                    let length = rest.word()?;
                    messages.push(rest.take(length as usize)?);
                }
                Request::Put { queue, messages }
            }
            BROWSE => {
                Request::Browse { queue: rest.name()?, from: rest.long()?, max: rest.word()? }
            }
            WAIT => {
                let (at, timeout_ms) = (rest.name()?, rest.word()?);
                let count = rest.take(1)?[0];
                let tokens = (0..count).map(|_| rest.token()).collect::<Result<Vec<Token>>>()?;
                Request::Wait { at, timeout_ms, tokens }
            }
            SNAPSHOT => Request::Snapshot,
            LOOK => {
                let (snapshot, queue) = (rest.word()?, rest.word()?);
                Request::Look { snapshot, queue, from: rest.long()?, max: rest.word()? }
            }
            GIVE_UP => Request::GiveUp(rest.word()?),
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

impl Answer<'_> {
    /// Appends the body and returns the kind.
    pub fn encode(&self, number: u32, out: &mut Vec<u8>) -> Result<u8> {
        out.extend_from_slice(&number.to_le_bytes());
        Ok(match self {
            Answer::Refused(error) => {
                Fault::encode(error, out);
                REFUSED
            }
            Answer::Text(text) => {
                out.extend_from_slice(text.as_bytes());
                TEXT
            }
            Answer::Stored(token, level) => {
                out.extend_from_slice(&token.to_bytes());
                out.push(u8::from(*level == Level::Power));
                STORED
            }
            Answer::Messages(rows) => {
                out.extend_from_slice(&length(rows.len())?.to_le_bytes());
                for row in rows {
                    for value in [row.sequence, row.transaction, row.committed_ms] {
                        out.extend_from_slice(&value.to_le_bytes());
                    }
                    out.extend_from_slice(&length(row.body.len())?.to_le_bytes());
                    out.extend_from_slice(row.body);
                }
                MESSAGES
            }
            Answer::Done => DONE,
            Answer::Held(snapshot) => {
                out.extend_from_slice(&snapshot.to_le_bytes());
                HELD
            }
        })
    }

    /// The number and the answer in a body.
    pub fn decode(kind: u8, body: &[u8]) -> Result<(u32, Answer<'_>)> {
        let mut rest = Rest(body);
        let number = rest.word()?;
        let answer = match kind {
            REFUSED => return Ok((number, Answer::Refused(Fault::decode(rest.0)?))),
            TEXT => return Ok((number, Answer::Text(text(rest.0)?))),
            STORED => {
                let token = rest.token()?;
                let level = if rest.take(1)?[0] == 0 { Level::Process } else { Level::Power };
                Answer::Stored(token, level)
            }
            MESSAGES => {
                let count = rest.word()?;
                let mut rows = Vec::new();
                for _ in 0..count {
                    let (sequence, transaction) = (rest.long()?, rest.long()?);
                    let committed_ms = rest.long()?;
                    let length = rest.word()?;
                    let body = rest.take(length as usize)?;
                    rows.push(Row { sequence, transaction, committed_ms, body });
                }
                Answer::Messages(rows)
            }
            DONE => Answer::Done,
            HELD => Answer::Held(rest.word()?),
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

pub(super) fn length(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| Error::new(Code::TooLarge, "a request above 4 GiB"))
}

pub(super) fn put_name(out: &mut Vec<u8>, name: &str) -> Result<()> {
    let length = u8::try_from(name.len()).map_err(|_| {
        Error::new(Code::TooLarge, format!("a name of {} bytes, more than 255", name.len()))
    })?;
    out.push(length);
    out.extend_from_slice(name.as_bytes());
    Ok(())
}

fn malformed() -> Error {
    Error::new(Code::Protocol, "a request or an answer arrived whose lengths do not fit")
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes)
        .map_err(|_| Error::new(Code::Protocol, "a text arrived that is not UTF-8"))
}

/// What is left of a body.
pub(super) struct Rest<'a>(pub &'a [u8]);

impl<'a> Rest<'a> {
    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length).ok_or_else(malformed)?;
        self.0 = left;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| malformed())
    }

    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn word(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn long(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn name(&mut self) -> Result<&'a str> {
        let length = self.take(1)?[0];
        text(self.take(usize::from(length))?)
    }

    /// A text with a length of two bytes.
    pub fn reason(&mut self) -> Result<&'a str> {
        let length = u16::from_le_bytes(self.array()?);
        text(self.take(usize::from(length))?)
    }

    pub fn token(&mut self) -> Result<Token> {
        Token::parse(&self.array::<TOKEN_SIZE>()?)
    }

    pub fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::GroupId;

    fn token() -> Token {
        Token::empty(GroupId::from_bytes(*b"0123456789abcdef"))
    }

    fn requests() -> Vec<Request<'static>> {
        vec![
            Request::Status,
            Request::Server,
            Request::Queues,
            Request::Put { queue: "orders", messages: vec![b"ab", b""] },
            Request::Browse { queue: "ä", from: 7, max: 9 },
            Request::Wait { at: "target:*", timeout_ms: 1000, tokens: vec![token()] },
            Request::Snapshot,
            Request::Look { snapshot: 1, queue: 2, from: 3, max: 4 },
            Request::GiveUp(5),
            Request::Hurry(9),
        ]
    }

    #[test]
    fn golden_bytes_of_requests_and_answers() {
        let request = |request: &Request<'_>| {
            let mut out = Vec::new();
            (request.encode(0x0102, &mut out).unwrap(), out)
        };
        let rows: [(u8, &[u8]); 5] = [
            (64, b"\x02\x01\0\0"),
            (65, b"\x02\x01\0\0"),
            (66, b"\x02\x01\0\0"),
            (67, b"\x02\x01\0\0\x06orders\x02\0\0\0\x02\0\0\0ab\0\0\0\0"),
            (68, b"\x02\x01\0\0\x02\xc3\xa4\x07\0\0\0\0\0\0\0\x09\0\0\0"),
        ];
        for ((kind, golden), asked) in rows.iter().zip(requests()) {
            assert_eq!(request(&asked), (*kind, golden.to_vec()), "{asked:?}");
        }
        let (kind, wait) = request(&requests()[5]);
        assert_eq!((kind, &wait[..18]), (69, &b"\x02\x01\0\0\x08target:*\xe8\x03\0\0\x01"[..]));
        assert_eq!(wait[18..], token().to_bytes());
        assert_eq!(request(&Request::Hurry(9)), (74, b"\x02\x01\0\0\x09\0\0\0".to_vec()));
        let order = Request::Order { text: "{}" };
        assert_eq!(request(&order), (70, b"\x02\x01\0\0{}".to_vec()));
        let golden: [&[u8]; 3] =
            [b"", b"\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0", b"\x05\0\0\0"];
        for ((kind, golden), asked) in (71..).zip(golden).zip(&requests()[6..]) {
            assert_eq!(request(asked), (kind, [b"\x02\x01\0\0", golden].concat()), "{asked:?}");
        }
        let answer = |answer: &Answer<'_>| {
            let mut out = Vec::new();
            (answer.encode(1, &mut out).unwrap(), out)
        };
        let refused = Answer::Refused(Error::new(Code::Denied, "no"));
        assert_eq!(answer(&refused), (80, b"\x01\0\0\0\x25\0\0\0\xff\xff\xff\xffno".to_vec()));
        assert_eq!(answer(&Answer::Text("{}")), (81, b"\x01\0\0\0{}".to_vec()));
        let (kind, stored) = answer(&Answer::Stored(token(), Level::Power));
        assert_eq!((kind, stored.len(), stored[44]), (82, 45, 1));
        let row = Row { sequence: 1, transaction: 2, committed_ms: 3, body: b"x" };
        let golden = b"\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0x";
        assert_eq!(answer(&Answer::Messages(vec![row])), (83, golden.to_vec()));
        assert_eq!(answer(&Answer::Done), (84, b"\x01\0\0\0".to_vec()));
        assert_eq!(answer(&Answer::Held(7)), (85, b"\x01\0\0\0\x07\0\0\0".to_vec()));
    }

    #[test]
    fn requests_come_out_as_they_went_in_and_cut_ones_are_refused() {
        for request in requests() {
            let mut body = Vec::new();
            let kind = request.encode(5, &mut body).unwrap();
            assert_eq!(Request::decode(kind, &body).unwrap(), (5, request.clone()));
            for cut in 0..body.len() {
                assert!(Request::decode(kind, &body[..cut]).is_err(), "{request:?} at {cut}");
            }
            body.push(0);
            assert_eq!(Request::decode(kind, &body).unwrap_err().code(), Code::Protocol);
        }
        assert_eq!(Request::decode(79, &[0; 4]).unwrap_err().code(), Code::Unsupported);
    }

    #[test]
    fn answers_come_out_as_they_went_in_and_cut_ones_are_refused() {
        let row = Row { sequence: 1, transaction: 2, committed_ms: 3, body: b"xyz" };
        let answers = [
            Answer::Stored(token(), Level::Process),
            Answer::Messages(vec![row, row]),
            Answer::Done,
            Answer::Held(7),
        ];
        for answer in &answers {
            let mut body = Vec::new();
            let kind = answer.encode(5, &mut body).unwrap();
            let (number, read) = Answer::decode(kind, &body).unwrap();
            assert_eq!((number, format!("{read:?}")), (5, format!("{answer:?}")));
            for cut in 0..body.len() {
                assert!(Answer::decode(kind, &body[..cut]).is_err(), "{answer:?} at {cut}");
            }
        }
    }

    #[test]
    fn a_count_that_lies_allocates_nothing_and_is_refused() {
        let mut body = b"\x01\0\0\0\x01q".to_vec();
        body.extend([0xff; 4]);
        assert_eq!(Request::decode(PUT, &body).unwrap_err().code(), Code::Protocol);
        assert_eq!(Answer::decode(MESSAGES, &[0xff; 8]).unwrap_err().code(), Code::Protocol);
    }
}
