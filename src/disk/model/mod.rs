//! A disk in memory that does what a real one may do at the worst moment.
//!
//! Owns what a directory holds twice: *live*, what reads see, and *durable*, what a power cut leaves for
//! sure. Between the two stand the unsynced *pieces*; a power cut keeps any choice of them ([`Cut`]). Faults
//! are placed at numbered operations ([`ModelDisk::fail_at`], [`ModelDisk::stop_at`]), so that a test can
//! meet every operation of a workload in turn.
//!
//! Promises: the same calls with the same seed give the same bytes, on every machine. A crash
//! ([`ModelDisk::kill`], [`ModelDisk::power_cut`]) gives a new disk; everything that still holds the old one
//! gets EIO, so a thread that outlived its machine cannot write into the next. The random stream goes on in
//! the new disk, so no two incarnations of one history draw the same bytes.

mod cut;
mod fault;
mod state;
mod window;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use super::{Disk, File, Lock, LockError, Window};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use fault::Verdict;
use state::State;
use window::Mapping;

pub use cut::Cut;
pub use fault::{Mode, Op};

/// The name of the lock file.
const LOCK_NAME: &str = "lock";

/// A directory in memory; clones are handles of the same one.
///
/// Operations are counted from 1: after `n` of them, [`ops`](Self::ops) is `n` and the next has the number
/// `n + 1`. Counters start again with every crash and every [`clone_image`](Self::clone_image), and there
/// are no faults then.
#[derive(Clone)]
pub struct ModelDisk {
    state: Arc<Mutex<State>>,
}

impl Default for ModelDisk {
    fn default() -> ModelDisk {
        ModelDisk::new()
    }
}

/// Making one, and its clock.
impl ModelDisk {
    /// A directory that does not exist yet, with a fixed clock and a fixed random stream.
    pub fn new() -> ModelDisk {
        ModelDisk::with_seed(1)
    }

    /// The same with another random stream and other choices where a fault leaves one.
    pub fn with_seed(seed: u64) -> ModelDisk {
        ModelDisk::from_state(State::new(seed))
    }

    /// A deep copy of what is live, durable and unsynced: independent, unlocked, with the clock and the
    /// random stream of this one, without its faults. Also of a disk whose machine has crashed.
    pub fn clone_image(&self) -> ModelDisk {
        let mut state = self.state.lock().clone();
        state.restart();
        ModelDisk::from_state(state)
    }

    /// Sets the clock.
    pub fn set_now_ms(&self, now_ms: u64) {
        self.state.lock().now_ms = now_ms;
    }

    /// Moves the clock on.
    pub fn advance_ms(&self, ms: u64) {
        let mut state = self.state.lock();
        state.now_ms = state.now_ms.saturating_add(ms);
    }

    /// Gives the directory an identity, as a copy to another place does; without one it cannot be told from its
    /// copies.
    pub fn set_identity(&self, identity: Option<u64>) {
        self.state.lock().identity = identity;
    }

    /// Says whether files may be mapped, as they may be at first; a file system is of one kind, so this outlives
    /// a crash.
    pub fn set_mappable(&self, mappable: bool) {
        self.state.lock().mappable = mappable;
    }

    /// Goes on with another random stream: two copies of one disk must not draw the same numbers.
    pub fn reseed(&self, seed: u64) {
        self.state.lock().reseed(seed);
    }

    fn from_state(state: State) -> ModelDisk {
        ModelDisk { state: Arc::new(Mutex::new(state)) }
    }
}

/// Counting.
impl ModelDisk {
    /// How many operations there were, failed ones included.
    pub fn ops(&self) -> u64 {
        self.state.lock().counts.ops
    }

    /// How many of them were of this kind.
    pub fn calls(&self, kind: Op) -> u64 {
        self.state.lock().counts.calls[kind as usize]
    }

    /// How many bytes operations of this kind moved: read, written, or added by allocation.
    pub fn bytes(&self, kind: Op) -> u64 {
        self.state.lock().counts.bytes[kind as usize]
    }

    /// Distinct 4 KiB pages that successful syncs had to write, each sync counted for itself.
    pub fn pages_synced(&self) -> u64 {
        self.state.lock().counts.pages_synced
    }
}

