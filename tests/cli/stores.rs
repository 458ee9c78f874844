//! Queues, consumers, tokens, status and verify.

use repliq::{Code, ConsumerOptions, Message, Rules, Store, StoreOptions};
use serde_json::{Value, json};
use std::time::Duration;

use super::run::{Place, files};

#[test]
fn queues_are_listed_for_people_and_for_programs() {
    let place = Place::with_numbers(3);
    place.run_with("put @s another", b"x\n").text();
    let table = place.run("queue ls @s").text();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("queue"), "{table}");
    assert!(lines[1].starts_with("another") && lines[2].starts_with("q "), "{table}");
    let rows = place.run("queue ls @s --json").json();
    let row = &rows[1];
    assert_eq!((&row["name"], &row["messages"]), (&json!("q"), &json!(3)));
    assert_eq!((&row["next_sequence"], &row["paused"]), (&json!(4), &json!(false)));
    assert_eq!(row["consumers"], json!([]));
}

#[test]
fn peek_shows_the_oldest_and_takes_none() {
    let place = Place::with_numbers(30);
    assert_eq!(place.run("queue peek @s q").text().lines().count(), 10);
    assert_eq!(place.run("queue peek @s q --max 2 --format %o;").text(), "1;2;");
    assert_eq!(place.run("queue peek @s q --max 1 --json").json()[0]["payload"], "1");
    assert_eq!(place.run("queue ls @s --json").json()[0]["messages"], 30);
}

#[test]
fn a_paused_queue_refuses_until_it_is_resumed() {
    let place = Place::with_numbers(1);
    place.run("queue pause @s q").text();
    assert_eq!(place.run("queue ls @s --json").json()[0]["paused"], true);
    place.run_with("put @s q", b"2\n").fails(Code::Paused, &["q"]);
    place.run("queue resume @s q").text();
    place.run_with("put @s q", b"2\n").text();
    assert_eq!(place.run("get @s q --browse").text(), "1\n2\n");
}

#[test]
fn purge_empties_and_rm_removes() {
    let place = Place::with_numbers(5);
    place.run("queue purge @s q").text();
    assert_eq!(place.run("get @s q --browse").text(), "");
    place.run_with("put @s q", b"again\n").text();
    assert_eq!(place.run("get @s q --browse --format %o=%s").text(), "6=again");
    place.run("queue rm @s q").text();
    assert_eq!(place.run("queue ls @s --json").text(), "");
    place.run("queue rm @s q").fails(Code::NoSuchName, &["\"q\""]);
}

#[test]
fn dead_letters_are_put_back_or_removed_and_those_that_stay_are_named() {
    let place = Place::new();
    let store = Store::open(place.path("s"), &StoreOptions::default()).unwrap();
    let (queue, dead) = (store.queue("q").unwrap(), store.queue("dead").unwrap());
    let keyed = |payload| Message { key: b"k", ..Message::new(payload) };
    store.put(queue, &[b"1", b"2", b"3"].map(|payload| keyed(&payload[..]))).unwrap();
    let rules =
        Rules { keyed: true, max_deliveries: 1, dead_letters: Some(dead), ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let worker = store.consumer("worker", queue, &options).unwrap();
    let take = || worker.receive(1, Duration::from_secs(20)).unwrap().remove(0).sequence();
    // The first becomes a letter, the second is done, and the third a letter again.
    worker.reject(&[take()]).unwrap();
    worker.ack(&[take()]).unwrap();
    worker.reject(&[take()]).unwrap();
    worker.receive(1, Duration::ZERO).unwrap();
    store.put(dead, &[Message::new(b"no letter")]).unwrap();
    store.close().unwrap();
    let told = place.run("queue redrive @s dead --max 1").text();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "put back: 1", "{told}");
    assert!(lines[1].starts_with("stays: 1: message 2 of its key was acknowledged"), "{told}");
    assert_eq!(place.run("get @s q --browse").text(), "3\n");
    let told = place.run("queue redrive @s dead --drop --json").json().remove(0);
    assert_eq!((&told["done"], &told["refused"][0]["sequence"]), (&json!(1), &json!(3)));
    place.run("queue redrive @s nowhere").fails(Code::NoSuchName, &["\"nowhere\""]);
}

