//! `repliq verify`: reads everything a store holds and says what is damaged.

use std::time::{Duration, Instant};

use repliq::{Code, Error};
use serde_json::{Value, json};

use super::fail::{Done, Fail};
use super::output::Output;
use super::place::{At, Place};
use super::progress::Progress;

/// Messages one call reads.
const BATCH: usize = 1_000;

/// Read every message of a store and check it; nothing is changed
///
/// Exit status 0 when all is well, 14 (CORRUPT) with the range that is damaged, 15 (TAMPERED) when an
/// encrypted store was changed on purpose.
#[derive(clap::Args, Debug)]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object a queue, and one for what is damaged
    #[arg(long)]
    json: bool,
    /// Show no progress bar on a terminal
    #[arg(long)]
    no_progress: bool,
    /// Read the durable part of the directory only, record by record, and slowly; messages are not listed
    #[arg(long)]
    online: bool,
    /// Bytes a second to read at most; K, M and G are 1024, 1024² and 1024³
    #[arg(long, value_name = "BYTES", requires = "online", value_parser = amount)]
    rate: Option<u64>,
}

/// A number of bytes, with or without a unit.
pub fn amount(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.chars().last() {
        Some('K') => (&text[..text.len() - 1], 1 << 10),
        Some('M') => (&text[..text.len() - 1], 1 << 20),
        Some('G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.filter(|number| *number > 0).ok_or_else(|| "a number from 1 on is expected".to_string())
}

struct Found {
    queue: String,
    messages: u64,
    bytes: u64,
    damage: Option<Error>,
}

impl Verify {
    /// Walks all queues to their end, damage or not, and fails with the first damage.
    pub fn run(self) -> Done {
        let at = self.place.look()?;
        if self.online {
            return self.check(&at);
        }
        let queues = at.queues()?;
        let total = queues.iter().map(|queue| queue.messages).sum();
        let progress = Progress::messages(Some(total), !self.no_progress);
        let mut done = 0;
        let mut found = Vec::new();
        for info in queues {
            let view = at.view(&info.name)?;
            let mut queue = Found { queue: info.name.clone(), messages: 0, bytes: 0, damage: None };
            let mut next = 1;
            loop {
                match view.browse(next, BATCH) {
                    Ok(messages) => {
                        let Some(last) = messages.last() else { break };
                        next = last.sequence() + 1;
                        queue.messages += messages.len() as u64;
                        queue.bytes +=
                            messages.iter().map(|m| m.payload().len() as u64).sum::<u64>();
                        done += messages.len() as u64;
                        progress.at(done);
                    }
                    Err(error) => {
                        queue.damage = Some(error);
                        break;
                    }
                }
            }
            found.push(queue);
        }
        drop(progress);
        self.print(&found)?;
        let damaged = found.into_iter().find_map(|queue| queue.damage).map(Fail::from);
        match damaged.or_else(|| range(&self.place.folder.store, &at)) {
            Some(fail) => Err(fail),
            // What is no message is read as well: acknowledgements, indexes, state runs.
            None => match &at {
                At::Here(store) => Ok(store.verify(&mut |_| Ok(())).map(|_| ())?),
                At::There(_) => Ok(()),
            },
        }
    }

    /// Reads every durable record again, as slowly as asked.
    fn check(&self, at: &At) -> Done {
        let At::Here(store) = at else {
            let text = "cannot verify --online over a URL: run it where the store is";
            return Err(Fail::new(Code::Unsupported, text));
        };
        if let Some(fail) = range(&self.place.folder.store, at) {
            return Err(fail);
        }
        let progress = Progress::bytes(None, !self.no_progress);
        let (begun, mut read) = (Instant::now(), 0);
        let (bytes, transactions) = store.verify(&mut |more| {
            read += more;
            progress.at(read);
            if let Some(rate) = self.rate {
                let due = Duration::from_secs_f64(read as f64 / rate as f64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            Ok(())
        })?;
        drop(progress);
        let mut output = Output::open();
        if self.json {
            output.json(&json!({ "bytes": bytes, "transactions": transactions }))?;
        } else {
            output.line(&format!("{transactions} transactions in {bytes} bytes are sound"))?;
        }
        output.flush()
    }

    fn print(&self, found: &[Found]) -> Done {
        let mut output = Output::open();
        if self.json {
            for queue in found {
                output.json(&to_json(queue))?;
            }
        } else {
            let rows: Vec<Vec<String>> = found.iter().map(row).collect();
            output.table(&["queue", "messages", "bytes", "damage"], &rows)?;
        }
        output.flush()
    }
}

/// What the open found: bytes that were durable once and fail their checksum now.
fn range(name: &str, at: &At) -> Option<Fail> {
    let At::Here(store) = at else { return None };
    let (from, to) = store.damage()?;
    let text = format!(
        "{name} is damaged: the bytes from {from} to {to} of its journal fail their checksum; what is before can be read"
    );
    Some(Fail::new(Code::Corrupt, text))
}

fn row(queue: &Found) -> Vec<String> {
    let damage = match &queue.damage {
        None => "none".to_string(),
        Some(error) => match error.range() {
            Some((from, to)) => format!("{} {from}..{to}", error.code().name()),
            None => error.code().name().to_string(),
        },
    };
    vec![queue.queue.clone(), queue.messages.to_string(), queue.bytes.to_string(), damage]
}

fn to_json(queue: &Found) -> Value {
    let damage = queue.damage.as_ref().map(|error| {
        json!({
            "code": error.code().name(),
            "from": error.range().map(|range| range.0),
            "to": error.range().map(|range| range.1),
            "text": error.to_string(),
        })
    });
    json!({
        "queue": queue.queue,
        "messages": queue.messages,
        "bytes": queue.bytes,
        "damage": damage,
    })
}
