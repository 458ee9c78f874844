//! `repliq conn …`: who is connected to a live server.

use repliq::Code;
use serde_json::Value;

use super::fail::{Done, Fail};
use super::output::Output;
use super::place::{List, Place};
use super::status::cell;

/// List and end the connections of a server; STORE is its URL
#[derive(clap::Subcommand, Debug)]
pub enum Conn {
    /// List the connections
    Ls(List),
    /// End a connection; a client that is set to comes back
    Kill(Kill),
}

/// A connection of a server.
#[derive(clap::Args, Debug)]
pub struct Kill {
    #[command(flatten)]
    place: Place,
    /// Number of the connection, as `conn ls` prints it
    connection: u64,
}

impl Conn {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            Conn::Ls(list) => ls(&list),
            Conn::Kill(kill) => Ok(kill.place.connect()?.disconnect(kill.connection)?),
        }
    }
}

fn ls(list: &List) -> Done {
    let text = list.place.connect()?.server()?;
    let odd = |why: String| {
        Fail::new(Code::Protocol, format!("cannot read the server's connections: {why}"))
    };
    let status: Value = serde_json::from_str(&text).map_err(|error| odd(error.to_string()))?;
    let rows = status["connections"].as_array().ok_or_else(|| odd("it has none".to_string()))?;
    let mut output = Output::open();
    if list.json {
        for row in rows {
            output.json(row)?;
        }
    } else {
        let titles = ["connection", "user", "address", "doing", "seconds", "bytes_in", "bytes_out"];
        let line = |row: &Value| titles.iter().map(|title| cell(&row[*title])).collect();
        output.table(&titles, &rows.iter().map(line).collect::<Vec<_>>())?;
    }
    output.flush()
}
