//! How to connect to a server.

use crate::error::{Code, Error, Result};
use crate::secret::Password;
use crate::wire::{HEARTBEAT_MS_MAX, HEARTBEAT_MS_MIN};
use std::path::PathBuf;

/// How to connect to a server; `Default` is verified TLS with the roots of the system.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// As whom to log in, where the URL does not say.
    pub user: Option<String>,
    /// The password of that user. It never leaves this process.
    pub password: Option<Password>,
    /// Plain TCP instead of TLS; the server must allow it, too. Unix sockets need neither.
    pub plain: bool,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name the server's certificate must hold, where it is not the host of the URL.
    pub server_name: Option<String>,
    /// Milliseconds after which a silent connection shows that it lives; three times the other side's
    /// without a sign, and it counts as dead.
    pub heartbeat_ms: u64,
    /// Milliseconds for everything from the name of the host to the end of the login.
    pub connect_timeout_ms: u64,
    /// The longest time between two tries, in milliseconds.
    pub reconnect_ms_max: u64,
    /// Whether to try again after a failure or a lost connection; without it there is one try.
    pub reconnect: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            user: None,
            password: None,
            plain: false,
            ca_file: None,
            server_name: None,
            heartbeat_ms: 5_000,
            connect_timeout_ms: 10_000,
            reconnect_ms_max: 30_000,
            reconnect: true,
        }
    }
}

impl ConnectOptions {
    /// Fails with INVALID where a value is out of its bounds.
    pub fn check(&self) -> Result<()> {
        const HOUR_MS: u64 = 3_600_000;
        let rows = [
            (
                "heartbeat_ms",
                self.heartbeat_ms,
                u64::from(HEARTBEAT_MS_MIN),
                u64::from(HEARTBEAT_MS_MAX),
            ),
            ("connect_timeout_ms", self.connect_timeout_ms, 1, HOUR_MS),
            ("reconnect_ms_max", self.reconnect_ms_max, 1, HOUR_MS),
        ];
        for (name, value, min, max) in rows {
            if !(min..=max).contains(&value) {
                let text = format!("{name} is {value}, which is not between {min} and {max}");
                return Err(Error::new(Code::Invalid, text));
            }
        }
        Ok(())
    }
}
