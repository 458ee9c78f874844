//! What the tests share: folders, programs, the library as it was just built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An empty folder under the target directory.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The shared library that these tests were built with.
pub fn library() -> PathBuf {
    let library = std::env::current_exe().unwrap().with_file_name("librepliq.so");
    assert!(library.exists(), "{} is not there", library.display());
    library
}

/// A folder with the library under the names a linker and a loader look for.
pub fn library_folder(name: &str, library: &Path) -> PathBuf {
    let folder = folder(name);
    for link in ["librepliq.so", "librepliq.so.0"] {
        std::os::unix::fs::symlink(library, folder.join(link)).unwrap();
    }
    folder
}

/// A command that succeeded; its output otherwise.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    output
}

/// A C or C++ compiler that stops at every warning.
pub fn compiler(program: &str, standard: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("-std={standard}"));
    command.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-g"]);
    command.arg("-I").arg(Path::new(super::header::ROOT).join("include"));
    command
}

/// Builds a program of one file against a folder of [`library_folder`].
pub fn build(compiler: &mut Command, source: &Path, libraries: &Path, program: &Path) {
    compiler.arg(source).arg("-o").arg(program).arg("-L").arg(libraries).arg("-lrepliq");
    run(compiler.arg("-pthread").arg(format!("-Wl,-rpath,{}", libraries.display())));
}
