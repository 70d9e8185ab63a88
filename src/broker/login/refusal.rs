//! Why a connection was not let in. The log has the reason, the peer is told no more than that it was refused.

use std::fmt;

use super::rights::BadClaim;
use crate::broker::permissions::BadRules;
use crate::ca::join;
use crate::tokens::Denied;

/// A decision against a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) enum Refusal {
    NoTls,
    NoCertificate,
    /// Tokens decide, and there is none.
    CertificateAlone,
    /// Neither issuers nor signers are known.
    NoTrust,
    /// Nobody looks at tokens that everybody could read.
    TokenWithoutTls,
    UnknownToken,
    UnknownUser,
    WrongPassword,
    NoLogin,
    ConnectionType,
    NoProvisioning,
    ProvisionerUnverified,
    ProvisionerPassword,
    ProvisionerWithoutToken,
    SystemWithoutTls,
    SystemUnverified,
    SystemPassword,
    /// A live connection that would now be in another account.
    AccountChanged,
    /// A token that is not accepted.
    Token(BadToken),
    /// There is no certificate authority any more.
    NoEnrollment,
    /// Too many come for a certificate at once.
    NoSeat,
    /// A join token that is not accepted.
    JoinToken(join::BadToken),
}

/// A token that is not accepted, and what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) struct BadToken {
    /// Caller or identity that it claims, as far as it could be read.
    pub of: Option<String>,
    pub fault: Fault,
}

/// What is wrong with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::broker) enum Fault {
    /// It does not prove what it says.
    Denied(Denied),
    /// Its holder did not prove to be that.
    Unproven(Unproven),
    /// It does not grant what was asked for.
    Lacks(&'static str),
    /// Its claims give no permissions that could be used.
    Claim(BadClaim),
    Rules(BadRules),
    /// A token for something else.
    Purpose(String),
    /// A token of a new server from a peer with a certificate.
    ProvisioningVerified,
    /// A token of a new server, and nobody is trusted to sign those.
    NoProvisioningSigner,
}

/// Why a connection did not prove to hold the key of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::broker) enum Unproven {
    NoSignature,
    NoNonce,
    NotBase64,
    WrongSignature,
}

impl Refusal {
    /// The same refusal with what the token claims to be.
    pub fn about(self, of: Option<String>) -> Refusal {
        match self {
            Refusal::Token(BadToken { of: None, fault }) => {
                Refusal::Token(BadToken { of: of.filter(|of| !of.is_empty()), fault })
            }
            refusal => refusal,
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Token(BadToken { of: None, fault })
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        Fault::Denied(denied).into()
    }
}

impl From<Unproven> for Refusal {
    fn from(unproven: Unproven) -> Refusal {
        Fault::Unproven(unproven).into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NoTls => "no TLS",
            Refusal::NoCertificate => "no verified certificate",
            Refusal::CertificateAlone => "a certificate without a token",
            Refusal::NoTrust => "a token, and neither issuers nor signers are configured",
            Refusal::TokenWithoutTls => "a signed token without TLS",
            Refusal::UnknownToken => "unknown token",
            Refusal::UnknownUser => "unknown user",
            Refusal::WrongPassword => "wrong password",
            Refusal::NoLogin => "neither user nor token",
            Refusal::ConnectionType => "the user may not connect this way",
            Refusal::NoProvisioning => "provisioning is off",
            Refusal::ProvisionerUnverified => "a provisioner without a verified certificate",
            Refusal::ProvisionerPassword => "wrong password of the provisioner",
            Refusal::ProvisionerWithoutToken => "a provisioner without a token",
            Refusal::SystemWithoutTls => "the system user without TLS",
            Refusal::SystemUnverified => {
                "the system user without a verified certificate or a token"
            }
            Refusal::SystemPassword => "wrong password of the system user",
            Refusal::AccountChanged => "the account of the user has changed",
            Refusal::Token(token) => return token.fmt(f),
            Refusal::NoEnrollment => "nobody issues certificates here",
            Refusal::NoSeat => "too many connections come for a certificate",
            Refusal::JoinToken(bad) => return write!(f, "join token: {bad}"),
        })
    }
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Some(of) => write!(f, "{:?}: {}", short(of), self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Denied(denied) => denied.fmt(f),
            Fault::Unproven(unproven) => unproven.fmt(f),
            Fault::Lacks(what) => write!(f, "the token does not grant {what}"),
            Fault::Claim(BadClaim { claim, value }) => {
                write!(f, "{claim} {:?} of the token cannot be a part of a subject", short(value))
            }
            Fault::Rules(rules) => write!(f, "the token grants {}", short(&rules.to_string())),
            Fault::Purpose(purpose) => {
                write!(f, "the purpose {:?} of the token lets nobody in", short(purpose))
            }
            Fault::ProvisioningVerified => {
                f.write_str("a provisioning token beside a verified certificate")
            }
            Fault::NoProvisioningSigner => {
                f.write_str("nobody is configured whose provisioning tokens are accepted")
            }
        }
    }
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unproven::NoSignature => "the nonce is not signed",
            Unproven::NoNonce => "there was no nonce to sign",
            Unproven::NotBase64 => "the signature over the nonce is not base64url",
            Unproven::WrongSignature => "the signature over the nonce does not fit the token",
        })
    }
}

/// Characters of what a peer says that are logged.
const SHOWN_MAX: usize = 128;

fn short(text: &str) -> &str {
    text.char_indices().nth(SHOWN_MAX).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}
