//! The snapshots of one connection.
//!
//! Promises: who may not browse a queue sees nothing of it, whatever it is called now; a snapshot that nobody looks at
//! keeps no disk space for ever.

use crate::error::{Code, Error, Result};
use crate::limits;
use crate::session::{Snapshot, Store};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_millis(limits::SNAPSHOT_IDLE_MS);

/// The snapshots, by the numbers the server gave out.
#[derive(Default)]
pub struct Snapshots {
    held: BTreeMap<u32, Held>,
    last: u32,
}

struct Held {
    snapshot: Snapshot,
    used: Instant,
}

impl Snapshots {
    /// Takes one of the store as it is now.
    pub fn take(&mut self, store: &Store, now: Instant) -> Result<u32> {
        if self.held.len() >= limits::SNAPSHOTS_OF_CONNECTION_MAX {
            let count = limits::SNAPSHOTS_OF_CONNECTION_MAX;
            let text = format!("this connection has {count} snapshots open already");
            return Err(Error::new(Code::Quota, text));
        }
        let snapshot = store.snapshot()?;
        self.last = self.last.wrapping_add(1).max(1);
        self.held.insert(self.last, Held { snapshot, used: now });
        Ok(self.last)
    }

    /// The one of this number, which is looked at.
    pub fn of(&mut self, number: u32, now: Instant) -> Result<&Snapshot> {
        let held = self.held.get_mut(&number).ok_or_else(|| {
            let minutes = IDLE.as_secs() / 60;
            let text = format!(
                "snapshot {number} was closed, or nobody looked at it for {minutes} minutes"
            );
            Error::new(Code::Closed, text)
        })?;
        held.used = now;
        Ok(&held.snapshot)
    }

    /// Lets one go; one that is gone is no error.
    pub fn give_up(&mut self, number: u32) {
        self.held.remove(&number);
    }

    /// When the next one is given up that nobody looks at.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.values().map(|held| held.used + IDLE).min()
    }

    /// Lets those go that nobody looked at for too long.
    pub fn tidy(&mut self, now: Instant) {
        self.held.retain(|_, held| held.used + IDLE > now);
    }
}
