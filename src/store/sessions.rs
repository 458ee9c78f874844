//! Sessions that are remembered: who they are, and which of their transactions were committed.
//!
//! A transaction of such a session has an identity, [`TransactionId`], before it is committed: the session, its
//! epoch and a number. The store keeps one row a session: up to which number all is decided, and the last one that
//! was committed. The record that says so rides in the transaction it is about, so the two are never apart.
//!
//! ```text
//! session   op (1), session (16), epoch (4), number (8), time in ms since 1970 UTC (8); then for op
//!             1 open     length of the user's name (1), it, length of the session's name (1), it: the epoch begins
//!             2 commit   nothing: the transaction the record stands in is the one of this number
//!             3 refuse   nothing: what is not committed up to this number never will be
//!             4 forget   nothing: the row is gone
//!             5 repeat   transaction (8): as 2, but all that the transaction put had come with this earlier one, as the
//!                        last of its producers, and nothing of it was put again
//! row       session (16), epoch (4), decided up to number (8), epoch (4) and number (8) of the last commit, its
//!           transaction (8; 0 where that one was prepared, see `prepared`), last used (8), length of the user's name (1), it, length of the session's name (1), it
//! ```
//!
//! Promises: a number is committed once or never; what [`Core::resolve`] answered stays true, whatever arrives
//! later; a session is opened, continued and resolved only by the user who opened it first.
//! Relies on: the state's lock, under which a commit looks at its row and changes it.

use super::fence::{Fence, OnFenced};
use super::record::unread;
use super::remembered::{SessionId, SessionRow};
use super::state::{State, check_name};
use super::{Core, Entry, Level, Staged};
use crate::error::{Code, Error, Result};
use crate::journal::{Rows, Staging, Type, u32_at, u64_at};
use crate::limits;
use crate::position::Token;
use crate::sync::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The number of bytes of a transaction's identity.
pub const TRANSACTION_ID_SIZE: usize = 28;

/// The identity of a session's transaction, known before its commit and after.
///
/// Its text is the session in hexadecimal digits, the epoch and the number, with dots between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId {
    /// The session.
    pub session: [u8; 16],
    /// Which of its owners, one after the other.
    pub epoch: u32,
    /// Which of the owner's transactions, from 1.
    pub number: u64,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is committed, durably.
    Committed(Token),
    /// It is not, and never will be.
    RolledBack,
    /// It is not known yet: it is prepared and waits for its coordinator, or its commit waits for other members of the group.
    Pending,
    /// Nobody knows any more: later transactions of the session were committed, or it was forgotten.
    Expired,
}

/// A remembered session, seen from outside.
pub struct KnownSession {
    /// Its id.
    pub session: SessionId,
    /// Its row.
    pub row: SessionRow,
    /// Its last transaction that was committed, and where that is.
    pub committed: Option<(TransactionId, Token)>,
    /// Whether it is open in this process.
    pub open: bool,
}

/// The sessions of this process, by id: whether another took over.
#[derive(Default)]
pub struct OpenSessions(Mutex<Open>);

#[derive(Default)]
struct Open {
    sessions: HashMap<SessionId, Arc<Fence>>,
    /// Where the next look for rows of age begins.
    looked: SessionId,
}

/// The identity of an open session.
pub struct Identity {
    core: Arc<Core>,
    /// The identity of the transaction that is open.
    pub id: TransactionId,
    fence: Arc<Fence>,
}

/// Finds the session that is to go on.
type Find<'a> = dyn Fn(&State) -> Result<Option<(SessionId, &SessionRow)>> + 'a;

const OPEN: u8 = 1;
const COMMIT: u8 = 2;
const REFUSE: u8 = 3;
const FORGET: u8 = 4;
const REPEAT: u8 = 5;
/// Bytes of a record before what its op adds.
const FRONT: usize = 37;
const ROW: usize = 56;
/// Bytes of the id of a session, which its row begins with.
const SESSION_ID: usize = 16;

