//! The stores a row is tried on, and what the rows have in common.

use repliq::{
    Commit, ConnectOptions, Message, Queue, Received, Right, Server, ServerLimits, ServerOptions,
    Store, StoreOptions, UserSource, Users, Verb,
};
use std::time::{Duration, Instant};

pub const NOW: Duration = Duration::ZERO;
pub const SOON: Duration = Duration::from_secs(10);

/// A store to be used as a program uses it, and the directory's own face beside it.
pub struct Place {
    /// What a failure calls it.
    pub name: &'static str,
    /// The face that is tried.
    pub store: Store,
    /// The store itself.
    pub own: Store,
    /// Where it is served, if it is.
    pub server: Option<Server>,
    folder: tempfile::TempDir,
}

/// Enough for a test, and the least that is allowed.
const ITERATIONS: u32 = 4_096;

fn users() -> Users {
    let mut users = Users::new();
    for name in ["ann", "ben"] {
        users.add_with(name, &"secret".into(), ITERATIONS).unwrap();
        let all = Right { verbs: Verb::ALL.to_vec(), queues: vec!["*".into()] };
        users.set_rights(name, &[all]).unwrap();
    }
    let few = |verb: Verb, queue: &str| Right { verbs: vec![verb], queues: vec![queue.into()] };
    users.add_with("cid", &"secret".into(), ITERATIONS).unwrap();
    users.set_rights("cid", &[few(Verb::Consume, "in"), few(Verb::Publish, "out")]).unwrap();
    users.add_with("dan", &"secret".into(), ITERATIONS).unwrap();
    let two = Right { verbs: vec![Verb::Admin], queues: vec!["dead".into(), "in".into()] };
    users.set_rights("dan", &[two]).unwrap();
    users
}

/// How a test logs in.
pub fn connect() -> ConnectOptions {
    ConnectOptions {
        password: Some("secret".into()),
        plain: true,
        heartbeat_ms: 500,
        reconnect_ms_max: 100,
        connect_timeout_ms: 10_000,
        ..ConnectOptions::default()
    }
}

/// Opens a store by its URL.
pub fn by_url(url: &str, connect: ConnectOptions) -> repliq::Result<Store> {
    Store::open(url, &StoreOptions { connect, ..StoreOptions::default() })
}

impl Place {
    pub fn local() -> Place {
        Place::with(&StoreOptions::default())
    }

    /// One that is opened in a way of its own.
    pub fn with(options: &StoreOptions) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let own = Store::open(folder.path().join("store"), options).unwrap();
        Place { name: "local", store: own.clone(), own, server: None, folder }
    }

    /// The same behind a server.
    pub fn remote() -> Place {
        Place::local().served()
    }

    /// The same, for any store.
    pub fn served(self) -> Place {
        self.served_with(ServerLimits::default())
    }

    /// The same with bounds of its own.
    pub fn served_with(self, limits: ServerLimits) -> Place {
        let mut place = self;
        let socket = format!("unix:{}", place.folder.path().join("socket").display());
        let options = ServerOptions {
            listen: vec!["127.0.0.1:0".into(), socket],
            plain: true,
            users: UserSource::Inline(users()),
            heartbeat_ms: 500,
            limits,
            ..ServerOptions::default()
        };
        place.server = Some(Server::open(&place.own, &options).unwrap());
        place.store = by_url(&place.url("ann"), connect()).unwrap();
        place.name = "remote";
        place
    }

    /// The same over the socket of this machine.
    pub fn on_socket() -> Place {
        let mut place = Place::remote();
        place.store = by_url(&place.socket(), connect()).unwrap();
        place
    }

    /// The same store once more, as another client sees it.
    pub fn another(&self) -> Store {
        match self.server {
            None => self.own.clone(),
            Some(_) => by_url(&self.url("ann"), connect()).unwrap(),
        }
    }

    /// Where this user finds it.
    pub fn url(&self, user: &str) -> String {
        format!("repliq://{user}@{}", self.server.as_ref().unwrap().addresses()[0])
    }

    /// The same on a socket of this machine.
    pub fn socket(&self) -> String {
        format!("repliq+unix://ann@{}", self.folder.path().join("socket").display())
    }

    /// Closes the store and opens it again.
    pub fn reopened(mut self) -> Place {
        self.own.close().unwrap();
        let path = self.folder.path().join("store");
        self.own = Store::open(path, &StoreOptions::default()).unwrap();
        self.store = self.own.clone();
        self
    }
}

/// Tries a row on every kind of store.
pub fn everywhere(row: impl Fn(&Place)) {
    row(&Place::local());
    row(&Place::remote());
    row(&Place::on_socket());
}

/// Waits until something is so.
pub fn until(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn put(store: &Store, queue: Queue, payloads: &[&str]) -> Commit {
    let messages: Vec<Message<'_>> =
        payloads.iter().map(|payload| Message::new(payload.as_bytes())).collect();
    store.put(queue, &messages).unwrap()
}

pub fn payloads(messages: &[Received]) -> Vec<String> {
    messages.iter().map(|m| String::from_utf8(m.payload().to_vec()).unwrap()).collect()
}

pub fn deliveries(messages: &[Received]) -> Vec<u32> {
    messages.iter().map(Received::deliveries).collect()
}

/// What a new reader of a queue finds.
pub fn waiting(store: &Store, queue: Queue) -> Vec<String> {
    payloads(&store.snapshot().unwrap().browse(queue, 1, 1000).unwrap())
}
