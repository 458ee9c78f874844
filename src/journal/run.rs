//! State runs: the state of a store as it is at the first frame of a segment, as what changed since the run before.
//!
//! At a roll the rows that changed are frozen; the helper, or the next roll, writes them as the run of the new
//! segment (`sorted` has the bytes). So what a roll costs does not grow with the state, and neither does memory: rows
//! of cold sections, of which there may be any number, are looked for in the files. Runs are merged into a *base*, the
//! whole state at the place of a run, when they are many or have more bytes than the last base, see `merge`.
//!
//! A run repeats, as carried, the rows that were new in the run before it. So the state at a run is its own rows and
//! the state at any base or run between the one it reaches back to and itself; where one file is damaged, another takes
//! its place. The newest two bases are kept, all runs behind the older of them, and the newest two runs; on a full disk
//! what of these only stands in for others makes room for the next run, without which nothing could be given back. An open
//! begins with the newest run that is whole, and reads of the others only the sections that are kept in memory.
//!
//! The journal's own rows are whole in every run. Table 0: the segments before it, and where moved messages stand
//! (`moved`), told apart by the length of the row; table 4,294,967,295: the staged transactions that have files, see
//! `adopt`. A base has none of them.

use super::Journal;
use super::adopt::{Adopted, Adoptions};
use super::filter::hash_of;
use super::format::u64_at;
use super::key::Keys;
use super::moved::{self, Moved, row_of};
use super::prepare::UNFINISHED;
use super::rows::{Ended, GONE, Group, Merged, Rows};
use super::slot::{Role, Slot};
use super::sorted::{Found, Out, RowFile, head_of, unfinished};
use super::tail::Row;
use crate::disk::Disk;
use crate::error::{Code, Error, Result};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bases that are kept.
const BASES: usize = 2;
/// The journal's own table: segments before the run.
const SEGMENTS: u32 = 0;
/// The journal's own table: staged transactions that were adopted.
const ADOPTED: u32 = u32::MAX;
/// Bytes of a row about a segment.
const SEGMENT_ROW: usize = 56;

/// Groups in order, from one place.
type Source<'a> = Box<dyn Iterator<Item = Result<Group>> + 'a>;

/// How much room there is for files that only stand in for damaged ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// For none but those that rows are looked for in.
    Scarce,
    /// Not even for those of them that repeat what stands in others.
    Needed,
}

/// Rows that were frozen, and the place they stand for.
struct Frozen {
    rows: Rows,
    slot: Slot,
}

/// The runs of an open journal.
#[derive(Default)]
pub struct RunJob {
    /// Frozen, and not durable yet.
    frozen: Option<Arc<Frozen>>,
    /// What a row is looked for in, the newest first.
    files: Arc<Vec<Arc<RowFile>>>,
    /// The newest run.
    last: Option<Arc<RowFile>>,
    /// The newest bases that are whole as far as is known, the newest first.
    bases: Vec<u64>,
    durable: u64,
    previous: u64,
}

impl RunJob {
    /// With the files an open chose, and the run before the newest, 0 = none.
    pub fn found(files: Vec<Arc<RowFile>>, bases: Vec<u64>, previous: u64) -> RunJob {
        let last = files.first().cloned();
        let durable = last.as_ref().map_or(0, |last| last.slot.number);
        RunJob { frozen: None, files: Arc::new(files), last, bases, durable, previous }
    }

    /// Keeps frozen rows until somebody writes them.
    fn freeze(&mut self, rows: Rows, slot: Slot) {
        self.frozen = Some(Arc::new(Frozen { rows, slot }));
    }

    /// What a row is looked for in, the newest first.
    pub(super) fn files(&self) -> &[Arc<RowFile>] {
        &self.files
    }

    /// A base takes the place of what stands for its place and before.
    pub(super) fn merged(&mut self, slot: &Slot, base: Arc<RowFile>) {
        let newer = self.files.iter().filter(|file| file.slot.number > slot.number).cloned();
        self.files = Arc::new(newer.chain([base]).collect());
        self.bases.insert(0, slot.number);
        self.bases.truncate(BASES);
    }

