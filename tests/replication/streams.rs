//! What a stream does when nothing goes wrong, and how it holds what its target has not got.

use crate::world::*;
use repliq::disk::model::Op;
use repliq::replicate::{Select, received};
use repliq::{Code, Message, StoreOptions};
use std::time::{Duration, Instant};

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..=to).map(|n| format!("message {n}")).collect()
}

#[test]
fn every_transaction_arrives_whole_once_and_in_order() {
    let (from, to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    from.put(ROOT, &numbered(1, 3)).unwrap();
    from.put_one("alone");
    let plan = Plan::new(ROOT, "one", "orders");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.put(ROOT, &numbered(4, 9)).unwrap();
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.transactions("orders"), from.transactions(ROOT));
    assert_eq!(to.transactions("orders").len(), 3);
}

#[test]
fn a_message_changed_on_its_way_is_refused_and_not_stored() {
    let (from, to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    from.put_one("what was meant");
    let mut link = Link::open(&from, &to, &Plan::new(ROOT, "one", ROOT)).unwrap();
    let mut changed = false;
    for _ in 0..40 {
        link.speak(clock.now);
        for (_, body) in link.forth.iter_mut().filter(|(kind, _)| *kind == 35) {
            *body.last_mut().unwrap() ^= 1;
            changed = true;
        }
        link.deliver(clock.now);
    }
    link.run(&mut clock);
    assert!(changed, "no message was on its way");
    refused(link.error.take(), Code::Corrupt, "fails its checksum");
    assert!(to.payloads(ROOT).is_empty());
}

#[test]
fn waiting_at_a_target_ends_when_it_has_the_transaction_durably() {
    let (from, to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", ROOT);
    from.put_one("first");
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    let token = from.put_one("second").token;
    let wait = |at: &str| from.up().wait(at, &[token], Duration::ZERO).map_err(|e| e.code());
    assert_eq!(wait("target:one"), Err(Code::Timeout));
    assert_eq!(wait("target:other"), Err(Code::NoSuchName));
    link.run(&mut clock);
    assert_eq!(wait("target:one"), Ok(()));
    assert_eq!(wait("target:*"), Ok(()));
}

#[test]
fn a_commit_is_at_its_target_after_one_round_trip_and_two_syncs_while_the_clock_stands() {
    // Segments that are not full yet: a roll has syncs of its own.
    let wide = StoreOptions { segment_bytes: 1 << 20, segment_bytes_max: 1 << 20, ..options() };
    let (from, to) = (Node::with(1, wide.clone()), Node::with(2, wide));
    let mut clock = Clock::new();
    from.put_one("first");
    let mut link = Link::open(&from, &to, &Plan::new(ROOT, "one", ROOT)).unwrap();
    link.run(&mut clock);
    for n in 0..20 {
        let syncs = || [&from, &to].map(|node| node.disk.calls(Op::Sync));
        let (before, said) = (syncs(), link.said.len());
        let mut confirmed = 0;
        let token = from.put_one(&format!("message {n}")).token;
        let is_there = || from.up().wait("target:one", &[token], Duration::ZERO).is_ok();
        assert!(!is_there());
        // It is sent at once, without being asked for and without any time passing.
        link.speak(clock.now);
        assert_eq!(link.forth.iter().map(|frame| frame.0).collect::<Vec<_>>(), [35], "{n}");
        let begun = Instant::now();
        while !is_there() {
            link.deliver(clock.now);
            link.speak(clock.now);
            confirmed += link.back.iter().filter(|frame| frame.0 == 37).count();
            // The sync of the receiver is done by a thread of its store.
            assert!(begun.elapsed() < Duration::from_secs(20), "{n} was never confirmed");
            std::thread::yield_now();
        }
        assert_eq!((link.said.len() - said, confirmed), (1, 1), "frames of {n}, there and back");
        let after = syncs();
        assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 1], "syncs of {n}");
    }
}

