//! `repliq backup`, `repliq restore` and `repliq repair`.

use repliq::{BackupInfo, Code, RepairInfo, Store, StoreOptions};
use serde_json::json;

use super::fail::{Done, Fail};
use super::output::Output;
use super::place::Folder;

/// Copy everything committed into a directory while the store is in use
///
/// The next backup into the same directory copies only what is new; a stop at any time leaves the backup that
/// was there. The directory is no store: `repliq restore` makes one of it.
#[derive(clap::Args, Debug)]
pub struct Backup {
    #[command(flatten)]
    folder: Folder,
    /// Directory of the backup
    dest: String,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Make a store of a backup, in a directory that is empty or missing
///
/// The store begins a new epoch: tokens of what was committed behind the backup answer NOT_FOUND, and targets
/// that have more record it as orphaned and go on.
#[derive(clap::Args, Debug)]
pub struct Restore {
    /// Directory of the backup
    backup: String,
    #[command(flatten)]
    folder: Folder,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Say what is damaged in a store and, with --accept-loss, make a sound store of what is left
///
/// Without the flag nothing is changed; the exit status is 0 for a sound store and 14 (CORRUPT) for a damaged
/// one, with what would be lost on stdout. With it damaged files are kept under names that end in .damaged.
#[derive(clap::Args, Debug)]
pub struct Repair {
    #[command(flatten)]
    folder: Folder,
    /// Cut off what is behind damage, and give damaged segments up
    #[arg(long)]
    accept_loss: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    /// Takes the store as it is, also beside a process that writes.
    pub fn run(self) -> Done {
        let options = StoreOptions { create: false, read_only: true, ..StoreOptions::default() };
        let store = self.folder.open(options)?;
        print(&store.backup(&self.dest)?, self.json)
    }
}

impl Restore {
    /// Copies back and begins the new epoch.
    pub fn run(self) -> Done {
        let run =
            |options: &StoreOptions| Store::restore(&self.backup, &self.folder.store, options);
        print(&self.folder.with_password(run)?, self.json)
    }
}

impl Repair {
    /// Looks, and repairs where loss is accepted.
    pub fn run(self) -> Done {
        let run =
            |options: &StoreOptions| Store::repair(&self.folder.store, options, self.accept_loss);
        let info = self.folder.with_password(run)?;
        let mut output = Output::open();
        if self.json {
            output.json(&json!({
                "damaged": info.is_damaged(),
                "cut": info.cut.map(|(from, to)| json!({ "from": from, "to": to })),
                "hole": info.hole.map(|(from, to)| json!({ "from": from, "to": to })),
                "last_transaction": info.last,
                "lost_transactions": info.segments,
                "prepared": info.prepared,
                "state_runs": info.runs,
                "kept_aside": info.aside,
            }))?;
        } else {
            for line in lines(&info, self.accept_loss) {
                output.line(&line)?;
            }
        }
        output.flush()?;
        if info.is_damaged() && !self.accept_loss {
            let store = &self.folder.store;
            let text = format!("{store} is damaged: nothing was changed; --accept-loss repairs it");
            return Err(Fail::new(Code::Corrupt, text));
        }
        Ok(())
    }
}

fn lines(info: &RepairInfo, accepted: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let lost = if accepted { "was lost" } else { "would be lost" };
    if !info.is_damaged() {
        return vec!["nothing is damaged".to_string()];
    }
    if let Some((from, to)) = info.cut {
        lines.push(format!("bytes {from} to {to} of the journal are damaged"));
        lines.push(format!("everything behind transaction {} {lost}", info.last));
    }
    if let Some((from, to)) = info.hole {
        lines.push(format!("a file with bytes {from} to {to} of the journal is missing or short"));
    }
    for (first, last) in &info.segments {
        lines.push(format!("what is in transactions {first} to {last} {lost}"));
    }
    if info.prepared > 0 {
        let count = info.prepared;
        lines.push(format!("{count} prepared transactions cannot be committed: a file is damaged"));
    }
    if info.runs > 0 {
        lines.push(format!("{} state runs are damaged; nothing is lost with them", info.runs));
    }
    lines.extend(info.aside.iter().map(|name| format!("kept aside: {name}")));
    lines
}

fn print(info: &BackupInfo, as_json: bool) -> Done {
    let mut output = Output::open();
    if as_json {
        output.json(&json!({
            "epoch": info.epoch,
            "sequence": info.sequence,
            "files": info.files,
            "files_copied": info.files_copied,
            "bytes": info.bytes,
            "bytes_copied": info.bytes_copied,
        }))?;
    } else {
        output.line(&format!(
            "up to transaction {}: {} files of {} bytes, {} of them copied ({} bytes)",
            info.sequence, info.files, info.bytes, info.files_copied, info.bytes_copied
        ))?;
    }
    output.flush()
}