    /// Number of the newest durable run, 0 = none.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether frozen rows wait to be written; those of another roll would only be durable later.
    pub fn waits(&self) -> bool {
        self.frozen.is_some()
    }

    /// The names of files that are kept: where there is not room enough, those that are looked into.
    fn kept(&self, room: Room) -> BTreeSet<String> {
        let mut kept: BTreeSet<String> =
            self.files.iter().map(|file| name_of(&file.slot)).collect();
        kept.insert(run_name(self.durable));
        if room == Room::Enough {
            kept.insert(run_name(self.previous));
            kept.extend(self.bases.iter().take(BASES).map(|number| base_name(*number)));
        }
        kept
    }

    /// The runs from here on are kept, whether or not they are looked into.
    fn kept_from(&self) -> u64 {
        self.bases.get(BASES - 1).map_or(0, |number| number + 1)
    }
}

impl Rows {
    pub(super) fn segments(&mut self, table: &BTreeMap<u64, Row>, moved: &Moved) {
        for (number, row) in table {
            let (next, began) = (row.next, row.began_ms);
            let words = [*number, row.first, row.length, row.end, row.expires_ms, next, began];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.own(SEGMENTS, &[&bytes]);
        }
        for (key, home) in moved {
            self.own(SEGMENTS, &[&row_of(*key, home)]);
        }
    }

    /// The staged transactions that were adopted, or were and whose segment is among these or is this `number`.
    pub(super) fn adopted(
        &mut self,
        table: &BTreeMap<u64, Row>,
        (adopted, number): (&Adoptions, u64),
    ) {
        let oldest = table.keys().next().copied().unwrap_or(number);
        for row in adopted.rows(oldest) {
            self.own(ADOPTED, &[&row]);
        }
    }
}

/// The name of a run's file.
pub fn run_name(number: u64) -> String {
    format!("{number:016x}.run")
}

/// The number in the name of a run's file.
pub fn run_number(name: &str) -> Option<u64> {
    super::number_in(name.strip_suffix(".run")?)
}

/// The name of a base's file.
pub fn base_name(number: u64) -> String {
    format!("{number:016x}.base")
}

/// The number in the name of a base's file.
pub fn base_number(name: &str) -> Option<u64> {
    super::number_in(name.strip_suffix(".base")?)
}

/// Whether a file of rows of this name was begun and is not whole.
pub fn is_unfinished(name: &str) -> bool {
    let rows = name.strip_suffix(UNFINISHED);
    rows.is_some_and(|name| run_number(name).or(base_number(name)).is_some())
}

/// The name of the file with this number and role.
pub fn file_of(number: u64, role: Role) -> String {
    if role == Role::Base { base_name(number) } else { run_name(number) }
}

/// The name of the file with this head.
pub fn name_of(slot: &Slot) -> String {
    file_of(slot.number, slot.role)
}

/// Whether the state at the run `newest` can be had from files with these heads.
pub fn reaches_back<T>(files: &[(T, Slot)], newest: u64) -> bool {
    let of = |role| files.iter().map(|(_, slot)| slot).filter(move |slot| slot.role == role);
    let (mut at, mut needed) = match of(Role::Run).find(|slot| slot.number == newest) {
        Some(slot) => (slot.number, slot.successor),
        None => return false,
    };
    while needed > 0 {
        if of(Role::Base).any(|slot| (needed..=at).contains(&slot.number)) {
            return true;
        }
        let runs = of(Role::Run).filter(|slot| (needed..at).contains(&slot.number));
        let Some(oldest) = runs.min_by_key(|slot| slot.number) else { return false };
        (at, needed) = (oldest.number, oldest.successor);
    }
    true
}

/// The numbers of the runs and bases of a directory, in order.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    pub runs: Vec<u64>,
    pub bases: Vec<u64>,
}

