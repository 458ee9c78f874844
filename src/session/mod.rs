//! The public faces: a store, its transactions, its readers.
//!
//! | file | owns |
//! |---|---|
//! | `options` | how a store is opened |
//! | `store` | the open store: queues, puts, tokens |
//! | `transaction` | transactions, wherever the store is |
//! | `session` | transactions in a store of this process |
//! | `watched` | the same where they may not be idle for long |
//! | `remote` | the same faces at a server |
//! | `consumer` | durable readers |
//! | `redrive` | dead letters, put back or dropped |
//! | `import` | messages of another store on their way into this one |
//! | `listener` | a consumer with a handler |
//! | `remembered` | the sessions a store remembers, as others see them |
//! | `info` | queues and consumers as they are |
//! | `prepared` | prepared transactions, and how they end |
//! | `snapshot` | a look at everything as it was |
//! | `port` | completions of what was started without waiting |
//! | `place` | where a token can be waited for |
//! | `status` | the store as JSON |
//! | `metrics` | what a store counts |

mod consumer;
mod import;
mod info;
mod listener;
mod metrics;
mod options;
mod place;
mod port;
mod prepared;
mod redrive;
mod remembered;
mod remote;
#[allow(clippy::module_inception)] // The noun of the room is the noun of the file.
mod session;
mod snapshot;
mod status;
mod store;
mod transaction;
mod watched;

pub use consumer::{Consumer, ConsumerOptions};
pub use import::Importing;
pub use info::{ConsumerInfo, QueueInfo};
pub use listener::{Handled, Listener, ListenerOptions, ListenerStatus, Policy, Unit, Work};
pub use metrics::{Metrics, PreparedMetrics, QueueMetrics, SegmentMetrics, TargetMetrics};
pub use options::StoreOptions;
pub(crate) use place::Waited;
pub use port::{Event, Port};
pub(crate) use prepared::after;
pub use prepared::{EndedByHand, PreparedInfo};
pub(crate) use redrive::Part;
pub use redrive::{RedriveOptions, Redriven};
pub use remembered::SessionInfo;
pub(crate) use remembered::session_id;
pub use remote::interruptible;
pub(crate) use remote::{Asker, Lost, Reply, odd, reply};
pub use snapshot::Snapshot;
pub use store::Store;
pub use transaction::{Session, SessionOptions};
