//! Messages in and out of Java.
//!
//! Messages to be put: their number (4), then each as its payload alone, where bit 31 of its length is set, or as
//!
//! ```text
//!     payload (4 + bytes)  key (4 + bytes)  producer (4 + bytes)  kind (2)  priority (1)
//!     producer_sequence (8)  expires_ms (8)  deliver_at_ms (8)  number of headers (4)
//!     each header: name (4 + bytes)  value (4 + bytes)
//! ```
//!
//! Messages received: their number (4), where each begins (4 each), then each as
//!
//! ```text
//!     sequence (8)  committed_ms (8)  queue (4)  deliveries (4)  body (4 + bytes)
//! ```
//!
//! The body is the one that lies in the store, see `body.rs` of the journal: a copy is all that a message costs here,
//! and Java takes apart what it is asked for.

use jni::objects::{JByteBuffer, JClass, JValue};
use jni::{Env, jni_sig, jni_str};
use repliq::{Code, Header, Message, Queue, Received, Session};

use crate::bytes::{Reader, short, utf8};
use crate::failure::Failure;

/// Set in the length of a payload that is all a message has.
const PLAIN: u32 = 1 << 31;
/// Bytes of a message received before its body.
const HEAD: usize = 28;

/// Puts packed messages into a session.
pub fn put(session: &mut Session, queue: i32, packed: &[u8]) -> Result<(), Failure> {
    let queue = Queue::from_number(queue.cast_unsigned());
    with(packed, |messages| Ok(session.put_many(queue, messages)?))
}

/// Puts a message that has nothing but this payload.
pub fn put_plain(session: &mut Session, queue: i32, payload: &[u8]) -> Result<(), Failure> {
    let queue = Queue::from_number(queue.cast_unsigned());
    Ok(session.put(queue, &Message::new(payload))?)
}

/// Puts packed messages that have nothing but payloads, without a list of them.
pub fn put_payloads(session: &mut Session, queue: i32, packed: &[u8]) -> Result<(), Failure> {
    let mut reader = Reader(packed);
    let count = reader.u32()?;
    let payloads = Payloads(reader.0);
    let look = |(count, length), one: Message<'_>| (count + 1, length + 4 + one.payload.len());
    if payloads.clone().fold((0, 0), look) != (count, reader.0.len()) {
        return Err(short());
    }
    Ok(session.put_each(Queue::from_number(queue.cast_unsigned()), payloads)?)
}

/// Messages that lie packed and have nothing but payloads; ends at the first that is not whole.
#[derive(Clone)]
struct Payloads<'a>(&'a [u8]);

impl<'a> Iterator for Payloads<'a> {
    type Item = Message<'a>;

    #[inline]
    fn next(&mut self) -> Option<Message<'a>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) & !PLAIN;
        let (payload, rest) = rest.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(Message::new(payload))
    }
}

