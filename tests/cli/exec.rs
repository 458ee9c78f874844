//! `get --exec`: a command for each message.

use repliq::Code;

use super::run::{Place, Ran, run_with};

/// `get @s q --consumer c --exec COMMAND`, in the folder of the place.
fn exec(place: &Place, command: &str, more: &[&str]) -> Ran {
    let store = place.path("s").display().to_string();
    let command = format!("cd '{}' && {command}", place.path("").display());
    let words = ["get", &store, "q", "--consumer", "c", "--exec", &command];
    run_with(&[&words[..], more].concat(), b"")
}

fn read(place: &Place, name: &str) -> String {
    std::fs::read_to_string(place.path(name)).unwrap()
}

#[test]
fn a_command_gets_each_payload_and_what_belongs_to_it() {
    let place = Place::new();
    place.run_with("put @s q --kind 7 --key k1", b"one\nt w o\n").text();
    let print = "printf '%s ' \"$REPLIQ_QUEUE\" \"$REPLIQ_SEQUENCE\" \"$REPLIQ_KIND\" \"$REPLIQ_KEY\" \
                 \"$REPLIQ_DELIVERIES\" \"${REPLIQ_KEY_BASE64-none}\" && cat && echo";
    let said = exec(&place, print, &[]).text();
    assert_eq!(said, "q 1 7 k1 1 none one\nq 2 7 k1 1 none t w o\n");
    assert_eq!(exec(&place, "cat", &[]).text(), "", "both were acknowledged");

    // A message without a key has an empty one, whatever the caller's own environment holds.
    place.run_with("put @s q", b"three\n").text();
    let outer = "env REPLIQ_KEY=old sh -c 'true'; printf '[%s]' \"$REPLIQ_KEY\"";
    assert_eq!(exec(&place, outer, &["--max", "1"]).text(), "[]");
}

#[test]
fn a_large_payload_that_nobody_reads_is_taken_all_the_same() {
    let place = Place::new();
    place.run_with("put @s q", &[&vec![b'x'; 3 << 20][..], b"\n"].concat()).text();
    assert_eq!(exec(&place, "true", &[]).text(), "");
    place.run_with("put @s q", &[&vec![b'x'; 3 << 20][..], b"\n"].concat()).text();
    assert_eq!(exec(&place, "wc -c", &[]).text().trim(), (3 << 20).to_string());
    assert_eq!(place.run("queue ls @s --json").json()[0]["consumers"][0]["waiting"], 0);
}

#[test]
fn a_message_whose_command_fails_comes_again_and_nothing_overtakes_it() {
    let place = Place::with_numbers(3);
    // Message 2 fails twice, and is taken at its third try.
    let command = "read n; echo \"$n $REPLIQ_DELIVERIES\" >> log; [ \"$n\" != 2 ] || [ $REPLIQ_DELIVERIES = 3 ]";
    exec(&place, command, &["--pause", "0.01"]).text();
    assert_eq!(read(&place, "log"), "1 1\n2 1\n2 2\n2 3\n3 1\n");
    assert_eq!(place.run("get @s q --consumer c").text(), "");
}

#[test]
fn after_the_last_try_the_verb_fails_and_the_message_is_still_there() {
    let place = Place::with_numbers(3);
    let command = "read n; echo $n >> log; [ $n != 2 ]";
    let ran = exec(&place, command, &["--retries", "2", "--pause", "0.01"]);
    ran.fails(Code::Target, &["message 2 of q", "exit status: 1", "3 times"]);
    assert_eq!(read(&place, "log"), "1\n2\n2\n2\n");
    let ran = exec(&place, "kill -9 $$", &["--retries", "0"]);
    ran.fails(Code::Target, &["message 2 of q", "signal: 9"]);
    assert_eq!(exec(&place, "cat; echo", &["--max", "1"]).text(), "2\n");
    assert_eq!(place.run("get @s q --consumer c").text(), "3\n");
}

#[test]
fn a_command_goes_with_a_consumer_only() {
    let place = Place::with_numbers(1);
    for words in [
        "get @s q --browse --exec true",
        "get @s q --consumer c --json --exec true",
        "get @s q --consumer c --format %s --exec true",
        "get @s q --consumer c --retries 1",
        "get @s q --consumer c --exec true --pause -1",
    ] {
        assert_eq!(place.run(words).status, Code::Invalid as i32, "{words}");
    }
    assert_eq!(place.run("get @s q --consumer c").text(), "1\n");
}
