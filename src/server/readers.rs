//! The consumers of one connection, and how their messages are told.
//!
//! Promises: what a consumer has goes back to its queue the moment it is closed or its connection ends, whatever is left
//! of its lease.

use crate::error::{Code, Error, Result};
use crate::limits;
use crate::queue::{From, Queue, Received, Rules};
use crate::session::{Consumer, ConsumerOptions};
use crate::wire::{Given, Giving, RECEIVED_HEAD, SessionAnswer, Start};
use std::collections::BTreeMap;

/// Bytes of messages in one frame, unless one message is larger.
const PART_BYTES: usize = 2 << 20;

/// The consumers, by the numbers the server gave out.
#[derive(Default)]
pub struct Readers(BTreeMap<u32, Consumer>);

impl Readers {
    /// Fails when there are as many as may be.
    pub fn check_room(&self) -> Result<()> {
        if self.0.len() < limits::CONSUMERS_OF_CONNECTION_MAX {
            return Ok(());
        }
        let count = limits::CONSUMERS_OF_CONNECTION_MAX;
        let text = format!("this connection has {count} consumers open already");
        Err(Error::new(Code::Quota, text))
    }

    /// Takes one that was opened.
    pub fn add(&mut self, number: u32, consumer: Consumer) {
        self.0.insert(number, consumer);
    }

    /// The one of this number.
    pub fn of(&self, number: u32) -> Result<&Consumer> {
        let none =
            || Error::new(Code::BadHandle, format!("this connection has no consumer {number}"));
        self.0.get(&number).ok_or_else(none)
    }

    /// Whether there is one of this number.
    pub fn has(&self, number: u32) -> bool {
        self.0.contains_key(&number)
    }

    /// Closes one: what it has goes back.
    pub fn close(&mut self, number: u32) -> Result<()> {
        self.of(number)?.close();
        self.0.remove(&number);
        Ok(())
    }

    /// Closes all.
    pub fn clear(&mut self) {
        if sabotage!("leases kept when a connection is lost") {
            return std::mem::forget(std::mem::take(&mut self.0));
        }
        self.0.clear();
    }
}

/// The options of a consumer as a client asked for them.
pub fn options(from: Start, giving: Giving) -> ConsumerOptions {
    let from = match from {
        Start::Oldest => From::Oldest,
        Start::Now => From::Now,
        Start::At(sequence) => From::Sequence(sequence),
    };
    let rules = Rules {
        shared: giving.shared,
        parallel: giving.parallel,
        keyed: giving.keyed,
        per_key: giving.per_key,
        conflate: giving.conflate,
        key_versions: giving.key_versions,
        lease_ms: giving.lease_ms,
        retry_delay_ms: giving.retry_delay_ms,
        retry_multiplier: giving.retry_multiplier,
        retry_delay_ms_max: giving.retry_delay_ms_max,
        max_deliveries: giving.max_deliveries,
        dead_letters: (giving.dead_letters > 0).then(|| Queue::from_number(giving.dead_letters)),
        after_dead_letter: giving.after_dead_letter,
    };
    ConsumerOptions { from, rules, ..ConsumerOptions::default() }
}

/// Messages as answers: all but the last are parts, and one is enough for what is not a large transaction.
pub fn answers(messages: &[Received]) -> Vec<SessionAnswer<'_>> {
    let mut answers = Vec::new();
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for message in messages {
        let size = RECEIVED_HEAD + message.stored().0.len();
        if bytes > 0 && bytes + size > PART_BYTES {
            answers.push(SessionAnswer::Part(std::mem::take(&mut rows)));
            bytes = 0;
        }
        rows.push(given(message));
        bytes += size;
    }
    answers.push(SessionAnswer::Received(rows));
    answers
}

fn given(message: &Received) -> Given<'_> {
    Given {
        queue: message.queue().number(),
        index: message.index(),
        deliveries: message.deliveries(),
        sequence: message.sequence(),
        transaction: message.transaction(),
        committed_ms: message.committed_ms(),
        body: message.stored().0,
    }
}
