//! What prepared transactions hold of a consumer: nobody's, until they end.
//!
//! A message that is held has left its reader, so that nothing comes back when that is closed, and has its place: its key
//! stays busy, and it counts as one that is worked on. Which messages are held is the store's state; what stands here is
//! what came out of the lanes meanwhile, and goes back there after a roll back.
//!
//! Promises: what is held is given to nobody; after a roll back it comes again, before newer messages, as after that of a
//! session; after a commit its key goes on.
//! Relies on: every message being judged by the state when its turn comes, so that what did not come out of the lanes
//! needs nobody here.

use super::feed::{Feed, Return};
use super::lanes::Waiting;
use crate::store::{Core, Work};

impl Feed {
    /// The owner's messages are held from now on.
    pub fn hold(&self, owner: u64, sequences: &[u64]) {
        // A consumer that was deleted meanwhile has nothing.
        let _ = self.with(|place| {
            for sequence in sequences.iter().copied() {
                let one = if self.is_leased() {
                    // One whose time is over waits in a lane, and is judged there.
                    let Some(Some(one)) = place.leases.take(owner, sequence) else { continue };
                    one
                } else {
                    Waiting { sequence, key: 0, lane: self.lane_of(sequence) }
                };
                place.prepared.insert(sequence, one);
            }
            Ok(())
        });
    }

    /// What was held is acknowledged, durable from this journal offset on, or comes again.
    fn let_go(&self, sequences: impl Iterator<Item = u64>, committed: Option<u64>) {
        let note = self.with(|place| {
            let mut moved = Vec::new();
            for sequence in sequences {
                let Some(one) = place.prepared.remove(&sequence) else { continue };
                match committed {
                    Some(end) => {
                        place.end(&[sequence]);
                        place.leases.end_key(one.key, end);
                    }
                    None => {
                        moved.extend(self.come_back(place, one, Return::because("rolled back")))
                    }
                }
            }
            Ok(self.note_return(place, &moved))
        });
        if let Ok(Some(note)) = note {
            // Should that fail, who reads on is told of it.
            let _ = self.settle_note(&note, false);
        }
        self.core.journal().announce();
    }
}

/// A prepared transaction ended: tells those who read what it held.
pub fn prepared_ended(core: &Core, work: &Work, committed: bool) {
    for (queue, consumer, runs) in work.held() {
        let Some((shared, _)) = core.open_readers(queue, &consumer) else { continue };
        let Some(feed) = shared.downcast_ref::<Feed>() else { continue };
        let end = committed.then(|| core.journal().appended());
        feed.let_go(runs.into_iter().flat_map(|(first, last)| first..=last), end);
    }
}
