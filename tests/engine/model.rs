//! T1: random operations, crashes among them, against a model in memory.

use crate::oracle::{Client, End, observe, small};
use crate::seeds;
use crate::work::{self, Act};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use repliq::disk::Disk;
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{Level, Message, Store, StoreOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A runner for one seed.
fn runner(seed: u64, cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// What cargo calls a test of this file.
fn name_of(test: &str) -> String {
    let binary = match (crate::LEVEL, crate::SAMPLE) {
        (Level::Process, _) => "window",
        (_, 1) => "engine",
        _ => "encryption",
    };
    format!("{binary} model::{test}")
}

/// One random thing to do.
#[derive(Clone, Debug)]
enum Step {
    Act(Act),
    Reject(&'static str, &'static str, usize, u8),
    Choose(&'static str, &'static str, usize, u8),
    RollBack(&'static str, &'static str, usize),
    Produce(&'static str, &'static str, i8, Level),
    Seek(&'static str, &'static str, u8),
    Forget(&'static str, &'static str),
    Kill,
    Cut(u64),
    Wait(u32),
    /// The clock is set: so many years on, or back.
    Jump(i64),
}

const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let queue = prop::sample::select(vec!["a", "b", "c"]);
    let name = prop::sample::select(vec!["one", "two"]);
    let level = prop_oneof![3 => Just(Level::Power), 1 => Just(Level::Process)];
    let lengths = vec(prop_oneof![8 => 0..200_usize, 2 => 200..1500_usize, 1 => Just(5000)], 1..5);
    let at = (queue.clone(), name.clone(), 1..9_usize);
    let step = prop_oneof![
        10 => (queue.clone(), lengths, level.clone())
            .prop_map(|(queue, lengths, level)| Step::Act(Act::Put(queue, lengths, level))),
        3 => at.clone().prop_map(|(queue, name, max)| Step::Act(Act::Consume(queue, name, max, 1))),
        4 => (at.clone(), any::<u8>())
            .prop_map(|((queue, name, max), mask)| Step::Choose(queue, name, max, mask)),
        2 => (at.clone(), any::<u8>())
            .prop_map(|((queue, name, max), mask)| Step::Reject(queue, name, max, mask)),
        1 => at.clone().prop_map(|(queue, name, max)| Step::RollBack(queue, name, max)),
        3 => (at, level.clone()).prop_map(|((queue, name, max), level)| {
            Step::Act(Act::Move(queue, name, max, &["b", "c"], level))
        }),
        2 => (queue.clone(), name.clone(), -1..3_i8, level)
            .prop_map(|(queue, name, off, level)| Step::Produce(queue, name, off, level)),
        1 => (queue.clone(), name.clone(), any::<u8>())
            .prop_map(|(queue, name, at)| Step::Seek(queue, name, at)),
        1 => (queue.clone(), name).prop_map(|(queue, name)| Step::Forget(queue, name)),
        1 => queue.clone().prop_map(|queue| Step::Act(Act::Purge(queue))),
        1 => queue.clone().prop_map(|queue| Step::Act(Act::Pause(queue))),
        2 => queue.clone().prop_map(|queue| Step::Act(Act::Resume(queue))),
        1 => queue.prop_map(|queue| Step::Act(Act::Delete(queue))),
        2 => Just(Step::Act(Act::Reopen)),
        1 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::Cut),
        1 => (0..5000_u32).prop_map(Step::Wait),
        1 => prop::sample::select(vec![-10, -1, 1, 10]).prop_map(Step::Jump),
    ];
    vec(step, 1..40)
}

