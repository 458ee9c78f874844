//! The heads of `key` and `seal` are enough to read an encrypted store from: this decoder was written from
//! them, and shares no code with the library.

use crate::bytes::{Block, HEAD, blocks, u32_at, u64_at};
use crate::{fill, open, other, text};
use argon2::{Algorithm, Argon2, Params, Version};
use repliq::Message;
use repliq::disk::model::ModelDisk;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};

fn aead(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
}

/// The data key in a slot of the file `key`.
fn data_key(slot: &[u8], password: &str) -> Vec<u8> {
    let cost = Params::new(u32_at(slot, 40), u32_at(slot, 44), u32_at(slot, 48), Some(32)).unwrap();
    let mut lock = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost);
    argon2.hash_password_into(password.as_bytes(), &slot[52..68], &mut lock).unwrap();
    let nonce = Nonce::assume_unique_for_key(slot[68..80].try_into().unwrap());
    let mut locked = slot[80..128].to_vec();
    let data = aead(&lock).open_in_place(nonce, Aad::from(&slot[..80]), &mut locked).unwrap();
    let signed = [b"repliq key check".as_slice(), &slot[24..40]].concat();
    let check = hmac::Key::new(hmac::HMAC_SHA256, data);
    hmac::verify(&check, &signed, &slot[128..160]).unwrap();
    data.to_vec()
}

struct Thirty2;

impl hkdf::KeyType for Thirty2 {
    fn len(&self) -> usize {
        32
    }
}

/// The frames of a block.
fn open_block(data: &[u8], store: &[u8], block: &Block, head: &[u8]) -> Vec<u8> {
    let purpose: &[u8] = match &block.file[block.file.len() - 3..] {
        "run" | "ase" => b"repliq run 1",
        "stg" => b"repliq staged 1",
        _ => b"repliq tail 1",
    };
    let random = hkdf::Salt::new(hkdf::HKDF_SHA256, &block.salt).extract(data);
    let mut key = [0; 32];
    random.expand(&[purpose], Thirty2).unwrap().fill(&mut key).unwrap();
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&block.number.to_le_bytes());
    let associated =
        [&[1], store, &block.offset.to_le_bytes(), &head[..40], &block.body[..16]].concat();
    let mut sealed = block.body[16..].to_vec();
    let opened = aead(&key).open_in_place(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(&associated),
        &mut sealed,
    );
    opened.unwrap().to_vec()
}

#[test]
fn a_decoder_written_from_the_description_reads_every_block() {
    let disk = ModelDisk::new();
    let store = open(&disk, Some(other("described"))).unwrap();
    let large: Vec<String> = (0..40).map(|n| format!("{n} {}", "staged".repeat(10))).collect();
    let messages: Vec<Message<'_>> =
        large.iter().map(|text| Message::new(text.as_bytes())).collect();
    store.put(store.queue("large").unwrap(), &messages).unwrap();
    fill(&store, 30);
    drop(store);
    let files = disk.snapshot();
    let key = &files["key"];
    let data = data_key(&key[..512], "described");
    assert_eq!(data, data_key(&key[512..], "described"));
    let (mut messages, mut runs, mut plain) = (Vec::new(), 0, 0);
    let (mut staged, mut before): (Vec<Vec<u8>>, [Option<Block>; 3]) = Default::default();
    for block in blocks(&files) {
        let head = &files[&block.file][block.at..block.at + HEAD];
        let run = block.file.ends_with(".run") || block.file.ends_with(".base");
        let of_staged = block.file.ends_with(".stg");
        let frames = open_block(&data, &key[24..40], &block, head);
        let kind = if run { 2 } else { usize::from(of_staged) };
        let last = before[kind].replace(block.clone()).filter(|last| last.salt == block.salt);
        match last {
            Some(last) => assert_eq!(block.body[..16], last.body[last.body.len() - 16..]),
            None => assert_eq!((block.number, &block.body[..16]), (0, &[0; 16][..])),
        }
        if run {
            assert_eq!(block.salt, files[&block.file][56..72]);
            runs += 1;
            continue;
        }
        let mut at = 0;
        while at < frames.len() {
            let length = u32_at(&frames, at) as usize;
            let body = &frames[at + HEAD..at + HEAD + length];
            assert_eq!(crc32c::crc32c(body), u32_at(&frames, at + 40));
            if frames[at + 4] == 1 && of_staged {
                staged.push(body[8..].to_vec());
            } else if frames[at + 4] == 1 {
                // A message without key and headers: eight bytes, then the payload.
                messages.push((u64_at(&frames, at + 16), body[8..].to_vec()));
            }
            at += (HEAD + length).next_multiple_of(8);
            plain += 1;
        }
        assert_eq!(at, frames.len(), "frames fill their block");
    }
    let wanted: Vec<(u64, Vec<u8>)> =
        (0..30).map(|n| (n as u64 + 1, text(n).into_bytes())).collect();
    assert_eq!(messages, wanted);
    assert!(staged.iter().eq(large.iter().map(|text| text.as_bytes())), "{staged:?}");
    println!("{plain} frames and {runs} runs read without the library");
    assert!(runs > 0);
}
