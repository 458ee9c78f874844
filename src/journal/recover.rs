//! What is believed after a stop of any kind.
//!
//! An open takes the newest state run, replays the segments from its place on (two, as a rule), and ends at
//! the first place that holds no valid frame or an unfinished transaction: the *cut*. What is known to be
//! durable decides what the cut means. *Known durable* is the highest of: the offsets in watermarks anywhere
//! behind the cut, the marks of later segments, the place of the run (a run is written only when all before it
//! is durable), and *done* in the lock page.
//!
//! - The cut lies below it: the journal is `Corrupt` from there on. Nothing is changed; the store can be opened
//!   for reading, up to the cut.
//! - Otherwise it is the torn end of the last life, see `settle`.
//!
//! A run belongs to the segment that begins at its journal offset with its next sequence; not to a number,
//! since a segment may have been superseded by a copy.

use super::Segment;
use super::format::HEAD;
use super::moved::still_there;
use super::replay::{Visitor, Walk};
use super::rows::Rows;
use super::run::{Directory, State};
use super::scan::{Behind, look_behind};
use super::slot::{Role, Slot, seed_of};
use super::sorted::RowFile;
use super::survey::Survey;
use super::tail::Row;
use crate::disk::Disk;
use crate::error::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// What lies behind the cut in one segment.
pub struct Rest {
    /// The segment.
    pub segment: Segment,
    /// Journal offset from which on it was looked through.
    pub from: u64,
    /// What was found.
    pub behind: Behind,
}

/// A replay that ended at the cut.
pub struct Replay {
    pub found: Survey,
    pub walk: Walk,
    /// The segment the walk began in, as a place in the chain.
    pub from: usize,
    /// The segment it ended in.
    pub last: usize,
    pub rests: Vec<Rest>,
    /// Journal offset up to which everything is known to be durable.
    pub known: u64,
    /// The run before the one the walk began with.
    pub previous: u64,
    /// What rows that are in no memory are looked for in.
    pub files: Vec<Arc<RowFile>>,
    /// The segments before the one the walk began in.
    pub table: BTreeMap<u64, Row>,
    /// The state as it was at the first frame of the last segment begun.
    pub freeze: Option<(Rows, Slot)>,
    pub recovered: Recovered,
    /// The copy of a doubtful end, which supersedes the segments it was made of.
    pub fresh: Option<Segment>,
}

/// The run a replay begins with.
struct Choice {
    previous: u64,
    from: usize,
    state: Option<State>,
}

impl Choice {
    /// The newest run that is whole and whose segment is there; without one, the beginning of the journal.
    fn make(disk: &dyn Disk, found: &Survey, secret: u32, rows: bool) -> Result<Choice> {
        let directory = Directory { disk, secret, keys: found.keys.as_ref() };
        let place = |slot: &Slot| {
            let fits = |begun: &Slot| (begun.first, begun.next) == (slot.first, slot.next);
            found.chain.iter().rposition(|begun| fits(&begun.slot))
        };
        let mut choice: Option<Choice> = None;
        for number in found.runs.runs.iter().rev().copied() {
            let from = directory.head(number)?.as_ref().and_then(place);
            let Some(from) = from else { continue };
            if let Some(choice) = &mut choice {
                choice.previous = number;
                break;
            }
            let state = match rows {
                true => State::read(directory, number, &found.runs)?,
                false => State::read_own(directory, number)?,
            };
            let Some(state) = state else { continue };
            choice = Some(Choice { previous: 0, from, state: Some(state) });
        }
        if let Some(choice) = choice {
            return Ok(choice);
        }
        let Some(from) = found.chain.iter().position(|begun| begun.slot.first == 0) else {
            let text = format!("no state run of {} can be read", disk.describe());
            let end = found.chain.last().map_or(0, |begun| begun.slot.first);
            return Err(Error::new(Code::Corrupt, text).over(0, end));
        };
        Ok(Choice { previous: 0, from, state: None })
    }
}

impl Replay {
    /// Gives everything up to the cut, and at most up to the journal offset `until`, to `visitor`. `done` is
    /// what the lock page knows to be durable. The survey holds at least one segment.
    pub fn run(
        disk: &dyn Disk,
        found: Survey,
        done: u64,
        until: u64,
        visitor: &mut dyn Visitor,
    ) -> Result<Replay> {
        let secret = found.chain[found.chain.len() - 1].slot.secret;
        let choice = Choice::make(disk, &found, secret, visitor.takes_rows())?;
        let walk = Walk::begin(&found.chain[choice.from].slot, found.keys.clone());
        let mut replay = Replay {
            known: if choice.state.is_some() { done.max(walk.offset) } else { done },
            found,
            walk,
            last: choice.from,
            from: choice.from,
            rests: Vec::new(),
            previous: choice.previous,
            files: Vec::new(),
            table: BTreeMap::new(),
            freeze: None,
            recovered: Recovered::default(),
            fresh: None,
        };
        if let Some(state) = choice.state {
            for (table, row) in &state.rows {
                visitor.row(*table, row)?;
            }
            replay.walk.read += state.read;
            replay.table = state.segments;
            replay.walk.moved = state.moved;
            replay.walk.adopted = state.adopted;
            replay.files = state.files;
        }
        for (queue, name) in visitor.queues() {
            replay.walk.chain.name_queue(queue, &name);
        }
        replay.walk_segments(secret, until, visitor)?;
        for body in visitor.prepared() {
            replay.walk.adopted.prepare(body);
        }
        replay.decide()?;
        Ok(replay)
    }

