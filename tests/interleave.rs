//! T8: interleavings. A few threads on one store, on the model disk; a scheduler runs one of them at a time and
//! chooses at each lock, atomic, wait and wake-up who goes on, from a seed. Half of the schedules choose evenly, half
//! by priorities that change at a few places, which finds what needs few but special switches.
//!
//! A wake-up that got lost is a deadlock here, and told: time does not pass (`src/sync/stepped.rs`). What a schedule
//! cannot show is the reordering of relaxed atomics: they are all sequential here.

#![allow(clippy::unwrap_used, unsafe_code)]

#[allow(dead_code)] // The faces of the library use the rest.
#[path = "../src/capi/handle.rs"]
mod handle;
#[path = "interleave/handles.rs"]
mod handles;
#[path = "seeds/mod.rs"]
mod seeds;
#[allow(dead_code)] // The engine uses the rest.
#[path = "../src/sync/stepped.rs"]
mod stepped;

/// What `handle.rs` sees of the library around it.
mod sync {
    pub(crate) use crate::stepped::{Condvar, Mutex};
    pub(crate) use shuttle::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    pub(crate) use shuttle::thread;
}

mod boundary {
    pub fn entered() {}

    pub fn is_nested() -> bool {
        false
    }
}

mod limits {
    pub const HANDLES_MAX: usize = 1_024;
}

mod disk {
    /// Nobody forks here.
    pub struct Birth;

    impl Birth {
        pub fn now() -> Birth {
            Birth
        }

        pub fn from_number(_: u32) -> Birth {
            Birth
        }

        pub fn number(&self) -> u32 {
            1
        }

        pub fn here(&self) -> bool {
            true
        }
    }
}

mod error {
    pub use repliq::Code;

    pub type Result<T> = std::result::Result<T, Error>;

    #[derive(Debug)]
    pub struct Error {
        code: Code,
        text: String,
    }

    impl Error {
        pub fn new(code: Code, text: impl Into<String>) -> Error {
            Error { code, text: text.into() }
        }

        pub fn code(&self) -> Code {
            assert!(!self.text.is_empty());
            self.code
        }
    }
}

use handles::{alone, refused, shared};
use repliq::disk::model::{Cut, Mode, ModelDisk};
use repliq::{
    Code, Consumer, ConsumerOptions, Level, Message, Port, Queue, Result, Store, StoreOptions,
};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner, thread};
use std::sync::Arc;
use std::time::Duration;

/// Schedules of one seed and one way of choosing.
const SCHEDULES: usize = 100;
/// Longer than any test: a wait of this length ends with a wake-up or not at all.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);
const AT_ONCE: Duration = Duration::ZERO;

/// One scheduler is at work at a time: what the tables of the library hold belongs to the process, and two schedulers
/// would step through the same locks.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn steps(seed: u64, test: fn()) -> u64 {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.stack_size = 512 << 10;
        config.silence_warnings = true;
        config.failure_persistence = FailurePersistence::None;
        config.max_steps = MaxSteps::FailAfter(3_000_000);
        Runner::new(scheduler, config).run(test) as u64
    };
    let even = RandomScheduler::new_from_seed(seed, SCHEDULES);
    let by_priority = PctScheduler::new_from_seed(seed, 3, SCHEDULES);
    run(Box::new(even)) + run(Box::new(by_priority))
}

/// Names the test twice, for the ladder and for the run.
macro_rules! interleaved {
    ($($name:ident: $small:literal, $body:ident;)*) => {$(
        #[test]
        fn $name() {
            let test = concat!("interleave ", stringify!($name));
            let tier = concat!("T8 ", stringify!($body));
            seeds::run(tier, test, $small, |seed| steps(seed, $body));
        }
    )*};
}

