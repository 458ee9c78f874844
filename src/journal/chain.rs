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
        let name = self.names.get(queue as usize).copied().unwrap_or(0);
        if self.open.is_empty() {
            if flags & LAST != 0 && kind == Type::Message as u8 {
                self.value = self.link_of_one(frame, name);
                return;
            }
            let mut begun = [0; 20];
            begun[..8].copy_from_slice(&self.value.to_le_bytes());
            begun[8..12].copy_from_slice(&self.epoch.to_le_bytes());
            begun[12..].copy_from_slice(&frame[8..16]);
            self.open.extend_from_slice(&begun);
        }
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

    /// The link of a transaction that is one message: the same bytes, put together as words, since a processor waits where
    /// it reads together what was written in pieces.
    #[inline]
    fn link_of_one(&self, frame: &[u8], name: u64) -> u64 {
        let (transaction, sum) = (u64_at(frame, 8), u64::from(u32_at(frame, 40)));
        let words = [
            self.value,
            u64::from(self.epoch) | transaction << 32,
            transaction >> 32 | u64::from(frame[4]) << 32 | name << 40,
            name >> 24 | sum << 40,
        ];
        let mut link = [0; 33];
        for (to, word) in link.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        link[32] = (sum >> 24) as u8;
        xxh3_64(&link)
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

#[cfg(test)]
mod tests {
    use super::super::format::Head;
    use super::*;

    /// A link as it is described at the head of this file, of records of a transaction: type, queue and body sum.
    fn described(chain: &Chain, transaction: u64, records: &[(Type, u32, u32)]) -> u64 {
        let mut bytes = chain.value.to_le_bytes().to_vec();
        bytes.extend_from_slice(&chain.epoch.to_le_bytes());
        bytes.extend_from_slice(&transaction.to_le_bytes());
        for (kind, queue, sum) in records {
            bytes.push(*kind as u8);
            let name = chain.names.get(*queue as usize).copied().unwrap_or(0);
            bytes.extend_from_slice(&name.to_le_bytes());
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        xxh3_64(&bytes)
    }

    #[test]
    fn transactions_of_one_message_and_of_more_have_the_links_that_are_described() {
        let mut chain = Chain::new(0x0123_4567_89ab_cdef, 0xfedc_ba98);
        chain.name_queue(3, b"orders");
        let transactions: [&[(Type, u32, u32)]; 4] = [
            &[(Type::Message, 3, 0x89ab_cdef)],
            &[(Type::Message, 9, 1)],
            &[(Type::Message, 3, 7), (Type::Message, 3, u32::MAX)],
            &[(Type::Ack, 3, 0xf00d_f00d)],
        ];
        for (transaction, records) in (0x3edc_ba98_7654_3210..).zip(transactions) {
            let link = described(&chain, transaction, records);
            for (index, (kind, queue, body_sum)) in records.iter().enumerate() {
                let flags = if index + 1 == records.len() { LAST } else { 0 };
                let head = Head {
                    length: 0,
                    kind: *kind,
                    flags,
                    transaction,
                    sequence: 1,
                    time_ms: 0,
                    queue: *queue,
                    index: index as u32,
                    body_sum: *body_sum,
                };
                chain.fold_frame(&head.encode(0, 0));
            }
            assert_eq!(chain.value(), link, "{records:?}");
        }
    }
}
