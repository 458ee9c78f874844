//! The style guide as a test: layers, switches, `unsafe`, sizes and words. What cannot be checked is not a rule.
//!
//! Each rule reads the tree and returns what it found as `file:line: what`, so a failing list reads as a report.
//! Beside each rule stands a test that plants a violation, because a rule that cannot fail is none.

#![allow(clippy::unwrap_used)]

#[path = "tidy/checklist.rs"]
mod checklist;
#[path = "tidy/licences.rs"]
mod licences;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use source::{Source, files, mark_test_files, read_rust, relative};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The rooms from top to bottom. A room imports from lower lines only, never from its own.
const LAYERS: &[&[&str]] = &[
    &["capi", "bin"],
    &["server"],
    &["replicate", "sink", "source"],
    &["session"],
    &["link"],
    &["wire", "queue"],
    &["store"],
    &["journal"],
    &["disk"],
    &["position", "secret"],
    &["error", "limits", "sum", "sync", "sabotage"],
];

/// The rooms whose tested code is the released code.
const WITHOUT_SWITCHES: &[&str] = &["journal", "store", "queue"];

/// Blocks and impls of `unsafe` in released code. A larger number needs a reason in the commit.
const UNSAFE: &[(&str, usize)] = &[
    ("src/capi/", 120),
    ("src/disk/", 21),
    ("src/sum.rs", 3),
    ("bindings/java/native/", 8),
    ("bindings/python/", 1),
];

/// The longest file of the library, without its tests.
const LINES_MAX: usize = 700;

fn library() -> Vec<Source> {
    read_rust(Path::new(ROOT), &["src"])
}

/// A tree made of these files, as the rules see it.
fn planted(files: &[(&str, &str)]) -> Vec<Source> {
    let mut sources = files.iter().map(|(path, text)| Source::new(path, text)).collect::<Vec<_>>();
    mark_test_files(&mut sources);
    sources
}

fn assert_none(found: Vec<String>) {
    assert!(found.is_empty(), "{} found:\n  {}", found.len(), found.join("\n  "));
}

// ---- layers

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

fn upward_imports(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let Some(room) = source.room().filter(|&room| room != "lib") else { continue };
        let Some(own) = layer(room) else {
            found.push(format!("{}: the room {room} has no layer in tests/tidy.rs", source.path));
            continue;
        };
        for (offset, path) in source.paths() {
            let Some(target) =
                path.strip_prefix("crate::").and_then(|rest| rest.split("::").next())
            else {
                continue;
            };
            let is_macro = source.code[offset..].trim_start_matches(path.as_str()).starts_with('!');
            let complaint = match layer(target) {
                None if is_macro => continue,
                None => format!("imports {target} past its room"),
                Some(_) if target == room => continue,
                Some(theirs) if theirs > own => continue,
                Some(theirs) if theirs == own => format!("imports {target}, of its own layer"),
                Some(_) => format!("imports {target}, from above"),
            };
            found.push(format!("{}: {room} {complaint}", source.at(offset)));
        }
    }
    found
}

#[test]
fn imports_go_downward_only() {
    assert_none(upward_imports(&library()));
}

#[test]
fn an_import_upward_sideways_or_past_a_room_is_found() {
    let found = upward_imports(&planted(&[
        (
            "src/journal/mod.rs",
            "//! a\nuse crate::{disk::File, store::{Apply, Row}};\nuse crate::Store;\n",
        ),
        ("src/queue/put.rs", "//! a\nfn put() { crate::wire::frame() }\n// crate::session\n"),
        (
            "src/store/mod.rs",
            "//! a\nuse crate::store::row;\n#[cfg(test)]\nmod tests { use crate::capi; }\n",
        ),
        ("src/store/tests.rs", "//! a\nuse crate::capi;\n"),
        ("src/attic.rs", "//! a\n"),
    ]));
    assert_eq!(
        found,
        [
            "src/journal/mod.rs:2: journal imports store, from above",
            "src/journal/mod.rs:2: journal imports store, from above",
            "src/journal/mod.rs:3: journal imports Store past its room",
            "src/queue/put.rs:2: queue imports wire, of its own layer",
            "src/store/tests.rs:2: store imports capi, from above",
            "src/attic.rs: the room attic has no layer in tests/tidy.rs",
        ]
    );
}

