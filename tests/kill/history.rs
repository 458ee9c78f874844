//! What the senders said and what the servers hold, as a history for the checker.

use crate::checker;
use crate::child::{ROOT, options, payload_of};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The value of one message in a history: values are unique.
fn value(job: u64, index: u64) -> u64 {
    job * 16 + index
}

/// Reads what each server holds and compares it with what the sender said: jobs begun, and acknowledged.
pub fn judge(said: &[String], servers: &[(&str, PathBuf)], seed: u64) -> (usize, usize) {
    let mut lines = String::new();
    let mut open = BTreeSet::new();
    let (mut begun, mut acked) = (0, 0);
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        let job: u64 = words[2].parse().unwrap();
        let outcome = match words[1] {
            "begin" => {
                begun += 1;
                let values: Vec<u64> =
                    (0..words[3].parse().unwrap()).map(|index| value(job, index)).collect();
                open.insert(job);
                lines += &json!({"process": 1, "op": "put", "kind": "invoke", "transaction": job,
                    "queue": ROOT, "values": values})
                .to_string();
                lines.push('\n');
                continue;
            }
            "ok" => "ok",
            "abort" => "fail",
            other => panic!("a child said {other:?}"),
        };
        acked += usize::from(outcome == "ok");
        open.remove(&job);
        lines +=
            &json!({"process": 1, "op": "put", "kind": outcome, "transaction": job}).to_string();
        lines.push('\n');
    }
    for job in open {
        lines +=
            &json!({"process": 1, "op": "put", "kind": "unknown", "transaction": job}).to_string();
        lines.push('\n');
    }
    for (server, path) in servers {
        lines += &json!({"process": 2, "op": "final", "place": server, "queue": ROOT,
            "rows": rows(path)})
        .to_string();
        lines.push('\n');
    }
    let report = checker::check(&lines);
    assert!(report.is_good(), "seed {seed}: {report:#?}");
    (begun, acked)
}

/// All a server holds: sequence, value, transaction.
fn rows(path: &Path) -> Vec<(u64, u64, u64)> {
    let store = repliq::Store::open(path, &options()).unwrap();
    let snapshot = store.snapshot().unwrap();
    let queue = store.find_queue(ROOT).unwrap();
    let mut rows = Vec::new();
    loop {
        let from = rows.last().map_or(1, |(sequence, _, _)| sequence + 1);
        let some = snapshot.browse(queue, from, 10_000).unwrap();
        if some.is_empty() {
            return rows;
        }
        for message in &some {
            let (job, index, _) = payload_of(message.payload());
            rows.push((message.sequence(), value(job, index), message.transaction()));
        }
    }
}
