//! Bytes that change on the disk beneath a store that is open: told at the next receive, and no other bytes than were
//! put are given to anybody.

use crate::oracle::small;
use repliq::disk::model::ModelDisk;
use repliq::{Code, Consumer, ConsumerOptions, Message, Store};
use std::sync::Arc;
use std::time::Duration;

const MESSAGES: u64 = 60;

fn open(disk: &ModelDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), &small(crate::SEGMENT)).unwrap()
}

fn text(number: u64) -> Vec<u8> {
    format!("message {number} {}", "x".repeat(number as usize * 37 % 300)).into_bytes()
}

/// A store with sealed segments that nobody has read yet.
fn filled() -> ModelDisk {
    let disk = ModelDisk::new();
    let store = open(&disk);
    let queue = store.queue("q").unwrap();
    store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
    for number in 1..=MESSAGES {
        store.put(queue, &[Message::new(&text(number))]).unwrap();
    }
    store.close().unwrap();
    disk.clone_image()
}

/// Receives all there is, in order and as it was put; or `true` where it was told of damage first.
fn is_told(consumer: &Consumer, case: &dyn Fn() -> String) -> bool {
    let mut next = 1;
    loop {
        match consumer.receive(7, Duration::ZERO) {
            Ok(got) if got.is_empty() => break,
            Ok(got) => {
                for one in got {
                    assert_eq!(one.sequence(), next, "{}", case());
                    assert!(one.payload() == text(next), "{}: other bytes of {next}", case());
                    next += 1;
                }
            }
            Err(error) => {
                assert_eq!(error.code(), Code::Corrupt, "{}: {error}", case());
                assert!(error.range().is_some(), "{}: {error}", case());
                return true;
            }
        }
    }
    assert_eq!(next, MESSAGES + 1, "{}: some are missing without a word", case());
    false
}

#[test]
fn a_byte_that_changes_beneath_an_open_store_is_told_at_the_next_receive_and_never_given() {
    let image = filled();
    let names: Vec<String> =
        image.names().into_iter().filter(|name| name.ends_with(".seg")).collect();
    assert!(names.len() >= 3, "{names:?}");
    let (mut cases, mut told) = (0, 0);
    for name in &names {
        let length = image.bytes_of(name).unwrap().len();
        for at in (0..length).step_by(5 * crate::SAMPLE) {
            let disk = image.clone_image();
            let store = open(&disk);
            let queue = store.find_queue("q").unwrap();
            let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
            let mut bytes = disk.bytes_of(name).unwrap();
            bytes[at] ^= 1 << (at % 8);
            disk.put_file(name, &bytes);
            let case = || format!("byte {at} of {name}");
            told += usize::from(is_told(&consumer, &case));
            cases += 1;
        }
    }
    println!("T2, beneath: {cases} bytes changed, {told} told, the others in nobody's way");
    assert!(cases * crate::SAMPLE > 3_000 && told * 4 > cases, "{told} told of {cases}");
}

#[test]
fn a_file_cut_beneath_an_open_store_is_told_at_the_next_receive() {
    let image = filled();
    let names: Vec<String> =
        image.names().into_iter().filter(|name| name.ends_with(".seg")).collect();
    let (mut cases, mut told) = (0, 0);
    for name in &names {
        let whole = image.bytes_of(name).unwrap();
        for length in (0..whole.len()).step_by(101 * crate::SAMPLE) {
            let disk = image.clone_image();
            let store = open(&disk);
            let queue = store.find_queue("q").unwrap();
            let consumer = store.consumer("c", queue, &ConsumerOptions::default()).unwrap();
            let mut bytes = disk.bytes_of(name).unwrap();
            bytes.truncate(length);
            disk.put_file(name, &bytes);
            told += usize::from(is_told(&consumer, &|| format!("{name} cut to {length}")));
            cases += 1;
        }
    }
    println!("T2, beneath: {cases} files cut, {told} told");
    assert!(told * 3 > cases, "{told} told of {cases}");
}
