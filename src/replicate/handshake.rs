//! Where a stream goes on, or why it does not: the table of the architecture, as two functions.
//!
//! The receiver looks at what it knows without the sender's journal ([`admit`]): is it the same user, the same
//! group, the same owner, no older epoch than one it has seen, and no copy. The sender then holds the
//! receiver's stamp against its journal ([`decide`]). The first row that fits wins, and a stamp that fits none
//! has diverged.

use crate::error::{Code, Error, Result};
use crate::position::{Cause, GroupId, HistoryRow, Stamp};
use crate::store::{Received, StreamId};
use crate::wire::stream::{Hello, Resume};

/// What the receiver knows of a stream before it is admitted.
pub struct Known<'a> {
    /// Its row, when there is one.
    pub row: Option<&'a Received>,
    /// The same stream id under another group.
    pub elsewhere: Option<StreamId>,
    /// The newest history of that group.
    pub history: &'a [HistoryRow],
}

/// Whether a receiver takes the stream of this hello from this user.
pub fn admit(hello: &Hello, user: &str, known: &Known<'_>) -> Result<()> {
    let newest = hello.history[hello.history.len() - 1];
    let has = known.row.and_then(|row| row.stamp);
    let stamps = || {
        let has = has.map_or("nothing".to_string(), |stamp| stamp.to_string());
        let safe = hello.safe;
        format!("the receiver has {has}, the sender {safe}")
    };
    let refuse = |code: Code, what: String| Err(Error::new(code, format!("{what}; {}", stamps())));
    let group = GroupId::from_bytes(hello.group);
    let stream = hello.stream;
    if let Some(row) = known.row
        && !row.user.is_empty()
        && row.user != user
        && !sabotage!("user of a stream not compared")
    {
        return refuse(Code::Denied, format!("stream {stream:016x} belongs to another user"));
    }
    if let Some(other) = known.elsewhere {
        let other = GroupId::from_bytes(other.group);
        let what = format!("stream {stream:016x} came from group {other}, and now from {group}");
        return refuse(Code::Diverged, format!("OriginDiverged: {what}"));
    }
    let owners = known.history.iter().filter_map(|row| {
        let theirs = hello.history.iter().find(|theirs| theirs.epoch == row.epoch)?;
        let differs = theirs.owner != row.owner && !sabotage!("owner of an epoch not compared");
        differs.then_some((row, theirs))
    });
    if let Some((row, theirs)) = owners.max_by_key(|(row, _)| row.epoch) {
        let what = format!(
            "epoch {} of group {group} has owner {:08x} here and {:08x} at the sender",
            row.epoch, row.owner, theirs.owner
        );
        return refuse(Code::Diverged, format!("OriginDiverged: {what}"));
    }
    if let Some(seen) = known.history.last()
        && seen.epoch > newest.epoch
        && !sabotage!("older epoch taken")
    {
        let what = format!(
            "epoch {} of group {group} has begun, the sender is in {}",
            seen.epoch, newest.epoch
        );
        return refuse(Code::Fenced, what);
    }
    if newest.cause == Cause::Copied {
        let what = "OriginCopied: the sender is a copy; claim or fork it there".to_string();
        return refuse(Code::Diverged, what);
    }
    Ok(())
}

/// What the sender knows when the receiver's stamp arrives.
pub struct Facts<'a> {
    /// Its history, not empty.
    pub history: &'a [HistoryRow],
    /// Where the stream began.
    pub start: Stamp,
    /// What the receiver has confirmed.
    pub cursor: Stamp,
    /// The oldest stamp from which on nothing was given back.
    pub kept: Stamp,
    /// The last durable sequence.
    pub end: u64,
    /// A gap was accepted.
    pub accept_gap: bool,
    /// The stamp of a sequence, where its segment is still there.
    pub stamp_at: &'a dyn Fn(u64) -> Result<Option<Stamp>>,
}

