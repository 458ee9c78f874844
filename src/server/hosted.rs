//! A session that a server has for a client.

use super::requests::{Taken, taken_apart};
use super::usage::Share;
use crate::error::{Code, Error, Result};
use crate::limits::RECORD_BYTES;
use crate::queue::{Queue, Received};
use crate::session::{Consumer, Session};
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
    /// What it takes of what the server has.
    share: Share,
}

impl Hosted {
    /// A session just opened.
    pub fn new(session: Session, idle: Duration, share: Share) -> Hosted {
        let (used, touched) = (Instant::now(), BTreeSet::new());
        Hosted { session, idle, used, failed: None, idled: None, touched, share }
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

    /// Prepares the transaction.
    pub fn prepare(&mut self, transaction: u64, xid: &[u8]) -> Result<()> {
        let prepared = self.session.prepare(xid);
        if prepared.is_ok() || self.session.is_empty() {
            // It is not open any more, and another one begins.
            self.forget();
        }
        prepared?;
        self.session.go_to(transaction + 1);
        Ok(())
    }

    /// Stages messages as they came.
    pub fn put(&mut self, messages: &[(u32, &[u8])]) -> Result<()> {
        let bytes = messages.iter().map(|(_, body)| (body.len() + RECORD_BYTES) as u64).sum();
        self.share.stage(bytes)?;
        for (index, (queue, body)) in messages.iter().enumerate() {
            let taken = taken_apart(&[body]).map_err(|error| error.at_message(index))?;
            for message in taken.iter().map(Taken::message) {
                let put = self.session.put(Queue::from_number(*queue), &message);
                put.map_err(|error| error.at_message(index))?;
            }
        }
        Ok(())
    }

    /// Receives into the transaction what is there.
    pub fn receive(&mut self, from: &Consumer, max: usize, job: bool) -> Result<Vec<Received>> {
        self.share.begin()?;
        let found = match job {
            true => self.session.receive_job(from, Duration::ZERO),
            false => self.session.receive(from, max, Duration::ZERO),
        };
        if self.session.is_empty() {
            self.share.end();
        }
        found
    }

    /// Drops what was put.
    pub fn forget_puts(&mut self) {
        self.session.forget_puts();
        self.failed = None;
        self.share.unstage();
        if self.session.is_empty() {
            self.share.end();
        }
    }

    /// Rolls back: nobody goes on with the transaction.
    pub fn give_back(&mut self) {
        // A store that was closed meanwhile has nothing to give back to.
        let _ = self.session.rollback();
        self.forget();
    }

    /// Another transaction begins.
    pub fn forget(&mut self) {
        self.failed = None;
        self.touched.clear();
        self.share.end();
    }

    /// Goes on with this transaction.
    pub fn begin(&mut self, transaction: u64) {
        self.forget();
        self.session.go_to(transaction);
    }
}
