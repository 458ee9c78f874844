//! Which messages a transaction takes in, and the sequences they get.
//!
//! Promises: a queue's messages have sequences without a gap; of one producer exactly the next is put, the last one
//! repeated is known by its transaction, and everything else is refused.

use super::{Core, Entry, State};
use crate::error::{Code, Error, Result};
use crate::journal::Record;

/// The messages of a transaction that are put, and the transaction of one that was left out.
pub type Numbered<'e, 'a> = (Vec<&'e Entry<'a>>, Option<u64>);

impl Core {
    /// Gives messages their sequences, and appends them to the records.
    pub(super) fn number<'e, 'a>(
        &self,
        state: &State,
        entries: &'e [Entry<'a>],
        arrives: bool,
        records: &mut Vec<Record<'a>>,
    ) -> Result<Numbered<'e, 'a>> {
        let mut next: Vec<(u32, u64)> = Vec::new();
        let mut producers: Vec<(&[u8], u64)> = Vec::new();
        let (mut put, mut repeated) = (Vec::with_capacity(entries.len()), None);
        for (index, entry) in entries.iter().enumerate() {
            let admitted = self.admit(state, &mut producers, entry, arrives);
            let (first, again) = admitted.map_err(|error| error.at_message(index))?;
            if again.is_some() {
                repeated = again;
                continue;
            }
            let known = next.iter().rposition(|(number, _)| *number == entry.queue);
            let known = known.unwrap_or_else(|| {
                next.push((entry.queue, first));
                next.len() - 1
            });
            let sequence = next[known].1;
            next[known].1 += 1;
            records.push(entry.record(sequence));
            put.push(entry);
        }
        Ok((put, repeated))
    }

    /// Whether an entry may be put: the sequence its queue gives next, or the transaction that brought it already.
    #[inline]
    pub(super) fn admit<'a>(
        &self,
        state: &State,
        producers: &mut Vec<(&'a [u8], u64)>,
        entry: &Entry<'a>,
        arrives: bool,
    ) -> Result<(u64, Option<u64>)> {
        let queue = state.queue(entry.queue)?;
        if queue.paused {
            return Err(paused(&queue.name));
        }
        if arrives || entry.front.producer.is_empty() {
            return Ok((queue.next, None));
        }
        Ok((queue.next, self.repeats(state, producers, entry)?))
    }

    /// The transaction that brought this producer sequence, when it is the last one repeated.
    #[inline(never)]
    fn repeats<'a>(
        &self,
        state: &State,
        producers: &mut Vec<(&'a [u8], u64)>,
        entry: &Entry<'a>,
    ) -> Result<Option<u64>> {
        let (id, sequence) = (entry.front.producer, entry.front.producer_sequence);
        let known = producers.iter().position(|(other, _)| *other == id);
        let row = match known {
            Some(_) => None,
            None => {
                state.check_producer(id)?;
                state.producer(&self.journal, id)?
            }
        };
        let last = known.map_or(row.map_or(0, |row| row.sequence), |at| producers[at].1);
        let next = last.saturating_add(1);
        let next_one = sequence == next || sequence > next && sabotage!("sequence gap accepted");
        if sequence > last && next_one || sabotage!("duplicate of a producer taken") {
            match known {
                Some(at) => producers[at].1 = sequence,
                None => producers.push((id, sequence)),
            }
            return Ok(None);
        }
        match row {
            Some(row) if row.sequence == sequence => Ok(Some(row.transaction)),
            _ => Err(out_of_order(id, sequence, next)),
        }
    }
}

#[cold]
fn paused(name: &str) -> Error {
    Error::new(Code::Paused, format!("queue {name:?} is paused"))
}

/// The refusal of a sequence that is not the next one.
pub fn out_of_order(id: &[u8], sequence: u64, next: u64) -> Error {
    let id = String::from_utf8_lossy(id);
    let text = format!("producer {id:?} sent sequence {sequence}, the next is {next}");
    Error::new(Code::OutOfOrder, text).over(sequence, next)
}
