//! The Rust of the book that no tutorial shows, as tests.

use std::time::Duration;

use repliq::{
    Code, ConnectOptions, Message, RETRIABLE, Replication, ReplicationOptions, Right, Select,
    Server, ServerOptions, Store, StoreOptions, TargetOptions, Token, UserSource, Users, Verb,
};

fn open(folder: &tempfile::TempDir, name: &str) -> Store {
    Store::open(folder.path().join(name), &StoreOptions::default()).unwrap()
}

// ANCHOR: retry
/// Puts a message once, however often it has to be tried: the producer's number makes a repetition harmless.
fn put_once(store: &Store, queue: &str, number: u64, payload: &[u8]) -> repliq::Result<()> {
    let queue = store.queue(queue)?;
    let message =
        Message { producer: "till 7", producer_sequence: number, ..Message::new(payload) };
    loop {
        match store.put(queue, &[message]) {
            Ok(_) => return Ok(()),
            Err(error) if error.code().flags() & RETRIABLE != 0 => {
                eprintln!("tried again in a second: {error}");
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(error) => return Err(error),
        }
    }
}
// ANCHOR_END: retry

#[test]
fn a_put_with_a_number_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, "shop");
    for _ in 0..3 {
        put_once(&store, "orders", 1, b"one pound of tea").unwrap();
    }
    put_once(&store, "orders", 2, b"two pounds of sugar").unwrap();
    assert_eq!(put_once(&store, "orders", 4, b"x").unwrap_err().code(), Code::OutOfOrder);
    let queue = store.queue("orders").unwrap();
    assert_eq!(store.snapshot().unwrap().browse(queue, 1, 9).unwrap().len(), 2);

    store.queue_pause(queue).unwrap();
    let other = store.clone();
    let later = std::thread::spawn(move || put_once(&other, "orders", 3, b"milk"));
    std::thread::sleep(Duration::from_millis(50));
    store.queue_resume(queue).unwrap();
    later.join().unwrap().unwrap();
}

/// A store that others may replicate into, and its address.
fn office(folder: &tempfile::TempDir) -> (Store, Server, String) {
    let store = open(folder, "office");
    let mut users = Users::new();
    users.add("till", &"secret".into()).unwrap();
    let rights = [Right { verbs: vec![Verb::Replicate], queues: vec!["orders*".into()] }];
    users.set_rights("till", &rights).unwrap();
    let options = ServerOptions {
        listen: vec!["127.0.0.1:0".into()],
        plain: true,
        users: UserSource::Inline(users),
        ..ServerOptions::default()
    };
    let server = Server::open(&store, &options).unwrap();
    let url = format!("repliq://till@{}", server.addresses()[0]);
    (store, server, url)
}

// ANCHOR: later
/// Later, in another process that has the store: the text of the token was kept in a cookie, a file, a column.
fn later(store: &Store, text: &str) -> repliq::Result<()> {
    let token: Token = text.parse()?;
    store.wait("target:office", &[token], Duration::from_secs(20))
}
// ANCHOR_END: later

#[test]
fn a_target_gets_what_it_selects_and_a_token_can_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (office, server, url) = office(&folder);
    let store = open(&folder, "shop");
    let orders = store.queue("orders").unwrap();
    let replication = Replication::open(&store, orders, &ReplicationOptions::default()).unwrap();
    let connect =
        || ConnectOptions { password: Some("secret".into()), plain: true, ..Default::default() };
    let whole = TargetOptions { connect: connect(), ..TargetOptions::default() };
    replication.add("office", &url, &whole).unwrap();
    // ANCHOR: select
    let options = TargetOptions {
        connect: connect(),
        queue: Some("orders_tea".into()),
        select: Select { key_prefix: Some(b"tea/".to_vec()), ..Select::default() },
        ..TargetOptions::default()
    };
    replication.add("tea", &url, &options).unwrap();
    // ANCHOR_END: select
    let sugar = Message { key: b"sugar", ..Message::new(b"two pounds of sugar") };
    let tea = Message { key: b"tea/green", ..Message::new(b"one pound of tea") };
    let sent = replication.send_many(&[sugar, tea]).unwrap();
    let note = sent.token.to_string();

    later(&store, &note).unwrap();
    assert_eq!(later(&office, &note).unwrap_err().code(), Code::NoSuchName);
    let queue = office.queue("orders").unwrap();
    assert_eq!(office.snapshot().unwrap().browse(queue, 1, 10).unwrap().len(), 2);
    store.wait("target:*", &[sent.token], Duration::from_secs(20)).unwrap();
    let queue = office.queue("orders_tea").unwrap();
    let found = office.snapshot().unwrap().browse(queue, 1, 10).unwrap();
    assert_eq!(found.iter().map(|one| one.payload()).collect::<Vec<_>>(), [b"one pound of tea"]);
    replication.stop(Duration::from_secs(20)).unwrap();
    server.close();
}
