//! Strangers: other protocols, garbage, people who say nothing, and a good client among them.

use crate::place::{PASSWORD, Place, connect, plain, until, url};
use crate::raw::{Came, Raw, frame, hello};
use repliq::{Code, ConnectOptions, Server, ServerLimits, ServerOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A server of another protocol that says this to everybody.
fn impostor(says: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(says);
        }
    });
    address
}

#[test]
fn a_server_that_speaks_something_else_is_told_apart() {
    let rows: [(&[u8], Code); 5] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Code::Protocol),
        (b"SSH-2.0-x\r\n", Code::Protocol),
        (b"repliq\r\n\xff\xff\xff\xff\0\0\0\0\x01\0\0\0", Code::Protocol),
        (b"repliq\r", Code::Unreachable),
        (b"", Code::Unreachable),
    ];
    for (says, code) in rows {
        let url = format!("repliq://ann@{}", impostor(says));
        let error = connect(&url, &plain(PASSWORD)).err().unwrap();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(&url), "{error}");
        let tls = ConnectOptions { plain: false, ..plain(PASSWORD) };
        let error = connect(&url, &tls).err().unwrap();
        let expected = [Code::Protocol, Code::Unreachable, Code::Certificate];
        assert!(expected.contains(&error.code()), "{error}");
    }
}

#[test]
fn garbage_at_our_port_gets_no_word_and_costs_nothing() {
    let place = Place::new();
    let server = place.plain();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        vec![0; 100_000],
        vec![0xff; 12],
        b"repliq\r\n\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0".to_vec(),
        b"repliq\r\n\x01\x10\0\0\0\0\0\0\x01\0\0\0".to_vec(),
    ];
    for length in 1..200 {
        garbage.push(
            (0..length)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 56) as u8 | 1
                })
                .collect(),
        );
    }
    for bytes in &garbage {
        let mut raw = Raw::open(server.addresses()[0]);
        raw.send(bytes);
        assert_eq!(raw.frame(), Came::End);
        assert!(raw.read.is_empty(), "{:?} for {bytes:?}", raw.read);
    }
    connect(&url(&server), &plain(PASSWORD)).unwrap();
}

#[test]
fn a_hello_with_a_huge_frame_behind_it_is_refused_before_the_frame_comes() {
    let place = Place::new();
    let server = place.plain();
    for length in [4097_u32, 1 << 24, u32::MAX] {
        let mut raw = Raw::open(server.addresses()[0]);
        let mut bytes = hello(5000);
        bytes.extend(length.to_le_bytes());
        bytes.extend([0, 0, 0, 0, 2, 0, 0, 0]);
        raw.send(&bytes);
        raw.expect(b"repliq\r\n");
        raw.frame();
        let (code, text) = raw.error();
        assert_eq!(code, crate::raw::PROTOCOL);
        assert!(text.contains("bytes arrived, the bound is 4096"), "{text}");
    }
}

#[test]
fn who_dribbles_the_login_is_out_when_its_time_is_over() {
    let place = Place::new();
    let limits = ServerLimits { login_ms: 300, ..ServerLimits::default() };
    let server = place.open(&ServerOptions { limits, ..place.options() });
    for greeting in [b"".as_slice(), &hello(5000)] {
        let mut raw = Raw::open(server.addresses()[0]);
        raw.send(greeting);
        raw.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let since = Instant::now();
        let drop_by_drop = frame(2, &[b'n'; 2000]);
        let mut bytes = drop_by_drop.iter().skip(if greeting.is_empty() { 12 } else { 0 });
        loop {
            if !greeting.is_empty() {
                raw.send(&[*bytes.next().unwrap()]);
            }
            match raw.frame() {
                Came::End => break,
                _ => assert!(since.elapsed() < Duration::from_secs(5)),
            }
        }
        assert!(since.elapsed() >= Duration::from_millis(250), "{:?}", since.elapsed());
    }
}

