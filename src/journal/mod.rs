//! Bytes, order, durability: one journal per store.
//!
//! The journal knows records, transactions and segments; what a record means is the store's affair. One
//! [`Journal::append`] puts a whole transaction behind the last one, [`Journal::commit`] returns when it is
//! durable, [`Journal::open`] gives the records back in order, and a [`Cursor`] reads one queue's messages.
//!
//! | file | owns |
//! |---|---|
//! | `format` | the bytes of a frame |
//! | `slot` | the head of a segment file |
//! | `tail` | appending, and rolling to the next segment |
//! | `commit` | group commit: the only caller of sync for records |
//! | `close` | the end of an open journal |
//! | `contents` | what queues have in the sealed segments, as far as it is remembered |
//! | `prepare` | making segment files ready for their use |
//! | `spare` | segment files before and after their use |
//! | `index` | where a segment's messages stand, by queue |
//! | `run` | state runs, so that an open replays two segments at most, and what they are merged into |
//! | `merge` | merging runs into a base, piece by piece |
//! | `rows` | rows of the state on their way to a run |
//! | `sorted` | the bytes of a run |
//! | `filter` | which keys a file may hold |
//! | `replay` | giving the records back in order |
//! | `recover` | what is believed after a crash |
//! | `settle` | making durable what is believed |
//! | `assemble` | making and opening a journal |
//! | `looked` | a journal that is only looked at, beside who writes it |
//! | `reader` | reading one queue |
//! | `receivers` | who waits for the journal to grow |
//! | `survey` | what lies in the directory before anything is believed |
//! | `scan` | walking the frames of one file |
//! | `body` | the bytes of a message |
//! | `reclaim` | giving dead segments back |
//! | `moved` | messages moved out of nearly dead segments |
//! | `chain` | the hash chain of what is shared |
//! | `window` | storing into the mapped tail |
//! | `walk` | reading whole transactions in the order of commits |
//! | `adopt` | the record by which staged files enter, and the table of those that did |
//! | `staged` | writing the files of a transaction that outgrew memory |
//! | `adopted` | reading, checking and giving back staged files |
//! | `copy` | what a copy of the journal consists of, and checking what is durable |
//! | `helper` | the thread that works ahead |
//! | `horizon` | how far others may see |
//! | `key` | the file `key`: the data key of an encrypted store |
//! | `seal` | sealed blocks |
//! | `times` | how long syncs took |
//! | `unseal` | reading one queue through sealed blocks |
//!
//! Lock order: staged, write, looked, tail, merging, settling, preparing, spares, run, gate; contents last.

mod adopt;
mod adopted;
mod assemble;
mod body;
mod chain;
mod close;
mod commit;
mod contents;
mod copy;
mod filter;
mod format;
mod helper;
mod horizon;
mod index;
mod key;
mod looked;
mod merge;
mod moved;
mod prepare;
mod reader;
mod receivers;
mod reclaim;
mod recover;
mod replay;
mod rows;
mod run;
mod scan;
mod seal;
mod settle;
mod slot;
mod sorted;
mod spare;
mod staged;
mod survey;
mod tail;
mod times;
mod unseal;
mod walk;
mod window;

use crate::disk::{Birth, Disk, File, Lock};
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};
use std::sync::Arc;

pub use adopt::{Adoption, staged_name, staged_number};
pub use body::{Body, FIXED, Front, Parts, deliver_at_of, expires_of, headers, put_header, whole};
pub use commit::Waiter;
pub use copy::Source;
pub use format::{Head, LAST, Type, body_sum, u32_at, u64_at};
pub use key::{KEY_NAME, is_key_file};
pub use reader::{Cursor, Found};
pub use reclaim::{Candidate, Held, Judged, Stretch};
pub use recover::Recovered;
pub use replay::{Replayed, Visitor};
pub use rows::{COLD, GONE, Rows, Table};
pub use spare::Space;
pub use staged::{Put, Staging};
pub use tail::{Appended, Record};
pub use times::SyncTimes;
pub use walk::{Walked, Walker};

use crate::secret::Password;
use key::Keys;
use slot::Slot;

/// How a journal is laid out and who works for it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of the first segment, and of the smallest class.
    pub segment_first: u64,
    /// Bytes of the largest class a segment grows to by itself.
    pub segment_max: u64,
    /// Bytes that all segment files together may have, 0 = no bound but the disk.
    pub quota: u64,
    /// Whether a helper thread may work ahead; without it the caller that needs a segment prepares it.
    pub helper: bool,
    /// Whether the tail is stored to through a mapping, where that is safe.
    pub mapped: bool,
    /// Whether others may see what is published and not durable yet.
    pub shows_early: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_first: limits::SEGMENT_BYTES_FIRST,
            segment_max: limits::SEGMENT_BYTES_MAX,
            quota: 0,
            helper: true,
            mapped: false,
            shows_early: false,
        }
    }
}

/// A segment file: prepared, the tail, or sealed.
#[derive(Clone)]
pub struct Segment {
    number: u64,
    first: u64,
    length: u64,
    began_ms: u64,
    slot: Option<Slot>,
    file: Arc<dyn File>,
    chain: Arc<AtomicU64>,
}

