//! The table of handles, the very file of the library on the scheduler's atomics: an object is there as long as
//! somebody is inside, a ticket never leads to another object, and who closes is woken.

use super::handle::{self, Face};
use crate::error::Code;
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What stands behind a handle here: it knows whether it is still there, and how many are inside.
pub struct Object {
    number: u64,
    alive: Arc<AtomicBool>,
    inside: AtomicUsize,
}

impl Object {
    fn new(number: u64) -> (Object, Arc<AtomicBool>) {
        let alive = Arc::new(AtomicBool::new(true));
        (Object { number, alive: alive.clone(), inside: AtomicUsize::new(0) }, alive)
    }

    /// Stays inside for a while.
    fn visit(&self, number: u64, alive: &AtomicBool, alone: bool) {
        let others = self.inside.fetch_add(1, Ordering::SeqCst);
        assert!(!alone || others == 0, "{others} others are inside");
        for _ in 0..2 {
            thread::yield_now();
            assert!(alive.load(Ordering::SeqCst), "object {number} is gone with somebody inside");
            assert_eq!(self.number, number, "a ticket led to another object");
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::SeqCst);
    }
}

/// A handle for many threads, and one for one.
struct Shared;
struct Alone;

impl Face for Shared {
    type Object = Object;
    const KIND: u8 = 1;
    const NAME: &'static str = "shared";
}

impl Face for Alone {
    type Object = Object;
    const KIND: u8 = 2;
    const NAME: &'static str = "single";
    const ALONE: bool = true;
}

/// A handle as the threads of a program hand it about: a number.
struct Ticket<F>(usize, std::marker::PhantomData<fn(F)>);

impl<F> Clone for Ticket<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Ticket<F> {}

impl<F: Face<Object = Object>> Ticket<F> {
    fn open(number: u64) -> (Ticket<F>, Arc<AtomicBool>) {
        let (object, alive) = Object::new(number);
        let handle = handle::open::<F>(object).unwrap();
        (Ticket(handle.addr(), std::marker::PhantomData), alive)
    }

    fn handle(self) -> *const F {
        std::ptr::without_provenance(self.0)
    }

    fn visit(self, number: u64, alive: &AtomicBool) -> Option<Code> {
        match handle::pin::<F>(self.handle()) {
            Ok(pin) => {
                pin.visit(number, alive, F::ALONE);
                None
            }
            Err(error) => Some(error.code()),
        }
    }
}

pub fn shared() {
    let (ticket, alive) = Ticket::<Shared>::open(1);
    let users: Vec<_> = (0..2)
        .map(|_| {
            let alive = alive.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    let refused = ticket.visit(1, &alive);
                    assert!(refused.is_none_or(|code| code == Code::BadHandle), "{refused:?}");
                }
            })
        })
        .collect();
    let woken = Arc::new(AtomicBool::new(false));
    let closer = |woken: Arc<AtomicBool>| {
        move || {
            let wake = |_: &Object| {
                woken.store(true, Ordering::SeqCst);
                Ok(())
            };
            handle::close::<Shared>(ticket.handle(), wake).map(drop).map_err(|error| error.code())
        }
    };
    let closers = [thread::spawn(closer(woken.clone())), thread::spawn(closer(woken.clone()))];
    let closed = closers.map(|one| one.join().unwrap());
    assert_eq!(closed.iter().filter(|one| one.is_ok()).count(), 1, "{closed:?}");
    assert!(closed.contains(&Err(Code::BadHandle)) && woken.load(Ordering::SeqCst));
    assert!(!alive.load(Ordering::SeqCst));
    // The slot is used again while others still hold the old ticket.
    let (next, there) = Ticket::<Shared>::open(2);
    assert_eq!(next.visit(2, &there), None);
    assert_eq!(ticket.visit(1, &alive), Some(Code::BadHandle));
    users.into_iter().for_each(|user| user.join().unwrap());
    drop(handle::close::<Shared>(next.handle(), |_| Ok(())).unwrap());
}

pub fn alone() {
    let (ticket, alive) = Ticket::<Alone>::open(1);
    let users: Vec<_> = (0..2)
        .map(|_| {
            let alive = alive.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    let refused = ticket.visit(1, &alive);
                    let allowed = [None, Some(Code::Busy), Some(Code::BadHandle)];
                    assert!(allowed.contains(&refused), "{refused:?}");
                }
            })
        })
        .collect();
    let closer = thread::spawn(move || {
        let closed = handle::close_alone::<Alone>(ticket.handle(), |_| Ok(()));
        closed.map(drop).map_err(|error| error.code())
    });
    let closed = closer.join().unwrap();
    assert!([Ok(()), Err(Code::Busy)].contains(&closed), "{closed:?}");
    if closed.is_ok() {
        assert!(!alive.load(Ordering::SeqCst));
        let (next, there) = Ticket::<Alone>::open(2);
        assert_eq!(next.visit(2, &there), None);
        drop(handle::take_back::<Alone>(next.handle()).unwrap());
    } else {
        // Whoever is inside leaves in a moment.
        drop(handle::take_back::<Alone>(ticket.handle()).unwrap());
    }
    users.into_iter().for_each(|user| user.join().unwrap());
    assert_eq!(ticket.visit(1, &alive), Some(Code::BadHandle));
}

/// A close that is refused opens the handle again, and nobody who was turned away meanwhile is lost.
pub fn refused() {
    let (ticket, alive) = Ticket::<Shared>::open(1);
    let user = {
        let alive = alive.clone();
        thread::spawn(move || ticket.visit(1, &alive))
    };
    let no = || Err(crate::error::Error::new(Code::Busy, "not now"));
    let refused = handle::close::<Shared>(ticket.handle(), |_| no());
    assert_eq!(refused.err().map(|error| error.code()), Some(Code::Busy));
    assert_eq!(ticket.visit(1, &alive), None);
    let other =
        thread::spawn(move || handle::close::<Shared>(ticket.handle(), |_| Ok(())).map(drop));
    let told = user.join().unwrap();
    assert!(told.is_none_or(|code| code == Code::BadHandle), "{told:?}");
    other.join().unwrap().unwrap();
    assert!(!alive.load(Ordering::SeqCst));
}
