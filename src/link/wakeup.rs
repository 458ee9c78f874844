//! How another thread reaches a connection: something is to be sent, or it is to end.

use crate::error::{Error, Result};
use crate::sync::Mutex;
use crate::wire::Waker;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Context, Poll};

/// A bell and a stop sign for one task.
#[derive(Default)]
pub struct Wakeup {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rung: bool,
    stop: Option<Error>,
    task: Option<task::Waker>,
}

impl Wakeup {
    /// Rings: the task is polled again, once however often this is called before.
    pub fn wake(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.rung, true) {
            return;
        }
        let task = state.task.take();
        drop(state);
        task.into_iter().for_each(task::Waker::wake);
    }

    /// Asks the task to end for this reason. The first one counts.
    pub fn stop(&self, why: Error) {
        let mut state = self.state.lock();
        state.stop.get_or_insert(why);
        let task = state.task.take();
        drop(state);
        task.into_iter().for_each(task::Waker::wake);
    }

    /// Whether it was asked to end.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stop.is_some()
    }

    /// Why it is to end, if it is; hears every call from here on.
    pub fn look(&self, context: &Context<'_>) -> Option<Error> {
        let mut state = self.state.lock();
        state.rung = false;
        if !state.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            state.task = Some(context.waker().clone());
        }
        state.stop.clone()
    }

    /// Runs the future to its end, or until this is asked to stop, and says why.
    pub async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| match self.look(context) {
            Some(why) => Poll::Ready(Err(why)),
            None => future.as_mut().poll(context).map(Ok),
        })
        .await
    }

    /// This bell as machines know it.
    pub fn waker(this: &Arc<Wakeup>) -> Waker {
        let wakeup = Arc::clone(this);
        Arc::new(move || wakeup.wake())
    }
}
