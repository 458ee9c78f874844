//! What comes before what: priorities, times, keys.

use crate::{NOW, Place, SOON, keyed, take, texts};
use repliq::disk::model::Op;
use repliq::{Code, Message, Port, Rules};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn with(priority: u8, payload: &str) -> Message<'_> {
    Message { priority, ..Message::new(payload.as_bytes()) }
}

#[test]
fn reg_07_the_second_of_a_key_never_starts_before_the_commit_of_the_first() {
    let place = Place::new();
    for (key, payload) in [("K", "K1"), ("K", "K2"), ("L", "L1"), ("", "none"), ("", "none")] {
        place.put(key, payload);
    }
    let (one, two) = (place.open(keyed()), place.open(keyed()));
    let mut session = place.store.session().unwrap();
    // Prefetch and batches change nothing.
    assert_eq!(texts(&session.receive(&one, 100, NOW).unwrap()), ["K1", "L1", "none", "none"]);
    assert_eq!(take(&two, 100), [""; 0]);
    session.commit().unwrap();
    assert_eq!(take(&two, 100), ["K2"]);
}

#[test]
fn reg_07_a_key_is_busy_until_the_commit_is_durable() {
    let place = Place::new();
    place.put("K", "K1");
    place.put("K", "K2");
    let (one, two) = (place.open(keyed()), place.open(keyed()));
    let port = Port::open().unwrap();
    let mut session = place.store.session().unwrap();
    session.receive(&one, 9, NOW).unwrap();
    session.commit_start(&port, 1).unwrap();
    assert_eq!(texts(&two.receive(9, SOON).unwrap()), ["K2"]);
    assert!(port.drain(1, SOON).unwrap()[0].outcome.is_ok());
}

#[test]
fn reg_07_a_batch_may_hold_several_of_a_key_in_order_on_request() {
    let place = Place::new();
    for at in 0..9 {
        place.put(["K", "L", "M"][at % 3], &at.to_string());
    }
    let rules = Rules { per_key: 2, ..keyed() };
    let (one, two) = (place.open(rules), place.open(rules));
    let first = one.receive(4, NOW).unwrap();
    assert_eq!(texts(&first), ["0", "3", "1", "4"]);
    assert_eq!(take(&two, 9), ["2", "5"]);
    // Given back together, they come again in their order.
    one.reject(&[first[0].sequence(), first[1].sequence()]).unwrap();
    assert_eq!(take(&two, 9), ["0", "3"]);
}

#[test]
fn reg_07_a_message_that_waits_for_its_time_does_not_overtake_one_of_its_key_that_is_out() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    place.put("K", "K1");
    let timed = Message { deliver_at_ms: 1_000_500, key: b"K", ..Message::new(b"K2") };
    place.put_one(&timed);
    let worker = place.open(Rules { per_key: 9, ..keyed() });
    assert_eq!(take(&worker, 9), ["K1"]);
    place.disk.advance_ms(1_000);
    assert_eq!(take(&worker, 9), [""; 0]);
    worker.ack(&[1]).unwrap();
    assert_eq!(take(&worker, 9), ["K2"]);
}

#[test]
fn reg_08_what_a_dead_worker_held_comes_before_later_messages_of_its_key() {
    let place = Place::new();
    place.put("K", "K1");
    place.put("K", "K2");
    let (one, two) = (place.open(keyed()), place.open(keyed()));
    assert_eq!(take(&one, 9), ["K1"]);
    drop(one);
    let again = two.receive(9, NOW).unwrap();
    assert_eq!((texts(&again), again[0].deliveries()), (vec!["K1".into()], 2));
    two.ack(&[1]).unwrap();
    assert_eq!(take(&two, 9), ["K2"]);
}

/// What two workers were given of a queue, and what is left of it.
struct Course {
    place: Place,
    workers: [repliq::Consumer; 2],
    random: u64,
    now_ms: u64,
    /// Keys by sequence of what is not acknowledged; 0 for none.
    left: BTreeMap<u64, u64>,
    /// Sequences that are out, and who has them.
    out: Vec<(u64, usize)>,
    put: u64,
    ranked: bool,
}

