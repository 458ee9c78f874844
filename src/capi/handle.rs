//! Tickets: what the pointer types of the header hold in place of an address.
//!
//! ```text
//!     bits   63..32       31..8   7..1   0
//!          generation     slot    kind   1
//! ```
//!
//! A slot holds one object at a time and counts who is inside:
//!
//! ```text
//!     bits   63..32       31..24   23        22        21..0
//!          generation     kind     closing   poisoned  threads inside
//! ```
//!
//! Entering adds one to the word and then looks at what it was: a ticket of another generation or kind, or a
//! slot that is closing, sends the caller back out, so the object is only ever touched by those who found it
//! open after they were counted. Closing sets its bit, which lets nobody in any more, wakes those inside, waits
//! until they have left and takes the object; the next generation begins with the next object. A slot starts
//! out closing, so a ticket made up from nothing finds no object either.
//!
//! Promises: an object lives as long as somebody is inside; a ticket names one object for ever (2^32 objects a
//! slot); entering and leaving takes no lock. An odd ticket is never mistaken for the address of an object.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicPtr;

use crate::error::{Code, Error, Result};
use crate::limits::HANDLES_MAX;
use crate::sync::{AtomicU64, Condvar, Mutex, Ordering};

use super::boundary;

/// A pointer type of the header, and what stands behind it.
pub(super) trait Face {
    /// The object its tickets lead to.
    type Object: Send + Sync + 'static;
    /// Its number inside tickets: 1 to 127, each once.
    const KIND: u8;
    /// What error texts call it.
    const NAME: &'static str;
}

const CHUNK: usize = 256;
const CLOSING: u64 = 1 << 23;
const POISONED: u64 = 1 << 22;
const INSIDE: u64 = POISONED - 1;
const GENERATION: u64 = 1 << 32;

/// Alone in its cache lines, so that two handles used by two threads do not slow each other down.
#[repr(align(128))]
struct Slot {
    word: AtomicU64,
    object: AtomicPtr<()>,
}

struct Free {
    slots: Vec<usize>,
    used: usize,
}

static CHUNKS: [OnceLock<Box<[Slot]>>; HANDLES_MAX / CHUNK] =
    [const { OnceLock::new() }; HANDLES_MAX / CHUNK];
static FREE: Mutex<Free> = Mutex::new(Free { slots: Vec::new(), used: 0 });
/// Who closes waits here for those inside.
static LEAVING: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a ticket needs pointers of 64 bits");

struct Ticket {
    generation: u64,
    kind: u8,
    slot: usize,
}

impl Ticket {
    fn of<F: Face>(handle: *const F) -> Result<Ticket> {
        let bits = handle.addr() as u64;
        let ticket = Ticket {
            generation: bits >> 32,
            kind: (bits >> 1) as u8 & 0x7f,
            slot: (bits >> 8) as usize & 0xff_ffff,
        };
        if bits & 1 == 0 || ticket.kind != F::KIND {
            return Err(bad::<F>("is none"));
        }
        Ok(ticket)
    }

    fn handle<F: Face>(generation: u64, slot: usize) -> *mut F {
        let bits = generation << 32 | (slot as u64) << 8 | u64::from(F::KIND) << 1 | 1;
        ptr::without_provenance_mut(bits as usize)
    }

    fn is_open(&self, word: u64) -> bool {
        word >> 32 == self.generation
            && word >> 24 & 0xff == u64::from(self.kind)
            && word & CLOSING == 0
    }
}

fn bad<F: Face>(why: &str) -> Error {
    Error::new(Code::BadHandle, format!("the handle of a {} {why}", F::NAME))
}

fn poisoned<F: Face>() -> Error {
    let text = format!("an earlier call panicked inside this {}: close it", F::NAME);
    Error::new(Code::Panic, text)
}

fn slot(index: usize) -> Option<&'static Slot> {
    CHUNKS.get(index / CHUNK)?.get()?.get(index % CHUNK)
}

/// The right to use an object: it cannot go away before this does.
pub(super) struct Pin<F: Face> {
    slot: &'static Slot,
    face: PhantomData<*const F>,
}

