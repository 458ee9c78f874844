//! What a server says, and what it never says.

use serde_json::Value;

use super::child::{Running, place_with_users};
use super::run::Place;

const CANARY: &str = "CANARY-PAYLOAD-7c1f";
const KEY: &str = "CANARY-KEY-19aa";

/// Does everything a client can do, with words nobody may find again.
fn exercise(place: &Place, running: &Running) {
    let with = running.with("ann");
    let text = format!("{CANARY}\n{CANARY}\n");
    place
        .run_with(&format!("put {with} q --key {KEY} --header h={CANARY}"), text.as_bytes())
        .text();
    assert!(place.run(&format!("get {with} q --browse")).text().contains(CANARY));
    place.file("new", "CANARY-PASSWORD-of-bob\n");
    let rights = "--right publish:q";
    place.run(&format!("user add {with} bob {rights} --new-password-file @new")).text();
    let bob = with.replace("ann@", "bob@").replace("@pw", "@new");
    place.run(&format!("get {bob} q --browse")).fails(repliq::Code::Denied, &[]);
    place.run(&format!("status {bob}")).fails(repliq::Code::Denied, &[]);
    place.file("wrong", "CANARY-PASSWORD-wrong\n");
    let wrong = with.replace("@pw", "@wrong");
    place.run(&format!("status {wrong}")).fails(repliq::Code::Denied, &[]);
    place.run_with("put @far root", format!("{CANARY}\n").as_bytes()).text();
    let pw = place.path("pw").display().to_string();
    let target = format!("--target near=repliq://ann@{} --plain", running.address);
    let words =
        format!("replicate @far root {target} --target-password near={pw} --until-caught-up");
    place.run(&words).text();
    place.run(&format!("queue purge {with} q")).text();
    place.run(&format!("user rm {with} bob")).text();
    // A name with a line break in it forges no line.
    assert_eq!(
        super::run::run_with(
            &[
                "user",
                "rm",
                &format!("repliq://ann@{}", running.address),
                "x\naudit: forged",
                "--plain",
                "--password-file",
                &place.path("pw").display().to_string()
            ],
            b""
        )
        .status,
        repliq::Code::NoSuchName as i32
    );
}

#[test]
fn no_payload_key_password_or_verifier_is_in_any_line_of_the_log() {
    let place = place_with_users();
    for (level, form) in [("trace", "text"), ("debug", "json")] {
        let mut running = Running::start(&place, &["--log-level", level, "--log-format", form]);
        exercise(&place, &running);
        running.get("/metrics");
        running.signal("-TERM");
        assert_eq!(running.end().code(), Some(0));
        let log = running.log();
        // The users file as it is knows the verifiers.
        let users = std::fs::read_to_string(place.path("users")).unwrap();
        let verifier = users.split("SCRAM-SHA-256$4096:").nth(1).unwrap();
        let salt = &verifier[..16];
        for secret in ["CANARY", "secret of ann", "SCRAM-SHA-256$", salt] {
            assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
        }
        assert!(!log.lines().any(|line| line.starts_with("audit: forged")), "{log}");
        assert!(log.lines().count() > 10, "{log}");
    }
}

#[test]
fn who_did_what_is_in_the_audit_lines_as_text_and_as_json() {
    let place = place_with_users();
    let mut running = Running::start(&place, &[]);
    exercise(&place, &running);
    running.signal("-TERM");
    running.end();
    let text = running.log();
    let mut running = Running::start(&place, &["--log-format", "json"]);
    exercise(&place, &running);
    running.signal("-TERM");
    running.end();
    let rows: Vec<Value> =
        running.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for words in [
        "login of \"ann\" from 127.0.0.1",
        "login of \"ann\" from 127.0.0.1 refused",
        "\"bob\" was denied BROWSE",
        "\"bob\" was denied STATUS",
        "\"ann\" did queue purge \"q\"",
        "\"ann\" did user add \"bob\"",
        "\"ann\" did user rm \"bob\"",
    ] {
        let line = text.lines().find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{words:?} is not in {text}"));
        assert!(line.contains(" audit: "), "{line}");
        let row = rows.iter().find(|row| row["message"].as_str().unwrap().contains(words));
        let row = row.unwrap_or_else(|| panic!("{words:?} is not in {rows:?}"));
        assert_eq!(row["target"], "repliq::audit");
        assert!(row["time"].as_str().unwrap().ends_with('Z') && row["level"].is_string());
    }
}

#[test]
fn a_level_leaves_out_what_is_less_important() {
    let place = place_with_users();
    let mut running = Running::start(&place, &["--log-level", "warn"]);
    exercise(&place, &running);
    running.signal("-TERM");
    running.end();
    let log = running.log();
    assert!(log.contains("refused") && !log.contains(" info "), "{log}");
    let mut running = Running::start(&place, &["--log-level", "off"]);
    place.run(&format!("status {}", running.with("ann"))).text();
    running.signal("-TERM");
    running.end();
    assert_eq!(running.log(), "");
}
