//! T10: what a program would not say, by chance. Logins with any text in them, frames of any kind with right sums,
//! in any order, before and behind the login; servers that answer a client like that; tokens of any bytes. Nobody
//! panics, everybody comes to an end, and a good client is served meanwhile.

use crate::mangle::Random;
use crate::place::{ITERATIONS, PASSWORD, Place, connect, plain, url};
use crate::raw::{Came, LOGIN, Raw, frame, hello};
use crate::seeds;
use repliq::{Code, ConnectOptions, ServerLimits, ServerOptions, Token};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Conversations of one seed.
const CONVERSATIONS: u64 = 150;
/// Ten times what the slowest end of a conversation may take.
pub const SOON: Duration = Duration::from_secs(10);

/// Panics of threads of the library. A test that fails panics on a thread of its own.
static PANICS: AtomicUsize = AtomicUsize::new(0);

pub fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let ours = thread.name().is_some_and(|name| name.starts_with("repliq"));
            PANICS.fetch_add(usize::from(ours), Ordering::SeqCst);
            before(info);
        }));
    });
}

/// How many threads of the library have panicked.
pub fn panics() -> usize {
    PANICS.load(Ordering::SeqCst)
}

/// What a login is made of.
const WORDS: [&[u8]; 12] = [
    b",",
    b"=",
    b"n=",
    b"r=",
    b"p=",
    b"c=",
    b"=2C",
    b"=3D",
    b"\0",
    b"\xff\xfe",
    b"i=4294967296",
    b"m=x,",
];

/// Hears until nothing comes any more.
pub fn hear(raw: &mut Raw) {
    let since = Instant::now();
    let _ = raw.socket.shutdown(std::net::Shutdown::Write);
    while raw.frame() != Came::End {
        assert!(since.elapsed() < SOON, "a conversation had no end");
    }
}

/// A login that goes wrong at one of its words.
fn log_in_badly(random: &mut Random, address: SocketAddr) {
    let mut raw = Raw::open(address);
    raw.socket.set_read_timeout(Some(SOON)).unwrap();
    let first = b"n,,n=ann,r=0123456789abcdefghijklmn";
    match random.below(3) {
        0 => {
            let mut said = hello(random.below(70_000) as u32);
            if random.below(2) == 0 {
                said = random.change(&said, &WORDS);
            }
            said.extend(frame(LOGIN, &random.change(first, &WORDS)));
            raw.send(&said);
        }
        1 => {
            let (last, _) = raw.begin("n,,", "ann", PASSWORD, 5_000);
            let words = random.change(&last[12..], &WORDS);
            raw.send(&frame(LOGIN, &words));
        }
        _ => {
            let mut said = hello(5_000);
            for _ in 0..=random.below(4) {
                let body = random.bytes(200);
                said.extend(frame(random.below(48) as u8, &body));
            }
            raw.send(&said);
        }
    }
    hear(&mut raw);
}

/// A user who asks for what nobody asks for.
fn ask_badly(random: &mut Random, address: SocketAddr) {
    let mut raw = Raw::log_in(address, "ann", PASSWORD, 5_000);
    raw.socket.set_read_timeout(Some(SOON)).unwrap();
    for _ in 0..=random.below(5) {
        let mut body = random.bytes(120);
        // Small numbers where there may be a length or a number of a request.
        for byte in body.iter_mut().filter(|_| random.below(2) == 0) {
            *byte &= 3;
        }
        raw.send(&frame(random.below(128) as u8, &body));
    }
    hear(&mut raw);
}

#[test]
fn no_login_and_no_request_makes_a_server_panic_hang_or_forget_its_users() {
    count_panics();
    let place = Place::new();
    // Who fails is not made to wait here.
    let limits = ServerLimits { failures_max: u32::MAX, ..ServerLimits::default() };
    let server = place.open(&ServerOptions { limits, ..place.options() });
    let address = server.addresses()[0];
    let test = "net fuzz::no_login_and_no_request_makes_a_server_panic_hang_or_forget_its_users";
    seeds::run("T10 login", test, 6, |seed| {
        let mut random = Random::new(seed);
        for number in 0..CONVERSATIONS {
            if number % 3 == 0 {
                ask_badly(&mut random, address);
            } else {
                log_in_badly(&mut random, address);
            }
        }
        connect(&url(&server), &plain(PASSWORD)).unwrap();
        assert_eq!(panics(), 0, "a thread of the server panicked");
        CONVERSATIONS
    });
}

/// A server that says what it said before, changed.
fn liar(seed: u64, said: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut random = Random::new(seed);
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let wrong = random.below(said.len());
            for (at, words) in said.iter().enumerate() {
                let mut words = words.clone();
                if at == wrong && words.len() > 12 && random.below(3) > 0 {
                    // A frame with another text, and the sum of it.
                    words = frame(words[8], &random.change(&words[12..], &WORDS));
                } else if at == wrong {
                    words = random.change(&words, &WORDS);
                }
                if socket.write_all(&words).is_err()
                    || !matches!(socket.read(&mut [0; 4096]), Ok(1..))
                {
                    break;
                }
            }
        }
    });
    address
}

#[test]
fn no_answer_of_a_server_makes_a_client_panic_hang_or_believe_it() {
    count_panics();
    let test = "net fuzz::no_answer_of_a_server_makes_a_client_panic_hang_or_believe_it";
    let mut greeting = hello(5_000);
    let told = greeting.split_off(8);
    let salt = "QSXCR+Q6sek8bf92";
    let challenge = format!("r=0123456789abcdefghijklmnserver,s={salt},i={ITERATIONS}");
    let said = vec![
        greeting,
        told,
        frame(LOGIN, challenge.as_bytes()),
        frame(LOGIN, b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="),
        frame(3, &[0; 12]),
    ];
    seeds::run("T10 client", test, 3, |seed| {
        let url = format!("repliq://ann@{}", liar(seed, said.clone()));
        let options = ConnectOptions { connect_timeout_ms: 1_000, ..plain(PASSWORD) };
        for _ in 0..40 {
            let since = Instant::now();
            let error = connect(&url, &options).err().expect("nobody knows the password there");
            let expected = [
                Code::Protocol,
                Code::Unreachable,
                Code::Denied,
                Code::Timeout,
                Code::Unsupported,
                Code::Version,
            ];
            assert!(expected.contains(&error.code()), "{:?}: {error}", error.code());
            assert!(since.elapsed() < SOON, "{error} after {:?}", since.elapsed());
        }
        assert_eq!(panics(), 0, "a thread of the client panicked");
        40
    });
}

#[test]
fn no_bytes_but_those_of_a_token_are_a_token() {
    let place = Place::new();
    let queue = place.store.queue("q").unwrap();
    let token = place.store.put(queue, &[repliq::Message::new(b"x")]).unwrap().token;
    let test = "net fuzz::no_bytes_but_those_of_a_token_are_a_token";
    seeds::run("T10 token", test, 4, |seed| {
        let mut random = Random::new(seed);
        for _ in 0..50_000 {
            let good = if random.below(2) == 0 {
                token.to_bytes().to_vec()
            } else {
                token.to_string().into_bytes()
            };
            let bytes =
                if random.below(8) == 0 { random.bytes(60) } else { random.change(&good, &WORDS) };
            match Token::parse(&bytes) {
                Ok(parsed) => assert!(
                    parsed.to_bytes() == token.to_bytes() && bytes == good,
                    "{bytes:?} is taken for a token"
                ),
                Err(error) => assert_eq!(error.code(), Code::Invalid, "{error}"),
            }
        }
        50_000
    });
}
