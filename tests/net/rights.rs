//! Who may do what, and how a change of it takes hold.

use crate::place::{ITERATIONS, PASSWORD, Place, connect, plain, until, url, users};
use repliq::{
    Client, Code, Message, Result, Right, Server, ServerOptions, UserSource, Users, Verb,
};
use std::time::Duration;

/// One user for each verb on `orders*`, and one for none.
fn table() -> Users {
    let mut users = Users::new();
    for verb in Verb::ALL {
        users.add_with(verb.name(), &PASSWORD.into(), ITERATIONS).unwrap();
        let right = Right { verbs: vec![*verb], queues: vec!["orders*".into()] };
        users.set_rights(verb.name(), &[right]).unwrap();
    }
    users.add_with("nobody", &PASSWORD.into(), ITERATIONS).unwrap();
    users.add_with("chief", &PASSWORD.into(), ITERATIONS).unwrap();
    let all = Right { verbs: vec![Verb::Admin], queues: vec!["*".into()] };
    users.set_rights("chief", &[all]).unwrap();
    users
}

fn log_in(server: &Server, user: &str) -> Client {
    let url = format!("repliq://{user}@{}", server.addresses()[0]);
    connect(&url, &plain(PASSWORD)).unwrap()
}

fn allowed<T>(outcome: Result<T>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Code::Denied, "{error}");
            assert_eq!(error.to_string(), "this user may not do that");
            false
        }
    }
}

#[test]
fn each_request_needs_its_right_on_that_queue() {
    let place = Place::new();
    let options = ServerOptions { users: UserSource::Inline(table()), ..place.options() };
    let server = place.open(&options);
    let orders = place.store.queue("orders.eu").unwrap();
    let token = place.store.put(orders, &[Message::new(b"tea")]).unwrap().token;
    place.store.queue("bills").unwrap();
    for user in ["replicate", "publish", "browse", "consume", "admin", "nobody", "chief"] {
        let client = log_in(&server, user);
        for queue in ["orders.eu", "bills", "missing"] {
            let named = queue == "orders.eu";
            let put = allowed(client.put(queue, &[Message::new(b"x")]));
            assert_eq!(put, named && user == "publish", "{user} puts into {queue}");
            let browse = allowed(client.browse(queue, 1, 10));
            assert_eq!(browse, named && user == "browse", "{user} browses {queue}");
        }
        assert_eq!(allowed(client.status()), user == "chief", "{user}");
        assert_eq!(allowed(client.server()), user == "chief", "{user}");
        let here = allowed(client.wait("", &[token], Duration::from_secs(5)));
        assert_eq!(here, user != "nobody", "{user} waits");
        let elsewhere = client.wait("consumer:clerk", &[token], Duration::ZERO);
        match user {
            "chief" => assert_eq!(elsewhere.unwrap_err().code(), Code::NoSuchName),
            _ => assert!(!allowed(elsewhere), "{user}"),
        }
        let seen = client.queues().unwrap();
        assert_eq!(seen.contains("orders.eu"), user != "nobody", "{user} sees {seen}");
        assert_eq!(seen.contains("bills"), user == "chief", "{user} sees {seen}");
    }
    // A queue nobody may touch was not made by asking for it.
    assert!(place.store.find_queue("missing").is_err());
}

#[test]
fn a_stream_needs_a_login_and_is_no_request() {
    let place = Place::new();
    let server = place.plain();
    let mut raw = crate::raw::Raw::log_in(server.addresses()[0], "ann", PASSWORD, 5000);
    raw.send(&crate::raw::frame(66, &[0; 4]));
    assert!(matches!(raw.word(), crate::raw::Came::Frame(81, _)));
    raw.send(&crate::raw::frame(32, b""));
    assert_eq!(raw.error().0, crate::raw::PROTOCOL);
}

