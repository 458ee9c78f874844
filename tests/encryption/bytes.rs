//! The bytes of segments, as the heads of `format`, `slot` and `seal` describe them: enough to walk through
//! blocks, and to change them with checksums that hold.

use std::collections::BTreeMap;

pub const HEAD: usize = 48;
pub const FRAMES_AT: usize = 1536;
pub const SEALED: u8 = 70;

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// A block found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub file: String,
    /// Where in the file.
    pub at: usize,
    /// Journal offset.
    pub offset: u64,
    pub salt: [u8; 16],
    pub number: u64,
    /// From the tag before to the tag.
    pub body: Vec<u8>,
}

impl Block {
    pub fn size(&self) -> usize {
        HEAD + self.body.len()
    }
}

fn head_sum(head: &[u8], offset: u64, seed: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &head[..44]), &offset.to_le_bytes())
}

/// Makes both sums of the frame at `at` right again.
pub fn sum_again(bytes: &mut [u8], at: usize, offset: u64) {
    let length = u32_at(bytes, at) as usize;
    let seed = u32_at(bytes, at + 16);
    let body = crc32c::crc32c(&bytes[at + HEAD..at + HEAD + length]);
    bytes[at + 40..at + 44].copy_from_slice(&body.to_le_bytes());
    let sum = head_sum(&bytes[at..at + HEAD], offset, seed);
    bytes[at + 44..at + 48].copy_from_slice(&sum.to_le_bytes());
}

/// The block at this place, if one stands there whole.
fn block(file: &str, bytes: &[u8], at: usize, offset: u64) -> Option<Block> {
    let head = bytes.get(at..at + HEAD)?;
    if head[4] != SEALED || u32_at(head, 44) != head_sum(head, offset, u32_at(head, 16)) {
        return None;
    }
    let body = bytes.get(at + HEAD..at + HEAD + u32_at(head, 0) as usize)?;
    (crc32c::crc32c(body) == u32_at(head, 40)).then(|| Block {
        file: file.to_string(),
        at,
        offset,
        salt: head[16..32].try_into().unwrap(),
        number: u64_at(head, 8),
        body: body.to_vec(),
    })
}

/// All blocks in the segments, runs and staged files of a directory, whatever stands around them.
pub fn blocks(files: &BTreeMap<String, Vec<u8>>) -> Vec<Block> {
    let mut found = Vec::new();
    for (name, bytes) in files {
        if name.ends_with(".run") || name.ends_with(".base") {
            let mut at = 512;
            while at + HEAD <= bytes.len() {
                let Some(block) = block(name, bytes, at, at as u64) else { break };
                at += block.size();
                found.push(block);
            }
        }
        let staged = name.ends_with(".stg");
        if !name.ends_with(".seg") && !staged {
            continue;
        }
        // Any of the three heads says where the segment begins.
        let slots = (0..3).map(|n| n * 512);
        let slots = slots.filter(|at| bytes.get(*at..).is_some_and(|b| b.starts_with(b"repliqS1")));
        let firsts: std::collections::BTreeSet<u64> = match staged {
            // Its frames count from its own beginning, whether it has a head yet or not.
            true => [0].into(),
            false => slots.map(|at| u64_at(bytes, at + 72)).collect(),
        };
        for first in firsts {
            let mut at = FRAMES_AT;
            while at + HEAD <= bytes.len() {
                let offset = first + (at - FRAMES_AT) as u64;
                at += match block(name, bytes, at, offset) {
                    Some(block) => {
                        let size = block.size();
                        found.push(block);
                        size
                    }
                    None => 8,
                };
            }
        }
    }
    found
}

/// The sum of a slot of a segment, made right again.
pub fn sum_slot(bytes: &mut [u8], at: usize) {
    let sum = crc32fast::hash(&bytes[at..at + 160]);
    bytes[at + 160..at + 164].copy_from_slice(&sum.to_le_bytes());
}
