//! Replication to one server over loopback, both ends durable.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use repliq::{
    Code, ConnectOptions, Password, Replication, ReplicationOptions, Right, Server, ServerOptions,
    Store, StoreOptions, TargetOptions, Token, UserSource, Users, Verb,
};

use super::super::fail::{Done, Fail};
use super::commit::{Floor, PART_SYNCS, PARTS, Sum, floor_row, in_flight};
use super::{Row, Run, record, syncs_since};

/// Longest wait for the server; a run that stands still must end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages put here until the server has them. Alone (`--in-flight 1`) each is awaited; otherwise commits are
/// kept in flight, and the last of each part is awaited.
pub fn replicate(run: &Run<'_>) -> Done<Vec<Row>> {
    if run.bench.threads != 1 {
        let text = "cannot replicate from several threads: one stream has one order";
        return Err(Fail::new(Code::Unsupported, text));
    }
    let (store, queue, syncs) = run.store()?;
    let there = Store::open(run.room.0.join("server"), &StoreOptions::default())?;
    let server = serve(&there)?;
    let replication = Replication::open(&store, queue, &ReplicationOptions::default())?;
    let address = server.addresses().first().copied();
    let address = address.ok_or_else(|| Fail::new(Code::Io, "the server listens nowhere"))?;
    let connect =
        ConnectOptions { password: Some(password()), plain: true, ..ConnectOptions::default() };
    let options = TargetOptions { connect, ..TargetOptions::default() };
    replication.add("server", &format!("repliq://bench@{address}"), &options)?;

    let mut floor = Floor::prepare(run, 1)?;
    let share = run.count.div_ceil(PARTS);
    let (mut ours, mut theirs) = (Sum::new()?, Sum::new()?);
    let mut synced = 0;
    part(run, &store, queue, share.min(1_000), &mut Sum::new()?)?;
    for number in 0..PARTS {
        for _ in 0..PART_SYNCS {
            theirs.add(floor.call()?);
        }
        let before = syncs.load(Ordering::Relaxed);
        let start = Instant::now();
        part(run, &store, queue, share, &mut ours)?;
        ours.took += start.elapsed();
        synced += syncs_since(&syncs, before);
        ours.calls += share;
        run.progress.at(number * share);
    }
    replication.close()?;
    server.close();
    there.close()?;
    store.close()?;
    let floor = floor_row(run, theirs, 1);
    Ok(run.rows(Row { syncs: synced, ..ours.row(run, "replicate", 1) }, floor))
}

fn part(run: &Run<'_>, store: &Store, queue: repliq::Queue, share: u64, sum: &mut Sum) -> Done {
    if run.bench.in_flight == 1 {
        let payload = vec![b'm'; run.bench.size];
        let message = [repliq::Message::new(&payload)];
        for _ in 0..share {
            let start = Instant::now();
            let commit = store.put(queue, &message)?;
            arrive(store, commit.token)?;
            record(&mut sum.times, start.elapsed());
        }
        return Ok(());
    }
    let (times, last) = in_flight(run, store, queue, share)?;
    sum.merge(times)?;
    last.map_or(Ok(()), |token| arrive(store, token))
}

fn arrive(store: &Store, token: Token) -> Done {
    Ok(store.wait("target:server", &[token], PATIENCE)?)
}

fn password() -> Password {
    Password::from("a bench on loopback has no secret")
}

fn serve(store: &Store) -> Done<Server> {
    let mut users = Users::new();
    // The least number of iterations: logging in is not what is measured.
    users.add_with("bench", &password(), 4_096)?;
    users.set_rights(
        "bench",
        &[Right { verbs: vec![Verb::Replicate], queues: vec!["*".to_string()] }],
    )?;
    let options = ServerOptions {
        listen: vec!["127.0.0.1:0".to_string()],
        plain: true,
        users: UserSource::Inline(users),
        ..ServerOptions::default()
    };
    Ok(Server::open(store, &options)?)
}
