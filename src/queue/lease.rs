//! Who works on which message, and until when.
//!
//! A lease is a message that was given out and its owner, the handle that got it. Time alone takes nothing away: a lease
//! whose time is over lets the message be given to somebody else, and only that ends it. Its owner is told STALE then.
//! Leases live as long as the handles that own them; none outlives the process.
//!
//! Messages in a row that an owner got until the same time are one run of leases, of which each message costs no more than
//! its key. What is acknowledged in order is cut off the head of a run, and a run that is acknowledged as a whole goes as one.
//!
//! Promises: a message has one owner; what is acknowledged counts as out until that is durable.

use super::lanes::Waiting;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Messages of a run, at most: where one is taken out of the middle, the keys of those behind it move.
const RUN_MAX: usize = 256;

/// The keys of messages in a row; nothing is kept of those before the first that has one.
#[derive(Debug, Default)]
pub struct Keys {
    count: usize,
    /// One for each of the last messages.
    of: VecDeque<u64>,
}

impl Keys {
    fn push(&mut self, key: u64) {
        if key != 0 || !self.of.is_empty() {
            self.of.push_back(key);
        }
        self.count += 1;
    }

    fn append(&mut self, mut others: Keys) {
        let without = others.count - others.of.len();
        if !self.of.is_empty() {
            self.of.extend(std::iter::repeat_n(0, without));
        }
        self.of.append(&mut others.of);
        self.count += others.count;
    }

    /// The key of the `at`-th message.
    fn get(&self, at: usize) -> u64 {
        let without = self.count - self.of.len();
        at.checked_sub(without).and_then(|at| self.of.get(at)).copied().unwrap_or(0)
    }

    /// Takes the first messages away.
    fn split_front(&mut self, count: usize) -> Keys {
        let without = self.count - self.of.len();
        let of = self.of.drain(..count.saturating_sub(without)).collect();
        self.count -= count;
        Keys { count, of }
    }

    /// Those of messages that have one.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.of.iter().copied().filter(|key| *key != 0)
    }
}

/// Messages in a row that are out.
#[derive(Debug)]
struct Run {
    first: u64,
    keys: Keys,
    owner: u64,
    lane: u8,
    until_ms: u64,
    /// Their acknowledgement is being committed: nobody else gets them.
    settling: bool,
    /// Their time is over, and they wait for whoever comes.
    overdue: bool,
}

impl Run {
    fn of(one: Waiting, owner: u64, until_ms: u64) -> Run {
        let Waiting { sequence, key, lane } = one;
        let mut keys = Keys::default();
        keys.push(key);
        let (settling, overdue) = (false, false);
        Run { first: sequence, keys, owner, lane, until_ms, settling, overdue }
    }

    fn last(&self) -> u64 {
        self.first + self.keys.count as u64 - 1
    }

    /// Whether a message that its owner gets at the same time is one more of it.
    fn takes(&self, one: &Waiting) -> bool {
        self.last() + 1 == one.sequence && self.lane == one.lane && self.keys.count < RUN_MAX
    }

    /// Whether another run may be added to it.
    fn goes_on(&self, next: &Run) -> bool {
        let of = |run: &Run| (run.owner, run.lane, run.until_ms);
        let quiet = !(self.settling || self.overdue);
        let room = self.keys.count + next.keys.count <= RUN_MAX;
        quiet && room && self.last() + 1 == next.first && of(self) == of(next)
    }

    /// Takes the messages before this one of it away.
    fn split_front(&mut self, sequence: u64) -> Run {
        let keys = self.keys.split_front((sequence - self.first) as usize);
        let first = std::mem::replace(&mut self.first, sequence);
        let Run { owner, lane, until_ms, settling, overdue, .. } = *self;
        Run { first, keys, owner, lane, until_ms, settling, overdue }
    }

