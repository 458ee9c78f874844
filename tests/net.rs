//! The network from outside: real sockets on loopback, a client of the protocol written from its description
//! alone, certificates made for the occasion, and strangers of all kinds.

#![allow(clippy::unwrap_used, unsafe_code)]

#[path = "net/authority.rs"]
mod authority;
#[path = "net/capture.rs"]
mod capture;
#[path = "net/cut.rs"]
mod cut;
#[path = "net/flood.rs"]
mod flood;
#[path = "net/fuzz.rs"]
mod fuzz;
#[path = "net/hostile.rs"]
mod hostile;
#[path = "net/late.rs"]
mod late;
#[path = "net/login.rs"]
mod login;
mod mangle;
#[path = "net/place.rs"]
mod place;
#[path = "net/quiet.rs"]
mod quiet;
#[path = "net/raw.rs"]
mod raw;
#[path = "net/requests.rs"]
mod requests;
#[path = "net/rights.rs"]
mod rights;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "net/sessions.rs"]
mod sessions;
#[path = "net/signals.rs"]
mod signals;
#[path = "net/spoiled.rs"]
mod spoiled;
#[path = "net/tls.rs"]
mod tls;
#[path = "net/urls.rs"]
mod urls;
