//! `serve`, `user`, and STORE as a URL.

use std::os::unix::process::ExitStatusExt;

use repliq::Code;
use serde_json::{Value, json};

use super::server::{Served, place_with_users};

#[test]
fn users_are_added_listed_changed_and_removed() {
    let place = place_with_users();
    place.run("user add @users bob --password-file @pw").text();
    let rows = place.run("user ls @users --json").json();
    assert_eq!(rows[1], json!({"name": "bob", "rights": []}));
    assert_eq!(rows[0]["rights"][0]["queues"], json!(["*"]));
    place.run("user rights @users bob --right browse:a*,b --right publish:c").text();
    let row = place.run("user ls @users --json").json().remove(1);
    let expected = json!([
        {"verbs": ["browse"], "queues": ["a*", "b"]},
        {"verbs": ["publish"], "queues": ["c"]},
    ]);
    assert_eq!(row["rights"], expected);
    let table = place.run("user ls @users").text();
    assert!(table.contains("browse:a*,b publish:c"), "{table}");

    place.run("user add @users bob --password-file @pw").fails(Code::Exists, &["bob"]);
    place.run("user rm @users bob").text();
    place.run("user rm @users bob").fails(Code::NoSuchName, &["bob"]);
    place.run("user passwd @users bob --password-file @pw").fails(Code::NoSuchName, &["bob"]);
    place.run("user ls @nothing").fails(Code::NoSuchName, &["nothing"]);
    assert_eq!(place.run("user add @users x --right fly:*").status, Code::Invalid as i32);
    assert_eq!(place.run("user add @users x --right browse").status, Code::Invalid as i32);
}

#[test]
fn a_password_is_in_no_file_and_no_argument() {
    let place = place_with_users();
    let users = std::fs::read_to_string(place.path("users")).unwrap();
    assert!(users.contains("SCRAM-SHA-256$") && !users.contains("secret of ann"), "{users}");
    place.run("user add @users bob").fails(Code::Invalid, &["bob", "--password-file"]);
    place.file("empty", "\nsecond line\n");
    place.run("user add @users bob --password-file @empty").fails(Code::Invalid, &["empty"]);
    place.run("user add @users bob --password-file @no").fails(Code::NoSuchName, &["/no"]);
    let two = place.run("user add @users bob --password-file @pw --ask-password");
    assert_eq!(two.status, Code::Invalid as i32);
}

#[test]
fn a_live_server_is_asked_by_its_url() {
    let place = place_with_users();
    let served = Served::start(&place, "s", None);
    let with = format!("{} --plain --password-file @pw", served.url("ann"));
    let token = place.run_with(&format!("put {with} q --batch 2"), b"1\n2\n3\n").text();
    let rows = place.run(&format!("queue ls {with} --json")).json();
    let expected = json!({
        "name": "q", "messages": 3, "bytes": rows[0]["bytes"], "next_sequence": 4,
        "paused": false, "consumers": [], "pinned_bytes": 0, "pinned_since_ms": null,
    });
    assert_eq!(rows, [expected]);
    assert_eq!(place.run(&format!("get {with} q --browse --from 2")).text(), "2\n3\n");
    assert_eq!(place.run(&format!("queue peek {with} q --max 1")).text(), "1\n");
    assert_eq!(place.run(&format!("consumer ls {with} --json")).text(), "");
    place.run(&format!("token wait {with} {token}")).text();
    let status = place.run(&format!("status {with} --json")).text();
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["queues"][0]["name"], "q");
    assert_eq!(place.run(&format!("verify {with} --json")).json()[0]["messages"], 3);

    // The same through the directory, while the server writes.
    assert_eq!(place.run("get @s q --browse").text(), "1\n2\n3\n");
    place.run("queue purge @s q").fails(Code::Locked, &[&served.child.id().to_string()]);
    let url = served.url("ann");
    for words in ["passwd", "claim", "fork", "target skip"] {
        let words = match words {
            "target skip" => format!("target skip {url} q --target t=repliq://ann@127.0.0.1"),
            verb => format!("{verb} {url}"),
        };
        place.run(&words).fails(Code::Unsupported, &[&url]);
    }
}

