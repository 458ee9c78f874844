//! Where a stream goes on: every row of the table, in its order, with what both sides write down.

use crate::world::*;
use repliq::disk::model::Cut;
use repliq::replicate::received;
use repliq::{Code, Level, StoreOptions};
use std::time::Duration;

fn pair() -> (Node, Node, Clock, Plan) {
    (Node::new(1), Node::new(2), Clock::new(), Plan::new(ROOT, "one", ROOT))
}

/// Messages with their number, so that every one is its own.
fn put(node: &Node, from: usize, to: usize) {
    (from..=to).for_each(|n| {
        node.put_one(&format!("message {n} {}", "x".repeat(100)));
    });
}

fn status(from: &Node, to: &Node, plan: &Plan) -> repliq::replicate::TargetStatus {
    Link::open(from, to, plan).unwrap().status(from)
}

#[test]
fn no_stamp_and_a_cursor_at_the_start_begins() {
    let (from, to, mut clock, plan) = pair();
    put(&from, 1, 3);
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    let resume = &link.said[1];
    assert_eq!((resume.0, resume.1[8]), (34, 1));
    assert_eq!(to.payloads(ROOT), from.payloads(ROOT));
}

#[test]
fn a_stamp_after_the_cursor_moves_it_there() {
    let (mut from, to, mut clock, plan) = pair();
    put(&from, 1, 3);
    let mut link = Link::open(&from, &to, &plan).unwrap();
    // The receiver has it all, and no confirmation ever comes back.
    for _ in 0..40 {
        link.speak(clock.now);
        link.back.retain(|(kind, _)| *kind != 37);
        link.deliver(clock.now);
    }
    assert_eq!(to.payloads(ROOT).len(), 3);
    drop(link);
    from.kill();
    from.start().unwrap();
    put(&from, 4, 5);
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    let resume = &link.said[1];
    assert_eq!((resume.0, resume.1[8]), (34, 2));
    assert_eq!(to.payloads(ROOT), from.payloads(ROOT));
    assert_eq!(link.status(&from).rewinds, 0);
}

#[test]
fn a_stamp_before_the_cursor_and_still_kept_rewinds_and_is_counted() {
    // r19, inside keep
    let (from, mut to, mut clock, plan) = pair();
    put(&from, 1, 20);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let old = to.copy();
    put(&from, 21, 200);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.up().reclaim().unwrap();
    to.restore(&old, 77);
    to.start().unwrap();
    assert_eq!(to.payloads(ROOT).len(), 20);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT), from.payloads(ROOT));
    assert_eq!(status(&from, &to, &plan).rewinds, 1);
}

fn outside_keep() -> (Node, Node, Clock, Plan) {
    let none = StoreOptions { keep_ms: 0, keep_bytes: 0, ..options() };
    let (mut from, mut to, mut clock) = (Node::with(1, none), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", ROOT);
    put(&from, 1, 5);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let old = to.copy();
    put(&from, 6, 300);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.stop();
    from.start().unwrap();
    put(&from, 300, 300);
    assert!(from.up().reclaim().unwrap() > 0);
    to.restore(&old, 77);
    to.start().unwrap();
    (from, to, clock, plan)
}

#[test]
fn a_stamp_before_the_oldest_kept_stops_until_the_gap_is_accepted() {
    // r19, outside keep
    let (from, to, mut clock, plan) = outside_keep();
    refused(ship(&from, &to, &plan, &mut clock), Code::Diverged, "TargetBehind");
    assert_eq!(to.payloads(ROOT).len(), 5);
    put(&from, 301, 303);
    refused(ship(&from, &to, &plan, &mut clock), Code::Diverged, "TargetBehind");
    let accept = |target: &repliq::replicate::Target| target.accept_gap(true);
    assert!(ship_with(&from, &to, &plan, &mut clock, accept).is_none());
    let (has, there) = (to.payloads(ROOT), from.payloads(ROOT));
    assert_eq!(has[..5].len() + there.len(), has.len());
    assert_eq!(has[5..], there);
    assert_eq!(status(&from, &to, &plan).gaps, 1);
    assert_eq!(received(to.up())[0].2, [0, 1, 0]);
    // Accepted once is accepted once.
    put(&from, 304, 305);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT).last(), from.payloads(ROOT).last());
}

#[test]
fn no_stamp_though_the_cursor_moved_is_a_target_behind() {
    let (from, to, mut clock, plan) = pair();
    put(&from, 1, 5);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let empty = Node::new(3);
    refused(ship(&from, &empty, &plan, &mut clock), Code::Diverged, "TargetBehind");
    let accept = |target: &repliq::replicate::Target| target.accept_gap(true);
    assert!(ship_with(&from, &empty, &plan, &mut clock, accept).is_none());
    assert_eq!(empty.payloads(ROOT), from.payloads(ROOT));
    assert_eq!(received(empty.up())[0].2, [0, 1, 0]);
}

