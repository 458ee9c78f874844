//! The file `key`: the random data key of an encrypted store, locked by a key derived from the password.
//!
//! ```text
//! offset  size  slot; the file holds two, at 0 and 512, each written with one write and synced
//!      0     8  magic        "repliqK1"
//!      8     2  version      1
//!     10     1  cipher       of the lock and of all sealed blocks: 1 = AES-256-GCM
//!     11     1  derivation   1 = Argon2id, version 0x13
//!     12     4  must-understand flags (none known)
//!     16     8  generation   the slot with the higher one counts
//!     24    16  store        the store's random id
//!     40     4  memory       of the derivation, in KiB
//!     44     4  passes
//!     48     4  lanes
//!     52    16  salt         of the derivation, drawn with each password
//!     68    12  nonce        of the lock, drawn with each slot
//!     80    32  locked       the data key, encrypted; bytes 0..80 are its associated data
//!    112    16  tag
//!    128    32  check        HMAC-SHA-256 under the data key over "repliq key check" and the store's id
//!    160     4  sum          CRC-32 over bytes 0..160
//!    164   348  zero
//! ```
//!
//! Both slots hold the same password, so that one damaged sector costs nothing. A change of the password
//! writes the slots in turn: before it the newer slot is written again as it is and synced, so that it is
//! on the disk for sure; then the older one becomes the newest, with the new password; then the other one
//! follows. A stop in between leaves the old password or the new one, never both and never none, and the
//! next open for writing finishes the change. The data key stays the same, so nothing else is rewritten.
//!
//! From the data key and 16 bytes of salt come the keys that seal: HKDF-SHA-256 with the purpose as info.

use super::format::{u32_at, u64_at};
use super::slot::{Role, Slot};
use crate::disk::{Disk, File};
use crate::error::{Code, Error, Result};
use crate::secret::{Cost, KEY_BYTES, Key, Password, SALT_BYTES};
use crate::sync::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use std::sync::Arc;
use zeroize::Zeroize;

/// The name of the file.
pub const KEY_NAME: &str = "key";
/// Its name until it is whole.
pub const KEY_UNFINISHED: &str = "key.tmp";
const SLOT: usize = 512;
const MAGIC: &[u8; 8] = b"repliqK1";
const VERSION: u16 = 1;
const AES_GCM: u8 = 1;
const ARGON2ID: u8 = 1;
const LOCKED: usize = 80;
const TAG: usize = 112;
const CHECK: usize = 128;
const SUMMED: usize = 160;
/// Keys for sealing that are remembered.
const REMEMBERED: usize = 4;

/// What a derived key is for; keys of different purposes have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The blocks of one incarnation; its salt is the incarnation.
    Tail,
    /// One state run; its salt is drawn for it.
    Run,
    /// The blocks of one staged file; its salt is drawn for it.
    Staged,
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Purpose::Tail => b"repliq tail 1",
            Purpose::Run => b"repliq run 1",
            Purpose::Staged => b"repliq staged 1",
        }
    }
}

/// The data key of an open encrypted store. It is overwritten when the store is closed.
pub struct Keys {
    store: [u8; 16],
    data: Key,
    derived: Mutex<Vec<Derived>>,
    change: Mutex<()>,
}

/// A key that seals, and what it was derived for.
struct Derived {
    purpose: Purpose,
    salt: [u8; 16],
    key: Arc<LessSafeKey>,
}

/// One slot, decoded.
#[derive(Clone)]
struct Locked {
    bytes: [u8; SLOT],
}

