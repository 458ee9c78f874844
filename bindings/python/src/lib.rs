//! repliq for Python.

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _repliq {
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", repliq::VERSION)
    }
}
