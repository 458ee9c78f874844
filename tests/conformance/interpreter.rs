//! What the steps of a script mean in Rust.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use repliq::{
    Commit, Consumer, ConsumerOptions, Error, From, Hold, Level, Message, Port, Queue, Received,
    RedriveOptions, Replication, Rules, Server, Session, Snapshot, Store, StoreOptions, Token,
    TransactionId,
};

use super::words::{Step, step};

#[path = "network.rs"]
mod network;
#[path = "served.rs"]
mod served;

pub use served::Way;

/// A failure of the library, or of the script.
enum Failure {
    Library(Error),
    Script(String),
}

impl std::convert::From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Library(error)
    }
}

impl std::convert::From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Script(text)
    }
}

type Outcome<T> = Result<T, Failure>;

#[derive(Default)]
struct World {
    stores: HashMap<String, Store>,
    queues: HashMap<String, Queue>,
    sessions: HashMap<String, Session>,
    consumers: HashMap<String, Consumer>,
    snapshots: HashMap<String, Snapshot>,
    ports: HashMap<String, Port>,
    tokens: HashMap<String, Token>,
    read: Vec<Received>,
    servers: HashMap<String, Server>,
    replications: HashMap<String, Replication>,
    /// What a target said in its status, as a refusal.
    told: Option<String>,
    ids: HashMap<String, TransactionId>,
    /// Where the stores are, and the servers and directories that the run has for them.
    way: Way,
    own: HashMap<String, (Server, Store)>,
    sockets: usize,
    /// The sockets of the servers that listen at one.
    socket_of: HashMap<String, PathBuf>,
}

/// What came of a script that holds.
pub struct Held {
    /// How many steps it has.
    pub steps: usize,
    /// The steps that were refused, as they should be: line, code and sentence.
    pub refused: Vec<(usize, String)>,
}

/// Runs a script in a folder, with its stores in their directories or at a server; the line that does not hold and
/// why.
pub fn run_in(script: &str, folder: &std::path::Path, way: Way) -> Result<Held, (usize, String)> {
    let mut world = World { way, ..World::default() };
    let mut held = Held { steps: 0, refused: Vec::new() };
    for (index, line) in script.lines().enumerate() {
        let at = |text: String| (index + 1, text);
        let Some(step) = step(line).map_err(at)? else { continue };
        held.steps += 1;
        if step.words.first().is_some_and(|verb| verb == b"local") && way != Way::Here {
            break;
        }
        let error = match (world.step(&step, folder), &step.code) {
            (Ok(()), None) => {
                held.refused.extend(world.told.take().map(|told| (index + 1, told)));
                continue;
            }
            (Ok(()), Some(code)) => return Err(at(format!("succeeded, not {code}"))),
            (Err(Failure::Script(text)), _) => return Err(at(text)),
            (Err(Failure::Library(error)), _) => error,
        };
        let about = error.message_index().map(|index| index as usize);
        let named = step.code.as_deref() == Some(error.code().name());
        if !named || (step.index.is_some() && step.index != about) {
            return Err(at(format!("{error:?} about message {about:?}")));
        }
        held.refused.push((index + 1, format!("{error:?}")));
    }
    Ok(held)
}

/// The same in a folder of its own.
pub fn run(script: &str, way: Way) -> Result<usize, (usize, String)> {
    let folder = tempfile::tempdir().unwrap();
    run_in(script, folder.path(), way).map(|held| held.steps)
}

fn script<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Failure::Script(text.into()))
}

impl Step {
    fn word(&self, at: usize) -> Outcome<&str> {
        let word = self.words.get(at).and_then(|word| std::str::from_utf8(word).ok());
        word.map_or_else(|| script(format!("word {at} is missing")), Ok)
    }

    fn number(&self, at: usize) -> Outcome<u64> {
        self.word(at)?.parse().or_else(|_| script(format!("word {at} is no number")))
    }

