//! Who gets in, over which way, and what the others hear.

use crate::place::{Place, connect, plain, until, url, users};
use crate::raw::{CLOSE, Came, DENIED, HEARTBEAT, LOGIN, PROTOCOL, Raw, frame, hello};
use repliq::{Code, ConnectOptions, Server, ServerLimits, ServerOptions, UserSource, Users};
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn a_user_gets_in_over_plain_tcp_and_over_a_unix_socket() {
    let place = Place::new();
    let server = place.plain();
    for url in [url(&server), place.socket()] {
        let client = connect(&url, &plain(crate::place::PASSWORD)).unwrap();
        assert!(client.status().unwrap().contains("\"queues\""));
        let seen = server.status().unwrap();
        assert!(seen.contains("\"ann\"") && seen.contains("\"requests\""), "{seen}");
        client.close();
        assert_eq!(client.status().unwrap_err().code(), Code::Closed);
    }
    until("the clients are gone", || server.status().unwrap().contains("\"connections\": []"));
}

#[test]
fn a_unix_socket_needs_no_plain_option_and_belongs_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let socket = format!("unix:{}", place.path("socket").display());
    let options = ServerOptions { plain: false, listen: vec![socket], ..place.options() };
    let server = place.open(&options);
    let secret = ConnectOptions { plain: false, ..plain(crate::place::PASSWORD) };
    connect(&place.socket(), &secret).unwrap();
    let mode = std::fs::metadata(place.path("socket")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.close();
    assert!(!place.path("socket").exists());
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_denied_in_the_same_words_and_steps() {
    let place = Place::new();
    let server = place.plain();
    let address = server.addresses()[0];
    let mut heard = Vec::new();
    for (user, password) in [("ann", "wrong"), ("bob", "wrong"), ("bob", "ann's secret")] {
        let error = connect(&format!("repliq://{user}@{address}"), &plain(password)).err().unwrap();
        assert_eq!(error.code(), Code::Denied);
        assert!(error.to_string().ends_with("login refused"), "{error}");
        let mut raw = Raw::open(address);
        let (last, _) = raw.begin("n,,", user, password, 5000);
        raw.send(&last);
        heard.push(raw.error());
    }
    assert_eq!(heard, vec![(DENIED, "login refused".to_string()); 3]);
}

#[test]
fn an_unknown_user_has_one_salt_for_ever_and_the_iterations_of_the_others() {
    let place = Place::new();
    let path = place.path("users.toml");
    users().save(&path).unwrap();
    let challenge = |user: &str| {
        let options = ServerOptions { users: UserSource::File(path.clone()), ..place.options() };
        let server = place.open(&options);
        let mut raw = Raw::open(server.addresses()[0]);
        let mut first = hello(5000);
        first.extend(frame(LOGIN, format!("n,,n={user},r=0123456789abcdefghijklmn").as_bytes()));
        raw.send(&first);
        raw.expect(b"repliq\r\n");
        raw.frame();
        raw.text().split_once(",s=").unwrap().1.to_string()
    };
    let (known, one, again, other) =
        (challenge("ann"), challenge("bob"), challenge("bob"), challenge("ben"));
    assert_eq!(one, again);
    assert_ne!(one, other);
    assert_eq!(known.len(), one.len());
    assert!(known.ends_with(",i=4096") && one.ends_with(",i=4096"));
}

#[test]
fn a_client_written_from_the_description_logs_in_and_leaves() {
    let place = Place::new();
    let server = place.plain();
    let mut raw = Raw::log_in(server.addresses()[0], "ann", crate::place::PASSWORD, 5000);
    assert!(matches!(raw.frame(), Came::Frame(HEARTBEAT, body) if body.is_empty()));
    raw.send(&frame(CLOSE, &[]));
    assert_eq!(raw.word(), Came::End);
}

#[test]
fn a_binding_that_is_not_there_and_a_maybe_are_refused() {
    let place = Place::new();
    let server = place.plain();
    for gs2 in ["y,,", "p=tls-exporter,,", "p=tls-unique,,", "n,a=ann,"] {
        let mut raw = Raw::open(server.addresses()[0]);
        let mut first = hello(5000);
        let message = format!("{gs2}n=ann,r=0123456789abcdefghijklmn");
        first.extend(frame(LOGIN, message.as_bytes()));
        raw.send(&first);
        raw.expect(b"repliq\r\n");
        raw.frame();
        assert_eq!(raw.error().0, DENIED, "{gs2}");
    }
}

#[test]
fn a_login_cut_at_every_byte_leaves_the_server_as_it_was() {
    let place = Place::new();
    let server = place.plain();
    let address = server.addresses()[0];
    let length = {
        let mut raw = Raw::open(address);
        let (last, _) = raw.begin("n,,", "ann", crate::place::PASSWORD, 5000);
        raw.send(&last);
        raw.sent.len()
    };
    for cut in 0..length {
        let mut raw = Raw::open(address);
        if cut < 100 {
            let mut first = hello(5000);
            first.extend(frame(LOGIN, b"n,,n=ann,r=0123456789abcdefghijklmn"));
            raw.send(&first[..cut.min(first.len())]);
        } else {
            let (last, _) = raw.begin("n,,", "ann", crate::place::PASSWORD, 5000);
            let rest = cut.saturating_sub(raw.sent.len()).min(last.len() - 1);
            raw.send(&last[..rest]);
        }
        // Half of them with a reset, half with an end.
        if cut % 2 == 0 {
            raw.socket.shutdown(Shutdown::Write).unwrap();
        }
    }
    until("all are gone", || server.status().unwrap().contains("\"connections\": []"));
    let status = server.status().unwrap();
    assert!(status.contains("\"login_failures\": 0"), "{status}");
    connect(&url(&server), &plain(crate::place::PASSWORD)).unwrap();
}

#[test]
fn frames_before_their_time_and_out_of_place_are_refused() {
    let place = Place::new();
    let server = place.plain();
    let address = server.addresses()[0];
    for kind in [LOGIN, HEARTBEAT, 32, 64, 255] {
        let mut raw = Raw::open(address);
        let mut bytes = b"repliq\r\n".to_vec();
        bytes.extend(frame(kind, b"n,,n=ann,r=0123456789abcdefghijklmn"));
        raw.send(&bytes);
        // Who has not said hello hears nothing.
        assert_eq!(raw.frame(), Came::End, "{kind}");
        let mut raw = Raw::open(address);
        raw.begin("n,,", "ann", crate::place::PASSWORD, 5000);
        if kind != LOGIN {
            raw.send(&frame(kind, b""));
            assert_eq!(raw.error().0, PROTOCOL, "{kind}");
        }
    }
    for kind in [LOGIN, 1, 3, 7, 31, 96, 255] {
        let mut raw = Raw::log_in(address, "ann", crate::place::PASSWORD, 5000);
        raw.send(&frame(kind, b""));
        assert_eq!(raw.error().0, PROTOCOL, "{kind}");
    }
}

#[test]
fn failed_logins_wait_and_a_good_one_from_elsewhere_does_not() {
    let place = Place::new();
    let limits =
        ServerLimits { failures_max: 2, failure_wait_ms_max: 400, ..ServerLimits::default() };
    let options = ServerOptions { limits, ..place.options() };
    let server = place.open(&options);
    let guess = |password: &str| {
        let since = Instant::now();
        let error = connect(&url(&server), &plain(password)).err();
        (since.elapsed() >= Duration::from_millis(300), error.map(|error| error.code()))
    };
    assert_eq!(guess("one"), (false, Some(Code::Denied)));
    assert_eq!(guess("two"), (false, Some(Code::Denied)));
    assert_eq!(guess("three"), (true, Some(Code::Denied)));
    // Over the socket of this machine ann is somebody else.
    let since = Instant::now();
    connect(&place.socket(), &plain(crate::place::PASSWORD)).unwrap();
    assert!(since.elapsed() < Duration::from_millis(300));
    // The right password waits as long, and ends it.
    assert_eq!(guess(crate::place::PASSWORD), (true, None));
    assert_eq!(guess("four"), (false, Some(Code::Denied)));
}

#[test]
fn a_server_without_users_or_with_a_bad_file_of_them_lets_nobody_in() {
    let place = Place::new();
    let nobody = ServerOptions { users: UserSource::Inline(Users::new()), ..place.options() };
    let server = place.open(&nobody);
    let error = connect(&url(&server), &plain(crate::place::PASSWORD)).err().unwrap();
    assert_eq!(error.code(), Code::Denied);
    drop(server);
    let missing = ServerOptions { users: UserSource::File(place.path("none")), ..place.options() };
    assert_eq!(Server::open(&place.store, &missing).err().unwrap().code(), Code::NoSuchName);
}

#[test]
fn passwords_and_verifiers_are_nowhere_in_a_recorded_login() {
    let place = Place::new();
    let server = place.plain();
    let raw = Raw::log_in(server.addresses()[0], "ann", crate::place::PASSWORD, 5000);
    let text = String::from_utf8_lossy(&raw.sent).to_string();
    assert!(text.contains("n=ann") && !text.contains("secret"), "{text}");
    let error = connect(&url(&server), &plain("a canary")).err().unwrap();
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert!(!format!("{:?} {:?}", plain("a canary"), place.options()).contains("canary"));
}
