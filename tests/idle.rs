//! What costs nothing while nothing happens: many small stores, an open store, a connected replication.
//!
//! Each test runs in a process of its own, since it counts the threads, the wake-ups and the memory of all of it.
//! Nothing is timed: what is counted over a while must not be there at all.

#![allow(clippy::unwrap_used)]

use repliq::disk::model::ModelDisk;
use repliq::{
    ConnectOptions, ConsumerOptions, Listener, ListenerOptions, Message, Replication,
    ReplicationOptions, Right, Rules, Server, ServerOptions, Store, StoreOptions, TargetOptions,
    UserSource, Users, Verb,
};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// Longer than any thread of a store stays without work.
const QUIET: Duration = Duration::from_millis(2_500);

/// Runs the test of this name in a process of its own, once; false in that process.
fn elsewhere(test: &str) -> bool {
    if std::env::var_os("REPLIQ_TEST_ALONE").is_some() {
        return false;
    }
    // A store has two files open, and the limit of a shell is low.
    let shell = "ulimit -n $(ulimit -H -n) 2>/dev/null; exec \"$0\" \"$@\"";
    let me = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", shell])
        .arg(me)
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env("REPLIQ_TEST_ALONE", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    for line in told.lines() {
        let at = line.find("idle: ").or(line.find("SKIPPED "));
        if let Some(at) = at {
            println!("{}", &line[at..]);
        }
    }
    assert!(told.contains("1 passed"), "{told}");
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// Threads of the library by their id: name, and how often each gave up the processor by itself.
fn threads() -> BTreeMap<String, (String, u64)> {
    let mut found = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (name, status) = (read("comm"), read("status"));
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let (Some(count), true) = (line, name.starts_with("repliq")) else { continue };
        let id = task.file_name().to_string_lossy().into_owned();
        found.insert(id, (name.trim().to_string(), count.trim().parse().unwrap()));
    }
    found
}

/// How often threads of the library woke up meanwhile, by name.
fn woken(before: &BTreeMap<String, (String, u64)>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (id, (name, count)) in threads() {
        let old = before.get(&id).map_or(0, |(_, count)| *count);
        *counts.entry(name).or_insert(0) += count - old;
    }
    counts
}

/// Bytes of memory of this process that are resident.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// Bytes of blocks that a directory of stores takes.
fn blocks(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        folder if folder.is_dir() => blocks(&entry.path()),
        file => file.blocks() * 512,
    };
    entries.map(of).sum()
}

#[test]
fn a_thousand_stores_of_three_messages_cost_less_than_100_mib() {
    if elsewhere("a_thousand_stores_of_three_messages_cost_less_than_100_mib") {
        return;
    }
    // Thousands of syncs: in memory, where there is such a place.
    let shared = Path::new("/dev/shm");
    let folder = tempfile::tempdir_in(shared).or_else(|_| tempfile::tempdir()).unwrap();
    let before = resident();
    let mut stores = Vec::new();
    for number in 0..1_000 {
        let path = folder.path().join(format!("{number}"));
        let store = match Store::open(path, &StoreOptions::default()) {
            Ok(store) => store,
            Err(error) if error.os_errno() == libc::EMFILE => {
                println!("SKIPPED a thousand stores: this user may not open so many files");
                return;
            }
            Err(error) => panic!("store {number}: {error:?}"),
        };
        let queue = store.queue("orders").unwrap();
        let messages = [&b"one"[..], b"two", b"three"].map(Message::new);
        store.put(queue, &messages).unwrap();
        stores.push((store, queue));
    }
    let (memory, disk) = (resident().saturating_sub(before), blocks(folder.path()));
    println!("idle: 1000 stores of three messages: {memory} bytes of memory, {disk} of disk");
    assert!(memory + disk < 100 * MIB, "{memory} bytes of memory, {disk} of disk");
    assert_eq!(threads(), BTreeMap::new(), "a store that was only put into has threads");
    for (store, queue) in &stores {
        let found = store.snapshot().unwrap().browse(*queue, 1, 10).unwrap();
        assert_eq!(found.len(), 3);
    }
}

#[test]
fn an_idle_store_with_readers_wakes_nobody_and_writes_nothing() {
    if elsewhere("an_idle_store_with_readers_wakes_nobody_and_writes_nothing") {
        return;
    }
    let disk = ModelDisk::new();
    let options = StoreOptions { segment_bytes: 4096, ..StoreOptions::default() };
    let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    let queue = store.queue("q").unwrap();
    let consumer = store.consumer("listener", queue, &ConsumerOptions::default()).unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let handler = move |_: &mut repliq::Session, _: &[repliq::Received]| {
        count.fetch_add(1, Ordering::SeqCst);
        repliq::Handled::Done
    };
    let options = ListenerOptions::default();
    let listener = Listener::open(&store, consumer, &options, handler).unwrap();
    // Enough for rolls, so that the helper was there.
    for _ in 0..30 {
        store.put(queue, &[Message::new(&[7; 900])]).unwrap();
    }
    until(|| handled.load(Ordering::SeqCst) == 30);
    std::thread::sleep(QUIET);
    let (ops, before) = (disk.ops(), threads());
    std::thread::sleep(QUIET);
    let after = woken(&before);
    println!("idle: a store with a listener: wake-ups {after:?}, {} operations", disk.ops() - ops);
    assert!(before.values().all(|(name, _)| !name.starts_with("repliq-helper")), "{before:?}");
    assert_eq!(after.values().sum::<u64>(), 0, "{after:?}");
    assert_eq!(disk.ops(), ops, "an idle store uses its disk");
    store.put(queue, &[Message::new(b"more")]).unwrap();
    until(|| handled.load(Ordering::SeqCst) == 31);
    listener.close().unwrap();
}