    fn numbers(&self, from: usize) -> Outcome<Vec<u64>> {
        (from..self.words.len()).map(|at| self.number(at)).collect()
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &value[..])
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.field(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    fn level(&self) -> Outcome<Option<Level>> {
        match self.text("level") {
            None => Ok(None),
            Some("process") => Ok(Some(Level::Process)),
            Some("power") => Ok(Some(Level::Power)),
            Some(other) => script(format!("level {other}")),
        }
    }
}

/// A field that is a number, 0 where it is not given.
fn of<T: std::str::FromStr + Default>(step: &Step, name: &str) -> Outcome<T> {
    let Some(text) = step.text(name) else { return Ok(T::default()) };
    text.parse().or_else(|_| script(format!("{name}={text}")))
}

/// How a consumer's messages are given out.
fn rules(step: &Step) -> Outcome<Rules> {
    Ok(Rules {
        shared: step.text("shared") == Some("yes"),
        keyed: step.text("keyed") == Some("yes"),
        parallel: of(step, "parallel")?,
        per_key: of(step, "per_key")?,
        conflate: step.text("conflate") == Some("yes"),
        key_versions: step.text("key_versions") == Some("yes"),
        lease_ms: of(step, "lease_ms")?,
        retry_delay_ms: of(step, "retry_delay_ms")?,
        retry_multiplier: of(step, "retry_multiplier")?,
        retry_delay_ms_max: of(step, "retry_delay_ms_max")?,
        max_deliveries: of(step, "max_deliveries")?,
        dead_letters: None,
        after_dead_letter: match step.text("after") {
            None | Some("skip") => Hold::Skip,
            Some("block") => Hold::Block,
            Some("park") => Hold::Park,
            Some(other) => return script(format!("after={other}")),
        },
    })
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// The messages of a step, one a text, all with the same fields.
fn with_messages<T>(
    step: &Step,
    from: usize,
    call: impl FnOnce(&[Message<'_>]) -> T,
) -> Outcome<T> {
    let mut headers = Vec::new();
    let mut message = Message::default();
    for (name, value) in &step.fields {
        let text = String::from_utf8_lossy(value);
        let number = || text.parse::<u64>().or_else(|_| script(format!("{name}={text}")));
        match name.as_str() {
            "kind" => message.kind = number()? as u16,
            "key" => message.key = value,
            "producer" => message.producer = step.text("producer").unwrap(),
            "producer_sequence" => message.producer_sequence = number()?,
            "deliver_at_ms" => message.deliver_at_ms = number()?,
            "priority" => message.priority = number()? as u8,
            "expires" => {
                let in_ms: i64 = text.parse().or_else(|_| script("expires"))?;
                message.expires_ms = (now_ms() + in_ms) as u64;
            }
            "level" | "token" => {}
            other => match other.strip_prefix("header.") {
                Some(header) => headers.push((header, &value[..])),
                None => return script(format!("no field {other}")),
            },
        }
    }
    message.headers = &headers;
    let texts = step.words[from..].iter();
    let all: Vec<_> = texts.map(|text| Message { payload: text, ..message }).collect();
    Ok(call(&all))
}

fn get<'a, T>(map: &'a mut HashMap<String, T>, name: &str) -> Outcome<&'a mut T> {
    map.get_mut(name).map_or_else(|| script(format!("{name} is not open")), Ok)
}

impl World {
    fn step(&mut self, step: &Step, folder: &std::path::Path) -> Outcome<()> {
        let (verb, first) = (step.word(0)?, step.word(1)?.to_owned());
        match verb {
            "open" => self.open(step, folder),
            "close" => self.close(&first),
            "queue" => {
                let queue = get(&mut self.stores, &first)?.queue(step.word(3)?)?;
                self.queues.insert(step.word(2)?.into(), queue);
                Ok(())
            }
            "pause" | "resume" | "purge" | "delete" => {
                let queue = *get(&mut self.queues, step.word(2)?)?;
                let store = get(&mut self.stores, &first)?;
                match verb {
                    "pause" => store.queue_pause(queue)?,
                    "resume" => store.queue_resume(queue)?,
                    "purge" => store.queue_purge(queue)?,
                    _ => store.queue_delete(queue)?,
                };
                Ok(())
            }
            "redrive" => {
                let queue = *get(&mut self.queues, step.word(2)?)?;
                let drop = step.text("drop") == Some("yes");
                let options = RedriveOptions { max: of(step, "max")?, drop };
                let redriven = get(&mut self.stores, &first)?.redrive(queue, &options)?;
                let outcome = (redriven.done, redriven.refused.len() as u64);
                if outcome == (step.number(3)?, step.number(4)?) {
                    return Ok(());
                }
                script(format!("{outcome:?} were redriven and refused: {:?}", redriven.refused))
            }
            "put" | "put_start" => self.put(step),
            "local" => Ok(()),
            "connect" | "connect_at" => self.connect(step),
            "session" => self.session(step),
            "id" | "resolve" | "parse_id" | "round_trip_id" => self.identity(step),
            "prepare" | "finish" | "prepared" => self.prepared(step),
            "session_put" => {
                let queue = *get(&mut self.queues, step.word(2)?)?;
                let session = get(&mut self.sessions, &first)?;
                Ok(with_messages(step, 3, |messages| session.put_many(queue, messages))??)
            }
            "commit" => {
                let commit = get(&mut self.sessions, &first)?.commit()?;
                self.keep(step, commit);
                Ok(())
            }
            "commit_start" => {
                let port = get(&mut self.ports, step.word(2)?)?;
                Ok(get(&mut self.sessions, &first)?.commit_start(port, step.number(3)?)?)
            }
            "rollback" => Ok(get(&mut self.sessions, &first)?.rollback()?),
            "consumer" | "consumer_delete" | "ack" | "reject" | "renew" | "seek" | "watch" => {
                self.consumer(step)
            }
            "receive" | "session_receive" | "browse" => self.receive(step),
            "check" => self.check(step),
            "snapshot" => {
                let snapshot = get(&mut self.stores, step.word(2)?)?.snapshot()?;
                self.snapshots.insert(first, snapshot);
                Ok(())
            }
            "port" => {
                self.ports.insert(first, Port::open()?);
                Ok(())
            }
            "drain" => self.drain(step),
            "wait" | "parse" | "round_trip" | "same" | "differ" | "join" => self.token(step),
            "status" => self.status(step),
            "password" => {
                let password = step.word(2)?.into();
                Ok(get(&mut self.stores, &first)?.change_password(&password)?)
            }
            "backup" => {
                let dest = folder.join(step.word(2)?);
                Ok(get(&mut self.stores, &first)?.backup(dest).map(|_| ())?)
            }
            "restore" => {
                let options = StoreOptions {
                    password: step.field("password").map(Into::into),
                    ..StoreOptions::default()
                };
                let (from, to) = (folder.join(first), folder.join(step.word(2)?));
                Ok(Store::restore(from, to, &options).map(|_| ())?)
            }
            "copy" => {
                let (from, to) = (folder.join(first), folder.join(step.word(2)?));
                std::fs::create_dir(&to).unwrap();
                for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
                    std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
                }
                Ok(())
            }
            "file" => {
                let path = folder.join(first);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, &step.words[2]).unwrap();
                Ok(())
            }
            "sleep" => {
                std::thread::sleep(Duration::from_millis(step.number(1)?));
                Ok(())
            }
            _ => self.network(step, folder),
        }
    }

