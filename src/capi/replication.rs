//! Replications: a root queue that reaches every target.

use std::ffi::{c_char, c_void};

use crate::error::Result;
use crate::limits::ROOM_BYTES_MAX;
use crate::queue::{From, Message};
use crate::replicate::{Replication, ReplicationOptions, Select, TargetOptions};
use crate::secret::Password;

use super::argument::{
    self, Out, array, bytes, invalid, level, maybe_text, or, put_text, text, wait, yes,
};
use super::boundary::{boundary, fill};
use super::handle::{self, Face, pin};
use super::message;
use super::types::*;

/// More than a user has to type.
const PASSWORD_BYTES_MAX: usize = 64 << 10;

impl Face for repliq_replication {
    type Object = Replication;
    const KIND: u8 = 7;
    const NAME: &'static str = "replication";
}

/// Opens the replication of a root queue and stores it in `*replication`. Its targets are added one by one.
///
/// `options` may be NULL. Close with repliq_replication_close.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME (the queue), REPLIQ_BUSY (the root is replicated already),
/// REPLIQ_READ_ONLY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_open(
    store: *mut repliq_store,
    root: repliq_queue,
    options: *const repliq_replication_options,
    replication: *mut *mut repliq_replication,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: options or NULL, and a place for the handle.
        let (options, out) =
            unsafe { (argument::options(options)?, Out::needed(replication, "replication")?) };
        let level = options.map_or(Ok(None), |options| level(options.level, "level"))?;
        let options = ReplicationOptions { level };
        out.put(handle::open(Replication::open(&store, message::queue(root), &options)?)?);
        Ok(())
    })
}

/// Adds a target and starts its link; returns at once, connected or not. A target of this name that the store
/// knows from before goes on where it was.
///
/// `url` is repliq://user@host:port, with /queue where the queue at the target has another name than the root,
/// or repliq+unix:///path. The options hold the password, at least.
///
/// Fails with REPLIQ_INVALID (also without a user or a password), REPLIQ_EXISTS (the name is in use), REPLIQ_TOO_LARGE,
/// REPLIQ_CERTIFICATE (`ca_file` holds none), REPLIQ_UNSUPPORTED, REPLIQ_CLOSED. What the server refuses is told by
/// repliq_replication_target and repliq_replication_status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_add(
    replication: *mut repliq_replication,
    name: *const c_char,
    url: *const c_char,
    options: *const repliq_target_options,
) -> repliq_code {
    boundary(|| {
        let replication = pin(replication)?;
        // SAFETY: the caller's contract: two texts, options or NULL.
        let (name, url, options) =
            unsafe { (text(name, "name")?, text(url, "url")?, target_options(options)?) };
        replication.add(name, url, &options)
    })
}

unsafe fn target_options(options: *const repliq_target_options) -> Result<TargetOptions> {
    let mut chosen = TargetOptions::default();
    // SAFETY: the caller's contract of `repliq_replication_add`.
    let Some(options) = (unsafe { argument::options(options)? }) else { return Ok(chosen) };
    let connect = &mut chosen.connect;
    // SAFETY: the caller's contract: texts or NULL, a password.
    unsafe {
        chosen.queue = maybe_text(options.queue, "queue")?.map(Into::into);
        connect.user = maybe_text(options.user, "user")?.map(Into::into);
        connect.ca_file = maybe_text(options.ca_file, "ca_file")?.map(Into::into);
        connect.server_name = maybe_text(options.server_name, "server_name")?.map(Into::into);
        let password = &options.password;
        let password = bytes(password.data, password.len, PASSWORD_BYTES_MAX, "a password")?;
        connect.password = (!password.is_empty()).then(|| Password::from(password));
        chosen.select = select(options)?;
    }
    connect.plain = yes(options.plain, connect.plain, "plain")?;
    connect.reconnect = yes(options.reconnect, connect.reconnect, "reconnect")?;
    connect.heartbeat_ms = or(options.heartbeat_ms, connect.heartbeat_ms);
    connect.connect_timeout_ms = or(options.connect_timeout_ms, connect.connect_timeout_ms);
    connect.reconnect_ms_max = or(options.reconnect_ms_max, connect.reconnect_ms_max);
    chosen.from = match options.from {
        REPLIQ_FROM_OLDEST => From::Oldest,
        REPLIQ_FROM_NOW => From::Now,
        other => {
            let text = format!("from is {other}, not REPLIQ_FROM_OLDEST or REPLIQ_FROM_NOW");
            return Err(invalid(text));
        }
    };
    Ok(chosen)
}

