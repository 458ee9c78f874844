//! What a stream from another store meets here: the receiver of `replicate`, and the rights of its user.

use super::users::{User, Verb};
use crate::replicate::Receiver;
use crate::session::Store;
use crate::wire::{Machine, Waker};
use std::sync::Arc;

/// The machine that takes the stream of this user.
pub fn receiver(store: &Store, name: &str, user: &Arc<User>, waker: Waker) -> Box<dyn Machine> {
    let user = user.clone();
    let rights = Box::new(move |queue: &str| user.may(Verb::Replicate, queue));
    Box::new(Receiver::new(store.core().clone(), name, rights, waker))
}
