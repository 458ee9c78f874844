//! What came in from C, looked at before it is believed; and what goes out.
//!
//! Each reader refuses what the library could not have survived looking at (NULL, a length no memory can have,
//! text that is not UTF-8); whether a value makes sense is decided further down.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::limits::{ARRAY_MAX, ROOM_BYTES_MAX, TEXT_BYTES_MAX};
use crate::position::Token;
use crate::store::{BackupInfo, Commit, Level};

use super::types::*;

/// Bytes of a short text, its NUL among them.
const SHORT: usize = 32;

/// A century: far enough, and no clock overflows on the way.
const WAIT_MS_MAX: u64 = 100 * 366 * 24 * 3600 * 1000;

#[cold]
pub(super) fn invalid(text: impl Into<String>) -> Error {
    Error::new(Code::Invalid, text)
}

#[cold]
fn is_null(what: &str) -> Error {
    invalid(format!("{what} is NULL"))
}

#[cold]
fn not_aligned(what: &str) -> Error {
    invalid(format!("{what} is not aligned"))
}

#[cold]
fn too_large(text: &dyn std::fmt::Display) -> Error {
    Error::new(Code::TooLarge, text.to_string())
}

/// The text at `text`, which ends with a NUL.
///
/// # Safety
///
/// `text` is NULL, or readable up to its NUL or for `TEXT_BYTES_MAX` bytes, and unchanged during the call.
#[inline(always)]
pub(super) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    if text.is_null() {
        return Err(is_null(what));
    }
    // SAFETY: the caller's contract.
    if let Some(short) = unsafe { short(text.cast()) } {
        return Ok(short);
    }
    // SAFETY: the caller's contract; `strnlen` reads no further than it allows.
    let length = unsafe { libc::strnlen(text, TEXT_BYTES_MAX) };
    if length == TEXT_BYTES_MAX {
        return Err(too_large(&format_args!("{what} does not end in {length} bytes")));
    }
    // SAFETY: `length` bytes were just read there.
    utf8(unsafe { std::slice::from_raw_parts(text.cast(), length) }, what)
}

/// A text of a few letters of ASCII, as most names are: it costs no call.
///
/// # Safety
///
/// As for [`text`], and it is not NULL.
#[inline(always)]
unsafe fn short<'a>(text: *const u8) -> Option<&'a str> {
    const { assert!(SHORT <= TEXT_BYTES_MAX) }
    for length in 0..SHORT {
        // SAFETY: it is readable up to its NUL, and none came before.
        let letter = unsafe { *text.add(length) };
        if letter == 0 {
            // SAFETY: these bytes were just read, and all of them are ASCII.
            return Some(unsafe {
                str::from_utf8_unchecked(std::slice::from_raw_parts(text, length))
            });
        }
        if !letter.is_ascii() {
            return None;
        }
    }
    None
}

/// The text at `text`, or `None` for NULL.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn maybe_text<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's contract.
    unsafe { self::text(text, what) }.map(Some)
}

#[inline(always)]
pub(super) fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    if bytes.is_empty() {
        return Ok("");
    }
    std::str::from_utf8(bytes).map_err(|error| not_utf8(what, error))
}

#[cold]
fn not_utf8(what: &str, error: std::str::Utf8Error) -> Error {
    invalid(format!("{what} is not UTF-8: {error}"))
}

/// The bytes at `data`, at most `max` of them.
///
/// # Safety
///
/// `data` is NULL or readable for `len` bytes if that is at most `max`, and unchanged during the call.
#[inline(always)]
pub(super) unsafe fn bytes<'a>(
    data: *const c_void,
    len: usize,
    max: usize,
    what: &str,
) -> Result<&'a [u8]> {
    if len > max {
        return Err(too_large(&format_args!("{what} of {len} bytes, more than {max}")));
    }
    // SAFETY: the caller's contract.
    unsafe { slice(data.cast(), len, what) }
}

/// The values at `data`, at most `ARRAY_MAX` of them.
///
/// # Safety
///
/// `data` is NULL or readable for `n` values if that is at most `ARRAY_MAX`, and unchanged during the call.
#[inline(always)]
pub(super) unsafe fn array<'a, T>(data: *const T, n: usize, what: &str) -> Result<&'a [T]> {
    if n > ARRAY_MAX {
        return Err(too_large(&format_args!("{n} {what}, more than {ARRAY_MAX}")));
    }
    // SAFETY: the caller's contract.
    unsafe { slice(data, n, what) }
}

