//! `repliq target …`, and targets as `replicate` is given them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use repliq::{
    Code, ConnectOptions, From, Password, Replication, ReplicationOptions, Select, TargetOptions,
    TargetStatus,
};
use serde_json::{Value, json};

use super::consumer::from;
use super::fail::{Done, Fail};
use super::feed::pair;
use super::output::Output;
use super::place::{Folder, List, Place, Reach};
use super::secret;
use super::status::cell;

/// How often a target is looked at while something is awaited of it.
const LOOK: Duration = Duration::from_millis(50);

/// List, add and remove the targets of a root queue, and set aside what one refuses
#[derive(clap::Subcommand, Debug)]
pub enum Target {
    /// List the targets a store knows
    Ls(List),
    /// Add a target: what is put from now on is kept for it
    Add(Add),
    /// Remove a target for good: it gets nothing more, and what only it kept may go
    Rm(One),
    /// Set the transaction aside that a target refuses, for this target only; it is counted on both sides
    Skip(Skip),
}

/// A target of a root queue, also at a server.
#[derive(clap::Args, Debug)]
pub struct One {
    #[command(flatten)]
    place: Place,
    /// Name of the root queue
    root: String,
    /// Name of the target
    name: String,
}

/// A new target.
#[derive(clap::Args, Debug)]
pub struct Add {
    #[command(flatten)]
    one: One,
    /// URL of the server
    url: String,
    /// File whose first line is the password at the server; asked for on the terminal otherwise
    #[arg(long, value_name = "FILE")]
    target_password: Option<PathBuf>,
    /// Where it begins: oldest or now
    #[arg(long, value_name = "PLACE", value_parser = from, default_value = "oldest")]
    from: From,
}

/// A target that refuses something; it is reached to learn what.
#[derive(clap::Args, Debug)]
pub struct Skip {
    #[command(flatten)]
    folder: Folder,
    /// Name of the root queue
    root: String,
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    reach: Reach,
    /// How long to wait for the target
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

impl Target {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            Target::Ls(list) => ls(&list),
            Target::Add(add) => add.run(),
            Target::Rm(one) => one.remove(),
            Target::Skip(skip) => skip.run(),
        }
    }
}

impl One {
    fn with(&self, act: impl FnOnce(&Replication) -> repliq::Result<()>) -> Done {
        let store = self.place.folder.change()?;
        let root = store.find_queue(&self.root)?;
        let replication = Replication::open(&store, root, &ReplicationOptions::default())?;
        act(&replication)?;
        replication.close()?;
        Ok(store.close()?)
    }

    fn remove(self) -> Done {
        if self.place.folder.is_url() {
            return Ok(self.place.connect()?.target_remove(&self.root, &self.name)?);
        }
        self.with(|replication| replication.remove(&self.name))
    }
}

impl Add {
    fn run(&self) -> Done {
        let One { place, root, name } = &self.one;
        if place.folder.is_url() {
            if self.target_password.is_some() {
                let text = "--target-password is of no use at a server: who replicates is given it";
                return Err(Fail::new(Code::Invalid, text));
            }
            return Ok(place.connect()?.target_add(root, name, &self.url, self.from)?);
        }
        let password = match &self.target_password {
            Some(file) => Some(secret::from_file(file)?),
            None if self.url.contains('@') && secret::can_ask() => {
                Some(secret::ask(&format!("password of {} at {}", self.one.name, self.url))?)
            }
            None => None,
        };
        let connect = ConnectOptions { password, ..place.reach.options() };
        let options = TargetOptions { connect, from: self.from, ..TargetOptions::default() };
        self.one.with(|replication| replication.add(&self.one.name, &self.url, &options))
    }
}

impl Skip {
    fn run(&self) -> Done {
        let passwords = self.targets.passwords()?;
        let store = self.folder.change()?;
        let root = store.find_queue(&self.root)?;
        let replication = Replication::open(&store, root, &ReplicationOptions::default())?;
        self.targets.add(&replication, &self.reach, &passwords)?;
        let set_aside = self.set_aside(&replication);
        replication.close()?;
        store.close()?;
        let mut output = Output::open();
        for line in set_aside? {
            output.line(&line)?;
        }
        output.flush()
    }

