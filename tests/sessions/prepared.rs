//! Prepared transactions: they wait for their coordinator, whatever happens, and end once.

use crate::place::{
    NOW, Place, SOON, by_url, connect, deliveries, everywhere, payloads, put, waiting,
};
use repliq::disk::Disk;
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{
    Code, ConsumerOptions, Message, Outcome, Rules, Session, SessionOptions, Store, StoreOptions,
    TransactionId,
};
use std::sync::Arc;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn named(name: &str) -> SessionOptions {
    SessionOptions { name: name.into(), ..SessionOptions::default() }
}

/// Receives `take` messages of `in` by consumer `r`, puts these into `out`, and prepares that.
fn prepare(store: &Store, session: &mut Session, take: usize, puts: &[&str]) -> TransactionId {
    let (from, to) = (store.queue("in").unwrap(), store.queue("out").unwrap());
    let reader = store.consumer("r", from, &ConsumerOptions::default()).unwrap();
    if take > 0 {
        assert_eq!(session.receive(&reader, take, SOON).unwrap().len(), take);
    }
    for payload in puts {
        session.put(to, &Message::new(payload.as_bytes())).unwrap();
    }
    session.prepare(b"branch 1").unwrap()
}

fn rest(store: &Store) -> (Vec<String>, Vec<u32>) {
    let queue = store.queue("in").unwrap();
    let reader = store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
    let found = reader.receive(99, NOW).unwrap();
    (payloads(&found), deliveries(&found))
}

fn out(store: &Store) -> Vec<String> {
    waiting(store, store.queue("out").unwrap())
}

#[test]
fn txs_30_what_is_prepared_is_seen_by_nobody_and_given_to_nobody_until_it_is_committed() {
    everywhere(|place| {
        let store = &place.store;
        put(store, store.queue("in").unwrap(), &["1", "2", "3"]);
        let mut session = store.session().unwrap();
        let id = prepare(store, &mut session, 2, &["a", "b"]);
        assert!(session.is_empty(), "{}", place.name);
        assert_eq!(out(store), [""; 0]);
        assert_eq!(rest(store).0, ["3"]);
        assert_eq!(store.resolve(&id).unwrap(), Outcome::Pending);
        let known = store.prepared().unwrap();
        assert_eq!(known.len(), 1);
        let one = &known[0];
        assert_eq!((one.id, &one.xid[..], one.state()), (id, &b"branch 1"[..], "prepared"));
        assert_eq!((one.messages, one.held), (2, 2));
        assert!(one.since_ms > 0 && one.bytes > 0 && one.ended.is_none());
        // The session goes on meanwhile.
        session.put(store.queue("out").unwrap(), &Message::new(b"between")).unwrap();
        session.commit().unwrap();
        let commit = store.finish(&id, true).unwrap();
        store.wait("", &[commit.token], SOON).unwrap();
        assert_eq!(out(store), ["between", "a", "b"]);
        assert_eq!(rest(store).0, ["3"]);
        assert_eq!(store.resolve(&id).unwrap(), Outcome::Committed(commit.token));
        assert_eq!(store.prepared().unwrap(), []);
        // Asked again it says the same.
        assert_eq!(store.finish(&id, true).unwrap().token, commit.token);
        assert_eq!(store.finish(&id, false).unwrap_err().code(), Code::Invalid);
    });
}

#[test]
fn txs_30_a_prepared_transaction_that_is_rolled_back_gives_back_what_it_had_before_newer_ones() {
    everywhere(|place| {
        let store = &place.store;
        let queue = store.queue("in").unwrap();
        put(store, queue, &["1", "2", "3"]);
        let reader = store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = store.session().unwrap();
        assert_eq!(session.receive(&reader, 2, SOON).unwrap().len(), 2);
        session.put(store.queue("out").unwrap(), &Message::new(b"never")).unwrap();
        let id = session.prepare(b"").unwrap();
        put(store, queue, &["4"]);
        session.rollback().unwrap();
        drop(session);
        let commit = store.finish(&id, false).unwrap();
        let found = reader.receive(99, SOON).unwrap();
        assert_eq!(payloads(&found), ["1", "2", "3", "4"], "{}", place.name);
        assert_eq!(deliveries(&found), [2, 2, 1, 1]);
        assert_eq!(out(store), [""; 0]);
        assert_eq!(store.resolve(&id).unwrap(), Outcome::RolledBack);
        assert_eq!(store.finish(&id, false).unwrap().token, commit.token);
        assert_eq!(store.finish(&id, true).unwrap_err().code(), Code::RolledBack);
    });
}