/// A sender that lost what it had shipped, in the same place, and put something else since.
fn restored(puts: usize) -> (Node, Node, Clock, Plan) {
    let (mut from, to, mut clock, plan) = pair();
    put(&from, 1, 5);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.stop();
    let old = from.copy();
    from.start().unwrap();
    put(&from, 6, 10);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.restore(&old, 99);
    from.start().unwrap();
    put(&from, 1001, 1000 + puts);
    (from, to, clock, plan)
}

#[test]
fn a_stamp_beyond_the_senders_end_has_diverged_and_claim_leaves_orphans() {
    // r18: the sender restored from an older copy
    let (from, to, mut clock, plan) = restored(0);
    refused(ship(&from, &to, &plan, &mut clock), Code::Diverged, "OriginDiverged");
    from.up().claim().unwrap();
    put(&from, 1001, 1003);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let mut expected: Vec<String> = to.payloads(ROOT)[..10].to_vec();
    expected.extend(from.payloads(ROOT)[5..].iter().cloned());
    assert_eq!(to.payloads(ROOT), expected);
    let orphans = received(to.up())[0].2[0];
    assert!(orphans >= 5, "{orphans} orphans");
    assert_eq!(status(&from, &to, &plan).orphans, orphans);
}

#[test]
fn a_target_that_claims_the_last_of_all_positions_has_diverged() {
    let (from, to, mut clock, plan) = pair();
    put(&from, 1, 3);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    for sequence in [u64::MAX, u64::MAX - 1] {
        let mut link = Link::open(&from, &to, &plan).unwrap();
        let mut changed = false;
        for _ in 0..10 {
            link.speak(clock.now);
            // Code, whether there is a stamp, and of the stamp its epoch, come first.
            for (_, body) in link.back.iter_mut().filter(|(kind, _)| *kind == 33) {
                body[9..17].copy_from_slice(&sequence.to_le_bytes());
                changed = true;
            }
            link.deliver(clock.now);
        }
        assert!(changed);
        refused(link.error.take(), Code::Diverged, "OriginDiverged");
    }
    put(&from, 4, 5);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
}

#[test]
fn a_stamp_with_another_chain_has_diverged_and_claim_leaves_orphans() {
    let (from, to, mut clock, plan) = restored(30);
    refused(ship(&from, &to, &plan, &mut clock), Code::Diverged, "OriginDiverged");
    assert_eq!(to.payloads(ROOT).len(), 10);
    from.up().claim().unwrap();
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT)[10..], from.payloads(ROOT)[5..]);
    assert!(received(to.up())[0].2[0] >= 5);
}

#[test]
fn a_fork_goes_on_behind_its_cursor_as_a_stream_of_another_group() {
    let (from, to, mut clock, plan) = restored(2);
    refused(ship(&from, &to, &plan, &mut clock), Code::Diverged, "OriginDiverged");
    let before = from.up().put(from.queue(ROOT), &[repliq::Message::new(b"x")]).unwrap().token;
    let token = from.up().fork().unwrap();
    assert_ne!(token.group(), before.group());
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT)[10..], from.payloads(ROOT)[5..]);
    assert_eq!(received(to.up()).len(), 2);
}

#[test]
fn a_crash_epoch_leaves_orphans_where_positions_were_lost() {
    // r18: positions handed out early, and a power cut that took what was said to be durable
    let early = StoreOptions { level: Level::Process, ..options() };
    let (mut from, to, mut clock) = (Node::with(1, early), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", ROOT);
    put(&from, 1, 3);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.disk.lie_about_sync(true);
    put(&from, 4, 8);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT).len(), 8);
    from.power_cut(Cut::Nothing);
    from.start().unwrap();
    let left = from.payloads(ROOT).len();
    assert!(left < 8, "nothing was lost");
    put(&from, 9, 10);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT)[8..], from.payloads(ROOT)[left..]);
    assert!(received(to.up())[0].2[0] > 0);
}

#[test]
fn a_copy_ships_nothing_before_claim_or_fork_and_still_serves() {
    let (mut from, to, mut clock, plan) = pair();
    put(&from, 1, 5);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.stop();
    let mut copy = Node::new(7);
    copy.store = None;
    copy.disk = from.copy();
    copy.disk.set_identity(Some(1_000_007));
    copy.disk.reseed(55);
    copy.start().unwrap();
    assert!(copy.up().is_copied());
    put(&copy, 50, 51);
    assert_eq!(copy.payloads(ROOT).len(), 7);
    refused(ship(&copy, &to, &plan, &mut clock), Code::Diverged, "OriginCopied");
    // Opened again in the same place it is still a copy, and the original is none.
    copy.stop();
    copy.start().unwrap();
    assert!(copy.up().is_copied());
    from.start().unwrap();
    assert!(!from.up().is_copied());
    put(&from, 6, 7);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    copy.up().fork().unwrap();
    assert!(ship(&copy, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT).len(), 9);
    assert_eq!(to.payloads(ROOT)[7..], copy.payloads(ROOT)[5..]);
}

