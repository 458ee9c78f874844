//! Who this store is: its group and epochs, and the directory it lives in.
//!
//! File system, inode and birth of the lock file are journaled at the creation and compared at every open for
//! writing. A store that finds them changed was copied, and begins a `copied` epoch: it serves and receives,
//! but ships nothing until somebody says which of the two it is: the group ([`Core::claim`]) or a new one
//! ([`Core::fork`]).

use super::state::State;
use super::stream::StreamChange;
use super::{Change, Core};
use crate::error::{Error, Result};
use crate::journal::{Journal, Record, Recovered, Space, Type, u32_at};
use crate::position::{Cause, GroupId, HistoryRow, Token};

/// Epochs that may have begun in what a store lost.
const LOST_EPOCHS: u32 = 1 << 16;

/// Records of a transaction: what, queue, body.
type Records = Vec<(Type, u32, Vec<u8>)>;

/// Begins the first epoch, or a new one where positions may have been lost or the store was copied.
pub fn begin_epoch(
    journal: &Journal,
    state: &mut State,
    recovered: Option<&Recovered>,
    restored: bool,
) -> Result<()> {
    let failed = |error| Error::io("cannot tell where the store lives", &error);
    let store = journal.store_id();
    let here = journal.disk().identity().map_err(failed)?;
    let known = state.files.get(&store);
    let moved = here.as_ref().is_some_and(|here| known.is_some_and(|known| known != here))
        && !sabotage!("copy not noticed");
    let lost = recovered.is_some_and(|found| found.early && !found.clean)
        && !sabotage!("no epoch after a loss");
    let cause = match () {
        () if state.history.is_empty() => Some(Cause::Create),
        () if restored => Some(Cause::Restore),
        () if moved => Some(Cause::Copied),
        () if lost => Some(Cause::Crash),
        () => None,
    };
    let mut records = Records::new();
    if let Some(cause) = cause {
        let next = if restored { first_after_loss(state) } else { next_epoch(state) };
        records.push(row_of(journal, state, cause, (next, None))?);
    }
    if let Some(here) = &here
        && known != Some(here)
    {
        records.push((Type::Members, 0, State::encode_member(&store, here)));
    }
    if records.is_empty() {
        return Ok(());
    }
    let all: Vec<_> =
        records.iter().map(|(kind, queue, body)| Record::control(*kind, *queue, body)).collect();
    let now = journal.disk().now_ms();
    // A store on a full disk must open, too: the reserve is for that.
    let at = journal.append(&all, Space::Beyond, now, &mut |rows| state.hand_over(rows))?;
    for (kind, queue, body) in &records {
        state.change(*kind, *queue, body)?;
    }
    journal.set_epoch(state.history.last().map_or(0, |row| row.epoch));
    journal.commit(&at)?;
    if cause.is_some() {
        journal.settle_epoch();
    }
    Ok(())
}

fn next_epoch(state: &State) -> u32 {
    state.history.last().map_or(0, |row| row.epoch).saturating_add(1)
}

/// The epoch of a store that went back, or lost its end. Epochs that began in what is lost are not known any
/// more; it is above them, so that nobody who has seen one takes this one for it.
fn first_after_loss(state: &State) -> u32 {
    (next_epoch(state) | (LOST_EPOCHS - 1)).saturating_add(1)
}

/// The record of a new row: the next epoch with an owner drawn for it, in a group drawn for it where one is
/// created or forked.
fn row_of(
    journal: &Journal,
    state: &State,
    cause: Cause,
    (epoch, first): (u32, Option<u64>),
) -> Result<(Type, u32, Vec<u8>)> {
    let mut random = [0; 20];
    let failed = |error| Error::io("cannot draw an epoch's owner", &error);
    journal.disk().random(&mut random).map_err(failed)?;
    let mut group = state.group;
    if matches!(cause, Cause::Create | Cause::Fork) {
        group.copy_from_slice(&random[..16]);
    }
    let first = first.unwrap_or_else(|| journal.durable().1 + 1);
    let row = HistoryRow { epoch, first, owner: u32_at(&random, 16), cause };
    Ok((Type::History, 0, Change::History(row, GroupId::from_bytes(group)).encode()))
}

impl Core {
    /// Whether this store found itself copied, and nobody has said yet which of the two it is.
    pub fn is_copied(&self) -> bool {
        self.look(|state| state.history.last().is_some_and(|row| row.cause == Cause::Copied))
    }

    /// Whether copies of this store can be told from it.
    pub fn knows_its_place(&self) -> bool {
        self.journal.disk().identity().is_ok_and(|identity| identity.is_some())
    }

    /// This store goes on as its group, in a new epoch; another copy of it must not.
    pub fn claim(&self) -> Result<Token> {
        self.begin_anew(Cause::Restore)
    }

    /// This store becomes a group of its own. Its streams begin anew at their cursors, under new ids.
    pub fn fork(&self) -> Result<Token> {
        self.begin_anew(Cause::Fork)
    }

    fn begin_anew(&self, cause: Cause) -> Result<Token> {
        self.check_writable()?;
        let streams: Vec<_> = self.look(|state| {
            let all = state
                .streams()
                .map(|(queue, name, stream)| (queue, name.to_string(), stream.clone()));
            all.filter(|_| cause == Cause::Fork).collect()
        });
        let mut renewed = Records::new();
        for (queue, name, stream) in streams {
            let change = StreamChange::Create {
                stamp: stream.cursor,
                message: stream.message,
                bytes: stream.bytes,
                name: name.as_bytes(),
                url: stream.url.as_bytes(),
            };
            renewed.push((Type::Stream, queue, StreamChange::Remove.encode(stream.id)));
            renewed.push((Type::Stream, queue, change.encode(self.draw_id()?)));
        }
        let appended = {
            let mut state = self.state.lock();
            let first = self.journal.next_sequence();
            let mut records =
                vec![row_of(&self.journal, &state, cause, (next_epoch(&state), Some(first)))?];
            records.extend(renewed);
            let all: Vec<_> = records
                .iter()
                .map(|(kind, queue, body)| Record::control(*kind, *queue, body))
                .collect();
            let now = self.journal.disk().now_ms();
            let appended =
                self.journal.append(&all, Space::Beyond, now, &mut |rows| state.hand_over(rows))?;
            for (kind, queue, body) in &records {
                state.change(*kind, *queue, body)?;
            }
            self.journal.set_epoch(state.history.last().map_or(0, |row| row.epoch));
            appended
        };
        self.journal.commit(&appended)?;
        Ok(self.look(|state| state.token(appended.sequence)))
    }
}
