//! What a server shows at `/metrics`, in the OpenMetrics text format; `docs/METRICS.md` lists the names.

use std::fmt::{self, Debug, Formatter};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use repliq::{Metrics, SyncTimes};
use serde_json::Value;

use super::fail::{Done, Fail};
use repliq::Code;

/// What is shown at one moment.
struct Moment {
    store: Metrics,
    /// The status of the server; null where there is none.
    server: Value,
}

type Labels<'a> = Vec<(&'static str, &'a str)>;
type Encoder<'a> = DescriptorEncoder<'a>;

/// The text of `/metrics`.
pub fn text(store: Metrics, server: Value) -> Done<String> {
    let mut registry = Registry::with_prefix("repliq");
    registry.register_collector(Box::new(Moment { store, server }));
    let mut text = String::new();
    let failed = |error| Fail::new(Code::Panic, format!("cannot write metrics: {error}"));
    prometheus_client::encoding::text::encode(&mut text, &registry).map_err(failed)?;
    Ok(text)
}

impl Debug for Moment {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("Moment")
    }
}

impl Collector for Moment {
    fn encode(&self, mut encoder: Encoder<'_>) -> fmt::Result {
        self.queues(&mut encoder)?;
        self.targets(&mut encoder)?;
        self.disk(&mut encoder)?;
        syncs(&mut encoder, &self.store.syncs)?;
        self.server(&mut encoder)
    }
}

