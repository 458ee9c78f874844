//! File systems that can lose their power, or the memory they are in: an ext4 in a file on a loop device.

use super::Random;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `EXT4_IOC_SHUTDOWN`, and: without writing the journal of the file system out.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
const NO_LOG_FLUSH: u32 = 2;
/// `FIBMAP`: which block of the device holds a block of a file.
const FIBMAP: libc::c_ulong = 1;
/// A block of the file system and a page of memory.
const BLOCK: u64 = 4096;

fn tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program}: {}", said.trim()))
}

/// A file system that can lose its power.
pub struct Disk {
    folder: tempfile::TempDir,
    /// Where the image is: on memory of a bounded size, if it is thin.
    below: PathBuf,
}

impl Disk {
    fn path(&self, name: &str) -> String {
        let folder = if name == "image" { &self.below } else { self.folder.path() };
        folder.join(name).to_str().unwrap().to_string()
    }

    /// An empty one, mounted; or why there is none on this machine.
    pub fn new() -> Result<Disk, String> {
        Disk::of(64 << 20, None)
    }

    /// One on a device that has promised more than it has: `bytes` of memory for everything.
    pub fn thin(bytes: u64) -> Result<Disk, String> {
        Disk::of(16 << 20, Some(bytes))
    }

    fn of(length: u64, memory_bytes: Option<u64>) -> Result<Disk, String> {
        // SAFETY: takes no pointer; it concerns this thread alone, and the children it starts.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(format!("no mounts of one's own: {}", std::io::Error::last_os_error()));
        }
        tool("mount", &["--make-rprivate", "/"])?;
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        let below = folder.path().join("below");
        std::fs::create_dir(&below).unwrap();
        let disk = Disk { folder, below };
        if let Some(bytes) = memory_bytes {
            let size = format!("size={bytes}");
            tool("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &disk.path("below")])?;
        }
        let image = std::fs::File::create(disk.path("image")).unwrap();
        image.set_len(length).unwrap();
        std::fs::create_dir(disk.path("mounted")).unwrap();
        // A block of the size of a page, so that memory can be taken away from a single one.
        let block = if memory_bytes.is_some() { "4096" } else { "1024" };
        tool("mkfs.ext4", &["-q", "-F", "-b", block, &disk.path("image")])?;
        if memory_bytes.is_some() {
            // What the file system keeps for itself is there: only what the store writes will be missing.
            // SAFETY: the call takes numbers only, and the descriptor is open.
            let done = unsafe { libc::posix_fallocate(image.as_raw_fd(), 0, length as i64) };
            assert_eq!(done, 0, "{}", std::io::Error::from_raw_os_error(done));
        }
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        tool("mount", &["-o", "loop", &self.path("image"), &self.path("mounted")])
    }

    pub fn store(&self) -> PathBuf {
        Path::new(&self.path("mounted")).join("store")
    }

    /// Writes some ranges of some files out early, so that what is lost is not only the end.
    pub fn write_some_early(&self, random: &mut Random) {
        for entry in std::fs::read_dir(self.store()).into_iter().flatten().flatten() {
            if random.below(2) == 0 {
                continue;
            }
            let Ok(file) = std::fs::File::open(entry.path()) else { continue };
            let (at, length) = (random.below(64) * 4096, (1 + random.below(4)) * 4096);
            let how = libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
            // SAFETY: the descriptor is open, and nothing else is pointed to.
            unsafe { libc::sync_file_range(file.as_raw_fd(), at as i64, length as i64, how) };
        }
    }

    /// The power goes.
    pub fn cut(&self) {
        let root = std::fs::File::open(self.path("mounted")).unwrap();
        let how = NO_LOG_FLUSH;
        // SAFETY: the request reads one word.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const how) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// Takes the memory away from all blocks of the store that hold zeros. The file system does not know. The writer
    /// must stand still meanwhile.
    pub fn thin_out(&self) {
        let image = std::fs::OpenOptions::new().write(true).open(self.path("image")).unwrap();
        for entry in std::fs::read_dir(self.store()).unwrap() {
            let file = std::fs::File::open(entry.unwrap().path()).unwrap();
            let blocks = file.metadata().unwrap().len() / BLOCK;
            for block in 0..blocks {
                let mut bytes = [1; BLOCK as usize];
                file.read_exact_at(&mut bytes, block * BLOCK).unwrap();
                let mut place = i32::try_from(block).unwrap();
                // SAFETY: the request reads and writes one int.
                let done = unsafe { libc::ioctl(file.as_raw_fd(), FIBMAP, &raw mut place) };
                assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
                if place > 0 && bytes.iter().all(|byte| *byte == 0) {
                    let at = i64::from(place) * BLOCK as i64;
                    let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                    // SAFETY: the call takes numbers only, and the descriptor is open.
                    let done = unsafe { libc::fallocate(image.as_raw_fd(), how, at, BLOCK as i64) };
                    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
                }
            }
        }
    }

    /// Lets somebody else have all the memory there is: the next sync of a block without any fails.
    pub fn exhaust(&self) {
        let how = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast());
        let mut ballast = how.unwrap();
        while ballast.write_all(&[1; BLOCK as usize]).is_ok() {}
    }

    /// Gives the memory back.
    pub fn relieve(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.below.join("ballast")
    }

    /// And comes back.
    pub fn restart(&self) {
        // A child that another test starts has a copy of what is open until it runs its program.
        let since = std::time::Instant::now();
        while let Err(error) = tool("umount", &[&self.path("mounted")]) {
            assert!(error.contains("busy") && since.elapsed().as_secs() < 30, "{error}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = tool("umount", &["-l", &self.path("mounted")]);
        let _ = tool("umount", &["-l", &self.path("below")]);
    }
}
