//! State runs: the state of a store as it is at the first frame of a segment.
//!
//! ```text
//! offset  size  file "<number>.run"
//!      0   512  a slot of role 3: number of the segment, journal offset and next sequence at its first frame
//!    512        state frames, one row each; the last has the flag LAST and counts the rows before it in its
//!               field `sequence`
//! ```
//!
//! In a state frame the field `queue` names the table and the body is the row. The sums are seeded by the
//! store's secret and the number, and the offset in them is the file offset. A run is valid if and only if
//! every frame up to the last is, and the count holds. Table 0 is the journal's own: the segments before, and where
//! moved messages stand (`moved`), told apart by the length of the row. So is table 4,294,967,295: the staged
//! transactions that have files, see `adopt`.
//!
//! In an encrypted store one sealed block holds all the frames, under a salt of its own; see `seal`.
//!
//! The newest three runs are kept, so that a damaged one is replaced by the one before and a longer replay.

use super::Journal;
use super::adopt::{Adopted, Adoptions};
use super::format::{HEAD, Head, LAST, Type, body_sum, frame_bytes, u64_at};
use super::key::Keys;
use super::moved::{self, Moved, row_of};
use super::seal;
use super::slot::{Role, SLOT, Slot};
use super::tail::Row;
use crate::disk::{Disk, File};
use crate::error::{Code, Error, Result};
use crate::limits;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Runs kept on disk.
const KEPT: usize = 3;
/// The journal's own table: segments before the run.
const SEGMENTS: u32 = 0;
/// The journal's own table: staged transactions that were adopted.
const ADOPTED: u32 = u32::MAX;

/// The rows of a run being frozen.
pub struct Rows {
    number: u64,
    seed: u32,
    rows: u64,
    bytes: Vec<u8>,
}

/// The run that is frozen and not yet durable, and the newest that is.
#[derive(Default)]
pub struct RunJob {
    frozen: Option<(Rows, Slot)>,
    durable: u64,
    previous: u64,
}

impl RunJob {
    /// With the newest run an open found, and the one before, 0 = none.
    pub fn found(durable: u64, previous: u64) -> RunJob {
        RunJob { frozen: None, durable, previous }
    }

    /// Keeps a frozen run until somebody writes it.
    pub fn freeze(&mut self, rows: Rows, slot: Slot) {
        self.frozen = Some((rows, slot));
    }

    /// Whether a run waits to be written; a second one would only take its place, and be durable later.
    pub fn waits(&self) -> bool {
        self.frozen.is_some()
    }
}

impl Rows {
    pub(super) fn new(number: u64, secret: u32) -> Rows {
        Rows { number, seed: seed(secret, number), rows: 0, bytes: Vec::new() }
    }

    /// Adds a row to a table; tables are numbered from 1.
    pub fn put(&mut self, table: u32, row: &[&[u8]]) {
        self.frame(table, 0, 0, row);
        self.rows += 1;
    }

    pub(super) fn table(&mut self, table: &BTreeMap<u64, Row>, moved: &Moved) {
        for (number, row) in table {
            let (next, began) = (row.next, row.began_ms);
            let words = [*number, row.first, row.length, row.end, row.expires_ms, next, began];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.put(SEGMENTS, &[&bytes]);
        }
        for (key, home) in moved {
            self.put(SEGMENTS, &[&row_of(*key, home)]);
        }
    }

    /// The staged transactions that were adopted, or were and whose segment is among these or the run's own.
    pub(super) fn adopted(&mut self, table: &BTreeMap<u64, Row>, adopted: &Adoptions) {
        let oldest = table.keys().next().copied().unwrap_or(self.number);
        for row in adopted.rows(oldest) {
            self.put(ADOPTED, &[&row]);
        }
    }

    fn frame(&mut self, table: u32, flags: u8, sequence: u64, row: &[&[u8]]) {
        let length: usize = row.iter().map(|part| part.len()).sum();
        let head = Head {
            length: u32::try_from(length).unwrap_or(u32::MAX),
            kind: Type::State,
            flags,
            transaction: 0,
            sequence,
            time_ms: 0,
            queue: table,
            index: 0,
            body_sum: body_sum(row),
        };
        let offset = (SLOT + self.bytes.len()) as u64;
        self.bytes.extend_from_slice(&head.encode(offset, self.seed));
        for part in row {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.resize(self.bytes.len() + frame_bytes(length) - HEAD - length, 0);
    }

    fn finish(&mut self) {
        let rows = self.rows;
        self.frame(SEGMENTS, LAST, rows, &[]);
    }
}

fn seed(secret: u32, number: u64) -> u32 {
    secret ^ (number as u32).rotate_left(16) ^ 0x5354_4154
}

/// The name of a run's file.
pub fn run_name(number: u64) -> String {
    format!("{number:016x}.run")
}

/// The number in the name of a run's file.
pub fn run_number(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".run")?;
    super::number_in(hex)
}

