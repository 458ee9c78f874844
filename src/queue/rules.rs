//! How a consumer's messages are given out: what its options say.

use super::Queue;
use crate::error::{Code, Error, Result};
use crate::store::Hold;

/// How a consumer's messages are given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether several readers of the name may be open at once.
    pub shared: bool,
    /// Messages that may be out at a time, over all readers; 0 = no bound.
    pub parallel: u32,
    /// Whether messages of one key are given out one after the other.
    pub keyed: bool,
    /// Messages of one key that one receive may give out together; 0 = 1.
    pub per_key: u32,
    /// Whether of the messages of one key that wait the newest is given out alone, and those before it never.
    pub conflate: bool,
    /// Whether messages say the versions of their keys, and one that was processed before is left out.
    pub key_versions: bool,
    /// Milliseconds after which a message that is out may be given to somebody else; 0 = never.
    pub lease_ms: u64,
    /// Milliseconds before a message that came back is given out again; 0 = at once.
    pub retry_delay_ms: u64,
    /// What that is multiplied by with each further time; 0 and 1 = it stays the same.
    pub retry_multiplier: u32,
    /// Milliseconds it grows to at most; 0 = no bound.
    pub retry_delay_ms_max: u64,
    /// How often a message is given out at most; one that comes back from the last time moves to `dead_letters`. 0 = any
    /// number of times.
    pub max_deliveries: u32,
    /// The queue it moves to, with why, how often, when and from where.
    pub dead_letters: Option<Queue>,
    /// What the rest of its key does then.
    pub after_dead_letter: Hold,
}

impl Rules {
    /// Fails when they say nothing that can be.
    pub fn check(&self) -> Result<()> {
        let refused = |text: &str| Err(Error::new(Code::Invalid, text));
        if self.parallel > 0 && !self.shared {
            return refused(
                "parallel bounds what readers that share a consumer work on: it needs shared",
            );
        }
        if self.per_key > 1 && !self.keyed {
            return refused("per_key bounds the messages of one key: it needs keyed");
        }
        if self.conflate && (!self.keyed || self.per_key > 1) {
            return refused(
                "conflate leaves the newest message of a key: it needs keyed, and no per_key",
            );
        }
        if self.key_versions && (!self.keyed || self.per_key > 1) {
            return refused(
                "key_versions tells what was processed of a key: it needs keyed, and no per_key",
            );
        }
        if self.lease_ms > 0 && !(self.shared || self.keyed) {
            return refused(
                "lease_ms says when another worker may have a message: it needs shared or keyed",
            );
        }
        if self.retry_delay_ms == 0 && (self.retry_multiplier > 0 || self.retry_delay_ms_max > 0) {
            return refused(
                "retry_multiplier and retry_delay_ms_max need a retry_delay_ms to grow",
            );
        }
        if (self.max_deliveries > 0) != self.dead_letters.is_some() {
            return refused(
                "max_deliveries and dead_letters go together: after how many, and where to",
            );
        }
        if self.after_dead_letter != Hold::Skip && !(self.keyed && self.max_deliveries > 0) {
            return refused(
                "after_dead_letter says what the rest of a key does: it needs keyed and max_deliveries",
            );
        }
        Ok(())
    }

    /// Whether a message that was given out so many times is given out no more.
    pub fn is_last(&self, deliveries: u32) -> bool {
        self.max_deliveries > 0 && deliveries >= self.max_deliveries
    }

    /// Milliseconds before the next try of a message that was given out so many times.
    pub fn retry_delay(&self, deliveries: u32) -> u64 {
        if self.is_last(deliveries) {
            // Nothing is tried any more.
            return 0;
        }
        let most = if self.retry_delay_ms_max == 0 { u64::MAX } else { self.retry_delay_ms_max };
        let mut delay = self.retry_delay_ms;
        if self.retry_multiplier > 1 {
            for _ in 1..deliveries {
                if delay >= most {
                    break;
                }
                delay = delay.saturating_mul(u64::from(self.retry_multiplier));
            }
        }
        delay.min(most)
    }
}
