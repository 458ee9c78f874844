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
//!     bits   63..32       31..24   23        22        21      20..0
//!          generation     kind     closing   poisoned  alone   threads inside
//! ```
//!
//! Entering adds one to the word and then looks at what it was: a ticket of another generation or kind, or a
//! slot that is closing, sends the caller back out, so the object is only ever touched by those who found it
//! open after they were counted. Closing sets its bit, which lets nobody in any more, wakes those inside, waits
//! until they have left and takes the object; the next generation begins with the next object. A slot starts
//! out closing, so a ticket made up from nothing finds no object either.
//!
//! An object for one thread at a time is entered with its bit and the count in one step, and only where the bit
//! was clear. While it is set the word is that thread's alone, which therefore leaves with a plain store: half
//! the cost of a call. So that no stale ticket counts itself there meanwhile, a slot that once held an object for
//! one thread never holds one for many.
//!
//! A forked child inherits the counts and not the threads: who was inside at the fork never leaves there, so
//! closing such an object is refused, and takes no lock that another thread may have held.
//!
//! Promises: an object lives as long as somebody is inside; a ticket names one object for ever (2^32 objects a
//! slot); entering and leaving takes no lock. An odd ticket is never mistaken for the address of an object.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicPtr;

use crate::disk::Birth;
use crate::error::{Code, Error, Result};
use crate::limits::HANDLES_MAX;
use crate::sync::{AtomicU32, AtomicU64, Condvar, Mutex, Ordering, thread};

use super::boundary;

/// A pointer type of the header, and what stands behind it.
pub(super) trait Face {
    /// The object its tickets lead to.
    type Object: Send + Sync + 'static;
    /// Its number inside tickets: 1 to 127, each once.
    const KIND: u8;
    /// What error texts call it.
    const NAME: &'static str;
    /// Whether one thread at a time is inside; a second one is told so and does not wait.
    const ALONE: bool = false;
}

const CHUNK: usize = 256;
const CLOSING: u64 = 1 << 23;
const POISONED: u64 = 1 << 22;
const ALONE: u64 = 1 << 21;
const INSIDE: u64 = ALONE - 1;
const GENERATION: u64 = 1 << 32;

/// Alone in its cache lines, so that two handles used by two threads do not slow each other down.
#[repr(align(128))]
struct Slot {
    word: AtomicU64,
    object: AtomicPtr<()>,
    /// The process of the object.
    birth: AtomicU32,
}

impl Slot {
    fn is_inherited(&self) -> bool {
        !Birth::from_number(self.birth.load(Ordering::Relaxed)).here()
    }
}

struct Free {
    /// Those for many threads, and those for one.
    slots: [Vec<usize>; 2],
    used: usize,
}

static CHUNKS: [OnceLock<Box<[Slot]>>; HANDLES_MAX / CHUNK] =
    [const { OnceLock::new() }; HANDLES_MAX / CHUNK];
static FREE: Mutex<Free> = Mutex::new(Free { slots: [Vec::new(), Vec::new()], used: 0 });
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
    #[inline(always)]
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

    #[inline(always)]
    fn is_open(&self, word: u64) -> bool {
        word >> 32 == self.generation
            && word >> 24 & 0xff == u64::from(self.kind)
            && word & CLOSING == 0
    }
}

#[cold]
fn null<F: Face>() -> Error {
    Error::new(Code::Invalid, format!("the {} is NULL", F::NAME))
}

#[cold]
fn bad<F: Face>(why: &str) -> Error {
    Error::new(Code::BadHandle, format!("the handle of a {} {why}", F::NAME))
}

#[cold]
fn poisoned<F: Face>() -> Error {
    let text = format!("an earlier call panicked inside this {}: close it", F::NAME);
    Error::new(Code::Panic, text)
}

#[cold]
fn busy<F: Face>(slot: &Slot) -> Error {
    if slot.is_inherited() {
        return forked::<F>();
    }
    Error::new(Code::Busy, format!("the {} is in use by another thread", F::NAME))
}

#[cold]
fn forked<F: Face>() -> Error {
    let text = format!("the {} was in use by another thread when this process was forked", F::NAME);
    Error::new(Code::Forked, text)
}

#[inline(always)]
fn slot(index: usize) -> Option<&'static Slot> {
    CHUNKS.get(index / CHUNK)?.get()?.get(index % CHUNK)
}

