//! Messages of another store, appended as one transaction.
//!
//! A message that names a producer is left out when that producer's sequence, or a higher one, is here already; otherwise
//! it need not be the next, since what came between was not exported. So an import that is repeated after a stop goes on
//! where it was.

use super::state::State;
use super::{Core, Entry, Staged};
use crate::error::{Code, Error, Result};
use crate::journal::{Front, Staging};

impl Core {
    /// Whether the producer of a message has come as far as it here.
    pub fn is_imported(&self, front: &Front<'_>) -> Result<bool> {
        if front.producer.is_empty() {
            return Ok(false);
        }
        self.look(|state| self.knows(state, front.producer, front.producer_sequence))
    }

    fn knows(&self, state: &State, producer: &[u8], sequence: u64) -> Result<bool> {
        state.check_producer(producer)?;
        let row = state.producer(&self.journal, producer)?;
        Ok(row.is_some_and(|row| row.sequence >= sequence))
    }

    /// Appends messages that were [looked up](Core::is_imported) before, from memory.
    pub fn import(&self, entries: &[Entry<'_>]) -> Result<Staged> {
        let check = |state: &State| {
            for front in entries.iter().map(|entry| entry.front) {
                let named = !front.producer.is_empty();
                if named && self.knows(state, front.producer, front.producer_sequence)? {
                    return Err(self.met());
                }
            }
            Ok(())
        };
        self.transact_checked(entries, &[], self.level, true, &check)
    }

    /// The same for what was staged.
    pub fn import_staged(&self, staging: &mut Staging) -> Result<Staged> {
        let firsts: Vec<(Vec<u8>, u64)> =
            staging.producers().map(|(id, first)| (id.to_vec(), first)).collect();
        let check = |state: &State| {
            for (id, first) in &firsts {
                if self.knows(state, id, *first)? {
                    return Err(self.met());
                }
            }
            Ok(())
        };
        self.transact_large(staging, &[], self.level, true, &check)
    }

    fn met(&self) -> Error {
        let text = format!("two imports into {} meet at one producer", self.describe());
        Error::new(Code::OutOfOrder, text)
    }
}
