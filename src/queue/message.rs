//! A message to be put: its fields, their bounds, and its bytes.
//!
//! Promises: what [`Message::pack`] returns fits the format, and its sum was computed once, from the caller's
//! bytes. A message that is refused changed nothing.

use crate::error::{Code, Error, Result};
use crate::journal::{Encoded, Front, body_sum, put_header};
use crate::limits;
use crate::store::Entry;

/// A header: its name and its value.
pub type Header<'a> = (&'a str, &'a [u8]);

/// A message to be put. Everything is borrowed and copied before the call returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// The application's request id, 0 = none.
    pub kind: u16,
    /// Messages of one key stay in order; empty = none. At most 65,535 bytes.
    pub key: &'a [u8],
    /// Names (1 to 255 bytes) and values; together at most 65,535 bytes with 3 bytes for each.
    pub headers: &'a [Header<'a>],
    /// The payload; with key and headers at most 16 MiB.
    pub payload: &'a [u8],
    /// When it loses its worth, in milliseconds since 1970 UTC; 0 = never.
    pub expires_ms: u64,
    /// Not to be received earlier, in milliseconds since 1970 UTC; 0 = at once. UNSUPPORTED so far.
    pub deliver_at_ms: u64,
    /// 0 to 9. Other than 0 is UNSUPPORTED so far.
    pub priority: u8,
    /// Who made it, at most 255 bytes; "" = nobody asks for exactly-once by sequence.
    pub producer: &'a str,
    /// The producer's number of it: 1 for the first, then exactly the next.
    pub producer_sequence: u64,
}

/// A message whose front and headers are encoded; key and payload are still the caller's.
pub struct Packed<'a> {
    front: Encoded,
    headers: Vec<u8>,
    message: Message<'a>,
    sum: u32,
}

impl<'a> Message<'a> {
    /// A message with this payload and nothing else.
    pub fn new(payload: &'a [u8]) -> Message<'a> {
        Message { payload, ..Message::default() }
    }

    /// Checks every bound and encodes what is not the caller's bytes.
    pub fn pack(&self) -> Result<Packed<'a>> {
        let (front, headers) = self.pack_before(self.payload.len())?;
        let sum = body_sum(&[front.as_bytes(), self.key, &headers, self.payload]);
        Ok(Packed { front, headers, message: *self, sum })
    }

    /// Appends the body to `bodies` with a payload of `length` bytes that `fill` writes there, and gives its sum.
    ///
    /// The sum is taken of what was written, so that it holds whatever `fill` reads from.
    pub fn pack_filled<E: std::convert::From<Error>>(
        &self,
        length: usize,
        bodies: &mut Vec<u8>,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<u32, E> {
        let (front, headers) = self.pack_before(length).map_err(|error| error.at_message(0))?;
        let start = bodies.len();
        for part in [front.as_bytes(), self.key, &headers] {
            bodies.extend_from_slice(part);
        }
        let payload = bodies.len();
        bodies.resize(payload + length, 0);
        fill(&mut bodies[payload..])?;
        Ok(body_sum(&[&bodies[start..]]))
    }

    /// What stands before a payload of `length` bytes, beside the key.
    fn pack_before(&self, length: usize) -> Result<(Encoded, Vec<u8>)> {
        self.check()?;
        let headers = self.pack_headers()?;
        let length = self.key.len() + headers.len() + length;
        if length > limits::MESSAGE_BYTES_MAX - FRONT_BYTES_MAX {
            let text = format!(
                "a message of {length} bytes with key and headers is larger than {}",
                limits::MESSAGE_BYTES_MAX - FRONT_BYTES_MAX
            );
            return Err(Error::new(Code::TooLarge, text));
        }
        let front = Front {
            kind: self.kind,
            priority: self.priority,
            expires_ms: self.expires_ms,
            deliver_at_ms: self.deliver_at_ms,
            producer: self.producer.as_bytes(),
            producer_sequence: self.producer_sequence,
        };
        Ok((front.encode(self.key.len(), headers.len()), headers))
    }

    fn check(&self) -> Result<()> {
        let refused = |code, text: String| Err(Error::new(code, text));
        if self.key.len() > limits::KEY_BYTES_MAX {
            let text =
                format!("a key of {} bytes, more than {}", self.key.len(), limits::KEY_BYTES_MAX);
            return refused(Code::TooLarge, text);
        }
        if self.priority > 9 {
            return refused(Code::Invalid, format!("a priority of {}, not 0 to 9", self.priority));
        }
        if self.priority > 0 {
            return refused(Code::Unsupported, "priorities are not built in yet".into());
        }
        if self.deliver_at_ms > 0 {
            return refused(Code::Unsupported, "delayed delivery is not built in yet".into());
        }
        if self.producer.len() > limits::PRODUCER_BYTES_MAX {
            let (length, max) = (self.producer.len(), limits::PRODUCER_BYTES_MAX);
            return refused(
                Code::TooLarge,
                format!("a producer id of {length} bytes, more than {max}"),
            );
        }
        if self.producer.is_empty() != (self.producer_sequence == 0) {
            let text = format!(
                "producer {:?} with sequence {}: both or neither, and sequences begin with 1",
                self.producer, self.producer_sequence
            );
            return refused(Code::Invalid, text);
        }
        Ok(())
    }

    fn pack_headers(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (name, value) in self.headers {
            if name.is_empty() || name.chars().any(char::is_control) {
                let text = format!("{name:?} is no name for a header");
                return Err(Error::new(Code::Invalid, text));
            }
            let too_long = name.len() > limits::NAME_BYTES_MAX
                || value.len() > limits::HEADERS_BYTES_MAX
                || bytes.len() + 3 + name.len() + value.len() > limits::HEADERS_BYTES_MAX;
            if too_long {
                let text = format!(
                    "header {name:?} does not fit: names have at most {} bytes, all headers together {}",
                    limits::NAME_BYTES_MAX,
                    limits::HEADERS_BYTES_MAX
                );
                return Err(Error::new(Code::TooLarge, text));
            }
            put_header(&mut bytes, name.as_bytes(), value);
        }
        Ok(bytes)
    }
}

/// What the fields before the key take at most.
const FRONT_BYTES_MAX: usize = 512;

impl Packed<'_> {
    /// The message as an entry of a transaction on a queue.
    pub fn entry(&self, queue: u32) -> Entry<'_> {
        let message = &self.message;
        let front = Front {
            kind: message.kind,
            priority: message.priority,
            expires_ms: message.expires_ms,
            deliver_at_ms: message.deliver_at_ms,
            producer: message.producer.as_bytes(),
            producer_sequence: message.producer_sequence,
        };
        let parts = [self.front.as_bytes(), message.key, &self.headers, message.payload];
        Entry { queue, parts, sum: self.sum, front }
    }

    /// Bytes of its body.
    pub fn length(&self) -> usize {
        let message = &self.message;
        let front = self.front.as_bytes().len();
        front + message.key.len() + self.headers.len() + message.payload.len()
    }

    /// Sum of its body.
    pub fn sum(&self) -> u32 {
        self.sum
    }

    /// Appends its body.
    pub fn copy_to(&self, body: &mut Vec<u8>) {
        for part in [self.front.as_bytes(), self.message.key, &self.headers, self.message.payload] {
            body.extend_from_slice(part);
        }
    }
}
