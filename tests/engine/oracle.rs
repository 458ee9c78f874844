//! What a client was told, and whether a store found later may be what it is.
//!
//! A [`Client`] is one thread, so its transactions have an order, and a store after a crash must be what a
//! prefix of them adds up to: everything confirmed is in it, a transaction is in it as a whole or not at all,
//! and nothing that was refused is. A [`Model`] is such a state; the client keeps one after every transaction.
//!
//! Beyond that: a position never means two transactions, also over lost ones; a token of a lost transaction is
//! never confirmed; a message that was handed out was durable, or
//! published where the horizon is the process; an open after an open finds the same; and a
//! store that was opened takes a put that a power cut does not take away.

use repliq::disk::model::{Cut, ModelDisk};
use repliq::{
    Code, Commit, Consumer, ConsumerOptions, Error, From, Level, Message, Position, Queue, Result,
    SessionOptions, Store, StoreOptions, Token,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The bytes of a message.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bytes(Arc<Vec<u8>>);

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.0.get(..7).unwrap_or(&self.0);
        write!(out, "{} ({} bytes)", String::from_utf8_lossy(name), self.0.len())
    }
}

/// A queue as it must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueModel {
    /// Sequence of the next message.
    pub next: u64,
    /// All messages ever put.
    pub messages: BTreeMap<u64, Bytes>,
    /// All up to here is gone.
    pub purged: u64,
    /// Puts and receives are refused.
    pub paused: bool,
    /// What each consumer has acknowledged.
    pub consumers: BTreeMap<String, BTreeSet<u64>>,
    /// Messages that were of no use to anybody at some time, so that they may be gone for good.
    pub ghosts: BTreeSet<u64>,
    /// What prepared transactions hold of each consumer.
    pub held: BTreeMap<String, BTreeSet<u64>>,
}

/// A prepared transaction as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedModel {
    /// Queue and consumer it has received from, and what.
    from: (String, String),
    held: Vec<u64>,
    /// What it puts, by queue.
    puts: Vec<(String, Vec<Bytes>)>,
}

/// A store as it must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub queues: BTreeMap<String, QueueModel>,
    /// The last sequence of each producer.
    pub producers: BTreeMap<String, u64>,
    /// Prepared transactions that wait, by xid.
    pub prepared: BTreeMap<Vec<u8>, PreparedModel>,
}

impl QueueModel {
    /// A queue just made.
    fn fresh() -> QueueModel {
        QueueModel { next: 1, ..QueueModel::default() }
    }

    /// Whether a browse shows the message.
    fn shown(&self, sequence: u64) -> bool {
        let consumed = !self.consumers.is_empty()
            && self.consumers.values().all(|acked| acked.contains(&sequence));
        sequence > self.purged && !consumed
    }

    /// Notes what may be reclaimed from now on.
    fn age(&mut self) {
        let gone: Vec<u64> = self.messages.keys().copied().filter(|s| !self.shown(*s)).collect();
        self.ghosts.extend(gone);
    }

    /// The next messages for a consumer that was just opened.
    pub fn waiting(&self, consumer: &str, max: usize) -> Vec<(u64, Bytes)> {
        let acked = &self.consumers[consumer];
        let held = self.held.get(consumer);
        let free = |sequence: &u64| held.is_none_or(|held| !held.contains(sequence));
        let open = self.messages.range(self.purged + 1..);
        let open = open.filter(|(sequence, _)| !acked.contains(sequence) && free(sequence));
        open.take(max).map(|(sequence, bytes)| (*sequence, bytes.clone())).collect()
    }

    fn floor(&self, consumer: &str) -> u64 {
        let acked = &self.consumers[consumer];
        (1..).find(|sequence| !acked.contains(sequence)).unwrap_or(1) - 1
    }
}

impl Model {
    pub fn queue(&mut self, name: &str) -> &mut QueueModel {
        self.queues.entry(name.to_string()).or_insert_with(QueueModel::fresh)
    }

    pub fn put(&mut self, queue: &str, payloads: &[Bytes]) {
        let queue = self.queue(queue);
        for payload in payloads {
            queue.messages.insert(queue.next, payload.clone());
            queue.next += 1;
        }
    }

    pub fn ack(&mut self, queue: &str, consumer: &str, sequences: &[u64]) {
        let queue = self.queue(queue);
        if let Some(acked) = queue.consumers.get_mut(consumer) {
            acked.extend(sequences);
        }
        queue.age();
    }