/// Faults.
impl ModelDisk {
    /// Makes the operation with this number fail, and with [`Mode::Sticky`] all later changing ones, too.
    ///
    /// A write that fails may have written some of its first 512-byte sectors. After a failed sync the bytes
    /// it was to make durable are lost but visible: reads see them, no later sync makes them durable, and a
    /// power cut takes them. A failed [`Disk::sync_dir`] does the same to names.
    pub fn fail_at(&self, op_number: u64, errno: i32, mode: Mode) {
        self.state.lock().faults.fail_at(op_number, errno, mode);
    }

    /// Stops the machine before the operation with this number: it and all later ones fail with EIO and
    /// change nothing.
    pub fn stop_at(&self, op_number: u64) {
        self.state.lock().faults.stop(op_number, false);
    }

    /// Stops the machine within the operation with this number: it takes effect (a write joins the unsynced
    /// pieces), but it and all later ones fail with EIO.
    pub fn stop_in(&self, op_number: u64) {
        self.state.lock().faults.stop(op_number, true);
    }

    /// Whether the machine was stopped by [`stop_at`](Self::stop_at) or [`stop_in`](Self::stop_in).
    pub fn is_stopped(&self) -> bool {
        self.state.lock().faults.stopped()
    }

    /// Makes every sync of a file or of the directory succeed without making anything durable.
    pub fn lie_about_sync(&self, lie: bool) {
        self.state.lock().faults.lie = lie;
    }

    /// Takes away all faults, stops and lies; what they did stays done.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Bounds the sum of the lengths of all files; growing beyond it is ENOSPC, writing over existing bytes
    /// always fits. The bound stays in force after a crash.
    pub fn capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }
}

/// Looking at the bytes and damaging them, past all counting and faults.
impl ModelDisk {
    /// The names there are, sorted.
    pub fn names(&self) -> Vec<String> {
        self.state.lock().live_names().keys().cloned().collect()
    }

    /// What reads of the file would see.
    pub fn bytes_of(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.node_named(name).map(|node| node.live.to_vec())
    }

    /// All names with what reads would see.
    pub fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state.lock();
        let bytes = |name: &str| state.node_named(name).map(|node| node.live.to_vec());
        let names = state.live_names().keys();
        names.filter_map(|name| Some((name.clone(), bytes(name)?))).collect()
    }

    /// Puts a file in place of whatever had the name, durable at once; open handles see the new bytes. Makes
    /// the directory when there is none.
    pub fn put_file(&self, name: &str, bytes: &[u8]) {
        self.state.lock().put_file(name, bytes);
    }

    /// Removes a file, durable at once; says whether there was one.
    pub fn remove_file(&self, name: &str) -> bool {
        self.state.lock().remove_file(name)
    }
}

impl ModelDisk {
    /// Does one counted operation, unless a fault is in the way; then `broken` does what the fault leaves
    /// behind.
    fn act<T>(
        &self,
        op: Op,
        work: impl FnOnce(&mut State) -> io::Result<T>,
        broken: impl FnOnce(&mut State),
    ) -> io::Result<T> {
        let mut state = self.state.lock();
        match state.enter(op) {
            Verdict::Go => work(&mut state),
            Verdict::GoAndStop => {
                let _unanswered = work(&mut state);
                Err(os(libc::EIO))
            }
            Verdict::Fail(errno) => {
                broken(&mut state);
                Err(os(errno))
            }
            Verdict::Stopped => Err(os(libc::EIO)),
        }
    }

    fn act_or_nothing<T>(
        &self,
        op: Op,
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.act(op, work, |_| ())
    }

    /// The state for a call that is not counted, unless the machine has stopped.
    fn running(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.is_halted() { Err(os(libc::EIO)) } else { Ok(state) }
    }

    fn handle(&self, node: u64, writable: bool) -> Arc<dyn File> {
        Arc::new(ModelFile { disk: self.clone(), node, writable, mapping: OnceLock::new() })
    }
}

impl Disk for ModelDisk {
    fn describe(&self) -> String {
        "model".to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.act_or_nothing(Op::List, |state| Ok(state.names()?.keys().cloned().collect()))
    }

