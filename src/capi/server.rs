//! Servers: a store for others to reach.

use std::ffi::c_char;

use crate::error::{Error, Result};
use crate::secret::Password;
use crate::server::{Right, Server, ServerOptions, UserSource, Users, Verb};

use super::argument::{self, Out, array, bytes, invalid, maybe_text, or, put_text, text, yes};
use super::boundary::boundary;
use super::handle::{self, Face, pin};
use super::types::*;

/// More than a configuration holds.
const PASSWORD_BYTES_MAX: usize = 64 << 10;

impl Face for repliq_server {
    type Object = Server;
    const KIND: u8 = 8;
    const NAME: &'static str = "server";
}

/// Serves a store to others and stores the server in `*server`.
///
/// The options say at least whether it speaks TLS or plain TCP, and who its users are. Close with
/// repliq_server_close, before or after the store.
///
/// Fails with REPLIQ_INVALID, REPLIQ_LOCKED (an address is in use), REPLIQ_CERTIFICATE, REPLIQ_NO_SUCH_NAME (no
/// users file), REPLIQ_PERMISSION, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_server_open(
    store: *mut repliq_store,
    options: *const repliq_server_options,
    server: *mut *mut repliq_server,
) -> repliq_code {
    boundary(|| {
        let store = pin(store)?;
        // SAFETY: the caller's contract: options and a place for the handle.
        let (out, options) = unsafe { (Out::needed(server, "server")?, server_options(options)?) };
        out.put(handle::open(Server::open(&store, &options)?)?);
        Ok(())
    })
}

unsafe fn server_options(options: *const repliq_server_options) -> Result<ServerOptions> {
    let mut chosen = ServerOptions::default();
    // SAFETY: the caller's contract of `repliq_server_open`.
    let given = unsafe { argument::options(options)? };
    let options = given.ok_or_else(|| invalid("options is NULL"))?;
    chosen.plain = yes(options.plain, chosen.plain, "plain")?;
    let limits = &mut chosen.limits;
    let count = |value: u32, default: usize| if value == 0 { default } else { value as usize };
    limits.connections_max = count(options.connections_max, limits.connections_max);
    limits.strangers_max = count(options.strangers_max, limits.strangers_max);
    limits.failures_max = match options.failures_max {
        0 => limits.failures_max,
        max => max,
    };
    limits.sessions_max = count(options.sessions_max, limits.sessions_max);
    limits.transactions_max = count(options.transactions_max, limits.transactions_max);
    limits.staged_bytes_max = or(options.staged_bytes_max, limits.staged_bytes_max);
    limits.user_share = match options.user_share {
        0 => limits.user_share,
        share => share,
    };
    limits.login_ms = or(options.login_ms, limits.login_ms);
    limits.failure_wait_ms_max = or(options.failure_wait_ms_max, limits.failure_wait_ms_max);
    chosen.heartbeat_ms = or(options.heartbeat_ms, chosen.heartbeat_ms);
    // SAFETY: the caller's contract: arrays of texts and users, texts or NULL.
    unsafe {
        let listen = array(options.listen, options.listen_count, "listen")?;
        if !listen.is_empty() {
            let texts = listen.iter().map(|one| text(*one, "listen").map(str::to_owned));
            chosen.listen = texts.collect::<Result<_>>()?;
        }
        let certificate = maybe_text(options.certificate_file, "certificate_file")?;
        chosen.certificate_file = certificate.map(Into::into);
        chosen.key_file = maybe_text(options.key_file, "key_file")?.map(Into::into);
        let file = maybe_text(options.users_file, "users_file")?;
        chosen.users = match (file, array(options.users, options.user_count, "users")?) {
            (Some(file), []) => UserSource::File(file.into()),
            (None, inline) => UserSource::Inline(users(inline)?),
            (Some(_), _) => {
                return Err(invalid("users come from a file or from an array, not both"));
            }
        };
    }
    Ok(chosen)
}

unsafe fn users(inline: &[repliq_user]) -> Result<Users> {
    let mut users = Users::new();
    for user in inline {
        // SAFETY: the caller's contract: three texts and a password.
        let (name, password, verbs, queues) = unsafe {
            (
                text(user.name, "the name of a user")?,
                bytes(user.password.data, user.password.len, PASSWORD_BYTES_MAX, "a password")?,
                text(user.verbs, "the verbs of a user")?,
                text(user.queues, "the queues of a user")?,
            )
        };
        let list = |text: &str| -> Vec<String> {
            text.split(',').map(|part| part.trim().to_owned()).collect()
        };
        let verb = |name: String| {
            let known = Verb::ALL.iter().find(|verb| verb.name() == name).copied();
            known.ok_or_else(|| invalid(format!("{name:?} is no verb that a user can have")))
        };
        let verbs = list(verbs).into_iter().map(verb).collect::<std::result::Result<_, Error>>()?;
        users.add(name, &Password::from(password))?;
        users.set_rights(name, &[Right { verbs, queues: list(queues) }])?;
    }
    Ok(users)
}

/// Writes who is connected and what came of strangers, as JSON, to `text`, which has room for `size` bytes, and
/// the length of the whole to `*len`.
///
/// Like snprintf: where `*len` is not less than `size`, the text was cut; a `size` of 0 with a `text` of NULL
/// only asks for the length. Otherwise `len` may be NULL. Thread-safe.
///
/// Fails with REPLIQ_INVALID, REPLIQ_TOO_LARGE (size), REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_server_status(
    server: *mut repliq_server,
    text: *mut c_char,
    size: usize,
    len: *mut usize,
) -> repliq_code {
    boundary(|| {
        let server = pin(server)?;
        // SAFETY: the caller's contract: room for `size` bytes, NULL or a place for the length.
        unsafe { put_text(text, size, len, || server.status()) }
    })
}

/// Reads users, certificate and key again. Users that were removed or changed are cut off at once; what cannot
/// be read leaves everything as it was. Thread-safe.
///
/// Fails with REPLIQ_NO_SUCH_NAME, REPLIQ_PERMISSION, REPLIQ_INVALID, REPLIQ_CERTIFICATE, REPLIQ_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_server_reload(server: *mut repliq_server) -> repliq_code {
    boundary(|| pin(server)?.reload())
}

/// Tells every client goodbye and gives the addresses free. The store stays open. NULL is fine.
///
/// Fails with REPLIQ_BAD_HANDLE, REPLIQ_BUSY (from a callback of a call on the server).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_server_close(server: *mut repliq_server) -> repliq_code {
    boundary(|| {
        if server.is_null() {
            return Ok(());
        }
        drop(handle::close(server, |server| {
            server.close();
            Ok(())
        })?);
        Ok(())
    })
}
