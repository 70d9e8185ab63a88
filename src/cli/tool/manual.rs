//! `choria tool manual`: writes the pages of the manual, for packages.

use std::fs;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};

use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{COMMANDS, SUMMARY, manual};

/// Write the pages of the manual into a folder: choria.1, choria-broker.conf.5, choria-security.7 and all others.
/// Files of the same names are replaced.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name} man && man man/choria.1")]
pub struct WriteManual {
    /// the folder, which is made when it does not exist
    #[argh(positional)]
    folder: PathBuf,
}

impl Subcommand for WriteManual {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        let fail = |path: &PathBuf, error| {
            Failure::new(format!("cannot write {}: {error}", path.display()))
        };
        fs::create_dir_all(&self.folder).map_err(|error| fail(&self.folder, error))?;
        for page in manual::pages(SUMMARY, COMMANDS) {
            let path = self.folder.join(&page.file);
            fs::write(&path, &page.text).map_err(|error| fail(&path, error))?;
        }
        Ok(Exit::Success)
    }
}
