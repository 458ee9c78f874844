//! One function for each call that is not in a hurry. The numbers are those of `Verb.java`.

use std::time::Duration;

use jni::sys::{jint, jlong};
use repliq::{
    BackupInfo, Code, Commit, ConnectOptions, ConsumerOptions, From, Hold, Level, ListenerOptions,
    Outcome, Policy, Port, PreparedInfo, Queue, RedriveOptions, Replication, ReplicationOptions,
    Right, Rules, Select, Server, ServerOptions, SessionOptions, Store, StoreOptions,
    TargetOptions, TargetStatus, Token, TransactionId, Unit, UserSource, Users,
};

use crate::bytes::{Reader, Writer};
use crate::failure::{Failure, pack_error};
use crate::listener::Listener;
use crate::logging;
use crate::message;
use crate::object::{Lane, Object, Seat, Use, foreign, object, take};

/// The number of the ABI of C that goes with this version.
const ABI: u32 = 0;

type Answer = Result<Vec<u8>, Failure>;

/// Calls the verb of this number.
pub fn call(verb: jint, handle: jlong, input: &[u8]) -> Answer {
    let mut args = Reader(input);
    match verb {
        0..=9 => library(verb, handle, &mut args),
        10..=39 => store(verb, handle, &mut args),
        40..=49 => session(verb, handle, &mut args),
        50..=59 => consumer(verb, handle, &mut args),
        60..=69 => listener(verb, handle, &mut args),
        70..=79 => port(verb, handle, &mut args),
        80..=99 => replication(verb, handle, &mut args),
        100..=109 => server(verb, handle, &mut args),
        110 => Ok(TransactionId::parse(args.bytes()?)?.to_bytes().to_vec()),
        _ => unknown(verb),
    }
}

fn unknown(verb: jint) -> Answer {
    Err(Failure::Own(Code::Unsupported, format!("the native library has no verb {verb}")))
}

fn done() -> Answer {
    Ok(Vec::new())
}

fn made(object: Object) -> Answer {
    Ok(Writer::default().u64(object.hand_over()?).0)
}

fn committed(commit: Commit) -> Answer {
    Ok(pack_commit(Writer::default(), &commit).0)
}

fn pack_commit(to: Writer, commit: &Commit) -> Writer {
    let level = match commit.level {
        Level::Process => 1,
        _ => 2,
    };
    to.raw(&commit.token.to_bytes()).u8(level)
}

fn text(text: &str) -> Answer {
    Ok(text.as_bytes().to_vec())
}

fn level(args: &mut Reader<'_>) -> Result<Option<Level>, Failure> {
    Ok(match args.u8()? {
        1 => Some(Level::Process),
        2 => Some(Level::Power),
        _ => None,
    })
}

fn queue(args: &mut Reader<'_>) -> Result<Queue, Failure> {
    Ok(Queue::from_number(args.u32()?))
}

fn wait(args: &mut Reader<'_>) -> Result<Duration, Failure> {
    Ok(Duration::from_millis(args.u64()?))
}

fn tokens(args: &mut Reader<'_>) -> Result<Vec<Token>, Failure> {
    args.list(|args| Ok(Token::parse(args.bytes()?)?))
}

fn start(args: &mut Reader<'_>) -> Result<From, Failure> {
    let (kind, sequence) = (args.u8()?, args.u64()?);
    Ok(match kind {
        1 => From::Now,
        2 => From::Sequence(sequence),
        _ => From::Oldest,
    })
}

// ---- the library

fn library(verb: jint, handle: jlong, args: &mut Reader<'_>) -> Answer {
    match verb {
        0 => text(repliq::VERSION),
        1 => {
            drop(take(handle)?);
            done()
        }
        2 => {
            logging::set_level(args.u8()?);
            done()
        }
        3 => Ok(logging::take(wait(args)?)),
        4 => Ok(Token::parse(args.bytes()?)?.to_bytes().to_vec()),
        5 => text(&Token::parse(args.bytes()?)?.to_string()),
        6 => {
            let joined = Token::join(&tokens(args)?);
            Ok(joined.iter().fold(Writer::default(), |to, one| to.raw(&one.to_bytes())).0)
        }
        7 => {
            let names = Code::ALL.iter();
            let pack =
                |to: Writer, code: &Code| to.u32(*code as u32).u32(code.flags()).text(code.name());
            Ok(names.fold(Writer::default().u32(Code::ALL.len() as u32), pack).0)
        }
        8 => Ok(Writer::default().u32(ABI).0),
        9 => Ok(Writer::default().u8(Token::parse(args.bytes()?)?.is_empty().into()).0),
        _ => unknown(verb),
    }
}