/// Where the stream goes on, and whether the receiver went back.
pub fn decide(stamp: Option<Stamp>, facts: &Facts<'_>) -> Result<(Resume, bool)> {
    if facts.history.last().is_some_and(|row| row.cause == Cause::Copied) {
        let text = format!(
            "OriginCopied: this store is a copy and ships nothing before claim or fork; the receiver has {}, \
             the stream is at {}",
            shown(stamp),
            facts.cursor
        );
        return Err(Error::new(Code::Diverged, text));
    }
    let Some(stamp) = stamp else {
        if facts.cursor == facts.start {
            return Ok((Resume::Begin(facts.start), false));
        }
        return behind(None, facts);
    };
    if stamp == facts.cursor {
        return Ok((Resume::Continue(stamp), false));
    }
    let Some(at) = facts.history.iter().position(|row| row.epoch >= stamp.epoch.max(1)) else {
        let text = format!("the receiver has {stamp}, of a newer epoch than {}", facts.cursor);
        return Err(Error::new(Code::Fenced, text));
    };
    let row = facts.history[at];
    let begins = stamp == Stamp::default();
    if row.epoch > stamp.epoch && stamp.sequence >= row.first && row.cause == Cause::Restore {
        // An epoch that began in what a restore lost.
        let fork = row.first - 1;
        return orphaned(stamp, fork, (facts.stamp_at)(fork)?, facts);
    }
    if row.epoch != stamp.epoch.max(1) || (stamp.sequence < row.first && !begins) {
        return diverged(stamp, facts);
    }
    let newer = facts.history[at + 1..].iter().find(|row| row.cause != Cause::Copied);
    let end = facts.history.get(at + 1).map_or(u64::MAX, |next| next.first - 1);
    if stamp.sequence > end {
        return match newer.map(|row| row.cause) {
            Some(Cause::Force | Cause::Restore | Cause::Crash) => {
                orphaned(stamp, end, (facts.stamp_at)(end)?, facts)
            }
            _ => diverged(stamp, facts),
        };
    }
    if stamp.sequence > facts.end {
        return diverged(stamp, facts);
    }
    let ours = (facts.stamp_at)(stamp.sequence)?;
    match if sabotage!("chain not compared") { ours.map(|_| stamp) } else { ours } {
        Some(ours) if ours == stamp && stamp.sequence >= facts.cursor.sequence => {
            Ok((Resume::Continue(stamp), false))
        }
        Some(ours) if ours == stamp && stamp.sequence >= facts.kept.sequence => {
            Ok((Resume::Continue(stamp), true))
        }
        Some(ours) if ours == stamp => behind(Some(stamp), facts),
        Some(_) => {
            // A copy that was claimed replaces what the other one shipped behind the last place both share.
            let replaced =
                matches!(newer.map(|row| row.cause), Some(Cause::Force | Cause::Restore));
            let shared =
                facts.cursor.sequence < stamp.sequence && facts.cursor.epoch <= stamp.epoch;
            match (facts.stamp_at)(facts.cursor.sequence)? {
                Some(ours) if replaced && shared && ours == facts.cursor => {
                    orphaned(stamp, facts.cursor.sequence, Some(ours), facts)
                }
                _ => diverged(stamp, facts),
            }
        }
        None if stamp.sequence < facts.kept.sequence => behind(Some(stamp), facts),
        None => diverged(stamp, facts),
    }
}

fn shown(stamp: Option<Stamp>) -> String {
    stamp.map_or("nothing".to_string(), |stamp| stamp.to_string())
}

/// The receiver lacks what is gone here.
fn behind(have: Option<Stamp>, facts: &Facts<'_>) -> Result<(Resume, bool)> {
    let need = if facts.kept.sequence < facts.start.sequence { facts.start } else { facts.kept };
    if facts.accept_gap || sabotage!("gap accepted unasked") {
        return Ok((Resume::Gap(need), false));
    }
    let text = format!(
        "TargetBehind: it has {}, the oldest place to go on from is {need}, and {} was confirmed; \
         accept the gap, or restore the target to a newer state",
        shown(have),
        facts.cursor
    );
    Err(Error::new(Code::Diverged, text).over(have.map_or(0, |have| have.sequence), need.sequence))
}

/// The receiver has transactions behind `end` that are in no history any more.
fn orphaned(
    stamp: Stamp,
    end: u64,
    fork: Option<Stamp>,
    facts: &Facts<'_>,
) -> Result<(Resume, bool)> {
    match fork {
        Some(fork) => {
            let rewound = fork.sequence < facts.cursor.sequence;
            Ok((Resume::Orphan(fork, stamp.epoch, end + 1, stamp.sequence), rewound))
        }
        None => behind(Some(stamp), facts),
    }
}

fn diverged(stamp: Stamp, facts: &Facts<'_>) -> Result<(Resume, bool)> {
    let ours = (facts.stamp_at)(stamp.sequence).ok().flatten();
    let text = format!(
        "OriginDiverged: the receiver has {stamp}, this store {} there and ends at {}; claim or fork one of \
         the copies",
        shown(ours),
        facts.end
    );
    Err(Error::new(Code::Diverged, text).over(stamp.sequence, facts.end))
}
