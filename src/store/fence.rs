//! Who has a session, as long as nobody else takes it.
//!
//! An owner is told at once when its session is taken over or killed, so that what it holds need not wait for its next
//! call: whoever serves it for somebody else gives that back.

use crate::sync::{AtomicBool, Mutex, Ordering};

/// What is called when an owner has lost its session.
pub type OnFenced = Box<dyn Fn() + Send + Sync>;

/// Whether an owner has its session still.
#[derive(Default)]
pub struct Fence {
    gone: AtomicBool,
    hook: Mutex<Option<OnFenced>>,
}

impl Fence {
    /// Whether another owner took over.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Another owner takes over; [`Fence::tell`] must follow, with no lock held.
    pub fn close(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    /// Tells the one that had it.
    pub fn tell(&self) {
        if let Some(hook) = &*self.hook.lock() {
            hook();
        }
    }

    /// Calls `hook` when another owner took over, or now where one did. It must not ask for the session, and only the last
    /// one is called.
    pub fn on_gone(&self, hook: OnFenced) {
        let mut place = self.hook.lock();
        if self.gone.load(Ordering::SeqCst) {
            hook();
        }
        *place = Some(hook);
    }
}