// ---- stores

fn store(verb: jint, handle: jlong, args: &mut Reader<'_>) -> Answer {
    if verb == 10 {
        let path = args.text()?;
        let options = store_options(args)?;
        return made(Object::Store(Store::open(path, &options)?));
    }
    if verb == 13 {
        let (backup, path) = (args.text()?, args.text()?);
        return copied(&Store::restore(backup, path, &store_options(args)?)?);
    }
    let Object::Store(store) = object(handle)? else { return Err(foreign("store")) };
    match verb {
        11 => {
            store.close()?;
            done()
        }
        12 => Ok(Writer::default().u32(store.queue(args.text()?)?.number()).0),
        14 => committed(store.queue_pause(queue(args)?)?),
        15 => committed(store.queue_resume(queue(args)?)?),
        16 => committed(store.queue_purge(queue(args)?)?),
        17 => committed(store.queue_delete(queue(args)?)?),
        18 => {
            let (queue, level) = (queue(args)?, level(args)?);
            message::with(args.0, |messages| match level {
                None => committed(store.put(queue, messages)?),
                Some(level) => committed(store.put_at(queue, messages, level)?),
            })
        }
        19 => {
            let (queue, port, tag) = (queue(args)?, args.u64()?, args.u64()?);
            let port = port_of(port.cast_signed())?;
            message::with(args.0, |messages| {
                store.put_start(queue, messages, port, tag)?;
                done()
            })
        }
        20 => {
            let options = SessionOptions {
                name: args.text()?.into(),
                takeover: args.flag()?,
                idle_ms: args.u32()?,
                bytes_max: args.u64()?,
                ..SessionOptions::default()
            };
            let session = store.session_with(&options)?;
            made(Object::Session(Lane::new(session, Seat::Own, store)))
        }
        21 => {
            let (name, queue) = (args.text()?, queue(args)?);
            let options = consumer_options(args)?;
            made(Object::Consumer(store.consumer(name, queue, &options)?))
        }
        22 => {
            let (name, queue) = (args.text()?, queue(args)?);
            committed(store.consumer_delete(name, queue)?)
        }
        23 => made(Object::Snapshot(store.snapshot()?)),
        24 => {
            store.wait(args.text()?, &tokens(args)?, wait(args)?)?;
            done()
        }
        25 => {
            let (at, tokens) = (args.text()?, tokens(args)?);
            let (port, tag) = (args.u64()?, args.u64()?);
            store.watch(at, &tokens, port_of(port.cast_signed())?, tag)?;
            done()
        }
        26 => text(&store.status()?),
        27 => {
            store.change_password(&args.bytes()?.into())?;
            done()
        }
        28 => Ok(Writer::default().u8(store.is_encrypted().into()).0),
        29 => copied(&store.backup(args.text()?)?),
        30 => {
            let (queue, max, drop) = (queue(args)?, args.u64()?, args.flag()?);
            let done = store.redrive(queue, &RedriveOptions { max, drop })?;
            let to = Writer::default().u64(done.done).u32(done.refused.len() as u32);
            let pack =
                |to: Writer, (sequence, reason): &(u64, String)| to.u64(*sequence).text(reason);
            Ok(done.refused.iter().fold(to, pack).0)
        }
        31 => text(&store.queue_name(queue(args)?)?),
        32 => Ok(Writer::default().u8(store.is_remote().into()).0),
        33 => {
            let outcome = store.resolve(&TransactionId::parse(args.bytes()?)?)?;
            Ok(pack_outcome(Writer::default(), &outcome)?.0)
        }
        34 => {
            let (id, commit) = (TransactionId::parse(args.bytes()?)?, args.flag()?);
            committed(store.finish(&id, commit)?)
        }
        35 => {
            let infos = store.prepared()?;
            Ok(infos.iter().fold(Writer::default().u32(infos.len() as u32), pack_prepared).0)
        }
        _ => unknown(verb),
    }
}