    /// Its messages, in order.
    fn messages(&self) -> impl Iterator<Item = Waiting> {
        (self.first..=self.last()).enumerate().map(|(at, sequence)| Waiting {
            sequence,
            key: self.keys.get(at),
            lane: self.lane,
        })
    }
}

/// What is out.
#[derive(Default)]
pub struct Leases {
    /// By their last: acknowledged in order, a run loses its head and stays where it is.
    runs: BTreeMap<u64, Run>,
    /// When the time of runs that have one is over, with their last.
    until: BTreeSet<(u64, u64)>,
    /// Messages of all runs, and those of them that are overdue.
    leased: usize,
    overdue: usize,
    /// Acknowledged, durable from this journal offset on, and the keys.
    ending: VecDeque<(u64, Keys)>,
    /// Messages of these.
    ended: usize,
}

impl Leases {
    /// Messages that somebody works on, and those whose acknowledgement is not durable yet.
    pub fn out(&self) -> usize {
        self.leased - self.overdue + self.ended
    }

    /// Notes who got messages; who had them before has lost them. `until_ms` 0 = for ever.
    pub fn give(&mut self, messages: impl Iterator<Item = Waiting>, owner: u64, until_ms: u64) {
        let mut run: Option<Run> = None;
        for one in messages {
            match &mut run {
                Some(run) if run.takes(&one) => run.keys.push(one.key),
                _ => {
                    let full = run.replace(Run::of(one, owner, until_ms));
                    full.into_iter().for_each(|run| self.begin(run));
                }
            }
        }
        run.into_iter().for_each(|run| self.begin(run));
    }

    /// Adds a run of messages that nobody else has from now on.
    fn begin(&mut self, run: Run) {
        self.take_out(run.first, run.last(), |_, _| {});
        let before = run.first.checked_sub(1).and_then(|last| self.runs.get(&last));
        if before.is_some_and(|of| of.goes_on(&run))
            && let Some(mut before) = self.remove(run.first - 1)
        {
            before.keys.append(run.keys);
            self.insert(before);
        } else {
            self.insert(run);
        }
    }

    /// The first of messages from `first` to `last` that the owner does not have.
    fn first_missing(&self, owner: u64, first: u64, last: u64) -> Option<u64> {
        let mut next = first;
        for (end, run) in self.runs.range(first..) {
            if run.first > next || run.owner != owner {
                break;
            }
            if *end >= last {
                return None;
            }
            next = end + 1;
        }
        Some(next)
    }

    /// The first message of these ranges that the owner does not have.
    pub fn missing(&self, owner: u64, ranges: &[(u64, u64)]) -> Option<u64> {
        ranges.iter().find_map(|(first, last)| self.first_missing(owner, *first, *last))
    }

    /// The key of a message that is out.
    pub fn key_of(&self, sequence: u64) -> Option<u64> {
        let (_, run) = self.runs.range(sequence..).next()?;
        let at = sequence.checked_sub(run.first)?;
        Some(run.keys.get(at as usize))
    }

    /// The acknowledgement of these ranges is being committed, or is not any more.
    pub fn settle(&mut self, ranges: &[(u64, u64)], settling: bool) {
        if self.until.is_empty() {
            // Without a time nobody else gets them anyhow.
            return;
        }
        for (first, last) in ranges.iter().copied() {
            self.isolate(first, last);
            let runs = self.runs.range_mut(first..=last);
            runs.for_each(|(_, run)| run.settling = settling);
        }
    }

    /// These ranges were acknowledged, durable from this journal offset on.
    pub fn end(&mut self, ranges: &[(u64, u64)], offset: u64) {
        for (first, last) in ranges.iter().copied() {
            self.take_out(first, last, |leases, run| {
                // One that is overdue waits in a lane, which holds its key; it is passed over there.
                if !run.overdue {
                    leases.end_keys(run.keys, offset);
                }
            });
        }
    }

    /// Its owner has a message no more.
    pub fn revoke(&mut self, sequence: u64) {
        self.take_out(sequence, sequence, |_, _| {});
    }

