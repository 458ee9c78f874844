//! The live and the durable side of the directory, and the pieces between them.
//!
//! A piece of bytes is the content of one 512-byte sector as it was after a write: what a kernel writes back
//! is the sector and not the call, so a later piece of a sector holds the earlier changes of it, too. A piece
//! whose bytes lie behind the durable end of the file brings the length with it; allocated length is a piece
//! of its own. A piece of names is one creation, rename or removal.
//!
//! Relies on: the caller holding the lock around every call.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::fault::{Counts, Faults, Op, Verdict};
use super::{LOCK_NAME, os};

pub(super) const SECTOR: usize = 512;
const PAGE: usize = 4096;
const LOCK_SIZE: usize = 4096;
const FIRST_NOW_MS: u64 = 1_700_000_000_000;
/// More values of the lock words than this are thinned out; the first and the last stay.
const WORDS_MAX: usize = 1024;

pub(super) type Names = BTreeMap<String, u64>;

/// A file, whatever its name.
#[derive(Clone, Default)]
pub(super) struct Node {
    pub live: Arc<Vec<u8>>,
    pub durable: Arc<Vec<u8>>,
    handles: usize,
}

/// Something unsynced that a power cut may leave or take.
#[derive(Clone)]
pub(super) enum Piece {
    /// `image[from..to]` belongs at `offset`.
    Sector {
        node: u64,
        offset: usize,
        image: Arc<[u8]>,
        from: usize,
        to: usize,
    },
    /// The file grew by zeros from `from` to `to`.
    Length {
        node: u64,
        from: usize,
        to: usize,
    },
    Create {
        node: u64,
        name: String,
    },
    Rename {
        node: u64,
        from: String,
        to: String,
    },
    Remove {
        node: u64,
        name: String,
    },
}

impl Piece {
    fn is_bytes_of(&self, wanted: u64) -> bool {
        match self {
            Piece::Sector { node, .. } | Piece::Length { node, .. } => *node == wanted,
            Piece::Create { .. } | Piece::Rename { .. } | Piece::Remove { .. } => false,
        }
    }

    /// The names it changes; none for bytes.
    pub fn names(&self) -> [Option<&str>; 2] {
        match self {
            Piece::Sector { .. } | Piece::Length { .. } => [None, None],
            Piece::Create { name, .. } | Piece::Remove { name, .. } => [Some(name), None],
            Piece::Rename { from, to, .. } => [Some(from), Some(to)],
        }
    }

    fn is_name(&self) -> bool {
        self.names()[0].is_some()
    }

    fn node(&self) -> u64 {
        match self {
            Piece::Sector { node, .. } | Piece::Length { node, .. } => *node,
            Piece::Create { node, .. } | Piece::Rename { node, .. } => *node,
            Piece::Remove { node, .. } => *node,
        }
    }

    /// The span of bytes it changes.
    fn span(&self) -> Option<(usize, usize)> {
        match self {
            Piece::Sector { offset, from, to, .. } => Some((*offset, offset + (to - from))),
            Piece::Length { from, to, .. } => Some((*from, *to)),
            Piece::Create { .. } | Piece::Rename { .. } | Piece::Remove { .. } => None,
        }
    }
}

#[derive(Clone)]
pub(super) struct State {
    pub exists: bool,
    live: Names,
    pub durable: Names,
    pub nodes: BTreeMap<u64, Node>,
    next_node: u64,
    pub pending: Vec<Piece>,
    /// Every value the lock words had since the disk last came up from a power cut.
    pub words_history: Vec<(u64, u64)>,
    pub locked: bool,
    /// A later machine has taken over.
    pub dead: bool,
    pub now_ms: u64,
    pub identity: Option<u64>,
    pub mappable: bool,
    random: u64,
    pub capacity: u64,
    pub counts: Counts,
    pub faults: Faults,
}

impl State {
    pub fn new(seed: u64) -> State {
        State {
            exists: false,
            live: Names::new(),
            durable: Names::new(),
            nodes: BTreeMap::new(),
            next_node: 1,
            pending: Vec::new(),
            words_history: vec![(0, 0)],
            locked: false,
            dead: false,
            now_ms: FIRST_NOW_MS,
            identity: None,
            mappable: true,
            random: mix(seed).max(1),
            capacity: u64::MAX,
            counts: Counts::default(),
            faults: Faults::default(),
        }
    }

    /// Goes on with another random stream.
    pub fn reseed(&mut self, seed: u64) {
        self.random = mix(seed).max(1);
    }

    /// Counts an operation and says what becomes of it.
    pub fn enter(&mut self, op: Op) -> Verdict {
        if self.dead {
            return Verdict::Stopped;
        }
        self.counts.ops += 1;
        self.counts.calls[op as usize] += 1;
        self.faults.judge(self.counts.ops, op)
    }