/// The number of `Outcome.State`, and the token of what is committed.
fn pack_outcome(to: Writer, outcome: &Outcome) -> Result<Writer, Failure> {
    match outcome {
        Outcome::Committed(token) => Ok(to.u8(0).raw(&token.to_bytes())),
        Outcome::RolledBack => Ok(to.u8(1)),
        Outcome::Pending => Ok(to.u8(2)),
        Outcome::Expired => Ok(to.u8(3)),
        other => Err(Failure::Own(Code::Unsupported, format!("{other:?} has no name in Java"))),
    }
}

/// A prepared transaction, as `Prepared.java` reads it.
fn pack_prepared(to: Writer, info: &PreparedInfo) -> Writer {
    let to = to.raw(&info.id.to_bytes()).bytes(&info.xid).text(&info.user);
    let to = to.u64(info.since_ms).u64(info.messages).u64(info.bytes).u64(info.held);
    match &info.ended {
        None => to.u8(0),
        Some(end) => {
            let to = to.u8(if end.committed { 1 } else { 2 }).raw(&end.token.to_bytes());
            to.text(&end.by).u64(end.time_ms)
        }
    }
}

/// What a backup or a restore copied.
fn copied(info: &BackupInfo) -> Answer {
    let to = Writer::default().u64(info.epoch.into()).u64(info.sequence);
    let to = to.u64(info.files).u64(info.files_copied);
    Ok(to.u64(info.bytes).u64(info.bytes_copied).0)
}

fn consumer_options(args: &mut Reader<'_>) -> Result<ConsumerOptions, Failure> {
    let (from, ack_level) = (start(args)?, level(args)?);
    let rules = Rules {
        shared: args.flag()?,
        keyed: args.flag()?,
        parallel: args.u32()?,
        per_key: args.u32()?,
        retry_multiplier: args.u32()?,
        lease_ms: args.u64()?,
        retry_delay_ms: args.u64()?,
        retry_delay_ms_max: args.u64()?,
        max_deliveries: args.u32()?,
        dead_letters: match args.u32()? {
            0 => None,
            number => Some(Queue::from_number(number)),
        },
        after_dead_letter: match args.u8()? {
            1 => Hold::Block,
            2 => Hold::Park,
            _ => Hold::Skip,
        },
        conflate: args.flag()?,
        key_versions: args.flag()?,
    };
    Ok(ConsumerOptions { from, ack_level, rules })
}

fn store_options(args: &mut Reader<'_>) -> Result<StoreOptions, Failure> {
    let mut chosen = StoreOptions {
        password: args.maybe_bytes()?.map(Into::into),
        create: args.flag()?,
        read_only: args.flag()?,
        helper: args.flag()?,
        ..StoreOptions::default()
    };
    chosen.level = level(args)?.unwrap_or(chosen.level);
    chosen.horizon = level(args)?.unwrap_or(chosen.horizon);
    chosen.segment_bytes = args.or(chosen.segment_bytes)?;
    chosen.segment_bytes_max = args.or(chosen.segment_bytes_max)?;
    chosen.keep_ms = args.or(chosen.keep_ms)?;
    chosen.keep_bytes = args.or(chosen.keep_bytes)?;
    chosen.quota_bytes = args.or(chosen.quota_bytes)?;
    let connect = &mut chosen.connect;
    connect.user = args.maybe_text()?.map(Into::into);
    connect.ca_file = args.maybe_text()?.map(Into::into);
    connect.server_name = args.maybe_text()?.map(Into::into);
    connect.plain = args.flag()?;
    connect.reconnect = args.flag()?;
    connect.heartbeat_ms = args.or(connect.heartbeat_ms)?;
    connect.connect_timeout_ms = args.or(connect.connect_timeout_ms)?;
    connect.reconnect_ms_max = args.or(connect.reconnect_ms_max)?;
    Ok(chosen)
}

// ---- sessions

