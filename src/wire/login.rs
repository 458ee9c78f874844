//! The conversation from the first byte to a known user.
//!
//! ```text
//! client                                  server
//! preamble, HELLO, LOGIN client-first
//!                                         preamble, HELLO, LOGIN server-first
//! LOGIN client-final
//!                                         LOGIN server-final, WELCOME
//! ```
//!
//! A LOGIN body is one SCRAM message, UTF-8. All integers of a WELCOME are little-endian:
//!
//! ```text
//! offset  size  welcome
//!      0     4  frame bytes max  the longest body the server accepts from here on
//!      4     8  connection       the server's number of this connection, for people
//!     12        more             may follow in a later version and is skipped
//! ```
//!
//! Until its WELCOME a server accepts nothing but this, in this order. A refusal is an ERROR frame; a server
//! that meets a wrong preamble sends nothing at all.

use super::frame::{FRAME_BYTES_MAX, Frame, put_frame};
use super::hello::{Hello, PREAMBLE, SCRAM, SCRAM_PLUS, check_preamble};
use super::scram::{Binding, Client, SaltedPassword, Server};
use super::{Fault, Inbox, Verifier, kind};
use crate::error::{Code, Error, Result};
use crate::secret::Password;
use std::sync::Arc;

/// What both sides know once the login succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// How often the other side shows that it lives.
    pub heartbeat_ms: u32,
    /// The longest body the other side accepts.
    pub frame_bytes_max: usize,
    /// The server's number of the connection.
    pub connection: u64,
}

/// What a login needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// More bytes from the other side.
    More,
    /// It succeeded.
    Done(Welcome),
}

enum ClientStep {
    Preamble,
    Hello,
    Challenge,
    Answer,
    Welcome,
}

/// The side that connects.
pub struct ClientLogin {
    scram: Client,
    password: Password,
    salted: Option<Arc<SaltedPassword>>,
    step: ClientStep,
    bound: bool,
    heartbeat_ms: u32,
}

impl ClientLogin {
    /// Begins a login: `out` gets what is to be sent first. `salted` is what [`Self::salted`] gave after an
    /// earlier login of the same user.
    pub fn start(
        user: &str,
        password: Password,
        salted: Option<Arc<SaltedPassword>>,
        nonce: &[u8],
        binding: Binding,
        heartbeat_ms: u32,
        out: &mut Vec<u8>,
    ) -> Result<ClientLogin> {
        let scram = Client::new(user, nonce, binding);
        Hello::new(heartbeat_ms, 0).put(out)?;
        put_frame(out, kind::LOGIN, scram.first().as_bytes())?;
        let (bound, step) = (binding.is_some(), ClientStep::Preamble);
        Ok(ClientLogin { scram, password, salted, step, bound, heartbeat_ms: 0 })
    }

    /// What the long hash of the password gave, for the next login.
    pub fn salted(&self) -> Option<Arc<SaltedPassword>> {
        self.salted.clone()
    }

    /// Takes what arrived; `out` gets what is to be sent.
    pub fn turn(&mut self, inbox: &mut Inbox, out: &mut Vec<u8>) -> Result<Turn> {
        if matches!(self.step, ClientStep::Preamble) {
            if !check_preamble(inbox.waiting())? {
                return Ok(Turn::More);
            }
            inbox.skip(PREAMBLE.len());
            self.step = ClientStep::Hello;
        }
        while let Some(frame) = inbox.next_frame()? {
            if let Some(welcome) = self.on_frame(frame, out)? {
                inbox.set_bytes_max(FRAME_BYTES_MAX);
                return Ok(Turn::Done(welcome));
            }
        }
        Ok(Turn::More)
    }