    fn open(&mut self, step: &Step, folder: &std::path::Path) -> Outcome<()> {
        let mut options = StoreOptions::default();
        options.create = step.text("create") != Some("no");
        options.read_only = step.text("read_only") == Some("yes");
        options.level = step.level()?.unwrap_or(options.level);
        if step.text("horizon") == Some("process") {
            options.horizon = Level::Process;
        }
        if let Some(bytes) = step.text("segment_bytes") {
            options.segment_bytes = bytes.parse().or_else(|_| script("segment_bytes"))?;
        }
        options.password = step.field("password").map(Into::into);
        let name = step.word(2)?;
        let path = if name.is_empty() { name.into() } else { folder.join(name) };
        let store = Store::open(path, &options)?;
        self.opened(step.word(1)?, store, folder)
    }

    fn close(&mut self, name: &str) -> Outcome<()> {
        if let Some(store) = self.stores.remove(name) {
            store.close()?;
            return self.closed(name);
        }
        if let Some(replication) = self.replications.remove(name) {
            return Ok(replication.close()?);
        }
        if let Some(server) = self.servers.remove(name) {
            server.close();
            return Ok(());
        }
        let known = self.sessions.remove(name).is_some()
            || self.consumers.remove(name).is_some()
            || self.snapshots.remove(name).is_some()
            || self.ports.remove(name).is_some();
        if known { Ok(()) } else { script(format!("{name} is not open")) }
    }