impl Locked {
    /// The slot in these bytes; `None` when they hold none that is whole.
    fn decode(bytes: &[u8]) -> Result<Option<Locked>> {
        let Some(bytes) = bytes.first_chunk::<SLOT>() else { return Ok(None) };
        if &bytes[..8] != MAGIC || u32_at(bytes, SUMMED) != crc32fast::hash(&bytes[..SUMMED]) {
            return Ok(None);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        let known = version == VERSION && bytes[10] == AES_GCM && bytes[11] == ARGON2ID;
        if !known || u32_at(bytes, 12) != 0 {
            let text = format!(
                "the file {KEY_NAME} has version {version}, cipher {}, derivation {} and flags \
                 {:#x}; this version of the library reads 1, 1, 1 and no flags",
                bytes[10],
                bytes[11],
                u32_at(bytes, 12)
            );
            return Err(Error::new(Code::Version, text));
        }
        Ok(Some(Locked { bytes: *bytes }))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }

    fn generation(&self) -> u64 {
        u64_at(&self.bytes, 16)
    }

    fn cost(&self) -> Cost {
        let word = |at| u32_at(&self.bytes, at);
        Cost { memory_kib: word(40), passes: word(44), lanes: word(48) }
    }

    fn salt(&self) -> [u8; SALT_BYTES] {
        self.array(52)
    }

    /// The data key, or one error for whatever does not fit.
    fn unlock(&self, password: &Password, store: &str) -> Result<Key> {
        let cost = self.cost();
        if !cost.is_sound() {
            let text = format!(
                "the file {KEY_NAME} of {store} asks for {} KiB, {} passes and {} lanes, \
                 which no version writes",
                cost.memory_kib, cost.passes, cost.lanes
            );
            return Err(Error::new(Code::Tampered, text));
        }
        let lock = sealing_key(&password.derive(cost, &self.salt())?);
        let mut bytes: [u8; KEY_BYTES + 16] = self.array(LOCKED);
        let nonce = Nonce::assume_unique_for_key(self.array(68));
        let opened = lock.open_in_place(nonce, Aad::from(&self.bytes[..LOCKED]), &mut bytes);
        let mut data = Key::default();
        let sound = opened.is_ok_and(|opened| {
            data.copy_from_slice(opened);
            hmac::verify(&check_key(&data), &checked(&self.array(24)), &self.bytes[CHECK..SUMMED])
                .is_ok()
        });
        bytes.zeroize();
        if sound { Ok(data) } else { Err(wrong(store)) }
    }
}

/// What a slot is made from.
struct Plan<'a> {
    store: [u8; 16],
    data: &'a Key,
    password: &'a Password,
    cost: Cost,
    salt: [u8; SALT_BYTES],
}

impl Plan<'_> {
    fn lock(&self, disk: &dyn Disk, generation: u64) -> Result<Locked> {
        let mut bytes = [0; SLOT];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        (bytes[10], bytes[11]) = (AES_GCM, ARGON2ID);
        bytes[16..24].copy_from_slice(&generation.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.store);
        let words = [self.cost.memory_kib, self.cost.passes, self.cost.lanes];
        for (at, word) in [40, 44, 48].into_iter().zip(words) {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[52..68].copy_from_slice(&self.salt);
        let mut nonce = [0; NONCE_LEN];
        draw(disk, &mut nonce)?;
        bytes[68..80].copy_from_slice(&nonce);
        let lock = sealing_key(&self.password.derive(self.cost, &self.salt)?);
        let mut locked = self.data.clone();
        let tag = lock
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&bytes[..LOCKED]),
                &mut *locked,
            )
            .map_err(|_| Error::new(Code::Panic, "a key of 32 bytes could not be locked"))?;
        bytes[LOCKED..TAG].copy_from_slice(&*locked);
        bytes[TAG..CHECK].copy_from_slice(tag.as_ref());
        let check = hmac::sign(&check_key(self.data), &checked(&self.store));
        bytes[CHECK..SUMMED].copy_from_slice(check.as_ref());
        let sum = crc32fast::hash(&bytes[..SUMMED]);
        bytes[SUMMED..SUMMED + 4].copy_from_slice(&sum.to_le_bytes());
        Ok(Locked { bytes })
    }
}

impl Keys {
    /// The data key of a store that is to be created. It is drawn, and its file is durable when this returns;
    /// a file that is there already is kept, with its key and its store's id, and must open with the password:
    /// it may be the only way to segments that are elsewhere.
    pub fn create(disk: &dyn Disk, store: [u8; 16], password: &Password) -> Result<Arc<Keys>> {
        password.check()?;
        if is_key_file(disk) {
            let slots = read(disk, false)?.1;
            let (newest, _) = newest(disk, &slots)?;
            let keys = Keys::new(newest.array(24), newest.unlock(password, &disk.describe())?);
            // Its name may be one that only the page cache knows.
            keys.write(disk, password, newest.cost(), newest.salt())?;
            return Ok(keys);
        }
        let (mut data, mut salt) = (Key::default(), [0; SALT_BYTES]);
        draw(disk, &mut *data)?;
        draw(disk, &mut salt)?;
        let keys = Keys::new(store, data);
        keys.write(disk, password, password.cost(), salt)?;
        Ok(keys)
    }

