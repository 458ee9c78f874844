//! T3: the machine stops at every operation of every workload, and the power takes any choice of what was not
//! synced; what is found then must be what the client was told.

use crate::oracle::{Client, End};
use crate::work::{self, Work};
use repliq::Store;
use repliq::disk::model::{Cut, ModelDisk};
use std::sync::Arc;

/// Fewer recoveries than this have not looked hard enough.
const LEAST: usize = 60_000;

/// Cuts worth a look at where so many pieces are unsynced.
pub fn cuts(pieces: usize, seed: u64) -> Vec<Cut> {
    let mut cuts = vec![Cut::Nothing, Cut::All];
    let step = pieces.div_ceil(10).max(1);
    for piece in ((seed as usize % step)..pieces).step_by(step) {
        cuts.push(Cut::Only(vec![piece]));
        cuts.push(Cut::Without(vec![piece]));
    }
    if pieces > 2 {
        let (a, b) = (seed as usize % pieces, (seed as usize * 7 + 1) % pieces);
        cuts.push(Cut::Only(vec![a, b]));
        cuts.push(Cut::Without(vec![a, b]));
        cuts.extend((0..3).map(|n| Cut::Random(seed * 31 + n)));
    }
    cuts
}

/// Runs one life with a stop at this operation; `inside` lets it take effect.
pub fn stopped(work: &Work, life: usize, ready: &Client, at: u64, inside: bool) -> Client {
    let mut client = ready.at(ready.disk.clone_image());
    if inside {
        client.disk.stop_in(at)
    } else {
        client.disk.stop_at(at)
    }
    if work::open(&mut client, work::end_of(&work.lives[life])) {
        for act in &work.lives[life].acts {
            if client.disk.is_stopped() {
                break;
            }
            work::act(&mut client, act);
        }
    }
    client
}

/// How many operations a life takes.
pub fn length(work: &Work, life: usize, ready: &Client) -> u64 {
    let client = stopped(work, life, ready, u64::MAX, false);
    client.disk.ops()
}

/// Every stop of every life of a workload with every cut; returns how many recoveries were checked.
fn enumerate(work: &Work) -> usize {
    let mut checked = 0;
    for life in 0..work.lives.len() {
        let ready = work::live_until(work, life);
        for at in (1..=length(work, life, &ready) + 1).step_by(crate::SAMPLE) {
            for inside in [false, true] {
                let client = stopped(work, life, &ready, at, inside);
                let say = |cut: &dyn std::fmt::Debug| {
                    eprintln!("{}: life {life}, stop at {at}, inside {inside}, {cut:?}", work.name);
                };
                let guard = Say(&say, &"kill");
                client.check(&client.disk.kill(), End::Kill);
                drop(guard);
                checked += 1;
                for cut in cuts(client.disk.pieces(), at) {
                    let guard = Say(&say, &cut);
                    client.check(&client.disk.power_cut(cut.clone()), End::Power);
                    drop(guard);
                    checked += 1;
                }
            }
        }
    }
    checked
}

/// Says where a test was when it panics.
struct Say<'a>(&'a dyn Fn(&dyn std::fmt::Debug), &'a dyn std::fmt::Debug);

impl Drop for Say<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)(self.1);
        }
    }
}

#[test]
fn what_was_confirmed_survives_a_stop_at_every_operation_and_every_cut() {
    let mut checked = 0;
    for work in work::all().into_iter().chain(work::lost_positions()) {
        let count = enumerate(&work);
        println!("{}: {count} recoveries", work.name);
        checked += count;
    }
    println!("T3: {checked} recoveries");
    assert!(checked >= LEAST / crate::SAMPLE, "only {checked} recoveries");
}

/// Crashes while the crash before is being recovered from, three deep.
pub fn nested(client: &Client, disk: &ModelDisk, depth: usize, seed: u64) -> usize {
    let whole = disk.clone_image();
    drop(Store::open_on(Arc::new(whole.clone()), &client.options).unwrap());
    let ops = whole.ops();
    let mut checked = 0;
    for n in 0..3 {
        let seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n * 2 + 1);
        let image = disk.clone_image();
        let at = 1 + (seed >> 33) % ops;
        if seed & 1 == 0 {
            image.stop_in(at)
        } else {
            image.stop_at(at)
        }
        drop(Store::open_on(Arc::new(image.clone()), &client.options));
        assert!(image.is_stopped(), "the stop was not met");
        let next = match seed >> 60 {
            0..4 => image.power_cut(Cut::Nothing),
            4..8 => image.power_cut(Cut::All),
            _ => image.power_cut(Cut::Random(seed)),
        };
        if depth > 1 {
            checked += nested(client, &next, depth - 1, seed);
        }
        let say = |seed: &dyn std::fmt::Debug| eprintln!("nested, depth {depth}, seed {seed:?}");
        let guard = Say(&say, &seed);
        client.check(&next, End::Power);
        drop(guard);
        checked += 1;
    }
    checked
}

#[test]
fn three_crashes_while_recovering_change_nothing() {
    let mut checked = 0;
    for work in work::all() {
        let life = work.lives.len() - 1;
        let ready = work::live_until(&work, life);
        let ops = length(&work, life, &ready);
        for at in (1..=ops).step_by(1 + ops as usize / 12) {
            let client = stopped(&work, life, &ready, at, true);
            let seed = at * 97 + work.name.len() as u64;
            let cut = client.disk.power_cut(Cut::Random(seed));
            checked += nested(&client, &cut, 3, seed);
        }
    }
    println!("T3, nested: {checked} recoveries");
    assert!(checked >= 3_000, "only {checked} recoveries");
}
