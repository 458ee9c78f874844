//! The body of a message frame: what is the same in every store the message reaches.
//!
//! ```text
//! offset  size  body of a message
//!      0     2  kind         the application's request id, 0 = none
//!      2     1  priority     0 to 9
//!      3     1  present      bit 0 expires, bit 1 deliver at, bit 2 producer
//!      4     2  key length   K
//!      6     2  headers      H, bytes of all headers
//!      8        in this order, where present:
//!            8    expires      milliseconds since 1970 UTC
//!            8    deliver at   milliseconds since 1970 UTC
//!          9+P    producer     its sequence (8), length P (1), id (P)
//!            K  key
//!            H  headers      each: name length (1), value length (2), name, value
//!               payload      the rest
//! ```

use super::format::u64_at;

/// The fixed part.
pub const FIXED: usize = 8;
const EXPIRES: u8 = 1;
const DELIVER_AT: u8 = 2;
const PRODUCER: u8 = 4;
/// The fixed part with everything of fixed length that may follow it.
const FRONT_MAX: usize = FIXED + 8 + 8 + 9;

/// A body, or what stands for one, in two pieces; the second may be empty.
#[derive(Clone, Copy)]
pub struct Parts<'a>([&'a [u8]; 2]);

impl<'a> Parts<'a> {
    /// What stands before the payload, and the payload.
    #[inline]
    pub fn of(fields: &'a [u8], payload: &'a [u8]) -> Parts<'a> {
        Parts([fields, payload])
    }

    /// The pieces.
    #[inline]
    pub fn pieces(&self) -> [&'a [u8]; 2] {
        self.0
    }

    /// Bytes of both.
    #[inline]
    pub fn length(&self) -> usize {
        self.0[0].len() + self.0[1].len()
    }
}

/// A body in one piece.
#[inline]
pub fn whole(body: &[u8]) -> Parts<'_> {
    Parts([body, &[]])
}

/// The fields before the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front<'a> {
    /// The application's request id.
    pub kind: u16,
    /// 0 to 9.
    pub priority: u8,
    /// 0 = never.
    pub expires_ms: u64,
    /// 0 = at once.
    pub deliver_at_ms: u64,
    /// Id, "" = none, and sequence.
    pub producer: &'a [u8],
    /// From 1.
    pub producer_sequence: u64,
}

/// The encoded fields before the key, without the producer's id, which follows them.
#[derive(Clone, Copy)]
pub struct Encoded {
    fixed: [u8; FIXED],
    more: [u8; FRONT_MAX - FIXED],
    length: usize,
}

