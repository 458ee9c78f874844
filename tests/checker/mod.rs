//! A checker of histories: what was put, with which outcome, and what was read where.
//!
//! A history is JSON lines, one event each, in the order in which they happened:
//!
//! ```text
//! {"process":1,"op":"put","kind":"invoke","transaction":7,"queue":"a","values":[12,13]}
//! {"process":1,"op":"put","kind":"ok","transaction":7}            or "fail", or "unknown"
//! {"process":2,"op":"poll","place":"server 1","queue":"a","rows":[[1,12,40],[2,13,40]]}
//! {"process":3,"op":"final","place":"server 1","queue":"a","rows":[[1,12,40],[2,13,40]]}
//! {"process":4,"op":"applied","place":"server 1","transaction":7}
//! {"process":1,"op":"take","transaction":7,"queue":"b","values":[3,4],"keys":[1,2],"deliveries":[1,3],"time":99}
//! {"process":3,"op":"consumed","place":"server 1","queue":"b","values":[1,2,3,4]}
//! ```
//!
//! A `take` is what a transaction received under whatever lease it had: it is consumed when, and only when, the
//! transaction is committed, by one transaction only. A `consumed` is all that is acknowledged at rest.
//!
//! Values are unique. A transaction may put into several queues, with an `invoke` for each. A row is the sequence
//! in the queue, the value, and the transaction it came with at that place. A `final` reads all there is, after
//! everything has come to rest; polls of one process go on where the last one ended, or begin anew with
//! `"seek":true`. The names of what can be wrong are those of jepsen.tests.kafka where it has one.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

mod taken;

/// One line of a history.
#[derive(Clone, Debug, Deserialize)]
struct Event {
    process: u64,
    op: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    transaction: u64,
    #[serde(default)]
    queue: String,
    #[serde(default)]
    place: String,
    #[serde(default)]
    values: Vec<u64>,
    #[serde(default)]
    keys: Vec<u64>,
    #[serde(default)]
    deliveries: Vec<u64>,
    #[serde(default)]
    time: u64,
    #[serde(default)]
    rows: Vec<(u64, u64, u64)>,
    #[serde(default)]
    seek: bool,
}

/// What is wrong with a history, and how much of it is not known.
#[derive(Debug, Default)]
pub struct Report {
    /// Names with one sentence each, in the order in which they were found.
    pub anomalies: Vec<(&'static str, String)>,
    /// Transactions of unknown outcome.
    pub unknown: usize,
    /// All transactions.
    pub transactions: usize,
}

impl Report {
    /// Whether the history is as it should be. More than a fifth unknown proves nothing.
    pub fn is_good(&self) -> bool {
        self.anomalies.is_empty() && !self.is_inconclusive()
    }

    /// Whether too many outcomes are unknown.
    pub fn is_inconclusive(&self) -> bool {
        self.unknown * 5 > self.transactions
    }

    fn say(&mut self, name: &'static str, text: String) {
        self.anomalies.push((name, text));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Ok,
    Fail,
    Unknown,
}

#[derive(Debug)]
struct Put {
    process: u64,
    outcome: Outcome,
    values: BTreeMap<String, Vec<u64>>,
}

type Rows = Vec<(u64, u64, u64)>;

#[derive(Default)]
struct History {
    puts: BTreeMap<u64, Put>,
    /// By value: its transaction, and its place among the values of its process and queue.
    origins: HashMap<u64, (u64, String, u64)>,
    polls: HashMap<(u64, String, String), (u64, u64)>,
    /// By place, queue and sequence: the value.
    offsets: HashMap<(String, String, u64), u64>,
    seen: HashMap<(String, String), BTreeSet<u64>>,
    finals: BTreeMap<(String, String), Rows>,
    applied: Vec<(String, u64)>,
    /// By transaction and queue: what it received.
    takes: BTreeMap<u64, BTreeMap<String, Vec<u64>>>,
    /// By queue: each message that was given to somebody, with what was told beside it.
    given: BTreeMap<String, Vec<taken::Given>>,
    /// By place and queue: what is acknowledged.
    consumed: BTreeMap<(String, String), BTreeSet<u64>>,
    sent: u64,
}

/// Checks a history given as JSON lines.
pub fn check(lines: &str) -> Report {
    let mut report = Report::default();
    let mut history = History::default();
    for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Event>(line) {
            Ok(event) => history.take(&event, &mut report),
            Err(error) => report.say("unreadable", format!("line {}: {error}", number + 1)),
        }
    }
    history.close(&mut report);
    report
}

impl History {
    fn take(&mut self, event: &Event, report: &mut Report) {
        match (event.op.as_str(), event.kind.as_str()) {
            ("put", "invoke") => self.invoke(event, report),
            ("take", _) => self.take_in(event),
            ("consumed", _) => {
                let place = (event.place.clone(), event.queue.clone());
                self.consumed.entry(place).or_default().extend(&event.values);
            }
            ("put", outcome) => self.outcome(event, outcome, report),
            ("poll", _) => self.poll(event, report),
            ("final", _) => {
                self.offsets(event, report);
                self.finals.insert((event.place.clone(), event.queue.clone()), event.rows.clone());
            }
            ("applied", _) => self.applied.push((event.place.clone(), event.transaction)),
            (op, kind) => report.say("unreadable", format!("no event is called {op} {kind}")),
        }
    }