/// Does a step; without faults it is confirmed unless the queue is paused.
fn take(client: &mut Client, step: &Step) {
    let paused = |client: &Client, queue: &str| {
        client.now().queues.get(queue).is_some_and(|queue| queue.paused)
    };
    let picked = |mask: u8| move |at: usize| mask >> (at % 8) & 1 == 1;
    let (queue, done) = match step {
        Step::Act(act) => {
            let queue = match act {
                Act::Put(queue, ..) | Act::Consume(queue, ..) => *queue,
                Act::Move(from, _, _, to, _) => {
                    let all = [*from].into_iter().chain(to.iter().copied());
                    all.into_iter().find(|queue| paused(client, queue)).unwrap_or(from)
                }
                _ => "",
            };
            (queue, work::act(client, act))
        }
        Step::Choose(queue, name, max, mask) => {
            (*queue, client.consume(queue, name, *max, picked(*mask)))
        }
        Step::Reject(queue, name, max, mask) => {
            (*queue, client.reject(queue, name, *max, picked(*mask)))
        }
        Step::RollBack(queue, name, max) => (*queue, client.roll_back(queue, name, *max)),
        Step::Produce(queue, name, off, level) => {
            let last = client.now().producers.get(*name).copied().unwrap_or(0);
            let sequence = (last + 1).saturating_add_signed(i64::from(*off)).max(1);
            (*queue, client.produce(queue, name, sequence, *level))
        }
        Step::Seek(queue, name, at) => {
            let Some(consumer) = client.consumer(queue, name) else { panic!("{}", client.last) };
            let (purged, next) =
                (client.now().queues[*queue].purged, client.now().queues[*queue].next);
            let sequence = purged + 1 + u64::from(*at) % (next - purged);
            let seek = |model: &mut crate::oracle::Model| model.seek(queue, name, sequence);
            ("", client.change(queue, |_, _| consumer.seek(sequence), seek))
        }
        Step::Forget(queue, name) => {
            assert!(client.consumer(queue, name).is_some(), "{}", client.last);
            let forget = |model: &mut crate::oracle::Model| model.forget(queue, name);
            ("", client.change(queue, |store, queue| store.consumer_delete(name, queue), forget))
        }
        Step::Kill => {
            let disk = client.disk.kill();
            ("", client.go_on(disk, End::Kill))
        }
        Step::Cut(seed) => {
            let disk = client.disk.power_cut(Cut::Random(*seed));
            ("", client.go_on(disk, End::Power))
        }
        Step::Wait(ms) => {
            client.disk.advance_ms(u64::from(*ms));
            ("", true)
        }
        Step::Jump(years) => {
            client.disk.set_now_ms(client.disk.now_ms().saturating_add_signed(years * YEAR_MS));
            ("", true)
        }
    };
    // An empty receive of a session commits nothing, so a paused target of it is not met.
    assert!(done || paused(client, queue), "{step:?}: {}", client.last);
    if !client.is_durable() {
        return;
    }
    let seen = observe(client.store.as_ref().unwrap()).unwrap();
    assert!(seen.fits(client.now()), "{step:?}: {seen:#?}\nmust be {:#?}", client.now());
}

#[test]
fn a_store_does_what_its_model_does() {
    let steps_taken = AtomicUsize::new(0);
    let tier = match (crate::LEVEL, crate::SAMPLE) {
        (Level::Process, _) => "T1 model, mapped",
        (_, 1) => "T1 model",
        _ => "T1 model, encrypted",
    };
    // Two hundred runs of a seed.
    let count = if crate::SAMPLE == 1 { 50 } else { 40 };
    seeds::run(tier, &name_of("a_store_does_what_its_model_does"), count, |seed| {
        let outcome = runner(seed, 200).run(&(steps(), 0..3_u32), |(steps, class)| {
            let options = StoreOptions { segment_bytes_max: 4096 << (2 * class), ..small(4096) };
            let mut client = Client::new(ModelDisk::new(), options);
            assert!(client.open());
            for step in &steps {
                take(&mut client, step);
            }
            steps_taken.fetch_add(steps.len(), Ordering::Relaxed);
            client.check(&client.disk.power_cut(Cut::Random(steps.len() as u64)), End::Power);
            Ok(())
        });
        outcome.unwrap();
        200
    });
    println!("T1, stores: {} steps", steps_taken.into_inner());
}

#[test]
fn every_field_of_a_message_comes_back_as_it_was_put() {
    let name = "[a-z]{1,20}";
    let bytes = || vec(any::<u8>(), 0..300);
    let numbers = (any::<u16>(), 0..10_u8, any::<u64>(), 0..u64::MAX / 2);
    let fields = (numbers, bytes(), vec((name, bytes()), 0..4), bytes(), name);
    let test = name_of("every_field_of_a_message_comes_back_as_it_was_put");
    seeds::run("T1 fields", &test, 10, |seed| {
        runner(seed, 1_000).run(&fields, field_by_field).unwrap();
        1_000
    });
}

/// Kind, priority, delivery time and how long it lives behind the half of all times; key, headers, payload, producer.
type Fields = ((u16, u8, u64, u64), Vec<u8>, Vec<(String, Vec<u8>)>, Vec<u8>, String);

fn field_by_field(fields: Fields) -> Result<(), TestCaseError> {
    let ((kind, priority, deliver_at_ms, lives), key, headers, payload, producer) = fields;
    let expires_ms = u64::MAX / 2 + lives;
    let headers: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    let message = Message {
        kind,
        key: &key,
        headers: &headers,
        payload: &payload,
        expires_ms,
        deliver_at_ms,
        priority,
        producer: &producer,
        producer_sequence: 1,
    };
    let disk = ModelDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), &small(4096)).unwrap();
    let queue = store.queue("q").unwrap();
    store.put_at(queue, &[message], Level::Power).unwrap();
    let cut = disk.power_cut(Cut::Nothing);
    let store = Store::open_on(Arc::new(cut), &small(4096)).unwrap();
    let got = store.snapshot().unwrap().browse(queue, 1, 9).unwrap();
    let one = &got[0];
    prop_assert_eq!((one.kind(), one.key(), one.payload()), (kind, &key[..], &payload[..]));
    prop_assert_eq!(one.headers().collect::<Vec<_>>(), headers);
    prop_assert_eq!((one.producer(), one.producer_sequence()), (&producer[..], 1));
    prop_assert_eq!(one.expires_ms(), expires_ms);
    prop_assert_eq!((one.priority(), one.deliver_at_ms()), (priority, deliver_at_ms));
    Ok(())
}
