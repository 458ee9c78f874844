//! Records whose checksums were made right again after a change: what no checksum finds must not cost more than the
//! store has, and end no program.
//!
//! Every word of every kind of record is changed to values that are out of every range, heads of files included; by
//! chance, a few of any words at once, to any values. The cases run in a process that may have so much address space; one that asks for more ends there. What a
//! store then shows may be anything, since its bytes say so.

use crate::chance;
use crate::damage::{Subject, subject};
use crate::oracle::observe;
use crate::seeds;
use crate::world::Dice;
use repliq::Store;
use repliq::disk::model::ModelDisk;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;

const CHILD: &str = "REPLIQ_FORGED_CHILD";
/// Address space of the process, in KiB: program and threads have a part of it, and the stores are of a few sectors.
const SPACE_KIB: u64 = 1 << 20;
const HEAD: usize = 48;
const FRAMES_AT: usize = 1536;
/// Of each kind of record, so many are changed.
const OF_A_KIND: usize = 1;
/// Bytes of a body that are changed one after the other.
const DEEP: usize = 48;
const VALUES: [u32; 3] = [u32::MAX, 0x1000_0000, 0];

/// A change of one file: where, and the bytes.
type Case = (String, usize, Vec<u8>, String);

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn head_sum(head: &[u8], offset: u64, seed: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &head[..44]), &offset.to_le_bytes())
}

/// A frame as the format describes it: where it stands in its file, and what its sums begin with.
pub struct Frame {
    pub at: usize,
    offset: u64,
    seed: u32,
    length: usize,
    pub kind: u8,
    queue: u32,
}

/// The frames of a file from `at` on, up to the first place that holds none.
fn frames(bytes: &[u8], at: usize, offset: u64, seed: u32, secret: u32) -> Vec<Frame> {
    let (mut at, mut offset, mut seed) = (at, offset, seed);
    let mut found = Vec::new();
    while at + HEAD <= bytes.len() {
        let head = &bytes[at..at + HEAD];
        let (length, kind, queue) = (u32_at(head, 0) as usize, head[4], u32_at(head, 32));
        let of =
            [seed, secret].into_iter().find(|of| head_sum(head, offset, *of) == u32_at(head, 44));
        let Some(of) = of else { break };
        found.push(Frame { at, offset, seed: of, length, kind, queue });
        if kind == 64 {
            seed = u32_at(bytes, at + HEAD);
        }
        let size = (HEAD + length + 7) & !7;
        (at, offset) = (at + size, offset + size as u64);
    }
    found
}

/// The frames of a file with its name.
pub fn frames_of(name: &str, bytes: &[u8]) -> Vec<Frame> {
    let secret = u32_at(bytes, 20);
    if name.ends_with(".run") || name.ends_with(".base") {
        return frames(bytes, 512, 512, u32_at(bytes, 56), secret);
    }
    let first = if name.ends_with(".stg") { 0 } else { u64_at(bytes, 72) };
    frames(bytes, FRAMES_AT, first, u32_at(bytes, 56), secret)
}

/// The frame with a change at `at` of it, and right sums.
pub fn forge(bytes: &[u8], frame: &Frame, at: usize, value: &[u8]) -> Vec<u8> {
    let mut forged = bytes[frame.at..frame.at + HEAD + frame.length].to_vec();
    forged[at..at + value.len()].copy_from_slice(value);
    if at >= HEAD {
        let sum = crc32c::crc32c(&forged[HEAD..]);
        forged[40..44].copy_from_slice(&sum.to_le_bytes());
    }
    let sum = head_sum(&forged, frame.offset, frame.seed);
    forged[44..48].copy_from_slice(&sum.to_le_bytes());
    forged
}

fn cases_of_frame(name: &str, bytes: &[u8], frame: &Frame, cases: &mut Vec<Case>) {
    let deep = HEAD + frame.length.min(DEEP);
    let case = |at: usize, value: &[u8]| {
        let what =
            format!("{name}: type {} table {} byte {at} = {value:?}", frame.kind, frame.queue);
        (name.to_string(), frame.at, forge(bytes, frame, at, value), what)
    };
    for at in (0..40).step_by(4).chain((HEAD..deep.saturating_sub(3)).step_by(4)) {
        for value in VALUES {
            cases.push(case(at, &value.to_le_bytes()));
        }
    }
    for at in HEAD..deep {
        if at % 4 > 1 {
            cases.push(case(at, &[255]));
        }
        if at + 8 <= deep && at % 4 == 0 {
            cases.push(case(at, &u64::MAX.to_le_bytes()));
        }
    }
}