interleaved! {
    what_a_commit_confirmed_is_durable_whoever_led_the_sync: 6, crowd;
    a_failed_sync_reaches_everybody_and_confirms_nothing: 6, poison;
    a_receiver_that_waits_is_woken_by_every_put: 6, receivers;
    each_commit_of_a_port_gives_one_event_also_while_the_store_closes: 6, port;
    rolls_and_a_helper_lose_nothing_and_block_nobody: 3, rolls;
    commits_through_the_window_and_synced_ones_keep_their_order: 6, levels;
    sessions_that_take_the_same_message_take_it_once: 6, sessions;
    a_close_waits_for_nobody_and_loses_nothing_confirmed: 6, close;
    an_object_is_there_as_long_as_somebody_is_inside: 6, shared;
    an_object_of_one_thread_has_one_inside: 6, alone;
    a_close_that_is_refused_leaves_the_handle_open: 6, refused;
}

fn options(helper: bool) -> StoreOptions {
    StoreOptions { segment_bytes: 4096, segment_bytes_max: 4096, helper, ..StoreOptions::default() }
}

fn open(disk: &ModelDisk, helper: bool) -> (Store, Queue) {
    let store = Store::open_on(Arc::new(disk.clone()), &options(helper)).unwrap();
    let queue = store.queue("q").unwrap();
    (store, queue)
}

fn put(store: &Store, queue: Queue, text: &str, level: Level) -> Result<repliq::Commit> {
    store.put_at(queue, &[Message::new(text.as_bytes())], level)
}

/// What a store made of this image holds.
fn held(disk: ModelDisk) -> Vec<String> {
    let store = Store::open_on(Arc::new(disk), &options(false)).unwrap();
    let Ok(queue) = store.find_queue("q") else { return Vec::new() };
    let all = store.snapshot().unwrap().browse(queue, 1, 10_000).unwrap();
    all.iter().map(|one| String::from_utf8(one.payload().to_vec()).unwrap()).collect()
}

/// Threads that end with what they were told.
fn together<T: Send + 'static>(calls: Vec<Box<dyn FnOnce() -> T + Send>>) -> Vec<T> {
    let threads: Vec<_> = calls.into_iter().map(thread::spawn).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn crowd() {
    let disk = ModelDisk::new();
    let (store, queue) = open(&disk, false);
    let calls = (0..3).map(|who| {
        let (store, disk) = (store.clone(), disk.clone());
        let call = move || {
            let mut images = Vec::new();
            for number in 0..2 {
                let text = format!("{who}.{number}");
                put(&store, queue, &text, Level::Power).unwrap();
                images.push((text, disk.clone_image()));
            }
            images
        };
        Box::new(call) as Box<dyn FnOnce() -> Vec<(String, ModelDisk)> + Send>
    });
    for (text, image) in together(calls.collect()).into_iter().flatten() {
        let there = held(image.power_cut(Cut::Nothing));
        assert!(there.contains(&text), "{text} was confirmed, and {there:?} survived");
    }
    store.close().unwrap();
    assert_eq!(held(disk.clone_image()).len(), 6);
}

fn poison() {
    let disk = ModelDisk::new();
    let (store, queue) = open(&disk, false);
    put(&store, queue, "before", Level::Power).unwrap();
    // The next operation is the write or the sync of the first group, whichever thread leads it.
    disk.fail_at(disk.ops() + 2, libc::EIO, Mode::Once);
    let calls = (0..3).map(|who| {
        let store = store.clone();
        let call = move || {
            let one = |_| put(&store, queue, &format!("{who}"), Level::Power);
            (0..2).map(one).map(|one| one.map(|_| ()).map_err(|error| error.code())).collect()
        };
        Box::new(call) as Box<dyn FnOnce() -> Vec<std::result::Result<(), Code>> + Send>
    });
    let mut failed = 0;
    for outcome in together(calls.collect()).into_iter().flatten() {
        let expected = [Ok(()), Err(Code::OutcomeUnknown), Err(Code::Poisoned)];
        assert!(expected.contains(&outcome), "{outcome:?}");
        failed += usize::from(outcome.is_err());
    }
    assert!(failed > 0, "the disk failed and nobody was told");
    let after = put(&store, queue, "after", Level::Power).unwrap_err();
    assert_eq!(after.code(), Code::Poisoned);
    assert!(held(disk.clone_image().power_cut(Cut::Nothing)).contains(&"before".to_string()));
}

fn consumer(store: &Store, queue: Queue, name: &str) -> Consumer {
    store.consumer(name, queue, &ConsumerOptions::default()).unwrap()
}

