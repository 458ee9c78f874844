//! Backups of a store that goes on, restores, and stops of both at every operation.

use crate::oracle::{Bytes, Client, Observed, observe, small};
use crate::work::{self, Act};
use crate::world::{Clock, Node, Plan, ROOT, ship};
use repliq::disk::model::{Cut, ModelDisk};
use repliq::replicate::received;
use repliq::{BackupInfo, Code, Level, Message, Result, Store, StoreOptions, Token};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A store with queues, consumers, purges and several segments.
fn client() -> Client {
    let mut client = Client::new(ModelDisk::new(), small(crate::SEGMENT));
    assert!(client.open());
    for round in 0..6 {
        grow(&mut client, round);
    }
    client
}

fn grow(client: &mut Client, round: usize) {
    let acts = [
        Act::Put("a", vec![300, 200], Level::Power),
        Act::Put("b", vec![100 + round], Level::Process),
        Act::Consume("a", "reader", 2, 1),
        Act::Put("keep", vec![400], Level::Power),
    ];
    for act in &acts {
        assert!(work::act(client, act), "{act:?}");
    }
}

fn store(client: &Client) -> &Store {
    client.store.as_ref().unwrap()
}

fn restore(backup: &ModelDisk, disk: &ModelDisk, options: &StoreOptions) -> Result<BackupInfo> {
    // Another machine draws other numbers.
    Store::restore_on(backup, Arc::new(disk.clone()), options)
}

/// What a store that is made of the backup shows.
fn shown(backup: &ModelDisk, options: &StoreOptions) -> Observed {
    let disk = ModelDisk::with_seed(4711);
    restore(backup, &disk, options).unwrap();
    let store = Store::open_on(Arc::new(disk), options).unwrap();
    assert!(!store.is_copied());
    observe(&store).unwrap()
}

#[test]
fn a_restored_store_is_what_it_was_and_takes_puts() {
    let client = client();
    let backup = ModelDisk::with_seed(5);
    let info = store(&client).backup_on(&backup).unwrap();
    assert!(info.files >= 3 && info.files_copied == info.files, "{info:?}");
    let disk = ModelDisk::with_seed(6);
    assert_eq!(restore(&backup, &disk, &client.options).unwrap().sequence, info.sequence);
    let restored = Store::open_on(Arc::new(disk.clone()), &client.options).unwrap();
    assert!(observe(&restored).unwrap().fits(client.now()));
    let queue = restored.queue("a").unwrap();
    restored.put(queue, &[Message::new(b"after")]).unwrap();
    drop(restored);
    let again = Store::open_on(Arc::new(disk.power_cut(Cut::Nothing)), &client.options).unwrap();
    let before = client.now().queues["a"].next;
    assert_eq!(again.queues().unwrap()[0].next_sequence, before + 1);
}

#[test]
fn a_second_backup_copies_only_what_is_new() {
    let mut client = client();
    let backup = ModelDisk::with_seed(5);
    let first = store(&client).backup_on(&backup).unwrap();
    let idle = store(&client).backup_on(&backup).unwrap();
    grow(&mut client, 7);
    let second = store(&client).backup_on(&backup).unwrap();
    println!("{first:?}\n{idle:?}\n{second:?}");
    // The tail and the state runs are copied each time.
    assert!(idle.files_copied <= 3 && idle.bytes_copied < first.bytes / 2, "{idle:?}");
    assert!(second.files_copied < second.files && second.sequence > first.sequence);
    assert!(shown(&backup, &client.options).fits(client.now()));
    let copies = backup.names().iter().filter(|name| name.ends_with(".copy")).count() as u64;
    assert_eq!(copies, second.files, "what nobody names is gone");
}

