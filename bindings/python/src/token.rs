//! Tokens, and what a commit answers.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use repliq::{Code, Commit, Level};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::{Answer, own};

#[doc = stub!("Token")]
#[pyclass(frozen, module = "repliq", eq)]
#[derive(Clone, PartialEq)]
pub struct Token(pub repliq::Token);

#[pymethods]
impl Token {
    #[doc = stub!("Token.parse")]
    #[staticmethod]
    fn parse(text: &Bound<'_, PyAny>) -> Answer<Token> {
        if let Ok(text) = text.cast::<PyString>() {
            return Ok(Token(repliq::Token::parse(text.to_cow()?.as_bytes())?));
        }
        let bytes = crate::message::Bytes::of(text)?;
        Ok(Token(repliq::Token::parse(bytes.get())?))
    }

    #[doc = stub!("Token.join")]
    #[staticmethod]
    fn join(tokens: &Bound<'_, PyAny>) -> Answer<Vec<Token>> {
        let joined = repliq::Token::join(&tokens_of(tokens)?);
        Ok(joined.into_iter().map(Token).collect())
    }

    #[doc = stub!("Token.text")]
    #[getter]
    fn text(&self) -> String {
        self.0.to_string()
    }

    #[doc = stub!("Token.is_empty")]
    #[getter]
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_bytes())
    }

    fn __str__(&self) -> String {
        self.text()
    }

    fn __repr__(&self) -> String {
        format!("Token('{}')", self.0)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }
}

#[doc = stub!("Result")]
#[pyclass(frozen, module = "repliq", eq)]
#[derive(Clone, PartialEq)]
pub struct Result(pub Commit);

#[pymethods]
impl Result {
    #[doc = stub!("Result.token")]
    #[getter]
    fn token(&self) -> Token {
        Token(self.0.token)
    }

    #[doc = stub!("Result.level")]
    #[getter]
    fn level(&self) -> Answer<&'static str> {
        level_name(self.0.level)
    }

    fn __repr__(&self) -> Answer<String> {
        Ok(format!("Result(token=Token('{}'), level='{}')", self.0.token, self.level()?))
    }

    fn __hash__(&self) -> u64 {
        self.token().__hash__()
    }
}

/// What a commit survives, by its name.
pub fn level(name: Option<&str>) -> Answer<Option<Level>> {
    match name {
        None => Ok(None),
        Some("process") => Ok(Some(Level::Process)),
        Some("power") => Ok(Some(Level::Power)),
        Some(other) => own(Code::Invalid, format!("level is {other:?}, not 'process' or 'power'")),
    }
}

fn level_name(level: Level) -> Answer<&'static str> {
    match level {
        Level::Process => Ok("process"),
        Level::Power => Ok("power"),
        other => own(Code::Unsupported, format!("the level {other:?} has no name in Python")),
    }
}

/// A token, a result, or any number of them.
pub fn tokens_of(from: &Bound<'_, PyAny>) -> Answer<Vec<repliq::Token>> {
    if let Some(one) = token_of(from) {
        return Ok(vec![one]);
    }
    let mut tokens = Vec::new();
    for item in from.try_iter()? {
        let item = item?;
        match token_of(&item) {
            Some(one) => tokens.push(one),
            None => {
                let text = format!("{} is no token", item.get_type().name()?);
                return Err(pyo3::exceptions::PyTypeError::new_err(text).into());
            }
        }
    }
    Ok(tokens)
}

fn token_of(from: &Bound<'_, PyAny>) -> Option<repliq::Token> {
    if let Ok(token) = from.cast::<Token>() {
        return Some(token.get().0);
    }
    from.cast::<Result>().ok().map(|result| result.get().0.token)
}
