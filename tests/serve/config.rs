//! `/etc/repliq.toml`, and what `config` says of it.

use repliq::Code;
use serde_json::{Value, json};

use super::child::{Running, place_with_users};
use super::run::{Place, command};

fn shown(place: &Place, words: &str, name: &str) -> (Value, String) {
    let rows = place.run(&format!("config show --json {words}")).json();
    let row = rows.iter().find(|row| row["name"] == name).unwrap();
    (row["value"].clone(), row["origin"].as_str().unwrap().to_string())
}

#[test]
fn each_value_has_its_origin_and_a_flag_overrides_the_file() {
    let place = Place::new();
    let file = place.file(
        "c.toml",
        "# first line\nstore = \"/x\"\nlisten = [\"unix:/a\", \"127.0.0.1:1\"]\n\nkeep_ms = 1_000\nplain = true\nlog_format = 'json'\n",
    );
    let at = |line: usize| format!("{}:{line}", file.display());
    let of = |name: &str| shown(&place, "--config @c.toml", name);
    assert_eq!(of("store"), (json!("/x"), at(2)));
    assert_eq!(of("listen"), (json!(["unix:/a", "127.0.0.1:1"]), at(3)));
    assert_eq!(of("keep_ms"), (json!(1000), at(5)));
    assert_eq!(of("plain"), (json!(true), at(6)));
    assert_eq!(of("log_format"), (json!("json"), at(7)));
    assert_eq!(of("login_ms"), (json!(5000), "default".into()));
    assert_eq!(of("http"), (json!(null), "default".into()));
    let words = "--config @c.toml /y --plain=false --listen 127.0.0.1:2 --listen unix:/b --keep-ms 7 --password-file /p";
    let of = |name: &str| shown(&place, words, name);
    assert_eq!(of("store"), (json!("/y"), "flag".into()));
    assert_eq!(of("plain"), (json!(false), "flag".into()));
    assert_eq!(of("listen"), (json!(["127.0.0.1:2", "unix:/b"]), "flag".into()));
    assert_eq!(of("keep_ms"), (json!(7), "flag".into()));
    assert_eq!(of("password_file"), (json!("/p"), "flag".into()));
    let table = place.run("config show --config @c.toml").text();
    assert!(table.contains(&at(5)) && table.contains("unix:/a 127.0.0.1:1"), "{table}");
}

#[test]
fn a_mistake_in_the_file_has_its_line_and_says_what_was_meant() {
    let place = Place::new();
    let rows = [
        ("\nlissten = [\"x\"]\n", Code::Invalid, ":2: ", "did you mean listen?"),
        ("keep-ms = 1\n", Code::Invalid, ":1: ", "did you mean keep_ms?"),
        ("colour = 1\n", Code::Invalid, ":1: ", "there is no option \"colour\""),
        ("[server]\nplain = true\n", Code::Invalid, ":1: ", "server"),
        ("keep_ms = 1\nkeep_ms = 2\n", Code::Invalid, ":2: ", "duplicate"),
        ("keep_ms = \"1\"\n", Code::Invalid, ":1: ", "a whole number is expected"),
        ("keep_ms = -1\n", Code::Invalid, ":1: ", "out of range"),
        ("connections_max = 0\n", Code::Invalid, ":1: ", "between 1 and"),
        ("plain = \"yes\"\n", Code::Invalid, ":1: ", "true or false is expected"),
        ("listen = \"x\"\n", Code::Invalid, ":1: ", "a list of texts is expected"),
        ("listen = []\n", Code::Invalid, ":1: ", "lists nothing"),
        ("store = \"\"\n", Code::Invalid, ":1: ", "empty"),
        ("log_level = \"loud\"\n", Code::Invalid, ":1: ", "error, warn, info"),
        ("a = \n", Code::Invalid, ":1: ", ""),
        ("key_file = \"$CREDENTIALS_DIRECTORY/x\"\n", Code::Invalid, ":1: ", "is not set"),
    ];
    for (text, code, line, words) in rows {
        let file = place.file("c.toml", text);
        let at = format!("{}{line}", file.display());
        for verb in ["config check", "config show", "serve"] {
            place.run(&format!("{verb} --config @c.toml")).fails(code, &[&at, words]);
        }
    }
    place.run("config check --config @none").fails(Code::NoSuchName, &["none"]);
    place.file("latin", b"store = \"\xe4\"\n");
    place.run("config check --config @latin").fails(Code::Invalid, &["UTF-8"]);
    place.file("large", " ".repeat((1 << 20) + 1));
    place.run("config check --config @large").fails(Code::TooLarge, &["large"]);
    place.file("empty", "");
    place.run("serve --config @empty").fails(Code::Invalid, &["no store is named"]);
    place.run("serve @s --config @empty").fails(Code::Invalid, &["users_file"]);
    assert_eq!(place.run("serve @s --keep-ms x").status, Code::Invalid as i32);
    assert_eq!(place.run("serve @s --no-such-flag").status, Code::Invalid as i32);
}

