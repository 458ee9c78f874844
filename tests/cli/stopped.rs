//! A target that does not go on by itself: what is said, and what helps.

use repliq::Code;
use serde_json::{Value, json};

use super::replication::{Two, numbers};
use super::server::Served;

impl Two {
    /// Ends server `b`, does something to its directory, and starts it again.
    fn meanwhile_at_b(&mut self, act: impl FnOnce(&Two)) {
        self.b.take().unwrap().signal("-KILL");
        act(self);
        self.b = Some(Served::start(&self.place, "b", Some(&self.ports[1])));
    }

    /// The row of a target, as the root's store has it.
    fn row(&self, name: &str) -> Value {
        let rows = self.place.run("target ls @root --json").json();
        rows.into_iter().find(|row| row["name"] == name).unwrap()
    }

    /// The words of target `b` alone.
    fn only_b(&self) -> String {
        let (port, pw) = (&self.ports[1], self.place.path("pw"));
        format!(
            "--plain --target b=repliq://ann@127.0.0.1:{port} --target-password b={}",
            pw.display()
        )
    }
}

#[test]
fn a_refusal_is_told_set_aside_and_the_rest_goes_out() {
    let mut two = Two::start();
    two.place.run_with("put @root q", b"1\n").text();
    two.replicate("").text();
    // Nothing is refused yet.
    let skip = format!("target skip @root q {}", two.only_b());
    two.place.run(&format!("{skip} --timeout 1")).fails(Code::Timeout, &["b", "1 seconds"]);

    two.meanwhile_at_b(|two| {
        two.place.run("queue pause @b q").text();
    });
    two.place.run_with("put @root q --batch 2", b"2\n3\n4\n").text();
    let ran = two.replicate("--json");
    ran.fails(Code::Paused, &["target b", "is paused", "transaction"]);
    let printed = String::from_utf8(ran.out).unwrap();
    let rows: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&rows[0]["lag_messages"], &rows[0]["refused"]), (&json!(0), &json!(null)));
    assert_eq!(rows[1]["lag_messages"], 3);
    assert!(rows[1]["refused"].as_str().unwrap().contains("is paused"), "{printed}");
    assert_eq!(two.lines("a"), numbers(1..=4));

    // One transaction is set aside, and not the next one that is refused as well.
    let said = two.place.run(&skip).text();
    assert!(said.starts_with("set aside at b: ") && said.contains("is paused"), "{said}");
    assert_eq!((&two.row("b")["skipped"], &two.row("a")["skipped"]), (&json!(1), &json!(0)));
    two.meanwhile_at_b(|two| {
        two.place.run("queue resume @b q").text();
    });
    two.replicate("").text();
    assert_eq!(two.lines("b"), "1\n4\n");
    assert_eq!(two.lines("a"), numbers(1..=4));
}

#[test]
fn a_target_that_lost_what_it_had_stops_until_the_gap_is_accepted() {
    let mut two = Two::start();
    two.place.run_with("put @root q", b"1\n2\n").text();
    two.replicate("").text();
    two.meanwhile_at_b(|two| std::fs::remove_dir_all(two.place.path("b")).unwrap());
    two.place.run_with("put @root q", b"3\n").text();
    let ran = two.replicate("");
    ran.fails(Code::Diverged, &["target b", "TargetBehind", "accept the gap"]);
    two.replicate("--accept-gap c").fails(Code::NoSuchName, &["gap at c"]);
    let rows = two.replicate("--accept-gap b --json").json();
    assert_eq!((&rows[0]["gaps"], &rows[1]["gaps"]), (&json!(0), &json!(1)));
    assert_eq!(rows[1]["lag_messages"], 0);
    assert_eq!(two.row("b")["gaps"], 1);
    // What was kept all the same, it gets.
    assert_eq!(two.lines("b"), numbers(1..=3));
    assert_eq!(two.lines("a"), numbers(1..=3));
    // Once: a second loss is a new question.
    two.meanwhile_at_b(|two| std::fs::remove_dir_all(two.place.path("b")).unwrap());
    two.replicate("").fails(Code::Diverged, &["target b"]);
}