// ---- the tested code is the released code

/// A test module adds code and changes none, so it is fine; `sabotage!` proves that the tests can fail.
fn switches(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        if !source.room().is_some_and(|room| WITHOUT_SWITCHES.contains(&room)) {
            continue;
        }
        for word in ["cfg", "cfg_attr"] {
            for offset in source.words(word) {
                let inside_a_test =
                    offset.checked_sub(3).is_some_and(|before| source.is_test(before));
                if inside_a_test {
                    continue;
                }
                let text = &source.text[offset..];
                let test_module = text
                    .strip_prefix("cfg(test)]")
                    .is_some_and(|rest| rest.trim_start().starts_with("mod tests"));
                if !test_module && !text.starts_with("cfg(feature = \"sabotage\")") {
                    let line = text.lines().next().unwrap_or(word);
                    found.push(format!("{}: a switch: {line}", source.at(offset)));
                }
            }
        }
        for (offset, path) in source.paths() {
            if path.starts_with("crate::disk::model") {
                found.push(format!("{}: released code knows the model disk", source.at(offset)));
            }
        }
    }
    found
}

#[test]
fn journal_store_and_queue_have_no_switch_between_test_and_release() {
    assert_none(switches(&library()));
}

#[test]
fn a_switch_is_found() {
    let found = switches(&planted(&[
        ("src/store/a.rs", "//! cfg(test)\n#[cfg(test)]\nconst SMALL: usize = 1;\n"),
        (
            "src/queue/b.rs",
            "fn b() { if cfg!(test) {} sabotage!(\"b\"); }\n#[cfg(feature = \"x\")]\nfn c() {}\n",
        ),
        (
            "src/journal/c.rs",
            "use crate::disk::{model::ModelDisk, Disk};\n#[cfg(test)]\nmod tests;\n",
        ),
        ("src/disk/d.rs", "#[cfg(test)]\nfn d() {}\n"),
        ("src/queue/e.rs", "#[cfg(feature = \"sabotage\")]\nfn e() {}\n"),
        ("src/queue/f.rs", "#[cfg(test)]\nmod tests {\n    #[cfg(miri)]\n    fn f() {}\n}\n"),
    ]));
    assert_eq!(
        found,
        [
            "src/store/a.rs:2: a switch: cfg(test)]",
            "src/queue/b.rs:1: a switch: cfg!(test) {} sabotage!(\"b\"); }",
            "src/queue/b.rs:2: a switch: cfg(feature = \"x\")]",
            "src/journal/c.rs:1: released code knows the model disk",
        ]
    );
}

// ---- one file picks the locks

fn stray_locks(sources: &[Source]) -> Vec<String> {
    const LOCKS: [&str; 4] = ["Mutex", "Condvar", "RwLock", "MutexGuard"];
    let mut found = Vec::new();
    for source in sources {
        if source.room().is_some_and(|room| ["sync", "disk"].contains(&room)) {
            continue;
        }
        for (offset, path) in source.paths() {
            let std_lock = path
                .strip_prefix("std::sync::")
                .is_some_and(|rest| rest.split("::").any(|name| LOCKS.contains(&name)));
            if std_lock || path.split("::").next() == Some("parking_lot") {
                found.push(format!("{}: {path} instead of crate::sync", source.at(offset)));
            }
        }
    }
    found
}

#[test]
fn lock_types_are_picked_in_sync_only() {
    assert_none(stray_locks(&library()));
}

#[test]
fn a_lock_picked_elsewhere_is_found() {
    let found = stray_locks(&planted(&[
        ("src/store/a.rs", "use std::sync::{Arc, Mutex};\nuse std::{fmt, sync::RwLock};\n"),
        ("src/queue/b.rs", "struct B { lock: parking_lot::Mutex<u8>, seen: std::sync::Arc<u8> }\n"),
        ("src/sync.rs", "pub use parking_lot::Mutex;\n"),
        ("src/disk/real.rs", "use std::sync::Mutex;\n"),
    ]));
    assert_eq!(
        found,
        [
            "src/store/a.rs:1: std::sync::Mutex instead of crate::sync",
            "src/store/a.rs:2: std::sync::RwLock instead of crate::sync",
            "src/queue/b.rs:1: parking_lot::Mutex instead of crate::sync",
        ]
    );
}

