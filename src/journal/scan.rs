//! Walking the frames of one segment file in order, and looking for watermarks behind a bad one.

use super::format::{HEAD, Head, Type, body_sum, may_be_watermark};
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
    pub read: u64,
}

impl Window {
    pub fn new(file: Arc<dyn File>) -> Window {
        Window { file, bytes: Vec::new(), from: 0, limit: u64::MAX, read: 0 }
    }

    /// Reads nothing from this file offset on: what stands there may still be written.
    pub fn read_below(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The bytes at `at`, `length` of them or fewer where the file ends.
    pub fn get(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let inside = at >= self.from && at + length as u64 <= self.from + self.bytes.len() as u64;
        if !inside {
            let most = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
            self.bytes.resize(length.max(STEP).min(most), 0);
            let read = self.file.read_at(&mut self.bytes, at)?;
            self.bytes.truncate(read);
            self.from = at;
            self.read += read as u64;
        }
        let start = (at - self.from) as usize;
        let end = (start + length).min(self.bytes.len());
        Ok(&self.bytes[start..end])
    }
}

/// What stands at a place where a frame may begin.
pub enum Met<'a> {
    /// A frame whose sums hold, and its bytes with the header.
    Frame(Head, &'a [u8]),
    /// Something else.
    Bad,
}

/// Looks at one place. `seed` is that of the life in force; watermarks have the store's secret.
pub fn look<'a>(
    window: &'a mut Window,
    at: u64,
    (offset, limit): (u64, u64),
    seed: u32,
    secret: u32,
) -> Result<Met<'a>> {
    let failed = |error| Error::io(format!("cannot read the journal at {offset}"), &error);
    if offset + HEAD as u64 > limit {
        return Ok(Met::Bad);
    }
    let bytes = window.get(at, HEAD).map_err(failed)?;
    if bytes.len() < HEAD {
        return Ok(Met::Bad);
    }
    let seed = if may_be_watermark(bytes) { secret } else { seed };
    let Some(head) = Head::decode(bytes, offset, seed)? else { return Ok(Met::Bad) };
    let whole = HEAD + head.length as usize;
    if offset + whole as u64 > limit {
        return Ok(Met::Bad);
    }
    let bytes = window.get(at, whole).map_err(failed)?;
    let sound = bytes.len() == whole && body_sum(&[&bytes[HEAD..]]) == head.body_sum;
    Ok(if sound { Met::Frame(head, bytes) } else { Met::Bad })
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
    let mut window = Window::new(file.clone());
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
        match look(&mut window, at, (offset, limit), seed, secret).unwrap_or(Met::Bad) {
            Met::Frame(head, _) => {
                if head.kind == Type::Watermark && head.sequence <= offset {
                    found.durable = found.durable.max(head.sequence);
                }
                found.frames += 1;
                found.last = offset + head.frame_bytes() as u64;
                offset = found.last;
            }
            Met::Bad => offset += 8,
        }
    }
    Ok(found)
}
