//! Committing: one message, many messages, many threads, many in flight.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use repliq::{Code, Level, Message, Port, Queue, Store, Token};

use super::super::fail::{Done, Fail};
use super::{CopyFloor, Row, Run, SyncFloor, record, syncs_since, times};

/// Where calls cannot be taken in turn one by one, the floor gets a turn before each of so many parts.
pub const PARTS: u64 = 10;
/// Syncs of the floor in each of its turns.
pub const PART_SYNCS: u64 = 200;
/// Copies a call of the copying floor makes, because one is as short as the clock's own call.
const COPIES: usize = 100;
/// Calls before anything is counted: the first ones meet cold caches and the first segment.
const WARM: u64 = 100;
/// The same where no call waits for a disk: the segments have grown to their largest by then.
const WARM_UNSYNCED: u64 = 300_000;
/// Where no call waits for a disk, one of so many is timed: the clock takes a third of a call.
const TIMED: u64 = 16;

/// The floor that fits the durability, as a call for one message.
pub enum Floor {
    Sync(SyncFloor),
    Copy(CopyFloor),
}

impl Floor {
    pub fn prepare(run: &Run<'_>, messages: u64) -> Done<Floor> {
        Ok(match run.bench.durability {
            Level::Process => Floor::Copy(CopyFloor::prepare(run.bench.size * messages as usize)),
            _ => Floor::Sync(run.sync_floor(messages)?),
        })
    }

    pub fn call(&mut self) -> Done<Duration> {
        match self {
            Floor::Sync(floor) => floor.call(),
            Floor::Copy(floor) => Ok(floor.call(COPIES) / COPIES as u32),
        }
    }
}

/// A sum of calls.
pub struct Sum {
    pub calls: u64,
    pub took: Duration,
    pub times: Histogram<u64>,
}

impl Sum {
    pub fn new() -> Done<Sum> {
        Ok(Sum { calls: 0, took: Duration::ZERO, times: times()? })
    }

    pub fn add(&mut self, took: Duration) {
        self.calls += 1;
        self.took += took;
        record(&mut self.times, took);
    }

    /// Takes in what another thread counted.
    pub fn merge(&mut self, times: Histogram<u64>) -> Done {
        self.times
            .add(times)
            .map_err(|error| Fail::new(Code::Invalid, format!("cannot add times: {error}")))
    }

    pub fn row(self, run: &Run<'_>, name: &'static str, messages: u64) -> Row {
        run.row(name, messages * self.calls, self.took, self.times)
    }
}

/// Both floors, by themselves.
pub fn floor(run: &Run<'_>) -> Done<Vec<Row>> {
    let mut rows = Vec::new();
    let mut sync = run.sync_floor(1)?;
    let mut sum = Sum::new()?;
    for call in 0..run.count {
        sum.add(sync.call()?);
        run.progress.at(call);
    }
    rows.push(Row { durability: Level::Power, syncs: run.count, ..sum.row(run, "floor", 1) });
    let mut copy = CopyFloor::prepare(run.bench.size);
    let mut sum = Sum::new()?;
    for _ in 0..run.count {
        sum.add(copy.call(COPIES) / COPIES as u32);
    }
    rows.push(Row { durability: Level::Process, ..sum.row(run, "floor", 1) });
    for row in &mut rows {
        row.floor_per_s = row.rate();
    }
    Ok(rows)
}

/// One message a commit.
pub fn commit(run: &Run<'_>) -> Done<Vec<Row>> {
    let waits = run.bench.durability == Level::Power;
    let bench = run.bench;
    let alone = bench.threads == 1 && bench.in_flight == 1 && bench.queues == 1;
    if waits && alone && bench.rate == 0 {
        let payload = vec![b'm'; run.bench.size];
        let message = [Message::new(&payload)];
        return in_turn(run, "commit", 1, |store, queue| {
            Ok(store.put(queue, &message).map(|_| ())?)
        });
    }
    in_parts(run)
}

/// Many messages a commit.
pub fn transaction(run: &Run<'_>) -> Done<Vec<Row>> {
    let payload = vec![b'm'; run.bench.size];
    let messages = vec![Message::new(&payload); run.bench.batch as usize];
    in_turn(run, "transaction", run.bench.batch, |store, queue| {
        let mut session = store.session()?;
        session.put_many(queue, &messages)?;
        session.commit()?;
        Ok(())
    })
}

/// Call by call, the floor's and ours; who goes first changes each time.
fn in_turn(
    run: &Run<'_>,
    name: &'static str,
    messages: u64,
    act: impl Fn(&Store, Queue) -> Done,
) -> Done<Vec<Row>> {
    let (store, queue, syncs) = run.store()?;
    let mut floor = Floor::prepare(run, messages)?;
    for _ in 0..WARM.min(run.count) {
        floor.call()?;
        act(&store, queue)?;
    }
    let (mut ours, mut theirs) = (Sum::new()?, Sum::new()?);
    let before = syncs.load(Ordering::Relaxed);
    for call in 0..run.count.div_ceil(messages) {
        if call % 2 == 0 {
            theirs.add(floor.call()?);
        }
        let start = Instant::now();
        act(&store, queue)?;
        ours.add(start.elapsed());
        if call % 2 == 1 {
            theirs.add(floor.call()?);
        }
        run.progress.at(call * messages);
    }
    let synced = syncs_since(&syncs, before);
    store.close()?;
    let floor = floor_row(run, theirs, messages);
    Ok(run.rows(Row { syncs: synced, ..ours.row(run, name, messages) }, floor))
}

