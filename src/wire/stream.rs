//! The bodies of the frames that replication speaks. All integers are little-endian; a *stamp* is epoch (4),
//! sequence (8) and chain (8); a *text* is its length (2) and its UTF-8.
//!
//! The sender greets, the receiver answers how far it has come or why it refuses, the sender says where it goes
//! on, and then data goes one way and confirmations and credit the other.
//!
//! ```text
//! kind  frame     from      body
//!   32  hello     sender    version (1) = 1, group (16), stream (8), position that is durable: epoch (4),
//!                           sequence (8), oldest stamp kept (20), rows (2), that many rows of the history:
//!                           epoch (4), first (8), owner (4), cause (1): 1 create, 2 promote, 3 force, 4 restore,
//!                           5 fork, 6 copied, 7 crash; root (text), queue (text), target (text)
//!   33  answer    receiver  code (4), 0 = accepted; 1 when there is a stamp (1), the receiver's stamp (20),
//!                           newest epoch of that group it knows (4), credit in bytes (8), reason (text)
//!   34  resume    sender    stream (8); what (1): 1 begin, 2 continue, 3 orphan, 4 gap; the stamp data goes on behind (20);
//!                           for 3 then the orphans: epoch (4), first (8), last (8)
//!   35  data      sender    stream (8), the stamp before (20), then entries to the end:
//!                             1 transaction  stamp (20), committed at (8), records (4), then each record:
//!                                            kind (1): 1 a message, or 2, as the first, the path it came
//!                                            by: group (16) and stream (8) of each, oldest first;
//!                                            zero (3), length (4), body sum (4), body
//!                             2 advance      stamp (20): nothing up to here is for the receiver
//!                             3 skip         stamp (20): the transaction with this stamp was set aside
//!   36  part      sender    stream (8), the stamp before (20), length of the whole entry (8), place in it (8), bytes: a
//!                           transaction larger than a frame, as the entry 1 of a data frame, cut; of any length, for
//!                           what does not fit into memory is staged by the receiver as it comes
//!   37  confirm   receiver  stamp (20): everything up to here is safe
//!   38  credit    receiver  bytes (8) that may be sent beyond what was granted before
//!   39  refused   receiver  code (4), stamp (20) of the transaction, reason (text)
//! ```
//!
//! Stream and stamp together say what a frame follows, so that one that is said again elsewhere does nothing.
//!
//! Data costs credit: the length of the body of a data or part frame. A sender may overdraw it by one frame.

use crate::error::{Code, Error, Result};
use crate::limits;
use crate::position::{Cause, HistoryRow, Position, STAMP_SIZE, Stamp};

/// Kinds of frames.
pub mod kind {
    /// The sender says which stream it brings.
    pub const HELLO: u8 = 32;
    /// The receiver says how far it is, or refuses.
    pub const ANSWER: u8 = 33;
    /// The sender says where it goes on.
    pub const RESUME: u8 = 34;
    /// Whole transactions.
    pub const DATA: u8 = 35;
    /// A piece of a large transaction.
    pub const PART: u8 = 36;
    /// What is safe at the receiver.
    pub const CONFIRM: u8 = 37;
    /// The sender may send more.
    pub const CREDIT: u8 = 38;
    /// The receiver cannot take a transaction.
    pub const REFUSED: u8 = 39;
}

/// The version of what is said here.
const VERSION: u8 = 1;
/// The kind of record a stream carries: a message.
pub const MESSAGE: u8 = 1;
/// The kind of record that says which streams a transaction came by.
pub const PATH: u8 = 2;
const ROW: usize = 17;
/// Bytes of a record before its body.
pub const RECORD: usize = 12;
const TRANSACTION: u8 = 1;
const ADVANCE: u8 = 2;
const SKIP: u8 = 3;

/// What a sender greets with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The sender's group.
    pub group: [u8; 16],
    /// The stream's id in it.
    pub stream: u64,
    /// What is durable at the sender.
    pub safe: Position,
    /// The oldest stamp it can go on behind.
    pub kept: Stamp,
    /// Its history.
    pub history: Vec<HistoryRow>,
    /// The queue the stream reads.
    pub root: String,
    /// The queue it is to be written to.
    pub queue: String,
    /// What the sender calls the receiver.
    pub target: String,
}

