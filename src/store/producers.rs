//! The last message of each producer: one row a producer, for ever.
//!
//! There may be any number of producers, so their rows stay in the state runs. In memory are those that changed since
//! the last one was frozen: no more than the messages of two segments name.

use super::state::{PRODUCER, PRODUCERS, State};
use crate::error::{Code, Error, Result};
use crate::journal::{Journal, Rows, Table, u64_at};
use crate::limits::NUMBERS_END;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a row behind the id: sequence (8), transaction (8).
const NUMBERS: usize = 16;

/// The last message of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerRow {
    /// Its sequence.
    pub sequence: u64,
    /// The transaction that brought it.
    pub transaction: u64,
}

/// The rows that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    changed: HashMap<Box<[u8]>, ProducerRow>,
}

impl Producers {
    /// A producer's row is this one from now on.
    pub fn set(&mut self, id: &[u8], row: ProducerRow) {
        match self.changed.get_mut(id) {
            Some(known) => *known = row,
            None => {
                self.changed.insert(id.into(), row);
            }
        }
    }

    /// Puts what changed into a run; it stays here.
    pub fn copy_to(&self, rows: &mut Rows) {
        self.clone().move_to(rows);
    }

    /// Puts what changed into a run, where it is found from now on.
    pub fn move_to(&mut self, rows: &mut Rows) {
        let changed = std::mem::take(&mut self.changed);
        if !changed.is_empty() && !sabotage!("producers lost at a roll") {
            rows.table(Arc::new(Frozen(changed)));
        }
    }
}

/// Rows on their way to a run.
struct Frozen(HashMap<Box<[u8]>, ProducerRow>);

impl Table for Frozen {
    fn section(&self) -> u32 {
        PRODUCERS
    }

    fn keys(&self) -> Vec<&[u8]> {
        let mut keys: Vec<&[u8]> = self.0.keys().map(|id| &id[..]).collect();
        keys.sort_unstable();
        keys
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn find(&self, id: &[u8]) -> Option<(u32, Vec<u8>)> {
        let row = self.0.get(id)?;
        let row = [id, &row.sequence.to_le_bytes(), &row.transaction.to_le_bytes()].concat();
        Some((PRODUCER, row))
    }
}

impl State {
    /// The last message of a producer; `None` where it has none yet. It may have to be read.
    pub fn producer(&self, journal: &Journal, id: &[u8]) -> Result<Option<ProducerRow>> {
        if let Some(row) = self.producers.changed.get(id) {
            return Ok(Some(*row));
        }
        let Some(row) = journal.find_row(PRODUCERS, id)? else { return Ok(None) };
        let numbers = row.get(id.len()..).filter(|numbers| numbers.len() == NUMBERS);
        let row = numbers.map(|numbers| ProducerRow {
            sequence: u64_at(numbers, 0),
            transaction: u64_at(numbers, 8),
        });
        let sound = row.filter(|row| row.transaction < NUMBERS_END);
        sound.map(Some).ok_or_else(|| {
            let text = "a state run holds a producer that this version does not read";
            Error::new(Code::Version, text)
        })
    }
}
