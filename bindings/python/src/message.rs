//! Bytes in and out.
//!
//! In: `bytes`, and views of them, are read where they are; nobody can change them. Any other buffer could be
//! changed by another thread: a put into a session copies it straight into the transaction while the GIL is held, and
//! sums the copy; elsewhere it is copied first. Out: a message
//! shares the buffer it was read into, and a memoryview of it keeps that buffer, so nothing ever dangles.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PyString};
use repliq::{Code, Received};
use std::ffi::{c_int, c_void};

use crate::error::{Answer, own};
use crate::wait::{caught, milliseconds};

/// Bytes to be put, where they are.
pub enum Bytes<'py> {
    /// Of a `bytes` object: this part of it.
    Held(Bound<'py, PyBytes>, usize, usize),
    /// A copy of something that could change.
    Copied(Vec<u8>),
}

impl<'py> Bytes<'py> {
    /// The bytes of anything with the buffer protocol.
    #[inline]
    pub fn of(from: &Bound<'py, PyAny>) -> Answer<Bytes<'py>> {
        if let Ok(bytes) = from.cast_exact::<PyBytes>() {
            let length = bytes.as_bytes().len();
            return Ok(Bytes::Held(bytes.clone(), 0, length));
        }
        Bytes::of_other(from)
    }

    fn of_other(from: &Bound<'py, PyAny>) -> Answer<Bytes<'py>> {
        let buffer = buffer(from)?;
        if buffer.is_c_contiguous()
            && let Ok(view) = from.cast::<PyMemoryView>()
            && let Ok(bytes) = view.getattr("obj")?.cast_into_exact::<PyBytes>()
        {
            let start = buffer.buf_ptr() as usize - bytes.as_bytes().as_ptr() as usize;
            return Ok(Bytes::Held(bytes, start, buffer.len_bytes()));
        }
        Ok(Bytes::Copied(buffer.to_vec(from.py())?))
    }

    /// The bytes.
    #[inline]
    pub fn get(&self) -> &[u8] {
        match self {
            Bytes::Held(bytes, start, length) => {
                bytes.as_bytes().get(*start..*start + *length).unwrap_or_default()
            }
            Bytes::Copied(bytes) => bytes,
        }
    }
}

/// Any buffer, as bytes.
fn buffer(from: &Bound<'_, PyAny>) -> Answer<PyBuffer<u8>> {
    if from.is_instance_of::<PyString>() {
        let text = "a bytes-like object is required, not str: encode it";
        return Err(PyTypeError::new_err(text).into());
    }
    if from.is_instance_of::<Message>() {
        let text = "the fields of a message are its own: none can be given beside it";
        return Err(PyTypeError::new_err(text).into());
    }
    Ok(PyBuffer::<u8>::get(from).or_else(|_| {
        // Of items larger than a byte, or signed ones: the same memory, seen as bytes.
        let view = PyMemoryView::from(from)?;
        PyBuffer::<u8>::get(&view.call_method1("cast", ("B",))?)
    })?)
}

/// Puts one message into a session; the GIL is held, and each byte copied once.
pub fn put<'py>(
    session: &mut repliq::Session,
    queue: repliq::Queue,
    from: &Bound<'py, PyAny>,
    given: &Given<'_, 'py>,
) -> Answer<()> {
    if given.is_plain()
        && let Ok(bytes) = from.cast_exact::<PyBytes>()
    {
        // The most frequent call, without what the others need.
        return caught(|| session.put(queue, &repliq::Message::new(bytes.as_bytes())));
    }
    if !may_change(from) {
        let item = Item::new(from, given)?;
        return with_one(&item, |message| caught(|| session.put(queue, message)));
    }
    let (buffer, fields) = (buffer(from)?, given.fields()?);
    let fill = |room: &mut [u8]| Answer::Ok(buffer.copy_to_slice(from.py(), room)?);
    let item = Item { payload: Bytes::Copied(Vec::new()), fields };
    let length = buffer.len_bytes();
    with_one(&item, |message| caught(|| session.put_filled(queue, message, length, fill)))
}

/// What a list holds that holds `bytes` and nothing else: the most frequent case, without what the others need.
pub fn payloads<'py>(from: &Bound<'py, PyAny>) -> Option<Vec<Bound<'py, PyBytes>>> {
    let list = from.cast_exact::<PyList>().ok()?;
    list.iter().map(|one| one.cast_into_exact::<PyBytes>().ok()).collect()
}

/// Whether it is no message and no `bytes`.
fn may_change(from: &Bound<'_, PyAny>) -> bool {
    !from.is_exact_instance_of::<PyBytes>() && !from.is_instance_of::<Message>()
}

