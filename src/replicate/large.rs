//! Staged transactions on their way: the sender reads them from their files as they go, the receiver stages them
//! as they come. Neither ever has more of one in memory than a frame and a message.

use super::target::{Progress, Target};
use crate::error::{Code, Error, Result};
use crate::journal::{Adoption, Body, Cursor, Found, Staging, Type, Walked, body_sum, whole};
use crate::limits;
use crate::position::Stamp;
use crate::store::{Core, Entry, is_path};
use crate::wire::stream::{self, Record};
use std::collections::VecDeque;

/// Bytes read at a time.
const STEP: usize = limits::STREAM_FRAME_BYTES;
/// Messages read at a time.
const MESSAGES: usize = 4_096;

/// The files' record of a transaction, where it was staged.
pub(super) fn adoption(walked: &Walked<'_>) -> Option<Adoption> {
    let (head, body) = walked.records.first()?;
    (head.kind == Type::Adopt).then(|| Adoption::decode(&walked.bytes[body.clone()]))?
}

/// Messages and bytes of a queue in a staged transaction, and the sequence of the last of them.
pub(super) fn share(walked: &Walked<'_>, queue: u32) -> Option<(u64, u64, u64)> {
    let adoption = adoption(walked)?;
    let share = adoption.share_of(queue)?;
    Some((share.count, share.bytes, share.last()))
}

/// What one target gets of a staged transaction, message by message.
struct Messages {
    cursor: Cursor,
    last: u64,
    end: u64,
    purged: u64,
    read: VecDeque<Found>,
}

impl Messages {
    /// The next one that is meant for the target.
    fn next(&mut self, core: &Core, target: &Target) -> Result<Option<Found>> {
        loop {
            let Some(found) = self.read.pop_front() else {
                if self.cursor.next() > self.last {
                    return Ok(None);
                }
                let mut read = Vec::new();
                core.journal().read(&mut self.cursor, self.end, MESSAGES, STEP, &mut read)?;
                if read.is_empty() {
                    let text = format!("message {} is gone before it was sent", self.cursor.next());
                    return Err(Error::new(Code::NotFound, text));
                }
                self.read.extend(read);
                continue;
            };
            let sequence = found.head.sequence;
            if sequence > self.last {
                return Ok(None);
            }
            if sequence > self.purged && target.select.takes(&found.buffer[found.body.clone()]) {
                return Ok(Some(found));
            }
        }
    }
}

/// A staged transaction that is being sent, as one entry in pieces.
pub(super) struct Sending {
    /// Its stamp.
    pub stamp: Stamp,
    /// Bytes of the entry, and how many of them were taken.
    pub total: u64,
    pub at: u64,
    messages: Messages,
    ready: Vec<u8>,
}

impl Sending {
    /// What a target gets of a staged transaction; `None` when that is nothing. Where a part of it is selected,
    /// it is read once for its length, and once more as it goes.
    pub fn find(
        core: &Core,
        walked: &Walked<'_>,
        target: &Target,
        purged: u64,
        path: Option<&[u8]>,
    ) -> Result<Option<Sending>> {
        let Some(adopted) = core.journal().adopted_at(walked.stamp.sequence) else {
            return Ok(None);
        };
        let Some(share) = adopted.body.share_of(target.queue) else { return Ok(None) };
        let messages = || Messages {
            cursor: Cursor::new(target.queue, share.first),
            last: share.last(),
            end: adopted.end,
            purged,
            read: VecDeque::new(),
        };
        let (mut count, mut bytes) = (0, 0);
        if target.select.is_all() && purged < share.first {
            (count, bytes) = (share.count, share.bytes);
        } else {
            let mut messages = messages();
            while let Some(found) = messages.next(core, target)? {
                (count, bytes) = (count + 1, bytes + found.body.len() as u64);
            }
        }
        if count == 0 {
            return Ok(None);
        }
        let records = u32::try_from(count + u64::from(path.is_some())).map_err(|_| {
            let text = format!("transaction {} has {count} messages", walked.stamp);
            Error::new(Code::TooLarge, text)
        })?;
        let mut ready = Vec::new();
        stream::put_transaction(&mut ready, &walked.stamp, walked.time_ms, records);
        if let Some(path) = path {
            let record = Record { kind: stream::PATH, sum: body_sum(&[path]), body: path };
            stream::put_record(&mut ready, &record);
        }
        let total = ready.len() as u64 + count * stream::RECORD as u64 + bytes;
        let stamp = walked.stamp;
        Ok(Some(Sending { stamp, total, at: 0, messages: messages(), ready }))
    }