/// Calls with the messages that lie packed.
pub fn with<T>(
    packed: &[u8],
    call: impl FnOnce(&[Message<'_>]) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut reader = Reader(packed);
    let count = reader.u32()?;
    let mut headers: Vec<Header<'_>> = Vec::new();
    if count == 1 {
        let (message, _) = one(&mut reader, &mut headers)?;
        return call(&[Message { headers: &headers, ..message }]);
    }
    let mut messages = Vec::with_capacity(count.min(65_536) as usize);
    let mut ends = Vec::new();
    for _ in 0..count {
        let (message, end) = one(&mut reader, &mut headers)?;
        messages.push(message);
        if end > 0 {
            // Those before the first that has some have none.
            ends.resize(messages.len() - 1, 0);
            ends.push(end);
        }
    }
    let mut begin = 0;
    for (message, end) in messages.iter_mut().zip(ends) {
        message.headers = &headers[begin..end];
        begin = end;
    }
    call(&messages)
}

/// One message without its headers, which are appended, and where they end.
fn one<'a>(
    reader: &mut Reader<'a>,
    headers: &mut Vec<Header<'a>>,
) -> Result<(Message<'a>, usize), Failure> {
    let length = reader.u32()?;
    let payload = reader.take((length & !PLAIN) as usize)?;
    if length & PLAIN != 0 {
        return Ok((Message::new(payload), headers.len()));
    }
    let message = Message {
        payload,
        key: reader.bytes()?,
        producer: utf8(reader.bytes()?)?,
        kind: reader.u16()?,
        priority: reader.u8()?,
        producer_sequence: reader.u64()?,
        expires_ms: reader.u64()?,
        deliver_at_ms: reader.u64()?,
        headers: &[],
    };
    for _ in 0..reader.u32()? {
        headers.push((utf8(reader.bytes()?)?, reader.bytes()?));
    }
    Ok((message, headers.len()))
}

/// Gives messages to Java: nothing where there are none, else one direct buffer for all: `room`, if they fit.
pub fn hand_out<'local>(
    env: &mut Env<'local>,
    class: &JClass<'local>,
    received: &[Received],
    room: JByteBuffer<'local>,
) -> Result<JByteBuffer<'local>, Failure> {
    if received.is_empty() {
        return Ok(JByteBuffer::null());
    }
    let length = length_of(received)?;
    let fits = !room.is_null() && env.get_direct_buffer_capacity(&room)? >= length;
    let buffer = if fits {
        room
    } else {
        let (name, signature) = (jni_str!("direct"), jni_sig!("(I)Ljava/nio/ByteBuffer;"));
        let wanted = [JValue::Int(length as i32)];
        let made = env.call_static_method(class, name, signature, &wanted)?.l()?;
        env.cast_local::<JByteBuffer<'_>>(made)?
    };
    let (at, capacity) =
        (env.get_direct_buffer_address(&buffer)?, env.get_direct_buffer_capacity(&buffer)?);
    if capacity < length {
        return Err(too_much());
    }
    // SAFETY: this call holds this buffer of at least so many bytes. Nobody else knows one that Java just made; into
    // one of the caller nobody writes meanwhile, as `Consumer.java` says, and who reads it finds bytes, if not its own.
    write(received, unsafe { std::slice::from_raw_parts_mut(at, length) });
    Ok(buffer)
}

/// Messages as Java reads them.
pub fn pack(received: &[Received]) -> Result<Vec<u8>, Failure> {
    let mut packed = vec![0; length_of(received)?];
    write(received, &mut packed);
    Ok(packed)
}

/// How long they are packed.
fn length_of(received: &[Received]) -> Result<usize, Failure> {
    let bodies: usize = received.iter().map(|one| one.stored().0.len()).sum();
    let length = 4 + received.len() * (4 + HEAD) + bodies;
    i32::try_from(length).map(|_| length).map_err(|_| too_much())
}

/// Packs them into exactly as many bytes.
fn write(received: &[Received], to: &mut [u8]) {
    let (count, to) = to.split_at_mut(4);
    count.copy_from_slice(&(received.len() as u32).to_le_bytes());
    let (begins, mut to) = to.split_at_mut(4 * received.len());
    let mut begin = 4 + begins.len();
    for (message, at) in received.iter().zip(begins.chunks_exact_mut(4)) {
        at.copy_from_slice(&(begin as u32).to_le_bytes());
        let body = message.stored().0;
        let (head, rest) = to.split_at_mut(HEAD);
        head[..8].copy_from_slice(&message.sequence().to_le_bytes());
        head[8..16].copy_from_slice(&message.committed_ms().to_le_bytes());
        head[16..20].copy_from_slice(&message.queue().number().to_le_bytes());
        head[20..24].copy_from_slice(&message.deliveries().to_le_bytes());
        head[24..].copy_from_slice(&(body.len() as u32).to_le_bytes());
        let (its, rest) = rest.split_at_mut(body.len());
        its.copy_from_slice(body);
        (to, begin) = (rest, begin + HEAD + body.len());
    }
}

fn too_much() -> Failure {
    let text = "the messages do not fit into one array of Java; ask for fewer at once";
    Failure::Own(Code::TooLarge, text.into())
}
