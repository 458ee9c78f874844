//! What becomes of others' transactions is no outcome of one's own: a call that only brings to the disk what others
//! appended says that the store is POISONED when that fails, and OUTCOME_UNKNOWN is said of what the caller committed.

use crate::oracle::small;
use crate::world::{Link, Node, Plan, options};
use repliq::disk::model::{Cut, Mode, ModelDisk};
use repliq::{Code, ConsumerOptions, Error, Level, Message, Result, Session, Store};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Calls `call` with each of its disk calls failing once, behind a record that nobody waits for; returns what was told.
fn told(
    ready: &dyn Fn() -> Node,
    call: &dyn Fn(&Node) -> Result<()>,
    is_done: &dyn Fn(&Store) -> bool,
) -> BTreeSet<&'static str> {
    let mut told = BTreeSet::new();
    for at in 1.. {
        let node = ready();
        // Appended, and durable with whatever is committed next.
        node.up().queue("of somebody else").unwrap();
        node.disk.fail_at(node.disk.ops() + at, libc::EIO, Mode::Once);
        let Err(error) = call(&node) else { return told };
        let done = is_done(node.up());
        assert_eq!(done, error.code() == Code::OutcomeUnknown, "call {at}: {error:?}");
        told.insert(error.code().name());
    }
    told
}

#[test]
fn a_receive_that_shows_what_others_appended_is_never_of_unknown_outcome() {
    let ready = || {
        let node = Node::with(1, options());
        let queue = node.up().queue("q").unwrap();
        node.up().consumer("c", queue, &ConsumerOptions::default()).unwrap();
        node.up().put_at(queue, &[Message::new(b"of somebody else")], Level::Process).unwrap();
        node
    };
    let call = |node: &Node| {
        let queue = node.up().find_queue("q")?;
        let consumer = node.up().consumer("c", queue, &ConsumerOptions::default())?;
        consumer.receive(1, Duration::from_millis(1)).map(|_| ())
    };
    let told = told(&ready, &call, &|_| false);
    assert!(told.contains("POISONED"), "{told:?}");
}

#[test]
fn a_wait_and_a_backup_that_fail_with_what_others_appended_are_never_of_unknown_outcome() {
    let ready = || {
        let node = Node::with(1, options());
        let queue = node.up().queue("q").unwrap();
        node.up().put(queue, &[Message::new(b"first")]).unwrap();
        node
    };
    let backup = |node: &Node| node.up().backup_on(&ModelDisk::new()).map(|_| ());
    let told = told(&ready, &backup, &|_| false);
    assert!(told.contains("POISONED"), "{told:?}");
    let closed = |node: &Node| node.up().close();
    let told = self::told(&ready, &closed, &|_| false);
    assert!(told.contains("POISONED"), "{told:?}");
}

#[test]
fn a_target_that_begins_is_of_unknown_outcome_only_where_its_own_record_is() {
    let ready = || {
        let node = Node::with(1, options());
        let queue = node.up().queue("root").unwrap();
        node.up().put(queue, &[Message::new(b"first")]).unwrap();
        node
    };
    let to = Node::with(2, options());
    let plan = Plan::new("root", "t", "q");
    let call = |node: &Node| Link::open(node, &to, &plan).map(|_| ());
    let begun = |store: &Store| !store.metrics().unwrap().targets.is_empty();
    let told = told(&ready, &call, &begun);
    assert!(told.contains("POISONED") && told.contains("OUTCOME_UNKNOWN"), "{told:?}");
}

/// Fills a session until it is staged, and lets the sync of its last file fail.
fn doomed(ask: &dyn Fn(&mut Session) -> Option<Error>) {
    let disk = ModelDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), &small(8192)).unwrap();
    let queue = store.queue("q").unwrap();
    store.put(queue, &[Message::new(b"before")]).unwrap();
    let mut told = BTreeSet::new();
    for at in 1..20 {
        let mut session = store.session().unwrap();
        session.id().unwrap();
        for _ in 0..20 {
            session.put(queue, &Message::new(&[7; 200])).unwrap();
        }
        disk.fail_at(disk.ops() + at, libc::EIO, Mode::Once);
        let first = ask(&mut session);
        disk.clear_faults();
        if first.is_none_or(|error| error.code() != Code::Io) {
            break;
        }
        told.insert(at);
        let put = session.put(queue, &Message::new(b"more")).unwrap_err();
        assert_eq!((put.code(), put.cause()), (Code::RollbackOnly, Code::Io), "{put:?}");
        let second = ask(&mut session).unwrap();
        assert_eq!((second.code(), second.cause()), (Code::RolledBack, Code::Io), "{second:?}");
        assert!(session.is_empty(), "call {at}");
        // The next one of the session is whole again.
        session.put(queue, &Message::new(b"after")).unwrap();
        session.commit().unwrap();
        assert!(store.prepared().unwrap().is_empty());
    }
    assert!(told.len() >= 2, "{told:?}");
    drop(store);
    let store = Store::open_on(Arc::new(disk.power_cut(Cut::Nothing)), &small(8192)).unwrap();
    let all = store.snapshot().unwrap().browse(queue, 1, 1_000).unwrap();
    assert_eq!(all.len(), 1 + told.len(), "a part of what could not be staged is there");
}

#[test]
fn txs_10_what_could_not_be_brought_to_the_disk_dooms_its_transaction_in_a_commit_and_in_a_prepare()
{
    doomed(&|session| session.commit().err());
    doomed(&|session| session.prepare(b"x").err());
}