/// What a receiver answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// [`Code::Ok`], or why it refuses.
    pub code: Code,
    /// How far it is.
    pub stamp: Option<Stamp>,
    /// The newest epoch of the sender's group it knows.
    pub epoch: u32,
    /// Bytes that may be sent.
    pub credit: u64,
    /// Why it refuses.
    pub reason: String,
}

/// Where a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It begins behind this stamp.
    Begin(Stamp),
    /// It goes on behind the receiver's stamp.
    Continue(Stamp),
    /// What the receiver has of an epoch, first to last, is in no history any more; it goes on behind the stamp.
    Orphan(Stamp, u32, u64, u64),
    /// What lies between the receiver's stamp and this one is gone.
    Gap(Stamp),
}

impl Resume {
    /// The stamp data goes on behind.
    pub fn stamp(&self) -> Stamp {
        match self {
            Resume::Begin(stamp)
            | Resume::Continue(stamp)
            | Resume::Orphan(stamp, ..)
            | Resume::Gap(stamp) => *stamp,
        }
    }
}

/// An entry of a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A transaction.
    Transaction(Transaction<'a>),
    /// Nothing up to this stamp is for the receiver.
    Advance(Stamp),
    /// The transaction with this stamp was set aside.
    Skip(Stamp),
}

/// A transaction of a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// Its stamp.
    pub stamp: Stamp,
    /// When it was committed, milliseconds since 1970 UTC.
    pub time_ms: u64,
    /// How many records it has.
    pub records: u32,
    bytes: &'a [u8],
}

/// A record of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: u8,
    /// The sum its producer gave it.
    pub sum: u32,
    /// Its body.
    pub body: &'a [u8],
}

/// A piece of a large transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The stream's id.
    pub stream: u64,
    /// The stamp before it.
    pub previous: Stamp,
    /// Length of the whole.
    pub total: u64,
    /// Where the piece belongs.
    pub at: u64,
    /// The piece.
    pub bytes: &'a [u8],
}

/// What the receiver could not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub code: Code,
    /// Which transaction.
    pub stamp: Stamp,
    /// Why, for people.
    pub reason: String,
}

// ---- writing

fn put_text(body: &mut Vec<u8>, text: &str, most: usize) {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    body.extend_from_slice(&u16::try_from(end).unwrap_or(0).to_le_bytes());
    body.extend_from_slice(&text.as_bytes()[..end]);
}

