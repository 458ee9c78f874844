//! A network that swallows everything: the server runs in a network namespace of its own, and answers vanish.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use repliq::{
    ConnectOptions, Replication, ReplicationOptions, Store, StoreOptions, TargetOptions,
    TargetStatus,
};

use super::server::place_with_users;

const SOON: Duration = Duration::from_secs(30);
/// Three heartbeats of a server that was not told otherwise, and what a busy machine adds.
const NOTICED: Duration = Duration::from_secs(15 + 5);

/// A namespace joined to this one by a pair of interfaces; it goes with them when this is dropped.
struct Namespace {
    name: String,
    here: String,
    there: String,
}

fn ip(words: &str) -> bool {
    let output = Command::new("ip").args(words.split(' ')).output();
    output.is_ok_and(|output| output.status.success())
}

impl Namespace {
    /// `None` where this machine, or this user, has none.
    fn new() -> Option<Namespace> {
        let pid = std::process::id();
        let (name, net) = (format!("rq{pid}"), format!("10.213.{}", pid % 250));
        let made = Namespace { here: format!("{net}.1"), there: format!("{net}.2"), name };
        let Namespace { name, here, there } = &made;
        let steps = [
            format!("netns add {name}"),
            format!("link add {name}a type veth peer name {name}b netns {name}"),
            format!("addr add {here}/24 dev {name}a"),
            format!("link set {name}a up"),
            format!("-n {name} addr add {there}/24 dev {name}b"),
            format!("-n {name} link set {name}b up"),
        ];
        steps.iter().all(|step| ip(step)).then_some(made)
    }

    /// From now on, or no longer, what the server sends is lost without a word.
    fn swallow(&self, begins: bool) {
        let verb = if begins { "add" } else { "del" };
        let Namespace { name, here, .. } = self;
        assert!(ip(&format!("-n {name} route {verb} blackhole {here}/32")));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The pair of interfaces goes with the namespace.
        ip(&format!("netns del {}", self.name));
    }
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
    let Some(namespace) = Namespace::new() else {
        println!("SKIPPED a black hole: this user cannot make network namespaces here");
        return;
    };
    let place = place_with_users();
    let mut serve = Command::new("ip");
    serve.args(["netns", "exec", &namespace.name, env!("CARGO_BIN_EXE_repliq"), "serve"]);
    serve.arg(place.path("far")).args(["--plain", "--users-file"]).arg(place.path("users"));
    serve.args(["--listen", &format!("{}:0", namespace.there)]);
    let child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut served = Killed(child);
    let mut line = String::new();
    BufReader::new(served.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap().to_string();

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

    namespace.swallow(true);
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

    namespace.swallow(false);
    store.wait("target:far", &[last], SOON).unwrap();
    println!("a black hole was noticed after {} ms", noticed.as_millis());
    replication.close().unwrap();
    drop(served);
    let within: String = (0..10).map(|n| format!("within {n}\n")).collect();
    assert_eq!(place.run("get @far q --browse").text(), format!("before\n{within}"));
}
