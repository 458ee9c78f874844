//! Copies of a store in a directory that is no store, and stores made of them.
//!
//! ```text
//! backup                   the manifest: one line "repliq backup 1 <CRC-32 of the rest, 8 hex digits>", then JSON
//! <name>-<serial>-<n>.copy a file of the store, as many bytes of it as count
//! ```
//!
//! A backup is what its manifest names; everything else in the directory is of no meaning. A new backup writes
//! its files under names of their own, syncs them and their names, and only then puts its manifest in the place
//! of the last one; what nobody names any more is removed after that. So at any time there is one whole backup.
//! A segment that was sealed does not change: the next backup names the copy that is there. A manifest can lead
//! to no file outside the two directories, whoever wrote it.
//!
//! A restore writes the files into an empty directory beside a file `restoring`, opens what is there as a store,
//! begins a new epoch in it, and removes that file. A directory that holds one is not opened; the next restore
//! into it begins anew.

use super::Core;
use super::open::Options;
use super::repair::REPAIRING;
use crate::disk::{self, Disk, File, Lock};
use crate::error::{Code, Error, Result};
use crate::journal::{KEY_NAME, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The name of the manifest.
const MANIFEST: &str = "backup";
const UNFINISHED: &str = "backup.tmp";
const COPY: &str = ".copy";
pub const LOCK: &str = "lock";
/// The name of the file that says a restore has not come to its end.
const RESTORING: &str = "restoring";
const TITLE: &str = "repliq backup 1 ";
/// Bytes copied at a time.
const STEP: usize = 256 << 10;
/// How often a backup beside a writer begins anew when a segment was used again while it was copied.
const LOOKS: usize = 100;

/// What a backup or a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupInfo {
    /// Epoch of the last transaction in it.
    pub epoch: u32,
    /// Sequence of the last transaction in it.
    pub sequence: u64,
    /// Files it consists of.
    pub files: u64,
    /// Files that were copied; the others were there already.
    pub files_copied: u64,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Bytes that were copied.
    pub bytes_copied: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifest {
    serial: u64,
    store: String,
    group: String,
    encrypted: bool,
    made_ms: u64,
    epoch: u32,
    sequence: u64,
    offset: u64,
    files: Vec<Row>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    name: String,
    copy: String,
    length: u64,
    bytes: u64,
    sum: u32,
    seal: u64,
}

impl Row {
    /// Whether its names are those of files of a store and of a backup.
    fn is_plain(&self) -> bool {
        let plain = |name: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
            name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
                && name.bytes().all(letter)
        };
        let ours = [LOCK, RESTORING, MANIFEST, UNFINISHED].contains(&self.name.as_str());
        plain(&self.name) && !ours && plain(&self.copy) && self.copy.ends_with(COPY)
    }
}

impl Manifest {
    fn read(disk: &dyn Disk) -> Result<Option<Manifest>> {
        let what = || format!("cannot read the backup {}", disk.describe());
        let failed = |error| Error::io(what(), &error);
        let file = match disk.open(MANIFEST, false) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = vec![0; usize::try_from(file.len().map_err(failed)?).unwrap_or(0)];
        let read = file.read_at(&mut bytes, 0).map_err(failed)?;
        bytes.truncate(read);
        let damaged = || Error::new(Code::Corrupt, format!("{}: its manifest is damaged", what()));
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
        let (title, json) = text.split_once('\n').ok_or_else(damaged)?;
        let Some(sum) = title.strip_prefix(TITLE) else {
            let newer = title.starts_with(TITLE.trim_end_matches("1 "));
            let text = format!("{}: it has a format of a newer version", what());
            return Err(if newer { Error::new(Code::Version, text) } else { damaged() });
        };
        if u32::from_str_radix(sum, 16).ok() != Some(crc32fast::hash(json.as_bytes())) {
            return Err(damaged());
        }
        let manifest: Manifest = serde_json::from_str(json).map_err(|_| damaged())?;
        match manifest.files.iter().find(|row| !row.is_plain()) {
            Some(row) => {
                let text = format!(
                    "{}: it names {:?} for {:?}, which no backup does",
                    what(),
                    row.copy,
                    row.name
                );
                Err(Error::new(Code::Corrupt, text))
            }
            None => Ok(Some(manifest)),
        }
    }

