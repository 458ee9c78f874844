//! Messages that were put to the end of their queue.
//!
//! A message that was given back so stands behind the one that was the last of the queue then, and those that were put
//! there before it. That is noted with how often it was given out, and outlasts a reopen. It is kept aside until all
//! before its end was looked at; then it goes through the lanes, where it stands at its end.
//!
//! Promises: it comes after what was in the queue before, and before what came later, as far as priorities, times and
//! keys let it.

use super::feed::{Feed, Place};
use super::giving::front_of;
use super::lanes::Waiting;
use crate::error::Result;
use crate::journal::Found;
use crate::store::State;

impl Feed {
    /// Where a message stands that was put to the end.
    pub(super) fn end_in(&self, state: &State, sequence: u64) -> Option<(u64, u64)> {
        let attempts = state.queue(self.queue).ok()?.attempts.get(&self.name)?;
        if attempts.has_ends() { attempts.get(sequence)?.end } else { None }
    }

    /// The same as it is now.
    pub(super) fn end_of(&self, sequence: u64) -> Option<(u64, u64)> {
        self.core.look(|state| self.end_in(state, sequence))
    }

    /// Puts a message that was just read aside where it stands at the end.
    pub(super) fn goes_to_end(&self, state: &State, place: &mut Place, found: &Found) -> bool {
        let Some(end) = self.end_in(state, found.head.sequence) else { return false };
        let (key, lane) = front_of(found);
        let (sequence, key) = (found.head.sequence, self.key_of(key));
        place.behind.insert(end, Waiting { sequence, key, lane });
        true
    }

    /// Lets come what stands at the end, once all before it was looked at; false when there is nothing.
    pub(super) fn release(&self, place: &mut Place) -> Result<bool> {
        let mut any = false;
        while let Some((end, one)) = place.behind.first_key_value().map(|(end, one)| (*end, *one)) {
            // What nobody waits for is not read.
            let next = place.next();
            let over = |state: &State| {
                let acked = state.consumer(self.queue, &self.name)?;
                Ok::<_, crate::error::Error>(acked.covers(next, end.0))
            };
            if next <= end.0 && !self.core.look(over)? {
                break;
            }
            place.behind.pop_first();
            place.lanes.add_last(one, end);
            any = true;
        }
        Ok(any)
    }
}

impl Place {
    /// A message that is out is put to the end: its key goes on meanwhile.
    pub(super) fn move_to_end(&mut self, one: Waiting, end: (u64, u64)) {
        self.lanes.forget_place(one.sequence);
        self.behind.insert(end, one);
        self.lanes.done(one.key);
    }

    /// The last sequence that comes before what stands at the end.
    pub(super) fn first_end(&self) -> u64 {
        self.behind.first_key_value().map_or(u64::MAX, |((behind, _), _)| *behind)
    }

    /// How many of what was read come before what stands at the end.
    pub(super) fn before_the_end(&self) -> usize {
        let until = self.first_end();
        self.ahead.partition_point(|found| found.head.sequence <= until)
    }
}