impl Hello {
    /// Appends the body.
    pub fn encode(&self, body: &mut Vec<u8>) {
        body.push(VERSION);
        body.extend_from_slice(&self.group);
        body.extend_from_slice(&self.stream.to_le_bytes());
        body.extend_from_slice(&self.safe.epoch.to_le_bytes());
        body.extend_from_slice(&self.safe.sequence.to_le_bytes());
        body.extend_from_slice(&self.kept.to_bytes());
        body.extend_from_slice(
            &u16::try_from(self.history.len()).unwrap_or(u16::MAX).to_le_bytes(),
        );
        for row in &self.history {
            body.extend_from_slice(&row.epoch.to_le_bytes());
            body.extend_from_slice(&row.first.to_le_bytes());
            body.extend_from_slice(&row.owner.to_le_bytes());
            body.push(row.cause as u8);
        }
        for name in [&self.root, &self.queue, &self.target] {
            put_text(body, name, limits::NAME_BYTES_MAX);
        }
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Hello> {
        let mut reader = Reader { rest: body, what: "hello" };
        let version = reader.u8()?;
        if version != VERSION {
            let text =
                format!("the other side speaks version {version} of streams, this one {VERSION}");
            return Err(Error::new(Code::Version, text));
        }
        let group = reader.array()?;
        let stream = reader.u64()?;
        let safe = Position { epoch: reader.u32()?, sequence: reader.u64()? };
        let kept = reader.stamp()?;
        let rows = usize::from(reader.u16()?);
        if rows > limits::HISTORY_ROWS_MAX {
            return Err(reader.wrong("too many rows"));
        }
        let rows = reader.take(rows * ROW)?;
        let mut history = Vec::with_capacity(rows.len() / ROW);
        for row in rows.chunks_exact(ROW) {
            let mut row = Reader { rest: row, what: "hello" };
            let (epoch, first, owner, cause) = (row.u32()?, row.u64()?, row.u32()?, row.u8()?);
            let cause =
                Cause::from_u8(cause).ok_or_else(|| row.wrong("unknown cause of an epoch"))?;
            history.push(HistoryRow { epoch, first, owner, cause });
        }
        let rising = history
            .windows(2)
            .all(|two| two[0].epoch < two[1].epoch && two[0].first <= two[1].first);
        if history.is_empty() || !rising {
            return Err(reader.wrong("rows out of order"));
        }
        let root = reader.text(limits::NAME_BYTES_MAX)?;
        let queue = reader.text(limits::NAME_BYTES_MAX)?;
        let target = reader.text(limits::NAME_BYTES_MAX)?;
        reader.end()?;
        Ok(Hello { group, stream, safe, kept, history, root, queue, target })
    }
}

impl Answer {
    /// Appends the body.
    pub fn encode(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&(self.code as i32).to_le_bytes());
        body.push(u8::from(self.stamp.is_some()));
        body.extend_from_slice(&self.stamp.unwrap_or_default().to_bytes());
        body.extend_from_slice(&self.epoch.to_le_bytes());
        body.extend_from_slice(&self.credit.to_le_bytes());
        put_text(body, &self.reason, limits::STREAM_TEXT_BYTES_MAX);
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Answer> {
        let mut reader = Reader { rest: body, what: "answer" };
        let code = reader.code()?;
        let begun = reader.u8()? != 0;
        let stamp = Some(reader.stamp()?).filter(|_| begun);
        let (epoch, credit) = (reader.u32()?, reader.u64()?);
        let reason = reader.text(limits::STREAM_TEXT_BYTES_MAX)?;
        reader.end()?;
        Ok(Answer { code, stamp, epoch, credit, reason })
    }
}

impl Resume {
    /// Appends the body.
    pub fn encode(&self, stream: u64, body: &mut Vec<u8>) {
        body.extend_from_slice(&stream.to_le_bytes());
        let what = match self {
            Resume::Begin(_) => 1,
            Resume::Continue(_) => 2,
            Resume::Orphan(..) => 3,
            Resume::Gap(_) => 4,
        };
        body.push(what);
        body.extend_from_slice(&self.stamp().to_bytes());
        if let Resume::Orphan(_, epoch, first, last) = self {
            body.extend_from_slice(&epoch.to_le_bytes());
            body.extend_from_slice(&first.to_le_bytes());
            body.extend_from_slice(&last.to_le_bytes());
        }
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<(u64, Resume)> {
        let mut reader = Reader { rest: body, what: "resume" };
        let stream = reader.u64()?;
        let what = reader.u8()?;
        let stamp = reader.stamp()?;
        let resume = match what {
            1 => Resume::Begin(stamp),
            2 => Resume::Continue(stamp),
            3 => Resume::Orphan(stamp, reader.u32()?, reader.u64()?, reader.u64()?),
            4 => Resume::Gap(stamp),
            _ => return Err(reader.wrong("unknown way to go on")),
        };
        reader.end()?;
        Ok((stream, resume))
    }
}

/// Begins a data frame behind a stamp.
pub fn begin_data(body: &mut Vec<u8>, stream: u64, previous: &Stamp) {
    body.extend_from_slice(&stream.to_le_bytes());
    body.extend_from_slice(&previous.to_bytes());
}

/// Adds the head of a transaction; `records` are to follow.
pub fn put_transaction(body: &mut Vec<u8>, stamp: &Stamp, time_ms: u64, records: u32) {
    body.push(TRANSACTION);
    body.extend_from_slice(&stamp.to_bytes());
    body.extend_from_slice(&time_ms.to_le_bytes());
    body.extend_from_slice(&records.to_le_bytes());
}

/// Adds a record to the transaction begun last.
pub fn put_record(body: &mut Vec<u8>, record: &Record<'_>) {
    body.extend_from_slice(&[record.kind, 0, 0, 0]);
    body.extend_from_slice(&u32::try_from(record.body.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend_from_slice(&record.sum.to_le_bytes());
    body.extend_from_slice(record.body);
}

/// Adds "nothing up to this stamp is for you".
pub fn put_advance(body: &mut Vec<u8>, stamp: &Stamp) {
    body.push(ADVANCE);
    body.extend_from_slice(&stamp.to_bytes());
}

/// Adds "the transaction with this stamp was set aside".
pub fn put_skip(body: &mut Vec<u8>, stamp: &Stamp) {
    body.push(SKIP);
    body.extend_from_slice(&stamp.to_bytes());
}

impl Part<'_> {
    /// Appends the body.
    pub fn encode(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.stream.to_le_bytes());
        body.extend_from_slice(&self.previous.to_bytes());
        body.extend_from_slice(&self.total.to_le_bytes());
        body.extend_from_slice(&self.at.to_le_bytes());
        body.extend_from_slice(self.bytes);
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Part<'_>> {
        let mut reader = Reader { rest: body, what: "part" };
        let (stream, previous) = (reader.u64()?, reader.stamp()?);
        let (total, at) = (reader.u64()?, reader.u64()?);
        let bytes = reader.rest;
        let inside = at.checked_add(bytes.len() as u64).is_some_and(|end| end <= total);
        if bytes.is_empty() || !inside || total > limits::STREAM_TRANSACTION_BYTES_MAX {
            return Err(reader.wrong("a piece outside of its transaction"));
        }
        Ok(Part { stream, previous, total, at, bytes })
    }
}

/// Appends the body of a confirmation.
pub fn put_confirm(body: &mut Vec<u8>, stamp: &Stamp) {
    body.extend_from_slice(&stamp.to_bytes());
}

/// Reads the body of a confirmation.
pub fn confirm(body: &[u8]) -> Result<Stamp> {
    let mut reader = Reader { rest: body, what: "confirmation" };
    let stamp = reader.stamp()?;
    reader.end().map(|()| stamp)
}

/// Appends the body of a credit.
pub fn put_credit(body: &mut Vec<u8>, bytes: u64) {
    body.extend_from_slice(&bytes.to_le_bytes());
}

/// Reads the body of a credit.
pub fn credit(body: &[u8]) -> Result<u64> {
    let mut reader = Reader { rest: body, what: "credit" };
    let bytes = reader.u64()?;
    reader.end().map(|()| bytes)
}

impl Refused {
    /// Appends the body.
    pub fn encode(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&(self.code as i32).to_le_bytes());
        body.extend_from_slice(&self.stamp.to_bytes());
        put_text(body, &self.reason, limits::STREAM_TEXT_BYTES_MAX);
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Refused> {
        let mut reader = Reader { rest: body, what: "refusal" };
        let (code, stamp) = (reader.code()?, reader.stamp()?);
        let reason = reader.text(limits::STREAM_TEXT_BYTES_MAX)?;
        reader.end()?;
        Ok(Refused { code, stamp, reason })
    }
}

// ---- reading

/// What is left of a body.
struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    fn wrong(&self, why: &str) -> Error {
        Error::new(Code::Protocol, format!("the {} of a stream cannot be read: {why}", self.what))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| self.wrong("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn stamp(&mut self) -> Result<Stamp> {
        let bytes = self.take(STAMP_SIZE)?;
        Stamp::from_bytes(bytes).ok_or_else(|| self.wrong("it ends too early"))
    }

    fn code(&mut self) -> Result<Code> {
        let number = i32::from_le_bytes(self.array()?);
        // A code of a newer version is a refusal all the same.
        Ok(Code::ALL.iter().copied().find(|code| *code as i32 == number).unwrap_or(Code::Protocol))
    }

    fn text(&mut self, most: usize) -> Result<String> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(self.wrong("a text is too long"));
        }
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.wrong("a text is not UTF-8"))?;
        Ok(text.to_string())
    }

    fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("it is too long")) }
    }
}

