//! Which versions of keys a consumer has processed.
//!
//! The last version of each key is a row that stays in the state runs, for there may be any number of keys; in memory are
//! those that changed since the last run was frozen. The rows of one life of a consumer carry its number. A life ends with
//! the consumer, or when that is moved, for what is processed then is new: the number of the next one is one more. A life
//! that ends takes its rows along: the next run says that they are gone, and no merge behind it takes them over.
//!
//! Row of a consumer in a state run: number of the queue (4), length of the consumer's name (1), name, the number of its
//! life (8), how many messages were left out because they were processed before (8). Cold row of a key: number of the life
//! (8), key, version (8); of a life that ended: its number (8), in the table of what is gone.

use super::Core;
use super::record::Change;
use super::state::{QueueState, State, VERSION, VERSIONS, text};
use crate::error::{Code, Error, Result};
use crate::journal::{GONE, Journal, Rows, Table, u32_at, u64_at};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What is known of a consumer that goes by versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The number of its life.
    pub life: u64,
    /// How many messages were left out because they were processed before.
    pub left_out: u64,
}

/// The rows that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyVersions {
    changed: HashMap<Box<[u8]>, u64>,
    /// The lives that ended, as what their rows begin with.
    ended: BTreeSet<[u8; 8]>,
}

/// What a row begins with.
fn id_of(life: u64, key: &[u8]) -> Vec<u8> {
    [&life.to_le_bytes()[..], key].concat()
}

impl KeyVersions {
    /// A version of a key was processed.
    fn set(&mut self, life: u64, key: &[u8], version: u64) {
        let row = self.changed.entry(id_of(life, key).into()).or_insert(version);
        *row = version.max(*row);
    }

    /// A life is over, and with it all its rows.
    fn end(&mut self, life: u64) {
        let life = life.to_le_bytes();
        self.changed.retain(|id, _| !id.starts_with(&life));
        self.ended.insert(life);
    }

    /// Puts what changed into a run; it stays here.
    pub fn copy_to(&self, rows: &mut Rows) {
        self.clone().move_to(rows);
    }

    /// Puts what changed into a run, where it is found from now on.
    pub fn move_to(&mut self, rows: &mut Rows) {
        let frozen = std::mem::take(self);
        let empty = frozen.changed.is_empty() && frozen.ended.is_empty();
        if !empty && !sabotage!("versions of keys lost at a roll") {
            rows.table(Arc::new(frozen));
        }
    }
}

/// Rows on their way to a run.
impl Table for KeyVersions {
    fn section(&self) -> u32 {
        VERSIONS
    }

    fn keys(&self) -> Vec<&[u8]> {
        let ended = self.ended.iter().map(|life| &life[..]);
        let mut keys: Vec<&[u8]> = self.changed.keys().map(|id| &id[..]).chain(ended).collect();
        keys.sort_unstable();
        keys
    }

    fn count(&self) -> usize {
        self.changed.len() + self.ended.len()
    }

    fn find(&self, id: &[u8]) -> Option<(u32, Vec<u8>)> {
        match self.changed.get(id) {
            Some(version) => Some((VERSION, [id, &version.to_le_bytes()].concat())),
            None => self.ended.iter().any(|life| life == id).then(|| (GONE, id.to_vec())),
        }
    }
}

impl QueueState {
    /// A consumer is another one from now on, or the same at another place; the life that this ends.
    pub(super) fn end_versions(&mut self, name: &str, moved: bool) -> Option<u64> {
        let of = self.versions.remove(name)?;
        if moved {
            let next = Versions { life: of.life.wrapping_add(1), left_out: 0 };
            self.versions.insert(name.to_string(), next);
        }
        Some(of.life)
    }

    /// Puts a row for each consumer into a run.
    pub(super) fn freeze_versions(
        &self,
        queue: u32,
        (key, table): ((u32, usize), u32),
        rows: &mut Rows,
    ) {
        for (name, of) in &self.versions {
            let length = [u8::try_from(name.len()).unwrap_or(u8::MAX)];
            let numbers = [of.life.to_le_bytes(), of.left_out.to_le_bytes()].concat();
            let row: [&[u8]; 4] = [&queue.to_le_bytes(), &length, name.as_bytes(), &numbers];
            rows.put(key, table, &row);
        }
    }
}

