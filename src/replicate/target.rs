//! A target as its replication sees it: what it gets, how far it is, and what an operator said about it.

use super::select::Select;
use crate::error::{Code, Error, Result};
use crate::journal::Cursor;
use crate::position::{Position, Stamp};
use crate::store::{Core, Stream};
use crate::sync::{AtomicBool, Mutex, Ordering};
use serde_json::{Value, json};

/// What a sender and its replication share.
pub struct Target {
    /// Number of the root queue.
    pub queue: u32,
    /// Name of the target.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// The queue at the target.
    pub destination: String,
    /// Which messages it gets.
    pub select: Select,
    /// The target was removed: its link ends.
    pub removed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: String,
    last_error: Option<Error>,
    refused: Option<(Stamp, String)>,
    skip: Option<Skip>,
    accept_gap: bool,
    confirmed: Option<Progress>,
}

/// What is to be set aside, and whether that is written down: it is counted once, however often it is sent.
#[derive(Clone, Copy)]
struct Skip {
    stamp: Stamp,
    written: bool,
}

/// How far a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// It has everything up to this stamp.
    pub stamp: Stamp,
    /// Sequence of the root's last message at the stamp.
    pub message: u64,
    /// Bytes of the root's bodies up to there.
    pub bytes: u64,
}

impl From<&Stream> for Progress {
    fn from(stream: &Stream) -> Self {
        Progress { stamp: stream.cursor, message: stream.message, bytes: stream.bytes }
    }
}

/// A target as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What its link does: `connecting`, `connected`, `streaming`, `failed`, `stopped` or `closed`.
    pub state: String,
    /// Everything up to here is stored there, durably.
    pub position: Position,
    /// Messages of the root it has not confirmed.
    pub lag_messages: u64,
    /// Bytes of them.
    pub lag_bytes: u64,
    /// Age of the oldest of them in milliseconds.
    pub lag_ms: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The transaction it refuses, and why.
    pub refused: Option<String>,
    /// How often it went back to an older state.
    pub rewinds: u64,
    /// Transactions that were set aside for it.
    pub skipped: u64,
    /// Gaps that were accepted.
    pub gaps: u64,
    /// Transactions it has that are in no history any more.
    pub orphans: u64,
}

impl TargetStatus {
    /// Whether its link is connected and logged in.
    pub fn is_connected(&self) -> bool {
        matches!(self.state.as_str(), "connected" | "streaming")
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "url": self.url,
            "state": self.state,
            "position": self.position.to_string(),
            "lag_messages": self.lag_messages,
            "lag_bytes": self.lag_bytes,
            "lag_ms": self.lag_ms,
            "last_error": self.last_error,
            "refused": self.refused,
            "rewinds": self.rewinds,
            "skipped": self.skipped,
            "gaps": self.gaps,
            "orphans": self.orphans,
        })
    }
}