impl Encoded {
    /// The bytes, in two pieces.
    #[inline]
    pub fn pieces(&self) -> [&[u8]; 2] {
        [&self.fixed, &self.more[..self.length]]
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.more[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

impl<'a> Front<'a> {
    /// The front of a body, without a look at what follows it; `None` when it does not fit.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Option<Front<'a>> {
        Front::take_from(body).map(|(front, _)| front)
    }

    /// The front of a body, and what follows it.
    #[inline]
    fn take_from(body: &'a [u8]) -> Option<(Front<'a>, &'a [u8])> {
        let (fixed, rest) = body.split_at_checked(FIXED)?;
        let kind = u16::from_le_bytes([fixed[0], fixed[1]]);
        let front = Front { kind, priority: fixed[2], ..Front::default() };
        if fixed[3] == 0 { Some((front, rest)) } else { front.with_present(fixed[3], rest) }
    }

    /// The same with the fields that need not be present.
    fn with_present(mut self, present: u8, mut rest: &'a [u8]) -> Option<(Front<'a>, &'a [u8])> {
        if present & EXPIRES != 0 {
            self.expires_ms = u64_at(take(&mut rest, 8)?, 0);
        }
        if present & DELIVER_AT != 0 {
            self.deliver_at_ms = u64_at(take(&mut rest, 8)?, 0);
        }
        if present & PRODUCER != 0 {
            self.producer_sequence = u64_at(take(&mut rest, 8)?, 0);
            let length = take(&mut rest, 1)?[0];
            self.producer = take(&mut rest, usize::from(length))?;
        }
        Some((self, rest))
    }

    /// The first bytes of a body whose key and headers have these lengths, which were checked against the limits.
    #[inline]
    pub fn fixed(&self, key: usize, headers: usize) -> [u8; FIXED] {
        let length = |n: usize| u64::from(u16::try_from(n).unwrap_or(u16::MAX));
        let word = u64::from(self.kind)
            | u64::from(self.priority) << 16
            | u64::from(self.present()) << 24
            | length(key) << 32
            | length(headers) << 48;
        word.to_le_bytes()
    }

    /// Whether nothing follows the first bytes but key, headers and payload.
    #[inline]
    pub fn is_fixed(&self) -> bool {
        self.present() == 0
    }

    #[inline]
    fn present(&self) -> u8 {
        (if self.expires_ms > 0 { EXPIRES } else { 0 })
            | if self.deliver_at_ms > 0 { DELIVER_AT } else { 0 }
            | if self.producer.is_empty() { 0 } else { PRODUCER }
    }

    /// Encodes the front of a body up to the producer's id.
    #[inline]
    pub fn encode(&self, key: usize, headers: usize) -> Encoded {
        let (fixed, more) = (self.fixed(key, headers), [0; FRONT_MAX - FIXED]);
        let mut front = Encoded { fixed, more, length: 0 };
        if self.present() == 0 {
            return front;
        }
        if self.expires_ms > 0 {
            front.put(&self.expires_ms.to_le_bytes());
        }
        if self.deliver_at_ms > 0 {
            front.put(&self.deliver_at_ms.to_le_bytes());
        }
        if !self.producer.is_empty() {
            front.put(&self.producer_sequence.to_le_bytes());
            front.put(&[u8::try_from(self.producer.len()).unwrap_or(u8::MAX)]);
        }
        front
    }
}

/// A body, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Body<'a> {
    /// The fields before the key.
    pub front: Front<'a>,
    /// The key, empty = none.
    pub key: &'a [u8],
    /// The encoded headers.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Body<'a> {
    /// Takes a body apart whose sum held; `None` when its lengths do not fit.
    pub fn decode(body: &'a [u8]) -> Option<Body<'a>> {
        let (front, mut rest) = Front::take_from(body)?;
        let lengths =
            [u16::from_le_bytes([body[4], body[5]]), u16::from_le_bytes([body[6], body[7]])];
        let key = take(&mut rest, usize::from(lengths[0]))?;
        let headers = take(&mut rest, usize::from(lengths[1]))?;
        Some(Body { front, key, headers, payload: rest })
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

/// When a message expires, from its body alone; 0 = never.
pub fn expires_of(body: &[u8]) -> u64 {
    if body.len() >= FIXED + 8 && body[3] & EXPIRES != 0 { u64_at(body, FIXED) } else { 0 }
}

/// Before when a message is not received, from its body alone; 0 = at once.
pub fn deliver_at_of(body: &[u8]) -> u64 {
    if body.len() < FIXED || body[3] & DELIVER_AT == 0 {
        return 0;
    }
    let at = if body[3] & EXPIRES == 0 { FIXED } else { FIXED + 8 };
    if body.len() < at + 8 { 0 } else { u64_at(body, at) }
}

/// Adds a header to the encoded headers.
pub fn put_header(headers: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    headers.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    headers.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    headers.extend_from_slice(name);
    headers.extend_from_slice(value);
}

/// The encoded headers, one by one; ends at the first that does not fit.
pub fn headers(mut encoded: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let head = take(&mut encoded, 3)?;
        let value = usize::from(u16::from_le_bytes([head[1], head[2]]));
        let name = take(&mut encoded, usize::from(head[0]))?;
        Some((name, take(&mut encoded, value)?))
    })
}
