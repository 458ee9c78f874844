//! What arrived by streams: how far each has come, whose it is, and what its origin's history is.
//!
//! A transaction that arrives is appended as one local transaction together with the record that says which
//! one it was, so a receiver has a source transaction as a whole or not at all, and once.
//!
//! ```text
//! received  op (1), group (16), stream (8), then by op; the queue in the frame's header is where it goes to
//!             1 data     previous stamp (20), stamp (20), then the path: the streams it came by before, oldest first,
//!                        each group (16), stream (8)
//!             2 opened   length of the user's name (1), name, name of the target
//!             3 begin    stamp (20): the first transaction comes behind it
//!             4 orphan   epoch (4), first (8), last (8): received, and in no history any more; goes on behind
//!                        stamp (20)
//!             5 gap      1 when there was a stamp (1), it (20), goes on behind stamp (20)
//!             6 skipped  previous stamp (20), stamp (20) of a transaction the sender was told to set aside
//!             7 history  rows of the origin: epoch (4), first (8), owner (4), cause (1)
//! advance   group (16), stream (8), from stamp (20), to stamp (20): nothing in between was for this store
//! members   op (1): 1 file, then the id of the store (16) and the identity of its directory
//! ```

use super::record::unread;
use super::state::State;
use super::{Core, Entry, Level, Staged};
use crate::error::{Code, Error, Result};
use crate::journal::{Appended, Rows, Staging, Type, u32_at, u64_at};
use crate::limits;
use crate::position::{Cause, GroupId, HistoryRow, STAMP_SIZE, Stamp};

const ROW: usize = 17;
/// Bytes of a hop: group and stream.
const HOP: usize = 24;

/// A stream this store receives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Number of the queue it goes to.
    pub queue: u32,
    /// How far it is, once it has begun.
    pub stamp: Option<Stamp>,
    /// The user who opened it first.
    pub user: String,
    /// What the sender calls this store.
    pub target: String,
    /// Transactions received that are in no history any more.
    pub orphans: u64,
    /// Gaps that were accepted.
    pub gaps: u64,
    /// Transactions that were set aside.
    pub skipped: u64,
}

/// Which stream: the origin's group and the stream's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// The group of the sender.
    pub group: [u8; 16],
    /// The id in it.
    pub id: u64,
}

/// What a stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// A transaction with this stamp behind the previous one, and the path it came by before.
    Data(Stamp, Stamp, &'a [u8]),
    /// The stream is bound to a user, and has a target's name.
    Opened(&'a str, &'a str),
    /// It begins behind a stamp.
    Begin(Stamp),
    /// Received transactions of an epoch, first to last, are in no history any more.
    Orphan(u32, u64, u64, Stamp),
    /// What lies between is missing.
    Gap(Option<Stamp>, Stamp),
    /// A transaction was set aside by the sender.
    Skipped(Stamp, Stamp),
    /// The origin's history.
    History(Vec<HistoryRow>),
    /// Nothing for this store lies between.
    Advance(Stamp, Stamp),
}

impl Arrival<'_> {
    /// The record.
    pub fn encode(&self, stream: &StreamId, queue: u32) -> (Type, u32, Vec<u8>) {
        let id = [&stream.group[..], &stream.id.to_le_bytes()].concat();
        let two = |a: &Stamp, b: &Stamp| [a.to_bytes(), b.to_bytes()].concat();
        let body = match self {
            Arrival::Advance(from, to) => {
                return (Type::Advance, queue, [id, two(from, to)].concat());
            }
            Arrival::Data(from, to, path) => [&[1][..], &id, &two(from, to), path].concat(),
            Arrival::Opened(user, target) => {
                let length = u8::try_from(user.len()).unwrap_or(u8::MAX);
                [&[2][..], &id, &[length], user.as_bytes(), target.as_bytes()].concat()
            }
            Arrival::Begin(stamp) => [&[3][..], &id, &stamp.to_bytes()].concat(),
            Arrival::Orphan(epoch, first, last, stamp) => {
                let words = [first.to_le_bytes(), last.to_le_bytes()].concat();
                [&[4][..], &id, &epoch.to_le_bytes(), &words, &stamp.to_bytes()].concat()
            }
            Arrival::Gap(from, to) => {
                let had = [u8::from(from.is_some())];
                [&[5][..], &id, &had, &two(&from.unwrap_or_default(), to)].concat()
            }
            Arrival::Skipped(from, to) => [&[6][..], &id, &two(from, to)].concat(),
            Arrival::History(rows) => [&[7][..], &id, &encode_rows(rows)].concat(),
        };
        (Type::Received, queue, body)
    }

    /// The stamp that must be the receiver's before this, when there is one.
    fn follows(&self) -> Option<Stamp> {
        match self {
            Arrival::Data(from, ..) | Arrival::Skipped(from, _) | Arrival::Advance(from, _) => {
                Some(*from)
            }
            _ => None,
        }
    }

    /// The stamp after it, when it moves.
    fn leads_to(&self) -> Option<Stamp> {
        match self {
            Arrival::Data(_, to, _)
            | Arrival::Skipped(_, to)
            | Arrival::Advance(_, to)
            | Arrival::Begin(to)
            | Arrival::Orphan(.., to)
            | Arrival::Gap(_, to) => Some(*to),
            Arrival::Opened(..) | Arrival::History(_) => None,
        }
    }
}

