//! Every function of the header has its call in C++, Python and Java, and every field of a message its name there.
//!
//! The rule: `repliq_consumer_delete` is `Consumer.delete`, in the spelling of the language. What has another name stands
//! in the table, once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::header::{ROOT, committed};

/// A function of C, and its name in Python and in Java; where there is none, what stands for it.
const OTHERWISE: &[(&str, &str, &str)] = &[
    ("abi_version", "abi", "Repliq.abi"),
    ("code_flags", "Error.retriable", "Code.isRetriable"),
    ("code_name", "Code", "Code"),
    ("consumer_delete", "Store.consumer_delete", "Store.consumerDelete"),
    ("consumer_open", "Store.consumer", "Store.consumer"),
    ("consumer_reject_to_end", "Consumer.reject", "Consumer.rejectToEnd"),
    ("error_last", "Error", "RepliqException"),
    ("listener_open", "Consumer.listen", "Consumer.listen"),
    ("log_set", "log_set", "Log"),
    ("port_fd", "Port.fileno", "Port.fd"),
    ("port_open", "Port.__new__", "Port.open"),
    ("replication_open", "Replication.__new__", "Replication.Replication"),
    ("server_open", "Server.__new__", "Server.Server"),
    ("session_open", "Store.session", "Store.session"),
    ("snapshot_open", "Store.snapshot", "Store.snapshot"),
    ("store_open", "open", "Store.open"),
    ("store_password", "Store.change_password", "Store.changePassword"),
    ("store_put_start", "Queue.put_start", "Queue.putStart"),
    ("store_restore", "restore", "Store.restore"),
    ("store_wait", "Store.wait", "Store.await"),
    ("version", "version", "Repliq.version"),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The functions of the header, without `repliq_`.
fn functions() -> BTreeSet<String> {
    let text = committed();
    let lines = text.lines().filter(|line| !line.starts_with([' ', '*', '/', '#']));
    let calls = lines.filter_map(|line| line.split_once('('));
    let names = calls.filter_map(|(before, _)| before.rsplit([' ', '*']).next());
    // `repliq_text` is a helper for literals of C.
    let names =
        names.filter_map(|name| name.strip_prefix("repliq_")).filter(|name| *name != "text");
    names.map(str::to_string).collect()
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

/// The noun as a class, and the verb.
fn parts(function: &str) -> (String, String) {
    if let Some(verb) = function.strip_prefix("transaction_id_") {
        return ("TransactionId".into(), verb.into());
    }
    let (noun, verb) = function.split_once('_').unwrap_or((function, ""));
    (capital(noun), verb.into())
}

fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap_or_default().to_string();
    words.fold(first, |made, word| made + &capital(word))
}

/// What Python has: functions, classes, values, and the methods and properties of classes.
fn python() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in ["_repliq.pyi", "_errors.py", "_listener.py", "_log.py"] {
        let text = read(&format!("bindings/python/python/repliq/{file}"));
        let mut class = String::new();
        for line in text.lines() {
            let name = |rest: &str| rest.split(['(', ':']).next().unwrap_or_default().to_string();
            if let Some(rest) = line.strip_prefix("class ") {
                class = name(rest);
                found.insert(class.clone());
            } else if let Some(rest) = line.strip_prefix("def ") {
                found.insert(name(rest));
            } else if let Some(rest) = line.strip_prefix("    def ") {
                found.insert(format!("{class}.{}", name(rest)));
            } else if line.contains(": Final[") {
                found.insert(name(line));
            }
        }
    }
    found
}

/// The public methods and constructors of a class of Java, and the class itself.
fn java(class: &str) -> BTreeSet<String> {
    let text = read(&format!("bindings/java/src/main/java/repliq/{class}.java"));
    let public = text.lines().filter(|line| line.starts_with("    public "));
    let calls = public.filter_map(|line| line.split_once('('));
    let names = calls.filter_map(|(before, _)| before.rsplit(' ').next());
    names.map(|name| format!("{class}.{name}")).chain([class.to_string()]).collect()
}

/// Whether a text has this word as a whole.
fn names(text: &str, word: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|sign: char| sign.is_alphanumeric() || sign == '_');
    text.match_indices(word).any(|(at, _)| ends(&text[at + word.len()..]))
}

#[test]
fn every_function_of_c_has_its_call_in_cpp_python_and_java() {
    let (functions, in_python) = (functions(), python());
    assert!(functions.len() > 75, "{functions:?}");
    let cpp = read("include/repliq.hpp");
    let otherwise: BTreeMap<&str, (&str, &str)> =
        OTHERWISE.iter().map(|(c, python, java)| (*c, (*python, *java))).collect();
    let mut missing = Vec::new();
    for function in &functions {
        let (class, verb) = parts(function);
        let (python, java_name) = match otherwise.get(function.as_str()) {
            Some((python, java)) => (python.to_string(), java.to_string()),
            None => (format!("{class}.{verb}"), format!("{class}.{}", camel(&verb))),
        };
        if !names(&cpp, &format!("repliq_{function}")) {
            missing.push(format!("{function} in C++"));
        }
        if !in_python.contains(&python) {
            missing.push(format!("{function} in Python: {python}"));
        }
        if !java(java_name.split('.').next().unwrap()).contains(&java_name) {
            missing.push(format!("{function} in Java: {java_name}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    for (function, ..) in OTHERWISE {
        assert!(functions.contains(*function), "{function} is no function of the header");
    }
}

#[test]
fn every_field_of_a_message_has_its_name_in_python_and_java() {
    let header = committed();
    let begin = header.find("typedef struct repliq_message {").unwrap();
    let body = &header[begin..begin + header[begin..].find("\n}").unwrap()];
    let lines = body.lines().map(str::trim).filter(|line| line.ends_with(';'));
    let names = lines.filter_map(|line| line.trim_end_matches(';').rsplit([' ', '*']).next());
    let names: Vec<&str> = names
        .filter(|name| *name != "header_count" && !name.starts_with("reserved"))
        .map(|name| name.trim_end_matches("_ms"))
        .collect();
    assert!(names.len() >= 13, "{names:?}");
    let (in_python, in_java) = (python(), {
        let text = read("bindings/java/src/main/java/repliq/Message.java");
        let public = text.lines().filter(|line| line.starts_with("    public "));
        let calls = public.filter_map(|line| line.split_once("()"));
        calls
            .filter_map(|(before, _)| Some(before.rsplit(' ').next()?.to_string()))
            .collect::<BTreeSet<_>>()
    });
    for name in names {
        assert!(in_python.contains(&format!("Message.{name}")), "{name} in Python");
        assert!(in_java.contains(&camel(name)), "{name} in Java: {in_java:?}");
    }
}
