//! A store, a server before it, certificates, and clients.

pub use crate::authority::{Authority, Leaf};
use repliq::{
    Client, ConnectOptions, Endpoint, Result, Right, Server, ServerOptions, Store, StoreOptions,
    UserSource, Users, Verb,
};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const WAIT: Duration = Duration::from_secs(10);
pub const PASSWORD: &str = "ann's secret";
/// Enough for a test, and the least that is allowed.
pub const ITERATIONS: u32 = 4_096;

pub struct Place {
    pub folder: tempfile::TempDir,
    pub store: Store,
}

impl Place {
    pub fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store"), &StoreOptions::default()).unwrap();
        Place { folder, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn open(&self, options: &ServerOptions) -> Server {
        Server::open(&self.store, options).unwrap()
    }

    /// A server with plain TCP and a Unix socket.
    pub fn plain(&self) -> Server {
        self.open(&self.options())
    }

    pub fn socket(&self) -> String {
        format!("repliq+unix://ann@{}", self.path("socket").display())
    }

    /// Plain TCP and a Unix socket; ann may do everything.
    pub fn options(&self) -> ServerOptions {
        let socket = format!("unix:{}", self.path("socket").display());
        ServerOptions {
            listen: vec!["127.0.0.1:0".into(), socket],
            plain: true,
            users: UserSource::Inline(users()),
            heartbeat_ms: 1_000,
            ..ServerOptions::default()
        }
    }

    /// TLS with a certificate of this authority.
    pub fn secured(&self, authority: &Authority, leaf: Leaf) -> ServerOptions {
        let (certificate, key) = authority.leaf(self.folder.path(), leaf);
        ServerOptions {
            listen: vec!["127.0.0.1:0".into()],
            plain: false,
            certificate_file: Some(certificate),
            key_file: Some(key),
            ..self.options()
        }
    }
}

pub fn everything() -> Right {
    Right { verbs: Verb::ALL.to_vec(), queues: vec!["*".into()] }
}

/// ann, who may do everything.
pub fn users() -> Users {
    let mut users = Users::new();
    users.add_with("ann", &PASSWORD.into(), ITERATIONS).unwrap();
    users.set_rights("ann", &[everything()]).unwrap();
    users
}

pub fn url(server: &Server) -> String {
    format!("repliq://ann@{}", server.addresses()[0])
}

pub fn plain(password: &str) -> ConnectOptions {
    ConnectOptions {
        password: Some(password.into()),
        plain: true,
        reconnect_ms_max: 200,
        connect_timeout_ms: 10_000,
        ..ConnectOptions::default()
    }
}

pub fn connect(url: &str, options: &ConnectOptions) -> Result<Client> {
    Client::connect(&Endpoint::parse(url).unwrap(), options)
}

pub fn until(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < WAIT, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A client that trusts this authority.
pub fn trusting(place: &Place, authority: &Authority) -> ConnectOptions {
    ConnectOptions {
        plain: false,
        ca_file: Some(authority.file(place.folder.path())),
        ..plain(PASSWORD)
    }
}
