//! `choria jwt provisioning`: a token for nodes that have no configuration yet.

use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{length, new_id, save, signing_key, without_vault};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::prompt;
use crate::tokens::{ORGANIZATION_DEFAULT, ProvisioningClaims};
use crate::util::secret::Secret;

/// Make a token with which nodes ask to be provisioned.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} provisioning.jwt issuer.seed --urls b1.example.net:4222 --no-insecure\n{command_name} provisioning.jwt issuer.seed --srv example.net --default --protocol-v2 --no-insecure"
)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command")]
pub struct MakeProvisioning {
    /// nodes may use connections without TLS, which is so unless it is denied
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "accepted because scripts give it; it is the default")]
    insecure: bool,
    /// nodes must use TLS
    #[argh(switch)]
    no_insecure: bool,
    /// the token of the provisioning agent, asked for when it is not given
    #[argh(option, arg_name = "text")]
    token: Option<String>,
    /// a broker, more than once for more
    #[argh(option, arg_name = "url")]
    urls: Vec<String>,
    /// the domain of the SRV records that name the brokers
    #[argh(option, arg_name = "domain")]
    srv: Option<String>,
    /// nodes without configuration are provisioned
    #[argh(switch)]
    default: bool,
    /// a file on the node with data for registration
    #[argh(option, arg_name = "file")]
    registration: Option<String>,
    /// a file on the node with facts
    #[argh(option, arg_name = "file")]
    facts: Option<String>,
    /// the user at the broker
    #[argh(option, arg_name = "name")]
    username: Option<String>,
    /// the password at the broker
    #[argh(option, arg_name = "text")]
    password: Option<String>,
    /// a JSON object with what else the site needs
    #[argh(option, arg_name = "json")]
    extensions: Option<String>,
    /// the organization, choria by default
    #[argh(option, arg_name = "name", default = "ORGANIZATION_DEFAULT.to_owned()")]
    org: String,
    /// not supported
    #[argh(switch, hidden_help)]
    vault: bool,
    /// provisioning uses protocol v2
    #[argh(switch)]
    protocol_v2: bool,
    /// upgrades over the air are allowed
    #[argh(switch)]
    upgrade: bool,
    /// the old name of --upgrade
    #[argh(switch, hidden_help)]
    update: bool,
    /// how long it is good for, 1y by default
    #[argh(option, arg_name = "time", default = "YEAR", from_str_fn(length))]
    validity: Duration,
    /// the file for the token
    #[argh(positional)]
    file: PathBuf,
    /// the file of the key that signs the token
    #[argh(positional)]
    signing_key: PathBuf,
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Subcommand for MakeProvisioning {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        without_vault(self.vault)?;
        if self.urls.is_empty() == self.srv.is_none() {
            return Err(Failure::new("either --urls or --srv is needed, not both")
                .hint("they say where nodes find the broker that provisions them"));
        }
        let key = signing_key(&self.signing_key, None)?;
        let extensions = self.extensions.as_deref().map(serde_json::from_str).transpose();
        let extensions = extensions
            .map_err(|error| Failure::new(format!("--extensions is no JSON object: {error}")))?;
        let token = match self.token {
            Some(token) => token,
            None => prompt::secret("Provisioning token")
                .map_err(|failure| failure.hint("--token TEXT"))?,
        };
        let claims = ProvisioningClaims {
            token: Secret::new(token),
            secure: self.no_insecure,
            urls: self.urls.join(","),
            srv_domain: self.srv.unwrap_or_default(),
            by_default: self.default,
            registration_file: self.registration.unwrap_or_default(),
            facts_file: self.facts.unwrap_or_default(),
            user: self.username.unwrap_or_default(),
            password: Secret::new(self.password.unwrap_or_default()),
            extensions,
            organization: self.org,
            protocol_v2: self.protocol_v2,
            allow_update: self.upgrade || self.update,
            ..ProvisioningClaims::new(new_id(), self.validity)
        };
        save(&claims, &key, &self.file)
    }
}
