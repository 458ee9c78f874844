//! Writing the files of a transaction that outgrew memory, before it is part of the journal.
//!
//! ```text
//! offset  size  file "<number>.stg"
//!      0   512  a slot of role 4: number, bytes of the file, and the file's salt in the place of the incarnation
//!   1536        frames as in a segment: messages, then the index
//! ```
//!
//! The frames are seeded by the salt, which is drawn for the file, and the offset in their sums counts from the
//! first of them. They do not know yet where the transaction will stand: transaction and time are zero, and
//! sequences count from 0 for each queue of the transaction. The `adopt` record says the rest, see `adopt`.
//!
//! Nobody waits for any of this: it is written, sealed and synced outside of all locks, by whoever puts. Files
//! that no record adopted are nobody's: who stages them removes them, or the next open does.
//!
//! Promises: what [`Staging::settle`] has returned for is durable; a staging that is dropped without being
//! adopted leaves nothing behind, and one that is dropped after its journal was closed touches nothing.

use super::Journal;
use super::adopt::{Adoption, Row, Share, StagedFile, staged_name};
use super::body::Front;
use super::chain::Chain;
use super::format::{HEAD, Head, Type, body_sum, frame_bytes};
use super::index::Flat;
use super::key::Purpose;
use super::seal::{self, Gathering, Sealer};
use super::slot::{FRAMES_AT, Role, Slot, seed_of};
use crate::disk::File;
use crate::error::{Code, Error, Result};
use crate::limits;
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Bytes that gather in memory before they are written.
const STEP: usize = 256 << 10;
/// Bytes that are synced at a time: a commit of somebody else waits for no more than these on the device.
const SYNC: u64 = 1 << 20;
/// Messages of one file: its index is made and read as a whole.
const MESSAGES_MAX: u32 = 1 << 18;

/// A message to be staged.
pub struct Put<'a> {
    /// Number of its queue.
    pub queue: u32,
    /// XXH3-64 of the queue's name.
    pub name: u64,
    /// Its body and the sum of it.
    pub body: &'a [u8],
    /// [`body_sum`] of the body.
    pub sum: u32,
    /// The fields of the front.
    pub front: Front<'a>,
}

/// The names of staged files, and whether new ones may be made. Its lock is held while a file is made or removed,
/// so that a close gives the directory free only when nobody does either; no append ever waits for it.
#[derive(Default)]
pub struct Names {
    /// The number of the newest staged file there ever was since the open, or was found by it.
    pub newest: u64,
    /// Whether the directory may be another's.
    pub closed: bool,
}

/// The files of a transaction that is not committed yet.
pub struct Staging {
    journal: Arc<Journal>,
    growing: Option<Growing>,
    files: Vec<StagedFile>,
    shares: BTreeMap<u32, Share>,
    /// The place of the next message in the transaction.
    index: u32,
    /// First and last sequence of each producer.
    producers: BTreeMap<Vec<u8>, (u64, u64)>,
    /// The first sequence that was not its producer's next one, and that one.
    skipped: Option<(Vec<u8>, u64, u64)>,
    /// The transaction that brought a message already which is left out here.
    repeated: Option<u64>,
    digest: Xxh3,
    /// Whether the names of all files are durable.
    named: bool,
    adopted: bool,
    /// Bytes it has of the quota.
    claimed: u64,
    /// Something could not be written or synced: what is there must not be adopted.
    broken: Option<Error>,
}

/// The file that is written to.
struct Growing {
    number: u64,
    file: Arc<dyn File>,
    salt: [u8; 16],
    /// Bytes of frames there are, and up to where they were written and synced.
    end: u64,
    written: u64,
    synced: u64,
    pending: Vec<u8>,
    index: Flat,
    rows: BTreeMap<u32, Row>,
    messages: u32,
    block: Option<Gathering>,
    sealer: Option<Sealer>,
}

