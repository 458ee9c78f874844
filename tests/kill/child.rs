//! What a child of the kill loop does: one of two servers, the sender, or the sender that only drains; and of the
//! chaos on the network: a server with TLS, and a sender that is far away.

use crate::{movers, rivals, workers};
use repliq::{
    Message, Replication, ReplicationOptions, Right, Server, ServerOptions, Store, StoreOptions,
    TargetOptions, UserSource, Users, Verb,
};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The root queue, at the sender and at the servers.
pub const ROOT: &str = "root";
const USER: &str = "sender";
const SECRET: &str = "a secret of the test";

pub fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 64 << 10, ..StoreOptions::default() }
}

/// The payload of one message: job, index, count, and bytes that follow from them.
pub fn payload(job: u64, index: u64, count: u64) -> Vec<u8> {
    let text = format!("{job}:{index}:{count}:");
    let filler = (0..(job * 31 + index * 7) % 400).map(|n| b'a' + (n % 26) as u8);
    text.into_bytes().into_iter().chain(filler).collect()
}

/// Takes a payload apart; panics when a byte of it differs from what was sent.
pub fn payload_of(bytes: &[u8]) -> (u64, u64, u64) {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut words = text.splitn(4, ':');
    let mut word = || words.next().unwrap().parse::<u64>().unwrap();
    let (job, index, count) = (word(), word(), word());
    assert_eq!(bytes, payload(job, index, count), "bytes of job {job} changed on the way");
    (job, index, count)
}

/// Runs the role the parent gave; returns at once where there is none.
pub fn run() {
    let Some(role) = std::env::var_os("REPLIQ_ROLE") else { return };
    let folder = PathBuf::from(std::env::var_os("REPLIQ_FOLDER").unwrap());
    match role.to_str().unwrap() {
        "sender" => send(&folder),
        "drain" => drain(&folder),
        "reader" => rivals::look_on(&folder),
        "far" => send_far(&folder),
        "far drain" => drain_far(&folder),
        "bank" => movers::serve(&folder, false),
        "bank at a port" => movers::serve(&folder, true),
        "worker" => workers::work(&folder, false),
        "last worker" => workers::work(&folder, true),
        role => match (role.strip_prefix("writer "), role.strip_prefix("mover ")) {
            (Some(rival), _) => rivals::write(&folder, rival.parse().unwrap()),
            (_, Some(point)) => movers::work(&folder, point),
            _ => serve(&folder, role),
        },
    }
}

fn serve(folder: &Path, name: &str) {
    let store = Store::open(folder.join(name), &options()).unwrap();
    let users = folder.join(format!("{name}.users"));
    if !users.exists() {
        let mut made = Users::new();
        // The work of a verifier is no part of this test.
        made.add_with(USER, &SECRET.into(), 4096).unwrap();
        let right = Right { verbs: vec![Verb::Replicate], queues: vec!["*".into()] };
        made.set_rights(USER, &[right]).unwrap();
        made.save(&users).unwrap();
    }
    let listen = if name == "unix" {
        format!("unix:{}", folder.join("socket").display())
    } else {
        let port = folder.join("port");
        std::fs::read_to_string(port).unwrap_or_else(|_| "127.0.0.1:0".into())
    };
    let server = open_server(&store, &listen, &users);
    if let Some(address) = server.addresses().first() {
        let (new, port) = (folder.join("port.new"), folder.join("port"));
        std::fs::write(&new, address.to_string()).unwrap();
        std::fs::rename(&new, &port).unwrap();
    }
    std::thread::sleep(Duration::from_secs(3600));
}

