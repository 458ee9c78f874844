//! The public face over real sockets: jobs, targets that come and go, servers that stop and come back.

use repliq::{
    Code, ConnectOptions, ConsumerOptions, Message, Replication, ReplicationOptions, Right, Select,
    Server, ServerOptions, Store, StoreOptions, TargetOptions, UserSource, Users, Verb,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const SOON: Duration = Duration::from_secs(20);

fn users() -> Users {
    let mut users = Users::new();
    users.add_with("replication", &"p4localhost".into(), 4096).unwrap();
    let right = Right { verbs: vec![Verb::Replicate], queues: vec!["*".to_string()] };
    users.set_rights("replication", &[right]).unwrap();
    users.add_with("nobody", &"x".into(), 4096).unwrap();
    users
}

pub struct Running {
    pub store: Store,
    pub server: Server,
    socket: PathBuf,
}

impl Running {
    pub fn start(folder: &Path, name: &str) -> Running {
        let socket = folder.join(format!("{name}.sock"));
        let store = Store::open(folder.join(name), &StoreOptions::default()).unwrap();
        let options = ServerOptions {
            listen: vec![format!("unix:{}", socket.display())],
            users: UserSource::Inline(users()),
            ..ServerOptions::default()
        };
        let server = Server::open(&store, &options).unwrap();
        Running { store, server, socket }
    }

    pub fn url(&self) -> String {
        format!("repliq+unix://{}", self.socket.display())
    }

    pub fn stop(self) {
        self.server.close();
        self.store.close().unwrap();
    }

    pub fn payloads(&self, queue: &str) -> Vec<String> {
        payloads(&self.store, queue)
    }
}

fn payloads(store: &Store, queue: &str) -> Vec<String> {
    let Ok(queue) = store.find_queue(queue) else { return Vec::new() };
    let found = store.snapshot().unwrap().browse(queue, 1, 100_000).unwrap();
    found.iter().map(|one| String::from_utf8(one.payload().to_vec()).unwrap()).collect()
}

pub fn target() -> TargetOptions {
    let connect = ConnectOptions {
        user: Some("replication".to_string()),
        password: Some("p4localhost".into()),
        reconnect_ms_max: 200,
        ..ConnectOptions::default()
    };
    TargetOptions { connect, ..TargetOptions::default() }
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn jobs_and_single_sends_reach_two_servers_of_which_one_was_away() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Running::start(folder.path(), "one"), Running::start(folder.path(), "two"));
    let store = Store::open(folder.path().join("sender"), &StoreOptions::default()).unwrap();
    let root = store.queue("hw_root_queue_name").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    replication.add("Tolocal", &one.url(), &target()).unwrap();
    replication.add("ToLinux", &two.url(), &target()).unwrap();
    assert_eq!(replication.add("Tolocal", &one.url(), &target()).unwrap_err().code(), Code::Exists);
    let again = Replication::open(&store, root, &ReplicationOptions::default());
    assert_eq!(again.err().unwrap().code(), Code::Busy);

    replication.start_job().unwrap();
    assert_eq!(replication.start_job().unwrap_err().code(), Code::Exists);
    replication.send(0x2002, b"hello").unwrap();
    replication.send(0x2004, b"echo").unwrap();
    let token = replication.end_job().unwrap().token;
    store.wait("target:*", &[token], SOON).unwrap();
    replication.start_job().unwrap();
    replication.send(0x2002, b"never").unwrap();
    replication.abort_job().unwrap();
    assert_eq!(replication.abort_job().unwrap_err().code(), Code::Invalid);

    let url = two.url();
    two.stop();
    let late = replication.send(0x2002, b"late").unwrap().token;
    store.wait("target:Tolocal", &[late], SOON).unwrap();
    let at_two = store.wait("target:ToLinux", &[late], Duration::from_millis(50));
    assert_eq!(at_two.unwrap_err().code(), Code::Timeout);
    until("the error of a target that is away", || {
        let targets = replication.targets().unwrap();
        targets.iter().any(|t| t.name == "ToLinux" && t.last_error.is_some() && t.lag_messages == 1)
    });
    let two = Running::start(folder.path(), "two");
    assert_eq!(two.url(), url);
    store.wait("target:*", &[late], SOON).unwrap();
    for server in [&one, &two] {
        assert_eq!(server.payloads("hw_root_queue_name"), ["hello", "echo", "late"]);
    }
    assert!(replication.status().unwrap().contains("\"lag_messages\":0"));
    assert!(store.status().unwrap().contains("Tolocal"));

    replication.remove("Tolocal").unwrap();
    assert_eq!(replication.remove("Tolocal").unwrap_err().code(), Code::NoSuchName);
    let last = replication.send(0x2002, b"last").unwrap().token;
    replication.stop(SOON).unwrap();
    assert_eq!(replication.send(1, b"x").unwrap_err().code(), Code::Closed);
    store.wait("target:*", &[last], Duration::ZERO).unwrap();
    assert_eq!(one.payloads("hw_root_queue_name").len(), 3);
    assert_eq!(two.payloads("hw_root_queue_name").len(), 4);
    one.stop();
    two.stop();
}

#[test]
fn a_replication_opened_again_goes_on_and_opens_though_its_server_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), "server");
    let url = server.url();
    server.stop();
    for life in 0..3 {
        let store = Store::open(folder.path().join("sender"), &StoreOptions::default()).unwrap();
        let root = store.queue("root").unwrap();
        let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
        replication.add("server", &url, &target()).unwrap();
        let token = replication.send(0, format!("life {life}").as_bytes()).unwrap().token;
        if life == 1 {
            let server = Running::start(folder.path(), "server");
            store.wait("target:server", &[token], SOON).unwrap();
            server.stop();
        }
        replication.close().unwrap();
        store.close().unwrap();
    }
    let server = Running::start(folder.path(), "server");
    assert_eq!(server.payloads("root"), ["life 0", "life 1"]);
    server.stop();
}

