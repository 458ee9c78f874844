//! The rest of a key behind a dead letter, and dead letters that are put back.

use crate::{NOW, Place, SOON, keyed, take, texts};
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{Code, Consumer, Hold, Message, Queue, RedriveOptions, Redriven, Rules};
use std::collections::BTreeMap;

const ALL: RedriveOptions = RedriveOptions { max: 0, drop: false };
const DROP: RedriveOptions = RedriveOptions { max: 0, drop: true };

/// Workers that give a message up after its first failure.
fn strict(place: &Place, after_dead_letter: Hold) -> (Queue, Rules) {
    let dead = place.store.queue("dead").unwrap();
    (dead, Rules { max_deliveries: 1, dead_letters: Some(dead), after_dead_letter, ..keyed() })
}

fn soon(worker: &Consumer) -> Vec<String> {
    texts(&worker.receive(9, SOON).unwrap())
}

/// Takes one message, which fails for good.
fn fail(worker: &Consumer, payload: &str) {
    let got = worker.receive(1, SOON).unwrap();
    assert_eq!(texts(&got), [payload]);
    worker.reject_with(&[got[0].sequence()], None, "no").unwrap();
    // The next receive moves it.
    assert_eq!(take(worker, 9), [""; 0]);
}

fn done(redriven: &Redriven) -> (u64, usize) {
    (redriven.done, redriven.refused.len())
}

#[test]
fn reg_14_block_holds_the_rest_of_the_key_over_reopens_until_its_letter_is_back_in_place() {
    let mut place = Place::new();
    ["K1", "K2", "K3"].iter().for_each(|payload| place.put("K", payload));
    let (_, rules) = strict(&place, Hold::Block);
    let worker = place.open(rules);
    fail(&worker, "K1");
    place.put("L", "L1");
    assert_eq!(soon(&worker), ["L1"], "other keys go on");
    worker.ack(&[4]).unwrap();
    drop(worker);
    for cut in [None, Some(Cut::Nothing)] {
        place = match cut {
            None => place.killed(),
            Some(cut) => Place::on(place.disk.power_cut(cut)),
        };
        let (_, rules) = strict(&place, Hold::Block);
        assert_eq!(take(&place.open(rules), 9), [""; 0], "it waits");
    }
    let (dead, rules) = strict(&place, Hold::Block);
    let worker = place.open(rules);
    assert_eq!(take(&worker, 9), [""; 0]);
    assert_eq!(done(&place.own.redrive(dead, &ALL).unwrap()), (1, 0));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let got = worker.receive(9, SOON).unwrap();
        seen.extend(texts(&got));
        worker.ack(&[got[0].sequence()]).unwrap();
    }
    assert_eq!(seen, ["K1", "K2", "K3"]);
    assert_eq!(done(&place.own.redrive(dead, &ALL).unwrap()), (0, 0), "once");
}

#[test]
fn reg_14_what_is_put_back_keeps_its_place_over_a_kill_and_when_it_fails_again() {
    let place = Place::new();
    ["K1", "K2"].iter().for_each(|payload| place.put("K", payload));
    let (dead, rules) = strict(&place, Hold::Block);
    let worker = place.open(rules);
    fail(&worker, "K1");
    place.own.redrive(dead, &ALL).unwrap();
    assert_eq!(soon(&worker), ["K1"]);
    std::mem::forget(worker);
    let place = place.killed();
    let (dead, rules) = strict(&place, Hold::Block);
    // It was out when the process ended, and so it is given up again.
    let worker = place.open(rules);
    assert_eq!(take(&worker, 9), [""; 0]);
    let letters = place.store.snapshot().unwrap().browse(dead, 2, 9).unwrap();
    let origin = letters[0].headers().find(|(name, _)| *name == "repliq-origin").unwrap();
    assert_eq!(origin.1, format!("{}/1", place.queue.number()).as_bytes(), "its first place");
    place.own.redrive(dead, &ALL).unwrap();
    let got = worker.receive(9, SOON).unwrap();
    assert_eq!(texts(&got), ["K1"]);
    worker.ack(&[got[0].sequence()]).unwrap();
    assert_eq!(soon(&worker), ["K2"]);
}

#[test]
fn reg_14_letters_outlast_state_runs() {
    let place = Place::new();
    ["K1", "K2"].iter().for_each(|payload| place.put("K", payload));
    ["L1", "L2"].iter().for_each(|payload| place.put("L", payload));
    let (dead, rules) = strict(&place, Hold::Block);
    let worker = place.open(rules);
    assert_eq!(soon(&worker), ["K1", "L1"]);
    worker.reject(&[1, 3]).unwrap();
    assert_eq!(take(&worker, 9), [""; 0]);
    // One is back, and one is a letter still.
    let one = RedriveOptions { max: 1, drop: false };
    place.own.redrive(dead, &one).unwrap();
    let filler = place.store.queue("filler").unwrap();
    for _ in 0..100 {
        place.store.put(filler, &[Message::new(&[0; 20_000])]).unwrap();
    }
    std::mem::forget(worker);
    let place = place.killed();
    let (dead, rules) = strict(&place, Hold::Block);
    let worker = place.open(rules);
    let got = worker.receive(9, SOON).unwrap();
    assert_eq!(texts(&got), ["K1"], "and nothing of L");
    worker.ack(&[got[0].sequence()]).unwrap();
    assert_eq!(soon(&worker), ["K2"]);
    assert_eq!(done(&place.own.redrive(dead, &ALL).unwrap()), (1, 0));
    assert_eq!(soon(&worker), ["L1"]);
}