    fn prepare(&mut self, xid: &[u8], of: PreparedModel) {
        let (queue, consumer) = of.from.clone();
        self.queue(&queue).held.entry(consumer).or_default().extend(&of.held);
        self.prepared.insert(xid.to_vec(), of);
    }

    fn finish(&mut self, xid: &[u8], commit: bool) {
        let Some(of) = self.prepared.remove(xid) else { return };
        let (queue, consumer) = of.from;
        if let Some(held) = self.queue(&queue).held.get_mut(&consumer) {
            of.held.iter().for_each(|sequence| _ = held.remove(sequence));
        }
        if commit {
            of.puts.iter().for_each(|(queue, payloads)| self.put(queue, payloads));
            self.ack(&queue, &consumer, &of.held);
        }
    }

    pub fn seek(&mut self, queue: &str, consumer: &str, sequence: u64) {
        let queue = self.queue(queue);
        queue.consumers.insert(consumer.to_string(), (1..sequence).collect());
        queue.age();
    }

    pub fn forget(&mut self, queue: &str, consumer: &str) {
        let queue = self.queue(queue);
        queue.consumers.remove(consumer);
        queue.age();
    }

    pub fn purge(&mut self, name: &str) {
        let queue = self.queue(name);
        queue.purged = queue.next - 1;
        for acked in queue.consumers.values_mut() {
            acked.extend(1..queue.next);
        }
        queue.age();
    }
}

/// A store as it was found, in the words of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    queues: BTreeMap<String, Seen>,
    /// Messages each prepared transaction puts, and holds, by xid.
    prepared: BTreeMap<Vec<u8>, (u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    next: u64,
    paused: bool,
    floors: BTreeMap<String, u64>,
    shown: BTreeMap<u64, Bytes>,
}

/// Looks at everything a store shows.
pub fn observe(store: &Store) -> Result<Observed> {
    let snapshot = store.snapshot()?;
    let mut queues = BTreeMap::new();
    for info in store.queues()? {
        let mut shown = BTreeMap::new();
        let mut from = 1;
        loop {
            let page = snapshot.browse(info.queue, from, 1000)?;
            let Some(last) = page.last() else { break };
            from = last.sequence() + 1;
            for one in &page {
                shown.insert(one.sequence(), Bytes(Arc::new(one.payload().to_vec())));
            }
        }
        let floors = info.consumers.iter().map(|one| (one.name.clone(), one.acknowledged));
        let (next, paused) = (info.next_sequence, info.paused);
        let seen = Seen { next, paused, floors: floors.collect(), shown };
        queues.insert(info.name, seen);
    }
    let prepared = store.prepared()?;
    let prepared = prepared.into_iter().map(|one| (one.xid, (one.messages, one.held))).collect();
    Ok(Observed { queues, prepared })
}

impl Observed {
    /// Whether a store in this state may show this.
    pub fn fits(&self, model: &Model) -> bool {
        let prepared = model.prepared.iter().map(|(xid, of)| {
            let messages: usize = of.puts.iter().map(|(_, payloads)| payloads.len()).sum();
            (xid.clone(), (messages as u64, of.held.len() as u64))
        });
        self.prepared == prepared.collect()
            && self.queues.len() == model.queues.len()
            && self
                .queues
                .iter()
                .all(|(name, seen)| model.queues.get(name).is_some_and(|queue| seen.fits(queue)))
    }

    /// A store that shows this and has nothing besides.
    pub fn model(&self) -> Model {
        let queue = |seen: &Seen| {
            let acked = |floor: &u64| (1..=*floor).collect();
            QueueModel {
                next: seen.next,
                messages: seen.shown.clone(),
                paused: seen.paused,
                consumers: seen.floors.iter().map(|(name, at)| (name.clone(), acked(at))).collect(),
                ..QueueModel::default()
            }
        };
        let queues = self.queues.iter().map(|(name, seen)| (name.clone(), queue(seen)));
        Model { queues: queues.collect(), ..Model::default() }
    }

    /// Whether every message shown is the one that was put there, as far as anybody knows.
    pub fn is_prefix_of(&self, model: &Model) -> bool {
        self.queues.iter().all(|(name, seen)| {
            let Some(queue) = model.queues.get(name) else { return seen.shown.is_empty() };
            seen.next <= queue.next
                && seen
                    .shown
                    .iter()
                    .all(|(at, got)| queue.messages.get(at).is_some_and(|put| put[..] == got[..]))
        })
    }
}

