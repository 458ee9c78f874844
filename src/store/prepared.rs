//! Transactions that are prepared: whole, durable and seen by nobody, until somebody outside says what becomes of them.
//!
//! What such a transaction puts lies in staged files, which no record has adopted yet; what it acknowledges is noted
//! and held: given to nobody. Its row is a part of the state, so it outlives every segment. It ends in one transaction:
//! a commit adopts the files and acknowledges what was held, a roll back says that it never will be. How it ended stays
//! known for a while, so that who asks twice hears the same twice.
//!
//! ```text
//! prepared  digest (8), op (1), identity (28), time in ms since 1970 UTC (8); then for op
//!             1 prepare    length of the user's name (1), it, length of the xid (1), it, number of changes (4), each:
//!                          type (1): 2 ack, 4 consumer; number of its queue (4), length (4), body; then, where it
//!                          puts messages, the body of an `adopt` record whose sequences count from 0
//!             2 commit     1 where it was done by hand, else 0 (1), length of the name (1) of who did it, it
//!             3 roll back  the same
//! row       identity (28), prepared at (8), length of the user's name (1), it, length of the xid (1), it, op (1); then
//!           for op 1 number of changes, changes and files as above; for 2 and 3 the transaction that ended it (8), when
//!           that was (8), by hand (1), length of the name (1), it
//! ```
//!
//! The digest is what the chain takes of the record, since queue numbers and files are this store's own: XXH3-64 over
//! all from op to xid, then of each change its type (1), XXH3-64 of the queue's name (8) and body, then the digest of
//! the messages (8, zero without any); for 2 and 3 over all from op on.
//!
//! Promises: nothing decides by itself; what one of them holds is given to nobody, and whoever put as its producers
//! waits, until it ended; one that ended is committed or rolled back for ever.

use super::record::{self, Change, unread};
use super::sessions::{TRANSACTION_ID_SIZE, TransactionId};
use super::state::State;
use crate::error::{Code, Error, Result};
use crate::journal::{Adoption, Rows, Type, u64_at};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// A record that waits for its commit: type, queue and body.
pub type Noted = (Type, u32, Vec<u8>);

/// A transaction that is prepared, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedRow {
    /// Whose it is; empty for whoever opened the directory.
    pub user: String,
    /// What its coordinator calls it, or empty.
    pub xid: Vec<u8>,
    /// When it was prepared, in milliseconds since 1970 UTC.
    pub since_ms: u64,
    /// How far it is.
    pub phase: Phase,
}

/// How far a prepared transaction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits.
    Waits(Work),
    /// It ended.
    Ended(End),
}

/// What a prepared transaction does when it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Acknowledges.
    pub changes: Vec<Noted>,
    /// Puts; the sequences count from 0.
    pub body: Option<Adoption>,
}

/// How a prepared transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether it was committed.
    pub committed: bool,
    /// The transaction in which it ended.
    pub transaction: u64,
    /// When that was, in milliseconds since 1970 UTC.
    pub time_ms: u64,
    /// Whether that was an operator's decision, and not its coordinator's.
    pub by_hand: bool,
    /// Who did it; empty for whoever opened the directory.
    pub by: String,
}

/// Queue, consumer, and first and last sequence of each run that is held of it.
pub type HeldOf = (u32, String, Vec<(u64, u64)>);

/// What is held of a consumer: first and last sequence of each run.
type Runs = BTreeMap<u64, u64>;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    rows: BTreeMap<TransactionId, Arc<PreparedRow>>,
    /// By queue and consumer.
    held: BTreeMap<u32, BTreeMap<String, Runs>>,
    /// Producers of which a transaction that waits has messages.
    producers: BTreeSet<Vec<u8>>,
    waiting: usize,
    /// Bytes of the rows of those that wait.
    bytes: usize,
    /// The same of each user.
    users: BTreeMap<String, (usize, usize)>,
    /// By the transaction that ended them: those that ended as was planned, and those that were ended by hand.
    ended: [BTreeMap<u64, TransactionId>; 2],
    /// Those that changed since the state was last handed over.
    changed: BTreeSet<TransactionId>,
}

