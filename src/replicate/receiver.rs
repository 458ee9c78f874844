//! The receiving side of one stream, as a state machine: it looks who comes, says how far it is, and appends
//! what arrives, each source transaction as one transaction of its own.
//!
//! Nothing is confirmed before it is durable here; one confirmation stands for all before it. A transaction is
//! accepted if and only if it follows what is there, which is checked in the same breath in which it is
//! appended: so nothing that arrives twice, late or on an old link does anything. Credit goes back when data is
//! appended, unless the disk is far behind; the disk needs nothing from the sender, so nobody waits for ever.

use super::handshake::{self, Known};
use super::large::Arriving;
use crate::error::{Code, Error, Result};
use crate::journal::{Body, body_sum, whole};
use crate::limits;
use crate::position::Stamp;
use crate::store::{Arrival, Core, Entry, Level, LinkClaim, StreamId, Watch, check_name, is_path};
use crate::wire::stream::{self, Answer, Hello, Part, Refused, Resume, Transaction, kind};
use crate::wire::{Machine, Waker};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an `advance` waits for a sync that comes anyway.
const SETTLE: Duration = Duration::from_millis(500);

/// Whether the user may replicate into a queue of this name.
pub type Rights = Box<dyn Fn(&str) -> bool + Send>;

/// The receiving side of one stream.
pub struct Receiver {
    core: Arc<Core>,
    user: String,
    rights: Rights,
    _watch: Watch,
    phase: Phase,
    hello: Option<Hello>,
    claim: Option<LinkClaim>,
    queue: u32,
    stamp: Option<Stamp>,
    /// Appended and not yet confirmed: journal offset behind it, its stamp.
    pending: VecDeque<(u64, Stamp)>,
    confirm: Option<Stamp>,
    credit: u64,
    /// Bytes appended that the disk does not have yet: journal offset behind them, bytes.
    unsynced: VecDeque<(u64, u64)>,
    unsynced_bytes: u64,
    parts: Vec<u8>,
    /// A transaction that is too large for memory.
    arriving: Option<Box<Arriving>>,
    settle_at: Option<Instant>,
}

enum Phase {
    Waiting,
    /// Answers once everything up to this journal offset is durable.
    Answering(u64),
    Refusing(Error),
    Resuming,
    Streaming,
    RefusingData(Refused),
    /// Nothing is taken or said any more.
    Over,
}

impl Receiver {
    /// A receiver for whatever stream this user brings; `rights` says which queues it may write to.
    pub fn new(core: Arc<Core>, user: &str, rights: Rights, waker: Waker) -> Receiver {
        let watch = core.watch(waker);
        Receiver {
            core,
            user: user.to_string(),
            rights,
            _watch: watch,
            phase: Phase::Waiting,
            hello: None,
            claim: None,
            queue: 0,
            stamp: None,
            pending: VecDeque::new(),
            confirm: None,
            credit: 0,
            unsynced: VecDeque::new(),
            unsynced_bytes: 0,
            parts: Vec::new(),
            arriving: None,
            settle_at: None,
        }
    }

    /// What it receives: root queue at the sender, queue here, the sender's name for this store; empty before
    /// the greeting.
    pub fn describe(&self) -> Option<(&str, &str, &str)> {
        self.hello.as_ref().map(|hello| (&*hello.root, &*hello.queue, &*hello.target))
    }

    fn greeted(&mut self, body: &[u8]) -> Result<()> {
        let hello = Hello::decode(body)?;
        match self.admit(&hello) {
            Ok(()) => {
                let journal = self.core.journal();
                let appended = journal.appended();
                if appended > journal.shown_offset() {
                    self.core.lead_soon();
                }
                self.phase = Phase::Answering(appended);
            }
            Err(error) => self.phase = Phase::Refusing(error),
        }
        self.hello = Some(hello);
        Ok(())
    }

