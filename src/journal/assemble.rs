//! Putting a journal together: made anew, or opened for writing.
//!
//! Nothing is written before it is sure that the directory is a store, or empty. A creation writes one segment
//! under another name and renames it; what an interrupted one leaves is cleared by the next. While a store has
//! no transaction, its segment is named once more at each open: the name may be one of those that only the
//! page cache knows.
//!
//! A segment that was sealed, or cut before a later one, is not written to again: the journal goes on in a
//! fresh one. There the place of the first frame is cleared and synced before the head says that it counts, so
//! that no frame the file held before is believed in its stead.

use super::commit::{Gate, Writer};
use super::helper::Helper;
use super::key::{Keys, veiled};
use super::moved::still_there;
use super::prepare::make;
use super::recover::{Recovered, Replay};
use super::replay::{Visitor, Walk};
use super::run::{Directory, RunJob};
use super::seal::{Gathering, Sealer};
use super::slot::{FRAMES_AT, Role, SLOT, Slot};
use super::spare::{Spares, new_name};
use super::survey::{Survey, survey};
use super::tail::{Part, Row, Tail};
use super::{Journal, Options, Segment, file_name};
use crate::disk::{Birth, Disk, Lock};
use crate::error::{Code, Error, Result};
use crate::secret::Password;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Journal {
    /// Creates an empty journal and takes its lock. The directory may hold leftovers of a creation that was
    /// interrupted, and nothing else. With a password everything in it is encrypted, from the first byte on.
    pub fn create(
        disk: Arc<dyn Disk>,
        options: Options,
        password: Option<&Password>,
    ) -> Result<Journal> {
        let failed =
            |what: &str, error| Error::io(format!("cannot {what} {}", disk.describe()), &error);
        disk.create_dir().map_err(|error| failed("create", error))?;
        let lock = take_lock(&*disk)?;
        let found = survey(&*disk)?;
        if lock.done() > 0 && found.segments == 0 {
            let text = format!("{} has lost its segments", disk.describe());
            return Err(Error::new(Code::Corrupt, text).over(0, lock.done()));
        }
        if found.segments > 0 || !found.foreign.is_empty() {
            let text = format!("{} is not empty: it is left as it is", disk.describe());
            return Err(Error::new(Code::NotAStore, text));
        }
        let spares = found.spares.iter().map(|(name, _)| name);
        for name in spares.chain(&found.leftovers) {
            disk.remove(name).map_err(|error| failed("clear", error))?;
        }
        let (slot, keys) = first_slot(&*disk, options, password)?;
        let name = new_name(0);
        make(&*disk, &name, slot.length)?;
        let file = disk.open(&name, true).map_err(|error| failed("open a file in", error))?;
        let mut segment = Segment::prepared(1, slot.length, file);
        segment.began_ms = slot.began_ms;
        segment.slot = Some(slot);
        // Nothing is before it, so all before it is durable: with both slots, damage of one sector is harmless.
        let marked = Slot { role: Role::Marked, ..slot };
        let head = [slot, marked].map(|slot| veiled(slot, keys.as_deref()).encode()).concat();
        let begun = segment.file.write_at(&head, 0).and_then(|()| segment.file.sync());
        begun.map_err(|error| failed("write the first segment of", error))?;
        disk.rename(&name, &file_name(1)).map_err(|error| failed("name a segment in", error))?;
        disk.sync_dir().map_err(|error| failed("sync", error))?;
        let walk = Walk { clean: true, ..Walk::begin(&slot, keys) };
        let mut spares = Spares::found((2, 1), Vec::new(), None, (slot.length, false));
        spares.count(slot.length);
        let run = RunJob::default();
        Ok(assemble(Parts { disk, lock, options, slot, segment, walk, spares, run }))
    }

    /// Opens a journal for writing and gives its records to `visitor`. What is damaged is an error, unless
    /// `accept_loss` cuts it off; then what lay behind the cut must not be in the directory any more.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        password: Option<&Password>,
        accept_loss: bool,
        visitor: &mut dyn Visitor,
    ) -> Result<(Journal, Recovered)> {
        let lock = take_lock(&*disk)?;
        let mut found = survey(&*disk)?;
        found.is_store(&*disk, lock.done())?;
        found.unlock(&*disk, password)?;
        let mut replay = Replay::run(&*disk, found, lock.done(), u64::MAX, visitor)?;
        if let Some((from, to)) = replay.recovered.corrupt
            && !accept_loss
        {
            let text = format!(
                "the journal in {} is damaged from offset {from} to {to}; open it for reading",
                disk.describe()
            );
            return Err(Error::new(Code::Corrupt, text).over(from, to));
        }
        if replay.recovered.sequence == 0 {
            name_again(&*disk, &replay.found)?;
        }
        replay.settle(&*disk, &*lock)?;
        if let (Some(keys), Some(password)) = (&replay.found.keys, password) {
            // What could not be mended now is mended by the next open.
            let _ = keys.mend(&*disk, password);
        }
        let recovered = replay.recovered.clone();
        let freeze = replay.freeze.take();
        let journal = replay.into_journal(disk, lock, options)?;
        if let Some((rows, slot)) = freeze {
            journal.freeze_run(rows, slot);
        }
        Ok((journal, recovered))
    }
}