#[test]
fn a_backup_that_stops_anywhere_leaves_the_one_before() {
    let mut client = client();
    let ready = ModelDisk::with_seed(5);
    store(&client).backup_on(&ready).unwrap();
    let before = client.now().clone();
    grow(&mut client, 8);
    let after = client.now().clone();
    assert!(!shown(&ready, &client.options).fits(&after));
    let (mut stops, mut kept) = (0, 0);
    for at in (1..).step_by(crate::SAMPLE) {
        let backup = ready.clone_image();
        if at % 2 == 0 {
            backup.stop_in(at)
        } else {
            backup.stop_at(at)
        }
        let outcome = store(&client).backup_on(&backup);
        if !backup.is_stopped() {
            outcome.unwrap();
            break;
        }
        for cut in [None, Some(Cut::Nothing), Some(Cut::All), Some(Cut::Random(at))] {
            let left = cut.map_or_else(|| backup.kill(), |cut| backup.power_cut(cut));
            let seen = shown(&left, &client.options);
            assert!(seen.fits(&before) || seen.fits(&after), "stop at {at}");
            assert!(outcome.is_err() || seen.fits(&after), "stop at {at}: it was told to be done");
            kept += usize::from(seen.fits(&before));
            // The next one finds its way.
            store(&client).backup_on(&left).unwrap();
            assert!(shown(&left, &client.options).fits(&after), "stop at {at}");
            stops += 1;
        }
    }
    println!("{stops} stops of a backup, {kept} of which kept the one before");
    assert!(stops >= 80 / crate::SAMPLE && kept > 0, "{stops} stops");
}

#[test]
fn a_restore_that_stops_anywhere_leaves_no_store_or_the_whole() {
    let client = client();
    let backup = ModelDisk::with_seed(5);
    store(&client).backup_on(&backup).unwrap();
    let (mut stops, mut whole) = (0, 0);
    for at in (1..).step_by(crate::SAMPLE) {
        let disk = ModelDisk::with_seed(6);
        if at % 2 == 0 {
            disk.stop_in(at)
        } else {
            disk.stop_at(at)
        }
        let outcome = restore(&backup, &disk, &client.options);
        if !disk.is_stopped() {
            outcome.unwrap();
            break;
        }
        for cut in [None, Some(Cut::Nothing), Some(Cut::All), Some(Cut::Random(at))] {
            let left = cut.map_or_else(|| disk.kill(), |cut| disk.power_cut(cut));
            let options = StoreOptions { create: false, ..client.options.clone() };
            match Store::open_on(Arc::new(left.clone()), &options) {
                Ok(store) => {
                    assert!(observe(&store).unwrap().fits(client.now()), "stop at {at}");
                    whole += 1;
                }
                Err(error) => {
                    assert_eq!(error.code(), Code::NotAStore, "stop at {at}: {error}");
                    restore(&backup, &left, &client.options).unwrap();
                    let store = Store::open_on(Arc::new(left), &options).unwrap();
                    assert!(observe(&store).unwrap().fits(client.now()), "stop at {at}");
                }
            }
            stops += 1;
        }
    }
    println!("{stops} stops of a restore, {whole} of which left the whole store");
    assert!(stops >= 150 / crate::SAMPLE, "{stops} stops");
}

#[test]
fn tokens_of_what_a_restore_lost_are_not_found() {
    let mut client = client();
    let backup = ModelDisk::with_seed(5);
    let queue = store(&client).queue("a").unwrap();
    let kept = store(&client).put(queue, &[Message::new(b"kept")]).unwrap().token;
    store(&client).backup_on(&backup).unwrap();
    let lost = store(&client).put(queue, &[Message::new(b"lost")]).unwrap().token;
    // The store that is lost had begun another epoch since.
    let early = store(&client).put_at(queue, &[Message::new(b"early")], Level::Process);
    early.unwrap();
    let killed = client.disk.kill();
    client.store = None;
    let store = Store::open_on(Arc::new(killed), &client.options).unwrap();
    let later = store.put(queue, &[Message::new(b"later")]).unwrap().token;
    assert!(later.position().epoch > lost.position().epoch);
    drop(store);
    let disk = ModelDisk::with_seed(6);
    restore(&backup, &disk, &client.options).unwrap();
    let restored = Store::open_on(Arc::new(disk), &client.options).unwrap();
    let wait = |token: Token| restored.wait("", &[token], Duration::ZERO).map_err(|e| e.code());
    assert_eq!(wait(kept), Ok(()));
    assert_eq!((wait(lost), wait(later)), (Err(Code::NotFound), Err(Code::NotFound)));
    for _ in 0..5 {
        restored.put(queue, &[Message::new(b"new")]).unwrap();
    }
    assert_eq!((wait(lost), wait(later)), (Err(Code::NotFound), Err(Code::NotFound)));
}

