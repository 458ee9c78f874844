//! STORE on the command line: a directory opened the way a verb needs it, or a live server that is asked.

use std::path::PathBuf;
use std::time::Duration;

use repliq::{
    Client, Code, ConnectOptions, Endpoint, Queue, Received, Snapshot, Store, StoreOptions, Token,
};
use serde::{Deserialize, Serialize};

use super::fail::{Done, Fail};
use super::secret::{self, Secret};

/// The argument STORE and its password, for verbs that work where the store is.
#[derive(clap::Args, Clone, Debug)]
pub struct Folder {
    /// Directory of the store; verbs that only look or put take the URL of a server, too
    pub store: String,
    #[command(flatten)]
    secret: Secret,
}

/// The same, and how the server is reached where STORE is a URL.
#[derive(clap::Args, Clone, Debug)]
pub struct Place {
    #[command(flatten)]
    pub folder: Folder,
    #[command(flatten)]
    pub reach: Reach,
}

/// A store, listed.
#[derive(clap::Args, Debug)]
pub struct List {
    #[command(flatten)]
    pub place: Place,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// How a server is reached.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Reach {
    /// Plain TCP instead of TLS; the server must allow it, too
    #[arg(long, help_heading = "Server")]
    pub plain: bool,
    /// PEM file of the authorities to trust instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    pub ca_file: Option<PathBuf>,
    /// Name the server's certificate must hold, where it is not the host
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    pub server_name: Option<String>,
}

impl Reach {
    /// The library's options.
    pub fn options(&self) -> ConnectOptions {
        ConnectOptions {
            plain: self.plain,
            ca_file: self.ca_file.clone(),
            server_name: self.server_name.clone(),
            ..ConnectOptions::default()
        }
    }
}

/// A store that can be asked.
pub enum At {
    /// In a directory of this machine.
    Here(Store),
    /// Behind a server.
    There(Box<Client>),
}

/// A queue as a store or a server tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueRow {
    pub name: String,
    pub messages: u64,
    pub bytes: u64,
    pub next_sequence: u64,
    pub paused: bool,
    pub consumers: Vec<ConsumerRow>,
    /// Bytes of full segments that stay for this queue.
    pub pinned_bytes: u64,
    /// Since when the oldest of them is there, milliseconds since 1970 UTC.
    pub pinned_since_ms: Option<u64>,
}

/// A consumer of a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsumerRow {
    pub name: String,
    pub acknowledged: u64,
    pub waiting: u64,
    /// How often it is open; like what follows, only the process that has the store knows.
    pub workers: Option<u64>,
    /// Messages that a worker has a lease on, where there are leases.
    pub out: Option<u64>,
    /// How long a lease lasts.
    pub lease_ms: Option<u64>,
    /// Messages that were left out because they were processed before.
    pub already_processed: u64,
}

impl Folder {
    /// A directory and where its password comes from.
    pub fn new(store: &str, secret: Secret) -> Folder {
        Folder { store: store.to_string(), secret }
    }

    /// Whether it is a URL.
    pub fn is_url(&self) -> bool {
        self.store.contains("://")
    }

    /// Opens an existing store for writing.
    pub fn change(&self) -> Done<Store> {
        self.open(StoreOptions { create: false, ..StoreOptions::default() })
    }

    /// Opens the store with these options.
    pub fn open(&self, options: StoreOptions) -> Done<Store> {
        self.with(options, |options| Store::open(&self.store, options))
    }

    /// Does something that needs the directory and its password, where it has one.
    pub fn with_password<T>(&self, run: impl Fn(&StoreOptions) -> repliq::Result<T>) -> Done<T> {
        self.with(StoreOptions::default(), run)
    }

    fn with<T>(
        &self,
        mut options: StoreOptions,
        run: impl Fn(&StoreOptions) -> repliq::Result<T>,
    ) -> Done<T> {
        if self.is_url() {
            Endpoint::parse(&self.store)?;
            let text = format!(
                "cannot open {}: this verb needs the directory, run it where the store is",
                self.store
            );
            return Err(Fail::new(Code::Unsupported, text));
        }
        options.password = self.secret.read(&self.what())?;
        match run(&options) {
            // Without any option it is asked for where it turns out to be needed and somebody is there.
            Err(error)
                if error.code() == Code::BadPassword
                    && options.password.is_none()
                    && secret::can_ask() =>
            {
                options.password = Some(secret::ask(&self.what())?);
                Ok(run(&options)?)
            }
            opened => Ok(opened?),
        }
    }

    fn what(&self) -> String {
        format!("password of {}", self.store)
    }
}

impl Place {
    /// A directory or a URL, and how to get in.
    pub fn new(store: &str, secret: Secret, reach: Reach) -> Place {
        Place { folder: Folder::new(store, secret), reach }
    }

