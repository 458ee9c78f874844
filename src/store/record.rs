//! The bodies of records that are no messages.
//!
//! ```text
//! queue     op (1): 1 create, then the name; 2 pause; 3 resume; 4 purge, then the last sequence purged (8);
//!           5 delete. The number of the queue stands in the frame's header.
//! consumer  op (1), length of the name (1), name; then for 1 create and 3 move: the sequence up to which all
//!           counts as acknowledged (8); 2 delete; for 4 a message became a dead letter: its place (8), what becomes
//!           of the rest of its key (1, the number of its `Hold`), key; for 5 one of a key with letters was acknowledged;
//!           for 6 a letter is put back as the last message this transaction puts into the queue, for this consumer
//!           alone; for 7 a letter is dropped: its place (8), key; for 8 versions are noted from now on, unless they are:
//!           the number of this life of the consumer (8); for 9 a message of a version was processed: the version (8),
//!           key; for 10 so many messages were left out because they were processed before (8).
//! ack       length of the consumer's name (1), name, then ranges: first (8), last (8).
//! delivery  length of the consumer's name (1), name, time (8), then rows: first (8), last (8), how often they were
//!           given out (4), not to be given out again before (8), 0 = at any time, where they stand (1): 0 as before,
//!           1 behind all that the queue has now. Times are milliseconds since 1970 UTC.
//! history   epoch (4), first sequence (8), owner (4), cause (1), group (16).
//! ```
//!
//! Names and not numbers are in the bodies, so that their sums are the same in every store.

use super::letters::Hold;
use crate::error::{Code, Error, Result};
use crate::journal::{u32_at, u64_at};
use crate::limits::{self, NUMBERS_END};
use crate::position::{Cause, GroupId, HistoryRow};

