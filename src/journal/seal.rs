//! Sealed blocks: the frames of an encrypted store, a group at a time under one seal.
//!
//! A block is a frame of type `Sealed`. Its header is clear, and its fields have other meanings: transaction
//! is the block's number in its incarnation, from 0, and sequence and time are the 16 bytes of the
//! incarnation.
//!
//! ```text
//! offset  size  body of a block
//!      0    16  before       tag of the block before in the same incarnation, zero in the first
//!     16     n  frames       whole frames, each with its padding, encrypted with AES-256-GCM
//!   16+n    16  tag
//! ```
//!
//! The key is derived from the data key for the incarnation, the nonce is the block's number (8 bytes, behind
//! 4 zero bytes). Associated data are the version of this layout (1), the store's id (16), the journal offset
//! of the block (8), bytes 0..40 of its header and the tag before. The header's sums are over the ciphertext,
//! so that a recovery tells a torn block from a whole one without a key.
//!
//! The frames inside are those a plain store would hold, seeded and summed the same way; a frame whose place
//! in the plaintext is `p` has the journal offset of the block plus 64 plus `p`. Only incarnations and
//! watermarks stand outside of blocks. A block holds at most 64 KiB of frames, or one larger frame; a
//! transaction begins in the middle of a block only when it ends in it, so no cut ever falls into a block.
//!
//! A state run, or a base, is a row of blocks with a key of another purpose. Its salt takes the place of the incarnation,
//! and the journal offset is the file offset. Its blocks are numbered and chained on their own; its head is clear, and
//! the first row of its second part says the same under the seal, see `sorted`.
//!
//! A staged file is a row of blocks with a key of another purpose. Its salt, which the `adopt` record names,
//! takes the place of the incarnation, and the journal offset is the place in the file, from 0 at the first
//! frame. Its blocks are numbered and chained on their own.
//!
//! A block is valid if and only if its frame is, its seal holds, its number and the tag before follow the
//! block before it, and its frames fill it. One whose sums hold and whose seal does not was changed on
//! purpose: `Tampered`.
//!
//! What stays visible to whoever reads the directory: how much was written and when, in how many groups, the
//! numbers of segments and transactions. Whoever can write to it may put back an older state of all files at
//! once: no store can tell that from its own bytes.
//!
//! Promises: one writer numbers the blocks of an incarnation in order and every open begins another
//! incarnation, every run and every staged file has a salt of its own, so no pair of key and nonce ever seals two texts.

use super::chain::Chain;
use super::format::{HEAD, Head, Type, body_sum, frame_bytes, u32_at};
use super::key::{Keys, Purpose};
use super::slot::seed_of;
use crate::error::{Code, Error, Result};
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use std::io;
use std::sync::Arc;

/// Bytes of frames a block holds, unless one frame is larger.
pub const BLOCK_BYTES: usize = 64 << 10;
/// Size of a tag.
pub const TAG: usize = 16;
/// From the beginning of a block to its first frame.
pub const FRONT: usize = HEAD + TAG;
/// What a block adds to its frames.
pub const OVERHEAD: usize = FRONT + TAG;
/// Blocks of one incarnation; the next one begins another.
pub const BLOCKS_MAX: u64 = 1 << 32;
const LAYOUT: u8 = 1;
/// Bytes of a block's header that its seal covers: all but the sums.
const COVERED: usize = 40;
const ASSOCIATED: usize = 1 + 16 + 8 + COVERED + TAG;

/// What sealing frames of `frames` bytes adds to them, at most.
pub fn overhead(frames: usize) -> usize {
    OVERHEAD * (2 * (frames / BLOCK_BYTES) + 1)
}

/// Whether frames of this type stand outside of blocks.
pub fn is_clear(kind: Type) -> bool {
    matches!(kind, Type::Incarnation | Type::Watermark)
}

/// The block that gathers at the end of the tail.
#[derive(Default)]
pub struct Gathering {
    /// Where in the pending bytes it begins.
    open: Option<usize>,
    /// Blocks begun since the incarnation.
    pub blocks: u64,
}

impl Gathering {
    /// Bytes that closing the open block takes.
    pub fn owed(&self) -> usize {
        if self.open.is_some() { TAG } else { 0 }
    }

    /// Whether frames of `size` bytes find a place in the open block.
    pub fn has_room(&self, pending: &[u8], size: usize) -> bool {
        self.open.is_some_and(|at| pending.len() - at - FRONT + size <= BLOCK_BYTES)
    }

    /// Begins a block when there is none open; returns the bytes that took.
    pub fn open(&mut self, pending: &mut Vec<u8>) -> u64 {
        if self.open.is_some() {
            return 0;
        }
        self.open = Some(pending.len());
        self.blocks += 1;
        pending.resize(pending.len() + FRONT, 0);
        FRONT as u64
    }

    /// Bytes from the open block's beginning to the end; 0 without one.
    pub fn behind(&self, pending: &[u8]) -> u64 {
        self.open.map_or(0, |at| (pending.len() - at) as u64)
    }

