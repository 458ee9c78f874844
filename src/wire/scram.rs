//! SCRAM-SHA-256 (RFC 5802 and 7677), both sides, and its binding to TLS (RFC 9266).
//!
//! ```text
//! client-first   gs2 n=user,r=nonce                        gs2 is "p=tls-exporter,," under TLS, else "n,,"
//! server-first   r=nonce+more,s=salt,i=iterations
//! client-final   c=base64(gs2 and binding),r=nonce+more,p=proof
//! server-final   v=signature
//! ```
//!
//! Stricter than the RFC in three places: whoever speaks under TLS binds to it, whoever does not says "n" and
//! never "y", and there are no extensions. So nothing can be stripped or added on the way. In a user's name
//! `=` travels as `=3D` and `,` as `=2C`; names and passwords are used as they are, without SASLprep, which
//! is the same thing for ASCII.

use super::base64;
use super::verifier::{Verifier, check_iterations, check_salt, number};
use crate::error::{Code, Error, Result};
use crate::limits::NAME_BYTES_MAX;
use ring::{digest, hmac as ring_hmac, pbkdf2};
use std::num::NonZeroU32;
use zeroize::{Zeroize, Zeroizing};

/// What SHA-256 gives.
pub type Key = [u8; 32];
/// What the TLS connection exports under `EXPORTER-Channel-Binding`; `None` where there is no TLS.
pub type Binding = Option<Key>;

/// Longest nonce that is accepted.
const NONCE_BYTES_MAX: usize = 256;

/// HMAC-SHA-256 over the parts, one behind the other.
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut context =
        ring_hmac::Context::with_key(&ring_hmac::Key::new(ring_hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    narrow(context.sign().as_ref())
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Key {
    narrow(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Whether two keys are equal, in the same time whatever they hold.
pub fn equal(left: &Key, right: &Key) -> bool {
    left.iter().zip(right).fold(0, |seen, (left, right)| seen | (left ^ right)) == 0
}

fn narrow(bytes: &[u8]) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(bytes);
    key
}

fn xor(left: &Key, right: &Key) -> Key {
    std::array::from_fn(|at| left[at] ^ right[at])
}

/// A password after its long hash: what costs time, kept by a client for its next login.
pub struct SaltedPassword {
    salt: Vec<u8>,
    iterations: u32,
    key: Zeroizing<Key>,
}

impl SaltedPassword {
    /// Computes it; this takes as long as the iterations ask for.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> SaltedPassword {
        let mut key = Zeroizing::new([0; 32]);
        let count = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, salt, password, &mut key[..]);
        SaltedPassword { salt: salt.to_vec(), iterations, key }
    }

    /// Whether it was computed for this salt and count.
    pub fn is_for(&self, salt: &[u8], iterations: u32) -> bool {
        self.salt == salt && self.iterations == iterations
    }

    pub(super) fn client_key(&self) -> Zeroizing<Key> {
        Zeroizing::new(hmac(&self.key[..], &[b"Client Key"]))
    }

    pub(super) fn server_key(&self) -> Zeroizing<Key> {
        Zeroizing::new(hmac(&self.key[..], &[b"Server Key"]))
    }
}

fn gs2(binding: &Binding) -> &'static str {
    if binding.is_some() { "p=tls-exporter,," } else { "n,," }
}

fn channel(binding: &Binding) -> String {
    let mut bytes = gs2(binding).as_bytes().to_vec();
    bytes.extend(binding.iter().flatten());
    base64::encode(&bytes)
}

fn malformed(what: &str) -> Error {
    Error::new(Code::Protocol, format!("a login message arrived that is malformed: {what}"))
}

fn field<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str> {
    part.and_then(|part| part.strip_prefix(name)).ok_or_else(|| malformed(name))
}

fn end(mut parts: std::str::Split<'_, char>) -> Result<()> {
    parts.next().map_or(Ok(()), |_| Err(malformed("extensions are not known")))
}

fn is_nonce(text: &str) -> bool {
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    printable && (16..=NONCE_BYTES_MAX).contains(&text.len())
}