impl TransactionId {
    /// The 28 bytes, the same on every machine: session, epoch and number, big-endian.
    pub fn to_bytes(&self) -> [u8; TRANSACTION_ID_SIZE] {
        let mut bytes = [0; TRANSACTION_ID_SIZE];
        bytes[..16].copy_from_slice(&self.session);
        bytes[16..20].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[20..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// Reads what [`TransactionId::to_bytes`] wrote, or the text. Fails with INVALID on anything else.
    pub fn parse(input: &[u8]) -> Result<TransactionId> {
        if let Ok(bytes) = <&[u8; TRANSACTION_ID_SIZE]>::try_from(input) {
            let (session, rest) = bytes.split_at(16);
            let (epoch, number) = rest.split_at(4);
            return TransactionId {
                session: session.try_into().unwrap_or_default(),
                epoch: u32::from_be_bytes(epoch.try_into().unwrap_or_default()),
                number: u64::from_be_bytes(number.try_into().unwrap_or_default()),
            }
            .checked();
        }
        std::str::from_utf8(input).map_err(|_| no_id())?.parse()
    }

    fn checked(self) -> Result<TransactionId> {
        if self.epoch == 0 || self.number == 0 { Err(no_id()) } else { Ok(self) }
    }

    fn place(&self) -> (u32, u64) {
        (self.epoch, self.number)
    }
}

fn no_id() -> Error {
    let text = "this is no identity of a transaction: 28 bytes, or 32 hexadecimal digits, epoch and number with dots \
                between them";
    Error::new(Code::Invalid, text)
}

impl fmt::Display for TransactionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
        write!(out, ".{}.{}", self.epoch, self.number)
    }
}

impl FromStr for TransactionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<TransactionId> {
        let mut parts = text.split('.');
        let (digits, epoch, number) = (parts.next(), parts.next(), parts.next());
        let (Some(digits), Some(epoch), Some(number), None) = (digits, epoch, number, parts.next())
        else {
            return Err(no_id());
        };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let hex = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let session = u128::from_str_radix(digits, 16).ok().filter(|_| hex).ok_or_else(no_id)?;
        let epoch = epoch.parse().ok().filter(|_| plain(epoch)).ok_or_else(no_id)?;
        let number = number.parse().ok().filter(|_| plain(number)).ok_or_else(no_id)?;
        // The digits stand for bytes in their order.
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (session >> (120 - 8 * at)) as u8;
        }
        TransactionId { session: bytes, epoch, number }.checked()
    }
}

fn record(op: u8, id: &TransactionId, now_ms: u64, names: &[&str]) -> (Type, u32, Vec<u8>) {
    let mut body = Vec::with_capacity(FRONT);
    body.push(op);
    body.extend_from_slice(&id.session);
    body.extend_from_slice(&id.epoch.to_le_bytes());
    body.extend_from_slice(&id.number.to_le_bytes());
    body.extend_from_slice(&now_ms.to_le_bytes());
    names.iter().for_each(|name| put_name(name, &mut body));
    (Type::Session, 0, body)
}

/// The record of a commit, where it is all that a transaction has beside what came with an earlier one already.
pub(super) fn repeating(
    changes: &[(Type, u32, Vec<u8>)],
    first: u64,
) -> Option<(Type, u32, Vec<u8>)> {
    let [(Type::Session, queue, body)] = changes else { return None };
    if body.first() != Some(&COMMIT) {
        return None;
    }
    let mut body = body.clone();
    body[0] = REPEAT;
    body.extend_from_slice(&first.to_le_bytes());
    Some((Type::Session, *queue, body))
}

fn put_name(name: &str, out: &mut Vec<u8>) {
    // Both were measured before they came here.
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
}

fn take_name<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, behind) = rest.split_first()?;
    let (name, left) = behind.split_at_checked(usize::from(*length))?;
    *rest = left;
    std::str::from_utf8(name).ok()
}

/// Two names and nothing behind them.
fn two_names(mut rest: &[u8]) -> Option<(String, String)> {
    let (user, name) = (take_name(&mut rest)?, take_name(&mut rest)?);
    rest.is_empty().then(|| (user.into(), name.into()))
}

/// Whether a session can have come so far: another epoch and number may follow.
fn is_place((epoch, number): (u32, u64)) -> bool {
    epoch < u32::MAX && number < limits::NUMBERS_END
}

