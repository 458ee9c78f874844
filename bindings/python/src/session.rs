//! Sessions: one transaction after the other.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use repliq::{Code, Level, SessionOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::consumer::Consumer;
use crate::error::{Answer, Raised, own};
use crate::message::{self, Given, Item, Message, list, text_or_bytes};
use crate::port::Port;
use crate::queue::Queue;
use crate::store::Opened;
use crate::token::Result;
use crate::transaction::TransactionId;
use crate::wait::{caught, wait_at, without_gil};

const BUSY: &str = "another thread is in the session";
const PANICKED: &str = "an earlier call on the session panicked";

#[doc = stub!("Session")]
#[pyclass(frozen, module = "repliq")]
pub struct Session {
    of: Arc<Opened>,
    level: Option<Level>,
    seat: Mutex<Option<repliq::Session>>,
    /// A listener lent it to its handler, which may put and nothing else.
    lent: bool,
    /// A call panicked in the middle of something: it can be closed, and nothing else.
    panicked: AtomicBool,
}

impl Session {
    /// Opens one.
    pub fn open(
        py: Python<'_>,
        of: &Arc<Opened>,
        level: Option<Level>,
        options: &SessionOptions,
    ) -> Answer<Session> {
        let seat = Mutex::new(Some(without_gil(py, || of.store.session_with(options))?));
        Ok(Session { of: of.clone(), level, seat, lent: false, panicked: AtomicBool::new(false) })
    }

    /// A session that goes back with [`Session::give_back`].
    pub fn lend(of: &Arc<Opened>, session: repliq::Session) -> Session {
        let seat = Mutex::new(Some(session));
        Session { of: of.clone(), level: None, seat, lent: true, panicked: AtomicBool::new(false) }
    }

    /// Ends the loan.
    pub fn give_back(&self) -> Option<repliq::Session> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    #[inline]
    fn seat(&self) -> Answer<MutexGuard<'_, Option<repliq::Session>>> {
        match self.seat.try_lock() {
            Ok(_) if self.panicked.load(Ordering::Relaxed) => own(Code::Panic, PANICKED),
            Ok(seat) => Ok(seat),
            Err(TryLockError::WouldBlock) => own(Code::Busy, BUSY),
            Err(TryLockError::Poisoned(_)) => own(Code::Panic, PANICKED),
        }
    }

    /// What a call in the seat answers; nobody sits down behind a panic.
    #[inline]
    fn note<T>(&self, answer: Answer<T>) -> Answer<T> {
        if let Err(Raised::Own(Code::Panic, _)) = answer {
            self.panicked.store(true, Ordering::Relaxed);
        }
        answer
    }

    fn own_seat(&self) -> Answer<MutexGuard<'_, Option<repliq::Session>>> {
        self.check_own()?;
        self.seat()
    }

    fn check_own(&self) -> Answer<()> {
        if self.lent {
            let text = "the session is lent by a listener, which receives, commits and closes it";
            return own(Code::Busy, text);
        }
        Ok(())
    }
}

/// The session in the seat.
#[inline]
fn open(seat: &mut Option<repliq::Session>) -> Answer<&mut repliq::Session> {
    match seat {
        Some(session) => Ok(session),
        None => own(Code::Closed, "the session is closed"),
    }
}

