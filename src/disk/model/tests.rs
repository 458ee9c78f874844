//! What the model promises, fact by fact.

use super::*;

fn fresh() -> ModelDisk {
    let disk = ModelDisk::new();
    disk.create_dir().unwrap();
    disk
}

/// A disk with one durable file of this content, open for writing.
fn with_file(bytes: &[u8]) -> (ModelDisk, Arc<dyn File>) {
    let disk = fresh();
    disk.put_file("a", bytes);
    let file = disk.open("a", true).unwrap();
    (disk, file)
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}

fn content(disk: &ModelDisk, name: &str) -> Vec<u8> {
    disk.bytes_of(name).unwrap()
}

#[test]
fn a_missing_directory_is_not_found_by_any_call() {
    let disk = ModelDisk::new();
    assert_eq!(errno(disk.list()), libc::ENOENT);
    assert_eq!(errno(disk.create("a")), libc::ENOENT);
    assert_eq!(errno(disk.sync_dir()), libc::ENOENT);
    assert!(matches!(disk.lock(), Err(LockError::Io(_))));
    assert_eq!(disk.peek_done().unwrap(), None);
    disk.create_dir().unwrap();
    disk.create_dir().unwrap();
    assert!(disk.list().unwrap().is_empty());
}

#[test]
fn files_behave_as_those_of_a_real_directory() {
    let disk = fresh();
    let file = disk.create("a").unwrap();
    assert_eq!(errno(disk.create("a")), libc::EEXIST);
    assert_eq!(errno(disk.open("b", false)), libc::ENOENT);
    assert_eq!(errno(disk.open("a", false).unwrap().write_at(b"x", 0)), libc::EBADF);
    file.write_at(b"hello", 3).unwrap();
    let mut bytes = [7; 10];
    assert_eq!(file.read_at(&mut bytes, 1).unwrap(), 7);
    assert_eq!(&bytes, b"\0\0hello\x07\x07\x07");
    assert_eq!(file.read_at(&mut bytes, 99).unwrap(), 0);
    file.allocate(5000).unwrap();
    file.allocate(10).unwrap();
    assert_eq!(file.len().unwrap(), 5000);
    disk.rename("a", "b").unwrap();
    assert_eq!(disk.names(), ["b"]);
    disk.remove("b").unwrap();
    assert_eq!(file.read_at(&mut bytes, 3).unwrap(), 10, "an open file outlives its name");
    assert_eq!(errno(disk.remove("b")), libc::ENOENT);
}

#[test]
fn what_is_synced_survives_a_cut_that_keeps_nothing() {
    let disk = fresh();
    let file = disk.create("a").unwrap();
    file.write_at(&[1; 1000], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.pieces(), 0);
    let after = disk.power_cut(Cut::Nothing);
    assert_eq!(content(&after, "a"), [1; 1000]);
}

#[test]
fn a_name_that_was_not_synced_is_lost_with_its_synced_bytes() {
    let disk = fresh();
    let file = disk.create("a").unwrap();
    file.write_at(b"hello", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.clone_image().power_cut(Cut::Nothing).names(), [""; 0]);
    assert_eq!(content(&disk.power_cut(Cut::All), "a"), b"hello");
}

#[test]
fn a_synced_name_without_synced_bytes_is_an_empty_file() {
    let disk = fresh();
    disk.create("a").unwrap().write_at(b"hello", 0).unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(content(&disk.power_cut(Cut::Nothing), "a"), b"");
}

#[test]
fn a_rename_persists_as_the_old_name_or_the_new_one() {
    let (disk, file) = with_file(b"new");
    disk.put_file("b", b"old");
    disk.rename("a", "b").unwrap();
    let before = disk.clone_image().power_cut(Cut::Nothing);
    assert_eq!((content(&before, "a"), content(&before, "b")), (b"new".to_vec(), b"old".to_vec()));
    let after = disk.clone_image().power_cut(Cut::All);
    assert_eq!((after.names(), content(&after, "b")), (vec!["b".to_string()], b"new".to_vec()));
    disk.rename("b", "c").unwrap();
    let both = disk.clone_image().power_cut(Cut::Only(vec![1]));
    assert_eq!(both.names(), ["c"], "a later rename takes the earlier along");
    assert_eq!(file.len().unwrap(), 3);
}

