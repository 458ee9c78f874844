//! The registry feed: ordered, concurrent, acknowledged after the work. Each test is a row of its scenarios.
//!
//! | file | owns |
//! |---|---|
//! | `order` | priorities, times, keys |
//! | `end` | what is put to the end of the queue |
//! | `letters` | dead letters |
//! | `many` | listening on many queues |
//! | `newest` | of one key the newest alone |
//! | `redrive` | the rest of a key behind a dead letter, and letters that are put back |
//! | `rows` | transactions, looking, recipients, producers |
//! | `workers` | leases, retries, what is counted |
//! | `versions` | what was processed before |
//! | `served` | the same rows once more, at a server |

#![allow(clippy::unwrap_used)]

#[path = "registry/end.rs"]
mod end;
#[path = "registry/letters.rs"]
mod letters;
#[path = "registry/many.rs"]
mod many;
#[path = "registry/newest.rs"]
mod newest;
#[path = "registry/order.rs"]
mod order;
#[path = "registry/redrive.rs"]
mod redrive;
#[path = "registry/rows.rs"]
mod rows;
#[path = "registry/served.rs"]
mod served;
#[path = "registry/versions.rs"]
mod versions;
#[path = "registry/workers.rs"]
mod workers;

use repliq::disk::model::ModelDisk;
use repliq::{Consumer, ConsumerOptions, Message, Queue, Received, Rules, Store, StoreOptions};
use served::Served;
use std::sync::Arc;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_secs(20);

/// A store on a disk of memory, whose clock the test sets; at a server where `served` says so.
struct Place {
    disk: ModelDisk,
    store: Store,
    /// Its own face, where it is at a server, too.
    own: Store,
    queue: Queue,
    _served: Option<Served>,
}

impl Place {
    fn new() -> Place {
        Place::on(ModelDisk::new())
    }

    fn on(disk: ModelDisk) -> Place {
        let own = Store::open_on(Arc::new(disk.clone()), &StoreOptions::default()).unwrap();
        let served = Served::if_asked(&own);
        let store = served.as_ref().map_or(own.clone(), |served| served.store.clone());
        let queue = store.queue("records").unwrap();
        Place { disk, store, own, queue, _served: served }
    }

    /// The same store after the process was killed.
    fn killed(self) -> Place {
        Place::on(self.disk.kill())
    }

    fn put(&self, key: &str, payload: &str) {
        self.put_one(&Message { key: key.as_bytes(), ..Message::new(payload.as_bytes()) });
    }

    fn put_one(&self, message: &Message<'_>) {
        self.store.put(self.queue, std::slice::from_ref(message)).unwrap();
    }

    fn open(&self, rules: Rules) -> Consumer {
        let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
        self.store.consumer("worker", self.queue, &options).unwrap()
    }
}

/// Workers that share a consumer and its keys.
fn keyed() -> Rules {
    Rules { shared: true, keyed: true, ..Rules::default() }
}

fn texts(messages: &[Received]) -> Vec<String> {
    messages.iter().map(|one| String::from_utf8(one.payload().to_vec()).unwrap()).collect()
}

/// What a consumer is given now.
fn take(consumer: &Consumer, max: usize) -> Vec<String> {
    texts(&consumer.receive(max, NOW).unwrap())
}
