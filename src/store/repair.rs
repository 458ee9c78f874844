//! Making a sound store of what is left of a damaged one.
//!
//! Damage in what an open replays ends the journal: everything from the first bad frame on is cut off. An older
//! segment in which anything is damaged is given up as a whole, and so is a staged transaction; the journal says so
//! like of one that was given back. A prepared one is rolled back. Nothing is deleted: damaged files, and those behind the cut, stay under names that end in
//! `.damaged`. The new life begins in a fresh segment and a new epoch, since positions were lost.
//!
//! While a repair is under way a file `repairing` is there, and the directory is not opened; after a stop it is
//! begun again.

use super::Core;
use super::backup::{LOCK, transfer};
use super::open::Options;
use super::state::State;
use crate::disk::Disk;
use crate::error::{Code, Error, Result};
use crate::journal::{Journal, file_name, file_number, staged_name, staged_number};
use std::sync::Arc;

/// The name of the file that says a repair has not come to its end.
pub const REPAIRING: &str = "repairing";
/// How the name of a file ends that was taken out of the way.
const DAMAGED: &str = "damaged";

/// What is damaged, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairInfo {
    /// Where the journal is cut: from the first bad byte to the last that was known to be durable, as journal
    /// offsets.
    pub cut: Option<(u64, u64)>,
    /// Journal offsets of a file that is missing or too short.
    pub hole: Option<(u64, u64)>,
    /// Sequence of the last transaction before the cut; everything after it is lost.
    pub last: u64,
    /// Transactions of older segments that are given up: first and last sequence of each.
    pub segments: Vec<(u64, u64)>,
    /// Prepared transactions that cannot be committed any more and are rolled back: a file of each is damaged.
    pub prepared: u64,
    /// State runs that are damaged; an open does without them, and nothing is lost with one.
    pub runs: u64,
    /// Files that were kept under another name; empty where nothing was changed.
    pub aside: Vec<String>,
}

impl RepairInfo {
    /// Whether anything is damaged.
    pub fn is_damaged(&self) -> bool {
        let files = self.runs + self.prepared > 0;
        self.cut.is_some() || self.hole.is_some() || files || !self.segments.is_empty()
    }
}

/// What was found, and what is to be done about it.
struct Plan {
    info: RepairInfo,
    /// Old segments to be given up.
    bad: Vec<u64>,
    /// Staged files of transactions to be given up.
    staged: Vec<u64>,
    /// Files to be renamed.
    rename: Vec<String>,
    /// Files to be copied, since what is before the cut stays in them.
    copy: Vec<String>,
    /// Files that are too short, and the bytes they need.
    short: Vec<(String, u64)>,
}

impl Plan {
    fn make(disk: &Arc<dyn Disk>, options: &Options) -> Result<Plan> {
        let password = options.password.as_ref();
        let (journal, recovered, _) = Journal::look::<State>(disk, password)?;
        let damaged = journal.damaged_segments();
        let last = recovered.sequence;
        // A cut is where the walk ended; other damage is a file that is missing or too short.
        let ended = |damage: &(u64, u64)| damage.0 >= journal.durable_offset();
        let (cut, hole) = match recovered.corrupt {
            Some(damage) if ended(&damage) => (Some(damage), None),
            other => (None, other),
        };
        let mut info = RepairInfo { cut, hole, last, ..RepairInfo::default() };
        let mut plan = Plan {
            bad: damaged.iter().map(|(number, ..)| *number).collect(),
            info: RepairInfo::default(),
            staged: Vec::new(),
            rename: Vec::new(),
            copy: Vec::new(),
            short: Vec::new(),
        };
        info.segments = damaged.iter().map(|(_, lost, _)| *lost).collect();
        for (adopted, _) in journal.damaged_adopted() {
            match adopted.is_prepared() {
                true => info.prepared += 1,
                false => info.segments.push((adopted.transaction, adopted.transaction)),
            }
            plan.staged.extend(adopted.body.files.iter().map(|file| file.number));
        }
        plan.info = info;
        plan.files(&**disk, &journal)?;
        Ok(plan)
    }

    fn files(&mut self, disk: &dyn Disk, journal: &Journal) -> Result<()> {
        let failed = |error| Error::io(format!("cannot read {}", disk.describe()), &error);
        let places = journal.segment_places();
        let end = journal.durable_offset();
        let names = disk.list().map_err(failed)?;
        let with_files = [journal.adopted(), journal.prepared()].concat();
        let kept: Vec<u64> =
            with_files.iter().flat_map(|one| &one.body.files).map(|file| file.number).collect();
        for name in names.iter().filter_map(|name| staged_number(name)) {
            // Behind a cut may stand who adopted it.
            let behind = self.info.cut.is_some() && !kept.contains(&name);
            if behind || self.staged.contains(&name) {
                self.rename.push(staged_name(name));
            }
        }
        for name in &names {
            let Some(number) = file_number(name) else { continue };
            let place = places.iter().find(|place| place.0 == number);
            let behind = place.is_none_or(|(_, first, _)| *first >= end && end > 0);
            if self.bad.contains(&number) || (self.info.cut.is_some() && behind) {
                self.rename.push(name.clone());
            } else if let Some((_, _, length)) = place {
                let there = disk.open(name, false).and_then(|file| file.len()).map_err(failed)?;
                if there < *length {
                    self.short.push((name.clone(), *length));
                }
            }
        }
        if let Some((number, ..)) = places.iter().rfind(|place| place.1 < end.max(1))
            && self.info.cut.is_some()
            && !self.bad.contains(number)
        {
            self.copy.push(file_name(*number));
        }
        let runs = journal.runs_to_drop(end)?;
        self.info.runs = runs.len() as u64;
        self.rename.extend(runs);
        Ok(())
    }

