//! Passwords, and the keys that are derived from them.
//!
//! Owns the bytes of a password while the library holds them and the one slow step from a password to a key:
//! Argon2id. Promises: the bytes and every key derived here are overwritten when they are dropped, and no
//! text that this type prints holds any of them.

use crate::error::{Code, Error, Result};
use crate::limits;
use crate::sync::Mutex;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::fmt;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// Length of a key, in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of the random value a derivation begins with, in bytes.
pub const SALT_BYTES: usize = 16;

/// Keys a password remembers.
const REMEMBERED: usize = 8;

/// A key, overwritten when it is dropped.
pub type Key = Zeroizing<[u8; KEY_BYTES]>;

/// What it costs to try one password, for us and for everybody who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes the memory is divided into.
    pub lanes: u32,
}

impl Default for Cost {
    /// The second recommended choice of RFC 9106.
    fn default() -> Cost {
        Cost { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

impl Cost {
    /// The least that is accepted.
    pub const LEAST: Cost = Cost { memory_kib: 19 << 10, passes: 2, lanes: 1 };
    /// The most that is accepted: a file must not be able to ask for all the memory of the machine.
    pub const MOST: Cost = Cost { memory_kib: 1 << 20, passes: 16, lanes: 16 };

    /// Whether the cost lies between the least and the most.
    pub fn is_sound(&self) -> bool {
        let within = |value: u32, least: u32, most: u32| (least..=most).contains(&value);
        within(self.memory_kib, Cost::LEAST.memory_kib, Cost::MOST.memory_kib)
            && within(self.passes, Cost::LEAST.passes, Cost::MOST.passes)
            && within(self.lanes, Cost::LEAST.lanes, Cost::MOST.lanes)
    }
}

/// A password. Clones share the bytes; the last one overwrites them.
///
/// It remembers the keys that were derived from it last, so that opening the same store again with the same
/// value costs nothing.
#[derive(Clone)]
pub struct Password(Arc<Inner>);

struct Inner {
    bytes: Zeroizing<Vec<u8>>,
    cost: Cost,
    derived: Mutex<Vec<Derived>>,
}

struct Derived {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    key: Key,
}

impl Password {
    /// The same password with another cost, for the stores it will be the password of; what exists already
    /// is opened at the cost that is written there. A cost out of bounds is refused where it is first used.
    pub fn at_cost(&self, cost: Cost) -> Password {
        Password::new(self.0.bytes.clone(), cost)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The cost for stores that get this password.
    pub fn cost(&self) -> Cost {
        self.0.cost
    }

    /// Refuses a password that is none.
    pub fn check(&self) -> Result<()> {
        let length = self.0.bytes.len();
        if length == 0 {
            return Err(Error::new(Code::Invalid, "the password is empty"));
        }
        if length > limits::PASSWORD_BYTES_MAX {
            let max = limits::PASSWORD_BYTES_MAX;
            let text = format!("password of {length} bytes, more than {max}");
            return Err(Error::new(Code::TooLarge, text));
        }
        Ok(())
    }

    /// The key that belongs to this password and `salt` at `cost`.
    pub fn derive(&self, cost: Cost, salt: &[u8; SALT_BYTES]) -> Result<Key> {
        let mut derived = self.0.derived.lock();
        let known = derived.iter().find(|known| (known.cost, &known.salt) == (cost, salt));
        if let Some(known) = known {
            return Ok(known.key.clone());
        }
        let key = derive(&self.0.bytes, cost, salt)?;
        if derived.len() == REMEMBERED {
            derived.remove(0);
        }
        derived.push(Derived { cost, salt: *salt, key: key.clone() });
        Ok(key)
    }

    fn new(bytes: Zeroizing<Vec<u8>>, cost: Cost) -> Password {
        Password(Arc::new(Inner { bytes, cost, derived: Mutex::new(Vec::new()) }))
    }
}

fn derive(password: &[u8], cost: Cost, salt: &[u8; SALT_BYTES]) -> Result<Key> {
    let failed = || {
        let Cost { memory_kib, passes, lanes } = cost;
        let text = format!(
            "cannot derive a key with {memory_kib} KiB, {passes} passes and {lanes} lanes: \
             out of bounds"
        );
        Error::new(Code::Invalid, text)
    };
    if !cost.is_sound() {
        return Err(failed());
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_BYTES))
        .map_err(|_| failed())?;
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Key::default();
    let outcome = argon2.hash_password_into_with_memory(password, salt, &mut *key, &mut memory);
    memory.iter_mut().for_each(Zeroize::zeroize);
    outcome.map_err(|_| failed())?;
    Ok(key)
}

impl From<Vec<u8>> for Password {
    fn from(bytes: Vec<u8>) -> Password {
        Password::new(Zeroizing::new(bytes), Cost::default())
    }
}

impl From<String> for Password {
    fn from(text: String) -> Password {
        Password::from(text.into_bytes())
    }
}

impl From<&[u8]> for Password {
    fn from(bytes: &[u8]) -> Password {
        Password::from(bytes.to_vec())
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Password {
        Password::from(text.as_bytes())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_password_salt_and_cost_and_is_remembered() {
        let password = Password::from("correct horse").at_cost(Cost::LEAST);
        let key = password.derive(Cost::LEAST, &[1; 16]).unwrap();
        assert_eq!(*key, *Password::from("correct horse").derive(Cost::LEAST, &[1; 16]).unwrap());
        assert_ne!(*key, *Password::from("correct hors").derive(Cost::LEAST, &[1; 16]).unwrap());
        assert_ne!(*key, *password.derive(Cost::LEAST, &[2; 16]).unwrap());
        let more = Cost { passes: 3, ..Cost::LEAST };
        assert_ne!(*key, *password.derive(more, &[1; 16]).unwrap());
        let before = std::time::Instant::now();
        password.derive(more, &[1; 16]).unwrap();
        assert!(before.elapsed() < std::time::Duration::from_millis(5));
    }

    #[test]
    fn a_cost_below_the_least_or_above_the_most_is_refused() {
        let password = Password::from("p");
        for cost in [
            Cost { memory_kib: (19 << 10) - 1, ..Cost::LEAST },
            Cost { passes: 1, ..Cost::LEAST },
            Cost { lanes: 0, ..Cost::LEAST },
            Cost { memory_kib: u32::MAX, ..Cost::LEAST },
            Cost { passes: 17, ..Cost::LEAST },
            Cost { lanes: 17, ..Cost::LEAST },
        ] {
            assert_eq!(password.derive(cost, &[0; 16]).unwrap_err().code(), Code::Invalid);
        }
        assert!(Cost::default().is_sound());
    }

    #[test]
    fn nothing_printed_holds_the_password() {
        let password = Password::from("hunter2");
        assert_eq!(format!("{password:?}"), "Password");
        assert!(!password.check().is_err_and(|error| error.to_string().contains("hunter2")));
    }

    #[test]
    fn an_empty_or_endless_password_is_refused() {
        assert_eq!(Password::from("").check().unwrap_err().code(), Code::Invalid);
        let long = vec![b'x'; limits::PASSWORD_BYTES_MAX + 1];
        assert_eq!(Password::from(long).check().unwrap_err().code(), Code::TooLarge);
    }
}
