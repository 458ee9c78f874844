//! Giving back segments in which nothing is alive.
//!
//! A segment may go when it is durable, older than every segment an open may need, and neither pinned by a
//! reader nor holding a message that somebody still waits for; the last is the store's to say. The store also
//! says from which segment on all are kept, for those who read the journal as a whole. It leaves the
//! table with a local frame that says so, and its file is used again only when that frame is durable: so a
//! file that is missing is either named there, or it is damage. Staged transactions go in the same way, each as
//! a whole.

use super::format::{HEAD, Type, frame_bytes};
use super::index::Span;
use super::rows::Rows;
use super::slot::FRAMES_AT;
use super::spare::Space;
use super::tail::Tail;
use super::{Journal, SealedSegment, file_name};
use crate::error::Result;

/// A message that keeps a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Number of its queue.
    pub queue: u32,
    /// Its sequence in the queue.
    pub sequence: u64,
}

/// What a queue has in a segment, for whoever says what is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Number of the queue.
    pub queue: u32,
    /// First and last sequence.
    pub first: u64,
    /// Last sequence.
    pub last: u64,
}

impl From<&Span> for Stretch {
    fn from(span: &Span) -> Self {
        Stretch { queue: span.queue, first: span.first, last: span.last() }
    }
}

/// A segment that was looked at.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its number.
    pub number: u64,
    /// Bytes of its file.
    pub length: u64,
    /// What queues have in it, what was moved there included.
    pub stretches: Vec<Stretch>,
}

/// A segment that may go, as far as the journal is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub number: u64,
    /// Bytes of its file.
    pub length: u64,
    /// Sequence of the last transaction in it.
    pub last: u64,
    /// When the next segment was begun, milliseconds since 1970 UTC.
    pub ended_ms: u64,
    pub(super) expires_ms: u64,
}

impl Journal {
    /// Looks through the segments that may go and gives back those in which `alive` finds nothing; returns how
    /// many went, and those that stay for what is alive in them. `kept_from` gets all that may go, the oldest
    /// first, and names the first segment that is kept with all behind it. Segments whose messages have all
    /// expired at `now_ms` go without asking `alive`. Unless `all` are wanted, those whose index is not remembered are
    /// looked at in turn, a few with each call.
    pub fn reclaim(
        &self,
        (now_ms, all): (u64, bool),
        kept_from: &mut dyn FnMut(&[Candidate]) -> u64,
        alive: &mut dyn FnMut(&[Stretch]) -> Option<Held>,
    ) -> Result<(usize, Vec<Judged>)> {
        let candidates = self.may_go(self.needed_from());
        let (dead, alive) = self.judge(&candidates, (now_ms, all), kept_from, alive)?;
        Ok((self.give_back(&dead)?, alive))
    }

    /// Gives these segments back; returns how many went. Nothing in them is alive.
    pub fn give_back(&self, numbers: &[u64]) -> Result<usize> {
        let mut gone = 0;
        for number in numbers {
            gone += usize::from(self.release(*number)?);
        }
        if gone > 0 {
            self.commit_all()?;
            self.give_back_released();
        }
        Ok(gone)
    }

    /// How many segments could go if newer state runs were durable.
    pub fn held_by_runs(
        &self,
        now_ms: u64,
        kept_from: &mut dyn FnMut(&[Candidate]) -> u64,
        alive: &mut dyn FnMut(&[Stretch]) -> Option<Held>,
    ) -> Result<usize> {
        let needed = self.needed_from();
        let all = self.may_go(u64::MAX);
        let held = all.len().saturating_sub(self.may_go(needed).len());
        if held < 2 {
            return Ok(0);
        }
        let (dead, _) = self.judge(&all, (now_ms, true), kept_from, alive)?;
        Ok(dead.iter().filter(|number| **number >= needed).count())
    }

    /// Goes on in another segment, taken from the reserve where there is no room, so that the state as it is now
    /// becomes a run, with [`Journal::settle_renewed`]. The caller holds the lock of that state.
    pub fn renew_run(&self, freeze: &mut dyn FnMut(&mut Rows)) -> Result<()> {
        let mut tail = self.tail.lock();
        if tail.closed || !self.is_alive(&mut tail)? {
            return Ok(());
        }
        let least = FRAMES_AT + 8 * HEAD as u64;
        self.roll(&mut tail, least, Space::Freeing, freeze)?;
        self.appended.store(tail.end, crate::sync::Ordering::Release);
        Ok(())
    }

    /// Makes the run of [`Journal::renew_run`] durable; the caller holds no lock.
    pub fn settle_renewed(&self) -> Result<()> {
        self.commit_all()?;
        self.settle_run().map(|_| ())
    }

