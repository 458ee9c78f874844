//! The installed library as a stranger finds it: C through pkg-config, shared and static, C++ through CMake; and
//! the conformance scripts, where a verb renamed in one language fails that language and no other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::header::ROOT;
use super::tools::{compiler, library, run};

/// Installs what these tests were built with below a folder.
fn install(prefix: &Path) {
    let from = library().parent().unwrap().to_owned();
    let mut install = Command::new(Path::new(ROOT).join("scripts/install.sh"));
    run(install.env("PREFIX", prefix).env("FROM", from).current_dir("/"));
}

/// The same outside of the tree.
pub fn installed() -> (tempfile::TempDir, PathBuf) {
    let outside = tempfile::tempdir().unwrap();
    let prefix = outside.path().join("usr");
    install(&prefix);
    (outside, prefix)
}

const C_PROGRAM: &str = "#include <repliq.h>
int main(int argc, char **argv)
{
    repliq_store *store;
    if (argc != 2 || repliq_abi_version() != REPLIQ_ABI_VERSION || repliq_store_open(argv[1], NULL, &store))
        return 1;
    return repliq_store_close(store);
}
";

const CPP_PROGRAM: &str = "#include <repliq.hpp>
int main(int, char **argv)
{
    repliq::store store(argv[1]);
    return store.queue(\"q\").put(\"x\").level == repliq::level::power ? 0 : 1;
}
";

const CMAKE: &str = "cmake_minimum_required(VERSION 3.18)
project(stranger CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(repliq 0.1 CONFIG REQUIRED)
add_executable(shared main.cpp)
target_link_libraries(shared PRIVATE repliq::repliq)
add_executable(static main.cpp)
target_link_libraries(static PRIVATE repliq::static)
";

#[test]
fn a_c_program_outside_the_tree_builds_with_pkg_config_shared_and_static() {
    let (outside, prefix) = installed();
    let source = outside.path().join("main.c");
    fs::write(&source, C_PROGRAM).unwrap();
    let flags = |kind: &[&str]| {
        let mut command = Command::new("pkg-config");
        command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(kind).arg("repliq");
        let text = String::from_utf8(run(&mut command).stdout).unwrap();
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(flags(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);

    let shared = outside.path().join("shared");
    let mut cc = Command::new("cc");
    cc.args(["-std=c99", "-Wall", "-Werror"]).arg(&source).arg("-o").arg(&shared);
    run(cc.args(flags(&["--cflags", "--libs"])));
    let mut program = Command::new(&shared);
    run(program.env("LD_LIBRARY_PATH", prefix.join("lib")).arg(outside.path().join("a")));

    let whole = outside.path().join("static");
    let mut cc = Command::new("cc");
    cc.args(["-std=c99", "-Wall", "-Werror"]).arg(&source).arg("-o").arg(&whole);
    cc.args(flags(&["--cflags"])).arg(prefix.join("lib/librepliq.a"));
    let private = flags(&["--static", "--libs-only-l"]);
    run(cc.args(private.iter().filter(|flag| *flag != "-lrepliq")));
    run(Command::new(&whole).arg(outside.path().join("b")));
}

#[test]
fn a_cpp_program_outside_the_tree_builds_with_cmake_shared_and_static() {
    let (outside, prefix) = installed();
    let folder = outside.path().join("stranger");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("main.cpp"), CPP_PROGRAM).unwrap();
    fs::write(folder.join("CMakeLists.txt"), CMAKE).unwrap();
    let build = folder.join("build");
    let configure = || {
        let mut cmake = Command::new("cmake");
        cmake.arg("-S").arg(&folder).arg("-B").arg(&build);
        cmake.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
        cmake
    };
    run(&mut configure());
    run(Command::new("cmake").arg("--build").arg(&build));
    for kind in ["shared", "static"] {
        run(Command::new(build.join(kind)).arg(outside.path().join(kind)));
    }
    // Another minor number does not fit.
    fs::write(folder.join("CMakeLists.txt"), CMAKE.replace("repliq 0.1", "repliq 0.2")).unwrap();
    assert!(!configure().output().unwrap().status.success());
}

#[test]
fn the_first_program_builds_and_runs_by_the_words_of_its_page() {
    let home = tempfile::tempdir().unwrap();
    install(&home.path().join(".local"));
    let page = fs::read_to_string(Path::new(ROOT).join("docs/FIRST.md")).unwrap();
    let export = page.lines().find(|line| line.starts_with("    export ")).unwrap();
    // The root of the tree, in which the commands leave their programs.
    let tree = home.path().join("tree");
    fs::create_dir(&tree).unwrap();
    std::os::unix::fs::symlink(Path::new(ROOT).join("examples"), tree.join("examples")).unwrap();
    for (number, language) in ["C", "C++"].into_iter().enumerate() {
        let row = page.lines().find(|line| line.starts_with(&format!("| {language} | `"))).unwrap();
        let command = row.split('`').nth(1).unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-euc", &format!("{export}\n{command}")]).current_dir(&tree);
        let output = run(bash.env("HOME", home.path()).env("LD_LIBRARY_PATH", ""));
        let text = String::from_utf8(output.stdout).unwrap();
        let first = format!("{} one pound of tea\n", 2 * number + 1);
        assert!(text.starts_with(&first), "{language}: {text}");
        assert!(text.ends_with("the clerk has taken everything\n"), "{language}: {text}");
    }
}

pub fn scripts() -> Vec<PathBuf> {
    let files = fs::read_dir(Path::new(ROOT).join("tests/conformance")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "script")).collect();
    files.sort();
    files
}

/// Builds an interpreter of the scripts; the output of the compiler where it fails.
pub fn interpreter(folder: &Path, prefix: &Path, language: &str) -> Result<PathBuf, String> {
    let program = folder.join(language);
    let (compiler_name, standard, file) = match language {
        "c" => ("cc", "gnu11", "bindings/c/tests/conformance.c"),
        _ => ("c++", "c++17", "bindings/cpp/tests/conformance.cpp"),
    };
    let mut command = Command::new(compiler_name);
    command.arg(format!("-std={standard}")).arg("-I").arg(prefix.join("include"));
    command.arg(Path::new(ROOT).join(file)).arg("-o").arg(&program).arg("-pthread");
    let lib = prefix.join("lib");
    command.arg("-L").arg(&lib).arg("-lrepliq").arg(format!("-Wl,-rpath,{}", lib.display()));
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(program),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// What an interpreter answers to all scripts: whether they hold, and what it printed.
fn answer(program: &Path, folder: &Path, option: Option<&str>) -> (bool, String) {
    let stores = folder.join(program.file_name().unwrap()).with_extension("stores");
    fs::create_dir_all(&stores).unwrap();
    let output = Command::new(program).args(option).arg(&stores).args(scripts()).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_verb_renamed_in_one_language_fails_that_language_only() {
    let (outside, prefix) = installed();
    let good = interpreter(outside.path(), &prefix, "c").unwrap();
    let (holds, text) = answer(&good, outside.path(), None);
    assert!(holds, "{text}");

    let header = prefix.join("include/repliq.hpp");
    let text = fs::read_to_string(&header).unwrap();
    let renamed = text.replace("void rollback()", "void roll_back()");
    assert_ne!(text, renamed);
    fs::write(&header, renamed).unwrap();
    let errors = interpreter(outside.path(), &prefix, "cpp").unwrap_err();
    assert!(errors.contains("rollback"), "{errors}");

    // A verb that compiles and does something else is found, too: by the scripts.
    let swapped =
        text.replace("repliq_session_rollback(c())", "repliq_session_commit(c(), nullptr)");
    assert_ne!(text, swapped);
    fs::write(&header, swapped).unwrap();
    let wrong = interpreter(outside.path(), &prefix, "cpp").unwrap();
    let (holds, text) = answer(&wrong, outside.path(), None);
    assert!(!holds && text.contains("FAILED") && text.contains("session.script"), "{text}");
    assert!(interpreter(outside.path(), &prefix, "c").is_ok());
}

#[test]
fn the_warnings_of_the_interpreters_are_errors_in_their_tiers() {
    for (program, standard, file) in [
        ("cc", "gnu11", "bindings/c/tests/conformance.c"),
        ("c++", "c++20", "bindings/cpp/tests/conformance.cpp"),
        ("c++", "c++17", "bindings/cpp/tests/faces.cpp"),
    ] {
        run(compiler(program, standard).arg("-fsyntax-only").arg(Path::new(ROOT).join(file)));
    }
}