#[inline(always)]
unsafe fn slice<'a, T>(data: *const T, n: usize, what: &str) -> Result<&'a [T]> {
    if data.is_null() {
        return if n == 0 { Ok(&[]) } else { Err(is_null(what)) };
    }
    if !data.is_aligned() {
        return Err(not_aligned(what));
    }
    // SAFETY: not NULL, aligned, and readable by the contract of those who call this.
    Ok(unsafe { std::slice::from_raw_parts(data, n) })
}

/// Where an answer goes: written once, on success.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// A place that must be there.
    ///
    /// # Safety
    ///
    /// `at` is NULL or writable during the call.
    pub(super) unsafe fn needed(at: *mut T, what: &str) -> Result<Out<T>> {
        if at.is_null() {
            return Err(is_null(what));
        }
        // SAFETY: the caller's contract.
        unsafe { Out::maybe(at, what) }
    }

    /// A place that must be there, for a struct whose first field says how large it is.
    ///
    /// # Safety
    ///
    /// `at` is NULL or points to a struct as long as it says, writable during the call.
    pub(super) unsafe fn sized(at: *mut T, what: &str, name: &str) -> Result<Out<T>> {
        // SAFETY: the caller's contract; the size is there where `at` is neither NULL nor misaligned.
        let (out, size) = unsafe { (Out::needed(at, what)?, at.cast::<usize>().read()) };
        if size != size_of::<T>() {
            let (known, macro_name) = (size_of::<T>(), name.to_uppercase());
            let text = format!("a {name} of size {size}, not {known}; begin with {macro_name}");
            return Err(invalid(text));
        }
        Ok(out)
    }

    /// A place that may be NULL.
    ///
    /// # Safety
    ///
    /// `at` is NULL or writable during the call.
    pub(super) unsafe fn maybe(at: *mut T, what: &str) -> Result<Out<T>> {
        if !at.is_aligned() {
            return Err(not_aligned(what));
        }
        Ok(Out(at))
    }

    pub(super) fn put(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not NULL, aligned, and writable by the contract of the constructors.
            unsafe { self.0.write(value) }
        }
    }
}

/// Room for several answers.
pub(super) struct OutArray<T> {
    at: *mut T,
    max: usize,
}

impl<T> OutArray<T> {
    /// # Safety
    ///
    /// `at` is NULL or writable for `max` values during the call.
    pub(super) unsafe fn new(at: *mut T, max: usize, what: &str) -> Result<OutArray<T>> {
        if at.is_null() {
            return Err(is_null(what));
        }
        if !at.is_aligned() {
            return Err(not_aligned(what));
        }
        if max == 0 || max > ARRAY_MAX {
            return Err(invalid(format!("room for {max} {what}, not for 1 to {ARRAY_MAX}")));
        }
        Ok(OutArray { at, max })
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// Writes the values that have room and returns their number.
    pub(super) fn put(self, values: impl Iterator<Item = T>) -> usize {
        let mut n = 0;
        for value in values.take(self.max) {
            // SAFETY: there is room for `max` values, and this is not more.
            unsafe { self.at.add(n).write(value) };
            n += 1;
        }
        n
    }
}

/// Writes a text with a NUL at its end as far as there is room, and the length the whole of it has.
///
/// # Safety
///
/// `at` is NULL or writable for `size` bytes, `length` NULL or writable.
pub(super) unsafe fn put_text(
    at: *mut c_char,
    size: usize,
    length: *mut usize,
    make: impl FnOnce() -> Result<String>,
) -> Result<()> {
    if at.is_null() && (size > 0 || length.is_null()) {
        return Err(is_null("text"));
    }
    if size > ROOM_BYTES_MAX {
        return Err(Error::new(Code::TooLarge, format!("room for a text of {size} bytes")));
    }
    // SAFETY: the caller's contract.
    let length = unsafe { Out::maybe(length, "len")? };
    let text = make()?;
    if size > 0 {
        let end = text.floor_char_boundary(size - 1);
        // SAFETY: `at` is not NULL and has room for `size` bytes, of which `end` is less.
        unsafe {
            at.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), end);
            at.add(end).write(0);
        }
    }
    length.put(text.len());
    Ok(())
}