impl Numbers {
    /// Those among these names.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Numbers {
        let mut numbers = Numbers::default();
        for name in names {
            numbers.runs.extend(run_number(name));
            numbers.bases.extend(base_number(name));
        }
        numbers.runs.sort_unstable();
        numbers.bases.sort_unstable();
        numbers
    }

    /// All of them, the newest first; of one number the run before the base.
    pub fn newest_first(&self) -> Vec<(u64, Role)> {
        let runs = self.runs.iter().map(|number| (*number, 1));
        let mut all: Vec<(u64, u8)> =
            runs.chain(self.bases.iter().map(|number| (*number, 0))).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        let role = |order| if order == 1 { Role::Run } else { Role::Base };
        all.into_iter().map(|(number, order)| (number, role(order))).collect()
    }
}

/// Where files are, and what opens them.
#[derive(Clone, Copy)]
pub struct Directory<'a> {
    pub disk: &'a dyn Disk,
    pub secret: u32,
    pub keys: Option<&'a Arc<Keys>>,
}

impl Directory<'_> {
    /// The numbers of what is there now.
    pub fn numbers(&self) -> Result<Numbers> {
        let what = || format!("cannot list {}", self.disk.describe());
        let names = self.disk.list().map_err(|error| Error::io(what(), &error))?;
        Ok(Numbers::of(names.iter().map(String::as_str)))
    }

    /// A file as it is; `None` when it is not there, or not valid.
    pub fn open(&self, number: u64, role: Role) -> Result<Option<RowFile>> {
        Ok(self.read(number, role)?.map(|(file, _)| file))
    }

    fn read(&self, number: u64, role: Role) -> Result<Option<(RowFile, super::sorted::Second)>> {
        let name = file_of(number, role);
        RowFile::open((self.disk, &name), (number, role), self.secret, self.keys)
    }

    /// The head of a run, when there is one.
    pub fn head(&self, number: u64) -> Result<Option<Slot>> {
        Ok(head_of((self.disk, &run_name(number)), number)?.map(|(_, slot)| slot))
    }
}

/// The state at the place of a run.
pub struct State {
    pub segments: BTreeMap<u64, Row>,
    /// Where moved messages stand.
    pub moved: Moved,
    pub adopted: Adoptions,
    /// Table and row of the sections that are kept in memory.
    pub rows: Vec<(u32, Vec<u8>)>,
    /// What the other rows are looked for in, the newest first.
    pub files: Vec<Arc<RowFile>>,
    /// Bytes that were read.
    pub read: u64,
}

impl State {
    /// Reads the state at a run; `None` when that run, or too much of what it goes on from, is not there or not valid.
    pub fn read(place: Directory<'_>, number: u64, numbers: &Numbers) -> Result<Option<State>> {
        let Some((file, second)) = place.read(number, Role::Run)? else { return Ok(None) };
        if !file.is_cold_whole()? {
            return Ok(None);
        }
        let Some(mut state) = State::of(&second.own) else { return Ok(None) };
        let mut groups: BTreeMap<(u32, Vec<u8>), Group> = BTreeMap::new();
        let mut next = Some((file, second.groups));
        while let Some((file, found)) = next.take() {
            for group in found {
                groups.entry((group.section, group.key.clone())).or_insert(group);
            }
            state.read += file.bytes();
            let (at, needed) =
                (file.slot.number, if file.is_base() { 0 } else { file.slot.successor });
            state.files.push(Arc::new(file));
            if needed > 0 {
                next = before(place, (needed, at), numbers)?;
                if next.is_none() {
                    return Ok(None);
                }
            }
        }
        let alive = groups.into_values().filter(|group| !group.is_gone());
        state.rows = alive.flat_map(|group| group.rows).collect();
        Ok(Some(state))
    }

    /// The same without the rows that are the store's, for who asks only where the journal goes on.
    pub fn read_own(place: Directory<'_>, number: u64) -> Result<Option<State>> {
        let found = place.read(number, Role::Run)?;
        Ok(found.and_then(|(_, second)| State::of(&second.own)))
    }

    /// With the journal's own rows; `None` where one cannot be read.
    fn of(rows: &[(u32, Vec<u8>)]) -> Option<State> {
        let mut state = State {
            segments: BTreeMap::new(),
            moved: Moved::new(),
            adopted: Adoptions::default(),
            rows: Vec::new(),
            files: Vec::new(),
            read: 0,
        };
        state.own(rows).then_some(state)
    }

