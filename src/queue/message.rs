//! A message to be put: its fields, their bounds, and its bytes.
//!
//! Promises: what [`Message::pack`] returns and [`Message::append_to`] writes fits the format, and its sum is computed
//! once, where the message comes in. A message that is refused changed nothing.

use crate::error::{Code, Error, Result};
use crate::journal::{FIXED, Front, Parts, body_sum, put_header};
use crate::limits;
use crate::store::{Core, Entry, Level, Staged};

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
    /// Not to be received earlier, in milliseconds since 1970 UTC; 0 = at once.
    pub deliver_at_ms: u64,
    /// 0 to 9: of what waits, the highest is received first.
    pub priority: u8,
    /// Who made it, at most 255 bytes; "" = nobody asks for exactly-once by sequence.
    pub producer: &'a str,
    /// The producer's number of it: 1 for the first, then exactly the next.
    pub producer_sequence: u64,
}

/// A message whose fields are encoded; the payload is still the caller's.
pub struct Packed<'a> {
    /// What every body begins with, of a message that has nothing else before its payload.
    fixed: [u8; FIXED],
    /// Else all that stands before the payload.
    fields: Vec<u8>,
    message: &'a Message<'a>,
    sum: u32,
}

/// Many of them, whose fields lie in one piece of memory.
pub struct Batch<'a> {
    messages: &'a [Message<'a>],
    fields: Vec<u8>,
    /// Where the fields of each end, and the sum of its body.
    rows: Vec<(usize, u32)>,
}

impl<'a> Batch<'a> {
    /// Checks every bound and encodes what stands before the payloads. A refusal names the index of the message.
    pub fn pack(messages: &'a [Message<'a>]) -> Result<Batch<'a>> {
        let mut fields = Vec::with_capacity(messages.len() * FIXED);
        let mut rows = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let start = fields.len();
            let headers = message.check().map_err(|error| error.at_message(index))?;
            message.append_front(headers, 0, &mut fields);
            rows.push((fields.len(), body_sum(&[&fields[start..], message.payload])));
        }
        Ok(Batch { messages, fields, rows })
    }

    /// They as entries of a transaction on a queue.
    pub fn entries(&self, queue: u32) -> Vec<Entry<'_>> {
        let mut start = 0;
        let rows = self.messages.iter().zip(&self.rows);
        let entries = rows.map(|(message, (end, sum))| {
            let fields = &self.fields[std::mem::replace(&mut start, *end)..*end];
            let parts = Parts::of(fields, message.payload);
            Entry { queue, parts, sum: *sum, front: message.front() }
        });
        entries.collect()
    }
}

impl<'a> Message<'a> {
    /// A message with this payload and nothing else.
    pub fn new(payload: &'a [u8]) -> Message<'a> {
        Message { payload, ..Message::default() }
    }

    /// Bytes its body and its record take, at most.
    pub(crate) fn bytes_max(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| 3 + name.len() + value.len());
        let fields = if self.producer.is_empty() { 0 } else { 9 + self.producer.len() };
        let bytes = self.key.len() + self.payload.len() + headers.sum::<usize>();
        24 + fields + bytes + limits::RECORD_BYTES
    }

