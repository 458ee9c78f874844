//! Giving messages out: which come next, and which not yet.
//!
//! What is read in order goes out as it is, or is sorted into lanes first; what waits in the lanes comes before what was
//! not read yet. Each message is judged when its turn comes: acknowledged, purged and expired ones are passed over, and
//! those whose time has not come wait for it.

use super::Received;
use super::feed::{Feed, Place};
use super::lanes::Waiting;
use super::visible;
use crate::error::{Code, Error, Result};
use crate::journal::{Body, Cursor, Found};
use crate::limits;
use crate::store::{Attempts, QueueState, Ranges, State};
use std::collections::VecDeque;
use std::sync::Arc;

/// Giving out.
impl Feed {
    pub(super) fn next(&self, place: &mut Place, max: usize) -> Result<Vec<Received>> {
        let mut out = Vec::new();
        let filled = self.fill(place, max.clamp(1, limits::RECEIVE_MESSAGES_MAX), &mut out);
        match filled.and_then(|()| self.settle_processed(place)) {
            // What was found is given out; the next call meets the error again.
            Err(_) if !out.is_empty() => Ok(out),
            outcome => outcome.map(|()| out),
        }
    }

    fn fill(&self, place: &mut Place, max: usize, out: &mut Vec<Received>) -> Result<()> {
        let (mut bytes, mut read) = (0, false);
        self.wake(place)?;
        if self.sorts(place) && !self.goes_straight(place) {
            self.read_all_ranked(place)?;
        }
        if self.rules.conflate {
            self.look_ahead(place)?;
        }
        while out.len() < max
            && bytes < limits::RECEIVE_BYTES_MAX
            && self.may_give(place, out.len())
        {
            self.release(place)?;
            if place.processed.len() >= limits::RECEIVE_MESSAGES_MAX {
                self.settle_processed(place)?;
            }
            let before = out.len();
            if !self.take_waiting(place, out, max)? {
                let fresh = place.ahead.is_empty();
                if fresh {
                    // Once a call, unless it brought nothing: what comes meanwhile is for the next one.
                    let full = place.lanes.len() >= limits::WAITING_MAX;
                    if full || (read && !out.is_empty()) || !self.read_ahead(place)? {
                        break;
                    }
                    read = true;
                    // What they share with others of an earlier read is not kept for what waits for long.
                    place.kept.clear();
                }
                if self.goes_straight(place) {
                    self.give_straight(place, out, max)?;
                } else if self.rules.keyed || (fresh && self.sorts(place)) {
                    self.sort(place)?;
                } else {
                    self.give_next(place, out, max)?;
                }
            }
            bytes += out[before..].iter().map(|one| one.stored().0.len()).sum::<usize>();
        }
        Ok(())
    }

    /// Gives out what was read, in order.
    fn give_next(&self, place: &mut Place, out: &mut Vec<Received>, max: usize) -> Result<()> {
        let count = place.before_the_end();
        let count = count.min(max - out.len()).min(self.room(place, out.len()));
        let found: Vec<Found> = place.ahead.drain(..count).collect();
        self.give(place, found, out, Place::first_end)
    }

    /// Whether what was read goes out as it is where its key is free: there are keys, and nothing else that changes the
    /// order.
    fn goes_straight(&self, place: &Place) -> bool {
        let picky = self.rules.conflate || self.rules.key_versions;
        let plain = self.rules.keyed && self.rules.per_key <= 1 && !picky;
        let in_order =
            place.lettered.is_empty() && place.taken_in.is_empty() && place.behind.is_empty();
        plain
            && in_order
            && self.core.look(|state| {
                let Ok(queue) = state.queue(self.queue) else { return false };
                let attempts = queue.attempts.get(&self.name);
                queue.ranked < place.next() && attempts.is_none_or(|known| !known.has_ends())
            })
    }