impl Course {
    fn new(seed: u64) -> Course {
        let place = Place::new();
        place.disk.set_now_ms(1_000_000);
        let workers = [place.open(keyed()), place.open(keyed())];
        let (random, ranked) = (seed, seed.is_multiple_of(3));
        Course {
            place,
            workers,
            random,
            now_ms: 1_000_000,
            left: BTreeMap::new(),
            out: Vec::new(),
            put: 0,
            ranked,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % bound
    }

    fn step(&mut self) {
        match self.below(8) {
            0..=2 => self.put(),
            3 | 4 => self.receive(),
            5 | 6 if !self.out.is_empty() => {
                let at = self.below(self.out.len() as u64) as usize;
                let (sequence, worker) = self.out.swap_remove(at);
                if self.below(4) == 0 {
                    self.workers[worker].reject(&[sequence]).unwrap();
                } else {
                    self.workers[worker].ack(&[sequence]).unwrap();
                    self.left.remove(&sequence);
                }
            }
            _ => self.pass(500),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.place.disk.set_now_ms(self.now_ms);
    }

    fn put(&mut self) {
        for _ in 0..=self.below(4) {
            let key = self.below(6);
            let name = if key == 0 { String::new() } else { key.to_string() };
            let priority = if self.ranked && self.below(5) == 0 { 9 } else { 0 };
            let deliver_at_ms =
                if self.below(6) == 0 { self.now_ms + self.below(2_000) } else { 0 };
            let message =
                Message { key: name.as_bytes(), priority, deliver_at_ms, ..Message::new(b"") };
            self.place.put_one(&message);
            self.put += 1;
            self.left.insert(self.put, key);
        }
    }

    fn receive(&mut self) {
        let (worker, max) = (self.below(2) as usize, 1 + self.below(4) as usize);
        for one in self.workers[worker].receive(max, NOW).unwrap() {
            let sequence = one.sequence();
            let key = self.left[&sequence];
            let oldest = self.left.iter().find(|(_, of)| **of == key).map(|(oldest, _)| *oldest);
            assert!(key == 0 || oldest == Some(sequence), "{sequence} came before {oldest:?}");
            assert!(self.out.iter().all(|(other, _)| *other != sequence), "{sequence} is out");
            self.out.push((sequence, worker));
        }
    }

    /// Works on all that is left.
    fn finish(&mut self) {
        self.pass(10_000);
        for _ in 0..1_000 {
            for (sequence, worker) in std::mem::take(&mut self.out) {
                self.workers[worker].ack(&[sequence]).unwrap();
                self.left.remove(&sequence);
            }
            if self.left.is_empty() {
                return;
            }
            self.receive();
        }
        panic!("{:?} never came", self.left);
    }
}

#[test]
fn in_any_course_a_free_key_gives_its_oldest_message_and_all_come_in_the_end() {
    for seed in 1..=12 {
        println!("seed {seed}");
        let mut course = Course::new(seed);
        (0..150).for_each(|_| course.step());
        course.finish();
    }
}

#[test]
fn reg_16_the_higher_priority_comes_first_and_within_one_the_older() {
    let place = Place::new();
    let clerk = place.open(Rules::default());
    for (priority, payload) in [(0, "a"), (9, "b"), (4, "c"), (9, "d"), (0, "e")] {
        place.put_one(&with(priority, payload));
    }
    assert_eq!(take(&clerk, 3), ["b", "d", "c"]);
    place.put_one(&with(1, "f"));
    assert_eq!(take(&clerk, 1), ["f"]);
    // What comes back keeps its place.
    clerk.reject(&[3, 4]).unwrap();
    assert_eq!(take(&clerk, 9), ["d", "c", "a", "e"]);
    drop(clerk);
    let place = place.killed();
    let clerk = place.open(Rules::default());
    assert_eq!(take(&clerk, 9), ["b", "d", "c", "f", "a", "e"]);
}

#[test]
fn reg_16_priorities_hold_over_a_backlog_larger_than_one_read_and_in_staged_transactions() {
    let place = Place::new();
    let body = vec![b'x'; 9_000];
    let plain = Message { payload: &body, ..Message::default() };
    for _ in 0..10 {
        place.store.put(place.queue, &[plain; 40]).unwrap();
    }
    let mut many = vec![plain; 400];
    many[399] = with(7, "urgent");
    place.store.put(place.queue, &many).unwrap();
    let clerk = place.open(Rules::default());
    assert_eq!(take(&clerk, 1), ["urgent"]);
    let (mut next, mut count) = (1, 0);
    loop {
        let some = clerk.receive(64, NOW).unwrap();
        if some.is_empty() {
            break;
        }
        for one in some {
            assert_eq!(one.sequence(), next);
            (next, count) = (next + 1, count + 1);
        }
    }
    assert_eq!(count, 799);
}

#[test]
fn reg_16_the_order_of_a_key_wins_over_priority() {
    let place = Place::new();
    let record = |priority, key, payload: &'static str| Message {
        key,
        ..Message { priority, ..Message::new(payload.as_bytes()) }
    };
    place.put_one(&record(0, b"K", "K1"));
    place.put_one(&record(9, b"K", "K2"));
    place.put_one(&record(5, b"L", "L1"));
    let worker = place.open(keyed());
    assert_eq!(take(&worker, 9), ["L1", "K1"]);
    worker.ack(&[1]).unwrap();
    assert_eq!(take(&worker, 9), ["K2"]);
}

#[test]
fn reg_17_a_delayed_message_comes_not_before_its_time_and_a_restart_keeps_it() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    let clerk = place.open(Rules::default());
    place.put_one(&Message { deliver_at_ms: 1_005_000, ..Message::new(b"later") });
    place.put("", "now");
    assert_eq!(take(&clerk, 9), ["now"]);
    clerk.ack(&[2]).unwrap();
    place.disk.advance_ms(4_999);
    assert_eq!(take(&clerk, 9), [""; 0]);
    drop(clerk);
    let place = place.killed();
    let clerk = place.open(Rules::default());
    assert_eq!(take(&clerk, 9), [""; 0]);
    place.disk.advance_ms(1);
    let came = clerk.receive(9, NOW).unwrap();
    assert_eq!((texts(&came), came[0].deliveries()), (vec!["later".into()], 1));
    assert_eq!((came[0].deliver_at_ms(), came[0].priority()), (1_005_000, 0));
}