// ---- unsafe

/// The blocks and impls; attributes and signatures carry the word, too, but promise nothing.
fn unsafe_blocks(source: &Source) -> Vec<usize> {
    let opens = |&offset: &usize| {
        let behind = source.code[offset + "unsafe".len()..].trim_start();
        behind.starts_with('{') || behind.starts_with("impl")
    };
    source.words("unsafe").filter(opens).collect()
}

/// A `SAFETY:` comment stands right above the statement, or above the line inside it.
fn has_reason(source: &Source, offset: usize) -> bool {
    let line = source.text[..offset].matches('\n').count();
    let above =
        || source.text.lines().take(line).collect::<Vec<_>>().into_iter().rev().map(str::trim);
    let ends = |line: &str| line.is_empty() || line.ends_with([';', '{', '}']);
    above()
        .skip_while(|line| !line.starts_with("//") && !ends(line))
        .take_while(|line| line.starts_with("//"))
        .any(|line| line.starts_with("// SAFETY:"))
}

fn unexplained_unsafe(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for offset in source.words("unsafe") {
            if !UNSAFE.iter().any(|(folder, _)| source.path.starts_with(folder)) {
                found.push(format!("{}: unsafe outside the rooms for it", source.at(offset)));
            }
        }
        for offset in unsafe_blocks(source) {
            if !has_reason(source, offset) {
                found.push(format!("{}: unsafe without a SAFETY line", source.at(offset)));
            }
        }
    }
    found
}

fn unsafe_count(sources: &[Source], folder: &str) -> usize {
    let inside = sources.iter().filter(|source| source.path.starts_with(folder));
    inside
        .map(|source| unsafe_blocks(source).iter().filter(|&&block| !source.is_test(block)).count())
        .sum()
}

#[test]
fn unsafe_stays_in_its_rooms_and_gives_its_reason() {
    assert_none(unexplained_unsafe(&read_rust(Path::new(ROOT), &["src", "bindings"])));
}

#[test]
fn unsafe_does_not_grow_unseen() {
    let sources = read_rust(Path::new(ROOT), &["src", "bindings"]);
    let counts = UNSAFE.iter().map(|(folder, _)| (*folder, unsafe_count(&sources, folder)));
    assert_eq!(counts.collect::<Vec<_>>(), UNSAFE, "left: what the tree holds");
}

#[test]
fn unsafe_without_a_room_or_a_reason_is_found() {
    let reason =
        "// SAFETY: the caller's contract,\n// in two lines.\nlet a =\n    unsafe { b() };\n";
    let far = "// SAFETY: not here\nlet a = 1;\nlet b = unsafe { c() };\n";
    let sources = planted(&[
        ("src/store/a.rs", "fn a() { /* unsafe */ unsafe_name(\"unsafe\") }\nunsafe fn b() {}\n"),
        ("src/disk/b.rs", reason),
        ("src/disk/c.rs", far),
        ("src/capi/d.rs", "#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn d() {}\n"),
    ]);
    assert_eq!(
        unexplained_unsafe(&sources),
        [
            "src/store/a.rs:2: unsafe outside the rooms for it",
            "src/disk/c.rs:3: unsafe without a SAFETY line",
        ]
    );
    assert_eq!(unsafe_count(&sources, "src/disk/"), 2);
    assert_eq!(unsafe_count(&sources, "src/capi/"), 0);
}

// ---- files

fn untidy_files(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        if !source.text.starts_with("//!") {
            found.push(format!("{}:1: does not open with //!", source.path));
        }
        let lines = source.released_lines();
        if lines > LINES_MAX {
            found.push(format!("{}:{LINES_MAX}: {lines} lines, tests not counted", source.path));
        }
    }
    found
}

#[test]
fn files_open_with_their_promise_and_stay_short() {
    assert_none(untidy_files(&library()));
}