#[test]
fn a_check_looks_at_what_the_file_names_and_starts_nothing() {
    let place = place_with_users();
    let with = |more: &str| {
        let (store, users) = (place.path("s"), place.path("users"));
        let text = format!("store = {store:?}\nusers_file = {users:?}\n{more}");
        place.file("c.toml", text);
        place.run("config check --config @c.toml")
    };
    assert_eq!(with("").text(), "");
    assert!(!place.path("s").exists());
    let junk = place.file("junk", "no certificate\n");
    let tls = format!("certificate_file = {junk:?}\nkey_file = {junk:?}\n");
    with(&tls).fails(Code::Certificate, &["junk"]);
    with(&format!("key_file = {junk:?}\n")).fails(Code::Invalid, &["certificate"]);
    with("heartbeat_ms = 1\n").fails(Code::Invalid, &["heartbeat_ms", "50"]);
    with("http = \"nonsense\"\n").fails(Code::Invalid, &["nonsense", "port"]);
    with("password_file = \"/no/such\"\n").fails(Code::NoSuchName, &["/no/such"]);
    std::fs::remove_file(place.path("users")).unwrap();
    with("").fails(Code::NoSuchName, &["users"]);
}

#[test]
fn a_server_takes_its_options_from_the_file_and_secrets_from_where_the_manager_put_them() {
    let place = place_with_users();
    std::fs::create_dir(place.path("credentials")).unwrap();
    place.file("credentials/repliq_password", "of the store\n");
    let (store, users, socket) = (place.path("s"), place.path("users"), place.path("socket"));
    place.file(
        "c.toml",
        format!(
            "store = {store:?}\nusers_file = {users:?}\nplain = true\nhttp = \"0\"\n\
             listen = [\"127.0.0.1:0\", \"unix:{}\"]\n\
             password_file = \"$CREDENTIALS_DIRECTORY/repliq_password\"\n",
            socket.display()
        ),
    );
    let mut serve = command();
    serve.arg("serve").arg("--config").arg(place.path("c.toml"));
    serve.env("CREDENTIALS_DIRECTORY", place.path("credentials"));
    let mut running = Running::of(&mut serve);
    place.run_with(&format!("put {} q", running.with("ann")), b"1\n").text();
    let unix = format!("repliq+unix://ann@{} --password-file @pw", socket.display());
    assert_eq!(place.run(&format!("get {unix} q --browse")).text(), "1\n");
    assert!(running.http.starts_with("127.0.0.1:"), "{}", running.http);
    running.signal("-TERM");
    assert_eq!(running.end().code(), Some(0));
    place.run("get @s q --browse").fails(Code::BadPassword, &[]);
    place.file("of", "of the store\n");
    assert_eq!(place.run("get @s q --browse --password-file @of").text(), "1\n");
}