    pub fn is_halted(&self) -> bool {
        self.dead || self.faults.stopped()
    }

    /// What a new machine finds: the same disk, no lock, no handles, no faults.
    pub fn restart(&mut self) {
        self.locked = false;
        self.dead = false;
        self.counts = Counts::default();
        self.faults = Faults::default();
        for node in self.nodes.values_mut() {
            node.handles = 0;
        }
        self.forget_unreachable();
    }

    pub fn fill_random(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let word = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// Names.
impl State {
    /// The names as a call sees them: `NotFound` without the directory.
    pub fn names(&self) -> io::Result<&Names> {
        if self.exists { Ok(&self.live) } else { Err(os(libc::ENOENT)) }
    }

    pub fn live_names(&self) -> &Names {
        &self.live
    }

    pub fn node_named(&self, name: &str) -> Option<&Node> {
        self.nodes.get(self.live.get(name)?)
    }

    pub fn find(&self, name: &str) -> io::Result<u64> {
        self.names()?.get(name).copied().ok_or_else(|| os(libc::ENOENT))
    }

    pub fn create(&mut self, name: &str) -> io::Result<u64> {
        if self.names()?.contains_key(name) {
            return Err(os(libc::EEXIST));
        }
        let node = self.new_node(Node::default());
        self.live.insert(name.to_string(), node);
        self.pending.push(Piece::Create { node, name: name.to_string() });
        Ok(node)
    }

    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let node = self.find(from)?;
        if from != to {
            self.live.remove(from);
            self.live.insert(to.to_string(), node);
            self.pending.push(Piece::Rename { node, from: from.to_string(), to: to.to_string() });
        }
        Ok(())
    }

    pub fn remove(&mut self, name: &str) -> io::Result<()> {
        let node = self.find(name)?;
        self.live.remove(name);
        self.pending.push(Piece::Remove { node, name: name.to_string() });
        Ok(())
    }

    pub fn sync_names(&mut self) -> io::Result<()> {
        self.names()?;
        if !self.faults.lie {
            for piece in self.take_pending(Piece::is_name) {
                self.persist(&piece);
            }
            self.forget_unreachable();
        }
        Ok(())
    }

    pub fn lose_names(&mut self) {
        self.take_pending(Piece::is_name);
    }

    pub fn put_file(&mut self, name: &str, bytes: &[u8]) {
        self.exists = true;
        let node = match self.live.get(name) {
            Some(&node) => node,
            None => self.new_node(Node::default()),
        };
        self.take_pending(|piece| piece.node() == node);
        self.durable.retain(|_, other| *other != node);
        self.live.insert(name.to_string(), node);
        self.durable.insert(name.to_string(), node);
        let content = Arc::new(bytes.to_vec());
        if let Some(node) = self.nodes.get_mut(&node) {
            node.live = Arc::clone(&content);
            node.durable = content;
        }
        if name == LOCK_NAME {
            self.words_history = vec![self.words().unwrap_or_default()];
        }
    }

    pub fn remove_file(&mut self, name: &str) -> bool {
        self.durable.remove(name);
        let Some(node) = self.live.remove(name) else { return false };
        self.take_pending(|piece| piece.node() == node);
        self.durable.retain(|_, other| *other != node);
        self.forget_unreachable();
        true
    }

    fn new_node(&mut self, node: Node) -> u64 {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    pub fn hold(&mut self, node: u64) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.handles += 1;
        }
    }

    pub fn release(&mut self, node: u64) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.handles = node.handles.saturating_sub(1);
        }
    }

    /// Drops the files that no name, no handle and no unsynced name leads to any more.
    pub fn forget_unreachable(&mut self) {
        let mut reachable: BTreeSet<u64> = self.live.values().copied().collect();
        reachable.extend(self.durable.values());
        reachable.extend(self.pending.iter().filter(|piece| piece.is_name()).map(Piece::node));
        self.nodes.retain(|id, node| node.handles > 0 || reachable.contains(id));
        let nodes = &self.nodes;
        self.pending.retain(|piece| nodes.contains_key(&piece.node()));
    }
}

/// Bytes.
impl State {
    /// A handle of an earlier machine finds nothing here; `enter` has turned it away before.
    fn node(&self, node: u64) -> io::Result<&Node> {
        self.nodes.get(&node).ok_or_else(|| os(libc::EIO))
    }

    fn live_bytes(&mut self, node: u64) -> io::Result<&mut Vec<u8>> {
        let node = self.nodes.get_mut(&node).ok_or_else(|| os(libc::EIO))?;
        Ok(Arc::make_mut(&mut node.live))
    }