/// The port of a server just killed may take a moment to be free.
pub fn open_server(store: &Store, listen: &str, users: &Path) -> Server {
    // Where there is a certificate, nothing goes without.
    let certificate = users.with_file_name("server.pem");
    let secured = certificate.exists();
    let options = ServerOptions {
        listen: vec![listen.to_string()],
        plain: !secured,
        certificate_file: secured.then_some(certificate),
        key_file: secured.then(|| users.with_file_name("server.key")),
        heartbeat_ms: 1_000,
        users: UserSource::File(users.to_path_buf()),
        ..ServerOptions::default()
    };
    for _ in 0..200 {
        match Server::open(store, &options) {
            Ok(server) => return server,
            Err(error) if error.code() == repliq::Code::Locked => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{listen} never became free");
}

fn replicate(folder: &Path) -> (Store, Replication) {
    let store = Store::open(folder.join("sender"), &options()).unwrap();
    let root = store.queue(ROOT).unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let tcp = loop {
        match std::fs::read_to_string(folder.join("port")) {
            Ok(address) => break address,
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let socket = folder.join("socket");
    let urls =
        [format!("repliq://{USER}@{tcp}"), format!("repliq+unix://{USER}@{}", socket.display())];
    for (name, url) in ["tcp", "unix"].into_iter().zip(urls) {
        let mut options = TargetOptions::default();
        options.connect.password = Some(SECRET.into());
        options.connect.plain = true;
        options.connect.reconnect_ms_max = 50;
        replication.add(name, &url, &options).unwrap();
    }
    (store, replication)
}

pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A line is one write, so that a kill cuts none in two; what the test runner wrote before ends first.
    out.write_all(format!("\nhistory {line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The one target is behind the way that the parent has opened.
fn replicate_far(folder: &Path) -> (Store, Replication) {
    let store = Store::open(folder.join("sender"), &options()).unwrap();
    let root = store.queue(ROOT).unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let way = std::fs::read_to_string(folder.join("way")).unwrap();
    let mut options = TargetOptions::default();
    options.connect.password = Some(SECRET.into());
    options.connect.ca_file = Some(folder.join("authority.pem"));
    options.connect.reconnect_ms_max = 50;
    replication.add("tls", &format!("repliq://{USER}@{way}"), &options).unwrap();
    (store, replication)
}

/// How long a wait of the far sender may take.
pub const DEADLINE: Duration = Duration::from_millis(100);

fn send_far(folder: &Path) {
    let (store, replication) = replicate_far(folder);
    let mut latest = Duration::ZERO;
    send_with(&replication, |last| {
        // Few enough that a cycle is judged in a moment, and each wait keeps to its time.
        let begun = std::time::Instant::now();
        match store.wait("target:tls", &[last], DEADLINE) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.code(), repliq::Code::Timeout, "{error}"),
        }
        if begun.elapsed() > latest {
            latest = begun.elapsed();
            say(&format!("waited {}", latest.as_millis()));
        }
        std::thread::sleep(Duration::from_millis(1));
    });
}

fn drain_far(folder: &Path) {
    let (store, replication) = replicate_far(folder);
    finish(&store, &replication);
}

fn send(folder: &Path) {
    let (_store, replication) = replicate(folder);
    send_with(&replication, |_| {});
}

fn send_with(replication: &Replication, mut every: impl FnMut(repliq::Token)) {
    let first: u64 = std::env::var("REPLIQ_NEXT").unwrap().parse().unwrap();
    for job in first.. {
        let count = job % 7;
        if count == 0 {
            say(&format!("begin {job} 1"));
            let sent = replication.send_message(&Message::new(&payload(job, 0, 1))).unwrap();
            say(&format!("ok {job}"));
            every(sent.token);
            continue;
        }
        say(&format!("begin {job} {count}"));
        replication.start_job().unwrap();
        for index in 0..count {
            replication.send_message(&Message::new(&payload(job, index, count))).unwrap();
        }
        if job % 5 == 0 {
            replication.abort_job().unwrap();
            say(&format!("abort {job}"));
        } else {
            replication.end_job().unwrap();
            say(&format!("ok {job}"));
        }
    }
}

fn drain(folder: &Path) {
    let (store, replication) = replicate(folder);
    finish(&store, &replication);
}

/// Puts a last message and waits until it is everywhere.
fn finish(store: &Store, replication: &Replication) {
    let last = replication.send_message(&Message::new(&payload(1 << 40, 0, 1))).unwrap();
    say(&format!("begin {} 1", 1u64 << 40));
    say(&format!("ok {}", 1u64 << 40));
    store.wait("target:*", &[last.token], Duration::from_secs(60)).unwrap();
    replication.close().unwrap();
    store.close().unwrap();
}