/// Text as UTF-8, or bytes.
pub fn text_or_bytes(from: &Bound<'_, PyAny>) -> Answer<Vec<u8>> {
    if let Ok(text) = from.cast::<PyString>() {
        return Ok(text.to_cow()?.as_bytes().to_vec());
    }
    Ok(Bytes::of(from)?.get().to_vec())
}

/// What a message has beside its payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    kind: u16,
    key: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    expires_ms: u64,
    deliver_at_ms: u64,
    priority: u8,
    producer: String,
    producer_sequence: u64,
}

/// The keyword arguments of a message as they come.
pub struct Given<'a, 'py> {
    pub kind: u16,
    pub key: Option<&'a Bound<'py, PyAny>>,
    pub headers: Option<&'a Bound<'py, PyAny>>,
    pub expires: Option<f64>,
    pub deliver_at: Option<f64>,
    pub priority: u8,
    pub producer: Option<&'a str>,
    pub producer_sequence: u64,
}

impl Given<'_, '_> {
    /// The fields; `None` where all have their defaults.
    #[inline]
    pub fn fields(&self) -> Answer<Option<Fields>> {
        if self.is_plain() { Ok(None) } else { self.all().map(Some) }
    }

    /// Whether all have their defaults.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.kind == 0
            && self.key.is_none()
            && self.headers.is_none()
            && self.expires.is_none()
            && self.deliver_at.is_none()
            && self.priority == 0
            && self.producer.is_none()
            && self.producer_sequence == 0
    }

    fn all(&self) -> Answer<Fields> {
        let time = |time: Option<f64>, name| time.map_or(Ok(0), |time| milliseconds(time, name));
        Ok(Fields {
            kind: self.kind,
            key: self.key.map_or(Ok(Vec::new()), text_or_bytes)?,
            headers: self.headers.map_or(Ok(Vec::new()), headers)?,
            expires_ms: time(self.expires, "expires")?,
            deliver_at_ms: time(self.deliver_at, "deliver_at")?,
            priority: self.priority,
            producer: self.producer.unwrap_or_default().to_string(),
            producer_sequence: self.producer_sequence,
        })
    }
}

/// Headers from a mapping, or from pairs.
fn headers(from: &Bound<'_, PyAny>) -> Answer<Vec<(String, Vec<u8>)>> {
    let pairs = match from.cast::<PyDict>() {
        Ok(dict) => dict.items().into_any(),
        Err(_) => from.clone(),
    };
    let mut made = Vec::new();
    for pair in pairs.try_iter()? {
        let (name, value): (String, Bound<'_, PyAny>) = pair?.extract()?;
        made.push((name, text_or_bytes(&value)?));
    }
    Ok(made)
}

/// A message to be put, with what it needs to stay alive.
pub struct Item<'py> {
    payload: Bytes<'py>,
    fields: Option<Fields>,
}

impl<'py> Item<'py> {
    /// A message of an argument and its keywords.
    #[inline]
    pub fn new(from: &Bound<'py, PyAny>, given: &Given<'_, 'py>) -> Answer<Item<'py>> {
        let fields = given.fields()?;
        if fields.is_none()
            && let Some(item) = Item::of_message(from)
        {
            return Ok(item);
        }
        Ok(Item { payload: Bytes::of(from)?, fields })
    }

    fn of_message(from: &Bound<'py, PyAny>) -> Option<Item<'py>> {
        let message = from.cast::<Message>().ok()?;
        Some(message.get().item(from.py()))
    }

    /// All of an iterable: buffers and messages.
    pub fn all(from: &Bound<'py, PyAny>) -> Answer<Vec<Item<'py>>> {
        let mut items = Vec::with_capacity(from.len().unwrap_or(0));
        for one in from.try_iter()? {
            let one = one?;
            items.push(match Item::of_message(&one) {
                Some(item) => item,
                None => Item { payload: Bytes::of(&one)?, fields: None },
            });
        }
        Ok(items)
    }
}

/// Calls with the messages of these items.
pub fn with<T>(items: &[Item<'_>], call: impl FnOnce(&[repliq::Message<'_>]) -> T) -> T {
    let headers: Vec<Vec<repliq::Header<'_>>> = match items.iter().any(|one| one.fields.is_some()) {
        false => Vec::new(),
        true => items.iter().map(|one| one.fields.as_ref().map_or(Vec::new(), pairs)).collect(),
    };
    let messages: Vec<repliq::Message<'_>> = items
        .iter()
        .enumerate()
        .map(|(at, one)| message(one, headers.get(at).map_or(&[], Vec::as_slice)))
        .collect();
    call(&messages)
}

/// The same for one.
#[inline]
pub fn with_one<T>(item: &Item<'_>, call: impl FnOnce(&repliq::Message<'_>) -> T) -> T {
    let headers = item.fields.as_ref().map_or(Vec::new(), pairs);
    call(&message(item, &headers))
}

