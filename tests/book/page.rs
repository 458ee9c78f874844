//! A page of Markdown, as far as the tests look at it: code blocks with the comment above them, headings, links.

use std::fs;
use std::path::Path;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A file of the tree, as text.
pub fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The pages with this ending in a folder, in order.
pub fn pages_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")).collect();
    pages.sort();
    pages
}

/// A fenced block of code.
#[derive(Debug, PartialEq)]
pub struct Block {
    /// Index of the line that opens it; its body begins one further.
    pub opens: usize,
    pub language: String,
    /// What stands in the comment right above it.
    pub mark: Option<String>,
    pub body: String,
}

/// What the comment on a line holds, when the line is one.
fn comment(line: &str) -> Option<String> {
    let inside = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?;
    Some(inside.trim().to_string())
}

/// The fenced blocks of a page.
pub fn blocks(text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(language) = lines[at].trim_start().strip_prefix("```") else {
            at += 1;
            continue;
        };
        let rest = &lines[at + 1..];
        let length = rest.iter().take_while(|line| !line.trim_start().starts_with("```")).count();
        found.push(Block {
            opens: at,
            language: language.trim().to_string(),
            mark: at.checked_sub(1).and_then(|above| comment(lines[above])),
            body: rest[..length].iter().map(|line| format!("{line}\n")).collect(),
        });
        at += length + 2;
    }
    found
}

/// The same page with another body in a block.
pub fn replace(text: &str, block: &Block, body: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let behind = block.opens + 1 + block.body.lines().count();
    let mut page: Vec<&str> = lines[..=block.opens].to_vec();
    page.extend(body.lines());
    page.extend(&lines[behind..]);
    page.join("\n") + "\n"
}

/// The lines with their numbers that are neither fenced nor indented code, without what is in backticks.
pub fn prose(text: &str) -> Vec<(usize, String)> {
    let blocks = blocks(text);
    let fenced = |at: usize| {
        blocks
            .iter()
            .any(|one| (one.opens..=one.opens + 1 + one.body.lines().count()).contains(&at))
    };
    let lines = text.lines().enumerate();
    let read = lines.filter(|(at, line)| !fenced(*at) && !line.starts_with("    "));
    read.map(|(at, line)| {
        let spans = line.split('`').enumerate();
        let plain: String = spans.filter(|(n, _)| n % 2 == 0).map(|(_, text)| text).collect();
        (at + 1, plain)
    })
    .collect()
}

/// The headings of a page, without their marks, as they are written.
pub fn headings(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let read = prose(text).into_iter().filter(|(_, line)| line.starts_with('#'));
    read.map(|(number, _)| lines[number - 1].trim_start_matches('#').trim().to_string()).collect()
}

/// What a code host, and the book, make of a heading in a link.
pub fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Where the links of a page lead, with their lines.
pub fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push((number, target.to_string()));
            }
        }
    }
    found
}

/// Says where a link of a page leads to nothing.
pub fn lost(page: &str, text: &str) -> Vec<String> {
    let folder = Path::new(page).parent().unwrap();
    let mut found = Vec::new();
    for (number, target) in links(text) {
        if target.contains("://") {
            continue;
        }
        let (file, anchored) = target.split_once('#').unwrap_or((&target, ""));
        let path = if file.is_empty() { Path::new(page).to_path_buf() } else { folder.join(file) };
        let read = || fs::read(Path::new(ROOT).join(&path));
        let there = if file.is_empty() { Ok(text.as_bytes().to_vec()) } else { read() };
        let Ok(there) = there else {
            found.push(format!("{page}:{number}: there is no {}", path.display()));
            continue;
        };
        let headings = headings(&String::from_utf8_lossy(&there));
        if !anchored.is_empty() && !headings.iter().any(|one| anchor(one) == anchored) {
            found.push(format!("{page}:{number}: {} has no heading {anchored}", path.display()));
        }
    }
    found
}
