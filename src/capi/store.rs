//! Stores: open, put, tokens, status.

use std::ffi::{c_char, c_void};

use crate::error::Result;
use crate::limits::PASSWORD_BYTES_MAX;
use crate::link::ConnectOptions;
use crate::secret::Password;
use crate::session::{Store, StoreOptions};

use super::argument::{
    self, Out, array, invalid, level, maybe_text, or, put_text, text, wait, yes,
};
use super::boundary::{boundary, quiet_panics};
use super::handle::{self, Face, pin};
use super::message;
use super::transaction;
use super::types::*;

impl Face for repliq_store {
    type Object = Store;
    const KIND: u8 = 1;
    const NAME: &'static str = "store";
}

/// Opens the store in the directory `path`, which is created when there is none, and stores it in `*store`. A `path`
/// such as "repliq://user@host:port" or "repliq+unix://user@/path/of/socket" opens the store at that server.
///
/// For a directory no thread is started and no socket opened. At a server `password` is the user's; a connection that
/// is lost comes back by itself, and what only the owner of a directory can do, such as a backup, is
/// REPLIQ_UNSUPPORTED. `options` may be NULL. Close with repliq_store_close.
///
/// Fails with REPLIQ_INVALID (NULL, not UTF-8, an option out of range), REPLIQ_TOO_LARGE (a text, the password),
/// REPLIQ_NOT_A_STORE (something else is there, or nothing and `create` is REPLIQ_NO), REPLIQ_LOCKED (open elsewhere;
/// the owner is named), REPLIQ_BAD_PASSWORD (wrong, missing or needless), REPLIQ_PERMISSION, REPLIQ_VERSION,
/// REPLIQ_CORRUPT (what is left can be read with `read_only`), REPLIQ_NO_SPACE, REPLIQ_IO; for a URL with
/// REPLIQ_INVALID, REPLIQ_UNREACHABLE, REPLIQ_DENIED, REPLIQ_CERTIFICATE, REPLIQ_PROTOCOL, REPLIQ_TIMEOUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_open(
    path: *const c_char,
    options: *const repliq_store_options,
    store: *mut *mut repliq_store,
) -> repliq_code {
    boundary(|| {
        quiet_panics();
        // SAFETY: the caller's contract: a text, options or NULL, and a place for the handle.
        let (path, options, out) =
            unsafe { (text(path, "path")?, store_options(options)?, Out::needed(store, "store")?) };
        out.put(handle::open(Store::open(path, &options)?)?);
        Ok(())
    })
}

unsafe fn store_options(options: *const repliq_store_options) -> Result<StoreOptions> {
    let mut chosen = StoreOptions::default();
    // SAFETY: the caller's contract of `repliq_store_open`.
    let Some(options) = (unsafe { argument::options(options)? }) else { return Ok(chosen) };
    if options.password.len > 0 {
        let (data, len) = (options.password.data, options.password.len);
        // SAFETY: the caller's contract: the password is readable for its length.
        let bytes = unsafe { argument::bytes(data, len, PASSWORD_BYTES_MAX, "password")? };
        chosen.password = Some(Password::from(bytes));
    }
    chosen.create = yes(options.create, chosen.create, "create")?;
    chosen.read_only = yes(options.read_only, chosen.read_only, "read_only")?;
    chosen.helper = yes(options.helper, chosen.helper, "helper")?;
    chosen.level = level(options.level, "level")?.unwrap_or(chosen.level);
    chosen.horizon = level(options.horizon, "horizon")?.unwrap_or(chosen.horizon);
    chosen.segment_bytes = or(options.segment_bytes, chosen.segment_bytes);
    chosen.segment_bytes_max = or(options.segment_bytes_max, chosen.segment_bytes_max);
    chosen.keep_ms = or(options.keep_ms, chosen.keep_ms);
    chosen.keep_bytes = or(options.keep_bytes, chosen.keep_bytes);
    chosen.quota_bytes = or(options.quota_bytes, chosen.quota_bytes);
    // SAFETY: the caller's contract: texts or NULL.
    chosen.connect = unsafe { connect_options(options)? };
    Ok(chosen)
}

