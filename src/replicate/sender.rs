//! The sending side of one stream, as a state machine: it greets, finds where to go on, and sends what is
//! durable, transaction by transaction, as far as credit reaches.
//!
//! It reads the journal in the order of commits. Transactions without data for the target are passed over; a
//! run of them is told in one entry, before the next data or after a while. What was confirmed moves the
//! cursor, which is written now and then only.

use super::handshake::{self, Facts};
use super::large::{self, Sending};
use super::target::{Progress, Target};
use crate::error::{Code, Error, Result};
use crate::journal::{Type, Walked, Walker, body_sum};
use crate::limits;
use crate::position::{Position, Stamp};
use crate::store::{Core, Stream, StreamChange, Watch, path_behind};
use crate::wire::stream::{self, Answer, Hello, Part, Record, Refused, Resume, kind};
use crate::wire::{Machine, Waker};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a run without data waits for data to go with.
const ADVANCE: Duration = Duration::from_millis(500);
/// How often the cursor is written at most, unless so many transactions were confirmed.
const MOVE: Duration = Duration::from_secs(1);
const MOVE_TRANSACTIONS: usize = 1_000;
/// Transactions passed over before the receiver is told.
const PASSED_MAX: usize = 16_384;

/// The sending side of one stream.
pub struct Sender {
    core: Arc<Core>,
    target: Arc<Target>,
    stream: Stream,
    _watch: Watch,
    phase: Phase,
    walker: Option<Walker>,
    credit: i64,
    /// The stamp of the last entry put into a frame.
    previous: Stamp,
    /// The end of a run that was passed over and not told yet, and since when it may be told.
    passed: Option<Stamp>,
    passed_since: Option<Instant>,
    held: Option<Held>,
    /// How much of what is held went out in parts.
    part: Option<usize>,
    /// The staged transaction that goes out in parts.
    sending: Option<Box<Sending>>,
    reached: Progress,
    under_way: VecDeque<Progress>,
    confirmed: Progress,
    unwritten: usize,
    moved_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Waiting,
    Resuming(Resume),
    Streaming,
}

/// An entry that did not fit into the frame before.
struct Held {
    entry: Vec<u8>,
    stamp: Stamp,
}

/// What a look at the journal found.
enum Step {
    End,
    Passed,
    Held,
}

impl Sender {
    /// A sender for the stream of this target, which must have been opened; `waker` is called when it may have
    /// something to send.
    pub fn new(core: Arc<Core>, target: Arc<Target>, waker: Waker) -> Result<Sender> {
        let stream = core.look(|state| state.stream(target.queue, &target.name).cloned())?;
        let confirmed = Progress::from(&stream);
        let watch = core.watch(waker);
        Ok(Sender {
            core,
            target,
            stream,
            _watch: watch,
            phase: Phase::Greeting,
            walker: None,
            credit: 0,
            previous: confirmed.stamp,
            passed: None,
            passed_since: None,
            held: None,
            part: None,
            sending: None,
            reached: confirmed,
            under_way: VecDeque::new(),
            confirmed,
            unwritten: 0,
            moved_at: None,
        })
    }

    fn hello(&self, body: &mut Vec<u8>) -> Result<()> {
        let journal = self.core.journal();
        let kept = journal.oldest_kept()?;
        let sequence = journal.shown_sequence();
        let hello = self.core.look(|state| {
            let history = state.history.clone();
            let row = history.iter().rev().find(|row| row.first <= sequence);
            let safe = Position { epoch: row.map_or(0, |row| row.epoch), sequence };
            Ok::<_, Error>(Hello {
                group: state.group,
                stream: self.stream.id,
                safe,
                kept,
                history,
                root: state.queue(self.target.queue)?.name.clone(),
                queue: self.target.destination.clone(),
                target: self.target.name.clone(),
            })
        })?;
        hello.encode(body);
        Ok(())
    }