/// A record that is no message, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A queue begins to exist.
    CreateQueue(&'a [u8]),
    /// Puts and receives are refused.
    Pause,
    /// They are accepted again.
    Resume,
    /// All up to the sequence is gone.
    Purge(u64),
    /// The queue is gone.
    DeleteQueue,
    /// A consumer begins, with all up to the sequence acknowledged.
    CreateConsumer(&'a [u8], u64),
    /// The consumer is gone.
    DeleteConsumer(&'a [u8]),
    /// The consumer goes on behind the sequence.
    MoveConsumer(&'a [u8], u64),
    /// The consumer's message of this place and key became a dead letter.
    GiveUp(&'a [u8], u64, Hold, &'a [u8]),
    /// The consumer acknowledges one of this place, of a key that has letters.
    GoOn(&'a [u8], u64, &'a [u8]),
    /// The consumer's letter of this place and key is put back.
    Back(&'a [u8], u64, &'a [u8]),
    /// The consumer's letter of this place and key is dropped.
    Drop(&'a [u8], u64, &'a [u8]),
    /// The consumer notes versions in a life of this number.
    BeginVersions(&'a [u8], u64),
    /// The consumer has processed this version of a key.
    Processed(&'a [u8], u64, &'a [u8]),
    /// The consumer has left out so many messages that were processed before.
    LeftOut(&'a [u8], u64),
    /// The consumer has acknowledged these ranges.
    Ack(&'a [u8], Vec<(u64, u64)>),
    /// How often the consumer was given messages by this time, and when they may come again.
    Delivery(&'a [u8], u64, Vec<Delivery>),
    /// An epoch begins.
    History(HistoryRow, GroupId),
}

/// Messages in a row that were given out equally often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Sequence of the first.
    pub first: u64,
    /// Sequence of the last.
    pub last: u64,
    /// How often, the last time included.
    pub deliveries: u32,
    /// Not to be given out again before, in milliseconds since 1970 UTC; 0 = at any time.
    pub not_before_ms: u64,
    /// Whether they stand behind all that is in the queue from now on, and not where they stood.
    pub to_end: bool,
}

impl Delivery {
    const BYTES: usize = 29;

    fn put(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.first.to_le_bytes());
        body.extend_from_slice(&self.last.to_le_bytes());
        body.extend_from_slice(&self.deliveries.to_le_bytes());
        body.extend_from_slice(&self.not_before_ms.to_le_bytes());
        body.push(u8::from(self.to_end));
    }

    fn read(row: &[u8]) -> Delivery {
        let (first, last) = (u64_at(row, 0), u64_at(row, 8));
        let (deliveries, not_before_ms) = (u32_at(row, 16), u64_at(row, 20));
        Delivery { first, last, deliveries, not_before_ms, to_end: row[28] == 1 }
    }

    /// One message, which stays where it stands.
    pub fn one(sequence: u64, deliveries: u32, not_before_ms: u64) -> Delivery {
        let to_end = false;
        Delivery { first: sequence, last: sequence, deliveries, not_before_ms, to_end }
    }

    /// Messages one by one, in order, as rows; what follows each other is one.
    pub fn rows(messages: impl Iterator<Item = Delivery>) -> Vec<Delivery> {
        let mut rows: Vec<Delivery> = Vec::new();
        for one in messages {
            match rows.last_mut() {
                Some(row) if row.last + 1 == one.first && row.says_what(&one) => {
                    row.last = one.last;
                }
                _ => rows.push(one),
            }
        }
        rows
    }

    fn says_what(&self, other: &Delivery) -> bool {
        let of = |row: &Delivery| (row.deliveries, row.not_before_ms, row.to_end);
        of(self) == of(other)
    }
}

impl Change<'_> {
    /// The body's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let named = |op: &[u8], name: &[u8]| {
            let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
            [op, &[length], name].concat()
        };
        match self {
            Change::CreateQueue(name) => [&[1], *name].concat(),
            Change::Pause => vec![2],
            Change::Resume => vec![3],
            Change::Purge(last) => [&[4][..], &last.to_le_bytes()].concat(),
            Change::DeleteQueue => vec![5],
            Change::CreateConsumer(name, floor) => {
                [named(&[1], name), floor.to_le_bytes().to_vec()].concat()
            }
            Change::DeleteConsumer(name) => named(&[2], name),
            Change::MoveConsumer(name, floor) => {
                [named(&[3], name), floor.to_le_bytes().to_vec()].concat()
            }
            Change::GiveUp(name, place, hold, key) => {
                [&named(&[4], name)[..], &place.to_le_bytes(), &[*hold as u8], key].concat()
            }
            Change::GoOn(name, place, key) => placed(named(&[5], name), *place, key),
            Change::Back(name, place, key) => placed(named(&[6], name), *place, key),
            Change::Drop(name, place, key) => placed(named(&[7], name), *place, key),
            Change::BeginVersions(name, life) => placed(named(&[8], name), *life, &[]),
            Change::Processed(name, version, key) => placed(named(&[9], name), *version, key),
            Change::LeftOut(name, count) => placed(named(&[10], name), *count, &[]),
            Change::Ack(name, ranges) => {
                let mut body = named(&[], name);
                for (first, last) in ranges {
                    body.extend_from_slice(&first.to_le_bytes());
                    body.extend_from_slice(&last.to_le_bytes());
                }
                body
            }
            Change::Delivery(name, time, rows) => {
                let mut body = named(&[], name);
                body.extend_from_slice(&time.to_le_bytes());
                rows.iter().for_each(|row| row.put(&mut body));
                body
            }
            Change::History(row, group) => [
                &row.epoch.to_le_bytes()[..],
                &row.first.to_le_bytes(),
                &row.owner.to_le_bytes(),
                &[row.cause as u8],
                &group.to_bytes(),
            ]
            .concat(),
        }
    }
}

fn placed(name: Vec<u8>, place: u64, key: &[u8]) -> Vec<u8> {
    [&name[..], &place.to_le_bytes(), key].concat()
}

fn named(body: &[u8], wanted: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    (rest.len() >= wanted).then_some((name, rest))
}

/// Decodes a queue record.
pub fn queue(body: &[u8]) -> Result<Change<'_>> {
    Ok(match body {
        [1, name @ ..] => Change::CreateQueue(name),
        [2] => Change::Pause,
        [3] => Change::Resume,
        [4, last @ ..] if last.len() == 8 => Change::Purge(sequence(last, 0)?),
        [5] => Change::DeleteQueue,
        _ => return Err(unread("queue")),
    })
}

/// Decodes a consumer record.
pub fn consumer(body: &[u8]) -> Result<Change<'_>> {
    let (op, rest) = body.split_first().ok_or_else(|| unread("consumer"))?;
    let wanted = if *op == 2 { 0 } else { 8 };
    let (name, rest) = named(rest, wanted).ok_or_else(|| unread("consumer"))?;
    Ok(match op {
        1 => Change::CreateConsumer(name, sequence(rest, 0)?),
        2 => Change::DeleteConsumer(name),
        3 => Change::MoveConsumer(name, sequence(rest, 0)?),
        4 => {
            let hold = rest.get(8).copied().and_then(Hold::from_u8);
            let hold = hold.ok_or_else(|| unread("consumer"))?;
            Change::GiveUp(name, sequence(rest, 0)?, hold, &rest[9..])
        }
        5 => Change::GoOn(name, sequence(rest, 0)?, &rest[8..]),
        6 => Change::Back(name, sequence(rest, 0)?, &rest[8..]),
        7 => Change::Drop(name, sequence(rest, 0)?, &rest[8..]),
        8 if rest.len() == 8 => Change::BeginVersions(name, u64_at(rest, 0)),
        9 if rest.len() > 8 => Change::Processed(name, u64_at(rest, 0), &rest[8..]),
        10 if rest.len() == 8 => Change::LeftOut(name, u64_at(rest, 0)),
        _ => return Err(unread("consumer")),
    })
}