    fn admit(&mut self, hello: &Hello) -> Result<()> {
        check_name("queue", &hello.queue)?;
        check_name("target", &hello.target)?;
        if !(self.rights)(&hello.queue) && !sabotage!("right to replicate not asked") {
            let text = format!("{:?} may not replicate into {:?}", self.user, hello.queue);
            return Err(Error::new(Code::Denied, text));
        }
        let id = StreamId { group: hello.group, id: hello.stream };
        self.core.look(|state| {
            let elsewhere =
                state.received.keys().find(|key| key.id == id.id && key.group != id.group);
            let known = Known {
                row: state.received.get(&id),
                elsewhere: elsewhere.copied(),
                history: state.origins.get(&hello.group).map_or(&[][..], |rows| rows),
            };
            handshake::admit(hello, &self.user, &known)
        })?;
        self.queue = self.core.queue(&hello.queue)?;
        self.claim = Some(self.core.claim_link(id));
        Ok(())
    }

    fn answer(&mut self, body: &mut Vec<u8>) -> Result<()> {
        let (Some(claim), Some(hello)) = (&self.claim, &self.hello) else {
            return Err(out_of_place(0));
        };
        self.core.check_link(claim)?;
        let (stamp, epoch) = self.core.look(|state| {
            let row = state.received.get(&claim.stream);
            let history = state.origins.get(&hello.group).and_then(|rows| rows.last());
            (row.and_then(|row| row.stamp), history.map_or(0, |row| row.epoch))
        });
        self.stamp = stamp;
        let (code, credit, reason) = (Code::Ok, limits::STREAM_CREDIT_BYTES, String::new());
        Answer { code, stamp, epoch, credit, reason }.encode(body);
        Ok(())
    }

    fn refuse(&self, error: &Error, body: &mut Vec<u8>) {
        let hello = self.hello.as_ref();
        let stamp = self.core.look(|state| {
            let id = hello.map(|hello| StreamId { group: hello.group, id: hello.stream });
            let row = id.and_then(|id| state.received.get(&id));
            // Another user's stream is none of this user's business.
            row.filter(|row| row.user == self.user).and_then(|row| row.stamp)
        });
        let reason = error.to_string();
        Answer { code: error.code(), stamp, epoch: 0, credit: 0, reason }.encode(body);
    }

    /// The sender said where it goes on.
    fn resumed(&mut self, body: &[u8]) -> Result<()> {
        let (id, resume) = Resume::decode(body)?;
        self.is_mine(id)?;
        let (Some(claim), Some(hello)) = (self.claim, &self.hello) else {
            return Err(out_of_place(0));
        };
        let mut arrivals = Vec::new();
        let (bound, seen) = self.core.look(|state| {
            let row = state.received.get(&claim.stream);
            let bound = row.is_some_and(|row| row.user == self.user && row.target == hello.target);
            let seen = state.origins.get(&hello.group).is_some_and(|rows| *rows == hello.history);
            (bound, seen)
        });
        if !bound {
            arrivals.push(Arrival::Opened(&self.user, &hello.target));
        }
        if !seen {
            arrivals.push(Arrival::History(hello.history.clone()));
        }
        let wrong = |what: &str| {
            let has = self.stamp.map_or("nothing".to_string(), |stamp| stamp.to_string());
            let text =
                format!("the sender wants to {what} behind {}, and {has} is here", resume.stamp());
            Err(Error::new(Code::Protocol, text))
        };
        match (resume, self.stamp) {
            (Resume::Begin(stamp), None) => arrivals.push(Arrival::Begin(stamp)),
            (Resume::Begin(_), _) => return wrong("begin"),
            (Resume::Continue(stamp), has) if has == Some(stamp) => {}
            (Resume::Continue(_), _) => return wrong("go on"),
            (Resume::Orphan(stamp, epoch, first, last), Some(has))
                if has.sequence == last && has.epoch == epoch && first <= last =>
            {
                arrivals.push(Arrival::Orphan(epoch, first, last, stamp));
            }
            (Resume::Orphan(..), _) => return wrong("leave orphans"),
            (Resume::Gap(stamp), has) => arrivals.push(Arrival::Gap(has, stamp)),
        }
        if !arrivals.is_empty() {
            let appended = self.core.receive(&claim, self.queue, &[], &arrivals)?;
            self.pending.push_back((appended.end, resume.stamp()));
            if self.core.horizon() == Level::Process {
                // Whatever the horizon, what was agreed on is not lost: a stream that has begun and of which nothing is
                // known here would be taken for one of another store.
                self.core.journal().commit_all()?;
            }
            self.core.lead_soon();
        }
        self.stamp = Some(resume.stamp());
        self.phase = Phase::Streaming;
        Ok(())
    }

