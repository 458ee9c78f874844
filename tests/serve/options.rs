//! `docs/OPTIONS.md` against everything that has options: the Rust structs, the C header, the flags, the keys of the
//! file, the Python stub and the Java classes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::run::{Place, command, files};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PAGE: &str = include_str!("../../docs/OPTIONS.md");
const HEADER: &str = include_str!("../../include/repliq.h");

pub type Names = BTreeSet<String>;

/// An option of the page: its name, and each place with the languages that have it there.
struct Row {
    name: String,
    places: BTreeMap<String, Option<String>>,
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn page() -> Vec<Row> {
    let begin = PAGE.find("| option |").unwrap();
    let table = PAGE[begin..].lines().skip(2).take_while(|line| line.starts_with('|'));
    table
        .map(|line| {
            let cells = cells(line);
            let places = cells[1].split(", ").map(|place| match place.split_once(" (") {
                Some((place, only)) => {
                    let only = only.strip_suffix(" only)").unwrap().to_string();
                    (place.to_string(), Some(only))
                }
                None => (place.to_string(), None),
            });
            Row { name: cells[0].trim_matches('`').to_string(), places: places.collect() }
        })
        .collect()
}

/// What the page says a place has in a language.
fn said(place: &str, language: &str) -> Names {
    let rows = page().into_iter().filter(|row| match row.places.get(place) {
        None => false,
        Some(None) => true,
        Some(Some(only)) => only.split(" and ").any(|one| one == language),
    });
    rows.map(|row| row.name).collect()
}

/// The public fields of a struct in a file, without those that are hidden.
fn fields(file: &str, name: &str) -> Names {
    let text = fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let begin = text.find(&format!("pub struct {name} {{")).unwrap_or_else(|| panic!("{name}"));
    let body = &text[begin..begin + text[begin..].find("\n}").unwrap()];
    let body = body.replace("#[doc(hidden)]\n    pub ", "");
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    fields.map(|(field, _)| field.to_string()).filter(|field| !field.contains(' ')).collect()
}

#[test]
fn the_fields_of_the_rust_structs_are_in_the_page() {
    let all = |parts: &[(&str, &str)]| -> Names {
        let mut names: Names = parts.iter().flat_map(|(file, name)| fields(file, name)).collect();
        // Structs inside structs, listed by their own fields.
        names.retain(|name| !["connect", "select", "limits", "rules"].contains(&name.as_str()));
        names
    };
    let store =
        [("src/session/options.rs", "StoreOptions"), ("src/link/options.rs", "ConnectOptions")];
    let session = [("src/session/transaction.rs", "SessionOptions")];
    let consumer =
        [("src/session/consumer.rs", "ConsumerOptions"), ("src/queue/rules.rs", "Rules")];
    let target = [
        ("src/replicate/replication.rs", "TargetOptions"),
        ("src/replicate/select.rs", "Select"),
        ("src/link/options.rs", "ConnectOptions"),
    ];
    let server =
        [("src/server/options.rs", "ServerOptions"), ("src/server/options.rs", "ServerLimits")];
    for (place, parts) in [
        ("store", &store[..]),
        ("session", &session),
        ("consumer", &consumer),
        ("listener", &[("src/session/listener.rs", "ListenerOptions")]),
        ("replication", &[("src/replicate/replication.rs", "ReplicationOptions")]),
        ("target", &target),
        ("server", &server),
    ] {
        assert_eq!(said(place, "Rust"), all(parts), "{place}");
    }
}

#[test]
fn the_fields_of_the_structures_in_c_are_in_the_page() {
    let mut found = Vec::new();
    for part in HEADER.split("typedef struct repliq_").skip(1) {
        let Some((name, rest)) = part.split_once("_options {") else { continue };
        if name.contains(char::is_whitespace) {
            continue;
        }
        let body = &rest[..rest.find("\n}").unwrap()];
        let lines = body.lines().map(str::trim).filter(|line| line.ends_with(';'));
        let names = lines.filter_map(|line| {
            let name = line.trim_end_matches(';').rsplit([' ', '*']).next()?;
            // The size, and how long the array before it is.
            let own = ["size", "flags", "reserved"].contains(&name) || name.ends_with("_count");
            (!own).then(|| name.to_string())
        });
        assert_eq!(said(name, "C"), names.collect(), "{name}");
        found.push(name);
    }
    found.sort_unstable();
    let all =
        ["consumer", "listener", "put", "replication", "server", "session", "store", "target"];
    assert_eq!(found, all);
}

#[test]
fn the_defaults_of_the_page_are_told_at_the_fields_in_c() {
    let begin = PAGE.find("| option |").unwrap();
    let table = PAGE[begin..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let defaults: BTreeMap<&str, &str> = table
        .map(|line| (cells(line)[0].trim_matches('`'), cells(line)[4].trim_matches('`')))
        .filter(|(_, default)| *default != "0" && default.bytes().all(|one| one.is_ascii_digit()))
        .filter(|(_, default)| !default.is_empty())
        .collect();
    let mut told = 0;
    for part in HEADER.split("typedef struct repliq_").skip(1) {
        let Some((name, rest)) = part.split_once("_options {") else { continue };
        if name.contains(char::is_whitespace) {
            continue;
        }
        let mut comment = String::new();
        for line in rest[..rest.find("\n}").unwrap()].lines().map(str::trim) {
            if !line.ends_with(';') || line.starts_with('*') {
                comment += line;
                continue;
            }
            let field = line.trim_end_matches(';').rsplit([' ', '*']).next().unwrap();
            if let Some(default) = defaults.get(field) {
                let mut words = comment.split(|sign: char| !sign.is_ascii_alphanumeric());
                assert!(words.any(|word| word == *default), "{name}.{field}: not {default}");
                told += 1;
            }
            comment.clear();
        }
    }
    assert!(told > 20, "{told} defaults");
}

#[test]
fn the_keys_of_the_file_and_what_config_shows_are_in_the_page_with_their_defaults() {
    let place = Place::new();
    place.file("empty", "");
    let rows = place.run("config show --config @empty --json").json();
    let shown: Names = rows.iter().map(|row| row["name"].as_str().unwrap().into()).collect();
    assert_eq!(said("serve", "file"), shown);
    for row in &rows {
        let name = row["name"].as_str().unwrap();
        let line = PAGE.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        let default = cells(line)[4].trim_matches('`');
        let default = default.split("`;").next().unwrap();
        let expected = match &row["value"] {
            serde_json::Value::Null => "none".to_string(),
            serde_json::Value::Bool(on) => if *on { "yes" } else { "no" }.to_string(),
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(list) => list[0].as_str().unwrap().to_string(),
            number => number.to_string(),
        };
        assert_eq!(default, expected, "{name}");
    }
    // The example that is installed holds nothing else, whether it is in force or commented out.
    let example = fs::read_to_string(Path::new(ROOT).join("packaging/repliq.toml")).unwrap();
    let keys = example.lines().filter_map(|line| line.trim_start_matches("# ").split_once(" = "));
    let keys = keys.map(|(key, _)| key).filter(|key| !key.contains([' ', '`']));
    for key in keys {
        assert!(shown.contains(key), "{key} of packaging/repliq.toml");
    }
}

/// The flags of each verb, by its name.
pub fn flags() -> BTreeMap<String, Names> {
    let help = |words: &[&str]| {
        let output = command().args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let verbs = |text: &str| -> Vec<String> {
        let lines = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        names.filter(|name| !name.is_empty() && *name != "help").map(str::to_string).collect()
    };
    let of = |text: &str| -> Names {
        let lines = text.lines().map(str::trim_start);
        let flags = lines.filter_map(|line| {
            let line = line.split_once(", ").filter(|pair| pair.0.len() == 2).map_or(line, |p| p.1);
            line.starts_with("--").then(|| line.split([' ', '[', '=']).next().unwrap().to_string())
        });
        flags.collect()
    };
    let mut found = BTreeMap::new();
    for verb in verbs(&help(&[])) {
        let text = help(&[&verb]);
        let acts = verbs(&text);
        for act in &acts {
            found.insert(format!("{verb} {act}"), of(&help(&[&verb, act])));
        }
        if acts.is_empty() {
            found.insert(verb, of(&text));
        }
    }
    found
}

#[test]
fn every_listing_can_be_had_as_json() {
    let flags = flags();
    let others = [
        "status",
        "verify",
        "queue peek",
        "token show",
        "config show",
        "get",
        "put",
        "replicate",
        "bench",
    ];
    let listings = flags.keys().filter(|verb| verb.ends_with(" ls")).map(String::as_str);
    let listings: Vec<&str> = listings.chain(others).collect();
    assert!(listings.len() > 14, "{listings:?}");
    for verb in listings {
        assert!(flags[verb].contains("--json"), "{verb} has no --json");
    }
}

#[test]
fn every_flag_is_an_option_of_the_page_or_listed_as_none() {
    let begin = PAGE.find("| flag |").unwrap();
    let table = PAGE[begin..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let listed: Names = table
        .flat_map(|line| cells(line)[0].split(", ").collect::<Vec<_>>())
        .map(|flag| flag.trim_matches('`').to_string())
        .collect();
    let flags = flags();
    assert!(flags.len() > 25, "{flags:?}");
    let options: Names =
        page().iter().map(|row| format!("--{}", row.name.replace('_', "-"))).collect();
    for (verb, flags) in &flags {
        for flag in flags {
            assert!(options.contains(flag) || listed.contains(flag), "{flag} of {verb}");
        }
    }
    let all: Names = flags.values().flatten().cloned().collect();
    for flag in &listed {
        assert!(all.contains(flag), "{flag} is in the page and no flag of any verb");
    }
    let mut expected: Names = said("serve", "file")
        .iter()
        .filter(|name| *name != "store")
        .map(|name| format!("--{}", name.replace('_', "-")))
        .collect();
    let others = ["--config", "--json", "--help", "--password-fd", "--ask-password"];
    expected.extend(others.map(str::to_string));
    assert_eq!(flags["serve"], expected);
}

fn sources(folder: &str, ends: &str) -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join(folder);
    if !folder.exists() {
        return Vec::new();
    }
    let mut found = files(&folder);
    found.retain(|file| file.to_str().is_some_and(|name| name.ends_with(ends)));
    found
}

/// A name as a language writes it that has a type for times.
fn without_unit(name: &str) -> String {
    name.replace("_ms", "")
}

/// What the page says a place has, in the words of Python.
fn said_in_python(place: &str) -> Names {
    let word = |name: String| match name.as_str() {
        "from" => "start".to_string(),
        "unit" => "job".to_string(),
        name => without_unit(name),
    };
    said(place, "Python").into_iter().map(word).collect()
}

/// The keywords of a function of the stub, found behind some text.
fn keywords(stub: &str, behind: &str, function: &str) -> Names {
    let begin = stub.find(behind).unwrap_or_else(|| panic!("{behind}"));
    let rest = &stub[begin..];
    let begin = rest.find(&format!("def {function}(")).unwrap_or_else(|| panic!("{function}"));
    let arguments = rest[begin..].split(") ->").next().unwrap();
    let (_, named) = arguments.split_once("*,").unwrap();
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let names = named.split(": ").filter_map(|part| part.rsplit(|sign| !is_part(sign)).next());
    let with_default =
        names.filter(|name| !name.is_empty() && named.contains(&format!("{name}: ")));
    with_default.map(str::to_string).collect()
}

#[test]
fn the_keywords_of_the_python_stub_are_in_the_page() {
    let stubs = sources("bindings/python", "/_repliq.pyi");
    let [stub] = &stubs[..] else { panic!("{stubs:?}") };
    let stub = fs::read_to_string(stub).unwrap();
    for (place, behind, function) in [
        ("store", "abi:", "open"),
        ("session", "class Store:", "session"),
        ("consumer", "class Store:", "consumer"),
        ("listener", "class Consumer:", "listen"),
        ("replication", "class Replication:", "__new__"),
        ("target", "class Replication:", "add"),
        ("server", "class Server:", "__new__"),
    ] {
        assert_eq!(said_in_python(place), keywords(&stub, behind, function), "{place}");
    }
    // Beside what a message has.
    assert!(said_in_python("put").is_subset(&keywords(&stub, "class Queue:", "put")));
}

/// What the page says a place has, in the words of Java.
fn said_in_java(place: &str) -> Names {
    let camel = |name: String| {
        let name = without_unit(&name);
        let mut parts = name.split('_');
        let mut word = parts.next().unwrap().to_string();
        for part in parts {
            word += &part[..1].to_uppercase();
            word += &part[1..];
        }
        word
    };
    said(place, "Java").into_iter().map(camel).collect()
}

fn java(class: &str) -> String {
    let file = Path::new(ROOT).join(format!("bindings/java/src/main/java/repliq/{class}.java"));
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{class}: {error}"))
}

#[test]
fn the_setters_of_the_java_options_are_in_the_page() {
    for (place, class) in [
        ("store", "StoreOptions"),
        ("session", "SessionOptions"),
        ("consumer", "ConsumerOptions"),
        ("listener", "ListenerOptions"),
        ("replication", "ReplicationOptions"),
        ("target", "TargetOptions"),
        ("server", "ServerOptions"),
    ] {
        let (text, head) = (java(class), format!("    public {class} "));
        let setters = text.lines().filter_map(|line| line.strip_prefix(&head)?.split_once('('));
        let mut setters: Names = setters.map(|(name, _)| name.to_string()).collect();
        if place == "listener" {
            // It changes the type of the handler, so it is a method.
            assert!(java("Consumer").contains("public Listener listenJobs("));
            setters.insert("unit".to_string());
        }
        assert_eq!(said_in_java(place), setters, "{place}");
    }
    // One option needs no builder.
    assert_eq!(said_in_java("put"), Names::from(["level".to_string()]));
    assert!(java("Queue").contains("public Commit put(Message message, Level level)"));
    assert!(java("Store").contains("public Session session(Level level)"));
}
