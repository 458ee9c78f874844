//! Passwords are never arguments.

use repliq::Code;

use super::run::{Place, files};

/// All verbs of a help text, with those below them.
fn verbs(place: &Place, path: &str) -> Vec<String> {
    let help = place.run(&format!("{path} --help")).text();
    let Some(list) = help.split("Commands:\n").nth(1) else { return vec![path.to_string()] };
    let names = list.lines().take_while(|line| line.starts_with("  ")).filter_map(|line| {
        let name = line.split_whitespace().next()?;
        (line.starts_with("  ") && !line.starts_with("   ") && name != "help").then_some(name)
    });
    names.flat_map(|name| verbs(place, format!("{path} {name}").trim())).collect()
}

#[test]
fn no_verb_takes_a_password_as_a_word() {
    let place = Place::new();
    let verbs = verbs(&place, "");
    assert!(verbs.len() > 15, "{verbs:?}");
    for verb in &verbs {
        let help = place.run(&format!("{verb} --help")).text();
        for line in help.lines().map(str::trim).filter(|line| line.starts_with('-')) {
            let takes_value = line.contains('<');
            let harmless = ["file", "fd"].iter().any(|word| line.to_lowercase().contains(word));
            assert!(
                !line.contains("password") || !takes_value || harmless,
                "{verb} takes a password as an argument: {line}"
            );
        }
    }
}

#[test]
fn a_store_made_with_a_password_opens_with_it_only() {
    let place = Place::new();
    place.file("pw", "correct horse\n");
    place.file("wrong", "battery staple\n");
    place.run_with("put @s q --password-file @pw", b"canary of the coal mine\n").text();
    place.run("get @s q --browse").fails(Code::BadPassword, &["/s"]);
    place.run("get @s q --browse --password-file @wrong").fails(Code::BadPassword, &["/s"]);
    let words = "get @s q --browse --password-file @pw";
    assert_eq!(place.run(words).text(), "canary of the coal mine\n");
    place.run("verify @s --password-file @pw").text();
    for file in files(&place.path("s")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", file.display());
    }
}

#[test]
fn a_password_comes_through_a_descriptor() {
    let place = Place::new();
    place.file("pw", "correct horse\n");
    place.run_with("put @s q --password-file @pw", b"1\n").text();
    let words = format!(
        "exec 3< {pw}; exec {bin} get {s} q --browse --password-fd 3",
        pw = place.path("pw").display(),
        bin = env!("CARGO_BIN_EXE_repliq"),
        s = place.path("s").display(),
    );
    let output = std::process::Command::new("bash").args(["-c", &words]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"1\n"[..]));
}

#[test]
fn passwd_changes_the_password_and_nothing_else() {
    let place = Place::new();
    place.file("old", "correct horse\n");
    place.file("new", "battery staple\n");
    place.run_with("put @s q --password-file @old", b"1\n").text();
    place
        .run("passwd @s --password-file @new --new-password-file @new")
        .fails(Code::BadPassword, &[]);
    place.run("passwd @s --password-file @old").fails(Code::Invalid, &["--new-password-file"]);
    place.run("passwd @s --password-file @old --new-password-file @new").text();
    place.run("get @s q --browse --password-file @old").fails(Code::BadPassword, &[]);
    assert_eq!(place.run("get @s q --browse --password-file @new").text(), "1\n");
    place.run_with("put @plain q", b"1\n").text();
    let ran = place.run("passwd @plain --new-password-file @new");
    ran.fails(Code::Invalid, &["it has none"]);
}
