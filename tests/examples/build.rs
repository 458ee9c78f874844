//! The tutorials as programs: those in Rust were built with the tests, C and C++ are compiled here.

use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The two programs of a language.
pub struct Programs {
    pub language: &'static str,
    pub hello_world: PathBuf,
    pub replication: PathBuf,
}

/// Where the library of this build is, and beside it the examples.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_path_buf()
}

/// Compiles a tutorial the way its README says, with all warnings as errors.
fn compile(compiler: &[&str], source: &str, into: &Path) -> PathBuf {
    let name = source.split('/').nth(1).unwrap();
    let program = into.join(format!("{name}_{}", compiler[0].replace('+', "x")));
    let library = libraries();
    let output = Command::new(compiler[0])
        .args(&compiler[1..])
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-I"])
        .arg(Path::new(ROOT).join("include"))
        .arg(Path::new(ROOT).join(source))
        .arg(library.join("librepliq.so"))
        .arg(format!("-Wl,-rpath,{}", into.display()))
        .args(["-lpthread", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

/// All languages.
pub fn programs() -> Vec<Programs> {
    let examples = libraries().join("../examples");
    let into = libraries().join("../tutorials");
    std::fs::create_dir_all(&into).unwrap();
    let soname = into.join("librepliq.so.0");
    let _ = std::fs::remove_file(&soname);
    std::os::unix::fs::symlink(libraries().join("librepliq.so"), &soname).unwrap();
    let c = ["cc", "-std=c11", "-D_POSIX_C_SOURCE=200809L"];
    let cpp = ["c++", "-std=c++17"];
    vec![
        Programs {
            language: "Rust",
            hello_world: examples.join("hello_world"),
            replication: examples.join("replication"),
        },
        Programs {
            language: "C",
            hello_world: compile(&c, "examples/hello_world/c/main.c", &into),
            replication: compile(&c, "examples/replication/c/main.c", &into),
        },
        Programs {
            language: "C++",
            hello_world: compile(&cpp, "examples/hello_world/cpp/main.cpp", &into),
            replication: compile(&cpp, "examples/replication/cpp/main.cpp", &into),
        },
    ]
}
