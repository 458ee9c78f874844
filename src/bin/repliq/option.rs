//! What a server can be told: one table, from which the flags of `serve`, the keys of `/etc/repliq.toml` and what
//! `config show` prints all come. `docs/OPTIONS.md` says where else each name is known.

use std::fmt;

use repliq::{ServerOptions, StoreOptions};
use serde_json::{Value as Json, json};

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// The path of a file or directory.
    Path,
    /// Texts; in flags, the flag again and again.
    List,
    /// true or false.
    Switch,
    /// A number from the first to the second.
    Number(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A value an option has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a text, a path or a choice.
    Text(String),
    /// Of a list.
    List(Vec<String>),
    /// Of a switch.
    Switch(bool),
    /// Of a number.
    Number(u64),
}

/// One option.
pub struct Row {
    /// Its name, the same in file, flag and all languages.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether a flag of its own is made of it; the others are arguments of more verbs than one.
    pub is_flag: bool,
    /// What it does, in a line.
    pub help: &'static str,
}

const fn row(name: &'static str, kind: Kind, help: &'static str) -> Row {
    Row { name, kind, is_flag: true, help }
}

const ANY: Kind = Kind::Number(0, u64::MAX);
const SOME: Kind = Kind::Number(1, u32::MAX as u64);

/// Levels of the log, from the calmest on.
pub const LOG_LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
/// Forms of a line of the log.
pub const LOG_FORMATS: &[&str] = &["text", "json"];
/// Levels of a commit.
pub const LEVELS: &[&str] = &["process", "power"];

/// Every option of a server, in the order in which they are shown.
pub const ROWS: &[Row] = &[
    Row { is_flag: false, ..row("store", Kind::Path, "Directory of the store") },
    Row {
        is_flag: false,
        ..row("password_file", Kind::Path, "File whose first line is the password of the store")
    },
    row("level", Kind::Choice(LEVELS), "What commits survive that name no level"),
    row("horizon", Kind::Choice(LEVELS), "What that survives which others have seen"),
    row("create", Kind::Switch, "Create the store where there is none"),
    row("segment_bytes", ANY, "Bytes of the first segment, a power of two from 4096 on"),
    row("segment_bytes_max", ANY, "Bytes of the largest segment, a power of two up to 64 MiB"),
    row("keep_ms", ANY, "Milliseconds for which data stays after the slowest target has it"),
    row("keep_bytes", ANY, "Bytes up to which data stays after the slowest target has it"),
    row("quota_bytes", ANY, "Bytes of all segment files together; 0 for no bound but the disk"),
    row("helper", Kind::Switch, "Let a thread prepare segments ahead and give dead ones back"),
    row(
        "listen",
        Kind::List,
        "Where to listen: host:port, port 0 for any, or unix:/path; may be repeated",
    ),
    row("plain", Kind::Switch, "Allow plain TCP"),
    row("certificate_file", Kind::Path, "PEM file of the certificate chain"),
    row("key_file", Kind::Path, "PEM file of the certificate's key"),
    row("users_file", Kind::Path, "The users file, written by `repliq user add`"),
    row("heartbeat_ms", ANY, "Milliseconds after which a silent connection shows that it lives"),
    row("connections_max", SOME, "Connections at one time"),
    row("strangers_max", SOME, "Of these, connections that have not logged in"),
    row("login_ms", ANY, "Milliseconds from the first byte to the end of the login"),
    row("failures_max", SOME, "Failed logins of a user from an address before the next ones wait"),
    row("failure_wait_ms_max", ANY, "The longest of these waits, in milliseconds"),
    row("sessions_max", SOME, "Sessions open at one time, over all connections"),
    row("transactions_max", SOME, "Of these, sessions with an open transaction"),
    row("staged_bytes_max", ANY, "Bytes that open transactions have staged"),
    row("user_share", Kind::Number(1, 100), "Percent of these three that one user has at most"),
    row(
        "http",
        Kind::Text,
        "Answer /healthz, /readyz and /metrics here: [host:]port; loopback without a host",
    ),
    row("log_format", Kind::Choice(LOG_FORMATS), "Lines of the log on stderr: text or json"),
    row("log_level", Kind::Choice(LOG_LEVELS), "Least important lines of the log that are printed"),
];

/// The option of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

