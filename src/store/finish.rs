//! Preparing a transaction, and ending one that is prepared.
//!
//! Promises: what [`Core::prepare`] returned for and is durable can be committed: it is refused before where it could not
//! be, and until it ended nobody deletes a queue it puts into, or puts as one of its producers. A commit of it needs no room
//! but that of its records, for which the reserve may be used. It ends once; who asks again is told how.

use super::prepared::{End, Noted, Phase, PreparedRow, Work, end_record};
use super::sessions::{Outcome, TransactionId, denied};
use super::state::State;
use super::{Commit, Core, Level, Staged};
use crate::error::{Code, Error, Result};
use crate::journal::{Adoption, Staging, Type};
use crate::limits;
use std::sync::Arc;

/// What becomes of a prepared transaction, and who says so.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// The transaction.
    pub id: TransactionId,
    /// Whether it is committed; otherwise it is rolled back.
    pub commit: bool,
    /// Whose it must be; `None` for who may end those of all users.
    pub of: Option<&'a str>,
    /// Who it is that ends it; empty for whoever opened the directory.
    pub by: &'a str,
    /// Whether this is an operator's decision, and not its coordinator's.
    pub by_hand: bool,
}

/// What a transaction has put that is part of no journal yet.
pub enum Large<'a> {
    /// Staged just now.
    Staged(&'a Staging),
    /// Prepared before.
    Prepared(&'a Work),
}

impl Large<'_> {
    /// Whether it needs room as whatever is put does: what is prepared has had its own for long.
    pub fn is_new(&self) -> bool {
        matches!(self, Large::Staged(staging) if staging.messages() > 0)
    }

    /// The transaction that brought a message already which is left out here.
    pub fn repeated(&self) -> Option<u64> {
        match self {
            Large::Staged(staging) => staging.repeated(),
            Large::Prepared(_) => None,
        }
    }
}

impl Core {
    /// Prepares a transaction: it is durable once [`Core::finish`] has returned for it, and nobody sees it.
    ///
    /// Fails as a commit does, with QUOTA where too many wait, or more than a `share` of them in percent are of its user,
    /// and EXISTS where one of the same user has this xid. After an
    /// error other than OUTCOME_UNKNOWN nothing has changed.
    pub fn prepare(
        &self,
        id: &TransactionId,
        xid: &[u8],
        staging: Option<&mut Staging>,
        changes: Vec<Noted>,
        share: u32,
    ) -> Result<Staged> {
        self.check_writable()?;
        if xid.len() > limits::XID_BYTES_MAX {
            let text =
                format!("an xid of {} bytes, more than {}", xid.len(), limits::XID_BYTES_MAX);
            return Err(Error::new(Code::TooLarge, text));
        }
        let mut staging = staging.filter(|staging| staging.messages() > 0);
        let body = match &mut staging {
            None => None,
            Some(staging) => {
                staging.settle()?;
                Some(staging.adoption(&|_| Ok(0))?)
            }
        };
        let (user, numbers) = self.look(|state| {
            state.may_commit(id)?;
            let names = changes.iter().map(|(_, queue, _)| *queue);
            let names =
                names.filter_map(|queue| Some((queue, state.queue(queue).ok()?.name.clone())));
            Ok::<_, Error>((state.owned(id)?.user.clone(), names.collect::<Vec<_>>()))
        })?;
        let name_of = |queue: u32| {
            let known = numbers.iter().find(|(number, _)| *number == queue);
            known.map(|(_, name)| name.clone()).unwrap_or_default()
        };
        let since_ms = self.journal.disk().now_ms();
        let phase = Phase::Waits(Work { changes, body: body.clone() });
        let row = PreparedRow { user, xid: xid.to_vec(), since_ms, phase };
        let check = |state: &State| {
            state.may_commit(id)?;
            state.prepared.check_room(&row, share)?;
            // It must be possible to commit it.
            staging.as_ref().map_or(Ok(()), |one| self.adoption(state, one, false).map(|_| ()))
        };
        if let Some(body) = &body {
            self.journal.keep_prepared(body.clone());
        }
        let record = [row.record(id, &name_of)];
        let staged = self.transact_checked(&[], &record, Level::Power, false, &check);
        match (&staged, &body, staging) {
            (Ok(_), _, Some(staging)) => staging.set_adopted(),
            (Err(_), Some(body), _) => self.journal.leave_prepared(body),
            _ => {}
        }
        staged
    }

    /// Ends a prepared transaction, durably, and returns where that is; with its row, where it was this call that ended it.
    ///
    /// Fails with NO_SUCH_NAME where none is known, DENIED for another user's; ROLLED_BACK and INVALID where it ended
    /// otherwise before; NO_SPACE, and then it waits on.
    pub fn end_prepared(
        &self,
        verdict: &Verdict<'_>,
    ) -> Result<(Commit, Option<Arc<PreparedRow>>)> {
        self.check_writable()?;
        loop {
            let row = self.look(|state| self.prepared_row(state, verdict))?;
            let work = match &row.phase {
                Phase::Waits(work) => work,
                Phase::Ended(end) => {
                    let token = self.look(|state| state.token(end.transaction));
                    // Nobody hears of what a power cut may take back.
                    self.journal.confirm_all()?;
                    self.same_end(verdict, end)?;
                    return Ok((Commit { token, level: Level::Power }, None));
                }
            };
            let Some(staged) = self.try_to_end(verdict, &row, work)? else { continue };
            let commit = self.finish(&staged)?;
            if let Some(body) = work.body.as_ref().filter(|_| !verdict.commit) {
                self.journal.discard_prepared(body);
            }
            return Ok((commit, Some(row)));
        }
    }

