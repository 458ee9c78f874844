//! The bytes of a frame. All integers are little-endian; a frame begins at a multiple of 8.
//!
//! ```text
//! offset  size  frame header
//!      0     4  length       of the body in bytes, without padding
//!      4     1  type         see [`Type`]
//!      5     1  flags        bit 0 LAST: the last frame of its transaction
//!                            bit 1 CLEAN: a watermark written by a close, with nothing behind it
//!                            bit 2 EARLY: an incarnation that hands out positions before they are durable
//!                            bits 3-6 must be understood: a reader that meets one refuses by name
//!                            bit 7 MAY_IGNORE: a reader that does not know the type skips the frame
//!      6     2  zero
//!      8     8  transaction  its sequence in the journal, from 1; 0 in local frames
//!     16     8  sequence     a message's place in its queue, from 1; 0 in other records
//!     24     8  time         of the commit, milliseconds since 1970 UTC
//!     32     4  queue        its number in this store; 0 where there is none
//!     36     4  index        of the frame in its transaction, from 0
//!     40     4  body sum     CRC-32C over the body alone
//!     44     4  header sum   CRC-32C over bytes 0..44 and the journal offset (8 bytes), begun with a seed
//!     48        body, then zeros up to the next multiple of 8
//! ```
//!
//! The *journal offset* counts bytes of frames since the creation of the store and runs on over segments; it
//! is never a file offset, because a recycled file holds old frames at the same places. The seed is the first
//! four bytes of the incarnation in force, so that no frame of a former life is believed; a watermark is
//! seeded by the store's secret instead, so that it stays believable when the incarnation frame before it is
//! damaged.
//!
//! A frame is valid if and only if its type is known (or may be ignored), its length leaves it inside its
//! segment, both sums hold, and transaction and sequence are below 2^62 (but in a sealed block, see `seal`). What an invalid one means is decided in `recover`.
//!
//! An evacuated frame has the fields of the message it is a copy of, its transaction included; see `moved`.
//!
//! In a watermark the fields have other meanings: transaction and sequence are the durable sequence and the
//! durable journal offset, time is the first eight bytes of the incarnation.

use crate::error::{Code, Error, Result};
use crate::limits::NUMBERS_END;
use crate::sum;

/// A frame header as words.
pub type Words = crate::disk::Head;

/// Size of a frame header.
pub const HEAD: usize = size_of::<Words>();

/// Flag: last frame of its transaction.
pub const LAST: u8 = 1;
/// Flag of a watermark: written by a close.
pub const CLEAN: u8 = 2;
/// Flag of an incarnation: positions are handed out before they are durable.
pub const EARLY: u8 = 4;
/// Flags a reader must understand.
const MUST_UNDERSTAND: u8 = 0b0111_1000;
/// Flag: skip the frame when its type is unknown.
pub const MAY_IGNORE: u8 = 0x80;

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// What a frame is. 1 to 63 are records of numbered transactions; from 64 on frames are local to one
        /// store: they have no number and never leave.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Type { $($(#[$doc])* $name = $number,)* }

        impl Type {
            fn from_u8(number: u8) -> Option<Type> {
                match number { $($number => Some(Type::$name),)* _ => None }
            }

            /// The word error texts use.
            pub fn name(self) -> &'static str {
                match self { $(Type::$name => $text,)* }
            }
        }
    };
}

types! {
    /// A message put into a queue.
    Message = 1, "message";
    /// Messages acknowledged by a consumer.
    Ack = 2, "ack";
    /// A queue created, paused, resumed, purged or deleted.
    Queue = 3, "queue";
    /// A consumer created, moved or deleted.
    Consumer = 4, "consumer";
    /// A stream created, moved, rewound or removed.
    Stream = 5, "stream";
    /// A row of the history of epochs.
    History = 6, "history";
    /// A member of the group: the file it lives in. Reserved: copies asked for.
    Members = 7, "members";
    /// A session that is remembered, and the outcome of its transactions.
    Session = 8, "session";
    /// A producer and its last sequence, where it travels without a message.
    Producer = 9, "producer";
    /// How often a consumer was given messages, and when they may come again.
    Delivery = 10, "delivery";
    /// Transactions of a stream that hold nothing for this store.
    Advance = 11, "advance";
    /// Staged files that become part of the journal; see `adopt`.
    Adopt = 12, "adopt";
    /// The stamp of a received transaction, or what else a stream left here.
    Received = 13, "received";
    /// A transaction that is prepared and waits, or how one ended.
    Prepared = 14, "prepared";
    /// Stands for any record of a newer version that may be skipped.
    Ignored = 63, "ignored record";
    /// A new life of the store began here.
    Incarnation = 64, "incarnation";
    /// All before the offset in it is durable.
    Watermark = 65, "watermark";
    /// A row of a state run.
    State = 66, "state";
    /// A message moved out of a nearly dead segment, with the fields of its own frame.
    Evacuated = 67, "evacuated";
    /// Where the messages of a sealed segment stand, by queue.
    Index = 68, "index";
    /// A segment whose file is given back.
    Reclaim = 69, "reclaim";
    /// Frames of an encrypted store under one seal; its bytes stand in `seal`.
    Sealed = 70, "sealed block";
    /// Stands for any local frame of a newer version that may be skipped.
    IgnoredLocal = 127, "ignored frame";
}

