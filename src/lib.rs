//! repliq
pub mod disk;
pub mod error;
mod journal;
pub mod limits;
mod position;
mod store;
mod sync;
