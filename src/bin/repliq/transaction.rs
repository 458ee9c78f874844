//! `repliq tx …`: what became of a session's transaction.

use repliq::{Code, Outcome, TransactionId};
use serde_json::json;

use super::fail::{Done, Fail};
use super::output::Output;
use super::place::Place;

/// Find out what became of a transaction, or roll one back
///
/// A transaction is named by its identity, as a session tells it before the commit. Whoever asks for the outcome of one
/// that is not committed makes sure that it never will be.
#[derive(clap::Subcommand, Debug)]
pub enum Transaction {
    /// Print what became of a transaction: `committed` and its token, `rolled back`, `pending` or `expired`
    Resolve(Resolve),
    /// Make sure that a transaction is never committed; exit status 1 when it is already
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

    fn roll_back(&self) -> Done {
        let (id, outcome) = self.outcome()?;
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
