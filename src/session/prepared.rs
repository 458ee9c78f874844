//! Prepared transactions, as their coordinators and operators see them.

use super::store::Store;
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::position::Token;
use crate::queue::prepared_ended;
use crate::store::{Commit, Core, End, Phase, PreparedRow, State, TransactionId, Verdict};
use serde_json::{Value, json};

/// A transaction that is prepared, or was and was ended by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreparedInfo {
    /// Its identity.
    pub id: TransactionId,
    /// What its coordinator calls it, or empty.
    pub xid: Vec<u8>,
    /// Whose it is: a user of the server, or empty for whoever opened the directory.
    pub user: String,
    /// When it was prepared, in milliseconds since 1970 UTC.
    pub since_ms: u64,
    /// Messages it puts.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Messages it has received, which nobody else gets.
    pub held: u64,
    /// How it ended, where that was by hand.
    pub ended: Option<EndedByHand>,
}

/// How a prepared transaction was ended by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedByHand {
    /// Whether it was committed; otherwise it was rolled back.
    pub committed: bool,
    /// Where that is.
    pub token: Token,
    /// Who did it: a user of the server, or empty for whoever opened the directory.
    pub by: String,
    /// When, in milliseconds since 1970 UTC.
    pub time_ms: u64,
}

impl PreparedInfo {
    fn of(state: &State, id: &TransactionId, row: &PreparedRow) -> Option<PreparedInfo> {
        let ended = match &row.phase {
            Phase::Waits(_) => None,
            Phase::Ended(End { by_hand: false, .. }) => return None,
            Phase::Ended(end) => Some(EndedByHand {
                committed: end.committed,
                token: state.token(end.transaction),
                by: end.by.clone(),
                time_ms: end.time_ms,
            }),
        };
        let (messages, bytes) = row.work().map_or((0, 0), |work| work.puts());
        let held = row.work().map_or(Vec::new(), |work| work.held());
        let runs = held.iter().flat_map(|(.., runs)| runs);
        let held = runs.map(|(first, last)| last - first + 1).sum();
        Some(PreparedInfo {
            id: *id,
            xid: row.xid.clone(),
            user: row.user.clone(),
            since_ms: row.since_ms,
            messages,
            bytes,
            held,
            ended,
        })
    }

