//! What transactions received: consumed once, and whole with what they put.

use super::{Event, History, Outcome, Put, Report};
use std::collections::BTreeMap;

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
}
