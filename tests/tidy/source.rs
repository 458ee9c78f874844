//! A Rust file as the rules of `tidy.rs` look at it: which bytes are code, and which lines are tests.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file of the tree.
pub struct Source {
    /// The path from the root of the project, with `/` between the names.
    pub path: String,
    /// The text as it stands in the file.
    pub text: String,
    /// The same bytes with comments, strings and characters blanked; line ends stay where they are.
    pub code: String,
    /// The byte ranges that exist only in a test build.
    tests: Vec<Range<usize>>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let code = blank(text);
        let tests = test_ranges(&code);
        Source { path: path.into(), text: text.into(), code, tests }
    }

    /// The first name below `src`, without its ending: the room the file belongs to.
    pub fn room(&self) -> Option<&str> {
        let name = self.path.strip_prefix("src/")?.split('/').next()?;
        Some(name.strip_suffix(".rs").unwrap_or(name))
    }

    /// `path:line` of a byte.
    pub fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.path, self.text[..offset].matches('\n').count() + 1)
    }

    pub fn is_test(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }

    /// The lines that are part of the library.
    pub fn released_lines(&self) -> usize {
        let ends = self.text.match_indices('\n').map(|(end, _)| end);
        ends.filter(|&end| !self.is_test(end)).count()
    }

    /// Where `word` stands as a whole word in code that is part of the library.
    pub fn released<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.words(word).filter(|&offset| !self.is_test(offset))
    }

    /// Where `word` stands as a whole word in any code.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let bytes = self.code.as_bytes();
        let inside = |byte: Option<&u8>| byte.is_some_and(|&byte| is_word(byte));
        self.code.match_indices(word).map(|(offset, _)| offset).filter(move |&offset| {
            let before = offset.checked_sub(1).and_then(|before| bytes.get(before));
            let end = offset + word.len();
            (!inside(before) || !is_word(bytes[offset]))
                && (!inside(bytes.get(end)) || !is_word(bytes[end - 1]))
        })
    }

    /// Every path of the released code, with groups spread out: `a::{b, c::d}` gives `a::b` and `a::c::d`.
    pub fn paths(&self) -> Vec<(usize, String)> {
        let code = self.code.as_bytes();
        let mut found = Vec::new();
        let mut at = 0;
        while at < code.len() {
            at = if is_word(code[at]) { spread(code, at, "", &mut found) } else { at + 1 };
        }
        found.retain(|&(offset, _)| !self.is_test(offset));
        found
    }
}

/// Reads the tree: every Rust file below these folders, ordered by path.
pub fn read_rust(root: &Path, folders: &[&str]) -> Vec<Source> {
    let mut sources: Vec<Source> = files(root)
        .into_iter()
        .filter(|path| folders.iter().any(|folder| path.starts_with(root.join(folder))))
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| Source::new(&relative(root, &path), &fs::read_to_string(path).unwrap()))
        .collect();
    mark_test_files(&mut sources);
    sources
}

/// Every file of the project that is not made by a build, ordered by path.
pub fn files(root: &Path) -> Vec<PathBuf> {
    const SKIPPED: [&str; 6] = [".git", ".venv", "target", "build", "node_modules", "__pycache__"];
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_file() {
                found.push(entry.path());
            } else if kind.is_dir() && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

pub fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/")
}

/// A file that is only a module of a test build (`#[cfg(test)] mod tests;`) is a test from end to end.
pub fn mark_test_files(sources: &mut [Source]) {
    let mut stems = Vec::new();
    for source in sources.iter() {
        let folder =
            source.path.strip_suffix("/mod.rs").or(source.path.strip_suffix(".rs")).unwrap();
        for range in &source.tests {
            let item = source.code[range.clone()].trim_end();
            if let (Some(at), true) = (item.rfind("mod "), item.ends_with(';')) {
                stems.push(format!("{folder}/{}", item[at + 4..item.len() - 1].trim()));
            }
        }
    }
    for source in sources {
        let inside = |stem: &String| {
            source.path == format!("{stem}.rs") || source.path.starts_with(&format!("{stem}/"))
        };
        if stems.iter().any(inside) {
            source.tests.clear();
            source.tests.push(0..source.text.len());
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Blanks everything that is no code. Byte offsets stay valid: each blanked byte becomes one space.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = end_of_no_code(bytes, at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).unwrap()
}

/// The end of the comment, string or character that begins at `at`; `at` itself where none does.
fn end_of_no_code(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let after_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest, b'"'),
        [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
        [b'\'', ..] => at + character(rest),
        [b'r', b'"' | b'#', ..] if !after_word || raw_prefix(bytes, at) => at + raw(rest),
        _ => at,
    }
}

/// `br"…"` and `cr"…"`: the `r` stands behind a letter that is no word of its own.
fn raw_prefix(bytes: &[u8], at: usize) -> bool {
    matches!(bytes[at - 1], b'b' | b'c') && (at < 2 || !is_word(bytes[at - 2]))
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// A character of one code point; 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    let end = (2..=5).find(|&end| rest.get(end) == Some(&b'\''));
    end.filter(|&end| {
        std::str::from_utf8(&rest[1..end]).is_ok_and(|inner| inner.chars().count() == 1)
    })
    .map_or(0, |end| end + 1)
}

fn raw(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = &rest[2 + hashes..];
    let end = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    (2 + hashes + end + close.len()).min(rest.len())
}

/// The items behind `#[cfg(test)]`, attribute included.
fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let starts = code.match_indices("#[cfg(test)]").map(|(start, _)| start);
    starts.map(|start| start..end_of_item(code, start)).collect()
}

fn end_of_item(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (offset, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'[' | b'(' | b'{' => depth += 1,
            b']' | b')' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(byte, b';' | b'}') {
            return offset + 1;
        }
    }
    code.len()
}

/// Reads one path from `at` on, spreading its groups into `found`; returns the byte behind it.
fn spread(code: &[u8], at: usize, before: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut path = before.to_string();
    let mut end = at;
    loop {
        let word = end;
        while end < code.len() && is_word(code[end]) {
            end += 1;
        }
        path.push_str(std::str::from_utf8(&code[word..end]).unwrap());
        let behind = skip_space(code, end);
        if !code[behind..].starts_with(b"::") {
            break;
        }
        let next = skip_space(code, behind + 2);
        match code.get(next) {
            Some(b'{') => return spread_group(code, next + 1, &format!("{path}::"), found),
            Some(&byte) if is_word(byte) => (path, end) = (path + "::", next),
            _ => break,
        }
    }
    found.push((at, path));
    end.max(at + 1)
}

fn spread_group(code: &[u8], at: usize, before: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut at = skip_space(code, at);
    while at < code.len() && code[at] != b'}' {
        at = spread(code, at, before, found);
        while at < code.len() && !matches!(code[at], b',' | b'}') {
            at += 1;
        }
        if code.get(at) == Some(&b',') {
            at = skip_space(code, at + 1);
        }
    }
    at + 1
}

fn skip_space(code: &[u8], at: usize) -> usize {
    at + code[at.min(code.len())..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}
