//! The protocol as it is written down: every kind of frame stands at the head of the file that encodes it and on the
//! page, and every file that describes bytes of the wire is found from there.

use std::fs;
use std::path::Path;

use crate::page::{ROOT, read};

const PAGE: &str = "docs/PROTOCOL.md";

/// The kinds of frames a file names: `const STATUS: u8 = 64;`, in any module of it.
fn kinds(text: &str) -> Vec<(String, u8)> {
    let line = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("const ")?;
        let (name, number) = line.strip_suffix(';')?.split_once(": u8 = ")?;
        Some((name.to_string(), number.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// The words at the head of a file.
fn head(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn words(text: &str) -> Vec<&str> {
    text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_').collect()
}

/// Kinds of one file that its head or the page leaves out. A stream has small letters, and is on the page as a whole.
fn missing(path: &str, text: &str, page: &str, from: u8) -> Vec<String> {
    let head = head(text);
    let is_stream = path.ends_with("stream.rs");
    let mut found = Vec::new();
    for (name, number) in kinds(text).into_iter().filter(|kind| kind.1 >= from) {
        let row = match is_stream {
            true => format!("\n   {number}  {} ", name.to_lowercase()),
            false => format!("\n {number:>4}  {name} "),
        };
        if !head.contains(&row) {
            found.push(format!("{path}: kind {number}, {name}, is not at its head"));
        }
        if !is_stream && !words(page).contains(&name.as_str()) {
            found.push(format!("{path}: kind {number}, {name}, is not in {PAGE}"));
        }
    }
    found
}

#[test]
fn every_kind_of_frame_is_described_at_the_head_of_its_file_and_on_the_page() {
    let page = read(PAGE);
    let (mut found, mut all) = (Vec::new(), 0);
    for (path, from) in
        [("src/wire/request.rs", 64), ("src/wire/session.rs", 96), ("src/wire/stream.rs", 32)]
    {
        let text = read(path);
        all += kinds(&text).iter().filter(|kind| kind.1 >= from).count();
        found.extend(missing(path, &text, &page, from));
    }
    crate::assert_none(&found);
    assert!(all > 40, "only {all} kinds were found");
    for (name, number) in kinds(&read("src/wire/mod.rs")) {
        let is_bound = name.starts_with("FIRST_") || name.starts_with("LAST_");
        assert!(is_bound || page.contains(&format!("{number} {name}")), "{name} is not in {PAGE}");
    }
}

#[test]
fn a_kind_that_nobody_described_is_found() {
    let text = "//! ```text\n//!   64  STATUS  nothing\n//! ```\n\nconst STATUS: u8 = 64;\npub const PUT: u8 = 67;\nconst FLAG: u8 = 1;\n";
    let expected = [
        "a.rs: kind 67, PUT, is not at its head",
        "a.rs: kind 67, PUT, is not in docs/PROTOCOL.md",
    ];
    assert_eq!(missing("a.rs", text, "STATUS and PUTS", 64), expected);
}

#[test]
fn every_file_that_describes_bytes_of_the_wire_is_linked_from_the_page() {
    let page = read(PAGE);
    let mut described = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("src/wire")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if !name.ends_with(".rs") {
            continue;
        }
        let path = format!("src/wire/{name}");
        if !head(&read(&path)).contains("```text") {
            continue;
        }
        described += 1;
        assert!(page.contains(&format!("(../{path})")), "{path} is not linked from {PAGE}");
    }
    assert!(described >= 8, "{described}");
}
