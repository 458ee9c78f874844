//! The bytes of a frame on the wire. All integers are little-endian.
//!
//! ```text
//! offset  size  frame
//!      0     4  length    of the body in bytes
//!      4     4  checksum  CRC-32 over everything behind it: kind, flags, channel and body
//!      8     1  kind      1-31 connection, 32-63 replication, 64-127 requests
//!      9     1  flags     bits 0-6 must be understood: none is defined, one that is set is refused by name
//!                         bit 7 MAY_IGNORE: a reader that does not know the kind skips the frame
//!     10     2  channel   0; others are reserved and refused by name
//!     12        body
//! ```
//!
//! A frame is valid if and only if its length is within the bound of its place in the conversation
//! ([`LOGIN_FRAME_BYTES_MAX`] before the login, [`FRAME_BYTES_MAX`] behind it), its checksum holds, and flags
//! and channel are understood. The bound is checked before anything is allocated for the body, and memory
//! grows with the bytes that arrived, not with the length that was announced.

use crate::error::{Code, Error, Result};
use crate::limits::{MESSAGE_BYTES_MAX, RECEIVE_BYTES_MAX, RECEIVE_MESSAGES_MAX};

/// Size of a frame's head.
pub const HEAD: usize = 12;
/// Longest body: what one receive gives, of which the last message may be one of the largest size, and what stands
/// around each.
pub const FRAME_BYTES_MAX: usize =
    MESSAGE_BYTES_MAX + RECEIVE_BYTES_MAX + RECEIVE_MESSAGES_MAX * MESSAGE_HEAD + (64 << 10);
/// Room for what stands around a message in an answer.
pub const MESSAGE_HEAD: usize = 40;
/// Longest body before the login: what a stranger can make the other side keep in memory.
pub const LOGIN_FRAME_BYTES_MAX: usize = 4 << 10;

/// Flag: a reader that does not know the kind skips the frame.
pub const MAY_IGNORE: u8 = 0x80;

const SUMMED_AT: usize = 8;
/// How much room the first read of an inbox gets; who sends little costs no more.
const ROOM_FIRST: usize = 4 << 10;
/// How much room reads get where much arrives.
const ROOM_MAX: usize = 128 << 10;
/// A buffer that grew beyond this for one large frame is given back.
const KEPT: usize = 1 << 20;

/// A frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: u8,
    /// Whether a reader that does not know the kind skips it.
    pub may_ignore: bool,
    /// What it says.
    pub body: &'a [u8],
}

/// Appends one frame to `out`.
pub fn put_frame(out: &mut Vec<u8>, kind: u8, body: &[u8]) -> Result<()> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    if body.len() > FRAME_BYTES_MAX {
        let text = format!("cannot send a frame of {length} bytes, the bound is {FRAME_BYTES_MAX}");
        return Err(Error::new(Code::TooLarge, text));
    }
    let rest = [kind, 0, 0, 0];
    let mut sum = crc32fast::Hasher::new();
    sum.update(&rest);
    sum.update(body);
    out.reserve(HEAD + body.len());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&sum.finalize().to_le_bytes());
    out.extend_from_slice(&rest);
    out.extend_from_slice(body);
    Ok(())
}

/// What arrived and was not looked at yet.
pub struct Inbox {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    wanted: usize,
    bytes_max: usize,
}

impl Inbox {
    /// An empty inbox whose frames have bodies of at most `bytes_max`.
    pub fn new(bytes_max: usize) -> Inbox {
        Inbox { buffer: Vec::new(), from: 0, to: 0, wanted: ROOM_FIRST, bytes_max }
    }

    /// Changes the bound, for the frames not looked at yet.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Room for the next read; never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
        }
        if self.buffer.len() - self.to < self.wanted {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            // What arrived and a little more: a length that was only announced costs nothing.
            let needed = self.to + self.wanted;
            if self.buffer.len() < needed {
                self.buffer.resize(needed, 0);
            }
        }
        &mut self.buffer[self.to..]
    }

    /// So many bytes of the room were filled.
    pub fn filled(&mut self, count: usize) {
        if count >= self.wanted {
            // More is there than was asked for, so the next read asks for more.
            self.wanted = (self.wanted * 2).min(ROOM_MAX);
        }
        self.to = (self.to + count).min(self.buffer.len());
    }

    /// The bytes that wait.
    pub fn waiting(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Drops bytes from the front.
    pub fn skip(&mut self, count: usize) {
        self.from = (self.from + count).min(self.to);
    }

    /// The next whole frame; `None` while it is not whole.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        let Some((length, checksum)) = head(self.waiting()) else { return Ok(None) };
        if length > self.bytes_max && !sabotage!("length of a frame not bounded") {
            let bound = self.bytes_max;
            let text = format!("a frame of {length} bytes arrived, the bound is {bound}");
            return Err(Error::new(Code::Protocol, text));
        }
        let whole = HEAD + length;
        if self.to - self.from < whole {
            return Ok(None);
        }
        let from = self.from;
        self.from += whole;
        let frame = &self.buffer[from..from + whole];
        if crc32fast::hash(&frame[SUMMED_AT..]) != checksum {
            return Err(Error::new(Code::Protocol, "a frame arrived whose checksum is wrong"));
        }
        let (kind, flags) = (frame[8], frame[9]);
        let channel = u16::from_le_bytes([frame[10], frame[11]]);
        if flags & !MAY_IGNORE != 0 || channel != 0 {
            let text = format!(
                "a frame of kind {kind} arrived with flags {flags:#04x} and channel {channel}, \
                 which this version does not know and must not ignore"
            );
            return Err(Error::new(Code::Unsupported, text));
        }
        Ok(Some(Frame { kind, may_ignore: flags & MAY_IGNORE != 0, body: &frame[HEAD..] }))
    }
}

