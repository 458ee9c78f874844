//! Reading: a consumer that takes everything, a browse over everything, and opening a store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use repliq::{ConsumerOptions, Queue, Store, StoreOptions};

use super::super::fail::{Done, Fail};
use super::{CopyFloor, Row, Run, record, syncs_since, times};

/// Messages one call asks for.
const BATCH: usize = 1_000;
/// Messages acknowledged at once.
const ACKNOWLEDGED: usize = 10_000;
/// How often the store is opened.
const OPENS: u64 = 50;

/// A consumer takes all messages and acknowledges every ten thousand.
pub fn drain(run: &Run<'_>) -> Done<Vec<Row>> {
    let (store, queue, syncs) = run.store()?;
    run.fill(&store, queue)?;
    let options =
        ConsumerOptions { ack_level: Some(run.bench.durability), ..ConsumerOptions::default() };
    let consumer = store.consumer("bench", queue, &options)?;
    let before = syncs.load(Ordering::Relaxed);
    let mut unacknowledged: Vec<u64> = Vec::with_capacity(ACKNOWLEDGED + BATCH);
    let rows = batches(run, "drain", |_| {
        let messages = consumer.receive(BATCH, Duration::ZERO)?;
        unacknowledged.extend(messages.iter().map(|message| message.sequence()));
        let end = messages.is_empty();
        if unacknowledged.len() >= ACKNOWLEDGED || end && !unacknowledged.is_empty() {
            consumer.ack(&unacknowledged)?;
            unacknowledged.clear();
        }
        Ok(messages.len())
    })?;
    let synced = syncs_since(&syncs, before);
    consumer.close();
    store.close()?;
    let count = |row: Row| if row.name == "drain" { Row { syncs: synced, ..row } } else { row };
    Ok(rows.into_iter().map(count).collect())
}

/// A snapshot is browsed from the first message to the last.
pub fn scan(run: &Run<'_>) -> Done<Vec<Row>> {
    let (store, queue, _) = run.store()?;
    run.fill(&store, queue)?;
    let snapshot = store.snapshot()?;
    let rows = batches(run, "scan", |done| Ok(snapshot.browse(queue, done + 1, BATCH)?.len()))?;
    drop(snapshot);
    store.close()?;
    Ok(rows)
}

/// Batch by batch, ours and the floor over as many messages, until a batch is empty.
fn batches(
    run: &Run<'_>,
    name: &'static str,
    mut act: impl FnMut(u64) -> Done<usize>,
) -> Done<Vec<Row>> {
    let mut floor = CopyFloor::prepare(run.bench.size);
    let (mut ours, mut theirs) = (times()?, times()?);
    let (mut took, mut floor_took) = (Duration::ZERO, Duration::ZERO);
    let mut done = 0;
    loop {
        let start = Instant::now();
        let messages = act(done)?;
        let one = start.elapsed();
        took += one;
        if messages == 0 {
            break;
        }
        record(&mut ours, one);
        let one = floor.call(messages);
        record(&mut theirs, one);
        floor_took += one;
        done += messages as u64;
        run.progress.at(done);
    }
    let floor = run.row("floor", done, floor_took, theirs);
    Ok(run.rows(run.row(name, done, took, ours), floor))
}

/// Opening and closing by turns; the floor reads the two segments written last, which is as much as open may.
pub fn open(run: &Run<'_>) -> Done<Vec<Row>> {
    let (store, queue, _) = run.store()?;
    run.fill(&store, queue)?;
    store.close()?;
    drop(store);
    let path = run.room.0.join("store");
    let options = StoreOptions { create: false, ..StoreOptions::default() };
    let (mut ours, mut theirs) = (times()?, times()?);
    let (mut took, mut floor_took) = (Duration::ZERO, Duration::ZERO);
    for number in 0..OPENS {
        let start = Instant::now();
        let store = Store::open(&path, &options)?;
        let one = start.elapsed();
        record(&mut ours, one);
        took += one;
        put_one(&store, queue)?;
        store.close()?;
        drop(store);
        let start = Instant::now();
        newest_two(&path)?;
        let one = start.elapsed();
        record(&mut theirs, one);
        floor_took += one;
        run.progress.at(run.count * number / OPENS);
    }
    let floor = run.row("floor", OPENS, floor_took, theirs);
    Ok(run.rows(run.row("open", OPENS, took, ours), floor))
}

/// A store that was written to has something to replay.
fn put_one(store: &Store, queue: Queue) -> Done {
    store.put(queue, &[repliq::Message::new(b"one")])?;
    Ok(())
}

fn newest_two(store: &Path) -> Done {
    let failed =
        |error: &std::io::Error| Fail::io(format!("cannot read {}", store.display()), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(store).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        let name = entry.file_name();
        let segment = name.to_string_lossy().ends_with(".seg");
        let written = entry.metadata().and_then(|about| about.modified());
        if segment {
            files.push((written.map_err(|error| failed(&error))?, entry.path()));
        }
    }
    files.sort();
    let newest: Vec<PathBuf> = files.into_iter().rev().take(2).map(|(_, path)| path).collect();
    for path in newest {
        let bytes = fs::read(path).map_err(|error| failed(&error))?;
        std::hint::black_box(bytes.len());
    }
    Ok(())
}
