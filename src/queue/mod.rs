//! Messages and who reads them.
//!
//! | file | owns |
//! |---|---|
//! | `message` | a message to be put: its fields, their bounds, its bytes |
//! | `received` | a message read back |
//! | `reader` | a durable reader of one queue: what it was given, what it acknowledged |
//! | `rules` | how a consumer's messages are given out |
//! | `feed` | what the readers of one name share: what they were given, what came back |
//! | `giving` | which messages come next, and which not yet |
//! | `end` | which were put to the end |
//! | `kept` | the bytes of what was read last |
//! | `version` | which were processed before |
//! | `conflate` | which are left out for a newer one of their key |
//! | `letter` | dead letters, as they stand in their queue |
//! | `dead` | moving messages there, and the rest of their keys |
//! | `held` | what prepared transactions hold |
//! | `lanes` | what waits, by priority, time and key |
//! | `lease` | who works on which message, and until when |

mod conflate;
mod dead;
mod end;
mod feed;
mod giving;
mod held;
mod kept;
mod lanes;
mod lease;
mod letter;
mod message;
mod reader;
mod received;
mod rules;
mod version;

pub use feed::Return;
pub use held::prepared_ended;
pub use letter::{Death, with_letter};
pub use message::{Batch, Header, Message};
pub use reader::{AtWork, From, Reader, consumed};
pub use received::{Headers, Received, visible};
pub use rules::Rules;

/// A queue of an open store: a value, resolved from its name once, never closed.
///
/// It belongs to the store it was asked of; another store answers NO_SUCH_NAME, or means another queue by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queue(u32);

impl Queue {
    /// The number the store gave to the queue: from 1, never used twice.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The queue with this number, as [`Queue::number`] told it; whether there is one is found out in use.
    pub fn from_number(number: u32) -> Queue {
        Queue(number)
    }
}
