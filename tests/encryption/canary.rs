//! What goes into an encrypted store is found nowhere: not in its files, not in texts, not in memory after it.

use crate::other;
use repliq::{Code, ConsumerOptions, Cost, Level, Message, Password, Store, StoreOptions};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

const CANARIES: [&str; 9] = [
    "canary-queue-5be1",
    "canary-consumer-77a2",
    "canary-key-90c3",
    "canary-header-name-1f",
    "canary-header-value-2e",
    "canary-payload-3d4c",
    "canary-producer-88d0",
    "canary-password-41f7",
    "canary-second-password-c0",
];

fn options(password: &str, helper: bool) -> StoreOptions {
    StoreOptions {
        password: Some(other(password)),
        segment_bytes: 4096,
        segment_bytes_max: 16 << 10,
        helper,
        ..StoreOptions::default()
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Fails when a file of the directory holds one of the canaries; returns how many bytes were looked through.
fn search(directory: &Path) -> usize {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        for canary in CANARIES {
            assert!(!contains(&content, canary.as_bytes()), "{canary} in {}", path.display());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.contains(canary), "{canary} in the name {name}");
        }
        bytes += content.len();
    }
    bytes
}

fn put(store: &Store, count: usize, producer_from: u64) {
    let queue = store.queue(CANARIES[0]).unwrap();
    let large =
        vec![Message { key: CANARIES[2].as_bytes(), ..Message::new(CANARIES[5].as_bytes()) }; 70];
    store.put(queue, &large).unwrap();
    for n in 0..count {
        let payload = format!("{} {n} {}", CANARIES[5], "y".repeat(n % 90));
        let message = Message {
            key: CANARIES[2].as_bytes(),
            headers: &[(CANARIES[3], CANARIES[4].as_bytes())],
            payload: payload.as_bytes(),
            producer: CANARIES[6],
            producer_sequence: producer_from + n as u64,
            ..Message::default()
        };
        let level = if n % 5 == 0 { Level::Process } else { Level::Power };
        store.put_at(queue, &[message], level).unwrap();
    }
}

#[test]
fn nothing_that_goes_in_is_found_in_any_file_of_the_directory() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("store");
    let mut looked = 0;
    for helper in [false, true] {
        let store = Store::open(&directory, &options(CANARIES[7], helper)).unwrap();
        let queue = store.queue(CANARIES[0]).unwrap();
        let consumer = store.consumer(CANARIES[1], queue, &ConsumerOptions::default()).unwrap();
        put(&store, 120, if helper { 121 } else { 1 });
        looked += search(&directory);
        let got = consumer.receive(100, Duration::ZERO).unwrap();
        assert_eq!(got[0].key(), CANARIES[2].as_bytes());
        // One left out, so that ranges and names go into the state runs.
        let sequences: Vec<u64> = got.iter().skip(1).map(|message| message.sequence()).collect();
        consumer.ack(&sequences).unwrap();
        store.change_password(&other(CANARIES[8])).unwrap();
        store.change_password(&other(CANARIES[7])).unwrap();
        looked += search(&directory);
        consumer.close();
        store.close().unwrap();
        looked += search(&directory);
    }
    let names: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for end in [".seg", ".run", ".stg", "key", "lock"] {
        assert!(names.iter().any(|name| name.ends_with(end)), "no {end} among {names:?}");
    }
    println!("{looked} bytes of files looked through");
}

#[test]
fn the_search_finds_what_a_plain_store_holds() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("store");
    let plain = StoreOptions { password: None, ..options("unused", false) };
    put(&Store::open(&directory, &plain).unwrap(), 5, 1);
    let outcome = std::panic::catch_unwind(|| search(&directory));
    assert!(outcome.is_err(), "the search found nothing in a plain store");
}

#[test]
fn no_error_text_holds_a_secret() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("store");
    let right = options(CANARIES[7], false);
    let store = Store::open(&directory, &right).unwrap();
    put(&store, 3, 1);
    store.close().unwrap();
    let wrong = Store::open(&directory, &options(CANARIES[8], false)).err().unwrap();
    assert_eq!(wrong.code(), Code::BadPassword);
    let mut texts = vec![wrong.to_string(), format!("{wrong:?}"), format!("{right:?}")];
    let weak = Password::from(CANARIES[8]).at_cost(Cost { lanes: 99, ..Cost::LEAST });
    let store = Store::open(&directory, &right).unwrap();
    texts.push(store.change_password(&weak).unwrap_err().to_string());
    texts.push(store.status().unwrap());
    store.close().unwrap();
    // Damage, named.
    let segment = directory.join("0000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let length = bytes.len();
    bytes[1_700..length - 100].iter_mut().step_by(40).for_each(|byte| *byte ^= 1);
    fs::write(&segment, &bytes).unwrap();
    texts.push(Store::open(&directory, &right).err().unwrap().to_string());
    for text in texts {
        for canary in [CANARIES[2], CANARIES[5], CANARIES[7], CANARIES[8]] {
            assert!(!text.contains(canary), "{canary} in {text:?}");
        }
    }
}

/// Where the password stands in this process's writable memory. It is looked for bit by bit turned around, so
/// that the search does not find itself.
fn in_memory(turned: &[u8]) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let (mut hits, mut chunk) = (0, vec![0; 1 << 20]);
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let Some((from, to)) = line.split(' ').next().unwrap().split_once('-') else { continue };
        let (mut from, to) =
            (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        while from < to {
            let want = ((to - from) as usize).min(chunk.len());
            memory.seek(SeekFrom::Start(from)).unwrap();
            let Ok(got) = memory.read(&mut chunk[..want]) else { break };
            if got < turned.len() {
                break;
            }
            let same = |window: &[u8]| window.iter().zip(turned).all(|(a, b)| *a == !*b);
            hits += chunk[..got].windows(turned.len()).filter(|window| same(window)).count();
            // A piece of the password may end this chunk.
            from += if got == want { got } else { want } as u64;
            from -= if from < to { turned.len() as u64 - 1 } else { 0 };
        }
        chunk.fill(0);
    }
    hits
}

#[test]
fn a_password_is_gone_from_memory_when_its_last_user_is() {
    let turned: Vec<u8> = (0..24_u8).map(|n| !(b'A' + n.wrapping_mul(11) % 50)).collect();
    let place = tempfile::tempdir().unwrap();
    let password =
        Password::from(turned.iter().map(|byte| !byte).collect::<Vec<u8>>()).at_cost(Cost::LEAST);
    assert!(in_memory(&turned) > 0, "the search must find a password that is there");
    let options = StoreOptions { password: Some(password), ..StoreOptions::default() };
    let store = Store::open(place.path().join("store"), &options).unwrap();
    let queue = store.queue("q").unwrap();
    store.put(queue, &[Message::new(b"x")]).unwrap();
    store.close().unwrap();
    drop((store, options));
    assert_eq!(in_memory(&turned), 0);
}
