//! Stores.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use repliq::{Code, ConsumerOptions, From, Hold, Password, Rules, SessionOptions, StoreOptions};
use std::path::PathBuf;
use std::sync::Arc;

use crate::connect;
use crate::consumer::Consumer;
use crate::error::{Answer, own};
use crate::message::text_or_bytes;
use crate::port::Port;
use crate::queue::Queue;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::token::{Result, level, tokens_of};
use crate::transaction::{Outcome, id_of};
use crate::wait::{milliseconds, wait_or_fail, without_gil};

/// An open store, as everything opened on it holds it.
pub struct Opened {
    pub store: repliq::Store,
    /// Whether its calls wait for a server.
    pub remote: bool,
    futures: PyOnceLock<Py<PyAny>>,
}

impl Opened {
    /// Refuses a queue of another store.
    #[inline]
    pub fn owns(self: &Arc<Self>, queue: &Queue) -> Answer<()> {
        if Arc::ptr_eq(self, &queue.of) {
            return Ok(());
        }
        own(Code::Invalid, "the queue belongs to another store")
    }

    /// Starts an operation that ends in a future of `concurrent.futures`.
    pub fn start(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&repliq::Port, u64) -> Answer<()>,
    ) -> Answer<Py<PyAny>> {
        let futures = self.futures.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
            Ok(py.import("repliq._futures")?.getattr("Futures")?.call0()?.unbind())
        })?;
        let futures = futures.bind(py);
        let begun = futures.call_method0("begin")?;
        let (future, port, tag): (Py<PyAny>, Bound<'_, Port>, u64) = begun.extract()?;
        match call(&port.get().port, tag) {
            Ok(()) => Ok(future),
            Err(error) => {
                futures.call_method1("forget", (tag,))?;
                Err(error)
            }
        }
    }
}

#[doc = stub!("Store")]
#[pyclass(frozen, module = "repliq", weakref)]
pub struct Store {
    pub of: Arc<Opened>,
}

#[doc = stub!("open")]
#[pyfunction]
#[pyo3(signature = (path, *, password=None, create=true, read_only=false, helper=true, level="power",
    horizon="power", segment_bytes=None, segment_bytes_max=None, keep=None, keep_bytes=None, quota_bytes=None, user=None,
    ca_file=None, server_name=None, plain=false, reconnect=true, heartbeat=5.0, connect_timeout=10.0,
    reconnect_max=30.0))]
#[expect(clippy::too_many_arguments, reason = "keywords in Python")]
pub fn open(
    py: Python<'_>,
    path: PathBuf,
    password: Option<&Bound<'_, PyAny>>,
    create: bool,
    read_only: bool,
    helper: bool,
    level: &str,
    horizon: &str,
    segment_bytes: Option<u64>,
    segment_bytes_max: Option<u64>,
    keep: Option<f64>,
    keep_bytes: Option<u64>,
    quota_bytes: Option<u64>,
    user: Option<String>,
    ca_file: Option<PathBuf>,
    server_name: Option<String>,
    plain: bool,
    reconnect: bool,
    heartbeat: f64,
    connect_timeout: f64,
    reconnect_max: f64,
) -> Answer<Store> {
    let chosen = StoreOptions::default();
    let password = password.map(text_or_bytes).transpose()?;
    let keep = keep.map(|keep| milliseconds(keep, "keep")).transpose()?;
    let options = StoreOptions {
        password: password.map(Password::from),
        create,
        read_only,
        helper,
        level: crate::token::level(Some(level))?.unwrap_or_default(),
        horizon: crate::token::level(Some(horizon))?.unwrap_or_default(),
        segment_bytes: segment_bytes.unwrap_or(chosen.segment_bytes),
        segment_bytes_max: segment_bytes_max.unwrap_or(chosen.segment_bytes_max),
        keep_ms: keep.unwrap_or(chosen.keep_ms),
        keep_bytes: keep_bytes.unwrap_or(chosen.keep_bytes),
        quota_bytes: quota_bytes.unwrap_or(chosen.quota_bytes),
        connect: connect::options(
            (user, None),
            (plain, ca_file, server_name),
            (heartbeat, connect_timeout, reconnect_max),
            reconnect,
        )?,
    };
    let store = without_gil(py, || repliq::Store::open(path, &options))?;
    let remote = store.is_remote();
    Ok(Store { of: Arc::new(Opened { store, remote, futures: PyOnceLock::new() }) })
}

