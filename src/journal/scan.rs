//! Walking the frames of one segment file in order, and looking for watermarks behind a bad one.
//!
//! In an encrypted store the walk goes through the blocks: it meets the frames inside them, and nothing but
//! incarnations and watermarks outside.

use super::format::{HEAD, Head, Type, body_sum, may_be_watermark};
use super::key::{Keys, Purpose};
use super::seal::{self, Before, Opened};
use super::slot::FRAMES_AT;
use crate::disk::File;
use crate::error::{Error, Result};
use std::io;
use std::sync::Arc;

/// Bytes read at a time.
const STEP: usize = 256 << 10;

/// A moving view into a file.
pub struct Window {
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    from: u64,
    limit: u64,
    step: usize,
    keys: Option<Arc<Keys>>,
    /// The salt of the file it looks into, and what that is; without one it is a segment.
    salt: Option<([u8; 16], Purpose)>,
    block: Option<Opened>,
    /// What is known of the block before the next one.
    pub before: Option<Before>,
    pub read: u64,
}

impl Window {
    /// `keys` open the blocks of an encrypted store.
    pub fn new(file: Arc<dyn File>, keys: Option<Arc<Keys>>) -> Window {
        Window {
            file,
            bytes: Vec::new(),
            from: 0,
            limit: u64::MAX,
            step: STEP,
            keys,
            salt: None,
            block: None,
            before: None,
            read: 0,
        }
    }

    /// The same, reading only about `step` bytes at a time.
    pub fn stepping(self, step: usize) -> Window {
        Window { step, ..self }
    }

    /// The same into a staged file with this salt.
    pub fn staged(self, salt: [u8; 16]) -> Window {
        Window { salt: Some((salt, Purpose::Staged)), ..self }
    }

    /// The same into a run or a base with this salt.
    pub fn of_run(self, salt: [u8; 16]) -> Window {
        Window { salt: Some((salt, Purpose::Run)), ..self }
    }

    /// The block that was opened last.
    pub fn block(&self) -> Option<&Opened> {
        self.block.as_ref()
    }

    /// Reads nothing from this file offset on: what stands there may still be written.
    pub fn read_below(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The bytes at `at`, `length` of them or fewer where the file ends.
    pub fn get(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let inside = at >= self.from && at + length as u64 <= self.from + self.bytes.len() as u64;
        if !inside {
            let mut most = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
            if length > self.step {
                // A length that only its sum vouches for asks for no more memory than the file has bytes.
                let there = self.file.len()?.saturating_sub(at);
                most = most.min(usize::try_from(there).unwrap_or(usize::MAX));
            }
            // What is not read after all is nowhere: the old view is given up first.
            self.bytes.clear();
            self.file.read_into(&mut self.bytes, length.max(self.step).min(most), at)?;
            self.from = at;
            self.read += self.bytes.len() as u64;
        }
        let start = (at - self.from) as usize;
        let end = (start + length).min(self.bytes.len());
        Ok(&self.bytes[start..end])
    }
}

/// What stands at a place where a frame may begin.
pub enum Met<'a> {
    /// A frame whose sums hold, its bytes with the header, and where it stands.
    Frame(Head, &'a [u8], Place),
    /// Something else.
    Bad,
}

/// Where a frame stands, in journal offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it begins, or the block it lies in.
    pub outer: u64,
    /// Where the next frame is looked for: behind it, and behind its block when it is the last one there.
    pub next: u64,
}

