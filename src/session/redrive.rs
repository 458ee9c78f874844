//! Dead letters, put back where they came from, or dropped.
//!
//! A letter goes back as a message of its own, for the consumer that gave it up alone, in the transaction that acknowledges
//! it here. Where keys are worked on in order it stands at the place of the old message, before all of its key that came
//! later; one whose place is gone, because something newer of its key was acknowledged since, is refused and stays a letter.
//!
//! At a server it is done in parts, each of a moment: an administrator orders them one after the other, and what waits for an
//! older letter of its key is tried again until a whole turn has done nothing more.
//!
//! Promises: a letter is put back once; what is refused stays as it was, and the reason is told.

use super::store::Store;
use crate::error::{Code, Error, Result};
use crate::journal::Type;
use crate::queue::{From, Header, Message, Queue, Reader, Received, Rules};
use crate::store::{Change, QueueState, State};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Letters that are read at a time.
const AT_ONCE: usize = 1_000;
/// Refused letters that one part of the work tells at most: an answer of some hundred bytes each stays small.
const REFUSED_MAX: usize = 10_000;
/// The consumer of dead letters that puts them back.
const NAME: &str = "redrive";
/// The headers of a letter that the message did not have.
const HEADERS: [&str; 7] = [
    "repliq-reason",
    "repliq-failures",
    ORIGIN,
    CONSUMER,
    AFTER,
    "repliq-first-ms",
    "repliq-last-ms",
];
const ORIGIN: &str = "repliq-origin";
const CONSUMER: &str = "repliq-consumer";
const AFTER: &str = "repliq-after";

/// What happens to dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedriveOptions {
    /// Letters that are put back, or dropped, at most; 0 = all.
    pub max: u64,
    /// Drops them instead of putting them back: the rest of their keys goes on without them.
    pub drop: bool,
}

/// What has become of dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Put back, or dropped.
    pub done: u64,
    /// Those that stay letters, by sequence, and why.
    pub refused: Vec<(u64, String)>,
}

/// What a part of the work is.
pub(crate) struct Part<'a> {
    /// Letters behind this sequence only.
    pub after: u64,
    /// When it is enough for this time.
    pub until: Option<Instant>,
    /// Whether letters may go back to the queue of this name.
    pub may: &'a dyn Fn(&str) -> bool,
}

/// What has come of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Worked {
    done: u64,
    refused: Vec<(u64, String)>,
    /// Those that stay behind an older letter of their key.
    waiting: Vec<(u64, String)>,
    /// The last letter that was looked at, where there are more.
    next: Option<u64>,
}

/// Where a letter came from.
struct Origin<'a> {
    queue: u32,
    place: u64,
    consumer: &'a str,
    /// Whether its key was worked on in order.
    keyed: bool,
}

impl Store {
    /// Puts dead letters of a queue back where they came from, the oldest first, or drops them.
    ///
    /// What is refused stays a letter: a message that is none, one whose queue or consumer is gone, and one of a key that
    /// went on since. Other consumers of the queue it goes back to are not given it again. Dead letters that are put back or
    /// dropped are acknowledged by the consumer "redrive" of their queue, which is made by the first call.
    ///
    /// Fails with BUSY while another call is at it. At a server this needs the right `admin` on the queue of the letters, and
    /// on each queue they came from: what came from another stays.
    pub fn redrive(&self, dead: Queue, options: &RedriveOptions) -> Result<Redriven> {
        if let Some(store) = self.remote() {
            let order = |after, most| store.redrive(dead, options.drop, after, most);
            return in_parts(options.max, &order);
        }
        let part = Part { after: 0, until: None, may: &|_| true };
        self.redrive_part(dead, options, &part).map(Worked::redriven)
    }

    /// A part of the work.
    pub(crate) fn redrive_part(
        &self,
        dead: Queue,
        options: &RedriveOptions,
        part: &Part<'_>,
    ) -> Result<Worked> {
        let inner = self.inner()?;
        inner.check_writable()?;
        let number = dead.number();
        let reader = Reader::open(&inner.core, number, NAME, From::Oldest, Rules::default())?;
        let reader = Arc::new(reader);
        let most = if options.max == 0 { u64::MAX } else { options.max };
        let mut work = Work { reader, drop: options.drop, most, part, told: Worked::default() };
        work.through()?;
        Ok(work.told)
    }
}

