//! What is logged, at the finest level, by a life with TLS, right and wrong logins and refusals: no payload, no
//! key of a message and no password.

use crate::place::{
    Authority, ITERATIONS, Leaf, PASSWORD, Place, connect, plain, trusting, until, url,
};
use repliq::{
    Code, ConnectOptions, Message, Replication, ReplicationOptions, Store, StoreOptions,
    TargetOptions, Users,
};
use std::sync::{Mutex, Once};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const CANARIES: [&str; 5] = [
    "canary-payload-01",
    "canary-key-02",
    "canary-header-03",
    "canary-store-04",
    "canary-guess-05",
];

/// Keeps every line.
struct Lines(Mutex<String>);

static LINES: Lines = Lines(Mutex::new(String::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        self.0.lock().unwrap().push_str(&line);
    }

    fn flush(&self) {}
}

fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

#[test]
fn no_line_of_the_log_holds_a_payload_or_a_password() {
    collect();
    let (place, authority) = (Place::new(), Authority::new());
    let server = place.open(&place.secured(&authority, Leaf::Good));
    let here = StoreOptions { password: Some(CANARIES[3].into()), ..StoreOptions::default() };
    let store = Store::open(place.path("here"), &here).unwrap();
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let trusting = trusting(&place, &authority);
    let to = |connect: ConnectOptions| TargetOptions { connect, ..TargetOptions::default() };
    replication.add("good", &url(&server), &to(trusting.clone())).unwrap();
    let guess = ConnectOptions { password: Some(CANARIES[4].into()), ..trusting.clone() };
    replication.add("guess", &url(&server), &to(guess.clone())).unwrap();
    let message = Message {
        key: CANARIES[1].as_bytes(),
        headers: &[("name", CANARIES[2].as_bytes())],
        ..Message::new(CANARIES[0].as_bytes())
    };
    let token = replication.send_message(&message).unwrap().token;
    store.wait("target:good", &[token], SOON).unwrap();
    // A queue that refuses, a login that fails, a server that is not there, a store that is not opened.
    let closed = place.store.find_queue("root").unwrap();
    place.store.queue_pause(closed).unwrap();
    replication.send_message(&message).unwrap();
    let targets = || replication.targets().unwrap();
    until("a refusal", || targets().iter().any(|one| one.refused.is_some()));
    replication.skip("good").unwrap();
    until("it is set aside", || targets().iter().any(|one| one.skipped == 1));
    let denied = |one: &repliq::TargetStatus| {
        one.last_error.as_ref().is_some_and(|error| error.starts_with("DENIED"))
    };
    until("a refused login", || targets().iter().any(denied));
    assert_eq!(connect(&url(&server), &guess).err().unwrap().code(), Code::Denied);
    assert!(connect("repliq://ann@127.0.0.1:1", &plain(CANARIES[4])).is_err());
    let mut users = Users::new();
    users.add_with("eve", &CANARIES[4].into(), ITERATIONS).unwrap();
    replication.close().unwrap();
    store.close().unwrap();
    let wrong = StoreOptions { password: Some(CANARIES[4].into()), ..StoreOptions::default() };
    assert_eq!(Store::open(place.path("here"), &wrong).err().unwrap().code(), Code::BadPassword);
    drop(server);

    let lines = LINES.0.lock().unwrap().clone();
    for told in ["login of \"ann\"", "set aside", "DEBUG repliq"] {
        assert!(lines.contains(told), "no {told:?} in {lines}");
    }
    for canary in CANARIES.into_iter().chain([PASSWORD]) {
        assert!(!lines.contains(canary), "{canary} in {lines}");
    }
    println!("{} bytes of log looked through", lines.len());
}
