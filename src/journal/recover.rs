//! What is believed after a stop of any kind, and how a journal is created and opened.
//!
//! An open takes the newest state run, replays the segments from its number on (two, as a rule), and ends at
//! the first place that holds no valid frame or an unfinished transaction: the *cut*. What is known to be
//! durable decides what the cut means. *Known durable* is the highest of: the offsets in watermarks anywhere
//! behind the cut, the marks of later segments, and *done* in the lock page.
//!
//! - The cut lies below it: the journal is `Corrupt` from there on. Nothing is changed; the store can be opened
//!   for reading, up to the cut.
//! - Otherwise it is the torn end of the last life: what lies behind is left where it is, and set aside in a
//!   file `<offset>.cut` when it holds whole frames. A new life makes sure it is never believed.
//!
//! When *attempted* lies above what is known to be durable, a sync may have failed, and what the page cache
//! shows may not be on the disk. Then the frames from the segment that holds the first doubtful byte on are
//! copied into a fresh segment and synced there before its head is written; it supersedes the old ones.
//! Otherwise what was never synced is synced before it is believed.

use super::chain::Chain;
use super::commit::{Gate, Writer};
use super::format::{CLEAN, EARLY, HEAD, Head, LAST, Type, frame_bytes};
use super::helper::Helper;
use super::index::Flat;
use super::run::{Rows, Run, RunJob};
use super::scan::{Behind, Met, Window, look, look_behind};
use super::slot::{FRAMES_AT, Role, Slot, seed_of};
use super::spare::{Space, Spares, make};
use super::survey::{Survey, survey};
use super::tail::{Part, Row, Tail};
use super::{Journal, Options, Segment, file_name};
use crate::disk::{Birth, Disk, Lock, LockError};
use crate::error::{Code, Error, Result};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who gets the records back, in order.
pub trait Visitor {
    /// A row of the state run the replay begins with.
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()>;
    /// A whole transaction.
    fn transaction(&mut self, transaction: &Replayed<'_>) -> Result<()>;
    /// Writes the rows of the state as it is now.
    fn freeze(&mut self, rows: &mut Rows);
    /// The queues known so far, for the chain.
    fn queues(&self) -> Vec<(u32, Vec<u8>)>;
}

/// A transaction read back.
pub struct Replayed<'a> {
    /// Its sequence in the journal.
    pub sequence: u64,
    /// When it was committed.
    pub time_ms: u64,
    /// Its records: header, and where the body lies in `bytes`.
    pub records: &'a [(Head, std::ops::Range<usize>)],
    /// The bytes of all bodies.
    pub bytes: &'a [u8],
}

/// What an open found.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The last life ended with a close.
    pub clean: bool,
    /// The last life handed out positions before they were durable.
    pub early: bool,
    /// Sequence of the last transaction, 0 = none.
    pub sequence: u64,
    /// Whole frames that were found behind the cut and set aside.
    pub set_aside: u64,
    /// Bytes read to find out.
    pub bytes_read: u64,
    /// Where the journal is damaged, if it is: from the cut to what was durable.
    pub corrupt: Option<(u64, u64)>,
}

/// A visitor for frames that were given to another one already.
struct Nobody;