impl State {
    /// A session record, in this transaction.
    pub(super) fn session_change(&mut self, transaction: u64, body: &[u8]) -> Result<()> {
        if body.len() < FRONT {
            return Err(unread("session"));
        }
        let session: [u8; 16] = body[1..17].try_into().unwrap_or_default();
        let place = (u32_at(body, 17), u64_at(body, 21));
        let (used_ms, rest) = (u64_at(body, 29), &body[FRONT..]);
        if !is_place(place) || used_ms >= limits::NUMBERS_END {
            return Err(unread("session"));
        }
        self.used.insert(session);
        if body[0] == OPEN {
            let (user, name) = two_names(rest).ok_or_else(|| unread("session"))?;
            let former = self.sessions.get(&session).cloned().unwrap_or_default();
            let row = SessionRow { decided: place, used_ms, user, name, ..former };
            self.sessions.insert(session, row);
            return Ok(());
        }
        let first = match (body[0], rest.len()) {
            (COMMIT | REFUSE | FORGET, 0) => transaction,
            (REPEAT, 8) => u64_at(rest, 0),
            _ => return Err(unread("session")),
        };
        if first > transaction {
            return Err(unread("session"));
        }
        if body[0] == FORGET {
            self.sessions.remove(&session);
            return Ok(());
        }
        // A row that is not there any more was forgotten.
        let Some(row) = self.sessions.get_mut(&session) else { return Ok(()) };
        row.used_ms = row.used_ms.max(used_ms);
        row.decided = row.decided.max(place);
        if matches!(body[0], COMMIT | REPEAT) {
            (row.committed, row.transaction) = (place, first);
            self.sessions.unheard.note(session, place, first);
        }
        Ok(())
    }

    /// A transaction of a session was prepared: what becomes of it is known elsewhere, and of those before nobody asks any
    /// more.
    pub(super) fn pass(&mut self, id: &TransactionId, used_ms: u64) {
        self.used.insert(id.session);
        let Some(row) = self.sessions.get_mut(&id.session) else { return };
        row.used_ms = row.used_ms.max(used_ms);
        row.decided = row.decided.max(id.place());
        if id.place() > row.committed {
            (row.committed, row.transaction) = (id.place(), 0);
        }
    }

    /// Writes the rows that changed to a run, and says which are gone.
    pub(super) fn freeze_sessions(&self, table: u32, rows: &mut Rows) {
        let key = (table, SESSION_ID);
        for session in &self.used {
            if sabotage!("sessions lost at a roll") {
                break;
            }
            let Some(row) = self.sessions.get(session) else {
                rows.gone(key, session);
                continue;
            };
            let mut out = Vec::with_capacity(ROW + 2);
            out.extend_from_slice(session);
            for (epoch, number) in [row.decided, row.committed] {
                out.extend_from_slice(&epoch.to_le_bytes());
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&row.transaction.to_le_bytes());
            out.extend_from_slice(&row.used_ms.to_le_bytes());
            put_name(&row.user, &mut out);
            put_name(&row.name, &mut out);
            rows.put(key, table, &[&out]);
        }
    }

    /// Takes a row back; false when it cannot be read.
    pub(super) fn thaw_session(&mut self, row: &[u8]) -> bool {
        let Some((front, rest)) = row.split_at_checked(ROW) else { return false };
        let Some((user, name)) = two_names(rest) else { return false };
        let place = |at: usize| (u32_at(front, at), u64_at(front, at + 4));
        let (transaction, used_ms) = (u64_at(front, 40), u64_at(front, 48));
        let (decided, committed) = (place(16), place(28));
        let sound = is_place(decided) && is_place(committed);
        if !sound || transaction.max(used_ms) >= limits::NUMBERS_END {
            return false;
        }
        let value = SessionRow { decided, committed, transaction, used_ms, user, name };
        let session = front[..16].try_into().unwrap_or_default();
        self.sessions.insert(session, value)
    }

    /// The row of the session, while its owner in this epoch has it.
    pub(super) fn owned(&self, id: &TransactionId) -> Result<&SessionRow> {
        let row = self.sessions.get(&id.session).filter(|row| {
            row.decided.0 == id.epoch || sabotage!("commit of a fenced session taken")
        });
        row.ok_or_else(|| fenced(&id.session))
    }