    fn create_dir(&self) -> io::Result<()> {
        self.act_or_nothing(Op::CreateDir, |state| {
            state.exists = true;
            Ok(())
        })
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let node = self.act_or_nothing(Op::Create, |state| {
            let node = state.create(name)?;
            state.hold(node);
            Ok(node)
        })?;
        Ok(self.handle(node, true))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn File>> {
        let node = self.act_or_nothing(Op::Open, |state| {
            let node = state.find(name)?;
            state.hold(node);
            Ok(node)
        })?;
        Ok(self.handle(node, writable))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.act_or_nothing(Op::Rename, |state| state.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.act_or_nothing(Op::Remove, |state| state.remove(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.act(Op::SyncDir, State::sync_names, State::lose_names)
    }

    fn lock(&self) -> Result<Box<dyn Lock>, LockError> {
        let taken = self.act_or_nothing(Op::Lock, State::take_lock)?;
        if !taken {
            return Err(LockError::Held { pid: std::process::id(), host: "model".to_string() });
        }
        Ok(Box::new(ModelLock { disk: self.clone(), released: AtomicBool::new(false) }))
    }

    fn peek_done(&self) -> io::Result<Option<u64>> {
        Ok(self.running()?.words().map(|(_, done)| done))
    }

    fn identity(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.running()?.identity.map(|identity| identity.to_le_bytes().to_vec()))
    }

    fn now_ms(&self) -> u64 {
        self.state.lock().now_ms
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.running()?.fill_random(bytes);
        Ok(())
    }
}

struct ModelFile {
    disk: ModelDisk,
    node: u64,
    writable: bool,
    mapping: OnceLock<Arc<Mapping>>,
}

impl ModelFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(os(libc::EBADF)) }
    }
}

impl File for ModelFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.act_or_nothing(Op::ReadAt, |state| state.read_at(self.node, bytes, offset))
    }

    fn read_into(&self, bytes: &mut Vec<u8>, most: usize, offset: u64) -> io::Result<()> {
        self.disk
            .act_or_nothing(Op::ReadAt, |state| state.read_into(self.node, bytes, most, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.act(
            Op::WriteAt,
            |state| state.write_at(self.node, bytes, offset),
            |state| state.write_some_at(self.node, bytes, offset),
        )
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.act_or_nothing(Op::Allocate, |state| state.allocate(self.node, length))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.act(
            Op::Sync,
            |state| state.sync_bytes(self.node),
            |state| state.lose_bytes(self.node),
        )
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.act_or_nothing(Op::Len, |state| state.length(self.node))
    }

    fn map(&self, length: u64) -> io::Result<bool> {
        self.check_writable()?;
        let mappable = self.disk.act_or_nothing(Op::Map, |state| {
            Ok(state.mappable && state.length(self.node)? >= length)
        })?;
        if mappable {
            self.mapping.get_or_init(|| Mapping::new(self.disk.clone(), self.node, length));
        }
        Ok(mappable)
    }

    fn populate(&self, from: u64, to: u64) -> io::Result<()> {
        self.mapping.get().ok_or(io::ErrorKind::Unsupported)?.populate(from, to)
    }

    fn window(&self) -> Option<Box<dyn Window>> {
        Mapping::window(self.mapping.get()?)
    }
}

impl Drop for ModelFile {
    fn drop(&mut self) {
        self.disk.state.lock().release(self.node);
    }
}

struct ModelLock {
    disk: ModelDisk,
    released: AtomicBool,
}

impl Lock for ModelLock {
    fn attempted(&self) -> u64 {
        self.disk.state.lock().words().unwrap_or_default().0
    }

    fn done(&self) -> u64 {
        self.disk.state.lock().words().unwrap_or_default().1
    }

    fn set_attempted(&self, offset: u64) {
        self.disk.state.lock().change_words(|words| words.0 = offset);
    }

    fn set_done(&self, offset: u64) {
        self.disk.state.lock().change_words(|words| words.1 = offset);
    }

    fn release(&self) {
        // The disk of a later machine has a state of its own, so this cannot unlock it.
        if !self.released.swap(true, Ordering::SeqCst) {
            self.disk.state.lock().locked = false;
        }
    }
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        self.release();
    }
}

fn os(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

#[cfg(test)]
mod tests;
