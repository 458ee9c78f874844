//! The bytes of a file of sorted rows: a state run, or a base.
//!
//! ```text
//! offset  size  file "<number>.run" (role 3) or "<number>.base" (role 5)
//!      0   512  a slot: number, journal offset and next sequence of the segment at whose first frame the state is
//!               as the rows say; its incarnation is the file's salt; `run` is the number of the run it goes on from,
//!               `successor` that from which on all changes are in it, 0 = the beginning; `length` and `end` are
//!               the bytes of the file, `index` is the file offset of its second part
//!    512        first part: rows of cold sections, one a key, in order
//!  index        second part: the head row, the journal's own rows, the rows of the other sections in order, the
//!               index, the filter, the last frame
//! ```
//!
//! All are state frames. The field `queue` names the table, and the body is the row; `sequence` is the section and
//! `index` the length of the key that the row begins with; `time` is 1 where the row is carried: it changed before the
//! run that this one goes on from. The journal's own rows are of section 0. These tables end a file:
//!
//! | table | row |
//! |---|---|
//! | 4,294,967,292 head | number, first, next, run, successor, index, role (8 each), as the slot must say |
//! | 4,294,967,291 index | for each stretch of the first part: file offset (8), section (4), length of its first key (4), that key |
//! | 4,294,967,290 filter | see `filter` |
//!
//! The last frame has the flag LAST, and counts the frames of the second part before it (`sequence`) and the rows of
//! the first part (`transaction`).
//!
//! The sums are seeded by the salt, and the offset in them is the file offset. In an encrypted store the frames
//! lie in sealed blocks under the salt, chained and numbered from 0, see `seal`; each stretch of the first part is
//! a block, and the second part begins one.
//!
//! A file is written under its name and `.tmp`, and gets its name when it is whole and durable; a beginning that was left
//! is removed by the next open.
//!
//! A file is valid if and only if its slot is, every frame of the second part up to the last is, its count holds, and the
//! head row says what the slot says. The first part is checked where it is read.

use super::chain::Chain;
use super::filter::{Filter, hash_of};
use super::format::{HEAD, Head, LAST, Type, body_sum, frame_bytes, u32_at, u64_at};
use super::key::{Keys, Purpose};
use super::prepare::UNFINISHED;
use super::rows::{GONE, Group};
use super::scan::{Met, Window, look};
use super::seal::{Gathering, Sealer, tampered};
use super::slot::{Role, SLOT, Slot, seed_of};
use crate::disk::{Disk, File};
use crate::error::{Code, Error, Result};
use crate::limits;
use std::sync::Arc;

const HEAD_ROW: u32 = u32::MAX - 3;
const INDEX: u32 = u32::MAX - 4;
const FILTER: u32 = u32::MAX - 5;
/// Bytes that gather in memory before they are written.
const STEP: usize = 256 << 10;
/// Bytes of a file that are read at a time where all of it is: a merge reads several beside each other.
const READ_STEP: usize = 64 << 10;
/// Bytes of a stretch of cold rows, at least: what is read to find one.
const STRETCH: u64 = 4 << 10;
/// Bytes of an entry of the index before the key.
const ENTRY: usize = 16;

/// Where a stretch of cold rows begins, and with which key.
struct Stretch {
    offset: u64,
    section: u32,
    key: Vec<u8>,
}

/// The name of a file of rows that is not whole yet.
pub fn unfinished(name: &str) -> String {
    format!("{name}{UNFINISHED}")
}

/// A file being written.
pub struct Out {
    name: String,
    file: Arc<dyn File>,
    slot: Slot,
    pending: Vec<u8>,
    written: u64,
    block: Option<Gathering>,
    sealer: Option<Sealer>,
    /// Bytes of a stretch.
    stretch: u64,
    index: Vec<Stretch>,
    filter: Filter,
    cold: u64,
    frames: u64,
}