impl State {
    /// Changes what a consumer knows of versions; `None` where the change says nothing of them.
    pub(super) fn change_versions(
        &mut self,
        number: u32,
        change: &Change<'_>,
    ) -> Option<Result<()>> {
        let (Change::BeginVersions(name, _)
        | Change::Processed(name, ..)
        | Change::LeftOut(name, _)) = change
        else {
            return None;
        };
        let Some(queue) = self.changing(number) else { return Some(Ok(())) };
        let name = match text(name) {
            Ok(name) => name,
            Err(error) => return Some(Err(error)),
        };
        match *change {
            Change::BeginVersions(_, life) if queue.consumers.contains_key(&name) => {
                queue.versions.entry(name).or_insert(Versions { life, left_out: 0 });
            }
            Change::Processed(_, version, key) => {
                let life = queue.versions.get(&name).map(|of| of.life);
                life.into_iter().for_each(|life| self.key_versions.set(life, key, version));
            }
            Change::LeftOut(_, count) => {
                if let Some(of) = queue.versions.get_mut(&name) {
                    of.left_out = of.left_out.saturating_add(count);
                }
            }
            _ => {}
        }
        Some(Ok(()))
    }

    /// These lives are over.
    pub(super) fn end_lives(&mut self, lives: impl IntoIterator<Item = u64>) {
        lives.into_iter().for_each(|life| self.key_versions.end(life));
    }

    /// Takes the row of a consumer back; false when it does not fit its length, or is the second.
    pub(super) fn thaw_versions(&mut self, row: &[u8]) -> bool {
        let name_end = 5 + row.get(4).copied().map_or(0, usize::from);
        let name = row.get(5..name_end).and_then(|name| std::str::from_utf8(name).ok());
        let Some(name) = name.filter(|_| row.len() == name_end + 16) else { return false };
        let (life, left_out) = (u64_at(row, name_end), u64_at(row, name_end + 8));
        let queue = self.queue_mut(u32_at(row, 0));
        let of = Versions { life, left_out };
        queue.is_some_and(|queue| queue.versions.insert(name.into(), of).is_none())
    }

    /// The last version of a key that a consumer has processed, as far as memory knows; else the id of its row, where it
    /// may have one.
    pub fn version(&self, queue: u32, consumer: &str, key: &[u8]) -> Result<Known> {
        let Some(of) = self.queue(queue)?.versions.get(consumer) else {
            return Ok(Known::Version(None));
        };
        let id = id_of(of.life, key);
        Ok(match self.key_versions.changed.get(&id[..]) {
            Some(version) => Known::Version(Some(*version)),
            None => Known::Row(id),
        })
    }
}

impl Core {
    /// The number of a life that begins.
    pub fn draw_life(&self) -> Result<u64> {
        let mut drawn = [0; 8];
        self.journal.disk().random(&mut drawn).map_err(|error| {
            Error::new(Code::Io, format!("no random bytes for a consumer's versions: {error}"))
        })?;
        Ok(u64::from_le_bytes(drawn))
    }
}

/// What memory knows of a version.
pub enum Known {
    /// It, if there is one.
    Version(Option<u64>),
    /// The id of its row.
    Row(Vec<u8>),
}