    /// Ends the open block, to be sealed by the writer; returns the bytes that took.
    pub fn close(&mut self, pending: &mut Vec<u8>) -> u64 {
        let Some(at) = self.open.take() else { return 0 };
        pending.resize(pending.len() + TAG, 0);
        let length = u32::try_from(pending.len() - at - HEAD).unwrap_or(u32::MAX);
        pending[at..at + 4].copy_from_slice(&length.to_le_bytes());
        pending[at + 4] = Type::Sealed as u8;
        TAG as u64
    }
}

/// Seals the blocks of the tail, in order.
pub struct Sealer {
    keys: Arc<Keys>,
    life: Option<Life>,
}

struct Life {
    incarnation: [u8; 16],
    key: Arc<LessSafeKey>,
    next: u64,
    before: [u8; TAG],
}

impl Sealer {
    pub fn new(keys: Arc<Keys>) -> Sealer {
        Sealer { keys, life: None }
    }

    /// Seals the blocks of one file, under its salt.
    pub fn of_file(keys: Arc<Keys>, purpose: Purpose, salt: [u8; 16]) -> Sealer {
        let key = keys.derive(purpose, &salt);
        let life = Some(Life { incarnation: salt, key, next: 0, before: [0; TAG] });
        Sealer { keys, life }
    }

    /// Seals the blocks among these frames, which begin at journal `offset`, and folds what is in them into
    /// the chain.
    pub fn seal(&mut self, frames: &mut [u8], offset: u64, chain: &mut Chain) -> io::Result<()> {
        let mut at = 0;
        while at + HEAD <= frames.len() {
            let size = frame_bytes(u32_at(frames, at) as usize);
            let frame = &mut frames[at..at + size];
            if frame[4] == Type::Incarnation as u8 {
                self.begin_life(&frame[HEAD..]);
            } else if frame[4] == Type::Sealed as u8 {
                chain.fold(&frame[FRONT..size - TAG]);
                self.seal_block(frame, offset + at as u64)?;
            }
            at += size;
        }
        Ok(())
    }

    fn begin_life(&mut self, body: &[u8]) {
        let mut incarnation = [0; 16];
        incarnation.copy_from_slice(&body[..16]);
        let key = self.keys.derive(Purpose::Tail, &incarnation);
        self.life = Some(Life { incarnation, key, next: 0, before: [0; TAG] });
    }

    fn seal_block(&mut self, frame: &mut [u8], offset: u64) -> io::Result<()> {
        let failed = || io::Error::other("frames were to be sealed without an incarnation");
        let life = self.life.as_mut().ok_or_else(failed)?;
        let block = Block {
            key: &life.key,
            store: self.keys.store(),
            offset,
            salt: &life.incarnation,
            number: life.next,
            before: life.before,
        };
        life.before = block.seal(frame)?;
        life.next += 1;
        Ok(())
    }
}

/// What a block is sealed with.
struct Block<'a> {
    key: &'a LessSafeKey,
    store: &'a [u8; 16],
    offset: u64,
    salt: &'a [u8; 16],
    number: u64,
    before: [u8; TAG],
}

impl Block<'_> {
    /// Seals a frame whose inner frames are in their place; returns its tag.
    fn seal(&self, frame: &mut [u8]) -> io::Result<[u8; TAG]> {
        let end = frame.len() - TAG;
        let mut head = head_of(self.salt, self.number, frame.len() - HEAD);
        let seed = seed_of(self.salt);
        let covered = head.encode(self.offset, seed);
        let data = associated(self.store, self.offset, &covered, &self.before);
        frame[HEAD..FRONT].copy_from_slice(&self.before);
        let sealed = self.key.seal_in_place_separate_tag(
            nonce(self.number),
            Aad::from(data),
            &mut frame[FRONT..end],
        );
        let sealed = sealed.map_err(|_| io::Error::other("a block is too large to be sealed"))?;
        let mut tag = [0; TAG];
        tag.copy_from_slice(sealed.as_ref());
        frame[end..].copy_from_slice(&tag);
        head.body_sum = body_sum(&[&frame[HEAD..]]);
        frame[..HEAD].copy_from_slice(&head.encode(self.offset, seed));
        Ok(tag)
    }
}

fn head_of(salt: &[u8; 16], number: u64, length: usize) -> Head {
    Head {
        length: u32::try_from(length).unwrap_or(u32::MAX),
        kind: Type::Sealed,
        flags: 0,
        transaction: number,
        sequence: super::u64_at(salt, 0),
        time_ms: super::u64_at(salt, 8),
        queue: 0,
        index: 0,
        body_sum: 0,
    }
}

/// The incarnation, or the salt of a run, that a block's header names.
pub fn salt_of(head: &Head) -> [u8; 16] {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&head.sequence.to_le_bytes());
    salt[8..].copy_from_slice(&head.time_ms.to_le_bytes());
    salt
}