/// Length and checksum of the frame that begins here.
fn head(bytes: &[u8]) -> Option<(usize, u32)> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (length, checksum) = (word(0)?, word(4)?);
    // A length that is out of bounds is refused at once; the rest of the head may never come.
    let enough = bytes.len() >= HEAD || length as usize > FRAME_BYTES_MAX;
    enough.then_some((length as usize, checksum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(bytes: &[u8], bytes_max: usize) -> Inbox {
        let mut inbox = Inbox::new(bytes_max);
        for byte in bytes {
            inbox.room()[0] = *byte;
            inbox.filled(1);
        }
        inbox
    }

    fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_frame(&mut out, kind, body).unwrap();
        out
    }

    fn changed(mut frame: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        frame[at] = byte;
        let sum = crc32fast::hash(&frame[SUMMED_AT..]);
        frame[4..8].copy_from_slice(&sum.to_le_bytes());
        frame
    }

    #[test]
    fn golden_bytes_of_a_frame() {
        let golden = b"\x03\0\0\0\xbd\x63\x46\xa3\x04\0\0\0abc";
        assert_eq!(framed(4, b"abc"), golden, "{:02x?}", framed(4, b"abc"));
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut bytes = framed(1, b"");
        bytes.extend(framed(32, &[7; 5000]));
        bytes.extend(framed(95, b"x"));
        for step in [1, 2, 11, 12, 13, 1000, bytes.len()] {
            let mut inbox = Inbox::new(FRAME_BYTES_MAX);
            let mut seen = Vec::new();
            for part in bytes.chunks(step) {
                let mut part = part;
                while !part.is_empty() {
                    let room = inbox.room();
                    let count = room.len().min(part.len());
                    room[..count].copy_from_slice(&part[..count]);
                    inbox.filled(count);
                    part = &part[count..];
                }
                while let Some(frame) = inbox.next_frame().unwrap() {
                    seen.push((frame.kind, frame.body.len()));
                }
            }
            assert_eq!(seen, [(1, 0), (32, 5000), (95, 1)], "cut into {step}");
        }
    }

    #[test]
    fn a_length_above_the_bound_is_refused_before_its_body_came() {
        let frame = framed(2, &vec![0; LOGIN_FRAME_BYTES_MAX + 1]);
        let mut inbox = inbox(&frame[..HEAD], LOGIN_FRAME_BYTES_MAX);
        assert_eq!(inbox.next_frame().unwrap_err().code(), Code::Protocol);
        assert!(inbox.buffer.len() <= 2 * ROOM_FIRST);
        let mut inbox = super::Inbox::new(FRAME_BYTES_MAX);
        inbox.room()[..8].copy_from_slice(&[0xff; 8]);
        inbox.filled(8);
        assert_eq!(inbox.next_frame().unwrap_err().code(), Code::Protocol);
        let body = vec![0; FRAME_BYTES_MAX + 1];
        assert_eq!(put_frame(&mut Vec::new(), 2, &body).unwrap_err().code(), Code::TooLarge);
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut bytes = (FRAME_BYTES_MAX as u32).to_le_bytes().to_vec();
        bytes.extend([0; 8]);
        let mut inbox = inbox(&bytes, FRAME_BYTES_MAX);
        assert_eq!(inbox.next_frame().unwrap(), None);
        inbox.room();
        assert!(inbox.buffer.len() <= 2 * ROOM_FIRST, "{}", inbox.buffer.len());
    }

    #[test]
    fn memory_follows_what_arrived_and_is_given_back() {
        let frame = framed(32, &vec![7; 4 << 20]);
        let mut inbox = Inbox::new(FRAME_BYTES_MAX);
        let mut sent = 0;
        while sent < frame.len() {
            let room = inbox.room();
            let count = room.len().min(frame.len() - sent);
            room[..count].copy_from_slice(&frame[sent..sent + count]);
            inbox.filled(count);
            sent += count;
            assert!(inbox.buffer.capacity() <= 2 * sent + 2 * ROOM_MAX);
        }
        assert_eq!(inbox.next_frame().unwrap().unwrap().body.len(), 4 << 20);
        inbox.room();
        assert!(inbox.buffer.capacity() <= ROOM_MAX);
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let frame = framed(33, b"some body");
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            bad.extend([0; 32]);
            match inbox(&bad, 64).next_frame() {
                Ok(None) => assert!(bit < 32, "bit {bit}: only a length can make it wait"),
                Ok(Some(frame)) => panic!("bit {bit}: {frame:?}"),
                Err(error) => assert_eq!(error.code(), Code::Protocol, "bit {bit}"),
            }
        }
    }

    #[test]
    fn what_must_be_understood_is_refused_by_name_and_what_may_be_ignored_is_marked() {
        for flag in 0..7 {
            let bad = changed(framed(40, b"x"), 9, 1 << flag);
            let error = inbox(&bad, 64).next_frame().unwrap_err();
            assert_eq!(error.code(), Code::Unsupported);
            assert!(
                error
                    .to_string()
                    .contains(&format!("kind 40 arrived with flags {:#04x}", 1 << flag))
            );
        }
        let error = inbox(&changed(framed(40, b"x"), 10, 3), 64).next_frame().unwrap_err();
        assert!(error.to_string().contains("channel 3"), "{error}");
        let mut fine = inbox(&changed(framed(99, b"x"), 9, MAY_IGNORE), 64);
        assert_eq!(
            fine.next_frame().unwrap(),
            Some(Frame { kind: 99, may_ignore: true, body: b"x" })
        );
    }
}
