//! One root queue, replicated to many servers: the two sides of a stream and the face that drives them.
//!
//! | file | owns |
//! |---|---|
//! | `handshake` | where a stream goes on, or why it does not |
//! | `sender` | the sending side, as a state machine |
//! | `receiver` | the receiving side, as a state machine |
//! | `large` | staged transactions on their way |
//! | `select` | which messages a target gets |
//! | `target` | a target's state, and what an operator said about it |
//! | `replication` | the public face, which gives each target its link |

mod handshake;
mod large;
mod receiver;
mod replication;
mod select;
mod sender;
mod target;

pub use receiver::{Receiver, Rights};
pub(crate) use replication::planned;
pub use replication::{Replication, ReplicationOptions, TargetOptions};
pub use select::Select;
pub use sender::Sender;
pub use target::{Target, TargetStatus};

use crate::error::Result;
use crate::queue::Queue;
use crate::session::Store;
use crate::store::Begin;
use crate::wire::{Machine, Waker};
use std::sync::Arc;

/// A target of a root queue and the sending side of its stream, for whoever drives it by hand.
#[doc(hidden)]
pub fn sender(
    store: &Store,
    root: Queue,
    target: Target,
    waker: Waker,
) -> Result<(Arc<Target>, Sender)> {
    store.inside()?.stream_open(root.number(), &target.name, &target.url, Begin::Oldest)?;
    let target = Arc::new(target);
    let sender = Sender::new(store.core().clone(), target.clone(), waker)?;
    Ok((target, sender))
}

/// The sending side of a stream that was opened before.
#[doc(hidden)]
pub fn sender_of(
    store: &Store,
    target: Arc<Target>,
    waker: Waker,
) -> Result<(Arc<Target>, Sender)> {
    let sender = Sender::new(store.core().clone(), target.clone(), waker)?;
    Ok((target, sender))
}

/// The receiving side of a stream, for whoever drives it by hand.
#[doc(hidden)]
pub fn receiver(store: &Store, user: &str, rights: Rights, waker: Waker) -> Box<dyn Machine> {
    Box::new(Receiver::new(store.core().clone(), user, rights, waker))
}

/// What this store has received by streams: name of the target as the sender calls it, position, orphans, gaps
/// and transactions set aside.
#[doc(hidden)]
pub fn received(store: &Store) -> Vec<(String, u64, [u64; 3])> {
    store.core().look(|state| {
        let rows = state.received.values();
        rows.map(|row| {
            let sequence = row.stamp.map_or(0, |stamp| stamp.sequence);
            (row.target.clone(), sequence, [row.orphans, row.gaps, row.skipped])
        })
        .collect()
    })
}