unsafe fn select(options: &repliq_target_options) -> Result<Select> {
    // SAFETY: the caller's contract of `repliq_replication_add`: an array, bytes, texts or NULL.
    let (kinds, prefix, name, value) = unsafe {
        let prefix = &options.key_prefix;
        (
            array(options.kinds, options.kind_count, "kinds")?,
            bytes(prefix.data, prefix.len, ROOM_BYTES_MAX, "key_prefix")?,
            maybe_text(options.header_name, "header_name")?,
            maybe_text(options.header_value, "header_value")?,
        )
    };
    let header = match (name, value) {
        (None, Some(_)) => return Err(invalid("header_value without header_name")),
        (name, value) => name.map(|name| (name.to_owned(), value.map(str::to_owned))),
    };
    let key_prefix = (!prefix.is_empty()).then(|| prefix.to_vec());
    Ok(Select { kinds: kinds.to_vec(), key_prefix, header })
}

unsafe fn with_target(
    replication: *mut repliq_replication,
    name: *const c_char,
    call: impl FnOnce(&Replication, &str) -> Result<()>,
) -> repliq_code {
    boundary(|| {
        let replication = pin(replication)?;
        // SAFETY: the caller's contract: a text.
        call(&replication, unsafe { text(name, "name")? })
    })
}

/// Ends a target for good: it gets nothing more, and messages only it waited for may go.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_remove(
    replication: *mut repliq_replication,
    name: *const c_char,
) -> repliq_code {
    // SAFETY: the caller's contract.
    unsafe { with_target(replication, name, Replication::remove) }
}

/// Sets the transaction aside that a target refuses, for this target only. It is counted on both sides.
///
/// Fails with REPLIQ_INVALID (it refuses nothing), REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_skip(
    replication: *mut repliq_replication,
    name: *const c_char,
) -> repliq_code {
    // SAFETY: the caller's contract.
    unsafe { with_target(replication, name, Replication::skip) }
}

/// Lets a target go on that is behind what is still kept. What it misses is recorded on both sides.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_accept_gap(
    replication: *mut repliq_replication,
    name: *const c_char,
) -> repliq_code {
    // SAFETY: the caller's contract.
    unsafe { with_target(replication, name, Replication::accept_gap) }
}

/// Sends a message of a kind: into the open job, or as a transaction of its own that is as durable as asked when
/// the call returns, whether a target is connected or not.
///
/// The bytes are copied; NULL with a `len` of 0 is an empty payload.
///
/// Fails as repliq_store_put does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_send(
    replication: *mut repliq_replication,
    kind: u16,
    payload: *const c_void,
    len: usize,
) -> repliq_code {
    boundary(|| {
        let replication = pin(replication)?;
        // SAFETY: the caller's contract: `payload` readable for `len`.
        let payload = unsafe { bytes(payload, len, ROOM_BYTES_MAX, "a payload")? };
        replication.send_message(&Message { kind, ..Message::new(payload) }).map(drop)
    })
}

/// Sends `n` messages, all or none; see repliq_replication_send.
///
/// The bytes are copied. `result` may be NULL; in a job its token is empty, and the one of the end of the job
/// counts.
///
/// Fails as repliq_store_put does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_send_many(
    replication: *mut repliq_replication,
    messages: *const repliq_message,
    n: usize,
    result: *mut repliq_result,
) -> repliq_code {
    boundary(|| {
        let replication = pin(replication)?;
        // SAFETY: the caller's contract: `n` messages, NULL or a place for the result.
        let (messages, out) =
            unsafe { (array(messages, n, "messages")?, Out::maybe(result, "result")?) };
        // SAFETY: the caller's contract: what the messages point to is readable.
        let commit = unsafe { message::with(messages, |all| replication.send_many(all)) }?;
        out.put(argument::result(&commit));
        Ok(())
    })
}

