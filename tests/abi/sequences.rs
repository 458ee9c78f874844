//! T10: any calls of the C ABI in any order with any handles, from a seed, under AddressSanitizer; see `sequences.c`.

use super::header::ROOT;
use super::seeds;
use super::tools::{build, compiler, folder, library, library_folder, run};
use std::path::Path;
use std::process::Command;

/// Calls of one thread.
const STEPS: u64 = 20_000;

#[test]
fn no_sequence_of_calls_crashes_a_program_or_takes_what_is_no_handle_for_one() {
    let libraries = library_folder("sequences-lib", &library());
    let program = folder("sequences").join("sequences");
    let mut cc = compiler("cc", "c11");
    cc.args(["-fsanitize=address", "-fno-omit-frame-pointer"]);
    build(&mut cc, &Path::new(ROOT).join("tests/abi/sequences.c"), &libraries, &program);
    let memory = Path::new("/dev/shm");
    let test =
        "abi sequences::no_sequence_of_calls_crashes_a_program_or_takes_what_is_no_handle_for_one";
    seeds::run("T10 calls", test, 4, |seed| {
        let place =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let (place, threads) = (place.unwrap(), if seed % 2 == 0 { 1 } else { 3 });
        let numbers = [seed, STEPS, threads].map(|number| number.to_string());
        let output = run(Command::new(&program).arg(place.path()).args(numbers));
        println!("seed {seed}: {}", String::from_utf8_lossy(&output.stdout).trim());
        STEPS * threads
    });
}