impl Known {
    /// The version; a row is read.
    pub fn read(self, journal: &Journal) -> Result<Option<u64>> {
        let id = match self {
            Known::Version(version) => return Ok(version),
            Known::Row(id) => id,
        };
        let Some(row) = journal.find_row(VERSIONS, &id)? else { return Ok(None) };
        match row.get(id.len()..).filter(|rest| rest.len() == 8) {
            Some(version) => Ok(Some(u64_at(version, 0))),
            None => {
                let text = "a state run holds the version of a key that this library does not read";
                Err(Error::new(Code::Version, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Type;
    use crate::store::Change;

    fn change(state: &mut State, kind: Type, change: &Change<'_>) {
        state.change(kind, 1, &change.encode()).unwrap();
    }

    fn known(state: &State, key: &[u8]) -> Option<u64> {
        match state.version(1, "c", key).unwrap() {
            Known::Version(version) => version,
            Known::Row(_) => None,
        }
    }

    fn begun() -> State {
        let mut state = State::default();
        change(&mut state, Type::Queue, &Change::CreateQueue(b"q"));
        change(&mut state, Type::Consumer, &Change::CreateConsumer(b"c", 0));
        state
    }

    fn versions(state: &State, life: u64, left_out: u64) -> bool {
        let of = &state.queue(1).unwrap().versions;
        of.len() == 1 && of.get("c") == Some(&Versions { life, left_out })
    }

    #[test]
    fn the_highest_version_of_a_key_is_known_until_the_consumer_is_moved_or_made_anew() {
        let mut state = begun();
        let change = |state: &mut State, one| change(state, Type::Consumer, &one);
        change(&mut state, Change::Processed(b"c", 9, b"K"));
        change(&mut state, Change::BeginVersions(b"nobody", 5));
        assert_eq!(known(&state, b"K"), None, "nothing is noted before it begins");
        for life in [7, 9] {
            change(&mut state, Change::BeginVersions(b"c", life));
        }
        for version in [0, 4, 2] {
            change(&mut state, Change::Processed(b"c", version, b"K"));
        }
        change(&mut state, Change::LeftOut(b"c", 3));
        assert_eq!((known(&state, b"K"), known(&state, b"L")), (Some(4), None));
        assert!(versions(&state, 7, 3));
        // What was prepared before the move may be committed behind it.
        change(&mut state, Change::MoveConsumer(b"c", 0));
        assert_eq!(known(&state, b"K"), None);
        change(&mut state, Change::BeginVersions(b"c", 7));
        change(&mut state, Change::Processed(b"c", 3, b"K"));
        assert!(versions(&state, 8, 0) && known(&state, b"K") == Some(3));
        change(&mut state, Change::DeleteConsumer(b"c"));
        change(&mut state, Change::CreateConsumer(b"c", 0));
        assert_eq!(known(&state, b"K"), None);
        assert!(state.queue(1).unwrap().versions.is_empty());
    }

    #[test]
    fn a_life_that_ends_takes_its_rows_along_and_tells_the_next_run() {
        let ends = [
            (Type::Consumer, Change::MoveConsumer(b"c", 1)),
            (Type::Consumer, Change::DeleteConsumer(b"c")),
            (Type::Queue, Change::DeleteQueue),
        ];
        for (kind, end) in ends {
            let mut state = begun();
            change(&mut state, Type::Consumer, &Change::BeginVersions(b"c", 7));
            change(&mut state, Type::Consumer, &Change::Processed(b"c", 2, b"K"));
            // Of another consumer.
            state.key_versions.set(8, b"K", 5);
            change(&mut state, kind, &end);
            let [life, other] = [id_of(7, b""), id_of(8, b"K")];
            assert_eq!(state.key_versions.keys(), [&life[..], &other[..]], "{end:?}");
            assert_eq!(state.key_versions.find(&life), Some((GONE, life.clone())));
            assert_eq!(state.key_versions.find(&id_of(7, b"K")), None);
            assert_eq!(state.key_versions.find(&other).unwrap().0, VERSION);
            let (mut copied, mut moved) = (Rows::default(), Rows::default());
            state.freeze(&mut copied);
            state.hand_over(&mut moved);
            assert_eq!(state.key_versions, KeyVersions::default());
        }
    }

    #[test]
    fn rows_that_do_not_fit_their_length_or_come_twice_are_refused() {
        let row = |queue: u32, length: u8, rest: &[u8]| {
            [&queue.to_le_bytes()[..], &[length], rest].concat()
        };
        let good = row(1, 1, &[b"c", &[7; 8][..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat());
        let mut state = begun();
        assert!(state.thaw_versions(&good));
        assert_eq!(state.queue(1).unwrap().versions["c"].left_out, 1);
        assert!(!state.thaw_versions(&good), "a consumer has one row");
        let bad = [
            good[..good.len() - 1].to_vec(),
            [&good[..], &[0]].concat(),
            row(2, 1, &good[5..]),
            row(1, 200, &good[5..]),
            row(1, 1, &[&[0xff][..], &good[6..]].concat()),
            vec![1, 0, 0],
        ];
        for row in bad {
            assert!(!begun().thaw_versions(&row), "{row:?}");
        }
    }
}