/// Changes of the heads of a file.
fn cases_of_heads(name: &str, bytes: &[u8], cases: &mut Vec<Case>) {
    for slot in (0..FRAMES_AT.min(bytes.len())).step_by(512) {
        if bytes.get(slot..slot + 8) != Some(b"repliqS1") {
            continue;
        }
        for at in [24, 48, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152] {
            for value in [u64::MAX, 1 << 61, 0] {
                let mut forged = bytes[slot..slot + 164].to_vec();
                forged[at..at + 8].copy_from_slice(&value.to_le_bytes());
                let sum = crc32fast::hash(&forged[..160]);
                forged[160..164].copy_from_slice(&sum.to_le_bytes());
                let what = format!("{name}: head {slot} word {at} = {value:#x}");
                cases.push((name.to_string(), slot, forged, what));
            }
        }
    }
}

fn cases(subject: &Subject) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut seen: BTreeMap<(String, u8, u32), usize> = BTreeMap::new();
    for (name, bytes) in subject.files.iter().filter(|(name, _)| name.contains('.')).rev() {
        let end = name.rsplit('.').next().unwrap_or("");
        let heads = seen.entry((end.to_string(), 0, 0)).or_default();
        *heads += 1;
        if *heads == 1 {
            cases_of_heads(name, bytes, &mut cases);
        }
        for frame in frames_of(name, bytes).into_iter().rev() {
            let table = if frame.kind == 66 { frame.queue } else { 0 };
            let count = seen.entry((end.to_string(), frame.kind, table)).or_default();
            *count += 1;
            if *count <= OF_A_KIND {
                cases_of_frame(name, bytes, &frame, &mut cases);
            }
        }
    }
    let kinds: Vec<_> = seen.keys().collect();
    println!("{} cases of {kinds:?}", cases.len());
    cases
}

/// Opens the store with a changed file, and uses it.
fn use_case(subject: &Subject, file: &str, at: usize, bytes: &[u8]) {
    let disk = subject.disk();
    let mut forged = subject.files[file].clone();
    forged[at..at + bytes.len()].copy_from_slice(bytes);
    disk.put_file(file, &forged);
    use_it(subject, &disk);
}

/// Opens the store for writing and, where it does not open, for reading, and reads and puts what it can.
fn use_it(subject: &Subject, disk: &ModelDisk) {
    for read_only in [false, true] {
        let options = repliq::StoreOptions { read_only, create: false, ..subject.options.clone() };
        let Ok(store) = Store::open_on(Arc::new(disk.clone_image()), &options) else { continue };
        let _ = observe(&store);
        let _ = store.status();
        let known = repliq::SessionOptions {
            name: "known".into(),
            takeover: true,
            ..repliq::SessionOptions::default()
        };
        let _ = store.session_with(&known).and_then(|mut session| session.id());
        if !read_only && let Ok(queue) = store.queue("a") {
            for _ in 0..6 {
                let _ = store.put(queue, &[repliq::Message::new(&[7; 900])]);
            }
        }
        let _ = store.close();
    }
}

/// Runs all cases; the number of the one that is run stands in a file, for whoever finds this process ended.
fn run(progress: &std::path::Path) {
    let subject = subject(4096, 300, 12);
    let mut panics = Vec::new();
    std::panic::set_hook(Box::new(|_| {}));
    let all = cases(&subject);
    for (file, at, bytes, what) in &all {
        std::fs::write(progress, what).unwrap();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| use_case(&subject, file, *at, bytes)))
        {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            let text = panic.downcast_ref::<&str>().map_or(text, |text| text.to_string());
            panics.push(format!("{what}: {text}"));
        }
    }
    drop(std::panic::take_hook());
    assert!(all.len() > 1_000, "only {} cases", all.len());
    let _ = std::io::stdout().flush();
    assert!(
        panics.is_empty(),
        "{} of {} panic: {:#?}",
        panics.len(),
        all.len(),
        &panics[..panics.len().min(40)]
    );
}

