//! How a server is opened, and the bounds it keeps.

use super::users::{UserSource, Users};
use crate::error::{Code, Error, Result};
use crate::wire::{HEARTBEAT_MS_MAX, HEARTBEAT_MS_MIN};
use std::path::PathBuf;

/// How a server is opened.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where it listens: `host:port`, `[address]:port`, port 0 for any that is free, `unix:/path/of/socket`.
    pub listen: Vec<String>,
    /// Whether plain TCP is allowed. With a certificate, too, each connection says itself what it speaks.
    pub plain: bool,
    /// PEM file of the certificate chain for TLS.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
    /// Who may log in.
    pub users: UserSource,
    /// Milliseconds after which a silent connection shows that it lives.
    pub heartbeat_ms: u64,
    /// What a stranger, a user and all together may take.
    pub limits: ServerLimits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            listen: vec![format!("127.0.0.1:{}", crate::link::PORT)],
            plain: false,
            certificate_file: None,
            key_file: None,
            users: UserSource::Inline(Users::new()),
            heartbeat_ms: 5_000,
            limits: ServerLimits::default(),
        }
    }
}

/// What a stranger, a user and all together may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at one time.
    pub connections_max: usize,
    /// Of these, connections that have not logged in. One more, and the one goes that waits longest without
    /// having said anything.
    pub strangers_max: usize,
    /// Milliseconds from the first byte to the end of the login.
    pub login_ms: u64,
    /// Failed logins of one user from one address before the next ones have to wait.
    pub failures_max: u32,
    /// The longest of these waits, in milliseconds.
    pub failure_wait_ms_max: u64,
    /// Sessions that are open at one time, over all connections.
    pub sessions_max: usize,
    /// Of these, sessions whose transaction has put or received something.
    pub transactions_max: usize,
    /// Bytes that open transactions have staged, with 64 for each message.
    pub staged_bytes_max: u64,
    /// How many percent of each of these three, of the sessions a store remembers and of its prepared transactions, one user has at most.
    pub user_share: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            connections_max: 1_024,
            strangers_max: 64,
            login_ms: 5_000,
            failures_max: 5,
            failure_wait_ms_max: 30_000,
            sessions_max: 16_384,
            transactions_max: 4_096,
            staged_bytes_max: 4 << 30,
            user_share: 50,
        }
    }
}

impl ServerOptions {
    /// Fails as an open would where a value is out of its bounds, or users, certificate or key cannot be used;
    /// addresses are not tried.
    pub fn check(&self) -> Result<()> {
        self.check_values()?;
        super::load_acceptor(self)?;
        self.users.load().map(|_| ())
    }

    pub(super) fn check_values(&self) -> Result<()> {
        let refused = |text: String| Err(Error::new(Code::Invalid, text));
        let limits = &self.limits;
        let beats = u64::from(HEARTBEAT_MS_MIN)..=u64::from(HEARTBEAT_MS_MAX);
        if !beats.contains(&self.heartbeat_ms) {
            let (min, max, ms) = (beats.start(), beats.end(), self.heartbeat_ms);
            return refused(format!("heartbeat_ms is {ms}, which is not between {min} and {max}"));
        }
        let counts = [limits.connections_max, limits.strangers_max];
        let least = counts.into_iter().chain([limits.sessions_max, limits.transactions_max]).min();
        let none = limits.login_ms == 0 || limits.failures_max == 0 || limits.staged_bytes_max == 0;
        if least == Some(0) || none {
            return refused("a server's limits are at least 1".into());
        }
        if !(1..=100).contains(&limits.user_share) {
            let share = limits.user_share;
            return refused(format!(
                "user_share is {share}, which is not between 1 and 100 percent"
            ));
        }
        if self.listen.is_empty() {
            return refused("a server listens somewhere: no address was given".into());
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            return refused("a certificate has a key: give both files or none".into());
        }
        Ok(())
    }
}
