//! TLS: who is trusted, who is not, and what is too old.

use crate::place::{Authority, Leaf, PASSWORD, Place, connect, plain, trusting, url};
use repliq::{Code, ConnectOptions, Server, ServerOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

#[test]
fn a_certificate_of_the_right_authority_and_name_is_trusted() {
    let (place, authority) = (Place::new(), Authority::new());
    let server = place.open(&place.secured(&authority, Leaf::Good));
    let client = connect(&url(&server), &trusting(&place, &authority)).unwrap();
    assert!(client.server().unwrap().contains("\"ann\""));
    let named = url(&server).replace("127.0.0.1", "localhost");
    connect(&named, &trusting(&place, &authority)).unwrap();
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_only_by_who_was_given_it() {
    let (place, authority) = (Place::new(), Authority::new());
    let options = place.secured(&authority, Leaf::SelfSigned);
    let server = place.open(&options);
    let error = connect(&url(&server), &trusting(&place, &authority)).err().unwrap();
    assert_eq!(error.code(), Code::Certificate, "{error}");
    let given =
        ConnectOptions { ca_file: options.certificate_file, ..trusting(&place, &authority) };
    connect(&url(&server), &given).unwrap();
}

#[test]
fn a_wrong_authority_name_or_time_is_refused_as_certificate() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (leaf, by) in
        [(Leaf::Good, &other), (Leaf::Expired, &authority), (Leaf::OtherName, &authority)]
    {
        let place = Place::new();
        let server = place.open(&place.secured(by, leaf));
        let options = trusting(&place, &authority);
        let error = connect(&url(&server), &options).err().unwrap();
        assert_eq!(error.code(), Code::Certificate, "{error}");
        assert!(error.to_string().contains("certificate does not hold"), "{error}");
    }
}

#[test]
fn a_server_under_another_name_is_trusted_when_that_name_was_given() {
    let (place, authority) = (Place::new(), Authority::new());
    let server = place.open(&place.secured(&authority, Leaf::OtherName));
    let named = ConnectOptions {
        server_name: Some("elsewhere.example".into()),
        ..trusting(&place, &authority)
    };
    connect(&url(&server), &named).unwrap();
    let wrong = ConnectOptions { server_name: Some("a b".into()), ..trusting(&place, &authority) };
    assert_eq!(connect(&url(&server), &wrong).err().unwrap().code(), Code::Invalid);
}

#[test]
fn plain_tcp_needs_the_option_on_both_sides() {
    let (place, authority) = (Place::new(), Authority::new());
    let neither = ServerOptions { plain: false, ..place.options() };
    let error = Server::open(&place.store, &neither).err().unwrap();
    assert_eq!(error.code(), Code::Invalid);
    assert!(error.to_string().contains("plain TCP"), "{error}");
    // A plain client at a server for TLS, and the other way round.
    let server = place.open(&place.secured(&authority, Leaf::Good));
    let error = connect(&url(&server), &plain(PASSWORD)).err().unwrap();
    assert_eq!(error.code(), Code::Protocol, "{error}");
    assert!(error.to_string().contains("TLS"), "{error}");
    let server = place.plain();
    let error = connect(&url(&server), &trusting(&place, &authority)).err().unwrap();
    assert!(matches!(error.code(), Code::Protocol | Code::Unreachable), "{error}");
}

#[test]
fn a_server_with_a_certificate_that_also_allows_plain_takes_both() {
    let (place, authority) = (Place::new(), Authority::new());
    let both = ServerOptions { plain: true, ..place.secured(&authority, Leaf::Good) };
    let server = place.open(&both);
    connect(&url(&server), &plain(PASSWORD)).unwrap();
    connect(&url(&server), &trusting(&place, &authority)).unwrap();
}

/// A TLS 1.2 ClientHello, the least a server can read.
fn hello_of_tls_12() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0, 0, 0]);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![0x16, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

#[test]
fn tls_12_is_refused_on_both_sides() {
    let (place, authority) = (Place::new(), Authority::new());
    let server = place.open(&place.secured(&authority, Leaf::Good));
    let mut old = TcpStream::connect(server.addresses()[0]).unwrap();
    old.write_all(&hello_of_tls_12()).unwrap();
    let mut answer = Vec::new();
    old.read_to_end(&mut answer).unwrap();
    // A fatal alert and nothing else: protocol_version or handshake_failure.
    assert_eq!(answer.len(), 7, "{answer:?}");
    assert!(answer[0] == 0x15 && answer[5] == 2 && [40, 70].contains(&answer[6]), "{answer:?}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let old_server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 4096]).unwrap();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0xc0, 0x2f, 0, 0, 0]);
        let mut message = vec![2, 0, 0, body.len() as u8];
        message.extend(body);
        let mut record = vec![0x16, 3, 3, 0, message.len() as u8];
        record.extend(message);
        socket.write_all(&record).unwrap();
        let _ = socket.read(&mut [0; 4096]);
    });
    let error =
        connect(&format!("repliq://ann@{address}"), &trusting(&place, &authority)).err().unwrap();
    assert_eq!(error.code(), Code::Protocol, "{error}");
    old_server.join().unwrap();
}

#[test]
fn files_that_are_no_certificates_are_refused_by_name() {
    let (place, authority) = (Place::new(), Authority::new());
    let good = place.secured(&authority, Leaf::Good);
    let junk = place.path("junk.pem");
    std::fs::write(&junk, "no certificate").unwrap();
    let open = |options: &ServerOptions| Server::open(&place.store, options).err().unwrap();
    let bad = ServerOptions { certificate_file: Some(junk.clone()), ..good.clone() };
    let error = open(&bad);
    assert!(error.code() == Code::Certificate && error.to_string().contains("junk.pem"), "{error}");
    let bad = ServerOptions { key_file: Some(junk.clone()), ..good.clone() };
    assert_eq!(open(&bad).code(), Code::Certificate);
    let bad = ServerOptions { key_file: None, ..good.clone() };
    assert_eq!(open(&bad).code(), Code::Invalid);
    let bad = ServerOptions { certificate_file: Some(place.path("missing")), ..good.clone() };
    assert_eq!(open(&bad).code(), Code::Io);
    let server = place.open(&good);
    for (file, code) in [(junk, Code::Certificate), (place.path("missing"), Code::Io)] {
        let options = ConnectOptions { ca_file: Some(file), ..trusting(&place, &authority) };
        assert_eq!(connect(&url(&server), &options).err().unwrap().code(), code);
    }
}

#[test]
fn a_new_certificate_is_used_after_a_reload() {
    let (place, authority) = (Place::new(), Authority::new());
    let server = place.open(&place.secured(&authority, Leaf::Expired));
    let trusting = trusting(&place, &authority);
    assert_eq!(connect(&url(&server), &trusting).err().unwrap().code(), Code::Certificate);
    authority.leaf(place.folder.path(), Leaf::Good);
    server.reload().unwrap();
    connect(&url(&server), &trusting).unwrap();
}