    /// Whether this transaction may be committed.
    pub(super) fn may_commit(&self, id: &TransactionId) -> Result<()> {
        let row = self.owned(id)?;
        let fenced = id.epoch < row.decided.0 && sabotage!("commit of a fenced session taken");
        if id.place() > row.decided || fenced || sabotage!("late commit of a session taken") {
            return Ok(());
        }
        let text = format!("transaction {id} was rolled back: its outcome was asked for before");
        Err(Error::new(Code::RolledBack, text))
    }
}

fn fenced(session: &[u8; 16]) -> Error {
    let session = u128::from_be_bytes(*session);
    Error::new(Code::Fenced, format!("session {session:032x} was taken over by another owner"))
}

/// What a look at a row says of a transaction.
enum Known {
    Outcome(Outcome),
    /// Nothing is decided.
    Open,
}

impl Core {
    /// Opens a session that is remembered for `user`: a new one, or where a name is given, the one of that name.
    ///
    /// Fails with EXISTS when it is open, unless `takeover`: then the other one is FENCED. DENIED for another user's.
    pub fn session_open(
        self: &Arc<Core>,
        user: &str,
        name: &str,
        takeover: bool,
    ) -> Result<Identity> {
        if name.is_empty() {
            return self.session_begin((user, name), true, &|_| Ok(None));
        }
        check_name("session", name)?;
        self.session_begin((user, name), takeover, &|state| Ok(state.sessions.named(name)))
    }

    /// Goes on with a session whose owner in this epoch lost its connection.
    ///
    /// Fails with FENCED when another owner came meanwhile or the session was forgotten, DENIED for another user's.
    pub fn session_resume(
        self: &Arc<Core>,
        user: &str,
        session: [u8; 16],
        epoch: u32,
    ) -> Result<Identity> {
        let name = self.look(|state| state.sessions.get(&session).map(|row| row.name.clone()));
        let name = name.unwrap_or_default();
        self.session_begin((user, &name), true, &|state| {
            let row = state.sessions.get(&session).filter(|row| row.decided.0 == epoch);
            row.map(|row| Some((session, row))).ok_or_else(|| fenced(&session))
        })
    }

    /// The owner of a session has heard what became of its transactions up to this one.
    pub fn session_heard(&self, id: &TransactionId) {
        self.state.lock().sessions.unheard.heard(&id.session, id.place());
    }

    /// How many sessions of a user are remembered.
    pub fn sessions_of(&self, user: &str) -> usize {
        self.look(|state| state.sessions.of_user(user))
    }

    /// Begins an epoch of the session that `find` finds, or of a new one.
    fn session_begin(
        self: &Arc<Core>,
        (user, name): (&str, &str),
        takeover: bool,
        find: &Find<'_>,
    ) -> Result<Identity> {
        self.check_writable()?;
        let mut drawn = [0; 16];
        let failed = |error| Error::io("cannot draw the id of a session", &error);
        self.journal.disk().random(&mut drawn).map_err(failed)?;
        // One at a time, so that a name is not found free twice.
        let mut open = self.sessions.0.lock();
        let now_ms = self.journal.disk().now_ms();
        let mut changes = self.forgotten(now_ms, &mut open);
        let gone = changes.len();
        let (session, epoch) = self.look(|state| match find(state)? {
            Some((_, row)) if row.user != user => Err(denied()),
            Some((session, row)) => Ok((session, row.decided.0 + 1)),
            None if state.sessions.len() - gone >= limits::SESSIONS_MAX => {
                let count = limits::SESSIONS_MAX;
                let text = format!("{} remembers {count} sessions already", self.describe());
                Err(Error::new(Code::Quota, text))
            }
            None => Ok((drawn, 1)),
        })?;
        if open.sessions.contains_key(&session) && !takeover {
            return Err(Error::new(Code::Exists, format!("session {name:?} is open already")));
        }
        let id = TransactionId { session, epoch, number: 0 };
        // One that is of age and opened again is forgotten first and then begins anew, in its next epoch.
        changes.push(record(OPEN, &id, now_ms, &[user, name]));
        let staged = self.transact(&[], &changes, Level::Power)?;
        let fence = Arc::new(Fence::default());
        let other = open.sessions.insert(session, fence.clone());
        other.iter().for_each(|other| other.close());
        drop(open);
        other.iter().for_each(|other| other.tell());
        let id = TransactionId { number: 1, ..id };
        let identity = Identity { core: self.clone(), id, fence };
        self.finish(&staged)?;
        Ok(identity)
    }