fn session(verb: jint, handle: jlong, args: &mut Reader<'_>) -> Answer {
    let mut lane = object(handle)?.lane(Use::All)?;
    let session = &mut lane.session;
    match verb {
        40 => match level(args)? {
            None => committed(session.commit()?),
            Some(level) => committed(session.commit_at(level)?),
        },
        41 => {
            let (port, tag) = (args.u64()?, args.u64()?);
            session.commit_start(port_of(port.cast_signed())?, tag)?;
            done()
        }
        42 => {
            session.rollback()?;
            done()
        }
        43 => Ok(session.id()?.to_bytes().to_vec()),
        44 => Ok(session.prepare(args.bytes()?)?.to_bytes().to_vec()),
        _ => unknown(verb),
    }
}

// ---- consumers and snapshots

fn consumer(verb: jint, handle: jlong, args: &mut Reader<'_>) -> Answer {
    if verb == 55 {
        let Object::Snapshot(snapshot) = object(handle)? else { return Err(foreign("snapshot")) };
        let (queue, from, max) = (queue(args)?, args.u64()?, args.u32()?);
        return message::pack(&snapshot.browse(queue, from, max as usize)?);
    }
    let Object::Consumer(consumer) = object(handle)? else { return Err(foreign("consumer")) };
    match verb {
        50 => committed(consumer.ack(&args.list(Reader::u64)?)?),
        51 => {
            let (delay, reason, to_end) = (args.u64()?, args.text()?, args.flag()?);
            let delay = (delay > 0).then_some(delay);
            let sequences = args.list(Reader::u64)?;
            match to_end {
                true => consumer.reject_to_end(&sequences, delay, reason)?,
                false => consumer.reject_with(&sequences, delay, reason)?,
            }
            done()
        }
        56 => {
            consumer.renew(&args.list(Reader::u64)?)?;
            done()
        }
        52 => committed(consumer.seek(args.u64()?)?),
        53 => {
            consumer.close();
            done()
        }
        54 => {
            let (port, tag) = (args.u64()?, args.u64()?);
            consumer.watch(port_of(port.cast_signed())?, tag)?;
            done()
        }
        _ => unknown(verb),
    }
}

// ---- listeners

fn listener(verb: jint, handle: jlong, args: &mut Reader<'_>) -> Answer {
    if verb == 60 {
        let consumer = args.u64()?.cast_signed();
        let options = listener_options(args)?;
        let Object::Store(store) = object(handle)? else { return Err(foreign("store")) };
        let Object::Consumer(_) = object(consumer)? else { return Err(foreign("consumer")) };
        let Object::Consumer(consumer) = take(consumer)? else { return Err(foreign("consumer")) };
        let listener = Listener::open(store, consumer, &options)?;
        let desks = listener.desks.clone();
        let to = Writer::default().u64(Object::Listener(listener).hand_over()?);
        let mut to = to.u32(desks.len() as u32);
        for desk in desks.iter() {
            to = to.u64(Object::Session(desk.lane.clone()).hand_over()?);
        }
        return Ok(to.0);
    }
    let Object::Listener(Listener { listener, .. }) = object(handle)? else {
        return Err(foreign("listener"));
    };
    match verb {
        61 => {
            listener.close()?;
            done()
        }
        62 => {
            let status = listener.status();
            let counts = Writer::default().u64(status.done).u64(status.failed).u64(status.dead);
            let parked = counts.u32(status.parked.len() as u32);
            let pack = |to: Writer, (key, reason): &(Vec<u8>, String)| to.bytes(key).text(reason);
            let parked = status.parked.iter().fold(parked, pack);
            Ok(match &status.ended {
                None => parked.u8(0).0,
                Some(error) => pack_error(parked.u8(1), error).0,
            })
        }
        _ => unknown(verb),
    }
}

