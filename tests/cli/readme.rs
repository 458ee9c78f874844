//! The README and the pages beside it say what is so: blocks are cut from files that are tested, commands run.

use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks below a comment that begins with `mark`: what follows it in the comment, and the block.
fn blocks(text: &str, mark: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in text.split(&format!("<!-- {mark}")).skip(1) {
        let (name, rest) = part.split_once(" -->\n").unwrap();
        let fenced = rest.strip_prefix("```").expect("a block follows the comment");
        let (_, body) = fenced.split_once('\n').unwrap();
        let (body, _) = body.split_once("```").unwrap();
        found.push((name.trim().to_string(), body.to_string()));
    }
    found
}

/// The lines without what stands in front of all of them.
fn dedent(lines: &[&str]) -> Vec<String> {
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines.iter().map(|line| line.get(indent..).unwrap_or("").to_string()).collect()
}

/// Whether the block stands in the text as it is, at any indent.
fn is_cut_from(block: &str, text: &str) -> bool {
    let wanted: Vec<&str> = block.trim_end().lines().collect();
    let lines: Vec<&str> = text.lines().collect();
    lines.windows(wanted.len()).any(|window| dedent(window) == wanted)
}

#[test]
fn each_example_of_the_readme_is_cut_from_a_tested_file() {
    let blocks = blocks(&read("README.md"), "cut from ");
    for (name, block) in &blocks {
        assert!(is_cut_from(block, &read(name)), "the README's block is not in {name}:\n{block}");
    }
}

#[test]
fn a_block_that_is_not_in_the_file_is_found() {
    let text = "fn a() {\n    b();\n        c();\n}\n";
    assert!(is_cut_from("b();\n    c();\n", text));
    assert!(!is_cut_from("b();\nc();\n", text));
    assert_eq!(
        blocks("<!-- cut from x -->\n```c\none\n```\n", "cut from "),
        [("x".to_string(), "one\n".to_string())]
    );
}

#[test]
fn the_commands_of_the_readme_run() {
    let commands = blocks(&read("README.md"), "run");
    assert_eq!(commands.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_repliq")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands[0].1])
        .current_dir(&folder)
        .env("PATH", path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("1 tea\n2 milk\n3 sugar\ntea\nmilk\nsugar\n"), "{text}");
    assert!(text.contains("sequence") && text.contains("damage"), "{text}");
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