    /// The records that forget what was not used for too long.
    fn forgotten(&self, now_ms: u64, open: &mut Open) -> Vec<(Type, u32, Vec<u8>)> {
        let least = now_ms.saturating_sub(limits::SESSION_KEEP_MS);
        let (old, last) = self.look(|state| {
            let full = state.sessions.len() >= limits::SESSIONS_MAX;
            state.sessions.of_age(least, open.looked, limits::SESSIONS_FORGOTTEN_MAX, full)
        });
        open.looked = last;
        let closed = old.into_iter().filter(|(session, _)| !open.sessions.contains_key(session));
        let gone = closed.map(|(session, (epoch, number))| {
            record(FORGET, &TransactionId { session, epoch, number }, now_ms, &[])
        });
        gone.collect()
    }

    /// Commits as [`Core::transact`] does, under this identity. Fails with FENCED, and with ROLLED_BACK when it was
    /// decided before that this one never commits.
    pub fn transact_as(
        &self,
        id: &TransactionId,
        entries: &[Entry<'_>],
        changes: &[(Type, u32, Vec<u8>)],
        level: Level,
    ) -> Result<Staged> {
        if entries.is_empty() && changes.is_empty() {
            self.look(|state| state.may_commit(id))?;
            return self.transact(&[], &[], level);
        }
        let changes = self.with_identity(id, changes);
        self.transact_checked(entries, &changes, level, false, &|state| state.may_commit(id))
    }

    /// The same for what was staged.
    pub fn transact_staged_as(
        &self,
        id: &TransactionId,
        staging: &mut Staging,
        changes: &[(Type, u32, Vec<u8>)],
        level: Level,
    ) -> Result<Staged> {
        let changes = self.with_identity(id, changes);
        self.transact_large(staging, &changes, level, false, &|state| state.may_commit(id))
    }

    fn with_identity(
        &self,
        id: &TransactionId,
        changes: &[(Type, u32, Vec<u8>)],
    ) -> Vec<(Type, u32, Vec<u8>)> {
        let mut changes = changes.to_vec();
        if !sabotage!("commit without its session's record") {
            changes.push(record(COMMIT, id, self.journal.disk().now_ms(), &[]));
        }
        changes
    }

    /// What became of a transaction, for ever: when it is not committed yet, it never will be. `user` is who asks;
    /// `None` for whoever opened the directory, who may ask about all.
    ///
    /// Fails with DENIED for another user's session, INVALID for a transaction that cannot be of it.
    pub fn resolve(&self, id: &TransactionId, user: Option<&str>) -> Result<Outcome> {
        self.check_writable()?;
        loop {
            match self.look(|state| state.known(id, user))? {
                Known::Outcome(outcome) => {
                    // Nobody hears of what a power cut may take back.
                    self.journal.confirm_all()?;
                    return Ok(outcome);
                }
                Known::Open => {}
            }
            let now_ms = self.journal.disk().now_ms();
            let refuse = [record(REFUSE, id, now_ms, &[])];
            let check = |state: &State| match state.known(id, user)? {
                Known::Open => Ok(()),
                Known::Outcome(_) => Err(Error::new(Code::Busy, "its commit came first")),
            };
            match self.transact_checked(&[], &refuse, Level::Power, false, &check) {
                Err(error) if error.code() == Code::Busy => {}
                Err(error) => return Err(error),
                Ok(staged) => {
                    self.finish(&staged)?;
                    return Ok(Outcome::RolledBack);
                }
            }
        }
    }

    /// At most `max` of the remembered sessions, in the order of their ids, from behind one on.
    pub fn known_sessions(&self, after: Option<SessionId>, max: usize) -> Vec<KnownSession> {
        let open = self.sessions.0.lock();
        self.look(|state| {
            let rows = state.sessions.iter();
            let behind = rows.filter(|(id, _)| after.is_none_or(|after| **id > after)).take(max);
            let known = behind.map(|(session, row)| {
                let (epoch, number) = row.committed;
                let id = TransactionId { session: *session, epoch, number };
                KnownSession {
                    session: *session,
                    row: row.clone(),
                    committed: (row.transaction > 0).then(|| (id, state.token(row.transaction))),
                    open: open.sessions.contains_key(session),
                }
            });
            known.collect()
        })
    }

    /// Takes a session away from whoever has it open, who is FENCED from then on: what it had not committed never will
    /// be. Fails with NO_SUCH_NAME for one that is not remembered.
    pub fn session_kill(self: &Arc<Core>, session: SessionId) -> Result<()> {
        let owner = |state: &State| {
            state.sessions.get(&session).map(|row| (row.user.clone(), row.name.clone()))
        };
        let (user, name) = self.look(owner).ok_or_else(|| self.no_session(&session))?;
        self.session_begin((&user, &name), true, &|state| {
            let row = state.sessions.get(&session).ok_or_else(|| self.no_session(&session))?;
            Ok(Some((session, row)))
        })
        .map(drop)
    }

    fn no_session(&self, session: &SessionId) -> Error {
        let session = u128::from_be_bytes(*session);
        let text = format!("{} remembers no session {session:032x}", self.describe());
        Error::new(Code::NoSuchName, text)
    }

    /// The remembered sessions with their ids, and whether each is open here.
    pub fn sessions(&self) -> Vec<([u8; 16], SessionRow, bool)> {
        let open = self.sessions.0.lock();
        self.look(|state| {
            let rows = state.sessions.iter();
            rows.map(|(id, row)| (*id, row.clone(), open.sessions.contains_key(id))).collect()
        })
    }
}

impl State {
    fn known(&self, id: &TransactionId, user: Option<&str>) -> Result<Known> {
        if let Some(row) = self.prepared.get(id) {
            return self.known_prepared(row, user).map(Known::Outcome);
        }
        let Some(row) = self.sessions.get(&id.session) else {
            return Ok(Known::Outcome(Outcome::Expired));
        };
        if user.is_some_and(|user| user != row.user) && !sabotage!("resolve by another user") {
            return Err(denied());
        }
        let place = id.place();
        if id.epoch > row.decided.0 {
            let text = format!("transaction {id} cannot be: its session never came that far");
            return Err(Error::new(Code::Invalid, text));
        }
        Ok(match () {
            // It was prepared, and how it ended was forgotten.
            () if place == row.committed && row.transaction == 0 => {
                Known::Outcome(Outcome::Expired)
            }
            () if place == row.committed => {
                Known::Outcome(Outcome::Committed(self.token(row.transaction)))
            }
            () if place < row.committed => {
                let known = self.sessions.unheard.find(&id.session, place);
                let known = known.map(|transaction| Outcome::Committed(self.token(transaction)));
                Known::Outcome(known.unwrap_or(Outcome::Expired))
            }
            () if place <= row.decided || sabotage!("resolve answers before it is final") => {
                Known::Outcome(Outcome::RolledBack)
            }
            () => Known::Open,
        })
    }
}

pub(super) fn denied() -> Error {
    Error::new(Code::Denied, "the session belongs to another user")
}

impl Identity {
    /// Fails when another owner took the session over.
    pub fn check(&self) -> Result<()> {
        match self.fence.is_gone() && !sabotage!("commit of a fenced session taken") {
            false => Ok(()),
            true => Err(fenced(&self.id.session)),
        }
    }

