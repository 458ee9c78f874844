//! `repliq config …`, and where the options of a server come from: defaults, `/etc/repliq.toml`, flags.
//!
//! The file has one key an option, named as in [`option`](super::option), at the top level. A key that is not
//! known, or twice, or of another kind, is an error with its line: what an operator wrote must not be ignored. In a
//! path `$CREDENTIALS_DIRECTORY/` at the beginning stands for the directory in which systemd hands out secrets.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use repliq::{Code, ServerLimits, ServerOptions, StoreOptions, UserSource};
use serde_json::json;
use toml::de::{DeTable, DeValue};

use super::fail::{Done, Fail};
use super::logging::Log;
use super::option::{Flags, Kind, ROWS, Row, Value, find};
use super::output::Output;
use super::put;
use super::secret::{self, Secret};

/// Where the file is, unless asked otherwise.
pub const FILE: &str = "/etc/repliq.toml";
/// The largest file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// The variable in which systemd says where secrets are.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Check and show the options of a server
#[derive(clap::Subcommand, Debug)]
pub enum Config {
    /// Check the file, and that everything it names can be used; nothing is started
    Check(Given),
    /// Print every option with its value and where that comes from
    Show(Show),
}

/// Options, printed.
#[derive(clap::Args, Debug)]
pub struct Show {
    #[command(flatten)]
    given: Given,
    /// Print one JSON object an option
    #[arg(long)]
    json: bool,
}

/// What a server was told on its command line, and where the rest is.
#[derive(clap::Args, Clone, Debug)]
pub struct Given {
    /// Directory of the store, where the file does not name it
    pub store: Option<String>,
    /// The configuration; without it /etc/repliq.toml, where there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    pub secret: Secret,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Default,
    Flag,
    File(PathBuf, usize),
}

/// The options of a server as they are in force.
pub struct Settings(Vec<(&'static Row, Option<Value>, Origin)>);

impl Config {
    /// Does one of the acts.
    pub fn run(self) -> Done {
        match self {
            Config::Check(given) => check(&given),
            Config::Show(show) => print(&show),
        }
    }
}

fn check(given: &Given) -> Done {
    let settings = given.settings()?;
    settings.store()?;
    settings.store_options()?;
    settings.server_options()?.check()?;
    Log::new(&settings)?;
    settings.http()?;
    if let Some(path) = settings.path("password_file") {
        secret::from_file(&path)?;
    }
    Ok(())
}

fn print(show: &Show) -> Done {
    let settings = show.given.settings()?;
    let mut output = Output::open();
    let mut rows = Vec::new();
    for (row, value, origin) in &settings.0 {
        let origin = origin.to_string();
        if show.json {
            let value = value.as_ref().map(Value::to_json);
            output.json(&json!({ "name": row.name, "value": value, "origin": origin }))?;
        } else {
            let value = value.as_ref().map_or("-".to_string(), Value::to_string);
            rows.push(vec![row.name.to_string(), value, origin]);
        }
    }
    if !show.json {
        output.table(&["option", "value", "origin"], &rows)?;
    }
    output.flush()
}

impl std::fmt::Display for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => out.write_str("default"),
            Origin::Flag => out.write_str("flag"),
            Origin::File(path, line) => write!(out, "{}:{line}", path.display()),
        }
    }
}

impl Given {
    /// Defaults, then the file, then the flags.
    pub fn settings(&self) -> Done<Settings> {
        let defaults = ROWS.iter().map(|row| (row, row.default(), Origin::Default));
        let mut settings = Settings(defaults.collect());
        match &self.config {
            Some(path) => settings.read(path)?,
            None if Path::new(FILE).exists() => settings.read(Path::new(FILE))?,
            None => {}
        }
        for (name, value) in &self.flags.0 {
            settings.set(name, value.clone(), Origin::Flag);
        }
        if let Some(store) = &self.store {
            settings.set("store", Value::Text(store.clone()), Origin::Flag);
        }
        if let Some(path) = &self.secret.password_file {
            settings.set("password_file", Value::Text(path.display().to_string()), Origin::Flag);
        }
        Ok(settings)
    }
}

impl Settings {
    fn set(&mut self, name: &str, value: Value, origin: Origin) {
        if let Some(row) = self.0.iter_mut().find(|row| row.0.name == name) {
            (row.1, row.2) = (Some(value), origin);
        }
    }