impl Target {
    /// A target that has not been reached yet.
    pub fn new(queue: u32, name: &str, url: &str, destination: &str, select: Select) -> Target {
        let state = State { link: "connecting".to_string(), ..State::default() };
        Target {
            queue,
            name: name.to_string(),
            url: url.to_string(),
            destination: destination.to_string(),
            select,
            removed: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// What its link does.
    pub fn set_link(&self, link: &str) {
        let mut state = self.state.lock();
        if state.link != link {
            state.link = link.to_string();
        }
    }

    /// It tries to connect; a link that only an operator can help says so until it succeeds.
    pub fn set_trying(&self) {
        if self.state.lock().link != "stopped" {
            self.set_link("connecting");
        }
    }

    /// What its link does, once it fails.
    pub fn set_error(&self, error: &Error) {
        let mut state = self.state.lock();
        // What only an operator can change is not a passing failure.
        let stopped = matches!(
            error.code(),
            Code::Diverged | Code::Fenced | Code::Denied | Code::Certificate
        );
        state.link = if stopped { "stopped" } else { "failed" }.to_string();
        state.last_error = Some(error.clone());
    }

    /// Data flows: whatever went wrong before is over.
    pub fn set_streaming(&self) {
        self.set_link("streaming");
    }

    /// It refuses a transaction.
    pub(crate) fn set_refused(&self, stamp: Stamp, reason: &str) {
        self.state.lock().refused = Some((stamp, reason.to_string()));
    }

    /// The transaction that is to be set aside.
    pub(crate) fn skipped(&self) -> Option<Stamp> {
        self.state.lock().skip.map(|skip| skip.stamp)
    }

    /// Why it is to be set aside, for who writes that down; `None` when that was done.
    pub(crate) fn write_skip(&self) -> Option<String> {
        let mut state = self.state.lock();
        let first =
            state.skip.as_mut().is_some_and(|skip| !std::mem::replace(&mut skip.written, true));
        first.then(|| state.refused.as_ref().map_or(String::new(), |(_, reason)| reason.clone()))
    }

    /// It was set aside, or taken after all.
    pub(crate) fn settle_refused(&self, stamp: &Stamp) {
        let mut state = self.state.lock();
        if state.refused.as_ref().is_some_and(|(refused, _)| refused.sequence <= stamp.sequence) {
            (state.refused, state.skip) = (None, None);
        }
    }

    /// Sets the transaction aside that the target refuses.
    pub fn skip(&self) -> Result<()> {
        let mut state = self.state.lock();
        let Some((stamp, _)) = state.refused.clone() else {
            let text =
                format!("target {:?} refuses no transaction, so none can be set aside", self.name);
            return Err(Error::new(Code::Invalid, text));
        };
        if state.skip.is_none_or(|skip| skip.stamp != stamp) {
            state.skip = Some(Skip { stamp, written: false });
        }
        Ok(())
    }

    /// Lets the stream go on behind a gap, once.
    pub fn accept_gap(&self, accept: bool) {
        self.state.lock().accept_gap = accept;
    }

    /// Whether a gap was accepted.
    pub fn accepts_gap(&self) -> bool {
        self.state.lock().accept_gap
    }

    /// How far it is, as the sender knows.
    pub(crate) fn set_progress(&self, progress: Progress) {
        self.state.lock().confirmed = Some(progress);
    }

    /// What an operator sees.
    pub(crate) fn status(&self, core: &Core) -> Result<TargetStatus> {
        let (stream, next, bytes) = core.look(|state| {
            let stream = state.stream(self.queue, &self.name)?.clone();
            let queue = state.queue(self.queue)?;
            Ok::<_, Error>((stream, queue.next, queue.bytes))
        })?;
        let state = self.state.lock();
        let progress = state.confirmed.unwrap_or_else(|| Progress::from(&stream));
        let lag_messages = (next - 1).saturating_sub(progress.message);
        let status = TargetStatus {
            name: self.name.clone(),
            url: self.url.clone(),
            state: state.link.clone(),
            position: progress.stamp.position(),
            lag_messages,
            lag_bytes: if lag_messages == 0 { 0 } else { bytes.saturating_sub(progress.bytes) },
            lag_ms: 0,
            last_error: state.last_error.as_ref().map(|error| format!("{error:?}")),
            refused: state.refused.as_ref().map(|(stamp, reason)| format!("{stamp}: {reason}")),
            rewinds: stream.rewinds,
            skipped: stream.skipped,
            gaps: stream.gaps,
            orphans: stream.orphans,
        };
        drop(state);
        let lag_ms =
            if lag_messages == 0 { 0 } else { age(core, self.queue, progress.message + 1)? };
        Ok(TargetStatus { lag_ms, ..status })
    }

    /// Whether its link was told to end.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }
}

/// How long ago the message with this sequence, or the first one after it, was committed.
fn age(core: &Core, queue: u32, sequence: u64) -> Result<u64> {
    let mut found = Vec::new();
    let mut cursor = Cursor::new(queue, sequence);
    let journal = core.journal();
    journal.read(&mut cursor, journal.shown_offset(), 1, 1, &mut found)?;
    let committed = found.first().map(|found| found.head.time_ms);
    Ok(committed.map_or(0, |committed| journal.disk().now_ms().saturating_sub(committed)))
}

impl Target {
    /// The same for whoever has the store only.
    #[doc(hidden)]
    pub fn status_in(&self, store: &crate::session::Store) -> Result<TargetStatus> {
        self.status(store.core())
    }
}
