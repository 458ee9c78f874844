//! What is known of the targets a store's queues are replicated to.

use super::Core;
use crate::error::Result;
use serde_json::Value;

impl Core {
    /// Fails when no queue is replicated to a target of this name; `*` is any.
    pub fn check_target(&self, name: &str) -> Result<()> {
        self.confirmed_by(name).map(|_| ())
    }

    /// Whether everything a transaction has for this target, or for all (`*`), is stored there durably.
    pub fn confirmed(&self, name: &str, transaction: u64) -> Result<bool> {
        Ok(self.confirmed_by(name)? >= transaction)
    }

    /// The targets for the status.
    pub fn targets(&self) -> Vec<Value> {
        Vec::new()
    }
}