pub fn floor_row(run: &Run<'_>, sum: Sum, messages: u64) -> Row {
    let syncs = if run.bench.durability == Level::Power { sum.calls } else { 0 };
    Row { syncs, ..sum.row(run, "floor", messages) }
}

/// Many threads, or many in flight: part by part, the floor before each.
fn in_parts(run: &Run<'_>) -> Done<Vec<Row>> {
    let (store, queue, syncs) = run.store()?;
    let queues = run.queues(&store, queue)?;
    let mut floor = Floor::prepare(run, 1)?;
    let share = run.count.div_ceil(PARTS * run.bench.threads);
    let mut theirs = Sum::new()?;
    let mut ours = Sum::new()?;
    let warm = match run.bench.durability {
        Level::Process => WARM_UNSYNCED / run.bench.threads,
        _ => share.min(WARM),
    };
    part(run, &store, &queues, warm)?;
    let mut synced = 0;
    for number in 0..PARTS {
        for _ in 0..PART_SYNCS {
            theirs.add(floor.call()?);
        }
        let before = syncs.load(Ordering::Relaxed);
        let start = Instant::now();
        let part = part(run, &store, &queues, share)?;
        ours.took += start.elapsed();
        synced += syncs_since(&syncs, before);
        ours.calls += share * run.bench.threads;
        ours.merge(part)?;
        run.progress.at(number * share * run.bench.threads);
    }
    store.close()?;
    let floor = floor_row(run, theirs, 1);
    let ours = ours.row(run, "commit", 1);
    Ok(run.rows(Row { syncs: synced, threads: run.bench.threads, ..ours }, floor))
}

/// `share` commits by each thread.
fn part(run: &Run<'_>, store: &Store, queues: &[Queue], share: u64) -> Done<Histogram<u64>> {
    let mut sum = Sum::new()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..run.bench.threads)
            .map(|_| {
                scope.spawn(|| match run.bench.in_flight {
                    1 => blocking(run, store, queues, share),
                    _ => in_flight(run, store, queues[0], share).map(|(times, _)| times),
                })
            })
            .collect();
        for thread in threads {
            let part = thread
                .join()
                .map_err(|_| Fail::new(Code::Panic, "a thread of the bench failed"))??;
            sum.merge(part)?;
        }
        Ok(sum.times)
    })
}

fn blocking(run: &Run<'_>, store: &Store, queues: &[Queue], share: u64) -> Done<Histogram<u64>> {
    let payload = vec![b'm'; run.bench.size];
    let message = [Message::new(&payload)];
    let timed = if run.bench.durability == Level::Process { TIMED } else { 1 };
    let mut times = times()?;
    let begun = Instant::now();
    for (call, queue) in (0..share).zip(queues.iter().cycle()) {
        if run.bench.rate > 0 {
            // Who is late is late for all that were due meanwhile; a sleep would be longer than a call.
            let due = begun + Duration::from_secs_f64(call as f64 / run.bench.rate as f64);
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            store.put(*queue, &message)?;
            record(&mut times, due.elapsed());
            continue;
        }
        if call % timed > 0 {
            store.put(*queue, &message)?;
            continue;
        }
        let start = Instant::now();
        store.put(*queue, &message)?;
        record(&mut times, start.elapsed());
    }
    Ok(times)
}

/// Keeps `in_flight` commits started; the time of one is from its start to its arrival in the port.
///
/// The token is that of the last one.
pub fn in_flight(
    run: &Run<'_>,
    store: &Store,
    queue: Queue,
    share: u64,
) -> Done<(Histogram<u64>, Option<Token>)> {
    let payload = vec![b'm'; run.bench.size];
    let message = [Message::new(&payload)];
    let window = run.bench.in_flight;
    let port = Port::open()?;
    let mut times = times()?;
    let mut starts = vec![Instant::now(); window as usize];
    let (mut started, mut arrived) = (0u64, 0u64);
    let mut last = None;
    while arrived < share {
        while started < share && started - arrived < window {
            starts[(started % window) as usize] = Instant::now();
            store.put_start(queue, &message, &port, started)?;
            started += 1;
        }
        for event in port.drain(window as usize, Duration::from_secs(60))? {
            let token = event.outcome?.token;
            if event.tag + 1 == share {
                last = Some(token);
            }
            record(&mut times, starts[(event.tag % window) as usize].elapsed());
            arrived += 1;
        }
    }
    port.close();
    Ok((times, last))
}
