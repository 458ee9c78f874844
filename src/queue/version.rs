//! Versions of keys: what was processed before is left out.
//!
//! A message with a key says its version in the header `repliq-version`, a number in decimal digits; one without, or with
//! anything else there, is given out as always. With its acknowledgement its version is noted as the last one of its key that
//! was processed, in the same transaction. A message of that version, or of one before, is acknowledged when its turn
//! comes and not given out, and counted.
//!
//! What a prepared transaction holds is processed when that is committed, and not before: until then its key waits.
//!
//! Promises: a version is left out only when it, or a later one, was acknowledged; the count is exact; memory does not
//! grow with how much is left out.
//! Relies on: one message of a key being out at a time.

use super::feed::{Feed, Place};
use super::lanes::Waiting;
use super::received::Received;
use crate::error::{Error, Result};
use crate::journal::{Body, Found, Type, headers};
use crate::store::{Change, Level, ranges_of};

/// The header that says the version.
const HEADER: &[u8] = b"repliq-version";

/// Key and version of a message that has both.
pub fn version_of(body: &[u8]) -> Option<(&[u8], u64)> {
    let body = Body::decode(body).filter(|body| !body.key.is_empty())?;
    let (_, value) = headers(body.headers).find(|(name, _)| *name == HEADER)?;
    let digits = std::str::from_utf8(value).ok().filter(|text| !text.starts_with('+'))?;
    Some((body.key, digits.parse().ok()?))
}

impl Feed {
    /// Whether a message was processed before.
    pub(super) fn is_processed(&self, found: &Found) -> Result<bool> {
        if !self.rules.key_versions {
            return Ok(false);
        }
        let body = &found.buffer[found.body.clone()];
        let Some((key, version)) = version_of(body) else { return Ok(false) };
        let known = self.core.look(|state| state.version(self.queue, &self.name, key))?;
        let last = known.read(self.core.journal())?;
        Ok(last.is_some_and(|last| version <= last))
    }

    /// Acknowledges what was left out. What cannot be written now is written with what is left out next.
    pub(super) fn settle_processed(&self, place: &mut Place) -> Result<()> {
        if place.processed.is_empty() {
            return Ok(());
        }
        let sequences: Vec<u64> = place.processed.iter().copied().collect();
        let fragments = self.core.look(|state| {
            let acked = state.consumer(self.queue, &self.name)?;
            Ok::<_, Error>((acked.fragments(), acked.floor()))
        })?;
        self.check_fragments(fragments, &sequences)?;
        let name = self.name.as_bytes();
        let ack = Change::Ack(name, ranges_of(&sequences)).encode();
        let count = Change::LeftOut(name, sequences.len() as u64).encode();
        let changes = [(Type::Ack, self.queue, ack), (Type::Consumer, self.queue, count)];
        let staged = self.core.transact(&[], &changes, Level::Power)?;
        place.processed.clear();
        place.end(&sequences);
        // Nobody was told: after a power cut they are left out once more, and counted then.
        self.settle_note(&staged, false)
    }

    /// Notes of what is given out which versions it has.
    pub(super) fn note_versions(&self, place: &mut Place, out: &[Received]) {
        if self.rules.key_versions {
            let of = |one: &Received| Some((one.sequence(), version_of(one.stored().0)?.1));
            place.versions.extend(out.iter().filter_map(|one| {
                let (sequence, version) = of(one)?;
                Some((sequence, (one.key().into(), version)))
            }));
        }
    }

    /// The changes that say which versions are processed with these messages. Where they are noted `later`, somebody may
    /// delete the consumer until then: they begin with what they need.
    pub(super) fn process(
        &self,
        place: &Place,
        sequences: &[u64],
        later: bool,
    ) -> Result<Vec<(Type, u32, Vec<u8>)>> {
        if place.versions.is_empty() {
            return Ok(Vec::new());
        }
        let of = sequences.iter().filter_map(|sequence| place.versions.get(sequence));
        let mut changes: Vec<Vec<u8>> = of
            .map(|(key, version)| Change::Processed(self.name.as_bytes(), *version, key).encode())
            .collect();
        let begun = self.core.look(|state| {
            let queue = state.queue(self.queue).ok();
            queue.is_some_and(|queue| queue.versions.contains_key(&self.name))
        });
        if !changes.is_empty() && (later || !begun) {
            let life = self.core.draw_life()?;
            changes.insert(0, Change::BeginVersions(self.name.as_bytes(), life).encode());
        }
        Ok(changes.into_iter().map(|change| (Type::Consumer, self.queue, change)).collect())
    }
}

impl Place {
    /// A message was processed before: its key goes on at once, since the work of that is durable.
    pub(super) fn leave_out_processed(&mut self, one: Waiting) {
        self.processed.insert(one.sequence);
        self.leases.revoke(one.sequence);
        self.lanes.done(one.key);
    }
}