    fn on_frame(&mut self, frame: Frame<'_>, out: &mut Vec<u8>) -> Result<Option<Welcome>> {
        if frame.kind == kind::ERROR {
            return Err(Fault::decode(frame.body)?);
        }
        match (&self.step, frame.kind) {
            (ClientStep::Hello, kind::HELLO) => {
                let hello = Hello::read(frame.body)?;
                let needed = if self.bound { SCRAM_PLUS } else { SCRAM };
                if hello.mechanisms & needed == 0 {
                    let name = if self.bound { "SCRAM-SHA-256-PLUS" } else { "SCRAM-SHA-256" };
                    let text =
                        format!("the server does not offer {name}, and nothing less will do");
                    return Err(Error::new(Code::Denied, text));
                }
                self.heartbeat_ms = hello.heartbeat_ms;
                self.step = ClientStep::Challenge;
            }
            (ClientStep::Challenge, kind::LOGIN) => {
                let challenge = text(frame.body)?;
                let (salt, iterations) = self.scram.cost(challenge)?;
                let salted = match &self.salted {
                    Some(salted) if salted.is_for(&salt, iterations) => Arc::clone(salted),
                    _ => {
                        let bytes = self.password.as_bytes();
                        Arc::new(SaltedPassword::derive(bytes, &salt, iterations))
                    }
                };
                let last = self.scram.last(challenge, &salted)?;
                self.salted = Some(salted);
                put_frame(out, kind::LOGIN, last.as_bytes())?;
                self.step = ClientStep::Answer;
            }
            (ClientStep::Answer, kind::LOGIN) => {
                self.scram.check(text(frame.body)?)?;
                self.step = ClientStep::Welcome;
            }
            (ClientStep::Welcome, kind::WELCOME) => {
                return welcome(frame.body, self.heartbeat_ms).map(Some);
            }
            _ => return Err(unexpected(frame.kind)),
        }
        Ok(None)
    }
}

fn welcome(body: &[u8], heartbeat_ms: u32) -> Result<Welcome> {
    let Some((bytes_max, rest)) = body.split_first_chunk::<4>() else { return Err(unexpected(3)) };
    let Some(connection) = rest.first_chunk::<8>() else { return Err(unexpected(3)) };
    Ok(Welcome {
        heartbeat_ms,
        frame_bytes_max: u32::from_le_bytes(*bytes_max) as usize,
        connection: u64::from_le_bytes(*connection),
    })
}

enum ServerStep {
    Preamble,
    Hello,
    First,
    Final(Box<Server>),
    Proven(Box<Server>, String),
}

/// The side that was connected to.
pub struct ServerLogin {
    step: ServerStep,
    binding: Binding,
    nonce: [u8; 18],
    greeted: bool,
    heartbeat_ms: u32,
    peer_heartbeat_ms: u32,
}

impl ServerLogin {
    /// Waits for a client; `nonce` was never used before.
    pub fn new(nonce: [u8; 18], binding: Binding, heartbeat_ms: u32) -> ServerLogin {
        ServerLogin {
            step: ServerStep::Preamble,
            binding,
            nonce,
            greeted: false,
            heartbeat_ms,
            peer_heartbeat_ms: 0,
        }
    }

    /// Whether a client of this protocol is there; until then nothing may be sent.
    pub fn has_greeted(&self) -> bool {
        self.greeted
    }

    /// Who wants to log in, once that is known.
    pub fn user(&self) -> Option<&str> {
        match &self.step {
            ServerStep::Final(server) | ServerStep::Proven(server, _) => Some(server.user()),
            _ => None,
        }
    }

    /// Takes what arrived; `out` gets what is to be sent. `verifier` gives each user's, an unknown one's
    /// included. True when the proof is there and waits for [`Self::finish`].
    pub fn turn(
        &mut self,
        inbox: &mut Inbox,
        verifier: &dyn Fn(&str) -> Verifier,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        if matches!(self.step, ServerStep::Preamble) {
            if !check_preamble(inbox.waiting())? {
                return Ok(false);
            }
            inbox.skip(PREAMBLE.len());
            self.step = ServerStep::Hello;
        }
        while !matches!(self.step, ServerStep::Proven(..)) {
            let Some(frame) = inbox.next_frame()? else { return Ok(false) };
            self.on_frame(frame, verifier, out)?;
        }
        Ok(true)
    }

