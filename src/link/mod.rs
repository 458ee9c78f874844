//! Sockets, TLS, timers and reconnecting: what drives the state machines of `wire`.
//!
//! | file | owns |
//! |---|---|
//! | `endpoint` | the URL of a server |
//! | `options` | how to connect |
//! | `stream` | TCP, TLS and Unix sockets as one thing |
//! | `tls` | TLS 1.3 and nothing older, verified |
//! | `connect` | from an endpoint to a connection that is logged in |
//! | `drive` | one connection and its machine: buffers, heartbeats, the end |
//! | `wakeup` | how another thread reaches a connection |
//! | `pause` | how long to wait before the next try |
//!
//! A [`Link`] is one named thread with a runtime of its own. It exists from the call that asks for a
//! connection to the close of its handle, and nothing here starts one before.

mod connect;
mod drive;
mod endpoint;
mod options;
mod pause;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod wakeup;

use crate::disk::{Birth, keep_signals_away};
use crate::error::{Code, Error, Result};
use crate::sync::Mutex;
use crate::wire::{Machine, Waker};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

pub use connect::random;
pub use drive::{Rhythm, Traffic, drive, leave};
pub use endpoint::{Endpoint, PORT};
pub use options::ConnectOptions;
pub use stream::Stream;
pub use tls::{Acceptor, acceptor};
pub use wakeup::Wakeup;

use connect::Connector;
use pause::Pause;

/// How long a connection must have lived for the next try to come soon again.
const SETTLED: Duration = Duration::from_secs(1);

/// What a link is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LinkState {
    /// It tries to connect.
    Connecting,
    /// It is connected and logged in.
    Connected,
    /// The try or the connection failed; the next try follows, where one was asked for.
    Failed(Error),
    /// It was closed here, its only try is over, or a bug ended it.
    Closed,
}

/// Makes the machine of a new connection; the waker is that connection's.
pub type Make = Box<dyn FnMut(Waker) -> Box<dyn Machine> + Send>;
/// Hears of every change of state, on the link's thread.
pub type OnState = Arc<dyn Fn(&LinkState) + Send + Sync>;

/// A connection to a server that comes back by itself.
pub struct Link {
    wakeup: Arc<Wakeup>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
    birth: Birth,
}

impl Link {
    /// Checks what can be checked without a connection: bounds, user, password, the file of authorities.
    pub fn check_options(endpoint: &Endpoint, options: &ConnectOptions) -> Result<()> {
        Connector::new(endpoint.clone(), options.clone()).map(|_| ())
    }

    /// Starts connecting and returns at once; what becomes of it is told to `on_state`.
    pub fn connect(
        endpoint: Endpoint,
        options: ConnectOptions,
        make: Make,
        on_state: OnState,
    ) -> Result<Link> {
        let what = endpoint.to_string();
        let connector = Connector::new(endpoint, options)?;
        let wakeup = Arc::new(Wakeup::default());
        let of_thread = Arc::clone(&wakeup);
        let thread = spawn("repliq-link", move || {
            live(connector, make, &on_state, &of_thread);
        });
        let thread =
            thread.map_err(|error| Error::io(format!("cannot start a link to {what}"), &error))?;
        let thread_id = thread.thread().id();
        Ok(Link { wakeup, thread: Mutex::new(Some(thread)), thread_id, birth: Birth::now() })
    }

    /// Fails in a forked child, where the link's thread is not.
    pub fn check(&self) -> Result<()> {
        if self.birth.here() {
            return Ok(());
        }
        let text = "the connection was made before this process was forked; make it anew";
        Err(Error::new(Code::Forked, text))
    }

    /// Leaves the server and waits for the thread; within the link's own callback it only asks.
    pub fn close(&self) {
        if !self.birth.here() {
            return;
        }
        self.wakeup.stop(Error::new(Code::Closed, "the link was closed here"));
        if std::thread::current().id() == self.thread_id {
            return;
        }
        if let Some(thread) = self.thread.lock().take() {
            // Its panics were caught and told in the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

/// Starts a named thread whose signals are left to the program.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(move || {
        keep_signals_away();
        run();
    })
}

/// Runs a future on a runtime of this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|error| Error::io("cannot start the network", &error))?;
    let outcome = runtime.block_on(future);
    // A name that is still being looked up must not hold the close.
    runtime.shutdown_background();
    Ok(outcome)
}

/// What a panic said, as an error.
pub fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Error::new(Code::Panic, format!("a bug of this library ended a network thread: {text}"))
}

fn live(connector: Connector, make: Make, on_state: &OnState, wakeup: &Arc<Wakeup>) {
    let run = || block_on(keep_connected(connector, make, on_state, wakeup));
    let ended = catch_unwind(AssertUnwindSafe(run));
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => on_state(&LinkState::Failed(error)),
        Err(panic) => on_state(&LinkState::Failed(panicked(&*panic))),
    }
    on_state(&LinkState::Closed);
}

async fn keep_connected(
    mut connector: Connector,
    mut make: Make,
    on_state: &OnState,
    wakeup: &Arc<Wakeup>,
) {
    let mut pause = Pause::new(connector.options().reconnect_ms_max);
    loop {
        on_state(&LinkState::Connecting);
        let why = match wakeup.unless_stopped(connector.connect()).await {
            Err(_) => return,
            Ok(Err(why)) => why,
            Ok(Ok(mut connection)) => {
                on_state(&LinkState::Connected);
                let since = Instant::now();
                let mut machine = make(Wakeup::waker(wakeup));
                let traffic = Traffic::default();
                let ended = drive(
                    &mut connection.stream,
                    &mut connection.inbox,
                    &mut *machine,
                    wakeup,
                    connection.rhythm,
                    &traffic,
                );
                let why = ended.await;
                drop(machine);
                if since.elapsed() >= SETTLED {
                    pause.reset();
                }
                connector.explain(&why)
            }
        };
        if wakeup.is_stopped() {
            return;
        }
        log::debug!("{why}");
        let wait = pause.next(why.code());
        on_state(&LinkState::Failed(why));
        if !connector.options().reconnect {
            return;
        }
        if wakeup.unless_stopped(tokio::time::sleep(wait)).await.is_err() {
            return;
        }
    }
}
