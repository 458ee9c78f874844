//! One connection and its machine: buffers, heartbeats, and the end.
//!
//! Everything happens in one task that reads what is there, lets the machine answer, gathers frames up to a
//! bound, and writes them with one call. The machine is not asked for more while the socket is behind, so
//! memory stays bounded and a frame that matters never waits behind more than one bounded buffer.
//!
//! A side that sent nothing for its heartbeat sends one. A side that saw neither a whole frame nor 4 KiB of
//! one during three heartbeats of the other takes it for dead: a byte now and then is no sign of life.

use super::stream::Stream;
use super::tls;
use super::wakeup::Wakeup;
use crate::error::{Code, Error, Result};
use crate::sync::{AtomicU64, Ordering};
use crate::wire::{Fault, Inbox, Machine, kind, put_frame};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

/// Bytes waiting for the socket above which the machine is not asked for more.
const OUT_BYTES_MAX: usize = 256 << 10;
/// A buffer that grew beyond this for one large frame is given back.
const OUT_BYTES_KEPT: usize = 1 << 20;
/// Part of a frame that counts as a sign of life.
const ALIVE_BYTES: usize = 4 << 10;
/// Rounds in a row before other connections get their turn.
const ROUNDS_MAX: usize = 16;
/// How long a socket that takes nothing may hold its connection.
const STALLED: Duration = Duration::from_secs(30);
/// How long the last words may take.
const LEAVING: Duration = Duration::from_secs(1);

/// The signs of life two sides agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    own: Duration,
    dead: Duration,
    frame_bytes_max: usize,
}

impl Rhythm {
    /// Own and other side's heartbeat in milliseconds, and the longest body the other side takes.
    pub fn new(own_ms: u32, peer_ms: u32, frame_bytes_max: usize) -> Rhythm {
        let ms = |count: u32| Duration::from_millis(u64::from(count));
        Rhythm { own: ms(own_ms), dead: ms(peer_ms) * 3, frame_bytes_max }
    }
}

/// What went over a connection so far.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes that arrived, inside TLS where there is some.
    pub bytes_in: AtomicU64,
    /// Bytes that were sent.
    pub bytes_out: AtomicU64,
}

struct Driver<'a> {
    stream: &'a mut Stream,
    inbox: &'a mut Inbox,
    machine: &'a mut dyn Machine,
    wakeup: &'a Wakeup,
    traffic: &'a Traffic,
    rhythm: Rhythm,
    out: Vec<u8>,
    sent: usize,
    body: Vec<u8>,
    heard: Instant,
    heard_bytes: usize,
    spoke: Instant,
    flushed: bool,
}

/// Drives the machine until the connection ends, and says why: CLOSED when one side left in peace, the other
/// side's error when it sent one, the machine's own, or what became of the network. The other side was told.
pub async fn drive(
    stream: &mut Stream,
    inbox: &mut Inbox,
    machine: &mut dyn Machine,
    wakeup: &Wakeup,
    rhythm: Rhythm,
    traffic: &Traffic,
) -> Error {
    let now = Instant::now();
    let mut driver = Driver {
        stream,
        inbox,
        machine,
        wakeup,
        traffic,
        rhythm,
        out: Vec::new(),
        sent: 0,
        body: Vec::new(),
        heard: now,
        heard_bytes: 0,
        spoke: now,
        flushed: true,
    };
    let mut timer = pin!(tokio::time::sleep(rhythm.own));
    let why = poll_fn(|context| driver.poll(context, timer.as_mut())).await;
    let rest = driver.out.split_off(driver.sent);
    match &why {
        // It is the other side that left, or it is gone: nobody is there to be told.
        End::Theirs(_) => {}
        End::Ours(error) => leave(stream, rest, Some(error)).await,
    }
    match why {
        End::Theirs(error) | End::Ours(error) => error,
    }
}

/// Says why this side leaves, and waits a moment until the other one has heard it.
pub async fn leave(stream: &mut Stream, mut out: Vec<u8>, why: Option<&Error>) {
    let framed = match why {
        None => Ok(()),
        Some(error) if error.code() == Code::Closed => put_frame(&mut out, kind::CLOSE, &[]),
        Some(error) => {
            let mut body = Vec::new();
            Fault::encode(error, &mut body);
            put_frame(&mut out, kind::ERROR, &body)
        }
    };
    let talk = async {
        if framed.is_err() || stream.write_all(&out).await.is_err() || stream.flush().await.is_err()
        {
            return;
        }
        if stream.shutdown().await.is_err() {
            return;
        }
        // A socket closed with bytes unread resets the connection, and what was just said is lost.
        let mut waste = [0; 4096];
        while let Ok(1..) = tokio::io::AsyncReadExt::read(stream, &mut waste).await {}
    };
    // Whoever does not listen by then will not.
    let _ = tokio::time::timeout(LEAVING, talk).await;
}

enum End {
    Ours(Error),
    Theirs(Error),
}

type Step<T> = std::result::Result<T, End>;

