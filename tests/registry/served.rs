//! The same rows at a server, over TCP and a Unix socket: this program is run again with its stores there.

use repliq::{
    ConnectOptions, Right, Server, ServerOptions, Store, StoreOptions, UserSource, Users, Verb,
};
use std::process::{Command, Stdio};

/// Where the stores of the rows are; unset for the directory's own face.
const WHERE: &str = "REPLIQ_REGISTRY_AT";

/// Rows that say nothing about the face of a store, or look inside it.
const NOT_HERE: &[&str] = &["served::", "rows::reg_19"];

/// A store behind a server of this process.
pub struct Served {
    /// Its face at the other end of the connection.
    pub store: Store,
    _server: Server,
    _folder: tempfile::TempDir,
}

fn users() -> Users {
    let mut users = Users::new();
    // The work of a verifier is no part of this test.
    users.add_with("worker", &"secret".into(), 4_096).unwrap();
    let all = Right { verbs: Verb::ALL.to_vec(), queues: vec!["*".into()] };
    users.set_rights("worker", &[all]).unwrap();
    users
}

impl Served {
    /// Puts a server before a store, where the rows are tried at one.
    pub fn if_asked(own: &Store) -> Option<Served> {
        let at = std::env::var(WHERE).ok()?;
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket").display().to_string();
        let listen = if at == "unix" { format!("unix:{socket}") } else { "127.0.0.1:0".into() };
        let options = ServerOptions {
            listen: vec![listen],
            plain: true,
            users: UserSource::Inline(users()),
            ..ServerOptions::default()
        };
        let server = Server::open(own, &options).unwrap();
        let url = match server.addresses().first() {
            Some(address) => format!("repliq://worker@{address}"),
            None => format!("repliq+unix://worker@{socket}"),
        };
        let connect = ConnectOptions {
            password: Some("secret".into()),
            plain: true,
            ..ConnectOptions::default()
        };
        let options = StoreOptions { connect, ..StoreOptions::default() };
        let store = Store::open(&url, &options).unwrap();
        Some(Served { store, _server: server, _folder: folder })
    }
}

fn run_again(at: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(WHERE, at).stdin(Stdio::null());
    for name in NOT_HERE {
        command.args(["--skip", name]);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains(" 0 passed"), "no row was tried:\n{said}");
}

#[test]
fn every_row_holds_for_a_store_at_a_server_over_tcp() {
    run_again("tcp");
}

#[test]
fn every_row_holds_for_a_store_at_a_server_over_a_unix_socket() {
    run_again("unix");
}
