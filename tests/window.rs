//! The tiers of the engine on stores whose level is `process`: what is put is stored through a mapped window, and
//! what others say of the same bytes holds all the same. `window/way` is about the window itself.

#![allow(clippy::unwrap_used)]

#[path = "engine/crash.rs"]
mod crash;
#[path = "engine/damage.rs"]
mod damage;
#[path = "engine/fault.rs"]
mod fault;
#[path = "engine/model.rs"]
mod model;
#[allow(dead_code)] // What only the tiers of backups need.
#[path = "engine/oracle.rs"]
mod oracle;
#[path = "engine/repair.rs"]
mod repair;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "window/way.rs"]
mod way;
#[path = "engine/work.rs"]
mod work;

/// An encrypted store is never mapped.
fn password() -> Option<repliq::Password> {
    None
}

/// The level of commits that do not name one.
const LEVEL: repliq::Level = repliq::Level::Process;

/// Of the many cases of the tiers, one in so many is run here.
const SAMPLE: usize = 5;

/// Bytes of a segment in tests whose work must fit into so many of them.
const SEGMENT: u64 = 4096;
