//! Stores of ours behind a server on loopback, and the way to them.

use repliq::{
    ConnectOptions, Password, Right, Server, ServerOptions, Store, StoreOptions, UserSource, Users,
    Verb,
};

use super::Plan;
use super::contest::{Done, failed};

/// The user everybody is, and the password.
pub const USER: &str = "bench";

pub fn password() -> Password {
    Password::from("a bench on loopback has no secret")
}

/// Serves a store in plain TCP; the user may do this.
pub fn serve(store: &Store, listen: &str, verbs: &[Verb]) -> repliq::Result<Server> {
    let mut users = Users::new();
    // The least number of iterations: logging in is not what is measured.
    users.add_with(USER, &password(), 4_096)?;
    let right = Right { verbs: verbs.to_vec(), queues: vec!["*".to_string()] };
    users.set_rights(USER, &[right])?;
    let options = ServerOptions {
        listen: vec![listen.to_string()],
        plain: true,
        users: UserSource::Inline(users),
        ..ServerOptions::default()
    };
    Server::open(store, &options)
}

/// How to connect to such a server.
pub fn connecting() -> ConnectOptions {
    ConnectOptions { password: Some(password()), plain: true, ..ConnectOptions::default() }
}

/// The store at the server that listens on this port.
pub fn connect(port: u64) -> Done<Store> {
    let options = StoreOptions { connect: connecting(), ..StoreOptions::default() };
    let url = format!("repliq://{USER}@127.0.0.1:{port}");
    Store::open(url, &options).map_err(failed("connect"))
}

/// A store of this process, or where `--port` names a server, a connection to it for each thread.
pub fn stores(plan: &Plan) -> Done<Vec<Store>> {
    match plan.port {
        0 => Ok(vec![plan.store("store")?]),
        port => (0..plan.threads).map(|_| connect(port)).collect(),
    }
}

/// Serves a store in a process of its own until that is ended, as servers of peers do.
pub fn alone(plan: &Plan) -> Done<std::convert::Infallible> {
    let store = plan.store("served")?;
    let listen = format!("127.0.0.1:{}", plan.port);
    let _server = serve(&store, &listen, Verb::ALL).map_err(failed("open the server"))?;
    loop {
        std::thread::park();
    }
}