impl Staging {
    /// A staging without files.
    pub fn new(journal: &Arc<Journal>) -> Staging {
        Staging {
            journal: journal.clone(),
            growing: None,
            files: Vec::new(),
            shares: BTreeMap::new(),
            index: 0,
            producers: BTreeMap::new(),
            skipped: None,
            repeated: None,
            digest: Xxh3::new(),
            named: true,
            adopted: false,
            claimed: 0,
            broken: None,
        }
    }

    /// Messages staged.
    pub fn messages(&self) -> u64 {
        self.shares.values().map(|share| share.count).sum()
    }

    /// Whether it has messages of a producer.
    pub fn has_producer(&self, id: &[u8]) -> bool {
        self.producers.contains_key(id)
    }

    /// The transaction that brought a message already which is left out here.
    pub fn repeated(&self) -> Option<u64> {
        self.repeated
    }

    /// A message is left out, since this transaction brought it.
    pub fn leave_out(&mut self, transaction: u64) {
        self.repeated = Some(transaction);
    }

    /// The first sequence that did not follow the one before of its producer, and the one that would have.
    pub fn skipped(&self) -> Option<(&[u8], u64, u64)> {
        self.skipped.as_ref().map(|(id, sequence, next)| (&id[..], *sequence, *next))
    }

    /// Each producer, and its first sequence.
    pub fn producers(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.producers.iter().map(|(id, (first, _))| (&id[..], *first))
    }

    /// Adds a message. After an error the staging is of no use any more.
    pub fn put(&mut self, put: &Put<'_>) -> Result<()> {
        let outcome = self.check_whole().and_then(|()| self.add(put));
        self.note(outcome)
    }

    /// Makes everything staged durable.
    pub fn settle(&mut self) -> Result<()> {
        let outcome = self.check_whole().and_then(|()| self.sync());
        self.note(outcome)
    }

    fn check_whole(&self) -> Result<()> {
        self.broken.as_ref().map_or(Ok(()), |why| Err(why.clone()))
    }

    fn note(&mut self, outcome: Result<()>) -> Result<()> {
        if let Err(error) = &outcome
            && self.broken.is_none()
        {
            self.broken = Some(error.clone());
        }
        outcome
    }

