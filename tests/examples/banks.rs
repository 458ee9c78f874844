//! The tutorial of prepared transactions, killed at every step and gone on with in another language.

use super::build::{self, Programs};
use super::ledgers::{amount, take_steps};
use super::messages;
use repliq::{Store, StoreOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Steps of a transfer, as they are printed.
const STEPS: [&str; 7] = [
    "taken",
    "noted",
    "prepared in the east",
    "prepared in the west",
    "decided",
    "committed in the east",
    "committed",
];
/// The first step behind which a transfer goes on to its end, whoever runs next.
const DECIDED: usize = 4;

fn directory(name: &Path, of: &str) -> PathBuf {
    let mut directory = name.to_path_buf().into_os_string();
    directory.push(format!(".{of}"));
    directory.into()
}

/// What stands in a bank's book.
fn page(name: &Path, of: &str) -> String {
    let found = messages(&directory(name, of), "page");
    assert_eq!(found.len(), 1, "{of}");
    String::from_utf8(found[0].payload().to_vec()).unwrap()
}

/// How many transactions wait for the coordinator.
fn prepared(name: &Path) -> usize {
    let options = StoreOptions { create: false, read_only: true, ..StoreOptions::default() };
    let count = |of| {
        let store = Store::open(directory(name, of), &options).unwrap();
        store.prepared().unwrap().len()
    };
    count("east") + count("west")
}

/// Lets it make all transfers up to this one, and looks at both banks.
fn make_all(programs: &Programs, name: &Path, transfers: i64) {
    let output = Command::new(&programs.two_banks[0])
        .args(&programs.two_banks[1..])
        .arg(name)
        .arg(transfers.to_string())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", programs.language);
    let moved: i64 = (1..=transfers).map(amount).sum();
    let (east, west) = (1_000 - moved, 1_000 + moved);
    let said = String::from_utf8(output.stdout).unwrap();
    let last = format!("east {east}, west {west}, together 2000");
    assert_eq!(said.lines().last(), Some(&*last), "{}", programs.language);
    assert_eq!(page(name, "east"), format!("{east} {transfers}"), "{}", programs.language);
    assert_eq!(page(name, "west"), format!("{west} {transfers}"), "{}", programs.language);
    assert_eq!(prepared(name), 0, "{}", programs.language);
}

/// Kills programs at each step in turn; the next one, in another language, goes on with the same transfer, or with the next
/// where that was decided.
fn killed_at_every_step(programs: &[&Programs]) {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("banks");
    let (mut least, mut most, mut waited) = (1, 1, 0);
    let kills = (1..=STEPS.len() + 2).flat_map(|steps| [(steps, true), (steps, false)]);
    for (turn, (steps, waits)) in kills.enumerate() {
        let programs = programs[turn % programs.len()];
        let last = take_steps(&programs.two_banks, &name, steps, waits);
        let (number, step) = last.split_once(' ').unwrap();
        let at = (steps - 1) % STEPS.len();
        assert_eq!(step, STEPS[at], "{}", programs.language);
        let number: i64 = number.parse().unwrap();
        let first = number - i64::try_from((steps - 1) / STEPS.len()).unwrap();
        assert!((least..=most).contains(&first), "{}: {last} after {least}", programs.language);
        waited += prepared(&name);
        least = if at >= DECIDED { number + 1 } else { number };
        most = if at + 1 == DECIDED && !waits { number + 1 } else { least };
    }
    assert!(waited > 0, "none was killed while something was prepared");
    for (at, programs) in (0..).zip(programs) {
        make_all(programs, &name, most + at);
    }
}

#[test]
fn money_is_neither_lost_nor_made_where_the_tutorial_of_two_banks_is_killed_at_every_step() {
    let programs = build::programs();
    for first in 0..programs.len() {
        // Each language comes to be killed at each step.
        let mut turned: Vec<&Programs> = programs.iter().collect();
        turned.rotate_left(first);
        killed_at_every_step(&turned);
    }
}
