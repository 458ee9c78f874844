//! The connections of a server: how many there may be, who they are, and how they are told to go.

use super::options::ServerLimits;
use crate::error::{Code, Error, Result};
use crate::link::{Traffic, Wakeup};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// How far a connection has come; who has come least far goes first when there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It failed before and waits.
    Held,
    /// Nothing that is a hello has come.
    Silent,
    /// It said hello.
    Greeted,
    /// It logged in.
    In,
}

struct Row {
    stage: Stage,
    user: Option<String>,
    address: String,
    doing: &'static str,
    stream: Option<Value>,
    since: Instant,
    going: bool,
    wakeup: Arc<Wakeup>,
    traffic: Arc<Traffic>,
    requests: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
}

/// All connections of a server.
pub struct Table {
    limits: ServerLimits,
    rows: Mutex<BTreeMap<u64, Row>>,
    next: AtomicU64,
    refused: AtomicU64,
    evicted: AtomicU64,
    failures: AtomicU64,
    draining: Arc<AtomicBool>,
}

/// The place of one connection; dropping it gives the place free.
pub struct Seat {
    table: Arc<Table>,
    number: u64,
    /// Tells the connection to go.
    pub wakeup: Arc<Wakeup>,
    /// What went over it.
    pub traffic: Arc<Traffic>,
    /// Requests that have come.
    pub requests: Arc<AtomicU64>,
    /// Requests that are not answered; those that wait for something else do not count.
    pub open: Arc<AtomicUsize>,
    /// Whether the server takes no more work.
    pub draining: Arc<AtomicBool>,
}

impl Table {
    /// No connections.
    pub fn new(limits: ServerLimits) -> Table {
        let zero = || AtomicU64::new(0);
        Table {
            limits,
            rows: Mutex::default(),
            next: AtomicU64::new(1),
            refused: zero(),
            evicted: zero(),
            failures: zero(),
            draining: Arc::default(),
        }
    }

    /// A place for a stranger. Where there are too many, one of them goes; `None` when all places are taken
    /// by users.
    pub fn seat(self: &Arc<Table>, address: String) -> Option<Seat> {
        let mut rows = self.rows.lock();
        let strangers = rows.values().filter(|row| row.stage < Stage::In && !row.going).count();
        let staying = rows.values().filter(|row| !row.going).count();
        if strangers >= self.limits.strangers_max || staying >= self.limits.connections_max {
            let least = |(number, row): &(&u64, &mut Row)| (row.stage, **number);
            let waiting = rows.iter_mut().filter(|(_, row)| row.stage < Stage::In && !row.going);
            let Some((_, row)) = waiting.min_by_key(least) else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            row.going = true;
            row.wakeup.stop(Error::new(Code::Quota, "too many connections have not logged in"));
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (wakeup, traffic) = (Arc::new(Wakeup::default()), Arc::new(Traffic::default()));
        let (requests, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let row = Row {
            stage: Stage::Silent,
            user: None,
            address,
            doing: "login",
            stream: None,
            since: Instant::now(),
            going: false,
            wakeup: wakeup.clone(),
            traffic: traffic.clone(),
            requests: requests.clone(),
            open: open.clone(),
        };
        rows.insert(number, row);
        let draining = self.draining.clone();
        Some(Seat { table: self.clone(), number, wakeup, traffic, requests, open, draining })
    }

    /// Tells every connection of users for whom `stays` is false to go.
    pub fn dismiss(&self, why: &Error, stays: impl Fn(&str) -> bool) {
        for row in self.rows.lock().values_mut() {
            if row.user.as_deref().is_some_and(|user| !stays(user)) {
                row.going = true;
                row.wakeup.stop(why.clone());
            }
        }
    }

    /// Tells one connection to go. Fails with NO_SUCH_NAME when there is none of this number.
    pub fn dismiss_one(&self, number: u64, why: &Error) -> Result<()> {
        match self.rows.lock().get_mut(&number) {
            Some(row) => {
                row.going = true;
                row.wakeup.stop(why.clone());
                Ok(())
            }
            None => {
                let text = format!("there is no connection {number}");
                Err(Error::new(Code::NoSuchName, text))
            }
        }
    }

    /// Takes no more work.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether somebody waits for an answer.
    pub fn is_busy(&self) -> bool {
        self.rows.lock().values().any(|row| row.open.load(Ordering::SeqCst) > 0)
    }

    /// Tells every connection to go.
    pub fn dismiss_all(&self, why: &Error) {
        for row in self.rows.lock().values_mut() {
            row.going = true;
            row.wakeup.stop(why.clone());
        }
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.rows.lock().is_empty()
    }

    /// The connections and the counts, for the status.
    pub fn status(&self) -> Value {
        let rows = self.rows.lock();
        let connections: Vec<Value> = rows
            .iter()
            .map(|(number, row)| {
                json!({
                    "connection": number,
                    "user": row.user,
                    "address": row.address,
                    "doing": row.doing,
                    "stream": row.stream,
                    "seconds": row.since.elapsed().as_secs(),
                    "requests": row.requests.load(Ordering::Relaxed),
                    "bytes_in": row.traffic.bytes_in.load(Ordering::Relaxed),
                    "bytes_out": row.traffic.bytes_out.load(Ordering::Relaxed),
                })
            })
            .collect();
        json!({
            "connections": connections,
            "strangers": rows.values().filter(|row| row.stage < Stage::In).count(),
            "seen": self.next.load(Ordering::Relaxed) - 1,
            "refused": self.refused.load(Ordering::Relaxed),
            "evicted": self.evicted.load(Ordering::Relaxed),
            "login_failures": self.failures.load(Ordering::Relaxed),
        })
    }
}

impl Seat {
    /// The number of the connection.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn change(&self, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.table.rows.lock().get_mut(&self.number) {
            change(row);
        }
    }