#[test]
fn a_user_without_the_right_and_a_wrong_password_are_stopped_with_denied() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), "server");
    let store = Store::open(folder.path().join("sender"), &StoreOptions::default()).unwrap();
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    replication.send(0, b"secret").unwrap();
    for (name, user, password) in [("right", "nobody", "x"), ("password", "replication", "wrong")] {
        let mut options = target();
        options.connect.user = Some(user.to_string());
        options.connect.password = Some(password.into());
        replication.add(name, &server.url(), &options).unwrap();
        until("a refusal", || {
            let targets = replication.targets().unwrap();
            let one = targets.iter().find(|one| one.name == name).unwrap();
            one.last_error.as_ref().is_some_and(|error| error.starts_with("DENIED"))
        });
    }
    assert!(server.payloads("root").is_empty());
    let bad = replication.add("bad", "http://nowhere", &target());
    assert_eq!(bad.unwrap_err().code(), Code::Invalid);
    server.stop();
}

/// How many files of a store hold some text.
fn files_with(store: &Path, text: &str) -> usize {
    let files = std::fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    let has = |file: &PathBuf| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    };
    files.filter(has).count()
}

#[test]
fn a_store_with_a_password_is_encrypted_though_its_target_is_reached_without_tls() {
    const CANARY: &str = "canary-of-a-root-queue";
    let folder = tempfile::tempdir().unwrap();
    let (there, here) = (folder.path().join("there"), folder.path().join("here"));
    let target_store = Store::open(&there, &StoreOptions::default()).unwrap();
    let options = ServerOptions {
        listen: vec!["127.0.0.1:0".to_string()],
        plain: true,
        users: UserSource::Inline(users()),
        ..ServerOptions::default()
    };
    let server = Server::open(&target_store, &options).unwrap();
    let locked = StoreOptions { password: Some("of the disk".into()), ..StoreOptions::default() };
    let store = Store::open(&here, &locked).unwrap();
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let mut plain = target();
    plain.connect.plain = true;
    replication.add("plain", &format!("repliq://{}", server.addresses()[0]), &plain).unwrap();
    let token = replication.send(1, CANARY.as_bytes()).unwrap().token;
    store.wait("target:plain", &[token], SOON).unwrap();
    assert_eq!(files_with(&here, CANARY), 0, "what is sent in clear lies in clear on the disk");
    replication.close().unwrap();
    store.close().unwrap();
    server.close();
    target_store.close().unwrap();
    assert_eq!(files_with(&here, CANARY), 0);
    assert!(files_with(&there, CANARY) > 0, "the search finds nothing where it is");
    assert_eq!(
        Store::open(&here, &StoreOptions::default()).err().unwrap().code(),
        Code::BadPassword
    );
}

#[test]
fn many_small_transactions_are_pushed_through_while_they_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), "server");
    let store = Store::open(folder.path().join("sender"), &StoreOptions::default()).unwrap();
    let root = store.queue("root").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let select = Select { kinds: vec![1], ..Select::default() };
    replication.add("all", &server.url(), &target()).unwrap();
    let some = TargetOptions { queue: Some("some".to_string()), select, ..target() };
    replication.add("some", &server.url(), &some).unwrap();
    let threads: Vec<_> = (0..4u16)
        .map(|thread| {
            let replication = replication.clone();
            std::thread::spawn(move || {
                for n in 0..200 {
                    let payload = format!("{thread} {n}");
                    replication.send(thread, payload.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let token = store.put(root, &[Message::new(b"end")]).unwrap().token;
    store.wait("target:*", &[token], SOON).unwrap();
    assert_eq!(server.payloads("root"), payloads(&store, "root"));
    let one: Vec<String> = (0..200).map(|n| format!("1 {n}")).collect();
    assert_eq!(server.payloads("some"), one);
    server.stop();
}

#[test]
fn what_a_target_still_needs_stays_and_goes_once_the_target_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        segment_bytes: 16 << 10,
        segment_bytes_max: 16 << 10,
        keep_ms: 0,
        keep_bytes: 0,
        helper: false,
        ..StoreOptions::default()
    };
    let store = Store::open(folder.path().join("sender"), &options).unwrap();
    let root = store.queue("root").unwrap();
    let consumer = store.consumer("reader", root, &ConsumerOptions::default()).unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    // Nobody listens there: the target needs everything for ever.
    replication.add("away", "repliq+unix:///nowhere/at/all", &target()).unwrap();
    let first = || {
        let status: serde_json::Value = serde_json::from_str(&store.status().unwrap()).unwrap();
        status["segments"][0]["number"].as_u64().unwrap()
    };
    let work = || {
        for _ in 0..40 {
            store.put(root, &[Message::new(&[7; 2000])]).unwrap();
            for message in consumer.receive(10, Duration::ZERO).unwrap() {
                consumer.ack(&[message.sequence()]).unwrap();
            }
        }
        store.reclaim().unwrap();
    };
    let begun = first();
    work();
    work();
    assert_eq!(first(), begun, "a segment the target needs was given back");
    replication.remove("away").unwrap();
    work();
    assert!(first() > begun, "nothing was given back though nobody needs it");
}