impl Segment {
    fn prepared(number: u64, length: u64, file: Arc<dyn File>) -> Segment {
        let chain = Arc::new(AtomicU64::new(0));
        Segment { number, first: 0, length, began_ms: 0, slot: None, file, chain }
    }

    /// Where in the file a journal offset lies.
    #[inline]
    fn at(&self, offset: u64) -> u64 {
        offset - self.first + slot::FRAMES_AT
    }

    /// The journal offset behind its last possible byte.
    fn limit(&self) -> u64 {
        self.first + self.length - slot::FRAMES_AT
    }
}

/// A segment that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its number.
    pub number: u64,
    /// Bytes of its file.
    pub length: u64,
    /// Sequence of the last transaction in it.
    pub last: u64,
    /// When it was begun, milliseconds since 1970 UTC.
    pub began_ms: u64,
}

/// The journal of one open store.
pub struct Journal {
    disk: Arc<dyn Disk>,
    lock: Box<dyn Lock>,
    options: Options,
    store: [u8; 16],
    secret: u32,
    birth: Birth,
    writer: Mutex<commit::Writer>,
    tail: Mutex<tail::Tail>,
    /// Held by who prepares segment files, and how many wait for that to be done.
    preparing: Mutex<()>,
    hurried: AtomicUsize,
    spares: Mutex<spare::Spares>,
    run: Mutex<run::RunJob>,
    /// Held by who writes a run.
    settling: Mutex<()>,
    /// Held by who merges, copies or removes runs: the merge that is on its way.
    merging: Mutex<Option<merge::Merge>>,
    staged: Mutex<staged::Names>,
    contents: Mutex<contents::Contents>,
    gate: commit::Gate,
    helper: Mutex<helper::Helper>,
    appended: AtomicU64,
    /// Whether this life may hand out positions before they are durable.
    early: AtomicBool,
    keys: Option<Arc<Keys>>,
    /// Its moment, where this journal only looks.
    looked: Option<looked::Looked>,
}

impl Journal {
    /// The store's random id, the same in every segment.
    pub fn store_id(&self) -> [u8; 16] {
        self.store
    }

    /// The disk the journal lives on.
    #[inline]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Fails in a forked child: nothing of the parent's handles may be used there.
    #[inline]
    pub fn check_fork(&self) -> Result<()> {
        if self.birth.here() { Ok(()) } else { Err(self.forked()) }
    }

    #[cold]
    fn forked(&self) -> Error {
        let text = format!(
            "the store {} was opened before this process was forked; open it anew",
            self.disk.describe()
        );
        Error::new(Code::Forked, text)
    }

    /// Whether this handle belongs to the process that made it.
    pub fn is_here(&self) -> bool {
        self.birth.here()
    }

    /// Whether what it writes is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.keys.is_some()
    }

    /// Locks the data key of an encrypted store by another password; the records stay as they are. When
    /// this fails on the way, the old password or the new one opens the store, and never both.
    pub fn change_password(&self, password: &Password) -> Result<()> {
        let Some(keys) = &self.keys else {
            let text = format!(
                "cannot change the password of {}: it has none, and a store gets its first one \
                 when it is created",
                self.disk.describe()
            );
            return Err(Error::new(Code::Invalid, text));
        };
        keys.change(&*self.disk, password)
    }

    /// Journal offset behind the last record appended.
    pub fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// The sequence the next transaction gets.
    pub fn next_sequence(&self) -> u64 {
        self.tail.lock().next
    }

    /// The sealed segments, the oldest first.
    pub fn sealed_segments(&self) -> Vec<SealedSegment> {
        let tail = self.tail.lock();
        let slot = tail.segment.slot.as_ref();
        let mut after = slot.map_or(tail.next, |slot| slot.next);
        let mut found: Vec<SealedSegment> = Vec::with_capacity(tail.table.len());
        for (number, row) in tail.table.iter().rev() {
            let next = std::mem::replace(&mut after, row.next);
            let last = next.saturating_sub(1);
            let (length, began_ms) = (row.length, row.began_ms);
            found.push(SealedSegment { number: *number, length, last, began_ms });
        }
        found.reverse();
        found
    }

    /// Segment files that wait for their use: those prepared, and those kept back for a full disk.
    pub fn waiting_segments(&self) -> (usize, usize) {
        self.spares.lock().counts()
    }

    /// Segments in use: number and length in bytes.
    pub fn segments(&self) -> Vec<(u64, u64)> {
        let tail = self.tail.lock();
        let mut rows: Vec<_> = tail.table.iter().map(|(n, row)| (*n, row.length)).collect();
        rows.push((tail.segment.number, tail.segment.length));
        rows
    }
}

/// The name of a segment file.
pub fn file_name(number: u64) -> String {
    format!("{number:016x}.seg")
}

/// The number in the name of a segment file.
pub fn file_number(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".seg")?;
    number_in(hex)
}

/// The number these 16 hexadecimal digits are; `None` for anything else, and for numbers no file gets.
fn number_in(hex: &str) -> Option<u64> {
    let number = u64::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 16)?;
    (number < limits::NUMBERS_END).then_some(number)
}