#[test]
fn txs_30_a_prepared_transaction_outlives_a_restart_and_is_ended_by_whoever_comes() {
    for commit in [true, false] {
        let place = Place::local();
        let queue = place.store.queue("in").unwrap();
        put(&place.store, queue, &["1", "2", "3"]);
        let mut session = place.store.session_with(&named("mover")).unwrap();
        let id = prepare(&place.store, &mut session, 2, &["a"]);
        drop(session);
        let place = place.reopened().reopened();
        assert_eq!(rest(&place.store), (vec!["3".into()], vec![1]));
        assert_eq!(place.store.prepared().unwrap()[0].id, id);
        // Another owner of the session's name changes nothing.
        let next = place.store.session_with(&named("mover")).unwrap().id().unwrap();
        assert_eq!((next.session, next.epoch), (id.session, 2));
        assert_eq!(place.store.resolve(&id).unwrap(), Outcome::Pending);
        place.store.finish(&id, commit).unwrap();
        let place = place.reopened();
        let outcome = place.store.resolve(&id).unwrap();
        match commit {
            true => {
                assert_eq!(
                    (out(&place.store), rest(&place.store).0),
                    (vec!["a".into()], vec!["3".into()])
                );
                assert!(matches!(outcome, Outcome::Committed(_)));
            }
            false => {
                assert_eq!(out(&place.store), [""; 0]);
                assert_eq!(rest(&place.store).0, ["1", "2", "3"]);
                assert_eq!(outcome, Outcome::RolledBack);
            }
        }
        assert!(!place.store.finish(&id, commit).unwrap().token.is_empty());
    }
}

#[test]
fn txs_30_an_end_by_hand_is_recorded_and_told_to_the_coordinator() {
    everywhere(|place| {
        let store = &place.store;
        let mut session = store.session().unwrap();
        let id = prepare(store, &mut session, 0, &["a"]);
        let commit = store.finish_by_hand(&id, false).unwrap();
        let known = store.prepared().unwrap();
        let end = known[0].ended.clone().unwrap();
        assert_eq!((known[0].id, known[0].state()), (id, "rolled_back"), "{}", place.name);
        assert_eq!((end.committed, end.token), (false, commit.token));
        assert_eq!(end.by, if place.server.is_some() { "ann" } else { "" });
        assert!(end.time_ms >= known[0].since_ms);
        let error = store.finish(&id, true).unwrap_err();
        assert_eq!(error.code(), Code::RolledBack);
        assert!(error.to_string().contains("by hand"), "{error}");
    });
}

#[test]
fn what_is_prepared_cannot_be_refused_any_more() {
    let place = Place::local();
    let store = &place.store;
    let (from, to) = (store.queue("in").unwrap(), store.queue("out").unwrap());
    put(store, from, &["1", "2"]);
    let mut session = store.session().unwrap();
    let id = prepare(store, &mut session, 1, &["a"]);
    // A queue it puts into stays; a pause and a purge do not matter.
    assert_eq!(store.queue_delete(to).unwrap_err().code(), Code::Busy);
    store.queue_pause(to).unwrap();
    store.queue_purge(from).unwrap();
    store.finish(&id, true).unwrap();
    store.queue_resume(to).unwrap();
    assert_eq!(out(store), ["a"]);
    assert_eq!(rest(store).0, [""; 0]);
    store.queue_delete(to).unwrap();
    // What it had received is purged, and does not come again.
    put(store, from, &["3"]);
    let id = prepare(store, &mut session, 1, &[]);
    store.queue_purge(from).unwrap();
    store.finish(&id, false).unwrap();
    assert_eq!(rest(store).0, [""; 0]);
    // Its consumer or its queue may go.
    put(store, from, &["4"]);
    let id = prepare(store, &mut session, 1, &[]);
    store.consumer_delete("r", from).unwrap();
    store.queue_delete(from).unwrap();
    store.finish(&id, true).unwrap();
}

