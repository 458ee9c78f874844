//! The public faces: a store, its transactions, its readers.
//!
//! | file | owns |
//! |---|---|
//! | `options` | how a store is opened |
//! | `store` | the open store: queues, puts, tokens |
//! | `session` | transactions |
//! | `consumer` | durable readers |
//! | `listener` | a consumer with a handler |
//! | `snapshot` | a look at everything as it was |
//! | `port` | completions of what was started without waiting |
//! | `place` | where a token can be waited for |
//! | `status` | the store as JSON |
//! | `metrics` | what a store counts |

mod consumer;
mod listener;
mod metrics;
mod options;
mod place;
mod port;
#[allow(clippy::module_inception)] // The noun of the room is the noun of the file.
mod session;
mod snapshot;
mod status;
mod store;

pub use consumer::{Consumer, ConsumerOptions};
pub use listener::{Handled, Listener, ListenerOptions, ListenerStatus, Policy, Unit, Work};
pub use metrics::{Metrics, QueueMetrics, SegmentMetrics, TargetMetrics};
pub use options::StoreOptions;
pub use port::{Event, Port};
pub use session::Session;
pub use snapshot::Snapshot;
pub use store::{ConsumerInfo, QueueInfo, Store};
