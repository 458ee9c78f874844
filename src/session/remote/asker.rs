//! A connection for requests that comes back by itself.
//!
//! Calls block and may come from several threads at once; what must not block says what to call with the answer.
//! A request belongs to one *life* of the connection. When that ends before the answer, the request is lost: whether
//! it was done is for the caller to find out.
//!
//! Promises: who is called away from a wait is not told so before the server had a moment to say that it gave nothing; what
//! was opened for somebody who did not wait for the answer is closed.

use super::interrupt::Patience;
use super::store::{Reply, reply};
use crate::error::{Code, Error, Result};
use crate::limits::JOB_BYTES_MAX;
use crate::link::{ConnectOptions, Endpoint, Link, LinkState};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::{
    FRAME_BYTES_MAX, Machine, REQUESTS_MAX, Request, SessionAnswer, SessionRequest, Waker,
};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest time that is still added to a clock.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Bytes an answer in several frames may have: the largest transaction that is received as a whole.
const PARTS_BYTES_MAX: usize = JOB_BYTES_MAX + FRAME_BYTES_MAX;

/// How long a server may take to say that a wait gave nothing, once it was told that nobody waits any more.
const GRACE: Duration = Duration::from_millis(30);

/// A body that is encoded once its number is known.
pub type Encode<'a> = &'a dyn Fn(u32, &mut Vec<u8>) -> Result<u8>;
/// The same, for a request that waits for a connection.
pub type OwnEncode = Box<dyn Fn(u32, &mut Vec<u8>) -> Result<u8> + Send>;
/// Hears the answer, on the connection's thread.
pub type OnAnswer = Box<dyn FnOnce(std::result::Result<Raw, Lost>) + Send>;

/// An answer as it came: its kind and its body, the number included.
pub struct Raw {
    /// Its kind.
    pub kind: u8,
    /// Its body.
    pub body: Vec<u8>,
    /// Of an answer in several frames, the bodies of those before the last.
    pub parts: Vec<Vec<u8>>,
}

/// What has come of an answer in several frames.
#[derive(Default)]
struct Parts {
    bodies: Vec<Vec<u8>>,
    bytes: usize,
    /// When the last one came: who waits goes on while they come.
    came: Option<Instant>,
}

/// Why there is no answer.
pub enum Lost {
    /// It was never sent: it changed nothing.
    Unsent(Error),
    /// It may have been done.
    Open(Error),
}

impl Lost {
    /// The error, whatever became of the request.
    pub fn error(self) -> Error {
        match self {
            Lost::Unsent(error) | Lost::Open(error) => error,
        }
    }

    /// Whether whoever asked was called away.
    pub fn is_cancelled(&self) -> bool {
        let (Lost::Unsent(error) | Lost::Open(error)) = self;
        error.code() == Code::Cancelled
    }
}

/// What becomes of a request when nobody waits for its answer any more.
#[derive(Clone, Copy)]
pub enum Manner {
    /// The answer is dropped when it comes.
    Plain,
    /// It waits at the server, which is told that its time is over. Where that gives nothing in a moment, it is as if it
    /// had not been asked.
    Waits,
    /// It opens something; what closes it again is asked when the answer comes.
    Opens(Close),
}

/// What closes again what an answer says was opened.
pub type Close = fn(&Raw) -> Option<SessionRequest<'static>>;

/// A connection to a server for requests.
pub struct Asker {
    link: Link,
    shared: Arc<Shared>,
    endpoint: Endpoint,
    patience: Duration,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    link: Option<LinkState>,
    waker: Option<Waker>,
    /// How often there was a connection.
    life: u64,
    next: u32,
    unsent: VecDeque<(u32, u8, Vec<u8>)>,
    asked: HashMap<u32, Asked>,
    parts: HashMap<u32, Parts>,
    later: Vec<Later>,
}

/// A request for the next life of the connection.
struct Later {
    encode: OwnEncode,
    on_answer: OnAnswer,
    until: Instant,
}