const PREPARE: u8 = 1;
const COMMIT: u8 = 2;
const ROLLBACK: u8 = 3;
/// Bytes of the digest.
const DIGEST: usize = 8;
/// Where the identity stands in a record.
const ID_AT: usize = DIGEST + 1;
/// Bytes of a record before what its op adds.
const FRONT: usize = ID_AT + TRANSACTION_ID_SIZE + 8;

impl Work {
    /// Its adoption with the places the messages get: `next` tells the next sequence of a queue.
    pub fn placed(&self, next: &dyn Fn(u32) -> Result<u64>) -> Result<Option<Adoption>> {
        let Some(mut body) = self.body.clone() else { return Ok(None) };
        body.go_to(next)?;
        Ok(Some(body))
    }

    /// Queue, consumer and first and last sequence of what it holds.
    pub fn held(&self) -> Vec<HeldOf> {
        let of = |(kind, queue, body): &Noted| {
            let Ok(Change::Ack(name, ranges)) = record::ack(body) else { return None };
            let name = (*kind == Type::Ack).then(|| std::str::from_utf8(name).ok())??;
            Some((*queue, name.to_string(), ranges))
        };
        self.changes.iter().filter_map(of).collect()
    }

    /// Messages and bytes it puts.
    pub fn puts(&self) -> (u64, u64) {
        let shares = self.body.iter().flat_map(|body| &body.shares);
        shares.fold((0, 0), |(count, bytes), share| (count + share.count, bytes + share.bytes))
    }

    /// Bytes it costs in memory, more or less.
    fn bytes(&self) -> usize {
        let changes = self.changes.iter().map(|(.., body)| body.len() + limits::RECORD_BYTES);
        let files = self.body.iter().flat_map(|body| &body.files);
        let files = files.map(|file| limits::RECORD_BYTES + 16 * file.rows.len());
        changes.sum::<usize>() + files.sum::<usize>()
    }

    fn producers(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.body.iter().flat_map(|body| &body.producers).map(|(id, _)| id)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&word(self.changes.len()));
        for (kind, queue, body) in &self.changes {
            out.push(*kind as u8);
            out.extend_from_slice(&queue.to_le_bytes());
            out.extend_from_slice(&word(body.len()));
            out.extend_from_slice(body);
        }
        if let Some(body) = &self.body {
            out.extend_from_slice(&body.encode());
        }
    }

    fn decode(mut rest: &[u8]) -> Option<Work> {
        let mut work = Work::default();
        for _ in 0..u32::from_le_bytes(*take::<4>(&mut rest)?) {
            let kind = match take::<1>(&mut rest)?[0] {
                kind if kind == Type::Ack as u8 => Type::Ack,
                kind if kind == Type::Consumer as u8 => Type::Consumer,
                _ => return None,
            };
            let queue = u32::from_le_bytes(*take(&mut rest)?);
            let length = u32::from_le_bytes(*take(&mut rest)?) as usize;
            let (body, behind) = rest.split_at_checked(length)?;
            let sound = match kind {
                Type::Ack => record::ack(body).is_ok(),
                _ => record::consumer(body).is_ok(),
            };
            if !sound {
                return None;
            }
            work.changes.push((kind, queue, body.to_vec()));
            rest = behind;
        }
        if !rest.is_empty() {
            work.body = Some(Adoption::decode(rest)?);
        }
        Some(work)
    }
}

impl PreparedRow {
    /// What it does when it is committed, while it waits.
    pub fn work(&self) -> Option<&Work> {
        match &self.phase {
            Phase::Waits(work) => Some(work),
            Phase::Ended(_) => None,
        }
    }

    /// The record that prepares it; `name_of` tells the name of a queue.
    pub fn record(&self, id: &TransactionId, name_of: &dyn Fn(u32) -> String) -> Noted {
        let mut body = begin(PREPARE, id, self.since_ms);
        put_text(self.user.as_bytes(), &mut body);
        put_text(&self.xid, &mut body);
        let mut digest = Xxh3::new();
        digest.update(&body[DIGEST..]);
        if let Phase::Waits(work) = &self.phase {
            for (kind, queue, body) in &work.changes {
                digest.update(&[*kind as u8]);
                digest.update(&xxh3_64(name_of(*queue).as_bytes()).to_le_bytes());
                digest.update(body);
            }
            digest.update(&work.body.as_ref().map_or(0, |body| body.digest).to_le_bytes());
            work.encode(&mut body);
        }
        finished(body, digest.digest())
    }

