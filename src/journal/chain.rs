//! The hash chain over everything a store shares with others.
//!
//! Two stores with the same chain value at a position hold the same transactions up to it. One link is
//! XXH3-64 over the previous link (8 bytes), the epoch (4), the transaction's sequence (8) and, per record,
//! its type (1), the XXH3-64 of its queue's name (8, zero without a queue) and the sum of its body (4); for an
//! `adopt` and a `prepared` record the digest it begins with (8) takes the place of the sum, since its body names files. Local
//! frames, numbers given by one store, places in a file and ciphertext are not in it.
//!
//! It is folded by whoever hands bytes to the file, in journal order, outside the lock of the tail.

use super::format::{HEAD, LAST, Type, frame_bytes, u32_at, u64_at};
use xxhash_rust::xxh3::xxh3_64;

/// The running chain and what it needs to know of queues and epochs.
pub struct Chain {
    value: u64,
    epoch: u32,
    names: Vec<u64>,
    /// What the link of the transaction being folded is taken over; empty between transactions.
    open: Vec<u8>,
}

impl Chain {
    pub fn new(value: u64, epoch: u32) -> Chain {
        Chain { value, epoch, names: Vec::new(), open: Vec::new() }
    }

    /// The link after the last whole transaction folded.
    pub fn value(&self) -> u64 {
        self.value
    }

    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Teaches the chain the name of a queue that was created before its first fold.
    pub fn name_queue(&mut self, queue: u32, name: &[u8]) {
        let at = queue as usize;
        if self.names.len() <= at {
            self.names.resize(at + 1, 0);
        }
        self.names[at] = xxh3_64(name);
    }

    /// Folds frames that were made here, so their sums need no second look.
    pub fn fold(&mut self, mut frames: &[u8]) {
        while frames.len() >= HEAD {
            let length = u32_at(frames, 0) as usize;
            self.fold_frame(&frames[..HEAD + length]);
            frames = frames.get(frame_bytes(length)..).unwrap_or(&[]);
        }
    }

    /// Folds the whole frames at the beginning of what was read back, at most up to its end; returns how many
    /// bytes they have.
    pub fn fold_whole(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + HEAD) {
            let length = u32_at(head, 0) as usize;
            let Some(frame) = bytes.get(at..at + HEAD + length) else { break };
            self.fold_frame(frame);
            at += frame_bytes(length);
        }
        at
    }

    /// Folds one frame: header and body.
    pub fn fold_frame(&mut self, frame: &[u8]) {
        let (kind, flags) = (frame[4], frame[5]);
        if kind >= 64 {
            return;
        }
        let (queue, body) = (u32_at(frame, 32), &frame[HEAD..]);
        if kind == Type::History as u8 {
            self.epoch = body.first_chunk().map_or(self.epoch, |four| u32::from_le_bytes(*four));
        }
        if kind == Type::Queue as u8
            && let [1, name @ ..] = body
        {
            self.name_queue(queue, name);
        }
        if self.open.is_empty() {
            self.open.extend_from_slice(&self.value.to_le_bytes());
            self.open.extend_from_slice(&self.epoch.to_le_bytes());
            self.open.extend_from_slice(&u64_at(frame, 8).to_le_bytes());
        }
        let name = self.names.get(queue as usize).copied().unwrap_or(0);
        let mut record = [0; 13];
        record[0] = kind;
        record[1..9].copy_from_slice(&name.to_le_bytes());
        record[9..13].copy_from_slice(&frame[40..44]);
        match body.first_chunk::<8>() {
            Some(digest) if kind == Type::Adopt as u8 || kind == Type::Prepared as u8 => {
                self.open.extend_from_slice(&record[..9]);
                self.open.extend_from_slice(digest);
            }
            _ => self.open.extend_from_slice(&record),
        }
        if flags & LAST != 0 {
            self.value = xxh3_64(&self.open);
            self.open.clear();
        }
    }

    /// Goes on from another place in the order.
    pub fn restart(&mut self, value: u64, epoch: u32) {
        (self.value, self.epoch) = (value, epoch);
        self.open.clear();
    }

    /// Forgets a transaction that was begun and is not whole.
    pub fn drop_open(&mut self) {
        self.open.clear();
    }
}