/// The right to use an object: it cannot go away before this does.
pub(super) struct Pin<F: Face> {
    slot: &'static Slot,
    /// The word before entering.
    word: u64,
    face: PhantomData<*const F>,
}

/// Enters the object of a handle.
#[inline(always)]
pub(super) fn pin<F: Face>(handle: *const F) -> Result<Pin<F>> {
    if handle.is_null() {
        return Err(null::<F>());
    }
    let ticket = Ticket::of(handle)?;
    let slot = slot(ticket.slot).ok_or_else(|| bad::<F>("was never given out"))?;
    let pin = if F::ALONE { enter_alone(slot, &ticket)? } else { enter(slot, &ticket)? };
    if pin.word & POISONED != 0 {
        return Err(poisoned::<F>());
    }
    boundary::entered();
    Ok(pin)
}

#[inline(always)]
fn enter<F: Face>(slot: &'static Slot, ticket: &Ticket) -> Result<Pin<F>> {
    // A made-up ticket may name a slot whose word is one thread's alone: look before adding.
    if !ticket.is_open(slot.word.load(Ordering::Relaxed)) {
        return Err(bad::<F>("is closed"));
    }
    let word = slot.word.fetch_add(1, Ordering::Acquire);
    let pin = Pin { slot, word, face: PhantomData };
    if ticket.is_open(word) { Ok(pin) } else { Err(bad::<F>("is closed")) }
}

#[inline(always)]
fn enter_alone<F: Face>(slot: &'static Slot, ticket: &Ticket) -> Result<Pin<F>> {
    let mut word = slot.word.load(Ordering::Relaxed);
    loop {
        if !ticket.is_open(word) {
            return Err(bad::<F>("is closed"));
        }
        if word & ALONE != 0 {
            return Err(busy::<F>(slot));
        }
        let inside = (word | ALONE) + 1;
        match slot.word.compare_exchange_weak(word, inside, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return Ok(Pin { slot, word, face: PhantomData }),
            Err(other) => word = other,
        }
    }
}

impl<F: Face> Deref for Pin<F> {
    type Target = F::Object;

    #[inline]
    fn deref(&self) -> &F::Object {
        let object = self.slot.object.load(Ordering::Relaxed).cast::<F::Object>();
        // SAFETY: the slot held an object of this kind when this pin was counted, and closing waits for the
        // count before it takes the object away. Where it is for one thread, this pin is the only one.
        unsafe { &*object }
    }
}

impl<F: Face> DerefMut for Pin<F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut F::Object {
        const { assert!(F::ALONE, "others may be inside") }
        let object = self.slot.object.load(Ordering::Relaxed).cast::<F::Object>();
        // SAFETY: as above; it was entered alone, and nobody enters before this pin has left.
        unsafe { &mut *object }
    }
}

impl<F: Face> Drop for Pin<F> {
    #[inline]
    fn drop(&mut self) {
        // What the object holds may be half changed after a panic: nobody enters it again.
        let poison = if std::thread::panicking() { POISONED } else { 0 };
        if F::ALONE {
            self.slot.word.store(self.word | poison, Ordering::Release);
            return;
        }
        if poison != 0 {
            self.slot.word.fetch_or(poison, Ordering::Relaxed);
        }
        leave(self.slot, 1);
    }
}

#[inline]
fn leave(slot: &Slot, by: u64) {
    let word = slot.word.fetch_sub(by, Ordering::Release);
    if word & CLOSING != 0 && word & INSIDE > 1 {
        tell_who_closes();
    }
}

#[cold]
fn tell_who_closes() {
    let _guard = LEAVING.0.lock();
    LEAVING.1.notify_all();
}

/// Puts an object behind a new handle.
pub(super) fn open<F: Face>(object: F::Object) -> Result<*mut F> {
    let index = {
        let mut free = FREE.lock();
        match free.slots[usize::from(F::ALONE)].pop() {
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
        let empty = || Slot {
            word: AtomicU64::new(CLOSING),
            object: AtomicPtr::new(ptr::null_mut()),
            birth: AtomicU32::new(0),
        };
        (0..CHUNK).map(|_| empty()).collect()
    });
    let slot = &chunk[index % CHUNK];
    slot.object.store(Box::into_raw(Box::new(object)).cast(), Ordering::Relaxed);
    slot.birth.store(Birth::now().number(), Ordering::Relaxed);
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
    const { assert!(!F::ALONE, "the one inside may be changing it") }
    let closing = Closing::begin(handle)?;
    // SAFETY: closing takes the object away below, and not before.
    wake(unsafe { &*closing.object() })?;
    Ok(closing.take())
}

