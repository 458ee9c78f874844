//! Crashes: which unsynced pieces a power cut leaves, and what a kill leaves.
//!
//! Bytes persist each or not. The changes of one name happen in their order: none of them persists without
//! the earlier ones, as the name has one place in the directory. [`Cut::Only`] takes the earlier ones along,
//! the others drop the later ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::state::{State, mix, write_words};
use super::{LOCK_NAME, ModelDisk};

/// Which of the unsynced pieces a power cut leaves on the disk; they are numbered from 0 in the order of the
/// calls.
///
/// The lock words come back as some earlier value of both: the oldest for [`Nothing`](Cut::Nothing) and
/// [`Only`](Cut::Only), the newest for [`All`](Cut::All) and [`Without`](Cut::Without).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// None.
    Nothing,
    /// Every one.
    All,
    /// These.
    Only(Vec<usize>),
    /// All but these.
    Without(Vec<usize>),
    /// A choice made by this seed, in any density.
    Random(u64),
}

impl ModelDisk {
    /// How many unsynced pieces a power cut would choose from now.
    pub fn pieces(&self) -> usize {
        self.state.lock().pending.len()
    }

    /// The disk after a power cut. This machine is gone: whoever still uses it gets EIO. It may be cut
    /// again, to look at another choice at the same moment.
    pub fn power_cut(&self, choice: Cut) -> ModelDisk {
        let mut next = self.end();
        next.cut(&choice);
        next.restart();
        ModelDisk::from_state(next)
    }

    /// The disk after the process was killed: live bytes, unsynced pieces and lock words are as they were,
    /// the lock is free. This machine is gone: whoever still uses it gets EIO.
    pub fn kill(&self) -> ModelDisk {
        let mut next = self.end();
        next.restart();
        ModelDisk::from_state(next)
    }

    /// Ends this machine and returns what it leaves.
    fn end(&self) -> State {
        let mut state = self.state.lock();
        state.dead = true;
        state.clone()
    }
}

impl State {
    fn cut(&mut self, choice: &Cut) {
        let chosen = self.choose(choice);
        let pieces = std::mem::take(&mut self.pending);
        for (piece, _) in pieces.iter().zip(&chosen).filter(|(_, chosen)| **chosen) {
            self.persist(piece);
        }
        self.fall_back_to_durable();
        self.cut_words(choice);
    }

    /// Which pieces stay.
    fn choose(&self, choice: &Cut) -> Vec<bool> {
        let count = self.pending.len();
        let mut chosen: Vec<bool> = match choice {
            Cut::Nothing => vec![false; count],
            Cut::All => vec![true; count],
            Cut::Only(wanted) => marked(count, wanted, true),
            Cut::Without(unwanted) => marked(count, unwanted, false),
            Cut::Random(seed) => {
                let of_eight = 1 + mix(*seed) % 7;
                let draw = |index| mix(seed.rotate_left(17) ^ mix(index as u64)) % 8;
                (0..count).map(|index| draw(index) < of_eight).collect()
            }
        };
        match choice {
            Cut::Only(_) => self.take_earlier(&mut chosen),
            _ => self.drop_later(&mut chosen),
        }
        chosen
    }

    fn take_earlier(&self, chosen: &mut [bool]) {
        let mut needed = BTreeSet::new();
        for (piece, chosen) in self.pending.iter().zip(chosen).rev() {
            let names = piece.names();
            *chosen |= names.iter().flatten().any(|name| needed.contains(name));
            if *chosen {
                needed.extend(names.into_iter().flatten());
            }
        }
    }

    fn drop_later(&self, chosen: &mut [bool]) {
        let mut missing = BTreeSet::new();
        for (piece, chosen) in self.pending.iter().zip(chosen) {
            let names = piece.names();
            *chosen &= !names.iter().flatten().any(|name| missing.contains(name));
            if !*chosen {
                missing.extend(names.into_iter().flatten());
            }
        }
    }

    /// Lets the lock words come back as some value they had: the kernel writes their page when it likes.
    fn cut_words(&mut self, choice: &Cut) {
        let history = &self.words_history;
        let index = match choice {
            Cut::Nothing | Cut::Only(_) => 0,
            Cut::All | Cut::Without(_) => history.len() - 1,
            Cut::Random(seed) => mix(!seed) as usize % history.len(),
        };
        let words = history[index];
        self.words_history = vec![words];
        let Some(id) = self.durable.get(LOCK_NAME) else { return };
        let Some(node) = self.nodes.get_mut(id) else { return };
        let bytes = Arc::make_mut(&mut node.durable);
        if words != (0, 0) && bytes.len() < 16 {
            // Words that reached the disk are on a page that did.
            bytes.resize(4096, 0);
        }
        write_words(bytes, words);
        node.live = Arc::clone(&node.durable);
    }
}

/// `value` at the given places, its opposite elsewhere; places there are not are nobody's.
fn marked(count: usize, places: &[usize], value: bool) -> Vec<bool> {
    let mut marks = vec![!value; count];
    for &place in places {
        if let Some(mark) = marks.get_mut(place) {
            *mark = value;
        }
    }
    marks
}