    fn keep(&mut self, step: &Step, commit: Commit) {
        if let Some(name) = step.text("token") {
            self.tokens.insert(name.into(), commit.token);
        }
    }

    fn put(&mut self, step: &Step) -> Outcome<()> {
        let store = get(&mut self.stores, step.word(1)?)?.clone();
        let queue = *get(&mut self.queues, step.word(2)?)?;
        if step.word(0)? == "put_start" {
            let port = get(&mut self.ports, step.word(3)?)?.clone();
            let tag = step.number(4)?;
            return Ok(with_messages(step, 5, |all| store.put_start(queue, all, &port, tag))??);
        }
        let commit = match step.level()? {
            None => with_messages(step, 3, |messages| store.put(queue, messages))??,
            Some(level) => {
                with_messages(step, 3, |messages| store.put_at(queue, messages, level))??
            }
        };
        self.keep(step, commit);
        Ok(())
    }

    fn consumer(&mut self, step: &Step) -> Outcome<()> {
        let (verb, first) = (step.word(0)?, step.word(1)?);
        match verb {
            "consumer" => {
                let queue = *get(&mut self.queues, step.word(3)?)?;
                let from = match step.text("from") {
                    None | Some("oldest") => From::Oldest,
                    Some("now") => From::Now,
                    Some(at) => From::Sequence(at.parse().or_else(|_| script("from"))?),
                };
                let mut rules = rules(step)?;
                if let Some(dead) = step.text("dead_letters") {
                    rules.dead_letters = Some(*get(&mut self.queues, dead)?);
                }
                let store = get(&mut self.stores, step.word(2)?)?;
                let options = ConsumerOptions { from, rules, ..Default::default() };
                let consumer = store.consumer(step.word(4)?, queue, &options)?;
                self.consumers.insert(first.into(), consumer);
            }
            "consumer_delete" => {
                let queue = *get(&mut self.queues, step.word(2)?)?;
                get(&mut self.stores, first)?.consumer_delete(step.word(3)?, queue)?;
            }
            "ack" => drop(get(&mut self.consumers, first)?.ack(&step.numbers(2)?)?),
            "reject" => {
                let consumer = get(&mut self.consumers, first)?;
                let delay = of(step, "delay_ms")?;
                let reason = step.text("reason").unwrap_or_default();
                let (sequences, delay) = (step.numbers(2)?, (delay > 0).then_some(delay));
                match step.text("to_end") {
                    Some("yes") => consumer.reject_to_end(&sequences, delay, reason)?,
                    _ => consumer.reject_with(&sequences, delay, reason)?,
                }
            }
            "renew" => get(&mut self.consumers, first)?.renew(&step.numbers(2)?)?,
            "watch" => {
                let port = get(&mut self.ports, step.word(2)?)?;
                get(&mut self.consumers, first)?.watch(port, step.number(3)?)?;
            }
            _ => drop(get(&mut self.consumers, first)?.seek(step.number(2)?)?),
        }
        Ok(())
    }

    fn receive(&mut self, step: &Step) -> Outcome<()> {
        let first = step.word(1)?;
        let wait = |at| Ok::<_, Failure>(Duration::from_millis(step.number(at)?));
        let (wait, expected, max) = match step.word(0)? {
            "receive" => (wait(3)?, 4, step.number(2)?),
            "session_receive" => (wait(4)?, 5, step.number(3)?),
            _ => (Duration::ZERO, 5, step.number(4)?),
        };
        let (max, wanted) = (max as usize, step.words.len() - expected);
        let mut found: Vec<Received> = Vec::new();
        loop {
            let left = max - found.len();
            let more = match step.word(0)? {
                "receive" => get(&mut self.consumers, first)?.receive(left, wait)?,
                "session_receive" => {
                    let consumer = get(&mut self.consumers, step.word(2)?)?;
                    get(&mut self.sessions, first)?.receive(consumer, left, wait)?
                }
                _ => {
                    let queue = *get(&mut self.queues, step.word(2)?)?;
                    let from = found.last().map_or(step.number(3)?, |last| last.sequence() + 1);
                    get(&mut self.snapshots, first)?.browse(queue, from, left)?
                }
            };
            let done = more.is_empty();
            found.extend(more);
            if done || found.len() >= wanted.max(1) {
                break;
            }
        }
        let same = found.len() == step.words.len() - expected
            && found
                .iter()
                .zip(&step.words[expected..])
                .all(|(message, text)| message.payload() == text);
        if !same {
            let texts = found.iter().map(|message| String::from_utf8_lossy(message.payload()));
            return script(format!("got {:?}", texts.collect::<Vec<_>>()));
        }
        self.read = found;
        Ok(())
    }

