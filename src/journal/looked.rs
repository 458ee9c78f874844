//! A journal that is only looked at, while another process may be writing it.
//!
//! A look is the journal as it was at one moment: the durable prefix up to its *horizon*. Nothing of it is kept from the
//! process that writes. That may give back what the look has not read yet, when nobody waits for any of it, or when what
//! somebody waits for was moved before; a file is used again, or removed, only behind the frame that says so.
//!
//! Where a file that the look counts on is gone, it looks on: it finds out where the messages below its horizon stand now,
//! from the state and the frames that are durable by then, and reads them there. The horizon stays where it was, so what
//! it shows is what was there, less what is acknowledged by all, expired or purged since. A file that is gone though
//! nothing became durable, or that a later look misses as well, is damage.
//!
//! Whoever writes may recycle what is being read and merge the runs that are, so damage is believed only when two looks
//! in a row find it while nothing became durable and no file came or went.

use super::assemble::{Parts, assemble};
use super::moved::still_there;
use super::reader::Found;
use super::recover::{Recovered, Replay};
use super::replay::{Nobody, Visitor};
use super::slot::Slot;
use super::spare::Spares;
use super::survey::{Survey, survey};
use super::tail::Row;
use super::{Journal, Options, Segment, file_name};
use crate::disk::{Disk, Lock};
use crate::error::{Code, Error, Result};
use crate::secret::Password;
use crate::sync::{Mutex, thread};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often somebody who only looks looks again when a writer was faster.
const LOOKS: usize = 100;

/// What a journal that is only looked at knows of its moment.
pub struct Looked {
    /// The horizon, as a journal offset and as the sequence of the last transaction below it.
    pub horizon: u64,
    sequence: u64,
    /// Up to where what is durable was looked at to find out where everything stands. Held by who looks on.
    newest: Mutex<u64>,
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

impl Journal {
    /// Opens a journal for reading, locked or damaged as it may be: the durable prefix up to the first damage,
    /// and the visitor that was given it.
    pub fn look<V: Visitor + Default>(
        disk: &Arc<dyn Disk>,
        password: Option<&Password>,
    ) -> Result<(Journal, Recovered, V)> {
        let unlock = |found: &mut Survey| found.unlock(&**disk, password);
        let (replay, visitor) = believed(&**disk, &|| look_once::<V>(&**disk, &unlock))?;
        let recovered = replay.recovered.clone();
        Ok((replay.into_looked_at(disk.clone())?, recovered, visitor))
    }

    /// Whether a segment that cannot be read was given back: here, or, while this journal only looks, by the
    /// process that writes. Then what it knows of where messages stand is of a later moment.
    pub(super) fn was_given_back(&self, number: u64) -> bool {
        if !self.has_segment(number) {
            return true;
        }
        let Some(looked) = &self.looked else { return false };
        let there = self.disk.open(&file_name(number), false);
        let gone = there.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        gone && self.look_on(looked, number)
    }

    /// Finds out where everything stands now; returns whether this segment is not counted on any more.
    fn look_on(&self, looked: &Looked, number: u64) -> bool {
        let mut newest = looked.newest.lock();
        if !self.has_segment(number) {
            // Somebody else here met another one that is gone.
            return true;
        }
        // A file is missing without damage only where somebody has written since.
        if self.disk.peek_done().ok().flatten().is_none_or(|done| done <= *newest) {
            return false;
        }
        let show = |found: &mut Survey| {
            found.show(self.keys.clone());
            Ok(())
        };
        let again = believed(&*self.disk, &|| look_once::<Nobody>(&*self.disk, &show));
        let whole = again.ok().filter(|(replay, _)| replay.recovered.corrupt.is_none());
        let Some((mut replay, _)) = whole else { return false };
        let Ok((table, segment, _)) = replay.looked_segments() else { return false };
        *newest = replay.walk.offset;
        let mut tail = self.tail.lock();
        (tail.table, tail.segment) = (table, Arc::new(segment));
        (tail.end, tail.index) = (replay.walk.offset, std::mem::take(&mut replay.walk.index));
        if !sabotage!("moved messages not found by a look") {
            tail.moved = std::mem::take(&mut replay.walk.moved);
        }
        tail.segment.number != number && !tail.table.contains_key(&number)
    }