fn listener_options(args: &mut Reader<'_>) -> Result<ListenerOptions, Failure> {
    let defaults = ListenerOptions::default();
    let unit = if args.flag()? { Unit::Job } else { Unit::Message };
    let (policy, after, queue) = (args.u8()?, args.u32()?, args.maybe_text()?);
    let policy = match (policy, queue) {
        (1, _) => Policy::Park,
        (2, Some(queue)) => Policy::DeadLetter { after, queue: queue.into() },
        _ => Policy::Block,
    };
    let (retry_ms, retry_ms_max) = (args.or(defaults.retry_ms)?, args.or(defaults.retry_ms_max)?);
    let threads = args.u32()?;
    Ok(ListenerOptions { unit, policy, threads, retry_ms, retry_ms_max })
}

// ---- ports

fn port_of<'call>(handle: jlong) -> Result<&'call Port, Failure> {
    match object(handle)? {
        Object::Port(port) => Ok(port),
        _ => Err(foreign("port")),
    }
}

fn port(verb: jint, handle: jlong, args: &mut Reader<'_>) -> Answer {
    if verb == 70 {
        return made(Object::Port(Port::open()?));
    }
    let port = port_of(handle)?;
    match verb {
        71 => {
            let (max, wait) = (args.u32()?, wait(args)?);
            let events = port.drain(max as usize, wait)?;
            let mut out = Writer::default().u32(events.len() as u32);
            for event in &events {
                out = match &event.outcome {
                    Ok(commit) => pack_commit(out.u64(event.tag).u8(0), commit),
                    Err(error) => pack_error(out.u64(event.tag).u8(1), error),
                };
            }
            Ok(out.0)
        }
        72 => {
            port.cancel(args.u64()?)?;
            done()
        }
        73 => {
            port.close();
            done()
        }
        74 => Ok(Writer::default().u32(port.fd()?.cast_unsigned()).0),
        _ => unknown(verb),
    }
}

// ---- replications

fn replication(verb: jint, handle: jlong, args: &mut Reader<'_>) -> Answer {
    if verb == 80 {
        let Object::Store(store) = object(handle)? else { return Err(foreign("store")) };
        let (root, level) = (queue(args)?, level(args)?);
        let replication = Replication::open(store, root, &ReplicationOptions { level })?;
        return made(Object::Replication(replication));
    }
    let Object::Replication(replication) = object(handle)? else {
        return Err(foreign("replication"));
    };
    match verb {
        81 => {
            let (name, url) = (args.text()?, args.text()?);
            replication.add(name, url, &target_options(args)?)?;
        }
        82 => replication.remove(args.text()?)?,
        83 => replication.skip(args.text()?)?,
        84 => replication.accept_gap(args.text()?)?,
        85 => {
            return message::with(args.0, |messages| committed(replication.send_many(messages)?));
        }
        86 => replication.start_job()?,
        87 => return committed(replication.end_job()?),
        88 => replication.abort_job()?,
        89 => replication.push()?,
        90 => return text(&replication.status()?),
        92 => replication.close()?,
        93 => replication.settle(wait(args)?)?,
        94 => {
            let targets = replication.targets()?;
            let to = Writer::default().u32(targets.len() as u32);
            return Ok(targets.iter().fold(to, pack_target).0);
        }
        95 => return Ok(pack_target(Writer::default(), &replication.target(args.text()?)?).0),
        _ => return unknown(verb),
    }
    done()
}

fn pack_target(to: Writer, status: &TargetStatus) -> Writer {
    let to = to.text(&status.name).text(&status.url).text(&status.state);
    let to = to.text(&status.position.to_string()).u64(status.lag_messages).u64(status.lag_bytes);
    let to = to.u64(status.lag_ms).maybe_text(status.last_error.as_deref());
    let to = to.maybe_text(status.refused.as_deref()).u64(status.rewinds).u64(status.skipped);
    to.u64(status.gaps).u64(status.orphans)
}

