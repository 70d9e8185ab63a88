//! The chain of trust: an organization signs the key of a chain issuer, the chain issuer makes tokens.
//!
//! The token of a chain issuer has `iss` = `I-<organization key>` and `tcs` = the organization's signature over
//! `<jti>.<public_key>`. A token it makes has `iss` = `C-<issuer jti>.<issuer key>` and `tcs` = `<issuer tcs>.<issuer's
//! signature over "<jti>.<issuer tcs>">`, and is signed with the issuer's key.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::{CHAIN_ISSUER_PREFIX, Common, ORGANIZATION_ISSUER_PREFIX};
use crate::crypto::ed25519::PublicKey;
use crate::crypto::ksuid::Ksuid;

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFault {
    /// A claim that chains need is absent.
    Missing {
        /// Its name.
        claim: &'static str,
    },
    /// The id is not a KSUID.
    Id,
    /// The time in the id is not when the token was made.
    IdTime,
    /// The issuer is not an id and a key.
    Issuer,
    /// The signatures are not two hexadecimal texts.
    Form,
    /// The organization did not sign the issuer.
    IssuerSignature,
    /// The issuer did not sign the token's id.
    TokenSignature,
    /// The issuer is another organization.
    OtherOrganization,
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing { claim } => return write!(f, "the claim {claim} is missing"),
            Self::Id => "the token id is not a KSUID",
            Self::IdTime => "the time in the token id is not the time of issue",
            Self::Issuer => "the issuer is not an id and a public key",
            Self::Form => "the chain signature is not two hexadecimal signatures",
            Self::IssuerSignature => "the organization did not sign the issuer",
            Self::TokenSignature => "the issuer did not sign the token id",
            Self::OtherOrganization => "the issuer is another organization",
        })
    }
}

/// The chain issuer that a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainIssuer {
    /// The id of its token.
    pub(super) id: String,
    /// Its key.
    pub(super) key: PublicKey,
}

/// Reads the issuer claim; nothing when it does not name a chain issuer.
pub(super) fn issuer_of(common: &Common) -> Option<Result<ChainIssuer, ChainFault>> {
    let issuer = common.issuer.strip_prefix(CHAIN_ISSUER_PREFIX)?;
    Some(match issuer.split_once('.') {
        Some((id, key)) if !id.is_empty() => match PublicKey::from_hex(key) {
            Ok(key) => Ok(ChainIssuer { id: id.to_owned(), key }),
            Err(_) => Err(ChainFault::Issuer),
        },
        _ => Err(ChainFault::Issuer),
    })
}

/// Checks the chain from a token to the key of its organization and gives the key that the token must be signed with.
///
/// # Errors
/// Where the chain breaks.
pub(super) fn verify(common: &Common, organization: &PublicKey) -> Result<PublicKey, ChainFault> {
    check_required(common)?;
    let missing = ChainFault::Missing { claim: "issexp" };
    common.issuer_expires.ok_or(missing)?;
    let issuer = issuer_of(common).unwrap_or(Err(ChainFault::Issuer))?;
    let (by_organization, by_issuer) =
        common.trust_chain.split_once('.').ok_or(ChainFault::Form)?;
    // The text of the key is made anew: what was signed has lower-case digits.
    let credentials = format!("{}.{}", issuer.id, issuer.key);
    organization
        .verify(credentials.as_bytes(), &signature(by_organization)?)
        .map_err(|_| ChainFault::IssuerSignature)?;
    let token = format!("{}.{by_organization}", common.id);
    issuer
        .key
        .verify(token.as_bytes(), &signature(by_issuer)?)
        .map_err(|_| ChainFault::TokenSignature)?;
    Ok(issuer.key)
}

impl Common {
    /// Whether the token says that its holder may make tokens for an organization. Not a proof.
    pub fn is_chain_issuer(&self) -> bool {
        !self.trust_chain.is_empty() && self.issuer.starts_with(ORGANIZATION_ISSUER_PREFIX)
    }

    /// Whether the token names a chain issuer as its maker. Not a proof.
    pub fn is_chained(&self) -> bool {
        self.issuer.starts_with(CHAIN_ISSUER_PREFIX)
    }

    /// Checks that an organization made the holder of this token a chain issuer.
    ///
    /// # Errors
    /// Where the chain breaks.
    pub fn check_chain_issuer(&self, organization: &PublicKey) -> Result<(), ChainFault> {
        check_required(self)?;
        let issuer = self.issuer.strip_prefix(ORGANIZATION_ISSUER_PREFIX);
        let issuer = issuer.ok_or(ChainFault::Issuer)?;
        if PublicKey::from_hex(issuer) != Ok(*organization) {
            return Err(ChainFault::OtherOrganization);
        }
        organization
            .verify(self.chain_credentials().as_bytes(), &signature(&self.trust_chain)?)
            .map_err(|_| ChainFault::IssuerSignature)
    }

    /// What an organization signs to make the holder a chain issuer.
    pub(super) fn chain_credentials(&self) -> String {
        format!("{}.{}", self.id, self.public_key)
    }
}

fn check_required(common: &Common) -> Result<(), ChainFault> {
    let missing = |claim| Err(ChainFault::Missing { claim });
    for (claim, value) in [
        ("iss", &common.issuer),
        ("public_key", &common.public_key),
        ("tcs", &common.trust_chain),
        ("jti", &common.id),
    ] {
        if value.is_empty() {
            return missing(claim);
        }
    }
    let Some(issued_at) = common.issued_at else { return missing("iat") };
    if common.expires.is_none() {
        return missing("exp");
    }
    let id = Ksuid::parse(&common.id).ok_or(ChainFault::Id)?;
    if id.unix_secs() == issued_at { Ok(()) } else { Err(ChainFault::IdTime) }
}

fn signature(hex: &str) -> Result<Vec<u8>, ChainFault> {
    match HEXLOWER_PERMISSIVE.decode(hex.as_bytes()) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(ChainFault::Form),
    }
}
