//! Printing to stdout: lines, tables for people, and one JSON object a line for programs.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde_json::Value;

use super::fail::{Done, Fail};

/// Stdout, locked and buffered for as long as a verb prints.
pub struct Output(BufWriter<StdoutLock<'static>>);

fn failed(error: &io::Error) -> Fail {
    Fail::io("cannot print", error)
}

impl Output {
    /// Takes stdout.
    pub fn open() -> Output {
        Output(BufWriter::new(io::stdout().lock()))
    }

    /// Prints bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Done {
        self.0.write_all(bytes).map_err(|error| failed(&error))
    }

    /// Prints one line.
    pub fn line(&mut self, line: &str) -> Done {
        writeln!(self.0, "{line}").map_err(|error| failed(&error))
    }

    /// Prints one JSON object as a line.
    pub fn json(&mut self, value: &Value) -> Done {
        self.line(&value.to_string())
    }

    /// Hands on what was printed; an acknowledgement may follow only after this.
    pub fn flush(&mut self) -> Done {
        self.0.flush().map_err(|error| failed(&error))
    }

    /// Prints rows below their titles, each column as wide as it must be; numbers to the right.
    pub fn table(&mut self, titles: &[&str], rows: &[Vec<String>]) -> Done {
        let mut widths: Vec<usize> = titles.iter().map(|title| title.chars().count()).collect();
        let mut numbers = vec![true; titles.len()];
        for row in rows {
            for (column, cell) in row.iter().enumerate().take(titles.len()) {
                widths[column] = widths[column].max(cell.chars().count());
                numbers[column] &= cell == "-" || cell.parse::<f64>().is_ok();
            }
        }
        let titles: Vec<String> = titles.iter().map(|title| (*title).to_string()).collect();
        for row in std::iter::once(&titles).chain(rows) {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&numbers) {
                let gap = " ".repeat(width - cell.chars().count());
                line += &if *right { format!("{gap}{cell}  ") } else { format!("{cell}{gap}  ") };
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// `key` and `key_base64` style: text where the bytes are UTF-8, base64 under another name where not.
pub fn put_bytes(object: &mut serde_json::Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_string(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), base64(bytes).into()),
    };
}

/// Base64 of RFC 4648 with padding.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut bits = 0u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(index).copied().unwrap_or(0));
        }
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize] as char;
            text.push(if index <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

/// The bytes of base64 with padding; `None` where it is none.
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for letter in digits.bytes() {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
            bits &= (1 << count) - 1;
        }
    }
    let whole = text.len().is_multiple_of(4) && padding <= 2 && bits == 0 && count < 6;
    whole.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{base64, unbase64};

    #[test]
    fn base64_is_that_of_the_rfc() {
        for text in ["Z", "Zg", "Zg=", "Zh==", "Z===", "Zm8=Zm8=", "Zm 8"] {
            assert_eq!(unbase64(text), None, "{text}");
        }
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in pairs {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(unbase64(text).unwrap(), bytes.as_bytes());
        }
    }
}
