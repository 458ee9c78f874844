//! `repliq session …`: the sessions a store remembers.

use repliq::SessionInfo;
use serde_json::Value;

use super::fail::Done;
use super::logging::time_text;
use super::output::Output;
use super::place::{List, Place};
use super::status::cell;

/// List remembered sessions, and take one away from its owner
#[derive(clap::Subcommand, Debug)]
pub enum Session {
    /// List the sessions: those with a name, those of a server's clients, those that asked for an identity
    Ls(List),
    /// Take a session away from whoever has it open: the next call of that one is FENCED, and nothing more of it is
    /// committed
    Kill(Kill),
}

/// A session that is remembered.
#[derive(clap::Args, Debug)]
pub struct Kill {
    #[command(flatten)]
    place: Place,
    /// The session, as `session ls` prints it
    session: String,
}

impl Session {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            Session::Ls(list) => ls(&list),
            Session::Kill(kill) => {
                let store = kill.place.change()?;
                store.session_kill(SessionInfo::parse_id(&kill.session)?)?;
                Ok(store.close()?)
            }
        }
    }
}

fn ls(list: &List) -> Done {
    let infos = list.place.see()?.remembered_sessions()?;
    let mut rows: Vec<Value> = infos.iter().map(SessionInfo::to_json).collect();
    if !list.place.folder.is_url() {
        // Only the process that has the directory knows.
        rows.iter_mut().for_each(|row| row["open"] = Value::Null);
    }
    let mut output = Output::open();
    if list.json {
        for row in &rows {
            output.json(row)?;
        }
    } else {
        let titles = ["session", "name", "user", "epoch", "open", "used", "committed", "token"];
        output.table(&titles, &rows.iter().map(line).collect::<Vec<_>>())?;
    }
    output.flush()
}

fn line(row: &Value) -> Vec<String> {
    let text = |name: &str| match &row[name] {
        Value::String(text) if text.is_empty() => "-".to_string(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_string(),
        value => cell(value),
    };
    let mut line: Vec<String> = ["session", "name", "user", "epoch", "open"].map(text).into();
    line.push(row["used_ms"].as_u64().map_or("-".to_string(), time_text));
    line.extend(["committed", "token"].map(text));
    line
}