    /// The next piece of the entry, of about a frame; the caller sends it before it asks again.
    pub fn next(&mut self, core: &Core, target: &Target) -> Result<Vec<u8>> {
        while self.ready.len() < limits::STREAM_FRAME_BYTES
            && let Some(found) = self.messages.next(core, target)?
        {
            let body = &found.buffer[found.body.clone()];
            let record = Record { kind: stream::MESSAGE, sum: found.head.body_sum, body };
            stream::put_record(&mut self.ready, &record);
        }
        let taken = self.ready.len().min(limits::STREAM_FRAME_BYTES);
        let rest = self.ready.split_off(taken);
        let piece = std::mem::replace(&mut self.ready, rest);
        if piece.is_empty() || self.at + piece.len() as u64 > self.total {
            let text = format!("transaction {} changed while it was sent", self.stamp);
            return Err(
                Error::new(Code::Corrupt, text).over(self.stamp.sequence, self.stamp.sequence)
            );
        }
        Ok(piece)
    }

    /// So many bytes were put into a frame; true when that was all.
    pub fn sent(&mut self, bytes: usize) -> bool {
        self.at += bytes as u64;
        self.at == self.total
    }

    /// The whole entry, where it is no larger than a frame.
    pub fn whole(&mut self, core: &Core, target: &Target) -> Result<Option<Vec<u8>>> {
        if self.total > limits::STREAM_FRAME_BYTES as u64 {
            return Ok(None);
        }
        let entry = self.next(core, target)?;
        Ok(Some(entry))
    }
}

/// Counts what a staged transaction has for the root of a target.
pub(super) fn count(walked: &Walked<'_>, queue: u32, reached: &mut Progress) {
    if let Some((_, bytes, last)) = share(walked, queue) {
        (reached.message, reached.bytes) = (last, reached.bytes + bytes);
    }
}

/// A large transaction that is arriving.
pub(super) struct Arriving {
    /// Its stamp, once its head has arrived.
    pub stamp: Option<Stamp>,
    /// The path it came by.
    pub path: Vec<u8>,
    /// It left this queue before: its messages are not taken.
    pub is_back: bool,
    pub staging: Staging,
    queue: u32,
    total: u64,
    at: u64,
    records: u32,
    index: u32,
    /// What has arrived of the next record.
    bytes: Vec<u8>,
}

impl Arriving {
    /// Begins with the first piece of an entry of `total` bytes for a queue.
    pub fn begin(core: &Core, queue: u32, total: u64) -> Arriving {
        Arriving {
            stamp: None,
            path: Vec::new(),
            is_back: false,
            staging: core.staging(),
            queue,
            total,
            at: 0,
            records: 0,
            index: 0,
            bytes: Vec::new(),
        }
    }

    /// The place of the next piece.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Bytes of the whole entry.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Takes a piece in; true when it was the last.
    pub fn take(&mut self, core: &Core, piece: &[u8]) -> Result<bool> {
        self.at += piece.len() as u64;
        self.bytes.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[..];
        if self.stamp.is_none() {
            let Some((stamp, records, behind)) = stream::large_head(rest)? else {
                self.bytes = bytes;
                return self.is_over();
            };
            (self.stamp, self.records, rest) = (Some(stamp), records, behind);
        }
        let mut entries = Vec::new();
        while let Some((record, behind)) = stream::large_record(rest)? {
            if self.index == self.records {
                return Err(self.wrong(Code::Invalid, "is one too many"));
            }
            self.record(core, &record, &mut entries)?;
            (self.index, rest) = (self.index + 1, behind);
        }
        core.put_staged(&mut self.staging, &entries, true)?;
        let left = rest.len();
        drop(entries);
        self.bytes = bytes;
        self.bytes.drain(..self.bytes.len() - left);
        self.is_over()
    }

    fn is_over(&self) -> Result<bool> {
        if self.at < self.total {
            return Ok(false);
        }
        if self.bytes.is_empty() && self.index == self.records && self.stamp.is_some() {
            return Ok(true);
        }
        Err(self.wrong(Code::Invalid, "is not all there"))
    }

    fn record<'a>(
        &mut self,
        core: &Core,
        record: &Record<'a>,
        entries: &mut Vec<Entry<'a>>,
    ) -> Result<()> {
        let (body, sum) = (record.body, record.sum);
        if !matches!((record.kind, self.index), (stream::MESSAGE, _) | (stream::PATH, 0)) {
            return Err(
                self.wrong(Code::Unsupported, "is a record that this version does not read")
            );
        }
        if body_sum(&[body]) != sum {
            return Err(self.wrong(Code::Corrupt, "fails its checksum"));
        }
        if record.kind == stream::PATH {
            if !is_path(body) {
                return Err(self.wrong(Code::Invalid, "is a path that cannot be taken apart"));
            }
            self.path = body.to_vec();
            self.is_back = core.look(|state| state.is_back(self.queue, body));
            return Ok(());
        }
        let Some(decoded) = Body::decode(body) else {
            return Err(self.wrong(Code::Invalid, "cannot be taken apart"));
        };
        if !self.is_back {
            let (queue, parts) = (self.queue, whole(body));
            entries.push(Entry { queue, parts, sum, front: decoded.front });
        }
        Ok(())
    }

    fn wrong(&self, code: Code, what: &str) -> Error {
        let stamp = self.stamp.unwrap_or_default();
        let text = format!("message {} of transaction {stamp} {what}", self.index);
        Error::new(code, text).at_message(self.index as usize)
    }
}
