//! Bytes changed by chance and on purpose: a wrong byte is never handed out, and what only a person can have
//! done is `Tampered`.

use crate::bytes::{Block, FRAMES_AT, HEAD, blocks, sum_again, sum_slot};
use crate::{fill, open, password, payloads, small, text};
use repliq::disk::model::ModelDisk;
use repliq::{Code, Error, Message, Store, StoreOptions};
use std::sync::Arc;

/// What a damaged store may hold: the beginning of what was put.
fn read_all(disk: &ModelDisk) -> Result<usize, Error> {
    let store = open(disk, password())?;
    let found = match store.find_queue("orders") {
        Ok(queue) => payloads(&store, queue)?,
        Err(error) if error.code() == Code::NoSuchName => Vec::new(),
        Err(error) => return Err(error),
    };
    for (n, payload) in found.iter().enumerate() {
        assert_eq!(*payload, text(n).into_bytes(), "wrong bytes were handed out");
    }
    Ok(found.len())
}

/// A store of several lives, segments and runs, stopped by a kill.
fn image(messages: usize) -> ModelDisk {
    let disk = ModelDisk::new();
    let store = open(&disk, password()).unwrap();
    let queue = fill(&store, messages / 2);
    store.close().unwrap();
    let store = open(&disk, password()).unwrap();
    for n in messages / 2..messages {
        store.put(queue, &[Message::new(text(n).as_bytes())]).unwrap();
    }
    disk.kill()
}

