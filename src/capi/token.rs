//! Tokens: values of 40 bytes.

use std::ffi::{c_char, c_void};

use crate::limits::ROOM_BYTES_MAX;
use crate::position::Token;

use super::argument::{self, Out, OutArray, array, bytes, invalid};
use super::boundary::boundary;
use super::types::*;

/// Reads a token: 40 bytes, or the 54 characters of its text.
///
/// Fails with REPLIQ_INVALID (NULL, or anything that is no token), REPLIQ_TOO_LARGE (length).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_token_parse(
    data: *const c_void,
    len: usize,
    token: *mut repliq_token,
) -> repliq_code {
    boundary(|| {
        // SAFETY: the caller's contract: `data` readable for `len`, `token` writable.
        let (data, out) = unsafe {
            (bytes(data, len, 4096, "the text of a token")?, Out::needed(token, "token")?)
        };
        out.put(repliq_token { bytes: Token::parse(data)?.to_bytes() });
        Ok(())
    })
}

/// Writes the text of a token, 54 characters and a NUL, to `text`, which has room for `size` bytes.
///
/// Fails with REPLIQ_INVALID (NULL, less room than REPLIQ_TOKEN_TEXT_SIZE, no token).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_token_text(
    token: *const repliq_token,
    text: *mut c_char,
    size: usize,
) -> repliq_code {
    boundary(|| {
        // SAFETY: the caller's contract: `token` readable, `text` writable for `size` bytes.
        let (token, out) = unsafe {
            let token = array(token, 1, "token")?;
            (token, Out::needed(text.cast::<[u8; REPLIQ_TOKEN_TEXT_SIZE]>(), "text")?)
        };
        if !(REPLIQ_TOKEN_TEXT_SIZE..=ROOM_BYTES_MAX).contains(&size) {
            let text = format!("room for a text of {size} bytes, not {REPLIQ_TOKEN_TEXT_SIZE}");
            return Err(invalid(text));
        }
        let token = Token::parse(&token[0].bytes)?.to_string();
        let mut text = [0; REPLIQ_TOKEN_TEXT_SIZE];
        for (to, from) in text.iter_mut().zip(token.bytes()) {
            *to = from;
        }
        out.put(text);
        Ok(())
    })
}

/// Stores in `out`, which has room for `n` tokens, the least set that says the same as these `n` tokens, and
/// its number in `*m`. `tokens` and `out` may be the same.
///
/// Fails with REPLIQ_INVALID (NULL, n is 0, no token), REPLIQ_TOO_LARGE (n).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_token_join(
    tokens: *const repliq_token,
    n: usize,
    out: *mut repliq_token,
    m: *mut usize,
) -> repliq_code {
    boundary(|| {
        // SAFETY: the caller's contract: `tokens` readable and `out` writable for `n` tokens, `m` writable.
        let (tokens, out, m) = unsafe {
            (argument::tokens(tokens, n)?, OutArray::new(out, n, "tokens")?, Out::needed(m, "m")?)
        };
        let joined = Token::join(&tokens);
        m.put(out.put(joined.iter().map(|token| repliq_token { bytes: token.to_bytes() })));
        Ok(())
    })
}
