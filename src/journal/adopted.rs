//! Reading, checking and giving back the files of staged transactions that were adopted, or are prepared.
//!
//! A frame in a staged file does not know where its transaction stands, so what is read is put in its place by
//! what the `adopt` record says. Both sums of a frame are checked before, as in a segment.

use super::adopt::{Adopted, Adoption, RELEASE, Share, Spot, StagedFile, staged_name};
use super::format::{HEAD, Head, Type};
use super::index::{Sealed, seed_at};
use super::reader::{Cursor, Plan};
use super::reclaim::{Candidate, Held, Stretch};
use super::scan::{Met, Window, look};
use super::slot::{FRAMES_AT, Role, SLOT, Slot, seed_of};
use super::{Journal, SealedSegment};
use crate::disk::File;
use crate::error::{Code, Error, Result};
use crate::sync::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes a check reads at a time.
const STEP: usize = 64 << 10;

/// A staged file that somebody reads.
#[derive(Clone)]
pub struct Inside {
    adopted: Arc<Adopted>,
    number: u64,
    salt: [u8; 16],
    index: Arc<Sealed>,
    file: Arc<dyn File>,
}

impl Inside {
    /// The salt of its frames.
    pub fn salt(&self) -> [u8; 16] {
        self.salt
    }

    /// Says in the head of a message where its transaction stands.
    pub fn place(&self, head: &mut Head) {
        self.adopted.place(head);
    }
}

impl Adopted {
    /// Says in the head of a message of it where it stands.
    pub fn place(&self, head: &mut Head) {
        head.transaction = self.transaction;
        head.time_ms = self.time_ms;
        head.sequence += self.body.first_of(head.queue).unwrap_or(0);
    }

    /// What each queue has in it.
    pub fn stretches(&self) -> Vec<Stretch> {
        let shares = self.body.shares.iter().filter(|share| share.count > 0);
        let stretch =
            |share: &Share| Stretch { queue: share.queue, first: share.first, last: share.last() };
        shares.map(stretch).collect()
    }

    /// When its last message expires.
    fn expires_ms(&self) -> u64 {
        self.body.files.iter().map(|file| file.expires_ms).max().unwrap_or(0)
    }
}

/// Reading.
impl Journal {
    /// Where a queue's messages from a sequence on stand in a staged transaction below the horizon.
    pub(super) fn spot(&self, queue: u32, next: u64, horizon: u64) -> Option<Spot> {
        let tail = self.tail.lock();
        if tail.adopted.is_empty() {
            return None;
        }
        let spot = tail.adopted.spot(queue, next)?;
        let (adopted, _) = tail.adopted.find(spot.transaction, spot.file)?;
        (adopted.end <= horizon).then_some(spot)
    }

    /// The frames of the cursor's queue in the staged file of this spot.
    pub(super) fn plan_staged(
        &self,
        cursor: &mut Cursor,
        spot: Spot,
        max: usize,
    ) -> Result<Option<Plan>> {
        let known = cursor.staged.take().filter(|inside| inside.number == spot.file);
        let inside = match known {
            Some(inside) => inside,
            None => match self.enter_staged(spot.transaction, spot.file)? {
                Some(inside) => inside,
                None => return Ok(None),
            },
        };
        let (queue, next) = (cursor.queue(), cursor.next());
        let first = inside.adopted.body.first_of(queue).unwrap_or(0);
        let next = next.saturating_sub(first);
        let lost = || self.damaged_file(spot.file, inside.adopted.end);
        let span = inside.index.span_from(queue, next).ok_or_else(lost)?;
        let begins = span.first.max(next);
        let places = &inside.index.places(span)[(begins - span.first) as usize..];
        let seed = |place: &u32| (*place, seed_at(&inside.index.lives, *place));
        let places: Vec<(u32, u32)> = places.iter().take(max).map(seed).collect();
        let (file, number) = (inside.file.clone(), spot.file);
        cursor.staged = Some(inside.clone());
        let (kind, staged, sequence) = (Type::Message, Some(inside), begins);
        Ok(Some(Plan { file, number, first: 0, places, sequence, kind, staged }))
    }