#[test]
fn reg_14_park_moves_the_rest_of_the_key_and_all_of_it_comes_back_in_order() {
    let place = Place::new();
    (1..=5).for_each(|at| place.put("K", &format!("K{at}")));
    let (dead, rules) = strict(&place, Hold::Park);
    let worker = place.open(rules);
    fail(&worker, "K1");
    while place.store.snapshot().unwrap().browse(dead, 1, 9).unwrap().len() < 5 {
        assert_eq!(take(&worker, 9), [""; 0]);
    }
    // One after the other, with a new one meanwhile.
    let one = RedriveOptions { max: 1, drop: false };
    assert_eq!(done(&place.own.redrive(dead, &one).unwrap()), (1, 0));
    place.put("K", "K6");
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let got = worker.receive(9, std::time::Duration::from_millis(50)).unwrap();
        seen.extend(texts(&got));
        got.iter().for_each(|one| _ = worker.ack(&[one.sequence()]).unwrap());
        place.own.redrive(dead, &one).unwrap();
    }
    assert_eq!(seen, ["K1", "K2", "K3", "K4", "K5", "K6"]);
}

#[test]
fn reg_14_skip_lets_the_rest_go_on_and_a_letter_is_refused_once_something_newer_was_applied() {
    let place = Place::new();
    for key in ["K", "L"] {
        ["1", "2"].iter().for_each(|at| place.put(key, &format!("{key}{at}")));
    }
    let worker = place.open(rules_of(&place));
    assert_eq!(soon(&worker), ["K1", "L1"]);
    worker.reject(&[1, 3]).unwrap();
    let mut out = Vec::new();
    while out.len() < 2 {
        out.extend(soon(&worker));
    }
    worker.ack(&[2]).unwrap();
    // K2 was acknowledged, also for one who comes after a kill; L2 is being worked on.
    std::mem::forget(worker);
    let place = place.killed();
    let dead = place.store.queue("dead").unwrap();
    let redriven = place.own.redrive(dead, &ALL).unwrap();
    assert_eq!(done(&redriven), (1, 1));
    assert!(
        redriven.refused[0].1.contains("message 2 of its key was acknowledged"),
        "{redriven:?}"
    );
    let rules = Rules { max_deliveries: 9, ..rules_of(&place) };
    let worker = place.open(rules);
    let got = worker.receive(9, SOON).unwrap();
    assert_eq!(texts(&got), ["L1"], "before the second of its key");
    worker.ack(&[got[0].sequence()]).unwrap();
    assert_eq!(soon(&worker), ["L2"]);
    // Dropped, it is gone.
    assert_eq!(done(&place.own.redrive(dead, &DROP).unwrap()), (1, 0));
    assert_eq!(done(&place.own.redrive(dead, &ALL).unwrap()), (0, 0));
}

fn rules_of(place: &Place) -> Rules {
    strict(place, Hold::Skip).1
}

#[test]
fn reg_14_what_was_overtaken_while_it_came_back_becomes_a_letter_again() {
    let place = Place::new();
    ["K1", "K2"].iter().for_each(|payload| place.put("K", payload));
    let (dead, rules) = strict(&place, Hold::Skip);
    let worker = place.open(rules);
    fail(&worker, "K1");
    assert_eq!(soon(&worker), ["K2"]);
    assert_eq!(done(&place.own.redrive(dead, &ALL).unwrap()), (1, 0), "K2 is not done yet");
    worker.ack(&[2]).unwrap();
    assert_eq!(take(&worker, 9), [""; 0]);
    assert_eq!(take(&worker, 9), [""; 0]);
    let redriven = place.own.redrive(dead, &ALL).unwrap();
    assert_eq!(done(&redriven), (0, 1), "{redriven:?}");
}

#[test]
fn what_cannot_go_back_stays_a_letter_and_says_why() {
    let place = Place::new();
    place.put("K", "K1");
    let (dead, rules) = strict(&place, Hold::Block);
    let worker = place.open(rules);
    fail(&worker, "K1");
    place.store.put(dead, &[Message::new(b"no letter")]).unwrap();
    place.store.queue_pause(place.queue).unwrap();
    let redriven = place.own.redrive(dead, &ALL).unwrap();
    assert_eq!(done(&redriven), (0, 2));
    assert!(redriven.refused[0].1.contains("is paused"), "{redriven:?}");
    assert!(redriven.refused[1].1.contains("does not say where it came from"), "{redriven:?}");
    place.store.queue_resume(place.queue).unwrap();
    drop(worker);
    place.store.consumer_delete("worker", place.queue).unwrap();
    let redriven = place.own.redrive(dead, &ALL).unwrap();
    assert!(redriven.refused[0].1.contains("has no consumer \"worker\""), "{redriven:?}");
    place.store.queue_delete(place.queue).unwrap();
    let redriven = place.own.redrive(dead, &ALL).unwrap();
    assert!(redriven.refused[0].1.contains("there is no queue"), "{redriven:?}");
    assert_eq!(done(&place.own.redrive(dead, &DROP).unwrap()), (1, 1));
    assert_eq!(
        place.own.redrive(Queue::from_number(99), &ALL).unwrap_err().code(),
        Code::NoSuchName
    );
}

