//! Who keeps segments from being given back, and since when.
//!
//! A sealed segment stays for a consumer that has not acknowledged all of a queue's messages in it, for a queue
//! nobody consumes yet, for a target that has not confirmed all transactions up to its last, and after that for a
//! while, for targets that go back. It counts in full for each of them, and so do the files of a staged transaction. The growing segment stays anyway and
//! counts for nobody.

use super::{Core, State};
use crate::error::Result;
use crate::journal::{SealedSegment, Stretch};
use std::collections::{BTreeMap, BTreeSet};

/// What keeps a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PinKind {
    /// A consumer that has not acknowledged everything.
    Consumer,
    /// A queue without consumers and targets.
    Queue,
    /// A target that has not confirmed everything.
    Target,
    /// `keep_ms` and `keep_bytes`, for targets that go back, and what the next open reads.
    Keep,
}

impl PinKind {
    /// The kind as metrics and the status spell it.
    pub fn name(self) -> &'static str {
        match self {
            PinKind::Consumer => "consumer",
            PinKind::Queue => "queue",
            PinKind::Target => "target",
            PinKind::Keep => "keep",
        }
    }
}

/// Who keeps how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What it is.
    pub kind: PinKind,
    /// Name of the queue, or of a target's root; empty for [`PinKind::Keep`].
    pub queue: String,
    /// Name of the consumer or target; empty otherwise.
    pub name: String,
    /// Segments it keeps.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// When the oldest of them was begun, milliseconds since 1970 UTC.
    pub since_ms: u64,
}

type Found = BTreeMap<(PinKind, String, String), Pin>;

impl Core {
    /// Who keeps segments, by kind, queue and name. Reads the index of segments that are not remembered; one that
    /// cannot be read counts for nobody.
    pub fn pins(&self) -> Result<Vec<Pin>> {
        self.check_open()?;
        let mut found = Found::new();
        self.journal.tell_contents(&mut |segment, stretches| {
            self.look(|state| pinned(state, segment, stretches, &mut found));
        });
        for (segment, stretches) in self.journal.adopted_segments() {
            self.look(|state| pinned(state, &segment, &stretches, &mut found));
        }
        Ok(found.into_values().collect())
    }
}

/// Notes everybody who keeps a segment.
fn pinned(state: &State, segment: &SealedSegment, stretches: &[Stretch], found: &mut Found) {
    // A queue may have several stretches in one segment.
    let mut told = BTreeSet::new();
    let mut by = |kind: PinKind, queue: &str, name: &str| {
        let key = (kind, queue.to_string(), name.to_string());
        if !told.insert(key.clone()) {
            return;
        }
        let pin = found.entry(key).or_insert_with(|| Pin {
            kind,
            queue: queue.into(),
            name: name.into(),
            segments: 0,
            bytes: 0,
            since_ms: segment.began_ms,
        });
        pin.segments += 1;
        pin.bytes += segment.length;
    };
    let mut kept = false;
    for stretch in stretches {
        let Ok(queue) = state.queue(stretch.queue) else { continue };
        let first = stretch.first.max(queue.purged + 1);
        if first > stretch.last {
            continue;
        }
        if queue.consumers.is_empty() && queue.streams.is_empty() {
            by(PinKind::Queue, &queue.name, "");
            kept = true;
        }
        for (name, acked) in &queue.consumers {
            if acked.last_missing(first, stretch.last).is_some() {
                by(PinKind::Consumer, &queue.name, name);
                kept = true;
            }
        }
    }
    for (number, name, stream) in state.streams() {
        if stream.cursor.sequence < segment.last {
            by(PinKind::Target, state.queue(number).map_or("", |queue| &queue.name), name);
            kept = true;
        }
    }
    if !kept {
        by(PinKind::Keep, "", "");
    }
}
