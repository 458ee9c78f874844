//! Who only looks, beside who writes: what a look shows is what was there at its moment, wherever it stands by now.

use crate::oracle::small;
use repliq::disk::Disk;
use repliq::disk::model::ModelDisk;
use repliq::{
    Code, Consumer, ConsumerOptions, Cost, Message, Password, Queue, Received, Store, StoreOptions,
};
use std::sync::Arc;
use std::time::Duration;

/// Sequence, transaction and payload.
type Told = (u64, u64, Vec<u8>);

fn told(one: &Received) -> Told {
    (one.sequence(), one.transaction(), one.payload().to_vec())
}

/// A store in which one queue waits for ever and much of another comes and goes, so that the first is moved.
struct Writer {
    disk: ModelDisk,
    options: StoreOptions,
    store: Store,
    reader: Consumer,
    slow: Queue,
    fast: Queue,
    round: u64,
}

impl Writer {
    fn new(options: StoreOptions) -> Writer {
        let disk = ModelDisk::new();
        let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
        let (slow, fast) = (store.queue("slow").unwrap(), store.queue("fast").unwrap());
        let rules = ConsumerOptions::default();
        drop(store.consumer("sleeper", slow, &rules).unwrap());
        let reader = store.consumer("reader", fast, &rules).unwrap();
        Writer { disk, options, store, reader, slow, fast, round: 0 }
    }

    fn go_on(&mut self, rounds: u64) {
        for _ in 0..rounds {
            self.round += 1;
            let mut session = self.store.session().unwrap();
            let payload = format!("slow message {}", self.round);
            session.put(self.slow, &Message::new(payload.as_bytes())).unwrap();
            for _ in 0..8 {
                session.put(self.fast, &Message::new(&[7; 200])).unwrap();
            }
            session.commit().unwrap();
            let received = self.reader.receive(100, Duration::ZERO).unwrap();
            self.reader
                .ack(&received.iter().map(Received::sequence).collect::<Vec<u64>>())
                .unwrap();
        }
    }

    fn segments(&self) -> Vec<String> {
        let names = self.disk.list().unwrap();
        names.into_iter().filter(|name| name.ends_with(".seg")).collect()
    }

    /// Goes on until one of these segments was given back.
    fn go_on_until_one_is_gone(&mut self, before: &[String]) {
        for _ in 0..100 {
            self.go_on(2);
            let now = self.segments();
            if before.iter().any(|name| !now.contains(name)) {
                return;
            }
        }
        panic!("nothing was given back");
    }

    fn look(&self) -> Store {
        let options = StoreOptions { read_only: true, ..self.options.clone() };
        Store::open_on(Arc::new(self.disk.clone()), &options).unwrap()
    }

    /// What is to be seen of the slow queue.
    fn all(&self) -> Vec<Told> {
        browse(&self.store, 1, usize::MAX)
    }
}

fn browse(store: &Store, from: u64, max: usize) -> Vec<Told> {
    let snapshot = store.snapshot().unwrap();
    let queue = store.find_queue("slow").unwrap();
    let (mut all, mut from) = (Vec::new(), from);
    while all.len() < max {
        let some = snapshot.browse(queue, from, 7.min(max - all.len())).unwrap();
        let Some(last) = some.last() else { break };
        from = last.sequence() + 1;
        all.extend(some.iter().map(told));
    }
    all
}

fn both() -> [StoreOptions; 2] {
    let plain = small(4 * crate::SEGMENT);
    let password = Some(Password::from("a look beside a writer").at_cost(Cost::LEAST));
    [plain.clone(), StoreOptions { password, ..plain }]
}

#[test]
fn what_is_moved_after_a_look_is_found_where_it_was_moved_to_and_nothing_newer_is() {
    for options in both() {
        let mut writer = Writer::new(options);
        writer.go_on(60);
        let (look, before) = (writer.look(), writer.all());
        let segments = writer.segments();
        writer.go_on_until_one_is_gone(&segments);
        writer.go_on(100);
        let seen = browse(&look, 1, usize::MAX);
        assert!(seen == before, "{seen:?}");
        assert!(browse(&writer.look(), 1, usize::MAX) == writer.all());
        look.verify(&mut |_| Ok(())).unwrap();
    }
}

#[test]
fn a_move_between_any_two_reads_of_a_look_hides_nothing() {
    for options in both() {
        let mut writer = Writer::new(options);
        writer.go_on(24);
        let before = writer.all();
        for read in 0..before.len() {
            let look = writer.look();
            let snapshot = look.snapshot().unwrap();
            let queue = look.find_queue("slow").unwrap();
            let first = snapshot.browse(queue, 1, read).unwrap();
            let segments = writer.segments();
            writer.go_on_until_one_is_gone(&segments);
            let rest = snapshot.browse(queue, read as u64 + 1, 60_000);
            let seen: Vec<Told> = match read {
                0 => rest.unwrap().iter().map(told).collect(),
                _ => first.iter().chain(&rest.unwrap()).map(told).collect(),
            };
            assert!(seen[..before.len()] == before, "after {read}: {seen:?}");
            assert!(seen == browse(&look, 1, usize::MAX), "after {read}, asked again: {seen:?}");
        }
    }
}

#[test]
fn what_is_acknowledged_after_a_look_may_go_and_the_rest_stays() {
    let mut writer = Writer::new(small(4 * crate::SEGMENT));
    writer.go_on(60);
    let (look, before) = (writer.look(), writer.all());
    let sleeper =
        writer.store.consumer("sleeper", writer.slow, &ConsumerOptions::default()).unwrap();
    sleeper.ack(&(1..=60).filter(|at| at % 10 > 0).collect::<Vec<u64>>()).unwrap();
    drop(sleeper);
    writer.go_on(200);
    let seen = browse(&look, 1, usize::MAX);
    let must: Vec<&Told> = before.iter().filter(|one| one.0 % 10 == 0).collect();
    assert!(must.iter().all(|one| seen.contains(one)), "{seen:?}");
    assert!(seen.iter().all(|one| before.contains(one)), "{seen:?}");
}

#[test]
fn a_file_that_is_gone_is_damage_to_a_look_though_somebody_writes() {
    let mut writer = Writer::new(small(4 * crate::SEGMENT));
    writer.go_on(30);
    let look = writer.look();
    // The newest sealed one, which nobody gives back so soon.
    let mut names = writer.segments();
    names.sort_unstable();
    let lost = names[names.len() - 2].clone();
    assert!(writer.disk.remove_file(&lost));
    for written in [false, true] {
        if written {
            writer.store.put(writer.slow, &[Message::new(b"later")]).unwrap();
        }
        let snapshot = look.snapshot().unwrap();
        let queue = look.find_queue("slow").unwrap();
        let mut from = 1;
        let error = loop {
            match snapshot.browse(queue, from, 5) {
                Ok(some) => match some.last() {
                    Some(last) => from = last.sequence() + 1,
                    None => panic!("{lost} is not missed, written: {written}"),
                },
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), Code::Corrupt, "{error}");
    }
}
