//! `repliq serve`: a server on a store, until a signal ends it.

use std::path::PathBuf;
use std::time::Duration;

use repliq::{Server, ServerOptions, StoreOptions, UserSource};
use serde_json::json;

use super::fail::Done;
use super::output::Output;
use super::place::Folder;
use super::signal::{Asked, Signals};

/// Serve a store: other stores replicate into it, and people ask for its status
///
/// A store that does not exist is created. SIGINT and SIGTERM end it in order; SIGHUP reads users and
/// certificate again. TLS is required unless --plain allows plain TCP; a Unix socket needs neither.
#[derive(clap::Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    folder: Folder,
    /// Where to listen: host:port, port 0 for any, or unix:/path; may be repeated
    #[arg(long, value_name = "ADDRESS", default_values_t = ["127.0.0.1:20901".to_string()])]
    listen: Vec<String>,
    /// The users file, written by `repliq user add`
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    /// PEM file of the certificate chain
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// PEM file of the certificate's key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Allow plain TCP
    #[arg(long)]
    plain: bool,
    /// Print the addresses as JSON
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Serves until a signal comes.
    pub fn run(self) -> Done {
        let mut signals = Signals::open()?;
        let store = self.folder.open(StoreOptions::default())?;
        let server = Server::open(
            &store,
            &ServerOptions {
                listen: self.listen.clone(),
                plain: self.plain,
                certificate_file: self.certificate.clone(),
                key_file: self.key.clone(),
                users: UserSource::File(self.users.clone()),
                ..ServerOptions::default()
            },
        )?;
        self.announce(&server)?;
        loop {
            match signals.wait(Duration::MAX / 4) {
                Some(Asked::End) => break,
                Some(Asked::Reload) => {
                    if let Err(error) = server.reload() {
                        eprintln!("repliq: {error}");
                    }
                }
                None => {}
            }
        }
        server.close();
        Ok(store.close()?)
    }

    /// One line when everything listens, so that a script knows when to go on.
    fn announce(&self, server: &Server) -> Done {
        let mut output = Output::open();
        let mut addresses: Vec<String> =
            server.addresses().iter().map(|address| address.to_string()).collect();
        addresses.extend(self.listen.iter().filter(|at| at.starts_with("unix:")).cloned());
        if self.json {
            output.json(&json!({ "listening": addresses }))?;
        } else {
            output.line(&format!("listening on {}", addresses.join(" ")))?;
        }
        output.flush()
    }
}
