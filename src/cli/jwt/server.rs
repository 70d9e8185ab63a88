//! `choria jwt server`: a token for a node.

use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{chain_key, length, new_id, public_key, save, set_chain, signing_key, without_vault};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::tokens::{ORGANIZATION_DEFAULT, ServerClaims, ServerPermissions};

/// Make a token for a server.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} n1.jwt n1.example.net n1.public issuer.seed\n{command_name} n1.jwt n1.example.net n1.public issuer.seed --collectives choria --collectives uk --stream-user"
)]
pub struct MakeServer {
    /// a collective it is in, choria by default, more than once for more
    #[argh(option, arg_name = "name")]
    collectives: Vec<String>,
    /// the organization, choria by default
    #[argh(option, arg_name = "name", default = "ORGANIZATION_DEFAULT.to_owned()")]
    org: String,
    /// a subject it may publish to, more than once for more
    #[argh(option, arg_name = "subject")]
    subjects: Vec<String>,
    /// it may submit messages
    #[argh(switch)]
    submission: bool,
    /// it may use Streams
    #[argh(switch)]
    stream_user: bool,
    /// how long it is good for, 8760h by default
    #[argh(option, arg_name = "time", default = "YEAR", from_str_fn(length))]
    validity: Duration,
    /// it may host service agents
    #[argh(switch)]
    service: bool,
    /// it may use governors, which needs --stream-user
    #[argh(switch)]
    governor: bool,
    /// the token of a chain issuer whose seed is the signing key
    #[argh(option, arg_name = "file")]
    issued_by: Option<PathBuf>,
    /// not supported
    #[argh(switch, hidden_help)]
    vault: bool,
    /// the file for the token
    #[argh(positional)]
    file: PathBuf,
    /// the identity of the server
    #[argh(positional)]
    identity: String,
    /// the public key of the server, or a file with it
    #[argh(positional)]
    public_key: String,
    /// the file of the key that signs the token
    #[argh(positional)]
    signing_key: PathBuf,
}

/// The collective of servers with tokens that are not told another one.
const COLLECTIVE: &str = "choria";
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Subcommand for MakeServer {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        without_vault(self.vault)?;
        if self.governor && !self.stream_user {
            return Err(Failure::new("--governor needs --stream-user"));
        }
        if self.identity.is_empty() {
            return Err(Failure::new("an identity is needed"));
        }
        let public = public_key(&self.public_key)?;
        let key = signing_key(&self.signing_key, Some(&public))?;
        let mut claims = ServerClaims::new(&self.identity, public, new_id(), self.validity);
        claims.collectives = match &self.collectives[..] {
            [] => vec![COLLECTIVE.to_owned()],
            names => names.to_vec(),
        };
        claims.organization = self.org;
        claims.publish = self.subjects;
        claims.permissions = ServerPermissions {
            submission: self.submission,
            streams: self.stream_user,
            governor: self.governor,
            service_host: self.service,
        };
        if let Some(file) = &self.issued_by {
            set_chain(&mut claims.common, file, chain_key(&self.signing_key, &key)?)?;
        }
        save(&claims, &key, &self.file)
    }
}
