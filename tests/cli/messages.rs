//! `put` and `get`.

use repliq::Code;
use serde_json::json;

use super::run::{Place, command};

#[test]
fn each_line_is_a_message_and_comes_out_as_it_went_in() {
    let place = Place::new();
    let token = place.run_with("put @s q", b"one\n\nthr\tee\r\nlast without end").text();
    assert_eq!(token.trim_end().len(), repliq::TOKEN_TEXT_SIZE);
    let lines = place.run("get @s q --browse").text();
    assert_eq!(lines, "one\n\nthr\tee\nlast without end\n");
}

#[test]
fn put_says_what_it_did_as_json() {
    let place = Place::new();
    let row = place.run_with("put @s q --batch 2 --json", b"a\nb\nc\n").json().remove(0);
    assert_eq!((&row["messages"], &row["transactions"]), (&json!(3), &json!(2)));
    assert_eq!(row["level"], "power");
    assert!(row["token"].is_string());
    let row = place.run_with("put @s q --level process --json", b"d\n").json().remove(0);
    assert_eq!(row["level"], "process");
    let nothing = place.run("put @s q --json").json().remove(0);
    assert_eq!((&nothing["messages"], &nothing["token"]), (&json!(0), &json!(null)));
}

#[test]
fn a_batch_is_one_transaction() {
    let place = Place::new();
    place.run_with("put @s q --batch 3", b"1\n2\n3\n4\n5\n6\n7\n").text();
    let rows = place.run("get @s q --browse --json").json();
    let transactions: Vec<u64> =
        rows.iter().map(|row| row["transaction"].as_u64().unwrap()).collect();
    let first = transactions[0];
    assert_eq!(
        transactions.iter().map(|number| number - first).collect::<Vec<_>>(),
        [0, 0, 0, 1, 1, 1, 2]
    );
}

#[test]
fn kind_key_and_headers_are_kept_and_printed() {
    let place = Place::new();
    place.run_with("put @s q --kind 8194 --key k --header a=1 --header b=x=y", b"p\n").text();
    let row = place.run("get @s q --browse --json").json().remove(0);
    assert_eq!(
        (&row["kind"], &row["key"], &row["headers"], &row["payload"]),
        (&json!(8194), &json!("k"), &json!({"a": "1", "b": "x=y"}), &json!("p"))
    );
    assert_eq!((&row["queue"], &row["sequence"]), (&json!("q"), &json!(1)));
    let line = place.run("get @s q --browse --format %t|%o|%i|%k|%K|%s|%S|%h|%%\\x21\\n").text();
    assert_eq!(line, "q|1|8194|k|1|p|1|a=1,b=x=y|%!\n");
}

#[test]
fn bytes_that_are_no_text_are_base64_in_json() {
    let place = Place::new();
    place.run_with("put @s q", b"\xff\xfe\n").text();
    let row = place.run("get @s q --browse --json").json().remove(0);
    assert_eq!(row["payload_base64"], "//4=");
    assert_eq!(row.get("payload"), None);
}

