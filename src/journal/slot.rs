//! The head of a segment file: three slots of 512 bytes, then frames up to the end of the file.
//!
//! Slot 0 is written when the segment becomes the tail, slot 1 after the sync that covers the segment before
//! (it says "all before me is durable"), slot 2 when the segment is sealed. Each holds the whole head, so that
//! any one of them is enough to know the segment; a slot is valid if and only if its magic, its sum and the
//! number in the file's name hold, and its numbers are below 2^62 (dates, chains and random bytes may be any). A file without a valid slot was prepared and not begun.
//!
//! ```text
//! offset  size  slot
//!      0     8  magic        "repliqS1"
//!      8     2  version      of the format: 1
//!     10     1  role         0 begun, 1 all before is durable, 2 sealed, 3 state run, 4 staged file, 5 base
//!     11     1  sum          kind of checksum of the frames: 2 = CRC-32C (1 was CRC-32, before any release)
//!     12     4  must-understand flags: bit 0 = the frames lie in sealed blocks, see `seal`
//!     16     4  may-ignore flags: bit 0 = a life that hands out positions before they are durable
//!     20     4  secret       32 random bits of the store that never leave the directory
//!     24     8  length       of the file in bytes
//!     32    16  store        random, drawn at creation; a file of another store has another
//!     48     8  number       of the segment, as in its name
//!     56    16  incarnation  under which the segment was begun
//!     72     8  first        journal offset of its first frame
//!     80     8  next         sequence of the first transaction that begins in it
//!     88     8  run          number of the newest complete state run, 0 = none
//!     96     8  began        milliseconds since 1970 UTC
//!    104     8  chain        hash chain of the transactions before it; veiled where the frames are sealed
//!    112     4  epoch        in force at its first frame
//!    116     4  zero
//!    120     8  end          sealed: journal offset after its last frame
//!    128     8  index        sealed: journal offset of its index frame
//!    136     8  expires      sealed: when its last message expires, all ones = never
//!    144     8  successor    sealed: number of the next segment
//!    152     8  chain end    sealed: hash chain of the transactions up to its end; veiled as well
//!    160     4  sum          CRC-32 over bytes 0..160
//! ```

use super::format::{u32_at, u64_at};
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::sum;

/// Size of one slot: a sector, so that a torn write spoils one of them only.
pub const SLOT: usize = 512;
/// Where the frames begin.
pub const FRAMES_AT: u64 = 3 * SLOT as u64;
const MAGIC: &[u8; 8] = b"repliqS1";
const VERSION: u16 = 1;
const SUMMED: usize = 160;
const SEALED_BLOCKS: u32 = 1;

/// What a slot says of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Begun = 0,
    Marked = 1,
    Sealed = 2,
    Run = 3,
    Staged = 4,
    Base = 5,
}

/// The head of a segment or of a state run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub role: Role,
    pub secret: u32,
    pub length: u64,
    pub store: [u8; 16],
    pub number: u64,
    pub incarnation: [u8; 16],
    pub first: u64,
    pub next: u64,
    pub run: u64,
    pub began_ms: u64,
    pub chain: u64,
    pub epoch: u32,
    pub early: bool,
    pub blocks: bool,
    pub end: u64,
    pub index: u64,
    pub expires_ms: u64,
    pub successor: u64,
    pub chain_end: u64,
}

impl Slot {
    /// Where in the file the slot of this role stands.
    pub fn place(&self) -> u64 {
        match self.role {
            Role::Begun | Role::Run | Role::Staged | Role::Base => 0,
            Role::Marked => SLOT as u64,
            Role::Sealed => 2 * SLOT as u64,
        }
    }

    /// The slot's bytes.
    pub fn encode(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = self.role as u8;
        bytes[11] = sum::KIND;
        bytes[12..16].copy_from_slice(&u32::from(self.blocks).to_le_bytes());
        bytes[16] = u8::from(self.early);
        bytes[20..24].copy_from_slice(&self.secret.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.store);
        bytes[56..72].copy_from_slice(&self.incarnation);
        bytes[112..116].copy_from_slice(&self.epoch.to_le_bytes());
        let words = [
            (24, self.length),
            (48, self.number),
            (72, self.first),
            (80, self.next),
            (88, self.run),
            (96, self.began_ms),
            (104, self.chain),
            (120, self.end),
            (128, self.index),
            (136, self.expires_ms),
            (144, self.successor),
            (152, self.chain_end),
        ];
        for (at, word) in words {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let sum = crc32fast::hash(&bytes[..SUMMED]);
        bytes[SUMMED..SUMMED + 4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Decodes a slot; `None` when it is no valid slot of the file `number`.
    ///
    /// A valid slot of a newer format is an error that says so.
    pub fn decode(bytes: &[u8], number: u64) -> Result<Option<Slot>> {
        if bytes.len() < SUMMED + 4
            || &bytes[0..8] != MAGIC
            || u32_at(bytes, SUMMED) != crc32fast::hash(&bytes[..SUMMED])
            || u64_at(bytes, 48) != number
        {
            return Ok(None);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION || bytes[11] != sum::KIND || u32_at(bytes, 12) & !SEALED_BLOCKS != 0 {
            let text = format!(
                "segment {number:016x} has format {version}, checksum kind {} and flags {:#x}; \
                 this version reads format {VERSION}, kind {}, flag {SEALED_BLOCKS}",
                bytes[11],
                u32_at(bytes, 12),
                sum::KIND
            );
            return Err(Error::new(Code::Version, text));
        }
        let role = match bytes[10] {
            0 => Role::Begun,
            1 => Role::Marked,
            2 => Role::Sealed,
            3 => Role::Run,
            4 => Role::Staged,
            5 => Role::Base,
            _ => return Ok(None),
        };
        let numbers = [24, 48, 72, 80, 88, 120, 128, 144];
        if numbers.iter().any(|at| u64_at(bytes, *at) >= limits::NUMBERS_END) {
            return Ok(None);
        }
        let array = |at: usize| {
            let mut sixteen = [0; 16];
            sixteen.copy_from_slice(&bytes[at..at + 16]);
            sixteen
        };
        Ok(Some(Slot {
            role,
            secret: u32_at(bytes, 20),
            length: u64_at(bytes, 24),
            store: array(32),
            number,
            incarnation: array(56),
            first: u64_at(bytes, 72),
            next: u64_at(bytes, 80),
            run: u64_at(bytes, 88),
            began_ms: u64_at(bytes, 96),
            chain: u64_at(bytes, 104),
            epoch: u32_at(bytes, 112),
            early: bytes[16] & 1 != 0,
            blocks: bytes[12] & 1 != 0,
            end: u64_at(bytes, 120),
            index: u64_at(bytes, 128),
            expires_ms: u64_at(bytes, 136),
            successor: u64_at(bytes, 144),
            chain_end: u64_at(bytes, 152),
        }))
    }

    /// The seed of frames under the slot's incarnation.
    pub fn seed(&self) -> u32 {
        seed_of(&self.incarnation)
    }
}

/// The seed an incarnation gives to the sums of its frames.
#[inline]
pub fn seed_of(incarnation: &[u8; 16]) -> u32 {
    u32_at(incarnation, 0)
}