    fn data(&mut self, body: &[u8], now: Instant) -> Result<()> {
        let (id, previous, entries) = stream::data(body)?;
        self.is_mine(id)?;
        self.follows(previous)?;
        let mut advanced = None;
        let mut wants_sync = false;
        for entry in entries {
            match entry? {
                stream::Entry::Advance(to) => {
                    self.flush_advance(&mut advanced)?;
                    advanced = Some(to);
                }
                stream::Entry::Skip(stamp) => {
                    self.flush_advance(&mut advanced)?;
                    let from = self.stamp.unwrap_or_default();
                    self.append(&[], &[Arrival::Skipped(from, stamp)], stamp)?;
                    let target = self.hello.as_ref().map_or("", |hello| &hello.target);
                    log::warn!(
                        "the sender set transaction {stamp} aside for {target:?}, this store"
                    );
                    wants_sync = true;
                }
                stream::Entry::Transaction(transaction) => {
                    wants_sync = true;
                    if !self.transaction(&transaction, advanced.take())? {
                        break;
                    }
                }
            }
        }
        self.flush_advance(&mut advanced)?;
        self.taken(body.len() as u64);
        if wants_sync {
            self.core.lead_soon();
            self.settle_at = None;
        } else if self.settle_at.is_none() {
            self.settle_at = Some(now + SETTLE);
        }
        Ok(())
    }

    /// Journals a run without data that no data followed.
    fn flush_advance(&mut self, advanced: &mut Option<Stamp>) -> Result<()> {
        let Some(to) = advanced.take() else { return Ok(()) };
        let from = self.stamp.unwrap_or_default();
        self.append(&[], &[Arrival::Advance(from, to)], to)
    }

    /// Appends a transaction, with the run before it; false when it was refused.
    fn transaction(&mut self, transaction: &Transaction<'_>, run: Option<Stamp>) -> Result<bool> {
        let (stamp, from) = (transaction.stamp, self.stamp.unwrap_or_default());
        let appended = self.entries(transaction).and_then(|(path, entries)| {
            if !path.is_empty() && self.core.look(|state| state.is_back(self.queue, path)) {
                return self.append(&[], &[Arrival::Advance(from, stamp)], stamp);
            }
            let before = run.unwrap_or(from);
            let both = [Arrival::Advance(from, before), Arrival::Data(before, stamp, path)];
            self.append(&entries, &both[usize::from(run.is_none())..], stamp)
        });
        self.taken_or_refused(appended, stamp)
    }

    /// What became of a transaction; false when it was refused.
    fn taken_or_refused(&mut self, appended: Result<()>, stamp: Stamp) -> Result<bool> {
        match appended {
            Ok(()) => Ok(true),
            // The link or the store is finished, and not the transaction to blame.
            Err(error) if is_over(error.code()) => Err(error),
            Err(error) => {
                let (code, reason) = (error.code(), error.to_string());
                self.phase = Phase::RefusingData(Refused { code, stamp, reason });
                Ok(false)
            }
        }
    }