#[test]
fn changes_of_one_name_persist_in_their_order_only() {
    let (disk, _file) = with_file(b"old");
    disk.rename("a", "b").unwrap();
    disk.create("a").unwrap();
    for index in 0..64 {
        let after = disk.power_cut(Cut::Random(index));
        let kept = after.snapshot().values().any(|bytes| bytes == b"old");
        assert!(kept, "seed {index}: a new file must not cost the renamed one");
    }
    assert_eq!(disk.power_cut(Cut::Without(vec![0])).names(), ["a"]);
}

#[test]
fn a_removal_that_was_not_synced_may_come_undone() {
    let (disk, file) = with_file(b"hello");
    drop(file);
    disk.remove("a").unwrap();
    assert_eq!(content(&disk.clone_image().power_cut(Cut::Nothing), "a"), b"hello");
    disk.sync_dir().unwrap();
    assert!(disk.power_cut(Cut::Nothing).names().is_empty());
}

#[test]
fn unsynced_bytes_tear_at_512() {
    let (disk, file) = with_file(&[0; 2048]);
    file.write_at(&[1; 1024], 256).unwrap();
    assert_eq!(disk.pieces(), 3);
    let middle = content(&disk.power_cut(Cut::Only(vec![1])), "a");
    assert!(middle.iter().enumerate().all(|(at, &byte)| (byte == 1) == (512..1024).contains(&at)));
    let edges = content(&disk.power_cut(Cut::Without(vec![1])), "a");
    let ones = |at| (256..512).contains(&at) || (1024..1280).contains(&at);
    assert!(edges.iter().enumerate().all(|(at, &byte)| (byte == 1) == ones(at)));
}

#[test]
fn a_later_piece_of_a_sector_holds_the_earlier_changes_of_it() {
    let (disk, file) = with_file(&[0; 4]);
    file.write_at(b"x", 0).unwrap();
    file.write_at(b"y", 1).unwrap();
    assert_eq!(content(&disk.power_cut(Cut::Only(vec![0])), "a"), b"x\0\0\0");
    assert_eq!(content(&disk.power_cut(Cut::Only(vec![1])), "a"), b"xy\0\0");
}

#[test]
fn length_persists_by_sync_or_with_the_bytes_that_needed_it() {
    let (disk, file) = with_file(b"");
    file.allocate(8192).unwrap();
    file.write_at(&[1; 10], 1024).unwrap();
    assert_eq!(content(&disk.power_cut(Cut::Nothing), "a").len(), 0);
    assert_eq!(content(&disk.power_cut(Cut::Only(vec![0])), "a"), [0; 8192]);
    let bytes = content(&disk.clone_image().power_cut(Cut::Only(vec![1])), "a");
    assert_eq!((bytes.len(), bytes[1023], bytes[1033]), (1536, 0, 1));
    let (disk, file) = with_file(b"");
    file.allocate(8192).unwrap();
    file.sync().unwrap();
    assert_eq!(content(&disk.power_cut(Cut::Nothing), "a").len(), 8192);
}

#[test]
fn a_failed_sync_loses_the_bytes_and_later_syncs_do_not_bring_them_back() {
    let (disk, file) = with_file(&[0; 1024]);
    file.write_at(&[1; 512], 0).unwrap();
    disk.fail_at(disk.ops() + 1, libc::EIO, Mode::Once);
    assert_eq!(errno(file.sync()), libc::EIO);
    file.write_at(&[2; 512], 512).unwrap();
    file.sync().unwrap();
    let mut bytes = [9; 1024];
    file.read_at(&mut bytes, 0).unwrap();
    assert_eq!((bytes[0], bytes[512]), (1, 2), "lost but visible");
    let killed = disk.clone_image().kill();
    assert_eq!(content(&killed, "a")[..512], [1; 512], "a kill leaves the page cache");
    let after = content(&killed.power_cut(Cut::All), "a");
    assert_eq!((after[0], after[512]), (0, 2), "a power cut does not");
}

