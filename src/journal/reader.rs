//! Reading one queue's messages in order, below a horizon.
//!
//! A [`Cursor`] remembers the segment it is in. In a sealed segment the index says where the queue's frames
//! stand; in the tail the flat array does. Frames are read with positioned reads into a buffer that the
//! messages share, and both sums are checked before anything is handed out: damage is `Corrupt` with its
//! range, never wrong bytes.

use super::adopt::staged_name;
use super::adopted::Inside;
use super::format::{HEAD, Head, Type, body_sum, frame_bytes};
use super::index::{Flat, Sealed, seed_at};
use super::key::Purpose;
use super::scan::{Met, Window, look};
use super::seal::{FRONT, open_named};
use super::slot::{FRAMES_AT, SLOT, Slot, seed_of};
use super::unseal::read_blocks;
use super::{Journal, file_name};
use crate::disk::File;
use crate::error::{Code, Error, Result};
use std::sync::Arc;

/// Bytes read at a time, at least.
const STEP: usize = 64 << 10;

/// Where a reader of one queue is.
#[derive(Clone)]
pub struct Cursor {
    queue: u32,
    next: u64,
    segment: u64,
    at: usize,
    loaded: Option<Loaded>,
    /// The staged file it is in.
    pub(super) staged: Option<Inside>,
    /// The block of an encrypted store that was opened last: number of its file and whether that is a staged
    /// one, its place, its frames.
    pub(super) block: Option<Block>,
}

/// Which file, where in it, and the frames.
type Block = ((u64, bool), u32, Arc<Vec<u8>>);

/// A sealed segment a cursor is in.
#[derive(Clone)]
struct Loaded {
    number: u64,
    index: Arc<Sealed>,
    file: Arc<dyn File>,
    first: u64,
}

impl Cursor {
    /// A reader of `queue` whose next message is the one with this sequence, or the first one after it.
    pub fn new(queue: u32, next: u64) -> Cursor {
        Cursor { queue, next, segment: 0, at: 0, loaded: None, staged: None, block: None }
    }

    /// The same for who knows that nothing it asks for stands before this segment: what is before is not looked through.
    pub(super) fn beginning_in(self, segment: u64) -> Cursor {
        Cursor { segment, ..self }
    }

    /// The queue it reads.
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// The sequence of the next message at least.
    pub fn next(&self) -> u64 {
        self.next
    }
}

/// A message frame read back, its bytes in a buffer shared with others.
#[derive(Clone)]
pub struct Found {
    /// The frame's header.
    pub head: Head,
    /// The buffer.
    pub buffer: Arc<Vec<u8>>,
    /// Where the body lies in it.
    pub body: std::ops::Range<usize>,
}

/// Frames to read from one file.
pub(super) struct Plan {
    pub file: Arc<dyn File>,
    pub number: u64,
    pub first: u64,
    /// Where each frame begins, or the block that holds it, and the seed in force there.
    pub places: Vec<(u32, u32)>,
    /// Sequence of the first of them; in a staged file as its frame has it.
    pub sequence: u64,
    /// Messages, or evacuated ones.
    pub kind: Type,
    /// The staged file it is; without one a segment.
    pub staged: Option<Inside>,
}

impl Plan {
    /// The name of the file.
    pub fn name(&self) -> String {
        let number = self.number;
        if self.staged.is_some() { staged_name(number) } else { file_name(number) }
    }
}