/// A request under way.
enum Asked {
    Open,
    Call(OnAnswer),
    /// Nobody waits, and what it opens is closed.
    Late(Close),
    Answered(std::result::Result<Raw, Lost>),
}

impl Asker {
    /// Connects and logs in; fails with what the first try failed with.
    pub fn connect(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Asker> {
        let shared = Arc::new(Shared::default());
        let (of_machine, of_state) = (shared.clone(), shared.clone());
        let link = Link::connect(
            endpoint.clone(),
            options.clone(),
            Box::new(move |waker| {
                of_machine.state.lock().begin_life(waker);
                of_machine.changed.notify_all();
                Box::new(Asking { shared: of_machine.clone() })
            }),
            Arc::new(move |state| of_state.on_state(state)),
        )?;
        let patience = Duration::from_millis(options.connect_timeout_ms);
        let asker = Asker { link, shared, endpoint: endpoint.clone(), patience };
        asker.life(Instant::now() + patience)?;
        Ok(asker)
    }

    /// Where the server is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// When a call that begins now is over.
    pub fn until(&self, extra: Duration) -> Instant {
        let now = Instant::now();
        now.checked_add(self.patience.saturating_add(extra)).unwrap_or_else(|| now + FOR_EVER)
    }

    /// Leaves the server. Calls under way and later ones fail.
    pub fn close(&self) {
        self.link.close();
    }

    /// Fails in a forked child, where the connection's thread is not.
    pub fn check(&self) -> Result<()> {
        self.link.check()?;
        match &self.shared.state.lock().link {
            Some(LinkState::Closed) => Err(closed()),
            _ => Ok(()),
        }
    }

    /// Waits until there is a connection, and tells which.
    pub fn life(&self, until: Instant) -> Result<u64> {
        self.link.check()?;
        let mut patience = Patience::new();
        let mut state = self.shared.state.lock();
        loop {
            match &state.link {
                Some(LinkState::Connected) if state.waker.is_some() => return Ok(state.life),
                Some(LinkState::Failed(error)) if state.life == 0 => return Err(error.clone()),
                Some(LinkState::Failed(error)) if is_final(error) => return Err(error.clone()),
                Some(LinkState::Closed) => return Err(closed()),
                _ => {}
            }
            if !patience.wait(until, &self.shared.changed, &mut state)? {
                let what = format!("no connection to {} in the time given", self.endpoint);
                return Err(match &state.link {
                    Some(LinkState::Failed(error)) => Error::because(error.code(), what, error),
                    _ => Error::new(Code::Timeout, what),
                });
            }
        }
    }

    /// Why there is no connection, where the last try failed.
    pub fn failed(&self) -> Option<Error> {
        match &self.shared.state.lock().link {
            Some(LinkState::Failed(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// The life that goes on now; 0 without a connection.
    pub fn current_life(&self) -> u64 {
        let state = self.shared.state.lock();
        if state.waker.is_some() { state.life } else { 0 }
    }

    /// Asks and waits for the answer until `until`. With a life it is asked in that one only.
    pub fn ask(
        &self,
        life: Option<u64>,
        encode: Encode<'_>,
        until: Instant,
    ) -> std::result::Result<Raw, Lost> {
        self.ask_so(Manner::Plain, life, encode, until)
    }

    /// The same for a request that cannot just be left.
    pub fn ask_so(
        &self,
        manner: Manner,
        life: Option<u64>,
        encode: Encode<'_>,
        until: Instant,
    ) -> std::result::Result<Raw, Lost> {
        if life.is_none() {
            self.life(until).map_err(Lost::Unsent)?;
        }
        let mut patience = Patience::new();
        let sent = self.send(life, encode, Asked::Open);
        let (number, mut state) = sent.map_err(|(lost, _)| lost)?;
        loop {
            match state.asked.remove(&number) {
                Some(Asked::Answered(outcome)) => return outcome,
                Some(asked) => state.asked.insert(number, asked),
                None => return Err(Lost::Open(closed())),
            };
            let until = state.until(number, until, self.patience);
            let over = match patience.wait(until, &self.shared.changed, &mut state) {
                Ok(true) => None,
                // A part of the answer that came meanwhile is a reason to go on.
                Ok(false) if state.until(number, until, self.patience) > until => None,
                Ok(false) => {
                    let text = format!("{} did not answer in the time given", self.endpoint);
                    Some(Error::new(Code::Timeout, text))
                }
                // Also where the answer came meanwhile: whoever was called away does not see it.
                Err(away) => Some(away),
            };
            if let Some(over) = over {
                return Err(self.give_up(&mut state, number, manner, over));
            }
        }
    }

    /// Waits no longer for an answer.
    fn give_up(
        &self,
        state: &mut MutexGuard<'_, State>,
        number: u32,
        manner: Manner,
        over: Error,
    ) -> Lost {
        let before = state.unsent.len();
        state.unsent.retain(|(other, ..)| *other != number);
        let unsent = state.unsent.len() < before;
        let away = over.code() == Code::Cancelled;
        let nothing = match manner {
            Manner::Waits if away && !unsent => self.gave_nothing(state, number),
            _ => false,
        };
        state.asked.remove(&number);
        state.parts.remove(&number);
        if unsent || nothing {
            return Lost::Unsent(over);
        }
        if let Manner::Opens(close) = manner {
            state.asked.insert(number, Asked::Late(close));
        }
        Lost::Open(over)
    }

    /// Tells the server that nobody waits any more; whether it says in a moment that it gave nothing.
    fn gave_nothing(&self, state: &mut MutexGuard<'_, State>, number: u32) -> bool {
        let until = Instant::now() + GRACE;
        state.hurry(number);
        if let Some(waker) = state.waker.clone() {
            MutexGuard::unlocked(state, || waker());
        }
        loop {
            match state.asked.get(&number) {
                Some(Asked::Answered(Ok(raw))) => return is_nothing(raw),
                Some(Asked::Open) => {}
                _ => return false,
            }
            if Instant::now() >= until {
                return false;
            }
            self.shared.changed.wait_until(state, until);
        }
    }

    /// Tells the server that the request of this number, asked in this life, waits no longer.
    pub fn hurry(&self, life: u64, number: u32) {
        let mut state = self.shared.state.lock();
        if life != state.life || !state.asked.contains_key(&number) {
            return;
        }
        state.hurry(number);
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker();
        }
    }

    /// Asks in this life; `on_answer` is called with the answer, or with why there is none, unless this fails.
    pub fn start(
        &self,
        life: u64,
        encode: Encode<'_>,
        on_answer: OnAnswer,
    ) -> std::result::Result<(), Lost> {
        let begun = self.send(Some(life), encode, Asked::Call(on_answer));
        begun.map(|_| ()).map_err(|(lost, _)| lost)
    }

    /// The same, for who is told by `on_answer` also when it cannot be asked; the number of the request, where it was.
    pub fn begin(&self, life: u64, encode: Encode<'_>, on_answer: OnAnswer) -> Option<u32> {
        let begun = self.send(Some(life), encode, Asked::Call(on_answer));
        match begun.map(|(number, _)| number) {
            Ok(number) => Some(number),
            Err((lost, Asked::Call(call))) => {
                call(Err(lost));
                None
            }
            Err(_) => None,
        }
    }

    /// Asks as the first of all in the next life, or now where there is a connection; `on_answer` is called in any case,
    /// also when there is no connection until then.
    pub fn start_later(&self, encode: OwnEncode, on_answer: OnAnswer, until: Instant) {
        let mut state = self.shared.state.lock();
        if matches!(state.link, Some(LinkState::Closed)) {
            drop(state);
            on_answer(Err(Lost::Unsent(closed())));
            return;
        }
        let Some(waker) = state.waker.clone() else {
            state.later.push(Later { encode, on_answer, until });
            return;
        };
        // A request of some bytes always encodes.
        let _ = state.push(&encode, Asked::Call(on_answer));
        drop(state);
        waker();
    }

    fn send(
        &self,
        life: Option<u64>,
        encode: Encode<'_>,
        asked: Asked,
    ) -> std::result::Result<(u32, MutexGuard<'_, State>), (Lost, Asked)> {
        if let Err(error) = self.link.check() {
            return Err((Lost::Unsent(error), asked));
        }
        let mut state = self.shared.state.lock();
        if state.waker.is_none() || life.is_some_and(|life| life != state.life) {
            let why = match &state.link {
                Some(LinkState::Failed(error)) => error.clone(),
                Some(LinkState::Closed) => closed(),
                _ => Error::new(Code::Unreachable, "the connection to the server was lost"),
            };
            return Err((Lost::Unsent(why), asked));
        }
        if state.asked.len() >= REQUESTS_MAX {
            let text = format!("{REQUESTS_MAX} requests are under way already");
            return Err((Lost::Unsent(Error::new(Code::Quota, text)), asked));
        }
        let pushed = state.push(encode, asked);
        let number = pushed.map_err(|(error, asked)| (Lost::Unsent(error), asked))?;
        if let Some(waker) = state.waker.clone() {
            MutexGuard::unlocked(&mut state, || waker());
        }
        Ok((number, state))
    }
}

/// Whether an answer took nothing out of a queue.
fn is_nothing(raw: &Raw) -> bool {
    raw.parts.is_empty()
        && !matches!(reply(raw), Ok(Reply::Messages(messages)) if !messages.is_empty())
}

/// Whether trying again is of no use.
fn is_final(error: &Error) -> bool {
    matches!(error.code(), Code::Denied | Code::Certificate | Code::Forked | Code::Panic)
}

fn closed() -> Error {
    Error::new(Code::Closed, "the connection to the server was closed")
}

impl State {
    /// When a wait for an answer is over: not while parts of it come.
    fn until(&self, number: u32, until: Instant, patience: Duration) -> Instant {
        let came = self.parts.get(&number).and_then(|parts| parts.came);
        came.map_or(until, |came| until.max(came + patience))
    }

    /// Sends what waited for this life, before everything else.
    fn begin_life(&mut self, waker: Waker) {
        self.waker = Some(waker);
        self.life += 1;
        for Later { encode, on_answer, .. } in std::mem::take(&mut self.later) {
            // A request of some bytes always encodes.
            let _ = self.push(&encode, Asked::Call(on_answer));
        }
    }

    /// Puts a request among the unsent, and gives its number.
    fn push(
        &mut self,
        encode: Encode<'_>,
        asked: Asked,
    ) -> std::result::Result<u32, (Error, Asked)> {
        let number = self.next;
        let mut body = Vec::new();
        let encoded = encode(number, &mut body).and_then(|kind| match body.len() {
            0..=FRAME_BYTES_MAX => Ok(kind),
            bytes => {
                let text = format!("a request of {bytes} bytes is above the bound of a frame");
                Err(Error::new(Code::TooLarge, text))
            }
        });
        let kind = match encoded {
            Ok(kind) => kind,
            Err(error) => return Err((error, asked)),
        };
        self.next = number.wrapping_add(1);
        self.unsent.push_back((number, kind, body));
        self.asked.insert(number, asked);
        Ok(number)
    }

    /// Puts among the unsent that a request waits no longer.
    fn hurry(&mut self, of: u32) {
        let number = self.next;
        let mut body = Vec::new();
        // Eight bytes always encode. It is not answered, so nobody is put down for it.
        if let Ok(kind) = Request::Hurry(of).encode(number, &mut body) {
            self.next = number.wrapping_add(1);
            self.unsent.push_back((number, kind, body));
        }
    }

    /// Keeps a part of an answer that somebody waits for.
    fn keep_part(&mut self, number: u32, body: &[u8], now: Instant) -> Result<()> {
        if !self.asked.contains_key(&number) {
            return Ok(());
        }
        let parts = self.parts.entry(number).or_default();
        parts.bytes += body.len();
        if parts.bytes > PARTS_BYTES_MAX {
            let text = format!("an answer of more than {PARTS_BYTES_MAX} bytes arrived");
            return Err(Error::new(Code::Protocol, text));
        }
        parts.bodies.push(body.to_vec());
        parts.came = Some(now);
        Ok(())
    }
}

impl Shared {
    fn on_state(&self, link: &LinkState) {
        let mut calls = Vec::new();
        let mut state = self.state.lock();
        if let Some(why) = match link {
            LinkState::Failed(error) => Some(error.clone()),
            LinkState::Closed => Some(closed()),
            _ => None,
        } {
            state.waker = None;
            state.parts.clear();
            let unsent: Vec<u32> = state.unsent.drain(..).map(|(number, ..)| number).collect();
            let lost = |number: u32| match unsent.contains(&number) {
                true => Lost::Unsent(why.clone()),
                false => Lost::Open(why.clone()),
            };
            let (now, closed) = (Instant::now(), matches!(link, LinkState::Closed));
            let over = |later: &mut Later| closed || later.until <= now;
            for Later { on_answer, .. } in state.later.extract_if(.., over) {
                calls.push((on_answer, Lost::Unsent(why.clone())));
            }
            let open: Vec<u32> = state.asked.keys().copied().collect();
            for number in open {
                match state.asked.remove(&number) {
                    Some(Asked::Call(call)) => calls.push((call, lost(number))),
                    Some(Asked::Open) => {
                        state.asked.insert(number, Asked::Answered(Err(lost(number))));
                    }
                    Some(answered @ Asked::Answered(_)) => {
                        state.asked.insert(number, answered);
                    }
                    // The connection closed what was opened in it.
                    Some(Asked::Late(_)) | None => {}
                }
            }
        }
        // A failure stays to be seen until the next try succeeds.
        if !matches!(link, LinkState::Connecting) || state.link.is_none() {
            state.link = Some(link.clone());
        }
        drop(state);
        calls.into_iter().for_each(|(call, lost)| call(Err(lost)));
        self.changed.notify_all();
    }
}

/// The machine at the client's end.
struct Asking {
    shared: Arc<Shared>,
}

impl Machine for Asking {
    fn on_frame(&mut self, kind: u8, body: &[u8], now: Instant) -> Result<()> {
        let Some(number) = body.first_chunk().copied().map(u32::from_le_bytes) else {
            return Err(Error::new(Code::Protocol, "an answer arrived without its number"));
        };
        let mut state = self.shared.state.lock();
        if SessionAnswer::is_part(kind) {
            return state.keep_part(number, body, now);
        }
        let parts = state.parts.remove(&number).unwrap_or_default().bodies;
        let raw = Raw { kind, body: body.to_vec(), parts };
        match state.asked.remove(&number) {
            // Nobody waits for it any more.
            None => {}
            Some(Asked::Call(call)) => {
                drop(state);
                call(Ok(raw));
            }
            Some(Asked::Late(close)) => {
                if let Some(request) = close(&raw) {
                    let encode = |number: u32, out: &mut Vec<u8>| request.encode(number, out);
                    // It is asked for behind this frame; a request of some bytes always encodes.
                    let _ = state.push(&encode, Asked::Call(Box::new(|_| {})));
                }
            }
            Some(_) => {
                state.asked.insert(number, Asked::Answered(Ok(raw)));
                drop(state);
                self.shared.changed.notify_all();
            }
        }
        Ok(())
    }

    fn next_frame(&mut self, _now: Instant, body: &mut Vec<u8>) -> Result<Option<u8>> {
        let Some((_, kind, asked)) = self.shared.state.lock().unsent.pop_front() else {
            return Ok(None);
        };
        *body = asked;
        Ok(Some(kind))
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