    /// A message of this key needs nobody any more, as soon as the journal is durable up to the offset.
    pub fn end_key(&mut self, key: u64, offset: u64) {
        let mut keys = Keys::default();
        keys.push(key);
        self.end_keys(keys, offset);
    }

    fn end_keys(&mut self, keys: Keys, offset: u64) {
        self.ended += keys.count;
        self.ending.push_back((offset, keys));
    }

    /// The keys of messages whose acknowledgement is not known to be durable.
    pub fn ending_keys(&self) -> impl Iterator<Item = u64> {
        self.ending.iter().flat_map(|(_, keys)| keys.iter())
    }

    /// Whether there are such messages.
    pub fn are_ending(&self) -> bool {
        !self.ending.is_empty()
    }

    /// The keys of messages whose acknowledgement is durable now.
    pub fn ended(&mut self, durable: u64) -> Option<Keys> {
        self.ending.front().filter(|(offset, _)| *offset <= durable)?;
        let (_, keys) = self.ending.pop_front()?;
        self.ended -= keys.count;
        Some(keys)
    }

    /// Takes a message from its owner; `None` when that has it no more. A message that is overdue waits already.
    pub fn take(&mut self, owner: u64, sequence: u64) -> Option<Option<Waiting>> {
        if self.first_missing(owner, sequence, sequence).is_some() {
            return None;
        }
        let mut taken = None;
        self.take_out(sequence, sequence, |_, run| {
            taken = Some(run.messages().next().filter(|_| !run.overdue));
        });
        taken
    }

    /// Messages whose time is over: they may be given to somebody else.
    pub fn overdue(&mut self, now_ms: u64) -> Option<Vec<Waiting>> {
        while let Some((until, last)) = self.until.first().copied().filter(|at| at.0 <= now_ms) {
            self.until.remove(&(until, last));
            let Some(run) = self.runs.get_mut(&last) else { continue };
            if run.settling {
                // Its commit is under way; should it fail, there is another time.
                run.until_ms = now_ms + 1_000;
                self.until.insert((run.until_ms, last));
                continue;
            }
            run.overdue = true;
            self.overdue += run.keys.count;
            return Some(run.messages().collect());
        }
        None
    }

    /// When the next time is over.
    pub fn next_until(&self) -> Option<u64> {
        self.until.first().map(|(until, _)| *until)
    }

    /// Their owner has these ranges until then. One whose time is over waits for whoever comes and stays there; the
    /// first such is named.
    pub fn renew(&mut self, ranges: &[(u64, u64)], until_ms: u64) -> Option<u64> {
        let mut late = None;
        for (first, last) in ranges.iter().copied() {
            self.isolate(first, last);
            for (end, run) in self.runs.range_mut(first..=last) {
                if run.overdue {
                    late = late.or(Some(run.first));
                } else if run.until_ms > 0 {
                    self.until.remove(&(run.until_ms, *end));
                    run.until_ms = until_ms;
                    self.until.insert((until_ms, *end));
                }
            }
        }
        late
    }

    /// What an owner has, in order.
    pub fn of(&self, owner: u64) -> Vec<u64> {
        let of = self.runs.values().filter(|run| run.owner == owner);
        of.flat_map(|run| run.first..=run.last()).collect()
    }

    /// Ends the leases of messages from `first` to `last`, and names them in runs.
    fn take_out(&mut self, first: u64, last: u64, mut each: impl FnMut(&mut Leases, Run)) {
        self.isolate(first, last);
        while let Some((end, _)) = self.runs.range(first..=last).next() {
            let end = *end;
            if let Some(run) = self.remove(end) {
                each(self, run);
            }
        }
    }

    /// Sees to it that no run reaches over either end of these messages.
    fn isolate(&mut self, first: u64, last: u64) {
        self.split(first);
        self.split(last + 1);
    }