/// The greeting of a sender of `queue`: kind 32 as `src/wire/stream.rs` describes it.
fn greeting(stream: u64, queue: &str) -> Vec<u8> {
    let mut body = vec![1];
    body.extend(b"0123456789abcdef");
    body.extend(stream.to_le_bytes());
    // Durable up to epoch 1, sequence 9; everything from the beginning is kept.
    body.extend([1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    body.extend([0; 20]);
    // One row: epoch 1 from sequence 1, some owner, created.
    body.extend([1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 1]);
    for text in ["root", queue, "target"] {
        body.extend((text.len() as u16).to_le_bytes());
        body.extend(text.as_bytes());
    }
    crate::raw::frame(32, &body)
}

#[test]
fn a_stream_needs_the_right_to_replicate_into_that_queue() {
    let place = Place::new();
    let options = ServerOptions { users: UserSource::Inline(table()), ..place.options() };
    let server = place.open(&options);
    let mut stream = 0;
    for user in ["replicate", "publish", "browse", "consume", "admin", "nobody", "chief"] {
        for queue in ["orders.eu", "bills"] {
            stream += 1;
            let mut raw = crate::raw::Raw::log_in(server.addresses()[0], user, PASSWORD, 5000);
            raw.send(&greeting(stream, queue));
            let crate::raw::Came::Frame(33, answer) = raw.word() else { panic!("no answer") };
            let code = i32::from_le_bytes(answer[..4].try_into().unwrap());
            let allowed = user == "replicate" && queue == "orders.eu";
            let expected = if allowed { Code::Ok } else { Code::Denied };
            assert_eq!(code, expected as i32, "{user} {queue}");
            assert_eq!(place.store.find_queue(queue).is_ok(), queue == "orders.eu");
            let status = server.status().unwrap();
            assert!(status.contains(&format!("\"queue\": {queue:?}")), "{status}");
            drop(raw);
            until("it is gone", || server.status().unwrap().contains("\"connections\": []"));
        }
    }
    let status = server.status().unwrap();
    assert!(status.contains("\"login_failures\": 0"), "{status}");
}

#[test]
fn a_reload_cuts_off_who_was_removed_or_changed_and_nobody_else() {
    let place = Place::new();
    let path = place.path("users.toml");
    let mut listed = users();
    for name in ["ben", "cid", "dan"] {
        listed.add_with(name, &PASSWORD.into(), ITERATIONS).unwrap();
        listed.set_rights(name, &[crate::place::everything()]).unwrap();
    }
    listed.save(&path).unwrap();
    let options = ServerOptions { users: UserSource::File(path.clone()), ..place.options() };
    let server = place.open(&options);
    let [ann, ben, cid, dan] = ["ann", "ben", "cid", "dan"].map(|user| log_in(&server, user));
    listed.remove("ben").unwrap();
    listed.set_rights("cid", &[]).unwrap();
    listed.remove("dan").unwrap();
    listed.add_with("dan", &"another".into(), ITERATIONS).unwrap();
    listed.save(&path).unwrap();
    for client in [&ann, &ben, &cid, &dan] {
        client.status().unwrap();
    }
    server.reload().unwrap();
    for client in [&ben, &dan] {
        until("who was removed is out", || {
            client.status().err().is_some_and(|error| error.code() == Code::Denied)
        });
    }
    // cid comes back by itself and may do nothing.
    until("cid is back", || cid.queues().is_ok());
    assert_eq!(cid.status().unwrap_err().code(), Code::Denied);
    ann.status().unwrap();
    let status = server.status().unwrap();
    assert_eq!(status.matches("\"ann\"").count(), 1, "{status}");
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let place = Place::new();
    let path = place.path("users.toml");
    users().save(&path).unwrap();
    let options = ServerOptions { users: UserSource::File(path.clone()), ..place.options() };
    let server = place.open(&options);
    let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
    std::fs::write(&path, "nonsense").unwrap();
    assert_eq!(server.reload().unwrap_err().code(), Code::Invalid);
    client.status().unwrap();
    connect(&url(&server), &plain(PASSWORD)).unwrap();
}
