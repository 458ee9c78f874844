//! The tutorials as commands: those in Rust were built with the tests, C and C++ are compiled here, and Python and
//! Java were built by the tests of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The programs of a language.
pub struct Programs {
    pub language: &'static str,
    pub first: Vec<String>,
    pub hello_world: Vec<String>,
    pub replication: Vec<String>,
    pub transacted_session: Vec<String>,
    pub two_banks: Vec<String>,
    pub registry: Vec<String>,
}

impl Programs {
    fn new(language: &'static str, of: impl Fn(&str) -> Vec<String>) -> Programs {
        Programs {
            language,
            first: of("first"),
            hello_world: of("hello_world"),
            replication: of("replication"),
            transacted_session: of("transacted_session"),
            two_banks: of("two_banks"),
            registry: of("registry"),
        }
    }
}

/// Where the library of this build is, and beside it the examples.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

/// Compiles a C or C++ file the way the README of the examples says, with all warnings as errors.
pub fn compile(compiler: &[&str], source: &Path, program: &Path) {
    let library = libraries();
    let output = Command::new(compiler[0])
        .args(&compiler[1..])
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-I"])
        .arg(Path::new(ROOT).join("include"))
        .arg(source)
        .arg(library.join("librepliq.so"))
        .arg(format!("-Wl,-rpath,{}", tutorials().display()))
        .args(["-lpthread", "-o"])
        .arg(program)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", source.display());
}

pub const C: &[&str] = &["cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L"];
const CPP: &[&str] = &["c++", "-std=c++17"];

/// Where compiled tutorials go, with the library under the name that they look for.
pub fn tutorials() -> PathBuf {
    static INTO: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let into = libraries().join("../tutorials");
        let _ = std::fs::remove_dir_all(&into);
        std::fs::create_dir_all(&into).unwrap();
        let library = libraries().join("librepliq.so");
        std::os::unix::fs::symlink(library, into.join("librepliq.so.0")).unwrap();
        into
    };
    INTO.get_or_init(make).clone()
}

fn compiled(compiler: &[&str], folder: &str, name: &str) -> Vec<String> {
    let source = Path::new(ROOT).join(format!("examples/{name}/{folder}/main.{folder}"));
    let program = tutorials().join(format!("{name}_{folder}"));
    compile(compiler, &source, &program);
    vec![text(&program)]
}

/// Python from the environment that the wheel was installed into.
fn python() -> Result<Programs, String> {
    let python = Path::new(ROOT).join("target/venv/bin/python");
    let import = Command::new(&python).args(["-c", "import repliq.socketpro"]).output();
    if !import.is_ok_and(|output| output.status.success()) {
        return Err("target/venv has no repliq: make test-python installs it".into());
    }
    Ok(Programs::new("Python", |name| {
        let script = Path::new(ROOT).join(format!("examples/{name}/python/main.py"));
        vec![text(&python), text(&script)]
    }))
}

/// Java with the class path that its tests leave behind: the jar, and the compiled tutorials.
fn java() -> Result<Programs, String> {
    let path = Path::new(ROOT).join("target/java/examples.classpath");
    let Ok(class_path) = std::fs::read_to_string(path) else {
        return Err("there is no target/java/examples.classpath: make test-java makes it".into());
    };
    Ok(Programs::new("Java", |name| {
        let class = match name {
            "first" => "First",
            "hello_world" => "HelloWorld",
            "replication" => "Replication",
            "registry" => "Registry",
            "two_banks" => "TwoBanks",
            _ => "TransactedSession",
        };
        ["java", "--enable-native-access=ALL-UNNAMED", "-cp", class_path.trim(), class]
            .map(String::from)
            .to_vec()
    }))
}

/// All languages of this tree, made once for all tests; one that is not built prints why it is left out.
pub fn programs() -> &'static [Programs] {
    static PROGRAMS: OnceLock<Vec<Programs>> = OnceLock::new();
    PROGRAMS.get_or_init(make_programs)
}

fn make_programs() -> Vec<Programs> {
    let examples = libraries().join("../examples");
    let mut all = vec![
        Programs::new("Rust", |name| vec![text(&examples.join(name))]),
        Programs::new("C", |name| compiled(C, "c", name)),
        Programs::new("C++", |name| compiled(CPP, "cpp", name)),
    ];
    for (folder, language) in [("python", python as fn() -> _), ("java", java)] {
        if !Path::new(ROOT).join("examples/replication").join(folder).exists() {
            continue;
        }
        match language() {
            Ok(programs) => all.push(programs),
            Err(why) => println!("SKIPPED the tutorials with {folder}: {why}"),
        }
    }
    all
}
