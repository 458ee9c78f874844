//! Dead letters: moving messages there, and what becomes of the rest of their keys.
//!
//! A key whose message became a dead letter goes on, waits, or becomes letters, too, as the rules say. What is put back of
//! them is a message of its own that stands in the order of its key where the old one stood: it is taken into the lanes before
//! anything else of its key, as soon as it is durable.
//!
//! Promises: of a key nothing comes before what is put back at an earlier place, or that becomes a letter again; a key that is
//! held waits until its last letter is put back or dropped, also over a reopen.
//! Relies on: the notes of letters being a part of the transactions that move them.

use super::feed::{Feed, Place};
use super::giving::front_of;
use super::lanes::Waiting;
use super::{Death, Queue, Received, with_letter};
use crate::error::{Code, Error, Result};
use crate::journal::{Found, Type};
use crate::store::{Change, Hold, QueueState, Staged};
use std::collections::BTreeSet;

/// Why a message is given up that nobody has failed to work on.
const EXPIRED: &str = "it expired";

/// The keys that have letters, and what came back.
type Letters = (Vec<(Box<[u8]>, Hold)>, Vec<(u64, u64)>);

/// Dead letters.
impl Feed {
    /// Why a message becomes a letter because of those of its key, if it does: they take the rest along, or it is back and was
    /// overtaken before it came.
    pub(super) fn behind_letters(&self, queue: &QueueState, found: &Found) -> Option<&'static str> {
        let letters = queue.letters(&self.name).filter(|_| self.rules.keyed)?;
        let of = letters.key(front_of(found).0)?;
        let sequence = found.head.sequence;
        let back = letters.back_at(sequence);
        if back.is_some_and(|place| !of.may_come(place)) {
            return Some("a newer message of its key was acknowledged before it came again");
        }
        // What came back waits for older ones only: the newer ones are to come behind it.
        let older = of.first().filter(|first| *first < back.unwrap_or(sequence));
        let parked = of.hold() == Hold::Park && older.is_some();
        parked.then_some("it stands behind a dead letter of its key")
    }

    /// Takes in what was put back, and lets go or holds keys as their letters say.
    pub(super) fn look_at_letters(&self, place: &mut Place) -> Result<()> {
        let news = self.core.look(|state| {
            let queue = state.queue(self.queue)?;
            let version = queue.letters_version.number();
            let letters = queue.letters(&self.name);
            let all = || -> Letters {
                let Some(letters) = letters else { return Letters::default() };
                let keys = letters.keys().map(|(key, of)| (key.into(), of.hold()));
                (keys.collect(), letters.back().collect())
            };
            Ok::<_, Error>((Some(version) != place.letters_version).then(|| (version, all())))
        })?;
        let Some((version, (keys, back))) = news else { return Ok(()) };
        for (sequence, at) in back {
            if place.taken_in.contains(&sequence) {
                continue;
            }
            // What is not durable yet comes at another time; until then its key stays as it is.
            let Some(found) = self.read_one(sequence)? else { return Ok(()) };
            let (key, lane) = front_of(&found);
            place.lanes.add_at(Waiting { sequence, key: self.key_of(key), lane }, at);
            place.taken_in.insert(sequence);
        }
        let held = keys.iter().filter(|(_, hold)| *hold == Hold::Block);
        let held: BTreeSet<u64> = held.map(|(key, _)| self.key_of(key)).collect();
        place.held.difference(&held).for_each(|key| place.lanes.done(*key));
        held.difference(&place.held).for_each(|key| place.lanes.hold(*key));
        place.held = held;
        place.lettered = keys.into_iter().map(|(key, _)| (self.key_of(&key), key)).collect();
        place.letters_version = Some(version);
        Ok(())
    }

    /// The changes that say of acknowledged messages how far the keys are that have letters.
    pub(super) fn go_on(&self, place: &Place, sequences: &[u64]) -> Vec<(Type, u32, Vec<u8>)> {
        if place.lettered.is_empty() {
            return Vec::new();
        }
        self.core.look(|state| {
            let letters = state.queue(self.queue).ok().and_then(|queue| queue.letters(&self.name));
            let Some(letters) = letters else { return Vec::new() };
            let of = sequences.iter().filter_map(|sequence| {
                let key = place.lettered.get(&place.leases.key_of(*sequence)?)?;
                let at = letters.place_of(*sequence);
                Some(Change::GoOn(self.name.as_bytes(), at, key).encode())
            });
            of.map(|change| (Type::Consumer, self.queue, change)).collect()
        })
    }

    /// Moves a message to the dead letters, in the transaction that acknowledges it. When that fails it waits for the next
    /// receive.
    pub(super) fn bury(&self, place: &mut Place, one: Waiting, found: Found) -> Result<()> {
        let key: Box<[u8]> = front_of(&found).0.into();
        match self.try_to_bury(place, one.sequence, found) {
            Ok((staged, after)) => {
                place.end(&[one.sequence]);
                place.reasons.remove(&one.sequence);
                // Who still works on it is late.
                place.leases.revoke(one.sequence);
                let appended = staged.appended.as_ref();
                let end = appended.map_or_else(|| self.core.journal().appended(), |at| at.end);
                if one.key != 0 {
                    place.lettered.insert(one.key, key);
                }
                // A key that waits stays as busy as it is.
                if after != Some(Hold::Block) || !place.held.insert(one.key) {
                    place.leases.end_key(one.key, end);
                }
                place.burial = Some(staged);
                Ok(())
            }
            Err(error) => {
                place.lanes.back(one);
                let text = format!(
                    "message {} cannot be moved to the dead letters of consumer {:?}",
                    one.sequence, self.name
                );
                Err(Error::because(error.code(), text, &error))
            }
        }
    }

    fn try_to_bury(
        &self,
        place: &Place,
        sequence: u64,
        found: Found,
    ) -> Result<(Staged, Option<Hold>)> {
        let dead = self.rules.dead_letters.map_or(0, Queue::number);
        let (attempt, full, at, why) = self.core.look(|state| {
            let queue = state.queue(self.queue)?;
            let letters = queue.letters(&self.name);
            let at = letters.map_or(sequence, |letters| letters.place_of(sequence));
            let why = self.behind_letters(queue, &found).unwrap_or(EXPIRED);
            let full = letters.is_some_and(crate::store::Letters::is_full);
            Ok::<_, Error>((queue.attempt(&self.name, sequence).copied(), full, at, why))
        })?;
        let failures = attempt.map_or(0, |one| one.deliveries);
        let message = Received::new(found, failures)?;
        let after = self.after(&message, why == EXPIRED && !self.rules.is_last(failures));
        if full && after.is_some_and(|hold| hold != Hold::Skip) {
            let text = "so many letters hold their keys: some must be put back or dropped first";
            return Err(Error::new(Code::Quota, text));
        }
        let reason = match place.reasons.get(&sequence) {
            Some(reason) => reason,
            None if self.rules.is_last(failures) => "it was given back, or never answered",
            None => why,
        };
        let death = Death {
            reason,
            failures,
            consumer: &self.name,
            place: at,
            after,
            first_ms: attempt.map_or(0, |one| one.first_ms),
            last_ms: self.now_ms(),
        };
        let name = self.name.as_bytes();
        let ack = Change::Ack(name, vec![(sequence, sequence)]).encode();
        let mut changes = vec![(Type::Ack, self.queue, ack)];
        if let Some(hold) = after {
            let note = Change::GiveUp(name, at, hold, message.key()).encode();
            // Before it is acknowledged: with that its place is forgotten.
            changes.insert(0, (Type::Consumer, self.queue, note));
        }
        let staged = with_letter(&message, &death, |letter| {
            let packed = letter.pack()?;
            let entries = [packed.entry(dead)];
            let lost = sabotage!("dead letter lost between skip and write");
            let entries = if lost { &[] } else { &entries[..] };
            self.core.transact(entries, &changes, self.core.level())
        })?;
        Ok((staged, after))
    }

    /// What the rest of the key of a letter does; `None` where there is no key, or keys are not worked on in order. Behind
    /// one that expired it goes on.
    fn after(&self, message: &Received, expired: bool) -> Option<Hold> {
        if !self.rules.keyed || message.key().is_empty() {
            return None;
        }
        Some(if expired { Hold::Skip } else { self.rules.after_dead_letter })
    }
}
