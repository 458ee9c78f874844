//! The bytes before the login. All integers are little-endian.
//!
//! Each side begins with the preamble, the eight bytes `repliq\r\n`, and a HELLO frame behind it. The first
//! byte of a preamble that is wrong ends the connection: nobody else's protocol is read further.
//!
//! ```text
//! offset  size  hello
//!      0     2  version      the client: the newest it speaks; the server: the one that is spoken from here on
//!      2     2  version min  the client: the oldest it speaks; the server: the oldest it would have spoken
//!      4     4  features     bits of what the other side must understand; none is defined, each is refused
//!      8     4  heartbeat    milliseconds after which the sender of this hello sends at least a heartbeat
//!     12     1  checksum     the kind of the sum of a record's body, 2 = CRC-32C; a frame of the connection has a CRC-32 always
//!     13     1  mechanisms   bit 0 SCRAM-SHA-256, bit 1 SCRAM-SHA-256-PLUS: what the server offers; the client: 0
//!     14        more         may follow in a later version and is skipped
//! ```
//!
//! A hello is valid if and only if version min is not above version, the heartbeat is within its bounds
//! and no unknown bit of features is set.

use super::frame::put_frame;
use super::kind;
use crate::error::{Code, Error, Result};
use crate::sum;

/// What each side says first.
pub const PREAMBLE: &[u8; 8] = b"repliq\r\n";
/// Shortest time between signs of life.
pub const HEARTBEAT_MS_MIN: u32 = 50;
/// Longest time between signs of life: a dead peer is noticed after three.
pub const HEARTBEAT_MS_MAX: u32 = 20_000;

/// The version of the protocol this crate speaks.
const VERSION: u16 = 1;
/// The oldest version it speaks.
const VERSION_MIN: u16 = 1;
const LENGTH: usize = 14;

/// Mechanism: SCRAM-SHA-256, where there is no TLS to bind to.
pub const SCRAM: u8 = 1;
/// Mechanism: SCRAM-SHA-256-PLUS, bound to the TLS connection.
pub const SCRAM_PLUS: u8 = 2;

/// The first frame of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    version: u16,
    version_min: u16,
    /// How often its sender shows that it lives.
    pub heartbeat_ms: u32,
    /// What a server offers.
    pub mechanisms: u8,
}

impl Hello {
    /// The hello of this crate.
    pub fn new(heartbeat_ms: u32, mechanisms: u8) -> Hello {
        Hello { version: VERSION, version_min: VERSION_MIN, heartbeat_ms, mechanisms }
    }

    /// Appends the preamble and the frame.
    pub fn put(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut body = Vec::with_capacity(LENGTH);
        body.extend_from_slice(&self.version.to_le_bytes());
        body.extend_from_slice(&self.version_min.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&self.heartbeat_ms.to_le_bytes());
        body.extend_from_slice(&[sum::KIND, self.mechanisms]);
        out.extend_from_slice(PREAMBLE);
        put_frame(out, kind::HELLO, &body)
    }

    /// The hello in a body.
    pub fn read(body: &[u8]) -> Result<Hello> {
        let fields = body.first_chunk::<LENGTH>().ok_or_else(|| {
            Error::new(Code::Protocol, format!("a hello of {} bytes arrived", body.len()))
        })?;
        let short = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
        let long = |at: usize| {
            u32::from_le_bytes([fields[at], fields[at + 1], fields[at + 2], fields[at + 3]])
        };
        let hello = Hello {
            version: short(0),
            version_min: short(2),
            heartbeat_ms: long(8),
            mechanisms: fields[13],
        };
        if hello.version_min > VERSION || hello.version < VERSION_MIN {
            let (min, max) = (hello.version_min, hello.version);
            let text = format!(
                "the other side speaks versions {min} to {max} of the protocol, this one {VERSION}"
            );
            return Err(Error::new(Code::Version, text));
        }
        if long(4) != 0 {
            let text =
                format!("the other side asks for features {:#x}, which are unknown", long(4));
            return Err(Error::new(Code::Unsupported, text));
        }
        if fields[12] != sum::KIND {
            let text = format!("the other side asks for checksums of kind {}", fields[12]);
            return Err(Error::new(Code::Unsupported, text));
        }
        let beats = HEARTBEAT_MS_MIN..=HEARTBEAT_MS_MAX;
        if hello.version_min > hello.version || !beats.contains(&hello.heartbeat_ms) {
            return Err(Error::new(
                Code::Protocol,
                format!("a hello arrived that is none: {hello:?}"),
            ));
        }
        Ok(hello)
    }
}

