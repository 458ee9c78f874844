//! Segment files before and after their use: which are ready, kept in reserve, taken back.
//!
//! How they are [made](super::prepare) is told there. From the first roll on, two files of the
//! first class are kept back for records that free space (acknowledgements, purges, deletions), so that
//! consuming works on a full disk. A file given back becomes a spare when its size is still wanted, and is
//! removed otherwise.
//!
//! The *quota* bounds the bytes of all segment files, those that wait and staged ones included. What only puts gets seven eighths
//! of it, what puts and acknowledges all of it: so a handler that moves messages on in a full store comes to the
//! end of a segment, which is then given back. What only frees is never refused for the quota: it takes the
//! reserve first, and after that what the disk has.

use super::prepare::UNFINISHED;
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

/// A file that has its bytes, and no number yet.
pub struct Spare {
    pub name: String,
    pub length: u64,
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
        self.claim_for(journal, more, Space::Ordinary)
    }

    /// Takes room for bytes of a file, within the quota.
    pub fn claim_for(&mut self, journal: &Journal, more: u64, space: Space) -> Result<()> {
        let bound = journal.options.quota_for(space);
        if self.bytes.saturating_add(more) > bound {
            self.refused = self.bytes.saturating_add(more) - bound;
            return Err(journal.over_quota(self.bytes, more));
        }
        self.bytes += more;
        self.refused = 0;
        Ok(())
    }

    /// Gives room of files back.
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

    /// Whether the next segment is prepared.
    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// The segment that is ready, where it has `least` bytes.
    pub fn take_ready(&mut self, least: u64) -> Option<Segment> {
        let ready = self.ready.take()?;
        if ready.length >= least {
            return Some(ready);
        }
        self.pool.push(Spare { name: file_name(ready.number), length: ready.length });
        None
    }

    /// A file that is held for later and whose length fits.
    pub fn take_held(&mut self, fits: &dyn Fn(u64) -> bool) -> Option<Spare> {
        let at = self.pool.iter().position(|spare| fits(spare.length))?;
        Some(self.pool.swap_remove(at))
    }

    /// Any file that lies about.
    pub fn take_any(&mut self) -> Option<Spare> {
        self.pool.pop().or_else(|| self.reserve.pop())
    }

    /// A file of the reserve that has `length` bytes.
    pub fn take_reserve(&mut self, length: u64) -> Option<Spare> {
        let at = self.reserve.iter().position(|spare| spare.length >= length)?;
        Some(self.reserve.swap_remove(at))
    }

    /// Whether the reserve is not full.
    pub fn wants_reserve(&self) -> bool {
        self.reserve.len() < RESERVE
    }

    /// Keeps a file back.
    pub fn add_reserve(&mut self, spare: Spare) {
        self.reserve.push(spare);
    }

    /// The number of the next segment.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Tells that a file has that number now.
    pub fn count_number(&mut self) {
        self.next_number += 1;
    }

    /// Takes a segment that is ready: one just prepared, or one that was not begun after all.
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

    /// The name of the next file that is prepared.
    pub fn new_name(&mut self) -> String {
        self.next_name += 1;
        new_name(self.next_name - 1)
    }
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
