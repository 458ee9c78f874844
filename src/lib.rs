//! Persistent transactional message queues that replicate, transact and prove where a transaction is.
//!
//! One journal per store. Everything that changes a store (a message, an acknowledgement, a cursor, a received
//! batch) is a record in it, and a transaction is valid as a whole or not at all. Queues, consumers and targets
//! are readers of the journal. A position in commit order answers every other question: a [`Token`] is a
//! position with an identity, exactly-once is "the receiver keeps the sender's position in the same commit as
//! the data", and a target queue is a cursor and costs no second copy.
//!
//! ```text
//!     capi   bin          other languages, the command line
//!     server              listeners, rights
//!     replicate           sender and receiver of a queue
//!     session             the faces: Store, Session, Consumer, Listener, Snapshot, Port
//!     link                sockets, TLS, timers
//!     wire   queue        frames and login; messages and readers
//!     store               transactions and the state they add up to
//!     journal             bytes, order, durability
//!     disk                files, the clock, the random source
//!     position   secret   positions and tokens; passwords
//!     error limits sum sync   codes, bounds, the checksum, locks
//! ```
//!
//! Imports go downward only.
//!
//! ```
//! use repliq::{ConsumerOptions, Message, Store, StoreOptions};
//! use std::time::Duration;
//!
//! # fn main() -> repliq::Result<()> {
//! # let folder = tempfile::tempdir().expect("a folder for the example");
//! # let path = folder.path().join("orders");
//! let store = Store::open(path, &StoreOptions::default())?;
//! let orders = store.queue("orders")?;
//! store.put(orders, &[Message::new(b"one pound of tea")])?;
//!
//! let clerk = store.consumer("clerk", orders, &ConsumerOptions::default())?;
//! let mut session = store.session()?;
//! let received = session.receive(&clerk, 1, Duration::from_secs(1))?;
//! assert_eq!(received[0].payload(), b"one pound of tea");
//! session.commit()?; // acknowledges what was received, and commits what was put
//! # Ok(())
//! # }
//! ```

#[macro_use]
mod sabotage;

#[cfg(feature = "capi")]
pub mod capi;
pub mod disk;
mod error;
mod journal;
pub mod limits;
mod link;
mod position;
mod queue;
#[doc(hidden)]
pub mod replicate;
mod secret;
mod server;
mod session;
mod store;
#[doc(hidden)]
pub mod sum;
mod sync;
mod wire;

pub use error::{Code, Error, FATAL, REQUIRES_ROLLBACK, RETRIABLE, Result};
pub use journal::SyncTimes;
pub use link::{ConnectOptions, Endpoint};
pub use position::{Cause, GroupId, HistoryRow, Position, TOKEN_SIZE, TOKEN_TEXT_SIZE, Token};
pub use queue::{From, Header, Headers, Message, Queue, Received, Rules};
pub use replicate::{Replication, ReplicationOptions, Select, TargetOptions, TargetStatus};
pub use secret::{Cost, Password};
pub use server::{Client, Right, Server, ServerLimits, ServerOptions, UserSource, Users, Verb};
#[doc(hidden)]
pub use session::interruptible;
pub use session::{
    Consumer, ConsumerInfo, ConsumerOptions, EndedByHand, Event, Handled, Importing, Listener,
    ListenerOptions, ListenerStatus, Metrics, Policy, Port, PreparedInfo, PreparedMetrics,
    QueueInfo, QueueMetrics, RedriveOptions, Redriven, SegmentMetrics, Session, SessionInfo,
    SessionOptions, Snapshot, Store, StoreOptions, TargetMetrics, Unit, Work,
};
pub use store::{
    BackupInfo, Commit, Hold, Level, Outcome, Pin, PinKind, RepairInfo, TRANSACTION_ID_SIZE,
    TransactionId,
};
#[doc(hidden)]
pub use wire::Machine;

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