    /// Takes the journal's own rows; false where one cannot be read.
    fn own(&mut self, rows: &[(u32, Vec<u8>)]) -> bool {
        for (table, row) in rows {
            if *table == SEGMENTS && row.len() == SEGMENT_ROW {
                let word = |n: usize| u64_at(row, 8 * n);
                if [0, 1, 2, 3, 5].iter().any(|n| word(*n) >= limits::NUMBERS_END) {
                    return false;
                }
                let (first, length, end, expires_ms) = (word(1), word(2), word(3), word(4));
                let (next, began_ms) = (word(5), word(6));
                let row = Row { first, length, end, expires_ms, next, began_ms };
                self.segments.insert(word(0), row);
            } else if *table == SEGMENTS && row.len() == moved::ROW {
                let (key, home) = moved::read_row(row);
                if key.1.max(home.offset).max(home.end) >= limits::NUMBERS_END {
                    return false;
                }
                self.moved.insert(key, home);
            } else {
                let adopted = Adopted::decode(row).filter(|_| *table == ADOPTED);
                let Some(adopted) = adopted else { return false };
                self.adopted.insert(adopted);
            }
        }
        true
    }
}

/// What a run at `at` goes on from, when it holds all that changed behind `needed`: the newest base, or else the oldest
/// run, in between.
fn before(
    place: Directory<'_>,
    (needed, at): (u64, u64),
    numbers: &Numbers,
) -> Result<Option<(RowFile, Vec<Group>)>> {
    let bases = numbers.bases.iter().rev().filter(|number| (needed..=at).contains(number));
    let runs = numbers.runs.iter().filter(|number| (needed..at).contains(number));
    let bases = bases.map(|number| (*number, Role::Base));
    for (number, role) in bases.chain(runs.map(|number| (*number, Role::Run))) {
        if let Some((file, second)) = place.read(number, role)? {
            return Ok(Some((file, second.groups)));
        }
    }
    Ok(None)
}

/// Those of the files that the state can be had from alone: the newest, what it goes on from, and so on.
fn chain(files: &[Arc<RowFile>]) -> Vec<Arc<RowFile>> {
    let mut chain: Vec<Arc<RowFile>> = files.first().cloned().into_iter().collect();
    while let Some(last) = chain.last().filter(|last| last.slot.successor > 0 && !last.is_base()) {
        let (at, needed) = (last.slot.number, last.slot.successor);
        let inside = |file: &&Arc<RowFile>| {
            file.slot.number >= needed && (file.slot.number < at || file.is_base())
        };
        // Without it none of them is there in vain.
        let Some(next) = files.iter().rfind(inside) else { return files.to_vec() };
        chain.push(next.clone());
    }
    chain
}

/// Looks for a cold row in files, the newest first.
fn look_up(files: &[Arc<RowFile>], section: u32, key: &[u8], hash: u64) -> Result<Found> {
    let mut needed = files.first().map_or(0, |file| file.slot.number);
    for file in files {
        if file.slot.number < needed {
            break;
        }
        match (file.find(section, key, hash)?, file.is_base()) {
            (Found::Nothing, true) => return Ok(Found::Nothing),
            (Found::Nothing, false) => needed = needed.min(file.slot.successor),
            // What it says may stand in another one.
            (Found::Damaged, _) => continue,
            (found, _) => return Ok(found),
        }
        if needed == 0 {
            return Ok(Found::Nothing);
        }
    }
    Ok(if needed == 0 { Found::Nothing } else { Found::Damaged })
}

