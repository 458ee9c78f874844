//! repliq for Java: the native half of the jar.
//!
//! | file | owns |
//! |---|---|
//! | `bytes` | how arguments and answers lie in an array |
//! | `failure` | what went wrong, and the exception it becomes |
//! | `interrupt` | whether the thread of a call is interrupted |
//! | `object` | what a handle stands for |
//! | `table` | the numbers that Java has for handles |
//! | `message` | messages in and out |
//! | `listener` | handlers in Java, on the thread of Java that runs them |
//! | `verbs` | one function for each call that is not in a hurry |
//! | `logging` | log lines on their way to Java |
//! | `sabotage` | panics that tests plant, in a build of their own |
//!
//! Java calls six functions. `call` takes a number, a handle and an array of bytes and gives one back; `put` and
//! `receive` are the same for those in a hurry; `room` is where payloads are put from; `run` works for a listener
//! until it is closed; and `nothing` is what a call costs that does nothing.
//!
//! Promises: no panic and no error leaves a function but as an exception; nothing here calls into Java from a
//! thread that Java did not start; no reference to a Java object outlives the call it was given to.
//! Relies on: `Handle.java`, which lets no call begin on a handle that was freed, and frees none while a call is
//! inside.

#![allow(unsafe_code, reason = "handles, a buffer of Java, and names that Java looks up")]

mod bytes;
mod failure;
mod interrupt;
mod listener;
mod logging;
mod message;
mod object;
#[cfg(feature = "sabotage")]
mod sabotage;
mod table;
mod verbs;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JByteBuffer, JClass, JObject};
use jni::sys::{jint, jlong};
use zeroize::Zeroizing;

use crate::failure::{Failure, Thrower};
use crate::object::{Object, Room, Use, object};

/// The forms in which Java puts; any other is packed messages.
const PAYLOAD: jint = 1;
const PAYLOADS: jint = 2;

/// Where a planted panic strikes first.
#[inline(always)]
fn edge() {
    #[cfg(feature = "sabotage")]
    sabotage::strike(sabotage::AT_THE_EDGE);
}

/// Calls a verb with packed arguments; the answer is packed, too.
#[unsafe(no_mangle)]
pub extern "system" fn Java_repliq_Native_call<'local>(
    mut env: EnvUnowned<'local>,
    class: JClass<'local>,
    verb: jint,
    handle: jlong,
    input: JByteArray<'local>,
) -> JByteArray<'local> {
    let outcome = env.with_env(|env| -> Result<JByteArray<'local>, Failure> {
        edge();
        // A password may be in it.
        let input = Zeroizing::new(env.convert_byte_array(&input)?);
        let call = || verbs::call(verb, handle, &input);
        let output = repliq::interruptible(interrupt::is_asked, call)?;
        Ok(env.byte_array_from_slice(&output)?)
    });
    outcome.resolve_with::<Thrower, _>(|| &class)
}

/// Puts the first `length` bytes of an array into a session, in one of the forms of `Native.java`: packed messages, or the
/// payload of a message that has nothing else. Without an array it is a payload in the room of the session.
///
/// What `with_env` does for each call costs as much as half of a put, so it is called when there is something to throw.
#[unsafe(no_mangle)]
extern "system" fn Java_repliq_Native_put<'local>(
    env: *mut jni::sys::JNIEnv,
    class: JClass<'local>,
    session: jlong,
    queue: jint,
    bytes: JByteArray<'local>,
    length: jint,
    form: jint,
) {
    let put = || put(env, session, queue, &bytes, length, form);
    let failed = match catch_unwind(AssertUnwindSafe(put)) {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => Ok(failure),
        Err(panic) => Err(panic),
    };
    // SAFETY: Java gave it to this call.
    let mut env = unsafe { EnvUnowned::from_raw(env) };
    let outcome = env.with_env(|_| -> Result<(), Failure> {
        match failed {
            Ok(failure) => Err(failure),
            Err(panic) => resume_unwind(panic),
        }
    });
    outcome.resolve_with::<Thrower, _>(|| &class);
}

/// Gives a session a room: a direct buffer that Java keeps for as long as the session, and writes into only before a
/// put, by the same thread.
#[unsafe(no_mangle)]
pub extern "system" fn Java_repliq_Native_room<'local>(
    mut env: EnvUnowned<'local>,
    class: JClass<'local>,
    session: jlong,
    room: JByteBuffer<'local>,
) {
    let outcome = env.with_env(|env| -> Result<(), Failure> {
        edge();
        let at = env.get_direct_buffer_address(&room)?;
        let size = env.get_direct_buffer_capacity(&room)?;
        object(session)?.lane(Use::Put)?.room = Some(Room { at, size });
        Ok(())
    });
    outcome.resolve_with::<Thrower, _>(|| &class);
}