    fn encode(&self, id: &TransactionId) -> Vec<u8> {
        let mut out = id.to_bytes().to_vec();
        out.extend_from_slice(&self.since_ms.to_le_bytes());
        put_text(self.user.as_bytes(), &mut out);
        put_text(&self.xid, &mut out);
        match &self.phase {
            Phase::Waits(work) => {
                out.push(PREPARE);
                work.encode(&mut out);
            }
            Phase::Ended(end) => {
                out.push(if end.committed { COMMIT } else { ROLLBACK });
                out.extend_from_slice(&end.transaction.to_le_bytes());
                out.extend_from_slice(&end.time_ms.to_le_bytes());
                out.push(u8::from(end.by_hand));
                put_text(end.by.as_bytes(), &mut out);
            }
        }
        out
    }

    fn decode(row: &[u8]) -> Option<(TransactionId, PreparedRow)> {
        let (id, mut rest) = row.split_at_checked(TRANSACTION_ID_SIZE)?;
        let id = TransactionId::parse(id).ok()?;
        let since_ms = take_long(&mut rest)?;
        let (user, xid) = (take_name(&mut rest)?, take_text(&mut rest)?.to_vec());
        let phase = match take::<1>(&mut rest)?[0] {
            PREPARE => Phase::Waits(Work::decode(rest)?),
            op @ (COMMIT | ROLLBACK) => {
                let (transaction, time_ms) = (take_long(&mut rest)?, take_long(&mut rest)?);
                let (by_hand, by) = take_who(rest)?;
                Phase::Ended(End { committed: op == COMMIT, transaction, time_ms, by_hand, by })
            }
            _ => return None,
        };
        Some((id, PreparedRow { user, xid, since_ms, phase }))
    }
}

/// The record that ends one: it is committed by the transaction the record stands in, or never will be.
pub fn end_record(id: &TransactionId, committed: bool, now_ms: u64, who: (bool, &str)) -> Noted {
    let mut body = begin(if committed { COMMIT } else { ROLLBACK }, id, now_ms);
    body.push(u8::from(who.0));
    put_text(who.1.as_bytes(), &mut body);
    let digest = xxh3_64(&body[DIGEST..]);
    finished(body, digest)
}

/// Whether a record prepares a transaction, which keeps what it takes.
pub fn prepares((kind, _, body): &Noted) -> bool {
    *kind == Type::Prepared && body.get(DIGEST) == Some(&PREPARE)
}

fn begin(op: u8, id: &TransactionId, now_ms: u64) -> Vec<u8> {
    let mut body = vec![0; DIGEST];
    body.push(op);
    body.extend_from_slice(&id.to_bytes());
    body.extend_from_slice(&now_ms.to_le_bytes());
    body
}

fn finished(mut body: Vec<u8>, digest: u64) -> Noted {
    body[..DIGEST].copy_from_slice(&digest.to_le_bytes());
    (Type::Prepared, 0, body)
}

fn word(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

fn put_text(text: &[u8], out: &mut Vec<u8>) {
    // All of them were measured before they came here.
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text);
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(taken)
}

fn take_long(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(|long| u64::from_le_bytes(*long)).filter(|long| *long < limits::NUMBERS_END)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take::<1>(rest)?[0];
    let (text, behind) = rest.split_at_checked(usize::from(length))?;
    *rest = behind;
    Some(text)
}

fn take_name(rest: &mut &[u8]) -> Option<String> {
    std::str::from_utf8(take_text(rest)?).ok().map(str::to_string)
}

/// Whether it was done by hand and by whom, and nothing behind.
fn take_who(mut rest: &[u8]) -> Option<(bool, String)> {
    let by_hand = take::<1>(&mut rest)?[0];
    let by = take_name(&mut rest)?;
    (rest.is_empty() && by_hand <= 1).then_some((by_hand == 1, by))
}