    /// Each target is met with what it refuses, told once to set that aside, and seen to have confirmed it.
    fn set_aside(&self, replication: &Replication) -> Done<Vec<String>> {
        let until = Instant::now() + Duration::from_secs(self.timeout);
        let before = self.targets.of(replication.targets()?);
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        loop {
            let mut left = Vec::new();
            for target in self.targets.of(replication.targets()?) {
                let old = before.iter().find(|old| old.name == target.name);
                let counted = old.is_none_or(|old| target.skipped > old.skipped);
                match (told.get(&target.name), target.refused) {
                    // Whatever it refuses next is not what was asked for.
                    (Some(first), refused) if counted && refused.as_ref() != Some(first) => {}
                    (None, Some(refused)) => {
                        replication.skip(&target.name)?;
                        told.insert(target.name.clone(), refused);
                        left.push(target.name);
                    }
                    _ => left.push(target.name),
                }
            }
            if left.is_empty() {
                let line =
                    |(name, what): (&String, &String)| format!("set aside at {name}: {what}");
                return Ok(told.iter().map(line).collect());
            }
            if let Some(fail) = self.targets.of(replication.targets()?).iter().find_map(stopped) {
                return Err(fail);
            }
            if Instant::now() > until {
                let text = format!(
                    "cannot skip at {}: nothing was refused and set aside within {} seconds",
                    left.join(", "),
                    self.timeout
                );
                return Err(Fail::new(Code::Timeout, text));
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn ls(list: &List) -> Done {
    let text = list.place.look()?.status()?;
    let odd = |why: String| {
        Fail::new(
            Code::Protocol,
            format!("cannot read the status of {}: {why}", list.place.folder.store),
        )
    };
    let status: Value = serde_json::from_str(&text).map_err(|error| odd(error.to_string()))?;
    let targets =
        status["targets"].as_array().ok_or_else(|| odd("it has no targets".to_string()))?;
    let mut output = Output::open();
    if list.json {
        for target in targets {
            output.json(target)?;
        }
    } else {
        let titles: Vec<&str> = targets
            .first()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(title, _)| title.as_str())
            .collect();
        let row = |target: &Value| titles.iter().map(|title| cell(&target[*title])).collect();
        output.table(&titles, &targets.iter().map(row).collect::<Vec<_>>())?;
    }
    output.flush()
}

/// The targets of a command.
#[derive(clap::Args, Clone, Debug)]
pub struct Targets {
    /// A server to replicate to, under a name of its own; may be repeated
    #[arg(long = "target", value_name = "NAME=URL", value_parser = pair, required = true)]
    targets: Vec<(String, String)>,
    /// File whose first line is the password at that target; may be repeated
    #[arg(long = "target-password", value_name = "NAME=FILE", value_parser = pair)]
    passwords: Vec<(String, String)>,
    #[command(flatten)]
    shape: Shape,
}

/// What goes to a target, and from where on.
#[derive(clap::Args, Clone, Debug)]
pub struct Shape {
    /// Queue at the server; the root's name otherwise
    #[arg(long, value_name = "QUEUE")]
    destination: Option<String>,
    /// Where a target begins that is new: oldest, now or a sequence
    #[arg(long, value_name = "PLACE", value_parser = from, default_value = "oldest")]
    from: From,
    /// Only messages of this kind; may be repeated
    #[arg(long, value_name = "N")]
    select_kind: Vec<u16>,
    /// Only messages whose key begins so
    #[arg(long, value_name = "PREFIX")]
    select_key_prefix: Option<String>,
    /// Only messages with this header, with any value or this one
    #[arg(long, value_name = "NAME[=VALUE]")]
    select_header: Option<String>,
}

impl Shape {
    fn options(&self, connect: ConnectOptions) -> TargetOptions {
        let header = self.select_header.as_ref().map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (text.clone(), None),
        });
        let select = Select {
            kinds: self.select_kind.clone(),
            key_prefix: self.select_key_prefix.as_ref().map(|prefix| prefix.clone().into_bytes()),
            header,
        };
        TargetOptions { connect, queue: self.destination.clone(), select, from: self.from }
    }
}

impl Targets {
    /// Reads the passwords, so that a missing file is met before a store is made.
    pub fn passwords(&self) -> Done<BTreeMap<String, Password>> {
        let mut passwords = BTreeMap::new();
        for (name, file) in &self.passwords {
            if !self.has(name) {
                let text =
                    format!("cannot use a password for {name}: there is no target of that name");
                return Err(Fail::new(Code::NoSuchName, text));
            }
            passwords.insert(name.clone(), secret::from_file(&PathBuf::from(file))?);
        }
        for (name, url) in &self.targets {
            if url.contains('@') && !passwords.contains_key(name) && secret::can_ask() {
                passwords
                    .insert(name.clone(), secret::ask(&format!("password of {name} at {url}"))?);
            }
        }
        Ok(passwords)
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.targets.iter().any(|(target, _)| target == name)
    }

