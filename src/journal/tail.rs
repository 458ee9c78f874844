//! Appending whole transactions, and rolling to the next segment.
//!
//! Frames gather in memory in journal order; [`commit`](super::commit) hands them to the file. Where the segment
//! is [mapped](super::window) they are stored there at once, as long as nothing before them gathers. A transaction
//! lies in one segment: when it does not fit, with the index the segment will end with, the tail is sealed and
//! the next prepared segment begun. A roll freezes the store's state as it is at the new segment's first
//! frame, and waits until the state frozen at the roll before is durable, so an open replays two segments.

use super::adopt::{Adopted, Adoption, Adoptions};
use super::assemble::clear;
use super::body::{Parts, whole};
use super::contents::stretches_of;
use super::format::{
    CLEAN, EARLY, HEAD, Head, LAST, Type, Words, body_sum, bytes_of, frame_bytes, watermark,
};
use super::index::{Flat, Sealed};
use super::moved::Moved;
use super::rows::Rows;
use super::seal::{self, Gathering};
use super::slot::{FRAMES_AT, Role, Slot, seed_of};
use super::spare::Space;
use super::window::Reach;
use super::{Journal, Segment};
use crate::disk::Window;
use crate::error::{Code, Error, Result};
use crate::sync::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A record of a transaction to be appended; its body is given in parts that follow each other.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Type,
    /// Number of its queue, 0 = none.
    pub queue: u32,
    /// A message's place in its queue, 0 in other records.
    pub sequence: u64,
    /// When a message expires, 0 = never.
    pub expires_ms: u64,
    /// [`body_sum`] of the parts.
    pub sum: u32,
    /// The body.
    pub parts: Parts<'a>,
}

impl<'a> Record<'a> {
    /// A record that is no message.
    pub fn control(kind: Type, queue: u32, body: &'a [u8]) -> Record<'a> {
        let parts = whole(body);
        Record { kind, queue, sequence: 0, expires_ms: 0, sum: body_sum(&parts.pieces()), parts }
    }

    /// Bytes of its body.
    #[inline]
    pub fn length(&self) -> usize {
        self.parts.length()
    }
}

/// Where an appended transaction stands, and whom to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its sequence in the journal.
    pub sequence: u64,
    /// Journal offset behind it.
    pub end: u64,
    /// The group commit that will take it.
    pub(super) group: u64,
    /// How far its bytes came when it was appended.
    pub(super) reach: Reach,
}

/// What the table keeps of a segment that is not the tail any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub first: u64,
    pub length: u64,
    pub end: u64,
    pub expires_ms: u64,
    /// Sequence of the first transaction that begins in it.
    pub next: u64,
    pub began_ms: u64,
}

/// Room kept at the end of every segment for what frees others: on a full disk a segment can be given back
/// only where the frame that says so still fits.
const RELEASES: usize = 4;

/// Bytes for one place in one file.
pub enum Part {
    Bytes(Arc<Segment>, u64, Vec<u8>),
    /// What lies between these journal offsets was stored through the window.
    Stored(Arc<Segment>, u64, u64),
    Slot(Arc<Segment>, Slot),
}

/// The growing end of the journal.
pub struct Tail {
    pub segment: Arc<Segment>,
    pub end: u64,
    pub next: u64,
    pub epoch: u32,
    pub incarnation: [u8; 16],
    /// Whether this open has begun a life; until then frames would be those of the last one.
    pub begun: bool,
    /// Whether the life in force hands out positions before they are durable.
    pub early: bool,
    /// Whether the last life may have handed out positions that are lost: until an epoch says so, a new life
    /// carries the same flag.
    pub owes: bool,
    /// Whether nothing was appended since the open.
    pub untouched: bool,
    pub index: Flat,
    pub table: BTreeMap<u64, Row>,
    pub moved: Moved,
    /// The staged transactions that were adopted.
    pub adopted: Adoptions,
    pub run: u64,
    pub pins: BTreeMap<u64, u64>,
    pub parts: Vec<Part>,
    pub pending: Vec<u8>,
    pub pending_from: u64,
    /// Where the tail is stored to, if it is mapped, and what of it the writer has not been told yet.
    pub window: Option<Box<dyn Window>>,
    pub stored_from: u64,
    /// How often something came to wait for the writer.
    pub waits: u64,
    /// So many bytes, and what the index takes for them, may be appended before anybody has to look whether there is room
    /// for more, and whether it is ready. 0 where there is something to do first.
    pub ample: u64,
    /// From this offset of the file on the helper is asked for more that is ready.
    pub asked: u64,
    pub touched: Vec<Arc<Segment>>,
    pub unmarked: Option<Arc<Segment>>,
    pub taken: u64,
    pub closed: bool,
    pub released: Vec<(u64, u64, u64)>,
    /// The block that gathers, in an encrypted store.
    pub block: Option<Gathering>,
    /// Indexes of the segments sealed last, and of all that are not durable yet.
    pub recent: Vec<(u64, Arc<Sealed>)>,
}

