//! T4r: system calls that fail under the shared library as it is shipped. strace makes the k-th call of a kind fail,
//! once or from then on, or skips a sync and says that it was fine; a C program says what it was told, and what is in
//! the store afterwards must be that. Short reads and writes, which strace cannot make, come from a library put before
//! the C library.

use super::tools::{build, compiler, folder, library, library_folder, run};
use repliq::{Code, Store, StoreOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The calls, with what they fail with.
const CALLS: &[(&str, &[&str])] = &[
    ("openat", &["EMFILE", "EACCES"]),
    ("pwrite64", &["EIO", "ENOSPC"]),
    ("pread64", &["EIO"]),
    ("fdatasync", &["EIO", "EDQUOT"]),
    ("fsync", &["EIO"]),
    ("fallocate", &["ENOSPC", "EINTR"]),
    ("rename", &["EIO", "EACCES"]),
    ("mmap", &["ENOMEM"]),
];

/// Calls of one kind that are tried, spread over all there are.
const EACH: usize = 30;

fn trace(program: &Path, store: &Path, call: &str, inject: Option<&str>) -> (String, String) {
    let log = store.with_extension("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "--seccomp-bpf", "-e", &format!("trace={call}"), "-o"]).arg(&log);
    strace.args(inject.map(|what| format!("--inject={call}:{what}")));
    let output = strace.arg(program).arg(store).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{call} {inject:?}: {}\n{said}\n{log}",
        output.status
    );
    (said, log)
}

/// What the program was told.
#[derive(Default)]
struct Told {
    safe: BTreeSet<u64>,
    /// Jobs that failed for certain.
    failed: BTreeSet<u64>,
    asked: u64,
    acknowledged: u64,
}

fn told(said: &str) -> Told {
    let mut told = Told::default();
    for line in said.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = || words[1].parse::<u64>().unwrap();
        match words[0] {
            "ok" => _ = told.safe.insert(number()),
            "failed" if words[2] != "OUTCOME_UNKNOWN" => _ = told.failed.insert(number()),
            "acks" => told.asked = told.asked.max(number()),
            "acked" => told.acknowledged = told.acknowledged.max(number()),
            _ => {}
        }
    }
    told
}

/// Holds a store against what the program was told.
fn judge(store: &Path, said: &str, case: &str) {
    let told = told(said);
    let options = StoreOptions { helper: false, ..StoreOptions::default() };
    let store = match Store::open(store, &options) {
        Ok(store) => store,
        Err(error) => panic!("{case}: {error}\n{said}"),
    };
    let queue = match store.find_queue("q") {
        Ok(queue) => queue,
        Err(error) => {
            assert_eq!(error.code(), Code::NoSuchName, "{case}: {error}");
            assert!(told.safe.is_empty(), "{case}: the queue is gone\n{said}");
            return;
        }
    };
    let floor = store.queues().unwrap()[0].consumers.first().map_or(0, |one| one.acknowledged);
    assert!(floor >= told.acknowledged, "{case}: {floor} acknowledged\n{said}");
    assert!(floor <= told.asked, "{case}: {floor} acknowledged\n{said}");
    let (mut there, mut from) = (BTreeMap::<u64, BTreeSet<u64>>::new(), 1);
    let (snapshot, mut first) = (store.snapshot().unwrap(), None);
    loop {
        let some = snapshot.browse(queue, from, 1000).unwrap();
        let Some(last) = some.last() else { break };
        from = last.sequence() + 1;
        for one in &some {
            let text = std::str::from_utf8(one.payload()).unwrap();
            let mut words = text.splitn(3, ':').take(2).map(|word| word.parse::<u64>().unwrap());
            let (job, at) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(one.payload().len(), 2999, "{case}");
            first.get_or_insert((one.sequence(), job));
            assert!(there.entry(job).or_default().insert(at), "{case}: job {job} twice\n{said}");
        }
    }
    let (sequence, oldest) = first.unwrap_or((floor + 1, u64::MAX));
    assert!(sequence <= floor + 1, "{case}: {sequence} is first, {floor} are acknowledged");
    for job in &told.safe {
        assert!(there.contains_key(job) || *job <= oldest, "{case}: job {job} is lost\n{said}");
    }
    for (job, all) in there {
        assert!(all.len() == 3 || job == oldest, "{case}: job {job} is torn, {all:?}\n{said}");
        assert!(!told.failed.contains(&job), "{case}: job {job} failed and is there\n{said}");
    }
}