/// Rows of a history in a row.
pub fn encode_rows(rows: &[HistoryRow]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * ROW);
    for row in rows {
        bytes.extend_from_slice(&row.epoch.to_le_bytes());
        bytes.extend_from_slice(&row.first.to_le_bytes());
        bytes.extend_from_slice(&row.owner.to_le_bytes());
        bytes.push(row.cause as u8);
    }
    bytes
}

fn decode_rows(bytes: &[u8]) -> Option<Vec<HistoryRow>> {
    if !bytes.len().is_multiple_of(ROW) {
        return None;
    }
    let rows = bytes.chunks_exact(ROW).map(|row| {
        let (epoch, first, owner) = (u32_at(row, 0), u64_at(row, 4), u32_at(row, 12));
        Some(HistoryRow { epoch, first, owner, cause: Cause::from_u8(row[16])? })
    });
    rows.collect()
}

fn stream_id(bytes: &[u8]) -> Option<(StreamId, &[u8])> {
    let (group, rest) = bytes.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    Some((StreamId { group: *group, id: u64::from_le_bytes(*id) }, rest))
}

/// Whether these bytes are a path that a transaction may come by.
pub fn is_path(bytes: &[u8]) -> bool {
    bytes.len().is_multiple_of(HOP) && bytes.len() <= limits::PATH_HOPS_MAX * HOP
}

/// The streams of a path, oldest first.
fn hops(path: &[u8]) -> impl Iterator<Item = StreamId> {
    path.chunks_exact(HOP).filter_map(|hop| stream_id(hop).map(|(id, _)| id))
}

