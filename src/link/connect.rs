//! From an endpoint to a connection that is logged in.

use super::drive::Rhythm;
use super::endpoint::{Endpoint, Place};
use super::options::ConnectOptions;
use super::stream::Stream;
use super::tls;
use crate::error::{Code, Error, Result};
use crate::secret::Password;
use crate::wire::{
    Binding, ClientLogin, Inbox, LOGIN_FRAME_BYTES_MAX, SaltedPassword, Turn, Welcome,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// Fills `bytes` from the random source of the system.
pub fn random(bytes: &mut [u8]) {
    // The source is a system call that cannot fail once the system is up; should it fail all the same, zeros
    // would be a nonce that repeats, so this ends the thread, which tells its owner.
    SystemRandom::new().fill(bytes).expect("the system's random source cannot fail after boot");
}

/// A connection that is logged in.
pub struct Connection {
    pub stream: Stream,
    pub inbox: Inbox,
    pub rhythm: Rhythm,
}

/// What one link needs to connect again and again.
pub struct Connector {
    endpoint: Endpoint,
    options: ConnectOptions,
    user: String,
    password: Password,
    tls: Option<TlsConnector>,
    salted: Option<Arc<SaltedPassword>>,
}

impl Connector {
    /// Checks what can be checked without a connection.
    pub fn new(endpoint: Endpoint, options: ConnectOptions) -> Result<Connector> {
        options.check()?;
        let missing = |what: &str| {
            Error::new(Code::Invalid, format!("cannot connect to {endpoint}: no {what} was given"))
        };
        let user = endpoint.user().or(options.user.as_deref()).ok_or_else(|| missing("user"))?;
        let password = options.password.clone().ok_or_else(|| missing("password"))?;
        let user = user.to_string();
        let mut made = Connector { endpoint, options, user, password, tls: None, salted: None };
        made.check_tls().map_err(|error| made.explain(&error))?;
        Ok(made)
    }

    /// A file that was named is read now, so that a wrong one is told to whoever names it. The authorities of
    /// the system are read at the first try that needs them: they are nobody's mistake here.
    fn check_tls(&mut self) -> Result<()> {
        if let Place::Tcp { host, .. } = self.endpoint.place()
            && !self.options.plain
        {
            tls::server_name(self.options.server_name.as_deref().unwrap_or(host))?;
            if self.options.ca_file.is_some() {
                self.tls = Some(tls::connector(&self.options)?);
            }
        }
        Ok(())
    }

    /// The options.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// An error with the server's name in front.
    pub fn explain(&self, error: &Error) -> Error {
        Error::because(error.code(), format!("connection to {}", self.endpoint), error)
            .caused_by(error.cause())
    }

    /// Connects and logs in.
    pub async fn connect(&mut self) -> Result<Connection> {
        let limit = Duration::from_millis(self.options.connect_timeout_ms);
        let tried = tokio::time::timeout(limit, self.try_connect()).await;
        let outcome = tried.unwrap_or_else(|_| {
            let text = format!("no connection within {} ms", limit.as_millis());
            Err(Error::new(Code::Timeout, text))
        });
        outcome.map_err(|error| self.explain(&error))
    }

    async fn try_connect(&mut self) -> Result<Connection> {
        let (stream, binding) = match self.endpoint.place().clone() {
            Place::Unix(path) => (Stream::Unix(unix(&path).await?), None),
            Place::Tcp { host, port } => {
                let stream = tcp(&host, port).await?;
                if self.options.plain {
                    (Stream::Tcp(stream), None)
                } else {
                    self.secure(&host, stream).await?
                }
            }
        };
        self.log_in(stream, binding).await
    }

    async fn secure(&mut self, host: &str, stream: TcpStream) -> Result<(Stream, Binding)> {
        let connector = match &self.tls {
            Some(connector) => connector,
            None => self.tls.insert(tls::connector(&self.options)?),
        };
        let name = self.options.server_name.as_deref().unwrap_or(host);
        let (stream, binding) = tls::connect(connector, name, stream).await?;
        Ok((Stream::Tls(Box::new(stream)), binding))
    }

    async fn log_in(&mut self, mut stream: Stream, binding: Binding) -> Result<Connection> {
        let own_ms = u32::try_from(self.options.heartbeat_ms).unwrap_or(u32::MAX);
        let mut nonce = [0; 18];
        random(&mut nonce);
        let (mut out, salted) = (Vec::new(), self.salted.clone());
        let mut login = ClientLogin::start(
            &self.user,
            self.password.clone(),
            salted,
            &nonce,
            binding,
            own_ms,
            &mut out,
        )?;
        let mut inbox = Inbox::new(LOGIN_FRAME_BYTES_MAX);
        let welcome = loop {
            if let Turn::Done(welcome) =
                exchange(&mut stream, &mut login, &mut inbox, &mut out).await?
            {
                break welcome;
            }
        };
        self.salted = login.salted();
        let Welcome { heartbeat_ms, frame_bytes_max, .. } = welcome;
        let rhythm = Rhythm::new(own_ms, heartbeat_ms, frame_bytes_max);
        Ok(Connection { stream, inbox, rhythm })
    }
}

/// Sends what is to be sent, reads once, and lets the login look at it.
async fn exchange(
    stream: &mut Stream,
    login: &mut ClientLogin,
    inbox: &mut Inbox,
    out: &mut Vec<u8>,
) -> Result<Turn> {
    // A server that refused may have gone before it read all of this; what it said is still to be read.
    let sent = match stream.write_all(out).await {
        Ok(()) => stream.flush().await,
        Err(error) => Err(error),
    };
    out.clear();
    let count = match stream.read(inbox.room()).await {
        Ok(0) => return Err(Error::new(Code::Unreachable, "the server hung up during the login")),
        Ok(count) => count,
        Err(error) => return Err(tls::failed(&sent.err().unwrap_or(error))),
    };
    inbox.filled(count);
    login.turn(inbox, out)
}

async fn unix(path: &Path) -> Result<UnixStream> {
    UnixStream::connect(path).await.map_err(|error| unreachable(&error))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            found.map_err(|error| unreachable(&error))?.collect()
        }
    };
    let mut last = Error::new(Code::Unreachable, format!("{host} has no address"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Frames are gathered here; the kernel must not wait for more.
                stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
                return Ok(stream);
            }
            Err(error) => last = unreachable(&error),
        }
    }
    Err(last)
}

fn unreachable(error: &io::Error) -> Error {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => Code::Permission,
        _ => Code::Unreachable,
    };
    Error::new(code, error.to_string())
}
