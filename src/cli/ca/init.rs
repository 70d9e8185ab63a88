//! `choria ca init`: makes a certificate authority.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};

use super::{FOLDER, failure};
use crate::ca::{Ca, Error};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::util::time;

/// Make a certificate authority: a folder with a new key, its certificate, the key that signs join
/// tokens and an empty list of revoked certificates. Whoever can read the folder owns the network.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name}\n[runnable] {command_name} --dir ./ca --name 'Example CA'")]
pub struct InitCa {
    /// the folder, /etc/choria/ca by default
    #[argh(option, arg_name = "folder", default = "PathBuf::from(FOLDER)")]
    dir: PathBuf,
    /// the name in its certificate, "Choria CA" by default
    #[argh(option, arg_name = "name", default = "String::from(\"Choria CA\")")]
    name: String,
}

impl Subcommand for InitCa {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let is_fine = !self.name.is_empty()
            && self.name.len() <= 64
            && !self.name.chars().any(char::is_control);
        if !is_fine {
            return Err(Failure::new("the name of an authority has 1 to 64 characters"));
        }
        let ca = Ca::init(&self.dir, &self.name, SystemTime::now()).map_err(|error| {
            let failure = failure(&error);
            match error {
                Error::Exists(_) => failure.hint("--dir names another folder"),
                _ => failure,
            }
        })?;
        let mut out = std::io::stdout();
        writeln!(out, "Certificate authority {:?} in {}", self.name, self.dir.display())?;
        writeln!(out, "Fingerprint sha256:{}", ca.fingerprint())?;
        writeln!(out, "Valid until {}", time::rfc3339(ca.certificate().not_after()))?;
        let dir = match self.dir == Path::new(FOLDER) {
            true => String::new(),
            false => format!(" --dir {}", self.dir.display()),
        };
        writeln!(
            std::io::stderr(),
            "Next, a certificate for the broker:\n  \
             choria ca sign{dir} --for broker --out /etc/choria/ssl broker.example.net"
        )?;
        Ok(Exit::Success)
    }
}
