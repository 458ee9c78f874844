//! What a server keeps of a password: enough to check a proof, not enough to make one.
//!
//! Its text is that of RFC 5803 with the separators everybody uses:
//! `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, bytes in base64.

use super::base64;
use super::scram::{Key, SaltedPassword, sha256};
use crate::error::{Code, Error, Result};
use std::fmt;
use std::str::FromStr;

/// Iterations of a new verifier.
pub const ITERATIONS: u32 = 600_000;
/// The floor RFC 7677 sets.
pub const ITERATIONS_MIN: u32 = 4_096;
/// The ceiling: a hostile server must not make a client compute for minutes.
pub const ITERATIONS_MAX: u32 = 5_000_000;
/// Salts of new verifiers, in bytes.
pub const SALT_BYTES: usize = 16;
/// Longest salt that is accepted.
pub const SALT_BYTES_MAX: usize = 64;

const PREFIX: &str = "SCRAM-SHA-256$";

/// The verifier of one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

impl Verifier {
    /// The verifier of a password under this salt.
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Result<Verifier> {
        check_iterations(iterations)?;
        check_salt(salt)?;
        let salted = SaltedPassword::derive(password, salt, iterations);
        Ok(Verifier {
            iterations,
            salt: salt.to_vec(),
            stored_key: sha256(&salted.client_key()[..]),
            server_key: *salted.server_key(),
        })
    }

    /// The verifier of a user who does not exist: the same salt at each try, and no password that fits.
    pub fn unknown(user: &str, secret: &[u8; 32], iterations: u32) -> Verifier {
        let part = |name: &str| -> Key {
            super::scram::hmac(secret, &[name.as_bytes(), &[0], user.as_bytes()])
        };
        Verifier {
            iterations,
            salt: part("salt")[..SALT_BYTES].to_vec(),
            stored_key: part("stored"),
            server_key: part("server"),
        }
    }

    /// How often the hash is repeated.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether this is the password's verifier.
    pub fn fits(&self, password: &[u8]) -> bool {
        let salted = SaltedPassword::derive(password, &self.salt, self.iterations);
        super::scram::equal(&sha256(&salted.client_key()[..]), &self.stored_key)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(base64::encode);
        write!(out, "{PREFIX}{}:{salt}${stored}:{server}", self.iterations)
    }
}

/// Shows that there is one, and nothing of it.
impl fmt::Debug for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Verifier({} iterations)", self.iterations)
    }
}

impl FromStr for Verifier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Verifier> {
        let malformed = || {
            let form = format!("{PREFIX}iterations:salt$StoredKey:ServerKey");
            Error::new(Code::Invalid, format!("a verifier is not of the form {form}"))
        };
        let rest = text.strip_prefix(PREFIX).ok_or_else(malformed)?;
        let (cost, keys) = rest.split_once('$').ok_or_else(malformed)?;
        let (iterations, salt) = cost.split_once(':').ok_or_else(malformed)?;
        let (stored, server) = keys.split_once(':').ok_or_else(malformed)?;
        let iterations = number(iterations).ok_or_else(malformed)?;
        check_iterations(iterations)?;
        let salt = base64::decode(salt).ok_or_else(malformed)?;
        check_salt(&salt)?;
        let key = |text: &str| -> Result<Key> {
            let bytes = base64::decode(text).ok_or_else(malformed)?;
            bytes.try_into().map_err(|_| malformed())
        };
        Ok(Verifier { iterations, salt, stored_key: key(stored)?, server_key: key(server)? })
    }
}

/// A decimal number as SCRAM writes it: digits, no sign, no leading zero.
pub fn number(text: &str) -> Option<u32> {
    let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// Whether so many iterations are neither too weak nor too dear.
pub fn check_iterations(iterations: u32) -> Result<()> {
    if (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
        return Ok(());
    }
    let text = format!(
        "{iterations} iterations of a password's hash are not between {ITERATIONS_MIN} and {ITERATIONS_MAX}"
    );
    Err(Error::new(Code::Invalid, text))
}

/// Whether this can be a salt.
pub fn check_salt(salt: &[u8]) -> Result<()> {
    if (1..=SALT_BYTES_MAX).contains(&salt.len()) {
        return Ok(());
    }
    let text = format!("a salt of {} bytes is not between 1 and {SALT_BYTES_MAX}", salt.len());
    Err(Error::new(Code::Invalid, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with another implementation (hashlib and hmac) for the password "pencil".
    const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
        $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn a_known_verifier_comes_out_of_its_password_and_reads_back() {
        let salt = base64::decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let made = Verifier::new(b"pencil", &salt, 4096).unwrap();
        assert_eq!(made.to_string(), PENCIL);
        let read: Verifier = PENCIL.parse().unwrap();
        assert!(read == made && read.fits(b"pencil") && !read.fits(b"pencils"));
        assert_eq!(format!("{read:?}"), "Verifier(4096 iterations)");
    }

    #[test]
    fn what_is_no_verifier_is_refused() {
        let bad = [
            PENCIL.replace("SHA-256", "SHA-1"),
            PENCIL.replace("4096", "4095"),
            PENCIL.replace("4096", "5000001"),
            PENCIL.replace("4096", "04096"),
            PENCIL.replace("4096", "99999999999"),
            PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
            PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", &"AAAA".repeat(22)),
            PENCIL.replace("2dU=", "2dU"),
            PENCIL.replace("5kBF", "kBF="),
            PENCIL[..PENCIL.len() - 4].to_string(),
        ];
        for text in bad.iter().chain([&String::new()]) {
            if text != PENCIL {
                assert_eq!(text.parse::<Verifier>().unwrap_err().code(), Code::Invalid, "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_user_has_the_same_salt_each_time_and_another_than_the_next() {
        let one = Verifier::unknown("ann", &[1; 32], 4096);
        assert!(one == Verifier::unknown("ann", &[1; 32], 4096));
        assert_ne!(one.salt, Verifier::unknown("ben", &[1; 32], 4096).salt);
        assert_ne!(one.salt, Verifier::unknown("ann", &[2; 32], 4096).salt);
        assert_eq!(one.salt.len(), SALT_BYTES);
    }
}
