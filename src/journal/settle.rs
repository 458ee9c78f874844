//! Making what a replay found durable, so that it may be believed.
//!
//! What lies behind the cut is left where it is, and set aside in a file `<offset>.cut` when it holds whole
//! frames. A new life makes sure it is never believed.
//!
//! When *attempted* in the lock page lies above what is known to be durable, a sync may have failed, and what
//! the page cache shows may not be on the disk. Then the frames from the segment that holds the first doubtful
//! byte on are copied into a fresh segment and synced there before its head is written; it supersedes the old
//! ones. Otherwise what was never synced is synced before it is believed. Either way *attempted* says so
//! first: should this sync fail, the next open does not trust the page cache.

use super::adopt::staged_name;
use super::format::frame_bytes;
use super::key::{Keys, veiled};
use super::prepare::make;
use super::recover::{Replay, Rest};
use super::replay::{Nobody, Walk};
use super::slot::{FRAMES_AT, Role, Slot};
use super::spare::new_name;
use super::{Segment, file_name};
use crate::disk::{Disk, Lock};
use crate::error::{Code, Error, Result};
use crate::sync::AtomicU64;
use std::sync::Arc;

impl Replay {
    /// Makes everything up to the cut durable.
    pub fn settle(&mut self, disk: &dyn Disk, lock: &dyn Lock) -> Result<()> {
        let end = self.walk.offset;
        for name in &self.found.leftovers {
            // It costs space only; the next open tries again.
            let _ = disk.remove(name);
        }
        for rest in &self.rests {
            set_aside(disk, rest)?;
        }
        if end > self.known {
            let doubtful = lock.attempted() > self.known && !sabotage!("page cache believed");
            lock.set_attempted(lock.attempted().max(end));
            if doubtful {
                self.copy_doubtful(disk)?;
            } else {
                self.sync_rest()?;
            }
        }
        lock.set_attempted(end);
        lock.set_done(end);
        for number in self.orphans() {
            // Only now: the frame that gave one back may have been no more than a page in a cache. One that stays
            // costs space, and its number is not used again.
            let _ = disk.remove(&staged_name(number));
        }
        Ok(())
    }

    fn sync_rest(&self) -> Result<()> {
        for at in self.from..=self.last {
            if self.found.limit(at) <= self.known {
                continue;
            }
            if sabotage!("believed before it is synced") {
                continue;
            }
            let segment = &self.found.chain[at].segment;
            let name = file_name(segment.number);
            let failed = |error| Error::io(format!("cannot sync {name}"), &error);
            segment.file.sync().map_err(failed)?;
        }
        Ok(())
    }

    /// Copies the frames from the first doubtful segment on into a fresh one, which supersedes them.
    fn copy_doubtful(&mut self, disk: &dyn Disk) -> Result<()> {
        let holds = |at: &usize| self.found.chain[*at].slot.first <= self.known;
        let first = (self.from..=self.last).rev().find(holds).unwrap_or(self.from);
        let base = self.found.chain[first].slot;
        let mut frames = Vec::new();
        for at in first..=self.last {
            let segment = &self.found.chain[at].segment;
            let to = self.found.limit(at).min(self.walk.offset);
            let failed = |error| Error::io(format!("cannot read {}", disk.describe()), &error);
            let start = frames.len();
            frames.resize(start + (to - segment.first) as usize, 0);
            let read = segment.file.read_at(&mut frames[start..], FRAMES_AT).map_err(failed)?;
            frames.truncate(start + read);
        }
        let slack = 2 * frame_bytes(self.walk.index.bytes_with(64)) as u64;
        let need = FRAMES_AT + 2 * frames.len() as u64 + slack;
        let fresh = self.fresh_segment(disk, need.next_power_of_two().max(base.length))?;
        let name = file_name(fresh.number);
        let failed = |error| Error::io(format!("cannot write {name} anew"), &error);
        fresh.file.write_at(&frames, FRAMES_AT).map_err(failed)?;
        fresh.file.sync().map_err(failed)?;
        let slot = Slot { role: Role::Begun, number: fresh.number, length: fresh.length, ..base };
        let keys = self.found.keys.clone();
        let fresh = activate(fresh, slot, keys.as_deref()).map_err(failed)?;
        // The walk through the copy finds where its messages stand, and that it is what was read before.
        let mut walk = Walk::begin(&slot, keys);
        walk.segment(&fresh, self.walk.offset, slot.secret, &mut Nobody)?;
        if (walk.offset, walk.next) != (self.walk.offset, self.walk.next) {
            let text = format!("{} changed while it was opened", disk.describe());
            return Err(Error::new(Code::Corrupt, text).over(walk.offset, self.walk.offset));
        }
        self.walk.index = walk.index;
        if first != self.last {
            // The segment the frozen state belongs to is a part of the copy now.
            self.freeze = None;
        }
        self.retire(first);
        self.fresh = Some(fresh);
        Ok(())
    }

