//! Files of the model in memory: what is stored joins the unsynced pieces, run by run.
//!
//! A run is one operation: a stop or a fault may lie between two of a store, as a kill may. A store that meets
//! one is refused, so whoever stored meets it again at the write that takes its place.

use std::io;
use std::sync::Arc;

use super::super::Head;
use super::fault::Op;
use super::{ModelDisk, Window};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// The first bytes of a file, mapped.
pub(super) struct Mapping {
    disk: ModelDisk,
    node: u64,
    length: u64,
    ready: AtomicU64,
    taken: AtomicBool,
}

impl Mapping {
    pub fn new(disk: ModelDisk, node: u64, length: u64) -> Arc<Mapping> {
        let (ready, taken) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Mapping { disk, node, length, ready, taken })
    }

    pub fn populate(&self, from: u64, to: u64) -> io::Result<()> {
        self.disk.act_or_nothing(Op::Populate, |_| Ok(()))?;
        let to = to.min(self.length);
        if from < to {
            self.ready.fetch_max(to, Ordering::Release);
        }
        Ok(())
    }

    pub fn window(mapping: &Arc<Mapping>) -> Option<Box<dyn Window>> {
        let free = !mapping.taken.swap(true, Ordering::AcqRel);
        free.then(|| Box::new(Open(mapping.clone())) as Box<dyn Window>)
    }
}

struct Open(Arc<Mapping>);

impl Window for Open {
    fn ready(&self) -> u64 {
        self.0.ready.load(Ordering::Acquire)
    }

    fn store(&mut self, head: &Head, parts: [&[u8]; 2], length: usize, offset: u64) -> bool {
        let head: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        let bytes = head.len() + parts[0].len() + parts[1].len();
        if offset + length as u64 > self.ready() || bytes > length {
            return false;
        }
        let (mut at, zeros) = (offset, vec![0; length - bytes]);
        let parts = [&head[..], parts[0], parts[1], &zeros[..]].into_iter();
        for part in parts.filter(|part| !part.is_empty()) {
            let (disk, node) = (&self.0.disk, self.0.node);
            if disk.act_or_nothing(Op::Store, |state| state.store(node, part, at)).is_err() {
                return false;
            }
            at += part.len() as u64;
        }
        true
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}
