//! Whether the thread of a call is interrupted, which stays for Java to be seen.

use jni::{JavaVM, jni_sig, jni_str};

/// Whether `Thread.currentThread().isInterrupted()`.
pub fn is_asked() -> bool {
    let asked = |env: &mut jni::Env<'_>| {
        let (class, name) = (jni_str!("java/lang/Thread"), jni_str!("currentThread"));
        let thread =
            env.call_static_method(class, name, jni_sig!("()Ljava/lang/Thread;"), &[])?.l()?;
        env.call_method(thread, jni_str!("isInterrupted"), jni_sig!("()Z"), &[])?.z()
    };
    // A machine that cannot be asked interrupts nobody.
    JavaVM::singleton().and_then(|vm| vm.attach_current_thread(asked)).unwrap_or(false)
}