impl Tail {
    fn used(&self) -> u64 {
        self.segment.at(self.end)
    }

    pub(super) fn seed(&self) -> u32 {
        seed_of(&self.incarnation)
    }

    /// Puts a record of a transaction.
    #[inline]
    fn put_record(
        &mut self,
        record: &Record<'_>,
        sequence: u64,
        index: usize,
        flags: u8,
        time_ms: u64,
    ) {
        let head = Head {
            length: u32::try_from(record.length()).unwrap_or(u32::MAX),
            kind: record.kind,
            flags,
            transaction: sequence,
            sequence: record.sequence,
            time_ms,
            queue: record.queue,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            body_sum: record.sum,
        };
        let at = self.put_frame(head, record.parts.pieces());
        if record.kind == Type::Message {
            self.ample = self.ample.saturating_sub(Flat::ROOM as u64);
            self.index.push(record.queue, record.sequence, at, record.expires_ms);
        }
    }

    /// Counts on the files that the transaction appended last brought in.
    fn note_adopted(&mut self, adopt: &Record<'_>, time_ms: u64) {
        if let Some(body) = Adoption::decode(&adopt.parts.pieces().concat()) {
            let (segment, end, transaction) = (self.segment.number, self.end, self.next - 1);
            self.adopted.insert(Adopted { transaction, time_ms, segment, end, body });
        }
    }

    /// Puts a frame and returns where in the file it, or the block that holds it, begins.
    #[inline]
    pub(super) fn put_frame(&mut self, head: Head, parts: [&[u8]; 2]) -> u64 {
        self.untouched = false;
        let size = head.frame_bytes();
        let at = match &self.block {
            None => self.used(),
            Some(_) => self.enter_block(head.kind, size),
        };
        self.put_bytes(&head.words(self.end, self.seed()), parts, size);
        at
    }

    /// Stores the bytes of a frame of `size` bytes, or lets them gather where that is not possible.
    #[inline]
    fn put_bytes(&mut self, head: &Words, parts: [&[u8]; 2], size: usize) {
        self.ample = self.ample.saturating_sub(size as u64);
        if self.pending.is_empty() && self.store(head, parts, size) {
            self.end += size as u64;
            self.pending_from = self.end;
            return;
        }
        self.gather(head, parts, size);
    }

    fn gather(&mut self, head: &Words, parts: [&[u8]; 2], size: usize) {
        self.waits += 1;
        let whole = self.pending.len() + size;
        self.pending.reserve(size);
        self.pending.extend_from_slice(&bytes_of(head));
        for part in parts {
            self.pending.extend_from_slice(part);
        }
        self.pending.resize(whole, 0);
        self.end += size as u64;
    }

    /// Hands something to the writer that is no frame.
    pub fn hand_over(&mut self, part: Part) {
        self.waits += 1;
        self.parts.push(part);
    }

    /// Opens or closes a block for a frame; returns where in the file the frame or its block begins.
    fn enter_block(&mut self, kind: Type, size: usize) -> u64 {
        if seal::is_clear(kind) {
            self.close_block();
            return self.used();
        }
        self.keep_together(size);
        if let Some(block) = &mut self.block {
            self.end += block.open(&mut self.pending);
            let behind = block.behind(&self.pending);
            return self.used() - behind;
        }
        self.used()
    }

