//! Code on pages is cut from files that are tested, between two comments there that hold `ANCHOR: NAME` and
//! `ANCHOR_END: NAME`. On the page a comment above the block says where it is from: `cut from FILE#NAME`.

use crate::page::{self, Block};

/// What a block calls itself, and how the files end that it can be cut from.
const LANGUAGES: &[(&str, &[&str])] = &[
    ("c", &["c", "h"]),
    ("cpp", &["cpp", "hpp"]),
    ("java", &["java"]),
    ("python", &["py"]),
    ("rust", &["rs"]),
];
/// Names of the same languages under which a block would not be seen.
const OTHER_NAMES: &[&str] = &["C", "c++", "C++", "py", "rs", "Java", "Python", "Rust"];

/// Where the files lie that some test builds and runs.
const TESTED: &[&str] = &[
    "examples/",
    "tests/",
    "bindings/c/tests/",
    "bindings/cpp/tests/",
    "bindings/java/src/test/",
    "bindings/python/tests/",
];

/// The name behind a word in a comment that stands alone on its line.
fn named<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (before, name) = line.split_once(word)?;
    let is_comment = ["//", "#", "/*"].contains(&before.trim());
    is_comment.then(|| name.trim_end_matches("*/").trim())
}

/// The lines without what stands in front of all of them.
fn dedent(lines: &[&str]) -> String {
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines.iter().map(|line| format!("{}\n", line.get(indent..).unwrap_or("").trim_end())).collect()
}

/// What a file has between the comments of this name, without other such comments.
pub fn cut(text: &str, name: &str) -> Result<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let at = |word: &str| -> Result<usize, String> {
        let mut places = (0..lines.len()).filter(|&at| named(lines[at], word) == Some(name));
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (None, _) => Err(format!("has no {word} {name}")),
            _ => Err(format!("has {word} {name} twice")),
        }
    };
    let (from, to) = (at("ANCHOR:")?, at("ANCHOR_END:")?);
    let inside = lines.get(from + 1..to).ok_or(format!("ends {name} before it begins"))?;
    let is_mark =
        |line: &&&str| named(line, "ANCHOR:").is_none() && named(line, "ANCHOR_END:").is_none();
    let body = dedent(&inside.iter().filter(is_mark).copied().collect::<Vec<_>>());
    if body.trim().is_empty() { Err(format!("has nothing in {name}")) } else { Ok(body) }
}

/// What a block should hold; nothing for one that may hold anything.
fn source(block: &Block, read: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    let place = block.mark.as_deref().and_then(|mark| mark.strip_prefix("cut from "));
    if OTHER_NAMES.contains(&block.language.as_str()) {
        return Err(format!("{} has another name here", block.language));
    }
    let language = LANGUAGES.iter().find(|(name, _)| *name == block.language);
    let (Some((_, endings)), Some(place)) = (language, place) else {
        let untested =
            language.is_some().then(|| "code that is cut from no tested file".to_string());
        let odd = place.is_some().then(|| format!("{:?} is cut from no file", block.language));
        return untested.or(odd).map_or(Ok(None), Err);
    };
    let (file, name) = place.split_once('#').ok_or(format!("{place} names no part of a file"))?;
    if !TESTED.iter().any(|folder| file.starts_with(folder)) {
        return Err(format!("{file} is in no folder of tests"));
    }
    if !endings.contains(&file.rsplit('.').next().unwrap_or("")) {
        return Err(format!("{file} is not in {}", block.language));
    }
    let text = read(file).ok_or(format!("there is no {file}"))?;
    cut(&text, name).map(Some).map_err(|why| format!("{file} {why}"))
}

/// What is wrong with the code of a page, and the page as it should be.
pub fn compare(
    page: &str,
    text: &str,
    read: &dyn Fn(&str) -> Option<String>,
) -> (Vec<String>, String) {
    let (mut wrong, mut blessed) = (Vec::new(), text.to_string());
    // From the last one, so that the lines of those before stay what they are.
    for block in page::blocks(text).iter().rev() {
        let at = format!("{page}:{}", block.opens + 1);
        match source(block, read) {
            Ok(None) => (),
            Ok(Some(body)) if body == block.body => (),
            Ok(Some(body)) => {
                let place = block.mark.as_deref().unwrap_or_default();
                wrong.push(format!("{at}: differs from what it is {place}; BLESS=1 cuts it anew"));
                blessed = page::replace(&blessed, block, &body);
            }
            Err(why) => wrong.push(format!("{at}: {why}")),
        }
    }
    wrong.reverse();
    (wrong, blessed)
}