    fn on_frame(
        &mut self,
        frame: Frame<'_>,
        verifier: &dyn Fn(&str) -> Verifier,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let step = std::mem::replace(&mut self.step, ServerStep::Hello);
        self.step = match (step, frame.kind) {
            (ServerStep::Hello, kind::HELLO) => {
                let mechanisms = if self.binding.is_some() { SCRAM_PLUS } else { SCRAM };
                Hello::new(self.heartbeat_ms, mechanisms).put(out)?;
                // The answer is on its way before an error about the hello can be.
                self.greeted = true;
                self.peer_heartbeat_ms = Hello::read(frame.body)?.heartbeat_ms;
                ServerStep::First
            }
            (ServerStep::First, kind::LOGIN) => {
                let mut server = Server::new(text(frame.body)?, &self.nonce, self.binding)?;
                let challenge = server.challenge(verifier(server.user()));
                put_frame(out, kind::LOGIN, challenge.as_bytes())?;
                ServerStep::Final(Box::new(server))
            }
            (ServerStep::Final(server), kind::LOGIN) => {
                let last = text(frame.body)?.to_string();
                ServerStep::Proven(server, last)
            }
            _ => return Err(unexpected(frame.kind)),
        };
        Ok(())
    }

    /// Examines the proof; `out` gets the server's last words. Returns the user.
    pub fn finish(self, connection: u64, out: &mut Vec<u8>) -> Result<(String, Welcome)> {
        let ServerStep::Proven(server, last) = self.step else {
            return Err(Error::new(Code::Denied, "login refused"));
        };
        let answer = server.check(&last)?;
        put_frame(out, kind::LOGIN, answer.as_bytes())?;
        let mut body = (FRAME_BYTES_MAX as u32).to_le_bytes().to_vec();
        body.extend_from_slice(&connection.to_le_bytes());
        put_frame(out, kind::WELCOME, &body)?;
        let welcome = Welcome {
            heartbeat_ms: self.peer_heartbeat_ms,
            frame_bytes_max: FRAME_BYTES_MAX,
            connection,
        };
        Ok((server.user().to_string(), welcome))
    }
}

fn text(body: &[u8]) -> Result<&str> {
    let bad = |_| Error::new(Code::Protocol, "a login message arrived that is not UTF-8");
    std::str::from_utf8(body).map_err(bad)
}

fn unexpected(kind: u8) -> Error {
    let text = format!("a frame of kind {kind} arrived where the login does not have one");
    Error::new(Code::Protocol, text)
}

#[cfg(test)]
mod tests {
    use super::super::LOGIN_FRAME_BYTES_MAX;
    use super::*;

    fn verifier(user: &str) -> Verifier {
        match user {
            "ann" => Verifier::new(b"secret", b"0123456789abcdef", 4096).unwrap(),
            _ => Verifier::unknown(user, &[5; 32], 4096),
        }
    }

    struct Pair {
        client: ClientLogin,
        server: ServerLogin,
        to_client: Inbox,
        to_server: Inbox,
        first: Vec<u8>,
    }

    fn pair(user: &str, password: &str, binding: Binding) -> Pair {
        let mut first = Vec::new();
        let client =
            ClientLogin::start(user, password.into(), None, &[1; 18], binding, 5000, &mut first)
                .unwrap();
        Pair {
            client,
            server: ServerLogin::new([2; 18], binding, 4000),
            to_client: Inbox::new(LOGIN_FRAME_BYTES_MAX),
            to_server: Inbox::new(LOGIN_FRAME_BYTES_MAX),
            first,
        }
    }

