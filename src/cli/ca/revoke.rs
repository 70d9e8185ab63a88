//! `choria ca revoke`: ends certificates early.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};

use super::{FOLDER, failure, open};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::crypto::crl::Reason;

/// Revoke the certificate with a serial number, or all certificates of a name. A broker with this
/// authority closes its connections at once; others learn it from the list of revoked certificates.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(example = "{command_name} web1.example.net\n{command_name} --reason key-compromise 5f0c…")]
pub struct Revoke {
    /// the folder of the authority, /etc/choria/ca by default
    #[argh(option, arg_name = "folder", default = "PathBuf::from(FOLDER)")]
    dir: PathBuf,
    /// why
    #[argh(
        option,
        arg_name = "unspecified|key-compromise|superseded|retired",
        default = "Reason::Unspecified",
        from_str_fn(reason)
    )]
    reason: Reason,
    /// a name, or a serial number
    #[argh(positional, arg_name = "certificate")]
    which: String,
}

fn reason(word: &str) -> Result<Reason, String> {
    Reason::of(word).ok_or_else(|| {
        let words: Vec<_> = Reason::ALL.iter().map(|(word, _)| *word).collect();
        format!("reasons are {}", words.join(", "))
    })
}

impl Subcommand for Revoke {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let ca = open(&self.dir)?;
        let revoked = ca.revoke(&self.which, self.reason, SystemTime::now());
        let mut out = std::io::stdout();
        for record in revoked.map_err(|error| failure(&error))? {
            writeln!(out, "Revoked {} serial {}", record.name, record.serial)?;
        }
        writeln!(
            std::io::stderr(),
            "The list of revoked certificates is {}",
            ca.crl_file().display()
        )?;
        Ok(Exit::Success)
    }
}