impl Visitor for Nobody {
    fn row(&mut self, _: u32, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn transaction(&mut self, _: &Replayed<'_>) -> Result<()> {
        Ok(())
    }
    fn freeze(&mut self, _: &mut Rows) {}
    fn queues(&self) -> Vec<(u32, Vec<u8>)> {
        Vec::new()
    }
}

/// The lock of somebody who only looks.
struct NoLock(u64);

impl Lock for NoLock {
    fn attempted(&self) -> u64 {
        self.0
    }
    fn done(&self) -> u64 {
        self.0
    }
    fn set_attempted(&self, _: u64) {}
    fn set_done(&self, _: u64) {}
    fn release(&self) {}
}

/// The state of a walk through the segments.
struct Walk {
    offset: u64,
    next: u64,
    incarnation: [u8; 16],
    early: bool,
    clean: bool,
    cut: bool,
    durable: u64,
    index: Flat,
    chain: Chain,
    records: Vec<(Head, std::ops::Range<usize>)>,
    bytes: Vec<u8>,
    reclaimed: BTreeSet<u64>,
    read: u64,
}

impl Walk {
    fn begin(slot: &Slot) -> Walk {
        Walk {
            offset: slot.first,
            next: slot.next,
            incarnation: slot.incarnation,
            early: slot.early,
            clean: false,
            cut: false,
            durable: 0,
            index: Flat::default(),
            chain: Chain::new(slot.chain, slot.epoch),
            records: Vec::new(),
            bytes: Vec::new(),
            reclaimed: BTreeSet::new(),
            read: 0,
        }
    }

    /// Walks one segment up to `limit`; stops at the first place that holds no valid frame.
    fn segment(
        &mut self,
        segment: &Segment,
        limit: u64,
        secret: u32,
        visitor: &mut dyn Visitor,
    ) -> Result<()> {
        self.index = Flat::default();
        self.index.live(FRAMES_AT, seed_of(&self.incarnation));
        let mut window = Window::new(segment.file.clone());
        let mut offset = self.offset;
        while offset < limit {
            let seed = seed_of(&self.incarnation);
            let met = look(&mut window, segment.at(offset), (offset, limit), seed, secret)?;
            let Met::Frame(head, frame) = met else { break };
            let end = offset + head.frame_bytes() as u64;
            if head.kind.is_local() {
                if !self.records.is_empty() {
                    break;
                }
                self.local(&head, &frame[HEAD..], segment.at(end));
                self.offset = end;
            } else if !self.record(&head, frame) {
                break;
            } else if head.flags & LAST != 0 {
                self.whole(segment, visitor)?;
                self.offset = end;
            }
            offset = end;
        }
        self.records.clear();
        self.bytes.clear();
        self.chain.drop_open();
        self.cut = self.offset < limit;
        self.read += window.read;
        Ok(())
    }

    fn local(&mut self, head: &Head, body: &[u8], file_end: u64) {
        self.clean = head.kind == Type::Watermark && head.flags & CLEAN != 0;
        match head.kind {
            Type::Incarnation => {
                if let Some(incarnation) = body.first_chunk() {
                    self.incarnation = *incarnation;
                    self.early = head.flags & EARLY != 0;
                    self.index.live(file_end, seed_of(incarnation));
                }
            }
            Type::Watermark => self.durable = self.durable.max(head.sequence),
            Type::Reclaim => {
                self.reclaimed.insert(head.sequence);
            }
            _ => {}
        }
    }

    /// Keeps a record until its transaction is whole; false when it does not follow the one before.
    fn record(&mut self, head: &Head, frame: &[u8]) -> bool {
        if head.transaction != self.next || head.index as usize != self.records.len() {
            return false;
        }
        self.chain.fold_frame(frame);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&frame[HEAD..]);
        self.records.push((*head, start..self.bytes.len()));
        true
    }

    fn whole(&mut self, segment: &Segment, visitor: &mut dyn Visitor) -> Result<()> {
        self.clean = false;
        let mut at = segment.at(self.offset);
        for (head, body) in &self.records {
            if head.kind == Type::Message {
                let expires = super::body::expires_of(&self.bytes[body.clone()]);
                self.index.push(head.queue, head.sequence, at, expires);
            }
            at += head.frame_bytes() as u64;
        }
        let (sequence, time_ms) = (self.next, self.records[0].0.time_ms);
        let (records, bytes) = (&self.records[..], &self.bytes[..]);
        visitor.transaction(&Replayed { sequence, time_ms, records, bytes })?;
        self.records.clear();
        self.bytes.clear();
        self.next += 1;
        Ok(())
    }
}