    /// Its owner has heard of every transaction before the one that is open.
    pub fn heard_all(&self) {
        self.core.session_heard(&TransactionId { number: self.id.number - 1, ..self.id });
    }

    /// Calls `hook` when another owner took the session over, or now where one did.
    pub fn on_fenced(&self, hook: OnFenced) {
        self.fence.on_gone(hook);
    }

    /// Goes on with this transaction, where it comes behind the one that is open.
    pub fn go_to(&mut self, number: u64) {
        self.id.number = self.id.number.max(number);
    }

    /// The transaction is over, and the next one open.
    pub fn advance(&mut self) {
        self.id.number += 1;
    }

    /// Forgets the session: nobody will ask about it.
    pub fn forget(&self) -> Result<()> {
        let now_ms = self.core.journal.disk().now_ms();
        let gone = [record(FORGET, &self.id, now_ms, &[])];
        // Somebody may have asked about a later number than the one that is open.
        let same = |state: &State| state.owned(&self.id).map(|_| ());
        self.core.transact_checked(&[], &gone, Level::Process, false, &same).map(|_| ())
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let mut open = self.core.sessions.0.lock();
        let open = &mut open.sessions;
        if open.get(&self.id.session).is_some_and(|flag| Arc::ptr_eq(flag, &self.fence)) {
            open.remove(&self.id.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId { session: *b"0123456789abcdef", epoch: 2, number: 7 };

    #[test]
    fn an_identity_is_read_back_from_bytes_and_text_and_nothing_else_is_one() {
        let text = "30313233343536373839616263646566.2.7";
        assert_eq!(ID.to_string(), text);
        assert_eq!(ID.to_bytes(), *b"0123456789abcdef\0\0\0\x02\0\0\0\0\0\0\0\x07");
        assert_eq!(TransactionId::parse(text.as_bytes()).unwrap(), ID);
        assert_eq!(TransactionId::parse(&ID.to_bytes()).unwrap(), ID);
        for wrong in ["", "30.2.7", &text[1..], "+0313233343536373839616263646566.2.7"] {
            assert_eq!(wrong.parse::<TransactionId>().unwrap_err().code(), Code::Invalid);
        }
        for end in [".+2.7", ".0.7", ".2.0", ".2", ".2.7.1", ".2.7 "] {
            let wrong = format!("{}{end}", &text[..32]);
            assert_eq!(wrong.parse::<TransactionId>().unwrap_err().code(), Code::Invalid, "{end}");
        }
        assert_eq!(TransactionId::parse(&[0; 28]).unwrap_err().code(), Code::Invalid);
    }

    #[test]
    fn golden_bytes_of_session_records() {
        let front = b"0123456789abcdef\x02\0\0\0\x07\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0";
        let (kind, queue, body) = record(COMMIT, &ID, 5, &[]);
        assert_eq!((kind, queue), (Type::Session, 0));
        assert_eq!(body, [&[2][..], front].concat());
        let again = repeating(&[record(COMMIT, &ID, 5, &[])], 3).unwrap();
        assert_eq!(again.2, [&[5][..], front, b"\x03\0\0\0\0\0\0\0"].concat());
        assert_eq!(repeating(&[record(REFUSE, &ID, 5, &[])], 3), None);
        let (.., body) = record(OPEN, &ID, 5, &["ann", "x"]);
        assert_eq!(body, [&[1][..], front, b"\x03ann\x01x"].concat());
    }

    #[test]
    fn a_row_survives_a_run_and_cut_records_are_refused() {
        let mut state = State::default();
        let (.., open) = record(OPEN, &TransactionId { number: 0, ..ID }, 5, &["ann", "x"]);
        state.session_change(1, &open).unwrap();
        let (.., commit) = record(COMMIT, &ID, 9, &[]);
        state.session_change(4, &commit).unwrap();
        for cut in 0..commit.len() {
            assert_eq!(state.session_change(5, &commit[..cut]).unwrap_err().code(), Code::Version);
        }
        assert_eq!(
            state.session_change(5, &open[..open.len() - 1]).unwrap_err().code(),
            Code::Version
        );
        let (.., again) = repeating(&[record(COMMIT, &ID, 9, &[])], 3).unwrap();
        for cut in 0..again.len() {
            assert_eq!(state.session_change(5, &again[..cut]).unwrap_err().code(), Code::Version);
        }
        assert_eq!(state.session_change(2, &again).unwrap_err().code(), Code::Version, "later");
        state.session_change(5, &again).unwrap();
        let row = SessionRow {
            decided: (2, 7),
            committed: (2, 7),
            transaction: 3,
            used_ms: 9,
            user: "ann".into(),
            name: "x".into(),
        };
        assert_eq!(state.sessions.get(&ID.session), Some(&row));
        let mut bytes = ID.session.to_vec();
        bytes.extend_from_slice(b"\x02\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0\x07\0\0\0\0\0\0\0");
        bytes.extend_from_slice(b"\x03\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x03ann\x01x");
        let mut thawed = State::default();
        for cut in 0..bytes.len() {
            assert!(!thawed.thaw_session(&bytes[..cut]), "{cut}");
        }
        assert!(thawed.thaw_session(&bytes));
        assert_eq!(thawed.sessions, state.sessions);
    }
}
