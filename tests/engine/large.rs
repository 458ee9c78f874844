//! Messages larger than the segments of their store: each gets a segment of the class it needs, and what comes behind it
//! is small again.

use crate::oracle::small;
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{Code, ConsumerOptions, Level, Message, Received, Store, StoreOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn open(disk: &ModelDisk, options: &StoreOptions) -> Store {
    Store::open_on(Arc::new(disk.clone()), options).unwrap()
}

/// How many segments of each length there are.
fn classes(disk: &ModelDisk) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    for name in disk.names().iter().filter(|name| name.ends_with(".seg")) {
        *found.entry(disk.bytes_of(name).unwrap().len()).or_insert(0) += 1;
    }
    found
}

fn lengths(store: &Store) -> Vec<(u8, usize)> {
    let queue = store.find_queue("q").unwrap();
    let (snapshot, mut all, mut from) = (store.snapshot().unwrap(), Vec::new(), 1);
    loop {
        let some = snapshot.browse(queue, from, 9).unwrap();
        let Some(last) = some.last() else { return all };
        from = last.sequence() + 1;
        for one in &some {
            let first = one.payload()[0];
            assert!(one.payload().iter().all(|byte| *byte == first), "message {}", one.sequence());
            all.push((first, one.payload().len()));
        }
    }
}

#[test]
fn a_message_larger_than_its_segments_gets_one_of_the_class_it_needs() {
    let segment = crate::SEGMENT as usize;
    let sizes = [100, 2 * segment, 300, 9 * segment, 40 * segment, 100, 200, 17 * segment];
    let options = small(crate::SEGMENT);
    for level in [Level::Power, Level::Process] {
        let disk = ModelDisk::new();
        let store = open(&disk, &options);
        let queue = store.queue("q").unwrap();
        let mut put = Vec::new();
        for (at, size) in sizes.into_iter().enumerate() {
            let byte = at as u8 + 1;
            store.put_at(queue, &[Message::new(&vec![byte; size])], level).unwrap();
            put.push((byte, size));
        }
        let found = classes(&disk);
        let count = |class: usize| found.get(&(class * segment)).copied().unwrap_or(0);
        // Each has its own class, and the last has room behind the largest.
        assert_eq!((count(4), count(16), count(64)), (1, 1, 1), "{level:?}: {found:?}");
        store.verify(&mut |_| Ok(())).unwrap();
        // The next one is durable, and what was before with it.
        store.put(queue, &[Message::new(b"x")]).unwrap();
        put.push((b'x', 1));
        assert_eq!(lengths(&store), put, "{level:?}");
        let left = disk.clone_image();
        for image in [left.kill(), left.power_cut(Cut::Nothing), left.power_cut(Cut::Random(7))] {
            assert_eq!(lengths(&open(&image, &options)), put, "{level:?}");
        }
        // What is consumed goes, whatever its class, and the segments behind it are small.
        let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
        loop {
            let got = consumer.receive(100, Duration::ZERO).unwrap();
            if got.is_empty() {
                break;
            }
            consumer.ack(&got.iter().map(Received::sequence).collect::<Vec<u64>>()).unwrap();
        }
        for _ in 0..30 {
            let sequence = store.queues().unwrap()[0].next_sequence;
            store.put(queue, &[Message::new(&[1; 900])]).unwrap();
            consumer.receive(1, Duration::ZERO).unwrap();
            consumer.ack(&[sequence]).unwrap();
        }
        store.reclaim().unwrap();
        let left = classes(&disk);
        assert_eq!(left.keys().copied().collect::<Vec<_>>(), [segment], "{level:?}: {left:?}");
    }
}

#[test]
fn the_largest_message_there_is_fits_into_a_store_of_the_smallest_segments() {
    let disk = ModelDisk::new();
    let options = StoreOptions { segment_bytes_max: crate::SEGMENT, ..small(crate::SEGMENT) };
    let store = open(&disk, &options);
    let queue = store.queue("q").unwrap();
    // A body is its payload, and some twenty bytes before it.
    let largest = vec![3; repliq::limits::MESSAGE_BYTES_MAX - 512];
    store.put(queue, &[Message::new(&largest)]).unwrap();
    let beyond = vec![3; repliq::limits::MESSAGE_BYTES_MAX + 1];
    let error = store.put(queue, &[Message::new(&beyond)]).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge, "{error}");
    store.put(queue, &[Message::new(b"x")]).unwrap();
    drop(store);
    let store = open(&disk.power_cut(Cut::Nothing), &options);
    assert_eq!(lengths(&store), [(3, largest.len()), (b'x', 1)]);
}