    fn walk_segments(&mut self, secret: u32, until: u64, visitor: &mut dyn Visitor) -> Result<()> {
        for at in self.from..self.found.chain.len() {
            let begun = &self.found.chain[at];
            if at > self.from {
                let (first, next) = (begun.slot.first, begun.slot.next);
                if self.walk.offset != first || self.walk.next != next {
                    break;
                }
                let mut rows = Rows::default();
                let (table, number) = (self.table_before(at), begun.segment.number);
                let mut moved = self.walk.moved.clone();
                still_there(&mut moved, &table, first);
                rows.segments(&table, &moved);
                rows.adopted(&table, (&self.walk.adopted, number));
                visitor.freeze(&mut rows);
                self.freeze = Some((rows, Slot { role: Role::Run, ..begun.slot }));
            }
            self.last = at;
            let limit = self.found.limit(at).min(until);
            self.walk.segment(&begun.segment, limit, secret, visitor)?;
            if self.walk.cut {
                break;
            }
        }
        Ok(())
    }

    /// The rows of the segments before the one at `at`, as the walk knows them.
    pub fn table_before(&self, at: usize) -> BTreeMap<u64, Row> {
        let mut table = self.table.clone();
        for (place, begun) in self.found.chain[..at].iter().enumerate().skip(self.from) {
            let next = &self.found.chain[place + 1];
            let row = Row {
                first: begun.slot.first,
                length: begun.slot.length,
                end: next.slot.first,
                expires_ms: begun.sealed.map_or(u64::MAX, |slot| slot.expires_ms),
                next: begun.slot.next,
                began_ms: begun.slot.began_ms,
            };
            table.insert(begun.segment.number, row);
        }
        table.retain(|number, _| !self.walk.reclaimed.contains(number));
        table
    }

    /// What is known to be durable, and so what the cut means.
    fn decide(&mut self) -> Result<()> {
        let cut = self.walk.offset;
        self.known = self.known.max(self.walk.durable);
        for at in self.from..self.found.chain.len() {
            let begun = &self.found.chain[at];
            if begun.marked {
                self.known = self.known.max(begun.slot.first);
            }
            if at >= self.last {
                let (first, segment) = (begun.slot.first, begun.segment.clone());
                let span = (cut.max(first), self.found.limit(at));
                self.look_through(segment, first, span)?;
            }
        }
        let last = &self.found.chain[self.found.chain.len() - 1];
        if let (Some(blank), Some(sealed)) = (self.found.blank_successor(), last.sealed) {
            let mut blank = blank.clone();
            blank.first = sealed.end;
            let span = (sealed.end, blank.limit() & !7);
            self.look_through(blank, sealed.end, span)?;
        }
        let damage = self.missing_files().or(self.missing_staged()).or(self.found.damage);
        self.recovered = Recovered {
            clean: self.walk.clean,
            early: self.walk.early,
            sequence: self.walk.next - 1,
            set_aside: self.rests.iter().map(|rest| rest.behind.frames).sum(),
            bytes_read: self.walk.read,
            corrupt: (cut < self.known && !sabotage!("damage cut off"))
                .then_some((cut, self.known))
                .or(damage),
        };
        Ok(())
    }

    fn look_through(&mut self, segment: Segment, first: u64, span: (u64, u64)) -> Result<()> {
        let (secret, seed) =
            (self.found.chain[self.last].slot.secret, seed_of(&self.walk.incarnation));
        if span.0 + HEAD as u64 > span.1 {
            return Ok(());
        }
        let behind = look_behind(&segment.file, first, span, seed, secret)?;
        self.known = self.known.max(behind.durable);
        if behind.frames > 0 {
            self.rests.push(Rest { segment, from: span.0, behind });
        }
        Ok(())
    }

    /// A segment the journal still counts on, or a sealed segment's successor, whose file is gone.
    fn missing_files(&self) -> Option<(u64, u64)> {
        let chain = &self.found.chain;
        let lost = self.table.iter().find(|(number, _)| {
            let there = chain.iter().any(|begun| begun.segment.number == **number)
                || sabotage!("missing file forgotten");
            !there && !self.walk.reclaimed.contains(number)
        });
        if let Some((_, row)) = lost {
            return Some((row.first, row.end));
        }
        // The successor keeps its name until its head is written, so it is there whatever happened; where the
        // cut lies before the end of the sealed one, the successor held nothing that is known to be durable.
        let sealed = chain[chain.len() - 1].sealed?;
        let lost = sealed.end <= self.walk.offset && self.found.blank_successor().is_none();
        lost.then_some((sealed.end, sealed.end))
    }

    /// A staged transaction, adopted or prepared, that lacks a file, or a part of one.
    fn missing_staged(&self) -> Option<(u64, u64)> {
        let lost = self.walk.adopted.with_files().find(|adopted| {
            let length = |number| self.found.staged.get(&number).copied().unwrap_or(0);
            adopted.body.files.iter().any(|file| length(file.number) < file.length())
        });
        lost.map(|adopted| (adopted.end, adopted.end))
    }

    /// Staged files that no record adopted and no prepared transaction has.
    pub fn orphans(&self) -> Vec<u64> {
        let files = self.walk.adopted.with_files().flat_map(|adopted| &adopted.body.files);
        let known: BTreeSet<u64> = files.map(|file| file.number).collect();
        self.found.staged.keys().copied().filter(|number| !known.contains(number)).collect()
    }

    /// Whether the last segment must not be written to again: it was sealed, or cut before a later one.
    pub fn ended(&self) -> bool {
        let last = self.found.chain.get(self.last);
        self.fresh.is_none()
            && (self.recovered.corrupt.is_some()
                || self.last + 1 < self.found.chain.len()
                || last.is_some_and(|begun| begun.sealed.is_some()))
    }
}
