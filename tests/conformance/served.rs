//! What the steps about stores at servers mean in Rust: those of a script that says so, and each store of a run in
//! which everything is at one.

use std::path::Path;

use repliq::{
    ConnectOptions, Outcome as Became, Right, Server, ServerOptions, SessionOptions, Store,
    StoreOptions, TransactionId, UserSource, Users, Verb,
};

use super::{Outcome, Step, World, get, of, script};

/// Where the stores are that a script opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// In their directories.
    #[default]
    Here,
    /// At a server of this process, over plain TCP.
    Tcp,
    /// The same through a Unix socket.
    Unix,
}

/// As whom a run logs in at the servers of its own.
const USER: &str = "script";
const PASSWORD: &str = "secret";

/// How a script reaches a server: without a file of authorities over plain TCP.
pub(super) fn reach(step: &Step) -> ConnectOptions {
    ConnectOptions {
        user: step.text("user").map(str::to_owned),
        password: step.text("password").map(Into::into),
        plain: step.text("ca").is_none(),
        ca_file: step.text("ca").map(Into::into),
        reconnect_ms_max: 200,
        ..ConnectOptions::default()
    }
}

impl World {
    /// Keeps an opened store under its name; with `way`, serves it and keeps what its URL opens.
    pub(super) fn opened(&mut self, name: &str, store: Store, folder: &Path) -> Outcome<()> {
        if self.way == Way::Here {
            self.stores.insert(name.into(), store);
            return Ok(());
        }
        self.sockets += 1;
        let socket = folder.join(format!("socket.{}", self.sockets));
        let listen = match self.way {
            Way::Unix => format!("unix:{}", socket.display()),
            _ => "127.0.0.1:0".to_owned(),
        };
        let mut users = Users::new();
        users.add_with(USER, &PASSWORD.into(), 4_096)?;
        users.set_rights(USER, &[Right { verbs: Verb::ALL.to_vec(), queues: vec!["*".into()] }])?;
        let options = ServerOptions {
            listen: vec![listen],
            plain: true,
            users: UserSource::Inline(users),
            ..ServerOptions::default()
        };
        let server = Server::open(&store, &options)?;
        let url = match server.addresses().first() {
            Some(address) => format!("repliq://{USER}@{address}"),
            None => format!("repliq+unix://{USER}@{}", socket.display()),
        };
        let connect = ConnectOptions { plain: true, ..ConnectOptions::default() };
        let options =
            StoreOptions { password: Some(PASSWORD.into()), connect, ..Default::default() };
        self.stores.insert(name.into(), Store::open(url, &options)?);
        self.own.insert(name.into(), (server, store));
        Ok(())
    }

    /// Ends the server that a run has of its own for this store, and the store behind it.
    pub(super) fn closed(&mut self, name: &str) -> Outcome<()> {
        let Some((server, store)) = self.own.remove(name) else { return Ok(()) };
        server.close();
        Ok(store.close()?)
    }

    /// Opens the store of a server.
    pub(super) fn connect(&mut self, step: &Step) -> Outcome<()> {
        let url = match step.word(0)? {
            "connect" => self.url(step.word(2)?)?,
            _ => step.word(2)?.to_owned(),
        };
        let options = StoreOptions { connect: reach(step), ..StoreOptions::default() };
        self.stores.insert(step.word(1)?.into(), Store::open(url, &options)?);
        Ok(())
    }

    /// The URL of a server.
    pub(super) fn url(&mut self, name: &str) -> Outcome<String> {
        if let Some(socket) = self.socket_of.get(name) {
            return Ok(format!("repliq+unix://{}", socket.display()));
        }
        Ok(format!("repliq://{}", self.address(name)?))
    }

    /// Opens a session.
    pub(super) fn session(&mut self, step: &Step) -> Outcome<()> {
        let options = SessionOptions {
            name: step.text("name").unwrap_or_default().into(),
            takeover: step.text("takeover") == Some("yes"),
            idle_ms: of(step, "idle_ms")?,
            bytes_max: of(step, "bytes_max")?,
            ..SessionOptions::default()
        };
        let store = get(&mut self.stores, step.word(2)?)?;
        let session = match options == SessionOptions::default() {
            true => store.session()?,
            false => store.session_with(&options)?,
        };
        self.sessions.insert(step.word(1)?.into(), session);
        Ok(())
    }

    /// What is done with prepared transactions.
    pub(super) fn prepared(&mut self, step: &Step) -> Outcome<()> {
        let first = step.word(1)?;
        match step.word(0)? {
            "prepare" => {
                let id = get(&mut self.sessions, first)?.prepare(&step.words[2])?;
                self.ids.insert(step.word(3)?.into(), id);
            }
            "finish" => {
                let id = *get(&mut self.ids, step.word(2)?)?;
                let commit = step.word(3)? == "commit";
                let commit = get(&mut self.stores, first)?.finish(&id, commit)?;
                self.keep(step, commit);
            }
            _ => {
                let store = get(&mut self.stores, first)?;
                let (count, text) = (store.prepared()?.len() as u64, store.prepared_text()?);
                if count != step.number(2)? {
                    return script(format!("{count} are prepared: {text}"));
                }
                for at in 3..step.words.len() {
                    if !text.contains(step.word(at)?) {
                        return script(format!("{text} does not say so"));
                    }
                }
            }
        }
        Ok(())
    }

    /// What is asked about identities of transactions.
    pub(super) fn identity(&mut self, step: &Step) -> Outcome<()> {
        let first = step.word(1)?;
        match step.word(0)? {
            "id" => {
                let id = get(&mut self.sessions, first)?.id()?;
                self.ids.insert(step.word(2)?.into(), id);
            }
            "parse_id" => {
                self.ids.insert(first.into(), TransactionId::parse(&step.words[2])?);
            }
            "round_trip_id" => {
                let id = *get(&mut self.ids, first)?;
                let again = [
                    TransactionId::parse(id.to_string().as_bytes())?,
                    TransactionId::parse(&id.to_bytes())?,
                ];
                if again != [id; 2] {
                    return script("the round trip gave another identity");
                }
            }
            _ => {
                let id = *get(&mut self.ids, step.word(2)?)?;
                let (word, token) = match get(&mut self.stores, first)?.resolve(&id)? {
                    Became::Committed(token) => ("committed", Some(token)),
                    Became::RolledBack => ("rolled_back", None),
                    Became::Pending => ("pending", None),
                    Became::Expired => ("expired", None),
                    other => return script(format!("{other:?}")),
                };
                if word != step.word(3)? {
                    return script(format!("the outcome is {word}"));
                }
                if let (Some(name), Some(token)) = (step.text("token"), token) {
                    self.tokens.insert(name.into(), token);
                }
            }
        }
        Ok(())
    }
}
