//! Transactions that outgrow memory: staged in files of their own, and adopted by one record.
//!
//! Staging checks what cannot change any more; what can is checked by the commit, under the state's lock, and a
//! refusal leaves what was staged as it is.

use super::admit::out_of_order;
use super::finish::Large;
use super::state::State;
use super::{Core, Entry, Level, Staged};
use crate::error::{Code, Error, Result};
use crate::journal::{Adoption, Front, Put, Staging, Type};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

impl Core {
    /// Bytes of a transaction above which it is staged: a segment of the largest class holds several of less.
    pub fn memory_bytes(&self) -> usize {
        self.journal.memory_bytes()
    }

    /// The files of a transaction that is not committed yet.
    pub fn staging(&self) -> Staging {
        Staging::new(&self.journal)
    }

    /// Stages messages. A message that its producer's row says is there already is left out; what `arrives` by a
    /// stream is not looked up there.
    pub fn put_staged(
        &self,
        staging: &mut Staging,
        entries: &[Entry<'_>],
        arrives: bool,
    ) -> Result<()> {
        self.check_writable()?;
        let (names, known) = self.look(|state| {
            let numbers: BTreeSet<u32> = entries.iter().map(|entry| entry.queue).collect();
            let mut names = BTreeMap::new();
            for number in numbers {
                names.insert(number, xxh3_64(state.queue(number)?.name.as_bytes()));
            }
            let mut known = BTreeMap::new();
            for front in entries.iter().map(|entry| entry.front) {
                if front.producer.is_empty() {
                    continue;
                }
                let row = state.producer(&self.journal, front.producer)?;
                if let Some(row) = row.filter(|row| row.sequence == front.producer_sequence) {
                    known.insert(front.producer, row);
                }
            }
            Ok::<_, Error>((names, known))
        })?;
        let mut body = Vec::new();
        for entry in entries {
            let Front { producer, producer_sequence, .. } = entry.front;
            let row = known.get(producer).filter(|row| row.sequence == producer_sequence);
            if let Some(row) = row.filter(|_| !arrives && !staging.has_producer(producer)) {
                staging.leave_out(row.transaction);
                continue;
            }
            let bytes: &[u8] = match &entry.parts.pieces() {
                [whole, []] => whole,
                parts => {
                    body.clear();
                    parts.iter().for_each(|part| body.extend_from_slice(part));
                    &body
                }
            };
            let name = names.get(&entry.queue).copied().unwrap_or(0);
            let (queue, sum, front) = (entry.queue, entry.sum, entry.front);
            if let Err(error) = staging.put(&Put { queue, name, body: bytes, sum, front }) {
                if error.code() == Code::NoSpace {
                    // What is dead makes room for the next try; what is given back now is not missed here.
                    let _ = self.reclaim();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Commits what was staged, and changes with it, as one transaction. An error other than OUTCOME_UNKNOWN
    /// leaves the staging as it is.
    pub fn transact_staged(
        &self,
        staging: &mut Staging,
        changes: &[(Type, u32, Vec<u8>)],
        level: Level,
    ) -> Result<Staged> {
        self.transact_large(staging, changes, level, false, &|_| Ok(()))
    }

    /// The same with a last look at the state, as in `transact_checked`.
    pub(super) fn transact_large(
        &self,
        staging: &mut Staging,
        changes: &[(Type, u32, Vec<u8>)],
        level: Level,
        arrives: bool,
        check: &dyn Fn(&State) -> Result<()>,
    ) -> Result<Staged> {
        self.check_writable()?;
        staging.settle()?;
        let large = Some(&Large::Staged(staging));
        let staged = self.transact_all((&[], large), changes, level, arrives, check)?;
        staging.set_adopted();
        Ok(staged)
    }
}

impl Core {
    /// The record that adopts what is staged, as the state is now; `None` without messages.
    pub(super) fn adoption(
        &self,
        state: &State,
        staging: &Staging,
        arrives: bool,
    ) -> Result<Option<Adoption>> {
        if staging.messages() == 0 {
            return Ok(None);
        }
        let adoption = staging.adoption(&|number| {
            let queue = state.queue(number)?;
            match queue.paused {
                true => Err(Error::new(Code::Paused, format!("queue {:?} is paused", queue.name))),
                false => Ok(queue.next),
            }
        })?;
        if arrives {
            return Ok(Some(adoption));
        }
        if let Some((id, sequence, next)) = staging.skipped() {
            return Err(out_of_order(id, sequence, next));
        }
        for (id, first) in staging.producers() {
            state.check_producer(id)?;
            let last = state.producer(&self.journal, id)?.map_or(0, |row| row.sequence);
            if last.checked_add(1) != Some(first) {
                return Err(out_of_order(id, first, last.saturating_add(1)));
            }
        }
        Ok(Some(adoption))
    }
}
