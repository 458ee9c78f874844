//! Consumers: named, durable readers of a queue.

use std::ffi::c_char;

use crate::error::{Code, Error, Result};
use crate::queue::{From, Rules};
use crate::session::{Consumer, ConsumerOptions, Store};
use crate::store::Hold;
use crate::sync::Mutex;

use super::argument::{self, Out, OutArray, array, invalid, level, maybe_text, text, wait, yes};
use super::boundary::boundary;
use super::handle::{self, Face, pin};
use super::message::{self, Views};
use super::types::*;

/// A consumer as C holds it.
pub struct Reader {
    store: Store,
    consumer: Consumer,
    views: Mutex<Views>,
}

impl Face for repliq_consumer {
    type Object = Reader;
    const KIND: u8 = 3;
    const NAME: &'static str = "consumer";
}

impl Reader {
    pub(super) fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// What a listener is made of.
    pub(super) fn into_parts(self) -> (Store, Consumer) {
        (self.store, self.consumer)
    }
}

/// Opens the consumer of this name on a queue and stores it in `*consumer`; it is created on first use, and its
/// place in the queue is kept for ever.
///
/// `options` may be NULL. Close with repliq_consumer_close.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (the name), REPLIQ_NO_SUCH_NAME (the queue), REPLIQ_BUSY (open
/// already, and not shared), REPLIQ_READ_ONLY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_open(
    store: *mut repliq_store,
    name: *const c_char,
    queue: repliq_queue,
    options: *const repliq_consumer_options,
    consumer: *mut *mut repliq_consumer,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: a text, options or NULL, and a place for the handle.
        let (name, options, out) = unsafe {
            (text(name, "name")?, consumer_options(options)?, Out::needed(consumer, "consumer")?)
        };
        let consumer = store.consumer(name, message::queue(queue), &options)?;
        let views = Mutex::new(Views::default());
        out.put(handle::open(Reader { store: store.clone(), consumer, views })?);
        Ok(())
    })
}

unsafe fn consumer_options(options: *const repliq_consumer_options) -> Result<ConsumerOptions> {
    let mut chosen = ConsumerOptions::default();
    // SAFETY: the caller's contract of `repliq_consumer_open`.
    let Some(options) = (unsafe { argument::options(options)? }) else { return Ok(chosen) };
    chosen.from = match (options.from, options.from_sequence) {
        (REPLIQ_FROM_OLDEST, 0) => From::Oldest,
        (REPLIQ_FROM_NOW, 0) => From::Now,
        (REPLIQ_FROM_SEQUENCE, sequence) => From::Sequence(sequence),
        (from, sequence) => {
            let text =
                format!("from is {from} with from_sequence {sequence}: not one of REPLIQ_FROM_*");
            return Err(invalid(text));
        }
    };
    chosen.ack_level = level(options.ack_level, "ack_level")?;
    if options.reserved != 0 {
        return Err(invalid(format!("reserved is {}, not 0", options.reserved)));
    }
    let after_dead_letter = match options.after_dead_letter {
        REPLIQ_AFTER_SKIP => Hold::Skip,
        REPLIQ_AFTER_BLOCK => Hold::Block,
        REPLIQ_AFTER_PARK => Hold::Park,
        other => {
            let text = format!("after_dead_letter is {other}, not one of REPLIQ_AFTER_*");
            return Err(invalid(text));
        }
    };
    chosen.rules = Rules {
        after_dead_letter,
        shared: yes(options.shared, false, "shared")?,
        keyed: yes(options.keyed, false, "keyed")?,
        parallel: options.parallel,
        per_key: options.per_key,
        conflate: yes(options.conflate, false, "conflate")?,
        key_versions: yes(options.key_versions, false, "key_versions")?,
        lease_ms: options.lease_ms,
        retry_delay_ms: options.retry_delay_ms,
        retry_multiplier: options.retry_multiplier,
        retry_delay_ms_max: options.retry_delay_ms_max,
        max_deliveries: options.max_deliveries,
        dead_letters: (options.dead_letters > 0).then(|| message::queue(options.dead_letters)),
    };
    Ok(chosen)
}

/// Receives at most `max` messages, waiting at most `timeout_ms` for the first, and stores their number in `*n`;
/// 0 when the time was over. Each comes again unless it is acknowledged.
///
/// What the messages point to lives until the next receive or close of the consumer; therefore one thread at a
/// time.
///
/// Fails with REPLIQ_INVALID, REPLIQ_PAUSED, REPLIQ_NO_SUCH_NAME (deleted), REPLIQ_CORRUPT (with the range),
/// REPLIQ_BUSY (another thread receives), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_receive(
    consumer: *mut repliq_consumer,
    messages: *mut repliq_message,
    max: usize,
    timeout_ms: u64,
    n: *mut usize,
) -> repliq_code {
    boundary(|| {
        let reader = pin(consumer)?;
        // SAFETY: the caller's contract: room for `max` messages and a place for their number.
        let (messages, n) =
            unsafe { (OutArray::new(messages, max, "messages")?, Out::needed(n, "n")?) };
        let text = "another thread is receiving from the consumer";
        let mut views = reader.views.try_lock().ok_or_else(|| Error::new(Code::Busy, text))?;
        *views = Views::default();
        let received = reader.consumer.receive(messages.max(), wait(timeout_ms))?;
        *views = Views::new(received);
        n.put(views.put(messages));
        Ok(())
    })
}

