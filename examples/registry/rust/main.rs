//! The registry tutorial: changes of a public registry are worked on by sixteen workers, those of one record in order,
//! and each is acknowledged by the commit of its work.
//!
//! Usage: registry [DIRECTORY [RECORDS [FILE...]]]
//!
//! The files are those of the Debian package ieee-data: a record a line, its key in the second column; RECORDS is how many
//! are taken, 0 for all. Each becomes a notice in the queue `feed`, and some that must not matter are thrown in: notices
//! that come twice, versions that are out of date, and a few that nobody can read. A worker builds what a notice asks for
//! in 10 ms and puts it into the queue `replica`. Every second one of them dies in the middle of it, and for a while what
//! they build for is down. At the end the replica is what one worker alone would have made. Stop the program wherever
//! you like and run it again: it goes on.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use repliq::{
    Code, Consumer, ConsumerOptions, Message, Queue, Received, Rules, Session, Store, Token,
};

const WORKERS: usize = 16;
const BUILD: Duration = Duration::from_millis(10);
/// When what the workers build for is down, behind the start.
const DOWN: std::ops::Range<Duration> = Duration::from_millis(500)..Duration::from_millis(1_500);
const FILES: [&str; 4] = ["iab.csv", "mam.csv", "oui.csv", "oui36.csv"];
const PRODUCER: &str = "registry";

type Bytes = Vec<u8>;

/// A notice: the key of a record, and what is to be done with it, which is a version, a blank and the record.
type Notice = (Bytes, Bytes);

