//! The identity of a transaction: what is told of it is final.

use crate::place::{NOW, Place, SOON, everywhere, put, waiting};
use repliq::disk::model::ModelDisk;
use repliq::{
    Code, ConsumerOptions, Level, Message, Outcome, SessionOptions, Store, StoreOptions,
    TransactionId,
};
use std::sync::Arc;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn named(name: &str) -> SessionOptions {
    SessionOptions { name: name.into(), ..SessionOptions::default() }
}

#[test]
fn an_identity_is_known_before_the_commit_and_says_what_became_of_it_ever_after() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let mut session = place.store.session().unwrap();
        let first = session.id().unwrap();
        assert_eq!((first.epoch, first.number), (1, 1));
        session.put(queue, &Message::new(b"1")).unwrap();
        let commit = session.commit().unwrap();
        for _ in 0..10 {
            let outcome = place.store.resolve(&first).unwrap();
            assert_eq!(outcome, Outcome::Committed(commit.token), "{}", place.name);
        }
        let second = session.id().unwrap();
        assert_eq!((second.session, second.number), (first.session, 2));
        session.put(queue, &Message::new(b"2")).unwrap();
        session.rollback().unwrap();
        let third = session.id().unwrap();
        assert!(third > second);
        session.put(queue, &Message::new(b"3")).unwrap();
        let last = session.commit().unwrap();
        assert_eq!(place.store.resolve(&first).unwrap(), Outcome::Expired);
        assert_eq!(place.store.resolve(&second).unwrap(), Outcome::Expired);
        assert_eq!(place.store.resolve(&third).unwrap(), Outcome::Committed(last.token));
        assert_eq!(waiting(&place.store, queue), ["1", "3"]);
    });
}

#[test]
fn txs_17_a_resolve_before_the_commit_rolls_back_and_the_late_commit_is_refused() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        put(&place.store, queue, &["in"]);
        let reader = place.store.consumer("r", queue, &ConsumerOptions::default()).unwrap();
        let mut session = place.store.session().unwrap();
        let id = session.id().unwrap();
        assert_eq!(session.receive(&reader, 1, SOON).unwrap().len(), 1);
        session.put(queue, &Message::new(b"late")).unwrap();
        assert_eq!(place.store.resolve(&id).unwrap(), Outcome::RolledBack, "{}", place.name);
        assert_eq!(session.commit().unwrap_err().code(), Code::RolledBack);
        assert_eq!(place.store.resolve(&id).unwrap(), Outcome::RolledBack);
        assert_eq!(waiting(&place.store, queue), ["in"]);
        // The session goes on with the next one, and what it had received came back.
        assert_eq!(session.receive(&reader, 1, SOON).unwrap()[0].deliveries(), 2);
        session.put(queue, &Message::new(b"next")).unwrap();
        session.commit().unwrap();
        assert_eq!(place.store.resolve(&id).unwrap(), Outcome::Expired);
        assert_eq!(waiting(&place.store, queue), ["next"]);
    });
}

#[test]
fn a_resolve_also_refuses_a_transaction_that_was_staged_in_files() {
    everywhere(|place| {
        let queue = place.store.queue("q").unwrap();
        let mut session = place.store.session().unwrap();
        let payload = vec![1; 400_000];
        let put_all = |session: &mut repliq::Session| {
            for _ in 0..6 {
                session.put(queue, &Message::new(&payload)).unwrap();
            }
        };
        let first = session.id().unwrap();
        put_all(&mut session);
        assert_eq!(place.store.resolve(&first).unwrap(), Outcome::RolledBack, "{}", place.name);
        assert_eq!(session.commit().unwrap_err().code(), Code::RolledBack);
        let second = session.id().unwrap();
        put_all(&mut session);
        let commit = session.commit().unwrap();
        assert_eq!(place.store.resolve(&second).unwrap(), Outcome::Committed(commit.token));
        assert_eq!(place.store.queues().unwrap()[0].next_sequence, 7);
    });
}

#[test]
fn txs_18_an_outcome_is_kept_across_a_restart() {
    let place = Place::local();
    let queue = place.store.queue("q").unwrap();
    let mut session = place.store.session_with(&named("mover")).unwrap();
    let first = session.id().unwrap();
    session.put(queue, &Message::new(b"1")).unwrap();
    let commit = session.commit().unwrap();
    let second = session.id().unwrap();
    session.put(queue, &Message::new(b"2")).unwrap();
    drop(session);
    let place = place.reopened();
    assert_eq!(place.store.resolve(&first).unwrap(), Outcome::Committed(commit.token));
    assert_eq!(place.store.resolve(&second).unwrap(), Outcome::RolledBack);
    let mut again = place.store.session_with(&named("mover")).unwrap();
    let third = again.id().unwrap();
    assert_eq!((third.session, third.epoch, third.number), (first.session, 2, 1));
    assert_eq!(place.store.resolve(&first).unwrap(), Outcome::Committed(commit.token));
    assert_eq!(place.store.resolve(&second).unwrap(), Outcome::RolledBack);
    again.put(queue, &Message::new(b"3")).unwrap();
    again.commit().unwrap();
    assert_eq!(place.store.resolve(&first).unwrap(), Outcome::Expired);
}

fn on_disk(disk: &ModelDisk) -> Store {
    let options = StoreOptions { helper: false, segment_bytes: 4096, ..StoreOptions::default() };
    Store::open_on(Arc::new(disk.clone()), &options).unwrap()
}