/// Ends on `port` under `tag` once a receive may give something, or would fail, and with that error; its token is empty.
/// Nothing is received by it.
///
/// Several consumers may be watched with one port, each under a tag of its own: the events say of which queues something
/// is there, and repliq_port_drain waits for the first. Thread-safe.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_CLOSED; then the port gets nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_watch(
    consumer: *mut repliq_consumer,
    port: *mut repliq_port,
    tag: u64,
) -> repliq_code {
    boundary(|| {
        let (reader, port) = (pin(consumer)?, pin(port)?);
        reader.consumer.watch(port.port(), tag)
    })
}

/// Acknowledges the messages with these `n` sequences, in any order, as a transaction of its own.
///
/// `result` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID (NULL, n is 0, a message that was not handed out), REPLIQ_NO_SUCH_NAME (deleted),
/// REPLIQ_QUOTA (too many gaps), REPLIQ_STALE (shared or keyed: a message this consumer has not, or has no more),
/// REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_ack(
    consumer: *mut repliq_consumer,
    sequences: *const u64,
    n: usize,
    result: *mut repliq_result,
) -> repliq_code {
    boundary(|| {
        let reader = pin(consumer)?;
        // SAFETY: the caller's contract: `n` sequences, NULL or a place for the result.
        let (sequences, out) =
            unsafe { (array(sequences, n, "sequences")?, Out::maybe(result, "result")?) };
        out.put(argument::result(&reader.consumer.ack(sequences)?));
        Ok(())
    })
}

/// Gives the messages with these `n` sequences back: they come again, in order, before newer ones, after `delay_ms`,
/// which outlast a reopen; with 0 as retry_delay_ms says.
///
/// `reason` may be NULL; it is kept where the message becomes a dead letter, see max_deliveries. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_STALE (shared or keyed: a message this consumer has not, or has no more; the others
/// come back), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_reject(
    consumer: *mut repliq_consumer,
    sequences: *const u64,
    n: usize,
    delay_ms: u64,
    reason: *const c_char,
) -> repliq_code {
    boundary(|| {
        let reader = pin(consumer)?;
        // SAFETY: the caller's contract: `n` sequences, a text or NULL.
        let (sequences, reason) =
            unsafe { (array(sequences, n, "sequences")?, maybe_text(reason, "reason")?) };
        let delay = (delay_ms > 0).then_some(delay_ms);
        reader.consumer.reject_with(sequences, delay, reason.unwrap_or_default())
    })
}

/// Gives the messages with these `n` sequences back as repliq_consumer_reject does, but they come again behind all that is
/// in the queue now, in this order, and not before newer ones: with keyed, those behind it of its key go on. That outlasts
/// a reopen.
///
/// `reason` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID (also with conflate), REPLIQ_STALE, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_reject_to_end(
    consumer: *mut repliq_consumer,
    sequences: *const u64,
    n: usize,
    delay_ms: u64,
    reason: *const c_char,
) -> repliq_code {
    boundary(|| {
        let reader = pin(consumer)?;
        // SAFETY: the caller's contract: `n` sequences, a text or NULL.
        let (sequences, reason) =
            unsafe { (array(sequences, n, "sequences")?, maybe_text(reason, "reason")?) };
        let delay = (delay_ms > 0).then_some(delay_ms);
        reader.consumer.reject_to_end(sequences, delay, reason.unwrap_or_default())
    })
}

/// Keeps the messages with these `n` sequences for another lease_ms from now on.
///
/// Thread-safe.
///
/// Fails with REPLIQ_INVALID (also without lease_ms), REPLIQ_STALE (a message this consumer has not, or whose time was over),
/// REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_renew(
    consumer: *mut repliq_consumer,
    sequences: *const u64,
    n: usize,
) -> repliq_code {
    boundary(|| {
        let reader = pin(consumer)?;
        // SAFETY: the caller's contract: `n` sequences.
        let sequences = unsafe { array(sequences, n, "sequences")? };
        reader.consumer.renew(sequences)
    })
}

/// Goes on with the message of this sequence: what is before counts as acknowledged, from it on nothing does.
///
/// `result` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME (deleted), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_seek(
    consumer: *mut repliq_consumer,
    sequence: u64,
    result: *mut repliq_result,
) -> repliq_code {
    boundary(|| {
        let reader = pin(consumer)?;
        // SAFETY: the caller's contract: NULL or a place for the result.
        let out = unsafe { Out::maybe(result, "result")? };
        out.put(argument::result(&reader.consumer.seek(sequence)?));
        Ok(())
    })
}

/// Closes a consumer; who waits in a receive gets REPLIQ_CLOSED. Its place in the queue stays. NULL is fine.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the consumer).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_close(consumer: *mut repliq_consumer) -> repliq_code {
    boundary(|| {
        if consumer.is_null() {
            return Ok(());
        }
        drop(handle::close(consumer, |reader| {
            reader.consumer.close();
            Ok(())
        })?);
        Ok(())
    })
}

/// Deletes the consumer of this name on a queue; messages only it waited for may go.
///
/// `result` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_consumer_delete(
    store: *mut repliq_store,
    name: *const c_char,
    queue: repliq_queue,
    result: *mut repliq_result,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: a text, NULL or a place for the result.
        let (name, out) = unsafe { (text(name, "name")?, Out::maybe(result, "result")?) };
        out.put(argument::result(&store.consumer_delete(name, message::queue(queue))?));
        Ok(())
    })
}
