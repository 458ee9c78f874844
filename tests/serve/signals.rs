//! SIGTERM, SIGHUP, and what the service manager hears.

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use repliq::{Client, Code, ConnectOptions, Endpoint, Message};

use super::authority::{Authority, Leaf};
use super::child::{Running, place_with_users, wait_until};
use super::run::command;

fn client(running: &Running) -> Client {
    let endpoint = Endpoint::parse(&format!("repliq://ann@{}", running.address)).unwrap();
    let password = Some("secret of ann".into());
    let options = ConnectOptions { password, plain: true, ..ConnectOptions::default() };
    Client::connect(&endpoint, &options).unwrap()
}

#[test]
fn a_server_told_to_end_answers_what_it_took_and_loses_nothing_of_it() {
    let place = place_with_users();
    let mut running = Running::start(&place, &[]);
    let stored = Arc::new(AtomicU64::new(0));
    let putters: Vec<_> = (0..4)
        .map(|_| {
            let (client, stored) = (client(&running), stored.clone());
            std::thread::spawn(move || {
                loop {
                    match client.put("q", &[Message::new(b"x")]) {
                        Ok(_) => stored.fetch_add(1, Ordering::SeqCst),
                        Err(error) => return error.code(),
                    };
                }
            })
        })
        .collect();
    wait_until("puts", || stored.load(Ordering::SeqCst) > 50);
    let start = Instant::now();
    running.signal("-TERM");
    assert_eq!(running.end().code(), Some(0), "{}", running.log());
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let ends: Vec<Code> = putters.into_iter().map(|one| one.join().unwrap()).collect();
    // Whatever was still on its way, unread, may be open; nothing else is.
    let fine = [Code::Closed, Code::OutcomeUnknown, Code::Unreachable];
    assert!(ends.iter().all(|code| fine.contains(code)), "{ends:?}");
    let held = place.run("queue ls @s --json").json()[0]["messages"].as_u64().unwrap();
    let (answered, open) = (
        stored.load(Ordering::SeqCst),
        ends.iter().filter(|code| **code == Code::OutcomeUnknown).count() as u64,
    );
    assert!((answered..=answered + open).contains(&held), "{held} of {answered} and {open}");
    let log = running.log();
    assert!(log.contains("closing ") && log.trim_end().lines().last().unwrap().contains("closed "));
}

#[test]
fn a_reload_that_fails_leaves_all_as_it_was_and_says_so() {
    let place = place_with_users();
    let running = Running::start(&place, &[]);
    let good = std::fs::read(place.path("users")).unwrap();
    place.file("users", "nonsense");
    running.signal("-HUP");
    running.wait_for("all stays as it was");
    place.run_with(&format!("put {} q", running.with("ann")), b"1\n").text();
    place.file("users", good);
    running.signal("-HUP");
    running.wait_for("were read again");
    place.run_with(&format!("put {} q", running.with("ann")), b"2\n").text();
}

#[test]
fn a_reload_takes_a_new_certificate_and_those_who_are_connected_stay() {
    let place = place_with_users();
    let (first, second) = (Authority::new(), Authority::new());
    let folder = place.path("");
    let (certificate, key) = first.leaf(&folder, Leaf::Good);
    let mut serve = command();
    serve.arg("serve").arg(place.path("s")).arg("--users-file").arg(place.path("users"));
    serve.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--certificate-file"]);
    let running = Running::of(serve.arg(certificate).arg("--key-file").arg(key));
    let status = |authority: &Authority| {
        let ca = authority.file(&folder);
        let url = format!("repliq://ann@{}", running.address);
        place.run(&format!("status {url} --ca-file {} --password-file @pw", ca.display()))
    };
    status(&first).text();
    let endpoint = Endpoint::parse(&format!("repliq://ann@{}", running.address)).unwrap();
    let password = Some("secret of ann".into());
    let ca_file = Some(first.file(&folder));
    let options =
        ConnectOptions { password, ca_file, reconnect: false, ..ConnectOptions::default() };
    let connected = Client::connect(&endpoint, &options).unwrap();
    // It is read at the reload, and not before.
    second.leaf(&folder, Leaf::Good);
    status(&second).fails(Code::Certificate, &[]);
    running.signal("-HUP");
    running.wait_for("were read again");
    status(&second).text();
    status(&first).fails(Code::Certificate, &[]);
    connected.put("q", &[Message::new(b"x")]).unwrap();
}

#[test]
fn the_service_manager_hears_ready_reloading_the_watchdog_and_stopping() {
    let place = place_with_users();
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut serve = command();
    serve.arg("serve").arg(place.path("s")).arg("--users-file").arg(place.path("users"));
    serve.args(["--plain", "--listen", "127.0.0.1:0"]);
    serve.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").env_remove("WATCHDOG_PID");
    // Without --http the second line never comes: the child closes its stdout at its end only.
    serve.args(["--http", "0"]);
    let mut running = Running::of(&mut serve);
    let hear = |word: &str| {
        let mut bytes = [0; 4096];
        loop {
            let count = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{word}: {error}"));
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            if text.lines().any(|line| line == word) {
                return text;
            }
        }
    };
    assert!(hear("READY=1").contains("STATUS=serving "));
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    running.signal("-HUP");
    hear("RELOADING=1");
    hear("READY=1");
    running.signal("-TERM");
    hear("STOPPING=1");
    assert_eq!(running.end().code(), Some(0));
}
