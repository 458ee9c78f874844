//! What is counted, and what goes wrong at which count.
//!
//! Owns the numbers of operations and the decision what happens to the next one. What a fault leaves behind
//! on the disk is decided in `state.rs`.

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Listing the directory.
    List,
    /// Creating the directory.
    CreateDir,
    /// Creating a file.
    Create,
    /// Opening a file.
    Open,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Making names durable.
    SyncDir,
    /// Taking the lock.
    Lock,
    /// Reading.
    ReadAt,
    /// Writing.
    WriteAt,
    /// Allocating.
    Allocate,
    /// Making bytes durable.
    Sync,
    /// Asking for the length.
    Len,
    /// Mapping.
    Map,
    /// Getting mapped bytes ready.
    Populate,
    /// Storing one run of bytes through a mapping.
    Store,
}

impl Op {
    /// Every kind.
    pub const ALL: [Op; 16] = [
        Op::List,
        Op::CreateDir,
        Op::Create,
        Op::Open,
        Op::Rename,
        Op::Remove,
        Op::SyncDir,
        Op::Lock,
        Op::ReadAt,
        Op::WriteAt,
        Op::Allocate,
        Op::Sync,
        Op::Len,
        Op::Map,
        Op::Populate,
        Op::Store,
    ];

    /// Whether a disk that fails all changes fails this one.
    fn changes(self) -> bool {
        match self {
            Op::Create | Op::Rename | Op::Remove | Op::SyncDir => true,
            Op::WriteAt | Op::Allocate | Op::Sync | Op::Store => true,
            Op::List | Op::CreateDir | Op::Open | Op::Lock | Op::ReadAt | Op::Len => false,
            Op::Map | Op::Populate => false,
        }
    }
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One operation.
    Once,
    /// That operation and every later one that changes the disk (create, rename, remove, write, allocate
    /// and both syncs); reading goes on working.
    Sticky,
}

/// What becomes of an operation.
pub(super) enum Verdict {
    Go,
    /// It takes effect and nobody hears of it.
    GoAndStop,
    Fail(i32),
    /// The machine has stopped.
    Stopped,
}

#[derive(Clone, Default)]
pub(super) struct Counts {
    pub ops: u64,
    pub calls: [u64; Op::ALL.len()],
    pub bytes: [u64; Op::ALL.len()],
    pub pages_synced: u64,
}

impl Counts {
    pub fn add_bytes(&mut self, op: Op, bytes: u64) {
        self.bytes[op as usize] += bytes;
    }
}

#[derive(Clone)]
struct Fault {
    at: u64,
    errno: i32,
    mode: Mode,
}

#[derive(Clone, Default)]
pub(super) struct Faults {
    planned: Vec<Fault>,
    /// The operation to stop at, and whether that one still takes effect.
    stop: Option<(u64, bool)>,
    stopped: bool,
    pub lie: bool,
}

impl Faults {
    pub fn fail_at(&mut self, at: u64, errno: i32, mode: Mode) {
        self.planned.push(Fault { at, errno, mode });
    }

    pub fn stop(&mut self, at: u64, takes_effect: bool) {
        self.stop = Some((at, takes_effect));
    }

    pub fn stopped(&self) -> bool {
        self.stopped
    }

    pub fn clear(&mut self) {
        *self = Faults::default();
    }

    /// Decides about the operation with this number.
    pub fn judge(&mut self, number: u64, op: Op) -> Verdict {
        if self.stopped {
            return Verdict::Stopped;
        }
        if let Some((at, takes_effect)) = self.stop
            && number >= at
        {
            self.stopped = true;
            return if takes_effect && number == at {
                Verdict::GoAndStop
            } else {
                Verdict::Stopped
            };
        }
        let hit = self.planned.iter().find(|fault| match fault.mode {
            Mode::Once => number == fault.at,
            Mode::Sticky => number == fault.at || (number > fault.at && op.changes()),
        });
        hit.map_or(Verdict::Go, |fault| Verdict::Fail(fault.errno))
    }
}