    /// Gives out what was read, in order, where its key is free, and sorts into the lanes what stands behind its key.
    fn give_straight(&self, place: &mut Place, out: &mut Vec<Received>, max: usize) -> Result<()> {
        let mut bytes = 0;
        let dead = self.core.look(|state| {
            let facts = self.facts(state)?;
            while out.len() < max
                && bytes < limits::RECEIVE_BYTES_MAX
                && self.may_give_in(state, place, out.len())
            {
                let Some(found) = place.ahead.pop_front() else { break };
                let sequence = found.head.sequence;
                if facts.acked.contains(sequence) {
                    continue;
                }
                let (key, lane) = front_of(&found);
                let one = Waiting { sequence, key: self.key_of(key), lane };
                if !place.lanes.take(one.key) {
                    place.lanes.add(one);
                    place.kept.insert(found);
                    continue;
                }
                let judged = self.judge_by(&facts, &found, place);
                match judged.inspect_err(|_| place.lanes.back(one))? {
                    Judgement::Give(count) => {
                        place.forget(&[sequence]);
                        bytes += found.body.len();
                        out.push(Received::waited(found, count, one)?);
                    }
                    Judgement::Later(at) => place.lanes.later(one, at),
                    Judgement::Held => _ = place.prepared.insert(sequence, one),
                    // What waited behind it comes before what is read next.
                    Judgement::Over => {
                        self.pass_over(place, one);
                        break;
                    }
                    Judgement::Bury => return Ok(Some((one, found))),
                }
            }
            Ok::<_, Error>(None)
        })?;
        dead.map_or(Ok(()), |(one, found)| self.bury(place, one, found))
    }

    /// How many more messages may be out.
    fn room(&self, place: &Place, given: usize) -> usize {
        match self.rules.parallel {
            0 => usize::MAX,
            _ => self.core.look(|state| self.room_in(state, place, given)),
        }
    }

    fn room_in(&self, state: &State, place: &Place, given: usize) -> usize {
        if self.rules.parallel == 0 {
            return usize::MAX;
        }
        // What a prepared transaction holds is still worked on.
        let out = place.leases.out() + state.prepared.held_of(self.queue, &self.name);
        (self.rules.parallel as usize).saturating_sub(out + given)
    }

    pub(super) fn may_give(&self, place: &Place, given: usize) -> bool {
        self.room(place, given) > 0 && place.leases.out() + given < limits::DELIVERED_MAX
    }

    /// The same where the state is looked at already.
    fn may_give_in(&self, state: &State, place: &Place, given: usize) -> bool {
        let room = self.room_in(state, place, given) > 0;
        room && place.leases.out() + given < limits::DELIVERED_MAX
    }

    /// Lets come what may come by now: times that are over, leases that are, keys whose last message is acknowledged, or
    /// whose dead letters are gone.
    pub(super) fn wake(&self, place: &mut Place) -> Result<()> {
        if self.rules.keyed {
            self.look_at_letters(place)?;
        }
        place.lanes.wake(self.now_ms());
        self.release(place)?;
        place.free_keys(self.core.journal().shown_offset());
        if place.leases.next_until().is_some() {
            let now = self.steady_ms();
            while let Some(late) = place.leases.overdue(now) {
                late.into_iter().for_each(|one| place.lanes.back(one));
            }
        }
        Ok(())
    }

    /// Whether what is read is sorted into lanes.
    pub(super) fn sorts(&self, place: &Place) -> bool {
        self.rules.keyed
            || self.core.look(|state| state.queue(self.queue).map_or(0, |of| of.ranked))
                >= place.next()
    }

    /// Reads on up to the last message with a priority, so that the highest is known.
    fn read_all_ranked(&self, place: &mut Place) -> Result<()> {
        self.sort(place)?;
        let ranked = self.core.look(|state| state.queue(self.queue).map_or(0, |of| of.ranked));
        while place.cursor.next() <= ranked && place.lanes.len() < limits::WAITING_MAX {
            if !self.read_ahead(place)? {
                break;
            }
            self.sort(place)?;
        }
        Ok(())
    }

    /// Reads on; false when there is nothing more.
    pub(super) fn read_ahead(&self, place: &mut Place) -> Result<bool> {
        let journal = self.core.journal();
        let mut found = Vec::new();
        let bytes = limits::RECEIVE_BYTES_MAX;
        let horizon = if sabotage!("handed out before it is durable") {
            journal.appended()
        } else {
            journal.shown_offset()
        };
        journal.read(
            &mut place.cursor,
            horizon,
            limits::RECEIVE_MESSAGES_MAX,
            bytes,
            &mut found,
        )?;
        place.ahead.extend(found);
        Ok(!place.ahead.is_empty())
    }

