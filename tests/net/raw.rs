//! A client of the protocol over a plain socket, written from its description and sharing no code with the
//! library: what it can do, anybody can.

use ring::{digest, hmac, pbkdf2};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::time::Duration;

pub const HELLO: u8 = 1;
pub const LOGIN: u8 = 2;
pub const WELCOME: u8 = 3;
pub const HEARTBEAT: u8 = 4;
pub const CLOSE: u8 = 5;
pub const ERROR: u8 = 6;
pub const DENIED: u16 = 37;
pub const PROTOCOL: u16 = 36;

pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut summed = vec![kind, 0, 0, 0];
    summed.extend_from_slice(body);
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&crc32(&summed).to_le_bytes());
    frame.extend(summed);
    frame
}

/// CRC-32 as in zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 }
        })
    })
}

pub fn hello(heartbeat_ms: u32) -> Vec<u8> {
    let mut body = vec![1, 0, 1, 0, 0, 0, 0, 0];
    body.extend_from_slice(&heartbeat_ms.to_le_bytes());
    body.extend_from_slice(&[2, 0]);
    let mut bytes = b"repliq\r\n".to_vec();
    bytes.extend(frame(HELLO, &body));
    bytes
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let six = |at: usize| (0..6).fold(0, |sum, place| sum << 1 | bit(at + place));
    let length = (bytes.len() * 8).div_ceil(6);
    let mut text: String =
        (0..length).map(|place| char::from(ALPHABET[usize::from(six(place * 6))])).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let text = text.trim_end_matches('=');
    let bits: Vec<u8> = text
        .bytes()
        .flat_map(|byte| (0..6).rev().map(move |place| value(byte) >> place & 1))
        .collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

pub struct Raw {
    pub socket: TcpStream,
    pub read: Vec<u8>,
    pub sent: Vec<u8>,
}

/// What came of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    Frame(u8, Vec<u8>),
    End,
    Nothing,
}

impl Raw {
    pub fn open(address: SocketAddr) -> Raw {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Raw { socket, read: Vec::new(), sent: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
        // The server may have gone already; what it said is still to be read.
        let _ = self.socket.write_all(bytes);
    }

    fn more(&mut self) -> Came {
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer) {
            Ok(0) => Came::End,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                Came::Frame(0, Vec::new())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Came::Nothing
            }
            Err(_) => Came::End,
        }
    }

    /// The next bytes, exactly.
    pub fn expect(&mut self, bytes: &[u8]) {
        while self.read.len() < bytes.len() {
            assert_ne!(self.more(), Came::End, "while waiting for {bytes:?}");
        }
        assert_eq!(self.read.drain(..bytes.len()).collect::<Vec<u8>>(), bytes);
    }

    /// The next frame, its sum checked.
    pub fn frame(&mut self) -> Came {
        loop {
            if self.read.len() >= 12 {
                let word =
                    |at: usize| u32::from_le_bytes(self.read[at..at + 4].try_into().unwrap());
                let (length, sum) = (word(0) as usize, word(4));
                if self.read.len() >= 12 + length {
                    let frame: Vec<u8> = self.read.drain(..12 + length).collect();
                    assert_eq!(crc32(&frame[8..]), sum);
                    assert_eq!(frame[9..12], [0, 0, 0]);
                    return Came::Frame(frame[8], frame[12..].to_vec());
                }
            }
            match self.more() {
                Came::Frame(..) => {}
                end => return end,
            }
        }
    }

    /// The next frame that is no heartbeat.
    pub fn word(&mut self) -> Came {
        loop {
            match self.frame() {
                Came::Frame(HEARTBEAT, _) => {}
                came => return came,
            }
        }
    }

    /// An ERROR frame: its code and text; then the end.
    pub fn error(&mut self) -> (u16, String) {
        let Came::Frame(ERROR, body) = self.word() else { panic!("no error came") };
        assert_eq!(self.frame(), Came::End);
        (u16::from_le_bytes([body[0], body[1]]), String::from_utf8(body[8..].to_vec()).unwrap())
    }

    pub fn text(&mut self) -> String {
        let came = self.frame();
        let Came::Frame(LOGIN, body) = came else { panic!("no login message came, but {came:?}") };
        String::from_utf8(body).unwrap()
    }

    /// Everything up to the proof; returns what would finish the login and the signature to expect.
    pub fn begin(
        &mut self,
        gs2: &str,
        user: &str,
        password: &str,
        heartbeat_ms: u32,
    ) -> (Vec<u8>, String) {
        let bare = format!("n={user},r=0123456789abcdefghijklmn");
        let mut first = hello(heartbeat_ms);
        first.extend(frame(LOGIN, format!("{gs2}{bare}").as_bytes()));
        self.send(&first);
        self.expect(b"repliq\r\n");
        assert!(matches!(self.frame(), Came::Frame(HELLO, _)));
        let challenge = self.text();
        let part = |name: &str| {
            let found = challenge.split(',').find_map(|part| part.strip_prefix(name));
            found.unwrap().to_string()
        };
        let (nonce, salt) = (part("r="), from_base64(&part("s=")));
        let iterations: u32 = part("i=").parse().unwrap();
        let mut salted = [0; 32];
        let count = NonZeroU32::new(iterations).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, &salt, password.as_bytes(), &mut salted);
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let without_proof = format!("c={},r={nonce}", base64(gs2.as_bytes()));
        let message = format!("{bare},{challenge},{without_proof}");
        let signature = mac(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let last = frame(LOGIN, format!("{without_proof},p={}", base64(&proof)).as_bytes());
        let expected = mac(&mac(&salted, b"Server Key"), message.as_bytes());
        (last, format!("v={}", base64(&expected)))
    }

    /// A whole login over plain TCP.
    pub fn log_in(address: SocketAddr, user: &str, password: &str, heartbeat_ms: u32) -> Raw {
        let mut raw = Raw::open(address);
        let (last, signature) = raw.begin("n,,", user, password, heartbeat_ms);
        raw.send(&last);
        assert_eq!(raw.text(), signature);
        let Came::Frame(WELCOME, body) = raw.frame() else { panic!("no welcome") };
        assert_eq!(body.len(), 12);
        raw
    }
}