    pub fn length(&self, node: u64) -> io::Result<u64> {
        Ok(self.node(node)?.live.len() as u64)
    }

    /// At most `most` bytes at `offset`: fewer where the file ends.
    fn there(&self, node: u64, most: usize, offset: u64) -> io::Result<&[u8]> {
        let live = &self.node(node)?.live;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(live.len());
        Ok(&live[start..start + most.min(live.len() - start)])
    }

    pub fn read_at(&mut self, node: u64, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let there = self.there(node, bytes.len(), offset)?;
        let count = there.len();
        bytes[..count].copy_from_slice(there);
        self.counts.add_bytes(Op::ReadAt, count as u64);
        Ok(count)
    }

    pub fn read_into(
        &mut self,
        node: u64,
        bytes: &mut Vec<u8>,
        most: usize,
        offset: u64,
    ) -> io::Result<()> {
        bytes.clear();
        bytes.extend_from_slice(self.there(node, most, offset)?);
        self.counts.add_bytes(Op::ReadAt, bytes.len() as u64);
        Ok(())
    }

    pub fn write_at(&mut self, node: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| os(libc::EFBIG))?;
        let end = start.checked_add(bytes.len()).ok_or_else(|| os(libc::EFBIG))?;
        if bytes.is_empty() {
            return Ok(());
        }
        if self.room_for(node, end)? < end {
            self.write_some_at(node, bytes, offset);
            return Err(os(libc::ENOSPC));
        }
        self.apply_write(node, bytes, start)?;
        self.counts.add_bytes(Op::WriteAt, bytes.len() as u64);
        Ok(())
    }

    /// What is stored through a mapping: unsynced bytes of a file that has them already.
    pub fn store(&mut self, node: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| os(libc::EFBIG))?;
        if bytes.is_empty() {
            return Ok(());
        }
        if start + bytes.len() > self.node(node)?.live.len() {
            return Err(os(libc::EFAULT));
        }
        self.apply_write(node, bytes, start)?;
        self.counts.add_bytes(Op::Store, bytes.len() as u64);
        Ok(())
    }

    /// What a failed write leaves: some of its first sectors, as far as there is room.
    pub fn write_some_at(&mut self, node: u64, bytes: &[u8], offset: u64) {
        let Ok(start) = usize::try_from(offset) else { return };
        let Some(end) = start.checked_add(bytes.len()) else { return };
        let Ok(room) = self.room_for(node, end) else { return };
        let end = end.min(room);
        let first_edge = (start / SECTOR + 1) * SECTOR;
        let edges = if end < first_edge { 0 } else { (end - first_edge) / SECTOR + 1 };
        let kept = mix(self.random ^ self.counts.ops.rotate_left(32)) as usize % (edges + 1);
        if kept > 0 {
            let length = first_edge + (kept - 1) * SECTOR - start;
            // The write as a whole has failed already; what its first part does changes nothing about that.
            let _ = self.apply_write(node, &bytes[..length], start);
            self.counts.add_bytes(Op::WriteAt, length as u64);
        }
    }

    fn apply_write(&mut self, node: u64, bytes: &[u8], start: usize) -> io::Result<()> {
        let end = start + bytes.len();
        let live = self.live_bytes(node)?;
        if live.len() < end {
            live.resize(end, 0);
        }
        live[start..end].copy_from_slice(bytes);
        let first = start / SECTOR * SECTOR;
        let last = live.len().min(end.next_multiple_of(SECTOR));
        let image: Arc<[u8]> = live[first..last].into();
        for from in (0..image.len()).step_by(SECTOR) {
            let to = image.len().min(from + SECTOR);
            let image = Arc::clone(&image);
            self.pending.push(Piece::Sector { node, offset: first + from, image, from, to });
        }
        Ok(())
    }

    pub fn allocate(&mut self, node: u64, length: u64) -> io::Result<()> {
        let to = usize::try_from(length).map_err(|_| os(libc::EFBIG))?;
        let from = self.node(node)?.live.len();
        if to <= from {
            return Ok(());
        }
        if self.room_for(node, to)? < to {
            return Err(os(libc::ENOSPC));
        }
        self.live_bytes(node)?.resize(to, 0);
        self.pending.push(Piece::Length { node, from, to });
        self.counts.add_bytes(Op::Allocate, (to - from) as u64);
        Ok(())
    }

    /// How far a file may reach that is to reach `end`: never less than it does now.
    fn room_for(&self, node: u64, end: usize) -> io::Result<usize> {
        let own = self.node(node)?.live.len();
        if end <= own || self.capacity == u64::MAX {
            return Ok(end);
        }
        let named: BTreeSet<&u64> = self.live.values().collect();
        let taken = self.nodes.iter().filter(|(id, node)| node.handles > 0 || named.contains(id));
        let used: u64 = taken.map(|(_, node)| node.live.len() as u64).sum();
        let free = usize::try_from(self.capacity.saturating_sub(used)).unwrap_or(usize::MAX);
        Ok(own.saturating_add(free).min(end))
    }

    pub fn sync_bytes(&mut self, node: u64) -> io::Result<()> {
        self.node(node)?;
        let mut pages = BTreeSet::new();
        for piece in self.pending.iter().filter(|piece| piece.is_bytes_of(node)) {
            let (from, to) = piece.span().unwrap_or_default();
            pages.extend(from / PAGE..to.div_ceil(PAGE));
        }
        self.counts.pages_synced += pages.len() as u64;
        if !self.faults.lie {
            for piece in self.take_pending(|piece| piece.is_bytes_of(node)) {
                self.persist(&piece);
            }
        }
        Ok(())
    }

    pub fn lose_bytes(&mut self, node: u64) {
        self.take_pending(|piece| piece.is_bytes_of(node));
    }
}

