//! The floor: what the machine itself does at the same moment, without us.
//!
//! Two floors, because a message is limited by one of two things:
//!
//! - [`SyncFloor`], for `power`: one positioned write of as many bytes as our frame has, into a file that was
//!   written and synced whole beforehand, and one `fdatasync`. Nothing durable can be faster than this call.
//! - [`CopyFloor`], for everything that waits for no disk: a checksum over as many bytes as our frame has (CRC-32C,
//!   as the journal takes it) and one copy of them.
//!
//! A device drifts from second to second. So a floor is a thing to call, and whoever measures calls it in turn
//! with what is measured; a floor taken a minute earlier would say nothing.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::fail::{Done, Fail};

/// Bytes our journal adds to a payload without key and headers, roughly: header, fixed fields of the body, and
/// padding to eight. The floor must not be given an easier write than ours.
const FRAME_BYTES: usize = 56;
/// The file is written round and round; large enough that a write never meets one of the second before.
const FILE_BYTES: u64 = 64 << 20;
/// Bytes copied before the buffer begins again; larger than the caches, as a journal's tail is.
const COPY_BYTES: usize = 16 << 20;

/// Bytes a message of `size` takes, rounded up to eight.
fn frame_bytes(size: usize) -> usize {
    (size + FRAME_BYTES).next_multiple_of(8)
}

/// A write and a sync.
pub struct SyncFloor {
    file: File,
    bytes: Vec<u8>,
    at: u64,
}

impl SyncFloor {
    /// Prepares the file `floor` in `dir` for writes of `messages` messages of `size` bytes at once.
    pub fn prepare(dir: &Path, size: usize, messages: usize) -> Done<SyncFloor> {
        let path = dir.join("floor");
        let failed =
            |error: &std::io::Error| Fail::io(format!("cannot prepare {}", path.display()), error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|error| failed(&error))?;
        let zeros = vec![0; 1 << 20];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at).map_err(|error| failed(&error))?;
        }
        file.sync_all().map_err(|error| failed(&error))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| failed(&error))?;
        Ok(SyncFloor { file, bytes: vec![b'f'; frame_bytes(size) * messages], at: 0 })
    }

    /// One write and one sync; how long they took.
    pub fn call(&mut self) -> Done<Duration> {
        if self.at + self.bytes.len() as u64 > FILE_BYTES {
            self.at = 0;
        }
        let start = Instant::now();
        self.file
            .write_all_at(&self.bytes, self.at)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| Fail::io("cannot write the floor", &error))?;
        let took = start.elapsed();
        self.at += self.bytes.len() as u64;
        Ok(took)
    }
}

/// A checksum and a copy, for each message.
pub struct CopyFloor {
    frame: Vec<u8>,
    copies: Vec<u8>,
    at: usize,
}

impl CopyFloor {
    /// For messages of `size` bytes.
    pub fn prepare(size: usize) -> CopyFloor {
        let frame = vec![b'f'; frame_bytes(size)];
        let copies = vec![1; COPY_BYTES.next_multiple_of(frame.len())];
        CopyFloor { frame, copies, at: 0 }
    }

    /// `messages` frames; how long they took.
    pub fn call(&mut self, messages: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..messages {
            if self.at == self.copies.len() {
                self.at = 0;
            }
            let sum = repliq::sum::of(&self.frame[4..]);
            self.frame[..4].copy_from_slice(&sum.to_le_bytes());
            let end = self.at + self.frame.len();
            self.copies[self.at..end].copy_from_slice(&self.frame);
            self.at = end;
        }
        std::hint::black_box(&mut self.copies);
        start.elapsed()
    }
}
