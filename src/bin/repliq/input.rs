//! Where `put` takes messages from: one a line, or one a CSV record, from a file or stdin.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use repliq::{Code, limits};

use super::fail::{Done, Fail};

/// One message to be: the key is empty unless a column was named.
pub struct Record {
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
}

/// A source of records that knows how far it is.
pub enum Input {
    Lines(Lines),
    Csv(Box<Csv>),
}

impl Input {
    /// Opens a file, or stdin where the name is `-` or none is given. `key_column` counts from 1.
    pub fn open(file: Option<&Path>, csv: Option<CsvOptions>) -> Done<Input> {
        let (name, reader, bytes): (_, Box<dyn Read>, _) = match file {
            Some(path) if path != Path::new("-") => {
                let what = || format!("cannot read {}", path.display());
                let file = File::open(path).map_err(|error| Fail::io(what(), &error))?;
                let about = file.metadata().map_err(|error| Fail::io(what(), &error))?;
                if about.is_dir() {
                    return Err(Fail::new(Code::Invalid, format!("{}: it is a directory", what())));
                }
                let bytes = about.is_file().then_some(about.len());
                (path.display().to_string(), Box::new(file), bytes)
            }
            _ => ("stdin".to_string(), Box::new(io::stdin()), None),
        };
        let bytes_max = limits::MESSAGE_BYTES_MAX as u64;
        Ok(match csv {
            None => {
                let reader = BufReader::with_capacity(1 << 16, reader);
                Input::Lines(Lines { name, reader, bytes, done: 0, number: 0, bytes_max })
            }
            Some(options) => Input::Csv(Box::new(Csv::new(name, reader, bytes, options))),
        })
    }

    /// Length of the file, where it is one.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Input::Lines(lines) => lines.bytes,
            Input::Csv(csv) => csv.bytes,
        }
    }

    /// Bytes taken so far.
    pub fn done(&self) -> u64 {
        match self {
            Input::Lines(lines) => lines.done,
            Input::Csv(csv) => csv.reader.position().byte(),
        }
    }

    /// The next record; `None` at the end.
    pub fn next(&mut self) -> Done<Option<Record>> {
        match self {
            Input::Lines(lines) => lines.next(),
            Input::Csv(csv) => csv.next(),
        }
    }
}

/// A message is a line without its end.
pub struct Lines {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    bytes: Option<u64>,
    done: u64,
    number: u64,
    bytes_max: u64,
}

impl Lines {
    fn next(&mut self) -> Done<Option<Record>> {
        let mut payload = Vec::new();
        self.number += 1;
        let where_ = || format!("line {} of {}", self.number, self.name);
        // A line without an end must not be taken into memory whole before it is refused.
        let read = (&mut self.reader)
            .take(self.bytes_max + 2)
            .read_until(b'\n', &mut payload)
            .map_err(|error| Fail::io(format!("cannot read {}", where_()), &error))?;
        if read == 0 {
            return Ok(None);
        }
        self.done += read as u64;
        if payload.last() == Some(&b'\n') {
            payload.pop();
            if payload.last() == Some(&b'\r') {
                payload.pop();
            }
        }
        if payload.len() as u64 > self.bytes_max {
            return Err(Fail::new(
                Code::TooLarge,
                format!("cannot put {}: it has more than {} bytes", where_(), self.bytes_max),
            ));
        }
        Ok(Some(Record { key: Vec::new(), payload }))
    }
}

/// How CSV is read.
#[derive(Clone, Copy, Debug)]
pub struct CsvOptions {
    /// The column that is the key, from 1.
    pub key_column: Option<usize>,
    /// The first record names the columns and is no message.
    pub titles: bool,
}

/// A message is a record with the very bytes the file has, line breaks inside fields and all, without the end of
/// line around it.
pub struct Csv {
    name: String,
    reader: csv::Reader<Tee>,
    bytes: Option<u64>,
    options: CsvOptions,
    record: csv::ByteRecord,
}

