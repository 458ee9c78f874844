//! What all sessions of a server take together, and what of it is one user's.
//!
//! Sessions, transactions that are open and the bytes they have staged are counted over all connections, each with a bound of
//! the server, of which one user has at most a share. Whoever is above one is refused with QUOTA, which names it, and everybody
//! else goes on.
//!
//! Promises: what was counted is given back when the session or its transaction ends, however it does; no count is above its
//! bound.

use super::options::ServerLimits;
use crate::error::{Code, Error, Result};
use crate::sync::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// What somebody takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    sessions: u64,
    transactions: u64,
    staged_bytes: u64,
}

/// What all sessions take.
pub struct Usage {
    most: Taken,
    /// What one user takes at most.
    of_user: Taken,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: Taken,
    users: HashMap<String, Taken>,
    refused: u64,
}

/// What one session takes; dropping it gives that back.
pub struct Share {
    usage: Arc<Usage>,
    user: String,
    taken: Taken,
}

impl Usage {
    /// Nothing is taken.
    pub fn new(limits: &ServerLimits) -> Usage {
        let most = Taken {
            sessions: limits.sessions_max as u64,
            transactions: limits.transactions_max as u64,
            staged_bytes: limits.staged_bytes_max,
        };
        let part = |of: u64| {
            let part = u128::from(of) * u128::from(limits.user_share) / 100;
            u64::try_from(part).unwrap_or(u64::MAX).max(1)
        };
        let of_user = Taken {
            sessions: part(most.sessions),
            transactions: part(most.transactions),
            staged_bytes: part(most.staged_bytes),
        };
        Usage { most, of_user, counts: Mutex::default() }
    }

    /// A session of this user.
    pub fn session(self: &Arc<Usage>, user: &str) -> Result<Share> {
        let mut share = Share { usage: self.clone(), user: user.into(), taken: Taken::default() };
        share.take(Taken { sessions: 1, ..Taken::default() })?;
        Ok(share)
    }

    /// The counts, for the status.
    pub fn status(&self) -> Value {
        let counts = self.counts.lock();
        let row = |taken: &Taken| {
            json!({
                "open": taken.sessions,
                "transactions": taken.transactions,
                "staged_bytes": taken.staged_bytes,
            })
        };
        let mut users: Vec<(&String, &Taken)> = counts.users.iter().collect();
        users.sort_unstable_by_key(|(name, _)| *name);
        let mut status = row(&counts.all);
        status["refused"] = json!(counts.refused);
        status["users"] = users
            .into_iter()
            .map(|(name, taken)| {
                let mut row = row(taken);
                row["user"] = json!(name);
                row
            })
            .collect();
        status
    }
}

impl Taken {
    fn plus(self, more: Taken) -> Taken {
        Taken {
            sessions: self.sessions + more.sessions,
            transactions: self.transactions + more.transactions,
            staged_bytes: self.staged_bytes.saturating_add(more.staged_bytes),
        }
    }

    fn minus(self, less: Taken) -> Taken {
        Taken {
            sessions: self.sessions - less.sessions,
            transactions: self.transactions - less.transactions,
            staged_bytes: self.staged_bytes - less.staged_bytes,
        }
    }

    /// What of it is above a bound: a name, and the bound.
    fn above(self, most: Taken) -> Option<(&'static str, u64)> {
        let rows = [
            ("sessions", self.sessions, most.sessions),
            ("open transactions", self.transactions, most.transactions),
            ("bytes of open transactions", self.staged_bytes, most.staged_bytes),
        ];
        let above = rows.into_iter().find(|(_, taken, most)| taken > most);
        above.map(|(what, _, most)| (what, most))
    }
}

impl Share {
    /// The transaction begins, unless it has.
    pub fn begin(&mut self) -> Result<()> {
        match self.taken.transactions {
            0 => self.take(Taken { transactions: 1, ..Taken::default() }),
            _ => Ok(()),
        }
    }

