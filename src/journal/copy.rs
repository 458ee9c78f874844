//! What a copy of a journal consists of, and whether what is durable is still what was written.
//!
//! A copy holds every segment that has bytes below a durable horizon, cut there, every staged file that was
//! adopted below it, and the state runs whose places are below it; that is what a power cut at the
//! horizon would have left, and it is opened like that. While it is made a pin keeps the segments. The last
//! segment of a copy is never sealed, since the one it names as the next is no part of it.
//!
//! A check reads the durable frames again, the way a replay does, and never what is still written to.

use super::adopt::{Adopted, StagedFile, staged_name};
use super::format::{HEAD, Head, LAST, Type};
use super::index::Sealed;
use super::run::{Numbers, file_of, name_of, reaches_back};
use super::scan::{Met, Window, look};
use super::slot::{FRAMES_AT, Role, SLOT, Slot, seed_of};
use super::{Journal, file_name};
use crate::disk::File;
use crate::error::{Code, Error, Result};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// How often somebody looks anew for a whole set of state runs beside a writer.
const LOOKS: usize = 100;
/// Bytes a check reads at a time.
const STEP: usize = 64 << 10;

/// A file of a copy.
pub struct Source {
    /// Its name in the store.
    pub name: String,
    /// Its content.
    pub file: Arc<dyn File>,
    /// Bytes the file has in a store.
    pub length: u64,
    /// Bytes of it that count.
    pub bytes: u64,
    /// The first bytes, as they are in the copy.
    pub head: Vec<u8>,
    /// Says that nothing of it will change any more, and what it is; 0 = it may change.
    pub seal: u64,
    /// Number and first journal offset of a segment.
    segment: Option<(u64, u64)>,
    /// The transaction of a staged file, and the file.
    staged: Option<(Arc<Adopted>, StagedFile)>,
}

impl Source {
    /// A file that is copied as it is.
    pub fn whole(name: &str, file: Arc<dyn File>, bytes: u64) -> Source {
        let (name, head) = (name.to_string(), Vec::new());
        Source { name, file, length: bytes, bytes, head, seal: 0, segment: None, staged: None }
    }
}

/// A pin that keeps all segments, until it is dropped.
pub struct Hold<'a>(&'a Journal, u64);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.unpin(self.1);
    }
}

/// A segment as far as it is durable.
struct Durable {
    number: u64,
    first: u64,
    end: u64,
    length: u64,
    sealed: bool,
}

