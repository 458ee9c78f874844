//! T2, T3 and T4 by chance: lives nobody thought of, stopped, failed and damaged at places nobody chose.
//!
//! The tiers beside this one take every place of a few workloads; these take a few places of any workload, for as
//! long as they are let (`tests/seeds`).

use crate::crash::{cuts, length, nested, stopped};
use crate::damage::{Counts, Subject};
use crate::fault::{check, faulty};
use crate::oracle::{Client, End};
use crate::seeds;
use crate::work::{self, Act, Begin, Life, Work};
use crate::world::Dice;
use repliq::disk::model::{Cut, Mode, ModelDisk};
use repliq::{Level, Store, StoreOptions};
use std::sync::Arc;

/// The binary this file is a part of.
const BINARY: &str = if crate::SAMPLE == 1 { "engine" } else { "encryption" };

fn tier(number: &str) -> String {
    if crate::SAMPLE == 1 { number.into() } else { format!("{number}, encrypted") }
}

fn name_of(test: &str) -> String {
    format!("{BINARY} chance::{test}")
}

fn pick<T: Copy>(dice: &mut Dice, of: &[T]) -> T {
    of[dice.below(of.len() as u64) as usize]
}

fn cut_of(dice: &mut Dice) -> Cut {
    match dice.below(4) {
        0 => Cut::Nothing,
        1 => Cut::All,
        _ => Cut::Random(dice.next()),
    }
}

/// `lazy`: hardly anything is synced.
fn random_act(dice: &mut Dice, lazy: bool) -> Act {
    let queue = pick(dice, &["a", "b", "c"]);
    let name = pick(dice, &["one", "two"]);
    let level = if lazy || dice.one_in(3) { Level::Process } else { Level::Power };
    match dice.below(24) {
        0..11 => {
            let longest = pick(dice, &[20, 200, 900, 2500]);
            let lengths = (0..1 + dice.below(4)).map(|_| dice.below(longest) as usize).collect();
            Act::Put(queue, lengths, level)
        }
        11..15 => Act::Consume(queue, name, 1 + dice.below(9) as usize, 1 + dice.below(3) as usize),
        15..18 => {
            let to: &'static [&'static str] = if dice.one_in(2) { &["b", "c"] } else { &["c"] };
            Act::Move("a", name, 1 + dice.below(5) as usize, to, level)
        }
        18 => Act::Purge(queue),
        19 => Act::Pause(queue),
        20 => Act::Resume(queue),
        21 => Act::Delete(queue),
        22 => Act::Queues(1 + dice.below(18) as usize),
        _ if lazy => Act::Queues(16),
        _ => Act::Reopen,
    }
}

/// One to four lives of a store with small segments.
fn random_work(dice: &mut Dice) -> Work {
    let segment = crate::SEGMENT << dice.below(2);
    let lives = (0..1 + dice.below(4)).map(|at| {
        let begin = match dice.below(3) {
            _ if at == 0 => Begin::Fresh,
            0 => Begin::Kill,
            _ => Begin::Cut(cut_of(dice)),
        };
        let lazy = dice.one_in(3);
        Life { begin, acts: (0..1 + dice.below(14)).map(|_| random_act(dice, lazy)).collect() }
    });
    let lives = lives.collect();
    let horizon = if dice.one_in(3) { Level::Process } else { Level::Power };
    let work = Work { name: "by chance", segment, horizon, lives };
    if seeds::number("REPLIQ_SEED").is_some() {
        println!("segments of {segment}, horizon {horizon:?}: {:#?}", work.lives);
    }
    work
}

#[test]
fn what_was_confirmed_survives_a_stop_anywhere_in_any_life() {
    let test = name_of("what_was_confirmed_survives_a_stop_anywhere_in_any_life");
    seeds::run(&tier("T3 crash"), &test, 200, |seed| {
        let mut dice = Dice::new(seed);
        let work = random_work(&mut dice);
        let last = work.lives.len() - 1;
        let ready = work::live_until(&work, last);
        let ops = length(&work, last, &ready);
        let mut checked = 0;
        for _ in 0..4 {
            let (at, inside) = (1 + dice.below(ops + 1), dice.one_in(2));
            let client = stopped(&work, last, &ready, at, inside);
            client.check(&client.disk.kill(), End::Kill);
            let mut all = cuts(client.disk.pieces(), dice.below(1 << 30));
            all.truncate(6);
            all.push(Cut::Random(dice.next()));
            for cut in all {
                client.check(&client.disk.power_cut(cut), End::Power);
                checked += 1;
            }
            checked += 1;
            if dice.one_in(4) {
                let cut = client.disk.power_cut(Cut::Random(dice.next()));
                checked += nested(&client, &cut, 2, dice.next());
            }
        }
        checked as u64
    });
}

#[test]
fn a_call_that_fails_anywhere_in_any_life_and_another_one_behind_it_lose_nothing() {
    let test =
        name_of("a_call_that_fails_anywhere_in_any_life_and_another_one_behind_it_lose_nothing");
    seeds::run(&tier("T4 fault"), &test, 200, |seed| {
        let mut dice = Dice::new(seed);
        let work = random_work(&mut dice);
        let last = work.lives.len() - 1;
        let ready = work::live_until(&work, last);
        let ops = faulty(&work, last, &ready, u64::MAX, libc::EIO, Mode::Once).disk.ops();
        let mut checked = 0;
        for _ in 0..6 {
            let errno = pick(&mut dice, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EROFS]);
            let mode = pick(&mut dice, &[Mode::Once, Mode::Sticky]);
            let at = 1 + dice.below(ops);
            let mut client = faulty(&work, last, &ready, at, errno, mode);
            checked += check(&mut client);
            // Another call fails while what the first one left is recovered.
            let image = client.disk.kill();
            image.fail_at(
                1 + dice.below(40),
                libc::EIO,
                pick(&mut dice, &[Mode::Once, Mode::Sticky]),
            );
            drop(Store::open_on(Arc::new(image.clone()), &client.options));
            image.clear_faults();
            client.check(&image.kill(), End::Kill);
            client.check(&image.power_cut(cut_of(&mut dice)), End::Power);
            checked += 2;
        }
        checked as u64
    });
}