    /// Sorts what was read into the lanes; the bytes of what was read last are kept.
    pub(super) fn sort(&self, place: &mut Place) -> Result<()> {
        if place.ahead.is_empty() {
            return Ok(());
        }
        place.kept.clear();
        let found = std::mem::take(&mut place.ahead);
        let mut replaced = Vec::new();
        self.core.look(|state| {
            let acked = state.consumer(self.queue, &self.name)?;
            let letters = state.queue(self.queue)?.letters(&self.name);
            for found in found {
                let sequence = found.head.sequence;
                if acked.contains(sequence) || place.taken_in.contains(&sequence) {
                    continue;
                }
                let (key, lane) = front_of(&found);
                let one = Waiting { sequence, key: self.key_of(key), lane };
                if let Some(end) = self.end_in(state, sequence) {
                    place.behind.insert(end, one);
                    continue;
                }
                let newest = self.rules.conflate
                    && !self.rules.key_versions
                    && self.replaces(state, &found)?;
                match letters.and_then(|letters| letters.back_at(sequence)) {
                    // Read before anybody looked what came back.
                    Some(at) if one.key != 0 => {
                        place.lanes.add_at(one, at);
                        place.taken_in.insert(sequence);
                    }
                    _ if newest => replaced.extend(place.lanes.add_instead(one)),
                    _ => place.lanes.add(one),
                }
                place.kept.insert(found);
            }
            Ok::<_, Error>(())
        })?;
        replaced.into_iter().for_each(|sequence| place.leave_out(sequence));
        Ok(())
    }

    /// Gives out the first message of the lanes, and what may go with it; false when none is ready.
    fn take_waiting(&self, place: &mut Place, out: &mut Vec<Received>, max: usize) -> Result<bool> {
        let Some(mut one) = place.lanes.next() else { return Ok(false) };
        if self.rules.conflate {
            one = self.newest(place, one)?;
        }
        if !place.back.is_empty() {
            place.back.remove(&one.sequence);
        }
        let mut more = self.rules.per_key.saturating_sub(1);
        if !self.take_one(place, one, out, false)? || one.key == 0 {
            return Ok(true);
        }
        while more > 0 && out.len() < max && self.may_give(place, out.len()) {
            let Some(next) = place.lanes.follow(one.key) else { break };
            if !self.take_one(place, next, out, true)? {
                break;
            }
            more -= 1;
        }
        Ok(true)
    }

    /// Gives out a message of the lanes, which may follow one of its key that is out; false when it is not to be given
    /// out now.
    fn take_one(
        &self,
        place: &mut Place,
        one: Waiting,
        out: &mut Vec<Received>,
        follows: bool,
    ) -> Result<bool> {
        let Some(found) = self.found(place, one)? else { return Ok(false) };
        let before = out.len();
        match self.core.look(|state| self.judge(state, &found, place)) {
            Err(error) => {
                place.lanes.back(one);
                return Err(error);
            }
            Ok(Judgement::Over) => self.pass_over(place, one),
            Ok(Judgement::Held) => _ = place.prepared.insert(one.sequence, one),
            // Behind one that is out it waits for that one first.
            Ok(Judgement::Later(_)) if follows => place.lanes.back(one),
            Ok(Judgement::Later(at)) => place.lanes.later(one, at),
            Ok(Judgement::Bury) => self.bury(place, one, found)?,
            Ok(Judgement::Give(count)) => {
                match self.is_processed(&found) {
                    Ok(false) => {}
                    Ok(true) => {
                        place.leave_out_processed(one);
                        return Ok(false);
                    }
                    Err(error) => {
                        place.lanes.back(one);
                        return Err(error);
                    }
                }
                place.forget(&[one.sequence]);
                out.push(Received::waited(found, count, one)?);
            }
        }
        Ok(out.len() > before)
    }

    /// The bytes of a message of the lanes; `None` when it is gone, and then passed over.
    pub(super) fn found(&self, place: &mut Place, one: Waiting) -> Result<Option<Found>> {
        if let Some(found) = place.kept.remove(one.sequence) {
            return Ok(Some(found));
        }
        match self.read_one(one.sequence) {
            Ok(None) => {
                self.pass_over(place, one);
                Ok(None)
            }
            Err(error) => {
                place.lanes.back(one);
                Err(error)
            }
            found => found,
        }
    }