#[test]
fn a_failed_directory_sync_loses_the_names() {
    let disk = fresh();
    disk.create("a").unwrap();
    disk.fail_at(disk.ops() + 1, libc::EIO, Mode::Once);
    assert_eq!(errno(disk.sync_dir()), libc::EIO);
    disk.sync_dir().unwrap();
    assert_eq!(disk.names(), ["a"]);
    assert!(disk.power_cut(Cut::All).names().is_empty());
}

#[test]
fn a_lying_sync_leaves_the_pieces() {
    let (disk, file) = with_file(b"old");
    file.write_at(b"new", 0).unwrap();
    disk.lie_about_sync(true);
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(disk.pieces(), 1);
    assert_eq!(content(&disk.clone_image().power_cut(Cut::Nothing), "a"), b"old");
    disk.lie_about_sync(false);
    file.sync().unwrap();
    assert_eq!(content(&disk.power_cut(Cut::Nothing), "a"), b"new");
}

#[test]
fn a_failed_write_leaves_whole_sectors_of_its_beginning_and_all_counts_occur() {
    let mut seen = [false; 4];
    for seed in 0..64 {
        let disk = ModelDisk::with_seed(seed);
        disk.put_file("a", &[0; 2048]);
        let file = disk.open("a", true).unwrap();
        disk.fail_at(disk.ops() + 1, libc::EIO, Mode::Once);
        assert_eq!(errno(file.write_at(&[1; 1536], 256)), libc::EIO);
        let bytes = content(&disk, "a");
        let ones = bytes.iter().filter(|&&byte| byte == 1).count();
        assert!(bytes[..256].iter().all(|&byte| byte == 0));
        assert!(bytes[256..256 + ones].iter().all(|&byte| byte == 1));
        assert!(ones == 0 || (256 + ones) % 512 == 0, "{ones}");
        seen[(256 + ones) / 512] = true;
    }
    assert_eq!(seen, [true; 4]);
}

#[test]
fn a_fault_hits_once_or_all_later_changes() {
    let (disk, file) = with_file(b"hello");
    disk.fail_at(disk.ops() + 2, libc::EMFILE, Mode::Once);
    disk.list().unwrap();
    assert_eq!(errno(disk.list()), libc::EMFILE);
    disk.list().unwrap();
    disk.fail_at(disk.ops() + 1, libc::EROFS, Mode::Sticky);
    assert_eq!(errno(file.len()), libc::EROFS, "the numbered one fails whatever it is");
    assert_eq!(errno(file.write_at(b"x", 0)), libc::EROFS);
    assert_eq!(errno(disk.create("b")), libc::EROFS);
    assert_eq!(errno(disk.rename("a", "b")), libc::EROFS);
    assert_eq!(errno(disk.remove("a")), libc::EROFS);
    assert_eq!(errno(file.allocate(9999)), libc::EROFS);
    assert_eq!(errno(file.sync()), libc::EROFS);
    assert_eq!(errno(disk.sync_dir()), libc::EROFS);
    assert_eq!(file.read_at(&mut [0; 5], 0).unwrap(), 5);
    assert_eq!(disk.names(), ["a"]);
    disk.clear_faults();
    file.write_at(b"x", 0).unwrap();
}