    /// Segments from `first` on are superseded: their files can serve again.
    fn retire(&mut self, first: usize) {
        self.table = self.table_before(first);
        for old in self.found.chain.split_off(first) {
            self.found.spares.push((file_name(old.segment.number), old.segment.length));
        }
        (self.from, self.last) = (first, first);
    }

    fn fresh_segment(&mut self, disk: &dyn Disk, length: u64) -> Result<Segment> {
        let number = self.found.next_number;
        let to = file_name(number);
        let failed = |error| Error::io(format!("cannot prepare {to}"), &error);
        let name = new_name(self.found.next_name);
        self.found.next_name += 1;
        loop {
            match make(disk, &name, length) {
                Ok(()) => break,
                // On a full disk a file that waits for its use makes room.
                Err(error) if error.code() == Code::NoSpace => {
                    let Some((spare, _)) = self.found.spares.pop() else { return Err(error) };
                    disk.remove(&spare).map_err(failed)?;
                }
                Err(error) => return Err(error),
            }
        }
        disk.rename(&name, &to).map_err(failed)?;
        disk.sync_dir().map_err(failed)?;
        self.found.next_number += 1;
        let file = disk.open(&to, true).map_err(failed)?;
        Ok(Segment::prepared(number, length, file))
    }
}

/// Keeps whole frames from behind the cut in a file of their own. On a full disk they are only counted: they
/// are of a life that never confirmed them.
fn set_aside(disk: &dyn Disk, rest: &Rest) -> Result<()> {
    let name = format!("{:016x}.cut", rest.from);
    let keep = || {
        if disk.list()?.contains(&name) {
            return Ok(());
        }
        let mut bytes = vec![0; (rest.behind.last - rest.from) as usize];
        let read = rest.segment.file.read_at(&mut bytes, rest.segment.at(rest.from))?;
        let file = disk.create(&name)?;
        file.write_at(&bytes[..read], 0)?;
        file.sync()?;
        disk.sync_dir()
    };
    let Err(error) = keep() else { return Ok(()) };
    let failed = Error::io(format!("cannot set {name} aside"), &error);
    if failed.code() != Code::NoSpace {
        return Err(failed);
    }
    // A part of it is of no use, and the disk is full.
    let _ = disk.remove(&name);
    Ok(())
}

/// Writes the head of a fresh segment whose frames are durable, and makes it durable.
fn activate(mut segment: Segment, slot: Slot, keys: Option<&Keys>) -> std::io::Result<Segment> {
    segment.first = slot.first;
    segment.began_ms = slot.began_ms;
    segment.chain = Arc::new(AtomicU64::new(slot.chain));
    segment.slot = Some(slot);
    segment.file.write_at(&veiled(slot, keys).encode(), slot.place())?;
    segment.file.sync()?;
    Ok(segment)
}