    /// How far it has come.
    pub fn reached(&self, stage: Stage) {
        self.change(|row| row.stage = stage);
    }

    /// It logged in.
    pub fn logged_in(&self, user: &str) {
        self.change(|row| {
            row.stage = Stage::In;
            row.user = Some(user.into());
            row.doing = "nothing yet";
        });
    }

    /// Its login was refused.
    pub fn login_failed(&self) {
        self.table.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Which stream it brings.
    pub fn brings(&self, stream: Value) {
        self.change(|row| row.stream = Some(stream));
    }

    /// What it does from here on.
    pub fn does(&self, what: &'static str) {
        self.change(|row| row.doing = what);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!("connection {} ended by a bug of this library", self.number);
        }
        self.table.rows.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(connections_max: usize, strangers_max: usize) -> Arc<Table> {
        let limits = ServerLimits { connections_max, strangers_max, ..ServerLimits::default() };
        Arc::new(Table::new(limits))
    }

    fn seat(table: &Arc<Table>) -> Seat {
        table.seat("here".into()).unwrap()
    }

    #[test]
    fn the_stranger_who_has_said_least_for_longest_goes_first() {
        let table = table(10, 3);
        let (greeted, silent, newer) = (seat(&table), seat(&table), seat(&table));
        greeted.reached(Stage::Greeted);
        let _one = seat(&table);
        assert!(silent.wakeup.is_stopped() && !newer.wakeup.is_stopped());
        let _two = seat(&table);
        assert!(newer.wakeup.is_stopped() && !greeted.wakeup.is_stopped());
        greeted.reached(Stage::Held);
        let _three = seat(&table);
        assert!(greeted.wakeup.is_stopped());
    }

    #[test]
    fn users_are_never_pushed_out_and_a_full_house_is_full() {
        let table = table(2, 2);
        let (ann, stranger) = (seat(&table), seat(&table));
        ann.logged_in("ann");
        let ben = seat(&table);
        assert!(stranger.wakeup.is_stopped());
        drop(stranger);
        ben.logged_in("ben");
        assert!(table.seat("here".into()).is_none());
        drop(ann);
        assert!(table.seat("here".into()).is_some());
        assert!(!ben.wakeup.is_stopped());
        table.dismiss(&Error::new(Code::Denied, "changed"), |user| user != "ben");
        assert!(ben.wakeup.is_stopped());
    }
}