#[test]
fn a_full_disk_refuses_growth_and_takes_overwrites() {
    let (disk, file) = with_file(&[0; 1000]);
    disk.capacity(3000);
    assert_eq!(errno(file.allocate(3001)), libc::ENOSPC);
    assert_eq!(file.len().unwrap(), 1000);
    file.allocate(2000).unwrap();
    let other = disk.create("b").unwrap();
    assert_eq!(errno(other.write_at(&[1; 1001], 0)), libc::ENOSPC);
    assert!(other.len().unwrap() <= 1000);
    other.allocate(1000).unwrap();
    file.write_at(&[2; 2000], 0).unwrap();
    assert_eq!(errno(file.write_at(&[2; 2001], 0)), libc::ENOSPC);
    assert_eq!(file.len().unwrap(), 2000);
    drop(other);
    disk.remove("b").unwrap();
    file.allocate(3000).unwrap();
    let next = disk.kill();
    assert_eq!(errno(next.open("a", true).unwrap().allocate(3001)), libc::ENOSPC);
}

#[test]
fn a_stop_before_an_operation_lets_nothing_of_it_happen() {
    let (disk, file) = with_file(b"hello");
    disk.stop_at(disk.ops() + 2);
    file.write_at(b"j", 0).unwrap();
    assert!(!disk.is_stopped());
    assert_eq!(errno(file.write_at(b"x", 4)), libc::EIO);
    assert!(disk.is_stopped());
    assert_eq!(errno(file.len()), libc::EIO);
    assert_eq!(errno(disk.random(&mut [0])), libc::EIO);
    assert_eq!(errno(disk.peek_done()), libc::EIO);
    assert_eq!(disk.pieces(), 1);
    assert_eq!(content(&disk.power_cut(Cut::All), "a"), b"jello");
}

#[test]
fn a_stop_within_an_operation_keeps_its_effect_and_loses_its_answer() {
    let (disk, file) = with_file(b"hello");
    disk.stop_in(disk.ops() + 1);
    assert_eq!(errno(file.write_at(b"j", 0)), libc::EIO);
    assert_eq!(errno(file.write_at(b"x", 1)), libc::EIO);
    assert_eq!(disk.pieces(), 1);
    assert_eq!(content(&disk.power_cut(Cut::Nothing), "a"), b"hello");
    assert_eq!(content(&disk.power_cut(Cut::All), "a"), b"jello");
    let (disk, file) = with_file(b"hello");
    file.write_at(b"j", 0).unwrap();
    disk.stop_in(disk.ops() + 1);
    assert_eq!(errno(file.sync()), libc::EIO);
    assert_eq!(content(&disk.power_cut(Cut::Nothing), "a"), b"jello");
}

#[test]
fn a_stop_at_a_number_that_has_passed_stops_the_next_operation_before_it_happens() {
    let (disk, file) = with_file(b"hello");
    disk.stop_in(disk.ops());
    assert_eq!(errno(file.write_at(b"j", 0)), libc::EIO);
    assert_eq!(disk.pieces(), 0);
}

#[test]
fn a_stopped_machine_stores_no_lock_words() {
    let disk = fresh();
    let lock = disk.lock().unwrap();
    disk.sync_dir().unwrap();
    lock.set_done(5);
    disk.stop_at(disk.ops() + 1);
    lock.set_done(6);
    assert_eq!(errno(disk.list()), libc::EIO);
    lock.set_done(7);
    assert_eq!(disk.kill().lock().unwrap().done(), 6);
    assert_eq!(disk.power_cut(Cut::All).lock().unwrap().done(), 6);
}

#[test]
fn stopping_at_every_operation_ends_with_the_workload() {
    let workload = |disk: &ModelDisk| -> io::Result<()> {
        disk.create_dir()?;
        let file = disk.create("a")?;
        file.write_at(b"hello", 0)?;
        file.sync()?;
        disk.sync_dir()
    };
    let whole = ModelDisk::new();
    workload(&whole).unwrap();
    assert_eq!(whole.ops(), 5);
    for number in 1..=whole.ops() {
        let disk = ModelDisk::new();
        disk.stop_at(number);
        assert_eq!(errno(workload(&disk)), libc::EIO);
        assert_eq!(disk.ops(), number);
        assert_eq!(disk.power_cut(Cut::All).names().len(), usize::from(number > 2));
        assert!(disk.power_cut(Cut::Nothing).names().is_empty());
    }
}