#[test]
fn a_thousand_who_say_nothing_do_not_keep_a_good_client_out() {
    let place = Place::new();
    let server = place.plain();
    let address = server.addresses()[0];
    let before = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let idle: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut times = Vec::new();
    for _ in 0..20 {
        let since = Instant::now();
        let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
        client.queues().unwrap();
        times.push(since.elapsed());
    }
    times.sort();
    assert!(times[18] < Duration::from_millis(500), "{times:?}");
    before.queues().unwrap();
    let status = before.server().unwrap();
    let counted = |name: &str| {
        let rest = status.split_once(&format!("\"{name}\": ")).unwrap().1;
        rest.split([',', '\n']).next().unwrap().parse::<u64>().unwrap()
    };
    assert!(counted("strangers") <= 64, "{status}");
    assert!(counted("evicted") >= 900, "{status}");
    drop(idle);
}

#[test]
fn a_house_full_of_users_turns_the_next_one_away_and_takes_it_when_one_leaves() {
    let place = Place::new();
    let limits = ServerLimits { connections_max: 2, strangers_max: 2, ..ServerLimits::default() };
    let server = place.open(&ServerOptions { limits, ..place.options() });
    let one = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let two = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let error = connect(&url(&server), &plain(PASSWORD)).err().unwrap();
    assert_eq!(error.code(), Code::Unreachable, "{error}");
    one.queues().unwrap();
    drop(two);
    until("there is room", || connect(&url(&server), &plain(PASSWORD)).is_ok());
}

#[test]
fn an_address_in_use_is_locked_and_named() {
    let place = Place::new();
    let server = place.plain();
    let address = server.addresses()[0].to_string();
    let again = ServerOptions { listen: vec![address.clone()], ..place.options() };
    let error = Server::open(&place.store, &again).err().unwrap();
    assert_eq!(error.code(), Code::Locked);
    assert!(error.to_string().contains(&address), "{error}");
    let socket =
        ServerOptions { listen: vec![place.options().listen.remove(1)], ..place.options() };
    let error = Server::open(&place.store, &socket).err().unwrap();
    assert_eq!(error.code(), Code::Locked);
    assert!(error.to_string().contains("socket"), "{error}");
    server.close();
    place.open(&again);
    // The socket of a server that was killed is taken over.
    drop(std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap());
    place.open(&socket);
}

#[test]
fn addresses_and_options_that_are_none_are_refused() {
    let place = Place::new();
    let code = |options: ServerOptions| Server::open(&place.store, &options).err().unwrap().code();
    for listen in ["", "127.0.0.1", "127.0.0.1:70000", "no such host:1", "192.0.2.1:1", "unix:"] {
        let options = ServerOptions { listen: vec![listen.into()], ..place.options() };
        assert_eq!(code(options), Code::Invalid, "{listen}");
    }
    assert_eq!(code(ServerOptions { listen: vec![], ..place.options() }), Code::Invalid);
    assert_eq!(code(ServerOptions { heartbeat_ms: 10, ..place.options() }), Code::Invalid);
    let limits = ServerLimits { strangers_max: 0, ..ServerLimits::default() };
    assert_eq!(code(ServerOptions { limits, ..place.options() }), Code::Invalid);
}

#[test]
fn a_user_who_falls_silent_is_gone_after_three_heartbeats() {
    let place = Place::new();
    let server = place.plain();
    let mut raw = Raw::log_in(server.addresses()[0], "ann", PASSWORD, 100);
    let since = Instant::now();
    assert_eq!(raw.word(), Came::End);
    let silence = since.elapsed().as_millis();
    assert!((250..2000).contains(&silence), "{silence} ms");
}

#[test]
fn a_server_that_closes_says_goodbye_and_a_client_finds_the_next_one() {
    let place = Place::new();
    let options = place.options();
    let server = place.open(&options);
    let mut raw = Raw::log_in(server.addresses()[0], "ann", PASSWORD, 5000);
    let client = connect(&url(&server), &plain(PASSWORD)).unwrap();
    let again = ServerOptions { listen: vec![server.addresses()[0].to_string()], ..options };
    server.close();
    server.close();
    assert_eq!(server.status().unwrap_err().code(), Code::Closed);
    assert_eq!(raw.word(), Came::Frame(crate::raw::CLOSE, Vec::new()));
    let error = client.queues().unwrap_err();
    assert!(matches!(error.code(), Code::Closed | Code::Unreachable), "{error}");
    let server = place.open(&again);
    until("the client is back", || client.queues().is_ok());
    drop(server);
}