/// A struct of options that says its own size; `None` for NULL.
pub(super) trait Options {
    /// What error texts call it.
    const NAME: &'static str;
    /// Its first field.
    fn size(&self) -> usize;
    /// Fields that must be 0, or'ed.
    fn unknown(&self) -> u32;
}

macro_rules! options {
    ($($name:ident: $($zero:ident),*;)*) => {
        $(impl Options for $name {
            const NAME: &'static str = stringify!($name);
            fn size(&self) -> usize { self.size }
            fn unknown(&self) -> u32 { 0 $(| self.$zero as u32)* }
        })*
    };
}

options! {
    repliq_store_options: flags;
    repliq_put_options: flags;
    repliq_session_options: flags;
    repliq_consumer_options: flags;
    repliq_listener_options: flags, reserved;
    repliq_server_options: flags;
    repliq_replication_options: flags;
    repliq_target_options: flags;
}

/// # Safety
///
/// `options` is NULL or points to a struct that is as long as its first field says, if that is a size known.
pub(super) unsafe fn options<'a, T: Options>(options: *const T) -> Result<Option<&'a T>> {
    if options.is_null() {
        return Ok(None);
    }
    if !options.is_aligned() {
        return Err(invalid(format!("{} is not aligned", T::NAME)));
    }
    // SAFETY: the caller's contract; the size comes first in each, and only it is read here.
    let size = unsafe { options.cast::<usize>().read() };
    if size != size_of::<T>() {
        let macro_name = T::NAME.to_uppercase();
        let text = format!(
            "a {} of size {size}, not {}; begin with {macro_name}",
            T::NAME,
            size_of::<T>()
        );
        return Err(invalid(text));
    }
    // SAFETY: it has the size of the struct.
    let options = unsafe { &*options };
    if options.size() != size || options.unknown() != 0 {
        return Err(invalid(format!("a field of {} is set that must be 0", T::NAME)));
    }
    Ok(Some(options))
}

/// Yes, no, or the default.
pub(super) fn yes(value: i32, default: bool, what: &str) -> Result<bool> {
    match value {
        0 => Ok(default),
        REPLIQ_YES => Ok(true),
        REPLIQ_NO => Ok(false),
        _ => Err(invalid(format!("{what} is {value}, not 0, REPLIQ_YES or REPLIQ_NO"))),
    }
}

/// A number, or the default for 0.
pub(super) fn or(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}

/// A level, or `None` for the default.
pub(super) fn level(value: i32, what: &str) -> Result<Option<Level>> {
    match value {
        0 => Ok(None),
        REPLIQ_LEVEL_PROCESS => Ok(Some(Level::Process)),
        REPLIQ_LEVEL_POWER => Ok(Some(Level::Power)),
        _ => Err(invalid(format!("{what} is {value}, not 0 or one of REPLIQ_LEVEL_*"))),
    }
}

pub(super) fn wait(timeout_ms: u64) -> Duration {
    Duration::from_millis(timeout_ms.min(WAIT_MS_MAX))
}

/// Tokens as the library knows them.
///
/// # Safety
///
/// As for [`array`].
pub(super) unsafe fn tokens(tokens: *const repliq_token, n: usize) -> Result<Vec<Token>> {
    // SAFETY: the caller's contract.
    let tokens = unsafe { array(tokens, n, "tokens")? };
    tokens.iter().map(|token| Token::parse(&token.bytes)).collect()
}

/// What a backup did, for the caller.
pub(super) fn backup(info: &BackupInfo) -> repliq_backup {
    repliq_backup {
        sequence: info.sequence,
        files: info.files,
        files_copied: info.files_copied,
        bytes: info.bytes,
        bytes_copied: info.bytes_copied,
        epoch: info.epoch,
        reserved: 0,
    }
}

pub(super) fn result(commit: &Commit) -> repliq_result {
    let level = match commit.level {
        Level::Process => REPLIQ_LEVEL_PROCESS,
        Level::Power => REPLIQ_LEVEL_POWER,
    };
    repliq_result { token: repliq_token { bytes: commit.token.to_bytes() }, level }
}