/// The records of a file: quotes may hold commas and ends of lines, and the first line is the title.
fn records(file: &str) -> std::io::Result<Vec<Notice>> {
    let text = std::fs::read(file)?;
    let (mut found, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in text.iter().enumerate() {
        quoted ^= *byte == b'"';
        if *byte == b'\n' && !quoted {
            let record = text[start..at].trim_ascii_end().to_vec();
            let key = record.split(|byte| *byte == b',').nth(1).unwrap_or_default().to_vec();
            found.push((key, record));
            start = at + 1;
        }
    }
    Ok(found.split_off(1.min(found.len())))
}

/// Notices of all records, with what must not matter thrown in; and what the replica is in the end.
fn notices(records: &[Notice]) -> (Vec<Notice>, HashMap<Bytes, Bytes>) {
    let (mut all, mut versions) = (Vec::new(), HashMap::<Bytes, u64>::new());
    let mut expected = HashMap::new();
    for (at, (key, record)) in records.iter().enumerate() {
        let version = versions.entry(key.clone()).or_default();
        *version += 2;
        let payload = [format!("{version} ").as_bytes(), record].concat();
        all.push((key.clone(), payload.clone()));
        if at % 5 == 0 {
            all.push((key.clone(), payload.clone()));
        }
        if at % 7 == 0 {
            all.push((key.clone(), format!("{} out of date", *version - 1).into_bytes()));
        }
        if at % 400 == 399 {
            all.push((key.clone(), b"damaged".to_vec()));
        }
        expected.insert(key.clone(), payload);
    }
    (all, expected)
}

/// The version at the beginning of a payload.
fn version_of(payload: &[u8]) -> Option<u64> {
    let end = payload.iter().position(|byte| *byte == b' ')?;
    std::str::from_utf8(&payload[..end]).ok()?.parse().ok()
}

// ANCHOR: feed
/// Puts all notices in one transaction; or none, where an earlier run has done it, which the producer's numbers tell.
fn feed(store: &Store, queue: Queue, notices: &[Notice]) -> repliq::Result<Token> {
    let message = |at: usize| {
        let (key, payload) = &notices[at];
        let producer_sequence = at as u64 + 1;
        Message { key, producer: PRODUCER, producer_sequence, ..Message::new(payload) }
    };
    match store.put(queue, &[message(notices.len() - 1)]) {
        // It is there already: nothing was put, and this is the token of then.
        Ok(commit) => return Ok(commit.token),
        Err(error) if error.code() == Code::OutOfOrder => {}
        Err(error) => return Err(error),
    }
    let mut session = store.session()?;
    for at in 0..notices.len() {
        session.put(queue, &message(at))?;
    }
    Ok(session.commit()?.token)
}
// ANCHOR_END: feed

/// What the workers share.
struct Shop {
    store: Store,
    feed: Queue,
    replica: Queue,
    dead: Queue,
    begun: Instant,
    /// By key, the version that the replica has.
    versions: Mutex<HashMap<Bytes, u64>>,
    /// One worker more that dies.
    kill: AtomicBool,
    over: AtomicBool,
    done: AtomicU64,
    known: AtomicU64,
    in_flight: AtomicU64,
    retried: AtomicU64,
    killed: AtomicU64,
}

impl Shop {
    fn versions(&self) -> MutexGuard<'_, HashMap<Bytes, u64>> {
        self.versions.lock().expect("no worker panics")
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::SeqCst);
    }

    // ANCHOR: consumer
    /// A worker's consumer: it shares its place in the feed with the others, and one key is worked on at a time.
    fn consumer(&self) -> repliq::Result<Consumer> {
        let rules = Rules {
            shared: true,
            keyed: true,
            retry_delay_ms: 50,
            retry_multiplier: 2,
            retry_delay_ms_max: 500,
            max_deliveries: 20,
            dead_letters: Some(self.dead),
            ..Rules::default()
        };
        let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
        self.store.consumer("worker", self.feed, &options)
    }
    // ANCHOR_END: consumer

    /// Works until there is nothing more to do, or until it dies.
    fn work(&self) -> repliq::Result<()> {
        let (consumer, mut session) = (self.consumer()?, self.store.session()?);
        while !self.over.load(Ordering::SeqCst) {
            let notices = session.receive(&consumer, 1, Duration::from_millis(100))?;
            let Some(notice) = notices.first() else { continue };
            Shop::count(&self.in_flight);
            let lives = self.one(&consumer, &mut session, notice);
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            if !lives? {
                // What it had goes to the others, as soon as session and consumer are closed.
                return Ok(());
            }
        }
        Ok(())
    }

    // ANCHOR: work
    /// Works on one notice; false where the worker dies in the middle of it.
    fn one(
        &self,
        consumer: &Consumer,
        session: &mut Session,
        notice: &Received,
    ) -> repliq::Result<bool> {
        let Some(version) = version_of(notice.payload()) else {
            self.fail(consumer, session, notice, Some(1), "this is no notice")?;
            return Ok(true);
        };
        let has = self.versions().get(notice.key()).copied().unwrap_or(0);
        if version <= has {
            // Already processed, or out of date: nothing to do, and so it is done.
            session.commit()?;
            Shop::count(&self.known);
            return Ok(true);
        }
        std::thread::sleep(BUILD);
        if self.kill.swap(false, Ordering::SeqCst) {
            Shop::count(&self.killed);
            return Ok(false);
        }
        if DOWN.contains(&self.begun.elapsed()) {
            self.fail(consumer, session, notice, None, "the replica is down")?;
            return Ok(true);
        }
        session
            .put(self.replica, &Message { key: notice.key(), ..Message::new(notice.payload()) })?;
        // Nobody else looks at this key before the commit: until then it is this worker's.
        self.versions().insert(notice.key().to_vec(), version);
        session.commit()?;
        Shop::count(&self.done);
        Ok(true)
    }

    /// Gives a notice back, for later; after twenty times it is a dead letter, with the reason.
    fn fail(
        &self,
        consumer: &Consumer,
        session: &mut Session,
        notice: &Received,
        delay_ms: Option<u64>,
        reason: &str,
    ) -> repliq::Result<()> {
        Shop::count(&self.retried);
        consumer.reject_with(&[notice.sequence()], delay_ms, reason)?;
        session.rollback()
    }
    // ANCHOR_END: work

    /// All that is in a queue, in order.
    fn each(&self, queue: Queue, mut see: impl FnMut(&Received)) -> repliq::Result<u64> {
        let (snapshot, mut next) = (self.store.snapshot()?, 1);
        loop {
            let page = snapshot.browse(queue, next, 1_000)?;
            page.iter().for_each(&mut see);
            let Some(last) = page.last() else { return Ok(next - 1) };
            next = last.sequence() + 1;
        }
    }

    /// A line of the table, written over the one before; only a terminal shows it.
    fn show(&self, dead: u64, last: &mut (Instant, u64)) {
        if !std::io::stdout().is_terminal() {
            return;
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let (done, now) = (read(&self.done) + read(&self.known), Instant::now());
        let rate = (done - last.1) as f64 / (now - last.0).as_secs_f64();
        let (in_flight, retried) = (read(&self.in_flight), read(&self.retried));
        let killed = read(&self.killed);
        print!(
            "\rdone {done:7}   {rate:6.0}/s   in flight {in_flight:2}   retried {retried:5}   dead {dead:4}   killed {killed:3}"
        );
        let _ = std::io::stdout().flush();
        *last = (now, done);
    }

    /// Kills a worker a second until all is done.
    fn wait(&self, token: Token) -> repliq::Result<u64> {
        let undertaker =
            self.store.consumer("undertaker", self.dead, &ConsumerOptions::default())?;
        let (mut dead, mut last) = (0, (self.begun, 0));
        for turn in 1.. {
            std::thread::sleep(Duration::from_millis(250));
            dead += undertaker.receive(1_000, Duration::ZERO)?.len() as u64;
            self.show(dead, &mut last);
            self.kill.fetch_or(turn % 4 == 0, Ordering::SeqCst);
            match self.store.wait("consumer:worker", &[token], Duration::ZERO) {
                Err(error) if error.code() == Code::Timeout => {}
                done => return done.map(|()| dead),
            }
        }
        Ok(dead)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or("registry_store".into());
    let count: usize = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let mut files: Vec<String> = arguments.collect();
    if files.is_empty() {
        files = FILES.iter().map(|name| format!("/usr/share/ieee-data/{name}")).collect();
    }
    let mut all = Vec::new();
    for file in &files {
        all.extend(records(file).map_err(|error| format!("cannot read {file}: {error}"))?);
    }
    all.truncate(if count == 0 { all.len() } else { count });
    if all.is_empty() {
        return Err("there are no records in the files".into());
    }
    let (notices, expected) = notices(&all);

    let store = Store::open(&directory, &repliq::StoreOptions::default())?;
    let shop = Shop {
        feed: store.queue("feed")?,
        replica: store.queue("replica")?,
        dead: store.queue("dead")?,
        store,
        begun: Instant::now(),
        versions: Mutex::default(),
        kill: AtomicBool::new(false),
        over: AtomicBool::new(false),
        done: AtomicU64::new(0),
        known: AtomicU64::new(0),
        in_flight: AtomicU64::new(0),
        retried: AtomicU64::new(0),
        killed: AtomicU64::new(0),
    };
    // What an earlier run has done counts.
    shop.each(shop.replica, |one| {
        let version = version_of(one.payload()).unwrap_or(0);
        shop.versions().insert(one.key().to_vec(), version);
    })?;
    let first = shop.consumer()?;
    let token = feed(&shop.store, shop.feed, &notices)?;
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while !shop.over.load(Ordering::SeqCst) {
                    if let Err(error) = shop.work() {
                        eprintln!("a worker ends: {error}");
                        std::process::exit(1);
                    }
                }
            });
        }
        let outcome = shop.wait(token);
        shop.over.store(true, Ordering::SeqCst);
        outcome
    })?;
    drop(first);
    report(&shop, &notices, &expected)
}