#[test]
fn txs_18_an_outcome_is_forgotten_a_day_after_the_last_use_and_then_expired() {
    let disk = ModelDisk::new();
    let store = on_disk(&disk);
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    let id = session.id().unwrap();
    session.put(queue, &Message::new(b"1")).unwrap();
    let commit = session.commit().unwrap();
    disk.advance_ms(DAY_MS + 1);
    // While a session is open it is not forgotten, and others are opened.
    store.session().unwrap().id().unwrap();
    assert_eq!(store.resolve(&id).unwrap(), Outcome::Committed(commit.token));
    drop(session);
    disk.advance_ms(DAY_MS - 1);
    store.session().unwrap().id().unwrap();
    assert_eq!(store.resolve(&id).unwrap(), Outcome::Expired);
}

#[test]
fn a_resolve_of_what_cannot_be_is_invalid_and_of_a_stranger_expired() {
    everywhere(|place| {
        let mut session = place.store.session().unwrap();
        let id = session.id().unwrap();
        let ahead = TransactionId { epoch: 2, ..id };
        let code = place.store.resolve(&ahead).unwrap_err().code();
        assert_eq!(code, Code::Invalid, "{}", place.name);
        let stranger = TransactionId { session: [7; 16], ..id };
        assert_eq!(place.store.resolve(&stranger).unwrap(), Outcome::Expired);
    });
}

#[test]
fn a_session_of_one_user_is_neither_opened_nor_continued_by_another() {
    let place = Place::local();
    let of = |user: &str| SessionOptions { user: user.into(), ..named("mover") };
    let mut ann = place.own.session_with(&of("ann")).unwrap();
    ann.id().unwrap();
    let error = place.own.session_with(&of("ben")).err().unwrap();
    assert_eq!(error.code(), Code::Denied);
    let forced = SessionOptions { takeover: true, ..of("ben") };
    assert_eq!(place.own.session_with(&forced).err().unwrap().code(), Code::Denied);
    drop(ann);
    assert_eq!(place.own.session_with(&of("ben")).err().unwrap().code(), Code::Denied);
}

#[test]
fn a_session_is_remembered_over_rolls_of_the_journal() {
    let disk = ModelDisk::new();
    let store = on_disk(&disk);
    let queue = store.queue("q").unwrap();
    let mut session = store.session_with(&named("mover")).unwrap();
    session.put(queue, &Message::new(b"1")).unwrap();
    let id = session.id().unwrap();
    let commit = session.commit().unwrap();
    for _ in 0..30 {
        put(&store, queue, &[&"x".repeat(900)]);
    }
    drop(session);
    store.close().unwrap();
    let store = on_disk(&disk);
    assert_eq!(store.resolve(&id).unwrap(), Outcome::Committed(commit.token));
    let next = store.session_with(&named("mover")).unwrap().id().unwrap();
    assert_eq!((next.session, next.epoch), (id.session, id.epoch + 1));
}

/// Commits and asks at every write and sync of a power cut: what is told is what readers see.
#[test]
fn after_a_power_cut_at_any_write_the_outcome_is_what_readers_see_and_stays_so() {
    for crash in 0.. {
        let disk = ModelDisk::new();
        let store = on_disk(&disk);
        let queue = store.queue("q").unwrap();
        let mut session = store.session_with(&named("mover")).unwrap();
        disk.stop_at(disk.ops() + 1 + crash);
        let mut known = Vec::new();
        for n in 0..12 {
            let Ok(id) = session.id() else { break };
            let payload = format!("{n:04}").repeat(60);
            let put = session.put(queue, &Message::new(payload.as_bytes()));
            let level = if n % 3 == 0 { Level::Process } else { Level::Power };
            let done = put.and_then(|()| session.commit_at(level)).is_ok();
            known.push((id, payload, done && level == Level::Power));
            if !done {
                break;
            }
        }
        let crashed = disk.is_stopped();
        drop(session);
        drop(store);
        let disk = disk.power_cut(repliq::disk::model::Cut::Random(crash));
        let store = on_disk(&disk);
        let seen = store.find_queue("q").map(|queue| waiting(&store, queue)).unwrap_or_default();
        let mut told = Vec::new();
        for (id, payload, sure) in &known {
            let outcome = store.resolve(id).unwrap();
            let there = seen.contains(payload);
            match outcome {
                Outcome::Committed(token) => {
                    assert!(there, "crash {crash}: {id} is told committed and is not there");
                    store.wait("", &[token], NOW).unwrap();
                }
                Outcome::RolledBack => {
                    assert!(!there && !sure, "crash {crash}: {id} is told rolled back");
                }
                Outcome::Expired => {
                    let later = known
                        .iter()
                        .any(|(other, payload, _)| other > id && seen.contains(payload));
                    assert!(later, "crash {crash}: {id} is told expired");
                }
                _ => panic!("crash {crash}: {id} is {outcome:?}"),
            }
            told.push(outcome);
        }
        store.close().unwrap();
        let store = on_disk(&disk);
        for ((id, ..), outcome) in known.iter().zip(told) {
            assert_eq!(store.resolve(id).unwrap(), outcome, "crash {crash}");
        }
        if !crashed {
            assert!(crash > 20, "the work has {crash} steps only");
            break;
        }
    }
}