fn associated(store: &[u8; 16], offset: u64, header: &[u8], before: &[u8]) -> [u8; ASSOCIATED] {
    let mut data = [0; ASSOCIATED];
    data[0] = LAYOUT;
    data[1..17].copy_from_slice(store);
    data[17..25].copy_from_slice(&offset.to_le_bytes());
    data[25..25 + COVERED].copy_from_slice(&header[..COVERED]);
    data[25 + COVERED..].copy_from_slice(&before[..TAG]);
    data
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// A block, opened.
pub struct Opened {
    /// Journal offset of the block.
    pub from: u64,
    /// Journal offset behind it.
    pub end: u64,
    /// Its frames.
    pub frames: Arc<Vec<u8>>,
}

impl Opened {
    /// Journal offset of its first frame.
    pub fn first(&self) -> u64 {
        self.from + FRONT as u64
    }

    /// Whether a frame of it has this journal offset.
    pub fn holds(&self, offset: u64) -> bool {
        offset >= self.first() && offset < self.end
    }

    /// The frame at journal `offset`: its header, its bytes, and where the next one is looked for.
    pub fn frame(&self, offset: u64, seed: u32) -> Result<(Head, &[u8], u64)> {
        let bytes = &self.frames[(offset - self.first()) as usize..];
        let head = Head::decode(bytes, offset, seed)?.filter(|head| {
            let body = bytes.get(HEAD..HEAD + head.length as usize);
            body.is_some_and(|body| body_sum(&[body]) == head.body_sum)
                && head.kind != Type::Sealed
                && !is_clear(head.kind)
        });
        let Some(head) = head else { return Err(tampered(offset)) };
        let (size, whole) = (head.frame_bytes(), HEAD + head.length as usize);
        let next = offset + size as u64;
        let end = if size >= bytes.len() { self.end } else { next };
        Ok((head, &bytes[..whole], end))
    }
}

/// What is known of the block before, where blocks are met in order.
#[derive(Clone, Copy)]
pub struct Before {
    salt: [u8; 16],
    next: u64,
    tag: [u8; TAG],
    end: u64,
}

/// Opens the block whose frame, `bytes`, stands at journal `offset` and whose sums hold. The bytes are the
/// caller's own: nobody else can change them between the check and the use.
pub fn open(
    (keys, purpose): (&Keys, Purpose),
    head: &Head,
    bytes: &[u8],
    offset: u64,
    before: &mut Option<Before>,
) -> Result<Opened> {
    let salt = salt_of(head);
    let (opened, tag) = open_as(keys, purpose, head, bytes, offset)?;
    let (number, named) = (head.transaction, &bytes[HEAD..FRONT]);
    let follows = match before {
        // A walk that begins anew at an earlier place.
        Some(known) if offset < known.end => true,
        Some(known) if known.salt == salt => number == known.next && named == known.tag,
        Some(_) => number == 0 && named == [0; TAG],
        None => true,
    };
    if !follows {
        return Err(tampered(offset));
    }
    *before = Some(Before { salt, next: number + 1, tag, end: opened.end });
    Ok(opened)
}

fn open_as(
    keys: &Keys,
    purpose: Purpose,
    head: &Head,
    bytes: &[u8],
    offset: u64,
) -> Result<(Opened, [u8; TAG])> {
    if bytes.len() < HEAD + 2 * TAG {
        return Err(tampered(offset));
    }
    let (front, rest) = bytes.split_at(FRONT);
    let data = associated(keys.store(), offset, front, &front[HEAD..]);
    let mut frames = rest.to_vec();
    let mut tag = [0; TAG];
    tag.copy_from_slice(&rest[rest.len() - TAG..]);
    let key = keys.derive(purpose, &salt_of(head));
    let opened = key.open_in_place(nonce(head.transaction), Aad::from(data), &mut frames);
    let length = opened.map_err(|_| tampered(offset))?.len();
    frames.truncate(length);
    let end = offset + head.frame_bytes() as u64;
    Ok((Opened { from: offset, end, frames: Arc::new(frames) }, tag))
}

/// The frames of a block that is met alone, under the incarnation or salt that it names itself; `None` when it
/// is damaged.
pub fn open_named(
    keys: &Keys,
    purpose: Purpose,
    bytes: &[u8],
    offset: u64,
) -> Result<Option<Vec<u8>>> {
    if bytes.len() < HEAD {
        return Ok(None);
    }
    let mut salt = [0; 16];
    salt.copy_from_slice(&bytes[16..32]);
    let Some(head) = Head::decode(bytes, offset, seed_of(&salt))? else { return Ok(None) };
    let Some(bytes) = bytes.get(..HEAD + head.length as usize) else { return Ok(None) };
    if head.kind != Type::Sealed || body_sum(&[&bytes[HEAD..]]) != head.body_sum {
        return Ok(None);
    }
    let (opened, _) = open_as(keys, purpose, &head, bytes, offset)?;
    Ok(Some(Arc::unwrap_or_clone(opened.frames)))
}

/// The sums hold and the seal does not.
pub fn tampered(offset: u64) -> Error {
    let text = format!(
        "the sealed block at journal offset {offset} has a right checksum and a wrong seal: \
         it was changed on purpose"
    );
    Error::new(Code::Tampered, text).over(offset, offset)
}
