//! What somebody at a terminal sees beside the results: progress on stderr, there alone, and only if it is wanted.

use std::process::{Command, Stdio};

use super::run::Place;

/// Runs a line of shell with `repliq` as `$0`, at a terminal of its own, and gives back what the terminal got.
fn at_a_terminal(place: &Place, line: &str) -> String {
    let program = "import os, pty, sys\n\
                   sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', sys.argv[1], sys.argv[2]])))";
    let output = Command::new("python3")
        .args(["-c", program, line, env!("CARGO_BIN_EXE_repliq")])
        .current_dir(place.path("."))
        // A terminal that is none, or is narrow, shows no bar.
        .env("TERM", "xterm")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {shown}{}", String::from_utf8_lossy(&output.stderr));
    shown
}

#[test]
fn progress_is_shown_on_stderr_at_a_terminal_and_nowhere_else() {
    let place = Place::new();
    let lines: String = (1..=3_000).map(|number| format!("{number}\n")).collect();
    place.file("lines", &lines);
    // Results in a file, progress at the terminal.
    let shown = at_a_terminal(&place, "exec \"$0\" put s q lines --batch 10 > out");
    assert!(shown.contains("KiB") && shown.contains('['), "{shown:?}");
    assert!(std::fs::read_to_string(place.path("out")).unwrap().ends_with('\n'));
    // Progress in a file, which is no terminal.
    let shown = at_a_terminal(&place, "exec \"$0\" put s q lines --batch 10 2> err");
    assert!(!shown.contains("KiB") && shown.lines().count() == 1, "{shown:?}");
    assert_eq!(std::fs::read_to_string(place.path("err")).unwrap(), "");
    let shown = at_a_terminal(&place, "exec \"$0\" put s q lines --batch 10 --no-progress > out");
    assert_eq!(shown, "");
    // Neither of it is a terminal.
    place.run("put @s q @lines --batch 10").text();
    assert_eq!(place.run("get @s q --browse").text(), lines.repeat(4));
}
