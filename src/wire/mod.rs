//! Frames, hello and login: what two sides say to each other, as state machines without sockets.
//!
//! | file | owns |
//! |---|---|
//! | `frame` | the bytes of a frame, and cutting them out of what arrived |
//! | `hello` | the first frame of each side, and the preamble before it |
//! | `stream` | the bodies of the frames of replication |
//! | `login` | the conversation from the first byte to a known user |
//! | `scram` | SCRAM-SHA-256, the two sides of it |
//! | `verifier` | what a server keeps of a password |
//! | `fault` | an error on its way to the other side |
//! | `request` | the bodies of requests and their answers |
//! | `session` | the bodies of what sessions and consumers are asked and answer |
//! | `giving` | how a consumer gives out its messages |
//! | `base64` | the text form of bytes in SCRAM |
//!
//! Kinds of frames: 1 to 31 belong to the connection, 32 to 63 to replication, 64 to 127 to requests, of these
//! 96 to 127 to sessions and consumers.
//! Whatever comes after the login is a [`Machine`], driven by `link`.

mod base64;
mod fault;
mod frame;
mod giving;
mod hello;
mod login;
mod request;
mod scram;
mod session;
pub mod stream;
mod verifier;

use crate::error::Result;
use std::sync::Arc;
use std::time::Instant;

pub use base64::{decode as from_base64, encode as to_base64};
pub use fault::Fault;
pub use frame::{FRAME_BYTES_MAX, Inbox, LOGIN_FRAME_BYTES_MAX, put_frame};
pub use giving::Giving;
pub use hello::{HEARTBEAT_MS_MAX, HEARTBEAT_MS_MIN};
pub use login::{ClientLogin, ServerLogin, Turn, Welcome};
pub use request::{Answer, REQUESTS_MAX, Request, Row, TOKENS_MAX};
pub use scram::{Binding, SaltedPassword};
pub use session::{
    Given, RECEIVED_HEAD, STAGED_HEAD, SessionAnswer, SessionRequest, Start, Undo, Which,
    begin_stage, put_staged,
};
pub use verifier::{ITERATIONS, Verifier};

/// Calls whoever drives a machine: it has something new to send. May be called from any thread, at any time.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// One side of the conversation after the login.
///
/// It knows neither sockets nor clocks. Whoever drives it hands over what arrives, asks for what is to be
/// sent, and asks again when the waker given at its making was called or the deadline is over. An error from
/// either function goes to the other side and ends the connection; [`Code::Closed`](crate::error::Code)
/// ends it without complaint.
pub trait Machine: Send {
    /// Takes a frame that arrived.
    fn on_frame(&mut self, kind: u8, body: &[u8], now: Instant) -> Result<()>;

    /// Writes the body of the next frame to send into `body`, which comes empty, and returns its kind; `None`
    /// when there is nothing to send now.
    fn next_frame(&mut self, now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>>;

    /// When to ask again at the latest.
    fn deadline(&self) -> Option<Instant>;
}

/// The kinds of frames that belong to the connection itself.
pub mod kind {
    /// The first frame of each side.
    pub const HELLO: u8 = 1;
    /// A message of the login.
    pub const LOGIN: u8 = 2;
    /// The server's last word of the login.
    pub const WELCOME: u8 = 3;
    /// Nothing but a sign of life.
    pub const HEARTBEAT: u8 = 4;
    /// The sender of this frame leaves, with nothing left to say.
    pub const CLOSE: u8 = 5;
    /// The sender of this frame leaves because of an error.
    pub const ERROR: u8 = 6;
    /// The last kind that belongs to the connection.
    pub const LAST_OF_CONNECTION: u8 = 31;
    /// The first kind that belongs to replication.
    pub const FIRST_OF_STREAM: u8 = 32;
    /// The last kind that belongs to replication.
    pub const LAST_OF_STREAM: u8 = 63;
    /// The first kind that belongs to requests.
    pub const FIRST_OF_REQUESTS: u8 = 64;
    /// The last kind that belongs to requests, sessions and consumers among them.
    pub const LAST_OF_REQUESTS: u8 = 127;
}