/// Begins a job: what is sent from now on is one transaction, invisible until its end.
///
/// Fails with REPLIQ_EXISTS (a job is open), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_start_job(
    replication: *mut repliq_replication,
) -> repliq_code {
    boundary(|| pin(replication)?.start_job())
}

/// Commits the job. Every target gets it as a whole.
///
/// `result` may be NULL.
///
/// Fails with REPLIQ_INVALID (no job is open), or as repliq_session_commit does; the job is over in any case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_end_job(
    replication: *mut repliq_replication,
    result: *mut repliq_result,
) -> repliq_code {
    boundary(|| {
        let replication = pin(replication)?;
        // SAFETY: the caller's contract: NULL or a place for the result.
        let out = unsafe { Out::maybe(result, "result")? };
        out.put(argument::result(&replication.end_job()?));
        Ok(())
    })
}

/// Gives the job up: nothing sent since its start is left.
///
/// Fails with REPLIQ_INVALID (no job is open), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_abort_job(
    replication: *mut repliq_replication,
) -> repliq_code {
    boundary(|| pin(replication)?.abort_job())
}

/// Sees to it that everything committed goes out now. It does so by itself; this is for those used to asking.
///
/// Fails with REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_push(
    replication: *mut repliq_replication,
) -> repliq_code {
    boundary(|| pin(replication)?.push())
}

/// Writes root, targets and whether a job is open, as JSON, to `text`, which has room for `size` bytes, and the
/// length of the whole to `*len`.
///
/// Like snprintf: where `*len` is not less than `size`, the text was cut; a `size` of 0 with a `text` of NULL
/// only asks for the length. Otherwise `len` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (size), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_status(
    replication: *mut repliq_replication,
    text: *mut c_char,
    size: usize,
    len: *mut usize,
) -> repliq_code {
    boundary(|| {
        let replication = pin(replication)?;
        // SAFETY: the caller's contract: room for `size` bytes, NULL or a place for the length.
        unsafe { put_text(text, size, len, || replication.status()) }
    })
}

/// Stores in `*status` how the target of this name is. Thread-safe.
///
/// Fails with REPLIQ_INVALID (NULL, unknown size), REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_target(
    replication: *mut repliq_replication,
    name: *const c_char,
    status: *mut repliq_target_status,
) -> repliq_code {
    boundary(|| {
        let replication = pin(replication)?;
        // SAFETY: the caller's contract: a text, and a struct as long as it says.
        let (name, out) =
            unsafe { (text(name, "name")?, Out::sized(status, "status", "repliq_target_status")?) };
        let target = replication.target(name)?;
        let answer = |yes: bool| if yes { REPLIQ_YES } else { REPLIQ_NO };
        let mut found = repliq_target_status {
            size: size_of::<repliq_target_status>(),
            connected: answer(target.is_connected()),
            stopped: answer(target.state == "stopped"),
            position_sequence: target.position.sequence,
            position_epoch: target.position.epoch,
            reserved: 0,
            lag_messages: target.lag_messages,
            lag_bytes: target.lag_bytes,
            lag_ms: target.lag_ms,
            last_error: [0; REPLIQ_ERROR_TEXT_SIZE],
        };
        fill(&mut found.last_error, target.last_error.as_deref().unwrap_or_default());
        out.put(found);
        Ok(())
    })
}

/// Waits until every target has everything that is committed now, at most `timeout_ms`, and ends the links. The
/// handle still wants to be closed.
///
/// Fails with REPLIQ_TIMEOUT (the rest goes out when the root is replicated again), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_stop(
    replication: *mut repliq_replication,
    timeout_ms: u64,
) -> repliq_code {
    boundary(|| pin(replication)?.stop(wait(timeout_ms)))
}

/// Ends the links at once and closes a replication; an open job is rolled back. What the targets lack goes out
/// when the root is replicated again. NULL is fine.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the replication).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_replication_close(
    replication: *mut repliq_replication,
) -> repliq_code {
    boundary(|| {
        if !replication.is_null() {
            drop(handle::close(replication, Replication::close)?);
        }
        Ok(())
    })
}