/// The path that a transaction came by, the stream that brought it here included; the newest hops where it is too
/// long. `None` for a record that does not bring one.
pub fn path_behind(body: &[u8]) -> Option<Vec<u8>> {
    let (id, Arrival::Data(_, _, path)) = parse(Type::Received, body)? else { return None };
    let path = [path, &id.group, &id.id.to_le_bytes()].concat();
    let over = path.len().saturating_sub(limits::PATH_HOPS_MAX * HOP);
    Some(path[over..].to_vec())
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Decodes a received or an advance record.
fn parse(kind: Type, body: &[u8]) -> Option<(StreamId, Arrival<'_>)> {
    let (op, body) = match kind {
        Type::Advance => (0, body),
        _ => body.split_first().map(|(op, rest)| (*op, rest))?,
    };
    let (id, rest) = stream_id(body)?;
    let stamp = |at: usize| rest.get(at..).and_then(Stamp::from_bytes);
    let two = || {
        let whole = rest.len() == 2 * STAMP_SIZE;
        whole.then(|| Some((stamp(0)?, stamp(STAMP_SIZE)?))).flatten()
    };
    let arrival = match op {
        0 => two().map(|(from, to)| Arrival::Advance(from, to))?,
        1 => {
            let path = rest.get(2 * STAMP_SIZE..).filter(|path| is_path(path))?;
            Arrival::Data(stamp(0)?, stamp(STAMP_SIZE)?, path)
        }
        2 => {
            let (length, names) = rest.split_first()?;
            let (user, target) = names.split_at_checked(usize::from(*length))?;
            Arrival::Opened(utf8(user)?, utf8(target)?)
        }
        3 => Arrival::Begin(stamp(0)?),
        4 if rest.len() == 20 + STAMP_SIZE => {
            Arrival::Orphan(u32_at(rest, 0), u64_at(rest, 4), u64_at(rest, 12), stamp(20)?)
        }
        5 if rest.len() == 1 + 2 * STAMP_SIZE => {
            let from = (rest[0] != 0).then(|| stamp(1)).flatten();
            Arrival::Gap(from, stamp(1 + STAMP_SIZE)?)
        }
        6 => two().map(|(from, to)| Arrival::Skipped(from, to))?,
        7 => Arrival::History(decode_rows(rest)?),
        _ => return None,
    };
    Some((id, arrival))
}

impl State {
    /// Whether what came by this path left this queue of this store before: it is there, and must not go round.
    pub fn is_back(&self, queue: u32, path: &[u8]) -> bool {
        let own = self.group_id().to_bytes();
        let mut left = hops(path).filter(|hop| hop.group == own).map(|hop| hop.id);
        left.any(|id| self.streams().any(|(from, _, stream)| from == queue && stream.id == id))
    }

    /// A received or an advance record.
    pub(super) fn arrival(&mut self, kind: Type, queue: u32, body: &[u8]) -> Result<()> {
        let (id, arrival) = parse(kind, body).ok_or_else(|| unread(kind.name()))?;
        if let Arrival::History(rows) = arrival {
            self.origins.insert(id.group, rows);
            self.others_changed = true;
            return Ok(());
        }
        self.arrived.insert(id);
        let row = self.received.entry(id).or_default();
        row.queue = queue;
        row.stamp = arrival.leads_to().or(row.stamp);
        match arrival {
            Arrival::Opened(user, target) => {
                (row.user, row.target) = (user.to_string(), target.to_string());
            }
            Arrival::Orphan(_, first, last, _) => {
                let orphans = last.saturating_sub(first).saturating_add(1);
                row.orphans = row.orphans.saturating_add(orphans);
            }
            Arrival::Gap(..) => row.gaps = row.gaps.saturating_add(1),
            Arrival::Skipped(..) => row.skipped = row.skipped.saturating_add(1),
            _ => {}
        }
        Ok(())
    }

    /// A record about a member of the group.
    pub(super) fn member(&mut self, body: &[u8]) -> Result<()> {
        let Some((1, rest)) = body.split_first().map(|(op, rest)| (*op, rest)) else {
            return Err(unread("members"));
        };
        let (store, identity) = rest.split_first_chunk().ok_or_else(|| unread("members"))?;
        self.files.insert(*store, identity.to_vec());
        Ok(())
    }

    /// The body of the record that says in which files a member lives.
    pub(super) fn encode_member(store: &[u8; 16], identity: &[u8]) -> Vec<u8> {
        [&[1][..], store, identity].concat()
    }

    /// The rows of the streams that changed.
    pub(super) fn freeze_received(&self, received: u32, rows: &mut Rows) {
        let changed = self.arrived.iter().filter_map(|id| Some((id, self.received.get(id)?)));
        for (id, row) in changed {
            let head = [&id.group[..], &id.id.to_le_bytes(), &row.queue.to_le_bytes()].concat();
            let stamp = row.stamp.unwrap_or_default().to_bytes();
            let words: Vec<u8> =
                [row.orphans, row.gaps, row.skipped].iter().flat_map(|w| w.to_le_bytes()).collect();
            let (begun, user) = (u8::from(row.stamp.is_some()), row.user.as_bytes());
            let lengths = [begun, u8::try_from(user.len()).unwrap_or(u8::MAX)];
            let tail = [&words[..], &lengths, user, row.target.as_bytes()].concat();
            rows.put((received, HOP), received, &[&head, &stamp, &tail]);
        }
    }

    pub(super) fn freeze_origins(&self, [origin, file]: [u32; 2], rows: &mut Rows) {
        for (group, history) in &self.origins {
            rows.put((origin, 16), origin, &[group, &encode_rows(history)]);
        }
        for (store, identity) in &self.files {
            rows.put((file, 17), file, &[&Self::encode_member(store, identity)]);
        }
    }

    pub(super) fn thaw_received(&mut self, row: &[u8]) -> bool {
        const STAMP: usize = 28;
        const WORDS: usize = STAMP + STAMP_SIZE;
        const USER: usize = WORDS + 26;
        let Some((id, _)) = stream_id(row) else { return false };
        let Some(names) = row.get(USER..) else { return false };
        let Some((user, target)) = names.split_at_checked(usize::from(row[USER - 1])) else {
            return false;
        };
        let (Some(user), Some(target)) = (utf8(user), utf8(target)) else { return false };
        let stamp = Stamp::from_bytes(&row[STAMP..]).filter(|_| row[USER - 2] != 0);
        let received = Received {
            queue: u32_at(row, 24),
            stamp,
            user: user.to_string(),
            target: target.to_string(),
            orphans: u64_at(row, WORDS),
            gaps: u64_at(row, WORDS + 8),
            skipped: u64_at(row, WORDS + 16),
        };
        self.received.insert(id, received).is_none()
    }

    pub(super) fn thaw_origin(&mut self, row: &[u8]) -> bool {
        let Some((group, rows)) = row.split_first_chunk() else { return false };
        let Some(rows) = decode_rows(rows) else { return false };
        self.origins.insert(*group, rows).is_none()
    }
}

/// A link's claim on a received stream; a newer one fences it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkClaim {
    /// The stream.
    pub stream: StreamId,
    turn: u64,
}