/// Orders part after part until a turn through all letters has done nothing more, or that are enough.
fn in_parts(max: u64, order: &dyn Fn(u64, u64) -> Result<Worked>) -> Result<Redriven> {
    let most = if max == 0 { u64::MAX } else { max };
    let mut all = Worked::default();
    loop {
        let before = all.done;
        (all.refused, all.waiting, all.next) = (Vec::new(), Vec::new(), Some(0));
        while let Some(after) = all.next.filter(|_| all.done < most) {
            // An order without a bound says 0.
            let left = if max == 0 { 0 } else { most - all.done };
            let part = order(after, left)?;
            all.done += part.done;
            all.refused.extend(part.refused);
            all.waiting.extend(part.waiting);
            all.next = part.next.filter(|next| *next > after);
        }
        if all.done == before || all.done == most || all.waiting.is_empty() {
            return Ok(all.redriven());
        }
    }
}

impl Worked {
    fn redriven(self) -> Redriven {
        let mut refused = self.refused;
        refused.extend(self.waiting);
        refused.sort_unstable();
        Redriven { done: self.done, refused }
    }

    /// The same as JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "done": self.done,
            "refused": self.refused,
            "waiting": self.waiting,
            "next": self.next,
        })
    }

    /// What [`Worked::to_json`] wrote; `None` where it is something else.
    pub(crate) fn from_json(text: &Value) -> Option<Worked> {
        let rows = |name: &str| serde_json::from_value(text[name].clone()).ok();
        Some(Worked {
            done: text["done"].as_u64()?,
            refused: rows("refused")?,
            waiting: rows("waiting")?,
            next: text["next"].as_u64(),
        })
    }
}

/// A part under way.
struct Work<'a> {
    reader: Arc<Reader>,
    drop: bool,
    most: u64,
    part: &'a Part<'a>,
    told: Worked,
}

