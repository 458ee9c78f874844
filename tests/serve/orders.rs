//! What an administrator does to a live server: queues, consumers, targets, connections, users.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use repliq::Code;
use serde_json::{Value, json};

use super::child::{Running, place_with_users, wait_until};
use super::run::command;

#[test]
fn queues_consumers_and_targets_are_changed_over_the_url() {
    let place = place_with_users();
    place.run_with("put @s q", b"1\n2\n3\n").text();
    place.run("get @s q --consumer c --max 2").text();
    place.run("target add @s q far repliq://ann@127.0.0.1:1 --plain --target-password @pw").text();
    let running = Running::start(&place, &[]);
    let with = running.with("ann");
    let row = || place.run(&format!("queue ls {with} --json")).json().remove(0);
    place.run(&format!("queue pause {with} q")).text();
    assert_eq!(row()["paused"], true);
    place.run_with(&format!("put {with} q"), b"4\n").fails(Code::Paused, &["q"]);
    place.run(&format!("queue resume {with} q")).text();
    let expected = json!({
        "name": "c", "acknowledged": 2, "waiting": 1, "workers": 0, "out": null, "lease_ms": 0,
        "already_processed": 0,
    });
    assert_eq!(row()["consumers"], json!([expected]));
    place.run(&format!("consumer reset {with} q c --to oldest")).text();
    assert_eq!(row()["consumers"][0]["waiting"], 3);
    place.run(&format!("consumer reset {with} q c --to now")).text();
    assert_eq!(row()["consumers"][0]["waiting"], 0);
    place.run(&format!("consumer reset {with} q c --to 3")).text();
    assert_eq!(row()["consumers"][0]["waiting"], 1);
    place.run(&format!("consumer reset {with} q c --to 99")).fails(Code::Invalid, &["99"]);
    place.run(&format!("consumer reset {with} q x --to 1")).fails(Code::NoSuchName, &["x"]);
    place.run(&format!("consumer rm {with} q c")).text();
    place.run(&format!("consumer rm {with} q c")).fails(Code::NoSuchName, &["c"]);
    assert_eq!(place.run(&format!("target ls {with} --json")).json().len(), 1);
    place.run(&format!("target rm {with} q far")).text();
    assert_eq!(place.run(&format!("target ls {with} --json")).json().len(), 0);
    place.run(&format!("target rm {with} q far")).fails(Code::NoSuchName, &["far"]);
    place.run(&format!("target add {with} q near repliq://ann@127.0.0.1:1")).text();
    let near = place.run(&format!("target ls {with} --json")).json().remove(0);
    assert_eq!((&near["name"], &near["root"]), (&json!("near"), &json!("q")));
    assert_eq!(
        (&near["url"], &near["lag_messages"]),
        (&json!("repliq://ann@127.0.0.1:1"), &json!(3))
    );
    place.run(&format!("target add {with} q late repliq://x --from now")).text();
    let rows = place.run(&format!("target ls {with} --json")).json();
    assert!(rows.iter().any(|row| row["name"] == "late" && row["lag_messages"] == 0));
    place.run(&format!("target add {with} q bad http://x")).fails(Code::Invalid, &["URL"]);
    place.run(&format!("target add {with} no far repliq://x")).fails(Code::NoSuchName, &["no"]);
    let secret = format!("target add {with} q far repliq://x --target-password @pw");
    place.run(&secret).fails(Code::Invalid, &["--target-password"]);
    for name in ["near", "late"] {
        place.run(&format!("target rm {with} q {name}")).text();
    }
    place.run(&format!("queue purge {with} q")).text();
    assert_eq!(row()["messages"], 0);
    place.run(&format!("queue rm {with} q")).text();
    assert_eq!(place.run(&format!("queue ls {with} --json")).text(), "");
    place.run(&format!("queue rm {with} q")).fails(Code::NoSuchName, &["q"]);
}

#[test]
fn users_are_changed_over_the_url_and_nobody_changes_himself() {
    let place = place_with_users();
    place.file("new", "of bob\n");
    place.file("newer", "of bob, newer\n");
    let running = Running::start(&place, &[]);
    let ann = running.with("ann");
    let bob = |file: &str| running.with("bob").replace("@pw", file);
    place.run(&format!("user add {ann} bob --right publish:q --new-password-file @new")).text();
    place.run_with(&format!("put {} q", bob("@new")), b"1\n").text();
    place
        .run(&format!("user add {ann} bob --new-password-file @new"))
        .fails(Code::Exists, &["bob"]);
    let rows = place.run(&format!("user ls {ann} --json")).json();
    let expected = json!({"name": "bob", "rights": [{"verbs": ["publish"], "queues": ["q"]}]});
    assert_eq!(rows[1], expected);
    // The file is the one the server reads at its start.
    assert_eq!(place.run("user ls @users --json").json(), rows);
    place.run(&format!("user rights {ann} bob --right browse:q")).text();
    place.run_with(&format!("put {} q", bob("@new")), b"2\n").fails(Code::Denied, &[]);
    assert_eq!(place.run(&format!("get {} q --browse", bob("@new"))).text(), "1\n");
    place.run(&format!("user passwd {ann} bob --new-password-file @newer")).text();
    place.run(&format!("get {} q --browse", bob("@new"))).fails(Code::Denied, &[]);
    assert_eq!(place.run(&format!("get {} q --browse", bob("@newer"))).text(), "1\n");
    for words in ["rm ann", "rights ann", "passwd ann --new-password-file @new"] {
        let (verb, rest) = words.split_once(' ').unwrap();
        let words = format!("user {verb} {ann} {rest}");
        place.run(&words).fails(Code::Invalid, &["ann", "itself"]);
    }
    place.run(&format!("user rm {ann} nobody")).fails(Code::NoSuchName, &["nobody"]);
    place.run(&format!("user rm {ann} bob")).text();
    place.run(&format!("get {} q --browse", bob("@newer"))).fails(Code::Denied, &[]);
    assert_eq!(place.run("user ls @users --json").json().len(), 1);
}

