//! A target that refuses a transaction for ever: what an operator sees, and how the stream goes on behind it.

use super::network::{Running, SOON, target, until};
use repliq::{Code, Replication, ReplicationOptions, Store, StoreOptions, TargetStatus};
use serde_json::Value;
use std::sync::{Mutex, Once};

/// Keeps what is warned of.
struct Warnings(Mutex<Vec<String>>);

static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn collect_warnings() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&WARNINGS).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}

fn warnings_with(words: &[&str]) -> usize {
    let lines = WARNINGS.0.lock().unwrap();
    lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

fn of(replication: &Replication, name: &str) -> TargetStatus {
    replication.targets().unwrap().into_iter().find(|one| one.name == name).unwrap()
}

fn row(status: &str, list: &str) -> Value {
    let status: Value = serde_json::from_str(status).unwrap();
    status[list].as_array().unwrap().iter().find(|row| row["skipped"] == 1).unwrap().clone()
}

fn never_there(store: &Store, token: repliq::Token) {
    for at in ["target:full", "target:*"] {
        let error = store.wait(at, &[token], SOON).unwrap_err();
        assert_eq!(error.code(), Code::Diverged, "{error}");
        let sequence = token.position().sequence;
        assert_eq!(error.range(), Some((sequence, sequence)));
        let text = error.to_string();
        assert!(text.contains("\"full\" does not get") && text.contains("set aside"), "{text}");
    }
}

#[test]
fn a_refused_transaction_is_named_and_set_aside_and_the_stream_goes_on_right_behind_it() {
    collect_warnings();
    let folder = tempfile::tempdir().unwrap();
    let (good, full) =
        (Running::start(folder.path(), "good"), Running::start(folder.path(), "full"));
    let store = Store::open(folder.path().join("sender"), &StoreOptions::default()).unwrap();
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    replication.add("good", &good.url(), &target()).unwrap();
    replication.add("full", &full.url(), &target()).unwrap();
    let first = replication.send(0, b"first").unwrap().token;
    store.wait("target:*", &[first], SOON).unwrap();
    assert_eq!(replication.skip("full").unwrap_err().code(), Code::Invalid);
    assert_eq!(replication.skip("none").unwrap_err().code(), Code::NoSuchName);

    // From here on it takes nothing.
    let closed = full.store.find_queue("root").unwrap();
    full.store.queue_pause(closed).unwrap();
    replication.start_job().unwrap();
    replication.send(0, b"refused 1").unwrap();
    replication.send(0, b"refused 2").unwrap();
    let refused = replication.end_job().unwrap().token;
    store.wait("target:good", &[refused], SOON).unwrap();
    // The link notes the error right after the refusal.
    until("a refusal", || {
        let seen = of(&replication, "full");
        seen.refused.is_some() && seen.last_error.is_some()
    });
    let seen = of(&replication, "full");
    let sequence = refused.position().sequence;
    let named = seen.refused.as_deref().unwrap();
    assert!(named.contains("is paused") && named.contains(&sequence.to_string()), "{named}");
    assert!(seen.last_error.unwrap().starts_with("PAUSED"), "the code is told");
    assert_eq!((seen.lag_messages, seen.skipped), (2, 0));
    assert!(replication.status().unwrap().contains("is paused"));
    assert_eq!(of(&replication, "good").refused, None);
    assert_eq!(replication.skip("good").unwrap_err().code(), Code::Invalid);

    // Asked twice, it is set aside once.
    replication.skip("full").unwrap();
    let _ = replication.skip("full");
    until("the transaction is set aside", || {
        let seen = of(&replication, "full");
        seen.refused.is_none() && seen.lag_messages == 0 && seen.state == "streaming"
    });
    assert_eq!((of(&replication, "full").skipped, of(&replication, "good").skipped), (1, 0));
    // Who waits for it there is told, and not that all is well.
    never_there(&store, refused);
    store.wait("target:good", &[refused], SOON).unwrap();
    store.wait("target:full", &[first], SOON).unwrap();
    assert_eq!(warnings_with(&[&format!("{sequence}"), "\"full\"", "is paused"]), 1);
    assert_eq!(warnings_with(&["the sender", &format!("{sequence}"), "\"full\""]), 1);

    // What comes next is refused by itself, and is not set aside with it.
    let next = replication.send(0, b"next").unwrap().token;
    until("the next refusal", || of(&replication, "full").refused.is_some());
    full.store.queue_resume(closed).unwrap();
    store.wait("target:*", &[next], SOON).unwrap();
    until("nothing is refused", || of(&replication, "full").refused.is_none());
    assert_eq!(good.payloads("root"), ["first", "refused 1", "refused 2", "next"]);
    assert_eq!(full.payloads("root"), ["first", "next"]);

    // Both sides remember it.
    replication.stop(SOON).unwrap();
    store.close().unwrap();
    let told = row(&full.server.status().unwrap(), "streams");
    assert_eq!((&told["target"], &told["queue"]), (&"full".into(), &"root".into()));
    full.stop();
    let store = Store::open(folder.path().join("sender"), &StoreOptions::default()).unwrap();
    assert_eq!(row(&store.status().unwrap(), "targets")["name"], "full");
    never_there(&store, refused);
    let full = Running::start(folder.path(), "full");
    assert_eq!(row(&full.server.status().unwrap(), "streams")["target"], "full");
    assert_eq!(full.payloads("root"), ["first", "next"]);
    full.stop();
    good.stop();
}

#[test]
fn a_transaction_larger_than_any_segment_is_not_too_large_for_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let there = Running::start(folder.path(), "there");
    let store = Store::open(folder.path().join("sender"), &StoreOptions::default()).unwrap();
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    replication.add("there", &there.url(), &target()).unwrap();
    let bytes = vec![b'x'; repliq::limits::MESSAGE_BYTES_MAX - 512];
    let lengths = [10, bytes.len(), 700_000, bytes.len(), 1 << 20, 0, bytes.len(), bytes.len(), 3];
    let mut sent = Vec::new();
    replication.start_job().unwrap();
    for length in lengths {
        replication.send(0, &bytes[..length]).unwrap();
        sent.push(length);
    }
    let large = replication.end_job().unwrap().token;
    assert!(sent.iter().sum::<usize>() > repliq::limits::SEGMENT_BYTES_MAX as usize, "{sent:?}");
    store.wait("target:there", &[large], SOON).unwrap();
    let queue = there.store.find_queue("root").unwrap();
    let (snapshot, mut found) = (there.store.snapshot().unwrap(), Vec::new());
    while found.len() < sent.len() {
        let more = snapshot.browse(queue, found.len() as u64 + 1, 100).unwrap();
        assert!(!more.is_empty(), "{found:?}");
        found.extend(more.iter().map(|one| one.payload().len()));
    }
    assert_eq!(found, sent);
    assert_eq!(of(&replication, "there").refused, None);
    there.stop();
}