    /// Puts this manifest in the place of the last one, durably.
    fn write(&self, disk: &dyn Disk) -> Result<()> {
        let failed =
            |error| Error::io(format!("cannot write {MANIFEST} in {}", disk.describe()), &error);
        let json = serde_json::to_string_pretty(self).map_err(|error| {
            Error::new(Code::Panic, format!("cannot write a manifest: {error}"))
        })?;
        let text = format!("{TITLE}{:08x}\n{json}", crc32fast::hash(json.as_bytes()));
        disk::replace(disk, UNFINISHED, MANIFEST, text.as_bytes()).map_err(failed)
    }

    fn info(&self, copied: &[Row]) -> BackupInfo {
        BackupInfo {
            epoch: self.epoch,
            sequence: self.sequence,
            files: self.files.len() as u64,
            files_copied: copied.len() as u64,
            bytes: self.files.iter().map(|row| row.bytes).sum(),
            bytes_copied: copied.iter().map(|row| row.bytes).sum(),
        }
    }
}

/// The directory a backup goes to, while one is made.
struct Place<'a> {
    disk: &'a dyn Disk,
    old: Option<Manifest>,
    serial: u64,
    /// What was copied so far.
    copied: Vec<Row>,
    _lock: Box<dyn Lock>,
}

impl<'a> Place<'a> {
    /// Takes the directory, which holds a backup of this store or nothing, and clears what an interrupted
    /// backup left.
    fn take(disk: &'a dyn Disk, store: &str) -> Result<Place<'a>> {
        let dest = disk.describe();
        let failed = |error| Error::io(format!("cannot make the backup {dest}"), &error);
        disk.create_dir().map_err(failed)?;
        let names = disk.list().map_err(failed)?;
        let ours = |name: &String| {
            [MANIFEST, UNFINISHED, LOCK].contains(&name.as_str()) || name.ends_with(COPY)
        };
        if let Some(other) = names.iter().find(|name| !ours(name)) {
            let text = format!("cannot back up to {dest}: it holds {other:?}, which is no backup");
            return Err(Error::new(Code::NotAStore, text));
        }
        let lock = disk.lock().map_err(|error| error.told(&dest, "is in use"))?;
        let old = Manifest::read(disk)?;
        if let Some(other) = old.as_ref().filter(|old| old.store != store) {
            let text =
                format!("cannot back up to {dest}: it holds a backup of store {}", other.store);
            return Err(Error::new(Code::Exists, text));
        }
        let serial = old.as_ref().map_or(0, |old| old.serial) + 1;
        let place = Place { disk, old, serial, copied: Vec::new(), _lock: lock };
        place.clear(place.old.as_ref())?;
        Ok(place)
    }

    /// Removes every file that the manifest does not name.
    fn clear(&self, manifest: Option<&Manifest>) -> Result<()> {
        let failed = |error| Error::io(format!("cannot clear {}", self.disk.describe()), &error);
        let rows = manifest.iter().flat_map(|manifest| &manifest.files);
        let named: BTreeSet<&str> = rows.map(|row| row.copy.as_str()).collect();
        for name in self.disk.list().map_err(failed)? {
            let copy = name.ends_with(COPY) && !named.contains(name.as_str());
            if copy || name == UNFINISHED {
                self.disk.remove(&name).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// A copy that is there already and is the same.
    fn known(&self, source: &Source) -> Option<Row> {
        let old = self.old.iter().flat_map(|old| &old.files);
        let same = |row: &&Row| {
            row.name == source.name && row.seal == source.seal && row.bytes == source.bytes
        };
        let row = old.chain(&self.copied).filter(|_| source.seal != 0).find(same)?;
        let there = self.disk.open(&row.copy, false).and_then(|file| file.len());
        (there.ok()? == row.bytes).then(|| row.clone())
    }

    fn copy(&mut self, core: &Core, source: &Source) -> Result<Row> {
        let copy = format!("{}-{:08x}-{}{COPY}", source.name, self.serial, self.copied.len());
        let failed = |error| {
            let dest = self.disk.describe();
            Error::io(format!("cannot copy {} to {dest}", source.name), &error)
        };
        let file = self.disk.create(&copy).map_err(failed)?;
        let sum = transfer(&*source.file, &*file, &source.head, source.bytes).map_err(failed)?;
        file.sync().map_err(failed)?;
        core.journal.check_copy(source, &file)?;
        let Source { length, bytes, seal, .. } = *source;
        let row = Row { name: source.name.clone(), copy, length, bytes, sum, seal };
        self.copied.push(row.clone());
        Ok(row)
    }
}

/// Copies bytes, the first of which are given, and returns their sum. What is missing at the end is an error.
pub(super) fn transfer(
    from: &dyn File,
    to: &dyn File,
    head: &[u8],
    bytes: u64,
) -> std::io::Result<u32> {
    let mut sum = crc32fast::Hasher::new();
    let mut buffer = vec![0; STEP];
    let mut at = 0;
    while at < bytes {
        let length = usize::try_from(bytes - at).unwrap_or(STEP).min(STEP);
        let part = &mut buffer[..length];
        if from.read_at(part, at)? < length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if at == 0 {
            let known = head.len().min(length);
            part[..known].copy_from_slice(&head[..known]);
        }
        sum.update(part);
        to.write_at(part, at)?;
        at += length as u64;
    }
    Ok(sum.finalize())
}

impl Core {
    /// Backs the store up: everything that is committed when it begins, while others go on writing.
    ///
    /// A store that only looks is looked at anew, as often as the writer is faster.
    pub fn backup(&self, dest: &dyn Disk) -> Result<BackupInfo> {
        self.check_open()?;
        let mut place = Place::take(dest, &hex(&self.journal.store_id()))?;
        let Some(options) = &self.looks else { return self.backup_to(&mut place) };
        let mut turn = 0;
        loop {
            let looked = Core::open(self.journal.disk().clone(), options.clone());
            let done = looked.and_then(|opened| opened.core.backup_to(&mut place));
            turn += 1;
            match done {
                Err(error) if error.code() == Code::Busy && turn < LOOKS => {}
                done => return done,
            }
        }
    }

    fn backup_to(&self, place: &mut Place<'_>) -> Result<BackupInfo> {
        if let Some(damage) = self.damage.as_ref().filter(|damage| damage.code() == Code::Corrupt) {
            let what = format!("cannot back up {}", self.describe());
            return Err(Error::because(Code::Corrupt, what, damage));
        }
        let hold = self.journal.hold()?;
        let (mut sources, (offset, sequence)) =
            self.journal.sources().map_err(|error| self.busy(error))?;
        sources.extend(self.key_source()?);
        let mut files = Vec::new();
        for source in &sources {
            if let Some(row) = place.known(source) {
                files.push(row);
                continue;
            }
            let copied = place.copy(self, source);
            if self.journal.was_recycled(source) {
                return Err(self.overtaken());
            }
            files.push(copied?);
        }
        drop(hold);
        let dest = place.disk;
        dest.sync_dir()
            .map_err(|error| Error::io(format!("cannot sync {}", dest.describe()), &error))?;
        let manifest = Manifest {
            serial: place.serial,
            store: hex(&self.journal.store_id()),
            group: self.look(|state| state.group_id().to_string()),
            encrypted: self.is_encrypted(),
            made_ms: self.journal.disk().now_ms(),
            epoch: self.look(|state| state.token(sequence).position().epoch),
            sequence,
            offset,
            files,
        };
        manifest.write(dest)?;
        // The new backup is whole whatever becomes of what the one before left.
        let _ = place.clear(Some(&manifest));
        let named: BTreeSet<&str> = manifest.files.iter().map(|row| row.copy.as_str()).collect();
        place.copied.retain(|row| named.contains(row.copy.as_str()));
        Ok(manifest.info(&place.copied))
    }

    fn key_source(&self) -> Result<Option<Source>> {
        if !self.is_encrypted() {
            return Ok(None);
        }
        let failed =
            |error| Error::io(format!("cannot read {KEY_NAME} of {}", self.describe()), &error);
        let file = self.journal.disk().open(KEY_NAME, false).map_err(failed)?;
        let bytes = file.len().map_err(failed)?;
        Ok(Some(Source::whole(KEY_NAME, file, bytes)))
    }

    /// What went wrong beside a writer is tried again with another look.
    fn busy(&self, error: Error) -> Error {
        match self.journal.is_looking() && error.code() == Code::Io {
            true => self.overtaken(),
            false => error,
        }
    }

    fn overtaken(&self) -> Error {
        let text = format!("{} is written to faster than it can be copied", self.describe());
        Error::new(Code::Busy, text)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fails for a directory with these names that is a backup, or in which a restore or a repair was interrupted: it is
/// no store.
pub fn check_names(names: &[String], what: impl FnOnce() -> String) -> Result<()> {
    let holds = |name: &str| names.iter().any(|held| held == name);
    let text = match () {
        () if holds(RESTORING) => {
            format!("a restore into {} was interrupted: restore it again", what())
        }
        () if holds(REPAIRING) => {
            format!("a repair of {} was interrupted: repair it again", what())
        }
        () if holds(MANIFEST) => format!("{} is a backup, no store; restore it first", what()),
        () => return Ok(()),
    };
    Err(Error::new(Code::NotAStore, text))
}

/// Makes a store of a backup, in a directory that is empty or not there yet. The store begins a new epoch: what
/// was committed behind the backup is lost, and its tokens say so.
pub fn restore(backup: &dyn Disk, disk: Arc<dyn Disk>, options: &Options) -> Result<BackupInfo> {
    options.check()?;
    let Some(manifest) = Manifest::read(backup)? else {
        return Err(Error::new(Code::NotAStore, format!("{} is no backup", backup.describe())));
    };
    let store = disk.describe();
    let failed = |error| Error::io(format!("cannot restore {store}"), &error);
    disk.create_dir().map_err(failed)?;
    let names = disk.list().map_err(failed)?;
    let again = names.iter().any(|name| name == RESTORING);
    if let Some(other) = names.iter().find(|name| *name != LOCK && !again) {
        let text = format!("cannot restore into {store}: it is not empty, it holds {other:?}");
        return Err(Error::new(Code::Exists, text));
    }
    if names.iter().any(|name| name == LOCK) {
        // Its words are of an earlier life, and a power cut would bring them back.
        drop(disk.lock().map_err(|error| error.told(&store, "is in use"))?);
        disk.remove(LOCK).map_err(failed)?;
    }
    let lock = disk.lock().map_err(|error| error.told(&store, "is in use"))?;
    for name in names.iter().filter(|name| *name != LOCK && *name != RESTORING) {
        disk.remove(name).map_err(failed)?;
    }
    if !again {
        disk.create(RESTORING).and_then(|file| file.sync()).map_err(failed)?;
    }
    disk.sync_dir().map_err(failed)?;
    for row in &manifest.files {
        put_back(backup, &*disk, row)?;
    }
    disk.sync_dir().map_err(failed)?;
    drop(lock);
    let opened = Core::open_restored(disk.clone(), options)?;
    opened.core.close()?;
    disk.remove(RESTORING).and_then(|()| disk.sync_dir()).map_err(failed)?;
    Ok(manifest.info(&manifest.files))
}

fn put_back(backup: &dyn Disk, disk: &dyn Disk, row: &Row) -> Result<()> {
    let failed = |error: std::io::Error| {
        let what =
            format!("cannot restore {} from {} of {}", row.name, row.copy, backup.describe());
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof => {
                Error::new(Code::Corrupt, format!("{what}: it is missing or too short"))
            }
            _ => Error::io(what, &error),
        }
    };
    let from = backup.open(&row.copy, false).map_err(failed)?;
    let file = disk.create(&row.name).map_err(failed)?;
    file.allocate(row.length).map_err(failed)?;
    let sum = transfer(&*from, &*file, &[], row.bytes).map_err(failed)?;
    file.sync().map_err(failed)?;
    if sum == row.sum {
        return Ok(());
    }
    let text = format!("{} of the backup {} fails its checksum", row.copy, backup.describe());
    Err(Error::new(Code::Corrupt, text))
}