    /// Appends the end; `None` where somebody else was faster.
    fn try_to_end(
        &self,
        verdict: &Verdict<'_>,
        row: &Arc<PreparedRow>,
        work: &Work,
    ) -> Result<Option<Staged>> {
        let now_ms = self.journal.disk().now_ms();
        let who = (verdict.by_hand, verdict.by);
        let mut changes = if verdict.commit { work.changes.clone() } else { Vec::new() };
        changes.push(end_record(&verdict.id, verdict.commit, now_ms, who));
        let check = |state: &State| match state.prepared.get(&verdict.id) {
            Some(now) if Arc::ptr_eq(now, row) => Ok(()),
            _ => Err(Error::new(Code::Busy, "somebody else ended it")),
        };
        let large = verdict.commit.then_some(Large::Prepared(work));
        match self.transact_all((&[], large.as_ref()), &changes, Level::Power, true, &check) {
            Err(error) if error.code() == Code::Busy => Ok(None),
            Err(error) => Err(error),
            Ok(staged) => Ok(Some(staged)),
        }
    }

    fn prepared_row(&self, state: &State, verdict: &Verdict<'_>) -> Result<Arc<PreparedRow>> {
        let Some(row) = state.prepared.get(&verdict.id) else {
            let text = format!("{} knows no prepared transaction {}", self.describe(), verdict.id);
            return Err(Error::new(Code::NoSuchName, text));
        };
        let foreign = verdict.of.is_some_and(|user| user != row.user);
        if foreign && !sabotage!("prepared transaction ended by another user") {
            return Err(denied());
        }
        Ok(row.clone())
    }

    /// Fails when it ended otherwise than is asked now.
    fn same_end(&self, verdict: &Verdict<'_>, end: &End) -> Result<()> {
        if verdict.commit == end.committed {
            return Ok(());
        }
        let by = if end.by_hand { " by hand" } else { "" };
        let (code, was) = match end.committed {
            true => (Code::Invalid, "committed"),
            false => (Code::RolledBack, "rolled back"),
        };
        Err(Error::new(code, format!("prepared transaction {} was {was}{by} before", verdict.id)))
    }

    /// Rolls back the prepared transactions of which a file is in `lost`: they cannot be committed any more.
    pub fn give_up_prepared(&self, lost: &dyn Fn(u64) -> bool) -> Result<()> {
        let gone: Vec<TransactionId> = self.look(|state| {
            let of = |work: &Work| {
                let mut files = work.body.iter().flat_map(|body| &body.files);
                files.any(|file| lost(file.number))
            };
            state.prepared.waiting().filter(|(.., work)| of(work)).map(|(id, ..)| *id).collect()
        });
        for id in gone {
            self.end_prepared(&Verdict { id, commit: false, of: None, by: "", by_hand: true })?;
        }
        Ok(())
    }

    /// Deletes a queue. Fails with BUSY while a prepared transaction puts into it, which could not be committed then.
    pub fn delete_queue(&self, number: u32, record: Vec<u8>) -> Result<Commit> {
        let check = |state: &State| {
            let Some(id) = state.prepared.puts_into(number) else { return Ok(()) };
            let name = state.queue(number).map(|queue| queue.name.clone()).unwrap_or_default();
            let text = format!("prepared transaction {id} puts into queue {name:?}: end it before");
            Err(Error::new(Code::Busy, text))
        };
        let staged = self.transact_if(&[], &[(Type::Queue, number, record)], &check)?;
        self.finish(&staged)
    }
}

impl State {
    /// What is known of a transaction that was prepared; `user` is who asks.
    pub(super) fn known_prepared(&self, row: &PreparedRow, user: Option<&str>) -> Result<Outcome> {
        if user.is_some_and(|user| user != row.user) {
            return Err(denied());
        }
        Ok(match &row.phase {
            Phase::Waits(_) => Outcome::Pending,
            Phase::Ended(end) if end.committed => Outcome::Committed(self.token(end.transaction)),
            Phase::Ended(_) => Outcome::RolledBack,
        })
    }

    /// Fails where a prepared transaction has messages of a producer: its next sequence is not known.
    pub(super) fn check_producer(&self, id: &[u8]) -> Result<()> {
        if !self.prepared.has_producer(id) {
            return Ok(());
        }
        let id = String::from_utf8_lossy(id);
        let text = format!("a prepared transaction has messages of producer {id:?}: end it before");
        Err(Error::new(Code::Busy, text))
    }

    /// The messages of a prepared transaction with the places they get now.
    pub(super) fn placed(&self, work: &Work) -> Result<Option<Adoption>> {
        work.placed(&|number| self.queue(number).map(|queue| queue.next))
    }
}
