//! Reading one queue's messages through sealed blocks.
//!
//! The index of an encrypted store says in which block a message lies. A block is read, copied, checked and
//! opened whole; then its frames are walked for those of the queue, which share the opened bytes. The cursor
//! keeps the block it was in, so reading message by message opens each block once.

use super::format::{HEAD, Head, Type, body_sum, u32_at};
use super::key::Keys;
use super::reader::{Cursor, Found, Plan};
use super::scan::{Met, Window, look};
use super::seal::{BLOCK_BYTES, FRONT, OVERHEAD};
use super::slot::FRAMES_AT;
use crate::error::{Code, Error, Result};
use std::sync::Arc;

/// Reads the messages of a plan, at most about `max_bytes` of them, at least one.
pub fn read_blocks(
    plan: &Plan,
    keys: &Arc<Keys>,
    cursor: &mut Cursor,
    max_bytes: usize,
    out: &mut Vec<Found>,
) -> Result<()> {
    let window = Window::new(plan.file.clone(), Some(keys.clone()));
    let mut window = window.stepping(BLOCK_BYTES + OVERHEAD);
    if let Some(staged) = &plan.staged {
        window = window.staged(staged.salt());
    }
    let (queue, mut next, mut total) = (cursor.queue(), plan.sequence, 0);
    let id = (plan.number, plan.staged.is_some());
    for places in plan.places.chunk_by(|one, other| one.0 == other.0) {
        let (place, seed) = places[0];
        let frames = match &cursor.block {
            Some((file, at, frames)) if (*file, *at) == (id, place) => frames.clone(),
            _ => open(&mut window, plan, place, seed)?,
        };
        cursor.block = Some((id, place, frames.clone()));
        let first = u64::from(place) * 8 - FRAMES_AT + plan.first + FRONT as u64;
        let (mut at, mut wanted) = (0, places.len());
        while wanted > 0 && total < max_bytes {
            let offset = first + at as u64;
            let damaged = || damaged(plan, offset);
            let head = Head::decode(frames.get(at..).unwrap_or(&[]), offset, seed)?;
            let head = head.ok_or_else(damaged)?;
            let body = at + HEAD..at + HEAD + head.length as usize;
            at += head.frame_bytes();
            let other = plan.kind == Type::Evacuated && head.sequence != plan.sequence;
            if other || head.kind != plan.kind || head.queue != queue || head.sequence < next {
                continue;
            }
            let bytes = frames.get(body.clone()).ok_or_else(damaged)?;
            if body_sum(&[bytes]) != head.body_sum {
                return Err(damaged());
            }
            (wanted, next, total) = (wanted - 1, head.sequence + 1, total + HEAD + bytes.len());
            let head = Head { kind: Type::Message, ..head };
            out.push(Found { head, buffer: frames.clone(), body });
        }
        if total >= max_bytes {
            break;
        }
    }
    Ok(())
}

fn open(window: &mut Window, plan: &Plan, place: u32, seed: u32) -> Result<Arc<Vec<u8>>> {
    let at = u64::from(place) * 8;
    let offset = at - FRAMES_AT + plan.first;
    let failed = |error| Error::io(format!("cannot read {}", plan.name()), &error);
    let head = window.get(at, HEAD).map_err(failed)?;
    if head.len() < HEAD {
        return Err(damaged(plan, offset));
    }
    // Blocks are met in any order here, and a length beyond the file ends where the file does.
    let limit = offset + HEAD as u64 + u64::from(u32_at(head, 0));
    window.before = None;
    match look(window, at, (offset, limit), seed, 0)? {
        Met::Frame(..) => {}
        Met::Bad => return Err(damaged(plan, offset)),
    }
    let block = window.block().filter(|block| block.from == offset);
    block.map(|block| block.frames.clone()).ok_or_else(|| damaged(plan, offset))
}

fn damaged(plan: &Plan, offset: u64) -> Error {
    let name = plan.name();
    let text = format!("a message at {offset} in {name} fails its checksum");
    Error::new(Code::Corrupt, text).over(offset, offset + HEAD as u64)
}
