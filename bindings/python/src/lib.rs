//! repliq for Python: the extension module `repliq._repliq` under the package `repliq`.
//!
//! | file | owns |
//! |---|---|
//! | `error` | the one way from an error of the core to an exception |
//! | `wait` | calls that wait: without the GIL, with Ctrl-C, safe while the interpreter ends |
//! | `message` | bytes in and out |
//! | `connect` | how a server is reached |
//! | `token`, `transaction`, `store`, `queue`, `session`, `consumer`, `listener`, `snapshot`, `port`, `replication`, `server` | the nouns |
//! | `log` | log lines, until a thread of Python takes them |
//! | `sabotage` | panics that tests plant, in a build of their own |
//!
//! Signatures and docstrings stand in `python/repliq/_repliq.pyi`; `stub!` takes the latter from there. What needs no
//! speed (exceptions, futures, asyncio, the thread of a listener) is Python, in the files beside it. No thread of the
//! core ever enters the interpreter.

/// The docstring that the stub has for a name; see `build.rs`.
macro_rules! stub {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/doc/", $name))
    };
}

mod connect;
mod consumer;
mod error;
mod listener;
mod log;
mod message;
mod port;
mod queue;
mod replication;
#[cfg(feature = "sabotage")]
mod sabotage;
mod server;
mod session;
mod snapshot;
mod store;
mod token;
mod transaction;
mod wait;

use pyo3::prelude::*;

/// The number of the C ABI that goes with this version.
const ABI: u32 = 0;

#[pymodule(gil_used = false)]
mod _repliq {
    use super::*;

    #[pymodule_export]
    use super::consumer::{Consumer, Each};
    #[pymodule_export]
    use super::error::codes;
    #[pymodule_export]
    use super::listener::Work;
    #[pymodule_export]
    use super::log::{log_drain, log_level};
    #[pymodule_export]
    use super::message::Message;
    #[pymodule_export]
    use super::port::{Event, Port};
    #[pymodule_export]
    use super::queue::Queue;
    #[pymodule_export]
    use super::replication::Replication;
    #[pymodule_export]
    use super::server::Server;
    #[pymodule_export]
    use super::session::Session;
    #[pymodule_export]
    use super::snapshot::Snapshot;
    #[pymodule_export]
    use super::store::{Store, open, restore};
    #[pymodule_export]
    use super::token::{Result, Token};
    #[pymodule_export]
    use super::transaction::{Outcome, TransactionId};
    #[pymodule_export]
    use super::wait::leave;

    #[doc = stub!("nothing")]
    #[pyfunction]
    fn nothing() {}

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // A panic becomes an exception and a line of the log, and is not printed.
        std::panic::set_hook(Box::new(|info| ::log::error!("a bug of this library: {info}")));
        #[cfg(feature = "sabotage")]
        module.add_function(wrap_pyfunction!(super::sabotage::sabotage_panic, module)?)?;
        module.add("version", repliq::VERSION)?;
        module.add("abi", ABI)
    }
}
