//! Telling a service manager how the server is: the datagrams of `sd_notify(3)`.
//!
//! Without `NOTIFY_SOCKET` in the environment nobody wants to hear, and nothing is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Who is told.
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment has it.
    pub fn from_environment() -> Notify {
        let variable = |name: &str| std::env::var(name).ok();
        let socket = variable("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&name),
            };
            match (address, UnixDatagram::unbound()) {
                (Ok(address), Ok(socket)) => Some((socket, address)),
                _ => {
                    log::warn!(
                        "cannot tell the service manager anything: NOTIFY_SOCKET is {name:?}"
                    );
                    None
                }
            }
        });
        let mine = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let micros = variable("WATCHDOG_USEC").and_then(|text| text.parse().ok());
        let watchdog = micros.filter(|&micros| mine && micros > 0).map(Duration::from_micros);
        Notify { socket, watchdog }
    }

    /// After which time without a sign the service manager takes the server for stuck.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends one state.
    pub fn say(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            log::warn!("cannot tell the service manager {state:?}: {error}");
        }
    }
}
