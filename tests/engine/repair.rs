//! What is left of a damaged store is sound again: nothing in it is other than it was put, and it goes on.

use crate::damage::{Subject, subject};
use crate::oracle::observe;
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{Code, Message, Store, StoreOptions};
use std::sync::Arc;

fn open(disk: &ModelDisk, subject: &Subject, read_only: bool) -> repliq::Result<Store> {
    let options = StoreOptions { create: false, read_only, ..subject.options.clone() };
    Store::open_on(Arc::new(disk.clone()), &options)
}

#[derive(Debug, Default)]
struct Counts {
    cases: usize,
    sound: usize,
    repaired: usize,
    hopeless: usize,
}

/// Whether the store opens and all that is in it can be read.
fn is_sound(disk: &ModelDisk, subject: &Subject) -> bool {
    let Ok(store) = open(&disk.clone_image(), subject, false) else { return false };
    store.verify(&mut |_| Ok(())).is_ok() && observe(&store).is_ok()
}

fn judge(disk: &ModelDisk, subject: &Subject, counts: &mut Counts, case: &str) {
    counts.cases += 1;
    if is_sound(disk, subject) {
        counts.sound += 1;
        return;
    }
    let disk = disk.clone_image();
    let before = disk.snapshot();
    let repair = |accept| Store::repair_on(Arc::new(disk.clone()), &subject.options, accept);
    let told = repair(false);
    assert_eq!(disk.snapshot(), before, "{case}: without --accept-loss nothing changes");
    let info = match repair(true) {
        Ok(info) => info,
        Err(error) => {
            assert!(matches!(error.code(), Code::Corrupt | Code::Version), "{case}: {error}");
            counts.hopeless += 1;
            return;
        }
    };
    assert!(told.as_ref().is_ok_and(repliq::RepairInfo::is_damaged), "{case}: {told:?}");
    assert!(!info.aside.is_empty() || info.hole.is_some(), "{case}: {info:?}");
    counts.repaired += 1;
    let store = open(&disk, subject, false).unwrap_or_else(|e| panic!("{case}: {e}, {info:?}"));
    let seen = observe(&store).unwrap_or_else(|e| panic!("{case}: {e}, {info:?}"));
    assert!(seen.is_prefix_of(&subject.ever), "{case}: {info:?} {seen:#?}");
    store.verify(&mut |_| Ok(())).unwrap_or_else(|e| panic!("{case}: {e}, {info:?}"));
    let queue = store.queue("after").unwrap();
    store.put(queue, &[Message::new(b"goes on")]).unwrap();
    drop(store);
    let left = disk.power_cut(Cut::Nothing);
    let store = open(&left, subject, false).unwrap_or_else(|e| panic!("{case}: {e}, {info:?}"));
    let queue = store.find_queue("after").unwrap();
    assert_eq!(store.snapshot().unwrap().browse(queue, 1, 9).unwrap().len(), 1, "{case}");
    assert_eq!(
        Store::repair_on(Arc::new(left.clone()), &subject.options, false).unwrap().cut,
        None
    );
}

#[test]
fn a_damaged_store_is_sound_after_its_repair() {
    let subject = subject(4096, 150, 7);
    let disk = subject.disk();
    let mut counts = Counts::default();
    for (name, bytes) in &subject.files {
        let written = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let mut damaged = bytes.clone();
        for at in (0..written).step_by(7 * crate::SAMPLE) {
            damaged[at] ^= 1 << (at % 8);
            disk.put_file(name, &damaged);
            judge(&disk, &subject, &mut counts, &format!("byte {at} of {name}"));
            damaged[at] ^= 1 << (at % 8);
        }
        for length in (0..bytes.len()).step_by(97 * crate::SAMPLE) {
            disk.put_file(name, &bytes[..length]);
            judge(&disk, &subject, &mut counts, &format!("{name} cut to {length}"));
        }
        disk.remove_file(name);
        judge(&disk, &subject, &mut counts, &format!("{name} removed"));
        disk.put_file(name, bytes);
    }
    println!("repairs: {counts:?}");
    assert!(counts.repaired >= 500 / crate::SAMPLE, "{counts:?}");
    assert!(counts.hopeless * 4 <= counts.repaired, "{counts:?}");
}

#[test]
fn tokens_of_what_a_repair_lost_are_not_found_and_the_damaged_bytes_stay() {
    let options = crate::oracle::small(16 << 10);
    let disk = ModelDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    let queue = store.queue("a").unwrap();
    let payload = [7; 200];
    let put = |_| store.put(queue, &[Message::new(&payload)]).unwrap().token;
    let tokens: Vec<repliq::Token> = (0..20).map(put).collect();
    store.close().unwrap();
    drop(store);
    let name = "0000000000000001.seg";
    let mut bytes = disk.bytes_of(name).unwrap();
    bytes[4000] ^= 1;
    disk.put_file(name, &bytes);
    let info = Store::repair_on(Arc::new(disk.clone()), &options, true).unwrap();
    assert!(info.cut.is_some() && info.last > 3, "{info:?}");
    let kept = disk.bytes_of(&info.aside[0]).unwrap();
    assert!(kept == bytes, "what was damaged is kept as it was");
    let store = Store::open_on(Arc::new(disk), &options).unwrap();
    let wait = |token| store.wait("", &[token], std::time::Duration::ZERO).map_err(|e| e.code());
    for token in &tokens {
        let lost = token.position().sequence > info.last;
        assert_eq!(wait(*token), if lost { Err(Code::NotFound) } else { Ok(()) });
    }
    assert!(tokens.last().unwrap().position().sequence > info.last);
    store.put(queue, &[Message::new(b"in the place of a lost one")]).unwrap();
    assert_eq!(wait(tokens[19]), Err(Code::NotFound));
}
