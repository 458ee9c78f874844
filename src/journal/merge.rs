//! Merging state runs into a base, piece by piece.
//!
//! A merge reads files that never change and writes one that has no name before it is whole, so it may rest at any group.
//! The helper does it in one go; without a helper each roll does a piece, so that no commit pays for the whole state: a
//! few times what a run has, and as much as it takes to be done before as many runs again are there as began it.
//!
//! Promises: a merge that fails, or that makes way for what is needed more on a full disk, leaves nothing behind; the next
//! one begins anew.

use super::Journal;
use super::rows::{Ended, Group, Merged};
use super::run::{Room, base_name};
use super::slot::{Role, Slot};
use super::sorted::{Out, RowFile, unfinished};
use crate::error::{Code, Error, Result};
use crate::limits;
use std::sync::Arc;

/// Groups of one file, in order.
type Groups = Box<dyn Iterator<Item = Result<Group>> + Send>;

/// A piece has so many times the bytes of a run: the merge must be faster than what it merges grows.
const RUNS_A_PIECE: u64 = 2;

/// A merge on its way.
pub struct Merge {
    slot: Slot,
    /// What it is made of, the newest first.
    files: Vec<Arc<RowFile>>,
    /// The base before, where there is one.
    older: Option<Arc<RowFile>>,
    out: Out,
    rows: Merged<Groups, Error>,
    ended: Ended,
    /// Whether it is in the first part of the files.
    cold: bool,
    /// Bytes of a piece.
    piece: u64,
}

impl Merge {
    /// The groups of all files, of their first part or of their second.
    fn groups(files: &[Arc<RowFile>], cold: bool) -> Merged<Groups, Error> {
        let of = |file: &Arc<RowFile>| -> Groups {
            // A base holds what is so, and not what changed when.
            let settled =
                |group: Result<Group>| group.map(|group| Group { carried: false, ..group });
            match cold {
                true => Box::new(file.cold_groups().map(settled)),
                false => Box::new(file.warm_groups().map(settled)),
            }
        };
        Merged::of(files.iter().map(of).collect())
    }
}

impl Journal {
    /// Merges the runs into a new base where they are many, or more than the last one; returns whether it did.
    pub(super) fn merge_runs(&self) -> Result<bool> {
        let mut under_way = self.merging.lock();
        self.go_on_merging(&mut under_way, u64::MAX)
    }

    /// Does a piece of that. It returns whether a base is whole with it.
    pub(super) fn merge_a_piece(&self) -> Result<bool> {
        let mut under_way = self.merging.lock();
        self.go_on_merging(&mut under_way, 0)
    }

    /// Gives up the merge that is on its way; the caller has the lock of it.
    pub(super) fn give_up_merge(&self, under_way: &mut Option<Merge>) {
        if let Some(merge) = under_way.take() {
            // A part of a file is of no use.
            let _ = self.disk.remove(&unfinished(&base_name(merge.slot.number)));
        }
    }

    /// Goes on for so many bytes, or for a piece where that is more.
    fn go_on_merging(&self, under_way: &mut Option<Merge>, bytes: u64) -> Result<bool> {
        if under_way.is_none() {
            *under_way = self.begin_merge()?;
        }
        let Some(merge) = under_way else { return Ok(false) };
        let bytes = bytes.max(merge.piece);
        let whole = match self.merge_bytes(merge, bytes) {
            Ok(whole) => whole,
            Err(error) => {
                self.give_up_merge(under_way);
                if error.code() == Code::NoSpace {
                    // What only stands in for others makes room for the next try, and then a file that waits for its use.
                    self.drop_files(Room::Scarce);
                    self.spares.lock().shrink(&*self.disk);
                }
                return Err(error);
            }
        };
        let Some(merge) = under_way.take_if(|_| whole) else { return Ok(false) };
        let Merge { slot, out, older, .. } = merge;
        let finished = out.finish(&*self.disk, self.keys.as_ref());
        let base = finished.map_err(|error| {
            let _ = self.disk.remove(&unfinished(&base_name(slot.number)));
            self.unwritten(&base_name(slot.number), &error)
        })?;
        let base = match older {
            Some(older) if sabotage!("older base kept as the newest") => older,
            _ => Arc::new(base),
        };
        self.run.lock().merged(&slot, base);
        self.drop_files(Room::Enough);
        Ok(true)
    }

    /// Begins one where the runs are many, or more than the last base.
    fn begin_merge(&self) -> Result<Option<Merge>> {
        let files = self.run.lock().files().to_vec();
        let runs = files.iter().take_while(|file| !file.is_base());
        let (count, bytes) =
            runs.fold((0, 0), |(count, bytes), run| (count + 1, bytes + run.bytes()));
        let older = files.get(count).cloned();
        let base = older.as_ref().map_or(0, |base| base.bytes());
        let many = count >= limits::RUNS_MAX;
        // In a small store they are soon a good part of it.
        let least = limits::RUN_BYTES_MIN.min(self.options.segment_first / 4);
        if count == 0 || !(many || bytes > base.max(least)) {
            return Ok(None);
        }
        let slot = Slot { role: Role::Base, run: 0, successor: 0, ..files[0].slot };
        let cold = files.iter().map(|file| file.cold).sum();
        let all = files.iter().map(|file| file.bytes()).sum::<u64>();
        let name = base_name(slot.number);
        let out = Out::begin((&*self.disk, &name), slot, self.keys.as_ref(), (cold, all));
        let out = out.map_err(|error| self.unwritten(&name, &error))?;
        let (newest, rows) = (files[0].bytes(), Merge::groups(&files, true));
        let piece = (RUNS_A_PIECE * newest).max(all / limits::RUNS_MAX as u64);
        let piece = piece.max(least);
        let ended = Ended::default();
        Ok(Some(Merge { slot, files, older, out, rows, ended, cold: true, piece }))
    }

    /// Merges so many bytes of rows, at least one group; true where nothing is left.
    fn merge_bytes(&self, merge: &mut Merge, bytes: u64) -> Result<bool> {
        let name = base_name(merge.slot.number);
        let failed = |error| self.unwritten(&name, &error);
        let mut left = bytes;
        while left > 0 {
            let Some((group, read)) = merge.rows.next_group()? else {
                if !merge.cold {
                    return Ok(true);
                }
                merge.out.begin_second(&[]).map_err(failed)?;
                (merge.cold, merge.rows) = (false, Merge::groups(&merge.files, false));
                continue;
            };
            left = left.saturating_sub(read);
            let lost = group.key.ends_with(b"7") && sabotage!("row lost in a merge");
            // Behind a base is nothing that a row could be gone from.
            if (merge.cold && merge.ended.has(&group)) || group.is_gone() || lost {
                continue;
            }
            match merge.cold {
                true => merge.out.cold(&group).map_err(failed)?,
                false => merge.out.group(&group).map_err(failed)?,
            }
        }
        Ok(false)
    }
}
