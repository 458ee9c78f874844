//! Passwords, the file `key`, and `passwd` under crashes and damage.

use crate::bytes::{sum_slot, u32_at, u64_at};
use crate::{fill, open, other, password, payloads, small, text};
use repliq::disk::model::{Cut, Mode, ModelDisk};
use repliq::{Code, Cost, Error, Message, Password, Store};
use std::sync::Arc;

fn refused(outcome: repliq::Result<Store>) -> Error {
    outcome.err().expect("the store must not open")
}

/// A closed store of a few messages.
fn ready(messages: usize) -> ModelDisk {
    let disk = ModelDisk::new();
    let store = open(&disk, password()).unwrap();
    fill(&store, messages);
    store.close().unwrap();
    disk
}

fn check_messages(store: &Store, messages: usize) {
    let queue = store.find_queue("orders").unwrap();
    let wanted: Vec<Vec<u8>> = (0..messages).map(|n| text(n).into_bytes()).collect();
    assert_eq!(payloads(store, queue).unwrap(), wanted);
}

#[test]
fn a_store_with_a_password_opens_with_it_again_and_holds_what_was_put() {
    let disk = ready(40);
    assert!(disk.names().iter().filter(|name| name.ends_with(".seg")).count() > 3);
    assert!(disk.names().iter().any(|name| name.ends_with(".run")));
    let store = open(&disk, password()).unwrap();
    assert!(store.is_encrypted());
    check_messages(&store, 40);
    // The same from frames that were never written to a state run, after a kill.
    let queue = store.find_queue("orders").unwrap();
    store.put(queue, &[Message::new(text(40).as_bytes())]).unwrap();
    check_messages(&open(&disk.kill(), password()).unwrap(), 41);
}

#[test]
fn wrong_missing_and_needless_passwords_are_refused_and_change_nothing() {
    let disk = ready(3);
    let before = disk.snapshot();
    let wrong = refused(open(&disk, Some(other("the wrong one"))));
    let near = refused(open(&disk, Some(other("the right onf"))));
    let missing = refused(open(&disk, None));
    for error in [&wrong, &near, &missing] {
        assert_eq!(error.code(), Code::BadPassword, "{error}");
    }
    assert_eq!(wrong.to_string(), near.to_string(), "one text for every wrong password");
    assert!(!wrong.to_string().contains("wrong one"));
    let reading = repliq::StoreOptions { read_only: true, ..small(Some(other("the wrong one"))) };
    let looking = refused(Store::open_on(Arc::new(disk.clone()), &reading));
    assert_eq!(looking.code(), Code::BadPassword);
    let empty = refused(open(&disk, Some(Password::from(""))));
    assert_eq!(empty.code(), Code::Invalid);
    assert_eq!(disk.snapshot(), before);
    check_messages(&open(&disk, password()).unwrap(), 3);

    let plain = ModelDisk::new();
    let store = open(&plain, None).unwrap();
    fill(&store, 1);
    let error = store.change_password(&other("first")).unwrap_err();
    assert_eq!(error.code(), Code::Invalid, "{error}");
    store.close().unwrap();
    let needless = refused(open(&plain, password()));
    assert_eq!(needless.code(), Code::BadPassword, "{needless}");
    assert!(needless.to_string().contains("not encrypted"), "{needless}");
    check_messages(&open(&plain, None).unwrap(), 1);
}

#[test]
fn who_only_looks_needs_the_password_and_reads_with_it() {
    let disk = ready(30);
    let writer = open(&disk, password()).unwrap();
    let reading = repliq::StoreOptions { read_only: true, ..small(password()) };
    let looker = Store::open_on(Arc::new(disk.clone()), &reading).unwrap();
    check_messages(&looker, 30);
    assert_eq!(looker.change_password(&other("x")).unwrap_err().code(), Code::ReadOnly);
    drop(looker);
    writer.close().unwrap();
}

