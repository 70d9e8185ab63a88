//! Making tokens.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{
    CHAIN_ISSUER_PREFIX, ClientClaims, Common, ORGANIZATION_DEFAULT, ORGANIZATION_ISSUER_PREFIX,
    Purpose, ServerClaims, SigningKey, TEXT_BYTES_MAX, jws,
};
use crate::crypto::ed25519::{KeyPair, PublicKey};
use crate::crypto::ksuid::Ksuid;
use crate::crypto::rsa;

/// The issuer of tokens that are not part of a chain.
const ISSUER: &str = "Choria";

/// Why a token cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MakeFault {
    /// The claims cannot be written.
    Claims,
    /// The token would be longer than any reader takes.
    TooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// The key does not sign.
    Key(rsa::Error),
    /// A token in a chain needs this claim.
    Missing {
        /// Its name.
        claim: &'static str,
    },
    /// The token that should be the issuer is not that of a chain issuer.
    NotAnIssuer,
    /// The key does not belong to the token of the chain issuer.
    OtherKey,
}

impl fmt::Display for MakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims => f.write_str("the claims cannot be written as JSON"),
            Self::TooLong { bytes } => {
                write!(
                    f,
                    "the token would have {bytes} bytes, at most {TEXT_BYTES_MAX} are allowed"
                )
            }
            Self::Key(error) => error.fmt(f),
            Self::Missing { claim } => write!(f, "a chain of trust needs the claim {claim}"),
            Self::NotAnIssuer => f.write_str("the issuing token is not that of a chain issuer"),
            Self::OtherKey => f.write_str("the key does not belong to the issuing token"),
        }
    }
}

impl std::error::Error for MakeFault {}

/// The token with these claims, signed.
///
/// # Errors
/// Why it cannot be made.
pub fn sign<T: Serialize>(claims: &T, key: &SigningKey) -> Result<String, MakeFault> {
    let payload = serde_json::to_vec(claims).map_err(|_| MakeFault::Claims)?;
    let text = jws::compact(&payload, key).map_err(MakeFault::Key)?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(MakeFault::TooLong { bytes: text.len() });
    }
    Ok(text)
}

impl ClientClaims {
    /// Claims of a client without permissions, made at the time of `id`.
    pub fn new(caller: &str, public_key: Option<PublicKey>, id: Ksuid, validity: Duration) -> Self {
        let mut common = Common::new(Purpose::Client, id, ISSUER, validity);
        common.public_key = public_key.map(|key| key.to_string()).unwrap_or_default();
        Self {
            caller: caller.to_owned(),
            organization: ORGANIZATION_DEFAULT.to_owned(),
            common,
            ..Self::default()
        }
    }
}

impl ServerClaims {
    /// Claims of a server without permissions, made at the time of `id`.
    pub fn new(identity: &str, public_key: PublicKey, id: Ksuid, validity: Duration) -> Self {
        let mut common = Common::new(Purpose::Server, id, ISSUER, validity);
        common.public_key = public_key.to_string();
        Self {
            identity: identity.to_owned(),
            organization: ORGANIZATION_DEFAULT.to_owned(),
            common,
            ..Self::default()
        }
    }
}

impl super::ProvisioningClaims {
    /// Claims of a provisioning token that names neither brokers nor secrets, made at the time of `id`.
    pub fn new(id: Ksuid, validity: Duration) -> Self {
        let mut common = Common::new(Purpose::Provisioning, id, ISSUER, validity);
        Purpose::Provisioning.claim().clone_into(&mut common.subject);
        Self { organization: ORGANIZATION_DEFAULT.to_owned(), common, ..Self::default() }
    }
}

impl Common {
    /// Makes the holder a chain issuer of an organization. The token must be signed with the same key afterwards.
    ///
    /// # Errors
    /// [`MakeFault::Missing`]: there must be an id and a public key.
    pub fn set_organization_issuer(&mut self, organization: &KeyPair) -> Result<(), MakeFault> {
        require("jti", &self.id)?;
        require("public_key", &self.public_key)?;
        self.issuer = format!("{ORGANIZATION_ISSUER_PREFIX}{}", organization.public_key());
        self.trust_chain = organization.sign_hex(self.chain_credentials().as_bytes());
        Ok(())
    }

    /// Puts the token behind a chain issuer, whose end becomes its own when that is earlier. The token must be signed
    /// with the issuer's key afterwards.
    ///
    /// # Errors
    /// [`MakeFault::Missing`], [`MakeFault::NotAnIssuer`] and [`MakeFault::OtherKey`].
    pub fn set_chain_issuer(&mut self, issuer: &Common, key: &KeyPair) -> Result<(), MakeFault> {
        require("jti", &self.id)?;
        require("public_key", &self.public_key)?;
        require("jti", &issuer.id)?;
        let end = issuer.expires.ok_or(MakeFault::Missing { claim: "exp" })?;
        if !issuer.is_chain_issuer() {
            return Err(MakeFault::NotAnIssuer);
        }
        if PublicKey::from_hex(&issuer.public_key) != Ok(key.public_key()) {
            return Err(MakeFault::OtherKey);
        }
        self.issuer = format!("{CHAIN_ISSUER_PREFIX}{}.{}", issuer.id, issuer.public_key);
        self.issuer_expires = Some(end);
        self.expires = Some(self.expires.map_or(end, |own| own.min(end)));
        let signature = key.sign_hex(format!("{}.{}", self.id, issuer.trust_chain).as_bytes());
        self.trust_chain = format!("{}.{signature}", issuer.trust_chain);
        Ok(())
    }
}

fn require(claim: &'static str, value: &str) -> Result<(), MakeFault> {
    if value.is_empty() { Err(MakeFault::Missing { claim }) } else { Ok(()) }
}