/// The head of the first segment of a new store, and its data key.
fn first_slot(
    disk: &dyn Disk,
    options: Options,
    password: Option<&Password>,
) -> Result<(Slot, Option<Arc<Keys>>)> {
    let mut random = [0; 36];
    let failed = |error| Error::io(format!("cannot draw an id for {}", disk.describe()), &error);
    disk.random(&mut random).map_err(failed)?;
    let (mut store, mut incarnation) = ([0; 16], [0; 16]);
    store.copy_from_slice(&random[..16]);
    incarnation.copy_from_slice(&random[16..32]);
    let keys = password.map(|password| Keys::create(disk, store, password)).transpose()?;
    let store = keys.as_ref().map_or(store, |keys| *keys.store());
    let slot = Slot {
        role: Role::Begun,
        secret: super::u32_at(&random, 32),
        length: options.segment_first,
        store,
        number: 1,
        incarnation,
        first: 0,
        next: 1,
        run: 0,
        began_ms: disk.now_ms(),
        chain: 0,
        epoch: 0,
        early: false,
        blocks: keys.is_some(),
        end: 0,
        index: 0,
        expires_ms: 0,
        successor: 0,
        chain_end: 0,
    };
    Ok((slot, keys))
}

fn take_lock(disk: &dyn Disk) -> Result<Box<dyn Lock>> {
    disk.lock().map_err(|error| error.told(&disk.describe(), "is open already"))
}

/// Gives the only segment of a store without transactions its name once more, durably.
fn name_again(disk: &dyn Disk, found: &Survey) -> Result<()> {
    let failed = |error| Error::io(format!("cannot name a segment in {}", disk.describe()), &error);
    let [begun] = &found.chain[..] else { return Ok(()) };
    let name = file_name(begun.segment.number);
    let free = new_name(found.next_name);
    disk.rename(&name, &free).map_err(failed)?;
    disk.rename(&free, &name).map_err(failed)?;
    disk.sync_dir().map_err(failed)
}

impl Survey {
    pub(super) fn is_store(&self, disk: &dyn Disk, done: u64) -> Result<()> {
        if !self.chain.is_empty() {
            return Ok(());
        }
        let store = disk.describe();
        if self.segments > 0 || done > 0 {
            let text = format!("{store} has lost its segments, or their heads are damaged");
            return Err(Error::new(Code::Corrupt, text).over(0, done));
        }
        Err(Error::new(Code::NotAStore, format!("{store} is not a store")))
    }
}

