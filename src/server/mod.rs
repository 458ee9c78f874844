//! The server: listeners, logins, rights and limits before a store.
//!
//! | file | owns |
//! |---|---|
//! | `options` | how a server is opened, and its bounds |
//! | `users` | who may log in and do what: the users file |
//! | `throttle` | failed logins have to wait |
//! | `table` | the connections: how many, who, and telling them to go |
//! | `listen` | the sockets |
//! | `connection` | one connection from its first byte to its last |
//! | `requests` | answering requests |
//! | `desk` | what the network and the thread of the sessions hand each other |
//! | `hosted` | one session of them |
//! | `usage` | what all sessions take together, and each user of it |
//! | `readers` | the consumers of a connection |
//! | `snapshots` | its snapshots |
//! | `sessions` | what a connection asks of its sessions and consumers |
//! | `orders` | what an administrator orders over a connection |
//! | `streams` | taking a stream from another store |
//! | `client` | the other end of a requests connection |
//!
//! A server is one thread. Everything a client sends is bounded before it is looked at, nothing is allowed
//! that no right names, and a refusal says no more than that it is one.

mod client;
mod connection;
mod desk;
mod hosted;
mod listen;
mod options;
mod orders;
mod readers;
mod requests;
mod sessions;
mod snapshots;
mod streams;
mod table;
mod throttle;
mod usage;
mod users;

use crate::disk::Birth;
use crate::error::{Code, Error, Result};
use crate::link::{Acceptor, Wakeup, acceptor, block_on, panicked, spawn};
use crate::session::Store;
use crate::sync::Mutex;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use client::Client;
pub use options::{ServerLimits, ServerOptions};
pub use users::{Right, UserSource, Users, Verb};

use connection::Shared;
use listen::{Door, accept, bind};
use requests::ServerStatus;
use table::Table;
use throttle::Throttle;
use usage::Usage;

/// Where lines about who did what go; nothing of what was put or proven is in them.
const AUDIT: &str = "repliq::audit";
/// How long what was asked before the close may take to be answered.
const DRAINING: Duration = Duration::from_secs(5);
/// How long connections get to hear that the server closes.
const CLOSING: Duration = Duration::from_secs(2);
/// How often a closing server looks whether all have gone.
const CLOSING_STEP: Duration = Duration::from_millis(5);

/// A running server. Dropping it closes it; the store stays open.
pub struct Server {
    shared: Arc<Shared>,
    options: ServerOptions,
    addresses: Vec<SocketAddr>,
    wakeup: Arc<Wakeup>,
    thread: Mutex<Option<JoinHandle<()>>>,
    birth: Birth,
}

impl Server {
    /// Listens for clients of this store. Fails with LOCKED when an address is in use, CERTIFICATE when a
    /// certificate or key cannot be used, INVALID for options that contradict each other.
    pub fn open(store: &Store, options: &ServerOptions) -> Result<Server> {
        store.inside()?;
        options.check_values()?;
        let tls = load_acceptor(options)?;
        let users = options.users.load()?;
        let secured = tls.is_some() || options.plain;
        let mut doors = Vec::new();
        for text in &options.listen {
            doors.extend(bind(text, secured)?);
        }
        let tcp = |door: &Door| match door {
            Door::Tcp(_, address) => Some(*address),
            Door::Unix(..) => None,
        };
        let addresses: Vec<SocketAddr> = doors.iter().filter_map(tcp).collect();
        if options.plain {
            for address in &addresses {
                log::info!("plain TCP is allowed at {address}");
                if !address.ip().is_loopback() {
                    log::warn!("others can read along what goes over {address}");
                }
            }
        }
        let table = Arc::new(Table::new(options.limits));
        let usage = Arc::new(Usage::new(&options.limits));
        let names: Vec<String> = doors.iter().map(Door::to_string).collect();
        let shared = Arc::new(Shared {
            store: store.clone(),
            table: table.clone(),
            source: options.users.clone(),
            users: Mutex::new(Arc::new(users)),
            changing: Mutex::new(()),
            acceptor: Mutex::new(tls),
            plain: options.plain,
            // The options were checked, and a heartbeat is far below the bound of the type.
            heartbeat_ms: u32::try_from(options.heartbeat_ms).unwrap_or(u32::MAX),
            limits: options.limits,
            throttle: Throttle::new(&options.limits),
            status: teller(names, table.clone(), store.clone(), usage.clone()),
            usage,
        });
        let wakeup = Arc::new(Wakeup::default());
        let run = Run { shared: shared.clone(), table: table.clone(), wakeup: wakeup.clone() };
        let thread = spawn("repliq-server", move || run.thread(doors));
        let thread = thread.map_err(|error| Error::io("cannot start a server", &error))?;
        Ok(Server {
            shared,
            options: options.clone(),
            addresses,
            wakeup,
            thread: Mutex::new(Some(thread)),
            birth: Birth::now(),
        })
    }

