//! Backups, restores, repairs, exports and imports, and files that belong to whom they should.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use repliq::{Code, Message, Store, StoreOptions};
use serde_json::{Value, json};

use super::run::{Place, command, files};

#[test]
fn a_backup_of_an_open_store_is_restored_and_tokens_of_the_loss_are_not_found() {
    let place = Place::with_numbers(5);
    let store = Store::open(place.path("s"), &StoreOptions::default()).unwrap();
    let done = place.run("backup @s @b --json").json().remove(0);
    assert_eq!(done["files"], done["files_copied"]);
    assert!(place.run("backup @s @b").text().starts_with("up to transaction "));
    let queue = store.queue("q").unwrap();
    let lost = store.put(queue, &[Message::new(b"lost")]).unwrap().token;
    store.close().unwrap();
    place.run("restore @b @s").fails(Code::Exists, &["not empty"]);
    place.run("restore @s @n").fails(Code::NotAStore, &["no backup"]);
    place.run("status @b").fails(Code::NotAStore, &["restore it"]);
    place.run("backup @b @c").fails(Code::NotAStore, &["restore it"]);
    place.run("backup repliq://till@127.0.0.1:9 @c").fails(Code::Unsupported, &["directory"]);
    place.run("restore @b @n").text();
    assert_eq!(place.run("get @n q --browse").text(), "1\n2\n3\n4\n5\n");
    place.run(&format!("token wait @n {lost} --timeout 0")).fails(Code::NotFound, &[]);
    let status = place.run("status @n --json").text();
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["history"].as_array().unwrap().last().unwrap()["cause"], "restore");
}

#[test]
fn a_repair_says_what_would_be_lost_and_does_it_when_told() {
    let place = Place::with_numbers(600);
    assert_eq!(place.run("repair @s").text(), "nothing is damaged\n");
    let file = files(&place.path("s")).into_iter().filter(|path| path.extension().is_some());
    let segment = file.filter(|path| path.to_string_lossy().ends_with(".seg")).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    place.run_with("put @s q", b"x\n").fails(Code::Corrupt, &["damaged"]);
    let told = place.run("repair @s");
    told.fails(Code::Corrupt, &["--accept-loss"]);
    let text = String::from_utf8(told.out).unwrap();
    assert!(text.contains("everything behind transaction") && text.contains("would be lost"));
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
    let done = place.run("repair @s --accept-loss --json").json().remove(0);
    assert_eq!(done["damaged"], true);
    assert!(!done["kept_aside"].as_array().unwrap().is_empty(), "{done}");
    place.run("verify @s").text();
    assert_eq!(place.run("repair @s").text(), "nothing is damaged\n");
    let left: Vec<u64> =
        place.run("get @s q --browse").text().lines().map(|line| line.parse().unwrap()).collect();
    assert!(left.len() > 100 && left.len() < 600, "{}", left.len());
    assert_eq!(left, (1..=left.len() as u64).collect::<Vec<_>>());
    place.run_with("put @s q", b"goes on\n").text();
}

/// A store with everything a message can have, and bytes that are no text.
fn rich(place: &Place) {
    let store = Store::open(place.path("s"), &StoreOptions::default()).unwrap();
    let queues = ["a", "b ü"].map(|name| store.queue(name).unwrap());
    for n in 0..250_u64 {
        let payload: Vec<u8> = (0..n % 70).map(|byte| (byte * 7 + n) as u8).collect();
        let value = n.to_le_bytes();
        let headers: [(&str, &[u8]); 3] = [("n", b"text"), ("n", &value), ("e", b"")];
        let producer = if n % 3 == 0 { "maker" } else { "" };
        let message = Message {
            kind: n as u16,
            key: &payload[..payload.len().min(5)],
            headers: &headers[..(n % 4) as usize],
            expires_ms: if n % 5 == 0 { u64::MAX / 2 } else { 0 },
            deliver_at_ms: if n % 7 == 0 { 1_000 + n } else { 0 },
            priority: (n % 10) as u8,
            producer,
            producer_sequence: if producer.is_empty() { 0 } else { n / 3 + 1 },
            ..Message::new(&payload)
        };
        store.put(queues[(n % 2) as usize], &[message]).unwrap();
    }
    store.close().unwrap();
}