/// How the server of a URL is reached; the password is the store's.
unsafe fn connect_options(options: &repliq_store_options) -> Result<ConnectOptions> {
    let mut chosen = ConnectOptions::default();
    // SAFETY: the caller's contract of `repliq_store_open`.
    let (user, ca_file, server_name) = unsafe {
        (
            maybe_text(options.user, "user")?,
            maybe_text(options.ca_file, "ca_file")?,
            maybe_text(options.server_name, "server_name")?,
        )
    };
    chosen.user = user.map(Into::into);
    chosen.ca_file = ca_file.map(Into::into);
    chosen.server_name = server_name.map(Into::into);
    chosen.plain = yes(options.plain, chosen.plain, "plain")?;
    chosen.reconnect = yes(options.reconnect, chosen.reconnect, "reconnect")?;
    chosen.heartbeat_ms = or(options.heartbeat_ms, chosen.heartbeat_ms);
    chosen.connect_timeout_ms = or(options.connect_timeout_ms, chosen.connect_timeout_ms);
    chosen.reconnect_ms_max = or(options.reconnect_ms_max, chosen.reconnect_ms_max);
    Ok(chosen)
}

/// Makes everything durable, ends the store's threads and gives the directory free; leaves the server of a URL, where
/// what is open is rolled back.
///
/// Waits for calls inside. Sessions, consumers, listeners and snapshots of the store answer REPLIQ_CLOSED from
/// now on and still want to be closed. NULL is fine.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the store), REPLIQ_IO; after
/// REPLIQ_IO the handle is closed all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_close(store: *mut repliq_store) -> repliq_code {
    boundary(|| {
        if store.is_null() {
            return Ok(());
        }
        let mut closed = Ok(());
        drop(handle::close(store, |store| {
            closed = store.close();
            Ok(())
        })?);
        closed
    })
}

/// Gives an encrypted store another password: `len` bytes at `data`, 1 to 4,096.
///
/// The bytes are copied, and wiped after use. Only the key file is written anew, in a way that a crash leaves one
/// of the two passwords valid. Thread-safe; takes as long as the derivation of a key, about 0.2 s.
///
/// Fails with REPLIQ_INVALID (NULL, empty, or a store that is not encrypted), REPLIQ_TOO_LARGE,
/// REPLIQ_READ_ONLY, REPLIQ_NO_SPACE, REPLIQ_IO, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_password(
    store: *mut repliq_store,
    data: *const c_void,
    len: usize,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: `data` readable for `len`.
        let password = unsafe { argument::bytes(data, len, PASSWORD_BYTES_MAX, "password")? };
        store.change_password(&Password::from(password))
    })
}

/// Copies everything committed into the directory `dest`, while others go on writing, and stores what was done in
/// `*info`.
///
/// Another backup into the same directory copies only what is new; a stop at any time leaves the backup that was
/// there before. The directory is no store: repliq_store_restore makes one of it. `info` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NOT_A_STORE (`dest` holds other things), REPLIQ_EXISTS (a backup of another
/// store), REPLIQ_LOCKED (another backup goes there), REPLIQ_CORRUPT (what is to be copied is damaged),
/// REPLIQ_BUSY, REPLIQ_NO_SPACE, REPLIQ_PERMISSION, REPLIQ_IO, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_backup(
    store: *mut repliq_store,
    dest: *const c_char,
    info: *mut repliq_backup,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: a text, and NULL or a place for what was done.
        let (dest, out) = unsafe { (text(dest, "dest")?, Out::maybe(info, "info")?) };
        out.put(argument::backup(&store.backup(dest)?));
        Ok(())
    })
}

/// Makes a store of the backup in the directory `backup`, in the directory `path`, which must be empty or missing,
/// and stores what was done in `*info`.
///
/// The store begins a new epoch: what was committed behind the backup is lost, and its tokens answer
/// REPLIQ_NOT_FOUND. Of `options` the password and the sizes count; `options` may be NULL. `info` may be NULL.
///
/// Fails with REPLIQ_INVALID, REPLIQ_NOT_A_STORE (no backup), REPLIQ_EXISTS (`path` is not empty), REPLIQ_CORRUPT,
/// REPLIQ_BAD_PASSWORD, REPLIQ_LOCKED, REPLIQ_NO_SPACE, REPLIQ_PERMISSION, REPLIQ_IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_restore(
    backup: *const c_char,
    path: *const c_char,
    options: *const repliq_store_options,
    info: *mut repliq_backup,
) -> repliq_code {
    boundary(|| {
        quiet_panics();
        // SAFETY: the caller's contract: two texts.
        let (backup, path) = unsafe { (text(backup, "backup")?, text(path, "path")?) };
        // SAFETY: the caller's contract: options or NULL, and NULL or a place for what was done.
        let (options, out) = unsafe { (store_options(options)?, Out::maybe(info, "info")?) };
        out.put(argument::backup(&Store::restore(backup, path, &options)?));
        Ok(())
    })
}