    /// Leaves those of these messages that are below the horizon of a look; what was put later may have been moved as
    /// well. They are in the order of their queue.
    pub(super) fn cut_at_look(&self, messages: &mut Vec<Found>, from: usize) {
        let Some(looked) = &self.looked else { return };
        let later = |found: &Found| found.head.transaction > looked.sequence;
        if let Some(at) = messages[from..].iter().position(later) {
            messages.truncate(from + at);
        }
    }
}

/// Looks until what is seen can be believed.
fn believed<V>(disk: &dyn Disk, look: &dyn Fn() -> Result<(Replay, V)>) -> Result<(Replay, V)> {
    let failed = |error| Error::io(format!("cannot read {}", disk.describe()), &error);
    let mut still = 0;
    for turn in 0.. {
        let before = traces(disk).map_err(failed)?;
        let seen = look();
        if seen.as_ref().is_ok_and(|(replay, _)| replay.recovered.corrupt.is_none()) {
            return seen;
        }
        // A name that was listed and is gone was given another one in between.
        let renamed = seen.as_ref().is_err_and(|error| error.os_errno() == libc::ENOENT);
        let moved = renamed || traces(disk).map_err(failed)? != before;
        still = if moved { 0 } else { still + 1 };
        let hopeless = seen
            .as_ref()
            .is_err_and(|error| !matches!(error.code(), Code::Corrupt | Code::Tampered | Code::Io));
        if hopeless || still == 2 || turn == LOOKS {
            return seen;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(Error::new(Code::Io, format!("cannot read {}", disk.describe())))
}

/// What changes where somebody writes: what is durable, and which files there are.
fn traces(disk: &dyn Disk) -> std::io::Result<(Option<u64>, Vec<String>)> {
    let mut names = disk.list()?;
    names.sort_unstable();
    Ok((disk.peek_done()?, names))
}

/// One look, at what is known to be durable when it begins; `unlock` opens what is encrypted.
fn look_once<V: Visitor + Default>(
    disk: &dyn Disk,
    unlock: &dyn Fn(&mut Survey) -> Result<()>,
) -> Result<(Replay, V)> {
    let failed = |error| Error::io(format!("cannot read {}", disk.describe()), &error);
    let done = disk.peek_done().map_err(failed)?.unwrap_or(0);
    let mut found = survey(disk)?;
    found.is_store(disk, done)?;
    unlock(&mut found)?;
    // The same files for both readings: one that was given back before they were listed is named before the horizon.
    let (until, first) = horizon(disk, found.clone(), done)?;
    let mut visitor = V::default();
    let mut replay = Replay::run(disk, found, until, until, &mut visitor)?;
    // A cut that the first reading did not meet is told as well.
    replay.recovered.corrupt = first.corrupt.or(replay.recovered.corrupt);
    Ok((replay, visitor))
}

/// Up to where somebody who only looks may read, and what a look found.
fn horizon(disk: &dyn Disk, found: Survey, done: u64) -> Result<(u64, Recovered)> {
    let replay = Replay::run(disk, found, done, u64::MAX, &mut Nobody)?;
    Ok((replay.known.min(replay.walk.offset), replay.recovered))
}

impl Replay {
    /// The segments of a look: those before the last, and the last.
    fn looked_segments(&mut self) -> Result<(BTreeMap<u64, Row>, Segment, Slot)> {
        let mut table = self.table_before(self.last);
        if self.recovered.corrupt.is_some() {
            // Behind the damage it may stand that they were given back; what is there can be read.
            let there: BTreeSet<u64> =
                self.found.chain.iter().map(|begun| begun.segment.number).collect();
            table.retain(|number, _| there.contains(number));
        }
        let (segment, slot) = self.tail_segment()?;
        still_there(&mut self.walk.moved, &table, segment.first);
        Ok((table, segment, slot))
    }

    /// A journal that is closed already, for somebody who only looks.
    fn into_looked_at(mut self, disk: Arc<dyn Disk>) -> Result<Journal> {
        let (table, segment, slot) = self.looked_segments()?;
        let (options, run) = (Options::default(), self.run_job(&*disk, slot.secret)?);
        let spares = Spares::found((0, 0), Vec::new(), None, (0, false));
        let (horizon, sequence) = (self.walk.offset, self.walk.next - 1);
        let (lock, walk) = (Box::new(NoLock(horizon)), self.walk);
        let mut journal = assemble(Parts { disk, lock, options, slot, segment, walk, spares, run });
        journal.looked = Some(Looked { horizon, sequence, newest: Mutex::new(horizon) });
        journal.close_staged();
        {
            let mut tail = journal.tail.lock();
            tail.table = table;
            tail.closed = true;
        }
        Ok(journal)
    }
}
