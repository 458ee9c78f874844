//! Records of a newer version: what must be understood is refused by its name and left alone, and what says of itself
//! that it may be ignored is passed over.

use crate::forged::{Frame, forge, frames_of};
use crate::oracle::small;
use repliq::disk::model::ModelDisk;
use repliq::{Code, Message, Result, Store, StoreOptions};
use std::sync::Arc;

const SEGMENT: &str = "0000000000000001.seg";
const MESSAGE: u8 = 1;
const LAST: u8 = 1;
const MAY_IGNORE: u8 = 0x80;

fn open(disk: &ModelDisk, read_only: bool) -> Result<Store> {
    let options = StoreOptions { read_only, create: false, ..small(16 << 10) };
    Store::open_on(Arc::new(disk.clone()), &options)
}

/// A disk with three messages, each a transaction of its own.
fn three() -> ModelDisk {
    let disk = ModelDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), &small(16 << 10)).unwrap();
    let queue = store.queue("a").unwrap();
    for payload in [b"one", b"two", b"six"] {
        store.put(queue, &[Message::new(payload)]).unwrap();
    }
    drop(store);
    disk.kill()
}

/// The disk with the n-th message's frame changed from byte `at` of it on, under right sums.
fn changed(disk: &ModelDisk, n: usize, at: usize, value: &[u8]) -> ModelDisk {
    let mut bytes = disk.bytes_of(SEGMENT).unwrap();
    let frames = frames_of(SEGMENT, &bytes);
    let frame: &Frame = frames.iter().filter(|frame| frame.kind == MESSAGE).nth(n).unwrap();
    let forged = forge(&bytes, frame, at, value);
    bytes[frame.at..frame.at + forged.len()].copy_from_slice(&forged);
    let image = disk.clone_image();
    image.put_file(SEGMENT, &bytes);
    image
}

fn payloads(store: &Store) -> Vec<String> {
    let queue = store.find_queue("a").unwrap();
    let found = store.snapshot().unwrap().browse(queue, 1, 100).unwrap();
    found.iter().map(|one| String::from_utf8(one.payload().to_vec()).unwrap()).collect()
}

#[test]
fn a_record_that_must_be_understood_is_refused_by_name_and_left_alone() {
    let disk = three();
    assert_eq!(payloads(&open(&disk.clone_image(), false).unwrap()), ["one", "two", "six"]);
    let mut cases: Vec<(usize, Vec<u8>, String)> = Vec::new();
    for number in [40, 62, 100, 126] {
        cases.push((4, vec![number], format!("type {number}")));
    }
    // Numbers that stand for what may be ignored, and do not say so.
    cases.push((4, vec![63], "ignored record".to_string()));
    cases.push((4, vec![127], "ignored frame".to_string()));
    for bit in 3..7 {
        let flags = LAST | 1 << bit;
        cases.push((5, vec![flags], format!("message with flags {flags:#04x}")));
    }
    for n in 0..3 {
        for (at, value, what) in &cases {
            let image = changed(&disk, n, *at, value);
            let before = image.snapshot();
            for read_only in [false, true] {
                let error = open(&image, read_only).err().unwrap_or_else(|| panic!("{n}: {what}"));
                assert_eq!(error.code(), Code::Version, "{n}: {what}: {error}");
                assert!(error.to_string().contains(what), "{n}: {what}: {error}");
                assert!(error.to_string().contains("newer version"), "{n}: {what}: {error}");
                assert!(error.range().is_some(), "{n}: {what}: {error}");
            }
            assert_eq!(image.snapshot(), before, "{n}: {what}: something was written");
        }
    }
}

#[test]
fn a_record_that_may_be_ignored_is_passed_over_and_the_store_goes_on() {
    let disk = three();
    for number in [40, 62, 63] {
        let image = changed(&disk, 2, 4, &[number, LAST | MAY_IGNORE]);
        assert_eq!(payloads(&open(&image, true).unwrap()), ["one", "two"], "{number}");
        let store = open(&image, false).unwrap();
        store.verify(&mut |_| Ok(())).unwrap();
        let queue = store.find_queue("a").unwrap();
        let before = store.put(queue, &[Message::new(b"new")]).unwrap().token.position().sequence;
        drop(store);
        // Its transaction is one all the same: its number is not given out again.
        let whole = open(&disk.clone_image(), false).unwrap();
        let queue = whole.find_queue("a").unwrap();
        let after = whole.put(queue, &[Message::new(b"new")]).unwrap().token.position().sequence;
        assert_eq!(before, after, "{number}");
        for left in [image.kill(), image.power_cut(repliq::disk::model::Cut::Nothing)] {
            let store = open(&left, false).unwrap();
            assert_eq!(payloads(&store), ["one", "two", "new"], "{number}");
            store.verify(&mut |_| Ok(())).unwrap();
        }
    }
}

#[test]
fn a_local_frame_that_may_be_ignored_is_passed_over() {
    let disk = three();
    for number in [100, 126, 127] {
        // Type, flags, two zeros; a local frame has no transaction, sequence and queue.
        let mut value = vec![0; 32];
        value[0] = number;
        value[1] = MAY_IGNORE;
        let image = changed(&disk, 2, 4, &value);
        let store = open(&image, false).unwrap();
        assert_eq!(payloads(&store), ["one", "two"], "{number}");
        let queue = store.find_queue("a").unwrap();
        store.put(queue, &[Message::new(b"new")]).unwrap();
        drop(store);
        let store = open(&image.kill(), false).unwrap();
        assert_eq!(payloads(&store), ["one", "two", "new"], "{number}");
        store.verify(&mut |_| Ok(())).unwrap();
    }
}