impl Driver<'_> {
    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        for _ in 0..ROUNDS_MAX {
            if let Some(why) = self.wakeup.look(context) {
                return Poll::Ready(End::Ours(why));
            }
            let now = Instant::now();
            let progress = match self.round(context, now) {
                Ok(progress) => progress,
                Err(end) => return Poll::Ready(end),
            };
            if progress {
                continue;
            }
            if let Err(error) = self.check_life(now) {
                return Poll::Ready(End::Theirs(error));
            }
            let due = tokio::time::Instant::from_std(self.due(now));
            // A timer that fires early costs less than one that is set anew for each frame.
            if timer.is_elapsed() || due < timer.deadline() {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(context));
        }
        // More is to be done, and others wait, too.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads, answers, gathers and writes once; whether anything moved.
    fn round(&mut self, context: &mut Context<'_>, now: Instant) -> Step<bool> {
        let mut progress = self.read(context, now)?;
        self.gather(now).map_err(End::Ours)?;
        progress |= self.write(context, now).map_err(End::Theirs)?;
        Ok(progress)
    }

    fn read(&mut self, context: &mut Context<'_>, now: Instant) -> Step<bool> {
        let mut room = ReadBuf::new(self.inbox.room());
        let count = match Pin::new(&mut *self.stream).poll_read(context, &mut room) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => return Err(End::Theirs(tls::failed(&error))),
            Poll::Ready(Ok(())) => room.filled().len(),
        };
        if count == 0 {
            let text = "the other side hung up without a word";
            return Err(End::Theirs(Error::new(Code::Unreachable, text)));
        }
        self.inbox.filled(count);
        self.traffic.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
        self.heard_bytes += count;
        while let Some(frame) = self.inbox.next_frame().map_err(End::Ours)? {
            self.heard_bytes = ALIVE_BYTES;
            match frame.kind {
                // This version knows every frame it must not ignore.
                _ if frame.may_ignore => {}
                kind::HEARTBEAT => {}
                kind::CLOSE => {
                    let error = Error::new(Code::Closed, "the other side left");
                    return Err(End::Theirs(error));
                }
                kind::ERROR => {
                    return Err(End::Theirs(Fault::decode(frame.body).unwrap_or_else(|bad| bad)));
                }
                ..=kind::LAST_OF_CONNECTION => {
                    let text = format!("a frame of kind {} arrived after the login", frame.kind);
                    return Err(End::Ours(Error::new(Code::Protocol, text)));
                }
                _ => self.machine.on_frame(frame.kind, frame.body, now).map_err(End::Ours)?,
            }
        }
        if self.heard_bytes >= ALIVE_BYTES {
            (self.heard, self.heard_bytes) = (now, 0);
        }
        Ok(true)
    }

    fn gather(&mut self, now: Instant) -> Result<()> {
        let was_empty = self.sent == self.out.len();
        while self.out.len() - self.sent < OUT_BYTES_MAX {
            self.body.clear();
            let Some(kind) = self.machine.next_frame(now, &mut self.body)? else { break };
            if self.body.len() > self.rhythm.frame_bytes_max {
                let (length, bound) = (self.body.len(), self.rhythm.frame_bytes_max);
                let text = format!("a frame of {length} bytes is above the other side's {bound}");
                return Err(Error::new(Code::TooLarge, text));
            }
            put_frame(&mut self.out, kind, &self.body)?;
        }
        if self.sent == self.out.len() && now.duration_since(self.spoke) >= self.rhythm.own {
            put_frame(&mut self.out, kind::HEARTBEAT, &[])?;
        }
        if was_empty && self.sent < self.out.len() {
            // From here on a socket that takes nothing is stalled.
            self.spoke = now;
        }
        if self.body.capacity() > OUT_BYTES_KEPT {
            self.body = Vec::new();
        }
        Ok(())
    }

    fn write(&mut self, context: &mut Context<'_>, now: Instant) -> Result<bool> {
        let mut progress = false;
        while self.sent < self.out.len() {
            let written = Pin::new(&mut *self.stream).poll_write(context, &self.out[self.sent..]);
            match written {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    self.traffic.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
                    (self.spoke, self.flushed, progress) = (now, false, true);
                }
                Poll::Ready(Err(error)) => return Err(tls::failed(&error)),
            }
        }
        if self.sent == self.out.len() {
            (self.sent, self.out) = (0, std::mem::take(&mut self.out));
            self.out.clear();
            if self.out.capacity() > OUT_BYTES_KEPT {
                self.out = Vec::new();
            }
        } else if self.sent > OUT_BYTES_MAX {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        if !self.flushed {
            match Pin::new(&mut *self.stream).poll_flush(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.flushed = true,
                Poll::Ready(Err(error)) => return Err(tls::failed(&error)),
            }
        }
        Ok(progress)
    }

    fn is_stuck(&self) -> bool {
        self.sent < self.out.len() || !self.flushed
    }

    fn check_life(&self, now: Instant) -> Result<()> {
        let (silence, stalled) = (now.duration_since(self.heard), now.duration_since(self.spoke));
        if silence >= self.rhythm.dead {
            let text =
                format!("the other side gave no sign of life for {} ms", silence.as_millis());
            return Err(Error::new(Code::Unreachable, text));
        }
        if self.is_stuck() && stalled >= STALLED {
            let text = format!("the other side took nothing for {} s", stalled.as_secs());
            return Err(Error::new(Code::Unreachable, text));
        }
        Ok(())
    }

    /// When to look again at the latest.
    fn due(&self, now: Instant) -> Instant {
        let dead = self.heard + self.rhythm.dead;
        let own = self.spoke + if self.is_stuck() { STALLED } else { self.rhythm.own };
        let machine = self.machine.deadline().unwrap_or(dead);
        // What is due already was looked at in this round; a machine that insists is asked again soon.
        dead.min(own).min(machine).max(now + Duration::from_millis(1))
    }
}
