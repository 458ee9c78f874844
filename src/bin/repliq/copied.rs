//! `repliq claim` and `repliq fork`: which of two copies of a store this is.

use serde_json::json;

use super::fail::Done;
use super::output::Output;
use super::place::Folder;

/// Let a copied store go on as what it was
///
/// A store that finds itself copied receives and answers, and ships nothing, until it is told which copy it is.
/// After this one was claimed no other copy may be.
#[derive(clap::Args, Debug)]
pub struct Claim {
    #[command(flatten)]
    copy: Copied,
}

/// Make a copied store one of its own
///
/// No token of the old one means anything in it, and its targets go on behind what they had confirmed.
#[derive(clap::Args, Debug)]
pub struct Fork {
    #[command(flatten)]
    copy: Copied,
}

/// The copy.
#[derive(clap::Args, Debug)]
struct Copied {
    #[command(flatten)]
    folder: Folder,
    /// Print the token of the new beginning as JSON
    #[arg(long)]
    json: bool,
}

impl Claim {
    /// Goes on in a new epoch.
    pub fn run(self) -> Done {
        self.copy.decide(repliq::Store::claim)
    }
}

impl Fork {
    /// Goes on as a new group.
    pub fn run(self) -> Done {
        self.copy.decide(repliq::Store::fork)
    }
}

impl Copied {
    fn decide(&self, act: impl FnOnce(&repliq::Store) -> repliq::Result<repliq::Token>) -> Done {
        let store = self.folder.change()?;
        let token = act(&store)?.to_string();
        store.close()?;
        let mut output = Output::open();
        if self.json {
            output.json(&json!({ "token": token }))?;
        } else {
            output.line(&token)?;
        }
        output.flush()
    }
}
