//! Preparing segment files: made, named and durable before they become the tail.
//!
//! A file is prepared under the name `<n>.tmp`: allocated, its blocks written, synced; then it is called
//! `<n>.new`, so whatever is found under that name later is whole. It gets the number it will have by a rename
//! and a sync of the directory, before anything is written into it; so a file with a number always has its
//! full length, and a shorter one is damage.
//!
//! Who prepares holds `preparing`, so one file is made at a time, and [`Spares`](super::spare) are locked only to be
//! looked into. The helper writes a large file in pieces: each is brought to the disk before the next one, with pauses
//! that end when the tail is half as empty as it was. So what lies at the device in front of a commit's sync is a piece
//! and no segment. A roll that comes too early waits for the file, and then there are no pauses.

use super::spare::{Space, Spare};
use super::{Journal, Segment, file_name};
use crate::disk::{Disk, File};
use crate::error::{Code, Error, Result};
use crate::sync::{MutexGuard, Ordering, thread};
use std::io;
use std::time::{Duration, Instant};

/// What is written of a large file before it is brought to the disk.
const PIECE: u64 = 256 << 10;
/// The longest pause between two pieces.
const PAUSE_MAX: Duration = Duration::from_millis(4);

/// How the name of a file ends that is not prepared yet.
pub const UNFINISHED: &str = ".tmp";

/// How a file is filled: by the helper, which has time as long as the tail has room, or by who needs it now.
struct Pace<'a> {
    journal: &'a Journal,
    begun: Instant,
    /// Where the journal ended then, and where the tail ends.
    from: u64,
    limit: u64,
}

