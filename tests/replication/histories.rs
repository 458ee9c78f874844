//! The checker of histories, checked: a good history passes, and every bad one is called by its name.

use crate::checker::{Report, check};
use std::collections::BTreeSet;

/// What is wrong with a history, each name once.
fn names(report: &Report) -> BTreeSet<&'static str> {
    report.anomalies.iter().map(|(name, _)| *name).collect()
}

fn put(transaction: u64, process: u64, values: &str) -> String {
    format!(
        r#"{{"process":{process},"op":"put","kind":"invoke","transaction":{transaction},"queue":"a","values":[{values}]}}"#
    )
}

fn end(transaction: u64, kind: &str) -> String {
    format!(r#"{{"process":1,"op":"put","kind":"{kind}","transaction":{transaction}}}"#)
}

fn ok(transaction: u64, values: &str) -> String {
    format!("{}\n{}", put(transaction, 1, values), end(transaction, "ok"))
}

fn read(op: &str, place: &str, rows: &str) -> String {
    format!(r#"{{"process":9,"op":"{op}","place":"{place}","queue":"a","rows":[{rows}]}}"#)
}

fn last(rows: &str) -> String {
    read("final", "s", rows)
}

fn poll(rows: &str) -> String {
    read("poll", "s", rows)
}

fn history(lines: &[String]) -> String {
    lines.join("\n")
}

/// A transaction that received some values and put another.
fn moved(transaction: u64, puts: &str, takes: &str, kind: &str) -> String {
    let take = format!(
        r#"{{"process":1,"op":"take","transaction":{transaction},"queue":"a","values":[{takes}]}}"#
    );
    [take, put(transaction, 1, puts), end(transaction, kind)].join("\n")
}

/// A transaction that received a value of key 1, with this count and at this time.
fn given(transaction: u64, value: u64, deliveries: u64, time: u64, kind: &str) -> String {
    let take = format!(
        r#"{{"process":1,"op":"take","transaction":{transaction},"queue":"a","values":[{value}],"keys":[1],"deliveries":[{deliveries}],"time":{time}}}"#
    );
    [take, end(transaction, kind)].join("\n")
}

/// What is there in the end beside the three, and what was consumed.
fn rest(rows: &str, consumed: &str) -> String {
    let rows = if rows.is_empty() { ALL.to_string() } else { format!("{ALL},{rows}") };
    let consumed =
        format!(r#"{{"process":9,"op":"consumed","place":"s","queue":"a","values":[{consumed}]}}"#);
    [last(&rows), consumed].join("\n")
}

/// Three transactions, of which the second has two values.
fn three() -> Vec<String> {
    vec![ok(1, "10"), ok(2, "20,21"), ok(3, "30")]
}

const ALL: &str = "[1,10,5],[2,20,6],[3,21,6],[4,30,7]";

#[test]
fn a_good_history_passes() {
    let mut lines = three();
    lines.insert(1, poll("[1,10,5]"));
    lines.push(poll("[2,20,6],[3,21,6]"));
    lines.push(r#"{"process":4,"op":"applied","place":"s","transaction":2}"#.to_string());
    lines.push(last(ALL));
    lines.push(read("final", "t", ALL));
    let report = check(&history(&lines));
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.transactions, report.unknown), (3, 0));
}

#[test]
fn what_a_committed_transaction_received_is_consumed_and_of_an_unknown_one_with_what_it_put() {
    let whole = |lines: &[String]| {
        let mut all = three();
        all.extend_from_slice(lines);
        let report = check(&history(&all));
        assert!(report.is_good(), "{report:?}");
    };
    whole(&[moved(7, "70", "10,20", "ok"), rest("[5,70,8]", "10,20")]);
    // Of a key one comes after the other, or both to one transaction, and each time with another count.
    let tries = [given(7, 10, 1, 1, "fail"), given(8, 10, 3, 2, "ok"), given(9, 20, 1, 4, "ok")];
    whole(&[tries.join("\n"), rest("", "10,20")]);
    let both = r#"{"process":1,"op":"take","transaction":7,"queue":"a","values":[10,20],"keys":[1,1],"deliveries":[1,1],"time":1}"#;
    whole(&[both.to_string(), end(7, "ok"), rest("", "10,20")]);
    // The second try is the one that counts, whatever became of the first.
    whole(&[moved(7, "70", "10", "fail"), moved(8, "80", "10", "ok"), rest("[5,80,9]", "10")]);
    let more = [ok(5, "50"), ok(6, "60")].join("\n");
    let rows = "[5,50,8],[6,60,9]";
    whole(
        &[more.clone(), moved(7, "70", "10", "unknown"), rest(&format!("{rows},[7,70,9]"), "10")]
            .map(|line| line.replace("[7,70,9]", "[7,70,10]")),
    );
    whole(&[more, moved(7, "70", "10", "unknown"), rest(rows, "")]);
}

#[test]
fn an_unknown_outcome_may_be_there_or_not_but_not_in_part() {
    let unknown = [put(4, 1, "40,41"), end(4, "unknown")].join("\n");
    let with = |rows: &str| {
        let mut lines = three();
        lines.extend([ok(5, "50"), ok(6, "60"), unknown.clone(), last(rows)]);
        check(&history(&lines))
    };
    let more = "[5,50,8],[6,60,9]";
    assert!(with(&format!("{ALL},{more}")).is_good());
    assert!(with(&format!("{ALL},{more},[7,40,10],[8,41,10]")).is_good());
    assert!(names(&with(&format!("{ALL},{more},[7,40,10]"))).contains("torn-transaction"));
}

/// Twenty bad histories, and what is wrong with each.
fn bad() -> Vec<(&'static str, Vec<String>)> {
    let with = |more: &[String]| {
        let mut lines = three();
        lines.extend_from_slice(more);
        lines
    };
    let failed = [put(4, 1, "40"), end(4, "fail")].join("\n");
    vec![
        ("lost-write", with(&[last("[1,10,5],[2,20,6],[3,21,6]")])),
        ("lost-write", with(&[last("[1,20,6],[2,21,6],[3,30,7]")])),
        ("lost-write", with(&[last("")])),
        ("lost-write", with(&[last(ALL), read("final", "t", "[1,10,5],[2,20,6],[3,21,6]")])),
        ("vanished-read", with(&[poll(ALL), last("[1,10,5],[2,20,6],[3,21,6]")])),
        ("duplicate", with(&[last(&format!("{ALL},[5,10,9]"))])),
        ("duplicate", with(&[last(&format!("{ALL},[5,20,9],[6,21,9]"))])),
        ("unexpected-read", with(&[last(&format!("{ALL},[5,99,9]"))])),
        ("unexpected-read", with(&[poll("[1,77,2]"), last(ALL)])),
        ("aborted-read", with(&[failed.clone(), last(&format!("{ALL},[5,40,9]"))])),
        ("aborted-read", with(&[failed, poll("[9,40,9]"), last(ALL)])),
        (
            "precommitted-read",
            with(&[
                put(4, 1, "40"),
                poll("[5,40,9]"),
                end(4, "ok"),
                last(&format!("{ALL},[5,40,9]")),
            ]),
        ),
        ("torn-transaction", with(&[last("[1,10,5],[2,20,6],[3,30,7]")])),
        ("torn-transaction", with(&[last("[1,10,5],[2,20,6],[3,21,7],[4,30,8]")])),
        ("merged-transaction", with(&[last("[1,10,5],[2,20,6],[3,21,6],[4,30,6]")])),
        ("nonmonotonic-send", with(&[last("[1,20,6],[2,21,6],[3,10,5],[4,30,7]")])),
        ("poll-skip", with(&[poll("[1,10,5]"), poll("[3,21,6]"), last(ALL)])),
        ("int-poll-skip", with(&[poll("[1,10,5],[3,21,6]"), last(ALL)])),
        ("nonmonotonic-poll", with(&[poll("[1,10,5],[2,20,6]"), poll("[1,10,5]"), last(ALL)])),
        ("int-nonmonotonic-poll", with(&[poll("[2,20,6],[1,10,5]"), last(ALL)])),
        ("inconsistent-offsets", with(&[poll("[1,10,5]"), poll("[1,20,6]"), last(ALL)])),
        ("stale-read", {
            let applied = r#"{"process":4,"op":"applied","place":"s","transaction":3}"#.to_string();
            with(&[applied, last("[1,10,5],[2,20,6],[3,21,6]")])
        }),
        (
            "consumed-twice",
            with(&[
                moved(7, "70", "10", "ok"),
                moved(8, "80", "10", "ok"),
                rest("[5,70,8],[6,80,9]", "10"),
            ]),
        ),
        ("lost-take", with(&[moved(7, "70", "10,20", "ok"), rest("[5,70,8]", "10")])),
        ("lost-take", with(&[moved(7, "70", "10", "unknown"), rest("[5,70,8]", "")])),
        ("aborted-take", with(&[moved(7, "70", "10", "fail"), rest("", "10")])),
        ("aborted-take", with(&[moved(7, "70", "10", "unknown"), rest("", "10")])),
        ("aborted-read", with(&[moved(7, "70", "10", "fail"), rest("[5,70,8]", "")])),
        ("unexpected-take", with(&[moved(7, "70", "10", "ok"), rest("[5,70,8]", "10,20")])),
        (
            "count-twice",
            with(&[given(7, 10, 1, 1, "fail"), given(8, 10, 1, 2, "ok"), rest("", "10")]),
        ),
        (
            "key-overlap",
            with(&[given(7, 10, 1, 5, "ok"), given(8, 20, 1, 4, "ok"), rest("", "10,20")]),
        ),
        (
            "key-overlap",
            with(&[
                given(7, 20, 1, 1, "fail"),
                given(8, 10, 1, 2, "ok"),
                given(9, 20, 2, 3, "ok"),
                rest("", "10,20"),
            ]),
        ),
        ("inconsistent-order", {
            let two = vec![put(7, 2, "70"), end(7, "ok"), ok(8, "80")];
            let lines =
                [two, vec![last("[1,70,2],[2,80,3]"), read("final", "t", "[1,80,3],[2,70,2]")]];
            lines.concat()
        }),
    ]
}

#[test]
fn twenty_bad_histories_are_called_by_their_names() {
    let all = bad();
    assert!(all.len() >= 20);
    for (number, (name, lines)) in all.iter().enumerate() {
        let report = check(&history(lines));
        assert!(names(&report).contains(name), "{number}: {name} was not seen: {report:?}");
        assert!(!names(&report).contains("unreadable"), "{number}: {report:?}");
    }
}

#[test]
fn too_many_unknown_outcomes_prove_nothing() {
    let lines = [ok(1, "10"), put(2, 1, "20"), end(2, "unknown"), last("[1,10,5],[2,20,6]")];
    let report = check(&history(&lines));
    assert!(report.anomalies.is_empty() && report.is_inconclusive() && !report.is_good());
}

#[test]
fn a_line_that_cannot_be_read_is_said() {
    assert!(names(&check("{")).contains("unreadable"));
    assert!(names(&check(&end(7, "ok"))).contains("unreadable"));
}
