//! What becomes of messages that fail again and again.

use crate::{NOW, Place, SOON, keyed, take, texts};
use repliq::{Code, Consumer, ConsumerOptions, Message, Queue, Received, Rules};

fn dying(place: &Place, rules: Rules) -> (Queue, Rules) {
    let dead = place.store.queue("dead").unwrap();
    (dead, Rules { max_deliveries: 5, dead_letters: Some(dead), ..rules })
}

fn letters(place: &Place, dead: Queue) -> Vec<Received> {
    place.store.snapshot().unwrap().browse(dead, 1, 99).unwrap()
}

fn header(letter: &Received, name: &str) -> String {
    let found = letter.headers().find(|(known, _)| *known == name);
    String::from_utf8(found.expect(name).1.to_vec()).unwrap()
}

fn fail(worker: &Consumer, reason: &str) {
    let got = worker.receive(1, NOW).unwrap();
    assert_eq!(texts(&got), ["K1"]);
    worker.reject_with(&[got[0].sequence()], None, reason).unwrap();
}

#[test]
fn reg_13_after_the_last_try_a_message_is_a_dead_letter_and_other_recipients_are_not_touched() {
    let place = Place::new();
    place.disk.set_now_ms(1_000_000);
    let own = Message { kind: 9, key: b"K", headers: &[("own", b"1")], ..Message::new(b"K1") };
    place.put_one(&own);
    place.put("K", "K2");
    let (dead, rules) = dying(&place, keyed());
    let worker = place.open(rules);
    let other = place.store.consumer("other", place.queue, &ConsumerOptions::default()).unwrap();
    for at in 1..=5 {
        assert!(letters(&place, dead).is_empty());
        fail(&worker, &format!("failure {at}"));
        place.disk.advance_ms(10);
    }
    assert_eq!(texts(&worker.receive(9, SOON).unwrap()), ["K2"]);
    let letters = letters(&place, dead);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.payload(), letter.kind(), letter.key()), (&b"K1"[..], 9, &b"K"[..]));
    let origin = format!("{}/1", place.queue.number());
    for (name, value) in [
        ("own", "1"),
        ("repliq-reason", "failure 5"),
        ("repliq-failures", "5"),
        ("repliq-origin", &origin),
        ("repliq-consumer", "worker"),
        ("repliq-first-ms", "1000000"),
        ("repliq-last-ms", "1000050"),
    ] {
        assert_eq!(header(letter, name), value, "{name}");
    }
    assert_eq!(take(&other, 9), ["K1", "K2"]);
}

#[test]
fn a_message_that_ends_the_process_each_time_does_not_come_for_ever() {
    for rules in [Rules::default(), keyed()] {
        let mut place = Place::new();
        place.put("K", "K1");
        place.put("L", "L1");
        for deliveries in 1..=5 {
            let (_, rules) = dying(&place, rules);
            let worker = place.open(rules);
            let got = worker.receive(1, NOW).unwrap();
            assert_eq!((texts(&got), got[0].deliveries()), (vec!["K1".into()], deliveries));
            std::mem::forget(worker);
            place = place.killed();
        }
        let (dead, rules) = dying(&place, rules);
        assert_eq!(take(&place.open(rules), 9), ["L1"]);
        let letters = letters(&place, dead);
        assert_eq!(texts(&letters), ["K1"]);
        assert_eq!(header(&letters[0], "repliq-failures"), "5");
        let place = place.killed();
        assert_eq!(take(&place.open(rules), 9), ["L1"], "once and for all");
    }
}

#[test]
fn who_works_on_a_message_that_was_given_up_meanwhile_is_late() {
    let place = Place::new();
    place.put("K", "K1");
    let dead = place.store.queue("dead").unwrap();
    let rules = Rules { lease_ms: 20, max_deliveries: 1, dead_letters: Some(dead), ..keyed() };
    let (slow, quick) = (place.open(rules), place.open(rules));
    assert_eq!(take(&slow, 1), ["K1"]);
    while letters(&place, dead).is_empty() {
        assert!(quick.receive(1, std::time::Duration::from_millis(50)).unwrap().is_empty());
    }
    assert_eq!(slow.ack(&[1]).unwrap_err().code(), Code::Stale);
}

#[test]
fn where_a_letter_cannot_be_put_its_message_waits_and_nothing_is_lost() {
    let place = Place::new();
    place.put("K", "K1");
    let (dead, rules) = dying(&place, Rules::default());
    let worker = place.open(rules);
    (0..5).for_each(|_| fail(&worker, "no"));
    place.store.queue_pause(dead).unwrap();
    let error = worker.receive(1, NOW).unwrap_err();
    assert_eq!(error.code(), Code::Paused);
    assert!(error.to_string().contains("message 1 cannot be moved"), "{error}");
    place.store.queue_resume(dead).unwrap();
    assert_eq!(take(&worker, 1), [""; 0]);
    assert_eq!(texts(&letters(&place, dead)), ["K1"]);
}

#[test]
fn a_bound_and_a_queue_for_what_is_beyond_it_go_together() {
    let place = Place::new();
    let open = |rules| {
        let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
        place.store.consumer("worker", place.queue, &options).map(|_| ()).unwrap_err().code()
    };
    assert_eq!(open(Rules { max_deliveries: 3, ..Rules::default() }), Code::Invalid);
    let nowhere = Some(Queue::from_number(99));
    assert_eq!(open(Rules { dead_letters: nowhere, ..Rules::default() }), Code::Invalid);
    let rules = Rules { max_deliveries: 3, dead_letters: nowhere, ..Rules::default() };
    assert_eq!(open(rules), Code::NoSuchName);
}
