//! Listeners: consumers that call a function of the program.

use std::ffi::{c_char, c_void};

use crate::error::Result;
use crate::queue::Received;
use crate::session::{Handled, Listener, ListenerOptions, Policy, Session, Unit};

use super::argument::{self, Out, invalid, or, text};
use super::boundary::boundary;
use super::handle::{self, Face};
use super::message::Views;
use super::session::Seat;
use super::types::*;

impl Face for repliq_listener {
    type Object = Listener;
    const KIND: u8 = 6;
    const NAME: &'static str = "listener";
}

struct Handler {
    function:
        unsafe extern "C" fn(*mut c_void, *mut repliq_session, *const repliq_message, usize) -> i32,
    user: *mut c_void,
}

// SAFETY: the header asks for a function that may be called from the listener's threads with this `user`.
unsafe impl Send for Handler {}
// SAFETY: with more than one thread, by several of them at once, as the header says.
unsafe impl Sync for Handler {}

impl Handler {
    fn call(&self, session: &mut Session, received: &[Received]) -> Handled {
        let views = Views::new(received.to_vec());
        let messages: Vec<repliq_message> = views.messages().collect();
        let seat = match handle::open::<repliq_session>(Seat::lend(session)) {
            Ok(seat) => seat,
            Err(error) => return Handled::Retry(error.to_string()),
        };
        // SAFETY: the header's contract for a handler; everything given lives until it returns.
        let answer = unsafe { (self.function)(self.user, seat, messages.as_ptr(), messages.len()) };
        // It is open: a handler cannot close what was lent to it.
        let _ = handle::take_back(seat);
        match answer {
            REPLIQ_HANDLED => Handled::Done,
            REPLIQ_PARK => Handled::Park("the handler asked for it".into()),
            other => Handled::Retry(format!("the handler answered {other}")),
        }
    }
}

/// Makes a listener of a consumer and stores it in `*listener`: `handler` is called with `user` on a thread of
/// its own, or on several at once, message by message or transaction by transaction.
///
/// The consumer belongs to the listener from now on, its handle is closed, also where opening fails with
/// something other than REPLIQ_INVALID, REPLIQ_BAD_HANDLE and REPLIQ_BUSY. `user` may be NULL, `options` may be
/// NULL. Close with repliq_listener_close.
///
/// Fails with REPLIQ_INVALID, REPLIQ_BUSY (the consumer is in use by a call that calls back), REPLIQ_TOO_LARGE
/// (the name of the queue of dead letters), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_listener_open(
    consumer: *mut repliq_consumer,
    handler: repliq_handler,
    user: *mut c_void,
    options: *const repliq_listener_options,
    listener: *mut *mut repliq_listener,
) -> repliq_code {
    boundary(|| {
        // A wrong handle is told before a wrong option, and without taking anything.
        drop(handle::pin(consumer)?);
        // SAFETY: the caller's contract: options or NULL, and a place for the handle.
        let (options, out) =
            unsafe { (listener_options(options)?, Out::needed(listener, "listener")?) };
        let function = handler.ok_or_else(|| invalid("the handler is NULL"))?;
        let (store, consumer) = handle::close(consumer, |_| Ok(()))?.into_parts();
        let handler = Handler { function, user };
        let call =
            move |session: &mut Session, received: &[Received]| handler.call(session, received);
        out.put(handle::open(Listener::open_shared(&store, consumer, &options, call)?)?);
        Ok(())
    })
}

unsafe fn listener_options(options: *const repliq_listener_options) -> Result<ListenerOptions> {
    let mut chosen = ListenerOptions::default();
    // SAFETY: the caller's contract of `repliq_listener_open`.
    let Some(options) = (unsafe { argument::options(options)? }) else { return Ok(chosen) };
    chosen.unit = match options.unit {
        REPLIQ_UNIT_MESSAGE => Unit::Message,
        REPLIQ_UNIT_JOB => Unit::Job,
        other => return Err(invalid(format!("unit is {other}, not one of REPLIQ_UNIT_*"))),
    };
    let (after, queue): (u32, *const c_char) =
        (options.dead_letter_after, options.dead_letter_queue);
    chosen.policy = match (options.policy, after, queue.is_null()) {
        (REPLIQ_POLICY_BLOCK, 0, true) => Policy::Block,
        (REPLIQ_POLICY_PARK, 0, true) => Policy::Park,
        (REPLIQ_POLICY_DEAD_LETTER, 1.., false) => {
            // SAFETY: the caller's contract: a text.
            let queue = unsafe { text(queue, "dead_letter_queue")? }.to_owned();
            Policy::DeadLetter { after, queue }
        }
        (policy @ REPLIQ_POLICY_BLOCK..=REPLIQ_POLICY_DEAD_LETTER, _, _) => {
            let text =
                format!("dead_letter_after and dead_letter_queue do not fit policy {policy}");
            return Err(invalid(text));
        }
        (other, _, _) => {
            return Err(invalid(format!("policy is {other}, not one of REPLIQ_POLICY_*")));
        }
    };
    chosen.threads = if options.threads == 0 { chosen.threads } else { options.threads };
    chosen.retry_ms = or(options.retry_ms, chosen.retry_ms);
    chosen.retry_ms_max = or(options.retry_ms_max, chosen.retry_ms_max);
    Ok(chosen)
}

/// Ends the work after the calls under way, and closes the consumer. The handler is not called any more when it
/// returns. NULL is fine.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from its own handler).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_listener_close(listener: *mut repliq_listener) -> repliq_code {
    boundary(|| {
        if !listener.is_null() {
            drop(handle::close(listener, Listener::close)?);
        }
        Ok(())
    })
}
