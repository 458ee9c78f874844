//! Transactions that outgrow memory, on their way: staged at both ends, whole at both or not at all.

use super::network::{Running, SOON, target};
use super::world::{Clock, Link, Node, Plan, ROOT, options, refused, ship, ship_with};
use repliq::{Code, Message, Replication, ReplicationOptions, Select, Store, StoreOptions};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CHILD: &str = "REPLIQ_LARGE_CHILD";

fn staged(node: &Node) -> usize {
    node.disk.snapshot().keys().filter(|name| name.ends_with(".stg")).count()
}

/// Puts one transaction of so many messages of about 2,000 bytes, every other one into another queue, keyed by
/// whether their number is a multiple of 10.
fn put(node: &Node, count: usize) -> repliq::Commit {
    let (root, other) = (node.queue(ROOT), node.queue("other"));
    let mut session = node.up().session().unwrap();
    for number in 0..count {
        let text = format!("{number} {}", "x".repeat(2000));
        let key = if number % 10 == 0 { "few" } else { "many" };
        let message = Message { key: key.as_bytes(), ..Message::new(text.as_bytes()) };
        session.put(root, &message).unwrap();
        session.put(other, &message).unwrap();
    }
    session.commit().unwrap()
}

#[test]
fn it_arrives_whole_at_every_target_also_at_one_that_comes_later() {
    let (from, mut to, mut clock) = (Node::new(1), Node::new(2), Clock::new());
    let early = Plan::new(ROOT, "early", "early");
    from.put_one("before");
    assert!(ship(&from, &to, &early, &mut clock).is_none());
    put(&from, 500);
    from.put_one("after");
    assert!(staged(&from) > 1);
    // Cut in the middle nothing is there, and nothing is left; so also where the receiver stops then.
    for stops in [false, true] {
        let mut link = Link::open(&from, &to, &early).unwrap();
        let mut parts = 0;
        while parts < 3 {
            link.speak(clock.now);
            parts += link.forth.iter().filter(|(kind, _)| *kind == 36).count();
            link.deliver(clock.now);
        }
        assert!(staged(&to) > 0);
        if stops {
            to.kill();
            drop(link);
            to.start().unwrap();
        } else {
            drop(link);
        }
        assert_eq!((staged(&to), to.payloads("early").len()), (0, 1));
    }
    let plans = ["early", "late"].map(|name| Plan::new(ROOT, name, name));
    for plan in &plans {
        assert!(ship(&from, &to, plan, &mut clock).is_none());
        assert_eq!(to.transactions(&plan.destination), from.transactions(ROOT));
    }
    for (name, count) in [("few", 50), ("many", 450), ("none", 0)] {
        let select = Select { key_prefix: Some(name.into()), ..Select::default() };
        let plan = Plan { select, ..Plan::new(ROOT, name, name) };
        assert!(ship(&from, &to, &plan, &mut clock).is_none());
        assert_eq!(to.payloads(name).len(), count);
        let whole = to.transactions(name);
        assert_eq!(whole.len(), usize::from(count > 0));
        assert!(whole.iter().flatten().all(|text| text.len() > 2000));
    }
    // What was staged here goes on from here as well.
    let third = Node::new(3);
    let on = Plan::new("early", "third", ROOT);
    assert!(ship(&to, &third, &on, &mut clock).is_none());
    assert_eq!(third.transactions(ROOT), from.transactions(ROOT));
    // The other end finds it after a power cut, too: it was confirmed.
    to.power_cut(repliq::disk::model::Cut::Nothing);
    to.start().unwrap();
    assert_eq!(to.transactions("early"), from.transactions(ROOT));
}

#[test]
fn what_was_given_back_is_not_passed_over_in_silence_by_a_target_that_goes_back() {
    let none = StoreOptions { keep_ms: 0, keep_bytes: 0, ..options() };
    let (from, mut to, mut clock) = (Node::with(1, none), Node::new(2), Clock::new());
    let plan = Plan::new(ROOT, "one", ROOT);
    from.put_one("before");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    let old = to.copy();
    let large = put(&from, 200);
    from.up().queue_delete(from.queue("other")).unwrap();
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    from.up().reclaim().unwrap();
    assert!(staged(&from) > 0, "the segment of its record still grows");
    let mut rolls = 0;
    while staged(&from) > 0 {
        from.put_one(&"y".repeat(900));
        assert!(ship(&from, &to, &plan, &mut clock).is_none());
        from.up().reclaim().unwrap();
        rolls += 1;
        assert!(rolls < 100);
    }
    to.restore(&old, 9);
    to.start().unwrap();
    refused(ship(&from, &to, &plan, &mut clock), Code::Diverged, "TargetBehind");
    let accepted = |target: &repliq::replicate::Target| target.accept_gap(true);
    assert!(ship_with(&from, &to, &plan, &mut clock, accepted).is_none());
    from.put_one("behind the gap");
    assert!(ship(&from, &to, &plan, &mut clock).is_none());
    assert_eq!(to.payloads(ROOT).last().unwrap(), "behind the gap");
    assert!(from.up().wait("target:one", &[large.token], Duration::ZERO).is_err());
}

/// The most memory this process ever had resident, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Ships one transaction of 200 MiB between two stores of this process.
fn ship_200_mib(folder: &Path) {
    let there = Running::start(folder, "there");
    let store = Store::open(folder.join("sender"), &StoreOptions::default()).unwrap();
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    replication.add("there", &there.url(), &target()).unwrap();
    let first = replication.send(0, b"first").unwrap().token;
    store.wait("target:there", &[first], SOON).unwrap();
    let before = peak();
    let body = vec![b'x'; 4096];
    replication.start_job().unwrap();
    for _ in 0..50_000 {
        replication.send(0, &body).unwrap();
    }
    let large = replication.end_job().unwrap().token;
    store.wait("target:there", &[large], Duration::from_secs(300)).unwrap();
    let used = peak() - before;
    println!("200 MiB were shipped with {} MiB of memory at both ends", used >> 20);
    assert!(used < 100 << 20, "{used} bytes of memory");
    let queue = there.store.find_queue("root").unwrap();
    let seen = there.store.snapshot().unwrap().browse(queue, 50_001, 9).unwrap();
    assert_eq!((seen.len(), seen[0].payload().len()), (1, 4096));
    there.stop();
}

#[test]
fn neither_end_holds_much_of_it_in_memory() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return ship_200_mib(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "large::neither_end_holds_much_of_it_in_memory", "--nocapture"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{text}{}", String::from_utf8_lossy(&child.stderr));
    println!("{text}");
}
