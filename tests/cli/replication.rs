//! `replicate` and `target`: one root queue, two servers.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use repliq::Code;
use serde_json::{Value, json};

use super::run::{Place, Ran, command};
use super::server::{Served, place_with_users};

pub struct Two {
    pub place: Place,
    a: Option<Served>,
    pub b: Option<Served>,
    pub ports: [String; 2],
}

impl Two {
    /// A place with two servers, on the stores `@a` and `@b`.
    pub fn start() -> Two {
        let place = place_with_users();
        let (a, b) = (Served::start(&place, "a", None), Served::start(&place, "b", None));
        let ports = [a.port().to_string(), b.port().to_string()];
        Two { place, a: Some(a), b: Some(b), ports }
    }

    pub fn targets(&self) -> String {
        let [a, b] = &self.ports;
        format!(
            "--plain --target a=repliq://ann@127.0.0.1:{a} --target b=repliq://ann@127.0.0.1:{b} \
             --target-password a={pw} --target-password b={pw}",
            pw = self.place.path("pw").display()
        )
    }

    /// Replicates until everybody has everything.
    pub fn replicate(&self, more: &str) -> Ran {
        self.place.run(&format!("replicate @root q {} --until-caught-up {more}", self.targets()))
    }

    /// The same in the background.
    fn spawn(&self, more: &str) -> Child {
        let words = format!("{} {more}", self.targets());
        command()
            .arg("replicate")
            .arg(self.place.path("root"))
            .arg("q")
            .args(words.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub fn lines(&self, store: &str) -> String {
        self.place.run(&format!("get @{store} q --browse")).text()
    }
}

pub fn numbers(range: std::ops::RangeInclusive<u64>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_message_reaches_every_server_job_by_job() {
    let two = Two::start();
    two.place.run_with("put @root q --batch 10", numbers(1..=245).as_bytes()).text();
    let rows = two.replicate("--json").json();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    for row in &rows {
        assert_eq!((&row["lag_messages"], &row["rewinds"]), (&json!(0), &json!(0)), "{row}");
    }
    for store in ["a", "b"] {
        assert_eq!(two.lines(store), numbers(1..=245));
        let rows = two.place.run(&format!("get @{store} q --browse --json")).json();
        let mut jobs: Vec<(Value, usize)> = Vec::new();
        for row in rows {
            match jobs.last_mut() {
                Some((transaction, count)) if *transaction == row["transaction"] => *count += 1,
                _ => jobs.push((row["transaction"].clone(), 1)),
            }
        }
        let sizes: Vec<usize> = jobs.iter().map(|job| job.1).collect();
        assert_eq!(sizes, [vec![10; 24], vec![5]].concat(), "{store}");
    }
    assert!(two.replicate("").text().starts_with("target"));
}

#[test]
fn what_is_put_meanwhile_goes_out_at_once() {
    let two = Two::start();
    let mut child = two.spawn("- --until-caught-up");
    let mut input = child.stdin.take().unwrap();
    for number in 1..=3u64 {
        std::io::Write::write_all(&mut input, format!("{number}\n").as_bytes()).unwrap();
        let expected = numbers(1..=number);
        wait_until("a line did not arrive", || {
            let ran = two.place.run("get @b q --browse");
            ran.status == 0 && ran.text() == expected
        });
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(two.lines("a"), numbers(1..=3));
}

#[test]
fn a_server_that_was_down_and_a_killed_sender_lose_and_repeat_nothing() {
    let mut two = Two::start();
    two.b.take().unwrap().signal("-KILL");
    two.place.file("in", numbers(1..=4000));
    let file = two.place.path("in").display().to_string();
    let mut child = two.spawn(&format!("{file} --batch 10 --rate 4000"));
    wait_until("nothing arrived", || {
        let ran = two.place.run("queue ls @a --json");
        ran.status == 0
            && ran.json().first().is_some_and(|row| row["messages"].as_u64() > Some(500))
    });
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    two.b = Some(Served::start(&two.place, "b", Some(&two.ports[1])));
    two.replicate(&format!("{file} --batch 10 --resume")).text();
    for store in ["a", "b"] {
        assert!(two.lines(store) == numbers(1..=4000), "{store} has something else");
    }
}

#[test]
fn a_target_that_refuses_the_login_ends_the_wait_and_the_other_has_everything() {
    let two = Two::start();
    two.place.file("wrong", "nonsense\n");
    two.place.run_with("put @root q", b"1\n").text();
    let targets = two.targets().replace(
        &format!("--target-password b={}", two.place.path("pw").display()),
        &format!("--target-password b={}", two.place.path("wrong").display()),
    );
    let ran = two.place.run(&format!("replicate @root q {targets} --until-caught-up"));
    ran.fails(Code::Denied, &["target b"]);
    wait_until("server a has nothing", || {
        two.place.run(&format!("replicate @root q {targets} --until-caught-up"));
        let ran = two.place.run("get @a q --browse");
        ran.status == 0 && ran.text() == "1\n"
    });
}

#[test]
fn a_target_gets_what_it_selects_into_the_queue_it_wants() {
    let two = Two::start();
    two.place.file("in.csv", "k,v\na1,x\nb1,y\na2,z\n");
    two.place.run("put @root q @in.csv --csv --key-column 1").text();
    two.replicate("--select-key-prefix a --destination chosen").text();
    let browse = two.place.run("get @a chosen --browse").text();
    assert_eq!(browse, "a1,x\na2,z\n");
}

#[test]
fn a_token_is_awaited_at_the_targets() {
    let two = Two::start();
    let token = two.place.run_with("put @root q", b"1\n").text();
    let token = token.trim_end();
    two.replicate("").text();
    two.place.run(&format!("token wait @root {token} --at target:*")).text();
    two.place.run(&format!("token wait @root {token} --at target:a --timeout 1")).text();
    let ran = two.place.run(&format!("token wait @root {token} --at target:none --timeout 1"));
    ran.fails(Code::NoSuchName, &["none"]);
}

#[test]
fn targets_are_listed_added_and_removed() {
    let place = Place::with_numbers(3);
    place.file("pw", "secret\n");
    let far = "target add @s q far repliq://ann@127.0.0.1:1 --target-password @pw";
    place.run(far).text();
    let rows = place.run("target ls @s --json").json();
    assert_eq!((&rows[0]["name"], &rows[0]["root"]), (&json!("far"), &json!("q")));
    assert_eq!(rows[0]["lag_messages"], 3);
    assert!(place.run("target ls @s").text().contains("far"));
    place.run("target add @s q near http://x").fails(Code::Invalid, &["URL"]);
    place.run("target add @s nothing near repliq://x").fails(Code::NoSuchName, &["nothing"]);
    place.run("target rm @s q far").text();
    assert_eq!(place.run("target ls @s --json").text(), "");
    place.run("target rm @s q far").fails(Code::NoSuchName, &["far"]);
}

#[test]
fn mistakes_with_targets_have_their_codes() {
    let two = Two::start();
    two.place.run_with("put @root q", b"1\n").text();
    let targets = two.targets();
    let pw = two.place.path("pw").display().to_string();
    let rows = [
        (format!("replicate @root q {targets} --target a=repliq://x"), Code::Exists, "a"),
        (format!("replicate @root q {targets} --target-password c={pw}"), Code::NoSuchName, "c"),
        (
            format!("replicate @root q {targets} --target-password b=/no/file"),
            Code::NoSuchName,
            "/no/file",
        ),
        ("replicate @root q --target a=http://x".into(), Code::Invalid, "URL"),
        ("replicate repliq://x q --target a=repliq://x".into(), Code::Unsupported, "directory"),
        (format!("replicate @root q {targets} @missing"), Code::NoSuchName, "missing"),
        (format!("replicate @a q {targets}"), Code::Locked, "process"),
    ];
    for (words, code, word) in rows {
        let ran = two.place.run(&words);
        assert_eq!(ran.status, code as i32, "{words}: {}", ran.err);
        ran.fails(code, &[word]);
    }
    assert_eq!(two.place.run("replicate @root q").status, Code::Invalid as i32);
}

#[test]
fn a_signal_ends_it_in_order() {
    let mut two = Two::start();
    two.place.run_with("put @root q", b"1\n").text();
    two.a.take();
    let mut child = two.spawn("");
    wait_until("b has nothing", || {
        let ran = two.place.run("get @b q --browse");
        ran.status == 0 && ran.text() == "1\n"
    });
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
