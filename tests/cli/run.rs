//! Running the command, and looking at what came out.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use repliq::Code;
use serde_json::Value;

/// A folder with a store to be in it.
pub struct Place {
    folder: tempfile::TempDir,
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: Vec<u8>,
    pub err: String,
}

/// The command itself.
pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_repliq"))
}

/// Runs it with these words and this text as stdin.
pub fn run_with<S: AsRef<OsStr>>(words: &[S], stdin: &[u8]) -> Ran {
    let mut child = command()
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = stdin.to_vec();
    // A command that fails early reads nothing, and the pipe breaks.
    let writer = std::thread::spawn(move || input.write_all(&text).is_ok());
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    Ran {
        status: output.status.code().expect("no signal"),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    /// Asserts success and returns what was printed.
    pub fn text(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""));
        String::from_utf8(self.out).unwrap()
    }

    /// Asserts success and returns each line as JSON.
    pub fn json(self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asserts the code and one sentence on stderr that holds all `words`.
    pub fn fails(&self, code: Code, words: &[&str]) {
        assert_eq!(self.status, code as i32, "{}: {}", code.name(), self.err);
        assert_eq!(self.err.lines().count(), 1, "one line: {}", self.err);
        assert!(self.err.starts_with("repliq: "), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs words in which `@` begins the name of something in this folder.
    pub fn run(&self, words: &str) -> Ran {
        self.run_with(words, b"")
    }

    pub fn run_with(&self, words: &str, stdin: &[u8]) -> Ran {
        let words: Vec<String> = words
            .split_whitespace()
            .map(|word| match word.strip_prefix('@') {
                Some(name) => self.path(name).display().to_string(),
                None => word.to_string(),
            })
            .collect();
        run_with(&words, stdin)
    }

    /// A store `@s` whose queue `q` has the numbers from 1 to `count`.
    pub fn with_numbers(count: u64) -> Place {
        let place = Place::new();
        let lines: String = (1..=count).map(|number| format!("{number}\n")).collect();
        place.run_with("put @s q --batch 100", lines.as_bytes()).text();
        place
    }
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