#[test]
fn an_order_without_the_right_is_denied_and_changes_nothing() {
    let place = place_with_users();
    place.run_with("put @s q", b"1\n").text();
    place.run("get @s q --consumer c --max 1").text();
    place.run_with("put @s other", b"1\n").text();
    place.run("target add @s q far repliq://ann@127.0.0.1:1 --plain --target-password @pw").text();
    let rights = "--right replicate,publish,browse,consume:* --right admin:other";
    place.run(&format!("user add @users bob {rights} --password-file @pw")).text();
    let running = Running::start(&place, &[]);
    let bob = running.with("bob");
    let before = place.run(&format!("status {} --json", running.with("ann"))).text();
    for words in [
        "queue pause URL q",
        "queue purge URL q",
        "queue rm URL q",
        "consumer rm URL q c",
        "consumer reset URL q c --to oldest",
        "target rm URL q far",
        "target add URL q farther repliq://x",
        "conn ls URL",
        "conn kill URL 1",
        "user ls URL",
        "user rm URL ann",
        "user rights URL ann --right browse:*",
        "user add URL eve --right admin:* --new-password-file @pw",
        "user passwd URL ann --new-password-file @pw",
        "status URL",
        "queue purge URL no-such-queue",
    ] {
        place.run(&words.replace("URL", &bob)).fails(Code::Denied, &["may not"]);
    }
    place.run(&format!("queue purge {bob} other")).text();
    let store = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let after = store(&place.run(&format!("status {} --json", running.with("ann"))).text());
    let before = store(&before);
    let queue = |status: &Value| {
        let rows = status["queues"].as_array().unwrap().iter();
        rows.filter(|row| row["name"] == "q").cloned().collect::<Vec<_>>()
    };
    assert_eq!(queue(&before), queue(&after));
    assert_eq!(before["targets"], after["targets"]);
}

#[test]
fn a_connection_is_listed_and_ended() {
    let place = place_with_users();
    let running = Running::start(&place, &[]);
    let with = running.with("ann");
    let url = format!("repliq://ann@{}", running.address);
    let mut waiting = command()
        .args(["status", &url, "--plain", "--watch=0.05", "--json", "--password-file"])
        .arg(place.path("pw"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(waiting.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let status: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(status["server"]["connections"][0]["user"], "ann");
    let rows = place.run(&format!("conn ls {with} --json")).json();
    assert_eq!((rows[0]["connection"].as_u64(), &rows[0]["doing"]), (Some(1), &json!("requests")));
    place.run(&format!("conn ls {with}")).text();
    place.run(&format!("conn kill {with} 1")).text();
    place.run(&format!("conn kill {with} 99")).fails(Code::NoSuchName, &["99"]);
    // The watch comes back by itself, as another connection.
    wait_until("a look over another connection", || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let status: Value = serde_json::from_str(&line).unwrap();
        let rows = status["server"]["connections"].as_array().unwrap();
        rows.iter().any(|row| row["user"] == "ann") && rows[0]["connection"] != 1
    });
    std::thread::sleep(Duration::from_millis(100));
    let pid = waiting.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    drop(out);
    waiting.wait().unwrap();
}

#[test]
fn the_status_of_a_server_shows_its_streams_and_of_a_directory_looks_again_and_again() {
    let place = place_with_users();
    let running = Running::start(&place, &[]);
    place.run_with("put @far root", b"1\n2\n").text();
    let pw = place.path("pw").display().to_string();
    let target = format!("--target near=repliq://ann@{} --plain", running.address);
    let words =
        format!("replicate @far root {target} --target-password near={pw} --until-caught-up");
    place.run(&words).text();
    let text = place.run(&format!("status {}", running.with("ann"))).text();
    assert!(text.contains("server.streams") && text.contains("near"), "{text}");
    let mut watch = command();
    watch.arg("status").arg(place.path("far")).args(["--json", "--watch=0.01"]);
    let mut child = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut sequences = Vec::new();
    for _ in 0..3 {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let status: Value = serde_json::from_str(&line).unwrap();
        sequences.push(status["queues"][0]["next_sequence"].as_u64().unwrap());
    }
    place.run_with("put @far root", b"3\n").text();
    wait_until("the third message is seen", || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["queues"][0]["next_sequence"] == 4
    });
    assert_eq!(sequences, [3, 3, 3]);
    child.kill().unwrap();
    child.wait().unwrap();
}
