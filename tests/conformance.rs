//! The scripts of `tests/conformance` through the public API of Rust.

#![allow(clippy::unwrap_used)]

#[path = "conformance/interpreter.rs"]
mod interpreter;
#[path = "conformance/words.rs"]
mod words;

use interpreter::Way;
use std::fs;
use std::path::{Path, PathBuf};

/// The scripts, those of the folder `server` among them.
fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let files = [folder.clone(), folder.join("server")].into_iter().flat_map(|folder| {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    });
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "script")).collect();
    files.sort();
    files
}

fn hold(way: Way, steps_min: usize) {
    let (mut steps, mut failed) = (0, Vec::new());
    let scripts = scripts();
    for script in &scripts {
        match interpreter::run(&fs::read_to_string(script).unwrap(), way) {
            Ok(count) => steps += count,
            Err((line, what)) => failed.push(format!("{}:{line}: {what}", script.display())),
        }
    }
    println!("conformance rust, {way:?}: {} scripts, {steps} steps", scripts.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(scripts.len() >= 12 && steps >= steps_min, "too little was run: {steps}");
}

#[test]
fn every_script_holds_in_rust() {
    hold(Way::Here, 250);
}

#[test]
fn every_script_holds_at_a_server_over_tcp() {
    hold(Way::Tcp, 250);
}

#[test]
fn every_script_holds_at_a_server_through_a_socket() {
    hold(Way::Unix, 250);
}

#[test]
fn a_step_that_does_not_hold_is_found_at_its_line() {
    let wrong = [
        ("open s \"a\"\nqueue s q \"\"\n", 2, "INVALID"),
        ("open s \"a\"\nqueue s q \"q\" ! INVALID\n", 2, "succeeded"),
        ("open s \"a\"\nqueue s q \"\" ! TOO_LARGE\n", 2, "INVALID"),
        (
            "# a\n\nopen s \"a\"\nqueue s q \"q\"\nput s q \"1\"\nsnapshot v s\nbrowse v q 1 9 \"2\"\n",
            7,
            "\"1\"",
        ),
        (
            "open s \"a\"\nqueue s q \"q\"\nput s q \"1\"\nsnapshot v s\nbrowse v q 1 9 \"1\"\ncheck 0 sequence=2\n",
            6,
            "sequence",
        ),
        (
            "open s \"a\"\nqueue s q \"q\"\nput s q \"1\" token=t\nput s q \"2\" token=u\nsame t u\n",
            5,
            "differ",
        ),
        ("hop s\n", 1, "hop"),
        ("put s q \"1\"\n", 1, "s"),
        ("open s \"a\nb\"\n", 1, "quote"),
    ];
    for (script, line, what) in wrong {
        let (at, text) = interpreter::run(script, Way::Here).unwrap_err();
        assert_eq!(at, line, "{script}: {text}");
        assert!(text.contains(what), "{script}: {text}");
    }
}