/// Stores the queue of this name in `*queue`; it is created on first use.
///
/// A name has 1 to 255 bytes of UTF-8 without control characters. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (the name), REPLIQ_QUOTA, REPLIQ_READ_ONLY, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_queue(
    store: *mut repliq_store,
    name: *const c_char,
    queue: *mut repliq_queue,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: a text and a place for the queue.
        let (name, out) = unsafe { (text(name, "name")?, Out::needed(queue, "queue")?) };
        out.put(store.queue(name)?.number());
        Ok(())
    })
}

/// Puts `n` messages into a queue as one transaction and waits until it is as durable as asked.
///
/// The bytes are copied. `options` may be NULL, `result` may be NULL. Thread-safe: callers that meet share a
/// sync.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE, REPLIQ_NO_SUCH_NAME (the queue is deleted), REPLIQ_PAUSED,
/// REPLIQ_OUT_OF_ORDER, REPLIQ_UNSUPPORTED, REPLIQ_NO_SPACE, REPLIQ_READ_ONLY: nothing was put, and
/// message_index of the error says where. REPLIQ_OUTCOME_UNKNOWN: the disk failed, the next open decides.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_put(
    store: *mut repliq_store,
    queue: repliq_queue,
    messages: *const repliq_message,
    n: usize,
    options: *const repliq_put_options,
    result: *mut repliq_result,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: `n` messages, options or NULL, NULL or a place for the result.
        let (messages, options, out) = unsafe {
            (
                array(messages, n, "messages")?,
                argument::options(options)?,
                Out::maybe(result, "result")?,
            )
        };
        let asked = options.map_or(Ok(None), |options| level(options.level, "level"))?;
        let queue = message::queue(queue);
        // SAFETY: the caller's contract: what the messages point to is readable.
        let commit = unsafe {
            message::with(messages, |messages| match asked {
                None => store.put(queue, messages),
                Some(level) => store.put_at(queue, messages, level),
            })
        }?;
        out.put(argument::result(&commit));
        Ok(())
    })
}

/// Puts `n` messages as one transaction at the store's level without waiting; `port` gets the outcome under
/// `tag`.
///
/// The bytes are copied before it returns. Thread-safe.
///
/// Fails as repliq_store_put does for what can be told at once; then the port gets nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_put_start(
    store: *mut repliq_store,
    queue: repliq_queue,
    messages: *const repliq_message,
    n: usize,
    port: *mut repliq_port,
    tag: u64,
) -> repliq_code {
    boundary(|| {
        let (store, port) = (pin(store)?, pin(port)?);
        // SAFETY: the caller's contract: `n` messages.
        let messages = unsafe { array(messages, n, "messages")? };
        let queue = message::queue(queue);
        // SAFETY: the caller's contract: what the messages point to is readable.
        unsafe { message::with(messages, |all| store.put_start(queue, all, port.port(), tag)) }
    })
}

/// Waits until the transactions of all `n` tokens are at a place, at most `timeout_ms`.
///
/// `at` is "" (applied and durable here), "target:NAME", "target:*" (at every target) or "consumer:NAME"
/// (acknowledged); `at` may be NULL, which is "". Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TIMEOUT, REPLIQ_EMPTY (the transaction wrote nothing), REPLIQ_NOT_FOUND
/// (lost; final), REPLIQ_WRONG_GROUP, REPLIQ_NO_SUCH_NAME, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_wait(
    store: *mut repliq_store,
    at: *const c_char,
    tokens: *const repliq_token,
    n: usize,
    timeout_ms: u64,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: a text or NULL, and `n` tokens.
        let (at, tokens) = unsafe { (maybe_text(at, "at")?, argument::tokens(tokens, n)?) };
        store.wait(at.unwrap_or(""), &tokens, wait(timeout_ms))
    })
}