fn pairs(of: &Fields) -> Vec<repliq::Header<'_>> {
    of.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

fn message<'a>(item: &'a Item<'_>, headers: &'a [repliq::Header<'a>]) -> repliq::Message<'a> {
    let payload = item.payload.get();
    let Some(fields) = &item.fields else { return repliq::Message::new(payload) };
    repliq::Message {
        kind: fields.kind,
        key: &fields.key,
        headers,
        payload,
        expires_ms: fields.expires_ms,
        deliver_at_ms: fields.deliver_at_ms,
        priority: fields.priority,
        producer: &fields.producer,
        producer_sequence: fields.producer_sequence,
    }
}

#[doc = stub!("Message")]
#[pyclass(frozen, freelist = 256, module = "repliq")]
pub struct Message(Kind);

enum Kind {
    New(Py<PyBytes>, Box<Fields>),
    Read(Received),
}

impl Message {
    /// A message that was read.
    pub fn read(received: Received) -> Message {
        Message(Kind::Read(received))
    }

    fn item<'py>(&self, py: Python<'py>) -> Item<'py> {
        match &self.0 {
            Kind::New(payload, fields) => {
                let payload = payload.bind(py).clone();
                let length = payload.as_bytes().len();
                let payload = Bytes::Held(payload, 0, length);
                Item { payload, fields: Some((**fields).clone()) }
            }
            Kind::Read(of) => {
                let headers = of.headers().map(|(name, value)| (name.into(), value.to_vec()));
                let fields = Fields {
                    kind: of.kind(),
                    key: of.key().to_vec(),
                    headers: headers.collect(),
                    expires_ms: of.expires_ms(),
                    deliver_at_ms: of.deliver_at_ms(),
                    priority: of.priority(),
                    ..Fields::default()
                };
                Item { payload: Bytes::Copied(of.payload().to_vec()), fields: Some(fields) }
            }
        }
    }

    #[inline]
    fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        match &self.0 {
            Kind::New(payload, _) => payload.as_bytes(py),
            Kind::Read(received) => received.payload(),
        }
    }

    fn received(&self) -> Option<&Received> {
        match &self.0 {
            Kind::Read(received) => Some(received),
            Kind::New(..) => None,
        }
    }
}