/// The same for an object of one thread: refused while another one is inside, and where `ready` fails.
pub(super) fn close_alone<F: Face>(
    handle: *const F,
    ready: impl FnOnce(&mut F::Object) -> Result<()>,
) -> Result<Box<F::Object>> {
    const { assert!(F::ALONE, "others may be inside") }
    let closing = Closing::begin(handle)?;
    // SAFETY: it was entered alone, and closing takes the object away below, not before.
    ready(unsafe { &mut *closing.object() })?;
    Ok(closing.take())
}

/// The same without a refusal: waits for the thread inside, which is there for a moment only.
pub(super) fn take_back<F: Face>(handle: *const F) -> Result<Box<F::Object>> {
    const { assert!(F::ALONE, "others may be inside for long") }
    loop {
        match Closing::begin(handle) {
            Ok(closing) => return Ok(closing.take()),
            Err(error) if error.code() == Code::Busy => thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
}

/// A slot that lets nobody in any more. Unless its object is taken it opens again.
struct Closing<F: Face> {
    slot: &'static Slot,
    index: usize,
    by: u64,
    face: PhantomData<*const F>,
}

impl<F: Face> Closing<F> {
    fn begin(handle: *const F) -> Result<Closing<F>> {
        let ticket = Ticket::of(handle)?;
        let slot = slot(ticket.slot).ok_or_else(|| bad::<F>("was never given out"))?;
        let by = if F::ALONE { ALONE + 1 } else { 1 };
        let mut word = slot.word.load(Ordering::Acquire);
        loop {
            if !ticket.is_open(word) {
                return Err(bad::<F>("is closed"));
            }
            if word & INSIDE != 0 && slot.is_inherited() {
                return Err(forked::<F>());
            }
            // A thread inside that calls back and closes would wait for itself.
            if word & INSIDE != 0 && boundary::is_nested() {
                let text = format!("the {} is in use by the call that calls back", F::NAME);
                return Err(Error::new(Code::Busy, text));
            }
            if F::ALONE && word & ALONE != 0 {
                return Err(busy::<F>(slot));
            }
            let shut = (word | CLOSING) + by;
            match slot.word.compare_exchange(word, shut, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Ok(Closing { slot, index: ticket.slot, by, face: PhantomData }),
                Err(other) => word = other,
            }
        }
    }

    fn object(&self) -> *mut F::Object {
        self.slot.object.load(Ordering::Relaxed).cast()
    }

    fn take(self) -> Box<F::Object> {
        let Closing { slot, index, .. } = *std::mem::ManuallyDrop::new(self);
        if slot.word.load(Ordering::Acquire) & INSIDE > 1 {
            let mut guard = LEAVING.0.lock();
            while slot.word.load(Ordering::Acquire) & INSIDE > 1 {
                LEAVING.1.wait(&mut guard);
            }
        }
        let inherited = slot.is_inherited();
        let object = slot.object.swap(ptr::null_mut(), Ordering::Relaxed).cast::<F::Object>();
        // What else the word says ends when the slot opens again.
        slot.word.fetch_add(GENERATION, Ordering::Relaxed);
        leave(slot, 1);
        // Who held the lock at the fork is not there to give it back: the slot stays unused then.
        let free = if inherited { FREE.try_lock() } else { Some(FREE.lock()) };
        if let Some(mut free) = free {
            free.slots[usize::from(F::ALONE)].push(index);
        }
        // SAFETY: it was made by `Box::new` in `open`, the swap took it once, and nobody is inside.
        unsafe { Box::from_raw(object) }
    }
}

impl<F: Face> Drop for Closing<F> {
    fn drop(&mut self) {
        let poison = if std::thread::panicking() { POISONED } else { 0 };
        self.slot.word.fetch_or(poison, Ordering::Relaxed);
        self.slot.word.fetch_and(!CLOSING, Ordering::Release);
        leave(self.slot, self.by);
    }
}