#[test]
fn a_selection_ships_its_portion_and_advances_over_the_rest() {
    let (from, to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    let root = from.queue(ROOT);
    let header = [("region", &b"north"[..])];
    for n in 0..30u16 {
        let payload = format!("{n}");
        let key = if n % 2 == 0 { "even" } else { "odd" };
        let message = Message {
            kind: n % 3,
            key: key.as_bytes(),
            headers: if n % 5 == 0 { &header } else { &[] },
            ..Message::new(payload.as_bytes())
        };
        from.up().put(root, &[message]).unwrap();
    }
    let last = from.put_one("end").token;
    let select = |kinds: &[u16], key: Option<&[u8]>, header: Option<(&str, Option<&str>)>| Select {
        kinds: kinds.to_vec(),
        key_prefix: key.map(<[u8]>::to_vec),
        header: header.map(|(name, value)| (name.to_string(), value.map(str::to_string))),
    };
    let cases = [
        ("kinds", select(&[1, 2], None, None), 20),
        ("key", select(&[], Some(b"od"), None), 15),
        ("header", select(&[], None, Some(("region", Some("north")))), 6),
        ("both", select(&[0], Some(b"even"), Some(("region", None))), 1),
        ("none", select(&[9], None, None), 0),
    ];
    for (name, select, count) in cases {
        let plan = Plan { select, ..Plan::new(ROOT, name, name) };
        assert!(ship(&from, &to, &plan, &mut clock).is_none());
        assert_eq!(to.payloads(name).len(), count, "{name}");
        from.up().wait(&format!("target:{name}"), &[last], Duration::ZERO).unwrap();
    }
}

#[test]
fn two_roots_to_one_server_are_two_streams() {
    // r17
    let (from, to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    from.put("a", &numbered(1, 5)).unwrap();
    from.put("b", &numbered(6, 9)).unwrap();
    let (a, b) = (Plan::new("a", "server", "qa"), Plan::new("b", "server", "qb"));
    let mut first = Link::open(&from, &to, &a).unwrap();
    let mut second = Link::open(&from, &to, &b).unwrap();
    second.run(&mut clock);
    from.put("a", &numbered(10, 11)).unwrap();
    first.run(&mut clock);
    second.run(&mut clock);
    assert!(first.error.is_none() && second.error.is_none());
    assert_eq!(to.transactions("qa"), from.transactions("a"));
    assert_eq!(to.transactions("qb"), from.transactions("b"));
    assert_eq!(received(from.up()).len(), 0);
    assert_eq!(received(to.up()).len(), 2);
}

#[test]
fn a_transaction_larger_than_a_frame_is_cut_and_committed_whole() {
    let large =
        repliq::StoreOptions { segment_bytes_max: 16 << 20, segment_bytes: 1 << 20, ..options() };
    let (from, to) = (Node::with(1, large.clone()), Node::with(2, large));
    let mut clock = Clock::new();
    let plan = Plan::new(ROOT, "one", ROOT);
    from.put_one("small");
    let big: Vec<String> = (0..40).map(|n| format!("{n}{}", "x".repeat(60_000))).collect();
    from.put(ROOT, &big).unwrap();
    from.put_one("after");
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    assert!(link.error.is_none());
    assert!(link.said.iter().filter(|(kind, _)| *kind == 36).count() > 5);
    assert_eq!(to.transactions(ROOT), from.transactions(ROOT));
    // Cut in the middle, nothing of it is there, and the next link brings it whole.
    from.put(ROOT, &big).unwrap();
    let mut link = Link::open(&from, &to, &plan).unwrap();
    let mut parts = 0;
    while parts < 3 {
        link.speak(clock.now);
        parts += link.forth.iter().filter(|(kind, _)| *kind == 36).count();
        link.deliver(clock.now);
    }
    drop(link);
    assert_eq!(to.transactions(ROOT).len(), 3);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.transactions(ROOT), from.transactions(ROOT));
}

#[test]
fn a_stream_keeps_what_its_target_has_not_confirmed_and_keep_keeps_more() {
    let none = repliq::StoreOptions { keep_ms: 0, keep_bytes: 0, ..options() };
    let (mut from, to, mut clock) = (Node::with(1, none), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", ROOT);
    from.put_one("first");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    for n in 0..300 {
        from.put_one(&format!("message {n} {}", "x".repeat(80)));
    }
    from.up().reclaim().unwrap();
    let names = |node: &Node| node.disk.names().iter().filter(|n| n.ends_with(".seg")).count();
    let held = from.payloads(ROOT).len();
    assert_eq!(held, 301, "unconfirmed messages were given back");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.stop();
    from.start().unwrap();
    from.up().reclaim().unwrap();
    assert!(from.payloads(ROOT).len() < 301, "nothing was given back of {} files", names(&from));
    assert_eq!(to.payloads(ROOT).len(), 301);
    // With time to keep, all of it stays until the time is over.
    let hour = repliq::StoreOptions { keep_ms: 3_600_000, ..options() };
    let (from, to) = (Node::with(3, hour), Node::new(4));
    for n in 0..300 {
        from.put_one(&format!("message {n} {}", "x".repeat(80)));
    }
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.put_one("last");
    from.up().reclaim().unwrap();
    assert_eq!(from.payloads(ROOT).len(), 301);
    from.disk.advance_ms(3_600_001);
    from.up().reclaim().unwrap();
    assert!(from.payloads(ROOT).len() < 301);
}

#[test]
fn a_refused_transaction_stops_the_stream_until_it_is_set_aside() {
    let small = repliq::StoreOptions { segment_bytes_max: 4096, ..options() };
    let (from, to, mut clock) = (Node::new(1), Node::with(2, small), Clock::new());
    let plan = Plan::new(ROOT, "one", "q");
    from.put_one("before");
    let queue = to.queue("q");
    to.up().queue_pause(queue).unwrap();
    let mut link = Link::open(&from, &to, &plan).unwrap();
    assert_eq!(link.target.skip().unwrap_err().code(), Code::Invalid);
    link.run(&mut clock);
    refused(link.error.take(), Code::Paused, "paused");
    assert!(link.status(&from).refused.is_some());
    link.target.skip().unwrap();
    // The order holds for the refused transaction only.
    from.put_one("after");
    to.up().queue_resume(queue).unwrap();
    let again = link.target.clone();
    drop(link);
    let (_, sender) =
        repliq::replicate::sender_of(from.up(), again, std::sync::Arc::new(|| {})).unwrap();
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.sender = Box::new(sender);
    link.run(&mut clock);
    assert!(link.error.is_none());
    assert_eq!(to.payloads("q"), ["after"]);
    assert_eq!(received(to.up())[0].2, [0, 0, 1]);
    assert_eq!(link.status(&from).skipped, 1);
}

#[test]
fn two_stores_that_feed_each_other_come_to_rest() {
    let (a, b, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    a.put("east", &numbered(1, 5)).unwrap();
    b.put("west", &numbered(6, 9)).unwrap();
    let (east, west) = (Plan::new("east", "b", "east"), Plan::new("west", "a", "west"));
    let mut links = [Link::open(&a, &b, &east).unwrap(), Link::open(&b, &a, &west).unwrap()];
    come_to_rest(&mut links, &mut clock);
    assert_eq!(b.payloads("east"), a.payloads("east"));
    assert_eq!(a.payloads("west"), b.payloads("west"));
}

/// Runs links side by side until nobody says anything any more.
fn come_to_rest(links: &mut [Link], clock: &mut Clock) {
    let said = |links: &[Link]| links.iter().map(|link| link.said.len()).sum::<usize>();
    for _ in 0..40 {
        let before = said(links);
        links.iter_mut().for_each(|link| link.run(clock));
        if said(links) == before {
            return;
        }
    }
    panic!("they never came to rest");
}

#[test]
fn two_stores_with_one_queue_feed_each_other_and_each_has_everything_once() {
    let (a, b, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    a.put(ROOT, &numbered(1, 5)).unwrap();
    b.put(ROOT, &numbered(6, 9)).unwrap();
    let (to_b, to_a) = (Plan::new(ROOT, "b", ROOT), Plan::new(ROOT, "a", ROOT));
    let mut links = [Link::open(&a, &b, &to_b).unwrap(), Link::open(&b, &a, &to_a).unwrap()];
    come_to_rest(&mut links, &mut clock);
    a.put(ROOT, &numbered(10, 12)).unwrap();
    come_to_rest(&mut links, &mut clock);
    for node in [&a, &b] {
        let mut all = node.payloads(ROOT);
        let mut whole = [numbered(1, 5), numbered(6, 9), numbered(10, 12)].concat();
        all.sort();
        whole.sort();
        assert_eq!(all, whole);
    }
    for (link, node) in links.iter().zip([&a, &b]) {
        assert_eq!(link.status(node).lag_messages, 0);
    }
}

#[test]
fn a_ring_of_three_goes_round_once_whatever_was_restarted_between() {
    let mut nodes = [Node::new(1), Node::new(2), Node::new(3)];
    let mut clock = Clock::new();
    let plans = ["b", "c", "a"].map(|name| Plan::new(ROOT, name, ROOT));
    for (round, node) in (0..3).zip([0, 2, 1]) {
        nodes[node].put(ROOT, &numbered(10 * round, 10 * round + 4)).unwrap();
        let open = |n: usize| Link::open(&nodes[n], &nodes[(n + 1) % 3], &plans[n]).unwrap();
        let mut links = [open(0), open(1), open(2)];
        come_to_rest(&mut links, &mut clock);
        drop(links);
        for node in &mut nodes {
            node.stop();
            node.start().unwrap();
        }
    }
    for node in &nodes {
        assert_eq!(node.payloads(ROOT), nodes[0].payloads(ROOT));
        assert_eq!(node.payloads(ROOT).len(), 15);
    }
}

#[test]
fn what_comes_home_into_another_queue_is_taken() {
    let (a, b, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    a.put("orders", &numbered(1, 5)).unwrap();
    let (out, home) = (Plan::new("orders", "b", "work"), Plan::new("work", "a", "done"));
    let mut links = [Link::open(&a, &b, &out).unwrap(), Link::open(&b, &a, &home).unwrap()];
    come_to_rest(&mut links, &mut clock);
    assert_eq!(a.payloads("done"), numbered(1, 5));
}

#[test]
fn lag_is_what_the_target_has_not_confirmed() {
    let (from, to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", ROOT);
    from.put_one("first");
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    let rest = link.status(&from);
    assert_eq!((rest.lag_messages, rest.lag_bytes, rest.lag_ms), (0, 0, 0));
    from.put(ROOT, &numbered(1, 10)).unwrap();
    from.disk.advance_ms(5_000);
    let late = link.status(&from);
    assert_eq!((late.lag_messages, late.lag_ms), (10, 5_000));
    assert!(late.lag_bytes > 100);
    link.run(&mut clock);
    assert_eq!(link.status(&from).lag_messages, 0);
    assert_eq!(link.status(&from).state, "streaming");
}

#[test]
fn lag_counts_what_a_receiver_has_beyond_the_cursor_and_lost_behind_it() {
    let (from, mut to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", ROOT);
    from.put_one("first");
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    let copy = to.copy();
    from.put(ROOT, &numbered(1, 10)).unwrap();
    // Everything arrives, and every answer is lost.
    for _ in 0..20 {
        link.speak(clock.now);
        link.back.clear();
        link.deliver(clock.now);
    }
    assert_eq!(to.payloads(ROOT), from.payloads(ROOT));
    let mut next = Link::again(&from, &to, &plan, link.target.clone()).unwrap();
    next.run(&mut clock);
    let ahead = next.status(&from);
    assert_eq!((ahead.lag_messages, ahead.lag_bytes, ahead.lag_ms), (0, 0, 0));

    // Back to where it had one: ten are owed again, until they are there.
    to.stop();
    to.restore(&copy, 3);
    to.start().unwrap();
    let mut last = Link::again(&from, &to, &plan, link.target.clone()).unwrap();
    let mut most = 0;
    for _ in 0..40 {
        last.speak(clock.now);
        last.deliver(clock.now);
        most = most.max(last.status(&from).lag_messages);
    }
    last.run(&mut clock);
    assert_eq!((most, last.status(&from).lag_messages), (10, 0));
    assert_eq!(to.payloads(ROOT), from.payloads(ROOT));
}

#[test]
fn a_queue_with_two_targets_waits_for_both() {
    let (from, one, two, mut clock) = (Node::new(1), Node::new(2), Node::new(3), Clock::new());
    let token = from.put_one("first").token;
    let (a, b) = (Plan::new(ROOT, "one", ROOT), Plan::new(ROOT, "two", ROOT));
    let mut links = [Link::open(&from, &one, &a).unwrap(), Link::open(&from, &two, &b).unwrap()];
    links[0].run(&mut clock);
    let wait = |at: &str| from.up().wait(at, &[token], Duration::ZERO).map_err(|e| e.code());
    assert_eq!((wait("target:one"), wait("target:*")), (Ok(()), Err(Code::Timeout)));
    links[1].run(&mut clock);
    assert_eq!(wait("target:*"), Ok(()));
}

#[test]
fn a_connection_cut_after_every_frame_loses_and_doubles_nothing() {
    // r1
    let (from, mut clock) = (Node::new(1), Clock::new());
    let mut cuts = 0;
    let mut ended = false;
    while !ended {
        let to = Node::new(2 + cuts);
        let plan = Plan::new(ROOT, &format!("server {cuts}"), ROOT);
        if cuts == 0 {
            (0..5).for_each(|n| drop(from.put(ROOT, &numbered(10 * n, 10 * n + n))));
        }
        let mut link = Link::open(&from, &to, &plan).unwrap();
        let (mut left, mut quiet) = (cuts, 0);
        while left > 0 && quiet < 3 {
            link.speak(clock.now);
            // One frame one way, then the other.
            let (forth, back) = (link.forth.len(), link.back.len());
            if left % 2 == 0 && forth > 0 {
                let kept = std::mem::take(&mut link.back);
                link.deliver(clock.now);
                let made = std::mem::replace(&mut link.back, kept);
                link.back.extend(made);
            } else {
                link.deliver(clock.now);
            }
            quiet = if forth + back == 0 { quiet + 1 } else { 0 };
            left -= 1;
        }
        ended = quiet == 3;
        drop(link);
        from.put_one(&format!("after cut {cuts}"));
        assert!(ship(&from, &to, &plan, &mut clock).is_none());
        assert_eq!(to.transactions(ROOT), from.transactions(ROOT), "cut {cuts}");
        cuts += 1;
        assert!(cuts < 100);
    }
    assert!(cuts > 6, "only {cuts} cuts");
}

#[test]
fn a_sender_without_credit_waits_and_goes_on_when_there_is_some() {
    // r23
    let large =
        repliq::StoreOptions { segment_bytes_max: 64 << 20, segment_bytes: 1 << 20, ..options() };
    let (from, to) = (Node::with(1, large.clone()), Node::with(2, large));
    let mut clock = Clock::new();
    for n in 0..20 {
        from.put(ROOT, &[format!("{n} {}", "x".repeat(1 << 20))]).unwrap();
    }
    let plan = Plan::new(ROOT, "one", ROOT);
    let mut link = Link::open(&from, &to, &plan).unwrap();
    let mut withheld = std::collections::VecDeque::new();
    let mut data = 0;
    for _ in 0..200 {
        link.speak(clock.now);
        data += link.forth.iter().filter(|(k, _)| *k >= 35).map(|(_, b)| b.len()).sum::<usize>();
        link.back.retain(|frame| {
            let credit = frame.0 == 38;
            if credit {
                withheld.push_back(frame.clone());
            }
            !credit
        });
        link.deliver(clock.now);
    }
    let window = repliq::limits::STREAM_CREDIT_BYTES as usize;
    assert!(
        data <= window + repliq::limits::STREAM_FRAME_BYTES_MAX,
        "{data} bytes in a window of {window}"
    );
    assert!(data > window - repliq::limits::STREAM_FRAME_BYTES_MAX);
    assert!(to.payloads(ROOT).len() < 20);
    link.back.extend(withheld);
    link.run(&mut clock);
    assert!(link.error.is_none());
    assert_eq!(to.transactions(ROOT), from.transactions(ROOT));
}

#[test]
fn what_a_stream_left_is_there_after_the_journal_rolled_many_times() {
    let (mut from, mut to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", "q");
    from.put_one("first");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let before = received(to.up());
    let other = "x".repeat(500);
    for node in [&from, &to] {
        for n in 0..100 {
            node.put("other", &[format!("{n} {other}")]).unwrap();
        }
    }
    for node in [&mut from, &mut to] {
        node.stop();
        node.start().unwrap();
    }
    assert_eq!(received(to.up()), before);
    let other = Plan { user: "other".to_string(), ..plan.clone() };
    assert_eq!(ship(&from, &to, &other, &mut clock).unwrap().code(), Code::Denied);
    from.put_one("second");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads("q"), ["first", "second"]);
}

#[test]
fn a_queue_deleted_since_does_not_break_the_chain() {
    let (mut from, mut to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", ROOT);
    from.put_one("first");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let old = to.copy();
    from.put("gone", &numbered(1, 50)).unwrap();
    from.put_one("second");
    let gone = from.queue("gone");
    from.up().queue_delete(gone).unwrap();
    for n in 0..60 {
        from.put_one(&format!("{n} {}", "x".repeat(300)));
    }
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.stop();
    from.start().unwrap();
    to.restore(&old, 3);
    to.start().unwrap();
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT), from.payloads(ROOT));
}