impl Out {
    /// Begins a file; `cold` is how many cold rows it may get, of so many `bytes`.
    pub fn begin(
        (disk, name): (&dyn Disk, &str),
        slot: Slot,
        keys: Option<&Arc<Keys>>,
        (cold, bytes): (u64, u64),
    ) -> std::io::Result<Out> {
        let mut salt = [0; 16];
        disk.random(&mut salt)?;
        let begun = unfinished(name);
        if disk.list()?.contains(&begun) {
            disk.remove(&begun)?;
        }
        let file = disk.create(&begun)?;
        // The chain is of no use here, and says something of what the state is made of.
        let slot = Slot { incarnation: salt, chain: 0, chain_end: 0, expires_ms: 0, ..slot };
        let stretch = STRETCH.max(bytes / limits::INDEX_ENTRIES_MAX as u64);
        Ok(Out {
            name: name.to_string(),
            file,
            slot,
            pending: Vec::new(),
            written: SLOT as u64,
            block: keys.map(|_| Gathering::default()),
            sealer: keys.map(|keys| Sealer::of_file(keys.clone(), Purpose::Run, salt)),
            stretch,
            index: Vec::new(),
            filter: Filter::with_room(cold),
            cold: 0,
            frames: 0,
        })
    }

    fn end(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    /// Adds a cold group; they come in order.
    pub fn cold(&mut self, group: &Group) -> std::io::Result<()> {
        let full = self.index.last().is_none_or(|last| self.end() - last.offset >= self.stretch);
        if full {
            self.close_block();
            let (offset, section) = (self.end(), group.section);
            self.index.push(Stretch { offset, section, key: group.key.clone() });
        }
        self.filter.add(hash_of(group.section, &group.key));
        self.cold += 1;
        self.group(group)
    }

    /// Ends the first part. `own` are the journal's rows.
    pub fn begin_second(&mut self, own: &[(u32, Vec<u8>)]) -> std::io::Result<()> {
        self.close_block();
        self.slot.index = self.end();
        self.frames = 0;
        let head = head_row(&self.slot);
        self.frame((HEAD_ROW, 0, 0), (0, false), &head);
        for (table, row) in own {
            self.frame((*table, 0, 0), (0, false), row);
        }
        self.flush_full()
    }

    /// Adds the rows of a key.
    pub fn group(&mut self, group: &Group) -> std::io::Result<()> {
        for (table, row) in &group.rows {
            self.frame((*table, group.section, group.key.len()), (0, group.carried), row);
        }
        self.flush_full()
    }

    /// Ends the file and makes it durable, its name included. Returns it as it is read.
    pub fn finish(mut self, disk: &dyn Disk, keys: Option<&Arc<Keys>>) -> std::io::Result<RowFile> {
        let mut index = Vec::new();
        for stretch in &self.index {
            index.extend_from_slice(&stretch.offset.to_le_bytes());
            index.extend_from_slice(&stretch.section.to_le_bytes());
            let length = u32::try_from(stretch.key.len()).unwrap_or(u32::MAX);
            index.extend_from_slice(&length.to_le_bytes());
            index.extend_from_slice(&stretch.key);
        }
        self.frame((INDEX, 0, 0), (0, false), &index);
        let filter = self.filter.bytes().to_vec();
        self.frame((FILTER, 0, 0), (0, false), &filter);
        self.frame((0, 0, 0), (LAST, false), &[]);
        self.flush()?;
        (self.slot.end, self.slot.length) = (self.written, self.written);
        self.file.write_at(&self.slot.encode(), 0)?;
        self.file.sync()?;
        disk.rename(&unfinished(&self.name), &self.name)?;
        disk.sync_dir()?;
        let Out { file, slot, index, filter, cold, .. } = self;
        Ok(RowFile { slot, file, keys: keys.cloned(), index, filter, cold })
    }

    fn frame(
        &mut self,
        (table, section, key): (u32, u32, usize),
        (flags, carried): (u8, bool),
        row: &[u8],
    ) {
        let size = frame_bytes(row.len());
        if self.block.as_ref().is_some_and(|block| !block.has_room(&self.pending, size)) {
            self.close_block();
        }
        if let Some(block) = &mut self.block {
            block.open(&mut self.pending);
        }
        let last = flags & LAST != 0;
        let head = Head {
            length: u32::try_from(row.len()).unwrap_or(u32::MAX),
            kind: Type::State,
            flags,
            transaction: if last { self.cold } else { 0 },
            sequence: if last { self.frames } else { u64::from(section) },
            time_ms: u64::from(carried),
            queue: table,
            index: u32::try_from(key).unwrap_or(u32::MAX),
            body_sum: body_sum(&[row]),
        };
        let head = head.encode(self.end(), seed_of(&self.slot.incarnation));
        self.pending.extend_from_slice(&head);
        self.pending.extend_from_slice(row);
        self.pending.resize(self.pending.len() + size - HEAD - row.len(), 0);
        self.frames += 1;
    }

    fn close_block(&mut self) {
        if let Some(block) = &mut self.block {
            block.close(&mut self.pending);
        }
    }

    fn flush_full(&mut self) -> std::io::Result<()> {
        if self.pending.len() < STEP { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.close_block();
        if let Some(sealer) = &mut self.sealer {
            sealer.seal(&mut self.pending, self.written, &mut Chain::new(0, 0))?;
        }
        self.file.write_at(&self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

fn head_row(slot: &Slot) -> Vec<u8> {
    let role = u64::from(slot.role as u8);
    let words = [slot.number, slot.first, slot.next, slot.run, slot.successor, slot.index, role];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A file of sorted rows, open for looking rows up.
pub struct RowFile {
    pub slot: Slot,
    file: Arc<dyn File>,
    keys: Option<Arc<Keys>>,
    index: Vec<Stretch>,
    filter: Filter,
    /// How many cold rows it has.
    pub cold: u64,
}

/// What an open takes from a file: the journal's own rows, and those of the sections that are kept in memory.
#[derive(Default)]
pub struct Second {
    pub own: Vec<(u32, Vec<u8>)>,
    pub groups: Vec<Group>,
}

/// What a file says of a key.
pub enum Found {
    Row(Vec<u8>),
    /// A row that says that there is nothing any more.
    Gone,
    Nothing,
    Damaged,
}

impl RowFile {
    /// Opens a file that should have this number and role; `None` when it is not there, or not valid.
    pub fn open(
        (disk, name): (&dyn Disk, &str),
        (number, role): (u64, Role),
        secret: u32,
        keys: Option<&Arc<Keys>>,
    ) -> Result<Option<(RowFile, Second)>> {
        let Some((file, slot)) = head_of((disk, name), number)? else { return Ok(None) };
        let failed =
            |error| Error::io(format!("cannot read {name} in {}", disk.describe()), &error);
        let length = file.len().map_err(failed)?;
        let places = SLOT as u64 <= slot.index && slot.index <= slot.end && slot.end <= length;
        if slot.role != role || slot.secret != secret || !places {
            return Ok(None);
        }
        let (index, filter) = (Vec::new(), Filter::default());
        let mut found = RowFile { slot, file, keys: keys.cloned(), index, filter, cold: 0 };
        let Some(second) = found.read_second()? else { return Ok(None) };
        Ok(Some((found, second)))
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.slot.end
    }

    /// Whether it holds the whole state.
    pub fn is_base(&self) -> bool {
        self.slot.role == Role::Base
    }

    fn scan(&self, from: u64, to: u64, step: usize) -> Scan {
        // Most files are small.
        let part = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let window = Window::new(self.file.clone(), self.keys.clone());
        let window = window.stepping(step.min(part).max(HEAD));
        let mut window = window.of_run(self.slot.incarnation);
        window.read_below(to);
        Scan { window, at: from, to, seed: seed_of(&self.slot.incarnation), ahead: None }
    }

    /// Reads the second part; `None` where it is not valid.
    fn read_second(&mut self) -> Result<Option<Second>> {
        let mut scan = self.scan(self.slot.index, self.slot.end, STEP);
        let (mut second, mut count, mut headed) = (Second::default(), 0, false);
        while let Some((head, row)) = scan.frame()? {
            if head.flags & LAST != 0 {
                if !headed && self.keys.is_some() {
                    // Its seals hold, and it was written for another place.
                    return Err(tampered(self.slot.index));
                }
                self.cold = head.transaction;
                let whole = headed && head.sequence == count && scan.at == self.slot.end;
                return Ok(whole.then_some(second));
            }
            count += 1;
            match head.queue {
                HEAD_ROW => headed = row == head_row(&self.slot),
                INDEX => {
                    let Some(index) = read_index(&row, self.slot.index) else { return Ok(None) };
                    self.index = index;
                }
                FILTER => self.filter = Filter::of(&row),
                table if head.sequence == 0 => second.own.push((table, row)),
                _ => {
                    let Some(group) = group_of(&head, row) else { return Ok(None) };
                    join(&mut second.groups, group);
                }
            }
        }
        Ok(None)
    }

    /// The groups of the first part, in order. One that is damaged is an error.
    pub fn cold_groups(&self) -> impl Iterator<Item = Result<Group>> + Send + use<> {
        let mut scan = self.scan(SLOT as u64, self.slot.index, READ_STEP);
        let number = self.slot.number;
        std::iter::from_fn(move || scan.group(number).transpose())
    }

    /// Those of the second part, in order. One that is damaged is an error.
    pub fn warm_groups(&self) -> impl Iterator<Item = Result<Group>> + Send + use<> {
        let mut scan = self.scan(self.slot.index, self.slot.end, READ_STEP);
        let (number, mut count) = (self.slot.number, 0);
        std::iter::from_fn(move || scan.warm_group(number, &mut count).transpose())
    }

    /// Reads everything again; `false` where something is damaged.
    pub fn is_whole(&self) -> Result<bool> {
        Ok(self.is_cold_whole()? && self.warm_groups().all(|group| group.is_ok()))
    }

    /// Reads the first part; `false` where something is damaged.
    pub fn is_cold_whole(&self) -> Result<bool> {
        let mut count = 0;
        for group in self.cold_groups() {
            match group {
                Ok(_) => count += 1,
                Err(error) if error.code() == Code::Corrupt => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(count == self.cold)
    }

    /// The cold row of a key, whose hash is `hash`.
    pub fn find(&self, section: u32, key: &[u8], hash: u64) -> Result<Found> {
        if !self.filter.may_hold(hash) {
            return Ok(Found::Nothing);
        }
        let behind = self
            .index
            .partition_point(|stretch| (stretch.section, &stretch.key[..]) <= (section, key));
        let Some(at) = behind.checked_sub(1) else { return Ok(Found::Nothing) };
        let to = self.index.get(behind).map_or(self.slot.index, |next| next.offset);
        let from = self.index[at].offset;
        let mut scan = self.scan(from, to, STEP);
        while scan.at < to {
            let Some((head, row)) = scan.frame()? else { return Ok(Found::Damaged) };
            let Some(found) = row.get(..head.index as usize) else { return Ok(Found::Damaged) };
            let place = (head.sequence, found);
            if place == (u64::from(section), key) {
                return Ok(if head.queue == GONE { Found::Gone } else { Found::Row(row) });
            }
            if place > (u64::from(section), key) {
                break;
            }
        }
        Ok(Found::Nothing)
    }
}

/// The file of this name and its slot, as far as that is valid.
pub fn head_of(
    (disk, name): (&dyn Disk, &str),
    number: u64,
) -> Result<Option<(Arc<dyn File>, Slot)>> {
    let failed = |error| Error::io(format!("cannot read {name} in {}", disk.describe()), &error);
    // One that cannot be opened is no damage: the process may have too many files open.
    let file = match disk.open(name, false) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = [0; SLOT];
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    Ok(Slot::decode(&bytes[..read], number)?.map(|slot| (file, slot)))
}

fn damaged(number: u64) -> Error {
    let text = format!("a row of the state run {number:016x} is damaged");
    Error::new(Code::Corrupt, text).over(0, 0)
}

fn read_index(row: &[u8], end: u64) -> Option<Vec<Stretch>> {
    let (mut rest, mut index) = (row, Vec::new());
    while !rest.is_empty() {
        let (fixed, behind) = rest.split_at_checked(ENTRY)?;
        let (offset, section) = (u64_at(fixed, 0), u32_at(fixed, 8));
        let (key, behind) = behind.split_at_checked(u32_at(fixed, 12) as usize)?;
        index.push(Stretch { offset, section, key: key.to_vec() });
        rest = behind;
    }
    let sorted = index.is_sorted_by(|one: &Stretch, other: &Stretch| one.offset < other.offset);
    let inside = index.iter().all(|stretch| (SLOT as u64..end).contains(&stretch.offset));
    (sorted && inside).then_some(index)
}

/// A row as a group; `None` where its key is longer than it.
fn group_of(head: &Head, row: Vec<u8>) -> Option<Group> {
    let section = u32::try_from(head.sequence).ok()?;
    let key = row.get(..head.index as usize)?.to_vec();
    Some(Group { section, key, rows: vec![(head.queue, row)], carried: head.time_ms != 0 })
}

/// Adds a group to those before it; rows of one key are one group.
fn join(groups: &mut Vec<Group>, group: Group) {
    match groups.last_mut().filter(|last| last.place() == group.place()) {
        Some(last) => last.rows.extend(group.rows),
        None => groups.push(group),
    }
}

/// A walk through the frames of a file.
struct Scan {
    window: Window,
    at: u64,
    to: u64,
    seed: u32,
    ahead: Option<Group>,
}

impl Scan {
    /// The next frame; `None` where there is none that is valid.
    fn frame(&mut self) -> Result<Option<(Head, Vec<u8>)>> {
        let met = look(&mut self.window, self.at, (self.at, self.to), self.seed, 0)?;
        let Met::Frame(head, bytes, place) = met else { return Ok(None) };
        self.at = place.next;
        Ok((head.kind == Type::State).then(|| (head, bytes[HEAD..].to_vec())))
    }

    /// The next group; `None` at the end.
    fn group(&mut self, number: u64) -> Result<Option<Group>> {
        while self.at < self.to {
            let frame = self.frame()?.and_then(|(head, row)| group_of(&head, row));
            let group = frame.ok_or_else(|| self.end(number))?;
            if let Some(before) = self.follow(group) {
                return Ok(Some(before));
            }
        }
        Ok(self.ahead.take())
    }

    /// The next group of the second part, of which `count` frames were met; `None` at the end.
    fn warm_group(&mut self, number: u64, count: &mut u64) -> Result<Option<Group>> {
        while self.at < self.to {
            let Some((head, row)) = self.frame()? else { return Err(self.end(number)) };
            if head.flags & LAST != 0 {
                if head.sequence != *count || self.at != self.to {
                    return Err(self.end(number));
                }
                break;
            }
            *count += 1;
            // The journal's own rows, and what is known of the first part.
            if head.sequence == 0 {
                continue;
            }
            let group = group_of(&head, row).ok_or_else(|| self.end(number))?;
            if let Some(before) = self.follow(group) {
                return Ok(Some(before));
            }
        }
        Ok(self.ahead.take())
    }

    /// Takes a group in, or adds its rows to the one before; returns that one once it is whole.
    fn follow(&mut self, group: Group) -> Option<Group> {
        match &mut self.ahead {
            Some(ahead) if ahead.place() == group.place() => {
                ahead.rows.extend(group.rows);
                None
            }
            ahead => ahead.replace(group),
        }
    }

    /// Nothing is read behind damage.
    fn end(&mut self, number: u64) -> Error {
        (self.at, self.ahead) = (self.to, None);
        damaged(number)
    }
}
