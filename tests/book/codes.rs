//! `docs/TROUBLESHOOTING.md` against the codes: each has an entry, or stands among those that nothing answers yet.

use std::collections::BTreeSet;
use std::path::Path;

use repliq::{Code, FATAL, REQUIRES_ROLLBACK, RETRIABLE};

use crate::page::{ROOT, read};

const PAGE: &str = "docs/TROUBLESHOOTING.md";
const UNUSED: &str = "## Codes that nothing answers yet";

/// The entries of the page: code and text.
fn entries(page: &str) -> Vec<(&str, &str)> {
    let (page, _) = page.split_once(UNUSED).expect("a heading for the rest");
    let parts = page.split("\n### ").skip(1);
    parts.map(|part| part.split_once('\n').unwrap()).collect()
}

/// The codes without an entry, as their table has them.
fn unused(page: &str) -> Vec<&str> {
    let (_, rest) = page.split_once(UNUSED).unwrap();
    let rows = rest.lines().filter_map(|line| line.strip_prefix("| "));
    let names = rows.filter_map(|row| row.split(' ').nth(2));
    names.filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_')).collect()
}

/// The line below the heading of an entry.
fn head(code: Code) -> String {
    let has = |flag: u32| code.flags() & flag != 0;
    let mut line = format!("*{}.", code as i32);
    line +=
        if has(RETRIABLE) { " May be repeated as it is." } else { " Not to be repeated as it is." };
    if has(REQUIRES_ROLLBACK) {
        line += " Roll the transaction back first.";
    }
    if has(FATAL) {
        line += " The handle is finished: close it.";
    }
    line + "*"
}

fn wrong_entries(page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let entries = entries(page);
    let named: Vec<&str> = entries.iter().map(|(name, _)| *name).chain(unused(page)).collect();
    let known: Vec<&str> = Code::ALL[1..].iter().map(|code| code.name()).collect();
    for code in &known {
        match named.iter().filter(|name| *name == code).count() {
            1 => (),
            n => wrong.push(format!("{code} is told {n} times")),
        }
    }
    wrong.extend(
        named.iter().filter(|name| !known.contains(name)).map(|name| format!("{name} is no code")),
    );
    for (name, text) in entries {
        let Some(code) = Code::ALL.iter().find(|code| code.name() == name) else { continue };
        if !text.starts_with(&format!("\n{}\n", head(*code))) {
            wrong.push(format!("{name} does not begin with {}", head(*code)));
        }
        for part in ["**Means:** ", "**Causes:** ", "**Do:** "] {
            if text.matches(part).count() != 1 {
                wrong.push(format!("{name} does not say once {part}"));
            }
        }
    }
    wrong
}

#[test]
fn each_code_has_its_entry() {
    let wrong = wrong_entries(&read(PAGE));
    assert!(wrong.is_empty(), "{PAGE}:\n  {}", wrong.join("\n  "));
}

#[test]
fn a_code_without_an_entry_and_an_entry_that_promises_too_much_are_found() {
    let page = read(PAGE);
    let missing = page.replacen("\n### LOCKED\n", "\n", 1);
    assert!(wrong_entries(&missing).contains(&"LOCKED is told 0 times".to_string()));
    let new = page.replacen("\n### LOCKED\n", "\n### LOCKED\n\n### NEW\n", 1);
    assert!(wrong_entries(&new).contains(&"NEW is no code".to_string()));
    let promise = page.replacen(&head(Code::Denied), &head(Code::Busy), 1);
    assert_eq!(
        wrong_entries(&promise),
        [format!("DENIED does not begin with {}", head(Code::Denied))]
    );
}

/// The codes in the table of refusals, which a run in every language wrote.
fn refused() -> BTreeSet<String> {
    let text = read("docs/ERRORS.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let codes =
        rows.map(|row| row.rsplit("` | ").next().unwrap().split(' ').next().unwrap().to_string());
    codes.collect()
}

/// Every file of the library that is released, as one text.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            into.push_str(text.split("#[cfg(test)]\nmod tests").next().unwrap());
        }
    }
}

#[test]
fn a_code_that_nothing_answers_is_answered_by_nothing() {
    let page = read(PAGE);
    let (unused, refused) = (unused(&page), refused());
    assert!(refused.len() > 15, "{refused:?}");
    let mut text = String::new();
    sources(&Path::new(ROOT).join("src"), &mut text);
    let answers = |name: &str| {
        let code = Code::ALL.iter().find(|code| code.name() == name).unwrap();
        let made = ["Error::new(", "because(", "refuse(", "Fail::new("];
        made.iter().any(|call| text.contains(&format!("{call}Code::{code:?},")))
    };
    assert!(answers("LOCKED") && answers("DIVERGED"));
    for name in unused {
        assert!(!refused.contains(name) && !answers(name), "{name} is answered: write its entry");
    }
}