    /// How far it is, in a word: `prepared`, `committed` or `rolled_back`.
    pub fn state(&self) -> &'static str {
        match &self.ended {
            None => "prepared",
            Some(end) if end.committed => "committed",
            Some(_) => "rolled_back",
        }
    }

    /// The same as JSON; the xid in hexadecimal digits.
    pub fn to_json(&self) -> Value {
        let end = self.ended.as_ref();
        json!({
            "transaction": self.id.to_string(),
            "xid": self.xid.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            "user": self.user,
            "since_ms": self.since_ms,
            "messages": self.messages,
            "bytes": self.bytes,
            "held": self.held,
            "state": self.state(),
            "token": end.map(|end| end.token.to_string()),
            "ended_by": end.map(|end| &end.by),
            "ended_ms": end.map(|end| end.time_ms),
        })
    }

    /// What [`PreparedInfo::to_json`] wrote; `None` where it is something else.
    pub(crate) fn from_json(row: &Value) -> Option<PreparedInfo> {
        let (text, number) = (|name: &str| row[name].as_str(), |name: &str| row[name].as_u64());
        let ended = match text("state")? {
            "prepared" => None,
            word @ ("committed" | "rolled_back") => Some(EndedByHand {
                committed: word == "committed",
                token: text("token")?.parse().ok()?,
                by: text("ended_by")?.into(),
                time_ms: number("ended_ms")?,
            }),
            _ => return None,
        };
        Some(PreparedInfo {
            id: text("transaction")?.parse().ok()?,
            xid: from_hex(text("xid")?)?,
            user: text("user")?.into(),
            since_ms: number("since_ms")?,
            messages: number("messages")?,
            bytes: number("bytes")?,
            held: number("held")?,
            ended,
        })
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Prepared transactions.
impl Store {
    /// The transactions that are prepared and wait, in the order of their identities, and those that were ended by hand,
    /// as far as they are remembered: the last 1,024.
    ///
    /// At a server these are the user's own; with the right `admin` on `*`, all of them.
    pub fn prepared(&self) -> Result<Vec<PreparedInfo>> {
        let mut infos: Vec<PreparedInfo> = Vec::new();
        loop {
            let after = infos.last().map(|info| info.id);
            let more = match self.remote() {
                Some(store) => store.prepared_behind(after)?,
                None => self.prepared_behind(after, None)?,
            };
            if more.is_empty() {
                return Ok(infos);
            }
            infos.extend(more);
        }
    }

    /// The same as a JSON array.
    pub fn prepared_text(&self) -> Result<String> {
        let infos = self.prepared()?;
        Ok(json!(infos.iter().map(PreparedInfo::to_json).collect::<Vec<_>>()).to_string())
    }

    /// The next of them that are this user's, or anybody's; none behind the last one.
    pub(crate) fn prepared_behind(
        &self,
        after: Option<TransactionId>,
        of: Option<&str>,
    ) -> Result<Vec<PreparedInfo>> {
        let inner = self.inner()?;
        inner.check()?;
        Ok(inner.core.look(|state| {
            let rows = state.prepared.iter().filter(|(id, row)| {
                after.is_none_or(|after| **id > after) && of.is_none_or(|user| user == row.user)
            });
            let infos = rows.filter_map(|(id, row)| PreparedInfo::of(state, id, row));
            infos.take(limits::SESSIONS_LISTED_MAX).collect()
        }))
    }

    /// Commits a prepared transaction or rolls it back, durably, and returns where that is in the order of commits.
    ///
    /// It may come from anywhere and again: how one ended is known for 24 hours, of the last 16,384; where it was ended by
    /// hand, longer. Fails with NO_SUCH_NAME where none is known, DENIED for another user's, ROLLED_BACK where it is to be
    /// committed and was rolled back before, INVALID where it is the other way round, and NO_SPACE, and then it waits on.
    ///
    /// At a server, one whose answer is lost with the connection is asked for again, within the time a call may take.
    pub fn finish(&self, id: &TransactionId, commit: bool) -> Result<Commit> {
        match self.remote() {
            Some(store) => store.finish(id, commit, false),
            None => self.decide(&Verdict { id: *id, commit, of: None, by: "", by_hand: false }),
        }
    }

    /// The same as an operator's decision, which its coordinator does not know of: that is recorded, shown by
    /// [`Store::prepared`], and told to whoever ends it otherwise later.
    pub fn finish_by_hand(&self, id: &TransactionId, commit: bool) -> Result<Commit> {
        match self.remote() {
            Some(store) => store.finish(id, commit, true),
            None => self.decide(&Verdict { id: *id, commit, of: None, by: "", by_hand: true }),
        }
    }

    /// Ends one, for whoever says so.
    pub(crate) fn decide(&self, verdict: &Verdict<'_>) -> Result<Commit> {
        let core = &self.inner()?.core;
        let (commit, ended) = core.end_prepared(verdict)?;
        if let Some(work) = ended.as_ref().and_then(|row| row.work()) {
            prepared_ended(core, work, verdict.commit);
        }
        Ok(commit)
    }
}

/// How many wait, the bytes they put, and when the oldest was prepared, in milliseconds since 1970 UTC.
pub fn waiting(core: &Core) -> (u64, u64, Option<u64>) {
    core.look(|state| {
        let rows = state.prepared.waiting();
        rows.fold((0, 0, None), |(count, bytes, oldest), (_, row, work)| {
            let oldest = oldest.map_or(row.since_ms, |oldest: u64| oldest.min(row.since_ms));
            (count + 1, bytes + work.puts().1, Some(oldest))
        })
    })
}

/// The identity in a text that may be missing.
pub(crate) fn after(text: Option<&str>) -> Result<Option<TransactionId>> {
    let parsed = text.map(|text| TransactionId::parse(text.as_bytes())).transpose();
    parsed.map_err(|error| Error::because(Code::Invalid, "cannot list behind this", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::GroupId;

    #[test]
    fn a_row_is_read_back_from_its_json_and_a_wrong_one_is_none() {
        let token = Token::empty(GroupId::from_bytes([7; 16]));
        let end = |committed| EndedByHand { committed, token, by: "bob".into(), time_ms: 9 };
        for ended in [None, Some(end(true)), Some(end(false))] {
            let info = PreparedInfo {
                id: "30313233343536373839616263646566.2.7".parse().unwrap(),
                xid: vec![0, 255, 16],
                user: "ann".into(),
                since_ms: 5,
                messages: 3,
                bytes: 100,
                held: 2,
                ended,
            };
            let mut row = info.to_json();
            assert_eq!(PreparedInfo::from_json(&row), Some(info));
            row["xid"] = json!("0g");
            assert_eq!(PreparedInfo::from_json(&row), None);
        }
        assert_eq!(from_hex("123"), None);
    }
}
