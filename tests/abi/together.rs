//! One process that loads the wheel, the jar and the shared library at once: each has a core of its own, and none
//! disturbs another. `together.py` is that process.

use std::path::{Path, PathBuf};
use std::process::Command;

use repliq::{Store, StoreOptions};

use super::header::ROOT;
use super::refusals::{has_java, has_python};
use super::tools::{folder, library};

/// Where the library of the JVM is.
fn machine() -> Option<PathBuf> {
    let mut java = Command::new("java");
    let output = java.args(["-XshowSettings:properties", "-version"]).output().ok()?;
    let text = String::from_utf8(output.stderr).ok()?;
    let home = text.lines().find_map(|line| line.trim().strip_prefix("java.home = "))?;
    let file = Path::new(home).join("lib/server/libjvm.so");
    file.exists().then_some(file)
}

#[test]
fn a_process_with_the_wheel_and_the_jar_and_the_shared_library_loses_nothing() {
    let Some(machine) = machine().filter(|_| has_java() && has_python()) else {
        println!("SKIPPED one process with all three: make test-python test-java builds them");
        return;
    };
    let (root, folder) = (Path::new(ROOT), folder("together"));
    let built = root.join("target/java");
    let path = ["classes", "test-classes"].map(|name| built.join(name).display().to_string());
    let mut python = Command::new(root.join("target/venv/bin/python"));
    python.arg(root.join("tests/abi/together.py")).arg(library()).arg(machine);
    let output = python.arg(path.join(":")).arg(&folder).current_dir(&folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("together"), "{}: {text}", output.status);
    // What -Xcheck:jni says.
    assert!(!text.contains("in native method"), "{text}");
    for name in ["wheel", "c", "java"] {
        let store = Store::open(folder.join(name), &StoreOptions::default()).unwrap();
        let found = |queue: &str| {
            let queue = store.find_queue(queue).unwrap();
            let snapshot = store.snapshot().unwrap();
            let found = snapshot.browse(queue, 1, 1000).unwrap();
            found.iter().map(|one| one.payload().to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(found("orders"), vec![name.as_bytes().to_vec(); 500], "{name}");
        if name == "java" {
            assert_eq!(found("root"), [b"from the wheel"]);
        }
    }
}
