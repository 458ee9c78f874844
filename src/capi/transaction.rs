//! Transactions as they are named: identities of 28 bytes, and what became of them.

use std::ffi::{c_char, c_void};

use crate::error::Result;
use crate::limits::ROOM_BYTES_MAX;
use crate::position::TOKEN_SIZE;
use crate::store::{Outcome, TRANSACTION_ID_SIZE, TransactionId};

use super::argument::{Out, array, bytes, invalid};
use super::boundary::boundary;
use super::types::*;

const _: () = assert!(REPLIQ_TRANSACTION_ID_SIZE == TRANSACTION_ID_SIZE);

/// The identity at `id`.
///
/// # Safety
///
/// `id` is NULL or readable during the call.
pub(super) unsafe fn id(id: *const repliq_transaction_id, what: &str) -> Result<TransactionId> {
    // SAFETY: the caller's contract.
    let one = unsafe { array(id, 1, what)? };
    TransactionId::parse(&one[0].bytes)
}

/// The identity as C sees it.
pub(super) fn put(id: &TransactionId) -> repliq_transaction_id {
    repliq_transaction_id { bytes: id.to_bytes() }
}

/// What became of a transaction, as C sees it.
pub(super) fn outcome(outcome: &Outcome) -> repliq_outcome {
    let nothing = repliq_token { bytes: [0; TOKEN_SIZE] };
    let (state, token) = match outcome {
        Outcome::Committed(token) => {
            (REPLIQ_OUTCOME_COMMITTED, repliq_token { bytes: token.to_bytes() })
        }
        Outcome::RolledBack => (REPLIQ_OUTCOME_ROLLED_BACK, nothing),
        Outcome::Pending => (REPLIQ_OUTCOME_PENDING, nothing),
        Outcome::Expired => (REPLIQ_OUTCOME_EXPIRED, nothing),
    };
    repliq_outcome { state, token }
}

/// Reads the identity of a transaction: 28 bytes, or its text.
///
/// Fails with REPLIQ_INVALID (NULL, or anything that is no identity), REPLIQ_TOO_LARGE (length).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_transaction_id_parse(
    data: *const c_void,
    len: usize,
    id: *mut repliq_transaction_id,
) -> repliq_code {
    boundary(|| {
        // SAFETY: the caller's contract: `data` readable for `len`, `id` writable.
        let (data, out) =
            unsafe { (bytes(data, len, 4096, "the text of an identity")?, Out::needed(id, "id")?) };
        out.put(put(&TransactionId::parse(data)?));
        Ok(())
    })
}

/// Writes the text of a transaction's identity, the session in hexadecimal digits, the epoch and the number with dots
/// between them, and a NUL, to `text`, which has room for `size` bytes.
///
/// Fails with REPLIQ_INVALID (NULL, less room than REPLIQ_TRANSACTION_ID_TEXT_SIZE, no identity).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn repliq_transaction_id_text(
    id: *const repliq_transaction_id,
    text: *mut c_char,
    size: usize,
) -> repliq_code {
    boundary(|| {
        // SAFETY: the caller's contract: `id` readable, `text` writable for `size` bytes.
        let (id, out) = unsafe {
            let id = self::id(id, "id")?;
            (id, Out::needed(text.cast::<[u8; REPLIQ_TRANSACTION_ID_TEXT_SIZE]>(), "text")?)
        };
        if !(REPLIQ_TRANSACTION_ID_TEXT_SIZE..=ROOM_BYTES_MAX).contains(&size) {
            let text =
                format!("room for a text of {size} bytes, not {REPLIQ_TRANSACTION_ID_TEXT_SIZE}");
            return Err(invalid(text));
        }
        let mut text = [0; REPLIQ_TRANSACTION_ID_TEXT_SIZE];
        for (to, from) in text.iter_mut().zip(id.to_string().bytes()) {
            *to = from;
        }
        out.put(text);
        Ok(())
    })
}
