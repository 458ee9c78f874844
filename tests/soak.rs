//! T16: what a long load leaves behind. A sender and a server in one process do, round after round, all that there is
//! to do: jobs, rolled back ones, messages that go on to another queue in transactions and under leases, prepared ones,
//! dead letters, listeners, consumers, ports, snapshots and connections that come and go, a backup, a reopen. Behind a
//! warm-up neither memory nor files, threads or disk may grow.

#![allow(clippy::unwrap_used)]

#[path = "seeds/mod.rs"]
mod seeds;

use repliq::{
    Client, ConnectOptions, ConsumerOptions, Endpoint, Handled, Listener, ListenerOptions, Message,
    Outcome, Port, RedriveOptions, Replication, ReplicationOptions, Right, Rules, Server,
    ServerOptions, SessionOptions, Store, StoreOptions, TargetOptions, Token, UserSource, Users,
    Verb,
};
use std::path::Path;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);
/// Rounds before anything is measured, and rounds of each of the two ends that are compared.
const WARM: usize = 30;
const END: usize = 30;
const BETWEEN: usize = 60;
/// What an allocator keeps for a while.
const MEMORY_SLACK: u64 = 3 << 20;
/// A segment here or there.
const DISK_SLACK: u64 = 2 << 20;
/// State runs and bases come and go with what there is to merge: a file more or less, and not one more each round.
const FILES_SLACK: u64 = 2;

/// One of the figures of a sample.
type Figure = fn(&Sample) -> u64;

/// What the process holds.
#[derive(Clone, Copy, Debug)]
struct Sample {
    memory: u64,
    files: u64,
    threads: u64,
    disk: u64,
}

fn entries(folder: &str) -> u64 {
    std::fs::read_dir(folder).unwrap().count() as u64
}

fn bytes_of(folder: &Path) -> u64 {
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(folder) if folder.is_dir() => bytes_of(&entry.path()),
        Ok(file) => file.len(),
        // A segment that was just given back.
        Err(_) => 0,
    };
    std::fs::read_dir(folder).unwrap().flatten().map(of).sum()
}

impl Sample {
    fn take(folder: &Path) -> Sample {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().unwrap();
        Sample {
            memory: kib << 10,
            files: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            disk: bytes_of(folder),
        }
    }
}

/// The sample in the middle of some, by one figure.
fn median(samples: &[Sample], figure: Figure) -> u64 {
    let mut all: Vec<u64> = samples.iter().map(figure).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 64 << 10,
        segment_bytes_max: 256 << 10,
        // What everybody has is given back at once.
        keep_ms: 1,
        keep_bytes: 64 << 10,
        ..StoreOptions::default()
    }
}

fn connect() -> ConnectOptions {
    ConnectOptions { password: Some("secret".into()), ..ConnectOptions::default() }
}

fn serve(store: &Store, socket: &str) -> Server {
    let mut users = Users::new();
    users.add_with("ann", &"secret".into(), 4_096).unwrap();
    let right = Right { verbs: Verb::ALL.to_vec(), queues: vec!["*".into()] };
    users.set_rights("ann", &[right]).unwrap();
    let options = ServerOptions {
        listen: vec![format!("unix:{socket}")],
        users: UserSource::Inline(users),
        ..ServerOptions::default()
    };
    Server::open(store, &options).unwrap()
}

/// Takes everything and acknowledges it.
fn consume(store: &Store, name: &str, queue: &str) {
    let queue = store.queue(queue).unwrap();
    let consumer = store.consumer(name, queue, &ConsumerOptions::default()).unwrap();
    loop {
        let some = consumer.receive(500, Duration::ZERO).unwrap();
        if some.is_empty() {
            return;
        }
        consumer.ack(&some.iter().map(repliq::Received::sequence).collect::<Vec<u64>>()).unwrap();
    }
}

/// Puts in every way there is; the last token.
fn put(store: &Store, replication: &Replication, round: usize) -> Token {
    let root = store.queue("root").unwrap();
    for job in 0..20 {
        replication.start_job().unwrap();
        for index in 0..5 {
            let payload = vec![b'a' + (job + index) as u8; 100 + (round * 37 + job * 11) % 900];
            replication.send_message(&Message::new(&payload)).unwrap();
        }
        if job % 5 == 4 {
            replication.abort_job().unwrap();
        } else {
            replication.end_job().unwrap();
        }
    }
    let port = Port::open().unwrap();
    for tag in 0..20 {
        store.put_start(root, &[Message::new(b"by a port")], &port, tag).unwrap();
    }
    let mut left = 20;
    while left > 0 {
        left -= port.drain(20, WAIT).unwrap().len();
    }
    let mut session = store.session().unwrap();
    session.put(root, &Message::new(&[1; 3000])).unwrap();
    session.rollback().unwrap();
    session.put(root, &Message::new(b"in a session")).unwrap();
    session.commit().unwrap().token
}

