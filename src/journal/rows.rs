//! Rows of the store's state, on their way to a run: what changed since the last one was frozen.
//!
//! Rows of one section and key are a *group*: they are written together, and a newer group takes the place of the
//! older ones as a whole. A key is the beginning of each of its rows. Sections below [`COLD`] are read into memory by
//! an open. Those from it on are not: they hold one row a key, which is looked for where it is needed. What says there
//! that nothing is under its key any more says so of all keys that begin with it, for good: a merge leaves them out.
//!
//! What a roll freezes is put here as it is; sorting and writing are the helper's.

use super::format::frame_bytes;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;

/// The first section whose rows stay in the runs.
pub const COLD: u32 = 64;
/// A row of this table says that there is nothing under its key any more.
pub const GONE: u32 = u32::MAX - 1;

/// Rows of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub section: u32,
    pub key: Vec<u8>,
    /// Table and row.
    pub rows: Vec<(u32, Vec<u8>)>,
    /// Whether it changed before the run that this one goes on from; it is there in case that one is damaged.
    pub carried: bool,
}

impl Group {
    /// What groups are sorted by.
    pub fn place(&self) -> (u32, &[u8]) {
        (self.section, &self.key)
    }

    /// Bytes its frames take.
    fn bytes(&self) -> u64 {
        self.rows.iter().map(|(_, row)| frame_bytes(row.len()) as u64).sum()
    }

    /// Whether it says that there is nothing.
    pub fn is_gone(&self) -> bool {
        self.rows.iter().all(|(table, _)| *table == GONE)
    }
}

/// Changed rows of a cold section, one a key.
pub trait Table: Send + Sync {
    /// Which section it is, [`COLD`] or above.
    fn section(&self) -> u32;
    /// The keys, in order.
    fn keys(&self) -> Vec<&[u8]>;
    /// How many there are.
    fn count(&self) -> usize;
    /// Table and row of a key; the row begins with the key, and is of [`GONE`] where nothing is there any more.
    fn find(&self, key: &[u8]) -> Option<(u32, Vec<u8>)>;
}

/// The rows of a run being frozen.
#[derive(Default)]
pub struct Rows {
    /// The journal's own: table and row.
    pub(super) own: Vec<(u32, Vec<u8>)>,
    groups: Vec<Group>,
    tables: Vec<Arc<dyn Table>>,
}

impl Rows {
    /// Adds a row of a section that is kept in memory; its first `key` bytes are its key. All rows of a key are added
    /// where one of them changed.
    pub fn put(&mut self, (section, key): (u32, usize), table: u32, row: &[&[u8]]) {
        let body = row.concat();
        let key = body[..key.min(body.len())].to_vec();
        if let Some(last) = self.groups.last_mut().filter(|last| last.place() == (section, &key)) {
            last.rows.push((table, body));
            return;
        }
        self.groups.push(Group { section, key, rows: vec![(table, body)], carried: false });
    }

    /// Says that there is nothing under a key any more.
    pub fn gone(&mut self, key: (u32, usize), row: &[u8]) {
        self.put(key, GONE, &[row]);
    }

    /// Adds the changed rows of a cold section.
    pub fn table(&mut self, table: Arc<dyn Table>) {
        self.tables.push(table);
    }

    pub(super) fn own(&mut self, table: u32, row: &[&[u8]]) {
        self.own.push((table, row.concat()));
    }

    /// The groups of the sections that are kept in memory, in order.
    pub(super) fn warm(&self) -> Vec<Group> {
        let mut sorted: BTreeMap<(u32, &[u8]), Group> = BTreeMap::new();
        for group in &self.groups {
            match sorted.get_mut(&group.place()) {
                Some(known) => known.rows.extend(group.rows.iter().cloned()),
                None => {
                    sorted.insert(group.place(), group.clone());
                }
            }
        }
        sorted.into_values().collect()
    }

    /// The groups of the other sections, in order.
    pub(super) fn cold(&self) -> impl Iterator<Item = Group> {
        let mut tables: Vec<&Arc<dyn Table>> = self.tables.iter().collect();
        tables.sort_by_key(|table| table.section());
        tables.into_iter().flat_map(|table| {
            table.keys().into_iter().map(|key| Group {
                section: table.section(),
                key: key.to_vec(),
                rows: table.find(key).into_iter().collect(),
                carried: false,
            })
        })
    }

    /// How many cold rows there are.
    pub(super) fn cold_rows(&self) -> u64 {
        self.tables.iter().map(|table| table.count() as u64).sum()
    }

    /// Table and row of a key of a cold section.
    pub(super) fn find(&self, section: u32, key: &[u8]) -> Option<(u32, Vec<u8>)> {
        let table = self.tables.iter().find(|table| table.section() == section)?;
        table.find(key)
    }
}