impl Replay {
    fn into_journal(
        mut self,
        disk: Arc<dyn Disk>,
        lock: Box<dyn Lock>,
        options: Options,
    ) -> Result<Journal> {
        let (mut table, ended) = (self.table_before(self.last), self.ended());
        let (segment, slot) = self.tail_segment()?;
        if ended && self.walk.offset > segment.first {
            table.insert(segment.number, self.row(&segment));
        }
        let newest = self.newest_staged();
        let used: BTreeSet<u64> = table.keys().copied().chain([segment.number]).collect();
        still_there(&mut self.walk.moved, &table, segment.first);
        let mut spares = self.spares(&used, (options.segment_first, !table.is_empty()));
        let growing = if table.contains_key(&segment.number) { 0 } else { segment.length };
        spares.count(growing + table.values().map(|row| row.length).sum::<u64>());
        spares.count(self.walk.adopted.with_files().map(|adopted| adopted.length()).sum());
        let run = self.run_job(&*disk, slot.secret)?;
        let walk = self.walk;
        let segment = segment.clone();
        let parts = Parts { disk, lock, options, slot, segment, walk, spares, run };
        let journal = assemble(parts);
        journal.staged.lock().newest = newest;
        let mut tail = journal.tail.lock();
        tail.table = table;
        if ended {
            journal.begin_fresh(&mut tail)?;
        } else {
            // Its head may be one that only the page cache knows: the mark goes out with the first group.
            let marked = journal.slot_of(&tail.segment, &tail, Role::Marked);
            let part = Part::Slot(tail.segment.clone(), marked);
            tail.hand_over(part);
        }
        drop(tail);
        journal.spares.lock().disown(&*journal.disk);
        Ok(journal)
    }

    /// The files the state was read from, and the bases there are up to them.
    pub(super) fn run_job(&mut self, disk: &dyn Disk, secret: u32) -> Result<RunJob> {
        let files = std::mem::take(&mut self.files);
        let newest = files.first().map_or(0, |file| file.slot.number);
        let directory = Directory { disk, secret, keys: self.found.keys.as_ref() };
        let mut bases = Vec::new();
        for number in self.found.runs.bases.iter().rev().filter(|number| **number <= newest) {
            if directory.open(*number, Role::Base)?.is_some() {
                bases.push(*number);
            }
        }
        Ok(RunJob::found(files, bases, self.previous))
    }

    /// The highest number of a staged file, there or only named.
    fn newest_staged(&self) -> u64 {
        let there = self.found.staged.keys().next_back().copied();
        self.walk.adopted.newest.max(there.unwrap_or(0))
    }

    pub(super) fn tail_segment(&mut self) -> Result<(Segment, Slot)> {
        let begun = self.found.chain.get(self.last).map(|begun| begun.segment.clone());
        let segment = self.fresh.clone().or(begun);
        let found = segment.and_then(|segment| segment.slot.map(|slot| (segment, slot)));
        found.ok_or_else(|| Error::new(Code::Corrupt, "the journal has no segment"))
    }

    /// The table's row of the segment the walk ended in.
    fn row(&self, segment: &Segment) -> Row {
        let (first, length, end) = (segment.first, segment.length, self.walk.offset);
        let (next, began_ms) = segment.slot.map_or((0, 0), |slot| (slot.next, slot.began_ms));
        Row { first, length, end, expires_ms: u64::MAX, next, began_ms }
    }

    /// The files that can serve again: prepared ones, and segments that are no part of the journal any more.
    fn spares(&mut self, used: &BTreeSet<u64>, (length, rolled): (u64, bool)) -> Spares {
        let ready = if self.ended() { self.found.blank_successor().cloned() } else { None };
        let mut files: BTreeMap<String, u64> = self.found.spares.drain(..).collect();
        let blank = self.found.blank.iter();
        for segment in blank.chain(self.found.chain.iter().map(|begun| &begun.segment)) {
            let taken = ready.as_ref().is_some_and(|ready| ready.number == segment.number);
            if !used.contains(&segment.number) && !taken {
                files.insert(file_name(segment.number), segment.length);
            }
        }
        let least = crate::limits::SEGMENT_BYTES_MIN;
        let sound = |length: &u64| length.is_power_of_two() && *length >= least;
        let files = files.into_iter().filter(|(_, length)| sound(length)).collect();
        Spares::found(
            (self.found.next_number, self.found.next_name),
            files,
            ready,
            (length, rolled),
        )
    }
}

