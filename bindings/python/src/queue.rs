//! Queues: values that know their store.

use pyo3::prelude::*;
use std::sync::Arc;

use crate::error::Answer;
use crate::message::{self, Given, Item};
use crate::store::Opened;
use crate::token::{Result, level};
use crate::wait::without_gil;

#[doc = stub!("Queue")]
#[pyclass(frozen, module = "repliq")]
pub struct Queue {
    pub of: Arc<Opened>,
    pub queue: repliq::Queue,
}

impl Queue {
    fn change(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&repliq::Store, repliq::Queue) -> repliq::Result<repliq::Commit> + Send,
    ) -> Answer<Result> {
        without_gil(py, || call(&self.of.store, self.queue)).map(Result)
    }

    /// Puts as one transaction.
    pub fn put_items(
        &self,
        py: Python<'_>,
        items: &[Item<'_>],
        name: Option<&str>,
    ) -> Answer<Result> {
        let level = level(name)?;
        let store = &self.of.store;
        let commit = message::with(items, |messages| {
            without_gil(py, || match level {
                None => store.put(self.queue, messages),
                Some(level) => store.put_at(self.queue, messages, level),
            })
        })?;
        Ok(Result(commit))
    }

    /// Puts as one transaction without waiting.
    pub fn start_items(&self, py: Python<'_>, items: &[Item<'_>]) -> Answer<Py<PyAny>> {
        self.of.start(py, |port, tag| {
            message::with(items, |messages| {
                without_gil(py, || self.of.store.put_start(self.queue, messages, port, tag))
            })
        })
    }
}

#[pymethods]
impl Queue {
    #[doc = stub!("Queue.number")]
    #[getter]
    fn number(&self) -> u32 {
        self.queue.number()
    }

    #[doc = stub!("Queue.name")]
    #[getter]
    fn name(&self, py: Python<'_>) -> Answer<String> {
        without_gil(py, || self.of.store.queue_name(self.queue))
    }

    #[doc = stub!("Queue.put")]
    #[pyo3(signature = (payload, *, kind=0, key=None, headers=None, expires=None, deliver_at=None, priority=0,
        producer=None, producer_sequence=0, level=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn put(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        kind: u16,
        key: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        expires: Option<f64>,
        deliver_at: Option<f64>,
        priority: u8,
        producer: Option<&str>,
        producer_sequence: u64,
        level: Option<&str>,
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
        self.put_items(py, &[Item::new(payload, &given)?], level)
    }

    #[doc = stub!("Queue.put_many")]
    #[pyo3(signature = (messages, *, level=None))]
    fn put_many(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        level: Option<&str>,
    ) -> Answer<Result> {
        self.put_items(py, &Item::all(messages)?, level)
    }

    #[doc = stub!("Queue.put_async")]
    #[pyo3(signature = (payload, *, kind=0, key=None, headers=None, expires=None, deliver_at=None, priority=0,
        producer=None, producer_sequence=0))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn put_async(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        kind: u16,
        key: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        expires: Option<f64>,
        deliver_at: Option<f64>,
        priority: u8,
        producer: Option<&str>,
        producer_sequence: u64,
    ) -> Answer<Py<PyAny>> {
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
        self.start_items(py, &[Item::new(payload, &given)?])
    }

    #[doc = stub!("Queue.put_many_async")]
    fn put_many_async(&self, py: Python<'_>, messages: &Bound<'_, PyAny>) -> Answer<Py<PyAny>> {
        self.start_items(py, &Item::all(messages)?)
    }

    #[doc = stub!("Queue.put_start")]
    fn put_start(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        port: &Bound<'_, crate::port::Port>,
        tag: u64,
    ) -> Answer<()> {
        let (items, port) = (Item::all(messages)?, &port.get().port);
        message::with(&items, |messages| {
            without_gil(py, || self.of.store.put_start(self.queue, messages, port, tag))
        })
    }

    #[doc = stub!("Queue.pause")]
    fn pause(&self, py: Python<'_>) -> Answer<Result> {
        self.change(py, repliq::Store::queue_pause)
    }

    #[doc = stub!("Queue.resume")]
    fn resume(&self, py: Python<'_>) -> Answer<Result> {
        self.change(py, repliq::Store::queue_resume)
    }

    #[doc = stub!("Queue.purge")]
    fn purge(&self, py: Python<'_>) -> Answer<Result> {
        self.change(py, repliq::Store::queue_purge)
    }

    #[doc = stub!("Queue.redrive")]
    #[pyo3(signature = (*, max=0, drop=false))]
    fn redrive(&self, py: Python<'_>, max: u64, drop: bool) -> Answer<(u64, Vec<(u64, String)>)> {
        let options = repliq::RedriveOptions { max, drop };
        let done = without_gil(py, || self.of.store.redrive(self.queue, &options))?;
        Ok((done.done, done.refused))
    }

    #[doc = stub!("Queue.delete")]
    fn delete(&self, py: Python<'_>) -> Answer<Result> {
        self.change(py, repliq::Store::queue_delete)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Queue>().is_ok_and(|other| {
            let other = other.get();
            Arc::ptr_eq(&self.of, &other.of) && self.queue.number() == other.queue.number()
        })
    }

    fn __hash__(&self) -> u64 {
        u64::from(self.queue.number()) ^ (Arc::as_ptr(&self.of) as usize as u64)
    }

    fn __repr__(&self) -> String {
        format!("<repliq.Queue {}>", self.queue.number())
    }
}