/// What a cold section says of keys that begin alike, as its groups come by in order.
#[derive(Default)]
pub struct Ended {
    /// The last that says that nothing begins with its key any more.
    last: Option<Group>,
}

impl Ended {
    /// Whether nothing is under the key of this group any more, as one before it says.
    pub fn has(&mut self, group: &Group) -> bool {
        let (section, key) = group.place();
        let over =
            |last: &Group| last.section == section && key.starts_with(&last.key) && key != last.key;
        if self.last.as_ref().is_some_and(over) {
            return !sabotage!("row of an ended life taken along by a merge");
        }
        if group.is_gone() {
            self.last = Some(group.clone());
        }
        false
    }
}

/// One group after the other from several sources, the newest source first; of groups with one place the newest is
/// taken.
pub struct Merged<S: Iterator<Item = Result<Group, E>>, E> {
    sources: Vec<Peekable<S>>,
}

impl<S: Iterator<Item = Result<Group, E>>, E> Merged<S, E> {
    /// Of these sources.
    pub fn of(sources: Vec<S>) -> Merged<S, E> {
        Merged { sources: sources.into_iter().map(Iterator::peekable).collect() }
    }

    /// The next group, and the bytes of it and of those whose place it takes; `None` at the end.
    pub fn next_group(&mut self) -> Result<Option<(Group, u64)>, E> {
        let mut first: Option<(u32, Vec<u8>)> = None;
        for source in &mut self.sources {
            // An error is met as soon as it is seen.
            if source.peek().is_some_and(Result::is_err)
                && let Some(Err(error)) = source.next()
            {
                return Err(error);
            }
            let Some(Ok(group)) = source.peek() else { continue };
            if first.as_ref().is_none_or(|(section, key)| group.place() < (*section, key)) {
                first = Some((group.section, group.key.clone()));
            }
        }
        let Some((section, key)) = first else { return Ok(None) };
        let (mut taken, mut bytes) = (None, 0);
        for source in &mut self.sources {
            let same = |group: &Result<Group, E>| {
                group.as_ref().is_ok_and(|group| group.place() == (section, &key))
            };
            if let Some(Ok(group)) = source.next_if(same) {
                bytes += group.bytes();
                taken.get_or_insert(group);
            }
        }
        Ok(taken.map(|group| (group, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(key: &str, row: &str) -> Group {
        let rows = vec![(2, format!("{key}{row}").into_bytes())];
        Group { section: 2, key: key.into(), rows, carried: false }
    }

    #[test]
    fn of_groups_with_one_key_the_newest_is_taken_and_all_come_in_order() {
        let new = [group("b", "new"), group("d", "new")];
        let old = [group("a", "old"), group("b", "old"), group("c", "old")];
        let sources: Vec<Box<dyn Iterator<Item = Result<Group, ()>>>> =
            vec![Box::new(new.into_iter().map(Ok)), Box::new(old.into_iter().map(Ok))];
        let mut merged = Merged::of(sources);
        let taken: Vec<(Group, u64)> =
            std::iter::from_fn(|| merged.next_group().unwrap()).collect();
        let bytes: Vec<u64> = taken.iter().map(|(_, bytes)| *bytes).collect();
        assert_eq!(bytes, [56, 112, 56, 56], "of two for the one that is in both");
        let taken: Vec<Group> = taken.into_iter().map(|(group, _)| group).collect();
        let expected = [group("a", "old"), group("b", "new"), group("c", "old"), group("d", "new")];
        assert_eq!(taken, expected);
    }

    #[test]
    fn what_begins_with_a_key_that_is_gone_is_over_in_its_section_alone() {
        let gone = |key: &str| Group { rows: vec![(GONE, key.into())], ..group(key, "") };
        let mut ended = Ended::default();
        let mut over = |group: &Group| ended.has(group);
        let before = [group("ab", ""), gone("abc"), group("abc", "")];
        assert!(before.iter().all(|group| !over(group)), "itself, and what comes before it");
        assert!(over(&group("abc1", "")) && over(&group("abcz", "")));
        assert!(!over(&Group { section: 3, ..group("abc1", "") }));
        assert!(!over(&group("abd", "")) && !over(&gone("b")) && over(&gone("b1")));
    }

    #[test]
    fn rows_of_one_key_are_one_group_in_the_order_they_were_put() {
        let mut rows = Rows::default();
        for (table, body) in [(2, "b1"), (2, "a1"), (3, "b2"), (3, "b3"), (3, "a2")] {
            rows.put((2, 1), table, &[body.as_bytes()]);
        }
        let warm = rows.warm();
        let shown: Vec<(&[u8], Vec<u32>)> = warm
            .iter()
            .map(|group| (&group.key[..], group.rows.iter().map(|(table, _)| *table).collect()))
            .collect();
        assert_eq!(shown, [(&b"a"[..], vec![2, 3]), (&b"b"[..], vec![2, 3, 3])]);
    }
}