/// What a journal is put together from.
pub struct Parts {
    pub disk: Arc<dyn Disk>,
    pub lock: Box<dyn Lock>,
    pub options: Options,
    pub slot: Slot,
    pub segment: Segment,
    pub walk: Walk,
    pub spares: Spares,
    pub run: RunJob,
}

pub fn assemble(parts: Parts) -> Journal {
    let Parts { disk, lock, options, slot, segment, walk, spares, run } = parts;
    let tail = Tail {
        segment: Arc::new(segment),
        end: walk.offset,
        next: walk.next,
        epoch: walk.chain.epoch(),
        incarnation: walk.incarnation,
        begun: false,
        early: walk.early,
        owes: walk.early && !walk.clean,
        untouched: true,
        index: walk.index,
        table: BTreeMap::new(),
        moved: walk.moved,
        adopted: walk.adopted,
        run: run.durable(),
        pins: BTreeMap::new(),
        parts: Vec::new(),
        pending: Vec::new(),
        pending_from: walk.offset,
        window: None,
        stored_from: walk.offset,
        waits: 0,
        ample: 0,
        asked: 0,
        touched: Vec::new(),
        unmarked: None,
        taken: 0,
        closed: false,
        released: Vec::new(),
        recent: Vec::new(),
        block: walk.keys.is_some().then(Gathering::default),
    };
    let sealer = walk.keys.clone().map(Sealer::new);
    Journal {
        gate: Gate::new(walk.offset, walk.next - 1),
        writer: Mutex::new(Writer::new(walk.chain, sealer)),
        tail: Mutex::new(tail),
        preparing: Mutex::new(()),
        hurried: AtomicUsize::new(0),
        spares: Mutex::new(spares),
        run: Mutex::new(run),
        settling: Mutex::default(),
        merging: Mutex::default(),
        staged: Mutex::default(),
        contents: Mutex::default(),
        helper: Mutex::new(Helper::default()),
        appended: AtomicU64::new(walk.offset),
        early: AtomicBool::new(false),
        birth: Birth::now(),
        store: slot.store,
        secret: slot.secret,
        keys: walk.keys,
        looked: None,
        disk,
        lock,
        options,
    }
}

impl Journal {
    /// Begins a fresh segment at the cut, since the one before is not to be written again, and makes its head
    /// durable.
    fn begin_fresh(&self, tail: &mut Tail) -> Result<()> {
        let next = self.take_any_segment()?;
        clear(&next)?;
        self.begin(tail, next, self.disk.now_ms());
        tail.touched.clear();
        let failed = |error| {
            Error::io(format!("cannot begin a segment in {}", self.disk.describe()), &error)
        };
        for part in std::mem::take(&mut tail.parts) {
            if let Part::Slot(segment, mut slot) = part {
                slot.chain = self.writer.lock().chain.value();
                segment.chain.store(slot.chain, Ordering::Relaxed);
                let slot = veiled(slot, self.keys.as_deref());
                segment.file.write_at(&slot.encode(), slot.place()).map_err(failed)?;
                segment.file.sync().map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Clears the place of the first frame of a prepared segment, durably.
pub fn clear(next: &Segment) -> Result<()> {
    let cleared = next.file.write_at(&[0; SLOT], FRAMES_AT).and_then(|()| next.file.sync());
    let name = file_name(next.number);
    cleared.map_err(|error| Error::io(format!("cannot clear {name}"), &error))
}