    /// The receiver said how far it is: finds where to go on.
    fn answered(&mut self, body: &[u8]) -> Result<()> {
        let answer = Answer::decode(body)?;
        if answer.code != Code::Ok {
            let text =
                format!("target {:?} refused the stream: {}", self.target.name, answer.reason);
            return Err(Error::new(answer.code, text));
        }
        let core = self.core.clone();
        self.stream = self.reload()?;
        let names = core.queue_names();
        let history = core.look(|state| state.history.clone());
        let facts = Facts {
            history: &history,
            start: self.stream.start,
            cursor: self.stream.cursor,
            kept: core.journal().oldest_kept()?,
            end: core.journal().shown_sequence(),
            accept_gap: self.target.accepts_gap(),
            stamp_at: &|sequence| core.journal().stamp_at(sequence, &names),
        };
        let (resume, rewound) = handshake::decide(answer.stamp, &facts)
            .map_err(|error| at_target(&self.target.name, &error))?;
        let at = resume.stamp();
        let walker = core.journal().walk_from(at.sequence, &names)?;
        if walker.stamp() != at {
            let text = format!(
                "OriginDiverged: the stream to {:?} goes on behind {at}, the journal has {} there",
                self.target.name,
                walker.stamp()
            );
            return Err(Error::new(Code::Diverged, text));
        }
        self.note(answer.stamp, &resume, rewound)?;
        self.stream = self.reload()?;
        self.walker = Some(walker);
        self.credit = i64::try_from(answer.credit).unwrap_or(i64::MAX);
        self.previous = at;
        self.phase = Phase::Resuming(resume);
        Ok(())
    }

    fn reload(&self) -> Result<Stream> {
        self.core.look(|state| state.stream(self.target.queue, &self.target.name).cloned())
    }

    /// Writes down where the stream goes on, when that is not its cursor.
    fn note(&mut self, has: Option<Stamp>, resume: &Resume, rewound: bool) -> Result<()> {
        let at = resume.stamp();
        let Progress { message, bytes, .. } = self.progress_at(&at)?;
        let change = match resume {
            Resume::Gap(to) => Some(StreamChange::Gap(has.unwrap_or_default(), *to)),
            Resume::Orphan(_, epoch, first, last) => {
                Some(StreamChange::Orphan(*epoch, *first, *last, at))
            }
            _ if rewound => Some(StreamChange::Rewind(at, message, bytes)),
            _ if at != self.stream.cursor => Some(StreamChange::Move(at, message, bytes)),
            _ => None,
        };
        if let Some(change) = change {
            // What is kept for the target depends on it from now on.
            self.core.append_stream(self.target.queue, change.encode(self.stream.id))?;
        }
        if matches!(resume, Resume::Gap(_)) {
            self.target.accept_gap(false);
        }
        self.confirmed = Progress { stamp: at, message, bytes };
        self.reached = self.confirmed;
        self.target.set_progress(self.confirmed);
        self.target.settle_refused(&at);
        self.core.stream_confirmed(self.target.queue, self.stream.id, at.sequence, None);
        Ok(())
    }

    /// How much of the root is up to `at`, where the stream goes on. A receiver may be ahead of the cursor, which is
    /// written now and then, or behind it, when it went back; the journal tells what lies between.
    fn progress_at(&self, at: &Stamp) -> Result<Progress> {
        let mut progress = Progress { stamp: *at, ..Progress::from(&self.stream) };
        let (at, cursor) = (at.sequence, self.stream.cursor.sequence);
        if at == cursor {
            return Ok(progress);
        }
        let journal = self.core.journal();
        let mut walker = journal.walk_from(at.min(cursor), &self.core.queue_names())?;
        let (mut count, mut bytes) = (0, 0);
        while let Some(walked) = journal.walk(&mut walker, journal.shown_offset())? {
            if walked.stamp.sequence > at.max(cursor) {
                break;
            }
            if let Some((staged, length, _)) = large::share(&walked, self.target.queue) {
                (count, bytes) = (count + staged, bytes + length);
            }
            for (head, body) in walked.records {
                if head.kind == Type::Message && head.queue == self.target.queue {
                    (count, bytes) = (count + 1, bytes + body.len() as u64);
                }
            }
        }
        if at > cursor {
            (progress.message, progress.bytes) = (progress.message + count, progress.bytes + bytes);
        } else {
            progress.message = progress.message.saturating_sub(count);
            progress.bytes = progress.bytes.saturating_sub(bytes);
        }
        Ok(progress)
    }

