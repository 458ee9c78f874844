//! The bodies of records that are no messages.
//!
//! ```text
//! queue     op (1): 1 create, then the name; 2 pause; 3 resume; 4 purge, then the last sequence purged (8);
//!           5 delete. The number of the queue stands in the frame's header.
//! consumer  op (1), length of the name (1), name; then for 1 create and 3 move: the sequence up to which all
//!           counts as acknowledged (8); 2 delete.
//! ack       length of the consumer's name (1), name, then ranges: first (8), last (8).
//! history   epoch (4), first sequence (8), owner (4), cause (1), group (16).
//! ```
//!
//! Names and not numbers are in the bodies, so that their sums are the same in every store.

use crate::error::{Code, Error, Result};
use crate::journal::{u32_at, u64_at};
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
    /// The consumer has acknowledged these ranges.
    Ack(&'a [u8], Vec<(u64, u64)>),
    /// An epoch begins.
    History(HistoryRow, GroupId),
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
            Change::Ack(name, ranges) => {
                let mut body = named(&[], name);
                for (first, last) in ranges {
                    body.extend_from_slice(&first.to_le_bytes());
                    body.extend_from_slice(&last.to_le_bytes());
                }
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
        [4, last @ ..] if last.len() == 8 => Change::Purge(u64_at(last, 0)),
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
        1 => Change::CreateConsumer(name, u64_at(rest, 0)),
        2 => Change::DeleteConsumer(name),
        3 => Change::MoveConsumer(name, u64_at(rest, 0)),
        _ => return Err(unread("consumer")),
    })
}

/// Decodes an acknowledgement.
pub fn ack(body: &[u8]) -> Result<Change<'_>> {
    let (name, ranges) = named(body, 0).ok_or_else(|| unread("ack"))?;
    if ranges.len() % 16 != 0 {
        return Err(unread("ack"));
    }
    let pairs = ranges.chunks_exact(16).map(|pair| (u64_at(pair, 0), u64_at(pair, 8)));
    Ok(Change::Ack(name, pairs.collect()))
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
