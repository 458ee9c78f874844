//! A store at a server, behind the same faces.
//!
//! | file | owns |
//! |---|---|
//! | `asker` | the connection: requests, answers, coming back |
//! | `store` | what is asked of the store as a whole |
//! | `session` | transactions that are staged at the server |
//! | `consumer` | a durable reader there |
//! | `snapshot` | a look there that stays as it was |
//! | `interrupt` | calling away who waits for it |

mod asker;
mod consumer;
mod interrupt;
mod session;
mod snapshot;
mod store;

pub use asker::{Asker, Lost};
pub use consumer::RemoteConsumer;
pub use interrupt::interruptible;
pub use session::RemoteSession;
pub use snapshot::RemoteSnapshot;
pub use store::{RemoteStore, Reply, odd, reply};
