//! Commands on a page run, and the layer picture is the same wherever it stands.

use std::path::Path;
use std::process::Command;

use crate::page::{blocks, read};

/// Runs the commands of a page that are marked so, and gives back what they printed.
fn run(page: &str) -> Vec<String> {
    let marked = blocks(&read(page)).into_iter().filter(|one| one.mark.as_deref() == Some("run"));
    let bin = Path::new(env!("CARGO_BIN_EXE_repliq")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let printed = marked.map(|block| {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &block.body])
            .current_dir(&folder)
            .env("PATH", &path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}:{}: {text}{errors}", block.opens + 1);
        text
    });
    printed.collect()
}

#[test]
fn the_commands_of_the_readme_run() {
    let printed = run("README.md");
    let [text] = printed.as_slice() else { panic!("{printed:?}") };
    assert!(text.starts_with("1 tea\n2 milk\n3 sugar\ntea\nmilk\nsugar\n"), "{text}");
    assert!(text.contains("sequence") && text.contains("damage"), "{text}");
}

#[test]
fn the_commands_of_the_book_run() {
    let printed: Vec<String> =
        crate::page::pages_in("docs").iter().flat_map(|page| run(page)).collect();
    assert!(!printed.is_empty());
}

/// The layer picture, wherever it stands.
fn picture(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let lines = lines.skip_while(|line| !line.starts_with("capi   bin"));
    lines.take_while(|line| !line.is_empty() && *line != "```").map(str::to_string).collect()
}

#[test]
fn the_layer_picture_is_the_same_wherever_it_stands() {
    let here = picture(&read("src/lib.rs"));
    assert!(here.len() > 8, "{here:?}");
    assert_eq!(picture(&read("README.md")), here);
    assert_eq!(picture(&read("docs/ARCHITECTURE.md")), here);
}
