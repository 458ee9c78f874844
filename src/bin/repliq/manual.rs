//! `repliq completions` and `repliq manual`: what an installation puts beside the command.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Line;
use super::fail::{Done, Fail};
use super::output::Output;

/// Print a script with which a shell completes words of this command
#[derive(clap::Args, Debug)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Write the manual pages into a directory, one a verb
#[derive(clap::Args, Debug)]
pub struct Manual {
    /// The directory; it must exist
    directory: PathBuf,
}

impl Completions {
    /// Prints the script.
    pub fn run(self) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Line::command(), "repliq", &mut script);
        let mut output = Output::open();
        output.bytes(&script)?;
        output.flush()
    }
}

impl Manual {
    /// Writes `repliq.1`, `repliq-put.1` and so on.
    pub fn run(self) -> Done {
        let mut line = Line::command();
        line.build();
        self.write(&line, "repliq")?;
        for verb in line.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let name = format!("repliq-{}", verb.get_name());
            self.write(verb, &name)?;
            for act in verb.get_subcommands().filter(|act| act.get_name() != "help") {
                self.write(act, &format!("{name}-{}", act.get_name()))?;
            }
        }
        Ok(())
    }

    fn write(&self, command: &clap::Command, name: &str) -> Done {
        let path = self.directory.join(format!("{name}.1"));
        let failed = |error| Fail::io(format!("cannot write {}", path.display()), &error);
        let mut page = Vec::new();
        let manual = clap_mangen::Man::new(command.clone()).title(name).section("1");
        manual.render(&mut page).map_err(failed)?;
        fs::write(&path, page).map_err(failed)
    }
}
