//! A link against a server made of the same parts: machines, heartbeats, reconnecting, the ends.

use super::*;
use crate::wire::{ServerLogin, Verifier};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Only who hangs waits so long.
const WAIT: Duration = Duration::from_secs(60);

/// Sends so many frames as fast as it may, and counts what arrives.
struct Pump {
    kind: u8,
    length: usize,
    left: usize,
    arrived: Arc<AtomicUsize>,
    fails_at: usize,
}

impl Machine for Pump {
    fn on_frame(&mut self, _kind: u8, body: &[u8], _now: Instant) -> Result<()> {
        assert!(body.iter().all(|&byte| byte == body[0]));
        let count = self.arrived.fetch_add(1, Ordering::SeqCst) + 1;
        if count == self.fails_at {
            return Err(Error::new(Code::Diverged, "the two sides have different histories"));
        }
        Ok(())
    }

    fn next_frame(&mut self, _now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        body.resize(self.length, self.left as u8);
        Ok(Some(self.kind))
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// What the server does with a connection that logged in.
#[derive(Clone, Copy)]
enum Then {
    Drive { send: usize, length: usize, fails_at: usize },
    Silence,
    Trickle,
}

/// A server of one user, ann with the password "secret"; tells how each connection ended.
fn serve(then: Then, heartbeat_ms: u32) -> (SocketAddr, Receiver<Error>, Arc<AtomicUsize>) {
    let (told, address) = channel();
    let (ends, ended) = channel();
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = arrived.clone();
    spawn("test-server", move || {
        let run = async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (ends, counter) = (ends.clone(), counter.clone());
                tokio::spawn(answer(Stream::Tcp(socket), then, heartbeat_ms, ends, counter));
            }
        };
        block_on::<()>(run).unwrap();
    })
    .unwrap();
    (address.recv_timeout(WAIT).unwrap(), ended, arrived)
}