fn changed(image: &ModelDisk, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> ModelDisk {
    let disk = image.clone_image();
    let mut bytes = disk.bytes_of(file).unwrap();
    change(&mut bytes);
    disk.put_file(file, &bytes);
    disk
}

#[test]
fn a_flipped_bit_anywhere_never_yields_wrong_bytes_and_is_never_called_tampering() {
    let image = image(16);
    let (mut flips, mut whole, mut corrupt) = (0, 0, 0);
    for (name, bytes) in image.snapshot() {
        if ![".seg", ".run", ".base"].iter().any(|end| name.ends_with(end)) {
            continue;
        }
        // Every bit of every byte that was ever written, and some of those that were not.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for bit in (0..bytes.len() * 8).filter(|bit| bit / 8 <= used || bit % 97 == 0) {
            let disk = changed(&image, &name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            match read_all(&disk) {
                Ok(16) => whole += 1,
                Ok(count) => panic!("{name} bit {bit}: {count} of 16 messages, and nobody said so"),
                Err(error) => {
                    assert_eq!(error.code(), Code::Corrupt, "{name} bit {bit}: {error}");
                    corrupt += 1;
                }
            }
            flips += 1;
        }
    }
    println!("{flips} bits flipped: {whole} harmless, {corrupt} named");
    assert!(flips > 40_000 && corrupt > 10_000, "{flips} {corrupt}");
}

#[test]
fn a_block_changed_with_a_right_checksum_is_tampered() {
    let image = image(12);
    let found = blocks(&image.snapshot());
    let (mut cases, mut harmless) = (0, 0);
    for block in &found {
        for at in (HEAD..block.size()).step_by(5).chain([8, 15, 16, 24, 31, 36]) {
            let disk = changed(&image, &block.file, |bytes| {
                bytes[block.at + at] ^= 0x10;
                sum_again(bytes, block.at, block.offset);
            });
            match read_all(&disk) {
                Err(error) if error.code() == Code::Tampered => cases += 1,
                // The seed of a block stands in its header: changed, it is a frame of another life.
                Err(error) if error.code() == Code::Corrupt && (16..20).contains(&at) => cases += 1,
                // The run is not read where a newer one is whole, and neither are the segments before it.
                Ok(12) => harmless += 1,
                other => panic!("{} byte {at}: {other:?}", block.file),
            }
        }
    }
    println!("{cases} changes of {} blocks found, {harmless} never read", found.len());
    assert!(cases > 500, "{cases}");
}

#[test]
fn a_changed_block_that_an_open_does_not_replay_is_found_by_its_reader() {
    let image = image(40);
    let newest = image.names().into_iter().rfind(|name| name.ends_with(".run")).unwrap();
    let kept = u64::from_str_radix(&newest[..16], 16).unwrap();
    let old = |block: &&Block| {
        let number = u64::from_str_radix(&block.file[..16], 16).unwrap();
        block.file.ends_with(".seg") && number + 1 < kept && block.number > 2
    };
    let found = blocks(&image.snapshot());
    let mut cases = 0;
    for block in found.iter().filter(old) {
        let disk = changed(&image, &block.file, |bytes| {
            bytes[block.at + HEAD + 30] ^= 1;
            sum_again(bytes, block.at, block.offset);
        });
        let store = open(&disk, password()).unwrap();
        let error = payloads(&store, store.find_queue("orders").unwrap()).err();
        let code = error.as_ref().map(Error::code);
        // The last block of a segment is its index, which its reader can do without.
        assert!(code.is_none() || code == Some(Code::Tampered), "{error:?}");
        cases += usize::from(code.is_some());
    }
    assert!(cases > 5, "{cases}");
}

#[test]
fn blocks_that_are_moved_swapped_or_played_again_are_tampered() {
    // All in one segment, so that an open meets every one of them.
    let image = ModelDisk::new();
    let options = StoreOptions { segment_bytes: 64 << 10, ..small(password()) };
    let options = StoreOptions { segment_bytes_max: 64 << 10, ..options };
    fill(&Store::open_on(Arc::new(image.clone()), &options).unwrap(), 8);
    let image = image.kill();
    let found = blocks(&image.snapshot());
    let tail: Vec<&Block> = found.iter().collect();
    let mut cases = 0;
    for one in &tail {
        for other in &tail {
            if one.at == other.at || other.body.len() > one.body.len() {
                continue;
            }
            // The other block, header and all, in the place of the first, with sums for that place.
            let disk = changed(&image, &one.file, |bytes| {
                let copy = bytes[other.at..other.at + other.size()].to_vec();
                bytes[one.at..one.at + other.size()].copy_from_slice(&copy);
                sum_again(bytes, one.at, one.offset);
            });
            let error = read_all(&disk).unwrap_err();
            assert_eq!(error.code(), Code::Tampered, "{error}");
            // Only its body, under the header of the first.
            let disk = changed(&image, &one.file, |bytes| {
                let (from, length) = (other.at, other.body.len());
                bytes[one.at..one.at + 4].copy_from_slice(&(length as u32).to_le_bytes());
                bytes.copy_within(from + HEAD..from + HEAD + length, one.at + HEAD);
                sum_again(bytes, one.at, one.offset);
            });
            let error = read_all(&disk).unwrap_err();
            assert_eq!(error.code(), Code::Tampered, "{error}");
            cases += 2;
        }
    }
    println!("{cases} blocks moved or swapped");
    assert!(cases >= 60, "{cases}");
}

/// A frame as a plain store would hold it, that nobody needs a key for.
fn plain_frame(seed_from: &Block, transaction: u64, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEAD];
    frame[0..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    (frame[4], frame[5]) = (1, 1);
    frame[8..16].copy_from_slice(&transaction.to_le_bytes());
    frame[32..36].copy_from_slice(&1_u32.to_le_bytes());
    frame.extend_from_slice(body);
    frame.resize(frame.len().next_multiple_of(8), 0);
    let body_sum = crc32c::crc32c(body);
    frame[40..44].copy_from_slice(&body_sum.to_le_bytes());
    let seed = u32::from_le_bytes(seed_from.salt[..4].try_into().unwrap());
    let sum = crc32c::crc32c_append(seed, &frame[..44]);
    let sum = crc32c::crc32c_append(sum, &seed_from.offset.to_le_bytes());
    frame[44..48].copy_from_slice(&sum.to_le_bytes());
    frame
}

#[test]
fn a_plain_frame_in_an_encrypted_journal_is_tampered() {
    let image = image(6);
    let found = blocks(&image.snapshot());
    let last = found.iter().rfind(|block| block.file.ends_with(".seg")).unwrap();
    for transaction in 1..20 {
        let frame = plain_frame(last, transaction, b"\0\0\0\0\0\0\0\0forged");
        let disk = changed(&image, &last.file, |bytes| {
            bytes[last.at..last.at + frame.len()].copy_from_slice(&frame);
        });
        assert_eq!(read_all(&disk).unwrap_err().code(), Code::Tampered);
    }
}

#[test]
fn a_store_cannot_be_passed_off_as_plain_or_as_another_one() {
    let image = image(6);
    let segments: Vec<String> =
        image.names().into_iter().filter(|name| name.ends_with(".seg")).collect();
    let disk = image.clone_image();
    for name in &segments {
        let mut bytes = disk.bytes_of(name).unwrap();
        for slot in [0, 512, 1024] {
            if bytes[slot..].starts_with(b"repliqS1") {
                bytes[slot + 12] = 0;
                sum_slot(&mut bytes, slot);
            }
        }
        disk.put_file(name, &bytes);
    }
    // With the password it is refused as plain; without, its blocks are refused.
    let error = open(&disk, password()).err().unwrap();
    assert_eq!(error.code(), Code::BadPassword);
    let error = open(&disk, None).err().unwrap();
    assert!([Code::Tampered, Code::Corrupt].contains(&error.code()), "{error}");

    // A segment of another store with the same password.
    let other = ModelDisk::with_seed(77);
    fill(&open(&other, password()).unwrap(), 6);
    let disk = image.clone_image();
    let name = segments.last().unwrap();
    if let Some(bytes) = other.bytes_of(name) {
        disk.put_file(name, &bytes);
    }
    assert!(read_all(&disk).is_err());
}

#[test]
fn a_state_run_cannot_stand_for_another_place_or_be_made_up() {
    let image = image(40);
    let runs: Vec<String> =
        image.names().into_iter().filter(|name| name.ends_with(".run")).collect();
    assert!(runs.len() >= 2, "{runs:?}");
    let (old, new) = (&runs[0], runs.last().unwrap());
    let (old_bytes, new_bytes) = (image.bytes_of(old).unwrap(), image.bytes_of(new).unwrap());
    // The older run, told to belong where the newer one does.
    let mut moved = old_bytes.clone();
    for (at, length) in [(48, 8), (72, 8), (80, 8), (88, 8), (144, 8)] {
        moved[at..at + length].copy_from_slice(&new_bytes[at..at + length]);
    }
    sum_slot(&mut moved, 0);
    let disk = image.clone_image();
    disk.put_file(new, &moved);
    assert_eq!(read_all(&disk).unwrap_err().code(), Code::Tampered);
    // A run of a plain store.
    let plain = ModelDisk::new();
    fill(&open(&plain, None).unwrap(), 40);
    let name = plain.names().into_iter().rfind(|name| name.ends_with(".run")).unwrap();
    let mut made_up = new_bytes[..512].to_vec();
    made_up.extend_from_slice(&plain.bytes_of(&name).unwrap()[512..]);
    disk.put_file(new, &made_up);
    assert_eq!(read_all(&disk).unwrap(), 40, "the run before it is used instead");
}

#[test]
fn a_byte_of_every_frame_place_may_be_anything_and_the_open_ends() {
    // Heads of blocks with lengths that lead out of the file, and bodies too short to hold a tag.
    let image = image(6);
    let found = blocks(&image.snapshot());
    let last = found.iter().rfind(|block| block.file.ends_with(".seg")).unwrap();
    for length in [0_u32, 1, 15, 16, 31, 32, 40, u32::MAX, u32::MAX - 48, 1 << 20] {
        let disk = changed(&image, &last.file, |bytes| {
            bytes[last.at..last.at + 4].copy_from_slice(&length.to_le_bytes());
            if last.at + HEAD + (length as usize) < bytes.len() {
                sum_again(bytes, last.at, last.offset);
            }
        });
        let error = read_all(&disk).unwrap_err();
        assert!([Code::Tampered, Code::Corrupt].contains(&error.code()), "{length}: {error}");
    }
    assert!(last.at > FRAMES_AT);
}