/// Looks at one place, where the walk began or a frame ended. `seed` is that of the life in force; watermarks
/// have the store's secret.
pub fn look<'a>(
    window: &'a mut Window,
    at: u64,
    (offset, limit): (u64, u64),
    seed: u32,
    secret: u32,
) -> Result<Met<'a>> {
    let inside = window.block.as_ref().is_some_and(|block| block.holds(offset));
    let mut offset = offset;
    if !inside {
        let Some(head) = outer(window, at, (offset, limit), seed, secret)? else {
            return Ok(Met::Bad);
        };
        let whole = HEAD + head.length as usize;
        let failed = |error| Error::io(format!("cannot read the journal at {offset}"), &error);
        let (keys, salt, mut before) = (window.keys.clone(), window.salt, window.before);
        let purpose = salt.map_or(Purpose::Tail, |(_, purpose)| purpose);
        let bytes = window.get(at, whole).map_err(failed)?;
        match keys {
            Some(keys) if head.kind == Type::Sealed => {
                if salt.is_some_and(|(salt, _)| salt != seal::salt_of(&head)) {
                    return Err(seal::tampered(offset));
                }
                let block = seal::open((&keys, purpose), &head, bytes, offset, &mut before)?;
                offset = block.first();
                (window.block, window.before) = (Some(block), before);
            }
            // A plain store has no blocks, an encrypted one has nothing of value outside of them.
            None if head.kind != Type::Sealed => return frame_at(window, at, offset, head),
            Some(_) if seal::is_clear(head.kind) || sabotage!("plain frame believed") => {
                return frame_at(window, at, offset, head);
            }
            _ => return Err(seal::tampered(offset)),
        }
    }
    let Some(block) = &window.block else { return Ok(Met::Bad) };
    let (head, bytes, next) = block.frame(offset, seed)?;
    Ok(Met::Frame(head, bytes, Place { outer: block.from, next }))
}

fn frame_at(window: &mut Window, at: u64, offset: u64, head: Head) -> Result<Met<'_>> {
    let failed = |error| Error::io(format!("cannot read the journal at {offset}"), &error);
    let bytes = window.get(at, HEAD + head.length as usize).map_err(failed)?;
    let place = Place { outer: offset, next: offset + head.frame_bytes() as u64 };
    Ok(Met::Frame(head, bytes, place))
}

/// The frame at one place of the file, a block being one frame; `None` when its sums do not hold. No key is
/// needed.
fn outer(
    window: &mut Window,
    at: u64,
    (offset, limit): (u64, u64),
    seed: u32,
    secret: u32,
) -> Result<Option<Head>> {
    let failed = |error| Error::io(format!("cannot read the journal at {offset}"), &error);
    if offset + HEAD as u64 > limit {
        return Ok(None);
    }
    let bytes = window.get(at, HEAD).map_err(failed)?;
    if bytes.len() < HEAD {
        return Ok(None);
    }
    let seed = if may_be_watermark(bytes) { secret } else { seed };
    let Some(head) = Head::decode(bytes, offset, seed)? else { return Ok(None) };
    let whole = HEAD + head.length as usize;
    if offset + whole as u64 > limit {
        return Ok(None);
    }
    let bytes = window.get(at, whole).map_err(failed)?;
    let sound = bytes.len() == whole
        && (body_sum(&[&bytes[HEAD..]]) == head.body_sum || sabotage!("body not summed"));
    Ok(sound.then_some(head))
}

/// What was found behind a bad frame.
#[derive(Default, Clone, Copy)]
pub struct Behind {
    /// The highest durable offset a watermark names, 0 = none.
    pub durable: u64,
    /// Frames of the life in force that are whole.
    pub frames: u64,
    /// Journal offset behind the last of them.
    pub last: u64,
}

/// Looks at every boundary from journal `offset` to `limit` of a segment that begins at `first`.
pub fn look_behind(
    file: &Arc<dyn File>,
    first: u64,
    (offset, limit): (u64, u64),
    seed: u32,
    secret: u32,
) -> Result<Behind> {
    let mut window = Window::new(file.clone(), None);
    window.read_below(limit.saturating_sub(first) + FRAMES_AT);
    let mut found = Behind::default();
    let mut offset = offset;
    while offset + HEAD as u64 <= limit {
        let at = offset - first + FRAMES_AT;
        let failed = |error| Error::io(format!("cannot read the journal at {offset}"), &error);
        let bytes = window.get(at, HEAD).map_err(failed)?;
        if bytes.len() < HEAD {
            break;
        }
        let likely = (1..=80).contains(&bytes[4]) && bytes[6] == 0 && bytes[7] == 0;
        if !likely {
            offset += 8;
            continue;
        }
        // A record this build must not read is no watermark, and so of no use here.
        match outer(&mut window, at, (offset, limit), seed, secret).unwrap_or(None) {
            Some(head) => {
                if head.kind == Type::Watermark && head.sequence <= offset {
                    found.durable = found.durable.max(head.sequence);
                }
                found.frames += 1;
                found.last = offset + head.frame_bytes() as u64;
                offset = found.last;
            }
            None => offset += 8,
        }
    }
    Ok(found)
}
