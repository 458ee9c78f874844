//! Snapshots: a look without taking anything.

use pyo3::prelude::*;
use repliq::Code;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Answer, own};
use crate::message::{Message, list};
use crate::queue::Queue;
use crate::store::Opened;
use crate::wait::without_gil;

#[doc = stub!("Snapshot")]
#[pyclass(frozen, module = "repliq")]
pub struct Snapshot {
    of: Arc<Opened>,
    snapshot: Mutex<Option<Arc<repliq::Snapshot>>>,
}

impl Snapshot {
    /// Opens one.
    pub fn open(of: &Arc<Opened>) -> repliq::Result<Snapshot> {
        let snapshot = Mutex::new(Some(Arc::new(of.store.snapshot()?)));
        Ok(Snapshot { of: of.clone(), snapshot })
    }
}

#[pymethods]
impl Snapshot {
    #[doc = stub!("Snapshot.browse")]
    #[pyo3(signature = (queue, *, start=1, max=256))]
    fn browse(
        &self,
        py: Python<'_>,
        queue: &Bound<'_, Queue>,
        start: u64,
        max: usize,
    ) -> Answer<Vec<Message>> {
        let open = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(snapshot) = open else { return own(Code::Closed, "the snapshot is closed") };
        self.of.owns(queue.get())?;
        let queue = queue.get().queue;
        Ok(list(without_gil(py, || snapshot.browse(queue, start, max))?))
    }

    #[doc = stub!("Snapshot.close")]
    fn close(&self) {
        drop(self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, PyAny>) {
        self.close();
    }
}
