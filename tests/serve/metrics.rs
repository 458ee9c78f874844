//! `/healthz`, `/readyz`, `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::child::{Running, ask, place_with_users};

const PAGE: &str = include_str!("../../docs/METRICS.md");

/// The names in the table of the page, each with its labels and kind.
fn page() -> BTreeMap<String, (Vec<String>, String)> {
    let names = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_string).collect()
    };
    let rows = PAGE.lines().filter(|line| line.starts_with("| `repliq_"));
    let rows = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = rows.filter(|cells| ["gauge", "counter", "histogram"].contains(&cells[3]));
    rows.map(|cells| (names(cells[1]).remove(0), (names(cells[2]), cells[3].to_string()))).collect()
}

/// The samples of a scrape: name, labels, value.
fn samples(text: &str) -> Vec<(String, BTreeMap<String, String>, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|one| !one.is_empty());
            let labels = labels.map(|one| {
                let (name, value) = one.split_once('=').unwrap();
                (name.to_string(), value.trim_matches('"').to_string())
            });
            (name.to_string(), labels.collect(), value.parse().unwrap())
        })
        .collect()
}

fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |have: &BTreeMap<String, String>| {
        labels.iter().all(|(name, value)| have.get(*name).map(String::as_str) == Some(*value))
    };
    samples(text).into_iter().find(|row| row.0 == name && fits(&row.1)).map(|row| row.2)
}

#[test]
fn a_scrape_and_the_page_have_the_same_names_labels_and_kinds() {
    let place = place_with_users();
    let begun = Instant::now();
    // A target, a consumer and full segments give each family a row.
    let lines: String = (0..3_000).map(|number| format!("{number:0>200}\n")).collect();
    place.run_with("put @s q --batch 100", lines.as_bytes()).text();
    place.run("get @s q --consumer c --max 10").text();
    place.run("target add @s q far repliq://ann@127.0.0.1:1 --plain --target-password @pw").text();
    let running = Running::start(&place, &[]);
    place.run_with(&format!("put {} other", running.with("ann")), b"1\n").text();
    let (status, text) = running.get("/metrics");
    assert_eq!(status, 200, "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");

    let page = page();
    let kinds: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut shown = BTreeSet::new();
    for (name, labels, _) in samples(&text) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = family.filter(|family| page.contains_key(*family)).unwrap_or(&name);
        let Some((expected, kind)) = page.get(family) else {
            panic!("{name} is not in docs/METRICS.md")
        };
        let labels: BTreeSet<&str> =
            labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(labels, expected.iter().map(String::as_str).collect(), "{name}");
        let bare = family.strip_suffix("_total").unwrap_or(family);
        assert_eq!(kinds.get(bare), Some(&kind.as_str()), "{name}");
        shown.insert(family.to_string());
    }
    assert_eq!(shown, page.keys().cloned().collect(), "in the page, not in the scrape");

    let of = |name: &str, labels: &[(&str, &str)]| {
        value(&text, name, labels).unwrap_or_else(|| panic!("{name} {labels:?} in {text}"))
    };
    assert_eq!(of("repliq_queue_messages", &[("queue", "other")]), 1.0);
    assert_eq!(of("repliq_queue_messages", &[("queue", "q")]), 2_990.0);
    assert_eq!(of("repliq_queue_put_messages_total", &[("queue", "q")]), 3_000.0);
    assert!(of("repliq_queue_bytes", &[("queue", "q")]) > 2_990.0 * 200.0);
    assert_eq!(of("repliq_target_lag_messages", &[("root", "q"), ("target", "far")]), 3_000.0);
    assert!(of("repliq_target_lag_bytes", &[("target", "far")]) > 3_000.0 * 200.0);
    // Nobody took the first one, and some time went by since.
    let most = begun.elapsed().as_secs_f64();
    for (name, labels) in [
        ("repliq_queue_oldest_seconds", [("queue", "q")]),
        ("repliq_target_lag_seconds", [("target", "far")]),
    ] {
        let age = of(name, &labels);
        assert!(age > 0.0 && age <= most, "{name} is {age} of {most}");
    }
    let pinned = of("repliq_pinned_bytes", &[("kind", "consumer"), ("queue", "q"), ("name", "c")]);
    assert!(pinned >= 131_072.0 && of("repliq_segments", &[("state", "sealed")]) > 1.0);
    assert_eq!(of("repliq_poisoned", &[]), 0.0);
    assert_eq!(of("repliq_writable", &[]), 1.0);
    assert!(of("repliq_sync_seconds_count", &[]) >= 1.0);
    assert_eq!(
        of("repliq_sync_seconds_bucket", &[("le", "+Inf")]),
        of("repliq_sync_seconds_count", &[])
    );
}

#[test]
fn refused_logins_and_connections_are_counted() {
    let place = place_with_users();
    let running = Running::start(&place, &[]);
    let count = |name: &str| value(&running.get("/metrics").1, name, &[]).unwrap();
    assert_eq!(count("repliq_login_failures_total"), 0.0);
    place.file("wrong", "wrong\n");
    let words = running.with("ann").replace("@pw", "@wrong");
    place.run(&format!("status {words}")).fails(repliq::Code::Denied, &[]);
    assert_eq!(count("repliq_login_failures_total"), 1.0);
    assert_eq!(count("repliq_connections_seen_total"), 1.0);
}

#[test]
fn health_and_readiness_have_paths_and_everything_else_is_refused() {
    let place = place_with_users();
    let mut running = Running::start(&place, &[]);
    assert_eq!(running.get("/healthz"), (200, "ok\n".into()));
    assert_eq!(running.get("/readyz"), (200, "ok\n".into()));
    assert_eq!(running.get("/").0, 404);
    let post =
        "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(&running.http, post).0, 405);
    assert_eq!(ask(&running.http, "\x16\x03\x01 nonsense\r\n\r\n").0, 400);
    let head = "HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&running.http, head), (200, String::new()));
    // Somebody who connects and says nothing keeps nobody out.
    let _silent: Vec<_> =
        (0..20).map(|_| std::net::TcpStream::connect(&running.http).unwrap()).collect();
    assert_eq!(running.get("/healthz").0, 200);
    running.signal("-TERM");
    assert_eq!(running.end().code(), Some(0));
    let words = format!("serve @t --users-file @users --plain --listen 127.0.0.1:0 --http {}", {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        std::mem::forget(taken);
        address
    });
    let refused = place.run(&words);
    assert_eq!(refused.status, repliq::Code::Locked as i32, "{}", refused.err);
    assert!(refused.err.contains("HTTP"), "{}", refused.err);
}