fn receivers() {
    let disk = ModelDisk::new();
    let (store, queue) = open(&disk, false);
    let mut calls: Vec<Box<dyn FnOnce() -> usize + Send>> = Vec::new();
    for name in ["a", "b"] {
        let consumer = consumer(&store, queue, name);
        calls.push(Box::new(move || {
            let mut got = 0;
            while got < 3 {
                let some = consumer.receive(3, FOR_EVER).unwrap();
                assert!(!some.is_empty(), "a wait for ever ended with nothing");
                got += some.len();
                let sequences: Vec<u64> = some.iter().map(|one| one.sequence()).collect();
                consumer.ack(&sequences).unwrap();
            }
            got
        }));
    }
    let putter = store.clone();
    calls.push(Box::new(move || {
        for (number, level) in [Level::Power, Level::Process, Level::Power].into_iter().enumerate()
        {
            put(&putter, queue, &format!("{number}"), level).unwrap();
        }
        3
    }));
    assert_eq!(together(calls), [3, 3, 3]);
    store.close().unwrap();
}

fn port() {
    let disk = ModelDisk::new();
    let (store, queue) = open(&disk, true);
    let port = Port::open().unwrap();
    let starter = {
        let (store, port) = (store.clone(), port.clone());
        thread::spawn(move || {
            let mut started = 0;
            for tag in 0..3 {
                let text = format!("{tag}");
                let message = [Message::new(text.as_bytes())];
                match store.put_start(queue, &message, &port, tag) {
                    Ok(()) => started += 1,
                    Err(error) => assert_eq!(error.code(), Code::Closed, "{error}"),
                }
            }
            started
        })
    };
    let closer = {
        let store = store.clone();
        thread::spawn(move || store.close().unwrap())
    };
    let mut confirmed = Vec::new();
    let mut events = 0;
    for _ in 0..2 {
        for event in port.drain(2, AT_ONCE).unwrap() {
            events += 1;
            confirmed.extend(event.outcome.is_ok().then_some(event.tag));
        }
        thread::yield_now();
    }
    let started = starter.join().unwrap();
    closer.join().unwrap();
    while events < started {
        let some = port.drain(8, FOR_EVER).unwrap();
        assert!(!some.is_empty(), "{events} events of {started} operations");
        events += some.len();
        confirmed.extend(some.iter().filter(|one| one.outcome.is_ok()).map(|one| one.tag));
    }
    assert!(port.drain(8, AT_ONCE).unwrap().is_empty(), "more events than operations");
    let there = held(disk.clone_image().power_cut(Cut::Nothing));
    for tag in confirmed {
        assert!(there.contains(&format!("{tag}")), "{tag} was confirmed, and {there:?} is there");
    }
}

fn rolls() {
    let disk = ModelDisk::new();
    let (store, queue) = open(&disk, true);
    let reader = consumer(&store, queue, "c");
    let mut calls: Vec<Box<dyn FnOnce() -> usize + Send>> = Vec::new();
    for who in 0..2 {
        let store = store.clone();
        calls.push(Box::new(move || {
            for number in 0..4 {
                let text = format!("{who}.{number}:{}", "x".repeat(1500));
                let level = if number % 2 == 0 { Level::Power } else { Level::Process };
                put(&store, queue, &text, level).unwrap();
            }
            4
        }));
    }
    calls.push(Box::new(move || {
        let (mut got, mut last) = (0, [-1, -1]);
        while got < 8 {
            let some = reader.receive(8, FOR_EVER).unwrap();
            for one in &some {
                let text = std::str::from_utf8(one.payload()).unwrap();
                let (who, rest) = text.split_once('.').unwrap();
                let number: i32 = rest.split(':').next().unwrap().parse().unwrap();
                let before = &mut last[who.parse::<usize>().unwrap()];
                assert_eq!(number, *before + 1, "{who}.{number} behind {before}");
                *before = number;
            }
            got += some.len();
            let sequences: Vec<u64> = some.iter().map(|one| one.sequence()).collect();
            reader.ack(&sequences).unwrap();
        }
        got
    }));
    assert_eq!(together(calls), [4, 4, 8]);
    store.close().unwrap();
    assert!(held(disk.clone_image()).is_empty(), "all of it was acknowledged");
}

