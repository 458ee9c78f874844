//! What an open costs, who may open what, and what a commit writes.

use crate::oracle::{Client, observe, small};
use repliq::disk::model::{Mode, ModelDisk, Op};
use repliq::{Code, Level, Message, Store, StoreOptions};
use std::sync::Arc;

fn open(disk: &ModelDisk, options: StoreOptions) -> repliq::Result<Store> {
    Store::open_on(Arc::new(disk.clone()), &options)
}

fn code(disk: &ModelDisk, options: StoreOptions) -> Code {
    open(disk, options).err().expect("this must not open").code()
}

/// A disk with a backlog of about so many bytes in segments of this length.
fn backlog(segment: u64, bytes: usize) -> ModelDisk {
    let disk = ModelDisk::new();
    let options = StoreOptions { segment_bytes_max: segment, ..small(64 << 10) };
    let store = open(&disk, options).unwrap();
    let queue = store.queue("a").unwrap();
    let payload = vec![7; 8 << 10];
    let batch: Vec<Message<'_>> = (0..16).map(|_| Message::new(&payload)).collect();
    for _ in 0..bytes / (16 * payload.len()) {
        store.put(queue, &batch).unwrap();
    }
    drop(store);
    disk.kill()
}

/// Bytes an open reads beside the heads of segments, segments there are, and bytes of the largest.
fn cost(disk: &ModelDisk, segment: u64) -> (u64, u64, u64) {
    let image = disk.clone_image();
    let options = StoreOptions { segment_bytes_max: segment, ..small(64 << 10) };
    let store = open(&image, options).unwrap();
    let read = image.bytes(Op::ReadAt);
    let files = image.snapshot();
    let lengths =
        files.iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, bytes)| bytes.len());
    let lengths: Vec<usize> = lengths.collect();
    drop(store);
    let heads = 1536 * lengths.len() as u64;
    (read - heads, lengths.len() as u64, lengths.iter().copied().max().unwrap_or(0) as u64)
}