#[test]
fn what_could_not_be_committed_is_not_prepared_and_stays_as_it_was() {
    everywhere(|place| {
        let store = &place.store;
        let queue = store.queue("out").unwrap();
        let mut session = store.session().unwrap();
        session.put(queue, &Message::new(b"a")).unwrap();
        assert_eq!(session.prepare(&[7; 256]).unwrap_err().code(), Code::TooLarge);
        place.own.queue_pause(queue).unwrap();
        assert_eq!(session.prepare(b"x").unwrap_err().code(), Code::Paused, "{}", place.name);
        place.own.queue_resume(queue).unwrap();
        let id = session.prepare(b"x").unwrap();
        session.put(queue, &Message::new(b"b")).unwrap();
        assert_eq!(session.prepare(b"x").unwrap_err().code(), Code::Exists);
        session.prepare(b"y").unwrap();
        assert_eq!(store.prepared().unwrap().len(), 2);
        store.finish(&id, true).unwrap();
        assert_eq!(out(store), ["a"]);
        let stranger = TransactionId { session: [7; 16], ..id };
        assert_eq!(store.finish(&stranger, true).unwrap_err().code(), Code::NoSuchName);
        let open = session.id().unwrap();
        assert_eq!(store.finish(&open, true).unwrap_err().code(), Code::NoSuchName);
    });
}

#[test]
fn a_producer_waits_until_what_is_prepared_of_it_ended() {
    let place = Place::local();
    let store = &place.store;
    let queue = store.queue("out").unwrap();
    let message =
        |sequence| Message { producer: "p", producer_sequence: sequence, ..Message::new(b"x") };
    let mut session = store.session().unwrap();
    session.put(queue, &message(1)).unwrap();
    session.put(queue, &message(2)).unwrap();
    let id = session.prepare(b"").unwrap();
    assert_eq!(store.put(queue, &[message(1)]).unwrap_err().code(), Code::Busy);
    session.put(queue, &message(1)).unwrap();
    assert_eq!(session.prepare(b"").unwrap_err().code(), Code::Busy);
    session.rollback().unwrap();
    store.finish(&id, true).unwrap();
    assert_eq!(store.put(queue, &[message(1)]).unwrap_err().code(), Code::OutOfOrder);
    store.put(queue, &[message(3)]).unwrap();
}

#[test]
fn a_resolve_and_a_takeover_before_the_prepare_refuse_it_and_behind_it_change_nothing() {
    everywhere(|place| {
        let store = &place.store;
        put(store, store.queue("in").unwrap(), &["1"]);
        let mut session = store.session_with(&named("mover")).unwrap();
        let out_queue = store.queue("out").unwrap();
        session.put(out_queue, &Message::new(b"a")).unwrap();
        let id = session.id().unwrap();
        assert_eq!(store.resolve(&id).unwrap(), Outcome::RolledBack, "{}", place.name);
        assert_eq!(session.prepare(b"").unwrap_err().code(), Code::RolledBack);
        let id = prepare(store, &mut session, 1, &["b"]);
        session.put(out_queue, &Message::new(b"c")).unwrap();
        let other = SessionOptions { takeover: true, ..named("mover") };
        let mut other = store.session_with(&other).unwrap();
        other.put(out_queue, &Message::new(b"d")).unwrap();
        assert_eq!(session.prepare(b"x").unwrap_err().code(), Code::Fenced);
        drop(session);
        other.commit().unwrap();
        assert_eq!(rest(store).0, [""; 0]);
        store.finish(&id, true).unwrap();
        assert_eq!(out(store), ["d", "b"]);
    });
}

#[test]
fn a_key_waits_for_what_is_held_of_it_and_one_at_a_time_stays_so() {
    let place = Place::local();
    let store = &place.store;
    let queue = store.queue("in").unwrap();
    let keyed = |key: &'static str, payload: &'static str| Message {
        key: key.as_bytes(),
        ..Message::new(payload.as_bytes())
    };
    let rules = Rules { keyed: true, shared: true, ..Rules::default() };
    for (parallel, reopen) in [(0, false), (0, true), (1, false), (1, true)] {
        store.put(queue, &[keyed("k", "k1"), keyed("k", "k2"), keyed("l", "l1")]).unwrap();
        let options =
            ConsumerOptions { rules: Rules { parallel, ..rules }, ..ConsumerOptions::default() };
        let mut reader = store.consumer("keys", queue, &options).unwrap();
        let mut session = store.session().unwrap();
        assert_eq!(payloads(&session.receive(&reader, 1, SOON).unwrap()), ["k1"]);
        let id = session.prepare(b"").unwrap();
        if reopen {
            drop(reader);
            reader = store.consumer("keys", queue, &options).unwrap();
        }
        let meanwhile = payloads(&reader.receive(9, NOW).unwrap());
        match parallel {
            0 => assert_eq!(meanwhile, ["l1"]),
            _ => assert_eq!(meanwhile, [""; 0]),
        }
        store.finish(&id, reopen).unwrap();
        let next = reader.receive(1, SOON).unwrap();
        assert_eq!(payloads(&next), [if reopen { "k2" } else { "k1" }], "{parallel}");
        drop(reader);
        store.queue_purge(queue).unwrap();
    }
}