    /// Everything up to a stamp is safe at the receiver.
    fn confirm(&mut self, stamp: Stamp, now: Instant) -> Result<()> {
        let mut last = None;
        while self.under_way.front().is_some_and(|sent| sent.stamp.sequence <= stamp.sequence) {
            last = self.under_way.pop_front();
            self.unwritten += 1;
        }
        let Some(last) = last else { return Ok(()) };
        if last.stamp != stamp {
            let text = format!(
                "target {:?} confirmed {stamp}, and {} was sent to it",
                self.target.name, last.stamp
            );
            return Err(Error::new(Code::Protocol, text));
        }
        self.confirmed = last;
        self.target.set_progress(last);
        self.target.settle_refused(&stamp);
        let write = self.unwritten >= MOVE_TRANSACTIONS;
        let moved = write.then(|| self.cursor_move());
        self.core.stream_confirmed(self.target.queue, self.stream.id, stamp.sequence, moved);
        if write {
            self.moved_at = None;
        } else if self.moved_at.is_none() {
            self.moved_at = Some(now);
        }
        Ok(())
    }

    /// The move of the cursor that is still to be written.
    fn cursor_move(&mut self) -> StreamChange<'static> {
        self.unwritten = 0;
        let Progress { stamp, message, bytes } = self.confirmed;
        StreamChange::Move(stamp, message, bytes)
    }

    /// Writes the cursor when it was not for a while.
    fn write_cursor(&mut self, now: Instant) -> Result<()> {
        if self.moved_at.is_none_or(|since| now < since + MOVE) {
            return Ok(());
        }
        self.moved_at = None;
        let (moved, sequence) = (self.cursor_move(), self.confirmed.stamp.sequence);
        self.core.stream_confirmed(self.target.queue, self.stream.id, sequence, Some(moved));
        self.core.flush_riders()
    }

    /// Looks at the next transaction.
    fn step(&mut self, purged: u64, now: Instant) -> Result<Step> {
        let Some(walker) = &mut self.walker else { return Ok(Step::End) };
        let journal = self.core.journal();
        let Some(walked) = journal.walk(walker, journal.shown_offset())? else {
            return Ok(Step::End);
        };
        let stamp = walked.stamp;
        // What was set aside stays so, also for a sender that begins anew before the target confirmed it.
        let skip = self.target.skipped() == Some(stamp) || self.stream.misses(stamp.sequence);
        let found = look_at(&walked, self.target.queue, purged, &self.target, &mut self.reached);
        self.reached.stamp = stamp;
        let path = path_of(&walked);
        let (mut records, mut staged) = (found.records, None);
        if large::share(&walked, self.target.queue).is_some() {
            let path = path.as_deref();
            staged = Sending::find(&self.core, &walked, &self.target, purged, path)?;
            records += u32::from(staged.is_some());
        }
        if records == 0 {
            if found.tells && self.passed_since.is_none() {
                self.passed_since = Some(now);
            }
            self.passed = Some(stamp);
            return Ok(Step::Passed);
        }
        let mut held = self.held.take().unwrap_or_else(|| Held { entry: Vec::new(), stamp });
        held.stamp = stamp;
        held.entry.clear();
        if skip {
            stream::put_skip(&mut held.entry, &stamp);
            if let Some(reason) = self.target.write_skip() {
                log::warn!(
                    "transaction {stamp} is set aside for target {:?}, which gets the rest: {reason}",
                    self.target.name
                );
                let change = StreamChange::Skip(stamp).encode(self.stream.id);
                self.core.append_stream(self.target.queue, change)?;
            }
        } else if let Some(mut sending) = staged {
            match sending.whole(&self.core, &self.target)? {
                Some(entry) => held.entry = entry,
                None => self.sending = Some(Box::new(sending)),
            }
        } else {
            let records = found.records + u32::from(path.is_some());
            stream::put_transaction(&mut held.entry, &stamp, walked.time_ms, records);
            if let Some(path) = &path {
                let record = Record { kind: stream::PATH, sum: body_sum(&[path]), body: path };
                stream::put_record(&mut held.entry, &record);
            }
            for (head, body) in walked.records {
                let body = &walked.bytes[body.clone()];
                if meant(head.kind, head.queue, head.sequence, body, purged, &self.target) {
                    let record = Record { kind: stream::MESSAGE, sum: head.body_sum, body };
                    stream::put_record(&mut held.entry, &record);
                }
            }
        }
        self.held = Some(held);
        Ok(Step::Held)
    }

    /// Puts the end of the run that was passed over into a frame.
    fn put_passed(&mut self, body: &mut Vec<u8>) {
        if let Some(stamp) = self.passed.take() {
            stream::put_advance(body, &stamp);
            self.passed_since = None;
            self.previous = stamp;
            self.under_way.push_back(Progress { stamp, ..self.reached });
        }
    }

    /// Fills a data frame; the kind of the frame, or `None` when there is nothing to send.
    fn fill(&mut self, body: &mut Vec<u8>, now: Instant) -> Result<Option<u8>> {
        stream::begin_data(body, self.stream.id, &self.previous);
        let (empty, mut passed) = (body.len(), 0);
        let purged =
            self.core.look(|state| state.queue(self.target.queue).map(|queue| queue.purged))?;
        while body.len() < limits::STREAM_FRAME_BYTES {
            if !self.is_held() {
                match self.step(purged, now)? {
                    Step::End => {
                        self.ask_for_sync();
                        break;
                    }
                    Step::Passed => {
                        passed += 1;
                        if passed < PASSED_MAX {
                            continue;
                        }
                        self.put_passed(body);
                        break;
                    }
                    Step::Held => {}
                }
            }
            self.put_passed_before_held(body);
            let Some(held) = &self.held else { break };
            if held.entry.len() > limits::STREAM_FRAME_BYTES || self.sending.is_some() {
                if body.len() == empty {
                    body.clear();
                    self.part = Some(0);
                    return self.next_part(body);
                }
                break;
            }
            body.extend_from_slice(&held.entry);
            self.sent_held();
        }
        if body.len() == empty && self.passed_since.is_some_and(|since| now >= since + ADVANCE) {
            self.put_passed(body);
        }
        if body.len() == empty {
            body.clear();
            return Ok(None);
        }
        self.credit -= body.len() as i64;
        Ok(Some(kind::DATA))
    }

    /// The run before what is held ends before it.
    fn put_passed_before_held(&mut self, body: &mut Vec<u8>) {
        if let Some(stamp) = self.passed.take() {
            stream::put_advance(body, &stamp);
            self.passed_since = None;
            self.previous = stamp;
            // The message count of the run is that before the held transaction, or a little more: it is only
            // shown, and the next entry sets it right.
            self.under_way.push_back(Progress { stamp, ..self.confirmed_or_last() });
        }
    }

    fn confirmed_or_last(&self) -> Progress {
        self.under_way.back().copied().unwrap_or(self.confirmed)
    }

    fn is_held(&self) -> bool {
        self.sending.is_some() || self.held.as_ref().is_some_and(|held| !held.entry.is_empty())
    }

    /// What was held is in a frame now.
    fn sent_held(&mut self) {
        if let Some(held) = &mut self.held {
            held.entry.clear();
            self.previous = held.stamp;
            let sent = Progress { stamp: held.stamp, ..self.reached };
            self.under_way.push_back(sent);
            if sabotage!("cursor moved before the confirmation") {
                self.confirmed = sent;
                self.unwritten += 1;
            }
        }
        self.part = None;
    }

    /// The next piece of a staged transaction.
    fn next_staged(&mut self, body: &mut Vec<u8>, mut sending: Box<Sending>) -> Result<Option<u8>> {
        let piece = sending.next(&self.core, &self.target)?;
        let part = Part {
            stream: self.stream.id,
            previous: self.previous,
            total: sending.total,
            at: sending.at,
            bytes: &piece,
        };
        part.encode(body);
        self.credit -= body.len() as i64;
        if sending.sent(piece.len()) {
            self.sent_held();
        } else {
            self.sending = Some(sending);
        }
        Ok(Some(kind::PART))
    }

    /// The next piece of a large transaction.
    fn next_part(&mut self, body: &mut Vec<u8>) -> Result<Option<u8>> {
        if let Some(sending) = self.sending.take() {
            return self.next_staged(body, sending);
        }
        let (Some(at), Some(held)) = (self.part, &self.held) else { return Ok(None) };
        let end = (at + limits::STREAM_FRAME_BYTES).min(held.entry.len());
        let part = Part {
            stream: self.stream.id,
            previous: self.previous,
            total: held.entry.len() as u64,
            at: at as u64,
            bytes: &held.entry[at..end],
        };
        part.encode(body);
        self.credit -= body.len() as i64;
        if end == held.entry.len() {
            self.sent_held();
        } else {
            self.part = Some(end);
        }
        Ok(Some(kind::PART))
    }

    /// Messages above the horizon are brought below it by whoever wants them: here, by the commit thread.
    fn ask_for_sync(&self) {
        let journal = self.core.journal();
        if journal.appended() <= journal.shown_offset() {
            return;
        }
        let last = self
            .core
            .look(|state| state.queue(self.target.queue).map_or(0, |queue| queue.next - 1));
        if last > self.reached.message {
            self.core.lead_soon();
        }
    }
}