async fn answer(
    mut stream: Stream,
    then: Then,
    heartbeat_ms: u32,
    ends: Sender<Error>,
    arrived: Arc<AtomicUsize>,
) {
    let mut login = ServerLogin::new([7; 18], None, heartbeat_ms);
    let mut inbox = crate::wire::Inbox::new(crate::wire::LOGIN_FRAME_BYTES_MAX);
    let verifier = |_: &str| Verifier::new(b"secret", b"0123456789abcdef", 4096).unwrap();
    let mut out = Vec::new();
    while !login.turn(&mut inbox, &verifier, &mut out).unwrap() {
        stream.write_all(&out).await.unwrap();
        out.clear();
        let count = stream.read(inbox.room()).await.unwrap();
        assert!(count > 0);
        inbox.filled(count);
    }
    let (_, welcome) = match login.finish(1, &mut out) {
        Ok(done) => done,
        Err(error) => return leave(&mut stream, out, Some(&error)).await,
    };
    stream.write_all(&out).await.unwrap();
    inbox.set_bytes_max(crate::wire::FRAME_BYTES_MAX);
    match then {
        Then::Silence => tokio::time::sleep(WAIT).await,
        Then::Trickle => loop {
            // A head that never becomes whole.
            if stream.write_all(&[0]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        },
        Then::Drive { send, length, fails_at } => {
            let mut machine = Pump { kind: 33, length, left: send, arrived, fails_at };
            let wakeup = Wakeup::default();
            let rhythm = Rhythm::new(heartbeat_ms, welcome.heartbeat_ms, welcome.frame_bytes_max);
            let traffic = Traffic::default();
            let end = drive(&mut stream, &mut inbox, &mut machine, &wakeup, rhythm, &traffic).await;
            ends.send(end).unwrap();
        }
    }
}

fn options(password: &str) -> ConnectOptions {
    ConnectOptions {
        password: Some(password.into()),
        plain: true,
        heartbeat_ms: 50,
        reconnect_ms_max: 300,
        ..ConnectOptions::default()
    }
}

struct Told {
    link: Link,
    states: Receiver<LinkState>,
    arrived: Arc<AtomicUsize>,
    waker: Receiver<Waker>,
}

impl Told {
    /// The next failure or end, past the other states.
    fn failure(&self) -> Error {
        loop {
            if let LinkState::Failed(error) = self.states.recv_timeout(WAIT).unwrap() {
                return error;
            }
        }
    }

    fn connected(&self) {
        while !matches!(self.states.recv_timeout(WAIT).unwrap(), LinkState::Connected) {}
    }
}

fn connect(url: &str, options: ConnectOptions, send: usize, length: usize) -> Told {
    let (told, states) = channel();
    let (bells, waker) = channel();
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = arrived.clone();
    let make: Make = Box::new(move |waker| {
        bells.send(waker).unwrap();
        let (arrived, left) = (counter.clone(), send);
        Box::new(Pump { kind: 32, length, left, arrived, fails_at: 0 })
    });
    let on_state: OnState = Arc::new(move |state| {
        // Whoever has seen enough has gone.
        let _ = told.send(state.clone());
    });
    let link = Link::connect(Endpoint::parse(url).unwrap(), options, make, on_state).unwrap();
    Told { link, states, arrived, waker }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < WAIT, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

const QUIET: Then = Then::Drive { send: 0, length: 0, fails_at: 0 };

#[test]
fn frames_of_all_sizes_go_both_ways_at_once() {
    for (count, length) in [(20_000, 100), (300, 64 << 10), (3, 5 << 20)] {
        // It is not about heartbeats: a machine with much to do may be silent for a while.
        let then = Then::Drive { send: count, length, fails_at: 0 };
        let (address, ended, arrived) = serve(then, 10_000);
        let patient = ConnectOptions { heartbeat_ms: 10_000, ..options("secret") };
        let told = connect(&format!("repliq://ann@{address}"), patient, count, length);
        until("all frames arrive", || {
            let there = arrived.load(Ordering::SeqCst) == count;
            there && told.arrived.load(Ordering::SeqCst) == count
        });
        told.link.close();
        assert_eq!(ended.recv_timeout(WAIT).unwrap().code(), Code::Closed);
    }
}

#[test]
fn a_quiet_connection_lives_by_its_heartbeats() {
    let (address, ended, _) = serve(QUIET, 50);
    let told = connect(&format!("repliq://ann@{address}"), options("secret"), 0, 0);
    told.connected();
    std::thread::sleep(Duration::from_millis(600));
    assert!(told.states.try_recv().is_err() && ended.try_recv().is_err());
    told.link.close();
    assert_eq!(ended.recv_timeout(WAIT).unwrap().code(), Code::Closed);
    assert!(matches!(told.states.recv_timeout(WAIT), Ok(LinkState::Closed)));
}

#[test]
fn a_silent_or_trickling_peer_is_dead_after_three_heartbeats() {
    for then in [Then::Silence, Then::Trickle] {
        let (address, _ended, _) = serve(then, 60);
        let told = connect(&format!("repliq://ann@{address}"), options("secret"), 0, 0);
        told.connected();
        let since = Instant::now();
        let error = told.failure();
        let silence = since.elapsed().as_millis();
        assert_eq!(error.code(), Code::Unreachable);
        assert!(error.to_string().contains("no sign of life"), "{error}");
        assert!((150..1000).contains(&silence), "{silence} ms");
        told.connected();
    }
}

#[test]
fn an_error_of_a_machine_reaches_the_other_side_with_code_and_text() {
    let (address, ended, _) = serve(Then::Drive { send: 0, length: 0, fails_at: 3 }, 50);
    let told = connect(&format!("repliq://ann@{address}"), options("secret"), 1000, 1000);
    let error = told.failure();
    assert_eq!(error.code(), Code::Diverged);
    assert!(error.to_string().contains("the two sides have different histories"), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert_eq!(ended.recv_timeout(WAIT).unwrap().code(), Code::Diverged);
}

#[test]
fn a_refused_login_is_told_and_tried_again_slowly() {
    let (address, _ended, _) = serve(QUIET, 50);
    let told = connect(&format!("repliq://ann@{address}"), options("wrong"), 0, 0);
    assert_eq!(told.failure().code(), Code::Denied);
    let since = Instant::now();
    assert_eq!(told.failure().code(), Code::Denied);
    assert!(since.elapsed() >= Duration::from_millis(150));
}

#[test]
fn a_server_that_is_not_there_is_unreachable_and_found_once_it_is() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = connect(&format!("repliq://ann@{address}"), options("secret"), 0, 0);
    let error = told.failure();
    assert_eq!(error.code(), Code::Unreachable);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    told.link.close();
    until("the last state", || matches!(told.states.try_recv(), Ok(LinkState::Closed)));
}

#[test]
fn a_waker_wakes_and_a_close_is_quick_wherever_the_link_stands() {
    let (address, _ended, _) = serve(QUIET, 50);
    let told = connect(&format!("repliq://ann@{address}"), options("secret"), 0, 0);
    let waker = told.waker.recv_timeout(WAIT).unwrap();
    (0..1000).for_each(|_| waker());
    let since = Instant::now();
    told.link.close();
    told.link.close();
    waker();
    assert!(since.elapsed() < Duration::from_millis(900), "{:?}", since.elapsed());
    // A black hole: a listener that never accepts, with a login under way.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("repliq://ann@{}", hole.local_addr().unwrap());
    let told = connect(&url, options("secret"), 0, 0);
    std::thread::sleep(Duration::from_millis(50));
    let since = Instant::now();
    drop(told.link);
    assert!(since.elapsed() < Duration::from_millis(500));
}

#[test]
fn a_server_that_does_not_answer_is_a_timeout() {
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("repliq://ann@{}", hole.local_addr().unwrap());
    let options = ConnectOptions { connect_timeout_ms: 100, ..options("secret") };
    let told = connect(&url, options, 0, 0);
    assert_eq!(told.failure().code(), Code::Timeout);
}

#[test]
fn a_panic_in_a_machine_is_told_and_takes_nothing_else_down() {
    let (address, _ended, _) = serve(Then::Drive { send: 1, length: 1, fails_at: 0 }, 50);
    let (told, states) = channel();
    let make: Make = Box::new(|_| panic!("planted"));
    let on_state: OnState = Arc::new(move |state| told.send(state.clone()).unwrap());
    let endpoint = Endpoint::parse(&format!("repliq://ann@{address}")).unwrap();
    let _link = Link::connect(endpoint, options("secret"), make, on_state).unwrap();
    let error = loop {
        if let LinkState::Failed(error) = states.recv_timeout(WAIT).unwrap() {
            break error;
        }
    };
    assert_eq!(error.code(), Code::Panic);
    assert!(error.to_string().contains("planted"), "{error}");
    assert!(matches!(states.recv_timeout(WAIT), Ok(LinkState::Closed)));
}

#[test]
fn what_is_missing_or_out_of_bounds_is_refused_before_a_thread_starts() {
    let try_it = |url: &str, options: ConnectOptions| {
        let endpoint = Endpoint::parse(url).unwrap();
        let make: Make = Box::new(|_| panic!("never connected"));
        Link::connect(endpoint, options, make, Arc::new(|_| ())).err().unwrap()
    };
    let rows = [
        ("repliq://127.0.0.1:1", options("secret")),
        ("repliq://ann@127.0.0.1:1", ConnectOptions { password: None, ..options("") }),
        ("repliq://ann@127.0.0.1:1", ConnectOptions { heartbeat_ms: 49, ..options("secret") }),
        ("repliq://ann@127.0.0.1:1", ConnectOptions { heartbeat_ms: 20_001, ..options("secret") }),
        ("repliq://ann@127.0.0.1:1", ConnectOptions { connect_timeout_ms: 0, ..options("secret") }),
        ("repliq://ann@127.0.0.1:1", ConnectOptions { reconnect_ms_max: 0, ..options("secret") }),
    ];
    for (url, options) in rows {
        assert_eq!(try_it(url, options).code(), Code::Invalid, "{url}");
    }
}
