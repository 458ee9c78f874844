//! STORE on the command line: a directory, opened the way a verb needs it.

use repliq::{Store, StoreOptions};

use super::fail::Done;

/// The argument STORE.
#[derive(clap::Args, Clone, Debug)]
pub struct Place {
    /// Directory of the store
    pub store: String,
}

impl Place {
    /// Opens an existing store to look at it; another process may be writing.
    pub fn look(&self) -> Done<Store> {
        self.open(StoreOptions { create: false, read_only: true, ..StoreOptions::default() })
    }

    /// Opens an existing store for writing.
    pub fn change(&self) -> Done<Store> {
        self.open(StoreOptions { create: false, ..StoreOptions::default() })
    }

    /// Opens the store with these options.
    pub fn open(&self, options: StoreOptions) -> Done<Store> {
        Ok(Store::open(&self.store, &options)?)
    }
}