#[test]
fn what_holds_a_crashed_machine_gets_eio_and_changes_nothing() {
    let (disk, file) = with_file(b"hello");
    let lock = disk.lock().unwrap();
    let next = disk.kill();
    assert_eq!(errno(file.write_at(b"j", 0)), libc::EIO);
    assert_eq!(errno(disk.list()), libc::EIO);
    assert!(matches!(disk.lock(), Err(LockError::Io(_))));
    lock.set_done(9);
    let held = next.lock().unwrap();
    drop(lock);
    drop(file);
    assert!(
        matches!(next.lock(), Err(LockError::Held { .. })),
        "the old lock unlocks nothing here"
    );
    assert_eq!((content(&next, "a"), held.done()), (b"hello".to_vec(), 0));
}

#[test]
fn a_kill_keeps_unsynced_bytes_unsynced() {
    let (disk, file) = with_file(b"hello");
    file.write_at(b"j", 0).unwrap();
    let next = disk.kill();
    assert_eq!((content(&next, "a"), next.pieces()), (b"jello".to_vec(), 1));
    assert_eq!(content(&next.clone_image().power_cut(Cut::Nothing), "a"), b"hello");
    next.open("a", true).unwrap().sync().unwrap();
    assert_eq!(content(&next.power_cut(Cut::Nothing), "a"), b"jello");
}

#[test]
fn the_lock_is_exclusive_and_names_its_owner() {
    let disk = fresh();
    let held = disk.lock().unwrap();
    let Err(LockError::Held { pid, host }) = disk.clone().lock() else { panic!("locked twice") };
    assert_eq!((pid, host.as_str()), (std::process::id(), "model"));
    drop(held);
    disk.lock().unwrap();
    assert_eq!(content(&disk, LOCK_NAME).len(), 4096);
}

#[test]
fn lock_words_survive_a_kill_and_a_power_cut_leaves_an_earlier_pair() {
    let disk = fresh();
    let lock = disk.lock().unwrap();
    disk.sync_dir().unwrap();
    let mut pairs = vec![(0, 0)];
    for step in 1..=5 {
        lock.set_attempted(step * 10);
        pairs.push((step * 10, (step - 1) * 10));
        lock.set_done(step * 10);
        pairs.push((step * 10, step * 10));
    }
    assert_eq!(disk.peek_done().unwrap(), Some(50));
    let words = |disk: ModelDisk| {
        let lock = disk.lock().unwrap();
        (lock.attempted(), lock.done())
    };
    assert_eq!(words(disk.clone_image().kill()), (50, 50));
    assert_eq!(words(disk.power_cut(Cut::Nothing)), (0, 0));
    assert_eq!(words(disk.power_cut(Cut::All)), (50, 50));
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let pair = words(disk.power_cut(Cut::Random(seed)));
        assert!(pairs.contains(&pair), "{pair:?}");
        seen.insert(pair);
    }
    assert_eq!(seen.len(), pairs.len());
}

#[test]
fn a_lock_file_whose_name_was_lost_begins_with_zeros() {
    let disk = fresh();
    disk.lock().unwrap().set_done(7);
    let next = disk.power_cut(Cut::Nothing);
    assert_eq!(next.peek_done().unwrap(), None);
    assert_eq!(next.lock().unwrap().done(), 0);
}

