//! What a stream from another store meets here: the receiver of `replicate`, and the rights of its user.

use super::AUDIT;
use super::table::Seat;
use super::users::{User, Verb};
use crate::error::Result;
use crate::position::GroupId;
use crate::replicate::Receiver;
use crate::session::Store;
use crate::wire::{Machine, Waker};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// The stream of one connection.
pub struct Stream {
    receiver: Receiver,
    seat: Arc<Seat>,
    told: bool,
}

impl Stream {
    /// Takes the stream of this user.
    pub fn new(
        store: &Store,
        name: &str,
        user: &Arc<User>,
        seat: Arc<Seat>,
        waker: Waker,
    ) -> Stream {
        let (user, who) = (user.clone(), name.to_string());
        let rights = Box::new(move |queue: &str| {
            let allowed = user.may(Verb::Replicate, queue);
            if !allowed {
                log::warn!(target: AUDIT, "{who:?} was denied to replicate into {queue:?}");
            }
            allowed
        });
        let receiver = Receiver::new(store.core().clone(), name, rights, waker);
        Stream { receiver, seat, told: false }
    }
}

impl Machine for Stream {
    fn on_frame(&mut self, kind: u8, body: &[u8], now: Instant) -> Result<()> {
        self.receiver.on_frame(kind, body, now)?;
        if !self.told
            && let Some((root, queue, target)) = self.receiver.describe()
        {
            self.told = true;
            self.seat.brings(json!({ "root": root, "queue": queue, "target": target }));
        }
        Ok(())
    }

    fn next_frame(&mut self, now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        self.receiver.next_frame(now, body)
    }

    fn deadline(&self) -> Option<Instant> {
        self.receiver.deadline()
    }
}

/// Every stream this store has received, connected or not, for the status.
pub fn status(store: &Store) -> Value {
    store.core().look(|state| {
        let rows = state.received.iter().map(|(id, row)| {
            json!({
                "stream": format!("{:016x}", id.id),
                "group": GroupId::from_bytes(id.group).to_string(),
                "user": row.user,
                "target": row.target,
                "queue": state.queue(row.queue).map(|queue| queue.name.clone()).ok(),
                "position": row.stamp.map(|stamp| {
                    json!({ "epoch": stamp.epoch, "sequence": stamp.sequence })
                }),
                "orphans": row.orphans,
                "gaps": row.gaps,
                "skipped": row.skipped,
            })
        });
        rows.collect()
    })
}
