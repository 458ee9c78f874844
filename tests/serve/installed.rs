//! What `make install` brings: the unit, the configuration, manual pages, completions.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::child::{Running, place_with_users};
use super::options::flags;
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
fn systemd_reckons_that_the_unit_exposes_little() {
    let place = Place::new();
    let unit = install(&place).join("lib/systemd/system/repliq.service");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--no-pager", "--offline=true", "--threshold=20"]).arg(&unit);
    let Ok(output) = security.output() else {
        println!("SKIPPED there is no systemd-analyze");
        return;
    };
    // 0.0 to 10.0, in tenths; a unit that says nothing has 9.6.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Overall exposure level for repliq.service"), "{output:?}");
    assert!(output.status.success(), "{text}");
    for key in ["StateDirectory=repliq", "LoadCredential=repliq:", "User=repliq"] {
        let unit = fs::read_to_string(&unit).unwrap();
        assert!(unit.lines().any(|line| line.starts_with(key)), "{key} in {unit}");
    }
}

#[test]
fn each_verb_has_its_manual_page_with_each_of_its_flags() {
    let place = Place::new();
    let share = install(&place).join("share");
    let flags = flags();
    assert!(flags.len() > 25, "{flags:?}");
    for (verb, flags) in &flags {
        let name = format!("man/man1/repliq-{}.1", verb.replace(' ', "-"));
        let page =
            fs::read_to_string(share.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".TH") && page.contains(".SH"), "{page}");
        for flag in flags {
            let flag = flag.replace('-', "\\-");
            assert!(page.contains(&flag), "{flag} is not in {name}: {page}");
        }
    }
    let first = fs::read_to_string(share.join("man/man1/repliq.1")).unwrap();
    for verb in flags.keys().filter_map(|verb| verb.split(' ').next()) {
        assert!(
            first.contains(&format!("repliq\\-{verb}(1)")),
            "{verb} is not in repliq.1: {first}"
        );
    }
}

/// What bash offers for the last of these words.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    let mut bash = Command::new("bash");
    let last = words.len() - 1;
    let line = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={last}; _repliq repliq '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words[last],
        words[last - 1]
    );
    let output = bash.arg("-c").arg(line).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect()
}

#[test]
fn shells_complete_each_verb_and_its_flags() {
    let place = Place::new();
    let share = install(&place).join("share");
    let bash = share.join("bash-completion/completions/repliq");
    let flags = flags();
    for (verb, flags) in &flags {
        let words: Vec<&str> = verb.split(' ').collect();
        let (parents, last) = words.split_at(words.len() - 1);
        let begun = [&["repliq"], parents, &[&last[0][..1]]].concat();
        assert!(offered(&bash, &begun).iter().any(|one| one == last[0]), "{verb}");
        let begun = [&["repliq"], &words[..], &["--"]].concat();
        let offered = offered(&bash, &begun);
        for flag in flags {
            assert!(offered.contains(flag), "{flag} of {verb}: {offered:?}");
        }
    }
    for file in ["zsh/site-functions/_repliq", "fish/vendor_completions.d/repliq.fish"] {
        let script = fs::read_to_string(share.join(file)).unwrap();
        for (verb, flags) in &flags {
            let words = verb.split(' ').map(str::to_string);
            for word in
                words.chain(flags.iter().map(|flag| flag.trim_start_matches('-').to_string()))
            {
                assert!(script.contains(&word), "{word} of {verb} is not in {file}");
            }
        }
    }
}