/// The same without waiting; `port` gets the outcome under `tag`, with the last token in its result.
///
/// `at` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_CLOSED; then the port gets nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_watch(
    store: *mut repliq_store,
    at: *const c_char,
    tokens: *const repliq_token,
    n: usize,
    port: *mut repliq_port,
    tag: u64,
) -> repliq_code {
    boundary(|| {
        let (store, port) = (pin(store)?, pin(port)?);
        // SAFETY: the caller's contract: a text or NULL, and `n` tokens.
        let (at, tokens) = unsafe { (maybe_text(at, "at")?, argument::tokens(tokens, n)?) };
        store.watch(at.unwrap_or(""), &tokens, port.port(), tag)
    })
}

/// Stores what became of a session's transaction in `*outcome`, finally: a commit that is under way is waited for, and
/// one that has not begun never will be; its session hears REPLIQ_ROLLED_BACK.
///
/// REPLIQ_OUTCOME_EXPIRED answers for all before the session's last committed transaction, and for sessions that were
/// not used for 24 hours. Thread-safe.
///
/// Fails with REPLIQ_INVALID (NULL, no identity, or one its session never came to), REPLIQ_DENIED (another user's),
/// REPLIQ_READ_ONLY, REPLIQ_CLOSED; at a server with REPLIQ_UNREACHABLE, REPLIQ_TIMEOUT: ask again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_resolve(
    store: *mut repliq_store,
    id: *const repliq_transaction_id,
    outcome: *mut repliq_outcome,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: an identity and a place for the outcome.
        let (id, out) = unsafe { (transaction::id(id, "id")?, Out::needed(outcome, "outcome")?) };
        out.put(transaction::outcome(&store.resolve(&id)?));
        Ok(())
    })
}

/// Commits a prepared transaction, or rolls it back where `commit` is REPLIQ_NO, durably; `*result` gets where that is in
/// the order of commits. `result` may be NULL.
///
/// It may come from anywhere and again: asked twice it says the same. How one ended is known for 24 hours, of the last
/// 16,384; where it was ended by hand, from the command line, longer.
///
/// Fails with REPLIQ_INVALID (no identity, a `commit` that is neither; also a roll back of what was committed before),
/// REPLIQ_ROLLED_BACK (a commit of what was rolled back before), REPLIQ_NO_SUCH_NAME (none is known), REPLIQ_DENIED
/// (another user's), REPLIQ_NO_SPACE (it waits on), REPLIQ_READ_ONLY, REPLIQ_CLOSED; at a server with
/// REPLIQ_UNREACHABLE, REPLIQ_TIMEOUT: ask again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_finish(
    store: *mut repliq_store,
    id: *const repliq_transaction_id,
    commit: i32,
    result: *mut repliq_result,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: an identity, and NULL or a place for the result.
        let (id, out) = unsafe { (transaction::id(id, "id")?, Out::maybe(result, "result")?) };
        let commit = match commit {
            REPLIQ_YES => true,
            REPLIQ_NO => false,
            _ => return Err(invalid(format!("commit is {commit}, not REPLIQ_YES or REPLIQ_NO"))),
        };
        out.put(argument::result(&store.finish(&id, commit)?));
        Ok(())
    })
}

/// Writes the prepared transactions that wait, and those that were ended by hand, as a JSON array to `text`, which has
/// room for `size` bytes, and the length of the whole to `*len`, as repliq_store_status does.
/// `len` may be NULL. Thread-safe.
///
/// Each is an object: `transaction` (the identity's text), `xid` (hexadecimal digits), `user`, `since_ms`, `messages` and
/// `bytes` it puts, `held` (messages it has received), `state` (prepared, committed, rolled_back), and of one that was
/// ended `token`, `ended_by` and `ended_ms`. At a server these are the user's own; with the right `admin` on `*`, all.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (size), REPLIQ_CLOSED; at a server as its other calls do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_prepared(
    store: *mut repliq_store,
    text: *mut c_char,
    size: usize,
    len: *mut usize,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: room for `size` bytes, NULL or a place for the length.
        unsafe { put_text(text, size, len, || store.prepared_text()) }
    })
}

/// Writes what the store is and has, as JSON, to `text`, which has room for `size` bytes, and the length of the
/// whole to `*len`.
///
/// Like snprintf: where `*len` is not less than `size`, the text was cut; a `size` of 0 with a `text` of NULL
/// only asks for the length. Otherwise `len` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (size), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_store_status(
    store: *mut repliq_store,
    text: *mut c_char,
    size: usize,
    len: *mut usize,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: room for `size` bytes, NULL or a place for the length.
        unsafe { put_text(text, size, len, || store.status()) }
    })
}
