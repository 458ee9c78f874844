//! `repliq replicate`: the main job, a root queue to many servers.

use std::path::PathBuf;
use std::time::Duration;

use repliq::{Code, Replication, ReplicationOptions, StoreOptions};

use super::fail::{Done, Fail};
use super::feed::{Feed, Into, Sum};
use super::place::{Folder, Reach};
use super::progress::Progress;
use super::signal::{Asked, Signals};
use super::target::{Targets, print, refused, stopped, streams};

/// How often the targets are looked at while they catch up.
const LOOK: Duration = Duration::from_millis(50);

/// Replicate a root queue to servers, and put into it meanwhile
///
/// Runs until a signal, or with --until-caught-up until every server has everything, durably. A server that is
/// down is tried again; what it misses waits in the root queue. With FILE (- is stdin) messages are put at the
/// same time, as `repliq put` does; each transaction arrives whole at each server. With --until-caught-up a server
/// that refuses a transaction ends the command with the reason, once the others have everything.
#[derive(clap::Args, Debug)]
pub struct Replicate {
    #[command(flatten)]
    folder: Folder,
    /// Name of the root queue
    root: String,
    /// Files to put meanwhile; - is stdin
    files: Vec<PathBuf>,
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    feed: Feed,
    /// Let this target go on though what it lacks is gone; may be repeated. The gap is counted on both sides
    #[arg(long, value_name = "NAME")]
    accept_gap: Vec<String>,
    /// End when every server has everything
    #[arg(long)]
    until_caught_up: bool,
    /// Print the targets at the end as JSON, one object a line
    #[arg(long)]
    json: bool,
}

impl Replicate {
    /// Puts and replicates.
    pub fn run(self) -> Done {
        let mut signals = Signals::open()?;
        let passwords = self.targets.passwords()?;
        if let Some(name) = self.accept_gap.iter().find(|name| !self.targets.has(name)) {
            let text = format!("cannot accept a gap at {name}: there is no target of that name");
            return Err(Fail::new(Code::NoSuchName, text));
        }
        let input = if self.files.is_empty() { None } else { Some(self.feed.open(&self.files)?) };
        let store = self.folder.open(StoreOptions::default())?;
        let root = store.queue(&self.root)?;
        let replication = Replication::open(&store, root, &ReplicationOptions::default())?;
        self.targets.add(&replication, &self.reach, &passwords)?;
        for name in &self.accept_gap {
            replication.accept_gap(name)?;
        }
        let mut sum = Sum::default();
        let mut asked = || signals.wait(Duration::ZERO) == Some(Asked::End);
        let put = match input {
            None => Ok(()),
            Some(mut input) => {
                let mut into = Into::Here(&store, root);
                self.feed.put(&mut into, &mut input, &mut sum, &mut asked)
            }
        };
        let ran = put.and_then(|()| self.stay(&replication, &mut signals));
        let targets = replication.targets();
        let closed = replication.close().and_then(|()| store.close());
        print(&self.targets.of(targets?), self.json)?;
        ran?;
        Ok(closed?)
    }

    /// Stays until everybody has everything, or until a signal.
    fn stay(&self, replication: &Replication, signals: &mut Signals) -> Done {
        let mut bar: Option<(u64, Progress)> = None;
        loop {
            let targets = self.targets.of(replication.targets()?);
            let lag = targets.iter().map(|target| target.lag_messages).sum::<u64>();
            let (most, progress) = bar.get_or_insert_with(|| {
                let wanted = self.until_caught_up && self.feed.shows_progress();
                (lag, Progress::messages(Some(lag), wanted))
            });
            progress.at(most.saturating_sub(lag));
            if self.until_caught_up {
                // What a server said in an earlier run does not count: it may have lost it since.
                if targets.iter().all(|target| target.lag_messages == 0 && streams(target)) {
                    return Ok(());
                }
                // Waiting cannot change what only an operator can.
                if let Some(fail) = targets.iter().find_map(stopped) {
                    return Err(fail);
                }
                let behind =
                    targets.iter().filter(|target| target.lag_messages > 0 || !streams(target));
                let refusals: Option<Vec<Fail>> = behind.map(refused).collect();
                if let Some(fail) = refusals.and_then(|all| all.into_iter().next()) {
                    return Err(fail);
                }
            }
            if signals.wait(LOOK) == Some(Asked::End) {
                return Ok(());
            }
        }
    }
}
