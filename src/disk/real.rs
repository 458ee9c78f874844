//! A directory of a real file system.
//!
//! Owns every call to the operating system about files, the clock and the random source. All go through the
//! C library, so that a test may put its own calls in their stead.
//!
//! The lock file, all integers little-endian:
//!
//! ```text
//!     offset  size  field
//!          0     8  attempted
//!          8     8  done
//!         16     4  process id of the last owner
//!         20     1  length of its host name
//!         21   235  host name
//!        256  3840  zero
//! ```
//!
//! Promises: what is created is readable by its owner only, whatever the umask; symbolic links, files with a
//! second hard link and files of another user are refused; what the superuser makes belongs to the owner of the
//! directory; a call interrupted by a signal goes on. The lock
//! ends with its open file description: a forked child that drops its copy does not unlock the parent.
//! Relies on: the directory being on a file system with working `flock`.

#![allow(unsafe_code)]

use std::fs::{self, DirBuilder, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use memmap2::{MmapOptions, MmapRaw};

use super::mapping::Mapping;
use super::{Disk, File, Lock, LockError, Window};
use crate::sync::mapped::AtomicU64;
use crate::sync::{AtomicBool, Ordering};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const ZERO_STEP: usize = 256 * 1024;

const LOCK_NAME: &str = "lock";
const LOCK_SIZE: u64 = 4096;
const ATTEMPTED_AT: usize = 0;
const DONE_AT: usize = 8;
const OWNER_AT: u64 = 16;
const OWNER_SIZE: usize = 240;
const HOST_AT: usize = 5;

/// A directory of a real file system.
#[derive(Clone, Debug)]
pub struct RealDisk {
    path: PathBuf,
}

impl RealDisk {
    /// The directory at `path`, which need not exist yet.
    pub fn new(path: impl AsRef<Path>) -> RealDisk {
        RealDisk { path: path.as_ref().to_path_buf() }
    }

    /// The path of a name, which must not lead out of the directory.
    fn at(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            let text = format!("{name:?} is not a plain file name");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(self.path.join(name))
    }

    fn open_checked(&self, name: &str, writable: bool) -> io::Result<fs::File> {
        let path = self.at(name)?;
        let file = options().read(true).write(writable).open(&path)?;
        check_file(&file, &path)?;
        Ok(file)
    }

    fn take_lock(&self) -> Result<RealLock, LockError> {
        check_directory(&self.path)?;
        let path = self.at(LOCK_NAME)?;
        let file = options().read(true).write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(owner_of(&file)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        check_file(&file, &path)?;
        widen_mode(&file)?;
        give_to_owner_of(&self.path, &file)?;
        allocate(&file, LOCK_SIZE)?;
        write_all_at(&file, &owner_bytes(), OWNER_AT)?;
        let page = MmapOptions::new().len(LOCK_SIZE as usize).map_raw(&file)?;
        Ok(RealLock { page, file, released: AtomicBool::new(false) })
    }
}

impl Disk for RealDisk {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 cannot be ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create_dir(&self) -> io::Result<()> {
        let made = match DirBuilder::new().mode(DIRECTORY_MODE).create(&self.path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.path.is_dir() => {
                false
            }
            Err(error) => return Err(error),
        };
        if made {
            fs::set_permissions(&self.path, Permissions::from_mode(DIRECTORY_MODE))?;
            let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
            let made = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
            give_to_owner_of(parent_of(&self.path), &made)?;
        }
        // An existing directory may come from a call that died before this sync, so it is synced again.
        match sync_directory(parent_of(&self.path)) {
            // A parent that we may pass through but not read hides a directory that somebody else made.
            Err(error) if !made && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            result => result,
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.at(name)?;
        let file = options().read(true).write(true).create_new(true).open(&path)?;
        if let Err(error) = widen_mode(&file).and_then(|()| give_to_owner_of(&self.path, &file)) {
            // The name must be free again for the next try; the first error is the one that counts.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(RealFile::shared(file))
    }

    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn File>> {
        Ok(RealFile::shared(self.open_checked(name, writable)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from)?, self.at(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name)?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }

    fn lock(&self) -> Result<Box<dyn Lock>, LockError> {
        Ok(Box::new(self.take_lock()?))
    }

    fn peek_done(&self) -> io::Result<Option<u64>> {
        let file = match self.open_checked(LOCK_NAME, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut word = [0; 8];
        // A shorter file is one whose first owner has not come further than creating it.
        let whole = read_full_at(&file, &mut word, DONE_AT as u64)? == word.len();
        Ok(whole.then(|| u64::from_le_bytes(word)))
    }

    fn identity(&self) -> io::Result<Option<Vec<u8>>> {
        let file = self.open_checked(LOCK_NAME, false)?;
        let Some(system) = file_system(&file)? else { return Ok(None) };
        let facts = file.metadata()?;
        // A file system that does not note the birth cannot tell a copy that got the same inode.
        let Ok(born) = facts.created() else { return Ok(None) };
        let born = born.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut identity = system.to_vec();
        identity.extend_from_slice(&facts.ino().to_le_bytes());
        identity.extend_from_slice(&u64::try_from(born).unwrap_or(u64::MAX).to_le_bytes());
        Ok(Some(identity))
    }

    fn now_ms(&self) -> u64 {
        // A clock set before 1970 is as good as one that stands at its beginning.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn tick_ms(&self) -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer leads to a `timespec` that may be written to.
        if unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) } != 0 {
            return self.now_ms();
        }
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            let rest = &mut bytes[filled..];
            // SAFETY: `rest` is writable for its whole length.
            let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
            match usize::try_from(got) {
                Ok(count) => filled += count,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}

struct RealFile {
    file: fs::File,
    mapping: OnceLock<Arc<Mapping>>,
}

impl RealFile {
    fn shared(file: fs::File) -> Arc<RealFile> {
        Arc::new(RealFile { file, mapping: OnceLock::new() })
    }
}

impl File for RealFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        read_full_at(&self.file, bytes, offset)
    }

    fn read_into(&self, bytes: &mut Vec<u8>, most: usize, offset: u64) -> io::Result<()> {
        read_into(&self.file, bytes, most, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_all_at(&self.file, bytes, offset)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        allocate(&self.file, length)
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        let old = self.len()?;
        if length <= old {
            return Ok(());
        }
        // Without reserving it gets its blocks from zeros.
        let result = reserve(&self.file, old, length - old);
        result.and_then(|()| if self.len()? < length { self.allocate(length) } else { Ok(()) })
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write_back(&self, from: u64, to: u64) -> io::Result<()> {
        write_back(&self.file, from, to.saturating_sub(from))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn map(&self, length: u64) -> io::Result<bool> {
        if self.mapping.get().is_some() {
            return Ok(true);
        }
        if !MAPPABLE.contains(&kind_of(&facts_of(&self.file)?)) || self.len()? < length {
            return Ok(false);
        }
        let mapping = Arc::new(Mapping::of(&self.file, length)?);
        // Who loses this race has mapped it as well.
        let _ = self.mapping.set(mapping);
        Ok(true)
    }

    fn populate(&self, from: u64, to: u64) -> io::Result<()> {
        let mapping = self.mapping.get().ok_or(io::ErrorKind::Unsupported)?;
        mapping.populate(from, to)
    }

    fn retire(&self, to: u64) {
        if let Some(mapping) = self.mapping.get() {
            mapping.retire(to);
        }
    }

    fn window(&self) -> Option<Box<dyn Window>> {
        Mapping::window(self.mapping.get()?)
    }
}

/// The lock is the open file description behind `file`; it is given back by `release`, by its owner alone, or
/// when the last copy of the descriptor is closed.
struct RealLock {
    page: MmapRaw,
    file: fs::File,
    released: AtomicBool,
}

impl RealLock {
    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at == ATTEMPTED_AT || at == DONE_AT);
        // SAFETY: the mapping is page-aligned, `at` is a multiple of 8 inside it, it lives as long as `self`,
        // and within this process the two words are only ever touched through these atomics.
        unsafe { AtomicU64::from_ptr(self.page.as_mut_ptr().add(at).cast()) }
    }
}

impl Lock for RealLock {
    fn attempted(&self) -> u64 {
        u64::from_le(self.word(ATTEMPTED_AT).load(Ordering::Acquire))
    }

    fn done(&self) -> u64 {
        u64::from_le(self.word(DONE_AT).load(Ordering::Acquire))
    }

    fn set_attempted(&self, offset: u64) {
        self.word(ATTEMPTED_AT).store(offset.to_le(), Ordering::Release);
    }

    fn set_done(&self, offset: u64) {
        self.word(DONE_AT).store(offset.to_le(), Ordering::Release);
    }

    fn release(&self) {
        if !self.released.swap(true, Ordering::SeqCst) {
            // A lock that cannot be given back now is given back with the descriptor.
            let _ = self.file.unlock();
        }
    }
}

/// Options every file is opened with.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE).custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW);
    options
}

/// Gives a new file the mode that the umask took a part of.
fn widen_mode(file: &fs::File) -> io::Result<()> {
    if file.metadata()?.mode() & FILE_MODE == FILE_MODE {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(FILE_MODE))
}

/// Gives what the superuser made in somebody else's directory to the owner of that directory, who must be able
/// to open it.
fn give_to_owner_of(directory: &Path, file: &fs::File) -> io::Result<()> {
    if user() != 0 {
        return Ok(());
    }
    let (owner, own) = (fs::metadata(directory)?, file.metadata()?);
    if (owner.uid(), owner.gid()) == (own.uid(), own.gid()) || owner.uid() == 0 {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

fn refused(path: &Path, why: &str) -> io::Error {
    let text = format!("{} {why}", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

/// Whether files of `uid` are ours to write: our own, or anybody's for the superuser.
fn is_ours(uid: u32) -> bool {
    let own = user();
    own == 0 || own == uid
}

/// Who we are, for the kernel.
fn user() -> u32 {
    // SAFETY: `geteuid` has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// Refuses what somebody else could have put in our way; asked of the descriptor, not of the name.
fn check_file(file: &fs::File, path: &Path) -> io::Result<()> {
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(refused(path, "is not a regular file"));
    }
    if facts.nlink() != 1 {
        return Err(refused(path, &format!("has {} hard links instead of 1", facts.nlink())));
    }
    if !is_ours(facts.uid()) {
        return Err(refused(path, &format!("belongs to user {}", facts.uid())));
    }
    Ok(())
}

/// Refuses to write where every user may replace our files.
fn check_directory(path: &Path) -> io::Result<()> {
    let facts = fs::metadata(path)?;
    if !is_ours(facts.uid()) {
        return Err(refused(path, &format!("belongs to user {}", facts.uid())));
    }
    if facts.mode() & 0o1002 == 0o002 {
        return Err(refused(path, "may be written by every user"));
    }
    Ok(())
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn read_full_at(file: &fs::File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn read_into(file: &fs::File, bytes: &mut Vec<u8>, most: usize, offset: u64) -> io::Result<()> {
    bytes.clear();
    bytes.reserve(most);
    while bytes.len() < most {
        let at = libc::off_t::try_from(offset + bytes.len() as u64)
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        let wanted = most - bytes.len();
        let room = &mut bytes.spare_capacity_mut()[..wanted];
        // SAFETY: `room` is memory of ours, as long as is said, and may hold anything.
        let count =
            unsafe { libc::pread(file.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), at) };
        match usize::try_from(count) {
            Ok(0) => break,
            // SAFETY: the call has filled the next `count` bytes, which are inside the capacity.
            Ok(count) => unsafe { bytes.set_len(bytes.len() + count) },
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

fn write_all_at(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Extends the file to `length` with blocks that exist and were written, so that neither a full disk nor a
/// change of extents meets a later write.
fn allocate(file: &fs::File, length: u64) -> io::Result<()> {
    let old = file.metadata()?.len();
    if length <= old {
        return Ok(());
    }
    let result = reserve(file, old, length - old).and_then(|()| write_zeros(file, old, length));
    if result.is_err() {
        // What was reserved before the disk was full would only keep it full.
        let _ = file.set_len(old);
    }
    result
}

fn reserve(file: &fs::File, offset: u64, length: u64) -> io::Result<()> {
    let too_far = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let offset = libc::off_t::try_from(offset).map_err(too_far)?;
    let length = libc::off_t::try_from(length).map_err(too_far)?;
    loop {
        // SAFETY: the call takes numbers only, and the descriptor is open for as long as `file` lives.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, length) } {
            // A file system that cannot reserve gets its blocks from the zeros.
            0 | libc::EOPNOTSUPP => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

fn write_back(file: &fs::File, offset: u64, length: u64) -> io::Result<()> {
    let too_far = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let offset = libc::off64_t::try_from(offset).map_err(too_far)?;
    let length = libc::off64_t::try_from(length).map_err(too_far)?;
    let whole = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the call takes numbers only, and the descriptor is open for as long as `file` lives.
    if unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, whole) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // The sync does all of it where this cannot be asked for.
        Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE | libc::EINTR) => Ok(()),
        _ => Err(error),
    }
}

fn write_zeros(file: &fs::File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_STEP.min(usize::try_from(to - from).unwrap_or(ZERO_STEP))];
    let mut at = from;
    while at < to {
        let step = (to - at).min(zeros.len() as u64);
        write_all_at(file, &zeros[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

/// Who we are, as the lock file says it.
fn owner_bytes() -> [u8; OWNER_SIZE] {
    let mut bytes = [0; OWNER_SIZE];
    bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
    let mut host = [0_u8; OWNER_SIZE - HOST_AT];
    // SAFETY: `host` is writable for its whole length.
    if unsafe { libc::gethostname(host.as_mut_ptr().cast(), host.len()) } == 0 {
        let length = host.iter().position(|&byte| byte == 0).unwrap_or(host.len());
        bytes[HOST_AT - 1] = u8::try_from(length).unwrap_or(0);
        bytes[HOST_AT..HOST_AT + length].copy_from_slice(&host[..length]);
    }
    bytes
}

/// Who has the lock, as far as the lock file tells: it may be just being written.
fn owner_of(file: &fs::File) -> LockError {
    let mut bytes = [0; OWNER_SIZE];
    if !matches!(read_full_at(file, &mut bytes, OWNER_AT), Ok(OWNER_SIZE)) {
        return LockError::Held { pid: 0, host: String::new() };
    }
    let pid = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let host = bytes.get(HOST_AT..HOST_AT + usize::from(bytes[HOST_AT - 1])).unwrap_or_default();
    LockError::Held { pid, host: String::from_utf8(host.to_vec()).unwrap_or_default() }
}

/// File systems whose ids or inodes are not stable: NFS, SMB, CIFS, overlay, FUSE, 9P, Ceph, AFS.
const UNSTABLE: [u32; 9] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x794c_7630,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
];

/// File systems that write a page where they wrote it before, in the page cache of this machine alone: ext2 to
/// ext4, XFS, tmpfs. Everywhere else files are written to, and not mapped.
const MAPPABLE: [u32; 3] = [0xef53, 0x5846_5342, 0x0102_1994];

fn facts_of(file: &fs::File) -> io::Result<libc::statfs> {
    let mut facts = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open, and the pointer leads to room for one `statfs`.
    if unsafe { libc::fstatfs(file.as_raw_fd(), facts.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zero is a `statfs`, and the call that may have written to it succeeded.
    Ok(unsafe { facts.assume_init() })
}

/// The number that stands for a file system.
fn kind_of(facts: &libc::statfs) -> u32 {
    facts.f_type as u32
}

/// The id of the file system a file lives on; `None` where it is not stable.
fn file_system(file: &fs::File) -> io::Result<Option<[u8; 8]>> {
    let facts = facts_of(file)?;
    if UNSTABLE.contains(&kind_of(&facts)) {
        return Ok(None);
    }
    let mut id = [0; 8];
    // SAFETY: an `fsid_t` is two C integers, eight bytes without padding; both sides are readable and writable.
    unsafe {
        std::ptr::copy_nonoverlapping((&raw const facts.f_fsid).cast::<u8>(), id.as_mut_ptr(), 8)
    };
    Ok(Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, RealDisk) {
        let parent = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(parent.path().join("store"));
        disk.create_dir().unwrap();
        (parent, disk)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn refused_kind(result: io::Result<Arc<dyn File>>) -> io::ErrorKind {
        result.err().map(|error| error.kind()).unwrap()
    }

    #[test]
    fn a_missing_directory_is_not_found_and_creating_it_twice_is_fine() {
        let parent = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(parent.path().join("store"));
        assert_eq!(disk.list().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.peek_done().unwrap(), None);
        disk.create_dir().unwrap();
        disk.create_dir().unwrap();
        assert!(disk.list().unwrap().is_empty());
        assert_eq!(disk.describe(), parent.path().join("store").display().to_string());
        let nested = RealDisk::new(parent.path().join("missing").join("store"));
        assert_eq!(nested.create_dir().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn directory_and_files_are_for_their_owner_only() {
        let (_parent, disk) = fresh();
        disk.create("a").unwrap();
        drop(disk.lock().unwrap());
        assert_eq!(mode(&disk.path), 0o700);
        assert_eq!(mode(&disk.path.join("a")), 0o600);
        assert_eq!(mode(&disk.path.join(LOCK_NAME)), 0o600);
    }

    #[test]
    fn a_mode_narrowed_by_the_umask_is_widened_again() {
        let (_parent, disk) = fresh();
        disk.create("a").unwrap();
        let file = disk.open_checked("a", true).unwrap();
        file.set_permissions(Permissions::from_mode(0o400)).unwrap();
        widen_mode(&file).unwrap();
        assert_eq!(mode(&disk.path.join("a")), 0o600);
    }

    #[test]
    fn names_are_created_once_renamed_and_removed() {
        let (_parent, disk) = fresh();
        disk.create("a").unwrap().write_at(b"hello", 0).unwrap();
        assert_eq!(refused_kind(disk.create("a")), io::ErrorKind::AlreadyExists);
        disk.rename("a", "b").unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(disk.list().unwrap(), ["b"]);
        assert_eq!(refused_kind(disk.open("a", false)), io::ErrorKind::NotFound);
        disk.remove("b").unwrap();
        assert!(disk.list().unwrap().is_empty());
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let (_parent, disk) = fresh();
        for name in ["", ".", "..", "../a", "a/b", "a\0b"] {
            assert_eq!(refused_kind(disk.create(name)), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn links_and_directories_are_refused() {
        let (_parent, disk) = fresh();
        disk.create("a").unwrap();
        std::os::unix::fs::symlink(disk.path.join("a"), disk.path.join("soft")).unwrap();
        let soft = disk.open("soft", false).err().unwrap();
        assert_eq!(soft.raw_os_error(), Some(libc::ELOOP));
        fs::create_dir(disk.path.join("dir")).unwrap();
        assert_eq!(refused_kind(disk.open("dir", false)), io::ErrorKind::PermissionDenied);
        fs::hard_link(disk.path.join("a"), disk.path.join("hard")).unwrap();
        let hard = disk.open("a", true).err().unwrap();
        assert_eq!(hard.kind(), io::ErrorKind::PermissionDenied);
        assert!(hard.to_string().ends_with("/a has 2 hard links instead of 1"), "{hard}");
    }

    #[test]
    fn a_directory_that_everybody_may_write_is_not_locked() {
        let (_parent, disk) = fresh();
        fs::set_permissions(&disk.path, Permissions::from_mode(0o777)).unwrap();
        let Err(LockError::Io(error)) = disk.lock() else { panic!("locked") };
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn reading_past_the_end_is_short() {
        let (_parent, disk) = fresh();
        let file = disk.create("a").unwrap();
        file.write_at(b"hello", 0).unwrap();
        file.sync().unwrap();
        let mut bytes = [7; 8];
        assert_eq!(file.read_at(&mut bytes, 2).unwrap(), 3);
        assert_eq!(&bytes, b"llo\x07\x07\x07\x07\x07");
        assert_eq!(file.read_at(&mut bytes, 5).unwrap(), 0);
        assert_eq!(file.len().unwrap(), 5);
    }

    #[test]
    fn allocated_bytes_exist_are_zero_and_leave_the_old_ones_alone() {
        let (_parent, disk) = fresh();
        let file = disk.create("a").unwrap();
        file.write_at(b"hello", 0).unwrap();
        let length = ZERO_STEP as u64 * 2 + 77;
        file.allocate(length).unwrap();
        file.allocate(10).unwrap();
        assert_eq!(file.len().unwrap(), length);
        let facts = fs::metadata(disk.path.join("a")).unwrap();
        assert!(facts.blocks() * 512 >= length, "{} blocks", facts.blocks());
        let mut bytes = vec![1; length as usize];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
        assert_eq!(&bytes[..5], b"hello");
        assert!(bytes[5..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_file_opened_for_reading_refuses_a_write() {
        let (_parent, disk) = fresh();
        disk.create("a").unwrap();
        let error = disk.open("a", false).unwrap().write_at(b"x", 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn a_second_lock_is_refused_and_names_this_process() {
        let (_parent, disk) = fresh();
        let held = disk.lock().unwrap();
        let Err(LockError::Held { pid, host }) = disk.lock() else { panic!("locked twice") };
        assert_eq!(pid, std::process::id());
        assert!(!host.is_empty());
        drop(held);
        disk.lock().unwrap();
    }

    #[test]
    fn the_words_survive_the_lock_and_can_be_peeked_at() {
        let (_parent, disk) = fresh();
        assert_eq!(disk.peek_done().unwrap(), None);
        let lock = disk.lock().unwrap();
        assert_eq!((lock.attempted(), lock.done()), (0, 0));
        lock.set_attempted(0x0102_0304_0506_0708);
        lock.set_done(77);
        assert_eq!(disk.peek_done().unwrap(), Some(77));
        drop(lock);
        let lock = disk.lock().unwrap();
        assert_eq!((lock.attempted(), lock.done()), (0x0102_0304_0506_0708, 77));
        let bytes = fs::read(disk.path.join(LOCK_NAME)).unwrap();
        assert_eq!(bytes.len(), 4096);
        assert_eq!(bytes[..9], [8, 7, 6, 5, 4, 3, 2, 1, 77]);
    }

    #[test]
    fn a_dropped_copy_of_the_descriptor_leaves_the_lock_held() {
        let (_parent, disk) = fresh();
        let lock = disk.take_lock().unwrap();
        // What a forked child has is the same as this: a second descriptor of one description.
        let file = lock.file.try_clone().unwrap();
        let page = MmapOptions::new().len(LOCK_SIZE as usize).map_raw(&file).unwrap();
        drop(RealLock { page, file, released: AtomicBool::new(false) });
        assert!(matches!(disk.lock(), Err(LockError::Held { .. })));
        drop(lock);
        disk.lock().unwrap();
    }

    #[test]
    fn random_bytes_differ_and_the_clock_is_past_2020() {
        let (_parent, disk) = fresh();
        let (mut one, mut two) = ([0; 500], [0; 500]);
        disk.random(&mut one).unwrap();
        disk.random(&mut two).unwrap();
        assert_ne!(one, two);
        assert!(disk.now_ms() > 1_577_836_800_000);
    }
}
