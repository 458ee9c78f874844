//! Servers: a store that others can reach.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use repliq::{Code, Password, Right, ServerLimits, ServerOptions, UserSource, Users, Verb};
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Answer, own};
use crate::message::text_or_bytes;
use crate::store::{Store, json};
use crate::wait::{ending, milliseconds, without_gil};

#[doc = stub!("Server")]
#[pyclass(frozen, module = "repliq")]
pub struct Server {
    server: Arc<repliq::Server>,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (store, *, listen=None, plain=false, certificate_file=None, key_file=None,
        users_file=None, users=None, heartbeat=5.0, login=5.0, failure_wait_max=30.0, connections_max=1024,
        strangers_max=64, failures_max=5, sessions_max=16_384, transactions_max=4_096,
        staged_bytes_max=4_294_967_296, user_share=50))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        store: &Bound<'_, Store>,
        listen: Option<Vec<String>>,
        plain: bool,
        certificate_file: Option<PathBuf>,
        key_file: Option<PathBuf>,
        users_file: Option<PathBuf>,
        users: Option<&Bound<'_, PyAny>>,
        heartbeat: f64,
        login: f64,
        failure_wait_max: f64,
        connections_max: usize,
        strangers_max: usize,
        failures_max: u32,
        sessions_max: usize,
        transactions_max: usize,
        staged_bytes_max: u64,
        user_share: u32,
    ) -> Answer<Server> {
        let users = match (users_file, users) {
            (Some(_), Some(_)) => {
                return own(
                    Code::Invalid,
                    "users come from users_file or from users, not from both",
                );
            }
            (Some(path), None) => UserSource::File(path),
            (None, users) => UserSource::Inline(users.map_or(Ok(Users::new()), inline)?),
        };
        let options = ServerOptions {
            listen: listen.unwrap_or_else(|| ServerOptions::default().listen),
            plain,
            certificate_file,
            key_file,
            users,
            heartbeat_ms: milliseconds(heartbeat, "heartbeat")?,
            limits: ServerLimits {
                connections_max,
                strangers_max,
                login_ms: milliseconds(login, "login")?,
                failures_max,
                failure_wait_ms_max: milliseconds(failure_wait_max, "failure_wait_max")?,
                sessions_max,
                transactions_max,
                staged_bytes_max,
                user_share,
            },
        };
        let of = store.get().of.clone();
        let server = without_gil(py, || repliq::Server::open(&of.store, &options))?;
        Ok(Server { server: Arc::new(server) })
    }

    #[doc = stub!("Server.addresses")]
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.server.addresses().iter().map(ToString::to_string).collect()
    }

    #[doc = stub!("Server.status")]
    fn status<'py>(&self, py: Python<'py>) -> Answer<Bound<'py, PyAny>> {
        json(py, &without_gil(py, || self.server.status())?)
    }

    #[doc = stub!("Server.reload")]
    fn reload(&self, py: Python<'_>) -> Answer<()> {
        without_gil(py, || self.server.reload())
    }

    #[doc = stub!("Server.close")]
    fn close(&self, py: Python<'_>) -> Answer<()> {
        let server = self.server.clone();
        ending(py, move || server.close())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> Answer<()> {
        self.close(py)
    }
}

/// Users as `repliq.User` holds them.
fn inline(from: &Bound<'_, PyAny>) -> Answer<Users> {
    let mut users = Users::new();
    for user in from.try_iter()? {
        let user = user?;
        let name: String = user.getattr("name")?.extract()?;
        let password = Password::from(text_or_bytes(&user.getattr("password")?)?);
        let verbs = list(&user.getattr("verbs")?.extract::<String>()?);
        let queues = list(&user.getattr("queues")?.extract::<String>()?);
        let verbs = verbs.iter().map(|name| verb(name)).collect::<Answer<Vec<Verb>>>()?;
        users.add(&name, &password)?;
        users.set_rights(&name, &[Right { verbs, queues }])?;
    }
    Ok(users)
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).collect()
}

fn verb(name: &str) -> Answer<Verb> {
    match Verb::ALL.iter().find(|verb| verb.name() == name) {
        Some(verb) => Ok(*verb),
        None => own(Code::Invalid, format!("{name:?} is no verb that a user can have")),
    }
}