fn target_options(args: &mut Reader<'_>) -> Result<TargetOptions, Failure> {
    let defaults = ConnectOptions::default();
    let connect = ConnectOptions {
        user: args.maybe_text()?.map(Into::into),
        password: args.maybe_bytes()?.map(Into::into),
        plain: args.flag()?,
        ca_file: args.maybe_text()?.map(Into::into),
        server_name: args.maybe_text()?.map(Into::into),
        heartbeat_ms: args.or(defaults.heartbeat_ms)?,
        connect_timeout_ms: args.or(defaults.connect_timeout_ms)?,
        reconnect_ms_max: args.or(defaults.reconnect_ms_max)?,
        reconnect: args.flag()?,
    };
    let queue = args.maybe_text()?.map(Into::into);
    let from = start(args)?;
    let kinds = args.list(Reader::u16)?;
    let key_prefix = args.maybe_bytes()?.map(<[u8]>::to_vec);
    let (name, value) = (args.maybe_text()?, args.maybe_text()?);
    let header = name.map(|name| (name.to_owned(), value.map(str::to_owned)));
    Ok(TargetOptions { connect, queue, from, select: Select { kinds, key_prefix, header } })
}

// ---- servers

fn server(verb: jint, handle: jlong, args: &mut Reader<'_>) -> Answer {
    if verb == 100 {
        let Object::Store(store) = object(handle)? else { return Err(foreign("store")) };
        return made(Object::Server(Server::open(store, &server_options(args)?)?));
    }
    let Object::Server(server) = object(handle)? else { return Err(foreign("server")) };
    match verb {
        101 => text(&server.status()?),
        102 => {
            server.reload()?;
            done()
        }
        103 => {
            server.close();
            done()
        }
        104 => {
            let addresses: Vec<String> =
                server.addresses().iter().map(ToString::to_string).collect();
            text(&addresses.join("\n"))
        }
        _ => unknown(verb),
    }
}

fn server_options(args: &mut Reader<'_>) -> Result<ServerOptions, Failure> {
    let mut chosen = ServerOptions::default();
    let listen = args.list(|args| Ok(args.text()?.to_owned()))?;
    if !listen.is_empty() {
        chosen.listen = listen;
    }
    chosen.plain = args.flag()?;
    chosen.certificate_file = args.maybe_text()?.map(Into::into);
    chosen.key_file = args.maybe_text()?.map(Into::into);
    let file = args.maybe_text()?;
    let mut users = Users::new();
    let inline = args.list(|args| user(&mut users, args))?;
    chosen.users = match (file, inline.is_empty()) {
        (Some(file), true) => UserSource::File(file.into()),
        (None, _) => UserSource::Inline(users),
        (Some(_), false) => {
            let text = "users come from a file or from the options, not both";
            return Err(Failure::Own(Code::Invalid, text.into()));
        }
    };
    chosen.heartbeat_ms = args.or(chosen.heartbeat_ms)?;
    let limits = &mut chosen.limits;
    limits.login_ms = args.or(limits.login_ms)?;
    limits.failure_wait_ms_max = args.or(limits.failure_wait_ms_max)?;
    limits.connections_max = count(args, limits.connections_max)?;
    limits.strangers_max = count(args, limits.strangers_max)?;
    limits.failures_max = match args.u32()? {
        u32::MAX => limits.failures_max,
        max => max,
    };
    limits.sessions_max = count(args, limits.sessions_max)?;
    limits.transactions_max = count(args, limits.transactions_max)?;
    limits.staged_bytes_max = args.or(limits.staged_bytes_max)?;
    limits.user_share = match args.u32()? {
        u32::MAX => limits.user_share,
        share => share,
    };
    Ok(chosen)
}

fn count(args: &mut Reader<'_>, default: usize) -> Result<usize, Failure> {
    Ok(match args.u32()? {
        u32::MAX => default,
        count => count as usize,
    })
}

fn user(users: &mut Users, args: &mut Reader<'_>) -> Result<(), Failure> {
    let (name, password) = (args.text()?, args.bytes()?);
    let rights = args.list(|args| {
        let (verbs, queues) = (args.text()?, args.text()?);
        let verbs = parts(verbs).map(user_verb).collect::<Result<_, _>>()?;
        Ok(Right { verbs, queues: parts(queues).map(str::to_owned).collect() })
    })?;
    users.add(name, &password.into())?;
    users.set_rights(name, &rights)?;
    Ok(())
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}

fn user_verb(name: &str) -> Result<repliq::Verb, Failure> {
    let known = repliq::Verb::ALL.iter().find(|verb| verb.name() == name).copied();
    known.ok_or_else(|| {
        Failure::Own(Code::Invalid, format!("{name:?} is no verb that a user can have"))
    })
}