impl Row {
    /// Under which heading the help has its flag.
    fn heading(&self) -> &'static str {
        match self.name {
            "level" | "horizon" | "create" | "segment_bytes" | "segment_bytes_max" | "keep_ms"
            | "keep_bytes" | "quota_bytes" | "helper" => "Store",
            "http" | "log_format" | "log_level" => "Watching",
            _ => "Server",
        }
    }

    /// The flag, without its dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// What it is where nobody says anything; `None` = nothing.
    pub fn default(&self) -> Option<Value> {
        let (store, server) = (StoreOptions::default(), ServerOptions::default());
        let limits = &server.limits;
        let number = |value: usize| Some(Value::Number(value as u64));
        let text = |text: &str| Some(Value::Text(text.to_string()));
        match self.name {
            "level" => text(super::put::level_name(store.level)),
            "horizon" => text(super::put::level_name(store.horizon)),
            "create" => Some(Value::Switch(store.create)),
            "segment_bytes" => Some(Value::Number(store.segment_bytes)),
            "segment_bytes_max" => Some(Value::Number(store.segment_bytes_max)),
            "keep_ms" => Some(Value::Number(store.keep_ms)),
            "keep_bytes" => Some(Value::Number(store.keep_bytes)),
            "quota_bytes" => Some(Value::Number(store.quota_bytes)),
            "helper" => Some(Value::Switch(store.helper)),
            "listen" => Some(Value::List(server.listen.clone())),
            "plain" => Some(Value::Switch(server.plain)),
            "heartbeat_ms" => Some(Value::Number(server.heartbeat_ms)),
            "connections_max" => number(limits.connections_max),
            "strangers_max" => number(limits.strangers_max),
            "login_ms" => Some(Value::Number(limits.login_ms)),
            "failures_max" => Some(Value::Number(u64::from(limits.failures_max))),
            "failure_wait_ms_max" => Some(Value::Number(limits.failure_wait_ms_max)),
            "sessions_max" => number(limits.sessions_max),
            "transactions_max" => number(limits.transactions_max),
            "staged_bytes_max" => Some(Value::Number(limits.staged_bytes_max)),
            "user_share" => Some(Value::Number(u64::from(limits.user_share))),
            "log_format" => text("text"),
            "log_level" => text("info"),
            _ => None,
        }
    }

    /// A value as a flag spells it.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.kind {
            Kind::Text | Kind::Path | Kind::Choice(_) => Value::Text(text.to_string()),
            Kind::List => Value::List(vec![text.to_string()]),
            Kind::Switch => match text {
                "true" => Value::Switch(true),
                "false" => Value::Switch(false),
                _ => return Err("true or false is expected".to_string()),
            },
            Kind::Number(..) => Value::Number(
                text.replace('_', "")
                    .parse()
                    .map_err(|_| "a whole number is expected".to_string())?,
            ),
        };
        self.check(value)
    }

    /// The value, where this option may have it.
    pub fn check(&self, value: Value) -> Result<Value, String> {
        match (self.kind, &value) {
            (Kind::Number(min, max), Value::Number(number)) if !(min..=max).contains(number) => {
                Err(format!("{number} is not between {min} and {max}"))
            }
            (Kind::Choice(words), Value::Text(word)) if !words.contains(&word.as_str()) => {
                Err(format!("{word:?} is none of {}", words.join(", ")))
            }
            (Kind::Text | Kind::Path, Value::Text(text)) if text.is_empty() => {
                Err("it is empty".to_string())
            }
            (Kind::List, Value::List(list)) if list.is_empty() => {
                Err("it lists nothing".to_string())
            }
            _ => Ok(value),
        }
    }

    /// What its values are, for people.
    pub fn expected(&self) -> &'static str {
        match self.kind {
            Kind::Text => "a text",
            Kind::Path => "a path",
            Kind::List => "a list of texts",
            Kind::Switch => "true or false",
            Kind::Number(..) => "a whole number",
            Kind::Choice(_) => "a word",
        }
    }
}

impl Value {
    /// The same as JSON.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Text(text) => json!(text),
            Value::List(list) => json!(list),
            Value::Switch(on) => json!(on),
            Value::Number(number) => json!(number),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => out.write_str(text),
            Value::List(list) => out.write_str(&list.join(" ")),
            Value::Switch(on) => write!(out, "{on}"),
            Value::Number(number) => write!(out, "{number}"),
        }
    }
}

/// What the flags of `serve` said.
#[derive(Clone, Debug, Default)]
pub struct Flags(pub Vec<(&'static str, Value)>);

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Flags::default();
        for row in ROWS.iter().filter(|row| row.is_flag) {
            let Some(values) = matches.get_many::<Value>(row.name) else { continue };
            let mut list = Vec::new();
            for value in values {
                match value {
                    Value::List(more) => list.extend(more.iter().cloned()),
                    value => flags.0.push((row.name, value.clone())),
                }
            }
            if !list.is_empty() {
                flags.0.push((row.name, Value::List(list)));
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for row in ROWS.iter().filter(|row| row.is_flag) {
            let mut help = row.help.to_string();
            if let Some(value) = row.default() {
                help += &format!(" [default: {value}]");
            }
            let flag = clap::Arg::new(row.name)
                .long(row.flag())
                .help_heading(row.heading())
                .help(help)
                .value_parser(move |text: &str| row.parse(text));
            command = command.arg(match row.kind {
                Kind::Switch => flag
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_name("BOOL"),
                Kind::List => flag.action(clap::ArgAction::Append).value_name("ADDRESS"),
                Kind::Number(..) => flag.value_name("N"),
                Kind::Path => flag.value_name("FILE"),
                Kind::Text => flag.value_name("ADDRESS"),
                Kind::Choice(_) => flag.value_name("WORD"),
            });
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Flags::augment_args(command)
    }
}
