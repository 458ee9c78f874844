//! What happens inside a program that is not written in Rust: SIGPIPE ends it.

use crate::place::{Authority, Leaf, PASSWORD, Place, connect, plain, trusting, url};
use repliq::{Code, ConnectOptions, Message};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// What a C program starts with.
fn expect_sigpipe() {
    // SAFETY: the default action is what every program may ask for.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Hands bytes on from one side to the other, and cuts both after so many.
fn hand_on(mut from: impl Read, mut to: impl Write, mut left: usize) {
    let mut buffer = [0; 16 << 10];
    while left > 0 {
        let Ok(count @ 1..) = from.read(&mut buffer) else { return };
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
        left = left.saturating_sub(count);
    }
}

/// A way to a server that breaks after so many bytes of an answer.
fn breaking(server: SocketAddr, bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            let (asks, asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || hand_on(asks, asked, usize::MAX));
            hand_on(&server, &client, bytes);
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    });
    address
}

/// The same for a socket of this machine.
fn breaking_unix(path: PathBuf, server: &Path, bytes: usize) -> String {
    let listener = UnixListener::bind(&path).unwrap();
    let server = server.to_path_buf();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), UnixStream::connect(&server).unwrap());
            let (asks, asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || hand_on(asks, asked, usize::MAX));
            hand_on(&server, &client, bytes);
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    });
    format!("repliq+unix://ann@{}", path.display())
}

#[test]
fn a_peer_that_hangs_up_does_not_end_a_program_that_leaves_sigpipe_alone() {
    expect_sigpipe();
    let (place, authority) = (Place::new(), Authority::new());
    let (open, secured) = (place.plain(), place.open(&place.secured(&authority, Leaf::Good)));
    let secret = trusting(&place, &authority);
    let client = connect(&url(&open), &plain(PASSWORD)).unwrap();
    client.put("orders", &[Message::new(&[7; 4 << 20])]).unwrap();
    let socket = place.path("socket");
    let ways: [(String, &ConnectOptions); 3] = [
        (format!("repliq://ann@{}", breaking(open.addresses()[0], 1 << 20)), &plain(PASSWORD)),
        (format!("repliq://ann@{}", breaking(secured.addresses()[0], 1 << 20)), &secret),
        (breaking_unix(place.path("broken"), &socket, 1 << 20), &plain(PASSWORD)),
    ];
    for (url, options) in &ways {
        for _ in 0..5 {
            let error = connect(url, options).unwrap().browse("orders", 1, 1).unwrap_err();
            assert_eq!(error.code(), Code::Unreachable, "{error}");
        }
    }
    client.queues().unwrap();
}
