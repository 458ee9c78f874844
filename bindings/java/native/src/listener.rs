//! Listeners: the work of one, for the thread of Java that calls `Native.run`.
//!
//! A listener of several threads has a lane and a part of the work for each.
//!
//! Promises: the handler is called on those threads and no other, with no lock held; what it throws ends nowhere but
//! in [`Handled`]; its session is in the lane of its thread while it runs, and out of it before and after.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use jni::objects::{Global, JByteArray, JObject, JValue};
use jni::{Env, JavaVM, jni_sig, jni_str};
use repliq::{Consumer, Handled, ListenerOptions, Received, Session, Store, Work};

use crate::bytes::Reader;
use crate::failure::Failure;
use crate::message;
use crate::object::{Lane, Seat};

/// Where the handler of a thread finds its session, and the object of Java with the handler, while somebody runs it.
pub struct Desk {
    pub lane: Arc<Mutex<Lane>>,
    handler: Mutex<Option<Arc<Global<JObject<'static>>>>>,
}

thread_local! {
    /// The desk of this thread, while it works for a listener.
    static HERE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A listener and its work.
pub struct Listener {
    pub listener: repliq::Listener,
    /// One a thread.
    pub desks: Arc<Vec<Desk>>,
    /// The parts that nobody runs yet.
    work: Mutex<Vec<Option<Work>>>,
}

impl Listener {
    /// Opens one.
    pub fn open(
        store: &Store,
        consumer: Consumer,
        options: &ListenerOptions,
    ) -> Result<Listener, Failure> {
        let desks = Arc::new(Mutex::new(Arc::new(Vec::new())));
        let shared = desks.clone();
        let call = move |session: &mut Session, unit: &[Received]| {
            let desks: Arc<Vec<Desk>> =
                shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(desk) = HERE.get().and_then(|number| desks.get(number)) else {
                return Handled::Retry("nobody listens".into());
            };
            lend(&desk.lane, session, Seat::Lent);
            let handled = enter(&desk.handler, unit);
            lend(&desk.lane, session, Seat::Empty);
            handled.unwrap_or_else(|failure| Handled::Retry(failure.to_string()))
        };
        let (listener, work) = repliq::Listener::here(store, consumer, options, call)?;
        let desk = |_: &Work| -> Result<Desk, Failure> {
            let lane = Lane::new(store.session()?, Seat::Empty, store);
            Ok(Desk { lane, handler: Mutex::default() })
        };
        let made = Arc::new(work.iter().map(desk).collect::<Result<Vec<Desk>, Failure>>()?);
        *desks.lock().unwrap_or_else(PoisonError::into_inner) = made.clone();
        let work = Mutex::new(work.into_iter().map(Some).collect());
        Ok(Listener { listener, desks: made, work })
    }

    /// Does one part of the work until it is closed; nothing where somebody did so before.
    pub fn run(&self, part: usize, handler: Global<JObject<'static>>) {
        let mut parts = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let work = parts.get_mut(part).and_then(Option::take);
        drop(parts);
        let (Some(mut work), Some(desk)) = (work, self.desks.get(part)) else { return };
        *desk.handler.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(handler));
        HERE.set(Some(part));
        #[cfg(feature = "sabotage")]
        crate::sabotage::strike_listener();
        work.run();
        HERE.set(None);
        desk.handler.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Changes the session in the lane for this one, waiting for who is inside.
fn lend(lane: &Mutex<Lane>, session: &mut Session, seat: Seat) {
    let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::swap(&mut lane.session, session);
    lane.seat = seat;
}

/// Calls the handler.
fn enter(
    handler: &Mutex<Option<Arc<Global<JObject<'static>>>>>,
    unit: &[Received],
) -> Result<Handled, Failure> {
    let packed = message::pack(unit)?;
    let handler = handler.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(handler) = handler else { return Ok(Handled::Retry("nobody listens".into())) };
    JavaVM::singleton()?.attach_current_thread(|env| ask(env, &handler, &packed))
}

/// What the handler answers: nothing, or why not.
fn ask(
    env: &mut Env<'_>,
    handler: &Global<JObject<'static>>,
    packed: &[u8],
) -> Result<Handled, Failure> {
    let packed = env.byte_array_from_slice(packed)?;
    let argument = [JValue::from(&packed)];
    let answer =
        env.call_method(handler, jni_str!("handle"), jni_sig!("([B)[B"), &argument)?.l()?;
    let answer = env.cast_local::<JByteArray<'_>>(answer)?;
    if answer.is_null() {
        return Ok(Handled::Done);
    }
    let answer = env.convert_byte_array(&answer)?;
    let mut answer = Reader(&answer);
    let (park, reason) = (answer.flag()?, answer.text()?.to_owned());
    Ok(if park { Handled::Park(reason) } else { Handled::Retry(reason) })
}
