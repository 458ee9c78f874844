//! Reading whole transactions in the order of commits, below a horizon.
//!
//! A [`Walker`] begins at the head of a segment, which names the next sequence, the epoch and the chain there,
//! and folds the chain forward over everything it reads; so it knows the stamp of every transaction it gives
//! out. Both sums of every frame are checked, and the chain is compared with what the head of the next segment
//! says. It follows rolls, and goes on behind segments that were given back: what was in them is nobody's any
//! more, and the head of the next one says where the order goes on.
//!
//! Files are read in order and in large steps; one buffer serves all transactions.

use super::chain::Chain;
use super::format::{HEAD, Head, LAST, Type};
use super::key::{Keys, veiled};
use super::scan::{Met, Window, look};
use super::slot::{FRAMES_AT, SLOT, Slot, seed_of};
use super::{Journal, file_name};
use crate::disk::File;
use crate::error::{Code, Error, Result};
use crate::position::Stamp;
use std::ops::Range;
use std::sync::Arc;

/// A reader of transactions in the order of commits.
pub struct Walker {
    number: u64,
    first: u64,
    offset: u64,
    next: u64,
    seed: u32,
    chain: Chain,
    keys: Option<Arc<Keys>>,
    window: Option<Window>,
    records: Vec<(Head, Range<usize>)>,
    bytes: Vec<u8>,
}

/// A transaction read back.
pub struct Walked<'a> {
    /// Its epoch, its sequence and the chain after it.
    pub stamp: Stamp,
    /// When it was committed.
    pub time_ms: u64,
    /// Its records: header, and where the body lies in `bytes`.
    pub records: &'a [(Head, Range<usize>)],
    /// The bytes of all bodies.
    pub bytes: &'a [u8],
}

/// A segment a walker can go into.
struct Place {
    number: u64,
    first: u64,
}

impl Walker {
    /// The stamp of the last transaction given out, or of the one before the first.
    pub fn stamp(&self) -> Stamp {
        let (epoch, chain) = (self.chain.epoch(), self.chain.value());
        Stamp { epoch, sequence: self.next - 1, chain }
    }

    fn enter(&mut self, place: &Place, slot: &Slot, file: Arc<dyn File>) -> Result<()> {
        let goes_on = self.window.is_some() && self.offset == place.first;
        if goes_on && (self.next != slot.next || self.chain.value() != slot.chain) {
            let text = format!(
                "the head of {} says transaction {} follows chain {:016x}; before it stand {} and {:016x}",
                file_name(place.number),
                slot.next,
                slot.chain,
                self.next,
                self.chain.value()
            );
            return Err(Error::new(Code::Corrupt, text).over(place.first, place.first));
        }
        (self.number, self.first) = (place.number, place.first);
        if !goes_on {
            (self.offset, self.next) = (slot.first, slot.next);
            self.seed = slot.seed();
            self.chain.restart(slot.chain, slot.epoch);
        }
        let before = self.window.take().filter(|_| goes_on).and_then(|window| window.before);
        let mut window = Window::new(file, self.keys.clone());
        window.before = before;
        self.window = Some(window);
        Ok(())
    }

    /// Reads frames up to the end of one transaction; false at the limit.
    fn fill(&mut self, limit: u64, secret: u32) -> Result<bool> {
        self.records.clear();
        self.bytes.clear();
        let Some(window) = &mut self.window else { return Ok(false) };
        let mut offset = self.offset;
        window.read_below(limit.saturating_sub(self.first) + FRAMES_AT);
        while offset < limit {
            let at = offset - self.first + FRAMES_AT;
            let met = look(window, at, (offset, limit), self.seed, secret)?;
            let Met::Frame(head, frame, place) = met else {
                let name = file_name(self.number);
                let text = format!("a record at {offset} in {name} fails its checksum");
                return Err(Error::new(Code::Corrupt, text).over(offset, offset + HEAD as u64));
            };
            offset = place.next;
            if head.kind.is_local() {
                if head.kind == Type::Incarnation
                    && let Some(incarnation) = frame[HEAD..].first_chunk()
                {
                    self.seed = seed_of(incarnation);
                }
                self.offset = offset;
                continue;
            }
            if head.transaction != self.next || head.index as usize != self.records.len() {
                let text = format!(
                    "record {} of transaction {} stands at {offset}, where transaction {} goes on",
                    head.index, head.transaction, self.next
                );
                return Err(Error::new(Code::Corrupt, text).over(offset, offset));
            }
            self.chain.fold_frame(frame);
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&frame[HEAD..]);
            self.records.push((head, start..self.bytes.len()));
            if head.flags & LAST != 0 {
                self.offset = offset;
                self.next += 1;
                return Ok(true);
            }
        }
        self.chain.drop_open();
        Ok(false)
    }
}

