//! `choria jwt client`: a token for a person or a program.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{
    FILE_BYTES_MAX, chain_key, length, new_id, public_key, save, set_chain, signing_key,
    without_vault,
};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::private;
use crate::crypto::ed25519::PublicKey;
use crate::tokens::{ClientClaims, ClientPermissions, ORGANIZATION_DEFAULT, SigningKey};

/// Make a token for a client. The public key of the client goes into the token, and only who has
/// its seed can use it.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "[runnable] {command_name} alice.jwt up=alice issuer.seed --public-key alice.public\n\
        [runnable] {command_name} alice.jwt up=alice issuer.seed --public-key alice.public --agents 'rpcutil.*' --validity 12h\n\
        {command_name} aaa.jwt up=aaa issuer.seed --public-key aaa.public --issuer\n\
        {command_name} bob.jwt up=bob aaa.seed --public-key bob.public --issued-by aaa.jwt"
)]
#[expect(clippy::struct_excessive_bools, reason = "one for each permission of a token")]
pub struct MakeClient {
    /// an agent or action it may use, more than once for more
    #[argh(option, arg_name = "agent")]
    agents: Vec<String>,
    /// the organization, choria by default
    #[argh(option, arg_name = "name", default = "ORGANIZATION_DEFAULT.to_owned()")]
    org: String,
    /// a file with a Rego policy
    #[argh(option, arg_name = "file")]
    opa_file: Option<PathBuf>,
    /// a Rego policy
    #[argh(option, arg_name = "text")]
    opa: Option<String>,
    /// how long it is good for, 1h by default
    #[argh(option, arg_name = "time", default = "HOUR", from_str_fn(length))]
    validity: Duration,
    /// the public key of the client, or a file with it
    #[argh(option, arg_name = "key")]
    public_key: Option<String>,
    /// it may administer Streams
    #[argh(switch)]
    stream_admin: bool,
    /// it may use Streams
    #[argh(switch)]
    stream_user: bool,
    /// it may view events
    #[argh(switch)]
    event_viewer: bool,
    /// it may use leader elections
    #[argh(switch)]
    elections_user: bool,
    /// it may have a long validity
    #[argh(switch)]
    service: bool,
    /// it may use the system account of the broker
    #[argh(switch)]
    system: bool,
    /// it may sign requests of others
    #[argh(switch)]
    auth_delegation: bool,
    /// it may make requests, which is so unless it is denied
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "accepted because scripts give it; it is the default")]
    fleet_management: bool,
    /// it may not make requests
    #[argh(switch)]
    no_fleet_management: bool,
    /// it may make requests that a delegator has signed, and no others
    #[argh(switch)]
    signed_fleet_management: bool,
    /// it may see and send everything
    #[argh(switch)]
    org_admin: bool,
    /// a subject it may publish to, more than once for more
    #[argh(option, arg_name = "subject")]
    publish: Vec<String>,
    /// a subject it may subscribe to, more than once for more
    #[argh(option, arg_name = "subject")]
    subscribe: Vec<String>,
    /// it may make tokens for the organization, but no requests
    #[argh(switch)]
    issuer: bool,
    /// it may provision servers
    #[argh(switch)]
    server_provisioner: bool,
    /// it may use governors
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
    /// the caller id, such as up=alice
    #[argh(positional)]
    identity: String,
    /// the file of the key that signs the token
    #[argh(positional)]
    signing_key: PathBuf,
}

const HOUR: Duration = Duration::from_secs(3_600);

impl Subcommand for MakeClient {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        without_vault(self.vault)?;
        if self.issuer && self.issued_by.is_some() {
            return Err(Failure::new("only the organization makes chain issuers")
                .hint("give --issuer or --issued-by, not both"));
        }
        self.warn_of_caller()?;
        let public = self.public_key.as_deref().map(public_key).transpose()?;
        let key = signing_key(&self.signing_key, public.as_ref())?;
        let claims = self.claims(&key, public)?;
        if self.public_key.is_none() {
            let text = "without --public-key nobody can log in at a broker with this token";
            writeln!(std::io::stderr(), "choria: warning: {text}")?;
        }
        save(&claims, &key, &self.file)
    }
}

impl MakeClient {
    /// Services need not have a caller id of this form, but whoever makes requests does.
    fn warn_of_caller(&self) -> Result<(), Failure> {
        let name = &self.identity;
        if name.is_empty() {
            return Err(Failure::new("a caller id is needed").hint("such as up=alice"));
        }
        let is_good =
            name.split_once('=').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
        if !is_good && self.permissions().fleet_management {
            let text = "servers refuse a caller id that is not kind=name, such as up=alice";
            writeln!(std::io::stderr(), "choria: warning: {text}")?;
        }
        Ok(())
    }

    fn claims(&self, key: &SigningKey, public: Option<PublicKey>) -> Result<ClientClaims, Failure> {
        let mut claims = ClientClaims::new(&self.identity, public, new_id(), self.validity);
        claims.agents = self.agents.clone();
        claims.organization = self.org.clone();
        claims.opa_policy = self.policy()?;
        claims.permissions = self.permissions();
        claims.publish = self.publish.clone();
        claims.subscribe = self.subscribe.clone();
        if self.issuer {
            let organization = chain_key(&self.signing_key, key)?;
            claims
                .common
                .set_organization_issuer(organization)
                .map_err(|fault| Failure::new(fault.to_string()).hint("give a --public-key"))?;
        }
        if let Some(file) = &self.issued_by {
            set_chain(&mut claims.common, file, chain_key(&self.signing_key, key)?)?;
        }
        Ok(claims)
    }

    fn policy(&self) -> Result<String, Failure> {
        match &self.opa_file {
            Some(file) => private::read_text("policy", file, FILE_BYTES_MAX),
            None => Ok(self.opa.clone().unwrap_or_default()),
        }
    }

    /// Some permissions bring others with them; chain issuers have none over the fleet.
    fn permissions(&self) -> ClientPermissions {
        let fleet = !self.no_fleet_management && !self.issuer;
        let signed = self.signed_fleet_management && !self.issuer;
        ClientPermissions {
            streams_admin: self.stream_admin,
            streams_user: self.stream_user,
            events_viewer: self.event_viewer,
            election_user: self.elections_user,
            system_user: self.system,
            governor: self.governor,
            org_admin: self.org_admin,
            fleet_management: fleet || signed || self.server_provisioner,
            signed_fleet_management: signed,
            service: self.service,
            authentication_delegator: self.auth_delegation && !self.issuer,
            provisioner: self.server_provisioner,
        }
    }
}
