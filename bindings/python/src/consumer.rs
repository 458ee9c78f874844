//! Consumers: named, durable readers.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use repliq::Code;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Answer, own};
use crate::listener;
use crate::message::{Message, list, sequences};
use crate::port::Port;
use crate::queue::Queue;
use crate::store::Opened;
use crate::token::Result;
use crate::wait::{milliseconds, wait_at, without_gil};

#[doc = stub!("Consumer")]
#[pyclass(frozen, module = "repliq")]
pub struct Consumer {
    of: Arc<Opened>,
    consumer: Mutex<Option<Arc<repliq::Consumer>>>,
}

impl Consumer {
    /// An open one.
    pub fn new(of: &Arc<Opened>, consumer: repliq::Consumer) -> Consumer {
        Consumer { of: of.clone(), consumer: Mutex::new(Some(Arc::new(consumer))) }
    }

    /// The consumer, where it is open.
    pub fn open(&self) -> Answer<Arc<repliq::Consumer>> {
        match &*self.consumer.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(consumer) => Ok(consumer.clone()),
            None => own(Code::Closed, "the consumer is closed"),
        }
    }

    fn take(&self) -> Option<Arc<repliq::Consumer>> {
        self.consumer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn next(
        &self,
        py: Python<'_>,
        max: usize,
        timeout: Option<f64>,
    ) -> Answer<Vec<repliq::Received>> {
        let consumer = self.open()?;
        let received = wait_at(py, self.of.remote, timeout, |slice| {
            let received = consumer.receive(max, slice)?;
            Ok((!received.is_empty()).then_some(received))
        })?;
        Ok(received.unwrap_or_default())
    }
}

#[pymethods]
impl Consumer {
    #[doc = stub!("Consumer.name")]
    #[getter]
    fn name(&self) -> Answer<String> {
        Ok(self.open()?.name().to_string())
    }

    #[doc = stub!("Consumer.queue")]
    #[getter]
    fn queue(&self) -> Answer<Queue> {
        Ok(Queue { of: self.of.clone(), queue: self.open()?.queue() })
    }

    #[doc = stub!("Consumer.receive")]
    #[pyo3(signature = (max=256, *, timeout=None))]
    fn receive(&self, py: Python<'_>, max: usize, timeout: Option<f64>) -> Answer<Vec<Message>> {
        Ok(list(self.next(py, max, timeout)?))
    }

    #[doc = stub!("Consumer.watch")]
    fn watch(&self, py: Python<'_>, port: &Bound<'_, Port>, tag: u64) -> Answer<()> {
        let (consumer, port) = (self.open()?, &port.get().port);
        without_gil(py, || consumer.watch(port, tag))
    }

    #[doc = stub!("Consumer.ack")]
    fn ack(&self, py: Python<'_>, messages: &Bound<'_, PyAny>) -> Answer<Result> {
        let (consumer, sequences) = (self.open()?, sequences(messages)?);
        without_gil(py, || consumer.ack(&sequences)).map(Result)
    }

    #[doc = stub!("Consumer.reject")]
    #[pyo3(signature = (messages, *, delay=None, reason="", to_end=false))]
    fn reject(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        delay: Option<f64>,
        reason: &str,
        to_end: bool,
    ) -> Answer<()> {
        let (consumer, sequences) = (self.open()?, sequences(messages)?);
        let delay = delay.map(|delay| milliseconds(delay, "delay")).transpose()?;
        without_gil(py, || match to_end {
            true => consumer.reject_to_end(&sequences, delay, reason),
            false => consumer.reject_with(&sequences, delay, reason),
        })
    }

    #[doc = stub!("Consumer.renew")]
    fn renew(&self, py: Python<'_>, messages: &Bound<'_, PyAny>) -> Answer<()> {
        let (consumer, sequences) = (self.open()?, sequences(messages)?);
        without_gil(py, || consumer.renew(&sequences))
    }

    #[doc = stub!("Consumer.seek")]
    fn seek(&self, py: Python<'_>, sequence: u64) -> Answer<Result> {
        let consumer = self.open()?;
        without_gil(py, || consumer.seek(sequence)).map(Result)
    }

    #[doc = stub!("Consumer.listen")]
    #[pyo3(signature = (handler, *, job=false, policy="block", dead_letter_after=0, dead_letter_queue=None,
        retry=0.1, retry_max=10.0, threads=1))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn listen<'py>(
        &self,
        py: Python<'py>,
        handler: Bound<'py, PyAny>,
        job: bool,
        policy: &str,
        dead_letter_after: u32,
        dead_letter_queue: Option<String>,
        retry: f64,
        retry_max: f64,
        threads: u32,
    ) -> Answer<Bound<'py, PyAny>> {
        if !handler.is_callable() {
            let text = "the handler cannot be called";
            return Err(pyo3::exceptions::PyTypeError::new_err(text).into());
        }
        let dead = (dead_letter_after, dead_letter_queue);
        let options = listener::options(job, policy, dead, (retry, retry_max), threads)?;
        let Some(consumer) = self.take() else {
            return own(Code::Closed, "the consumer is closed");
        };
        let consumer = match Arc::try_unwrap(consumer) {
            Ok(consumer) => consumer,
            Err(shared) => {
                *self.consumer.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
                return own(Code::Busy, "another thread is in the consumer");
            }
        };
        let work = listener::Work::open(py, &self.of, consumer, &options, handler.unbind())?;
        Ok(py
            .import("repliq._listener")?
            .getattr("Listener")?
            .call1((Py::new(py, work)?, threads))?)
    }

    #[doc = stub!("Consumer.each")]
    #[pyo3(signature = (*, timeout=None))]
    fn each(slf: Py<Self>, timeout: Option<f64>) -> Each {
        Each { of: slf, timeout, current: Mutex::new(None) }
    }

    fn __iter__(slf: Py<Self>) -> Each {
        Consumer::each(slf, Some(0.0))
    }

    #[doc = stub!("Consumer.close")]
    fn close(&self, py: Python<'_>) -> Answer<()> {
        let consumer = self.take();
        without_gil(py, || {
            if let Some(consumer) = &consumer {
                consumer.close();
            }
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

#[doc = stub!("Each")]
#[pyclass(frozen, module = "repliq._repliq")]
pub struct Each {
    of: Py<Consumer>,
    timeout: Option<f64>,
    current: Mutex<Option<u64>>,
}

#[pymethods]
impl Each {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[doc = stub!("Each.__next__")]
    fn __next__(&self, py: Python<'_>) -> Answer<Option<Message>> {
        let consumer = self.of.get();
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sequence) = current {
            let open = consumer.open()?;
            without_gil(py, || open.ack(&[sequence]))?;
        }
        let next = consumer.next(py, 1, self.timeout)?.into_iter().next();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            next.as_ref().map(repliq::Received::sequence);
        Ok(next.map(Message::read))
    }
}
