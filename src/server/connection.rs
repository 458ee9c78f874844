//! One connection of a server, from its first byte to its last.

use super::AUDIT;
use super::options::ServerLimits;
use super::requests::{Requests, ServerStatus};
use super::streams::Stream as Incoming;
use super::table::{Seat, Stage, Table};
use super::throttle::Throttle;
use super::usage::Usage;
use super::users::{User, UserSource, Users};
use crate::error::{Code, Error, Result};
use crate::link::{Acceptor, Rhythm, Stream, Wakeup, drive, leave, random};
use crate::session::Store;
use crate::sync::Mutex;
use crate::wire::{
    Binding, FRAME_BYTES_MAX, Inbox, LOGIN_FRAME_BYTES_MAX, Machine, ServerLogin, Waker, Welcome,
    kind,
};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout_at;

/// The first byte of TLS: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;

/// What all connections of a server share.
pub struct Shared {
    pub store: Store,
    pub table: Arc<Table>,
    pub source: UserSource,
    pub users: Mutex<Arc<Users>>,
    /// Held while the users file changes.
    pub changing: Mutex<()>,
    pub acceptor: Mutex<Option<Acceptor>>,
    pub plain: bool,
    pub heartbeat_ms: u32,
    pub limits: ServerLimits,
    pub throttle: Throttle,
    pub usage: Arc<Usage>,
    pub status: ServerStatus,
}

/// A socket as the listener gave it.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Serves one connection until it ends.
pub async fn serve(shared: Arc<Shared>, seat: Seat, socket: Socket, address: String) {
    let wakeup = seat.wakeup.clone();
    let seat = Arc::new(seat);
    let limit = tokio::time::Instant::now() + Duration::from_millis(shared.limits.login_ms);
    let logging_in = async {
        let (stream, binding) = match socket {
            Socket::Unix(stream) => (Stream::Unix(stream), None),
            Socket::Tcp(stream) => timeout_at(limit, secure(&shared, stream))
                .await
                .unwrap_or_else(|_| Err(too_slow()))?,
        };
        let stranger = Stranger { shared: &shared, seat: &seat, address: &address, limit };
        stranger.log_in(stream, binding).await
    };
    // Who is still a stranger when all have to go gets no last word.
    let Ok(Ok(mut client)) = wakeup.unless_stopped(logging_in).await else { return };
    seat.logged_in(&client.user);
    let (number, user) = (seat.number(), &client.user);
    log::info!(target: AUDIT, "login of {user:?} from {address}, connection {number}");
    let Some(user) = shared.users.lock().get(&client.user).cloned() else {
        // Removed by a reload while the proof was looked at.
        let gone = Error::new(Code::Denied, "login refused");
        return leave(&mut client.stream, Vec::new(), Some(&gone)).await;
    };
    let mut machine = Chosen {
        shared: &shared,
        seat: seat.clone(),
        name: client.user.clone(),
        user,
        waker: Wakeup::waker(&wakeup),
        machine: None,
    };
    let (stream, inbox) = (&mut client.stream, &mut client.inbox);
    let why = drive(stream, inbox, &mut machine, &wakeup, client.rhythm, &seat.traffic).await;
    log::debug!("connection {} of {:?} at {address} ended: {why}", seat.number(), client.user);
}

fn too_slow() -> Error {
    Error::new(Code::Timeout, "the login took too long")
}

/// Shakes hands where the client speaks TLS, and refuses what is not allowed here.
async fn secure(shared: &Shared, stream: TcpStream) -> Result<(Stream, Binding)> {
    let lost = |error: io::Error| Error::new(Code::Unreachable, error.to_string());
    stream.set_nodelay(true).map_err(lost)?;
    let acceptor = shared.acceptor.lock().clone();
    let Some(acceptor) = acceptor else { return Ok((Stream::Tcp(stream), None)) };
    if shared.plain {
        let mut first = [0];
        let count = stream.peek(&mut first).await.map_err(lost)?;
        if count == 0 || first[0] != TLS_HANDSHAKE {
            return Ok((Stream::Tcp(stream), None));
        }
    }
    let (stream, binding) = acceptor.accept(stream).await?;
    Ok((Stream::Tls(Box::new(stream)), binding))
}

/// A client that is logged in.
struct Client {
    stream: Stream,
    inbox: Inbox,
    user: String,
    rhythm: Rhythm,
}

/// A connection whose user is not known yet.
struct Stranger<'a> {
    shared: &'a Shared,
    seat: &'a Seat,
    address: &'a str,
    limit: tokio::time::Instant,
}

