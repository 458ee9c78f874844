//! A command that ends by a fault leaves no core: in one would be keys, passwords and messages.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::run::Place;

const CANARY: &str = "canary-payload-61c0";

/// Runs a program that may leave a core in a folder, feeds it, waits for a condition, and aborts it.
fn aborted(folder: &Path, program: &str, words: &[&str], line: &str, ready: &dyn Fn() -> bool) {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -c unlimited && exec \"$0\" \"$@\"", program])
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(line.as_bytes()).unwrap();
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{program} never took its line");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-ABRT", &pid]).status().unwrap().success());
    child.wait().unwrap();
}

/// How many files of a folder hold the canary.
fn holding(folder: &Path) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let content = files.filter_map(|path| fs::read(path).ok());
    content.filter(|bytes| bytes.windows(CANARY.len()).any(|at| at == CANARY.as_bytes())).count()
}

#[test]
fn a_command_that_is_aborted_leaves_no_core() {
    let place = Place::new();
    let (ours, other) = (place.path("ours"), place.path("other"));
    fs::create_dir(&ours).unwrap();
    fs::create_dir(&other).unwrap();
    let store = place.path("s").display().to_string();
    place.run_with("put @s q", b"0\n").text();
    let taken = || place.run("get @s q --browse").text().contains(CANARY);
    let words = ["put", &store, "q"];
    aborted(&ours, env!("CARGO_BIN_EXE_repliq"), &words, &format!("{CANARY}\n"), &taken);
    assert_eq!(fs::read_dir(&ours).unwrap().count(), 0, "a core was left");
    // The search sees a core where one is written.
    let wait = Instant::now() + Duration::from_millis(200);
    aborted(&other, "cat", &[], &format!("{CANARY}\n"), &|| Instant::now() > wait);
    if holding(&other) == 0 {
        println!("SKIPPED the core of another program: this machine writes cores somewhere else");
    }
}
