//! `choria ca token`: makes a token with which a node gets its first certificate.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use argh::{ArgsInfo, FromArgs};

use super::{FOLDER, failure, length, open, profile};
use crate::ca::join::{self, Claims};
use crate::ca::{LIFE, Profile, names};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::net::servers;
use crate::util::time;

/// How long a token may be used when nothing else is said.
const VALIDITY: Duration = Duration::from_secs(3_600);

/// Make a join token. Whoever has it may get a certificate for one of its names, once unless --uses
/// says more, through a broker that has this authority: choria enroll --token TOKEN.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "{command_name} --broker broker.example.net:4222 --name web1.example.net\n{command_name} --broker b1:4222 --name '*.example.net' --uses 50 --expires 10m"
)]
pub struct MakeToken {
    /// the folder of the authority, /etc/choria/ca by default
    #[argh(option, arg_name = "folder", default = "PathBuf::from(FOLDER)")]
    dir: PathBuf,
    /// a name that may be asked for, in which * stands for a part between two dots; can be repeated
    #[argh(option, arg_name = "pattern")]
    name: Vec<String>,
    /// a broker to go to, host:port; can be repeated
    #[argh(option, arg_name = "host:port")]
    broker: Vec<String>,
    /// what certificates are for; told by the first name when not given
    #[argh(option, long = "for", arg_name = "server|client|broker", from_str_fn(profile))]
    profile: Option<Profile>,
    /// how many certificates it gives, 1 by default
    #[argh(option, arg_name = "count", default = "1")]
    uses: u32,
    /// how long it may be used, 1h by default and 30d at most
    #[argh(option, arg_name = "time", default = "VALIDITY", from_str_fn(length))]
    expires: Duration,
    /// how long certificates are valid, 365d by default
    #[argh(option, arg_name = "time", default = "LIFE", from_str_fn(length))]
    life: Duration,
    /// revoke another certificate that the name has
    #[argh(switch)]
    replace: bool,
    /// allow names that may make requests in the name of anybody
    #[argh(switch)]
    privileged: bool,
}

impl Subcommand for MakeToken {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let now = SystemTime::now();
        let ca = open(&self.dir)?;
        let claims = self.claims(ca.fingerprint(), now)?;
        let token = ca.token(&claims, now).map_err(|error| failure(&error))?;
        writeln!(std::io::stdout(), "{token}")?;
        let ends = time::rfc3339(time::from_unix(claims.expires));
        writeln!(
            std::io::stderr(),
            "For {} {} of {}, until {ends}. On the node, as the user that will use the certificate:\n  \
             choria enroll --token TOKEN",
            claims.uses,
            match claims.uses {
                1 => format!("{} certificate", claims.profile),
                _ => format!("{} certificates", claims.profile),
            },
            claims.names.join(", "),
        )?;
        Ok(Exit::Success)
    }
}

impl MakeToken {
    fn claims(&self, fingerprint: &str, now: SystemTime) -> Result<Claims, Failure> {
        let Some(first) = self.name.first() else {
            return Err(Failure::new("which names may be asked for is not said")
                .hint("--name web1.example.net, or --name '*.example.net'"));
        };
        if let Some(bad) = self.name.iter().find(|name| !names::is_pattern(name)) {
            return Err(Failure::new(format!("{bad:?} is neither a name nor a pattern for names")));
        }
        if self.broker.is_empty() {
            return Err(Failure::new("where the broker is is not said")
                .hint("--broker broker.example.net:4222"));
        }
        servers::parse_hosts(&self.broker).map_err(|error| Failure::new(error.to_string()))?;
        if self.expires > join::LIFE_MAX {
            return Err(Failure::new("a join token ends after 30 days at most"));
        }
        let profile = self.profile.unwrap_or(match names::is_of_client(first) {
            true => Profile::Client,
            false => Profile::Server,
        });
        // A pattern could match more, which is refused when somebody asks for it.
        if let Some(name) = self.name.iter().find(|name| !name.contains('*')) {
            names::check(name, profile, self.privileged).map_err(|error| failure(&error.into()))?;
        }
        let mut claims = Claims::new(self.name.clone(), now, self.expires);
        claims.fingerprint = fingerprint.to_owned();
        claims.profile = profile;
        claims.uses = self.uses;
        claims.brokers.clone_from(&self.broker);
        claims.life = self.life.as_secs().max(1);
        claims.privileged = self.privileged;
        claims.replaces = self.replace;
        claims.check().map_err(|error| Failure::new(error.to_string()))?;
        Ok(claims)
    }
}
