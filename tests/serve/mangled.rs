//! T10: configurations and users files that somebody spoiled. What is read is what stands there; all else is refused
//! in one line, with the line of the file, and what a users file keeps of a password is not repeated.

use repliq::{Code, Users};
use serde_json::Value;

use super::mangle::Random;
use super::run::Place;
use super::seeds;

/// Files of one seed.
const CONFIGURATIONS: u64 = 20;
const ROSTERS: u64 = 500;

const GOOD: &str = r#"
store = "/var/lib/repliq/store"
listen = ["unix:/run/socket", "[::]:20901"]   # two
"plain" = true
users_file = '/var/lib/repliq/users'
keep_ms = 1_000
keep_bytes = 0xff
failures_max = 5
level = "process"
http = "127.0.0.1:20902"
log_format = "json"
"#;

/// What a file of this kind is made of.
const WORDS: [&[u8]; 22] = [
    b"\n",
    b"=",
    b"\"",
    b"'",
    b"\"\"\"",
    b"#",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b".",
    b"\\",
    b"\\u0000",
    b"-1",
    b"18446744073709551616",
    b"99999999999999999999999999",
    b"0b",
    b"1979-05-27",
    b"nan",
    b"\nplain = false\n",
    b"\xff",
];

/// The values of all options under this file.
fn values(place: &Place, name: &str) -> Vec<Value> {
    let rows = place.run(&format!("config show --json --config @{name}")).json();
    rows.into_iter().map(|row| row["value"].clone()).collect()
}

/// A value of an option as the file spells it.
fn spelled(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(spelled).collect();
            format!("[{}]", list.join(", "))
        }
        // What JSON leaves as it is and TOML does not.
        text => text.to_string().replace('\u{7f}', "\\u007f"),
    }
}

/// Spoils a file and wants its error, or what was read of it.
fn check(random: &mut Random, place: &Place) -> bool {
    let bytes = random.change(GOOD.as_bytes(), &WORDS);
    place.file("c.toml", &bytes);
    let ran = place.run("config show --json --config @c.toml");
    let whole = String::from_utf8_lossy(&bytes);
    if ran.status != 0 {
        ran.fails(Code::Invalid, &["c.toml"]);
        let behind = ran.err.split_once("c.toml:").unwrap_or_else(|| panic!("{}", ran.err)).1;
        let line = behind.split(':').next().and_then(|line| line.parse::<usize>().ok());
        let lines = whole.split('\n').count();
        let in_file = line.is_some_and(|line| (1..=lines).contains(&line));
        let no_text = std::str::from_utf8(&bytes).is_err();
        assert!(in_file || no_text && behind.contains("UTF-8"), "{}\n{whole}", ran.err);
        return false;
    }
    let rows = ran.json();
    let of_file = |row: &&Value| row["origin"].as_str().unwrap() != "default";
    let mut again = String::new();
    for row in rows.iter().filter(of_file) {
        let at = row["origin"].as_str().unwrap().rsplit(':').next().unwrap();
        let line = whole.split('\n').nth(at.parse::<usize>().unwrap() - 1).unwrap();
        let name = row["name"].as_str().unwrap();
        let spelled_out = line.contains(name) || line.contains('\\');
        assert!(spelled_out, "{name} does not stand in line {at} of\n{whole}");
        again += &format!("{name} = {}\n", spelled(&row["value"]));
    }
    place.file("again.toml", &again);
    assert_eq!(values(place, "again.toml"), values(place, "c.toml"), "{whole}\n{again}");
    // What the file names is not there; that, too, is one line.
    let ran = place.run("config check --config @c.toml");
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!((1..100).contains(&ran.status) && ran.err.starts_with("repliq: "), "{ran:?}");
    true
}

#[test]
fn a_spoiled_configuration_is_read_as_it_stands_or_refused_with_its_line() {
    let test =
        "serve mangled::a_spoiled_configuration_is_read_as_it_stands_or_refused_with_its_line";
    let place = Place::new();
    let mut read = 0;
    seeds::run("T10 configuration", test, 6, |seed| {
        let mut random = Random::new(seed);
        for _ in 0..CONFIGURATIONS {
            read += usize::from(check(&mut random, &place));
        }
        CONFIGURATIONS
    });
    assert!(seeds::number("REPLIQ_SEED").is_some() || read > 0, "none of them could be read");
}

/// The text of a users file with two users, and all in it that nobody else may see.
fn roster(place: &Place) -> (String, Vec<String>) {
    let mut users = Users::new();
    for name in ["ann", "bob"] {
        users.add_with(name, &"a password".into(), 4_096).unwrap();
    }
    let right =
        repliq::Right { verbs: repliq::Verb::ALL.to_vec(), queues: vec!["orders*".to_string()] };
    users.set_rights("ann", &[right]).unwrap();
    users.save(place.path("users")).unwrap();
    let text = std::fs::read_to_string(place.path("users")).unwrap();
    let long = |word: &&str| word.len() > 20;
    let words = text.split(['"', '$', ':', '\n', ' ']).filter(long).map(str::to_string);
    let secrets: Vec<String> = words.collect();
    assert!(secrets.len() >= 7, "{text}");
    (text, secrets)
}

/// Exchanges the values of two lines: a verifier where rights are expected, a list where a text is.
fn exchange(random: &mut Random, text: &str) -> String {
    let mut lines: Vec<(&str, &str)> =
        text.lines().map(|line| line.split_once(" = ").unwrap_or((line, ""))).collect();
    let (one, other) = (random.below(lines.len()), random.below(lines.len()));
    let kept = lines[one].1;
    lines[one].1 = lines[other].1;
    lines[other].1 = kept;
    let line = |(name, value): &(&str, &str)| {
        if value.is_empty() { format!("{name}\n") } else { format!("{name} = {value}\n") }
    };
    lines.iter().map(line).collect()
}

#[test]
fn a_spoiled_users_file_is_read_or_refused_and_what_it_keeps_is_not_repeated() {
    let test =
        "serve mangled::a_spoiled_users_file_is_read_or_refused_and_what_it_keeps_is_not_repeated";
    let place = Place::new();
    let (text, secrets) = roster(&place);
    seeds::run("T10 users", test, 4, |seed| {
        let mut random = Random::new(seed);
        for _ in 0..ROSTERS {
            let bytes = match random.below(3) {
                0 => exchange(&mut random, &text).into_bytes(),
                _ => random.change(text.as_bytes(), &WORDS),
            };
            let spoiled = String::from_utf8_lossy(&bytes);
            match spoiled.parse::<Users>() {
                Ok(users) => {
                    for name in users.names() {
                        let saved = users.rights(name).unwrap();
                        assert!(spoiled.contains(name) || spoiled.contains('\\'), "{name:?}");
                        assert!(saved.iter().all(|right| !right.queues.is_empty()), "{spoiled}");
                    }
                }
                Err(error) => {
                    assert_eq!(error.code(), Code::Invalid, "{error}");
                    let said = error.to_string();
                    let found = secrets.iter().find(|secret| said.contains(secret.as_str()));
                    assert!(found.is_none(), "{said}\n{spoiled}");
                }
            }
        }
        ROSTERS
    });
}