    /// Writes the whole file under another name and puts it in its place.
    fn write(
        &self,
        disk: &dyn Disk,
        password: &Password,
        cost: Cost,
        salt: [u8; SALT_BYTES],
    ) -> Result<()> {
        let plan = Plan { store: self.store, data: &self.data, password, cost, salt };
        let slots = [plan.lock(disk, 1)?, plan.lock(disk, 2)?];
        let failed = |error| Error::io(doing("write", disk), &error);
        let bytes = [slots[0].bytes, slots[1].bytes].concat();
        crate::disk::replace(disk, KEY_UNFINISHED, KEY_NAME, &bytes).map_err(failed)
    }

    /// Opens the data key of the store with this id.
    pub fn open(disk: &dyn Disk, store: [u8; 16], password: &Password) -> Result<Arc<Keys>> {
        let slots = read(disk, false)?.1;
        let (newest, _) = newest(disk, &slots)?;
        if newest.array::<16>(24) != store {
            let text =
                format!("the file {KEY_NAME} in {} belongs to another store", disk.describe());
            return Err(Error::new(Code::Corrupt, text));
        }
        Ok(Keys::new(store, newest.unlock(password, &disk.describe())?))
    }

    /// Finishes a change of the password that was interrupted, and replaces a damaged slot. What cannot be
    /// done now is done by the next open.
    pub fn mend(&self, disk: &dyn Disk, password: &Password) -> Result<()> {
        let _one_at_a_time = self.change.lock();
        let (file, slots) = read(disk, true)?;
        let (current, at) = newest(disk, &slots)?;
        let other = &slots[1 - at];
        if other.as_ref().is_some_and(|other| other.salt() == current.salt()) {
            return Ok(());
        }
        let plan = Plan {
            store: self.store,
            data: &self.data,
            password,
            cost: current.cost(),
            salt: current.salt(),
        };
        let next = plan.lock(disk, current.generation() + 1)?;
        put(disk, &*file, &current, at)?;
        put(disk, &*file, &next, 1 - at)
    }

    /// Locks the data key by another password.
    pub fn change(&self, disk: &dyn Disk, password: &Password) -> Result<()> {
        password.check()?;
        let plan = plan(disk, self.store, &self.data, password)?;
        let _one_at_a_time = self.change.lock();
        let (file, slots) = read(disk, true)?;
        let (current, at) = newest(disk, &slots)?;
        let generation = current.generation();
        let (first, second) = (plan.lock(disk, generation + 1)?, plan.lock(disk, generation + 2)?);
        put(disk, &*file, &current, at)?;
        put(disk, &*file, &first, 1 - at)?;
        put(disk, &*file, &second, at)
    }

    /// The store's id, part of what every seal covers.
    pub fn store(&self) -> &[u8; 16] {
        &self.store
    }

    /// The key that seals for this purpose and salt.
    pub fn derive(&self, purpose: Purpose, salt: &[u8; 16]) -> Arc<LessSafeKey> {
        let mut derived = self.derived.lock();
        let known = derived.iter().find(|known| (known.purpose, &known.salt) == (purpose, salt));
        if let Some(known) = known {
            return known.key.clone();
        }
        let mut bytes = Key::default();
        self.expand(salt, purpose.info(), &mut *bytes);
        let key = Arc::new(sealing_key(&bytes));
        if derived.len() == REMEMBERED {
            derived.remove(0);
        }
        derived.push(Derived { purpose, salt: *salt, key: key.clone() });
        key
    }

    /// Hides the hash chain in a segment's head, or shows it again: it would confirm guesses of what the
    /// segment holds.
    pub fn veil(&self, slot: &mut Slot) {
        let mut salt = [0; 24];
        salt[..16].copy_from_slice(&slot.incarnation);
        salt[16..].copy_from_slice(&slot.number.to_le_bytes());
        let mut mask = [0; 16];
        self.expand(&salt, b"repliq chain 1", &mut mask);
        slot.chain ^= u64_at(&mask, 0);
        // Only a sealed segment has an end; a mask must not cover two values.
        slot.chain_end =
            if slot.role == Role::Sealed { slot.chain_end ^ u64_at(&mask, 8) } else { 0 };
    }