    /// Reads the file; see the head of this one.
    fn read(&mut self, path: &Path) -> Done {
        let text = text_of(path)?;
        let line = |at: usize| 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
        let refused = |at: usize, what: String| {
            Fail::new(Code::Invalid, format!("{}:{}: {what}", path.display(), line(at)))
        };
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            refused(at, error.message().replace('\n', ", "))
        })?;
        for (key, value) in table.get_ref() {
            let (at, name) = (key.span().start, key.get_ref().as_ref());
            let Some(row) = find(name) else {
                return Err(refused(at, format!("there is no option {name:?}{}", near(name))));
            };
            let value = convert(row, value.get_ref())
                .map_err(|why| refused(at, format!("{name} cannot be set: {why}")))?;
            let value = expand(row, value)
                .map_err(|why| refused(at, format!("{name} cannot be set: {why}")))?;
            self.set(row.name, value, Origin::File(path.to_path_buf(), line(at)));
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|row| row.0.name == name).and_then(|row| row.1.as_ref())
    }

    /// The text of an option.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The path of an option.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    fn number(&self, name: &str) -> u64 {
        match self.get(name) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }

    fn count(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Switch(true))
    }

    /// Where the store is.
    pub fn store(&self) -> Done<String> {
        let text =
            "cannot serve: no store is named, neither on the command line nor in the configuration";
        self.text("store").map(str::to_string).ok_or_else(|| Fail::new(Code::Invalid, text))
    }

    /// How the store is opened, but for its password.
    pub fn store_options(&self) -> Done<StoreOptions> {
        let level = put::level(self.text("level").unwrap_or_default());
        let horizon = put::level(self.text("horizon").unwrap_or_default());
        Ok(StoreOptions {
            level: level.map_err(|why| Fail::new(Code::Invalid, why))?,
            horizon: horizon.map_err(|why| Fail::new(Code::Invalid, why))?,
            create: self.is_on("create"),
            segment_bytes: self.number("segment_bytes"),
            segment_bytes_max: self.number("segment_bytes_max"),
            keep_ms: self.number("keep_ms"),
            keep_bytes: self.number("keep_bytes"),
            quota_bytes: self.number("quota_bytes"),
            helper: self.is_on("helper"),
            ..StoreOptions::default()
        })
    }

    /// Where it listens.
    pub fn listen(&self) -> Vec<String> {
        match self.get("listen") {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    /// How the server is opened.
    pub fn server_options(&self) -> Done<ServerOptions> {
        let text = "cannot serve: no users_file is named, neither on the command line nor in the configuration";
        let users = self.path("users_file").ok_or_else(|| Fail::new(Code::Invalid, text))?;
        Ok(ServerOptions {
            listen: self.listen(),
            plain: self.is_on("plain"),
            certificate_file: self.path("certificate_file"),
            key_file: self.path("key_file"),
            users: UserSource::File(users),
            heartbeat_ms: self.number("heartbeat_ms"),
            limits: ServerLimits {
                connections_max: self.count("connections_max"),
                strangers_max: self.count("strangers_max"),
                login_ms: self.number("login_ms"),
                failures_max: u32::try_from(self.number("failures_max")).unwrap_or(u32::MAX),
                failure_wait_ms_max: self.number("failure_wait_ms_max"),
                sessions_max: self.count("sessions_max"),
                transactions_max: self.count("transactions_max"),
                staged_bytes_max: self.number("staged_bytes_max"),
                user_share: u32::try_from(self.number("user_share")).unwrap_or(u32::MAX),
            },
        })
    }

    /// Where health and metrics are answered, if anywhere.
    pub fn http(&self) -> Done<Option<String>> {
        let Some(text) = self.text("http") else { return Ok(None) };
        let port = text.rsplit(':').next().unwrap_or_default();
        if port.parse::<u16>().is_err() {
            let why = format!("cannot answer HTTP at {text:?}: a port, or host:port, is expected");
            return Err(Fail::new(Code::Invalid, why));
        }
        Ok(Some(if text.contains(':') { text.to_string() } else { format!("127.0.0.1:{text}") }))
    }
}

fn text_of(path: &Path) -> Done<String> {
    let what = || format!("cannot read the configuration {}", path.display());
    let file = File::open(path).map_err(|error| Fail::io(what(), &error))?;
    let mut text = String::new();
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            Fail::new(Code::Invalid, format!("{}: it is not UTF-8", what()))
        }
        _ => Fail::io(what(), &error),
    })?;
    if text.len() as u64 > BYTES_MAX {
        let why = format!("{}: it has more than {BYTES_MAX} bytes", what());
        return Err(Fail::new(Code::TooLarge, why));
    }
    Ok(text)
}

/// A value of the file as a value of the option.
fn convert(row: &Row, value: &DeValue<'_>) -> Result<Value, String> {
    let text = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Ok(text.to_string()),
        other => {
            Err(format!("{} is expected, not a value of type {}", row.expected(), other.type_str()))
        }
    };
    let value = match (row.kind, value) {
        (Kind::List, DeValue::Array(list)) => {
            let texts = list.iter().map(|one| text(one.get_ref()));
            Value::List(texts.collect::<Result<_, _>>()?)
        }
        (Kind::Switch, DeValue::Boolean(on)) => Value::Switch(*on),
        (Kind::Number(..), DeValue::Integer(number)) => {
            let read = u64::from_str_radix(number.as_str(), number.radix());
            Value::Number(read.map_err(|_| format!("{} is out of range", number.as_str()))?)
        }
        (Kind::Text | Kind::Path | Kind::Choice(_), value) => Value::Text(text(value)?),
        (_, other) => {
            return Err(format!(
                "{} is expected, not a value of type {}",
                row.expected(),
                other.type_str()
            ));
        }
    };
    row.check(value)
}

/// Puts the directory of secrets into a path that asks for it.
fn expand(row: &Row, value: Value) -> Result<Value, String> {
    let Value::Text(text) = &value else { return Ok(value) };
    let name = text.strip_prefix('$').and_then(|rest| rest.strip_prefix(CREDENTIALS));
    let Some(rest) = name.filter(|rest| row.kind == Kind::Path && rest.starts_with('/')) else {
        return Ok(value);
    };
    match std::env::var(CREDENTIALS) {
        Ok(folder) => Ok(Value::Text(format!("{folder}{rest}"))),
        Err(_) => {
            Err(format!("{CREDENTIALS} is not set; systemd sets it for a unit with credentials"))
        }
    }
}

/// The option somebody may have meant.
fn near(name: &str) -> String {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = plain(name);
    let scored = ROWS.iter().map(|row| (distance(&wanted, row.name), row.name));
    match scored.min() {
        Some((steps, best)) if steps <= 2 => format!("; did you mean {best}?"),
        _ => String::new(),
    }
}

/// How many letters must be changed, added or left out.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.chars().enumerate() {
        let mut now = vec![row + 1];
        for (column, &theirs) in other.iter().enumerate() {
            let swapped = before[column] + usize::from(letter != theirs);
            now.push(swapped.min(before[column + 1] + 1).min(now[column] + 1));
        }
        before = now;
    }
    before.last().copied().unwrap_or(0)
}
