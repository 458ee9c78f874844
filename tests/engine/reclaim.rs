//! What a look for dead segments costs: indexes that were read once are not read again, and what is not remembered is
//! looked at a few segments at a time.

use crate::oracle::small;
use repliq::disk::model::{ModelDisk, Op};
use repliq::{ConsumerOptions, Message, Received, Store, limits};
use std::sync::Arc;
use std::time::Duration;

fn open(disk: &ModelDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), &small(crate::SEGMENT)).unwrap()
}

fn segments(disk: &ModelDisk) -> usize {
    disk.names().iter().filter(|name| name.ends_with(".seg")).count()
}

/// Reads that a reclaim makes.
fn reads(store: &Store, disk: &ModelDisk) -> u64 {
    let before = disk.calls(Op::ReadAt);
    store.reclaim().unwrap();
    disk.calls(Op::ReadAt) - before
}

#[test]
fn a_reclaim_reads_each_index_once_and_few_at_a_time() {
    let disk = ModelDisk::new();
    let store = open(&disk);
    // Without a consumer nothing of it is moved.
    let queue = store.queue("q").unwrap();
    for _ in 0..400 {
        store.put(queue, &[Message::new(&[7; 900])]).unwrap();
    }
    let all = segments(&disk);
    assert!(all >= 6 * limits::INDEXES_READ_MAX, "only {all} segments");
    store.reclaim().unwrap();
    assert_eq!(reads(&store, &disk), 0, "what was sealed here is known");
    drop(store);
    let store = open(&disk);
    let (mut sum, mut turns) = (0, 0);
    loop {
        let more = reads(&store, &disk);
        if more == 0 {
            break;
        }
        // The head of a segment and its index.
        assert!(more <= 2 * limits::INDEXES_READ_MAX as u64, "{more} reads at a time");
        (sum, turns) = (sum + more, turns + 1);
    }
    assert!(sum >= all as u64 && sum <= 2 * all as u64, "{sum} reads for {all} segments");
    assert!(turns >= all / limits::INDEXES_READ_MAX, "{turns} turns");
    // What dies then is found without another read, and goes.
    let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    let received = consumer.receive(300, Duration::ZERO).unwrap();
    consumer.ack(&received.iter().map(Received::sequence).collect::<Vec<u64>>()).unwrap();
    store.reclaim().unwrap();
    // As many as the tail has room to say so of.
    assert!(segments(&disk) + 20 < all, "{} of {all} segments stay", segments(&disk));
}

#[test]
fn dead_segments_that_are_not_remembered_go_while_others_come_and_at_a_full_disk_at_once() {
    for full in [false, true] {
        let disk = ModelDisk::new();
        let store = open(&disk);
        let queue = store.queue("q").unwrap();
        let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
        for _ in 0..400 {
            store.put(queue, &[Message::new(&[7; 900])]).unwrap();
        }
        drop((consumer, store));
        let store = open(&disk);
        store.queue_purge(queue).unwrap();
        let all = segments(&disk);
        if full {
            let names = disk.names();
            let bytes = names.iter().filter_map(|name| disk.bytes_of(name));
            disk.capacity(bytes.map(|bytes| bytes.len() as u64).sum());
        }
        for number in 0..60 {
            let put = store.put(queue, &[Message::new(&[7; 900])]);
            assert!(put.is_ok(), "full {full}, message {number}: {put:?}");
        }
        // What was put since takes some thirty.
        assert!(segments(&disk) < 60, "full {full}: {} of {all} segments stay", segments(&disk));
    }
}
