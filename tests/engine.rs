//! The engine under damage, crashes, faults and chance, on the model disk.
//!
//! | file | owns |
//! |---|---|
//! | `oracle` | what a client was told, and whether a store may be what it is |
//! | `work` | the workloads the tiers have in common |
//! | `beneath` | bytes that change beneath an open store |
//! | `backup` | backups of stores that go on, restores, and stops of both |
//! | `chance` | T2, T3 and T4 by chance, from seeds |
//! | `damage` | T2: every truncation, and flipped bits of every byte |
//! | `crash` | T3: a stop at every operation, a cut of every kind |
//! | `evacuate` | messages that were moved out of nearly dead segments |
//! | `fault` | T4: every disk call fails |
//! | `forged` | changed records with right checksums |
//! | `large` | messages larger than the segments of their store |
//! | `looks` | who only looks, beside who writes |
//! | `horizon` | what others see, by the horizon of the store |
//! | `others` | what becomes of others' transactions is no outcome of one's own |
//! | `newer` | records of a newer version, refused by name or passed over |
//! | `model` | T1: random operations against a model in memory |
//! | `runs` | T2, T3 and T4 for state runs and what they are merged into |
//! | `shipped` | T2 and T3 for the two ends of a stream |
//! | `rare` | stores that hold the records nobody sees every day |
//! | `quota` | the quota, and a disk that is full |
//! | `reclaim` | what a look for dead segments costs |
//! | `repair` | what is left of a damaged store is sound again |
//! | `staged` | transactions that outgrow memory |
//! | `open` | what an open costs, who may open what |
//! | `versions` | T2, T3 and T4 for the versions of keys that consumers have processed |
//!
//! Everything here is harness; nothing of it is shipped. Every random test prints its seed, every tier prints
//! how many cases it ran and fails below its minimum.

#![allow(clippy::unwrap_used)]

#[path = "engine/backup.rs"]
mod backup;
#[path = "engine/beneath.rs"]
mod beneath;
#[path = "engine/chance.rs"]
mod chance;
#[path = "engine/crash.rs"]
mod crash;
#[path = "engine/damage.rs"]
mod damage;
#[path = "engine/evacuate.rs"]
mod evacuate;
#[path = "engine/fault.rs"]
mod fault;
#[path = "engine/forged.rs"]
mod forged;
#[path = "engine/horizon.rs"]
mod horizon;
#[path = "engine/large.rs"]
mod large;
#[path = "engine/lives.rs"]
mod lives;
#[path = "engine/looks.rs"]
mod looks;
#[path = "engine/model.rs"]
mod model;
#[path = "engine/newer.rs"]
mod newer;
#[path = "engine/open.rs"]
mod open;
#[path = "engine/oracle.rs"]
mod oracle;
#[path = "engine/others.rs"]
mod others;
#[path = "engine/quota.rs"]
mod quota;
#[path = "engine/rare.rs"]
mod rare;
#[path = "engine/reclaim.rs"]
mod reclaim;
#[path = "engine/repair.rs"]
mod repair;
#[path = "engine/runs.rs"]
mod runs;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "engine/shipped.rs"]
mod shipped;
#[path = "engine/staged.rs"]
mod staged;
#[path = "engine/versions.rs"]
mod versions;
#[path = "engine/work.rs"]
mod work;
#[allow(dead_code)]
#[path = "replication/world.rs"]
mod world;

/// The stores of these tiers are plain; `tests/encryption.rs` runs them on encrypted twins.
fn password() -> Option<repliq::Password> {
    None
}

/// `tests/window.rs` runs these tiers on stores whose tail is mapped.
const LEVEL: repliq::Level = repliq::Level::Power;

/// Every case is run here; the encrypted twins run every so many.
const SAMPLE: usize = 1;

/// Bytes of a segment in tests whose work must fit into so many of them.
const SEGMENT: u64 = 4096;