impl Csv {
    fn new(name: String, reader: Box<dyn Read>, bytes: Option<u64>, options: CsvOptions) -> Csv {
        let reader = csv::ReaderBuilder::new()
            .has_headers(options.titles)
            .flexible(true)
            .from_reader(Tee { reader, kept: Vec::new(), first: 0 });
        Csv { name, reader, bytes, options, record: csv::ByteRecord::new() }
    }

    fn next(&mut self) -> Done<Option<Record>> {
        let name = &self.name;
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(error) => {
                let text = format!("cannot read {name} as CSV: {error}");
                return Err(match error.into_kind() {
                    csv::ErrorKind::Io(error) => Fail::io(format!("cannot read {name}"), &error),
                    _ => Fail::new(Code::Invalid, text),
                });
            }
        }
        let key = match self.options.key_column {
            None => Vec::new(),
            Some(column) => self.record.get(column - 1).map(<[u8]>::to_vec).ok_or_else(|| {
                let line = self.record.position().map_or(0, csv::Position::line);
                let columns = self.record.len();
                let text = format!(
                    "cannot take the record at line {line} of {name}: it has {columns} columns and the key is in {column}"
                );
                Fail::new(Code::Invalid, text)
            })?,
        };
        let start = self.record.position().map_or(0, csv::Position::byte);
        let end = self.reader.position().byte();
        let payload = trim_line_ends(self.reader.get_mut().take(start, end)).to_vec();
        Ok(Some(Record { key, payload }))
    }
}

/// A reader that keeps what it read until it is taken.
struct Tee {
    reader: Box<dyn Read>,
    kept: Vec<u8>,
    /// Offset of the first byte kept.
    first: u64,
}

impl Tee {
    /// The bytes from `start` to `end`; those before are given up.
    fn take(&mut self, start: u64, end: u64) -> &[u8] {
        let gone = usize::try_from(start.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.kept.drain(..gone.min(self.kept.len()));
        self.first = start.max(self.first);
        let len = usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX);
        &self.kept[..len.min(self.kept.len())]
    }
}

impl Read for Tee {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(bytes)?;
        self.kept.extend_from_slice(&bytes[..read]);
        Ok(read)
    }
}

/// A field with a line break is quoted, so what stands at either end of a record is no part of it.
fn trim_line_ends(record: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = record.iter().position(|byte| !is_end(byte)).unwrap_or(record.len());
    let end = record.iter().rposition(|byte| !is_end(byte)).map_or(start, |last| last + 1);
    &record[start..end]
}

/// Several files, one after the other; stdin where there is none.
pub struct Inputs {
    files: std::vec::IntoIter<PathBuf>,
    csv: Option<CsvOptions>,
    current: Input,
    before: u64,
    bytes: Option<u64>,
}

impl Inputs {
    /// Opens the first one; the others are looked up, so that a missing one fails before anything is put.
    pub fn open(files: Vec<PathBuf>, csv: Option<CsvOptions>) -> Done<Inputs> {
        let mut bytes = Some(0);
        for file in &files {
            let size = Input::open(Some(file), csv)?.bytes();
            bytes = bytes.zip(size).map(|(sum, size)| sum + size);
        }
        let bytes = if files.is_empty() { None } else { bytes };
        let mut files = files.into_iter();
        let current = Input::open(files.next().as_deref(), csv)?;
        Ok(Inputs { files, csv, current, before: 0, bytes })
    }

    /// Sum of the lengths, where all are files.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Bytes taken so far.
    pub fn done(&self) -> u64 {
        self.before + self.current.done()
    }

    /// The next record; a record never goes on from one file into the next.
    pub fn next(&mut self) -> Done<Option<Record>> {
        loop {
            if let Some(record) = self.current.next()? {
                return Ok(Some(record));
            }
            let Some(file) = self.files.next() else { return Ok(None) };
            self.before += self.current.bytes().unwrap_or_else(|| self.current.done());
            self.current = Input::open(Some(&file), self.csv)?;
        }
    }
}