#[test]
fn passwd_rewrites_the_key_alone_and_the_old_password_is_worth_nothing() {
    let disk = ready(20);
    let store = open(&disk, password()).unwrap();
    let before = disk.snapshot();
    store.change_password(&other("new")).unwrap();
    let after = disk.snapshot();
    let changed: Vec<_> = after.iter().filter(|(name, bytes)| before[*name] != **bytes).collect();
    assert_eq!(changed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["key"]);
    let (old, new) = (&before["key"], &after["key"]);
    let salts = [&new[52..68], &new[512 + 52..512 + 68]];
    assert_eq!(salts[0], salts[1], "both slots hold the new password");
    assert_ne!(salts[0], &old[52..68]);
    assert_ne!(new[68..80], new[512 + 68..512 + 80], "each slot has a nonce of its own");
    assert_eq!(store.change_password(&Password::from("")).unwrap_err().code(), Code::Invalid);
    let weak = Password::from("weak").at_cost(Cost { passes: 1, ..Cost::LEAST });
    assert_eq!(store.change_password(&weak).unwrap_err().code(), Code::Invalid);
    let queue = store.find_queue("orders").unwrap();
    store.put(queue, &[Message::new(text(20).as_bytes())]).unwrap();
    store.close().unwrap();
    assert_eq!(refused(open(&disk, password())).code(), Code::BadPassword);
    check_messages(&open(&disk, Some(other("new"))).unwrap(), 21);
}

/// Opens the store with whichever of the passwords fits, and says whether it is the new one.
fn fits(disk: &ModelDisk, old: &Password, new: &Password) -> bool {
    let (with_old, with_new) = (
        open(&disk.clone_image(), Some(old.clone())),
        open(&disk.clone_image(), Some(new.clone())),
    );
    match (with_old, with_new) {
        (Ok(store), Err(error)) | (Err(error), Ok(store)) => {
            assert_eq!(error.code(), Code::BadPassword, "{error}");
            check_messages(&store, 2);
            store.change_password(&other("third")).unwrap();
        }
        (Ok(_), Ok(_)) => panic!("two passwords open the store"),
        (Err(old), Err(new)) => panic!("no password opens the store: {old}; {new}"),
    }
    open(&disk.clone_image(), Some(new.clone())).is_ok()
}

#[test]
fn passwd_that_stops_at_any_operation_leaves_the_old_password_or_the_new_one() {
    let image = ready(2);
    let (old, new) = (password().unwrap(), other("new"));
    let (mut cases, mut news, mut olds) = (0, 0, 0);
    let change = |plan: &dyn Fn(&ModelDisk, u64)| {
        let disk = image.clone_image();
        let store = open(&disk, Some(old.clone())).unwrap();
        plan(&disk, disk.ops());
        let done = store.change_password(&new);
        (disk, done)
    };
    let whole = change(&|_, _| ());
    whole.1.unwrap();
    let operations = {
        let disk = image.clone_image();
        let store = open(&disk, Some(old.clone())).unwrap();
        let before = disk.ops();
        store.change_password(&new).unwrap();
        disk.ops() - before
    };
    assert!(operations >= 8, "three writes, three syncs, and the reading: {operations}");
    for step in 1..=operations + 1 {
        for inside in [false, true] {
            let (disk, done) = change(&|disk, base| match inside {
                false => disk.stop_at(base + step),
                true => disk.stop_in(base + step),
            });
            let cuts = (0..6).map(Cut::Random).chain([Cut::Nothing, Cut::All]);
            let images = cuts.map(|cut| disk.power_cut(cut)).chain([disk.kill()]);
            for image in images.collect::<Vec<_>>() {
                let is_new = fits(&image, &old, &new);
                assert!(
                    is_new || done.is_err(),
                    "stopped at {step}: a change that returned is lost"
                );
                cases += 1;
                *(if is_new { &mut news } else { &mut olds }) += 1;
            }
        }
    }
    println!("{cases} stops of passwd, the new password opened {news} times");
    assert!(news > 20 && olds > 20, "{news} {olds}");
}