    fn fill(inbox: &mut Inbox, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = inbox.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            inbox.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// Runs the whole login; returns what each side sent and how it ended.
    fn run(mut pair: Pair) -> (Vec<u8>, Vec<u8>, Result<(String, Welcome)>) {
        let (mut from_client, mut from_server) = (pair.first.clone(), Vec::new());
        fill(&mut pair.to_server, &pair.first);
        loop {
            let mut out = Vec::new();
            let proven = pair.server.turn(&mut pair.to_server, &verifier, &mut out);
            match proven {
                Err(error) => return (from_client, from_server, Err(error)),
                Ok(true) => break,
                Ok(false) => {}
            }
            from_server.extend_from_slice(&out);
            fill(&mut pair.to_client, &out);
            out.clear();
            match pair.client.turn(&mut pair.to_client, &mut out) {
                Err(error) => return (from_client, from_server, Err(error)),
                Ok(turn) => assert_eq!(turn, Turn::More),
            }
            from_client.extend_from_slice(&out);
            fill(&mut pair.to_server, &out);
        }
        let mut out = Vec::new();
        let user = match pair.server.finish(7, &mut out) {
            Ok((user, _)) => user,
            Err(error) => return (from_client, from_server, Err(error)),
        };
        from_server.extend_from_slice(&out);
        fill(&mut pair.to_client, &out);
        let turn = pair.client.turn(&mut pair.to_client, &mut Vec::new());
        let done = turn.map(|turn| match turn {
            Turn::Done(welcome) => (user, welcome),
            Turn::More => panic!("the login did not end"),
        });
        (from_client, from_server, done)
    }

    #[test]
    fn a_login_ends_in_a_welcome_on_both_sides() {
        for binding in [None, Some([3; 32])] {
            let (_, _, done) = run(pair("ann", "secret", binding));
            let welcome =
                Welcome { heartbeat_ms: 4000, frame_bytes_max: FRAME_BYTES_MAX, connection: 7 };
            assert_eq!(done.unwrap(), ("ann".into(), welcome));
        }
    }

    #[test]
    fn an_unknown_user_sees_the_same_steps_as_a_wrong_password() {
        let (_, wrong, first) = run(pair("ann", "guess", None));
        let (_, unknown, second) = run(pair("bob", "guess", None));
        let (first, second) = (first.unwrap_err(), second.unwrap_err());
        assert_eq!((first.code(), first.to_string()), (Code::Denied, "login refused".into()));
        assert_eq!((second.code(), second.to_string()), (Code::Denied, "login refused".into()));
        assert_eq!(wrong.len(), unknown.len());
    }

    /// Nanoseconds a server takes for a login with this name and a wrong proof; how it ends is known.
    fn refused_in(user: &str, known: &Verifier) -> u128 {
        let mut first = Vec::new();
        Hello::new(5000, SCRAM).put(&mut first).unwrap();
        let nonce = "0123456789abcdefghijklmn";
        put_frame(&mut first, kind::LOGIN, format!("n,,n={user},r={nonce}").as_bytes()).unwrap();
        // As the users' table does it: the unknown one's is made in any case.
        let of = |user: &str| {
            let unknown = Verifier::unknown(user, &[5; 32], 4096);
            if user == "ann" { known.clone() } else { unknown }
        };
        let (mut inbox, mut out) = (Inbox::new(LOGIN_FRAME_BYTES_MAX), Vec::new());
        let mut server = ServerLogin::new([2; 18], None, 4000);
        let begun = std::time::Instant::now();
        fill(&mut inbox, &first);
        assert!(!server.turn(&mut inbox, &of, &mut out).unwrap());
        let said = String::from_utf8_lossy(&out).into_owned();
        let nonce = said.split_once("r=").unwrap().1.split(',').next().unwrap();
        let proof = "A".repeat(43);
        let mut last = Vec::new();
        put_frame(&mut last, kind::LOGIN, format!("c=biws,r={nonce},p={proof}=").as_bytes())
            .unwrap();
        fill(&mut inbox, &last);
        assert!(server.turn(&mut inbox, &of, &mut out).unwrap());
        let error = server.finish(1, &mut out).unwrap_err();
        let took = begun.elapsed().as_nanos();
        assert_eq!((error.code(), error.to_string()), (Code::Denied, "login refused".into()));
        took
    }

    #[test]
    fn an_unknown_user_is_refused_in_the_time_of_a_known_one() {
        let known = verifier("ann");
        let (mut ann, mut bob) = (Vec::new(), Vec::new());
        // In turn, so that what else the machine does meets both alike.
        for _ in 0..10_000 {
            ann.push(refused_in("ann", &known));
            bob.push(refused_in("bob", &known));
        }
        let quarters = |all: &mut Vec<u128>| {
            all.sort_unstable();
            [1, 2, 3].map(|n| all[all.len() * n / 4])
        };
        let (ann, bob) = (quarters(&mut ann), quarters(&mut bob));
        println!("refused in ns, quartiles of 10,000: known {ann:?}, unknown {bob:?}");
        // Somebody over a network sees a hundred times this; a derivation of the password would be a thousand.
        assert!(ann[1].abs_diff(bob[1]) * 4 < ann[1].max(bob[1]), "{ann:?} {bob:?}");
    }

    #[test]
    fn a_login_cut_anywhere_waits_and_one_changed_anywhere_never_succeeds() {
        let (client, server, _) = run(pair("ann", "secret", None));
        for cut in 0..client.len() {
            let mut halves = pair("ann", "secret", None);
            fill(&mut halves.to_server, &client[..cut]);
            let turn = halves.server.turn(&mut halves.to_server, &verifier, &mut Vec::new());
            assert!(!turn.unwrap(), "cut at {cut}");
        }
        for at in 0..client.len() {
            let mut halves = pair("ann", "secret", None);
            let mut bad = client.clone();
            bad[at] ^= 0x10;
            fill(&mut halves.to_server, &bad);
            let turn = halves.server.turn(&mut halves.to_server, &verifier, &mut Vec::new());
            assert!(!turn.unwrap_or(false), "changed at {at}");
        }
        for at in 0..server.len() {
            let mut halves = pair("ann", "secret", None);
            let mut bad = server.clone();
            bad[at] ^= 0x10;
            fill(&mut halves.to_client, &bad);
            let turn = halves.client.turn(&mut halves.to_client, &mut Vec::new());
            assert!(!matches!(turn, Ok(Turn::Done(_))), "changed at {at}");
        }
    }

    #[test]
    fn a_server_without_plus_is_refused_under_tls() {
        let mut halves = pair("ann", "secret", Some([3; 32]));
        let mut out = Vec::new();
        Hello::new(4000, SCRAM).put(&mut out).unwrap();
        fill(&mut halves.to_client, &out);
        let error = halves.client.turn(&mut halves.to_client, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), Code::Denied);
        assert!(error.to_string().contains("SCRAM-SHA-256-PLUS"));
    }