fn key_of(text: &str) -> Result<Key> {
    let bytes = base64::decode(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| malformed("a key is no key"))
}

/// The side that knows the password.
pub struct Client {
    bare: String,
    nonce: String,
    binding: Binding,
    signature: Option<Zeroizing<Key>>,
}

impl Client {
    /// A login of this user with a nonce that was never used before.
    pub fn new(user: &str, nonce: &[u8], binding: Binding) -> Client {
        let nonce = base64::encode(nonce);
        let name = user.replace('=', "=3D").replace(',', "=2C");
        Client { bare: format!("n={name},r={nonce}"), nonce, binding, signature: None }
    }

    /// The client-first message.
    pub fn first(&self) -> String {
        format!("{}{}", gs2(&self.binding), self.bare)
    }

    /// Salt and iterations of a server-first message.
    pub fn cost(&self, server_first: &str) -> Result<(Vec<u8>, u32)> {
        let mut parts = server_first.split(',');
        let nonce = field(parts.next(), "r=")?;
        let salt = field(parts.next(), "s=")?;
        let iterations = field(parts.next(), "i=")?;
        end(parts)?;
        if !is_nonce(nonce) || !nonce.starts_with(&self.nonce) || nonce == self.nonce {
            return Err(malformed("the server's nonce does not continue the client's"));
        }
        let salt = base64::decode(salt).ok_or_else(|| malformed("the salt is not base64"))?;
        let iterations = number(iterations).ok_or_else(|| malformed("iterations"))?;
        check_salt(&salt).and_then(|()| check_iterations(iterations)).map_err(|why| {
            Error::because(Code::Protocol, "the server's login parameters are refused", &why)
        })?;
        Ok((salt, iterations))
    }

    /// The client-final message.
    pub fn last(&mut self, server_first: &str, salted: &SaltedPassword) -> Result<String> {
        let (salt, iterations) = self.cost(server_first)?;
        if !salted.is_for(&salt, iterations) {
            return Err(malformed("the password was salted for another server"));
        }
        let nonce = field(server_first.split(',').next(), "r=")?;
        let without_proof = format!("c={},r={nonce}", channel(&self.binding));
        let message = format!("{},{server_first},{without_proof}", self.bare);
        let client_key = salted.client_key();
        let signature = hmac(&sha256(&client_key[..]), &[message.as_bytes()]);
        let mut proof = xor(&client_key, &signature);
        let text = format!("{without_proof},p={}", base64::encode(&proof));
        proof.zeroize();
        let expected = hmac(&salted.server_key()[..], &[message.as_bytes()]);
        self.signature = Some(Zeroizing::new(expected));
        Ok(text)
    }

    /// Checks the server-final message: it proves that the server knows the verifier.
    pub fn check(&self, server_final: &str) -> Result<()> {
        let mut parts = server_final.split(',');
        let signature = key_of(field(parts.next(), "v=")?)?;
        end(parts)?;
        match &self.signature {
            Some(expected) if equal(expected, &signature) => Ok(()),
            _ => {
                let text = "the server could not prove that it knows this user's verifier";
                Err(Error::new(Code::Denied, text))
            }
        }
    }
}

/// The side that knows the verifier.
pub struct Server {
    bare: String,
    user: String,
    nonce: String,
    binding: Binding,
    challenge: Option<(String, Verifier)>,
}

impl Server {
    /// Reads a client-first message. `own` is the server's part of the nonce.
    pub fn new(client_first: &str, own: &[u8], binding: Binding) -> Result<Server> {
        let Some(bare) = client_first.strip_prefix(gs2(&binding)) else {
            // Whoever stripped the binding, or claims one that is not there, learns no more than that.
            return Err(Error::new(Code::Denied, "login refused"));
        };
        let mut parts = bare.split(',');
        let user = unescape(field(parts.next(), "n=")?)?;
        let nonce = field(parts.next(), "r=")?;
        end(parts)?;
        if !is_nonce(nonce) {
            return Err(malformed("the client's nonce"));
        }
        let nonce = format!("{nonce}{}", base64::encode(own));
        Ok(Server { bare: bare.into(), user, nonce, binding, challenge: None })
    }