#[test]
fn a_signal_ends_a_server_in_order_and_hangup_reads_the_users_again() {
    let place = place_with_users();
    let served = Served::start(&place, "s", None);
    let with = |user: &str| format!("{} q --plain --password-file @pw", served.url(user));
    place.run_with(&format!("put {}", with("ann")), b"1\n").text();
    let words = format!("put {}", with("bob"));
    place.run_with(&words, b"2\n").fails(Code::Denied, &["127.0.0.1"]);
    place.run("user add @users bob --right publish:q --password-file @pw").text();
    served.signal("-HUP");
    let start = std::time::Instant::now();
    while place.run_with(&words, b"2\n").status != 0 {
        assert!(start.elapsed().as_secs() < 20, "the new user is not known");
    }
    let browse = format!("get {} --browse", with("bob"));
    place.run(&browse).fails(Code::Denied, &[]);
    served.signal("-TERM");
    assert_eq!(served.end().code(), Some(0));
    assert_eq!(place.run("get @s q --browse").text(), "1\n2\n");
}

#[test]
fn what_was_answered_survives_a_killed_server() {
    let place = place_with_users();
    let served = Served::start(&place, "s", None);
    let port = served.port().to_string();
    let words = format!("put {} q --plain --password-file @pw", served.url("ann"));
    place.run_with(&words, b"1\n2\n").text();
    served.signal("-KILL");
    assert_eq!(served.end().signal(), Some(9));
    let again = Served::start(&place, "s", Some(&port));
    place.run_with(&words, b"3\n").text();
    drop(again);
    assert_eq!(place.run("get @s q --browse").text(), "1\n2\n3\n");
}

#[test]
fn mistakes_with_servers_have_their_codes() {
    let place = place_with_users();
    place.file("wrong", "not the password\n");
    place.file("junk.pem", "no certificate\n");
    let served = Served::start(&place, "s", None);
    let (url, port) = (served.url("ann"), served.port());
    let listen = format!("--listen 127.0.0.1:{port}");
    // A listener that never answers as we do.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let foreign = other.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in other.incoming().flatten() {
            use std::io::Write;
            let mut stream = stream;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n");
        }
    });
    let rows: Vec<(String, Code, &str)> = vec![
        (format!("status {url} --plain --password-file @wrong"), Code::Denied, "refused"),
        (
            format!("status {} --plain --password-file @pw", served.url("nobody")),
            Code::Denied,
            "refused",
        ),
        (format!("status {url} --plain"), Code::Invalid, "password"),
        (
            "status repliq://ann@127.0.0.1:1 --plain --password-file @pw".into(),
            Code::Unreachable,
            "127.0.0.1:1",
        ),
        (
            "status repliq://ann@no.such.host.invalid --plain --password-file @pw".into(),
            Code::Unreachable,
            "no.such.host",
        ),
        ("status repliq+unix:///no/such/socket --password-file @pw".into(), Code::Invalid, "user"),
        (
            "status repliq+unix://ann@/no/such/socket --password-file @pw".into(),
            Code::Unreachable,
            "/no/such/socket",
        ),
        (
            format!("status repliq://ann@{foreign} --plain --password-file @pw"),
            Code::Protocol,
            "127.0.0.1",
        ),
        ("status http://127.0.0.1/".into(), Code::Invalid, "URL"),
        ("status repliq://ann:pw@127.0.0.1".into(), Code::Invalid, "password"),
        ("status repliq://ann@127.0.0.1:99999".into(), Code::Invalid, "port"),
        ("status repliq://".into(), Code::Invalid, "host"),
        (format!("serve @t --users-file @users --plain {listen}"), Code::Locked, port),
        (format!("serve @s --users-file @users --plain {listen}"), Code::Locked, "process"),
        ("serve @t --users-file @users --listen nonsense".into(), Code::Invalid, "nonsense"),
        ("serve @t --users-file @users --listen 127.0.0.1:0".into(), Code::Invalid, "plain"),
        ("serve @t --users-file @none --plain --listen 127.0.0.1:0".into(), Code::NoSuchName, "none"),
        ("serve @t --users-file @wrong --plain --listen 127.0.0.1:0".into(), Code::Permission, "wrong"),
        (
            "serve @t --users-file @users --listen 127.0.0.1:0 --certificate-file @junk.pem --key-file @junk.pem"
                .into(),
            Code::Certificate,
            "junk.pem",
        ),
    ];
    for (words, code, word) in rows {
        let ran = place.run(&words);
        assert_eq!(ran.status, code as i32, "{words}: {}", ran.err);
        ran.fails(code, &[word]);
    }
    // TLS is what is spoken unless told otherwise; this server speaks plain only.
    let ran = place.run(&format!("status {url} --password-file @pw"));
    assert!([Code::Unreachable as i32, Code::Protocol as i32].contains(&ran.status), "{}", ran.err);
}
