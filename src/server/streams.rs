//! What a stream from another store meets here.

use super::users::User;
use crate::error::{Code, Error, Result};
use crate::session::Store;
use crate::wire::{Machine, Waker};
use std::sync::Arc;

/// The machine that takes the stream of this user.
pub fn receiver(
    _store: Store,
    _name: &str,
    _user: &Arc<User>,
    _waker: Waker,
) -> Result<Box<dyn Machine>> {
    Err(Error::new(Code::Unsupported, "this server does not take streams"))
}
