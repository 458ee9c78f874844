//! `repliq serve`: a server on a store, until a signal ends it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use repliq::Server;
use serde_json::json;

use super::config::{Given, Settings};
use super::fail::Done;
use super::http::{Health, Http};
use super::logging::Log;
use super::notify::Notify;
use super::output::Output;
use super::place::Folder;
use super::secret::Secret;
use super::signal::{Asked, Signals};

/// How often the server is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// Serve a store: other stores replicate into it, and people ask for its status
///
/// Options come from /etc/repliq.toml or the file of --config, and the flags here override it; `repliq config show`
/// prints what is in force. A store that does not exist is created. SIGINT and SIGTERM end it in order; SIGHUP
/// reads users and certificate again. TLS is required unless --plain allows plain TCP; a Unix socket needs neither.
#[derive(clap::Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    given: Given,
    /// Print the addresses as JSON
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Serves until a signal comes.
    pub fn run(self) -> Done {
        let settings = self.given.settings()?;
        let mut signals = Signals::open()?;
        Log::new(&settings)?.start()?;
        let (name, http) = (settings.store()?, settings.http()?);
        let server_options = settings.server_options()?;
        let password_file = settings.path("password_file");
        let secret = Secret { password_file, ..self.given.secret.clone() };
        let store = Folder::new(&name, secret).open(settings.store_options()?)?;
        let server = Arc::new(Server::open(&store, &server_options)?);
        let health = Health::new(store.clone(), server.clone());
        let http = http.map(|at| Http::open(&at, health.clone())).transpose()?;
        self.announce(&server, &settings, http.as_ref())?;
        let notify = Notify::from_environment();
        notify.say(&format!("READY=1\nSTATUS=serving {name}"));
        log::info!("serving {name}, version {}", repliq::VERSION);
        let outcome = live(&mut signals, &server, &health, &notify);
        notify.say("STOPPING=1\nSTATUS=answering what was asked");
        log::info!("closing {name}");
        health.leave();
        server.close();
        let closed = store.close();
        drop(http);
        outcome?;
        closed?;
        log::info!("closed {name}");
        Ok(())
    }

    /// One line when everything listens, so that a script knows when to go on.
    fn announce(&self, server: &Server, settings: &Settings, http: Option<&Http>) -> Done {
        let mut output = Output::open();
        let mut addresses: Vec<String> =
            server.addresses().iter().map(|address| address.to_string()).collect();
        addresses.extend(settings.listen().into_iter().filter(|at| at.starts_with("unix:")));
        let http = http.map(|http| http.address.to_string());
        if self.json {
            output.json(&json!({ "listening": addresses, "http": http }))?;
        } else {
            output.line(&format!("listening on {}", addresses.join(" ")))?;
            if let Some(http) = http {
                output.line(&format!("health and metrics on http://{http}"))?;
            }
        }
        output.flush()
    }
}

/// Looks after the server until a signal ends it, or it ends by itself.
fn live(signals: &mut Signals, server: &Server, health: &Health, notify: &Notify) -> Done {
    let beat = notify.watchdog().map(|limit| limit / 3);
    let look = beat.map_or(LOOK, |beat| beat.min(LOOK));
    let mut beaten: Option<Instant> = None;
    loop {
        match signals.wait(look) {
            Some(Asked::End) => return Ok(()),
            Some(Asked::Reload) => reload(server, notify),
            None => {}
        }
        // Without its thread nobody is served, and nothing here would ever end.
        server.check()?;
        let due = beat.is_some_and(|beat| beaten.is_none_or(|last| last.elapsed() >= beat));
        // A poisoned store is opened anew by who starts the server anew.
        if due && health.check_alive().is_ok() {
            notify.say("WATCHDOG=1");
            beaten = Some(Instant::now());
        }
    }
}

fn reload(server: &Server, notify: &Notify) {
    notify.say("RELOADING=1");
    match server.reload() {
        Ok(()) => notify.say("READY=1\nSTATUS=users and certificate were read again"),
        Err(error) => {
            log::error!("all stays as it was: {error}");
            notify.say(&format!("READY=1\nSTATUS=all stays as it was: {error}"));
        }
    }
}
