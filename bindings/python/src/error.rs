//! The one way from an error of the core to an exception.
//!
//! The classes are Python, in `repliq/_errors.py`: one for each code, found by its number.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use repliq::{Code, Error};

/// What a call of the binding answers.
pub type Answer<T> = std::result::Result<T, Raised>;

/// An error on its way out, made where there may be no GIL.
pub enum Raised {
    /// Of the core.
    Core(Error),
    /// Of the binding itself.
    Own(Code, String),
    /// An exception already.
    Python(PyErr),
}

impl From<Error> for Raised {
    fn from(error: Error) -> Raised {
        Raised::Core(error)
    }
}

impl From<PyErr> for Raised {
    fn from(error: PyErr) -> Raised {
        Raised::Python(error)
    }
}

impl From<Raised> for PyErr {
    fn from(raised: Raised) -> PyErr {
        Python::attach(|py| match &raised {
            Raised::Python(error) => error.clone_ref(py),
            Raised::Own(code, text) => {
                exception(py, &(*code as i32, text.as_str(), 0, 0, None, None))
            }
            Raised::Core(error) => exception_of(py, error),
        })
    }
}

/// An error of the binding itself.
pub fn own<T>(code: Code, text: impl Into<String>) -> Answer<T> {
    Err(Raised::Own(code, text.into()))
}

/// The exception of an error.
pub fn exception_of(py: Python<'_>, error: &Error) -> PyErr {
    let text = error.to_string();
    exception(
        py,
        &(
            error.code() as i32,
            &text,
            error.cause() as i32,
            error.os_errno(),
            error.message_index(),
            error.range(),
        ),
    )
}

type Parts<'a> = (i32, &'a str, i32, i32, Option<u32>, Option<(u64, u64)>);

fn exception(py: Python<'_>, parts: &Parts<'_>) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = MAKE.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
        Ok(py.import("repliq._errors")?.getattr("make")?.unbind())
    });
    let made = make.and_then(|make| make.bind(py).call1(*parts));
    match made {
        Ok(made) => PyErr::from_value(made),
        Err(_) => PyRuntimeError::new_err(parts.1.to_string()),
    }
}

#[doc = stub!("codes")]
#[pyfunction]
pub fn codes() -> Vec<(&'static str, i32, u32)> {
    Code::ALL.iter().map(|code| (code.name(), *code as i32, code.flags())).collect()
}
