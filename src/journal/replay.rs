//! Giving the records of a journal back in order: one walk through the frames of its segments.
//!
//! A [`Walk`] believes a frame when its sums hold under the life in force and, for a record, when it follows
//! the one before; it gives a transaction to the [`Visitor`] once its last frame was met. It ends at the first
//! place that holds anything else. What that place means is decided in `recover`.

use super::Segment;
use super::adopt::{Adopted, Adoption, Adoptions, RELEASE};
use super::chain::Chain;
use super::format::{CLEAN, EARLY, HEAD, Head, LAST, Type, u64_at};
use super::index::Flat;
use super::key::Keys;
use super::moved::{Home, Moved};
use super::rows::Rows;
use super::scan::{Met, Window, look};
use super::seal::{Before, tampered};
use super::slot::{FRAMES_AT, Slot, seed_of};
use crate::error::{Code, Error, Result};
use crate::limits;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who gets the records back, in order.
pub trait Visitor {
    /// Whether it takes the rows of the state: without them only the journal's own are read.
    fn takes_rows(&self) -> bool {
        true
    }
    /// A row of the state run the replay begins with.
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()>;
    /// A whole transaction.
    fn transaction(&mut self, transaction: &Replayed<'_>) -> Result<()>;
    /// Writes the rows of the state as it is now.
    fn freeze(&mut self, rows: &mut Rows);
    /// The queues known so far, for the chain.
    fn queues(&self) -> Vec<(u32, Vec<u8>)>;
    /// The files of transactions that are prepared.
    fn prepared(&self) -> Vec<Adoption> {
        Vec::new()
    }
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

/// A visitor for frames that were given to another one already.
#[derive(Default)]
pub struct Nobody;

impl Visitor for Nobody {
    fn takes_rows(&self) -> bool {
        false
    }
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

/// The state of a walk through the segments.
pub struct Walk {
    pub offset: u64,
    pub next: u64,
    pub incarnation: [u8; 16],
    pub early: bool,
    pub clean: bool,
    pub cut: bool,
    pub durable: u64,
    pub index: Flat,
    pub chain: Chain,
    pub records: Vec<(Head, std::ops::Range<usize>)>,
    /// Where in the file each record begins, or the block that holds it.
    pub places: Vec<u64>,
    pub bytes: Vec<u8>,
    pub reclaimed: BTreeSet<u64>,
    /// Where moved messages stand.
    pub moved: Moved,
    pub adopted: Adoptions,
    pub read: u64,
    /// What opens the blocks of an encrypted store.
    pub keys: Option<Arc<Keys>>,
    /// What is known of the block before the next one.
    pub before: Option<Before>,
}

impl Walk {
    pub fn begin(slot: &Slot, keys: Option<Arc<Keys>>) -> Walk {
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
            places: Vec::new(),
            bytes: Vec::new(),
            reclaimed: BTreeSet::new(),
            moved: Moved::new(),
            adopted: Adoptions::default(),
            read: 0,
            keys,
            before: None,
        }
    }

    /// Walks one segment up to `limit`; stops at the first place that holds no valid frame.
    pub fn segment(
        &mut self,
        segment: &Segment,
        limit: u64,
        secret: u32,
        visitor: &mut dyn Visitor,
    ) -> Result<()> {
        self.index = Flat::default();
        self.index.live(FRAMES_AT, seed_of(&self.incarnation));
        let mut window = Window::new(segment.file.clone(), self.keys.clone());
        // A buffer is made for no more than there is.
        window.read_below(segment.length);
        window.before = self.before;
        let mut offset = self.offset;
        while offset < limit {
            let seed = seed_of(&self.incarnation);
            let met = look(&mut window, segment.at(offset), (offset, limit), seed, secret)?;
            let Met::Frame(head, frame, place) = met else { break };
            let end = place.next;
            if head.kind.is_local() {
                if !self.records.is_empty() {
                    break;
                }
                if head.kind == Type::Evacuated {
                    let expires_ms = super::body::expires_of(&frame[HEAD..]);
                    let home = Home { offset: place.outer, end, seed, expires_ms };
                    self.moved.insert((head.queue, head.sequence), home);
                }
                self.local(&head, &frame[HEAD..], segment.at(end));
                self.offset = end;
            } else if !self.record(&head, frame, segment.at(place.outer)) {
                break;
            } else if head.flags & LAST != 0 || sabotage!("part of a transaction believed") {
                self.whole(segment.number, end, visitor)?;
                self.offset = end;
            }
            offset = end;
        }
        if window.block().is_some_and(|block| block.holds(self.offset)) {
            // A block ends where a transaction does, unless none begins in it.
            return Err(tampered(self.offset));
        }
        // A transaction that was not whole is as if it had never been there.
        self.clear();
        self.chain.drop_open();
        self.cut = self.offset < limit;
        self.before = window.before;
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
            Type::Reclaim if body.len() == RELEASE => {
                // One that is not in the table was given back before the run that the walk began with.
                let _ = self.adopted.forget(u64_at(body, 0));
            }
            Type::Reclaim => {
                self.reclaimed.insert(head.sequence);
            }
            _ => {}
        }
    }

    /// Keeps a record until its transaction is whole; false when it does not follow the one before.
    fn record(&mut self, head: &Head, frame: &[u8], place: u64) -> bool {
        let follows = head.transaction == self.next && head.index as usize == self.records.len();
        if !follows || head.queue as usize > limits::QUEUES_MAX {
            return false;
        }
        self.chain.fold_frame(frame);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&frame[HEAD..]);
        self.records.push((*head, start..self.bytes.len()));
        self.places.push(place);
        true
    }

    /// Notes the files of a staged transaction.
    fn adopt(&mut self, segment: u64, end: u64) -> Result<()> {
        let first = self.records.first().filter(|(head, _)| head.kind == Type::Adopt);
        let Some((head, body)) = first else { return Ok(()) };
        let Some(body) = Adoption::decode(&self.bytes[body.clone()]) else {
            let text = format!("the files of transaction {} cannot be read", self.next);
            return Err(Error::new(Code::Corrupt, text).over(self.offset, end));
        };
        let (transaction, time_ms) = (self.next, head.time_ms);
        self.adopted.insert(Adopted { transaction, time_ms, segment, end, body });
        Ok(())
    }

    fn clear(&mut self) {
        self.records.clear();
        self.places.clear();
        self.bytes.clear();
    }

    fn whole(&mut self, segment: u64, end: u64, visitor: &mut dyn Visitor) -> Result<()> {
        self.clean = false;
        self.adopt(segment, end)?;
        for ((head, body), place) in self.records.iter().zip(&self.places) {
            if head.kind == Type::Message {
                let expires = super::body::expires_of(&self.bytes[body.clone()]);
                self.index.push(head.queue, head.sequence, *place, expires);
            }
        }
        let (sequence, time_ms) = (self.next, self.records[0].0.time_ms);
        let (records, bytes) = (&self.records[..], &self.bytes[..]);
        visitor.transaction(&Replayed { sequence, time_ms, records, bytes })?;
        self.clear();
        self.next += 1;
        Ok(())
    }
}
