//! Which messages of a queue a target gets.

use crate::error::{Code, Error, Result};
use crate::journal::{Body, headers};
use crate::limits;

/// A selection: a message is meant for the target when every part that is given fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Only messages of one of these kinds; empty = all.
    pub kinds: Vec<u16>,
    /// Only messages whose key begins so.
    pub key_prefix: Option<Vec<u8>>,
    /// Only messages that have a header of this name, and, if given, of this value.
    pub header: Option<(String, Option<String>)>,
}

impl Select {
    /// Whether it selects everything.
    pub fn is_all(&self) -> bool {
        self.kinds.is_empty() && self.key_prefix.is_none() && self.header.is_none()
    }

    /// Fails when a part is longer than what a message can have.
    pub(crate) fn check(&self) -> Result<()> {
        let key = self.key_prefix.as_ref().map_or(0, Vec::len);
        let name = self.header.as_ref().map_or(1, |(name, _)| name.len());
        if key > limits::KEY_BYTES_MAX || name > 255 || name == 0 {
            let text = "a selection names a key or a header that no message can have";
            return Err(Error::new(Code::Invalid, text));
        }
        Ok(())
    }

    /// Whether a message with this body is selected; one that cannot be read is, so that it is met.
    pub(crate) fn takes(&self, body: &[u8]) -> bool {
        if self.is_all() {
            return true;
        }
        let Some(body) = Body::decode(body) else { return true };
        let kind = self.kinds.is_empty() || self.kinds.contains(&body.front.kind);
        let key = self.key_prefix.as_ref().is_none_or(|prefix| body.key.starts_with(prefix));
        kind && key && self.header.as_ref().is_none_or(|wanted| has_header(body.headers, wanted))
    }
}

fn has_header(encoded: &[u8], (name, value): &(String, Option<String>)) -> bool {
    headers(encoded).any(|(known, has)| {
        known == name.as_bytes() && value.as_ref().is_none_or(|value| has == value.as_bytes())
    })
}