impl Seen {
    fn fits(&self, queue: &QueueModel) -> bool {
        let floors = queue.consumers.keys().map(|name| (name.clone(), queue.floor(name)));
        let all_there = queue
            .messages
            .keys()
            .filter(|sequence| queue.shown(**sequence) && !queue.ghosts.contains(sequence))
            .all(|sequence| self.shown.contains_key(sequence));
        let all_right = self.shown.iter().all(|(sequence, got)| {
            queue.shown(*sequence)
                && queue.messages.get(sequence).is_some_and(|put| put[..] == got[..])
        });
        self.next == queue.next
            && self.paused == queue.paused
            && self.floors == floors.collect()
            && all_there
            && all_right
    }
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process, and with it what was not handed to the files.
    Kill,
    /// The power, and with it what was not synced.
    Power,
}

/// One thread that uses a store and remembers what it was told.
pub struct Client {
    pub disk: ModelDisk,
    pub options: StoreOptions,
    pub store: Option<Store>,
    /// The state after each transaction that may be in the journal; the first is the empty store.
    steps: Vec<Arc<Model>>,
    /// Up to this step a power cut takes nothing.
    durable: usize,
    /// Up to this step a kill takes nothing.
    published: usize,
    tokens: Vec<(Token, usize)>,
    /// Tokens of transactions that were found to be lost.
    lost: Vec<Token>,
    positions: HashMap<Position, u64>,
    put_in: HashMap<Bytes, usize>,
    next_id: u64,
    next_payload: u64,
    /// A commit was of unknown outcome: until the next open nothing may be confirmed.
    pub doubtful: bool,
    /// Queues and consumers that have put something to the end: it may come there, or where it stood before.
    moved: BTreeSet<(String, String)>,
    /// Every code a call failed with.
    pub codes: BTreeSet<&'static str>,
    /// The text of the last failure.
    pub last: String,
}

/// Options for journals of a few sectors in which nothing works in the background.
pub fn small(segment: u64) -> StoreOptions {
    StoreOptions {
        password: crate::password(),
        level: crate::LEVEL,
        segment_bytes: segment,
        segment_bytes_max: segment,
        helper: false,
        ..StoreOptions::default()
    }
}

impl Client {
    pub fn new(disk: ModelDisk, options: StoreOptions) -> Client {
        Client {
            disk,
            options,
            store: None,
            steps: vec![Arc::default()],
            durable: 0,
            published: 0,
            tokens: Vec::new(),
            lost: Vec::new(),
            positions: HashMap::new(),
            put_in: HashMap::new(),
            next_id: 0,
            next_payload: 0,
            doubtful: false,
            moved: BTreeSet::new(),
            codes: BTreeSet::new(),
            last: String::new(),
        }
    }

    /// Everything any queue ever held.
    pub fn ever(&self) -> Model {
        let mut ever = Model::default();
        for step in &self.steps {
            for (name, queue) in &step.queues {
                let all = ever.queue(name);
                all.next = all.next.max(queue.next);
                all.messages.extend(queue.messages.iter().map(|(at, put)| (*at, put.clone())));
            }
        }
        ever
    }

    /// The state after each transaction.
    pub fn steps(&self) -> &[Arc<Model>] {
        &self.steps
    }

    /// The same client before another copy of its disk.
    pub fn at(&self, disk: ModelDisk) -> Client {
        Client {
            disk,
            options: self.options.clone(),
            store: None,
            steps: self.steps.clone(),
            tokens: self.tokens.clone(),
            lost: self.lost.clone(),
            positions: self.positions.clone(),
            put_in: self.put_in.clone(),
            moved: self.moved.clone(),
            codes: BTreeSet::new(),
            last: String::new(),
            ..*self
        }
    }

    /// The state as this client knows it.
    pub fn now(&self) -> &Model {
        &self.steps[self.steps.len() - 1]
    }

    /// Whether a look shows all of it: what is not durable is not shown.
    pub fn is_durable(&self) -> bool {
        self.durable + 1 == self.steps.len()
    }

    fn next(&self) -> Model {
        self.now().clone()
    }

    fn the_store(&self) -> Option<Store> {
        self.store.clone()
    }

