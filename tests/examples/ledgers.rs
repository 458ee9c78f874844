//! The tutorial of the transacted session, killed at every step and gone on with in another language.

use super::build::{self, Programs};
use super::messages;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Steps of a transfer, as they are printed.
const STEPS: [&str; 3] = ["taken", "put", "committed"];

/// What a transfer moves from Alice to Bob.
pub fn amount(number: i64) -> i64 {
    number * 7 % 100 * if number % 2 == 0 { -1 } else { 1 }
}

fn texts(bank: &Path, queue: &str) -> Vec<String> {
    let text = |one: &repliq::Received| String::from_utf8(one.payload().to_vec()).unwrap();
    messages(bank, queue).iter().map(text).collect()
}

/// Transfers that are on record; all of them whole, once, and in both ledgers.
fn transfers(bank: &Path) -> i64 {
    let records = texts(bank, "transfers");
    let count = i64::try_from(records.len()).unwrap();
    for (number, record) in (1..).zip(&records) {
        assert_eq!(*record, format!("{number} {}", amount(number)));
    }
    let moved: i64 = (1..=count).map(amount).sum();
    for (ledger, balance) in [("ledger/alice", 1_000 - moved), ("ledger/bob", 1_000 + moved)] {
        // Before the first run both are empty.
        if let Some(last) = texts(bank, ledger).last() {
            assert_eq!(*last, format!("{balance} {count}"), "{ledger}");
        }
    }
    assert_eq!(texts(bank, "ledger/alice").len(), texts(bank, "ledger/bob").len());
    count
}

/// Starts a program that waits after each step.
fn start(program: &[String], bank: &Path) -> Child {
    Command::new(&program[0])
        .args(&program[1..])
        .arg(bank)
        .args(["1000", "step"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets it take so many steps, and kills it while it waits, or where it is in the next one. Returns the last line.
pub fn take_steps(program: &[String], bank: &Path, steps: usize, waits: bool) -> String {
    let mut child = start(program, bank);
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = String::new();
    for step in 0..steps {
        if step > 0 {
            writeln!(input).unwrap();
        }
        last = lines.next().expect("it goes on").unwrap();
    }
    if !waits {
        writeln!(input).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    last
}

fn killed_at_every_step(programs: &[&Programs]) {
    let folder = tempfile::tempdir().unwrap();
    let bank = folder.path().join("bank");
    // A look shows what is durable; the next run makes durable what it finds whole, so it may know of one more.
    let mut before = 0..=0;
    let kills = (1..=2 * STEPS.len()).flat_map(|steps| [(steps, true), (steps, false)]);
    for (turn, (steps, waits)) in kills.enumerate() {
        let programs = programs[turn % programs.len()];
        let last = take_steps(&programs.transacted_session, &bank, steps, waits);
        let (number, step) = last.split_once(' ').unwrap();
        assert_eq!(step, STEPS[(steps - 1) % STEPS.len()], "{}", programs.language);
        let number: i64 = number.parse().unwrap();
        let found = number - 1 - i64::try_from((steps - 1) / STEPS.len()).unwrap();
        assert!(before.contains(&found), "{}: {last}, {before:?} before", programs.language);
        let after = transfers(&bank);
        let told = if step == "committed" { number } else { number - 1 };
        let may = if waits || step != "put" { told } else { number };
        assert!((told..=may).contains(&after), "{}: {last}, {after}", programs.language);
        before = after..=may;
    }
    let mut before = *before.end();
    for programs in programs {
        before += 1;
        let output = Command::new(&programs.transacted_session[0])
            .args(&programs.transacted_session[1..])
            .arg(&bank)
            .arg(before.to_string())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", programs.language);
        let moved: i64 = (1..=before).map(amount).sum();
        let (alice, bob) = (1_000 - moved, 1_000 + moved);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.lines().last(), Some(&*format!("alice {alice}, bob {bob}, together 2000")));
        assert_eq!(transfers(&bank), before, "{}", programs.language);
    }
}

#[test]
fn money_is_neither_lost_nor_made_where_the_session_tutorial_is_killed_at_every_step() {
    let programs = build::programs();
    for first in 0..programs.len() {
        // Each language comes to be killed at each step.
        let mut turned: Vec<&Programs> = programs.iter().collect();
        turned.rotate_left(first);
        killed_at_every_step(&turned);
    }
}