#[pymethods]
impl Store {
    #[doc = stub!("Store.queue")]
    fn queue(&self, py: Python<'_>, name: &str) -> Answer<Queue> {
        let queue = without_gil(py, || self.of.store.queue(name))?;
        Ok(Queue { of: self.of.clone(), queue })
    }

    #[doc = stub!("Store.put")]
    #[pyo3(signature = (queue, payload, **fields), text_signature = "($self, queue, payload, *, kind=0, \
        key=None, headers=None, expires=None, deliver_at=None, priority=0, producer=None, \
        producer_sequence=0, level=None)")]
    fn put<'py>(
        &self,
        queue: &Bound<'py, Queue>,
        payload: &Bound<'py, PyAny>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> Answer<Bound<'py, PyAny>> {
        self.forward(queue, "put", payload, fields)
    }

    #[doc = stub!("Store.put_many")]
    #[pyo3(signature = (queue, messages, *, level=None))]
    fn put_many(
        &self,
        py: Python<'_>,
        queue: &Bound<'_, Queue>,
        messages: &Bound<'_, PyAny>,
        level: Option<&str>,
    ) -> Answer<Result> {
        self.of.owns(queue.get())?;
        queue.get().put_items(py, &crate::message::Item::all(messages)?, level)
    }

    #[doc = stub!("Store.put_async")]
    #[pyo3(signature = (queue, payload, **fields), text_signature = "($self, queue, payload, *, kind=0, \
        key=None, headers=None, expires=None, deliver_at=None, priority=0, producer=None, \
        producer_sequence=0)")]
    fn put_async<'py>(
        &self,
        queue: &Bound<'py, Queue>,
        payload: &Bound<'py, PyAny>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> Answer<Bound<'py, PyAny>> {
        self.forward(queue, "put_async", payload, fields)
    }

    #[doc = stub!("Store.is_remote")]
    #[getter]
    fn is_remote(&self) -> bool {
        self.of.remote
    }

    #[doc = stub!("Store.session")]
    #[pyo3(signature = (*, level=None, name="", takeover=false, idle=0.0, bytes_max=0))]
    fn session(
        &self,
        py: Python<'_>,
        level: Option<&str>,
        name: &str,
        takeover: bool,
        idle: f64,
        bytes_max: u64,
    ) -> Answer<Session> {
        let idle_ms = u32::try_from(milliseconds(idle, "idle")?);
        let options = SessionOptions {
            name: name.into(),
            takeover,
            bytes_max,
            idle_ms: idle_ms
                .or_else(|_| own(Code::Invalid, format!("idle is {idle}, too long")))?,
            ..SessionOptions::default()
        };
        Session::open(py, &self.of, crate::token::level(level)?, &options)
    }

    #[doc = stub!("Store.resolve")]
    fn resolve(&self, py: Python<'_>, id: &Bound<'_, PyAny>) -> Answer<Outcome> {
        let id = id_of(id)?;
        without_gil(py, || self.of.store.resolve(&id)).map(Outcome)
    }

    #[doc = stub!("Store.finish")]
    #[pyo3(signature = (id, *, commit))]
    fn finish(&self, py: Python<'_>, id: &Bound<'_, PyAny>, commit: bool) -> Answer<Result> {
        let id = id_of(id)?;
        without_gil(py, || self.of.store.finish(&id, commit)).map(Result)
    }

    #[doc = stub!("Store.prepared")]
    fn prepared<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyAny>> {
        json(py, &without_gil(py, || self.of.store.prepared_text())?)
    }

    #[doc = stub!("Store.consumer")]
    #[pyo3(signature = (name, queue, *, start=None, ack_level=None, shared=false, keyed=false, parallel=0,
        per_key=0, lease=0.0, retry_delay=0.0, retry_multiplier=0, retry_delay_max=0.0,
        max_deliveries=0, dead_letters=None, after_dead_letter="skip", conflate=false,
        key_versions=false))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn consumer(
        &self,
        py: Python<'_>,
        name: &str,
        queue: &Bound<'_, Queue>,
        start: Option<&Bound<'_, PyAny>>,
        ack_level: Option<&str>,
        shared: bool,
        keyed: bool,
        parallel: u32,
        per_key: u32,
        lease: f64,
        retry_delay: f64,
        retry_multiplier: u32,
        retry_delay_max: f64,
        max_deliveries: u32,
        dead_letters: Option<&Bound<'_, Queue>>,
        after_dead_letter: &str,
        conflate: bool,
        key_versions: bool,
    ) -> Answer<Consumer> {
        self.of.owns(queue.get())?;
        dead_letters.map_or(Ok(()), |dead| self.of.owns(dead.get()))?;
        let rules = Rules {
            shared,
            keyed,
            parallel,
            per_key,
            conflate,
            key_versions,
            lease_ms: milliseconds(lease, "lease")?,
            retry_delay_ms: milliseconds(retry_delay, "retry_delay")?,
            retry_multiplier,
            retry_delay_ms_max: milliseconds(retry_delay_max, "retry_delay_max")?,
            max_deliveries,
            dead_letters: dead_letters.map(|dead| dead.get().queue),
            after_dead_letter: hold(after_dead_letter)?,
        };
        let options = ConsumerOptions { from: from(start)?, ack_level: level(ack_level)?, rules };
        let queue = queue.get().queue;
        let consumer = without_gil(py, || self.of.store.consumer(name, queue, &options))?;
        Ok(Consumer::new(&self.of, consumer))
    }

    #[doc = stub!("Store.consumer_delete")]
    fn consumer_delete(
        &self,
        py: Python<'_>,
        name: &str,
        queue: &Bound<'_, Queue>,
    ) -> Answer<Result> {
        self.of.owns(queue.get())?;
        let queue = queue.get().queue;
        without_gil(py, || self.of.store.consumer_delete(name, queue)).map(Result)
    }

    #[doc = stub!("Store.snapshot")]
    fn snapshot(&self, py: Python<'_>) -> Answer<Snapshot> {
        without_gil(py, || Snapshot::open(&self.of))
    }

    #[doc = stub!("Store.wait")]
    #[pyo3(signature = (tokens, *, at="", timeout=None))]
    fn wait(
        &self,
        py: Python<'_>,
        tokens: &Bound<'_, PyAny>,
        at: &str,
        timeout: Option<f64>,
    ) -> Answer<()> {
        let tokens = tokens_of(tokens)?;
        wait_or_fail(py, self.of.remote, timeout, |slice| self.of.store.wait(at, &tokens, slice))
    }

    #[doc = stub!("Store.wait_async")]
    #[pyo3(signature = (tokens, *, at=""))]
    fn wait_async(&self, py: Python<'_>, tokens: &Bound<'_, PyAny>, at: &str) -> Answer<Py<PyAny>> {
        let tokens = tokens_of(tokens)?;
        self.of
            .start(py, |port, tag| without_gil(py, || self.of.store.watch(at, &tokens, port, tag)))
    }

    #[doc = stub!("Store.watch")]
    #[pyo3(signature = (tokens, port, tag, *, at=""))]
    fn watch(
        &self,
        py: Python<'_>,
        tokens: &Bound<'_, PyAny>,
        port: &Bound<'_, Port>,
        tag: u64,
        at: &str,
    ) -> Answer<()> {
        let (tokens, port) = (tokens_of(tokens)?, &port.get().port);
        without_gil(py, || self.of.store.watch(at, &tokens, port, tag))
    }

    #[doc = stub!("Store.status")]
    fn status<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyAny>> {
        json(py, &without_gil(py, || self.of.store.status())?)
    }

    #[doc = stub!("Store.backup")]
    fn backup<'py>(&self, py: Python<'py>, dest: PathBuf) -> Answer<Bound<'py, PyDict>> {
        copied(py, &without_gil(py, || self.of.store.backup(dest))?)
    }

    #[doc = stub!("Store.change_password")]
    fn change_password(&self, py: Python<'_>, password: &Bound<'_, PyAny>) -> Answer<()> {
        let password = Password::from(text_or_bytes(password)?);
        without_gil(py, || self.of.store.change_password(&password))
    }

    #[doc = stub!("Store.close")]
    fn close(&self, py: Python<'_>) -> Answer<()> {
        without_gil(py, || self.of.store.close())?;
        if let Some(futures) = self.of.futures.get(py) {
            futures.call_method0(py, "close")?;
        }
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> Answer<()> {
        self.close(py)
    }
}