impl Journal {
    /// Creates an empty journal and takes its lock. The directory may hold leftovers of a creation that was
    /// interrupted, and nothing else.
    pub fn create(disk: Arc<dyn Disk>, options: Options) -> Result<Journal> {
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
        for (name, _) in &found.spares {
            disk.remove(name).map_err(|error| failed("clear", error))?;
        }
        let mut random = [0; 36];
        disk.random(&mut random).map_err(|error| failed("draw an id for", error))?;
        let (mut store, mut incarnation) = ([0; 16], [0; 16]);
        store.copy_from_slice(&random[..16]);
        incarnation.copy_from_slice(&random[16..32]);
        let secret = super::u32_at(&random, 32);
        let name = format!("{:016x}.new", 0);
        make(&*disk, &name, options.segment_first)?;
        let file = disk.open(&name, true).map_err(|error| failed("open a file in", error))?;
        let mut segment = Segment::prepared(1, options.segment_first, file);
        segment.began_ms = disk.now_ms();
        let slot = Slot {
            role: Role::Begun,
            secret,
            length: segment.length,
            store,
            number: 1,
            incarnation,
            first: 0,
            next: 1,
            run: 0,
            began_ms: segment.began_ms,
            chain: 0,
            epoch: 0,
            early: false,
            end: 0,
            index: 0,
            expires_ms: 0,
            successor: 0,
            chain_end: 0,
        };
        segment.slot = Some(slot);
        let begun = segment.file.write_at(&slot.encode(), 0).and_then(|()| segment.file.sync());
        begun.map_err(|error| failed("write the first segment of", error))?;
        disk.rename(&name, &file_name(1)).map_err(|error| failed("name a segment in", error))?;
        disk.sync_dir().map_err(|error| failed("sync", error))?;
        let walk = Walk { clean: true, ..Walk::begin(&slot) };
        let found = Survey { chain: Vec::new(), next_number: 2, ..found };
        Ok(assemble(Parts { disk, lock, options, slot, segment, walk, found, run: 0, previous: 0 }))
    }

    /// Opens a journal for writing and gives its records to `visitor`.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        visitor: &mut dyn Visitor,
    ) -> Result<(Journal, Recovered)> {
        let lock = take_lock(&*disk)?;
        let found = survey(&*disk)?;
        found.is_store(&*disk, lock.done())?;
        let mut replay = Replay::run(&*disk, found, lock.done(), visitor)?;
        if let Some((from, to)) = replay.recovered.corrupt {
            let text = format!(
                "the journal in {} is damaged from offset {from} to {to}; open it for reading",
                disk.describe()
            );
            return Err(Error::new(Code::Corrupt, text).over(from, to));
        }
        replay.settle(&*disk, &*lock)?;
        let recovered = replay.recovered.clone();
        let freeze = replay.freeze.take();
        let journal = replay.into_journal(disk, lock, options, true)?;
        if let Some(rows) = freeze {
            let tail = journal.tail.lock();
            journal.freeze_run(rows, &tail);
        }
        Ok((journal, recovered))
    }

    /// Opens a journal for reading, locked or damaged as it may be: the durable prefix up to the first damage.
    pub fn look(disk: Arc<dyn Disk>, visitor: &mut dyn Visitor) -> Result<(Journal, Recovered)> {
        let failed = |error| Error::io(format!("cannot read {}", disk.describe()), &error);
        let done = disk.peek_done().map_err(failed)?.unwrap_or(0);
        let found = survey(&*disk)?;
        found.is_store(&*disk, done)?;
        let replay = Replay::run(&*disk, found, done, visitor)?;
        let recovered = replay.recovered.clone();
        let journal =
            replay.into_journal(disk, Box::new(NoLock(done)), Options::default(), false)?;
        journal.tail.lock().closed = true;
        Ok((journal, recovered))
    }
}

