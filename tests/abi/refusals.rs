//! The table of bad input: what is refused, with which code and which sentence, the same in Rust, C, C++, Python
//! and Java, and as `docs/ERRORS.md` has it. `BLESS=1` writes that file anew.
//!
//! The scripts of `tests/conformance/refused` need surroundings that a script cannot make: a full disk, one that
//! may not be written, servers with certificates, a server of another protocol. They are made here.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use repliq::{Message, Right, Server, ServerOptions, Store, StoreOptions, UserSource, Users, Verb};

use crate::interpreter::Way;

use super::authority::{Authority, Leaf};
use super::header::ROOT;
use super::install::{installed, interpreter, scripts};

const LANGUAGES: [&str; 3] = ["rust", "c", "cpp"];

/// A file system in memory that is there until this is dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None` where this user may not mount.
    fn new(at: PathBuf, options: &str) -> Option<Mount> {
        fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        let made = mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(&at).output();
        made.is_ok_and(|output| output.status.success()).then_some(Mount(at))
    }

    fn make_read_only(&self) {
        let mut mount = Command::new("mount");
        let output = mount.args(["-o", "remount,ro"]).arg(&self.0).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A store that a failed run left open must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// The disks of one language, beside the folders of its scripts.
fn disks(stores: &Path) -> Option<[Mount; 2]> {
    let full = Mount::new(stores.join("full"), "size=1m")?;
    let unwritable = Mount::new(stores.join("unwritable"), "size=4m")?;
    let store = Store::open(unwritable.0.join("shop"), &StoreOptions::default()).unwrap();
    let queue = store.queue("q").unwrap();
    store.put(queue, &[Message::new(b"kept")]).unwrap();
    store.close().unwrap();
    drop(store);
    unwritable.make_read_only();
    Some([full, unwritable])
}

/// Servers, and what the scripts call their URLs and files.
struct Network {
    names: HashMap<&'static str, String>,
    _servers: Vec<(Store, Server)>,
}

fn serve(folder: &Path, certificate: Option<(PathBuf, PathBuf)>) -> (Store, Server) {
    let store = Store::open(folder.join("store"), &StoreOptions::default()).unwrap();
    let mut users = Users::new();
    users.add_with("ann", &"secret".into(), 4_096).unwrap();
    let right = Right { verbs: vec![Verb::Replicate], queues: vec!["q".into()] };
    users.set_rights("ann", &[right]).unwrap();
    let (certificate_file, key_file) = certificate.unzip();
    let options = ServerOptions {
        listen: vec!["127.0.0.1:0".into()],
        plain: certificate_file.is_none(),
        certificate_file,
        key_file,
        users: UserSource::Inline(users),
        ..ServerOptions::default()
    };
    let server = Server::open(&store, &options).unwrap();
    (store, server)
}

/// A server that answers whoever comes with words of another protocol.
fn stranger() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    format!("repliq://{address}")
}

fn network(folder: &Path) -> Network {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut names = HashMap::new();
    let mut servers = Vec::new();
    let leaves = [
        ("GOOD", Some(Leaf::Good)),
        ("EXPIRED", Some(Leaf::Expired)),
        ("NAMED", Some(Leaf::OtherName)),
        ("PLAIN", None),
    ];
    for (name, leaf) in leaves {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        let made = serve(&folder, leaf.map(|leaf| authority.leaf(&folder, leaf)));
        names.insert(name, format!("repliq://{}", made.1.addresses()[0]));
        servers.push(made);
    }
    let file = |path: PathBuf| path.display().to_string();
    for (name, of) in [("CA", &authority), ("OTHER", &other)] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        names.insert(name, file(of.file(&folder)));
    }
    fs::write(folder.join("junk.pem"), "no certificate").unwrap();
    names.insert("JUNK", file(folder.join("junk.pem")));
    names.insert("NONE", file(folder.join("none.pem")));
    names.insert("STRANGER", stranger());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    names.insert("NOBODY", format!("repliq://{nobody}"));
    Network { names, _servers: servers }
}