/// Runs one test of this file again, as a process that may have so much memory, and returns what it printed.
fn in_little_space(name: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let progress = place.path().join("case");
    let program = std::env::current_exe().unwrap();
    let text = format!(
        "ulimit -v {SPACE_KIB}; exec \"$0\" --exact forged::{name} --nocapture --test-threads 1"
    );
    let output = Command::new("sh")
        .args(["-c", &text])
        .arg(&program)
        .env(CHILD, &progress)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let case = std::fs::read_to_string(&progress).unwrap_or_default();
    // One that was ended could not say which seed it was.
    let seed = case.strip_prefix("seed ").and_then(|case| case.split(':').next());
    if let Some(seed) = seed.filter(|_| !output.status.success() && !out.contains("LADDER ")) {
        println!(
            "\nFAILED T10 records: REPLIQ_SEED={seed} cargo test --locked --test engine -- --exact \
             forged::{name} --nocapture"
        );
    }
    assert!(
        output.status.success(),
        "{} at {case}: {out} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // What the tests of chance say is read by whoever started them.
    for line in
        out.lines().filter(|line| line.starts_with("LADDER ") || line.starts_with("FAILED "))
    {
        println!("{line}");
    }
    out.into_owned()
}

#[test]
fn a_forged_record_with_right_sums_costs_no_memory_and_ends_no_program() {
    if let Ok(progress) = std::env::var(CHILD) {
        return run(std::path::Path::new(&progress));
    }
    let name = "a_forged_record_with_right_sums_costs_no_memory_and_ends_no_program";
    let out = in_little_space(name);
    println!("{}", out.lines().find(|line| line.contains("cases")).unwrap_or(""));
}

/// Bytes that stand for a number at its ends, or near what was there.
fn odd(dice: &mut Dice, old: &[u8]) -> Vec<u8> {
    let mut eight = [0; 8];
    eight[..old.len()].copy_from_slice(old);
    let old_number = u64::from_le_bytes(eight);
    let number = match dice.below(9) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => (1 << 62) - 1 - dice.below(3),
        4 => u64::from(u32::MAX) - dice.below(2),
        5 => old_number.wrapping_add(1 + dice.below(9)),
        6 => old_number.wrapping_sub(1 + dice.below(9)),
        7 => old_number ^ 1 << dice.below(8 * old.len() as u64),
        _ => dice.next() << 11 ^ dice.next(),
    };
    number.to_le_bytes()[..old.len()].to_vec()
}

/// One number of one frame, or of one head, of a file is another, and the sums are right; says which.
fn forge_by_chance(dice: &mut Dice, name: &str, bytes: &mut [u8]) -> String {
    let width = 1_usize << dice.below(4);
    let mut all = frames_of(name, bytes);
    // One that was forged before may say that it is longer than its file.
    all.retain(|frame| frame.at + HEAD + frame.length <= bytes.len());
    if all.is_empty() || dice.one_in(4) {
        let slots: Vec<usize> = (0..FRAMES_AT.min(bytes.len()))
            .step_by(512)
            .filter(|slot| bytes.get(*slot..*slot + 8) == Some(b"repliqS1"))
            .collect();
        let Some(&slot) = slots.get(dice.below(slots.len().max(1) as u64) as usize) else {
            return format!("{name} has no head");
        };
        let at = slot + dice.below(160 / width as u64) as usize * width;
        let value = odd(dice, &bytes[at..at + width]);
        bytes[at..at + width].copy_from_slice(&value);
        let sum = crc32fast::hash(&bytes[slot..slot + 160]);
        bytes[slot + 160..slot + 164].copy_from_slice(&sum.to_le_bytes());
        return format!("{name}: head {slot} byte {} = {value:?}", at - slot);
    }
    let frame = &all[dice.below(all.len() as u64) as usize];
    // The sums come last in a head; what stands there is computed.
    let body = frame.length >= width && dice.one_in(2);
    let at = if body {
        HEAD + dice.below((frame.length - width) as u64 + 1) as usize
    } else {
        dice.below(40 / width as u64) as usize * width
    };
    let value = odd(dice, &bytes[frame.at + at..frame.at + at + width]);
    let forged = forge(bytes, frame, at, &value);
    bytes[frame.at..frame.at + forged.len()].copy_from_slice(&forged);
    format!("{name}: type {} at {} byte {at} = {value:?}", frame.kind, frame.at)
}

/// Cases of one seed.
const BY_CHANCE: u64 = 40;

fn run_by_chance(name: &str, progress: &std::path::Path) {
    let whole = subject(4096, 300, 12);
    seeds::run("T10 records", &format!("engine forged::{name}"), 10, |seed| {
        let mut dice = Dice::new(seed);
        let random = dice.one_in(2).then(|| chance::random_subject(&mut dice).0);
        let subject = random.as_ref().unwrap_or(&whole);
        let names: Vec<&String> =
            subject.files.keys().filter(|name| name.contains('.') && *name != "key.tmp").collect();
        for _ in 0..BY_CHANCE {
            let disk = subject.disk();
            let mut said = format!("seed {seed}:");
            for _ in 0..1 + dice.below(3) {
                let name = names[dice.below(names.len() as u64) as usize];
                let mut bytes = disk.bytes_of(name).unwrap();
                said += &format!(" {};", forge_by_chance(&mut dice, name, &mut bytes));
                disk.put_file(name, &bytes);
            }
            std::fs::write(progress, said).unwrap();
            use_it(subject, &disk);
        }
        BY_CHANCE
    });
}

#[test]
fn no_numbers_with_right_sums_cost_memory_or_end_a_program() {
    let name = "no_numbers_with_right_sums_cost_memory_or_end_a_program";
    match std::env::var(CHILD) {
        Ok(progress) => run_by_chance(name, std::path::Path::new(&progress)),
        Err(_) => _ = in_little_space(name),
    }
}
