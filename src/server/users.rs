//! Who may log in, and what each may do: the users file.
//!
//! ```toml
//! secret = "…"                       # 32 bytes in base64: the salts of users who do not exist
//!
//! [user.ann]
//! verifier = "SCRAM-SHA-256$600000:…$…:…"
//! rights = [{ verbs = ["replicate", "browse"], queues = ["orders*"] }]
//! ```
//!
//! In a queue's pattern `*` stands for any characters, at any place. What no right names is denied. The file
//! holds no password, but whoever reads it can try passwords against it; so it is refused unless it belongs to
//! its owner alone (mode 0600), and it is replaced as a whole, never written over.

use crate::disk::{self, Disk, RealDisk};
use crate::error::{Code, Error, Result};
use crate::limits::NAME_BYTES_MAX;
use crate::link::random;
use crate::secret::Password;
use crate::wire::{ITERATIONS, Verifier, from_base64, to_base64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The largest users file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What a right allows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum Verb { $($(#[$doc])* $name,)* }

        impl Verb {
            /// Every verb.
            pub const ALL: &'static [Verb] = &[$(Verb::$name,)*];

            /// The verb as the users file and the command line spell it.
            pub fn name(self) -> &'static str {
                match self { $(Verb::$name => $text,)* }
            }
        }
    };
}

verbs! {
    /// Bring a queue from another store.
    Replicate = "replicate";
    /// Put messages.
    Publish = "publish";
    /// Look at messages without taking them.
    Browse = "browse";
    /// Take messages.
    Consume = "consume";
    /// Ask for the status of the whole store; its queues are `*`.
    Admin = "admin";
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Verb {
    type Err = Error;

    fn from_str(text: &str) -> Result<Verb> {
        Verb::ALL.iter().copied().find(|verb| verb.name() == text).ok_or_else(|| {
            let all: Vec<&str> = Verb::ALL.iter().map(|verb| verb.name()).collect();
            Error::new(Code::Invalid, format!("{text:?} is no right: {}", all.join(", ")))
        })
    }
}

/// Verbs on the queues of some patterns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Right {
    /// What is allowed.
    pub verbs: Vec<Verb>,
    /// On which queues: names, or patterns with `*`.
    pub queues: Vec<String>,
}

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    verifier: Verifier,
    rights: Vec<Right>,
}

impl User {
    /// Whether this user may do this to the queue of this name.
    pub fn may(&self, verb: Verb, queue: &str) -> bool {
        self.rights.iter().any(|right| {
            right.verbs.contains(&verb) && right.queues.iter().any(|pattern| fits(pattern, queue))
        })
    }

    /// Whether this user may do anything at all.
    pub fn may_anything(&self) -> bool {
        !self.rights.is_empty()
    }

    /// Whether this user may do anything at all to the queue of this name.
    pub fn may_see(&self, queue: &str) -> bool {
        Verb::ALL.iter().any(|&verb| self.may(verb, queue))
    }
}

/// The users of a server.
#[derive(Clone)]
pub struct Users {
    secret: [u8; 32],
    users: BTreeMap<String, Arc<User>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersText {
    secret: String,
    #[serde(default)]
    user: BTreeMap<String, UserText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserText {
    verifier: String,
    #[serde(default)]
    rights: Vec<Right>,
}

impl Default for Users {
    fn default() -> Self {
        Users::new()
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.users.keys()).finish()
    }
}

impl Users {
    /// Nobody.
    pub fn new() -> Users {
        let mut secret = [0; 32];
        random(&mut secret);
        Users { secret, users: BTreeMap::new() }
    }

    /// Reads a users file. Fails with NO_SUCH_NAME when there is none, PERMISSION when others may read it,
    /// INVALID when it is malformed.
    pub fn load(path: impl AsRef<Path>) -> Result<Users> {
        let path = path.as_ref();
        let text = read(path)?;
        text.parse::<Users>().map_err(|error| {
            Error::because(
                error.code(),
                format!("cannot read users from {}", path.display()),
                &error,
            )
        })
    }

    /// The same, or nobody when there is no file yet.
    pub fn load_or_new(path: impl AsRef<Path>) -> Result<Users> {
        match Users::load(path) {
            Err(error) if error.code() == Code::NoSuchName => Ok(Users::new()),
            outcome => outcome,
        }
    }

    /// Replaces the users file as a whole, durably, with mode 0600.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let failed = |error: io::Error| {
            Error::io(format!("cannot write users to {}", path.display()), &error)
        };
        let (folder, name) = place(path)?;
        let draft = format!("{name}.new");
        match folder.remove(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let text = self.text()?;
        disk::replace(&folder, &draft, &name, text.as_bytes()).map_err(failed)
    }