    /// The path a transaction came by, empty for one that began at the sender, and its messages.
    fn entries<'a>(&self, transaction: &Transaction<'a>) -> Result<(&'a [u8], Vec<Entry<'a>>)> {
        let (mut path, mut entries) = (&[][..], Vec::new());
        for (index, record) in transaction.records().enumerate() {
            let body = record.body;
            let wrong = |code: Code, what: &str| {
                let text = format!("message {index} of transaction {} {what}", transaction.stamp);
                Err(Error::new(code, text).at_message(index))
            };
            if !matches!((record.kind, index), (stream::MESSAGE, _) | (stream::PATH, 0)) {
                return wrong(Code::Unsupported, "is a record that this version does not read");
            }
            if body_sum(&[body]) != record.sum && !sabotage!("arrival not summed") {
                return wrong(Code::Corrupt, "fails its checksum");
            }
            if record.kind == stream::PATH {
                if !is_path(body) {
                    return wrong(Code::Invalid, "is a path that cannot be taken apart");
                }
                path = body;
                continue;
            }
            let Some(decoded) = Body::decode(body) else {
                return wrong(Code::Invalid, "cannot be taken apart");
            };
            let parts = whole(body);
            entries.push(Entry { queue: self.queue, parts, sum: record.sum, front: decoded.front });
        }
        Ok((path, entries))
    }

    fn append(
        &mut self,
        entries: &[Entry<'_>],
        arrivals: &[Arrival<'_>],
        stamp: Stamp,
    ) -> Result<()> {
        let claim = self.claim.ok_or_else(|| out_of_place(0))?;
        let appended = self.core.receive(&claim, self.queue, entries, arrivals)?;
        self.stamp = Some(stamp);
        self.pending.push_back((appended.end, stamp));
        Ok(())
    }

    /// Whether no transaction is half there.
    fn is_whole(&self) -> bool {
        self.parts.is_empty() && self.arriving.is_none()
    }

    /// A piece of a large transaction.
    fn part(&mut self, body: &[u8]) -> Result<()> {
        let part = Part::decode(body)?;
        self.is_mine(part.stream)?;
        self.follows(part.previous)?;
        if self.arriving.is_some() || part.total > self.core.memory_bytes() as u64 {
            return self.large_part(&part, body.len() as u64);
        }
        if part.at != self.parts.len() as u64 {
            let text =
                format!("a piece at {} arrived where {} was next", part.at, self.parts.len());
            return Err(Error::new(Code::Protocol, text));
        }
        self.parts.try_reserve(part.bytes.len()).map_err(|_| {
            let text = format!("no memory for a transaction of {} bytes", part.total);
            Error::new(Code::Quota, text)
        })?;
        self.parts.extend_from_slice(part.bytes);
        if (self.parts.len() as u64) < part.total {
            // It gathers in memory: the rest may come, whatever the window.
            self.credit += body.len() as u64;
            return Ok(());
        }
        let parts = std::mem::take(&mut self.parts);
        let stream::Entry::Transaction(transaction) = stream::whole(&parts)? else {
            return Err(out_of_place(kind::PART));
        };
        self.transaction(&transaction, None)?;
        self.taken(body.len() as u64);
        self.core.lead_soon();
        Ok(())
    }

    /// A piece of a transaction that is staged as it arrives; `bytes` is what the frame cost.
    fn large_part(&mut self, part: &Part<'_>, bytes: u64) -> Result<()> {
        let begun = self.arriving.take();
        let mut arriving =
            begun.unwrap_or_else(|| Box::new(Arriving::begin(&self.core, self.queue, part.total)));
        if (part.at, part.total) != (arriving.at(), arriving.total()) {
            let (at, next) = (part.at, arriving.at());
            let text = format!("a piece at {at} arrived where {next} was next");
            return Err(Error::new(Code::Protocol, text));
        }
        let taken = arriving.take(&self.core, part.bytes);
        let Some(stamp) = arriving.stamp else {
            self.arriving = taken.map(|_| Some(arriving))?;
            self.credit += bytes;
            return Ok(());
        };
        if let Ok(false) = taken {
            // What is staged waits for nothing: the rest may come, whatever the window.
            self.credit += bytes;
            self.arriving = Some(arriving);
            return Ok(());
        }
        let appended = taken.and_then(|_| self.adopt(&mut arriving, stamp));
        if self.taken_or_refused(appended, stamp)? {
            self.taken(bytes);
            self.core.lead_soon();
        }
        Ok(())
    }

    /// Appends a staged transaction that is all there.
    fn adopt(&mut self, arriving: &mut Arriving, stamp: Stamp) -> Result<()> {
        let from = self.stamp.unwrap_or_default();
        if arriving.is_back {
            return self.append(&[], &[Arrival::Advance(from, stamp)], stamp);
        }
        let claim = self.claim.ok_or_else(|| out_of_place(0))?;
        let data = [Arrival::Data(from, stamp, &arriving.path)];
        let staging = &mut arriving.staging;
        let appended = self.core.receive_staged(&claim, self.queue, staging, &data)?;
        self.stamp = Some(stamp);
        self.pending.push_back((appended.end, stamp));
        Ok(())
    }

    fn is_mine(&self, stream: u64) -> Result<()> {
        let own = self.claim.map_or(0, |claim| claim.stream.id);
        if own == stream {
            return Ok(());
        }
        let text = format!("what arrived is of stream {stream:016x}, and this is {own:016x}");
        Err(Error::new(Code::Protocol, text))
    }

    fn follows(&self, previous: Stamp) -> Result<()> {
        if self.stamp == Some(previous) || sabotage!("arrival taken twice") {
            return Ok(());
        }
        let has = self.stamp.map_or("nothing".to_string(), |stamp| stamp.to_string());
        let text = format!("what arrived follows {previous}, and {has} is here");
        Err(Error::new(Code::Protocol, text))
    }

    /// Bytes were appended; they are paid back now, or when the disk has caught up.
    fn taken(&mut self, bytes: u64) {
        let end = self.core.journal().appended();
        self.unsynced.push_back((end, bytes));
        self.unsynced_bytes += bytes;
        self.credit += bytes;
    }

    /// Looks how far the horizon is, mostly that of the disk.
    fn look_at_disk(&mut self) -> Result<()> {
        let mut shown = self.core.journal().shown_offset();
        if sabotage!("arrival confirmed before it is durable") {
            shown = u64::MAX;
        }
        while self.pending.front().is_some_and(|(end, _)| *end <= shown) {
            self.confirm = self.pending.pop_front().map(|(_, stamp)| stamp);
        }
        while self.unsynced.front().is_some_and(|(end, _)| *end <= shown) {
            let bytes = self.unsynced.pop_front().map_or(0, |(_, bytes)| bytes);
            self.unsynced_bytes -= bytes;
        }
        if self.pending.is_empty() {
            self.settle_at = None;
            return Ok(());
        }
        self.core.journal().poisoned()
    }
}

fn is_over(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::Protocol
            | Code::Closed
            | Code::Poisoned
            | Code::OutcomeUnknown
            | Code::Forked
            | Code::Io
    )
}

