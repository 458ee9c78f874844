//! Opening a store: creating it, replaying its journal, beginning a new epoch where positions may be lost.

use super::identity::begin_epoch;
use super::state::State;
use super::stream::{Keep, Live};
use super::{Committer, Core, Level};
use crate::disk::Disk;
use crate::error::{Code, Error, Result};
use crate::journal::{self, Adoption, Body, Journal, Recovered, Replayed, Rows, Type, Visitor};
use crate::secret::Password;
use crate::sync::{AtomicBool, Mutex};
use std::sync::Arc;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The password of an encrypted store; a store created with one is encrypted from its first byte on.
    pub password: Option<Password>,
    /// Creates the store when there is none.
    pub create: bool,
    /// Opens for reading only: locked by another process or damaged as it may be.
    pub read_only: bool,
    /// The level of commits that do not name one.
    pub level: Level,
    /// What survives of what others have seen.
    pub horizon: Level,
    /// Milliseconds for which data stays after its slowest stream acknowledged it.
    pub keep_ms: u64,
    /// Bytes up to which data stays after its slowest stream acknowledged it.
    pub keep_bytes: u64,
    /// Bytes of the first segment.
    pub segment_first: u64,
    /// Bytes of the largest class.
    pub segment_max: u64,
    /// Bytes of all segment files together, 0 = no bound but the disk.
    pub quota: u64,
    /// Whether a thread may work ahead.
    pub helper: bool,
}

/// Why a store that is opened may lack what it once confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Restored,
    Repaired,
}

/// An open store and what was found.
pub struct Opened {
    /// The store.
    pub core: Arc<Core>,
    /// What recovery found; `None` for a store just created.
    pub recovered: Option<Recovered>,
}

impl Visitor for State {
    fn row(&mut self, table: u32, row: &[u8]) -> Result<()> {
        self.thaw(table, row)
    }

    fn transaction(&mut self, transaction: &Replayed<'_>) -> Result<()> {
        for (head, body) in transaction.records {
            let body = &transaction.bytes[body.clone()];
            if head.kind == Type::Adopt {
                // The journal has taken it apart before.
                let adoption = Adoption::decode(body).unwrap_or_default();
                for share in &adoption.shares {
                    self.check_next(share.queue, share.first)?;
                }
                self.adopt(transaction.sequence, &adoption);
                continue;
            }
            if head.kind != Type::Message {
                self.apply(transaction.sequence, head.kind, head.queue, body)?;
                continue;
            }
            let Some(message) = Body::decode(body) else {
                let text =
                    format!("message {} of queue {} cannot be read", head.sequence, head.queue);
                return Err(Error::new(Code::Corrupt, text));
            };
            self.check_next(head.queue, head.sequence)?;
            let sequence = transaction.sequence;
            self.message(sequence, head.queue, head.sequence, body.len(), &message.front);
        }
        Ok(())
    }

    fn freeze(&mut self, rows: &mut Rows) {
        State::freeze(self, rows);
    }

    fn queues(&self) -> Vec<(u32, Vec<u8>)> {
        self.names_ever()
    }

    fn prepared(&self) -> Vec<Adoption> {
        if sabotage!("files of a prepared transaction removed at the open") {
            return Vec::new();
        }
        let waiting = self.prepared.waiting();
        waiting.filter_map(|(.., work)| work.body.clone()).collect()
    }
}

impl Options {
    fn journal(&self) -> journal::Options {
        let (segment_first, segment_max) = (self.segment_first, self.segment_max);
        let mapped = self.level == Level::Process;
        journal::Options {
            segment_first,
            segment_max,
            quota: self.quota,
            helper: self.helper,
            mapped,
            shows_early: self.horizon == Level::Process,
        }
    }

    fn keep(&self) -> Keep {
        Keep { ms: self.keep_ms, bytes: self.keep_bytes }
    }

    /// Fails when the sizes are no powers of two, or out of range, and when the password is none.
    pub fn check(&self) -> Result<()> {
        if let Some(password) = &self.password {
            password.check()?;
        }
        let (first, max) = (self.segment_first, self.segment_max);
        let least = crate::limits::SEGMENT_BYTES_MIN;
        let quota = first.saturating_mul(crate::limits::QUOTA_SEGMENTS);
        if self.quota > 0 && self.quota < quota {
            let text = format!(
                "a quota of {} bytes: it must be 0, for none, or {quota} at least, {} segments of {first}",
                self.quota,
                crate::limits::QUOTA_SEGMENTS
            );
            return Err(Error::new(Code::Invalid, text));
        }
        let sound = first.is_power_of_two() && max.is_power_of_two() && first >= least;
        if sound && first <= max && max <= crate::limits::SEGMENT_BYTES_MAX {
            return Ok(());
        }
        let text = format!(
            "segments of {first} to {max} bytes: both must be powers of two from {least} on"
        );
        Err(Error::new(Code::Invalid, text))
    }
}