    /// Those of the candidates in which nothing is alive, and the others, as far as they are not kept anyway.
    fn judge(
        &self,
        candidates: &[Candidate],
        (now_ms, all): (u64, bool),
        kept_from: &mut dyn FnMut(&[Candidate]) -> u64,
        alive: &mut dyn FnMut(&[Stretch]) -> Option<Held>,
    ) -> Result<(Vec<u64>, Vec<Judged>)> {
        let kept = if candidates.is_empty() { 0 } else { kept_from(candidates) };
        let candidates = &candidates[..candidates.partition_point(|one| one.number < kept)];
        let (mut dead, mut held) = (Vec::new(), Vec::new());
        let (chosen, moved) = (self.looked_at(candidates, now_ms, all), self.moved_by_segment());
        let chosen = candidates.iter().filter(|one| chosen.contains(&one.number));
        for Candidate { number, length, expires_ms, .. } in chosen {
            let mut stretches = Vec::new();
            if *expires_ms > now_ms {
                let Some(known) = self.contents_of(*number)? else { continue };
                stretches.extend_from_slice(&known);
            }
            let moved = moved.get(number).into_iter().flatten();
            let moved = moved.filter(|(_, expires)| *expires == 0 || *expires > now_ms);
            stretches.extend(moved.map(|(stretch, _)| *stretch));
            match alive(&stretches) {
                None => dead.push(*number),
                Some(_) => held.push(Judged { number: *number, length: *length, stretches }),
            }
        }
        Ok((dead, held))
    }

    /// Whether this open has a life; one is begun where there is room for it and a release.
    pub(super) fn is_alive(&self, tail: &mut Tail) -> Result<bool> {
        let life = frame_bytes(16);
        if !tail.begun && tail.end_with(life + HEAD, HEAD, 0) <= tail.segment.length {
            self.begin_life(tail, false)?;
        }
        Ok(tail.begun)
    }

    /// Tells what each queue has in each sealed segment, the oldest first; of one that cannot be read nothing.
    pub fn tell_contents(&self, tell: &mut dyn FnMut(&SealedSegment, &[Stretch])) {
        let moved = self.moved_by_segment();
        for segment in self.sealed_segments() {
            // A damaged store is looked at all the same; it gives nothing back anyway.
            let Ok(Some(known)) = self.contents_of(segment.number) else { continue };
            let moved = moved.get(&segment.number).into_iter().flatten().map(|(one, _)| *one);
            let stretches: Vec<Stretch> = known.iter().copied().chain(moved).collect();
            tell(&segment, &stretches);
        }
    }

    /// Keeps every segment from `number` on until the pin is taken back.
    pub fn pin(&self, number: u64) -> u64 {
        let mut tail = self.tail.lock();
        let id = tail.pins.keys().next_back().map_or(1, |last| last + 1);
        tail.pins.insert(id, number);
        id
    }

    /// The oldest segment there is.
    pub fn oldest_segment(&self) -> u64 {
        let tail = self.tail.lock();
        tail.table.keys().next().copied().unwrap_or(tail.segment.number)
    }

    /// Takes a pin back.
    pub fn unpin(&self, id: u64) {
        self.tail.lock().pins.remove(&id);
    }

    pub(super) fn may_go(&self, needed: u64) -> Vec<Candidate> {
        let (durable, _) = self.durable();
        let tail = self.tail.lock();
        let pinned = tail.pins.values().min().copied().unwrap_or(u64::MAX);
        let old = |number: u64| number < needed && number < pinned;
        let slot = tail.segment.slot.as_ref();
        let mut after = slot.map_or((tail.next, 0), |slot| (slot.next, slot.began_ms));
        let mut found = Vec::new();
        for (number, row) in tail.table.iter().rev() {
            let (next, ended_ms) = std::mem::replace(&mut after, (row.next, row.began_ms));
            let adopts = tail.adopted.iter().any(|adopted| adopted.segment == *number);
            if old(*number) && row.end <= durable && !adopts {
                let (length, expires_ms) = (row.length, row.expires_ms);
                let last = next.saturating_sub(1);
                found.push(Candidate { number: *number, length, last, ended_ms, expires_ms });
            }
        }
        found.reverse();
        found
    }

    fn release(&self, number: u64) -> Result<bool> {
        let mut tail = self.tail.lock();
        if tail.closed || !self.is_alive(&mut tail)? {
            return Ok(false);
        }
        let room = tail.end_with(HEAD, HEAD, 0) <= tail.segment.length;
        // Somebody may have begun to read since the candidates were found.
        let pinned = tail.pins.values().any(|pin| *pin <= number);
        if !room || pinned {
            return Ok(false);
        }
        let Some(row) = tail.table.remove(&number) else { return Ok(false) };
        self.contents.lock().forget(number);
        tail.moved.retain(|_, home| !(row.first..row.end).contains(&home.offset));
        tail.put_local(Type::Reclaim, 0, number, &[]);
        let end = tail.end;
        tail.released.push((end, number, row.length));
        self.appended.store(end, crate::sync::Ordering::Release);
        Ok(true)
    }

    fn give_back_released(&self) {
        let (durable, _) = self.durable();
        let released = {
            let mut tail = self.tail.lock();
            let all = std::mem::take(&mut tail.released);
            let (now, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|r| r.0 <= durable);
            tail.released = later;
            now
        };
        let mut spares = self.spares.lock();
        for (_, number, length) in released {
            // A file that could not be given back costs space only; the next open finds it.
            let _ = spares.give_back(self, file_name(number), length);
        }
    }
}
