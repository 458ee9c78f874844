//! The checksum of what is stored: CRC-32C (Castagnoli), kind 2 of the segment header and of the hello.
//!
//! One kind for all: what a store writes is read on every machine. Processors have instructions for it; where
//! there are none, tables give the same sums. Up to [`SHORT`] bytes the instruction is used word by word, which
//! costs a third of what finding the best way for a long piece does.
//!
//! A sum can be gone on with: the sum of `a` and then `b` is `go_on(go_on(0, a), b)`. For bytes that stay the
//! same it is a bijection of what it began with, so the same bytes under two seeds never have one sum.

#![allow(unsafe_code)]

/// The number that names this kind.
pub const KIND: u8 = 2;

/// The longest piece that is summed word by word.
#[cfg(target_arch = "x86_64")]
const SHORT: usize = 256;

/// The sum of these bytes.
#[inline]
pub fn of(bytes: &[u8]) -> u32 {
    go_on(0, bytes)
}

/// The sum of what `sum` was taken over, and these bytes behind it.
#[inline]
pub fn go_on(sum: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() <= SHORT && std::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has the instructions the function is compiled for, as was just asked.
        return unsafe { short(sum, bytes) };
    }
    crc32c::crc32c_append(sum, bytes)
}

/// The same for words, each as its bytes from the lowest.
#[inline]
pub fn go_on_words<const N: usize>(sum: u32, words: [u64; N]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("sse4.2") {
        // SAFETY: as above.
        return unsafe { short_words(sum, words) };
    }
    words.iter().fold(sum, |sum, word| crc32c::crc32c_append(sum, &word.to_le_bytes()))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn short_words<const N: usize>(sum: u32, words: [u64; N]) -> u32 {
    use std::arch::x86_64::_mm_crc32_u64;
    let wide = words.iter().fold(u64::from(!sum), |wide, word| _mm_crc32_u64(wide, *word));
    !((wide & u64::from(u32::MAX)) as u32)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn short(sum: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};
    let (words, rest) = bytes.as_chunks::<8>();
    let mut wide = u64::from(!sum);
    for word in words {
        wide = _mm_crc32_u64(wide, u64::from_le_bytes(*word));
    }
    // The upper half of what the instruction gives is zero.
    let mut sum = (wide & u64::from(u32::MAX)) as u32;
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        sum = _mm_crc32_u32(sum, u32::from_le_bytes(*half));
    }
    for byte in rest {
        sum = _mm_crc32_u8(sum, *byte);
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, bit by bit.
    fn slowly(sum: u32, bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!sum, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 }
            })
        })
    }

    #[test]
    fn the_check_value_of_the_definition() {
        assert_eq!(of(b"123456789"), 0xe306_9283);
        assert_eq!(of(b""), 0);
    }

    #[test]
    fn every_length_and_place_has_the_sum_of_the_definition() {
        let bytes: Vec<u8> = (0..2000_u32).map(|n| (n * 131 + n / 7) as u8).collect();
        for length in (0..600).chain([1023, 1024, 1025, 1990]) {
            for from in 0..9 {
                let piece = &bytes[from..from + length];
                assert_eq!(of(piece), slowly(0, piece), "{length} bytes from {from}");
            }
        }
    }

    #[test]
    fn words_have_the_sum_of_their_bytes() {
        let words = [1, u64::MAX, 0x0123_4567_89ab_cdef, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for sum in [0, 1, u32::MAX, 0x1234_5678] {
            assert_eq!(go_on_words(sum, words), slowly(sum, &bytes));
        }
    }

    #[test]
    fn a_sum_goes_on_where_it_ended() {
        let bytes: Vec<u8> = (0..700_u32).map(|n| (n * 17) as u8).collect();
        for cut in 0..=bytes.len() {
            assert_eq!(go_on(of(&bytes[..cut]), &bytes[cut..]), of(&bytes), "cut at {cut}");
        }
        assert_ne!(go_on(1, &bytes), go_on(2, &bytes));
        assert_eq!(go_on(0x1234_5678, &bytes), slowly(0x1234_5678, &bytes));
    }
}