/// A run, read back.
pub struct Run {
    /// Its place: journal offset and next sequence.
    pub slot: Slot,
    pub segments: BTreeMap<u64, Row>,
    /// Where moved messages stand.
    pub moved: Moved,
    pub adopted: Adoptions,
    rows: Vec<(u32, std::ops::Range<usize>)>,
    bytes: Vec<u8>,
}

impl Run {
    /// Reads a run; `None` when it is not there or not valid.
    pub fn read(
        disk: &dyn Disk,
        secret: u32,
        number: u64,
        keys: Option<&Keys>,
    ) -> Result<Option<Run>> {
        let Some(file) = open(disk, number)? else { return Ok(None) };
        let failed = |error| cannot_read(disk, number, &error);
        let length = file.len().map_err(failed)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = file.read_at(&mut bytes, 0).map_err(failed)?;
        bytes.truncate(read);
        let Some(slot) = Slot::decode(&bytes[..bytes.len().min(SLOT)], number)? else {
            return Ok(None);
        };
        if slot.role != Role::Run || slot.secret != secret {
            return Ok(None);
        }
        if let Some(keys) = keys {
            let Some(frames) = seal::open_run(keys, &slot, bytes.get(SLOT..).unwrap_or(&[]))?
            else {
                return Ok(None);
            };
            bytes.truncate(SLOT);
            bytes.extend_from_slice(&frames);
        }
        Run::decode(bytes, slot, seed(secret, number))
    }

    /// Reads only the head of a run.
    pub fn head(disk: &dyn Disk, number: u64) -> Result<Option<Slot>> {
        let Some(file) = open(disk, number)? else { return Ok(None) };
        let mut bytes = [0; SLOT];
        let read = file.read_at(&mut bytes, 0);
        let read = read.map_err(|error| cannot_read(disk, number, &error))?;
        Slot::decode(&bytes[..read], number)
    }

    /// Bytes of its file.
    pub fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn decode(bytes: Vec<u8>, slot: Slot, seed: u32) -> Result<Option<Run>> {
        let (segments, moved, adopted) = (BTreeMap::new(), Moved::new(), Adoptions::default());
        let mut run = Run { slot, segments, moved, adopted, rows: Vec::new(), bytes: Vec::new() };
        let (mut at, mut count) = (SLOT, 0);
        loop {
            let Some(head) = Head::decode(bytes.get(at..).unwrap_or(&[]), at as u64, seed)? else {
                return Ok(None);
            };
            let body = at + HEAD..at + HEAD + head.length as usize;
            let Some(row) = bytes.get(body.clone()) else { return Ok(None) };
            if head.kind != Type::State || body_sum(&[row]) != head.body_sum {
                return Ok(None);
            }
            if head.flags & LAST != 0 {
                run.bytes = bytes;
                return Ok((head.sequence == count).then_some(run));
            }
            if head.queue == SEGMENTS && row.len() == 56 {
                let word = |n: usize| u64_at(row, 8 * n);
                if [0, 1, 2, 3, 5].iter().any(|n| word(*n) >= limits::NUMBERS_END) {
                    return Ok(None);
                }
                let (first, length, end, expires_ms) = (word(1), word(2), word(3), word(4));
                let (next, began_ms) = (word(5), word(6));
                let row = Row { first, length, end, expires_ms, next, began_ms };
                run.segments.insert(word(0), row);
            } else if head.queue == SEGMENTS && row.len() == moved::ROW {
                let (key, home) = moved::read_row(row);
                if key.1.max(home.offset).max(home.end) >= limits::NUMBERS_END {
                    return Ok(None);
                }
                run.moved.insert(key, home);
            } else if head.queue == ADOPTED {
                let Some(adopted) = Adopted::decode(row) else { return Ok(None) };
                run.adopted.insert(adopted);
            } else {
                run.rows.push((head.queue, body));
            }
            count += 1;
            at += head.frame_bytes();
        }
    }