    fn invoke(&mut self, event: &Event, report: &mut Report) {
        let put = self.puts.entry(event.transaction).or_insert_with(|| Put {
            process: event.process,
            outcome: Outcome::Open,
            values: BTreeMap::new(),
        });
        put.values.entry(event.queue.clone()).or_default().extend(&event.values);
        for value in &event.values {
            self.sent += 1;
            let origin = (event.transaction, event.queue.clone(), self.sent);
            if self.origins.insert(*value, origin).is_some() {
                report.say("unreadable", format!("value {value} was put twice"));
            }
        }
    }

    fn outcome(&mut self, event: &Event, outcome: &str, report: &mut Report) {
        let outcome = match outcome {
            "ok" => Outcome::Ok,
            "fail" => Outcome::Fail,
            "unknown" => Outcome::Unknown,
            other => return report.say("unreadable", format!("a put cannot end as {other:?}")),
        };
        match self.puts.get_mut(&event.transaction) {
            Some(put) => put.outcome = outcome,
            None => report.say("unreadable", format!("put {} was never begun", event.transaction)),
        }
    }

    fn poll(&mut self, event: &Event, report: &mut Report) {
        self.offsets(event, report);
        let key = (event.process, event.place.clone(), event.queue.clone());
        let at = format!("process {} at {}, queue {}", event.process, event.place, event.queue);
        let mut last = self.polls.get(&key).copied().filter(|_| !event.seek);
        let (mut first_row, began) = (true, last.is_some());
        for (sequence, _, _) in &event.rows {
            if let Some((previous, _)) = last {
                let outside = first_row && began;
                if *sequence <= previous {
                    let name = if outside { "nonmonotonic-poll" } else { "int-nonmonotonic-poll" };
                    report.say(name, format!("{at}: {sequence} after {previous}"));
                } else if *sequence != previous + 1 {
                    let name = if outside { "poll-skip" } else { "int-poll-skip" };
                    report.say(name, format!("{at}: {sequence} after {previous}"));
                }
            }
            last = Some((*sequence, 0));
            first_row = false;
        }
        if let Some(last) = last {
            self.polls.insert(key, last);
        }
    }

    /// What is true of every row read, whenever.
    fn offsets(&mut self, event: &Event, report: &mut Report) {
        let place = (event.place.clone(), event.queue.clone());
        for (sequence, value, _) in &event.rows {
            let key = (event.place.clone(), event.queue.clone(), *sequence);
            if let Some(known) = self.offsets.insert(key, *value)
                && known != *value
            {
                let text =
                    format!("{} {}: {sequence} is {known} and {value}", event.place, event.queue);
                report.say("inconsistent-offsets", text);
            }
            self.seen.entry(place.clone()).or_default().insert(*value);
            let Some((transaction, queue, _)) = self.origins.get(value) else {
                report.say("unexpected-read", format!("{value} at {} was never put", event.place));
                continue;
            };
            if *queue != event.queue {
                let text = format!("{value} was put into {queue} and read from {}", event.queue);
                report.say("unexpected-read", text);
            }
            match self.puts.get(transaction).map(|put| put.outcome) {
                Some(Outcome::Fail) => {
                    report.say(
                        "aborted-read",
                        format!("{value} of failed transaction {transaction}"),
                    );
                }
                Some(Outcome::Open) if event.op == "poll" => {
                    let text =
                        format!("{value} of transaction {transaction}, which is not committed yet");
                    report.say("precommitted-read", text);
                }
                _ => {}
            }
        }
    }