impl Store {
    fn forward<'py>(
        &self,
        queue: &Bound<'py, Queue>,
        verb: &str,
        payload: &Bound<'py, PyAny>,
        fields: Option<&Bound<'py, PyDict>>,
    ) -> Answer<Bound<'py, PyAny>> {
        self.of.owns(queue.get())?;
        Ok(queue.call_method(verb, (payload,), fields)?)
    }
}

#[doc = stub!("restore")]
#[pyfunction]
#[pyo3(signature = (backup, path, *, password=None))]
pub fn restore<'py>(
    py: Python<'py>,
    backup: PathBuf,
    path: PathBuf,
    password: Option<&Bound<'py, PyAny>>,
) -> Answer<Bound<'py, PyDict>> {
    let password = password.map(text_or_bytes).transpose()?.map(Password::from);
    let options = StoreOptions { password, ..StoreOptions::default() };
    copied(py, &without_gil(py, || repliq::Store::restore(backup, path, &options))?)
}

/// What a backup or a restore copied.
fn copied<'py>(py: Python<'py>, info: &repliq::BackupInfo) -> Answer<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    made.set_item("epoch", info.epoch)?;
    made.set_item("sequence", info.sequence)?;
    made.set_item("files", info.files)?;
    made.set_item("files_copied", info.files_copied)?;
    made.set_item("bytes", info.bytes)?;
    made.set_item("bytes_copied", info.bytes_copied)?;
    Ok(made)
}

/// Where a new reader begins: `"oldest"`, `"now"` or a sequence.
pub fn from(start: Option<&Bound<'_, PyAny>>) -> Answer<From> {
    let Some(start) = start else { return Ok(From::Oldest) };
    if let Ok(sequence) = start.extract::<u64>() {
        return Ok(From::Sequence(sequence));
    }
    match start.extract::<String>().as_deref() {
        Ok("oldest") => Ok(From::Oldest),
        Ok("now") => Ok(From::Now),
        _ => own(Code::Invalid, format!("start is {start}, not 'oldest', 'now' or a sequence")),
    }
}

/// What the rest of a key does behind a dead letter.
fn hold(word: &str) -> Answer<Hold> {
    let found = Hold::ALL.into_iter().find(|hold| hold.word() == word);
    let text = || format!("after_dead_letter is {word:?}, not 'skip', 'block' or 'park'");
    found.map_or_else(|| own(Code::Invalid, text()), Ok)
}

/// The value of a JSON text.
pub fn json<'py>(py: Python<'py>, text: &str) -> Answer<Bound<'py, PyAny>> {
    Ok(py.import("json")?.call_method1("loads", (text,))?)
}
