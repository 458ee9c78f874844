//! Ports: completions, with tags, for event loops.

use pyo3::prelude::*;
use repliq::Code;

use crate::error::{Answer, exception_of};
use crate::token::Result;
use crate::wait::{wait, without_gil};

#[doc = stub!("Port")]
#[pyclass(frozen, module = "repliq")]
pub struct Port {
    pub port: repliq::Port,
}

#[pymethods]
impl Port {
    #[new]
    fn new() -> Answer<Port> {
        Ok(Port { port: repliq::Port::open()? })
    }

    #[doc = stub!("Port.fileno")]
    fn fileno(&self) -> Answer<i32> {
        Ok(self.port.fd()?)
    }

    #[doc = stub!("Port.drain")]
    #[pyo3(signature = (max=256, *, timeout=None))]
    fn drain(&self, py: Python<'_>, max: usize, timeout: Option<f64>) -> Answer<Vec<Event>> {
        let events = wait(py, timeout, |slice| {
            let events = self.port.drain(max, slice)?;
            Ok((!events.is_empty()).then_some(events))
        })?;
        Ok(events.unwrap_or_default().into_iter().map(Event).collect())
    }

    #[doc = stub!("Port.cancel")]
    fn cancel(&self, tag: u64) -> Answer<()> {
        Ok(self.port.cancel(tag)?)
    }

    #[doc = stub!("Port.close")]
    fn close(&self, py: Python<'_>) -> Answer<()> {
        without_gil(py, || {
            self.port.close();
            Ok(())
        })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyAny>) -> Answer<()> {
        self.close(py)
    }
}

#[doc = stub!("Event")]
#[pyclass(frozen, module = "repliq")]
pub struct Event(repliq::Event);

#[pymethods]
impl Event {
    #[doc = stub!("Event.tag")]
    #[getter]
    fn tag(&self) -> u64 {
        self.0.tag
    }

    #[doc = stub!("Event.result")]
    #[getter]
    fn result(&self) -> Option<Result> {
        self.0.outcome.as_ref().ok().map(|commit| Result(*commit))
    }

    #[doc = stub!("Event.error")]
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = self.0.outcome.as_ref().err()?;
        Some(exception_of(py, error).into_value(py).into_any())
    }

    fn __repr__(&self) -> String {
        let code = self.0.outcome.as_ref().map_or_else(repliq::Error::code, |_| Code::Ok);
        format!("<repliq.Event {}: {}>", self.0.tag, code.name())
    }
}
