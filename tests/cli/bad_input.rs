//! What people get wrong, and what the command says then: a code and a sentence, never a panic, a hang or a
//! changed store.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use repliq::Code;

use super::run::{Place, command};

/// Words, then the code, then what the sentence must hold.
const TABLE: &[(&str, Code, &[&str])] = &[
    // Not a store, and nothing at all.
    ("status @foreign", Code::NotAStore, &["foreign"]),
    ("put @foreign q @lines", Code::NotAStore, &["foreign"]),
    ("status @lines", Code::NotAStore, &["lines"]),
    ("put @lines q @lines", Code::NotAStore, &["lines"]),
    // Names.
    ("get @s nothing --browse", Code::NoSuchName, &["nothing"]),
    ("get @s nothing --consumer c", Code::NoSuchName, &["nothing"]),
    ("queue rm @s nothing", Code::NoSuchName, &["nothing"]),
    ("consumer rm @s q nobody", Code::NoSuchName, &["nobody"]),
    // Files.
    ("put @s q @missing", Code::NoSuchName, &["missing", "No such file"]),
    ("put @s q @foreign", Code::Invalid, &["foreign", "directory"]),
    // Arguments.
    ("put @s q --csv --key-column 0 @lines", Code::Invalid, &["column"]),
    ("put @s q --csv --key-column 7 @lines", Code::Invalid, &["line 2", "7"]),
    ("get @s q --browse --format %q", Code::Invalid, &["%q"]),
    ("get @s q --consumer c --wait -1", Code::Invalid, &[]),
    ("get @s q --consumer c --wait nan", Code::Invalid, &["NaN"]),
    ("token show nonsense", Code::Invalid, &["8 characters"]),
    ("token wait @s nonsense", Code::Invalid, &["8 characters"]),
    ("bench commit --dir @lines --count 10", Code::Io, &["lines"]),
    ("bench commit --dir @s --count 0", Code::Invalid, &["0 messages"]),
];

fn place() -> Place {
    let place = Place::with_numbers(3);
    place.file("lines", "1\n2\n3\n");
    fs::create_dir(place.path("foreign")).unwrap();
    place.file("foreign/letter.txt", "dear reader\n");
    place
}

#[test]
fn each_mistake_has_its_code_and_a_sentence_and_changes_nothing() {
    let place = place();
    for (words, code, sentence) in TABLE {
        let ran = place.run(words);
        assert_eq!(ran.status, *code as i32, "{words}: {}", ran.err);
        if ran.err.starts_with("repliq: ") {
            ran.fails(*code, sentence);
        }
        assert!(!ran.err.contains("panicked"), "{words}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{words}");
    }
    assert_eq!(place.run("get @s q --browse").text(), "1\n2\n3\n");
    assert_eq!(fs::read(place.path("foreign/letter.txt")).unwrap(), b"dear reader\n");
    assert_eq!(fs::read_dir(place.path("foreign")).unwrap().count(), 1);
}

#[test]
fn a_wrong_word_ends_with_invalid_and_help_with_success() {
    let place = place();
    let words =
        ["", "frob", "put", "put @s", "get @s q", "put @s q --kind 65536", "put @s q --batch 0"];
    for words in words {
        let ran = place.run(words);
        assert_eq!(ran.status, Code::Invalid as i32, "{words}");
        assert!(ran.err.contains("Usage") || ran.err.contains("error"), "{words}: {}", ran.err);
    }
    assert!(place.run("--help").text().contains("Usage"));
    assert!(place.run("--version").text().starts_with("repliq "));
}

#[test]
fn names_have_their_bounds() {
    let place = place();
    for name in [String::new(), "a\nb".into(), "x".repeat(300)] {
        let store = place.path("s");
        let ran =
            super::run::run_with(&["put".into(), store.into_os_string(), name.into()], b"x\n");
        let code = if ran.status == Code::TooLarge as i32 { Code::TooLarge } else { Code::Invalid };
        ran.fails(code, &[]);
    }
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_read_whole() {
    let place = Place::new();
    let line = vec![b'x'; repliq::limits::MESSAGE_BYTES_MAX + 10];
    place.run_with("put @s q", &line).fails(Code::TooLarge, &["line 1", "stdin"]);
    assert_eq!(place.run("get @s q --browse").text(), "");
}

#[test]
fn a_directory_in_use_can_be_looked_at_and_not_written() {
    let place = place();
    let mut writer = command()
        .arg("put")
        .arg(place.path("s"))
        .arg("q")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = writer.id().to_string();
    let mut input = writer.stdin.take().unwrap();
    input.write_all(b"4\n").unwrap();
    let start = std::time::Instant::now();
    while place.run("get @s q --browse").text() != "1\n2\n3\n4\n" {
        assert!(start.elapsed().as_secs() < 20, "the writer never put its line");
    }
    let refused = place.run("queue pause @s q");
    refused.fails(Code::Locked, &[&pid]);
    drop(input);
    writer.wait().unwrap();
    place.run("queue purge @s q").text();
}

#[test]
fn a_store_without_permission_is_named() {
    let place = place();
    let store = place.path("s");
    let files = fs::read_dir(&store).unwrap().count();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o000)).unwrap();
    let output = if fs::read_dir(&store).is_err() {
        command().arg("status").arg(&store).output().unwrap()
    } else {
        // The superuser may read everything, so somebody else tries, with a copy where it may be run.
        let copy = place.path("repliq");
        fs::copy(env!("CARGO_BIN_EXE_repliq"), &copy).unwrap();
        fs::set_permissions(place.path("."), fs::Permissions::from_mode(0o755)).unwrap();
        let nobody = 65_534;
        Command::new(copy).uid(nobody).gid(nobody).arg("status").arg(&store).output().unwrap()
    };
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(Code::Permission as i32), "{text}");
    assert!(text.starts_with("repliq: ") && text.contains("/s"), "{text}");
    assert_eq!(fs::read_dir(&store).unwrap().count(), files);
}

#[test]
fn a_full_disk_stops_output_with_its_code() {
    let place = place();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command()
        .args(["queue".as_ref(), "ls".as_ref(), place.path("s").as_os_str()])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(Code::NoSpace as i32));
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly_with_closed() {
    let place = Place::with_numbers(50_000);
    let mut child = command()
        .args(["get".as_ref(), place.path("s").as_os_str()])
        .args(["q", "--browse"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(Code::Closed as i32));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}

#[test]
fn the_documented_exit_statuses_are_the_codes() {
    let text = include_str!("../../docs/CLI.md");
    let rows: Vec<(i32, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            Some((cells.next()?.parse().ok()?, cells.next()?))
        })
        .collect();
    let codes: Vec<(i32, &str)> =
        Code::ALL.iter().map(|code| (*code as i32, code.name())).collect();
    assert_eq!(rows, codes);
}
