//! Each refusal is named where a reader of C looks for it: in the comment of the function that refused, or in the
//! grammar at the head of the header, which holds for all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::header::{Function, ROOT, committed, functions};
use super::install::scripts;
use crate::interpreter::{Way, run_in};

/// The function behind a step of a script.
const FUNCTIONS: &[(&str, &str)] = &[
    ("open", "store_open"),
    ("connect", "store_open"),
    ("connect_at", "store_open"),
    ("password", "store_password"),
    ("backup", "store_backup"),
    ("restore", "store_restore"),
    ("queue", "store_queue"),
    ("pause", "queue_pause"),
    ("resume", "queue_resume"),
    ("purge", "queue_purge"),
    ("delete", "queue_delete"),
    ("redrive", "queue_redrive"),
    ("put", "store_put"),
    ("put_start", "store_put_start"),
    ("session", "session_open"),
    ("id", "session_id"),
    ("parse_id", "transaction_id_parse"),
    ("resolve", "store_resolve"),
    ("session_put", "session_put"),
    ("session_receive", "session_receive"),
    ("commit", "session_commit"),
    ("commit_start", "session_commit_start"),
    ("rollback", "session_rollback"),
    ("prepare", "session_prepare"),
    ("finish", "store_finish"),
    ("prepared", "store_prepared"),
    ("consumer", "consumer_open"),
    ("consumer_delete", "consumer_delete"),
    ("receive", "consumer_receive"),
    ("watch", "consumer_watch"),
    ("ack", "consumer_ack"),
    ("reject", "consumer_reject"),
    ("renew", "consumer_renew"),
    ("seek", "consumer_seek"),
    ("snapshot", "snapshot_open"),
    ("browse", "snapshot_browse"),
    ("port", "port_open"),
    ("wait", "store_wait"),
    ("parse", "token_parse"),
    ("join", "token_join"),
    ("server", "server_open"),
    ("replication", "replication_open"),
    ("target", "replication_add"),
    ("target_at", "replication_add"),
    ("send", "replication_send_many"),
    ("start_job", "replication_start_job"),
    ("end_job", "replication_end_job"),
    ("abort_job", "replication_abort_job"),
    ("stop", "replication_stop"),
];

/// What the grammar says any function may answer, any that changes a store, and any that reads from one.
const ANYWHERE: [&str; 9] =
    ["CLOSED", "IO", "FORKED", "PANIC", "READ_ONLY", "NO_SPACE", "POISONED", "CORRUPT", "TAMPERED"];
/// And what it says of stores that were opened by their URL.
const AT_A_SERVER: [&str; 5] = ["UNREACHABLE", "TIMEOUT", "DENIED", "QUOTA", "UNSUPPORTED"];

/// The function a step calls.
fn function_of(step: &str) -> Option<&'static str> {
    let verb = step.split(' ').next()?;
    if verb == "reject" && step.contains(" to_end=yes") {
        return Some("consumer_reject_to_end");
    }
    FUNCTIONS.iter().find(|row| row.0 == verb).map(|row| row.1)
}

/// A comment with those it refers to: "as repliq_store_put does".
fn comment(name: &str, all: &BTreeMap<String, Function>, depth: usize) -> String {
    let mut text = all[name].doc.clone();
    let others: Vec<&String> = all
        .keys()
        .filter(|other| *other != name && text.contains(&format!("as {other} does")))
        .collect();
    for other in others.into_iter().filter(|_| depth > 0) {
        text += &comment(other, all, depth - 1);
    }
    text
}

fn names(text: &str, code: &str) -> bool {
    let word = format!("REPLIQ_{code}");
    text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_').any(|one| one == word)
}

/// What every function answered in the scripts, run so.
fn answers(way: Way, files: &[PathBuf]) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let held = run_in(&text, folder.path(), way);
        let held = held.unwrap_or_else(|(line, why)| panic!("{}:{line}: {why}", file.display()));
        let lines: Vec<&str> = text.lines().collect();
        for (line, refusal) in held.refused {
            let step = lines[line - 1];
            // What a target says in its status is no answer of a function.
            if step.starts_with("told ") {
                continue;
            }
            let function = function_of(step).unwrap_or_else(|| panic!("what does {step:?} call?"));
            found.insert((function, refusal.split(": ").next().unwrap().to_string()));
        }
    }
    found
}

#[test]
fn each_code_that_a_function_answers_is_named_in_its_comment() {
    let header = committed();
    let all: BTreeMap<String, Function> =
        functions(&header).into_iter().map(|function| (function.name.clone(), function)).collect();
    let here = scripts();
    let served = fs::read_dir(Path::new(ROOT).join("tests/conformance/server")).unwrap();
    let served = served.map(|entry| entry.unwrap().path());
    let everywhere: Vec<PathBuf> = here.iter().cloned().chain(served).collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (way, files) in [(Way::Here, &here), (Way::Tcp, &everywhere)] {
        for (function, code) in answers(way, files) {
            count += 1;
            let text = comment(&format!("repliq_{function}"), &all, 2);
            let general =
                ANYWHERE.contains(&&*code) || (way == Way::Tcp && AT_A_SERVER.contains(&&*code));
            if !general && !names(&text, &code) {
                wrong.push(format!("repliq_{function} answers {code} and does not say so"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{count} pairs of a function and a code");
    assert!(count > 100, "only {count} pairs of a function and a code");
    let head = header.split("#ifndef REPLIQ_H").next().unwrap();
    for code in ANYWHERE.iter().chain(&AT_A_SERVER) {
        assert!(names(head, code), "the grammar does not name {code}");
    }
    for (name, function) in &all {
        let says = ["Fails with ", "Fails as "].iter().any(|words| function.doc.contains(words));
        assert!(says || function.result != "repliq_code", "{name} does not say how it fails");
    }
}
