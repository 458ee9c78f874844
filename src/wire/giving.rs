//! How a consumer at a server gives out its messages: what its options say, on the wire. All integers are little-endian.
//!
//! ```text
//! offset  size  giving
//!      0     1  flags: 1 shared, 2 keyed, and of 4 and 8 at most one: behind a dead letter the rest of its key waits (4), or
//!               becomes dead letters, too (8); 16 conflate, 32 versions of keys
//!      1     4  messages of all workers at a time
//!      5     4  messages of a key at a time
//!      9     8  lease in ms
//!     17     8  retry delay in ms
//!     25     4  what multiplies it with each further time
//!     29     8  what it grows to at most, in ms
//!     37     4  how often a message is given out at most
//!     41     4  number of the queue of dead letters
//! ```
//!
//! Zeros mean what they mean in the options of a consumer; for the queue, that there is none.

use super::request::Rest;
use crate::error::{Code, Error, Result};
use crate::store::Hold;

const SHARED: u8 = 1;
const KEYED: u8 = 2;
const BLOCK: u8 = 4;
const PARK: u8 = 8;
const CONFLATE: u8 = 16;
const KEY_VERSIONS: u8 = 32;

/// How a consumer gives out its messages: the rules of its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Giving {
    /// Whether several may be open under its name.
    pub shared: bool,
    /// Whether messages of one key come one after the other.
    pub keyed: bool,
    /// Messages out at a time, over all workers.
    pub parallel: u32,
    /// Messages of a key that come together.
    pub per_key: u32,
    /// Whether of the messages of a key that wait the newest comes alone.
    pub conflate: bool,
    /// Whether what was processed of a key before is left out.
    pub key_versions: bool,
    /// Milliseconds after which another may have a message.
    pub lease_ms: u64,
    /// Milliseconds before the next try.
    pub retry_delay_ms: u64,
    /// What multiplies that with each.
    pub retry_multiplier: u32,
    /// Milliseconds it grows to at most.
    pub retry_delay_ms_max: u64,
    /// How often a message is given out at most.
    pub max_deliveries: u32,
    /// Number of the queue it moves to then, or 0.
    pub dead_letters: u32,
    /// What the rest of its key does then.
    pub after_dead_letter: Hold,
}

impl Giving {
    /// Appends the bytes.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let hold = [0, BLOCK, PARK][self.after_dead_letter as usize];
        let kinds = [
            (self.shared, SHARED),
            (self.keyed, KEYED),
            (self.conflate, CONFLATE),
            (self.key_versions, KEY_VERSIONS),
        ];
        let flags = kinds.iter().filter(|(on, _)| *on).map(|(_, flag)| *flag);
        out.push(flags.sum::<u8>() + hold);
        out.extend_from_slice(&self.parallel.to_le_bytes());
        out.extend_from_slice(&self.per_key.to_le_bytes());
        out.extend_from_slice(&self.lease_ms.to_le_bytes());
        out.extend_from_slice(&self.retry_delay_ms.to_le_bytes());
        out.extend_from_slice(&self.retry_multiplier.to_le_bytes());
        out.extend_from_slice(&self.retry_delay_ms_max.to_le_bytes());
        out.extend_from_slice(&self.max_deliveries.to_le_bytes());
        out.extend_from_slice(&self.dead_letters.to_le_bytes());
    }

    /// Takes them from what arrived.
    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Giving> {
        let flags = rest.byte()?;
        let after_dead_letter = match flags & !(SHARED | KEYED | CONFLATE | KEY_VERSIONS) {
            0 => Hold::Skip,
            BLOCK => Hold::Block,
            PARK => Hold::Park,
            _ => {
                let text =
                    format!("a consumer with the flags {flags}, of which this version lacks some");
                return Err(Error::new(Code::Unsupported, text));
            }
        };
        Ok(Giving {
            shared: flags & SHARED != 0,
            keyed: flags & KEYED != 0,
            parallel: rest.word()?,
            per_key: rest.word()?,
            conflate: flags & CONFLATE != 0,
            key_versions: flags & KEY_VERSIONS != 0,
            lease_ms: rest.long()?,
            retry_delay_ms: rest.long()?,
            retry_multiplier: rest.word()?,
            retry_delay_ms_max: rest.long()?,
            max_deliveries: rest.word()?,
            dead_letters: rest.word()?,
            after_dead_letter,
        })
    }
}