    fn close(&mut self, report: &mut Report) {
        report.transactions = self.puts.len();
        let unknown = |put: &&Put| matches!(put.outcome, Outcome::Unknown | Outcome::Open);
        report.unknown = self.puts.values().filter(unknown).count();
        for ((place, queue), rows) in &self.finals {
            self.duplicates(place, queue, rows, report);
            self.lost(place, queue, rows, report);
            self.torn(place, queue, rows, report);
            self.order(place, queue, rows, report);
        }
        self.versions(report);
        self.taken(report);
        for (place, transaction) in &self.applied {
            let Some(put) = self.puts.get(transaction) else { continue };
            for (queue, values) in &put.values {
                let Some(seen) = self.seen.get(&(place.clone(), queue.clone())) else { continue };
                if let Some(value) = values.iter().find(|value| !seen.contains(value)) {
                    let text = format!(
                        "{transaction} was applied at {place}, and {value} never seen there"
                    );
                    report.say("stale-read", text);
                }
            }
        }
    }

    fn duplicates(&self, place: &str, queue: &str, rows: &Rows, report: &mut Report) {
        let mut seen = BTreeSet::new();
        for (_, value, _) in rows.iter().filter(|(_, value, _)| !seen.insert(*value)) {
            report.say("duplicate", format!("{value} twice at {place}, queue {queue}"));
        }
    }

    fn lost(&self, place: &str, queue: &str, rows: &Rows, report: &mut Report) {
        let there: BTreeSet<u64> = rows.iter().map(|(_, value, _)| *value).collect();
        // An acknowledged value that was not read, with one behind it or not: the run has come to rest.
        let acknowledged = self.puts.values().filter(|put| put.outcome == Outcome::Ok);
        for value in acknowledged.flat_map(|put| put.values.get(queue).into_iter().flatten()) {
            if !there.contains(value) {
                let polled = self.seen.get(&(place.to_string(), queue.to_string()));
                let vanished = polled.is_some_and(|seen| seen.contains(value));
                let name = if vanished { "vanished-read" } else { "lost-write" };
                report.say(name, format!("{value} is not at {place}, queue {queue}"));
            }
        }
    }

    fn torn(&self, place: &str, queue: &str, rows: &Rows, report: &mut Report) {
        let mut parts: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for (_, value, there) in rows {
            if let Some((transaction, _, _)) = self.origins.get(value) {
                parts.entry(*transaction).or_default().push((*value, *there));
            }
        }
        for (transaction, part) in parts {
            let whole = self.puts.get(&transaction).and_then(|put| put.values.get(queue));
            let distinct: BTreeSet<u64> = part.iter().map(|(value, _)| *value).collect();
            let one =
                part.windows(2).all(|two| two[0].1 == two[1].1) || distinct.len() < part.len();
            if whole.is_some_and(|whole| whole.len() != distinct.len()) || !one {
                report.say("torn-transaction", format!("{transaction} at {place}, queue {queue}"));
            }
        }
        let mut merged: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, value, there) in rows {
            let Some((transaction, _, _)) = self.origins.get(value) else { continue };
            let known = merged.entry(*there).or_insert(*transaction);
            if known != transaction {
                let text = format!("{known} and {transaction} are one at {place}, queue {queue}");
                report.say("merged-transaction", text);
                *known = *transaction;
            }
        }
    }

    /// What one process put one after the other is read in that order.
    fn order(&self, place: &str, queue: &str, rows: &Rows, report: &mut Report) {
        let mut last: HashMap<u64, (u64, u64)> = HashMap::new();
        let (mut sorted, mut seen) = (rows.clone(), BTreeSet::new());
        sorted.sort_unstable();
        sorted.retain(|(_, value, _)| seen.insert(*value));
        for (_, value, _) in &sorted {
            let Some((transaction, _, number)) = self.origins.get(value) else { continue };
            let Some(put) = self.puts.get(transaction) else { continue };
            if let Some((before, number_before)) = last.insert(put.process, (*value, *number))
                && number_before > *number
            {
                let text = format!("{value} behind {before} at {place}, queue {queue}");
                report.say("nonmonotonic-send", text);
            }
        }
    }

    /// All places give the values of a queue the same order.
    fn versions(&self, report: &mut Report) {
        let mut orders: BTreeMap<&str, Vec<(&str, Vec<u64>)>> = BTreeMap::new();
        for ((place, queue), rows) in &self.finals {
            let values = rows.iter().map(|(_, value, _)| *value).collect();
            orders.entry(queue).or_default().push((place, values));
        }
        for (queue, places) in orders {
            for two in places.windows(2) {
                let index: HashMap<u64, usize> =
                    two[0].1.iter().enumerate().map(|(at, value)| (*value, at)).collect();
                let shared: Vec<usize> =
                    two[1].1.iter().filter_map(|value| index.get(value).copied()).collect();
                if shared.windows(2).any(|pair| pair[0] > pair[1]) {
                    let text =
                        format!("{} and {} order queue {queue} differently", two[0].0, two[1].0);
                    report.say("inconsistent-order", text);
                }
            }
        }
    }
}
