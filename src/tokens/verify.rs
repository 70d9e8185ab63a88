//! Turns a token into a verified one, with one key.

use std::ops::Deref;
use std::time::SystemTime;

use super::claims::{Claims, ClientClaims, Common, ProvisioningClaims, Purpose, ServerClaims};
use super::{Algorithm, Denied, Key, Unverified, chain};
use crate::util::time;

/// Claims of a token whose signature, chain and times were checked. Only this module makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified<T> {
    claims: T,
    anchor: Key,
}

impl<T> Verified<T> {
    /// The key of the organization or signer that the token was verified with.
    pub fn anchor(&self) -> &Key {
        &self.anchor
    }

    /// The claims.
    pub fn into_claims(self) -> T {
        self.claims
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.claims
    }
}

/// Verifies a client token with the key of an organization or a signer.
///
/// # Errors
/// Why it is refused.
pub fn verify_client(
    token: &Unverified,
    key: &Key,
    now: SystemTime,
) -> Result<Verified<ClientClaims>, Denied> {
    let Claims::Client(claims) = token.claims() else {
        return Err(purpose(token, Purpose::Client));
    };
    check(token, key, Purpose::Client, now)?;
    named(&claims.caller)?;
    Ok(Verified { claims: (**claims).clone(), anchor: key.clone() })
}

/// Verifies a server token with the key of an organization or a signer.
///
/// # Errors
/// Why it is refused.
pub fn verify_server(
    token: &Unverified,
    key: &Key,
    now: SystemTime,
) -> Result<Verified<ServerClaims>, Denied> {
    let Claims::Server(claims) = token.claims() else {
        return Err(purpose(token, Purpose::Server));
    };
    check(token, key, Purpose::Server, now)?;
    named(&claims.identity)?;
    Ok(Verified { claims: (**claims).clone(), anchor: key.clone() })
}

/// Verifies a provisioning token with the key of an organization or a signer.
///
/// # Errors
/// Why it is refused.
pub fn verify_provisioning(
    token: &Unverified,
    key: &Key,
    now: SystemTime,
) -> Result<Verified<ProvisioningClaims>, Denied> {
    let Claims::Provisioning(claims) = token.claims() else {
        return Err(purpose(token, Purpose::Provisioning));
    };
    check(token, key, Purpose::Provisioning, now)?;
    Ok(Verified { claims: (**claims).clone(), anchor: key.clone() })
}

/// Checks signature and times of a token for something else, whose claims are read from [`Unverified::payload`].
///
/// # Errors
/// Why it is refused.
pub fn verify_signature_and_times(
    token: &Unverified,
    key: &Key,
    now: SystemTime,
) -> Result<(), Denied> {
    token.check_signature(key)?;
    check_times(token.common(), now)
}

fn check(token: &Unverified, key: &Key, kind: Purpose, now: SystemTime) -> Result<(), Denied> {
    let common = token.common();
    token.check_signature(&signer(token, key, kind)?)?;
    check_times(common, now)?;
    check_issuer_expiry(common, kind, now)
}

/// The key that must have signed the token: the given one, or that of a chain issuer which the given one vouches for.
fn signer(token: &Unverified, key: &Key, kind: Purpose) -> Result<Key, Denied> {
    match (token.algorithm(), key) {
        (Algorithm::EdDsa, Key::Ed25519(organization))
            if kind != Purpose::Provisioning && token.common().is_chained() =>
        {
            Ok(Key::Ed25519(chain::verify(token.common(), organization)?))
        }
        _ => Ok(key.clone()),
    }
}

fn check_times(common: &Common, now: SystemTime) -> Result<(), Denied> {
    match (common.expires, common.not_before) {
        (Some(at), _) if now >= time::from_unix(at) => Err(Denied::Expired { at }),
        (_, Some(from)) if now < time::from_unix(from) => Err(Denied::NotYetValid { from }),
        _ => Ok(()),
    }
}

/// A token with signatures of a chain lives no longer than its issuer.
fn check_issuer_expiry(common: &Common, kind: Purpose, now: SystemTime) -> Result<(), Denied> {
    if common.trust_chain.is_empty() {
        return Ok(());
    }
    if !common.is_chained() {
        // Chain issuers themselves: they are clients, and the organization does not end.
        return if kind == Purpose::Client { Ok(()) } else { Err(Denied::NotChained) };
    }
    common.issuer_expires.ok_or(Denied::NoIssuerExpiry)?;
    match common.effective_expiry() {
        Some(at) if common.is_expired(now) => Err(Denied::IssuerExpired { at }),
        _ => Ok(()),
    }
}

fn purpose(token: &Unverified, expected: Purpose) -> Denied {
    Denied::Purpose { expected, found: token.purpose() }
}

fn named(name: &str) -> Result<(), Denied> {
    if name.is_empty() { Err(Denied::NoHolder) } else { Ok(()) }
}
