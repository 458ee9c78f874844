//! The sessions a store remembers, as others than their owners see them.

use super::store::Store;
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::position::Token;
use crate::store::{KnownSession, TransactionId};
use serde_json::{Value, json};

/// A session that a store remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id, which begins the identity of each of its transactions.
    pub session: [u8; 16],
    /// Its name, or empty.
    pub name: String,
    /// Whose it is: a user of the server, or empty for whoever opened the directory.
    pub user: String,
    /// How many owners it has had, one after the other.
    pub epoch: u32,
    /// Its last transaction that was committed, and where that is.
    pub committed: Option<(TransactionId, Token)>,
    /// When it was used last, in milliseconds since 1970 UTC.
    pub used_ms: u64,
    /// Whether somebody has it open in the process that has the store.
    pub open: bool,
}

impl SessionInfo {
    pub(super) fn of(known: KnownSession) -> SessionInfo {
        let KnownSession { session, row, committed, open } = known;
        SessionInfo {
            session,
            name: row.name,
            user: row.user,
            epoch: row.decided.0,
            committed,
            used_ms: row.used_ms,
            open,
        }
    }

    /// Its id in hexadecimal digits, as transactions begin in text.
    pub fn id(&self) -> String {
        session_text(&self.session)
    }

    /// The id in such a text. Fails with INVALID for any other.
    pub fn parse_id(text: &str) -> Result<[u8; 16]> {
        session_id(text)
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        let (transaction, token) = self.committed.unzip();
        json!({
            "session": self.id(),
            "name": self.name,
            "user": self.user,
            "epoch": self.epoch,
            "committed": transaction.map(|id| id.to_string()),
            "token": token.map(|token| token.to_string()),
            "used_ms": self.used_ms,
            "open": self.open,
        })
    }

    /// What [`SessionInfo::to_json`] wrote; `None` where it is something else.
    pub(crate) fn from_json(row: &Value) -> Option<SessionInfo> {
        let text = |name: &str| row[name].as_str();
        let committed = match (text("committed"), text("token")) {
            (Some(id), Some(token)) => Some((id.parse().ok()?, token.parse().ok()?)),
            _ => None,
        };
        Some(SessionInfo {
            session: session_id(text("session")?).ok()?,
            name: text("name")?.into(),
            user: text("user")?.into(),
            epoch: u32::try_from(row["epoch"].as_u64()?).ok()?,
            committed,
            used_ms: row["used_ms"].as_u64()?,
            open: row["open"].as_bool()?,
        })
    }
}

/// Remembered sessions.
impl Store {
    /// The sessions the store remembers, in the order of their ids: those with a name, those of a server's clients, and
    /// those whose [`Session::id`](crate::Session::id) was asked for, until they were not used for 24 hours.
    ///
    /// At a server this needs the right `admin` on `*`.
    pub fn remembered_sessions(&self) -> Result<Vec<SessionInfo>> {
        let mut infos: Vec<SessionInfo> = Vec::new();
        loop {
            let after = infos.last().map(|info| info.session);
            let more = self.sessions_behind(after)?;
            if more.is_empty() {
                return Ok(infos);
            }
            infos.extend(more);
        }
    }

    /// The next of them, in the order of their ids; none behind the last one.
    pub(crate) fn sessions_behind(&self, after: Option<[u8; 16]>) -> Result<Vec<SessionInfo>> {
        if let Some(store) = self.remote() {
            return store.sessions_behind(after);
        }
        let inner = self.inner()?;
        inner.check()?;
        let known = inner.core.known_sessions(after, limits::SESSIONS_LISTED_MAX);
        Ok(known.into_iter().map(SessionInfo::of).collect())
    }

    /// Takes a session away from whoever has it open: that one is FENCED by its next call, and what it had not committed
    /// never will be. What it holds goes back at once.
    ///
    /// Fails with NO_SUCH_NAME for a session that is not remembered. At a server this needs the right `admin` on `*`.
    pub fn session_kill(&self, session: [u8; 16]) -> Result<()> {
        if let Some(store) = self.remote() {
            return store.session_kill(session);
        }
        self.inner()?.core.session_kill(session)
    }
}

/// A session's id in hexadecimal digits.
pub(crate) fn session_text(session: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*session))
}

/// The id in a text of 32 hexadecimal digits. Fails with INVALID for any other.
pub(crate) fn session_id(text: &str) -> Result<[u8; 16]> {
    let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| hex);
    number.map(u128::to_be_bytes).ok_or_else(|| {
        let text = format!("{text:?} is no id of a session: 32 hexadecimal digits");
        Error::new(Code::Invalid, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_back_from_its_json_and_a_cut_one_is_none() {
        let id: TransactionId = "30313233343536373839616263646566.2.7".parse().unwrap();
        let token = Token::empty(crate::position::GroupId::from_bytes([7; 16]));
        for committed in [None, Some((id, token))] {
            let info = SessionInfo {
                session: id.session,
                name: "mover".into(),
                user: "ann".into(),
                epoch: 2,
                committed,
                used_ms: 5,
                open: true,
            };
            let mut row = info.to_json();
            assert_eq!(SessionInfo::from_json(&row), Some(info));
            row["session"] = json!("30313233343536373839616263646g66");
            assert_eq!(SessionInfo::from_json(&row), None);
        }
        assert_eq!(session_text(&id.session), "30313233343536373839616263646566");
        for wrong in ["", "+0313233343536373839616263646566", "303132333435363738396162636465"] {
            assert_eq!(session_id(wrong).unwrap_err().code(), Code::Invalid, "{wrong}");
        }
    }
}
