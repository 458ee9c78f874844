//! Takes the docstrings out of the stub, `python/repliq/_repliq.pyi`, where they are written once: a file for each class,
//! method and function, which `stub!` in `src/lib.rs` puts where Python looks for it.

use std::path::{Path, PathBuf};
use std::{fs, io};

const STUB: &str = "python/repliq/_repliq.pyi";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={STUB}");
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("doc");
    fs::create_dir_all(&folder)?;
    write(&fs::read_to_string(STUB)?, &folder)
}

fn write(stub: &str, folder: &Path) -> io::Result<()> {
    let mut lines = stub.lines().peekable();
    let mut class = String::new();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let Some((word, rest)) = line.trim_start().split_once(' ') else { continue };
        let name = rest.split(['(', ':']).next().unwrap_or_default();
        let named = match (word, indent) {
            ("class", 0) => {
                name.clone_into(&mut class);
                name.to_owned()
            }
            ("def", 0) => name.to_owned(),
            ("def", 4) => format!("{class}.{name}"),
            _ => continue,
        };
        let mut last = line;
        while !last.ends_with(':') && !last.ends_with("...") {
            let Some(next) = lines.next() else { return Ok(()) };
            last = next;
        }
        let begins = |next: &&str| next.trim_start().starts_with("\"\"\"");
        if let Some(first) = lines.next_if(begins) {
            let text = docstring(first, &mut lines);
            fs::write(folder.join(named), text)?;
        }
    }
    Ok(())
}

/// The text between the quotes, without the indentation of its lines.
fn docstring<'a>(first: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let indent = first.len() - first.trim_start().len();
    let mut text = first.trim_start().trim_start_matches('"').to_owned();
    while !text.ends_with("\"\"\"") {
        let Some(line) = lines.next() else { break };
        text.push('\n');
        text.push_str(line.get(indent..).unwrap_or_default());
    }
    text.trim_end_matches('"').trim_end().to_owned()
}
