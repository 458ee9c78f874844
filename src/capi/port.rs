//! Ports: what was started without waiting ends here.

use crate::error::{Code, Error, Result};
use crate::session::{Event, Port};
use crate::sync::Mutex;

use super::argument::{self, Out, OutArray, wait};
use super::boundary::boundary;
use super::handle::{self, Face, pin};
use super::types::*;

/// A port as C holds it, with the texts of the events handed out last.
pub struct Gate {
    port: Port,
    texts: Mutex<Vec<String>>,
}

impl Face for repliq_port {
    type Object = Gate;
    const KIND: u8 = 5;
    const NAME: &'static str = "port";
}

impl Gate {
    pub(super) fn port(&self) -> &Port {
        &self.port
    }
}

/// Opens a port and stores it in `*port`. It belongs to no store and serves any number of them.
///
/// Close with repliq_port_close.
///
/// Fails with REPLIQ_INVALID, REPLIQ_QUOTA.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_port_open(port: *mut *mut repliq_port) -> repliq_code {
    boundary(|| {
        // SAFETY: the caller's contract: a place for the handle.
        let out = unsafe { Out::needed(port, "port")? };
        let gate = Gate { port: Port::open()?, texts: Mutex::new(Vec::new()) };
        out.put(handle::open(gate)?);
        Ok(())
    })
}

/// Stores in `*fd` a descriptor that poll finds readable while events wait. It belongs to the port: neither read
/// nor close it.
///
/// Fails with REPLIQ_INVALID, REPLIQ_IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_port_fd(port: *mut repliq_port, fd: *mut i32) -> repliq_code {
    boundary(|| {
        let gate = pin(port)?;
        // SAFETY: the caller's contract: a place for the descriptor.
        let out = unsafe { Out::needed(fd, "fd")? };
        out.put(gate.port.fd()?);
        Ok(())
    })
}

/// Takes at most `max` events, waiting at most `timeout_ms` for the first, and stores their number in `*n`; 0
/// when the time was over. Whoever waits here also does the syncs of what was started.
///
/// What the events point to lives until the next drain or close of the port; therefore one thread at a time.
///
/// Fails with REPLIQ_INVALID, REPLIQ_BUSY (another thread drains), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_port_drain(
    port: *mut repliq_port,
    events: *mut repliq_event,
    max: usize,
    timeout_ms: u64,
    n: *mut usize,
) -> repliq_code {
    boundary(|| {
        let gate = pin(port)?;
        // SAFETY: the caller's contract: room for `max` events and a place for their number.
        let (events, n) = unsafe { (OutArray::new(events, max, "events")?, Out::needed(n, "n")?) };
        let text = "another thread is draining the port";
        let mut texts = gate.texts.try_lock().ok_or_else(|| Error::new(Code::Busy, text))?;
        texts.clear();
        let ended = gate.port.drain(events.max(), wait(timeout_ms))?;
        texts.extend(ended.iter().map(|event| match &event.outcome {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }));
        n.put(events.put(ended.iter().zip(&*texts).map(|(event, text)| seen(event, text))));
        Ok(())
    })
}

fn seen(event: &Event, text: &str) -> repliq_event {
    let mut seen = repliq_event {
        tag: event.tag,
        code: Code::Ok as repliq_code,
        cause_code: Code::Ok as repliq_code,
        text: repliq_bytes { data: text.as_ptr().cast(), len: text.len() },
        result: repliq_result { token: repliq_token { bytes: [0; REPLIQ_TOKEN_SIZE] }, level: 0 },
    };
    match &event.outcome {
        Ok(commit) => seen.result = argument::result(commit),
        Err(error) => {
            seen.code = error.code() as repliq_code;
            seen.cause_code = error.cause() as repliq_code;
        }
    }
    seen
}

/// Ends the waiting for the operations with this tag: each gives an event with REPLIQ_CANCELLED now. What was
/// started goes on and may still be committed. Thread-safe.
///
/// Fails with REPLIQ_NO_SUCH_NAME (no such operation).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_port_cancel(port: *mut repliq_port, tag: u64) -> repliq_code {
    boundary(|| pin(port)?.port.cancel(tag))
}

/// Closes a port; who waits in a drain gets REPLIQ_CLOSED, and events that were not taken are dropped. NULL is
/// fine.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the port).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_port_close(port: *mut repliq_port) -> repliq_code {
    boundary(|| {
        if port.is_null() {
            return Ok(());
        }
        let closing: Result<Box<Gate>> = handle::close(port, |gate: &Gate| {
            gate.port.close();
            Ok(())
        });
        closing.map(drop)
    })
}
