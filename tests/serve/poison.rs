//! A server whose disk fails: those who watch it are told, and the manager's watchdog hears nothing any more.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use repliq::Code;

use super::child::{Running, place_with_users, wait_until};
use super::run::command;

/// Waits until the manager has been told nothing for this long.
fn wait_for_silence(notify: &UnixDatagram, silence: Duration) {
    notify.set_read_timeout(Some(silence)).unwrap();
    let mut bytes = [0; 4096];
    let mut count = 0;
    while let Ok(length) = notify.recv(&mut bytes) {
        count += usize::from(bytes[..length].starts_with(b"WATCHDOG=1"));
        assert!(count < 10, "the watchdog is still told that all is well");
    }
}

#[test]
fn a_server_whose_disk_fails_is_no_longer_healthy_and_its_watchdog_falls_silent() {
    let place = place_with_users();
    let notify = UnixDatagram::bind(place.path("notify")).unwrap();
    let repliq = command();
    let mut serve = Command::new("sh");
    // A write beyond the limit is to fail, not to kill.
    serve.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(repliq.get_program());
    serve.arg("serve").arg(place.path("s")).arg("--users-file").arg(place.path("users"));
    serve.args(["--plain", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    serve.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "400000");
    let running = Running::of(&mut serve);
    let with = running.with("ann");
    place.run_with(&format!("put {with} q"), b"kept\n").text();
    assert_eq!((running.get("/healthz").0, running.get("/readyz").0), (200, 200));
    notify.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [0; 64];
    for _ in 0..3 {
        notify.recv(&mut bytes).unwrap();
    }
    assert!(bytes.starts_with(b"WATCHDOG=1"));

    let pid = running.child.id().to_string();
    let limit = Command::new("prlimit").args(["--fsize=1", "--pid", &pid]).status().unwrap();
    assert!(limit.success());
    place
        .run_with(&format!("put {with} q"), b"lost\n")
        .fails(Code::OutcomeUnknown, &["File too large"]);
    wait_until("not healthy", || running.get("/healthz").0 == 503);
    let (status, text) = running.get("/readyz");
    assert!(status == 503 && text.contains("opened anew"), "{status} {text}");
    assert!(running.get("/metrics").1.contains("repliq_poisoned 1"));
    place.run_with(&format!("put {with} q"), b"refused\n").fails(Code::Poisoned, &[]);
    // While all is well it is told twice in 0.4 seconds.
    wait_for_silence(&notify, Duration::from_secs(2));

    drop(running);
    assert_eq!(place.run("get @s q --browse").text(), "kept\n");
}
