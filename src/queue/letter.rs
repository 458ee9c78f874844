//! Dead letters: a message that was given up, as it stands in another queue, with why, how often, when and from where.
//!
//! | header | value |
//! |---|---|
//! | `repliq-reason` | why the last try failed |
//! | `repliq-failures` | how often it was tried |
//! | `repliq-origin` | number of its queue, `/`, its sequence there |
//! | `repliq-consumer` | the consumer that gave it up |
//! | `repliq-after` | what the rest of its key does: `skip`, `block` or `park`; only where keys are worked on in order |
//! | `repliq-first-ms`, `repliq-last-ms` | when it was first given out, as far as that was noted, and when it was given up |
//!
//! Its origin is its place in its queue, also where it was put back once and given up again. Payload, kind, key and headers are its own; times are milliseconds since 1970 UTC. A letter does not expire, and one of a
//! message that did has as its reason that it expired; that is not counted as a try.

use super::{Header, Message, Received};
use crate::error::Result;
use crate::limits;
use crate::store::Hold;

/// Why and when a message was given up.
pub struct Death<'a> {
    /// Why the last try failed.
    pub reason: &'a str,
    /// How often it was tried.
    pub failures: u32,
    /// Who gave it up.
    pub consumer: &'a str,
    /// Its place in its queue.
    pub place: u64,
    /// What the rest of its key does, where keys are worked on in order.
    pub after: Option<Hold>,
    /// When it was first given out; 0 where nobody noted it.
    pub first_ms: u64,
    /// When it was given up.
    pub last_ms: u64,
}

/// Calls with the letter of a message. Where its own headers leave no room for the others, these are the smaller loss, and
/// it is called again without them.
pub fn with_letter<T>(
    of: &Received,
    death: &Death<'_>,
    mut put: impl FnMut(&Message<'_>) -> Result<T>,
) -> Result<T> {
    let reason: String = death.reason.chars().take(limits::REASON_CHARS_MAX).collect();
    let origin = format!("{}/{}", of.queue().number(), death.place);
    let failures = death.failures.to_string();
    let numbers = [("repliq-first-ms", death.first_ms), ("repliq-last-ms", death.last_ms)];
    let numbers = numbers.map(|(name, number)| (name, number.to_string()));
    let own: Vec<Header<'_>> = of.headers().collect();
    let mut headers = own.clone();
    headers.push(("repliq-reason", reason.as_bytes()));
    headers.push(("repliq-failures", failures.as_bytes()));
    headers.push(("repliq-origin", origin.as_bytes()));
    headers.push(("repliq-consumer", death.consumer.as_bytes()));
    headers.extend(death.after.map(|hold| ("repliq-after", hold.word().as_bytes())));
    headers.extend(numbers.iter().map(|(name, number)| (*name, number.as_bytes())));
    let letter = Message {
        kind: of.kind(),
        key: of.key(),
        headers: &headers,
        payload: of.payload(),
        ..Message::default()
    };
    let plain = Message { headers: &own, ..letter };
    put(if letter.check().is_ok() { &letter } else { &plain })
}