    /// Opens an existing store to look at it, also while another process is writing, or asks a server.
    pub fn look(&self) -> Done<At> {
        if self.folder.is_url() {
            return Ok(At::There(Box::new(self.connect()?)));
        }
        Ok(At::Here(self.see()?))
    }

    /// Opens an existing store to use it, in its directory or at a server.
    pub fn change(&self) -> Done<Store> {
        if self.folder.is_url() { self.at_server() } else { self.folder.change() }
    }

    /// The same to look at it only, also while another process is writing.
    pub fn see(&self) -> Done<Store> {
        if self.folder.is_url() {
            return self.at_server();
        }
        self.folder.open(StoreOptions { create: false, read_only: true, ..StoreOptions::default() })
    }

    fn at_server(&self) -> Done<Store> {
        let (_, connect) = self.endpoint()?;
        let options = StoreOptions { connect, ..StoreOptions::default() };
        Ok(Store::open(&self.folder.store, &options)?)
    }

    /// Connects to the server.
    pub fn connect(&self) -> Done<Client> {
        let (endpoint, options) = self.endpoint()?;
        Ok(Client::connect(&endpoint, &options)?)
    }

    /// Where the server is and how it is reached. Asks for the password of the URL's user where no option says where it
    /// is.
    fn endpoint(&self) -> Done<(Endpoint, ConnectOptions)> {
        let endpoint = Endpoint::parse(&self.folder.store)?;
        let what = self.folder.what();
        let mut password = self.folder.secret.read(&what)?;
        if password.is_none() && endpoint.user().is_some() && secret::can_ask() {
            password = Some(secret::ask(&what)?);
        }
        let options = ConnectOptions { password, ..self.reach.options() };
        Ok((endpoint, options))
    }
}

impl At {
    /// The queues, by name.
    pub fn queues(&self) -> Done<Vec<QueueRow>> {
        let mut rows = match self {
            At::Here(store) => {
                let pins = store.pins()?;
                store.queues()?.into_iter().map(|info| row(info, &pins)).collect()
            }
            At::There(client) => queues_of(client)?,
        };
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rows)
    }

    /// The status of the store, as JSON.
    pub fn status(&self) -> Done<String> {
        match self {
            At::Here(store) => Ok(store.status()?),
            At::There(client) => Ok(client.status()?),
        }
    }

    /// The status of the server, as JSON, where there is one.
    pub fn server(&self) -> Done<Option<String>> {
        match self {
            At::Here(_) => Ok(None),
            At::There(client) => Ok(Some(client.server()?)),
        }
    }

    /// Waits until the transactions of all tokens have reached a place.
    pub fn wait(&self, at: &str, tokens: &[Token], timeout: Duration) -> Done {
        match self {
            At::Here(store) => Ok(store.wait(at, tokens, timeout)?),
            At::There(client) => Ok(client.wait(at, tokens, timeout)?),
        }
    }

    /// A look at one queue.
    pub fn view<'a>(&'a self, queue: &'a str) -> Done<View<'a>> {
        Ok(match self {
            At::Here(store) => View::Here(store.find_queue(queue)?, store.snapshot()?),
            At::There(client) => View::There(queue, client),
        })
    }
}

/// The queues of a server, as many as this user may see.
pub fn queues_of(client: &Client) -> Done<Vec<QueueRow>> {
    serde_json::from_str(&client.queues()?).map_err(|error| {
        Fail::new(Code::Protocol, format!("cannot read the server's queues: {error}"))
    })
}

/// A look at one queue.
pub enum View<'a> {
    Here(Queue, Snapshot),
    There(&'a str, &'a Client),
}

impl View<'_> {
    /// At most `max` messages from a sequence on.
    pub fn browse(&self, from: u64, max: usize) -> repliq::Result<Vec<Received>> {
        match self {
            View::Here(queue, snapshot) => snapshot.browse(*queue, from, max),
            View::There(queue, client) => client.browse(queue, from, max),
        }
    }
}

fn row(info: repliq::QueueInfo, pins: &[repliq::Pin]) -> QueueRow {
    let (pinned_bytes, pinned_since_ms) = info.pinned(pins);
    let consumers = info.consumers.into_iter().map(|consumer| ConsumerRow {
        name: consumer.name,
        acknowledged: consumer.acknowledged,
        waiting: consumer.waiting,
        workers: None,
        out: None,
        lease_ms: None,
        already_processed: consumer.already_processed,
    });
    QueueRow {
        name: info.name,
        messages: info.messages,
        bytes: info.bytes,
        next_sequence: info.next_sequence,
        paused: info.paused,
        consumers: consumers.collect(),
        pinned_bytes,
        pinned_since_ms,
    }
}
