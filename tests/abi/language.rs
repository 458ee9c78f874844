//! The header in the standards it promises, its example, and the names the library exports.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::header::{committed, functions};
use super::tools::{build, compiler, folder, library, library_folder, run};

#[test]
fn the_header_stands_alone_in_every_standard_it_promises() {
    let folder = folder("standards");
    // Each initialiser is used, too: a missing field is a warning.
    let mut source = String::from("#include <repliq.h>\nint main(void)\n{\n");
    for name in committed().lines().filter_map(|line| line.strip_prefix("#define REPLIQ_")) {
        if let Some((name, _)) = name.split_once(" {") {
            let kind = format!("repliq_{}", name.to_lowercase());
            source += &format!("    {kind} a_{name} = REPLIQ_{name};\n    (void)a_{name};\n");
        }
    }
    source += "    return repliq_text(\"a\").len == 1 ? 0 : 1;\n}\n";
    assert!(source.contains("a_STORE_OPTIONS") && source.contains("a_MESSAGE"));
    for (program, extension, standards) in [
        ("cc", "c", &["c99", "c11", "c17"][..]),
        ("c++", "cpp", &["c++11", "c++14", "c++17", "c++20"][..]),
    ] {
        let file = folder.join(format!("alone.{extension}"));
        fs::write(&file, &source).unwrap();
        for standard in standards {
            run(compiler(program, standard).arg("-fsyntax-only").arg(&file));
        }
    }
}

#[test]
fn the_library_exports_the_header_and_nothing_else() {
    let mut nm = Command::new("nm");
    let output = run(nm.args(["-D", "--defined-only", "--format=posix"]).arg(library()));
    let exported: BTreeSet<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    let declared: BTreeSet<String> =
        functions(&committed()).into_iter().map(|function| function.name).collect();
    assert!(declared.len() > 35, "{declared:?}");
    assert_eq!(exported, declared, "left: the library, right: the header");
}

#[test]
fn the_library_is_looked_for_under_the_number_of_its_abi() {
    let output = run(Command::new("readelf").arg("-d").arg(library()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("soname: [librepliq.so.0]"), "{text}");
}

#[test]
fn the_program_at_the_head_of_the_header_runs_and_its_message_is_there() {
    let folder = folder("example");
    let libraries = library_folder("example-lib", &library());
    let header = committed();
    let program = header.split("A complete program:\n").nth(1).unwrap();
    let program = program.split("The grammar").next().unwrap();
    let lines = program.lines().map(|line| line.trim_start_matches(" *"));
    let source = lines.map(|line| format!("{}\n", line.strip_prefix("     ").unwrap_or("")));
    let file = folder.join("shop.c");
    fs::write(&file, source.collect::<String>()).unwrap();
    build(&mut compiler("cc", "c99"), &file, &libraries, &folder.join("program"));
    run(Command::new(folder.join("program")).current_dir(&folder));
    run(Command::new(folder.join("program")).current_dir(&folder));

    let store = repliq::Store::open(folder.join("shop"), &Default::default()).unwrap();
    let orders = store.find_queue("orders").unwrap();
    let found = store.snapshot().unwrap().browse(orders, 1, 10).unwrap();
    let found: Vec<_> = found.iter().map(|message| message.payload()).collect();
    assert_eq!(found, [b"one pound of tea"; 2]);
}