#[test]
fn a_file_that_cannot_be_opened_is_no_damage() {
    // The oldest segments are gone, so that an open needs a state run.
    let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
    assert!(client.open());
    for _ in 0..40 {
        assert!(client.put("a", &[900], Level::Power));
        assert!(client.consume("a", "c", 9, |_| true));
        client.store.as_ref().unwrap().reclaim().unwrap();
    }
    drop(client.store.take());
    let disk = client.disk.kill();
    let names = disk.names();
    assert!(!names.iter().any(|name| name.starts_with("0000000000000001.seg")), "{names:?}");
    assert!(names.iter().any(|name| name.ends_with(".run")), "{names:?}");
    let whole = disk.clone_image();
    drop(open(&whole, client.options.clone()).unwrap());
    let mut refused = 0;
    for at in 1..=whole.ops() {
        for mode in [Mode::Once, Mode::Sticky] {
            let image = disk.clone_image();
            image.fail_at(at, libc::EMFILE, mode);
            if let Err(error) = open(&image, client.options.clone()) {
                assert_eq!(error.code(), Code::Io, "call {at}, {mode:?}: {error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "only {refused} opens were refused");
}

#[test]
fn an_open_reads_heads_and_two_segments_whatever_the_backlog() {
    let segment = 1 << 20;
    let (small, few, largest) = cost(&backlog(segment, 4 << 20), segment);
    let (large, many, _) = cost(&backlog(segment, 64 << 20), segment);
    println!("an open reads {small} bytes beside {few} heads, and {large} beside {many}");
    assert!(many >= 8 * few, "{few} and {many} segments");
    // The state run has a row of each segment; what lies behind the cut may be read with the step before it.
    let bound = |segments: u64| 2 * largest + (256 << 10) + 128 * segments;
    assert!(small <= bound(few), "{small} bytes for two segments of {largest}");
    assert!(large <= bound(many), "{large} bytes for two segments of {largest}");
    assert!(large.abs_diff(small) <= 128 * many + (512 << 10), "{small} and {large} bytes");
}

#[test]
fn a_reader_keeps_nothing_of_the_backlog_in_memory() {
    let disk = backlog(256 << 10, 16 << 20);
    let store = open(&disk, small(64 << 10)).unwrap();
    let queue = store.find_queue("a").unwrap();
    let consumer = store.consumer("c", queue, &repliq::ConsumerOptions::default()).unwrap();
    let before = disk.bytes(Op::ReadAt);
    let got = consumer.receive(1, std::time::Duration::ZERO).unwrap();
    let read = disk.bytes(Op::ReadAt) - before;
    assert_eq!(got[0].sequence(), 1);
    println!("the first receive reads {read} bytes of 16 MiB");
    assert!(read <= 2 << 20, "{read} bytes");
}

#[test]
fn who_reads_the_same_segment_shares_its_index() {
    let disk = ModelDisk::new();
    // Larger than what a consumer reads ahead, which stays in it then.
    let store = open(&disk, small(4 << 20)).unwrap();
    let queue = store.queue("a").unwrap();
    for _ in 0..700 {
        store.put(queue, &[Message::new(&[7; 8 << 10])]).unwrap();
    }
    drop(store);
    let store = open(&disk, small(4 << 20)).unwrap();
    let (mut read, mut consumers) = (Vec::new(), Vec::new());
    for number in 0..5 {
        let options = repliq::ConsumerOptions::default();
        let consumer = store.consumer(&format!("reader {number}"), queue, &options).unwrap();
        let before = disk.calls(Op::ReadAt);
        assert_eq!(consumer.receive(1, std::time::Duration::ZERO).unwrap().len(), 1);
        read.push(disk.calls(Op::ReadAt) - before);
        consumers.push(consumer);
    }
    assert!(read[1..].iter().all(|more| *more + 2 <= read[0]), "{read:?}");
}

#[test]
fn a_small_power_commit_is_one_sync_and_writes_about_a_page() {
    let disk = ModelDisk::new();
    let store = open(&disk, StoreOptions { helper: false, ..StoreOptions::default() }).unwrap();
    let queue = store.queue("a").unwrap();
    store.put(queue, &[Message::new(b"the first writes the head, too")]).unwrap();
    let (pages, syncs, segments) = (disk.pages_synced(), disk.calls(Op::Sync), disk.names().len());
    let payload = [1; 100];
    for _ in 0..1_000 {
        store.put(queue, &[Message::new(&payload)]).unwrap();
    }
    let written = (disk.pages_synced() - pages) * 4096 / 1_000;
    let synced = disk.calls(Op::Sync) - syncs;
    let grown = disk.names().len() - segments;
    println!("a commit of 100 bytes writes {written} bytes; {synced} syncs, {grown} files more");
    assert!(written <= 4_813, "{written} bytes a commit");
    // A roll syncs what it seals, the run of the roll before, and what it prepares.
    assert!(synced <= 1_000 + 5 * grown as u64, "{synced} syncs");
}

#[test]
fn commits_of_one_segment_are_one_sync_each() {
    let disk = ModelDisk::new();
    let store = open(&disk, StoreOptions { helper: false, ..StoreOptions::default() }).unwrap();
    let queue = store.queue("a").unwrap();
    store.put(queue, &[Message::new(b"first")]).unwrap();
    for level in [Level::Power, Level::Process] {
        let before = disk.calls(Op::Sync);
        for _ in 0..100 {
            store.put_at(queue, &[Message::new(&[2; 100])], level).unwrap();
        }
        let syncs = disk.calls(Op::Sync) - before;
        let expected = if level == Level::Power { 100 } else { 1 };
        assert_eq!(
            syncs, expected,
            "{level:?}: the first of a life that hands out early is synced"
        );
    }
}

#[test]
fn a_second_opener_may_look_and_not_write() {
    let mut client = Client::new(ModelDisk::new(), small(4096));
    assert!(client.open());
    assert!(client.put("a", &[300; 8], Level::Power));
    assert!(client.put("a", &[300], Level::Process));
    let error = open(&client.disk, client.options.clone()).err().unwrap();
    assert_eq!(error.code(), Code::Locked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    let options = StoreOptions { read_only: true, ..client.options.clone() };
    let looking = open(&client.disk, options).unwrap();
    let queue = looking.find_queue("a").unwrap();
    let seen = looking.snapshot().unwrap().browse(queue, 1, 100).unwrap();
    assert_eq!(seen.len(), 8, "what is not durable is not shown");
    assert_eq!(looking.queues().unwrap()[0].next_sequence, 9);
    let refused = looking.put(queue, &[Message::new(b"no")]).unwrap_err();
    assert_eq!(refused.code(), Code::ReadOnly);
    assert!(looking.damage().is_none());
    drop(looking);
    assert!(client.put("a", &[1], Level::Power), "the writer is undisturbed");
    assert!(client.close());
    assert!(client.open(), "a close gives the directory free");
}

#[test]
fn a_look_at_a_store_that_was_cut_off_shows_what_is_known_to_be_durable() {
    let mut client = Client::new(ModelDisk::new(), small(4096));
    assert!(client.open());
    assert!(client.put("a", &[100; 2], Level::Power));
    assert!(client.put("a", &[100; 2], Level::Process));
    let disk = client.disk.kill();
    let before = disk.snapshot();
    let looking = open(&disk, StoreOptions { read_only: true, ..client.options.clone() }).unwrap();
    let queue = looking.find_queue("a").unwrap();
    assert_eq!(looking.snapshot().unwrap().browse(queue, 1, 100).unwrap().len(), 2);
    drop(looking);
    assert_eq!(disk.snapshot(), before, "who looks changes nothing");
    let store = open(&disk, client.options.clone()).unwrap();
    assert_eq!(store.queues().unwrap()[0].next_sequence, 5, "a kill takes nothing of it");
}

/// A writer that puts and acknowledges, so that segments are recycled all the time, until it is told to stop.
fn busy(store: &Store, stop: &std::sync::atomic::AtomicBool) -> usize {
    let queue = store.queue("a").unwrap();
    let consumer = store.consumer("c", queue, &repliq::ConsumerOptions::default()).unwrap();
    let mut recycled = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        store.put(queue, &[Message::new(&[7; 700]), Message::new(&[8; 700])]).unwrap();
        let got = consumer.receive(100, std::time::Duration::ZERO).unwrap();
        let sequences: Vec<u64> = got.iter().map(repliq::Received::sequence).collect();
        consumer.ack(&sequences).unwrap();
        recycled += store.reclaim().unwrap();
    }
    recycled
}

/// Ends the writer also when a check fails.
struct Stop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn who_looks_beside_a_busy_writer_is_never_told_of_damage() {
    let disk = ModelDisk::new();
    let store = open(&disk, small(8192)).unwrap();
    let kept = store.queue("kept").unwrap();
    store.put(kept, &[Message::new(b"stays")]).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut looks, mut shown) = (0, 0);
    let recycled = std::thread::scope(|scope| {
        let writer = scope.spawn(|| busy(&store, &stop));
        let _stopped = Stop(&stop);
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_millis(1_500) {
            let looking = open(&disk, StoreOptions { read_only: true, ..small(8192) }).unwrap();
            assert_eq!(looking.damage(), None, "look {looks}");
            let snapshot = looking.snapshot().unwrap();
            // By then much of what it knows of may have been given back.
            std::thread::sleep(std::time::Duration::from_millis(looks % 3));
            for info in looking.queues().unwrap() {
                shown += snapshot.browse(info.queue, 1, 1_000).unwrap().len();
            }
            looks += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap()
    });
    println!("{looks} looks showed {shown} messages while {recycled} segments were recycled");
    assert!(looks > 20 && recycled > 20 && shown >= looks as usize, "{looks} {recycled} {shown}");
}

#[test]
fn a_check_beside_a_busy_writer_finds_planted_damage_and_nothing_else() {
    let disk = ModelDisk::new();
    let store = open(&disk, small(8192)).unwrap();
    let kept = store.queue("kept").unwrap();
    for _ in 0..20 {
        store.put(kept, &[Message::new(&[3; 900])]).unwrap();
    }
    let first = "0000000000000001.seg";
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut checks, mut bytes) = (0, 0);
    let recycled = std::thread::scope(|scope| {
        let writer = scope.spawn(|| busy(&store, &stop));
        let _stopped = Stop(&stop);
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_millis(1_000) {
            bytes += store.verify(&mut |_| Ok(())).unwrap().0;
            let looking = open(&disk, StoreOptions { read_only: true, ..small(8192) }).unwrap();
            bytes += looking.verify(&mut |_| Ok(())).unwrap().0;
            checks += 2;
        }
        let sound = disk.bytes_of(first).unwrap();
        for at in [1536 + 44, 1536 + 900, 4000] {
            let mut damaged = sound.clone();
            damaged[at] ^= 2;
            disk.put_file(first, &damaged);
            let error = store.verify(&mut |_| Ok(())).unwrap_err();
            assert_eq!(error.code(), Code::Corrupt, "byte {at}: {error}");
            assert!(error.range().is_some_and(|range| range.0 < 8192), "{error}");
        }
        disk.put_file(first, &sound);
        store.verify(&mut |_| Ok(())).unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap()
    });
    println!("{checks} checks of {bytes} bytes while {recycled} segments were recycled");
    assert!(checks > 20 && recycled > 20, "{checks} {recycled}");
}

#[test]
fn what_is_no_store_is_told_and_left_alone() {
    let disk = ModelDisk::new();
    disk.put_file("letter.txt", b"dear");
    disk.put_file("lock", b"of another program");
    let before = disk.snapshot();
    assert_eq!(code(&disk, small(4096)), Code::NotAStore);
    assert_eq!(disk.snapshot(), before);
    assert_eq!(
        code(&ModelDisk::new(), StoreOptions { create: false, ..small(4096) }),
        Code::NotAStore
    );
    assert_eq!(
        code(&ModelDisk::new(), StoreOptions { read_only: true, ..small(4096) }),
        Code::NotAStore
    );
    let interrupted = ModelDisk::new();
    interrupted.put_file("lock", &[]);
    interrupted.put_file("0000000000000000.tmp", &[0; 100]);
    interrupted.put_file("0000000000000000.new", &[0; 4096]);
    assert!(observe(&open(&interrupted, small(4096)).unwrap()).is_ok());
    assert_eq!(code(&ModelDisk::new(), small(1000)), Code::Invalid);
}

/// Puts a newer version into the slots of a segment, sums included.
fn newer(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in [0, 512, 1024] {
        bytes[at + 8] = 2;
        let sum = crc32fast::hash(&bytes[at..at + 160]);
        bytes[at + 160..at + 164].copy_from_slice(&sum.to_le_bytes());
    }
    bytes
}

#[test]
fn a_newer_format_a_cut_file_and_a_lost_segment_have_their_codes() {
    let mut client = Client::new(ModelDisk::new(), small(4096));
    assert!(client.open());
    for _ in 0..4 {
        assert!(client.put("a", &[900], Level::Power));
    }
    assert!(client.close());
    let name = "0000000000000001.seg";
    let bytes = client.disk.bytes_of(name).unwrap();
    client.disk.put_file(name, &newer(&bytes));
    assert_eq!(code(&client.disk, client.options.clone()), Code::Version);
    client.disk.put_file(name, &bytes[..bytes.len() - 1]);
    let error = open(&client.disk, client.options.clone()).err().unwrap();
    assert_eq!(error.code(), Code::Corrupt);
    assert!(error.range().is_some());
    client.disk.remove_file(name);
    assert_eq!(code(&client.disk, client.options.clone()), Code::Corrupt);
    client.disk.put_file(name, &bytes);
    assert!(client.open());
}

#[test]
fn threads_that_commit_at_once_share_syncs_and_none_is_forgotten() {
    let disk = ModelDisk::new();
    let store = open(&disk, StoreOptions::default()).unwrap();
    let (threads, each) = (8, 300);
    std::thread::scope(|scope| {
        for number in 0..threads {
            let store = &store;
            scope.spawn(move || {
                let queue = store.queue(&format!("q{}", number % 3)).unwrap();
                for n in 0..each {
                    let level = if n % 5 == 0 { Level::Process } else { Level::Power };
                    store.put_at(queue, &[Message::new(&[3; 100])], level).unwrap();
                }
            });
        }
    });
    store.close().unwrap();
    let store = open(&disk.power_cut(repliq::disk::model::Cut::Nothing), small(4096)).unwrap();
    let all: u64 = store.queues().unwrap().iter().map(|queue| queue.next_sequence - 1).sum();
    assert_eq!(all, threads * each);
}

/// Bytes and calls this thread has read with.
fn reads() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let word = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some((word("rchar:")?, word("syscr:")?))
}

/// Bytes that are free where this directory is.
fn free_bytes(directory: &std::path::Path) -> u64 {
    let told = std::process::Command::new("df").arg("-Pk").arg(directory).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let column = told.lines().nth(1).and_then(|line| line.split_whitespace().nth(3));
    column.and_then(|word| word.parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

/// Bytes and calls of an open behind so many messages of 1 MiB in real files.
fn real_cost(directory: &std::path::Path, messages: u64) -> (u64, u64) {
    let options = StoreOptions { password: crate::password(), ..StoreOptions::default() };
    let path = directory.join(format!("{messages}"));
    let store = Store::open(&path, &options).unwrap();
    let queue = store.queue("a").unwrap();
    let port = repliq::Port::open().unwrap();
    let payload = vec![7; 1 << 20];
    let (mut started, mut done) = (0, 0);
    while done < messages {
        while started < messages && started - done < 16 {
            store.put_start(queue, &[Message::new(&payload)], &port, started).unwrap();
            started += 1;
        }
        for event in port.drain(100, std::time::Duration::from_secs(10)).unwrap() {
            event.outcome.unwrap();
            done += 1;
        }
    }
    store.close().unwrap();
    drop(store);
    let before = reads().unwrap();
    let store = Store::open(&path, &StoreOptions { helper: false, ..options }).unwrap();
    let after = reads().unwrap();
    assert_eq!(store.queues().unwrap()[0].next_sequence, messages + 1);
    drop(store);
    std::fs::remove_dir_all(&path).unwrap();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn an_open_behind_a_gibibyte_reads_no_more_than_two_segments() {
    let directory = tempfile::tempdir().unwrap();
    let free = free_bytes(directory.path());
    if crate::SAMPLE > 1 {
        return;
    }
    if reads().is_none() || free < 3 << 30 {
        println!("SKIPPED an open behind 1 GiB: {free} bytes are free, 3 GiB and /proc are needed");
        return;
    }
    let segment = StoreOptions::default().segment_bytes_max;
    for (what, messages) in [("10 MiB", 10), ("1 GiB", 1024)] {
        let (bytes, calls) = real_cost(directory.path(), messages);
        println!("behind {what} an open reads {bytes} bytes in {calls} calls");
        // A message over the end of a step is read again, and the room behind the last one is looked through.
        assert!(bytes <= 2 * segment + (4 << 20), "{what}: {bytes} bytes");
        // Heads of segments and of runs, and the two segments in steps of at least 64 KiB.
        assert!(calls <= 2 * segment / (64 << 10) + 200, "{what}: {calls} calls");
    }
}

#[test]
fn a_second_open_by_another_name_of_the_directory_never_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (real, way) = (folder.path().join("real"), folder.path().join("way"));
    std::fs::create_dir(&real).unwrap();
    let path = real.join("store");
    let store = Store::open(&path, &StoreOptions::default()).unwrap();
    let queue = store.queue("a").unwrap();
    std::os::unix::fs::symlink(&real, &way).unwrap();
    std::os::unix::fs::symlink(&path, folder.path().join("direct")).unwrap();
    let open = |path: &std::path::Path| Store::open(path, &StoreOptions::default());
    for other in [way.join("store"), real.join("./store"), real.join("../way/../real/store")] {
        let error = open(&other).err().unwrap();
        assert_eq!(error.code(), Code::Locked, "{}: {error}", other.display());
    }
    let error = open(&folder.path().join("direct")).err().unwrap();
    assert_eq!(error.code(), Code::Locked, "{error}");
    store.put(queue, &[Message::new(b"of the one writer")]).unwrap();
    drop(store);
    open(&way.join("store")).unwrap().find_queue("a").unwrap();
}
