//! What the steps about servers and replications mean in Rust.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use repliq::{
    Message, Replication, ReplicationOptions, Right, Server, ServerOptions, TargetOptions,
    UserSource, Users, Verb,
};

use super::served::reach;
use super::{Outcome, Step, World, get, script};

impl World {
    pub(super) fn network(&mut self, step: &Step, folder: &Path) -> Outcome<()> {
        let (verb, first) = (step.word(0)?, step.word(1)?);
        match verb {
            "server" => self.server(step, folder),
            "replication" => {
                let root = *get(&mut self.queues, step.word(3)?)?;
                let store = get(&mut self.stores, step.word(2)?)?;
                let options = ReplicationOptions::default();
                let replication = Replication::open(store, root, &options)?;
                self.replications.insert(first.into(), replication);
                Ok(())
            }
            "target" => {
                let url = format!("repliq://{}", self.address(step.word(3)?)?);
                self.target(step, &url)
            }
            "target_at" => self.target(step, step.word(3)?),
            "send" => {
                let message =
                    Message { kind: step.number(2)? as u16, ..Message::new(&step.words[3]) };
                let commit = get(&mut self.replications, first)?.send_many(&[message])?;
                self.keep(step, commit);
                Ok(())
            }
            "start_job" => Ok(get(&mut self.replications, first)?.start_job()?),
            "end_job" => {
                let commit = get(&mut self.replications, first)?.end_job()?;
                self.keep(step, commit);
                Ok(())
            }
            "abort_job" => Ok(get(&mut self.replications, first)?.abort_job()?),
            "stop" => {
                let wait = Duration::from_millis(step.number(2)?);
                Ok(get(&mut self.replications, first)?.stop(wait)?)
            }
            "talk" => self.talk(step),
            "told" => self.told(step),
            other => script(format!("no verb {other}")),
        }
    }

    fn server(&mut self, step: &Step, folder: &Path) -> Outcome<()> {
        let mut users = Users::new();
        let name = step.text("user").unwrap_or("");
        users.add(name, &step.text("password").unwrap_or("").into())?;
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let verb = |name: String| Verb::ALL.iter().find(|verb| verb.name() == name).copied();
        let verbs = list(step.text("verbs").unwrap_or("replicate")).into_iter();
        let verbs: Option<Vec<Verb>> = verbs.map(verb).collect();
        let Some(verbs) = verbs else { return script("an unknown verb of a user") };
        let right = Right { verbs, queues: list(step.text("queues").unwrap_or("*")) };
        users.set_rights(name, &[right])?;
        let socket = step.text("socket").map(|path| folder.join(path));
        let listen = match (step.text("at"), &socket) {
            (Some(other), _) => self.address(other)?.to_string(),
            (None, Some(socket)) => format!("unix:{}", socket.display()),
            (None, None) => "127.0.0.1:0".to_owned(),
        };
        let options = ServerOptions {
            listen: vec![listen],
            plain: true,
            users: UserSource::Inline(users),
            ..ServerOptions::default()
        };
        let server = Server::open(get(&mut self.stores, step.word(2)?)?, &options)?;
        self.servers.insert(step.word(1)?.into(), server);
        if let Some(socket) = socket {
            self.socket_of.insert(step.word(1)?.into(), socket);
        }
        Ok(())
    }

    pub(super) fn address(&mut self, server: &str) -> Outcome<SocketAddr> {
        let addresses = get(&mut self.servers, server)?.addresses();
        addresses.first().map_or_else(|| script("no address"), |address| Ok(*address))
    }

    fn target(&mut self, step: &Step, url: &str) -> Outcome<()> {
        let connect = reach(step);
        let queue = step.text("queue").map(str::to_owned);
        let options = TargetOptions { connect, queue, ..TargetOptions::default() };
        Ok(get(&mut self.replications, step.word(1)?)?.add(step.word(2)?, url, &options)?)
    }

    /// Waits until a target of the replication stands for this code, and tells what it says.
    fn told(&mut self, step: &Step) -> Outcome<()> {
        let end = Instant::now() + Duration::from_secs(20);
        let begin = format!("{}: ", step.word(2)?);
        loop {
            let targets = get(&mut self.replications, step.word(1)?)?.targets()?;
            let errors = targets.into_iter().filter_map(|target| target.last_error);
            if let Some(found) = errors.into_iter().find(|error| error.starts_with(&begin)) {
                self.told = Some(found);
                return Ok(());
            }
            if Instant::now() >= end {
                return script(format!("no target says {begin}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn talk(&mut self, step: &Step) -> Outcome<()> {
        let mut stream = TcpStream::connect(self.address(step.word(1)?)?).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&step.words[2]).unwrap();
        match stream.read_to_end(&mut Vec::new()) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(error) => script(format!("the server does not hang up: {error}")),
        }
    }

    pub(super) fn status(&mut self, step: &Step) -> Outcome<()> {
        let within = step.text("within").map_or(Ok(0), str::parse);
        let within = within.or_else(|_| script("within"))?;
        let end = Instant::now() + Duration::from_millis(within);
        loop {
            let name = step.word(1)?;
            let status = if let Some(server) = self.servers.get(name) {
                server.status()?
            } else if let Some(replication) = self.replications.get(name) {
                replication.status()?
            } else {
                get(&mut self.stores, name)?.status()?
            };
            let texts = (2..step.words.len()).map(|at| step.word(at));
            let texts = texts.collect::<Outcome<Vec<_>>>()?;
            match texts.into_iter().find(|text| !status.contains(text)) {
                None => return Ok(()),
                Some(text) if Instant::now() >= end => {
                    return script(format!("no {text:?} in {status}"));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}
