//! Segment files before and after their use: prepared ahead, kept in reserve, taken back.
//!
//! A file is prepared under the name `<n>.tmp`: allocated, its blocks written, synced; then it is called
//! `<n>.new`, so whatever is found under that name later is whole. It gets the number it will have by a rename
//! and a sync of the directory, before anything is written into it; so a file with a number always has its
//! full length, and a shorter one is damage. From the first roll on, two files of the
//! first class are kept back for records that free space (acknowledgements, purges, deletions), so that
//! consuming works on a full disk. A file given back becomes a spare when its size is still wanted, and is
//! removed otherwise.
//!
//! The *quota* bounds the bytes of all segment files, those that wait and staged ones included. What only puts gets seven eighths
//! of it, what puts and acknowledges all of it: so a handler that moves messages on in a full store comes to the
//! end of a segment, which is then given back. What only frees is never refused for the quota: it takes the
//! reserve first, and after that what the disk has.

use super::{Journal, Options, Segment, file_name};
use crate::disk::Disk;
use crate::error::{Code, Error, Result};
use crate::limits::{self, QUOTA_SEGMENTS};

/// What an append is for, and so what it may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Ordinary records.
    Ordinary,
    /// Ordinary records in one transaction with some that free space: at a quota they may go on for a while.
    Exchanging,
    /// Records that let space be given back; they may use the reserve.
    Freeing,
    /// The same, where the reserve is used up and nothing could be given back: only the disk bounds them.
    Beyond,
}

impl Space {
    /// Whether it may use the reserve.
    pub fn is_freeing(self) -> bool {
        matches!(self, Space::Freeing | Space::Beyond)
    }
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
    /// Bytes of all segment files of the store, in use or not, and of staged files.
    bytes: u64,
    /// Bytes that were missing when the quota last refused; 0 once there was room again.
    refused: u64,
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
    /// What is in use already is told to [`Spares::count`].
    pub fn found(
        (next_number, next_name): (u64, u64),
        files: Vec<(String, u64)>,
        ready: Option<Segment>,
        (length, rolled): (u64, bool),
    ) -> Spares {
        let bytes = ready.as_ref().map_or(0, |ready: &Segment| ready.length);
        let mut spares = Spares { ready, next_number, next_name, bytes, ..Spares::default() };
        for (name, bytes) in files {
            spares.bytes += bytes;
            let kept = rolled && bytes == length && spares.reserve.len() < RESERVE;
            let list = if kept { &mut spares.reserve } else { &mut spares.pool };
            list.push(Spare { name, length: bytes });
        }
        spares
    }

    /// Counts the bytes of segments in use, found at the open.
    pub fn count(&mut self, length: u64) {
        self.bytes += length;
    }

    /// Takes room for bytes of a staged file, within the quota.
    pub fn claim(&mut self, journal: &Journal, more: u64) -> Result<()> {
        let bound = journal.options.quota_for(Space::Ordinary);
        if self.bytes.saturating_add(more) > bound {
            self.refused = self.bytes.saturating_add(more) - bound;
            return Err(journal.over_quota(self.bytes, more));
        }
        self.bytes += more;
        self.refused = 0;
        Ok(())
    }

