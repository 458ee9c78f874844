//! What went wrong, and the exception it becomes: `Native.fail` makes and throws it.

use std::any::Any;

use jni::errors::ErrorPolicy;
use jni::objects::{JClass, JValue};
use jni::{Env, jni_sig, jni_str};
use repliq::Code;

use crate::bytes::Writer;

/// What went wrong.
pub enum Failure {
    /// In the library.
    Library(repliq::Error),
    /// In this binding.
    Own(Code, String),
    /// Between Java and this binding.
    Jni(jni::errors::Error),
}

impl From<repliq::Error> for Failure {
    fn from(error: repliq::Error) -> Failure {
        Failure::Library(error)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(error: jni::errors::Error) -> Failure {
        Failure::Jni(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Library(error) => error.fmt(to),
            Failure::Own(_, text) => to.write_str(text),
            Failure::Jni(error) => write!(to, "Java and Rust disagree: {error}"),
        }
    }
}

impl Failure {
    /// As `Native.fail` reads it: codes, errno, message, range, text.
    fn pack(&self) -> Vec<u8> {
        match self {
            Failure::Library(error) => pack_error(Writer::default(), error).0,
            Failure::Own(code, text) => plain(*code, text),
            Failure::Jni(_) => plain(Code::Panic, &self.to_string()),
        }
    }
}

fn plain(code: Code, text: &str) -> Vec<u8> {
    let numbers = Writer::default().u32(code as u32).u32(0).u32(0).u32(u32::MAX);
    numbers.u64(0).u64(0).text(text).0
}

/// Appends an error to an answer.
pub fn pack_error(to: Writer, error: &repliq::Error) -> Writer {
    let (from, last) = error.range().unwrap_or((0, 0));
    // An errno is a small positive number.
    let errno = u32::try_from(error.os_errno()).unwrap_or(0);
    let numbers = to.u32(error.code() as u32).u32(error.cause() as u32).u32(errno);
    let numbers = numbers.u32(error.message_index().unwrap_or(u32::MAX));
    numbers.u64(from).u64(last).text(&error.to_string())
}

/// Throws what went wrong.
pub struct Thrower;

impl<T: Default> ErrorPolicy<T, Failure> for Thrower {
    type Captures<'local: 'method, 'method> = &'method JClass<'local>;

    fn on_error<'local: 'method, 'method>(
        env: &mut Env<'local>,
        class: &mut Self::Captures<'local, 'method>,
        failure: Failure,
    ) -> jni::errors::Result<T> {
        // An exception that is under way says more than what follows from it; so does one that was caught.
        if env.exception_check() {
            return Ok(T::default());
        }
        match &failure {
            Failure::Jni(jni::errors::Error::CaughtJavaException { exception, .. }) => {
                // The answer is that it was thrown.
                let _ = env.throw(exception);
            }
            _ => throw(env, class, &failure.pack())?,
        }
        Ok(T::default())
    }

    fn on_panic<'local: 'method, 'method>(
        env: &mut Env<'local>,
        class: &mut Self::Captures<'local, 'method>,
        payload: Box<dyn Any + Send + 'static>,
    ) -> jni::errors::Result<T> {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panicked");
        let text = format!("a bug of this library: {text}");
        if !env.exception_check() {
            throw(env, class, &plain(Code::Panic, &text))?;
        }
        Ok(T::default())
    }
}

fn throw(env: &mut Env<'_>, class: &JClass<'_>, packed: &[u8]) -> jni::errors::Result<()> {
    let packed = env.byte_array_from_slice(packed)?;
    let argument = [JValue::from(&packed)];
    match env.call_static_method(class, jni_str!("fail"), jni_sig!("([B)V"), &argument) {
        // It throws; that is what it is for.
        Err(jni::errors::Error::JavaException) | Ok(_) => Ok(()),
        Err(other) => Err(other),
    }
}
