//! TLS 1.3 and nothing older, with certificates that are always verified.
//!
//! There is no switch that accepts any certificate: who has no authority puts the server's own certificate
//! into `ca_file`. Sessions are not resumed and there is no early data, so every connection stands on its own
//! handshake. The protocol's name for ALPN is `repliq/1`: a server of another protocol that happens to have
//! the right certificate is none of ours.

use super::options::ConnectOptions;
use crate::error::{Code, Error, Result};
use crate::wire::Binding;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

const ALPN: &[u8] = b"repliq/1";
/// RFC 9266.
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let name = path.display();
    let read = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err(Error::new(Code::Certificate, format!("{name} holds no certificate")))
        }
        Ok(found) => Ok(found),
        Err(rustls::pki_types::pem::Error::Io(error)) => {
            Err(Error::io(format!("cannot read certificates from {name}"), &error))
        }
        Err(error) => Err(Error::new(
            Code::Certificate,
            format!("cannot read certificates from {name}: {error}"),
        )),
    }
}

fn roots(options: &ConnectOptions) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match &options.ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                store.add(certificate).map_err(|error| {
                    let name = path.display();
                    let text =
                        format!("{name} holds a certificate that cannot be trusted: {error}");
                    Error::new(Code::Certificate, text)
                })?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
        }
    }
    if store.is_empty() {
        let text = "the system has no certificate authorities and no ca_file was given";
        return Err(Error::new(Code::Certificate, text));
    }
    Ok(store)
}

/// What a client needs to make TLS connections.
pub fn connector(options: &ConnectOptions) -> Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(|error| {
        Error::new(Code::Unsupported, format!("this build cannot speak TLS 1.3: {error}"))
    })?;
    let mut config = builder.with_root_certificates(roots(options)?).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name a server must prove.
pub fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_string()).map_err(|_| {
        Error::new(Code::Invalid, format!("{name:?} is no name a certificate can hold"))
    })
}

/// Shakes hands with a server, which must prove that it is `name`.
pub async fn connect(
    connector: &TlsConnector,
    name: &str,
    stream: TcpStream,
) -> Result<(TlsStream<TcpStream>, Binding)> {
    let stream =
        connector.connect(server_name(name)?, stream).await.map_err(|error| failed(&error))?;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(ALPN) {
        let text = "the server speaks TLS, but not this library's protocol inside it";
        return Err(Error::new(Code::Protocol, text));
    }
    let key =
        session.export_keying_material([0; 32], EXPORTER, None).map_err(|e| no_binding(&e))?;
    Ok((TlsStream::Client(stream), Some(key)))
}

fn no_binding(error: &rustls::Error) -> Error {
    Error::new(Code::Protocol, format!("TLS gives no key to bind the login to: {error}"))
}

/// What a server needs to take TLS connections.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

/// Reads a server's certificate chain and key.
pub fn acceptor(certificate_file: &Path, key_file: &Path) -> Result<Acceptor> {
    let chain = certificates(certificate_file)?;
    let name = key_file.display();
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| match error {
        rustls::pki_types::pem::Error::Io(error) => {
            Error::io(format!("cannot read the key {name}"), &error)
        }
        error => Error::new(Code::Certificate, format!("cannot read the key {name}: {error}")),
    })?;
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(|error| {
        Error::new(Code::Unsupported, format!("this build cannot speak TLS 1.3: {error}"))
    })?;
    let mut config =
        builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| {
            let text = format!(
                "cannot use the certificate {} with the key {name}: {error}",
                certificate_file.display()
            );
            Error::new(Code::Certificate, text)
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
}

impl Acceptor {
    /// Shakes hands with a client.
    pub async fn accept(&self, stream: TcpStream) -> Result<(TlsStream<TcpStream>, Binding)> {
        let stream = self.0.accept(stream).await.map_err(|error| failed(&error))?;
        let key = stream
            .get_ref()
            .1
            .export_keying_material([0; 32], EXPORTER, None)
            .map_err(|error| no_binding(&error))?;
        Ok((TlsStream::Server(stream), Some(key)))
    }
}

/// What went wrong inside TLS, or below it.
pub fn failed(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Error::new(Code::Certificate, format!("the server's certificate does not hold: {why}"))
        }
        Some(rustls::Error::NoCertificatesPresented) => {
            Error::new(Code::Certificate, "the server showed no certificate")
        }
        Some(why) => Error::new(Code::Protocol, format!("the TLS handshake failed: {why}")),
        None => Error::new(Code::Unreachable, format!("the connection was lost: {error}")),
    }
}
