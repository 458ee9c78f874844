//! `repliq passwd`: another password for an encrypted store.

use std::path::PathBuf;

use repliq::{Code, Password, StoreOptions};

use super::fail::{Done, Fail};
use super::place::Folder;
use super::secret;

/// Give an encrypted store another password
///
/// Only the file `key` is written anew; a stop in between leaves the old password or the new one. Both are asked
/// for on the terminal, unless options say where they are.
#[derive(clap::Args, Debug)]
pub struct Passwd {
    #[command(flatten)]
    folder: Folder,
    /// File whose first line is the new password
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Password",
        conflicts_with = "new_password_fd"
    )]
    new_password_file: Option<PathBuf>,
    /// Open file descriptor to read the new password from
    #[arg(long, value_name = "N", help_heading = "Password")]
    new_password_fd: Option<u32>,
}

impl Passwd {
    /// Opens with the old one, and changes it.
    pub fn run(self) -> Done {
        let options = StoreOptions { create: false, ..StoreOptions::default() };
        let store = self.folder.open(options)?;
        store.change_password(&self.new_password()?)?;
        Ok(store.close()?)
    }

    fn new_password(&self) -> Done<Password> {
        if let Some(path) = &self.new_password_file {
            return secret::from_file(path);
        }
        if let Some(number) = self.new_password_fd {
            return secret::from_file(&PathBuf::from(format!("/dev/fd/{number}")));
        }
        if secret::can_ask() {
            return secret::ask_new(&format!("new password of {}", self.folder.store));
        }
        let text = "cannot ask for the new password: there is no terminal, use --new-password-file";
        Err(Fail::new(Code::Invalid, text))
    }
}