    /// Adds a user without rights. Fails with EXISTS.
    pub fn add(&mut self, name: &str, password: &Password) -> Result<()> {
        self.add_with(name, password, ITERATIONS)
    }

    /// The same with another number of iterations than the default, at least 4,096.
    pub fn add_with(&mut self, name: &str, password: &Password, iterations: u32) -> Result<()> {
        self.insert(name, || verifier(password, iterations))
    }

    /// Adds a user by what the file has of a password. Fails with EXISTS, INVALID.
    pub(super) fn add_verifier(&mut self, name: &str, verifier: &str) -> Result<()> {
        self.insert(name, || verifier.parse())
    }

    fn insert(&mut self, name: &str, verifier: impl FnOnce() -> Result<Verifier>) -> Result<()> {
        check_name(name)?;
        if self.users.contains_key(name) {
            return Err(Error::new(Code::Exists, format!("there is a user {name:?} already")));
        }
        let user = User { verifier: verifier()?, rights: Vec::new() };
        self.users.insert(name.into(), Arc::new(user));
        Ok(())
    }

    /// Replaces what the file has of a user's password.
    pub(super) fn set_verifier(&mut self, name: &str, verifier: &str) -> Result<()> {
        self.replace(name, || verifier.parse())
    }

    fn replace(&mut self, name: &str, verifier: impl FnOnce() -> Result<Verifier>) -> Result<()> {
        let user = self.users.get_mut(name).ok_or_else(|| no_such(name))?;
        Arc::make_mut(user).verifier = verifier()?;
        Ok(())
    }

    /// Removes a user. Fails with NO_SUCH_NAME.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        self.users.remove(name).map(|_| ()).ok_or_else(|| no_such(name))
    }

    /// Gives a user another password.
    pub fn set_password(&mut self, name: &str, password: &Password) -> Result<()> {
        self.replace(name, || verifier(password, ITERATIONS))
    }

    /// Replaces all rights of a user.
    pub fn set_rights(&mut self, name: &str, rights: &[Right]) -> Result<()> {
        rights.iter().try_for_each(check_right)?;
        let user = self.users.get_mut(name).ok_or_else(|| no_such(name))?;
        Arc::make_mut(user).rights = rights.to_vec();
        Ok(())
    }

    /// The rights of a user.
    pub fn rights(&self, name: &str) -> Result<&[Right]> {
        self.users.get(name).map(|user| &user.rights[..]).ok_or_else(|| no_such(name))
    }

    /// Whether this is the user's password; DENIED where it is not, or there is no such user.
    pub fn verify(&self, name: &str, password: &Password) -> Result<()> {
        // An unknown user costs the same time as a wrong password.
        let verifier = self.verifier_of(name);
        let fits = verifier.fits(password.as_bytes());
        let known = self.users.contains_key(name);
        if fits && known {
            return Ok(());
        }
        Err(Error::new(Code::Denied, "user or password is wrong"))
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.users.keys().map(String::as_str).collect()
    }

    /// The user of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// What a login of this name is checked against, whether there is such a user or not.
    pub(super) fn verifier_of(&self, name: &str) -> Verifier {
        let unknown = Verifier::unknown(name, &self.secret, self.usual_iterations());
        self.users.get(name).map_or(unknown, |user| user.verifier.clone())
    }

    /// The number of iterations most users have: who does not exist must not stand out.
    fn usual_iterations(&self) -> u32 {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for user in self.users.values() {
            *counts.entry(user.verifier.iterations()).or_default() += 1;
        }
        let usual = counts.into_iter().max_by_key(|&(iterations, count)| (count, iterations));
        usual.map_or(ITERATIONS, |(iterations, _)| iterations)
    }

    fn text(&self) -> Result<String> {
        let row = |(name, user): (&String, &Arc<User>)| {
            let verifier = user.verifier.to_string();
            (name.clone(), UserText { verifier, rights: user.rights.clone() })
        };
        let user = self.users.iter().map(row).collect();
        let text = UsersText { secret: to_base64(&self.secret), user };
        toml::to_string(&text).map_err(|error| {
            Error::new(Code::Panic, format!("cannot write users as TOML: {error}"))
        })
    }
}

impl FromStr for Users {
    type Err = Error;

    fn from_str(text: &str) -> Result<Users> {
        let text: UsersText = toml::from_str(text).map_err(|error| malformed(text, &error))?;
        let secret = from_base64(&text.secret).and_then(|bytes| bytes.try_into().ok());
        let secret = secret
            .ok_or_else(|| Error::new(Code::Invalid, "its secret is not 32 bytes in base64"))?;
        let mut users = BTreeMap::new();
        for (name, row) in text.user {
            let explain = |error: Error| {
                Error::because(error.code(), format!("user {name:?} is malformed"), &error)
            };
            check_name(&name).map_err(explain)?;
            row.rights.iter().try_for_each(check_right).map_err(explain)?;
            let verifier = row.verifier.parse().map_err(explain)?;
            users.insert(name, Arc::new(User { verifier, rights: row.rights }));
        }
        Ok(Users { secret, users })
    }
}

