//! `session`, `tx`, and `get --consumer` at a server.

use repliq::{
    Code, ConnectOptions, ConsumerOptions, Message, Rules, Session, SessionOptions, Store,
    StoreOptions, TransactionId,
};
use serde_json::{Value, json};

use super::run::Place;
use super::server::{Served, place_with_users};

fn at(served: &Served) -> Store {
    let connect = ConnectOptions { plain: true, ..ConnectOptions::default() };
    let password = Some("secret of ann".into());
    let options = StoreOptions { password, connect, ..StoreOptions::default() };
    Store::open(served.url("ann"), &options).unwrap()
}

/// A session of this name, and the identities of a transaction it committed and of one that it did not.
fn mover(store: &Store) -> (Session, TransactionId, TransactionId) {
    let queue = store.queue("q").unwrap();
    let options = SessionOptions { name: "mover".into(), ..SessionOptions::default() };
    let mut session = store.session_with(&options).unwrap();
    let first = session.id().unwrap();
    session.put(queue, &Message::new(b"1")).unwrap();
    session.commit().unwrap();
    let second = session.id().unwrap();
    session.put(queue, &Message::new(b"never")).unwrap();
    (session, first, second)
}

/// The session of the name `mover` as `session ls` tells it.
fn listed(place: &Place, with: &str) -> Value {
    let rows = place.run(&format!("session ls {with} --json")).json();
    rows.into_iter().find(|row| row["name"] == "mover").unwrap()
}

fn resolves(place: &Place, with: &str, first: &TransactionId, second: &TransactionId) {
    let text = place.run(&format!("tx resolve {with} {first}")).text();
    let token = text.strip_prefix("committed ").unwrap().trim_end();
    place.run(&format!("token wait {with} {token}")).text();
    let row = place.run(&format!("tx resolve {with} {first} --json")).json().remove(0);
    assert_eq!((row["outcome"].as_str(), row["token"].as_str()), (Some("committed"), Some(token)));
    assert_eq!(row["transaction"], first.to_string());
    let refused = place.run(&format!("tx rollback {with} {first}"));
    refused.fails(Code::Invalid, &[&first.to_string(), "committed", token]);
    assert_eq!(place.run(&format!("tx rollback {with} {second}")).text(), "");
    assert_eq!(place.run(&format!("tx resolve {with} {second}")).text(), "rolled back\n");
    let unknown = "30313233343536373839616263646566.2.7";
    assert_eq!(place.run(&format!("tx resolve {with} {unknown}")).text(), "expired\n");
    let refused = place.run(&format!("tx rollback {with} {unknown}"));
    refused.fails(Code::OutcomeExpired, &[unknown]);
    place.run(&format!("tx resolve {with} 7")).fails(Code::Invalid, &["identity"]);
}

#[test]
fn sessions_of_a_directory_are_listed_and_their_transactions_resolved() {
    let place = Place::new();
    let store = Store::open(place.path("s"), &StoreOptions::default()).unwrap();
    let (session, first, second) = mover(&store);
    let row = listed(&place, "@s");
    assert_eq!((&row["committed"], &row["open"]), (&first.to_string().into(), &Value::Null));
    place.run(&format!("tx resolve @s {first}")).fails(Code::Locked, &["process"]);
    drop(session);
    store.close().unwrap();
    resolves(&place, "@s", &first, &second);
    let table = place.run("session ls @s").text();
    let id = row["session"].as_str().unwrap();
    assert!(table.contains(id) && table.contains("mover"), "{table}");
    place.run(&format!("session kill @s {id}")).text();
    assert_eq!(listed(&place, "@s")["epoch"], 2);
    place.run(&format!("session kill @s {}", "0".repeat(32))).fails(Code::NoSuchName, &["000"]);
    place.run("session kill @s mover").fails(Code::Invalid, &["mover"]);
}

#[test]
fn a_session_at_a_server_is_listed_resolved_and_taken_from_its_owner() {
    let place = place_with_users();
    let served = Served::start(&place, "s", None);
    let with = format!("{} --plain --password-file @pw", served.url("ann"));
    let store = at(&served);
    let (mut session, first, second) = mover(&store);
    let row = listed(&place, &with);
    assert_eq!(
        (&row["user"], &row["open"], &row["epoch"]),
        (&"ann".into(), &true.into(), &1.into())
    );
    assert_eq!(row["committed"], first.to_string());
    resolves(&place, &with, &first, &second);
    assert_eq!(session.commit().unwrap_err().code(), Code::RolledBack);
    let queue = store.find_queue("q").unwrap();
    session.put(queue, &Message::new(b"of the former owner")).unwrap();
    let id = row["session"].as_str().unwrap();
    place.run(&format!("session kill {with} {id}")).text();
    assert_eq!(listed(&place, &with)["open"], false);
    assert_eq!(session.commit().unwrap_err().code(), Code::Fenced);
    place.run(&format!("session kill {with} {}", "0".repeat(32))).fails(Code::NoSuchName, &["000"]);
    place.run(&format!("session kill {with} mover")).fails(Code::Invalid, &["mover"]);
    assert_eq!(place.run(&format!("get {with} q --browse")).text(), "1\n");

    place.run("user add @users bob --right consume,publish,browse:* --password-file @pw").text();
    served.signal("-HUP");
    let with = format!("{} --plain --password-file @pw", served.url("bob"));
    let start = std::time::Instant::now();
    while place.run(&format!("queue ls {with}")).status != 0 {
        assert!(start.elapsed().as_secs() < 20, "the new user is not known");
    }
    place.run(&format!("session ls {with}")).fails(Code::Denied, &[]);
    place.run(&format!("session kill {with} {id}")).fails(Code::Denied, &[]);
    place.run(&format!("tx resolve {with} {first}")).fails(Code::Denied, &[]);
}

