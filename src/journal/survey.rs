//! What lies in a store's directory before anything is believed: segments begun, files prepared, runs.
//!
//! A segment that begins at or behind the first offset of a later one was superseded by it and is no part of
//! the journal any more. A numbered file always has its full length, a power of two; another length is damage,
//! and so is a segment of another store.

use super::adopt::{staged_name, staged_number};
use super::key::{KEY_NAME, KEY_UNFINISHED, Keys};
use super::run::{Numbers, base_number, is_unfinished, run_number};
use super::slot::{FRAMES_AT, Role, SLOT, Slot};
use super::spare::{new_number, unfinished_number};
use super::{Segment, file_name, file_number};
use crate::disk::Disk;
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::secret::Password;
use crate::sync::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;

/// No segment is larger: one of the largest class whose end was doubtful is copied into one of twice its bytes and
/// more.
const SEGMENT_BYTES_END: u64 = limits::SEGMENT_BYTES_MAX << 3;

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
#[derive(Clone)]
pub struct Survey {
    /// The segments of the journal, in order.
    pub chain: Vec<Begun>,
    /// Files that can serve again: prepared, given back, superseded.
    pub spares: Vec<(String, u64)>,
    /// Numbered files that were never begun.
    pub blank: Vec<Segment>,
    /// State runs and bases.
    pub runs: Numbers,
    /// Staged files and their lengths.
    pub staged: BTreeMap<u64, u64>,
    pub next_number: u64,
    /// The next free number of a file being prepared.
    pub next_name: u64,
    /// Files of a preparation that was interrupted.
    pub leftovers: Vec<String>,
    pub foreign: Vec<String>,
    pub segments: usize,
    /// Journal offsets of files that are not as they were written.
    pub damage: Option<(u64, u64)>,
    /// What opens the blocks of an encrypted store, once it was unlocked.
    pub keys: Option<Arc<Keys>>,
}

pub fn survey(disk: &dyn Disk) -> Result<Survey> {
    let doing = || format!("cannot list {}", disk.describe());
    let names = disk.list().map_err(|error| Error::io(doing(), &error))?;
    let mut found = Survey {
        chain: Vec::new(),
        spares: Vec::new(),
        blank: Vec::new(),
        runs: Numbers::default(),
        staged: BTreeMap::new(),
        next_number: 1,
        next_name: 0,
        leftovers: Vec::new(),
        foreign: Vec::new(),
        segments: 0,
        damage: None,
        keys: None,
    };
    for name in names {
        if let Some(number) = file_number(&name) {
            found.segments += 1;
            found.next_number = found.next_number.max(number + 1);
            found.add(disk, number)?;
        } else if let Some(number) = run_number(&name) {
            found.next_number = found.next_number.max(number + 1);
            found.runs.runs.push(number);
        } else if let Some(number) = base_number(&name) {
            found.next_number = found.next_number.max(number + 1);
            found.runs.bases.push(number);
        } else if let Some(number) = staged_number(&name) {
            found.add_staged(disk, number)?;
        } else if let Some(number) = new_number(&name) {
            found.next_name = found.next_name.max(number + 1);
            found.add_spare(disk, name)?;
        } else if let Some(number) = unfinished_number(&name) {
            found.next_name = found.next_name.max(number + 1);
            found.leftovers.push(name);
        } else if name == KEY_UNFINISHED || is_unfinished(&name) {
            found.leftovers.push(name);
        } else if name != "lock" && name != KEY_NAME && !name.ends_with(".cut") {
            found.foreign.push(name);
        }
    }
    found.runs.runs.sort_unstable();
    found.runs.bases.sort_unstable();
    found.chain.sort_unstable_by_key(|begun| begun.segment.number);
    found.one_store();
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
        let whole = length.is_power_of_two() && length >= limits::SEGMENT_BYTES_MIN;
        let slot = of(Role::Begun).or(marked).or(sealed);
        let class = |slot: &Slot| {
            slot.length.is_power_of_two()
                && (limits::SEGMENT_BYTES_MIN..=SEGMENT_BYTES_END).contains(&slot.length)
        };
        let slot = slot.filter(class);
        if !whole || slot.is_some_and(|slot| slot.length != length) {
            self.damaged(slot.map_or(0, |slot| slot.first));
        }
        let length = slot.map_or(length, |slot| slot.length);
        let mut segment = Segment::prepared(number, length, file);
        let Some(mut slot) = slot else {
            if whole {
                self.blank.push(segment);
            }
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

    fn add_staged(&mut self, disk: &dyn Disk, number: u64) -> Result<()> {
        let name = staged_name(number);
        let failed =
            |error| Error::io(format!("cannot read {name} in {}", disk.describe()), &error);
        let length = disk.open(&name, false).and_then(|file| file.len());
        match length {
            // Nobody's, or given back, since the list was made; whoever counts on it finds it missing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            length => {
                self.staged.insert(number, length.map_err(failed)?);
            }
        }
        Ok(())
    }

    fn damaged(&mut self, from: u64) {
        let from = self.damage.map_or(from, |(known, _)| known.min(from));
        self.damage = Some((from, u64::MAX));
    }

    /// All segments must belong to one store: the one most of them belong to.
    fn one_store(&mut self) {
        let of = |begun: &Begun| (begun.slot.store, begun.slot.secret, begun.slot.blocks);
        let count = |id| self.chain.iter().filter(|begun| of(begun) == id).count();
        let Some(id) = self.chain.iter().map(of).max_by_key(|id| count(*id)) else { return };
        if count(id) < self.chain.len() {
            self.chain.retain(|begun| of(begun) == id);
            self.damaged(0);
        }
    }

    /// Opens the data key of an encrypted store, and shows what its segments' heads hide.
    pub fn unlock(&mut self, disk: &dyn Disk, password: Option<&Password>) -> Result<()> {
        let Some(newest) = self.chain.last().map(|begun| begun.slot) else { return Ok(()) };
        let refused = |why: &str| {
            let text = format!("cannot open {}: {why}", disk.describe());
            Err(Error::new(Code::BadPassword, text))
        };
        let keys = match (newest.blocks, password) {
            (false, None) => return Ok(()),
            (false, Some(_)) => return refused("a password was given, and it is not encrypted"),
            (true, None) => return refused("it is encrypted, and no password was given"),
            (true, Some(password)) => Keys::open(disk, newest.store, password)?,
        };
        self.show(Some(keys));
        Ok(())
    }

    /// Shows what the segments' heads hide, with the data key of an encrypted store.
    pub fn show(&mut self, keys: Option<Arc<Keys>>) {
        let Some(keys) = keys else { return };
        for begun in &mut self.chain {
            for slot in [Some(&mut begun.slot), begun.segment.slot.as_mut(), begun.sealed.as_mut()]
            {
                slot.into_iter().for_each(|slot| keys.veil(slot));
            }
            begun.segment.chain.store(begun.slot.chain, Ordering::Relaxed);
        }
        self.keys = Some(keys);
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
        let limit = begun.sealed.map_or(limit, |sealed| sealed.end.min(limit));
        self.chain.get(at + 1).map_or(limit, |next| next.slot.first.min(limit))
    }

    /// The file the last segment names as the next, which was never begun or lost its head.
    pub fn blank_successor(&self) -> Option<&Segment> {
        let successor = self.chain.last()?.sealed?.successor;
        self.blank.iter().find(|segment| segment.number == successor)
    }
}