#[test]
fn reg_17_who_waits_is_woken_when_a_time_is_over_in_a_receive_and_on_a_port() {
    let folder = tempfile::tempdir().unwrap();
    let store = repliq::Store::open(folder.path().join("s"), &Default::default()).unwrap();
    let queue = store.queue("q").unwrap();
    let clerk = store.consumer("c", queue, &Default::default()).unwrap();
    let in_ms = |ms: u64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_millis() as u64 + ms
    };
    let begun = Instant::now();
    store.put(queue, &[Message { deliver_at_ms: in_ms(300), ..Message::new(b"1") }]).unwrap();
    assert_eq!(texts(&clerk.receive(1, SOON).unwrap()), ["1"]);
    assert!(begun.elapsed() >= Duration::from_millis(290));
    store.put(queue, &[Message { deliver_at_ms: in_ms(300), ..Message::new(b"2") }]).unwrap();
    let port = Port::open().unwrap();
    clerk.watch(&port, 7).unwrap();
    assert_eq!(port.drain(1, SOON).unwrap().len(), 1);
    assert_eq!(take(&clerk, 1), ["2"]);
}

#[test]
fn reg_28_a_key_with_many_waiting_messages_delays_no_other() {
    let place = Place::new();
    let many: Vec<Message<'_>> =
        (0..1_000).map(|_| Message { key: b"K", ..Message::new(b"K") }).collect();
    for _ in 0..200 {
        place.store.put(place.queue, &many).unwrap();
    }
    let (one, two) = (place.open(keyed()), place.open(keyed()));
    assert_eq!(take(&one, 100), ["K"]);
    assert_eq!(take(&two, 100), [""; 0]);
    let read = || place.disk.bytes(Op::ReadAt);
    let before = read();
    for at in 0..100 {
        place.put(&format!("L{at}"), &at.to_string());
        assert_eq!(take(&two, 100), [at.to_string()]);
    }
    // What waits behind K is not looked at again: it would be some twenty MiB each time. One read is 64 KiB.
    assert!(read() - before < 16 << 20, "{} bytes were read for 100 messages", read() - before);
    one.ack(&[1]).unwrap();
    assert_eq!(take(&two, 100), ["K"]);
}

#[test]
fn reg_29_one_call_reads_the_heads_of_many_keys_and_so_many_of_each() {
    let place = Place::new();
    for at in 0..100 {
        for key in ["a", "b", "c", "d"] {
            place.put(key, &format!("{key}{at}"));
        }
    }
    let worker = place.open(Rules { per_key: 3, ..keyed() });
    let heads = worker.receive(100, NOW).unwrap();
    let mut of: BTreeMap<&[u8], Vec<u64>> = BTreeMap::new();
    heads.iter().for_each(|one| of.entry(one.key()).or_default().push(one.sequence()));
    assert_eq!(of.len(), 4);
    for (at, of) in of.values().enumerate() {
        let first = at as u64 + 1;
        assert_eq!(*of, [first, first + 4, first + 8]);
    }
}

#[test]
fn rules_that_say_nothing_that_can_be_are_refused_and_workers_agree_on_them() {
    let place = Place::new();
    let wrong = [
        Rules { parallel: 1, ..Rules::default() },
        Rules { per_key: 2, shared: true, ..Rules::default() },
        Rules { lease_ms: 9, ..Rules::default() },
        Rules { retry_multiplier: 2, ..Rules::default() },
    ];
    let open = |rules| {
        let options = repliq::ConsumerOptions { rules, ..Default::default() };
        place.store.consumer("worker", place.queue, &options).map(|_| ())
    };
    for rules in wrong {
        assert_eq!(open(rules).unwrap_err().code(), Code::Invalid, "{rules:?}");
    }
    let _one = place.open(keyed());
    assert_eq!(open(Rules::default()).unwrap_err().code(), Code::Busy);
    assert_eq!(open(Rules { lease_ms: 5, ..keyed() }).unwrap_err().code(), Code::Invalid);
    open(keyed()).unwrap();
    let worker = place.open(keyed());
    let mut session = place.store.session().unwrap();
    assert_eq!(session.receive_job(&worker, NOW).unwrap_err().code(), Code::Unsupported);
}
