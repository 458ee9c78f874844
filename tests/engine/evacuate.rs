//! One slow queue never pins a disk: what is alive in nearly dead segments is moved, and found where it was moved to.

use crate::oracle::{Client, End, small};
use crate::work::{self, Act};
use crate::world::{Clock, Node, Plan, options, ship};
use repliq::disk::Disk;
use repliq::disk::model::{Cut, Mode, ModelDisk};
use repliq::{Consumer, ConsumerOptions, Level, Message, Received, Store, StoreOptions};
use std::sync::Arc;
use std::time::Duration;

fn open(disk: &ModelDisk, options: &StoreOptions) -> Store {
    Store::open_on(Arc::new(disk.clone()), options).unwrap()
}

fn segments(disk: &ModelDisk) -> usize {
    let names = disk.list().unwrap();
    names.iter().filter(|name| name.ends_with(".seg")).count()
}

/// What a message is, wherever it stands: sequence, transaction, index, time, payload.
type Told = (u64, u64, u32, u64, Vec<u8>);

fn told(one: &Received) -> Told {
    let (sequence, transaction) = (one.sequence(), one.transaction());
    (sequence, transaction, one.index(), one.committed_ms(), one.payload().to_vec())
}

/// Puts a small message for a queue that nobody reads, and much that is read at once, over and over.
fn live(store: &Store, disk: &ModelDisk, rounds: u64) -> Vec<Told> {
    let (slow, fast) = (store.queue("slow").unwrap(), store.queue("fast").unwrap());
    let reader = store.consumer("reader", fast, &ConsumerOptions::default()).unwrap();
    drop(store.consumer("sleeper", slow, &ConsumerOptions::default()).unwrap());
    let mut put = Vec::new();
    for round in 0..rounds {
        disk.advance_ms(10);
        let mut session = store.session().unwrap();
        let payload = format!("slow message {round}");
        session.put(slow, &Message::new(payload.as_bytes())).unwrap();
        for _ in 0..8 {
            session.put(fast, &Message::new(&[7; 200])).unwrap();
        }
        session.commit().unwrap();
        let received = reader.receive(100, Duration::ZERO).unwrap();
        let sequences: Vec<u64> = received.iter().map(Received::sequence).collect();
        reader.ack(&sequences).unwrap();
        put.push(payload.into_bytes());
    }
    let all = browse(store, "slow");
    assert!(all.iter().map(|told| &told.4).eq(put.iter()), "{} of {rounds}", all.len());
    all
}

fn browse(store: &Store, queue: &str) -> Vec<Told> {
    let snapshot = store.snapshot().unwrap();
    let queue = store.find_queue(queue).unwrap();
    let (mut all, mut from): (Vec<Told>, u64) = (Vec::new(), 1);
    loop {
        let some = snapshot.browse(queue, from, 7).unwrap();
        let Some(last) = some.last() else { return all };
        from = last.sequence() + 1;
        all.extend(some.iter().map(told));
    }
}

fn take(consumer: &Consumer, max: usize) -> Vec<Told> {
    let some = consumer.receive(max, Duration::ZERO).unwrap();
    some.iter().map(told).collect()
}

#[test]
fn a_slow_queue_does_not_pin_the_disk_and_its_messages_keep_their_positions() {
    let disk = ModelDisk::new();
    let options = small(4 * crate::SEGMENT);
    let store = open(&disk, &options);
    let rounds = 400;
    let all = live(&store, &disk, rounds);
    // 400 rounds fill more than 70 segments of this size, and what is alive fits into 4.
    let kept = segments(&disk);
    assert!(kept <= 16, "{kept} segments are kept");
    let mut bytes = 0;
    store
        .verify(&mut |more| {
            bytes += more;
            Ok(())
        })
        .unwrap();
    assert!(bytes > 0);
    for end in 0..4 {
        let image = match end {
            0 => disk.clone_image(),
            1 => disk.kill(),
            2 => disk.power_cut(Cut::Nothing),
            _ => disk.power_cut(Cut::Random(3)),
        };
        let store = open(&image, &options);
        assert!(browse(&store, "slow") == all, "end {end}");
        let slow = store.find_queue("slow").unwrap();
        let sleeper = store.consumer("sleeper", slow, &ConsumerOptions::default()).unwrap();
        let (first, second) = (take(&sleeper, 150), take(&sleeper, 1_000));
        assert!(first.iter().chain(&second).eq(all.iter()), "end {end}");
        sleeper.ack(&(1..=rounds).step_by(2).collect::<Vec<u64>>()).unwrap();
        drop(sleeper);
        let more = browse(&store, "slow");
        let half: Vec<&Told> = all.iter().filter(|one| one.0 % 2 == 0).collect();
        assert!(
            more.iter().eq(half),
            "end {end}: acknowledged messages are shown, or others are not"
        );
        store.close().unwrap();
    }
}

#[test]
fn moved_messages_are_moved_again_and_a_dead_one_pins_nothing() {
    let disk = ModelDisk::new();
    let options = small(4 * crate::SEGMENT);
    let store = open(&disk, &options);
    let first = live(&store, &disk, 60);
    for _ in 0..6 {
        let fast = store.find_queue("fast").unwrap();
        let reader = store.consumer("reader", fast, &ConsumerOptions::default()).unwrap();
        for _ in 0..60 {
            let many = vec![Message::new(&[9; 400]); 8];
            store.put(fast, &many).unwrap();
            let received = reader.receive(100, Duration::ZERO).unwrap();
            reader.ack(&received.iter().map(Received::sequence).collect::<Vec<u64>>()).unwrap();
        }
        drop(reader);
        assert!(browse(&store, "slow") == first);
        let kept = segments(&disk);
        assert!(kept <= 16, "{kept} segments are kept");
    }
    let oldest = store.metrics().unwrap().pins;
    assert!(oldest.iter().any(|pin| pin.name == "sleeper"), "{oldest:?}");
    let slow = store.find_queue("slow").unwrap();
    let sleeper = store.consumer("sleeper", slow, &ConsumerOptions::default()).unwrap();
    sleeper.ack(&(1..=60).collect::<Vec<u64>>()).unwrap();
    assert_eq!(take(&sleeper, 10), []);
    let pins = store.metrics().unwrap().pins;
    assert!(pins.iter().all(|pin| pin.name != "sleeper"), "{pins:?}");
}