impl Pace<'_> {
    /// Lets others go first after a piece that took so long, with so many to come.
    fn rest(&self, took: Duration, pieces: u64) {
        if self.journal.hurried.load(Ordering::Relaxed) > 0 {
            return;
        }
        let end = self.journal.appended();
        let room = self.limit.saturating_sub(end) as f64 / 2.0;
        let filled = end.saturating_sub(self.from).max(1) as f64;
        let time = self.begun.elapsed().mul_f64((room / filled).min(1e6));
        let each = time.div_f64(pieces.max(1) as f64);
        let pause = each.saturating_sub(took).min(PAUSE_MAX);
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

impl Journal {
    /// Takes the turn to prepare, for somebody who waits: who has it makes haste.
    pub(super) fn prepare_now(&self) -> MutexGuard<'_, ()> {
        if let Some(turn) = self.preparing.try_lock() {
            return turn;
        }
        self.hurried.fetch_add(1, Ordering::Relaxed);
        let turn = self.preparing.lock();
        self.hurried.fetch_sub(1, Ordering::Relaxed);
        turn
    }

    /// Lets whoever prepares make haste from now on.
    pub(super) fn hurry(&self) {
        self.hurried.fetch_add(1, Ordering::Relaxed);
    }

    /// Prepares the next segment and the reserve; done ahead by the helper.
    pub(super) fn prepare(&self, length: u64) -> Result<()> {
        let (from, limit) = {
            let tail = self.tail.lock();
            (tail.end, tail.segment.limit())
        };
        let _turn = self.preparing.lock();
        self.keep_reserve()?;
        if self.spares.lock().is_ready() {
            return Ok(());
        }
        let pace = Pace { journal: self, begun: Instant::now(), from, limit };
        let spare = self.fill(length, Space::Ordinary, Some(&pace))?;
        let ready = self.named(spare)?;
        self.map_early(&ready);
        self.spares.lock().untake(ready);
        Ok(())
    }

    /// Fills up the reserve; the caller has the turn to prepare.
    pub(super) fn keep_reserve(&self) -> Result<()> {
        while self.spares.lock().wants_reserve() {
            let spare = self.fill(self.options.segment_first, Space::Exchanging, None)?;
            self.spares.lock().add_reserve(spare);
        }
        Ok(())
    }

    /// The segment that becomes the tail next: prepared, named, durable as a name. It has `length` bytes where it must be
    /// made; one that is ready is taken from `least` bytes on, since making a larger one would take longer than it lasts.
    /// The caller has the turn to prepare.
    pub(super) fn take_segment(
        &self,
        (length, least): (u64, u64),
        space: Space,
    ) -> Result<Segment> {
        if let Some(ready) = self.spares.lock().take_ready(least) {
            return Ok(ready);
        }
        let spare = match self.fill(length, space, None) {
            Ok(spare) => spare,
            Err(error) if space.is_freeing() => {
                self.spares.lock().take_reserve(length).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        self.named(spare)
    }

    /// A segment of any length to go on with at an open: one that lies about, or a new one.
    pub(super) fn take_any_segment(&self) -> Result<Segment> {
        if let Some(ready) = self.spares.lock().take_ready(0) {
            return Ok(ready);
        }
        let held = self.spares.lock().take_any();
        let spare = match held {
            Some(spare) => spare,
            None => self.fill(self.options.segment_first, Space::Beyond, None)?,
        };
        self.named(spare)
    }

    /// A spare of at least `length` bytes, from the pool or made within the quota.
    fn fill(&self, length: u64, space: Space, pace: Option<&Pace<'_>>) -> Result<Spare> {
        let fits = |bytes: u64| bytes >= length && bytes <= length.saturating_mul(4);
        if let Some(spare) = self.spares.lock().take_held(&fits) {
            return Ok(spare);
        }
        loop {
            match self.make_within(length, space, pace) {
                Ok(spare) => return Ok(spare),
                Err(error) if error.code() != Code::NoSpace => return Err(error),
                Err(error) => {
                    let mut spares = self.spares.lock();
                    // On a full disk a file that is too large will do, and one too small makes room.
                    if let Some(spare) = spares.take_held(&|bytes| bytes >= length) {
                        return Ok(spare);
                    }
                    if !spares.shrink(&*self.disk) {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn make_within(&self, length: u64, space: Space, pace: Option<&Pace<'_>>) -> Result<Spare> {
        let name = {
            let mut spares = self.spares.lock();
            spares.claim_for(self, length, space)?;
            spares.new_name()
        };
        let written = !self.is_mapped();
        let made = make_with(&*self.disk, (&name, length), &|file| match pace {
            _ if !written => file.reserve(length),
            Some(pace) if length > PIECE => fill_in_pieces(file, length, pace),
            _ => file.allocate(length),
        });
        if let Err(error) = made {
            self.spares.lock().unclaim(length);
            return Err(error);
        }
        if !written {
            // Cold pages only cost time.
            let _ = self.warm(&name, length);
        }
        Ok(Spare { name, length })
    }

    fn named(&self, spare: Spare) -> Result<Segment> {
        let number = self.spares.lock().next_number();
        let to = file_name(number);
        let disk = &*self.disk;
        let doing = || format!("cannot prepare segment {to} in {}", disk.describe());
        disk.rename(&spare.name, &to).map_err(|error| Error::io(doing(), &error))?;
        self.spares.lock().count_number();
        if !sabotage!("directory not synced") {
            disk.sync_dir().map_err(|error| Error::io(doing(), &error))?;
        }
        let file = disk.open(&to, true).map_err(|error| Error::io(doing(), &error))?;
        Ok(Segment::prepared(number, spare.length, file))
    }
}

/// Makes a file of `length` synced bytes under this name.
pub fn make(disk: &dyn Disk, name: &str, length: u64) -> Result<()> {
    make_with(disk, (name, length), &|file| file.allocate(length))
}

/// Makes a file under this name that is filled by `fill`, and syncs it.
fn make_with(
    disk: &dyn Disk,
    (name, length): (&str, u64),
    fill: &dyn Fn(&dyn File) -> io::Result<()>,
) -> Result<()> {
    let unfinished = format!("{}{UNFINISHED}", name.trim_end_matches(".new"));
    let doing =
        |what: &str| format!("cannot {what} {unfinished} of {length} bytes in {}", disk.describe());
    let make = || {
        let file = disk.create(&unfinished).map_err(|error| Error::io(doing("create"), &error))?;
        fill(&*file).map_err(|error| Error::io(doing("allocate"), &error))?;
        file.sync().map_err(|error| Error::io(doing("sync"), &error))?;
        let renamed = disk.rename(&unfinished, name);
        renamed.map_err(|error| Error::io(doing("finish"), &error))
    };
    make().inspect_err(|_| {
        // Whatever is left of it is no data; a later open removes it when this fails, too.
        let _ = disk.remove(&unfinished);
    })
}

/// Gives a file its bytes, all reserved before the first is written.
fn fill_in_pieces(file: &dyn File, length: u64, pace: &Pace<'_>) -> io::Result<()> {
    file.reserve(length)?;
    let zeros = vec![0; PIECE as usize];
    let mut at = 0;
    while at < length {
        let piece = PIECE.min(length - at);
        let begun = Instant::now();
        file.write_at(&zeros[..piece as usize], at)?;
        file.write_back(at, at + piece)?;
        at += piece;
        pace.rest(begun.elapsed(), (length - at).div_ceil(PIECE));
    }
    Ok(())
}