impl Work<'_> {
    /// Goes through the letters, and then again through those that wait for others of their key.
    fn through(&mut self) -> Result<()> {
        let mut later = Vec::new();
        while self.told.done < self.most {
            let letters = self.reader.receive(AT_ONCE, Duration::ZERO)?;
            let Some(last) = letters.last().map(Received::sequence) else { break };
            let letters: Vec<Received> =
                letters.into_iter().filter(|one| one.sequence() > self.part.after).collect();
            self.all(letters, &mut later)?;
            let told = self.told.refused.len() + later.len();
            let over = self.part.until.is_some_and(|until| Instant::now() >= until);
            if last > self.part.after && (over || self.part.until.is_some() && told > REFUSED_MAX) {
                self.told.next = Some(last);
                break;
            }
        }
        // What was given up again stands behind letters that wait for it.
        let mut before = u64::MAX;
        while before != self.told.done {
            before = self.told.done;
            let letters = later.drain(..).map(|(letter, _)| letter).collect();
            self.all(letters, &mut later)?;
        }
        let waiting = later.into_iter().map(|(letter, why)| (letter.sequence(), why));
        self.told.waiting.extend(waiting);
        Ok(())
    }

    /// Redrives letters until that are enough; those that wait for others of their key go to `later`.
    fn all(&mut self, letters: Vec<Received>, later: &mut Vec<(Received, String)>) -> Result<()> {
        for letter in letters {
            if self.told.done == self.most {
                break;
            }
            match redrive_one(&self.reader, &letter, self.drop, self.part.may) {
                Ok(()) => self.told.done += 1,
                Err(error) if error.code() == Code::Busy => {
                    later.push((letter, error.to_string()));
                }
                Err(error) if is_refusal(&error) => {
                    self.told.refused.push((letter.sequence(), error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether a letter stays for a reason that is its own.
fn is_refusal(error: &Error) -> bool {
    use Code::{Denied, Invalid, NoSuchName, Paused, Quota, Stale, TooLarge, Unsupported};
    let own = [Denied, Invalid, NoSuchName, Paused, Quota, Stale, TooLarge, Unsupported];
    own.contains(&error.code())
}

fn refused(code: Code, text: String) -> Error {
    Error::new(code, text)
}

fn origin(letter: &Received) -> Result<Origin<'_>> {
    let header = |name: &str| {
        let found = letter.headers().find(|(known, _)| *known == name);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    };
    let of = header(ORIGIN).and_then(|origin| origin.split_once('/'));
    let of = of.and_then(|(queue, place)| Some((queue.parse().ok()?, place.parse().ok()?)));
    let (Some((queue, place)), Some(consumer)) = (of, header(CONSUMER)) else {
        return Err(refused(Code::Invalid, "it does not say where it came from".into()));
    };
    Ok(Origin { queue, place, consumer, keyed: header(AFTER).is_some() })
}

fn redrive_one(
    reader: &Arc<Reader>,
    letter: &Received,
    drop: bool,
    may: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let origin = origin(letter)?;
    let back = reader.core().look(|state| Some(state.queue(origin.queue).ok()?.name.clone()));
    if back.as_ref().is_some_and(|name| !may(name)) {
        return Err(refused(
            Code::Denied,
            "this user may not put it back where it came from".into(),
        ));
    }
    let name = origin.consumer.as_bytes();
    let note = match drop {
        true => Change::Drop(name, origin.place, letter.key()),
        false => Change::Back(name, origin.place, letter.key()),
    };
    let headers: Vec<Header<'_>> =
        letter.headers().filter(|(name, _)| !HEADERS.contains(name)).collect();
    let message = Message {
        kind: letter.kind(),
        key: letter.key(),
        headers: &headers,
        payload: letter.payload(),
        ..Message::default()
    };
    let packed = message.pack()?;
    let entries = [packed.entry(origin.queue)];
    let entries = if drop { &entries[..0] } else { &entries[..] };
    let check =
        |state: &State| if drop { Ok(()) } else { may_return(state, &origin, letter.key()) };
    let sequences = [letter.sequence()];
    let mut changes = reader.acknowledge(&sequences)?;
    if back.is_some() {
        changes.push((Type::Consumer, origin.queue, note.encode()));
    }
    match reader.core().transact_if(entries, &changes, &check) {
        Ok(staged) => {
            reader.settled(&sequences, staged.appended.as_ref());
            reader.core().finish(&staged).map(|_| ())
        }
        Err(error) => {
            reader.unsettled(&sequences);
            Err(error)
        }
    }
}

/// Whether the place of a letter is still there.
fn may_return(state: &State, origin: &Origin<'_>, key: &[u8]) -> Result<()> {
    let queue = state.queue(origin.queue)?;
    state.consumer(origin.queue, origin.consumer)?;
    if !queue.streams.is_empty() {
        let text = format!("queue {:?} has targets, which would get it again", queue.name);
        return Err(refused(Code::Unsupported, text));
    }
    if origin.keyed { may_return_in_order(queue, origin, key) } else { Ok(()) }
}

fn may_return_in_order(queue: &QueueState, origin: &Origin<'_>, key: &[u8]) -> Result<()> {
    let place = origin.place;
    let of = queue.letters(origin.consumer).and_then(|letters| letters.key(key));
    let Some(of) = of.filter(|of| of.has(place)) else {
        let text = format!(
            "consumer {:?} knows nothing of message {place} any more: it was put back, dropped, purged or moved over",
            origin.consumer
        );
        return Err(refused(Code::Stale, text));
    };
    if !of.may_come(place) {
        let text =
            format!("message {} of its key was acknowledged since, and is newer", of.went_on());
        return Err(refused(Code::Stale, text));
    }
    match of.first() {
        Some(first) if first < place => {
            let text = format!("message {first} of its key is a dead letter, too, and older");
            Err(refused(Code::Busy, text))
        }
        _ => Ok(()),
    }
}