#[test]
fn an_expired_message_that_is_held_is_no_dead_letter() {
    let disk = ModelDisk::new();
    let store = on_disk(&disk);
    let (queue, dead) = (store.queue("in").unwrap(), store.queue("dead").unwrap());
    let soon = disk.now_ms() + 1_000;
    store.put(queue, &[Message { expires_ms: soon, ..Message::new(b"short") }]).unwrap();
    let rules = Rules { dead_letters: Some(dead), max_deliveries: 5, ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let reader = store.consumer("r", queue, &options).unwrap();
    let mut session = store.session().unwrap();
    assert_eq!(session.receive(&reader, 1, NOW).unwrap().len(), 1);
    let id = session.prepare(b"").unwrap();
    drop((session, reader));
    disk.advance_ms(5_000);
    let reader = store.consumer("r", queue, &options).unwrap();
    assert!(reader.receive(9, NOW).unwrap().is_empty());
    store.finish(&id, true).unwrap();
    assert!(reader.receive(9, NOW).unwrap().is_empty());
    assert_eq!(waiting(&store, dead), [""; 0]);
}

#[test]
fn nobody_sees_or_ends_the_prepared_transaction_of_another_user_but_an_administrator() {
    let place = Place::remote();
    let cid = by_url(&place.url("cid"), connect()).unwrap();
    let ann = &place.store;
    place.own.queue("out").unwrap();
    let out_queue = cid.queue("out").unwrap();
    let mut session = cid.session().unwrap();
    session.put(out_queue, &Message::new(b"a")).unwrap();
    let id = session.prepare(b"same").unwrap();
    let mut other = ann.session().unwrap();
    other.put(ann.queue("out").unwrap(), &Message::new(b"b")).unwrap();
    // The names of one user's coordinator are not those of another.
    let theirs = other.prepare(b"same").unwrap();
    let seen = |store: &Store| -> Vec<TransactionId> {
        store.prepared().unwrap().iter().map(|one| one.id).collect()
    };
    assert_eq!(seen(&cid), [id]);
    assert_eq!(seen(ann).len(), 2);
    assert_eq!(cid.finish(&theirs, true).unwrap_err().code(), Code::Denied);
    assert_eq!(cid.resolve(&theirs).unwrap_err().code(), Code::Denied);
    cid.finish(&id, true).unwrap();
    ann.finish(&theirs, false).unwrap();
    assert_eq!(out(&place.own), ["a"]);
}

#[test]
fn a_prepared_transaction_outlives_its_connection_and_the_idle_time() {
    let place = Place::remote();
    put(&place.own, place.own.queue("in").unwrap(), &["1", "2"]);
    let client = place.another();
    let options = SessionOptions { idle_ms: 50, ..SessionOptions::default() };
    let mut session = client.session_with(&options).unwrap();
    let id = prepare(&client, &mut session, 1, &["a"]);
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop(session);
    client.close().unwrap();
    assert_eq!(place.store.resolve(&id).unwrap(), Outcome::Pending);
    assert_eq!(rest(&place.store).0, ["2"]);
    place.store.finish(&id, false).unwrap();
    assert_eq!(out(&place.store), [""; 0]);
}

fn on_disk(disk: &ModelDisk) -> Store {
    let options = StoreOptions { helper: false, segment_bytes: 4096, ..StoreOptions::default() };
    Store::open_on(Arc::new(disk.clone()), &options).unwrap()
}

fn staged(disk: &ModelDisk) -> usize {
    disk.snapshot().into_keys().filter(|name| name.ends_with(".stg")).count()
}

#[test]
fn it_outlives_every_segment_it_was_written_in_and_leaves_no_file_after_a_roll_back() {
    let disk = ModelDisk::new();
    let store = on_disk(&disk);
    put(&store, store.queue("in").unwrap(), &["1", "2"]);
    let mut session = store.session().unwrap();
    let ids = ["a", "b"].map(|payload| {
        session.put(store.queue("out").unwrap(), &Message::new(payload.as_bytes())).unwrap();
        session.prepare(payload.as_bytes()).unwrap()
    });
    drop(session);
    let filler = store.queue("filler").unwrap();
    let reader = store.consumer("c", filler, &ConsumerOptions::default()).unwrap();
    for _ in 0..40 {
        put(&store, filler, &[&"x".repeat(900)]);
        let found = reader.receive(9, NOW).unwrap();
        reader.ack(&found.iter().map(repliq::Received::sequence).collect::<Vec<_>>()).unwrap();
    }
    drop(reader);
    disk.advance_ms(3 * DAY_MS);
    // A session is opened, so that those of age are forgotten.
    store.session().unwrap().id().unwrap();
    assert_eq!(staged(&disk), 2);
    drop(store);
    for disk in [disk.kill(), disk.power_cut(Cut::Nothing)] {
        let store = on_disk(&disk);
        assert_eq!((staged(&disk), store.prepared().unwrap().len()), (2, 2));
        store.verify(&mut |_| Ok(())).unwrap();
        store.finish(&ids[0], false).unwrap();
        assert_eq!(staged(&disk), 1);
        store.finish(&ids[1], true).unwrap();
        assert_eq!(out(&store), ["b"]);
        drop(store);
        let store = on_disk(&disk.kill());
        assert_eq!(out(&store), ["b"]);
    }
}

#[test]
fn a_backup_holds_what_is_prepared_and_it_can_be_committed_after_the_restore() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::local();
    put(&place.store, place.store.queue("in").unwrap(), &["1", "2"]);
    let mut session = place.store.session().unwrap();
    let id = prepare(&place.store, &mut session, 1, &["a"]);
    let (backup, restored) = (folder.path().join("backup"), folder.path().join("restored"));
    place.store.backup(&backup).unwrap();
    place.store.finish(&id, false).unwrap();
    Store::restore(&backup, &restored, &StoreOptions::default()).unwrap();
    let store = Store::open(&restored, &StoreOptions::default()).unwrap();
    assert_eq!(rest(&store).0, ["2"]);
    store.finish(&id, true).unwrap();
    assert_eq!((out(&store), rest(&store).0), (vec!["a".into()], vec!["2".into()]));
}