/// Pieces.
impl State {
    fn take_pending(&mut self, wanted: impl Fn(&Piece) -> bool) -> Vec<Piece> {
        let all = std::mem::take(&mut self.pending);
        let (taken, kept) = all.into_iter().partition(wanted);
        self.pending = kept;
        taken
    }

    /// Makes one piece durable.
    pub fn persist(&mut self, piece: &Piece) {
        match piece {
            Piece::Sector { node, offset, image, from, to } => {
                let Some(node) = self.nodes.get_mut(node) else { return };
                let durable = Arc::make_mut(&mut node.durable);
                let end = offset + (to - from);
                if durable.len() < end {
                    durable.resize(end, 0);
                }
                durable[*offset..end].copy_from_slice(&image[*from..*to]);
            }
            Piece::Length { node, to, .. } => {
                let Some(node) = self.nodes.get_mut(node) else { return };
                if node.durable.len() < *to {
                    Arc::make_mut(&mut node.durable).resize(*to, 0);
                }
            }
            Piece::Create { node, name } => {
                self.durable.insert(name.clone(), *node);
            }
            Piece::Rename { node, to, .. } => {
                // Whichever of its earlier names is durable, the file never has two.
                self.durable.retain(|_, other| other != node);
                self.durable.insert(to.clone(), *node);
            }
            Piece::Remove { node, name } => {
                if self.durable.get(name) == Some(node) {
                    self.durable.remove(name);
                }
            }
        }
    }

    /// Makes what is durable all there is.
    pub fn fall_back_to_durable(&mut self) {
        self.pending.clear();
        self.live = self.durable.clone();
        for node in self.nodes.values_mut() {
            node.live = Arc::clone(&node.durable);
        }
    }
}

/// The lock file and its words.
impl State {
    /// Takes the lock; `false` when it is taken.
    pub fn take_lock(&mut self) -> io::Result<bool> {
        self.names()?;
        if self.locked {
            return Ok(false);
        }
        let node = match self.find(LOCK_NAME) {
            Ok(node) => node,
            Err(_) => {
                self.words_history = vec![(0, 0)];
                self.create(LOCK_NAME)?
            }
        };
        self.allocate(node, LOCK_SIZE as u64)?;
        self.locked = true;
        Ok(true)
    }

    /// *attempted* and *done* as the lock file has them.
    pub fn words(&self) -> Option<(u64, u64)> {
        let bytes = self.node_named(LOCK_NAME)?.live.get(..16)?;
        let word = |from: usize| bytes[from..].first_chunk().copied().map(u64::from_le_bytes);
        Some((word(0)?, word(8)?))
    }

    /// Changes the words in the page cache: no piece, for nobody syncs them.
    pub fn change_words(&mut self, change: impl FnOnce(&mut (u64, u64))) {
        if self.is_halted() {
            return;
        }
        let Some(mut words) = self.words() else { return };
        change(&mut words);
        let Some(&node) = self.live.get(LOCK_NAME) else { return };
        if let Ok(bytes) = self.live_bytes(node) {
            write_words(bytes, words);
        }
        self.words_history.push(words);
        if self.words_history.len() > WORDS_MAX {
            let last = self.words_history.len() - 1;
            let mut index = 0..;
            self.words_history.retain(|_| index.next().is_some_and(|at| at % 2 == 0 || at == last));
        }
    }
}

pub(super) fn write_words(bytes: &mut [u8], (attempted, done): (u64, u64)) {
    if let Some((words, _)) = bytes.split_at_mut_checked(16) {
        words[..8].copy_from_slice(&attempted.to_le_bytes());
        words[8..].copy_from_slice(&done.to_le_bytes());
    }
}

/// A number that looks nothing like the one it is made of.
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