#[test]
fn a_file_without_a_head_or_too_long_is_found() {
    let long = "//! a\n".repeat(LINES_MAX + 1);
    let tested = format!("//! a\n#[cfg(test)]\nmod tests {{\n{}}}\n", "// a\n".repeat(LINES_MAX));
    let found = untidy_files(&planted(&[
        ("src/a.rs", "use b;\n"),
        ("src/b.rs", &long),
        ("src/c.rs", &tested),
        ("src/d.rs", "//! a\n#[cfg(test)]\nmod tests;\n"),
        ("src/d/tests.rs", &long),
    ]));
    assert_eq!(
        found,
        ["src/a.rs:1: does not open with //!", "src/b.rs:700: 701 lines, tests not counted"]
    );
}

// ---- words

/// Words that would not mean the same on another machine, or say nothing about the library. Written in pieces,
/// so that this file does not hold them.
fn banned_words() -> Vec<String> {
    const PIECES: &[&[&str]] = &[
        &["/wo", "rk/"],
        &["/ro", "ot/"],
        &["fa", "rm-"],
        &["sub", "agent"],
        &["helper", " agent"],
        &["L", "LM"],
        &["Cla", "ude"],
        &["Chat", "GPT"],
        &["Anth", "ropic"],
        &["crates", ".io"],
        &["pypi", ".org"],
        &["static", ".rust"],
        &["registry", ".npmjs"],
        &["repo1", ".maven"],
        &["maven", ".org"],
        &["deb", ".debian", ".org"],
    ];
    PIECES.iter().map(|pieces| pieces.concat().to_lowercase()).collect()
}

