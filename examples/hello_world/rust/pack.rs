//! Packing of values, as `docs/SOCKETPRO.md` describes it for `CScopeUQueue`.

/// The length that stands for null.
const NULL: u32 = 0xFFFF_FFFF;

/// The structure that Echo carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Eleven {
    pub null_string: Option<String>,
    pub null_object: Object,
    pub time_us: i64,
    pub double: f64,
    pub flag: bool,
    pub unicode: Option<String>,
    pub ascii: Option<String>,
    pub object_flag: Object,
    pub object_string: Object,
    pub strings: Vec<Option<String>>,
    pub numbers: Vec<i32>,
}

/// A value that says of which type it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Null,
    Bool(bool),
    I32(i32),
    I64(i64),
    F64(f64),
    Text(String),
}

/// Values packed so far.
#[derive(Default)]
pub struct Packer(pub Vec<u8>);

impl Packer {
    pub fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn f64(mut self, value: f64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bool(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    fn length(mut self, length: u32) -> Self {
        self.0.extend(length.to_le_bytes());
        self
    }

    pub fn string(self, value: Option<&str>) -> Self {
        let Some(text) = value else { return self.length(NULL) };
        let mut packer = self.length(u32::try_from(text.len()).unwrap_or(NULL));
        packer.0.extend(text.as_bytes());
        packer
    }

    pub fn object(mut self, value: &Object) -> Self {
        let (number, value) = match value {
            Object::Null => (0, Packer::default()),
            Object::Bool(value) => (1, Packer::default().bool(*value)),
            Object::I32(value) => (2, Packer::default().i32(*value)),
            Object::I64(value) => (3, Packer::default().i64(*value)),
            Object::F64(value) => (4, Packer::default().f64(*value)),
            Object::Text(value) => (5, Packer::default().string(Some(value))),
        };
        self.0.push(number);
        self.0.extend(value.0);
        self
    }

    pub fn eleven(self, value: &Eleven) -> Self {
        let mut packer = self
            .string(value.null_string.as_deref())
            .object(&value.null_object)
            .i64(value.time_us)
            .f64(value.double)
            .bool(value.flag)
            .string(value.unicode.as_deref())
            .string(value.ascii.as_deref())
            .object(&value.object_flag)
            .object(&value.object_string)
            .length(value.strings.len() as u32);
        for text in &value.strings {
            packer = packer.string(text.as_deref());
        }
        packer = packer.length(value.numbers.len() as u32);
        for number in &value.numbers {
            packer = packer.i32(*number);
        }
        packer
    }
}

/// Values still to be unpacked.
pub struct Unpacker<'a>(pub &'a [u8]);

type Unpacked<T> = Result<T, String>;

impl Unpacker<'_> {
    fn take(&mut self, count: usize) -> Unpacked<&[u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or("the payload is too short")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Unpacked<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    pub fn i32(&mut self) -> Unpacked<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub fn i64(&mut self) -> Unpacked<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn f64(&mut self) -> Unpacked<f64> {
        self.array().map(f64::from_le_bytes)
    }

    pub fn bool(&mut self) -> Unpacked<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(format!("{other} is no bool")),
        }
    }

    fn length(&mut self) -> Unpacked<Option<usize>> {
        let length = u32::from_le_bytes(self.array()?);
        Ok((length != NULL).then_some(length as usize))
    }

    pub fn string(&mut self) -> Unpacked<Option<String>> {
        let Some(length) = self.length()? else { return Ok(None) };
        let bytes = self.take(length)?.to_vec();
        String::from_utf8(bytes).map(Some).map_err(|_| "a string is not UTF-8".to_string())
    }

    pub fn object(&mut self) -> Unpacked<Object> {
        Ok(match self.array::<1>()? {
            [0] => Object::Null,
            [1] => Object::Bool(self.bool()?),
            [2] => Object::I32(self.i32()?),
            [3] => Object::I64(self.i64()?),
            [4] => Object::F64(self.f64()?),
            [5] => Object::Text(self.string()?.ok_or("a string in an object is null")?),
            [other] => return Err(format!("an object of the unknown type {other}")),
        })
    }

    pub fn eleven(&mut self) -> Unpacked<Eleven> {
        Ok(Eleven {
            null_string: self.string()?,
            null_object: self.object()?,
            time_us: self.i64()?,
            double: self.f64()?,
            flag: self.bool()?,
            unicode: self.string()?,
            ascii: self.string()?,
            object_flag: self.object()?,
            object_string: self.object()?,
            strings: {
                let count = self.length()?.unwrap_or(0);
                (0..count).map(|_| self.string()).collect::<Unpacked<_>>()?
            },
            numbers: {
                let count = self.length()?.unwrap_or(0);
                (0..count).map(|_| self.i32()).collect::<Unpacked<_>>()?
            },
        })
    }

    /// Fails when something is left.
    pub fn end(&self) -> Unpacked<()> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{} bytes too many", self.0.len())) }
    }
}

impl std::fmt::Display for Eleven {
    /// What a server prints for an Echo, the same in every language.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |text: &Option<String>| text.clone().unwrap_or("null".into());
        write!(out, "Echo {} {}", text(&self.null_string), self.null_object)?;
        write!(out, " {} {:.3} {}", self.time_us, self.double, self.flag)?;
        write!(out, " {} {}", text(&self.unicode), text(&self.ascii))?;
        write!(out, " {} {}", self.object_flag, self.object_string)?;
        let strings: Vec<String> = self.strings.iter().map(text).collect();
        let numbers: Vec<String> = self.numbers.iter().map(i32::to_string).collect();
        write!(out, " [{}] [{}]", strings.join(" "), numbers.join(" "))
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Object::Null => write!(out, "null"),
            Object::Bool(value) => write!(out, "{value}"),
            Object::I32(value) => write!(out, "{value}"),
            Object::I64(value) => write!(out, "{value}"),
            Object::F64(value) => write!(out, "{value:.3}"),
            Object::Text(value) => write!(out, "{value}"),
        }
    }
}
