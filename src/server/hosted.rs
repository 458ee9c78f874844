//! A session that a server has for a client.

use super::requests::{Taken, taken_apart};
use crate::error::{Code, Error, Result};
use crate::queue::Queue;
use crate::session::Session;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A session and how it is used.
pub struct Hosted {
    pub session: Session,
    pub idle: Duration,
    pub used: Instant,
    /// Why the transaction can only be rolled back.
    pub failed: Option<Error>,
    /// The transaction that was rolled back because nobody went on with it.
    pub idled: Option<u64>,
    /// Queues it puts into, and takes from.
    pub touched: BTreeSet<(bool, u32)>,
}

impl Hosted {
    /// A session just opened.
    pub fn new(session: Session, idle: Duration) -> Hosted {
        let (used, touched) = (Instant::now(), BTreeSet::new());
        Hosted { session, idle, used, failed: None, idled: None, touched }
    }

    /// Fails when the transaction can only be rolled back.
    pub fn check(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(why) => {
                let what = "a put of the transaction failed, and it can only be rolled back";
                Err(Error::because(Code::RollbackOnly, what, why))
            }
        }
    }

    /// Rolls back and fails when the transaction cannot be committed.
    pub fn end_doomed(&mut self, transaction: u64) -> Result<()> {
        let Some(why) = self.failed.take() else { return Ok(()) };
        self.session.rollback()?;
        self.begin(transaction + 1);
        Err(Error::doomed(&why))
    }

    /// Stages messages as they came.
    pub fn put(&mut self, messages: &[(u32, &[u8])]) -> Result<()> {
        for (index, (queue, body)) in messages.iter().enumerate() {
            let taken = taken_apart(&[body]).map_err(|error| error.at_message(index))?;
            for message in taken.iter().map(Taken::message) {
                let put = self.session.put(Queue::from_number(*queue), &message);
                put.map_err(|error| error.at_message(index))?;
            }
        }
        Ok(())
    }

    /// Another transaction begins.
    pub fn forget(&mut self) {
        self.failed = None;
        self.touched.clear();
    }

    /// Goes on with this transaction.
    pub fn begin(&mut self, transaction: u64) {
        self.forget();
        self.session.go_to(transaction);
    }
}