impl Type {
    /// Whether frames of this type carry no transaction number and never leave the store.
    pub fn is_local(self) -> bool {
        self as u8 >= 64
    }

    /// Whether this build writes and understands it.
    fn is_written(self) -> bool {
        !matches!(self, Type::Ignored | Type::IgnoredLocal)
    }
}

/// A frame header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub length: u32,
    pub kind: Type,
    pub flags: u8,
    pub transaction: u64,
    pub sequence: u64,
    pub time_ms: u64,
    pub queue: u32,
    pub index: u32,
    pub body_sum: u32,
}

/// The space a frame with a body of `length` bytes takes.
#[inline]
pub fn frame_bytes(length: usize) -> usize {
    (HEAD + length + 7) & !7
}

/// The sum of a body given in parts.
#[inline]
pub fn body_sum<const N: usize>(parts: &[&[u8]; N]) -> u32 {
    parts.iter().fold(0, |sum, part| sum::go_on(sum, part))
}

/// What the sum of a header is taken over: the header without its last field, and the journal offset. As words, since
/// a processor waits where it reads together what was written in pieces.
#[inline]
fn head_sum(words: &Words, offset: u64, seed: u32) -> u32 {
    let [first, second, third, fourth, fifth, last] = *words;
    let last = last & u64::from(u32::MAX) | offset << 32;
    let words = [first, second, third, fourth, fifth, last];
    sum::go_on_words(seed, words, (offset >> 32) as u32)
}

/// The bytes of words.
#[inline]
pub fn bytes_of(words: &Words) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    for (to, word) in head.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    head
}

#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

impl Head {
    /// The header's bytes at journal `offset` under `seed`.
    #[inline]
    pub fn encode(&self, offset: u64, seed: u32) -> [u8; HEAD] {
        bytes_of(&self.words(offset, seed))
    }

    /// The same as words, each of which is written from its lowest byte.
    #[inline]
    pub fn words(&self, offset: u64, seed: u32) -> Words {
        let two = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let marks = u32::from(self.kind as u8) | u32::from(self.flags) << 8;
        let mut words = [
            two(self.length, marks),
            self.transaction,
            self.sequence,
            self.time_ms,
            two(self.queue, self.index),
            u64::from(self.body_sum),
        ];
        words[5] |= u64::from(head_sum(&words, offset, seed)) << 32;
        words
    }

    /// Decodes a header whose sum holds at journal `offset` under `seed`; `None` when it does not.
    ///
    /// A header with a right sum that this build must not read (a reserved type, a flag to be understood) is
    /// an error that names it.
    pub fn decode(bytes: &[u8], offset: u64, seed: u32) -> Result<Option<Head>> {
        let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
        let mut words = [0; HEAD / 8];
        for (word, bytes) in words.iter_mut().zip(head.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        if (words[5] >> 32) as u32 != head_sum(&words, offset, seed) {
            return Ok(None);
        }
        let (number, flags) = (head[4], head[5]);
        let known = Type::from_u8(number);
        let kind = match known {
            Some(kind) if kind.is_written() => kind,
            _ if flags & MAY_IGNORE != 0 && number < 64 => Type::Ignored,
            _ if flags & MAY_IGNORE != 0 => Type::IgnoredLocal,
            Some(kind) => return Err(refused(offset, kind.name())),
            None => return Err(refused(offset, &format!("type {number}"))),
        };
        if flags & MUST_UNDERSTAND != 0 {
            return Err(refused(offset, &format!("{} with flags {flags:#04x}", kind.name())));
        }
        if kind != Type::Sealed && u64_at(head, 8).max(u64_at(head, 16)) >= NUMBERS_END {
            return Ok(None);
        }
        Ok(Some(Head {
            length: u32_at(head, 0),
            kind,
            flags,
            transaction: u64_at(head, 8),
            sequence: u64_at(head, 16),
            time_ms: u64_at(head, 24),
            queue: u32_at(head, 32),
            index: u32_at(head, 36),
            body_sum: u32_at(head, 40),
        }))
    }

    /// The space the frame takes.
    #[inline]
    pub fn frame_bytes(&self) -> usize {
        frame_bytes(self.length as usize)
    }
}

fn refused(offset: u64, what: &str) -> Error {
    let text = format!(
        "the journal holds a record at {offset} that this version does not read: {what}; \
         a newer version wrote it"
    );
    Error::new(Code::Version, text).over(offset, offset)
}

/// Whether `bytes` look like a watermark; a cheap test before a sum is computed.
pub fn may_be_watermark(bytes: &[u8]) -> bool {
    bytes[4] == Type::Watermark as u8 && u32_at(bytes, 0) == 0 && bytes[6] == 0 && bytes[7] == 0
}

/// The header that is a watermark at journal `offset`: all before `durable` is durable.
pub fn watermark(
    offset: u64,
    secret: u32,
    durable: u64,
    sequence: u64,
    incarnation: &[u8; 16],
    flags: u8,
) -> Words {
    Head {
        length: 0,
        kind: Type::Watermark,
        flags,
        transaction: sequence,
        sequence: durable,
        time_ms: u64_at(incarnation, 0),
        queue: 0,
        index: 0,
        body_sum: 0,
    }
    .words(offset, secret)
}