/// Consumers of every kind wait; one enqueue is given to each at once, and until then none of them stirs.
#[test]
fn reg_03_an_idle_consumer_is_woken_by_an_enqueue_and_by_nothing_else() {
    if elsewhere("reg_03_an_idle_consumer_is_woken_by_an_enqueue_and_by_nothing_else") {
        return;
    }
    let disk = ModelDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), &StoreOptions::default()).unwrap();
    let queue = store.queue("q").unwrap();
    let hour = 60 * 60 * 1_000;
    let workers = Rules { shared: true, keyed: true, lease_ms: hour, ..Rules::default() };
    let handled = Arc::new(AtomicUsize::new(0));
    let threads_of: Vec<_> = [("plain", Rules::default()), ("keyed", workers), ("keyed", workers)]
        .into_iter()
        .enumerate()
        .map(|(at, (name, rules))| {
            let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
            let consumer = store.consumer(name, queue, &options).unwrap();
            let count = handled.clone();
            let work = move || {
                let one = consumer.receive(1, Duration::from_millis(hour)).unwrap();
                consumer.ack(&[one[0].sequence()]).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            };
            std::thread::Builder::new().name(format!("repliq-test-{at}")).spawn(work).unwrap()
        })
        .collect();
    std::thread::sleep(QUIET);
    let (ops, before) = (disk.ops(), threads());
    assert_eq!(before.len(), 3, "{before:?}");
    std::thread::sleep(QUIET);
    assert_eq!(woken(&before).values().sum::<u64>(), 0, "who waits is woken without reason");
    assert_eq!(disk.ops(), ops, "who waits uses the disk");
    store.put(queue, &[Message { key: b"a", ..Message::new(b"1") }]).unwrap();
    until(|| handled.load(Ordering::SeqCst) == 2);
    store.put(queue, &[Message { key: b"b", ..Message::new(b"2") }]).unwrap();
    until(|| handled.load(Ordering::SeqCst) == 3);
    threads_of.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn an_idle_replication_does_no_more_than_heartbeats() {
    if elsewhere("an_idle_replication_does_no_more_than_heartbeats") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (ModelDisk::new(), ModelDisk::with_seed(7));
    let options = StoreOptions::default();
    let source = Store::open_on(Arc::new(from.clone()), &options).unwrap();
    let there = Store::open_on(Arc::new(to.clone()), &options).unwrap();
    let mut users = Users::new();
    users.add_with("ann", &"secret".into(), 4096).unwrap();
    let right = Right { verbs: vec![Verb::Replicate], queues: vec!["*".into()] };
    users.set_rights("ann", &[right]).unwrap();
    let socket = format!("unix:{}", folder.path().join("s").display());
    let heartbeat_ms = 1_000;
    let served = ServerOptions {
        listen: vec![socket],
        users: UserSource::Inline(users),
        heartbeat_ms,
        ..ServerOptions::default()
    };
    let server = Server::open(&there, &served).unwrap();
    let root = source.queue("root").unwrap();
    let replication = Replication::open(&source, root, &ReplicationOptions::default()).unwrap();
    let connect = ConnectOptions {
        user: Some("ann".into()),
        password: Some("secret".into()),
        heartbeat_ms,
        ..ConnectOptions::default()
    };
    let target = TargetOptions { connect, ..TargetOptions::default() };
    let url = format!("repliq+unix://{}", folder.path().join("s").display());
    replication.add("there", &url, &target).unwrap();
    for _ in 0..10 {
        source.put(root, &[Message::new(b"an order")]).unwrap();
    }
    until(|| {
        there
            .find_queue("root")
            .is_ok_and(|queue| there.snapshot().unwrap().browse(queue, 1, 100).unwrap().len() == 10)
    });
    std::thread::sleep(QUIET);
    let (ops, before, begun) = ((from.ops(), to.ops()), threads(), Instant::now());
    std::thread::sleep(2 * QUIET);
    let (after, beats) = (woken(&before), begun.elapsed().as_millis() as u64 / heartbeat_ms + 1);
    println!("idle: a replication over {beats} heartbeats: wake-ups {after:?}");
    assert_eq!((from.ops(), to.ops()), ops, "an idle replication uses a disk");
    // A heartbeat goes out and one comes in; either may take a look at the clock more.
    for (name, count) in &after {
        assert!(*count <= 4 * beats, "{name} woke up {count} times in {beats} heartbeats");
    }
    server.close();
}

fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it did not come true");
        std::thread::sleep(Duration::from_millis(5));
    }
}
