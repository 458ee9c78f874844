//! The identities of transactions, and what became of them.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use repliq::Code;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::{Answer, own};
use crate::message::Bytes;
use crate::token::Token;

#[doc = stub!("TransactionId")]
#[pyclass(frozen, module = "repliq", eq)]
#[derive(PartialEq)]
pub struct TransactionId(pub repliq::TransactionId);

#[pymethods]
impl TransactionId {
    #[doc = stub!("TransactionId.parse")]
    #[staticmethod]
    fn parse(text: &Bound<'_, PyAny>) -> Answer<TransactionId> {
        if let Ok(text) = text.cast::<PyString>() {
            return Ok(TransactionId(repliq::TransactionId::parse(text.to_cow()?.as_bytes())?));
        }
        Ok(TransactionId(repliq::TransactionId::parse(Bytes::of(text)?.get())?))
    }

    #[doc = stub!("TransactionId.text")]
    #[getter]
    fn text(&self) -> String {
        self.0.to_string()
    }

    #[doc = stub!("TransactionId.session")]
    #[getter]
    fn session<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.session)
    }

    #[doc = stub!("TransactionId.epoch")]
    #[getter]
    fn epoch(&self) -> u32 {
        self.0.epoch
    }

    #[doc = stub!("TransactionId.number")]
    #[getter]
    fn number(&self) -> u64 {
        self.0.number
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    fn __str__(&self) -> String {
        self.text()
    }

    fn __repr__(&self) -> String {
        format!("TransactionId('{}')", self.0)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.to_bytes().hash(&mut hasher);
        hasher.finish()
    }
}

#[doc = stub!("Outcome")]
#[pyclass(frozen, module = "repliq", eq)]
#[derive(PartialEq)]
pub struct Outcome(pub repliq::Outcome);

#[pymethods]
impl Outcome {
    #[doc = stub!("Outcome.state")]
    #[getter]
    fn state(&self) -> Answer<&'static str> {
        match self.0 {
            repliq::Outcome::Committed(_) => Ok("committed"),
            repliq::Outcome::RolledBack => Ok("rolled_back"),
            repliq::Outcome::Pending => Ok("pending"),
            repliq::Outcome::Expired => Ok("expired"),
            other => own(Code::Unsupported, format!("{other:?} has no name in Python")),
        }
    }

    #[doc = stub!("Outcome.token")]
    #[getter]
    fn token(&self) -> Option<Token> {
        match self.0 {
            repliq::Outcome::Committed(token) => Some(Token(token)),
            _ => None,
        }
    }

    fn __repr__(&self) -> Answer<String> {
        Ok(match self.token() {
            Some(token) => format!("Outcome('committed', token=Token('{}'))", token.0),
            None => format!("Outcome('{}')", self.state()?),
        })
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.token().map(|token| token.0).hash(&mut hasher);
        hasher.finish()
    }
}

/// An identity, or its text.
pub fn id_of(from: &Bound<'_, PyAny>) -> Answer<repliq::TransactionId> {
    match from.cast::<TransactionId>() {
        Ok(id) => Ok(id.get().0),
        Err(_) => TransactionId::parse(from).map(|id| id.0),
    }
}
