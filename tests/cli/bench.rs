//! `bench`: the rows and their fields; what they measure is no test's business.

use std::collections::BTreeSet;

use serde_json::Value;

use super::run::Place;

const FIELDS: &[&str] = &[
    "durability",
    "floor_per_s",
    "messages",
    "name",
    "of_floor",
    "p50_us",
    "p9999_us",
    "p99_us",
    "rate_per_s",
    "seconds",
    "size_bytes",
    "syncs",
    "threads",
];

fn rows(words: &str) -> Vec<Value> {
    let place = Place::new();
    let rows = place.run(&format!("bench {words} --dir @d --json")).json();
    for row in &rows {
        let names: BTreeSet<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, FIELDS.iter().copied().collect(), "{words}");
        assert!(row["rate_per_s"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["p50_us"].as_f64() <= row["p9999_us"].as_f64(), "{row}");
    }
    let left = std::fs::read_dir(place.path("d")).unwrap().count();
    assert_eq!(left, 0, "{words} left something behind");
    rows
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn each_measurement_prints_its_floor_and_itself() {
    for name in ["commit", "transaction", "drain", "scan", "open"] {
        let rows = rows(&format!("{name} --count 300"));
        assert_eq!(names(&rows), ["floor", name]);
        assert_eq!(rows[1]["floor_per_s"], rows[0]["rate_per_s"], "{name}");
    }
    for words in ["replicate --count 100", "replicate --count 2000 --in-flight 64"] {
        assert_eq!(names(&rows(words)), ["floor", "replicate"]);
    }
    assert_eq!(names(&rows("floor --count 20")), ["floor", "floor"]);
}

#[test]
fn a_lone_commit_is_one_sync_and_a_crowd_shares_them() {
    let alone = rows("commit --count 400").remove(1);
    let syncs = alone["syncs"].as_u64().unwrap();
    assert!((400..430).contains(&syncs), "{alone}");
    let crowd = rows("commit --count 4000 --threads 16").remove(1);
    assert_eq!((&crowd["messages"], &crowd["threads"]), (&4000.into(), &16.into()));
    assert!(crowd["syncs"].as_u64().unwrap() < 2_000, "{crowd}");
    let pipelined = rows("commit --count 20000 --in-flight 512").remove(1);
    assert!(pipelined["syncs"].as_u64().unwrap() < 2_000, "{pipelined}");
}

#[test]
fn size_and_durability_are_what_was_asked() {
    let paced = rows("commit --count 300 --queues 3 --rate 3000 --durability process").remove(1);
    // The last of 30 is due after 29 thirtieths of the time.
    assert!(paced["rate_per_s"].as_f64().unwrap() < 3_110.0, "{paced}");
    let row = rows("commit --count 200 --size 1000 --durability process").remove(1);
    assert_eq!((&row["size_bytes"], &row["durability"]), (&1000.into(), &"process".into()));
}
