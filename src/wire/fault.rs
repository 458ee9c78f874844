//! The body of an ERROR frame: why its sender leaves. All integers are little-endian.
//!
//! ```text
//! offset  size  error
//!      0     2  code   of the table of codes, never 0
//!      2     2  cause  code of what caused it, or 0
//!      4     4  index  of the message of a request it is about, counted from 0, or 4294967295
//!      8        text   UTF-8, at most 500 bytes, for people
//! ```
//!
//! A reader that does not know the code takes it for PROTOCOL and keeps the text.

use crate::error::{Code, Error, Result};

/// Longest text that travels: it fits the fixed buffer of the C ABI.
const TEXT_BYTES_MAX: usize = 500;
/// It is about no message.
const NO_INDEX: u32 = u32::MAX;

/// An error on its way.
pub struct Fault;

impl Fault {
    /// Appends the body.
    pub fn encode(error: &Error, out: &mut Vec<u8>) {
        // The codes are a table of this crate; a u16 holds each.
        let number = |code: Code| (code as i32 as u16).to_le_bytes();
        out.extend_from_slice(&number(error.code()));
        out.extend_from_slice(&number(error.cause()));
        out.extend_from_slice(&error.message_index().unwrap_or(NO_INDEX).to_le_bytes());
        let text = error.to_string();
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        out.extend_from_slice(&text.as_bytes()[..end]);
    }

    /// The error in a body.
    pub fn decode(body: &[u8]) -> Result<Error> {
        let malformed = || Error::new(Code::Protocol, "an error frame arrived that is no error");
        let (numbers, text) = body.split_at_checked(8).ok_or_else(malformed)?;
        let number = |at: usize| i32::from(u16::from_le_bytes([numbers[at], numbers[at + 1]]));
        let known = |number: i32| Code::ALL.iter().copied().find(|&code| code as i32 == number);
        if number(0) == 0 || text.len() > TEXT_BYTES_MAX {
            return Err(malformed());
        }
        let text = std::str::from_utf8(text).map_err(|_| malformed())?;
        let code = known(number(0)).unwrap_or(Code::Protocol);
        let error = match known(number(2)) {
            None | Some(Code::Ok) => Error::new(code, text),
            Some(cause) => Error::new(code, text).caused_by(cause),
        };
        match u32::from_le_bytes([numbers[4], numbers[5], numbers[6], numbers[7]]) {
            NO_INDEX => Ok(error),
            index => Ok(error.at_message(index as usize)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(error: &Error) -> Vec<u8> {
        let mut out = Vec::new();
        Fault::encode(error, &mut out);
        out
    }

    #[test]
    fn golden_bytes_of_an_error() {
        assert_eq!(encoded(&Error::new(Code::Denied, "no")), b"\x25\0\0\0\xff\xff\xff\xffno");
        let about = Error::new(Code::TooLarge, "no").at_message(258);
        assert_eq!(encoded(&about), b"\x09\0\0\0\x02\x01\0\0no");
    }

    #[test]
    fn code_cause_index_and_text_arrive() {
        let cause = Error::new(Code::NoSpace, "disk full");
        let error = Error::because(Code::RolledBack, "the transaction is gone", &cause);
        let read = Fault::decode(&encoded(&error)).unwrap();
        assert_eq!((read.code(), read.cause()), (Code::RolledBack, Code::NoSpace));
        assert_eq!(read.to_string(), "the transaction is gone: disk full");
        assert_eq!(read.message_index(), None);
        let read = Fault::decode(&encoded(&error.at_message(7))).unwrap();
        assert_eq!(read.message_index(), Some(7));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let error = Error::new(Code::Io, format!("a{}", "ä".repeat(1000)));
        let read = Fault::decode(&encoded(&error)).unwrap();
        assert_eq!(read.to_string().len(), 499);
    }

    #[test]
    fn an_unknown_code_keeps_its_text_and_what_is_no_error_is_refused() {
        let read = Fault::decode(b"\xff\x7f\0\0\xff\xff\xff\xffnew").unwrap();
        assert_eq!((read.code(), read.to_string()), (Code::Protocol, "new".into()));
        for bad in [
            &b""[..],
            b"\x01\0\0",
            b"\x01\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0x",
            b"\x01\0\0\0\0\0\0\0\xff",
        ] {
            assert_eq!(Fault::decode(bad).unwrap_err().code(), Code::Protocol);
        }
    }
}
