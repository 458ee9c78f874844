//! Segment files before and after their use: prepared ahead, kept in reserve, taken back.
//!
//! A file is prepared under the name `<n>.tmp`: allocated, its blocks written, synced; then it is called
//! `<n>.new`, so whatever is found under that name later is whole. It gets the number it will have by a rename
//! and a sync of the directory, before anything is written into it; so a file with a number always has its
//! full length, and a shorter one is damage. From the first roll on, two files of the
//! first class are kept back for records that free space (acknowledgements, purges, deletions), so that
//! consuming works on a full disk. A file given back becomes a spare when its size is still wanted, and is
//! removed otherwise.

use super::{Journal, Options, Segment, file_name};
use crate::disk::Disk;
use crate::error::{Code, Error, Result};
use crate::limits;

/// What an append is for, and so what it may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Ordinary records.
    Ordinary,
    /// Records that let space be given back; they may use the reserve.
    Freeing,
}

struct Spare {
    name: String,
    length: u64,
}

/// The files that wait for their use.
#[derive(Default)]
pub struct Spares {
    ready: Option<Segment>,
    pool: Vec<Spare>,
    reserve: Vec<Spare>,
    next_number: u64,
    next_name: u64,
}

/// Files kept back for records that free space.
const RESERVE: usize = 2;
/// Spares kept for the next preparations; more are removed.
const POOL: usize = 2;

/// How the name of a file ends that is not prepared yet.
const UNFINISHED: &str = ".tmp";

impl Spares {
    /// Starts with what an open found: files that can serve again, their names and lengths, and the next free
    /// numbers of a segment and of a name. `ready` is a file that has its number already. With `rolled`, the reserve is filled first.
    pub fn found(
        (next_number, next_name): (u64, u64),
        files: Vec<(String, u64)>,
        ready: Option<Segment>,
        (length, rolled): (u64, bool),
    ) -> Spares {
        let mut spares = Spares { ready, next_number, next_name, ..Spares::default() };
        for (name, bytes) in files {
            let kept = rolled && bytes == length && spares.reserve.len() < RESERVE;
            let list = if kept { &mut spares.reserve } else { &mut spares.pool };
            list.push(Spare { name, length: bytes });
        }
        spares
    }

    /// How many are prepared, and how many are kept back.
    pub fn counts(&self) -> (usize, usize) {
        (usize::from(self.ready.is_some()) + self.pool.len(), self.reserve.len())
    }

    /// Gives files that hold segments nobody counts on any more names that say so, and removes what is too
    /// many. The segments that took their place must be durable.
    pub fn disown(&mut self, disk: &dyn Disk) {
        for at in 0..self.reserve.len() + self.pool.len() {
            let reserved = self.reserve.len();
            let held = if at < reserved { &self.reserve[at] } else { &self.pool[at - reserved] };
            if new_number(&held.name).is_some() {
                continue;
            }
            let (from, to) = (held.name.clone(), self.new_name());
            // A name that stays is found, and judged in the same way, by the next open.
            if disk.rename(&from, &to).is_ok() {
                let held = if at < reserved {
                    &mut self.reserve[at]
                } else {
                    &mut self.pool[at - reserved]
                };
                held.name = to;
            }
        }
        while self.pool.len() > POOL {
            let extra = self.pool.remove(0);
            // One too many costs space only.
            let _ = disk.remove(&extra.name);
        }
    }

    /// The segment that becomes the tail next: prepared, named, durable as a name.
    pub fn take(&mut self, journal: &Journal, length: u64, space: Space) -> Result<Segment> {
        if let Some(ready) = self.ready.take() {
            if ready.length >= length {
                return Ok(ready);
            }
            self.pool.push(Spare { name: file_name(ready.number), length: ready.length });
        }
        let spare = match self.fill(journal, length) {
            Ok(spare) => spare,
            Err(error) if space == Space::Freeing => self.take_reserve(length).ok_or(error)?,
            Err(error) => return Err(error),
        };
        self.named(journal, spare)
    }

    /// A segment of any length to go on with at an open: one that lies about, or a new one.
    pub fn take_any(&mut self, journal: &Journal) -> Result<Segment> {
        if let Some(ready) = self.ready.take() {
            return Ok(ready);
        }
        let spare = match self.pool.pop().or_else(|| self.reserve.pop()) {
            Some(spare) => spare,
            None => self.fill(journal, journal.options.segment_first)?,
        };
        self.named(journal, spare)
    }

    /// Takes back a segment that was not begun after all.
    pub fn untake(&mut self, segment: Segment) {
        self.ready = Some(segment);
    }

    /// Removes a file that is held for later, to make room on a full disk; false when there is none.
    pub fn shrink(&mut self, disk: &dyn Disk) -> bool {
        self.pool.pop().is_some_and(|spare| disk.remove(&spare.name).is_ok())
    }

    /// Prepares the next segment and the reserve; done ahead by the helper.
    pub fn prepare(&mut self, journal: &Journal, length: u64) -> Result<()> {
        self.keep_reserve(journal)?;
        if self.ready.is_none() {
            let spare = self.fill(journal, length)?;
            self.ready = Some(self.named(journal, spare)?);
        }
        Ok(())
    }