    /// Closes the open block when it has no room for frames of `size` bytes.
    fn keep_together(&mut self, size: usize) {
        if self.block.as_ref().is_some_and(|block| !block.has_room(&self.pending, size)) {
            self.close_block();
        }
    }

    /// Ends the block that gathers, if there is one.
    pub fn close_block(&mut self) {
        if let Some(block) = &mut self.block {
            self.end += block.close(&mut self.pending);
        }
    }

    /// What every append leaves for giving other segments back.
    pub(super) fn release_room(&self) -> usize {
        RELEASES * HEAD + if self.block.is_some() { seal::OVERHEAD } else { 0 }
    }

    /// Where in the file the segment would end after `clear` bytes of incarnations and watermarks, `frames`
    /// bytes of other frames and the index, with `messages` more in it, at most.
    pub fn end_with(&self, clear: usize, frames: usize, messages: usize) -> u64 {
        let index = frame_bytes(self.index.bytes_with(messages));
        let mut more = clear + frames + index;
        if let Some(block) = &self.block {
            let joins = block.has_room(&self.pending, frames);
            more += block.owed() + if joins { 0 } else { seal::overhead(frames) };
            more += seal::OVERHEAD;
        }
        self.used() + more as u64
    }

    /// Up to which offset of the file ordinary records are put. Before the first roll there is no reserve: the last quarter
    /// of the only segment is it.
    fn limit(&self) -> u64 {
        let only = self.table.is_empty() && self.run == 0;
        if only { self.segment.length / 4 * 3 } else { self.segment.length }
    }

    /// Bytes of ordinary records, and of the index for them, for which there is room behind what every append leaves.
    fn room(&self) -> u64 {
        self.limit().saturating_sub(self.end_with(2 * HEAD, self.release_room(), 0))
    }

    /// Appends a frame that has no number.
    pub fn put_local(&mut self, kind: Type, flags: u8, sequence: u64, body: &[u8]) {
        let head = Head {
            length: u32::try_from(body.len()).unwrap_or(u32::MAX),
            kind,
            flags,
            transaction: 0,
            sequence,
            time_ms: 0,
            queue: 0,
            index: 0,
            body_sum: body_sum(&[body]),
        };
        self.put_frame(head, [body, &[]]);
    }

    /// Appends a watermark where there is room behind the index; it is only a help; appends leave room for it.
    pub fn put_watermark(&mut self, secret: u32, durable: u64, sequence: u64, flags: u8) -> bool {
        let kept = if flags & CLEAN != 0 { 0 } else { self.release_room() };
        let room = self.end_with(HEAD, kept, 0) <= self.segment.length;
        if self.closed || !room || sabotage!("watermark skipped") {
            return false;
        }
        self.close_block();
        let head = watermark(self.end, secret, durable, sequence, &self.incarnation, flags);
        self.put_bytes(&head, [&[], &[]], HEAD);
        true
    }

    /// Moves what gathers in memory for this segment behind the parts to be written.
    fn close_pending(&mut self) {
        self.close_block();
        if self.stored_from < self.pending_from {
            let (from, to) = (self.stored_from, self.pending_from);
            self.hand_over(Part::Stored(self.segment.clone(), from, to));
        }
        let bytes = std::mem::take(&mut self.pending);
        if !bytes.is_empty() {
            let at = self.segment.at(self.pending_from);
            self.hand_over(Part::Bytes(self.segment.clone(), at, bytes));
        }
        (self.pending_from, self.stored_from) = (self.end, self.end);
    }
}

