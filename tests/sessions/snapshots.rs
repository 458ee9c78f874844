//! A snapshot at a server is one: it stays as it was, and goes with its connection.

use crate::place::{Place, by_url, connect, everywhere, payloads, put};
use crate::remote::Cable;
use repliq::{Code, Queue};

#[test]
fn a_snapshot_shows_the_moment_it_was_taken_in_whatever_becomes_of_the_queue() {
    everywhere(|place| {
        let store = &place.store;
        let queue = store.queue("in").unwrap();
        put(store, queue, &["a", "b", "c"]);
        let snapshot = store.snapshot().unwrap();
        put(store, queue, &["d"]);
        store.queue_purge(queue).unwrap();
        let page = |from, max| payloads(&snapshot.browse(queue, from, max).unwrap());
        assert_eq!(page(1, 2), ["a", "b"], "{}", place.name);
        store.queue_delete(queue).unwrap();
        let later = store.queue("in").unwrap();
        put(store, later, &["of another queue"]);
        assert_eq!(page(3, 9), ["c"], "{}", place.name);
        let error = snapshot.browse(later, 1, 9).unwrap_err();
        assert_eq!(error.code(), Code::NoSuchName, "{}: {error}", place.name);
        let fresh = store.snapshot().unwrap();
        assert_eq!(payloads(&fresh.browse(later, 1, 9).unwrap()), ["of another queue"]);
    });
}

#[test]
fn a_snapshot_goes_with_its_connection_and_says_so() {
    let place = Place::remote();
    let queue = place.own.queue("in").unwrap();
    put(&place.own, queue, &["a"]);
    let cable = Cable::to(&place);
    let store = by_url(&cable.url(), connect()).unwrap();
    let queue = store.queue("in").unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(payloads(&snapshot.browse(queue, 1, 9).unwrap()), ["a"]);
    cable.cut();
    // It may take a moment until the cut is seen, and that is another connection then.
    put(&store, queue, &["b"]);
    let error = snapshot.browse(queue, 1, 9).unwrap_err();
    assert_eq!(error.code(), Code::Closed, "{error}");
    assert!(error.to_string().contains("went with its connection"), "{error}");
    let another = store.snapshot().unwrap();
    assert_eq!(payloads(&another.browse(queue, 1, 9).unwrap()), ["a", "b"]);
}

#[test]
fn a_connection_has_so_many_snapshots_and_each_is_given_back_by_a_drop() {
    let place = Place::remote();
    let queue = place.store.queue("in").unwrap();
    put(&place.store, queue, &["a"]);
    let mut held: Vec<_> = (0..16).map(|_| place.store.snapshot().unwrap()).collect();
    let error = place.store.snapshot().err().unwrap();
    assert_eq!(error.code(), Code::Quota, "{error}");
    held.pop();
    held.push(place.store.snapshot().unwrap());
    assert!(held.iter().all(|one| one.browse(queue, 1, 9).unwrap().len() == 1));
}

#[test]
fn who_may_not_browse_a_queue_sees_nothing_of_it_in_a_snapshot() {
    let place = Place::remote();
    let out = place.own.queue("out").unwrap();
    put(&place.own, out, &["secret"]);
    // He may publish there, and consume elsewhere.
    let cid = by_url(&place.url("cid"), connect()).unwrap();
    let snapshot = cid.snapshot().unwrap();
    for queue in [out, Queue::from_number(99)] {
        assert_eq!(snapshot.browse(queue, 1, 9).unwrap_err().code(), Code::Denied);
    }
}