/// A family of gauges.
fn gauges<'a>(
    encoder: &mut Encoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    rows: impl Iterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (labels, value) in rows {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A family of counters.
fn counters<'a>(
    encoder: &mut Encoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    rows: impl Iterator<Item = (Labels<'a>, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
    for (labels, value) in rows {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn one<T>(value: T) -> impl Iterator<Item = (Labels<'static>, T)> {
    std::iter::once((Labels::new(), value))
}

impl Moment {
    fn queues(&self, encoder: &mut Encoder<'_>) -> fmt::Result {
        let rows =
            || self.store.queues.iter().map(|queue| (vec![("queue", queue.name.as_str())], queue));
        let messages = ("queue_messages", "Messages somebody still waits for", None);
        gauges(encoder, messages, rows().map(|(labels, queue)| (labels, queue.messages as f64)))?;
        let bytes =
            ("queue", "Their bytes, from the mean of all messages ever put", Some(&Unit::Bytes));
        gauges(encoder, bytes, rows().map(|(labels, queue)| (labels, queue.bytes as f64)))?;
        let oldest = ("queue_oldest", "Age of the oldest of them", Some(&Unit::Seconds));
        gauges(encoder, oldest, rows().map(|(labels, queue)| (labels, queue.oldest_seconds)))?;
        let put = ("queue_put_messages", "Messages ever put", None);
        counters(encoder, put, rows().map(|(labels, queue)| (labels, queue.put_messages)))?;
        let put = ("queue_put", "Bytes ever put", Some(&Unit::Bytes));
        counters(encoder, put, rows().map(|(labels, queue)| (labels, queue.put_bytes)))?;
        let paused = ("queue_paused", "1 while puts and receives are refused", None);
        gauges(
            encoder,
            paused,
            rows().map(|(labels, queue)| (labels, f64::from(u8::from(queue.paused)))),
        )
    }

    fn targets(&self, encoder: &mut Encoder<'_>) -> fmt::Result {
        let rows = || {
            self.store.targets.iter().map(|target| {
                (vec![("root", target.root.as_str()), ("target", target.name.as_str())], target)
            })
        };
        let messages = ("target_lag_messages", "Messages the target has not confirmed", None);
        gauges(encoder, messages, rows().map(|(labels, row)| (labels, row.lag_messages as f64)))?;
        let bytes = ("target_lag", "Bytes of them", Some(&Unit::Bytes));
        gauges(encoder, bytes, rows().map(|(labels, row)| (labels, row.lag_bytes as f64)))?;
        let seconds = ("target_lag", "Age of the oldest of them", Some(&Unit::Seconds));
        gauges(encoder, seconds, rows().map(|(labels, row)| (labels, row.lag_seconds)))
    }

    fn disk(&self, encoder: &mut Encoder<'_>) -> fmt::Result {
        let segments = &self.store.segments;
        let states = [
            ("spare", segments.spare),
            ("reserve", segments.reserve),
            ("tail", segments.tail),
            ("sealed", segments.sealed),
        ];
        let rows = states.iter().map(|(state, count)| (vec![("state", *state)], *count as f64));
        gauges(encoder, ("segments", "Segment files by state", None), rows)?;
        let bytes = ("segments", "Bytes of the segments in use", Some(&Unit::Bytes));
        gauges(encoder, bytes, one(segments.bytes as f64))?;
        let rows = self.store.pins.iter().map(|pin| {
            let labels = vec![
                ("kind", pin.kind.name()),
                ("queue", pin.queue.as_str()),
                ("name", pin.name.as_str()),
            ];
            (labels, pin.bytes as f64)
        });
        let pinned =
            ("pinned", "Bytes of full segments that stay for this one", Some(&Unit::Bytes));
        gauges(encoder, pinned, rows)?;
        let prepared = &self.store.prepared;
        let count = ("prepared", "Prepared transactions that wait for their coordinators", None);
        gauges(encoder, count, one(prepared.count as f64))?;
        let bytes = ("prepared", "Bytes of what prepared transactions put", Some(&Unit::Bytes));
        gauges(encoder, bytes, one(prepared.bytes as f64))?;
        let age = ("prepared_age", "Age of the oldest prepared transaction", Some(&Unit::Seconds));
        gauges(encoder, age, one(prepared.oldest_seconds))?;
        let flag = |on: bool| f64::from(u8::from(on));
        let poisoned = ("poisoned", "1 when a sync failed: the store must be opened anew", None);
        gauges(encoder, poisoned, one(flag(self.store.poisoned)))?;
        gauges(
            encoder,
            ("writable", "1 while the store takes changes", None),
            one(flag(self.store.writable)),
        )?;
        let transactions = ("transactions", "Sequence of the last durable transaction", None);
        counters(encoder, transactions, one(self.store.sequence))
    }

    fn server(&self, encoder: &mut Encoder<'_>) -> fmt::Result {
        if self.server.is_null() {
            return Ok(());
        }
        let count = |name: &str| self.server[name].as_u64().unwrap_or(0);
        let all = self.server["connections"].as_array().map_or(0, Vec::len) as u64;
        let strangers = count("strangers");
        let stages = [("login", strangers), ("user", all.saturating_sub(strangers))];
        let rows = stages.iter().map(|(stage, count)| (vec![("stage", *stage)], *count as f64));
        gauges(
            encoder,
            ("connections", "Connections by stage: logging in, or of a user", None),
            rows,
        )?;
        for (name, of, help) in [
            ("connections_seen", "seen", "Connections taken since the start"),
            ("connections_refused", "refused", "Connections refused because all places were taken"),
            ("connections_evicted", "evicted", "Strangers sent away to make place"),
            ("login_failures", "login_failures", "Logins refused"),
        ] {
            counters(encoder, (name, help, None), one(count(of)))?;
        }
        let sessions = &self.server["sessions"];
        let count = |name: &str| sessions[name].as_u64().unwrap_or(0);
        let open = ("sessions", "Sessions that clients have open", None);
        gauges(encoder, open, one(count("open") as f64))?;
        let transactions = ("session_transactions", "Of these, with an open transaction", None);
        gauges(encoder, transactions, one(count("transactions") as f64))?;
        let staged = ("session_staged", "Bytes that these have staged", Some(&Unit::Bytes));
        gauges(encoder, staged, one(count("staged_bytes") as f64))?;
        let refused = ("sessions_refused", "Requests of sessions refused by a bound", None);
        counters(encoder, refused, one(count("refused")))
    }
}

fn syncs(encoder: &mut Encoder<'_>, times: &SyncTimes) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "sync",
        "How long it took to make a group of commits durable",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    let count = times.buckets.iter().map(|(_, count)| count).sum();
    family.encode_histogram::<[(&str, &str); 0]>(times.seconds, count, &times.buckets, None)
}
