//! Arguments and answers in an array: numbers little-endian, bytes and texts behind their length of 4 bytes, which
//! is -1 for none.

use crate::failure::Failure;
use repliq::Code;

/// Takes arguments apart.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next so many bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, Failure> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Failure> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, Failure> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Failure> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn flag(&mut self) -> Result<bool, Failure> {
        Ok(self.u8()? != 0)
    }

    /// Bytes, or none.
    pub fn maybe_bytes(&mut self) -> Result<Option<&'a [u8]>, Failure> {
        match self.u32()? {
            u32::MAX => Ok(None),
            length => self.take(length as usize).map(Some),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Failure> {
        self.maybe_bytes()?.ok_or_else(short)
    }

    /// A text, or none.
    pub fn maybe_text(&mut self) -> Result<Option<&'a str>, Failure> {
        self.maybe_bytes()?.map(utf8).transpose()
    }

    pub fn text(&mut self) -> Result<&'a str, Failure> {
        self.maybe_text()?.ok_or_else(short)
    }

    /// As many as a number in front says.
    pub fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Reader<'a>) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let count = self.u32()?;
        (0..count).map(|_| one(self)).collect()
    }

    /// The same value, or the default where it is the largest there is, which Java calls -1.
    pub fn or(&mut self, default: u64) -> Result<u64, Failure> {
        Ok(match self.u64()? {
            u64::MAX => default,
            value => value,
        })
    }
}

/// A text of these bytes.
pub fn utf8(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|error| Failure::Own(Code::Invalid, format!("a text is not UTF-8: {error}")))
}

pub fn short() -> Failure {
    Failure::Own(Code::Panic, "Java and its native library disagree about a call".into())
}

/// Puts an answer together.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u8(mut self, value: u8) -> Writer {
        self.0.push(value);
        self
    }

    pub fn u32(mut self, value: u32) -> Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes behind their length. What is longer than a Java array is cut, which no text here is.
    pub fn bytes(self, bytes: &[u8]) -> Writer {
        let length = u32::try_from(bytes.len()).unwrap_or(0);
        self.u32(length).raw(&bytes[..length as usize])
    }

    /// A text, or none.
    pub fn maybe_text(self, text: Option<&str>) -> Writer {
        match text {
            Some(text) => self.text(text),
            None => self.u32(u32::MAX),
        }
    }

    pub fn text(self, text: &str) -> Writer {
        self.bytes(text.as_bytes())
    }
}

/// What Java calls bytes, as bytes.
pub fn unsigned(bytes: &[i8]) -> &[u8] {
    // SAFETY: both types have one byte, any of which is valid for both.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}
