//! `/healthz`, `/readyz` and `/metrics`, for those who watch a server: a small HTTP server on a thread of its own.
//!
//! It asks for no login, so it listens on the loopback address unless told otherwise, shows names and counts and
//! no message, takes GET and HEAD only, and at most so many connections at once.
//!
//! | path | 200 while | 503 |
//! |---|---|---|
//! | `/healthz` | the server runs and no sync failed | it must be started anew |
//! | `/readyz` | it takes puts, too | it is starting, closing, or its store takes no changes |

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use repliq::{Code, Server, Store};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use super::fail::{Done, Fail};
use super::metrics;

/// Connections at one time; one more waits.
const CONNECTIONS_MAX: usize = 32;
/// How long a request may take to arrive.
const HEADERS: Duration = Duration::from_secs(5);
/// The longest a connection lives.
const LIFE: Duration = Duration::from_secs(60);
/// How long to wait when the system has no more descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// What a server and its store say of themselves.
pub struct Health {
    store: Store,
    server: Arc<Server>,
    leaving: AtomicBool,
}

impl Health {
    /// Of this server on this store.
    pub fn new(store: Store, server: Arc<Server>) -> Arc<Health> {
        Arc::new(Health { store, server, leaving: AtomicBool::new(false) })
    }

    /// From now on it is not ready.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    /// Fails when nothing but a new start can help.
    pub fn check_alive(&self) -> repliq::Result<()> {
        if !self.leaving.load(Ordering::SeqCst) {
            self.server.check()?;
        }
        match self.store.check() {
            Err(error) if error.code() == Code::Poisoned => Err(error),
            _ => Ok(()),
        }
    }

    fn check_ready(&self) -> Done {
        if self.leaving.load(Ordering::SeqCst) {
            return Err(Fail::new(Code::Closed, "the server closes"));
        }
        self.server.check()?;
        Ok(self.store.check()?)
    }

    fn metrics(&self) -> Done<String> {
        let status = self.server.status().unwrap_or_default();
        let server = serde_json::from_str(&status).unwrap_or(Value::Null);
        metrics::text(self.store.metrics()?, server)
    }
}

/// The HTTP server; dropping it ends it.
pub struct Http {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Http {
    /// Listens and answers from now on.
    pub fn open(at: &str, health: Arc<Health>) -> Done<Http> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                Fail::new(Code::Locked, format!("cannot answer HTTP at {at}: it is in use"))
            }
            _ => Fail::io(format!("cannot answer HTTP at {at}"), &error),
        };
        let mut addresses = at.to_socket_addrs().map_err(|error| {
            Fail::new(Code::Invalid, format!("cannot answer HTTP at {at}: {error}"))
        })?;
        let address = addresses.next().ok_or_else(|| {
            Fail::new(Code::Invalid, format!("cannot answer HTTP at {at}: it has no address"))
        })?;
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            log::warn!("health and metrics are shown without a login at {address}");
        }
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let work = move || runtime.block_on(serve(listener, health, stopped));
        let thread = std::thread::Builder::new().name("repliq-http".into()).spawn(work);
        Ok(Http { stop, thread: Some(thread.map_err(failed)?), address })
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there, and this process ends anyway.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, health: Arc<Health>, stop: Arc<Notify>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!("cannot answer HTTP: {error}"),
    };
    let accepting = tokio::spawn(accept(listener, health));
    stop.notified().await;
    accepting.abort();
}

async fn accept(listener: tokio::net::TcpListener, health: Arc<Health>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("cannot take an HTTP connection: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let health = health.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let answer = answer(&health, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(16 << 10);
            let talk = server.serve_connection(TokioIo::new(stream), answer);
            // Whoever breaks off or dawdles is nobody's concern.
            let _ = tokio::time::timeout(LIFE, talk).await;
            drop(place);
        });
    }
}

fn answer(health: &Health, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n".into());
    }
    let outcome = match request.uri().path() {
        "/healthz" => health.check_alive().map_err(Fail::from).map(|()| (TEXT, "ok\n".to_string())),
        "/readyz" => health.check_ready().map(|()| (TEXT, "ok\n".to_string())),
        "/metrics" => health.metrics().map(|text| (METRICS, text)),
        _ => {
            let paths = "/healthz /readyz /metrics\n".to_string();
            return response(StatusCode::NOT_FOUND, TEXT, paths);
        }
    };
    match outcome {
        Ok((kind, text)) => response(StatusCode::OK, kind, text),
        Err(fail) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{fail}\n")),
    }
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
