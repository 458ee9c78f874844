//! What is known of the targets a store's queues are replicated to.

use super::Core;
use crate::error::{Code, Error, Result};
use serde_json::Value;

impl Core {
    /// Fails when no queue is replicated to a target of this name; `*` is any.
    pub fn check_target(&self, name: &str) -> Result<()> {
        let text = format!("{} has no target {name:?}", self.describe());
        Err(Error::new(Code::NoSuchName, text))
    }

    /// Whether everything a transaction has for this target, or for all (`*`), is stored there durably.
    pub fn confirmed(&self, name: &str, _transaction: u64) -> Result<bool> {
        self.check_target(name)?;
        Ok(false)
    }

    /// The targets for the status.
    pub fn targets(&self) -> Vec<Value> {
        Vec::new()
    }
}
