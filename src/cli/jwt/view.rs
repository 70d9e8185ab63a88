//! `choria jwt view`: what a token says, and whether it is good.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use argh::{ArgsInfo, FromArgs};

use super::{read_token, report, verification_key};
use crate::cli::command::Subcommand;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::tokens::{
    Denied, Key, Purpose, Unverified, verify_client, verify_provisioning, verify_server,
};

/// Show what a token says. With the public key of the organization the token and its chain of
/// trust are verified. Ends with 1 when the token has expired or is not trusted.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "[runnable] {command_name} alice.jwt\n[runnable] {command_name} alice.jwt issuer.public\n[runnable] {command_name} alice.jwt --json"
)]
pub struct View {
    /// the claims as one JSON document
    #[argh(switch)]
    json: bool,
    /// the file with the token
    #[argh(positional)]
    file: PathBuf,
    /// the public key of the organization: hexadecimal digits, or a file with them or with an RSA key
    #[argh(positional)]
    public: Option<String>,
}

impl Subcommand for View {
    async fn run(self, _context: &Context) -> Result<Exit, Failure> {
        let token = read_token(&self.file)?;
        let key = self.public.as_deref().map(verification_key).transpose()?;
        let now = SystemTime::now();
        let verdict = judge(&token, key.as_ref(), now);
        let text = if self.json {
            report::json(token.payload())
        } else {
            let word = match (&verdict, &key) {
                (Ok(()), Some(_)) => "Verified",
                (_, None) => "Unverified",
                (Err(_), Some(_)) => "Refused",
            };
            let kind = token.purpose().map_or_else(String::new, |purpose| format!("{purpose} "));
            let body = report::of(token.claims(), token.payload(), now);
            format!("{word} {kind}token {}\n\n{body}", self.file.display())
        };
        std::io::stdout().write_all(text.as_bytes())?;
        match verdict {
            Ok(()) => Ok(Exit::Success),
            Err(denied) => Err(Failure::new(denied.to_string())),
        }
    }
}

/// With a key everything is verified, without one only the end of the token is looked at.
pub(super) fn judge(token: &Unverified, key: Option<&Key>, now: SystemTime) -> Result<(), Denied> {
    let common = token.common();
    let Some(key) = key else {
        return match common.effective_expiry() {
            Some(at) if common.is_expired(now) => Err(Denied::Expired { at }),
            _ => Ok(()),
        };
    };
    match token.purpose() {
        Some(Purpose::Server) => verify_server(token, key, now).map(drop),
        Some(Purpose::Provisioning) => verify_provisioning(token, key, now).map(drop),
        // A token without a purpose is refused by this as well.
        Some(Purpose::Client) | None => verify_client(token, key, now).map(drop),
    }
}