/// Says what is wrong in which line, and nothing of what stands there: it may be a verifier. A message quotes it, unless
/// it names what is missing.
fn malformed(text: &str, error: &toml::de::Error) -> Error {
    let mut what = error.message().lines().next().unwrap_or_default();
    if !what.starts_with("missing field") {
        what = what.split(['"', '`']).next().unwrap_or_default().trim_end();
    }
    let at = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
    Error::new(Code::Invalid, format!("it is malformed in line {line}: {what}"))
}

/// Where a server gets its users from.
#[derive(Clone, Debug)]
pub enum UserSource {
    /// A users file, read at the open and at each reload.
    File(PathBuf),
    /// These, for ever.
    Inline(Users),
}

impl UserSource {
    pub(super) fn load(&self) -> Result<Users> {
        match self {
            UserSource::File(path) => Users::load(path),
            UserSource::Inline(users) => Ok(users.clone()),
        }
    }
}

/// What the users file has of a new password, as text.
pub(super) fn verifier_text(password: &Password) -> Result<String> {
    verifier(password, ITERATIONS).map(|verifier| verifier.to_string())
}

fn verifier(password: &Password, iterations: u32) -> Result<Verifier> {
    password.check()?;
    let mut salt = [0; 16];
    random(&mut salt);
    Verifier::new(password.as_bytes(), &salt, iterations)
}

fn no_such(name: &str) -> Error {
    Error::new(Code::NoSuchName, format!("there is no user {name:?}"))
}

fn check_name(name: &str) -> Result<()> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control) {
        return Ok(());
    }
    let text = format!("{name:?} is no user's name: 1 to 255 bytes without control characters");
    Err(Error::new(Code::Invalid, text))
}

fn check_right(right: &Right) -> Result<()> {
    let named = !right.verbs.is_empty() && !right.queues.is_empty();
    let fine = |pattern: &String| {
        (1..=NAME_BYTES_MAX).contains(&pattern.len()) && !pattern.contains(char::is_control)
    };
    if named && right.queues.iter().all(fine) {
        return Ok(());
    }
    let text = "a right names at least one verb and one pattern of 1 to 255 bytes";
    Err(Error::new(Code::Invalid, text))
}

