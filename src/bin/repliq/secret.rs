//! Passwords: from a file, from an open file descriptor, or typed; never an argument and never the environment,
//! which other users of the machine and every child process can read.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use repliq::{Code, Password};
use zeroize::Zeroizing;

use super::fail::{Done, Fail};

/// Longest password that is read; a longer file is no password file.
const BYTES_MAX: u64 = 64 << 10;

/// Where the password of STORE comes from.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Secret {
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", help_heading = "Password", conflicts_with_all = ["password_fd", "ask_password"])]
    pub password_file: Option<PathBuf>,
    /// Open file descriptor to read the password from
    #[arg(long, value_name = "N", help_heading = "Password", conflicts_with = "ask_password")]
    pub password_fd: Option<u32>,
    /// Ask for the password on the terminal
    #[arg(long, help_heading = "Password")]
    pub ask_password: bool,
}

impl Secret {
    /// The password, where one of the options asks for it.
    pub fn read(&self, what: &str) -> Done<Option<Password>> {
        if let Some(path) = &self.password_file {
            return from_file(path).map(Some);
        }
        if let Some(number) = self.password_fd {
            return from_file(&PathBuf::from(format!("/dev/fd/{number}"))).map(Some);
        }
        if self.ask_password {
            return ask(what).map(Some);
        }
        Ok(None)
    }
}

/// The first line of a file, without its end.
pub fn from_file(path: &PathBuf) -> Done<Password> {
    let name = path.display();
    let file = File::open(path)
        .map_err(|error| Fail::io(format!("cannot open the password file {name}"), &error))?;
    let mut text = Zeroizing::new(Vec::with_capacity(256));
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| Fail::io(format!("cannot read the password file {name}"), &error))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(Fail::new(
            Code::TooLarge,
            format!("cannot take a password from {name}: it has more than {BYTES_MAX} bytes"),
        ));
    }
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(Fail::new(
            Code::Invalid,
            format!("cannot take a password from {name}: its first line is empty"),
        ));
    }
    Ok(Password::from(line))
}

/// Whether somebody is there to be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal, without showing what is typed.
pub fn ask(what: &str) -> Done<Password> {
    Ok(Password::from(type_in(what)?.as_str()))
}

/// Asks twice for a new password.
pub fn ask_new(what: &str) -> Done<Password> {
    let first = type_in(what)?;
    if first != type_in("the same again")? {
        return Err(Fail::new(Code::Invalid, "cannot take the new password: the two differ"));
    }
    Ok(Password::from(first.as_str()))
}

fn type_in(what: &str) -> Done<Zeroizing<String>> {
    let typed = rpassword::prompt_password(format!("{what}: "))
        .map_err(|error| Fail::io("cannot ask for a password on the terminal", &error))?;
    let typed = Zeroizing::new(typed);
    if typed.is_empty() {
        return Err(Fail::new(Code::Invalid, "cannot take an empty password"));
    }
    Ok(typed)
}
