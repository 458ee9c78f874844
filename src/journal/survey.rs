//! What lies in a store's directory before anything is believed: segments begun, files prepared, runs.
//!
//! A segment that begins at or behind the first offset of a later one was superseded by it and is no part of
//! the journal any more. A numbered file always has its full length, a power of two; a shorter one is damage.

use super::run::run_number;
use super::slot::{FRAMES_AT, Role, SLOT, Slot};
use super::spare::new_number;
use super::{Segment, file_name, file_number};
use crate::disk::Disk;
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::sync::AtomicU64;
use std::sync::Arc;

/// A segment that was begun.
#[derive(Clone)]
pub struct Begun {
    pub segment: Segment,
    pub slot: Slot,
    /// Its own mark: everything before it is durable.
    pub marked: bool,
    pub sealed: Option<Slot>,
}

/// The directory as found.
pub struct Survey {
    /// The segments of the journal, in order.
    pub chain: Vec<Begun>,
    /// Files that can serve again: prepared, given back, superseded.
    pub spares: Vec<(String, u64)>,
    /// Numbered files that were never begun.
    pub blank: Vec<Segment>,
    pub runs: Vec<u64>,
    pub next_number: u64,
    pub foreign: Vec<String>,
    pub segments: usize,
}

pub fn survey(disk: &dyn Disk) -> Result<Survey> {
    let doing = || format!("cannot list {}", disk.describe());
    let names = disk.list().map_err(|error| Error::io(doing(), &error))?;
    let mut found = Survey {
        chain: Vec::new(),
        spares: Vec::new(),
        blank: Vec::new(),
        runs: Vec::new(),
        next_number: 1,
        foreign: Vec::new(),
        segments: 0,
    };
    for name in names {
        if let Some(number) = file_number(&name) {
            found.segments += 1;
            found.next_number = found.next_number.max(number + 1);
            found.add(disk, number)?;
        } else if let Some(number) = run_number(&name) {
            found.runs.push(number);
        } else if new_number(&name).is_some() {
            found.add_spare(disk, name)?;
        } else if name != "lock" && name != "key" && !name.ends_with(".cut") {
            found.foreign.push(name);
        }
    }
    found.runs.sort_unstable();
    found.chain.sort_unstable_by_key(|begun| begun.segment.number);
    found.one_store(disk)?;
    found.supersede();
    Ok(found)
}

impl Survey {
    fn add(&mut self, disk: &dyn Disk, number: u64) -> Result<()> {
        let name = file_name(number);
        let failed =
            |error| Error::io(format!("cannot read {name} in {}", disk.describe()), &error);
        let file = disk.open(&name, true).or_else(|_| disk.open(&name, false)).map_err(failed)?;
        let length = file.len().map_err(failed)?;
        let mut head = [0; FRAMES_AT as usize];
        let read = file.read_at(&mut head, 0).map_err(failed)?;
        let mut slots = [None; 3];
        for (at, slot) in slots.iter_mut().enumerate() {
            let bytes = &head[..read];
            *slot = Slot::decode(bytes.get(at * SLOT..).unwrap_or(&[]), number)?;
        }
        let of = |role| slots.iter().flatten().find(|slot| slot.role == role).copied();
        let (marked, sealed) = (of(Role::Marked), of(Role::Sealed));
        let short = !length.is_power_of_two() || length < limits::SEGMENT_BYTES_MIN;
        let slot = of(Role::Begun).or(marked).or(sealed);
        if short || slot.is_some_and(|slot| slot.length != length) {
            let text = format!("{name} in {} has {length} bytes, it was cut", disk.describe());
            let first = slot.map_or(0, |slot| slot.first);
            return Err(Error::new(Code::Corrupt, text).over(first, u64::MAX));
        }
        let mut segment = Segment::prepared(number, length, file);
        let Some(mut slot) = slot else {
            self.blank.push(segment);
            return Ok(());
        };
        slot.role = Role::Begun;
        segment.first = slot.first;
        segment.began_ms = slot.began_ms;
        segment.chain = Arc::new(AtomicU64::new(slot.chain));
        segment.slot = Some(slot);
        self.chain.push(Begun { segment, slot, marked: marked.is_some(), sealed });
        Ok(())
    }

    fn add_spare(&mut self, disk: &dyn Disk, name: String) -> Result<()> {
        let failed =
            |error| Error::io(format!("cannot read {name} in {}", disk.describe()), &error);
        let length = disk.open(&name, false).and_then(|file| file.len()).map_err(failed)?;
        self.spares.push((name, length));
        Ok(())
    }

    /// All segments must belong to one store.
    fn one_store(&self, disk: &dyn Disk) -> Result<()> {
        let Some(newest) = self.chain.last() else { return Ok(()) };
        for begun in &self.chain {
            if begun.slot.store != newest.slot.store || begun.slot.secret != newest.slot.secret {
                let name = file_name(begun.segment.number);
                let text = format!("{name} in {} belongs to another store", disk.describe());
                return Err(Error::new(Code::Corrupt, text).over(begun.slot.first, u64::MAX));
            }
        }
        Ok(())
    }

    fn supersede(&mut self) {
        let mut kept: Vec<Begun> = Vec::new();
        for begun in std::mem::take(&mut self.chain) {
            while let Some(last) = kept.last() {
                if last.slot.first < begun.slot.first || last.segment.number >= begun.segment.number
                {
                    break;
                }
                let old = kept.pop().map(|old| old.segment);
                self.spares.extend(old.map(|old| (file_name(old.number), old.length)));
            }
            kept.push(begun);
        }
        self.chain = kept;
    }

    /// The first journal offset that does not belong to the segment at `at` any more.
    pub fn limit(&self, at: usize) -> u64 {
        let begun = &self.chain[at];
        let limit = begun.segment.limit() & !7;
        self.chain.get(at + 1).map_or(limit, |next| next.slot.first.min(limit))
    }

    /// The file a sealed segment names as the next, where it was never begun or its head is lost.
    pub fn blank_successor(&self, at: usize) -> Option<&Segment> {
        let successor = self.chain[at].sealed?.successor;
        self.blank.iter().find(|segment| segment.number == successor)
    }
}