#[pymethods]
impl Session {
    #[doc = stub!("Session.put")]
    #[pyo3(signature = (queue, payload, *, kind=0, key=None, headers=None, expires=None, deliver_at=None,
        priority=0, producer=None, producer_sequence=0))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn put(
        &self,
        queue: &Bound<'_, Queue>,
        payload: &Bound<'_, PyAny>,
        kind: u16,
        key: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        expires: Option<f64>,
        deliver_at: Option<f64>,
        priority: u8,
        producer: Option<&str>,
        producer_sequence: u64,
    ) -> Answer<()> {
        let given = Given {
            kind,
            key,
            headers,
            expires,
            deliver_at,
            priority,
            producer,
            producer_sequence,
        };
        self.of.owns(queue.get())?;
        let number = queue.get().queue;
        let mut seat = self.seat()?;
        let session = open(&mut seat)?;
        if self.of.remote {
            let item = Item::new(payload, &given)?;
            return self.note(message::with_one(&item, |message| {
                without_gil(queue.py(), || session.put(number, message))
            }));
        }
        self.note(message::put(session, number, payload, &given))
    }

    #[doc = stub!("Session.put_many")]
    fn put_many(&self, queue: &Bound<'_, Queue>, messages: &Bound<'_, PyAny>) -> Answer<()> {
        self.of.owns(queue.get())?;
        let number = queue.get().queue;
        let plain = if self.of.remote { None } else { message::payloads(messages) };
        let items = if plain.is_some() { Vec::new() } else { Item::all(messages)? };
        let mut seat = self.seat()?;
        let session = open(&mut seat)?;
        if let Some(payloads) = plain {
            let plain = payloads.iter().map(|one| repliq::Message::new(one.as_bytes()));
            return self.note(caught(|| session.put_each(number, plain)));
        }
        self.note(message::with(&items, |messages| match self.of.remote {
            true => without_gil(queue.py(), || session.put_many(number, messages)),
            false => caught(|| session.put_many(number, messages)),
        }))
    }

    #[doc = stub!("Session.receive")]
    #[pyo3(signature = (consumer, max=256, *, timeout=None))]
    fn receive(
        &self,
        py: Python<'_>,
        consumer: &Bound<'_, Consumer>,
        max: usize,
        timeout: Option<f64>,
    ) -> Answer<Vec<Message>> {
        let consumer = consumer.get().open()?;
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        let received = self.note(wait_at(py, self.of.remote, timeout, |slice| {
            let received = session.receive(&consumer, max, slice)?;
            Ok((!received.is_empty()).then_some(received))
        }))?;
        Ok(list(received.unwrap_or_default()))
    }

    #[doc = stub!("Session.id")]
    fn id(&self, py: Python<'_>) -> Answer<TransactionId> {
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        self.note(without_gil(py, || session.id())).map(TransactionId)
    }

    #[doc = stub!("Session.commit")]
    fn commit(&self, py: Python<'_>) -> Answer<Result> {
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        let commit = without_gil(py, || match self.level {
            None => session.commit(),
            Some(level) => session.commit_at(level),
        });
        self.note(commit).map(Result)
    }

    #[doc = stub!("Session.commit_async")]
    fn commit_async(&self, py: Python<'_>) -> Answer<Py<PyAny>> {
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        self.of
            .start(py, |port, tag| self.note(without_gil(py, || session.commit_start(port, tag))))
    }

    #[doc = stub!("Session.commit_start")]
    fn commit_start(&self, py: Python<'_>, port: &Bound<'_, Port>, tag: u64) -> Answer<()> {
        let mut seat = self.own_seat()?;
        let (session, port) = (open(&mut seat)?, &port.get().port);
        self.note(without_gil(py, || session.commit_start(port, tag)))
    }

    #[doc = stub!("Session.prepare")]
    #[pyo3(signature = (xid=None))]
    fn prepare(&self, py: Python<'_>, xid: Option<&Bound<'_, PyAny>>) -> Answer<TransactionId> {
        let xid = xid.map(text_or_bytes).transpose()?.unwrap_or_default();
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        self.note(without_gil(py, || session.prepare(&xid))).map(TransactionId)
    }

    #[doc = stub!("Session.rollback")]
    fn rollback(&self, py: Python<'_>) -> Answer<()> {
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        self.note(without_gil(py, || session.rollback()))
    }

    #[doc = stub!("Session.close")]
    fn close(&self, py: Python<'_>) -> Answer<()> {
        self.check_own()?;
        let session = match self.seat.try_lock() {
            Ok(mut seat) => seat.take(),
            Err(TryLockError::Poisoned(seat)) => seat.into_inner().take(),
            Err(TryLockError::WouldBlock) => return own(Code::Busy, BUSY),
        };
        without_gil(py, || {
            drop(session);
            Ok(())
        })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> Answer<()> {
        self.close(py)
    }
}