/// Prepares two transactions, which are listed and ended by hand.
fn ended_by_hand(place: &Place, with: &str, user: &str, ids: [TransactionId; 2]) {
    let rows = place.run(&format!("tx ls {with} --json")).json();
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (row, id) in rows.iter().zip(&ids) {
        assert_eq!(
            (&row["transaction"], &row["state"]),
            (&json!(id.to_string()), &json!("prepared"))
        );
        assert_eq!((&row["user"], &row["messages"]), (&json!(user), &json!(1)));
    }
    let table = place.run(&format!("tx ls {with}")).text();
    assert!(table.contains("prepared") && table.contains("6131"), "{table}");
    assert_eq!(place.run(&format!("tx resolve {with} {}", ids[0])).text(), "pending\n");
    let token = place.run(&format!("tx commit {with} {}", ids[0])).text();
    place.run(&format!("token wait {with} {}", token.trim_end())).text();
    assert_eq!(place.run(&format!("tx commit {with} {}", ids[0])).text(), token);
    place.run(&format!("tx rollback {with} {}", ids[0])).fails(Code::Invalid, &["committed"]);
    assert_eq!(place.run(&format!("tx rollback {with} {}", ids[1])).text(), "");
    place.run(&format!("tx commit {with} {}", ids[1])).fails(Code::RolledBack, &["by hand"]);
    let states = place.run(&format!("tx ls {with} --json")).json();
    let states: Vec<_> = states.iter().map(|row| (&row["state"], &row["ended_by"])).collect();
    let by = json!(user);
    assert_eq!(states, [(&json!("committed"), &by), (&json!("rolled_back"), &by)]);
    let unknown = "30313233343536373839616263646566.2.7";
    place.run(&format!("tx commit {with} {unknown}")).fails(Code::NoSuchName, &[unknown]);
}

fn prepared(store: &Store) -> [TransactionId; 2] {
    let queue = store.queue("q").unwrap();
    let mut session = store.session().unwrap();
    [b"a1", b"a2"].map(|xid| {
        session.put(queue, &Message::new(xid)).unwrap();
        session.prepare(xid).unwrap()
    })
}

#[test]
fn txs_30_prepared_transactions_are_listed_and_ended_by_hand() {
    let place = place_with_users();
    let store = Store::open(place.path("here"), &StoreOptions::default()).unwrap();
    let ids = prepared(&store);
    store.close().unwrap();
    ended_by_hand(&place, "@here", "", ids);
    assert_eq!(place.run("get @here q --browse").text(), "a1\n");
    let served = Served::start(&place, "there", None);
    let with = format!("{} --plain --password-file @pw", served.url("ann"));
    let ids = prepared(&at(&served));
    ended_by_hand(&place, &with, "ann", ids);
}

#[test]
fn messages_are_taken_from_a_server_and_each_only_once() {
    let place = place_with_users();
    let served = Served::start(&place, "s", None);
    let with = format!("{} q --plain --password-file @pw", served.url("ann"));
    place.run_with(&format!("put {with}"), b"1\n2\n3\n").text();
    assert_eq!(place.run(&format!("get {with} --consumer c --max 2")).text(), "1\n2\n");
    let words = format!("get {with} --consumer c --exec cat");
    assert_eq!(place.run(&words).text(), "3");
    assert_eq!(place.run(&words).text(), "");
    assert_eq!(place.run(&format!("get {with} --consumer d --max 1")).text(), "1\n");
}

#[test]
fn consumers_at_a_server_are_listed_with_their_workers_and_what_these_have() {
    let place = place_with_users();
    let served = Served::start(&place, "s", None);
    let with = format!("{} --plain --password-file @pw", served.url("ann"));
    place.run_with(&format!("put {with} q"), b"1\n2\n3\n").text();
    let store = at(&served);
    let queue = store.queue("q").unwrap();
    let rules = Rules { shared: true, lease_ms: 3_600_000, ..Rules::default() };
    let options = ConsumerOptions { rules, ..ConsumerOptions::default() };
    let (one, two) = (store.consumer("w", queue, &options), store.consumer("w", queue, &options));
    let (one, two) = (one.unwrap(), two.unwrap());
    let plain = store.consumer("p", queue, &ConsumerOptions::default()).unwrap();
    let wait = std::time::Duration::from_secs(20);
    assert_eq!(one.receive(1, wait).unwrap().len() + two.receive(1, wait).unwrap().len(), 2);
    let listed = |name: &str| {
        let rows = place.run(&format!("consumer ls {with} --json")).json();
        let row = rows.into_iter().find(|row| row["name"] == name).unwrap();
        json!([row["workers"], row["out"], row["lease_ms"], row["waiting"]])
    };
    assert_eq!(listed("w"), json!([2, 2, 3_600_000, 3]));
    assert_eq!(listed("p"), json!([1, null, 0, 3]));
    let table = place.run(&format!("consumer ls {with}")).text();
    assert!(table.lines().next().unwrap().contains("workers"), "{table}");
    one.close();
    assert_eq!(listed("w"), json!([1, 1, 3_600_000, 3]));
    drop((two, plain));
    store.close().unwrap();
    let start = std::time::Instant::now();
    while listed("w") != json!([0, null, 0, 3]) {
        assert!(start.elapsed().as_secs() < 20, "{}", listed("w"));
    }
}