/// A journal of a random life that ended with a durable put and a kill, and what it held halfway.
pub fn random_subject(dice: &mut Dice) -> (Subject, ModelDisk) {
    let mut work = random_work(dice);
    // What was in a queue that was deleted and made again is more than `ever` can say.
    let kept = |act: &Act| !matches!(act, Act::Delete(_));
    work.lives.iter_mut().for_each(|life| life.acts.retain(kept));
    let last = work.lives.len() - 1;
    let mut client = work::live_until(&work, last);
    assert!(work::open(&mut client, work::end_of(&work.lives[last])));
    let acts = &work.lives[last].acts;
    let mut halfway = client.disk.clone_image();
    for (at, act) in acts.iter().enumerate() {
        if at == acts.len() / 2 {
            halfway = client.disk.clone_image();
        }
        work::act(&mut client, act);
    }
    work::act(&mut client, &Act::Resume("a"));
    assert!(client.put("a", &[90], Level::Power), "{}", client.last);
    let files = client.disk.kill().snapshot();
    (Subject::of(&client, files), halfway)
}

/// Changes one sector of one file; says what it did.
fn damage(dice: &mut Dice, subject: &Subject, halfway: &ModelDisk, disk: &ModelDisk) -> String {
    let of = |name: &&String| [".seg", ".run", ".base"].iter().any(|end| name.ends_with(end));
    let names: Vec<&String> = subject.files.keys().filter(of).collect();
    let name = pick(dice, &names);
    let mut bytes = subject.files[name].clone();
    let written = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let sectors = (written.div_ceil(512) as u64).max(1);
    let at = dice.below(sectors) as usize * 512;
    let end = (at + 512).min(bytes.len());
    let said = match dice.below(6) {
        0 => {
            bytes[at..end].fill(0);
            "zeroed".to_string()
        }
        1 => {
            let other = pick(dice, &names);
            let from = &subject.files[other];
            let place = dice.below((from.len() / 512).max(1) as u64) as usize * 512;
            let length = (end - at).min(from.len().saturating_sub(place));
            bytes[at..at + length].copy_from_slice(&from[place..place + length]);
            format!("is the sector at {place} of {other}")
        }
        2 => {
            if let Some(old) = halfway.bytes_of(name).filter(|old| old.len() >= end) {
                bytes[at..end].copy_from_slice(&old[at..end]);
            }
            "is as it was before".to_string()
        }
        3 => {
            bytes.truncate(at + dice.below(512) as usize);
            format!("ends at {}", bytes.len())
        }
        _ => {
            let flips: Vec<(usize, u32)> = (0..1 + dice.below(3))
                .map(|_| (at + dice.below((end - at) as u64) as usize, dice.below(8) as u32))
                .collect();
            flips.iter().for_each(|(place, bit)| bytes[*place] ^= 1 << bit);
            format!("has {flips:?} flipped")
        }
    };
    disk.put_file(name, &bytes);
    format!("sector {at} of {name} {said}")
}

#[test]
fn any_damage_of_one_sector_of_any_journal_is_harmless_or_told() {
    let test = name_of("any_damage_of_one_sector_of_any_journal_is_harmless_or_told");
    seeds::run(&tier("T2 damage"), &test, 100, |seed| {
        let mut dice = Dice::new(seed);
        let (subject, halfway) = random_subject(&mut dice);
        let mut counts = Counts::default();
        for _ in 0..60 {
            let disk = subject.disk();
            let said = damage(&mut dice, &subject, &halfway, &disk);
            subject.judge(&disk, &mut counts, &|| said.clone());
        }
        60
    });
}

/// What an opened store may be is checked by the others; this one only makes lives that go on for long.
#[test]
fn a_long_row_of_lives_loses_nothing_that_was_confirmed() {
    let test = name_of("a_long_row_of_lives_loses_nothing_that_was_confirmed");
    seeds::run(&tier("T3 lives"), &test, 20, |seed| {
        let mut dice = Dice::new(seed);
        let horizon = if dice.one_in(3) { Level::Process } else { Level::Power };
        let options = StoreOptions { horizon, ..crate::oracle::small(crate::SEGMENT) };
        let mut client = Client::new(ModelDisk::with_seed(seed), options);
        let (mut end, mut lives) = (None, 0);
        for _ in 0..30 {
            let ahead = 1 + dice.below(80);
            if dice.one_in(2) {
                client.disk.stop_in(ahead)
            } else {
                client.disk.stop_at(ahead)
            }
            if work::open(&mut client, end) {
                for _ in 0..12 {
                    if client.disk.is_stopped() {
                        break;
                    }
                    work::act(&mut client, &random_act(&mut dice, false));
                }
            }
            client.store = None;
            let kill = dice.one_in(3);
            end = Some(if kill { End::Kill } else { End::Power });
            if kill {
                client.disk = client.disk.kill();
            } else {
                client.power_was_cut();
                client.disk = client.disk.power_cut(cut_of(&mut dice));
            }
            client.check(&client.disk.clone_image(), if kill { End::Kill } else { End::Power });
            lives += 1;
        }
        lives
    });
}