impl Journal {
    pub(super) fn directory(&self) -> Directory<'_> {
        Directory { disk: &*self.disk, secret: self.secret, keys: self.keys.as_ref() }
    }

    /// Keeps the rows frozen at the first frame of the segment with this head; a helper, or a later roll,
    /// writes them.
    pub(super) fn freeze_run(&self, rows: Rows, slot: Slot) {
        self.run.lock().freeze(rows, Slot { role: Role::Run, ..slot });
    }

    /// The row of a key of a cold section as it was when it was frozen last, if it ever was.
    pub fn find_row(&self, section: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let (frozen, files) = {
            let job = self.run.lock();
            (job.frozen.clone(), job.files.clone())
        };
        if let Some((table, row)) = frozen.and_then(|frozen| frozen.rows.find(section, key)) {
            return Ok((table != GONE).then_some(row));
        }
        if files.is_empty() {
            return Ok(None);
        }
        let hash = hash_of(section, key);
        let found = match look_up(&files, section, key, hash)? {
            Found::Damaged => self.look_anew(section, key, hash)?,
            found => found,
        };
        match found {
            Found::Row(row) => Ok(Some(row)),
            Found::Nothing | Found::Gone => Ok(None),
            Found::Damaged => {
                let text = format!("the state runs in {} are damaged", self.disk.describe());
                Err(Error::new(Code::Corrupt, text).over(0, 0))
            }
        }
    }

    /// The same in all files that are there.
    fn look_anew(&self, section: u32, key: &[u8], hash: u64) -> Result<Found> {
        let newest = self.run.lock().durable;
        let mut files = Vec::new();
        for (number, role) in self.directory().numbers()?.newest_first() {
            if number <= newest {
                files.extend(self.directory().open(number, role)?.map(Arc::new));
            }
        }
        if files.first().is_none_or(|file| file.slot.number < newest) {
            return Ok(Found::Damaged);
        }
        look_up(&files, section, key, hash)
    }

    /// Makes the frozen run durable and returns the number of the newest durable one, 0 = none.
    ///
    /// A run whose place is not durable yet waits: an open believes a run without asking whether what it
    /// stands for reached the disk.
    pub(super) fn settle_run(&self) -> Result<u64> {
        let _one = self.settling.lock();
        let (frozen, last, durable) = {
            let job = self.run.lock();
            (job.frozen.clone(), job.last.clone(), job.durable)
        };
        let horizon = self.durable_offset();
        let ready = frozen.filter(|frozen| {
            frozen.slot.first <= horizon || sabotage!("state run before its place is durable")
        });
        let Some(frozen) = ready else { return Ok(durable) };
        let room = |one: Room| self.drop_runs(one);
        // After a failure the rows are kept: the next try writes the same run.
        let file = Arc::new(self.making_room(&room, &|| self.write_run(&frozen, last.as_ref()))?);
        {
            let mut job = self.run.lock();
            if job.durable != file.slot.number {
                job.previous = job.durable;
            }
            job.durable = file.slot.number;
            let older = job.files.iter().cloned();
            job.files = Arc::new([file.clone()].into_iter().chain(older).collect());
            (job.last, job.frozen) = (Some(file.clone()), None);
        }
        self.drop_runs(Room::Enough);
        Ok(file.slot.number)
    }

    /// Writes a file; on a full disk those that only stand in for damaged ones make room for it, one kind after the
    /// other, and then a segment file that waits for its use.
    fn making_room(
        &self,
        drop_runs: &dyn Fn(Room),
        write: &dyn Fn() -> Result<RowFile>,
    ) -> Result<RowFile> {
        let is_full =
            |written: &Result<RowFile>| written.as_ref().is_err_and(|e| e.code() == Code::NoSpace);
        let mut written = write();
        for room in [Room::Scarce, Room::Needed] {
            if is_full(&written) {
                drop_runs(room);
                written = write();
            }
        }
        if is_full(&written) && self.spares.lock().shrink(&*self.disk) {
            written = write();
        }
        written
    }

    /// Writes frozen rows, and those that were new in the run before.
    fn write_run(&self, frozen: &Frozen, last: Option<&Arc<RowFile>>) -> Result<RowFile> {
        let number = last.map_or(0, |last| last.slot.number);
        let reach = |successor| Slot { run: number, successor, ..frozen.slot };
        if let Some(last) = last {
            match self.write_rows(frozen, reach(last.slot.run), Some(last)) {
                Err(error) if error.code() == Code::Corrupt => {}
                written => return written,
            }
        }
        // The one before is damaged: what was new in it may stand nowhere else.
        self.write_rows(frozen, reach(number), None)
    }

    fn write_rows(
        &self,
        frozen: &Frozen,
        slot: Slot,
        last: Option<&Arc<RowFile>>,
    ) -> Result<RowFile> {
        let carry = |group: Result<Group>| match group {
            Ok(group) if group.carried => None,
            group => Some(group.map(|group| Group { carried: true, ..group })),
        };
        let rows = &frozen.rows;
        let cold = rows.cold_rows() + last.map_or(0, |last| last.cold);
        let bytes = last.map_or(0, |last| last.bytes());
        let name = run_name(slot.number);
        self.write_file(&name, slot, (cold, bytes), &rows.own, &|cold| {
            let mut sources: Vec<Source<'_>> = Vec::new();
            match cold {
                true => sources.push(Box::new(rows.cold().map(Ok))),
                false => sources.push(Box::new(rows.warm().into_iter().map(Ok))),
            }
            match last {
                Some(last) if cold => sources.push(Box::new(last.cold_groups().filter_map(carry))),
                Some(last) => sources.push(Box::new(last.warm_groups().filter_map(carry))),
                None => {}
            }
            sources
        })
    }

    /// Writes a file of what sources say, first of the cold sections, then of the others.
    fn write_file<'a>(
        &self,
        name: &str,
        slot: Slot,
        cold: (u64, u64),
        own: &[(u32, Vec<u8>)],
        sources: &dyn Fn(bool) -> Vec<Source<'a>>,
    ) -> Result<RowFile> {
        let (disk, keys) = (&*self.disk, self.keys.as_ref());
        let failed = |error| self.unwritten(name, &error);
        let written = (|| {
            let mut out = Out::begin((disk, name), slot, keys, cold).map_err(failed)?;
            let back = |group: &Group| group.is_gone() && sabotage!("deleted row comes back");
            let (mut rows, mut ended) = (Merged::of(sources(true)), Ended::default());
            while let Some((group, _)) = rows.next_group()? {
                if !ended.has(&group) && !back(&group) {
                    out.cold(&group).map_err(failed)?;
                }
            }
            out.begin_second(own).map_err(failed)?;
            let mut rows = Merged::of(sources(false));
            while let Some((group, _)) = rows.next_group()? {
                if !back(&group) {
                    out.group(&group).map_err(failed)?;
                }
            }
            out.finish(disk, keys).map_err(failed)
        })();
        if written.is_err() {
            // A part of a file is of no use, and the disk may be full.
            let _ = disk.remove(&unfinished(name));
        }
        written
    }

    pub(super) fn unwritten(&self, name: &str, error: &std::io::Error) -> Error {
        Error::io(format!("cannot write {name} in {}", self.disk.describe()), error)
    }

    /// The oldest segment an open may need, the one of the run before the newest: reclaiming stops before it.
    pub(super) fn needed_from(&self) -> u64 {
        self.run.lock().previous
    }

    /// Removes the files that are not kept, unless somebody merges or copies them: then the next call does. A merge that
    /// rests makes way where there is not room enough.
    fn drop_runs(&self, room: Room) {
        if let Some(mut under_way) = self.merging.try_lock() {
            if room != Room::Enough {
                self.give_up_merge(&mut under_way);
            }
            self.drop_files(room);
        }
    }

    pub(super) fn drop_files(&self, room: Room) {
        let Ok(names) = self.disk.list() else { return };
        let mut job = self.run.lock();
        if room == Room::Needed {
            job.files = Arc::new(chain(&job.files));
        }
        let (kept, newest) = (job.kept(room), job.durable);
        let from = if room == Room::Enough { job.kept_from() } else { u64::MAX };
        drop(job);
        for name in names {
            let run = run_number(&name);
            let Some(number) = run.or(base_number(&name)) else { continue };
            let stays =
                number > newest || kept.contains(&name) || run.is_some_and(|run| run >= from);
            if !stays {
                // One too many costs space only; the next roll tries again.
                let _ = self.disk.remove(&name);
            }
        }
    }
}
