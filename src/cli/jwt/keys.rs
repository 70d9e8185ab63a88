//! `choria jwt keys`: a key pair, or a look at one.

use std::io::Write;
use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};

use super::FILE_BYTES_MAX;
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::private::{self, Readers};
use crate::crypto::ed25519::KeyPair;

/// Make an ed25519 key pair. The seed is the private half: it is written for its owner alone, and
/// must not leave the machine.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "[runnable] {command_name} issuer.seed issuer.public\n[runnable] {command_name} alice.seed alice.public\n[runnable] {command_name} --show-public issuer.seed"
)]
pub struct MakeKeys {
    /// replace a seed that exists
    #[argh(switch, short = 'f')]
    force: bool,
    /// make nothing, show the public key of a seed that exists
    #[argh(switch)]
    show_public: bool,
    /// the file for the seed
    #[argh(positional)]
    seed_file: PathBuf,
    /// a file for the public key
    #[argh(positional)]
    public: Option<PathBuf>,
}

impl Subcommand for MakeKeys {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        let name = self.seed_file.display();
        if self.show_public {
            let text = private::read_text("seed", &self.seed_file, FILE_BYTES_MAX)?;
            let pair = KeyPair::from_seed_hex(&text)
                .map_err(|error| Failure::new(format!("{name} is {error}")))?;
            writeln!(std::io::stdout(), "Public Key: {}", pair.public_key())?;
            return Ok(Exit::Success);
        }
        if self.seed_file.exists() && !self.force {
            return Err(Failure::new(format!("the seed {name} exists"))
                .hint("--force makes a new one; tokens with the old key are useless then"));
        }
        let pair = KeyPair::generate();
        private::write(&self.seed_file, pair.seed_hex().as_bytes(), Readers::Owner)?;
        let public = pair.public_key().to_string();
        if let Some(file) = &self.public {
            private::write(file, public.as_bytes(), Readers::All)?;
        }
        let mut out = std::io::stdout();
        writeln!(out, "Public Key: {public}\n\nEd25519 seed saved in {name}")?;
        Ok(Exit::Success)
    }
}