    /// Gives room of staged files back.
    pub fn unclaim(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Bytes of all segment files, and those that were missing when the quota last refused.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes, self.refused)
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
            if disk.remove(&extra.name).is_ok() {
                self.bytes = self.bytes.saturating_sub(extra.length);
            }
        }
    }

    /// The segment that becomes the tail next: prepared, named, durable as a name. It has `length` bytes where it must be
    /// made; one that is ready is taken from `least` bytes on, since making a larger one would take longer than it lasts.
    pub fn take(
        &mut self,
        journal: &Journal,
        (length, least): (u64, u64),
        space: Space,
    ) -> Result<Segment> {
        if let Some(ready) = self.ready.take() {
            if ready.length >= least {
                return Ok(ready);
            }
            self.pool.push(Spare { name: file_name(ready.number), length: ready.length });
        }
        let spare = match self.fill(journal, length, space) {
            Ok(spare) => spare,
            Err(error) if space.is_freeing() => self.take_reserve(length).ok_or(error)?,
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
            None => self.fill(journal, journal.options.segment_first, Space::Beyond)?,
        };
        self.named(journal, spare)
    }

    /// Takes back a segment that was not begun after all.
    pub fn untake(&mut self, segment: Segment) {
        self.ready = Some(segment);
    }

    /// Removes a file that is held for later, to make room on a full disk; false when there is none.
    pub fn shrink(&mut self, disk: &dyn Disk) -> bool {
        let Some(spare) = self.pool.pop() else { return false };
        let removed = disk.remove(&spare.name).is_ok();
        if removed {
            self.bytes = self.bytes.saturating_sub(spare.length);
        }
        removed
    }

    /// Prepares the next segment and the reserve; done ahead by the helper.
    pub fn prepare(&mut self, journal: &Journal, length: u64) -> Result<()> {
        self.keep_reserve(journal)?;
        if self.ready.is_none() {
            let spare = self.fill(journal, length, Space::Ordinary)?;
            let ready = self.named(journal, spare)?;
            journal.map_early(&ready);
            self.ready = Some(ready);
        }
        Ok(())
    }

    /// Fills up the reserve.
    pub fn keep_reserve(&mut self, journal: &Journal) -> Result<()> {
        let length = journal.options.segment_first;
        while self.reserve.len() < RESERVE {
            let spare = self.fill(journal, length, Space::Exchanging)?;
            self.reserve.push(spare);
        }
        Ok(())
    }

    /// Takes the file of a reclaimed segment back.
    pub fn give_back(&mut self, journal: &Journal, name: String, length: u64) -> Result<()> {
        let disk = &*journal.disk;
        let missing = self.reserve.len() < RESERVE && length == journal.options.segment_first;
        if !missing && self.pool.len() >= POOL {
            let removed = disk.remove(&name);
            removed.map_err(|error| Error::io(format!("cannot remove {name}"), &error))?;
            self.bytes = self.bytes.saturating_sub(length);
            return Ok(());
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

    /// A spare of at least `length` bytes, from the pool or made within the quota.
    fn fill(&mut self, journal: &Journal, length: u64, space: Space) -> Result<Spare> {
        let bound = journal.options.quota_for(space);
        let fits =
            |spare: &Spare| spare.length >= length && spare.length <= length.saturating_mul(4);
        if let Some(at) = self.pool.iter().position(fits) {
            return Ok(self.pool.swap_remove(at));
        }
        loop {
            match self.make_within(journal, length, bound) {
                Ok(spare) => return Ok(spare),
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

    fn make_within(&mut self, journal: &Journal, length: u64, bound: u64) -> Result<Spare> {
        if self.bytes.saturating_add(length) > bound {
            self.refused = self.bytes.saturating_add(length) - bound;
            return Err(journal.over_quota(self.bytes, length));
        }
        let name = self.new_name();
        let written = !journal.is_mapped();
        make(&*journal.disk, &name, length, written)?;
        if !written {
            // Cold pages only cost time.
            let _ = journal.warm(&name, length);
        }
        self.bytes += length;
        self.refused = 0;
        Ok(Spare { name, length })
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

/// Makes a file of `length` synced bytes under this name; they are `written`, or only reserved.
pub fn make(disk: &dyn Disk, name: &str, length: u64, written: bool) -> Result<()> {
    let unfinished = format!("{}{UNFINISHED}", name.trim_end_matches(".new"));
    let doing =
        |what: &str| format!("cannot {what} {unfinished} of {length} bytes in {}", disk.describe());
    let fill = || {
        let file = disk.create(&unfinished).map_err(|error| Error::io(doing("create"), &error))?;
        let made = if written { file.allocate(length) } else { file.reserve(length) };
        made.map_err(|error| Error::io(doing("allocate"), &error))?;
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
        if let Some((class, _)) = self.quota_classes() {
            length = length.min(class);
        }
        while length < need {
            length *= 4;
        }
        let largest =
            self.quota_classes().map_or(limits::SEGMENT_BYTES_MAX, |(_, largest)| largest);
        length.min(limits::SEGMENT_BYTES_MAX).min(largest)
    }

    /// The class a segment grows to by itself under the quota, and the largest that a transaction may ask for:
    /// three of these fit beside each other, which is what an open may have to read.
    fn quota_classes(&self) -> Option<(u64, u64)> {
        let class = |part: u64| {
            let bytes = (self.quota / part).max(self.segment_first);
            1_u64 << bytes.ilog2()
        };
        (self.quota > 0).then(|| (class(QUOTA_SEGMENTS), class(4)))
    }

    /// Bytes of the largest segment there can be.
    pub fn largest(&self) -> u64 {
        self.quota_classes().map_or(u64::MAX, |(_, largest)| largest).min(limits::SEGMENT_BYTES_MAX)
    }

    /// Bytes up to which all segment files together may grow for this.
    fn quota_for(&self, space: Space) -> u64 {
        match space {
            _ if self.quota == 0 => u64::MAX,
            Space::Beyond => u64::MAX,
            Space::Ordinary => self.quota / 8 * 7,
            Space::Exchanging | Space::Freeing => self.quota,
        }
    }
}

impl Journal {
    /// Bytes of all segment files, those that wait for their use included.
    pub fn file_bytes(&self) -> u64 {
        self.spares.lock().bytes().0
    }

    /// Bytes that were missing when the quota last refused, 0 while there is room.
    pub fn missing_bytes(&self) -> u64 {
        self.spares.lock().bytes().1
    }

    fn over_quota(&self, used: u64, more: u64) -> Error {
        let (store, quota) = (self.disk.describe(), self.options.quota);
        let text = format!("of its quota of {quota} bytes {used} are used");
        let full = Error::new(Code::Quota, text);
        let what = format!("no room for a segment of {more} bytes in {store}");
        Error::because(Code::NoSpace, what, &full)
    }
}