impl Stranger<'_> {
    async fn log_in(&self, mut stream: Stream, binding: Binding) -> Result<Client> {
        let mut nonce = [0; 18];
        random(&mut nonce);
        let mut login = ServerLogin::new(nonce, binding, self.shared.heartbeat_ms);
        let mut inbox = Inbox::new(LOGIN_FRAME_BYTES_MAX);
        let mut out = Vec::new();
        let proven =
            timeout_at(self.limit, self.talk(&mut stream, &mut login, &mut inbox, &mut out));
        let proven = proven.await.unwrap_or_else(|_| Err(too_slow()));
        let greeted = login.has_greeted();
        let outcome = match proven {
            Ok(()) => self.examine(login, &mut out).await,
            Err(error) => Err(error),
        };
        let (user, welcome) = match outcome {
            Ok(done) => done,
            Err(error) => {
                // A stranger that is none of ours hears nothing at all.
                if greeted && error.code() != Code::Unreachable {
                    leave(&mut stream, out, Some(&error)).await;
                }
                return Err(error);
            }
        };
        let limit =
            tokio::time::Instant::now() + Duration::from_millis(self.shared.limits.login_ms);
        let sent = timeout_at(limit, send(&mut stream, &mut out));
        sent.await.unwrap_or_else(|_| Err(too_slow()))?;
        inbox.set_bytes_max(FRAME_BYTES_MAX);
        let Welcome { heartbeat_ms, frame_bytes_max, .. } = welcome;
        let rhythm = Rhythm::new(self.shared.heartbeat_ms, heartbeat_ms, frame_bytes_max);
        Ok(Client { stream, inbox, user, rhythm })
    }

    /// Talks until the proof is there.
    async fn talk(
        &self,
        stream: &mut Stream,
        login: &mut ServerLogin,
        inbox: &mut Inbox,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let users = self.shared.users.lock().clone();
        let verifier = |user: &str| users.verifier_of(user);
        while !login.turn(inbox, &verifier, out)? {
            if login.has_greeted() {
                self.seat.reached(Stage::Greeted);
            }
            send(stream, out).await?;
            let count = stream.read(inbox.room()).await.map_err(|error| lost(&error))?;
            if count == 0 {
                return Err(Error::new(Code::Unreachable, "the client hung up during the login"));
            }
            inbox.filled(count);
        }
        Ok(())
    }

    /// Looks at the proof, once its turn has come.
    async fn examine(&self, login: ServerLogin, out: &mut Vec<u8>) -> Result<(String, Welcome)> {
        let Shared { throttle, .. } = self.shared;
        let user = login.user().unwrap_or_default().to_string();
        loop {
            let wait = throttle.wait(&user, self.address, Instant::now());
            if wait.is_zero() {
                break;
            }
            self.seat.reached(Stage::Held);
            tokio::time::sleep(wait).await;
        }
        let outcome = login.finish(self.seat.number(), out);
        match &outcome {
            Ok(_) => throttle.succeeded(&user, self.address),
            Err(error) => {
                log::warn!(target: AUDIT, "login of {user:?} from {} refused: {error}", self.address);
                throttle.failed(&user, self.address, Instant::now());
                self.seat.login_failed();
            }
        }
        outcome
    }
}

async fn send(stream: &mut Stream, out: &mut Vec<u8>) -> Result<()> {
    stream.write_all(out).await.map_err(|error| lost(&error))?;
    stream.flush().await.map_err(|error| lost(&error))?;
    out.clear();
    Ok(())
}

fn lost(error: &io::Error) -> Error {
    Error::new(Code::Unreachable, format!("the connection was lost: {error}"))
}

/// The machine of a connection: the first frame says which.
struct Chosen<'a> {
    shared: &'a Arc<Shared>,
    seat: Arc<Seat>,
    name: String,
    user: Arc<User>,
    waker: Waker,
    machine: Option<(bool, Box<dyn Machine>)>,
}

impl Chosen<'_> {
    fn choose(&self, is_stream: bool) -> Box<dyn Machine> {
        let waker = self.waker.clone();
        if is_stream {
            self.seat.does("stream");
            let seat = self.seat.clone();
            return Box::new(Incoming::new(
                &self.shared.store,
                &self.name,
                &self.user,
                seat,
                waker,
            ));
        }
        self.seat.does("requests");
        let (shared, seat) = (self.shared.clone(), self.seat.clone());
        Box::new(Requests::new(shared, seat, &self.name, self.user.clone(), waker))
    }
}

impl Machine for Chosen<'_> {
    fn on_frame(&mut self, kind: u8, body: &[u8], now: Instant) -> Result<()> {
        let is_stream = match kind {
            kind::FIRST_OF_STREAM..=kind::LAST_OF_STREAM => true,
            kind::FIRST_OF_REQUESTS..=kind::LAST_OF_REQUESTS => false,
            _ => return Err(Error::new(Code::Protocol, format!("a frame of kind {kind} arrived"))),
        };
        if self.machine.is_none() {
            self.machine = Some((is_stream, self.choose(is_stream)));
        }
        match &mut self.machine {
            Some((chosen, machine)) if *chosen == is_stream => machine.on_frame(kind, body, now),
            _ => {
                let text =
                    format!("a frame of kind {kind} arrived on a connection for other things");
                Err(Error::new(Code::Protocol, text))
            }
        }
    }

    fn next_frame(&mut self, now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        self.machine.as_mut().map_or(Ok(None), |(_, machine)| machine.next_frame(now, body))
    }

    fn deadline(&self) -> Option<Instant> {
        self.machine.as_ref().and_then(|(_, machine)| machine.deadline())
    }
}
