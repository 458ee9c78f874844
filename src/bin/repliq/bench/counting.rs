//! The real disk with a count of what is asked of it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use repliq::disk::{Disk, File, Lock, LockError, RealDisk, Window};

/// A directory whose syncs are counted.
pub struct CountingDisk {
    disk: RealDisk,
    syncs: Arc<AtomicU64>,
}

impl CountingDisk {
    /// The directory, and where to read the number of syncs.
    pub fn open(path: &Path) -> (Arc<CountingDisk>, Arc<AtomicU64>) {
        let syncs = Arc::new(AtomicU64::new(0));
        (Arc::new(CountingDisk { disk: RealDisk::new(path), syncs: syncs.clone() }), syncs)
    }

    fn counted(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(CountingFile { file, syncs: self.syncs.clone() })
    }
}

impl Disk for CountingDisk {
    fn describe(&self) -> String {
        self.disk.describe()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create_dir(&self) -> io::Result<()> {
        self.disk.create_dir()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.counted(self.disk.create(name)?))
    }
    fn open(&self, name: &str, writable: bool) -> io::Result<Arc<dyn File>> {
        Ok(self.counted(self.disk.open(name, writable)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.disk.sync_dir()
    }
    fn lock(&self) -> Result<Box<dyn Lock>, LockError> {
        self.disk.lock()
    }
    fn peek_done(&self) -> io::Result<Option<u64>> {
        self.disk.peek_done()
    }
    fn identity(&self) -> io::Result<Option<Vec<u8>>> {
        self.disk.identity()
    }
    fn now_ms(&self) -> u64 {
        self.disk.now_ms()
    }
    fn tick_ms(&self) -> u64 {
        self.disk.tick_ms()
    }
    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.disk.random(bytes)
    }
}

struct CountingFile {
    file: Arc<dyn File>,
    syncs: Arc<AtomicU64>,
}

impl File for CountingFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }
    fn read_into(&self, bytes: &mut Vec<u8>, most: usize, offset: u64) -> io::Result<()> {
        self.file.read_into(bytes, most, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.file.reserve(length)
    }
    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }
    fn write_back(&self, from: u64, to: u64) -> io::Result<()> {
        self.file.write_back(from, to)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn map(&self, length: u64) -> io::Result<bool> {
        self.file.map(length)
    }
    fn populate(&self, from: u64, to: u64) -> io::Result<()> {
        self.file.populate(from, to)
    }
    fn retire(&self, to: u64) {
        self.file.retire(to);
    }
    fn window(&self) -> Option<Box<dyn Window>> {
        self.file.window()
    }
}