    /// Where it listens for TCP, with the ports it got.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Who is connected, what came of strangers, and how far each stream is, as JSON.
    pub fn status(&self) -> Result<String> {
        self.check()?;
        (self.shared.status)()
    }

    /// Reads users, certificate and key again. Users that were removed or changed are cut off at once; what
    /// cannot be read leaves everything as it was.
    pub fn reload(&self) -> Result<()> {
        self.check()?;
        let _one_at_a_time = self.shared.changing.lock();
        let users = self.options.users.load()?;
        let tls = load_acceptor(&self.options)?;
        *self.shared.acceptor.lock() = tls;
        self.shared.install(users);
        log::info!(target: AUDIT, "users and certificate were read again");
        Ok(())
    }

    /// Takes no more connections and puts, answers what was asked before (at most 5 seconds), tells every client
    /// goodbye (at most 2), ends the thread, gives the addresses free. Later calls answer CLOSED.
    pub fn close(&self) {
        if !self.birth.here() {
            return;
        }
        self.wakeup.stop(Error::new(Code::Closed, "the server closes"));
        if let Some(thread) = self.thread.lock().take() {
            // Its panics were caught and logged in the thread itself.
            let _ = thread.join();
        }
    }

    /// Fails with CLOSED when it was closed or has ended, FORKED in a forked child.
    pub fn check(&self) -> Result<()> {
        if !self.birth.here() {
            let text = "the server was opened before this process was forked; open it anew";
            return Err(Error::new(Code::Forked, text));
        }
        if self.wakeup.is_stopped() {
            return Err(Error::new(Code::Closed, "the server was closed"));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

fn load_acceptor(options: &ServerOptions) -> Result<Option<Acceptor>> {
    match (&options.certificate_file, &options.key_file) {
        (Some(certificate), Some(key)) => acceptor(certificate, key).map(Some),
        _ => Ok(None),
    }
}

fn teller(names: Vec<String>, table: Arc<Table>, store: Store, usage: Arc<Usage>) -> ServerStatus {
    Arc::new(move || {
        let mut status = table.status();
        if let Value::Object(map) = &mut status {
            map.insert("listen".into(), json!(names));
            map.insert("sessions".into(), usage.status());
            map.insert("streams".into(), streams::status(&store));
        }
        serde_json::to_string_pretty(&status).map_err(|error| {
            Error::new(Code::Panic, format!("cannot write a status as JSON: {error}"))
        })
    })
}

/// The thread of a server.
struct Run {
    shared: Arc<Shared>,
    table: Arc<Table>,
    wakeup: Arc<Wakeup>,
}

impl Run {
    fn thread(self, doors: Vec<Door>) {
        let ended = catch_unwind(AssertUnwindSafe(|| block_on(self.live(doors))));
        let error = match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => panicked(&*panic),
        };
        log::error!("the server ended: {error}");
        self.wakeup.stop(error);
    }

    async fn live(&self, doors: Vec<Door>) {
        let (shared, table) = (&self.shared, &self.table);
        let open = |door| tokio::spawn(accept(door, shared.clone(), table.clone()));
        let listening: Vec<_> = doors.into_iter().map(open).collect();
        let why = match self.wakeup.unless_stopped(std::future::pending::<()>()).await {
            Err(why) => why,
            Ok(()) => return,
        };
        for task in listening {
            task.abort();
            // An aborted task gives its socket free before it answers.
            let _ = task.await;
        }
        self.table.drain();
        let since = Instant::now();
        while self.table.is_busy() && since.elapsed() < DRAINING {
            tokio::time::sleep(CLOSING_STEP).await;
        }
        self.table.dismiss_all(&why);
        let since = Instant::now();
        while !self.table.is_empty() && since.elapsed() < CLOSING {
            tokio::time::sleep(CLOSING_STEP).await;
        }
    }
}
