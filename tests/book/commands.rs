//! Every command on a page is one: verb and flags are those that `repliq help` knows.

use std::collections::BTreeMap;
use std::process::Command;

use crate::page::{blocks, pages_in, read};

/// The lines of a page that are code, and what stands in backticks, with their lines.
fn code(text: &str) -> Vec<(usize, String)> {
    let shell = blocks(text).into_iter().filter(|one| one.language == "sh");
    let inside: Vec<usize> =
        shell.flat_map(|one| one.opens + 1..=one.opens + one.body.lines().count()).collect();
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if inside.contains(&at) || line.starts_with("    ") {
            found.push((at + 1, line.to_string()));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.map(|span| (at + 1, span.replace("\\|", "|"))));
        }
    }
    found
}

/// What the help says of a verb, or nothing for one that is none.
fn help(verb: &[&str]) -> Option<String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_repliq")).arg("help").args(verb).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The commands in a line: of `repliq queue ls|peek STORE --json | sort` that is both verbs with the one flag.
fn commands(line: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let line = line.split('#').next().unwrap();
    let parts =
        line.split(" | ").flat_map(|part| part.split("; ")).flat_map(|part| part.split(" && "));
    let mut found = Vec::new();
    for part in parts {
        let Some(at) = part.rfind("repliq ") else { continue };
        if part[..at].ends_with(|c: char| !c.is_whitespace()) {
            continue;
        }
        let words: Vec<&str> = part[at..].split_whitespace().skip(1).collect();
        let is_verb = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '|');
        let verb: Vec<&str> = words.iter().take(2).take_while(is_verb).copied().collect();
        let flags = words.iter().filter(|word| word.starts_with("--"));
        let flags = flags.map(|flag| flag.split(['=', '[']).next().unwrap().to_string());
        let flags: Vec<String> = flags.filter(|flag| flag.len() > 2).collect();
        let Some(first) = verb.first() else { continue };
        for first in first.split('|') {
            for second in verb.get(1).map_or(vec![""], |second| second.split('|').collect()) {
                let both = [first, second].map(String::from).to_vec();
                found.push((both, flags.clone()));
            }
        }
    }
    found
}

fn wrong(page: &str, text: &str, known: &mut BTreeMap<Vec<String>, Option<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in code(text) {
        for (verb, flags) in commands(&line) {
            let mut look = |words: &[String]| {
                let look = || help(&words.iter().map(String::as_str).collect::<Vec<_>>());
                known.entry(words.to_vec()).or_insert_with(look).clone()
            };
            let of_noun = look(&verb[..1]).is_some_and(|text| text.contains("Commands:"));
            // A second word that is no verb is the name of a store.
            let text = if of_noun && !verb[1].is_empty() { look(&verb) } else { look(&verb[..1]) };
            let Some(text) = text else {
                found.push(format!("{page}:{number}: there is no repliq {}", verb.join(" ")));
                continue;
            };
            let has =
                |flag: &String| text.split([' ', '\n', ',', '[', '=']).any(|word| word == *flag);
            let unknown = flags.iter().filter(|flag| *flag != "--help" && !has(flag));
            found.extend(
                unknown.map(|flag| format!("{page}:{number}: {} has no {flag}", verb.join(" "))),
            );
        }
    }
    found
}

#[test]
fn the_commands_on_the_pages_exist_with_their_flags() {
    let pages =
        ["README.md", "examples/README.md"].map(String::from).into_iter().chain(pages_in("docs"));
    let mut known = BTreeMap::new();
    let mut found = Vec::new();
    for page in pages {
        found.extend(wrong(&page, &read(&page), &mut known));
    }
    assert!(known.len() > 20, "{}", known.len());
    crate::assert_none(&found);
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let text = "`repliq qeue ls` and `repliq queue ls|list STORE --json`\n\n    sudo -u repliq repliq get shop --whole # --no\n";
    let found = wrong("p", text, &mut BTreeMap::new());
    assert_eq!(
        found,
        [
            "p:1: there is no repliq qeue ls",
            "p:1: there is no repliq queue list",
            "p:3: get shop has no --whole",
        ]
    );
}