fn take_lock(disk: &dyn Disk) -> Result<Box<dyn Lock>> {
    disk.lock().map_err(|error| match error {
        LockError::Held { pid, host } => {
            let text = format!("{} is open already, by process {pid} on {host}", disk.describe());
            Error::new(Code::Locked, text)
        }
        LockError::Io(error) => Error::io(format!("cannot lock {}", disk.describe()), &error),
    })
}

impl Survey {
    fn is_store(&self, disk: &dyn Disk, done: u64) -> Result<()> {
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

/// A replay that ended at the cut.
struct Replay {
    found: Survey,
    walk: Walk,
    /// The segment the walk ended in, as a place in the chain.
    last: usize,
    from: usize,
    behind: Behind,
    known: u64,
    run: u64,
    previous: u64,
    table: BTreeMap<u64, Row>,
    freeze: Option<Rows>,
    recovered: Recovered,
    fresh: Option<Segment>,
}

impl Replay {
    fn run(disk: &dyn Disk, found: Survey, done: u64, visitor: &mut dyn Visitor) -> Result<Replay> {
        let newest = found.chain[found.chain.len() - 1].slot;
        let mut runs: Vec<u64> = found.runs.iter().copied().filter(|n| *n <= newest.run).collect();
        runs.reverse();
        let mut choice = (0, 0, BTreeMap::new());
        for (at, number) in runs.iter().enumerate() {
            let known = found.chain.iter().any(|begun| begun.segment.number == *number);
            let Some(run) = Run::read(disk, newest.secret, *number)? else { continue };
            if !known {
                continue;
            }
            for (table, row) in run.rows() {
                visitor.row(table, row)?;
            }
            choice = (*number, runs.get(at + 1).copied().unwrap_or(0), run.segments);
            break;
        }
        let (run, previous, table) = choice;
        let at = found.chain.iter().position(|begun| begun.segment.number == run.max(1));
        let Some(from) = at else {
            let text = format!("no state run of {} can be read", disk.describe());
            return Err(Error::new(Code::Corrupt, text).over(0, newest.first));
        };
        let walk = Walk::begin(&found.chain[from].slot);
        let mut replay = Replay {
            found,
            walk,
            last: from,
            from,
            behind: Behind::default(),
            known: done,
            run,
            previous,
            table,
            freeze: None,
            recovered: Recovered::default(),
            fresh: None,
        };
        for (queue, name) in visitor.queues() {
            replay.walk.chain.name_queue(queue, &name);
        }
        replay.walk_segments(newest.secret, visitor)?;
        replay.decide()?;
        Ok(replay)
    }

    fn walk_segments(&mut self, secret: u32, visitor: &mut dyn Visitor) -> Result<()> {
        for at in self.from..self.found.chain.len() {
            let begun = &self.found.chain[at];
            if at > self.from {
                let (first, next) = (begun.slot.first, begun.slot.next);
                if self.walk.offset != first || self.walk.next != next {
                    break;
                }
                let mut rows = Rows::new(begun.segment.number, secret);
                rows.table(&self.table_before(at));
                visitor.freeze(&mut rows);
                self.freeze = Some(rows);
            }
            self.last = at;
            // Only the walk knows a life's flag; the head of the segment says it for lives that began earlier.
            self.walk.segment(&begun.segment, self.found.limit(at), secret, visitor)?;
            if self.walk.cut {
                break;
            }
        }
        Ok(())
    }

    /// The rows of the segments before the one at `at`, as the walk knows them.
    fn table_before(&self, at: usize) -> BTreeMap<u64, Row> {
        let mut table = self.table.clone();
        for (place, begun) in self.found.chain[..at].iter().enumerate().skip(self.from) {
            let next = &self.found.chain[place + 1];
            let row = Row {
                first: begun.slot.first,
                length: begun.slot.length,
                end: next.slot.first,
                expires_ms: begun.sealed.map_or(u64::MAX, |slot| slot.expires_ms),
            };
            table.insert(begun.segment.number, row);
        }
        table.retain(|number, _| !self.walk.reclaimed.contains(number));
        table
    }

    /// What is known to be durable, and so what the cut means.
    fn decide(&mut self) -> Result<()> {
        let (cut, secret) = (self.walk.offset, self.found.chain[self.last].slot.secret);
        let seed = seed_of(&self.walk.incarnation);
        self.known = self.known.max(self.walk.durable);
        for at in self.from..self.found.chain.len() {
            let begun = &self.found.chain[at];
            if begun.marked {
                self.known = self.known.max(begun.slot.first);
            }
            if at >= self.last {
                let span = (cut.max(begun.slot.first), self.found.limit(at));
                let file = &begun.segment.file;
                let behind = look_behind(file, begun.slot.first, span, seed, secret)?;
                self.known = self.known.max(behind.durable);
                if at == self.last {
                    self.behind = behind;
                }
            }
        }
        let last = self.found.chain.len() - 1;
        if let (Some(blank), Some(sealed)) =
            (self.found.blank_successor(last), self.found.chain[last].sealed)
        {
            let span = (sealed.end, sealed.end + blank.length - FRAMES_AT);
            let behind = look_behind(&blank.file, sealed.end, span, seed, secret)?;
            self.known = self.known.max(behind.durable);
        }
        let missing = self.missing_files();
        let corrupt = (cut < self.known).then_some((cut, self.known)).or(missing);
        self.recovered = Recovered {
            clean: self.walk.clean,
            early: self.walk.early,
            sequence: self.walk.next - 1,
            set_aside: self.behind.frames,
            bytes_read: self.walk.read,
            corrupt,
        };
        Ok(())
    }

    /// A segment the journal still counts on, or a sealed segment's successor, whose file is gone.
    fn missing_files(&self) -> Option<(u64, u64)> {
        let there =
            |number: u64| self.found.chain.iter().any(|begun| begun.segment.number == number);
        let lost = self
            .table
            .iter()
            .find(|(number, _)| !there(**number) && !self.walk.reclaimed.contains(number));
        if let Some((_, row)) = lost {
            return Some((row.first, row.end));
        }
        let last = &self.found.chain[self.found.chain.len() - 1];
        let sealed = last.sealed?;
        let known = self.found.blank_successor(self.found.chain.len() - 1).is_some()
            || sealed.end > self.walk.offset
            || self.found.next_number > sealed.successor + 1;
        (!known).then_some((sealed.end, sealed.end))
    }

    /// Makes what was found durable, so that it may be believed.
    fn settle(&mut self, disk: &dyn Disk, lock: &dyn Lock) -> Result<()> {
        let end = self.walk.offset;
        let doubtful = lock.attempted() > self.known && end > self.known;
        self.set_aside(disk)?;
        if doubtful {
            self.copy_doubtful(disk)?;
        } else if end > self.known {
            for begun in &self.found.chain[self.from..=self.last] {
                let name = file_name(begun.segment.number);
                let failed = |error| Error::io(format!("cannot sync {name}"), &error);
                begun.segment.file.sync().map_err(failed)?;
            }
        }
        lock.set_attempted(end);
        lock.set_done(end);
        Ok(())
    }

    /// Keeps whole frames from behind the cut in a file of their own.
    fn set_aside(&self, disk: &dyn Disk) -> Result<()> {
        if self.behind.frames == 0 {
            return Ok(());
        }
        let segment = &self.found.chain[self.last].segment;
        let (from, to) = (self.walk.offset, self.behind.last);
        let name = format!("{from:016x}.cut");
        let failed = |error| Error::io(format!("cannot set {name} aside"), &error);
        if disk.list().map_err(failed)?.contains(&name) {
            return Ok(());
        }
        let mut bytes = vec![0; (to - from) as usize];
        let read = segment.file.read_at(&mut bytes, segment.at(from)).map_err(failed)?;
        let file = disk.create(&name).map_err(failed)?;
        file.write_at(&bytes[..read], 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        disk.sync_dir().map_err(failed)
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
        let need = FRAMES_AT + 2 * frames.len() as u64 + limits_slack(&self.walk.index);
        let length = need.next_power_of_two().max(base.length);
        let fresh = self.fresh_segment(disk, length)?;
        let name = file_name(fresh.number);
        let failed = |error| Error::io(format!("cannot write {name} anew"), &error);
        fresh.file.write_at(&frames, FRAMES_AT).map_err(failed)?;
        fresh.file.sync().map_err(failed)?;
        let slot = Slot { number: fresh.number, length, ..base };
        let fresh = activate(fresh, slot).map_err(failed)?;
        let mut walk = Walk::begin(&slot);
        walk.segment(&fresh, self.walk.offset, slot.secret, &mut Nobody)?;
        self.walk.index = walk.index;
        if self.freeze.is_some() && first != self.last {
            self.freeze = None;
        }
        self.retire(first);
        self.fresh = Some(fresh);
        Ok(())
    }

    /// Segments from `first` on are superseded: their files can serve again.
    fn retire(&mut self, first: usize) {
        for old in self.found.chain.split_off(first) {
            self.found.spares.push((file_name(old.segment.number), old.segment.length));
        }
        self.last = first;
    }

    fn fresh_segment(&mut self, disk: &dyn Disk, length: u64) -> Result<Segment> {
        let number = self.found.next_number;
        let (name, to) = (format!("{number:016x}.new"), file_name(number));
        if self.found.spares.iter().any(|(spare, _)| *spare == name) {
            let failed = |error| Error::io(format!("cannot remove {name}"), &error);
            disk.remove(&name).map_err(failed)?;
            self.found.spares.retain(|(spare, _)| *spare != name);
        }
        make(disk, &name, length)?;
        let failed = |error| Error::io(format!("cannot prepare {to}"), &error);
        disk.rename(&name, &to).map_err(failed)?;
        disk.sync_dir().map_err(failed)?;
        self.found.next_number += 1;
        let file = disk.open(&to, true).map_err(failed)?;
        Ok(Segment::prepared(number, length, file))
    }

    fn into_journal(
        mut self,
        disk: Arc<dyn Disk>,
        lock: Box<dyn Lock>,
        options: Options,
        writes: bool,
    ) -> Result<Journal> {
        let table = self.table_before(self.last);
        let begun = self.found.chain.get(self.last).cloned();
        // A segment that was sealed, or cut before a later one, is not written to again.
        let ended = begun
            .as_ref()
            .is_some_and(|begun| begun.sealed.is_some() || self.last + 1 < self.found.chain.len());
        let next_run = self.run;
        let segment = match (&self.fresh, begun) {
            (Some(fresh), _) => fresh.clone(),
            (None, Some(begun)) => begun.segment,
            (None, None) => {
                return Err(Error::new(Code::Corrupt, "the journal has no segment".to_string()));
            }
        };
        let slot =
            segment.slot.ok_or_else(|| Error::new(Code::Panic, "a begun segment has a slot"))?;
        let (end, last) = (self.walk.offset, self.last);
        if ended && self.fresh.is_none() {
            let later = self.found.chain.split_off(last + 1);
            let gone =
                later.into_iter().map(|old| (file_name(old.segment.number), old.segment.length));
            self.found.spares.extend(gone);
        }
        let used: BTreeSet<u64> = table.keys().copied().chain([segment.number]).collect();
        self.collect_spares(&used);
        let row = Row { first: segment.first, length: segment.length, end, expires_ms: u64::MAX };
        let parts = Parts {
            disk,
            lock,
            options,
            slot,
            segment: segment.clone(),
            walk: self.walk,
            found: self.found,
            run: next_run,
            previous: self.previous,
        };
        let journal = assemble(parts);
        {
            let mut tail = journal.tail.lock();
            tail.table = table;
            if ended && self.fresh.is_none() && writes {
                tail.table.insert(segment.number, row);
                journal.begin_fresh(&mut tail)?;
            }
        }
        Ok(journal)
    }

    fn collect_spares(&mut self, used: &BTreeSet<u64>) {
        let known: BTreeSet<String> =
            self.found.spares.iter().map(|(name, _)| name.clone()).collect();
        for begun in &self.found.chain {
            let name = file_name(begun.segment.number);
            if !used.contains(&begun.segment.number) && !known.contains(&name) {
                self.found.spares.push((name, begun.segment.length));
            }
        }
        for blank in &self.found.blank {
            self.found.spares.push((file_name(blank.number), blank.length));
        }
        self.found.spares.retain(|(_, length)| length.is_power_of_two() && *length >= 4096);
    }
}

fn limits_slack(index: &Flat) -> u64 {
    2 * frame_bytes(index.bytes_with(64)) as u64
}

/// Writes the head of a fresh segment whose frames are durable, and makes it durable.
fn activate(mut segment: Segment, slot: Slot) -> std::io::Result<Segment> {
    segment.first = slot.first;
    segment.began_ms = slot.began_ms;
    segment.chain = Arc::new(AtomicU64::new(slot.chain));
    segment.slot = Some(Slot { role: Role::Begun, ..slot });
    segment.file.write_at(&Slot { role: Role::Begun, ..slot }.encode(), 0)?;
    segment.file.sync()?;
    Ok(segment)
}

/// What a journal is put together from.
struct Parts {
    disk: Arc<dyn Disk>,
    lock: Box<dyn Lock>,
    options: Options,
    slot: Slot,
    segment: Segment,
    walk: Walk,
    found: Survey,
    run: u64,
    previous: u64,
}

fn assemble(parts: Parts) -> Journal {
    let Parts { disk, lock, options, slot, segment, walk, found, run, previous } = parts;
    let epoch = walk.chain.epoch();
    let tail = Tail {
        segment: Arc::new(segment),
        end: walk.offset,
        next: walk.next,
        epoch,
        incarnation: walk.incarnation,
        begun: false,
        early: walk.early,
        index: walk.index,
        table: BTreeMap::new(),
        run,
        pins: BTreeMap::new(),
        parts: Vec::new(),
        pending: Vec::new(),
        pending_from: walk.offset,
        touched: Vec::new(),
        unmarked: None,
        taken: 0,
        closed: false,
        released: Vec::new(),
        recent: Vec::new(),
    };
    Journal {
        gate: Gate::new(walk.offset, walk.next - 1),
        writer: Mutex::new(Writer::new(walk.chain)),
        tail: Mutex::new(tail),
        spares: Mutex::new(Spares::found(found.next_number, found.spares)),
        run: Mutex::new(RunJob::found(run, previous)),
        helper: Mutex::new(Helper::default()),
        appended: AtomicU64::new(walk.offset),
        birth: Birth::now(),
        store: slot.store,
        secret: slot.secret,
        disk,
        lock,
        options,
    }
}

impl Journal {
    /// Begins a fresh segment at the cut, since the one before is not to be written again, and makes its head
    /// durable.
    fn begin_fresh(&self, tail: &mut Tail) -> Result<()> {
        let length = self.options.next_length(tail.segment.length, u64::MAX, 0);
        let next = self.spares.lock().take(self, length, Space::Freeing)?;
        self.begin(tail, next, self.disk.now_ms());
        let failed = |error| {
            Error::io(format!("cannot begin a segment in {}", self.disk.describe()), &error)
        };
        for part in std::mem::take(&mut tail.parts) {
            if let Part::Slot(segment, mut slot) = part {
                let chain = self.writer.lock().chain.value();
                segment.chain.store(chain, Ordering::Relaxed);
                slot.chain = chain;
                segment.file.write_at(&slot.encode(), slot.place()).map_err(failed)?;
                segment.file.sync().map_err(failed)?;
            }
        }
        tail.touched.clear();
        Ok(())
    }
}
