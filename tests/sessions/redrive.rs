//! Dead letters at a server: put back or dropped by whoever administers the queues they came from.

use crate::place::{NOW, Place, SOON, by_url, connect, payloads, put};
use repliq::{Code, ConsumerOptions, Message, Queue, RedriveOptions, Rules, Store};

const ALL: RedriveOptions = RedriveOptions { max: 0, drop: false };
const DROP: RedriveOptions = RedriveOptions { max: 0, drop: true };

/// Puts messages of one key and gives the first up, behind which the others wait.
fn give_up(store: &Store, queue: Queue, dead: Queue, payloads: &[&str]) -> repliq::Consumer {
    let rules = Rules {
        keyed: true,
        max_deliveries: 1,
        dead_letters: Some(dead),
        after_dead_letter: repliq::Hold::Block,
        ..Rules::default()
    };
    for payload in payloads {
        store.put(queue, &[Message { key: b"k", ..Message::new(payload.as_bytes()) }]).unwrap();
    }
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let worker = store.consumer("w", queue, &options).unwrap();
    let got = worker.receive(1, SOON).unwrap();
    worker.reject(&[got[0].sequence()]).unwrap();
    assert!(worker.receive(9, NOW).unwrap().is_empty());
    worker
}

#[test]
fn reg_14_letters_are_put_back_and_dropped_at_a_server_as_in_a_directory() {
    for place in [Place::local(), Place::remote()] {
        let store = &place.store;
        let (queue, dead) = (store.queue("q").unwrap(), store.queue("dead").unwrap());
        let worker = give_up(store, queue, dead, &["1", "2"]);
        put(store, dead, &["no letter"]);
        let told = store.redrive(dead, &ALL).unwrap();
        assert_eq!((told.done, told.refused.len()), (1, 1), "{}", place.name);
        assert!(told.refused[0].1.contains("does not say where"), "{:?}", told.refused);
        let got = worker.receive(1, SOON).unwrap();
        assert_eq!(payloads(&got), ["1"], "{}", place.name);
        worker.reject(&[got[0].sequence()]).unwrap();
        assert!(worker.receive(9, NOW).unwrap().is_empty());
        assert_eq!(store.redrive(dead, &RedriveOptions { max: 1, drop: true }).unwrap().done, 1);
        assert_eq!(payloads(&worker.receive(1, SOON).unwrap()), ["2"], "{}", place.name);
        assert_eq!(store.redrive(dead, &DROP).unwrap().done, 0);
        let missing = Queue::from_number(999);
        assert_eq!(store.redrive(missing, &ALL).unwrap_err().code(), Code::NoSuchName);
    }
}

#[test]
fn letters_go_back_only_to_queues_their_user_administers_and_many_go_in_parts() {
    let place = Place::remote();
    let own = &place.own;
    let (dead, other) = (own.queue("dead").unwrap(), own.queue("other").unwrap());
    let queue = own.queue("in").unwrap();
    let first = give_up(own, queue, dead, &["a"]);
    let second = give_up(own, other, dead, &["b"]);
    let cid = by_url(&place.url("cid"), connect()).unwrap();
    let denied = cid.redrive(dead, &ALL).unwrap_err();
    assert_eq!(denied.code(), Code::NoSuchName, "it may not even see it: {denied}");
    let dan = by_url(&place.url("dan"), connect()).unwrap();
    for options in [ALL, DROP] {
        let told = dan.redrive(dead, &options).unwrap();
        assert_eq!(told.refused.len(), 1, "{told:?}");
        assert!(told.refused[0].1.contains("may not"), "{told:?}");
    }
    assert_eq!(payloads(&first.receive(9, SOON).unwrap()), ["a"]);
    assert!(second.receive(9, NOW).unwrap().is_empty());
    assert_eq!(place.store.redrive(dead, &ALL).unwrap().done, 1);
    assert_eq!(payloads(&second.receive(9, SOON).unwrap()), ["b"]);
    // More refused ones than one answer tells.
    let letters = vec!["no letter"; 25_000];
    put(own, dead, &letters);
    let told = place.store.redrive(dead, &ALL).unwrap();
    assert_eq!((told.done, told.refused.len()), (0, 25_000));
    assert!(told.refused.is_sorted_by(|one, next| one.0 < next.0), "each is told once");
}