    /// A message of the lanes that nobody waits for any more: its key goes on, once that may be seen.
    pub(super) fn pass_over(&self, place: &mut Place, one: Waiting) {
        place.versions.remove(&one.sequence);
        place.leases.end_key(one.key, self.core.journal().appended());
        place.free_keys(self.core.journal().shown_offset());
    }

    /// A message by its sequence, in bytes of its own; `None` when it is gone or may not be seen yet.
    pub(super) fn read_one(&self, sequence: u64) -> Result<Option<Found>> {
        let journal = self.core.journal();
        let (mut cursor, mut found) = (Cursor::new(self.queue, sequence), Vec::new());
        journal.read(&mut cursor, journal.shown_offset(), 1, 1, &mut found)?;
        let found = found.pop().filter(|found| found.head.sequence == sequence);
        Ok(found.map(|found| {
            let body = found.buffer[found.body.clone()].to_vec();
            let length = body.len();
            Found { head: found.head, buffer: Arc::new(body), body: 0..length }
        }))
    }

    /// Of what was read in order, what is to be given out, `until` a sequence; the rest waits for another time.
    fn give(
        &self,
        place: &mut Place,
        found: Vec<Found>,
        out: &mut Vec<Received>,
        until: impl Fn(&Place) -> u64,
    ) -> Result<()> {
        let (mut dead, mut found) = (Vec::new(), VecDeque::from(found));
        self.core.look(|state| {
            let facts = self.facts(state)?;
            while found.front().is_some_and(|one| one.head.sequence <= until(place)) {
                let Some(found) = found.pop_front() else { break };
                let has_ends = facts.attempts.is_some_and(Attempts::has_ends);
                if has_ends && self.goes_to_end(state, place, &found) {
                    continue;
                }
                match self.judge_by(&facts, &found, place)? {
                    Judgement::Over => {}
                    Judgement::Held => place.add_held(&found),
                    Judgement::Bury => dead.push(found),
                    Judgement::Later(at) => place.add_later(&found, at),
                    Judgement::Give(count) => out.push(Received::new(found, count)?),
                }
            }
            Ok::<_, Error>(())
        })?;
        // These come behind one that stands at the end before them.
        found.into_iter().rev().for_each(|one| place.ahead.push_front(one));
        let mut buried = Ok(());
        for found in dead {
            let (sequence, lane) = (found.head.sequence, front_of(&found).1);
            let one = Waiting { sequence, key: 0, lane };
            // After the first that fails the others wait for another time.
            match buried {
                Ok(()) => buried = self.bury(place, one, found),
                Err(_) => place.lanes.back(one),
            }
        }
        buried
    }

