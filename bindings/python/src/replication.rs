//! Replications: a root queue with its targets.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use repliq::{Code, Commit, ReplicationOptions, Select, TargetOptions};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::connect;
use crate::error::{Answer, own};
use crate::message::{self, Given, Item, text_or_bytes};
use crate::queue::Queue;
use crate::store::{Opened, from, json};
use crate::token::{Result, Token};
use crate::wait::{wait_or_fail, without_gil};

#[doc = stub!("Replication")]
#[pyclass(frozen, module = "repliq")]
pub struct Replication {
    of: Arc<Opened>,
    replication: repliq::Replication,
    last: Mutex<Option<Commit>>,
}

impl Replication {
    fn keep(&self, commit: Commit) -> Result {
        if !commit.token.is_empty() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(commit);
        }
        Result(commit)
    }

    fn send_items(&self, py: Python<'_>, items: &[Item<'_>]) -> Answer<Result> {
        let commit = message::with(items, |messages| {
            without_gil(py, || self.replication.send_many(messages))
        })?;
        Ok(self.keep(commit))
    }
}

#[pymethods]
impl Replication {
    #[new]
    #[pyo3(signature = (root, *, level=None))]
    fn new(py: Python<'_>, root: &Bound<'_, Queue>, level: Option<&str>) -> Answer<Replication> {
        let options = ReplicationOptions { level: crate::token::level(level)? };
        let (of, queue) = (root.get().of.clone(), root.get().queue);
        let replication =
            without_gil(py, || repliq::Replication::open(&of.store, queue, &options))?;
        Ok(Replication { of, replication, last: Mutex::new(None) })
    }

    #[doc = stub!("Replication.add")]
    #[pyo3(signature = (name, url, *, password=None, plain=false, user=None, queue=None, ca_file=None,
        server_name=None, kinds=None, key_prefix=None, header_name=None, header_value=None, start=None,
        heartbeat=5.0, connect_timeout=10.0, reconnect_max=30.0, reconnect=true))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn add(
        &self,
        py: Python<'_>,
        name: &str,
        url: &str,
        password: Option<&Bound<'_, PyAny>>,
        plain: bool,
        user: Option<String>,
        queue: Option<String>,
        ca_file: Option<PathBuf>,
        server_name: Option<String>,
        kinds: Option<Vec<u16>>,
        key_prefix: Option<&Bound<'_, PyAny>>,
        header_name: Option<String>,
        header_value: Option<String>,
        start: Option<&Bound<'_, PyAny>>,
        heartbeat: f64,
        connect_timeout: f64,
        reconnect_max: f64,
        reconnect: bool,
    ) -> Answer<()> {
        if header_name.is_none() && header_value.is_some() {
            return own(Code::Invalid, "header_value has no header_name");
        }
        let trusts = (plain, ca_file, server_name);
        let times = (heartbeat, connect_timeout, reconnect_max);
        let connect = connect::options((user, password), trusts, times, reconnect)?;
        let select = Select {
            kinds: kinds.unwrap_or_default(),
            key_prefix: key_prefix.map(text_or_bytes).transpose()?,
            header: header_name.map(|name| (name, header_value)),
        };
        let options = TargetOptions { connect, queue, select, from: from(start)? };
        without_gil(py, || self.replication.add(name, url, &options))
    }

    #[doc = stub!("Replication.remove")]
    fn remove(&self, py: Python<'_>, name: &str) -> Answer<()> {
        without_gil(py, || self.replication.remove(name))
    }

    #[doc = stub!("Replication.skip")]
    fn skip(&self, py: Python<'_>, name: &str) -> Answer<()> {
        without_gil(py, || self.replication.skip(name))
    }

    #[doc = stub!("Replication.accept_gap")]
    fn accept_gap(&self, py: Python<'_>, name: &str) -> Answer<()> {
        without_gil(py, || self.replication.accept_gap(name))
    }

    #[doc = stub!("Replication.send")]
    #[pyo3(signature = (kind, payload, *, key=None, headers=None, expires=None, deliver_at=None, priority=0,
        producer=None, producer_sequence=0))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn send(
        &self,
        py: Python<'_>,
        kind: u16,
        payload: &Bound<'_, PyAny>,
        key: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        expires: Option<f64>,
        deliver_at: Option<f64>,
        priority: u8,
        producer: Option<&str>,
        producer_sequence: u64,
    ) -> Answer<Result> {
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
        self.send_items(py, &[Item::new(payload, &given)?])
    }

    #[doc = stub!("Replication.send_many")]
    fn send_many(&self, py: Python<'_>, messages: &Bound<'_, PyAny>) -> Answer<Result> {
        self.send_items(py, &Item::all(messages)?)
    }

    #[doc = stub!("Replication.start_job")]
    fn start_job(&self, py: Python<'_>) -> Answer<()> {
        without_gil(py, || self.replication.start_job())
    }

    #[doc = stub!("Replication.end_job")]
    fn end_job(&self, py: Python<'_>) -> Answer<Result> {
        Ok(self.keep(without_gil(py, || self.replication.end_job())?))
    }

    #[doc = stub!("Replication.abort_job")]
    fn abort_job(&self, py: Python<'_>) -> Answer<()> {
        without_gil(py, || self.replication.abort_job())
    }

    #[doc = stub!("Replication.job")]
    fn job(slf: Bound<'_, Self>) -> Answer<Bound<'_, PyAny>> {
        let py = slf.py();
        Ok(py.import("repliq._job")?.getattr("job")?.call1((slf,))?)
    }

    #[doc = stub!("Replication.push")]
    fn push(&self, py: Python<'_>) -> Answer<()> {
        without_gil(py, || self.replication.push())
    }

    #[doc = stub!("Replication.status")]
    fn status<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyAny>> {
        json(py, &without_gil(py, || self.replication.status())?)
    }

    #[doc = stub!("Replication.target")]
    fn target<'py>(&self, py: Python<'py>, name: &str) -> Answer<Bound<'py, PyAny>> {
        json(py, &without_gil(py, || self.replication.target(name))?.to_json().to_string())
    }

    #[doc = stub!("Replication.token")]
    #[getter]
    fn token(&self) -> Option<Token> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|commit| Token(commit.token))
    }

    #[doc = stub!("Replication.root")]
    #[getter]
    fn root(&self) -> Queue {
        Queue { of: self.of.clone(), queue: self.replication.root() }
    }

    #[doc = stub!("Replication.stop")]
    #[pyo3(signature = (*, timeout=None))]
    fn stop(&self, py: Python<'_>, timeout: Option<f64>) -> Answer<()> {
        let outcome = wait_or_fail(py, false, timeout, |slice| self.replication.settle(slice));
        self.close(py)?;
        outcome
    }

    #[doc = stub!("Replication.close")]
    fn close(&self, py: Python<'_>) -> Answer<()> {
        without_gil(py, || self.replication.close())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> Answer<()> {
        self.close(py)
    }
}
