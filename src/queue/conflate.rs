//! Conflation: of the messages of a key that wait, the newest is given out alone.
//!
//! Each newer message that is read takes the place of the last one behind its key; what is left is decided when the turn
//! of the key comes, which is the turn of the oldest that waited, so that a key that changes all the time comes, too. What
//! was left out is acknowledged together with whatever is acknowledged next.
//!
//! A receive looks ahead as far as [`limits::CONFLATE_MESSAGES_MAX`] and [`limits::CONFLATE_BYTES_MAX`] say, from where the
//! one before stopped. So the first message of a large backlog comes soon, the newest of a key is the newest of what was
//! looked at, and one that stands behind that comes by itself, later.
//!
//! Promises: what a receive reads, and what is kept of it, is bounded; nothing is left out for a message that is not durable, may not come yet, or has expired; what is left out is
//! older than what comes; a message that is out is left to its worker, unless its lease is over.

use super::feed::{Feed, Place};
use super::lanes::Waiting;
use super::version::version_of;
use super::visible;
use crate::error::Result;
use crate::journal::{Found, deliver_at_of};
use crate::limits;
use crate::store::State;

impl Feed {
    /// Reads ahead, so that the newest of each key is known, as far as one receive may.
    pub(super) fn look_ahead(&self, place: &mut Place) -> Result<()> {
        self.sort(place)?;
        let (mut messages, mut bytes) = (0, 0);
        while messages < limits::CONFLATE_MESSAGES_MAX
            && bytes < limits::CONFLATE_BYTES_MAX
            && place.lanes.len() < limits::CONFLATE_MESSAGES_MAX
            && self.read_ahead(place)?
        {
            messages += place.ahead.len();
            bytes += place.ahead.iter().map(|found| found.body.len()).sum::<usize>();
            self.sort(place)?;
        }
        Ok(())
    }

    /// Whether older messages of its key need not come, now that there is this one.
    pub(super) fn replaces(&self, state: &State, found: &Found) -> Result<bool> {
        let queue = state.queue(self.queue)?;
        let acked = state.consumer(self.queue, &self.name)?;
        let now = self.now_ms();
        let due = deliver_at_of(&found.buffer[found.body.clone()]);
        let gone = acked.contains(found.head.sequence) || !visible(found, queue, now);
        Ok(!gone && due <= now)
    }

    /// The newest of its key, whose turn has come with this one.
    pub(super) fn newest(&self, place: &mut Place, one: Waiting) -> Result<Waiting> {
        let holds = |state: &State| state.prepared.holds(self.queue, &self.name, one.sequence);
        if self.core.look(holds) {
            // Its key waits for it.
            return Ok(one);
        }
        let mut newest = one;
        while let Some(next) = place.lanes.behind(one.key).filter(|_| one.key != 0) {
            let older = match self.older(place, newest, next) {
                Ok(Some(older)) => older,
                Ok(None) => break,
                Err(error) => {
                    place.lanes.back(newest);
                    return Err(error);
                }
            };
            let Some(next) = place.lanes.follow(one.key) else { break };
            place.leave_out(older);
            // The key stays as taken as it was.
            place.lanes.done(one.key);
            newest = if older == next.sequence { newest } else { next };
        }
        Ok(newest)
    }

    /// Which of two messages of a key that follow each other need not come; `None` where both must. That is the first,
    /// unless the second says that it has an earlier version.
    fn older(&self, place: &mut Place, first: Waiting, next: Waiting) -> Result<Option<u64>> {
        if !self.may_replace(place, next)? {
            return Ok(None);
        }
        if self.rules.key_versions {
            let of = [first, next].map(|one| self.version_in(place, one.sequence));
            let [first_version, next_version] = of;
            if let (Some(first), Some(second)) = (first_version?, next_version?)
                && second < first
            {
                return Ok(Some(next.sequence));
            }
        }
        Ok(Some(first.sequence))
    }

    fn version_in(&self, place: &mut Place, sequence: u64) -> Result<Option<u64>> {
        if place.kept.get(sequence).is_none()
            && let Some(found) = self.read_one(sequence)?
        {
            place.kept.insert(found);
        }
        let body = place.kept.get(sequence).map(|found| &found.buffer[found.body.clone()]);
        Ok(body.and_then(version_of).map(|(_, version)| version))
    }

    fn may_replace(&self, place: &mut Place, next: Waiting) -> Result<bool> {
        let found = match place.kept.remove(next.sequence) {
            Some(found) => found,
            None => match self.read_one(next.sequence)? {
                Some(found) => found,
                None => return Ok(false),
            },
        };
        let may = self.core.look(|state| self.replaces(state, &found))?;
        place.kept.insert(found);
        Ok(may)
    }
}

impl Place {
    /// A newer one of its key comes instead: who had it before and was late is too late now.
    pub(super) fn leave_out(&mut self, sequence: u64) {
        self.gone.insert(sequence, sequence);
        self.end(&[sequence]);
        self.kept.remove(sequence);
        self.reasons.remove(&sequence);
        self.leases.revoke(sequence);
    }
}
