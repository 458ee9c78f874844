//! How a message is printed: its payload as a line, a JSON object, or a format of one's own.

use repliq::{Code, Received};
use serde_json::{Map, Value};

use super::fail::{Done, Fail};
use super::output::{Output, put_bytes};

/// How messages are printed.
pub enum Format {
    /// The payload and a line break.
    Payload,
    /// One JSON object a line.
    Json,
    /// A format string, taken apart.
    Pieces(Vec<Piece>),
}

/// A part of a format string.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Text(Vec<u8>),
    Field(char),
}

/// The letters behind `%`; the help text of `get` lists the same.
const FIELDS: &str = "sSkKotxThidP";

impl Format {
    /// The format the options ask for.
    pub fn new(json: bool, pieces: Option<&str>) -> Done<Format> {
        match (json, pieces) {
            (true, _) => Ok(Format::Json),
            (false, Some(text)) => parse(text).map(Format::Pieces),
            (false, None) => Ok(Format::Payload),
        }
    }

    /// Prints one message of the queue called `queue`.
    pub fn print(&self, output: &mut Output, queue: &str, message: &Received) -> Done {
        match self {
            Format::Payload => {
                output.bytes(message.payload())?;
                output.bytes(b"\n")
            }
            Format::Json => output.json(&json(queue, message)),
            Format::Pieces(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => output.bytes(text)?,
                        Piece::Field(letter) => output.bytes(&field(*letter, queue, message))?,
                    }
                }
                Ok(())
            }
        }
    }
}

fn field(letter: char, queue: &str, message: &Received) -> Vec<u8> {
    match letter {
        's' => message.payload().to_vec(),
        'S' => message.payload().len().to_string().into_bytes(),
        'k' => message.key().to_vec(),
        'K' => message.key().len().to_string().into_bytes(),
        'o' => message.sequence().to_string().into_bytes(),
        't' => queue.as_bytes().to_vec(),
        'x' => message.transaction().to_string().into_bytes(),
        'T' => message.committed_ms().to_string().into_bytes(),
        'i' => message.kind().to_string().into_bytes(),
        'd' => message.deliveries().to_string().into_bytes(),
        'P' => message.producer().as_bytes().to_vec(),
        _ => {
            let pairs: Vec<Vec<u8>> = message
                .headers()
                .map(|(name, value)| [name.as_bytes(), b"=", value].concat())
                .collect();
            pairs.join(&b","[..])
        }
    }
}

/// The message as JSON. Bytes that are no text stand under `…_base64`.
pub fn json(queue: &str, message: &Received) -> Value {
    let mut object = Map::new();
    object.insert("queue".into(), queue.into());
    object.insert("sequence".into(), message.sequence().into());
    object.insert("transaction".into(), message.transaction().into());
    object.insert("kind".into(), message.kind().into());
    put_bytes(&mut object, "key", message.key());
    let mut headers = Map::new();
    for (name, value) in message.headers() {
        put_bytes(&mut headers, name, value);
    }
    object.insert("headers".into(), headers.into());
    put_bytes(&mut object, "payload", message.payload());
    object.insert("expires_ms".into(), message.expires_ms().into());
    object.insert("producer".into(), message.producer().into());
    object.insert("producer_sequence".into(), message.producer_sequence().into());
    object.insert("deliveries".into(), message.deliveries().into());
    object.insert("committed_ms".into(), message.committed_ms().into());
    object.into()
}

/// Takes a format string apart: `%x` is a field, `%%` a percent sign, and `\n \r \t \\ \xNN` are bytes.
fn parse(text: &str) -> Done<Vec<Piece>> {
    let refuse = |why: String| {
        Fail::new(Code::Invalid, format!("cannot print with the format \"{text}\": {why}"))
    };
    let mut pieces = Vec::new();
    let mut plain = Vec::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        match (letter, rest.clone().next()) {
            ('%', Some('%')) => plain.push(b'%'),
            ('%', Some(field)) if FIELDS.contains(field) => {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                pieces.push(Piece::Field(field));
            }
            ('%', Some(field)) => {
                let known: String = FIELDS.chars().map(|field| format!(" %{field}")).collect();
                return Err(refuse(format!("%{field} is none of{known} %%")));
            }
            ('\\', Some('n')) => plain.push(b'\n'),
            ('\\', Some('r')) => plain.push(b'\r'),
            ('\\', Some('t')) => plain.push(b'\t'),
            ('\\', Some('\\')) => plain.push(b'\\'),
            ('\\', Some('x')) => {
                let digits: String = rest.clone().skip(1).take(2).collect();
                let whole = digits.len() == 2 && digits.chars().all(|one| one.is_ascii_hexdigit());
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| whole);
                let missing = || refuse("\\x needs two hexadecimal digits".to_string());
                let byte = byte.ok_or_else(missing)?;
                plain.push(byte);
                rest.nth(1);
            }
            ('%' | '\\', after) => {
                let after = after.map(String::from).unwrap_or_default();
                return Err(refuse(format!("{letter}{after} means nothing")));
            }
            (letter, _) => {
                plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        }
        rest.next();
    }
    pieces.push(Piece::Text(plain));
    pieces.retain(|piece| *piece != Piece::Text(Vec::new()));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_string_is_taken_apart() {
        let text = |text: &str| Piece::Text(text.as_bytes().to_vec());
        let pieces = parse(r"%o\t%k=%s%%\x41\\é\n").unwrap();
        let expected = [
            Piece::Field('o'),
            text("\t"),
            Piece::Field('k'),
            text("="),
            Piece::Field('s'),
            text("%A\\é\n"),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn a_format_that_means_nothing_is_refused() {
        for text in ["%", "%q", r"\q", r"\", r"\x4", r"\xzz", "100%"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