/// Says what was done, and looks whether the replica is what one worker alone would have made.
fn report(
    shop: &Shop,
    notices: &[Notice],
    expected: &HashMap<Bytes, Bytes>,
) -> Result<(), Box<dyn std::error::Error>> {
    let seconds = shop.begun.elapsed().as_secs_f64();
    let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    let (done, known) = (read(&shop.done), read(&shop.known));
    if std::io::stdout().is_terminal() {
        println!();
    }
    println!(
        "{done} built and {known} already processed in {seconds:.1} s, {} retried, {} workers killed",
        read(&shop.retried),
        read(&shop.killed)
    );
    let (mut replica, mut versions, mut wrong) = (HashMap::new(), HashMap::new(), 0);
    shop.each(shop.replica, |one| {
        let version = version_of(one.payload()).unwrap_or(0);
        let before = versions.insert(one.key().to_vec(), version).unwrap_or(0);
        wrong += u64::from(version <= before);
        replica.insert(one.key().to_vec(), one.payload().to_vec());
    })?;
    let dead = shop.each(shop.dead, |_| {})?;
    println!("{} notices of {} records, {dead} dead letters", notices.len(), replica.len());
    if wrong > 0 || replica != *expected {
        return Err(format!("the replica differs, and {wrong} came out of order").into());
    }
    println!("the replica is what one worker alone would have made");
    Ok(())
}
