//! Texts and bytes that somebody spoiled, from a seed.

/// Numbers from a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.below(256) as u8).collect()
    }

    /// The text with some of it changed: a byte, a part that is missing, doubled, or one of these words.
    pub fn change(&mut self, text: &[u8], words: &[&[u8]]) -> Vec<u8> {
        let mut text = text.to_vec();
        for _ in 0..=self.below(3) {
            let (at, end) = (self.below(text.len() + 1), self.below(text.len() + 1));
            let (from, to) = (at.min(end), at.max(end));
            match self.below(6) {
                0 if at < text.len() => text[at] ^= 1 << self.below(8),
                1 => _ = text.drain(from..to),
                2 => {
                    let part = text[from..to].to_vec();
                    text.splice(from..from, part);
                }
                3 => {
                    let word = words[self.below(words.len())];
                    text.splice(at..at, word.iter().copied());
                }
                4 => text.truncate(at),
                _ => {
                    let noise = self.bytes(40);
                    text.splice(at..at, noise);
                }
            }
        }
        text
    }
}