    /// Who wants to log in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The server-first message.
    pub fn challenge(&mut self, verifier: Verifier) -> String {
        let salt = base64::encode(&verifier.salt);
        let text = format!("r={},s={salt},i={}", self.nonce, verifier.iterations);
        self.challenge = Some((text.clone(), verifier));
        text
    }

    /// Checks a client-final message and returns the server-final one. Every refusal reads the same.
    pub fn check(&self, client_final: &str) -> Result<String> {
        let denied = || Error::new(Code::Denied, "login refused");
        let (server_first, verifier) = self.challenge.as_ref().ok_or_else(denied)?;
        let (without_proof, proof) =
            client_final.rsplit_once(",p=").ok_or_else(|| malformed("p="))?;
        let proof = key_of(proof)?;
        let message = format!("{},{server_first},{without_proof}", self.bare);
        let signature = hmac(&verifier.stored_key, &[message.as_bytes()]);
        let client_key = Zeroizing::new(xor(&proof, &signature));
        let proven = equal(&sha256(&client_key[..]), &verifier.stored_key);
        let expected = format!("c={},r={}", channel(&self.binding), self.nonce);
        let proven = proven || sabotage!("proof of a password not checked");
        if !proven || without_proof != expected {
            return Err(denied());
        }
        let signature = hmac(&verifier.server_key, &[message.as_bytes()]);
        Ok(format!("v={}", base64::encode(&signature)))
    }
}

