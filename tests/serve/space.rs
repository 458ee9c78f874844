//! Who keeps the disk full, and getting it back.

use std::path::Path;

use serde_json::Value;

use super::child::{Running, place_with_users, wait_until};
use super::run::{Place, files};

fn size(folder: &Path) -> u64 {
    let sizes =
        files(folder).into_iter().map(|file| std::fs::metadata(file).map_or(0, |m| m.len()));
    sizes.sum()
}

/// About six megabytes in `@s`, in small segments.
fn fill(place: &Place, running: &Running, queue: &str) {
    let lines: String = (0..6_000).map(|number| format!("{number:0>1000}\n")).collect();
    let words = format!("put {} {queue} --batch 200", running.with("ann"));
    place.run_with(&words, lines.as_bytes()).text();
}

fn pins(place: &Place, running: &Running) -> Vec<Value> {
    let status = place.run(&format!("status {} --json", running.with("ann"))).text();
    serde_json::from_str::<Value>(&status).unwrap()["pins"].as_array().unwrap().clone()
}

fn start(place: &Place) -> Running {
    Running::start(
        place,
        &[
            "--segment-bytes",
            "65536",
            "--segment-bytes-max",
            "262144",
            "--keep-bytes",
            "0",
            "--keep-ms",
            "0",
        ],
    )
}

/// Orders, and waits until the directory is smaller than that.
fn shrinks(place: &Place, running: &Running, order: &str, below: u64) {
    let order = order.replace("URL", &running.with("ann"));
    place.run(&order).text();
    // A segment goes when one more transaction says so; whoever works on brings it.
    wait_until(&format!("the space after {order}"), || {
        place.run_with(&format!("put {} tick", running.with("ann")), b"x\n").text();
        size(&place.path("s")) < below
    });
}

/// Fills the store for somebody, sees who it is, orders, and sees the space again.
fn freed_by(who: (&str, &str, &str), prepare: impl Fn(&Place), order: &str) {
    let place = place_with_users();
    place.run_with("put @s q", b"0\n").text();
    prepare(&place);
    let running = start(&place);
    let empty = size(&place.path("s"));
    fill(&place, &running, "q");
    let full = size(&place.path("s"));
    assert!(full > empty + 5_000_000, "{full} from {empty}");
    let rows = pins(&place, &running);
    let (kind, queue, name) = who;
    let ours = |row: &&Value| row["kind"] == kind && row["queue"] == queue && row["name"] == name;
    let row = rows.iter().find(ours).unwrap_or_else(|| panic!("{who:?} in {rows:?}"));
    assert!(row["bytes"].as_u64().unwrap() > 4_000_000, "{row}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let age = u64::try_from(now.as_millis()).unwrap() - row["since_ms"].as_u64().unwrap();
    assert!(age < 600_000, "{row}");
    let listed = place.run(&format!("queue ls {} --json", running.with("ann"))).json();
    let listed = listed.iter().find(|row| row["name"] == "q").unwrap();
    assert_eq!(listed["pinned_bytes"], row["bytes"]);
    assert_eq!(listed["pinned_since_ms"], row["since_ms"]);

    shrinks(&place, &running, order, empty + 2_500_000);
    let rows = pins(&place, &running);
    assert!(!rows.iter().any(|row| ours(&row)), "{rows:?}");
}

#[test]
fn a_purged_queue_gives_its_space_back() {
    freed_by(("queue", "q", ""), |_| {}, "queue purge URL q");
}

#[test]
fn a_removed_consumer_gives_its_space_back() {
    let prepare = |place: &Place| {
        place.run("get @s q --consumer slow --max 1").text();
        place.run("get @s q --consumer fast --max 1").text();
    };
    let place = place_with_users();
    place.run_with("put @s q", b"0\n").text();
    prepare(&place);
    // The other consumer goes to the end; the slow one alone keeps the space.
    let running = start(&place);
    fill(&place, &running, "q");
    place.run(&format!("consumer reset {} q fast --to now", running.with("ann"))).text();
    let full = size(&place.path("s"));
    let rows = pins(&place, &running);
    let names: Vec<&Value> =
        rows.iter().filter(|row| row["kind"] == "consumer").map(|row| &row["name"]).collect();
    assert_eq!(names, ["slow"], "{rows:?}");
    shrinks(&place, &running, "consumer rm URL q slow", full - 3_500_000);
}

#[test]
fn a_removed_target_gives_its_space_back() {
    let prepare = |place: &Place| {
        place.run("get @s q --consumer c --max 1").text();
        place
            .run("target add @s q far repliq://ann@127.0.0.1:1 --plain --target-password @pw")
            .text();
    };
    let place = place_with_users();
    place.run_with("put @s q", b"0\n").text();
    prepare(&place);
    let running = start(&place);
    fill(&place, &running, "q");
    place.run(&format!("consumer reset {} q c --to now", running.with("ann"))).text();
    let full = size(&place.path("s"));
    let rows = pins(&place, &running);
    let row = rows.iter().find(|row| row["kind"] == "target").unwrap();
    assert_eq!((&row["queue"], &row["name"]), (&Value::from("q"), &Value::from("far")));
    assert!(row["bytes"].as_u64().unwrap() > 4_000_000, "{row}");
    shrinks(&place, &running, "target rm URL q far", full - 3_500_000);
}
