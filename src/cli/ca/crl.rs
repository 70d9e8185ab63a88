//! `choria ca crl`: the list of revoked certificates.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};

use super::{FOLDER, failure, open};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};

/// Print the list of revoked certificates. It is valid for 30 days from the time it was made; a
/// broker with this authority makes it anew every day, --refresh does so without one.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name} --refresh > /etc/choria/ssl/crl.pem")]
pub struct ShowCrl {
    /// the folder of the authority, /etc/choria/ca by default
    #[argh(option, arg_name = "folder", default = "PathBuf::from(FOLDER)")]
    dir: PathBuf,
    /// make it anew first
    #[argh(switch)]
    refresh: bool,
}

impl Subcommand for ShowCrl {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let ca = open(&self.dir)?;
        if self.refresh {
            ca.refresh_crl(SystemTime::now()).map_err(|error| failure(&error))?;
        }
        let text = ca.crl().map_err(|error| failure(&error))?;
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(Exit::Success)
    }
}
