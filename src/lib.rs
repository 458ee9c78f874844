//! repliq
pub mod disk;
pub mod error;
mod journal;
pub mod limits;
mod position;
mod sync;
