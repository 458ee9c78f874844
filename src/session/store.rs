//! An open store: a directory with one journal and many queues, or the same at a server.
//!
//! Promises: a put that returned survives what its level names; calls may come from any thread; every call
//! after [`Store::close`] answers CLOSED, and in a forked child FORKED.

use super::consumer::{Consumer, ConsumerOptions};
use super::import::Importing;
use super::info::{QueueInfo, consumers};
use super::options::StoreOptions;
use super::port::{Port, Started};
use super::remote::RemoteStore;
use super::snapshot::Snapshot;
use super::transaction::{Session, SessionOptions};
use crate::disk::{Disk, RealDisk};
use crate::error::{Code, Error, Result};
use crate::journal::{Recovered, Type};
use crate::link::Endpoint;
use crate::position::Token;
use crate::queue::{AtWork, Batch, From, Message, Queue};
use crate::secret::Password;
use crate::store::{
    BackupInfo, Change, Commit, Core, Level, Outcome, RepairInfo, Staged, TransactionId,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An open store. Clones are the same store; the last one closes it.
#[derive(Clone)]
pub struct Store {
    home: Home,
}

#[derive(Clone)]
enum Home {
    Local(Arc<Inner>),
    Remote(Arc<RemoteStore>),
}

/// What the faces of an open store share.
pub struct Inner {
    pub core: Arc<Core>,
    recovered: Option<Recovered>,
}

impl Inner {
    pub fn check(&self) -> Result<()> {
        self.core.check_open()
    }

    pub fn check_writable(&self) -> Result<()> {
        self.core.check_writable()
    }

    #[inline]
    fn stage(self: &Arc<Inner>, to: Queue, all: &[Message<'_>], level: Level) -> Result<Staged> {
        let core = &self.core;
        if let [message] = all {
            return message.put_alone(core, to.number(), level);
        }
        let bytes = || all.iter().map(Message::bytes_max).sum::<usize>();
        if bytes() > core.memory_bytes() {
            let mut session = Session::open(self)?;
            session.put_many(to, all)?;
            return session.hand_over(level);
        }
        let batch = Batch::pack(all)?;
        core.transact(&batch.entries(to.number()), &[], level)
    }
}

/// Opening and closing.
impl Store {
    /// Opens the store in this directory, which is made when there is none, or the store at this URL, such as
    /// `repliq://user@host:port` or `repliq+unix://user@/path/of/socket`.
    ///
    /// Fails with LOCKED while anybody else has it (the text names the process), NOT_A_STORE for a directory
    /// with other things in it, CORRUPT with the range when durable bytes are damaged (open it with
    /// `read_only` then), BAD_PASSWORD, TAMPERED, VERSION for a newer format, PERMISSION, NO_SPACE, IO.
    ///
    /// At a server `password` is the user's, unless `connect` names another, and nothing else of the options counts.
    /// The first try to connect may fail with UNREACHABLE, DENIED, CERTIFICATE, PROTOCOL, TIMEOUT; a connection that is
    /// lost later comes back by itself. What only the owner of a directory can do, such as a backup, is UNSUPPORTED
    /// there.
    pub fn open(path: impl AsRef<Path>, options: &StoreOptions) -> Result<Store> {
        let path = path.as_ref();
        if let Some(url) = path.to_str().filter(|text| Endpoint::is_url(text)) {
            return Store::open_remote(url, options);
        }
        if let Some(text) = path.to_str()
            && (text.is_empty() || text.contains('\0') || text.contains("://"))
        {
            let text = format!("{text:?} is no directory: a store is opened by its path");
            return Err(Error::new(Code::Invalid, text));
        }
        Store::open_on(Arc::new(RealDisk::new(path)), options)
    }

    /// Opens the store on a disk of any kind.
    #[doc(hidden)]
    pub fn open_on(disk: Arc<dyn Disk>, options: &StoreOptions) -> Result<Store> {
        let opened = Core::open(disk, options.inner()?)?;
        let inner = Inner { core: opened.core, recovered: opened.recovered };
        Ok(Store { home: Home::Local(Arc::new(inner)) })
    }

    /// The sessions this store remembers, in the order of their ids, as text.
    #[doc(hidden)]
    pub fn sessions(&self) -> Result<Vec<String>> {
        let mut rows = self.inner()?.core.sessions();
        rows.sort_by_key(|(session, ..)| *session);
        let text = |(session, row, _)| format!("{:032x} {row:?}", u128::from_be_bytes(session));
        Ok(rows.into_iter().map(text).collect())
    }

    fn open_remote(url: &str, options: &StoreOptions) -> Result<Store> {
        let mut connect = options.connect.clone();
        connect.password = connect.password.or_else(|| options.password.clone());
        let store = RemoteStore::open(url, &connect)?;
        Ok(Store { home: Home::Remote(Arc::new(store)) })
    }

    /// The store of this process; UNSUPPORTED at a server.
    #[inline]
    pub(super) fn inner(&self) -> Result<&Arc<Inner>> {
        match &self.home {
            Home::Local(inner) => Ok(inner),
            Home::Remote(store) => {
                let text = format!(
                    "{} is at a server: this is done where its directory is",
                    store.describe()
                );
                Err(Error::new(Code::Unsupported, text))
            }
        }
    }

    /// The store at a server.
    #[inline]
    pub(super) fn remote(&self) -> Option<&Arc<RemoteStore>> {
        match &self.home {
            Home::Local(_) => None,
            Home::Remote(store) => Some(store),
        }
    }

    /// Makes everything durable, ends the threads and gives the directory free. Later calls answer CLOSED.
    pub fn close(&self) -> Result<()> {
        match &self.home {
            Home::Local(inner) => inner.core.close(),
            Home::Remote(store) => {
                store.close();
                Ok(())
            }
        }
    }

    /// Replaces the password of an encrypted store; nothing but the file `key` is written anew. A stop in
    /// between leaves the old password or the new one, never both.
    ///
    /// Fails with INVALID for an empty password and for a store that is not encrypted.
    pub fn change_password(&self, password: &Password) -> Result<()> {
        self.inner()?.core.change_password(password)
    }

    /// Whether it is at a server, and was opened by a URL.
    pub fn is_remote(&self) -> bool {
        self.remote().is_some()
    }

    /// Whether the store is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.inner().is_ok_and(|inner| inner.core.is_encrypted())
    }

    /// The inside of the store, for the rooms above; UNSUPPORTED at a server.
    pub(crate) fn inside(&self) -> Result<&Arc<Core>> {
        Ok(&self.inner()?.core)
    }

    /// The same where it was asked before whether the store is of this process.
    pub(crate) fn core(&self) -> &Arc<Core> {
        self.inside().expect("cannot be at a server: who needs the inside asks for it at the open")
    }

    /// The damage found at the open: from and to, as journal offsets.
    pub fn damage(&self) -> Option<(u64, u64)> {
        self.inner().ok()?.recovered.as_ref().and_then(|found| found.corrupt)
    }
}

/// Queues.
impl Store {
    /// The queue of this name, which is made when there is none: 1 to 255 bytes of UTF-8 without control
    /// characters.
    pub fn queue(&self, name: &str) -> Result<Queue> {
        if let Some(store) = self.remote() {
            return store.queue(name, true);
        }
        Ok(Queue::from_number(self.inner()?.core.queue(name)?))
    }

    /// The queue of this name, or NO_SUCH_NAME.
    pub fn find_queue(&self, name: &str) -> Result<Queue> {
        if let Some(store) = self.remote() {
            return store.queue(name, false);
        }
        let inner = self.inner()?;
        inner.check()?;
        let number = inner.core.look(|state| state.number_of(name));
        let text = || format!("{} has no queue {name:?}", inner.core.describe());
        number.map(Queue::from_number).ok_or_else(|| Error::new(Code::NoSuchName, text()))
    }

    /// The name of a queue.
    pub fn queue_name(&self, queue: Queue) -> Result<String> {
        if let Some(store) = self.remote() {
            return store.queue_name(queue);
        }
        self.inner()?.check()?;
        self.inner()?.core.look(|state| Ok(state.queue(queue.number())?.name.clone()))
    }

    /// All queues, by number.
    pub fn queues(&self) -> Result<Vec<QueueInfo>> {
        if let Some(store) = self.remote() {
            return store.queues();
        }
        self.inner()?.check()?;
        let core = &self.inner()?.core;
        let mut infos: Vec<QueueInfo> = core.look(|state| {
            let infos = state.queues().map(|(number, queue)| QueueInfo {
                name: queue.name.clone(),
                queue: Queue::from_number(number),
                messages: queue.waiting(),
                bytes: queue.bytes,
                next_sequence: queue.next,
                paused: queue.paused,
                consumers: consumers(queue),
            });
            infos.collect()
        });
        // Who is at work is not the state's to tell, and is asked without its lock.
        for info in &mut infos {
            for consumer in &mut info.consumers {
                let at_work = AtWork::of(core, info.queue.number(), &consumer.name);
                consumer.workers = at_work.workers as u64;
                consumer.out = at_work.out.map(|out| out as u64);
                consumer.lease_ms = at_work.lease_ms;
            }
        }
        Ok(infos)
    }

    /// Refuses puts and receives with PAUSED until [`Store::queue_resume`].
    pub fn queue_pause(&self, queue: Queue) -> Result<Commit> {
        if let Some(store) = self.remote() {
            return store.order("queue_pause", queue, None);
        }
        self.change(queue, &Change::Pause)
    }

    /// Accepts puts and receives again.
    pub fn queue_resume(&self, queue: Queue) -> Result<Commit> {
        if let Some(store) = self.remote() {
            return store.order("queue_resume", queue, None);
        }
        self.change(queue, &Change::Resume)
    }

    /// Drops every message that is in the queue now.
    pub fn queue_purge(&self, queue: Queue) -> Result<Commit> {
        if let Some(store) = self.remote() {
            return store.order("queue_purge", queue, None);
        }
        let last =
            self.inner()?.core.look(|state| Ok::<_, Error>(state.queue(queue.number())?.next - 1));
        self.change(queue, &Change::Purge(last?))
    }

    /// Deletes the queue, its messages and its consumers. A queue made later under the name is another one.
    pub fn queue_delete(&self, queue: Queue) -> Result<Commit> {
        if let Some(store) = self.remote() {
            return store.order("queue_rm", queue, None);
        }
        let core = &self.inner()?.core;
        core.check_writable()?;
        core.look(|state| state.queue(queue.number()).map(|_| ()))?;
        core.delete_queue(queue.number(), Change::DeleteQueue.encode())
    }

    fn change(&self, queue: Queue, change: &Change<'_>) -> Result<Commit> {
        self.inner()?.check_writable()?;
        self.inner()?.core.look(|state| state.queue(queue.number()).map(|_| ()))?;
        self.inner()?.core.change(Type::Queue, queue.number(), change)
    }
}

/// Messages.
impl Store {
    /// Puts messages as one transaction at the store's level; all or none.
    pub fn put(&self, queue: Queue, messages: &[Message<'_>]) -> Result<Commit> {
        match &self.home {
            Home::Local(inner) => {
                inner.core.finish(&inner.stage(queue, messages, inner.core.level())?)
            }
            Home::Remote(store) => store.put(queue, messages, None),
        }
    }

    /// The same at another level.
    pub fn put_at(&self, queue: Queue, messages: &[Message<'_>], level: Level) -> Result<Commit> {
        match &self.home {
            Home::Local(inner) => inner.core.finish(&inner.stage(queue, messages, level)?),
            Home::Remote(store) => store.put(queue, messages, Some(level)),
        }
    }

    /// Puts messages that came from another store, into any queues, as one transaction; returns how many.
    ///
    /// A message that names a producer is left out when that producer's sequence, or a higher one, is here
    /// already. Otherwise it need not be the next: what came between was not exported.
    pub fn import(&self, messages: &[(Queue, Message<'_>)]) -> Result<(u64, Commit)> {
        let mut importing = self.importing()?;
        for (index, (queue, message)) in messages.iter().enumerate() {
            importing.put(*queue, message).map_err(|error| error.at_message(index))?;
        }
        Ok((importing.messages(), importing.commit()?))
    }

    /// The same message by message, with no bound but the disk's: what is too much for memory is staged.
    pub fn importing(&self) -> Result<Importing> {
        let inner = self.inner()?;
        inner.check_writable()?;
        Ok(Importing::begin(inner))
    }

    /// Puts messages without waiting; the port gets the outcome under this tag.
    pub fn put_start(
        &self,
        queue: Queue,
        messages: &[Message<'_>],
        port: &Port,
        tag: u64,
    ) -> Result<()> {
        if let Some(store) = self.remote() {
            return store.put_start(queue, messages, port, tag);
        }
        let (inner, core) = (self.inner()?, &self.inner()?.core);
        let started = port.start(core, tag)?;
        match inner.stage(queue, messages, core.level()) {
            Ok(staged) => {
                finish_later(core, staged, started, port);
                Ok(())
            }
            Err(error) => {
                started.forget();
                Err(error)
            }
        }
    }

    /// Opens a session: transactions over any number of queues.
    pub fn session(&self) -> Result<Session> {
        match &self.home {
            Home::Local(inner) => Session::open(inner),
            Home::Remote(store) => Session::open_remote(store, &SessionOptions::default()),
        }
    }

    /// Opens a session with a name: it is remembered, and open once at a time.
    ///
    /// Fails with EXISTS while it is open, unless it is to be taken over; DENIED when it is another user's.
    pub fn session_with(&self, options: &SessionOptions) -> Result<Session> {
        match &self.home {
            Home::Local(inner) => Session::open_with(inner, options),
            Home::Remote(store) => Session::open_remote(store, options),
        }
    }

    /// What became of a session's transaction, finally: a commit that is under way is waited for, and one that has
    /// not begun never will be; its session hears ROLLED_BACK.
    ///
    /// EXPIRED answers for all before the session's last committed transaction, and for sessions that were not used
    /// for 24 hours. PENDING is what is prepared: it is left as it is.
    pub fn resolve(&self, id: &TransactionId) -> Result<Outcome> {
        match &self.home {
            Home::Local(inner) => inner.core.resolve(id, None),
            Home::Remote(store) => store.resolve(id),
        }
    }

    /// Opens the consumer of this name on a queue; it is made when there is none.
    ///
    /// Fails with BUSY while it is open already.
    pub fn consumer(
        &self,
        name: &str,
        queue: Queue,
        options: &ConsumerOptions,
    ) -> Result<Consumer> {
        match &self.home {
            Home::Local(inner) => Consumer::open(inner, name, queue, options),
            Home::Remote(store) => Consumer::open_remote(store, name, queue, options),
        }
    }

    /// Deletes a consumer; what only it kept may go.
    pub fn consumer_delete(&self, name: &str, queue: Queue) -> Result<Commit> {
        if let Some(store) = self.remote() {
            return store.order("consumer_rm", queue, Some(name));
        }
        self.inner()?.check_writable()?;
        self.inner()?.core.look(|state| state.consumer(queue.number(), name).map(|_| ()))?;
        let change = Change::DeleteConsumer(name.as_bytes());
        self.inner()?.core.change(Type::Consumer, queue.number(), &change)
    }

    /// Moves a consumer that exists and is not open to another place in its queue.
    ///
    /// Fails with NO_SUCH_NAME, BUSY.
    #[doc(hidden)]
    pub fn consumer_reset(&self, name: &str, queue: Queue, to: From) -> Result<Commit> {
        let next = self.inner()?.core.look(|state| {
            state.consumer(queue.number(), name)?;
            Ok::<_, Error>(state.queue(queue.number())?.next)
        })?;
        let to = match to {
            From::Oldest => 1,
            From::Now => next,
            From::Sequence(sequence) => sequence,
        };
        let consumer = self.consumer(name, queue, &ConsumerOptions::default())?;
        let sought = consumer.seek(to);
        consumer.close();
        sought
    }

    /// Opens a look at all queues as they are now.
    pub fn snapshot(&self) -> Result<Snapshot> {
        match &self.home {
            Home::Local(inner) => Snapshot::open(inner),
            Home::Remote(store) => Snapshot::open_remote(store),
        }
    }
}

/// Backups.
impl Store {
    /// Copies everything committed into the directory `dest`, while others go on writing; another backup into
    /// the same directory copies only what is new. A stop at any time leaves the backup that was there before.
    ///
    /// The directory is no store: [`Store::restore`] makes one of it. The backup of an encrypted store is
    /// encrypted, and opens with the password of that time. While it is made no space is given back.
    ///
    /// A store that was opened `read_only` beside another process is backed up, too, as it is by then.
    ///
    /// Fails with NOT_A_STORE where `dest` holds other things, EXISTS for a backup of another store, LOCKED
    /// while another backup goes there, CORRUPT where what is to be copied is damaged, BUSY where another
    /// process uses segments again faster than they can be copied, NO_SPACE, PERMISSION, IO.
    pub fn backup(&self, dest: impl AsRef<Path>) -> Result<BackupInfo> {
        self.backup_on(&RealDisk::new(dest))
    }

    /// The same on a disk of any kind.
    #[doc(hidden)]
    pub fn backup_on(&self, dest: &dyn Disk) -> Result<BackupInfo> {
        self.inner()?.core.backup(dest)
    }

    /// Makes a store of the backup in `backup`, in the directory `path`, which must be empty or missing.
    ///
    /// The store begins a new epoch. What was committed behind the backup is lost: tokens of it answer
    /// NOT_FOUND, and targets that have more record it as orphaned and go on. Of `options` the password and
    /// the sizes count. A stop leaves a directory that is not opened; the next restore begins anew.
    ///
    /// Fails with NOT_A_STORE where there is no backup, EXISTS where `path` is not empty, CORRUPT for a
    /// damaged backup, BAD_PASSWORD, LOCKED, NO_SPACE, PERMISSION, IO.
    pub fn restore(
        backup: impl AsRef<Path>,
        path: impl AsRef<Path>,
        options: &StoreOptions,
    ) -> Result<BackupInfo> {
        let disk = Arc::new(RealDisk::new(path));
        Store::restore_on(&RealDisk::new(backup), disk, options)
    }

    /// The same on disks of any kind.
    #[doc(hidden)]
    pub fn restore_on(
        backup: &dyn Disk,
        disk: Arc<dyn Disk>,
        options: &StoreOptions,
    ) -> Result<BackupInfo> {
        crate::store::restore(backup, disk, &options.inner()?)
    }
}

/// Repairs.
impl Store {
    /// Says what is damaged in the store at `path` and, with `accept_loss`, makes a sound store of what is left.
    ///
    /// What is behind damage at the end of the journal is cut off; an older segment that is damaged is given up
    /// as a whole. Damaged files are kept under names that end in `.damaged`. The store begins a new epoch, and
    /// tokens of lost transactions answer NOT_FOUND. Without `accept_loss` nothing is changed.
    ///
    /// Fails with LOCKED while the store is open, CORRUPT where nothing can be saved: restore a backup then.
    pub fn repair(
        path: impl AsRef<Path>,
        options: &StoreOptions,
        accept_loss: bool,
    ) -> Result<RepairInfo> {
        Store::repair_on(Arc::new(RealDisk::new(path)), options, accept_loss)
    }

    /// The same on a disk of any kind.
    #[doc(hidden)]
    pub fn repair_on(
        disk: Arc<dyn Disk>,
        options: &StoreOptions,
        accept_loss: bool,
    ) -> Result<RepairInfo> {
        crate::store::repair(disk, &options.inner()?, accept_loss)
    }

    /// Reads everything durable again, without disturbing those who write; returns bytes and transactions.
    /// `pace` is told of every read in bytes and may sleep; its error ends the check.
    ///
    /// Fails with CORRUPT or TAMPERED and the range of the first damage.
    pub fn verify(&self, pace: &mut dyn FnMut(u64) -> Result<()>) -> Result<(u64, u64)> {
        self.inner()?.check()?;
        self.inner()?.core.journal().check(pace)
    }
}

/// Which of two copies this is.
impl Store {
    /// This store goes on as its group, in a new epoch; no other copy of it must. What another copy shipped
    /// beyond it is recorded by the targets as orphaned.
    pub fn claim(&self) -> Result<Token> {
        self.inner()?.core.claim()
    }

    /// This store becomes a group of its own, and no token of the old one means anything here. Its targets go
    /// on behind what they had confirmed.
    pub fn fork(&self) -> Result<Token> {
        self.inner()?.core.fork()
    }

    /// Whether this store found itself copied, and nobody has said yet which of the two it is.
    pub fn is_copied(&self) -> bool {
        self.inner().is_ok_and(|inner| inner.core.is_copied())
    }

    /// Gives back what nobody needs any more; happens by itself where a helper may work.
    pub fn reclaim(&self) -> Result<usize> {
        self.inner()?.check_writable()?;
        self.inner()?.core.reclaim()
    }
}

/// Tokens and status.
impl Store {
    /// Waits until the transactions of all tokens have reached a place, at most `timeout`.
    ///
    /// `at` is `""`: applied and durable here; or `consumer:NAME`: everything of it acknowledged by that
    /// consumer. Answers TIMEOUT, NOT_FOUND (lost; final), WRONG_GROUP or EMPTY for the first token that is
    /// not reached.
    pub fn wait(&self, at: &str, tokens: &[Token], timeout: Duration) -> Result<()> {
        if let Some(store) = self.remote() {
            return store.wait(at, tokens, timeout);
        }
        super::place::wait(&self.inner()?.core, at, tokens, timeout)
    }

    /// The same without waiting here: the port gets the outcome under this tag; its token is the last one
    /// given.
    pub fn watch(&self, at: &str, tokens: &[Token], port: &Port, tag: u64) -> Result<()> {
        if let Some(store) = self.remote() {
            return store.watch(at, tokens, port, tag);
        }
        super::place::watch(&self.inner()?.core, at, tokens, port, tag)
    }

    /// What the store is and has, as JSON.
    pub fn status(&self) -> Result<String> {
        if let Some(store) = self.remote() {
            return store.status();
        }
        self.inner()?.check()?;
        super::status::text(&self.inner()?.core, &self.queues()?, self.inner()?.recovered.as_ref())
    }
}

/// Ends an operation on its port once the transaction reached its level.
pub fn finish_later(core: &Arc<Core>, staged: Staged, started: Started, port: &Port) {
    let commit = staged.commit();
    let waits = match staged.level() {
        Level::Process => None,
        Level::Power => staged.appended,
    };
    let Some(appended) = waits else {
        started.end(core.finish(&staged));
        return;
    };
    let drained = port.is_drained();
    let waiter = Box::new(move |outcome: Result<()>| started.end(outcome.map(|()| commit)));
    core.journal().when_durable(&appended, waiter);
    if drained {
        port.wake();
    } else {
        core.lead_soon();
    }
}