/// Letters, redrives and kills in any order, until everything is done: each key in order, whatever was given up on the way.
#[test]
fn reg_14_whatever_fails_and_is_put_back_each_key_is_done_in_order_and_once() {
    for hold in [Hold::Block, Hold::Park] {
        let seed = u64::from(std::process::id()) << 8 | hold as u64;
        let mut random = seed | 1;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        let mut place = Place::on(ModelDisk::with_seed(seed));
        for at in 0..120 {
            place.put(&format!("k{}", at % 7), &at.to_string());
        }
        let mut applied: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
        let mut count = 0;
        while count < 120 {
            let (dead, rules) = strict(&place, hold);
            let worker = place.open(rules);
            for _ in 0..below(30) {
                let got = worker.receive(3, NOW).unwrap();
                for one in &got {
                    if below(3) == 0 {
                        worker.reject(&[one.sequence()]).unwrap();
                        continue;
                    }
                    let number = std::str::from_utf8(one.payload()).unwrap().parse().unwrap();
                    worker.ack(&[one.sequence()]).unwrap();
                    applied.entry(one.key().to_vec()).or_default().push(number);
                    count += 1;
                }
                if below(8) == 0 {
                    let options = RedriveOptions { max: 1 + below(4), drop: false };
                    let redriven = place.own.redrive(dead, &options).unwrap();
                    let waits = |(_, why): &(u64, String)| why.contains("and older");
                    assert!(redriven.refused.iter().all(waits), "seed {seed}: {redriven:?}");
                }
            }
            if below(2) == 0 {
                std::mem::forget(worker);
                place = place.killed();
            }
        }
        for (key, numbers) in &applied {
            assert!(
                numbers.is_sorted_by(|one, other| one < other),
                "seed {seed} {key:?}: {numbers:?}"
            );
        }
    }
}

/// A message fails, goes to the letters, comes back and is done, as its key is; the machine stops at each step in turn.
#[test]
fn reg_14_a_crash_at_any_step_of_a_letter_and_its_return_loses_nothing_and_keeps_the_order() {
    for hold in [Hold::Block, Hold::Park] {
        for step in 0.. {
            let place = Place::on(ModelDisk::with_seed(step));
            ["K1", "K2"].iter().for_each(|payload| place.put("K", payload));
            let (dead, rules) = strict(&place, hold);
            let worker = place.open(rules);
            let at = place.disk.ops() + 1 + step / 2;
            if step % 2 == 0 {
                place.disk.stop_at(at)
            } else {
                place.disk.stop_in(at)
            }
            let (mut applied, mut failed) = (Vec::new(), false);
            let mut work = || -> repliq::Result<()> {
                while applied.len() < 2 {
                    for one in worker.receive(1, NOW)? {
                        if !failed {
                            failed = true;
                            worker.reject(&[one.sequence()])?;
                            continue;
                        }
                        let text = texts(std::slice::from_ref(&one)).remove(0);
                        worker.ack(&[one.sequence()])?;
                        applied.push(text);
                    }
                    place.own.redrive(dead, &ALL)?;
                }
                Ok(())
            };
            let outcome = work();
            let stopped = place.disk.is_stopped();
            assert!(stopped || outcome.is_ok(), "step {step}: {outcome:?}");
            let disk = match step % 3 {
                0 => place.disk.kill(),
                _ => place.disk.power_cut(Cut::Random(step)),
            };
            drop(worker);
            drop(place);
            let place = Place::on(disk);
            let (dead, rules) = strict(&place, hold);
            let worker = place.open(rules);
            let mut after: Vec<String> = Vec::new();
            for _ in 0..12 {
                for one in worker.receive(9, NOW).unwrap() {
                    worker.ack(&[one.sequence()]).unwrap();
                    after.extend(texts(&[one]));
                }
                let redriven = place.own.redrive(dead, &ALL).unwrap();
                assert!(redriven.refused.is_empty(), "{hold:?} step {step}: {redriven:?}");
            }
            // What was being acknowledged when the machine stopped may be through, or come again.
            let missing: Vec<&str> = ["K1", "K2"]
                .into_iter()
                .filter(|one| !applied.iter().any(|done| done == one))
                .collect();
            let whole = after == missing || after == missing[1.min(missing.len())..];
            assert!(whole, "{hold:?} step {step}: {applied:?}, then {after:?}");
            if !stopped {
                assert!(step > 20, "there are {step} steps only");
                break;
            }
        }
    }
}