/// Ports, process ids, tokens, stamps and folders differ from run to run.
fn unnamed(line: &str, folder: &Path) -> String {
    let mut line = line.to_owned();
    let outside = folder.display().to_string();
    while let Some(at) = line.find(&outside) {
        let end = line[at..].find([' ', '"', ':', ',']).map_or(line.len(), |end| at + end);
        let name = line[at..end].rsplit('/').next().unwrap_or("").to_owned();
        line.replace_range(at..end, &format!("~/{name}"));
    }
    let mut after_process = false;
    let words = line.split(' ').map(|word| {
        let is_pid = std::mem::replace(&mut after_process, word == "process");
        let is_token = word.len() == 54 && word.starts_with("AQ");
        let is_position = word.split('#').next().is_some_and(|position| {
            let parts = position.split_once('/');
            let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            parts.is_some_and(|(epoch, sequence)| {
                number(epoch) && number(sequence.trim_end_matches([',', ':', ';']))
            })
        });
        if is_position {
            let end = word.len() - word.trim_end_matches([',', ':', ';']).len();
            return format!("~{}", &word[word.len() - end..]);
        }
        if is_pid || is_token { "~".to_string() } else { numbers(word) }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A word without the port of an address and without long hexadecimal numbers.
fn numbers(word: &str) -> String {
    if let Some((before, after)) = word.split_once("127.0.0.1:") {
        let rest = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
        return format!("{before}127.0.0.1:~{rest}");
    }
    let mut made = String::new();
    for part in word.split_inclusive(|sign: char| !sign.is_ascii_hexdigit()) {
        let end = part.trim_end_matches(|sign: char| !sign.is_ascii_hexdigit());
        let is_drawn = end.len() >= 8 && end.contains(|sign: char| sign.is_ascii_digit());
        let is_count = end.bytes().all(|byte| byte.is_ascii_digit()) && end.len() < 9;
        made += if is_drawn && !is_count { "~" } else { end };
        made += &part[end.len()..];
    }
    made
}

/// A script: its name, its text as it is kept, and its text as it is run.
struct Script {
    name: String,
    kept: String,
    path: PathBuf,
}

fn filled(folder: &Path, names: &HashMap<&str, String>, with_disks: bool) -> Vec<Script> {
    let special = ["disk", "network"]
        .map(|name| Path::new(ROOT).join(format!("tests/conformance/refused/{name}.script")));
    let special = special.into_iter().filter(|path| with_disks || !path.ends_with("disk.script"));
    let all = scripts().into_iter().chain(special);
    let made = all.map(|path| {
        let kept = fs::read_to_string(&path).unwrap();
        let mut text = kept.clone();
        for (name, value) in names {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let path = folder.join(&name);
        fs::write(&path, text).unwrap();
        Script { name, kept, path }
    });
    made.collect()
}

/// The interpreter in Python, with the wheel as its tier installed it.
fn python() -> Command {
    let mut python = Command::new(Path::new(ROOT).join("target/venv/bin/python"));
    python.arg(Path::new(ROOT).join("bindings/python/tests/conformance.py"));
    python
}

/// The interpreter in Java, as its tier compiled it; -Xcheck:jni looks at what the native library does.
fn java() -> Command {
    let built = Path::new(ROOT).join("target/java");
    let path = ["classes", "test-classes"].map(|folder| built.join(folder).display().to_string());
    let mut java = Command::new("java");
    java.args(["-Xcheck:jni", "-cp", &path.join(":"), "repliq.conformance.Conformance"]);
    java
}

/// Whether the wheel is installed where its tier does so.
pub fn has_python() -> bool {
    let python = Path::new(ROOT).join("target/venv/bin/python");
    let import = Command::new(python).args(["-c", "import repliq"]).output();
    import.is_ok_and(|output| output.status.success())
}

/// Whether the classes of Java and its tests are compiled.
pub fn has_java() -> bool {
    let usage = java().output().ok().and_then(|output| String::from_utf8(output.stderr).ok());
    usage.is_some_and(|text| text.contains("usage: Conformance"))
}

/// All languages whose interpreter is built; Rust is the first.
fn languages() -> Vec<&'static str> {
    let mut all = LANGUAGES.to_vec();
    match has_python() {
        true => all.push("python"),
        false => println!("SKIPPED refusals in Python: make test-python installs it"),
    }
    match has_java() {
        true => all.push("java"),
        false => println!("SKIPPED refusals in Java: make test-java compiles it"),
    }
    all
}

/// What a language says to each step that is refused: script, line, code and sentence.
fn refusals(language: &str, scripts: &[Script], stores: &Path, prefix: &Path) -> Vec<String> {
    let outside = prefix.parent().unwrap();
    let lines: Vec<String> = if language == "rust" {
        let run = |(index, script): (usize, &Script)| {
            let folder = stores.join(index.to_string());
            fs::create_dir_all(&folder).unwrap();
            let text = fs::read_to_string(&script.path).unwrap();
            let held = crate::interpreter::run_in(&text, &folder, Way::Here);
            let held = held.unwrap_or_else(|(line, why)| panic!("{}:{line}: {why}", script.name));
            let name = &script.name;
            let line = |(line, text)| format!("{name}:{line} {text}");
            held.refused.into_iter().map(line).collect::<Vec<_>>()
        };
        scripts.iter().enumerate().flat_map(run).collect()
    } else {
        let mut program = match language {
            "python" => python(),
            "java" => java(),
            _ => Command::new(interpreter(outside, prefix, language).unwrap()),
        };
        let paths = scripts.iter().map(|script| &script.path);
        let output = program.arg("-e").arg(stores).args(paths).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{language}: {text}");
        // What -Xcheck:jni says.
        assert!(!text.contains("in native method"), "{language}: {text}");
        text.lines().filter_map(|line| line.strip_prefix("refused ")).map(str::to_owned).collect()
    };
    lines.iter().map(|line| unnamed(line, outside)).collect()
}

/// A row of the table: the step that was refused, or the one before that said who to reach.
fn row(line: &str, scripts: &[Script]) -> String {
    let (place, rest) = line.split_once(' ').unwrap();
    let (code, sentence) = rest.split_once(": ").unwrap();
    let (name, number) = place.split_once(':').unwrap();
    let kept = &scripts.iter().find(|script| script.name == name).unwrap().kept;
    let at = number.parse::<usize>().unwrap() - 1;
    let lines: Vec<&str> = kept.lines().collect();
    let at = if lines[at].starts_with("told ") { at - 1 } else { at };
    let step = lines[at].split(" ! ").next().unwrap();
    let cell = |text: &str| text.replace('|', "\\|");
    format!("| `{}` | {code} | {} |", cell(step), cell(sentence))
}

const HEAD: &str = "# What is refused, with which code and which words

Each row is a step of a script in `tests/conformance`, whose language `LANGUAGE.md` describes there, the code of
the error, and its sentence. A run in every language gives the same rows (`cargo test --test abi -- refusal
--show-output`); this page is written by `BLESS=1` and compared otherwise. `~` stands for what differs from run to
run: ports, process ids, tokens, stamps, folders. Names in braces are servers and files of the test.

A text of C ends at its first NUL, so the rows with a NUL in a name are told by the others only. NULL, stale and
foreign handles, and texts that are not UTF-8, can be said in C only: `tests/abi/misuse.rs` has a row for each
function. Every one is INVALID or BAD_HANDLE.

| step | code | sentence |
|---|---|---|
";

#[test]
fn each_refusal_has_the_same_code_and_sentence_in_every_language_and_in_the_table() {
    let (outside, prefix) = installed();
    let network = network(outside.path());
    let mut tables = Vec::new();
    let mut made = Vec::new();
    let mut with_disks = true;
    let languages = languages();
    for &language in &languages {
        let stores = outside.path().join(format!("{language}.stores"));
        fs::create_dir_all(&stores).unwrap();
        let disks = disks(&stores);
        with_disks &= disks.is_some();
        made = filled(outside.path(), &network.names, with_disks);
        tables.push(refusals(language, &made, &stores, &prefix));
    }
    let rows: Vec<String> = tables[0].iter().map(|line| row(line, &made)).collect();
    println!("{}", rows.join("\n"));
    // What C cannot say it left out, and said so with nothing.
    let said: Vec<String> =
        tables[0].iter().filter(|line| !line.contains("\\0")).cloned().collect();
    for (&language, other) in languages.iter().zip(&tables).skip(1) {
        let rust = if language == "c" { &said } else { &tables[0] };
        for (rust, other) in rust.iter().zip(other.iter()) {
            assert_eq!(rust, other, "left: Rust, right: {language}");
        }
        assert_eq!(rust.len(), other.len(), "{language}");
    }
    if !with_disks {
        println!("SKIPPED the rows of a full and an unwritable disk: this user may not mount one");
        return;
    }
    assert!(rows.len() > 110, "{} refusals", rows.len());
    let file = Path::new(ROOT).join("docs/ERRORS.md");
    let text = format!("{HEAD}{}\n", rows.join("\n"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&file).is_ok_and(|kept| kept == text),
        "BLESS=1 writes docs/ERRORS.md"
    );
}
