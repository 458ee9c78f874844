//! Listeners: the work of one, for a thread of Python; see `repliq/_listener.py`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use repliq::{Code, Handled, ListenerOptions, Policy, Received, Unit};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Answer, exception_of, own};
use crate::message::Message;
use crate::session::Session;
use crate::store::Opened;
use crate::wait::{milliseconds, with_gil, without_gil};

#[doc = stub!("Work")]
#[pyclass(frozen, module = "repliq._repliq")]
pub struct Work {
    listener: repliq::Listener,
    /// The parts that nobody runs yet, one a thread.
    work: Mutex<Vec<repliq::Work>>,
}

/// The options of a listener.
pub fn options(
    job: bool,
    policy: &str,
    dead: (u32, Option<String>),
    retry: (f64, f64),
    threads: u32,
) -> Answer<ListenerOptions> {
    let policy = match (policy, dead) {
        ("block", (0, None)) => Policy::Block,
        ("park", (0, None)) => Policy::Park,
        ("dead_letter", (after @ 1.., Some(queue))) => Policy::DeadLetter { after, queue },
        ("block" | "park" | "dead_letter", _) => {
            let text =
                format!("dead_letter_after and dead_letter_queue do not fit policy {policy:?}");
            return own(Code::Invalid, text);
        }
        (other, _) => {
            let text = format!("policy is {other:?}, not 'block', 'park' or 'dead_letter'");
            return own(Code::Invalid, text);
        }
    };
    let unit = if job { Unit::Job } else { Unit::Message };
    let retry_ms = milliseconds(retry.0, "retry")?;
    Ok(ListenerOptions {
        unit,
        policy,
        threads,
        retry_ms,
        retry_ms_max: milliseconds(retry.1, "retry_max")?,
    })
}

impl Work {
    /// Opens a listener whose handler runs where [`Work::run`] is called.
    pub fn open(
        py: Python<'_>,
        of: &Arc<Opened>,
        consumer: repliq::Consumer,
        options: &ListenerOptions,
        handler: Py<PyAny>,
    ) -> Answer<Work> {
        let (opened, job) = (of.clone(), options.unit == Unit::Job);
        // They lie where the sessions belong while the handler has these.
        let spare = Mutex::new(Vec::new());
        let call = move |session: &mut repliq::Session, unit: &[Received]| {
            let kept = spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Ok(placeholder) = kept.map_or_else(|| opened.store.session(), Ok) else {
                return Handled::Retry("the store is closed".into());
            };
            let lent = Session::lend(&opened, std::mem::replace(session, placeholder));
            with_gil(|py| {
                let lent = match Py::new(py, lent) {
                    Ok(lent) => lent,
                    Err(error) => return Handled::Retry(error.to_string()),
                };
                let handled = call(py, &handler, &lent, unit, job);
                // Another thread may be inside; without the GIL it comes out.
                let back = py.detach(|| lent.get().give_back());
                if let Some(back) = back {
                    let placeholder = std::mem::replace(session, back);
                    spare.lock().unwrap_or_else(PoisonError::into_inner).push(placeholder);
                }
                handled.unwrap_or_else(|error| failed(py, &error))
            })
        };
        let (listener, work) =
            without_gil(py, || repliq::Listener::here(&of.store, consumer, options, call))?;
        Ok(Work { listener, work: Mutex::new(work) })
    }
}

fn call(
    py: Python<'_>,
    handler: &Py<PyAny>,
    session: &Py<Session>,
    unit: &[Received],
    job: bool,
) -> PyResult<Handled> {
    let mut messages = Vec::with_capacity(unit.len());
    for one in unit {
        messages.push(Py::new(py, Message::read(one.clone()))?);
    }
    let unit = match (job, messages.first()) {
        (false, Some(message)) => message.clone_ref(py).into_any(),
        _ => PyList::new(py, messages)?.into_any().unbind(),
    };
    handler.call1(py, (session.clone_ref(py), unit))?;
    Ok(Handled::Done)
}

/// What an exception of the handler means. It is logged: nobody else would hear of it.
fn failed(py: Python<'_>, error: &PyErr) -> Handled {
    let parked = py.import("repliq._listener").and_then(|module| {
        module.call_method1("failed", (error.value(py),))?.extract::<Option<String>>()
    });
    match parked {
        Ok(Some(reason)) => Handled::Park(reason),
        _ => Handled::Retry(error.to_string()),
    }
}

#[pymethods]
impl Work {
    #[doc = stub!("Work.run")]
    fn run(&self, py: Python<'_>) -> Answer<()> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).pop();
        without_gil(py, || {
            if let Some(mut work) = work {
                work.run();
            }
            Ok(())
        })
    }

    #[doc = stub!("Work.stop")]
    fn stop(&self, py: Python<'_>) -> Answer<()> {
        without_gil(py, || self.listener.close())
    }

    #[doc = stub!("Work.status")]
    fn status<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyDict>> {
        let status = without_gil(py, || Ok(self.listener.status()))?;
        let made = PyDict::new(py);
        made.set_item("done", status.done)?;
        made.set_item("failed", status.failed)?;
        made.set_item("dead", status.dead)?;
        made.set_item("parked", status.parked)?;
        let ended = status.ended.map(|error| exception_of(py, &error).into_value(py));
        made.set_item("ended", ended)?;
        Ok(made)
    }
}