/// The entries of a data frame, one by one.
pub struct Entries<'a>(Reader<'a>);

/// The stream of a data frame, the stamp before it, and its entries.
pub fn data(body: &[u8]) -> Result<(u64, Stamp, Entries<'_>)> {
    let mut reader = Reader { rest: body, what: "data" };
    let (stream, previous) = (reader.u64()?, reader.stamp()?);
    if reader.rest.is_empty() {
        return Err(reader.wrong("it is empty"));
    }
    Ok((stream, previous, Entries(reader)))
}

/// The one entry of a large transaction put together from its parts.
pub fn whole(bytes: &[u8]) -> Result<Entry<'_>> {
    let mut entries = Entries(Reader { rest: bytes, what: "transaction" });
    let entry = entries.next().unwrap_or_else(|| Err(entries.0.wrong("it is empty")))?;
    entries.0.end()?;
    Ok(entry)
}

/// The head of a large transaction of which these are the first bytes: its stamp, how many records follow, and
/// what has arrived of them; `None` while it is not all there.
pub fn large_head(bytes: &[u8]) -> Result<Option<(Stamp, u32, &[u8])>> {
    if bytes.len() < 1 + STAMP_SIZE + 8 + 4 {
        return Ok(None);
    }
    let mut reader = Reader { rest: bytes, what: "transaction" };
    if reader.u8()? != TRANSACTION {
        return Err(reader.wrong("what comes in pieces is no transaction"));
    }
    let (stamp, _, records) = (reader.stamp()?, reader.u64()?, reader.u32()?);
    Ok(Some((stamp, records, reader.rest)))
}