    /// Opens a staged file and reads its index; `None` when it was given back.
    fn enter_staged(&self, transaction: u64, number: u64) -> Result<Option<Inside>> {
        let found = {
            let tail = self.tail.lock();
            let found = tail.adopted.find(transaction, number);
            found.map(|(adopted, staged)| (adopted.clone(), staged.clone()))
        };
        let Some((adopted, staged)) = found else { return Ok(None) };
        match self.open_staged(&adopted, &staged) {
            Ok((file, index)) => {
                let (index, salt) = (Arc::new(index), staged.salt);
                Ok(Some(Inside { adopted, number, salt, index, file }))
            }
            Err(_) if self.was_released_of(transaction, number) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_staged(
        &self,
        adopted: &Adopted,
        staged: &StagedFile,
    ) -> Result<(Arc<dyn File>, Sealed)> {
        let file = self.staged_file(adopted, staged.number)?;
        let (name, span) = (staged_name(staged.number), (staged.index, staged.end));
        if let Some(index) = self.read_index((&file, &name), span, 0, Some(staged.salt))? {
            return Ok((file, index));
        }
        // With a damaged index the frames themselves say where they stand.
        let mut window = self.window_into(staged, &file);
        let walked = self.walk_index(&mut window, seed_of(&staged.salt), (0, staged.index))?;
        let lost = || self.damaged_file(staged.number, adopted.end);
        Ok((file, walked.ok_or_else(lost)?))
    }

    fn window_into(&self, staged: &StagedFile, file: &Arc<dyn File>) -> Window {
        let window = Window::new(file.clone(), self.keys.clone()).stepping(STEP);
        window.staged(staged.salt)
    }

    pub(super) fn staged_file(&self, adopted: &Adopted, number: u64) -> Result<Arc<dyn File>> {
        let name = staged_name(number);
        self.disk.open(&name, false).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.damaged_file(number, adopted.end),
            _ => Error::io(format!("cannot open {name}"), &error),
        })
    }

    fn damaged_file(&self, number: u64, at: u64) -> Error {
        let (name, store) = (staged_name(number), self.disk.describe());
        Error::new(Code::Corrupt, format!("{name} in {store} is missing or damaged")).over(at, at)
    }

    /// Whether a staged file that somebody reads was given back.
    pub(super) fn was_released(&self, inside: &Inside) -> bool {
        self.was_released_of(inside.adopted.transaction, inside.number)
    }

    /// Whether a staged file that cannot be read was given back: here, or, while this journal only looks, by the
    /// process that writes. Such a one is forgotten.
    pub(super) fn was_released_of(&self, transaction: u64, number: u64) -> bool {
        let known = {
            let adopted = &self.tail.lock().adopted;
            // A prepared one may have been adopted meanwhile.
            if transaction == 0 {
                adopted.knows(number)
            } else {
                adopted.get(transaction).is_some()
            }
        };
        if !known {
            return true;
        }
        let Some(looked) = &self.looked else { return false };
        let gone = self.disk.open(&staged_name(number), false);
        let gone = gone.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let written =
            self.disk.peek_done().ok().flatten().is_some_and(|done| done > looked.horizon);
        if !gone || !written {
            return false;
        }
        self.tail.lock().adopted.forget(transaction);
        true
    }

    /// The transactions whose staged files are there, in order.
    pub fn adopted(&self) -> Vec<Arc<Adopted>> {
        self.tail.lock().adopted.iter().cloned().collect()
    }

    /// The same for one of them.
    pub fn adopted_at(&self, transaction: u64) -> Option<Arc<Adopted>> {
        self.tail.lock().adopted.get(transaction).cloned()
    }

    /// The transactions whose staged files are there, those that are prepared included.
    pub(super) fn with_files(&self) -> Vec<Arc<Adopted>> {
        self.tail.lock().adopted.with_files().cloned().collect()
    }

    /// Staged files that are part of the journal, those of prepared transactions included, and their bytes.
    pub fn staged_files(&self) -> (usize, u64) {
        let tail = self.tail.lock();
        let files = tail.adopted.with_files().flat_map(|adopted| &adopted.body.files);
        files.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.length()))
    }

    /// Each adopted transaction as a sealed segment that holds nothing else, and what is in it.
    pub fn adopted_segments(&self) -> Vec<(SealedSegment, Vec<Stretch>)> {
        let all = self.adopted();
        let row = |adopted: &Arc<Adopted>| {
            let (number, last, began_ms) = (adopted.segment, adopted.transaction, adopted.time_ms);
            let segment = SealedSegment { number, length: adopted.length(), last, began_ms };
            (segment, adopted.stretches())
        };
        all.iter().map(row).collect()
    }
}

