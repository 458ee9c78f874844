//! The rows of the sessions a store remembers, by id and by name.
//!
//! Promises: a look for a name, one for rows of age, and how many a user has cost the same however many rows there are.

use super::unheard::Unheard;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// Rows that one look for those of age goes over.
const LOOKED_AT_MAX: usize = 512;

/// The id of a session.
pub type SessionId = [u8; 16];

/// A session as its records left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionRow {
    /// Its epoch, and the number up to which all is decided.
    pub decided: (u32, u64),
    /// The last transaction that was committed; zeros before the first.
    pub committed: (u32, u64),
    /// Where that is.
    pub transaction: u64,
    /// When it was used last, in milliseconds since 1970 UTC.
    pub used_ms: u64,
    /// Whose it is; empty for whoever opened the directory.
    pub user: String,
    /// Its name, or empty.
    pub name: String,
}

/// A session that is of age, and up to which epoch and number all of it is decided.
pub type OfAge = (SessionId, (u32, u64));

/// The rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    rows: BTreeMap<SessionId, SessionRow>,
    names: HashMap<String, SessionId>,
    /// How many each user has.
    users: HashMap<String, usize>,
    /// Commits before the last one of each.
    pub unheard: Unheard,
}

impl Remembered {
    /// The row of a session.
    pub fn get(&self, session: &SessionId) -> Option<&SessionRow> {
        self.rows.get(session)
    }

    /// The same to be changed; its name and its user stay.
    pub fn get_mut(&mut self, session: &SessionId) -> Option<&mut SessionRow> {
        self.rows.get_mut(session)
    }

    /// The session of this name.
    pub fn named(&self, name: &str) -> Option<(SessionId, &SessionRow)> {
        let session = self.names.get(name)?;
        Some((*session, self.rows.get(session)?))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many of them a user has.
    pub fn of_user(&self, user: &str) -> usize {
        self.users.get(user).copied().unwrap_or(0)
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&SessionId, &SessionRow)> {
        self.rows.iter()
    }

    /// Takes a row in the place of the one that was there, if any; whether there was none.
    pub fn insert(&mut self, session: SessionId, row: SessionRow) -> bool {
        let former = self.rows.remove(&session);
        if let Some(former) = &former {
            self.forget_name(&session, former);
        }
        *self.users.entry(row.user.clone()).or_default() += 1;
        if !row.name.is_empty() {
            self.names.insert(row.name.clone(), session);
        }
        self.rows.insert(session, row);
        former.is_none()
    }

    /// Forgets a session.
    pub fn remove(&mut self, session: &SessionId) {
        if let Some(row) = self.rows.remove(session) {
            self.forget_name(session, &row);
        }
    }

    fn forget_name(&mut self, session: &SessionId, row: &SessionRow) {
        if self.names.get(&row.name) == Some(session) {
            self.names.remove(&row.name);
        }
        if let Some(count) = self.users.get_mut(&row.user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&row.user);
            }
        }
    }

    /// Sessions that were used before `least`, `max` at most: of the rows behind `from`, once around, as many as one look
    /// goes over, or all of them. Tells where the next look begins.
    pub fn of_age(
        &self,
        least: u64,
        from: SessionId,
        max: usize,
        all: bool,
    ) -> (Vec<OfAge>, SessionId) {
        let behind = self.rows.range((Bound::Excluded(from), Bound::Unbounded));
        let around = behind.chain(self.rows.range(..=from));
        let (mut old, mut last) = (Vec::new(), from);
        let most = if all { self.rows.len() } else { LOOKED_AT_MAX };
        for (session, row) in around.take(most) {
            if old.len() >= max {
                break;
            }
            last = *session;
            if row.used_ms < least {
                old.push((*session, row.decided));
            }
        }
        (old, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u16) -> SessionId {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        id
    }

    fn row(name: &str, used_ms: u64) -> SessionRow {
        SessionRow { name: name.into(), used_ms, ..SessionRow::default() }
    }

    #[test]
    fn a_name_leads_to_its_session_as_long_as_that_is_there() {
        let mut all = Remembered::default();
        assert!(all.insert(id(1), row("a", 1)));
        assert!(all.insert(id(2), row("", 1)));
        assert!(!all.insert(id(1), row("a", 2)));
        assert_eq!(all.named("a").unwrap().0, id(1));
        assert_eq!(all.named(""), None);
        // Two of one name are damage; the last one has it, and the other takes it from nobody.
        all.insert(id(3), row("a", 1));
        all.remove(&id(1));
        assert_eq!(all.named("a").unwrap().0, id(3));
        all.remove(&id(3));
        assert_eq!((all.named("a"), all.len()), (None, 1));
    }

    #[test]
    fn how_many_a_user_has_is_known_whatever_comes_and_goes() {
        let mut all = Remembered::default();
        let of = |user: &str| SessionRow { user: user.into(), ..SessionRow::default() };
        all.insert(id(1), of("ann"));
        all.insert(id(2), of("ann"));
        all.insert(id(2), of("ben"));
        assert_eq!((all.of_user("ann"), all.of_user("ben"), all.of_user("cid")), (1, 1, 0));
        all.remove(&id(2));
        all.remove(&id(2));
        assert_eq!((all.of_user("ann"), all.of_user("ben")), (1, 0));
        assert_eq!(all.users.len(), 1);
    }

    #[test]
    fn looks_for_rows_of_age_go_around_and_find_all_of_them() {
        let mut all = Remembered::default();
        (0..2_000).for_each(|n| _ = all.insert(id(n), row("", u64::from(n % 10))));
        let (mut found, mut from) = (std::collections::BTreeSet::new(), id(777));
        for _ in 0..5 {
            let (some, last) = all.of_age(1, from, 1_000, false);
            assert!(some.len() <= LOOKED_AT_MAX);
            found.extend(some.into_iter().map(|(session, _)| session));
            from = last;
        }
        assert_eq!(found.len(), 200);
        assert_eq!(all.of_age(1, from, 30, true).0.len(), 30);
        assert_eq!(all.of_age(1, from, 1_000, true).0.len(), 200);
        assert_eq!(all.of_age(0, from, 1_000, true).0.len(), 0);
    }
}
