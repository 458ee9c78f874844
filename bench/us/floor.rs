//! The floors: what the machine itself does at the same moment, without us.
//!
//! - `floor-sync`: a positioned write of as many bytes as our frames have, into a file that was written and synced
//!   whole beforehand, and `fdatasync`.
//! - `floor-copy`: the format's checksum over as many bytes as our frame has, and one copy of them.
//! - `floor-read`: the same checksum over frames in memory.
//! - `floor-write`: sequential writes of 1 MiB, synced at the end of the stint; counted in messages of our frame's size.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Plan;
use super::contest::{self, Contestant, Done, Stint, Times, failed};

/// Bytes our journal adds to a payload without key and headers: header, fixed fields, padding to eight.
const FRAME_BYTES: usize = 56;
/// The file is written round and round; large enough that a write never meets one of the second before.
const FILE_BYTES: u64 = 64 << 20;
/// Larger than the caches, as the tail of a journal is.
const COPY_BYTES: usize = 16 << 20;
/// What a sequential writer hands over at once.
const WRITE_BYTES: usize = 1 << 20;

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
    /// For `messages` messages of `size` bytes at once.
    pub fn prepare(dir: &Path, size: usize, messages: u64) -> Done<SyncFloor> {
        let file = written(&dir.join("floor"))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync the directory"))?;
        Ok(SyncFloor { file, bytes: vec![b'f'; frame_bytes(size) * messages as usize], at: 0 })
    }

    /// How long one took.
    pub fn call(&mut self) -> Done<Duration> {
        if self.at + self.bytes.len() as u64 > FILE_BYTES {
            self.at = 0;
        }
        let start = Instant::now();
        self.file
            .write_all_at(&self.bytes, self.at)
            .and_then(|()| self.file.sync_data())
            .map_err(failed("write the floor"))?;
        self.at += self.bytes.len() as u64;
        Ok(start.elapsed())
    }
}

/// A file whose every block was written and synced, in this turn or an earlier one.
fn written(path: &Path) -> Done<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(failed("create the floor's file"))?;
    if file.metadata().map_err(failed("look at the floor's file"))?.len() == FILE_BYTES {
        return Ok(file);
    }
    let zeros = vec![0; WRITE_BYTES];
    for at in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at).map_err(failed("write the floor's file"))?;
    }
    file.sync_all().map_err(failed("sync the floor's file"))?;
    Ok(file)
}

/// All of them as contestants.
pub struct Floors(Plan);

impl Floors {
    pub fn open(plan: Plan) -> Done<Floors> {
        Ok(Floors(plan))
    }

    fn sync(&self, stint: Stint) -> Done {
        contest::commits(stint, 1, self.0.batch, true, |_| {
            let mut floor = SyncFloor::prepare(&self.0.dir, self.0.size, self.0.batch)?;
            Ok(move || floor.call().map(|_| ()))
        })
    }

    fn copy(&self, stint: Stint) -> Done {
        contest::commits(stint, 1, 1, false, |_| {
            let frame = vec![b'f'; frame_bytes(self.0.size)];
            let mut copies = vec![1; COPY_BYTES];
            let mut at = 0;
            Ok(move || {
                if at + frame.len() > COPY_BYTES {
                    at = 0;
                }
                let to = &mut copies[at..at + frame.len()];
                to.copy_from_slice(&frame);
                to[0] = repliq::sum::of(std::hint::black_box(&frame[..frame.len() - 4])) as u8;
                at += frame.len();
                Ok(())
            })
        })
    }

    fn read(&self, stint: Stint) -> Done {
        contest::commits(stint, 1, 1, false, |_| {
            let (frame, frames) = (frame_bytes(self.0.size), vec![1; COPY_BYTES]);
            let (mut at, mut sum) = (0, 0u32);
            Ok(move || {
                if at + frame > COPY_BYTES {
                    at = 0;
                }
                sum ^= repliq::sum::of(std::hint::black_box(&frames[at..at + frame]));
                std::hint::black_box(sum);
                at += frame;
                Ok(())
            })
        })
    }

    fn write(&self, mut stint: Stint) -> Done {
        let file = written(&self.0.dir.join("sequential"))?;
        let bytes = vec![b'f'; WRITE_BYTES];
        stint.begin();
        let (mut at, mut frames) = (0, 0);
        let some = (WRITE_BYTES / frame_bytes(self.0.size)) as u64;
        while frames < stint.messages && !stint.over() {
            file.write_all_at(&bytes, at)
                .and_then(|()| file.sync_data())
                .map_err(failed("write the floor"))?;
            at = (at + WRITE_BYTES as u64) % FILE_BYTES;
            frames += some;
        }
        stint.end(frames, frames / some, Times::default(), "");
        Ok(())
    }
}

impl Contestant for Floors {
    fn stint(&mut self, stint: Stint) -> Done {
        match self.0.workload.as_str() {
            "floor-sync" => self.sync(stint),
            "floor-copy" => self.copy(stint),
            "floor-read" => self.read(stint),
            _ => self.write(stint),
        }
    }
}
