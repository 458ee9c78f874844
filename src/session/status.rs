//! What a store is and has, as JSON.

use super::info::QueueInfo;
use crate::error::{Code, Error, Result};
use crate::journal::Recovered;
use crate::store::{Core, Level, Pin};
use serde_json::{Value, json};

/// The text of `Store::status`.
pub fn text(core: &Core, queues: &[QueueInfo], recovered: Option<&Recovered>) -> Result<String> {
    let journal = core.journal();
    let (durable, sequence) = journal.durable();
    let history: Vec<Value> = core.look(|state| {
        let rows = state.history.iter();
        rows.map(|row| {
            json!({
                "epoch": row.epoch,
                "first": row.first,
                "owner": format!("{:08x}", row.owner),
                "cause": format!("{:?}", row.cause).to_lowercase(),
            })
        })
        .collect()
    });
    let segments: Vec<Value> = journal
        .segments()
        .iter()
        .map(|(number, length)| json!({ "number": number, "bytes": length }))
        .collect();
    let (staged, staged_bytes) = journal.staged_files();
    let bytes: u64 = journal.segments().iter().map(|(_, length)| length).sum();
    let pins = core.pins()?;
    let (prepared, prepared_bytes, oldest_ms) = super::prepared::waiting(core);
    let status = json!({
        "store": core.describe(),
        "group": core.look(|state| state.group_id().to_string()),
        "level": level(core.level()),
        "horizon": level(core.horizon()),
        "writable": core.check_writable().is_ok(),
        // Whether it was copied and nobody has said which it is, and whether a copy would be noticed.
        "copied": core.is_copied(),
        "knows_its_place": core.knows_its_place(),
        "poisoned": journal.poisoned().err().map(|error| error.to_string()),
        "position": { "sequence": sequence, "offset": durable, "appended": journal.appended() },
        "history": history,
        "segments": segments,
        "staged": { "files": staged, "bytes": staged_bytes },
        // What waits for coordinators outside.
        "prepared": { "count": prepared, "bytes": prepared_bytes, "oldest_ms": oldest_ms },
        "disk_bytes": bytes + staged_bytes,
        "syncs": journal.syncs(),
        "recovered": recovered.map(|found| json!({
            "clean": found.clean,
            "sequence": found.sequence,
            "set_aside": found.set_aside,
            "bytes_read": found.bytes_read,
            "corrupt": found.corrupt.map(|(from, to)| json!({ "from": from, "to": to })),
        })),
        "queues": queues.iter().map(QueueInfo::to_json).collect::<Vec<Value>>(),
        "targets": core.targets(),
        "pins": pins.iter().map(pin).collect::<Vec<Value>>(),
    });
    serde_json::to_string_pretty(&status)
        .map_err(|error| Error::new(Code::Panic, format!("cannot write a status as JSON: {error}")))
}

fn pin(pin: &Pin) -> Value {
    json!({
        "kind": pin.kind.name(),
        "queue": pin.queue,
        "name": pin.name,
        "segments": pin.segments,
        "bytes": pin.bytes,
        "since_ms": pin.since_ms,
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Process => "process",
        Level::Power => "power",
    }
}
