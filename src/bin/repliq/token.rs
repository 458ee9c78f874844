//! `repliq token …`: what a token says, and waiting for one.

use std::time::Duration;

use repliq::Code;
use serde_json::json;

use super::fail::{Done, Fail};
use super::output::Output;
use super::place::Place;

/// Show a token, or wait for it
#[derive(clap::Subcommand, Debug)]
pub enum Token {
    /// Print what a token says
    Show(Show),
    /// Wait until the transactions of tokens are somewhere; exit status 29 when the time is over
    Wait(Wait),
}

/// A token, looked at.
#[derive(clap::Args, Debug)]
pub struct Show {
    /// The token as `put` printed it
    token: String,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Tokens and where they are awaited.
#[derive(clap::Args, Debug)]
pub struct Wait {
    #[command(flatten)]
    place: Place,
    /// The tokens; all of them are awaited
    #[arg(required = true)]
    tokens: Vec<String>,
    /// Place: nothing (applied here), target:NAME, target:* or consumer:NAME
    #[arg(long, value_name = "PLACE", default_value = "")]
    at: String,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    timeout: f64,
}

impl Token {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            Token::Show(show) => show.run(),
            Token::Wait(wait) => wait.run(),
        }
    }
}

impl Show {
    fn run(&self) -> Done {
        let token: repliq::Token = self.token.parse()?;
        let position = token.position();
        let group = token.group().to_string();
        let mut output = Output::open();
        if self.json {
            output.json(&json!({
                "group": group,
                "epoch": position.epoch,
                "sequence": position.sequence,
                "empty": token.is_empty(),
            }))?;
        } else {
            output.line(&format!("group     {group}"))?;
            output.line(&format!("epoch     {}", position.epoch))?;
            output.line(&format!("sequence  {}", position.sequence))?;
        }
        output.flush()
    }
}

impl Wait {
    fn run(&self) -> Done {
        let tokens: Vec<repliq::Token> =
            self.tokens.iter().map(|token| token.parse()).collect::<Result<_, _>>()?;
        let timeout = Duration::try_from_secs_f64(self.timeout).map_err(|error| {
            Fail::new(Code::Invalid, format!("cannot wait {} seconds: {error}", self.timeout))
        })?;
        self.place.look()?.wait(&self.at, &tokens, timeout)
    }
}
