//! Messages of C as messages of the library, and received ones as views into the library's buffers.
//!
//! Lengths are believed up to `ROOM_BYTES_MAX`; below it the library says, in its own words, what is too large.

use std::ffi::c_void;

use crate::error::{Error, Result};
use crate::limits::{HEADERS_BYTES_MAX, ROOM_BYTES_MAX};
use crate::queue::{Message, Queue, Received};

use super::argument::{OutArray, array, bytes, invalid, utf8};
use super::types::{repliq_bytes, repliq_header, repliq_message};

type Header<'a> = (&'a str, &'a [u8]);

/// Calls `body` with the messages; a single one without headers, the common case, allocates nothing.
///
/// # Safety
///
/// Every pointer in `messages` is NULL or readable for its length, if that is one a message may have.
#[inline]
pub(super) unsafe fn with<T>(
    messages: &[repliq_message],
    body: impl FnOnce(&[Message<'_>]) -> Result<T>,
) -> Result<T> {
    if let [one] = messages
        && one.header_count == 0
    {
        // SAFETY: the caller's contract.
        let message = unsafe { message(one, &[]) }.map_err(|error| error.at_message(0))?;
        return body(&[message]);
    }
    // SAFETY: the caller's contract.
    unsafe { with_all(messages, body) }
}

unsafe fn with_all<T>(
    messages: &[repliq_message],
    body: impl FnOnce(&[Message<'_>]) -> Result<T>,
) -> Result<T> {
    let at = |index: usize| move |error: Error| error.at_message(index);
    let mut headers: Vec<Header<'_>> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        // SAFETY: the caller's contract.
        unsafe { read_headers(message, &mut headers) }.map_err(at(index))?;
    }
    let (mut all, mut rest) = (Vec::with_capacity(messages.len()), &headers[..]);
    for (index, raw) in messages.iter().enumerate() {
        let (own, others) = rest.split_at(raw.header_count);
        rest = others;
        // SAFETY: the caller's contract.
        all.push(unsafe { message(raw, own) }.map_err(at(index))?);
    }
    body(&all)
}

unsafe fn read_headers<'a>(message: &repliq_message, into: &mut Vec<Header<'a>>) -> Result<()> {
    if message.header_count > HEADERS_BYTES_MAX {
        let text = format!("{} headers, more than {HEADERS_BYTES_MAX}", message.header_count);
        return Err(Error::new(crate::error::Code::TooLarge, text));
    }
    // SAFETY: the contract of `with`.
    for header in unsafe { array(message.headers, message.header_count, "headers")? } {
        // SAFETY: the contract of `with`.
        let (name, value) = unsafe {
            (
                of(&header.name, ROOM_BYTES_MAX, "a header's name")?,
                of(&header.value, ROOM_BYTES_MAX, "a header's value")?,
            )
        };
        into.push((utf8(name, "a header's name")?, value));
    }
    Ok(())
}

#[inline(always)]
unsafe fn of<'a>(raw: &repliq_bytes, max: usize, what: &str) -> Result<&'a [u8]> {
    // SAFETY: the contract of `with`.
    unsafe { bytes(raw.data, raw.len, max, what) }
}

#[inline(always)]
unsafe fn message<'a>(raw: &repliq_message, headers: &'a [Header<'a>]) -> Result<Message<'a>> {
    if raw.reserved != [0; 5] {
        return Err(invalid("a reserved field of a message is not 0"));
    }
    // SAFETY: the contract of `with`.
    let (payload, key, producer) = unsafe {
        (
            of(&raw.payload, ROOM_BYTES_MAX, "a payload")?,
            of(&raw.key, ROOM_BYTES_MAX, "a key")?,
            of(&raw.producer, ROOM_BYTES_MAX, "a producer id")?,
        )
    };
    Ok(Message {
        kind: raw.kind,
        key,
        headers,
        payload,
        expires_ms: raw.expires_ms,
        deliver_at_ms: raw.deliver_at_ms,
        priority: raw.priority,
        producer: utf8(producer, "a producer id")?,
        producer_sequence: raw.producer_sequence,
    })
}

pub(super) fn queue(number: super::types::repliq_queue) -> Queue {
    Queue::from_number(number)
}

/// The messages handed out last: what the views of the caller look into.
#[derive(Default)]
pub(super) struct Views {
    received: Vec<Received>,
    headers: Vec<repliq_header>,
}

// SAFETY: the pointers of `headers` lead into the buffers of `received`, which travel with them.
unsafe impl Send for Views {}

impl Views {
    pub(super) fn new(received: Vec<Received>) -> Views {
        let count = received.iter().map(|message| message.headers().count()).sum();
        let mut headers = Vec::with_capacity(count);
        for (name, value) in received.iter().flat_map(Received::headers) {
            headers.push(repliq_header { name: view(name.as_bytes()), value: view(value) });
        }
        Views { received, headers }
    }

    /// The messages as C sees them.
    pub(super) fn messages(&self) -> impl Iterator<Item = repliq_message> {
        let mut rest = &self.headers[..];
        self.received.iter().map(move |message| {
            let (own, others) = rest.split_at(message.headers().count());
            rest = others;
            repliq_message {
                payload: view(message.payload()),
                key: view(message.key()),
                headers: if own.is_empty() { std::ptr::null() } else { own.as_ptr() },
                header_count: own.len(),
                producer: view(message.producer().as_bytes()),
                producer_sequence: message.producer_sequence(),
                expires_ms: message.expires_ms(),
                deliver_at_ms: message.deliver_at_ms(),
                kind: message.kind(),
                priority: message.priority(),
                reserved: [0; 5],
                sequence: message.sequence(),
                committed_ms: message.committed_ms(),
                queue: message.queue().number(),
                deliveries: message.deliveries(),
            }
        })
    }

    /// Hands the messages out.
    pub(super) fn put(&self, out: OutArray<repliq_message>) -> usize {
        out.put(self.messages())
    }
}

fn view(bytes: &[u8]) -> repliq_bytes {
    repliq_bytes { data: bytes.as_ptr().cast::<c_void>(), len: bytes.len() }
}