/// An export without what belongs to one store.
fn exported(place: &Place, words: &str) -> Vec<Value> {
    let mut rows = place.run(words).json();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        assert!(row.remove("transaction").is_some() && row.remove("committed_ms").is_some());
    }
    rows
}

#[test]
fn an_export_is_imported_byte_for_byte_and_only_once() {
    let place = Place::new();
    rich(&place);
    let lines = place.run("export @s").text();
    assert!(lines.contains("\"base64\""), "no bytes that are no text");
    place.file("lines", &lines);
    let done = place.run("import @t @lines --batch 20 --producer import --json").json().remove(0);
    assert_eq!(done, json!({ "messages": 250, "left_out": 0, "transactions": 13 }));
    let (from, mut to) = (exported(&place, "export @s"), exported(&place, "export @t"));
    let mut given = 0;
    for row in &mut to {
        if row["producer"] == "import" {
            (row["producer"], row["producer_sequence"]) = (json!(""), json!(0));
            given += 1;
        }
    }
    assert!(given > 100);
    assert_eq!(from.len(), to.len());
    for (from, to) in from.iter().zip(&to) {
        assert_eq!(from, to);
    }
    let (one, other) = (r#"{"queue":"q","producer":"p","producer_sequence":"#, "}");
    let back = format!("{one}2{other}\n{one}1{other}\n");
    place.run_with("import @u", back.as_bytes()).fails(Code::Invalid, &["line 2", "goes back"]);
    // Once more, and once more from the middle: nothing comes twice.
    let again = place.run_with("import @t --producer import --json", lines.as_bytes());
    assert_eq!(again.json()[0], json!({ "messages": 0, "left_out": 250, "transactions": 0 }));
    assert_eq!(exported(&place, "export @t").len(), 250);
    // The producer goes on where the export ended.
    let store = Store::open(place.path("t"), &StoreOptions::default()).unwrap();
    let queue = store.queue("a").unwrap();
    let next = |sequence| Message {
        producer: "maker",
        producer_sequence: sequence,
        ..Message::new(b"next")
    };
    assert_eq!(store.put(queue, &[next(86)]).unwrap_err().code(), Code::OutOfOrder);
    store.put(queue, &[next(85)]).unwrap();
}

#[test]
fn an_import_as_a_whole_is_one_transaction_of_any_size_or_none() {
    let place = Place::new();
    let line = |queue: &str, n: usize| {
        let payload = format!("{n:06}{}", "x".repeat(1_000));
        json!({ "queue": queue, "payload": payload }).to_string()
    };
    // More than a segment of the largest class would hold beside others, in two queues.
    let mut lines: Vec<String> =
        (0..6_000).map(|n| line(if n % 3 == 0 { "a" } else { "b" }, n)).collect();
    place.file("good", lines.join("\n"));
    lines.insert(5_900, "{".into());
    place.file("bad", lines.join("\n"));
    place.run("import @s @bad --whole").fails(Code::Invalid, &["line 5901"]);
    assert_eq!(place.run("export @s").text(), "", "a part of it is there");
    let both = place.run("import @s @good --whole --batch 7");
    assert!(both.status == Code::Invalid as i32 && both.err.contains("--batch"), "{}", both.err);
    let done = place.run("import @s @good --whole --producer file --json").json().remove(0);
    assert_eq!(done, json!({ "messages": 6_000, "left_out": 0, "transactions": 1 }));
    let again = place.run("import @s @good --whole --producer file --json").json().remove(0);
    assert_eq!(again, json!({ "messages": 0, "left_out": 6_000, "transactions": 0 }));
    let rows = exported(&place, "export @s");
    let numbers: Vec<usize> =
        rows.iter().map(|row| row["payload"].as_str().unwrap()[..6].parse().unwrap()).collect();
    assert_eq!(numbers, (0..6_000).collect::<Vec<_>>());
    // One batch may be as large, and what is there already is left out of it.
    let some = lines[..100].join("\n");
    place.run_with("import @t --producer file", some.as_bytes()).text();
    let rest = place.run("import @t @good --producer file --batch 1000000 --json").json().remove(0);
    assert_eq!(rest, json!({ "messages": 5_900, "left_out": 100, "transactions": 1 }));
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was_and_as_a_whole_leaves_nothing() {
    for whole in [false, true] {
        let place = Place::new();
        let (store, mut pipe) = (place.path("s"), Vec::new());
        let way: &[&str] = if whole { &["--whole"] } else { &["--batch", "100"] };
        let mut child = command()
            .arg("import")
            .arg(&store)
            .args(way)
            .args(["--producer", "file", "--no-progress"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        for n in 0..5_000 {
            let payload = format!("{n:06}{}", "x".repeat(1_000));
            let line = json!({ "queue": "q", "payload": payload }).to_string() + "\n";
            input.write_all(line.as_bytes()).unwrap();
            pipe.extend_from_slice(line.as_bytes());
        }
        // The pipe is open, so it is in the middle of its input.
        child.kill().unwrap();
        child.wait().unwrap();
        let there = place.run("export @s").text().lines().count();
        assert!(
            if whole { there == 0 } else { there.is_multiple_of(100) && there < 5_000 },
            "{there}"
        );
        let staged = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".stg");
        let names = std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name());
        // What was staged is removed by who opens it next to write.
        let left = names.filter(|name| staged(name)).count();
        assert!(left > 0 || !whole, "nothing was staged");
        let words = format!("import @s {} --producer file --json", way.join(" "));
        let done = place.run_with(&words, &pipe).json().remove(0);
        assert_eq!(done["left_out"], there, "{done}");
        let text = place.run("get @s q --browse").text();
        let numbers: Vec<usize> = text.lines().map(|line| line[..6].parse().unwrap()).collect();
        assert_eq!(numbers, (0..5_000).collect::<Vec<_>>(), "whole: {whole}");
    }
}

#[test]
fn one_queue_is_exported_and_imported_under_another_name() {
    let place = Place::new();
    rich(&place);
    let lines = place.run_with("export @s a", b"").text();
    assert_eq!(lines.lines().count(), 125);
    place.run("export @s none").fails(Code::NoSuchName, &["none"]);
    place.run_with("import @t --queue other", lines.as_bytes()).text();
    assert_eq!(exported(&place, "export @t other").len(), 125);
}

#[test]
fn a_line_that_is_no_message_is_named_and_ends_the_import() {
    for (line, why) in [
        ("{", "line 3"),
        ("[]", "no object"),
        (r#"{"queue":"q","payload":5}"#, "payload"),
        (r#"{"queue":"q","payload":{"base64":"Zg"}}"#, "payload"),
        (r#"{"queue":"q","headers":{"a":"b"}}"#, "headers"),
        (r#"{"queue":"q","kind":70000}"#, "kind"),
        (r#"{"queue":7}"#, "queue"),
    ] {
        let place = Place::new();
        let good = r#"{"queue":"q","payload":"x"}"#;
        let text = format!("{good}\n{good}\n{line}\n{good}\n");
        place.run_with("import @t --batch 2", text.as_bytes()).fails(Code::Invalid, &[why]);
        assert_eq!(place.run("get @t q --browse").text(), "x\nx\n", "{line}");
    }
}

#[test]
fn verify_online_finds_damage_and_keeps_its_rate() {
    let place = Place::with_numbers(2_000);
    let store = Store::open(place.path("s"), &StoreOptions::default()).unwrap();
    let begun = std::time::Instant::now();
    let said = place.run("verify @s --online --rate 128K").text();
    let bytes: f64 = said.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(said.contains("transactions") && bytes > 100_000.0, "{said}");
    let least = (bytes - 65_536.0) / 131_072.0;
    assert!(begun.elapsed().as_secs_f64() >= least, "{said} in {:?}", begun.elapsed());
    assert_eq!(place.run("verify @s --rate 1K").status, Code::Invalid as i32);
    assert_eq!(place.run("verify @s --online --rate 0").status, Code::Invalid as i32);
    let found = files(&place.path("s")).into_iter();
    let segment = found.filter(|path| path.to_string_lossy().ends_with(".seg")).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    place.run("verify @s --online").fails(Code::Corrupt, &[]);
    store.close().unwrap();
}

#[test]
fn a_directory_copied_by_hand_says_so_until_it_is_claimed_or_forked() {
    let place = Place::with_numbers(3);
    for decided in ["claim", "fork"] {
        let copy = place.path(decided);
        std::fs::create_dir(&copy).unwrap();
        for file in files(&place.path("s")) {
            std::fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
        }
        let status = |store: &str| -> Value {
            serde_json::from_str(&place.run(&format!("status @{store} --json")).text()).unwrap()
        };
        let original = status("s");
        if original["knows_its_place"] != json!(true) {
            println!("SKIPPED copies by hand: this file system gives files no lasting identity");
            return;
        }
        place.run_with(&format!("put @{decided} q"), b"of the copy\n").text();
        assert_eq!(
            (&original["copied"], &status(decided)["copied"]),
            (&json!(false), &json!(true))
        );
        place.run(&format!("{decided} @{decided}")).text();
        assert_eq!(status(decided)["copied"], json!(false));
        assert_eq!(status(decided)["group"] == original["group"], decided == "claim");
        assert_eq!(
            place.run(&format!("get @{decided} q --browse")).text(),
            "1\n2\n3\nof the copy\n"
        );
    }
}

/// Flips a bit of the first segment.
fn damage(store: &Path) {
    let found = files(store).into_iter();
    let segment = found.filter(|path| path.to_string_lossy().ends_with(".seg")).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[20_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
}

/// Gives everything below a folder to a user without rights.
fn give(folder: &Path, uid: u32) {
    std::os::unix::fs::chown(folder, Some(uid), Some(uid)).unwrap();
}

#[test]
fn the_superuser_leaves_no_file_the_service_cannot_open() {
    const NOBODY: u32 = 65_534;
    let place = Place::new();
    let home = place.path("home");
    std::fs::create_dir(&home).unwrap();
    if std::fs::metadata(&home).unwrap().uid() != 0 {
        println!("SKIPPED files of the superuser: this runs as somebody else");
        return;
    }
    give(&home, NOBODY);
    std::fs::create_dir(home.join("s")).unwrap();
    give(&home.join("s"), NOBODY);
    let lines: String =
        (0..3_000).map(|number| format!("{number} {}\n", "x".repeat(100))).collect();
    place.run_with("put @home/s q --batch 50", lines.as_bytes()).text();
    place.run("get @home/s q --consumer c --max 2900").text();
    place.run("backup @home/s @home/b").text();
    place.run("restore @home/b @home/r").text();
    place.run_with("put @home/new q", b"x\n").text();
    // Whatever else writes there.
    place.file("pw", "a password\n");
    place.file("newer", "another password\n");
    for words in [
        "target add @home/s q far repliq://ann@127.0.0.1:1 --target-password @pw",
        "target rm @home/s q far",
        "queue pause @home/s q",
        "queue resume @home/s q",
        "consumer reset @home/s q c --to oldest",
        "consumer rm @home/s q c",
        "queue purge @home/s q",
        "user add @home/users ann --right admin:* --new-password-file @pw",
        "user passwd @home/users ann --new-password-file @newer",
        "fork @home/r",
    ] {
        place.run(words).text();
    }
    place.run_with("put @home/sealed q --password-file @pw", b"x\n").text();
    place.run("passwd @home/sealed --password-file @pw --new-password-file @newer").text();
    place.run_with("import @home/imported", b"{\"queue\":\"q\",\"payload\":\"x\"}\n").text();
    damage(&home.join("s"));
    place.run("repair @home/s --accept-loss").text();
    let all = files(&home);
    assert!(all.len() > 15, "{all:?}");
    let folders = ["s", "b", "r", "new", "sealed", "imported"].map(|name| home.join(name));
    for path in all.iter().chain(&folders) {
        let facts = std::fs::metadata(path).unwrap();
        let mode = if facts.is_dir() { 0o700 } else { 0o600 };
        assert_eq!((facts.uid(), facts.gid()), (NOBODY, NOBODY), "{}", path.display());
        assert_eq!(facts.mode() & mode, mode, "{}", path.display());
    }
}