impl Journal {
    /// A walker that stands behind transaction `after`, or, when that was given back, at the oldest place behind
    /// it. `names` are those of all queues there ever were, for the chain.
    pub fn walk_from(&self, after: u64, names: &[(u32, Vec<u8>)]) -> Result<Walker> {
        let number = self.place_of(after).map_or(0, |place| place.number);
        let mut chain = Chain::new(0, 0);
        for (queue, name) in names {
            chain.name_queue(*queue, name);
        }
        let mut walker = Walker {
            number,
            first: 0,
            offset: 0,
            next: 1,
            seed: 0,
            chain,
            keys: self.keys.clone(),
            window: None,
            records: Vec::new(),
            bytes: Vec::new(),
        };
        let horizon = self.shown_offset();
        if !self.enter_from(&mut walker, number, horizon)? {
            let text =
                format!("nothing of the journal in {} may be seen yet", self.disk.describe());
            return Err(Error::new(Code::NotFound, text));
        }
        while walker.next <= after {
            if self.walk(&mut walker, horizon)?.is_none() {
                let text = format!("transaction {after} lies behind the end {}", walker.next - 1);
                return Err(Error::new(Code::NotFound, text).over(after, after));
            }
        }
        Ok(walker)
    }

    /// The next transaction that lies wholly below the journal offset `horizon`; `None` when there is none yet.
    pub fn walk<'a>(&self, walker: &'a mut Walker, horizon: u64) -> Result<Option<Walked<'a>>> {
        loop {
            let Some((end, sealed)) = self.end_of(walker.number) else {
                // It was given back meanwhile: go on with the next one there is.
                walker.window = None;
                if !self.enter_from(walker, walker.number + 1, horizon)? {
                    return Ok(None);
                }
                continue;
            };
            let limit = end.min(horizon);
            match walker.fill(limit, self.secret) {
                Ok(true) => break,
                Ok(false) if sealed && walker.offset >= end && end <= horizon => {
                    if !self.enter_from(walker, walker.number + 1, horizon)? {
                        return Ok(None);
                    }
                }
                Ok(false) => return Ok(None),
                Err(_) if self.was_given_back(walker.number) => continue,
                Err(error) => return Err(error),
            }
        }
        let stamp = walker.stamp();
        let time_ms = walker.records[0].0.time_ms;
        Ok(Some(Walked { stamp, time_ms, records: &walker.records, bytes: &walker.bytes }))
    }

    /// The stamp of a durable transaction whose segment is still there, or which is the last one before such a
    /// segment; `None` otherwise.
    pub fn stamp_at(&self, sequence: u64, names: &[(u32, Vec<u8>)]) -> Result<Option<Stamp>> {
        if self.place_of(sequence).is_none() || sequence > self.shown_sequence() {
            return Ok(None);
        }
        let walker = self.walk_from(sequence, names)?;
        let stamp = walker.stamp();
        Ok((stamp.sequence == sequence).then_some(stamp))
    }

    /// The stamp before the oldest transaction from which on nothing was given back.
    pub fn oldest_kept(&self) -> Result<Stamp> {
        let number = {
            let tail = self.tail.lock();
            let (mut number, mut first) = (tail.segment.number, tail.segment.first);
            for (older, row) in tail.table.iter().rev() {
                if row.end != first {
                    break;
                }
                (number, first) = (*older, row.first);
            }
            // Where the files of a staged transaction are gone, nothing goes on before it.
            let behind = |hollow| tail.table.range(hollow + 1..).next().map(|(number, _)| *number);
            let of_tail = tail.segment.number;
            let hollow = tail.adopted.newest_hollow();
            hollow.map_or(number, |hollow| number.max(behind(hollow).unwrap_or(of_tail)))
        };
        self.stamp_before(number)
    }

    /// The stamp before the oldest transaction there is.
    pub fn oldest(&self) -> Result<Stamp> {
        self.stamp_before(self.oldest_segment())
    }

    fn stamp_before(&self, number: u64) -> Result<Stamp> {
        let (slot, _) = self.head_of(number)?;
        Ok(Stamp { epoch: slot.epoch, sequence: slot.next - 1, chain: slot.chain })
    }

    /// The segment in which the transaction behind `after` begins, or begins to be looked for.
    fn place_of(&self, after: u64) -> Option<Place> {
        let tail = self.tail.lock();
        let of_tail = tail.segment.slot.as_ref().map_or(tail.next, |slot| slot.next);
        if of_tail <= after.saturating_add(1) && tail.segment.first < self.shown_offset().max(1) {
            return Some(Place { number: tail.segment.number, first: tail.segment.first });
        }
        let places = tail.table.iter().rev();
        let mut places = places.map(|(number, row)| (*number, row.first, row.next, row.end));
        let (number, first, _, end) =
            places.find(|(_, _, next, _)| *next <= after.saturating_add(1))?;
        // Without the segment behind it, a place is only in this one when it lies before its end.
        let newer = tail.table.range(number + 1..).next().map(|(_, row)| (row.first, row.next));
        let newer = newer.unwrap_or((tail.segment.first, of_tail));
        let inside = newer.0 == end || after < newer.1.saturating_sub(1);
        inside.then_some(Place { number, first })
    }

    /// Goes into the segment `number`, or the next one there is; false when there is none below the horizon.
    fn enter_from(&self, walker: &mut Walker, number: u64, horizon: u64) -> Result<bool> {
        let mut number = number;
        loop {
            let place = {
                let tail = self.tail.lock();
                match tail.table.range(number..).next() {
                    Some((number, row)) => Place { number: *number, first: row.first },
                    None => Place { number: tail.segment.number, first: tail.segment.first },
                }
            };
            if place.number < number || place.first >= horizon.max(1) {
                return Ok(false);
            }
            match self.head_of(place.number) {
                Ok((slot, file)) => {
                    walker.enter(&place, &slot, file)?;
                    return Ok(true);
                }
                Err(error) if !self.was_given_back(place.number) => return Err(error),
                Err(_) => number = place.number + 1,
            }
        }
    }

    /// The journal offset behind the last frame of a segment, and whether it is sealed; `None` when it is gone.
    fn end_of(&self, number: u64) -> Option<(u64, bool)> {
        let tail = self.tail.lock();
        if tail.segment.number == number {
            return Some((tail.end, false));
        }
        tail.table.get(&number).map(|row| (row.end, true))
    }

    /// The head of a segment and its file.
    fn head_of(&self, number: u64) -> Result<(Slot, Arc<dyn File>)> {
        let name = file_name(number);
        let failed = |error| Error::io(format!("cannot read {name}"), &error);
        let file = self.disk.open(&name, false).map_err(failed)?;
        let mut head = [0; FRAMES_AT as usize];
        let read = file.read_at(&mut head, 0).map_err(failed)?;
        for at in 0..3 {
            let bytes = head[..read].get(at * SLOT..).unwrap_or(&[]);
            if let Some(slot) = Slot::decode(bytes, number)? {
                // What is hidden in it is shown the same way.
                return Ok((veiled(slot, self.keys.as_deref()), file));
            }
        }
        let text = format!("no head of {name} in {} can be read", self.disk.describe());
        Err(Error::new(Code::Corrupt, text))
    }
}