    /// Fills up the reserve.
    pub fn keep_reserve(&mut self, journal: &Journal) -> Result<()> {
        let length = journal.options.segment_first;
        while self.reserve.len() < RESERVE {
            let spare = self.fill(journal, length)?;
            self.reserve.push(spare);
        }
        Ok(())
    }

    /// Takes the file of a reclaimed segment back.
    pub fn give_back(&mut self, journal: &Journal, name: String, length: u64) -> Result<()> {
        let disk = &*journal.disk;
        let missing = self.reserve.len() < RESERVE && length == journal.options.segment_first;
        if !missing && self.pool.len() >= POOL {
            return disk
                .remove(&name)
                .map_err(|error| Error::io(format!("cannot remove {name}"), &error));
        }
        let to = self.new_name();
        disk.rename(&name, &to)
            .map_err(|error| Error::io(format!("cannot rename {name}"), &error))?;
        let list = if missing { &mut self.reserve } else { &mut self.pool };
        list.push(Spare { name: to, length });
        Ok(())
    }

    fn new_name(&mut self) -> String {
        self.next_name += 1;
        new_name(self.next_name - 1)
    }

    fn take_reserve(&mut self, length: u64) -> Option<Spare> {
        let at = self.reserve.iter().position(|spare| spare.length >= length)?;
        Some(self.reserve.swap_remove(at))
    }

    /// A spare of at least `length` bytes, from the pool or made.
    fn fill(&mut self, journal: &Journal, length: u64) -> Result<Spare> {
        let fits =
            |spare: &Spare| spare.length >= length && spare.length <= length.saturating_mul(4);
        if let Some(at) = self.pool.iter().position(fits) {
            return Ok(self.pool.swap_remove(at));
        }
        loop {
            let name = self.new_name();
            match make(&*journal.disk, &name, length) {
                Ok(()) => return Ok(Spare { name, length }),
                Err(error) if error.code() != Code::NoSpace => return Err(error),
                Err(error) => {
                    // On a full disk a file that is too large will do, and one too small makes room.
                    if let Some(at) = self.pool.iter().position(|spare| spare.length >= length) {
                        return Ok(self.pool.swap_remove(at));
                    }
                    if !self.shrink(&*journal.disk) {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn named(&mut self, journal: &Journal, spare: Spare) -> Result<Segment> {
        let number = self.next_number;
        let to = file_name(number);
        let disk = &*journal.disk;
        let doing = || format!("cannot prepare segment {to} in {}", disk.describe());
        disk.rename(&spare.name, &to).map_err(|error| Error::io(doing(), &error))?;
        self.next_number += 1;
        if !sabotage!("directory not synced") {
            disk.sync_dir().map_err(|error| Error::io(doing(), &error))?;
        }
        let file = disk.open(&to, true).map_err(|error| Error::io(doing(), &error))?;
        Ok(Segment::prepared(number, spare.length, file))
    }
}

/// Makes a file of `length` written, synced bytes under this name.
pub fn make(disk: &dyn Disk, name: &str, length: u64) -> Result<()> {
    let unfinished = format!("{}{UNFINISHED}", name.trim_end_matches(".new"));
    let doing =
        |what: &str| format!("cannot {what} {unfinished} of {length} bytes in {}", disk.describe());
    let fill = || {
        let file = disk.create(&unfinished).map_err(|error| Error::io(doing("create"), &error))?;
        file.allocate(length).map_err(|error| Error::io(doing("allocate"), &error))?;
        file.sync().map_err(|error| Error::io(doing("sync"), &error))?;
        let renamed = disk.rename(&unfinished, name);
        renamed.map_err(|error| Error::io(doing("finish"), &error))
    };
    fill().inspect_err(|_| {
        // Whatever is left of it is no data; a later open removes it when this fails, too.
        let _ = disk.remove(&unfinished);
    })
}

/// The name of a prepared file.
pub fn new_name(number: u64) -> String {
    format!("{number:016x}.new")
}

/// The number in the name of a prepared file.
pub fn new_number(name: &str) -> Option<u64> {
    number_in(name.strip_suffix(".new")?)
}

/// The number in the name of a file whose preparation was interrupted.
pub fn unfinished_number(name: &str) -> Option<u64> {
    number_in(name.strip_suffix(UNFINISHED)?)
}

fn number_in(hex: &str) -> Option<u64> {
    let number = (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok())?;
    number.filter(|number| *number < u64::MAX)
}

impl Options {
    /// The class of the next segment: four times the last when that filled within two seconds.
    pub fn next_length(&self, last: u64, filled_ms: u64, need: u64) -> u64 {
        let mut length = last.clamp(self.segment_first, self.segment_max);
        if filled_ms < 2_000 {
            length = (length * 4).min(self.segment_max);
        }
        while length < need {
            length *= 4;
        }
        length.min(limits::SEGMENT_BYTES_MAX)
    }
}
