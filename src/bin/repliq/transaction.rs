//! `repliq tx …`: what became of a session's transaction, and those that are prepared.

use repliq::{Code, Outcome, PreparedInfo, TransactionId};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

use super::fail::{Done, Fail};
use super::logging::time_text;
use super::output::Output;
use super::place::{List, Place};
use super::status::cell;

/// Find out what became of a transaction, and end those that are prepared
///
/// A transaction is named by its identity, as a session tells it before the commit. Whoever asks for the outcome of one
/// that is not committed makes sure that it never will be, unless it is prepared: that one waits for its coordinator.
/// What is ended here is recorded as done by hand, and its coordinator is told.
#[derive(clap::Subcommand, Debug)]
pub enum Transaction {
    /// Print what became of a transaction: `committed` and its token, `rolled back`, `pending` or `expired`
    Resolve(Resolve),
    /// List the transactions that are prepared, and those that were ended by hand
    Ls(List),
    /// Commit a prepared transaction in the place of its coordinator; exit status 23 when it was rolled back before
    Commit(One),
    /// Make sure that a transaction, also a prepared one, is never committed; exit status 1 when it is already
    Rollback(One),
}

/// A transaction.
#[derive(clap::Args, Debug)]
pub struct One {
    #[command(flatten)]
    place: Place,
    /// Identity of the transaction: its session, epoch and number, with dots between
    id: String,
}

/// A transaction, and how its outcome is printed.
#[derive(clap::Args, Debug)]
pub struct Resolve {
    #[command(flatten)]
    one: One,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Transaction {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            Transaction::Resolve(resolve) => resolve.run(),
            Transaction::Ls(list) => ls(&list),
            Transaction::Commit(one) => one.commit(),
            Transaction::Rollback(one) => one.roll_back(),
        }
    }
}

impl One {
    fn outcome(&self) -> Done<(TransactionId, Outcome)> {
        let id: TransactionId = self.id.parse()?;
        let store = self.place.change()?;
        let outcome = store.resolve(&id);
        let closed = store.close();
        let outcome = outcome?;
        closed?;
        Ok((id, outcome))
    }

    fn commit(&self) -> Done {
        let id: TransactionId = self.id.parse()?;
        let store = self.place.change()?;
        let commit = store.finish_by_hand(&id, true);
        let closed = store.close();
        let token = commit?.token;
        closed?;
        let mut output = Output::open();
        output.line(&token.to_string())?;
        output.flush()
    }

    fn roll_back(&self) -> Done {
        let id: TransactionId = self.id.parse()?;
        let store = self.place.change()?;
        let outcome = store.resolve(&id).and_then(|outcome| match outcome {
            // A prepared one waits until somebody says so.
            Outcome::Pending => store.finish_by_hand(&id, false).map(|_| Outcome::RolledBack),
            outcome => Ok(outcome),
        });
        let closed = store.close();
        let outcome = outcome?;
        closed?;
        let (code, why) = match outcome {
            Outcome::RolledBack => return Ok(()),
            Outcome::Committed(token) => {
                (Code::Invalid, format!("it is committed already: {token}"))
            }
            Outcome::Expired => {
                (Code::OutcomeExpired, "nobody knows any more what became of it".to_string())
            }
            _ => (Code::OutcomeUnknown, "its commit is under way".to_string()),
        };
        Err(Fail::new(code, format!("cannot roll back transaction {id}: {why}")))
    }
}

impl Resolve {
    fn run(&self) -> Done {
        let (id, outcome) = self.one.outcome()?;
        let (word, token) = match outcome {
            Outcome::Committed(token) => ("committed", Some(token.to_string())),
            Outcome::RolledBack => ("rolled back", None),
            Outcome::Expired => ("expired", None),
            _ => ("pending", None),
        };
        let mut output = Output::open();
        if self.json {
            output.json(&json!({
                "transaction": id.to_string(),
                "outcome": word.replace(' ', "_"),
                "token": token,
            }))?;
        } else {
            let words: Vec<&str> = std::iter::once(word).chain(token.as_deref()).collect();
            output.line(&words.join(" "))?;
        }
        output.flush()
    }
}

fn ls(list: &List) -> Done {
    let infos = list.place.see()?.prepared()?;
    let rows: Vec<Value> = infos.iter().map(PreparedInfo::to_json).collect();
    let mut output = Output::open();
    if list.json {
        for row in &rows {
            output.json(row)?;
        }
    } else {
        let titles = [
            "transaction",
            "state",
            "age",
            "messages",
            "bytes",
            "held",
            "user",
            "xid",
            "ended",
            "by",
            "token",
        ];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        output.table(&titles, &rows.iter().map(|row| line(row, now_ms)).collect::<Vec<_>>())?;
    }
    output.flush()
}

fn line(row: &Value, now_ms: u64) -> Vec<String> {
    let text = |name: &str| match &row[name] {
        Value::Null => "-".to_string(),
        Value::String(text) if text.is_empty() => "-".to_string(),
        value => cell(value),
    };
    let time = |name: &str| row[name].as_u64();
    let age = time("since_ms").map_or(0, |since| now_ms.saturating_sub(since) / 1000);
    let mut line = vec![text("transaction"), text("state").replace('_', " "), format!("{age} s")];
    line.extend(["messages", "bytes", "held", "user", "xid"].map(text));
    line.push(time("ended_ms").map_or("-".to_string(), time_text));
    line.extend(["ended_by", "token"].map(text));
    line
}