fn time(ms: u64) -> Option<f64> {
    (ms > 0).then(|| ms as f64 / 1000.0)
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (payload=None, *, kind=0, key=None, headers=None, expires=None, deliver_at=None,
        priority=0, producer=None, producer_sequence=0))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        payload: Option<&Bound<'_, PyAny>>,
        kind: u16,
        key: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        expires: Option<f64>,
        deliver_at: Option<f64>,
        priority: u8,
        producer: Option<&str>,
        producer_sequence: u64,
    ) -> Answer<Message> {
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
        let payload = match payload {
            None => PyBytes::new(py, b""),
            Some(payload) => match payload.cast_exact::<PyBytes>() {
                Ok(bytes) => bytes.clone(),
                Err(_) => PyBytes::new(py, Bytes::of(payload)?.get()),
            },
        };
        Ok(Message(Kind::New(payload.unbind(), Box::new(given.all()?))))
    }

    #[doc = stub!("Message.payload")]
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        match &self.0 {
            Kind::New(payload, _) => payload.bind(py).clone(),
            Kind::Read(received) => PyBytes::new(py, received.payload()),
        }
    }

    #[doc = stub!("Message.view")]
    #[getter]
    fn view<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        match &slf.get().0 {
            Kind::New(payload, _) => PyMemoryView::from(payload.bind(slf.py())),
            Kind::Read(_) => PyMemoryView::from(slf.as_any()),
        }
    }

    #[doc = stub!("Message.key")]
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        match &self.0 {
            Kind::New(_, fields) => PyBytes::new(py, &fields.key),
            Kind::Read(received) => PyBytes::new(py, received.key()),
        }
    }

    #[doc = stub!("Message.headers")]
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> Vec<(String, Bound<'py, PyBytes>)> {
        let own = |(name, value): (&str, &[u8])| (name.to_string(), PyBytes::new(py, value));
        match &self.0 {
            Kind::New(_, fields) => pairs(fields).into_iter().map(own).collect(),
            Kind::Read(received) => received.headers().map(own).collect(),
        }
    }

    #[doc = stub!("Message.header")]
    #[pyo3(signature = (name, default=None))]
    fn header<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        default: Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        let found = self.headers(py).into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.into_any()).or(default)
    }

    #[doc = stub!("Message.kind")]
    #[getter]
    fn kind(&self) -> u16 {
        match &self.0 {
            Kind::New(_, fields) => fields.kind,
            Kind::Read(received) => received.kind(),
        }
    }

    #[doc = stub!("Message.expires")]
    #[getter]
    fn expires(&self) -> Option<f64> {
        match &self.0 {
            Kind::New(_, fields) => time(fields.expires_ms),
            Kind::Read(received) => time(received.expires_ms()),
        }
    }

    #[doc = stub!("Message.deliver_at")]
    #[getter]
    fn deliver_at(&self) -> Option<f64> {
        match &self.0 {
            Kind::New(_, fields) => time(fields.deliver_at_ms),
            Kind::Read(received) => time(received.deliver_at_ms()),
        }
    }

    #[doc = stub!("Message.priority")]
    #[getter]
    fn priority(&self) -> u8 {
        match &self.0 {
            Kind::New(_, fields) => fields.priority,
            Kind::Read(received) => received.priority(),
        }
    }

    #[doc = stub!("Message.producer")]
    #[getter]
    fn producer(&self) -> &str {
        match &self.0 {
            Kind::New(_, fields) => &fields.producer,
            Kind::Read(received) => received.producer(),
        }
    }

    #[doc = stub!("Message.producer_sequence")]
    #[getter]
    fn producer_sequence(&self) -> u64 {
        match &self.0 {
            Kind::New(_, fields) => fields.producer_sequence,
            Kind::Read(received) => received.producer_sequence(),
        }
    }

    #[doc = stub!("Message.sequence")]
    #[getter]
    fn sequence(&self) -> u64 {
        self.received().map_or(0, Received::sequence)
    }

    #[doc = stub!("Message.queue")]
    #[getter]
    fn queue(&self) -> u32 {
        self.received().map_or(0, |received| received.queue().number())
    }

    #[doc = stub!("Message.deliveries")]
    #[getter]
    fn deliveries(&self) -> u32 {
        self.received().map_or(0, Received::deliveries)
    }

    #[doc = stub!("Message.committed")]
    #[getter]
    fn committed(&self) -> Option<f64> {
        self.received().and_then(|received| time(received.committed_ms()))
    }

    #[expect(unsafe_code, reason = "the buffer protocol hands out a pointer")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no room for the view"));
        }
        let payload = slf.get().bytes(slf.py());
        let length = isize::try_from(payload.len())
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        // SAFETY: `view` is not NULL and Python's to be filled; the payload lives in a counted buffer, or an
        // object, that never moves or changes and that `slf`, which the view keeps, holds; for reading only.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                payload.as_ptr() as *mut c_void,
                length,
                1,
                flags,
            )
        };
        if filled < 0 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }

    fn __repr__(&self) -> String {
        match &self.0 {
            Kind::New(_, fields) => format!("<repliq.Message to be put, kind {}>", fields.kind),
            Kind::Read(received) => format!("<repliq.Message: {received:?}>"),
        }
    }
}

/// Messages that were read, as a list.
pub fn list(received: Vec<Received>) -> Vec<Message> {
    received.into_iter().map(Message::read).collect()
}

/// Sequences: of a message, a number, or any number of both.
pub fn sequences(from: &Bound<'_, PyAny>) -> Answer<Vec<u64>> {
    if let Some(one) = sequence(from) {
        return Ok(vec![one?]);
    }
    let mut all = Vec::new();
    for item in from.try_iter()? {
        let item = item?;
        match sequence(&item) {
            Some(one) => all.push(one?),
            None => {
                let text = format!("{} is no message and no sequence", item.get_type().name()?);
                return Err(PyTypeError::new_err(text).into());
            }
        }
    }
    Ok(all)
}

fn sequence(from: &Bound<'_, PyAny>) -> Option<Answer<u64>> {
    if let Ok(message) = from.cast::<Message>() {
        return Some(match message.get().sequence() {
            0 => own(Code::Invalid, "the message was not read from a queue"),
            sequence => Ok(sequence),
        });
    }
    let number = from.cast::<pyo3::types::PyInt>().ok()?;
    Some(number.extract::<u64>().or_else(|_| {
        own(Code::Invalid, format!("there is no message {number}: sequences begin with 1"))
    }))
}
