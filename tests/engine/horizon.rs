//! What others see, by the horizon of the store: what is durable, or what is published.
//!
//! The tiers of chance take lives with either horizon (`chance`); here are the single promises.

use crate::oracle::small;
use crate::world::{Clock, Link, Node, Plan, ROOT, options, ship};
use repliq::disk::model::{Cut, ModelDisk, Op};
use repliq::replicate::received;
use repliq::{Code, Commit, Consumer, ConsumerOptions, Level, Message, Store, StoreOptions, Token};
use std::sync::Arc;
use std::time::Duration;

fn opened(disk: &ModelDisk, horizon: Level) -> Store {
    let options = StoreOptions { level: Level::Process, horizon, ..small(16 << 10) };
    Store::open_on(Arc::new(disk.clone()), &options).unwrap()
}

fn put(store: &Store, payload: &str, level: Level) -> Commit {
    let queue = store.queue("q").unwrap();
    store.put_at(queue, &[Message::new(payload.as_bytes())], level).unwrap()
}

fn consumer(store: &Store) -> Consumer {
    let queue = store.queue("q").unwrap();
    store.consumer("c", queue, &ConsumerOptions::default()).unwrap()
}

/// Everything there is to be received.
fn receive(consumer: &Consumer) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let got = consumer.receive(100, Duration::from_millis(1)).unwrap();
        if got.is_empty() {
            return all;
        }
        all.extend(got.iter().map(|one| String::from_utf8(one.payload().to_vec()).unwrap()));
    }
}

fn waited(store: &Store, token: Token) -> Code {
    store.wait("", &[token], Duration::ZERO).map_or_else(|error| error.code(), |()| Code::Ok)
}

#[test]
fn a_receive_makes_no_sync_where_the_horizon_is_the_process_and_one_where_it_is_not() {
    for (horizon, syncs) in [(Level::Process, 0), (Level::Power, 1)] {
        let disk = ModelDisk::new();
        let store = opened(&disk, horizon);
        let consumer = consumer(&store);
        put(&store, "first", Level::Power);
        assert_eq!(receive(&consumer), ["first"]);
        let before = disk.calls(Op::Sync);
        let token = put(&store, "second", Level::Process).token;
        assert_eq!(receive(&consumer), ["second"]);
        assert_eq!(waited(&store, token), Code::Ok);
        assert_eq!(disk.calls(Op::Sync) - before, syncs, "{horizon:?}");
    }
}

#[test]
fn what_was_seen_is_lost_by_a_power_cut_under_that_name_alone_and_its_position_means_nothing_else()
{
    for horizon in [Level::Process, Level::Power] {
        let disk = ModelDisk::new();
        let store = opened(&disk, horizon);
        let reader = consumer(&store);
        let kept = put(&store, "kept", Level::Power).token;
        let seen = put(&store, "seen", Level::Process).token;
        assert_eq!(receive(&reader), ["kept", "seen"]);
        let (killed, cut) = (disk.kill(), disk.power_cut(Cut::Nothing));
        let after = opened(&killed, Level::Power);
        assert_eq!(receive(&consumer(&after)), ["kept", "seen"], "after a kill");
        assert_eq!([waited(&after, kept), waited(&after, seen)], [Code::Ok; 2]);
        let after = opened(&cut, Level::Power);
        assert_eq!(waited(&after, kept), Code::Ok);
        let all = receive(&consumer(&after));
        if horizon == Level::Power {
            assert_eq!(all, ["kept", "seen"]);
            assert_eq!(waited(&after, seen), Code::Ok);
            continue;
        }
        assert_eq!(all, ["kept"], "nothing but the first was synced");
        assert_eq!(waited(&after, seen), Code::NotFound);
        let next = put(&after, "next", Level::Power).token;
        assert_ne!(next.position(), seen.position());
        assert!(next.position().epoch > seen.position().epoch, "{next} and {seen}");
        assert_eq!(waited(&after, seen), Code::NotFound);
    }
}

#[test]
fn a_commit_that_asks_for_the_power_still_gets_its_sync() {
    let disk = ModelDisk::new();
    let store = opened(&disk, Level::Process);
    put(&store, "first", Level::Process);
    let token = put(&store, "second", Level::Power).token;
    let after = opened(&disk.power_cut(Cut::Nothing), Level::Process);
    assert_eq!(receive(&consumer(&after)), ["first", "second"]);
    assert_eq!(waited(&after, token), Code::Ok);
}

fn node(seed: u64, horizon: Level) -> Node {
    // A sealed segment would be synced with the next commit.
    let segment_bytes = 16 << 10;
    Node::with(seed, StoreOptions { level: Level::Process, horizon, segment_bytes, ..options() })
}

fn texts(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("message {n}")).collect()
}

#[test]
fn a_receiver_that_lost_what_it_confirmed_gets_it_again_once() {
    let plan = Plan::new(ROOT, "target", "there");
    let (from, mut to) = (node(1, Level::Power), node(2, Level::Process));
    let mut clock = Clock::new();
    for at in 0..6 {
        from.put(ROOT, &texts(2 * at, 2 * at + 2)).unwrap();
        assert!(ship(&from, &to, &plan, &mut clock).is_none());
    }
    assert_eq!(to.payloads("there"), texts(0, 12));
    let status: serde_json::Value = serde_json::from_str(&from.up().status().unwrap()).unwrap();
    let confirmed = status["targets"][0]["position"].as_u64().unwrap();
    to.power_cut(Cut::Nothing);
    to.start().unwrap();
    let stamp = received(to.up()).first().map_or(0, |row| row.1);
    assert!(stamp < confirmed, "nothing that was confirmed was lost: {stamp} of {confirmed}");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads("there"), texts(0, 12));
}

#[test]
fn a_target_that_has_what_its_sender_lost_keeps_it_and_goes_on_behind_it() {
    let plan = Plan::new(ROOT, "target", "there");
    let (mut from, to) = (node(1, Level::Process), node(2, Level::Power));
    let mut clock = Clock::new();
    from.put(ROOT, &texts(0, 2)).unwrap();
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    let lost = from.put(ROOT, &texts(2, 5)).unwrap().token;
    // The clock stands still, so the sender does not note how far the target is.
    while to.payloads("there").len() < 5 {
        assert!(link.speak(clock.now) | link.deliver(clock.now), "nothing is shipped");
    }
    from.power_cut(Cut::Nothing);
    drop(link);
    from.start().unwrap();
    assert!(from.payloads(ROOT).len() < 5, "nothing was lost");
    assert_eq!(waited(from.up(), lost), Code::NotFound);
    from.put(ROOT, &texts(5, 7)).unwrap();
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let there = to.payloads("there");
    assert_eq!(there[..5], texts(0, 5), "what a target has it keeps");
    assert_eq!(there[there.len() - 2..], texts(5, 7));
    assert!(received(to.up())[0].2.iter().any(|count| *count > 0), "the orphans are counted");
}