    /// The transaction stages so many bytes more.
    pub fn stage(&mut self, bytes: u64) -> Result<()> {
        let transactions = u64::from(self.taken.transactions == 0);
        self.take(Taken { sessions: 0, transactions, staged_bytes: bytes })
    }

    /// What was staged is dropped.
    pub fn unstage(&mut self) {
        self.give(Taken { staged_bytes: self.taken.staged_bytes, ..Taken::default() });
    }

    /// The transaction is over.
    pub fn end(&mut self) {
        self.give(Taken { sessions: 0, ..self.taken });
    }

    fn take(&mut self, more: Taken) -> Result<()> {
        let mut counts = self.usage.counts.lock();
        let all = counts.all.plus(more);
        let own = counts.users.get(&self.user).copied().unwrap_or_default().plus(more);
        let refused = match (own.above(self.usage.of_user), all.above(self.usage.most)) {
            (Some((what, most)), _) => Some(format!(
                "user {:?} has {most} {what} at this server, the most of one user",
                self.user
            )),
            (_, Some((what, most))) => Some(format!("this server has {most} {what}, its most")),
            _ => None,
        };
        if let Some(text) = refused.filter(|_| !sabotage!("sessions of a server not bounded")) {
            counts.refused += 1;
            return Err(Error::new(Code::Quota, text));
        }
        counts.all = all;
        counts.users.insert(self.user.clone(), own);
        drop(counts);
        self.taken = self.taken.plus(more);
        Ok(())
    }

    fn give(&mut self, less: Taken) {
        if less == Taken::default() {
            return;
        }
        let mut counts = self.usage.counts.lock();
        counts.all = counts.all.minus(less);
        let own = counts.users.get(&self.user).copied().unwrap_or_default().minus(less);
        if own == Taken::default() {
            counts.users.remove(&self.user);
        } else {
            counts.users.insert(self.user.clone(), own);
        }
        drop(counts);
        self.taken = self.taken.minus(less);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Arc<Usage> {
        let limits = ServerLimits {
            sessions_max: 4,
            transactions_max: 4,
            staged_bytes_max: 1_000,
            user_share: 50,
            ..ServerLimits::default()
        };
        Arc::new(Usage::new(&limits))
    }

    fn refused<T>(outcome: Result<T>) -> String {
        let error = outcome.err().unwrap();
        assert_eq!(error.code(), Code::Quota);
        error.to_string()
    }

    #[test]
    fn a_user_has_its_share_and_all_together_have_the_whole() {
        let usage = usage();
        let (mut one, two) = (usage.session("ann").unwrap(), usage.session("ann").unwrap());
        assert!(refused(usage.session("ann")).contains("\"ann\" has 2 sessions"));
        let mut other = usage.session("ben").unwrap();
        let last = usage.session("cid").unwrap();
        assert!(refused(usage.session("dan")).contains("this server has 4 sessions"));
        one.stage(500).unwrap();
        assert!(refused(one.stage(1)).contains("500 bytes"));
        other.stage(400).unwrap();
        assert_eq!(usage.status()["staged_bytes"], 900);
        assert_eq!(usage.status()["transactions"], 2);
        assert_eq!(usage.status()["refused"], 3);
        one.unstage();
        one.begin().unwrap();
        one.stage(500).unwrap();
        one.end();
        one.end();
        drop((one, two, other, last));
        let nothing = json!({
            "open": 0, "transactions": 0, "staged_bytes": 0, "refused": 3, "users": [],
        });
        assert_eq!(usage.status(), nothing);
    }

    #[test]
    fn what_was_refused_takes_nothing() {
        let usage = usage();
        let mut one = usage.session("ann").unwrap();
        refused(one.stage(501));
        assert_eq!(usage.status()["transactions"], 0);
        one.stage(500).unwrap();
        refused(one.stage(u64::MAX));
        assert_eq!(usage.status()["staged_bytes"], 500);
    }
}