    /// The states of these targets, among those of all that the store knows.
    pub fn of(&self, targets: Vec<TargetStatus>) -> Vec<TargetStatus> {
        let ours =
            |target: &TargetStatus| self.targets.iter().any(|(name, _)| *name == target.name);
        targets.into_iter().filter(ours).collect()
    }

    /// Adds all of them.
    pub fn add(
        &self,
        replication: &Replication,
        reach: &Reach,
        passwords: &BTreeMap<String, Password>,
    ) -> Done {
        for (name, url) in &self.targets {
            let password = passwords.get(name).cloned();
            let connect = ConnectOptions { password, ..reach.options() };
            replication.add(name, url, &self.shape.options(connect))?;
        }
        Ok(())
    }
}

/// Whether it was met, and has said how far it is.
pub fn streams(target: &TargetStatus) -> bool {
    target.state == "streaming"
}

/// A target that was stopped: its code and reason.
pub fn stopped(target: &TargetStatus) -> Option<Fail> {
    if target.state == "stopped" { why(target) } else { None }
}

/// A target that refuses a transaction: the code, which one, and why.
pub fn refused(target: &TargetStatus) -> Option<Fail> {
    // Where it streams again it may say something else this time.
    target.refused.as_ref().filter(|_| !streams(target)).and_then(|_| why(target))
}

fn why(target: &TargetStatus) -> Option<Fail> {
    let why = target.last_error.as_ref()?;
    let name = why.split(':').next().unwrap_or_default();
    let code = Code::ALL.iter().copied().find(|code| code.name() == name).unwrap_or(Code::Target);
    let text = why.strip_prefix(name).unwrap_or(why).trim_start_matches([':', ' ']);
    Some(Fail::new(code, format!("target {}: {text}", target.name)))
}

/// Prints targets, for people or as one JSON object a line.
pub fn print(targets: &[TargetStatus], as_json: bool) -> Done {
    let mut output = Output::open();
    if as_json {
        for target in targets {
            output.json(&to_json(target))?;
        }
    } else {
        let row = |target: &TargetStatus| {
            vec![
                target.name.clone(),
                target.state.clone(),
                target.position.sequence.to_string(),
                target.lag_messages.to_string(),
                target.rewinds.to_string(),
                target.last_error.clone().unwrap_or("-".to_string()),
            ]
        };
        let titles = ["target", "state", "sequence", "lag", "rewinds", "last error"];
        output.table(&titles, &targets.iter().map(row).collect::<Vec<_>>())?;
    }
    output.flush()
}

fn to_json(target: &TargetStatus) -> Value {
    json!({
        "name": target.name,
        "url": target.url,
        "state": target.state,
        "epoch": target.position.epoch,
        "sequence": target.position.sequence,
        "lag_messages": target.lag_messages,
        "lag_bytes": target.lag_bytes,
        "lag_ms": target.lag_ms,
        "last_error": target.last_error,
        "refused": target.refused,
        "rewinds": target.rewinds,
        "skipped": target.skipped,
        "gaps": target.gaps,
        "orphans": target.orphans,
    })
}