    /// Sees to it that no run has both this message and the one before it.
    fn split(&mut self, sequence: u64) {
        let Some((_, run)) = self.runs.range_mut(sequence..).next() else { return };
        if run.first >= sequence {
            return;
        }
        let front = run.split_front(sequence);
        self.leased -= front.keys.count;
        self.overdue -= if front.overdue { front.keys.count } else { 0 };
        self.insert(front);
    }

    fn insert(&mut self, run: Run) {
        let last = run.last();
        self.leased += run.keys.count;
        self.overdue += if run.overdue { run.keys.count } else { 0 };
        if run.until_ms > 0 && !run.overdue {
            self.until.insert((run.until_ms, last));
        }
        self.runs.insert(last, run);
    }

    fn remove(&mut self, last: u64) -> Option<Run> {
        let run = self.runs.remove(&last)?;
        self.leased -= run.keys.count;
        self.overdue -= if run.overdue { run.keys.count } else { 0 };
        if run.until_ms > 0 {
            self.until.remove(&(run.until_ms, last));
        }
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn one(sequence: u64) -> Waiting {
        // Some have no key, and a few another lane.
        let key = if sequence.is_multiple_of(3) { 0 } else { sequence * 7 };
        Waiting { sequence, key, lane: u8::from(sequence.is_multiple_of(17)) }
    }

    #[test]
    fn what_is_taken_in_a_row_is_one_run_which_loses_its_head_as_it_is_acknowledged() {
        let mut leases = Leases::default();
        for sequence in 1..=100 {
            let one = Waiting { sequence, key: sequence, lane: 0 };
            leases.give(std::iter::once(one), 1, 0);
        }
        assert_eq!((leases.runs.len(), leases.out()), (1, 100));
        for sequence in 1..=99 {
            leases.end(&[(sequence, sequence)], sequence);
            assert_eq!((leases.runs.len(), leases.out()), (1, 100), "counts until it is durable");
        }
        assert_eq!(
            (leases.of(1), leases.key_of(100), leases.key_of(99)),
            (vec![100], Some(100), None)
        );
        let mut keys = Vec::new();
        while let Some(of) = leases.ended(98) {
            keys.extend(of.iter());
        }
        assert_eq!(keys, (1..=98).collect::<Vec<u64>>());
        assert_eq!(leases.out(), 2);
    }

    #[derive(Clone, Copy)]
    struct Row {
        owner: u64,
        until_ms: u64,
        settling: bool,
        overdue: bool,
    }

    /// The same kept message by message.
    #[derive(Default)]
    struct Rows {
        of: HashMap<u64, Row>,
        ended: Vec<(u64, u64)>,
    }

    impl Rows {
        fn overdue(&mut self, now: u64) -> Vec<u64> {
            let mut late = Vec::new();
            for (sequence, row) in &mut self.of {
                if row.until_ms == 0 || row.overdue || row.until_ms > now {
                    continue;
                }
                if row.settling {
                    row.until_ms = now + 1_000;
                } else {
                    row.overdue = true;
                    late.push(*sequence);
                }
            }
            late.sort_unstable();
            late
        }

        fn renew(&mut self, range: impl Iterator<Item = u64>, until_ms: u64) -> Option<u64> {
            let mut late = None;
            for sequence in range {
                match self.of.get_mut(&sequence) {
                    Some(row) if row.overdue => late = late.or(Some(sequence)),
                    Some(row) if row.until_ms > 0 => row.until_ms = until_ms,
                    _ => {}
                }
            }
            late
        }

        fn end(&mut self, range: impl Iterator<Item = u64>, offset: u64) {
            for sequence in range {
                if self.of.remove(&sequence).is_some_and(|row| !row.overdue) {
                    self.ended.push((offset, one(sequence).key));
                }
            }
        }

        fn out(&self) -> usize {
            self.of.values().filter(|row| !row.overdue).count() + self.ended.len()
        }
    }

    /// Numbers that look drawn and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    #[test]
    fn runs_of_leases_do_what_leases_of_single_messages_would() {
        for seed in 1..=20 {
            let mut dice = Dice(0x2545_F491_4F6C_DD1D >> seed);
            let (mut leases, mut rows) = (Leases::default(), Rows::default());
            for step in 0..400 {
                do_something(&mut dice, &mut leases, &mut rows, step * 10);
                let told = format!("seed {seed}, step {step}");
                assert_eq!(leases.out(), rows.out(), "{told}");
                for sequence in 0..900 {
                    let key = rows.of.get(&sequence).map(|_| one(sequence).key);
                    assert_eq!(leases.key_of(sequence), key, "{told}, message {sequence}");
                }
                for owner in 1..=3 {
                    let of = rows.of.iter().filter(|(_, row)| row.owner == owner);
                    let mut theirs: Vec<u64> = of.map(|(sequence, _)| *sequence).collect();
                    theirs.sort_unstable();
                    assert_eq!(leases.of(owner), theirs, "{told}");
                }
                let due = rows.of.values().filter(|row| row.until_ms > 0 && !row.overdue);
                assert_eq!(leases.next_until(), due.map(|row| row.until_ms).min(), "{told}");
            }
        }
    }

    fn do_something(dice: &mut Dice, leases: &mut Leases, rows: &mut Rows, now: u64) {
        let (first, owner, spread) = (1 + dice.below(600), 1 + dice.below(3), 1 << dice.below(9));
        let last = first + dice.below(spread);
        let range = || first..=last;
        match dice.below(8) {
            0 | 1 => {
                let until_ms = now + 1 + 100 * dice.below(3);
                leases.give(range().map(one), owner, until_ms);
                let row = Row { owner, until_ms, settling: false, overdue: false };
                rows.of.extend(range().map(|sequence| (sequence, row)));
            }
            2 => {
                let is_theirs = |one: &u64| rows.of.get(one).is_some_and(|row| row.owner == owner);
                let missing = range().find(|one| !is_theirs(one));
                assert_eq!(leases.missing(owner, &[(first, last)]), missing);
            }
            3 => {
                let settling = dice.below(3) > 0;
                leases.settle(&[(first, last)], settling);
                for sequence in range() {
                    rows.of.entry(sequence).and_modify(|row| row.settling = settling);
                }
            }
            4 => {
                leases.end(&[(first, last)], now);
                rows.end(range(), now);
            }
            5 => {
                let mut late: Vec<u64> = Vec::new();
                while let Some(of) = leases.overdue(now) {
                    assert!(of.iter().all(|it| *it == one(it.sequence)));
                    late.extend(of.iter().map(|it| it.sequence));
                }
                late.sort_unstable();
                assert_eq!(late, rows.overdue(now));
            }
            6 => {
                let until_ms = now + 500;
                let late = leases.renew(&[(first, last)], until_ms);
                assert_eq!(late, rows.renew(range(), until_ms));
            }
            _ => {
                for sequence in range().step_by(2) {
                    let had = rows.of.get(&sequence).copied().filter(|row| row.owner == owner);
                    let given = had.map(|row| (!row.overdue).then_some(one(sequence)));
                    assert_eq!(leases.take(owner, sequence), given);
                    had.into_iter().for_each(|_| _ = rows.of.remove(&sequence));
                }
                let (durable, mut keys) = (now.saturating_sub(300), Vec::new());
                while let Some(of) = leases.ended(durable) {
                    keys.extend(of.iter());
                }
                let (over, left): (Vec<_>, Vec<_>) =
                    rows.ended.drain(..).partition(|(at, _)| *at <= durable);
                rows.ended = left;
                let theirs = over.into_iter().map(|(_, key)| key).filter(|key| *key != 0);
                assert_eq!(keys, theirs.collect::<Vec<u64>>());
            }
        }
    }
}