/// The next record of a large transaction, and what follows it; `None` while it is not all there.
pub fn large_record(bytes: &[u8]) -> Result<Option<(Record<'_>, &[u8])>> {
    let mut reader = Reader { rest: bytes, what: "transaction" };
    let Some(head) = bytes.first_chunk::<RECORD>() else { return Ok(None) };
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if length <= limits::MESSAGE_BYTES_MAX && bytes.len() < RECORD + length {
        return Ok(None);
    }
    let record = record(&mut reader)?;
    Ok(Some((record, reader.rest)))
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.0.rest = &[];
        }
        Some(entry)
    }
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Result<Entry<'a>> {
        let reader = &mut self.0;
        match reader.u8()? {
            TRANSACTION => {
                let (stamp, time_ms, records) = (reader.stamp()?, reader.u64()?, reader.u32()?);
                if records == 0 || records as usize > limits::TRANSACTION_RECORDS_MAX {
                    return Err(reader.wrong("no records, or too many"));
                }
                let before = reader.rest;
                for _ in 0..records {
                    record(reader)?;
                }
                let bytes = &before[..before.len() - reader.rest.len()];
                Ok(Entry::Transaction(Transaction { stamp, time_ms, records, bytes }))
            }
            ADVANCE => Ok(Entry::Advance(reader.stamp()?)),
            SKIP => Ok(Entry::Skip(reader.stamp()?)),
            _ => Err(reader.wrong("unknown entry")),
        }
    }
}

fn record<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>> {
    let head: [u8; RECORD] = reader.array()?;
    let mut fields = Reader { rest: &head, what: reader.what };
    let [kind, zeros @ ..] = fields.array::<4>()?;
    let (length, sum) = (fields.u32()?, fields.u32()?);
    if zeros != [0; 3] {
        return Err(reader.wrong("a reserved byte is set"));
    }
    if length as usize > limits::MESSAGE_BYTES_MAX {
        return Err(reader.wrong("a record is too long"));
    }
    Ok(Record { kind, sum, body: reader.take(length as usize)? })
}

impl<'a> Transaction<'a> {
    /// Its records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut reader = Reader { rest: self.bytes, what: "transaction" };
        std::iter::from_fn(move || record(&mut reader).ok())
    }
}

#[cfg(test)]
mod tests;
