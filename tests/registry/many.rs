//! Listening on many queues with one port.

use crate::{NOW, Place, SOON};
use repliq::{Code, Consumer, ConsumerOptions, Level, Message, Port, Queue};
use std::time::{Duration, Instant};

const QUEUES: usize = 10;

fn all(place: &Place) -> Vec<(Queue, Consumer)> {
    let open = |at: usize| {
        let queue = place.store.queue(&format!("queue {at}")).unwrap();
        let consumer = place.store.consumer("clerk", queue, &ConsumerOptions::default()).unwrap();
        (queue, consumer)
    };
    (0..QUEUES).map(open).collect()
}

#[test]
fn reg_20_who_listens_on_ten_queues_is_told_which_has_something_and_waits_as_long_as_he_says() {
    let place = Place::new();
    let (all, port) = (all(&place), Port::open().unwrap());
    for (tag, (_, consumer)) in (0..).zip(&all) {
        consumer.watch(&port, tag).unwrap();
    }
    let (wait, begun) = (Duration::from_millis(200), Instant::now());
    assert!(port.drain(QUEUES, wait).unwrap().is_empty());
    let waited = begun.elapsed();
    assert!(waited >= wait && waited < 10 * wait, "{waited:?}");
    for at in [7, 2, 9] {
        place.store.put(all[at].0, &[Message::new(b"a record")]).unwrap();
        let ended = port.drain(QUEUES, SOON).unwrap();
        assert_eq!(ended.iter().map(|event| event.tag).collect::<Vec<_>>(), [at as u64]);
        assert!(ended[0].outcome.is_ok());
        let got = all[at].1.receive(9, NOW).unwrap();
        assert_eq!((got.len(), got[0].queue()), (1, all[at].0));
    }
    // Closed is told, too: a receive would fail.
    all[4].1.close();
    let ended = port.drain(QUEUES, SOON).unwrap();
    assert_eq!((ended.len(), ended[0].tag), (1, 4));
    assert_eq!(all[4].1.receive(1, NOW).unwrap_err().code(), Code::Closed);
}

#[test]
fn reg_20_who_listens_is_told_of_what_nobody_had_synced_too() {
    let place = Place::new();
    let (all, port) = (all(&place), Port::open().unwrap());
    let put = |at: usize| {
        place.own.put_at(all[at].0, &[Message::new(b"a record")], Level::Process).unwrap()
    };
    put(1);
    for (tag, (_, consumer)) in (0..).zip(&all) {
        consumer.watch(&port, tag).unwrap();
    }
    for at in [1, 8] {
        let ended = port.drain(QUEUES, SOON).unwrap();
        assert_eq!(ended.iter().map(|event| event.tag).collect::<Vec<_>>(), [at as u64]);
        assert_eq!(all[at].1.receive(9, NOW).unwrap().len(), 1);
        put(8);
    }
}

#[test]
fn reg_20_a_full_queue_takes_the_turn_of_no_other() {
    let place = Place::new();
    let (all, port) = (all(&place), Port::open().unwrap());
    let put = |at: usize, count| {
        place.store.put(all[at].0, &vec![Message::new(b"a record"); count]).unwrap();
    };
    put(3, 1_000);
    for (tag, (_, consumer)) in (0..).zip(&all) {
        consumer.watch(&port, tag).unwrap();
    }
    let (mut received, mut others) = (0, 0);
    while others < 5 * (QUEUES - 1) {
        for event in port.drain(QUEUES, SOON).unwrap() {
            event.outcome.unwrap();
            let at = event.tag as usize;
            let got = all[at].1.receive(1, NOW).unwrap();
            assert!(got.iter().all(|one| one.queue() == all[at].0));
            others += if at == 3 { 0 } else { got.len() };
            received += got.len();
            if received % 50 == 1 {
                (0..QUEUES).filter(|other| *other != 3).for_each(|other| put(other, 1));
            }
            all[at].1.watch(&port, event.tag).unwrap();
        }
        assert!(received < 600, "{received} were received, of them {others} of the others");
    }
}
