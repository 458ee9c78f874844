//! What `make install` brings: the unit, the configuration, manual pages, completions.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::child::{Running, place_with_users};
use super::run::Place;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Installs what these tests were built with into `@usr`.
fn install(place: &Place) -> PathBuf {
    let (from, prefix) = (place.path("from"), place.path("usr"));
    fs::create_dir_all(&from).unwrap();
    let here = std::env::current_exe().unwrap();
    for name in ["librepliq.so", "librepliq.a"] {
        let link = from.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(here.with_file_name(name), link).unwrap();
        }
    }
    if !from.join("repliq").exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_repliq"), from.join("repliq")).unwrap();
    }
    let mut script = Command::new(Path::new(ROOT).join("scripts/install.sh"));
    script.env("PREFIX", &prefix).env("FROM", &from).env_remove("DESTDIR").env_remove("SYSCONFDIR");
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    prefix
}

#[test]
fn the_server_runs_under_the_command_line_of_its_unit() {
    let place = place_with_users();
    let prefix = install(&place);
    let unit = fs::read_to_string(prefix.join("lib/systemd/system/repliq.service")).unwrap();
    assert!(!unit.contains("@bindir@") && !unit.contains("@sysconfdir@"), "{unit}");
    let of = |key: &str| {
        let start = format!("{key}=");
        unit.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{key}"))
    };
    assert_eq!(of("Type"), "notify");
    assert_eq!(of("WatchdogSec"), "30");

    // The installed configuration, with the directories of the system moved below this place.
    let file = prefix.join("etc/repliq.toml");
    let text = fs::read_to_string(&file).unwrap();
    let here = |name: &str| place.path(name).display().to_string();
    let text = text
        .replace("/var/lib/repliq/store", &here("s"))
        .replace("/var/lib/repliq/users", &here("users"))
        .replace("/run/repliq/socket", &here("socket"))
        .replace("127.0.0.1:20902", "127.0.0.1:0")
        .replace("# password_file", "password_file");
    fs::write(&file, text).unwrap();
    fs::create_dir(place.path("credentials")).unwrap();
    place.file("credentials/repliq_password", "of the store\n");

    let notify = UnixDatagram::bind(place.path("notify")).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let words: Vec<&str> = of("ExecStart").split(' ').collect();
    let mut serve = Command::new(words[0]);
    serve.args(&words[1..]).env_clear();
    serve.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "30000000");
    serve.env("CREDENTIALS_DIRECTORY", place.path("credentials")).env("JOURNAL_STREAM", "1:2");
    let mut running = Running::of(&mut serve);
    let mut bytes = [0; 4096];
    let count = notify.recv(&mut bytes).unwrap();
    assert!(bytes[..count].starts_with(b"READY=1\n"));
    let url = format!("repliq+unix://ann@{} --password-file @pw", here("socket"));
    place.run_with(&format!("put {url} q"), b"1\n").text();
    assert_eq!(running.get("/readyz").0, 200);
    assert_eq!(of("ExecReload"), "/bin/kill -HUP $MAINPID");
    running.signal("-HUP");
    running.wait_for("read again");
    running.signal("-TERM");
    assert_eq!(running.end().code(), Some(0));
    for line in running.log().lines() {
        assert!(line.starts_with("<6>") || line.starts_with("<4>"), "{line}");
    }
    // A second installation leaves the configuration as it is.
    let before = fs::read(&file).unwrap();
    install(&place);
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn systemd_finds_no_mistake_in_the_unit() {
    let there = Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("SKIPPED there is no systemd-analyze");
        return;
    }
    let place = Place::new();
    let unit = install(&place).join("lib/systemd/system/repliq.service");
    let verify = Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&unit).output();
    let verify = verify.unwrap();
    let text = String::from_utf8_lossy(&verify.stderr).into_owned();
    // Other units of the machine may have faults of their own.
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("repliq")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn manual_pages_and_completions_are_installed_and_name_every_verb() {
    let place = Place::new();
    let share = install(&place).join("share");
    let read = |name: &str| fs::read_to_string(share.join(name)).unwrap();
    for verb in ["put", "serve", "queue", "queue-purge", "conn-kill", "config-check", "user-add"] {
        let page = read(&format!("man/man1/repliq-{verb}.1"));
        assert!(page.contains(".TH") && page.contains(".SH"), "{page}");
    }
    let serve = read("man/man1/repliq-serve.1");
    assert!(serve.contains("users\\-file") && serve.contains("log\\-format"), "{serve}");
    for file in [
        "bash-completion/completions/repliq",
        "zsh/site-functions/_repliq",
        "fish/vendor_completions.d/repliq.fish",
    ] {
        let script = read(file);
        for word in ["serve", "purge", "users-file"] {
            assert!(script.contains(word), "{word} is not in {file}");
        }
    }
    let script = share.join("bash-completion/completions/repliq");
    let status = Command::new("bash").arg("-n").arg(script).status().unwrap();
    assert!(status.success());
}
