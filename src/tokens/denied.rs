//! Why a token is refused: one case and one text for each reason.

use std::fmt;

use super::{Algorithm, ChainFault, Fault, Purpose};
use crate::util::time;

/// Why a token is refused. The texts hold no part of a token but names and times that it states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// It is not a token at all.
    Malformed(Fault),
    /// It is for something else.
    Purpose {
        /// What it should be for.
        expected: Purpose,
        /// What it says it is for.
        found: Option<Purpose>,
    },
    /// There are neither issuers nor signers, so nothing can be trusted.
    NothingTrusted,
    /// It names no organization, so no issuer can be chosen.
    NoOrganization,
    /// No issuer of its organization is known.
    UnknownOrganization {
        /// The name it states.
        organization: String,
    },
    /// Its algorithm does not fit the kind of the key.
    KeyKind {
        /// The algorithm it names.
        algorithm: Algorithm,
    },
    /// Its signature was not made with the key.
    Signature,
    /// None of the trusted signers made it.
    UnknownSigner {
        /// How many were tried.
        tried: usize,
    },
    /// The chain from its issuer to the organization does not hold.
    Chain(ChainFault),
    /// It ended.
    Expired {
        /// When, in seconds since 1970.
        at: i64,
    },
    /// It, or the token of its issuer, ended.
    IssuerExpired {
        /// When, in seconds since 1970.
        at: i64,
    },
    /// It has signatures of a chain but does not say when its issuer ends.
    NoIssuerExpiry,
    /// It has signatures of a chain but was not made by a chain issuer.
    NotChained,
    /// It may not be used yet.
    NotYetValid {
        /// From when on, in seconds since 1970.
        from: i64,
    },
    /// It names nobody.
    NoHolder,
    /// It has no public key, so nothing can be signed with it.
    NoPublicKey,
    /// Its public key is none.
    BadPublicKey,
    /// It, its key, or the token or key of its issuer is on the list of revoked tokens.
    Revoked {
        /// The entry of the list.
        entry: String,
    },
    /// Who signs for a caller must have the permission to do so.
    NotADelegator,
    /// Who signs for a caller must belong to the same organization.
    ForeignDelegator {
        /// The organization of the caller.
        caller: String,
        /// The organization of who signs.
        signer: String,
    },
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = |secs: &i64| time::rfc3339(time::from_unix(*secs));
        match self {
            Self::Malformed(fault) => fault.fmt(f),
            Self::Purpose { expected, found: Some(found) } => {
                write!(f, "the token is a {found} token, not a {expected} token")
            }
            Self::Purpose { expected, found: None } => {
                write!(f, "the token has no known purpose, it is not a {expected} token")
            }
            Self::NothingTrusted => f.write_str("no issuer and no signer of tokens is trusted"),
            Self::NoOrganization => f.write_str("the token names no organization"),
            Self::UnknownOrganization { organization } => {
                let name = short(organization);
                write!(f, "no issuer is known for the organization {name:?} of the token")
            }
            Self::KeyKind { algorithm } => {
                write!(f, "the algorithm {algorithm} of the token does not fit the kind of the key")
            }
            Self::Signature => f.write_str("the signature of the token does not fit its issuer"),
            Self::UnknownSigner { tried } => {
                write!(f, "the token was not made by any of {tried} trusted signers")
            }
            Self::Chain(fault) => write!(f, "the chain of trust of the token is broken: {fault}"),
            Self::Expired { at } => write!(f, "the token expired at {}", date(at)),
            Self::IssuerExpired { at } => {
                write!(f, "the token or its issuer expired at {}", date(at))
            }
            Self::NoIssuerExpiry => f.write_str("the token does not say when its issuer expires"),
            Self::NotChained => f.write_str("the token was not made by a chain issuer"),
            Self::NotYetValid { from } => write!(f, "the token is not valid before {}", date(from)),
            Self::NoHolder => f.write_str("the token names nobody"),
            Self::NoPublicKey => f.write_str("the token has no public key"),
            Self::BadPublicKey => f.write_str("the public key in the token is not an ed25519 key"),
            Self::Revoked { entry } => write!(f, "the token is revoked by {entry}"),
            Self::NotADelegator => f.write_str("the signer may not sign requests of others"),
            Self::ForeignDelegator { caller, signer } => {
                let (signer, caller) = (short(signer), short(caller));
                write!(f, "the signer belongs to {signer:?}, the caller to {caller:?}")
            }
        }
    }
}

impl std::error::Error for Denied {}

/// Characters of a name that are shown. Everybody can send a token that names something long, without being known.
const SHOWN_MAX: usize = 128;

fn short(name: &str) -> String {
    name.chars().take(SHOWN_MAX).collect()
}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Self::Malformed(fault)
    }
}

impl From<ChainFault> for Denied {
    fn from(fault: ChainFault) -> Self {
        Self::Chain(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_in_tokens_do_not_fill_logs() {
        let long = "ü".repeat(10_000);
        for denied in [
            Denied::UnknownOrganization { organization: long.clone() },
            Denied::ForeignDelegator { caller: long.clone(), signer: long.clone() },
        ] {
            let text = denied.to_string();
            assert!(text.contains("üüü") && text.chars().count() < 400, "{}", text.len());
        }
    }
}