    fn new(store: [u8; 16], data: Key) -> Arc<Keys> {
        let (derived, change) = (Mutex::new(Vec::new()), Mutex::new(()));
        Arc::new(Keys { store, data, derived, change })
    }

    fn expand(&self, salt: &[u8], info: &[u8], out: &mut [u8]) {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let random = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&*self.data);
        let info = [info];
        let expanded = random.expand(&info, Length(out.len()));
        expanded
            .and_then(|expanded| expanded.fill(out))
            .expect("32 bytes cannot be more than HKDF gives");
    }
}

/// The slot as it is written.
pub fn veiled(mut slot: Slot, keys: Option<&Keys>) -> Slot {
    if let Some(keys) = keys {
        keys.veil(&mut slot);
    }
    slot
}

/// Whether the directory holds a file of this name that is one of ours.
pub fn is_key_file(disk: &dyn Disk) -> bool {
    read(disk, false).is_ok_and(|(_, slots)| slots.iter().any(Option::is_some))
}

fn plan<'a>(
    disk: &dyn Disk,
    store: [u8; 16],
    data: &'a Key,
    password: &'a Password,
) -> Result<Plan<'a>> {
    let mut salt = [0; SALT_BYTES];
    draw(disk, &mut salt)?;
    let cost = password.cost();
    // The slow step comes before any lock and any write.
    password.derive(cost, &salt)?;
    Ok(Plan { store, data, password, cost, salt })
}

type Slots = [Option<Locked>; 2];

fn read(disk: &dyn Disk, writable: bool) -> Result<(Arc<dyn File>, Slots)> {
    let file = disk.open(KEY_NAME, writable).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let text = format!("{} is encrypted and has lost its file {KEY_NAME}", disk.describe());
            return Error::new(Code::Corrupt, text);
        }
        Error::io(doing("open", disk), &error)
    })?;
    let mut bytes = [0; 2 * SLOT];
    let read =
        file.read_at(&mut bytes, 0).map_err(|error| Error::io(doing("read", disk), &error))?;
    let slot = |at: usize| Locked::decode(bytes[..read].get(at * SLOT..).unwrap_or(&[]));
    let slots = [slot(0)?, slot(1)?];
    Ok((file, slots))
}

/// The slot that counts, and its place.
fn newest(disk: &dyn Disk, slots: &Slots) -> Result<(Locked, usize)> {
    let whole = slots.iter().enumerate().filter_map(|(at, slot)| Some((slot.clone()?, at)));
    whole.max_by_key(|(slot, _)| slot.generation()).ok_or_else(|| {
        let text = format!("both slots of the file {KEY_NAME} in {} are damaged", disk.describe());
        Error::new(Code::Corrupt, text)
    })
}

fn put(disk: &dyn Disk, file: &dyn File, slot: &Locked, at: usize) -> Result<()> {
    let failed = |error| Error::io(doing("write", disk), &error);
    file.write_at(&slot.bytes, (at * SLOT) as u64).map_err(failed)?;
    file.sync().map_err(failed)
}

fn doing(what: &str, disk: &dyn Disk) -> String {
    format!("cannot {what} the file {KEY_NAME} in {}", disk.describe())
}

fn draw(disk: &dyn Disk, bytes: &mut [u8]) -> Result<()> {
    let failed = |error| Error::io(format!("cannot draw a key for {}", disk.describe()), &error);
    disk.random(bytes).map_err(failed)
}

/// The one answer to every password that does not open the store.
fn wrong(store: &str) -> Error {
    Error::new(Code::BadPassword, format!("cannot open {store}: the password is wrong"))
}

fn sealing_key(bytes: &Key) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, &**bytes);
    LessSafeKey::new(key.expect("a key of 32 bytes cannot have the wrong length"))
}

fn check_key(data: &Key) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &**data)
}

fn checked(store: &[u8; 16]) -> [u8; 32] {
    let mut text = [0; 32];
    text[..16].copy_from_slice(b"repliq key check");
    text[16..].copy_from_slice(store);
    text
}