    fn add(&mut self, put: &Put<'_>) -> Result<()> {
        let size = frame_bytes(put.body.len()) as u64;
        let most = self.journal.options.segment_max;
        let full = |file: &Growing| {
            let filled = file.end + size + FRAMES_AT > most || file.messages == MESSAGES_MAX;
            file.messages > 0 && filled
        };
        if self.growing.as_ref().is_some_and(full) {
            self.end_file()?;
        }
        if self.growing.is_none() {
            self.growing = Some(self.begin_file()?);
        }
        let share = self.shares.entry(put.queue).or_insert(Share {
            queue: put.queue,
            first: 0,
            count: 0,
            bytes: 0,
            ranked: false,
        });
        let (sequence, index) = (share.count, self.index);
        self.index = index.saturating_add(1);
        share.count += 1;
        share.bytes += put.body.len() as u64;
        share.ranked |= put.front.priority > 0;
        self.digest.update(&put.name.to_le_bytes());
        self.digest.update(&put.sum.to_le_bytes());
        if !put.front.producer.is_empty() {
            let sequence = put.front.producer_sequence;
            match self.producers.get_mut(put.front.producer) {
                Some((_, last)) => {
                    let next = std::mem::replace(last, sequence).saturating_add(1);
                    if next != sequence && self.skipped.is_none() {
                        self.skipped = Some((put.front.producer.to_vec(), sequence, next));
                    }
                }
                None => {
                    self.producers.insert(put.front.producer.to_vec(), (sequence, sequence));
                }
            }
        }
        let Some(file) = &mut self.growing else { return Ok(()) };
        file.message(put, sequence, index);
        if file.pending.len() >= STEP { self.write() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<()> {
        self.end_file()?;
        if !self.named {
            let what = || format!("cannot name staged files in {}", self.journal.disk.describe());
            self.journal.disk.sync_dir().map_err(|error| Error::io(what(), &error))?;
            self.named = true;
        }
        Ok(())
    }

    /// The record that adopts what is settled; `first_of` gives the sequence of each queue's next message.
    pub fn adoption(&self, first_of: &dyn Fn(u32) -> Result<u64>) -> Result<Adoption> {
        let mut adoption = Adoption {
            digest: self.digest.digest(),
            shares: self.shares.values().copied().collect(),
            producers: Vec::with_capacity(self.producers.len()),
            files: self.files.clone(),
        };
        for (id, (_, last)) in &self.producers {
            adoption.producers.push((id.clone(), *last));
        }
        adoption.go_to(first_of)?;
        Ok(adoption)
    }

    /// The files are the journal's now.
    pub fn set_adopted(&mut self) {
        self.adopted = true;
    }

    fn failed(&self, number: u64, error: &std::io::Error) -> Error {
        let (name, store) = (staged_name(number), self.journal.disk.describe());
        Error::io(format!("cannot stage a transaction in {name} of {store}"), error)
    }

    fn begin_file(&mut self) -> Result<Growing> {
        let mut salt = [0; 16];
        let drawn = self.journal.disk.random(&mut salt);
        drawn.map_err(|error| self.failed(0, &error))?;
        let (number, file) = self.journal.create_staged()?;
        self.named = false;
        let mut index = Flat::default();
        index.live(FRAMES_AT, seed_of(&salt));
        let keys = self.journal.keys.clone();
        Ok(Growing {
            number,
            file,
            salt,
            end: 0,
            written: 0,
            synced: 0,
            pending: Vec::with_capacity(STEP),
            index,
            rows: BTreeMap::new(),
            messages: 0,
            block: keys.is_some().then(Gathering::default),
            sealer: keys.map(|keys| Sealer::of_file(keys, Purpose::Staged, salt)),
        })
    }

    fn write(&mut self) -> Result<()> {
        let Some(file) = &mut self.growing else { return Ok(()) };
        file.close_block();
        // The head is paid for with the first frames.
        let head = if file.written == 0 { FRAMES_AT } else { 0 };
        let bytes = file.end - file.written + head;
        self.journal.spares.lock().claim(&self.journal, bytes)?;
        self.claimed += bytes;
        let (number, written) = (file.number, file.write());
        written.map_err(|error| self.failed(number, &error))
    }

    /// Ends the file that is written to, and syncs it.
    fn end_file(&mut self) -> Result<()> {
        let Some(file) = &mut self.growing else { return Ok(()) };
        let (number, index) = (file.number, file.put_index());
        self.write()?;
        let Some(file) = self.growing.take() else { return Ok(()) };
        let staged = StagedFile {
            number,
            end: file.end,
            index,
            expires_ms: file.index.expires_ms(),
            salt: file.salt,
            rows: file.rows.values().copied().collect(),
        };
        let slot = self.journal.staged_slot(&staged);
        let ended = file.file.write_at(&slot.encode(), 0).and_then(|()| file.file.sync());
        // The file is known from here on, so that it is removed when this failed.
        self.files.push(staged);
        ended.map_err(|error| self.failed(number, &error))
    }
}

impl Growing {
    fn message(&mut self, put: &Put<'_>, sequence: u64, index: u32) {
        let head = Head {
            length: u32::try_from(put.body.len()).unwrap_or(u32::MAX),
            kind: Type::Message,
            flags: 0,
            transaction: 0,
            sequence,
            time_ms: 0,
            queue: put.queue,
            index,
            body_sum: put.sum,
        };
        let at = self.frame(&head, put.body);
        self.index.push(put.queue, sequence, FRAMES_AT + at, put.front.expires_ms);
        let row = Row { queue: put.queue, count: 0, first: sequence };
        self.rows.entry(put.queue).or_insert(row).count += 1;
        self.messages += 1;
    }

    /// Puts a frame and returns where it, or the block that holds it, begins.
    fn frame(&mut self, head: &Head, body: &[u8]) -> u64 {
        let size = head.frame_bytes();
        let mut at = self.end;
        if self.block.as_ref().is_some_and(|block| !block.has_room(&self.pending, size)) {
            self.close_block();
        }
        if let Some(block) = &mut self.block {
            self.end += block.open(&mut self.pending);
            at = self.end - block.behind(&self.pending);
        }
        self.pending.extend_from_slice(&head.encode(self.end, seed_of(&self.salt)));
        self.pending.extend_from_slice(body);
        self.pending.resize(self.pending.len() + size - HEAD - body.len(), 0);
        self.end += size as u64;
        at
    }

    fn close_block(&mut self) {
        if let Some(block) = &mut self.block {
            self.end += block.close(&mut self.pending);
        }
    }

    /// Puts the index, in a block of its own, and returns where it begins.
    fn put_index(&mut self) -> u64 {
        self.close_block();
        let (at, body) = (self.end, self.index.sealed().encode());
        let head = Head {
            length: u32::try_from(body.len()).unwrap_or(u32::MAX),
            kind: Type::Index,
            flags: 0,
            transaction: 0,
            sequence: 0,
            time_ms: 0,
            queue: 0,
            index: 0,
            body_sum: body_sum(&[&body]),
        };
        self.frame(&head, &body);
        at
    }

    fn write(&mut self) -> std::io::Result<()> {
        if let Some(sealer) = &mut self.sealer {
            // The digest stands for the messages; a chain over them is not wanted.
            sealer.seal(&mut self.pending, self.written, &mut Chain::new(0, 0))?;
        }
        self.file.write_at(&self.pending, FRAMES_AT + self.written)?;
        self.written = self.end;
        self.pending.clear();
        if self.written - self.synced < SYNC {
            return Ok(());
        }
        self.synced = self.written;
        self.file.sync()
    }
}

impl Journal {
    /// Bytes of a transaction above which it is staged.
    pub fn memory_bytes(&self) -> usize {
        let quarter = usize::try_from(self.options.segment_max.min(self.options.largest()) / 4)
            .unwrap_or(usize::MAX);
        quarter.min(limits::MEMORY_BYTES)
    }

    /// Makes the next staged file. Fails once the journal is closed: the directory may be another's by then.
    fn create_staged(&self) -> Result<(u64, Arc<dyn File>)> {
        self.check_fork()?;
        self.poisoned()?;
        let mut names = self.staged.lock();
        if names.closed {
            let text = format!("the store {} is closed", self.disk.describe());
            return Err(Error::new(Code::Closed, text));
        }
        let number = names.newest + 1;
        let name = staged_name(number);
        let file = self.disk.create(&name).map_err(|error| {
            Error::io(format!("cannot make {name} in {}", self.disk.describe()), &error)
        })?;
        names.newest = number;
        Ok((number, file))
    }

    /// Ends the making and removing of staged files.
    pub(super) fn close_staged(&self) {
        self.staged.lock().closed = true;
    }

    fn staged_slot(&self, file: &StagedFile) -> Slot {
        Slot {
            role: Role::Staged,
            secret: self.secret,
            length: file.length(),
            store: self.store,
            number: file.number,
            incarnation: file.salt,
            first: 0,
            next: 0,
            run: 0,
            began_ms: self.disk.now_ms(),
            chain: 0,
            epoch: 0,
            early: false,
            blocks: self.keys.is_some(),
            end: file.end,
            index: file.index,
            expires_ms: 0,
            successor: 0,
            chain_end: 0,
        }
    }

    /// Removes staged files that nobody adopted.
    fn remove_staged(&self, numbers: &[u64], claimed: u64) {
        // Under the lock, so that a close does not give the directory free in between.
        let names = self.staged.lock();
        if names.closed || !self.is_here() {
            return;
        }
        for number in numbers {
            // One that stays costs space only; the next open removes it.
            let _ = self.disk.remove(&staged_name(*number));
        }
        self.spares.lock().unclaim(claimed);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.adopted {
            return;
        }
        let growing = self.growing.as_ref().map(|file| file.number);
        let numbers: Vec<u64> = self.files.iter().map(|file| file.number).chain(growing).collect();
        self.journal.remove_staged(&numbers, self.claimed);
    }
}

const _: () = assert!(STEP > seal::BLOCK_BYTES);
