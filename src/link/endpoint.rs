//! The URL of a server: `repliq://user@host:port/queue` or `repliq+unix:///path/of/socket`.
//!
//! User, port and queue may be left out; the port is then 20901. An IPv6 address stands in brackets. In user
//! and queue, `%` and two hexadecimal digits stand for a byte. A password has no place in a URL: URLs are
//! printed, logged and listed.

use crate::error::{Code, Error, Result};
use crate::limits::NAME_BYTES_MAX;
use std::fmt;
use std::path::PathBuf;

/// The port of a server that names no other.
pub const PORT: u16 = 20901;

const TCP: &str = "repliq://";
const UNIX: &str = "repliq+unix://";
/// The longest path a Unix socket can have.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a host name or address, and a port.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// At a socket of this machine.
    Unix(PathBuf),
}

/// Where a server is, as whom to log in, and which queue is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    place: Place,
    user: Option<String>,
    queue: Option<String>,
}

impl Endpoint {
    /// Reads a URL; fails with INVALID.
    pub fn parse(url: &str) -> Result<Endpoint> {
        let bad = |why: &str| {
            // What stands before the @ may hold a password; it is not shown.
            let shown = url.rsplit_once('@').map_or(url, |(_, behind)| behind);
            Error::new(Code::Invalid, format!("{shown:?} is not the URL of a server: {why}"))
        };
        if let Some(rest) = url.strip_prefix(UNIX) {
            let (user, path) = user_of(rest, &bad)?;
            if !path.starts_with('/') || path.len() > SOCKET_PATH_BYTES_MAX || path.contains('\0') {
                return Err(bad("a socket has an absolute path of at most 107 bytes"));
            }
            return Ok(Endpoint { place: Place::Unix(path.into()), user, queue: None });
        }
        let rest = url
            .strip_prefix(TCP)
            .ok_or_else(|| bad("it begins with neither repliq:// nor repliq+unix://"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, address) = user_of(authority, &bad)?;
        let (host, port) = address_of(address, &bad)?;
        let queue = (!path.is_empty()).then(|| decoded(path)).transpose();
        let queue = queue.map_err(|why| bad(&format!("the queue {why}")))?;
        Ok(Endpoint { place: Place::Tcp { host, port }, user, queue })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// As whom to log in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Which queue is meant.
    pub fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    /// Whether this text is meant as a URL rather than a path.
    pub fn is_url(text: &str) -> bool {
        text.starts_with(TCP) || text.starts_with(UNIX)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A slash in it would end the place.
        let user = self.user.as_ref().map(|user| format!("{}@", encoded(user).replace('/', "%2F")));
        let user = user.unwrap_or_default();
        match &self.place {
            Place::Unix(path) => write!(out, "{UNIX}{user}{}", path.display())?,
            Place::Tcp { host, port } if host.contains(':') => {
                write!(out, "{TCP}{user}[{host}]:{port}")?;
            }
            Place::Tcp { host, port } => write!(out, "{TCP}{user}{host}:{port}")?,
        }
        match &self.queue {
            Some(queue) => write!(out, "/{}", encoded(queue)),
            None => Ok(()),
        }
    }
}

type Bad<'a> = dyn Fn(&str) -> Error + 'a;

fn user_of<'a>(text: &'a str, bad: &Bad<'_>) -> Result<(Option<String>, &'a str)> {
    let Some((user, rest)) = text.split_once('@') else { return Ok((None, text)) };
    if user.contains(':') || rest.contains('@') {
        return Err(bad("a password does not belong in a URL"));
    }
    let user = decoded(user).map_err(|why| bad(&format!("the user {why}")))?;
    Ok((Some(user), rest))
}

fn address_of(text: &str, bad: &Bad<'_>) -> Result<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| bad("a bracket is open"))?;
            let address = host.parse::<std::net::Ipv6Addr>();
            address.map_err(|_| bad("in brackets stands an IPv6 address"))?;
            (host, port)
        }
        None => {
            let at = text.find(':').unwrap_or(text.len());
            text.split_at(at)
        }
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(plain) {
        return Err(bad("the host is missing or holds characters that no host has"));
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => PORT,
        Some(digits) if !digits.starts_with('+') => {
            let port = digits.parse::<u16>().ok().filter(|&port| port > 0);
            port.ok_or_else(|| bad("a port is a number from 1 to 65535"))?
        }
        _ => return Err(bad("behind the host stands a port or nothing")),
    };
    Ok((host.to_string(), port))
}

fn decoded(text: &str) -> std::result::Result<String, &'static str> {
    const DIGITS: &str = "has a % without two hexadecimal digits";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = (digit().ok_or(DIGITS)?, digit().ok_or(DIGITS)?);
        bytes.push((high << 4 | low) as u8);
    }
    let name = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    let fine = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
    fine.then_some(name).ok_or("is not a name of 1 to 255 bytes without control characters")
}

fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp { host: host.into(), port }
    }

    #[test]
    fn a_url_is_read_and_printed_back() {
        let rows = [
            (
                "repliq://ann@example.org:7/orders",
                tcp("example.org", 7),
                Some("ann"),
                Some("orders"),
            ),
            ("repliq://127.0.0.1:20901", tcp("127.0.0.1", PORT), None, None),
            ("repliq://ann@[::1]:7/a/b", tcp("::1", 7), Some("ann"), Some("a/b")),
            ("repliq://a%40b@h:7/%C3%A4%20x", tcp("h", 7), Some("a@b"), Some("ä x")),
            ("repliq://a%2Fb@h:7/a/b", tcp("h", 7), Some("a/b"), Some("a/b")),
            ("repliq+unix:///run/x.sock", Place::Unix("/run/x.sock".into()), None, None),
            ("repliq+unix://ann@/run/x.sock", Place::Unix("/run/x.sock".into()), Some("ann"), None),
        ];
        for (url, place, user, queue) in rows {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(
                (endpoint.place(), endpoint.user(), endpoint.queue()),
                (&place, user, queue)
            );
            assert_eq!(endpoint.to_string(), url);
        }
        assert_eq!(
            Endpoint::parse("repliq://h").unwrap(),
            Endpoint::parse("repliq://h:20901/").unwrap()
        );
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused() {
        let long = format!("repliq+unix:///{}", "x".repeat(107));
        let name = format!("repliq://h/{}", "q".repeat(256));
        for url in [
            "",
            "h:1",
            "http://h:1",
            "repliq:/h",
            "repliq://",
            "repliq://:1",
            "repliq://h:",
            "repliq://h:0",
            "repliq://h:65536",
            "repliq://h:+1",
            "repliq://h:1:2",
            "repliq://::1",
            "repliq://[::1",
            "repliq://[::1]x",
            "repliq://[h]:1",
            "repliq://@h",
            "repliq://a%4@h",
            "repliq://a%zz@h",
            "repliq://%ff@h",
            "repliq://a b:1",
            "repliq://h:1/%00",
            "repliq+unix://x",
            "repliq+unix://",
            &long,
            &name,
        ] {
            let refused = Endpoint::parse(url).unwrap_err();
            assert_eq!(refused.code(), Code::Invalid, "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        for url in
            ["repliq://ann:secret@h:1", "repliq://ann@secret@h:1", "repliq+unix://a:secret@/x"]
        {
            let refused = Endpoint::parse(url).unwrap_err().to_string();
            assert!(refused.contains("password") && !refused.contains("secret"), "{refused}");
        }
    }
}