/// Works on messages of five keys, one in ten of which is bad, with two workers that share them, in transactions of one
/// session; what was bad twice is a dead letter.
fn work(store: &Store, round: usize) {
    let [jobs, done, dead] = ["jobs", "done", "dead"].map(|name| store.queue(name).unwrap());
    let text = |n: usize| if n % 10 == 3 { "bad".to_string() } else { format!("job {round} {n}") };
    let jobs_put: Vec<(String, String)> =
        (0..30).map(|n| (format!("{}", n % 5), text(n))).collect();
    let messages: Vec<Message<'_>> = jobs_put
        .iter()
        .map(|(key, text)| Message { key: key.as_bytes(), ..Message::new(text.as_bytes()) })
        .collect();
    store.put(jobs, &messages).unwrap();
    let rules = Rules {
        shared: true,
        keyed: true,
        max_deliveries: 2,
        dead_letters: Some(dead),
        ..Rules::default()
    };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let workers = [0, 1].map(|_| store.consumer("worker", jobs, &options).unwrap());
    let named = SessionOptions { name: "mover".into(), ..SessionOptions::default() };
    let mut session = store.session_with(&named).unwrap();
    // Three of them come twice.
    let mut left = 33;
    for turn in 0.. {
        if left == 0 {
            break;
        }
        assert!(turn < 1_000, "{left} do not come");
        for one in session.receive(&workers[turn % 2], 1, Duration::ZERO).unwrap() {
            left -= 1;
            session.put(done, &Message::new(one.payload())).unwrap();
            match one.payload() {
                b"bad" => session.rollback().unwrap(),
                _ => _ = session.commit().unwrap(),
            }
        }
    }
    // Whoever asks next moves the last one.
    session.receive(&workers[0], 1, Duration::ZERO).unwrap();
    drop(workers);
    let prepared = {
        session.put(done, &Message::new(&[2; 2_000])).unwrap();
        session.prepare(b"").unwrap()
    };
    let commit = round.is_multiple_of(2);
    store.finish(&prepared, commit).unwrap();
    let outcome = store.resolve(&prepared).unwrap();
    assert_eq!(matches!(outcome, Outcome::Committed(_)), commit, "{outcome:?}");
    drop(session);
    let dropped = store.redrive(dead, &RedriveOptions { drop: true, max: 0 }).unwrap();
    assert_eq!(dropped.done, 3);
    listen(store, 27 + usize::from(commit));
}

/// A listener takes what was done, so many messages.
fn listen(store: &Store, count: usize) {
    let done = store.queue("done").unwrap();
    let consumer = store.consumer("ear", done, &ConsumerOptions::default()).unwrap();
    let (say, hear) = std::sync::mpsc::channel();
    let handler = move |_: &mut repliq::Session, _: &[repliq::Received]| {
        // Where nobody hears it any more, the test has failed.
        let _ = say.send(());
        Handled::Done
    };
    let listener = Listener::open(store, consumer, &ListenerOptions::default(), handler).unwrap();
    for _ in 0..count {
        hear.recv_timeout(WAIT).unwrap();
    }
    // It ends behind the commit of the last one.
    listener.close().unwrap();
}

fn soak(seed: u64) -> u64 {
    // What a disk does is not looked at here.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.unwrap();
    let path = |name: &str| folder.path().join(name);
    let socket = path("socket").to_str().unwrap().to_string();
    let there = Store::open(path("there"), &options()).unwrap();
    let server = serve(&there, &socket);
    let url = format!("repliq+unix://ann@{socket}");
    let mut samples = Vec::new();
    let mut store = Store::open(path("here"), &options()).unwrap();
    for round in 0..WARM + END + BETWEEN + END {
        let root = store.queue("root").unwrap();
        let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
        let target = TargetOptions { connect: connect(), ..TargetOptions::default() };
        replication.add("there", &url, &target).unwrap();
        let last = put(&store, &replication, round);
        store.wait("target:there", &[last], WAIT).unwrap();
        replication.close().unwrap();
        consume(&store, "c", "root");
        consume(&there, "c", "root");
        work(&store, round);
        let far = StoreOptions { connect: connect(), ..StoreOptions::default() };
        let far = Store::open(&url, &far).unwrap();
        work(&far, round);
        far.close().unwrap();
        there.snapshot().unwrap().browse(there.queue("root").unwrap(), 1, 10).unwrap();
        let client = Client::connect(&Endpoint::parse(&url).unwrap(), &connect()).unwrap();
        client.status().unwrap();
        drop(client);
        if round % 10 == 9 {
            store.close().unwrap();
            store = Store::open(path("here"), &options()).unwrap();
            store.backup(path("copy")).unwrap();
            std::fs::remove_dir_all(path("copy")).unwrap();
        }
        if round >= WARM {
            samples.push(Sample::take(folder.path()));
        }
    }
    server.close();
    judge(&samples, seed);
    samples.len() as u64
}

fn judge(samples: &[Sample], seed: u64) {
    let (first, last) = (&samples[..END], &samples[samples.len() - END..]);
    let rows: [(&str, Figure, u64); 4] = [
        ("memory", |sample| sample.memory, MEMORY_SLACK),
        ("files", |sample| sample.files, FILES_SLACK),
        ("threads", |sample| sample.threads, 1),
        ("disk", |sample| sample.disk, DISK_SLACK),
    ];
    for (what, figure, slack) in rows {
        let (before, after) = (median(first, figure), median(last, figure));
        println!("{what}: {before} before, {after} after {} rounds", samples.len());
        assert!(after <= before + slack, "seed {seed}: {what} grew from {before} to {after}");
    }
}

#[test]
fn a_long_load_leaves_memory_files_threads_and_disk_as_they_were() {
    let test = "soak a_long_load_leaves_memory_files_threads_and_disk_as_they_were";
    seeds::run("T16 soak", test, 1, soak);
}
