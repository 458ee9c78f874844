//! Which keys a file of rows may hold: a Bloom filter, so that most files are not read for a key they do not have.
//!
//! ```text
//! offset  size  body of the frame
//!      0     n  bits: of a key with the hash h (XXH3-64 over its section (4) and its bytes), the bits
//!               (low + i * high) modulo 8n are set for i from 0 to 6, low and high being the halves of h, high made odd
//! ```
//!
//! Ten bits a key let one in a hundred wrong keys pass. Beyond [`limits::FILTER_BYTES_MAX`] more of them do, which
//! costs reads and no memory.

use crate::limits;
use xxhash_rust::xxh3::Xxh3;

const PROBES: u64 = 7;
const BITS_A_KEY: u64 = 10;

/// The keys of one file, or so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    bits: Vec<u8>,
}

/// The hash of a key.
pub fn hash_of(section: u32, key: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&section.to_le_bytes());
    hasher.update(key);
    hasher.digest()
}

impl Filter {
    /// A filter for at most so many keys, of which it has none.
    pub fn with_room(keys: u64) -> Filter {
        let bytes = keys.saturating_mul(BITS_A_KEY).div_ceil(8);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(limits::FILTER_BYTES_MAX);
        Filter { bits: vec![0; if keys == 0 { 0 } else { bytes.max(8) }] }
    }

    /// The filter with these bits.
    pub fn of(bits: &[u8]) -> Filter {
        Filter { bits: bits.to_vec() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bits
    }

    pub fn add(&mut self, hash: u64) {
        for bit in self.places(hash) {
            self.bits[bit / 8] |= 1 << (bit % 8);
        }
    }

    /// Whether the key with this hash may be there.
    pub fn may_hold(&self, hash: u64) -> bool {
        let denied = hash.is_multiple_of(8) && sabotage!("filter denies a row that is there");
        !denied
            && !self.bits.is_empty()
            && self.places(hash).all(|bit| self.bits[bit / 8] & (1 << (bit % 8)) != 0)
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let (low, high) = (hash & 0xffff_ffff, (hash >> 32) | 1);
        let bits = 8 * self.bits.len() as u64;
        (0..PROBES).map(move |probe| ((low + probe * high) % bits.max(1)) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_held_and_of_other_keys_hardly_any() {
        let key = |number: u64| hash_of(64, &number.to_le_bytes());
        let mut filter = Filter::with_room(10_000);
        (0..10_000).for_each(|number| filter.add(key(number)));
        assert!((0..10_000).all(|number| filter.may_hold(key(number))));
        let wrong = (10_000..110_000).filter(|number| filter.may_hold(key(*number))).count();
        assert!(wrong < 2_000, "{wrong} of 100,000");
        assert!(!Filter::with_room(0).may_hold(key(1)));
        assert_eq!(Filter::with_room(u64::MAX).bytes().len(), limits::FILTER_BYTES_MAX);
        assert_eq!(Filter::of(filter.bytes()), filter);
    }
}