impl Journal {
    /// Appends one transaction behind the last one and returns where it stands. It is not durable yet.
    ///
    /// `freeze` writes the rows of the store's state as it is before this transaction; it is called when the
    /// tail rolls. The caller holds the lock of that state.
    pub fn append(
        &self,
        records: &[Record<'_>],
        space: Space,
        time_ms: u64,
        freeze: &mut dyn FnMut(&mut Rows),
    ) -> Result<Appended> {
        self.poisoned()?;
        let frames: usize = records.iter().map(|record| frame_bytes(record.length())).sum();
        let mut tail = self.tail.lock();
        if (frames + records.len() * Flat::ROOM) as u64 > tail.ample {
            self.get_room(&mut tail, (frames, records.len()), space, freeze)?;
        }
        let sequence = tail.next;
        for (index, record) in records.iter().enumerate() {
            let flags = if index + 1 == records.len() { LAST } else { 0 };
            tail.put_record(record, sequence, index, flags, time_ms);
        }
        tail.next += 1;
        if let Some(adopt) = records.first().filter(|record| record.kind == Type::Adopt) {
            tail.note_adopted(adopt, time_ms);
        }
        Ok(self.told(&tail, sequence))
    }

    /// Appends one record that is a transaction of its own, as [`Journal::append`] does.
    #[inline]
    pub fn append_one(
        &self,
        record: &Record<'_>,
        time_ms: u64,
        freeze: &mut dyn FnMut(&mut Rows),
    ) -> Result<Appended> {
        self.poisoned()?;
        let size = frame_bytes(record.length());
        let mut tail = self.tail.lock();
        if (size + Flat::ROOM) as u64 > tail.ample {
            self.get_room(&mut tail, (size, 1), Space::Ordinary, freeze)?;
        }
        let sequence = tail.next;
        tail.put_record(record, sequence, 0, LAST, time_ms);
        tail.next = sequence + 1;
        Ok(self.told(&tail, sequence))
    }

    /// What is said of the transaction that was appended last.
    #[inline]
    fn told(&self, tail: &Tail, sequence: u64) -> Appended {
        let reach = self.reach(tail);
        self.appended.store(tail.end, Ordering::Release);
        Appended { sequence, end: tail.end, group: tail.taken + 1, reach }
    }

    /// Sees to everything that must be before so many bytes of frames of so many records are put, and finds out how much
    /// more may follow without a look.
    #[inline(never)]
    fn get_room(
        &self,
        tail: &mut Tail,
        (frames, records): (usize, usize),
        space: Space,
        freeze: &mut dyn FnMut(&mut Rows),
    ) -> Result<()> {
        if tail.closed {
            return Err(self.closed());
        }
        if tail.block.as_ref().is_some_and(|block| block.blocks >= seal::BLOCKS_MAX) {
            tail.begun = false;
            self.early.store(false, Ordering::Relaxed);
        }
        self.make_room(tail, frames, records, space, freeze)?;
        if !tail.begun {
            self.begin_life(tail, false)?;
        }
        tail.keep_together(frames);
        self.keep_ahead(tail, frames);
        // What a block takes depends on what is in it.
        tail.ample = if tail.block.is_none() { tail.room().min(tail.ready()) } else { 0 };
        Ok(())
    }

    /// Draws the incarnation of this open and writes its frame.
    pub(super) fn begin_life(&self, tail: &mut Tail, early: bool) -> Result<()> {
        let mut incarnation = [0; 16];
        let doing = || format!("cannot draw an incarnation for {}", self.disk.describe());
        if !sabotage!("incarnation not drawn") {
            self.disk.random(&mut incarnation).map_err(|error| Error::io(doing(), &error))?;
        }
        let early = early || tail.owes;
        let said = early && !sabotage!("early positions not announced");
        tail.put_local(Type::Incarnation, if said { EARLY } else { 0 }, 0, &incarnation);
        tail.incarnation = incarnation;
        let (at, seed) = (tail.used(), tail.seed());
        tail.index.live(at, seed);
        (tail.begun, tail.ample) = (true, 0);
        tail.early = early;
        // One that was not asked for is owed: an earlier life has said the same, durably.
        self.early.store(tail.owes, Ordering::Relaxed);
        if let Some(block) = &mut tail.block {
            block.blocks = 0;
        }
        Ok(())
    }

    /// Begins a life that says "positions are handed out early" and makes it durable, once per open.
    #[inline]
    pub fn hand_out_early(&self) -> Result<()> {
        if self.is_early() { Ok(()) } else { self.begin_early() }
    }

    fn begin_early(&self) -> Result<()> {
        let appended = {
            let mut tail = self.tail.lock();
            if tail.closed {
                return Err(self.closed());
            }
            if tail.begun && tail.early {
                return Ok(());
            }
            if tail.end_with(4 * HEAD, tail.release_room(), 0) > tail.segment.length {
                // The next roll makes room; until then commits wait for the sync.
                return Ok(());
            }
            self.begin_life(&mut tail, true)?;
            self.map_tail(&mut tail);
            self.appended.store(tail.end, Ordering::Release);
            self.all_of(&tail)
        };
        // Unknown is what became of the life. The transaction that wants it was not appended: that one is lost.
        self.commit(&appended).map_err(|error| self.of_others(error))?;
        // Not before: what is handed out early must find it on the disk.
        let tail = self.tail.lock();
        self.early.store(tail.begun && tail.early, Ordering::Relaxed);
        Ok(())
    }

    /// Whether this life may hand out positions before they are durable.
    #[inline]
    pub fn is_early(&self) -> bool {
        self.early.load(Ordering::Relaxed)
    }

    /// Tells the tail that a durable epoch accounts for what earlier lives handed out: the next append begins
    /// a life without the flag, unless it is asked for again.
    pub fn settle_epoch(&self) {
        let mut tail = self.tail.lock();
        tail.owes = false;
        tail.begun = tail.begun && !tail.early;
        tail.ample = 0;
        self.early.store(false, Ordering::Relaxed);
    }

    fn make_room(
        &self,
        tail: &mut Tail,
        frames: usize,
        records: usize,
        space: Space,
        freeze: &mut dyn FnMut(&mut Rows),
    ) -> Result<()> {
        let life = if tail.begun { 0 } else { frame_bytes(16) };
        let limit = if space.is_freeing() { tail.segment.length } else { tail.limit() };
        // The watermark of its own group, and that of the group before, which may be on its way.
        let clear = life + 2 * HEAD;
        if tail.end_with(clear, frames + tail.release_room(), records) <= limit {
            return Ok(());
        }
        let index = frame_bytes(Flat::default().bytes_with(records));
        let seals = if tail.block.is_some() { seal::overhead(frames) + seal::OVERHEAD } else { 0 };
        let end = tail.release_room() + 2 * HEAD;
        let need = (frames + index + frame_bytes(16) + seals + end) as u64 + FRAMES_AT;
        let largest = self.options.largest();
        if need > largest {
            let text = format!(
                "a transaction of {records} records takes {need} bytes, more than one segment of {largest}"
            );
            return Err(Error::new(Code::TooLarge, text));
        }
        self.roll(tail, need, space, freeze)
    }

    /// Seals the tail and begins the next prepared segment.
    pub(super) fn roll(
        &self,
        tail: &mut Tail,
        need: u64,
        space: Space,
        freeze: &mut dyn FnMut(&mut Rows),
    ) -> Result<()> {
        let now = self.disk.now_ms();
        let filled_ms = now.saturating_sub(tail.segment.began_ms);
        let class = self.options.next_length(tail.segment.length, filled_ms, need);
        let run = match self.settle_run() {
            // On a full disk the run waits for room; an open replays more until then.
            Err(error) if error.code() != Code::NoSpace => return Err(error),
            run => run.unwrap_or(tail.run),
        };
        let turn = self.prepare_now();
        if !space.is_freeing() {
            // Without the reserve nothing ordinary begins a segment: acknowledging must go on.
            self.keep_reserve().map_err(|error| self.no_room(error))?;
        }
        let small = self.options.next_length(0, u64::MAX, need);
        let taken = match self.take_segment((class, small), space) {
            Err(error) if error.code() == Code::NoSpace && class > small => {
                self.take_segment((small, small), space)
            }
            taken => taken,
        };
        let next = taken.map_err(|error| self.no_room(error))?;
        if !tail.begun {
            // The first frame in it is of the last life still, as another file's may be that was here before.
            if let Err(error) = clear(&next) {
                self.spares.lock().untake(next);
                return Err(error);
            }
        }
        drop(turn);
        tail.run = run;
        self.seal(tail, next.number);
        self.begin(tail, next, now);
        if !self.run.lock().waits() {
            let mut rows = Rows::default();
            rows.segments(&tail.table, &tail.moved);
            rows.adopted(&tail.table, (&tail.adopted, tail.segment.number));
            freeze(&mut rows);
            let slot = self.slot_of(&tail.segment, tail, Role::Begun);
            self.freeze_run(rows, slot);
        }
        // The next one is filled as fast as this one was, for all that is known.
        self.work_ahead(self.options.next_length(tail.segment.length, filled_ms, 0));
        Ok(())
    }

    fn no_room(&self, error: Error) -> Error {
        let what = format!("no room for another segment in {}", self.disk.describe());
        let cause = if error.cause() == Code::Ok { error.code() } else { error.cause() };
        Error::because(error.code(), what, &error).caused_by(cause)
    }

    fn seal(&self, tail: &mut Tail, successor: u64) {
        tail.close_block();
        let index = tail.end;
        let sealed = tail.index.sealed();
        let body = sealed.encode();
        self.contents.lock().remember(tail.segment.number, &stretches_of(&sealed));
        tail.recent.push((tail.segment.number, Arc::new(sealed)));
        let durable = self.durable_offset();
        while tail.recent.len() > 2
            && tail.table.get(&tail.recent[0].0).is_none_or(|row| row.end <= durable)
        {
            tail.recent.remove(0);
        }
        if tail.begun {
            // Behind a cut lie frames of the last life: one more of them could join up with those.
            tail.put_local(Type::Index, 0, 0, &body);
        }
        tail.close_pending();
        let segment = tail.segment.clone();
        let mut slot = self.slot_of(&segment, tail, Role::Sealed);
        slot.end = tail.end;
        slot.index = index;
        slot.expires_ms = tail.index.expires_ms();
        slot.successor = successor;
        let row = Row {
            first: segment.first,
            length: segment.length,
            end: tail.end,
            expires_ms: slot.expires_ms,
            next: slot.next,
            began_ms: slot.began_ms,
        };
        tail.table.insert(segment.number, row);
        tail.hand_over(Part::Slot(segment, slot));
    }

    /// Makes a prepared segment the tail, under the life in force.
    pub(super) fn begin(&self, tail: &mut Tail, mut next: Segment, now: u64) {
        next.first = tail.end;
        next.began_ms = now;
        let mut slot = self.slot_of(&next, tail, Role::Begun);
        slot.began_ms = now;
        next.slot = Some(slot);
        let next = Arc::new(next);
        tail.hand_over(Part::Slot(next.clone(), slot));
        tail.touched.push(next.clone());
        tail.unmarked = Some(next.clone());
        tail.index.renew();
        let (at, seed) = (FRAMES_AT, tail.seed());
        tail.index.live(at, seed);
        tail.segment = next;
        (tail.pending_from, tail.stored_from) = (tail.end, tail.end);
        (tail.window, tail.ample) = (None, 0);
        self.map_tail(tail);
    }

    /// A slot of `segment`, as far as the tail knows it.
    pub(super) fn slot_of(&self, segment: &Segment, tail: &Tail, role: Role) -> Slot {
        let begun = Slot {
            role,
            secret: self.secret,
            length: segment.length,
            store: self.store,
            number: segment.number,
            incarnation: tail.incarnation,
            first: segment.first,
            next: tail.next,
            run: tail.run,
            began_ms: segment.began_ms,
            chain: 0,
            epoch: tail.epoch,
            early: tail.early,
            blocks: tail.block.is_some(),
            end: 0,
            index: 0,
            expires_ms: 0,
            successor: 0,
            chain_end: 0,
        };
        Slot { role, ..segment.slot.unwrap_or(begun) }
    }

    /// Tells the tail that an epoch began with the transaction just appended.
    pub fn set_epoch(&self, epoch: u32) {
        self.tail.lock().epoch = epoch;
    }

    fn closed(&self) -> Error {
        Error::new(Code::Closed, format!("the store {} is closed", self.disk.describe()))
    }
}
