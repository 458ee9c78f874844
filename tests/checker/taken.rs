//! What transactions received: consumed once, and whole with what they put; under leases that nobody else has, and in the
//! order of its key.

use super::{Event, History, Outcome, Put, Report};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A message that was given to a transaction.
pub struct Given {
    transaction: u64,
    value: u64,
    key: Option<u64>,
    deliveries: Option<u64>,
    time: u64,
}

/// What is known of a transaction in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Committed,
    /// It is not known, and it put nothing that would tell.
    Perhaps,
    Not,
}

impl History {
    pub fn take_in(&mut self, event: &Event) {
        let put =
            || Put { process: event.process, outcome: Outcome::Open, values: BTreeMap::new() };
        self.puts.entry(event.transaction).or_insert_with(put);
        let of = self.takes.entry(event.transaction).or_default();
        of.entry(event.queue.clone()).or_default().extend(&event.values);
        let given = self.given.entry(event.queue.clone()).or_default();
        given.extend(event.values.iter().enumerate().map(|(at, value)| Given {
            transaction: event.transaction,
            value: *value,
            key: event.keys.get(at).copied(),
            deliveries: event.deliveries.get(at).copied(),
            time: event.time,
        }));
    }

    /// Whether a transaction was committed, as far as what it put tells.
    fn known(&self, transaction: u64) -> Known {
        let Some(put) = self.puts.get(&transaction) else { return Known::Not };
        match put.outcome {
            Outcome::Ok => Known::Committed,
            Outcome::Fail => Known::Not,
            Outcome::Open | Outcome::Unknown if put.values.is_empty() => Known::Perhaps,
            Outcome::Open | Outcome::Unknown => {
                let there = self.finals.values().flatten().map(|(_, value, _)| value);
                let own = |value: &u64| put.values.values().flatten().any(|own| own == value);
                if there.into_iter().any(own) { Known::Committed } else { Known::Not }
            }
        }
    }

    /// Compares what is consumed with what transactions received.
    pub fn taken(&self, report: &mut Report) {
        let known: BTreeMap<u64, Known> =
            self.takes.keys().map(|transaction| (*transaction, self.known(*transaction))).collect();
        for (queue, given) in &self.given {
            counts(queue, given, report);
            self.keys(queue, given, &known, report);
        }
        for ((place, queue), consumed) in &self.consumed {
            let mut takers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            for (transaction, of) in &self.takes {
                for value in of.get(queue).into_iter().flatten() {
                    takers.entry(*value).or_default().push(*transaction);
                }
            }
            let at = format!("at {place}, queue {queue}");
            for value in consumed {
                let all = takers.get(value).map_or(&[][..], Vec::as_slice);
                let count = |wanted: Known| all.iter().filter(|one| known[one] == wanted).count();
                match (count(Known::Committed), count(Known::Perhaps)) {
                    (1, _) => {}
                    (0, 0) if all.is_empty() => {
                        report.say("unexpected-take", format!("{value} {at} was never received"));
                    }
                    (0, 0) => {
                        report.say("aborted-take", format!("{value} {at} of {all:?}"));
                    }
                    (0, _) => {}
                    _ => report.say("consumed-twice", format!("{value} {at} by {all:?}")),
                }
            }
            for (transaction, of) in &self.takes {
                if known[transaction] != Known::Committed {
                    continue;
                }
                for value in of.get(queue).into_iter().flatten() {
                    if !consumed.contains(value) {
                        let text = format!("{value} of transaction {transaction} is still {at}");
                        report.say("lost-take", text);
                    }
                }
            }
        }
    }

    /// What comes later in a key was given to nobody before what is before it was committed: each was received, by the
    /// clock they share, behind the receive of the transaction that consumed the one before.
    fn keys(
        &self,
        queue: &str,
        given: &[Given],
        known: &BTreeMap<u64, Known>,
        report: &mut Report,
    ) {
        let mut of: BTreeMap<u64, Vec<(u64, &Given)>> = BTreeMap::new();
        for one in given {
            if let (Some(key), Some((_, _, place))) = (one.key, self.origins.get(&one.value)) {
                of.entry(key).or_default().push((*place, one));
            }
        }
        for (key, mut all) in of {
            all.sort_unstable_by_key(|(place, _)| *place);
            let mut before: Option<&Given> = None;
            for of_one in all.chunk_by(|one, other| one.0 == other.0) {
                for (_, one) in of_one {
                    let early = before.filter(|before| {
                        one.time < before.time && one.transaction != before.transaction
                    });
                    if let Some(before) = early {
                        let text = format!(
                            "{} of key {key} in queue {queue} came to {} before {} was done by {}",
                            one.value, one.transaction, before.value, before.transaction
                        );
                        report.say("key-overlap", text);
                    }
                }
                let done = |one: &&(u64, &Given)| known[&one.1.transaction] == Known::Committed;
                let done = of_one.iter().filter(done).map(|(_, one)| *one);
                before = before.into_iter().chain(done).max_by_key(|one| one.time);
            }
        }
    }
}

/// A message is given out with each count once: a count that is told again was lost.
fn counts(queue: &str, given: &[Given], report: &mut Report) {
    let mut known: HashMap<u64, BTreeSet<u64>> = HashMap::new();
    for one in given {
        let Some(deliveries) = one.deliveries else { continue };
        if !known.entry(one.value).or_default().insert(deliveries) {
            let text = format!("{} in queue {queue} came twice as number {deliveries}", one.value);
            report.say("count-twice", text);
        }
    }
}