fn out_of_place(kind: u8) -> Error {
    Error::new(Code::Protocol, format!("a frame of kind {kind} came out of place"))
}

impl Machine for Receiver {
    fn on_frame(&mut self, kind: u8, body: &[u8], now: Instant) -> Result<()> {
        match (kind, &self.phase) {
            (kind::HELLO, Phase::Waiting) => self.greeted(body),
            (kind::RESUME, Phase::Resuming) => self.resumed(body),
            (kind::DATA, Phase::Streaming) if self.is_whole() => self.data(body, now),
            (kind::PART, Phase::Streaming) => self.part(body),
            // What was under way when a transaction was refused is of no use any more.
            (kind::DATA | kind::PART, Phase::RefusingData(_) | Phase::Over) => Ok(()),
            _ => Err(out_of_place(kind)),
        }
    }

    fn next_frame(&mut self, now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        self.core.check_open()?;
        match &self.phase {
            Phase::Waiting | Phase::Resuming | Phase::Over => return Ok(None),
            Phase::Answering(offset) => {
                self.core.journal().poisoned()?;
                if self.core.journal().shown_offset() < *offset {
                    return Ok(None);
                }
                self.answer(body)?;
                self.phase = Phase::Resuming;
                return Ok(Some(kind::ANSWER));
            }
            Phase::Refusing(error) => {
                self.refuse(error, body);
                self.phase = Phase::Over;
                return Ok(Some(kind::ANSWER));
            }
            Phase::Streaming | Phase::RefusingData(_) => {}
        }
        if let Some(claim) = &self.claim {
            self.core.check_link(claim)?;
        }
        self.look_at_disk()?;
        if let Some(stamp) = self.confirm.take() {
            stream::put_confirm(body, &stamp);
            return Ok(Some(kind::CONFIRM));
        }
        if let Phase::RefusingData(refused) = &self.phase {
            // What came before it is confirmed first, so that the refused one is the next.
            if self.pending.is_empty() {
                refused.encode(body);
                self.phase = Phase::Over;
                return Ok(Some(kind::REFUSED));
            }
            return Ok(None);
        }
        if self.settle_at.is_some_and(|at| now >= at) {
            self.settle_at = None;
            self.core.lead_soon();
        }
        if self.credit >= limits::STREAM_CREDIT_BYTES / 4
            && self.unsynced_bytes < limits::STREAM_UNSYNCED_BYTES
        {
            stream::put_credit(body, self.credit);
            self.credit = 0;
            return Ok(Some(kind::CREDIT));
        }
        Ok(None)
    }

    fn deadline(&self) -> Option<Instant> {
        self.settle_at
    }
}