    fn carry_out(&mut self, disk: &dyn Disk) -> std::io::Result<()> {
        let names = disk.list()?;
        if !names.iter().any(|name| name == REPAIRING) {
            disk.create(REPAIRING)?.sync()?;
            disk.sync_dir()?;
        }
        let free = |name: &str| {
            let tried = (0..).map(|n| format!("{name}.{n}.{DAMAGED}"));
            tried.into_iter().find(|to| !names.contains(to)).unwrap_or_default()
        };
        for name in &self.copy {
            let (from, to) = (disk.open(name, false)?, free(name));
            let file = disk.create(&to)?;
            transfer(&*from, &*file, &[], from.len()?)?;
            file.sync()?;
            self.info.aside.push(to);
        }
        for (name, length) in &self.short {
            let file = disk.open(name, true)?;
            file.allocate(*length)?;
            file.sync()?;
        }
        for name in &self.rename {
            let to = free(name);
            disk.rename(name, &to)?;
            self.info.aside.push(to);
        }
        disk.sync_dir()
    }
}

/// Segments the journal counts on and the directory has not.
fn missing(core: &Core) -> Result<Vec<u64>> {
    let disk = core.journal.disk();
    let failed = |error| Error::io(format!("cannot list {}", disk.describe()), &error);
    let names = disk.list().map_err(failed)?;
    let mut numbers: Vec<u64> = core.journal.segments().iter().map(|row| row.0).collect();
    numbers.retain(|number| !names.contains(&file_name(*number)));
    Ok(numbers)
}

/// Gives up adopted transactions of which the directory has not all files, and rolls back such prepared ones.
fn give_up_without_files(core: &Core) -> Result<()> {
    let disk = core.journal.disk();
    let failed = |error| Error::io(format!("cannot list {}", disk.describe()), &error);
    let names = disk.list().map_err(failed)?;
    let there = |number: u64| names.contains(&staged_name(number));
    let mut adopted = core.journal.adopted();
    adopted.retain(|one| !one.body.files.iter().all(|file| there(file.number)));
    let lost: Vec<u64> = adopted.iter().map(|one| one.transaction).collect();
    core.journal.write_off_adopted(&lost)?;
    core.give_up_prepared(&|number| !there(number))
}

/// Says what is damaged; with `accept_loss` makes a sound store of what is left.
pub fn repair(disk: Arc<dyn Disk>, options: &Options, accept_loss: bool) -> Result<RepairInfo> {
    options.check()?;
    let store = disk.describe();
    let failed = |error| Error::io(format!("cannot repair {store}"), &error);
    let names = disk.list().map_err(failed)?;
    let again = names.iter().any(|name| name == REPAIRING);
    // Who only wants to know changes nothing, not even the owner in the lock file.
    let lock = accept_loss.then(|| disk.lock().map_err(|error| error.told(&store, "is in use")));
    let lock = lock.transpose()?;
    let mut plan = Plan::make(&disk, options).map_err(|error| {
        let what = format!("cannot repair {store}");
        Error::because(error.code(), what, &error)
    })?;
    if !accept_loss || !(plan.info.is_damaged() || again) {
        return Ok(plan.info);
    }
    plan.carry_out(&*disk).map_err(failed)?;
    // Its words say how far the journal reached that was cut, and a power cut would bring them back.
    disk.remove(LOCK).and_then(|()| disk.sync_dir()).map_err(failed)?;
    drop(lock);
    let opened = Core::open_repaired(disk.clone(), options)?;
    let core = &opened.core;
    core.journal.write_off(&missing(core)?)?;
    give_up_without_files(core)?;
    core.journal.check(&mut |_| Ok(()))?;
    core.close()?;
    drop(opened);
    disk.remove(REPAIRING).and_then(|()| disk.sync_dir()).map_err(failed)?;
    // What is sound now must look so to everybody.
    let (_, recovered, _) = Journal::look::<State>(&disk, options.password.as_ref())?;
    match recovered.corrupt {
        None => Ok(plan.info),
        Some((from, to)) => {
            let text = format!("{store} is still damaged from {from} to {to}: restore a backup");
            Err(Error::new(Code::Corrupt, text).over(from, to))
        }
    }
}