fn put(
    env: *mut jni::sys::JNIEnv,
    session: jlong,
    queue: jint,
    bytes: &JByteArray<'_>,
    length: jint,
    form: jint,
) -> Result<(), Failure> {
    edge();
    let mut lane = object(session)?.lane(Use::Put)?;
    let lane = &mut *lane;
    let length = usize::try_from(length).unwrap_or(0);
    if bytes.is_null() {
        let payload = lane.room.as_ref().and_then(|room| room.take(length));
        let payload = payload.ok_or_else(|| object::foreign("session with a room"))?;
        return put_as(PAYLOAD, &mut lane.session, lane.remote, queue, payload);
    }
    if lane.scratch.len() < length {
        lane.scratch.resize(length, 0);
    }
    let scratch = &mut lane.scratch[..length];
    // SAFETY: Java gave `env` and `bytes` to this call, and checks the bounds; `scratch` has so many bytes.
    let threw = unsafe {
        let (call, to) = (&(**env).v1_2, scratch.as_mut_ptr());
        (call.GetByteArrayRegion)(env, bytes.as_raw(), 0, length as jint, to);
        (call.ExceptionCheck)(env)
    };
    if threw {
        return Err(Failure::Jni(jni::errors::Error::JavaException));
    }
    put_as(form, &mut lane.session, lane.remote, queue, bytes::unsigned(scratch))
}

/// Puts bytes in one of the forms.
#[inline]
fn put_as(
    form: jint,
    session: &mut repliq::Session,
    remote: bool,
    queue: jint,
    bytes: &[u8],
) -> Result<(), Failure> {
    let mut put = || match form {
        PAYLOAD => message::put_plain(session, queue, bytes),
        PAYLOADS => message::put_payloads(session, queue, bytes),
        _ => message::put(session, queue, bytes),
    };
    // Nobody waits for the other kind.
    if remote { repliq::interruptible(interrupt::is_asked, put) } else { put() }
}

/// Receives packed messages: of a consumer where `session` is 0, or into that session. Gives nothing when the time
/// is over, else a direct buffer: `room`, where there is one and it is large enough, or one that Java made.
#[unsafe(no_mangle)]
pub extern "system" fn Java_repliq_Native_receive<'local>(
    mut env: EnvUnowned<'local>,
    class: JClass<'local>,
    session: jlong,
    consumer: jlong,
    max: jint,
    wait_ms: jlong,
    room: JByteBuffer<'local>,
) -> JByteBuffer<'local> {
    let outcome = env.with_env(|env| -> Result<JByteBuffer<'local>, Failure> {
        edge();
        let Object::Consumer(consumer) = object(consumer)? else {
            return Err(object::foreign("consumer"));
        };
        let max = usize::try_from(max).unwrap_or(0);
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
        let receive = || -> Result<Vec<repliq::Received>, Failure> {
            Ok(match session {
                0 => consumer.receive(max, wait)?,
                session => object(session)?.lane(Use::All)?.session.receive(consumer, max, wait)?,
            })
        };
        let received = repliq::interruptible(interrupt::is_asked, receive)?;
        message::hand_out(env, &class, &received, room)
    });
    outcome.resolve_with::<Thrower, _>(|| &class)
}

/// Does a part of the work of a listener on this thread until it is closed; `handler` has the method `handle` of `Listener.java`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_repliq_Native_run<'local>(
    mut env: EnvUnowned<'local>,
    class: JClass<'local>,
    listener: jlong,
    part: jint,
    handler: JObject<'local>,
) {
    let outcome = env.with_env(|env| -> Result<(), Failure> {
        edge();
        let Object::Listener(listener) = object(listener)? else {
            return Err(object::foreign("listener"));
        };
        let handler = env.new_global_ref(&handler)?;
        listener.run(usize::try_from(part).unwrap_or(usize::MAX), handler);
        Ok(())
    });
    outcome.resolve_with::<Thrower, _>(|| &class);
}

/// Does nothing: what crossing the border costs.
#[unsafe(no_mangle)]
pub extern "system" fn Java_repliq_Native_nothing<'local>(
    _: EnvUnowned<'local>,
    _: JClass<'local>,
    _: jlong,
) {
}