/// Whether a name fits a pattern: `*` stands for any characters. Takes at most pattern times name steps.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut seen) = (0, 0);
    let mut star = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == name[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match star {
                // The last star takes one more; those before it have what they need.
                Some((back, taken)) => {
                    star = Some((back, taken + 1));
                    (at, seen) = (back + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

fn place(path: &Path) -> Result<(RealDisk, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Error::new(Code::Invalid, format!("{} is no path of a users file", path.display()))
    })?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((RealDisk::new(folder), name.to_string()))
}

fn read(path: &Path) -> Result<String> {
    let what = || format!("cannot read users from {}", path.display());
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::new(Code::NoSuchName, format!("{}: there is no such file", what()))
        }
        _ => Error::io(what(), &error),
    };
    let (folder, name) = place(path)?;
    let mode = std::fs::metadata(path).map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        let text = format!(
            "{}: others may read or write it (mode {:03o}); chmod 600 makes it yours",
            what(),
            mode & 0o777
        );
        return Err(Error::new(Code::Permission, text));
    }
    let file = folder.open(&name, false).map_err(failed)?;
    let length = file.len().map_err(failed)?;
    if length > FILE_BYTES_MAX {
        let text = format!("{}: it has {length} bytes, more than {FILE_BYTES_MAX}", what());
        return Err(Error::new(Code::TooLarge, text));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let count = file.read_at(&mut bytes, 0).map_err(failed)?;
    bytes.truncate(count);
    String::from_utf8(bytes)
        .map_err(|_| Error::new(Code::Invalid, format!("{}: it is not UTF-8", what())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_at_any_place() {
        let yes = [
            ("orders", "orders"),
            ("*", ""),
            ("*", "x/y"),
            ("orders*", "orders"),
            ("orders*", "orders.eu"),
            ("*.eu", "orders.eu"),
            ("a*b*c", "a1b2b3c"),
            ("a**c", "abc"),
            ("*ä*", "xäy"),
        ];
        let no = [
            ("orders", "orders2"),
            ("", "x"),
            ("orders*", "order"),
            ("*.eu", "orders.eu2"),
            ("a*b*c", "a1c2b"),
            ("Orders", "orders"),
            ("a?c", "abc"),
        ];
        yes.iter().for_each(|(pattern, name)| assert!(fits(pattern, name), "{pattern} {name}"));
        no.iter().for_each(|(pattern, name)| assert!(!fits(pattern, name), "{pattern} {name}"));
        assert!(!fits(&"*a".repeat(100), &"a".repeat(99)), "a hard pattern ends soon");
    }

    #[test]
    fn everything_is_denied_that_no_right_names() {
        let mut users = Users::new();
        users.add_with("ann", &"secret".into(), 4096).unwrap();
        assert!(!Verb::ALL.iter().any(|&verb| users.get("ann").unwrap().may(verb, "orders")));
        for &granted in Verb::ALL {
            let right = Right { verbs: vec![granted], queues: vec!["orders*".into()] };
            users.set_rights("ann", &[right]).unwrap();
            let ann = users.get("ann").unwrap();
            for &asked in Verb::ALL {
                for (queue, named) in [("orders", true), ("orders2", true), ("bills", false)] {
                    assert_eq!(ann.may(asked, queue), named && asked == granted, "{asked} {queue}");
                }
            }
            assert!(ann.may_see("orders") && !ann.may_see("bills"));
        }
    }

    #[test]
    fn a_file_is_written_whole_read_back_and_belongs_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        assert_eq!(Users::load(&path).unwrap_err().code(), Code::NoSuchName);
        let mut users = Users::load_or_new(&path).unwrap();
        users.add_with("ann.b \"c\"", &"secret".into(), 4096).unwrap();
        let right = Right { verbs: vec![Verb::Replicate, Verb::Admin], queues: vec!["*".into()] };
        users.set_rights("ann.b \"c\"", std::slice::from_ref(&right)).unwrap();
        users.save(&path).unwrap();
        users.save(&path).unwrap();
        let read = Users::load(&path).unwrap();
        assert_eq!(read.rights("ann.b \"c\"").unwrap(), [right]);
        read.verify("ann.b \"c\"", &"secret".into()).unwrap();
        assert_eq!(read.secret, users.secret);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
        let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        std::fs::set_permissions(&path, open).unwrap();
        let refused = Users::load(&path).unwrap_err();
        assert_eq!(refused.code(), Code::Permission);
        assert!(refused.to_string().contains("mode 640"), "{refused}");
    }

    #[test]
    fn a_malformed_file_is_refused_and_shows_no_verifier() {
        let mut users = Users::new();
        users.add_with("ann", &"secret".into(), 4096).unwrap();
        let good = users.text().unwrap();
        let verifier = users.get("ann").unwrap().verifier.to_string();
        for (from, to) in [
            ("SCRAM-SHA-256", "SCRAM-SHA-1"),
            ("verifier =", "verifier"),
            ("verifier =", "verify ="),
            ("rights = []", "rights = [{ verbs = [\"fly\"], queues = [\"*\"] }]"),
            ("rights = []", "rights = [{ verbs = [], queues = [\"*\"] }]"),
            ("rights = []", "rights = [{ verbs = [\"admin\"], queues = [\"\"] }]"),
            ("secret = \"", "secret = \"A"),
            ("[user.ann]", "[user.\"\"]"),
        ] {
            assert!(good.contains(from), "{from} in {good}");
            let refused = good.replacen(from, to, 1).parse::<Users>().unwrap_err();
            assert_eq!(refused.code(), Code::Invalid, "{to}");
            assert!(!refused.to_string().contains(&verifier[20..]), "{refused}");
        }
        assert!(good.parse::<Users>().is_ok());
    }

    #[test]
    fn names_are_added_once_and_an_unknown_one_reads_like_a_wrong_password() {
        let mut users = Users::new();
        users.add_with("ann", &"secret".into(), 4096).unwrap();
        assert_eq!(users.add("ann", &"x".into()).unwrap_err().code(), Code::Exists);
        assert_eq!(users.add("a\nb", &"x".into()).unwrap_err().code(), Code::Invalid);
        assert_eq!(users.add("ben", &"".into()).unwrap_err().code(), Code::Invalid);
        assert_eq!(users.add_with("ben", &"x".into(), 4095).unwrap_err().code(), Code::Invalid);
        let wrong = users.verify("ann", &"x".into()).unwrap_err();
        let unknown = users.verify("ben", &"x".into()).unwrap_err();
        assert_eq!((wrong.code(), wrong.to_string()), (unknown.code(), unknown.to_string()));
        users.set_password("ann", &"other".into()).unwrap();
        users.verify("ann", &"other".into()).unwrap();
        users.remove("ann").unwrap();
        assert_eq!(users.remove("ann").unwrap_err().code(), Code::NoSuchName);
        assert!(users.names().is_empty());
    }
}
