//! The tutorial of the registry, at a small size: by itself in every language, and killed and gone on with in another.

use super::build::{self, Programs};
use repliq::{Received, Store, StoreOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Enough that the time in which the replica is down falls into the work, and a worker dies in it.
const RECORDS: usize = 1_300;
/// The languages of a store whose programs were killed.
const KILLED: &str = "all of them";
const LAST: &str = "the replica is what one worker alone would have made";

/// Registry, assignment, name and address, as the real one has them: some names are quoted, some have more than a line,
/// and some assignments come more than once.
fn write_registry(folder: &Path) -> PathBuf {
    let mut text = String::from("Registry,Assignment,Organization Name,Organization Address\r\n");
    for at in 0..RECORDS {
        let assignment = (at * 7_919) % (RECORDS * 9 / 10);
        let name = match at % 4 {
            0 => format!("\"Maker, {at}\""),
            1 => format!("\"Maker \"\"{at}\"\"\nand sons\""),
            _ => format!("Maker {at}"),
        };
        text += &format!("MA-L,{assignment:06X},{name},\"{at} Street, Town\"\r\n");
    }
    let file = folder.join("registry.csv");
    std::fs::write(&file, text).unwrap();
    file
}

fn command(programs: &Programs, store: &Path, file: &Path) -> Command {
    let mut command = Command::new(&programs.registry[0]);
    command.args(&programs.registry[1..]).arg(store).arg("0").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The numbers of a line.
fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Looks at what a program says at its end, and at what it leaves; how many notices it built, saw to be known, gave back,
/// and how many workers died.
fn judge(language: &str, output: &Output, store: &Path) -> [f64; 4] {
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{language}: {said}{errors}");
    let lines: Vec<&str> = said.lines().collect();
    let [work, sum, LAST] = lines[..] else { panic!("{language}: {said}") };
    let [built, known, seconds, retried, killed] = numbers(work)[..] else {
        panic!("{language}: {work}")
    };
    assert!(seconds > 0.0);
    let notices = RECORDS + RECORDS.div_ceil(5) + RECORDS.div_ceil(7) + RECORDS / 400;
    let replica = check(language, store);
    let dead = RECORDS / 400;
    assert_eq!(numbers(sum), [notices, replica, dead].map(|n| n as f64), "{language}: {sum}");
    [built, known, retried, killed]
}

/// The replica has each version once and in order, and the dead letters say why; how many records there are.
fn check(language: &str, store: &Path) -> usize {
    let options = StoreOptions { create: false, ..StoreOptions::default() };
    let store = Store::open(store, &options).unwrap();
    let all = |queue: &str| {
        let (queue, snapshot) = (store.find_queue(queue).unwrap(), store.snapshot().unwrap());
        let (mut all, mut next): (Vec<Received>, u64) = (Vec::new(), 1);
        loop {
            let page = snapshot.browse(queue, next, 1_000).unwrap();
            let Some(last) = page.last() else { break all };
            next = last.sequence() + 1;
            all.extend(page);
        }
    };
    let mut versions: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for one in all("replica") {
        let text = String::from_utf8(one.payload().to_vec()).unwrap();
        let version: u64 = text.split(' ').next().unwrap().parse().unwrap();
        let before = versions.insert(one.key().to_vec(), version).unwrap_or(0);
        assert!(version > before, "{language}: {:?} has {version} behind {before}", one.key());
    }
    for letter in all("dead") {
        let header = |name: &str| {
            let found = letter.headers().find(|(known, _)| *known == name).unwrap();
            String::from_utf8(found.1.to_vec()).unwrap()
        };
        assert_eq!((letter.payload(), &*header("repliq-failures")), (&b"damaged"[..], "20"));
        // Who was killed with its last try of one could not say why.
        let reason = header("repliq-reason");
        let reasons = ["this is no notice", "it was given back, or never answered"];
        let may = if language == KILLED { &reasons[..] } else { &reasons[..1] };
        assert!(may.contains(&&*reason), "{language}: {reason}");
    }
    store.close().unwrap();
    versions.len()
}

#[test]
fn sixteen_workers_of_which_some_die_make_what_one_alone_would_have_made_in_every_language() {
    let programs = build::programs();
    let folder = tempfile::tempdir().unwrap();
    let file = write_registry(folder.path());
    for programs in programs {
        let language = programs.language;
        let store = folder.path().join(language);
        let output = command(programs, &store, &file).output().unwrap();
        let [built, known, retried, killed] = judge(language, &output, &store);
        let done = built + known;
        let read = RECORDS + RECORDS.div_ceil(5) + RECORDS.div_ceil(7);
        assert_eq!(done as usize, read, "{language}: each is done once");
        assert!(killed >= 1.0, "{language}: no worker died");
        assert!(
            retried > 60.0,
            "{language}: {retried} were given back, and the damaged ones alone are"
        );
        println!("{language}: {}", String::from_utf8_lossy(&output.stdout).lines().next().unwrap());
        // Once more, and there is nothing left to do.
        let again = command(programs, &store, &file).output().unwrap();
        assert_eq!(judge(language, &again, &store)[..3], [0.0, 0.0, 0.0], "{language}");
    }
}

#[test]
fn the_registry_goes_on_where_it_was_killed_in_another_language() {
    let programs = build::programs();
    let folder = tempfile::tempdir().unwrap();
    let (file, store) = (write_registry(folder.path()), folder.path().join("store"));
    for (turn, programs) in programs.iter().enumerate() {
        let mut child = command(programs, &store, &file).spawn().unwrap();
        // Where it gets by then differs; wherever that is, it goes on.
        std::thread::sleep(Duration::from_millis(300 + 150 * turn as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = command(&programs[0], &store, &file).output().unwrap();
    judge(KILLED, &output, &store);
}