/// A put that was confirmed: its payload, its position, and what a crash right behind it leaves.
type Told = (String, repliq::Position, ModelDisk);

fn levels() {
    let disk = ModelDisk::new();
    disk.set_mappable(true);
    let mapped = StoreOptions { level: Level::Process, ..options(false) };
    let store = Store::open_on(Arc::new(disk.clone()), &mapped).unwrap();
    let queue = store.queue("q").unwrap();
    let calls = [Level::Process, Level::Power, Level::Process].into_iter().enumerate();
    let calls = calls.map(|(who, level)| {
        let (store, disk) = (store.clone(), disk.clone());
        let call = move || {
            let mut images = Vec::new();
            for number in 0..2 {
                let text = format!("{who}.{number}");
                let position = put(&store, queue, &text, level).unwrap().token.position();
                let image = disk.clone_image();
                let image = match level {
                    Level::Process => image.kill(),
                    _ => image.power_cut(Cut::Nothing),
                };
                images.push((text, position, image));
            }
            images
        };
        Box::new(call) as Box<dyn FnOnce() -> Vec<Told> + Send>
    });
    let mut told: Vec<Told> = together(calls.collect()).into_iter().flatten().collect();
    told.sort_by_key(|(_, position, _)| *position);
    let order: Vec<String> = told.iter().map(|(text, ..)| text.clone()).collect();
    for (text, _, image) in told {
        let there = held(image);
        assert!(there.contains(&text), "{text} was confirmed, and {there:?} survived");
        assert_eq!(there, order[..there.len()], "positions and messages differ");
    }
    store.close().unwrap();
}

fn sessions() {
    let disk = ModelDisk::new();
    let (store, queue) = open(&disk, false);
    for text in ["a", "b"] {
        put(&store, queue, text, Level::Power).unwrap();
    }
    let reader = Arc::new(consumer(&store, queue, "c"));
    let calls = (0..2).map(|who| {
        let (store, reader) = (store.clone(), reader.clone());
        let call = move || {
            let mut session = store.session().unwrap();
            let mut taken = Vec::new();
            for _ in 0..2 {
                let some = session.receive(&reader, 1, AT_ONCE).unwrap();
                let text = format!("taken by {who}");
                for one in &some {
                    session.put(queue, &Message::new(text.as_bytes())).unwrap();
                    taken.push(String::from_utf8(one.payload().to_vec()).unwrap());
                }
                session.commit().unwrap();
            }
            taken
        };
        Box::new(call) as Box<dyn FnOnce() -> Vec<String> + Send>
    });
    let mut taken: Vec<String> = together(calls.collect()).into_iter().flatten().collect();
    taken.sort();
    let fresh = taken.iter().filter(|text| text.len() == 1).count();
    taken.retain(|text| text.len() == 1);
    taken.dedup();
    assert_eq!(taken.len(), fresh, "a message was taken twice");
    store.close().unwrap();
}

fn close() {
    let disk = ModelDisk::new();
    let (store, queue) = open(&disk, true);
    let waiting = consumer(&store, queue, "c");
    let receiver = thread::spawn(move || {
        loop {
            match waiting.receive(1, FOR_EVER) {
                Ok(_) => {}
                Err(error) => return error.code(),
            }
        }
    });
    let putter = {
        let store = store.clone();
        thread::spawn(move || {
            let mut confirmed = Vec::new();
            for number in 0..3 {
                let text = format!("{number}");
                match put(&store, queue, &text, Level::Power) {
                    Ok(_) => confirmed.push(text),
                    Err(error) => assert_eq!(error.code(), Code::Closed, "{error}"),
                }
            }
            confirmed
        })
    };
    store.close().unwrap();
    let confirmed = putter.join().unwrap();
    assert_eq!(receiver.join().unwrap(), Code::Closed);
    let there = held(disk.clone_image().power_cut(Cut::Nothing));
    assert_eq!(there[..confirmed.len()], confirmed[..], "confirmed, and what is there");
}
