//! Moving what is left alive out of nearly dead segments, so that one slow queue never pins a disk.
//!
//! In a queue that is consumed in order each segment is nearly dead for a while and then dead; what is in it is not
//! worth a copy. What waits in a queue without consumers stays where it is: a target that is added later gets whole
//! transactions. So messages are moved where several segments stay for little, and these are a good part of what
//! the store takes, or where room is needed now.

use super::Core;
use crate::error::{Code, Result};
use crate::journal::{Found, Judged};
use crate::limits;
use std::collections::BTreeMap;

/// Segments that must be nearly dead before any is given up.
const SEVERAL: usize = 4;
/// Without a helper nobody looks before there are so many segments.
pub(super) const WORTH_A_LOOK: usize = 2 * SEVERAL;
/// They are worth it when they have one in so many of all bytes.
const PART: u64 = 4;

/// Segments that had too many bytes alive, and in how many messages: they are not read again before that is less.
#[derive(Default)]
pub struct Tried(BTreeMap<u64, usize>);

impl Tried {
    /// Whether so much less is alive in a segment than when it was read that it may be little now.
    fn is_worth(&self, segment: &Judged, alive: usize) -> bool {
        self.0.get(&segment.number).is_none_or(|before| alive * 4 <= before * 3)
    }

    /// Forgets segments that are there no more.
    pub fn forget_before(&mut self, oldest: u64) {
        self.0 = self.0.split_off(&oldest);
    }
}

impl Core {
    /// Moves what is alive out of those of the segments in which it is little, and gives them back; returns how many
    /// went. With `needed` also where it is hardly worth it.
    pub(super) fn evacuate(
        &self,
        tried: &mut Tried,
        held: &[Judged],
        (now_ms, needed): (u64, bool),
    ) -> Result<usize> {
        if held.is_empty() || (!needed && held.len() < SEVERAL) {
            return Ok(0);
        }
        self.journal.forget_moved(&mut |queue, sequence| {
            self.look(|state| state.queue(queue).is_ok_and(|of| of.is_waited_for(sequence)))
        });
        let mut chosen = Vec::new();
        for segment in held {
            let most = limits::MOVED_FROM_SEGMENT;
            let keys = self.look(|state| state.all_alive(&segment.stretches, most));
            if let Some(keys) = keys.filter(|keys| needed || tried.is_worth(segment, keys.len())) {
                chosen.push((segment, keys));
            }
        }
        let bytes: u64 = chosen.iter().map(|(segment, _)| segment.length).sum();
        let all: u64 = self.journal.segments().iter().map(|(_, length)| length).sum();
        if !needed && (chosen.len() < SEVERAL || bytes * PART < all) {
            return Ok(0);
        }
        let part = if needed { limits::MOVED_PART_NEEDED } else { limits::MOVED_PART };
        if needed {
            // The emptiest give most; the next time there are others.
            chosen.sort_by_key(|(_, keys)| keys.len());
            chosen.truncate(SEVERAL);
        }
        // A segment is begun only for more than one.
        let (mut empty, may_roll) = (Vec::new(), chosen.len() > 1);
        for (segment, keys) in chosen {
            if self.journal.moved_messages() + keys.len() > limits::MOVED_MAX {
                break;
            }
            let Some(messages) = self.journal.few_of(segment, &keys, now_ms, part)? else {
                tried.0.insert(segment.number, keys.len());
                continue;
            };
            match self.take_to_tail(&messages, may_roll) {
                Ok(true) => empty.push(segment.number),
                Ok(false) => break,
                // What was moved so far gives room.
                Err(error) if error.code() == Code::NoSpace => break,
                Err(error) => return Err(error),
            }
        }
        if empty.is_empty() {
            return Ok(0);
        }
        // The copies must be durable before their segments go.
        self.journal.commit_all()?;
        self.journal.give_back(&empty)
    }

    /// Appends copies of these messages; where the tail is full, in another segment, if it may be begun.
    fn take_to_tail(&self, messages: &[Found], may_roll: bool) -> Result<bool> {
        if self.journal.move_to_tail(messages)? {
            return Ok(true);
        }
        if !may_roll {
            return Ok(false);
        }
        self.renew_run()?;
        self.journal.move_to_tail(messages)
    }
}
