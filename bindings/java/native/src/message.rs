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
//!     sequence (8)  committed_ms (8)  expires_ms (8)  producer_sequence (8)  queue (4)  deliveries (4)  kind (2)
//!     payload, key, producer (4 + bytes each)  number of headers (4)  headers as above
//! ```

use jni::objects::{JByteBuffer, JClass, JValue};
use jni::{Env, jni_sig, jni_str};
use repliq::{Code, Header, Message, Queue, Received, Session};

use crate::bytes::{Reader, Writer, utf8};
use crate::failure::Failure;

/// Set in the length of a payload that is all a message has.
const PLAIN: u32 = 1 << 31;
/// Bytes of a message received before the length of its payload.
const FIXED: usize = 42;
/// Bytes of a message received beside its payload, where its key is short.
const GUESS: usize = 96;

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
    let packed = pack(received)?;
    let length = i32::try_from(packed.len()).map_err(|_| too_much())?;
    let fits = !room.is_null() && env.get_direct_buffer_capacity(&room)? >= packed.len();
    let buffer = if fits {
        room
    } else {
        let (name, signature) = (jni_str!("direct"), jni_sig!("(I)Ljava/nio/ByteBuffer;"));
        let made = env.call_static_method(class, name, signature, &[JValue::Int(length)])?.l()?;
        env.cast_local::<JByteBuffer<'_>>(made)?
    };
    let (at, capacity) =
        (env.get_direct_buffer_address(&buffer)?, env.get_direct_buffer_capacity(&buffer)?);
    if capacity < packed.len() {
        return Err(too_much());
    }
    // SAFETY: this call holds this buffer of at least so many bytes. Nobody else knows one that Java just made; into
    // one of the caller nobody writes meanwhile, as `Consumer.java` says, and who reads it finds bytes, if not its own.
    unsafe { std::ptr::copy_nonoverlapping(packed.as_ptr(), at, packed.len()) };
    Ok(buffer)
}

/// Messages as Java reads them.
pub fn pack(received: &[Received]) -> Result<Vec<u8>, Failure> {
    let head = 4 + 4 * received.len();
    let payloads: usize = received.iter().map(|one| one.payload().len()).sum();
    let mut out = Writer(Vec::with_capacity(head + payloads + GUESS * received.len()));
    out = out.u32(received.len() as u32);
    out.0.resize(head, 0);
    for (index, message) in received.iter().enumerate() {
        let at = i32::try_from(out.0.len()).map_err(|_| too_much())?;
        out.0[4 + 4 * index..8 + 4 * index].copy_from_slice(&at.to_le_bytes());
        out = one_out(out, message);
    }
    i32::try_from(out.0.len()).map_err(|_| too_much())?;
    Ok(out.0)
}

fn one_out(mut to: Writer, message: &Received) -> Writer {
    let mut fixed = [0; FIXED];
    for (at, number) in [
        (0, message.sequence()),
        (8, message.committed_ms()),
        (16, message.expires_ms()),
        (24, message.producer_sequence()),
    ] {
        fixed[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    fixed[32..36].copy_from_slice(&message.queue().number().to_le_bytes());
    fixed[36..40].copy_from_slice(&message.deliveries().to_le_bytes());
    fixed[40..].copy_from_slice(&message.kind().to_le_bytes());
    to.0.extend_from_slice(&fixed);
    let mut to = to.bytes(message.payload()).bytes(message.key()).text(message.producer());
    let (at, mut count) = (to.0.len(), 0_u32);
    to = to.u32(0);
    for (name, value) in message.headers() {
        to = to.text(name).bytes(value);
        count += 1;
    }
    if count > 0 {
        to.0[at..at + 4].copy_from_slice(&count.to_le_bytes());
    }
    to
}

fn too_much() -> Failure {
    let text = "the messages do not fit into one array of Java; ask for fewer at once";
    Failure::Own(Code::TooLarge, text.into())
}