/// Prepares and ends at every write and sync of a power cut: what was told stays so.
#[test]
fn after_a_power_cut_at_any_write_a_prepared_transaction_is_there_or_was_never_told() {
    for crash in 0.. {
        let disk = ModelDisk::new();
        let store = on_disk(&disk);
        let (from, to) = (store.queue("in").unwrap(), store.queue("out").unwrap());
        put(&store, from, &["1", "2", "3", "4"]);
        let reader = store.consumer("r", from, &ConsumerOptions::default()).unwrap();
        let mut session = store.session_with(&named("mover")).unwrap();
        disk.stop_at(disk.ops() + 1 + crash);
        // Identity, what was asked of it, and whether that was answered.
        let mut told: Vec<(TransactionId, Option<(bool, bool)>)> = Vec::new();
        for n in 0..4 {
            if session.receive(&reader, 1, NOW).is_err() {
                break;
            }
            let payload = format!("{n}").repeat(700);
            if session.put(to, &Message::new(payload.as_bytes())).is_err() {
                break;
            }
            let Ok(id) = session.prepare(b"") else { break };
            told.push((id, None));
            if n < 3 {
                let commit = n % 2 == 0;
                told[n].1 = Some((commit, store.finish(&id, commit).is_ok()));
            }
        }
        let done = told.len() == 4;
        drop((session, reader, store));
        for cut in [Cut::Nothing, Cut::All, Cut::Random(crash)] {
            let store = on_disk(&disk.power_cut(cut));
            for (n, (id, asked)) in told.iter().enumerate() {
                let outcome = store.resolve(id).unwrap();
                let sound = match (asked, outcome) {
                    (None, outcome) => outcome == Outcome::Pending,
                    (Some((true, _)), Outcome::Committed(_)) => true,
                    (Some((false, _)), Outcome::RolledBack) => true,
                    (Some((_, answered)), Outcome::Pending) => !answered,
                    _ => false,
                };
                assert!(sound, "crash {crash}, {n}: {asked:?} is {outcome:?}");
            }
            let waits = store.prepared().unwrap();
            for one in &waits {
                store.finish(&one.id, true).unwrap();
            }
            let committed = told
                .iter()
                .filter(|(id, _)| matches!(store.resolve(id).unwrap(), Outcome::Committed(_)));
            let known = committed.count();
            let found = out(&store);
            // One more may have been prepared whose answer was lost.
            assert!(found.len() == known || found.len() == known + 1, "crash {crash}: {found:?}");
            let reader = store.consumer("r", from, &ConsumerOptions::default()).unwrap();
            let left = reader.receive(9, NOW).unwrap().len();
            assert_eq!(left + found.len(), 4, "crash {crash}: consumed and produced together");
            store.verify(&mut |_| Ok(())).unwrap();
        }
        if done {
            break;
        }
    }
}