/// Checking.
impl Journal {
    /// Checks every staged file below the horizon; returns the bytes read. The first damage ends it.
    pub(super) fn check_adopted(
        &self,
        horizon: u64,
        pace: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<u64> {
        let mut bytes = 0;
        for adopted in self.with_files().iter().filter(|adopted| adopted.end <= horizon) {
            for staged in &adopted.body.files {
                let checked = self
                    .staged_file(adopted, staged.number)
                    .and_then(|file| self.check_staged(adopted, staged, &file, pace));
                match checked {
                    Ok(read) => bytes += read,
                    Err(error) if error.code() == Code::Cancelled => return Err(error),
                    Err(_) if self.was_released_of(adopted.transaction, staged.number) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(bytes)
    }

    /// Adopted and prepared transactions of which a file is missing or damaged, and what is wrong.
    pub fn damaged_adopted(&self) -> Vec<(Arc<Adopted>, Error)> {
        let mut found = Vec::new();
        for adopted in self.with_files() {
            let wrong = adopted.body.files.iter().find_map(|staged| {
                self.staged_file(&adopted, staged.number)
                    .and_then(|file| self.check_staged(&adopted, staged, &file, &mut |_| Ok(())))
                    .err()
            });
            if let Some(error) = wrong {
                found.push((adopted, error));
            }
        }
        found
    }

    /// Walks a staged file, or a copy of it, from its head to its end.
    pub(super) fn check_staged(
        &self,
        adopted: &Adopted,
        staged: &StagedFile,
        file: &Arc<dyn File>,
        pace: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<u64> {
        let name = staged_name(staged.number);
        let damaged = |what: &str| {
            let text = format!("{what} in {name} of {}", self.disk.describe());
            Error::new(Code::Corrupt, text).over(adopted.end, adopted.end)
        };
        let mut head = [0; SLOT];
        let failed = |error| Error::io(format!("cannot read {name}"), &error);
        let read = file.read_at(&mut head, 0).map_err(failed)?;
        let slot = Slot::decode(&head[..read], staged.number)?;
        let ours = |slot: &Slot| slot.role == Role::Staged && slot.incarnation == staged.salt;
        if !slot.as_ref().is_some_and(ours) {
            return Err(damaged("no head can be read"));
        }
        let mut window = self.window_into(staged, file);
        window.read_below(staged.length());
        let first = |row: &super::adopt::Row| {
            (row.first - adopted.body.first_of(row.queue).unwrap_or(0), row.count)
        };
        let mut rows: BTreeMap<u32, (u64, u32)> =
            staged.rows.iter().map(|row| (row.queue, first(row))).collect();
        let before = adopted.body.files.iter().take_while(|file| file.number != staged.number);
        let before = before.flat_map(|file| &file.rows).map(|row| row.count).sum::<u32>();
        let (mut offset, mut messages, mut told, mut listed) = (0, before, 0, false);
        while offset < staged.end {
            let (at, seed) = (offset + FRAMES_AT, seed_of(&staged.salt));
            let met = look(&mut window, at, (offset, staged.end), seed, self.secret)?;
            let Met::Frame(head, frame, place) = met else {
                return Err(damaged(&format!("a record at {offset} fails its checksum")));
            };
            match (head.kind, rows.get_mut(&head.queue)) {
                (Type::Message, Some((next, left)))
                    if (head.index, head.sequence) == (messages, *next) && *left > 0 =>
                {
                    (*next, *left, messages) = (*next + 1, *left - 1, messages + 1);
                }
                (Type::Index, _) if offset >= staged.index => {
                    listed = Sealed::decode(&frame[HEAD..]).is_some();
                }
                _ => return Err(damaged(&format!("a record out of its order at {offset}"))),
            }
            offset = place.next;
            if window.read > told {
                pace(window.read - told)?;
                told = window.read;
            }
        }
        if !listed || offset != staged.end || rows.values().any(|(_, left)| *left > 0) {
            return Err(damaged("not all that should be there is"));
        }
        Ok(window.read)
    }
}

/// Giving back.
impl Journal {
    /// The segments that may go as far as they are durable, and what was adopted in the order of transactions among
    /// them; none where nothing was adopted.
    fn with_adopted(&self) -> Vec<Candidate> {
        let adopted = self.adopted();
        if adopted.is_empty() {
            return Vec::new();
        }
        let rows = adopted.iter().map(|adopted| Candidate {
            number: adopted.segment,
            length: adopted.length(),
            last: adopted.transaction,
            ended_ms: adopted.time_ms,
            expires_ms: 0,
        });
        let segments = self.may_go(u64::MAX);
        let mut both: Vec<Candidate> = segments.into_iter().chain(rows).collect();
        both.sort_by_key(|candidate| (candidate.number, candidate.last));
        both
    }

    /// Gives back the adopted transactions in which `alive` finds nothing; returns how many went. `kept_from` is as in
    /// [`Journal::reclaim`]; where the journal is `shipped`, a transaction stays until the tail has left the segment
    /// of its record.
    pub fn release_adopted(
        &self,
        (now_ms, shipped): (u64, bool),
        kept_from: &mut dyn FnMut(&[Candidate]) -> u64,
        alive: &mut dyn FnMut(&[Stretch]) -> Option<Held>,
    ) -> Result<usize> {
        let all = self.with_adopted();
        if all.is_empty() {
            return Ok(0);
        }
        let (kept, mut dead) = (kept_from(&all), 0);
        for adopted in self.adopted() {
            let waited_for = adopted.expires_ms() > now_ms && alive(&adopted.stretches()).is_some();
            let place = if shipped { self.tail.lock().segment.number } else { u64::MAX };
            if adopted.segment < kept.min(place) && !waited_for {
                dead += usize::from(self.release_one(&adopted)?);
            }
        }
        if dead > 0 {
            self.commit_all()?;
        }
        self.remove_released();
        Ok(dead)
    }

    fn release_one(&self, adopted: &Adopted) -> Result<bool> {
        let durable = self.durable_offset();
        let mut tail = self.tail.lock();
        if tail.closed || !self.is_alive(&mut tail)? {
            return Ok(false);
        }
        let room = tail.end_with(HEAD, HEAD + RELEASE, 0) <= tail.segment.length;
        let pinned = tail.pins.values().any(|pin| *pin <= adopted.segment);
        if !room || pinned || adopted.end > durable {
            return Ok(false);
        }
        let Some(gone) = tail.adopted.forget(adopted.transaction) else { return Ok(false) };
        tail.put_local(Type::Reclaim, 0, 0, &gone.transaction.to_le_bytes());
        let end = tail.end;
        tail.adopted.released.push((end, gone));
        self.appended.store(end, Ordering::Release);
        Ok(true)
    }

    /// Removes the files of what was given back, as far as that is durable, and of what was rolled back.
    pub(super) fn remove_released(&self) {
        let durable = self.durable_offset();
        let gone: Vec<Arc<Adopted>> = {
            let mut tail = self.tail.lock();
            let all = std::mem::take(&mut tail.adopted.released);
            let (now, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.0 <= durable);
            tail.adopted.released = later;
            let unpinned = tail.pins.is_empty();
            let over = if unpinned { std::mem::take(&mut tail.adopted.over) } else { Vec::new() };
            now.into_iter().map(|(_, adopted)| adopted).chain(over).collect()
        };
        for file in gone.iter().flat_map(|adopted| &adopted.body.files) {
            // A file that stays costs space only; the next open finds that nobody counts on it.
            let _ = self.disk.remove(&staged_name(file.number));
        }
        let bytes = gone.iter().map(|adopted| adopted.length()).sum();
        self.spares.lock().unclaim(bytes);
    }

    /// Says in the journal, durably, that these transactions are no part of it any more.
    pub fn write_off_adopted(&self, transactions: &[u64]) -> Result<()> {
        for transaction in transactions {
            let mut tail = self.tail.lock();
            if tail.end_with(HEAD, HEAD + RELEASE, 0) > tail.segment.length {
                drop(tail);
                let store = self.disk.describe();
                let count = transactions.len();
                let text = format!("{count} transactions are too many to be given up in {store}");
                return Err(Error::new(Code::Quota, text));
            }
            tail.adopted.forget(*transaction);
            tail.put_local(Type::Reclaim, 0, 0, &transaction.to_le_bytes());
            self.appended.store(tail.end, Ordering::Release);
        }
        if transactions.is_empty() { Ok(()) } else { self.commit_all() }
    }
}

/// Prepared transactions.
impl Journal {
    /// Counts on the files of a transaction that is about to be prepared. Before its record is durable, so that whoever
    /// copies the record copies the files.
    pub fn keep_prepared(&self, body: Adoption) {
        self.tail.lock().adopted.prepare(body);
    }

    /// A transaction did not become a prepared one.
    pub fn leave_prepared(&self, body: &Adoption) {
        if let Some(file) = body.files.first() {
            self.tail.lock().adopted.leave(file.number);
        }
    }

    /// Removes the files of a prepared transaction that was durably rolled back.
    pub fn discard_prepared(&self, body: &Adoption) {
        let Some(file) = body.files.first() else { return };
        // Under the lock, so that a close does not give the directory free in between.
        let names = self.staged.lock();
        if names.closed || !self.is_here() {
            return;
        }
        {
            let mut tail = self.tail.lock();
            let gone = tail.adopted.leave(file.number);
            tail.adopted.over.extend(gone);
        }
        self.remove_released();
    }

    /// The prepared transactions that have files.
    pub fn prepared(&self) -> Vec<Arc<Adopted>> {
        self.tail.lock().adopted.prepared().cloned().collect()
    }
}
