//! Listeners: the work of one, for the thread of Java that calls `Native.run`.
//!
//! Promises: the handler is called on that thread and no other, with no lock held; what it throws ends nowhere but
//! in [`Handled`]; its session is in the lane of the listener while it runs, and out of it before and after.

use std::sync::{Arc, Mutex, PoisonError};

use jni::objects::{Global, JByteArray, JObject, JValue};
use jni::{Env, JavaVM, jni_sig, jni_str};
use repliq::{Consumer, Handled, ListenerOptions, Received, Session, Store, Work};

use crate::bytes::Reader;
use crate::failure::Failure;
use crate::message;
use crate::object::{Lane, Seat};

/// The object of Java with the handler, while somebody runs the listener.
type Handler = Arc<Mutex<Option<Arc<Global<JObject<'static>>>>>>;

/// A listener and its work.
pub struct Listener {
    pub listener: repliq::Listener,
    /// Where its handler finds the session.
    pub lane: Arc<Mutex<Lane>>,
    work: Mutex<Option<Work>>,
    handler: Handler,
}

impl Listener {
    /// Opens one.
    pub fn open(
        store: &Store,
        consumer: Consumer,
        options: &ListenerOptions,
    ) -> Result<Listener, Failure> {
        let lane = Lane::new(store.session()?, Seat::Empty, store);
        let handler = Handler::default();
        let (its_lane, its_handler) = (lane.clone(), handler.clone());
        let call = move |session: &mut Session, unit: &[Received]| {
            lend(&its_lane, session, Seat::Lent);
            let handled = enter(&its_handler, unit);
            lend(&its_lane, session, Seat::Empty);
            handled.unwrap_or_else(|failure| Handled::Retry(failure.to_string()))
        };
        let (listener, work) = repliq::Listener::here(store, consumer, options, call)?;
        Ok(Listener { listener, lane, work: Mutex::new(Some(work)), handler })
    }

    /// Works until it is closed; does nothing where somebody did so before.
    pub fn run(&self, handler: Global<JObject<'static>>) {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut work) = work else { return };
        *self.handler.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(handler));
        #[cfg(feature = "sabotage")]
        crate::sabotage::strike_listener();
        work.run();
        self.handler.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Changes the session in the lane for this one, waiting for who is inside.
fn lend(lane: &Mutex<Lane>, session: &mut Session, seat: Seat) {
    let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::swap(&mut lane.session, session);
    lane.seat = seat;
}

/// Calls the handler.
fn enter(handler: &Handler, unit: &[Received]) -> Result<Handled, Failure> {
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