impl Machine for Sender {
    fn on_frame(&mut self, kind: u8, body: &[u8], now: Instant) -> Result<()> {
        match (kind, self.phase) {
            (kind::ANSWER, Phase::Waiting) => self.answered(body),
            (kind::CONFIRM, Phase::Streaming) => self.confirm(stream::confirm(body)?, now),
            (kind::CREDIT, Phase::Streaming) => {
                let more = i64::try_from(stream::credit(body)?).unwrap_or(i64::MAX);
                self.credit = self.credit.saturating_add(more);
                Ok(())
            }
            (kind::REFUSED, Phase::Streaming) => {
                let refused = Refused::decode(body)?;
                self.target.set_refused(refused.stamp, &refused.reason);
                let text = format!(
                    "target {:?} cannot take transaction {}: {}",
                    self.target.name, refused.stamp, refused.reason
                );
                Err(Error::new(refused.code, text))
            }
            _ => {
                let text = format!(
                    "target {:?} sent a frame of kind {kind} out of place",
                    self.target.name
                );
                Err(Error::new(Code::Protocol, text))
            }
        }
    }

    fn next_frame(&mut self, now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        if self.target.is_removed() {
            return Err(Error::new(
                Code::Closed,
                format!("target {:?} was removed", self.target.name),
            ));
        }
        self.core.check_open()?;
        match self.phase {
            Phase::Greeting => {
                self.hello(body)?;
                self.phase = Phase::Waiting;
                Ok(Some(kind::HELLO))
            }
            Phase::Waiting => Ok(None),
            Phase::Resuming(resume) => {
                resume.encode(self.stream.id, body);
                self.phase = Phase::Streaming;
                self.target.set_streaming();
                Ok(Some(kind::RESUME))
            }
            Phase::Streaming => {
                self.write_cursor(now)?;
                if self.credit <= 0 {
                    return Ok(None);
                }
                if self.part.is_some() { self.next_part(body) } else { self.fill(body, now) }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let advance = self.passed_since.map(|since| since + ADVANCE).filter(|_| self.credit > 0);
        let write = self.moved_at.map(|since| since + MOVE);
        [advance, write].into_iter().flatten().min()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.unwritten > 0 {
            // The cursor rides with the next commit, or goes out when the store is closed.
            let (moved, sequence) = (self.cursor_move(), self.confirmed.stamp.sequence);
            self.core.stream_confirmed(self.target.queue, self.stream.id, sequence, Some(moved));
        }
    }
}

/// What a transaction has for a target.
struct Seen {
    records: u32,
    /// Whether a run that ends here is worth telling by itself: bookkeeping of streams is not, or two stores
    /// that feed each other would never be quiet.
    tells: bool,
}

fn look_at(
    walked: &Walked<'_>,
    queue: u32,
    purged: u64,
    target: &Target,
    reached: &mut Progress,
) -> Seen {
    let mut seen = Seen { records: 0, tells: false };
    large::count(walked, queue, reached);
    for (head, body) in walked.records {
        seen.tells |= !matches!(head.kind, Type::Stream | Type::Advance | Type::Received);
        if head.kind != Type::Message || head.queue != queue {
            continue;
        }
        let body = &walked.bytes[body.clone()];
        (reached.message, reached.bytes) = (head.sequence, reached.bytes + body.len() as u64);
        seen.records +=
            u32::from(meant(head.kind, head.queue, head.sequence, body, purged, target));
    }
    seen
}

/// The path that a transaction came by, where it did not begin here.
fn path_of(walked: &Walked<'_>) -> Option<Vec<u8>> {
    let mut arrived = walked.records.iter().filter(|(head, _)| head.kind == Type::Received);
    arrived.find_map(|(_, body)| path_behind(&walked.bytes[body.clone()]))
}

fn meant(kind: Type, queue: u32, sequence: u64, body: &[u8], purged: u64, target: &Target) -> bool {
    kind == Type::Message && queue == target.queue && sequence > purged && target.select.takes(body)
}

fn at_target(name: &str, error: &Error) -> Error {
    let made = Error::new(error.code(), format!("target {name:?}: {error}"));
    match error.range() {
        Some((from, to)) => made.over(from, to),
        None => made,
    }
}