    /// What messages are judged by.
    fn facts<'a>(&self, state: &'a State) -> Result<Facts<'a>> {
        let queue = state.queue(self.queue)?;
        let acked = state.consumer(self.queue, &self.name)?;
        let attempts = queue.attempts.get(&self.name);
        let noted = attempts.map_or(0, Attempts::last);
        Ok(Facts { state, queue, acked, attempts, noted })
    }

    /// Whether a message is given out now, and the how many-th time that is.
    pub(super) fn judge(
        &self,
        state: &State,
        found: &Found,
        place: &mut Place,
    ) -> Result<Judgement> {
        self.judge_by(&self.facts(state)?, found, place)
    }

    fn judge_by(&self, facts: &Facts<'_>, found: &Found, place: &mut Place) -> Result<Judgement> {
        let Facts { state, queue, acked, attempts, noted } = *facts;
        let sequence = found.head.sequence;
        if acked.contains(sequence) {
            place.again.remove(&sequence);
            return Ok(Judgement::Over);
        }
        if state.prepared.holds(self.queue, &self.name, sequence) {
            return Ok(Judgement::Held);
        }
        if self.behind_letters(queue, found).is_some() {
            return Ok(Judgement::Bury);
        }
        let body = &found.buffer[found.body.clone()];
        // What is read for the first time stands behind all that something is known of.
        let known = attempts.filter(|_| sequence <= noted);
        let attempt = known.and_then(|known| known.get(sequence));
        let due =
            crate::journal::deliver_at_of(body).max(attempt.map_or(0, |one| one.not_before_ms));
        let timed = due > 0 || crate::journal::expires_of(body) > 0 || sequence <= queue.purged;
        if timed {
            let now = self.now_ms();
            if !visible(found, queue, now) {
                // What expired unread is not lost where there is a place for what nobody worked on.
                if self.rules.dead_letters.is_some() && sequence > queue.purged {
                    return Ok(Judgement::Bury);
                }
                place.gone.insert(sequence, sequence);
                return Ok(Judgement::Over);
            }
            if due > now {
                return Ok(Judgement::Later(due));
            }
        }
        let known = attempt.map_or(0, |one| one.deliveries);
        let unnoted = !place.again.is_empty() && place.again.contains(&sequence);
        let known = known.max(u32::from(unnoted));
        if self.rules.is_last(known) {
            return Ok(Judgement::Bury);
        }
        Ok(Judgement::Give(known.saturating_add(1)))
    }

    pub(super) fn next_job(&self, place: &mut Place) -> Result<Vec<Received>> {
        if self.rules.keyed || self.rules.parallel > 0 {
            let text = format!(
                "consumer {:?} gives out messages by key or one by one and not whole transactions",
                self.name
            );
            return Err(Error::new(Code::Unsupported, text));
        }
        let mut job = self.next(place, 1)?;
        if let Err(error) = self.whole(place, &mut job) {
            // A part of a job is none.
            job.iter().for_each(|one| self.return_one(place, one));
            return Err(error);
        }
        Ok(job)
    }

    /// Adds the rest of the transaction of the first message.
    fn whole(&self, place: &mut Place, job: &mut Vec<Received>) -> Result<()> {
        let Some(transaction) = job.first().map(Received::transaction) else { return Ok(()) };
        let (mut bytes, mut counted) = (0, 0);
        loop {
            let sizes =
                job[counted..].iter().map(|one| one.stored().0.len() + limits::RECORD_BYTES);
            bytes += sizes.sum::<usize>();
            if bytes > limits::JOB_BYTES_MAX {
                return Err(self.too_large(transaction));
            }
            counted = job.len();
            let before = job.len();
            if self.take_waiting(place, job, usize::MAX)? {
                if job.len() > before && job[before].transaction() != transaction {
                    let other = job.remove(before);
                    self.return_one(place, &other);
                    return Ok(());
                }
                continue;
            }
            if place.ahead.is_empty() && !self.read_ahead(place)? {
                return Ok(());
            }
            let same = place.ahead.iter().take_while(|one| one.head.transaction == transaction);
            let count = same.count();
            if count == 0 {
                return Ok(());
            }
            let found: Vec<Found> = place.ahead.drain(..count).collect();
            self.give(place, found, job, |_| u64::MAX)?;
        }
    }

    fn too_large(&self, transaction: u64) -> Error {
        let text = format!(
            "transaction {transaction} has more than {} bytes for consumer {:?}, too much for one job: receive its \
             messages in pieces",
            limits::JOB_BYTES_MAX,
            self.name
        );
        Error::new(Code::TooLarge, text).over(transaction, transaction)
    }
}

/// What the state says of a consumer, looked up once for many messages.
struct Facts<'a> {
    state: &'a State,
    queue: &'a QueueState,
    acked: &'a Ranges,
    attempts: Option<&'a Attempts>,
    /// The last message these say something of.
    noted: u64,
}

/// What becomes of a message that was read.
pub(super) enum Judgement {
    /// Acknowledged, purged or expired.
    Over,
    /// Held by a prepared transaction until that ends.
    Held,
    /// Not before this time.
    Later(u64),
    /// Given out, so many times with this one.
    Give(u32),
    /// Given out often enough, or expired where that is kept: a dead letter.
    Bury,
}

/// Key and priority of a message.
pub(super) fn front_of(found: &Found) -> (&[u8], u8) {
    let body = Body::decode(&found.buffer[found.body.clone()]).unwrap_or_default();
    (body.key, body.front.priority)
}
