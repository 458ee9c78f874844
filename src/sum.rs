//! The checksum of what is stored: CRC-32C (Castagnoli), kind 2 of the segment header and of the hello.
//!
//! One kind for all: what a store writes is read on every machine. Processors have instructions for it; where there are
//! none, tables give the same sums. The instruction takes eight bytes and three steps of the processor, which begins one
//! in every step: from [`LANES_FROM`] bytes on three parts are summed side by side and put together with a
//! multiplication; above [`SHORT`] bytes the library's ways for long pieces are faster.
//!
//! A sum can be gone on with: the sum of `a` and then `b` is `go_on(go_on(0, a), b)`. For bytes that stay the
//! same it is a bijection of what it began with, so the same bytes under two seeds never have one sum.

#![allow(unsafe_code)]

/// The number that names this kind.
pub const KIND: u8 = 2;

/// The longest piece that is summed here.
#[cfg(target_arch = "x86_64")]
const SHORT: usize = 2048;

/// From where on it pays to sum three parts side by side.
#[cfg(target_arch = "x86_64")]
const LANES_FROM: usize = 192;

/// What moves a sum over so many words: x^(64 words - 33) modulo the polynomial, bits reversed.
#[cfg(target_arch = "x86_64")]
static OVER: [u32; SHORT / 12 + 1] = {
    let mut over = [0; SHORT / 12 + 1];
    let (mut power, mut exponent, mut words) = (1_u32 << 31, 0, 1);
    while words < over.len() {
        while exponent < 64 * words - 33 {
            power = power >> 1 ^ if power & 1 == 1 { POLYNOMIAL } else { 0 };
            exponent += 1;
        }
        over[words] = power;
        words += 1;
    }
    over
};

/// The polynomial, bits reversed.
#[cfg(any(target_arch = "x86_64", test))]
const POLYNOMIAL: u32 = 0x82f6_3b78;

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
        if bytes.len() < LANES_FROM {
            // SAFETY: the processor has the instructions the function is compiled for, as was just asked.
            return unsafe { short(sum, bytes) };
        }
        if std::is_x86_feature_detected!("pclmulqdq") {
            // SAFETY: as above.
            return unsafe { side_by_side(sum, bytes) };
        }
    }
    crc32c::crc32c_append(sum, bytes)
}

/// The same for words and half of one behind them, each as its bytes from the lowest.
#[inline]
pub fn go_on_words<const N: usize>(sum: u32, words: [u64; N], half: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("sse4.2") {
        // SAFETY: as above.
        return unsafe { short_words(sum, words, half) };
    }
    let sum = words.iter().fold(sum, |sum, word| crc32c::crc32c_append(sum, &word.to_le_bytes()));
    crc32c::crc32c_append(sum, &half.to_le_bytes())
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn short_words<const N: usize>(sum: u32, words: [u64; N], half: u32) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u32, _mm_crc32_u64};
    let wide = words.iter().fold(u64::from(!sum), |wide, word| _mm_crc32_u64(wide, *word));
    !_mm_crc32_u32((wide & u64::from(u32::MAX)) as u32, half)
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

/// Three parts of as many words, and the rest behind them word by word.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2,pclmulqdq")]
fn side_by_side(sum: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{
        _mm_clmulepi64_si128, _mm_crc32_u64, _mm_cvtsi64_si128, _mm_cvtsi128_si64,
    };
    let words = bytes.len() / 24;
    let (first, rest) = bytes.split_at(8 * words);
    let (second, rest) = rest.split_at(8 * words);
    let (third, rest) = rest.split_at(8 * words);
    let three = first.as_chunks::<8>().0.iter().zip(second.as_chunks::<8>().0);
    let (mut a, mut b, mut c) = (u64::from(!sum), 0, 0);
    for ((first, second), third) in three.zip(third.as_chunks::<8>().0) {
        a = _mm_crc32_u64(a, u64::from_le_bytes(*first));
        b = _mm_crc32_u64(b, u64::from_le_bytes(*second));
        c = _mm_crc32_u64(c, u64::from_le_bytes(*third));
    }
    let over = |sum: u64, words: usize| {
        let by = i64::from(OVER[words]);
        _mm_cvtsi128_si64(_mm_clmulepi64_si128::<0>(
            _mm_cvtsi64_si128(sum.cast_signed()),
            _mm_cvtsi64_si128(by),
        ))
    };
    let moved = over(a, 2 * words) ^ over(b, words);
    let sum = _mm_crc32_u64(0, moved.cast_unsigned()) ^ c;
    // The upper half of what the instruction gives is zero.
    short(!((sum & u64::from(u32::MAX)) as u32), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, bit by bit.
    fn slowly(sum: u32, bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!sum, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 }
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
        let bytes: Vec<u8> = (0..2100_u32).map(|n| (n * 131 + n / 7) as u8).collect();
        for length in (0..600).chain([1023, 1024, 1025, 1990, SHORT, SHORT + 1]) {
            for from in 0..9 {
                let piece = &bytes[from..from + length];
                assert_eq!(of(piece), slowly(0, piece), "{length} bytes from {from}");
            }
        }
    }

    #[test]
    fn words_have_the_sum_of_their_bytes() {
        let words = [1, u64::MAX, 0x0123_4567_89ab_cdef, 0];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(&0x89ab_cdef_u32.to_le_bytes());
        for sum in [0, 1, u32::MAX, 0x1234_5678] {
            assert_eq!(go_on_words(sum, words, 0x89ab_cdef), slowly(sum, &bytes));
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