fn program(name: &str) -> PathBuf {
    let folder = folder(name);
    let libraries = library_folder(&format!("{name}-lib"), &library());
    let program = folder.join("calls");
    let source = Path::new(super::header::ROOT).join("tests/abi/calls.c");
    build(&mut compiler("cc", "c99"), &source, &libraries, &program);
    program
}

#[test]
fn a_system_call_that_fails_loses_nothing_that_was_confirmed() {
    if let Err(error) = Command::new("strace").arg("-V").output() {
        println!("SKIPPED system calls that fail: strace: {error}");
        return;
    }
    let program = program("calls");
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let place = place.unwrap();
    let (mut runs, mut met) = (0, BTreeMap::new());
    for (call, errors) in CALLS {
        let store = place.path().join("whole");
        let (said, log) = trace(&program, &store, call, None);
        judge(&store, &said, call);
        assert_eq!(told(&said).safe.len(), 24, "{said}");
        std::fs::remove_dir_all(&store).unwrap();
        let count = log.lines().filter(|line| line.contains(&format!("{call}("))).count();
        assert!(count > 0, "{call} is never called");
        // What comes before is the loader's, and not ours.
        let ours = log.lines().position(|line| line.contains("/whole")).unwrap_or(0);
        let step = (count - ours).div_ceil(EACH).max(1);
        for k in (ours + 1..=count).step_by(step) {
            let lies = if *call == "fdatasync" { &["retval=0"][..] } else { &[] };
            let faults = errors.iter().map(|error| format!("error={error}"));
            for fault in faults.chain(lies.iter().map(ToString::to_string)) {
                // Whoever is always interrupted never gets anywhere.
                let often = (fault != "error=EINTR").then(|| format!("when={k}+"));
                for when in [Some(format!("when={k}")), often].into_iter().flatten() {
                    let case = format!("{call}:{fault}:{when}");
                    let store = place.path().join(format!("s{runs}"));
                    let (said, log) =
                        trace(&program, &store, call, Some(&format!("{fault}:{when}")));
                    *met.entry(*call).or_insert(0) += usize::from(log.contains("INJECTED"));
                    if store.exists() {
                        judge(&store, &said, &case);
                        std::fs::remove_dir_all(&store).unwrap();
                    }
                    runs += 1;
                }
            }
        }
    }
    println!("T4r: {runs} runs, {met:?} met their fault");
    assert!(runs >= 100, "only {runs} runs");
    assert_eq!(met.values().sum::<usize>(), runs, "each fault must be met: {met:?}");
}

/// The library that makes calls short.
fn shortener() -> PathBuf {
    let library = folder("short").join("short.so");
    let source = Path::new(super::header::ROOT).join("tests/abi/short.c");
    let mut compiler = compiler("cc", "gnu11");
    compiler.args(["-shared", "-fPIC"]).arg(source).arg("-o").arg(&library).arg("-ldl");
    run(&mut compiler);
    library
}

#[test]
fn a_read_or_write_that_does_less_than_it_was_asked_for_is_not_noticed() {
    let (program, library) = (program("short-calls"), shortener());
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let (place, mut runs, mut met) = (place.unwrap(), 0, 0);
    let mut go = |call: &str, to: &str, at: usize, on: bool| -> bool {
        let (store, log) = (place.path().join(format!("s{runs}")), place.path().join("log"));
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new(&program);
        command.arg(&store).env("LD_PRELOAD", &library).env("SHORT_LOG", &log);
        command.envs([("SHORT_CALL", call), ("SHORT_TO", to), ("SHORT_AT", &at.to_string())]);
        command.envs(on.then_some(("SHORT_ON", "1")));
        let said = String::from_utf8(run(&mut command).stdout).unwrap();
        let case = format!("{call} {to} at {at}, on: {on}");
        assert_eq!(told(&said).safe.len(), 24, "{case}\n{said}");
        judge(&store, &said, &case);
        std::fs::remove_dir_all(&store).unwrap();
        let times = std::fs::metadata(&log).map_or(0, |log| log.len());
        (runs, met) = (runs + 1, met + times);
        times > 0
    };
    for call in ["pwrite", "pread"] {
        for to in ["half", "one", "eintr"] {
            assert!(go(call, to, 1, true), "{call} is never called");
            // Until there is no such call any more.
            let mut at = 1;
            while go(call, to, at, false) {
                at += 1 + at / 6;
            }
        }
    }
    println!("T4r: {runs} runs, {met} short or interrupted calls");
    assert!(runs > 30 && met > 100, "{runs} runs, {met} calls met");
}
