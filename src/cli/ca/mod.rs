//! `choria ca`: a certificate authority of one's own, for networks without Puppet.

mod crl;
mod init;
mod list;
mod revoke;
mod sign;
mod token;

use std::path::Path;
use std::time::Duration;

use crate::ca::{Ca, Error, Profile, Refused};
use crate::cli::command::Command;
use crate::cli::exit::Failure;
use crate::crypto::key::KeyKind;
use crate::util::duration;

/// The commands of the group.
pub static COMMANDS: &[Command] = &[
    Command::new::<init::InitCa>("init", &[]),
    Command::new::<sign::Sign>("sign", &["issue"]),
    Command::new::<token::MakeToken>("token", &[]),
    Command::new::<list::List>("list", &["ls"]),
    Command::new::<revoke::Revoke>("revoke", &[]),
    Command::new::<crl::ShowCrl>("crl", &[]),
];

/// Where the authority is when nothing else is said.
const FOLDER: &str = crate::settings::CA_FOLDER;

fn open(folder: &Path) -> Result<Ca, Failure> {
    Ca::open(folder).map_err(|error| failure(&error))
}

/// What went wrong, and what to do about it.
fn failure(error: &Error) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        Error::Absent(_) => failure
            .hint("choria ca init makes one")
            .hint("--dir names the folder of one that is elsewhere"),
        Error::Open { path, .. } if path.is_dir() => {
            failure.hint(format!("chmod go-w {}", path.display()))
        }
        Error::Open { path, .. } => failure.hint(format!("chmod 600 {}", path.display())),
        Error::Refused(Refused::Taken { .. }) => {
            failure.hint("--replace revokes that certificate and issues this one")
        }
        Error::Refused(Refused::Name(_)) => {
            failure.hint("--for client and --privileged allow more names")
        }
        Error::Refused(Refused::Unknown(_)) => failure.hint("choria ca list --all shows all"),
        _ => failure,
    }
}

fn length(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(Duration::ZERO) => Err("it has to be longer than nothing".to_owned()),
        Ok(length) => Ok(length),
        Err(error) => Err(error.to_string()),
    }
}

fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "server" => Ok(Profile::Server),
        "client" => Ok(Profile::Client),
        "broker" => Ok(Profile::Broker),
        _ => Err("a certificate is for a server, a client or a broker".to_owned()),
    }
}

/// Requests of protocol v1 are signed with RSA keys.
fn usual_key(profile: Profile) -> KeyKind {
    match profile {
        Profile::Client => KeyKind::Rsa2048,
        Profile::Server | Profile::Broker => KeyKind::P256,
    }
}

pub(super) fn key_kind(text: &str) -> Result<KeyKind, String> {
    match text {
        "rsa" => Ok(KeyKind::Rsa2048),
        "p256" => Ok(KeyKind::P256),
        "ed25519" => Ok(KeyKind::Ed25519),
        _ => Err("keys are rsa, p256 or ed25519".to_owned()),
    }
}
