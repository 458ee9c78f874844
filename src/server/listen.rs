//! The sockets a server listens at.

use super::connection::{Shared, Socket, serve};
use super::table::Table;
use crate::error::{Code, Error, Result};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};

const UNIX: &str = "unix:";
/// How long to wait when the system has no more descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// A socket that is bound.
pub enum Door {
    /// TCP, plain or TLS.
    Tcp(StdTcpListener, SocketAddr),
    /// A socket of this machine; its file goes with it.
    Unix(StdUnixListener, SocketFile),
}

/// The file of a socket; removed when dropped.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever removed it before did what this would do.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl fmt::Display for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Door::Tcp(_, address) => write!(out, "{address}"),
            Door::Unix(_, file) => write!(out, "{UNIX}{}", file.0.display()),
        }
    }
}

/// Binds one address. Fails with LOCKED when it is in use, INVALID when it is none.
pub fn bind(text: &str, secured: bool) -> Result<Vec<Door>> {
    if let Some(path) = text.strip_prefix(UNIX) {
        return bind_unix(Path::new(path)).map(|door| vec![door]);
    }
    if !secured {
        let text = format!(
            "cannot listen at {text}: TCP needs a certificate and its key, or plain TCP allowed by option"
        );
        return Err(Error::new(Code::Invalid, text));
    }
    let addresses = text.to_socket_addrs().map_err(|error| {
        Error::new(Code::Invalid, format!("{text:?} is no address to listen at: {error}"))
    })?;
    addresses.map(bind_tcp).collect()
}

fn bind_tcp(address: SocketAddr) -> Result<Door> {
    let listener = StdTcpListener::bind(address).map_err(|error| taken(&address, &error))?;
    listener.set_nonblocking(true).map_err(|error| taken(&address, &error))?;
    let address = listener.local_addr().map_err(|error| taken(&address, &error))?;
    Ok(Door::Tcp(listener, address))
}

fn bind_unix(path: &Path) -> Result<Door> {
    let name = format!("{UNIX}{}", path.display());
    if path.file_name().is_none() {
        let text = format!("cannot listen at {name:?}: it names no file");
        return Err(Error::new(Code::Invalid, text));
    }
    let listener = match StdUnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
            std::fs::remove_file(path).map_err(|error| taken(&name, &error))?;
            StdUnixListener::bind(path)
        }
        outcome => outcome,
    };
    let listener = listener.map_err(|error| taken(&name, &error))?;
    let file = SocketFile(path.into());
    let mine = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mine).map_err(|error| taken(&name, &error))?;
    listener.set_nonblocking(true).map_err(|error| taken(&name, &error))?;
    Ok(Door::Unix(listener, file))
}

/// Whether the socket belongs to a server that is gone.
fn is_left_over(path: &Path) -> bool {
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    UnixStream::connect(path).err().is_some_and(refused)
}

fn taken(address: &dyn fmt::Display, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Error::new(Code::Locked, format!("cannot listen at {address}: it is in use"))
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::InvalidInput => {
            Error::new(Code::Invalid, format!("cannot listen at {address}: {error}"))
        }
        _ => Error::io(format!("cannot listen at {address}"), error),
    }
}

/// A bound socket inside the runtime.
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    async fn accept(&self) -> io::Result<(Socket, String)> {
        match self {
            Listening::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Socket::Tcp(stream), address.ip().to_string()))
            }
            Listening::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), "this machine".into()))
            }
        }
    }
}

/// Takes connections for ever.
pub async fn accept(door: Door, shared: Arc<Shared>, table: Arc<Table>) {
    let name = door.to_string();
    let (listening, _file) = match door {
        Door::Tcp(listener, _) => (TcpListener::from_std(listener).map(Listening::Tcp), None),
        Door::Unix(listener, file) => {
            (UnixListener::from_std(listener).map(Listening::Unix), Some(file))
        }
    };
    let listening = match listening {
        Ok(listening) => listening,
        Err(error) => return log::error!("cannot listen at {name}: {error}"),
    };
    loop {
        match listening.accept().await {
            Ok((socket, address)) => {
                // A full house closes the door in silence.
                if let Some(seat) = table.seat(address.clone()) {
                    tokio::spawn(serve(shared.clone(), seat, socket, address));
                }
            }
            Err(error) => {
                log::warn!("cannot take a connection at {name}: {error}");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}