impl Core {
    /// Opens the store on a disk.
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Opened> {
        options.check()?;
        let exists = exists(&*disk)?;
        if !exists && (options.read_only || !options.create) {
            let text = format!("there is no store at {}", disk.describe());
            return Err(Error::new(Code::NotAStore, text));
        }
        if options.read_only {
            return Core::open_to_read(disk, options);
        }
        Core::open_to_write(disk, &options, exists, None)
    }

    /// Opens a store whose files were just put there: it begins a new epoch, for what it had before is lost.
    pub(super) fn open_restored(disk: Arc<dyn Disk>, options: &Options) -> Result<Opened> {
        Core::open_to_write(disk, options, true, Some(Loss::Restored))
    }

    /// Opens a store whose damage was taken out of the way, and cuts off what is left of it.
    pub(super) fn open_repaired(disk: Arc<dyn Disk>, options: &Options) -> Result<Opened> {
        Core::open_to_write(disk, options, true, Some(Loss::Repaired))
    }

    fn open_to_write(
        disk: Arc<dyn Disk>,
        options: &Options,
        exists: bool,
        loss: Option<Loss>,
    ) -> Result<Opened> {
        let mut state = State::default();
        let password = options.password.as_ref();
        let accept = loss == Some(Loss::Repaired);
        let (journal, recovered) = if exists {
            let (journal, recovered) =
                Journal::open(disk, options.journal(), password, accept, &mut state)?;
            (journal, Some(recovered))
        } else {
            (Journal::create(disk, options.journal(), password)?, None)
        };
        let journal = Arc::new(journal);
        begin_epoch(&journal, &mut state, recovered.as_ref(), loss.is_some())?;
        let core = Arc::new(Core {
            journal,
            state: Mutex::new(state),
            damage: None,
            level: options.level,
            helped: options.helper,
            closed: AtomicBool::new(false),
            reclaiming: Mutex::default(),
            committer: Committer::default(),
            readers: Mutex::default(),
            keep: options.keep(),
            live: Live::default(),
            looks: None,
            sessions: super::OpenSessions::default(),
        });
        if core.helped {
            let weak = Arc::downgrade(&core);
            core.journal.employ(Arc::new(move || {
                if let Some(core) = weak.upgrade() {
                    // What could not be given back now is found again at the next roll.
                    let _ = core.reclaim();
                }
            }));
        }
        Ok(Opened { core, recovered })
    }

    fn open_to_read(disk: Arc<dyn Disk>, options: Options) -> Result<Opened> {
        let password = options.password.as_ref();
        let (journal, recovered, state) = Journal::look::<State>(&disk, password)?;
        let reason = match recovered.corrupt {
            Some((from, to)) => {
                let text = format!("its journal is damaged from offset {from} to {to}");
                Error::new(Code::Corrupt, text).over(from, to)
            }
            None => Error::new(Code::ReadOnly, "it was opened so"),
        };
        let core = Core {
            journal: Arc::new(journal),
            state: Mutex::new(state),
            damage: Some(reason),
            level: options.level,
            helped: false,
            closed: AtomicBool::new(false),
            reclaiming: Mutex::default(),
            committer: Committer::default(),
            readers: Mutex::default(),
            keep: options.keep(),
            live: Live::default(),
            looks: Some(options),
            sessions: super::OpenSessions::default(),
        };
        Ok(Opened { core: Arc::new(core), recovered: Some(recovered) })
    }
}

/// Whether there is a store: false when the directory is missing, empty, or holds nothing but what an
/// interrupted creation left. A directory with other things in it is not touched.
fn exists(disk: &dyn Disk) -> Result<bool> {
    let names = match disk.list() {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            let text = format!("{} is no directory and so no store", disk.describe());
            return Err(Error::new(Code::NotAStore, text));
        }
        Err(error) => {
            return Err(Error::io(format!("cannot list {}", disk.describe()), &error));
        }
    };
    super::backup::check_names(&names, || disk.describe())?;
    let begun =
        |name: &String| [".seg", ".run", ".base", ".cut"].iter().any(|end| name.ends_with(end));
    if names.iter().any(begun) {
        return Ok(true);
    }
    let left = |name: &String| {
        name == "lock"
            || [".new", ".tmp"].iter().any(|end| name.ends_with(end))
            || (name == journal::KEY_NAME && journal::is_key_file(disk))
    };
    if let Some(foreign) = names.iter().find(|name| !left(name)) {
        let text = format!("{} is not a store: it holds {foreign:?}", disk.describe());
        return Err(Error::new(Code::NotAStore, text));
    }
    Ok(false)
}