    /// Checks every bound and encodes what stands before the payload.
    pub fn pack(&'a self) -> Result<Packed<'a>> {
        let headers = self.check()?;
        let (fixed, mut fields) = (self.fixed(headers), Vec::new());
        if fixed.is_none() {
            self.append_fields(headers, 0, &mut fields);
        }
        let mut packed = Packed { fixed: fixed.unwrap_or_default(), fields, message: self, sum: 0 };
        packed.sum = body_sum(&packed.parts().pieces());
        Ok(packed)
    }

    /// Appends the body to `bodies`, and gives its sum; a message that is refused appended nothing.
    #[inline]
    pub fn append_to(&self, bodies: &mut Vec<u8>) -> Result<u32> {
        let start = bodies.len();
        self.append_unsummed(bodies)?;
        let payload = bodies.len() - self.payload.len();
        // Of the payload where it comes from: a processor waits where it reads what it wrote a moment before.
        Ok(body_sum(&[&bodies[start..payload], self.payload]))
    }

    /// The same for who sums it elsewhere.
    #[inline]
    pub(crate) fn append_unsummed(&self, bodies: &mut Vec<u8>) -> Result<()> {
        let headers = self.check()?;
        self.append_front(headers, self.payload.len(), bodies);
        bodies.extend_from_slice(self.payload);
        Ok(())
    }

    /// Appends the body to `bodies` with a payload of `length` bytes that `fill` writes there, and gives its sum.
    ///
    /// The sum is taken of what was written, so that it holds whatever `fill` reads from.
    pub fn append_filled<E: std::convert::From<Error>>(
        &self,
        length: usize,
        bodies: &mut Vec<u8>,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<u32, E> {
        let start = bodies.len();
        let headers = self.check_with(length).map_err(|error| error.at_message(0))?;
        self.append_front(headers, length, bodies);
        let payload = bodies.len();
        bodies.resize(payload + length, 0);
        fill(&mut bodies[payload..])?;
        Ok(body_sum(&[&bodies[start..]]))
    }

    /// What stands before the payload of a message that has nothing else.
    #[inline]
    fn fixed(&self, headers: usize) -> Option<[u8; FIXED]> {
        let front = self.front();
        (front.is_fixed() && self.key.len() + headers == 0).then(|| front.fixed(0, 0))
    }

    /// Appends what stands before a payload of `length` bytes, with room for it; the encoded headers have so many bytes.
    #[inline]
    fn append_front(&self, headers: usize, length: usize, bodies: &mut Vec<u8>) {
        match self.fixed(headers) {
            Some(fixed) => {
                bodies.reserve(FIXED + length);
                bodies.extend_from_slice(&fixed);
            }
            None => self.append_fields(headers, length, bodies),
        }
    }

    /// The same for a message of any fields.
    fn append_fields(&self, headers: usize, length: usize, bodies: &mut Vec<u8>) {
        let front = self.front().encode(self.key.len(), headers);
        let fields = front.pieces().map(<[u8]>::len).iter().sum::<usize>();
        bodies.reserve(fields + self.producer.len() + self.key.len() + headers + length);
        front.pieces().iter().for_each(|piece| bodies.extend_from_slice(piece));
        bodies.extend_from_slice(self.producer.as_bytes());
        bodies.extend_from_slice(self.key);
        self.put_headers(bodies);
    }

    #[inline]
    fn front(&self) -> Front<'a> {
        Front {
            kind: self.kind,
            priority: self.priority,
            expires_ms: self.expires_ms,
            deliver_at_ms: self.deliver_at_ms,
            producer: self.producer.as_bytes(),
            producer_sequence: self.producer_sequence,
        }
    }

    /// Appends it as a transaction of its own, the shortest way where it has nothing but a kind and a payload, as most have.
    #[inline]
    pub(crate) fn put_alone(&self, core: &Core, queue: u32, level: Level) -> Result<Staged> {
        let lengths = self.key.len() | self.headers.len() | self.producer.len();
        let numbers = self.expires_ms | self.deliver_at_ms | self.producer_sequence;
        let plain = lengths as u64 | numbers | u64::from(self.priority) == 0;
        if !plain || self.payload.len() > limits::MESSAGE_BYTES_MAX - FRONT_BYTES_MAX {
            return self.put_any(core, queue, level);
        }
        let front = Front { kind: self.kind, ..Front::default() };
        let fixed = front.fixed(0, 0);
        let parts = Parts::of(&fixed, self.payload);
        core.put(&Entry { queue, parts, sum: body_sum(&parts.pieces()), front }, level)
    }

    #[inline(never)]
    fn put_any(&self, core: &Core, queue: u32, level: Level) -> Result<Staged> {
        let packed = self.pack().map_err(|error| error.at_message(0))?;
        core.put(&packed.entry(queue), level)
    }

    /// Checks every bound; gives the bytes of the encoded headers.
    #[inline]
    pub(crate) fn check(&self) -> Result<usize> {
        self.check_with(self.payload.len())
    }

    /// The same with a payload of so many bytes.
    #[inline]
    fn check_with(&self, payload: usize) -> Result<usize> {
        let bare = self.key.len() <= limits::KEY_BYTES_MAX
            && self.headers.is_empty()
            && self.priority == 0
            && self.deliver_at_ms == 0
            && self.producer.is_empty()
            && self.producer_sequence == 0;
        let headers = if bare { 0 } else { self.check_fields()? };
        let length = self.key.len() + headers + payload;
        if length > limits::MESSAGE_BYTES_MAX - FRONT_BYTES_MAX {
            return Err(too_large(length));
        }
        Ok(headers)
    }

    /// Checks what most messages do not have; gives the bytes of the encoded headers.
    #[cold]
    fn check_fields(&self) -> Result<usize> {
        let refused = |code, text: String| Err(Error::new(code, text));
        if self.key.len() > limits::KEY_BYTES_MAX {
            let text =
                format!("a key of {} bytes, more than {}", self.key.len(), limits::KEY_BYTES_MAX);
            return refused(Code::TooLarge, text);
        }
        if self.priority > 9 {
            return refused(Code::Invalid, format!("a priority of {}, not 0 to 9", self.priority));
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
        self.check_headers()
    }

    /// Bytes of all headers, encoded.
    fn check_headers(&self) -> Result<usize> {
        let mut bytes = 0;
        for (name, value) in self.headers {
            if name.is_empty() || name.chars().any(char::is_control) {
                let text = format!("{name:?} is no name for a header");
                return Err(Error::new(Code::Invalid, text));
            }
            let too_long = name.len() > limits::NAME_BYTES_MAX
                || value.len() > limits::HEADERS_BYTES_MAX
                || bytes + 3 + name.len() + value.len() > limits::HEADERS_BYTES_MAX;
            if too_long {
                let text = format!(
                    "header {name:?} does not fit: names have at most {} bytes, all headers together {}",
                    limits::NAME_BYTES_MAX,
                    limits::HEADERS_BYTES_MAX
                );
                return Err(Error::new(Code::TooLarge, text));
            }
            bytes += 3 + name.len() + value.len();
        }
        Ok(bytes)
    }

    fn put_headers(&self, bytes: &mut Vec<u8>) {
        for (name, value) in self.headers {
            put_header(bytes, name.as_bytes(), value);
        }
    }
}

#[cold]
fn too_large(length: usize) -> Error {
    let max = limits::MESSAGE_BYTES_MAX - FRONT_BYTES_MAX;
    let text = format!("a message of {length} bytes with key and headers is larger than {max}");
    Error::new(Code::TooLarge, text)
}

/// What the fields before the key take at most.
const FRONT_BYTES_MAX: usize = 512;

impl Packed<'_> {
    /// The message as an entry of a transaction on a queue.
    #[inline]
    pub fn entry(&self, queue: u32) -> Entry<'_> {
        Entry { queue, parts: self.parts(), sum: self.sum, front: self.message.front() }
    }

    #[inline]
    fn parts(&self) -> Parts<'_> {
        let fields = if self.fields.is_empty() { &self.fixed[..] } else { &self.fields };
        Parts::of(fields, self.message.payload)
    }
}