fn unescape(name: &str) -> Result<String> {
    let bad = || malformed("the user's name");
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('=') {
        text.push_str(before);
        let known = |(code, character)| Some((behind.strip_prefix(code)?, character));
        let (behind, character) =
            [("2C", ','), ("3D", '=')].into_iter().find_map(known).ok_or_else(bad)?;
        text.push(character);
        rest = behind;
    }
    text.push_str(rest);
    let fine = !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control);
    fine.then_some(text).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &[u8] = b"0123456789abcdef";

    fn verifier(password: &str) -> Verifier {
        Verifier::new(password.as_bytes(), SALT, 4096).unwrap()
    }

    /// Client and server after three messages.
    fn talk(
        user: &str,
        password: &str,
        server_password: &str,
        binding: Binding,
    ) -> (Client, Server, String) {
        let mut client = Client::new(user, &[1; 18], binding);
        let mut server = Server::new(&client.first(), &[2; 18], binding).unwrap();
        let challenge = server.challenge(verifier(server_password));
        let (salt, iterations) = client.cost(&challenge).unwrap();
        let salted = SaltedPassword::derive(password.as_bytes(), &salt, iterations);
        let last = client.last(&challenge, &salted).unwrap();
        (client, server, last)
    }

    #[test]
    fn the_vector_of_rfc_7677_holds_on_both_sides() {
        let server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        let bare = format!("n=user,r={nonce}");
        let mut client =
            Client { bare: bare.clone(), nonce: nonce.into(), binding: None, signature: None };
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (salt, iterations) = client.cost(server_first).unwrap();
        let last = client
            .last(server_first, &SaltedPassword::derive(b"pencil", &salt, iterations))
            .unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let verifier = Verifier::new(b"pencil", &salt, iterations).unwrap();
        let server = Server {
            bare,
            user: "user".into(),
            nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into(),
            binding: None,
            challenge: Some((server_first.into(), verifier)),
        };
        let answer = server.check(&last).unwrap();
        assert_eq!(answer, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        client.check(&answer).unwrap();
    }

    #[test]
    fn a_login_succeeds_with_and_without_a_channel_to_bind_to() {
        for binding in [None, Some([9; 32])] {
            let (client, server, last) = talk("a=b,c", "secret", "secret", binding);
            assert_eq!(server.user(), "a=b,c");
            client.check(&server.check(&last).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_wrong_password_and_a_changed_message_are_denied_alike() {
        let (_, server, last) = talk("ann", "wrong", "secret", None);
        let denied = server.check(&last).unwrap_err();
        assert_eq!((denied.code(), denied.to_string()), (Code::Denied, "login refused".into()));
        let (_, server, last) = talk("ann", "secret", "secret", None);
        for (from, to) in [("c=biws", "c=eSws"), ("r=AQ", "r=AR"), ("c=biws,", "c=biws,x=y,")] {
            let denied = server.check(&last.replacen(from, to, 1)).unwrap_err();
            assert_eq!((denied.code(), denied.to_string()), (Code::Denied, "login refused".into()));
        }
        assert_eq!(server.check("c=biws,r=x").unwrap_err().code(), Code::Protocol);
        assert_eq!(server.check(&format!("{last}A")).unwrap_err().code(), Code::Protocol);
    }

    #[test]
    fn a_stripped_a_foreign_and_a_pretended_binding_are_denied() {
        let plus = Client::new("ann", &[1; 18], Some([9; 32])).first();
        let plain = Client::new("ann", &[1; 18], None).first();
        let maybe = plain.replacen('n', "y", 1);
        let rows =
            [(&plain, Some([9; 32])), (&maybe, Some([9; 32])), (&plus, None), (&maybe, None)];
        for (first, binding) in rows {
            let refused = Server::new(first, &[2; 18], binding).err().unwrap();
            assert_eq!(refused.code(), Code::Denied, "{first}");
        }
        // Two TLS connections with somebody between them.
        let (_, _, last) = talk("ann", "secret", "secret", Some([9; 32]));
        let first = Client::new("ann", &[1; 18], Some([9; 32])).first();
        let mut between = Server::new(&first, &[2; 18], Some([8; 32])).unwrap();
        between.challenge(verifier("secret"));
        assert_eq!(between.check(&last).unwrap_err().code(), Code::Denied);
    }

    #[test]
    fn a_server_without_the_verifier_is_found_out() {
        let (client, server, last) = talk("ann", "secret", "secret", None);
        let answer = server.check(&last).unwrap();
        let forged = format!("v={}", base64::encode(&[0; 32]));
        assert_eq!(client.check(&forged).unwrap_err().code(), Code::Denied);
        assert_eq!(client.check("e=other-error").unwrap_err().code(), Code::Protocol);
        let early = Client::new("ann", &[1; 18], None);
        assert_eq!(early.check(&answer).unwrap_err().code(), Code::Denied);
    }

    #[test]
    fn a_challenge_that_is_too_weak_too_dear_or_not_ours_is_refused() {
        let client = Client::new("ann", &[1; 18], None);
        let own = base64::encode(&[1; 18]);
        let rows = [
            format!("r={own}more,s=AAAA,i=4095"),
            format!("r={own}more,s=AAAA,i=4000000000"),
            format!("r={own}more,s=AAAA,i=+4096"),
            format!("r={own}more,s=,i=4096"),
            format!("r={own}more,s=A,i=4096"),
            format!("r={own},s=AAAA,i=4096"),
            format!("r=x{own}more,s=AAAA,i=4096"),
            format!("m=x,r={own}more,s=AAAA,i=4096"),
            format!("r={own}more,s=AAAA,i=4096,x=y"),
            String::new(),
        ];
        for row in &rows {
            assert_eq!(client.cost(row).unwrap_err().code(), Code::Protocol, "{row}");
        }
        assert!(client.cost(&format!("r={own}more,s=AAAA,i=4096")).is_ok());
    }

    #[test]
    fn a_client_first_that_is_malformed_is_refused() {
        let long = "x".repeat(256);
        let rows = [
            "n,,n=ann".to_string(),
            "n,,n=,r=0123456789abcdef".into(),
            "n,,n=a=b,r=0123456789abcdef".into(),
            "n,,n=ann,r=short".into(),
            "n,,n=ann,r=0123456789abcdef,x=y".into(),
            "n,,n=a\nb,r=0123456789abcdef".into(),
            format!("n,,n={long},r=0123456789abcdef"),
        ];
        for row in &rows {
            let refused = Server::new(row, &[2; 18], None).err().unwrap();
            assert_eq!(refused.code(), Code::Protocol, "{row}");
        }
    }
}