#[test]
fn a_target_that_is_ahead_of_a_restored_store_records_the_orphans_and_goes_on() {
    for crashed in [false, true] {
        let (mut from, to, mut clock) = (Node::new(21), Node::new(22), Clock::new());
        let plan = Plan::new(ROOT, "target", ROOT);
        let put = |node: &Node, from: usize, to: usize| {
            (from..=to).for_each(|n| {
                node.put_one(&format!("message {n}"));
            });
        };
        put(&from, 1, 5);
        assert!(ship(&from, &to, &plan, &mut clock).is_none());
        let backup = ModelDisk::with_seed(5);
        from.up().backup_on(&backup).unwrap();
        put(&from, 6, 8);
        if crashed {
            // An epoch begins that the backup knows nothing of.
            let queue = from.queue(ROOT);
            let early = from.up().put_at(queue, &[Message::new(b"message 9")], Level::Process);
            early.unwrap();
            from.kill();
            from.start().unwrap();
            put(&from, 10, 12);
        }
        assert!(ship(&from, &to, &plan, &mut clock).is_none());
        let ahead = to.payloads(ROOT).len();
        from.stop();
        from.disk = ModelDisk::with_seed(23);
        from.disk.set_identity(Some(777));
        restore(&backup, &from.disk, &from.options).unwrap();
        from.start().unwrap();
        put(&from, 100, 102);
        let error = ship(&from, &to, &plan, &mut clock);
        assert!(error.is_none(), "crashed {crashed}: {error:?}");
        let last = to.payloads(ROOT).split_off(ahead);
        assert_eq!(last, ["message 100", "message 101", "message 102"], "crashed {crashed}");
        assert!(received(to.up())[0].2[0] >= 3, "{:?}", received(to.up()));
    }
}

#[test]
fn a_damaged_backup_is_told_and_never_restored() {
    let client = client();
    let backup = ModelDisk::with_seed(5);
    store(&client).backup_on(&backup).unwrap();
    let mut cases = 0;
    for (name, bytes) in backup.snapshot().iter().filter(|(name, _)| *name != "lock") {
        let mut damaged = bytes.clone();
        for at in (0..bytes.len()).step_by(97 * crate::SAMPLE) {
            damaged[at] ^= 1 << (at % 8);
            backup.put_file(name, &damaged);
            let error = restore(&backup, &ModelDisk::with_seed(6), &client.options).unwrap_err();
            assert!(matches!(error.code(), Code::Corrupt | Code::Version), "{name} {at}: {error}");
            damaged[at] ^= 1 << (at % 8);
            cases += 1;
        }
        backup.put_file(name, &bytes[..bytes.len() - 1]);
        let error = restore(&backup, &ModelDisk::with_seed(6), &client.options).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{name} cut: {error}");
        backup.put_file(name, bytes);
    }
    assert!(cases >= 100 / crate::SAMPLE, "{cases} cases");
    assert!(shown(&backup, &client.options).fits(client.now()));
}

#[test]
fn a_manifest_leads_to_no_file_outside() {
    let client = client();
    let backup = ModelDisk::with_seed(5);
    store(&client).backup_on(&backup).unwrap();
    let manifest = String::from_utf8(backup.bytes_of("backup").unwrap()).unwrap();
    let (_, json) = manifest.split_once('\n').unwrap();
    let parsed: serde_json::Value = serde_json::from_str(json).unwrap();
    for (field, name) in [
        ("name", "../authorized_keys"),
        ("name", "/etc/passwd"),
        ("name", "a/b"),
        ("name", ".."),
        ("name", ""),
        ("name", "lock"),
        ("name", "restoring"),
        ("name", "back\\slash"),
        ("copy", "../../secret.copy"),
        ("copy", "/etc/shadow"),
        ("copy", "nul\0.copy"),
    ] {
        let mut forged = parsed.clone();
        forged["files"][0][field] = name.into();
        let json = serde_json::to_string_pretty(&forged).unwrap();
        let sum = crc32fast::hash(json.as_bytes());
        backup.put_file("backup", format!("repliq backup 1 {sum:08x}\n{json}").as_bytes());
        let disk = ModelDisk::with_seed(6);
        let error = restore(&backup, &disk, &client.options).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{field} {name:?}: {error}");
        assert!(error.to_string().contains("which no backup does"), "{field} {name:?}: {error}");
        assert!(disk.names().is_empty(), "{field} {name:?}: {:?}", disk.names());
        // Nor does the next backup take it for one to go on from.
        assert_eq!(store(&client).backup_on(&backup).unwrap_err().code(), Code::Corrupt);
    }
}