/// Enters the object of a handle.
pub(super) fn pin<F: Face>(handle: *const F) -> Result<Pin<F>> {
    if handle.is_null() {
        return Err(Error::new(Code::Invalid, format!("the {} is NULL", F::NAME)));
    }
    let ticket = Ticket::of(handle)?;
    let slot = slot(ticket.slot).ok_or_else(|| bad::<F>("was never given out"))?;
    let word = slot.word.fetch_add(1, Ordering::Acquire);
    let pin = Pin { slot, face: PhantomData };
    if !ticket.is_open(word) {
        return Err(bad::<F>("is closed"));
    }
    if word & POISONED != 0 {
        return Err(poisoned::<F>());
    }
    boundary::entered();
    Ok(pin)
}

impl<F: Face> Deref for Pin<F> {
    type Target = F::Object;

    fn deref(&self) -> &F::Object {
        let object = self.slot.object.load(Ordering::Relaxed).cast::<F::Object>();
        // SAFETY: the slot held an object of this kind when this pin was counted, and closing waits for the
        // count before it takes the object away.
        unsafe { &*object }
    }
}

impl<F: Face> Drop for Pin<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the object holds may be half changed: nobody enters it again.
            self.slot.word.fetch_or(POISONED, Ordering::Relaxed);
        }
        leave(self.slot);
    }
}

fn leave(slot: &Slot) {
    let word = slot.word.fetch_sub(1, Ordering::Release);
    if word & CLOSING != 0 {
        let _guard = LEAVING.0.lock();
        LEAVING.1.notify_all();
    }
}

/// Puts an object behind a new handle.
pub(super) fn open<F: Face>(object: F::Object) -> Result<*mut F> {
    let index = {
        let mut free = FREE.lock();
        match free.slots.pop() {
            Some(index) => index,
            None if free.used == HANDLES_MAX => {
                let text = format!("{HANDLES_MAX} handles are open already");
                return Err(Error::new(Code::Quota, text));
            }
            None => {
                free.used += 1;
                free.used - 1
            }
        }
    };
    let chunk = CHUNKS[index / CHUNK].get_or_init(|| {
        let empty =
            || Slot { word: AtomicU64::new(CLOSING), object: AtomicPtr::new(ptr::null_mut()) };
        (0..CHUNK).map(|_| empty()).collect()
    });
    let slot = &chunk[index % CHUNK];
    slot.object.store(Box::into_raw(Box::new(object)).cast(), Ordering::Relaxed);
    // Threads with stale tickets may come and go meanwhile, so the count is left as it is.
    let began = slot.word.fetch_update(Ordering::Release, Ordering::Relaxed, |word| {
        let generation = (word >> 32) << 32;
        Some(generation | u64::from(F::KIND) << 24 | word & INSIDE)
    });
    let (Ok(word) | Err(word)) = began;
    Ok(Ticket::handle::<F>(word >> 32, index))
}

/// Takes the object away from its handle. `wake` is called when nobody can enter any more, to send those inside
/// out; the handle stays open when it fails.
pub(super) fn close<F: Face>(
    handle: *const F,
    wake: impl FnOnce(&F::Object) -> Result<()>,
) -> Result<Box<F::Object>> {
    let ticket = Ticket::of(handle)?;
    let slot = slot(ticket.slot).ok_or_else(|| bad::<F>("was never given out"))?;
    let shut = slot.word.fetch_update(Ordering::Acquire, Ordering::Acquire, |word| {
        // A thread inside that calls back and closes would wait for itself.
        let own = word & INSIDE != 0 && boundary::is_nested();
        (ticket.is_open(word) && !own).then_some((word | CLOSING) + 1)
    });
    match shut {
        Ok(_) => {}
        Err(word) if ticket.is_open(word) => {
            let text = format!("the {} is in use by the call that calls back", F::NAME);
            return Err(Error::new(Code::Busy, text));
        }
        Err(_) => return Err(bad::<F>("is closed")),
    }
    let own = Pin::<F> { slot, face: PhantomData };
    if let Err(error) = wake(&own) {
        slot.word.fetch_and(!CLOSING, Ordering::Release);
        return Err(error);
    }
    let mut guard = LEAVING.0.lock();
    while slot.word.load(Ordering::Acquire) & INSIDE > 1 {
        LEAVING.1.wait(&mut guard);
    }
    drop(guard);
    let object = slot.object.swap(ptr::null_mut(), Ordering::Relaxed).cast::<F::Object>();
    slot.word.fetch_add(GENERATION, Ordering::Relaxed);
    drop(own);
    FREE.lock().slots.push(ticket.slot);
    // SAFETY: it was made by `Box::new` in `open`, the swap took it once, and nobody is inside.
    Ok(unsafe { Box::from_raw(object) })
}