impl Prepared {
    /// The row of a transaction.
    pub fn get(&self, id: &TransactionId) -> Option<&Arc<PreparedRow>> {
        self.rows.get(id)
    }

    /// All rows, in the order of their identities.
    pub fn iter(&self) -> impl Iterator<Item = (&TransactionId, &Arc<PreparedRow>)> {
        self.rows.iter()
    }

    /// Those that wait.
    pub fn waiting(&self) -> impl Iterator<Item = (&TransactionId, &PreparedRow, &Work)> {
        let rows = self.rows.iter().filter(|_| self.waiting > 0);
        rows.filter_map(|(id, row)| Some((id, &**row, row.work()?)))
    }

    /// Whether a message is held for a consumer by one of them.
    #[inline]
    pub fn holds(&self, queue: u32, consumer: &str, sequence: u64) -> bool {
        if self.held.is_empty() || sabotage!("held by a prepared transaction and given out") {
            return false;
        }
        let runs = self.held.get(&queue).and_then(|of| of.get(consumer));
        let run = runs.and_then(|runs| runs.range(..=sequence).next_back());
        run.is_some_and(|(_, last)| sequence <= *last)
    }

    /// How many messages they hold of a consumer.
    pub fn held_of(&self, queue: u32, consumer: &str) -> usize {
        let runs = self.held.get(&queue).and_then(|of| of.get(consumer));
        let count = runs.map_or(0, |runs| runs.iter().map(|(first, last)| last - first + 1).sum());
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Whether one of them has messages of a producer.
    pub fn has_producer(&self, id: &[u8]) -> bool {
        self.producers.contains(id)
    }

    /// One that puts into a queue.
    pub fn puts_into(&self, queue: u32) -> Option<&TransactionId> {
        let puts =
            |work: &Work| work.body.as_ref().is_some_and(|body| body.share_of(queue).is_some());
        self.waiting().find(|(.., work)| puts(work)).map(|(id, ..)| id)
    }

    /// Whether there is room for one more of this user, who has so many percent of it.
    pub fn check_room(&self, row: &PreparedRow, share: u32) -> Result<()> {
        let same = |other: &PreparedRow| other.user == row.user && other.xid == row.xid;
        if !row.xid.is_empty()
            && let Some((id, ..)) = self.waiting().find(|(_, other, _)| same(other))
        {
            let text = format!("transaction {id} is prepared under the same xid");
            return Err(Error::new(Code::Exists, text));
        }
        let more = row.work().map_or(0, Work::bytes);
        let part = |most: usize| most * share.clamp(1, 100) as usize / 100;
        let (count, bytes) = self.users.get(&row.user).copied().unwrap_or_default();
        let fits = count < part(limits::PREPARED_MAX);
        if share < 100 && !(fits && bytes + more <= part(limits::PREPARED_BYTES_MAX)) {
            let text = format!(
                "user {:?} has {count} prepared transactions that wait, and {bytes} bytes of what they acknowledge and \
                 name: the most of one user",
                row.user
            );
            return Err(Error::new(Code::Quota, text));
        }
        if self.waiting < limits::PREPARED_MAX && self.bytes + more <= limits::PREPARED_BYTES_MAX {
            return Ok(());
        }
        let text = format!(
            "{} prepared transactions wait already, and {} bytes of what they acknowledge and name",
            self.waiting, self.bytes
        );
        Err(Error::new(Code::Quota, text))
    }

    fn insert(&mut self, id: TransactionId, row: PreparedRow) {
        self.remove(&id);
        match &row.phase {
            Phase::Waits(work) => {
                self.waiting += 1;
                self.bytes += work.bytes();
                let (count, bytes) = self.users.entry(row.user.clone()).or_default();
                (*count, *bytes) = (*count + 1, *bytes + work.bytes());
                self.producers.extend(work.producers().cloned());
                for (queue, consumer, runs) in work.held() {
                    self.held.entry(queue).or_default().entry(consumer).or_default().extend(runs);
                }
            }
            Phase::Ended(end) => {
                self.ended[usize::from(end.by_hand)].insert(end.transaction, id);
            }
        }
        self.rows.insert(id, Arc::new(row));
    }

    fn remove(&mut self, id: &TransactionId) {
        let Some(row) = self.rows.remove(id) else { return };
        match &row.phase {
            Phase::Waits(work) => {
                self.waiting -= 1;
                self.bytes -= work.bytes();
                self.count_less(&row.user, work.bytes());
                work.producers().for_each(|id| _ = self.producers.remove(id));
                for (queue, consumer, runs) in work.held() {
                    self.let_go(queue, &consumer, &runs);
                }
            }
            Phase::Ended(end) => {
                self.ended[usize::from(end.by_hand)].remove(&end.transaction);
            }
        }
    }

    fn count_less(&mut self, user: &str, less: usize) {
        if let Some((count, bytes)) = self.users.get_mut(user) {
            (*count, *bytes) = (*count - 1, *bytes - less);
            if *count == 0 {
                self.users.remove(user);
            }
        }
    }

    fn let_go(&mut self, queue: u32, consumer: &str, runs: &[(u64, u64)]) {
        let Some(of) = self.held.get_mut(&queue) else { return };
        if let Some(held) = of.get_mut(consumer) {
            runs.iter().for_each(|(first, _)| _ = held.remove(first));
            if held.is_empty() {
                of.remove(consumer);
            }
        }
        if of.is_empty() {
            self.held.remove(&queue);
        }
    }

    /// Forgets how those ended that are too many, or too long ago.
    fn forget(&mut self, now_ms: u64) {
        let least = now_ms.saturating_sub(limits::SESSION_KEEP_MS);
        for (by_hand, most) in
            [limits::PREPARED_ENDED_MAX, limits::PREPARED_BY_HAND_MAX].into_iter().enumerate()
        {
            while let Some((_, id)) = self.ended[by_hand].first_key_value() {
                let id = *id;
                let old = self.rows.get(&id).is_some_and(|row| match &row.phase {
                    Phase::Ended(end) => !end.by_hand && end.time_ms < least,
                    Phase::Waits(_) => false,
                });
                if !old && self.ended[by_hand].len() <= most {
                    break;
                }
                self.remove(&id);
                self.changed.insert(id);
            }
        }
    }

    /// Writes the rows that changed to a run, and says which are gone.
    pub(super) fn freeze(&self, table: u32, rows: &mut Rows) {
        let key = (table, TRANSACTION_ID_SIZE);
        for id in &self.changed {
            if sabotage!("prepared transactions lost at a roll") {
                break;
            }
            match self.rows.get(id) {
                Some(row) => rows.put(key, table, &[&row.encode(id)]),
                None => rows.gone(key, &id.to_bytes()),
            }
        }
    }

    /// What changed was handed over.
    pub(super) fn handed_over(&mut self) {
        self.changed.clear();
    }

    /// Takes a row back; false when it cannot be read.
    pub(super) fn thaw(&mut self, row: &[u8]) -> bool {
        let Some((id, row)) = PreparedRow::decode(row) else { return false };
        let fresh = !self.rows.contains_key(&id);
        self.insert(id, row);
        fresh
    }
}

impl State {
    /// A record of a prepared transaction, in this transaction.
    pub(super) fn prepared_change(&mut self, transaction: u64, body: &[u8]) -> Result<()> {
        let wrong = || unread("prepared");
        if body.len() < FRONT {
            return Err(wrong());
        }
        let id = TransactionId::parse(&body[ID_AT..ID_AT + TRANSACTION_ID_SIZE]);
        let (id, time_ms, mut rest) =
            (id.map_err(|_| wrong())?, u64_at(body, FRONT - 8), &body[FRONT..]);
        if time_ms >= limits::NUMBERS_END {
            return Err(wrong());
        }
        match body[DIGEST] {
            PREPARE => {
                let user = take_name(&mut rest).ok_or_else(wrong)?;
                let xid = take_text(&mut rest).ok_or_else(wrong)?.to_vec();
                let phase = Phase::Waits(Work::decode(rest).ok_or_else(wrong)?);
                self.prepared.insert(id, PreparedRow { user, xid, since_ms: time_ms, phase });
                self.pass(&id, time_ms);
            }
            op @ (COMMIT | ROLLBACK) => {
                let (by_hand, by) = take_who(rest).ok_or_else(wrong)?;
                // One that is not there was forgotten.
                let Some(row) = self.prepared.get(&id) else { return Ok(()) };
                let end = End { committed: op == COMMIT, transaction, time_ms, by_hand, by };
                let row = PreparedRow { phase: Phase::Ended(end), ..PreparedRow::clone(row) };
                self.prepared.insert(id, row);
                self.reclaim_due = true;
            }
            _ => return Err(wrong()),
        }
        self.prepared.changed.insert(id);
        self.prepared.forget(time_ms);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId { session: *b"0123456789abcdef", epoch: 2, number: 7 };
    const ID_OF_ONE: TransactionId = TransactionId { number: 1, ..ID };

    fn row() -> PreparedRow {
        let ack = Change::Ack(b"c", vec![(3, 3), (5, 9)]).encode();
        let work = Work { changes: vec![(Type::Ack, 4, ack)], body: None };
        PreparedRow {
            user: "ann".into(),
            xid: b"x\0y".to_vec(),
            since_ms: 5,
            phase: Phase::Waits(work),
        }
    }

    fn name(_: u32) -> String {
        "q".into()
    }

    #[test]
    fn golden_bytes_of_records_and_rows() {
        let front = b"0123456789abcdef\0\0\0\x02\0\0\0\0\0\0\0\x07";
        let (kind, queue, body) = row().record(&ID, &name);
        assert_eq!((kind, queue), (Type::Prepared, 0));
        let ack = b"\x01c\x03\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0";
        let work = [&b"\x01\0\0\0\x02\x04\0\0\0\x22\0\0\0"[..], ack].concat();
        let names = b"\x05\0\0\0\0\0\0\0\x03ann\x03x\0y";
        assert_eq!(body[8..], [&b"\x01"[..], front, names, &work].concat());
        let stored = [&front[..], names, b"\x01", &work].concat();
        assert_eq!(row().encode(&ID), stored);
        let (_, _, end) = end_record(&ID, true, 9, (true, "bob"));
        let who = b"\x09\0\0\0\0\0\0\0\x01\x03bob";
        assert_eq!(end[8..], [&b"\x02"[..], front, who].concat());
        assert_eq!(u64_at(&end, 0), xxh3_64(&end[8..]));
    }

    #[test]
    fn a_digest_does_not_depend_on_the_number_of_a_queue() {
        let (.., one) = row().record(&ID, &name);
        let mut other = row();
        if let Phase::Waits(work) = &mut other.phase {
            work.changes[0].1 = 9;
        }
        let (.., other) = other.record(&ID, &name);
        assert_ne!(one, other);
        assert_eq!(one[..8], other[..8]);
        let (.., renamed) = row().record(&ID, &|_| "other".into());
        assert_ne!(one[..8], renamed[..8]);
    }

    #[test]
    fn a_row_comes_back_from_a_run_and_cut_or_longer_ones_are_refused() {
        let mut state = State::default();
        state.prepared_change(3, &row().record(&ID, &name).2).unwrap();
        for ended in [false, true] {
            if ended {
                state.prepared_change(4, &end_record(&ID, false, 9, (true, "bob")).2).unwrap();
            }
            let bytes = state.prepared.get(&ID).unwrap().encode(&ID);
            let mut thawed = Prepared::default();
            for cut in 0..bytes.len() {
                assert!(!thawed.thaw(&bytes[..cut]), "{cut}");
            }
            assert!(!thawed.thaw(&[&bytes[..], b"x"].concat()));
            assert!(thawed.thaw(&bytes));
            thawed.changed.insert(ID);
            assert_eq!(thawed, state.prepared);
        }
    }

    #[test]
    fn cut_records_are_refused() {
        for (.., record) in [row().record(&ID, &name), end_record(&ID, true, 9, (false, ""))] {
            for cut in 0..record.len() {
                let error = State::default().prepared_change(3, &record[..cut]).unwrap_err();
                assert_eq!(error.code(), Code::Version, "{cut}");
            }
        }
    }

    #[test]
    fn what_waits_holds_its_messages_until_it_ends() {
        let mut state = State::default();
        state.prepared_change(3, &row().record(&ID, &name).2).unwrap();
        let held: Vec<u64> = (1..12).filter(|at| state.prepared.holds(4, "c", *at)).collect();
        assert_eq!(held, [3, 5, 6, 7, 8, 9]);
        assert_eq!(state.prepared.held_of(4, "c"), 6);
        assert!(!state.prepared.holds(4, "d", 3) && !state.prepared.holds(5, "c", 3));
        let again = state.prepared.check_room(&row(), 100).unwrap_err();
        assert_eq!(again.code(), Code::Exists);
        state.prepared_change(4, &end_record(&ID, true, 9, (false, "")).2).unwrap();
        assert_eq!(state.prepared.held_of(4, "c"), 0);
        state.prepared.check_room(&row(), 100).unwrap();
        assert_eq!((state.prepared.waiting, state.prepared.bytes), (0, 0));
        assert!(state.prepared.users.is_empty());
    }

    #[test]
    fn a_user_has_its_share_and_others_have_the_rest() {
        let mut state = State::default();
        let of = |user: &str| PreparedRow { user: user.into(), xid: Vec::new(), ..row() };
        let add = |state: &mut State, number: usize, row: &PreparedRow| {
            let id = TransactionId { number: number as u64, ..ID };
            state.prepared_change(number as u64, &row.record(&id, &name).2).unwrap();
        };
        let most = limits::PREPARED_MAX / 4;
        for number in 1..=most {
            state.prepared.check_room(&of("ann"), 25).unwrap();
            add(&mut state, number, &of("ann"));
        }
        let refused = state.prepared.check_room(&of("ann"), 25).unwrap_err();
        assert_eq!(refused.code(), Code::Quota);
        assert!(refused.to_string().contains("\"ann\" has 256 prepared"), "{refused}");
        state.prepared.check_room(&of("ben"), 25).unwrap();
        state.prepared.check_room(&of("ann"), 26).unwrap();
        state.prepared.check_room(&of("ann"), 100).unwrap();
        state.prepared_change(9_999, &end_record(&ID_OF_ONE, true, 9, (false, "")).2).unwrap();
        state.prepared.check_room(&of("ann"), 25).unwrap();
        // Of the bytes, too.
        let ranges = (0..limits::PREPARED_BYTES_MAX as u64 / 64).map(|n| (2 * n + 1, 2 * n + 1));
        let ack = Change::Ack(b"c", ranges.collect()).encode();
        let large = Work { changes: vec![(Type::Ack, 4, ack)], body: None };
        let large = PreparedRow { phase: Phase::Waits(large), ..of("cid") };
        assert_eq!(state.prepared.check_room(&large, 25).unwrap_err().code(), Code::Quota);
        state.prepared.check_room(&large, 50).unwrap();
    }

    #[test]
    fn of_those_that_ended_the_latest_are_known_for_a_day_and_those_by_hand_longer() {
        let mut state = State::default();
        let id = |number| TransactionId { number, ..ID };
        for number in 1..=3 {
            let row = PreparedRow { xid: Vec::new(), ..row() };
            state.prepared_change(number, &row.record(&id(number), &name).2).unwrap();
        }
        state.prepared_change(11, &end_record(&id(1), true, 9, (false, "")).2).unwrap();
        state.prepared_change(12, &end_record(&id(2), true, 9, (true, "")).2).unwrap();
        assert_eq!(state.prepared.rows.len(), 3);
        let day = limits::SESSION_KEEP_MS + 10;
        state.prepared_change(13, &end_record(&id(3), false, day, (false, "")).2).unwrap();
        let known: Vec<u64> = state.prepared.rows.keys().map(|id| id.number).collect();
        assert_eq!(known, [2, 3]);
        assert!(state.prepared.changed.contains(&id(1)), "a run says that it is gone");
    }
}