#[test]
fn a_stopped_passwd_is_finished_by_the_next_open() {
    let image = ready(2);
    let mut mended = 0;
    for step in 1..12 {
        let disk = image.clone_image();
        let store = open(&disk, password()).unwrap();
        disk.stop_in(disk.ops() + step);
        let _ = store.change_password(&other("new"));
        drop(store);
        let disk = disk.kill();
        let salts = |disk: &ModelDisk| {
            let key = disk.bytes_of("key").unwrap();
            (key[52..68].to_vec(), key[512 + 52..512 + 68].to_vec())
        };
        let (first, second) = salts(&disk);
        let opened = [password(), Some(other("new"))].map(|one| open(&disk, one).is_ok());
        assert_eq!(opened.iter().filter(|opened| **opened).count(), 1);
        let (one, two) = salts(&disk);
        assert_eq!(one, two, "both slots hold one password after an open");
        mended += usize::from(first != second);
    }
    assert!(mended > 0, "no stop left the change half done");
}

#[test]
fn a_passwd_whose_writes_or_syncs_fail_can_be_tried_again() {
    let image = ready(2);
    for step in 1..12 {
        for mode in [Mode::Once, Mode::Sticky] {
            let disk = image.clone_image();
            let store = open(&disk, password()).unwrap();
            disk.fail_at(disk.ops() + step, libc_eio(), mode);
            let failed = store.change_password(&other("new")).is_err();
            disk.clear_faults();
            for cut in [Cut::Nothing, Cut::All, Cut::Random(step)] {
                let image = disk.clone_image().power_cut(cut);
                let new = fits(&image, &password().unwrap(), &other("new"));
                assert!(new || failed);
            }
            // The store itself goes on, and so does a second try.
            let queue = store.find_queue("orders").unwrap();
            store.put(queue, &[Message::new(b"more")]).unwrap();
            store.change_password(&other("new")).unwrap();
            drop(store);
            let image = disk.power_cut(Cut::Nothing);
            assert_eq!(refused(open(&image, password())).code(), Code::BadPassword);
            assert!(open(&image, Some(other("new"))).is_ok());
        }
    }
}

fn libc_eio() -> i32 {
    5
}

#[test]
fn one_damaged_bit_of_the_key_costs_nothing_and_is_mended() {
    let image = ready(2);
    let whole = image.bytes_of("key").unwrap();
    let mut flips = 0;
    for bit in (0..whole.len() * 8).filter(|bit| bit % 4096 < 170 * 8 || bit % 61 == 0) {
        let disk = image.clone_image();
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.put_file("key", &bytes);
        let store = open(&disk, password()).unwrap_or_else(|error| panic!("bit {bit}: {error}"));
        drop(store);
        let slot = 512 * (bit / 4096);
        if bit % 4096 < 164 * 8 {
            let key = disk.bytes_of("key").unwrap();
            assert!(key[slot..].starts_with(b"repliqK1"));
            assert_eq!(u32_at(&key, slot + 160), crc32fast::hash(&key[slot..slot + 160]));
        }
        flips += 1;
    }
    println!("{flips} bits of the key flipped");
    assert!(flips > 2_700);
}