#[test]
fn csv_records_keep_their_bytes_with_line_breaks_and_quotes() {
    let place = Place::new();
    let records = [
        "A,k1,\"two\r\nlines\"",
        "B,k2,\"quote \"\" and, comma\"",
        "C,\"k\n3\",plain",
        "D,k4,\"unneeded\"",
    ];
    let text = format!("x,y,z\r\n{}\r\n", records.join("\r\n"));
    place.file("f.csv", &text);
    place.run("put @s q @f.csv --csv --key-column 2").text();
    let rows = place.run("get @s q --browse --json").json();
    let payloads: Vec<&str> = rows.iter().map(|row| row["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads, records);
    let keys: Vec<&str> = rows.iter().map(|row| row["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["k1", "k2", "k\n3", "k4"]);
}

#[test]
fn csv_larger_than_any_buffer_comes_out_byte_for_byte() {
    let place = Place::new();
    let mut text = String::from("title,other\n");
    for number in 0..20_000 {
        text += &format!("{number},\"line\nbreak {}\"\n", "x".repeat(number % 50));
    }
    place.run_with("put @s q --csv --key-column 1 --batch 1000", text.as_bytes()).text();
    let out = place.run("get @s q --browse").text();
    assert!(out == text["title,other\n".len()..], "the bytes differ");
}

#[test]
fn the_titles_of_each_file_are_left_out_unless_told_otherwise() {
    let place = Place::new();
    place.file("a.csv", "t\n1\n");
    place.file("b.csv", "t\n2\n");
    place.run("put @s q @a.csv @b.csv --csv").text();
    place.run("put @s q @a.csv --csv --no-titles").text();
    assert_eq!(place.run("get @s q --browse").text(), "1\n2\nt\n1\n");
}

#[test]
fn skip_goes_on_where_a_former_run_stopped() {
    let place = Place::new();
    place.file("a", "1\n2\n");
    place.file("b", "3\n4\n5\n");
    place.run("put @s q @a").text();
    place.run("put @s q @a @b --skip 2").text();
    place.run("put @s q @a @b --skip 9").text();
    assert_eq!(place.run("get @s q --browse").text(), "1\n2\n3\n4\n5\n");
}

#[test]
fn resume_goes_on_after_what_the_queue_was_ever_given() {
    let place = Place::new();
    place.file("a", "1\n2\n3\n4\n");
    place.run_with("put @s q", b"1\n2\n").text();
    place.run("put @s q @a --resume").text();
    place.run("put @s q @a --resume").text();
    assert_eq!(place.run("get @s q --consumer c").text(), "1\n2\n3\n4\n");
    place.file("b", "1\n2\n3\n4\n5\n");
    place.run("put @s q @b --resume").text();
    assert_eq!(place.run("get @s q --consumer c").text(), "5\n");
}

#[test]
fn a_bad_record_rolls_back_its_transaction_only() {
    let place = Place::new();
    place.file("f.csv", "a,b\n1,1\n2,2\n3,3\n4\n5,5\n");
    let ran = place.run("put @s q @f.csv --csv --key-column 2 --batch 2 --json");
    ran.fails(Code::Invalid, &["line 5", "f.csv", "1 columns", "the key is in 2"]);
    assert_eq!(place.run("get @s q --browse").text(), "1,1\n2,2\n");
}

#[test]
fn a_missing_second_file_is_met_before_anything_is_put() {
    let place = Place::new();
    place.file("a", "1\n");
    place.run("put @s q @a @b").fails(Code::NoSuchName, &["/b:", "No such file"]);
    assert!(!place.path("s").exists());
}

#[test]
fn rate_slows_down() {
    let place = Place::new();
    let start = std::time::Instant::now();
    place.run_with("put @s q --rate 20", b"1\n2\n3\n4\n5\n6\n").text();
    assert!(start.elapsed().as_millis() >= 250, "{:?}", start.elapsed());
}

#[test]
fn a_consumer_takes_each_message_once_over_runs() {
    let place = Place::with_numbers(10);
    assert_eq!(place.run("get @s q --consumer c --max 3").text(), "1\n2\n3\n");
    assert_eq!(place.run("get @s q --consumer c --max 2").text(), "4\n5\n");
    assert_eq!(place.run("get @s q --consumer other --max 1").text(), "1\n");
    assert_eq!(place.run("get @s q --consumer c").text(), "6\n7\n8\n9\n10\n");
    assert_eq!(place.run("get @s q --consumer c").text(), "");
}

#[test]
fn what_could_not_be_printed_is_not_taken() {
    let place = Place::with_numbers(3);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = command()
        .args(["get".as_ref(), place.path("s").as_os_str()])
        .args(["q", "--consumer", "c"])
        .stdout(full)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(Code::NoSpace as i32));
    assert_eq!(place.run("get @s q --consumer c").text(), "1\n2\n3\n");
}

#[test]
fn wait_ends_after_its_time() {
    let place = Place::with_numbers(1);
    let start = std::time::Instant::now();
    assert_eq!(place.run("get @s q --consumer c --wait 0.3").text(), "1\n");
    let took = start.elapsed().as_secs_f64();
    assert!((0.3..5.0).contains(&took), "{took}");
}

#[test]
fn browsing_starts_and_stops_where_told_and_takes_nothing() {
    let place = Place::with_numbers(2_500);
    assert_eq!(place.run("get @s q --browse --from 2499").text(), "2499\n2500\n");
    assert_eq!(place.run("get @s q --browse --from 10 --max 2").text(), "10\n11\n");
    assert_eq!(place.run("get @s q --browse --from 2501").text(), "");
    assert_eq!(place.run("get @s q --browse").text().lines().count(), 2_500);
    assert_eq!(place.run("get @s q --consumer c --max 1").text(), "1\n");
}