#[test]
fn damage_is_not_backed_up() {
    let client = client();
    let backup = ModelDisk::with_seed(5);
    let names = client.disk.names();
    let first = names.iter().filter(|name| name.ends_with(".seg")).min().unwrap();
    let bytes = client.disk.bytes_of(first).unwrap();
    let mut damaged = bytes.clone();
    damaged[1536 + 60] ^= 1;
    client.disk.put_file(first, &damaged);
    let error = store(&client).backup_on(&backup).unwrap_err();
    assert_eq!(error.code(), Code::Corrupt, "{error}");
    assert_eq!(
        restore(&backup, &ModelDisk::new(), &client.options).unwrap_err().code(),
        Code::NotAStore
    );
    client.disk.put_file(first, &bytes);
    store(&client).backup_on(&backup).unwrap();
}

#[test]
fn what_is_no_place_for_a_backup_is_left_alone() {
    let client = client();
    let other = ModelDisk::with_seed(9);
    other.put_file("letter.txt", b"dear");
    assert_eq!(store(&client).backup_on(&other).unwrap_err().code(), Code::NotAStore);
    assert_eq!(store(&client).backup_on(&client.disk).unwrap_err().code(), Code::NotAStore);
    let backup = ModelDisk::with_seed(5);
    store(&client).backup_on(&backup).unwrap();
    let mut stranger = Client::new(ModelDisk::with_seed(10), small(crate::SEGMENT));
    assert!(stranger.open());
    assert_eq!(store(&stranger).backup_on(&backup).unwrap_err().code(), Code::Exists);
    let error = Store::open_on(Arc::new(backup.clone()), &client.options).err().unwrap();
    assert_eq!(error.code(), Code::NotAStore);
    assert!(error.to_string().contains("restore it"), "{error}");
    let full = restore(&backup, &client.disk, &client.options).unwrap_err();
    assert_eq!(full.code(), Code::Exists);
    assert_eq!(restore(&client.disk, &other, &client.options).unwrap_err().code(), Code::NotAStore);
}

/// Ends the writer also when a check fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Backs up beside a writer that puts, acknowledges and recycles; `looking`: from a store that only looks.
fn beside_a_writer(looking: bool) {
    let disk = ModelDisk::new();
    let options = StoreOptions { segment_bytes: 8192, segment_bytes_max: 8192, ..small(8192) };
    let store = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
    let (kept, passing) = (store.queue("kept").unwrap(), store.queue("passing").unwrap());
    let consumer = store.consumer("c", passing, &repliq::ConsumerOptions::default()).unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let backup = ModelDisk::with_seed(5);
    let (mut backups, mut reused) = (0, 0);
    std::thread::scope(|scope| {
        let (store, stop, done) = (&store, &stop, &done);
        scope.spawn(move || {
            for n in 1_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                store.put(kept, &[Message::new(n.to_string().as_bytes())]).unwrap();
                done.store(n, Ordering::SeqCst);
                store.put(passing, &[Message::new(&[7; 700])]).unwrap();
                for message in consumer.receive(10, Duration::ZERO).unwrap() {
                    consumer.ack(&[message.sequence()]).unwrap();
                }
                store.reclaim().unwrap();
                // It must not fill the memory before the backups are done.
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let _stopped = Stop(stop);
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(20));
            let before = done.load(Ordering::SeqCst);
            let info = if looking {
                let options = StoreOptions { read_only: true, ..options.clone() };
                let looking = Store::open_on(Arc::new(disk.clone()), &options).unwrap();
                looking.backup_on(&backup).unwrap()
            } else {
                store.backup_on(&backup).unwrap()
            };
            let seen = shown(&backup, &options);
            let all: Vec<u64> = seen.model().queues["kept"].messages.values().map(number).collect();
            assert!(all.len() as u64 >= before, "{} of {before}", all.len());
            assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
            backups += 1;
            reused += info.files - info.files_copied;
        }
    });
    println!("looking {looking}: {backups} backups, {reused} copies were there already");
    assert!(reused > 0, "no copy was used again");
}

fn number(bytes: &Bytes) -> u64 {
    String::from_utf8(bytes.to_vec()).unwrap().parse().unwrap()
}

#[test]
fn a_backup_beside_a_writer_has_everything_that_was_confirmed() {
    beside_a_writer(false);
}

#[test]
fn a_backup_by_another_process_has_everything_that_was_confirmed() {
    beside_a_writer(true);
}