/// Whole words, in any case: the neighbours of a hit are no letters, where the word ends in one.
fn banned_in(path: &str, text: &str, words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.to_lowercase().lines().enumerate() {
        for word in words {
            let inside = |side: Option<char>, edge: Option<char>| {
                side.is_some_and(char::is_alphanumeric) && edge.is_some_and(char::is_alphanumeric)
            };
            let whole = |&(at, _): &(usize, &str)| {
                !inside(line[..at].chars().next_back(), word.chars().next())
                    && !inside(line[at + word.len()..].chars().next(), word.chars().next_back())
            };
            if line.match_indices(word.as_str()).any(|hit| whole(&hit)) {
                found.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    found
}

#[test]
fn no_file_speaks_of_a_machine_a_registry_or_the_making() {
    let words = banned_words();
    let mut found = Vec::new();
    for path in files(Path::new(ROOT)) {
        let name = relative(Path::new(ROOT), &path);
        // The lock file names the registry of each package, and must.
        if name.ends_with("Cargo.lock") {
            continue;
        }
        if let Ok(text) = String::from_utf8(fs::read(&path).unwrap()) {
            found.extend(banned_in(&name, &text, &words));
        }
    }
    assert_none(found);
}

#[test]
fn a_banned_word_is_found_in_any_case_and_only_as_a_word() {
    let words = banned_words();
    for word in &words {
        let line = format!("first\nsee <{}> here\n", word.to_uppercase());
        assert!(banned_in("a", &line, &words).contains(&format!("a:2: {word}")), "{word}");
    }
    let innocent = ["wha", "rf", "arm-", " fi", "l", "lmore"].concat();
    assert_none(banned_in("a", &innocent, &words));
}

// ---- versions

/// The version of the package, from its one place.
fn version(cargo: &str) -> Option<&str> {
    let line = cargo.lines().find(|line| line.starts_with("version = "))?;
    line.split('"').nth(1)
}

fn newest_heading(changes: &str) -> Option<&str> {
    changes.lines().find_map(|line| line.strip_prefix("## "))
}

#[test]
fn the_newest_heading_of_the_changelog_is_the_version_of_the_package() {
    let read = |name: &str| fs::read_to_string(Path::new(ROOT).join(name)).unwrap();
    let (cargo, changes) = (read("Cargo.toml"), read("CHANGELOG.md"));
    let heading = newest_heading(&changes).and_then(|heading| heading.split(' ').next());
    assert_eq!(version(&cargo), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(heading, version(&cargo), "CHANGELOG.md against Cargo.toml");
}

// ---- panics

fn panics(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for offset in source.released(".unwrap()") {
            found.push(format!("{}: unwrap", source.at(offset)));
        }
        for offset in source.released(".expect(") {
            let argument = &source.text[offset + ".expect(".len()..];
            let message = argument.split('"').nth(1).unwrap_or("");
            if !message.contains("cannot") {
                found.push(format!(
                    "{}: expect(\"{message}\") does not say why it cannot happen",
                    source.at(offset)
                ));
            }
        }
    }
    found
}

#[test]
fn released_code_unwraps_nothing_and_expects_only_what_cannot_fail() {
    assert_none(panics(&library()));
}

#[test]
fn an_unwrap_and_an_expect_without_a_reason_are_found() {
    let found = panics(&planted(&[
        (
            "src/a.rs",
            "fn a() {\n    b().unwrap();\n    c.expect(\"a lock\");\n    d.unwrap_or(1)\n}\n",
        ),
        (
            "src/b.rs",
            "fn b() { c.expect(\n    \"a length of four cannot overflow\") } // .unwrap()\n",
        ),
        ("src/c.rs", "#[cfg(test)]\nmod tests {\n    fn c() { d().unwrap() }\n}\n"),
    ]));
    assert_eq!(
        found,
        ["src/a.rs:2: unwrap", "src/a.rs:3: expect(\"a lock\") does not say why it cannot happen"]
    );
}

// ---- dependencies

#[test]
fn every_dependency_has_a_licence_a_source_and_a_name_that_may_come_in() {
    assert_none(licences::judge(ROOT));
}

#[test]
fn a_dependency_that_may_not_come_in_is_found() {
    let registry = "registry+https://registry.example/index";
    let judge = |name, licence, source| licences::judge_one(ROOT, name, licence, source);
    for licence in ["MIT", "MIT OR GPL-3.0", "Unlicense/MIT", "(MIT OR GPL-3.0) AND ISC"] {
        assert_eq!(judge("a", Some(licence), registry), None, "{licence}");
    }
    for licence in [Some("GPL-3.0"), Some("MIT AND GPL-3.0"), Some("MPL-2.0"), None] {
        assert!(judge("a", licence, registry).is_some(), "{licence:?}");
    }
    assert_eq!(judge("cbindgen", Some("MPL-2.0"), registry), None);
    assert!(judge("openssl-sys", Some("MIT"), registry).is_some());
    assert!(judge("a", Some("MIT"), "git+https://git.example/a").is_some());
}

// ---- the reader of all this

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = r##"let a = "x\"y"; // z
/* p /* q */ r */ let b = 'u'; let c = '\''; let d = r#"v"w"#; let e: &'w str = br"v\"; f"##;
    let source = Source::new("src/a.rs", text);
    let words: Vec<&str> = source.code.split(|c: char| !c.is_alphanumeric()).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    assert_eq!(
        words,
        ["let", "a", "let", "b", "let", "c", "let", "d", "let", "e", "w", "str", "b", "f"]
    );
    assert_eq!(source.code.len(), text.len());
}

// ---- the checklist of security

#[test]
fn every_line_of_the_security_checklist_has_a_test_that_is_there() {
    let page = fs::read_to_string(Path::new(ROOT).join("SECURITY.md")).unwrap();
    let sources = read_rust(Path::new(ROOT), &["src", "tests"]);
    let texts: Vec<String> = sources.into_iter().map(|source| source.text).collect();
    assert!(checklist::named(&page).len() > 50, "{:?}", checklist::named(&page));
    assert_none(checklist::missing(&page, &texts).into_iter().map(str::to_string).collect());
}

#[test]
fn a_line_of_the_checklist_without_its_test_is_found() {
    let page = "| a line | `it_holds`, `it_is_gone` |\n`no_row`\n| other | `made_by_a_macro` |\n";
    let texts = ["fn it_holds() {}".to_string(), "    made_by_a_macro: 6, body;".to_string()];
    assert_eq!(checklist::missing(page, &texts), ["it_is_gone"]);
}
