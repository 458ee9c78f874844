//! How a server is reached, which stores and targets ask in the same words.

use pyo3::prelude::*;
use repliq::{ConnectOptions, Password};
use std::path::PathBuf;

use crate::error::Answer;
use crate::message::text_or_bytes;
use crate::wait::milliseconds;

/// The options of a connection: who logs in, whom it trusts (plain TCP, authorities, the name in the certificate), and its times
/// in seconds: the heartbeat, one try, and the longest pause between two.
pub fn options(
    (user, password): (Option<String>, Option<&Bound<'_, PyAny>>),
    (plain, ca_file, server_name): (bool, Option<PathBuf>, Option<String>),
    (heartbeat, connect_timeout, reconnect_max): (f64, f64, f64),
    reconnect: bool,
) -> Answer<ConnectOptions> {
    Ok(ConnectOptions {
        user,
        password: password.map(text_or_bytes).transpose()?.map(Password::from),
        plain,
        ca_file,
        server_name,
        heartbeat_ms: milliseconds(heartbeat, "heartbeat")?,
        connect_timeout_ms: milliseconds(connect_timeout, "connect_timeout")?,
        reconnect_ms_max: milliseconds(reconnect_max, "reconnect_max")?,
        reconnect,
    })
}