/// Whether the whole preamble is there; an error as soon as a byte of it is wrong.
pub fn check_preamble(bytes: &[u8]) -> Result<bool> {
    let length = bytes.len().min(PREAMBLE.len());
    if bytes[..length] == PREAMBLE[..length] {
        return Ok(length == PREAMBLE.len());
    }
    let guess = match bytes {
        [0x15 | 0x16, 3, ..] | [0x16] => ": it speaks TLS where none is expected",
        [b'H', b'T', ..] | [b'G', b'E', ..] | [b'P', b'O', ..] => ": it speaks HTTP",
        [b'S', b'S', ..] => ": it speaks SSH",
        _ => "",
    };
    let text = format!("the other side does not speak this library's protocol{guess}");
    Err(Error::new(Code::Protocol, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(hello: &Hello) -> Vec<u8> {
        let mut out = Vec::new();
        hello.put(&mut out).unwrap();
        out[PREAMBLE.len() + super::super::frame::HEAD..].to_vec()
    }

    #[test]
    fn golden_bytes_of_a_hello() {
        let mut out = Vec::new();
        Hello::new(5000, SCRAM).put(&mut out).unwrap();
        let golden: &[u8] = b"repliq\r\n\x0e\0\0\0\x46\xfd\x71\x1e\x01\0\0\0\
            \x01\0\x01\0\0\0\0\0\x88\x13\0\0\x02\x01";
        assert_eq!(out, golden, "{out:02x?}");
    }

    #[test]
    fn a_longer_hello_of_a_later_version_is_read_and_a_shorter_one_refused() {
        let hello = Hello::new(5000, SCRAM | SCRAM_PLUS);
        let mut longer = body(&hello);
        longer[0] = 9;
        longer.extend(b"more");
        assert_eq!(Hello::read(&longer).unwrap(), Hello { version: 9, ..hello });
        for length in 0..LENGTH {
            assert_eq!(Hello::read(&longer[..length]).unwrap_err().code(), Code::Protocol);
        }
    }

    #[test]
    fn what_the_other_side_must_not_ask_for_has_its_code() {
        let rows = [
            (0, 0, Code::Version),
            (2, 2, Code::Version),
            (7, 1, Code::Unsupported),
            (12, 1, Code::Unsupported),
            (10, 1, Code::Protocol),
        ];
        for (at, value, code) in rows {
            let mut bad = body(&Hello::new(5000, 0));
            bad[at] = value;
            assert_eq!(Hello::read(&bad).unwrap_err().code(), code, "byte {at}");
        }
        assert!(Hello::read(&body(&Hello::new(HEARTBEAT_MS_MIN - 1, 0))).is_err());
    }

    #[test]
    fn the_first_wrong_byte_of_a_preamble_ends_it() {
        for length in 0..PREAMBLE.len() {
            assert!(!check_preamble(&PREAMBLE[..length]).unwrap());
            let mut bad = PREAMBLE[..=length].to_vec();
            bad[length] ^= 1;
            assert_eq!(check_preamble(&bad).unwrap_err().code(), Code::Protocol);
        }
        assert!(check_preamble(b"repliq\r\nmore").unwrap());
        let text = |bytes: &[u8]| check_preamble(bytes).unwrap_err().to_string();
        assert!(text(b"HTTP/1.1 400").contains("HTTP"));
        assert!(text(b"\x16\x03\x01").contains("TLS"));
        assert!(text(b"\x15\x03\x03").contains("TLS"));
    }
}
