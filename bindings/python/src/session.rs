//! Sessions: one transaction after the other.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use repliq::{Code, Level};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::consumer::Consumer;
use crate::error::{Answer, own};
use crate::message::{self, Given, Item, Message, list};
use crate::port::Port;
use crate::queue::Queue;
use crate::store::Opened;
use crate::token::Result;
use crate::wait::{wait, without_gil};

/// A session. One thread at a time; a second one is told so and does not wait.
#[pyclass(frozen, module = "repliq")]
pub struct Session {
    of: Arc<Opened>,
    level: Option<Level>,
    seat: Mutex<Option<repliq::Session>>,
    /// A listener lent it to its handler, which may put and nothing else.
    lent: bool,
}

impl Session {
    /// Opens one.
    pub fn open(py: Python<'_>, of: &Arc<Opened>, level: Option<Level>) -> Answer<Session> {
        let seat = Mutex::new(Some(without_gil(py, || of.store.session())?));
        Ok(Session { of: of.clone(), level, seat, lent: false })
    }

    /// A session that goes back with [`Session::give_back`].
    pub fn lend(of: &Arc<Opened>, session: repliq::Session) -> Session {
        Session { of: of.clone(), level: None, seat: Mutex::new(Some(session)), lent: true }
    }

    /// Ends the loan.
    pub fn give_back(&self) -> Option<repliq::Session> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    #[inline]
    fn seat(&self) -> Answer<MutexGuard<'_, Option<repliq::Session>>> {
        match self.seat.try_lock() {
            Ok(seat) => Ok(seat),
            Err(TryLockError::WouldBlock) => own(Code::Busy, "another thread is in the session"),
            Err(TryLockError::Poisoned(_)) => own(Code::Panic, "a call on the session panicked"),
        }
    }

    fn own_seat(&self) -> Answer<MutexGuard<'_, Option<repliq::Session>>> {
        if self.lent {
            let text = "the session is lent by a listener, which receives, commits and closes it";
            return own(Code::Busy, text);
        }
        self.seat()
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
        let queue = queue.get();
        self.of.owns(queue)?;
        message::put(open(&mut *self.seat()?)?, queue.queue, payload, &given)
    }

    fn put_many(&self, queue: &Bound<'_, Queue>, messages: &Bound<'_, PyAny>) -> Answer<()> {
        let queue = queue.get();
        self.of.owns(queue)?;
        let items = Item::all(messages)?;
        let mut seat = self.seat()?;
        let session = open(&mut seat)?;
        Ok(message::with(&items, |messages| session.put_many(queue.queue, messages))?)
    }

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
        let received = wait(py, timeout, |slice| {
            let received = session.receive(&consumer, max, slice)?;
            Ok((!received.is_empty()).then_some(received))
        })?;
        Ok(list(received.unwrap_or_default()))
    }

    fn commit(&self, py: Python<'_>) -> Answer<Result> {
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        let commit = without_gil(py, || match self.level {
            None => session.commit(),
            Some(level) => session.commit_at(level),
        })?;
        Ok(Result(commit))
    }

    fn commit_async(&self, py: Python<'_>) -> Answer<Py<PyAny>> {
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        self.of.start(py, |port, tag| without_gil(py, || session.commit_start(port, tag)))
    }

    fn commit_start(&self, py: Python<'_>, port: &Bound<'_, Port>, tag: u64) -> Answer<()> {
        let mut seat = self.own_seat()?;
        let (session, port) = (open(&mut seat)?, &port.get().port);
        without_gil(py, || session.commit_start(port, tag))
    }

    fn rollback(&self, py: Python<'_>) -> Answer<()> {
        let mut seat = self.own_seat()?;
        let session = open(&mut seat)?;
        without_gil(py, || session.rollback())
    }

    fn close(&self, py: Python<'_>) -> Answer<()> {
        let session = self.own_seat()?.take();
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
