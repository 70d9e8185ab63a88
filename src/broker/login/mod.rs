//! Who comes in, in which account, with which rights.
//!
//! A pure decision over what a connection shows of itself (go-choria `broker/network/choria_auth.go`): a certificate, a
//! token that Choria signs, a user of the list. Start reading at [`Gate::admit`]; `tokens` is the part of the decision
//! that is about signed tokens, `rights` what these grant.

mod gate;
mod joining;
mod nonce;
mod pass;
mod refusal;
mod rights;
mod tokens;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

pub use gate::BadAccess;
pub(super) use gate::Gate;
pub(super) use nonce::Nonces;
pub(super) use refusal::Refusal;

use self::gate::User;
use self::joining::Joining;
use self::pass::Pass;
use super::access::{ConnectionType, Login};
use super::permissions::Permissions;
use crate::ca::wire;
use crate::util::secret::Secret;

/// What a connection shows of itself. Its `Debug` form shows no secret.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    /// Where it comes from.
    pub address: IpAddr,
    pub tls: TlsState,
    pub kind: ConnectionType,
    pub user: &'a str,
    pub password: &'a str,
    /// `auth_token`: of a user of the list, or signed by Choria.
    pub token: &'a str,
    /// What it was told to sign, and its signature: `sig`.
    pub nonce: &'a str,
    pub signature: &'a str,
    pub now: SystemTime,
    /// The same moment in milliseconds of the broker.
    pub now_ms: u64,
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("address", &self.address)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What TLS has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsState {
    /// The connection is not encrypted.
    Off,
    /// There is no certificate that the CA has signed.
    Anonymous,
    /// The peer has proven a certificate of the CA.
    Verified,
}

/// The place of a connection that was let in.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Index of the account.
    pub account: u32,
    pub permissions: Permissions,
    pub via: Via,
}

/// How a connection came in, so that it can be decided again under other settings.
#[derive(Debug, Clone)]
pub(super) enum Via {
    /// From this process.
    Internal,
    /// Without saying who it is: by certificate, or where nobody is asked.
    Unnamed,
    /// As the user of the system account.
    System(Arc<Login>),
    /// As the provisioner.
    Provisioner(Arc<Secret<String>>),
    /// As one of the list.
    User(Arc<User>),
    /// With a signed token.
    Token(Arc<Pass>),
    /// For a certificate.
    Joining(Arc<Joining>),
}

impl Via {
    /// The name of the user, if it has one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Via::Internal | Via::Unnamed => None,
            Via::System(login) => Some(&login.user),
            Via::Provisioner(_) => Some(PROVISIONER),
            Via::User(user) => user.name.as_deref(),
            Via::Token(pass) => Some(pass.user()),
            Via::Joining(_) => Some(wire::USER),
        }
    }

    /// The little that connections may have that come for a certificate: subscriptions.
    pub fn subscriptions_max(&self) -> Option<usize> {
        match self {
            Via::Joining(joining) => Some(joining.subscriptions_max()),
            _ => None,
        }
    }

    /// When the token ends that it came in with.
    pub fn expires_ms(&self) -> Option<u64> {
        match self {
            Via::Token(pass) => pass.expires_ms,
            Via::Joining(joining) => Some(joining.expires_ms()),
            _ => None,
        }
    }
}

/// Name of the user that gives servers their identity.
const PROVISIONER: &str = "provisioner";

#[cfg(test)]
mod tests;