impl Core {
    /// Makes this the one live link of a stream: an older one is fenced from now on.
    pub fn claim_link(&self, stream: StreamId) -> LinkClaim {
        let mut links = self.live.links.lock();
        let turn = links.entry((stream.group, stream.id)).or_insert(0);
        *turn += 1;
        LinkClaim { stream, turn: *turn }
    }

    /// Fails when a newer link has taken the stream over.
    pub fn check_link(&self, claim: &LinkClaim) -> Result<()> {
        let links = self.live.links.lock();
        let turn = links.get(&(claim.stream.group, claim.stream.id));
        if turn == Some(&claim.turn) || sabotage!("older link not fenced") {
            return Ok(());
        }
        let text = format!(
            "stream {:016x} of group {} is served by a newer link",
            claim.stream.id,
            GroupId::from_bytes(claim.stream.group)
        );
        Err(Error::new(Code::Fenced, text))
    }

    /// Appends what arrived on a stream as one transaction; it is not durable yet.
    ///
    /// The claim must be in force, and what arrived must follow what the stream has; both are checked under the
    /// lock under which it is applied. Producers are not checked: a selection has gaps.
    pub fn receive(
        &self,
        claim: &LinkClaim,
        queue: u32,
        entries: &[Entry<'_>],
        arrivals: &[Arrival<'_>],
    ) -> Result<Appended> {
        self.arrive(claim, queue, arrivals, |records, check| {
            self.transact_checked(entries, records, Level::Power, true, check)
        })
    }

    /// The same with messages that were staged.
    pub fn receive_staged(
        &self,
        claim: &LinkClaim,
        queue: u32,
        staging: &mut Staging,
        arrivals: &[Arrival<'_>],
    ) -> Result<Appended> {
        self.arrive(claim, queue, arrivals, |records, check| {
            self.transact_large(staging, records, Level::Power, true, check)
        })
    }

    /// Commits arrivals, with the messages that `transact` knows of.
    fn arrive(
        &self,
        claim: &LinkClaim,
        queue: u32,
        arrivals: &[Arrival<'_>],
        transact: impl FnOnce(&[(Type, u32, Vec<u8>)], &dyn Fn(&State) -> Result<()>) -> Result<Staged>,
    ) -> Result<Appended> {
        let check = |state: &State| self.check_arrivals(state, claim, arrivals);
        let records: Vec<_> =
            arrivals.iter().map(|arrival| arrival.encode(&claim.stream, queue)).collect();
        let staged = transact(&records, &check)?;
        staged.appended.ok_or_else(|| Error::new(Code::Panic, "an arrival is always a record"))
    }

    /// Fails when a newer link has taken over, and when what arrived does not follow what is there.
    fn check_arrivals(
        &self,
        state: &State,
        claim: &LinkClaim,
        arrivals: &[Arrival<'_>],
    ) -> Result<()> {
        self.check_link(claim)?;
        let row = state.received.get(&claim.stream);
        if row.is_none() && state.received.len() >= limits::RECEIVED_MAX {
            let text =
                format!("{} receives {} streams already", self.describe(), limits::RECEIVED_MAX);
            return Err(Error::new(Code::Quota, text));
        }
        let mut has = row.and_then(|row| row.stamp);
        for arrival in arrivals {
            if let Some(previous) = arrival.follows()
                && has != Some(previous)
                && !sabotage!("arrival taken twice")
            {
                return Err(out_of_line(claim, has, previous));
            }
            has = arrival.leads_to().or(has);
        }
        Ok(())
    }
}

fn out_of_line(claim: &LinkClaim, has: Option<Stamp>, previous: Stamp) -> Error {
    let has = has.map_or("nothing".to_string(), |stamp| stamp.to_string());
    let id = claim.stream.id;
    let text = format!("stream {id:016x} has {has}, and what arrived follows {previous}");
    Error::new(Code::Protocol, text)
}
