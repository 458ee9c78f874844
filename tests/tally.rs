//! The script that has the last word of `make test`: it must add up, and it must be able to say no.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// The last line for this log, and whether the script was content.
fn tally(log: &str, skipped: &str) -> (String, bool) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(log.as_bytes()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tally.sh");
    let output = Command::new(script).arg(file.path()).arg(skipped).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().last().unwrap().into(), output.status.success())
}

const CARGO: &str = "\
== test-rust
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: \x1b[32mok\x1b[0m. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

const CTEST: &str = "\
== test-cpp
 2/3 Test #2: queue ............................***Skipped   0.01 sec
100% tests passed, 0 tests failed out of 3
";

#[test]
fn the_counts_of_all_runners_are_added() {
    let log = format!("{CARGO}{CTEST}== test-python\n5 passed, 0 failed, 2 skipped\n");
    assert_eq!(tally(&log, "4"), ("14 passed, 0 failed, 4 skipped".into(), true));
}

#[test]
fn what_pytest_counted_is_added_whatever_its_order() {
    let rows = [
        ("12 passed in 1.36s", ("12 passed, 0 failed, 0 skipped", true)),
        ("1 failed, 12 passed in 61.30s (0:01:01)", ("12 passed, 1 failed, 0 skipped", false)),
        (
            "2 failed, 3 passed, 1 skipped, 4 warnings, 1 error in 0.10s",
            ("3 passed, 3 failed, 1 skipped", false),
        ),
        ("no tests ran in 0.01s", ("0 passed, 0 failed, 0 skipped", false)),
    ];
    for (line, (expected, content)) in rows {
        let skipped = if line.contains("skipped") { "1" } else { "0" };
        let found = tally(&format!("== test-python\n{line}\n"), skipped);
        assert_eq!(found, (expected.into(), content), "{line}");
    }
}

#[test]
fn what_maven_counted_is_added_once() {
    let class = "[INFO] Tests run: 4, Failures: 0, Errors: 0, Skipped: 1, Time elapsed: 1.2 s -- in repliq.A";
    let rows = [
        (
            "[INFO] Tests run: 9, Failures: 0, Errors: 0, Skipped: 0",
            ("9 passed, 0 failed, 0 skipped", true),
        ),
        (
            "[\x1b[1;33mWARNING\x1b[m] Tests run: 9, Failures: 0, Errors: 0, Skipped: 1",
            ("8 passed, 0 failed, 1 skipped", true),
        ),
        (
            "[ERROR] Tests run: 9, Failures: 1, Errors: 2, Skipped: 1",
            ("5 passed, 3 failed, 1 skipped", false),
        ),
    ];
    for (line, (expected, content)) in rows {
        let skipped = if line.ends_with('1') { "1" } else { "0" };
        let found = tally(&format!("== test-java\n{class}\n{line}\n"), skipped);
        assert_eq!(found, (expected.into(), content), "{line}");
    }
}

#[test]
fn another_number_of_skipped_tests_than_committed_is_a_failure() {
    for committed in ["0", "2"] {
        assert_eq!(tally(CARGO, committed), ("7 passed, 0 failed, 1 skipped".into(), false));
    }
    assert!(tally(CARGO, "1").1);
}

#[test]
fn a_skipped_line_counts_unless_its_runner_counted_it() {
    let early = format!("{CARGO}SKIPPED no such kernel\nSKIPPED no root\n");
    assert_eq!(tally(&early, "2"), ("6 passed, 0 failed, 2 skipped".into(), true));
    let counted = "== test-python\nSKIPPED no numpy\n5 passed, 0 failed, 1 skipped\n";
    assert_eq!(tally(counted, "1"), ("5 passed, 0 failed, 1 skipped".into(), true));
}

/// Lines of code that print another word than the one that is counted.
fn unheard(path: &str, text: &str) -> Vec<String> {
    let word = format!("{}SKIPPED", '"');
    let lines = text.lines().enumerate().filter(|(_, line)| {
        line.match_indices(&word).any(|(at, _)| !line[at + word.len()..].starts_with(' '))
    });
    lines.map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim())).collect()
}

/// The files of a folder and of those in it that end so.
fn sources(folder: &Path, ends: &[&str]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path, ends));
        } else if ends.iter().any(|end| path.extension().is_some_and(|known| known == *end)) {
            found.push(path);
        }
    }
    found
}

#[test]
fn who_returns_early_says_so_in_the_word_that_is_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut said) = (Vec::new(), 0);
    for folder in ["src", "tests", "bindings", "bench", "examples"] {
        for path in sources(&root.join(folder), &["rs", "py", "java", "c", "cpp", "hpp"]) {
            let text = std::fs::read_to_string(&path).unwrap();
            said += text.matches(&format!("{}SKIPPED ", '"')).count();
            found.extend(unheard(&path.display().to_string(), &text));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(said > 10, "only {said} places were found");
    let wrong = format!("ok(\n    {0}SKIPPED why{0});\nprintln!({0}SKIPPED: why{0});", '"');
    assert_eq!(unheard("a.rs", &wrong), [format!("a.rs:3: println!({0}SKIPPED: why{0});", '"')]);
}

#[test]
fn a_failed_test_is_a_failure_and_is_counted_once() {
    let failed = "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out\n";
    let log = format!("== test-rust\n{failed}== test-rust failed\n{CTEST}");
    assert_eq!(tally(&log, "1"), ("4 passed, 3 failed, 1 skipped".into(), false));
    let ctest = "== test-cpp\n67% tests passed, 1 tests failed out of 3\n";
    assert_eq!(tally(ctest, "0"), ("2 passed, 1 failed, 0 skipped".into(), false));
}

#[test]
fn a_tier_that_fails_without_a_failed_test_counts_as_one() {
    let log = format!("== test-lint\nerror: unused\n== test-lint failed\n{CARGO}");
    assert_eq!(tally(&log, "1"), ("7 passed, 1 failed, 1 skipped".into(), false));
}

#[test]
fn a_log_in_which_nothing_ran_is_a_failure() {
    assert_eq!(tally("== test-rust\n", "0"), ("0 passed, 0 failed, 0 skipped".into(), false));
}
