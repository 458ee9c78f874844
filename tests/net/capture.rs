//! What somebody on the line sees: all bytes of both directions, searched for what must not be in them.

use crate::place::{Authority, Leaf, PASSWORD, Place, plain, trusting};
use repliq::{
    ConnectOptions, Message, Replication, ReplicationOptions, Store, StoreOptions, TargetOptions,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(30);
const PAYLOAD: &[u8] = b"what nobody else should read";
const QUEUE: &str = "a queue with a name of its own";

/// A way to a server that keeps all that goes over it.
fn tapped(server: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let all = heard.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
            let ways = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
            for (from, to) in ways {
                let (mut from, mut to, all) = (from.unwrap(), to.unwrap(), all.clone());
                std::thread::spawn(move || {
                    let mut buffer = [0; 16 << 10];
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        all.lock().unwrap().extend_from_slice(&buffer[..count]);
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    (address, heard)
}

/// A message goes from a new store to the server on this way; all that was heard of it.
fn overheard(place: &Place, server: SocketAddr, connect: ConnectOptions) -> Vec<u8> {
    let (way, heard) = tapped(server);
    let store = Store::open(place.path("sender"), &StoreOptions::default()).unwrap();
    let root = store.queue(QUEUE).unwrap();
    let replication = Replication::open(&store, root, &ReplicationOptions::default()).unwrap();
    let options = TargetOptions { connect, ..TargetOptions::default() };
    replication.add("target", &format!("repliq://ann@{way}"), &options).unwrap();
    let token = store.put(root, &[Message::new(PAYLOAD)]).unwrap().token;
    store.wait("target:target", &[token], WAIT).unwrap();
    replication.close().unwrap();
    store.close().unwrap();
    let heard = heard.lock().unwrap().clone();
    assert!(heard.len() > 500, "only {} bytes were heard", heard.len());
    heard
}

fn holds(heard: &[u8], text: &[u8]) -> bool {
    heard.windows(text.len()).any(|window| window == text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The password as a careless program might write it.
fn spellings() -> Vec<Vec<u8>> {
    let wide = PASSWORD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let inner = |skip: usize| {
        // Three places in a group of base64; what is left of the neighbours is not searched for.
        let bytes = &PASSWORD.as_bytes()[skip..];
        let whole = &bytes[..bytes.len() / 3 * 3];
        base64(whole).into_bytes()
    };
    let reversed = PASSWORD.bytes().rev().collect();
    let digest = ring::digest::digest(&ring::digest::SHA256, PASSWORD.as_bytes());
    let mut all =
        vec![PASSWORD.as_bytes().to_vec(), wide, reversed, hex(PASSWORD.as_bytes()).into()];
    all.extend([inner(0), inner(1), inner(2)]);
    all.extend([digest.as_ref().to_vec(), hex(digest.as_ref()).into_bytes()]);
    all
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let word = three.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[word >> shift & 63]))
    };
    bytes.chunks_exact(3).flat_map(group).collect()
}

#[test]
fn who_listens_to_plain_tcp_hears_no_password_in_any_spelling() {
    let place = Place::new();
    let server = place.plain();
    let heard = overheard(&place, server.addresses()[0], plain(PASSWORD));
    // The search finds what is there.
    assert!(holds(&heard, PAYLOAD) && holds(&heard, b"ann") && holds(&heard, QUEUE.as_bytes()));
    for spelling in spellings() {
        assert!(!holds(&heard, &spelling), "{spelling:?} went over the line");
    }
}

#[test]
fn who_listens_to_tls_hears_no_name_and_no_message_either() {
    let (place, authority) = (Place::new(), Authority::new());
    let server = place.open(&place.secured(&authority, Leaf::Good));
    let heard = overheard(&place, server.addresses()[0], trusting(&place, &authority));
    let mut hidden = spellings();
    // Shorter names are there by chance.
    hidden.extend([PAYLOAD, b"n=ann", QUEUE.as_bytes(), b"target"].map(<[u8]>::to_vec));
    for text in hidden {
        assert!(!holds(&heard, &text), "{text:?} went over the line");
    }
}