#[test]
fn a_key_that_is_lost_foreign_or_changed_on_purpose_is_named() {
    let image = ready(2);
    let key = image.bytes_of("key").unwrap();
    let with = |bytes: &[u8]| {
        let disk = image.clone_image();
        disk.put_file("key", bytes);
        refused(open(&disk, password()))
    };
    let both = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = key.clone();
        for slot in [0, 512] {
            change(&mut bytes[slot..slot + 512]);
            sum_slot(&mut bytes, slot);
        }
        with(&bytes)
    };
    let lost = image.clone_image();
    lost.remove_file("key");
    assert_eq!(refused(open(&lost, password())).code(), Code::Corrupt);
    assert_eq!(with(&[0; 1024]).code(), Code::Corrupt);
    assert_eq!(with(&key[..100]).code(), Code::Corrupt);
    assert_eq!(with(&[]).code(), Code::Corrupt);
    let stranger = ModelDisk::with_seed(9);
    drop(open(&stranger, password()).unwrap());
    let foreign = with(&stranger.bytes_of("key").unwrap());
    assert_eq!(foreign.code(), Code::Corrupt);
    assert!(foreign.to_string().contains("another store"), "{foreign}");

    let set = |at: usize, value: u32| {
        move |slot: &mut [u8]| slot[at..at + 4].copy_from_slice(&value.to_le_bytes())
    };
    assert_eq!(both(&set(40, u32::MAX)).code(), Code::Tampered, "4 TiB of memory");
    assert_eq!(both(&set(40, 8)).code(), Code::Tampered, "8 KiB of memory");
    assert_eq!(both(&set(44, 1_000)).code(), Code::Tampered);
    assert_eq!(both(&set(48, 0)).code(), Code::Tampered);
    assert_eq!(both(&set(44, 3)).code(), Code::BadPassword, "another cost");
    assert_eq!(both(&|slot| slot[8] = 2).code(), Code::Version);
    assert_eq!(both(&|slot| slot[12] = 1).code(), Code::Version);
    // Whatever else is changed looks like a wrong password, and cannot be told from one.
    for at in [16, 17, 52, 67, 68, 79, 80, 111, 112, 127, 128, 159] {
        assert_eq!(both(&|slot| slot[at] ^= 1).code(), Code::BadPassword, "byte {at}");
    }
}

#[test]
fn a_creation_that_stops_at_any_operation_can_be_repeated_with_the_same_password() {
    let length = {
        let disk = ModelDisk::new();
        open(&disk, password()).unwrap();
        disk.ops()
    };
    let mut cases = 0;
    for step in 1..=length + 1 {
        let disk = ModelDisk::new();
        disk.stop_in(step);
        drop(open(&disk, password()));
        let cuts = [Cut::Nothing, Cut::All, Cut::Random(step), Cut::Random(!step)];
        let images = cuts.map(|cut| disk.power_cut(cut));
        for image in images.into_iter().chain([disk.kill()]) {
            let store = open(&image, password());
            let store = store.unwrap_or_else(|error| panic!("stopped in {step}: {error}"));
            fill(&store, 2);
            store.close().unwrap();
            check_messages(&open(&image, password()).unwrap(), 2);
            cases += 1;
        }
    }
    assert!(cases > 60, "{cases}");
}

#[test]
fn a_key_without_segments_is_kept_for_segments_that_may_be_elsewhere() {
    let disk = ready(2);
    let key = disk.bytes_of("key").unwrap();
    for name in disk.names() {
        if name != "key" {
            disk.remove_file(&name);
        }
    }
    assert_eq!(refused(open(&disk, Some(other("wrong")))).code(), Code::BadPassword);
    let store = open(&disk, password()).unwrap();
    let kept = disk.bytes_of("key").unwrap();
    assert_eq!(kept[24..68], key[24..68], "the same store, cost and salt");
    assert_eq!(kept[128..160], key[128..160], "the same data key");
    fill(&store, 2);
    store.close().unwrap();
    check_messages(&open(&disk, password()).unwrap(), 2);

    let foreign = ModelDisk::new();
    foreign.put_file("key", b"ssh-ed25519 somebody's own");
    assert_eq!(refused(open(&foreign, password())).code(), Code::NotAStore);
    assert_eq!(foreign.names(), ["key"]);
}

#[test]
fn the_default_cost_is_the_second_choice_of_rfc_9106() {
    let disk = ModelDisk::new();
    drop(open(&disk, Some(Password::from("at the default cost"))).unwrap());
    let key = disk.bytes_of("key").unwrap();
    assert_eq!((u32_at(&key, 40), u32_at(&key, 44), u32_at(&key, 48)), (64 << 10, 3, 4));
    assert_eq!((u64_at(&key, 16), u64_at(&key, 512 + 16)), (1, 2));
}