/// Decodes an acknowledgement.
pub fn ack(body: &[u8]) -> Result<Change<'_>> {
    let (name, ranges) = named(body, 0).ok_or_else(|| unread("ack"))?;
    if ranges.len() % 16 != 0 {
        return Err(unread("ack"));
    }
    let pairs =
        ranges.chunks_exact(16).map(|pair| match (sequence(pair, 0)?, sequence(pair, 8)?) {
            (first, last) if last < first => Err(unread("ack")),
            range => Ok(range),
        });
    Ok(Change::Ack(name, pairs.collect::<Result<_>>()?))
}

/// A sequence of a body; one that no message ever has is damage.
fn sequence(body: &[u8], at: usize) -> Result<u64> {
    let sequence = u64_at(body, at);
    if sequence < NUMBERS_END {
        return Ok(sequence);
    }
    let text =
        format!("the journal holds a record that names message {sequence}, which there never is");
    Err(Error::new(Code::Corrupt, text).over(0, 0))
}

/// Decodes what is known of deliveries.
pub fn delivery(body: &[u8]) -> Result<Change<'_>> {
    let (name, rest) = named(body, 8).ok_or_else(|| unread("delivery"))?;
    let (time, rows) = rest.split_at(8);
    if rows.len() % Delivery::BYTES != 0 {
        return Err(unread("delivery"));
    }
    if rows.chunks_exact(Delivery::BYTES).any(|row| row[Delivery::BYTES - 1] > 1) {
        return Err(unread("delivery"));
    }
    let rows: Vec<Delivery> = rows.chunks_exact(Delivery::BYTES).map(Delivery::read).collect();
    let most = limits::RECEIVE_MESSAGES_MAX as u64;
    let senseless = |row: &Delivery| {
        let none = row.first == 0 || row.last < row.first || row.last >= NUMBERS_END;
        none || row.last - row.first >= most
    };
    if rows.iter().any(senseless) {
        return Err(unread("delivery"));
    }
    Ok(Change::Delivery(name, u64_at(time, 0), rows))
}

/// Decodes a row of the history.
pub fn history(body: &[u8]) -> Result<Change<'static>> {
    let cause = body.get(16).copied().and_then(Cause::from_u8);
    let (Some(cause), Some(group)) = (cause, body.get(17..33).and_then(|b| b.first_chunk())) else {
        return Err(unread("history"));
    };
    let row = HistoryRow {
        epoch: u32_at(body, 0),
        first: u64_at(body, 4),
        owner: u32_at(body, 12),
        cause,
    };
    Ok(Change::History(row, GroupId::from_bytes(*group)))
}

/// A record of a newer version.
pub fn unread(what: &str) -> Error {
    let text = format!("the journal holds a {what} record that this version does not read");
    Error::new(Code::Version, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_of_a_range_that_ends_before_it_begins_is_refused() {
        let record = |ranges: Vec<(u64, u64)>| Change::Ack(b"c", ranges).encode();
        let sound = record(vec![(1, 1), (3, 9)]);
        assert_eq!(ack(&sound).unwrap(), Change::Ack(b"c", vec![(1, 1), (3, 9)]));
        for wrong in [vec![(2, 1)], vec![(1, 1), (9, 3)]] {
            assert_eq!(ack(&record(wrong)).unwrap_err().code(), Code::Version);
        }
    }
}