#[test]
fn consumers_are_listed_reset_and_removed() {
    let place = Place::with_numbers(5);
    place.run("get @s q --consumer c --max 2").text();
    let row = place.run("consumer ls @s --json").json().remove(0);
    let expected = json!({
        "queue": "q", "name": "c", "acknowledged": 2, "waiting": 3,
        "workers": null, "out": null, "lease_ms": null, "already_processed": 0,
    });
    assert_eq!(row, expected);
    assert!(place.run("consumer ls @s").text().lines().nth(1).unwrap().starts_with("q "));
    for (to, first) in [("4", "4\n"), ("oldest", "1\n"), ("now", "")] {
        place.run(&format!("consumer reset @s q c --to {to}")).text();
        assert_eq!(place.run("get @s q --consumer c --max 1").text(), first, "{to}");
    }
    place.run("consumer rm @s q c").text();
    assert_eq!(place.run("consumer ls @s --json").text(), "");
    place.run("consumer rm @s q c").fails(Code::NoSuchName, &["c"]);
    place.run("consumer reset @s q c --to 1").fails(Code::NoSuchName, &["c", "q"]);
}

#[test]
fn a_token_is_shown_and_awaited() {
    let place = Place::new();
    let token = place.run_with("put @s q", b"x\n").text();
    let token = token.trim_end();
    let shown = place.run(&format!("token show {token} --json")).json().remove(0);
    let status: Value = serde_json::from_str(&place.run("status @s --json").text()).unwrap();
    assert_eq!(shown["group"], status["group"]);
    assert_eq!(shown["sequence"], status["position"]["sequence"]);
    assert_eq!((&shown["epoch"], &shown["empty"]), (&json!(1), &json!(false)));
    assert!(place.run(&format!("token show {token}")).text().contains("sequence"));

    place.run(&format!("token wait @s {token}")).text();
    let late = place.run(&format!("token wait @s {token} --at consumer:nobody --timeout 0.2"));
    assert_ne!(late.status, 0);
    place.run_with("put @other q", b"x\n").text();
    place.run(&format!("token wait @other {token}")).fails(Code::WrongGroup, &[]);
    place.run("token show AAAA").fails(Code::Invalid, &[]);
}

#[test]
fn status_is_one_json_object_or_a_table() {
    let place = Place::with_numbers(2);
    let status: Value = serde_json::from_str(&place.run("status @s --json").text()).unwrap();
    assert_eq!(status["queues"][0]["name"], "q");
    let table = place.run("status @s").text();
    for word in ["group", "disk_bytes", "queues", "history", "segments"] {
        assert!(table.contains(word), "{word} is not in\n{table}");
    }
}

#[test]
fn a_whole_store_verifies() {
    let place = Place::with_numbers(1_000);
    let row = place.run("verify @s --json").json().remove(0);
    let expected = json!({"queue": "q", "messages": 1000, "bytes": 2893, "damage": null});
    assert_eq!(row, expected);
    assert!(place.run("verify @s").text().contains("none"));
}

#[test]
fn a_flipped_byte_is_found_with_its_range_and_the_rest_stays_readable() {
    let place = Place::new();
    let lines: String = (0..200).map(|number| format!("payload number {number:04}\n")).collect();
    place.run_with("put @s q --batch 10", lines.as_bytes()).text();
    let mut flipped = 0;
    for file in files(&place.path("s")) {
        let mut bytes = std::fs::read(&file).unwrap();
        let word = b"payload number 0100";
        if let Some(at) = bytes.windows(word.len()).position(|window| window == word) {
            bytes[at] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            flipped += 1;
        }
    }
    assert_eq!(flipped, 1);
    let ran = place.run("verify @s");
    ran.fails(Code::Corrupt, &[]);
    assert!(ran.err.chars().any(|letter| letter.is_ascii_digit()), "no range: {}", ran.err);
    let head = place.run("get @s q --browse --max 100");
    assert_eq!(head.text().lines().count(), 100);
    place.run_with("put @s q", b"more\n").fails(Code::Corrupt, &[]);
}

/// A copy with files of its own, as a backup that was put back has.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

#[test]
fn a_copied_store_is_claimed_or_becomes_its_own() {
    let place = Place::with_numbers(3);
    let group = |store: &str| {
        let text = place.run(&format!("status @{store} --json")).text();
        serde_json::from_str::<Value>(&text).unwrap()["group"].clone()
    };
    copy(&place.path("s"), &place.path("claimed"));
    copy(&place.path("s"), &place.path("forked"));
    let token = place.run("claim @claimed --json").json().remove(0)["token"].clone();
    assert_eq!(token.as_str().unwrap().len(), repliq::TOKEN_TEXT_SIZE);
    place.run("fork @forked").text();
    assert_eq!(group("claimed"), group("s"));
    assert_ne!(group("forked"), group("s"));
    for store in ["claimed", "forked"] {
        assert_eq!(place.run(&format!("get @{store} q --browse")).text(), "1\n2\n3\n");
        place.run_with(&format!("put @{store} q"), b"4\n").text();
    }
    place.run("claim @missing").fails(Code::NotAStore, &["missing"]);
}