impl Journal {
    /// Reads at most `max` messages and about `max_bytes` bytes that lie wholly below the journal offset
    /// `horizon`, and moves the cursor behind them. Nothing read means there is nothing more below it. When it
    /// fails, nothing was read and the cursor has passed nothing over.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        horizon: u64,
        max: usize,
        max_bytes: usize,
        out: &mut Vec<Found>,
    ) -> Result<()> {
        let (mut bytes, begun) = (0, out.len());
        while out.len() < max && bytes < max_bytes {
            let before = out.len();
            let plan = match self.next_plan(cursor, horizon, max - before) {
                Ok(Some(plan)) => plan,
                Ok(None) => break,
                // What was read is given out; who reads on meets the error, if it is still there.
                Err(_) if before > begun => break,
                Err(error) => return Err(error),
            };
            let read = match &self.keys {
                None => read_plan(&plan, cursor.queue, max_bytes - bytes, out),
                Some(keys) => read_blocks(&plan, keys, cursor, max_bytes - bytes, out),
            };
            match read {
                Ok(()) => {}
                Err(_) if self.is_gone(&plan) => {
                    // It was given back meanwhile: all that was in it is acknowledged or gone.
                    out.truncate(before);
                    (cursor.loaded, cursor.staged) = (None, None);
                    continue;
                }
                Err(error) => {
                    out.truncate(before);
                    if before > begun {
                        break;
                    }
                    return Err(error);
                }
            }
            if let Some(staged) = &plan.staged {
                out[before..].iter_mut().for_each(|found| staged.place(&mut found.head));
            } else if !self.has_segment(plan.number) {
                out.truncate(before);
                continue;
            } else if plan.kind == Type::Evacuated {
                self.cut_at_look(out, before);
            }
            bytes += out[before..].iter().map(|found| found.body.len() + HEAD).sum::<usize>();
            if let Some(last) = out.last() {
                cursor.next = last.head.sequence + 1;
            }
            if out.len() == before {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn has_segment(&self, number: u64) -> bool {
        let tail = self.tail.lock();
        tail.segment.number == number || tail.table.contains_key(&number)
    }

    /// Whether what was to be read was given back.
    fn is_gone(&self, plan: &Plan) -> bool {
        match &plan.staged {
            Some(staged) => self.was_released(staged),
            None => self.was_given_back(plan.number),
        }
    }

    /// The next frames of the cursor's queue, in a segment or in a staged file.
    fn next_plan(&self, cursor: &mut Cursor, horizon: u64, max: usize) -> Result<Option<Plan>> {
        while let Some(spot) = self.spot(cursor.queue, cursor.next, horizon) {
            let first = spot.row.first;
            if first > cursor.next {
                let plan = self.plan(cursor, horizon, max, first)?;
                if plan.as_ref().is_some_and(|plan| plan.sequence < first) {
                    return Ok(plan);
                }
            }
            // It may be given back in between; then there is another one, or none.
            if let Some(plan) = self.plan_staged(cursor, spot, max)? {
                return Ok(Some(plan));
            }
        }
        self.plan(cursor, horizon, max, u64::MAX)
    }

    /// The next frames of the cursor's queue in segments, where they stand first or where they were moved to; of
    /// the moved ones those before the sequence `limit`.
    fn plan(
        &self,
        cursor: &mut Cursor,
        horizon: u64,
        max: usize,
        limit: u64,
    ) -> Result<Option<Plan>> {
        let plan = self.plan_segments(cursor, horizon, max)?;
        let before = plan.as_ref().map_or(u64::MAX, |plan| plan.sequence).min(limit);
        Ok(self.plan_moved(cursor, max, before)?.or(plan))
    }

    /// The next frames of the cursor's queue where they stand first, moving over segments that hold none.
    fn plan_segments(&self, cursor: &mut Cursor, horizon: u64, max: usize) -> Result<Option<Plan>> {
        loop {
            let row = {
                let tail = self.tail.lock();
                match tail.table.range(cursor.segment..).next() {
                    Some((number, row)) => (*number, *row),
                    None => return Ok(plan_tail(&tail, cursor, horizon, max)),
                }
            };
            let (number, row) = row;
            if row.first >= horizon {
                return Ok(None);
            }
            if cursor.segment != number {
                (cursor.segment, cursor.at, cursor.loaded) = (number, 0, None);
            }
            if cursor.loaded.as_ref().is_none_or(|loaded| loaded.number != number) {
                let Some(sealed) = self.sealed_index(number)? else { continue };
                let file = match self.open_segment(number, (row.first, row.end)) {
                    Ok(file) => file,
                    Err(_) if self.was_given_back(number) => continue,
                    Err(error) => return Err(error),
                };
                cursor.loaded = Some(Loaded { number, index: sealed, file, first: row.first });
            }
            let Some(Loaded { index: sealed, file, first, .. }) = &cursor.loaded else { continue };
            let below = |place: u32| u64::from(place) * 8 - FRAMES_AT + first < horizon;
            if let Some(span) = sealed.span_from(cursor.queue, cursor.next) {
                let skip = cursor.next.saturating_sub(span.first) as usize;
                let places = sealed.places(span)[skip..].iter().copied();
                let places: Vec<(u32, u32)> = places
                    .take_while(|place| below(*place))
                    .take(max)
                    .map(|place| (place, seed_at(&sealed.lives, place)))
                    .collect();
                if places.is_empty() {
                    return Ok(None);
                }
                let sequence = span.first + skip as u64;
                let (file, first, kind) = (file.clone(), *first, Type::Message);
                let staged = None;
                return Ok(Some(Plan { file, number, first, places, sequence, kind, staged }));
            }
            if row.end > horizon {
                return Ok(None);
            }
            (cursor.segment, cursor.at, cursor.loaded) = (number + 1, 0, None);
        }
    }

    pub(super) fn open_segment(
        &self,
        number: u64,
        (first, end): (u64, u64),
    ) -> Result<Arc<dyn File>> {
        let name = file_name(number);
        self.disk.open(&name, false).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.damaged(number, first, end),
            _ => Error::io(format!("cannot open {name}"), &error),
        })
    }

    /// The index of a sealed segment, which all who are in it share; `None` when the segment is gone.
    pub(super) fn sealed_index(&self, number: u64) -> Result<Option<Arc<Sealed>>> {
        let row = {
            let tail = self.tail.lock();
            if let Some((_, sealed)) = tail.recent.iter().find(|(known, _)| *known == number) {
                return Ok(Some(sealed.clone()));
            }
            let Some(row) = tail.table.get(&number).copied() else { return Ok(None) };
            row
        };
        if let Some(known) = self.contents.lock().index(number) {
            return Ok(Some(known));
        }
        let loaded = self.load_index(number, row.first, row.end);
        match loaded {
            Ok(sealed) => {
                let sealed = Arc::new(sealed);
                self.contents.lock().share(number, &sealed);
                Ok(Some(sealed))
            }
            Err(_) if self.was_given_back(number) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn load_index(&self, number: u64, first: u64, end: u64) -> Result<Sealed> {
        let file = self.open_segment(number, (first, end))?;
        let failed = |error| Error::io(format!("cannot read {}", file_name(number)), &error);
        let mut head = [0; FRAMES_AT as usize];
        let read = file.read_at(&mut head, 0).map_err(failed)?;
        let slot = |at: usize| {
            Slot::decode(head[..read].get(at * SLOT..).unwrap_or(&[]), number).ok().flatten()
        };
        if let Some(sealed) = slot(2)
            && sealed.end == end
            && let Some(index) = self.read_index(
                (&file, &file_name(number)),
                (sealed.index, sealed.end),
                first,
                None,
            )?
        {
            return Ok(index);
        }
        // Without a seal, or with a damaged index, the frames themselves say where they stand.
        let begun = slot(0).or(slot(1)).or(slot(2));
        let lost = || self.damaged(number, first, end);
        let seed = begun.ok_or_else(lost)?.seed();
        let mut window = Window::new(file, self.keys.clone());
        self.walk_index(&mut window, seed, (first, end))?.ok_or_else(lost)
    }

    /// The index at the end of a segment, or of the staged file with this salt; `None` when it is damaged.
    pub(super) fn read_index(
        &self,
        (file, name): (&Arc<dyn File>, &str),
        (index, end): (u64, u64),
        first: u64,
        salt: Option<[u8; 16]>,
    ) -> Result<Option<Sealed>> {
        let failed = |error| Error::io(format!("cannot read {name}"), &error);
        let inside = first <= index && index <= end;
        let there = file.len().map_err(failed)?;
        if !inside || end - first + FRAMES_AT > there {
            return Ok(None);
        }
        let (at, length) = (index - first + FRAMES_AT, (end - index) as usize);
        let mut bytes = Vec::new();
        file.read_into(&mut bytes, length, at).map_err(failed)?;
        // The index is seeded by the last life of its segment, which only it names: the sum of the body and
        // the places it leads to, which are checked frame by frame, are enough.
        if bytes.len() < length {
            return Ok(None);
        }
        let mut offset = index;
        if let Some(keys) = &self.keys {
            if salt.is_some_and(|salt| bytes.get(16..32) != Some(&salt)) {
                // Another file's: it says nothing here, and is not taken for changed on purpose.
                return Ok(None);
            }
            let purpose = if salt.is_some() { Purpose::Staged } else { Purpose::Tail };
            let Some(frames) = open_named(keys, purpose, &bytes, offset)? else { return Ok(None) };
            (bytes, offset) = (frames, offset + FRONT as u64);
        }
        if bytes.len() < HEAD || bytes[4] != Type::Index as u8 {
            return Ok(None);
        }
        let body_length = super::u32_at(&bytes, 0) as usize;
        if frame_bytes(body_length) != bytes.len() {
            return Ok(None);
        }
        let body = &bytes[HEAD..HEAD + body_length];
        if body_sum(&[body]) != super::u32_at(&bytes, 40) {
            return Ok(None);
        }
        let Some(sealed) = Sealed::decode(body) else { return Ok(None) };
        let Some((_, seed)) = sealed.lives.last().copied() else { return Ok(None) };
        if salt.is_some_and(|salt| seed_of(&salt) != seed) {
            return Ok(None);
        }
        let head = Head::decode(&bytes, offset, seed)?;
        Ok(head.map(|_| sealed))
    }

    /// Walks a segment for its index; `None` when a frame in it is damaged.
    pub(super) fn walk_index(
        &self,
        window: &mut Window,
        mut seed: u32,
        (first, end): (u64, u64),
    ) -> Result<Option<Sealed>> {
        let mut flat = Flat::default();
        let mut offset = first;
        flat.live(FRAMES_AT, seed);
        while offset < end {
            let at = offset - first + FRAMES_AT;
            let met = look(window, at, (offset, end), seed, self.secret)?;
            let Met::Frame(head, bytes, place) = met else { return Ok(None) };
            let body = &bytes[HEAD..];
            let at = place.outer - first + FRAMES_AT;
            offset = place.next;
            match head.kind {
                Type::Message if head.queue as usize > crate::limits::QUEUES_MAX => {
                    return Ok(None);
                }
                Type::Message => {
                    let expires = super::body::expires_of(body);
                    flat.push(head.queue, head.sequence, at, expires);
                }
                Type::Incarnation => {
                    let Some(incarnation) = body.first_chunk() else { return Ok(None) };
                    seed = seed_of(incarnation);
                    flat.live(offset - first + FRAMES_AT, seed);
                }
                _ => {}
            }
        }
        Ok(Some(Sealed::from_flat(&flat)))
    }

    fn damaged(&self, number: u64, from: u64, to: u64) -> Error {
        let text = format!(
            "{} in {} is damaged between offsets {from} and {to}",
            file_name(number),
            self.disk.describe()
        );
        Error::new(Code::Corrupt, text).over(from, to)
    }
}

fn plan_tail(
    tail: &super::tail::Tail,
    cursor: &mut Cursor,
    horizon: u64,
    max: usize,
) -> Option<Plan> {
    let segment = &tail.segment;
    if cursor.segment != segment.number {
        (cursor.segment, cursor.at, cursor.loaded) = (segment.number, 0, None);
    }
    let entries = tail.index.entries();
    let (mut places, mut sequence, mut next) = (Vec::new(), 0, 0);
    for (at, entry) in entries.iter().enumerate().skip(cursor.at) {
        let below = u64::from(entry.place) * 8 - FRAMES_AT + segment.first < horizon;
        if !below || places.len() == max {
            break;
        }
        if entry.queue == cursor.queue && entry.sequence >= cursor.next {
            if places.is_empty() {
                sequence = entry.sequence;
            } else if entry.sequence != next {
                // A staged transaction lies in between.
                break;
            }
            next = entry.sequence + 1;
            places.push((entry.place, seed_at(tail.index.lives(), entry.place)));
        }
        if places.is_empty() {
            cursor.at = at + 1;
        }
    }
    let (file, number, first) = (segment.file.clone(), segment.number, segment.first);
    let (kind, staged) = (Type::Message, None);
    let plan = Plan { file, number, first, places, sequence, kind, staged };
    (!plan.places.is_empty()).then_some(plan)
}

/// Reads the frames of a plan, at most about `max_bytes`, at least one.
fn read_plan(plan: &Plan, queue: u32, max_bytes: usize, out: &mut Vec<Found>) -> Result<()> {
    let mut places = plan.places.iter().peekable();
    let (mut total, mut next) = (0, plan.sequence);
    while let Some((start, _)) = places.peek().copied().copied() {
        if total >= max_bytes {
            break;
        }
        let from = u64::from(start) * 8;
        let (buffer, frames) = read_chunk(plan, from, max_bytes - total, &mut places)?;
        let buffer = Arc::new(buffer);
        for (at, seed) in frames {
            let offset = from + at as u64 - FRAMES_AT + plan.first;
            let damaged = || {
                let name = plan.name();
                let text = format!("a message at {offset} in {name} fails its checksum");
                Error::new(Code::Corrupt, text).over(offset, offset + HEAD as u64)
            };
            let head = Head::decode(&buffer[at..], offset, seed)?.ok_or_else(damaged)?;
            let body = at + HEAD..at + HEAD + head.length as usize;
            let bytes = buffer.get(body.clone()).ok_or_else(damaged)?;
            // Between those that were moved others may be missing.
            let moved = plan.kind == Type::Evacuated && head.sequence > next;
            let follows = head.sequence == next || moved;
            let right = head.queue == queue && head.kind == plan.kind && follows;
            let summed = body_sum(&[bytes]) == head.body_sum || sabotage!("read without its sum");
            if !right || !summed {
                return Err(damaged());
            }
            (total, next) = (total + HEAD + bytes.len(), head.sequence + 1);
            let head = Head { kind: Type::Message, ..head };
            out.push(Found { head, buffer: buffer.clone(), body });
        }
    }
    Ok(())
}

/// Bytes of a file, and where in them frames begin, with their seeds.
type Chunk = (Vec<u8>, Vec<(usize, u32)>);

type Places<'a> = std::iter::Peekable<std::slice::Iter<'a, (u32, u32)>>;

/// Reads from `from` on and takes the places whose frames lie wholly in what was read.
fn read_chunk(plan: &Plan, from: u64, max_bytes: usize, places: &mut Places<'_>) -> Result<Chunk> {
    let failed = |error| Error::io(format!("cannot read {}", plan.name()), &error);
    let last = plan.places[plan.places.len() - 1].0;
    let wanted = (u64::from(last) * 8 - from) as usize + STEP;
    let mut buffer = Vec::new();
    plan.file.read_into(&mut buffer, wanted.min(max_bytes.max(STEP)), from).map_err(failed)?;
    let mut frames: Vec<(usize, u32)> = Vec::new();
    while let Some((place, seed)) = places.peek().copied().copied() {
        let at = (u64::from(place) * 8 - from) as usize;
        let length = buffer.get(at..at + HEAD).map(|head| super::u32_at(head, 0) as usize);
        let whole = length.is_some_and(|length| at + HEAD + length <= buffer.len());
        if !whole {
            let Some(length) = length.filter(|_| frames.is_empty()) else { break };
            // A message larger than the step: read just it. A length beyond the limits is damage.
            let sound = length <= crate::limits::MESSAGE_BYTES_MAX;
            plan.file
                .read_into(&mut buffer, HEAD + if sound { length } else { 0 }, from)
                .map_err(failed)?;
        }
        frames.push((at, seed));
        places.next();
        if !whole {
            break;
        }
    }
    if frames.is_empty() {
        // The file ends before the place: the caller finds no header there.
        frames.push((0, 0));
        places.next();
    }
    Ok((buffer, frames))
}