    fn check(&mut self, step: &Step) -> Outcome<()> {
        let at = step.number(1)? as usize;
        let Some(message) = self.read.get(at) else { return script(format!("no message {at}")) };
        for (name, value) in &step.fields {
            let text = |value: &[u8]| value.to_vec();
            let number = |value: u64| value.to_string().into_bytes();
            let found = match name.as_str() {
                "kind" => number(message.kind().into()),
                "key" => text(message.key()),
                "producer" => text(message.producer().as_bytes()),
                "producer_sequence" => number(message.producer_sequence()),
                "sequence" => number(message.sequence()),
                "deliveries" => number(message.deliveries().into()),
                "priority" => number(message.priority().into()),
                "deliver_at_ms" => number(message.deliver_at_ms()),
                "queue" => {
                    let queue = String::from_utf8_lossy(value).into_owned();
                    let same = *get(&mut self.queues, &queue)? == message.queue();
                    if same { value.clone() } else { number(message.queue().number().into()) }
                }
                other => {
                    let header = other.strip_prefix("header.");
                    let found =
                        header.and_then(|name| message.headers().find(|(known, _)| *known == name));
                    found.map_or_else(|| text(b"(none)"), |(_, value)| text(value))
                }
            };
            if found != *value {
                return script(format!("{name} is {:?}", String::from_utf8_lossy(&found)));
            }
        }
        Ok(())
    }

    fn drain(&mut self, step: &Step) -> Outcome<()> {
        let mut expected = step.numbers(3)?;
        let port = get(&mut self.ports, step.word(1)?)?;
        let mut found = Vec::new();
        while found.len() < expected.len() {
            let events =
                port.drain(expected.len() - found.len(), Duration::from_millis(step.number(2)?))?;
            if events.is_empty() {
                break;
            }
            for event in events {
                event.outcome?;
                found.push(event.tag);
            }
        }
        found.sort_unstable();
        expected.sort_unstable();
        if found == expected { Ok(()) } else { script(format!("ended: {found:?}")) }
    }

    fn token(&mut self, step: &Step) -> Outcome<()> {
        let first = step.word(1)?;
        match step.word(0)? {
            "parse" => {
                let token = Token::parse(&step.words[2])?;
                self.tokens.insert(first.into(), token);
            }
            "round_trip" => {
                let token = *get(&mut self.tokens, first)?;
                let again =
                    [Token::parse(token.to_string().as_bytes())?, Token::parse(&token.to_bytes())?];
                if again != [token; 2] {
                    return script("the round trip gave another token");
                }
            }
            "join" => {
                let tokens = self.tokens_of(step, 2)?;
                let joined = Token::join(&tokens);
                if joined.len() as u64 != step.number(1)? {
                    return script(format!("{} tokens are left", joined.len()));
                }
            }
            "wait" => {
                let tokens = self.tokens_of(step, 4)?;
                let wait = Duration::from_millis(step.number(3)?);
                get(&mut self.stores, first)?.wait(step.word(2)?, &tokens, wait)?;
            }
            verb => {
                let tokens = self.tokens_of(step, 1)?;
                if (tokens[0] == tokens[1]) != (verb == "same") {
                    let relation = if verb == "same" { "differ" } else { "are the same" };
                    return script(format!("the tokens {relation}"));
                }
            }
        }
        Ok(())
    }

    fn tokens_of(&mut self, step: &Step, from: usize) -> Outcome<Vec<Token>> {
        (from..step.words.len()).map(|at| Ok(*get(&mut self.tokens, step.word(at)?)?)).collect()
    }
}