    /// Opens the store; the state must be one it may have after `end`, or as it was after a close.
    pub fn open(&mut self) -> bool {
        match Store::open_on(Arc::new(self.disk.clone()), &self.options) {
            Ok(store) => {
                self.doubtful = false;
                self.store = Some(store);
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// Closes the store; all is durable when that succeeds.
    pub fn close(&mut self) -> bool {
        let Some(store) = self.store.take() else { return false };
        match store.close() {
            Ok(()) => {
                assert!(!self.doubtful, "a close succeeded after a commit of unknown outcome");
                self.durable = self.steps.len() - 1;
                self.published = self.durable;
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn failed(&mut self, error: &Error) {
        let allowed = [
            Code::Io,
            Code::NoSpace,
            Code::Permission,
            Code::Poisoned,
            Code::OutcomeUnknown,
            Code::Paused,
            Code::NoSuchName,
            Code::Closed,
        ];
        assert!(allowed.contains(&error.code()), "{error:?}");
        self.codes.insert(error.code().name());
        self.last = format!("{error:?}");
    }

    /// Notes how a transaction ended that leads to this state.
    pub fn note(&mut self, model: Model, outcome: Result<Commit>) -> bool {
        match outcome {
            Ok(commit) => {
                assert!(!self.doubtful, "confirmed after an unknown outcome, in the same open");
                self.push(model);
                let step = self.steps.len() - 1;
                self.published = step;
                if commit.level == Level::Power {
                    self.durable = step;
                }
                self.handed_out(commit.token, step);
                true
            }
            Err(error) => {
                self.failed(&error);
                if error.code() == Code::OutcomeUnknown {
                    self.push(model);
                    self.doubtful = true;
                }
                false
            }
        }
    }

    fn push(&mut self, model: Model) {
        self.steps.push(Arc::new(model));
    }

    fn handed_out(&mut self, token: Token, step: usize) {
        self.next_id += 1;
        let known = self.positions.insert(token.position(), self.next_id);
        assert!(known.is_none(), "{:?} means two transactions", token.position());
        self.tokens.push((token, step));
    }

    /// Payloads nobody else has, of about these lengths.
    pub fn payloads(&mut self, lengths: &[usize]) -> Vec<Bytes> {
        let one = |length: &usize| {
            self.next_payload += 1;
            let mut bytes = format!("m{:06}.", self.next_payload).into_bytes();
            let mut word = self.next_payload;
            while bytes.len() < *length {
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.push((word >> 56) as u8);
            }
            Bytes(Arc::new(bytes))
        };
        lengths.iter().map(one).collect()
    }

    fn remember(&mut self, payloads: &[Bytes]) {
        let step = self.steps.len();
        self.put_in.extend(payloads.iter().map(|bytes| (bytes.clone(), step)));
    }
}

/// What a client does. Everything answers whether it was confirmed.
impl Client {
    /// The queue of this name; making one is durable with the next commit only.
    pub fn queue(&mut self, name: &str) -> Option<Queue> {
        let store = self.the_store()?;
        match store.queue(name) {
            Ok(queue) => {
                if !self.now().queues.contains_key(name) {
                    let mut model = self.next();
                    model.queue(name);
                    self.push(model);
                }
                Some(queue)
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    pub fn put(&mut self, queue: &str, lengths: &[usize], level: Level) -> bool {
        let Some(number) = self.queue(queue) else { return false };
        let payloads = self.payloads(lengths);
        let messages: Vec<Message<'_>> = payloads.iter().map(|one| Message::new(one)).collect();
        let mut model = self.next();
        model.put(queue, &payloads);
        self.remember(&payloads);
        let Some(store) = self.the_store() else { return false };
        self.note(model, store.put_at(number, &messages, level))
    }

    /// Makes a consumer at the oldest message.
    pub fn consumer(&mut self, queue: &str, name: &str) -> Option<Consumer> {
        let number = self.queue(queue)?;
        let store = self.the_store()?;
        let known = self.now().queues[queue].consumers.contains_key(name);
        // What is purged may be gone or not; a consumer that begins before it would tell.
        let now = self.now().queues[queue].purged > 0;
        let options = if now { from_now() } else { ConsumerOptions::default() };
        let opened = store.consumer(name, number, &options);
        if known {
            return opened.map_err(|error| self.failed(&error)).ok();
        }
        let mut model = self.next();
        let next = model.queue(queue).next;
        model.seek(queue, name, if now { next } else { 1 });
        match opened {
            Ok(consumer) => {
                self.push(model);
                self.published = self.steps.len() - 1;
                if self.options.level == Level::Power {
                    self.durable = self.published;
                }
                Some(consumer)
            }
            Err(error) => {
                self.failed(&error);
                if error.code() == Code::OutcomeUnknown {
                    self.push(model);
                    self.doubtful = true;
                }
                None
            }
        }
    }

    /// What a receive gives must be what waits, and survive what the horizon says.
    fn received(&mut self, queue: &str, consumer: &str, got: &[repliq::Received], max: usize) {
        let of = &self.now().queues[queue];
        let mut waiting = of.waiting(consumer, usize::MAX);
        let there = waiting.iter().filter(|(sequence, _)| !of.ghosts.contains(sequence));
        let mut must: Vec<u64> = there.take(max).map(|(sequence, _)| *sequence).collect();
        if self.doubtful {
            // Whether what was of unknown outcome was acknowledged, nobody can say before the next open.
            let before = self.steps[self.durable].queues.get(queue);
            let before = before.filter(|queue| queue.consumers.contains_key(consumer));
            waiting
                .extend(before.into_iter().flat_map(|queue| queue.waiting(consumer, usize::MAX)));
            must.clear();
        }
        let mut shown = 0;
        for one in got {
            let sequence = one.sequence();
            let put = waiting.iter().find(|(waits, _)| *waits == sequence);
            let put = put.unwrap_or_else(|| panic!("message {sequence} does not wait in {queue}"));
            assert_eq!(&put.1[..], one.payload(), "message {sequence} of {queue}");
            shown = shown.max(self.put_in.get(&put.1).copied().unwrap_or(0));
        }
        let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
        let moved = self.moved.contains(&(queue.into(), consumer.into()));
        assert!(moved || sequences.is_sorted(), "{sequences:?}");
        if let Some(last) = sequences.last().filter(|_| !moved) {
            let missing = must.iter().find(|one| *one < last && !sequences.contains(one));
            assert!(missing.is_none(), "{missing:?} was passed over in {queue}: {sequences:?}");
        }
        if self.options.horizon == Level::Power {
            self.durable = self.durable.max(shown);
        }
        self.published = self.published.max(shown).max(self.durable);
    }

    /// Receives with a consumer opened for it; the rest is the caller's.
    pub fn receive(
        &mut self,
        queue: &str,
        name: &str,
        max: usize,
    ) -> Option<(Consumer, Vec<repliq::Received>)> {
        let consumer = self.consumer(queue, name)?;
        match consumer.receive(max, Duration::ZERO) {
            Ok(got) => {
                self.received(queue, name, &got, max);
                Some((consumer, got))
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Receives and acknowledges those of what came that `chosen` says yes to, the last first.
    pub fn consume(
        &mut self,
        queue: &str,
        name: &str,
        max: usize,
        chosen: impl Fn(usize) -> bool,
    ) -> bool {
        let Some((consumer, got)) = self.receive(queue, name, max) else { return false };
        let numbered = got.iter().enumerate().rev().filter(|(at, _)| chosen(*at));
        let sequences: Vec<u64> = numbered.map(|(_, one)| one.sequence()).collect();
        if sequences.is_empty() {
            return true;
        }
        let mut model = self.next();
        model.ack(queue, name, &sequences);
        self.note(model, consumer.ack(&sequences))
    }

    /// Receives, gives those back that `chosen` says yes to, and gets them again before newer ones.
    pub fn reject(
        &mut self,
        queue: &str,
        name: &str,
        max: usize,
        chosen: impl Fn(usize) -> bool,
    ) -> bool {
        let Some((consumer, got)) = self.receive(queue, name, max) else { return false };
        let numbered = got.iter().enumerate().rev().filter(|(at, _)| chosen(*at));
        let mut back: Vec<u64> = numbered.map(|(_, one)| one.sequence()).collect();
        consumer.reject(&back).unwrap();
        // In the order in which they came.
        back.reverse();
        let mut again = Vec::new();
        while again.len() < back.len() {
            // What is given out again is noted before, which a bad disk may refuse; where it cannot be read in the
            // middle, what was found before comes alone.
            match consumer.receive(got.len() + 1, Duration::ZERO) {
                Ok(more) if more.is_empty() => break,
                Ok(more) => again.extend(more),
                Err(error) => {
                    self.failed(&error);
                    return false;
                }
            }
        }
        let first: Vec<u64> = again.iter().take(back.len()).map(|one| one.sequence()).collect();
        assert_eq!(first, back, "what was given back comes first, in order");
        assert!(again[..back.len()].iter().all(|one| one.deliveries() >= 2));
        true
    }

    /// Receives, puts all of it to the end, and gets it again behind what else there is.
    pub fn put_to_end(&mut self, queue: &str, name: &str, max: usize) -> bool {
        let Some((consumer, got)) = self.receive(queue, name, max) else { return false };
        let moved: Vec<u64> = got.iter().rev().map(repliq::Received::sequence).collect();
        if moved.is_empty() {
            return true;
        }
        self.moved.insert((queue.into(), name.into()));
        consumer.reject_to_end(&moved, None, "").unwrap();
        let mut again = Vec::new();
        loop {
            match consumer.receive(got.len(), Duration::ZERO) {
                Ok(more) if more.is_empty() => break,
                Ok(more) => again.extend(more.iter().map(repliq::Received::sequence)),
                Err(error) => {
                    self.failed(&error);
                    return false;
                }
            }
        }
        // Where there is no room for the note they come again where they were.
        let before: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
        let there = again.ends_with(&moved) || again.starts_with(&before);
        assert!(there, "{moved:?} are neither at the end nor where they were: {again:?}");
        true
    }

    /// Receives and puts in a session and rolls back.
    pub fn roll_back(&mut self, queue: &str, name: &str, max: usize) -> bool {
        let Some(number) = self.queue(queue) else { return false };
        let Some(consumer) = self.consumer(queue, name) else { return false };
        let Some(store) = self.the_store() else { return false };
        let mut session = store.session().unwrap();
        session.put(number, &Message::new(b"never there")).unwrap();
        let Ok(got) = session.receive(&consumer, max, Duration::ZERO) else { return false };
        session.rollback().unwrap();
        let again = session.receive(&consumer, max, Duration::ZERO).unwrap();
        let sequences = |got: &[repliq::Received]| -> Vec<u64> {
            got.iter().map(repliq::Received::sequence).collect()
        };
        // The note of a second delivery is synced, and with it newer messages that were not durable before.
        let (got, again) = (sequences(&got), sequences(&again));
        assert!(again.starts_with(&got), "after a roll back all comes again: {got:?}, {again:?}");
        true
    }

    /// Puts as a producer; a sequence that is not the next is refused, the last one repeated does nothing.
    pub fn produce(&mut self, queue: &str, producer: &str, sequence: u64, level: Level) -> bool {
        let Some(number) = self.queue(queue) else { return false };
        let payloads = self.payloads(&[30]);
        let message =
            Message { producer, producer_sequence: sequence, ..Message::new(&payloads[0]) };
        let last = self.now().producers.get(producer).copied().unwrap_or(0);
        let Some(store) = self.the_store() else { return false };
        let outcome = store.put_at(number, &[message], level);
        if sequence == last + 1 || self.now().queues[queue].paused {
            let mut model = self.next();
            model.put(queue, &payloads);
            model.producers.insert(producer.to_string(), sequence);
            self.remember(&payloads);
            return self.note(model, outcome);
        }
        match outcome {
            Ok(commit) => {
                assert_eq!(sequence, last, "a sequence that is not the next was taken");
                let known = self.tokens.iter().any(|(token, _)| *token == commit.token);
                assert!(known, "the token of a repeated message is the first one's");
            }
            Err(error) => assert_eq!(error.code(), Code::OutOfOrder, "{error:?}"),
        }
        true
    }

    /// Moves messages from one queue to others in one transaction.
    pub fn move_on(
        &mut self,
        from: &str,
        name: &str,
        max: usize,
        to: &[&str],
        level: Level,
    ) -> bool {
        let queues: Option<Vec<Queue>> = to.iter().map(|name| self.queue(name)).collect();
        let Some(queues) = queues else { return false };
        let Some(consumer) = self.consumer(from, name) else { return false };
        let Some(store) = self.the_store() else { return false };
        let session = match name {
            // A session that is remembered says so in each of its commits.
            "known" => store.session_with(&SessionOptions {
                name: name.into(),
                takeover: true,
                ..SessionOptions::default()
            }),
            _ => store.session(),
        };
        let session = session.map_err(|error| self.failed(&error));
        let Ok(mut session) = session else { return false };
        let got = match session.receive(&consumer, max, Duration::ZERO) {
            Ok(got) => got,
            Err(error) => {
                self.failed(&error);
                return false;
            }
        };
        self.received(from, name, &got, max);
        let mut model = self.next();
        let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
        let lengths: Vec<usize> = got.iter().map(|one| one.payload().len()).collect();
        for (queue, name) in queues.iter().zip(to) {
            let payloads = self.payloads(&lengths);
            self.remember(&payloads);
            model.put(name, &payloads);
            for payload in &payloads {
                // A transaction that outgrows memory is written to files, which may fail.
                if let Err(error) = session.put(*queue, &Message::new(payload)) {
                    let after = session.commit_at(level).unwrap_err();
                    assert_eq!(after.code(), Code::RolledBack, "{after:?}");
                    return self.note(model, Err(error));
                }
            }
        }
        if sequences.is_empty() {
            return true;
        }
        model.ack(from, name, &sequences);
        let outcome = session.commit_at(level);
        self.note(model, outcome)
    }

    /// Receives from a queue and puts as much into others, in a transaction that is prepared.
    pub fn prepare(&mut self, from: &str, name: &str, max: usize, to: &[&str]) -> bool {
        let queues: Option<Vec<Queue>> = to.iter().map(|name| self.queue(name)).collect();
        let Some(queues) = queues else { return false };
        let Some(consumer) = self.consumer(from, name) else { return false };
        let Some(store) = self.the_store() else { return false };
        let session = store.session().map_err(|error| self.failed(&error));
        let Ok(mut session) = session else { return false };
        let got = match session.receive(&consumer, max, Duration::ZERO) {
            Ok(got) => got,
            Err(error) => {
                self.failed(&error);
                return false;
            }
        };
        self.received(from, name, &got, max);
        let lengths: Vec<usize> = got.iter().map(|one| one.payload().len()).collect();
        let mut puts = Vec::new();
        for (queue, name) in queues.iter().zip(to) {
            let payloads = self.payloads(&lengths);
            for payload in &payloads {
                if let Err(error) = session.put(*queue, &Message::new(payload)) {
                    let after = session.prepare(b"").unwrap_err();
                    assert_eq!(after.code(), Code::RolledBack, "{after:?}");
                    self.failed(&error);
                    return false;
                }
            }
            puts.push((name.to_string(), payloads));
        }
        if got.is_empty() {
            return true;
        }
        self.next_payload += 1;
        let xid = format!("{:06}", self.next_payload).into_bytes();
        let held = got.iter().map(repliq::Received::sequence).collect();
        let mut model = self.next();
        model.prepare(&xid, PreparedModel { from: (from.into(), name.into()), held, puts });
        match session.prepare(&xid) {
            Ok(_) => {
                assert!(!self.doubtful, "prepared after an unknown outcome, in the same open");
                self.push(model);
                self.durable = self.steps.len() - 1;
                self.published = self.durable;
                true
            }
            Err(error) => {
                self.failed(&error);
                if error.code() == Code::OutcomeUnknown {
                    self.push(model);
                    self.doubtful = true;
                }
                false
            }
        }
    }

    /// Ends the oldest prepared transaction.
    pub fn finish(&mut self, commit: bool) -> bool {
        let Some(store) = self.the_store() else { return false };
        let Some((xid, of)) = self.now().prepared.first_key_value() else { return true };
        let (xid, payloads) = (xid.clone(), of.puts.clone());
        let known = match store.prepared() {
            Ok(known) => known,
            Err(error) => {
                self.failed(&error);
                return false;
            }
        };
        let id = known.iter().find(|one| one.xid == xid).map(|one| one.id);
        let id = id.expect("a prepared transaction is shown");
        let mut model = self.next();
        model.finish(&xid, commit);
        if commit {
            payloads.iter().for_each(|(_, payloads)| self.remember(payloads));
        }
        let outcome = store.finish(&id, commit);
        self.note(model, outcome)
    }

    /// A change of a queue that is there.
    pub fn change(
        &mut self,
        queue: &str,
        act: impl FnOnce(&Store, Queue) -> Result<Commit>,
        apply: impl FnOnce(&mut Model),
    ) -> bool {
        let Some(number) = self.queue(queue) else { return false };
        let Some(store) = self.the_store() else { return false };
        let mut model = self.next();
        apply(&mut model);
        self.note(model, act(&store, number))
    }

    pub fn purge(&mut self, queue: &str) -> bool {
        self.change(queue, Store::queue_purge, |model| model.purge(queue))
    }

    pub fn delete_queue(&mut self, queue: &str) -> bool {
        self.change(queue, Store::queue_delete, |model| {
            model.queues.remove(queue);
        })
    }
}

/// What a store found after the end of a machine must be.
impl Client {
    /// Opens what is left on `disk` and returns the step it is at.
    ///
    /// Everything confirmed must be there; what follows is a put that a power cut does not take away, so the
    /// second open finds the same and that put.
    pub fn check(&self, disk: &ModelDisk, end: End) -> usize {
        let opened = Store::open_on(Arc::new(disk.clone()), &self.options);
        let store = opened.unwrap_or_else(|error| panic!("after {end:?}: {error:?}"));
        let seen = observe(&store).unwrap_or_else(|error| panic!("cannot be read: {error:?}"));
        let step = self.step_of(&store, &seen, end);
        self.check_tokens(&store, step);
        if end == End::Power {
            // What this open did not believe is not believed by the next one.
            let untouched = disk.clone_image().power_cut(Cut::Nothing);
            let again = Store::open_on(Arc::new(untouched), &self.options);
            let again = again.unwrap_or_else(|error| panic!("after an open: {error:?}"));
            assert_eq!(observe(&again).unwrap(), seen, "an open after an open finds the same");
        }
        let queue = store.queue("after").unwrap();
        let commit = store.put_at(queue, &[Message::new(b"goes on")], Level::Power).unwrap();
        let known = self.positions.get(&commit.token.position());
        assert!(known.is_none(), "{:?} means two transactions", commit.token.position());
        let mut model = Model::clone(&self.steps[step]);
        model.put("after", &[Bytes(Arc::new(b"goes on".to_vec()))]);
        let cut = disk.power_cut(Cut::Nothing);
        drop(store);
        let opened = Store::open_on(Arc::new(cut), &self.options);
        let store = opened.unwrap_or_else(|error| panic!("a second time: {error:?}"));
        let seen = observe(&store).unwrap();
        assert!(seen.fits(&model), "the second open differs: {seen:#?}\nmodel {model:#?}");
        store.wait("", &[commit.token], Duration::ZERO).unwrap();
        step
    }

    /// The newest step that looks like this. Where a transaction changes nothing to be seen, its token tells
    /// whether it is there.
    fn step_of(&self, store: &Store, seen: &Observed, end: End) -> usize {
        let least = if end == End::Kill { self.published } else { self.durable };
        let fits = |step: &usize| seen.fits(&self.steps[*step]);
        let fitting: Vec<usize> = (least..self.steps.len()).rev().filter(fits).collect();
        let there = |token: &Token| {
            let answer = store.wait("", std::slice::from_ref(token), Duration::ZERO);
            answer.is_ok()
        };
        let told = |step: &&usize| {
            let mut of = self.tokens.iter().rev().filter(|(_, of)| of <= *step);
            of.next().is_none_or(|(token, _)| there(token))
        };
        fitting.iter().find(told).or(fitting.first()).copied().unwrap_or_else(|| {
            let earlier = (0..least).rev().find(fits);
            panic!(
                "after {end:?}: steps {least} to {} are possible, it is {earlier:?}: {seen:#?}\nmust be {:#?}",
                self.steps.len() - 1,
                self.steps[least]
            )
        })
    }

    fn check_tokens(&self, store: &Store, step: usize) {
        for (token, of) in &self.tokens {
            let answer = store.wait("", std::slice::from_ref(token), Duration::ZERO);
            if *of <= step {
                assert!(answer.is_ok(), "{token} is there: {answer:?}");
                continue;
            }
            let code = answer.expect_err("a lost transaction was confirmed").code();
            assert!(matches!(code, Code::NotFound | Code::Timeout), "{code:?}");
        }
        for token in &self.lost {
            let code = store.wait("", std::slice::from_ref(token), Duration::ZERO);
            assert!(code.is_err(), "a transaction that was lost came back");
        }
    }

    /// Goes on with what is left on `disk` after an end: opens it, and knows what is lost from now on.
    pub fn go_on(&mut self, disk: ModelDisk, end: End) -> bool {
        self.store = None;
        self.disk = disk;
        if !self.open() {
            return false;
        }
        let Some(store) = self.the_store() else { return false };
        let seen = match observe(&store) {
            Err(_) if self.disk.is_stopped() => return false,
            // A fault was met by this look and not by the open.
            Err(error) if error.os_errno() != 0 => observe(&store),
            seen => seen,
        };
        let seen = seen.unwrap_or_else(|error| panic!("cannot be read: {error:?}"));
        let step = self.step_of(&store, &seen, end);
        self.check_tokens(&store, step);
        self.steps.truncate(step + 1);
        let (kept, lost) = std::mem::take(&mut self.tokens).into_iter().partition(|t| t.1 <= step);
        self.tokens = kept;
        let lost: Vec<(Token, usize)> = lost;
        self.lost.extend(lost.into_iter().map(|(token, _)| token));
        (self.durable, self.published) = (step, step);
        true
    }

    /// Forgets what only a kill would have left.
    pub fn power_was_cut(&mut self) {
        self.published = self.durable;
    }
}

/// Where a consumer begins that must not depend on what was reclaimed.
pub fn from_now() -> ConsumerOptions {
    ConsumerOptions { from: From::Now, ..ConsumerOptions::default() }
}
