//! A network that swallows everything: connections stand, and answers vanish.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use repliq::{
    ConnectOptions, Replication, ReplicationOptions, Store, StoreOptions, TargetOptions,
    TargetStatus,
};

use super::server::place_with_users;

const SOON: Duration = Duration::from_secs(30);
/// Three heartbeats of a server that was not told otherwise, and what a busy machine adds.
const NOTICED: Duration = Duration::from_secs(15 + 5);

/// A relay on loopback between a client and a server, whose answers it can swallow.
struct Relay {
    address: String,
    swallows: Arc<AtomicBool>,
}

impl Relay {
    fn to(server: String) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let swallows = Arc::new(AtomicBool::new(false));
        let swallow = swallows.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { return };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(from, to, &AtomicBool::new(false)));
                let swallow = swallow.clone();
                std::thread::spawn(move || pass(server, client, &swallow));
            }
        });
        Relay { address, swallows }
    }

    /// From now on, or no longer, what the server sends is lost without a word.
    fn swallow(&self, begins: bool) {
        self.swallows.store(begins, Ordering::SeqCst);
    }
}

/// Passes bytes on until either end is gone. A connection that lost something never carries anything again.
fn pass(mut from: TcpStream, mut to: TcpStream, swallow: &AtomicBool) {
    let (mut bytes, mut lost) = ([0; 4096], false);
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        lost |= swallow.load(Ordering::SeqCst);
        if !lost && to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            let _ = self.0.wait();
        }
    }
}

#[test]
fn a_target_in_a_black_hole_is_noticed_and_gets_everything_once_when_it_is_back() {
    let place = place_with_users();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_repliq"));
    serve.arg("serve");
    serve.arg(place.path("far")).args(["--plain", "--users-file"]).arg(place.path("users"));
    serve.args(["--listen", "127.0.0.1:0"]);
    let child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut served = Killed(child);
    let mut line = String::new();
    BufReader::new(served.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap();
    let relay = Relay::to(address.to_string());
    let address = relay.address.clone();

    let store = Store::open(place.path("near"), &StoreOptions::default()).unwrap();
    let root = store.queue("q").unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let connect = ConnectOptions {
        user: Some("ann".into()),
        password: Some("secret of ann".into()),
        plain: true,
        connect_timeout_ms: 2_000,
        reconnect_ms_max: 500,
        ..ConnectOptions::default()
    };
    let options = TargetOptions { connect, ..TargetOptions::default() };
    replication.add("far", &format!("repliq://{address}"), &options).unwrap();
    let first = replication.send(0, b"before").unwrap().token;
    store.wait("target:far", &[first], SOON).unwrap();

    relay.swallow(true);
    let begun = Instant::now();
    // Nobody who puts something waits for it.
    let mut last = first;
    for n in 0..10 {
        last = replication.send(0, format!("within {n}").as_bytes()).unwrap().token;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "a put waited for the network");
    let of = || replication.targets().unwrap().remove(0);
    let dead = |seen: &TargetStatus| {
        seen.last_error.as_ref().is_some_and(|error| error.starts_with("UNREACHABLE: "))
    };
    while !dead(&of()) {
        assert!(begun.elapsed() < NOTICED, "{:?}", of());
        std::thread::sleep(Duration::from_millis(20));
    }
    let noticed = begun.elapsed();
    assert_eq!(of().lag_messages, 10);
    assert!(of().last_error.is_some_and(|error| error.contains(&address)));

    relay.swallow(false);
    store.wait("target:far", &[last], SOON).unwrap();
    println!("a black hole was noticed after {} ms", noticed.as_millis());
    replication.close().unwrap();
    drop(served);
    let within: String = (0..10).map(|n| format!("within {n}\n")).collect();
    assert_eq!(place.run("get @far q --browse").text(), format!("before\n{within}"));
}
