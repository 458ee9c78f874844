//! A client that never stops changing its TLS keys: it is sent away, and the others notice nothing.

use crate::place::{Authority, Leaf, Place, connect, trusting, url};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far more than anybody needs. TLS itself ends it after a few in a row; what is sent ahead by then counts here, too.
const UPDATES: usize = 100_000;

/// A client that shook hands and has not said anything.
fn shaken(
    place: &Place,
    authority: &Authority,
    address: &str,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let file = authority.file(place.folder.path());
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"repliq/1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    StreamOwned::new(tls, socket)
}

#[test]
fn a_flood_of_key_updates_is_ended_and_a_good_client_is_served_meanwhile() {
    let (place, authority) = (Place::new(), Authority::new());
    let server = place.open(&place.secured(&authority, Leaf::Good));
    let address = server.addresses()[0].to_string();
    let trusting = trusting(&place, &authority);
    let good = connect(&url(&server), &trusting).unwrap();
    let begun = Instant::now();
    let mut stream = shaken(&place, &authority, &address);
    let mut sent = 0;
    while sent < UPDATES {
        let asked = stream.conn.refresh_traffic_keys();
        if asked.is_err() || stream.flush().is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < UPDATES, "{sent} updates were taken");
    assert!(stream.read(&mut [0; 64]).map_or(true, |count| count == 0), "it was sent away");
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    println!("a flood of key updates ended after {sent}");
    assert!(good.status().unwrap().contains("\"queues\""));
    assert!(connect(&url(&server), &trusting).unwrap().status().is_ok());
}