#[test]
fn a_long_history_of_words_keeps_its_ends() {
    let disk = fresh();
    let lock = disk.lock().unwrap();
    disk.sync_dir().unwrap();
    for offset in 0..10_000 {
        lock.set_attempted(offset);
    }
    assert!(disk.state.lock().words_history.len() <= 1025);
    assert_eq!(disk.power_cut(Cut::Nothing).lock().unwrap().attempted(), 0);
    assert_eq!(disk.power_cut(Cut::All).lock().unwrap().attempted(), 9_999);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_a_crash_goes_on_in_the_stream() {
    let draw = |disk: &ModelDisk| {
        let mut bytes = [0; 16];
        disk.random(&mut bytes).unwrap();
        bytes
    };
    let (one, two, other) = (ModelDisk::new(), ModelDisk::new(), ModelDisk::with_seed(2));
    let first = draw(&one);
    assert_eq!(first, draw(&two));
    assert_ne!(first, draw(&other));
    let second = draw(&one.power_cut(Cut::Nothing));
    assert_ne!(first, second);
    assert_eq!(second, draw(&two.kill()));
}

#[test]
fn the_same_random_cut_keeps_the_same_pieces() {
    let (disk, file) = with_file(&[0; 64 * 512]);
    file.write_at(&[1; 64 * 512], 0).unwrap();
    let cut = |seed| content(&disk.power_cut(Cut::Random(seed)), "a");
    assert_eq!(cut(5), cut(5));
    let different = (0..32).map(cut).collect::<std::collections::BTreeSet<_>>().len();
    assert!(different > 28, "{different}");
}

#[test]
fn the_clock_stands_until_it_is_moved() {
    let disk = ModelDisk::new();
    let start = disk.now_ms();
    disk.advance_ms(5);
    assert_eq!(disk.now_ms(), start + 5);
    disk.set_now_ms(77);
    assert_eq!(disk.power_cut(Cut::All).now_ms(), 77);
}

#[test]
fn calls_bytes_and_pages_are_counted() {
    let (disk, file) = with_file(&[0; 20_000]);
    let before = disk.ops();
    file.write_at(&[1; 100], 0).unwrap();
    file.write_at(&[1; 100], 100).unwrap();
    file.write_at(&[1; 2], 4095).unwrap();
    file.sync().unwrap();
    file.sync().unwrap();
    file.read_at(&mut [0; 10], 0).unwrap();
    file.len().unwrap();
    assert_eq!(disk.ops() - before, 7);
    assert_eq!((disk.calls(Op::WriteAt), disk.bytes(Op::WriteAt)), (3, 202));
    assert_eq!((disk.calls(Op::ReadAt), disk.bytes(Op::ReadAt)), (1, 10));
    assert_eq!((disk.calls(Op::Sync), disk.pages_synced()), (2, 2));
    assert_eq!(Op::ALL.iter().map(|&op| disk.calls(op)).sum::<u64>(), disk.ops());
}

#[test]
fn damage_is_durable_at_once_and_seen_by_open_handles() {
    let (disk, file) = with_file(b"hello");
    file.write_at(b"j", 0).unwrap();
    disk.put_file("a", b"damaged");
    assert_eq!(file.len().unwrap(), 7);
    assert_eq!(content(&disk.clone_image().power_cut(Cut::All), "a"), b"damaged");
    assert!(disk.remove_file("a"));
    assert!(!disk.remove_file("a"));
    assert!(disk.power_cut(Cut::Nothing).names().is_empty());
}

#[test]
fn an_image_is_independent_and_unlocked() {
    let (disk, file) = with_file(b"hello");
    let _lock = disk.lock().unwrap();
    let image = disk.clone_image();
    image.lock().unwrap();
    image.put_file("a", b"other");
    file.write_at(b"j", 0).unwrap();
    assert_eq!((content(&disk, "a"), content(&image, "a")), (b"jello".to_vec(), b"other".to_vec()));
}

#[test]
fn removed_files_are_forgotten_once_nothing_leads_to_them() {
    let disk = fresh();
    for _ in 0..100 {
        disk.create("a").unwrap().write_at(&[1; 1000], 0).unwrap();
        disk.remove("a").unwrap();
        disk.sync_dir().unwrap();
    }
    let state = disk.state.lock();
    assert_eq!((state.nodes.len(), state.pending.len()), (0, 0));
}