impl Journal {
    /// Keeps all segments there are, and makes everything durable that was appended.
    pub fn hold(&self) -> Result<Hold<'_>> {
        let hold = Hold(self, self.pin(0));
        self.commit_all()?;
        Ok(hold)
    }

    /// Whether this journal only looks at what another process may be writing.
    pub fn is_looking(&self) -> bool {
        self.looked.is_some()
    }

    /// What a copy of everything durable consists of, and the horizon: journal offset and sequence.
    pub fn sources(&self) -> Result<(Vec<Source>, (u64, u64))> {
        let (segments, horizon) = self.durable_segments();
        let mut sources = self.runs_below(horizon.0)?;
        let last = segments.len().saturating_sub(1);
        for (at, segment) in segments.iter().enumerate() {
            sources.push(self.source(segment, at == last)?);
        }
        for adopted in self.with_files().iter().filter(|adopted| adopted.end <= horizon.0) {
            for staged in &adopted.body.files {
                let (name, file) =
                    (staged_name(staged.number), self.staged_file(adopted, staged.number)?);
                let source = Source::whole(&name, file, staged.length());
                let staged = Some((adopted.clone(), staged.clone()));
                // It never changes, and no other file has its salt.
                let seal = staged.as_ref().map_or(0, |(_, staged)| xxh3_64(&staged.salt).max(1));
                sources.push(Source { seal, staged, ..source });
            }
        }
        Ok((sources, horizon))
    }

    fn durable_segments(&self) -> (Vec<Durable>, (u64, u64)) {
        let tail = self.tail.lock();
        let horizon = self.durable();
        let rows = tail.table.iter().map(|(number, row)| Durable {
            number: *number,
            first: row.first,
            end: row.end.min(horizon.0),
            length: row.length,
            sealed: row.end <= horizon.0,
        });
        let segment = &tail.segment;
        let growing = Durable {
            number: segment.number,
            first: segment.first,
            end: horizon.0,
            length: segment.length,
            sealed: false,
        };
        let all = rows.chain([growing]).filter(|one| one.first < horizon.0.max(1));
        (all.collect(), horizon)
    }

    fn source(&self, segment: &Durable, last: bool) -> Result<Source> {
        let name = file_name(segment.number);
        let failed = |error| self.unread(&name, &error);
        let file = self.disk.open(&name, false).map_err(failed)?;
        let mut head = vec![0; FRAMES_AT as usize];
        let read = file.read_at(&mut head, 0).map_err(failed)?;
        head.truncate(read);
        self.slot_in(&head, segment)?;
        let seal = head.get(2 * SLOT..).unwrap_or(&[]);
        let sealed = segment.sealed && !last && Slot::decode(seal, segment.number)?.is_some();
        let seal = if sealed { xxh3_64(seal).max(1) } else { 0 };
        if !sealed {
            head.truncate(2 * SLOT);
            head.resize(FRAMES_AT as usize, 0);
        }
        let bytes = segment.end - segment.first + FRAMES_AT;
        let at = Some((segment.number, segment.first));
        let length = segment.length;
        Ok(Source { name, file, length, bytes, head, seal, segment: at, staged: None })
    }

    /// The head of a segment, which must be the one that is meant.
    fn slot_in(&self, head: &[u8], segment: &Durable) -> Result<Slot> {
        for at in 0..3 {
            let bytes = head.get(at * SLOT..).unwrap_or(&[]);
            if let Some(slot) = Slot::decode(bytes, segment.number)?
                && slot.first == segment.first
            {
                return Ok(slot);
            }
        }
        let name = file_name(segment.number);
        let text = format!("no head of {name} in {} can be read", self.disk.describe());
        Err(Error::new(Code::Corrupt, text).over(segment.first, segment.end))
    }

    fn unread(&self, name: &str, error: &std::io::Error) -> Error {
        Error::io(format!("cannot read {name} in {}", self.disk.describe()), error)
    }

    /// The state runs and bases that stand for a place below the horizon.
    fn runs_below(&self, horizon: u64) -> Result<Vec<Source>> {
        // Nobody here removes one meanwhile; another process may, and then it has put another one in its place.
        let _kept = self.merging.lock();
        for turn in 0.. {
            let (files, numbers) = self.open_runs(horizon)?;
            let newest = numbers.runs.last().copied();
            let whole = newest.is_none_or(|newest| reaches_back(&files, newest));
            if whole || turn == LOOKS {
                return Ok(files.into_iter().map(|(source, _)| source).collect());
            }
            crate::sync::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(Vec::new())
    }

    /// Those that are whole, each with its head.
    fn open_runs(&self, horizon: u64) -> Result<(Vec<(Source, Slot)>, Numbers)> {
        let (mut sources, mut numbers) = (Vec::new(), Numbers::default());
        for (number, role) in self.run_numbers()? {
            let Some(run) = self.directory().open(number, role)? else { continue };
            let name = name_of(&run.slot);
            let Ok(file) = self.disk.open(&name, false) else { continue };
            if run.slot.first > horizon {
                continue;
            }
            match role {
                Role::Base => numbers.bases.insert(0, number),
                _ => numbers.runs.insert(0, number),
            }
            let source = Source::whole(&name, file, run.bytes());
            // It never changes, and no other file has its salt.
            let seal = xxh3_64(&run.slot.incarnation).max(1);
            sources.push((Source { seal, ..source }, run.slot));
        }
        Ok((sources, numbers))
    }

    /// The state runs and bases, the newest first.
    fn run_numbers(&self) -> Result<Vec<(u64, Role)>> {
        Ok(self.directory().numbers()?.newest_first())
    }

    /// Reads everything durable again and returns how many bytes and transactions that were; `pace` is told
    /// of bytes read, and may take its time, or end the check with an error.
    ///
    /// The first damage ends it. A segment that is given back meanwhile is no damage.
    pub fn check(&self, pace: &mut dyn FnMut(u64) -> Result<()>) -> Result<(u64, u64)> {
        let (segments, (horizon, _)) = self.durable_segments();
        let (mut bytes, mut transactions) = (0, 0);
        for segment in &segments {
            match self.check_segment(segment, pace) {
                Ok(counts) => {
                    bytes += counts.0;
                    transactions += counts.1;
                }
                Err(error) if error.code() == Code::Cancelled => return Err(error),
                Err(_) if self.was_given_back(segment.number) => {}
                Err(error) => return Err(error),
            }
        }
        bytes += self.check_adopted(horizon, pace)?;
        Ok((bytes + self.check_runs(pace)?, transactions))
    }

    /// The same segment by segment, to the end: numbers of those that are damaged, first and last sequence of
    /// their transactions, and what is wrong.
    pub fn damaged_segments(&self) -> Vec<(u64, (u64, u64), Error)> {
        let (segments, _) = self.durable_segments();
        let nexts: Vec<(u64, u64)> = {
            let tail = self.tail.lock();
            let of_tail = tail.segment.slot.map_or(tail.next, |slot| slot.next);
            let rows = tail.table.iter().map(|(number, row)| (*number, row.next));
            rows.chain([(tail.segment.number, of_tail)]).collect()
        };
        let mut found = Vec::new();
        for segment in &segments {
            if let Err(error) = self.check_segment(segment, &mut |_| Ok(())) {
                let at = nexts.iter().position(|(number, _)| *number == segment.number);
                let first = at.map_or(0, |at| nexts[at].1);
                let behind = at.and_then(|at| nexts.get(at + 1)).map_or(first, |next| next.1);
                found.push((segment.number, (first, behind.saturating_sub(1)), error));
            }
        }
        found
    }

    /// State runs and bases that cannot be read, and those that stand for a place behind an offset: their names.
    pub fn runs_to_drop(&self, cut: u64) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (number, role) in self.run_numbers()? {
            if !self.is_run_whole(number, role, cut)? {
                names.push(file_of(number, role));
            }
        }
        Ok(names)
    }

    fn is_run_whole(&self, number: u64, role: Role, cut: u64) -> Result<bool> {
        let Some(run) = self.directory().open(number, role)? else { return Ok(false) };
        Ok(run.slot.first <= cut && run.is_whole()?)
    }

    /// Segments of the journal: number, first journal offset, and bytes its file must have.
    pub fn segment_places(&self) -> Vec<(u64, u64, u64)> {
        let tail = self.tail.lock();
        let rows = tail.table.iter().map(|(number, row)| (*number, row.first, row.length));
        let segment = &tail.segment;
        rows.chain([(segment.number, segment.first, segment.length)]).collect()
    }

    /// Says in the journal, durably, that these segments are no part of it any more.
    pub fn write_off(&self, numbers: &[u64]) -> Result<()> {
        for number in numbers {
            let mut tail = self.tail.lock();
            if tail.end_with(HEAD, HEAD, 0) > tail.segment.length {
                drop(tail);
                let store = self.disk.describe();
                let text =
                    format!("{} segments are too many to be given up in {store}", numbers.len());
                return Err(Error::new(Code::Quota, text));
            }
            tail.table.remove(number);
            tail.put_local(Type::Reclaim, 0, *number, &[]);
            self.appended.store(tail.end, crate::sync::Ordering::Release);
        }
        self.commit_all()
    }

    /// Checks the state runs and bases: an open begins with them, and rows are looked for in them.
    fn check_runs(&self, pace: &mut dyn FnMut(u64) -> Result<()>) -> Result<u64> {
        let mut bytes = 0;
        for (number, role) in self.run_numbers()? {
            match self.directory().open(number, role)? {
                Some(run) if run.is_whole()? => {
                    pace(run.bytes())?;
                    bytes += run.bytes();
                }
                // Removed since the list was made, or being written.
                _ if !self.run_stays(number, role)? => {}
                _ => {
                    let (store, name) = (self.disk.describe(), file_of(number, role));
                    let text = format!("the state run {name} in {store} is damaged");
                    return Err(Error::new(Code::Corrupt, text).over(0, 0));
                }
            }
        }
        Ok(bytes)
    }

    /// Whether a run that could not be read is neither removed nor on its way.
    fn run_stays(&self, number: u64, role: Role) -> Result<bool> {
        // Whoever writes one here holds one of these; a process that only looks gives the writer time.
        drop(self.merging.lock());
        drop(self.settling.lock());
        if !self.run_numbers()?.contains(&(number, role)) {
            return Ok(false);
        }
        if self.is_looking() {
            crate::sync::thread::sleep(std::time::Duration::from_millis(50));
        }
        let there = self.run_numbers()?.contains(&(number, role));
        Ok(there && !self.is_run_whole(number, role, u64::MAX)?)
    }

    fn check_segment(
        &self,
        segment: &Durable,
        pace: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<(u64, u64)> {
        let name = file_name(segment.number);
        let file = self.disk.open(&name, false).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let text = format!("{name} in {} is missing", self.disk.describe());
                Error::new(Code::Corrupt, text).over(segment.first, segment.end)
            }
            _ => self.unread(&name, &error),
        })?;
        self.check_file(&file, segment, pace)
    }

    /// Walks the durable frames of a segment's file, or of a copy of it.
    fn check_file(
        &self,
        file: &Arc<dyn File>,
        segment: &Durable,
        pace: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<(u64, u64)> {
        let mut head = vec![0; FRAMES_AT as usize];
        let name = file_name(segment.number);
        let read = file.read_at(&mut head, 0).map_err(|error| self.unread(&name, &error))?;
        let slot = self.slot_in(&head[..read], segment)?;
        let mut window = Window::new(file.clone(), self.keys.clone()).stepping(STEP);
        window.read_below(segment.end - segment.first + FRAMES_AT);
        let (mut offset, mut seed) = (segment.first, slot.seed());
        let (mut next, mut index, mut told) = (slot.next, 0, 0);
        let mut listed = None;
        while offset < segment.end {
            let at = offset - segment.first + FRAMES_AT;
            let met = look(&mut window, at, (offset, segment.end), seed, self.secret)?;
            let damaged = |what: &str| {
                let text = format!("{what} at {offset} in {name} of {}", self.disk.describe());
                Error::new(Code::Corrupt, text).over(offset, segment.end)
            };
            let Met::Frame(head, frame, place) = met else {
                return Err(damaged("a record fails its checksum"));
            };
            match head.kind {
                Type::Incarnation => {
                    let body = frame[HEAD..].first_chunk();
                    seed = body.map_or(seed, seed_of);
                }
                Type::Index => listed = Some(Sealed::decode(&frame[HEAD..])),
                kind if kind.is_local() => {}
                _ => follow(&head, &mut next, &mut index)
                    .ok_or_else(|| damaged("a record out of its order"))?,
            }
            offset = place.next;
            if window.read > told {
                pace(window.read - told)?;
                told = window.read;
            }
        }
        if listed == Some(None) || index != 0 {
            let text = format!("{name} of {} does not end as it should", self.disk.describe());
            return Err(Error::new(Code::Corrupt, text).over(segment.first, segment.end));
        }
        Ok((segment.end - segment.first + FRAMES_AT, next - slot.next))
    }

    /// Checks what was copied from a source: a copy of damage is none.
    pub fn check_copy(&self, source: &Source, file: &Arc<dyn File>) -> Result<()> {
        if let Some((adopted, staged)) = &source.staged {
            return self.check_staged(adopted, staged, file, &mut |_| Ok(())).map(|_| ());
        }
        let Some((number, first)) = source.segment else { return Ok(()) };
        let end = first + source.bytes - FRAMES_AT;
        let (length, sealed) = (source.length, source.seal != 0);
        let segment = Durable { number, first, end, length, sealed };
        self.check_file(file, &segment, &mut |_| Ok(())).map(|_| ())
    }

    /// Whether what a source was copied from is gone, and may have been written over.
    pub fn was_recycled(&self, source: &Source) -> bool {
        let segment = source.segment.is_some_and(|(number, _)| self.was_given_back(number));
        let released = |(adopted, staged): &(Arc<Adopted>, StagedFile)| {
            self.was_released_of(adopted.transaction, staged.number)
        };
        segment || source.staged.as_ref().is_some_and(released)
    }
}

/// Whether a record is the one that comes next; moves on when it is.
fn follow(head: &Head, next: &mut u64, index: &mut u32) -> Option<()> {
    if head.transaction != *next || head.index != *index {
        return None;
    }
    *index += 1;
    if head.flags & LAST != 0 {
        (*next, *index) = (*next + 1, 0);
    }
    Some(())
}
