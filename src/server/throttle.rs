//! Failed logins: after some, the next ones have to wait.
//!
//! The wait belongs to a user at an address, so that guessing somebody's password from elsewhere does not lock
//! that one out, and to an address with four times the patience, so that guessing one password for many users
//! does not pay either. It doubles from a second on and is measured from the last failure: a proof is not
//! looked at before it is over, however many connections bring one.

use super::options::ServerLimits;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Names and addresses remembered at most; the one that failed longest ago goes first.
const ROWS_MAX: usize = 4_096;
/// How long a failure counts once the wait is over.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How much more an address may fail than a user at it.
const PATIENCE: u32 = 4;
const FIRST_WAIT_MS: u64 = 1_000;

/// The failures of a server.
pub struct Throttle {
    failures_max: u32,
    wait_ms_max: u64,
    rows: Mutex<HashMap<(String, String), Row>>,
}

#[derive(Clone, Copy)]
struct Row {
    failures: u32,
    last: Instant,
}

impl Throttle {
    /// Nothing has failed yet.
    pub fn new(limits: &ServerLimits) -> Throttle {
        Throttle {
            failures_max: limits.failures_max,
            wait_ms_max: limits.failure_wait_ms_max,
            rows: Mutex::default(),
        }
    }

    /// How long a proof of this user at this address has to wait.
    pub fn wait(&self, user: &str, address: &str, now: Instant) -> Duration {
        let rows = self.rows.lock();
        let left = |key: &(String, String), max: u32| {
            let Some(row) = rows.get(key) else { return Duration::ZERO };
            (row.last + self.span(row.failures, max)).saturating_duration_since(now)
        };
        let [pair, alone] = keys(user, address);
        left(&pair, self.failures_max).max(left(&alone, self.failures_max.saturating_mul(PATIENCE)))
    }

    /// A login failed.
    pub fn failed(&self, user: &str, address: &str, now: Instant) {
        let mut rows = self.rows.lock();
        for key in keys(user, address) {
            if rows.len() >= ROWS_MAX && !rows.contains_key(&key) {
                let oldest = rows.iter().min_by_key(|(_, row)| row.last);
                if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                    rows.remove(&oldest);
                }
            }
            let row = rows.entry(key).or_insert(Row { failures: 0, last: now });
            let forgotten = Duration::from_millis(self.wait_ms_max) + REMEMBERED;
            if now.duration_since(row.last) > forgotten {
                row.failures = 0;
            }
            *row = Row { failures: row.failures.saturating_add(1), last: now };
        }
    }

    /// A login succeeded: what failed before was a slip.
    pub fn succeeded(&self, user: &str, address: &str) {
        let mut rows = self.rows.lock();
        for key in keys(user, address) {
            rows.remove(&key);
        }
    }

    fn span(&self, failures: u32, max: u32) -> Duration {
        let Some(beyond) = failures.checked_sub(max) else { return Duration::ZERO };
        let ms = FIRST_WAIT_MS.checked_shl(beyond.min(32)).unwrap_or(u64::MAX);
        Duration::from_millis(ms.min(self.wait_ms_max))
    }
}

/// A user at an address, and the address; no user has an empty name.
fn keys(user: &str, address: &str) -> [(String, String); 2] {
    [(user.into(), address.into()), (String::new(), address.into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn throttle() -> Throttle {
        Throttle::new(&ServerLimits::default())
    }

    #[test]
    fn five_failures_are_free_and_then_the_wait_doubles_up_to_thirty_seconds() {
        let (throttle, now) = (throttle(), Instant::now());
        for wait in [0, 0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            throttle.failed("ann", "host", now);
            assert_eq!(throttle.wait("ann", "host", now), MS(wait));
        }
        assert_eq!(throttle.wait("ann", "host", now + MS(29_000)), MS(1000));
        assert_eq!(throttle.wait("ann", "host", now + MS(31_000)), MS(0));
    }

    #[test]
    fn another_address_another_user_and_a_success_do_not_wait() {
        let (throttle, now) = (throttle(), Instant::now());
        (0..10).for_each(|_| throttle.failed("ann", "host", now));
        assert_eq!(throttle.wait("ann", "elsewhere", now), MS(0));
        assert_eq!(throttle.wait("ben", "host", now), MS(0));
        throttle.succeeded("ann", "host");
        assert_eq!(throttle.wait("ann", "host", now), MS(0));
    }

    #[test]
    fn one_address_that_guesses_for_many_users_waits_for_all() {
        let (throttle, now) = (throttle(), Instant::now());
        (0..20).for_each(|number| throttle.failed(&format!("user {number}"), "host", now));
        assert_eq!(throttle.wait("ann", "host", now), MS(1000));
    }

    #[test]
    fn old_failures_are_forgotten_and_memory_is_bounded() {
        let (throttle, now) = (throttle(), Instant::now());
        (0..10).for_each(|_| throttle.failed("ann", "host", now));
        let later = now + Duration::from_secs(400);
        throttle.failed("ann", "host", later);
        assert_eq!(throttle.wait("ann", "host", later), MS(0));
        (0..ROWS_MAX * 2).for_each(|number| throttle.failed("ann", &format!("{number}"), later));
        assert!(throttle.rows.lock().len() <= ROWS_MAX);
    }
}