    /// The rows of the store's tables, in the order they were put.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.rows.iter().map(|(table, range)| (*table, &self.bytes[range.clone()]))
    }
}

/// The file of a run; `None` when there is none. One that cannot be opened is no damage: the process may have too
/// many files open.
fn open(disk: &dyn Disk, number: u64) -> Result<Option<Arc<dyn File>>> {
    match disk.open(&run_name(number), false) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_read(disk, number, &error)),
    }
}

fn cannot_read(disk: &dyn Disk, number: u64, error: &std::io::Error) -> Error {
    Error::io(format!("cannot read {} in {}", run_name(number), disk.describe()), error)
}

impl Journal {
    /// Keeps the rows frozen at the first frame of the segment with this head; a helper, or a later roll,
    /// writes them.
    pub(super) fn freeze_run(&self, rows: Rows, slot: Slot) {
        self.run.lock().freeze(rows, Slot { role: Role::Run, ..slot });
    }

    /// Makes the frozen run durable and returns the number of the newest durable one, 0 = none.
    ///
    /// A run whose place is not durable yet waits: an open believes a run without asking whether what it
    /// stands for reached the disk.
    pub(super) fn settle_run(&self) -> Result<u64> {
        let mut job = self.run.lock();
        let durable = self.durable_offset();
        let ready = job.frozen.as_ref().is_some_and(|(_, slot)| {
            slot.first <= durable || sabotage!("state run before its place is durable")
        });
        if let Some((mut rows, slot)) = job.frozen.take_if(|_| ready) {
            rows.finish();
            let keys = self.keys.as_deref();
            let mut written = write(&*self.disk, &rows, &slot, keys);
            if written.as_ref().is_err_and(|error| error.code() == Code::NoSpace) {
                // On a full disk older runs make room; the newest durable one is enough until then.
                self.drop_runs(job.durable, 1);
                written = write(&*self.disk, &rows, &slot, keys);
            }
            if let Err(error) = written {
                // The rows are kept: the next try writes the same run.
                let what = format!("cannot write state run {}", run_name(rows.number));
                unfinish(&mut rows);
                job.frozen = Some((rows, slot));
                return Err(Error::because(error.code(), what, &error));
            }
            if job.durable != slot.number {
                job.previous = job.durable;
            }
            job.durable = slot.number;
            self.drop_runs(slot.number, KEPT);
        }
        Ok(job.durable)
    }

    /// The oldest segment an open may need, the one of the run before the newest: reclaiming stops before it.
    pub(super) fn needed_from(&self) -> u64 {
        self.run.lock().previous
    }

    /// Removes all runs up to this one but so many.
    fn drop_runs(&self, newest: u64, kept: usize) {
        let Ok(names) = self.disk.list() else { return };
        let mut runs: Vec<u64> = names.iter().filter_map(|name| run_number(name)).collect();
        runs.retain(|number| *number <= newest);
        runs.sort_unstable_by(|a, b| b.cmp(a));
        for old in runs.into_iter().skip(kept) {
            // One too many costs space only; the next roll tries again.
            let _ = self.disk.remove(&run_name(old));
        }
    }
}

fn unfinish(rows: &mut Rows) {
    let last = frame_bytes(0);
    rows.bytes.truncate(rows.bytes.len() - last);
}

fn write(disk: &dyn Disk, rows: &Rows, slot: &Slot, keys: Option<&Keys>) -> Result<()> {
    let name = run_name(rows.number);
    let failed = |error| Error::io(format!("cannot write {name} in {}", disk.describe()), &error);
    let names = disk.list().map_err(failed)?;
    if names.contains(&name) {
        disk.remove(&name).map_err(failed)?;
    }
    // The chain is of no use in a run, and says something of what it holds.
    let mut head = Slot { chain: 0, chain_end: 0, ..*slot };
    let sealed = keys.map(|keys| seal::seal_run(keys, disk, &head, &rows.bytes));
    let sealed = sealed.transpose().map_err(failed)?;
    let frames = sealed.as_ref().unwrap_or(&rows.bytes);
    head.length = (SLOT + frames.len()) as u64;
    let mut bytes = head.encode().to_vec();
    bytes.extend_from_slice(frames);
    let put = || {
        let file = disk.create(&name)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.sync_dir()
    };
    put().map_err(|error| {
        // A part of a run is of no use, and the disk may be full.
        let _ = disk.remove(&name);
        failed(error)
    })
}
