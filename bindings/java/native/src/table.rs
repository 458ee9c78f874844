//! The table of handles: a number of Java on its way to what it stands for.
//!
//! ```text
//! number:  generation (high 32 bits)  slot (low 32 bits)
//! ```
//!
//! Promises: a number that was never given out, or whose object is gone, is refused and nothing of it is touched; 0 is
//! never given out; a slot that was used 2^31 times is not used again, so no number ever comes back.
//! Relies on: `Handle.java`, which frees nothing while a call with its number is inside; so a look costs three loads
//! and no counting, which Java has done already.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::object::Object;

/// Slots are made so many at a time, and never unmade.
const CHUNK: usize = 1024;
/// With this many chunks there is room for a million handles.
const CHUNKS: usize = 1024;

struct Slot {
    /// Odd while something is in it.
    generation: AtomicU32,
    at: AtomicPtr<Object>,
}

static SLOTS: [OnceLock<Box<[Slot]>>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];
static FREE: Mutex<Free> = Mutex::new(Free { made: 0, given_back: Vec::new() });

struct Free {
    /// Slots in use since the beginning.
    made: u32,
    given_back: Vec<u32>,
}

fn slot(number: u64) -> Option<(&'static Slot, u32)> {
    let (index, generation) = (number as u32 as usize, (number >> 32) as u32);
    let slot = SLOTS.get(index / CHUNK)?.get()?.get(index % CHUNK)?;
    (generation % 2 == 1).then_some((slot, generation))
}

/// Gives it a number; `None`, and the object is ended, where there is no slot left.
pub fn insert(object: Object) -> Option<u64> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let index = match free.given_back.pop() {
        Some(index) => index,
        None if free.made as usize == CHUNK * CHUNKS => return None,
        None => {
            free.made += 1;
            free.made - 1
        }
    };
    drop(free);
    let make = || Slot { generation: AtomicU32::new(0), at: AtomicPtr::default() };
    let chunk = SLOTS[index as usize / CHUNK].get_or_init(|| (0..CHUNK).map(|_| make()).collect());
    let slot = &chunk[index as usize % CHUNK];
    slot.at.store(Box::into_raw(Box::new(object)), Ordering::Relaxed);
    // Whoever reads this generation reads the pointer, too.
    let generation = slot.generation.fetch_add(1, Ordering::Release) + 1;
    Some(u64::from(generation) << 32 | u64::from(index))
}

/// What has this number.
pub fn get<'call>(number: u64) -> Option<&'call Object> {
    let (slot, generation) = slot(number)?;
    if slot.generation.load(Ordering::Acquire) != generation {
        return None;
    }
    // SAFETY: a slot of an odd generation holds what `insert` made; `Handle.java` lets nobody take it during this call.
    unsafe { slot.at.load(Ordering::Relaxed).as_ref() }
}

/// Takes what has this number out of the table.
pub fn take(number: u64) -> Option<Object> {
    let (slot, generation) = slot(number)?;
    let (was, next) = (generation, generation.wrapping_add(1));
    // Of two who take the same, one does.
    slot.generation.compare_exchange(was, next, Ordering::AcqRel, Ordering::Relaxed).ok()?;
    let at = slot.at.swap(std::ptr::null_mut(), Ordering::Relaxed);
    if next < 1 << 31 {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).given_back.push(number as u32);
    }
    // SAFETY: `insert` made it, and the change of the generation was this call's alone; no other call is inside.
    (!at.is_null()).then(|| *unsafe { Box::from_raw(at) })
}