#[test]
fn a_copy_of_a_store_with_moved_messages_has_them() {
    let (disk, copy, back) = (ModelDisk::new(), ModelDisk::new(), ModelDisk::new());
    let options = small(4 * crate::SEGMENT);
    let store = open(&disk, &options);
    let all = live(&store, &disk, 200);
    assert!(segments(&disk) <= 16);
    store.backup_on(&copy).unwrap();
    drop(store);
    repliq::Store::restore_on(&copy, Arc::new(back.clone()), &options).unwrap();
    assert!(browse(&open(&back, &options), "slow") == all);
}

#[test]
fn at_the_quota_what_is_left_in_nearly_dead_segments_makes_room() {
    let disk = ModelDisk::new();
    let quota = 16 * crate::SEGMENT;
    let options = StoreOptions { quota_bytes: quota, ..small(crate::SEGMENT) };
    let store = open(&disk, &options);
    let (slow, fast) = (store.queue("slow").unwrap(), store.queue("fast").unwrap());
    drop(store.consumer("sleeper", slow, &ConsumerOptions::default()).unwrap());
    let reader = store.consumer("reader", fast, &ConsumerOptions::default()).unwrap();
    for round in 0..100_u8 {
        let put = store.put(slow, &[Message::new(&[round; 20])]);
        assert!(put.is_ok(), "round {round}: {put:?}");
        for _ in 0..2 {
            store.put(fast, &[Message::new(&[7; 900])]).unwrap();
        }
        let received = reader.receive(100, Duration::ZERO).unwrap();
        reader.ack(&received.iter().map(Received::sequence).collect::<Vec<u64>>()).unwrap();
    }
    let payloads: Vec<Vec<u8>> = browse(&store, "slow").into_iter().map(|told| told.4).collect();
    assert!(
        payloads.iter().eq((0..100_u8).map(|round| vec![round; 20]).collect::<Vec<_>>().iter())
    );
}

#[test]
fn a_target_added_late_gets_all_of_a_root_that_nobody_consumes() {
    let node = StoreOptions { segment_bytes_max: crate::SEGMENT, ..options() };
    let (from, to) = (Node::with(1, node), Node::new(2));
    let store = from.up();
    let fast = store.queue("fast").unwrap();
    let reader = store.consumer("reader", fast, &ConsumerOptions::default()).unwrap();
    let payloads: Vec<String> = (0..40).map(|number| format!("order {number}")).collect();
    for payload in &payloads {
        from.put("root", std::slice::from_ref(payload)).unwrap();
        store.put(fast, &[Message::new(&[7; 900]), Message::new(&[8; 700])]).unwrap();
        let received = reader.receive(10, Duration::ZERO).unwrap();
        reader.ack(&received.iter().map(Received::sequence).collect::<Vec<u64>>()).unwrap();
    }
    store.reclaim().unwrap();
    let error = ship(&from, &to, &Plan::new("root", "t", "q"), &mut Clock::new());
    assert!(error.is_none(), "{error:?}");
    assert_eq!(to.payloads("q"), payloads);
}

/// The acts of a store that moves messages.
fn acts() -> Vec<Act> {
    let round = || {
        [
            Act::Put("slow", vec![20], Level::Power),
            Act::Put("a", vec![900, 700], Level::Power),
            Act::Consume("a", "reader", 9, 1),
        ]
    };
    let begin = Act::Consume("slow", "sleeper", 0, 1);
    std::iter::once(begin).chain((0..14).flat_map(|_| round())).collect()
}

fn run(client: &mut Client) {
    if !work::open(client, None) {
        return;
    }
    for act in acts() {
        work::act(client, &act);
    }
}

#[test]
fn a_stop_at_every_operation_of_a_move_loses_nothing() {
    let mut whole = Client::new(ModelDisk::new(), small(crate::SEGMENT));
    run(&mut whole);
    assert!(whole.codes.is_empty(), "{:?}", whole.codes);
    let kept = segments(&whole.disk);
    assert!(kept <= 12, "{kept} segments are kept: nothing was moved");
    let (ops, mut runs) = (whole.disk.ops(), 0);
    for at in (1..=ops).step_by(crate::SAMPLE) {
        for mode in [Mode::Once, Mode::Sticky] {
            let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
            client.disk.fail_at(at, libc::EIO, mode);
            run(&mut client);
            client.store = None;
            client.disk.clear_faults();
            for (disk, end) in [
                (client.disk.kill(), End::Kill),
                (client.disk.power_cut(Cut::Nothing), End::Power),
                (client.disk.power_cut(Cut::All), End::Power),
                (client.disk.power_cut(Cut::Random(at)), End::Power),
            ] {
                client.check(&disk, end);
                runs += 1;
            }
        }
    }
    println!("evacuation: {runs} recoveries");
    assert!(runs >= 2_000 / crate::SAMPLE, "only {runs} recoveries");
}