    #[test]
    fn the_salted_password_of_one_login_serves_the_next() {
        let mut first = pair("ann", "secret", None);
        let mut out = Vec::new();
        fill(&mut first.to_server, &first.first.clone());
        first.server.turn(&mut first.to_server, &verifier, &mut out).unwrap();
        fill(&mut first.to_client, &out);
        first.client.turn(&mut first.to_client, &mut Vec::new()).unwrap();
        let mut second = pair("ann", "a password that is not looked at", None);
        second.client.salted = first.client.salted();
        assert!(run(second).2.is_ok());
    }

    // Every text and the welcome were made with another implementation of SCRAM and CRC-32.
    #[test]
    fn golden_bytes_of_a_login() {
        let (client, server, _) = run(pair("ann", "secret", None));
        let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
        Hello::new(5000, 0).put(&mut from_client).unwrap();
        Hello::new(4000, SCRAM).put(&mut from_server).unwrap();
        for text in [
            "n,,n=ann,r=AQEBAQEBAQEBAQEBAQEBAQEB",
            "c=biws,r=AQEBAQEBAQEBAQEBAQEBAQEBAgICAgICAgICAgICAgICAgIC,\
             p=5X1vcUfxOWO6YNSX8Lgm6VHgzM/HNvS+c9wps2FzxlY=",
        ] {
            put_frame(&mut from_client, kind::LOGIN, text.as_bytes()).unwrap();
        }
        for text in [
            "r=AQEBAQEBAQEBAQEBAQEBAQEBAgICAgICAgICAgICAgICAgIC,\
             s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096",
            "v=8sX1LN3oVw0mbDNNyPPypgwjdaKJ7y5FiZvNUfQExho=",
        ] {
            put_frame(&mut from_server, kind::LOGIN, text.as_bytes()).unwrap();
        }
        from_server.extend_from_slice(
            b"\x0c\0\0\0\x0f\x4b\x2b\x4c\x03\0\0\0\0\0\x39\x01\x07\0\0\0\0\0\0\0",
        );
        assert_eq!(client, from_client);
        assert_eq!(server, from_server);
        assert_eq!(
            [crc32fast::hash(&client), crc32fast::hash(&server)],
            [0xb877_34f6, 0x0fdb_cb61]
        );
    }

    #[test]
    fn random_bytes_never_panic_and_never_log_in() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..20_000 {
            let mut bytes = PREAMBLE.to_vec();
            for _ in 0..round % 64 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.push((seed >> 56) as u8);
            }
            // Half of them are whole frames with random bodies.
            if round % 2 == 0 && bytes.len() > 8 {
                let body = bytes.split_off(8);
                put_frame(&mut bytes, 1 + (body[0] & 3), &body).unwrap();
            }
            let mut halves = pair("ann", "secret", None);
            fill(&mut halves.to_server, &bytes);
            let turn = halves.server.turn(&mut halves.to_server, &verifier, &mut Vec::new());
            assert!(!turn.unwrap_or(false), "round {round}");
        }
    }
}
