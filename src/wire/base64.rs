//! Base64 with padding (RFC 4648, section 4), the text form of bytes in SCRAM and in the users file.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of these bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let window = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let six = (window >> (18 - 6 * place)) & 0x3f;
            let filled = place <= group.len();
            text.push(if filled { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    text
}

/// The bytes of this text; `None` where it is not the one text that stands for some bytes.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let bare = text.trim_end_matches('=');
    if text.len() - bare.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut window, mut bits) = (0u32, 0);
    for character in bare.bytes() {
        let value = ALPHABET.iter().position(|&known| known == character)?;
        window = window << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((window >> bits) as u8);
            window &= (1 << bits) - 1;
        }
    }
    // A text of one character in its last group, or with bits behind the last byte, stands for nothing.
    (bits < 6 && window == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold_in_both_directions() {
        let rows = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in rows.iter().enumerate() {
            assert_eq!(encode(&b"foobar"[..length]), *text);
            assert_eq!(decode(text).as_deref(), Some(&b"foobar"[..length]));
        }
    }

    #[test]
    fn a_text_that_stands_for_nothing_is_refused() {
        for text in ["Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm9v=", "Z g=", "Zm-v", "=m9v"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
