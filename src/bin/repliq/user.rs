//! `repliq user …`: the users file of a server, which holds no password.

use std::path::PathBuf;

use repliq::{Code, Password, Right, Users, Verb};
use serde_json::{Value, json};

use super::fail::{Done, Fail};
use super::output::Output;
use super::secret::{self, Secret};

/// Add, list and remove the users of a server, and say what each may do
///
/// USERS is the file that `repliq serve --users-file` reads; a running server reads it again at SIGHUP.
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

/// A users file, listed.
#[derive(clap::Args, Debug)]
pub struct List {
    /// The users file
    users: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// A user of a file.
#[derive(clap::Args, Debug)]
pub struct One {
    /// The users file
    users: PathBuf,
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
    secret: Secret,
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
    secret: Secret,
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
            User::Rm(one) => one.change(|users| users.remove(&one.name)),
            User::Rights(rights) => {
                let one = &rights.one;
                one.change(|users| users.set_rights(&one.name, &rights.rights))
            }
            User::Passwd(passwd) => {
                let one = &passwd.one;
                Users::load(&one.users)?.rights(&one.name)?;
                let password = new_password(&passwd.secret, &one.name)?;
                one.change(|users| users.set_password(&one.name, &password))
            }
        }
    }
}

impl One {
    fn change(&self, act: impl FnOnce(&mut Users) -> repliq::Result<()>) -> Done {
        let mut users = Users::load(&self.users)?;
        act(&mut users)?;
        Ok(users.save(&self.users)?)
    }
}

fn new_password(secret: &Secret, name: &str) -> Done<Password> {
    if let Some(password) = secret.read(&format!("password of {name}"))? {
        return Ok(password);
    }
    if secret::can_ask() {
        return secret::ask_new(&format!("new password of {name}"));
    }
    Err(Fail::new(
        Code::Invalid,
        format!(
            "cannot give {name} a password: there is no terminal to ask on, use --password-file"
        ),
    ))
}

impl Add {
    fn run(&self) -> Done {
        let one = &self.one;
        let mut users = Users::load_or_new(&one.users)?;
        if users.rights(&one.name).is_ok() {
            let text = format!("cannot add {}: {} has that user", one.name, one.users.display());
            return Err(Fail::new(Code::Exists, text));
        }
        let password = new_password(&self.secret, &one.name)?;
        users.add(&one.name, &password)?;
        users.set_rights(&one.name, &self.rights)?;
        Ok(users.save(&one.users)?)
    }
}

fn ls(list: &List) -> Done {
    let users = Users::load(&list.users)?;
    let mut output = Output::open();
    let mut rows = Vec::new();
    for name in users.names() {
        let rights = users.rights(name)?;
        if list.json {
            output.json(&json!({ "name": name, "rights": rights_json(rights) }))?;
        } else {
            rows.push(vec![name.to_string(), rights_text(rights)]);
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
