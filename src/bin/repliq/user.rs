//! `repliq user …`: the users file of a server, which holds no password.

use std::path::PathBuf;

use repliq::{Client, Code, Password, Right, Users, Verb};
use serde_json::{Value, json};

use super::fail::{Done, Fail};
use super::output::Output;
use super::place::{Place, Reach};
use super::secret::{self, Secret};

/// Add, list and remove the users of a server, and say what each may do
///
/// USERS is the file that `repliq serve --users-file` reads, which a running server reads again at SIGHUP; or the
/// URL of a server, which changes its file itself, for a user with the right admin:*.
#[derive(clap::Subcommand, Debug)]
pub enum User {
    /// Add a user; the password is asked for, unless an option says where it is
    Add(Add),
    /// List the users with their rights
    Ls(List),
    /// Remove a user
    Rm(One),
    /// Replace all rights of a user
    Rights(Rights),
    /// Give a user another password
    Passwd(Passwd),
}

/// A users file, or a server that has one.
#[derive(clap::Args, Debug)]
struct Roster {
    /// The users file, or the URL of a server
    users: String,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    secret: Secret,
}

/// Users, listed.
#[derive(clap::Args, Debug)]
pub struct List {
    #[command(flatten)]
    roster: Roster,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A user.
#[derive(clap::Args, Debug)]
pub struct One {
    #[command(flatten)]
    roster: Roster,
    /// Name of the user
    name: String,
}

/// A new user.
#[derive(clap::Args, Debug)]
pub struct Add {
    #[command(flatten)]
    one: One,
    /// What is allowed: replicate, publish, browse, consume, admin; and on which queues, * for any letters
    #[arg(long = "right", value_name = "VERB,…:QUEUE,…", value_parser = right)]
    rights: Vec<Right>,
    #[command(flatten)]
    new: New,
}

/// A user and all it may do.
#[derive(clap::Args, Debug)]
pub struct Rights {
    #[command(flatten)]
    one: One,
    /// As in `repliq user add`; without any the user may log in and nothing else
    #[arg(long = "right", value_name = "VERB,…:QUEUE,…", value_parser = right)]
    rights: Vec<Right>,
}

/// A user and a new password.
#[derive(clap::Args, Debug)]
pub struct Passwd {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    new: New,
}

/// Where the password of a user comes from.
#[derive(clap::Args, Debug)]
struct New {
    /// File whose first line is the password of the user. With a users file, which needs none itself, the other
    /// options for passwords say the same
    #[arg(long, value_name = "FILE", help_heading = "Password")]
    new_password_file: Option<PathBuf>,
}

fn right(text: &str) -> Result<Right, String> {
    let (verbs, queues) = text.split_once(':').ok_or("VERB,…:QUEUE,… is expected")?;
    let verbs =
        verbs.split(',').map(|verb| verb.parse::<Verb>().map_err(|error| error.to_string()));
    let queues = queues.split(',').map(str::to_string).collect();
    Ok(Right { verbs: verbs.collect::<Result<_, _>>()?, queues })
}

impl User {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            User::Add(add) => add.run(),
            User::Ls(list) => ls(&list),
            User::Rm(one) => {
                let name = &one.name;
                one.change(|users| users.remove(name), |client| client.user_remove(name))
            }
            User::Rights(Rights { one, rights }) => {
                let name = &one.name;
                one.change(
                    |users| users.set_rights(name, &rights),
                    |client| client.user_rights(name, &rights),
                )
            }
            User::Passwd(Passwd { one, new }) => {
                let name = &one.name;
                if !one.roster.is_url() {
                    Users::load(&one.roster.users)?.rights(name)?;
                }
                let password = new.read(&one)?;
                one.change(
                    |users| users.set_password(name, &password),
                    |client| client.user_password(name, &password),
                )
            }
        }
    }
}

impl Roster {
    fn is_url(&self) -> bool {
        self.users.contains("://")
    }

    fn connect(&self) -> Done<Client> {
        Place::new(&self.users, self.secret.clone(), self.reach.clone()).connect()
    }
}

impl One {
    fn change(
        &self,
        act: impl FnOnce(&mut Users) -> repliq::Result<()>,
        order: impl FnOnce(&Client) -> repliq::Result<()>,
    ) -> Done {
        if self.roster.is_url() {
            return Ok(order(&self.roster.connect()?)?);
        }
        let mut users = Users::load(&self.roster.users)?;
        act(&mut users)?;
        Ok(users.save(&self.roster.users)?)
    }
}

impl New {
    fn read(&self, one: &One) -> Done<Password> {
        let name = &one.name;
        if let Some(path) = &self.new_password_file {
            return secret::from_file(path);
        }
        if !one.roster.is_url()
            && let Some(password) = one.roster.secret.read(&format!("password of {name}"))?
        {
            return Ok(password);
        }
        if secret::can_ask() {
            return secret::ask_new(&format!("new password of {name}"));
        }
        let option = if one.roster.is_url() { "--new-password-file" } else { "--password-file" };
        let text =
            format!("cannot give {name} a password: there is no terminal to ask on, use {option}");
        Err(Fail::new(Code::Invalid, text))
    }
}

impl Add {
    fn run(&self) -> Done {
        let (one, path) = (&self.one, &self.one.roster.users);
        if one.roster.is_url() {
            let password = self.new.read(one)?;
            return Ok(one.roster.connect()?.user_add(&one.name, &password, &self.rights)?);
        }
        let mut users = Users::load_or_new(path)?;
        if users.rights(&one.name).is_ok() {
            let text = format!("cannot add {}: {path} has that user", one.name);
            return Err(Fail::new(Code::Exists, text));
        }
        let password = self.new.read(one)?;
        users.add(&one.name, &password)?;
        users.set_rights(&one.name, &self.rights)?;
        Ok(users.save(path)?)
    }
}

/// A user as a server tells it.
#[derive(serde::Deserialize)]
struct UserRow {
    name: String,
    rights: Vec<Right>,
}

fn listed(roster: &Roster) -> Done<Vec<UserRow>> {
    if roster.is_url() {
        return serde_json::from_str(&roster.connect()?.users()?).map_err(|error| {
            Fail::new(Code::Protocol, format!("cannot read the server's users: {error}"))
        });
    }
    let users = Users::load(&roster.users)?;
    let row = |name: &str| {
        let rights = users.rights(name)?.to_vec();
        Ok(UserRow { name: name.to_string(), rights })
    };
    users.names().into_iter().map(row).collect()
}

fn ls(list: &List) -> Done {
    let users = listed(&list.roster)?;
    let mut output = Output::open();
    let mut rows = Vec::new();
    for UserRow { name, rights } in &users {
        if list.json {
            output.json(&json!({ "name": name, "rights": rights_json(rights) }))?;
        } else {
            rows.push(vec![name.clone(), rights_text(rights)]);
        }
    }
    if !list.json {
        output.table(&["user", "rights"], &rows)?;
    }
    output.flush()
}

fn rights_json(rights: &[Right]) -> Vec<Value> {
    let verbs = |right: &Right| right.verbs.iter().map(|verb| verb.name()).collect::<Vec<_>>();
    rights.iter().map(|right| json!({ "verbs": verbs(right), "queues": right.queues })).collect()
}

fn rights_text(rights: &[Right]) -> String {
    let one = |right: &Right| {
        let verbs: Vec<&str> = right.verbs.iter().map(|verb| verb.name()).collect();
        format!("{}:{}", verbs.join(","), right.queues.join(","))
    };
    if rights.is_empty() {
        return "none".to_string();
    }
    rights.iter().map(one).collect::<Vec<_>>().join(" ")
}