#[test]
fn an_older_epoch_than_one_the_receiver_knows_is_fenced() {
    let (mut from, to, mut clock, plan) = pair();
    put(&from, 1, 3);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let old = from.copy();
    from.up().claim().unwrap();
    put(&from, 4, 5);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.restore(&old, 44);
    from.start().unwrap();
    put(&from, 90, 91);
    refused(ship(&from, &to, &plan, &mut clock), Code::Fenced, "has begun");
    assert_eq!(to.payloads(ROOT).len(), 5);
}

#[test]
fn another_owner_of_the_same_epoch_is_refused() {
    let (from, to, mut clock, plan) = pair();
    put(&from, 1, 3);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let mut twin = Node::new(8);
    twin.store = None;
    twin.disk = from.copy();
    twin.disk.reseed(66);
    twin.start().unwrap();
    from.up().claim().unwrap();
    twin.up().claim().unwrap();
    put(&from, 4, 4);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    put(&twin, 90, 95);
    refused(ship(&twin, &to, &plan, &mut clock), Code::Diverged, "has owner");
    assert_eq!(to.payloads(ROOT).len(), 4);
}

#[test]
fn another_user_is_refused_and_the_stream_goes_on_undisturbed() {
    // r21
    let (from, to, mut clock, plan) = pair();
    put(&from, 1, 3);
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    let other = Plan { user: "mallory".to_string(), ..plan.clone() };
    let error = ship(&from, &to, &other, &mut clock).unwrap();
    assert_eq!(error.code(), Code::Denied);
    put(&from, 4, 5);
    link.run(&mut clock);
    assert!(link.error.is_none());
    assert_eq!(to.payloads(ROOT).len(), 5);
}

#[test]
fn a_stream_that_comes_from_another_group_is_refused() {
    let (from, to, mut clock, plan) = pair();
    put(&from, 1, 3);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.speak(clock.now);
    link.forth[0].1[1..17].fill(7);
    link.run(&mut clock);
    refused(link.error.take(), Code::Diverged, "came from group");
}

#[test]
fn a_user_without_the_right_is_denied_before_a_queue_is_made() {
    let (from, to, mut clock, _) = pair();
    put(&from, 1, 1);
    let plan = Plan::new(ROOT, "one", "forbidden");
    refused(ship(&from, &to, &plan, &mut clock), Code::Denied, "may not");
    assert_eq!(to.up().find_queue("forbidden").unwrap_err().code(), Code::NoSuchName);
}

#[test]
fn a_newer_hello_fences_the_older_link() {
    let (from, to, mut clock, plan) = pair();
    put(&from, 1, 3);
    let mut old = Link::open(&from, &to, &plan).unwrap();
    old.run(&mut clock);
    let mut new = Link::open(&from, &to, &plan).unwrap();
    new.run(&mut clock);
    put(&from, 4, 5);
    old.run(&mut clock);
    refused(old.error.take(), Code::Fenced, "newer link");
    assert_eq!(to.payloads(ROOT).len(), 3);
    new.run(&mut clock);
    assert!(new.error.is_none());
    assert_eq!(to.payloads(ROOT).len(), 5);
}

#[test]
fn nothing_said_before_does_anything_when_it_is_said_again() {
    // r3
    let (from, to, mut clock, plan) = pair();
    put(&from, 1, 6);
    let mut link = Link::open(&from, &to, &plan).unwrap();
    link.run(&mut clock);
    let said = link.said.clone();
    drop(link);
    let before = to.transactions(ROOT);
    // All of it on a new connection; then every frame out of place on a running one.
    let mut replay = Link::open(&from, &to, &plan).unwrap();
    for (kind, body) in &said {
        let mut nothing = Vec::new();
        let _ = replay.receiver.next_frame(clock.now, &mut nothing);
        if replay.receiver.on_frame(*kind, body, clock.now).is_err() {
            break;
        }
    }
    assert_eq!(to.transactions(ROOT), before);
    for (kind, body) in said.iter().filter(|(kind, _)| *kind > 33) {
        let mut link = Link::open(&from, &to, &plan).unwrap();
        link.run(&mut clock);
        let outcome = link.receiver.on_frame(*kind, body, clock.now);
        assert_eq!(outcome.unwrap_err().code(), Code::Protocol, "kind {kind}");
        assert_eq!(to.transactions(ROOT), before);
    }
    put(&from, 7, 8);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.transactions(ROOT), from.transactions(ROOT));
}

#[test]
fn a_token_of_a_target_behind_is_not_confirmed_any_more_after_a_rewind() {
    let (from, mut to, mut clock, plan) = pair();
    put(&from, 1, 3);
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let old = to.copy();
    let token = from.put_one("late").token;
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    to.restore(&old, 5);
    to.start().unwrap();
    let mut link = Link::open(&from, &to, &plan).unwrap();
    while link.said.len() < 2 {
        link.speak(clock.now);
        link.deliver(clock.now);
    }
    let wait = |at: &str| from.up().wait(at, &[token], Duration::ZERO).map_err(|e| e.code());
    assert_eq!(wait("target:one"), Err(Code::Timeout));
    link.run(&mut clock);
    assert_eq!(wait("target:one"), Ok(()));
}
